"""An org's own shape, as a file that a sandbox serves: objects, fields, statuses, record types; no records (§5).

What is asked is what everybody may see of the org's set-up; what is written is what differs from the shape that is
given as the usual one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.base import Captured
from connectors.salesforce import ordinary, protocol, soap, soql
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.client import Client
from connectors.salesforce.ordinary import Facts
from connectors.salesforce.protocol import Meaning
from connectors.salesforce.reader import Reader
from connectors.salesforce.rows import PERSON
from crmbridge.errors import AccessError, RefusedError

_object_keys: Final = (
    "label", "labelPlural", "keyPrefix", "createable", "updateable", "deletable", "undeletable", "mergeable",
    "searchable", "queryable",
)  # fmt: skip
_object_usual: Final[Facts] = {
    "custom": False,
    "createable": True,
    "updateable": True,
    "deletable": True,
    "undeletable": True,
    "mergeable": False,
    "searchable": True,
    "queryable": True,
}
_suffixes_left_out: Final = ("__Share", "__History", "__Feed", "__ChangeEvent", "__Tag")
# Objects that a user may be unable to see although the org has them.
_always: Final = frozenset({"User", "Profile", "Group", "GroupMember", "QueueSobject", "Organization"})
_no_rights: Final = (AccessError, RefusedError)


class Capture:
    """One capture: ask everything, then say what differs."""

    def __init__(self, client: Client, reader: Reader, config: SalesforceConfig, usual: Facts) -> None:
        self._client, self._reader, self._config, self._usual = client, reader, config, usual
        self._notes: list[str] = []

    def run(self, also: Sequence[str]) -> Captured:
        known: Facts = self._usual.get("objects") or {}
        listed = {each["name"]: each for each in self._json(protocol.describe_all())["sobjects"]}
        wanted = [name for name in listed if name in known or name in also or _own(listed[name])]
        left_out = sum(_may_matter(each) for name, each in listed.items() if name not in wanted)
        if left_out:
            self._notes.append(f"{left_out} standard objects are left out; --also NAME takes one of them in")
        self._notes += [f"{name}: the org shows no such object" for name in also if name not in listed]
        described = {name: found for name in wanted if (found := self._describe(name)) is not None}
        shape: dict[str, Any] = {"extends": "salesforce"}
        statuses = self._statuses(described)
        org = self._org(described)
        if org:
            shape["org"] = org
        countries = _countries(described)
        if countries is not None:
            shape.setdefault("org", {})["state_country_picklists"] = True
        shape |= {key: rows for key, rows in statuses.items() if rows != self._usual_statuses(key)}
        facts = {**self._usual.get("org", {}), **org, "countries": None}
        if countries is not None:
            facts["countries"] = self._chosen_countries(described, countries, shape)
        picklists = _status_picklists({**self._usual, **statuses})
        children = _children(described)
        objects: dict[str, Any] = {}
        for name in sorted(described):
            said = _object(described[name], known.get(name), children, facts, picklists, self._record_types)
            if said:
                objects[name] = said
        hidden = [name for name in known if name not in listed and not known[name].get("setup")]
        objects |= {name: "absent" for name in hidden if name not in _always and name != "CurrencyType"}
        self._notes += [f"{name} is not shown to this user: as shipped" for name in hidden if name in _always]
        if objects:
            shape["objects"] = dict(sorted(objects.items()))
        return Captured(shape=shape, notes=tuple(self._notes))

    # --- asking ---------------------------------------------------------------------------------------------------

    def _json(self, call: protocol.Call) -> Any:
        return json.loads(self._client.read(call).body)

    def _describe(self, name: str) -> Facts | None:
        try:
            return self._json(protocol.describe(name))
        except _no_rights as error:
            self._notes.append(f"{name} could not be described and is as shipped, or missing: {error.message}")
            return None

    def _rows(self, table: str, columns: Sequence[str], order: str = "") -> list[dict[str, Any]] | None:
        try:
            return [
                row
                for body in self._reader.query(soql.select(columns, table, "", order), table)
                for row in json.loads(body)["records"]
            ]
        except _no_rights as error:
            self._notes.append(f"{table} could not be read and is as shipped: {error.message}")
            return None

    def _statuses(self, described: Mapping[str, Facts]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        rows = self._rows("LeadStatus", ("MasterLabel", "ApiName", "IsConverted", "IsDefault"), "SortOrder")
        if rows:
            flags = {"converted": "IsConverted", "default": "IsDefault"}
            found["lead_statuses"] = [_status(row, flags) for row in rows]
        columns = ("MasterLabel", "ApiName", "IsActive", "IsClosed", "IsWon", "ForecastCategory", "DefaultProbability")
        rows = self._rows("OpportunityStage", columns, "SortOrder")
        if rows:
            found["opportunity_stages"] = [_stage(row) for row in rows]
        if "Task" in described:
            rows = self._rows("TaskStatus", ("MasterLabel", "IsClosed", "IsDefault"), "SortOrder")
            if rows:
                found["task_statuses"] = [_status(row, {"closed": "IsClosed", "default": "IsDefault"}) for row in rows]
        return found

    def _usual_statuses(self, key: str) -> list[dict[str, Any]]:
        given: Sequence[Facts] = self._usual.get(key) or ()
        return [_compact_stage(each) if key == "opportunity_stages" else dict(each) for each in given]

    def _org(self, described: Mapping[str, Facts]) -> dict[str, Any]:
        """Of the org itself only what changes how it behaves: neither its name nor its address."""
        usual: Facts = self._usual.get("org") or {}
        told: dict[str, Any] = {}
        columns = {
            "organization_type": "OrganizationType",
            "is_sandbox": "IsSandbox",
            "time_zone": "TimeZoneSidKey",
            "fiscal_year_start_month": "FiscalYearStartMonth",
        }
        rows = self._rows("Organization", tuple(columns.values())) or []
        for row in rows[:1]:
            told |= {key: row[name] for key, name in columns.items() if row.get(name) is not None}
        own = self._currency()
        if own:
            told["currency"] = own
        if any(_has(described, name, "CurrencyIsoCode") for name in ("Lead", "Opportunity", "Account")):
            rows = self._rows("CurrencyType", ("IsoCode", "ConversionRate", "IsCorporate", "IsActive"), "IsoCode") or []
            active = [row for row in rows if row["IsActive"]]
            told["multi_currency"] = True
            told["currency"] = next((row["IsoCode"] for row in active if row["IsCorporate"]), own or usual["currency"])
            rates = {row["IsoCode"]: row["ConversionRate"] for row in active if not row["IsCorporate"]}
            told["currencies"] = {code: rates[code] for code in _offered_currencies(described, rates)}
        if _has(described, "Account", PERSON):
            told["person_accounts"] = True
        return {key: value for key, value in told.items() if value != usual.get(key)}

    def _currency(self) -> str:
        """Told by SOAP alone (§5.4), which takes no token in JWT form."""
        if self._config.currency:
            return self._config.currency
        call = soap.get_user_info()
        answer = self._client.run(call)
        told = soap.user_info(answer.status, answer.body)
        if isinstance(told, Meaning) or not told.currency:
            self._notes.append("the org's currency could not be asked for by SOAP and is as shipped")
            return ""
        return told.currency

    def _chosen_countries(self, described: Mapping[str, Facts], found: Facts, shape: dict[str, Any]) -> Facts:
        """The shipped countries if the org's answers look like them, else its own, written into the shape."""
        usual: Facts = self._usual.get("countries") or {}
        if _code_values(described) == _code_values({"Lead": {"fields": _described_codes(usual)}}):
            return usual
        shape["countries"] = {"whole": True, **found}
        return found

    def _record_types(self, described: Facts) -> list[dict[str, Any]]:
        """Developer names, and the values that each offers where the layouts tell them (§5.1)."""
        infos = [each for each in described.get("recordTypeInfos") or () if not each.get("master")]
        if not infos:
            return []
        mappings: dict[str, Facts] = {}
        try:
            answer = self._json(protocol.layouts(described["name"]))
            mappings = {each["developerName"]: each for each in answer["recordTypeMappings"]}
        except _no_rights as error:
            name = described["name"]
            self._notes.append(f"{name}: which values its record types offer is not told: {error.message}")
        persons = self._person_types() if _has({described["name"]: described}, "Account", PERSON) else set[str]()
        return [
            _record_type(described, each, mappings.get(each["developerName"]))
            | ({"person": True} if each["developerName"] in persons else {})
            for each in sorted(infos, key=lambda each: each["developerName"])
        ]

    def _person_types(self) -> set[str]:
        """Which record types of accounts are for persons: no describe tells."""
        rows = self._rows("RecordType", ("DeveloperName", "SobjectType", "IsPersonType"), "DeveloperName") or []
        return {row["DeveloperName"] for row in rows if row["SobjectType"] == "Account" and row["IsPersonType"]}


