"""Tables of values for all mappings: `values.yaml` beside the files of the entities.

A mapping sees those that its fields name, as if they stood in its own file; a table of its own with the same name wins,
which is told.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any, Final

from mapping.document import Document, ValueTable
from mapping.problem import Finding, Path, Place
from mapping.source import Source

STEM: Final = "values"


def is_shared(source: Source) -> bool:
    """However its name is written: on many machines `Values.yaml` is the same file."""
    return FilePath(source.file).name.rpartition(".")[0].casefold() == STEM


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTables:
    source: Source
    tables: Mapping[str, ValueTable]

    def lend(self, document: Document) -> Document:
        """The document with the tables that its fields name, which keep their places."""
        named = {doc.values for doc in document.fields.values() if doc.values is not None}
        used = {name: table for name, table in self.tables.items() if name in named and name not in document.values}
        if not used:
            return document
        source = replace(
            document.source,
            keys={**document.source.keys, **self._places(self.source.keys, used)},
            values={**document.source.values, **self._places(self.source.values, used)},
        )
        return replace(document, source=source, values={**document.values, **used})

    def findings(self, documents: Iterable[Document]) -> list[Finding]:
        known = list(documents)
        found: list[Finding] = []
        for document in known:
            own = [str(path[1]) for path in document.source.keys if len(path) == 2 and path[0] == "values"]
            found += [
                document.source.finding(
                    ("values", name),
                    f"a table of this name stands in {self.source.file} as well; the one here is used; "
                    "give it another name, or take one of them out",
                    code="table-shadows-shared",
                    key=True,
                    warning=True,
                )
                for name in own
                if name in self.tables
            ]
        used = {doc.values for document in known for doc in document.fields.values()}
        found += [
            self.source.finding(
                ("values", name),
                "no field of any mapping uses this table; name it in a field, or take it out",
                code="shared-table-unused",
                key=True,
                warning=True,
            )
            for name in self.tables
            if known and name not in used
        ]
        return found

    @staticmethod
    def _places(places: Mapping[Path, Place], used: Mapping[str, Any]) -> dict[Path, Place]:
        return {path: place for path, place in places.items() if len(path) > 1 and path[1] in used}


def shared_tables(source: Source, data: Any, make: Callable[[str, Any], ValueTable]) -> SharedTables:
    tables = data.get("values", {}) if isinstance(data, dict) else {}
    return SharedTables(source=source, tables={name: make(name, body) for name, body in tables.items()})
