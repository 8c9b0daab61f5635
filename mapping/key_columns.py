"""The columns that hold the partner's id: a record is found again by them, so no field may write there."""

from collections.abc import Iterator, Mapping

from crmbridge.model import SIDES, Side
from mapping.document import Document
from mapping.problem import Finding


def key_findings(document: Document, keys: Mapping[Side, str | None]) -> Iterator[Finding]:
    """`keys`: each connection's key field; None where it has none."""
    for side in SIDES:
        key, name = keys.get(side), document.names[side]
        for doc in document.fields.values() if key else ():
            if side in doc.columns and str(key).casefold() in {one.casefold() for one in doc.columns[side].all()}:
                yield document.source.finding(
                    ("fields", doc.name, name),
                    f"{key} is the key field of {name}: crmbridge keeps the partner's id there; take the field out",
                    code="key-field-mapped",
                )
