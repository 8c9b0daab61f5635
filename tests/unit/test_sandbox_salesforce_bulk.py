"""Bulk API 2.0 ingest in the sandbox's org: a job's life, its rows, what is refused (salesforce-api §4)."""

from copy import deepcopy
from typing import Any

import pytest

from crmbridge.sandbox.salesforce import bulk
from tests.support.salesforce_bulk import JOBS, Ingest, job, load, sheet
from tests.support.salesforce_org import Bench, bench

LEAD = {"LastName": "Boxer", "Company": "Farmers"}
KEY = "Dyn_Id__c"
KEYED = {
    "objects": {
        name: {"fields": {KEY: {"type": "string", "length": 80, "externalId": True, "unique": True}}}
        for name in ("Lead", "Account", "Contact")
    }
}


@pytest.fixture
def org() -> Bench:
    return bench(KEYED)


def test_a_job_from_open_to_complete(org: Bench) -> None:
    made = org.rest(
        "POST",
        "jobs/ingest",
        {"object": "lead", "operation": "upsert", "externalIdFieldName": KEY, "contentType": "CSV", "lineEnding": "LF"},
    )
    key = made.body["id"]
    assert made.status == 200
    assert made.body == {
        "id": key,
        "operation": "upsert",
        "object": "Lead",
        "createdById": made.body["createdById"],
        "createdDate": "2026-01-31T09:15:22.000+0000",
        "systemModstamp": "2026-01-31T09:15:22.000+0000",
        "state": "Open",
        "externalIdFieldName": KEY,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": 60.0,
        "contentUrl": f"services/data/v60.0/jobs/ingest/{key}/batches",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }
    assert key.startswith("750")
    assert len(key) == 18
    ingest = Ingest(org=org, id=key)
    uploaded = ingest.put(sheet([{**LEAD, KEY: "d-1"}, {"LastName": "Roe", "Company": "", KEY: "d-2"}]))
    assert (uploaded.status, uploaded.body) == (201, b"")
    assert ingest.info()["state"] == "Open"
    org.wait(seconds=3)
    closed = ingest.set("UploadComplete")
    assert (closed.status, closed.body["state"]) == (200, "UploadComplete")
    assert "numberRecordsProcessed" not in closed.body
    info = ingest.info()
    assert (info["state"], info["jobType"], info["retries"]) == ("JobComplete", "V2Ingest", 0)
    assert (info["numberRecordsProcessed"], info["numberRecordsFailed"]) == (2, 1)
    assert info["systemModstamp"] == "2026-01-31T09:15:25.000+0000"
    assert {"totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"} <= info.keys()
    assert "errorMessage" not in info
    lead = org.one(f"SELECT Id FROM Lead WHERE {KEY} = 'd-1'")["Id"]
    assert ingest.results("successfulResults").body.decode() == (
        f'"sf__Id","sf__Created","LastName","Company","{KEY}"\n"{lead}","true","Boxer","Farmers","d-1"\n'
    )
    assert ingest.results("failedResults").body.decode() == (
        f'"sf__Id","sf__Error","LastName","Company","{KEY}"\n'
        '"","REQUIRED_FIELD_MISSING:Required fields are missing: [Company]:Company --","Roe","","d-2"\n'
    )
    assert ingest.results("unprocessedrecords").body.decode() == f'"LastName","Company","{KEY}"\n'
    assert ingest.results("unprocessedRecords").status == 200  # §4.2: clients spell it both ways
    assert dict(ingest.results("failedResults").headers)["Content-Type"] == "text/csv; charset=UTF-8"


def test_states_go_by_the_clock() -> None:
    org = bench({"org": {"bulk_seconds": 60}})
    ingest = load(org, [{**LEAD, "LastName": f"x{at}"} for at in range(10_001)])
    assert ingest.info()["state"] == "UploadComplete"
    assert org.rows("SELECT Id FROM Lead LIMIT 1") == []
    org.wait(seconds=30)
    assert (ingest.info()["state"], ingest.info()["numberRecordsProcessed"]) == ("InProgress", 10_000)
    assert ingest.results("successfulResults").status == 400
    org.wait(seconds=30)
    assert (ingest.info()["state"], ingest.info()["numberRecordsProcessed"]) == ("JobComplete", 10_001)
    assert ingest.info()["totalProcessingTime"] == 30_000


