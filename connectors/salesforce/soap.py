"""Calls that only SOAP has: convertLead, merge, getUserInfo (salesforce-api §6, §8.3, §1.3): envelopes and values.

There is no REST call that converts a lead (§6.1); the access token is the session id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from lxml import etree

from connectors.base import Conversion
from connectors.salesforce.protocol import API, ApiError, Call, Meaning, meaning

Element = etree._Element  # pyright: ignore[reportPrivateUsage]

_soap: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_xsi: Final = "http://www.w3.org/2001/XMLSchema-instance"
_partner: Final = "urn:partner.soap.sforce.com"
_sobject: Final = "urn:sobject.partner.soap.sforce.com"
_headers: Final = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""', "Accept": "text/xml"}
opportunity_name_max: Final = 80  # documented for convertLead; the field itself takes 120 (§6.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertResult:
    account_id: str | None
    contact_id: str | None
    opportunity_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    user_id: str
    org_id: str
    currency: str
    multi_currency: bool


def convert_lead(order: Conversion, status: str) -> Call:
    elements: list[tuple[str, str | None]] = [
        # WSDL order, and every required boolean: a wrong order was refused or half ignored (§6.2).
        ("accountId", order.account_id),
        ("contactId", order.contact_id),
        ("convertedStatus", status),
        ("doNotCreateOpportunity", _flag(not (order.opportunity_id or order.create_opportunity))),
        ("leadId", order.lead_id),
        ("opportunityId", order.opportunity_id),
        ("opportunityName", _opportunity_name(order)),
        ("overwriteLeadSource", "false"),
        ("ownerId", order.owner_id),
        ("sendNotificationEmail", "false"),
    ]
    # What is nillable is said to be nil; only opportunityId is younger than the WSDLs that demand the rest.
    given = [(name, value) for name, value in elements if value is not None or name != "opportunityId"]
    return _call("convertLead", "Lead", partial(_convert_envelope, given))


def merge(table: str, winner: str, loser: str) -> Call:
    """The winner keeps its own values; what hung on the loser hangs on it afterwards (§8.3)."""
    return _call("merge", table, partial(_merge_envelope, table, winner, loser))


def get_user_info() -> Call:
    return _call("getUserInfo", "", _user_info_envelope, reads=True)


def _call(kind: str, table: str, body: Callable[[str], bytes], *, reads: bool = False) -> Call:
    return Call(
        method="POST",
        path=f"/services/Soap/u/{API}",
        kind=kind,
        table=table,
        headers=_headers,
        soap=body,
        reads=reads,
    )


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _opportunity_name(order: Conversion) -> str | None:
    """Only for a new one; what is cut off here comes with the write that follows the conversion."""
    if order.opportunity_id or not order.create_opportunity or not order.opportunity_name:
        return None
    return order.opportunity_name[:opportunity_name_max]


def _convert_envelope(elements: Sequence[tuple[str, str | None]], session_id: str) -> bytes:
    envelope, header, body = _envelope(session_id)
    _pass_alerts(header)
    converts = etree.SubElement(etree.SubElement(body, _tag("convertLead")), _tag("leadConverts"))
    for name, value in elements:
        _add(converts, name, value)
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _merge_envelope(table: str, winner: str, loser: str, session_id: str) -> bytes:
    """The partner WSDL's MergeRequest: the master as an sObject, whose parts are in a namespace of their own."""
    envelope, header, body = _envelope(session_id)
    _pass_alerts(header)
    request = etree.SubElement(etree.SubElement(body, _tag("merge")), _tag("request"))
    master = etree.SubElement(request, _tag("masterRecord"))
    for name, value in (("type", table), ("Id", winner)):
        etree.SubElement(master, f"{{{_sobject}}}{name}").text = value
    _add(request, "recordToMergeIds", loser)
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _pass_alerts(header: Element) -> None:
    """Duplicate rules that alert are passed, never a block (§3.5)."""
    duplicates = etree.SubElement(header, _tag("DuplicateRuleHeader"))
    for name, value in (("allowSave", "true"), ("includeRecordDetails", "false"), ("runAsCurrentUser", "true")):
        etree.SubElement(duplicates, _tag(name)).text = value


