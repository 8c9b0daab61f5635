"""What Dynamics' answers say about its limits: Retry-After of service protection, and trouble of its own.

dataverse-api §10.4: three limits, each answered with 429 and Retry-After. The headers that tell what is left of five
minutes hold for one of several web servers, so nothing is decided by them. The day's calls are told nowhere.
Answers of the login service are judged here too. msal tells it that it heeds `retry-after, h429` (§1.1); that each 429
of it comes with Retry-After is (unverified).
"""

from typing import Final

from connectors.dynamics.protocol import meaning
from connectors.gate import Told
from connectors.http import Answer

unasked_wait_seconds: Final = 30.0  # a 429 without Retry-After, of a gateway in between


def told(answer: Answer) -> Told:
    if answer.status < 300:
        return Told()
    what = meaning(answer.status, answer.headers, answer.body)
    blocked: float | None = None
    if answer.status == 429:
        blocked = answer.retry_after if answer.retry_after is not None else unasked_wait_seconds
    elif answer.status == 503:
        blocked = answer.retry_after
    # A plug-in of the customer's that crashes is HTTP 500 too, and says so with a code of its own: a refusal.
    trouble = f"HTTP {answer.status}" if answer.status >= 500 and what.kind in ("later", "unknown") else ""
    return Told(trouble=trouble, blocked_seconds=blocked, why="" if blocked is None else what.code)
