"""SOAP calls carried out by the REST resources of the same meaning: both obey the same rules (salesforce-api §3).

What REST answers for one record or for many is turned into XML by the caller; what REST cannot read is the SOAP stack's
fault.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from crmbridge.sandbox.salesforce import soap, soap_headers
from crmbridge.sandbox.salesforce.ask import Answer, Ask, Log
from crmbridge.sandbox.salesforce.errors import Problem, SfError
from crmbridge.sandbox.salesforce.records import Caller
from crmbridge.sandbox.shaping import plain

_NOW: Final = "62.0"  # a version that has every resource; what the SOAP call's own version changes is decided here
_XSD: Final = {"date": "date", "datetime": "dateTime", "boolean": "boolean", "int": "int", "time": "time"}
_UNREADABLE: Final = re.compile(r"Cannot deserialize instance of (\w+) from \w+ value (.*) or request", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class SoapAsk(Ask):
    """A request whose headers came over SOAP, where each exists in every version that has its rules."""

    allow_duplicates: bool = False
    soap_version: str = _NOW
    blob_links: bool = False

    @cached_property
    def caller(self) -> Caller:
        return replace(super().caller, allow_duplicates=self.allow_duplicates, version=self.soap_version)


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """One SOAP call on its way to REST."""

    call: soap.Call
    user: str
    version: int
    log: Log
    rest: Callable[[Ask], Answer]

    def ask(
        self,
        method: str,
        parts: Sequence[str],
        *,
        given: Any = None,
        options: Mapping[str, str] | None = None,
        version: str = _NOW,
    ) -> SoapAsk:
        duplicates = self.call.header("DuplicateRuleHeader")
        return SoapAsk(
            method=method,
            parts=tuple(parts),
            options=options or {},
            headers=soap_headers.as_rest(self.call),
            user=self.user,
            version=version,
            given=given,
            log=self.log,
            allow_duplicates=soap_headers.bound(self.call, "DuplicateRuleHeader") and duplicates.flag("allowSave"),
            soap_version=f"{self.version}.0",
        )

    @property
    def caller(self) -> Caller:
        return self.ask("POST", ()).caller

    def send(self, method: str, parts: Sequence[str], **given: Any) -> Any:
        """The answer's body; a value that cannot be read is told in the words of XML Schema."""
        try:
            return plain(self.rest(self.ask(method, parts, **given)).body)
        except SfError as error:
            raise unreadable(error.problems[0].message, error.problems[0].code) or error from None

    def query(self, parts: Sequence[str], **options: str) -> Any:
        """Queries obey the version of the SOAP call itself."""
        return self.send("GET", parts, options=options, version=f"{self.version}.0")


def unreadable(message: str, code: str) -> soap.ClientFault | None:
    """As "'6/15/19' is not a valid value for the type xsd:date" (unverified)."""
    if code != "JSON_PARSER_ERROR":
        return None
    found = _UNREADABLE.search(message)
    if found is None:
        return soap.ClientFault(message)
    kind = _XSD.get(found[1], "double")
    return soap.ClientFault(f"'{found[2]}' is not a valid value for the type xsd:{kind}")


def whole_call(results: Sequence[Mapping[str, Any]]) -> None:
    """§3.1: a field that the object has not got fails the call, not the record (WSDL: InvalidFieldFault)."""
    for result in results:
        for problem in result["errors"]:
            code, message = problem["statusCode"], problem["message"]
            if code == "INVALID_FIELD" and message.startswith("No such column"):
                raise SfError([Problem(code=code, message=message)])
            if (failure := unreadable(message, code)) is not None:
                raise failure
