"""How a record came to its status or stage, in lines for people."""

from collections.abc import Mapping
from typing import Any


def print_sources(answer: Mapping[str, Any]) -> None:
    from crmbridge.cli.output import say

    for name, source in answer["sources"].items():
        if source["record"] is None:
            say(f"source     {name}: no record there")
            continue
        values = ", ".join(f"{column} {value!r}" for column, value in source["value"].items()) or "nothing stored of it"
        reads, stage = source["reads_as"], ""
        if source.get("native") is not None and source.get("label") is not None:
            stage = f" ({source['label']})"
        row = f", read as {_place(reads)}" if reads else ""
        at = f" by {source['row_at']}" if source["row_at"] else ""
        say(f"source     {name} {source['record']} {values}{stage}{row}{at}")
        if source.get("contradiction"):
            say(f"           {source['contradiction']}; the flag decides")


def print_rule(answer: Mapping[str, Any]) -> None:
    from crmbridge.cli.output import say

    rule = answer["rule"]
    say(f"rule       {rule['at']}: {rule['rule']}")
    for name, at in {**rule["beside"], **{f"gate of {row}": at for row, at in _evident(answer).items()}}.items():
        say(f"           {name}: {at}")


def _evident(answer: Mapping[str, Any]) -> Mapping[str, str]:
    return answer["merge"]["evidence"]["gates"]


def print_agreed(answer: Mapping[str, Any]) -> None:
    from crmbridge.cli.output import say

    for name, axes in answer["agreed"].items():
        say(f"agreed     in {name}: {_place(axes) if axes else 'never'}")


def print_steps(answer: Mapping[str, Any]) -> None:
    from crmbridge.cli.output import say

    merge = answer["merge"]
    for step in merge.get("steps", []):
        say(f"           the next sync would {step['kind']} on {step['on']}: {step['status'] or ''} ({step['case']})")
    if merge.get("fix"):
        say(f"           What to do: {merge['fix']}")
    for line in merge.get("reports", []):
        say(f"           {line}")


def _place(reads: Mapping[str, Any]) -> str:
    hold = ", on hold" if reads["on_hold"] else ""
    return f"{reads['status'] or '(no row)'!r} ({reads['state']}{hold})"
