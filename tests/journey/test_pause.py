"""Somebody on call pauses a side, looks what waits, and lets it go on: the commands as they are typed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project, project

pytestmark = [pytest.mark.journey, pytest.mark.slow]


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path, seed="sample") as one:
        yield one


def test_writes_to_one_side_wait_and_go_on(company: Project) -> None:
    company.first_run()
    company.settle()
    people = company.salesforce()
    leads = people.query("SELECT Id FROM Lead WHERE IsConverted = false AND Status = 'Open - Not Contacted'")[:2]

    refused = company.run("pause")
    assert refused.code == 2
    assert "--why" in refused.err
    unknown = company.run("pause", "--side", "dynamix", "--why", "x")
    assert unknown.code == 2
    assert "there are salesforce and dynamics" in unknown.err, unknown

    paused = company.run("pause", "--entity", "lead", "--side", "dynamics", "--why", "new plug-in", "--by", "ada")
    assert paused.code == 0, paused
    assert "crmbridge resume --entity lead --side dynamics" in paused.out

    for lead in leads:
        people.update("Lead", lead["Id"], Title="On hold")
    company.pass_time()
    planned = company.run("plan", "--json")
    assert planned.json["counts"] == {}, planned
    assert planned.json["paused_writes"]["count"] == 2
    assert "2 writes waiting, since that is paused" in company.run("plan").out
    queued = [("lead", "dynamics", 2)]
    after_plan = company.run("status", "--json").json["paused_writes"]
    assert [(one["entity"], one["connection"], one["writes"]) for one in after_plan] == queued, "a plan shows the queue"
    again = company.run("pause", "--entity", "lead", "--side", "dynamics", "--why", "still that plug-in")
    assert "2 records due at this moment" in again.out
    assert "2 writes of lead records to dynamics waiting already." in again.out
    company.run_here("sync", "--json")
    told = company.run("status", "--json").json
    assert [(one["entity"], one["connection"], one["why"]) for one in told["paused"]] == [
        ("lead", "dynamics", "still that plug-in")
    ]
    assert [(one["entity"], one["connection"], one["writes"]) for one in told["paused_writes"]] == queued
    assert told["lag"]["salesforce lead"] < 600
    assert set(told["schedules"]) == {"account", "contact", "lead", "opportunity"}
    shown = company.run("status").out
    assert "PAUSED: writes of lead to dynamics" in shown
    assert "still that plug-in" in shown

    wrong = company.run("resume", "--entity", "account")
    assert wrong.code == 2
    assert "--entity lead --side dynamics" in wrong.err, wrong
    resumed = company.run("resume", "--why", "it is in", "--json")
    assert resumed.json["writes"] == 2, resumed
    assert resumed.json["records_due"] == 2, resumed
    assert resumed.json["paused"] == []
    done = company.run_here("sync", "--json")
    assert done.json["counts"] == {"dynamics": {"lead": {"update": 2}}}, done
    assert company.run("resume").out == "Nothing is paused.\n"
    assert company.verify()["differences"] == []


def test_everything_can_be_paused(company: Project) -> None:
    company.first_run()
    company.settle()
    assert company.run("pause", "--why", "a bad feeling").code == 0
    company.dynamics().create("leads", lastname="Waiting", companyname="Waiting", emailaddress1="w@w.example")
    company.salesforce().create("Lead", LastName="Too", Company="Too", Email="t@t.example")
    company.pass_time()
    ran = company.run_here("sync", "--json")
    assert ran.json["counts"] == {}
    told = company.run("status", "--json").json
    assert {one["connection"]: one["writes"] for one in told["paused_writes"]} == {"salesforce": 1, "dynamics": 1}
    company.run_here("resume")
    company.settle()
    assert company.verify()["differences"] == []
