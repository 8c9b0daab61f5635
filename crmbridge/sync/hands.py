"""What one cycle works with: the store, both connectors, the compiled mapping, and the account it keeps of itself."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Literal, Protocol

import mapping
from connectors.base import Connector, Identity
from crmbridge import pace
from crmbridge.errors import LeaseTaken
from crmbridge.guard import Caps
from crmbridge.ids import new_id
from crmbridge.lifecycle.powers import Powers
from crmbridge.model import ENTITIES, SIDES, Directory, Entity, FieldRule, Link, NativeRef, Ref, Seen, Side
from crmbridge.plan import under
from crmbridge.policy import Bucket, Policies, Policy
from crmbridge.stand_ins import LINK_IDS
from crmbridge.state.store import Store
from crmbridge.state.words import PUT_BACK, Batch, Intent, IntentState, Issue, IssueKind, Lease, RunRow
from crmbridge.sync import logged
from crmbridge.sync.limits import Keepers
from crmbridge.sync.suspects import AT_HAND_META, EVERYTHING, NOTED, Portion

LET_GO_META = "without_conversion"  # {shared id of a lead: who said so, and why}
LEASE_NAME = "cycle"
LEASE_SECONDS = pace.NOW.lease  # 150; renewed before each call by the working code
RENEW_SECONDS = pace.NOW.renew  # 15; not more often: each renewal is a commit. 135 s left outlast a call by 15 s
# Between an intent and its call, where no key guards; less than what is added to a request's limit before a lost one
# counts as never made.
SEND_SECONDS = 5.0
TOLD: Final = frozenset({"held", "failed", "waiting", "report"})  # kinds of events that are no deed


class Progress(Protocol):
    def step(self, text: str, done: int = 0, total: int | None = None) -> None:
        """Something for people: which phase, how far."""
        ...


class Crew(Protocol):
    """Others who carry out what takes long, beside the worker that has the cycle."""

    def work_off(self, lead: "Hands", view: Any, works: Sequence[Any]) -> None:
        """These pairs are worked at by whoever is there; back once each has come to an end."""
        ...


class Quiet:
    def step(self, text: str, done: int = 0, total: int | None = None) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of what a run did, or would do, to one record."""

    entity: Entity
    side: Side | None  # where it was done
    kind: str  # link, create, update, convert, adopt, status, win, ... held, waiting, report, failed
    link_id: str | None
    ids: Mapping[Side, str | None]
    reason: str
    cause: str | None = None
    fix: str = ""
    fields: tuple[str, ...] = ()


