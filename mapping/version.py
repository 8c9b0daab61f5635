"""Which mapping it is: the files' texts under one id, so that two runs can be told to have gone by the same one."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mapping.document import Documents
from mapping.layers import NO_PROFILES, files_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A mapping at one moment. Without a text it is nobody's: made in a test, or kept nowhere."""

    id: str = ""
    label: str = ""  # what the files call themselves (`version:`), of those that do
    texts: Mapping[str, str] = field(default_factory=dict)  # file name, without its folder -> text


def read_texts(folder: Path) -> dict[str, str]:
    """The mapping files of a folder as they are now, examples left out. Raises OSError, UnicodeDecodeError."""
    paths = [Path(file.name) for file in files_at(folder)]
    mine = [path for path in paths if not any(path.stem.endswith(f".{one}") for one in NO_PROFILES)]
    return {path.name: path.read_bytes().decode("utf-8-sig") for path in mine}


def version_of(texts: Mapping[str, str], documents: Documents) -> Version:
    """The id follows from names and texts alone."""
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(f"{name}\0{texts[name]}\0".encode())
    named = {document.version for document in documents if document.version}
    return Version(id=digest.hexdigest()[:12], label=", ".join(sorted(named)), texts=dict(texts))
