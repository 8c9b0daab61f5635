"""What things cost in calls, counted by both CRMs: nothing to do, one life-cycle action, thousands of rows.

Every figure is printed (`pytest -s`, or with the failure); `python -m benchmarks.calls` writes them down.
"""

from functools import partial
from pathlib import Path

import pytest

from tests.support.calls import CRMS, Bulk, Cost, life_cycle, many, meter

pytestmark = pytest.mark.journey

ACTION_CALLS_MAX = 8
ROWS = 3000


@pytest.mark.slow
def test_nothing_and_each_life_cycle_action(tmp_path: Path) -> None:
    with meter(tmp_path / "company") as one:
        one.demo.before()
        one.demo.first_run()
        one.settle()
        idle = one.idle()
        print(idle)
        _one_call_a_table(idle)
        over: list[str] = []
        for act in life_cycle():  # in this order: later ones reopen what earlier ones closed
            cost = one.cost(act.name, partial(act.act, one.people), expect=act.done).beyond(idle)
            echo = one.cost("its echo", lambda: None).beyond(idle)
            print(cost)
            if not 0 < cost.both <= ACTION_CALLS_MAX:
                over.append(str(cost))
            if echo.both:
                over.append(f"the echo of {act.name}: {echo}")
        assert over == []


def _one_call_a_table(idle: Cost) -> None:
    for crm in CRMS:
        assert set(idle.requests[crm].values()) == {1}
        tables = [what.split()[0] for what in idle.requests[crm]]
        assert len(tables) == len(set(tables)), "a table was asked twice, in two ways"
        assert not idle.operations[crm]


@pytest.mark.slow
def test_many_rows(tmp_path: Path) -> None:
    """All data calls of the whole cycle are counted, those of other tables too; of the echo as well."""
    with meter(tmp_path / "company", seed="empty") as one:
        one.settle()
        for bulk in many(ROWS):
            cost = one.cost(bulk.name, partial(bulk.act, one.people))
            print(cost)
            _within(bulk, cost)
            assert _written(cost) >= bulk.rows, f"not all of it was carried over\n{cost}"
            echo = one.cost("its echo", lambda: None)
            _within(bulk, echo)
            assert not one.demo.outcomes[-1].counts


def _within(bulk: Bulk, cost: Cost) -> None:
    for crm in CRMS:
        assert cost.total(crm) <= bulk.allowed(crm), f"{crm}: {bulk.allowed(crm)} are allowed\n{cost}"


def _written(cost: Cost) -> int:
    kinds = ("create", "update", "upsert", "WinOpportunity")
    return sum(n for crm in CRMS for what, n in cost.operations[crm].items() if what.split()[1] in kinds)
