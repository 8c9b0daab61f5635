"""How long a lease lasts, a call may take and a tick is apart: the figures of production, and a way to lower them.

A test with real processes that freezes workers past their lease cannot wait 150 s each time. The figures belong
together (what is left of a lease must outlast a call, a lost call counts as never executed only after the server's own
limit), so they are lowered together, by one variable of the environment that is for such tests alone:
`CRMBRIDGE_TEST_PACE="lease=12 renew=1 call=6 tick=1"`, beside `request_limit_seconds` of the connections. Where a
connection leads anywhere but to this machine, the engine refuses to start with it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

VARIABLE: Final = "CRMBRIDGE_TEST_PACE"
MARGIN_SECONDS: Final = 10.0  # of a lease, beyond the call that it must outlast (reliability §3.0)
MARGIN_SECONDS_LOWERED: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    lease: float = 150.0  # reliability §5; renewed before each call by the working code
    renew: float = 15.0  # ... but not more often: each renewal is a commit
    call: float = 120.0  # everything of one call to a CRM
    tick: float = 5.0


PRODUCTION: Final = Pace()


def parse(text: str) -> Pace:
    """Raises ValueError for what is no pace, or one whose lease could end during a call."""
    known = {field.name for field in fields(Pace)}
    given: dict[str, float] = {}
    for word in text.split():
        name, equals, number = word.partition("=")
        if not equals or name not in known or name in given:
            raise ValueError(f"{VARIABLE}: {word!r} is none of {', '.join(sorted(known))}, each once, as lease=12")
        given[name] = float(number)
    pace = replace(PRODUCTION, **given)
    margin = MARGIN_SECONDS if pace == PRODUCTION else MARGIN_SECONDS_LOWERED
    if min(pace.renew, pace.call, pace.tick) <= 0 or pace.lease - pace.renew < pace.call + margin:
        raise ValueError(f"{VARIABLE}: lease - renew must be {margin:g} s more than call, so that it outlasts one")
    return pace


def from_environment(env: Mapping[str, str] = os.environ) -> Pace:
    return parse(env.get(VARIABLE, ""))


NOW: Final = from_environment()
