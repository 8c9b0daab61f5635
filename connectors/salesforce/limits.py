"""What Salesforce's answers say about its limits: the day's calls, the wish to be left alone, trouble of its own.

salesforce-api §1.2 (logins), §3.6 (`Sforce-Limit-Info`, and no Retry-After), §6.3 (the SOAP header), §9.2
(REQUEST_LIMIT_EXCEEDED).
"""

import re
from typing import Final

import msgspec

from connectors.gate import Told
from connectors.http import Answer
from connectors.salesforce.protocol import answer_meaning

_usage: Final = re.compile(r"\bapi-usage=(\d{1,9})/(\d{1,9})")
_soap_usage: Final = re.compile(rb"<current>(\d{1,9})</current>\s*<limit>(\d{1,9})</limit>\s*<type>API REQUESTS</type>")
_soap_code: Final = re.compile(rb"<(?:\w+:)?exceptionCode>\s*(?:\w+:)?([A-Z_]{3,60})\s*<")
_soap_text: Final = re.compile(rb"<(?:\w+:)?exceptionMessage>([^<]{0,300})<")
_soap_trouble: Final = frozenset({"UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE"})
_body_bytes_max: Final = 65_536  # the codes stand at the beginning

# Salesforce sends no Retry-After (§3.6): the day is a rolling one, so something is free again before long; concurrent
# requests end within seconds.
daily_wait_seconds: Final = 900.0
concurrent_wait_seconds: Final = 30.0
unasked_wait_seconds: Final = 30.0  # a 429 without Retry-After, of a gateway in between
# §1.2: a user may log in 3,600 times an hour; for how long it is refused then is (unverified). Asked once a minute we
# are none of those who use them up.
login_rate_wait_seconds: Final = 60.0


class _Refusal(msgspec.Struct):
    """Of a login by OAuth: an object, where data errors are a list (§1.2)."""

    error: str = ""


def told(answer: Answer) -> Told:
    used, limit = _used(answer)
    if answer.status < 300:
        return Told(used=used, limit=limit)
    code, message = _error(answer)
    blocked = _blocked(answer, code, message)
    return Told(
        trouble=_trouble(answer, code),
        blocked_seconds=blocked,
        why="" if blocked is None else (code or f"HTTP {answer.status}"),
        used=used,
        limit=limit,
    )


def _used(answer: Answer) -> tuple[int | None, int | None]:
    found = _usage.search(answer.headers.get("Sforce-Limit-Info", ""))
    if found is None and b"<LimitInfoHeader" in (head := answer.body[:_body_bytes_max]):
        found = _soap_usage.search(head)
    return (int(found[1]), int(found[2])) if found else (None, None)


def _error(answer: Answer) -> tuple[str, str]:
    """The CRM's own code, and what it says about it."""
    body = answer.body[:_body_bytes_max]
    if found := _soap_code.search(body):
        text = _soap_text.search(body)
        return found[1].decode(), text[1].decode(errors="replace") if text else ""
    what = answer_meaning(answer.status, answer.body)
    return ("" if what.code.isdigit() else what.code) or _oauth_code(answer.body), what.message


def _oauth_code(body: bytes) -> str:
    try:
        code = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.DecodeError:
        return ""
    return code if re.fullmatch(r"[a-z_]{3,60}", code) else ""


def _blocked(answer: Answer, code: str, message: str) -> float | None:
    asked = answer.retry_after
    if code == "REQUEST_LIMIT_EXCEEDED":
        usual = concurrent_wait_seconds if "Concurrent" in message else daily_wait_seconds
        return asked if asked is not None else usual
    if code == "rate_limit_exceeded":
        return asked if asked is not None else login_rate_wait_seconds
    if answer.status == 429:
        return asked if asked is not None else unasked_wait_seconds
    return asked if answer.status in (420, 503) else None


def _trouble(answer: Answer, code: str) -> str:
    """A SOAP fault is HTTP 500 whatever it says; a refusal is none of the CRM's troubles."""
    if answer.status < 500 or code == "REQUEST_LIMIT_EXCEEDED":
        return ""
    if _soap_code.search(answer.body[:_body_bytes_max]):
        return code if code in _soap_trouble else ""
    return f"HTTP {answer.status}" if answer_meaning(answer.status, answer.body).kind in ("later", "unknown") else ""
