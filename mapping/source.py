"""Reads one YAML file to plain data and remembers where every key and value stood.

The parser's events are used as they come instead of a loaded document: so all duplicate keys, anchors and tags are
found in one pass, nothing is ever constructed from a tag, and an alias cannot be expanded.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from mapping.problem import Finding, Path, Place, path_text
from mapping.unreadable import not_yaml, place_after

SIZE_MAX_BYTES: Final = 512 * 1024
DEPTH_MAX: Final = 12
DIGITS_MAX: Final = 40

_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# The YAML 1.2 core schema: `no`, `on` and `y` are text (Norway stays Norway).
_WORDS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True, kw_only=True)
class Source:
    """A file's plain data (dicts, lists, text, numbers), and the place of each part."""

    file: str
    data: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)  # values that are complained about already

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where a path stands; for what is not there, its nearest parent."""
        while path:
            found = (self.keys.get(path) if key else None) or self.values.get(path) or self.keys.get(path)
            if found:
                return found
            path, key = path[:-1], True
        return Place(file=self.file)

    @property
    def files(self) -> frozenset[str]:
        """This file, and those that were laid over it or lent it a part."""
        return frozenset({self.file, *(place.file for place in self.values.values())})

    def complain(
        self,
        path: Path,
        message: str,
        *,
        code: str,
        suggestion: str | None = None,
        otherwise: str = "",
        key: bool = False,
    ) -> None:
        self.findings.append(
            self.finding(path, message, code=code, suggestion=suggestion, otherwise=otherwise, key=key)
        )

    def finding(
        self,
        path: Path,
        message: str,
        *,
        code: str,
        suggestion: str | None = None,
        otherwise: str = "",
        key: bool = False,
        warning: bool = False,
        note: bool = False,
    ) -> Finding:
        """`code` is one of `mapping.codes`; `otherwise`: what to do where no suggestion says it."""
        if otherwise and suggestion is None:
            message = f"{message}; {otherwise}"
        return Finding(
            code=code,
            place=self.place(path, key=key),
            path=path_text(path),
            message=message,
            suggestion=suggestion,
            severity="note" if note else "warning" if warning else "error",
        )


class _GaveUp(Exception):
    pass


def read_file(path: FilePath) -> Source:
    try:
        raw = path.read_bytes()
    except OSError as error:
        source = Source(file=str(path))
        source.complain(
            (), f"cannot be read ({error.strerror or error}); correct its rights or its name", code="file-unreadable"
        )
        return source
    return read_text(raw, file=str(path))


def read_text(raw: bytes | str, *, file: str) -> Source:
    source = Source(file=file)
    if len(raw) > SIZE_MAX_BYTES:
        source.complain(
            (),
            f"is larger than {SIZE_MAX_BYTES // 1024} kB; a mapping is a few kB, so look what else is in it",
            code="file-too-large",
        )
        return source
    text = ""
    if isinstance(raw, bytes):
        raw = raw.removeprefix(BOM_UTF8)
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))
        _Walk(source, events).document()
    except UnicodeDecodeError as error:
        place = place_after(error.object[: error.start].decode(), file)
        utf16 = error.object.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        what = "is UTF-16, not UTF-8 text" if utf16 else f"is not UTF-8 text (byte {error.start})"
        source.findings.append(Finding(code="file-not-utf8", place=place, path="", message=f"{what}; save it as UTF-8"))
    except MarkedYAMLError as error:
        source.findings.append(not_yaml(error, file, text.splitlines()))
    except ReaderError as error:
        place = place_after(text[: error.position], file)
        message = f"a control character (number {error.character}); take it out, or write it as \\x… in double quotes"
        source.findings.append(Finding(code="character-control", place=place, path="", message=message))
    except YAMLError as error:
        source.complain((), f"not YAML: {' '.join(str(error).split())[:200]}", code="not-yaml")
    except _GaveUp:
        pass
    return source


class _Walk:
    def __init__(self, source: Source, events: Iterator[Any]) -> None:
        self._source = source
        self._events = events

    def document(self) -> None:
        event = next(self._events)
        while isinstance(event, (StreamStartEvent, DocumentStartEvent)):
            event = next(self._events)
        if isinstance(event, StreamEndEvent):
            self._source.complain(
                (), "is empty; write the mapping of one entity, or remove the file", code="file-empty"
            )
            return
        data = self._node(event, ())
        event = next(self._events)
        if isinstance(event, DocumentEndEvent):
            event = next(self._events)
        if not isinstance(event, StreamEndEvent):
            self._complain_at(event, (), "a second document; one entity is one file", code="second-document")
        self._source.data = data

    def _node(self, event: Any, path: Path) -> Any:
        self._source.values[path] = self._place(event)
        if len(path) > DEPTH_MAX:
            self._complain_at(
                event, path, f"is nested deeper than {DEPTH_MAX} levels; no part of a mapping is", code="too-deep"
            )
            raise _GaveUp
        bare = isinstance(event, ScalarEvent) and event.anchor and not event.value
        if isinstance(event, AliasEvent) or event.tag is not None or bare:
            self._source.refused.add(path)
        if isinstance(event, AliasEvent):
            self._complain_at(
                event,
                path,
                f"an alias (*{event.anchor}) is not allowed here; write the value out, or put quotes around a text "
                "that begins with *",
                code="alias-used",
            )
            return None
        if event.anchor:
            self._complain_at(
                event,
                path,
                f"an anchor (&{event.anchor}) is not allowed here; take it away, or put quotes around a text that "
                "begins with &",
                code="anchor-used",
            )
        if event.tag is not None:
            self._complain_at(
                event,
                path,
                f"a tag ({event.tag}) is not allowed here; write the plain value, or put quotes around a text that "
                "begins with !",
                code="tag-used",
            )
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, MappingStartEvent)
        return self._mapping(path)

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                self._complain_at(
                    event, path, "a key must be plain text; take the list or map away", code="key-not-text"
                )
                raise _GaveUp
            key = str(event.value)
            here = (*path, key)
            if event.anchor or event.tag is not None:
                self._complain_at(
                    event, here, "a key must be plain text; take its anchor or tag away", code="key-decorated"
                )
            if key in entries:
                first = self._source.keys[here].line
                self._complain_at(
                    event,
                    here,
                    f"duplicate key; the first one is on line {first}; keep one of them",
                    code="duplicate-key",
                )
                # Read over it: the first one stays, with its places.
                _Walk(Source(file=self._source.file), self._events)._node(next(self._events), here)
                continue
            self._source.keys[here] = self._place(event)
            entries[key] = self._node(next(self._events), here)
        return entries

    def _place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(file=self._source.file, line=mark.line + 1, column=mark.column + 1)

    def _complain_at(self, event: Any, path: Path, message: str, *, code: str) -> None:
        self._source.findings.append(
            Finding(code=code, place=self._place(event), path=path_text(path), message=message)
        )


def _scalar(event: ScalarEvent) -> Any:
    text = str(event.value)
    if event.style is not None or event.tag is not None:  # quoted, or literal: text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > DIGITS_MAX:
        return text  # no number that anybody means; and Python refuses to read one of thousands of digits
    if _INTEGER.fullmatch(text):
        # 0123 is a code, not a number
        return text if text.lstrip("+-").startswith("0") and text.lstrip("+-") != "0" else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
