"""zeep on a partner WSDL (its path is the first argument), over https: the SOAP calls of an org."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import zeep
from lxml import etree
from steps import SANDBOX, Steps
from zeep.exceptions import Fault

GIVEN = SANDBOX["salesforce"]
PARTNER, SOBJECT = "urn:partner.soap.sforce.com", "urn:sobject.partner.soap.sforce.com"
BINDING = f"{{{PARTNER}}}SoapBinding"
CLIENT = zeep.Client(sys.argv[1])
step = Steps()


class Org:
    """The service at the address that login gives, and the headers of its session."""

    def __init__(self) -> None:
        gate = CLIENT.create_service(BINDING, f"{GIVEN['https_url']}/services/Soap/u/27.0")
        self.login = gate.login(GIVEN["username"], GIVEN["password"] + GIVEN["security_token"])
        self.service = CLIENT.create_service(BINDING, self.login.serverUrl)
        self.headers = [element("SessionHeader")(sessionId=self.login.sessionId)]

    def call(self, name: str, *given: Any, more: tuple[Any, ...] = (), **options: Any) -> Any:
        answer = getattr(self.service, name)(*given, _soapheaders=[*self.headers, *more], **options)
        body = getattr(answer, "body", answer)
        return getattr(body, "result", body)


def element(name: str) -> Any:
    return CLIENT.get_element(f"{{{PARTNER}}}{name}")


def sobject(kind: str, key: str | None = None, nulls: list[str] | None = None, **fields: str) -> Any:
    found = []
    for name, value in fields.items():
        one = etree.Element(f"{{{SOBJECT}}}{name}")
        one.text = value
        found.append(one)
    extra: dict[str, Any] = {"Id": key} if key else {}
    return CLIENT.get_type(f"{{{SOBJECT}}}sObject")(type=kind, fieldsToNull=nulls or [], _value_1=found, **extra)


def value(row: Any, name: str) -> Any:
    return next(each.text for each in row._value_1 if etree.iselement(each) and etree.QName(each).localname == name)


def fault(action: Any, *given: Any) -> str:
    try:
        action(*given)
    except Fault as error:
        return str(error.code)
    raise AssertionError("no fault")


@step
def login(org: Org) -> Any:
    gate = CLIENT.create_service(BINDING, f"{GIVEN['https_url']}/services/Soap/u/27.0")
    other = Org()
    user = other.call("getUserInfo")
    other.call("logout")
    return {
        "wrong": fault(gate.login, GIVEN["username"], "guess"),
        "user": user.userName == GIVEN["username"],
        "organization": user.organizationId == org.login.userInfo.organizationId,
    }


@step
def create(org: Org) -> Any:
    made = [
        each
        for start in range(0, 500, 100)
        for each in org.call("create", [sobject("Lead", LastName=f"Z{start + n}", Company="Zeep") for n in range(100)])
    ]
    return {"made": sum(each.success for each in made)}


@step
def read(org: Org) -> Any:
    options = element("QueryOptions")(batchSize=200)
    page = org.call("query", "SELECT Id, LastName, Owner.Email FROM Lead WHERE Company = 'Zeep'", more=(options,))
    head = [page.size, page.done, len(page.records)]
    found = list(page.records)
    while not page.done:
        page = org.call("queryMore", page.queryLocator, more=(options,))
        found += page.records
    (owner,) = (each for each in found[0]._value_1 if not etree.iselement(each))
    described = org.call("describeSObjects", ["Lead", "Account"])
    return {
        "head": head,
        "rows": len({each.Id for each in found}),
        "owner": value(owner, "Email"),
        "described": [each.name for each in described],
        "fields": len(described[0].fields) > 20,
    }


@step
def update(org: Org) -> Any:
    (made,) = org.call("create", [sobject("Lead", LastName="Old", Company="One", Title="Chief")])
    (done,) = org.call("update", [sobject("Lead", made.id, nulls=["Title"], LastName="New")])
    return {"success": done.success, "id": made.id}


@step
def upsert(org: Org) -> Any:
    rows = [sobject("Lead", LastName="K", Company="b", CrmBridge_Id__c="zeep/1")]
    once, twice = (org.call("upsert", "CrmBridge_Id__c", rows)[0] for _ in range(2))
    return {"created": [once.created, twice.created], "same": once.id == twice.id}


@step
def delete(org: Org) -> Any:
    made = org.call("create", [sobject("Lead", LastName=name, Company="One") for name in ("Gone", "Back")])
    gone = org.call("delete", [each.id for each in made])
    (back,) = org.call("undelete", [made[1].id])
    return {"deleted": [each.success for each in gone], "undeleted": back.success, "ids": [each.id for each in made]}


@step
def batch(org: Org) -> Any:
    rows = [sobject("Lead", LastName="Good", Company="Mixed"), sobject("Lead", Company="Mixed")]
    good, bad = org.call("create", rows)
    whole = element("AllOrNoneHeader")(allOrNone=True)
    undone = org.call("create", rows, more=(whole,))
    return {"each": [good.success, bad.success], "code": bad.errors[0].statusCode, "whole": [e.success for e in undone]}


@step
def error(org: Org) -> Any:
    (refusal,) = org.call("create", [sobject("Lead", Company="x")])
    return {
        "row": refusal.errors[0].statusCode,
        "query": fault(org.call, "query", "SELECT Nothing FROM Lead"),
        "session": fault(
            lambda: org.service.query("SELECT Id FROM Lead", _soapheaders=[element("SessionHeader")(sessionId="00D!x")])
        ),
    }


@step
def changes(org: Org) -> Any:
    now = datetime.now(UTC)
    updated = org.call("getUpdated", "Lead", now - timedelta(hours=1), now + timedelta(minutes=2))
    deleted = org.call("getDeleted", "Lead", now - timedelta(hours=1), now + timedelta(minutes=2))
    return {"updated": len(updated.ids) > 500, "deleted": [each.id for each in deleted.deletedRecords]}


@step
def convert(org: Org) -> Any:
    made = org.call("create", [sobject("Lead", LastName="Boxer", Company="Farmers")])
    ask = {
        "leadId": made[0].id,
        "convertedStatus": "Closed - Converted",
        "doNotCreateOpportunity": False,
        "overwriteLeadSource": False,
        "sendNotificationEmail": False,
    }
    done, again = org.call("convertLead", [ask, ask])
    accounts = org.call("create", [sobject("Account", Name=name) for name in ("Acme", "ACME")])
    request = {"masterRecord": sobject("Account", accounts[0].id), "recordToMergeIds": [accounts[1].id]}
    (merged,) = org.call("merge", [request])
    return {
        "done": [done.success, done.leadId == made[0].id, done.opportunityId[:3]],
        "again": again.errors[0].statusCode,
        "merged": merged.success,
        "lead": made[0].id,
    }


step.run(Org())
