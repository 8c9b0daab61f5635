"""SOAP: login, convertLead, merge, undelete, rows and two small reads (salesforce-api §1.3, §6.2, §6.3).

Requests may come in any element order and with any namespace prefix; answers are unprefixed in the default namespace,
faults carry the prefix `sf`, because other people's clients look for exactly that.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape

from lxml import etree

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.salesforce.convert import Converted
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.schema import Org

_SOBJECT: Final = "urn:sobject.partner.soap.sforce.com"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
)
# The partner WSDL of v27 has not got these yet; an answer of v42 has. When each came is (unverified).
_NEWER: Final = ("chatterExternal", "orgAttachmentFileSizeLimit", "orgDefaultCurrencyLocale", "sessionSecondsValid")
_WITHOUT_NEWER: Final = 27
_LOGIN_CODES: Final = frozenset(
    "INVALID_LOGIN LOGIN_MUST_USE_SECURITY_TOKEN PASSWORD_LOCKOUT LOGIN_DURING_RESTRICTED_TIME "
    "LOGIN_DURING_RESTRICTED_DOMAIN API_DISABLED_FOR_ORG ORG_LOCKED UNSUPPORTED_API_VERSION".split()
)


@dataclass(frozen=True, kw_only=True)
class Element:
    """One XML element by its local name; `text` is None where it is nil or holds elements."""

    name: str
    text: str | None
    children: tuple["Element", ...]

    def first(self, name: str) -> "Element | None":
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> list["Element"]:
        return [child for child in self.children if child.name == name]

    def value(self, name: str) -> str:
        """A child's text; empty where it is nil or absent."""
        found = self.first(name)
        return (found.text or "").strip() if found else ""

    def flag(self, name: str) -> bool:
        return self.value(name).lower() in ("true", "1")  # §6.2: a missing boolean counts as false


@dataclass(frozen=True, kw_only=True)
class Call:
    operation: Element
    headers: Element

    @property
    def session(self) -> str:
        found = self.headers.first("SessionHeader")
        return found.value("sessionId") if found else ""

    def header_flag(self, header: str, name: str) -> bool:
        found = self.headers.first(header)
        return found.flag(name) if found else False


