"""Bulk API 1.0 in the sandbox's org: XML and JSON jobs, batches, results, refusals (salesforce-api §1.4, §9.1, §12)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

from crmbridge.sandbox.core import Reply
from tests.support.salesforce_bulk import sheet, table
from tests.support.salesforce_org import Bench, bench

SPACE = "{http://www.force.com/2009/06/asyncapi/dataload}"
XML, CSV, JSON = "application/xml; charset=UTF-8", "text/csv; charset=UTF-8", "application/json"
LEAD = {"LastName": "Boxer", "Company": "Farmers"}


@dataclass
class Classic:
    org: Bench

    def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = XML, headers: Mapping[str, str] | None = None
    ) -> Reply:
        given = {"content-type": kind, "x-sfdc-session": self.org.token, "authorization": "", **(headers or {})}
        return self.org.send(method, f"/services/async/60.0/{path}", body, given)

    def job(self, operation: str, name: str = "Lead", media: str = "CSV", **headers: str) -> str:
        """Made with XML for CSV and XML, with JSON for JSON."""
        if media == "JSON":
            body = json.dumps({"operation": operation, "object": name, "contentType": media, "concurrencyMode": 0})
            made = self.ask("POST", "job", body.encode(), JSON, headers)
            assert made.status == 201, made.body
            return json.loads(made.body)["id"]
        parts = {"operation": operation, "object": name, "contentType": media}
        made = self.ask("POST", "job", info(parts), XML, headers)
        assert made.status == 201, made.body
        return texts(made)["id"]

    def batch(self, job: str, body: bytes, kind: str = CSV) -> str:
        made = self.ask("POST", f"job/{job}/batch", body, kind)
        assert made.status == 201, made.body
        if kind == JSON:
            return json.loads(made.body)["id"]
        assert texts(made)["state"] == "Queued"
        return texts(made)["id"]

    def state(self, job: str, state: str) -> Reply:
        return self.ask("POST", f"job/{job}", info({"state": state}))


def info(parts: Mapping[str, str]) -> bytes:
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in parts.items())
    return f'<?xml version="1.0"?><jobInfo xmlns="{SPACE[1:-1]}">{inner}</jobInfo>'.encode()


def texts(reply: Reply) -> dict[str, str]:
    assert dict(reply.headers)["Content-Type"] == "application/xml"
    return {child.tag.removeprefix(SPACE): child.text or "" for child in ElementTree.fromstring(reply.body)}


@pytest.fixture
def classic() -> Classic:
    return Classic(bench())


def test_a_csv_job_as_recorded(classic: Classic) -> None:
    made = classic.ask("POST", "job", info({"operation": "insert", "object": "Lead", "contentType": "CSV"}))
    assert list(texts(made)) == [
        "id",
        "operation",
        "object",
        "createdById",
        "createdDate",
        "systemModstamp",
        "state",
        "concurrencyMode",
        "contentType",
        "numberBatchesQueued",
        "numberBatchesInProgress",
        "numberBatchesCompleted",
        "numberBatchesFailed",
        "numberBatchesTotal",
        "numberRecordsProcessed",
        "numberRetries",
        "apiVersion",
        "numberRecordsFailed",
        "totalProcessingTime",
        "apiActiveProcessingTime",
        "apexProcessingTime",
    ]
    assert made.body.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?><jobInfo\n   xmlns="http://www.force.com/2009/06'
    )
    job = texts(made)["id"]
    batch = classic.batch(job, sheet([LEAD, {"LastName": "Roe"}]))
    assert texts(classic.state(job, "Closed"))["state"] == "Closed"
    told = texts(classic.ask("GET", f"job/{job}", kind=JSON))  # clients sheet, point 4
    assert (told["numberBatchesCompleted"], told["numberRecordsProcessed"], told["numberRecordsFailed"]) == (
        "1",
        "2",
        "1",
    )
    listed = ElementTree.fromstring(classic.ask("GET", f"job/{job}/batch").body)
    assert [each.findtext(f"{SPACE}state") for each in listed] == ["Completed"]
    assert texts(classic.ask("GET", f"job/{job}/batch/{batch}"))["jobId"] == job
    result = classic.ask("GET", f"job/{job}/batch/{batch}/result")
    assert dict(result.headers)["Content-Type"] == "text/csv"
    lead = classic.org.one("SELECT Id FROM Lead")["Id"]
    error = "REQUIRED_FIELD_MISSING:Required fields are missing: [Company]:Company --"
    assert result.body.decode() == (
        f'"Id","Success","Created","Error"\n"{lead}","true","true",""\n"","false","false","{error}"\n'
    )
    assert classic.ask("GET", f"job/{job}/batch/{batch}/request").body == sheet([LEAD, {"LastName": "Roe"}])


def test_a_json_job(classic: Classic) -> None:
    job = classic.job("insert", media="JSON")
    shown = json.loads(classic.ask("GET", f"job/{job}", kind=JSON).body)
    assert (shown["apiVersion"], shown["concurrencyMode"], shown["externalIdFieldName"]) == (60.0, "Parallel", None)
    assert shown["createdDate"] == "2026-01-31T09:15:22.000+0000"
    rows = [{**LEAD, "AnnualRevenue": 10, "City": None}, {"LastName": "Roe"}, {**LEAD, "AnnualRevenue": "many"}]
    batch = classic.batch(job, json.dumps(rows).encode(), JSON)
    result = classic.ask("GET", f"job/{job}/batch/{batch}/result", kind=JSON)
    assert dict(result.headers)["Content-Type"] == "application/json"
    first, second, third = json.loads(result.body)
    assert (first["success"], first["created"], first["errors"]) == (True, True, [])
    assert (second["success"], second["id"]) == (False, None)
    assert second["errors"][0] | {"extendedErrorDetails": None} == {
        "fields": ["Company"],
        "message": "Required fields are missing: [Company]",
        "statusCode": "REQUIRED_FIELD_MISSING",
        "extendedErrorDetails": None,
    }
    assert third["errors"][0]["statusCode"] == "INVALID_FIELD"
    listed = json.loads(classic.ask("GET", f"job/{job}/batch", kind=JSON).body)
    assert [each["state"] for each in listed["batchInfo"]] == ["Completed"]
    closed = classic.ask("POST", f"job/{job}", b'{"state": "Closed"}', JSON)
    assert json.loads(closed.body)["state"] == "Closed"


def test_an_xml_job(classic: Classic) -> None:
    org = classic.org
    account = org.create("Account", Name="Acme")
    kept = org.create("Contact", LastName="Roe", Phone="1")
    job = classic.job("update", "Contact", "XML")
    body = (
        f'<sObjects xmlns="{SPACE[1:-1]}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<sObject><Id>{kept}</Id><Title>R&amp;D</Title><Phone xsi:nil='true'/>"
        f"<AccountId>{account}</AccountId></sObject>"
        "<sObject><Id>003000000000000AAA</Id><Title>x</Title></sObject></sObjects>"
    )
    batch = classic.batch(job, body.encode(), XML)
    result = ElementTree.fromstring(classic.ask("GET", f"job/{job}/batch/{batch}/result").body)
    assert [each.findtext(f"{SPACE}success") for each in result] == ["true", "false"]
    assert result[1].findtext(f"{SPACE}errors/{SPACE}statusCode") == "INVALID_CROSS_REFERENCE_KEY"
    row = org.get("Contact", kept)
    assert (row["Title"], row["Phone"], row["AccountId"]) == ("R&D", None, account)


def test_queries_in_every_form(classic: Classic) -> None:
    classic.org.create("Lead", **LEAD, City="Umeå")
    soql = "SELECT Id, City, Email, CreatedDate, Owner.Username FROM Lead"
    job = classic.job("query")
    batch = classic.batch(job, soql.encode())
    listed = ElementTree.fromstring(classic.ask("GET", f"job/{job}/batch/{batch}/result", kind=JSON).body)
    assert listed.tag == f"{SPACE}result-list"
    (key,) = [each.text for each in listed]
    rows = table(classic.ask("GET", f"job/{job}/batch/{batch}/result/{key}").body)
    assert [(row["City"], row["Owner.Username"]) for row in rows] == [("Umeå", "sync@acme.example")]

    job = classic.job("query", media="JSON")
    batch = classic.batch(job, soql.encode(), JSON)
    (key,) = json.loads(classic.ask("GET", f"job/{job}/batch/{batch}/result", kind=JSON).body)
    (row,) = json.loads(classic.ask("GET", f"job/{job}/batch/{batch}/result/{key}", kind=JSON).body)
    assert (row["City"], row["Email"], row["CreatedDate"]) == ("Umeå", None, 1769850922000)
    assert (row["attributes"]["type"], row["Owner"]["Username"]) == ("Lead", "sync@acme.example")

    job = classic.job("queryAll", media="XML")
    batch = classic.batch(job, soql.encode(), XML)
    (key,) = [each.text for each in ElementTree.fromstring(classic.ask("GET", f"job/{job}/batch/{batch}/result").body)]
    shown = ElementTree.fromstring(classic.ask("GET", f"job/{job}/batch/{batch}/result/{key}").body)
    assert shown.findtext(f"{SPACE}records/{SPACE}Owner/{SPACE}Username") == "sync@acme.example"


def test_a_query_without_rows(classic: Classic) -> None:
    job = classic.job("query")
    batch = classic.batch(job, b"SELECT Id FROM Lead")
    (key,) = [each.text for each in ElementTree.fromstring(classic.ask("GET", f"job/{job}/batch/{batch}/result").body)]
    assert classic.ask("GET", f"job/{job}/batch/{batch}/result/{key}").body == b"Records not found for this query"


@pytest.mark.parametrize(
    ("soql", "message"),
    [
        ("SELECT Foo FROM Lead", "InvalidBatch : Failed to process query: INVALID_FIELD: \nSELECT Foo FROM Lead"),
        (
            "SELECT Id FROM Contact",
            "InvalidBatch : Failed to process query: INVALID_TYPE_FOR_OPERATION: The root",
        ),
        (
            "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
            "InvalidBatch : Failed to process query: INVALID_TYPE_FOR_OPERATION: The root",
        ),
        (
            "SELECT Address FROM Lead",
            "InvalidBatch : Failed to process query: FUNCTIONALITY_NOT_ENABLED: Selecting",
        ),
        (
            "SELECT COUNT() FROM Lead",
            "InvalidBatch : Failed to process query: FUNCTIONALITY_NOT_ENABLED: Aggregate",
        ),
        (
            "SELECT Id, (SELECT Id FROM CampaignMembers) FROM Lead",
            "FeatureNotEnabled : Aggregate Relationships not supported in Bulk Query with CSV content type",
        ),
    ],
)
def test_batches_of_bad_queries_fail(classic: Classic, soql: str, message: str) -> None:
    job = classic.job("query")
    batch = classic.batch(job, soql.encode())
    told = texts(classic.ask("GET", f"job/{job}/batch/{batch}"))
    assert told["state"] == "Failed"
    assert told["stateMessage"].startswith(message)
    refused = classic.ask("GET", f"job/{job}/batch/{batch}/result")
    assert (refused.status, texts(refused)["exceptionCode"]) == (400, "InvalidBatch")
    assert texts(classic.ask("GET", f"job/{job}"))["numberBatchesFailed"] == "1"


def test_chunks_by_primary_key(classic: Classic) -> None:
    for at in range(5):
        classic.org.create("Lead", **LEAD, City=str(at))
    header = {"sforce-enable-pkchunking": "true; chunkSize=2", "sforce-disable-batch-retry": "true"}
    made = classic.ask("POST", "job", info({"operation": "query", "object": "Lead", "contentType": "CSV"}), XML, header)
    job = texts(made)["id"]
    first = classic.batch(job, b"SELECT City FROM Lead WHERE City != '0'")
    assert texts(classic.ask("GET", f"job/{job}/batch/{first}"))["state"] == "NotProcessed"
    listed = ElementTree.fromstring(classic.ask("GET", f"job/{job}/batch").body)
    assert [each.findtext(f"{SPACE}state") for each in listed] == ["NotProcessed", *["Completed"] * 3]
    counts = [each.findtext(f"{SPACE}numberRecordsProcessed") for each in listed]
    assert counts == ["0", "1", "2", "1"]
    assert classic.org.rest("GET", "jobs/ingest?isPkChunkingEnabled=true").body["records"][0]["id"] == job
    header = {"sforce-enable-pkchunking": "chunkSize=1000000"}
    body = info({"operation": "query", "object": "Lead", "contentType": "CSV"})
    assert classic.ask("POST", "job", body, XML, header).status == 400


def test_unknown_columns_fail_the_batch(classic: Classic) -> None:
    job = classic.job("insert")
    batch = classic.batch(job, b"Foo\r\nx\r\n")
    told = texts(classic.ask("GET", f"job/{job}/batch/{batch}"))
    assert (told["state"], told["stateMessage"]) == ("Failed", "InvalidBatch : Field name not found : Foo")
    refused = classic.ask("GET", f"job/{job}/batch/{batch}/result", kind=JSON)
    assert json.loads(refused.body) == {"exceptionCode": "InvalidBatch", "exceptionMessage": "Records not processed"}


def test_an_aborted_job_processes_nothing_more() -> None:
    classic = Classic(bench({"org": {"bulk_seconds": 60}}))
    job = classic.job("insert")
    batch = classic.batch(job, sheet([LEAD]))
    assert texts(classic.ask("GET", f"job/{job}/batch/{batch}"))["state"] == "Queued"
    classic.org.wait(seconds=30)
    assert texts(classic.ask("GET", f"job/{job}"))["numberBatchesInProgress"] == "1"
    assert texts(classic.state(job, "Aborted"))["state"] == "Aborted"
    classic.org.wait(hours=1)
    assert texts(classic.ask("GET", f"job/{job}/batch/{batch}"))["state"] == "NotProcessed"
    assert classic.org.rows("SELECT Id FROM Lead") == []
    late = classic.ask("POST", f"job/{job}/batch", sheet([LEAD]), CSV)
    assert (late.status, texts(late)["exceptionCode"]) == (400, "InvalidJobState")
    assert texts(classic.state(job, "Closed"))["exceptionCode"] == "InvalidJobState"


def test_sessions(classic: Classic) -> None:
    for headers in ({"x-sfdc-session": "wrong"}, {"x-sfdc-session": ""}):
        refused = classic.ask("GET", "job/750000000000000AAA", headers=headers)
        assert (refused.status, texts(refused)["exceptionCode"]) == (400, "InvalidSessionId")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"operation": "merge"}, "InvalidJob"),
        ({"object": "Nothing"}, "InvalidEntity"),
        ({"contentType": "YAML"}, "InvalidJob"),
        ({"contentType": "ZIP_CSV"}, "NOT_SERVED_BY_SANDBOX"),
        ({"concurrencyMode": "Fast"}, "InvalidJob"),
        ({"operation": "upsert"}, "InvalidJob"),
        ({"operation": "upsert", "externalIdFieldName": "City"}, "InvalidJob"),
        ({"assignmentRuleId": "x"}, "InvalidJob"),
        ({"colour": "red"}, "InvalidJob"),
    ],
)
def test_jobs_that_are_not_made(classic: Classic, given: dict[str, str], code: str) -> None:
    parts = {"operation": "insert", "object": "Lead", "contentType": "CSV", **given}
    told = texts(classic.ask("POST", "job", info(parts)))
    assert told["exceptionCode"] == code
    answered = classic.ask("POST", "job", json.dumps(parts).encode(), JSON)
    assert json.loads(answered.body)["exceptionCode"] == code


def test_what_cannot_be_read(classic: Classic) -> None:
    def code(reply: Reply) -> str:
        return texts(reply)["exceptionCode"]

    assert code(classic.ask("POST", "job", b"<jobInfo")) == "InvalidXML"
    assert code(classic.ask("POST", "job", b"<other/>")) == "InvalidXML"
    doctype = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><jobInfo><state>&e;</state></jobInfo>'
    assert code(classic.ask("POST", "job", doctype)) == "InvalidXML"
    assert code(classic.ask("GET", "job/750000000000000AAA")) == "InvalidJob"
    assert code(classic.ask("PUT", "job")) == "MethodNotAllowed"
    assert code(classic.ask("GET", "other")) == "InvalidUrl"
    job = classic.job("insert")
    assert code(classic.ask("GET", f"job/{job}/batch/751000000000000AAA")) == "InvalidBatch"
    assert code(classic.ask("POST", f"job/{job}/batch", b"[]", JSON.replace("json", "xml"))) == "InvalidBatch"
    assert code(classic.ask("POST", f"job/{job}/batch", b"", CSV)) == "ClientInputError"
    assert code(classic.ask("POST", f"job/{job}/spec", b"", CSV)) == "NOT_SERVED_BY_SANDBOX"
    assert code(classic.ask("GET", f"job/{job}", headers={"sforce-strange": "1"})) == "NOT_SERVED_BY_SANDBOX"
    missing = classic.ask("GET", "job/750000000000000AAA", kind=JSON)
    assert json.loads(missing.body)["exceptionCode"] == "InvalidJob"  # clients ask so whether a job is there
    for body in (b"{", b"{}", b"[1]", json.dumps([LEAD] * 10_001).encode()):
        job = classic.job("insert", media="JSON")
        batch = classic.batch(job, body, JSON)
        assert json.loads(classic.ask("GET", f"job/{job}/batch/{batch}", kind=JSON).body)["state"] == "Failed"
    old = classic.org.send("GET", "/services/async/19.0/job", headers={"content-type": XML})
    assert texts(old)["exceptionCode"] == "InvalidVersion"


def test_batches_are_counted(classic: Classic) -> None:
    job = classic.job("insert")
    classic.batch(job, sheet([LEAD] * 3))
    last = classic.org.world.calls[-1]
    assert (last.kind, last.table, last.operations) == ("bulk_upload", "Lead", (("Lead", "create"),) * 3)
    assert classic.org.rest("GET", "limits").body["DailyBulkApiBatches"]["Remaining"] == 14_999
    assert classic.org.rest("GET", "limits").body["DailyApiRequests"]["Remaining"] == 15_000 - 4
