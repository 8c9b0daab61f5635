"""The places where a crash matters: every send, every receive, every commit of the store passes through `reached`.

In production the hook is nothing. Tests number the places and kill the process at one of them:
`CRMBRIDGE_CRASH_AT=17` sends SIGKILL to this very process at the 17th place, `CRMBRIDGE_CRASH_AT="send POST moves#2"`
at the second one of that name (a slow machine renews its lease more often, which moves the numbers behind it),
`CRMBRIDGE_CRASH_LOG=FILE` appends one line for each place reached.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

Hook = Callable[[str], None]


def _nothing(place: str) -> None:
    del place


def _from_environment() -> Hook:
    at, log = os.environ.get("CRMBRIDGE_CRASH_AT"), os.environ.get("CRMBRIDGE_CRASH_LOG")
    if not at and not log:
        return _nothing
    count = 0
    by_name: Counter[str] = Counter()

    def hook(place: str) -> None:
        nonlocal count
        count += 1
        by_name[place] += 1
        if log:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{count} {place}\n")
        if at in (str(count), f"{place}#{by_name[place]}"):
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


_hook: Hook = _from_environment()


def reached(place: str) -> None:
    """`place`: what is about to happen or has happened, e.g. "send POST /composite", "committed settle"."""
    _hook(place)


def install(hook: Hook | None) -> None:
    """For tests in one process: another hook, or None for nothing."""
    global _hook  # noqa: PLW0603 - one process has one hook; passing it through every layer would be noise
    _hook = hook or _nothing
