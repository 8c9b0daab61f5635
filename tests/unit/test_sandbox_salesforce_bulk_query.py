"""Query jobs of Bulk API 2.0 in the sandbox: pages, locators, parallel results, refusals (salesforce-api §4.3)."""

from typing import Any

import pytest

from tests.support.salesforce_bulk import page, query, table
from tests.support.salesforce_org import Bench, bench

LEAD = {"LastName": "Boxer", "Company": "Farmers"}


@pytest.fixture
def org() -> Bench:
    return bench()


def headers(reply: Any) -> dict[str, str]:
    return dict(reply.headers)


def test_a_query_job_from_beginning_to_end(org: Bench) -> None:
    org.create("Lead", **LEAD, AnnualRevenue=12.5, City="Umeå")
    made = org.rest(
        "POST", "jobs/query", {"operation": "query", "query": "SELECT Id FROM lead"}, {"accept": "text/csv"}
    )
    assert (made.status, made.body["state"], made.body["object"]) == (200, "UploadComplete", "Lead")
    assert {"lineEnding", "columnDelimiter", "apiVersion"} <= made.body.keys()
    assert "contentUrl" not in made.body
    key = query(org, "SELECT lastname, OWNER.username, AnnualRevenue, IsConverted, Email, CreatedDate, City FROM Lead")
    info = org.rest("GET", f"jobs/query/{key}").body
    assert (info["state"], info["jobType"], info["numberRecordsProcessed"]) == ("JobComplete", "V2Query", 1)
    assert "errorMessage" not in info
    reply = page(org, key)
    assert reply.body.decode() == (
        '"LastName","Owner.Username","AnnualRevenue","IsConverted","Email","CreatedDate","City"\n'
        '"Boxer","sync@acme.example","13.0","false","","2026-01-31T09:15:22.000Z","Umeå"\n'
    )
    told = headers(reply)
    assert (told["Sforce-Locator"], told["Sforce-NumberOfRecords"]) == ("null", "1")
    assert told["Content-Type"] == "text/csv; charset=UTF-8"


def test_pages_by_locator(org: Bench) -> None:
    for at in range(7):
        org.create("Lead", **LEAD, City=str(at))
    key = query(org, "SELECT City FROM Lead ORDER BY City")
    found: list[str] = []
    locators: list[str] = []
    options = "?maxRecords=3"
    while not locators or locators[-1] != "null":
        reply = page(org, key, options)
        found += [row["City"] for row in table(reply.body)]
        locators.append(headers(reply)["Sforce-Locator"])
        options = f"?maxRecords=3&locator={locators[-1]}"
    assert found == [str(at) for at in range(7)]
    assert locators == ["Mw", "Ng", "null"]
    assert headers(page(org, key, "?locator=Mw&maxRecords=2"))["Sforce-NumberOfRecords"] == "2"
    for wrong in ("?locator=%21", "?locator=OTk", "?maxRecords=0", "?maxRecords=x"):
        assert page(org, key, wrong).status == 400


def test_a_result_stays_what_it_was(org: Bench) -> None:
    lead = org.create("Lead", **LEAD, City="Rome")
    key = query(org, "SELECT City FROM Lead")
    org.update("Lead", lead, City="Oslo")
    org.create("Lead", **LEAD)
    assert table(page(org, key).body) == [{"City": "Rome"}]


def test_empty_results_are_a_header(org: Bench) -> None:
    key = query(org, "SELECT Id, Owner.Name FROM Lead", columnDelimiter="PIPE", lineEnding="CRLF")
    reply = page(org, key)
    assert reply.body == b'"Id"|"Owner.Name"\r\n'
    assert headers(reply)["Sforce-NumberOfRecords"] == "0"
    pages = org.rest("GET", f"jobs/query/{key}/resultPages").body
    assert (len(pages["resultPages"]), pages["done"], pages["nextRecordsUrl"]) == (1, True, None)


