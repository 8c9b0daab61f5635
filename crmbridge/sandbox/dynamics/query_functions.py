"""The query functions of the namespace Microsoft.Dynamics.CRM and the operators they stand for (dataverse-api §2.5)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from crmbridge.sandbox.dynamics import conditions

Parameters = Literal["none", "text", "number", "texts", "pair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    operator: str  # FetchXML's name
    parameters: Parameters  # besides PropertyName: PropertyValue, PropertyValues, PropertyValue1 and 2


_OTHER_NAMES = {
    "Above": "above", "AboveOrEqual": "eq-or-above", "Under": "under", "UnderOrEqual": "eq-or-under",
    "NotUnder": "not-under", "Between": "between", "NotBetween": "not-between", "In": "in", "NotIn": "not-in",
    "ContainValues": "contain-values", "DoesNotContainValues": "not-contain-values",
    "EqualUserId": "eq-userid", "NotEqualUserId": "ne-userid", "EqualBusinessId": "eq-businessid",
    "NotEqualBusinessId": "ne-businessid", "EqualUserLanguage": "eq-userlanguage", "EqualUserTeams": "eq-userteams",
    "EqualUserOrUserTeams": "eq-useroruserteams", "EqualUserOrUserHierarchy": "eq-useroruserhierarchy",
    "EqualUserOrUserHierarchyAndTeams": "eq-useroruserhierarchyandteams",
    "Last7Days": "last-seven-days", "Next7Days": "next-seven-days",
}  # fmt: skip


def _parameters(operator: str) -> Parameters:
    if operator in conditions.BARE:
        return "none"
    if operator in conditions.LISTS:
        return "texts"
    if operator in conditions.PAIRS:
        return "pair"
    if operator in conditions.DATES or operator in conditions.HIERARCHIES:
        return "text"
    return "number"


def _functions() -> Iterator[tuple[str, Function]]:
    for name, operator in _OTHER_NAMES.items():
        yield name, Function(operator=operator, parameters=_parameters(operator))
    named = set(_OTHER_NAMES.values())
    for operator in sorted(conditions.MOMENTS - named):  # last-x-days -> LastXDays, olderthan-x-days -> OlderThanXDays
        name = re.sub(r"(?:^|-)(.)", lambda match: match[1].upper(), operator).replace("Olderthan", "OlderThan")
        yield name, Function(operator=operator, parameters=_parameters(operator))


FUNCTIONS: Mapping[str, Function] = dict(_functions())
