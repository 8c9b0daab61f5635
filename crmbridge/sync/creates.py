"""Creating partners: intent first, one call, then links and rows in one transaction (reliability §3).

A dry run goes the same way, but for the call and the store: it counts, and lays planned links over the crosswalk.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

import mapping
from connectors.base import Witness, Write
from crmbridge.chosen import problems_to_tell
from crmbridge.gate import first_row
from crmbridge.ids import new_id
from crmbridge.model import (
    SIDES,
    Base,
    Create,
    Entity,
    Fields,
    Link,
    Outcome,
    Problem,
    Ref,
    Refused,
    Row,
    Seen,
    Side,
    Unknown,
    Written,
    other,
)
from crmbridge.plan import settled_base
from crmbridge.state.words import Batch, Intent, Issue, IssuePlace
from crmbridge.sync import alike
from crmbridge.sync.customer import becoming_persons, for_new
from crmbridge.sync.echo import changed_since
from crmbridge.sync.hands import Hands, fingerprint, new_intent
from crmbridge.sync.pausing import pause_of, waits
from crmbridge.sync.view import View
from crmbridge.sync.work import (
    Order,
    Work,
    chunks,
    fresh_rows,
    journal,
    make_work,
    outcome_state,
    problem_issues,
    read_back,
    refusals,
    refused_issue,
    reply_text,
    work_event,
)

# A create without a state cannot be right; any other problem holds one field and lets the rest go on.
UNMAPPED_STATUS = "unmapped_status"
# Two people may type the same record into both CRMs at once, and Salesforce is read only up to a minute ago.
TYPED_WITHIN: Final = timedelta(minutes=3)
TYPED_MAX: Final = 10  # so many new ones at once nobody types: an import is not asked about
_GENERATIONS = uuid.UUID("5a0c5c5e-6d2b-5d43-9e0b-0c7a4b6f8d21")  # namespace of keys that are not the first


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A create that is due."""

    create: Create
    source: Seen
    generation: int = 1
    link: Link | None = None  # of a pair that lacks this record alone


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A create that can be sent."""

    record: NewRecord
    link: Link
    write: Write
    problems: tuple[Problem, ...]
    natural: alike.Key | None = None  # what it is known by, where the CRM enforces no key


def push_creates(hands: Hands, view: View, entity: Entity, records: Sequence[NewRecord]) -> list[Work]:
    """Create partners; returns the new pairs (mode fresh), ready for their life-cycle steps."""
    done: list[Work] = []
    for side in SIDES:
        mine = [record for record in records if record.create.side == side]
        for chunk in chunks(mine, hands.connectors[side].batch_size):
            done.extend(_create_chunk(hands, view, entity, side, chunk))
    return done


def _create_chunk(hands: Hands, view: View, entity: Entity, side: Side, records: Sequence[NewRecord]) -> list[Work]:
    connector = hands.connectors[side]
    ready: list[_Ready] = []
    issues: list[Issue] = []
    hands.at_hand(str(record.source.row.ref) for record in records)
    refused = refusals(hands, refs=[record.source.row.ref for record in records])
    pause = pause_of(hands, side, entity)
    witness = alike.witness(connector)
    on_their_way = alike.on_their_way(hands, side, entity) if witness is not None else set()
    persons = becoming_persons(hands, view) if entity == "contact" else frozenset()
    for record in records:
        source = record.source
        belongs = for_new(hands, view, source, record.create.fields, refused)
        issues.extend(belongs.issues)
        if not belongs.ready:
            continue
        put = put_new(hands, view, side, source, belongs.fields)
        problems = (*_unread(hands, source), *put.problems)
        if put.blocked or any(problem.cause == UNMAPPED_STATUS for problem in problems):
            issues.extend(problem_issues(hands, entity, problems, ref=source.row.ref))
            continue
        if (source.row.ref.id, fingerprint(put.columns)) in refused:
            continue
        if pause is not None:
            issues.append(waits(hands, pause, side, entity, ref=source.row.ref))
            continue
        link = replace(
            record.link or _new_link(entity, source, record.generation),
            fillers={side: put.fillers} if put.fillers else {},
            how=record.create.reason,
        )
        natural = alike.natural_key(hands, side, entity, put.columns) if witness is not None else None
        if witness is not None and natural is None:
            issues.append(alike.lacks_key(hands, entity, side, source.row.ref))
            continue
        if natural is not None:
            if alike.same(natural) in on_their_way:
                continue  # one of a kind at a time: else nobody could tell whose a lost answer was
            on_their_way.add(alike.same(natural))
        chosen = connector.chosen_id(hands.identities[other(side)].org_id, source.row.ref.id, record.generation)
        key = key_of(source.row.ref.id, record.generation)
        as_person = source.row.ref in persons
        write = Write(kind="create", entity=entity, id=chosen, key=key, columns=put.columns, as_person=as_person)
        ready.append(_Ready(record=record, link=link, write=write, problems=put.problems, natural=natural))
    if hands.dry:
        return [_planned(hands, view, one, side) for one in ready]
    before: datetime | None = None
    if witness is not None and ready:
        there, before = alike.there_already(hands, witness, side, entity, [one.natural or {} for one in ready])
        ready = [one for n, one in enumerate(ready) if n not in there]
    elif isinstance(connector, Witness):
        ready = _not_typed_there(hands, connector, side, entity, ready)
    intents = [
        new_intent(
            hands,
            side=side,
            entity=entity,
            kind="create",
            link_id=one.link.id,
            native_id=one.write.id,
            source_id=one.record.source.row.ref.id,
            key=one.write.key if one.natural is None else alike.marked(one.natural),
            reason=one.record.create.reason,
            after=journal(one.write.columns),
            pre_version=before.isoformat() if before is not None else None,
        )
        for one in ready
    ]
    if witness is not None and ready:
        hands.send_soon()
    hands.record(Batch(open_intents=intents, issues=issues))
    if not ready:
        return []
    outcomes = connector.write([one.write for one in ready])
    return _settle_creates(hands, view, side, ready, intents, outcomes)


def _unread(hands: Hands, source: Seen) -> tuple[Problem, ...]:
    """What of it could not be read. Its partner is made open, at the first row if its own is ignored."""
    shared = source.shared
    return problems_to_tell(shared, shared, hands.policy(source)) if shared.problems else ()


def _not_typed_there(
    hands: Hands, witness: Witness, side: Side, entity: Entity, ready: Sequence[_Ready]
) -> list[_Ready]:
    """Without those that somebody has typed over there as well, a moment ago: it is not read so far yet. Such a twin is
    stored, and the next cycle pairs the two."""
    typed = [one for one in ready if one.record.link is None and _is_just_typed(hands, one.record.source.row)]
    if not typed or len(typed) > TYPED_MAX:
        return list(ready)
    keys = {one.link.id: alike.natural_key(hands, side, entity, one.write.columns) for one in typed}
    asked = {id: key for id, key in keys.items() if key is not None}
    if not asked:
        return list(ready)
    there, _ = alike.there_already(hands, witness, side, entity, list(asked.values()))
    twins = {id for n, id in enumerate(asked) if n in there}
    return [one for one in ready if one.link.id not in twins]


def _is_just_typed(hands: Hands, row: Row) -> bool:
    return row.created_at is not None and abs(hands.run.started_at - row.created_at) <= TYPED_WITHIN


def key_of(partner: str, generation: int) -> str:
    """What our key field holds: the partner's id; for a later record of the same partner another text as long."""
    return partner if generation == 1 else str(uuid.uuid5(_GENERATIONS, f"{partner}:{generation}"))


