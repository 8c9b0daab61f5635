"""Queues and teams that a mapping names, held to those that the two systems have."""

from collections.abc import Iterator, Mapping

from crmbridge.model import Directory, Side
from mapping.document import Document, FieldDoc
from mapping.people import fold_email, is_group
from mapping.problem import Finding, Path, closest


def group_findings(document: Document, directories: Mapping[Side, Directory]) -> Iterator[Finding]:
    """Each word that means no queue or team of its system, or several; a system that did not answer is left out."""
    told: set[Path] = set()
    for path, side, word in _words(document):
        if side not in directories or path in told:
            continue
        known = directories[side]
        folded = fold_email(word)
        if folded in known.group_ids:
            continue
        told.add(path)
        kind = folded.partition(":")[0]
        names = sorted({words[0] for words in known.groups.values()})
        yield document.source.finding(
            path,
            f"{document.names[side]} has no single {kind} {word!r} that may own records; "
            f"name one that it has, or write {kind}: and its id",
            suggestion=closest(folded, names),
            code="group-unknown",
        )


def _words(document: Document) -> Iterator[tuple[Path, Side, str]]:
    for doc in document.fields.values():
        if doc.convert == "user":
            yield from _of(document, doc)


def _of(document: Document, doc: FieldDoc) -> Iterator[tuple[Path, Side, str]]:
    for side, word in doc.default.items():
        if is_group(word):
            yield ("fields", doc.name, "default", document.names[side]), side, word
    table = document.values.get(doc.values) if doc.values is not None else None
    for row in table.rows if table is not None else ():
        for side, words in row.natives.items():
            for word in words:
                if is_group(word) and side in doc.columns:
                    yield ("values", doc.values or "", row.name, document.names[side]), side, str(word)
