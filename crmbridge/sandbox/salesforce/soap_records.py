"""Reading sObjects out of SOAP calls as the values that the rest of the API takes (salesforce-api §3.1, §10)."""

from typing import Any, Final

from crmbridge.sandbox.salesforce import soap
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.schema import TEXT, Field, Shape, SObject

_OWN: Final = ("type", "Id", "fieldsToNull", "attributes")
_CUT: Final = TEXT - {"picklist", "multipicklist", "combobox"}  # what may be truncated (unverified)


class SoapRecords:
    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def type_of(self, name: str) -> SObject:
        found = self._shape.object(name)
        if found is None:  # §9.2
            raise refuse("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def item(self, element: soap.Element, *, truncate: bool, enterprise: bool = False) -> dict[str, Any]:
        """One sObject as a collection's record: its type among the attributes, its id, its fields.

        The enterprise API's objects are types of its WSDL, so theirs stands in xsi:type.
        """
        sobject = self.type_of(element.kind if enterprise else element.value("type"))
        item: dict[str, Any] = {"attributes": {"type": sobject.name}}
        if key := element.value("Id"):
            item["Id"] = key
        return item | self.fields(sobject, element, truncate=truncate)

    def fields(self, sobject: SObject, element: soap.Element, *, truncate: bool) -> dict[str, Any]:
        cleared = [name for name in element.values("fieldsToNull") if name]
        fields: dict[str, Any] = {}
        for child in element.children:
            if child.name in _OWN:
                continue
            if child.children:  # §3.1: a parent named by its external id
                fields[child.name] = self._parent(child)
            elif child.text is not None:  # an element that is nil is one that was not set; §10: fieldsToNull clears
                fields[child.name] = _value(sobject.field(child.name), child.text, truncate=truncate)
        lower = {name.lower() for name in fields}
        for name in cleared:
            if name.lower() in lower:  # §10; the text (unverified)
                raise refuse("INVALID_FIELD", f"Field {name} is both given a value and named in fieldsToNull.", [name])
        return fields | dict.fromkeys(cleared)

    def _parent(self, element: soap.Element) -> dict[str, Any]:
        kind = element.value("type")
        keys = {child.name: child.text for child in element.children if child.name not in _OWN and child.text}
        if not keys and (key := element.value("Id")):
            keys = {"Id": key}
        return {"attributes": {"type": kind}, **keys} if kind else keys


def _value(field: Field | None, text: str, *, truncate: bool) -> str:
    if field is None:
        return text
    if field.type == "boolean":
        return {"1": "true", "0": "false"}.get(text.strip(), text.strip())
    if field.type not in TEXT:
        return text.strip()
    if truncate and field.type in _CUT and field.length:
        return text.strip()[: field.length]
    return text
