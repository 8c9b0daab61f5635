"""A test bench for translations: compiled shipped mappings, rows from wire values, and a CRM that stores a put."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mapping
from crmbridge.model import Directory, Entity, NativeRef, Ref, Row, Side, attribute_name
from mapping.translate import CompiledEntity
from tests.support.mapping_boxes import out_of_the_box

MAPPINGS = Path(__file__).parents[2] / "config" / "mappings"
CREATED = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

_loaded, _problems = mapping.load(MAPPINGS)
SHIPPED = mapping.compile(_loaded, descriptions=out_of_the_box())
STRUCTS = {
    (side, entity): mapping.row_struct(f"{side}_{entity}", compiled.columns(side))
    for entity, compiled in SHIPPED.entities.items()
    for side in ("left", "right")
}
DIRECTORY: Mapping[Side, Directory] = {
    "left": Directory(
        users={"005A": "ann@x.org", "005B": "bo@x.org"}, user_ids={"ann@x.org": "005A", "bo@x.org": "005B"}
    ),
    "right": Directory(
        users={"u-a": "ann@x.org", "u-b": "bo@x.org", "u-c": "cy@x.org"},
        user_ids={"ann@x.org": "u-a", "bo@x.org": "u-b", "cy@x.org": "u-c"},
        default_owner="u-app",
        currencies={"c-usd": "USD", "c-eur": "EUR"},
    ),
}


def shared_id(side: Side, entity: Entity, native: str) -> str | None:
    """Native `l-1` and `r-1` are the two ends of shared `1`; an id without that prefix has no partner."""
    prefix, _, number = native.partition("-")
    return number if prefix == side[0] and number else None


def native_id(side: Side, entity: Entity, shared: str) -> str | None:
    return f"{side[0]}-{shared}"


def facts(**changes: Any) -> mapping.Facts:
    return mapping.Facts(**{"directory": DIRECTORY, "shared_id": shared_id, "native_id": native_id, **changes})


def row(side: Side, entity: Entity, **wire: Any) -> Row:
    """A row by wire names; `__` in a name stands for nothing special, so `@` columns come through `row_of`."""
    return row_of(side, entity, wire)


def row_of(side: Side, entity: Entity, wire: Mapping[str, Any]) -> Row:
    values = STRUCTS[side, entity](**{attribute_name(column): value for column, value in wire.items()})
    return Row(
        ref=Ref(side=side, entity=entity, id="1"), version="1", created_at=CREATED, modified_at=CREATED, values=values
    )


def stored(side: Side, entity: Entity, current: Row | None, columns: Mapping[str, Any]) -> Row:
    """The row as the CRM would show it after writing these columns: lookups come back under their wire names."""
    known = SHIPPED.entities[entity].columns(side)
    wire = {column: getattr(current.values, attribute_name(column)) for column in known} if current else {}
    for column, value in columns.items():
        if column in known and not isinstance(value, NativeRef):
            wire[column] = value
        elif column in ("Status", "StageName", "statuscode"):
            continue
        else:
            polymorphic = f"_{column.rpartition('_')[0]}_value"
            name = column if column in known else f"_{column}_value" if f"_{column}_value" in known else polymorphic
            wire[name] = value.id if value is not None else None
            target = f"{name}@Microsoft.Dynamics.CRM.lookuplogicalname"
            if target in known:
                wire[target] = value.entity if value is not None else None
    return row_of(side, entity, wire)


def compiled(entity: Entity) -> CompiledEntity:
    return SHIPPED.entities[entity]
