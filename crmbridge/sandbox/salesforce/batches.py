"""Many records in one call: sObject Collections, all five verbs (salesforce-api §3.2)."""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, Final

from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow, flag, since
from crmbridge.sandbox.salesforce.errors import ROLLED_BACK, SfError, Undo, not_found, refuse
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.rest import Rest
from crmbridge.sandbox.salesforce.schema import SObject

RECORDS_MAX: Final = 200
CHUNKS_MAX: Final = 10  # changes of type within one list
READ_MAX: Final = 2000  # (unverified)
SINCE: Final = 42
Result = dict[str, Any]


class Collections:
    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def answer(self, ask: Ask) -> Answer:
        """Everything under composite/sobjects."""
        since(ask, SINCE)
        match ask.parts[2:]:
            case ():
                allow(ask, "POST", "PATCH", "DELETE")
                return self._delete(ask) if ask.method == "DELETE" else self._save(ask)
            case (name,):
                allow(ask, "GET", "POST")
                return self._retrieve(ask, self._rest.sobject(name))
            case (name, field):
                allow(ask, "PATCH")
                return self._upsert(ask, self._rest.sobject(name), field)
            case _:
                raise not_found()

    def _save(self, ask: Ask) -> Answer:
        kind = "create" if ask.method == "POST" else "update"
        ask.log.note(f"collections_{kind}")
        items, whole = self._items(ask)

        def save(sobject: SObject, item: Mapping[str, Any]) -> Result:
            if kind == "create":
                return self._saved(ask, sobject, self._rest.records.create(sobject, item, ask.caller))
            keys = [str(value) for name, value in item.items() if name.lower() == "id" and value]
            if not keys:
                raise refuse("MISSING_ARGUMENT", "Id not specified in an update call", [])  # §3.2; (unverified)
            if len(keys) > 1:  # §3.2: `id` or `Id`; (unverified)
                raise refuse("INVALID_FIELD", "Duplicate field Id specified", ["Id"])
            values = {name: value for name, value in item.items() if name.lower() != "id"}
            # §3.5 knows preconditions for one record only, so none are held here
            row = self._rest.records.named(sobject, keys[0])
            return self._saved(ask, sobject, self._rest.records.update(sobject, row, values, ask.caller))

        typed = [(self._type(item), item) for item in items]
        if sum(1 for _ in groupby(typed, key=lambda pair: pair[0].name)) > CHUNKS_MAX:
            raise refuse(
                "LIMIT_EXCEEDED", f"The records change their type more than {CHUNKS_MAX} times; sort them by type."
            )
        ask.log.operations += [(sobject.name, kind) for sobject, _ in typed]
        ask.log.table = typed[0][0].name if typed else ""
        return self._each([lambda s=s, i=i: save(s, i) for s, i in typed], whole=whole)

    def _upsert(self, ask: Ask, sobject: SObject, name: str) -> Answer:
        ask.log.note("collections_upsert", sobject.name)
        external = self._rest.records.external_field(sobject, name)
        items, whole = self._items(ask)
        seen: dict[Any, int] = {}
        for item in items:
            if self._type(item) is not sobject:
                raise refuse("INVALID_TYPE", f"All records of this call must be of type {sobject.name}.")
            value = next((value for key, value in item.items() if key.lower() == external.name.lower()), None)
            seen[value] = seen.get(value, 0) + 1

        def save(item: Mapping[str, Any]) -> Result:
            value = next((value for key, value in item.items() if key.lower() == external.name.lower()), None)
            if value is None and external.name != "Id":  # (unverified)
                raise refuse("MISSING_ARGUMENT", f"{external.name} not specified", [])
            if value is not None and seen[value] > 1:
                raise refuse("DUPLICATE_EXTERNAL_ID", f"Duplicate external id specified: {value}", [external.name])
            rows = self._rest.records.by_external_id(sobject, external, value) if value is not None else []
            if len(rows) > 1:
                raise refuse(
                    "DUPLICATE_EXTERNAL_ID", f"Multiple records found with {external.name} {value}", [external.name]
                )
            if rows:
                skipped = {"id", external.name.lower()}
                values = {key: part for key, part in item.items() if key.lower() not in skipped}
                key = self._rest.records.update(sobject, rows[0], values, ask.caller)
                return self._saved(ask, sobject, key, created=False)
            if external.name == "Id" and value is not None:
                raise refuse("NOT_FOUND", "The requested resource does not exist", [])
            values = {key: part for key, part in item.items() if key.lower() != "id"}
            key = self._rest.records.create(sobject, values, ask.caller)
            return self._saved(ask, sobject, key, created=True)

        ask.log.operations += [(sobject.name, "upsert")] * len(items)
        return self._each([lambda i=i: save(i) for i in items], whole=whole)

    def _delete(self, ask: Ask) -> Answer:
        ask.log.note("collections_delete")
        keys = _listed(ask, "ids")
        _few(len(keys))
        by_prefix = self._rest.store.shape.by_prefix

        def remove(key: str) -> Result:
            sobject = by_prefix.get(key[:3])
            if canonical(key) is None or sobject is None:
                raise refuse("MALFORMED_ID", f"malformed id {key}", [])
            row = self._rest.records.named(sobject, key)
            self._rest.records.delete(sobject, row, ask.caller)
            return {"id": row["Id"], "success": True, "errors": []}

        tables = [by_prefix[key[:3]].name if key[:3] in by_prefix else "" for key in keys]
        ask.log.operations += [(table, "delete") for table in tables]
        ask.log.table = tables[0] if tables else ""
        whole = flag(ask.options, "allOrNone")
        return self._each([lambda k=k: remove(k) for k in keys], whole=whole)

    def _retrieve(self, ask: Ask, sobject: SObject) -> Answer:
        """§3.2: null in the place of ids that are not there."""
        ask.log.note("collections_retrieve", sobject.name)
        if sobject.document.setup:
            ask.log.category = "metadata"
        given = (
            ask.envelope("ids", "fields")
            if ask.method == "POST"
            else {key: _listed(ask, key) for key in ("ids", "fields")}
        )
        ids, names = given.get("ids"), given.get("fields")
        if not isinstance(ids, list) or not isinstance(names, list):
            raise refuse("JSON_PARSER_ERROR", "ids and fields must be lists at [line:1, column:1]")
        if len(ids) > READ_MAX:
            raise refuse(
                "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {READ_MAX} records in this call"
            )
        ask.log.operations += [(sobject.name, "retrieve")] * len(ids)
        shown: list[Any] = []
        for key in ids:
            row = self._rest.store.get(sobject, canonical(str(key)) or "")
            there = row is not None and not row.get("IsDeleted")
            shown.append(self._rest.show(ask, sobject, row, [str(name) for name in names]) if there and row else None)
        return Answer(body=shown)

    def _items(self, ask: Ask) -> tuple[list[dict[str, Any]], bool]:
        body = ask.envelope("records", "allOrNone")
        items = body.get("records")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise refuse("JSON_PARSER_ERROR", "records must be a list of objects at [line:1, column:1]")
        _few(len(items))
        return items, flag(body, "allOrNone")

    def _saved(self, ask: Ask, sobject: SObject, key: str, *, created: bool | None = None) -> Result:
        self._rest.recent.touch(ask, sobject, key)
        result: Result = {"id": key, "success": True, "errors": []}
        return result if created is None else {**result, "created": created}

    def _type(self, item: Mapping[str, Any]) -> SObject:
        attributes = item.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        if not isinstance(name, str):
            raise refuse("INVALID_TYPE", "attributes.type is required for every record")
        found = self._rest.store.shape.object(name)
        if found is None:
            raise refuse("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def _each(self, actions: list[Callable[[], Result]], *, whole: bool) -> Answer:
        """Each record alone, or all or none; results by position, HTTP 200 either way."""
        results: list[Result] = []
        try:
            with self._rest.store.tables.transaction():
                for action in actions:
                    results.append(self._one(action))
                if whole and not all(result["success"] for result in results):
                    raise Undo
        except Undo:
            rolled_back = {"success": False, "errors": [ROLLED_BACK.listed()]}
            results = [rolled_back if result["success"] else result for result in results]
        return Answer(body=results)

    def _one(self, action: Callable[[], Result]) -> Result:
        try:
            with self._rest.store.tables.transaction():
                return action()
        except SfError as error:
            if error.problems[0].code == "JSON_PARSER_ERROR":
                raise  # the request as a whole cannot be read (unverified)
            return {"success": False, "errors": [problem.listed() for problem in error.problems]}


def _listed(ask: Ask, name: str) -> list[str]:
    """A parameter of the URL that holds several values; without one there is nothing to do (the code (unverified))."""
    values = [value.strip() for value in ask.options.get(name, "").split(",") if value.strip()]
    if not values:
        raise refuse("MISSING_ARGUMENT", f"The parameter {name} is required.")  # (unverified)
    return values


def _few(count: int) -> None:
    if count > RECORDS_MAX:
        raise refuse(
            "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {RECORDS_MAX} records in this call"
        )
