"""Rows as XML sObjects: what the rest of the API answers in JSON, in the partner API's form (salesforce-api §2.1, §10).

Type and id come first, then the fields asked for in the order asked, the id once more among them; a parent is an
sObject, children are a query result, an empty one of either is nil.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from crmbridge.sandbox.salesforce import soap
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.store import Store

_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
_ADDRESS_FIRST: Final = ("latitude", "longitude")  # an address extends a location
_TYPED: Final = {bool: "xsd:boolean", int: "xsd:int", Decimal: "xsd:double", float: "xsd:double", str: "xsd:string"}


class SoapRows:
    def __init__(self, store: Store) -> None:
        self._shape = store.shape

    def page(self, body: Mapping[str, Any]) -> str:
        """REST's page of a query as a QueryResult, in the order of the WSDL."""
        url = body.get("nextRecordsUrl")
        records = "".join(self.record("records", row) for row in body["records"])
        return (
            soap.text("done", body["done"])
            + soap.text("queryLocator", url.rpartition("/")[2] if url else None)
            + records
            + soap.text("size", body["totalSize"])
        )

    def record(self, name: str, row: Mapping[str, Any]) -> str:
        return f'<{name} xsi:type="sf:sObject">{self._inside(row)}</{name}>'

    def _inside(self, row: Mapping[str, Any]) -> str:
        kind = row["attributes"]["type"]
        sobject = self._shape.object(kind)
        parts = [soap.text("sf:type", kind), soap.text("sf:Id", row.get("Id"))]
        for name, value in row.items():
            if name == "attributes":
                continue
            if isinstance(value, Mapping):
                parts.append(self._nested(f"sf:{name}", value))
            elif sobject is None and value is not None:  # §2.1: the sums of an aggregate tell their type
                parts.append(soap.text(f"sf:{name}", instant(value), _TYPED.get(type(value), "xsd:string")))
            else:
                parts.append(soap.text(f"sf:{name}", self._shown(sobject, name, value)))
        return "".join(parts)

    def _nested(self, name: str, value: Mapping[str, Any]) -> str:
        if "records" in value:
            return f'<{name} xsi:type="QueryResult">{self.page(value)}</{name}>'
        if "attributes" in value:
            return self.record(name, value)
        ordered = sorted(value, key=lambda key: (key not in _ADDRESS_FIRST, key))
        return f'<{name} xsi:type="address">{soap.many({key: value[key] for key in ordered})}</{name}>'

    def _shown(self, sobject: SObject | None, name: str, value: Any) -> Any:
        if isinstance(value, str) and sobject is not None:
            field = sobject.fields.get(name)
            return instant(value) if field is None or field.type == "datetime" else value
        return value


def instant(value: Any) -> Any:
    """§10: SOAP shows an instant with Z, REST with +0000."""
    return f"{value[:-5]}Z" if isinstance(value, str) and _STAMP.fullmatch(value) else value
