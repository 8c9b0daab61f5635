"""A working folder against companies that made their CRMs their own: tests/mapping/shapes, served by the sandbox."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from crmbridge.cli.shape import describe_shape
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.server import running_sandbox
from mapping.draft import draft
from tests.support.drafts import SHAPES
from tests.support.project import Project, make_project

STANDARD: Final = "salesforce: {extends: salesforce}\ndynamics: {extends: dynamics}\n"


def shape(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((SHAPES / f"{name}.yaml").read_text(encoding="utf-8"))


@contextmanager
def company(folder: Path, name: str | None, *, seed: str = "sample") -> Iterator[Project]:
    """With the sandbox's own records; without a name the CRMs are as they come out of the box."""
    paths: dict[Any, Path] = {}
    for crm, part in (shape(name) if name else {}).items():
        paths[crm] = folder / f"{crm}.yaml"
        with paths[crm].open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(part, file)
    with running_sandbox(sandbox=Sandbox(seed, shapes=paths), state_dir=folder / "sandbox") as box:
        made = make_project(folder / "project", box)
        try:
            yield made
        finally:
            made.end_processes()


def standard_drafts(folder: Path, **how: Any) -> Mapping[str, str]:
    """What `mapping init` writes for CRMs as they come out of the box."""
    path = folder / "standard.yaml"
    path.write_text(STANDARD, encoding="utf-8")
    return {one.file: one.text for one in draft(*describe_shape(path), **how)}


def put_mappings(made: Project, texts: Mapping[str, str]) -> None:
    for old in (made.folder / "mappings").iterdir():
        old.unlink()
    for name, text in texts.items():
        (made.folder / "mappings" / name).write_text(text, encoding="utf-8")
