"""Bulk jobs as simple-salesforce runs them on the sandbox over https, and recorded Bulk 1.0 exchanges of a real org,
each answered in the same form (salesforce-api §4.5, §12). jsforce is in tests/clients.
"""

import csv
import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceGeneralError, SalesforceMalformedRequest, SalesforceOperationError

from crmbridge.sandbox.server import Box, running_sandbox
from tests.support.material import folder, lines
from tests.support.salesforce_org import Bench, bench

KEY = "CrmBridge_Id__c"
ROWS = [{"LastName": f"B{at}", "Company": "Bulk" if at % 3 else "", KEY: f"k{at}"} for at in range(7)]


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with running_sandbox("empty") as running:
        yield running


@pytest.fixture
def org(box: Box) -> Iterator[Salesforce]:
    box.control.reset("empty")
    given = box.connect["salesforce"]
    with requests.Session() as session:
        session.trust_env, session.verify = False, box.connect["ca_path"]
        token = box.control.people("salesforce", "mia@acme.example")["access_token"]
        yield Salesforce(instance_url=given["https_url"], session_id=token, session=session)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


def test_bulk_2_of_simple_salesforce_writes(org: Any) -> None:
    leads = org.bulk2.Lead
    (told,) = leads.insert(records=ROWS, wait=0)
    assert (told["numberRecordsProcessed"], told["numberRecordsFailed"]) == (7, 3)
    results = leads.get_all_ingest_records(told["job_id"])
    assert {name: len(found) for name, found in results.items()} == {
        "successfulRecords": 4,
        "failedRecords": 3,
        "unprocessedRecords": 0,
    }
    error = "REQUIRED_FIELD_MISSING:Required fields are missing: [Company]:Company --"
    assert {row["sf__Error"] for row in results["failedRecords"]} == {error}
    changed = [{KEY: "k1", "City": "Rome"}, {KEY: "new", "LastName": "N", "Company": "C", "City": ""}]
    names = ("City", "Company", "LastName", KEY)
    (told,) = leads.upsert(records=[dict.fromkeys(names, "") | row for row in changed], external_id_field=KEY, wait=0)
    assert told["numberRecordsFailed"] == 0
    done = {row[KEY]: row["sf__Created"] for row in rows(leads.get_successful_records(told["job_id"]))}
    assert done == {"k1": "false", "new": "true"}
    assert org.query(f"SELECT LastName, City FROM Lead WHERE {KEY} = 'k1'")["records"][0]["City"] == "Rome"
    first, second, *_ = [row["Id"] for row in org.query("SELECT Id FROM Lead ORDER BY Id")["records"]]
    leads.update(records=[{"Id": first, "City": "#N/A"}], wait=0)
    leads.delete(records=[{"Id": first}], wait=0)
    leads.hard_delete(records=[{"Id": second}], wait=0)
    assert len(rows(next(leads.query_all("SELECT Id FROM Lead", wait=0)))) == 4
    with pytest.raises(SalesforceOperationError, match="InvalidBatch : Field name not found : LastNam"):
        leads.insert(records=[{"LastNam": "x"}], wait=0)


def test_bulk_2_of_simple_salesforce_reads(org: Any, tmp_path: Path) -> None:
    leads = org.bulk2.Lead
    leads.insert(records=[{"LastName": f"x{at}", "Company": 'Umeå, "AB"\nNord'} for at in range(250)], wait=0)
    pages = list(leads.query("SELECT Id, LastName, Company, Owner.Email FROM Lead", max_records=100, wait=0))
    found = [row for page in pages for row in rows(page)]
    assert [len(rows(page)) for page in pages] == [100, 100, 50]
    assert {row["LastName"] for row in found} == {f"x{at}" for at in range(250)}
    assert {(row["Company"], row["Owner.Email"]) for row in found} == {('Umeå, "AB"\nNord', "mia@acme.example")}
    files = leads.download("SELECT Id FROM Lead", str(tmp_path), max_records=200, wait=0)
    assert [each["number_of_records"] for each in files] == [200, 50]
    for soql in ("SELECT COUNT() FROM Lead", "SELECT Foo FROM Lead", "SELECT Id, Address FROM Lead"):
        with pytest.raises(SalesforceMalformedRequest) as refused:
            list(leads.query(soql, wait=0))
        told: Any = refused.value.content
        assert told[0]["errorCode"] == "API_ERROR"