def _own(listed: Facts) -> bool:
    """A custom object with rows of its own that can be asked for."""
    name = str(listed["name"])
    return bool(
        listed.get("custom")
        and name.endswith("__c")
        and listed.get("queryable")
        and not listed.get("customSetting")
        and not listed.get("deprecatedAndHidden")
    )


def _may_matter(listed: Facts) -> bool:
    return bool(listed.get("layoutable")) and not str(listed["name"]).endswith(_suffixes_left_out)


def _has(described: Mapping[str, Facts], name: str, field: str) -> bool:
    return name in described and any(each["name"] == field for each in described[name]["fields"])


def _offered_currencies(described: Mapping[str, Facts], rates: Facts) -> list[str]:
    """In the order in which the org offers them."""
    fields = (field for each in described.values() for field in each["fields"] if field["name"] == "CurrencyIsoCode")
    offered = [value["value"] for value in next(fields, {}).get("picklistValues") or ()]
    return list(dict.fromkeys([*(code for code in offered if code in rates), *rates]))


# --- statuses -----------------------------------------------------------------------------------------------------


def _status(row: Facts, flags: Mapping[str, str]) -> dict[str, Any]:
    name = {} if row.get("ApiName") in (None, row["MasterLabel"]) else {"api_name": row["ApiName"]}
    return {"label": row["MasterLabel"], **name, **{key: True for key, column in flags.items() if row[column]}}