def test_an_aborted_job_keeps_what_it_saved() -> None:
    org = bench({"org": {"bulk_seconds": 60}})
    ingest = load(org, [{**LEAD, "LastName": f"x{at}"} for at in range(10_003)])
    org.wait(seconds=30)
    assert ingest.info()["state"] == "InProgress"
    assert ingest.set("Aborted").body["state"] == "Aborted"
    org.wait(hours=1)
    assert ingest.info()["state"] == "Aborted"
    assert (len(ingest.rows("successfulResults")), len(ingest.rows("unprocessedrecords"))) == (10_000, 3)
    assert ingest.rows("unprocessedrecords")[0]["LastName"] == "x10000"
    assert org.query("SELECT COUNT() FROM Lead").body["totalSize"] == 10_000


def test_aborting_before_and_after(org: Bench) -> None:
    fresh = job(org)
    assert fresh.set("Aborted").body["state"] == "Aborted"
    assert fresh.set("UploadComplete").body[0]["errorCode"] == "INVALIDJOBSTATE"
    assert fresh.results("unprocessedrecords").body == b""
    done = load(org, [LEAD])
    late = done.set("Aborted")
    assert (late.status, late.body) == (
        400,
        [{"errorCode": "INVALIDJOBSTATE", "message": "Aborting already Completed Job not allowed"}],
    )
    assert done.set("Closed").body[0]["errorCode"] == "INVALIDJOBSTATE"


def test_one_upload_and_no_more(org: Bench) -> None:
    ingest = job(org)
    assert ingest.put(sheet([LEAD]), "application/json").status == 415
    assert ingest.put(sheet([LEAD]), "text/csv; charset=UTF-8").status == 201
    twice = ingest.put(sheet([LEAD]))
    assert twice.status == 400
    assert b"Found multiple contents for job" in twice.body
    ingest.set("UploadComplete")
    assert b"INVALIDJOBSTATE" in ingest.put(sheet([LEAD])).body
    assert ingest.info()["numberRecordsProcessed"] == 1


