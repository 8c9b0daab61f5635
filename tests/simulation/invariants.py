"""What is promised (docs/explanation/reliability.md): one small function each, named by its number.

They judge by the CRMs' own rows and by the simulation's journal of changes, and ask the store only for what it is to
account for: links, issues, intents, journal. A violation names the record.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import select

from crmbridge.model import ENTITIES, SIDES, Entity, Link, Side, other
from crmbridge.sandbox.core import Reply, Request
from crmbridge.state.schema import intent
from crmbridge.sync import Engine
from tests.simulation import journalled
from tests.simulation.company import CRM, ENTITY, TABLES, Change, Row, is_live
from tests.simulation.mappings import TAG, TEXTS, UNMAPPED
from tests.simulation.people import AT
from tests.simulation.simulation import Simulation, Violation

SECRETS: Final = re.compile(r"Person\d|Friend\d|Customer\d|@example\.com|text \d|Bearer |client_secret|00D\w{12,15}!")
NEWER: Final = timedelta(seconds=2)  # what is closer than that is the same moment
CONVERTING: Final = (b"convertLead", b"QualifyLead")


@dataclass
class World:
    """What the checks look at, once all is quiet."""

    simulation: Simulation

    def rows(self, side: Side, entity: Entity) -> Mapping[str, Row]:
        return self.simulation.company.rows(side, entity)

    @cached_property
    def changes(self) -> Mapping[tuple[Side, str, str], list[Change]]:
        found: dict[tuple[Side, str, str], list[Change]] = defaultdict(list)
        for change in self.simulation.company.changes:
            found[change.side, change.table, change.id].append(change)
        return found

    def history(self, side: Side, entity: Entity, id: str) -> Sequence[Change]:
        return self.changes.get((side, TABLES[side][entity], id), ())

    @cached_property
    def links(self) -> list[Link]:
        return [link for link in self.simulation.store.all_links() if link.alive and link.left_id and link.right_id]

    def pairs(self, entity: Entity) -> Iterator[tuple[Link, Row, Row]]:
        """Linked and there on both sides."""
        for link in self.links:
            if link.entity == entity and link.left_id and link.right_id:
                left = self.rows("left", entity).get(link.left_id)
                right = self.rows("right", entity).get(link.right_id)
                if left is not None and right is not None and is_live("left", left) and is_live("right", right):
                    yield link, left, right

    @cached_property
    def troubled(self) -> frozenset[str]:
        """Links and records that somebody knows of."""
        found: set[str] = set()
        for issue in self.simulation.store.open_issues():
            if issue.kind != "report":
                found |= {one for one in (issue.link_id, issue.native_id) if one}
        return frozenset(found)

    def known(self, link: Link) -> bool:
        return bool({link.id, link.left_id, link.right_id} & self.troubled)

    @cached_property
    def intents(self) -> list[Any]:
        with self.simulation.database.reading() as connection:
            return list(
                connection.execute(
                    select(
                        intent.c.id, intent.c.side, intent.c.native_id, intent.c.kind, intent.c.state, intent.c.link_id
                    )
                )
            )

    @cached_property
    def journal(self) -> list[Any]:
        return self.simulation.store.journal()

    @cached_property
    def from_leads(self) -> frozenset[object]:
        """What people wrote on leads: a late edit goes to what the lead became (L12)."""
        found: set[object] = set()
        for change in self.simulation.company.changes:
            if ENTITY.get(change.table) == "lead" and not change.ours and change.after is not None:
                found |= {change.after.get(names[AT[change.side]]) for names in TEXTS["lead"].values()}
        return frozenset(found)

    @cached_property
    def conversion_calls(self) -> frozenset[int]:
        return frozenset(self.simulation.conversion_calls)


def check(simulation: Simulation, when: str) -> None:
    del when
    world = World(simulation)
    for number, function in AT_REST.items():
        function(world)
        simulation.result.checks[number] += 1
    from tests.simulation import endings  # it builds on what is here

    endings.check(simulation)


# --- at rest ------------------------------------------------------------------------------------------------------


def i1(world: World) -> None:
    """No lost update: each outside edit is on both sides, or superseded by rule by a later one, or in an open issue."""
    for entity in ENTITIES:
        for link, left, right in world.pairs(entity):
            if world.known(link) or (entity == "lead" and (left.get("IsConverted") or right.get("statecode") == 1)):
                continue
            for name, columns in TEXTS[entity].items():
                here, there = left.get(columns[0]) or None, right.get(columns[1]) or None
                if here != there and not _filled_in(world, link, entity, columns, here, there):
                    raise Violation(f"I1: {_told(link)}: {name} is {here!r} on the left and {there!r} on the right")
                _last_edit_stands(world, link, entity, name, columns, here)
                for side in SIDES:
                    _newer_overwritten(world, link, side, columns)


def _filled_in(world: World, link: Link, entity: Entity, columns: tuple[str, str], here: object, there: object) -> bool:
    """What a conversion fills in of its own stays there, where the other side is blank (lifecycle §1.4)."""
    if entity != "opportunity" or (here is not None and there is not None):
        return False
    for side in SIDES:
        id = link.id_on(side)
        assert id is not None
        for change in world.history(side, entity, id):
            before, after, name = change.before, change.after, columns[AT[side]]
            if before is not None and after is not None and before.get(name) != after.get(name):
                return False
    return True


def _last_edit_stands(
    world: World, link: Link, entity: Entity, name: str, columns: tuple[str, str], value: object
) -> None:
    edits: dict[Side, Change] = {}
    for side in SIDES:
        id = link.id_on(side)
        assert id is not None
        for change in world.history(side, entity, id):
            if change.ours or change.after is None:
                continue
            before = (change.before or {}).get(columns[AT[side]])
            if change.after.get(columns[AT[side]]) != before:
                edits[side] = change
    if not edits:
        return
    values = {side: (change.after or {}).get(columns[AT[side]]) or None for side, change in edits.items()}
    if value not in values.values() and value not in world.from_leads:
        raise Violation(f"I1: {_told(link)}: {name} is {value!r}, but people last wrote {values}")
    last = max(edits, key=lambda side: edits[side].at)
    earlier, name_there = values.get(other(last)), columns[AT[last]]
    id = link.id_on(last)
    assert id is not None
    # The earlier one was carried over before the later one was typed over it: then no rule lets it come back.
    carried = any(
        change.ours and change.at < edits[last].at and (change.after or {}).get(name_there) == earlier
        for change in world.history(last, entity, id)
    )
    if carried and len(edits) == 2 and _looked_later(world, link, edits, last):
        return
    if (len(edits) == 1 or carried) and value != values[last] and value not in world.from_leads:
        raise Violation(
            f"I1: {_told(link)}: {name} is {value!r}; the last edit, {values[last]!r} on the {last} side, is lost"
        )


def _newer_overwritten(world: World, link: Link, side: Side, columns: tuple[str, str]) -> None:
    """Two edits of one agreed value, each the last change of its record: the newer one by the CRMs' own clocks is never
    overwritten with the older one, also not where it was typed after we had read (reliability §7). An edit in the very
    second of the version before it passes Salesforce's precondition: that one is put back with our next write of that
    column, where nobody has typed into it anew by then."""
    there, (name, name_there) = other(side), (columns[AT[side]], columns[AT[other(side)]])
    mine = world.history(side, link.entity, link.id_on(side) or "")
    partner = world.history(there, link.entity, link.id_on(there) or "")
    for n, (edit, ours) in enumerate(pairwise(mine)):
        if edit.ours or not ours.ours or None in (edit.before, edit.after, ours.after):
            continue
        agreed, typed, written = ((row or {}).get(name) or None for row in (edit.before, edit.after, ours.after))
        earlier = [change for change in partner if change.at < ours.at][-1:]
        if typed in (None, agreed, written) or not earlier or earlier[0].ours or earlier[0].before is None:
            continue
        was, now = ((row or {}).get(name_there) or None for row in (earlier[0].before, earlier[0].after))
        if (was, now) != (agreed, written) or {typed, written} & world.from_leads:
            continue
        stamps = [datetime.fromisoformat(_stamp(*one)) for one in ((side, edit.after), (there, earlier[0].after))]
        unseen = side == "left" and _stamp(side, edit.before) == _stamp(side, edit.after)
        after = next((one for one in mine[n + 2 :] if _shown(one.before, name) != _shown(one.after, name)), None)
        put_back = unseen and after is not None and (not after.ours or (after.after or {}).get(name) == typed)
        if stamps[0] - stamps[1] > NEWER and not put_back:
            raise Violation(f"I1: {_told(link)}: {typed!r} on the {side} was overwritten with the older {written!r}")


def _shown(row: Row | None, name: str) -> object:
    return (row or {}).get(name)


def _looked_later(world: World, link: Link, edits: Mapping[Side, Change], last: Side) -> bool:
    """Nobody heard that the earlier edit was carried over, and the later one was typed before anybody looked: two edits
    of which each may be the first, so the newer one by the CRMs' own clocks wins, which may be minutes apart (O11)."""
    unheard = any(_lost_of(world, last, link.id_on(last) or ""))
    stamps = {side: _stamp(side, change.after) for side, change in edits.items()}
    return unheard and stamps[last] <= stamps[other(last)]


