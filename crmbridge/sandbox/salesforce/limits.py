"""What an org may use and has used, counted over a rolling day (salesforce-api §3.6, §9.4)."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from crmbridge.sandbox.salesforce.errors import refuse

WINDOW: Final = timedelta(hours=24)
REQUESTS: Final = "DailyApiRequests"
# The daily allowances beside the requests; the numbers are those of a Developer Edition (unverified).
ALLOWANCES: Final = {
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryJobs": 10_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
}
STORAGE_MB: Final = 1024
ROW_KB: Final = 2  # what a record weighs in data storage, whatever it holds (unverified)


class Limits:
    """Uses by name: each counts for a day, then falls out of the window."""

    def __init__(self, requests_max: int, now: Callable[[], datetime]) -> None:
        self._now = now
        self._most = {REQUESTS: requests_max, **ALLOWANCES}
        self._uses: dict[str, deque[tuple[datetime, float]]] = {name: deque() for name in self._most}
        self._sums = dict.fromkeys(self._most, 0.0)

    def spend(self, name: str = REQUESTS, amount: float = 1) -> None:
        """Use some of an allowance, or be refused (§9.2)."""
        if self.used(name) + amount > self._most[name]:
            if name == REQUESTS:
                raise refuse("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            raise refuse("LIMIT_EXCEEDED", f"{name} Limit exceeded.")  # wording (unverified)
        self._uses[name].append((self._now(), amount))
        self._sums[name] += amount

    def used(self, name: str = REQUESTS) -> int:
        edge, uses = self._now() - WINDOW, self._uses[name]
        while uses and uses[0][0] <= edge:
            self._sums[name] -= uses.popleft()[1]
        return round(self._sums[name])

    def most(self, name: str = REQUESTS) -> int:
        return self._most[name]

    @property
    def header(self) -> tuple[str, str]:
        """§3.6: the short form, which is what clients match."""
        return "Sforce-Limit-Info", f"api-usage={self.used()}/{self.most()}"

    def document(self, rows: int) -> dict[str, Any]:
        """The answer of `/limits`; what nothing here can use up is not in it."""
        stored = -(-rows * ROW_KB // 1024)
        answer = {name: _pair(most, self.used(name)) for name, most in self._most.items()}
        return answer | {"DataStorageMB": _pair(STORAGE_MB, stored), "FileStorageMB": _pair(STORAGE_MB, 0)}


def _pair(most: int, used: int) -> dict[str, int]:
    return {"Max": most, "Remaining": max(0, most - used)}