def test_uploads_have_a_limit(org: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BODY_BYTES_MAX", 100)
    ingest = job(org)
    refused = ingest.put(sheet([LEAD] * 10))
    assert (refused.status, b"CLIENTINPUTERROR" in refused.body) == (400, True)
    assert ingest.put(sheet([LEAD])).status == 201


def test_deleted_jobs_are_gone(org: Bench) -> None:
    ingest = job(org)
    refused = org.rest("DELETE", f"jobs/ingest/{ingest.id}")
    assert (refused.status, refused.codes) == (400, ["API_ERROR"])
    ingest.put(sheet([LEAD]))
    ingest.set("UploadComplete")
    deleted = org.rest("DELETE", f"jobs/ingest/{ingest.id}")
    assert (deleted.status, deleted.body) == (204, None)
    for path in ("", "/successfulResults", "/batches"):
        gone = org.rest("PUT" if path == "/batches" else "GET", f"jobs/ingest/{ingest.id}{path}")
        assert (gone.status, gone.codes) == (404, ["NOT_FOUND"])


def test_results_live_seven_days(org: Bench) -> None:
    ingest = load(org, [LEAD])
    org.wait(days=7)
    assert ingest.info()["state"] == "JobComplete"
    org.wait(seconds=1)
    org.query("SELECT Id FROM Lead")
    assert org.rest("GET", f"jobs/ingest/{ingest.id}").status == 404


def test_a_multipart_job_closes_itself(org: Bench) -> None:
    content = b'LastName,Company\r\n"Two\r\nlines",Farmers\r\n'
    parts = (
        b'--XX\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name="job"\r\n\r\n'
        b'{"object":"Lead","contentType":"CSV","operation":"insert","lineEnding":"CRLF"}\r\n'
        b'--XX\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name="content"; filename="content"\r\n\r\n'
        + content
        + b"\r\n--XX--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=XX"}
    made = org.send("POST", f"{JOBS}/ingest", parts, headers)
    assert made.status == 200
    assert b'"state":"UploadComplete"' in made.body
    assert org.one("SELECT LastName FROM Lead")["LastName"] == "Two\r\nlines"
    broken = org.send("POST", f"{JOBS}/ingest", parts.replace(b'"content"', b'"data"'), headers)
    assert (broken.status, b"API_ERROR" in broken.body) == (400, True)
    large = org.send("POST", f"{JOBS}/ingest", parts.replace(b"Farmers", b"F" * 100_001), headers)
    assert (large.status, b"CLIENTINPUTERROR" in large.body) == (400, True)
    assert org.rest("GET", "jobs/ingest").body["records"][1:] == []


@pytest.mark.parametrize(
    ("name", "sign"),
    [("COMMA", ","), ("BACKQUOTE", "`"), ("CARET", "^"), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")],
)
@pytest.mark.parametrize(("ending", "line"), [("LF", "\n"), ("CRLF", "\r\n")])
def test_every_dialect(org: Bench, name: str, sign: str, ending: str, line: str) -> None:
    said = f'He said "{sign}", and left'
    body = sheet([{**LEAD, "Description": f"{said}\nöäü"}], sign, line)
    ingest = load(org, body, columnDelimiter=name, lineEnding=ending)
    assert org.one("SELECT Description FROM Lead")["Description"] == f"{said}\nöäü"
    key = org.one("SELECT Id FROM Lead")["Id"]
    quoted = said.replace('"', '""')
    assert ingest.results("successfulResults").body.decode() == (
        sign.join(['"sf__Id"', '"sf__Created"', '"LastName"', '"Company"', '"Description"'])
        + line
        + sign.join([f'"{key}"', '"true"', '"Boxer"', '"Farmers"', f'"{quoted}\nöäü"'])
        + line
    )


def test_the_mark_of_utf_8_is_no_part_of_a_name(org: Bench) -> None:
    ingest = load(org, b"\xef\xbb\xbf" + sheet([LEAD]))
    assert ingest.info()["numberRecordsFailed"] == 0
    assert ingest.info()["numberRecordsProcessed"] == 1


def test_cells_and_what_they_mean(org: Bench) -> None:
    row = {**LEAD, "City": "Rome", "Phone": "1", "AnnualRevenue": "9.12260031E8", "IsUnreadByOwner": "true"}
    load(org, [{**row, KEY: "a"}, {**row, KEY: "b", "IsUnreadByOwner": "0"}])
    first, second = org.rows("SELECT City, AnnualRevenue, IsUnreadByOwner FROM Lead ORDER BY Id")
    assert (first["AnnualRevenue"], first["IsUnreadByOwner"], second["IsUnreadByOwner"]) == (912260031.0, True, False)
    changes = [{KEY: "a", "City": "", "Phone": "#N/A"}]
    ingest = load(org, changes, "upsert", externalIdFieldName=KEY)
    assert ingest.rows("successfulResults")[0]["sf__Created"] == "false"
    row = org.one(f"SELECT City, Phone, LastName FROM Lead WHERE {KEY} = 'a'")
    assert (row["City"], row["Phone"], row["LastName"]) == ("Rome", None, "Boxer")


def test_dates_and_datetimes(org: Bench) -> None:
    org = bench({"org": {"set_audit_fields": True}})
    deal = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-03-31"}
    load(org, [{**deal, "CreatedDate": "2020-01-02T03:04:05.000Z"}], name="Opportunity")
    row = org.one("SELECT CloseDate, CreatedDate FROM Opportunity")
    assert (row["CloseDate"], row["CreatedDate"]) == ("2026-03-31", "2020-01-02T03:04:05.000+0000")


def test_parents_by_external_id(org: Bench) -> None:
    org.create("Account", Name="Acme", **{KEY: "acme"})
    rows = [{"LastName": "Roe", f"Account.{KEY}": "acme"}, {"LastName": "Doe", f"Account.{KEY}": "nobody"}]
    ingest = load(org, rows, name="Contact")
    assert org.one("SELECT Account.Name FROM Contact")["Account"]["Name"] == "Acme"
    assert ingest.errors == [
        f"INVALID_FIELD:Foreign key external ID: nobody not found for field {KEY} in entity Account:--"
    ]
    mia = org.person("mia@acme.example")
    load(org, [{**LEAD, "User:Owner.Username": "mia@acme.example"}, {**LEAD, "User:Owner.Username": "none"}])
    assert org.one("SELECT OwnerId FROM Lead")["OwnerId"] == mia.app.login_as("mia@acme.example")["user_id"]


def test_update_and_delete(org: Bench) -> None:
    kept, gone = org.create("Lead", **LEAD), org.create("Lead", **LEAD)
    rows = [
        {"Id": kept, "City": "Rome"},
        {"Id": gone[:15], "City": "Oslo"},
        {"Id": "", "City": "x"},
        {"Id": "00Q00", "City": "x"},
        {"Id": "00Q000000000000AAA", "City": "x"},
    ]
    ingest = load(org, rows, "update")
    assert [row["sf__Created"] for row in ingest.rows("successfulResults")] == ["false", "false"]
    assert ingest.errors == [
        "MISSING_ARGUMENT:Id not specified in an update call:--",
        "MALFORMED_ID:malformed id 00Q00:--",
        "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--",
    ]
    assert [row["sf__Id"] for row in ingest.rows("failedResults")] == ["", "00Q00", "00Q000000000000AAA"]
    ingest = load(org, [{"Id": gone}, {"Id": gone}], "delete")
    assert ingest.errors == ["ENTITY_IS_DELETED:entity is deleted:--"]
    assert [row["City"] for row in org.rows("SELECT City FROM Lead")] == ["Rome"]
    assert len(org.rows("SELECT Id FROM Lead", everything=True)) == 2


def test_hard_deleted_rows_are_in_no_bin(org: Bench) -> None:
    account = org.create("Account", Name="Acme")
    org.create("Opportunity", Name="x", StageName="Prospecting", CloseDate="2026-03-01", AccountId=account)
    load(org, [{"Id": account}], "hardDelete", name="Account")
    assert org.rows("SELECT Id FROM Account", everything=True) == []
    assert org.rows("SELECT Id FROM Opportunity", everything=True) == []
    refused = bench({"org": {"bulk_hard_delete": False}}).rest(
        "POST", "jobs/ingest", {"object": "Lead", "operation": "hardDelete"}
    )
    assert refused.codes == ["FEATURENOTENABLED"]


def test_upserts_by_id_and_by_key(org: Bench) -> None:
    org.create("Lead", **LEAD, **{KEY: "a"})
    rows = [{KEY: key, **LEAD} for key in ("a", "b", "c", "c", "")]
    ingest = load(org, rows, "upsert", externalIdFieldName=KEY.lower())
    assert [row["sf__Created"] for row in ingest.rows("successfulResults")] == ["false", "true"]
    twice = f"DUPLICATE_EXTERNAL_ID:Duplicate external id specified: c:{KEY} --"
    assert ingest.errors == [twice, twice, f"MISSING_ARGUMENT:{KEY} not specified:--"]
    key = org.one(f"SELECT Id FROM Lead WHERE {KEY} = 'b'")["Id"]
    rows = [{"Id": key, **LEAD, "City": "Rome"}, {"Id": "", **LEAD, "City": "Oslo"}]
    ingest = load(org, rows, "upsert", externalIdFieldName="Id")
    assert [row["sf__Created"] for row in ingest.rows("successfulResults")] == ["false", "true"]


def test_rows_obey_the_rules_of_every_save() -> None:
    rule = {"object": "Lead", "name": "city", "refuse_when": "City = 'Nowhere'", "message": "No such city"}
    twins = {"name": "Twins", "object": "Lead", "against": "Lead", "match": {"Email": "Email"}, "action": "alert"}
    org = bench({"rules": {"validation": [rule], "duplicates": [twins]}})
    rows: list[dict[str, Any]] = [
        {"City": "Nowhere"},
        {"Email": "a@b.example"},
        {"Email": "a@b.example"},
        {"Email": "nonsense"},
        {"AnnualRevenue": "lots"},
        {"Website": "x" * 300},
    ]
    ingest = load(org, [{**LEAD, **row} for row in rows])
    assert ingest.errors == [
        "FIELD_CUSTOM_VALIDATION_EXCEPTION:No such city:--",
        "DUPLICATES_DETECTED:Use one of these records?:--",
        "INVALID_EMAIL_ADDRESS:Email: invalid email address: nonsense:Email --",
        "INVALID_FIELD:Failed to deserialize field at col 4. "
        "Due to, 'lots' is not a valid value for the type xsd:double:AnnualRevenue --",
        ingest.errors[4],
    ]
    assert ingest.errors[4].startswith("STRING_TOO_LONG:Website: data value too large: xxx")
    assert ingest.info()["state"] == "JobComplete"


def test_assignment_rules_run_only_when_named() -> None:
    org = bench({"rules": {"assignment": {"Lead": {"owner": "mia@acme.example"}}}})
    mia = org.app.login_as("mia@acme.example")["user_id"]
    load(org, [LEAD])
    load(org, [{**LEAD, "City": "Rome"}], assignmentRuleId="01Q000000000001AAA")
    owners = {row["City"]: row["OwnerId"] == mia for row in org.rows("SELECT City, OwnerId FROM Lead")}
    assert owners == {None: False, "Rome": True}


@pytest.mark.parametrize(
    ("body", "operation", "message"),
    [
        (b"LastName,Foo\nx,y\n", "insert", "InvalidBatch : Field name not found : Foo"),
        (b"LastName,Foo.Bar\nx,y\n", "insert", "InvalidBatch : Field name not found : Foo.Bar"),
        (b"LastName,Owner.Title\nx,y\n", "insert", "InvalidBatch : Field name not found : Owner.Title"),
        (b"City\nRome\n", "update", "InvalidBatch : Field name not found : Id"),
        (b"Id,City\n1,2\n", "delete", "InvalidBatch : Invalid field for a delete : City; only Id is allowed"),
        (b"City,city\n1,2\n", "insert", "InvalidBatch : Duplicate field name found : city"),
        (b"LastName\r\nx\r\n", "insert", "ClientInputError : LineEnding is invalid on user data. Current LineEnding "),
        (b"LastName\n\xff\n", "insert", "ClientInputError : The data is not encoded in UTF-8"),
        (b'LastName\n"a"b\n', "insert", "InvalidBatch : Failed to parse CSV. Found unescaped quote."),
        (b"LastName\na,b\n", "insert", "InvalidBatch : Failed to parse CSV. A row has 2 columns, the header has 1"),
    ],
)
def test_what_fails_the_whole_job(org: Bench, body: bytes, operation: str, message: str) -> None:
    ingest = load(org, body, operation)
    info = ingest.info()
    assert info["state"] == "Failed"
    assert info["errorMessage"].startswith(message)
    assert info["numberRecordsProcessed"] == 0
    assert ingest.results("successfulResults").status == 200
    assert org.rest("DELETE", f"jobs/ingest/{ingest.id}").status == 204


def test_a_failed_job_keeps_what_it_saved(org: Bench) -> None:
    body = sheet([LEAD] * 10_000) + b'"Late"r,x\n'
    ingest = load(org, body)
    assert (ingest.info()["state"], ingest.info()["numberRecordsProcessed"]) == ("Failed", 10_000)
    assert len(ingest.rows("successfulResults")) == 10_000


@pytest.mark.parametrize("operation", ["insert", "update", "delete"])
def test_nothing_at_all_is_a_job_without_rows(org: Bench, operation: str) -> None:
    for ingest in (load(org, b"", operation), job(org, operation)):
        ingest.set("UploadComplete")
        assert (ingest.info()["state"], ingest.info()["numberRecordsProcessed"]) == ("JobComplete", 0)
        assert [ingest.rows(which) for which in ("successfulResults", "failedResults", "unprocessedrecords")] == [
            []
        ] * 3


def test_a_header_alone_is_a_job_without_rows(org: Bench) -> None:
    ingest = load(org, b"LastName,Company")
    assert (ingest.info()["state"], ingest.info()["numberRecordsProcessed"]) == ("JobComplete", 0)
    assert ingest.results("successfulResults").body == b'"sf__Id","sf__Created","LastName","Company"\n'


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"operation": "merge"}, "API_ERROR"),
        ({"operation": None}, "API_ERROR"),
        ({"object": "Nothing__c"}, "INVALIDENTITY"),
        ({"contentType": "JSON"}, "API_ERROR"),
        ({"columnDelimiter": "COLON"}, "API_ERROR"),
        ({"lineEnding": "CR"}, "API_ERROR"),
        ({"operation": "upsert"}, "INVALIDJOB"),
        ({"operation": "upsert", "externalIdFieldName": "City"}, "INVALIDJOB"),
        ({"assignmentRuleId": "x"}, "INVALIDJOB"),
        ({"lineending": "LF"}, "API_ERROR"),
        ({"object": 1}, "API_ERROR"),
    ],
)
def test_jobs_that_are_not_made(org: Bench, given: dict[str, Any], code: str) -> None:
    refused = org.rest("POST", "jobs/ingest", {"object": "Lead", "operation": "insert", **given})
    assert (refused.status, refused.codes) == (400, [code])
    assert org.rest("GET", "jobs/ingest").body["records"] == []


