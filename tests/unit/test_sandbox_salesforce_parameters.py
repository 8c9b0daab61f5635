"""Parameters in the URL are heeded, in the closed list of those without effect, or refused by name."""

import json
from typing import Any

import pytest

from crmbridge.sandbox.accepted import WITHOUT_EFFECT
from crmbridge.sandbox.salesforce.parameters import NO_EFFECT
from tests.support.salesforce_org import Bench, bench

LEAD = {"LastName": "a", "Company": "b"}
RECORD = {"attributes": {"type": "Lead"}, **LEAD}
SUB = {"method": "GET", "url": "/services/data/v60.0/limits", "referenceId": "a"}
REFUSED = (501, ["NOT_SERVED_BY_SANDBOX"])


@pytest.fixture
def org() -> Bench:
    return bench()


CALLS = [
    ("GET", "", None),
    ("GET", "sobjects", None),
    ("GET", "sobjects/Lead", None),
    ("GET", "sobjects/Lead/describe", None),
    ("GET", "sobjects/Lead/describe/layouts", None),
    ("GET", "sobjects/Lead/ID", None),
    ("PATCH", "sobjects/Lead/ID", {"City": "Oslo"}),
    ("PATCH", "sobjects/Lead/CrmBridge_Id__c/k", LEAD),
    ("DELETE", "sobjects/Lead/ID", None),
    ("POST", "sobjects/Lead", LEAD),
    ("GET", "query?q=SELECT+Id+FROM+Lead", None),
    ("GET", "queryAll?q=SELECT+Id+FROM+Lead", None),
    ("GET", "limits", None),
    ("GET", "limits/recordCount?sObjects=Lead", None),
    ("GET", "recent", None),
    ("GET", "sobjects/Lead/updated?start=2026-01-30T00:00:00Z&end=2026-01-31T00:00:00Z", None),
    ("GET", "composite/sobjects/Lead?ids=ID&fields=Id", None),
    ("POST", "composite/sobjects/Lead", {"ids": ["ID"], "fields": ["Id"]}),
    ("POST", "composite/sobjects", {"records": [RECORD]}),
    ("DELETE", "composite/sobjects?ids=ID", None),
    ("POST", "composite", {"compositeRequest": [SUB]}),
    ("POST", "composite/batch", {"batchRequests": [{"method": "GET", "url": "v60.0/limits"}]}),
    ("POST", "composite/tree/Lead", {"records": [{**RECORD, "attributes": {"type": "Lead", "referenceId": "r"}}]}),
    ("GET", "jobs/ingest", None),
    ("GET", "jobs/query", None),
    ("POST", "jobs/ingest", {"object": "Lead", "operation": "insert"}),
]


def _sent(org: Bench, method: str, path: str, body: Any, parameter: str) -> tuple[int, list[str]]:
    key = org.create("Lead", **LEAD)
    joint = "&" if "?" in path else "?"
    given = json.loads(json.dumps(body).replace("ID", key)) if body is not None else None
    answer = org.rest(method, path.replace("ID", key) + joint + parameter, given)
    return answer.status, answer.codes if answer.status >= 400 else []


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_what_nobody_heeds_is_refused(org: Bench, method: str, path: str, body: Any) -> None:
    assert _sent(org, method, path, body, "colour=red") == REFUSED
    assert not org.rows("SELECT Id FROM Lead WHERE City = 'Oslo'")


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_the_closed_list_passes(org: Bench, method: str, path: str, body: Any) -> None:
    for name in NO_EFFECT:
        assert _sent(org, method, path, body, f"{name}=1")[0] < 300


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "sobjects/Lead/ID?fields=Id"),
        ("PATCH", "sobjects/Lead/ID?updateOnly=true"),  # of an upsert by an external id alone
        ("GET", "sobjects/Lead/ID?updateOnly=true"),
        ("GET", "sobjects/Lead/describe?fields=Id"),
        ("GET", "limits?sObjects=Lead"),
        ("GET", "query?q=SELECT+Id+FROM+Lead&fields=Id"),
        ("GET", "composite/sobjects/Lead?ids=ID&fields=Id&allOrNone=true"),
        ("GET", "jobs/ingest?locator=x"),
    ],
)
def test_a_parameter_is_of_its_resource_and_method(org: Bench, method: str, path: str) -> None:
    path, _, parameter = path.rpartition("?" if path.count("=") == 1 else "&")
    assert _sent(org, method, path, {"City": "Oslo"} if method == "PATCH" else None, parameter) == REFUSED


def test_update_only_is_unknown_before_its_version(org: Bench) -> None:
    path = "sobjects/Lead/CrmBridge_Id__c/k1?updateOnly=true"
    answer = org.rest("PATCH", path, LEAD, version="52.0")
    assert (answer.status, answer.codes) == REFUSED
    assert not org.rows("SELECT Id FROM Lead")


def test_a_request_inside_another_is_held_to_the_same(org: Bench) -> None:
    inner = {**SUB, "url": "/services/data/v60.0/limits?colour=red"}
    (answer,) = org.rest("POST", "composite", {"compositeRequest": [inner]}).body["compositeResponse"]
    assert (answer["httpStatusCode"], answer["body"][0]["errorCode"]) == (501, "NOT_SERVED_BY_SANDBOX")
    requests = [{"method": "GET", "url": "v60.0/limits?colour=red"}]
    (answer,) = org.rest("POST", "composite/batch", {"batchRequests": requests}).body["results"]
    assert answer["statusCode"] == 501


def test_a_further_page_may_name_its_query_again(org: Bench) -> None:
    """tap-salesforce does, and its makers run it on real orgs."""
    for _ in range(201):
        org.create("Lead", **LEAD)
    first = org.query("SELECT Id FROM Lead", batch=200).body
    path = first["nextRecordsUrl"].partition("/v60.0/")[2]
    assert org.rest("GET", f"{path}?q=SELECT+Name+FROM+Account").body == org.rest("GET", path).body
    assert org.rest("GET", f"{path}?colour=red").status == 501


def test_jobs_are_chosen_by_parameters_in_any_case(org: Bench) -> None:
    assert org.rest("GET", "jobs/query?jobtype=V2Query&isPkChunkingEnabled=false").status == 200


@pytest.mark.parametrize("path", ["/services/data", "/services/Soap/u/60.0"])
def test_what_has_no_parameters_at_all_says_so(org: Bench, path: str) -> None:
    method = "GET" if path == "/services/data" else "POST"
    reply = org.send(method, f"{path}?colour=red", b"", {"soapaction": '""'})
    assert reply.status in (500, 501)
    assert b"NOT_SERVED_BY_SANDBOX" in reply.body


def test_an_unknown_resource_is_not_there_rather_than_wrongly_asked(org: Bench) -> None:
    assert org.rest("GET", "nowhere?colour=red").status == 404


def test_the_control_port_tells_the_list() -> None:
    for name in NO_EFFECT:
        assert WITHOUT_EFFECT["salesforce"][f"?{name}= in the URL"]
