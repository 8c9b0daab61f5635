"""What the REST resources of the sandbox's org answer: rows, conditions, windows, recent, limits, headers
(salesforce-api §3, §5, §8.2, §9, §12)."""

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.support.salesforce_org import Answered, Bench, bench

LEAD = {"LastName": "a", "Company": "b"}
NOW, EARLIER, LATER = (f"Sat, 31 Jan 2026 {time} GMT" for time in ("09:15:22", "09:15:21", "10:00:00"))


@pytest.fixture
def org() -> Bench:
    return bench()


# --- rows and upsert -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "created", "updated"),
    [("60.0", {"created": True}, (200, {"created": False})), ("46.0", {"created": True}, (200, {"created": False})),
     ("45.0", {}, (204, None)), ("20.0", {}, (204, None))],
)  # fmt: skip
def test_an_upsert_answers_as_its_version_does(
    org: Bench, version: str, created: dict[str, bool], updated: tuple[int, Any]
) -> None:
    path = "sobjects/Lead/CrmBridge_Id__c/k1"
    made = org.rest("PATCH", path, LEAD, version=version)
    key = made.body["id"]
    assert (made.status, made.body) == (201, {"id": key, "success": True, "errors": [], **created})
    assert made.headers["Location"] == f"/services/data/v{version}/sobjects/Lead/{key}"
    again = org.rest("PATCH", path, LEAD, version=version)
    assert again.status == updated[0]
    assert again.body is None or again.body == {"id": key, "success": True, "errors": [], **updated[1]}


def test_an_upsert_may_be_told_not_to_create(org: Bench) -> None:
    path = "sobjects/Lead/CrmBridge_Id__c/k1"
    assert org.rest("PATCH", f"{path}?updateOnly=true", LEAD).status == 404
    assert org.rest("PATCH", f"{path}?updateOnly=false", LEAD).status == 201
    assert org.rest("PATCH", f"{path}?updateOnly=true", LEAD).status == 200


def test_inserting_through_the_upsert_resource(org: Bench) -> None:
    made = org.rest("POST", "sobjects/Lead/Id", LEAD)
    assert (made.status, made.body["success"]) == (201, True)
    assert org.rest("POST", "sobjects/Lead/Id", LEAD, version="36.0").status == 404
    by_id = org.rest("PATCH", f"sobjects/Lead/Id/{made.body['id']}", {"City": "Oslo"})
    assert (by_id.status, by_id.body["created"]) == (200, False)
    assert org.rest("PATCH", "sobjects/Lead/Id/00Qxx0000000000", LEAD).status == 404


def test_several_matches_answer_300_for_each_method_and_change_nothing(org: Bench) -> None:
    keys = [org.create("Lead", **LEAD, Email="same@x.example") for _ in range(2)]
    for method, body in (("GET", None), ("PATCH", {"City": "x"}), ("DELETE", None)):
        many = org.rest(method, "sobjects/Lead/Email/same@x.example", body)
        assert (many.status, many.body) == (300, [f"/services/data/v60.0/sobjects/Lead/{key}" for key in keys])
    assert [row["City"] for row in org.rows("SELECT City FROM Lead")] == [None, None]


def test_a_deleted_row_is_not_found_by_readers_and_deleted_for_writers(org: Bench) -> None:
    path = f"sobjects/Lead/{org.create('Lead', **LEAD)}"
    org.rest("DELETE", path)
    for method, body, code in (
        ("GET", None, "NOT_FOUND"),
        ("PATCH", {"City": "x"}, "ENTITY_IS_DELETED"),
        ("DELETE", None, "ENTITY_IS_DELETED"),
    ):
        answered = org.rest(method, path, body)
        assert (answered.status, answered.codes) == (404, [code])


def test_reading_some_fields(org: Bench) -> None:
    key = org.create("Lead", **LEAD)
    row = org.rest("GET", f"sobjects/Lead/{key}?fields=city,%20Company").body
    assert row.keys() == {"attributes", "City", "Company"}
    unknown = org.rest("GET", f"sobjects/Lead/{key}?fields=Id,Foo")
    assert (unknown.status, unknown.codes) == (400, ["INVALID_FIELD"])
    assert "'Foo'" in unknown.body[0]["message"]


