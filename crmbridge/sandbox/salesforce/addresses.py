"""State and country picklists: each address has codes beside its texts, and both are always of one mind.

salesforce-api §9.2 and §10: with the feature on, a state or country that the org does not know is refused, and so is a
state without its country. Every wording of this module is (unverified).
"""

from collections.abc import Callable, Mapping, Set
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.overlay import ABSENT
from crmbridge.sandbox.salesforce.errors import Problem
from crmbridge.sandbox.salesforce.schema import Country, SObject

Complete = Callable[[str, Mapping[str, Any]], dict[str, Any]]  # a field of a shape with its defaults


def with_codes(objects: dict[str, dict[str, Any]], countries: Mapping[str, Any], complete: Complete) -> None:
    """StateCode and CountryCode beside every address of the shape."""
    labels = {code: {"value": code, "label": str(given["label"])} for code, given in countries.items()}
    states: dict[str, dict[str, str]] = {}
    dependent: dict[str, list[str]] = {}
    for code, given in countries.items():
        dependent[code] = list(given.get("states") or {})
        for state, label in (given.get("states") or {}).items():
            states.setdefault(state, {"value": state, "label": label})
    for item in objects.values():
        fields: dict[str, dict[str, Any]] = {}
        for name, field in item["fields"].items():
            fields[name] = field
            prefix = name.removesuffix("Country")
            if not name.endswith("Country") or f"{prefix}State" not in item["fields"] or field["type"] != "string":
                continue
            common = {"type": "picklist", "length": 10, "restrictedPicklist": True, "label": f"{field['label']} Code"}
            common["compoundFieldName"] = field.get("compoundFieldName")
            given_country = {**common, "picklistValues": list(labels.values())}
            state_label = f"{item['fields'][f'{prefix}State']['label']} Code"
            given_state = {**common, "label": state_label, "picklistValues": list(states.values())}
            given_state |= {"controllerName": f"{prefix}CountryCode", "dependentValues": dependent}
            for code, given in ((f"{prefix}CountryCode", given_country), (f"{prefix}StateCode", given_state)):
                if code not in item["fields"] and code not in item[ABSENT]:  # what a shape declares stands
                    fields[code] = complete(code, given)
        item["fields"] = fields


def settle(
    countries: Mapping[str, Country], sobject: SObject, row: Row, before: Row | None, given: Set[str]
) -> list[Problem]:
    """Bring texts and codes of a row's addresses together in place; what cannot be is answered as problems."""
    problems: list[Problem] = []
    for prefix in sobject.address_prefixes:
        names = {f"{prefix}{part}" for part in ("Country", "CountryCode", "State", "StateCode")}
        if before is not None and not given & names:
            continue
        country = _country(countries, row, prefix, given, problems, sobject)
        if not problems:
            _state(country, row, prefix, given, problems, sobject)
    return problems


def _country(
    countries: Mapping[str, Country], row: Row, prefix: str, given: Set[str], problems: list[Problem], sobject: SObject
) -> Country | None:
    text, code = f"{prefix}Country", f"{prefix}CountryCode"
    wanted = row.get(code) if code in given or text not in given else None
    if wanted is None and text in given and code not in given:
        label = row.get(text)
        if label is None:
            row.pop(code, None)
            return None
        wanted = next((key for key, each in countries.items() if label.casefold() == each.label.casefold()), None)
        wanted = wanted or next((key for key in countries if key.casefold() == label.casefold()), None)
        if wanted is None:
            problems.append(_unknown(sobject, text, "country"))
            return None
    if wanted is None:
        row.pop(text, None)
        row.pop(code, None)
        return None
    if wanted not in countries:
        problems.append(_unknown(sobject, code, "country"))
        return None
    if text in given and code in given and row.get(text) not in (None, countries[wanted].label):
        problems.append(_unknown(sobject, text, "country"))
        return None
    row[code], row[text] = wanted, countries[wanted].label
    return countries[wanted]


def _state(
    country: Country | None, row: Row, prefix: str, given: Set[str], problems: list[Problem], sobject: SObject
) -> None:
    text, code = f"{prefix}State", f"{prefix}StateCode"
    by_text = text in given and code not in given
    wanted = row.get(text) if by_text else row.get(code)
    if wanted is None:
        row.pop(text, None)
        row.pop(code, None)
        return
    if country is None:
        label = sobject.fields[text].label
        problems.append(
            Problem(
                code="FIELD_INTEGRITY_EXCEPTION",
                message=f"A country/territory must be specified before specifying a state value for field: {label}",
                fields=(text if by_text else code,),
            )
        )
        return
    states = country.states
    found = wanted if wanted in states else None
    if by_text:
        named = (key for key, label in states.items() if wanted.casefold() in (label.casefold(), key.casefold()))
        found = next(named, None)
    if found is None:
        problems.append(_unknown(sobject, text if by_text else code, "state"))
        return
    row[code], row[text] = found, states[found]


def _unknown(sobject: SObject, name: str, what: str) -> Problem:
    many, label = "countries" if what == "country" else "states", sobject.fields[name].label
    wanted = f"Please select a {what} from the list of valid {many}.: {label}"  # noqa: S608 (no SQL, a sentence)
    message = f"There's a problem with this {what}, even though it may appear correct. {wanted}"
    return Problem(code="FIELD_INTEGRITY_EXCEPTION", message=message, fields=(name,))
