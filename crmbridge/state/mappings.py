"""Versions of the mapping: the files' texts as they were when a run first went by them."""

from sqlalchemy import Connection, select

from crmbridge.state import codec
from crmbridge.state.database import insert
from crmbridge.state.schema import mapping
from crmbridge.state.words import MappingRow


def save(connection: Connection, dialect: str, one: MappingRow) -> None:
    """A version that is known stays as it is."""
    values = {"id": one.id, "label": one.label, "texts": codec.dump(one.texts), "first_used_at": one.first_used_at}
    connection.execute(insert(dialect, mapping).on_conflict_do_nothing(), values)


def read(connection: Connection) -> list[MappingRow]:
    """The newest first."""
    statement = select(mapping).order_by(mapping.c.first_used_at.desc(), mapping.c.id)
    return [
        MappingRow(id=line.id, label=line.label, texts=codec.load(line.texts), first_used_at=line.first_used_at)
        for line in connection.execute(statement)
    ]
