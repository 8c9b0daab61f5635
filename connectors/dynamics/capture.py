"""An environment's own shape, as a file that a sandbox serves: tables, columns, choices, processes, keys; no records.

dataverse-api §5 for metadata, §8.1 for processes, §4.5 for keys. What is written is what differs from the usual shape.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from connectors.base import Captured
from connectors.dynamics.client import Client
from connectors.dynamics.columns import (
    CHOICES,
    KINDS,
    LOOKUPS,
    Facts,
    Relation,
    Told,
    kind_of,
    label,
    said,
    set_options,
    told,
    written,
    written_options,
)
from connectors.dynamics.protocol import Request, page_rows_max, read, text_literal
from connectors.dynamics.stage_order import Stage, categories_tell, declared, in_order
from crmbridge.errors import AccessError, OutsideError, RefusedError, TryLater

_definition: Final = (
    "LogicalName,SchemaName,EntitySetName,DisplayName,DisplayCollectionName,ObjectTypeCode,PrimaryIdAttribute,"
    "PrimaryNameAttribute,OwnershipType,ChangeTrackingEnabled,IsOptimisticConcurrencyEnabled,IsBPFEntity,"
    "IsCustomEntity,IsPrivate,IsIntersect,TableType"
)
_attribute: Final = (
    "LogicalName,SchemaName,AttributeType,AttributeTypeName,AttributeOf,IsValidForCreate,IsValidForUpdate,"
    "IsValidForRead,RequiredLevel"
)
# Members that stand in the derived types only (dataverse-api §5).
_members: Final[Mapping[str, str]] = {
    "String": "MaxLength,Format,FormatName",
    "Memo": "MaxLength,Format",
    "Integer": "MinValue,MaxValue",
    "Decimal": "MinValue,MaxValue,Precision",
    "Double": "MinValue,MaxValue,Precision",
    "Money": "MinValue,MaxValue,Precision,PrecisionSource,CalculationOf",
    "DateTime": "Format,DateTimeBehavior",
    "Boolean": "DefaultValue",
    "Picklist": "DefaultFormValue",
    "MultiSelectPicklist": "DefaultFormValue",
    "State": "DefaultFormValue",
    "Status": "DefaultFormValue",
}
_table_columns: Final[Mapping[str, str]] = {
    "set": "EntitySetName",
    "schema": "SchemaName",
    "code": "ObjectTypeCode",
    "key": "PrimaryIdAttribute",
    "name": "PrimaryNameAttribute",
    "ownership": "OwnershipType",
    "change_tracking": "ChangeTrackingEnabled",
    "optimistic_concurrency": "IsOptimisticConcurrencyEnabled",
}
# Publishers' prefixes of what comes with the product: such tables are no one's own (the list is (unverified)).
_vendor: Final = (
    "msdyn_", "msdynce_", "msdynmkt_", "mspp_", "msfp_", "mscrm_", "msdyusd_", "mspcat_", "adx_", "cdi_", "li_", "bot_",
    "sales_", "mserp_", "powerpage", "microsoft_",
)  # fmt: skip
_tables_per_call: Final = 4  # each is some twenty requests of a batch
_no_rights: Final = (AccessError, RefusedError, OutsideError)


class Capture:
    """One capture: ask everything, then say what differs."""

    def __init__(self, client: Client, usual: Facts) -> None:
        self._client, self._usual = client, usual
        self._notes: list[str] = []

    def run(self, also: Sequence[str]) -> Captured:
        known: Facts = self._usual["tables"]
        every = {each["LogicalName"]: each for each in self._values(_definitions())}
        between = self._associations()
        links = {each["IntersectEntityName"] for each in between}
        processes = self._processes()
        wanted = [name for name in every if name not in links and (name in known or name in also or _own(every[name]))]
        wanted += [
            name
            for name, process in processes.items()
            if name in every and name not in wanted and process["primaryentity"] in wanted
        ]
        left_out = sum(bool(each.get("IsCustomEntity")) and name not in wanted for name, each in every.items()) - sum(
            bool(every[name].get("IsCustomEntity")) for name in links if name in every
        )
        if left_out > 0:
            self._notes.append(
                f"{left_out} custom tables of the product are left out; --also NAME takes one of them in"
            )
        self._notes += [f"{name}: the environment shows no such table" for name in also if name not in every]
        answers = self._describe(wanted)
        shape: dict[str, Any] = {"extends": "dynamics"}
        organization = self._organization()
        if organization:
            shape["organization"] = organization
        tables = _Tables(self._usual, every, answers)
        shape |= tables.differences()
        shape |= _associations(between, every, answers, self._usual)
        shape |= _processes(processes, answers, self._usual)
        currencies = self._currencies()
        if currencies is not None and currencies != self._usual_currencies():
            shape["records"] = {"whole": True, "transactioncurrency": currencies}
        gone = [name for name in known if name not in every]
        if gone:
            shape["tables"] = dict(sorted({**shape.get("tables", {}), **dict.fromkeys(gone, "absent")}.items()))
        return Captured(shape=shape, notes=(*self._notes, *tables.notes))

    # --- asking ---------------------------------------------------------------------------------------------------

    def _values(self, request: Request) -> list[Facts]:
        return json.loads(self._client.read(request).body)["value"]

    def _try_values(self, request: Request, what: str) -> list[Facts] | None:
        try:
            return self._values(request)
        except TryLater:
            raise
        except _no_rights as error:
            self._notes.append(f"{what} could not be read: {error.message}")
            return None

    def _describe(self, wanted: Sequence[str]) -> dict[str, Facts]:
        """All there is to know of these tables; one that the user may not see is a note."""
        found: dict[str, Facts] = {}
        for start in range(0, len(wanted), _tables_per_call):
            chunk = wanted[start : start + _tables_per_call]
            requests = [(name, key, request) for name in chunk for key, request in _table_requests(name)]
            try:
                replies = self._client.read_all([request for _, _, request in requests], kind="metadata")
            except TryLater:
                raise
            except _no_rights:
                for name in chunk:
                    self._describe_one(name, found)
                continue
            for (name, key, _), reply in zip(requests, replies, strict=True):
                parts = found.setdefault(name, {})
                assert isinstance(parts, dict)
                parts[key] = json.loads(reply.body)["value"] if reply.done else []
        return {name: found[name] for name in wanted if name in found and found[name]["attributes"]}

    def _describe_one(self, name: str, found: dict[str, Facts]) -> None:
        parts: dict[str, Any] = {}
        for key, request in _table_requests(name):
            values = self._try_values(request, f"{name}: {key}")
            if values is None and key == "attributes":
                return
            parts[key] = values or []
        found[name] = parts

    def _associations(self) -> list[Facts]:
        columns = "SchemaName,IntersectEntityName,Entity1LogicalName,Entity2LogicalName"
        path = "RelationshipDefinitions/Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata"
        request = read(path, table="", kind="metadata", select=columns)
        return self._try_values(request, "many-to-many relationships") or []

    def _processes(self) -> dict[str, dict[str, Any]]:
        """Business process flows by the table of their instances, with their stages (dataverse-api §8.1)."""
        flows = self._try_values(
            read(
                "workflows",
                table="",
                kind="metadata",
                select="workflowid,name,uniquename,primaryentity,processorder,statecode,clientdata",
                filter="category eq 4",
            ),
            "processes",
        )
        stages = self._try_values(
            read(
                "processstages",
                table="",
                kind="metadata",
                select="processstageid,stagename,stagecategory,primaryentitytypecode,_processid_value",
                rows=page_rows_max,
            ),
            "process stages",
        )
        found: dict[str, dict[str, Any]] = {}
        for flow in flows or ():
            mine = [each for each in stages or () if each.get("_processid_value") == flow["workflowid"]]
            if not flow.get("uniquename") or not mine:
                continue  # an activation is a copy without stages of its own
            found[flow["uniquename"]] = {**flow, "stages": self._in_order(flow, mine)}
        return found

    def _in_order(self, flow: Facts, stages: list[Facts]) -> list[Facts]:
        """As the definition lists them; the table of stages has no order of its own."""
        by_id = {
            each["processstageid"]: Stage(
                id=each["processstageid"],
                name=each.get("stagename") or "",
                category=each.get("stagecategory"),
                table="",
            )
            for each in stages
        }
        told = declared(flow.get("clientdata"))
        if not set(by_id) <= set(told) and not categories_tell([*by_id.values()]):
            self._notes.append(
                f"{flow['uniquename']}: its definition does not tell the order of its stages; they stand in the order "
                "of their categories, look whether it is theirs"
            )
        whole = {each["processstageid"]: each for each in stages}
        return [whole[each.id] for each in in_order(tuple(by_id.values()), told)]

    def _organization(self) -> dict[str, Any]:
        """Of the environment itself what changes how it behaves: neither its name nor its address."""
        usual: Facts = self._usual["organization"]
        columns = {
            "language": "languagecode",
            "fullnameconvention": "fullnameconventioncode",
            "pricingdecimalprecision": "pricingdecimalprecision",
            "expirechangetrackingindays": "expirechangetrackingindays",
        }
        rows = self._try_values(
            read(
                "organizations",
                table="",
                kind="metadata",
                select=",".join(columns.values()),
                expand="basecurrencyid($select=isocurrencycode)",
            ),
            "the organization's settings",
        )
        said_here: dict[str, Any] = {}
        for row in (rows or ())[:1]:
            said_here = {key: row[name] for key, name in columns.items() if row.get(name) is not None}
            base = row.get("basecurrencyid") or {}
            if base.get("isocurrencycode"):
                said_here["base_currency"] = base["isocurrencycode"]
        return {key: value for key, value in sorted(said_here.items()) if value != usual.get(key)}

    def _currencies(self) -> list[dict[str, Any]] | None:
        columns = ("isocurrencycode", "currencyname", "currencysymbol", "exchangerate", "currencyprecision")
        rows = self._try_values(
            read("transactioncurrencies", table="", kind="metadata", select=",".join(columns)), "currencies"
        )
        if rows is None:
            return None
        return sorted(({key: _plain(row[key]) for key in columns} for row in rows), key=_code)

    def _usual_currencies(self) -> list[dict[str, Any]]:
        rows = (self._usual.get("records") or {}).get("transactioncurrency", ())
        return sorted(({key: _plain(value) for key, value in row.items()} for row in rows), key=_code)


def _code(row: Facts) -> str:
    return str(row["isocurrencycode"])


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value


def _own(definition: Facts) -> bool:
    return bool(
        definition.get("IsCustomEntity")
        and not definition.get("IsPrivate")
        and not definition.get("IsIntersect")
        and not definition.get("IsBPFEntity")  # these come with their process
        and not str(definition["LogicalName"]).startswith(_vendor)
    )


# --- requests -----------------------------------------------------------------------------------------------------


def _definitions() -> Request:
    return read("EntityDefinitions", table="", kind="metadata", select=_definition)


def _table_requests(table: str) -> list[tuple[str, Request]]:
    base = f"EntityDefinitions(LogicalName={text_literal(table)})"

    def ask(path: str, select: str, expand: str | None = None) -> Request:
        return read(f"{base}/{path}", table="", kind="metadata", select=select, expand=expand)

    found = [("attributes", ask("Attributes", _attribute))]
    for kind, members in _members.items():
        option_set = "OptionSet,GlobalOptionSet" if kind in CHOICES else "OptionSet" if kind == "Boolean" else None
        path = f"Attributes/Microsoft.Dynamics.CRM.{kind}AttributeMetadata"
        found.append((kind, ask(path, f"LogicalName,{members}", option_set)))
    relation = "SchemaName,ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName"
    found.append(("relations", ask("ManyToOneRelationships", f"{relation},CascadeConfiguration")))
    found.append(("keys", ask("Keys", "SchemaName,KeyAttributes")))
    return found


# --- tables -------------------------------------------------------------------------------------------------------


class _Tables:
    """All described tables against the usual shape."""

    def __init__(self, usual: Facts, every: Mapping[str, Facts], answers: Mapping[str, Facts]) -> None:
        self._usual, self._every, self._answers = usual, every, answers
        self._sets: dict[str, tuple[tuple[Any, ...], ...]] = {}
        self.notes: list[str] = []
        self._dropped = 0

    def differences(self) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        columns: dict[str, Any] = {}
        keys: dict[str, Any] = {}
        every = {name: self._columns(name) for name in sorted(self._answers)}
        for name, found in every.items():
            usual = self._usual_columns(name)
            about = self._about(name, found)
            changed = {key: value for key, value in found.items() if value != self._said(name, key, usual.get(key))}
            changed = {key: written(name, key, value, usual.get(key)) for key, value in changed.items()}
            if name not in self._usual["tables"]:
                about["groups"], changed = self._grouped(name, found, changed)
                if not about["groups"]:
                    del about["groups"]
            elif changed:
                changed = {key: {"whole": True, **value} if key in usual else value for key, value in changed.items()}
            changed |= dict.fromkeys((key for key in usual if key not in found), "absent")
            if about:
                tables[name] = about
            if changed:
                columns[name] = dict(sorted(changed.items()))
            own = self._keys(name, found)
            if own != ((self._usual.get("keys") or {}).get(name) or {}):
                keys[name] = own
        if self._dropped:
            self.notes.append(f"{self._dropped} lookups lead to tables that are not captured and are left out")
        shape: dict[str, Any] = {}
        sets = self._option_sets()
        for key, part in (("option_sets", sets), ("tables", tables), ("columns", columns), ("keys", keys)):
            if part:
                shape[key] = part
        return shape

    def _said(self, table: str, name: str, raw: Facts | None) -> Told | None:
        return (
            None
            if raw is None
            else said(table, name, raw, {**(self._usual.get("option_sets") or {}), **self._given_sets})
        )

    @property
    def _given_sets(self) -> dict[str, Any]:
        """Global option sets as the environment has them: a column that only names one is as usual."""
        return {name: written_options(options) for name, options in self._sets.items()}

    def _usual_columns(self, table: str) -> dict[str, Facts]:
        facts = self._usual["tables"].get(table)
        found: dict[str, Facts] = {}
        for group in (facts or {}).get("groups", ()):
            found |= self._usual["column_groups"][group]
        return found | ((self._usual["columns"].get(table) or {}) if facts else {})

    def _columns(self, table: str) -> dict[str, Told]:
        answers = self._answers[table]
        details: dict[str, Facts] = {}
        for kind in _members:
            details |= {each["LogicalName"]: each for each in answers[kind]}
        relations: dict[str, list[Relation]] = {}
        for each in answers["relations"]:
            for relation in _relations(each, self._answers):
                relations.setdefault(relation.column, []).append(relation)
        found: dict[str, Told] = {}
        for attribute in answers["attributes"]:
            name, kind = attribute["LogicalName"], kind_of(attribute)
            whole = {**details.get(name, {}), **attribute}
            shadow = attribute.get("AttributeOf") or whole.get("CalculationOf")
            if kind not in KINDS or attribute.get("IsValidForRead") is False or shadow:
                continue
            mine = relations.get(name, [])
            if kind in LOOKUPS and not mine:
                self._dropped += 1
                continue
            found[name] = told(whole, mine)
            option_set = found[name].option_set
            if option_set is not None:
                self._sets[option_set] = found[name].options
        return found

    def _about(self, name: str, found: Mapping[str, Told]) -> dict[str, Any]:
        definition = self._every[name]
        usual: Facts | None = self._usual["tables"].get(name)
        here: dict[str, Any] = {key: definition.get(member) for key, member in _table_columns.items()}
        here |= {
            "label": label(definition.get("DisplayName")),
            "labels": label(definition.get("DisplayCollectionName")),
        }
        here |= {"process": bool(definition.get("IsBPFEntity")), "elastic": definition.get("TableType") == "Elastic"}
        if here["name"] not in found:
            here["name"] = usual["name"] if usual else here["key"]  # a table without a primary name
        if here["set"] is None:
            here["set"] = usual["set"] if usual else f"{name}set"
        base: dict[str, Any] = {"process": False, "elastic": False} | dict(usual or {})
        if usual is not None:
            base.setdefault("schema", name)
            base.setdefault("label", base["schema"])
            base.setdefault("labels", base["set"])
            base.setdefault("code", 10000)
            base["ownership"] = str(base.get("ownership", "UserOwned"))
            base.setdefault("change_tracking", True)
            base.setdefault("optimistic_concurrency", True)
        return {key: value for key, value in here.items() if value is not None and value != base.get(key)}

    def _grouped(
        self, table: str, found: Mapping[str, Told], changed: Mapping[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        """The usual groups of columns of which a new table has every one, and its columns besides."""
        rest, groups = dict(changed), list[str]()
        for group, columns in self._usual["column_groups"].items():
            if all(key in rest and found[key] == self._said(table, key, raw) for key, raw in columns.items()):
                groups.append(group)
                rest = {key: value for key, value in rest.items() if key not in columns}
        return groups, rest

    def _keys(self, table: str, found: Mapping[str, Told]) -> dict[str, list[str]]:
        return {
            each["SchemaName"]: list(each["KeyAttributes"])
            for each in sorted(self._answers[table]["keys"], key=lambda each: each["SchemaName"])
            if all(column in found for column in each["KeyAttributes"])
        }

    def _option_sets(self) -> dict[str, Any]:
        usual: Facts = self._usual.get("option_sets") or {}
        return {
            name: written_options(options)
            for name, options in sorted(self._sets.items())
            if name not in usual or set_options(usual[name]) != options
        }


def _relations(each: Facts, captured: Mapping[str, Any]) -> Iterable[Relation]:
    """One relation; an owner's leads to the table `owner`, a user or a team (dataverse-api §2.6)."""
    navigation = each.get("ReferencingEntityNavigationPropertyName")
    if not navigation:
        return
    table = each["ReferencedEntity"]
    for target in ("systemuser", "team") if table == "owner" else (table,):
        if target in captured:
            yield Relation(
                column=each["ReferencingAttribute"],
                table=target,
                navigation=navigation,
                many=each["SchemaName"] if table != "owner" else f"{target}_{each['SchemaName']}",
                on_delete=_on_delete((each.get("CascadeConfiguration") or {}).get("Delete")),
            )


