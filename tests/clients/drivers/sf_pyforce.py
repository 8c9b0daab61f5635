"""pyforce, of the beatbox family: the partner API by hand-written envelopes, packed with gzip, over https."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyforce
from pyforce.xmlclient import SessionTimeoutError, SoapFaultError
from steps import SANDBOX, Steps

GIVEN = SANDBOX["salesforce"]
URL = f"{GIVEN['https_url']}/services/Soap/u/28.0"
PASSWORD = GIVEN["password"] + GIVEN["security_token"]
step = Steps()


def lead(name: str, company: str = "Pyforce", **more: Any) -> dict[str, Any]:
    return {"type": "Lead", "LastName": name, "Company": company, **more}


def fault(action: Any, *given: Any) -> str:
    try:
        action(*given)
    except (SoapFaultError, SessionTimeoutError) as error:
        return error.faultCode
    raise AssertionError("no fault")


@step
def login(org: Any) -> Any:
    other = pyforce.PythonClient(serverUrl=URL)
    wrong = fault(other.login, GIVEN["username"], "guess")
    other.login(GIVEN["username"], PASSWORD)
    user = other.getUserInfo()
    other.logout()
    return {
        "wrong": wrong,
        "user": user["userEmail"] == GIVEN["username"],
        "after": fault(other.query, "SELECT Id FROM Lead"),
    }


@step
def create(org: Any) -> Any:
    made = [one for start in (0, 200, 400) for one in org.create([lead(f"P{start + n}") for n in range(200)])]
    return {"made": sum(one["success"] for one in made)}


@step
def read(org: Any) -> Any:
    page = org.query("SELECT Id, LastName, CreatedDate, IsConverted, Owner.Email FROM Lead WHERE Company = 'Pyforce'")
    head, first = [page.size, page.done, len(page)], page[0]
    rows = list(page)
    while not page.done:
        page = org.queryMore(page.queryLocator)
        rows += page
    (described,) = org.describeSObjects("Lead")
    return {
        "head": head,
        "rows": len({row["Id"] for row in rows}),
        "types": [type(first["CreatedDate"]).__name__, first["IsConverted"]],
        "owner": first["Owner"]["Email"],
        "retrieved": org.retrieve("LastName", "Lead", [first["Id"]])[0]["LastName"] == first["LastName"],
        "status": described.fields["Status"].type,
        "objects": "Opportunity" in org.describeGlobal()["types"],
    }


@step
def update(org: Any) -> Any:
    (made,) = org.create([lead("Old", "One", Title="Chief")])
    (done,) = org.update([{"type": "Lead", "Id": made["id"], "LastName": "New", "Title": None}])
    return {"success": done["success"], "id": made["id"]}


@step
def upsert(org: Any) -> Any:
    once, twice = (org.upsert("CrmBridge_Id__c", [lead("K", "b", CrmBridge_Id__c="pyforce/1")])[0] for _ in range(2))
    return {"created": [once["created"], twice["created"]], "same": once["id"] == twice["id"]}


@step
def delete(org: Any) -> Any:
    (made,) = org.create([lead("Gone", "One")])
    (gone,), (again,) = org.delete([made["id"]]), org.delete([made["id"]])
    return {"id": made["id"], "success": gone["success"], "again": again["errors"][0]["statusCode"]}


@step
def batch(org: Any) -> Any:
    good, bad = org.create([lead("Good", "Mixed"), {"type": "Lead", "Company": "Mixed"}])
    return {"each": [good["success"], bad["success"]], "code": bad["errors"][0]["statusCode"]}


@step
def error(org: Any) -> Any:
    return {"query": fault(org.query, "SELECT Nothing FROM Lead"), "type": fault(org.create, {"type": "Nothing"})}


@step
def changes(org: Any) -> Any:
    now = datetime.now(UTC).replace(tzinfo=None)
    span = ("Lead", now - timedelta(hours=1), now + timedelta(minutes=2))
    return {"updated": len(org.getUpdated(*span)) > 600, "deleted": [one["id"] for one in org.getDeleted(*span)]}


@step
def convert(org: Any) -> Any:
    (made,) = org.create([lead("Boxer", "Farmers")])
    ask = {"leadId": made["id"], "convertedStatus": "Closed - Converted", "doNotCreateOpportunity": False,
           "overwriteLeadSource": False, "sendNotificationEmail": False}  # fmt: skip
    (done,) = org.convert_leads(ask)
    found = org.search("FIND {Boxer} IN NAME FIELDS RETURNING Contact(Id)")
    return {"success": done["success"], "opportunity": done["opportunity_id"][:3], "found": len(found)}


ORG = pyforce.PythonClient(serverUrl=URL)
ORG.login(GIVEN["username"], PASSWORD)
step.run(ORG)
