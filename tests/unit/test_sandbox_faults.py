"""Fault rules: which request they hit, how often, and what is answered."""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from crmbridge.sandbox.core import Request
from crmbridge.sandbox.fault_replies import reply_for
from crmbridge.sandbox.faults import Action, BadRule, Facts, Faults, Service, parse_rule

ENVELOPE = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><e:Body>'
    b"<convertLead><leadConverts><leadId>00Q1</leadId></leadConverts><leadConverts><leadId>00Q2</leadId></leadConverts>"
    b"</convertLead></e:Body></e:Envelope>"
)
SOAP = Request(method="POST", path="/services/Soap/u/66.0", body=ENVELOPE)
REST = Request(method="PATCH", path="/services/data/v66.0/sobjects/Lead/00Q1", query="q=a+b&x=%24")
WEB_API = Request(method="PATCH", path="/api/data/v9.2/leads(1)", origin="https://localhost:8103")


def facts(request: Request = REST, service: Service = "salesforce", table: str = "Lead", kind: str = "update") -> Facts:
    return Facts(service=service, table=table, kind=kind, request=request)


@given(skip=st.integers(0, 5), times=st.none() | st.integers(1, 5), asked=st.integers(0, 15))
def test_a_rule_passes_skip_requests_and_fires_times_times(skip: int, times: int | None, asked: int) -> None:
    faults = Faults()
    faults.add({"action": "html", "skip": skip, "times": times})
    fired = [faults.decide(facts(), random.Random(0)) is not None for _ in range(asked)]
    expected = min(max(0, asked - skip), times if times is not None else asked)
    assert sum(fired) == expected
    assert fired == [False] * min(skip, asked) + [True] * expected + [False] * (asked - min(skip, asked) - expected)


def test_probability_is_drawn_from_the_given_chance() -> None:
    def run(seed: int) -> list[bool]:
        faults, rng = Faults(), random.Random(seed)
        faults.add({"action": "html", "times": None, "probability": 0.5})
        return [faults.decide(facts(), rng) is not None for _ in range(200)]

    assert run(1) == run(1)
    assert 60 < sum(run(1)) < 140


@pytest.mark.parametrize(
    ("rule", "hit"),
    [
        ({}, True),
        ({"crm": "salesforce", "table": "lead", "kind": "UPDATE", "method": "patch"}, True),
        ({"crm": "dynamics"}, False),
        ({"table": "Account"}, False),
        ({"method": "GET"}, False),
        ({"path_regex": r"/sobjects/Lead/.*q=a b x=\$"}, True),
        ({"path_regex": "Contact"}, False),
        ({"body_regex": "00Q9"}, False),
    ],
)
def test_what_a_rule_matches(rule: dict[str, Any], hit: bool) -> None:
    faults = Faults()
    faults.add({**rule, "action": "drop_before_commit"})
    assert (faults.decide(facts(), random.Random(0)) is not None) is hit


def test_the_body_tells_one_lead_of_an_envelope() -> None:
    faults = Faults()
    faults.add({"body_regex": "00Q2", "action": "drop_after_commit"})
    assert faults.decide(facts(SOAP), random.Random(0)) == Action(name="drop_after_commit")


def test_a_spent_rule_leaves_the_next_one_its_turn() -> None:
    faults = Faults()
    faults.add({"action": {"name": "status", "status": 503}})
    second = faults.add({"action": {"name": "status", "status": 500}})
    statuses = [action.status if (action := faults.decide(facts(), random.Random(0))) else 0 for _ in range(3)]
    assert statuses == [503, 500, 0]
    assert faults.remove(second.id)
    assert not faults.remove(second.id)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "'action' is missing"),
        ({"action": "html", "tables": "Lead"}, "unknown key 'tables'"),
        ({"action": {"name": "slow"}}, "action.seconds: missing"),
        ({"action": {"name": "slow", "seconds": -1}}, "seconds: a number"),
        ({"action": {"name": "slow", "seconds": 1, "when": "later"}}, "action.when: 'later'"),
        ({"action": {"name": "status"}}, "action.status: missing"),
        ({"action": {"name": "status", "status": 200}}, "status: a number from 300"),
        ({"action": {"name": "status", "status": 429, "seconds": 3}}, "action.seconds: not a setting of 'status'"),
        ({"action": {"name": "refuse"}}, "action.code: missing"),
        ({"action": {"name": "refuse", "code": "<x>"}}, "action.code: letters"),
        ({"action": {"name": "refuse", "code": "X", "fields": "Name"}}, "action.fields: a list"),
        ({"action": "html", "times": 0}, "times:"),
        ({"action": "html", "skip": -1}, "skip:"),
        ({"action": "html", "probability": 2}, "probability:"),
        ({"action": "html", "crm": "sap"}, "crm: 'sap'"),
        ({"action": 7}, "action: a name"),
    ],
)
def test_a_bad_rule_is_refused_in_words(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRule, match=re.escape(words)):
        parse_rule(rule)


