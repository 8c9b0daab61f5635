"""One line of the table: proved to be the same on both sides, then timed, each side in processes of its own.

What another way leaves behind in memory would slow the next one; and a program has one way, not two."""

import gc
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import orjson

from benchmarks.mapping import byhand, leads, others
from benchmarks.mapping.ours import Ours
from crmbridge.model import Shared
from mapping.transforms import same_phone

SEED = 20261122
REPEATS = 3  # processes for each side of a line
ROUNDS = 5  # in each process
SLOW_ROWS = 10_000  # the libraries take a part of the leads, else a run lasts an hour

READ = "page bytes to shared records, by hand"
DICTS = "dicts to shared records, by hand"
BACK = "back again: shared records to a new Dynamics lead's columns, by hand"
DECODE = "typed decode alone"
PHONES = "page bytes to shared records with phone and country, by hand"
WAYS: Mapping[str, Callable[[bytes], Any]] = {
    "page bytes to shared records, pydantic": others.by_pydantic,
    "page bytes to shared records, jmespath": others.by_jmespath,
    "page bytes to shared records, glom": others.by_glom,
}


def store(folder: Path, rows: int) -> None:
    for more in (False, True):
        pages = leads.pages(rows, more=more, seed=SEED)
        (folder / str(more)).write_bytes(msgspec.msgpack.encode(pages))


def measured(folder: Path, name: str) -> tuple[float, float, float]:
    """Microseconds for one lead, ours and the other's, and how many times as long the other takes.

    The least of all rounds counts, as in `timeit`: whatever else runs on the machine only ever adds."""
    if name != DECODE:
        _apart(prove, folder, name)
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(REPEATS):
        mine.append(_apart(timed, folder, name, True))
        theirs.append(_apart(timed, folder, name, False))
    return min(mine), min(theirs), min(theirs) / min(mine)


def _apart(measure: Callable[..., Any], *given: Any) -> Any:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def prove(folder: Path, name: str) -> None:
    """Record by record, both give the same."""
    for one, other in zip(_parts(folder, name), _parts(folder, name), strict=True):
        mine, theirs = (_way(name, ours=ours)(part) for ours, part in ((True, one), (False, other)))
        pairs = zip(mine, theirs, strict=True) if isinstance(mine, list) else [(mine, theirs)]
        for a, b in pairs:
            if a != b:
                raise SystemExit(f"{name}: not the same:\n  {a}\n  {b}")


def timed(folder: Path, name: str, ours: bool) -> float:
    way, parts = _way(name, ours=ours), _parts(folder, name)
    way(parts[0])
    rows = sum(len(orjson.loads(body)["records"]) for body in _pages(folder, name))
    gc.collect()
    gc.freeze()  # what was made before is not walked through meanwhile
    return min(_spent(way, parts) for _ in range(ROUNDS)) / rows * 1e6


def _spent(way: Callable[[Any], Any], parts: Iterable[Any]) -> float:
    began = time.process_time()
    for part in parts:
        way(part)
    return time.process_time() - began


def _pages(folder: Path, name: str) -> list[bytes]:
    pages = msgspec.msgpack.decode((folder / str(name == PHONES)).read_bytes(), type=list[bytes])
    return pages[: SLOW_ROWS // leads.PAGE_ROWS] if name in WAYS else pages


def _parts(folder: Path, name: str) -> list[Any]:
    """What the ways are called with: pages, rows as dicts, or records."""
    pages = _pages(folder, name)
    if name == DICTS:
        return [orjson.loads(body)["records"] for body in pages]
    if name == BACK:
        return [byhand.read(body) for body in pages]
    return list(pages)


@cache
def _way(name: str, *, ours: bool) -> Callable[[Any], Any]:
    mine = Ours(more=name == PHONES)
    match name:
        case _ if name == DECODE:
            return mine.decode
        case _ if name == DICTS:
            return mine.read_dicts if ours else byhand.read_dicts
        case _ if name == BACK:
            return mine.write if ours else byhand.write
        case _ if name == PHONES:
            if ours:
                return lambda body: _phones(mine.read(body))
            return lambda body: _phones(byhand.read(body, more=True))
        case _:
            return mine.read if ours else WAYS.get(name, byhand.read)


def _phones(records: list[Shared]) -> list[tuple[Shared, bool, bool]]:
    """Each with whether its numbers are the same as their spelling without blanks."""
    return [(record, _same_phone(record.fields["phone"]), _same_phone(record.fields["mobile"])) for record in records]


def _same_phone(number: Any) -> bool:
    return number is not None and same_phone(number, number.replace(" ", ""))
