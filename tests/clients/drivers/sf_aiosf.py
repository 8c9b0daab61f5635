"""aio-sf over https: queries, Collections, Bulk 2.0 queries, describe."""

import asyncio
from typing import Any

import httpx
from aio_sf import ClientCredentialsAuth, RefreshTokenAuth, SalesforceAuthError, SalesforceClient, StaticTokenAuth
from steps import SANDBOX, Steps

GIVEN = SANDBOX["salesforce"]
URL = GIVEN["https_url"]
FIELD = "CrmBridge_Id__c"
step = Steps()


@step
async def login(org: SalesforceClient) -> Any:
    key, secret = GIVEN["client_id"], GIVEN["client_secret"]
    ways = [ClientCredentialsAuth(URL, key, secret), RefreshTokenAuth(URL, "over", GIVEN["refresh_token"], key, secret)]
    rows = []
    for way in ways:
        async with SalesforceClient(way) as client:
            rows.append(len(await (await client.query.soql("SELECT Id FROM User LIMIT 1")).collect_all()))
    try:
        async with SalesforceClient(ClientCredentialsAuth(URL, key, "guess")):
            raise AssertionError("not refused")
    except SalesforceAuthError as error:
        return {"rows": rows, "wrong": str(error)}


@step
async def create(org: SalesforceClient) -> Any:
    (made,) = await org.collections.insert([{"LastName": "Single", "Company": "One"}], sobject_type="Lead")
    return {"success": made["success"], "id": made["id"]}


@step
async def batch(org: SalesforceClient) -> Any:
    rows = [{"LastName": f"F{number}", "Company": "AioSf"} for number in range(2300)]
    made = await org.collections.insert(rows, sobject_type="Lead", all_or_none=False)
    mixed = await org.collections.insert(
        [{"LastName": "Good", "Company": "Mixed"}, {"Company": "Mixed"}], sobject_type="Lead", all_or_none=False
    )
    return {
        "made": sum(each["success"] for each in made),
        "mixed": [each["success"] for each in mixed],
        "code": mixed[1]["errors"][0]["statusCode"],
    }


@step
async def read(org: SalesforceClient) -> Any:
    found = await org.query.soql("SELECT Id, LastName FROM Lead WHERE Company = 'AioSf'")
    rows = [row async for row in found]
    described = await org.describe.sobject("Lead")
    return {
        "total": found.total_size,
        "rows": len({row["Id"] for row in rows}),
        "fields": len(described["fields"]) > 20,
    }


@step
async def bulk(org: SalesforceClient) -> Any:
    job = await org.bulk_v2.execute_query("SELECT Id, LastName FROM Lead WHERE Company = 'AioSf'", poll_interval=1)
    pages, locator = [], None
    while not pages or locator:
        text, locator = await org.bulk_v2.get_job_results(job["id"], locator=locator, max_records=1000)
        pages.append(text.count("\n") - 1)
    return {"pages": pages}


@step
async def update(org: SalesforceClient) -> Any:
    rows = await (await org.query.soql("SELECT Id FROM Lead WHERE Company = 'AioSf' LIMIT 201")).collect_all()
    records = [{"Id": row["Id"], "Title": "Chief"} for row in rows]
    return {"updated": sum(each["success"] for each in await org.collections.update(records, sobject_type="Lead"))}


@step
async def upsert(org: SalesforceClient) -> Any:
    rows = [{"LastName": "K", "Company": "b", FIELD: f"aiosf/{number}"} for number in range(2)]
    once = await org.collections.upsert(rows[:1], FIELD, sobject_type="Lead")
    twice = await org.collections.upsert(rows, FIELD, sobject_type="Lead")
    return {"created": [each["created"] for each in (*once, *twice)]}


@step
async def delete(org: SalesforceClient) -> Any:
    made = await org.collections.insert([{"LastName": "Gone", "Company": "One"}], sobject_type="Lead")
    done = await org.collections.delete([each["id"] for each in made])
    return {"success": [each["success"] for each in done], "id": made[0]["id"]}


@step
async def error(org: SalesforceClient) -> Any:
    seen = {}
    for name, soql in (("field", "SELECT Nothing FROM Lead"), ("object", "SELECT Id FROM Nothing")):
        try:
            await (await org.query.soql(soql)).collect_all()
        except httpx.HTTPStatusError as error:
            seen[name] = [error.response.status_code, error.response.json()[0]["errorCode"]]
    return seen


async def main() -> None:
    async with SalesforceClient(StaticTokenAuth(URL, GIVEN["access_token"])) as org:
        await step.run_async(org)


asyncio.run(main())
