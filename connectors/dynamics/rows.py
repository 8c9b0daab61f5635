"""Rows of the four tables: which columns we need, bytes to `Row`, and a record's place in its life.

Pages are decoded by msgspec straight into the structs that were generated from the mapping. A lookup stands in the
plan by its wire name `_column_value` or by its navigation property (dataverse-api §2.6); for the latter the page is
decoded by a struct of ours with the wire's names, and the plan's struct is filled from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast

import msgspec

from connectors.base import TablePlan
from connectors.dynamics.instances import active_process
from connectors.dynamics.lookups import Lookups
from connectors.dynamics.metadata import STATES
from connectors.dynamics.processes import LEAD_PROCESS
from connectors.dynamics.protocol import View, decoded_by, page_decoder
from crmbridge.model import Entity, Life, Ref, Row, Side, State, attribute_name

LOOKUP_TYPE: Final = "@Microsoft.Dynamics.CRM.lookuplogicalname"

Text = str | None
Number = int | None
Flag = bool | None
Moment = datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one of our four entities is called, and which columns the connector itself needs."""

    entity: Entity
    name: str  # logical name
    set: str
    key: str
    system: Mapping[str, Any]


def _table(entity: Entity, table_set: str, **own: Any) -> Table:
    common: dict[str, Any] = {
        "@odata.etag": Text,
        f"{entity}id": Text,
        "createdon": Moment,
        "modifiedon": Moment,
        "_modifiedby_value": Text,
        "statecode": Number,
        "statuscode": Number,
        # A delta's deletion has these two alone (dataverse-api §3.2).
        "id": Text,
        "reason": Text,
    }
    return Table(entity=entity, name=entity, set=table_set, key=f"{entity}id", system={**common, **own})


_merge: Final[Mapping[str, Any]] = {"merged": Flag, "_masterid_value": Text}
_born: Final[Mapping[str, Any]] = {"_originatingleadid_value": Text}

TABLES: Final[Mapping[Entity, Table]] = {
    "account": _table("account", "accounts", **_merge, **_born),
    "contact": _table("contact", "contacts", **_merge, **_born),
    "lead": _table(
        "lead",
        "leads",
        **_merge,
        _parentaccountid_value=Text,
        _parentcontactid_value=Text,
        _qualifyingopportunityid_value=Text,
    ),
    "opportunity": _table(
        "opportunity",
        "opportunities",
        **_born,
        **{"_customerid_value": Text, f"_customerid_value{LOOKUP_TYPE}": Text},
        isrevenuesystemcalculated=Flag,
        salesstage=Number,
    ),
}

_not_selected: Final = ("id", "reason")


class Rows:
    """Reads one entity's rows. Made from the plan, once the table's lookups are known."""

    def __init__(self, plan: TablePlan, lookups: Lookups, side: Side) -> None:
        self.table = TABLES[plan.entity]
        self._side: Side = side
        self._row_type = plan.row_type
        wires = {column: lookups.wire(column) for column in plan.columns}
        columns = dict.fromkeys([self.table.key, *wires.values(), *self.table.system])
        self.view = View(
            select=",".join(each for each in columns if "@" not in each and each not in _not_selected),
            types=any(LOOKUP_TYPE in each for each in columns) or any(lookups.target(each) for each in plan.columns),
        )
        self._columns = _wire_struct(plan, self.table, wires, lookups)
        self._page = page_decoder(self._columns.struct)
        self._one = msgspec.json.Decoder(self._columns.struct)

    def page(self, body: bytes) -> tuple[list[Row], str | None, str | None]:
        """Rows, the next page's link, the delta link."""
        page = decoded_by(self._page, body, self.table.name)
        return [self._row(each) for each in page.value], page.next_link, page.delta_link

    def one(self, body: bytes) -> Row:
        return self._row(decoded_by(self._one, body, self.table.name))

    def _row(self, wire: Any) -> Row:
        if wire.reason == "deleted" and wire.id:
            ref = Ref(side=self._side, entity=self.table.entity, id=wire.id)
            return Row(ref=ref, version="deleted", created_at=None, modified_at=None, deleted=True)
        row_id = getattr(wire, self.table.key)
        return Row(
            ref=Ref(side=self._side, entity=self.table.entity, id=row_id),
            version=wire.odata_etag or "",
            created_at=wire.createdon,
            modified_at=wire.modifiedon,
            modified_by=wire._modifiedby_value,
            merged_into=wire._masterid_value if getattr(wire, "merged", None) else None,
            values=self._columns.values(wire),
        )


@dataclass(frozen=True, slots=True)
class _Columns:
    struct: type[Any]  # as the wire names things
    values: Callable[[Any], Any]  # from it to the mapping's own struct


