"""Mappings that were written for a connection of another name: one problem for each file, not one at every line."""

from collections.abc import Iterable, Sequence
from typing import Final

from mapping.problem import Finding

_RENAMED_MIN: Final = 2  # fewer places are told one by one


def renamed(findings: Sequence[Finding], connections: Sequence[str]) -> list[Finding]:
    """The findings, with what has this one cause put together."""
    kept = list(findings)
    for file in dict.fromkeys(finding.place.file for finding in findings):
        mine = [finding for finding in kept if finding.place.file == file]
        old = next(
            (one for one in mine if one.code == "unknown-key" and "." not in one.path and _is_gone(one, mine)), None
        )
        missing = [name for name in connections if any(_misses(one, name) for one in mine)]
        if old is None or len(missing) != 1:
            continue
        same = [one for one in mine if _says(one, old.path) or _misses(one, missing[0])]
        kept = [one for one in kept if one not in same]
        kept.append(
            Finding(
                code="connection-renamed",
                place=old.place,
                path=old.path,
                message=f"no connection is called {old.path!r}, here and in {len(same) - 2} more places of this file: "
                f"crmbridge.yaml has {' and '.join(connections)}; write {missing[0]} in its place, or give the "
                "connection its old name",
            )
        )
    return kept


def _is_gone(one: Finding, others: Iterable[Finding]) -> bool:
    return sum(_says(each, one.path) for each in others) > _RENAMED_MIN


def _says(one: Finding, name: str) -> bool:
    if one.code == "unknown-key":
        return one.path.rpartition(".")[2] == name
    return one.code == "unknown-word" and one.message.startswith(f"{name!r} is not one of")


def _misses(one: Finding, name: str) -> bool:
    return one.code == "key-missing" and not one.path and one.message.startswith(f"{name!r} ")
