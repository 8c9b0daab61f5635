"""What goes wrong. Each seed has a few kinds of it (swarm): all at once would hide what two of them do together.

Where the sandbox knows a failure, its own rule is armed; the others are done here, at the seams between worker, network
and CRM.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.sandbox.faults import Armed
from crmbridge.sandbox.sandbox import Sandbox

_WRITES: Final = r"(?s)\r\n(PATCH|POST|DELETE) /"

# kind -> rules of the sandbox, without their rate
RULES: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "429": ({"fault": "throttled", "retry_after": 20},),
    "403 limit": ({"fault": "quota_exhausted"},),
    "503": ({"fault": "unavailable"},),
    "504": ({"fault": "status", "status": 504},),
    "maintenance": ({"fault": "maintenance"},),
    "reset before commit": ({"fault": "connection_lost"},),
    "reset after commit": ({"fault": "answer_lost"},),
    "timeout before commit": ({"fault": "timeout_before_commit"},),
    "timeout after commit": ({"fault": "timeout_after_commit"},),
    "slow answer": ({"fault": "slow", "seconds": 300},),
    "slow commit": ({"fault": "slow", "seconds": 300, "when": "before_commit"},),
    "truncated body": ({"fault": "connection_reset"}, {"fault": "half_page"}),
    "token expired": ({"fault": "expired_token"},),
    "session revoked": ({"fault": "revoked_session"},),
    "row lock": ({"fault": "row_lock"},),
    "delta expired": ({"fault": "expired_delta"},),
    "short page": ({"fault": "short_page"},),
    "page twice": ({"fault": "duplicate_page"},),
    "validation rule": (
        {"crm": "salesforce", "fault": "refused", "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "path_regex": "sobject"},
        {"crm": "dynamics", "fault": "refused", "code": "0x80040265", "body_regex": _WRITES},
    ),
    "required field": (  # of a record that is made
        {"crm": "salesforce", "fault": "refused", "code": "REQUIRED_FIELD_MISSING", "path_regex": "sobjects$"},
    ),
    "picklist changed": (
        {
            "crm": "salesforce",
            "fault": "refused",
            "code": "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "path_regex": "sobject",
            "body_regex": r'"(StageName|Status)"\s*:',  # the columns with a list
        },
    ),
}
_REFUSALS: Final = frozenset({"validation rule", "required field", "picklist changed"})
# What seldom has an occasion comes more often when it has one: a page behind another, a record that is made.
_SELDOM: Final[Mapping[str, float]] = {
    "page twice": 4,
    "validation rule": 2,
    "picklist changed": 8,
    "required field": 12,
}

# Done by the simulation itself.
OURS: Final = (
    "504 after commit",
    "lands late",
    "partial batch",
    "hint lost",
    "hint doubled",
    "all hints lost",
    "clock skew",
    "late commit, old stamp",
    "equal stamps",
    "edit between read and write",
    "edit in the same second",
    "life goes on meanwhile",
    "automation rewrites",
    "killed",
    "frozen past its lease",
    "commit unknown",
    "disk full",
)
KINDS: Final = (*RULES, *OURS)

# What keeps a cycle from its end comes in spells, a few kinds at a time, with quiet between them in which work is done:
# a company in which each call is in danger all day never has anything half done, since nothing is begun.
SPELLS: Final = frozenset(
    {
        *("429", "403 limit", "503", "504", "maintenance", "reset before commit", "reset after commit"),
        *("timeout before commit", "timeout after commit", "slow answer", "slow commit", "truncated body"),
        *("session revoked", "504 after commit", "lands late", "all hints lost"),
        *("killed", "frozen past its lease", "commit unknown", "disk full"),
    }
)
SPELL_KINDS_MAX: Final = 2
SPELL_TIMES: Final = 4  # so much oftener than its rate says the network and the CRMs are in trouble
# One spell of three is an outage: they are at most calls.
OUTAGE: Final = 0.33
OUTAGE_TIMES: Final = 12
_OF_A_WORKER: Final = frozenset({"killed", "frozen past its lease", "commit unknown", "disk full", "all hints lost"})


@dataclass(kw_only=True)
class Faults:
    """Those of one seed: which kinds, how often, and what became of it."""

    rates: Mapping[str, float]
    struck: Counter[str] = field(default_factory=Counter[str])
    on: bool = True
    spells: bool = False  # kinds of SPELLS come and go; without, they are always there
    now: frozenset[str] = frozenset()  # of those, the ones that are there
    times: float = SPELL_TIMES
    _armed: list[tuple[str, Armed]] = field(default_factory=list[tuple[str, Armed]])

    @classmethod
    def choose(cls, rng: random.Random, only: tuple[str, ...] | None = None) -> "Faults":
        """`only`: these kinds and no other, for a hunt."""
        chosen = [kind for kind in KINDS if rng.random() < 0.3] if only is None else list(only)
        rates = {kind: rng.choice((0.01, 0.02, 0.05) if only is None else (0.1,)) for kind in chosen}
        return cls(rates=rates, spells=only is None)

    def arm(self, sandbox: Sandbox) -> None:
        """What is there from the beginning on."""
        self._arm(sandbox, [kind for kind in self.rates if not self._comes_and_goes(kind)])

    def change(self, sandbox: Sandbox, rng: random.Random) -> bool:
        """A spell begins, or the one there is ends; is one there now?"""
        come = [kind for kind in self.rates if self._comes_and_goes(kind)]
        ended = [armed for kind, armed in self._armed if kind in self.now]
        for armed in ended:
            sandbox.faults.remove(armed.id)
        chosen = [] if self.now or not come else rng.sample(come, min(len(come), rng.randint(1, SPELL_KINDS_MAX)))
        waiting = [kind for kind in come if not self._has_struck(kind)]
        if chosen and waiting:  # some kind comes in each spell that has not struck yet
            chosen = list(dict.fromkeys([rng.choice(waiting), *chosen]))
        self.now = frozenset(chosen)
        self.times = OUTAGE_TIMES if rng.random() < OUTAGE else SPELL_TIMES
        self._arm(sandbox, chosen)
        return bool(self.now)

    def _has_struck(self, kind: str) -> bool:
        return self.struck[kind] > 0 or any(armed.fired for of, armed in self._armed if of == kind)

    def _comes_and_goes(self, kind: str) -> bool:
        return self.spells and kind in SPELLS

    def _times(self, kind: str) -> float:
        if not self._comes_and_goes(kind) or kind in _OF_A_WORKER:
            return 1.0
        return self.times * (3 if kind == "429" else 1)  # what ends all calls for a while leaves few to strike at

    def _arm(self, sandbox: Sandbox, kinds: Iterable[str]) -> None:
        for kind in kinds:
            for rule in RULES.get(kind, ()):
                often = min(1.0, self.rates[kind] * _SELDOM.get(kind, 1) * self._times(kind))
                given = dict(rule) | {"rate": often if kind not in _REFUSALS else often / 2}
                if kind in _REFUSALS and rule["crm"] == "salesforce":
                    given["method"] = "POST"
                self._armed.append((kind, sandbox.faults.add(given)))

    def strikes(self, kind: str, rng: random.Random, times: float = 1.0) -> bool:
        """Does it happen now? It is counted if so."""
        rate = self.rates.get(kind, 0.0)
        if not self.on or rate == 0.0 or (self._comes_and_goes(kind) and kind not in self.now):
            return False
        if rng.random() >= rate * times * self._times(kind):
            return False
        self.struck[kind] += 1
        return True

    def end(self, sandbox: Sandbox) -> None:
        self.on = False
        for kind, armed in self._armed:
            self.struck[kind] += armed.fired
        sandbox.faults.clear()
        sandbox.crms["salesforce"].release()  # pyright: ignore[reportAttributeAccessIssue]
