"""Limits, as both CRMs and their people see them: a CRM that asks to be left alone is, conversions go first
afterwards, the forecast is told, and nothing is lost."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import redis

from crmbridge.state.store import Store
from tests.support.blocks import soon_over
from tests.support.project import Project, Ran, project, wait_until
from workers import own_broker
from workers.desk import Desk

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

STORM_SECONDS = 600  # longer than any machine takes for what is looked at meanwhile
USED = 20_000


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path) as one:
        one.first_run()
        one.settle()
        yield one


def data_calls(company: Project, crm: str) -> list[dict[str, Any]]:
    return [call for call in company.box.control.raw_calls() if call["crm"] == crm and call["category"] != "login"]


def blocked(company: Project, crm: str) -> bool:
    store = Store.open(f"sqlite:///{company.store}")
    try:
        return store.limits(crm).block is not None
    finally:
        store.close()


def the_block_ends(company: Project, crm: str) -> None:
    soon_over(f"sqlite:///{company.store}", crm)
    wait_until("the block ends", lambda: not blocked(company, crm))


def status(company: Project) -> Any:
    ran = company.run_here("status", "--json")
    assert ran.code == 0, ran
    return ran.json["limits"]


def work_for_both_kinds(company: Project) -> tuple[str, str]:
    """A plain change and a conversion, both of which Dynamics has to be told. Returns the lead and the changed one."""
    sf = company.salesforce()
    leads = sf.query("SELECT Id FROM Lead WHERE IsConverted = false AND Status = 'Open - Not Contacted' LIMIT 2")
    plain = sf.query("SELECT Id FROM Contact LIMIT 1")[0]["Id"]
    sf.update("Contact", plain, Title="Head of storms")
    sf.convert(leads[0]["Id"], with_opportunity=True, name="Storm deal")
    company.pass_time()
    return leads[0]["Id"], plain


def sync(company: Project) -> Ran:
    return company.run_here("sync", "--json")


def test_a_storm_of_429(company: Project) -> None:
    """The first call of the cycle and all after it are refused for as long as anybody calls."""
    work_for_both_kinds(company)
    control = company.box.control
    control.add_fault(crm="dynamics", fault="throttled", retry_after=STORM_SECONDS, times=1)
    refused = sync(company)
    assert refused.code == 4, refused
    assert "left alone until" in refused.err
    told = status(company)["dynamics"]
    assert told["blocked_until"] is not None
    assert told["blocked_why"]
    control.forget_calls()
    again = [sync(company) for _ in range(3)]
    calls = data_calls(company, "dynamics")
    assert blocked(company, "dynamics"), "it ended while we tried"
    assert calls == [], "called while it had asked to be left alone"
    assert {one.code for one in again} == {4}
    the_block_ends(company, "dynamics")
    control.forget_calls()
    done = sync(company)
    assert done.code in (0, 1), done
    assert done.json["counts"]["dynamics"]["lead"]["convert"] == 1
    _conversion_comes_first(data_calls(company, "dynamics"))
    company.settle()
    assert company.verify()["differences"] == []
    assert not failed(company)


def failed(company: Project) -> list[Any]:
    groups = company.run_here("issues", "--json").json["causes"]
    return [group for group in groups if group["kind"] == "failed"]


def test_asked_to_stay_away_in_the_middle_of_writing(company: Project) -> None:
    """What was on its way is not a failure of the records: it waits, and is carried over once the time has come."""
    work_for_both_kinds(company)
    control = company.box.control
    rule = {"crm": "dynamics", "fault": "throttled", "retry_after": STORM_SECONDS, "times": 1, "method": "POST"}
    control.add_fault(**rule, body_regex="PATCH|QualifyLead")
    stopped = sync(company)
    assert stopped.code == 4, stopped
    assert control.faults()[0]["fired"] == 1
    outcome = company.run_here("runs", "--json").json["runs"][0]["outcome"]
    assert outcome.startswith("waits"), outcome
    assert not failed(company)
    calls_before = len(data_calls(company, "dynamics"))
    assert sync(company).code == 4
    assert blocked(company, "dynamics"), "it ended while we tried"
    assert len(data_calls(company, "dynamics")) == calls_before
    the_block_ends(company, "dynamics")
    company.settle()
    assert company.verify()["differences"] == []
    assert not failed(company)


def test_an_exhausted_quota_of_salesforce(company: Project) -> None:
    """403 without Retry-After: nobody calls for a quarter of an hour, and people read why."""
    control = company.box.control
    control.add_fault(crm="salesforce", fault="quota_exhausted", times=1, path_regex="^/services/data")
    assert sync(company).code == 4
    told = status(company)["salesforce"]
    assert told["blocked_why"] == "REQUEST_LIMIT_EXCEEDED"
    control.forget_calls()
    assert sync(company).code == 4
    assert data_calls(company, "salesforce") == []
    shown = company.run_here("status").out
    assert "salesforce asked to be left alone (REQUEST_LIMIT_EXCEEDED)" in shown
    the_block_ends(company, "salesforce")
    assert sync(company).code in (0, 1)


def test_when_the_day_has_few_calls_left_conversions_go_on_and_plain_changes_wait(company: Project) -> None:
    work_for_both_kinds(company)
    store = Store.open(f"sqlite:///{company.store}")
    store.reserve_calls("dynamics", "bulk", requests=200, operations=USED)  # as if it were the evening of a busy day
    store.close()
    company.box.control.forget_calls()
    before = status(company)["dynamics"]
    used = before["operations_today"]
    company.change(
        "    request_limit_seconds: 5\n    auth:\n",
        f"    daily_calls: {few(used)}\n    request_limit_seconds: 5\n    auth:\n",
    )
    ran = sync(company)
    assert ran.code in (0, 1), ran
    now = status(company)["dynamics"]
    calls = [
        call for call in company.box.control.raw_calls() if call["crm"] == "dynamics" and call["category"] != "login"
    ]
    assert now["requests_today"] - before["requests_today"] == len(calls)
    assert now["stopped"][-1] == "bulk"
    assert (now["used"], now["limit"]) == (now["operations_today"], few(used))
    done = ran.json["counts"]["dynamics"]
    assert done.get("lead", {}).get("convert") == 1
    assert "contact" not in done
    outcome = company.run_here("runs", "--json").json["runs"][0]["outcome"]
    assert outcome.startswith("waits: dynamics"), outcome
    shown = company.run_here("status").out
    assert "forecast" in shown
    assert "stopped for now" in shown
    company.change(f"    daily_calls: {few(used)}\n", "")
    company.settle()
    assert company.verify()["differences"] == []
    assert not failed(company)
    assert company.dynamics().find("contacts", "jobtitle eq 'Head of storms'")


def few(used: int) -> int:
    """So many that bulk work has stopped, and a conversion still goes."""
    return round(used / 0.8) - 1


def _conversion_comes_first(calls: list[dict[str, Any]]) -> None:
    operations = [" ".join(one) for call in calls for one in (call["operations"] or [[call["table"], call["kind"]]])]
    qualify = next(n for n, what in enumerate(operations) if "Qualify" in what)
    plain = next(n for n, what in enumerate(operations) if what.startswith("contact") and "update" in what)
    assert qualify < plain, operations


def test_workers_take_their_turns_from_redis(company: Project) -> None:
    """The engine of a worker: its calls have their place in the broker's bucket, and go on when it is away."""
    with own_broker.embedded(company.folder / "redis") as url, mock.patch.dict(os.environ, company.environment()):
        company.change("connections:\n", f"broker: {{url: '{url}'}}\nconnections:\n")
        company.change("    system: salesforce\n", "    system: salesforce\n    calls_per_second: 900\n")
        desk = Desk(company.settings)
        try:
            with desk.engine() as engine:
                engine.sync(by="worker")
            with redis.Redis.from_url(_plain(url), decode_responses=True) as client:
                keys = [str(key) for key in client.keys("*bucket:*")]
                assert [key.rpartition(":")[2] for key in keys] == ["salesforce"], "dynamics has no pace here"
                client.shutdown(nosave=True)
            with desk.engine() as engine:
                assert engine.sync(by="worker").ruling.go
        finally:
            desk.close()


def _plain(url: str) -> str:
    """As redis-py writes it."""
    return url.replace("redis+socket", "unix").replace("virtual_host", "db")
