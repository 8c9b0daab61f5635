"""simple-salesforce over https; the fixed login hosts are reached through the sandbox's proxy."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError
from steps import SANDBOX, Steps, refused

GIVEN = SANDBOX["salesforce"]
COMPANY = "SELECT Id, LastName FROM Lead WHERE Company = 'Simple'"
step = Steps()


def direct() -> Salesforce:
    return Salesforce(instance_url=GIVEN["https_url"], session_id=GIVEN["access_token"])


@step
def login(org: Salesforce) -> Any:
    user = {"username": GIVEN["username"], "password": GIVEN["password"]}
    key, secret = GIVEN["client_id"], GIVEN["client_secret"]
    ways = {
        "soap": {**user, "security_token": GIVEN["security_token"]},
        "password": {
            "username": user["username"],
            "password": user["password"] + GIVEN["security_token"],
            "consumer_key": key,
            "consumer_secret": secret,
        },
        "jwt": {"username": user["username"], "consumer_key": key, "privatekey_file": GIVEN["private_key_path"]},
        "client credentials": {"consumer_key": key, "consumer_secret": secret, "domain": "northfield.my"},
    }
    users = {name: Salesforce(**way).query("SELECT COUNT() FROM User")["totalSize"] for name, way in ways.items()}
    wrong: Any = refused(lambda: Salesforce(**user | {"password": "guess", "security_token": ""}))
    return {
        "same": len(set(users.values())) == 1,
        "ways": len(users),
        "wrong": [isinstance(wrong, SalesforceAuthenticationFailed), wrong.code],
    }


@step
def create(org: Salesforce) -> Any:
    return org.Lead.create({"LastName": "Single", "Company": "One", "NumberOfEmployees": 7})


@step
def bulk(org: Salesforce) -> Any:
    with open("rows.csv", "w", encoding="utf-8") as file:
        file.write("LastName,Company\n" + "".join(f"S{number},Simple\n" for number in range(2300)) + ",Simple\n")
    (loaded,) = org.bulk2.Lead.insert("rows.csv", wait=1)
    good = org.bulk2.Lead.get_successful_records(loaded["job_id"])
    bad = org.bulk2.Lead.get_failed_records(loaded["job_id"])
    pages = list(org.bulk2.Lead.query(COMPANY, max_records=1000, wait=1))
    ids = [line.split(",")[0].strip('"') for page in pages for line in page.strip().splitlines()[1:]]
    (gone,) = org.bulk2.Lead.delete(records=[{"Id": each} for each in ids[:100]], wait=1)
    return {
        "loaded": [loaded["numberRecordsProcessed"], loaded["numberRecordsFailed"]],
        "good": good.count("\n") - 1,
        "bad": bad,
        "pages": len(pages),
        "ids": len(set(ids)),
        "deleted": gone["numberRecordsProcessed"],
    }


@step
def bulk1(org: Salesforce) -> Any:
    bulk: Any = org.bulk
    made = bulk.Lead.insert([{"LastName": f"O{number}", "Company": "Old"} for number in range(2)])
    updated = bulk.Lead.update([{"Id": each["id"], "Title": "Chief"} for each in made])
    found = bulk.Lead.query("SELECT Id, Title FROM Lead WHERE Company = 'Old'")
    return {
        "made": [each["success"] for each in made],
        "updated": [each["success"] for each in updated],
        "read": sum(row["Title"] == "Chief" for row in found),
    }


@step
def read(org: Salesforce) -> Any:
    first = org.query(COMPANY)
    more = org.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    all_ids = {row["Id"] for row in org.query_all_iter(COMPANY)}
    return {
        "first": [first["totalSize"], first["done"], len(first["records"])],
        "more": len(more["records"]),
        "all": len(all_ids),
        "sobjects": any(each["name"] == "Lead" for each in org.describe()["sobjects"]),
        "fields": len(org.Lead.describe()["fields"]) > 20,
        "limits": "DailyApiRequests" in org.limits(),
    }


@step
def update(org: Salesforce) -> Any:
    key = org.Lead.create({"LastName": "Old", "Company": "One"})["id"]
    return {"status": org.Lead.update(key, {"LastName": "New"}), "name": org.Lead.get(key)["LastName"]}


@step
def upsert(org: Salesforce) -> Any:
    row = {"LastName": "K", "Company": "b"}
    statuses = [org.Lead.upsert("CrmBridge_Id__c/simple-1", row) for _ in range(2)]
    return {"statuses": statuses, "name": org.Lead.get_by_custom_id("CrmBridge_Id__c", "simple-1")["LastName"]}


@step
def delete(org: Salesforce) -> Any:
    key = org.Lead.create({"LastName": "Gone", "Company": "One"})["id"]
    return {"status": org.Lead.delete(key), "id": key}


@step
def batch(org: Salesforce) -> Any:
    records = [
        {"attributes": {"type": "Lead"}, "LastName": f"C{number}", "Company": "Together"} for number in range(200)
    ]
    made: Any = org.restful("composite/sobjects", method="POST", json={"records": records})
    parts = [
        {"method": "POST", "url": "/services/data/v59.0/sobjects/Account", "referenceId": "a", "body": {"Name": "Ref"}},
        {
            "method": "POST",
            "url": "/services/data/v59.0/sobjects/Contact",
            "referenceId": "c",
            "body": {"LastName": "Ref", "AccountId": "@{a.id}"},
        },
    ]
    composite: Any = org.restful("composite", method="POST", json={"allOrNone": True, "compositeRequest": parts})
    return {
        "made": sum(each["success"] for each in made),
        "composite": [each["httpStatusCode"] for each in composite["compositeResponse"]],
    }


@step
def error(org: Salesforce) -> Any:
    def told(error: Any) -> Any:
        assert isinstance(error, SalesforceError)
        return [type(error).__name__, error.status, error.content[0]["errorCode"]]

    stranger = Salesforce(instance_url=GIVEN["https_url"], session_id="00D!guess")
    return {
        "missing": told(refused(lambda: org.Lead.create({"Company": "x"}))),
        "unknown": told(refused(lambda: org.Lead.get("00Q000000000000AAA"))),
        "query": told(refused(lambda: org.query("SELECT Nothing FROM Lead"))),
        "session": told(refused(lambda: stranger.query("SELECT Id FROM Lead"))),
    }


@step
def changes(org: Salesforce) -> Any:
    now = datetime.now(UTC)
    key = org.Lead.create({"LastName": "Fresh", "Company": "One"})["id"]
    span = (now - timedelta(hours=1), now + timedelta(minutes=2))
    time.sleep(0.01)
    return {"updated": key in org.Lead.updated(*span)["ids"], "deleted": len(org.Lead.deleted(*span)["deletedRecords"])}


step.run(direct())
