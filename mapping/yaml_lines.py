"""Plain values as the YAML that a person would write, and one more item for a list in a file, byte by byte."""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from mapping.paste import yaml_word
from mapping.source import Source, read_text

_WIDTH: Final = 110
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][\w.@-]*")


class NotAppended(Exception):
    """The file is written in a way that nothing can be added to without touching the rest."""


def lines(key: str, value: Any, indent: int) -> list[str]:
    """`key: value`, on one line where it fits."""
    pad = " " * indent
    short = f"{pad}{_key(key)}: {flow(value)}"
    if not isinstance(value, Mapping) or not value or (len(short) <= _WIDTH and not _deep(value)):
        return [short]
    return [f"{pad}{_key(key)}:", *(line for name, one in value.items() for line in lines(name, one, indent + 2))]


def item(entry: Mapping[str, Any], indent: int) -> list[str]:
    """One entry of a list of maps."""
    made = [line for name, value in entry.items() for line in lines(name, value, indent + 2)]
    return [f"{' ' * indent}- {made[0].lstrip()}", *made[1:]]


def flow(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | Decimal() | float():
            return str(value)
        case str():
            return yaml_word(value)
        case Mapping():
            return f"{{{', '.join(f'{_key(str(name))}: {flow(one)}' for name, one in value.items())}}}"
        case Sequence():
            return f"[{', '.join(flow(one) for one in value)}]"
        case _:
            return yaml_word(str(value))


def append(text: str, key: str, entries: Sequence[Mapping[str, Any]], *, file: str) -> str:
    """The text with these entries at the end of the list under `key`, which must be the last thing in it; what was
    there stays byte by byte. Raises NotAppended."""
    if not text.strip():
        return f"{key}:\n" + "".join(f"{line}\n" for one in entries for line in item(one, 2))
    before = read_text(text, file=file)
    known: Any = before.data.get(key) if isinstance(before.data, dict) else None
    if before.findings or not isinstance(known, list) or not known or list(before.data)[-1] != key:
        raise NotAppended(f"`{key}:` must be the last key of the file, and a list with an entry on lines of its own")
    indent = _indent(text, before, key)
    end = "\r\n" if "\r\n" in text else "\n"
    whole = text if text.endswith("\n") else text + end
    made = whole + "".join(f"{line}{end}" for one in entries for line in item(one, indent))
    after = read_text(made, file=file)
    now: Any = after.data.get(key) if isinstance(after.data, dict) else None
    if (
        after.findings
        or not isinstance(now, list)
        or now[: len(known)] != known
        or len(now) != len(known) + len(entries)
    ):
        raise NotAppended(f"the list under `{key}:` is not written line by line")
    return made


def _indent(text: str, source: Source, key: str) -> int:
    """Where the dash of the first entry stands."""
    line = text.splitlines()[source.values[(key, 0)].line - 1]
    dash = line.find("-")
    if dash < 0 or line[:dash].strip():
        raise NotAppended(f"the list under `{key}:` is not written line by line")
    return dash


def _deep(value: Mapping[str, Any]) -> bool:
    return any(isinstance(one, Mapping) and one for one in value.values())


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
