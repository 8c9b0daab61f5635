"""Each failure of a scenario, met by an ordinary HTTP client on both CRMs."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from crmbridge.cli.error_handler import run
from crmbridge.sandbox.scenario import ScenarioError, read_scenario
from crmbridge.sandbox.server import Box, running_sandbox

CRMS = ("salesforce", "dynamics")
BOTH = pytest.mark.parametrize("crm", CRMS)


@dataclass
class Client:
    """One CRM as a client of ours sees it: how to read, to write, and to log in again."""

    crm: str
    box: Box
    token: str
    user: str

    @property
    def url(self) -> str:
        return self.box.connect[self.crm]["url"]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.token}", "Connection": "close", **headers}
        return requests.request(method, self.url + path, json=body, headers=sent, timeout=5)

    def read(self) -> requests.Response:
        if self.crm == "salesforce":
            return self.ask("GET", "/services/data/v62.0/query?q=SELECT+Id+FROM+Lead")
        return self.ask("GET", "/api/data/v9.2/leads?$select=leadid")

    def create(self, name: str) -> requests.Response:
        if self.crm == "salesforce":
            return self.ask("POST", "/services/data/v62.0/sobjects/Lead", {"LastName": name, "Company": "Kettle"})
        return self.ask("POST", "/api/data/v9.2/leads", {"lastname": name, "subject": "Kettle"})

    def count(self, name: str) -> int:
        table, column = ("Lead", "LastName") if self.crm == "salesforce" else ("lead", "lastname")
        return sum(row.get(column) == name for row in self.box.control.dump()[self.crm][table])

    def arm(self, **rule: Any) -> None:
        self.box.control.add_fault(crm=self.crm, **rule)


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    with running_sandbox("sample") as box:
        yield box


@pytest.fixture
def box(shared: Box) -> Iterator[Box]:
    yield shared
    shared.control.clear_faults()


@pytest.fixture
def client(box: Box, crm: str) -> Client:
    person = box.control.people(crm, "ada@example.com")
    return Client(crm=crm, box=box, token=person["access_token"], user=person["user_id"])


@BOTH
@pytest.mark.parametrize(
    ("word", "status"), [("throttled", 429), ("unavailable", 503), ("server_error", 500), ("rerouted", 420)]
)
def test_an_error_is_the_crms_own_and_nothing_was_done(client: Client, word: str, status: int) -> None:
    client.arm(fault=word)
    refused = client.create(word)
    assert refused.status_code == status
    error = refused.json()[0]["errorCode"] if client.crm == "salesforce" else refused.json()["error"]["code"]
    assert error
    assert ("Retry-After" in refused.headers) == (word == "throttled")
    assert client.count(word) == 0
    assert client.create(word).ok


@BOTH
@pytest.mark.parametrize(("word", "made"), [("timeout_before_commit", 0), ("timeout_after_commit", 1)])
def test_an_answer_that_never_comes(client: Client, word: str, made: int) -> None:
    client.arm(fault=word, seconds=8)
    sent = {"Authorization": f"Bearer {client.token}"}
    path, body = (
        ("/services/data/v62.0/sobjects/Lead", {"LastName": word, "Company": "Kettle"})
        if client.crm == "salesforce"
        else ("/api/data/v9.2/leads", {"lastname": word, "subject": "Kettle"})
    )
    with pytest.raises(requests.ReadTimeout):
        requests.post(client.url + path, json=body, headers=sent, timeout=1)
    assert client.count(word) == made


@BOTH
@pytest.mark.parametrize(("word", "made"), [("connection_lost", 0), ("answer_lost", 1)])
def test_a_connection_that_closes(client: Client, word: str, made: int) -> None:
    client.arm(fault=word)
    with pytest.raises(requests.ConnectionError):
        client.create(word)
    assert client.count(word) == made


@BOTH
def test_a_connection_is_reset_in_the_middle_of_the_body(client: Client) -> None:
    client.arm(fault="connection_reset")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        client.read()
    assert client.read().ok


@BOTH
def test_half_a_page_seems_whole_and_is_no_json(client: Client) -> None:
    whole = len(client.read().content)
    client.arm(fault="half_page")
    half = client.read()
    assert half.status_code == 200
    assert len(half.content) == whole // 2 == int(half.headers["Content-Length"])
    with pytest.raises(requests.exceptions.JSONDecodeError):
        half.json()


def pages(client: Client) -> list[list[str]]:
    """The ids of each page, as a client follows the links."""
    if client.crm == "salesforce":
        path, key, link = "/services/data/v62.0/query?q=SELECT+Id+FROM+Lead", "Id", "nextRecordsUrl"
        headers, rows = {"Sforce-Query-Options": "batchSize=400"}, "records"
    else:
        path, key, link = "/api/data/v9.2/leads?$select=leadid", "leadid", "@odata.nextLink"
        headers, rows = {"Prefer": "odata.maxpagesize=400"}, "value"
    found: list[list[str]] = []
    while path:
        answer = client.ask("GET", path, None, **headers).json()
        found.append([row[key] for row in answer[rows]])
        path = str(answer.get(link) or "").removeprefix(client.url)
    return found


def many_leads(client: Client, count: int) -> None:
    if client.crm == "salesforce":
        for start in range(0, count, 200):
            rows = [{"attributes": {"type": "Lead"}, "LastName": f"L{start + n}", "Company": "C"} for n in range(200)]
            assert client.ask("POST", "/services/data/v62.0/composite/sobjects", {"records": rows}).ok
    else:
        kind = "Microsoft.Dynamics.CRM.lead"
        rows = [{"@odata.type": kind, "lastname": f"L{n}", "subject": "C"} for n in range(count)]
        assert client.ask("POST", "/api/data/v9.2/leads/Microsoft.Dynamics.CRM.CreateMultiple", {"Targets": rows}).ok


@BOTH
def test_short_and_repeated_pages_lose_nothing(client: Client) -> None:
    client.box.control.snapshot("before")
    try:
        many_leads(client, 1000)
        plain = pages(client)
        assert [len(page) for page in plain[:2]] == [400, 400]
        client.arm(fault="duplicate_page")
        twice = pages(client)
        assert twice == [plain[0], *plain]
        client.arm(fault="short_page")
        short = pages(client)
        assert len(short[0]) == 200
        assert sorted(key for page in short for key in page) == sorted(key for page in plain for key in page)
    finally:
        client.box.control.restore("before")


@BOTH
@pytest.mark.parametrize("word", ["expired_token", "revoked_session"])
def test_a_token_that_dies_stays_dead_and_a_new_login_helps(client: Client, word: str) -> None:
    other = client.box.control.people(client.crm, "ada@example.com")["access_token"]
    client.arm(fault=word)
    assert client.read().status_code == 401
    assert client.read().status_code == 401
    client.token = other
    assert client.read().ok == (word == "expired_token")
    client.token = client.box.control.people(client.crm, "ada@example.com")["access_token"]
    assert client.read().ok


def test_a_held_row_is_refused_by_salesforce_until_it_is_free(box: Box) -> None:
    person = box.control.people("salesforce", "ada@example.com")
    client = Client(crm="salesforce", box=box, token=person["access_token"], user=person["user_id"])
    key = client.create("Locked").json()["id"]
    client.arm(fault="row_lock", seconds=30)
    assert client.read().ok  # a read needs no lock, and the rule waits for a write
    refused = client.ask("PATCH", f"/services/data/v62.0/sobjects/Lead/{key}", {"Company": "B"})
    assert refused.json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
    assert key in refused.json()[0]["message"]
    box.control.advance(31)
    assert client.ask("PATCH", f"/services/data/v62.0/sobjects/Lead/{key}", {"Company": "B"}).ok


def test_a_deadlock_of_dynamics(box: Box) -> None:
    person = box.control.people("dynamics", "ada@example.com")
    client = Client(crm="dynamics", box=box, token=person["access_token"], user=person["user_id"])
    client.arm(fault="row_lock")
    refused = client.create("Deadlock")
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, "0x80044150")
    assert client.count("Deadlock") == 0


@BOTH
def test_a_slow_answer_comes(client: Client) -> None:
    client.arm(fault="slow", seconds=0.3)
    began = time.monotonic()
    assert client.read().ok
    assert time.monotonic() - began >= 0.3


@BOTH
def test_an_exhausted_quota(client: Client) -> None:
    client.arm(fault="quota_exhausted", times=None)
    for _ in range(2):
        refused = client.read()
        if client.crm == "salesforce":
            assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
        else:
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "0x80072322")
            assert refused.headers["Retry-After"] == "300"


@BOTH
def test_a_maintenance_page_is_html(client: Client) -> None:
    client.arm(fault="maintenance")
    page = client.read()
    assert page.status_code == 503
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<html>" in page.text


def test_a_delta_link_that_is_too_old(box: Box) -> None:
    person = box.control.people("dynamics", "ada@example.com")
    client = Client(crm="dynamics", box=box, token=person["access_token"], user=person["user_id"])
    client.arm(fault="expired_delta")
    first = client.ask("GET", "/api/data/v9.2/leads?$select=leadid", None, Prefer="odata.track-changes").json()
    path = first["@odata.deltaLink"].removeprefix(client.url)
    refused = client.ask("GET", path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "0x80044352")
    assert client.ask("GET", path).ok


def test_a_query_locator_that_is_too_old(box: Box) -> None:
    person = box.control.people("salesforce", "ada@example.com")
    client = Client(crm="salesforce", box=box, token=person["access_token"], user=person["user_id"])
    box.control.snapshot("before")
    try:
        many_leads(client, 600)
        client.arm(fault="expired_delta")
        path = "/services/data/v62.0/query?q=SELECT+Id+FROM+Lead"
        first = client.ask("GET", path, None, **{"Sforce-Query-Options": "batchSize=400"}).json()
        refused = client.ask("GET", first["nextRecordsUrl"])
        assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    finally:
        box.control.restore("before")


def test_the_two_clocks_are_apart(box: Box) -> None:
    answer = requests.post(
        f"{box.connect['control_url']}/faults", json={"skew": {"dynamics": -120, "salesforce": 30}}, timeout=5
    )
    assert answer.json()["skew"] == {"salesforce": 30.0, "dynamics": -120.0}
    stamps = []
    for crm in CRMS:
        person = box.control.people(crm, "ada@example.com")
        client = Client(crm=crm, box=box, token=person["access_token"], user=person["user_id"])
        stamps.append(parsedate_to_datetime(client.read().headers["Date"]))
        assert client.create("Skewed").ok
    assert 140 <= (stamps[0] - stamps[1]).total_seconds() <= 160
    rows = box.control.dump()
    made = [row["CreatedDate"] for row in rows["salesforce"]["Lead"] if row["LastName"] == "Skewed"]
    late = [row["createdon"] for row in rows["dynamics"]["lead"] if row["lastname"] == "Skewed"]
    assert str(made[0])[:16] > str(late[0])[:16]
    box.control.clear_faults()
    assert box.sandbox.skew == {"salesforce": 0.0, "dynamics": 0.0}


def test_rates_bursts_and_single_shots_of_a_file_repeat(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(
        "seed: 7\n"
        "faults:\n"
        "  - {crm: salesforce, kind: query, fault: unavailable, rate: 0.4}\n"
        "  - {crm: dynamics, table: lead, kind: read, fault: throttled, burst: {length: 2, every: 5}, skip: 1}\n"
        "  - {crm: dynamics, table: lead, kind: create, fault: server_error, at: [2, 4]}\n",
        encoding="utf-8",
    )

    def told() -> list[list[int]]:
        box.control.clear_faults()
        box.sandbox.arm(read_scenario(file))
        found: list[list[int]] = []
        for crm in CRMS:
            person = box.control.people(crm, "ada@example.com")
            client = Client(crm=crm, box=box, token=person["access_token"], user=person["user_id"])
            found.append([client.read().status_code for _ in range(11)])
            found.append([client.create("Shot").status_code for _ in range(5)])
        return found

    first = told()
    assert first == told()
    assert 0 < first[0].count(503) < 11
    assert first[2] == [200, 429, 429, 200, 200, 200, 429, 429, 200, 200, 200]
    assert first[3] == [204, 500, 204, 500, 204]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("faults:\n  - {fault: throtled}\n", "2:6", "did you mean 'throttled'?"),
        ("faults:\n  - crm: sap\n    fault: slow\n    seconds: 1\n", "2:5", "crm: 'sap'"),
        ("faults:\n  - fault: slow\n", "2:5", "seconds: missing"),
        ("faults:\n  - fault: unavailable\n    rate: 3\n", "3:5", "rate: a number from 0 to 1"),
        ("faults:\n  - fault: unavailable\n    burst: {length: 9, every: 3}\n", "3:5", "burst: {length: 10"),
        ("faults:\n  - fault: unavailable\n    at: [0]\n", "3:5", "at: the number"),
        ("faults:\n  - fault: unavailable\n    path_regex: '['\n", "3:5", "not a regular expression"),
        ("faults:\n  - {fault: slow, seconds: 1, action: html}\n", "2:31", "'fault' says it already"),
        ("faults:\n  - {fault: maintenance, often: true}\n", "2:26", "unknown key 'often'"),
        ("faults:\n  - action: {name: status}\n", "2:5", "action.status: missing"),
        ("skew: {mars: 3}\n", "1:8", "skew.mars"),
        ("seed: x\n", "1:1", "seed: a whole number"),
        ("fault: slow\n", "1:1", "unknown key 'fault'"),
        ("faults: [\n", "2:1", "expected"),
        ("- a\n", "1:1", "a mapping"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, place: str, words: str) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as problem:
        read_scenario(file)
    assert str(problem.value).startswith(f"{file}:{place}: ")
    assert words in str(problem.value)


def test_the_command_tells_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("faults: [{fault: never}]", encoding="utf-8")
    assert run(["sandbox", "--port", "0", "--faults", str(file)]) == 2
    assert "--faults: " in capsys.readouterr().err
