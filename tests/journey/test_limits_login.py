"""A login that is asked to wait is as good as a call that is: nobody calls that CRM until the time has come, everybody
reads why, and it is no failed login."""

import os
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from crmbridge.state.store import Store
from tests.support.project import Project, project
from workers import cycle, schedule
from workers.desk import Desk

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

STORM_SECONDS = 600  # longer than any machine takes for what is looked at meanwhile

# name -> the CRM, the requests of its login that are refused, and what is said of it
PLACES: dict[str, tuple[str, dict[str, Any], str]] = {
    "dynamics, where to log in": ("dynamics", {"crm": "identity", "method": "GET"}, "login: http_429"),
    "dynamics, token": ("dynamics", {"crm": "identity", "method": "POST"}, "login: http_429"),
    "dynamics, 503": ("dynamics", {"crm": "identity", "status": 503}, "login: http_503"),
    "salesforce, token": (
        "salesforce",
        {"crm": "salesforce", "path_regex": "/oauth2/token"},
        "login: rate_limit_exceeded",
    ),
    "salesforce, SOAP": (
        "salesforce",
        {"crm": "salesforce", "path_regex": "/services/Soap"},
        "login: REQUEST_LIMIT_EXCEEDED",
    ),
}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("logins"), seed="sample") as one:
        one.add("schedules: {every_seconds: 1}\n")
        yield one


@pytest.fixture
def store(company: Project) -> Iterator[Store]:
    one = Store.open(f"sqlite:///{company.store}")
    yield one
    company.box.control.clear_faults()
    for name in ("salesforce", "dynamics"):
        one.lift(name, by="test", why="the next test")
    one.close()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, company: Project) -> Iterator[tuple[str, str]]:
    """The CRM whose login asks for patience, and what is said of it."""
    crm, rule, why = PLACES[request.param]
    before = company.settings.read_text(encoding="utf-8")
    if request.param == "salesforce, SOAP":
        told = company.box.connect["salesforce"]
        company.env.update({"SALESFORCE_PASSWORD": told["password"], "SALESFORCE_TOKEN": told["security_token"]})
        company.change(
            f'flow: client_credentials, client_id: {told["client_id"]}, client_secret: "${{env:SALESFORCE_SECRET}}"',
            f'flow: password, username: {told["username"]}, password: "${{env:SALESFORCE_PASSWORD}}", '
            'security_token: "${env:SALESFORCE_TOKEN}"',
        )
    fault = {"fault": "status" if "status" in rule else "throttled", "retry_after": STORM_SECONDS, "times": None}
    company.box.control.add_fault(**(fault | rule))
    company.box.control.forget_calls()
    yield crm, why
    company.settings.write_text(before, encoding="utf-8")


def calls(company: Project, crm: str) -> list[dict[str, Any]]:
    """Of every kind, logins among them."""
    return [call for call in company.box.control.raw_calls() if call["crm"] == crm]


def logins_refused(company: Project) -> int:
    return company.box.control.faults()[0]["fired"]


def test_a_person_is_told_and_nobody_calls_it(company: Project, store: Store, place: tuple[str, str]) -> None:
    crm, why = place
    refused = company.run_here("sync")
    assert refused.code == 4, refused
    assert f"{crm} asked to be left alone until" in refused.err, refused
    assert f"({why})" in refused.err, refused
    assert "Check connections" not in refused.err, refused
    assert logins_refused(company) == 1
    standing = store.limits(crm)
    assert standing.block is not None
    assert standing.breaker.clean
    shown = company.run_here("limits")
    assert f"{crm} asked to be left alone ({why}): nothing is sent to it until then." in shown.out, shown
    assert "closed" in shown.out, shown
    before = len(calls(company, crm))
    for words in (("sync",), ("plan",), ("verify",), ("setup",), ("check", "--live")):
        ran = company.run_here(*words)
        assert ran.code == 4, ran
        assert "left alone until" in ran.out + ran.err, ran
    assert len(calls(company, crm)) == before
    assert logins_refused(company) == 1, "a login while it had asked to be left alone"
    company.box.control.clear_faults()
    assert company.run_here("limits", "--lift", crm, "--why", "it serves again").code == 0
    assert company.run_here("plan").code == 0


def test_workers_wait_and_call_neither_crm(company: Project, store: Store, place: tuple[str, str]) -> None:
    crm, why = place
    store.end_run(store.start_run("sync").id, "interrupted")  # the next one is due at once
    with mock.patch.dict(os.environ, company.environment()):
        desk = Desk(company.settings)
        try:
            cycle.drain(desk, schedule.CYCLE)
            once = len(calls(company, "salesforce")), len(calls(company, "dynamics"))
            time.sleep(1.1)  # as long as cycles are apart
            for _ in range(3):
                cycle.drain(desk, schedule.CYCLE)
        finally:
            desk.close()
    assert logins_refused(company) == 1
    assert (len(calls(company, "salesforce")), len(calls(company, "dynamics"))) == once
    outcome = store.runs(limit=1)[0].outcome
    assert outcome.startswith(f"waits: {crm} asked to be left alone until"), outcome
    assert f"({why})" in outcome
    assert store.limits(crm).breaker.clean
