"""What commands print: tables for people, one JSON document for scripts. Only this goes to stdout."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from crmbridge.printable import json_text, one_line, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def print_json(document: Any) -> None:
    text = json.dumps(document, indent=2, default=_plain, ensure_ascii=False)
    sys.stdout.write(json_text(text) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Struct):  # money, a shared record
        return structs.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


@cache
def console() -> "Console":
    # Piped into a file a table must not be cut at 80 columns: ids would be lost.
    return plain_console(width=None if sys.stdout.isatty() else 200)


def plain_console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """Prints what it is given: rich would take `lead.yaml:100:16` for an emoji and `[bold]` in a name for an order."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def say(text: "RenderableType" = "") -> None:
    if isinstance(text, str):
        text = printable(text)
    console().print(text, soft_wrap=True)  # a sentence or a path is never cut


def head(text: str) -> None:
    console().print(printable(text), style="bold", soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", right: Iterable[str] = ()) -> None:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    numbers = set(right)
    grid = Table(box=SIMPLE, title=printable(title) or None, title_justify="left", title_style="bold", pad_edge=False)
    for name in columns:
        grid.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    count = 0
    for row in rows:
        grid.add_row(*(Text(_lines(cell)) for cell in row))
        count += 1
    if count:
        console().print(grid)


def _lines(cell: Any) -> str:
    """A list stands line by line in its cell; within a text of somebody's a line end is only shown."""
    if isinstance(cell, list | tuple):
        parts: Iterable[Any] = cell
        return "\n".join(one_line(word(part)) for part in parts) or word(None)
    return one_line(word(cell))


def seen_from_here(path: str) -> str:
    """`mappings/lead.yaml:3:1` for what lies below the working directory; a terminal's links take both."""
    return path.removeprefix(f"{os.getcwd()}{os.sep}")


def word(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def many(count: int, noun: str) -> str:
    """`1 record`, `3 records`, `2 entities`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"
