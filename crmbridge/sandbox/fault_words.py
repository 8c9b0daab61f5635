"""The words of a fault scenario: each kind of failure by its name, as the action and the place that it stands for.

salesforce-api §9.2-9.3 and §2.1, dataverse-api §3.3 and §10.3-10.4 say what each CRM answers; `fault_replies.py` has
the answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TIMEOUT_SECONDS: Final = 60.0  # how long a server keeps silent before it hangs up
LOCK_SECONDS: Final = 1.0  # of data time
RETRY_AFTER_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    does: str
    action: Mapping[str, Any]  # of Salesforce, or of both
    dynamics: Mapping[str, Any] | None = None  # where it differs; an empty one: there is no such failure
    settings: frozenset[str] = frozenset()  # what a rule may say beside the word
    where: Mapping[str, str] = field(default_factory=dict[str, str])  # only these requests, unless the rule says which


def _status(status: int, does: str, **more: Any) -> Word:
    settings = frozenset({"code", "message", "retry_after"})
    return Word(does=does, action={"name": "status", "status": status, **more}, settings=settings)


WORDS: Final[Mapping[str, Word]] = {
    "throttled": _status(429, "too many requests, with Retry-After", retry_after=RETRY_AFTER_SECONDS),
    "unavailable": _status(503, "service unavailable"),
    "server_error": _status(500, "an unexpected error of the server"),
    "rerouted": _status(420, "the edge sends away for a moment; Salesforce asks to try again (salesforce-api §9.3)"),
    "status": Word(
        does="any status from 300 on",
        action={"name": "status"},
        settings=frozenset({"status", "code", "message", "retry_after"}),
    ),
    "refused": Word(
        does="the CRM's refusal with this code",
        action={"name": "refuse"},
        settings=frozenset({"code", "message", "status", "fields"}),
    ),
    "timeout_before_commit": Word(
        does="no answer at all, and nothing was done",
        action={"name": "hang_before_commit", "seconds": TIMEOUT_SECONDS},
        settings=frozenset({"seconds"}),
    ),
    "timeout_after_commit": Word(
        does="no answer at all, but it was done",
        action={"name": "hang_after_commit", "seconds": TIMEOUT_SECONDS},
        settings=frozenset({"seconds"}),
    ),
    "connection_lost": Word(does="the connection closes, and nothing was done", action={"name": "drop_before_commit"}),
    "answer_lost": Word(does="the connection closes, but it was done", action={"name": "drop_after_commit"}),
    "connection_reset": Word(does="the connection is reset in the middle of the body", action={"name": "reset"}),
    "half_page": Word(does="half of the body, in an answer that seems whole", action={"name": "half_page"}),
    "short_page": Word(does="a page of half the size; its link goes on where it ends", action={"name": "short_page"}),
    "duplicate_page": Word(does="the page before once more, then as usual", action={"name": "duplicate_page"}),
    "expired_token": Word(does="this access token is dead from now on", action={"name": "expire_token"}),
    "revoked_session": Word(does="all of this user's tokens are dead from now on", action={"name": "revoke_session"}),
    "row_lock": Word(
        does="somebody holds the rows that the request names (on Dynamics: a deadlock)",
        action={"name": "lock_rows", "seconds": LOCK_SECONDS},
        dynamics={"name": "refuse", "code": "0x80044150", "message": "Generic SQL error: deadlock victim."},
        settings=frozenset({"seconds"}),
    ),
    "slow": Word(does="the answer takes so long", action={"name": "slow"}, settings=frozenset({"seconds", "when"})),
    "quota_exhausted": Word(
        does="no requests left: of the day, or of the five minutes",
        action={"name": "status", "status": 403},
        dynamics={"name": "status", "status": 429, "retry_after": 300},
        settings=frozenset({"retry_after"}),
    ),
    "maintenance": Word(
        does="an HTML page with 503", action={"name": "html"}, settings=frozenset({"status", "retry_after"})
    ),
    "expired_delta": Word(
        does="the delta link is too old; on Salesforce, the query locator is",
        action={"name": "refuse", "code": "INVALID_QUERY_LOCATOR", "message": "invalid query locator"},
        dynamics={
            "name": "refuse",
            "code": "0x80044352",
            "message": "Version stamp associated with the client has expired.",  # text (unverified)
        },
        where={"salesforce": r"/query(All)?/0", "dynamics": r"\$deltatoken="},
    ),
}
