"""A cycle keeps its lease for as long as it works, also where it makes no call for long."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crmbridge.errors import LeaseTaken
from crmbridge.sync.hands import LEASE_SECONDS, RENEW_SECONDS
from crmbridge.sync.view import View
from tests.support.engine import Bench, bench

SECONDS_OF_A_LOOK = 10.0  # at one record: a machine with much else to do, and a company with very many


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


@pytest.mark.parametrize("what", ["plan", "sync"])
def test_planning_for_longer_than_a_lease_lasts_keeps_it(
    desk: Bench, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        desk.north.add("lead", last_name=f"Person{number}", company=f"Company{number}", email=f"p{number}@x.example")
    now = 0.0
    looks: list[float] = []
    renewed = [0.0]
    renew, see = desk.store.renew, View.see

    def slow(*given: Any, **more: Any) -> Any:
        nonlocal now
        now += SECONDS_OF_A_LOOK
        looks.append(now)
        return see(*given, **more)

    def noted(lease: Any, seconds: float) -> None:
        renewed.append(now)
        renew(lease, seconds)

    monkeypatch.setattr(View, "see", slow)
    monkeypatch.setattr(desk.store, "renew", noted)
    desk.engine.clock = lambda: now
    (desk.engine.plan if what == "plan" else desk.sync)()
    assert looks[-1] > LEASE_SECONDS
    late = [at for at in looks if not any(0 <= at - before <= RENEW_SECONDS + SECONDS_OF_A_LOOK for before in renewed)]
    assert not late


@pytest.mark.parametrize("what", ["plan", "sync"])
def test_once_it_is_over_its_lease_is_no_matter_of_later_calls(
    desk: Bench, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process keeps its connectors from cycle to cycle, and others read with them as well."""
    now = 0.0
    desk.engine.clock = lambda: now
    beats: list[Callable[[], None]] = []
    monkeypatch.setattr(desk.north, "heartbeat", beats.append)
    (desk.engine.plan if what == "plan" else desk.sync)()
    now += 2 * LEASE_SECONDS
    with pytest.raises(LeaseTaken):
        beats[0]()  # as it was while it lasted
    beats[-1]()
    desk.engine.drain(1.0)
    now += 2 * LEASE_SECONDS
    beats[-1]()
