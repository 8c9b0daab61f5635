"""YAML files that people write: read, and where in them a mistake stands."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

_COMPILED: Final = find_spec("_ruamel_yaml") is not None  # ruamel.yaml.clib: libyaml
_DEEP: Final = 200  # levels of collections in each other
# What libyaml reads otherwise, being of YAML 1.1: tabs, line ends that YAML 1.2 took back, and tags.
_OTHERWISE: Final = re.compile(r"[\t\x85\u2028\u2029]|(?<![^\s,\[{])!")


class UnreadableFile(ValueError):
    """A file that cannot be read; the message begins with its name, line and column."""


def read_yaml(path: Path) -> Any:
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise UnreadableFile(f"{path} cannot be read: byte {problem.start + 1} is not UTF-8") from problem
    except OSError as problem:
        raise UnreadableFile(f"{path} cannot be read: {problem.strerror}") from problem
    try:
        return _load(content)
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise UnreadableFile(f"{path}{where}: cannot be read: {problem.problem or problem.context}") from problem
    except YAMLError as problem:
        raise UnreadableFile(f"{path} cannot be read: {' '.join(str(problem).split())}") from problem
    except (ValueError, RecursionError) as problem:  # a day that no calendar has, a number of ten thousand digits
        raise UnreadableFile(f"{path} cannot be read: {problem}") from problem


def _load(content: str) -> Any:
    """The value of a YAML 1.2 text. libyaml is five times as quick; whatever it refuses the other reads, and words."""
    if _COMPILED and not _OTHERWISE.search(content):
        with suppress(YAMLError, ValueError):
            if not _deep(content):  # by the ten thousand levels it would end the process
                return YAML(typ="safe").load(content)
    return YAML(typ="safe", pure=True).load(content)


def _deep(content: str) -> bool:
    events = YAML(typ="safe").parse(content)
    steps = (isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent) for event in events)
    return any(depth > _DEEP for depth in accumulate(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """What a file has of a place: the deepest part of it that is there."""

    label: Node  # the key that the part stands under, or the part itself
    value: Node
    whole: bool  # the file has all of the place

    @property
    def mark(self) -> tuple[int, int]:
        """Line and column."""
        return self.label.start_mark.line + 1, self.label.start_mark.column + 1


def spot_of(content: str, place: Sequence[str | int]) -> Spot | None:
    """Where a place is in a YAML text; None in an empty one. Only mistakes pay for this reading."""
    node: Any = YAML().compose(content)  # pyright: ignore[reportUnknownMemberType]
    if node is None:
        return None
    label: Node = node
    for step in place:
        if isinstance(node, MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            pair = node.value[step], node.value[step]
        else:
            pair = None
        if pair is None:
            return Spot(label=label, value=node, whole=False)
        label, node = pair
    return Spot(label=label, value=node, whole=True)
