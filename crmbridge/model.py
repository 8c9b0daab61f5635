"""The words everything else is said in: sides, records, links, actions, outcomes. No behaviour, no I/O."""

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

Side = Literal["left", "right"]
Entity = Literal["account", "contact", "lead", "opportunity"]
State = Literal["open", "converted", "disqualified", "won", "lost"]

SIDES: Final[tuple[Side, Side]] = ("left", "right")
# The order in which records are written: a child's parent comes first (design: one cycle).
ENTITIES: Final[tuple[Entity, ...]] = ("account", "contact", "lead", "opportunity")
RESULTS: Final[tuple[Literal["account"], Literal["contact"], Literal["opportunity"]]] = (
    "account",
    "contact",
    "opportunity",
)  # of a conversion, parents first


# The shared field, yes or no, that an account or a contact is out of use (A4).
INACTIVE: Final = "inactive"


def other(side: Side) -> Side:
    return "right" if side == "left" else "left"


# --- neutral values -----------------------------------------------------------------------------------------------


# Shared and Money are structs: made for every record that is looked at, a struct costs a tenth of a dataclass, and
# without cycles in them the garbage collector need not look.
class Money(msgspec.Struct, frozen=True, gc=False):
    amount: Decimal
    currency: str  # ISO 4217


@dataclass(frozen=True, slots=True)
class Unlinked:
    """A lookup to a record that has no partner on the other side yet: who needs it waits."""

    entity: Entity
    id: str  # native id on the side it was read from


# A link field's neutral value is the shared id of the linked record (str); a user's is the folded e-mail (str).
Value = None | str | bool | int | Decimal | date | datetime | Money | Unlinked
Fields = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class NativeRef:
    """A lookup as a write needs it: which kind of record, and its id in the CRM that is written to."""

    entity: Entity | Literal["user", "team", "currency"]
    id: str


# What a connector writes: column -> text, number, Decimal, bool, date, datetime, NativeRef or None (clears it).
Native = Mapping[str, Any]


