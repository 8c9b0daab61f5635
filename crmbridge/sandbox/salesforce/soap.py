"""The SOAP envelope: reading requests safely, writing answers and faults (salesforce-api §1.3, §6.2, §6.3).

Requests may come in any element order and with any namespace prefix; answers are unprefixed in the default namespace,
sObjects' own elements carry the prefix `sf`, faults too, because other people's clients look for exactly that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.xml_text import xml_text

_SOBJECT: Final = "urn:sobject.partner.soap.sforce.com"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
)
_LOGIN_CODES: Final = frozenset(
    "INVALID_LOGIN LOGIN_MUST_USE_SECURITY_TOKEN PASSWORD_LOCKOUT LOGIN_DURING_RESTRICTED_TIME "
    "LOGIN_DURING_RESTRICTED_DOMAIN API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED ORG_LOCKED TRIAL_EXPIRED "
    "INVALID_SSO_GATEWAY_URL SERVER_UNAVAILABLE LOGIN_RATE_EXCEEDED UNSUPPORTED_API_VERSION".split()
)
# The partner WSDL's fault types by code; those of a query tell where, the others do not.
_KINDS: Final = {
    "INVALID_QUERY_LOCATOR": "InvalidQueryLocatorFault",
    "MALFORMED_ID": "InvalidIdFault",
    "INVALID_ID_FIELD": "InvalidIdFault",
    "INVALID_NEW_PASSWORD": "InvalidNewPasswordFault",
    "INVALID_TYPE": "InvalidSObjectFault",
    "INVALID_FIELD": "InvalidFieldFault",
    "MALFORMED_QUERY": "MalformedQueryFault",
}
_PLACED: Final = ("INVALID_TYPE", "INVALID_FIELD", "MALFORMED_QUERY")
_XML: Final = ("Content-Type", "text/xml; charset=utf-8")


class ClientFault(Exception):
    """A message that cannot be read as the operation it names: no code of the API, only a sentence (unverified)."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One XML element by its local name; `text` is None where it is nil or holds elements."""

    name: str
    text: str | None
    children: tuple["Element", ...]
    kind: str = ""  # the local name in xsi:type
    namespace: str = ""

    def first(self, name: str) -> "Element | None":
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> list["Element"]:
        return [child for child in self.children if child.name == name]

    def value(self, name: str) -> str:
        """A child's text; empty where it is nil or absent."""
        found = self.first(name)
        return (found.text or "").strip() if found else ""

    def values(self, name: str) -> list[str]:
        return [(child.text or "").strip() for child in self.all(name)]

    def flag(self, name: str) -> bool:
        value = self.value(name).lower()  # §6.2: a missing boolean counts as false
        if value not in ("", "true", "false", "1", "0"):  # the sentence is (unverified)
            raise ClientFault(f"'{self.value(name)}' is not a valid value for the type xsd:boolean")
        return value in ("true", "1")


@dataclass(frozen=True, kw_only=True)
class Call:
    operation: Element
    headers: Element
    enterprise: bool = False  # the API whose objects are types of its WSDL, not the partner API

    @property
    def session(self) -> str:
        return self.header("SessionHeader").value("sessionId")

    def header(self, name: str) -> Element:
        """An empty one where it was not sent."""
        return self.headers.first(name) or Element(name=name, text=None, children=())


