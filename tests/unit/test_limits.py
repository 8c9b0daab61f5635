"""The gate of a connection: what answers say, and what then goes out; on a store, with servers that are scripted."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from sqlalchemy import update
from urllib3 import HTTPResponse

from connectors.dynamics import limits as dynamics
from connectors.gate import Told
from connectors.http import Answer, LostAnswer, Session
from connectors.salesforce import limits as salesforce
from crmbridge.budget import Rate, Work, doing
from crmbridge.errors import LeftAlone
from crmbridge.state.schema import breaker, budget
from crmbridge.state.store import Store
from crmbridge.sync.limits import Allowance, Keeper, course, resumes_at
from workers import schedule

LIMIT_403 = b'[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
CONCURRENT = (
    b'[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
)
LOGIN_RATE = b'{"error":"rate_limit_exceeded","error_description":"login rate exceeded"}'
FAULT = (
    b"<soapenv:Envelope><soapenv:Body><soapenv:Fault><faultcode>sf:%b</faultcode><detail><sf:UnexpectedErrorFault>"
    b"<sf:exceptionCode>%b</sf:exceptionCode><sf:exceptionMessage>%b</sf:exceptionMessage>"
    b"</sf:UnexpectedErrorFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"
)


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Answer(status=status, headers=named, body=body, date=None)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(200, Sforce_Limit_Info="api-usage=18/15000"), Told(used=18, limit=15000)),
        (
            answer(200, Sforce_Limit_Info="api-usage=25/5000; per-app-api-usage=17/250(appName=sample)"),
            Told(used=25, limit=5000),
        ),
        (answer(200, Sforce_Limit_Info="api-usage=many"), Told()),
        (
            answer(
                200,
                b"<soapenv:Header><LimitInfoHeader><limitInfo><current>20</current><limit>15000</limit>"
                b"<type>API REQUESTS</type></limitInfo></LimitInfoHeader></soapenv:Header>",
            ),
            Told(used=20, limit=15000),
        ),
        (answer(403, LIMIT_403), Told(blocked_seconds=900.0, why="REQUEST_LIMIT_EXCEEDED")),
        (answer(403, CONCURRENT), Told(blocked_seconds=30.0, why="REQUEST_LIMIT_EXCEEDED")),
        (
            answer(500, FAULT % ((b"REQUEST_LIMIT_EXCEEDED",) * 2 + (b"TotalRequests Limit exceeded.",))),
            Told(blocked_seconds=900.0, why="REQUEST_LIMIT_EXCEEDED"),
        ),
        (answer(429, Retry_After="7"), Told(blocked_seconds=7.0, why="HTTP 429")),
        (answer(429), Told(blocked_seconds=30.0, why="HTTP 429")),
        (answer(503, b"<html>", Retry_After="60"), Told(trouble="HTTP 503", blocked_seconds=60.0, why="HTTP 503")),
        (answer(503, b"<html>"), Told(trouble="HTTP 503")),
        (answer(500, b'[{"message":"x","errorCode":"UNKNOWN_EXCEPTION"}]'), Told(trouble="HTTP 500")),
        (answer(500, FAULT % (b"INVALID_SESSION_ID", b"INVALID_SESSION_ID", b"expired")), Told()),
        (answer(500, FAULT % (b"UNKNOWN_EXCEPTION", b"UNKNOWN_EXCEPTION", b"x")), Told(trouble="UNKNOWN_EXCEPTION")),
        (answer(400, b'[{"message":"x","errorCode":"STRING_TOO_LONG"}]'), Told()),
        (answer(429, LOGIN_RATE, Retry_After="120"), Told(blocked_seconds=120.0, why="rate_limit_exceeded")),
        (answer(400, LOGIN_RATE), Told(blocked_seconds=60.0, why="rate_limit_exceeded")),
        (answer(429, b'{"error":"\\u001b[2J <b>not a code</b>"}'), Told(blocked_seconds=30.0, why="HTTP 429")),
        (answer(400, b'{"error":"invalid_grant","error_description":"authentication failure"}'), Told()),
        (
            answer(500, FAULT % ((b"REQUEST_LIMIT_EXCEEDED",) * 2 + (b"m",)), Retry_After="120"),
            Told(blocked_seconds=120.0, why="REQUEST_LIMIT_EXCEEDED"),
        ),
        (answer(401, b'[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]'), Told()),
    ],
)
def test_what_an_answer_of_salesforce_says(given: Answer, told: Told) -> None:
    assert salesforce.told(given) == told


def error(code: str) -> bytes:
    return b'{"error":{"code":"%b","message":"m"}}' % code.encode()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(204), Told()),
        (answer(429, error("0x80072322"), Retry_After="300"), Told(blocked_seconds=300.0, why="0x80072322")),
        (answer(429, b"<html>"), Told(blocked_seconds=30.0, why="http_429")),
        (answer(503, Retry_After="10"), Told(trouble="HTTP 503", blocked_seconds=10.0, why="http_503")),
        (answer(500, error("0x80040216")), Told(trouble="HTTP 500")),
        (answer(500, error("0x80040224")), Told()),  # the customer's plug-in crashed
        (answer(502), Told(trouble="HTTP 502")),
        (  # the login service
            answer(429, b'{"error":"temporarily_unavailable","error_description":"m"}', Retry_After="120"),
            Told(blocked_seconds=120.0, why="http_429"),
        ),
        (answer(412, error("0x80060882")), Told()),
        (answer(403, error("0x80040220")), Told()),
    ],
)
def test_what_an_answer_of_dynamics_says(given: Answer, told: Told) -> None:
    assert dynamics.told(given) == told


# --- the gate -----------------------------------------------------------------------------------------------------


class Script(BaseAdapter):
    """A server that answers what it is told to, and notes what it got. A status, or an error to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[int, dict[str, str]] | Exception] = []
        self.got: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        self.got.append(f"{request.method} {request.path_url}")
        said = self.answers.pop(0) if self.answers else (200, {})
        if isinstance(said, Exception):
            raise said
        response = requests.Response()
        response.status_code, response.request, response.url = said[0], request, str(request.url)
        response.headers.update(said[1])
        response.raw = HTTPResponse(body=io.BytesIO(b""), preload_content=False)
        return response

    def close(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/store.sqlite3")
    yield opened
    opened.close()


class Crm:
    """A connection to the scripted server; several of them are workers of one installation."""

    def __init__(self, store: Store, **allowance: Any) -> None:
        self.naps: list[float] = []
        self.server = Script()
        self.session = Session(
            "http://127.0.0.1:1", name="crm", adapter=self.server, sleep=self.naps.append, told=salesforce.told
        )
        self.keeper = Keeper(store=store, name="crm", allowance=Allowance(**allowance))
        self.session.gate = self.keeper

    def read(self) -> Answer:
        return self.session.send("GET", "/x", kind="query", table="Lead")

    def write(self) -> Answer:
        return self.session.send("POST", "/x", kind="create", table="Lead")

    def login(self) -> Answer:
        return self.session.send("POST", "/token", kind="login")

    def discover(self) -> Answer:
        """What a login library asks before each login; it is told to everybody."""
        return self.session.send("GET", "/.well-known/openid-configuration", kind="login", repeat=True)


def pass_time(store: Store) -> None:
    """Whatever was to be waited for is over."""
    with store._database.writing("test") as connection:
        at = store.now()
        connection.execute(update(budget).where(budget.c.blocked_until.is_not(None)).values(blocked_until=at))
        connection.execute(update(breaker).where(breaker.c.until.is_not(None)).values(until=at))


def test_asked_to_stay_away_all_workers_do(store: Store) -> None:
    one, two = Crm(store), Crm(store)
    one.server.answers = [(429, {"Retry-After": "60"})]
    assert one.read().status == 429
    for crm in (one, two):
        for call in (crm.read, crm.write, crm.login):
            with pytest.raises(LeftAlone, match="left alone until"):
                call()
    assert (one.server.got, two.server.got) == (["GET /x"], [])
    assert schedule.due(store, 1) == []
    assert resumes_at(store.every_limits().values()) is not None
    pass_time(store)
    assert two.write().status == 200
    assert resumes_at(store.every_limits().values()) is None


def test_a_moment_is_waited_for(store: Store) -> None:
    crm = Crm(store)
    crm.server.answers = [(429, {"Retry-After": "1"})]
    crm.write()
    crm.session._sleep = lambda seconds: (crm.naps.append(seconds), pass_time(store))[0]
    assert crm.write().status == 200
    assert 0 < crm.naps[-1] <= 1


def test_an_earlier_block_that_reaches_further_stands(store: Store) -> None:
    far = store.block_calls("crm", 600, "first")
    assert store.block_calls("crm", 5, "second") == far


def test_five_server_errors_open_the_breaker_for_all_and_one_read_closes_it(store: Store) -> None:
    one, two = Crm(store), Crm(store)
    one.server.answers = [(503, {})] * 5
    for _ in range(5):
        assert one.write().status == 503
    for crm in (one, two):
        with pytest.raises(LeftAlone, match="in trouble"):
            crm.read()
    assert schedule.due(store, 1) == []
    pass_time(store)
    with pytest.raises(LeftAlone):
        two.write()  # not before a read was served
    assert two.server.got == []
    assert two.read().status == 200
    assert two.write().status == 200
    assert store.limits("crm").breaker.clean


def test_no_answer_counts_and_a_refusal_does_not(store: Store) -> None:
    crm = Crm(store)
    crm.server.answers = [requests.ReadTimeout()] * 4
    for _ in range(4):
        with pytest.raises(LostAnswer):
            crm.write()
    assert store.limits("crm").breaker.troubles == 4
    crm.server.answers = [(400, {})] * 10
    for _ in range(10):
        assert crm.write().status == 400
    assert store.limits("crm").breaker.clean


def test_three_refused_logins_stop_logging_in(store: Store) -> None:
    crm = Crm(store)
    crm.server.answers = [(400, {})] * 3
    for _ in range(3):
        crm.login()
    with pytest.raises(LeftAlone, match="login"):
        crm.login()
    assert len(crm.server.got) == 3


def test_being_told_where_to_log_in_is_no_login(store: Store) -> None:
    crm = Crm(store)
    for _ in range(3):
        crm.server.answers = [(200, {}), (400, {})]
        crm.discover()
        crm.login()
    with pytest.raises(LeftAlone, match="login"):
        crm.discover()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("where", ["login", "discover"])
def test_a_login_that_is_asked_to_wait_holds_for_all_and_has_not_failed(store: Store, status: int, where: str) -> None:
    one, two = Crm(store), Crm(store)
    one.server.answers = [(status, {"Retry-After": "60"})]
    assert getattr(one, where)().status == status
    for crm in (one, two):
        for call in (crm.read, crm.write, crm.login, crm.discover):
            with pytest.raises(LeftAlone, match=rf"left alone until .* \(login: HTTP {status}\)") as left:
                call()
            assert left.value.code == "blocked"
    assert (len(one.server.got), two.server.got) == (1, [])
    assert store.limits("crm").breaker.clean
    assert schedule.due(store, 1) == []


def test_a_login_that_is_asked_to_wait_does_not_make_up_for_those_that_failed(store: Store) -> None:
    crm = Crm(store)
    crm.server.answers = [(400, {}), (400, {}), (429, {"Retry-After": "60"})]
    for _ in range(3):
        crm.login()
    pass_time(store)
    assert store.limits("crm").breaker.logins == 2
    crm.server.answers = [(400, {})]
    crm.login()
    with pytest.raises(LeftAlone, match="in trouble"):
        crm.login()


def test_asked_to_wait_while_it_is_tried_is_told_as_that(store: Store) -> None:
    """The breaker is half-open, and the one read that tries it needs a login."""
    crm = Crm(store)
    crm.server.answers = [(503, {})] * 5
    for _ in range(5):
        crm.write()
    pass_time(store)
    crm.server.answers = [(429, {"Retry-After": "60"})]
    connector: Any = SimpleNamespace(identity=lambda: crm.session.log_in("POST", "/token", headers={}, body=b""))
    with pytest.raises(LeftAlone, match=r"asked to be left alone until .* \(login: HTTP 429\)"):
        course({"left": crm.keeper}, {"left": connector}, was_left_alone=False)


def granted(call: Callable[[], Answer], most: int = 200) -> tuple[int, str]:
    """How often it goes out until it does not, and why not."""
    for number in range(most):
        try:
            call()
        except LeftAlone as error:
            return number, error.code
    return most, ""


def test_shares_of_the_day(store: Store) -> None:
    crm = Crm(store, daily=100)
    shares: tuple[tuple[Work, int], ...] = (("bulk", 80), ("interactive", 10), ("life-cycle", 5))
    for work, calls in shares:
        with doing(work):
            assert granted(crm.read) == (calls, "budget")
    assert schedule.due(store, 1) == []  # until tomorrow
    assert len(crm.server.got) == 95


def test_what_was_counted_and_not_needed_is_given_back(store: Store) -> None:
    crm = Crm(store)
    with doing("bulk"):
        crm.session.send("POST", "/batch", kind="batch", operations=150)
        crm.read()
    assert sum(one.requests for one in store.used_calls("crm")) > 2
    crm.keeper.settle()
    assert [(one.work, one.requests, one.operations) for one in store.used_calls("crm")] == [("bulk", 2, 151)]


def test_the_crms_own_count_stops_as_well(store: Store) -> None:
    crm = Crm(store)
    crm.server.answers = [(200, {"Sforce-Limit-Info": "api-usage=12100/15000"})]
    with doing("bulk"):
        crm.read()
        with pytest.raises(LeftAlone, match="12100 of the day's 15000"):
            crm.read()
    assert crm.read().status == 200  # a person may


def test_the_pace_is_waited_for_and_a_long_queue_is_not(store: Store) -> None:
    crm = Crm(store, rate=Rate(per_second=0.1, burst=2))
    for _ in range(4):
        crm.read()
    assert len(crm.naps) == 2
    assert granted(crm.read)[1] == "pace"