def test_bulk_1_of_simple_salesforce(org: Any) -> None:
    leads = org.bulk.Lead
    made = leads.insert(ROWS)
    assert [each["success"] for each in made] == [bool(at % 3) for at in range(7)]
    assert made[0]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    found = leads.query(f"SELECT Id, LastName, CreatedDate, Owner.Email, {KEY} FROM Lead ORDER BY LastName")
    assert [row["LastName"] for row in found] == ["B1", "B2", "B4", "B5"]
    assert (found[0]["Owner"]["Email"], type(found[0]["CreatedDate"])) == ("mia@acme.example", int)
    saved = leads.upsert([{KEY: "k1", "City": "Rome"}, {KEY: "new", "LastName": "N", "Company": "C"}], KEY)
    assert [each["created"] for each in saved] == [False, True]
    detailed = leads.update([{"Id": found[1]["Id"], "City": "Oslo"}], include_detailed_results=True)
    assert (detailed[0]["success"], detailed[0]["City"]) == (True, "Oslo")
    assert leads.delete([{"Id": found[0]["Id"]}])[0]["success"]
    assert leads.hard_delete([{"Id": found[1]["Id"]}])[0]["success"]
    assert len(leads.query_all("SELECT Id FROM Lead")) == 4
    with pytest.raises(SalesforceGeneralError, match="Failed to process query: INVALID_FIELD"):
        leads.query("SELECT Foo FROM Lead")
    many = leads.insert([{"LastName": f"x{at}", "Company": "C"} for at in range(450)], batch_size=200)
    assert sum(each["success"] for each in many) == 450


def test_operations_in_jobs_are_counted_apart(box: Box, org: Any) -> None:
    box.control.forget_calls()
    leads = org.bulk2.Lead
    leads.insert(records=ROWS, wait=0)
    counted = box.control.calls()["salesforce"]
    assert counted["requests"]["data"]["Lead"] == {
        "bulk_create": 1,
        "bulk_info": counted["requests"]["data"]["Lead"]["bulk_info"],
        "bulk_state": 1,
        "bulk_upload": 1,
    }
    assert counted["operations"] == {"Lead": {"create": 7}}


# --- recorded --------------------------------------------------------------------------------------------------------

SPACE = "{http://www.force.com/2009/06/asyncapi/dataload}"
CHUNK = re.compile(r"[0-9a-f]+\r\n(.*?)\r\n(?=[0-9a-f]+\r\n)", re.DOTALL)


def unchunked(body: str) -> bytes:
    """Uploads were recorded with the sizes of their chunks."""
    return "".join(CHUNK.findall(body)).encode() if re.match(r"[0-9a-f]+\r\n", body) else body.encode()


def elements(body: bytes | str) -> list[str]:
    """Names of all elements in their order; states and numbers are the org's own business."""
    return [each.tag.removeprefix(SPACE) for each in ElementTree.fromstring(body).iter()]


def recorded() -> list[dict[str, Any]]:
    path = folder("sf-recorded-rest") / "exchanges.jsonl.gz"
    return [each for each in lines(path) if "/services/async/" in each["request"]["url"]]


def test_recorded_jobs_are_answered_in_the_same_form() -> None:
    """The recorded client finds a job and its batches through ids, which are ours here; rows are those it sent."""
    org: Bench = bench()
    ours: dict[str, str] = {}
    compared = 0
    for exchange in recorded():
        asked, answered = exchange["request"], exchange["response"]
        path = asked["url"].partition(".com")[2].replace("vxx.0", "60.0")
        for theirs, mine in ours.items():
            path = path.replace(theirs, mine)
        body = unchunked(asked["body"] or "")
        kind = "text/csv" if path.endswith("/batch") and body else "application/xml"
        headers = {"x-sfdc-session": org.token, "content-type": kind}
        reply = org.send(asked["method"], path, with_our_ids(body, org), headers)
        said = dict(reply.headers)
        assert (reply.status, said["Content-Type"]) == (answered["status"], answered["headers"]["content-type"]), path
        if said["Content-Type"] == "text/csv":
            found, wanted = (list(csv.reader(StringIO(text))) for text in (reply.body.decode(), answered["body"]))
            assert (found[0], len(found)) == (wanted[0], len(wanted))
        else:
            assert elements(reply.body) == elements(answered["body"]), path
        for theirs, mine in zip(ids(answered["body"]), ids(reply.body.decode()), strict=False):
            ours[theirs] = mine
        compared += 1
    assert compared > 30
    print(json.dumps({"recorded Bulk 1.0 exchanges answered in the same form": compared}))


def with_our_ids(body: bytes, org: Bench) -> bytes:
    """References to rows of their org are left out: those rows are not in ours."""
    return re.sub(rb'"00[0-9a-zA-Z]{16}"', b'""', body)


def ids(body: str) -> list[str]:
    return re.findall(r"<(?:id|jobId)>(\w+)<", body)
