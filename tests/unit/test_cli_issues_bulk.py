"""Many issues at once: by cause, kind of record, or kind of issue, with who and why."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crmbridge.cli.error_handler import run
from crmbridge.settings import load
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Issue
from tests.unit.test_settings_schedules import CONNECTIONS

CAUSES = (("too_long", "held", "lead", 3), ("too_long", "held", "account", 2), ("RULE", "failed", "lead", 4))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    (tmp_path / "crmbridge.yaml").write_text(CONNECTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRMBRIDGE_CONFIG", raising=False)
    monkeypatch.setenv("SECRET", "s")
    one = Store.open(load(tmp_path / "crmbridge.yaml").store_url())
    lease = one.take_lease("cycle", 60)
    known: Any = {"link_id": None, "side": "left", "message": "so it is", "fix": "Do something."}
    found = [
        Issue(cause=cause, kind=kind, entity=entity, native_id=f"{cause}{entity}{n}", **known)  # type: ignore[arg-type]
        for cause, kind, entity, many in CAUSES
        for n in range(many)
    ]
    one.apply(Batch(issues=found), lease=lease)
    one.release(lease)
    yield one
    one.close()


def left(store: Store) -> dict[tuple[str, str], int]:
    return {(group.cause, group.entity): group.count for group in store.issue_groups()}


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(words) == code
    told = capsys.readouterr()
    return told.out + told.err


def test_counts_come_first_and_the_records_when_a_cause_is_named(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, "issues", code=1)
    assert "too_long: 5 records" in told
    assert "What to do: Do something." in told
    assert "docs/howto/on-call/records.md#does-not-fit" in told
    assert "docs/howto/on-call/records.md#crm-code" in told, "the CRM's own word"
    assert "Records: crmbridge issues too_long" in told
    assert "too_longlead0" not in told
    told = said(capsys, "issues", "too_long", code=1)
    assert "too_longlead0" in told
    assert "too_longaccount1" in told
    assert "RULElead0" not in told
    found = json.loads(said(capsys, "issues", "RULE", "--json", code=1))
    assert found["causes"][0]["page"] == "docs/howto/on-call/records.md#crm-code"
    assert "No open issues." in said(capsys, "issues", "nothing_of_that")
    assert "two causes" in said(capsys, "issues", "RULE", "--cause", "too_long", code=2)


def test_a_cause_with_an_advice_for_each_field_is_summed_up(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    lease = store.take_lease("cycle", 60)
    known: Any = {"entity": "lead", "link_id": None, "side": "left", "kind": "held", "message": "so it is"}
    found = [Issue(cause="differs", native_id="one", field=f"f{n}", fix=f"Choose f{n}.", **known) for n in range(5)]
    store.apply(Batch(issues=found), lease=lease)
    store.release(lease)
    told = said(capsys, "issues", code=1)
    assert [f"Choose f{n}." in told for n in range(5)] == [True, True, True, False, False]
    assert "... and 2 more like it, one for each field or choice" in told
    assert all(f"Choose f{n}." in said(capsys, "issues", "differs", code=1) for n in range(5))


def test_a_cause_that_is_only_reported_is_listed_when_it_is_named(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = store.take_lease("cycle", 60)
    known: Any = {"entity": "lead", "link_id": None, "side": "left", "message": "so it is", "fix": ""}
    store.apply(Batch(issues=[Issue(cause="nobody", kind="report", native_id="one of them", **known)]), lease=lease)
    store.release(lease)
    assert "nobody" not in said(capsys, "issues", code=1)
    assert "one of them" in said(capsys, "issues", "nobody"), "exit code 0: it needs nobody"


def test_many_are_tried_again_with_who_and_why(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--by", "ada", "--why", "the rule was mended")
    assert "4 issues" in said(capsys, "retry", "--cause", "RULE", *words)
    released = [one for one in store.open_issues() if one.released_by is not None]
    assert {(one.cause, one.released_by, one.released_why) for one in released} == {
        ("RULE", "ada", "the rule was mended")
    }
    assert len(released) == 4
    assert "2 issues" in said(capsys, "retry", "--entity", "account", "--why", "x")
    assert "4 issues" in said(capsys, "retry", "--kind", "failed", "--why", "x")
    assert "Give either" in said(capsys, "retry", "--all", "--cause", "RULE", code=2)


def test_many_are_not_tried_again_without_a_why(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for several in (("--cause", "RULE"), ("--entity", "lead"), ("--kind", "failed"), ("--all",), ("1", "2")):
        assert "need --why" in said(capsys, "retry", *several, code=2)
        assert "need --why" in said(capsys, "retry", *several, "--why", "  ", code=2)
    assert all(one.released_by is None for one in store.open_issues())
    assert "1 issue " in said(capsys, "retry", "1"), "one alone: it is seen which, and may go without"


def test_many_are_closed_with_who_and_why(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "need --why" in said(capsys, "resolve", "--cause", "too_long", code=2)
    assert len(store.open_issues()) == 9
    told = said(
        capsys, "resolve", "--cause", "too_long", "--entity", "lead", "--why", "agreed with sales", "--by", "ada"
    )
    assert told.startswith("3 issues are closed.")
    assert left(store) == {("too_long", "account"): 2, ("RULE", "lead"): 4}
    closed = store.issue(1)
    assert closed is not None
    assert (closed.closed_by, closed.closed_why) == ("ada", "agreed with sales")
    assert said(capsys, "resolve", "--cause", "too_long", "--entity", "lead", "--why", "x").startswith("0 issues")
