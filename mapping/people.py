"""Users: one person is one e-mail address on both sides, or a row of a table that names the address on each.

The shared value is the address, of a row the left side's first one. Who is not there, or is switched off there, is
left alone, or stands behind a default, as the field says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.model import SIDES, Directory, Side, Value, other
from crmbridge.model import NativeRef as Ref
from mapping.document import Document, FieldDoc
from mapping.end import Facts, Ignored, Keeps, Made, Read, Setting, attribute, value_keeps
from mapping.references import lookup_wire
from mapping.transforms import Refusal

GROUP_PREFIXES: Final = ("queue:", "team:")


def fold_email(text: object) -> str:
    """As the connectors fold the addresses of a directory; sandboxes put `.invalid` behind them."""
    return str(text).strip().lower().removesuffix(".invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """A table of e-mail addresses, both ways."""

    shared: Mapping[Side, Mapping[str, str]]  # an address on that side -> the shared one
    natives: Mapping[str, Mapping[Side, tuple[str, ...]]]  # the shared one -> addresses per side, the first is written
    rows: Mapping[str, str]  # name of a row -> the shared address

    def read(self, side: Side, email: str) -> str:
        return self.shared[side].get(email, email)

    def write(self, side: Side, shared: str) -> tuple[str, ...]:
        return self.natives.get(shared, {}).get(side, (shared,))


def people(document: Document, doc: FieldDoc) -> People:
    shared: dict[Side, dict[str, str]] = {side: {} for side in SIDES}
    natives: dict[str, dict[Side, tuple[str, ...]]] = {}
    rows: dict[str, str] = {}
    table = document.values.get(doc.values) if doc.values is not None else None
    for row in table.rows if table else ():
        folded: dict[Side, tuple[str, ...]] = {
            side: tuple(fold_email(word) for word in words) for side, words in row.natives.items()
        }
        name = next((folded[side][0] for side in SIDES if folded.get(side)), None)
        if name is None:
            continue
        rows[row.name] = name
        natives.setdefault(name, dict(folded))
        for side, emails in folded.items():
            for email in emails:
                shared[side].setdefault(email, name)
    return People(shared=shared, natives=natives, rows=rows)


def make_user(setting: Setting) -> Made:
    side, column = setting.side, setting.column
    wire, _ = lookup_wire(setting.system, column, None, setting.meta)
    raw = attribute(wire)
    known = people(setting.document, setting.field)
    here = setting.document.names[side]
    there = setting.document.names[other(side)]

    def read(values: Any, facts: Facts) -> Value:
        native = raw(values)
        if native is None:
            return None
        email = facts.directory[side].users.get(native)
        if email is None:
            raise Refusal(
                "owner_not_user",
                f"{here} {native} is no user with an e-mail address (a queue or a team?), so it is not carried over",
                f"give the record to a person, or leave it: {there} keeps the owner it has",
            )
        return known.read(side, email)

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {}  # an owner cannot be cleared; there is nobody to write
        return {column: Ref("user", _native(setting, known, str(value), facts.directory[side]))}

    return {wire: str}, None, read, write


def _native(setting: Setting, known: People, value: str, directory: Directory) -> str:
    """The id of who shall be written; raises Ignored to leave alone who is there."""
    doc, side = setting.field, setting.side
    here = setting.document.names[side]
    there = setting.document.names[other(side)]
    emails = known.write(side, value)
    for email in emails:
        native = directory.user_ids.get(email)
        if native is not None:
            return native
    inactive = any(email in directory.users.values() for email in emails)
    if inactive and doc.inactive == "leave":
        raise Ignored
    default = doc.default.get(side)
    if default is not None and (not inactive or doc.inactive == "default"):
        native = directory.user_ids.get(fold_email(default))
        if native is None:
            raise Refusal(
                "no_such_user",
                f"neither the user of {there} nor the default user is a single active user in {here}",
                f"activate the default user in {here}, or name another one under `default:`",
            )
        return native
    if inactive and doc.inactive == "default" and directory.default_owner is not None:
        return directory.default_owner
    raise Refusal(
        "no_such_user",
        f"the user of {there} has no single active user with the same e-mail address in {here}",
        f"add or activate that user in {here}, name the two under `values:`, or give the field a `default:`",
    )


def user_keeps(setting: Setting, read: Read) -> Keeps:
    """Who is there stays while it is the same person, or the one who would be written for somebody missing."""
    wire, _ = lookup_wire(setting.system, setting.column, None, setting.meta)
    raw, known = attribute(wire), people(setting.document, setting.field)
    by_value = value_keeps(read, setting.same)

    def keeps(values: Any, wanted: Value, facts: Facts) -> bool:
        if by_value(values, wanted, facts):
            return True
        if wanted is None:
            return False
        try:
            return raw(values) == _native(setting, known, str(wanted), facts.directory[setting.side])
        except (Refusal, Ignored):
            return False

    return keeps
