"""What `check` doubts in the segments and choices of crmbridge.yaml: all of it works, and is probably not meant."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crmbridge.model import ENTITIES, Entity
from crmbridge.policy import Policies, Policy, laid_over
from crmbridge.segments import policies
from crmbridge.settings.profile import read_with_profile
from mapping.cel import ExpressionError, compile_expression, predicate
from mapping.doubts import Never, nevers
from mapping.problem import Finding, Path
from mapping.source import Source

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from mapping import Compiled, Documents

# What an option of this name is about, wherever it stands.
_ABOUT: Mapping[tuple[str, str], Entity] = {
    ("convert", "mirror"): "lead",
    ("scope", "account"): "account",
    ("scope", "contact"): "contact",
}
# Options with the choice `person_account`, and whose they are.
_PERSONS: Mapping[tuple[str, str], Entity] = {
    ("convert", "contact_only"): "lead",
    ("close", "contact_customer"): "opportunity",
}


def segment_doubts(settings: "Settings", documents: "Documents", compiled: "Compiled", now: datetime) -> list[Finding]:
    """Warnings and notes at their lines; what the environment says has no line and is left out. Needs settings whose
    expressions are right (`crmbridge.segments.policies`)."""
    source = read_with_profile(settings.path, settings.profile)
    kinds: dict[str, tuple[Entity, ...]] = {
        one.name: tuple(entity for entity in ENTITIES if one.entities is None or entity in one.entities)
        for one in settings.segments
    }
    return [
        *_unreached(settings, source, compiled, kinds),
        *_covered(settings, source, kinds),
        *_masters(settings, source, now),
        *_nevers(source, documents, compiled, kinds),
        *_one_sided(settings, source, documents, compiled, kinds),
        *_idle(source, compiled, policies(settings, compiled)),
    ]


def _names(compiled: "Compiled", entity: Entity) -> dict[str, str]:
    """What an expression may ask of this kind of record."""
    one = compiled.entities[entity]
    return {**{rule.name: rule.kind for rule in one.rules}, "state": "text", "status": "text"}


def _answers(compiled: "Compiled", entity: Entity, text: str) -> str | None:
    """Why this kind of record cannot answer the expression; None where it can."""
    if entity not in compiled.entities:
        return "there is no mapping of it"
    try:
        predicate(text, _names(compiled, entity))
    except ExpressionError as error:
        return error.message
    return None


def _unreached(
    settings: "Settings", source: Source, compiled: "Compiled", kinds: Mapping[str, tuple[Entity, ...]]
) -> Iterator[Finding]:
    """Without `entities:` a segment is about the kinds that can answer; a migration's lead means all of them."""
    for one in settings.segments:
        if one.when is None or one.entities is not None:
            continue
        silent = {entity: why for entity in kinds[one.name] if (why := _answers(compiled, entity, one.when))}
        able = [entity for entity in kinds[one.name] if entity not in silent]
        for entity, why in silent.items():
            yield source.finding(
                ("segments", one.name, "when"),
                f"no {entity} belongs to this segment, whatever it says: {why}; map the field in {entity}.yaml too, "
                f"or say which kinds are meant: `entities: [{', '.join(able)}]`",
                code="segment-kinds",
                warning=True,
            )


def _covered(settings: "Settings", source: Source, kinds: Mapping[str, tuple[Entity, ...]]) -> Iterator[Finding]:
    """A record belongs to the first segment that fits."""
    taken: dict[Entity, str] = {}
    for one in settings.segments:
        mine = kinds[one.name]
        if mine and all(entity in taken for entity in mine):
            yield source.finding(
                ("segments", one.name),
                f"no record comes here: {taken[mine[0]]!r} stands before it and takes all of them; move it up, or give "
                f"{taken[mine[0]]!r} a `when:`",
                code="segment-covered",
                key=True,
                warning=True,
            )
        if one.when is None:
            for entity in mine:
                taken.setdefault(entity, one.name)


def _masters(settings: "Settings", source: Source, now: datetime) -> Iterator[Finding]:
    for one in settings.segments:
        master = one.master
        if master is None or master.cut_over is None or master.then is None:
            continue
        path: Path = ("segments", one.name, "master", "cut_over")
        if master.first == master.then:
            yield source.finding(
                path,
                "the same connection is master before and after that day; name the other one in `then`, or write "
                "`master:` with its name alone",
                code="cut-over-idle",
                warning=True,
            )
        elif master.cut_over <= now:
            yield source.finding(
                path,
                f"that day has come, so the master is the one named in `then` since {master.cut_over:%Y-%m-%d}; "
                "correct it if another day was meant",
                code="cut-over-past",
                note=True,
            )


def _nevers(
    source: Source, documents: "Documents", compiled: "Compiled", kinds: Mapping[str, tuple[Entity, ...]]
) -> Iterator[Finding]:
    for path, text in _whens(source.data, ()):
        for never in _never_of_any(documents, compiled, _entities(path, kinds), text):
            yield source.finding(
                path,
                never.message,
                code="value-never",
                suggestion=never.instead,
                otherwise=never.otherwise,
                warning=True,
            )


