"""Global discovery: which environments a user may work in, told on a host of its own (dataverse-api §1.5).

Here there is one environment, on the host that was asked: whatever its name, that is where it is served. Application
tokens are answered too; that a real service refuses them is (unverified).
"""

import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from crmbridge.sandbox.core import Reply, Request, Row
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query, missing_property, missing_segment
from crmbridge.sandbox.dynamics.shape import Organization

PATH: Final = re.compile(r"/+api/+discovery/+v2\.0/+Instances(?:\((.*)\))?/*")
_KEY: Final = re.compile(r"UniqueName\s*=\s*'((?:[^']|'')*)'")
_FILTER: Final = re.compile(r"\s*(\w+)\s+(eq|ne)\s+('(?:[^']|'')*'|\d+|null)\s*")
_OPTIONS: Final = ("$select", "$filter")
_JSON: Final = ("Content-Type", "application/json; odata.metadata=minimal")


def answer(request: Request, key: str | None, facts: Organization, row: Row, tenant: str) -> Reply:
    """§1.5: `$select`, `$filter` and the key UniqueName; of filters one comparison is served."""
    if request.method != "GET":
        raise DataverseError(405, "0x80060888", "Instances takes a GET.")  # §10.2
    options = request.options()
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise bad_query(f"The query option {unknown[0]} is not served for Instances.")
    instance = _instance(request.origin, facts, row, tenant)
    names = [name.strip() for name in options.get("$select", "").split(",") if name.strip()]
    for name in names:
        if name not in instance:
            raise missing_property(name, "Instance")
    shown = {name: instance[name] for name in names} if names else instance
    context = f"{request.origin}/api/discovery/v2.0/$metadata#Instances"
    if key is not None:
        asked = _KEY.fullmatch(key.strip())
        if asked is None:
            raise bad_query(f"Instances has the key UniqueName, not {key}.")
        if asked[1].replace("''", "'").lower() != facts.unique_name.lower():
            raise missing_segment(f"Instances({key})")  # the code (unverified)
        return _reply({"@odata.context": f"{context}/$entity", **shown})
    there = [shown] if _passes(options.get("$filter"), instance) else []
    return _reply({"@odata.context": context, "value": there})


def _passes(text: str | None, instance: dict[str, Any]) -> bool:
    if text is None:
        return True
    found = _FILTER.fullmatch(text)
    if found is None:
        raise bad_query(f"For Instances this sandbox serves filters of one comparison, not {text}.")
    name, operator, literal = found.groups()
    if name not in instance:
        raise missing_property(name, "Instance")
    wanted: Any = None if literal == "null" else literal[1:-1].replace("''", "'")
    wanted = int(literal) if literal.isdecimal() else wanted
    value = instance[name]
    same = value.lower() == wanted.lower() if isinstance(value, str) and isinstance(wanted, str) else value == wanted
    return same is (operator == "eq")


def _instance(origin: str, facts: Organization, row: Row, tenant: str) -> dict[str, Any]:
    host = urlsplit(origin).netloc
    if host.startswith("globaldisco."):  # the host that tells, not the one that serves
        host = host.replace("globaldisco", facts.unique_name, 1)
    scheme = urlsplit(origin).scheme
    api = re.sub(r"^([^.]+)\.(crm\d*\.dynamics\.com)$", r"\1.api.\2", host)
    org = row["organizationid"]
    return {
        "Id": org,
        "UniqueName": facts.unique_name,
        "UrlName": facts.unique_name,
        "FriendlyName": facts.name,
        "State": 0,
        "Version": facts.version,
        "Url": f"{scheme}://{host}",
        "ApiUrl": f"{scheme}://{api}",
        "LastUpdated": row.get("createdon"),
        "Region": "NA",
        "OrganizationType": 0,  # this and the next ones: values (unverified)
        "TenantId": tenant,
        "EnvironmentId": org,
        "StatusMessage": 0,
        "TrialExpirationDate": None,
        "Purpose": None,
        "SchemaType": None,
    }


def _reply(body: dict[str, Any]) -> Reply:
    return Reply(status=200, headers=(_JSON, ("OData-Version", "4.0")), body=msgspec.json.encode(body))
