"""Business processes as open opportunities run in them: what a survey asks, and what the answers amount to. Pure.

Row 8 of lifecycle §6; dataverse-api §8.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.dynamics.instances import ACTIVE
from connectors.dynamics.processes import Process
from connectors.dynamics.protocol import Request, read
from connectors.survey import Seen, Unread, many

COUNT: Final = "aggregate($count as n)"
SAMPLES_MAX: Final = 20  # opportunities whose path through their process is asked for
NO_PROCESS: Final = "no business process of opportunities: their stage is a plain column"


def at_stages(process: Process) -> Request:
    opportunity = f"_{process.lookups['opportunity']}_value"
    apply = f"filter(statuscode eq {ACTIVE} and {opportunity} ne null)/groupby((_activestageid_value),{COUNT})"
    return read(process.set, table=process.table, kind="survey", apply=apply)


def newest(process: Process) -> Request:
    return read(
        process.set,
        table=process.table,
        kind="survey",
        select=f"{process.key},_activestageid_value,modifiedon",
        filter=f"statuscode eq {ACTIVE} and _{process.lookups['opportunity']}_value ne null",
        orderby="modifiedon desc",
        top=str(SAMPLES_MAX),
    )


def processed(
    running: Mapping[str, int],
    deals: int | None,
    samples: Sequence[tuple[Process, Mapping[str, Any], list[dict[str, Any]] | str]],
    unread: list[Unread],
) -> list[Seen]:
    """How many run in which process, how many in none or in several, and where the sampled ones stand."""
    seen: list[Seen] = []
    total = sum(running.values())
    if deals is not None and (deals or total):
        parts = [f"{count:,} in {name}" for name, count in sorted(running.items()) if count]
        parts += [f"at least {deals - total:,} in none"] if total < deals else []
        what = f"business processes of {many(deals, 'open opportunity', 'open opportunities')}: {', '.join(parts)}"
        seen.append(Seen(number=8, what=what, level="note"))
    if deals is not None and total > deals:
        extra = many(total - deals, "process instance more", "process instances more")
        seen.append(Seen(number=8, what=f"{extra} than open opportunities: some run in several, or are closed"))
    refused = [path for *_, path in samples if isinstance(path, str)]
    if refused:
        what = f"which stages {len(refused)} of {len(samples)} sampled opportunities can pass in their process"
        unread.append(Unread(number=8, what=what, why=refused[0]))
    told = [(process, row, path) for process, row, path in samples if not isinstance(path, str)]
    astray = unknown = leads_only = 0
    for process, row, path in told:
        ids = [str(each.get("processstageid")) for each in path]
        astray += str(row.get("_activestageid_value")) not in ids
        unknown += any(process.stage(id) is None for id in ids)
        leads_only += not any(each.get("primaryentitytypecode") == "opportunity" for each in path)
    of = f"of {many(len(told), 'sampled opportunity', 'sampled opportunities')} in a process"
    for count, words in (
        (astray, "stand at a stage that is not on their path: the process was edited since"),
        (
            unknown,
            "have stages on their path that the process does not list: it was edited since, or has other versions",
        ),
        (leads_only, "have no stage of the opportunity on their path, only of the lead"),
    ):
        if count:
            seen.append(Seen(number=8, what=f"{of} {count} {words}"))
    return seen
