"""What goes wrong. Each seed has a few kinds of it (swarm): all at once would hide what two of them do together.

Where the sandbox knows a failure, its own rule is armed; the others are done here, at the seams between worker, network
and CRM.
"""

import random
from collections import Counter
from collections.abc import Mapping
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
    "required field": (
        {"crm": "salesforce", "fault": "refused", "code": "REQUIRED_FIELD_MISSING", "path_regex": "sobject"},
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
# What seldom has an occasion comes more often when it has one: a page behind another, a stage that is written.
_SELDOM: Final[Mapping[str, float]] = {"page twice": 4, "picklist changed": 8}

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


@dataclass(kw_only=True)
class Faults:
    """Those of one seed: which kinds, how often, and what became of it."""

    rates: Mapping[str, float]
    struck: Counter[str] = field(default_factory=Counter[str])
    on: bool = True
    _armed: list[tuple[str, Armed]] = field(default_factory=list[tuple[str, Armed]])

    @classmethod
    def choose(cls, rng: random.Random, only: tuple[str, ...] | None = None) -> "Faults":
        """`only`: these kinds and no other, for a hunt."""
        chosen = [kind for kind in KINDS if rng.random() < 0.3] if only is None else list(only)
        return cls(rates={kind: rng.choice((0.01, 0.02, 0.05) if only is None else (0.1,)) for kind in chosen})

    def arm(self, sandbox: Sandbox) -> None:
        for kind, rate in self.rates.items():
            for rule in RULES.get(kind, ()):
                often = rate * _SELDOM.get(kind, 1)
                given = dict(rule) | {"rate": often if kind not in _REFUSALS else often / 2}
                if kind in _REFUSALS and rule["crm"] == "salesforce":
                    given["method"] = "POST"
                self._armed.append((kind, sandbox.faults.add(given)))

    def strikes(self, kind: str, rng: random.Random, times: float = 1.0) -> bool:
        """Does it happen now? It is counted if so."""
        rate = self.rates.get(kind, 0.0)
        if not self.on or rate == 0.0 or rng.random() >= rate * times:
            return False
        self.struck[kind] += 1
        return True

    def end(self, sandbox: Sandbox) -> None:
        self.on = False
        for kind, armed in self._armed:
            self.struck[kind] += armed.fired
        sandbox.faults.clear()
        sandbox.crms["salesforce"].release()  # pyright: ignore[reportAttributeAccessIssue]
