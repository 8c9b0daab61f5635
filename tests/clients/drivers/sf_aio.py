"""aiosalesforce: `https://<domain>.my.salesforce.com` through the proxy, which httpx reads from the environment."""

import asyncio
from typing import Any

import httpx
from aiosalesforce import ClientCredentialsFlow, JwtBearerFlow, Salesforce, SoapLogin
from aiosalesforce.exceptions import AuthenticationError, NotFoundError, SalesforceError
from steps import SANDBOX, Steps

GIVEN = SANDBOX["salesforce"]
BASE = "https://northfield.my.salesforce.com"
step = Steps()


async def told(action: Any) -> list[Any]:
    try:
        await action
    except SalesforceError as error:
        return [type(error).__name__, error.error_code]
    raise AssertionError("not refused")


@step
async def login(org: Salesforce, http: httpx.AsyncClient) -> Any:
    ways = [
        ClientCredentialsFlow(client_id=GIVEN["client_id"], client_secret=GIVEN["client_secret"]),
        JwtBearerFlow(
            client_id=GIVEN["client_id"], username=GIVEN["username"], private_key_file=GIVEN["private_key_path"]
        ),
        SoapLogin(username=GIVEN["username"], password=GIVEN["password"], security_token=GIVEN["security_token"]),
    ]
    limits = [await Salesforce(http, base_url=BASE, auth=way).get_limits() for way in ways]
    wrong = Salesforce(
        http, base_url=BASE, auth=ClientCredentialsFlow(client_id=GIVEN["client_id"], client_secret="guess")
    )
    return {"ways": sum("DailyApiRequests" in each for each in limits), "wrong": await told(wrong.get_limits())}


@step
async def create(org: Salesforce, http: httpx.AsyncClient) -> Any:
    key = await org.sobject.create("Lead", {"LastName": "Single", "Company": "One"})
    return {"id": key}


@step
async def bulk(org: Salesforce, http: httpx.AsyncClient) -> Any:
    rows = [{"LastName": f"A{number}", "Company": "Aio"} for number in range(2300)]
    done = await org.bulk_v2.insert("Lead", [*rows, {"LastName": None, "Company": "Aio"}])
    (job,) = done.jobs
    return {
        "good": len(done.successful_results),
        "bad": [each["sf__Error"] for each in done.failed_results],
        "left": len(done.unprocessed_records),
        "job": [job.state, job.object],
    }


@step
async def read(org: Salesforce, http: httpx.AsyncClient) -> Any:
    found = {row["Id"] async for row in org.query("SELECT Id FROM Lead WHERE Company = 'Aio'")}
    return {"rows": len(found)}


@step
async def update(org: Salesforce, http: httpx.AsyncClient) -> Any:
    key = await org.sobject.create("Lead", {"LastName": "Old", "Company": "One"})
    await org.sobject.update("Lead", key, {"LastName": "New"})
    return {"name": (await org.sobject.get("Lead", key, fields=["LastName"]))["LastName"]}


@step
async def upsert(org: Salesforce, http: httpx.AsyncClient) -> Any:
    row = {"LastName": "K", "Company": "b"}
    one, two = [await org.sobject.upsert("Lead", "aio-1", "CrmBridge_Id__c", row) for _ in range(2)]
    return {"created": [one.created, two.created], "same": one.id == two.id}


@step
async def delete(org: Salesforce, http: httpx.AsyncClient) -> Any:
    key = await org.sobject.create("Lead", {"LastName": "Gone", "Company": "One"})
    await org.sobject.delete("Lead", key)
    return {"id": key, "after": await told(org.sobject.get("Lead", key))}


@step
async def batch(org: Salesforce, http: httpx.AsyncClient) -> Any:
    async with org.composite.batch() as parts:
        query = parts.query("SELECT Id FROM User LIMIT 1")
        made = parts.sobject.create("Lead", {"LastName": "Part", "Company": "Batch"})
        wrong = parts.sobject.create("Lead", {"Company": "Batch"})
    async with org.composite(all_or_none=True) as whole:
        account = whole.sobject.create("Account", {"Name": "Ref"})
        contact = whole.sobject.create("Contact", {"LastName": "Ref", "AccountId": str(account.reference.id)})
    undone = org.composite(all_or_none=True)
    first = undone.sobject.create("Account", {"Name": "Undone"})
    undone.sobject.create("Contact", {"AccountId": str(first.reference.id)})
    await undone.execute()
    return {
        "batch": [len(query.records), made.status_code, wrong.status_code],
        "composite": [account.status_code, contact.status_code],
        "contact": contact.id,
        "undone": first.is_success,
    }


@step
async def error(org: Salesforce, http: httpx.AsyncClient) -> Any:
    return {
        "missing": await told(org.sobject.create("Lead", {"Company": "x"})),
        "unknown": await told(org.sobject.get("Lead", "00Q000000000000AAA")),
        "classes": [issubclass(each, SalesforceError) for each in (AuthenticationError, NotFoundError)],
    }


async def main() -> None:
    auth = ClientCredentialsFlow(client_id=GIVEN["client_id"], client_secret=GIVEN["client_secret"])
    async with httpx.AsyncClient(timeout=60) as http:
        await step.run_async(Salesforce(http, base_url=BASE, auth=auth), http)


asyncio.run(main())
