"""The dictionary: YAML documents -> checked rules -> translation between a CRM's rows and shared records."""

from mapping.check import check
from mapping.compiler import Compiled, compile_documents
from mapping.document import Document, Documents
from mapping.end import Facts
from mapping.holding import HoldWrite
from mapping.problem import Finding, Place
from mapping.reading import load
from mapping.rows import row_struct
from mapping.schema import schema
from mapping.translate import NOTES, CompiledEntity, Put

compile = compile_documents

__all__ = [
    "NOTES",
    "Compiled",
    "CompiledEntity",
    "Document",
    "Documents",
    "Facts",
    "Finding",
    "HoldWrite",
    "Place",
    "Put",
    "check",
    "compile",
    "load",
    "row_struct",
    "schema",
]
