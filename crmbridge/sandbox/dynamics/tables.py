"""What tables are, with their alternate keys, and how they belong together (dataverse-api §4.5, §5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.columns import Column, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An alternate key."""

    name: str
    columns: tuple[str, ...]
    status: str = "Active"
    label: str | None = None
    made: datetime | None = None  # while its index is being built: when that began


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """A relationship seen from the referenced table."""

    table: str  # the referencing one
    column: Column
    target: Target


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    schema: str
    set_name: str
    label: str
    labels: str
    code: int
    key: str
    primary_name: str
    ownership: str
    change_tracking: bool
    optimistic_concurrency: bool
    is_process: bool
    columns: Mapping[str, Column]
    keys: tuple[Key, ...] = ()
    elastic: bool = False  # bulk messages with partial success, DeleteMultiple: dataverse-api §4.7

    @cached_property
    def by_wire(self) -> Mapping[str, Column]:
        return {column.wire: column for column in self.columns.values()}

    @cached_property
    def navigations(self) -> Mapping[str, tuple[Column, tuple[Target, ...]]]:
        """Single-valued navigation properties by their exact name; an owner has one for users and teams alike."""
        found: dict[str, tuple[Column, tuple[Target, ...]]] = {}
        for column in self.columns.values():
            for target in column.targets:
                for name in filter(None, (target.navigation, target.inherited)):
                    _, others = found.get(name, (column, ()))
                    found[name] = (column, (*others, target))
        return found

    @cached_property
    def state(self) -> Column | None:
        return self.columns.get("statecode")

    @cached_property
    def money(self) -> tuple[Column, ...]:
        return tuple(each for each in self.columns.values() if each.kind == "Money" and each.computed is None)

    # What each write needs of the columns, worked out once.

    @cached_property
    def defaults(self) -> Row:
        return {column.name: column.default for column in self.columns.values() if column.default is not None}

    @cached_property
    def enforced(self) -> tuple[str, ...]:
        """Columns that the platform itself requires: dataverse-api §4.1."""
        return tuple(c.name for c in self.columns.values() if c.required == "SystemRequired" and c.create)

    @cached_property
    def frozen_on_create(self) -> frozenset[str]:
        return frozenset(name for c in self.columns.values() if not c.create for name in (c.name, c.type_key))

    @cached_property
    def frozen_on_update(self) -> frozenset[str]:
        return frozenset(name for c in self.columns.values() if not c.update for name in (c.name, c.type_key))

    @cached_property
    def composites(self) -> tuple[tuple[str, str], ...]:
        """(column, prefix) of each address in one text."""
        return tuple(
            (c.name, c.name.removesuffix("composite")) for c in self.columns.values() if c.computed == "address"
        )

    @cached_property
    def full_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns.values() if c.computed == "full_name")

    @cached_property
    def customer_parts(self) -> tuple[tuple[str, str, str], ...]:
        """(column, the customer column that it repeats, the table to which that one then points)."""
        customer = next((c.name for c in self.columns.values() if c.kind == "Customer"), None)
        parts = (c for c in self.columns.values() if c.computed == "customer")
        return () if customer is None else tuple((c.name, customer, c.targets[0].table) for c in parts)

    @cached_property
    def single_lookups(self) -> Mapping[str, str]:
        """The column that points to each table, of those that point to one table only."""
        found: dict[str, str] = {}
        for column in self.columns.values():
            if len(column.targets) == 1:
                found.setdefault(column.targets[0].table, column.name)
        return found

    @cached_property
    def secured(self) -> frozenset[str]:
        return frozenset(c.name for c in self.columns.values() if c.secured)

    @cached_property
    def set_columns(self) -> frozenset[str]:
        return frozenset(self.columns)

    @cached_property
    def column_numbers(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.columns, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """A many-to-many relationship: the navigation has one name on both tables, links are rows of a table between."""

    name: str
    table: str  # the intersect table
    left: tuple[str, str]  # (table, its column in the intersect table)
    right: tuple[str, str]

    def sides(self, table: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """(this side, the other side) as seen from `table`."""
        return (self.left, self.right) if self.left[0] == table else (self.right, self.left)
