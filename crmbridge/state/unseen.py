"""Records that a reading from the start did not show: still to be asked for by their ids (reliability §7).

Such a reading takes the place of changes that were lost with an expired delta link. That it does not show a record
proves nothing: it may be deleted, or out of our user's sight, or it moved while the pages were read. So the end of the
reading leaves a note, in the transaction that stores its last page; each answer moves the note on, in the transaction
that records it. A process that dies asks the last few again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

from sqlalchemy import ColumnElement, Connection, select

from crmbridge.model import Entity, Side
from crmbridge.state.database import put
from crmbridge.state.schema import meta, record

_NAME: Final = "unseen:"
_OVER: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """How far they have been asked for, of one table."""

    side: Side
    entity: Entity
    compare: int  # number of the reading that did not show them
    after: str = ""  # the last id that was asked for

    def behind(self, last: str) -> "Unseen":
        return replace(self, after=last)

    @property
    def name(self) -> str:
        return f"{_NAME}{self.side}:{self.entity}"

    @property
    def note(self) -> Mapping[str, str]:
        """Goes into the `Batch.meta` of what was found up to here."""
        return {self.name: f"{self.compare} {self.after}"}

    @property
    def over(self) -> Mapping[str, str]:
        return {self.name: _OVER}


def note(connection: Connection, side: Side, entity: Entity, compare: int) -> None:
    """At the end of a reading. An older one that is not over yet is part of it."""
    begun = Unseen(side=side, entity=entity, compare=compare)
    if connection.execute(select(record.c.id).where(*_where(begun)).limit(1)).first() is not None:
        lines = [{"name": name, "value": value} for name, value in begun.note.items()]
        connection.execute(put(connection.dialect.name, meta), lines)


def left(connection: Connection) -> list[Unseen]:
    found: list[Unseen] = []
    for line in connection.execute(_LEFT):
        side, _, entity = str(line.name).removeprefix(_NAME).partition(":")
        compare, _, after = str(line.value).partition(" ")
        found.append(Unseen(side=cast("Side", side), entity=cast("Entity", entity), compare=int(compare), after=after))
    return found


_LEFT = (
    select(meta.c.name, meta.c.value)
    .where(meta.c.name.startswith(_NAME, autoescape=True), meta.c.value != _OVER)
    .order_by(meta.c.name)
)


def ids(connection: Connection, unseen: Unseen, limit: int) -> list[str]:
    """The next of them; what was shown meanwhile is none of them any more."""
    statement = select(record.c.id).where(*_where(unseen)).order_by(record.c.id).limit(limit)
    return list(connection.execute(statement).scalars())


def _where(unseen: Unseen) -> tuple[ColumnElement[bool], ...]:
    return (
        record.c.side == unseen.side,
        record.c.entity == unseen.entity,
        record.c.id > unseen.after,
        record.c.seen < unseen.compare,
        record.c.version != "",  # not a placeholder
        record.c.deleted.is_(False),
        record.c.merged_into.is_(None),
    )
