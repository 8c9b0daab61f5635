"""The session against servers that misbehave: a raw socket that sends what the test says."""

import gzip
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from connectors import http
from connectors.gate import Told
from connectors.http import Answer, LibrarySession, NotSent, Session
from connectors.origin import Origin, is_loopback
from crmbridge import crashpoint
from crmbridge.errors import ConfigError, LostAnswer, OutsideError, TryLater

Script = Callable[[socket.socket, bytes], None]


@contextmanager
def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """One script per connection; each gets the request's bytes. After the last, connections are refused."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    seen: list[bytes] = []

    def serve() -> None:
        for script in scripts:
            try:
                plain, _ = listener.accept()
                with tls.wrap_socket(plain, server_side=True) if tls else plain as peer:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        if not (part := peer.recv(65536)):
                            break
                        request += part
                    seen.append(request)
                    script(peer, request)
            except OSError:
                continue
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield url, seen
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        listener.close()
        thread.join(5)


def says(text: bytes) -> Script:
    return lambda peer, request: peer.sendall(text)


def answer(status: str, body: bytes = b"", *headers: str) -> Script:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers])
    return says(head.encode() + b"\r\n\r\n" + body)


def drips(peer: socket.socket, request: bytes) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(20):
        peer.sendall(b"x")
        time.sleep(0.05)


def drips_headers(peer: socket.socket, request: bytes) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    for n in range(20):
        peer.sendall(f"X-Header-{n}: y\r\n".encode())
        time.sleep(0.05)


class Naps:
    """A sleep that only notes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def session(url: str, naps: Naps | None = None, **options: object) -> Session:
    return Session(url, name="crm", sleep=naps or Naps(), rng=random.Random(1), **options)  # type: ignore[arg-type]


def test_an_answer_is_unzipped_dated_and_counted() -> None:
    body = gzip.compress(b'{"a": 1}')
    places: list[str] = []
    with serving(
        answer("200 OK", body, "Content-Encoding: gzip", "Date: Sat, 31 Jan 2026 09:15:22 GMT", "Set-Cookie: a=b")
    ) as (url, seen):
        crm = session(url)
        crashpoint.install(places.append)
        try:
            got = crm.send("GET", "/x?q=1", kind="query", table="Lead")
        finally:
            crashpoint.install(None)
    assert (got.status, got.body, got.date and got.date.isoformat()) == (200, b'{"a": 1}', "2026-01-31T09:15:22+00:00")
    assert crm.calls == {("Lead", "query"): 1}
    assert crm.server_time == got.date
    assert places == ["send GET Lead query", "received GET Lead query"]
    assert b"User-Agent: crmbridge/" in seen[0]
    assert len(crm._http.cookies) == 0


@pytest.mark.parametrize("script", [drips, drips_headers, lambda peer, request: time.sleep(0.7)])
def test_the_deadline_is_total(script: Script) -> None:
    with serving(script) as (url, _), pytest.raises(LostAnswer) as caught:
        session(url, deadline_seconds=0.4).send("GET", "/secret?q=private", kind="query")
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    "script",
    [
        says(b""),  # closed without a word
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),  # truncated
        # cut off, with a length as if that were all
        says(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": [1'),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        says(b"nonsense\r\n\r\n"),
        answer("200 OK", b"not gzip", "Content-Encoding: gzip"),
    ],
)
def test_what_was_sent_and_not_answered_whole_is_lost_and_never_repeated_by_a_write(script: Script) -> None:
    with serving(script, answer("200 OK")) as (url, seen), pytest.raises(LostAnswer):
        session(url).send("POST", "/x", kind="create", body=b"{}")
    assert len(seen) == 1


def test_a_read_is_repeated_after_a_lost_answer_and_after_503() -> None:
    naps = Naps()
    with serving(says(b""), answer("503 Unavailable"), answer("200 OK", b"ok")) as (url, seen):
        crm = session(url, naps)
        assert crm.send("GET", "/x", kind="query", repeat=True).body == b"ok"
    assert len(seen) == 3
    assert crm.calls == {("", "query"): 3}
    assert all(0.2 <= each <= 1 for each in naps.seconds)


@pytest.mark.parametrize(
    "lost", [says(b""), answer("200 OK", b'{"access_token": "x', "Content-Type: application/json")]
)
def test_a_login_whose_answer_was_lost_is_tried_once_more(lost: Script) -> None:
    with serving(lost, answer("200 OK", b'{"access_token": "x"}')) as (url, seen):
        assert LibrarySession(session(url)).post(f"{url}/token", {"a": "b"}).status_code == 200
    assert len(seen) == 2
    with serving(lost, lost, answer("200 OK")) as (url, seen), pytest.raises(LostAnswer):
        LibrarySession(session(url)).post(f"{url}/token", {"a": "b"})
    assert len(seen) == 2


def asks_for_patience(answer: Answer) -> Told:
    return Told(blocked_seconds=answer.retry_after, why=f"HTTP {answer.status}")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_login_that_is_asked_to_wait_is_nothing_for_the_library_to_judge(method: str, status: str) -> None:
    with serving(answer(status, b"", "Retry-After: 120")) as (url, seen), pytest.raises(TryLater) as told:
        LibrarySession(session(url, told=asks_for_patience)).request(method, f"{url}/token")
    assert len(seen) == 1
    assert (told.value.code, told.value.after_seconds) == ("blocked", 120)
    assert "for 120 s (HTTP " in str(told.value)
    assert "Check" not in str(told.value)


