"""How long the store keeps what is only history: `retention:` in the settings."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from crmbridge.settings.kinds import Section

_DAYS: Final = re.compile(r"(\d{1,5}) ?days?")
FOREVER: Final = "forever"


def _age(least: int) -> BeforeValidator:
    def read(value: Any) -> Any:
        if value is None or isinstance(value, timedelta) or value == FOREVER:
            return None if value == FOREVER else value
        found = _DAYS.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            raise ValueError("must be a number of days, such as 400 days, or forever")
        if int(found[1]) < least:
            raise ValueError(f"must be {least} days at least: younger ones are worked with")
        return timedelta(days=int(found[1]))

    return BeforeValidator(read)


class Retention(Section):
    """None is for ever. What is open, the ledger of conversions and the pairs themselves are always kept."""

    journal: Annotated[timedelta | None, _age(30)] = timedelta(days=400)  # every write; approved plans
    calls: Annotated[timedelta | None, _age(7)] = timedelta(days=30)  # what was about to be sent, once it is closed
    runs: Annotated[timedelta | None, _age(7)] = timedelta(days=90)
    issues: Annotated[timedelta | None, _age(1)] = timedelta(days=400)  # closed; alarms and pauses that are over
    plans: Annotated[timedelta | None, _age(7)] = timedelta(days=90)  # those that nobody approved

    def ages(self) -> dict[str, timedelta]:
        """What has an age at all."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: age for name, age in given.items() if age is not None}
