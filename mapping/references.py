"""Lookups: links to other records, as shared ids between the sides. Users are in `mapping.people`."""

from typing import Any, Final

from crmbridge.model import Entity, NativeRef, Unlinked, Value
from mapping.described import ColumnLike
from mapping.end import Facts, Made, Setting, attribute
from mapping.transforms import Refusal

# Dynamics lookups that may point at two tables: each target has a navigation property of its own (dataverse-api §9.2).
_POLYMORPHIC: Final = ("customerid", "parentcustomerid")
_TARGET_NAME: Final = "@Microsoft.Dynamics.CRM.lookuplogicalname"


def lookup_wire(system: str, column: str, link: Entity | None, meta: ColumnLike | None) -> tuple[str, str | None]:
    """The column that a lookup is read from, and the one that names its target where it may point at two tables."""
    if system != "dynamics":
        return column, None
    attribute = column.lower()  # navigation properties keep their case, the lookup column never does
    suffix = f"_{link}"
    if link and attribute.endswith(suffix):
        base = attribute.removesuffix(suffix)
        if base in _POLYMORPHIC or (meta is not None and len(meta.targets) > 1):
            return f"_{base}_value", f"_{base}_value{_TARGET_NAME}"
    return f"_{attribute}_value", None


def make_link(setting: Setting) -> Made:
    entity, side, column = setting.field.link, setting.side, setting.column
    assert entity is not None
    wire, target_wire = lookup_wire(setting.system, column, entity, setting.meta)
    raw = attribute(wire)
    target = attribute(target_wire) if target_wire else None
    partner = setting.document.names[side]

    def read(values: Any, facts: Facts) -> Value:
        native = raw(values)
        if native is None or (target is not None and target(values) not in (None, entity)):
            return None
        return facts.shared_id(side, entity, native) or Unlinked(entity, native)

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {column: None}
        native = facts.native_id(side, entity, value) if isinstance(value, str) else None
        if native is None:
            raise Refusal(
                "unlinked",
                f"its {entity} has no partner in {partner} yet",
                f"it is written once the {entity} is synced",
            )
        return {column: NativeRef(entity, native)}

    wires: dict[str, Any] = {wire: str, **({target_wire: str} if target_wire else {})}
    return wires, None, read, write