def _stamp(side: Side, row: Row | None) -> str:
    """To the second, which both CRMs write alike."""
    return str((row or {}).get("LastModifiedDate" if side == "left" else "modifiedon"))[:19]


def i2(world: World) -> None:
    """One record per key and side; nothing created by us without a journal row."""
    created = Counter((row.side, row.native_id) for row in world.journal if row.kind == "create")
    for side in SIDES:
        for entity in ENTITIES:
            _no_twins(world.simulation, side, entity)
            for id in world.rows(side, entity):
                first = world.history(side, entity, id)[0] if world.history(side, entity, id) else None
                if first is None or not first.ours or first.call in world.conversion_calls:
                    continue
                if created[side, id] != 1 and not _lost(world, side, id):
                    raise Violation(
                        f"I2: {CRM[side]} {entity} {id} was made by us, with {created[side, id]} journal rows"
                    )


def _no_twins(simulation: Simulation, side: Side, entity: Entity) -> None:
    column = TAG[entity][AT[side]]
    rows = simulation.company.rows(side, entity)
    tags = Counter(str(row.get(column)) for row in rows.values() if is_live(side, row))
    for tag, count in tags.items():
        if count > 1 and not _people_doubled(simulation, tag):
            raise Violation(f"I2: {CRM[side]} has {count} x {entity} {tag}")


