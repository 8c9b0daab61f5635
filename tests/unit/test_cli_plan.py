"""What `plan` prints: each held record once, and how to see those that are not shown."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crmbridge.cli.output import console
from crmbridge.cli.sync import Shown
from crmbridge.sync.hands import Event, once
from tests.support.engine import Bench, bench


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Bench]:
    """An account that could be either of two on the other side."""
    with bench(f"sqlite:///{tmp_path / 'store.sqlite3'}") as one:
        for _ in range(2):
            one.north.add("account", name="Ash", city="Ulm")
        one.south.add("account", name="Ash", city="Ulm")
        yield one


def planned(company: Bench, *, examples: int) -> Shown:
    engine = company.engine
    return Shown(outcome=engine.plan(), names=engine.names, store=engine.store.place, examples=examples)


def test_a_record_that_two_phases_hold_is_told_once(twins: Bench) -> None:
    held = planned(twins, examples=20).document()["held"]
    assert Counter((one["cause"], *one["ids"].values()) for one in held).most_common(1)[0][1] == 1
    assert [one["on"] for one in held] == ["north", "north", "south"]


def test_what_was_done_twice_is_told_twice_and_what_is_only_told_once() -> None:
    done = Event(entity="lead", side="left", kind="update", link_id="1", ids={"left": "a"}, reason="its phone changed")
    first = Event(entity="lead", side="left", kind="held", link_id="1", ids={"left": "a"}, reason="a or b", cause="C")
    last = replace(first, reason="a, b or c")
    other = replace(first, fields=("phone",))
    failed = replace(first, kind="failed")
    again = replace(done)  # in the same words
    assert once([first, done, other, failed, last, again]) == (last, done, other, failed, again)


def test_what_a_plan_does_not_show_is_counted_by_cause_and_found_in_a_file(
    twins: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    console.cache_clear()
    planned(twins, examples=1).print()
    console.cache_clear()
    printed = capsys.readouterr().out
    assert "2 more: crmbridge plan --csv FILE" in printed  # a plan opens no issues, so `crmbridge issues` has none
    assert ["3", "ambiguous_match", "account"] in [line.split() for line in printed.splitlines()]
