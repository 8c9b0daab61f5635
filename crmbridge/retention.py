"""Old history goes by itself, a little with each cycle, so that no transaction is long and nobody waits for it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

SWEPT_META: Final = "retention_swept_at"  # when nothing old was left
PAUSE: Final = timedelta(hours=1)  # between two looks
SLICE: Final = 500  # lines in one transaction
SLICES: Final = 20  # in one cycle


class Keeper(Protocol):
    """The store, as far as it is needed here."""

    def meta(self, name: str) -> str | None: ...
    def set_meta(self, name: str, value: str) -> None: ...
    def now(self) -> datetime: ...
    def prune(self, what: str, older_than: timedelta, limit: int) -> int: ...


def sweep(store: Keeper, ages: Mapping[str, timedelta], beat: Callable[[], None] = lambda: None) -> dict[str, int]:
    """One cycle's share. Returns how many lines went, by what they were; `beat` is called before each transaction."""
    gone = dict.fromkeys(ages, 0)
    if not ages or not _is_time(store):
        return gone
    left = SLICES
    for what, age in ages.items():
        while left:
            beat()
            left -= 1
            count = store.prune(what, age, SLICE)
            gone[what] += count
            if count < SLICE:
                break
    if left:
        store.set_meta(SWEPT_META, store.now().isoformat())
    return gone


def _is_time(store: Keeper) -> bool:
    swept = store.meta(SWEPT_META)
    return swept is None or store.now() - datetime.fromisoformat(swept) >= PAUSE