# --- records as read ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    side: Side
    entity: Entity
    id: str

    def __str__(self) -> str:
        return f"{self.side} {self.entity} {self.id}"

    @classmethod
    def of(cls, text: str) -> "Ref | None":
        """From its words; None if these are something else's."""
        words = text.split(" ")
        if len(words) != 3 or words[0] not in SIDES or words[1] not in ENTITIES:
            return None
        return cls(side=words[0], entity=words[1], id=words[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record as one CRM showed it. Only mapped columns and the connector's own system columns are in `values`."""

    ref: Ref
    version: str  # opaque; equality only (ETag, LastModifiedDate)
    created_at: datetime | None
    modified_at: datetime | None  # None where the CRM tells none (a delta's deletion)
    modified_by: str | None = None  # native user id
    deleted: bool = False  # a proven deletion, never a mere 404
    merged_into: str | None = None  # native id of the winner, for a merge's loser
    key: str | None = None  # our key field's value, if the CRM has it
    values: Any = None  # generated msgspec.Struct; None for a deletion
    # Facts from rows beside the record (its process, its primary contact): kind -> satellite id -> values.
    extras: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellite:
    """A row of a side table that says something about a record: a process instance, a contact role."""

    parent: Ref
    kind: str  # "process", "role"
    id: str
    version: str
    deleted: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)  # JSON values only


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A record's place in its life, from the CRM's own flags, never from labels."""

    state: State | None = None  # None where the CRM has no flag for it (an unconverted Salesforce lead)
    status: str | int | None = None  # native status or stage, the value that the YAML table is read by
    process: str | None = None  # name of the process that `status` is a stage of, None: the plain column
    record_type: str | None = None  # Salesforce: developer name, where the mapping asks for it
    process_born_from_lead: bool = False  # there Develop reads as {qualify, develop} (lifecycle §2, the Develop trap)
    on_hold: bool = False
    account_id: str | None = None  # lead: what its conversion made or named
    contact_id: str | None = None
    opportunity_id: str | None = None
    converted_at: datetime | None = None
    origin_lead_id: str | None = None  # Dynamics: the lead this row was made from
    customer_is_contact: bool = False  # Dynamics opportunity (O14)
    amount_calculated: bool = False  # a written amount would be ignored (O5)
    # Salesforce: an account and a contact in one; its other half is the account's `contact_id`, the contact's
    # `account_id`.
    person_account: bool = False


# --- translated records -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why one value could not be translated, or may not be written; in words, without the value itself if private."""

    cause: str  # stable word, e.g. unmapped_value, required_blank, too_long, currency_differs, no_such_user
    field: str
    message: str
    fix: str


class Shared(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record in neutral terms: mapped fields and the state axes."""

    fields: Fields
    state: State | None = None  # None for account and contact
    status: str | None = None  # row of the YAML status table (lead) or stage table (opportunity)
    on_hold: bool = False
    contradiction: str | None = None  # the label says one thing, the flag another (L6, O21)
    problems: tuple[Problem, ...] = ()
    created_at: datetime | None = None  # of the row it was read from; dated fillers count from it
    estimate: bool = False  # won, and shown with the amounts that were expected (O6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One side's record as the planner sees it."""

    row: Row
    life: Life
    shared: Shared


# --- links --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The state axes as one side last had them when the pair was settled."""

    state: State | None = None
    status: str | None = None
    on_hold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the two sides last agreed on, kept as each side shows it.

    Two views instead of one value: 10.50 here and 11 there (no decimals) is agreement, and comparing each side with its
    own view finds edits without knowing the loss. A field that is absent in both views was never agreed on.
    """

    left: Fields = field(default_factory=dict)
    right: Fields = field(default_factory=dict)
    left_axes: Axes = Axes()
    right_axes: Axes = Axes()

    def view(self, side: Side) -> Fields:
        return self.left if side == "left" else self.right

    def axes(self, side: Side) -> Axes:
        return self.left_axes if side == "left" else self.right_axes


LinkMode = Literal[
    "steady",  # has a base; three-way
    "matched",  # just paired by keys: blanks are filled, conflicts counted, no state changed
    "fresh",  # the partner was just created by us from the other side: its state still follows the origin's
    "converted",  # made by a conversion: the origin side's values win, the other's fill stays where origin is blank
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    id: str  # the shared id
    entity: Entity
    left_id: str | None
    right_id: str | None
    base: Base = Base()
    mode: LinkMode = "steady"
    origin: Side | None = None  # for fresh and converted: where the record came from
    alive: bool = True  # False: a tombstone, never matched or re-created
    generation: int = 1
    last_open: Mapping[Side, str] = field(default_factory=dict)  # sticky last open native status or stage per side
    fillers: Mapping[Side, Mapping[str, str]] = field(
        default_factory=dict
    )  # text of a filler we wrote, per side, field
    epoch: int = 0  # lead: how many conversions were mirrored
    how: str = ""  # in words: by which key, or by what, the two were paired

    def id_on(self, side: Side) -> str | None:
        return self.left_id if side == "left" else self.right_id


# --- rules, as the mapping compiles them for the planner ----------------------------------------------------------

RuleName = Literal["both", "left", "right", "prefer left", "prefer right", "create only", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    name: str
    rule: RuleName = "both"
    sides: frozenset[Side] = frozenset(SIDES)  # a field with one side is read, never written across
    link: Entity | None = None  # the value is another record
    kind: str = "text"  # converter's name
    restrictive: bool = False  # consent: the more restrictive (True) wins (A3)
    owner: bool = False  # the record's owner, among the fields that name a person
    inactive: bool = False  # the record is out of use (A4)
    # Sides whose CRM gives a new record a value of its own: ours is written right after.
    late: frozenset[Side] = frozenset()
    # Made by the mapping from the pair's other fields (a constant, an expression): written where it differs.
    derived: Mapping[Side, Callable[[Fields], "Value | Problem"]] = field(default_factory=dict)
    same: Callable[[Value, Value], bool] = lambda a, b: a == b  # equality up to declared losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A company's checkpoint: a record enters this row, or a later open one, only with these fields filled."""

    row: str | None  # of the status or stage table; None: a lead's conversion
    needs: tuple[str, ...]
    message: str = ""  # the company's own words
    fits: Callable[[Shared], bool] = lambda shared: True  # whether it is for this record; raises ValueError


# --- actions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    side: Side  # where it is created
    source: Ref
    fields: Fields
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    side: Side
    fields: Fields  # only what changes
    reason: str
    why: Mapping[str, str] = field(default_factory=dict)  # field -> rule that decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    left: Ref
    right: Ref
    reason: str  # which key matched


StepKind = Literal[
    "convert", "adopt", "convert_here", "new_lead", "status", "disqualify", "reactivate",
    "win", "lose", "reopen", "stage", "hold",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One life-cycle step on one side; `case` is the row of the life-cycle tables (L4, C1, O6 ...)."""

    case: str
    kind: StepKind
    side: Side  # where it is carried out
    reason: str
    status: str | None = None  # row of the status or stage table to reach, where there is one
    fields: tuple[str, ...] = ()  # fields whose values of the other side go along with the step (amount, close_date)
    on_hold: bool | None = None  # hold: put on hold, or taken off it


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Needs a person (or an edit that removes the cause). The pair's other fields keep syncing unless `whole`."""

    cause: str  # stable word, or a case id of the life-cycle tables
    message: str
    fix: str
    whole: bool = False
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not a failure: its parent, or the conversion that owns it, comes first."""

    waits_for: str  # in words: "its account", "the conversion of lead ..."
    ref: Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Worth telling, nothing to do: a deletion that was kept, a conversion that stays."""

    cause: str
    message: str


Action = Create | Update | Join | Step | Hold | Wait | Report


# --- outcomes of a write ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    id: str  # native id
    row: Row | None = None  # read back in the same call, where the CRM offers it
    created: bool = False
    adopted: bool = False  # it was there already, by an earlier try of ours
    # The record right before it was written, where a version does not tell every edit (Salesforce's is a second), and
    # the columns that were sent: what differs there from the version that was given was typed over unseen.
    before: Row | None = None
    columns: tuple[str, ...] = ()
    unchanged: bool = False  # it was so already, and nothing was sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A conversion's result: ids of what the lead now points at; None where nothing was wanted."""

    lead_id: str
    account_id: str | None
    contact_id: str | None
    opportunity_id: str | None
    adopted: bool = False


def results_of(one: Life | Converted) -> dict[Entity, str | None]:
    """Ids of what a lead became, or names as that; None where there is none."""
    return {"account": one.account_id, "contact": one.contact_id, "opportunity": one.opportunity_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    code: str  # the CRM's own
    message: str
    fields: tuple[str, ...] = ()
    lasting: bool = False  # the values themselves are not taken: sent unchanged, they would be refused again


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The record moved since it was read: observe, plan again."""

    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Not executed; try again after a while."""

    message: str
    after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Sent, and the answer was lost: look before it is repeated."""

    message: str


Outcome = Written | Converted | Refused | Stale | Later | Unknown


# --- facts about a connected system that translation needs --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Users and currencies of one side. E-mails are folded (lower case, `.invalid` cut)."""

    users: Mapping[str, str] = field(default_factory=dict)  # native user id -> e-mail; inactive ones too
    user_ids: Mapping[str, str] = field(default_factory=dict)  # e-mail -> native id of the one active user; unique
    # Queues and teams, where a mapping names one: native id -> the words for it, its name first; `queue:inbound`.
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    group_ids: Mapping[str, str] = field(default_factory=dict)  # word -> native id; unique
    default_owner: str | None = None  # native id, from settings
    currency: str = "USD"  # the org's own
    multi_currency: bool = False
    currencies: Mapping[str, str] = field(default_factory=dict)  # native currency id -> ISO; ISO itself on Salesforce


def fold_group(text: str) -> str:
    """The word for a queue or a team, as it is compared: `team:  Inbound Sales` is `team:inbound sales`."""
    kind, _, name = text.partition(":")
    return f"{kind.strip().casefold()}:{' '.join(name.casefold().split())}"


def shown_as(values: Any, column: str, missing: Any = None) -> Any:
    """What a row shows of what is written under this name; `missing` where that is not among the columns that are read.

    Dynamics reads a lookup as `_name_value`, and one that may point at several tables is written under a name for each
    of them (`parentcustomerid_account`) and read as one; a second column says where it points (dataverse-api §9.2)."""
    for name in (attribute_name(column), f"_{column.lower()}_value"):
        if hasattr(values, name):
            return getattr(values, name)
    base, _, target = column.lower().rpartition("_")
    wire = f"_{base}_value"
    if target not in ENTITIES or not hasattr(values, wire):
        return missing
    points_at = getattr(values, attribute_name(f"{wire}@Microsoft.Dynamics.CRM.lookuplogicalname"), None)
    return getattr(values, wire) if points_at in (None, target) else None


def attribute_name(column: str) -> str:
    """The attribute of a generated row struct that holds a wire column: `@odata.etag` is `odata_etag`."""
    name = re.sub(r"\W+", "_", column).strip("_") if not column.isidentifier() else column
    return name + "_" if keyword.iskeyword(name) else name
