"""`crmbridge why`: how a field got its value, from its source to the CRM's reply, with the lines behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli import why_place, why_place_text
from crmbridge.cli.context import Place, names
from crmbridge.cli.find import Found, find
from crmbridge.cli.mapping.common import plain_place
from crmbridge.cli.records import column_value, journal_of, write_document
from crmbridge.cli.sync import issue_document
from crmbridge.cli.verify import plain_value
from crmbridge.errors import ConfigError, CrmBridgeError
from crmbridge.model import SIDES, Fields, Link, Row, Seen, Side, Unlinked, Value
from crmbridge.reasons import for_people

if TYPE_CHECKING:
    from crmbridge.plan import Verdict
    from crmbridge.state.words import JournalRow, RunRow
    from crmbridge.sync.cycle import Engine
    from crmbridge.sync.view import View
    from crmbridge.sync.work import Order
    from mapping import Document, Version
    from mapping.document import FieldDoc


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Who changed the record last, as far as the CRM tells."""

    at: datetime | None
    by: str | None
    by_us: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What the next sync would make of the field, and from what that follows."""

    verdict: "Verdict | None" = None
    unknown: str = ""  # why it cannot be told
    now: Mapping[Side, Value] = field(default_factory=dict)  # read under the mapping as it is now
    changed: Mapping[Side, bool] = field(default_factory=dict)  # since both sides agreed
    edits: Mapping[Side, Edit] = field(default_factory=dict)
    newest: Side | None = None
    master: Side | None = None  # the segment's, where it has one
    choice: Side | None = None  # a person's, for the whole field
    orders: "Sequence[Order]" = ()
    problems: tuple[str, ...] = ()


@click.command("why")
@click.argument("record", metavar="RECORD")
@click.argument("field_name", metavar="FIELD")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def why(place: Place, record: str, field_name: str, as_json: bool) -> None:
    """Why a field has the value it has: source, rule, converter, merge, run, write, reply.

    RECORD is a shared id, a native id, a CRM URL or entity:e-mail; FIELD is a field's name in the mapping. Both CRMs
    are asked for their descriptions only; values are those last read. FIELD may also be `status` (a lead's) or `stage`
    (an opportunity's): then it tells how the record came to where it stands in its life.
    """
    from crmbridge import wiring
    from mapping import version_of

    settings = place.settings()
    connections = names(settings)
    texts = wiring.mapping_texts(settings)
    documents = wiring.load_mapping(settings, texts)
    with place.store() as store:
        found = find(store, settings, record)
        document = documents.of(found.entity)
        if document is not None and field_name in why_place.WORDS:
            told = why_place.explain(place, settings, store, found, document)
            _show({**told, "mapping": _version(version_of(texts, documents))}, as_json)
            return
        mapped = _mapped(document, found, field_name)
        rows: dict[Side, Row | None] = {side: found.row(store, side) for side in SIDES}
        journal = [one for one in journal_of(store, found, found.link) if _touches(one, mapped)]
        runs = {run.id: run for run in store.runs()} if journal else {}
        refs = [row.ref for row in rows.values() if row is not None]
        issues = [
            one
            for one in store.issues_of([found.link.id] if found.link else [], refs)
            if one.field in (field_name, *_columns(mapped), None)
        ]
    assert document is not None, "the field was found in it"
    merge = _merge(place, found, mapped)
    answer: dict[str, Any] = {
        "entity": found.entity,
        "shared_id": found.link.id if found.link else None,
        "field": field_name,
        "sources": {
            connections[side]: _source(document, row, mapped, side, merge)
            for side, row in rows.items()
            if side in mapped.columns
        },
        "rule": _rule(document, mapped, connections),
        "mapping": _version(version_of(texts, documents)),
        "agreed": {
            connections[side]: plain_value(found.link.base.view(side).get(field_name)) if found.link else None
            for side in SIDES
        },
        "merge": _merge_document(merge, mapped, connections),
        "issues": [issue_document(one) for one in issues],
        "writes": [_write(one, connections, runs.get(one.run_id)) for one in journal],
    }
    _show(answer, as_json)


def _version(version: "Version") -> dict[str, Any]:
    return {"version": version.id, "label": version.label or None}


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(answer)
    else:
        _print(answer)


def _mapped(document: "Document | None", found: Found, name: str) -> "FieldDoc":
    if document is not None and name in document.fields:
        return document.fields[name]
    from mapping.problem import closest

    near = closest(name, [*document.fields, *([document.axis] if document.axis else [])]) if document else None
    raise ConfigError(
        f"The mapping of {found.entity} has no field {name!r}.",
        fix=f"Did you mean {near!r}?" if near else "The names stand under `fields:` in its file.",
    )


def _columns(mapped: "FieldDoc") -> set[str]:
    return {column for choice in mapped.columns.values() for column in choice.all()}


def _touches(one: "JournalRow", mapped: "FieldDoc") -> bool:
    if one.side not in mapped.columns:
        return False
    return any(column in one.after for column in mapped.columns[one.side].all())


# --- what is known without asking ---------------------------------------------------------------------------------


def _source(document: "Document", row: Row | None, mapped: "FieldDoc", side: Side, merge: Merge) -> dict[str, Any]:
    if row is None:
        return {"record": None, "present": False}
    from mapping.places import behind_field

    value = column_value(row, mapped, side)
    behind = behind_field(document, mapped, merge.now.get(side))
    return {
        "record": row.ref.id,
        "column": str(mapped.columns[side]),
        "present": value is not None,
        "value": value,
        "reads_as": _plain(merge.now.get(side)),
        "row_at": plain_place(behind.row_at) if behind.row_at else None,
        "last_changed": row.modified_at,
    }


def _rule(document: "Document", mapped: "FieldDoc", connections: Mapping[Side, str]) -> dict[str, Any]:
    return {
        "at": plain_place(document.source.place(("fields", mapped.name), key=True)),
        "rule": _says(mapped, connections),
        "create": {connections[side]: given for side, given in mapped.create.items() if side in mapped.columns},
        "converter": f"values: {mapped.values}" if mapped.values else mapped.convert,
        "columns": {connections[side]: str(choice) for side, choice in mapped.columns.items()},
    }


def _says(mapped: "FieldDoc", connections: Mapping[Side, str]) -> str:
    """A rule decides between two sides; where there are not two, none does."""
    if mapped.is_derived:
        return "made by the mapping"
    if len(mapped.columns) < len(SIDES):
        return f"on {' and '.join(connections[side] for side in mapped.columns)} only, never written across"
    return _named(mapped.rule, connections)


def _named(text: str, connections: Mapping[Side, str]) -> str:
    """The connections' names in place of the sides."""
    for side in SIDES:
        text = text.replace(side, connections[side])
    return text


def _write(one: "JournalRow", connections: Mapping[Side, str], run: "RunRow | None") -> dict[str, Any]:
    return {
        **write_document(one, connections),
        "run_kind": run.kind if run else None,
        "mapping": run.mapping if run else None,  # the version it went by
    }


# --- the merge ----------------------------------------------------------------------------------------------------


def _merge(place: Place, found: Found, mapped: "FieldDoc") -> Merge:
    """Decided as a sync would, from the rows last read."""
    link = found.link
    if link is None or not link.alive or link.left_id is None or link.right_id is None:
        return Merge(unknown="the record has no partner")
    try:
        with place.engine() as engine:
            view = engine.look()
            stored = {side: found.row(engine.store, side) for side in SIDES}
            left, right = stored["left"], stored["right"]
            if left is None or right is None or left.values is None or right.values is None:
                return Merge(unknown="one of the two records is gone")
            return _decide(engine, view, link, mapped, left, right)
    except CrmBridgeError as error:
        if error.exit_code == ConfigError.exit_code:
            raise
        return Merge(unknown=f"the CRMs could not be asked ({error.message})")


def _decide(engine: "Engine", view: "View", link: Link, mapped: "FieldDoc", left: Row, right: Row) -> Merge:
    from crmbridge.plan import ABSENT, decide_field, newest
    from crmbridge.sync.preview import preview_pair

    hands, name = view.hands, mapped.name
    both = view.see_pair(link, left, right)
    now: dict[Side, Value] = {one.row.ref.side: one.shared.fields.get(name) for one in both}
    told = Merge(
        now=now,
        edits={one.row.ref.side: _edit(one.row, hands.our_users) for one in both},
        orders=[
            order
            for order in preview_pair(view, link, {"left": left, "right": right}).orders
            if any(column in order.columns for column in _of_side(mapped, order.side))
        ],
        problems=tuple(one.message for seen in both for one in seen.shared.problems if one.field == name),
    )
    if mapped.is_derived:
        return _with(
            told, unknown="the mapping makes this field: it is written where it differs, and never read across"
        )
    if len(mapped.columns) < len(SIDES):
        return _with(told, unknown="the field has one side only: it is read and never written across")
    policy = hands.policy(both[0])
    rule = next(one for one in hands.rules(both[0]) if one.name == name)
    last = policy.master or newest(left, right, hands.our_users)
    base: dict[Side, Fields] = {"left": link.base.left, "right": link.base.right}
    choice = engine.options.choices.get(f"{link.entity}.{name}")
    verdict = decide_field(
        rule,
        mode=link.mode,
        origin=link.origin,
        base_left=base["left"].get(name, ABSENT),
        base_right=base["right"].get(name, ABSENT),
        left=_value(both[0], name, ABSENT),
        right=_value(both[1], name, ABSENT),
        last_edit=last,
        choice=choice,
        fills_back=link.entity in {"account", "contact"},
    )
    changed = {side: now[side] != base[side][name] for side in SIDES if name in base[side]}
    return _with(told, verdict=verdict, changed=changed, newest=last, master=policy.master, choice=choice)


def _value(seen: Seen, name: str, absent: Any) -> Any:
    return seen.shared.fields.get(name, absent)


def _with(merge: Merge, **more: Any) -> Merge:
    from dataclasses import replace

    return replace(merge, **more)


def _of_side(mapped: "FieldDoc", side: Side) -> tuple[str, ...]:
    return mapped.columns[side].all() if side in mapped.columns else ()


def _edit(row: Row, our_users: Mapping[Side, str | None]) -> Edit:
    by_us = row.modified_by is not None and row.modified_by == our_users[row.ref.side]
    return Edit(at=row.modified_at, by=row.modified_by, by_us=by_us)


def _merge_document(merge: Merge, mapped: "FieldDoc", connections: Mapping[Side, str]) -> dict[str, Any]:
    evidence = {
        "changed_since_agreed": {connections[side]: changed for side, changed in merge.changed.items()},
        "last_edit": {
            connections[side]: {"at": one.at, "by": one.by, "by_us": one.by_us} for side, one in merge.edits.items()
        },
        "newest": connections[merge.newest] if merge.newest else None,
        "master": connections[merge.master] if merge.master else None,
        "chosen": connections[merge.choice] if merge.choice else None,
    }
    writes = [
        {
            "on": connections[order.side],
            "columns": {name: order.columns[name] for name in _of_side(mapped, order.side) if name in order.columns},
        }
        for order in merge.orders
    ]
    verdict = merge.verdict
    if verdict is None:
        return {"decided": False, "why": merge.unknown, "evidence": evidence, "would_write": writes}
    return {
        "decided": True,
        **{side: _plain(merge.now.get(side)) for side in SIDES},
        "would_write_to": connections[verdict.write] if verdict.write else None,
        "would_write": writes,
        "why": for_people(verdict.why, connections, verdict.write) or "nothing changed since both sides agreed",
        "hold": verdict.hold.message if verdict.hold else None,
        "problems": list(merge.problems),
        "evidence": evidence,
    }


def _plain(value: Value) -> Any:
    return f"({value.entity} {value.id}, without partner)" if isinstance(value, Unlinked) else plain_value(value)


# --- for people ---------------------------------------------------------------------------------------------------


def _print(answer: dict[str, Any]) -> None:
    from crmbridge.cli.output import head, say, table

    head(f"{answer['entity']} {answer['shared_id'] or '(no partner)'}: {answer['field']}")
    placed = "beside" in answer["rule"]
    if placed:
        why_place_text.print_sources(answer)
        why_place_text.print_rule(answer)
    else:
        _print_field(answer)
    made = answer["mapping"]
    label = f" ({made['label']})" if made["label"] else ""
    say(f"mapping    version {made['version']}{label}")
    if placed:
        why_place_text.print_agreed(answer)
    else:
        for name, value in answer["agreed"].items():
            say(f"agreed     in {name}: {'never' if value is None else repr(value)}")
    _print_merge(answer["merge"])
    if placed:
        why_place_text.print_steps(answer)
    for one in answer["issues"]:
        say(f"issue      {one['issue']} ({one['kind']}, {one['cause']}): {one['message']} {one['fix']}")
    table(
        ["at (UTC)", "run", "mapping", "on", "what", "reason", "reply"],
        [
            [one["at"], one["run"], one["mapping"], one["on"], one["kind"], one["reason"], one["reply"]]
            for one in answer["writes"]
        ],
        title="Writes of it, newest first",
    )
    if not answer["writes"]:
        say("write      crmbridge never wrote it")


def _print_field(answer: dict[str, Any]) -> None:
    from crmbridge.cli.output import say

    for name, source in answer["sources"].items():
        if source["record"] is None:
            say(f"source     {name}: no record there")
            continue
        value = f"{source['value']!r}" if source["present"] else "blank"
        row = f", read as {source['reads_as']!r} by {source['row_at']}" if source["row_at"] else ""
        say(f"source     {name} {source['record']} {source['column']}: {value}{row}")
    rule = answer["rule"]
    say(f"rule       {rule['at']}: {rule['rule']}")
    for name, given in rule["create"].items():
        say(f"create     {name}: a new record gets {given!r} where it is blank")
    say(f"converter  {rule['converter']}")


def _print_merge(merge: dict[str, Any]) -> None:
    from crmbridge.cli.output import say, word

    told = merge["why"]
    if merge.get("would_write_to"):
        told += f"; the next sync writes it to {merge['would_write_to']}"
    say(f"merge      {told}")
    evidence = merge["evidence"]
    for name, edit in evidence["last_edit"].items():
        # By an edit, or by another mapping: both read otherwise, and either may be meant.
        changed = {True: "reads otherwise than agreed", False: "as agreed", None: "never agreed on"}[
            evidence["changed_since_agreed"].get(name)
        ]
        who = "crmbridge" if edit["by_us"] else edit["by"] or "somebody"
        say(f"           {name}: {changed}; the record was last edited {word(edit['at'])} by {who}")
    if evidence["master"]:
        say(f"           {evidence['master']} is master in its segment")
    if evidence["chosen"]:
        say(f"           {evidence['chosen']} was chosen for the whole field")
    for write in merge["would_write"]:
        for column, value in write["columns"].items():
            say(f"           {write['on']} {column} would become {value!r}")
    for line in [merge.get("hold"), *merge.get("problems", [])]:
        if line:
            say(f"           {line}")