def _user_info_envelope(session_id: str) -> bytes:
    envelope, _, body = _envelope(session_id)
    etree.SubElement(body, _tag("getUserInfo"))
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _envelope(session_id: str) -> tuple[Element, Element, Element]:
    envelope = etree.Element(f"{{{_soap}}}Envelope", nsmap={"soapenv": _soap, "urn": _partner, "xsi": _xsi})
    header = etree.SubElement(envelope, f"{{{_soap}}}Header")
    etree.SubElement(etree.SubElement(header, _tag("SessionHeader")), _tag("sessionId")).text = session_id
    options = etree.SubElement(header, _tag("CallOptions"))
    _add(options, "client", "crmbridge")
    _add(options, "defaultNamespace", None)
    return envelope, header, etree.SubElement(envelope, f"{{{_soap}}}Body")


def _add(parent: Element, name: str, value: str | None) -> None:
    child = etree.SubElement(parent, _tag(name))
    if value is None:
        child.set(f"{{{_xsi}}}nil", "true")
    else:
        child.text = _xml_text(value)


def _tag(name: str) -> str:
    return f"{{{_partner}}}{name}"


def _xml_text(value: str) -> str:
    """Control characters cannot stand in XML at all; they are not part of any name."""
    return "".join(c for c in value if (c >= " " and c not in "\ufffe\uffff") or c in "\t\n\r")


# --- answers ------------------------------------------------------------------------------------------------------


def converted(status: int, body: bytes) -> ConvertResult | Meaning:
    """One lead was asked for, so one result is read; HTTP 200 says nothing about it (§6.3)."""
    result = _one_result(status, body, "convertLeadResponse")
    if isinstance(result, Meaning):
        return result
    return ConvertResult(
        account_id=_text(result, "accountId"),
        contact_id=_text(result, "contactId"),
        opportunity_id=_text(result, "opportunityId"),
    )


def merged(status: int, body: bytes) -> Meaning:
    result = _one_result(status, body, "mergeResponse")
    return result if isinstance(result, Meaning) else Meaning(kind="done")


def _one_result(status: int, body: bytes, response: str) -> Element | Meaning:
    """The result of a call about one record, if it was carried out."""
    root = _parse(body)
    if root is None:
        return meaning(status if status >= 300 else 502, None)
    if (failed := _fault(root, status)) is not None:
        return failed
    result = root.find(f".//{{*}}{response}/{{*}}result")
    if result is None:
        return Meaning(kind="unknown", message="the answer holds no result")
    if _text(result, "success") == "true":
        return result
    errors = [
        ApiError(
            message=_text(each, "message"),
            statusCode=_text(each, "statusCode"),
            fields=[field.text for field in each.findall("{*}fields") if field.text],
        )
        for each in result.findall("{*}errors")
    ]
    return meaning(400, errors) if errors else Meaning(kind="unknown", message="not done, and no reason told")


def user_info(status: int, body: bytes) -> UserInfo | Meaning:
    root = _parse(body)
    if root is None:
        return meaning(status if status >= 300 else 502, None)
    if (failed := _fault(root, status)) is not None:
        return failed
    result = root.find(".//{*}getUserInfoResponse/{*}result")
    if result is None:
        return Meaning(kind="unknown", message="the answer holds no result")
    return UserInfo(
        user_id=_text(result, "userId") or "",
        org_id=_text(result, "organizationId") or "",
        currency=_text(result, "orgDefaultCurrencyIsoCode") or "",
        multi_currency=_text(result, "organizationMultiCurrency") == "true",
    )


def session_refused(status: int, body: bytes) -> bool:
    root = _parse(body) if status >= 400 else None  # 500 it is; what stands between may say otherwise
    failed = _fault(root, status) if root is not None else None
    return failed is not None and failed.kind == "session"


def _parse(body: bytes) -> Element | None:
    # No DTD, no entities, no network, no giant trees (reliability §11).
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        return None
    return None if root.getroottree().docinfo.doctype or root.tag != f"{{{_soap}}}Envelope" else root


def _fault(root: Element, status: int) -> Meaning | None:
    fault = root.find(f"{{{_soap}}}Body/{{{_soap}}}Fault")
    if fault is None:
        return None if status < 300 else meaning(status, None)
    # With or without a prefix: both were recorded (§1.3).
    code = (fault.findtext("{*}faultcode") or "").rpartition(":")[2]
    text = fault.findtext("{*}faultstring") or ""
    if code == "Server":  # the platform's own: nothing is known
        return meaning(500, None)
    # "INVALID_LOGIN: Invalid username ..." repeats the code; a fault with a code was not carried out.
    return meaning(400, [ApiError(message=text.removeprefix(f"{code}: "), errorCode=code or "FAULT")])


def _text(parent: Element, name: str) -> str | None:
    """Text of a child; nil and empty are both nothing."""
    return (parent.findtext(f"{{*}}{name}") or "").strip() or None
