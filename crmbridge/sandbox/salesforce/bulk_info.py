"""What answers of Bulk API 2.0 tell of a job (salesforce-api §4.1, §4.3)."""

from typing import Any, Final

from crmbridge.sandbox.salesforce.bulk_jobs import Export, Job, Upload
from crmbridge.sandbox.salesforce.values import stamp

_STATES: Final = {
    "waiting": "UploadComplete",
    "running": "InProgress",
    "done": "JobComplete",
    "failed": "Failed",
    "stopped": "Aborted",
}


def info(job: Job, *, counters: bool = False) -> dict[str, Any]:
    info = info_of(job)
    if job.type == "V2Ingest" and state_of(job) == "Open":
        info["contentUrl"] = f"services/data/v{job.version}/jobs/ingest/{job.id}/batches"
    info |= {"lineEnding": job.dialect.ending, "columnDelimiter": job.dialect.delimiter}
    if not counters:
        return info
    work = job.work
    info["jobType"] = job.type
    took = dict.fromkeys(("totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"), 0)
    if isinstance(work, Upload):
        if work.ended:
            took["totalProcessingTime"] = took["apiActiveProcessingTime"] = _milliseconds(work)
        info |= {
            "numberRecordsProcessed": work.progress.processed,
            "numberRecordsFailed": work.progress.failed,
            "retries": work.progress.tries,
            **took,
        }
        if work.error:
            info["errorMessage"] = work.error
    elif isinstance(work, Export):  # §4.3: without an errorMessage
        info |= {"numberRecordsProcessed": len(work.rows), "retries": 0}
        info |= {"totalProcessingTime": _milliseconds(work) if work.ended else 0, "isPkChunkingSupported": True}
    else:
        info |= {"numberRecordsProcessed": 0, "numberRecordsFailed": 0, "retries": 0, **took}
    return info


def info_of(job: Job) -> dict[str, Any]:
    """What every answer tells of a job (§4.1); apiVersion is a number with a decimal."""
    changed = max(job.stamp, job.work.stamp) if job.work is not None and not job.open else job.stamp
    info: dict[str, Any] = {
        "id": job.id,
        "operation": job.operation,
        "object": job.object,
        "createdById": job.user,
        "createdDate": stamp(job.created),
        "systemModstamp": stamp(changed),
        "state": state_of(job),
    }
    if job.external is not None and job.operation == "upsert":
        info["externalIdFieldName"] = job.external
    if job.rule is not None:
        info["assignmentRuleId"] = job.rule
    return info | {
        "concurrencyMode": job.concurrency,
        "contentType": job.content_type,
        "apiVersion": float(job.version),
    }


def state_of(job: Job) -> str:
    if job.aborted:
        return "Aborted"
    if job.open:
        return "Open"
    return "Closed" if job.work is None else _STATES[job.work.state]


def _milliseconds(work: Upload | Export) -> int:
    return int((work.stamp - work.begins).total_seconds() * 1000)