# --- conditional requests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "value", "read", "write"),
    [
        ("if-modified-since", NOW, 304, 412),
        ("if-modified-since", EARLIER, 200, 204),
        ("if-unmodified-since", NOW, 200, 204),
        ("if-unmodified-since", EARLIER, 412, 412),
        ("if-match", "TAG", 200, 204),
        ("if-match", '"old", TAG', 200, 204),
        ("if-match", "*", 200, 204),
        ("if-match", '"old"', 412, 412),
        ("if-none-match", "TAG", 304, 412),
        ("if-none-match", '"old"', 200, 204),
    ],
)
def test_conditions_of_reading_and_writing(org: Bench, header: str, value: str, read: int, write: int) -> None:
    path = f"sobjects/Account/{org.create('Account', Name='Acme')}"
    shown = org.rest("GET", path)
    assert shown.headers["Last-Modified"] == NOW
    asked = {header: value.replace("TAG", shown.headers["ETag"])}
    answered = org.rest("GET", path, headers=asked)
    assert answered.status == read
    assert (answered.body is None) is (read == 304)
    written = org.rest("PATCH", path, {"Site": "x"}, asked)
    assert written.status == write
    assert org.rest("GET", path).body["Site"] == ("x" if write == 204 else None)


def test_tags_are_for_accounts_alone_and_deleting_has_no_conditions(org: Bench) -> None:
    path = f"sobjects/Lead/{org.create('Lead', **LEAD)}"
    assert "ETag" not in org.rest("GET", path).headers
    assert org.rest("PATCH", path, {"City": "x"}, {"if-match": '"old"'}).status == 204
    assert org.rest("DELETE", path, headers={"if-unmodified-since": EARLIER}).status == 204
    for bad in ("yesterday", "", "Sat, 99 Jan 2026 99:99:99 GMT"):
        path = f"sobjects/Lead/{org.create('Lead', **LEAD)}"
        assert org.rest("GET", path, headers={"if-modified-since": bad}).status == 400


def test_an_upsert_heeds_conditions_too(org: Bench) -> None:
    path = "sobjects/Lead/CrmBridge_Id__c/k1"
    assert org.rest("PATCH", path, LEAD, {"if-unmodified-since": EARLIER}).status == 201
    assert org.rest("PATCH", path, LEAD, {"if-unmodified-since": EARLIER}).status == 412


@pytest.mark.parametrize("path", ["sobjects", "sobjects/Lead/describe", "sobjects/Lead/describe/layouts"])
def test_a_description_is_not_told_twice(org: Bench, path: str) -> None:
    told = org.rest("GET", path)
    assert told.status == 200
    for headers in ({"if-modified-since": told.headers["Last-Modified"]}, {"if-none-match": told.headers["ETag"]}):
        again = org.rest("GET", path, headers=headers)
        assert (again.status, again.body) == (304, None)
    assert org.rest("GET", path, headers={"if-modified-since": "Fri, 30 Jan 2026 00:00:00 GMT"}).status == 200
    assert org.rest("GET", path, headers={"if-none-match": '"other"'}).status == 200


# --- windows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "window",
    [
        "",
        "start=2026-01-31T09:00:00Z",
        "start=yesterday&end=today",
        "start=2026-01-31T09:00:00Z&end=2026-01-31T09:00:00Z",
        "start=2026-01-31T09:00:10Z&end=2026-01-31T09:00:59Z",  # seconds are cut off
        "start=2026-01-31T10:00:00Z&end=2026-01-31T09:00:00Z",
        "start=2025-12-31T00:00:00Z&end=2026-01-31T09:00:00Z",
    ],
)
def test_windows_that_are_none(org: Bench, window: str) -> None:
    for kind in ("updated", "deleted"):
        assert org.rest("GET", f"sobjects/Lead/{kind}/?{window}").codes == ["INVALID_REPLICATION_DATE"]


def test_what_is_deleted_is_remembered_for_15_days_and_what_is_updated_for_30(org: Bench) -> None:
    window = "start=2026-01-11T00:00:00Z&end=2026-01-31T10:00:00%2B00:00"
    assert org.rest("GET", f"sobjects/Lead/updated?{window}").status == 200
    assert org.rest("GET", f"sobjects/Lead/deleted?{window}").codes == ["INVALID_REPLICATION_DATE"]
    shown = org.rest("GET", "sobjects/Lead/deleted?start=2026-01-31T09:00:00Z&end=2026-01-31T10:00:00+00:00").body
    assert shown == {
        "deletedRecords": [],
        "earliestDateAvailable": "2026-01-16T09:15:00.000+0000",
        "latestDateCovered": "2026-01-31T09:15:00.000+0000",
    }


