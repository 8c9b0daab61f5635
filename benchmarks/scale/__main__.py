"""Several workers, and very many pairs, measured and written to docs/reference/scale.md.

    python -m benchmarks.scale [CONVERSIONS [CHANGES [PAIRS]]]

Nothing here is a test: times are the machine's affair.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.scale import conversions, links
from tests.support import postgres

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scale.md"
SIZES = (1_000, 10_000, 1_000_000)  # conversions, changes, pairs
FEW_PAIRS = 10_000

HEAD = """\
# Scale

Measured on {day}: {machine}. `python -m benchmarks.scale{words}` measures anew and writes this page.
Load when it began: {load}; where others work on the machine, the watch says more about them than about
crmbridge. Workers are processes that do what Celery would have them do; the store is PostgreSQL, the CRMs are the
sandbox over HTTP, all of it on that one machine.

"""


def main() -> None:
    given = [int(word) for word in sys.argv[1:]]
    sizes = (*given, *SIZES[len(given) :])
    text = HEAD.format(
        day=datetime.now(UTC).date().isoformat(),
        machine=_machine(),
        words="".join(f" {size}" for size in sizes) if sizes != SIZES else "",
        load=", ".join(f"{load:.1f}" for load in os.getloadavg()),
    )
    cluster = postgres.start()
    try:
        for section in _sections(cluster, *sizes):
            print(section, flush=True)
            text += section
            PAGE.write_text(text.rstrip("\n") + "\n", encoding="utf-8")  # what is measured is measured
    finally:
        cluster.stop()
    print(f"written: {PAGE}")


def _sections(cluster: postgres.Cluster, converting: int, changing: int, pairs: int) -> Iterator[str]:
    # First, since it tells this process's memory.
    yield _read([links.measure(cluster, size) for size in (FEW_PAIRS, pairs)])
    with tempfile.TemporaryDirectory() as folder, conversions.stage(Path(folder) / "a", cluster) as at:
        leads = conversions.leads_on_both(at, converting)
        conversions.converted(at, leads)
        yield _converted(leads, [at.run(n, latency=conversions.LATENCY_SECONDS) for n in (1, 4)])
    with tempfile.TemporaryDirectory() as folder, conversions.stage(Path(folder) / "b", cluster) as at:
        leads = conversions.leads_on_both(at, changing)
        conversions.changed(at, leads)
        yield _changed(leads, [at.run(n, latency=0.0) for n in (1, 8)])


def _converted(leads: Sequence[str], took: Sequence[conversions.Took]) -> str:
    one, four = took
    lines = [
        f"## {len(leads):,} conversions\n\n",
        "Leads converted on Salesforce, each mirrored by Dynamics' own qualification. Each call takes "
        f"{conversions.LATENCY_SECONDS * 1000:.0f} ms longer than the sandbox does. Seconds are those of the whole "
        "cycle, with reading, planning, and what follows from the conversions. CPU is that of the worker that has the "
        "cycle.\n\n",
        "| workers | seconds | requests | CPU, s | faster |\n| --: | --: | --: | --: | --: |\n",
        *(
            f"| {each.workers} | {each.seconds:.0f} | {each.requests:,} | {each.cpu:.1f} "
            f"| {one.seconds / each.seconds:.2f} |\n"
            for each in took
        ),
        f"\nThe aim is 3.2 times as fast with four workers: **{one.seconds / four.seconds:.2f}**. "
        f"Load at the end: {os.getloadavg()[0]:.1f}.\n\n",
    ]
    return "".join(lines)


def _changed(leads: Sequence[str], took: Sequence[conversions.Took]) -> str:
    one, eight = took
    lines = [
        f"## {len(leads):,} plain changes\n\n",
        "Leads edited on Salesforce, brought to Dynamics. They go two hundred to a call, by the worker that has the "
        "cycle.\n\n",
        "| workers | seconds | requests | CPU of the worker, ms a record |\n| --: | --: | --: | --: |\n",
        *(
            f"| {each.workers} | {each.seconds:.0f} | {each.requests:,} | {each.cpu * 1000 / len(leads):.2f} |\n"
            for each in took
        ),
        f"\nThe aim is at most 1.2 times the requests with eight workers: **{eight.requests / one.requests:.2f}**. "
        f"Load at the end: {os.getloadavg()[0]:.1f}.\n\n",
    ]
    return "".join(lines)


def _read(reads: Sequence[links.Read]) -> str:
    few, many = reads
    lines = [
        f"## {links.CHANGES} changes over {many.links:,} pairs\n\n",
        "Rows that PostgreSQL read in one cycle, by its own statistics (`pg_stat_user_tables`), of the tables that "
        f"grow with the companies: {', '.join(f'`{table}`' for table in links.BIG)}. The others have a handful of "
        "rows.\n\n",
        "| pairs | rows read | sequential scans | seconds | memory of the process, MB |\n",
        "| --: | --: | --: | --: | --: |\n",
        *(
            f"| {each.links:,} | {each.rows:,} | {sum(each.scans.values())} "
            f"| {each.seconds:.1f} | {each.rss_mb:.0f} |\n"
            for each in reads
        ),
        f"\nThe aim is at most 1.5 times the rows, and no sequential scan: **{many.rows / few.rows:.2f}**. By table, "
        f"over {many.links:,} pairs: {', '.join(f'{table} {rows:,}' for table, rows in many.by_table.items())}.\n\n",
    ]
    return "".join(lines)


def _machine() -> str:
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = named[0].partition(":")[2].strip() if named else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
