"""What a table's columns are: kinds, choices, lookups and their targets (dataverse-api §5)."""

import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from crmbridge.sandbox.core import Row

Kind = Literal[
    "String", "Memo", "Integer", "BigInt", "Money", "Decimal", "Double", "Boolean", "DateTime", "Picklist",
    "MultiSelectPicklist", "State", "Status", "Lookup", "Owner", "Customer", "Uniqueidentifier",
]  # fmt: skip
OnDelete = Literal["Cascade", "Restrict", "RemoveLink"]
CHOICES = frozenset({"Picklist", "State", "Status"})
LOOKUPS = frozenset({"Lookup", "Owner", "Customer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    value: int
    label: str
    state: int | None = None  # of a Status option: the state it belongs to
    default: int | None = None  # of a State option: the status a row gets when only the state is set (DefaultStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One table that a lookup may point to."""

    table: str
    navigation: str  # single-valued, on the referencing row; case counts
    many: str  # collection-valued, on the referenced row; also the relationship's schema name
    inherited: str | None = None  # the navigation's other name, from the base table of activities


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str  # logical name
    schema: str
    kind: Kind
    required: str = "None"  # None | Recommended | ApplicationRequired (forms only) | SystemRequired (enforced)
    create: bool = True
    update: bool = True
    max_length: int | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    precision: int | None = None  # Money without one: the currency's (PrecisionSource 2)
    format: str | None = None
    date_only: bool = False  # DateTimeBehavior DateOnly: a plain date on the wire
    behavior: str = "UserLocal"
    options: tuple[Option, ...] = ()
    option_set: str | None = None  # name of a global one
    default: Any = None
    targets: tuple[Target, ...] = ()
    on_delete: OnDelete = "RemoveLink"
    computed: str | None = None  # full_name | address | customer | base
    secured: bool = False  # field security: only roles that name the column may read or write it
    base: str = ""  # of a Money column: its twin in the base currency

    def __post_init__(self) -> None:
        # Rows have this very text as their key, and so does compiled code: a look-up compares addresses.
        object.__setattr__(self, "name", sys.intern(self.name))

    @property
    def is_lookup(self) -> bool:
        return self.kind in LOOKUPS

    @property
    def is_choice(self) -> bool:
        return self.kind in CHOICES

    @property
    def polymorphic(self) -> bool:
        return len(self.targets) > 1

    @property
    def wire(self) -> str:
        """The property's name in answers and queries."""
        return f"_{self.name}_value" if self.is_lookup else self.name

    @property
    def type_key(self) -> str:
        """Where a row keeps the target table of a polymorphic lookup."""
        return f"_{self.name}_type"

    def option(self, value: object) -> Option | None:
        return next((each for each in self.options if each.value == value), None)

    def target_of(self, row: Row) -> Target:
        """Which table the row's lookup points to."""
        first = self.targets[0]
        if len(self.targets) == 1:
            return first
        kind = row.get(self.type_key)
        return next((each for each in self.targets if each.table == kind), first)