def test_a_row_made_and_deleted_in_the_window_is_deleted_only(org: Bench) -> None:
    key = org.create("Lead", **LEAD)
    org.rest("DELETE", f"sobjects/Lead/{key}")
    window = "start=2026-01-31T09:15:00Z&end=2026-01-31T09:30:00Z"
    assert org.rest("GET", f"sobjects/Lead/updated?{window}").body["ids"] == []
    assert [row["id"] for row in org.rest("GET", f"sobjects/Lead/deleted?{window}").body["deletedRecords"]] == [key]


# --- recently viewed -----------------------------------------------------------------------------------------------


def test_recently_viewed_are_the_rows_that_a_request_asked_to_be(org: Bench) -> None:
    mru = {"sforce-mru": "updateMru=true"}
    org.create("Lead", **LEAD)
    acme = org.rest("POST", "sobjects/Account", {"Name": "Acme"}, mru).body["id"]
    lead = org.rest("POST", "sobjects/Lead", LEAD, mru).body["id"]
    org.rest("GET", f"sobjects/Account/{acme}", headers=mru)
    shown = org.rest("GET", "recent").body
    url = f"/services/data/v60.0/sobjects/Account/{acme}"
    assert shown[0] == {"attributes": {"type": "Account", "url": url}, "Id": acme, "Name": "Acme"}
    assert [item["Id"] for item in shown] == [acme, lead]
    assert [item["Id"] for item in org.rest("GET", "recent?limit=1").body] == [acme]
    assert [item["Id"] for item in org.rest("GET", "sobjects/Lead").body["recentItems"]] == [lead]
    assert org.person("mia@acme.example").rest("GET", "recent").body == []
    org.rest("DELETE", f"sobjects/Account/{acme}")
    assert [item["Id"] for item in org.rest("GET", "recent").body] == [lead]
    assert org.rest("GET", "recent?limit=x").status == 400


# --- limits --------------------------------------------------------------------------------------------------------


def test_limits_are_counted(org: Bench) -> None:
    first = org.rest("GET", "limits").body
    assert {"DailyApiRequests", "DailyBulkApiBatches", "DataStorageMB"} <= first.keys()
    rows = [{"attributes": {"type": "Lead"}, **LEAD}] * 200
    for _ in range(6):  # more than 2 MB at 2 KB each
        org.rest("POST", "composite/sobjects", {"records": rows})
    then = org.rest("GET", "limits").body
    assert first["DailyApiRequests"]["Remaining"] - then["DailyApiRequests"]["Remaining"] == 7
    assert first["DataStorageMB"]["Remaining"] > then["DataStorageMB"]["Remaining"]
    refused = org.rest("POST", "sobjects/Lead", {})
    used = 15_000 - org.rest("GET", "limits").body["DailyApiRequests"]["Remaining"]
    assert refused.headers["Sforce-Limit-Info"] == f"api-usage={used - 1}/15000"  # refusals count as well


# --- headers -------------------------------------------------------------------------------------------------------


def test_a_header_of_salesforces_own_that_nobody_heeds_is_refused(org: Bench) -> None:
    for name in ("sforce-unheard-of", "x-sfdc-something"):
        refused = org.rest("GET", "limits", headers={name: "1"})
        assert (refused.status, refused.codes) == (501, ["NOT_SERVED_BY_SANDBOX"])
        assert name in refused.body[0]["message"]
    fine = {
        "sforce-call-options": "client=x, defaultNamespace=ns",
        "x-sfdc-packageversion-ns": "1.0",
        "x-sfdc-session": "whatever",
        "traceparent": "1",
    }
    assert org.rest("GET", "limits", headers=fine).status == 200


def test_the_duplicate_header_exists_since_version_52() -> None:
    rule = {"name": "r", "object": "Lead", "against": "Lead", "match": {"Email": "Email"}, "action": "alert"}
    org = bench({"rules": {"duplicates": [rule]}})
    row, allow = {**LEAD, "Email": "a@x.example"}, {"sforce-duplicate-rule-header": "allowSave=true"}
    assert org.rest("POST", "sobjects/Lead", row).status == 201
    assert org.rest("POST", "sobjects/Lead", row, allow, version="51.0").codes == ["DUPLICATES_DETECTED"]
    assert org.rest("POST", "sobjects/Lead", row, allow, version="52.0").status == 201


