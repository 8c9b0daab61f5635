"""The choices of `crmbridge.yaml` with their expressions compiled over the mapping's fields: settings -> Policies."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import mapping
from crmbridge.errors import ConfigError
from crmbridge.model import Entity, Problem, Shared, State
from crmbridge.policy import CANNOT_TELL, DEFAULT, Fits, Overlay, Policies, ReadAs, Segment, When, laid_over
from crmbridge.settings import Settings
from crmbridge.settings.options import Options
from crmbridge.settings.profile import read_with_profile
from mapping.cel import EvaluationError, ExpressionError, blank_troubles, compile_expression, predicate
from mapping.field_check import CORRECT_IT
from mapping.problem import closest

# What an expression may ask besides the fields of the mapping.
STANDING: Final[Mapping[str, str]] = {"state": "text", "status": "text"}

# What an option of this name is about, whatever segment it stands in.
_ABOUT: Final[Mapping[tuple[str, str], frozenset[Entity]]] = {
    ("convert", "mirror"): frozenset({"lead"}),
    ("scope", "account"): frozenset({"account"}),
    ("scope", "contact"): frozenset({"contact"}),
}

_Holds = Callable[[Mapping[str, Any]], bool]


def policies(settings: Settings, compiled: "mapping.Compiled") -> Policies:
    """Raises ConfigError for expressions that no mapping can answer."""
    names: dict[Entity, Mapping[str, str]] = {entity: _names(one) for entity, one in compiled.entities.items()}
    lead = compiled.entities.get("lead")
    made, problems = _read(settings, names, lead.status_rows() if lead is not None else {})
    if problems:
        count = len(problems)
        raise ConfigError(
            f"{settings.path.name} has {'a problem' if count == 1 else f'{count} problems'}.",
            problems=problems,
            fix="Correct what is named; nothing was started.",
        )
    return made


def choice_problems(settings: Settings, documents: "Iterable[mapping.Document]") -> tuple[str, ...]:
    """The same of mappings that have errors of their own: of their fields no more than the names need be right."""
    names: dict[Entity, Mapping[str, str]] = {}
    rows: dict[str, State] = {}
    for document in documents:
        fields = document.source.data.get("fields")
        given = dict.fromkeys(map(str, fields), "any") if isinstance(fields, Mapping) else {}
        kinds = {doc.name: doc.convert for doc in document.fields.values()}
        names[document.entity] = {**given, **kinds, **STANDING}
        rows |= {row.name: row.state for row in document.status} if document.entity == "lead" else {}
    return _read(settings, names, rows)[1]


def _read(
    settings: Settings, names: Mapping[Entity, Mapping[str, str]], rows: Mapping[str, State]
) -> tuple[Policies, tuple[str, ...]]:
    """`names`: fields with their kinds; `rows`: of the lead's status table. With what is wrong."""
    problems: list[str] = []
    chosen = settings.options
    expressions: dict[str, Fits] = {}
    for where, entities, text in _whens(settings):
        fits = _compiled(text, entities, names, where, problems)
        if fits is not None:
            expressions[text] = fits
    segments: list[Segment] = []
    for one in settings.segments:
        where = f"{one.place}: segments.{one.name}.when"
        fits = None if one.when is None else _compiled(one.when, one.entities, names, where, problems)
        segments.append(
            Segment(
                name=one.name,
                entities=one.entities,
                fits=fits,
                overlay=one.options.overlay,
                by_entity=one.options.by_entity,
                master=one.master,
            )
        )
    problems.extend(_unreadable_as(settings, rows))
    base = laid_over(DEFAULT, chosen.overlay)
    made = Policies(base=base, by_entity=chosen.by_entity, segments=tuple(segments), expressions=expressions)
    return made, tuple(_located(settings, problems))


def _problem(said: str, *, code: str) -> str:
    """As the settings' own problems end: with a code of `mapping.codes`."""
    return f"{said} [{code}]"


_SAID: Final = re.compile(r".+?: (?P<path>(?:lifecycle|segments)\.[^:\s]+): (?P<message>.*)", re.DOTALL)


def _located(settings: Settings, problems: Iterable[str]) -> Iterator[str]:
    """Each problem with the line of what it names; where the environment said it, there is none in the file."""
    source = read_with_profile(settings.path, settings.profile)
    for problem in problems:
        said = _SAID.fullmatch(problem)
        assert said is not None, problem
        place = source.place(tuple(said["path"].split(".")))
        yield f"{place}: {said['path']}: {said['message']}"


