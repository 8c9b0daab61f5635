"""`crmbridge show`: what is known about one record."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.cli.find import Found, find
from crmbridge.cli.sync import issue_document
from crmbridge.cli.verify import plain_value
from crmbridge.model import SIDES, Link, Row, Side, attribute_name
from crmbridge.reasons import for_people

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store
    from crmbridge.state.words import JournalRow
    from mapping import Document
    from mapping.document import FieldDoc

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("show")
@click.argument("record", metavar="RECORD")
@_json
@click.pass_obj
def show(place: Place, record: str, as_json: bool) -> None:
    """All that is known about one record: its pair, both sides as last read, open issues, every write.

    RECORD is a shared id, a native id, a CRM URL or entity:e-mail. Asks the store only.
    """
    settings = place.settings()
    connections = names(settings)
    documents = {one.entity: one for one in _mappings(settings)}
    with place.store() as store:
        found = find(store, settings, record)
        document = _show(store, found, connections, documents.get(found.entity))
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(document)
    else:
        _print_show(document, connections)


def _mappings(settings: "Settings") -> "Any":
    from crmbridge import wiring

    return wiring.load_mapping(settings)


def _show(store: "Store", found: Found, connections: Mapping[Side, str], document: "Document | None") -> dict[str, Any]:
    link = found.link
    rows: dict[Side, Row | None] = {side: found.row(store, side) for side in SIDES}
    refs = [row.ref for row in rows.values() if row is not None]
    issues = store.issues_of([link.id] if link else [], refs)
    journal = journal_of(store, found, link)
    return {
        "entity": found.entity,
        "shared_id": link.id if link else None,
        "pair": _pair(link) if link else None,
        "sides": {connections[side]: _side(row, document, side) for side, row in rows.items() if row is not None},
        "agreed": {connections[side]: _view(link, side) for side in SIDES} if link else {},
        "issues": [issue_document(one) for one in issues],
        "conversions": [
            {"case": one.case, "from": connections[one.from_side], "state": one.state, **one.detail}
            for one in (store.conversions([link.id]) if link and found.entity == "lead" else [])
        ],
        "writes": [write_document(one, connections) for one in journal],
    }


def journal_of(store: "Store", found: Found, link: Link | None) -> "list[JournalRow]":
    if link is not None:
        return store.journal(link_id=link.id)
    return store.journal(side=found.ref.side, native_id=found.ref.id) if found.ref else []


def _pair(link: Link) -> dict[str, Any]:
    return {
        "how": link.how,
        "alive": link.alive,
        "mode": link.mode,
        "left": link.left_id,
        "right": link.right_id,
        "conversions_mirrored": link.epoch,
    }


def _side(row: Row, document: "Document | None", side: Side) -> dict[str, Any]:
    values = {name: column_value(row, field, side) for name, field in document.fields.items()} if document else {}
    return {
        "id": row.ref.id,
        "version": row.version,
        "modified_at": row.modified_at,
        "deleted": row.deleted,
        "merged_into": row.merged_into,
        "values": {name: value for name, value in values.items() if value is not None},
    }


def column_value(row: Row, field: "FieldDoc", side: Side) -> Any:
    """A field as the CRM showed it, not translated."""
    if row.values is None or side not in field.columns:
        return None
    parts = field.columns[side].parts
    if parts:
        shown = [getattr(row.values, attribute_name(part), None) for part in parts]
        return [value or "" for value in shown] if any(shown) else None
    column = field.columns[side].column
    for name in (column, f"_{column}_value"):  # a Dynamics lookup is read from `_name_value`
        value = getattr(row.values, attribute_name(name), None)
        if value is not None:
            return value
    return None


def _view(link: Link, side: Side) -> dict[str, Any]:
    axes = link.base.axes(side)
    state = {"state": axes.state, "status": axes.status}
    return {name: plain_value(value) for name, value in {**state, **link.base.view(side)}.items() if value is not None}


def write_document(one: "JournalRow", connections: Mapping[Side, str]) -> dict[str, Any]:
    return {
        "at": one.at,
        "run": one.run_id,
        "on": connections[one.side],
        "kind": one.kind,
        "id": one.native_id,
        "reason": for_people(one.reason, connections, one.side),
        "before": dict(one.before),
        "after": dict(one.after),
        "reply": one.reply,
    }


def _print_show(document: dict[str, Any], connections: Mapping[Side, str]) -> None:
    from crmbridge.cli.output import head, say, table

    head(f"{document['entity']} {document['shared_id'] or '(no partner)'}")
    if document["pair"]:
        pair = document["pair"]
        how = for_people(pair["how"] or pair["mode"], connections)
        say(f"paired: {how}{'' if pair['alive'] else '; the pair has ended'}")
    for name, side in document["sides"].items():
        gone = ", deleted" if side["deleted"] else f", merged into {side['merged_into']}" if side["merged_into"] else ""
        say(f"{name}: {side['id']}, last changed {side['modified_at'] or 'unknown'}{gone}")
    shown = {name: side["values"] for name, side in document["sides"].items()}
    fields = sorted({field for values in shown.values() for field in values} | set(_agreed_fields(document)))
    table(
        ["field", *shown, *(f"agreed in {name}" for name in document["agreed"])],
        [
            [
                field,
                *(values.get(field) for values in shown.values()),
                *(view.get(field) for view in document["agreed"].values()),
            ]
            for field in fields
        ],
        title="Values as last read, and as last agreed on",
    )
    table(
        ["issue", "kind", "cause", "field", "what", "what to do"],
        [
            [one["issue"], one["kind"], one["cause"], one["record"]["field"], one["message"], one["fix"]]
            for one in document["issues"]
        ],
        title="Open issues",
    )
    table(
        ["at (UTC)", "run", "on", "what", "columns", "reason", "reply"],
        [
            [one["at"], one["run"], one["on"], one["kind"], ", ".join(one["after"]), one["reason"], one["reply"]]
            for one in document["writes"]
        ],
        title="Writes, newest first",
    )


def _agreed_fields(document: dict[str, Any]) -> list[str]:
    return [field for view in document["agreed"].values() for field in view]