def test_an_assignment_header_is_true_false_or_a_rules_id(org: Bench) -> None:
    for fine in ("TRUE", "false"):
        assert org.rest("POST", "sobjects/Lead", LEAD, {"sforce-auto-assign": fine}).status == 201
    for wrong, code in (("perhaps", "INVALID_HEADER_VALUE"), ("01Qxx0000000001", "INVALID_CROSS_REFERENCE_KEY")):
        refused = org.rest("POST", "sobjects/Lead", LEAD, {"sforce-auto-assign": wrong})
        assert (refused.status, refused.codes) == (400, [code])


def test_answers_are_json(org: Bench) -> None:
    for accept in ("*/*", "application/json", "text/html, */*;q=0.1", "application/*", ""):
        assert org.rest("GET", "limits", headers={"accept": accept}).status == 200
    for accept in ("application/xml", "text/csv", "application/json;q=0"):
        assert org.rest("GET", "limits", headers={"accept": accept}).status == 406
    assert org.rest("GET", "sobjects/Lead/describe.json").body["name"] == "Lead"
    assert org.rest("GET", "sobjects/Lead/describe.xml").status == 406
    value = org.rest("PATCH", "sobjects/Lead/CrmBridge_Id__c/site.xml", LEAD)
    assert value.status == 201


def test_indented_answers(org: Bench) -> None:
    plain, pretty = (
        org.send("GET", "/services/data/v60.0/sobjects/Lead", headers=headers).body
        for headers in ({}, {"x-prettyprint": "1"})
    )
    assert json.loads(plain) == json.loads(pretty)
    assert (plain.count(b"\n"), pretty.startswith(b"{\n  ")) == (0, True)


def test_packed_answers_and_bodies(org: Bench) -> None:
    reply = org.send("GET", "/services/data/v60.0/sobjects", headers={"accept-encoding": "gzip"})
    headers = dict(reply.headers)
    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert json.loads(gzip.decompress(reply.body))["maxBatchSize"] == 200
    usual = org.send("GET", "/services/data/v60.0/sobjects", headers={"accept-encoding": "gzip, deflate"})
    assert "Content-Encoding" not in dict(usual.headers)
    path, body = "/services/data/v60.0/sobjects/Lead", json.dumps(LEAD).encode()
    for kind, packed, status in (
        ("gzip", gzip.compress(body), 201),
        ("gzip", gzip.compress(body)[:-9], 400),
        ("gzip", body, 400),
        ("deflate", zlib.compress(body), 415),
    ):
        assert org.send("POST", path, packed, {"content-encoding": kind}).status == status


def test_a_post_may_stand_for_another_method(org: Bench) -> None:
    path = f"sobjects/Lead/{org.create('Lead', **LEAD)}"
    assert org.rest("POST", f"{path}?_HttpMethod=PATCH", {"City": "Oslo"}).status == 204
    assert org.rest("POST", path, {"City": "Bergen"}, {"x-http-method-override": "patch"}).status == 204
    assert org.rest("GET", path).body["City"] == "Bergen"
    assert org.rest("GET", f"{path}?_HttpMethod=DELETE").status == 405
    assert org.rest("POST", f"{path}?_HttpMethod=DELETE").status == 204


def test_a_head_is_a_get(org: Bench) -> None:
    key = org.create("Lead", **LEAD)
    for path in ("", "limits", "sobjects", "sobjects/Lead", f"sobjects/Lead/{key}", "sobjects/Lead/describe", "recent"):
        assert org.rest("HEAD", path).status == 200


def test_uris_and_headers_have_their_length(org: Bench) -> None:
    assert org.rest("GET", f"limits?_={'a' * 16_000}").status == 200
    assert org.rest("GET", f"limits?_={'a' * 16_384}").status == 414
    assert org.rest("GET", f"limits?_={'a' * 9_000}", headers={"cookie": "a" * 9_000}).status == 431