def _new_link(entity: Entity, source: Seen, generation: int) -> Link:
    ref = source.row.ref
    return Link(
        id=new_id(),
        entity=entity,
        left_id=ref.id if ref.side == "left" else None,
        right_id=ref.id if ref.side == "right" else None,
        mode="fresh",
        origin=ref.side,
        generation=generation,
    )


def _settle_creates(
    hands: Hands,
    view: View,
    side: Side,
    ready: Sequence["_Ready"],
    intents: Sequence[Intent],
    outcomes: Sequence[Outcome],
) -> list[Work]:
    entity = ready[0].link.entity
    rows = read_back(hands, side, entity, outcomes)
    closed: list[Intent] = []
    links: list[Link] = []
    stored = fresh_rows(hands, _other_halves(hands, side, rows.values()))
    issues: list[Issue] = []
    over: list[IssuePlace] = []
    works: list[Work] = []
    adopted = [one.id for one in outcomes if isinstance(one, Written) and one.adopted]
    taken = hands.store.links_by_native(side, entity, adopted) if adopted else {}
    for one, intent, outcome in zip(ready, intents, outcomes, strict=True):
        record, source = one.record, one.record.source.row
        if isinstance(outcome, Written) and taken.get(outcome.id, one.link).id != one.link.id:
            outcome = _key_of_another(hands, side, outcome.id)
        hands.came_to(outcome_state(outcome), side, entity, "create")
        if isinstance(outcome, Written):
            made = _with_id(one.link, side, outcome.id)
            closed.append(replace(intent, state="done", native_id=outcome.id, reply=reply_text(outcome)))
            over.append((entity, None, source.ref.side, source.ref.id, None))
            view.crosswalk.learn(made)
            row = rows.get(outcome.id)
            if row is not None:
                stored.append(row)
                pair: dict[Side, Row] = {side: row, other(side): source}
                work = make_work(view, made, pair)
                # What could not be written is not agreed on; it stays an issue of the pair.
                work.issues.extend(problem_issues(hands, entity, one.problems, link=made, ref=source.ref))
                base = first_base(hands, work, side, journal(one.write.columns), one.problems)
                made = work.link = replace(made, base=base)
                works.append(work)
            links.append(made)
            hands.tell(work_event(made, side, "create", record.create.reason, tuple(record.create.fields)))
        elif isinstance(outcome, Unknown):
            hands.leave_alone(one.link.id, str(source.ref))  # the intent stays open; recovery looks first
        else:
            closed.append(replace(intent, state=outcome_state(outcome), reply=reply_text(outcome)))
            if isinstance(outcome, Refused):
                mark = fingerprint(one.write.columns)
                issues.append(refused_issue(hands, outcome, entity, mark, ref=source.ref))
    hands.record(Batch(rows=stored, links=links, close_intents=closed, issues=issues, close_issues=over))
    return works


