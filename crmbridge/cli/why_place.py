"""`crmbridge why RECORD status` (or `stage`): how a record came to where it stands in its life, and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from crmbridge.cli.context import Place, names
from crmbridge.cli.find import Found
from crmbridge.cli.mapping.common import plain_place
from crmbridge.cli.records import journal_of, write_document
from crmbridge.cli.sync import issue_document
from crmbridge.errors import ConfigError, CrmBridgeError
from crmbridge.model import SIDES, Axes, Link, Row, Seen, Side, attribute_name, other
from crmbridge.reasons import for_people

if TYPE_CHECKING:
    from crmbridge.lifecycle.plan import LifePlan
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store
    from crmbridge.state.words import JournalRow
    from crmbridge.sync.view import View
    from crmbridge.sync.work import Order
    from mapping import Document

WORDS: Final = ("status", "stage", "state")
# What names a place in the journal: our own word for it, and the columns that a create fills.
_PLACED: Final = frozenset({"status", "state", "Status", "StageName", "statuscode", "statecode", "stepname"})
_CONVERSIONS: Final = frozenset({"convert", "convert_here", "adopt", "new_lead"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the next sync would make of it, and from what that follows."""

    unknown: str = ""  # why it cannot be told
    seen: Mapping[Side, Seen] = field(default_factory=dict)
    labels: Mapping[Side, str] = field(default_factory=dict)  # of the native status, as people see it
    life: "LifePlan | None" = None
    changed: Mapping[Side, bool] = field(default_factory=dict)
    edits: Mapping[Side, Mapping[str, Any]] = field(default_factory=dict)
    newest: Side | None = None
    master: Side | None = None
    segment: str | None = None
    ignored: str = ""  # the option that lets an unmapped place be, as people are told it
    orders: "tuple[Order, ...]" = ()


def explain(place: Place, settings: "Settings", store: "Store", found: Found, document: "Document") -> dict[str, Any]:
    """Everything that is known of it; the CRMs are asked for their descriptions alone."""
    connections = names(settings)
    if document.axis is None:
        raise ConfigError(
            f"An {found.entity} has no status of its own in the mapping."
            if found.entity == "account"
            else f"A {found.entity} has no status of its own in the mapping.",
            fix="Leads have a `status`, opportunities a `stage`; of all others ask for a field.",
        )
    rows: dict[Side, Row | None] = {side: found.row(store, side) for side in SIDES}
    judged = _judge(place, found)
    refs = [row.ref for row in rows.values() if row is not None]
    issues = [
        one
        for one in store.issues_of([found.link.id] if found.link else [], refs)
        if one.field in {*WORDS, "reason", "on_hold", None}
    ]
    journal = [one for one in journal_of(store, found, found.link) if _tells(one)]
    runs = {run.id: run for run in store.runs()} if journal else {}
    return {
        "entity": found.entity,
        "shared_id": found.link.id if found.link else None,
        "field": document.axis,
        "sources": {connections[side]: _source(document, row, side, judged) for side, row in rows.items()},
        "rule": _rule(document, judged),
        "mapping": None,  # filled in by the command, which has read the files
        "agreed": {connections[side]: _axes(found.link.base.axes(side)) if found.link else None for side in SIDES},
        "merge": _merge(judged, document, connections, rows, found.link),
        "issues": [issue_document(one) for one in issues],
        "writes": [
            {
                **write_document(one, connections),
                "run_kind": run.kind if (run := runs.get(one.run_id)) else None,
                "mapping": run.mapping if run else None,
            }
            for one in journal
        ],
    }


def _tells(one: "JournalRow") -> bool:
    return one.kind in _CONVERSIONS or not _PLACED.isdisjoint(one.after)


# --- where it comes from ------------------------------------------------------------------------------------------