def _stage(row: Facts) -> dict[str, Any]:
    return _compact_stage(
        {
            "label": row["MasterLabel"],
            "api_name": row["ApiName"],
            "probability": int(row["DefaultProbability"] or 0),
            "forecast": row["ForecastCategory"],
            "closed": row["IsClosed"],
            "won": row["IsWon"],
            "active": row["IsActive"],
        }
    )


def _compact_stage(said: Facts) -> dict[str, Any]:
    usual = {"closed": False, "won": False, "active": True, "api_name": said["label"]}
    order = ("label", "api_name", "probability", "forecast", "closed", "won", "active")
    return {key: said[key] for key in order if key in said and said[key] != usual.get(key)}


def _status_picklists(lists: Facts) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The values of the three status fields, as they follow from the lists of statuses."""
    places = {
        ("Lead", "Status"): "lead_statuses",
        ("Opportunity", "StageName"): "opportunity_stages",
        ("Task", "Status"): "task_statuses",
    }
    return {
        place: [
            {
                "value": each.get("api_name") or each["label"],
                "label": each["label"],
                "active": each.get("active", True),
                "defaultValue": bool(each.get("default")),
            }
            for each in lists.get(key) or ()
        ]
        for place, key in places.items()
    }


# --- countries ----------------------------------------------------------------------------------------------------


def _described_codes(countries: Facts) -> list[dict[str, Any]]:
    said = {"Country": {}, "State": {}}
    return [
        {"name": name, **ordinary.field(name, each)}
        for name, each in ordinary.with_codes(said, countries).items()
        if name.endswith("Code")
    ]


def _code_values(described: Mapping[str, Facts]) -> dict[str, list[Any]]:
    """What CountryCode and StateCode of a lead offer."""
    fields: Sequence[Facts] = described["Lead"]["fields"] if "Lead" in described else ()
    return {
        str(each["name"]): [(value["value"], value["label"], value.get("validFor")) for value in each["picklistValues"]]
        for each in fields
        if each["name"] in ("CountryCode", "StateCode")
    }


def _countries(described: Mapping[str, Facts]) -> dict[str, Any] | None:
    """Countries with their states by code, from a lead's address; None where there are no codes (§10)."""
    values = _code_values(described)
    if "CountryCode" not in values:
        return None
    found: dict[str, Any] = {}
    for at, (code, label, _) in enumerate(values["CountryCode"]):
        states = {value: name for value, name, valid in values.get("StateCode", []) if ordinary.bit(valid, at)}
        found[code] = {"label": label, **({"states": states} if states else {})}
    return found


# --- objects ------------------------------------------------------------------------------------------------------


def _children(described: Mapping[str, Facts]) -> dict[tuple[str, str], Facts]:
    """What the parents say of a lookup: (child, field) -> its relationship."""
    found: dict[tuple[str, str], Facts] = {}
    for name in sorted(described):
        for each in described[name].get("childRelationships") or ():
            key = (each["childSObject"], each["field"])
            if key not in found or (each.get("relationshipName") and not found[key].get("relationshipName")):
                found[key] = each
    return found


def _object(
    described: Facts,
    usual: Facts | None,
    children: Mapping[tuple[str, str], Facts],
    org: Facts,
    picklists: Mapping[tuple[str, str], Sequence[Facts]],
    record_types: Any,
) -> dict[str, Any]:
    """What is to be said of an object, over what is usual; nothing if it is as usual."""
    name = described["name"]
    said = _about(described, usual)
    kinds = record_types(described)
    if kinds and kinds != (usual or {}).get("recordTypes"):
        said["recordTypes"] = kinds
    elif not kinds and (usual or {}).get("recordTypes"):
        said["recordTypes"] = []
    named = {each["name"]: each for each in described["fields"]}
    if usual is None:
        standard = [key for key in ordinary.SYSTEM if key in named]
        if standard != list(ordinary.SYSTEM):
            said["standardFields"] = standard
    expected = ordinary.fields(name, {**(usual or {}), **said}, org, picklists)
    fields: dict[str, Any] = {}
    for key in sorted(named):
        difference = _field_difference(_facts(named[key], children.get((name, key))), expected.get(key), key)
        if difference is not None:
            fields[key] = difference
    fields |= {key: "absent" for key in expected if key not in named}
    if fields:
        said["fields"] = dict(sorted(fields.items()))
    return said


