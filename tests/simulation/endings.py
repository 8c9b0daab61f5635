"""What is tried once a seed's story is over and all is quiet: a record that poisons its neighbours' turn (I13), and a
person who is erased (I20)."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import select

from crmbridge.model import ENTITIES, Entity, Link, Ref
from crmbridge.state.schema import metadata
from crmbridge.state.words import ATTEMPTS_MAX, STOPPED
from crmbridge.sync import updates
from crmbridge.sync.hands import LEASE_NAME
from tests.simulation.invariants import World
from tests.simulation.mappings import TEXTS
from tests.simulation.simulation import Simulation, Violation
from workers.cycle import HELP_SECONDS

OTHERS_MIN: Final = 1
DEADLY_EVERY: Final = 10  # seeds: it takes eight cycles
DEADLY_LINKS: Final = 6
_LIVE: Final = frozenset({"record", "satellite", "link"})  # what the CRMs show of other records


def check(simulation: Simulation) -> None:
    world = World(simulation)
    i13(simulation, world)
    if simulation.seed % DEADLY_EVERY == 0:
        i13_deadly(simulation, world)
    i20(simulation)


def i13(simulation: Simulation, world: World) -> None:
    """A poison record delays others by a slice at most: its neighbours, edited in the same moment, are on the other
    side after one cycle and within that time, though it is refused again and again."""
    for entity in ENTITIES:
        links = _open(world, entity)
        if len(links) > OTHERS_MIN:
            _poison(simulation, entity, links)
            simulation.result.checks["I13"] += 1
            return


def i13_deadly(simulation: Simulation, world: World) -> None:
    """The same of a record that no worker survives: it is left to a person after five deaths, its neighbours have
    arrived by then, and once a person frees it, so does it."""
    links = next((some for entity in ENTITIES if len(some := _open(world, entity)) > OTHERS_MIN), [])
    wanted = {link.right_id: text for link in links[:DEADLY_LINKS] if (text := _edit(simulation, link)) is not None}
    poison, *others = [link for link in links if link.right_id in wanted] or [None]
    if poison is None or not others:
        return

    def missing(some: list[Link]) -> list[str | None]:
        column = next(iter(TEXTS[poison.entity].values()))[1]
        rows = simulation.company.rows("right", poison.entity)
        return [one.right_id for one in some if rows[one.right_id or ""].get(column) != wanted[one.right_id]]

    def cycle() -> bool:
        simulation.clock.seconds += 2 * 3600
        return simulation.outlives(lambda engine: engine.sync(approve_all=True))

    with _deadly(simulation, poison):
        deaths = next((n for n in range(ATTEMPTS_MAX + 1) if cycle()), None)
    if deaths != ATTEMPTS_MAX:
        raise Violation(f"I13: {poison.entity} {poison.right_id} is deadly, and was tried {deaths} times")
    if late := missing(others):
        raise Violation(f"I13: {poison.entity} {late[0]} waits behind {poison.right_id}, which no worker survives")
    store = simulation.store
    told = [issue for issue in store.open_issues(cause=STOPPED) if issue.link_id == poison.id]
    if not told:
        raise Violation(f"I13: {poison.entity} {poison.right_id} stopped {deaths} workers, and nobody is told")
    store.release_issues([issue.id for issue in told], "a person", "mended")
    cycle()
    if missing([poison]):
        raise Violation(f"I13: {poison.entity} {poison.right_id} is free again, and was not written")
    simulation.result.checks["I13 deadly"] += 1


@contextmanager
def _deadly(simulation: Simulation, poison: Link) -> Generator[None]:
    real = updates._update_write  # pyright: ignore[reportPrivateUsage]

    def deadly(hands: Any, view: Any, side: Any, work: Any, *more: Any) -> Any:
        worker = simulation.current()
        if work.link.id == poison.id and worker is not None:
            worker.thread.kill()
        return real(hands, view, side, work, *more)

    updates._update_write = deadly  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        updates._update_write = real  # pyright: ignore[reportPrivateUsage]


def _open(world: World, entity: Entity) -> list[Link]:
    return [link for link in _editable(world, entity) if not world.known(link)]


def _edit(simulation: Simulation, link: Link) -> str | None:
    """A text that a person types on the left; None where it may not be edited."""
    people, columns = simulation.people, next(iter(TEXTS[link.entity].values()))
    text = f"text {people.number + 1}"
    return text if link.left_id and people.writes(link.entity, link.left_id, columns[0]) else None


def _editable(world: World, entity: Entity) -> list[Link]:
    """Pairs that still follow each other's edits."""
    found: list[Link] = []
    for link, left, right in world.pairs(entity):
        ended = entity == "lead" and (left.get("IsConverted") or right.get("statecode") != 0)
        closed = entity == "opportunity" and (left.get("IsClosed") or right.get("statecode") != 0)
        if link.mode == "steady" and not ended and not closed:
            found.append(link)
    return found