# --- what cannot be read, and what is not there --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"Name": 1,\n "City": x}', "Unexpected character ('x' (code 120)): expected a value at [line:2, column:10]"),
        (b"{LastName: 1}", "was expecting double-quote to start field name at [line:1, column:2]"),
        (b'{"a": 1 "b": 2}', "was expecting comma to separate entries at [line:1, column:9]"),
        (b'{"a" 1}', "was expecting a colon to separate field name and value at [line:1, column:6]"),
        (b'{"a": 1', "Unexpected end-of-input at [line:1, column:8]"),
        (b'{"a": "\xff"}', "Invalid UTF-8 byte at [line:1, column:8]"),
        (b"", "The HTTP entity body is required, but this request has no entity body."),
        (b"[" * 50_000, "nested too deeply"),
        (b"[]", "Cannot deserialize instance of sobject from START_ARRAY value ["),
        (b"{} {}", "was expecting the end of the body at [line:1, column:4]"),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_read(org: Bench, body: bytes, message: str) -> None:
    reply = org.send("POST", "/services/data/v60.0/sobjects/Lead", body)
    (problem,) = json.loads(reply.body)
    assert (reply.status, problem["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert message in problem["message"]


@pytest.mark.parametrize("name", ["NumberOfEmployees", "AnnualRevenue", "Latitude"])
@pytest.mark.parametrize(
    "value", [b"1e999999", b'"1e999999999"', b"1e99999999999999999999", b'"-1e-99999999"', b'"1_000"', b"9" * 5000]
)
def test_numbers_of_any_size_are_read_or_refused(org: Bench, name: str, value: bytes) -> None:
    body = b'{"LastName":"a","Company":"b","%s":%s}' % (name.encode(), value)
    reply = org.send("POST", "/services/data/v60.0/sobjects/Lead", body)
    assert (reply.status, b"-1e-" in value and name != "NumberOfEmployees") in [(400, False), (201, True)]


def test_an_unreadable_value_is_told_with_its_place(org: Bench) -> None:
    body = b'{"Name":"x","StageName":"y",\n"CloseDate":"2026-13-01"}'
    reply = org.send("POST", "/services/data/v60.0/sobjects/Opportunity", body)
    text = "Cannot deserialize instance of date from VALUE_STRING value 2026-13-01 or request may be missing a required"
    told = {"message": f"{text} field at [line:2, column:14]", "errorCode": "JSON_PARSER_ERROR"}
    assert json.loads(reply.body) == [told]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "sobjects/Nothing__c", 404, "NOT_FOUND"),
        ("GET", "sobjects/Nothing__c/describe", 404, "NOT_FOUND"),
        ("GET", "nothing", 404, "NOT_FOUND"),
        ("PUT", "sobjects/Lead/00Qxx0000000000", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "limits", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "sobjects", 405, "METHOD_NOT_ALLOWED"),
        ("PATCH", "composite/sobjects/Lead", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "sobjects/Lead/describe/layouts/012xx0000000000", 404, "NOT_FOUND"),
        ("GET", "sobjects/Lead/describe/approvalLayouts/x", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "sobjects/Lead/listviews/00BLO0001000001YAA", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "sobjects/Lead/quickActions/x", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "sobjects/Lead/listviews?fields=Id", 501, "NOT_SERVED_BY_SANDBOX"),
        ("POST", "quickActions", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "actions/standard", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "actions/custom/nothing", 404, "NOT_FOUND"),
        ("GET", "search/layout?q=Nothing", 404, "NOT_FOUND"),
        ("GET", "sobjects/Lead/00Qxx0000000000/richTextImageFields/x", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "sobjects/Lead/00Qxx0000000000/VersionData", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "sobjects/User/005xx0000000000/password", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "sobjects/Lead/00Qxx0000000000/Owner", 404, "NOT_FOUND"),
        ("POST", "process/approvals", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "search/suggestions?q=x", 501, "NOT_SERVED_BY_SANDBOX"),
        ("GET", "tooling/query?q=x", 501, "NOT_SERVED_BY_SANDBOX"),
        ("POST", "actions/standard/convertLead", 404, "NOT_FOUND"),
    ],
)
def test_what_is_not_there_says_so(org: Bench, method: str, path: str, status: int, code: str) -> None:
    answered = org.rest(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
    assert (answered.status, answered.codes) == (status, [code])


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("quickActions", []),
        ("sobjects/Lead/quickActions", []),
        ("sobjects/Lead/describe/approvalLayouts", {"approvalLayouts": []}),
        ("process/rules", {"rules": {}}),
        ("process/approvals", {"approvals": {}}),
        ("actions/custom/flow", {"actions": []}),
        ("actions", {name: f"/services/data/v60.0/actions/{name}" for name in ("standard", "custom")}),
        (
            "sobjects/Lead/listviews",
            {"done": True, "listviews": [], "nextRecordsUrl": None, "size": 0, "sobjectType": "Lead"},
        ),
    ],
)  # fmt: skip
def test_of_what_nobody_set_up_there_is_none(org: Bench, path: str, told: Any) -> None:
    assert org.rest("GET", path).body == told
    assert org.rest("GET", path, version="27.0").status == 404


