"""A fault scenario: rules, a seed for their chance, and how far the two clocks are apart; from a file or a request.

    seed: 7
    skew: {dynamics: -12}
    faults:
      - {crm: dynamics, table: lead, kind: update, fault: throttled, rate: 0.05}
      - {crm: salesforce, kind: convertLead, fault: timeout_after_commit, at: [3], seconds: 20}
      - {fault: unavailable, burst: {length: 10, every: 200}}

A mistake in a file is told with its line and column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from crmbridge.sandbox.core import Crm
from crmbridge.sandbox.faults import BadRule, parse_rule
from crmbridge.sandbox.marks import UnreadableFile, read_yaml, spot_of

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
        document = read_yaml(path)
    except UnreadableFile as problem:
        raise ScenarioError(str(problem)) from problem
    try:
        return parse_scenario(document)
    except ScenarioError as problem:
        spot = spot_of(path.read_text(encoding="utf-8"), problem.place)
        line, column = spot.mark if spot is not None else (1, 1)
        raise ScenarioError(f"{path}:{line}:{column}: {problem}", problem.place) from None
