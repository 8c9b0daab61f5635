"""How quick the sandbox is with a million leads in it, written to docs/reference/sandbox-speed.md.

    python -m benchmarks.sandbox [ROWS]

Takes about eight minutes and six gigabytes for a million rows. Nothing here is a test: times are the machine's affair.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sandbox import pages, start, writes
from benchmarks.sandbox.pages import Cost, Dynamics, Pages, Salesforce
from benchmarks.sandbox.process import server
from benchmarks.sandbox.writes import Rate

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sandbox-speed.md"
ROWS = 1_000_000

HEAD = """\
# The sandbox's speed

Measured on {day} with {rows:,} leads on each CRM in turn: {machine}. `python -m benchmarks.sandbox`
measures anew and writes this page. Load when it began: {load}. Where others work on the machine, the watch says more
about them than about the sandbox; **CPU is the server process's own**, by its clock, and is what to go by.

"""
PAGES = """
## Pages

One row in a hundred of the whole table is edited over HTTP before every read; each page is another one. 26 columns.

The aim: a page costs at most twice the time to select and encode the same rows from memory and to send them. The
*baseline* does just that, in a process of its own: a list of the same rows as dicts, with every column that has a
value, as the store keeps them; it cuts the page's rows, picks the columns asked for by a dict comprehension, encodes
them by msgspec and sends them from a bare ASGI application, by the same uvicorn and h11 and to the same client. It has
nothing else to do: no login, no query, no order, no envelope but a ready one. *Ready* is harder than the aim: those
rows with the columns already picked, so that nothing is left but to encode and to send. Milliseconds, the middle of
{reads} pages; a ratio is the middle of those of reads that followed each other, as is last to first page of {ends}.

"""
WRITES = """
## Writes

The best of {rounds} rounds, over HTTP, one connection. By the watch the client's own time is in it.

"""
HOW = """
No page and no row is kept in the form in which it was sent: encoded rows, kept until they are written again, were
tried. They halve a page that is read a second time, but cost half as much again where it is read for the first time,
take 1.5 GB a million, and make the page of the rows just edited dearer than others.

| what makes a page cheap | where |
| --- | --- |
| a page begins at a place in an order that is kept, not behind rows that are counted | `listing.py`, `ordering.py` |
| records are made by compiled code, a struct per layout, fifty at a time, and encoded at once | `shaping.py` |
| those fifty rows are copied first, so that their values, wherever they lie, are fetched together | `shaping.py` |
| a page's rows are looked up in one call, so that these waits for memory overlap too | `shaping.py` |
| rows that are written in the same second share the text of their stamp | `values.py` of both CRMs |
| they are encoded into the page's one buffer: new memory for each time cost more than the encoding | `shaping.py` |
| column names are one text each, so that a look-up compares addresses | both shapes |
| made-up rows of Dynamics have ascending GUIDs: a page's rows lie side by side | `dynamics/bulk_store.py` |
| the rows of the start are spared the garbage collector | `cli/sandbox.py` |

In the order of change the rows of the last page have just been edited, from all over the table: their values are as far
apart in memory as the rows were, while those of the first page lie side by side. Waiting for memory is what such a page
can cost more; the copies make the waits overlap.
"""
REST = """
## Start and memory

A start is measured from after the imports until all ports answer. libyaml reads the shapes and the sample data
(`sandbox/marks.py`); where its wheel is missing, a start takes about twice as long.

| | |
| --- | --: |
"""


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    found: list[tuple[str, Pages]] = []
    rates: list[Rate] = []
    facts: list[tuple[str, str]] = [
        (f"start with sample data, after imports, {name}", told) for name, told in start.measure()
    ]
    load = os.getloadavg()[0]
    for name, crm in (("Salesforce", Salesforce), ("Dynamics", Dynamics)):
        with server("served", name.lower(), str(rows)) as served:
            told = served.told
            facts.append((f"{name}: memory of a million leads", f"{told['bytes'] / rows / 1000:.2f} GB"))
            facts.append((f"{name}: loaded", f"{rows / told['loading']['cpu_seconds']:,.0f} rows per CPU second"))
            client = crm(told["connect"])
            for each in pages.measure(served, client, rows):
                found.append((name, each))
                print(name, each.name, each.ratio(each.baseline, _cpu), each.drift(_cpu), flush=True)
            grown = served.resident() / rows / 1000
            facts.append((f"{name}: the process after these reads and edits", f"{grown:.2f} GB a million"))
            rates.append(writes.measure(served, client))
            print(rates[-1], flush=True)
    machine = f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    head = HEAD.format(day=datetime.now(UTC).date().isoformat(), rows=rows, machine=machine, load=f"{load:.1f}")
    text = head.rstrip("\n") + "\n" + PAGES.format(reads=pages.READS, ends=pages.ENDS) + "".join(_pages(found)) + HOW
    text += WRITES.format(rounds=writes.ROUNDS) + "".join(_writes(rates))
    text += REST + "".join(f"| {name} | {told} |\n" for name, told in facts)
    PAGE.write_text(text, encoding="utf-8")
    print(f"written: {PAGE}")


def _pages(found: Sequence[tuple[str, Pages]]) -> Iterator[str]:
    yield "| page | CPU | baseline | ratio | ready | ratio | by the watch | baseline | ratio | last to first, CPU |\n"
    yield f"| --- {'| --: ' * 9}|\n"
    for crm, each in found:
        middle = each.middle
        cells = [f"{crm}, {each.size:,} rows: {each.name}"]
        cells += [f"{middle(each.sandbox, _cpu):.1f}", f"{middle(each.baseline, _cpu):.1f}"]
        cells += [f"**{each.ratio(each.baseline, _cpu):.2f}**", f"{middle(each.ready, _cpu):.1f}"]
        cells += [f"{each.ratio(each.ready, _cpu):.2f}", f"{middle(each.sandbox, _wall):.0f}"]
        cells += [f"{middle(each.baseline, _wall):.0f}", f"{each.ratio(each.baseline, _wall):.2f}"]
        yield f"| {' | '.join([*cells, f'{each.drift(_cpu):.2f}'])} |\n"


def _writes(rates: Sequence[Rate]) -> Iterator[str]:
    yield "| | rows a second by the watch | rows per CPU second |\n| --- | --: | --: |\n"
    for each in rates:
        yield f"| {each.name} | {each.wall:,.0f} | {each.cpu:,.0f} |\n"


def _cpu(cost: Cost) -> float:
    return cost.cpu


def _wall(cost: Cost) -> float:
    return cost.wall


def _processor() -> str:
    found = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    names = [line.partition(":")[2].strip() for line in found.splitlines() if line.startswith("Model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
