"""What has changed between two states of some mappings, part by part, with the line where it stands now."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.model import Entity
from mapping.document import Document
from mapping.examples_schema import KEY as EXAMPLES
from mapping.problem import Path, Place, path_text

# Below these a map is one thing to people: a field's line, a row.
_WHOLE: Final[Mapping[str, int]] = {"fields": 2, "values": 3, "status": 2, "stage": 2, "gates": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One part of a mapping that was added, taken away or said otherwise."""

    entity: Entity
    path: Path
    before: Any  # None: it was not there
    after: Any  # None: it is gone
    place: Place

    @property
    def text(self) -> str:
        return path_text(self.path)


def changes(old: Iterable[Document], new: Iterable[Document]) -> list[Changed]:
    """Comments, line breaks and examples do not count; the order of rows does."""
    before: dict[Entity, Document] = {document.entity: document for document in old}
    after: dict[Entity, Document] = {document.entity: document for document in new}
    entities: list[Entity] = [*before, *(entity for entity in after if entity not in before)]
    found: list[Changed] = []
    for entity in entities:
        then, now = before.get(entity), after.get(entity)
        document = now or then
        assert document is not None
        found += _changes(entity, document, _data(then), _data(now), ())
    return found


def _data(document: Document | None) -> dict[str, Any]:
    """With the tables that other files lend, without examples."""
    if document is None:
        return {}
    data = {key: value for key, value in document.source.data.items() if key != EXAMPLES}
    lent = {
        name: {
            row.name: {document.names[side]: list(words) for side, words in row.natives.items()} for row in table.rows
        }
        for name, table in document.values.items()
        if name not in (data.get("values") or {})
    }
    return {**data, **({"values": {**(data.get("values") or {}), **lent}} if lent else {})}


def _changes(entity: Entity, document: Document, old: Any, new: Any, path: Path) -> Iterator[Changed]:
    if old == new and (not isinstance(old, dict) or _is_whole(path)):
        return
    if isinstance(old, dict) and isinstance(new, dict) and not _is_whole(path):
        for key in dict.fromkeys([*old, *new]):
            yield from _changes(entity, document, old.get(key), new.get(key), (*path, key))
        kept = [key for key in old if key in new]
        if _ordered(path) and kept != [key for key in new if key in old]:
            place = document.source.place(path, key=True)
            yield Changed(entity=entity, path=(*path, "(order)"), before=list(old), after=list(new), place=place)
        return
    yield Changed(entity=entity, path=path, before=old, after=new, place=document.source.place(path, key=True))


def _is_whole(path: Path) -> bool:
    return bool(path) and len(path) >= _WHOLE.get(str(path[0]), 1)


def _ordered(path: Path) -> bool:
    """The order of rows decides which one is written or read first; that of fields means nothing."""
    return bool(path) and path[0] in ("values", "status", "stage")