def _people_doubled(simulation: Simulation, tag: str) -> bool:
    people = simulation.people
    number = "".join(re.findall(r"\d+", tag)[:1])
    return tag in people.doubled or tag in people.again or f"Person{number}" in people.again | people.doubled


def _lost(world: World, side: Side, id: str) -> bool:
    """Its answer was lost, and a person deleted it before anybody looked: nobody can tell any more whose it was."""
    gone = any(change.after is None or not is_live(side, change.after) for change in _of(world, side, id))
    lost = (one for one in world.intents if one.side == side and one.state == "lost" and one.kind == "create")
    return any(one.native_id == id or (one.native_id is None and gone) for one in lost)


def _of(world: World, side: Side, id: str) -> Iterator[Change]:
    return (change for entity in ENTITIES for change in world.history(side, entity, id))


def i3(world: World) -> None:
    """A conversion exactly once per lead and epoch, and lead states agree."""
    for side in SIDES:
        for id in world.rows(side, "lead"):
            done = reopened = 0
            for change in world.history(side, "lead", id):
                before, after = _converted(side, change.before), _converted(side, change.after)
                done += after and not before and change.ours
                reopened += before and not after
            if done > 1 + reopened:
                raise Violation(f"I3: {CRM[side]} lead {id} was converted {done} times by us")
    for link, left, right in world.pairs("lead"):
        states = {"left": _converted("left", left), "right": _converted("right", right)}
        if str(left.get("LastName")) in world.simulation.people.again:
            continue  # opened again by people, where the other CRM cannot follow: each side has its own story (C11)
        if len(set(states.values())) > 1 and not world.known(link):
            raise Violation(f"I3: {_told(link)}: converted on one side only, and nobody knows: {states}")


def _converted(side: Side, row: Row | None) -> bool:
    return row is not None and bool(row.get("IsConverted") if side == "left" else row.get("statecode") == 1)


def i6(world: World) -> None:
    """Side effects: closes of ours on Dynamics are intents that are done."""
    closes = Counter(
        str(change.after.get("opportunityid"))
        for change in world.simulation.company.changes
        if change.table == "opportunityclose" and change.ours and change.before is None and change.after is not None
    )
    done = Counter(row.native_id for row in world.journal if row.side == "right" and row.kind in ("win", "lose"))
    for id, count in closes.items():
        if count > done[id] + sum(_lost_of(world, "right", id)):
            raise Violation(f"I6: opportunity {id} was closed {count} times by us; the journal knows {done[id]}")


def _lost_of(world: World, side: Side, id: str) -> Iterator[bool]:
    return (one.state == "lost" and one.side == side and one.native_id == id for one in world.intents)


