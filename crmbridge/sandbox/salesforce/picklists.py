"""Which values a picklist offers: of a record type, beside its controlling field, restricted or open (§5.1).

salesforce-api §5.1: the API takes any text for an open picklist, also a value that the record type or the controlling
field does not offer; only a restricted one refuses (of the last two (unverified)).
"""

import base64
from collections.abc import Mapping
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.errors import Problem
from crmbridge.sandbox.salesforce.schema import RecordType, SObject


def with_dependencies(fields: dict[str, dict[str, Any]]) -> None:
    """Complete dependent picklists of a shape: `dependentValues` from the bitmaps of a describe, or the reverse."""
    for item in fields.values():
        control = fields.get(item.get("controllerName") or "")
        if control is None:
            continue
        controlling = _controlling(control)
        declared = item.get("dependentValues")
        if isinstance(declared, Mapping) and declared:
            item["dependentPicklist"] = True
            offered = {str(key).lower(): {str(value) for value in values} for key, values in declared.items()}
            item["picklistValues"] = [
                {**value, "validFor": _bitmap([value["value"] in offered.get(key.lower(), ()) for key in controlling])}
                for value in item["picklistValues"]
            ]
        elif any(value.get("validFor") for value in item["picklistValues"]):
            item["dependentPicklist"] = True
            item["dependentValues"] = {
                key: [value["value"] for value in item["picklistValues"] if _bit(value.get("validFor"), at)]
                for at, key in enumerate(controlling)
            }


def _controlling(control: Mapping[str, Any]) -> list[str]:
    if control["type"] == "boolean":
        return ["false", "true"]
    return [value["value"] for value in control["picklistValues"]]


def _bitmap(bits: list[bool]) -> str:
    """§5.1: base64, bit n, most significant first, is the n-th controlling value."""
    size = (len(bits) + 7) // 8
    number = sum(1 << (size * 8 - 1 - at) for at, bit in enumerate(bits) if bit)
    return base64.b64encode(number.to_bytes(size, "big")).decode()


def _bit(bitmap: Any, at: int) -> bool:
    try:
        raw = base64.b64decode(bitmap or "")
    except (ValueError, TypeError):
        return False
    return at // 8 < len(raw) and bool(raw[at // 8] >> (7 - at % 8) & 1)


def wrong_values(sobject: SObject, row: Row, changed: set[str], kind: RecordType | None) -> list[Problem]:
    """Restricted picklists that hold what their record type or their controlling field does not offer."""
    problems: list[Problem] = []
    for field in sobject.narrowed:
        value = row.get(field.name)
        if value is None or not field.restricted_picklist:
            continue
        values = value.split(";") if field.type == "multipicklist" else [value]
        wrong = ""
        if kind is not None and field.name in kind.picklists and changed & {field.name, "RecordTypeId"}:
            wrong = next((each for each in values if each not in kind.picklists[field.name]), "")
        if not wrong and field.dependent_values and changed & {field.name, field.controller_name}:
            control = row.get(field.controller_name or "")
            key = str(control).lower() if isinstance(control, bool) else control
            beside = field.dependent_values.get(key, ()) if isinstance(key, str) else ()
            wrong = next((each for each in values if each not in beside), "")
        if wrong:
            message = f"{field.label}: bad value for restricted picklist field: {wrong}"
            problems.append(
                Problem(code="INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message=message, fields=(field.name,))
            )
    return problems
