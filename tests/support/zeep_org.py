"""zeep on the partner WSDL, logged in: a client that knows of Salesforce what its WSDL says, and nothing else."""

from typing import Any

import requests
import zeep
from lxml import etree
from zeep.transports import Transport

from tests.support import partner_wsdl

PARTNER, SOBJECT = "urn:partner.soap.sforce.com", "urn:sobject.partner.soap.sforce.com"


class ZeepOrg:
    """Each call sends the session, and further headers by name."""

    def __init__(self, session: requests.Session, address: str, session_id: str = "") -> None:
        self.client = zeep.Client(str(partner_wsdl.path()), transport=Transport(session=session))
        self.headers: list[Any] = []
        self.who: Any = None
        self._bind(address, session_id)

    def login(self, username: str, password: str) -> None:
        self.who = self.service.login(username, password)
        self._bind(self.who.serverUrl, self.who.sessionId)

    def _bind(self, address: str, session_id: str) -> None:
        self.service = self.client.create_service(f"{{{PARTNER}}}SoapBinding", address)
        self.headers = [self.header("SessionHeader", sessionId=session_id)] if session_id else []

    def header(self, name: str, **values: Any) -> Any:
        element: Any = self.client.get_element(f"{{{PARTNER}}}{name}")
        return element(**values)

    def call(self, name: str, *args: Any, headers: list[Any] | None = None) -> Any:
        found = self.service[name](*args, _soapheaders=[*self.headers, *(headers or [])])
        body = getattr(found, "body", None)  # where an answer has headers of its own
        return body.result if body is not None else found

    def row(self, kind: str, key: str | None = None, *, null: list[str] | None = None, **fields: Any) -> Any:
        elements: list[Any] = []
        for name, value in fields.items():
            element = etree.Element(f"{{{SOBJECT}}}{name}")
            element.text = str(value).lower() if isinstance(value, bool) else str(value)
            elements.append(element)
        made: Any = self.client.get_type(f"{{{SOBJECT}}}sObject")
        return made(type=kind, Id=key, fieldsToNull=null or [], _value_1=elements)
