"""Bulk API 1.0 below /services/async/NN.0/job: jobs, batches and their results (salesforce-api §12).

The sheets name it only in passing (§1.4 the session header, §9.1 the shapes of errors, point 4 of the clients sheet);
answers are laid out as recorded ones, and what no recording shows is (unverified).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.salesforce import bulk_export, bulk_xml
from crmbridge.sandbox.salesforce.ask import Log
from crmbridge.sandbox.salesforce.bulk_classic_body import (
    MEDIA,
    QUERIES,
    ClassicError,
    chunk_size,
    document,
    is_json,
    items,
)
from crmbridge.sandbox.salesforce.bulk_classic_told import ENCODER, as_json, as_xml, document_reply, outcome_of, reply
from crmbridge.sandbox.salesforce.bulk_csv import Dialect, JobFailure, written
from crmbridge.sandbox.salesforce.bulk_jobs import (
    BATCH_PREFIX,
    RESULT_PREFIX,
    Batch,
    Export,
    Job,
    Jobs,
    Upload,
)
from crmbridge.sandbox.salesforce.bulk_rows import Order
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.records import Caller
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.soql import parse

BODY_BYTES_MAX: Final = 10_000_000
TOO_LARGE: Final = f"Failed to read request. Exceeded max size limit of {BODY_BYTES_MAX}"
OPERATIONS: Final = ("insert", "update", "upsert", "delete", "hardDelete", *QUERIES)
QUERY_ALL_SINCE: Final = 39
HARD_DELETE: Final = (
    "hardDelete operation requires special user profile permission, please contact your system administrator"
)
NO_ROWS: Final = b"Records not found for this query"  # what a CSV result without rows says
_MODES: Final = {"0": "Parallel", "1": "Serial", "parallel": "Parallel", "serial": "Serial", "": "Parallel"}
_CREATE_KEYS: Final = frozenset(
    {"operation", "object", "concurrencyMode", "contentType", "externalIdFieldName", "assignmentRuleId"}
)


class Classic:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._store = jobs.store

    def answer(self, request: Request, version: str, parts: Sequence[str], user: str, log: Log) -> Reply:
        """One request of a user whose session is good."""
        match parts:
            case ["job"]:
                _allow(request, "POST")
                log.note("bulk_create")
                return self._create(request, version, user, log)
            case ["job", key]:
                _allow(request, "GET", "POST")
                job = self._job(key, log, "bulk_state" if request.method == "POST" else "bulk_info")
                return self._change(request, job) if request.method == "POST" else self._show(job, _asked(job, request))
            case ["job", key, "batch"]:
                _allow(request, "GET", "POST")
                job = self._job(key, log, "bulk_upload" if request.method == "POST" else "bulk_info")
                return self._add(request, job) if request.method == "POST" else self._all(job)
            case ["job", key, "batch", batch]:
                _allow(request, "GET")
                job = self._job(key, log, "bulk_info")
                return self._batch_info(job, self._batch(job, batch))
            case ["job", key, "batch", batch, "request"]:
                _allow(request, "GET")
                job = self._job(key, log, "bulk_results")
                return reply(200, MEDIA[job.content_type], self._batch(job, batch).body)
            case ["job", key, "batch", batch, "result"]:
                _allow(request, "GET")
                job = self._job(key, log, "bulk_results")
                return self._result(job, self._batch(job, batch))
            case ["job", key, "batch", batch, "result", result]:
                _allow(request, "GET")
                job = self._job(key, log, "bulk_results")
                return self._rows(job, self._batch(job, batch), result)
            case ["job", _, "spec"]:
                raise ClassicError("NOT_SERVED_BY_SANDBOX", "This sandbox does not serve mapping files (spec).", 501)
            case _:
                raise ClassicError("InvalidUrl", "Destination URL not reset or unknown: see /services/async/NN.0/job")

    # -- jobs ----------------------------------------------------------------------------------------------------

    def _create(self, request: Request, version: str, user: str, log: Log) -> Reply:
        given = document(request, _CREATE_KEYS)
        operation, media = given.get("operation", ""), (given.get("contentType") or "XML").upper()
        if operation not in OPERATIONS or (operation == "queryAll" and float(version) < QUERY_ALL_SINCE):
            raise ClassicError("InvalidJob", f"Unable to parse Job: {operation} is no operation")
        if media.startswith("ZIP_"):
            raise ClassicError("NOT_SERVED_BY_SANDBOX", "This sandbox does not serve batches with attachments.", 501)
        if media not in MEDIA:
            raise ClassicError("InvalidJob", f"Unable to parse Job: {media} is no contentType")
        mode = _MODES.get(given.get("concurrencyMode", "").lower())
        if mode is None:
            raise ClassicError("InvalidJob", f"Unable to parse Job: {given['concurrencyMode']} is no concurrencyMode")
        sobject = self._store.shape.object(given.get("object", ""))
        if sobject is None:
            raise ClassicError("InvalidEntity", f"Unable to find object: {given.get('object', '')}")
        if sobject.name in bulk_export.UNSUPPORTED:
            raise ClassicError("InvalidEntity", f"Entity '{sobject.name}' is not supported by the Bulk API.")
        if operation == "hardDelete" and not self._store.shape.org.bulk_hard_delete:
            raise ClassicError("FeatureNotEnabled", HARD_DELETE)
        rule = given.get("assignmentRuleId") or None
        if rule is not None and canonical(rule) is None:
            raise ClassicError("InvalidJob", f"assignmentRuleId: {rule} is no id")
        log.table = sobject.name
        now = self._jobs.now()
        ending = request.header("sforce-line-ending", "LF").upper()
        job = Job(
            id=self._jobs.new_id(),
            type="Classic",
            operation=operation,
            object=sobject.name,
            user=user,
            version=version,
            created=now,
            stamp=now,
            content_type=media,
            concurrency=mode,
            dialect=Dialect(ending=ending if ending == "CRLF" else "LF"),
            external=self._external(sobject, operation, given.get("externalIdFieldName", "")),
            rule=rule,
            pk_chunk=chunk_size(request, operation),
        )
        self._jobs.add(job)
        return self._show(job, "JSON" if is_json(request) else "XML", 201)

    def _external(self, sobject: SObject, operation: str, name: str) -> str | None:
        if operation != "upsert":
            return name or None
        if not name:
            raise ClassicError("InvalidJob", "External ID was blank for upsert")
        try:
            return self._jobs.records.external_field(sobject, name).name
        except SfError as error:
            raise ClassicError("InvalidJob", error.problems[0].message) from None

    def _job(self, key: str, log: Log, kind: str) -> Job:
        log.note(kind)
        job = self._jobs.find(key, "Classic")
        if job is None:
            raise ClassicError("InvalidJob", f"Invalid job id: {key}")
        log.table = job.object
        return job

    def _change(self, request: Request, job: Job) -> Reply:
        state = document(request, frozenset({"state"})).get("state")
        if state not in ("Closed", "Aborted"):
            raise ClassicError("InvalidJobState", f"A job cannot be set to the state {state}")
        if job.aborted or (not job.open and state == "Closed"):
            now = "Aborted" if job.aborted else "Closed"
            raise ClassicError("InvalidJobState", f"{'Closing' if state == 'Closed' else 'Aborting'} already {now} Job")
        job.open, job.aborted, job.stamp = False, state == "Aborted", self._jobs.now()
        for batch in job.batches if job.aborted else ():
            if batch.work is not None:
                self._jobs.stop(batch.work)
        return self._show(job, "JSON" if is_json(request) else "XML")

    def _show(self, job: Job, media: str, status: int = 200) -> Reply:
        batches = job.batches
        states = [batch.state for batch in batches]
        works = [batch.work for batch in batches if batch.work is not None]
        info: dict[str, Any] = {
            "id": job.id,
            "operation": job.operation,
            "object": job.object,
            "createdById": job.user,
            "createdDate": job.created,
            "systemModstamp": max([job.stamp, *(work.stamp for work in works)]),
            "state": "Aborted" if job.aborted else "Open" if job.open else "Closed",
            "externalIdFieldName": job.external,
            "assignmentRuleId": job.rule,
            "concurrencyMode": job.concurrency,
            "contentType": job.content_type,
            "numberBatchesQueued": states.count("Queued"),
            "numberBatchesInProgress": states.count("InProgress"),
            "numberBatchesCompleted": states.count("Completed"),
            "numberBatchesFailed": states.count("Failed"),
            "numberBatchesTotal": len(batches),
            "numberRecordsProcessed": sum(_processed(work) for work in works),
            "numberRetries": 0,
            "apiVersion": float(job.version) if media == "JSON" else job.version,
            "numberRecordsFailed": sum(_failed(work) for work in works),
            **_TIMES,
        }
        return document_reply(status, "jobInfo", info, media)

    # -- batches -------------------------------------------------------------------------------------------------

    def _add(self, request: Request, job: Job) -> Reply:
        if not job.open:
            state = "Aborted" if job.aborted else "Closed"
            raise ClassicError("InvalidJobState", f"Job {job.id} is {state}: no batch can be added")
        media = request.header("content-type").partition(";")[0].strip().lower()
        if media and job.operation not in QUERIES and media != MEDIA[job.content_type]:
            raise ClassicError("InvalidBatch", f"The batch is {media}, the job {job.content_type}")
        if not request.body.strip():  # the code as one client's tests know it from real orgs, the text (unverified)
            raise ClassicError("ClientInputError", "Failed to read request. It has no data.")
        if len(request.body) > BODY_BYTES_MAX:
            raise ClassicError("ClientInputError", TOO_LARGE)
        try:
            self._jobs.spend("DailyBulkApiBatches")
        except SfError as error:
            raise ClassicError("ExceededQuota", "ApiBatchItems Limit exceeded.") from error
        batch = Batch(id=self._jobs.new_id(BATCH_PREFIX), created=self._jobs.now(), body=request.body, work=None)
        job.batches.append(batch)
        try:
            if job.operation in QUERIES:
                self._query(job, batch)
            else:
                batch.work = self._upload(job, request.body)
                self._jobs.hand_in(batch.work)
        except JobFailure as failure:
            batch.error = str(failure)
            return self._batch_info(job, batch, 201, state="Queued")
        return self._batch_info(job, batch, 201, state="Queued")

    def _upload(self, job: Job, body: bytes) -> Upload:
        sobject = self._store.shape.objects[job.object]
        external = sobject.field(job.external) if job.operation == "upsert" and job.external else None
        caller = Caller(user=job.user, version=job.version, auto_assign=job.rule is not None)
        order = Order(operation=job.operation, sobject=sobject, external=external, caller=caller)
        line, _, _ = body.partition(b"\n")
        dialect = Dialect(ending="CRLF" if line.endswith(b"\r") else "LF")
        upload = Upload(order=order, body=body, dialect=dialect, counted=True, user=job.user, **self._jobs.times())
        if job.content_type != "CSV":
            upload.items = items(job.content_type, body)
        return upload

    def _query(self, job: Job, batch: Batch) -> None:
        text = batch.body.decode("utf-8", "replace").strip()
        deleted = job.operation == "queryAll"
        try:
            _check_root(job, parse(text).source)
            query = bulk_export.checked(self._store, text, self._jobs.now(), version=job.version, deleted=deleted)
        except bulk_export.Unsupported as problem:
            if problem.code == "FUNCTIONALITY_NOT_ENABLED":
                raise _unprocessed(problem.code, problem.message) from None
            suffix = f" with {job.content_type} content type" if problem.code == "FeatureNotEnabled" else ""
            raise JobFailure(problem.code, problem.message + suffix) from None
        except SfError as error:
            first = error.problems[0]
            raise _unprocessed(first.code, first.message) from None
        if job.pk_chunk and query.order:
            raise _unprocessed("MALFORMED_QUERY", "PK chunking does not go with ORDER BY")
        given = {"text": text, "deleted": deleted, "version": job.version, "object": job.object, "user": job.user}
        if not job.pk_chunk:
            self._export(batch, Export(**given, **self._jobs.times()))
            return
        for low, high in self._spans(job):  # the batch itself is not processed; one for each chunk follows
            chunk = Batch(id=self._jobs.new_id(BATCH_PREFIX), created=batch.created, body=batch.body, work=None)
            job.batches.append(chunk)
            self._export(chunk, Export(**given, **self._jobs.times(), low=low, high=high))

    def _export(self, batch: Batch, work: Export) -> None:
        batch.work = work
        batch.results.append(self._jobs.new_id(RESULT_PREFIX))
        self._jobs.hand_in(work)

    def _spans(self, job: Job) -> list[tuple[str, str]]:
        """Ranges of ids, over all rows of the table whatever the query selects."""
        ids = sorted(self._store.rows(self._store.shape.objects[job.object]))
        starts = ids[:: job.pk_chunk] or [""]
        return [(low if at else "", starts[at + 1] if at + 1 < len(starts) else "~") for at, low in enumerate(starts)]

    def _batch(self, job: Job, key: str) -> Batch:
        found = next((each for each in job.batches if key in (each.id, each.id[:15])), None)
        if found is None:
            raise ClassicError("InvalidBatch", f"Invalid batch id: {key}")
        return found

    def _all(self, job: Job) -> Reply:
        infos = [self._described(job, batch) for batch in job.batches]
        if job.content_type == "JSON":
            return reply(200, MEDIA["JSON"], ENCODER.encode({"batchInfo": [as_json(info) for info in infos]}))
        return reply(200, MEDIA["XML"], bulk_xml.listing("batchInfoList", "batchInfo", map(as_xml, infos)))

    def _batch_info(self, job: Job, batch: Batch, status: int = 200, *, state: str | None = None) -> Reply:
        info = self._described(job, batch)
        if state is not None:
            info |= {"state": state, "stateMessage": None}
        return document_reply(status, "batchInfo", info, "JSON" if job.content_type == "JSON" else "XML")

    def _described(self, job: Job, batch: Batch) -> dict[str, Any]:
        work = batch.work
        return {
            "id": batch.id,
            "jobId": job.id,
            "state": batch.state,
            "stateMessage": batch.error or (work.error if work else "") or None,
            "createdDate": batch.created,
            "systemModstamp": work.stamp if work else batch.created,
            "numberRecordsProcessed": _processed(work),
            "numberRecordsFailed": _failed(work),
            **_TIMES,
        }

    # -- results -------------------------------------------------------------------------------------------------

    def _result(self, job: Job, batch: Batch) -> Reply:
        work = batch.work
        if work is None or batch.state != "Completed":
            waiting = batch.state in ("Queued", "InProgress")
            raise ClassicError("InvalidBatch", "Batch not completed" if waiting else "Records not processed")
        if isinstance(work, Export):
            if job.content_type == "JSON":
                return reply(200, MEDIA["JSON"], ENCODER.encode(batch.results))
            return reply(200, MEDIA["XML"], bulk_xml.texts("result-list", "result", batch.results))
        outcomes = [outcome for outcome in work.progress.outcomes if outcome is not None]
        if job.content_type == "CSV":
            rows = ([each.id, _flag(not each.problems), _flag(each.created), each.error] for each in outcomes)
            return reply(200, MEDIA["CSV"], written(("Id", "Success", "Created", "Error"), rows, Dialect()))
        told = [outcome_of(each) for each in outcomes]
        if job.content_type == "JSON":
            return reply(200, MEDIA["JSON"], ENCODER.encode(told))
        return reply(200, MEDIA["XML"], bulk_xml.results(told))

    def _rows(self, job: Job, batch: Batch, result: str) -> Reply:
        work = batch.work
        if not isinstance(work, Export) or work.query is None or result not in batch.results:
            raise ClassicError("InvalidBatch", f"Invalid result id: {result}")
        shown = bulk_export.table(self._store, work.query, self._jobs.now(), version=job.version)
        if job.content_type == "CSV":
            rows = (shown.cells(row) for row in work.rows)
            return reply(200, MEDIA["CSV"], written(shown.header, rows, job.dialect) if work.rows else NO_ROWS)
        records = [shown.record(row) for row in work.rows]
        if job.content_type == "XML":
            return reply(200, MEDIA["XML"], bulk_xml.rows(records))
        return reply(200, MEDIA["JSON"], ENCODER.encode([self._epochs(record) for record in records]))

    def _epochs(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """JSON results tell dates as milliseconds since 1970."""
        sobject = self._store.shape.object(record["attributes"]["type"])
        told: dict[str, Any] = {}
        for name, value in record.items():
            found = sobject.field(name) if sobject else None
            if isinstance(value, Mapping) and "attributes" in value:
                told[name] = self._epochs(value)
            elif found is not None and found.type in ("date", "datetime") and isinstance(value, str):
                moment = datetime.fromisoformat(value.replace("+0000", "+00:00"))
                told[name] = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
            else:
                told[name] = value
        return told


_TIMES: Final = {"totalProcessingTime": 0, "apiActiveProcessingTime": 0, "apexProcessingTime": 0}


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        message = f"HTTP Method '{request.method}' not allowed. Allowed are {','.join(methods)}"
        raise ClassicError("MethodNotAllowed", message, 405)


def _asked(job: Job, request: Request) -> str:
    """clients, point 4: GETs of a CSV job are answered in XML whatever their Content-Type says."""
    return "JSON" if job.content_type == "JSON" else "XML"


def _check_root(job: Job, source: str) -> None:
    """Told before anything else that is wrong with a query, as R's salesforcer found on a real org."""
    if source.lower() != job.object.lower():
        message = (
            f"The root entity of the requested query ({source}) does not match "
            f"the entity of the requested Bulk API Job ({job.object})."
        )
        raise _unprocessed("INVALID_TYPE_FOR_OPERATION", message)


def _unprocessed(code: str, message: str) -> JobFailure:
    return JobFailure("InvalidBatch", f"Failed to process query: {code}: {message}")


def _processed(work: Upload | Export | None) -> int:
    if isinstance(work, Upload):
        return work.progress.processed
    return len(work.rows) if work is not None else 0


def _failed(work: Upload | Export | None) -> int:
    return work.progress.failed if isinstance(work, Upload) else 0


def _flag(value: bool) -> str:
    return "true" if value else "false"
