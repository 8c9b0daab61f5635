"""The jobs of an org and their way through their states, for both Bulk APIs (salesforce-api §4.1, §4.3).

Work is done by the data clock: `bulk_seconds` of the shape after it was handed in; half of that time it waits. With
none (the default) it is done in the request that hands it in, after that request's answer, so that the first poll finds
it done. A request does at most `STEP` internal batches; what is left is done by the next ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final, Literal

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import bulk_export
from crmbridge.sandbox.salesforce.ask import Log
from crmbridge.sandbox.salesforce.bulk_csv import Dialect, JobFailure, Source, opened
from crmbridge.sandbox.salesforce.bulk_rows import Columns, Item, Loader, Order, Progress
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.ids import Sequence as IdSequence
from crmbridge.sandbox.salesforce.limits import Limits
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.soql import Query
from crmbridge.sandbox.salesforce.store import Store

BATCH: Final = 10_000  # §4.4: rows of one internal batch
STEP: Final = 10  # internal batches that one request does at most
TRIES_MAX: Final = 20  # §4.4
LIFE: Final = timedelta(days=7)  # §4.2: how long results live; that the job goes with them is (unverified)
JOB_PREFIX: Final = "750"  # §10
BATCH_PREFIX, RESULT_PREFIX = "751", "752"  # as recorded

_BATCH_STATES: Final = {
    "waiting": "Queued",
    "running": "InProgress",
    "done": "Completed",
    "failed": "Failed",
    "stopped": "NotProcessed",
}
PLAIN: Final = Dialect()

JobType = Literal["V2Ingest", "V2Query", "Classic"]
WorkState = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass(kw_only=True)
class Work:
    """Something the org has been asked to do later."""

    user: str
    begins: datetime
    due: datetime
    stamp: datetime  # of its last change
    state: WorkState = "waiting"
    error: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "stopped")


@dataclass(kw_only=True)
class Upload(Work):
    """Rows to save: a CSV file that is read a batch at a time, or records at once."""

    order: Order
    body: bytes = b""  # a CSV file, not looked into yet
    dialect: Dialect = PLAIN
    source: Source | None = None
    items: tuple[Item, ...] | None = None
    counted: bool = False  # against the day's batches, when it was handed in
    progress: Progress = field(default_factory=Progress)

    @property
    def large(self) -> bool:
        """More than one internal batch, as far as lines tell."""
        return self.source is not None and self.source.text.count("\n", self.source.start) > BATCH

    @property
    def at_end(self) -> bool:
        if self.source is None:
            return self.items is not None and len(self.progress.outcomes) == len(self.items)
        return (
            not self.source.text[self.source.at : self.source.at + 64].strip()
            and not self.source.text[self.source.at :].strip()
        )


@dataclass(kw_only=True)
class Export(Work):
    """A query whose rows are kept as they are when it runs."""

    text: str
    deleted: bool
    version: str
    object: str
    low: str = ""  # of a chunk: from this id on,
    high: str = "~"  # up to the one before this
    query: Query | None = None  # once it has run
    rows: Sequence[Row] = ()


@dataclass(kw_only=True)
class Batch:
    """A part of a Bulk 1.0 job."""

    id: str
    created: datetime
    body: bytes
    work: Upload | Export | None  # None: its rows are those of the batches after it (PK chunking), or it failed at once
    error: str = ""
    results: list[str] = field(default_factory=list[str])

    @property
    def state(self) -> str:
        if self.error:
            return "Failed"
        return "NotProcessed" if self.work is None else _BATCH_STATES[self.work.state]


@dataclass(kw_only=True)
class Job:
    id: str
    type: JobType
    operation: str
    object: str
    user: str
    version: str
    created: datetime
    stamp: datetime
    content_type: str = "CSV"
    concurrency: str = "Parallel"
    dialect: Dialect = PLAIN
    external: str | None = None
    rule: str | None = None
    pk_chunk: int = 0  # rows of a chunk; 0: not asked for
    open: bool = True
    aborted: bool = False
    work: Work | None = None  # of Bulk 2.0
    batches: list[Batch] = field(default_factory=list[Batch])  # of Bulk 1.0


class Jobs:
    def __init__(
        self,
        store: Store,
        records: Records,
        sequence: IdSequence,
        now: Callable[[], datetime],
        limits: Limits,
    ) -> None:
        self.store = store
        self.records = records
        self.now = now
        self._sequence = sequence
        self._limits = limits
        self._jobs: dict[str, Job] = {}
        self._open: list[Work] = []

    # -- the list of jobs ----------------------------------------------------------------------------------------

    def new_id(self, prefix: str = JOB_PREFIX) -> str:
        return self._sequence.next(prefix)

    def add(self, job: Job) -> Job:
        self._jobs[job.id] = job
        return job

    def find(self, key: str, *types: JobType) -> Job | None:
        job = self._jobs.get(key) or next((each for each in self._jobs.values() if each.id[:15] == key), None)
        return job if job is not None and job.type in types else None

    def listed(self, *types: JobType) -> list[Job]:
        return [job for job in self._jobs.values() if job.type in types]

    def forget(self, job: Job) -> None:
        del self._jobs[job.id]

    def spend(self, name: str) -> None:
        """Of what the org may use in a day (§4.4)."""
        self._limits.spend(name)

    # -- work ----------------------------------------------------------------------------------------------------

    def times(self) -> dict[str, Any]:
        """When work that is handed in now begins and is due."""
        now, whole = self.now(), timedelta(seconds=self.store.shape.org.bulk_seconds)
        return {"begins": now + whole / 2, "due": now + whole, "stamp": now}

    def hand_in(self, work: Work) -> None:
        self._open.append(work)

    def stop(self, work: Work) -> None:
        """What was saved stays (§4.1)."""
        if not work.ended:
            work.state, work.stamp = "stopped", self.now()
            self._open.remove(work)

    def advance(self, log: Log) -> None:
        """Do what is due by now, and enter it in the ledger of the request that is under way."""
        if not self._open and not self._jobs:
            return
        now, left = self.now(), STEP
        for work in list(self._open):
            if left > 0 and now >= work.begins:
                with self.store.acting_as(work.user):
                    left -= self._do(work, now, left, log)
                if work.ended:
                    self._open.remove(work)
        for job in list(takewhile(lambda job: now - job.created > LIFE, self._jobs.values())):  # the oldest come first
            if not job.open:
                self.forget(job)

    def _do(self, work: Work, now: datetime, most: int, log: Log) -> int:
        if isinstance(work, Upload):
            return self._upload(work, now, most, log)
        if isinstance(work, Export):
            self._export(work, now, log)
        return 0

    def _export(self, work: Export, now: datetime, log: Log) -> None:
        work.state = "running"
        if now < work.due:
            return
        log.operations.append((work.object, "queryAll" if work.deleted else "query"))
        try:
            version, deleted = work.version, work.deleted
            work.query = bulk_export.checked(self.store, work.text, now, version=version, deleted=deleted)
            rows = bulk_export.selected(self.store, work.query, now, version=version, deleted=deleted)
            work.rows = [row for row in rows if work.low <= row["Id"] < work.high]
        except (SfError, bulk_export.Unsupported) as error:  # the org has changed since the job was made
            self._fail(work, JobFailure("InvalidBatch", f"Failed to process query: {error}"), now)
            return
        work.state, work.stamp = "done", now

    def _upload(self, work: Upload, now: datetime, most: int, log: Log) -> int:
        """Internal batches done; before it is due, the first one of several."""
        if work.state == "waiting":
            work.state, work.stamp = "running", now
            try:
                if work.items is None:
                    work.source = opened(work.body, work.dialect)
                    if work.source.header:
                        Columns(work.source.header, work.order, self.store)
            except JobFailure as failure:
                self._fail(work, failure, now)
                return 0
        done, early = 0, now < work.due
        while done < most and not work.ended and not (early and (work.progress.outcomes or not work.large)):
            done += 1
            self._batch(work, now, log)
            if work.progress.waiting:  # locked rows are left alone until the next request
                break
        return done

    def _batch(self, work: Upload, now: datetime, log: Log) -> None:
        before = work.progress.processed
        try:
            names = work.source.header if work.source else ()
            loader = Loader(work.order, self.store, self.records, names)
            if work.progress.waiting:
                loader.again(work.progress)
            elif not work.at_end:
                if not work.counted:
                    self.spend("DailyBulkApiBatches")
                loader.load(work.progress, self._items(work))
        except JobFailure as failure:
            self._fail(work, failure, now)
        except SfError:  # §4.4: the day's batches are used up
            self._fail(work, JobFailure("ExceededQuota", "ApiBatchItems Limit exceeded."), now)
        else:
            if work.progress.waiting and work.progress.tries >= TRIES_MAX:  # §4.4
                self._fail(work, JobFailure("TooManyLockFailure", "Too many lock failure 200 Trying again later."), now)
            elif not work.progress.waiting and work.at_end and now >= work.due:
                work.state = "done"
        work.stamp = now
        log.operations += [work.order.ledger] * (work.progress.processed - before)

    def _items(self, work: Upload) -> Sequence[Item | SfError]:
        if work.source is None:
            return work.items or ()
        columns = Columns(work.source.header, work.order, self.store)
        return [_item(columns, row) for row in work.source.take(BATCH)]

    def _fail(self, work: Work, failure: JobFailure, now: datetime) -> None:
        work.state, work.error, work.stamp = "failed", str(failure), now


def _item(columns: Columns, row: list[str]) -> Item | SfError:
    try:
        return columns.item(row)
    except SfError as error:
        return error