def _about(described: Facts, usual: Facts | None) -> dict[str, Any]:
    name = described["name"]
    base: dict[str, Any] = dict(usual or {})
    label = base.get("label") or ordinary.label_of(name)
    held: dict[str, Any] = {**_object_usual, "label": label, "labelPlural": base.get("labelPlural") or f"{label}s"}
    if base.get("readOnly"):
        held |= dict.fromkeys(("createable", "updateable", "deletable", "undeletable"), False)
    held |= {key: value for key, value in base.items() if key in _object_keys}
    if base.get("setup"):
        held["searchable"] = False  # as a describe tells it
    told = {key: described[key] for key in _object_keys if described.get(key) is not None}
    return {key: value for key, value in told.items() if value != held.get(key)}


def _record_type(described: Facts, info: Facts, mapping: Facts | None) -> dict[str, Any]:
    said: dict[str, Any] = {"developerName": info["developerName"]}
    if info["name"] != info["developerName"]:
        said["name"] = info["name"]
    if info.get("active") is False:
        said["active"] = False
    if info.get("defaultRecordTypeMapping"):
        said["default"] = True
    every = {each["name"]: each for each in described["fields"]}
    picklists: dict[str, list[str]] = {}
    defaults: dict[str, str] = {}
    mine: Sequence[Facts] = mapping["picklistsForRecordType"] if mapping else ()
    for each in sorted(mine, key=lambda each: each["picklistName"]):
        field = every.get(each["picklistName"])
        if field is None:
            continue
        offered = [value["value"] for value in each["picklistValues"] if value.get("active", True)]
        if offered != [value["value"] for value in field["picklistValues"] if value["active"]]:
            picklists[field["name"]] = offered
        own = _first_default(each["picklistValues"])
        if own is not None and own != _first_default(field["picklistValues"]):
            defaults[field["name"]] = own
    return said | ({"picklists": picklists} if picklists else {}) | ({"defaults": defaults} if defaults else {})


def _first_default(values: Sequence[Facts]) -> str | None:
    return next((value["value"] for value in values if value.get("defaultValue")), None)


# --- fields -------------------------------------------------------------------------------------------------------


def _facts(told: Facts, child: Facts | None) -> dict[str, Any]:
    """What the org tells of a field, in the words of a shape."""
    facts = {key: told.get(key, usual) for key, usual in ordinary.PLAIN.items()}
    facts["picklistValues"] = ordinary.field("", {"picklistValues": told.get("picklistValues")})["picklistValues"]
    facts["referenceTo"] = list(told.get("referenceTo") or ())
    if facts["type"] == "boolean":
        facts["defaultValue"] = bool(facts["defaultValue"])
    if facts["type"] == "reference":
        facts |= {"length": 18, "byteLength": 18}
        facts["childRelationshipName"] = child.get("relationshipName") if child else None
        facts["deletedWithParent"] = bool(child and child.get("cascadeDelete"))
    return facts


def _field_difference(told: dict[str, Any], expected: Facts | None, name: str) -> dict[str, Any] | None:
    """The attributes to write: none, those that differ, or all that are out of the ordinary."""
    if expected is not None:
        held = ordinary.field(name, expected)
        if held == told:
            return None
        changed = {key: value for key, value in told.items() if held[key] != value}
        if ordinary.field(name, {**expected, **changed}) == told:
            return _written(_least(name, expected, changed, told))
    said: dict[str, Any] = {"type": told["type"]}
    for _ in range(4):  # each round tells what still differs, at most until nothing does
        held = ordinary.field(name, said)
        said |= {key: value for key, value in told.items() if held[key] != value}
    said = _least(name, {"type": told["type"]}, said, told)
    return ({} if expected is None else {"whole": True}) | _written({"type": told["type"], **said})


def _least(name: str, below: Facts, said: Mapping[str, Any], told: Facts) -> dict[str, Any]:
    """Without what follows from the rest: a text's length in bytes follows from its length."""
    least = dict(said)
    for key in said:
        shorter = {each: value for each, value in least.items() if each != key}
        if ordinary.field(name, {**below, **shorter}) == told:
            least = shorter
    return least


def _written(said: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_pairs(said))


def _pairs(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ordinary.PLAIN:
        if key in said:
            value = said[key]
            yield key, [ordinary.compact_value(each) for each in value] if key == "picklistValues" else value
