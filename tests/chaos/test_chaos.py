"""A short run with real processes: what `python -m tests.chaos` does at length (docs/explanation/chaos.md)."""

from pathlib import Path

import pytest

from tests.chaos import naive_run
from tests.chaos.plan import Acks, Plan, Pool
from tests.chaos.run import Report, run
from tests.support import postgres

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(1200)]

SEED = 3


def _short(**changes: object) -> Plan:
    words = {"kills": 20, "redis_kills": 2, "postgres_restarts": 1, "stops": 1, "conversions": 50, "quiet_seconds": 300}
    return Plan(**{"seed": SEED, **words, **changes})


@pytest.mark.parametrize(("acks", "pool"), [("late", "prefork"), ("early", "threads")])
def test_killed_frozen_and_cut_off_nothing_is_lost_and_nothing_doubled(tmp_path: Path, acks: Acks, pool: Pool) -> None:
    plan = _short(acks=acks, pool=pool)
    report = _run(plan, tmp_path)
    print(report)
    kills = sum(report.counts[f"kill {victim}"] for victim in ("child", "group", "parent"))
    assert (kills, report.counts["redis"], report.counts["postgres"], report.counts["stop"]) == (20, 2, 1, 1)
    assert report.counts["kill at work"] >= 5, "kills that hit nobody prove nothing"
    assert report.conversions == report.verdict.mirrored == plan.conversions
    assert report.verdict.lost == []
    assert report.verdict.doubled == []
    assert report.verdict.wrong == []
    assert report.writes_when_quiet == 0
    assert report.clean, report


def test_the_same_harness_sees_the_duplicates_of_naive_tasks(tmp_path: Path) -> None:
    """The control: without intents and keys the same harm makes duplicates, and they are counted."""
    found = _naive(_short(), tmp_path)
    print(found)
    assert found.conversions == 50
    assert len(found.duplicates) > 0


def _run(plan: Plan, folder: Path) -> Report:
    try:
        return run(plan, folder / "chaos")
    except postgres.NoPostgres as reason:
        pytest.skip(str(reason))


def _naive(plan: Plan, folder: Path) -> naive_run.Found:
    try:
        return naive_run.run(plan, folder / "naive")
    except postgres.NoPostgres as reason:
        pytest.skip(str(reason))
