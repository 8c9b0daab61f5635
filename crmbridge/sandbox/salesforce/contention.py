"""Other people's transactions, as a save meets them: rows that they hold, and commits that come late (§9.2, §8.1).

Both are set from outside, through the control port: there is one request at a time in here, so nobody is in anybody's
way by chance.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crmbridge.sandbox.salesforce.errors import refuse


@dataclass(kw_only=True)
class _Late:
    """A transaction that began earlier than it commits."""

    table: str  # "" for every object
    delay: timedelta
    left: int


@dataclass(kw_only=True)
class Contention:
    now: Callable[[], datetime]
    _held: dict[str, datetime] = field(default_factory=dict[str, datetime])
    _late: list[_Late] = field(default_factory=list[_Late])

    def hold(self, keys: Iterable[str], seconds: float) -> None:
        """Somebody else works on these rows for so long."""
        until = self.now() + timedelta(seconds=seconds)
        self._held.update(dict.fromkeys(keys, until))

    def release(self) -> None:
        self._held.clear()
        self._late.clear()

    @property
    def any_held(self) -> bool:
        return bool(self._held)

    def check(self, keys: Iterable[str | None]) -> None:
        """§9.2: a save that needs a row which somebody holds gives up."""
        now = self.now()
        self._held = {key: until for key, until in self._held.items() if until > now}
        held = [key for key in dict.fromkeys(keys) if key in self._held]
        if held:
            message = f"unable to obtain exclusive access to this record or {len(held)} records: {','.join(held)}"
            raise refuse("UNABLE_TO_LOCK_ROW", message, [])

    def delay(self, table: str, seconds: float, times: int) -> None:
        """The next saves began so long ago: their rows appear now with the stamp of then."""
        self._late.append(_Late(table=table, delay=timedelta(seconds=seconds), left=times))

    def began(self, table: str) -> datetime:
        """When the transaction that saves a row of this object began, which is what its stamps say (§8.1)."""
        for late in self._late:
            if late.table in ("", table):
                late.left -= 1
                if late.left <= 0:
                    self._late.remove(late)
                return self.now() - late.delay
        return self.now()