def _other_halves(hands: Hands, side: Side, rows: Iterable[Row]) -> list[Ref]:
    """Accounts of person accounts made just now: what hangs on such a record names its account."""
    if not hands.identities[side].person_accounts:
        return []
    lives = [hands.connectors[side].life(row) for row in rows if row.ref.entity == "contact"]
    return [
        Ref(side=side, entity="account", id=one.account_id) for one in lives if one.person_account and one.account_id
    ]


def _key_of_another(hands: Hands, side: Side, id: str) -> Refused:
    """The record that has this one's key belongs to another pair, or did: after a merge that was taken back."""
    return Refused(
        code="key_taken",
        message=f"its key stands on {id} already, which is or was the partner of another record. Take the key off that "
        "one, or merge the two there.",
        fields=(field,) if (field := hands.connectors[side].key_field) is not None else (),
        lasting=True,
    )


def put_new(hands: Hands, view: View, side: Side, source: Seen, fields: Fields | None = None) -> mapping.Put:
    """The columns of a new partner; by default for all fields of its source. A row behind a gate is no place to start
    at: then it is made at the first one."""
    compiled = hands.compiled.entities[source.row.ref.entity]
    row = first_row(compiled.gates, compiled.status_rows(), source.shared)
    return compiled.put(
        side,
        source.shared.fields if fields is None else fields,
        facts=view.facts(whose=source),
        current=None,
        life=None,
        state=None if source.shared.state is None else "open",
        whole=msgspec.structs.replace(source.shared, status=row),
    )


def first_base(hands: Hands, work: Work, side: Side, sent: Mapping[str, Any], problems: Iterable[Problem]) -> Base:
    """What the new record on `side` was made as, beside its source. Kept at once, with the link: a run that dies before
    it settles the pair must not take an edit made in between for agreed on."""
    work.unsettled |= {problem.field for problem in problems if problem.cause not in mapping.NOTES}
    source, made = work.seen[other(side)].shared, work.seen[side]
    # What the CRM makes in its own way whatever is sent is not agreed on where it differs: it is written right after.
    work.unsettled |= {
        rule.name
        for rule in hands.compiled.entities[work.entity].rules
        if side in rule.late and not rule.same(source.fields.get(rule.name), made.shared.fields.get(rule.name))
    }
    others = changed_since(hands, made, source.fields, sent)
    shared = msgspec.structs.replace(made.shared, fields={**made.shared.fields, **others})
    left, right = (shared, source) if side == "left" else (source, shared)
    return settled_base(Base(), left, right, frozenset(work.unsettled), axes_settled=False)


def _planned(hands: Hands, view: View, one: "_Ready", side: Side) -> Work:
    """A dry run's stand-in for the new record: what is planned for the source's state is counted as well."""
    record, link = one.record, one.link
    problem_issues(hands, link.entity, one.problems, ref=record.source.row.ref)
    made = _with_id(link, side, f"planned:{link.id}")
    view.crosswalk.learn(made)
    hands.count(side, link.entity, "create")
    hands.tell(work_event(made, side, "create", record.create.reason, tuple(record.create.fields)))
    closing = {"won": "close", "lost": "close", "disqualified": "disqualify", "converted": "convert"}
    kind = closing.get(record.source.shared.state or "")
    first = hands.compiled.entities[link.entity].first_open()
    if link.entity == "opportunity" and record.source.shared.status not in {None, first} and kind is None:
        kind = "update"  # it is made at the first stage and moved on
    if kind:
        hands.count(side, link.entity, kind)
    work = Work(link=made, rows={other(side): record.source.row}, seen={other(side): record.source})
    columns = journal(one.write.columns)
    work.orders.append(Order(side=side, kind="create", columns=columns, reason=record.create.reason))
    return work


def _with_id(link: Link, side: Side, id: str) -> Link:
    return replace(link, left_id=id) if side == "left" else replace(link, right_id=id)
