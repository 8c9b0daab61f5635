"""The dictionary: YAML documents -> checked rules -> translation between a CRM's rows and shared records."""

from mapping.check import check
from mapping.compiler import Compiled, compile_documents
from mapping.document import Document, Documents
from mapping.end import Facts
from mapping.files import load
from mapping.holding import HoldWrite
from mapping.losses import Loss, losses
from mapping.notes import notes
from mapping.problem import Finding, Place
from mapping.rows import row_struct
from mapping.schema import schema
from mapping.translate import NOTES, CompiledEntity, Put
from mapping.version import Version, read_texts, version_of

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
    "Loss",
    "Place",
    "Put",
    "Version",
    "check",
    "compile",
    "load",
    "losses",
    "notes",
    "read_texts",
    "row_struct",
    "schema",
    "version_of",
]
