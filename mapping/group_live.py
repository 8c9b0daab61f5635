"""Queues, teams and people that a mapping names, held to those that the two systems have."""

from collections.abc import Iterable, Iterator, Mapping

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


def person_findings(document: Document, directories: Mapping[Side, Directory]) -> Iterator[Finding]:
    """Warnings: addresses that nobody has who could be given a record; of a row the first one is written."""
    told: set[Path] = set()
    for path, side, words in _named(document):
        person = next((word for word in words[:1] if not is_group(word)), None)
        if person is None or side not in directories or path in told:
            continue
        known = directories[side]
        if fold_email(person) in known.user_ids:
            continue
        told.add(path)
        name = document.names[side]
        off = fold_email(person) in known.users.values()
        yield document.source.finding(
            path,
            f"{name} has no {'single active ' if off else ''}user {person!r}"
            + (", only one who is switched off, or several" if off else ""),
            suggestion=None if off else _alike(fold_email(person), known.user_ids),
            otherwise="write the address of one who is active there; until then nobody is given a record by it",
            code="person-unknown",
            warning=True,
        )


def _alike(email: str, known: Iterable[str]) -> str | None:
    """By what stands before the @: all of a company's addresses are alike behind it."""
    by_name = {one.partition("@")[0]: one for one in known}
    near = closest(email.partition("@")[0], by_name)
    return by_name[near] if near is not None else None


def _words(document: Document) -> Iterator[tuple[Path, Side, str]]:
    for path, side, words in _named(document):
        for word in words:
            if is_group(word):
                yield path, side, word


def _named(document: Document) -> Iterator[tuple[Path, Side, tuple[str, ...]]]:
    for doc in document.fields.values():
        if doc.convert == "user":
            yield from _of(document, doc)


def _of(document: Document, doc: FieldDoc) -> Iterator[tuple[Path, Side, tuple[str, ...]]]:
    for side, word in doc.default.items():
        yield ("fields", doc.name, "default", document.names[side]), side, (word,)
    table = document.values.get(doc.values) if doc.values is not None else None
    for row in table.rows if table is not None else ():
        for side, words in row.natives.items():
            if side in doc.columns:
                path: Path = ("values", doc.values or "", row.name, document.names[side])
                yield path, side, tuple(str(word) for word in words)
