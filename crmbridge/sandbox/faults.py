"""What goes wrong, and when: rules set through the control port, and the decision for one request.

Pure: a rule looks at the request's facts and at how often it has matched; chance comes in as an argument. What a CRM
answers in each case is in `fault_replies.py`; closing connections and waiting is the adapter's work.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, cast, get_args

from crmbridge.sandbox.core import Request
from crmbridge.sandbox.fault_words import WORDS, Word

Service = Literal["salesforce", "dynamics", "identity"]
ActionName = Literal[
    "status", "html", "drop_before_commit", "drop_after_commit", "truncate", "slow", "refuse", "hang_before_commit",
    "hang_after_commit", "reset", "half_page", "short_page", "duplicate_page", "expire_token", "revoke_session",
    "lock_rows",
]  # fmt: skip
Moment = Literal["before_commit", "after_commit"]

STATUS_MIN, STATUS_MAX = 300, 599
SECONDS_MAX = 600.0
CODE_PATTERN = re.compile(r"\w[\w.:-]{0,99}")  # a code goes into headers-free JSON and XML bodies as it is


class BadRule(ValueError):
    """A fault rule that cannot be understood; the text says which key and what it may be."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key or message.partition(":")[0]  # where it stands in the rule: `times`, `action.status`


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    name: ActionName
    status: int = 0  # status, html, refuse: 0 = what the CRM uses for this error
    code: str = ""  # status, refuse: the CRM's own error code
    message: str = ""
    fields: tuple[str, ...] = ()  # refuse on Salesforce
    retry_after: int | None = None  # seconds
    seconds: float = 0.0  # slow, hang; lock_rows: of data time
    when: Moment = "after_commit"  # slow: before or after the change is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """`length` matching requests in a row, and again with every `every`th; the first after `skip`."""

    length: int
    every: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    action: Action
    actions: Mapping[str, Action] = field(default_factory=dict[str, Action])  # by service, where a word means several
    where: Mapping[str, re.Pattern[str]] = field(
        default_factory=dict[str, re.Pattern[str]]
    )  # by service, as path_regex
    crm: Service | None = None
    table: str | None = None
    kind: str | None = None
    method: str | None = None
    path_regex: re.Pattern[str] | None = None  # searched in the decoded path and query
    body_regex: re.Pattern[bytes] | None = None  # finds one operation inside a batch, one lead in an envelope
    times: int | None = 1  # None: until deleted
    skip: int = 0  # so many matching requests pass first
    probability: float = 1.0
    at: frozenset[int] = frozenset()  # only the matching requests of these numbers, counted from 1
    burst: Burst | None = None

    def action_on(self, service: str) -> Action:
        return self.actions.get(service, self.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a rule may look at; `table` and `kind` are spelled as in the ledger of calls."""

    service: Service
    table: str
    kind: str
    request: Request
    repeatable: bool = False  # asks for a page of which the one before is remembered


@dataclass(slots=True, kw_only=True)
class Armed:
    """A rule with its history."""

    id: int
    rule: Rule
    source: Mapping[str, Any]  # as it was given, for GET /faults
    seen: int = 0
    fired: int = 0


@dataclass(slots=True)
class Faults:
    armed: list[Armed] = field(default_factory=list[Armed])
    rng: random.Random | None = None  # of a scenario with a seed; else the caller's chance
    _next_id: int = 1

    @property
    def remember_pages(self) -> bool:
        return any(entry.rule.action.name == "duplicate_page" for entry in self.armed)

    def add(self, source: Mapping[str, Any]) -> Armed:
        entry = Armed(id=self._next_id, rule=parse_rule(source), source=source)
        self._next_id += 1
        self.armed.append(entry)
        return entry

    def remove(self, entry_id: int) -> bool:
        before = len(self.armed)
        self.armed = [entry for entry in self.armed if entry.id != entry_id]
        return len(self.armed) < before

    def clear(self) -> None:
        self.armed.clear()

    def decide(self, facts: Facts, rng: random.Random) -> Action | None:
        """The first rule that fires decides; rules behind it do not see the request."""
        for entry in self.armed:
            rule = entry.rule
            if not matches(rule, facts):
                continue
            entry.seen += 1
            if entry.seen <= rule.skip or (rule.times is not None and entry.fired >= rule.times):
                continue
            if rule.at and entry.seen not in rule.at:
                continue
            if rule.burst is not None and (entry.seen - rule.skip - 1) % rule.burst.every >= rule.burst.length:
                continue
            if rule.probability < 1.0 and (self.rng or rng).random() >= rule.probability:
                continue
            entry.fired += 1
            return rule.action_on(facts.service)
        return None


def matches(rule: Rule, facts: Facts) -> bool:
    request = facts.request
    if rule.crm is not None and rule.crm != facts.service:
        return False
    if rule.table is not None and rule.table.casefold() != facts.table.casefold():
        return False
    if rule.kind is not None and rule.kind.casefold() != facts.kind.casefold():
        return False
    if rule.method is not None and rule.method != request.method:
        return False
    if rule.path_regex is not None and not rule.path_regex.search(decoded_target(request)):
        return False
    if (place := rule.where.get(facts.service)) is not None and not place.search(decoded_target(request)):
        return False
    if not suits(rule.action_on(facts.service), facts):
        return False
    return rule.body_regex is None or rule.body_regex.search(request.body) is not None


NATIVE_ID = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?(?![0-9A-Za-z])")
PAGE_PATH = re.compile(r"/query(All)?(/0|\?q=)|/api/data/v[89]\.\d/\w+(\?|$)")


def suits(action: Action, facts: Facts) -> bool:
    """Whether such a failure can befall such a request at all."""
    request = facts.request
    match action.name:
        case "duplicate_page":
            return facts.repeatable
        case "short_page":
            return request.method == "GET" and PAGE_PATH.search(decoded_target(request)) is not None
        case "expire_token" | "revoke_session":
            return facts.service != "identity" and bool(token_of(request))
        case "lock_rows":
            return facts.service == "salesforce" and request.method != "GET" and bool(named_ids(request))
        case _:
            return True


SESSION_ID = re.compile(rb"<(?:\w+:)?sessionId>\s*([^<\s]+)")


def token_of(request: Request) -> str:
    """The access token that a request comes with; SOAP carries it in the envelope, Bulk 1.0 in a header of its own."""
    token = request.header("authorization").partition(" ")[2].strip() or request.header("x-sfdc-session").strip()
    if not token and (found := SESSION_ID.search(request.body)):
        token = found[1].decode("latin-1")
    return token


def named_ids(request: Request) -> list[str]:
    """Every text in path and body that looks like the id of a Salesforce row."""
    text = request.plain_path.encode() + b" " + request.body
    return list(
        dict.fromkeys(found.decode() for found in NATIVE_ID.findall(text) if found[:1].isdigit() or found[:1] == b"a")
    )


def decoded_target(request: Request) -> str:
    query = " ".join(f"{name}={value}" for name, value in request.options().items())
    return f"{request.plain_path}?{query}" if query else request.plain_path


# --- reading rules -------------------------------------------------------------------------------------------------

RULE_KEYS = {
    "crm", "table", "kind", "method", "path_regex", "body_regex", "times", "skip", "probability", "action", "fault",
    "rate", "at", "burst",
}  # fmt: skip
UNTIL_DELETED = ("rate", "at", "burst")  # a rule with one of these fires without end, unless `times` says when
ACTION_KEYS: dict[ActionName, set[str]] = {
    "status": {"status", "code", "message", "retry_after"},
    "html": {"status", "retry_after"},
    "drop_before_commit": set(),
    "drop_after_commit": set(),
    "truncate": set(),
    "slow": {"seconds", "when"},
    "refuse": {"code", "message", "status", "fields"},
    "hang_before_commit": {"seconds"},
    "hang_after_commit": {"seconds"},
    "reset": set(),
    "half_page": set(),
    "short_page": set(),
    "duplicate_page": set(),
    "expire_token": set(),
    "revoke_session": set(),
    "lock_rows": {"seconds"},
}


def parse_rule(source: Mapping[str, Any]) -> Rule:
    """`{"crm": "dynamics", "table": "lead", "fault": "throttled", "rate": 0.05}`, or with an action of one's own:
    `{"times": 2, "action": {"name": "status", "status": 429}}`."""
    word = _word(source)
    settings = word.settings if word else frozenset[str]()
    unknown = sorted(set(map(str, source)) - RULE_KEYS - settings)
    if unknown:
        allowed = sorted(RULE_KEYS | settings)
        raise BadRule(f"unknown key {unknown[0]!r}; a rule may have: {', '.join(allowed)}", unknown[0])
    if "action" not in source and word is None:
        raise BadRule(f"'action' is missing, and 'fault' too; a fault is one of: {', '.join(WORDS)}", "fault")
    if "action" in source and word is not None:
        raise BadRule("action: 'fault' says it already; give one of the two")
    crm = _text(source, "crm")
    if crm is not None and crm not in get_args(Service):
        raise BadRule(f"crm: {crm!r} is not one of {', '.join(get_args(Service))}")
    times = source.get("times", None if any(key in source for key in UNTIL_DELETED) else 1)
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise BadRule("times: a whole number from 1 on, or null for every time")
    skip = source.get("skip", 0)
    if not isinstance(skip, int) or isinstance(skip, bool) or skip < 0:
        raise BadRule("skip: a whole number from 0 on")
    method = _text(source, "method")
    body = _pattern(source, "body_regex")
    if "rate" in source and "probability" in source:
        raise BadRule("rate: 'probability' is another word for it; give one of the two")
    chance = "rate" if "rate" in source else "probability"
    given = {key: source[key] for key in settings & set(source)}
    mine = _spoken(word, word.action, given) if word else parse_action(source["action"])
    actions = {}
    if word and word.dynamics is not None:
        actions["dynamics"] = _spoken(word, word.dynamics, given)
    return Rule(
        action=mine,
        actions=actions,
        where={service: re.compile(text) for service, text in word.where.items()} if word else {},
        crm=cast("Service | None", crm),
        table=_text(source, "table"),
        kind=_text(source, "kind"),
        method=method.upper() if method else None,
        path_regex=_pattern(source, "path_regex"),
        body_regex=re.compile(body.pattern.encode()) if body else None,
        times=times,
        skip=skip,
        probability=_number(source, chance, 1.0, low=0.0, high=1.0),
        at=_numbers(source),
        burst=_burst(source),
    )


def _word(source: Mapping[str, Any]) -> Word | None:
    name = source.get("fault")
    if name is None:
        return None
    if not isinstance(name, str) or name not in WORDS:
        near = get_close_matches(str(name), WORDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(WORDS)}"
        raise BadRule(f"fault: {name!r} is unknown{hint}")
    return WORDS[name]


def _spoken(word: Word, action: Mapping[str, Any], given: Mapping[str, Any]) -> Action:
    """The word's action with what the rule says beside it, as far as that action takes it."""
    allowed = ACTION_KEYS[action["name"]]
    try:
        return parse_action({**action, **{key: value for key, value in given.items() if key in allowed}})
    except BadRule as problem:
        raise BadRule(str(problem).removeprefix("action."), problem.key.removeprefix("action.")) from None


def _numbers(source: Mapping[str, Any]) -> frozenset[int]:
    value = source.get("at", [])
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in numbers):
        raise BadRule("at: the number of a matching request from 1 on, or a list of them")
    return frozenset(numbers)


