"""Examples of a mapping: given this on one side, expect that. They stand under `examples:`, in a mapping or beside it.

`lead.examples.yaml` lies beside `lead.yaml` and holds the key `examples:` alone. What an example says is read here;
`mapping.trial` tries it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from crmbridge.model import SIDES, Side
from mapping.document import Document
from mapping.examples_schema import KEY, SHARED, examples_file_schema
from mapping.problem import Finding, Path, Place
from mapping.schema import prune
from mapping.source import Source, read_file

SUFFIX: Final = ".examples.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    name: str
    source: Source
    path: Path  # of the example in its file
    given_on: Side | None  # None: the shared record itself is given
    given: Mapping[str, Any]
    there: Mapping[Side, Mapping[str, Any]] = field(default_factory=dict)  # a record that is on the other side already
    shared: Mapping[str, Any] = field(default_factory=dict)  # expected
    natives: Mapping[Side, Mapping[str, Any]] = field(default_factory=dict)  # expected
    held: Mapping[str, str] = field(default_factory=dict)  # field -> cause: expected not to cross
    crosses: bool | None = None  # whether the filter lets it take part
    currency: str = "USD"

    @property
    def place(self) -> Place:
        return self.source.place(self.path)

    def at(self, *way: str | int, key: bool = True) -> Place:
        return self.source.place((*self.path, *way), key=key)


def beside(file: str) -> FilePath:
    """Where the examples of a mapping lie: `lead.yaml` -> `lead.examples.yaml`."""
    path = FilePath(file)
    return path.with_name(f"{path.name.partition('.')[0]}{SUFFIX}")


def examples_of(document: Document, source: Source | None = None) -> tuple[list[Example], list[Finding]]:
    """Of the file beside it, if `source` is given, else of the mapping itself; and what is wrong with their shape."""
    names = list(document.names.values())
    if source is None:
        items = document.source.data.get(KEY) if isinstance(document.source.data, dict) else None
        kept = items if isinstance(items, list) else []
        return [_example(document, document.source, n, one) for n, one in enumerate(kept) if _whole(one)], []
    data = prune(source, examples_file_schema(names)) if source.data is not None else None
    items = data.get(KEY, []) if isinstance(data, dict) else []
    if any(finding.severity == "error" for finding in source.findings):
        return [], list(source.findings)  # positions would be those of what is left
    return [_example(document, source, n, one) for n, one in enumerate(items)], list(source.findings)


def example_findings(document: Document) -> list[Finding]:
    """What is wrong with the shape of the examples in the file beside the mapping, if there is one."""
    near = beside(document.source.file)
    if not near.is_file():
        return []
    examples, findings = examples_of(document, read_file(near))
    unsaid = [(example, unclear(example, document)) for example in examples]
    return [
        *findings,
        *(one.source.finding(one.path, why, code="example-unclear") for one, why in unsaid if why is not None),
    ]


def _whole(one: Any) -> bool:
    """The shape layer has complained about any other."""
    return isinstance(one, dict) and all(isinstance(one.get(key), dict) for key in ("given", "expect"))


def _example(document: Document, source: Source, number: int, body: Mapping[str, Any]) -> Example:
    sides: dict[str, Side] = {document.names[side]: side for side in SIDES}
    given: Mapping[str, Any] = body["given"]
    origin = next((name for name in given if name in sides), None)
    expect: Mapping[str, Any] = body["expect"]
    return Example(
        name=str(body.get("name", "")),
        source=source,
        path=(KEY, number),
        given_on=sides[origin] if origin is not None else None,
        given=given.get(origin or SHARED) or {},
        there={sides[name]: columns for name, columns in (body.get("there") or {}).items() if name in sides},
        shared=expect.get(SHARED) or {},
        natives={sides[name]: columns for name, columns in expect.items() if name in sides},
        held={str(name): str(cause) for name, cause in (expect.get("held") or {}).items()},
        crosses=expect.get("crosses"),
        currency=str(body.get("currency", "USD")),
    )


def unclear(example: Example, document: Document) -> str | None:
    """Why it cannot be tried, if it says too much or too little."""
    data: Any = example.source.data
    body: Mapping[str, Any] = data[KEY][example.path[1]]
    if len(body["given"]) != 1:
        names = " or ".join(document.names.values())
        return f"`given` holds one record: of {names}, or the shared one; found {len(body['given'])}, keep one"
    if not body["expect"]:
        return "`expect` is empty, so nothing can go wrong; say what must come of it"
    if example.given_on is not None and example.given_on in example.there:
        return "`there` is about the other side; what stands on this side is given already"
    return None