def parse(body: bytes) -> Call:
    """The envelope's operation and headers (§6.2). The code for what is none is (unverified)."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = _element(etree.fromstring(body, parser))
    except (etree.XMLSyntaxError, ValueError) as error:  # (unverified)
        raise refuse("INVALID_REQUEST", f"The SOAP message is no XML: {error}", status=500) from None
    content = root.first("Body")
    if root.name != "Envelope" or content is None or not content.children:  # (unverified)
        raise refuse(
            "INVALID_REQUEST", "A SOAP message needs an Envelope with a Body that holds an operation.", status=500
        )
    return Call(
        operation=content.children[0], headers=root.first("Header") or Element(name="Header", text=None, children=())
    )


def _element(node: Any) -> Element:
    nil = node.get(f"{{{_XSI}}}nil") in ("true", "1")
    children = tuple(_element(child) for child in node if isinstance(child.tag, str))
    return Element(
        name=etree.QName(node).localname, text=None if nil or children else (node.text or ""), children=children
    )


def record(element: Element) -> tuple[str, str, dict[str, Any]]:
    """An sObject: its type, its id and its fields; `fieldsToNull` name those to clear."""
    fields: dict[str, Any] = {name.text or "": None for name in element.all("fieldsToNull")}
    for child in element.children:
        if child.name not in ("type", "Id", "fieldsToNull"):
            fields[child.name] = child.text
    return element.value("type"), element.value("Id"), fields


# -- answers ---------------------------------------------------------------------------------------------------------


def _text(name: str, value: object) -> str:
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(shown)}</{name}>"


def _many(values: Mapping[str, object]) -> str:
    return "".join(_text(name, value) for name, value in values.items())


def errors(error: SfError) -> str:
    """§6.3: fields, message, statusCode in the order of the WSDL."""
    return "".join(
        "<errors>"
        + "".join(_text("fields", name) for name in problem.fields or ())
        + _text("message", problem.message)
        + _text("statusCode", problem.code)
        + "</errors>"
        for problem in error.problems
    )


def lead_result(done: Converted) -> str:
    ids = {"accountId": done.account, "contactId": done.contact, "leadId": done.lead, "opportunityId": done.opportunity}
    return f"<result>{_many(ids)}{_text('success', True)}</result>"


def lead_refused(lead: str, failure: SfError) -> str:
    parts = _many({"accountId": None, "contactId": None}) + errors(failure)
    return f"<result>{parts}{_many({'leadId': lead or None, 'opportunityId': None, 'success': False})}</result>"


def merge_result(key: str | None, merged: Sequence[str], moved: Sequence[str], failure: SfError | None) -> str:
    parts = (errors(failure) if failure else "") + _text("id", key)
    parts += "".join(_text("mergedRecordIds", item) for item in merged) + _text("success", failure is None)
    return f"<result>{parts}{''.join(_text('updatedRelatedIds', item) for item in moved)}</result>"


def save_result(key: str | None, failure: SfError | None) -> str:
    return f"<result>{errors(failure) if failure else ''}{_text('id', key)}{_text('success', failure is None)}</result>"


def query_result(done: bool, locator: str | None, records: str, size: int) -> str:
    """In the order of the WSDL."""
    return f"<result>{_text('done', done)}{_text('queryLocator', locator)}{records}{_text('size', size)}</result>"


def sobject_text(name: str, value: object) -> str:
    return _in_sobject(_text(name, value))


def sobject_parent(name: str, content: str) -> str:
    return _in_sobject(f'<{name} xsi:type="sf:sObject" xmlns:sf="{_SOBJECT}">{content}</{name}>')


def _in_sobject(element: str) -> str:
    """Fields stand in a namespace of their own."""
    end = re.match(r"<\w+", element)
    assert end is not None
    return f'{end[0]} xmlns="{_SOBJECT}"{element[end.end() :]}'


def timestamp_result(now: str) -> str:
    return f"<result>{_text('timestamp', now)}</result>"


def user_info(org: Org, org_id: str, user: Row, version: int) -> str:
    """§1.3, in the order of the WSDL of that version: a strict client refuses an element it does not know."""
    info: dict[str, object] = {
        "accessibilityMode": False,
        "chatterExternal": False,
        "currencySymbol": "$" if org.currency == "USD" else org.currency,
        "orgAttachmentFileSizeLimit": 5242880,
        "orgDefaultCurrencyIsoCode": org.currency,
        "orgDefaultCurrencyLocale": "en_US",
        "orgDisallowHtmlAttachments": False,
        "orgHasPersonAccounts": org.person_accounts,
        "organizationId": org_id,
        "organizationMultiCurrency": org.multi_currency,
        "organizationName": org.name,
        "profileId": user.get("ProfileId"),
        "roleId": user.get("UserRoleId"),
        "sessionSecondsValid": org.session_seconds,
        "userDefaultCurrencyIsoCode": None,
        "userEmail": user["Email"],
        "userFullName": user["Name"],
        "userId": user["Id"],
        "userLanguage": user.get("LanguageLocaleKey"),
        "userLocale": user.get("LocaleSidKey"),
        "userName": user["Username"],
        "userTimeZone": user.get("TimeZoneSidKey"),
        "userType": user["UserType"],
        "userUiSkin": "Theme3",
    }
    return _many({name: value for name, value in info.items() if version > _WITHOUT_NEWER or name not in _NEWER})


def login_result(org: Org, org_id: str, user: Row, token: str, origin: str, version: int) -> str:
    urls = {kind: f"{origin}/services/Soap/{kind}/{version}.0/{org_id[:15]}" for kind in ("m", "u")}
    return (
        "<result>"
        + _text("metadataServerUrl", urls["m"])
        + _text("passwordExpired", False)
        + _text("sandbox", org.is_sandbox)
        + _text("serverUrl", urls["u"])
        + _text("sessionId", token)
        + _text("userId", user["Id"])
        + f"<userInfo>{user_info(org, org_id, user, version)}</userInfo></result>"
    )


def reply(operation: str, content: str, usage: tuple[int, int] | None = None) -> Reply:
    header = ""
    if usage is not None:  # §6.3
        limit = _many({"current": usage[0], "limit": usage[1], "type": "API REQUESTS"})
        header = f"<soapenv:Header><LimitInfoHeader><limitInfo>{limit}</limitInfo></LimitInfoHeader></soapenv:Header>"
    text = (
        f'{_HEAD}xmlns="urn:partner.soap.sforce.com" xmlns:xsi="{_XSI}">{header}'
        f"<soapenv:Body><{operation}Response>{content}</{operation}Response></soapenv:Body></soapenv:Envelope>"
    )
    return Reply(status=200, headers=(("Content-Type", "text/xml; charset=utf-8"),), body=text.encode())


def fault(error: SfError) -> Reply:
    """§1.3: HTTP 500; the recorded login fault has no prefix in its faultcode, all others have `sf:`."""
    problem = error.problems[0]
    login = problem.code in _LOGIN_CODES
    kind = "LoginFault" if login else "UnexpectedErrorFault"
    code = problem.code if login else f"sf:{problem.code}"
    detail = _many({"sf:exceptionCode": problem.code, "sf:exceptionMessage": problem.message})
    text = (
        f'{_HEAD}xmlns:sf="urn:fault.partner.soap.sforce.com" xmlns:xsi="{_XSI}"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>{code}</faultcode><faultstring>{escape(f'{problem.code}: {problem.message}')}</faultstring>"
        f'<detail><sf:{kind} xsi:type="sf:{kind}">{detail}</sf:{kind}></detail></soapenv:Fault>'
        "</soapenv:Body></soapenv:Envelope>"
    )
    return Reply(status=500, headers=(("Content-Type", "text/xml; charset=utf-8"),), body=text.encode())
