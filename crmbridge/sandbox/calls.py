"""The ledger of calls: where a request belongs before anybody has carried it out, and the sums of what was counted.

`place` serves fault rules, which must know table and kind *before* the commit; it reads the request line (and the few
bytes of a body that name an action) and uses the words that the CRMs' own counting uses.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from crmbridge.sandbox.core import Call, Request
from crmbridge.sandbox.faults import Service

Category = Literal["data", "login", "metadata"]


def summary(calls: Iterable[Call]) -> dict[str, Any]:
    """Per CRM: HTTP requests by category, table and kind, and apart from them the operations inside batches."""
    result: dict[str, Any] = {
        crm: _sums([call for call in calls if call.crm == crm]) for crm in ("salesforce", "dynamics")
    }
    return result


def _sums(calls: list[Call]) -> dict[str, Any]:
    requests: dict[str, Any] = {category: {} for category in ("data", "login", "metadata")}
    for (category, table, kind), count in sorted(Counter((c.category, c.table, c.kind) for c in calls).items()):
        requests[category].setdefault(table, {})[kind] = count
    operations: dict[str, Any] = {}
    for (table, kind), count in sorted(Counter(each for call in calls for each in call.operations).items()):
        operations.setdefault(table, {})[kind] = count
    users: dict[str, Any] = {}
    for (user, category), count in sorted(Counter((c.user, c.category) for c in calls).items()):
        users.setdefault(user, {})[category] = count
    return {
        "requests": requests,
        "operations": operations,
        "users": users,
        "totals": {"requests": len(calls), "operations": sum(len(call.operations) for call in calls)},
    }


# --- where a request belongs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    table: str
    kind: str
    category: Category


SOAP_ACTION = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
SOQL_FROM = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
BULK_OBJECT = re.compile(rb"""["<]object[">]\s*:?\s*"?(\w+)""")
SOBJECT_TYPE = re.compile(rb'"type"\s*:\s*"(\w+)"')
SALESFORCE_SETUP = frozenset({"Organization", "LeadStatus", "OpportunityStage", "RecordType", "User"})
DYNAMICS_SETUP = frozenset(
    {"", "systemuser", "team", "businessunit", "transactioncurrency", "organization", "workflow", "processstage"}
)
SALESFORCE_VERBS = {"POST": "create", "PATCH": "update", "DELETE": "delete"}  # of rows; anything else reads
SERVICE_ROOT = re.compile(r"^/+api/+data/+v\d+\.\d+/?")
CLOSING = ("WinOpportunity", "LoseOpportunity")


def place(service: Service, request: Request, tables_by_set: Mapping[str, str]) -> Place:
    """Table, kind and category in the words of the ledger, from the request alone."""
    if service == "identity":
        return Place(table="", kind="login", category="login")
    return _salesforce(request) if service == "salesforce" else _dynamics(request, tables_by_set)