def _burst(source: Mapping[str, Any]) -> Burst | None:
    value = source.get("burst")
    if value is None:
        return None
    numbers = [value.get("length"), value.get("every")] if isinstance(value, dict) and len(value) == 2 else []
    whole = [each for each in numbers if isinstance(each, int) and not isinstance(each, bool) and each > 0]
    if len(whole) != 2 or whole[0] > whole[1]:
        raise BadRule("burst: {length: 10, every: 200} is expected: so many in a row, of so many")
    return Burst(length=whole[0], every=whole[1])


def parse_action(source: Any) -> Action:
    """Either the action's bare name, or an object with `name` and its settings."""
    settings: Any = {"name": source} if isinstance(source, str) else source
    if not isinstance(settings, dict):
        raise BadRule("action: a name, or an object with 'name' and its settings")
    name = settings.get("name")
    if name not in ACTION_KEYS:
        raise BadRule(f"action.name: {name!r} is not one of: {', '.join(ACTION_KEYS)}")
    unknown = sorted(set(settings) - ACTION_KEYS[name] - {"name"})
    if unknown:
        allowed = ", ".join(sorted(ACTION_KEYS[name])) or "nothing"
        raise BadRule(f"action.{unknown[0]}: not a setting of {name!r}, which takes: {allowed}")
    status = int(_number(settings, "status", 0, low=STATUS_MIN, high=STATUS_MAX))
    if name == "status" and not status:
        raise BadRule("action.status: missing; for instance 429, 503, 500 or 401")
    code = _text(settings, "code") or ""
    if name == "refuse" and not code:
        raise BadRule("action.code: missing; the CRM's own code, as FIELD_CUSTOM_VALIDATION_EXCEPTION or 0x80040265")
    if code and not CODE_PATTERN.fullmatch(code):
        raise BadRule("action.code: letters, digits and _ . : - only")
    if name in ("slow", "hang_before_commit", "hang_after_commit", "lock_rows") and "seconds" not in settings:
        raise BadRule("action.seconds: missing")
    when = settings.get("when", "after_commit")
    if when not in get_args(Moment):
        raise BadRule(f"action.when: {when!r} is not one of {', '.join(get_args(Moment))}")
    fields = settings.get("fields", ())
    if isinstance(fields, str) or not isinstance(fields, Sequence):
        raise BadRule("action.fields: a list of field names")
    retry_after = settings.get("retry_after")
    return Action(
        name=name,
        status=status,
        code=code,
        message=_text(settings, "message") or "",
        fields=tuple(str(name) for name in fields),
        retry_after=None if retry_after is None else int(_number(settings, "retry_after", 0, high=86_400)),
        seconds=_number(settings, "seconds", 0.0, high=SECONDS_MAX),
        when=when,
    )


def _text(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRule(f"{key}: a text is expected")
    return value


def _number(source: Mapping[str, Any], key: str, default: float, *, low: float = 0.0, high: float) -> float:
    if key not in source:
        return default
    value = source[key]
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise BadRule(f"{key}: a number from {low:g} to {high:g} is expected")
    return value


def _pattern(source: Mapping[str, Any], key: str) -> re.Pattern[str] | None:
    text = _text(source, key)
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as problem:
        raise BadRule(f"{key}: not a regular expression: {problem}") from None
