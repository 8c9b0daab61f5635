"""What a log says of single records: which one, in which run, on both sides, and why; never what is in it."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crmbridge import about
from crmbridge.sync import logged
from crmbridge.sync.handed import FEW
from tests.support.engine import Bench, Fell, bench
from workers import logs

RECORDS = "crmbridge.records"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


@contextmanager
def heard(monkeypatch: pytest.MonkeyPatch, level: int = logging.INFO) -> Iterator[list[dict[str, Any]]]:
    """The lines of a worker, as its log file has them."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level, logging.getLogger("crmbridge").level
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    logs.configure(level)
    logging.getLogger("crmbridge").setLevel(level)
    lines: list[dict[str, Any]] = []
    try:
        with about.within():
            yield lines
    finally:
        root.handlers[:], root.level = kept[0], kept[1]
        logging.getLogger("crmbridge").setLevel(kept[2])
        lines.extend(json.loads(line) for line in output.getvalue().splitlines())


def of(lines: list[dict[str, Any]], action: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["action"] == action]


def pair_of(desk: Bench, lead: str) -> str:
    link = desk.link("left", "lead", lead)
    assert link is not None
    return link.id


def test_what_is_refused_names_the_run_both_ids_and_the_code(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = desk.lead_pair(last_name="Zzcanary")
    desk.north.edit("lead", left, phone="49301234")
    desk.south.lies = lambda kind, entity, id: "refuse"
    with heard(monkeypatch) as lines:
        ran = desk.sync()
        desk.sync()
    (line,) = of(lines, "record_refused")
    assert (line["run"], line["entity"], line["cause"]) == (ran.run_id, "lead", "RULE")
    assert line["ids"] == {"north": left, "south": right}
    assert line["pair"] == pair_of(desk, left)
    assert line["attempts"] == 1
    assert line["next_try"] is not None
    assert not any(word in json.dumps(lines) for word in ("Zzcanary", "49301234", "does not allow"))


def test_each_refusal_is_a_line_and_the_last_one_holds_it(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    left, _ = desk.lead_pair()
    desk.north.edit("lead", left, phone="1")
    desk.south.lies = lambda kind, entity, id: "refuse"
    with heard(monkeypatch) as lines:
        for _ in range(7):
            desk.sync()
            (issue,) = desk.issues("RULE")
            if issue.kind == "failed":
                desk.store.release_issues([issue.id or 0], "me", "")
    assert [line["attempts"] for line in of(lines, "record_refused")] == [1, 2, 3, 4, 5, 6]
    (line,) = of(lines, "record_held")
    assert (line["cause"], line["attempts"], line["next_try"]) == ("RULE", 7, None)


def test_what_is_held_is_said_once_and_not_with_each_cycle(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [desk.south.add("lead", last_name="Twin", company="C", email="t@c.example") for _ in range(2)]
    one = desk.north.add("lead", last_name="Twin", company="C", email="t@c.example")
    with heard(monkeypatch) as lines:
        for _ in range(3):
            desk.sync()
    held = of(lines, "record_held")
    assert {line["cause"] for line in held} == {"ambiguous_match"}
    assert sorted(next(iter(line["ids"].values())) for line in held) == sorted([one, *twins])
    assert len(desk.issues()) == len(held)


@pytest.mark.parametrize("where", ["here", "in a lane"])
def test_each_step_of_the_life_cycle_is_a_line(desk: Bench, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    pairs = dict(desk.lead_pair() for _ in range(FEW + 1))
    for left in pairs:
        desk.north.convert_lead(left)
    desk.engine.hint = (lambda workers: None) if where == "in a lane" else None
    with heard(monkeypatch) as lines:
        ran = desk.sync()
    steps = of(lines, "step_done")
    assert {(line["run"], line["kind"], line["entity"]) for line in steps} == {(ran.run_id, "convert", "lead")}
    assert {line["ids"]["north"]: line["ids"]["south"] for line in steps} == pairs
    assert {line["cause"] for line in steps} <= {"C1", "C2", "C3", "C4"}
    journal = {row.id for row in desk.store.journal(run_id=ran.run_id)}
    assert {line["intent"] for line in steps} <= journal
    assert all("pair" in line for line in steps)


def test_a_deal_that_is_won_is_a_line(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = desk.deal_pair()
    desk.north.set_status("opportunity", left, "Closed Won")
    with heard(monkeypatch) as lines:
        desk.sync()
    (line,) = of(lines, "step_done")
    assert (line["kind"], line["cause"], line["ids"]) == ("win", "O6", {"north": left, "south": right})


def test_plain_writes_are_lines_only_where_somebody_asks_for_them(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = desk.lead_pair()
    for level, count in ((logging.INFO, 0), (logging.DEBUG, 1)):
        desk.north.edit("lead", left, phone=f"1{level}")
        with heard(monkeypatch, level) as lines:
            ran = desk.sync()
        written = of(lines, "record_written")
        assert [(line["run"], line["ids"]) for line in written] == [
            (ran.run_id, {"north": left, "south": right})
        ] * count


def test_nothing_is_looked_up_or_made_into_words_where_nobody_listens(desk: Bench) -> None:
    class Untouched:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

        __getitem__ = __getattr__

    left, _ = desk.lead_pair()
    desk.north.convert_lead(left)
    logger = logging.getLogger(RECORDS)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        desk.sync()
        nobody: Any = Untouched()
        issues = [*desk.issues(), *desk.store.open_issues(kind="report")]
        logged.issues(nobody, nobody, issues)
        logged.writes(nobody, [nobody])
    finally:
        logger.setLevel(before)


def test_what_fails_in_a_lane_names_the_pair(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = dict(desk.lead_pair() for _ in range(2))
    for left in pairs:
        desk.north.convert_lead(left)
    desk.engine.hint = lambda workers: None
    desk.south.lies = lambda kind, entity, id: "fall before" if kind == "convert" else None
    with heard(monkeypatch) as lines:
        with pytest.raises(Fell):
            desk.sync()
        logs.logger("crmbridge.workers").error("it failed", action="cycle_failed")
    (line,) = of(lines, "cycle_failed")
    (run,) = desk.store.runs(limit=1)
    assert line["run"] == run.id
    assert line["pair"] in {pair_of(desk, left) for left in pairs}
