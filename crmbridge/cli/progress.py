"""How far it is: a bar on stderr while that is a terminal, silence otherwise."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crmbridge.cli.output import plain_console
from crmbridge.sync.hands import Progress, Quiet

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Bar:
    def __init__(self, bar: "RichProgress") -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None)

    def step(self, text: str, done: int = 0, total: int | None = None) -> None:
        self._bar.update(self._task, description=text, completed=done, total=total)


@contextmanager
def progress() -> Generator[Progress]:
    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    said = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), said, BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=plain_console(stderr=True), transient=True) as bar:
        yield Bar(bar)