def _never_of_any(
    documents: "Documents", compiled: "Compiled", entities: tuple[Entity, ...], text: str
) -> Iterator[Never]:
    """What no kind of record ever is; `state == "won"` may be asked of leads as well."""
    found = [
        {(never.field, never.text): never for never in nevers(document, text)}
        for document in documents
        if document.entity in entities and _answers(compiled, document.entity, text) is None
    ]
    for key, never in found[0].items() if found else ():
        if all(key in one for one in found):
            yield never


def _whens(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    """All `when:` below `segments` and `lifecycle`."""
    if not isinstance(data, Mapping):
        return
    part: Any
    for key, part in data.items():
        here = (*path, str(key))
        if here[0] not in ("segments", "lifecycle"):
            continue
        if key == "when" and isinstance(part, str):
            yield here, part
        else:
            yield from _whens(part, here)


def _entities(path: Path, kinds: Mapping[str, tuple[Entity, ...]]) -> tuple[Entity, ...]:
    """The kinds of records that an expression at this place is asked of."""
    words = [str(part) for part in path]
    about = _ABOUT.get((words[-3], words[-2])) if len(words) > 2 else None
    if about is not None:
        return (about,)
    in_segment = words[0] == "segments"
    mine = kinds.get(words[1], ENTITIES) if in_segment else ENTITIES
    under = words[2:] if in_segment else words[1:]  # a segment may be called as a kind of record is
    return tuple(entity for entity in ENTITIES if entity in under) or mine


def _one_sided(
    settings: "Settings",
    source: Source,
    documents: "Documents",
    compiled: "Compiled",
    kinds: Mapping[str, tuple[Entity, ...]],
) -> Iterator[Finding]:
    """Of a pair it is the left side's record that is asked; what that one does not have is blank."""
    for one in settings.segments:
        for document in documents:
            entity = document.entity
            if one.when is None or entity not in kinds[one.name] or _answers(compiled, entity, one.when) is not None:
                continue
            first, second = document.names["left"], document.names["right"]
            fields = compile_expression(one.when, _names(compiled, entity)).fields & document.fields.keys()
            for name in sorted(name for name in fields if "right" in document.fields[name].columns):
                if "left" not in document.fields[name].columns:
                    yield source.finding(
                        ("segments", one.name, "when"),
                        f"{name} has no column in {first}, and of two {entity} records that belong together the one in "
                        f"{first} is asked, where it is always blank; give it a column there, or let {second} be the "
                        "first of the two connections",
                        code="segment-one-sided",
                        warning=True,
                    )


def _idle(source: Source, compiled: "Compiled", chosen: Policies) -> Iterator[Finding]:
    """Options that another one must stand beside."""
    for path, value in _options(source.data, ()):
        group, name = (str(part) for part in path[-2:])
        entity = _PERSONS.get((group, name))
        if entity is not None and value == "person_account":
            every = _in_force(chosen, path, entity)
            if not any(getattr(getattr(one, group), name) == value and _persons_on(one) for one in every):
                yield source.finding(
                    path,
                    "does nothing while person accounts are left alone; add `convert: {person_accounts: on}`, or take "
                    "this out",
                    code="option-idle",
                    warning=True,
                )
        if (group, name) == ("move", "inactive") and value != "both":
            words = [str(part) for part in path]
            able: tuple[Entity, ...] = ("account", "contact")
            named: tuple[Entity, ...] = tuple(entity for entity in able if entity in words) or able
            mine = [compiled.entities[entity] for entity in named if entity in compiled.entities]
            if not any(rule.inactive for one in mine for rule in one.rules):
                files = " or ".join(f"{entity}.yaml" for entity in named)
                yield source.finding(
                    path,
                    f"does nothing: no mapping says where it stands; add `inactive:` to {files}, or take this out",
                    code="option-idle",
                    warning=True,
                )


def _persons_on(policy: Policy) -> bool:
    return policy.convert.person_accounts == "on"


def _in_force(chosen: Policies, path: Path, entity: Entity) -> list[Policy]:
    """What an option at this place is laid over, and what is laid over it."""
    if path[0] == "lifecycle":
        return chosen.every(entity)
    one = next(one for one in chosen.segments if one.name == path[1])
    return [laid_over(laid_over(chosen.of(entity), one.overlay), one.by_entity.get(entity, {}))]


def _options(data: object, path: Path) -> Iterator[tuple[Path, object]]:
    """All single choices below `segments` and `lifecycle`."""
    if isinstance(data, Mapping):
        part: Any
        for key, part in data.items():
            here = (*path, str(key))
            if here[0] in ("segments", "lifecycle"):
                yield from _options(part, here)
    elif len(path) > 2:
        yield path, data
