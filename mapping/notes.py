"""What is right and still good to know before the first run: what will be held, what a CRM fills in by itself."""

from collections.abc import Iterator
from typing import Final

from crmbridge.model import SIDES, Side, other
from mapping.described import DescriptionLike, Descriptions
from mapping.document import Document
from mapping.problem import Finding

_TEXTUAL: Final = frozenset({"text", "email", "phone", "url", "country"})


def notes(document: Document, descriptions: Descriptions) -> list[Finding]:
    found: dict[Side, DescriptionLike] = {
        side: descriptions[side, document.entity] for side in SIDES if (side, document.entity) in descriptions
    }
    if len(found) < len(SIDES):
        return []
    return [*_longer(document, found), *_filled(document, found)]


def _longer(document: Document, found: dict[Side, DescriptionLike]) -> Iterator[Finding]:
    """Nothing is ever cut: a text that does not fit is held, and only that field of its record stays behind."""
    for side in SIDES:
        told: list[str] = []
        for doc in document.fields.values():
            if doc.convert not in _TEXTUAL or len(doc.columns) < len(SIDES) or doc.rule == side:
                continue
            here = found[side].columns.get(doc.columns[side].column)
            there = found[other(side)].columns.get(doc.columns[other(side)].column)
            if here is None or there is None or here.length is None or there.length is None:
                continue
            if here.length < there.length:
                told.append(f"{doc.name} ({here.length} of {there.length})")
        if told:
            yield document.source.finding(
                ("fields",),
                f"{document.names[side]} takes shorter texts, longer ones are held and never cut: {', '.join(told)}; "
                "have the columns lengthened there where that happens",
                code="text-longer",
                key=True,
                note=True,
            )


def _filled(document: Document, found: dict[Side, DescriptionLike]) -> Iterator[Finding]:
    for side in SIDES:
        told: list[str] = []
        for doc in document.fields.values():
            if doc.convert != "choice" or len(doc.columns) < len(SIDES):
                continue
            meta = found[side].columns.get(doc.columns[side].column)
            default = next((o.label for o in meta.options if getattr(o, "default", False)), None) if meta else None
            if default is not None:
                told.append(f"{doc.name} ({default})")
        if told:
            yield document.source.finding(
                ("fields",),
                f"{document.names[side]} gives a new record a value where it is blank, and that flows back: "
                f"{', '.join(told)}; take the default away there if that is not meant",
                code="default-filled",
                key=True,
                note=True,
            )
