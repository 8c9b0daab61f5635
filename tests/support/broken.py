"""The corpus of broken mappings: what stands in tests/mapping/broken, and what is said of it.

A case is a file, or a folder of several, with the expected lines beside it (`name.txt`). `# shape: own` at the
top holds it to tests/mapping/shapes/own.yaml, a shape as `crmbridge capture` writes it; `# profile: test` lays
`lead.test.yaml` over `lead.yaml`; `# notes: yes` also tells what is no complaint;
`# settings: yes` says that it is a crmbridge.yaml; its expressions are held to the mappings that it names.
`python -m tests.support.broken NAME...` writes the expected lines anew; read them before you keep them.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import mapping
from crmbridge import settings
from crmbridge.cli.hints import look_alikes
from crmbridge.cli.segments import segment_doubts
from crmbridge.cli.shape import describe_shape
from crmbridge.errors import ConfigError
from crmbridge.segments import policies
from crmbridge.wiring import key_fields
from mapping.doubts import doubts
from mapping.examples import example_findings
from mapping.key_columns import key_findings
from mapping.problem import Finding
from mapping.renamed import renamed
from mapping.schema import SHIPPED_CONNECTIONS
from mapping.source import SIZE_MAX_BYTES

HERE = Path(__file__).resolve().parents[1] / "mapping"
BROKEN, SHAPES = HERE / "broken", HERE / "shapes"


def made(folder: Path) -> dict[str, Path]:
    """Cases that are not kept as files: too large, or not a file at all."""
    large, locked, nothing = folder / "file-too-large.yaml", folder / "file-unreadable.yaml", folder / "no-mapping"
    large.write_text("entity: lead\n" + "# filler\n" * (SIZE_MAX_BYTES // 8), encoding="utf-8")
    locked.symlink_to(folder / "gone.yaml")
    nothing.mkdir()
    return {"file-too-large": large, "file-unreadable": locked, "no-mapping": nothing}


def cases() -> dict[str, Path]:
    found = {path.stem: path for path in sorted(BROKEN.iterdir()) if path.suffix == ".yaml" or path.is_dir()}
    return {name: path for name, path in found.items() if path.is_file() or any(path.glob("*.yaml"))}


def findings(path: Path) -> list[Finding]:
    asked = _asked(path)
    if asked.get("settings"):
        return []
    documents, _ = mapping.load(path, profile=asked.get("profile"))
    shape = asked.get("shape")
    boxes = described(shape) if shape else None
    found = renamed(mapping.check(documents, boxes), list(documents.connections))
    found += [*look_alikes(found), *(doubt for document in documents for doubt in doubts(document, boxes))]
    found += [one for document in documents for one in example_findings(document)]
    if asked.get("notes"):
        found += [note for document in documents for note in mapping.notes(document, described(shape or ""))]
    return found


def lines(path: Path) -> str:
    """As `crmbridge check` prints them, with the file's name alone."""
    if _asked(path).get("settings"):
        return _settings(path)
    return "".join(_line(finding, path) for finding in findings(path))


def _line(finding: Finding, path: Path) -> str:
    place = f"{finding.place}: "
    text = f"{place}{finding.severity}: {str(finding).removeprefix(place)}\n"
    return text.replace(f"{path.parent}/", "")


def _settings(path: Path) -> str:
    """Of a crmbridge.yaml: all of its problems are in the one error."""
    file = path / "crmbridge.yaml" if path.is_dir() else path
    try:
        found = settings.load(file, env={}, secrets=False)
        documents, _ = mapping.load(found.mappings_folder)
        compiled = mapping.compile(documents)
        policies(found, compiled)
    except ConfigError as error:
        return "".join(f"{problem}\n" for problem in error.problems).replace(f"{path.parent}/", "")
    told = [one for document in documents for one in key_findings(document, key_fields(found))]
    told += segment_doubts(found, documents, compiled, datetime(2026, 11, 30, tzinfo=UTC))
    return "".join(_line(one, path) for one in told)


def codes(text: str) -> set[str]:
    return set(re.findall(r"\[([a-z0-9-]+)\]$", text, re.MULTILINE))


def _asked(path: Path) -> dict[str, str]:
    """`# shape: own` and `# profile: test` at the top of the (first) file."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    heads = [file.read_bytes()[:200].decode("utf-8", "replace") for file in files if file.exists()]
    return dict(re.findall(r"^# (shape|profile|notes|settings): ([\w-]+)$", "\n".join(heads), re.MULTILINE))


@cache
def described(shape: str) -> Mapping[Any, Any]:
    """What both connectors say of an org and an environment of this shape."""
    _, descriptions = describe_shape(SHAPES / f"{shape}.yaml", SHIPPED_CONNECTIONS)
    return descriptions


def write(names: list[str]) -> Iterator[str]:
    for name, path in cases().items():
        if not names or name in names:
            (BROKEN / f"{name}.txt").write_text(lines(path), encoding="utf-8")
            yield name


if __name__ == "__main__":
    print(*write(sys.argv[1:]))
