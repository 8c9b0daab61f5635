"""The JSON Schema of `lifecycle:` and `segments:`, made of the choices that `crmbridge.policy` knows."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, get_type_hints

from crmbridge.model import ENTITIES, Entity
from crmbridge.policy import FOR_KINDS, ONLY_FOR, Policy, Way
from crmbridge.settings.options import OWN, alternatives

_DAY: Final = {"type": "string", "description": "a day or an instant, such as 2026-11-30 or 2026-11-30T08:00:00Z"}
_CONNECTION: Final = {"type": "string", "description": "a connection's name"}
_DELETE: Final = "delete"


def lifecycle_schema() -> dict[str, Any]:
    return _section({**_choices(), "mirror_since": {"type": "string"}})


def segments_schema() -> dict[str, Any]:
    master = {"first": _CONNECTION, "cut_over": _DAY, "then": _CONNECTION}
    entity = {"enum": list(ENTITIES)}
    keys = {
        "entities": {"anyOf": [entity, {"type": "array", "items": entity}]},
        "when": {"type": "string"},
        "master": {"anyOf": [_CONNECTION, _section(master)]},
        "lifecycle": _section(_choices()),
    }
    return {"type": ["object", "null"], "additionalProperties": _section(keys)}


def _choices() -> dict[str, Any]:
    """Groups of options for all records, and the same for one kind of them, without what means nothing there."""
    return {
        **_group(Policy, None, ()),
        **{entity: _section(_group(Policy, entity, ())) for entity in ENTITIES},
    }


def _group(kind: type, entity: Entity | None, way: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        here = (*way, name)
        if (not way and name in OWN) or not _is_for(entity, here):
            continue
        if is_dataclass(hint):
            inner = _group(hint, entity, here)  # pyright: ignore[reportArgumentType] -- a class, by its hint
            found |= {name: _section(inner)} if inner else {}
        else:
            found[name] = _option(kind, name, hint, entity)
    return found


def _is_for(entity: Entity | None, way: tuple[str, ...]) -> bool:
    if entity is None or len(way) == 1:
        return True
    meant = FOR_KINDS.get((way[0], way[-1]), FOR_KINDS.get((way[0], None)))
    return meant is None or entity in meant


def _option(kind: type, name: str, hint: Any, entity: Entity | None) -> dict[str, Any]:
    if hint == Way:
        return {"type": "string"}  # a connection's name too
    words, sections = alternatives(hint)
    if not words:
        return _section({}, more={"type": "string", "description": "who gets it there: a user's e-mail address"})
    if name == _DELETE and entity is not None:
        words = [word for word in words if entity in ONLY_FOR.get(word, ENTITIES)]
    one: dict[str, Any] = {"enum": [*words, *((True, False) if "yes" in words else ())]}
    default = next((each.default for each in fields(kind) if each.name == name), None)
    said = {"default": default} if default in words else {}
    others = [{**_section({key: {"type": "string"}}), "required": [key]} for key in sections]
    return {"anyOf": [one, *others], **said} if others else {**one, **said}


def _section(keys: Mapping[str, Any], more: object = False) -> dict[str, Any]:
    """It may stand there with all of its keys commented out."""
    return {"type": ["object", "null"], "properties": dict(keys), "additionalProperties": more}
