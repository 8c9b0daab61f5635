"""What is out of order, and who is to be told about it: once when it begins, again after a while, and when it is over.

Pure: figures and rules go in, findings come out; what was known goes in as well, and changes come out. Messages hold
names of connections and kinds of records, codes and counts, never a value of a record.

One outage is one alert. Where a CRM is left alone, tables are late and no cycle ends: such consequences are named by
the alert about their cause, and are told on their own only to a channel that does not hear of the cause. Once it is
over they count from then on, so that what is caught up with is not told as trouble.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from crmbridge.budget import SHARES as DAY_SHARES

Kind = Literal[
    "lag", "silence", "errors", "budget", "guard", "breaker", "blocked", "store", "broker", "other_writer",
    "configuration", "paused",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Event = Literal["raised", "again", "over", "test"]

# What a rule without `over` means.
SPANS: Final[Mapping[Kind, timedelta]] = {
    "lag": timedelta(minutes=30),
    "silence": timedelta(hours=1),
    "breaker": timedelta(minutes=5),
    "blocked": timedelta(minutes=30),
    "store": timedelta(minutes=5),
    "broker": timedelta(minutes=5),
    "paused": timedelta(days=1),
    "configuration": timedelta(),
    "guard": timedelta(),
    "other_writer": timedelta(),
}
SHARES: Final[Mapping[Kind, float]] = {"errors": 0.10, "budget": 0.80}
REPEAT: Final = timedelta(hours=4)
WRITES_MIN: Final = 20  # fewer say nothing about a share
PAGE: Final = "docs/howto/on-call/alerts.md"
# Of what follows from them.
CAUSES: Final[tuple[Kind, ...]] = ("store", "broker", "breaker", "blocked", "budget", "other_writer")
CONSEQUENCES: Final[tuple[Kind, ...]] = ("lag", "silence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    kind: Kind
    span: timedelta = timedelta()  # longer than this
    share: float = 0.0  # more than this part
    to: tuple[str, ...] = ()  # names of channels; none: all


DEFAULT: Final = tuple(Rule(kind=kind, span=SPANS.get(kind, timedelta()), share=SHARES.get(kind, 0)) for kind in KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A CRM asked to be left alone."""

    span: timedelta  # without a cycle that came to its end meanwhile
    left: timedelta  # until it may be called again; it may say so once more then
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """How things stand. Times are how long something has been so."""

    now: datetime
    lag: Mapping[str, timedelta] = field(default_factory=dict)  # table that is due -> since it could have been read
    silence: timedelta | None = None  # since a cycle came to its end, while one was due; None: nothing was due
    writes: int = 0  # tried in the last hour
    refused: int = 0  # records that a CRM refused in it
    budget: Mapping[str, float] = field(default_factory=dict)  # connection -> part of the day's calls
    guard: Sequence[str] = ()  # why the guard stopped the workers' last cycle
    breakers: Mapping[str, timedelta] = field(default_factory=dict)  # connection left alone -> for how long yet seen so
    blocked: Mapping[str, Away] = field(default_factory=dict)  # by connection
    store: timedelta | None = None  # it does not serve, for so long; then there are no other facts
    broker: timedelta | None = None  # no worker reaches it, for so long
    calm: timedelta | None = None  # since the last outage that was told was over; None: there was none
    other_writer: int = 0  # records that somebody else changed under our user's name
    configuration: int = 0  # problems of files that are not in force
    paused: Mapping[str, timedelta] = field(default_factory=dict)  # what, in words -> since when


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    key: str  # what is one alarm while it lasts
    kind: Kind
    message: str
    to: tuple[str, ...] = ()
    under: str = ""  # key of what it follows from, which is told instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """As the store keeps it."""

    key: str
    kind: str
    message: str
    since: datetime
    seen_at: datetime
    told_at: datetime
    over_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An alarm to be stored; with an event it is told."""

    alarm: Alarm
    event: Event | None = None
    to: tuple[str, ...] = ()


FIXES: Final[Mapping[Kind, str]] = {
    "lag": "crmbridge status",
    "silence": "crmbridge status; crmbridge runs",
    "errors": "crmbridge issues",
    "budget": "crmbridge status",
    "guard": "crmbridge plan",
    "breaker": "crmbridge status",
    "blocked": "crmbridge limits",
    "store": "crmbridge healthy",
    "broker": "crmbridge check --live",
    "other_writer": "crmbridge issues --cause other_writer",
    "configuration": "crmbridge check",
    "paused": "crmbridge status; crmbridge resume",
}


def judge(rules: Sequence[Rule], facts: Facts) -> list[Finding]:
    """What holds now, each thing once; where several rules meet it, all their channels hear of it."""
    found: dict[str, Finding] = {}
    for rule in rules:
        for subject, message in _meets(rule, facts):
            key = f"{rule.kind}:{subject}" if subject else rule.kind
            known = found.get(key)
            to = rule.to if known is None else _both(known.to, rule.to)
            found[key] = Finding(key=key, kind=rule.kind, message=message, to=to)
    return _folded(list(found.values()), facts)


def _folded(found: list[Finding], facts: Facts) -> list[Finding]:
    """Each consequence under its cause, and the cause with what follows from it."""
    found = _one_lag(found, facts)
    direct = {one.key: _cause(one, found, facts) for one in found}
    roots = {one.key: _root(one.key, direct) for one in found}

    def named(cause: Finding) -> str:
        parts = [one.message for one in found if roots[one.key] == cause.key and not one.under]
        return "; ".join([cause.message, *parts])

    return [replace(one, under=roots[one.key], message=named(one)) for one in found]


def _root(key: str, direct: Mapping[str, str]) -> str:
    """What it follows from in the end; blank: from nothing else."""
    last = ""
    while (key := direct[key]) != "":
        last = key
    return last


def _one_lag(found: list[Finding], facts: Facts) -> list[Finding]:
    """Tables that are late since no cycle comes to its end are one thing, not one each."""
    late = [one for one in found if one.kind == "lag"]
    shortest = min((_since_calm(facts.lag[one.key.partition(":")[2]], facts) for one in late), default=timedelta())
    if len(late) < 2 or facts.silence is None or facts.silence < shortest:
        return found
    to = late[0].to
    for one in late[1:]:
        to = _both(to, one.to)
    message = f"{len(late)} tables were not read for {words(shortest)} or more, since no cycle comes to its end"
    whole = Finding(key="lag", kind="lag", message=message, to=to)
    return [*(replace(one, under="lag") if one in late else one for one in found), whole]


def _cause(one: Finding, found: Sequence[Finding], facts: Facts) -> str:
    """Key of what it follows from, if all who would hear of it hear of that."""
    if one.under:
        return one.under
    subject = one.key.partition(":")[2]
    for other in sorted(found, key=lambda finding: [*CAUSES, *KINDS].index(finding.kind)):
        part = facts.budget.get(other.key.partition(":")[2], 0.0) if other.kind == "budget" else 1.0
        match one.kind:
            case "lag" | "silence":
                follows = other.kind in CAUSES and part >= DAY_SHARES["bulk"]
                follows = follows or (one.kind == "lag" and other.kind == "silence")
            case "blocked":
                same = subject == other.key.partition(":")[2]
                follows = same and other.kind in ("breaker", "budget") and part >= DAY_SHARES["life-cycle"]
            case _:
                follows = False
        if follows and _hears(other.to, one.to):
            return other.key
    return ""


def _hears(all_of: tuple[str, ...], them: tuple[str, ...]) -> bool:
    return not all_of or (bool(them) and set(them) <= set(all_of))


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other))) if one and other else ()


def _meets(rule: Rule, facts: Facts) -> list[tuple[str, str]]:
    """(what about, in words)"""
    match rule.kind:
        case "lag":
            late = [(name, span) for name, span in facts.lag.items() if _since_calm(span, facts) > rule.span]
            return [(name, f"{name} was last read {words(span)} after it was due") for name, span in late]
        case "silence":
            if facts.silence is None or _since_calm(facts.silence, facts) <= rule.span:
                return []
            return [("", f"no cycle has come to its end for {words(facts.silence)}, though one was due")]
        case "errors":
            if facts.writes < WRITES_MIN or facts.refused <= rule.share * facts.writes:
                return []
            return [("", f"{facts.refused} records were refused in the last hour, of {facts.writes} writes")]
        case "budget":
            over = [(name, part) for name, part in facts.budget.items() if part > rule.share]
            return [(name, f"{part:.0%} of the day's calls to {name} are used") for name, part in over]
        case "guard":
            return [("", f"the guard stopped the last cycle: {'; '.join(facts.guard)}")] if facts.guard else []
        case "breaker":
            long = [(name, span) for name, span in facts.breakers.items() if span > rule.span]
            return [(name, f"{name} is in trouble and is left alone, for {words(span)} by now") for name, span in long]
        case "blocked":
            away = [(name, one) for name, one in facts.blocked.items() if one.span + one.left > rule.span]
            return [(name, _away_words(name, one)) for name, one in away]
        case "store":
            if facts.store is None or facts.store <= rule.span:
                return []
            return [("", f"the store does not serve, for {words(facts.store)} by now: nothing is synced")]
        case "broker":
            if facts.broker is None or facts.broker <= rule.span:
                return []
            return [("", f"the broker does not answer, for {words(facts.broker)} by now: workers begin no cycle")]
        case "other_writer":
            if not facts.other_writer:
                return []
            told = (
                f"{facts.other_writer} records changed under crmbridge's own user, and this store knows nothing of it"
            )
            return [("", f"{told}: nothing is written")]
        case "configuration":
            if not facts.configuration:
                return []
            what = "1 problem" if facts.configuration == 1 else f"{facts.configuration} problems"
            return [("", f"the files have {what}; workers go on by the last good ones")]
        case "paused":
            old = [(what, span) for what, span in facts.paused.items() if span > rule.span]
            return [(what, f"{what} is paused for {words(span)}") for what, span in old]


def _since_calm(span: timedelta, facts: Facts) -> timedelta:
    """What an outage has held up counts from its end on."""
    return span if facts.calm is None else min(span, facts.calm)


def _away_words(name: str, one: Away) -> str:
    told = f"{name} asks to be left alone ({one.why})"
    so_far = f", for {words(one.span)} by now" if one.span >= timedelta(minutes=1) else ""
    ahead = f", and for {words(one.left)} more" if one.left >= timedelta(minutes=1) else ""
    return f"{told}{so_far}{ahead}"


def decide(found: Sequence[Finding], known: Sequence[Alarm], now: datetime, repeat: timedelta) -> list[Change]:
    """What to store and what to tell. `known`: alarms that are not over."""
    changes: list[Change] = []
    before = {alarm.key: alarm for alarm in known}
    ending = any(old.kind in CAUSES for key, old in before.items() if key not in {one.key for one in found})
    for one in found:
        old = before.pop(one.key, None)
        if ending and old is None and one.kind in CONSEQUENCES:
            continue  # that was an outage's; by the next look it counts anew
        if one.under:  # its cause is told; what was told before that came up stays as it is
            changes += [] if old is None else [Change(alarm=replace(old, seen_at=now))]
        elif old is None:
            alarm = Alarm(key=one.key, kind=one.kind, message=one.message, since=now, seen_at=now, told_at=now)
            changes.append(Change(alarm=alarm, event="raised", to=one.to))
        elif now - old.told_at >= repeat:
            alarm = replace(old, message=one.message, seen_at=now, told_at=now)
            changes.append(Change(alarm=alarm, event="again", to=one.to))
        else:
            changes.append(Change(alarm=replace(old, message=one.message, seen_at=now)))
    for old in before.values():
        changes.append(Change(alarm=replace(old, over_at=now, told_at=now), event="over"))
    return changes


def body(change: Change, now: datetime, installation: str) -> dict[str, str]:
    """What a channel is given."""
    alarm = change.alarm
    fix = FIXES.get(alarm.kind, "crmbridge status")  # type: ignore[call-overload]
    return {
        "event": change.event or "",
        "alarm": alarm.key,
        "kind": alarm.kind,
        "message": alarm.message,
        "since": alarm.since.isoformat(timespec="seconds"),
        "at": now.isoformat(timespec="seconds"),
        "installation": installation,
        "what_to_do": fix,
        "page": f"{PAGE}#{alarm.kind}",
    }


def words(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    for size, unit in ((1440, "days"), (60, "hours")):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit}"
    return f"{minutes} minute{'s' if minutes > 1 else ''}" if minutes else f"{span.total_seconds():.0f} seconds"
