"""Lines that contradict each other: rules that cannot both hold, and what a field asks for and can never have."""

from collections.abc import Iterator

from crmbridge.model import SIDES
from mapping.document import Document, FieldDoc
from mapping.problem import Finding, Path


def conflict_findings(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    if doc.is_derived:
        return  # what means nothing for it is said elsewhere
    path: Path = ("fields", doc.name)
    source = document.source
    alone = next(iter(doc.columns)) if len(doc.columns) == 1 else None
    if doc.restrictive and doc.rule != "both":
        yield source.finding(
            (*path, "rule"),
            "decides nothing beside `restrictive`, by which yes on one side makes it yes on both; "
            "take one of the two out",
            code="rule-against-restrictive",
            warning=True,
        )
    elif alone is not None and (*path, "rule") in source.keys:
        yield source.finding(
            (*path, "rule"),
            f"decides nothing: the field is in {document.names[alone]} only; take it out, or name the other column",
            code="rule-needless",
            key=True,
            warning=True,
        )
    if alone is not None and doc.required and alone not in doc.create:
        yield source.finding(
            (*path, "required"),
            f"can never be met: the value is in {document.names[alone]} only, so no record of the other side has it "
            "and none would be created; take it out, name the other column, or add a `create:` text",
            code="required-one-sided",
            key=True,
        )
    for side in SIDES:
        if side in doc.lossy and side not in doc.columns:
            yield source.finding(
                (*path, "lossy"),
                f"names {document.names[side]}, where the field has no column; take that out",
                code="lossy-without-column",
            )
