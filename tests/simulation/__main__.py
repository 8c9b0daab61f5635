"""python -m tests.simulation --seeds 300 [--minutes 10] [--seed 7] [--events 2000]"""

import argparse
import sys
import traceback
from pathlib import Path

from tests.simulation.runner import run, simulate, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate years of trouble.")
    parser.add_argument("--seeds", type=int, default=10, help="so many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--minutes", type=float, help="no new seed after so long")
    parser.add_argument("--events", type=int, default=2000, help="events of a seed")
    parser.add_argument("--seed", type=int, help="this one alone, with the end of its trace if it fails")
    parser.add_argument("--hashes", type=int, nargs="+", help="print the trace hash of each of these seeds")
    parser.add_argument("--out", type=Path, help="a file for the sums, as JSON")
    given = parser.parse_args()
    if given.hashes:
        for seed in given.hashes:
            print(seed, simulate(seed, events=given.events).hash)
        return 0
    if given.seed is not None:
        return _one(given.seed, given.events)
    total = run(range(given.first, given.first + given.seeds), events=given.events, minutes=given.minutes)
    print("\n".join(table(total)))
    if given.out:
        given.out.write_text(total.told(), encoding="utf-8")
    return 1 if total.failed else 0


def _one(seed: int, events: int) -> int:
    try:
        result = simulate(seed, events=events, keep=60)
    except Exception:  # noqa: BLE001 - whatever it is, the seed has failed
        traceback.print_exc()
        print(f"seed {seed} is violated")
        return 1
    print(
        f"seed {seed}: {result.events} events, {result.days:.1f} days, {result.conversions} conversions, {result.hash}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
