"""Reads mapping files: entity by entity, with the overlays of a profile and the tables that all may use."""

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

from crmbridge.model import Entity
from mapping.document import Document, Documents, make_document, sides_by_name, value_table
from mapping.field_schema import shared_schema
from mapping.layers import files_at, read_layers
from mapping.out_of_use import with_inactive
from mapping.problem import Finding
from mapping.schema import SHIPPED_CONNECTIONS, prune, schema
from mapping.shared_tables import SharedTables, is_shared, shared_tables
from mapping.source import Source

NO_MAPPING: Final = "there is no mapping here; `crmbridge init` puts the shipped ones there"


def load(
    where: FilePath | str | Sequence[FilePath | str] | Mapping[str, str],
    connections: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
) -> tuple[Documents, tuple[Finding, ...]]:
    """Reads a folder of mappings, some files, or texts by file name; `connections` is name -> system, left first."""
    connections = dict(connections or SHIPPED_CONNECTIONS)
    if len(connections) != 2:
        raise ValueError("a mapping is between exactly two connections")
    rules = schema(connections)
    sources = read_layers(files_at(where), profile)
    entities = [source for source in sources if not is_shared(source)]
    documents: dict[Entity, Document] = {}
    findings: list[Finding] = []
    for source in entities:
        data = prune(source, rules) if source.data is not None else None
        document = make_document(source, data, connections) if isinstance(data, dict) else None
        if document is not None:
            document = with_inactive(document)
            twin = documents.setdefault(document.entity, document)
            if twin is not document:
                source.complain(
                    ("entity",),
                    f"{document.entity} is mapped in {twin.source.file} already; put both into one file",
                    code="entity-twice",
                )
        findings += source.findings
    items = tuple(documents.values())
    for source in sources:
        if is_shared(source):
            shared = _shared(source, rules, connections)
            findings += [*source.findings, *shared.findings(items)]
            items = tuple(shared.lend(document) for document in items)
    if not entities:
        findings.append(Source(file=str(where)).finding((), NO_MAPPING, code="no-mapping"))
    loaded = Documents(connections=connections, items=items, findings=tuple(findings))
    return loaded, loaded.findings


def _shared(source: Source, rules: Mapping[str, Any], connections: Mapping[str, str]) -> SharedTables:
    data = prune(source, shared_schema(rules)) if source.data is not None else None
    sides = sides_by_name(connections)
    return shared_tables(source, data, lambda name, body: value_table(name, body, sides))