def test_searches_and_cards_show_the_name_that_rows_go_by(org: Bench) -> None:
    (layout,) = org.rest("GET", "search/layout?q=lead").body
    assert (layout["objectType"], [each["field"] for each in layout["searchColumns"]]) == ("Lead", ["Lead.Name"])
    assert "Lead" in [each["type"] for each in org.rest("GET", "search/scopeOrder").body]
    cards = org.rest("GET", "sobjects/Lead/describe/compactLayouts").body
    assert [each["label"] for each in cards["compactLayouts"][0]["fieldItems"]] == ["Full Name"]
    assert cards["recordTypeCompactLayoutMappings"][0]["recordTypeId"] == "012000000000000AAA"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_there_is_no_apex_class_behind_any_url(org: Bench, method: str) -> None:
    path = "/services/apexrest/leadconvert/00Qxx0000000000"
    answered = org.send(method, path, b"{}")
    told = {"message": "Could not find a match for URL", "errorCode": "NOT_FOUND"}
    assert (answered.status, json.loads(answered.body)) == (404, [told])
    assert org.send(method, path, b"{}", {"authorization": "Bearer nobody's"}).status == 401


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_cannot_be_an_id_is_taken_for_an_external_id(org: Bench, method: str) -> None:
    answered = org.rest(method, "sobjects/Lead/00Qxx", {} if method == "PATCH" else None)
    text = "Provided external ID field does not exist or is not accessible: 00Qxx"
    assert (answered.status, answered.body) == (404, [{"message": text, "errorCode": "NOT_FOUND"}])


def test_relationships_are_walked_by_url(org: Bench) -> None:
    top = org.create("Account", Name="Top")
    low = org.create("Account", Name="Low", ParentId=top)
    ada, bob = (org.create("Contact", LastName=name, AccountId=low) for name in ("Ada", "Bob"))
    assert org.rest("GET", f"sobjects/Contact/{ada}/Account").body == org.get("Account", low)
    shown = org.rest("GET", f"sobjects/Contact/{ada[:15]}/account/Parent?fields=Name").body
    assert (shown["Name"], shown["attributes"]["url"]) == ("Top", f"/services/data/v60.0/sobjects/Account/{top}")
    assert org.rest("GET", f"sobjects/Contact/{ada}/Owner").body["Username"] == "sync@acme.example"
    found = org.rest("GET", f"sobjects/Account/{low}/Contacts?fields=LastName").body
    assert {name: found[name] for name in ("totalSize", "done")} == {"totalSize": 2, "done": True}
    assert {row["LastName"]: row["attributes"]["type"] for row in found["records"]} == {
        "Ada": "Contact",
        "Bob": "Contact",
    }
    every = org.rest("GET", f"sobjects/Account/{low}/Contacts").body["records"]
    assert {row["Id"]: row for row in every}[bob] == org.get("Contact", bob)
    assert org.rest("GET", f"sobjects/Account/{top}/Contacts").body == {"totalSize": 0, "done": True, "records": []}
    assert org.rest("PATCH", f"sobjects/Contact/{ada}/Account", {"Name": "Lower"}).status == 204
    assert org.get("Account", low)["Name"] == "Lower"
    assert org.rest("DELETE", f"sobjects/Account/{low}/Parent").status == 204
    assert org.rest("GET", f"sobjects/Account/{top}").status == 404


