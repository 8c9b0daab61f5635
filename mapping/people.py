"""Owners: one person is one e-mail address on both sides, or a row of a table that names the address on each.

The shared value is the address, of a row the left side's first one. Who is not there, or is switched off there, is
left alone, or stands behind a default, as the field says. A queue (Salesforce) or a team (Dynamics) is a word such as
`queue:Inbound`, by its name or id: it crosses by a row of the table, else to the default, else not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.model import SIDES, Directory, Entity, Side, Value, fold_group, other
from crmbridge.model import NativeRef as Ref
from mapping.document import Document, FieldDoc
from mapping.end import Facts, Ignored, Keeps, Made, Read, Setting, attribute, value_keeps
from mapping.references import lookup_wire
from mapping.transforms import Refusal

GROUP_PREFIXES: Final = ("queue:", "team:")
# What may own records beside people; a system that is not named may have either.
GROUP_KINDS: Final[Mapping[str, str]] = {"salesforce": "queue:", "dynamics": "team:"}
# Of these kinds a queue may be the owner; accounts, contacts and opportunities belong to people (salesforce-api §5.3).
_QUEUED: Final[frozenset[Entity]] = frozenset({"lead"})
NOBODY: Final = "nobody:"  # an owner that no user and no known group is; it has a default on the other side


def is_group(word: object) -> bool:
    return str(word).strip().lower().startswith(GROUP_PREFIXES)


def names_groups(document: Document, side: Side) -> bool:
    """Must the queues or teams of that side be known to read and write this mapping?"""
    for doc in document.fields.values():
        if doc.convert != "user" or side not in doc.columns:
            continue
        table = document.values.get(doc.values) if doc.values is not None else None
        rows = table.rows if table else ()
        if any(is_group(word) for row in rows for word in row.natives.get(side, ())) or is_group(doc.default.get(side)):
            return True
    return False


def fold_email(text: object) -> str:
    """As the connectors fold what is in a directory; sandboxes put `.invalid` behind addresses."""
    if is_group(text):
        return fold_group(str(text))
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
    side, column, doc = setting.side, setting.column, setting.field
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
        if email is not None:
            return known.read(side, email)
        words = facts.directory[side].groups.get(native, ())
        row = next((word for word in words if word in known.shared[side]), None)
        if row is not None:
            return known.read(side, row)
        if other(side) in doc.default:
            return words[0] if words else f"{NOBODY}{native}"
        what = repr(words[0]) if words else "no user with an e-mail address (a queue or a team?)"
        raise Refusal(
            "owner_not_user",
            f"{here} {native} is {what}, so it is not carried over",
            f"give the record to a person, name the two under `values:`, give the field a `default:`, or leave it: "
            f"{there} keeps the owner it has",
        )

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {}  # an owner cannot be cleared; there is nobody to write
        return {column: _native(setting, known, str(value), facts.directory[side])}

    return {wire: str}, None, read, write


def _native(setting: Setting, known: People, value: str, directory: Directory) -> Ref:
    """Who shall be written; raises Ignored to leave alone who is there."""
    doc, side = setting.field, setting.side
    here = setting.document.names[side]
    there = setting.document.names[other(side)]
    emails = known.write(side, value)
    for email in emails:
        native = _owner(setting, email, directory)
        if native is not None:
            return native
    inactive = any(email in directory.users.values() for email in emails)
    if inactive and doc.inactive == "leave":
        raise Ignored
    default = doc.default.get(side)
    if default is not None and (not inactive or doc.inactive == "default"):
        native = _owner(setting, fold_email(default), directory)
        if native is None:
            raise Refusal(
                "no_such_user",
                f"neither the user of {there} nor the default user is a single active user in {here}",
                f"activate the default user in {here}, or name another one under `default:`",
            )
        return native
    if inactive and doc.inactive == "default" and directory.default_owner is not None:
        return Ref("user", directory.default_owner)
    groups = [email for email in emails if is_group(email)]
    if groups:
        raise Refusal(
            "no_such_user",
            _no_group(setting, groups[0]),
            f"correct the row under `values:`, name a person there for {here}, or give the field a `default:`",
        )
    raise Refusal(
        "no_such_user",
        f"the user of {there} has no single active user with the same e-mail address in {here}",
        f"add or activate that user in {here}, name the two under `values:`, or give the field a `default:`",
    )


def _owner(setting: Setting, word: str, directory: Directory) -> Ref | None:
    """The one user, queue or team that the word means there, if such may own records of this kind."""
    if not is_group(word):
        native = directory.user_ids.get(word)
        return Ref("user", native) if native is not None else None
    native = directory.group_ids.get(word)
    if native is None or not _may_own(setting):
        return None
    return Ref("team", native)


def _may_own(setting: Setting) -> bool:
    return setting.system != "salesforce" or setting.document.entity in _QUEUED


def _no_group(setting: Setting, word: str) -> str:
    here = setting.document.names[setting.side]
    kind = GROUP_KINDS.get(setting.system, "")
    if kind and not word.startswith(kind):
        return f"{word!r} of {setting.document.names[other(setting.side)]} has no row in a table, so {here} gets nobody"
    if not _may_own(setting):
        return f"a queue of {here} owns leads alone, so {word!r} cannot be given this {setting.document.entity}"
    return f"{here} has no {word!r} that may own records, or more than one of that name"


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
            return raw(values) == _native(setting, known, str(wanted), facts.directory[setting.side]).id
        except (Refusal, Ignored):
            return False

    return keeps