def _on_delete(told_here: Any) -> str:
    return str(told_here) if told_here in ("Cascade", "Restrict") else "RemoveLink"


# --- relationships and processes ----------------------------------------------------------------------------------


def _associations(
    between: Sequence[Facts], every: Mapping[str, Facts], captured: Mapping[str, Any], usual: Facts
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in sorted(between, key=lambda each: each["SchemaName"]):
        sides = [each["Entity1LogicalName"], each["Entity2LogicalName"]]
        table = each["IntersectEntityName"]
        definition = every.get(table)
        if definition is None or not all(side in captured for side in sides):
            continue
        here: dict[str, Any] = {"table": table}
        if definition["EntitySetName"] != f"{table}collection":
            here["set"] = definition["EntitySetName"]
        if definition["PrimaryIdAttribute"] != f"{table}id":
            here["key"] = definition["PrimaryIdAttribute"]
        here["between"] = sides
        known = (usual.get("associations") or {}).get(each["SchemaName"])
        if known is None:
            found[each["SchemaName"]] = here
        elif _association(known) != _association(here):
            found[each["SchemaName"]] = {"whole": True, **here}
    seen = {each["SchemaName"] for each in between}
    found |= {name: "absent" for name in usual.get("associations") or {} if name not in seen}
    return {"associations": dict(sorted(found.items()))} if found else {}


def _association(given: Facts) -> tuple[Any, ...]:
    table = given["table"]
    return table, given.get("set", f"{table}collection"), given.get("key", f"{table}id"), sorted(given["between"])


def _processes(found: Mapping[str, Facts], captured: Mapping[str, Any], usual: Facts) -> dict[str, Any]:
    known: Facts = usual.get("processes") or {}
    here: dict[str, Any] = {}
    for table, flow in sorted(found.items()):
        stages = [
            {
                "id": stage["processstageid"],
                "name": stage.get("stagename") or "",
                "category": stage.get("stagecategory"),
                "table": stage.get("primaryentitytypecode"),
            }
            for stage in flow["stages"]
        ]
        if table not in captured or not all(stage["table"] in captured for stage in stages):
            continue
        process: dict[str, Any] = {"id": flow["workflowid"], "name": flow["name"]}
        process |= {"order": flow.get("processorder") or 0, "stages": stages}
        base: Facts | None = known.get(table)
        if base is not None and {key: base.get(key) for key in process} == process:
            continue
        if base is not None and "writes_salesstage" in base:
            process["writes_salesstage"] = base["writes_salesstage"]
        here[table] = {"whole": True, **process} if base is not None else process
    here |= {table: "absent" for table in known if table not in found}
    return {"processes": dict(sorted(here.items()))} if here else {}