def _salesforce(request: Request) -> Place:
    parts = [part for part in request.plain_path.split("/") if part]
    if parts[:2] == ["services", "Soap"]:
        found = SOAP_ACTION.search(request.body)
        action = found[1].decode() if found else "soap"
        if action == "login":
            return Place(table="", kind="login", category="login")
        return Place(table="Lead" if action == "convertLead" else "", kind=action, category="data")
    if parts[:2] == ["services", "async"]:
        found = BULK_OBJECT.search(request.body) if len(parts) == 4 else None
        return _sf(found[1].decode() if found else "", _classic_kind(request.method, parts[3:]))
    if parts[:2] != ["services", "data"]:  # /services/oauth2/..., /id/ORG/USER
        kind = parts[-1] if parts and parts[-1] in ("token", "revoke") else "identity"
        return Place(table="", kind=kind, category="login")
    match parts[3:]:  # behind /services/data/vXX.0
        case ["query" | "queryAll" as kind, *_]:
            found = SOQL_FROM.search(request.options().get("q", ""))
            return _sf(found[1] if found else "", kind)
        case ["composite", "sobjects", *rest]:
            found = SOBJECT_TYPE.search(request.body)
            table = rest[0] if rest else found[1].decode() if found else ""
            by_key = len(rest) == 2  # object and external id field
            verb = "upsert" if by_key else "retrieve" if rest else SALESFORCE_VERBS.get(request.method, "create")
            return _sf(table, f"collections_{verb}")
        case ["composite", "graph" | "batch" | "tree" as kind, *rest]:
            return _sf(rest[0] if rest else "", f"composite_{kind}")
        case ["composite", *_]:
            return _sf("", "composite")
        case ["recent"]:
            return _sf("", "recent")
        case ["sobjects"]:
            return Place(table="", kind="describe", category="metadata")
        case ["sobjects", table] if request.method == "GET":
            return Place(table=table, kind="describe", category="metadata")
        case ["sobjects", table, "describe"]:
            return Place(table=table, kind="describe", category="metadata")
        case ["sobjects", table, "updated" | "deleted" as kind]:
            return _sf(table, kind)
        case ["sobjects", table, *key]:
            by_key = request.method == "PATCH" and len(key) > 1
            return _sf(table, "upsert" if by_key else SALESFORCE_VERBS.get(request.method, "retrieve"))
        case ["jobs", _, *rest]:
            found = BULK_OBJECT.search(request.body) if not rest else None
            return _sf(found[1].decode() if found else "", _bulk_kind(request.method, rest))
        case ["limits", *_]:
            return Place(table="", kind="limits", category="metadata")
        case _:
            return Place(table="", kind="versions", category="metadata")


def _bulk_kind(method: str, rest: Sequence[str]) -> str:
    """Of a request about one bulk job, or about all of them."""
    if not rest:
        return "bulk_create" if method == "POST" else "bulk_list"
    if len(rest) > 1:
        return "bulk_upload" if method == "PUT" else "bulk_results"
    return {"PATCH": "bulk_state", "DELETE": "bulk_delete"}.get(method, "bulk_info")


def _classic_kind(method: str, rest: Sequence[str]) -> str:
    """The same for Bulk API 1.0: job, job/ID, job/ID/batch, job/ID/batch/ID and what hangs on it."""
    if method == "POST":
        return {1: "bulk_create", 2: "bulk_state"}.get(len(rest), "bulk_upload")
    return "bulk_info" if len(rest) < 5 else "bulk_results"


def _sf(table: str, kind: str) -> Place:
    return Place(table=table, kind=kind, category="metadata" if table in SALESFORCE_SETUP else "data")


def _dynamics(request: Request, tables_by_set: Mapping[str, str]) -> Place:
    rest = SERVICE_ROOT.sub("", request.plain_path).strip("/")
    first, _, behind = rest.partition("/")
    name, parenthesis, _ = first.partition("(")
    if name == "$batch":
        return Place(table="", kind="batch", category="data")
    table = tables_by_set.get(name)
    if table is None:
        if name in CLOSING:
            return Place(table="opportunity", kind=name, category="data")
        functions = ("WhoAmI", "Merge", "RetrieveProcessInstances", "RetrieveActivePath")
        return Place(table="", kind=name if name in functions else "metadata", category="metadata")
    category: Category = "metadata" if table in DYNAMICS_SETUP else "data"
    if behind.startswith("Microsoft.Dynamics.CRM."):
        kind = behind.removeprefix("Microsoft.Dynamics.CRM.").partition("(")[0]
    elif request.method == "PATCH":
        kind = "update" if request.header("if-match") else "upsert"
    elif request.method in ("GET", "HEAD"):
        tracked = "odata.track-changes" in request.header("prefer") or "$deltatoken" in request.options()
        kind = "delta" if tracked and not parenthesis else "read"
    else:
        kind = {"POST": "create", "DELETE": "delete"}.get(request.method, "other")
    return Place(table=table, kind=kind, category=category)