def _source(document: "Document", row: Row | None, side: Side, judged: Judged) -> dict[str, Any]:
    if row is None:
        return {"record": None, "present": False}
    from mapping.places import status_place

    shown = _columns(document, row, side)
    seen = judged.seen.get(side)
    told: dict[str, Any] = {
        "record": row.ref.id,
        "column": ", ".join(shown),
        "present": any(value is not None for value in shown.values()),
        "value": shown,
        "reads_as": None,
        "row_at": None,
        "last_changed": row.modified_at,
    }
    if seen is None:
        return told
    at = status_place(document, seen.shared.status)
    return told | {
        "native": seen.life.status,
        "label": judged.labels.get(side),
        "kind": seen.life.process or seen.life.record_type,  # the words may depend on it
        "flag": seen.life.state,  # what the CRM itself says; it decides
        "reads_as": {"state": seen.shared.state, "status": seen.shared.status, "on_hold": seen.shared.on_hold},
        "contradiction": seen.shared.contradiction,
        "row_at": plain_place(at) if at else None,
    }


def _columns(document: "Document", row: Row, side: Side) -> dict[str, Any]:
    """The columns behind it as the CRM showed them; a stage of a process stands beside the row."""
    from mapping.standing import standing_columns

    wanted = [*standing_columns(document.systems[side], document.entity), *_more(document, side)]
    shown = {name: getattr(row.values, attribute_name(name), None) for name in wanted if row.values is not None}
    return {name: value for name, value in shown.items() if value is not None}


def _more(document: "Document", side: Side) -> list[str]:
    """Columns of the mapping that help to tell a place: the reason's, on hold."""
    beside = document.beside
    reason, holding = beside.reason.get(side), beside.on_hold.get(side)
    return [one for one in (reason, holding.column if holding else None) if one is not None]


def _rule(document: "Document", judged: Judged) -> dict[str, Any]:
    """The table, and what of the mapping stands beside it."""
    assert document.axis is not None
    source = document.source
    beside = {
        name: plain_place(source.place((name,), key=True))
        for name in ("reason", "on_hold", "gates")
        if (name,) in source.keys
    }
    rows = {seen.shared.status for seen in judged.seen.values()} - {None}
    return {
        "at": plain_place(source.place((document.axis,), key=True)),
        "rule": "the side that moved; where both did: closed before open, else the newer",
        "converter": f"table: {document.axis}",
        "columns": {},
        "rows": {str(row): plain_place(source.place((document.axis, row), key=True)) for row in sorted(map(str, rows))},
        "beside": beside,
    }


def _axes(axes: Axes) -> dict[str, Any] | None:
    if axes.state is None and axes.status is None:
        return None
    return {"state": axes.state, "status": axes.status, "on_hold": axes.on_hold}


# --- what comes next ----------------------------------------------------------------------------------------------


def _judge(place: Place, found: Found) -> Judged:
    """Decided as a sync would, from the rows last read."""
    link = found.link
    try:
        with place.engine() as engine:
            view = engine.look()
            rows: dict[Side, Row | None] = {side: found.row(engine.store, side) for side in SIDES}
            alive: dict[Side, Row] = {
                side: row for side, row in rows.items() if row is not None and row.values is not None
            }
            if link is None or not link.alive or len(alive) < len(SIDES):
                seen: dict[Side, Seen] = {side: view.see(row, link=link) for side, row in alive.items()}
                gone = link is not None and len(alive) < len(SIDES)
                words = "one of the two records is gone" if gone else "the record has no partner"
                return Judged(unknown=words, seen=seen, labels=_labels(view, seen))
            return _decide(view, link, alive)
    except CrmBridgeError as error:
        if error.exit_code == ConfigError.exit_code:
            raise
        return Judged(unknown=f"the CRMs could not be asked ({error.message})")