def parse(body: bytes, *, enterprise: bool = False) -> Call:
    """The envelope's operation and headers (§6.2); no entity is ever resolved, no network asked."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        tree = etree.fromstring(body, parser)
        if tree.getroottree().docinfo.doctype:
            raise ClientFault("DOCTYPE is not allowed in a SOAP message.")
        root = _element(tree)
    except (etree.XMLSyntaxError, ValueError) as error:  # (unverified)
        raise ClientFault(f"The SOAP message is no XML: {error}") from None
    except RecursionError:
        raise ClientFault("The elements of the SOAP message are nested too deep.") from None
    content = root.first("Body")
    if root.name != "Envelope" or content is None or not content.children:
        raise ClientFault("A SOAP message needs an Envelope with a Body that holds an operation.")
    headers = root.first("Header") or Element(name="Header", text=None, children=())
    operation = content.children[0]
    if operation.namespace != f"urn:{'enterprise' if enterprise else 'partner'}.soap.sforce.com":
        raise no_operation(operation)
    return Call(operation=operation, headers=headers, enterprise=enterprise)


def no_operation(element: Element) -> ClientFault:
    """What the API of the address has no such call for; its name includes its namespace."""
    name = f"{{{element.namespace}}}{element.name}" if element.namespace else element.name
    return ClientFault(f"No operation available for request {name}, please check the WSDL for the service.")


def _element(node: Any) -> Element:
    nil = node.get(f"{{{_XSI}}}nil") in ("true", "1")
    children = tuple(_element(child) for child in node if isinstance(child.tag, str))
    return Element(
        name=etree.QName(node).localname,
        text=None if nil or children else (node.text or ""),
        children=children,
        kind=node.get(f"{{{_XSI}}}type", "").rpartition(":")[2],
        namespace=etree.QName(node).namespace or "",
    )


# -- answers ---------------------------------------------------------------------------------------------------------


def text(name: str, value: object, kind: str = "") -> str:
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    typed = f' xsi:type="{kind}"' if kind else ""
    return f"<{name}{typed}>{xml_text(value)}</{name.partition(' ')[0]}>"


def many(values: Mapping[str, object]) -> str:
    return "".join(text(name, value) for name, value in values.items())


def reply(call: Call, content: str, usage: tuple[int, int] | None = None) -> Reply:
    operation, header = call.operation.name, ""
    if usage is not None:  # §6.3
        limit = many({"current": usage[0], "limit": usage[1], "type": "API REQUESTS"})
        header = f"<soapenv:Header><LimitInfoHeader><limitInfo>{limit}</limitInfo></LimitInfoHeader></soapenv:Header>"
    kinds = f' xmlns:sf="{_SOBJECT}"' if "sf:" in content else ""
    kinds += ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"' if '"xsd:' in content else ""
    api = "enterprise" if call.enterprise else "partner"
    body = (
        f'{_HEAD}xmlns="urn:{api}.soap.sforce.com" xmlns:xsi="{_XSI}"{kinds}>'
        f"{header}<soapenv:Body><{operation}Response>{content}</{operation}Response></soapenv:Body></soapenv:Envelope>"
    )
    return Reply(status=200, headers=(_XML,), body=body.encode())


def fault(error: SfError) -> Reply:
    """§1.3: HTTP 500; the recorded login fault has no prefix in its faultcode, all others have `sf:`."""
    problem = error.problems[0]
    login = problem.code in _LOGIN_CODES
    kind = "LoginFault" if login else _KINDS.get(problem.code, "UnexpectedErrorFault")
    code = problem.code if login else f"sf:{problem.code}"
    detail = many({"sf:exceptionCode": problem.code, "sf:exceptionMessage": problem.message})
    if problem.code in _PLACED:
        place = re.search(r"Row:(\d+):Column:(\d+)", problem.message)
        row, column = place.groups() if place else (-1, -1)
        detail += many({"sf:row": row, "sf:column": column})
    return _fault(
        f"<faultcode>{code}</faultcode>{text('faultstring', f'{problem.code}: {problem.message}')}"
        f'<detail><sf:{kind} xsi:type="sf:{kind}">{detail}</sf:{kind}></detail>'
    )


def client_fault(error: ClientFault) -> Reply:
    """What the API's code never gets to see is refused by the SOAP stack itself (unverified)."""
    return _fault(f"<faultcode>soapenv:Client</faultcode>{text('faultstring', error)}")


def _fault(content: str) -> Reply:
    body = (
        f'{_HEAD}xmlns:sf="urn:fault.partner.soap.sforce.com" xmlns:xsi="{_XSI}"><soapenv:Body><soapenv:Fault>'
        f"{content}</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    )
    return Reply(status=500, headers=(_XML,), body=body.encode())


def not_served(name: str) -> SfError:
    """A call of the partner WSDL that this sandbox leaves out (§6); `ExceptionCode` has this code."""
    return refuse("FUNCTIONALITY_NOT_ENABLED", f"This sandbox does not serve the SOAP call {name}; a real org may.")
