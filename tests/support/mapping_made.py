"""A small mapping between two made-up CRMs, for tests that show their YAML: compiled, read and written."""

from collections.abc import Mapping
from typing import Any

import mapping
from connectors.base import Column, Description, Option
from connectors.groups import groups_of
from crmbridge.model import Directory, Life, NativeRef, Ref, Row, Shared, Side, attribute_name
from mapping.translate import CompiledEntity, Put
from tests.support.mapping_bench import CREATED

HEAD = """\
entity: account
salesforce: {object: Account}
dynamics: {table: account}
fields:
  name: {salesforce: Name, dynamics: name}
"""
QUEUES = groups_of("queue", [("00G000000000001AAA", ("Inbound", "Inbound_Q")), ("00G000000000002AAA", ("Spare", None))])
TEAMS = groups_of("team", [("t-1", ("Inbound  Sales",)), ("t-2", ("Twins",)), ("t-3", ("twins",))])
DIRECTORY: Mapping[Side, Directory] = {
    "left": Directory(
        users={"005A": "ann@x.org", "005B": "bo@x.org", "005D": "desk@x.org"},
        user_ids={"ann@x.org": "005A", "bo@x.org": "005B", "desk@x.org": "005D"},
        groups=QUEUES[0],
        group_ids=QUEUES[1],
    ),
    "right": Directory(
        users={"u-a": "ann.b@x.org", "u-b": "bo@x.org", "u-off": "off@x.org", "u-d": "desk@x.org"},
        user_ids={"ann.b@x.org": "u-a", "bo@x.org": "u-b", "desk@x.org": "u-d"},
        groups=TEAMS[0],
        group_ids=TEAMS[1],
        default_owner="u-app",
        currency="EUR",
        currencies={"c-usd": "USD", "c-eur": "EUR"},
    ),
}
FACTS = mapping.Facts(directory=DIRECTORY)


def columns(**kinds: str) -> dict[str, Column]:
    """`text 40`, `text 40 !` (required), `number`, `choice A|B`, `boolean`, `text -` (read only)."""
    made: dict[str, Column] = {}
    for name, told in kinds.items():
        kind, *words = told.split(" ")
        length = next((int(word) for word in words if word.isdigit()), None)
        options = tuple(Option(value=v, label=v) for word in words if "|" in word for v in word.split("|"))
        writable = "-" not in words
        made[name] = Column(
            name=name,
            type=kind,
            length=length,
            scale=2 if kind in ("number", "money") else None,
            required="!" in words,
            options=options,
            createable=writable,
            updateable=writable,
        )
    return made


def described(left: Mapping[str, Column], right: Mapping[str, Column]) -> dict[Any, Description]:
    name = columns(Name="text 80", name="text 80")
    return {
        ("left", "account"): Description(entity="account", table="Account", columns={**name, **left}),
        ("right", "account"): Description(entity="account", table="account", columns={**name, **right}),
    }


def told(fields: str, *, descriptions: Any = None, shared: str | None = None, tail: str = "") -> list[str]:
    """What the check says of these lines under `fields:`."""
    documents, _ = load(fields, shared=shared, tail=tail)
    return [str(finding) for finding in mapping.check(documents, descriptions)]


def load(fields: str, *, shared: str | None = None, tail: str = "") -> tuple[mapping.Documents, Any]:
    texts = {"account.yaml": HEAD + "".join(f"  {line}\n" for line in fields.strip().splitlines()) + tail}
    return mapping.load({**texts, **({"values.yaml": shared} if shared is not None else {})})


class Made:
    """A compiled mapping with rows of plain values on both sides."""

    def __init__(self, fields: str, *, descriptions: Any = None, shared: str | None = None, tail: str = "") -> None:
        documents, problems = load(fields, shared=shared, tail=tail)
        assert [str(problem) for problem in problems if problem.severity == "error"] == []
        self.entity: CompiledEntity = mapping.compile(documents, descriptions=descriptions).entities["account"]

    def row(self, side: Side, **wire: Any) -> Row:
        struct = mapping.row_struct(f"{side}_made", self.entity.columns(side))
        values = struct(**{attribute_name(column): value for column, value in wire.items()})
        ref = Ref(side=side, entity="account", id="1")
        return Row(ref=ref, version="1", created_at=CREATED, modified_at=CREATED, values=values)

    def get(self, side: Side, **wire: Any) -> Shared:
        return self.entity.get(side, self.row(side, **wire), Life(), FACTS)

    def put(self, side: Side, fields: Mapping[str, Any], *, now: Mapping[str, Any] | None = None) -> Put:
        """Onto a record that shows `now`, or into a new one."""
        return self.entity.put(
            side,
            fields,
            facts=FACTS,
            current=self.row(side, **now) if now is not None else None,
            life=None,
            state=None,
            whole=Shared(fields=fields, created_at=CREATED),
        )

    def after(self, side: Side, put: Put, now: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The row as the CRM shows it once this is written."""
        known = self.entity.columns(side)
        wire = dict(now or {})
        for column, value in put.columns.items():
            name = column if column in known else f"_{column.lower()}_value"
            if name in known:
                wire[name] = value.id if isinstance(value, NativeRef) else value
        return wire
