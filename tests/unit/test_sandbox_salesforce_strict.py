"""Nothing that is sent to the sandbox's org is taken and then ignored: it has an effect, or it is refused
(salesforce-api §3, §9, §10)."""

import json
from typing import Any

import pytest

from tests.support.salesforce_org import Bench, bench

LEAD = {"LastName": "a", "Company": "b"}
DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-03-31"}


@pytest.fixture
def org() -> Bench:
    return bench()


# --- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "token"),
    [("5", "VALUE_NUMBER_INT value 5"), ("null", "VALUE_NULL value null"), ('"x"', "VALUE_STRING value x"),
     ("true", "VALUE_TRUE value true"), ("[]", "START_ARRAY value ["), ("1.5", "VALUE_NUMBER_FLOAT value 1.5")],
)  # fmt: skip
def test_a_body_that_is_no_record_is_told_as_what_it_is(org: Bench, raw: str, token: str) -> None:
    reply = org.send("POST", "/services/data/v60.0/sobjects/Lead", raw.encode())
    (problem,) = json.loads(reply.body)
    assert (reply.status, problem["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert problem["message"].startswith(f"Cannot deserialize instance of sobject from {token} or request")


@pytest.mark.parametrize("attributes", [5, "Lead", None, [], {"type": "Account"}, {"type": 7}])
def test_a_record_that_says_it_is_something_else_is_refused(org: Bench, attributes: Any) -> None:
    answered = org.rest("POST", "sobjects/Lead", {**LEAD, "attributes": attributes})
    assert answered.status == 400
    assert answered.codes[0] in ("JSON_PARSER_ERROR", "INVALID_TYPE")
    assert org.rest("POST", "sobjects/Lead", {**LEAD, "attributes": {"type": "lead", "url": "/x"}}).status == 201


def test_a_field_that_is_given_twice_is_refused(org: Bench) -> None:
    twice = org.rest("POST", "sobjects/Lead", {**LEAD, "lastname": "c"})
    assert (twice.status, twice.codes) == (400, ["INVALID_FIELD"])
    account = org.create("Account", Name="Acme")
    both = org.rest("POST", "sobjects/Contact", {"LastName": "r", "AccountId": account, "Account": {"Id": account}})
    assert (both.status, both.codes) == (400, ["INVALID_FIELD"])
    assert both.body[0]["message"].startswith("Cannot specify both an external ID reference Account and a salesforce")
    assert org.rows("SELECT Id FROM Contact") == []


def test_a_parent_of_several_kinds_is_the_one_that_is_named(org: Bench) -> None:
    lead = org.create("Lead", **LEAD, CrmBridge_Id__c="k")
    contact = org.create("Contact", LastName="r", CrmBridge_Id__c="k")
    for kind, key in (("Lead", lead), ("Contact", contact)):
        who = {"attributes": {"type": kind}, "CrmBridge_Id__c": "k"}
        task = org.create("Task", Subject="call", Status="Not Started", Priority="Normal", Who=who)
        assert org.get("Task", task)["WhoId"] == key
    wrong = org.rest("POST", "sobjects/Task", {"Who": {"attributes": {"type": "Account"}, "CrmBridge_Id__c": "k"}})
    assert (wrong.status, wrong.codes) == (400, ["INVALID_FIELD"])


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\x00b", "a\x07b", "\x1b[31m", "a\x0bb"])
def test_control_characters_are_refused(org: Bench, text: str) -> None:
    answered = org.rest("POST", "sobjects/Lead", {**LEAD, "LastName": text})
    assert (answered.status, answered.body[0]["fields"]) == (400, ["LastName"])
    lines = org.create("Lead", **LEAD, Description="a\r\nb\tc")
    assert org.get("Lead", lines)["Description"] == "a\r\nb\tc"


@pytest.mark.parametrize(
    "text", ["2026-01-31Tnoon", "2026-W05-6", "20260131", "٢٠٢٦-01-31", "2026-02-30", "2026-1-1", ""]
)
def test_what_is_no_date_is_no_date(org: Bench, text: str) -> None:
    answered = org.rest("POST", "sobjects/Opportunity", {**DEAL, "CloseDate": text})
    assert (answered.status, answered.codes) == (400, ["JSON_PARSER_ERROR"])
    made = org.create("Opportunity", **{**DEAL, "CloseDate": "2026-01-31T10:00:00Z"})
    assert org.get("Opportunity", made)["CloseDate"] == "2026-01-31"


def test_digits_of_other_scripts_are_no_datetime(org: Bench) -> None:
    lead = org.create("Lead", **LEAD)
    answered = org.update("Lead", lead, EmailBouncedDate="٢٠٢٦-01-01T00:00:00Z")
    assert (answered.status, answered.codes) == (400, ["JSON_PARSER_ERROR"])


def test_content_is_base64_or_refused(org: Bench) -> None:
    refused = org.rest("POST", "sobjects/ContentNote", {"Title": "n", "Content": "no base64!"})
    assert (refused.status, refused.codes) == (400, ["JSON_PARSER_ERROR"])
    assert org.rest("POST", "sobjects/ContentNote", {"Title": "n", "Content": "PGI+aGk8L2I+"}).status == 201


# --- headers and parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("sforce-duplicate-rule-header", "allowSave=maybe"), ("sforce-duplicate-rule-header", "allowAll=true"),
     ("sforce-duplicate-rule-header", "allowSave"), ("sforce-mru", "updateMru=1"), ("sforce-mru", "true")],
)  # fmt: skip
def test_a_setting_that_nobody_knows_is_refused(org: Bench, name: str, value: str) -> None:
    for method, path, body in (("POST", "sobjects/Lead", LEAD), ("GET", "query?q=SELECT+Id+FROM+Lead", None)):
        answered = org.rest(method, path, body, headers={name: value})
        assert (answered.status, answered.codes) == (400, ["INVALID_HEADER_VALUE"])
    inner = {"method": "GET", "url": "/services/data/v60.0/limits", "referenceId": "a", "httpHeaders": {name: value}}
    (result,) = org.rest("POST", "composite", {"compositeRequest": [inner]}).body["compositeResponse"]
    assert (result["httpStatusCode"], result["body"][0]["errorCode"]) == (400, "INVALID_HEADER_VALUE")


@pytest.mark.parametrize(
    ("name", "value"),
    [("sforce-duplicate-rule-header", "allowSave = TRUE; includeRecordDetails=false,runAsCurrentUser=true;"),
     ("sforce-mru", "updateMru=false"), ("sforce-mru", "")],
)  # fmt: skip
def test_settings_are_read_as_they_are_written(org: Bench, name: str, value: str) -> None:
    assert org.rest("POST", "sobjects/Lead", LEAD, headers={name: value}).status == 201


def test_headers_of_a_subrequest_are_an_object(org: Bench) -> None:
    inner = {"method": "GET", "url": "/services/data/v60.0/limits", "referenceId": "a", "httpHeaders": ["x"]}
    (result,) = org.rest("POST", "composite", {"compositeRequest": [inner]}).body["compositeResponse"]
    assert (result["httpStatusCode"], result["body"][0]["errorCode"]) == (400, "INVALID_INPUT")


def test_collections_by_url_say_which_records_and_fields(org: Bench) -> None:
    key = org.create("Lead", **LEAD)
    for method, path in (
        ("DELETE", "composite/sobjects"), ("DELETE", "composite/sobjects?ids=,"),
        ("GET", "composite/sobjects/Lead"), ("GET", f"composite/sobjects/Lead?ids={key}"),
        ("GET", "composite/sobjects/Lead?fields=Id"),
    ):  # fmt: skip
        answered = org.rest(method, path)
        assert (answered.status, answered.codes) == (400, ["MISSING_ARGUMENT"])
    two = {"attributes": {"type": "Lead"}, "id": key, "Id": org.create("Lead", **LEAD), "City": "x"}
    (result,) = org.rest("PATCH", "composite/sobjects", {"records": [two]}).body
    assert (result["success"], result["errors"][0]["statusCode"]) == (False, "INVALID_FIELD")


@pytest.mark.parametrize("path", ["sobjects/Lead/describe", "sobjects/Lead/updated/?start=x", "query?q=x", "limits"])
def test_only_rows_are_nodes_of_a_graph(org: Bench, path: str) -> None:
    node = {"method": "GET", "url": f"/services/data/v60.0/{path}", "referenceId": "a"}
    answered = org.rest("POST", "composite/graph", {"graphs": [{"graphId": "g", "compositeRequest": [node]}]})
    assert (answered.status, answered.codes) == (400, ["INVALID_INPUT"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_list_of_versions_is_only_read(org: Bench, method: str) -> None:
    answered = org.rest(method, "/services/data/", {})
    assert (answered.status, answered.codes) == (405, ["METHOD_NOT_ALLOWED"])
    assert org.send("HEAD", "/services/data").status == 200


# --- SOAP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["maybe", "2", "yes"])
def test_a_boolean_of_a_conversion_is_one_or_nothing_is_converted(org: Bench, text: str) -> None:
    lead = org.create("Lead", **LEAD)
    asked = f"<leadId>{lead}</leadId><convertedStatus>Closed - Converted</convertedStatus>"
    flag = f"<doNotCreateOpportunity>{text}</doNotCreateOpportunity>"
    reply = org.soap(f"<convertLead><leadConverts>{asked}{flag}</leadConverts></convertLead>")
    assert reply.status == 500
    assert b"is not a valid value for the type xsd:boolean" in reply.body
    assert org.get("Lead", lead)["IsConverted"] is False
