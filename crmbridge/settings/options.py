"""The options of `lifecycle:` as an admin writes them, checked against the words that `crmbridge.policy` knows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from crmbridge.model import ENTITIES, SIDES, Entity, Side
from crmbridge.policy import FOR_KINDS, ONLY_FOR, Bucket, Master, Overlay, Owner, Policy, ReadAs, Way, When
from mapping.problem import Path, closest

# A choice that is a section with one key: what it is written as, and what is made of it.
_SECTIONS: Final[Mapping[type, tuple[str, Callable[[str], Any]]]] = {
    When: ("when", lambda text: When(when=text)),
    Bucket: ("bucket", lambda text: Bucket(bucket=text)),
    ReadAs: ("as", lambda text: ReadAs(row=text)),
}
# Groups and options of `Policy` that nobody writes: they come out of a segment.
OWN: Final = frozenset({"master", "segment", "undecided"})

Say = Callable[..., None]  # (way, message, suggestion=, key=)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What stands under `lifecycle:`: for all records, and for one kind of them."""

    overlay: Overlay = field(default_factory=dict)
    by_entity: Mapping[Entity, Overlay] = field(default_factory=dict)
    fallback: Mapping[Side, str] = field(default_factory=dict)  # who gets a record whose owner has no user there


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSection:
    """One entry of `segments:`; `when` is still text."""

    name: str
    place: str  # file:line:column, for what is found out later
    entities: frozenset[Entity] | None
    when: str | None
    options: Options
    master: Master | None


def read_options(given: Mapping[str, Any], way: Path, sides: Mapping[str, Side], say: Say) -> Options:
    """The options of a `lifecycle:` section, without `mirror_since`; what is wrong is said and left out."""
    words = [*_groups(), *ENTITIES]
    overlay: dict[str, Any] = {}
    by_entity: dict[Entity, Overlay] = {}
    fallback: dict[Side, str] = {}
    for name, value in given.items():
        if name == "owner" and way == ("lifecycle",) and isinstance(value, Mapping) and "fallback" in value:
            fallback = dict(_fallback(value["fallback"], (*way, name, "fallback"), sides, say))
            value = {key: one for key, one in value.items() if key != "fallback"}
        if name in ENTITIES:
            if isinstance(value, Mapping):
                by_entity[name] = dict(_group(value, (*way, name), Policy, sides, say))
            elif value is not None:
                say((*way, name), f"must be a section with keys such as {words[0]}", code="setting-not-section")
        elif name not in words:
            say((*way, name), "unknown key", suggestion=closest(name, words), key=True, code="setting-unknown")
        else:
            overlay |= dict(_group({name: value}, way, Policy, sides, say))
    return Options(overlay=overlay, by_entity=by_entity, fallback=fallback)


def _fallback(given: Any, way: Path, sides: Mapping[str, Side], say: Say) -> Iterator[tuple[Side, str]]:
    if not isinstance(given, Mapping):
        say(way, f"must be a section with keys such as {next(iter(sides), 'a connection')}", code="setting-not-section")
        return
    for name, email in given.items():
        if name not in sides:
            say((*way, name), "unknown key", suggestion=closest(name, sides), key=True, code="setting-unknown")
        elif not isinstance(email, str) or "@" not in email:
            say((*way, name), "must be the e-mail address of a user there", code="fallback-not-email")
        else:
            yield sides[name], email