def _wire_struct(plan: TablePlan, table: Table, wires: Mapping[str, str], lookups: Lookups) -> _Columns:
    own = {each.encode_name: each for each in msgspec.structs.fields(plan.row_type)}
    missing = [each for each in plan.columns if each not in own and wires[each] not in own]
    assert not missing, f"{table.name}: the row type lacks {', '.join(missing)}"
    if all(name == wires.get(name, name) for name in own) and own.keys() >= table.system.keys():
        return _Columns(plan.row_type, lambda wire: wire)  # it speaks the wire's names already
    # (attribute, type, name on the wire); every column may be absent: a deletion has almost none.
    fields: dict[str, tuple[Any, str]] = {}
    for column, kind in table.system.items():
        fields[attribute_name(column)] = (kind, column)
    nulled: list[tuple[str, str, str]] = []  # attribute, attribute of the target's name, wanted target
    for name, each in own.items():
        wire = wires.get(name, name)
        fields[each.name] = (each.type | None, wire)
        target = lookups.target(name)
        if target is not None:
            types = wire + LOOKUP_TYPE
            fields.setdefault(attribute_name(types), (Text, types))
            nulled.append((each.name, attribute_name(types), target))
    # Two columns may share a wire name (customerid_account, customerid_contact): the second gets its value afterwards.
    copies: list[tuple[str, str]] = []
    taken: dict[str, str] = {}
    for attribute, (_, wire) in list(fields.items()):
        if wire in taken:
            copies.append((attribute, taken[wire]))
            del fields[attribute]
        else:
            taken[wire] = attribute
    struct = msgspec.defstruct(
        f"{plan.row_type.__name__}OnTheWire",
        [(attribute, kind, None) for attribute, (kind, _) in fields.items()],
        rename={attribute: wire for attribute, (_, wire) in fields.items() if attribute != wire},
        kw_only=True,
        gc=False,
    )
    source = {each.name: each.name for each in own.values()} | dict(copies)
    attributes = tuple(source.items())
    row_type = plan.row_type

    def values(wire: Any) -> Any:
        found = {name: getattr(wire, where) for name, where in attributes}
        for name, type_name, target in nulled:
            if getattr(wire, type_name) != target:
                found[name] = None
        return row_type(**found)

    return _Columns(struct, values)


# --- life ---------------------------------------------------------------------------------------------------------

ON_HOLD: Final = 2  # statuscode of an open opportunity


def state_of(entity: Entity, statecode: int | None) -> State | None:
    return STATES.get(entity, {}).get(statecode) if statecode is not None else None


def life(row: Row) -> Life:
    if row.values is None:
        return Life()
    match row.ref.entity:
        case "lead":
            return _lead_life(row)
        case "opportunity":
            return _opportunity_life(row)
        case _:
            return Life(origin_lead_id=_value(row, "_originatingleadid_value"))


def _lead_life(row: Row) -> Life:
    merged = bool(_value(row, "merged"))  # before statecode: a merge's loser was not disqualified (lifecycle §2)
    return Life(
        state=None if merged else state_of("lead", _value(row, "statecode")),
        status=None if merged else _value(row, "statuscode"),
        account_id=_value(row, "_parentaccountid_value"),
        contact_id=_value(row, "_parentcontactid_value"),
        opportunity_id=_value(row, "_qualifyingopportunityid_value"),
    )


def _opportunity_life(row: Row) -> Life:
    state = state_of("opportunity", _value(row, "statecode"))
    statuscode = _value(row, "statuscode")
    status, process, born = statuscode, None, False
    if state == "open":
        found = active_process(row.extras)
        stage = found[1].get("stage_id") if found else None
        status = stage or _value(row, "salesstage")
        if found is not None and stage:
            process = cast("str", found[1]["table"])
            # what was stored before this was told of an instance, is of the product's own processes
            born = bool(found[1].get("from_lead", process == LEAD_PROCESS))
    return Life(
        state=state,
        status=status,
        process=process,
        process_born_from_lead=born,
        on_hold=state == "open" and statuscode == ON_HOLD,
        origin_lead_id=_value(row, "_originatingleadid_value"),
        customer_is_contact=_value(row, f"_customerid_value{LOOKUP_TYPE}") == "contact",
        amount_calculated=bool(_value(row, "isrevenuesystemcalculated")),
    )


_attributes: Final = {column: attribute_name(column) for table in TABLES.values() for column in table.system}


def _value(row: Row, column: str) -> Any:
    return getattr(row.values, _attributes[column], None)


def with_processes(row: Row, instances: Mapping[str, Mapping[str, Any]]) -> Row:
    """The row with its process instances as extras: instance id -> values."""
    return replace(row, extras={**row.extras, "process": instances})
