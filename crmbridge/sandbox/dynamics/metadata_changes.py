"""RetrieveMetadataChanges: chosen definitions in one answer, nothing where nothing changed since (dataverse-api §5).

The query is an EntityQueryExpression as JSON. The details of its answer are (unverified).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context, answer
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query, not_served
from crmbridge.sandbox.dynamics.key_index import keys_of
from crmbridge.sandbox.dynamics.metadata import (
    LANGUAGE,
    PREFIX,
    attribute,
    entity,
    keys,
    many_to_many,
    many_to_one,
    one_to_many,
)
from crmbridge.sandbox.dynamics.metadata_members import Document
from crmbridge.sandbox.dynamics.tables import Table

_MEMBERS = frozenset({"Properties", "Criteria", "AttributeQuery", "RelationshipQuery", "KeyQuery", "LabelQuery"})
_ALWAYS = ("@odata.type", "MetadataId", "LogicalName", "HasChanged")
# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/deletedmetadatafilters
_KIND = "(?:Default|Entity|Attribute|Relationship|Label|OptionSet|All)"
_FILTERS = re.compile(rf"(?:Microsoft\.Dynamics\.CRM\.DeletedMetadataFilters)?'?{_KIND}(?:, ?{_KIND})*'?")
Test = Callable[[Document], bool]


def retrieve_metadata_changes(ctx: Context, given: Mapping[str, str]) -> Reply:
    filters = given.get("DeletedMetadataFilters")
    if filters is not None and _FILTERS.fullmatch(filters) is None:
        raise bad_query(f"'{filters}' is no value of DeletedMetadataFilters.")
    query = _object(given.get("Query"), "Query", _MEMBERS)
    stamp = f"{ctx.store.metadata_version}!{ctx.tenant}"
    body: Document = {
        "@odata.context": f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveMetadataChangesResponse",
        "EntityMetadata": [],
        "ServerVersionStamp": stamp,
        "DeletedMetadata": None,
    }
    since = given.get("ClientVersionStamp")
    if since is not None and filters is not None:  # both are needed; nothing of what they name is ever deleted here
        body["DeletedMetadata"] = {"Count": 0, "IsReadOnly": False, "Keys": [], "Values": []}
    if since is not None and since.partition("!")[2] != ctx.tenant:
        raise DataverseError(400, "0x80044352", "Version stamp associated with the client has expired.")  # (unverified)
    if since != stamp:
        body["EntityMetadata"] = _entities(ctx, query)
    return answer(body)


def _entities(ctx: Context, query: Mapping[str, Any]) -> list[Document]:
    _languages(query.get("LabelQuery"))
    test, chosen = _criteria(query.get("Criteria")), _properties(query.get("Properties"))
    parts = {
        "Attributes": _part(query, "AttributeQuery", chosen),
        "Keys": _part(query, "KeyQuery", chosen),
        "OneToManyRelationships": _part(query, "RelationshipQuery", chosen),
        "ManyToOneRelationships": _part(query, "RelationshipQuery", chosen),
        "ManyToManyRelationships": _part(query, "RelationshipQuery", chosen),
    }
    found: list[Document] = []
    for table in ctx.shape.tables.values():
        document = entity(ctx.shape, table)
        if not test(document):
            continue
        shown = _shown(document, chosen)
        for name, part in parts.items():
            if part is not None and (chosen is None or name in chosen):
                shown[name] = [_shown(each, part[1]) for each in _related(ctx, table, name) if part[0](each)]
        found.append(shown)
    return found


def _related(ctx: Context, table: Table, name: str) -> list[Document]:
    match name:
        case "Attributes":
            return [attribute(table, column) for column in table.columns.values()]
        case "Keys":
            return keys(table, keys_of(ctx.store, ctx.now, table))
        case "OneToManyRelationships":
            return one_to_many(ctx.shape, table)
        case "ManyToOneRelationships":
            return many_to_one(ctx.shape, table)
        case _:
            return many_to_many(ctx.shape, table)


def _part(
    query: Mapping[str, Any], name: str, chosen: frozenset[str] | None
) -> tuple[Test, frozenset[str] | None] | None:
    if query.get(name) is None:
        return (_criteria(None), None) if chosen is not None else None
    part = _object(query[name], name, frozenset({"Properties", "Criteria"}))
    return _criteria(part.get("Criteria")), _properties(part.get("Properties"))


def _shown(document: Document, chosen: frozenset[str] | None) -> Document:
    """Names that a kind of definition does not have are passed over: one list serves columns of all kinds."""
    if chosen is None:
        return dict(document)
    return {name: value for name, value in document.items() if name in chosen or name in _ALWAYS}


def _properties(given: Any) -> frozenset[str] | None:
    """The names that are asked for; None for all."""
    if given is None:
        return frozenset()
    body = _object(given, "Properties", frozenset({"AllProperties", "PropertyNames"}))
    names = body.get("PropertyNames") or []
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise bad_query("'PropertyNames' must be a list of names.")  # §5; text (unverified), as below
    return None if body.get("AllProperties") is True else frozenset(names)


def _criteria(given: Any) -> Test:
    if given is None:
        return lambda document: True
    body = _object(given, "Criteria", frozenset({"FilterOperator", "Conditions", "Filters"}))
    operator = body.get("FilterOperator", "And")
    if operator not in {"And", "Or"}:
        raise bad_query("'FilterOperator' must be 'And' or 'Or'.")
    tests = [_condition(each) for each in _list(body, "Conditions")]
    tests += [_criteria(each) for each in _list(body, "Filters")]
    if not tests:
        return lambda document: True
    combine = all if operator == "And" else any
    return lambda document: combine(test(document) for test in tests)


def _condition(given: Any) -> Test:
    body = _object(given, "Conditions", frozenset({"PropertyName", "ConditionOperator", "Value"}))
    name, operator = body.get("PropertyName"), body.get("ConditionOperator")
    value: Any = body.get("Value")
    value = value.get("Value") if isinstance(value, dict) else value
    match operator:
        case "Equals":
            return lambda document: _value(document, name) == value
        case "NotEquals":
            return lambda document: _value(document, name) != value
        case "In" | "NotIn" if isinstance(value, list):
            wanted: Sequence[Any] = value
            return lambda document: (_value(document, name) in wanted) is (operator == "In")
        case _:
            raise not_served(f"the condition {operator!r} of RetrieveMetadataChanges (§5)")


def _value(document: Document, name: Any) -> Any:
    if name not in document:
        raise bad_query(f"The property '{name}' does not exist on {PREFIX}MetadataBase.")
    found = document[name]
    return found["Value"] if isinstance(found, dict) and "Value" in found else found


def _languages(given: Any) -> None:
    """Labels have one language: a query for others would be answered with labels that were not asked for."""
    if given is None:
        return
    body = _object(given, "LabelQuery", frozenset({"FilterLanguages", "MissingLabelBehavior"}))
    if body.get("FilterLanguages") not in (None, [], [LANGUAGE]) or body.get("MissingLabelBehavior") not in (None, 0):
        raise not_served("labels in languages other than 1033 (§5)")


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise bad_query(f"'{name}' must be a list.")
    return found


def _object(given: Any, name: str, members: frozenset[str]) -> Mapping[str, Any]:
    if isinstance(given, str) or given is None:
        try:
            given = msgspec.json.decode(given or "")
        except msgspec.DecodeError:
            given = None
    if not isinstance(given, dict):
        raise bad_query(f"The parameter '{name}' of RetrieveMetadataChanges must be an object.")
    unknown = sorted(set(given) - members - {"@odata.type", "ExtensionData"})
    if unknown:
        raise not_served(f"{unknown[0]} in {name} of RetrieveMetadataChanges (§5)")
    return given