def test_a_login_waits_for_a_moment_as_a_read_does() -> None:
    naps = Naps()
    with serving(answer("429 Too Many Requests", b"", "Retry-After: 1"), answer("200 OK")) as (url, seen):
        library = LibrarySession(session(url, naps, told=asks_for_patience))
        assert library.post(f"{url}/token", {"a": "b"}).status_code == 200
    assert len(seen) == 2
    assert naps.seconds == [1.0]


@pytest.mark.parametrize("status", ["401 Unauthorized", "429 Too Many Requests", "503 Service Unavailable"])
def test_a_login_that_was_answered_is_not_repeated(status: str) -> None:
    with serving(answer(status), answer("200 OK")) as (url, seen):
        assert LibrarySession(session(url)).post(f"{url}/token", {"a": "b"}).status_code == int(status[:3])
    assert len(seen) == 1


def test_retry_after_is_honoured_for_reads_within_its_cap_and_left_to_the_engine_for_writes() -> None:
    naps = Naps()
    with serving(answer("429 Slow", b"", "Retry-After: 7"), answer("200 OK")) as (url, _):
        assert session(url, naps).send("GET", "/x", kind="query", repeat=True).status == 200
    assert naps.seconds == [7.0]
    with serving(answer("429 Slow", b"", "Retry-After: 900"), answer("200 OK")) as (url, seen):
        got = session(url).send("GET", "/x", kind="query", repeat=True)
        assert (got.status, got.retry_after, len(seen)) == (429, 900.0, 1)
    with serving(answer("429 Slow", b"", "Retry-After: 7"), answer("200 OK")) as (url, seen):
        assert (session(url).send("POST", "/x", kind="create", body=b"{}").status, len(seen)) == (429, 1)


def test_a_refused_connection_was_not_sent() -> None:
    with serving() as (url, _):
        pass
    with pytest.raises(NotSent, match="refused") as caught:
        session(url).send("POST", "/x?q=private", kind="create", body=b"{}")
    assert "private" not in str(caught.value)


def test_an_untrusted_certificate_sends_nothing_and_a_trusted_one_serves(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with serving(answer("200 OK"), tls=context) as (url, seen), pytest.raises(NotSent, match="ca_file"):
        session(url).send("GET", "/x", kind="query", repeat=True)
    assert seen == []
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(answer("200 OK", b"ok"), tls=context) as (url, _):
        assert session(url, ca_file=str(tmp_path / "ca.pem")).send("GET", "/x", kind="query").body == b"ok"


def test_too_large_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "body_bytes_max", 1000)
    bomb = gzip.compress(b"0" * 10_000_000)
    with serving(answer("200 OK", bomb, "Content-Encoding: gzip")) as (url, _), pytest.raises(LostAnswer, match="cut"):
        session(url).send("GET", "/x", kind="query", repeat=True)


def test_redirects_are_answers() -> None:
    with serving(answer("302 Found", b"", "Location: https://evil.example/")) as (url, seen):
        assert session(url).send("GET", "/x", kind="query").status == 302
    assert len(seen) == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/x",
        "//evil.example/x",
        "@evil.example/x",
        ".evil.example/x",
        "http://crm.example/x",  # scheme
        "https://crm.example:8443/x",  # port
        "https://user@crm.example/x",
        "https://crm.example.evil.example/x",
        "/\\evil.example/x",
        "/x\r\nHost: evil.example",
        "https://crm.example//evil.example/x",
        "https://crm.example:port/x",
        "",
    ],
)
def test_a_link_to_anywhere_else_is_refused(link: str) -> None:
    with pytest.raises(OutsideError, match="another host"):
        Origin.of("https://crm.example", what="url").target(link)


def test_a_link_of_our_own_host_is_rebuilt_from_path_and_query() -> None:
    origin = Origin.of("https://CRM.example/", what="url")
    for link in ("/a/b?c=%2Bd", "https://crm.example/a/b?c=%2Bd", "https://crm.example:443/a/b?c=%2Bd#x"):
        assert origin.target(link) == "/a/b?c=%2Bd"


def test_plain_http_is_for_this_machine_only() -> None:
    with pytest.raises(ConfigError, match="https"):
        Session("http://crm.example", name="crm")
    assert [is_loopback(each) for each in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "localhost.evil.example")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with serving(answer("200 OK", b"ok")) as (url, _):
        assert session(url).send("GET", "/x", kind="query").body == b"ok"


def test_a_library_logs_in_through_our_session_at_our_host() -> None:
    with serving(answer("200 OK", b'{"access_token": "t"}')) as (url, seen):
        library = LibrarySession(session(url), rehost=True)
        got = library.post("https://login.salesforce.com/services/oauth2/token", {"a": "b c"}, proxies=None)
    assert got.json() == {"access_token": "t"}
    assert seen[0].startswith(b"POST /services/oauth2/token HTTP/1.1")
    assert b"a=b+c" in seen[0] or seen[0].endswith(b"\r\n\r\n")
    with pytest.raises(OutsideError):
        LibrarySession(session(url)).post("https://login.salesforce.com/services/oauth2/token", {})