def i7(world: World) -> None:
    """Money is equal on both sides."""
    for link, left, right in world.pairs("opportunity"):
        if world.known(link):
            continue
        won = right.get("statecode") == 1
        here, there = left.get("Amount"), right.get("actualvalue" if won else "estimatedvalue")
        if (here is None) != (there is None) or (here is not None and abs(float(here) - float(there)) > 0.01):
            raise Violation(f"I7: {_told(link)}: {here} on the left, {there} on the right")


def i8(world: World) -> None:
    """A child's parent is linked to the partner child's parent."""
    by_left = {(link.entity, link.left_id): link for link in world.links}
    for entity, columns in (
        ("contact", ("AccountId", "parentcustomerid")),
        ("opportunity", ("AccountId", "parentaccountid")),
    ):
        for link, left, right in world.pairs(entity):
            here, there = left.get(columns[0]), _id(right.get(columns[1]))
            parent = by_left.get(("account", here))
            if world.known(link) or parent is None or there is None:
                continue
            account = world.rows("right", "account").get(there)
            if parent.right_id != there and account is not None and is_live("right", account):
                if {parent.id, here, there} & world.troubled or not _is_linked(world, there):
                    continue
                raise Violation(f"I8: {_told(link)}: accounts {here} and {there} are not linked to each other")


def _is_linked(world: World, right: str) -> bool:
    return any(link.right_id == right for link in world.links)


def _id(value: Any) -> str | None:
    return value[-1] if isinstance(value, tuple) else value


def i9(world: World) -> None:
    """Each change by our user has a journal row, and each row tells of a change as it was."""
    if what := journalled.untrue(world.journal, world.simulation.company.changes):
        raise Violation(f"I9: {what}")
    rows = Counter((row.side, row.native_id) for row in world.journal)
    lost = Counter((one.side, one.native_id) for one in world.intents if one.state == "lost")
    calls: dict[tuple[Side, str], set[int]] = defaultdict(set)
    for change in world.simulation.company.changes:
        counted = change.ours and change.table in ENTITY and change.call not in world.conversion_calls
        if counted and not _of_its_role(world, change) and not _of_its_lead(change):
            calls[change.side, change.id].add(change.call)
    for place, some in calls.items():
        if len(some) > rows[place] + lost[place] and not _lost(world, *place):
            raise Violation(
                f"I9: {place[0]} {place[1]} was changed by {len(some)} calls of ours, {rows[place]} in the journal"
            )


def _of_its_lead(change: Change) -> bool:
    """Dynamics ties a converted lead to an opportunity that was there before in a call of its own, under the lead's
    intent and journal row (C4)."""
    before, after = change.before, change.after
    if change.table != "opportunity" or before is None or after is None:
        return False
    changed = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    return changed - {"modifiedon", "modifiedby", "versionnumber"} == {"originatingleadid"}


def _of_its_role(world: World, change: Change) -> bool:
    """An opportunity's contact on Salesforce is its primary role: written by a call beside the one that writes the
    other columns, under the same intent and journal row (connectors/salesforce/rows.py)."""
    before, after = change.before, change.after
    if change.table != "Opportunity" or before is None or after is None:
        return False
    if {name for name in {**before, **after} if before.get(name) != after.get(name)} != {"ContactId"}:
        return False
    return any(row.native_id == change.id and "ContactId" in row.after for row in world.journal)


def i10(world: World) -> None:
    """No intent without an outcome."""
    left = world.simulation.store.open_intents()
    if left:
        raise Violation(f"I10: {left[0].kind} of {left[0].side} {left[0].entity} {left[0].native_id} has no outcome")


def i12(world: World) -> None:
    """Each change in a CRM is among the observations."""

    def look(engine: Engine) -> None:
        for side in SIDES:
            for entity in ENTITIES:
                ids = world.simulation.company.live(side, entity)
                stored = engine.store.records(side, entity, ids)
                for id, row in engine.connectors[side].fetch(entity, ids).items():
                    seen = stored.get(id)
                    if seen is None or seen.row.version != row.version:
                        raise Violation(
                            f"I12: {CRM[side]} {entity} {id} is at version {row.version}, "
                            f"observed was {seen.row.version if seen else 'nothing'}"
                        )

    world.simulation.ask(look)


def i16(world: World) -> None:
    """The same store and the same CRMs give the same plan."""

    def plan_twice(engine: Engine) -> None:
        first, second = engine.plan(), engine.plan()
        one, two = ([_bare(event) for event in each.events] for each in (first, second))
        if one != two or first.counts != second.counts:
            raise Violation(f"I16: two plans differ: {first.counts} {second.counts}")

    world.simulation.ask(plan_twice)


def _bare(event: Any) -> str:
    return f"{event.entity} {event.side} {event.kind} {event.ids} {event.reason} {event.cause}"


