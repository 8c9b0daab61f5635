"""What may be chosen about a life cycle: the options of `lifecycle:`, and which of them hold for one record.

The first word of each option is the default (docs/reference/lifecycle.md tells what each does). Options are laid over
each other: the defaults, `lifecycle:`, its part for one kind of record, then the first segment that the record is in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Any, Final, Literal, TypeVar

from crmbridge.model import ENTITIES, Entity, Problem, Shared, Side

# The cause of what is held since an expression of the settings fails on it.
CANNOT_TELL: Final = "choice_error"
# An expression of the settings, compiled; where it fails on a record, why.
Fits = Callable[[Entity, Shared], bool | Problem]
Way = Literal["both", "off", "left", "right"]  # a side: only from there to the other
YesNo = Literal["yes", "no"]
ContactOnly = Literal["account if company", "account named like the person", "person_account", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """`{when: EXPRESSION}`: for the records that it is true for."""

    when: str

    def __str__(self) -> str:
        return f"{{when: {self.when}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`{bucket: ID}`: one account on the other side for all that have none of their own."""

    bucket: str

    def __str__(self) -> str:
        return f"{{bucket: {self.bucket}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAs:
    """`{as: ROW}`: read as this row of the status table."""

    row: str

    def __str__(self) -> str:
        return f"{{as: {self.row}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBy:
    """Who makes what a conversion makes: the CRM's own conversion, or we beforehand."""

    account: Literal["crm", "us"] = "crm"
    contact: Literal["crm", "us"] = "crm"
    opportunity: Literal["crm", "us"] = "crm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert:
    mirror: Literal["always", "never"] | When = "always"
    opportunity: Literal["as source", "always", "never"] = "as source"
    create_by: CreateBy = CreateBy()
    contact_only: ContactOnly | Bucket = "account if company"
    person_accounts: Literal["off", "on"] = "off"
    bare_qualified: Literal["hold", "convert", "ignore"] = "hold"
    reactivated: Literal["hold", "leave", "new_lead"] = "hold"
    contradiction: Literal["report", "convert_here"] | ReadAs = "report"
    both: Literal["link", "hold"] = "link"
    late_edit: Literal["redirect", "hold", "ignore"] = "redirect"
    recreate_lead: YesNo = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    won_amount: Literal["actual", "estimate"] = "actual"
    after_close: Literal["patch", "hold"] = "patch"
    reopen: Literal["mirror", "hold"] = "mirror"
    cancel_close_activity: YesNo = "yes"
    over_disqualified: Literal["convert", "hold"] = "convert"
    contact_customer: Literal["hold", "no_account", "person_account"] | Bucket = "hold"
    no_customer: Literal["try", "placeholder", "hold"] = "try"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Status and stage while open, disqualification and its undoing, new records, and what is put out of use."""

    new: Literal["create", "match only", "ignore"] = "create"
    status: Way = "both"
    stage: Way = "both"
    disqualify: Literal["mirror", "hold"] = "mirror"
    reopen: Literal["mirror", "hold"] = "mirror"
    contact_roles: Literal["primary", "off"] = "primary"
    unmapped: Literal["hold", "ignore"] = "hold"
    inactive: Way = "both"


# What becomes of a deleted record's partner: choices that are for some kinds of records alone.
ONLY_FOR: Final[Mapping[str, frozenset[Entity]]] = {
    "disqualify": frozenset({"lead"}),
    "lose": frozenset({"opportunity"}),
    "deactivate": frozenset({"account", "contact"}),
}


_LEAD: Final = frozenset[Entity]({"lead"})
_DEAL: Final = frozenset[Entity]({"opportunity"})
# Options that are for some kinds of records alone, by group and name (None: all of the group); the others are for all.
FOR_KINDS: Final[Mapping[tuple[str, str | None], frozenset[Entity]]] = {
    ("convert", None): _LEAD,
    ("convert", "person_accounts"): frozenset(ENTITIES),
    ("close", None): _DEAL,
    ("close", "over_disqualified"): _LEAD,
    ("move", "status"): _LEAD,
    ("move", "stage"): _DEAL,
    ("move", "disqualify"): _LEAD,
    ("move", "reopen"): _LEAD,
    ("move", "contact_roles"): _DEAL,
    ("move", "unmapped"): _LEAD | _DEAL,
    ("move", "inactive"): frozenset({"account", "contact"}),
    ("remove", "delete_converted"): _LEAD,
    **{("scope", entity): frozenset({entity}) for entity in ("account", "contact")},
    **{("owner", entity): frozenset({entity}) for entity in ("lead", "opportunity", "account", "contact")},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    delete: Literal["keep", "ask", "delete", "disqualify", "lose", "deactivate"] = "keep"
    delete_converted: Literal["keep", "delete"] = "keep"
    merge: Literal["hold", "mirror"] = "hold"
    undelete: Literal["resume", "hold"] = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    account: Literal["touched", "all"] | When = "touched"
    contact: Literal["touched", "all"] | When = "touched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """None: as the mapping's rule says (shipped: leads and opportunities both, accounts and contacts create only)."""

    lead: Literal["both", "create only", "off"] | None = None
    opportunity: Literal["both", "create only", "off"] | None = None
    account: Literal["both", "create only", "off"] | None = None
    contact: Literal["both", "create only", "off"] | None = None
    # Of a segment or one kind of records; the one for all is the connections' affair.
    fallback: Mapping[Side, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything that was chosen for one record."""

    convert: Convert = Convert()
    close: Close = Close()
    move: Move = Move()
    remove: Remove = Remove()
    scope: Scope = Scope()
    owner: Owner = Owner()
    consent: Literal["restrictive", "source"] = "restrictive"
    master: Side | None = None  # the side that alone decides, before or after the day of the cut-over
    segment: str | None = None  # by its name, for people
    undecided: Problem | None = None  # why it cannot be told what was chosen: the record is held

    def says(self, option: str) -> str:
        """A choice in words, where it decided something: `lifecycle.convert.mirror: never, segment dach`."""
        choice = reduce(getattr, option.split("."), self)
        return f"lifecycle.{option}: {choice}" + (f", segment {self.segment}" if self.segment else "")


DEFAULT: Final = Policy()
# What is undone or carried on for a pair whose records are not both there, while nobody knows what was chosen.
_CAREFUL: Final = Remove(delete="ask", merge="hold", undelete="hold")

# Options laid over others: {"convert": {"mirror": "never"}}, values as in `Policy`, already checked.
Overlay = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """Who is master: `first`, and from the day of the cut-over on `then`."""

    first: Side
    cut_over: datetime | None = None
    then: Side | None = None

    def at(self, now: datetime) -> Side:
        return self.then if self.then and self.cut_over and now >= self.cut_over else self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the records, with options of its own; without `fits` all records of these kinds."""

    name: str
    entities: frozenset[Entity] | None = None  # None: all
    fits: Fits | None = None
    overlay: Overlay = field(default_factory=dict)
    by_entity: Mapping[Entity, Overlay] = field(default_factory=dict)
    master: Master | None = None

    def holds(self, entity: Entity, shared: Shared) -> bool | Problem:
        if self.entities is not None and entity not in self.entities:
            return False
        return True if self.fits is None else self.fits(entity, shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What was chosen for all records; `of` tells what holds for one."""

    base: Policy = DEFAULT
    by_entity: Mapping[Entity, Overlay] = field(default_factory=dict)
    segments: Sequence[Segment] = ()
    # `{when: EXPRESSION}` of any option, compiled: text -> does it fit
    expressions: Mapping[str, Fits] = field(default_factory=dict)

    def of(self, entity: Entity, shared: Shared | None = None, *, now: datetime | None = None) -> Policy:
        """Without a record: what holds where no segment is looked at."""
        policy = laid_over(self.base, self.by_entity.get(entity, {}))
        if shared is None:
            return policy
        for segment in self.segments:
            verdict = segment.holds(entity, shared)
            if isinstance(verdict, Problem):
                return replace(policy, remove=_CAREFUL, undecided=verdict)
            if verdict:
                policy = laid_over(laid_over(policy, segment.overlay), segment.by_entity.get(entity, {}))
                master = segment.master.at(now) if segment.master and now else None
                policy = replace(policy, master=master, segment=segment.name)
                break
        if shared.state == "converted":  # until then nobody asks
            trouble = self.trouble_with(policy.convert.mirror, entity, shared)
            policy = replace(policy, undecided=trouble) if trouble is not None else policy
        return policy

    def every(self, entity: Entity) -> list[Policy]:
        """What may hold for a record of this kind: without a segment, and in each segment."""
        base = self.of(entity)
        mine = [one for one in self.segments if one.entities is None or entity in one.entities]
        return [base, *(laid_over(laid_over(base, one.overlay), one.by_entity.get(entity, {})) for one in mine)]

    def due(self, name: str, side: Side, now: datetime) -> bool:
        """Is that side the master of the segment by now? A segment that is gone keeps nobody waiting."""
        segment = next((one for one in self.segments if one.name == name), None)
        return segment is None or segment.master is None or segment.master.at(now) == side

    def true_for(self, choice: object, entity: Entity, shared: Shared) -> bool:
        """Is this choice, if it is a `{when: …}`, true for the record? Any other choice is not."""
        return isinstance(choice, When) and self.expressions[choice.when](entity, shared) is True

    def trouble_with(self, choice: object, entity: Entity, shared: Shared) -> Problem | None:
        """Why it cannot be told whether this choice is true for the record."""
        verdict = self.expressions[choice.when](entity, shared) if isinstance(choice, When) else None
        return verdict if isinstance(verdict, Problem) else None


_T = TypeVar("_T")


def laid_over(one: _T, overlay: Overlay) -> _T:
    """A copy of a policy, or a group of it, with these options instead."""
    if not overlay:
        return one
    changes: dict[str, Any] = {}
    for each in fields(one):  # pyright: ignore[reportArgumentType] -- a dataclass, always
        if each.name in overlay:
            value, before = overlay[each.name], getattr(one, each.name)
            if isinstance(value, Mapping):
                value = laid_over(before, value) if is_dataclass(before) else {**before, **value}
            changes[each.name] = value
    return replace(one, **changes)  # pyright: ignore[reportArgumentType, reportUnknownVariableType, reportCallIssue]
