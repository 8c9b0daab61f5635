"""The resources `search` and `parameterizedSearch`: rows whose texts hold the words looked for (see `sosl.py`).

Errors have the shapes of salesforce-api §9.1; the sheet says nothing else of searches, and MALFORMED_SEARCH and its
texts are (unverified).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import sosl
from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow, since
from crmbridge.sandbox.salesforce.errors import not_served, refuse
from crmbridge.sandbox.salesforce.query import Engine
from crmbridge.sandbox.salesforce.schema import TEXT, SObject
from crmbridge.sandbox.salesforce.soql import parse
from crmbridge.sandbox.salesforce.soql_tree import Every, FieldPath, InList, Value
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.shaping import plain

PARAMETERIZED_SINCE: Final = 36
_AS_OBJECT_SINCE: Final = 37  # before, the answer is the list of rows alone (unverified)
_NAMES: Final = frozenset({"Name", "FirstName", "LastName", "Company", "Subject", "Title"})
_SETTINGS: Final = ("q", "in", "fields", "sobject", "sobjects", "overallLimit", "defaultLimit")
_OF_OBJECT: Final = ("fields", "where", "orderBy", "limit")


class Searching:
    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def search(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("search")
        if not ask.options.get("q"):  # the code (unverified)
            raise refuse("MALFORMED_SEARCH", "No search term found. The search term must be enclosed in braces.")
        return self._answer(ask, sosl.parse(ask.options["q"]))

    def parameterized(self, ask: Ask) -> Answer:
        allow(ask, "GET", "POST")
        since(ask, PARAMETERIZED_SINCE)
        ask.log.note("search")
        return self._answer(ask, _settings(ask.document()) if ask.method == "POST" else _settings(_nested(ask.options)))

    def _answer(self, ask: Ask, search: sosl.Search) -> Answer:
        wanted = sosl.matcher(search.term)
        returning = search.returning or [
            sosl.Returning(name=sobject.name, fields="", rest="")
            for sobject in self._store.shape.objects.values()
            if _searchable(sobject)
        ]
        records: list[Any] = []
        for one in returning:
            records += self._found(ask, one, search.scope, wanted)
        records = records[: search.limit]
        return Answer(body={"searchRecords": records} if ask.release >= _AS_OBJECT_SINCE else records)

    def _found(self, ask: Ask, one: sosl.Returning, scope: str, wanted: sosl.Matcher) -> list[Any]:
        query = parse(one.soql)
        engine = Engine(self._store, self._now(), version=ask.version, user=ask.user)
        sobject = engine.scope(query).sobject
        if not _searchable(sobject):  # the code (unverified)
            raise refuse("INVALID_TYPE", f"sObject type '{sobject.name}' is not searchable.")
        names = _fields(sobject, scope)
        ids = [key for key, row in self._store.rows(sobject).items() if _holds(row, names, wanted)]
        if not ids:
            return []
        at = query.source_at
        among = InList(FieldPath(("Id",), at), tuple(Value("string", key) for key in ids), negated=False)
        where = among if query.where is None else Every((among, query.where))
        limit = sosl.RESULTS_MAX if query.limit is None else min(query.limit, sosl.RESULTS_MAX)
        found = engine.run(replace(query, where=where, limit=limit))
        if found.project is None:
            raise refuse("MALFORMED_SEARCH", "A search shows rows, not sums of them.")  # (unverified)
        return plain(found.project.page(engine.shown(found.sobject, found.ids)))


def _searchable(sobject: SObject) -> bool:
    return sobject.document.searchable and sobject.document.queryable and not sobject.document.setup


def _fields(sobject: SObject, scope: str) -> list[str]:
    """The fields that a search looks into, by its scope."""
    if scope in ("EMAIL", "PHONE"):
        return [field.name for field in sobject.fields.values() if field.type == scope.lower()]
    if scope == "NAME":
        return [field.name for field in sobject.fields.values() if field.name_field or field.name in _NAMES]
    return [field.name for field in sobject.fields.values() if field.type in TEXT]


def _holds(row: Row, names: list[str], wanted: sosl.Matcher) -> bool:
    if row.get("IsDeleted"):
        return False
    texts = [value for name in names if isinstance(value := row.get(name), str)]
    if not texts:
        return False
    return wanted([word for text in texts for word in (*sosl.words(text), "")])  # no phrase goes from text to text


# -- parameterized search --------------------------------------------------------------------------------------------


def _nested(options: Mapping[str, str]) -> dict[str, Any]:
    """The URL's parameters as the body has them: `Account.limit=10` is a setting of that object."""
    given: dict[str, Any] = {}
    objects: dict[str, dict[str, Any]] = {name: {} for name in options.get("sobject", "").split(",") if name}
    for name, value in options.items():
        kind, dot, setting = name.partition(".")
        if dot:
            objects.setdefault(kind, {})[setting] = value
        elif name != "sobject":
            given[name] = value
    return given | {"sobjects": [{"name": name, **settings} for name, settings in objects.items()]}


def _settings(given: Mapping[str, Any]) -> sosl.Search:
    for name in given:
        if name not in _SETTINGS:
            raise not_served(f"the setting {name} of a search")
    if not isinstance(given.get("q"), str) or not given["q"]:  # the code (unverified)
        raise refuse("MALFORMED_SEARCH", "The parameter q is required.")
    scope = str(given.get("in", "ALL")).upper()
    if scope not in sosl.SCOPES:
        raise refuse("MALFORMED_SEARCH", f"unexpected token: {given['in']}")
    objects = given.get("sobjects") or []
    if not isinstance(objects, list) or not all(isinstance(each, dict) and each.get("name") for each in objects):
        raise refuse("JSON_PARSER_ERROR", "sobjects must be a list of objects with a name at [line:1, column:1]")
    default = _count(given.get("defaultLimit"), sosl.RESULTS_MAX)
    returning = tuple(_returning(each, given.get("fields"), default) for each in objects)
    limit = _count(given.get("overallLimit"), sosl.RESULTS_MAX)
    return sosl.Search(term=given["q"], scope=scope, returning=returning, limit=limit)


def _returning(each: Mapping[str, Any], fields: Any, default: int) -> sosl.Returning:
    for name in each:
        if name != "name" and name not in _OF_OBJECT:
            raise not_served(f"the setting {name} of an object of a search")
    shown = each.get("fields", fields) or "Id"
    where, order = each.get("where"), each.get("orderBy")
    rest = f"{f'WHERE {where} ' if where else ''}{f'ORDER BY {order} ' if order else ''}"
    rest += f"LIMIT {_count(each.get('limit'), default)}"
    return sosl.Returning(
        name=str(each["name"]), fields=", ".join(shown) if isinstance(shown, list) else str(shown), rest=rest
    )


def _count(value: Any, otherwise: int) -> int:
    if value is None:
        return otherwise
    if not re.fullmatch(r"[0-9]{1,9}", str(value)):  # the code (unverified)
        raise refuse("INVALID_INPUT", f"{value} is no number of rows")
    return min(int(value), sosl.RESULTS_MAX)
