"""Everything that is wrong with some mappings, at once: their shape, their meaning, and what the CRMs really have."""

from collections.abc import Iterable

from mapping.described import Descriptions
from mapping.document import Document, Documents
from mapping.problem import Finding


def check(documents: Documents | Iterable[Document], descriptions: Descriptions | None = None) -> list[Finding]:
    findings: list[Finding] = list(documents.findings) if isinstance(documents, Documents) else []
    return findings