def test_methods_versions_and_paths(org: Bench) -> None:
    ingest = job(org)
    assert org.rest("PUT", "jobs/ingest", {}).status == 405
    assert org.rest("POST", f"jobs/ingest/{ingest.id}", {}).status == 405
    assert org.rest("GET", f"jobs/ingest/{ingest.id}/batches").status == 405
    assert org.rest("POST", f"jobs/ingest/{ingest.id}/failedResults", {}).status == 405
    assert org.rest("GET", "jobs").status == 404
    assert org.rest("GET", f"jobs/ingest/{ingest.id}/other").status == 404
    assert org.rest("GET", f"jobs/query/{ingest.id}").status == 404  # another kind of job
    assert org.rest("GET", "jobs/ingest", version="40.0").status == 404
    assert org.rest("GET", "jobs/query", version="46.0").status == 404
    assert org.rest("GET", f"jobs/ingest/{ingest.id[:15]}").status == 200


def test_the_list_of_jobs(org: Bench) -> None:
    kept = [job(org).id for _ in range(1003)]
    org.rest("POST", "jobs/query", {"operation": "query", "query": "SELECT Id FROM Lead"})
    first = org.rest("GET", "jobs/ingest?isPkChunkingEnabled=false&jobType=V2Ingest").body
    assert (first["done"], len(first["records"])) == (False, 1000)
    assert {"id", "state", "jobType"} <= first["records"][0].keys()
    assert "numberRecordsProcessed" not in first["records"][0] or first["records"][0]["jobType"] == "V2Ingest"
    job(org)
    last = org.rest("GET", first["nextRecordsUrl"]).body
    assert (last["done"], last["nextRecordsUrl"], len(last["records"])) == (True, None, 3)
    assert [each["id"] for each in first["records"] + last["records"]] == kept
    assert org.rest("GET", "jobs/ingest?jobType=Classic").body["records"] == []
    assert org.rest("GET", "jobs/ingest?concurrencyMode=serial").body["records"] == []
    assert org.rest("GET", "jobs/ingest?isPkChunkingEnabled=true").body["records"] == []
    assert len(org.rest("GET", "jobs/query").body["records"]) == 1
    assert org.rest("GET", "jobs/ingest?queryLocator=nonsense-1").codes == ["INVALID_QUERY_LOCATOR"]
    assert org.rest("GET", "jobs/ingest?jobType=Other").codes == ["API_ERROR"]


