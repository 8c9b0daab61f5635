"""What editors show of a setting: the reference's own words, laid over a schema that is sound without them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from crmbridge.model import ENTITIES

Meanings = Mapping[str, str]  # `guard.creates` -> what it means; NAME stands for a name of somebody's own

_ROW: Final = re.compile(r"^\| `([\w.]+)` \|(?:[^|\n]*\|)?? ([^|\n]+) \|$", re.MULTILINE)
_VALUE: Final = re.compile(r"(?:^|(?<= ))`([^`]+)`: ")  # `hold`: what it does
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")
# A choice that is a section of one key is told as it is written: `{when: EXPRESSION}`.
_SECTION: Final = re.compile(r"\{(\w+): [A-Z-]+\}")

# Sections, which the reference tells by a heading.
_SECTIONS: Final[Meanings] = {
    "connections": "exactly two: the left and the right system, by the names that the mappings have for them",
    "store": "where crmbridge remembers what it saw, linked and sent",
    "broker": "Redis or Valkey, for Celery on several machines",
    "guard": "how many of a kind one run may do without a person's yes; or `percent` of the pairs, if that is more",
    "schedules": "when each kind of record is due",
    "retention": "how long history is kept: days, or forever",
    "alerts": "who is told what, and when",
    "lifecycle": "what an event in one system does in the other",
    "lifecycle.convert": "conversions",
    "lifecycle.convert.create_by": "who makes what a conversion makes",
    "lifecycle.close": "opportunities that are won, lost or opened again",
    "lifecycle.move": "moves while a record is open, and new records",
    "lifecycle.remove": "deletions and merges",
    "lifecycle.scope": "what crosses by itself",
    "lifecycle.owner": "whether owners cross",
    **{f"lifecycle.{entity}": f"the same choices for one kind of record: {entity}" for entity in ENTITIES},
    "segments": "parts of the records with choices of their own; a record belongs to the first one that fits",
    "only": "a pilot: everything else is read and left alone",
}


def meanings(reference: str) -> Meanings:
    """Every key that docs/reference/settings.md has a row for, with what the row says last."""
    return {key: _LINK.sub(r"\1", said) for key, said in _ROW.findall(reference)}


def explained(schema: dict[str, Any], said: Meanings) -> None:
    """Gives each key of the schema its description, and each value of a choice its own."""
    _walk(schema, (), {**said, **_SECTIONS}, schema.get("$defs", {}), set())


def _walk(node: Any, way: tuple[str, ...], said: Meanings, defs: Mapping[str, Any], seen: set[str]) -> None:
    if not isinstance(node, dict):
        return
    name = str(node.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen:  # a part that several sections share is explained as the first of them
        seen.add(name)
        _walk(defs[name], way, said, defs, seen)
    words = _words(_meaning(way, said))
    if "enum" in node and words:
        node["markdownEnumDescriptions"] = [words.get(_written(value), "") for value in node["enum"]]
    for key, inner in node.get("properties", {}).items():
        meaning = _meaning((*way, key), said) or words.get(key)
        if meaning:
            inner.setdefault("description", _plain(meaning))
        _walk(inner, (*way, key), said, defs, seen)
    _walk(node.get("additionalProperties"), (*way, "NAME"), said, defs, seen)
    _walk(node.get("items"), way, said, defs, seen)
    for inner in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        _walk(inner, way, said, defs, seen)


def _meaning(way: tuple[str, ...], said: Meanings) -> str:
    return next((said[name] for name in _names(way) if name in said), "")


def _names(way: tuple[str, ...]) -> Iterable[str]:
    """Where a key of a segment, or of one kind of record, is told: as itself, or with the one for all."""
    yield ".".join(way)
    if way[:1] == ("segments",) and "lifecycle" in way:
        way = way[way.index("lifecycle") :]
        yield ".".join(way)
    if len(way) > 2 and way[1] in ENTITIES:
        yield ".".join((way[0], *way[2:]))


def _words(meaning: str) -> dict[str, str]:
    """`hold` -> `held`, of `what happened. `hold`: held`; of a section by its key."""
    _, *parts = _VALUE.split(meaning)
    return {
        _SECTION.sub(r"\1", value): text.strip().rstrip(".")
        for value, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _written(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _plain(meaning: str) -> str:
    """One line for each value; editors show this as it is."""
    return _VALUE.sub(lambda value: f"\n{value[1]}: ", meaning).replace("`", "").replace(" \n", "\n")
