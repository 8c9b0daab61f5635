"""Old history goes in small slices; what is open, the ledger, and what other rules need stays."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy import event

from crmbridge import retention
from crmbridge.settings.retention import Retention
from crmbridge.state import prune, schema
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, ConversionRow, Intent, Issue
from crmbridge.sync.hands import LEASE_NAME
from tests.support.engine import bench

OLD = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/s.sqlite3" if sqlite else request.getfixturevalue("postgres_cluster").new_database()
    opened = Store.open(url)
    yield opened
    opened.close()


def intent(number: int, **more: Any) -> Intent:
    known = Intent(
        id=f"i{number}", run_id="r", side="left", entity="lead", kind="update", link_id="l", native_id=f"n{number}"
    )
    return replace(known, **more)


def write(store: Store, batch: Batch) -> None:
    lease = store.take_lease(LEASE_NAME, 60)
    store.apply(batch, lease=lease)
    store.release(lease)


def age(store: Store, table: sa.Table, column: str, *where: Any) -> None:
    with store._database.writing("age") as connection:
        connection.execute(sa.update(table).where(*where).values({column: OLD}))


def lines(store: Store, table: sa.Table) -> int:
    with store._database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def history(store: Store) -> None:
    """Old and new of everything, open and closed."""
    write(store, Batch(open_intents=[intent(n) for n in range(30)]))
    write(store, Batch(close_intents=[intent(n, state="done") for n in range(20)]))
    age(store, schema.journal, "at", schema.journal.c.number <= 12)
    age(store, schema.intent, "closed_at", schema.intent.c.closed_at.is_not(None))
    age(store, schema.intent, "sent_at")
    held = Issue(kind="held", cause="c", entity="lead", link_id=None, side="left", native_id="1")
    write(store, Batch(issues=[held, replace(held, native_id="2")]))
    first, _ = store.open_issues()
    store.close_issue(first.id or 0, "me", "done")
    age(store, schema.issue, "closed_at", schema.issue.c.closed_at.is_not(None))
    age(store, schema.issue, "opened_at")
    for _ in range(prune.RUNS_KEPT + 3):
        store.end_run(store.start_run("sync").id, "done")
    store.start_run("sync")
    age(store, schema.run, "started_at")
    for _ in range(prune.PLANS_KEPT + 2):
        store.save_plan({}, first_run=False)
    store.approve_plan(store.save_plan({}, first_run=False).id, "me", "")
    age(store, schema.plan, "created_at")
    age(store, schema.plan, "approved_at", schema.plan.c.approved_at.is_not(None))
    write(store, Batch(conversions=[ConversionRow(lead_link="l", epoch=0, case="C1", from_side="left", state="done")]))
    age(store, schema.conversion, "changed_at")


def test_what_is_old_goes_and_what_is_needed_stays(store: Store) -> None:
    history(store)
    gone = retention.sweep(store, Retention().ages())
    # An open call, an open issue, the ledger, a run that never ended and the newest of runs and plans are no history.
    assert (gone["journal"], lines(store, schema.journal)) == (13, 8)  # and with them the plan that was said yes to
    assert (gone["calls"], lines(store, schema.intent)) == (20, 10)
    assert (gone["issues"], lines(store, schema.issue)) == (1, 1)
    assert prune.RUNS_KEPT <= lines(store, schema.run) <= prune.RUNS_KEPT + 1
    assert (gone["plans"], lines(store, schema.plan)) == (2, prune.PLANS_KEPT)
    assert lines(store, schema.conversion) == 1
    assert len(store.open_intents()) == 10


def test_for_ever_is_for_ever(store: Store) -> None:
    history(store)
    ages = Retention(journal="forever", calls="forever", runs="forever", issues="forever", plans="forever").ages()
    assert retention.sweep(store, ages) == {}
    assert lines(store, schema.journal) == 20


def test_it_is_done_in_slices_and_goes_on_with_the_next_cycle(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 5)
    monkeypatch.setattr(retention, "SLICES", 2)
    history(store)
    beats: list[int] = []
    ages = {"journal": timedelta(days=30)}
    assert retention.sweep(store, ages, lambda: beats.append(1)) == {"journal": 10}
    assert len(beats) == 2
    assert retention.sweep(store, ages) == {"journal": 3}  # two writes, and the plan
    age(store, schema.journal, "at")
    assert retention.sweep(store, ages) == {"journal": 0}, "it was looked at a moment ago"


SMALL = ("alarm", "pause")  # a handful of lines, whatever the company's size


def plans_of(store: Store, do: Callable[[], object]) -> dict[str, str]:
    """How the database finds what is asked for meanwhile: statement -> plan. Indexes are taken wherever one serves."""
    asked: dict[str, Any] = {}

    def note(_a: Any, _b: Any, statement: str, parameters: Any, _c: Any, _d: Any) -> None:
        if re.match(r"SELECT .* \nFROM (?!meta)|UPDATE", statement, re.DOTALL):
            asked[statement] = parameters

    engine = store._database.engine
    event.listen(engine, "before_cursor_execute", note)
    do()
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        if not sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
        return {
            statement: "\n".join(str(line) for line in connection.exec_driver_sql(explain + statement, parameters))
            for statement, parameters in asked.items()
        }


@pytest.mark.parametrize("what", prune.PRUNINGS)
def test_what_is_old_is_found_by_its_age_and_not_by_looking_at_all(store: Store, what: str) -> None:
    found = plans_of(store, lambda: store.prune(what, timedelta(days=30), 5))
    assert found
    for statement, how in found.items():
        if any(f"FROM {table} " in statement for table in SMALL) or "WHERE" not in statement:
            continue  # without a condition it is a walk along the key, which ends at its LIMIT
        assert "Seq Scan" not in how, (statement, how)
        assert not re.search(r"SCAN \w+\b(?! USING)", how), (statement, how)


def test_a_run_that_begins_finds_those_that_never_ended(store: Store) -> None:
    lease = store.take_lease(LEASE_NAME, 60)
    found = plans_of(store, lambda: store.start_run("sync", lease=lease))
    [how] = [how for statement, how in found.items() if statement.startswith("UPDATE run")]
    assert "run_open" in how


@pytest.mark.parametrize("value", ["400", "3 years", "29 days", 400, "-5 days"])
def test_an_age_has_its_unit_and_is_long_enough_for_what_works_with_it(value: Any) -> None:
    with pytest.raises(ValidationError):
        Retention(journal=value)


def test_a_cycle_sweeps(tmp_path: Path) -> None:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as world:
        world.lead_pair()
        assert world.store.journal()
        age(world.store, schema.journal, "at")
        world.engine.options = replace(world.engine.options, retention=Retention().ages())
        world.sync()
        assert not world.store.journal()
