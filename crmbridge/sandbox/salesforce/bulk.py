"""Bulk API 2.0: ingest and query jobs below /services/data/vNN.0/jobs (salesforce-api §4)."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any, Final

from crmbridge.sandbox.salesforce import bulk_export
from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow, since
from crmbridge.sandbox.salesforce.bulk_body import document, multipart, wrong
from crmbridge.sandbox.salesforce.bulk_csv import DELIMITERS, ENDINGS, Dialect, written
from crmbridge.sandbox.salesforce.bulk_info import info, info_of, state_of
from crmbridge.sandbox.salesforce.bulk_jobs import Export, Job, Jobs, Upload
from crmbridge.sandbox.salesforce.bulk_rows import Order
from crmbridge.sandbox.salesforce.errors import SfError, not_found, refuse
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.records import Caller

BODY_BYTES_MAX: Final = 150 * 1024 * 1024  # §4.4
MULTIPART_CHARACTERS_MAX: Final = 100_000  # §4.1
LIST_MAX: Final = 1000  # §4.1: jobs of one page
PAGES_MAX: Final = 5  # §4.3: urls of one answer
INGEST_SINCE, QUERY_SINCE, PAGES_SINCE = 41, 47, 58  # the first from the guide, the others §4.3
RULE_SINCE: Final = 49  # §4.1
OPERATIONS: Final = ("insert", "update", "upsert", "delete", "hardDelete")
HARD_DELETE: Final = (
    "hardDelete operation requires special user profile permission, please contact your system administrator"
)
_CSV: Final = ("Content-Type", "text/csv; charset=UTF-8")
_INGEST_KEYS: Final = {
    "object",
    "operation",
    "externalIdFieldName",
    "contentType",
    "lineEnding",
    "columnDelimiter",
    "assignmentRuleId",
}
_QUERY_KEYS: Final = {"operation", "query", "contentType", "lineEnding", "columnDelimiter"}
_ENDED: Final = ("UploadComplete", "JobComplete", "Aborted", "Failed")  # §4.1: what may be deleted


class Bulk:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._store = jobs.store
        self._lists: dict[str, list[str]] = {}  # ids of a list that went over a page

    def answer(self, ask: Ask) -> Answer:
        """Everything below /jobs."""
        match ask.parts[1:]:
            case ("ingest",):
                since(ask, INGEST_SINCE)
                allow(ask, "GET", "POST")
                return self._create(ask) if ask.method == "POST" else self._list(ask, "V2Ingest")
            case ("ingest", key, *rest):
                since(ask, INGEST_SINCE)
                return self._ingest(ask, key, [part.lower() for part in rest])
            case ("query",):
                since(ask, QUERY_SINCE)
                allow(ask, "GET", "POST")
                return self._create_query(ask) if ask.method == "POST" else self._list(ask, "V2Query")
            case ("query", key, *rest):
                since(ask, QUERY_SINCE)
                return self._query(ask, key, [part.lower() for part in rest])
            case _:
                raise not_found()

    # -- ingest --------------------------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        ask.log.note("bulk_create")
        parts = multipart(ask)
        given = document(ask, parts[0] if parts else None, _INGEST_KEYS)
        if "assignmentRuleId" in given:
            since_rule(ask)
        operation = str(given.get("operation") or "")
        if operation not in OPERATIONS:
            raise wrong("operation", given.get("operation"))
        sobject = self._store.shape.object(str(given.get("object") or ""))
        if sobject is None or sobject.name in bulk_export.UNSUPPORTED:  # §4.4; wording of the first (unverified)
            name = given.get("object")
            known = f"Entity '{name}' is not supported by the Bulk API."
            raise refuse("INVALIDENTITY", f"Unable to find object: {name}" if sobject is None else known)
        ask.log.table = sobject.name
        if operation == "hardDelete" and not self._store.shape.org.bulk_hard_delete:  # §4.1
            raise refuse("FEATURENOTENABLED", HARD_DELETE)
        job = self._job(ask, given, "V2Ingest", operation, sobject.name)
        job.external, job.rule = self._external(given, operation), given.get("assignmentRuleId") or None
        if job.rule is not None and canonical(str(job.rule)) is None:  # the code (unverified)
            raise refuse("INVALIDJOB", f"assignmentRuleId: {job.rule} is no id")
        self._jobs.add(job)
        if parts:
            if len(parts[1].decode("utf-8", "replace")) > MULTIPART_CHARACTERS_MAX:  # §4.1; the code (unverified)
                self._jobs.forget(job)
                raise refuse("CLIENTINPUTERROR", f"The content is longer than {MULTIPART_CHARACTERS_MAX} characters.")
            job.work = self._upload(job, parts[1])
            self._close(job)
        return Answer(body=info(job))

    def _external(self, given: dict[str, Any], operation: str) -> str | None:
        name = given.get("externalIdFieldName") or None
        if operation != "upsert":
            return str(name) if name else None  # named by clients that delete, without a use
        if name is None:  # the code (unverified)
            raise refuse("INVALIDJOB", "externalIdFieldName is required for an upsert job")
        sobject = self._store.shape.object(str(given["object"]))
        assert sobject is not None, "looked up before"
        try:
            return self._jobs.records.external_field(sobject, str(name)).name
        except SfError as error:  # §3.1; the code (unverified)
            raise refuse("INVALIDJOB", error.problems[0].message) from None

    def _ingest(self, ask: Ask, key: str, rest: Sequence[str]) -> Answer:
        job = self._jobs.find(key, "V2Ingest")
        ask.log.table = job.object if job else ""
        match rest:
            case []:
                allow(ask, "GET", "PATCH", "DELETE")
                ask.log.note(_KINDS.get(ask.method, "bulk_info"), ask.log.table)
                return self._one(ask, job or _missing())
            case ["batches"]:
                allow(ask, "PUT")
                ask.log.note("bulk_upload", ask.log.table)
                return self._put(ask, job or _missing())
            case ["successfulresults" | "failedresults" | "unprocessedrecords" as which]:
                allow(ask, "GET")
                ask.log.note("bulk_results", ask.log.table)
                return self._results(job or _missing(), which)
            case _:
                raise not_found()

    def _one(self, ask: Ask, job: Job) -> Answer:
        if ask.method == "GET":
            return Answer(body=info(job, counters=True))
        if ask.method == "DELETE":
            return self._delete(job)
        state = document(ask, None, {"state"}).get("state")
        if state not in ("UploadComplete", "Aborted") or (job.type == "V2Query" and state != "Aborted"):
            raise refuse("INVALIDJOBSTATE", f"A job cannot be set to the state {state}")  # wording (unverified)
        now = state_of(job)
        if state == "Aborted":
            if now in ("JobComplete", "Failed"):  # §4.4
                raise refuse("INVALIDJOBSTATE", "Aborting already Completed Job not allowed")
            if now == "Aborted":
                raise refuse(
                    "INVALIDJOBSTATE", "Aborting already Aborted Job not allowed"
                )  # §4.4, wording (unverified)
            self._abort(job)
            return Answer(body=info(job))
        if now != "Open":
            raise refuse("INVALIDJOBSTATE", f"Closing already {now} Job not allowed")  # §4.4, wording (unverified)
        self._close(job)
        return Answer(body=info(job))

    def _put(self, ask: Ask, job: Job) -> Answer:
        kind = ask.headers.get("content-type", "text/csv").partition(";")[0].strip().lower()
        if kind != "text/csv":
            raise refuse("UNSUPPORTED_MEDIA_TYPE", f"Content type {kind} is not supported here; send text/csv.")
        if state_of(job) != "Open":  # §4.1; wording (unverified)
            raise refuse("INVALIDJOBSTATE", f"Data cannot be uploaded to a job in the state {state_of(job)}")
        if job.work is not None:  # §4.1: exactly one upload; the code (unverified)
            message = (
                f"Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' the current Job "
                "then create a new Job and make sure you only do 'PUT' once on a given Job."
            )
            raise refuse("INVALIDBATCH", message)
        if len(ask.raw) > BODY_BYTES_MAX:  # §4.4; code and wording (unverified)
            raise refuse("CLIENTINPUTERROR", f"Failed to read request. Exceeded max size limit of {BODY_BYTES_MAX}")
        job.work = self._upload(job, ask.raw)
        return Answer(status=201, empty=True, headers=(("Content-Length", "0"),))

    def _upload(self, job: Job, body: bytes) -> Upload:
        sobject = self._store.shape.objects[job.object]
        external = sobject.field(job.external) if job.operation == "upsert" and job.external else None
        # §4.4: no assignment rule without its id, no header that lets duplicates pass (both unverified)
        caller = Caller(user=job.user, version=job.version, auto_assign=job.rule is not None)
        order = Order(operation=job.operation, sobject=sobject, external=external, caller=caller)
        return Upload(order=order, body=body, dialect=job.dialect, user=job.user, **self._jobs.times())

    def _close(self, job: Job) -> None:
        job.open, job.stamp = False, self._jobs.now()
        if not isinstance(job.work, Upload):
            job.work = self._upload(job, b"")
        times = self._jobs.times()
        job.work.begins, job.work.due, job.work.stamp = times["begins"], times["due"], times["stamp"]
        self._jobs.hand_in(job.work)

    def _abort(self, job: Job) -> None:
        if not job.open and job.work is not None:
            self._jobs.stop(job.work)
        job.open, job.aborted, job.stamp = False, True, self._jobs.now()

    def _delete(self, job: Job) -> Answer:
        if state_of(job) not in _ENDED or (job.type == "V2Query" and state_of(job) == "UploadComplete"):
            message = "Error encountered when deleting the job because the job is not terminated"
            raise refuse("API_ERROR", message)  # §4.1
        if job.work is not None and not job.open and not job.work.ended:
            self._jobs.stop(job.work)
        self._jobs.forget(job)
        return Answer(status=204, empty=True)

    def _results(self, job: Job, which: str) -> Answer:
        """§4.2; before the job has ended there are none (the refusal is (unverified))."""
        if state_of(job) in ("Open", "UploadComplete", "InProgress"):
            raise refuse("INVALIDJOBSTATE", f"Results are not there for a job in the state {state_of(job)}")
        work = job.work
        if not isinstance(work, Upload):
            return Answer(raw=b"", headers=(_CSV,))
        if work.source is None or not (work.source.header or which != "unprocessedrecords"):
            # nobody has read it, so it is what was sent
            return Answer(raw=work.body if which == "unprocessedrecords" else b"", headers=(_CSV,))
        lead = {"successfulresults": ["sf__Id", "sf__Created"], "failedresults": ["sf__Id", "sf__Error"]}.get(which, [])
        body = written([*lead, *work.source.header], _picked(work, which), job.dialect)
        return Answer(raw=body, headers=(_CSV,))

    # -- queries -------------------------------------------------------------------------------------------------

    def _create_query(self, ask: Ask) -> Answer:
        ask.log.note("bulk_create")
        given = document(ask, None, _QUERY_KEYS)
        operation, text = given.get("operation"), given.get("query")
        if operation not in ("query", "queryAll"):
            raise wrong("operation", operation)
        if not isinstance(text, str) or not text.strip():  # the code (unverified)
            raise refuse("API_ERROR", "A query is required")
        deleted = operation == "queryAll"
        try:
            query = bulk_export.checked(self._store, text, self._jobs.now(), version=ask.version, deleted=deleted)
        except bulk_export.Unsupported as problem:
            code = "INVALIDENTITY" if problem.code == "InvalidEntity" else "API_ERROR"
            nested = problem.message.startswith("Aggregate Relationships")
            suffix = " with CSV content type" if nested else ""
            words = problem.message.replace("Bulk Query", "Bulk V2 Query") if nested else problem.message
            raise refuse(code, words + suffix) from None  # §4.4
        except SfError as error:  # §4.4: the text as elsewhere; that the code is this one (unverified)
            raise refuse("API_ERROR", error.problems[0].message) from None
        found = self._store.shape.object(query.source)
        assert found is not None, "a query that was checked names its object"
        ask.log.table = found.name
        job = self._job(ask, given, "V2Query", str(operation), found.name)
        self._jobs.spend("DailyBulkV2QueryJobs")
        job.open = False
        job.work = Export(
            text=text, deleted=deleted, version=ask.version, object=found.name, user=job.user, **self._jobs.times()
        )
        self._jobs.add(job)
        self._jobs.hand_in(job.work)
        return Answer(body=info(job))

    def _query(self, ask: Ask, key: str, rest: Sequence[str]) -> Answer:
        job = self._jobs.find(key, "V2Query")
        ask.log.table = job.object if job else ""
        match rest:
            case []:
                allow(ask, "GET", "PATCH", "DELETE")
                ask.log.note(_KINDS.get(ask.method, "bulk_info"), ask.log.table)
                return self._one(ask, job or _missing())
            case ["results"]:
                allow(ask, "GET")
                ask.log.note("bulk_results", ask.log.table)
                return self._page(ask, self._complete(ask, job or _missing()))
            case ["resultpages"]:
                since(ask, PAGES_SINCE)
                allow(ask, "GET")
                ask.log.note("bulk_results", ask.log.table)
                return self._pages(ask, self._complete(ask, job or _missing()))
            case _:
                raise not_found()

    def _complete(self, ask: Ask, job: Job) -> Job:
        """§4.3: the version that the job was made with (409), and not before it is complete (unverified)."""
        if job.version != ask.version:
            message = f"Results are read with the API version of the job, {job.version}"
            raise refuse("INVALIDVERSION", message, status=409)
        if state_of(job) != "JobComplete":
            raise refuse("INVALIDJOBSTATE", f"Results are not there for a job in the state {state_of(job)}")
        return job

    def _page(self, ask: Ask, job: Job) -> Answer:
        work = job.work
        assert isinstance(work, Export), "the work of a query job"
        assert work.query is not None, "a complete job has run its query"
        start = _offset(ask.options.get("locator", ""), len(work.rows))
        size = self._size(ask.options.get("maxRecords", ""))
        rows = work.rows[start : start + size]
        shown = bulk_export.table(self._store, work.query, self._jobs.now(), version=job.version)
        after = start + size
        headers = (
            _CSV,
            ("Sforce-NumberOfRecords", str(len(rows))),
            ("Sforce-Locator", locator(after) if after < len(work.rows) else "null"),
        )
        return Answer(raw=written(shown.header, (shown.cells(row) for row in rows), job.dialect), headers=headers)

    def _pages(self, ask: Ask, job: Job) -> Answer:
        """§4.3: up to five result urls at once."""
        work = job.work
        assert isinstance(work, Export), "the work of a query job"
        size, total = self._size(""), len(work.rows)
        start = _offset(ask.options.get("locator", ""), total)
        end = start + PAGES_MAX * size
        root = f"/services/data/v{job.version}/jobs/query/{job.id}"
        urls = [f"{root}/results?locator={locator(at)}" for at in range(start, min(end, max(total, 1)), size)]
        more = f"{root}/resultPages?locator={locator(end)}" if end < total else None
        body = {"resultPages": [{"resultUrl": url} for url in urls], "nextRecordsUrl": more, "done": more is None}
        return Answer(body=body)

    def _size(self, text: str) -> int:
        if not text:
            return self._store.shape.org.bulk_result_rows
        if not text.isdecimal() or int(text) < 1:  # §4.3; the code (unverified)
            raise refuse("API_ERROR", f"maxRecords: {text} is no positive number")
        return int(text)

    # -- jobs ----------------------------------------------------------------------------------------------------

    def _job(self, ask: Ask, given: dict[str, Any], kind: Any, operation: str, name: str) -> Job:
        if given.get("contentType") not in (None, "CSV"):
            raise wrong("contentType", given["contentType"])
        delimiter, ending = given.get("columnDelimiter") or "COMMA", given.get("lineEnding") or "LF"
        if delimiter not in DELIMITERS:
            raise wrong("columnDelimiter", delimiter)
        if ending not in ENDINGS:
            raise wrong("lineEnding", ending)
        now = self._jobs.now()
        return Job(
            id=self._jobs.new_id(),
            type=kind,
            operation=operation,
            object=name,
            user=ask.user,
            version=ask.version,
            created=now,
            stamp=now,
            dialect=Dialect(delimiter=delimiter, ending=ending),
        )

    def _list(self, ask: Ask, own: Any) -> Answer:
        """§4.1: the jobs of this kind and those of Bulk 1.0, at most 1,000 a page."""
        ask.log.note("bulk_list")
        options = {key.lower(): value for key, value in ask.options.items()}
        given = options.get("querylocator")
        if given:
            key, _, offset = given.partition("-")
            if key not in self._lists or not offset.isdecimal():
                raise refuse("INVALID_QUERY_LOCATOR", "invalid query locator")  # §2.2
            ids, start = self._lists[key], int(offset)
        else:
            key, ids, start = "", [job.id for job in self._matching(options, own)], 0
        if not key and len(ids) > LIST_MAX:
            key = self._jobs.new_id("01g")
            self._lists[key] = ids
        page = [self._jobs.find(each, "V2Ingest", "V2Query", "Classic") for each in ids[start : start + LIST_MAX]]
        end = start + LIST_MAX
        kind = "ingest" if own == "V2Ingest" else "query"
        more = f"/services/data/v{ask.version}/jobs/{kind}?queryLocator={key}-{end}" if end < len(ids) else None
        records = [self._listed(job) for job in page if job is not None]
        return Answer(body={"done": more is None, "records": records, "nextRecordsUrl": more})

    def _listed(self, job: Job) -> dict[str, Any]:
        return {**(info_of(job) if job.type == "Classic" else info(job)), "jobType": job.type}

    def _matching(self, options: dict[str, str], own: Any) -> Iterable[Job]:
        kind, chunked, mode = (options.get(name, "") for name in ("jobtype", "ispkchunkingenabled", "concurrencymode"))
        if kind and kind not in ("Classic", "V2Ingest", "V2Query"):
            raise wrong("jobType", kind)
        if chunked.lower() not in ("", "true", "false"):
            raise wrong("isPkChunkingEnabled", chunked)
        if mode.lower() not in ("", "parallel", "serial"):
            raise wrong("concurrencyMode", mode)
        for job in self._jobs.listed(own, "Classic"):
            wanted = (not kind or job.type == kind) and (not mode or job.concurrency.lower() == mode.lower())
            if wanted and (not chunked or (job.pk_chunk > 0) is (chunked.lower() == "true")):
                yield job


_KINDS: Final = {"PATCH": "bulk_state", "DELETE": "bulk_delete"}


def _missing() -> Job:
    raise not_found()  # §4.1


def since_rule(ask: Ask) -> None:
    if ask.release < RULE_SINCE:
        raise refuse("API_ERROR", f'Unrecognized field "assignmentRuleId" before API version {RULE_SINCE}.0')  # §4.1


def locator(offset: int) -> str:
    """§4.3: MTAwMDA for 10,000."""
    return base64.urlsafe_b64encode(str(offset).encode()).decode().rstrip("=")


def _offset(text: str, total: int) -> int:
    if not text or text == "null":
        return 0
    try:
        number = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        number = ""
    if not number.isdecimal() or int(number) > max(total, 1):
        raise refuse("INVALID_QUERY_LOCATOR", "invalid query locator")  # §2.2
    return int(number)


def _picked(work: Upload, which: str) -> Iterable[Sequence[str]]:
    assert work.source is not None, "a file that was opened"
    outcomes = work.progress.outcomes
    for at, row in enumerate(work.source.rows()):
        outcome = outcomes[at] if at < len(outcomes) else None
        if which == "unprocessedrecords":
            if outcome is None:
                yield row
        elif outcome is not None and bool(outcome.problems) is (which == "failedresults"):
            # §4.2: sf__Id of a failed row is filled for updates since v53
            second = outcome.error if outcome.problems else "true" if outcome.created else "false"
            yield [outcome.id, second, *row]
