"""How quick records are translated, beside the same by hand and by libraries; writes docs/reference/mapping-speed.md.

    python -m benchmarks.mapping [ROWS]

Takes some minutes for 100,000 leads. Values are compared record by record before anything is timed. Nothing here is a
test: times are the machine's affair.
"""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.mapping import leads
from benchmarks.mapping.measure import (
    BACK,
    DECODE,
    DICTS,
    PHONES,
    READ,
    REPEATS,
    ROUNDS,
    SEED,
    SLOW_ROWS,
    WAYS,
    measured,
    store,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mapping-speed.md"

LINES = [(READ, "3"), (DICTS, "1"), (BACK, "0.8"), (PHONES, "1"), *zip(WAYS, ("10", "10", "100"), strict=True)]

HEAD = """\
# The mapping's speed

Measured on {day}: {machine}. {rows:,} made-up leads (seed {seed}) on pages of {page:,} as Salesforce sends them: 25
mapped fields, of them 8 texts, 4 choices, 3 amounts of money, 3 dates, 3 instants, 4 yes or no; dirty on purpose. Load
when it began: {load}. `python -m benchmarks.mapping` measures anew and writes this page.

CPU time by the process's own clock, microseconds for one lead: the least of {rounds} rounds over all leads in each of
{repeats} processes for each side, by turns ({slow:,} leads where a library is the other). First both results are
compared, record by record. The same made by hand is `benchmarks/mapping/byhand.py`: orjson and one inlined loop, with
the same tables and caches, that makes the same objects.

| | ours | the other | ratio | aim |
| --- | --: | --: | --: | --: |
"""
FOOT = """
Of a page's time {decode} µs are msgspec's typed decode, before a line of ours runs.

## What the figures say

- **Page to shared records stays below its aim of 3.** Typed decode is a good part of our time; the rest is steps of the
  interpreter, a dozen or so for each field: blanks at the ends of texts, line ends, choices' rows, zones of instants. A
  ratio of 3 would leave those about a third of what they take. Filling a dict, making the record and the call for each
  record cost next to nothing any more; what is left to win is in a compiled language, which this package has none of.
- **pydantic and jmespath stay below their aim of 10, and glom below 100,** for the same reason. pydantic's core does
  here what it can itself (blanks, dates, instants, decimals); with a validator in Python for each field it takes nearly
  twice as long.
- **Back again is at the edge of its aim**, not safely above it: runs of the day this was written gave 0.65 to 0.97.
- Busier machines gave lower ratios (1.56 to 2.24 for the first line), probably for want of cache; nobody has looked
  into it.
- By hand an amount goes through a float, since orjson knows no decimals; ours never does. That makes the other quicker
  and, above 15 digits, wrong; the leads here have fewer.
- Phone numbers are kept as people typed them and are compared as numbers; the line with phone and country reads three
  more fields and compares each lead's two phone numbers with another spelling, by the same cached comparison on both
  sides. Countries become codes.
- Status is read too; what the connector tells of a record's life is not made anew for each lead.

## What it was, and what made it quicker

With a closure for each field, called in a loop, page to shared records was no quicker than by hand. Then came these:

| what | where |
| --- | --- |
| one function per side and state, written out when the mapping is compiled: no loop | `getting.py`, `putting.py` |
| a record's fields share one table of keys with all others, so no dict is filled | `weaving.py` |
| shared records, money and puts are structs outside of garbage collection | `crmbridge/model.py` |
| odd spellings of a choice, and places in life that are alike, are looked up once | `choices.py`, `status.py` |
"""


def main(rows: int) -> None:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{rows:,} leads, seed {SEED}", flush=True)
    with TemporaryDirectory() as made:
        folder = Path(made)
        store(folder, rows)
        text = HEAD.format(
            day=datetime.now(UTC).date(),
            machine=_machine(),
            rows=rows,
            seed=SEED,
            page=leads.PAGE_ROWS,
            load=load,
            repeats=REPEATS,
            rounds=ROUNDS,
            slow=SLOW_ROWS,
        )
        for name, aim in LINES:
            mine, theirs, ratio = measured(folder, name)
            told = f"| {name} | {mine:.2f} | {theirs:.2f} | **{ratio:.2f}** | {aim} |"
            print(told, flush=True)
            text += told + "\n"
        decode, _, _ = measured(folder, DECODE)
    print(f"{DECODE} {decode:.2f}")
    PAGE.write_text(text + FOOT.format(decode=f"{decode:.2f}"), encoding="utf-8")


def _machine() -> str:
    about = Path("/proc/cpuinfo")
    named = [line for line in about.read_text().splitlines() if line.startswith("model name")] if about.exists() else []
    processor = named[0].partition(":")[2].strip() if named else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
