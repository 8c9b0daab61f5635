"""Do both CRMs agree? Read anew, compared pair by pair with the mapping's own equality; nothing is stored or written.

What `sync` remembers is not trusted here but for one thing: which record belongs to which. Pairs with an open issue are
listed apart, since somebody knows about them already.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from crmbridge.chosen import keeps_status
from crmbridge.lifecycle.conversions import is_bare, mirrors
from crmbridge.model import (
    ENTITIES,
    SIDES,
    Entity,
    FieldRule,
    Link,
    Money,
    Ref,
    Row,
    Satellite,
    Seen,
    Shared,
    Side,
    Unlinked,
    Value,
)
from crmbridge.plan import is_blank
from crmbridge.state.store import Store
from crmbridge.state.words import Issue
from crmbridge.sync.cycle import Engine
from crmbridge.sync.hands import Hands
from crmbridge.sync.persons import rules_of
from crmbridge.sync.view import View

NO_STATE: Final = "any"  # accounts and contacts have none


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    entity: Entity
    ids: Mapping[Side, str | None]
    field: str
    left: Value
    right: Value


@dataclass(slots=True, kw_only=True)
class Total:
    """Records of one entity in one state on one side."""

    records: int = 0
    linked: int = 0
    sums: dict[str, dict[str, Decimal]] = field(default_factory=dict[str, dict[str, Decimal]])  # field -> ISO -> amount
    linked_sums: dict[str, dict[str, Decimal]] = field(default_factory=dict[str, dict[str, Decimal]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """Records of one kind on one side that are linked to nothing, by what becomes of them."""

    records: int  # as the CRM shows it now
    held: int  # named by an open issue: somebody decides
    due: int  # read, and not gone through yet, or waiting for another record: the next sync
    left_alone: int  # by the mapping's filter or the scope, or converted before there was anything to mirror
    other: int  # their pair has ended, or they are too new to have been read


@dataclass(slots=True, kw_only=True)
class Verification:
    names: Mapping[Side, str]
    totals: dict[tuple[Entity, str, Side], Total] = field(default_factory=dict[tuple[Entity, str, Side], Total])
    pairs: int = 0  # compared
    differences: list[Difference] = field(default_factory=list[Difference])
    in_issues: list[Difference] = field(default_factory=list[Difference])  # of pairs with an open issue
    held: list[Issue] = field(default_factory=list[Issue])  # open issues that need somebody
    kept_apart: int = 0  # values that are settled as different: `_stays_apart`, `_no_such_user`, `_is_over` say when
    missing: list[Difference] = field(default_factory=list[Difference])  # linked, but one record is not there
    alone: dict[tuple[Entity, Side], Alone] = field(default_factory=dict[tuple[Entity, Side], Alone])
    unfinished: tuple[Entity, ...] = ()  # kinds whose first run is not done and left records to the next sync

    @property
    def differs(self) -> bool:
        return bool(self.differences or self.missing)

    @property
    def exit_code(self) -> int:
        return 1 if self.differs or self.unfinished else 0

    def total(self, entity: Entity, state: str, side: Side) -> Total:
        return self.totals.setdefault((entity, state, side), Total())


def verify(engine: Engine) -> Verification:
    """Raises TryLater, AccessError or OutsideError where a CRM does not answer."""
    view = engine.look()
    run = engine.store.start_run("verify")
    outcome = "failed"
    try:
        result = _verify(engine, view)
        outcome = "differences" if result.differs else "done"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        engine.store.end_run(run.id, outcome)
    return result


def _verify(engine: Engine, view: View) -> Verification:
    result = Verification(names=engine.names)
    open_issues = [one for kind in ("held", "failed", "waiting") for one in engine.store.open_issues(kind=kind)]
    result.held = [one for one in open_issues if one.kind != "waiting"]
    troubled = {one.link_id for one in open_issues if one.link_id}
    for entity in ENTITIES:
        if entity not in engine.options.entities or entity not in engine.compiled.entities:
            continue
        rows: dict[Side, dict[str, Row]] = {}
        for side in SIDES:
            engine.progress.step(f"reading {entity} from {engine.names[side]}")
            rows[side] = read_all(engine, side, entity)
        engine.progress.step(f"comparing {entity} records")
        _compare(view, entity, rows, troubled, result)
    result.alone = _unlinked(result, engine.store)
    if engine.options.only.everything:  # else a pilot, by choice: what is outside of it waits for no next sync
        due = {entity for (entity, _), one in result.alone.items() if one.due}
        result.unfinished = tuple(one for one in ENTITIES if one in due and not engine.store.meta(f"first_run:{one}"))
    return result


def _unlinked(found: Verification, store: Store) -> dict[tuple[Entity, Side], Alone]:
    named = {(one.entity, one.side, one.native_id) for one in found.held if not one.link_id}
    alone: dict[tuple[Entity, Side], Alone] = {}
    entities: set[Entity] = {entity for entity, _, _ in found.totals}
    for entity in entities:
        for side in SIDES:
            totals = [total for (of, _, on), total in found.totals.items() if (of, on) == (entity, side)]
            records = sum(total.records - total.linked for total in totals)
            held = due = left_alone = 0
            for stored in store.unlinked(side, entity) if records else ():
                if (entity, side, stored.row.ref.id) in named:
                    held += 1
                elif stored.dirty:
                    due += 1
                else:
                    left_alone += 1
            other = max(0, records - held - due - left_alone)
            alone[entity, side] = Alone(records=records, held=held, due=due, left_alone=left_alone, other=other)
    return alone


def read_all(engine: Engine, side: Side, entity: Entity) -> dict[str, Row]:
    """Every live record of an entity as the CRM shows it now, with what stands beside it."""
    connector = engine.connectors[side]
    rows: dict[str, Row] = {}
    for page in connector.changes(entity, None):
        rows |= {row.ref.id: row for row in page.rows}
    satellites: dict[tuple[str, str], Satellite] = {}
    for source in connector.side_tables(entity):
        for page in connector.changes(source, None):
            satellites |= {(one.kind, one.id): one for one in page.satellites if one.parent.entity == entity}
    beside: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for one in satellites.values():
        if not one.deleted:
            beside[one.parent.id][one.kind][one.id] = one.values
    return {
        id: replace(row, extras={**row.extras, **beside[id]}) if id in beside else row
        for id, row in rows.items()
        if not row.deleted and not row.merged_into and row.values is not None
    }


def _compare(
    view: View, entity: Entity, rows: dict[Side, dict[str, Row]], troubled: set[str], result: Verification
) -> None:
    rules = view.hands.compiled.entities[entity].rules
    paired: dict[Side, set[str]] = {"left": set(), "right": set()}
    _look_again(view, entity, rows)
    for link in _pairs(view, entity):
        assert link.left_id is not None
        assert link.right_id is not None
        left, right = rows["left"].get(link.left_id), rows["right"].get(link.right_id)
        if left is None or right is None:
            if link.id not in troubled:
                result.missing.append(_difference(link, "record", _there(left), _there(right)))
            continue
        paired["left"].add(link.left_id)
        paired["right"].add(link.right_id)
        seen_left, seen_right = _see(view, link, left, right)
        for seen in (seen_left, seen_right):
            _add(result, entity, seen, rules, linked=True)
        result.pairs += 1
        found = list(_differences(view.hands, link, seen_left, seen_right))
        over = _is_over(seen_left, seen_right)
        chosen = _as_chosen(view, link, seen_left, seen_right)
        agreed = [
            one
            for one in found
            if _stays_apart(link, one, rules)
            or _no_such_user(view, one, rules)
            or (over and one.field not in {"state", "status"})
            or chosen
        ]
        result.kept_apart += len(agreed)
        open_ones = [one for one in found if one not in agreed]
        (result.in_issues if link.id in troubled else result.differences).extend(open_ones)
    for side in SIDES:
        for id, row in rows[side].items():
            if id not in paired[side]:
                _add(result, entity, view.see(row), rules, linked=False)


def _see(view: View, link: Link, left: Row, right: Row) -> tuple[Seen, Seen]:
    """As a cycle sees them; a side that cannot tell some status rows apart follows the one that can."""
    seen_left, seen_right = view.see_pair(link, left, right)
    if seen_left.shared.status == seen_right.shared.status:
        return seen_left, seen_right
    followed = view.see(left, link=link, hint=seen_right.shared.status)
    if followed.shared.status == seen_right.shared.status:
        return followed, seen_right
    followed = view.see(right, link=link, hint=seen_left.shared.status)
    return seen_left, followed if followed.shared.status == seen_left.shared.status else seen_right


def _pairs(view: View, entity: Entity) -> Iterator[Link]:
    for link in view.hands.store.all_links(entity):
        if link.alive and link.left_id is not None and link.right_id is not None:
            yield link


def _look_again(view: View, entity: Entity, rows: dict[Side, dict[str, Row]]) -> None:
    """What a page did not show may only be too young for it: a row is missing when its own id does not find it."""
    unseen: dict[Side, list[str]] = {side: [] for side in SIDES}
    for link in _pairs(view, entity):
        for side in SIDES:
            id = link.id_on(side)
            if id is not None and id not in rows[side]:
                unseen[side].append(id)
    for side, ids in unseen.items():
        if ids:
            rows[side] |= view.hands.connectors[side].fetch(entity, ids)


def _there(row: Row | None) -> str:
    return "there" if row is not None else "not there"


# --- one pair -----------------------------------------------------------------------------------------------------


def _differences(hands: Hands, link: Link, left: Seen, right: Seen) -> Iterator[Difference]:
    for rule in rules_of(hands, {"left": left, "right": right}):
        if len(rule.sides) < len(SIDES) or rule.rule == "create only":
            continue  # never kept equal
        here, there = left.shared.fields.get(rule.name), right.shared.fields.get(rule.name)
        if isinstance(here, Unlinked) or isinstance(there, Unlinked):
            continue  # points at a record that does not cross
        if is_blank(here) and is_blank(there):
            continue
        if not rule.same(here, there):
            yield _difference(link, rule.name, here, there)
    if left.shared.contradiction or right.shared.contradiction:
        return  # its label contradicts its flag: reported, and written nowhere (L6, O21)
    own = keeps_status(hands.policy(left), link.entity)
    for name, here, there in _axes(left.shared, right.shared):
        if here != there and not (own and name == "status" and left.shared.state == "open"):
            yield _difference(link, name, here, there)


def _axes(left: Shared, right: Shared) -> Iterator[tuple[str, Value, Value]]:
    yield "state", left.state, right.state
    if left.state == right.state and None not in {left.status, right.status}:  # no process there: no stage
        yield "status", left.status, right.status
    # On hold is not compared: it has no counterpart on Salesforce and stays where it is (O4).


def _stays_apart(link: Link, difference: Difference, rules: Sequence[FieldRule]) -> bool:
    """Blank on one side and settled so: a conversion filled the other one in (lifecycle §1.4), or the rule lets only
    one side be written and that one is blank."""
    blank: Side | None = "left" if is_blank(difference.left) else "right" if is_blank(difference.right) else None
    if blank is None or difference.field in {"state", "status"}:
        return False
    view_left, view_right = link.base.left.get(difference.field), link.base.right.get(difference.field)
    if (view_left, view_right) != (difference.left, difference.right):
        return False
    rule = next(one for one in rules if one.name == difference.field)
    return link.origin == blank or rule.rule == blank


def _as_chosen(view: View, link: Link, left: Seen, right: Seen) -> bool:
    """One side is converted and the other is left as it is, because that was chosen."""
    hands = view.hands
    seen: Mapping[Side, Seen] = {"left": left, "right": right}
    side: Side = "left" if left.shared.state == "converted" else "right"
    if left.row.ref.entity != "lead" or {one.shared.state == "converted" for one in seen.values()} != {True, False}:
        return False
    chosen = hands.policy(left).convert
    if link.epoch:
        return chosen.reactivated == "leave"
    bare = is_bare(seen[side], hands.powers[side]) and chosen.bare_qualified == "ignore"
    return bare or not mirrors(hands.policy(left), seen[side], hands.true_for)


def _is_over(left: Seen, right: Seen) -> bool:
    """A lead that is converted on both sides is written to no more; a late edit lives on in what it became (L12, L13),
    and is compared there."""
    return left.row.ref.entity == "lead" and left.shared.state == right.shared.state == "converted"


def _no_such_user(view: View, difference: Difference, rules: Sequence[FieldRule]) -> bool:
    """An owner whom the other side does not know stays here; there it is the fallback (lifecycle §7)."""
    if not any(rule.name == difference.field and rule.kind == "user" for rule in rules):
        return False
    known = {side: view.hands.directories[side].user_ids for side in SIDES}
    return difference.left not in known["right"] or difference.right not in known["left"]


def _difference(link: Link, name: str, left: Value, right: Value) -> Difference:
    ids: dict[Side, str | None] = {"left": link.left_id, "right": link.right_id}
    return Difference(entity=link.entity, ids=ids, field=name, left=left, right=right)


# --- totals -------------------------------------------------------------------------------------------------------


def _add(result: Verification, entity: Entity, seen: Seen, rules: Sequence[FieldRule], *, linked: bool) -> None:
    ref: Ref = seen.row.ref
    total = result.total(entity, seen.shared.state or NO_STATE, ref.side)
    total.records += 1
    total.linked += linked
    for rule in rules:
        value = seen.shared.fields.get(rule.name)
        if isinstance(value, Money):
            for sums in (total.sums, total.linked_sums) if linked else (total.sums,):
                by_currency = sums.setdefault(rule.name, {})
                by_currency[value.currency] = by_currency.get(value.currency, Decimal(0)) + value.amount
