"""What the store keeps besides the model's own words: stored rows, intents, conversions, issues, runs, leases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from crmbridge.breaker import Breaker
from crmbridge.budget import Standing, Work
from crmbridge.model import Entity, Link, Ref, Row, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A record as last observed."""

    row: Row
    dirty: bool  # changed since its pair was last settled
    touched: bool  # reached by a conversion or an opportunity: in scope (A1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A unit of work: a link with both records, or one record without a link."""

    entity: Entity
    link: Link | None
    left: Stored | None
    right: Stored | None

    @property
    def key(self) -> str:
        """Its place in the order of `Store.pending`, which can go on after it."""
        for side, stored in (("left", self.left), ("right", self.right)):
            if stored is not None and stored.dirty:
                return f"{side}:{stored.row.ref.id}"
        return f"link:{self.link.id if self.link else ''}"


IntentState = Literal["sent", "done", "refused", "stale", "later", "lost"]


PUT_BACK = "put back"  # key of an update that gives a record back what somebody typed and we overwrote unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Written down before a call to a CRM; its id is also the journal's."""

    id: str
    run_id: str
    side: Side
    entity: Entity
    kind: str  # create, update, convert, status, win, lose, reopen, stage, role
    link_id: str | None  # shared id; a create's link does not exist yet, its future id is given here
    native_id: str | None  # known or chosen native id on `side`
    source_id: str | None = None  # native id of the partner the values come from
    source_at: datetime | None = None  # when somebody saved that, by its CRM's clock; None: not known
    key: str | None = None  # what makes a repeat recognisable: our key field's value, or the lead's id
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)  # columns as they were (JSON values)
    after: Mapping[str, Any] = field(default_factory=dict)  # columns as sent (JSON values)
    pre_version: str | None = None
    fence: int = 0
    state: IntentState = "sent"
    reply: str = ""  # outcome in words, the CRM's code
    sent_at: datetime | None = None  # set by the store (database clock)
    lease: str | None = None  # set by the store: under which it was sent


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One write that happened."""

    number: int
    id: str  # the intent's
    run_id: str
    side: Side
    entity: Entity
    kind: str
    link_id: str | None
    native_id: str | None
    source_id: str | None
    reason: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reply: str
    at: datetime


ConversionState = Literal["planned", "called", "done", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRow:
    """Ledger of mirrored conversions; UNIQUE (lead_link, epoch) makes "exactly once" a database constraint."""

    lead_link: str
    epoch: int
    case: str  # C1 ...
    from_side: Side
    state: ConversionState
    detail: Mapping[str, Any] = field(default_factory=dict)  # ids on both sides, what was wanted and why


IssueKind = Literal["held", "failed", "waiting", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One open matter about one record; unique by (entity, record, cause, field) while open."""

    kind: IssueKind
    cause: str
    entity: Entity
    link_id: str | None
    side: Side | None  # where the record is that cannot go on
    native_id: str | None
    field: str | None = None
    message: str = ""
    fix: str = ""
    attempts: int = 0
    next_try_at: datetime | None = None  # of what failed; None: not by itself
    fingerprint: str = ""  # hash of what was refused: not retried unchanged
    lasting: bool = False  # of what failed: time does not heal it, so there is no next try (not kept)
    id: int | None = None
    opened_at: datetime | None = None
    released_by: str | None = None  # who asked to try it again, and why
    released_why: str | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    closed_why: str | None = None


# (entity, link_id, side, native_id, cause; None: all causes) of issues that are over
IssuePlace = tuple[Entity, str | None, Side | None, str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """By what a record without a link can be recognised (`crmbridge.match.Keys`)."""

    ref: Ref
    parts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Everything one transaction records. Applied whole or not at all, and only under the caller's fence."""

    rows: Sequence[
        Row
    ] = ()  # read-backs and fetches: stored as observed; clean if also in `clean`, else unchanged flag
    clean: Sequence[tuple[Ref, str | None]] = ()  # no longer dirty, if the stored version still is this one
    dirty: Sequence[Ref] = ()
    touched: Sequence[Ref] = ()
    links: Sequence[Link] = ()  # upserted by id
    open_intents: Sequence[Intent] = ()
    close_intents: Sequence[Intent] = ()  # state, reply, native_id set; "done" ones become journal rows
    conversions: Sequence[ConversionRow] = ()  # upserted by (lead_link, epoch)
    issues: Sequence[Issue] = ()  # opened, or refreshed if the same one is open (attempts + 1 for "failed")
    close_issues: Sequence[IssuePlace] = ()
    keyed: Sequence[Keyed] = ()  # of records without a link that are clean from now on
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    name: str
    owner: str
    fence: int


STOPPED = "stopped_worker"  # cause of an issue: a record whose worker did not survive it, again and again
ATTEMPTS_MAX = 5  # begun so often without coming to an end


def seen_as(left: str, right: str) -> str:
    """Versions of both records, as that issue keeps them: a newer edit is worth another try."""
    return f"{left} {right}"


def stopped_issue(
    entity: Entity, attempts: int, version: str, *, link_id: str | None = None, ref: Ref | None = None
) -> Issue:
    """`version`: as `seen_as` tells it."""
    return Issue(
        kind="held",
        cause=STOPPED,
        entity=entity,
        link_id=link_id,
        side=ref.side if ref is not None else None,
        native_id=ref.id if ref is not None else None,
        message=f"It stopped the worker {attempts} times, so it is not tried again by itself.",
        fix="Look what the worker's log says of it; then: crmbridge retry ISSUE. An edit of the record frees it too.",
        fingerprint=version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRow:
    """One pair that the worker with the cycle has handed out, as whoever works in its lane gets it."""

    id: int
    link_id: str
    run_id: str
    lane: str
    attempts: int  # this one counted


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    id: str
    kind: str  # sync, first run, plan, verify
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str = ""  # done, held, stopped by the guard, failed ..., interrupted
    counts: Mapping[str, Any] = field(default_factory=dict)  # what was written: connection -> entity -> kind -> n
    calls: Mapping[str, Any] = field(default_factory=dict)
    unwritten: Mapping[str, Any] = field(default_factory=dict)  # sent, and not written: ... -> kind -> how -> n
    mapping: str | None = None  # version it went by


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingRow:
    """A version of the mapping."""

    id: str
    label: str  # what its files call themselves
    texts: Mapping[str, str]  # file name -> text
    first_used_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    id: str
    created_at: datetime
    counts: Mapping[str, Any]  # side -> entity -> kind -> n
    first_run: bool
    approved_at: datetime | None = None
    approved_by: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Asked to stay away: nobody calls until then."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """What kept calls from a CRM until a person lifted it."""

    block: Block | None
    breaker: Breaker | None
    told: tuple[int, int] | None  # used and limit of its day, as it said; it is asked anew

    def __bool__(self) -> bool:
        return self.block is not None or self.breaker is not None or self.told is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Calls of ours on one day, by class of work."""

    work: Work
    requests: int
    operations: int  # as the CRM counts them


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How one connection stands: may it be called, and what is left of its day?"""

    at: datetime  # by the database's clock
    block: Block | None
    blocked_until: datetime | None  # the last time, which may be over
    breaker: Breaker
    standing: Standing
