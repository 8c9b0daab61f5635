"""The sandbox's HTTP side, against a toy CRM: what arrives, what leaves, what breaks when told to."""

import gzip
import http.client
import json
import random
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from crmbridge.sandbox.adapter import ORIGINS, Hooks, mount
from crmbridge.sandbox.core import Call, Crm, MovableClock, Reply, Request, Row, World
from crmbridge.sandbox.sandbox import Apps, Sandbox
from crmbridge.sandbox.server import Box, PortTaken, running_sandbox

PRIVATE = "-----BEGIN PRIVATE KEY-----\nnot one\n-----END PRIVATE KEY-----\n"
SALESFORCE_CREDENTIALS = (
    "org_id username password security_token client_id client_secret access_token refresh_token private_key"
)
DYNAMICS_CREDENTIALS = "tenant_id client_id client_secret access_token certificate"


class Toy:
    """Keeps every request and answers with what it saw."""

    def __init__(self, world: World, crm: Crm) -> None:
        self.world, self.crm = world, crm
        self.seen: list[Request] = []
        self.rows: dict[str, list[Row]] = {}
        names = SALESFORCE_CREDENTIALS if crm == "salesforce" else DYNAMICS_CREDENTIALS
        self.credentials = {name: PRIVATE if name in ("private_key", "certificate") else name for name in names.split()}

    def commit(self, request: Request) -> Reply:
        if request.plain_path == "/bug":
            raise RuntimeError("a bug of the sandbox")
        self.seen.append(request)
        self.world.count(Call(crm=self.crm, table="Toy", kind=request.method, category="data", user="u1", status=200))
        echo = {"path": request.path, "query": request.query, "origin": request.origin, "body": request.body.decode()}
        headers = (("Content-Type", "application/json"), ("Sforce-Limit-Info", "api-usage=1/15000"))
        return Reply(status=200, headers=headers, body=json.dumps(echo).encode())

    def login_as(self, email: str) -> dict[str, str]:
        return {"user_id": "u2", "email": email, "access_token": "t"}

    def dump(self) -> dict[str, list[Row]]:
        return self.rows

    def load(self, records: Mapping[str, list[Row]]) -> None:
        self.rows = {table: list(rows) for table, rows in records.items()}


def toys(world: World, shapes: Mapping[Crm, Path]) -> Apps:
    dynamics = Toy(world, "dynamics")
    return Apps(
        salesforce=Toy(world, "salesforce"), dynamics=dynamics, identity=dynamics, tables_by_set={"leads": "lead"}
    )


@pytest.fixture(scope="module")
def running() -> Iterator[Box]:
    with running_sandbox(sandbox=Sandbox("empty", build=toys), proxy=True) as box:
        yield box


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


@pytest.fixture
def box(running: Box) -> Box:
    running.control.reset()
    return running


def test_connect_document_has_the_promised_keys(box: Box) -> None:
    connect = box.connect
    assert list(connect) == ["salesforce", "dynamics", "ca_path", "proxy_url", "control_url"]
    assert set(connect["salesforce"]) == {
        "url", "https_url", "org_id", "username", "password", "security_token", "client_id", "client_secret",
        "private_key_path", "access_token", "refresh_token",
    }  # fmt: skip
    assert set(connect["dynamics"]) == {
        "url", "https_url", "authority", "tenant_id", "client_id", "client_secret", "certificate_path", "access_token",
    }  # fmt: skip
    for path in (connect["salesforce"]["private_key_path"], connect["dynamics"]["certificate_path"]):
        assert Path(path).read_text() == PRIVATE
        assert Path(path).stat().st_mode & 0o077 == 0
    ports = {urlsplit(url).port for url in (connect["dynamics"]["url"], connect["dynamics"]["authority"])}
    assert len(ports) == 2


@pytest.mark.parametrize("scheme", ["url", "https_url"])
@pytest.mark.parametrize("crm", ["salesforce", "dynamics"])
def test_http_and_https_reach_the_same_crm_and_echo_the_origin(box: Box, crm: str, scheme: str) -> None:
    url = box.connect[crm][scheme]
    answer = requests.get(f"{url}/x/", params={"q": "a b"}, verify=box.connect["ca_path"], timeout=10)
    assert answer.json()["origin"] == url
    assert answer.json()["path"] == "/x/"


def test_header_names_leave_in_canonical_case(box: Box) -> None:
    target = urlsplit(box.connect["salesforce"]["url"])
    connection = http.client.HTTPConnection(target.hostname or "", target.port)
    connection.request("GET", "/x")
    names = {name for name, _ in connection.getresponse().getheaders()}
    connection.close()
    assert names == {"Content-Type", "Sforce-Limit-Info", "Date", "Content-Length"}


