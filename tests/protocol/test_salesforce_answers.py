"""What each answer proves, and what each request says, byte by byte (salesforce-api §3, §6, §9; reliability §2)."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from connectors.base import Conversion
from connectors.salesforce import protocol, soap, soql
from connectors.salesforce.protocol import Meaning, Record, SaveResult, answer_meaning, as_error, as_outcome
from crmbridge.errors import AccessError, OutsideError, RefusedError, TryLater
from crmbridge.model import Later, NativeRef, Refused, Stale, Unknown
from crmbridge.sandbox.salesforce import soql as sandbox_soql

WSDL = Path(__file__).parents[2].parent / "shared" / "data" / "sf-wsdl-partner-v27" / "partner.wsdl.xml"
PARTNER = "{urn:partner.soap.sforce.com}"


def errors(*codes: str, message: str = "said") -> bytes:
    return json.dumps([{"errorCode": code, "message": message, "fields": ["Email"]} for code in codes]).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", "done"),
        (204, b"", "done"),
        (412, b"", "stale"),
        (401, errors("INVALID_SESSION_ID", message="Session expired or invalid"), "session"),
        (
            401,
            errors("INVALID_SESSION_ID", message="This session is not valid for use with the REST API"),
            "access",
        ),
        (401, errors("INVALID_AUTH_HEADER"), "access"),
        (401, b"<html>", "access"),
        (403, errors("REQUEST_LIMIT_EXCEEDED", message="TotalRequests Limit exceeded."), "later"),
        (403, errors("API_DISABLED_FOR_ORG"), "access"),
        (400, errors("UNABLE_TO_LOCK_ROW"), "later"),
        (400, errors("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message="T: UNABLE_TO_LOCK_ROW"), "later"),
        (400, errors("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message="T: null pointer"), "refused"),
        (400, errors("FIELD_CUSTOM_VALIDATION_EXCEPTION"), "refused"),
        (400, errors("UNABLE_TO_LOCK_ROW", "REQUIRED_FIELD_MISSING"), "refused"),
        (400, errors("DUPLICATES_DETECTED"), "refused"),
        (404, errors("ENTITY_IS_DELETED"), "refused"),
        (404, errors("NOT_FOUND"), "refused"),
        (429, b"", "later"),
        (420, b"<html>maintenance</html>", "later"),
        (500, errors("UNKNOWN_EXCEPTION"), "unknown"),
        (500, b"", "unknown"),
        (502, b"<html>", "unknown"),
        (503, b"<html>", "unknown"),
        (503, errors("SERVER_UNAVAILABLE"), "later"),
        (504, b"", "unknown"),
        (400, errors("REQUEST_RUNNING_TOO_LONG"), "unknown"),
        (400, b"<html>a proxy's</html>", "unknown"),
        (400, b"[]", "unknown"),
        (400, b'{"error":"invalid"}', "unknown"),
    ],
)
def test_what_an_answer_proves(status: int, body: bytes, kind: str) -> None:
    assert answer_meaning(status, body).kind == kind


@pytest.mark.parametrize(
    ("code", "lasting"),
    [
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", True),
        ("STRING_TOO_LONG", True),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", True),
        ("REQUIRED_FIELD_MISSING", True),
        ("DUPLICATES_DETECTED", False),
        ("INSUFFICIENT_ACCESS_OR_READONLY", False),
        ("INVALID_CROSS_REFERENCE_KEY", False),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", False),
    ],
)
def test_what_is_refused_for_its_values_is_told_apart_from_what_may_pass(code: str, lasting: bool) -> None:
    refused = as_outcome(answer_meaning(400, errors(code)))
    assert isinstance(refused, Refused)
    assert refused.lasting == lasting


def test_a_meaning_is_said_to_writes_and_to_reads() -> None:
    said = {
        kind: Meaning(kind=kind, code="X", message="m", fields=("Email",), after_seconds=7.0)  # type: ignore[arg-type]
        for kind in ("refused", "later", "stale", "unknown", "access", "session")
    }
    assert as_outcome(said["refused"]) == Refused(code="X", message="m", fields=("Email",))
    assert as_outcome(said["later"]) == Later(message="m (X).", after_seconds=7.0)
    assert isinstance(as_outcome(said["stale"]), Stale)
    assert isinstance(as_outcome(said["unknown"]), Unknown)
    kinds: dict[str, type[Exception]] = {
        "refused": RefusedError,
        "later": TryLater,
        "unknown": OutsideError,
        "access": AccessError,
        "session": AccessError,
    }
    for kind, error in kinds.items():
        assert isinstance(as_error(said[kind], "sf: query of Lead"), error)


@pytest.mark.parametrize(
    "text",
    [
        "Email: invalid email address: private@example.com",
        "Last Name: data value too large: private private (max length=80)",
        "Cannot deserialize instance of date from VALUE_STRING value private or request may be missing [line:1]",
    ],
)
def test_a_records_own_value_is_not_repeated(text: str) -> None:
    what = answer_meaning(400, errors("X", message=text))
    assert "private" not in what.message
    assert what.message


def test_limits_tell_how_long_to_wait() -> None:
    daily = answer_meaning(403, errors("REQUEST_LIMIT_EXCEEDED", message="TotalRequests Limit exceeded."))
    short = answer_meaning(403, errors("REQUEST_LIMIT_EXCEEDED", message="ConcurrentRequests (x) Limit exceeded."))
    assert (daily.after_seconds, short.after_seconds) == (3600.0, 30.0)
    assert answer_meaning(429, b"", after_seconds=5.0).after_seconds == 5.0


def test_results_of_a_collection_are_matched_by_position_and_a_missing_one_is_unknown() -> None:
    body = json.dumps(
        [
            {"id": "00Qxx000001AbCdEAK", "success": True, "errors": []},
            {"success": False, "errors": [{"statusCode": "REQUIRED_FIELD_MISSING", "message": "m", "fields": ["X"]}]},
            {"success": True, "errors": []},
        ]
    ).encode()
    first, second, third, fourth = protocol.saved(body, 4)
    assert isinstance(first, SaveResult)
    assert isinstance(second, Meaning)
    assert (second.kind, second.code, second.fields) == ("refused", "REQUIRED_FIELD_MISSING", ("X",))
    assert isinstance(third, Meaning)
    assert isinstance(fourth, Meaning)
    assert third.kind == fourth.kind == "unknown"
    assert [each.kind for each in protocol.saved(b'[{"success":tr', 2) if isinstance(each, Meaning)] == ["unknown"] * 2


def test_results_of_a_composite_are_matched_by_reference() -> None:
    body = json.dumps(
        {
            "compositeResponse": [
                {"body": None, "httpHeaders": {}, "httpStatusCode": 204, "referenceId": "u1"},
                {"body": None, "httpHeaders": {}, "httpStatusCode": 412, "referenceId": "u0"},
                {
                    "body": [{"errorCode": "PROCESSING_HALTED", "message": "rolled back"}],
                    "httpHeaders": {},
                    "httpStatusCode": 400,
                    "referenceId": "u2",
                },
            ]
        }
    ).encode()
    assert [each.kind for each, _ in protocol.composite_bodies(body, 4)] == ["stale", "done", "later", "unknown"]


def test_values_go_over_the_wire_in_salesforces_own_forms() -> None:
    record = Record(
        table="Opportunity",
        id="006xx0000000001AAA",
        columns={
            "Amount": Decimal("10.50"),
            "CloseDate": date(2026, 1, 31),
            "When__c": datetime(2026, 1, 31, 9, 15, 22, 123456, tzinfo=UTC),
            "AccountId": NativeRef("account", "001xx0000000001AAA"),
            "NextStep": None,
            "IsPrivate": False,
        },
        unchanged_since=datetime(2026, 1, 31, 9, 15, 22, tzinfo=UTC),
    )
    assert protocol.update([record]).body == (
        b'{"allOrNone":false,"records":[{"attributes":{"type":"Opportunity"},"id":"006xx0000000001AAA",'
        b'"Amount":10.50,"CloseDate":"2026-01-31","When__c":"2026-01-31T09:15:22.123Z",'
        b'"AccountId":"001xx0000000001AAA","NextStep":null,"IsPrivate":false}]}'
    )
    call = protocol.composite_update([record])
    assert call.body is not None
    (sub,) = json.loads(call.body)["compositeRequest"]
    assert sub["httpHeaders"]["If-Unmodified-Since"] == "Sat, 31 Jan 2026 09:15:22 GMT"
    for headers in (call.headers, sub["httpHeaders"], protocol.create([record]).headers):
        assert headers["Sforce-Auto-Assign"] == "FALSE"
        assert headers["Sforce-Duplicate-Rule-Header"] == "allowSave=true"
        assert headers["Sforce-Call-Options"] == "client=crmbridge"


# --- SOQL ---------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_literal_of_its_own_value(value: str) -> None:
    statement = soql.select(("Id",), "Lead", f"LastName = {soql.text(value)}")
    assert f"{value!r}" in repr(sandbox_soql.parse(statement)) or value == ""


@given(st.text(st.sampled_from("'\\\"\n\r\tab%_")))
def test_quoting_is_that_of_simple_salesforce(value: str) -> None:
    from simple_salesforce.format import quote_soql_value

    assert soql.text(value) == quote_soql_value(value)


def test_names_and_ids_are_nothing_else() -> None:
    for word in ("Id FROM Lead", "a.b", "1a", "", "a'b"):
        with pytest.raises(ValueError, match="not the name"):
            soql.name(word)
    assert soql.is_id("0017F000007y8FF")
    assert soql.is_id("0017F000007y8FFQAY")
    assert not soql.is_id("0017F000007y8FF' OR Id != '")
    # salesforce-api §10
    assert [soql.id18(each) for each in ("0017F000007y8FF", "006gL000009l09A", "012000000000000")] == [
        "0017F000007y8FFQAY",
        "006gL000009l09AQAQ",
        "012000000000000AAA",
    ]


# --- SOAP ---------------------------------------------------------------------------------------------------------

ORDER = Conversion(
    lead_id="00Qxx000001AbCdEAK",
    account_id="001xx000003DGb2AAG",
    contact_id="003xx000004TmiQAAS",
    opportunity_name="Farmers <& Coop.>\x00 generators",
    owner_id="005xx000001SwiUAAS",
)


def envelope(order: Conversion, token: str = "00Dxx!AQ0") -> Any:
    call = soap.convert_lead(order, "Closed - Converted")
    assert call.soap is not None
    assert call.headers["SOAPAction"] == '""'
    return etree.fromstring(call.soap(token))


def elements(root: Any) -> list[str]:
    return [etree.QName(each).localname for each in root.find(f".//{PARTNER}leadConverts")]


WSDL_ORDER = [
    "accountId",
    "contactId",
    "convertedStatus",
    "doNotCreateOpportunity",
    "leadId",
    "opportunityId",
    "opportunityName",
    "overwriteLeadSource",
    "ownerId",
    "sendNotificationEmail",
]


def test_the_envelope_has_wsdl_order_and_every_boolean() -> None:
    root = envelope(ORDER)
    assert elements(root) == [each for each in WSDL_ORDER if each != "opportunityId"]
    given_one = Conversion(
        lead_id=ORDER.lead_id, account_id=ORDER.account_id, opportunity_id="006xx000001aBcDAAU", opportunity_name="X"
    )
    root = envelope(given_one)
    assert elements(root) == WSDL_ORDER
    texts = {etree.QName(each).localname: each.text for each in root.find(f".//{PARTNER}leadConverts")}
    assert texts["doNotCreateOpportunity"] == "false"  # true together with an id is refused (lifecycle §1.2)
    assert texts["opportunityName"] is None
    assert texts["opportunityId"] == "006xx000001aBcDAAU"
    none = envelope(Conversion(lead_id=ORDER.lead_id, create_opportunity=False, opportunity_name="X"))
    texts = {etree.QName(each).localname: each.text for each in none.find(f".//{PARTNER}leadConverts")}
    assert (texts["doNotCreateOpportunity"], texts["opportunityName"]) == ("true", None)


def test_the_headers_stand_in_their_places() -> None:
    root = envelope(ORDER)
    headers = [etree.QName(each).localname for each in root[0]]
    assert headers == ["SessionHeader", "CallOptions", "DuplicateRuleHeader"]
    duplicates = root.find(f".//{PARTNER}DuplicateRuleHeader")
    assert [(etree.QName(each).localname, each.text) for each in duplicates] == [
        ("allowSave", "true"),
        ("includeRecordDetails", "false"),
        ("runAsCurrentUser", "true"),
    ]
    assert root.find(f".//{PARTNER}sessionId").text == "00Dxx!AQ0"


@pytest.mark.skipif(not WSDL.is_file(), reason="the partner WSDL is not beside the checkout")
@pytest.mark.parametrize(
    "order", [ORDER, Conversion(lead_id=ORDER.lead_id), Conversion(lead_id=ORDER.lead_id, create_opportunity=False)]
)
def test_the_envelope_is_valid_by_the_partner_wsdl(order: Conversion) -> None:
    """Without the two things that are younger than that WSDL: opportunityId and the duplicate header."""
    schemas = etree.parse(WSDL).findall(".//{http://www.w3.org/2001/XMLSchema}schema")
    by_name = {each.get("targetNamespace"): each for each in schemas}
    partner = by_name["urn:partner.soap.sforce.com"]
    importing = partner.find("{http://www.w3.org/2001/XMLSchema}import")
    assert importing is not None

    class Local(etree.Resolver):
        def resolve(self, system_url: str | None, public_id: str | None, context: Any = None) -> Any:
            return self.resolve_string(etree.tostring(by_name[(system_url or "").removeprefix("wsdl:")]), context)

    parser = etree.XMLParser()
    parser.resolvers.add(Local())
    for schema in schemas:
        for each in schema.findall("{http://www.w3.org/2001/XMLSchema}import"):
            each.set("schemaLocation", f"wsdl:{each.get('namespace')}")
    schema = etree.XMLSchema(etree.fromstring(etree.tostring(partner), parser))
    root = envelope(order)
    parts = [each for each in [*root[0], *root[1]] if etree.QName(each).localname != "DuplicateRuleHeader"]
    assert len(parts) == 3
    for part in parts:
        assert schema.validate(part), schema.error_log


def reply(inner: str) -> bytes:
    return (
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>'
    ).encode()


def fault(code: str, text: str) -> bytes:
    return reply(f"<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></soapenv:Fault>")


def test_a_conversion_that_worked_says_what_it_made() -> None:
    body = reply(
        "<convertLeadResponse><result><accountId>001xx000003DGb2AAG</accountId><contactId>003xx000004TmiQAAS</contactId>"
        "<leadId>00Qxx000001AbCdEAK</leadId><opportunityId xsi:nil='true'/><success>true</success></result>"
        "</convertLeadResponse>"
    )
    assert soap.converted(200, body) == soap.ConvertResult(
        account_id="001xx000003DGb2AAG", contact_id="003xx000004TmiQAAS", opportunity_id=None
    )


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (
            200,
            reply(
                "<convertLeadResponse><result><accountId xsi:nil='true'/><errors><fields>Status</fields>"
                "<message>invalid convertedStatus: Working</message><statusCode>INVALID_STATUS</statusCode></errors>"
                "<success>false</success></result></convertLeadResponse>"
            ),
            "refused",
            "INVALID_STATUS",
        ),
        (
            200,
            reply(
                "<convertLeadResponse><result><errors><message>unable to obtain exclusive access</message>"
                "<statusCode>UNABLE_TO_LOCK_ROW</statusCode></errors><success>false</success></result>"
                "</convertLeadResponse>"
            ),
            "later",
            "UNABLE_TO_LOCK_ROW",
        ),
        (
            500,
            fault("sf:INVALID_SESSION_ID", "INVALID_SESSION_ID: Invalid Session ID"),
            "session",
            "INVALID_SESSION_ID",
        ),
        (500, fault("INVALID_SESSION_ID", "x"), "session", "INVALID_SESSION_ID"),
        (
            500,
            fault("sf:REQUEST_LIMIT_EXCEEDED", "REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded."),
            "later",
            "REQUEST_LIMIT_EXCEEDED",
        ),
        (500, fault("sf:UNKNOWN_EXCEPTION", "x"), "unknown", "UNKNOWN_EXCEPTION"),
        (500, fault("soapenv:Client", "Element convertedStatus invalid at this location"), "refused", "Client"),
        (500, fault("soapenv:Server", "x"), "unknown", "500"),
        (
            500,
            fault("sf:INVALID_FIELD", "x").replace(b' xmlns="urn:partner.soap.sforce.com"', b""),
            "refused",
            "INVALID_FIELD",
        ),
        (200, reply("<convertLeadResponse/>"), "unknown", ""),
        (200, b"<half", "unknown", "502"),
        (503, b"<html><body>maintenance</body></html>", "unknown", "503"),
        (200, b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "unknown", "502"),
    ],
)
def test_a_conversion_that_did_not_work(status: int, body: bytes, kind: str, code: str) -> None:
    what = soap.converted(status, body)
    assert isinstance(what, Meaning)
    assert (what.kind, what.code) == (kind, code)
