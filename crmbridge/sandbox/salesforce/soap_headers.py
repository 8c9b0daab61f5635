"""SOAP headers: what each does, and which are taken without effect (salesforce-api §3.5, §6.2).

The rules behind them are REST's, so a header becomes the REST header of the same meaning.
"""

import re
from typing import Final

from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.soap import Call, ClientFault

# Each of these changes what a call does or answers.
EFFECTIVE: Final = frozenset(
    "SessionHeader LoginScopeHeader QueryOptions AllOrNoneHeader AssignmentRuleHeader DuplicateRuleHeader MruHeader "
    "AllowFieldTruncationHeader OwnerChangeOptions".split()
)
# The closed list of headers that are accepted without effect, and why nothing could come of them here.
WITHOUT_EFFECT: Final = {
    "CallOptions": "client is shown in change events, defaultNamespace names a managed package: there are neither",
    "DebuggingHeader": "asks for the log of Apex code, and none runs",
    "DisableFeedTrackingHeader": "there are no feeds",
    "EmailHeader": "no mail is ever sent",
    "LocaleOptions": "labels have one language",
    "PackageVersionHeader": "there are no managed packages",
    "StreamingEnabledHeader": "there are no streaming events",
    "UserTerritoryDeleteHeader": "there are no territories",
}
# §6.2: a header that an operation's binding does not name has no effect on it, as on a real org (unverified).
_SAVING: Final = frozenset({"create", "update", "upsert"})
_BOUND: Final = {
    "AllOrNoneHeader": _SAVING | {"delete", "undelete"},
    "AssignmentRuleHeader": _SAVING | {"merge"},
    "DuplicateRuleHeader": _SAVING | {"merge", "undelete", "convertLead"},
    "MruHeader": _SAVING,  # on merge, query and retrieve it is accepted without effect
    "QueryOptions": frozenset({"query", "queryAll", "queryMore", "retrieve"}),
    "AllowFieldTruncationHeader": _SAVING | {"merge", "convertLead"},
}


def check(call: Call) -> None:
    """An unknown header is refused; the code is in the WSDL's list, when it comes is (unverified)."""
    for header in call.headers.children:
        if header.name not in EFFECTIVE and header.name not in WITHOUT_EFFECT:
            raise refuse("INVALID_SOAP_HEADER", f"The header {header.name} is not known.")  # §6.2 (unverified)
    for option in call.header("OwnerChangeOptions").all("options"):
        if option.flag("execute"):  # §6.2: what would move along with an owner is not kept here
            message = f"This sandbox does not serve the owner change option {option.value('type')}; a real org may."
            raise refuse("FUNCTIONALITY_NOT_ENABLED", message)


def bound(call: Call, header: str) -> bool:
    return call.operation.name in _BOUND[header]


def all_or_none(call: Call) -> bool:
    return bound(call, "AllOrNoneHeader") and call.header("AllOrNoneHeader").flag("allOrNone")


def truncates(call: Call) -> bool:
    return bound(call, "AllowFieldTruncationHeader") and call.header("AllowFieldTruncationHeader").flag(
        "allowFieldTruncation"
    )


def as_rest(call: Call) -> dict[str, str]:
    """The same wishes in REST's headers (§3.5); over SOAP no assignment rule runs unless asked for."""
    headers = {"sforce-auto-assign": "FALSE", "content-type": "application/json"}
    assignment = call.header("AssignmentRuleHeader")
    if bound(call, "AssignmentRuleHeader"):
        if assignment.flag("useDefaultRule"):
            headers["sforce-auto-assign"] = "TRUE"
        elif assignment.value("assignmentRuleId"):
            headers["sforce-auto-assign"] = assignment.value("assignmentRuleId")
    duplicates = call.header("DuplicateRuleHeader")
    if bound(call, "DuplicateRuleHeader") and duplicates.children:
        names = ("allowSave", "includeRecordDetails", "runAsCurrentUser")
        headers["sforce-duplicate-rule-header"] = "; ".join(
            f"{name}={str(duplicates.flag(name)).lower()}" for name in names
        )
    if bound(call, "MruHeader") and call.header("MruHeader").flag("updateMru"):
        headers["sforce-mru"] = "updateMru=true"
    size = call.header("QueryOptions").value("batchSize")
    if bound(call, "QueryOptions") and size:
        if not re.fullmatch(r"-?\d{1,9}", size):
            raise ClientFault(f"'{size}' is not a valid value for the type xsd:int")
        headers["sforce-query-options"] = f"batchSize={max(int(size), 0)}"
    return headers