def read_segments(
    given: Any, sides: Mapping[str, Side], say: Say, place: Callable[[Path], str]
) -> tuple[SegmentSection, ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        say(("segments",), "must be a section with one key for each segment", code="setting-not-section")
        return ()
    return tuple(
        _segment(str(name), body, sides, say, place(("segments", str(name), "when")))
        for name, body in given.items()
        if _is_section(name, body, say)
    )


def _is_section(name: object, body: object, say: Say) -> bool:
    if isinstance(body, Mapping):
        return True
    say(
        ("segments", str(name)),
        "must be a section with keys such as when, master, lifecycle",
        code="setting-not-section",
    )
    return False


def _segment(name: str, body: Mapping[str, Any], sides: Mapping[str, Side], say: Say, place: str) -> SegmentSection:
    way: Path = ("segments", name)
    known = ("entities", "when", "master", "lifecycle")
    for key in body:
        if key not in known:
            say((*way, key), "unknown key", suggestion=closest(key, known), key=True, code="setting-unknown")
    when = body.get("when")
    if when is not None and not (isinstance(when, str) and when.strip()):
        say((*way, "when"), "must be an expression, such as 'country == \"DE\"'", code="segment-when")
        when = None
    options = body.get("lifecycle")
    if options is not None and not isinstance(options, Mapping):
        say((*way, "lifecycle"), f"must be a section with keys such as {_groups()[0]}", code="setting-not-section")
        options = None
    return SegmentSection(
        name=name,
        place=place,
        entities=_entities(body.get("entities"), (*way, "entities"), say),
        when=when,
        options=read_options(options or {}, (*way, "lifecycle"), sides, say),
        master=_master(body.get("master"), (*way, "master"), sides, say),
    )


def _entities(given: Any, way: Path, say: Say) -> frozenset[Entity] | None:
    if given is None:
        return None
    items: Iterable[Any] = given if isinstance(given, list) else [given]
    for item in items:
        if item not in ENTITIES:
            say(
                way,
                f"must be a list of {', '.join(ENTITIES)}",
                suggestion=closest(item, ENTITIES),
                code="segment-entities",
            )
    return frozenset(item for item in items if item in ENTITIES)


def _master(given: Any, way: Path, sides: Mapping[str, Side], say: Say) -> Master | None:
    """A connection's name, or `{first: NAME, cut_over: DAY, then: NAME}`; a day begins at midnight UTC."""
    if given is None:
        return None
    names = ", ".join(sides)
    body: Mapping[str, Any] = given if isinstance(given, Mapping) else {"first": given}
    for key in body:
        if key not in ("first", "cut_over", "then"):
            say(
                (*way, key),
                "unknown key",
                suggestion=closest(key, ("first", "cut_over", "then")),
                key=True,
                code="setting-unknown",
            )
    for key in ("first", "then"):
        if key in body and body[key] not in sides:
            place = (*way, key) if isinstance(given, Mapping) else way
            say(place, f"must be one of {names}", suggestion=closest(body[key], sides), code="master-unknown")
    if ("cut_over" in body) != ("then" in body) or "first" not in body:
        say(way, f"needs first, cut_over and then together, or one name alone ({names})", code="master-incomplete")
    day = _instant(body["cut_over"]) if "cut_over" in body else None
    if "cut_over" in body and day is None:
        say(
            (*way, "cut_over"),
            "must be a day or an instant, such as 2026-11-30 or 2026-11-30T08:00:00Z",
            code="cut-over-not-day",
        )
    if body.get("first") not in sides:
        return None
    then = body.get("then")
    return Master(first=sides[body["first"]], cut_over=day, then=sides.get(then) if isinstance(then, str) else None)


def _instant(given: Any) -> datetime | None:
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            return None
    if isinstance(given, datetime):
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    return datetime.combine(given, time(), UTC) if isinstance(given, date) else None


def _groups() -> list[str]:
    return [one.name for one in fields(Policy) if one.name not in OWN]


def _group(
    given: Mapping[str, Any], way: Path, kind: type, sides: Mapping[str, Side], say: Say
) -> Iterator[tuple[str, Any]]:
    """The options of one dataclass of the policy, each with its checked value."""
    types = {name: hint for name, hint in get_type_hints(kind).items() if kind is not Policy or name not in OWN}
    for name, value in given.items():
        here: Path = (*way, name)
        if name not in types:
            say(here, "unknown key", suggestion=closest(name, types), key=True, code="setting-unknown")
        elif kind is Owner and name == "fallback":
            yield name, dict(_fallback(value, here, sides, say))
        elif is_dataclass(types[name]):
            if isinstance(value, Mapping):
                yield name, dict(_group(value, here, types[name], sides, say))  # pyright: ignore[reportArgumentType]
            elif value is not None:
                keys = ", ".join(one.name for one in fields(types[name]))
                say(here, f"must be a section with keys such as {keys}", code="setting-not-section")
        else:
            yield from _choice(name, value, here, types[name], sides, say)


def _choice(
    name: str, value: Any, way: Path, kind: Any, sides: Mapping[str, Side], say: Say
) -> Iterator[tuple[str, Any]]:
    words, sections = alternatives(kind)
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if kind == Way and isinstance(value, str):
        words = ["both", "off", *sides]
        found: Any = sides.get(value, value) if value in words else None
    elif isinstance(value, str):
        found = value if value in words else None
    else:
        found = next((make(value[key]) for key, make in sections.items() if _is_one(value, key)), None)
    if found is None:
        listed = ", ".join([*words, *(f"{{{key}: …}}" for key in sections)])
        say(
            way,
            f"must be one of {listed}",
            suggestion=closest(value, words) if isinstance(value, str) else None,
            code="choice-unknown",
        )
    elif (wrong := _not_for(name, found, way)) is not None:
        say(way, wrong, code="choice-misplaced")
    else:
        yield name, found


def _not_for(name: str, found: Any, way: Path) -> str | None:
    """An option, or a choice of it, under a kind of record that it has no meaning for: it would do nothing there."""
    within = way[1:] if way[0] == "lifecycle" else way[3:]  # segments.NAME.lifecycle
    entity, option = str(within[0]), ".".join(str(part) for part in within[1:])
    if entity not in ENTITIES:
        return None
    group = str(within[1])
    meant = FOR_KINDS.get((group, str(within[-1])), FOR_KINDS.get((group, None)))
    if meant is None and name == "delete" and isinstance(found, str):
        meant, option = ONLY_FOR.get(found), found
    return None if meant is None or entity in meant else f"{option} is for {' and '.join(sorted(meant))} records"


def _is_one(value: Any, key: str) -> bool:
    return isinstance(value, Mapping) and list(value) == [key] and isinstance(value[key], str) and bool(value[key])


def alternatives(kind: Any) -> tuple[list[str], Mapping[str, Callable[[str], Any]]]:
    """The words of an option, and by key the sections that may stand instead of a word."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    words = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
    return words, dict(_SECTIONS[member] for member in members if member in _SECTIONS)


def sides_of(connections: Iterable[str]) -> dict[str, Side]:
    return dict(zip(connections, SIDES, strict=False))
