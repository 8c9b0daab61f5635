"""A token goes to the connection's own host alone, wherever an answer, a redirect or the environment points."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import requests
from requests.adapters import BaseAdapter

from connectors.http import LibrarySession, Session
from connectors.origin import Origin
from connectors.salesforce.auth import SalesforceConfig, Tokens
from crmbridge.errors import AccessError, ConfigError, CrmBridgeError, OutsideError

HOST = "https://crm.example"
FOREIGN = {
    "other-host": "https://evil.example/x",
    "no-scheme": "//evil.example/x",
    "userinfo": "@evil.example/x",
    "suffix": ".evil.example/x",
    "suffix-whole": "https://crm.example.evil.example/x",
    "user-at-host": "https://crm.example@evil.example/x",
    "user-at-ours": "https://me:pw@crm.example/x",
    "http": "http://crm.example/x",
    "other-port": "https://crm.example:8443/x",
    "bad-port": "https://crm.example:99999/x",
    "backslash": "/\\evil.example/x",
    "backslashes": "https:\\\\evil.example/x",
    "three-slashes": "///evil.example/x",
    "path-slashes": "https://crm.example//evil.example/x",
    "line-end": "/x\r\nHost: evil.example",
    "tab-in-host": "https://crm\t.example/x",
    "null": "/x\x00",
    "blank": " https://evil.example/x",
    "script": "javascript:alert(1)",
    "file": "file:///etc/passwd",
    "ip-v6": "https://[::ffff:127.0.0.1]/x",
    "look-alike": "https://crm.exаmple/x",  # a Cyrillic a
    "relative": "x/y",
    "empty": "",
}


@pytest.mark.parametrize("link", FOREIGN.values(), ids=list(FOREIGN))
def test_a_link_of_an_answer_is_not_followed(link: str) -> None:
    """nextLink, deltaLink, nextRecordsUrl and Location all go through here: `Session.send` takes no other target."""
    with pytest.raises(OutsideError) as caught:
        Origin.of(HOST, what="url").target(link)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("link", FOREIGN.values(), ids=list(FOREIGN))
def test_no_session_sends_to_it(link: str) -> None:
    heard: list[str] = []
    session = Session(HOST, name="crm", adapter=_Ears(heard))
    with suppress(CrmBridgeError):
        session.send("GET", link, kind="query", headers={"Authorization": "Bearer canary"})
    assert heard == []
    library = LibrarySession(session)
    if re.match("https?:", link):
        with pytest.raises(OutsideError):
            library.post(link, {"client_secret": "canary"})
    assert heard == []


@pytest.mark.parametrize("link", ["https://CRM.example:443/a?b=%2F%2Fevil.example", "/a?b=%2F%2Fevil.example"])
def test_a_link_of_ours_is_rebuilt_on_our_host(link: str) -> None:
    heard: list[str] = []
    Session(HOST, name="crm", adapter=_Ears(heard)).send("GET", link, kind="query")
    assert heard == ["https://crm.example:443/a?b=%2F%2Fevil.example"]


class _Ears(BaseAdapter):
    """A network that only notes where a request would go."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        self._heard.append(request.url or "")
        response = requests.Response()
        response.status_code, response.raw, response.request = 200, _Nothing(), request
        return response

    def close(self) -> None:
        pass


class _Nothing:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield b"{}"

    def close(self) -> None:
        pass

    def release_conn(self) -> None:
        pass


# --- pages, as the connectors follow them ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nextRecordsUrl", "@odata.nextLink", "@odata.deltaLink"])
def test_the_connectors_follow_links_through_the_session_alone(name: str) -> None:
    """The word stands in the reader of one system, and nothing there joins or requests a URL by itself."""
    from pathlib import Path

    root = Path(__file__).parents[2] / "connectors"
    sources = {path: path.read_text() for path in root.rglob("*.py")}
    assert any(name in text or name.rpartition(".")[2] in text for text in sources.values())
    joins = [str(path) for path, text in sources.items() if re.search(r"urljoin|requests\.(get|post|request)\(", text)]
    opens = [
        str(path.relative_to(root))
        for path, text in sources.items()
        if re.search(r"requests\.Session\(|urllib\.request|http\.client\.HTTPS?Connection\(", text)
    ]
    assert joins == []
    assert opens == ["http.py"]


# --- the login tells another host -----------------------------------------------------------------------------------

INSTANCES = {key: link for key, link in FOREIGN.items() if key in {"other-host", "suffix-whole", "user-at-host"}} | {
    "userinfo": "https://acme.my.salesforce.com@evil.example",
    "suffix": "https://acme.my.salesforce.com.evil.example",
    "port": "https://acme.my.salesforce.com:8443",
    "bare": "evil.example",
    "no-scheme": "//evil.example",
}


@pytest.mark.parametrize("flow", ["refresh_token", "client_credentials", "password"])
@pytest.mark.parametrize("instance", INSTANCES.values(), ids=list(INSTANCES))
def test_an_instance_url_never_picks_the_host(flow: str, instance: str) -> None:
    soap = (
        '<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><loginResponse>'
        f"<result><sessionId>canary</sessionId><serverUrl>{instance}/services/Soap/u/62.0/00D</serverUrl>"
        "</result></loginResponse></e:Body></e:Envelope>"
    )
    said = json.dumps({"access_token": "canary", "instance_url": instance, "token_type": "Bearer"})
    with Serving(soap if flow == "password" else said) as url:
        config = SalesforceConfig(
            name="sf", url="https://acme.my.salesforce.com", login_url=url, flow=flow, client_id="id",  # type: ignore[arg-type]
            client_secret="s", refresh_token="r", username="u", password="p",
        )  # fmt: skip
        with pytest.raises((AccessError, OutsideError)) as caught:
            Tokens(config, Session(url, name="sf")).token()
    assert "canary" not in str(caught.value)


class Serving:
    """One answer, over and over."""

    def __init__(self, body: str, status: str = "200 OK", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers]
        self._answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode()
        self.seen: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> str:
        threading.Thread(target=self._serve, daemon=True).start()
        return self.url

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                with peer:
                    self.seen.append(peer.recv(65536))
                    peer.sendall(self._answer)
                    peer.shutdown(socket.SHUT_WR)
                    peer.settimeout(10)
                    while peer.recv(65536):  # closed with something unread it would be a reset
                        pass


# --- redirects, proxies, netrc ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_no_redirect_is_followed(status: str) -> None:
    evil = Serving("{}")
    with evil as target, Serving("", status, f"Location: {target}/x") as url:
        answer = Session(url, name="crm").send(
            "GET", "/x", kind="query", headers={"Authorization": "Bearer canary"}, repeat=True
        )
    assert answer.status == int(status[:3])
    assert evil.seen == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = Serving("{}")
    with evil as proxy, Serving('{"ours": 1}') as url:
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("NO_PROXY", "")
        assert b"ours" in Session(url, name="crm").send("GET", "/x", kind="query").body
    assert evil.seen == []


def test_netrc_and_ca_bundles_of_the_environment_are_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("home")
    (folder / "netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    (folder / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(folder / "netrc"))
    server = Serving("{}")
    with server as url:
        session = Session(url, name="crm")
        session.send("GET", "/x", kind="query")
    assert b"Authorization" not in server.seen[0]
    assert session._http.trust_env is False
    assert session._http.verify is True


@pytest.mark.parametrize("url", ["http://crm.example", "https://me:pw@crm.example", "ftp://crm.example", "crm.example"])
def test_a_connection_is_https_without_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Origin.of(url, what="url")
    assert "pw" not in str(caught.value)