def test_double_slash_chunks_and_gzip_arrive_plain(box: Box) -> None:
    url = box.connect["salesforce"]["url"]
    chunked = requests.post(f"{url}//services/data/", data=iter([b'{"a":', b"1}"]), timeout=10)
    assert (chunked.json()["path"], chunked.json()["body"]) == ("/services/data/", '{"a":1}')
    zipped = requests.post(url, data=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"}, timeout=10)
    assert zipped.json()["body"] == "hello"
    broken = requests.post(url, data=b"hello", headers={"Content-Encoding": "gzip"}, timeout=10)
    assert broken.status_code == 400


def test_a_long_url_arrives_whole(box: Box) -> None:
    # dataverse-api §2.3: up to 32 KB
    answer = requests.get(box.connect["dynamics"]["url"], params={"$filter": "x" * 32_000}, timeout=10)
    assert len(answer.json()["query"]) > 32_000


def test_head_has_the_length_and_no_body(box: Box) -> None:
    answer = requests.head(box.connect["salesforce"]["url"], timeout=10)
    assert int(answer.headers["Content-Length"]) > 0
    assert answer.content == b""


def test_date_is_data_time_and_the_control_port_moves_it(box: Box) -> None:
    url = box.connect["dynamics"]["url"]
    moved = box.control.advance(timedelta(days=3))
    answered = parsedate_to_datetime(requests.get(url, timeout=10).headers["Date"])
    assert abs(answered - datetime.fromisoformat(moved["now"])) < timedelta(minutes=1)
    assert answered - datetime.now(UTC) > timedelta(days=2)
    assert datetime.fromisoformat(moved["tokens"]) - datetime.now(UTC) < timedelta(minutes=1)
    there = datetime(2031, 5, 1, tzinfo=UTC)
    both = box.control.set_clock(there, tokens=True)
    assert datetime.fromisoformat(both["now"]) - there < timedelta(minutes=1)
    assert datetime.fromisoformat(both["tokens"]) - datetime.now(UTC) > timedelta(days=365)


def test_a_bug_of_the_sandbox_is_said_so(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    answer = requests.get(box.connect["salesforce"]["url"] + "/bug", timeout=10)
    assert answer.status_code == 500
    assert "sandbox itself failed on GET /bug" in answer.text
    assert "a bug of the sandbox" in caplog.text


def test_calls_are_summed_and_forgotten(box: Box) -> None:
    url = box.connect["salesforce"]["url"]
    requests.get(url, timeout=10)
    requests.post(url, timeout=10)
    calls = box.control.calls()
    assert calls["salesforce"]["requests"] == {"data": {"Toy": {"GET": 1, "POST": 1}}, "login": {}, "metadata": {}}
    assert calls["salesforce"]["users"] == {"u1": {"data": 2}}
    assert calls["dynamics"]["totals"] == {"requests": 0, "operations": 0}
    assert box.control.calls(user="nobody")["salesforce"]["totals"]["requests"] == 0
    assert [call["kind"] for call in box.control.raw_calls()] == ["GET", "POST"]
    box.control.forget_calls()
    assert box.control.raw_calls() == []


def test_people_dump_and_reset(box: Box) -> None:
    assert box.control.people("dynamics", "ingrid@northfield.example")["access_token"] == "t"
    users = box.control.dump()["salesforce"]["User"]
    assert users[0]["Email"] == "ingrid.solberg@northfield.example"
    box.control.reset("sample")
    assert len(box.control.dump()["salesforce"]["Lead"]) == 22
    box.control.reset("empty")
    assert "Lead" not in box.control.dump()["salesforce"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/nowhere", None, 404, "nothing is served at /nowhere"),
        ("PUT", "/people", None, 405, "/people serves POST, not PUT"),
        ("POST", "/people", b"{", 400, "not JSON"),
        ("POST", "/people", b"[]", 400, "must be a JSON object"),
        ("POST", "/people", b'{"crm": "sap", "email": "a@b.example"}', 400, "crm: one of salesforce, dynamics"),
        ("POST", "/people", b'{"crm": "dynamics", "email": "nobody"}', 400, "email:"),
        ("POST", "/people", b'{"crm": "dynamics", "mail": "x"}', 400, "mail: unknown key"),
        ("POST", "/clock", b"{}", 400, "either advance_seconds or set"),
        ("POST", "/clock", b'{"set": "yesterday"}', 400, "set: an instant"),
        ("POST", "/clock", b'{"advance_seconds": "9"}', 400, "advance_seconds: a number"),
        ("POST", "/faults", b'{"action": "explode"}', 400, "action.name: 'explode'"),
        ("POST", "/faults", b'{"path_regex": "(", "action": "html"}', 400, "path_regex: not a regular expression"),
        ("DELETE", "/faults?id=99", None, 404, "no fault with id 99"),
        ("POST", "/reset", b'{"seed": "/no/such/seed"}', 400, "There is no seed"),
    ],
)
def test_the_control_port_refuses_in_words(
    box: Box, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    answer = requests.request(method, box.connect["control_url"] + path, data=body, timeout=10)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_fault_answers_are_the_crms_own_and_are_counted(box: Box) -> None:
    leads = box.connect["dynamics"]["url"] + "/api/data/v9.2/leads"
    box.control.add_fault(
        crm="dynamics", table="lead", kind="read", skip=1, times=2,
        action={"name": "status", "status": 429, "retry_after": 7},
    )  # fmt: skip
    answers = [requests.get(leads, timeout=10) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert answers[1].json()["error"]["code"] == "0x80072322"
    assert [call["status"] for call in box.control.raw_calls()] == [200, 429, 429, 200]
    [rule] = box.control.faults()
    assert (rule["seen"], rule["fired"]) == (4, 2)


@pytest.mark.parametrize("scheme", ["url", "https_url"])
def test_connections_drop_before_and_after_the_commit(box: Box, scheme: str) -> None:
    url, toy = box.connect["salesforce"][scheme], box.sandbox.apps.salesforce
    assert isinstance(toy, Toy)
    with requests.Session() as session:
        session.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
        session.verify = box.connect["ca_path"]
        session.get(url, timeout=10)
        toy.seen.clear()
        for action, committed in (("drop_before_commit", 0), ("drop_after_commit", 1)):
            box.control.add_fault(crm="salesforce", action=action)
            with pytest.raises(requests.ConnectionError):
                session.get(url, timeout=10)
            assert len(toy.seen) == committed
        box.control.add_fault(crm="salesforce", action="truncate")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            session.get(url, timeout=10)
        assert session.get(url, timeout=10).ok


def test_a_slow_answer_is_late_and_its_change_made(box: Box) -> None:
    url, toy = box.connect["salesforce"]["url"], box.sandbox.apps.salesforce
    assert isinstance(toy, Toy)
    toy.seen.clear()
    box.control.add_fault(crm="salesforce", action={"name": "slow", "seconds": 1.0})
    with pytest.raises(requests.ReadTimeout):
        requests.get(url, timeout=0.2)
    assert len(toy.seen) == 1
    assert requests.get(url, timeout=10).ok  # others are served meanwhile


def test_the_proxy_leads_known_hosts_home_and_refuses_the_rest(box: Box) -> None:
    proxies = {"https": box.connect["proxy_url"]}
    with requests.Session() as session:
        session.trust_env = False
        for host in ("login.salesforce.com", "acme.my.salesforce.com", "login.microsoftonline.com"):
            answer = session.get(f"https://{host}/x", proxies=proxies, verify=box.connect["ca_path"], timeout=10)
            assert answer.json()["origin"] == f"https://{host}"
        with pytest.raises(requests.exceptions.ProxyError):
            session.get("https://www.example.com/", proxies=proxies, verify=box.connect["ca_path"], timeout=10)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(PortTaken, match=f"Port {port} is taken"),
            running_sandbox(sandbox=Sandbox("empty", build=toys), port=port),
        ):
            pass


def test_the_ca_of_a_state_directory_stays(tmp_path: Path) -> None:
    authorities: list[bytes] = []
    for _ in range(2):
        with running_sandbox(sandbox=Sandbox("empty", build=toys), state_dir=tmp_path) as box:
            authorities.append(Path(box.connect["ca_path"]).read_bytes())
            context = ssl.create_default_context(cafile=box.connect["ca_path"])
            target = urlsplit(box.connect["salesforce"]["https_url"])
            with socket.create_connection((target.hostname, target.port)) as plain:
                context.wrap_socket(plain, server_hostname="test.salesforce.com").close()
    assert authorities[0] == authorities[1]


def test_nothing_is_left_behind() -> None:
    threads = set(threading.enumerate())
    with running_sandbox(sandbox=Sandbox("empty", build=toys)) as box:
        folder = Path(box.connect["ca_path"]).parent
        assert folder.exists()
    assert not folder.exists()
    assert set(threading.enumerate()) <= threads


# --- the same core in process ----------------------------------------------------------------------------------------


def test_the_core_answers_in_process_with_hooks_at_both_steps() -> None:
    steps: list[str] = []
    hooks = Hooks(
        before_commit=lambda service, request: steps.append(f"sent {request.method}"),
        after_commit=lambda service, request, reply: steps.append(f"done {reply.status}"),
        sleep=lambda seconds: steps.append(f"slept {seconds:g}"),
    )
    moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
    sandbox = Sandbox("empty", build=toys, clock=MovableClock(source=lambda: moment), rng=random.Random(7))
    with requests.Session() as session:
        connect: dict[str, Any] = mount(session, sandbox, hooks)
        assert connect["dynamics"]["authority"] == f"{ORIGINS['identity']}/tenant_id"
        answer = session.post(f"{ORIGINS['salesforce']}//services/x?q=1", json={"a": 1})
        assert answer.json() == {
            "path": "/services/x", "query": "q=1", "origin": ORIGINS["salesforce"], "body": '{"a": 1}',
        }  # fmt: skip
        assert answer.headers["Date"] == "Fri, 20 Nov 2026 09:00:00 GMT"
        assert steps == ["sent POST", "done 200"]
        sandbox.faults.add({"action": "drop_after_commit"})
        with pytest.raises(requests.ConnectionError):
            session.get(ORIGINS["salesforce"])
        sandbox.faults.add({"action": "truncate"})
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            session.get(ORIGINS["salesforce"])
        sandbox.faults.add({"action": {"name": "slow", "seconds": 90}})
        with pytest.raises(requests.ReadTimeout):
            session.get(ORIGINS["salesforce"], timeout=30)
        assert steps[-1] == "slept 30"
