"""Activities of every kind in one table: a row of `activitypointer` for each, which follows it (dataverse-api §9).

https://learn.microsoft.com/power-apps/developer/data-platform/activity-entities
"""

from typing import Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.tables import Table

POINTER: Final = "activitypointer"
_REGARDING: Final = "regardingobjectid"
_IN_ITS_PLACE: Final = {"opportunityclose": "opportunityid"}  # what an activity without a regarding row hangs on


def activities(shape: Shape) -> frozenset[str]:
    """The tables whose rows have a pointer; none in a shape that has no pointers."""
    if POINTER not in shape.tables:
        return frozenset()
    return frozenset(each.name for each in shape.tables.values() if each.key == "activityid" and each.name != POINTER)


def pointer_of(shape: Shape, table: str, row: Row) -> Row:
    """What the common table shows of an activity: the columns that both have, and a status of its own kind."""
    pointer = shape.tables[POINTER]
    kept = {name for column in pointer.columns.values() for name in (column.name, column.type_key)}
    found = {name: value for name, value in row.items() if name in kept}
    found["activitytypecode"] = table
    found["statuscode"] = _status(pointer, row.get("statecode"))
    if (link := _IN_ITS_PLACE.get(table)) is not None and row.get(link) is not None:
        target = shape.tables[table].columns[link].target_of(row).table
        found |= {_REGARDING: row[link], f"_{_REGARDING}_type": target}
    return found


def _status(pointer: Table, state: object) -> int | None:
    chosen = pointer.columns["statecode"].option(state)
    return chosen.default if chosen else None
