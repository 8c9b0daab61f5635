"""What `check` adds to the problems of mapping files that cannot be read: characters that only look like YAML's."""

import unicodedata
from collections.abc import Iterable, Iterator
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
