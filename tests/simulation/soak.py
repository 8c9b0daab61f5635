"""python -m tests.simulation.soak [--seeds 20000] [--events 200] [--minutes 60] [--workers 2] [--from 23501]

Many thousand seeds take more hours than a sitting has. What is done stands in `soak.json`, with a digest of the code
that it was done with, and the next sitting goes on from there. Other code begins anew: sums of two tell of neither.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from tests.simulation.runner import Sum, run, simulate, table

LEDGER: Final = Path(__file__).with_name("soak.json")
ROOT: Final = Path(__file__).parents[2]
FIRST: Final = 20_001  # seeds that no other test has seen
PART: Final = 100  # seeds
# Not what is tried: the CRMs' stand-in, and what only starts and tells of it.
ASIDE: Final = ("crmbridge/sandbox/", "tests/simulation/soak.py", "tests/simulation/__main__.py", ".venv/")


def code() -> list[str]:
    """The modules of ours that a seed's story comes by, as paths. Asked in a process that has loaded nothing else."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_loaded).result()


def _loaded() -> list[str]:
    simulate(1, events=30)
    files = (Path(found) for module in list(sys.modules.values()) if (found := getattr(module, "__file__", None)))
    names = (path.relative_to(ROOT).as_posix() for path in files if path.is_relative_to(ROOT))
    return sorted(name for name in names if not name.startswith(ASIDE))


def digest(names: Iterable[str]) -> str:
    found = hashlib.sha256()
    for name in names:
        found.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return found.hexdigest()[:16]


class Soak:
    def __init__(self, code: str, events: int, seeds: int) -> None:
        self.code, self.events = code, events
        self.parts = range(FIRST, FIRST + seeds, PART)
        self.done: list[int] = []  # first seeds of the parts that are done
        self.total = Sum()

    def read(self, path: Path) -> None:
        """SystemExit where it tells of other code or of other events."""
        if not path.exists():
            return
        told = json.loads(path.read_text(encoding="utf-8"))
        if (told["code"], told["events"]) != (self.code, self.events):
            raise SystemExit(
                f"{path} tells of code {told['code']} with {told['events']} events a seed; this is {self.code} with "
                f"{self.events}. Take it away to begin anew."
            )
        self.done, self.total = told["done"], Sum.of([json.dumps(told["sum"])])

    def write(self, path: Path) -> None:
        self.total.hashes.clear()  # one for each seed: too many to keep
        text = json.dumps(
            {"code": self.code, "events": self.events, "done": sorted(self.done), "sum": json.loads(self.total.told())},
            indent=1,
            sort_keys=True,
        )
        beside = path.with_suffix(".new")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)

    def add(self, first: int, told: str) -> None:
        self.done.append(first)
        self.total = Sum.of([self.total.told(), told])

    def left(self, begin: int = FIRST) -> Iterator[int]:
        """Those from `begin` on come first: what other code has been through tells less than what none has."""
        return iter(sorted(set(self.parts) - set(self.done), key=lambda first: (first < begin, first)))


def part(seeds: range, events: int) -> str:
    return run(seeds, events=events).told()


def go_on(soak: Soak, path: Path, workers: int, minutes: float | None, begin: int = FIRST) -> None:
    """Until all parts are done, or no new one should begin any more."""
    ends = time.monotonic() + minutes * 60 if minutes else float("inf")
    left, running = soak.left(begin), dict[Future[str], int]()
    # A process that has run some hundred seeds has grown, and is slower: each has tables and classes of its own.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        while True:
            while len(running) < workers and time.monotonic() < ends and (first := next(left, None)) is not None:
                running[pool.submit(part, range(first, first + PART), soak.events)] = first
            if not running:
                return
            for over in wait(running, return_when=FIRST_COMPLETED).done:
                soak.add(running.pop(over), over.result())
                soak.write(path)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak", description="Seeds by the thousand.")
    parser.add_argument("--seeds", type=int, default=20_000, help="in all, those of earlier sittings too")
    parser.add_argument("--events", type=int, default=200, help="events of a seed")
    parser.add_argument("--minutes", type=float, help="begin no further part after so long")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--from", type=int, default=FIRST, dest="begin", help="seeds from this one on come first")
    parser.add_argument("--ledger", type=Path, default=LEDGER, help="where it is written down")
    told = parser.parse_args(given)
    soak = Soak(digest(code()), told.events, told.seeds)
    soak.read(told.ledger)
    go_on(soak, told.ledger, told.workers, told.minutes, told.begin)
    print(f"code {soak.code}, {told.events} events a seed, {len(soak.done)} of {len(soak.parts)} parts")
    print("\n".join(table(soak.total)))
    return 1 if soak.total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