def test_rows_are_counted_as_operations(org: Bench) -> None:
    load(org, [LEAD] * 3).info()
    calls = org.world.calls
    assert [(call.kind, call.table) for call in calls] == [
        ("bulk_create", "Lead"),
        ("bulk_upload", "Lead"),
        ("bulk_state", "Lead"),
        ("bulk_info", "Lead"),
    ]
    assert [call.operations for call in calls] == [(), (), (("Lead", "create"),) * 3, ()]
    assert org.rest("GET", "limits").body["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 14_999}


def test_locked_rows_fail_alone_and_many_are_tried_again(org: Bench) -> None:
    keys = [org.create("Lead", **LEAD) for _ in range(103)]
    contention = org.app._records.contention
    contention.hold(keys[:2], 3600)
    few = load(org, [{"Id": key, "City": "Rome"} for key in keys], "update")
    assert (few.info()["state"], few.info()["numberRecordsFailed"]) == ("JobComplete", 2)
    assert few.errors[0].startswith("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record")
    contention.hold(keys[:101], 3600)
    many = load(org, [{"Id": key, "City": "Oslo"} for key in keys], "update")
    assert (many.info()["state"], many.info()["numberRecordsProcessed"]) == ("InProgress", 2)
    assert many.info()["retries"] > 1
    contention.release()
    assert (many.info()["state"], many.info()["numberRecordsProcessed"]) == ("JobComplete", 103)
    contention.hold(keys, 3600)
    never = load(org, [{"Id": key, "City": "Bonn"} for key in keys], "update")
    info = [never.info() for _ in range(20)][-1]
    assert (info["state"], info["retries"]) == ("Failed", 20)
    assert info["errorMessage"].startswith("TooManyLockFailure : ")
    assert len(never.rows("unprocessedrecords")) == 103


def test_a_snapshot_keeps_jobs_under_way() -> None:
    org = bench({"org": {"bulk_seconds": 60}})
    ingest = load(org, [LEAD])
    twin = deepcopy(org)
    org.wait(seconds=60)
    assert ingest.info()["state"] == "JobComplete"
    assert Ingest(org=twin, id=ingest.id).info()["state"] == "UploadComplete"
    assert twin.rows("SELECT Id FROM Lead") == []


@pytest.mark.parametrize("rows", [2_000, 20_000])
def test_jobs_of_any_size_are_one_poll(org: Bench, rows: int) -> None:
    ingest = load(org, [{**LEAD, "LastName": f"x{at}"} for at in range(rows)])
    assert (ingest.info()["state"], ingest.info()["numberRecordsProcessed"]) == ("JobComplete", rows)