def test_deleted_rows_are_for_query_all(org: Bench) -> None:
    org.rest("DELETE", f"sobjects/Lead/{org.create('Lead', **LEAD)}")
    assert table(page(org, query(org, "SELECT Id FROM Lead")).body) == []
    assert len(table(page(org, query(org, "SELECT Id, IsDeleted FROM Lead", "queryAll")).body)) == 1


def test_parallel_pages() -> None:
    org = bench({"org": {"bulk_result_rows": 2}})
    for at in range(13):
        org.create("Lead", **LEAD, City=f"{at:02}")
    key = query(org, "SELECT City FROM Lead ORDER BY City")
    first = org.rest("GET", f"jobs/query/{key}/resultPages").body
    assert (len(first["resultPages"]), first["done"]) == (5, False)
    assert first["resultPages"][0]["resultUrl"].startswith(f"/services/data/v60.0/jobs/query/{key}/results?locator=")
    last = org.rest("GET", first["nextRecordsUrl"]).body
    assert (len(last["resultPages"]), last["done"], last["nextRecordsUrl"]) == (2, True, None)
    urls = [each["resultUrl"] for each in first["resultPages"] + last["resultPages"]]
    cities = [row["City"] for url in urls for row in table(org.send("GET", url).body)]
    assert cities == [f"{at:02}" for at in range(13)]
    assert org.rest("GET", f"jobs/query/{key}/resultPages", version="57.0").status == 404


def test_results_need_the_version_of_the_job_and_its_end() -> None:
    org = bench({"org": {"bulk_seconds": 60}})
    key = query(org, "SELECT Id FROM Lead")
    assert org.rest("GET", f"jobs/query/{key}/results").codes == ["INVALIDJOBSTATE"]
    org.wait(seconds=30)
    assert org.rest("GET", f"jobs/query/{key}").body["state"] == "InProgress"
    org.wait(seconds=30)
    assert org.rest("GET", f"jobs/query/{key}").body["state"] == "JobComplete"
    assert org.rest("GET", f"jobs/query/{key}/results", version="61.0").status == 409
    assert page(org, key).status == 200


def test_abort_and_delete() -> None:
    org = bench({"org": {"bulk_seconds": 60}})
    key = query(org, "SELECT Id FROM Lead")
    assert org.rest("DELETE", f"jobs/query/{key}").codes == ["API_ERROR"]
    aborted = org.rest("PATCH", f"jobs/query/{key}", {"state": "Aborted"})
    assert (aborted.status, aborted.body["state"]) == (200, "Aborted")
    org.wait(hours=1)
    assert org.rest("GET", f"jobs/query/{key}/results").status == 400
    assert org.rest("DELETE", f"jobs/query/{key}").status == 204
    assert org.rest("GET", f"jobs/query/{key}").codes == ["NOT_FOUND"]
    done = query(bench(), "SELECT Id FROM Lead")
    assert org.rest("PATCH", f"jobs/query/{done}", {"state": "Aborted"}).status == 404


def test_a_complete_query_cannot_be_aborted(org: Bench) -> None:
    key = query(org, "SELECT Id FROM Lead")
    late = org.rest("PATCH", f"jobs/query/{key}", {"state": "Aborted"})
    assert late.body == [{"errorCode": "INVALIDJOBSTATE", "message": "Aborting already Completed Job not allowed"}]
    assert org.rest("PATCH", f"jobs/query/{key}", {"state": "UploadComplete"}).status == 400


