"""Request headers that mean something to Salesforce: each has its effect, or stands in the closed list of those that
are accepted and have none here (salesforce-api §3.5).

A header in Salesforce's own manner (`Sforce-…`, `X-SFDC-…`) that is in neither list is refused, so that nobody believes
it was heeded. Headers outside of that belong to HTTP or to others, and no server heeds what it does not know.
"""

import re
from collections.abc import Mapping
from typing import Final

from crmbridge.sandbox.salesforce.errors import not_served, refuse

EFFECTIVE: Final = frozenset({
    "accept", "accept-encoding", "authorization", "content-encoding", "content-type", "if-match", "if-modified-since",
    "if-none-match", "if-unmodified-since", "sforce-auto-assign", "sforce-duplicate-rule-header", "sforce-mru",
    "sforce-query-options", "soapaction", "x-http-method-override", "x-prettyprint",
})  # fmt: skip

# Accepted, no effect: the header, and why nothing here can depend on it.
NO_EFFECT: Final[Mapping[str, str]] = {
    "accept-charset": "answers are UTF-8",
    "accept-language": "labels have one language, that of the shape",
    "if-match, if-none-match on other objects than Account": "only Account rows have tags",
    "if-modified-since, if-unmodified-since, if-match, if-none-match on DELETE, POST, queries and collections":
        "conditions are for reading and updating one row, and for descriptions",
    "sforce-call-options": "client names appear in change events and namespaces in packages; there are neither",
    "sforce-enable-pkchunking on Bulk API 2.0": "it chunks by itself; Bulk API 1.0 heeds the header",
    "sforce-duplicate-rule-header before v52": "the header exists since v52",
    "sforce-duplicate-rule-header: runAsCurrentUser": "all users see all rows that a rule compares",
    "sforce-query-options without a batchSize that can be read": "it is a wish: the page then has the default size",
    "sforce-line-ending": "it is of Bulk API 1.0's files; a job of Bulk API 2.0 names its line ending itself (§4.1)",
    "x-sfdc-packageversion-*": "there are no managed packages",
    "x-sfdc-session": "it is Bulk API 1.0's; everything else goes by Authorization (§1.4)",
}  # fmt: skip

OWN: Final = ("sforce-", "x-sfdc-")
# §3.5: headers whose settings are true or false
_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "sforce-duplicate-rule-header": ("allowsave", "includerecorddetails", "runascurrentuser"),
    "sforce-mru": ("updatemru",),
}
_PACKAGE_VERSION: Final = "x-sfdc-packageversion-"
_HEEDED: Final = EFFECTIVE | {
    "sforce-call-options", "sforce-enable-pkchunking", "sforce-line-ending", "x-sfdc-session",
}  # fmt: skip


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what claims to steer the service and does not (see above, §3.5)."""
    for name in headers:
        if name.startswith(OWN) and name not in _HEEDED and not name.startswith(_PACKAGE_VERSION):
            raise not_served(f"the request header {name}")
    for name in _SETTINGS.keys() & headers.keys():
        _settings(headers, name)


def setting(headers: Mapping[str, str], header: str, name: str) -> bool:
    """One setting of a header; all default to false (§3.5)."""
    return _settings(headers, header).get(name) == "true"


def _settings(headers: Mapping[str, str], header: str) -> dict[str, str]:
    """Settings by name; what is none, or cannot be read, is refused (§3.5)."""
    found: dict[str, str] = {}
    for part in re.split("[;,]", headers.get(header, "").lower()):
        name, _, value = (text.strip() for text in part.partition("="))
        if part.strip() and (name not in _SETTINGS[header] or value not in ("true", "false")):  # (unverified)
            raise refuse("INVALID_HEADER_VALUE", f"{header}: {part.strip()} is no setting of this header")
        found[name] = value
    return found


def check_acceptable(headers: Mapping[str, str]) -> None:
    """Answers are JSON: whoever takes nothing of the kind hears so (§9.3 names 406; its code is (unverified))."""
    accepted = [item.partition(";") for item in headers.get("accept", "*/*").lower().split(",") if item.strip()]
    kinds = {kind.strip() for kind, _, rest in accepted if rest.replace(" ", "") not in ("q=0", "q=0.0")}
    if accepted and not kinds & {"*/*", "*", "application/*", "application/json"}:
        raise refuse("NOT_ACCEPTABLE", "This resource answers in application/json.", status=406)  # (unverified)


def inherited(headers: Mapping[str, str]) -> dict[str, str]:
    """What the headers of a call mean for the requests inside it (§3.3)."""
    return {name: value for name, value in headers.items() if name.startswith(OWN)}


def wants_gzip(headers: Mapping[str, str]) -> bool:
    """§3.5. Libraries tell all that they can unpack (`gzip, deflate`); who asks for gzip and nothing else gets it. On
    one machine there is no wire to save, and packing costs as much as the answer."""
    offered = {item.strip().lower() for item in headers.get("accept-encoding", "").split(",")}
    return offered - {"identity"} == {"gzip"}


def pretty(headers: Mapping[str, str]) -> bool:
    return headers.get("x-prettyprint", "").strip() == "1"
