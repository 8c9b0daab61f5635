"""Which mapping is meant: a folder, a version that runs went by, or a revision of git."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from crmbridge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crmbridge.state.words import MappingRow

GIT: Final = "git:"
_GIT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    name: str  # as people call it
    texts: "Mapping[str, str]"  # file name -> text
    called: str | None = None  # where its lines stand, as told with a problem; None: in the mappings folder


def resolve(text: str, folder: Path, kept: "list[MappingRow]") -> Which:
    """`folder`: the mappings folder, in whose repository a revision is looked up. Raises ConfigError."""
    if text.startswith(GIT):
        return Which(name=text, texts=_of_git(folder, text.removeprefix(GIT)), called=text)
    if Path(text).is_dir():
        return of_folder(Path(text))
    hits = versions_called(text, kept)
    if len(hits) == 1:
        label = f" ({hits[0].label})" if hits[0].label else ""
        return Which(name=f"version {hits[0].id}{label}", texts=hits[0].texts, called=f"version {hits[0].id}")
    several = too_many(hits) if hits else "it is no folder, and no version begins with it or is called so"
    raise ConfigError(
        f"Which mapping is {text!r}: {several}.",
        fix="Name a folder, a version as `crmbridge mapping versions` lists them, or git:REV.",
    )


def versions_called(text: str, kept: "list[MappingRow]") -> "list[MappingRow]":
    """Versions whose id begins with this, or whose files call themselves so."""
    return [row for row in kept if row.id.startswith(text) or (row.label and row.label == text)]


def too_many(hits: "list[MappingRow]") -> str:
    return f"{len(hits)} versions begin with it or are called so ({', '.join(row.id for row in hits)})"


def of_folder(folder: Path) -> Which:
    import mapping

    try:
        texts = mapping.read_texts(folder)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The mapping in {folder} cannot be read.", fix="It must be UTF-8 text that you may read."
        ) from error
    if not texts:
        raise ConfigError(
            f"There is no mapping in {folder}.", fix="`crmbridge init` puts the shipped ones into mappings/."
        )
    return Which(name=str(folder), texts=texts, called=str(folder))


def _of_git(folder: Path, revision: str) -> dict[str, str]:
    """The files of the mappings folder as they were in a revision of its repository."""
    if not revision or revision.startswith("-"):
        raise ConfigError(f"{GIT}{revision} names no revision.", fix="Write e.g. git:HEAD or git:main~2.")
    names = _git(folder, "ls-tree", "--name-only", revision, "--", ".").splitlines()
    files = [PurePosixPath(name).name for name in names if name.endswith((".yaml", ".yml"))]
    mine = [name for name in files if not name.endswith((".examples.yaml", ".examples.yml"))]
    if not mine:
        raise ConfigError(
            f"{GIT}{revision} has no mapping in {folder}.", fix="Name a revision in which the files were there."
        )
    return {name: _git(folder, "show", f"{revision}:./{name}") for name in mine}


def _git(folder: Path, *words: str) -> str:
    program = shutil.which("git")
    if program is None:
        raise ConfigError("git is not installed here.", fix="Name a folder or a version instead.")
    try:
        ran = subprocess.run(  # noqa: S603 - no shell, and a revision cannot be taken for an option
            [program, "-C", str(folder), *words], capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError("git did not answer.", fix="Name a folder or a version instead.") from error
    if ran.returncode != 0:
        said = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ConfigError(f"git cannot show it: {said[0] if said else 'no reason given'}.", fix="Check the revision.")
    return ran.stdout.decode("utf-8-sig", "replace")