def once(events: Iterable[Event]) -> tuple[Event, ...]:
    """Accounts and contacts are gone through before the leads and after them. What is done is done each time; what is
    only told is one matter, as in the store (entity, record, cause, field), in its last words."""
    found: dict[object, Event] = {}
    for event in events:
        ids = tuple(event.ids.get(side) for side in SIDES)
        matter = (event.kind, event.entity, event.link_id, ids, event.cause, event.fields)
        found[matter if event.kind in TOLD else id(event)] = event
    return tuple(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Pilot a few records: everything else is observed and left alone."""

    ids: frozenset[str] = frozenset()
    owner: str | None = None
    modified_since: datetime | None = None
    limit: int | None = None

    @property
    def everything(self) -> bool:
        return self == Only()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    caps: Caps = field(default_factory=Caps)
    choices: Mapping[str, Side] = field(default_factory=dict)  # "lead.industry" -> side that was chosen
    mirror_since: datetime | None = None
    policies: Policies = field(default_factory=Policies)  # what was chosen for the life cycle
    entities: tuple[Entity, ...] = ("account", "contact", "lead", "opportunity")
    reading: tuple[Entity, ...] = ()  # read as well, and not synced: it is not their time
    stopped: frozenset[Entity] = frozenset()  # the CRM's schema changed under them: neither read nor synced
    only: Only = Only()
    reconcile_every: timedelta | None = None  # how often it is looked for what the cursors missed
    on_unknown: Mapping[Side, Literal["wait", "hold"]] = field(default_factory=dict)  # of creates without a key
    retention: Mapping[str, timedelta] = field(default_factory=dict)  # what is older goes, a little with each cycle
    settle_seconds: Mapping[Side, float] = field(default_factory=dict)  # request limit + margin (reliability §3)

    def __post_init__(self) -> None:
        for name in ("entities", "reading"):
            left = tuple(one for one in getattr(self, name) if one not in self.stopped)
            object.__setattr__(self, name, left)

    @property
    def reads(self) -> tuple[Entity, ...]:
        return tuple(one for one in ENTITIES if one in self.entities or one in self.reading)


@dataclass(kw_only=True)
class Hands:
    store: Store
    connectors: Mapping[Side, Connector]
    names: Mapping[Side, str]  # connection names, for people
    compiled: "mapping.Compiled"
    powers: Mapping[Side, Powers]
    identities: Mapping[Side, Identity]
    directories: Mapping[Side, Directory]
    options: Options
    run: RunRow
    lease: Lease | None = None  # None: a dry run, which writes nothing anywhere
    keepers: Keepers = field(default_factory=dict)  # of the connections' limits
    stamp: str = ""  # changes with the mapping, and with the columns of either CRM
    progress: Progress = field(default_factory=Quiet)
    events: list[Event] = field(default_factory=list)
    # (connection, entity, kind): what a dry run would write, and what a real one has written
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    # (connection, entity, kind, how): what was sent and not written, with the state its intent ended in
    unwritten: Counter[tuple[str, str, str, IntentState]] = field(default_factory=Counter)
    by_key: Counter[str] = field(default_factory=Counter)  # "account: website + name" -> pairs
    touched: set[Ref] = field(default_factory=set)  # accounts and contacts that this run brought into scope
    persons: frozenset[Ref] | None = None  # contacts that are made as person accounts; None: not looked yet
    clock: Callable[[], float] = time.monotonic
    send_until: float | None = None  # by our clock; None: no hurry
    leader: "Hands | None" = None  # a dry run's: who has the lease meanwhile
    renewed_at: float = 0.0
    untouchable: set[str] = field(default_factory=set)  # shared ids, or refs in words, whose last call may still land
    stand_ins: dict[Side, str] = field(
        default_factory=dict[Side, str]
    )  # accounts for what has no customer, by this run
    put_aside: list[Issue] = field(default_factory=list[Issue])  # what waits since it is paused; a dry run's too
    removed: set[str] = field(default_factory=set)  # a dry run's: links whose partner it would have removed
    first_run: frozenset[Entity] = frozenset()  # entities that were never synced
    crew: Crew | None = None  # None: all is done here, one thing after another
    converting: set[str] = field(default_factory=set)  # pairs whose conversion the dry run found to be due
    portion: Portion = EVERYTHING  # what of all that is due this pass takes
    given_up: frozenset[str] = frozenset()  # what has stopped too many workers
    noted: frozenset[str] = frozenset()  # what is noted to be at hand
    busy: frozenset[str] = frozenset()  # leases of lanes that somebody works in since an earlier run
    # (side, entity, native id) -> lead whose conversion made or took it; asked once a run, by its dry pass
    born: dict[tuple[Side, Entity, str], str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.renewed_at = self.clock()

    @property
    def dry(self) -> bool:
        return self.lease is None

    @property
    def our_users(self) -> Mapping[Side, str | None]:
        return {side: self.identities[side].user_id for side in SIDES}

    def policy(self, seen: Seen) -> Policy:
        """What was chosen for this record; of a pair it is the left side's record that is asked."""
        return self.options.policies.of(seen.row.ref.entity, seen.shared, now=self.run.started_at)

    @cached_property
    def let_go(self) -> Mapping[str, str]:
        """Pairs of leads whose conversion a person has given up (C10), and who and why."""
        return json.loads(self.store.meta(LET_GO_META) or "{}")

    @cached_property
    def buckets(self) -> set[str]:
        """Accounts for what has none of its own: those that were chosen, and those that we made for it."""
        policies = self.options.policies
        chosen = [policy.convert.contact_only for policy in policies.every("lead")]
        chosen += [policy.close.contact_customer for policy in policies.every("opportunity")]
        made = [
            native for link in self.store.links(list(LINK_IDS)).values() for native in (link.left_id, link.right_id)
        ]
        named = [choice.bucket for choice in chosen if isinstance(choice, Bucket)]
        return {same_id(native) for native in (*named, *made) if native is not None}

    @cached_property
    def has_fallbacks(self) -> bool:
        """Does a part of the records have a fallback owner of its own?"""
        every = (policy for entity in ENTITIES for policy in self.options.policies.every(entity))
        return any(policy.owner.fallback for policy in every)

    def is_bucket(self, native: str) -> bool:
        return same_id(native) in self.buckets

    def true_for(self, choice: object, seen: Seen) -> bool:
        """Is this choice a `{when: …}` that is true for the record?"""
        return self.options.policies.true_for(choice, seen.row.ref.entity, seen.shared)

    def rules(self, seen: Seen) -> tuple[FieldRule, ...]:
        """The mapping's rules as they hold for this record."""
        entity = seen.row.ref.entity
        return under(self.compiled.entities[entity].rules, self.policy(seen), entity)

    def record(self, batch: Batch) -> None:
        """One transaction under our lease; a dry run records nothing. What may not be sent now is not even intended,
        but for what is to be put back: it is written down with what made it necessary, and sent when it may be."""
        if self.lease is not None:
            for side, keeper in self.keepers.items():
                if any(intent.side == side and intent.key != PUT_BACK for intent in batch.open_intents):
                    keeper.check()
            news = self.store.apply(batch, lease=self.lease)
            logged.writes(self.names, batch.close_intents)
            logged.issues(self.names, self.store, news)

    def at_hand(self, names: Iterable[str] = ()) -> None:
        """Before the work at these: should this process not survive it, it is known whose fault that may be. Of too
        many nobody could tell, so nobody is noted."""
        if self.leader is not None:
            self.leader.at_hand(names)
            return
        if self.lease is None or self.lease.name != LEASE_NAME:  # a lane counts for itself
            return
        now = frozenset(names)
        now = now if len(now) <= NOTED else frozenset()
        if now - self.noted or (self.noted and not now):
            self.record(Batch(meta={AT_HAND_META: json.dumps(sorted(now)) if now else ""}))
            self.noted = now

    def renew(self) -> None:
        """Before each call to a CRM: what is left of the lease must outlast the call (reliability §3.0)."""
        if self.send_until is not None and self.clock() > self.send_until:
            raise LeaseTaken(
                "This process stood still between writing down a create and sending it; it was not sent.",
                fix="Nothing to do: the next run looks whether it is there, and makes it.",
                code="lease_lost",
            )
        self.send_until = None  # once it is on its way, its own time limit counts
        self.stay()

    def stay(self) -> None:
        """While it works without a call, as in planning very many pairs: a lease that ends meanwhile would let another
        worker begin it all anew, and again nobody would come to the end of it."""
        if self.leader is not None:
            self.leader.stay()
        if self.lease is not None and self.clock() - self.renewed_at > RENEW_SECONDS:
            self.store.renew(self.lease, LEASE_SECONDS)
            self.renewed_at = self.clock()

    def send_soon(self) -> None:
        """A create that no key guards is sent right away or not at all: the time after which a lost one counts as never
        made is told from when it was written down (reliability §3.4)."""
        self.send_until = self.clock() + SEND_SECONDS

    def leave_alone(self, *names: str | None) -> None:
        """An answer was lost: nothing more is sent about this record before somebody looked, and the next run does."""
        self.untouchable |= {name for name in names if name}

    def born_of(self, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
        """Which of these rows a conversion made or took, by the CRM's own word."""
        missing = [id for id in ids if (side, entity, id) not in self.born]
        if missing:
            found = self.connectors[side].born_of(entity, missing)
            self.born |= {(side, entity, id): found.get(id) for id in missing}
        return {id: lead for id in ids if (lead := self.born[side, entity, id]) is not None}

    def stamped(self, mark: str) -> str:
        """A fingerprint of what was refused, with what it was made by: another mapping, or other columns over there,
        release it (reliability §8)."""
        return f"{mark}@{self.stamp}" if mark and self.stamp else mark

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def count(self, side: Side, entity: Entity, kind: str, by: int = 1) -> None:
        self.counts[(self.names[side], entity, kind)] += by

    def came_to(self, state: IntentState, side: Side, entity: Entity, kind: str, by: int = 1) -> None:
        """Of a write that was sent: only what the CRM took is told as done."""
        if state == "done":
            self.count(side, entity, kind, by)
        else:
            self.unwritten[(self.names[side], entity, kind, state)] += by

    def issue(
        self,
        kind: IssueKind,
        *,
        cause: str,
        entity: Entity,
        message: str,
        fix: str = "",
        link: Link | None = None,
        ref: Ref | None = None,
        field: str | None = None,
        fingerprint: str = "",
    ) -> Issue:
        """An issue, told as an event as well; the caller puts it into its batch."""
        ids: dict[Side, str | None] = {side: link.id_on(side) if link else None for side in SIDES}
        if ref is not None:
            ids[ref.side] = ref.id
        self.tell(
            Event(
                entity=entity,
                side=ref.side if ref else None,
                kind=kind,
                link_id=link.id if link else None,
                ids=ids,
                reason=message,
                cause=cause,
                fix=fix,
                fields=(field,) if field else (),
            )
        )
        return Issue(
            kind=kind,
            cause=cause,
            entity=entity,
            link_id=link.id if link else None,
            side=ref.side if ref else None,
            native_id=ref.id if ref else None,
            field=field,
            message=message,
            fix=fix,
            fingerprint=fingerprint,
        )


def same_id(native: str) -> str:
    """One form for all that an id may be written in: Salesforce has 15 characters that count and 18 that do not, and
    Dynamics does not mind case."""
    return native[:15] if len(native) in (15, 18) else native.strip("{}").lower()


def jsonable(value: Any) -> Any:
    """A column's value as the journal keeps it."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, NativeRef):
        return f"{value.entity}:{value.id}"
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def fingerprint(columns: Mapping[str, Any]) -> str:
    """What was refused: the same payload is not sent again unchanged."""
    text = json.dumps({name: jsonable(value) for name, value in columns.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def new_intent(hands: Hands, **words: Any) -> Intent:
    fence = hands.lease.fence if hands.lease else 0
    return Intent(id=new_id(), run_id=hands.run.id, fence=fence, **words)