@pytest.mark.parametrize(
    ("method", "below", "status", "code"),
    [
        ("GET", "Parent", 404, "NOT_FOUND"),  # the lookup is empty
        ("GET", "Nothing", 404, "NOT_FOUND"),
        ("GET", "Owner/Contacts", 404, "NOT_FOUND"),
        ("GET", "/".join(["Parent"] * 6), 404, "NOT_FOUND"),
        ("GET", "Owner?fields=Nothing", 400, "INVALID_FIELD"),
        ("GET", "Contacts?fields=Nothing", 400, "INVALID_FIELD"),
        ("GET", "Contacts?fields=Id FROM Lead LIMIT 1", 400, "INVALID_FIELD"),
        ("PATCH", "Contacts", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "Contacts", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "Owner", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_relationships_that_lead_nowhere(org: Bench, method: str, below: str, status: int, code: str) -> None:
    key = org.create("Account", Name="Alone")
    answered = org.rest(method, f"sobjects/Account/{key}/{below}", {} if method in ("PATCH", "POST") else None)
    assert (answered.status, answered.codes) == (status, [code])


@pytest.mark.parametrize("version", ["20.0", "30.0", "42.0", "51.0", "60.0", "66.0", "67.0"])
def test_any_version_is_served(org: Bench, version: str) -> None:
    key = org.rest("POST", "sobjects/Lead/", LEAD, version=version).body["id"]
    row = org.rest("GET", f"sobjects/Lead/{key}", version=version).body
    assert row["attributes"]["url"] == f"/services/data/v{version}/sobjects/Lead/{key}"
    assert org.rest("GET", "", version=version).body["limits"] == f"/services/data/v{version}/limits"


@pytest.mark.parametrize("version", ["19.0", "68.0", "999.0", "60", "60.1", "x"])
def test_other_versions_are_not_there(org: Bench, version: str) -> None:
    refused = org.rest("GET", "limits", version=version)
    assert (refused.status, refused.body) == (
        404,
        [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}],
    )


# --- what clients ask first (§12) ----------------------------------------------------------------------------------


def test_paths_with_more_slashes_than_needed(org: Bench) -> None:
    for path in ("//services/data/", "/services//data/v60.0/", "//services/data/v60.0/sobjects//Lead/describe/"):
        assert org.send("GET", path).status == 200


def test_the_user_and_the_organization_that_a_client_reads_first(org: Bench) -> None:
    who = org.rest("GET", "/services/oauth2/userinfo").body
    user = org.rest("GET", f"sobjects/User/{who['user_id']}").body
    assert user["Username"] == org.app.credentials["username"]
    names = "Name, InstanceName, IsSandbox, TrialExpirationDate, NamespacePrefix, OrganizationType"
    row = org.one(f"SELECT {names} FROM Organization")
    assert row["OrganizationType"] == "Developer Edition"
    found = org.rest("GET", f"sobjects/Organization/{who['organization_id'][:15]}")
    assert found.body["InstanceName"] == row["InstanceName"]


def test_layouts_tell_the_picklists_of_each_record_type() -> None:
    kinds = [
        {"developerName": "Partner", "picklists": {"Rating": ["Hot"]}},
        {"developerName": "Direct", "default": True},
    ]
    org = bench({"objects": {"Lead": {"recordTypes": kinds}}})
    told = org.rest("GET", "sobjects/Lead/describe/layouts").body

    def ratings(mapping: dict[str, Any]) -> list[str]:
        lists = {item["picklistName"]: item["picklistValues"] for item in mapping["picklistsForRecordType"]}
        return [value["value"] for value in lists["Rating"]]

    found = {
        item["developerName"]: (item["defaultRecordTypeMapping"], ratings(item)) for item in told["recordTypeMappings"]
    }
    everything = ["Hot", "Warm", "Cold"]
    assert found == {"Partner": (False, ["Hot"]), "Direct": (True, everything), "Master": (False, everything)}
    key = told["recordTypeMappings"][0]["recordTypeId"]
    (one,) = org.rest("GET", f"sobjects/Lead/describe/layouts/{key}").body["recordTypeMappings"]
    assert one["recordTypeId"] == key


def test_an_object_in_short(org: Bench) -> None:
    answered: Answered = org.rest("GET", "sobjects/Lead")
    assert answered.body["objectDescribe"]["keyPrefix"] == "00Q"
    listed = {item["name"]: item for item in org.rest("GET", "sobjects").body["sobjects"]}
    assert listed["Lead"] == answered.body["objectDescribe"]
    assert listed["OpportunityContactRole"]["undeletable"] is False


def test_objects_have_tabs_and_the_theme_names_them(org: Bench) -> None:
    tabs = {tab["sobjectName"]: tab for tab in org.rest("GET", "tabs").body}
    lead = tabs["Lead"]
    assert (lead["label"], lead["name"], lead["custom"]) == ("Leads", "standard-Lead", False)
    assert lead["url"].endswith("/00Q/o")
    assert "LeadStatus" not in tabs
    assert {item["name"] for item in org.rest("GET", "theme").body["themeItems"]} == set(tabs)
    assert org.rest("GET", "tabs?x=1").status == 501
    assert org.rest("GET", "tabs", version="30.0").status == 404