def i17(world: World) -> None:
    """Unmapped fields are untouched."""
    for change in world.simulation.company.changes:
        if change.ours:
            _leaves_unmapped(change)


def _leaves_unmapped(change: Change) -> None:
    entity = ENTITY.get(change.table)
    if entity is None or change.before is None or change.after is None:
        return
    column = UNMAPPED[entity][AT[change.side]]
    if change.before.get(column) != change.after.get(column):
        raise Violation(f"I17: {column} of {change.side} {entity} {change.id} was changed by us")


def i18(world: World) -> None:
    """Nothing is deleted that no rule says; a pair ends when one of its records is gone, and not for less."""
    for change in world.simulation.company.changes:
        if change.ours and change.table in ENTITY and change.before is not None:
            gone = change.after is None or (change.after.get("IsDeleted") and not change.before.get("IsDeleted"))
            if gone:
                raise Violation(f"I18: {change.side} {change.table} {change.id} was deleted by us")
    for link in world.simulation.store.all_links():
        if not link.alive and link.left_id and link.right_id:
            ends = ((side, str(link.id_on(side))) for side in SIDES)
            if not any(_was_gone(world, side, link.entity, id) for side, id in ends):
                raise Violation(f"I18: {_told(link)}: the pair has ended, and neither record was ever gone")


def _was_gone(world: World, side: Side, entity: Entity, id: str) -> bool:
    if id not in world.rows(side, entity):
        return True
    return any(change.after is None or not is_live(side, change.after) for change in world.history(side, entity, id))


def i19(world: World) -> None:
    """No secret and nobody's data in a log."""
    _tells_nothing(world.simulation.heard)


def _tells_nothing(lines: Sequence[str]) -> None:
    for line in lines:
        found = SECRETS.search(line)
        if found:
            raise Violation(f"I19: a log line holds {found[0]!r}")


AT_REST: Final[Mapping[str, Callable[[World], None]]] = {
    "I1": i1,
    "I2": i2,
    "I3": i3,
    "I6": i6,
    "I7": i7,
    "I8": i8,
    "I9": i9,
    "I10": i10,
    "I12": i12,
    "I16": i16,
    "I17": i17,
    "I18": i18,
    "I19": i19,
}


def _told(link: Link) -> str:
    return f"{link.entity} {link.left_id} = {link.right_id}"


# --- after every step -----------------------------------------------------------------------------------------------


def after_call(simulation: Simulation, request: Request, reply: Reply, made: Sequence[Change]) -> None:
    """After each call of ours that changed something."""
    del request, reply
    ours = [change for change in made if change.ours]
    if ours:
        _intended(simulation, ours)
    for change in ours:
        if change.before is None and change.table in ENTITY:
            simulation.result.checks["I2*"] += 1
            _no_twins(simulation, change.side, ENTITY[change.table])
        _leaves_unmapped(change)
        simulation.result.checks["I17*"] += 1
    _tells_nothing(simulation.heard[simulation.read_lines :])
    simulation.read_lines = len(simulation.heard)
    simulation.result.checks["I19*"] += 1


def _intended(simulation: Simulation, ours: Sequence[Change]) -> None:
    """I9* and I6*: what changes under our name has an open intent at that moment; at rest it is a line of the journal
    (`i9`, `i6`). What a conversion makes and ties has that of the conversion."""
    with simulation.database.reading() as connection:
        sent = connection.execute(_SENT).all()
    for change in ours:
        entity = ENTITY.get(change.table)
        mine = [one for one in sent if one.side == change.side]
        if entity is not None:
            simulation.result.checks["I9*"] += 1
            if not any(_may_change(one, entity, change.id) for one in mine):
                raise Violation(f"I9: {change.side} {entity} {change.id} was changed by us without an open intent")
        elif change.table == "opportunityclose" and change.before is None and change.after is not None:
            simulation.result.checks["I6*"] += 1
            closed = str(change.after.get("opportunityid"))
            if not any(one.native_id == closed and one.kind in ("win", "lose") for one in mine):
                raise Violation(f"I6: opportunity {closed} was closed by us without an open intent")


_SENT: Final = select(intent.c.side, intent.c.entity, intent.c.kind, intent.c.native_id).where(intent.c.state == "sent")


def _may_change(one: Any, entity: Entity, id: str) -> bool:
    keyed = one.kind == "create" and one.entity == entity and one.native_id is None  # its id is Salesforce's to choose
    return one.native_id == id or one.kind == "convert" or keyed
