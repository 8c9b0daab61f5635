"""SOQL statements. Every value passes `text` or `instant`, every name `name` (salesforce-api §2.3, reliability §11)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

_name: Final = re.compile(r"[A-Za-z]\w*")
_id: Final = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
_suffix: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
# \ and ' first of all; other control characters by their escapes, the rest of them as \uXXXX.
_escapes: Final = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}

# An id is 18 characters and 8 of quoting in a URL; URL and headers end at 16,384 bytes (§2.3).
ids_per_query: Final = 200


def text(value: str) -> str:
    return "'" + "".join(_escapes.get(c) or (c if c >= " " else f"\\u{ord(c):04X}") for c in value) + "'"


def instant(moment: datetime) -> str:
    """A datetime literal, unquoted; milliseconds are what Salesforce keeps (§2.3, §10)."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def name(word: str) -> str:
    """Names come from describe and mappings, never from records; still, nothing else gets through."""
    if not _name.fullmatch(word):
        raise ValueError(f"{word!r} is not the name of a Salesforce object or field")
    return word


def is_id(value: str) -> bool:
    return _id.fullmatch(value) is not None


def id18(value: str) -> str:
    """The 18-character form; 15-character ids differ by case alone (§10)."""
    if len(value) != 15:
        return value
    groups = (value[start : start + 5] for start in (0, 5, 10))
    return value + "".join(_suffix[sum(1 << bit for bit, c in enumerate(g) if "A" <= c <= "Z")] for g in groups)


def any_of(column: str, values: Iterable[str]) -> str:
    return f"{name(column)} IN ({','.join(text(value) for value in values)})"


def equal(columns: Mapping[str, str]) -> str:
    """All of these columns have these values; texts are compared without case (§2.3)."""
    return " AND ".join(f"{name(column)} = {text(value)}" for column, value in sorted(columns.items()))


def select(columns: Sequence[str], table: str, where: str = "", order: str = "") -> str:
    parts = ["SELECT", ", ".join(name(column) for column in columns), "FROM", name(table)]
    parts += ["WHERE", where] if where else []
    parts += ["ORDER BY", order] if order else []
    return " ".join(parts)


def window(
    columns: Sequence[str],
    table: str,
    *,
    since: datetime | None,
    until: datetime | None = None,
    after: tuple[datetime, str] | None = None,
) -> str:
    """Rows from `since` on in the order (stamp, id); `after` goes on behind that row.

    Many rows share one stamp, so a bare `>` would lose some (§8.1)."""
    conditions = [f"SystemModstamp >= {instant(since)}"] if since is not None and after is None else []
    if after is not None:
        stamp, row_id = instant(after[0]), text(after[1])
        conditions.append(f"(SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {row_id}))")
    if until is not None:
        conditions.append(f"SystemModstamp < {instant(until)}")
    return select(columns, table, " AND ".join(conditions), "SystemModstamp ASC, Id ASC")
