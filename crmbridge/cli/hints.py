"""What `check` adds to the problems of mapping files where their cause is one and their words are many, or none."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from mapping.problem import Finding, Place
from mapping.source import SIZE_MAX_BYTES
from mapping.unreadable import NOT_YAML

_UNREADABLE: Final = frozenset(code for _, code, _ in NOT_YAML)
# What word processors, chats and other keyboards put in place of what YAML knows.
_LOOK_ALIKE: Final = {
    **dict.fromkeys("“”„‟«»＂", '"'),
    **dict.fromkeys("‘’‚‛＇", "'"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", "a blank"),
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
    **dict.fromkeys("：﹕", ":"),
    **dict.fromkeys("，﹐、", ","),
    "｛": "{", "｝": "}", "［": "[", "］": "]", "＃": "#",
}  # fmt: skip
_RENAMED_MIN: Final = 2  # fewer places are told one by one


def look_alikes(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Characters that are taken for others, in lines that YAML could not read and in those above them."""
    told: set[tuple[str, int, int]] = set()
    for finding in findings:
        file = Path(finding.place.file)
        if finding.code not in _UNREADABLE or not file.is_file() or file.stat().st_size > SIZE_MAX_BYTES:
            continue
        lines = file.read_bytes().decode("utf-8-sig", "replace").splitlines()
        for number in (finding.place.line - 1, finding.place.line):
            for column, character in enumerate(lines[number - 1] if 0 < number <= len(lines) else "", 1):
                place = (finding.place.file, number, column)
                meant = _LOOK_ALIKE.get(character)
                if meant is None or place in told:
                    continue
                told.add(place)
                name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
                yield Finding(
                    code="character-lookalike",
                    place=Place(file=finding.place.file, line=number, column=column),
                    path="",
                    message=f"a {name}, which YAML takes for a letter; "
                    + (f"write {meant} in its place" if meant else "take it out"),
                    severity="warning",
                )


def renamed(findings: Sequence[Finding], connections: Sequence[str]) -> list[Finding]:
    """Files that were written for a connection of another name: one problem for each in place of one at every line."""
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