def answer(action: dict[str, Any], service: Service, request: Request) -> tuple[int, dict[str, str], bytes]:
    reply = reply_for(parse_rule({"action": action}).action, service, request)
    assert reply is not None
    return reply.status, dict(reply.headers), reply.body


def test_salesforce_answers_arrays() -> None:
    # salesforce-api §9.1, §1.4
    status, headers, body = answer({"name": "status", "status": 401}, "salesforce", REST)
    assert (status, headers["Content-Type"]) == (401, "application/json;charset=UTF-8")
    assert json.loads(body) == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    status, headers, body = answer({"name": "status", "status": 503, "retry_after": 3}, "salesforce", REST)
    assert (status, headers["Retry-After"], json.loads(body)[0]["errorCode"]) == (503, "3", "SERVER_UNAVAILABLE")
    refused = {"name": "refuse", "code": "ENTITY_IS_DELETED", "message": "entity is deleted", "fields": []}
    status, _, body = answer(refused, "salesforce", REST)
    assert (status, json.loads(body)) == (
        404,
        [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}],
    )


def test_salesforce_answers_soap_with_faults_and_refuses_each_lead_inside_200() -> None:
    # salesforce-api §1.3, §1.4, §6.3
    status, _, body = answer({"name": "status", "status": 401}, "salesforce", SOAP)
    assert status == 500
    assert b"<faultcode>sf:INVALID_SESSION_ID</faultcode>" in body
    assert etree.fromstring(body).findtext(".//{*}exceptionCode") == "INVALID_SESSION_ID"
    refused = {"name": "refuse", "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "Needs <an> amount & more"}
    status, _, body = answer(refused, "salesforce", SOAP)
    results = etree.fromstring(body).findall(".//{urn:partner.soap.sforce.com}result")
    assert status == 200
    assert [result.findtext("{*}success") for result in results] == ["false", "false"]
    assert results[0].findtext("{*}errors/{*}message") == "Needs <an> amount & more"


def test_dynamics_answers_objects_and_an_empty_401() -> None:
    # dataverse-api §10.1, §10.3, §1.4
    status, headers, body = answer({"name": "status", "status": 429, "retry_after": 12}, "dynamics", WEB_API)
    assert (status, headers["Retry-After"], headers["OData-Version"]) == (429, "12", "4.0")
    assert json.loads(body)["error"]["code"] == "0x80072322"
    status, headers, body = answer({"name": "status", "status": 401}, "dynamics", WEB_API)
    assert (status, body) == (401, b"")
    assert headers["WWW-Authenticate"].endswith("resource_id=https://localhost:8103/")
    status, _, body = answer({"name": "refuse", "code": "0x80060882"}, "dynamics", WEB_API)
    assert (status, json.loads(body)["error"]["code"]) == (412, "0x80060882")
    concurrent = {"name": "status", "status": 429, "code": "0x80072326"}
    assert "concurrent requests" in json.loads(answer(concurrent, "dynamics", WEB_API)[2])["error"]["message"]


def test_login_and_maintenance_have_their_own_shapes() -> None:
    token = Request(method="POST", path="/tenant/oauth2/v2.0/token")
    body = json.loads(answer({"name": "status", "status": 401}, "identity", token)[2])
    assert body["error"] == "invalid_client"
    assert body["error_description"].startswith("AADSTS7000215:")
    oauth = Request(method="POST", path="/services/oauth2/token")
    assert json.loads(answer({"name": "status", "status": 400}, "salesforce", oauth)[2])["error"] == "invalid_grant"
    status, headers, body = answer({"name": "html"}, "dynamics", WEB_API)
    assert (status, headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")