def _poison(simulation: Simulation, entity: Entity, links: list[Link]) -> None:
    company = simulation.company
    columns = next(iter(TEXTS[entity].values()))
    wanted: dict[str, str] = {}
    for link in links:
        text = _edit(simulation, link)
        if text is not None and link.left_id is not None:
            wanted[link.left_id] = text
    edited = [link for link in links if link.left_id in wanted]
    if len(edited) <= OTHERS_MIN:
        return
    poison, others = edited[0], edited[1:]
    company.poison, before = frozenset({poison.right_id or ""}), company.refused
    simulation.clock.seconds += 2 * 3600
    began, first = simulation.clock.seconds, len(company.changes)
    simulation.sync(approve_all=True)
    company.poison = frozenset()
    arrived = {change.id: change.at for change in company.changes[first:] if change.ours and change.side == "right"}
    if company.refused == before:
        raise Violation(f"I13: {entity} {poison.right_id} was not written at all")
    for link in others:
        row: Any = company.rows("right", entity)[link.right_id or ""]
        if row.get(columns[1]) != wanted[link.left_id or ""]:
            raise Violation(f"I13: {entity} {link.right_id} waits behind {poison.right_id}, which is refused")
        if arrived[link.right_id or ""] - began > HELP_SECONDS:
            raise Violation(
                f"I13: {entity} {link.right_id} came {arrived[link.right_id or '']:.0f} s late behind {poison.right_id}"
            )


def i20(simulation: Simulation) -> None:
    """After `erase` there is no trace of the person in the store, and a further cycle brings none back."""
    store = simulation.store
    for side, entity in (("left", "lead"), ("right", "lead"), ("left", "contact")):
        email = "Email" if side == "left" else "emailaddress1"
        for id in simulation.company.live(side, entity):
            row = simulation.company.rows(side, entity)[id]
            refs: set[Ref] = store.people(str(row.get(email))) if row.get(email) else set()
            found = store.traces(refs) if refs else None
            if found is None or found.open_calls or found.open_conversions:
                continue
            lease = store.take_lease(LEASE_NAME, 600)
            store.erase(found, "dpo", "request 7", lease=lease)
            store.release(lease)
            first, last = ("FirstName", "LastName") if side == "left" else ("firstname", "lastname")
            words = [str(row[email]), f"{row.get(first)} {row[last]}"]
            ids = [ref.id for ref in found.refs]
            _no_trace(simulation, words, ids, "after erase")
            simulation.clock.seconds += 2 * 3600
            simulation.sync(approve_all=True)
            # Deals that still point at the contact in the CRM may wait for it again, by its id.
            _no_trace(simulation, words, [], "after the next cycle")
            simulation.result.checks["I20"] += 1
            return


def _no_trace(simulation: Simulation, words: list[str], ids: list[str], when: str) -> None:
    with simulation.database.reading() as connection:
        for table in metadata.sorted_tables:
            # A deal of somebody's still points at its contact, as in the CRM it was read from: an id, and no person.
            some = words if table.name in _LIVE else [*words, *ids]
            wanted = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in some), re.IGNORECASE)
            for line in connection.execute(select(table)):
                for name, value in zip(table.columns.keys(), line, strict=True):
                    if isinstance(value, str) and wanted.search(value):
                        raise Violation(f"I20: {table.name}.{name} still names an erased person {when}")
    for line in simulation.heard:
        if re.search(re.escape(words[0]), line, re.IGNORECASE):
            raise Violation("I20: a log line names an erased person")
