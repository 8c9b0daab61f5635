"""Many seeds, and what they came to."""

import gc
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final
from zlib import crc32

from tests.simulation import invariants
from tests.simulation.faults import KINDS
from tests.simulation.simulation import Result, Simulation

FIXED: Final = Path(__file__).with_name("seeds.txt")
STILL_OPEN: Final = Path(__file__).with_name("open.txt")
# Each known crash point, and every how many seeds a worker is certainly killed there, if it gets there: 25 where all
# stories get, and the oftener the fewer do. One more line is another story only for seeds that get there.
PLACES: Final = Path(__file__).with_name("places.txt")


@dataclass(kw_only=True)
class Sum:
    """Of many seeds."""

    seeds: int = 0
    events: int = 0
    disturbances: int = 0
    days: float = 0.0
    seconds: float = 0.0
    cycles: int = 0
    conversions: int = 0
    struck: Counter[str] = field(default_factory=Counter[str])
    seeds_of: Counter[str] = field(default_factory=Counter[str])  # kind of fault -> seeds in which it struck
    checks: Counter[str] = field(default_factory=Counter[str])
    places: Counter[str] = field(default_factory=Counter[str])
    killed_at: Counter[str] = field(default_factory=Counter[str])
    hashes: dict[int, str] = field(default_factory=dict[int, str])  # of each seed that was not violated
    failed: dict[int, str] = field(default_factory=dict[int, str])

    def told(self) -> str:
        """As JSON, for whoever sums up the parts."""
        return json.dumps(vars(self), sort_keys=True)

    @classmethod
    def of(cls, parts: Sequence[str]) -> "Sum":
        total = cls()
        for text in parts:
            for name, value in json.loads(text).items():
                have = getattr(total, name)
                if isinstance(have, Counter):
                    have.update(value)
                elif isinstance(have, dict):
                    have.update({int(seed): said for seed, said in value.items()})
                else:
                    setattr(total, name, have + value)
        return total

    def add(self, result: Result, seconds: float) -> None:
        self.seeds += 1
        self.hashes[result.seed] = result.hash
        self.events += result.events
        self.disturbances += result.disturbances
        self.days += result.days
        self.seconds += seconds
        self.cycles += result.cycles
        self.conversions += result.conversions
        self.struck += result.struck
        self.seeds_of.update(kind for kind, count in result.struck.items() if count)
        self.checks += result.checks
        self.places += result.places
        self.killed_at += result.killed_at


@cache
def _places() -> Mapping[str, int]:
    lines = (line.split(" ", 1) for line in PLACES.read_text(encoding="utf-8").splitlines())
    return {place: int(every) for every, place in lines}


def known_places() -> frozenset[str]:
    return frozenset(_places())


def targets_of(seed: int) -> tuple[str, ...]:
    """Where a worker is certainly killed, if one gets there. Not before and after one thing in the same seed: who died
    before it does not come to what is after it."""

    def turn(place: str) -> int:
        when, _, what = place.partition(" ")
        return crc32(what.encode()) + (when in ("received", "committed"))

    return tuple(place for place, every in _places().items() if (seed + turn(place)) % every == 0)


def simulate(seed: int, *, events: int, keep: int = 0, faults: tuple[str, ...] | None = None) -> Result:
    """One seed, as everybody runs it: the places where it kills follow from the seed alone."""
    targets = targets_of(seed) if faults is None else ()
    simulation = Simulation(
        seed,
        events=events,
        faults=faults,
        kill_at=targets,
        keep=keep,
        check=invariants.check,
        after_call=invariants.after_call,
    )
    with _seldom_collecting():
        return simulation.run()


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Looking for garbage at the usual pace takes a seventh of a seed's time, and finds hardly any."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def run(
    seeds: Iterable[int],
    *,
    events: int,
    minutes: float | None = None,
    stop: bool = False,
    say: Callable[[str], None] = print,
) -> Sum:
    total = Sum()
    ends = time.perf_counter() + minutes * 60 if minutes else None
    for seed in seeds:
        began = time.perf_counter()
        if ends is not None and began > ends:
            break
        try:
            total.add(simulate(seed, events=events), time.perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed has failed
            total.failed[seed] = f"{type(error).__name__}: {error}"
            say(f"seed {seed}: {total.failed[seed]}\n   again: {command(seed, events)}")
            if stop:
                break
    return total


def command(seed: int, events: int) -> str:
    return f"python -m tests.simulation --seed {seed} --events {events}"


def table(total: Sum) -> Sequence[str]:
    share = 100 * total.disturbances / total.events if total.events else 0
    lines = [
        f"seeds {total.seeds}, violated {len(total.failed)}",
        f"events {total.events}, of which outside edits and faults {share:.0f} %",
        f"simulated days {total.days:.1f}, cycles {total.cycles}, conversions by us {total.conversions}",
        f"seconds {total.seconds:.0f}, events/s {total.events / total.seconds if total.seconds else 0:.0f}",
        f"crash points reached {len(total.places)}, workers killed at {len(total.killed_at)} of them",
        "invariants checked: " + ", ".join(f"{name} {count}" for name, count in sorted(total.checks.items())),
        "faults by kind (times, in so many seeds):",
    ]
    lines += [f"  {kind:28} {total.struck[kind]:7} {total.seeds_of[kind]:6}" for kind in KINDS]
    return lines
