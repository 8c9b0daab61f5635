"""What a person asks of the CRMs outside of a run keeps to the same limits as everything else, and counts with it."""

from collections.abc import Iterator
from typing import Any

import pytest

from crmbridge.state.store import Store
from tests.support.project import Project, project

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

ASKING = {
    "check": ("check", "--live"),
    "capture": ("capture", "--out", "shape.yaml", "--force"),
    "init": ("mapping", "init", "drafts", "--force"),
    "setup": ("setup",),
}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("asking"), seed="sample") as one:
        yield one


@pytest.fixture
def store(company: Project) -> Iterator[Store]:
    one = Store.open(f"sqlite:///{company.store}")
    yield one
    for name in ("salesforce", "dynamics"):
        one.lift(name, by="test", why="the next test")
    company.box.control.clear_faults()
    one.close()


def words(company: Project, what: str) -> list[str]:
    return [str(company.folder / word) if word in ("shape.yaml", "drafts") else word for word in ASKING[what]]


def calls(company: Project, crm: str) -> list[dict[str, Any]]:
    return [call for call in company.box.control.raw_calls() if call["crm"] == crm]


@pytest.mark.parametrize("what", ASKING)
def test_nobody_is_asked_who_wants_to_be_left_alone(company: Project, store: Store, what: str) -> None:
    for name in ("salesforce", "dynamics"):
        store.block_calls(name, 600, "0x80072322")
    company.box.control.forget_calls()
    ran = company.run_here(*words(company, what))
    assert ran.code == 4, ran
    assert "left alone until" in ran.out + ran.err, ran
    assert company.box.control.raw_calls() == [], ran


@pytest.mark.parametrize("what", ASKING)
def test_a_429_that_a_person_meets_holds_for_all(company: Project, store: Store, what: str) -> None:
    company.box.control.add_fault(crm="dynamics", fault="throttled", retry_after=600, times=1)
    ran = company.run_here(*words(company, what))
    assert ran.code == 4, ran
    assert store.limits("dynamics").block is not None
    before = len(calls(company, "dynamics"))
    assert company.run_here("plan").code == 4
    assert len(calls(company, "dynamics")) == before


@pytest.mark.parametrize("what", ASKING)
def test_they_are_counted_as_what_a_person_asks(company: Project, store: Store, what: str) -> None:
    before = {one.work: one.requests for one in store.used_calls("dynamics")}
    company.box.control.forget_calls()
    ran = company.run_here(*words(company, what))
    assert ran.code in (0, 1, 2), ran  # findings of the sample are theirs
    made = [call for call in calls(company, "dynamics") if call["category"] != "login"]
    after = {one.work: one.requests for one in store.used_calls("dynamics")}
    assert made, "it asked nothing, so it proves nothing"
    assert after["interactive"] - before.get("interactive", 0) == len(made)
    assert {work: n for work, n in after.items() if work != "interactive"} == {
        work: n for work, n in before.items() if work != "interactive"
    }


@pytest.mark.parametrize("what", ASKING)
def test_they_stop_before_conversions_do(company: Project, store: Store, what: str) -> None:
    store.note_told_usage("salesforce", 9_200, 10_000)  # by everybody, of the day
    company.box.control.forget_calls()
    ran = company.run_here(*words(company, what))
    assert ran.code == 4, ran
    assert "interactive work stops at 90%" in ran.out + ran.err, ran
    assert [call for call in calls(company, "salesforce") if call["category"] != "login"] == []


def test_check_tries_a_crm_that_was_in_trouble(company: Project, store: Store) -> None:
    """Who has mended a login wants to see it now, not in five minutes; the others wait as runs do."""
    for _ in range(5):
        store.report_breaker("dynamics", "trouble", "503")
    company.box.control.forget_calls()
    assert company.run_here(*words(company, "setup")).code == 4
    assert calls(company, "dynamics") == []
    ran = company.run_here("check", "--live", "--json")
    assert ran.code in (0, 1, 2), ran
    assert any(line["where"] == "dynamics" and "answers as" in line["text"] for line in ran.json["findings"]), ran


def test_check_goes_on_where_the_store_does_not_serve(company: Project) -> None:
    env = {"CRMBRIDGE_STORE__URL": "postgresql://nobody@127.0.0.1:9/nothing"}
    company.env.update(env)
    try:
        ran = company.run_here("check", "--live", "--json")
        assert ran.code == 4, ran
        assert any("answers as" in line["text"] for line in ran.json["findings"]), ran
        assert company.run_here(*words(company, "setup")).code == 4
    finally:
        for name in env:
            del company.env[name]
