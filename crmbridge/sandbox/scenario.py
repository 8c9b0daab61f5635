"""A fault scenario: rules, a seed for their chance, and how far the two clocks are apart; from a file or a request.

    seed: 7
    skew: {dynamics: -12}
    faults:
      - {crm: dynamics, table: lead, kind: update, fault: throttled, rate: 0.05}
      - {crm: salesforce, kind: convertLead, fault: timeout_after_commit, at: [3], seconds: 20}
      - {fault: unavailable, burst: {length: 10, every: 200}}

A mistake in a file is told with its line and column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

from crmbridge.sandbox.core import Crm
from crmbridge.sandbox.faults import BadRule, parse_rule

KEYS: Final = ("seed", "skew", "faults")
SKEW_SECONDS_MAX: Final = 86_400.0

Place = tuple[str | int, ...]


class ScenarioError(ValueError):
    """A scenario that cannot be understood; `place` leads to the mistake."""

    def __init__(self, message: str, place: Place = ()) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    rules: tuple[Mapping[str, Any], ...] = ()
    seed: int | None = None
    skew: Mapping[Crm, float] = field(default_factory=dict[Crm, float])  # seconds that a CRM's clock is ahead


def parse_scenario(document: Any) -> Scenario:
    """Check a scenario given as data."""
    if not isinstance(document, dict):
        raise ScenarioError(f"a mapping with {', '.join(KEYS)} is expected")
    for key in document:
        if key not in KEYS:
            raise ScenarioError(f"unknown key {key!r}; there are: {', '.join(KEYS)}", (key,))
    seed: Any = document.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ScenarioError("seed: a whole number is expected", ("seed",))
    rules: Any = document.get("faults") or []
    if not isinstance(rules, list):
        raise ScenarioError("faults: a list of rules is expected", ("faults",))
    for at, rule in enumerate(rules):
        if not isinstance(rule, dict):
            raise ScenarioError("a rule is a mapping, for instance {fault: throttled, rate: 0.05}", ("faults", at))
        try:
            parse_rule(rule)
        except BadRule as problem:
            raise ScenarioError(str(problem), ("faults", at, *problem.key.split("."))) from None
    return Scenario(rules=tuple(rules), seed=seed, skew=_skew(document.get("skew")))


def _skew(given: Any) -> dict[Crm, float]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ScenarioError("skew: seconds by CRM are expected, for instance {dynamics: -12}", ("skew",))
    found: dict[Crm, float] = {}
    for crm, seconds in given.items():
        if crm not in get_args(Crm):
            raise ScenarioError(f"skew.{crm}: one of {', '.join(get_args(Crm))} is expected", ("skew", crm))
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or abs(seconds) > SKEW_SECONDS_MAX:
            raise ScenarioError(f"skew.{crm}: seconds up to {SKEW_SECONDS_MAX:g} are expected", ("skew", crm))
        found[crm] = float(seconds)
    return found


def read_scenario(path: Path) -> Scenario:
    """From a file; its mistakes are told as `file:line:column: what`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise ScenarioError(f"{path} cannot be read: {problem}") from problem
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise ScenarioError(f"{path}{where}: {problem.problem or problem.context}") from problem
    except YAMLError as problem:
        raise ScenarioError(f"{path}: {problem}") from problem
    try:
        return parse_scenario(document)
    except ScenarioError as problem:
        line, column = _where(text, problem.place)
        raise ScenarioError(f"{path}:{line}:{column}: {problem}", problem.place) from None


def _where(text: str, place: Sequence[str | int]) -> tuple[int, int]:
    """Line and column of the deepest part of the place that the file has; only mistakes pay for this reading."""
    node: Any = YAML().compose(text)  # pyright: ignore[reportUnknownMemberType]
    mark = node.start_mark if node is not None else None
    for step in place:
        if isinstance(node, MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            mark = node.start_mark
        else:
            break
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
