"""The ledger of calls: where a request belongs before anybody has carried it out, and the sums of what was counted.

`place` serves fault rules, which must know table and kind *before* the commit; it reads the request line (and the few
bytes of a body that name an action) and uses the words that the CRMs' own counting uses.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
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
SOBJECT_TYPE = re.compile(rb'"type"\s*:\s*"(\w+)"')
VERBS: Mapping[str, str] = {"GET": "read", "HEAD": "read", "POST": "create", "PATCH": "update", "DELETE": "delete"}


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
    if parts[:2] != ["services", "data"]:
        return Place(table="", kind="login", category="login")
    match parts[3:]:  # behind /services/data/vXX.0
        case ["query" | "queryAll" as kind, *_]:
            found = SOQL_FROM.search(request.options().get("q", ""))
            return Place(table=found[1] if found else "", kind=kind, category="data")
        case ["composite", "sobjects", *rest]:
            found = SOBJECT_TYPE.search(request.body)
            table = rest[0] if rest else found[1].decode() if found else ""
            return Place(table=table, kind="collections", category="data")
        case ["composite", *_]:
            return Place(table="", kind="composite", category="data")
        case ["sobjects", table, "describe", *_]:
            return Place(table=table, kind="describe", category="metadata")
        case ["sobjects", table, *key]:
            upsert = request.method == "PATCH" and len(key) > 1
            return Place(table=table, kind="upsert" if upsert else VERBS.get(request.method, "other"), category="data")
        case ["limits"]:
            return Place(table="", kind="limits", category="metadata")
        case _:
            return Place(table="", kind="describe", category="metadata")


def _dynamics(request: Request, tables_by_set: Mapping[str, str]) -> Place:
    path = request.plain_path
    rest = re.sub(r"^/api/data/v\d+\.\d+/?", "", path).strip("/")
    first, _, behind = rest.partition("/")
    name = first.partition("(")[0]
    if name == "$batch":
        return Place(table="", kind="batch", category="data")
    if name in tables_by_set:
        table = tables_by_set[name]
        if behind.startswith("Microsoft.Dynamics.CRM."):
            return Place(table=table, kind=behind.rpartition(".")[2].partition("(")[0], category="data")
        if first == name:  # the whole set
            kind = "create" if request.method == "POST" else "query"
        else:
            kind = VERBS.get(request.method, "other")
        return Place(table=table, kind=kind, category="data")
    if name in ("WinOpportunity", "LoseOpportunity", "CalculatePrice"):
        return Place(table="opportunity", kind=name, category="data")
    return Place(table="", kind=name or "service", category="metadata")