@pytest.mark.parametrize(
    ("soql", "message"),
    [
        ("SELECT COUNT() FROM Lead", "Aggregate functions not supported in Bulk Query"),
        ("SELECT COUNT(Id) n FROM Lead", "Aggregate functions not supported in Bulk Query"),
        ("SELECT Status FROM Lead GROUP BY Status", "GROUP BY not supported in Bulk Query"),
        ("SELECT Id FROM Lead LIMIT 5 OFFSET 1", "OFFSET not supported in Bulk Query"),
        ("SELECT Id, Address FROM Lead", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Account.BillingAddress FROM Contact", "Selecting compound data not supported in Bulk Query"),
        (
            "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
            "Aggregate Relationships not supported in Bulk V2 Query with CSV content type",
        ),
        ("SELECT Foo FROM Lead", "\nSELECT Foo FROM Lead\n       ^\nERROR at Row:1:Column:8\nNo such column 'Foo' on"),
        (
            "SELECT Id FROM Nothing",
            "\nSELECT Id FROM Nothing\n               ^\nERROR at Row:1:Column:16\nsObject ",
        ),
        ("SELECT", ""),
        ("  ", "A query is required"),
    ],
)
def test_queries_that_are_not_for_bulk(org: Bench, soql: str, message: str) -> None:
    refused = org.rest("POST", "jobs/query", {"operation": "query", "query": soql})
    assert (refused.status, refused.codes) == (400, ["API_ERROR"])
    assert refused.body[0]["message"].startswith(message)
    assert org.rest("GET", "jobs/query").body["records"] == []


def test_a_word_in_a_text_is_no_clause(org: Bench) -> None:
    org.create("Lead", **{**LEAD, "Company": "GROUP BY OFFSET 1 TYPEOF x"})
    key = query(org, "SELECT Company FROM Lead WHERE Company = 'GROUP BY OFFSET 1 TYPEOF x'")
    assert len(table(page(org, key).body)) == 1


def test_query_jobs_are_counted(org: Bench) -> None:
    key = query(org, "SELECT Id FROM Lead")
    page(org, key)
    calls = [(call.kind, call.table, call.operations) for call in org.world.calls]
    assert calls == [("bulk_create", "Lead", (("Lead", "query"),)), ("bulk_results", "Lead", ())]
    assert org.rest("GET", "limits").body["DailyBulkV2QueryJobs"] == {"Max": 10_000, "Remaining": 9_999}


def test_the_chunking_header_is_accepted(org: Bench) -> None:
    made = org.rest(
        "POST",
        "jobs/query",
        {"operation": "query", "query": "SELECT Id FROM Lead"},
        {"sforce-enable-pkchunking": "true; chunkSize=1000"},
    )
    assert made.status == 200


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (50000, "50000.0"), (12.5, "12.5"), (912260031, "9.12260031E8"), (-10_000_000, "-1.0E7")],
)
def test_numbers_are_told_with_an_exponent_when_they_are_large(org: Bench, value: float, text: str) -> None:
    org.create("Account", Name="x", AnnualRevenue=value)
    org.create("Opportunity", Name="x", StageName="Prospecting", CloseDate="2026-03-01", Amount=value)
    assert table(page(org, query(org, "SELECT Amount FROM Opportunity")).body) == [{"Amount": text}]


def test_old_versions_sort_their_columns(org: Bench) -> None:
    made = org.rest("POST", "jobs/query", {"operation": "query", "query": "SELECT Id, City FROM Lead"}, version="49.0")
    reply = org.send("GET", f"/services/data/v49.0/jobs/query/{made.body['id']}/results")
    assert reply.body == b'"City","Id"\n'


def test_labels_and_all_fields(org: Bench) -> None:
    org.create("Lead", **LEAD)
    key = query(org, "SELECT toLabel(Status), Id FROM Lead")
    assert table(page(org, key).body)[0]["Status"] == "Open - Not Contacted"
    refused = org.rest("POST", "jobs/query", {"operation": "query", "query": "SELECT FIELDS(ALL) FROM Lead LIMIT 200"})
    assert refused.body[0]["message"] == "Selecting compound data not supported in Bulk Query"
    key = query(org, "SELECT FIELDS(ALL) FROM Task LIMIT 200")
    assert {"Id", "Subject"} <= set(page(org, key).body.decode().replace('"', "").strip().split(","))