def _unreadable_as(settings: Settings, rows: Mapping[str, State]) -> Iterator[str]:
    """`contradiction: {as: ROW}`: a lead can be read as a row that is open or disqualified, and as no other (L6)."""
    fitting = [row for row, state in rows.items() if state in ("open", "disqualified")]
    for where, overlay in _overlays(settings):
        choice = overlay.get("convert", {}).get("contradiction")
        if isinstance(choice, ReadAs) and choice.row not in fitting:
            near = closest(choice.row, fitting)
            meant = f"; did you mean {near!r}?" if near else ""
            known = f"a row of the lead's status table that is open or disqualified ({', '.join(fitting)})"
            said = f"{where}.convert.contradiction.as: {choice.row!r} must be {known}{meant}"
            yield _problem(said, code="read-as-unknown")


def _overlays(settings: Settings) -> Iterator[tuple[str, Overlay]]:
    """All options that stand in the settings, with the place of their section."""
    parts = [(f"{settings.path.name}: lifecycle", settings.options)]
    parts += [(f"{one.place}: segments.{one.name}.lifecycle", one.options) for one in settings.segments]
    for where, options in parts:
        yield where, options.overlay
        yield from ((f"{where}.{entity}", overlay) for entity, overlay in options.by_entity.items())


def _names(one: "mapping.CompiledEntity") -> Mapping[str, str]:
    return {**{rule.name: rule.kind for rule in one.rules}, **STANDING}


def _whens(settings: Settings) -> Iterator[tuple[str, frozenset[Entity] | None, str]]:
    """Every `{when: …}`: where it stands, for which kinds of records, its text."""
    yield from _options_whens(settings.options, f"{settings.path.name}: lifecycle", None)
    for one in settings.segments:
        yield from _options_whens(one.options, f"{one.place}: segments.{one.name}.lifecycle", one.entities)


def _options_whens(
    options: Options, where: str, entities: frozenset[Entity] | None
) -> Iterator[tuple[str, frozenset[Entity] | None, str]]:
    yield from _overlay_whens(options.overlay, where, entities)
    for entity, overlay in options.by_entity.items():
        yield from _overlay_whens(overlay, f"{where}.{entity}", frozenset({entity}))


def _overlay_whens(
    overlay: Overlay, where: str, entities: frozenset[Entity] | None
) -> Iterator[tuple[str, frozenset[Entity] | None, str]]:
    for group, options in overlay.items():
        for name, choice in options.items() if isinstance(options, Mapping) else ():
            if isinstance(choice, When):
                yield f"{where}.{group}.{name}", _ABOUT.get((group, name), entities), choice.when


def _compiled(
    text: str,
    entities: frozenset[Entity] | None,
    names: Mapping[Entity, Mapping[str, str]],
    where: str,
    problems: list[str],
) -> Fits | None:
    """For the kinds of records that are named; if none is, for those whose mapping has the fields that are asked."""
    holds: dict[Entity, _Holds] = {}
    troubles: list[str] = []
    for entity, known in names.items():
        if entities is not None and entity not in entities:
            continue
        try:
            holds[entity] = predicate(text, known)
        except ExpressionError as error:
            meant = f"did you mean {error.suggestion!r}?" if error.suggestion else CORRECT_IT
            said = f"{where}: for {entity} records: {error.message}; {meant}"
            troubles.append(_problem(said, code="segment-expression"))
            continue
        for name in blank_troubles(compile_expression(text, known), known):
            said = f"{where}: fails where {name} is blank; write `{name} != null && …` before it"
            problem = _problem(said, code="segment-blank")
            if problem not in problems:  # as of another kind of records
                problems.append(problem)
    if troubles and (entities is not None or not holds):
        problems.extend(troubles if entities is not None else troubles[:1])
        return None

    file, path = where.split(": ", 1)

    def fits(entity: Entity, shared: Shared) -> bool | Problem:
        asked = holds.get(entity)
        if asked is None:
            return False
        try:
            return asked({**shared.fields, "state": shared.state, "status": shared.status})
        except EvaluationError as error:
            return Problem(
                cause=CANNOT_TELL,
                field=path,
                message=f"What was chosen for this record cannot be told: {path} fails: {error}.",
                fix=f"Say in the expression ({file}) what a blank means, e.g. `amount != null && amount > 1000`, or "
                "correct the value.",
            )

    return fits
