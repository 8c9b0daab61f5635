"""Calls per action and per thousand rows, counted by the sandbox, written to docs/reference/calls.md.

    python -m benchmarks.calls

Takes about two minutes. `tests/journey/test_calls.py` holds the same figures to their limits.
"""

import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.support.calls import CRMS, Cost, life_cycle, many, meter

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "calls.md"
ROWS = 3000

HEAD = """\
# Calls

How many calls crmbridge makes, counted by the sandbox's two CRMs themselves on {day}. Logins and metadata are apart.
`python -m benchmarks.calls` measures anew and writes this page; `tests/journey/test_calls.py` holds the limits.

An HTTP request may carry many operations: a Dynamics `$batch`, Salesforce's Collections and Composite. Dynamics counts
the operations against its daily limit, Salesforce the requests; both are shown.

"""


def main() -> None:
    lines = HEAD.format(day=datetime.now(UTC).date().isoformat()) + "".join(_sections())
    PAGE.write_text(lines, encoding="utf-8")
    print(f"written: {PAGE}")


def _sections() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, meter(Path(folder) / "company") as one:
        one.demo.before()
        one.demo.first_run()
        one.settle()
        idle = one.idle()
        yield "## Nothing to do\n\nOne call per polled table and side, every cycle.\n\n"
        yield _table([idle])
        costs: list[Cost] = []
        for act in life_cycle():
            cost = one.cost(act.name, lambda act=act: act.act(one.people), expect=act.done).beyond(idle)
            one.cost("its echo", lambda: None)
            costs.append(cost)
            print(cost)
        yield "\n## One action of the life cycle\n\nBeyond the cycle with nothing to do. The limit is 8.\n\n"
        yield _table(costs)
    with tempfile.TemporaryDirectory() as folder, meter(Path(folder) / "company", "empty") as one:
        one.settle()
        costs, limits = [], {}
        for bulk in many(ROWS):
            cost = one.cost(bulk.name, lambda bulk=bulk: bulk.act(one.people))
            one.cost("its echo", lambda: None)
            costs.append(cost)
            limits[bulk.name] = {crm: bulk.allowed(crm) for crm in CRMS}
            print(cost)
        yield (
            "\n## Many rows\n\nAll data calls of the cycle. Over N rows Salesforce may take "
            "2·⌈N/2000⌉ + ⌈N/200⌉ + 10, Dynamics ⌈N/5000⌉ + ⌈N/200⌉ + 10.\n\n"
        )
        yield _table(costs, limits)


def _table(costs: list[Cost], limits: Mapping[str, Mapping[str, int]] | None = None) -> str:
    head = ["", "Salesforce", "operations inside", "Dynamics", "operations inside", "together"]
    rows = [head, ["---", "--:", "--:", "--:", "--:", "--:"]]
    for cost in costs:
        row = [cost.name]
        for crm in CRMS:
            allowed = f" of {limits[cost.name][crm]}" if limits else ""
            row += [f"{cost.total(crm)}{allowed}", str(cost.operations[crm].total() or "–")]
        rows.append([*row, str(cost.both)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    main()
