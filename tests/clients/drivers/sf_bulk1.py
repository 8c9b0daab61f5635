"""salesforce-bulk: Bulk API 1.0 over https, with a session of its own making and with a given one."""

from typing import Any
from urllib.parse import urlsplit

from salesforce_bulk import BulkApiError, CsvDictsAdapter, SalesforceBulk
from steps import SANDBOX, Steps, refused

GIVEN = SANDBOX["salesforce"]
step = Steps()


def client(token: str = GIVEN["access_token"]) -> SalesforceBulk:
    return SalesforceBulk(sessionId=token, host=urlsplit(GIVEN["https_url"]).netloc)


BULK = client()  # it remembers what kind of file each of its jobs has


@step
def login() -> Any:
    bulk = SalesforceBulk(
        username=GIVEN["username"], password=GIVEN["password"], security_token=GIVEN["security_token"]
    )
    return {"session": bool(bulk.sessionId), "endpoint": bulk.endpoint}


def load(bulk: SalesforceBulk, job: str, rows: list[dict[str, Any]]) -> list[Any]:
    batch = bulk.post_batch(job, CsvDictsAdapter(iter(rows)))
    bulk.close_job(job)
    bulk.wait_for_batch(job, batch, sleep_interval=1)
    return bulk.get_batch_results(batch, job)


@step
def create() -> Any:
    rows = [{"LastName": f"O{number}", "Company": "Old"} for number in range(30)]
    results = load(BULK, BULK.create_insert_job("Lead", contentType="CSV"), [*rows, {"LastName": "", "Company": "Old"}])
    return {
        "good": sum(each.success == "true" for each in results),
        "bad": results[-1].error,
        "ids": [each.id for each in results[:30]],
    }


@step
def read() -> Any:
    bulk = BULK
    job = bulk.create_query_job("Lead", contentType="CSV")
    batch = bulk.query(job, "SELECT Id, LastName FROM Lead WHERE Company = 'Old'")
    bulk.close_job(job)
    bulk.wait_for_batch(job, batch, sleep_interval=1)
    lines = [line.decode() for result in bulk.get_all_results_for_query_batch(batch, job) for line in result]
    return {"head": lines[0].strip(), "rows": len([line for line in lines[1:] if line.strip()])}


@step
def change() -> Any:
    made = [
        each.id
        for each in load(
            BULK,
            BULK.create_insert_job("Lead", contentType="CSV"),
            [{"LastName": f"P{number}", "Company": "Other"} for number in range(3)],
        )
    ]
    job = BULK.create_update_job("Lead", contentType="CSV")
    updated = load(BULK, job, [{"Id": key, "Title": "Chief"} for key in made])
    job = BULK.create_upsert_job("Lead", external_id_name="CrmBridge_Id__c", contentType="CSV")
    keyed = [{"CrmBridge_Id__c": f"one/{number % 2}", "LastName": "U", "Company": "Other"} for number in range(2)]
    upserted = load(BULK, job, keyed)
    job = BULK.create_delete_job("Lead", contentType="CSV")
    deleted = load(BULK, job, [{"Id": made[0]}])
    return {
        "updated": sum(each.success == "true" for each in updated),
        "upserted": [each.created for each in upserted],
        "deleted": [each.success for each in deleted],
        "gone": made[0],
    }


@step
def error() -> Any:
    bad = refused(lambda: client("00D!guess").create_insert_job("Lead", contentType="CSV"))
    assert isinstance(bad, BulkApiError)
    unknown = refused(lambda: BULK.create_insert_job("Nothing__c", contentType="CSV"))
    return {"session": [bad.status_code, str(bad)], "object": [unknown.status_code, str(unknown)]}


step.run()
