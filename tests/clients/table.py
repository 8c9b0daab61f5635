"""What each client does on the sandbox, and what it cannot: kept by the tests themselves, written for people to read.

A client names what it cannot do, with the reason; everything else it must do in a test of its own, which says so with
`@CLIENT.does(...)`. The page is made from both: `python -m tests.clients.table` writes docs/reference/clients.md anew.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from tests.clients.environments import version

Operation = Literal[
    "login", "read", "create", "update", "upsert", "delete", "batch", "bulk", "error", "changes", "convert"
]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
HEADS: Mapping[Operation, str] = {
    "login": "login", "read": "read with paging", "create": "create", "update": "update", "upsert": "upsert",
    "delete": "delete", "batch": "batch", "bulk": "bulk", "error": "an error", "changes": "change tracking",
    "convert": "convert, qualify, win",
}  # fmt: skip
CHECKOUT = Path(__file__).resolve().parents[2]
HEAD = """\
Programs that nobody here wrote, run unchanged against the [sandbox](sandbox.md) as a process of its own, over http
and https. `make clients` installs them and runs them; the tests, named below, judge by what each program says and by
the rows that the sandbox then holds. This page is written by `python -m tests.clients.table`.""".splitlines()
PAGE = CHECKOUT / "docs" / "reference" / "clients.md"

Test = TypeVar("Test", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Deed:
    """One operation that a client does, and the test that shows it."""

    operation: Operation
    how: str
    test: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    name: str
    package: str  # as its registry has it
    side: Literal["Salesforce", "Dynamics", "both"]
    settings: str  # how it is pointed at the sandbox
    cannot: Mapping[Operation, str]
    deeds: list[Deed] = field(default_factory=list[Deed])

    def does(self, operation: Operation, how: str) -> Callable[[Test], Test]:
        """Marks the test that shows it."""

        def note(test: Test) -> Test:
            self.deeds.append(Deed(operation, how, test.__name__))
            return test

        return note

    def done(self, operation: Operation) -> list[Deed]:
        return [deed for deed in self.deeds if deed.operation == operation]


def modules() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))


def clients() -> Iterator[tuple[str, Client]]:
    """(test module, client) of all, Salesforce's first, each side by name."""
    found = [
        (name, client)
        for name in modules()
        for client in [getattr(importlib.import_module(f"tests.clients.{name}"), "CLIENT", None)]
        if isinstance(client, Client)
    ]
    order = ("Salesforce", "Dynamics", "both")
    yield from sorted(found, key=lambda each: (order.index(each[1].side), each[1].name.lower()))


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Other people's clients"
    yield ""
    yield from HEAD
    yield ""
    yield f"| client | CRM | {' | '.join(HEADS[each] for each in OPERATIONS)} |"
    yield f"|---|---|{'---|' * len(OPERATIONS)}"
    everybody = list(clients())
    for _, client in everybody:
        cells = ["yes" if client.done(each) else "–" for each in OPERATIONS]
        yield f"| {client.name} {version(client.package)} | {client.side} | {' | '.join(cells)} |"
    yield ""
    yield "## What each cannot"
    yield ""
    yield "| client | what | why |"
    yield "|---|---|---|"
    for _, client in everybody:
        for reason in dict.fromkeys(client.cannot.values()):
            what = ", ".join(HEADS[each] for each in OPERATIONS if client.cannot.get(each) == reason)
            yield f"| {client.name} | {what} | {reason} |"
    yield ""
    yield "## How each is driven"
    for module, client in everybody:
        yield ""
        yield f"### {client.name}"
        yield ""
        yield f"{client.settings} Tests: `tests/clients/{module}.py`."
        yield ""
        yield "| what | how | test |"
        yield "|---|---|---|"
        for operation in OPERATIONS:
            for deed in client.done(operation):
                yield f"| {HEADS[operation]} | {deed.how} | `{deed.test}` |"


if __name__ == "__main__":
    table = importlib.import_module("tests.clients.table")  # the module that the tests know, not this copy of it
    PAGE.write_text(table.page(), encoding="utf-8")