def _decide(view: "View", link: Link, rows: Mapping[Side, Row]) -> Judged:
    from crmbridge.plan import newest
    from crmbridge.sync.living import plan_life
    from crmbridge.sync.preview import preview_pair
    from crmbridge.sync.work import make_work

    hands = view.hands
    work = make_work(view, link, dict(rows))
    life, policy = plan_life(hands, work), hands.policy(work.seen["left"])
    base = link.base
    orders = preview_pair(view, link, rows).orders
    kinds = {step.kind for step in life.steps}
    return Judged(
        seen=dict(work.seen),
        labels=_labels(view, work.seen),
        life=life,
        changed={side: _moved(work.seen[side], base.axes(side)) for side in SIDES if base.axes(side).state},
        edits={
            side: {
                "at": row.modified_at,
                "by": row.modified_by,
                "by_us": row.modified_by is not None and row.modified_by == hands.our_users[side],
            }
            for side, row in rows.items()
        },
        newest=policy.master or newest(rows["left"], rows["right"], hands.our_users),
        master=policy.master,
        segment=policy.segment,
        ignored=f" ({policy.says('move.unmapped')})" if policy.move.unmapped == "ignore" else "",
        orders=tuple(order for order in orders if order.kind in kinds),
    )


def _moved(seen: Seen, agreed: Axes) -> bool:
    shared = seen.shared
    return (shared.state, shared.status, shared.on_hold) != (agreed.state, agreed.status, agreed.on_hold)


def _labels(view: "View", seen: Mapping[Side, Seen]) -> dict[Side, str]:
    """A stage of a process, or a status code, by the name that people see."""
    found: dict[Side, str] = {}
    for side, one in seen.items():
        if one.life.status is None:
            continue
        options = view.hands.connectors[side].describe(one.row.ref.entity).statuses
        own = [each for each in options if each.process == one.life.process] or options
        label = next((each.label for each in own if each.value == one.life.status), None)
        if label is not None:
            found[side] = label
    return found


def _merge(
    judged: Judged,
    document: "Document",
    connections: Mapping[Side, str],
    rows: Mapping[Side, Row | None],
    link: Link | None,
) -> dict[str, Any]:
    evidence = {
        "changed_since_agreed": {connections[side]: moved for side, moved in judged.changed.items()},
        "last_edit": {connections[side]: dict(edit) for side, edit in judged.edits.items()},
        "newest": connections[judged.newest] if judged.newest else None,
        "master": connections[judged.master] if judged.master else None,
        "segment": judged.segment,
        "chosen": None,
        "gates": _gates(document),
    }
    life = judged.life
    if life is None:
        return {"decided": False, "why": judged.unknown, "evidence": evidence, "would_write": []}
    steps = [
        {
            "case": step.case,
            "kind": step.kind,
            "on": connections[step.side],
            "status": step.status,
            "reason": for_people(step.reason, connections, step.side),
        }
        for step in life.steps
    ]
    return {
        "decided": True,
        "why": _told(judged, life, connections),
        "would_write_to": steps[0]["on"] if steps else None,
        "would_write": [{"on": connections[one.side], "columns": dict(one.columns)} for one in judged.orders],
        "steps": steps,
        "hold": life.holds[0].message if life.holds else None,
        "fix": life.holds[0].fix if life.holds else None,
        "problems": [
            problem.message
            for seen in judged.seen.values()
            for problem in seen.shared.problems
            if problem.field in {*WORDS, "reason", "on_hold"}
        ],
        "reports": [one.message for one in life.reports],
        "evidence": evidence,
    }


def _gates(document: "Document") -> dict[str, str]:
    return {
        gate.row: plain_place(document.source.place(("gates", gate.row), key=True)) for gate in document.beside.gates
    }


def _told(judged: Judged, life: "LifePlan", connections: Mapping[Side, str]) -> str:
    if life.steps:
        return "; then ".join(for_people(step.reason, connections, step.side) for step in life.steps)
    if life.holds:
        return f"held ({life.holds[0].cause})"
    left, right = judged.seen["left"].shared, judged.seen["right"].shared
    if any(seen.shared.status is None and seen.shared.problems for seen in judged.seen.values()):
        return f"not moved: no row of the table names what one side has{judged.ignored}"
    if (left.state, left.status) == (right.state, right.status):
        return "both sides stand alike"
    moved: Side | None = next((side for side in SIDES if judged.changed.get(side)), None)
    if moved is None:
        return "the two stand apart, and neither was moved since they were agreed on"
    way = judged.seen[other(moved)].shared.status
    return f"it was moved, and nothing of that is carried out on the other side, which stays at {way!r}"
