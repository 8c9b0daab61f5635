"""Running SOQL: names are resolved, filters become closures, and only as many rows are looked at as needed.

An equality on an id or an indexed field is a dictionary look-up; a range of SystemModstamp reads the sorted stamps; the
rest scans (salesforce-api §2).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import dates
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.shape import NUMBER, TEXT, Field, SObject
from crmbridge.sandbox.salesforce.soql import (
    Compare,
    Condition,
    DateLiteral,
    Every,
    Function,
    InList,
    Not,
    FieldPath,
    Query,
    SemiJoin,
    Some,
    Value,
    at_spot,
    malformed,
)
from crmbridge.sandbox.salesforce.store import Store, fold
from crmbridge.sandbox.salesforce.values import address, number, read_date, read_instant, stamp

RECYCLE_BIN: Final = timedelta(days=15)  # §8.3
OFFSET_MAX: Final = 2000  # §2.3
FIELDS_LIMIT_MAX: Final = 200  # §2.1, FIELDS(ALL) and FIELDS(CUSTOM)
GROUPS_MAX: Final = 2000  # §2.1

Getter = Callable[[Row], Any]
Test = Callable[[Row], bool]
Project = Callable[[Row], Any]

_HINT: Final = (
    "If you are attempting to use a custom {what}, be sure to append the '__{suffix}' after the custom {what} name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a query selects: the ids of a snapshot and how to show a row, or finished aggregate rows."""

    sobject: SObject
    ids: tuple[str, ...]
    project: Project
    finished: tuple[dict[str, Any], ...] | None = None  # aggregates: not pageable (§2.1)
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A resolved path: the field, the objects it may live on, and how to reach its value."""

    field: Field
    get: Getter
    own: bool  # on the queried object itself, so that an index may serve


class Engine:
    """Queries one store at one moment; `deleted` is queryAll's view (§2.1)."""

    def __init__(self, store: Store, now: datetime, *, version: str = "59.0", deleted: bool = False) -> None:
        self._store = store
        self._shape = store.shape
        self._now = now
        self._version = version
        self._deleted = deleted
        self._bin_opened = stamp(now - RECYCLE_BIN)

    # -- public --------------------------------------------------------------------------------------------------

    def run(self, query: Query) -> Found:
        sobject = self._shape.object(query.source)
        if sobject is None or not sobject.document.queryable:
            message = f"sObject type '{query.source}' is not supported. " + _HINT.format(what="object", suffix="c")
            raise at_spot(query.text, query.source_at, message, "INVALID_TYPE")
        if query.offset > OFFSET_MAX:
            message = f"Maximum SOQL offset allowed is {OFFSET_MAX}"
            raise at_spot(query.text, query.source_at, message, "NUMBER_OUTSIDE_VALID_RANGE")
        if query.group or any(
            isinstance(item, Function) and item.name not in ("TOLABEL", "FIELDS") for item in query.items
        ):
            return self._aggregate(sobject, query)
        project = self._projection(sobject, query)
        rows = self._select(sobject, query)
        ids = tuple(row["Id"] for row in rows)
        return Found(sobject=sobject, ids=ids, project=project, total=len(ids))

    def test(self, sobject: SObject, condition: Condition, text: str) -> Test:
        """A filter as a function of a row."""
        return self._test(sobject, Query(text=text, items=(), source=sobject.name, source_at=0), condition)

    def visible(self, row: Row) -> bool:
        """Deleted rows are there for queryAll alone, until the recycle bin is emptied (§8.3)."""
        if not row.get("IsDeleted"):
            return True
        return self._deleted and row["SystemModstamp"] >= self._bin_opened

    # -- rows ----------------------------------------------------------------------------------------------------

    def _select(self, sobject: SObject, query: Query) -> list[Row]:
        where = query.where
        test = self._test(sobject, query, where) if where is not None else None
        orderings = [(self._column(sobject, query, item.path), item) for item in query.order]
        for column, item in orderings:
            if not column.field.sortable:
                message = f"field '{item.path.parts[-1]}' can not be sorted in a query call"
                raise at_spot(query.text, item.path.at, message, "INVALID_FIELD")
        rows, in_order = self._candidates(
            sobject, query, [(column.field.name, column.own, item.descending) for column, item in orderings]
        )
        chosen = (row for row in rows if self.visible(row) and (test is None or test(row)))
        wanted = None if query.limit is None else query.offset + query.limit
        if in_order or not orderings:
            picked = _take(chosen, wanted)
        else:
            picked = list(chosen)
            for column, item in reversed(orderings):
                get, last = column.get, item.nulls_last != item.descending

                def key(row: Row, get: Getter = get, last: bool = last) -> tuple[bool, Any]:
                    value = get(row)
                    return (value is None) is last, "" if value is None else fold(value)

                picked.sort(key=key, reverse=item.descending)
            picked = picked[:wanted]
        return picked[query.offset :]

    def _candidates(
        self, sobject: SObject, query: Query, order: Sequence[tuple[str, bool, bool]]
    ) -> tuple[Iterable[Row], bool]:
        """As few rows as the filter's shape allows, and whether they come in the order asked for."""
        table = self._store.rows(sobject)
        ids = self._narrow(sobject, query, query.where) if query.where is not None else None
        if ids is not None:
            return [table[key] for key in ids if key in table], False
        low, high = self._bounds(sobject, query, query.where)
        by_stamp = bool(order) and all(own and not descending for _, own, descending in order)
        by_stamp = by_stamp and [name for name, *_ in order] in (["SystemModstamp"], ["SystemModstamp", "Id"])
        if low is not None or high is not None or by_stamp:
            return self._store.by_stamp(sobject, low or "", high or "~"), by_stamp
        return list(table.values()), False

    def _narrow(self, sobject: SObject, query: Query, condition: Condition) -> list[str] | None:
        """Ids among which every match must be, in order; None where no index helps."""
        match condition:
            case Every(parts):
                found = [ids for part in parts if (ids := self._narrow(sobject, query, part)) is not None]
                return min(found, key=len) if found else None
            case Some(parts):
                each = [self._narrow(sobject, query, part) for part in parts]
                return None if any(ids is None for ids in each) else sorted({key for ids in each if ids for key in ids})
            case Compare(path, "=", Value(value=str() as text)):
                return self._look_up(sobject, query, path, [text])
            case InList(path, values, False) if all(value.kind == "string" for value in values):
                return self._look_up(sobject, query, path, [value.value for value in values])
            case _:
                return None

    def _look_up(self, sobject: SObject, query: Query, path: FieldPath, texts: Sequence[str]) -> list[str] | None:
        field = self._column(sobject, query, path).field if len(self._plain(query, sobject, path)) == 1 else None
        if field is None or not (field.name == "Id" or field.indexed) or not all(texts):
            return None
        if field.type in ("id", "reference"):
            texts = [found for text in texts if (found := canonical(text))]
        if field.name == "Id":
            return sorted(set(texts))
        return sorted({key for text in texts for key in self._store.find(sobject, field.name, text)})

    def _bounds(self, sobject: SObject, query: Query, condition: Condition | None) -> tuple[str | None, str | None]:
        """The span of SystemModstamp outside of which nothing can match."""
        match condition:
            case Every(parts):
                each = [self._bounds(sobject, query, part) for part in parts]
                lows, highs = [low for low, _ in each if low], [high for _, high in each if high]
                return max(lows, default=None), min(highs, default=None)
            case Some(parts):
                each = [self._bounds(sobject, query, part) for part in parts]
                lows, highs = [low for low, _ in each], [high for _, high in each]
                low = None if None in lows else min(low for low in lows if low)
                return low, None if None in highs else max(high for high in highs if high)
            case Compare(path, operator, Value(kind="datetime", value=text)):
                if [part.lower() for part in self._plain(query, sobject, path)] != ["systemmodstamp"]:
                    return None, None
                moment = read_instant(text)
                low = moment if operator in (">", ">=", "=") else None
                return low, moment if operator in ("<", "<=", "=") else None
            case _:
                return None, None

    # -- names ---------------------------------------------------------------------------------------------------

    def _plain(self, query: Query, sobject: SObject, path: FieldPath) -> tuple[str, ...]:
        """The path without the query's alias or the object's own name in front."""
        first = path.parts[0].lower()
        own = {sobject.name.lower(), (query.alias or sobject.name).lower()}
        return path.parts[1:] if len(path.parts) > 1 and first in own and first not in sobject.relations else path.parts

    def _column(self, sobject: SObject, query: Query, path: FieldPath) -> _Column:
        parts = self._plain(query, sobject, path)
        hops, targets = self._hops(sobject, query, path, parts[:-1])
        field = next((found for target in targets if (found := target.field(parts[-1]))), None)
        if field is None:
            entity = targets[0].name if len(targets) == 1 else "Name"  # what a polymorphic parent is called
            message = f"No such column '{parts[-1]}' on entity '{entity}'. " + _HINT.format(what="field", suffix="c")
            raise at_spot(query.text, path.at, message, "INVALID_FIELD")
        name, last = field.name, _value_of(field)
        if not hops:
            return _Column(field=field, get=last, own=True)

        def get(row: Row) -> Any:
            parent: Row | None = row
            for reference in hops:
                parent = self._parent(parent, reference)
                if parent is None:
                    return None
            return _owner_type(parent) if name == "Type" and len(targets) > 1 else last(parent)

        return _Column(field=field, get=get, own=False)

    def _hops(
        self, sobject: SObject, query: Query, path: FieldPath, parts: Sequence[str]
    ) -> tuple[list[Field], list[SObject]]:
        targets, hops = [sobject], list[Field]()
        for part in parts:
            reference = next((found for target in targets if (found := target.relations.get(part.lower()))), None)
            targets = [
                found for name in (reference.reference_to if reference else ()) if (found := self._shape.object(name))
            ]
            if reference is None or not targets:
                message = f"Didn't understand relationship '{part}' in field path. " + _HINT.format(
                    what="relationship", suffix="r"
                )
                raise at_spot(query.text, path.at, message, "INVALID_FIELD")
            hops.append(reference)
        return hops, targets

    def _parent(self, row: Row, reference: Field) -> Row | None:
        key = row.get(reference.name)
        if key is None:
            return None
        found = (
            self._store.get(target, key) for name in reference.reference_to if (target := self._shape.object(name))
        )
        return next((parent for parent in found if parent is not None), None)

    # -- filters -------------------------------------------------------------------------------------------------

    def _test(self, sobject: SObject, query: Query, condition: Condition) -> Test:
        match condition:
            case Every(parts):
                tests = [self._test(sobject, query, part) for part in parts]
                return lambda row: all(test(row) for test in tests)
            case Some(parts):
                tests = [self._test(sobject, query, part) for part in parts]
                return lambda row: any(test(row) for test in tests)
            case Not(inner):
                test = self._test(sobject, query, inner)
                return lambda row: not test(row)
            case InList(path, values, negated):
                column = self._filterable(sobject, query, path)
                spans = [self._span(query, path, column.field, value) for value in values]
                exact = {low for low, high in spans if low == high}
                if len(exact) == len({low for low, _ in spans}) and not column.field.case_sensitive:
                    get = column.get
                    return lambda row: (fold(get(row)) in exact) is not negated
                tests = [self._compare(query, path, column, "=", value) for value in values]
                return lambda row: any(test(row) for test in tests) is not negated
            case SemiJoin(path, inner, negated):
                return self._semi_join(sobject, query, path, inner, negated=negated)
            case Compare(path, "LIKE", value):
                column = self._filterable(sobject, query, path)
                if column.field.type not in TEXT:
                    raise at_spot(
                        query.text, path.at, f"invalid operator on {column.field.type} field", "INVALID_FIELD"
                    )
                pattern, get = _like(value.value), column.get
                return lambda row: (text := get(row)) is not None and pattern.fullmatch(text) is not None
            case Compare(path, ("INCLUDES" | "EXCLUDES") as operator, values):
                column = self._filterable(sobject, query, path)
                wanted = [{part.casefold() for part in value.value.split(";")} for value in values]
                get, negated = column.get, operator == "EXCLUDES"

                def includes(row: Row) -> bool:
                    chosen = set((get(row) or "").casefold().split(";"))
                    return any(want <= chosen for want in wanted) is not negated

                return includes
            case Compare(path, operator, value):
                return self._compare(query, path, self._filterable(sobject, query, path), operator, value)

    def _filterable(self, sobject: SObject, query: Query, path: FieldPath) -> _Column:
        column = self._column(sobject, query, path)
        if not column.field.filterable or column.field.type == "address":
            message = f"field '{path.parts[-1]}' can not be filtered in a query call"
            raise at_spot(query.text, path.at, message, "INVALID_FIELD")
        return column

    def _compare(self, query: Query, path: FieldPath, column: _Column, operator: str, value: Value) -> Test:
        low, high = self._span(query, path, column.field, value)
        get = column.get
        exact = column.field.case_sensitive
        if low is None:
            if operator not in ("=", "!="):
                message = f"invalid operator on {column.field.type} field"
                raise at_spot(query.text, path.at, message, "INVALID_FIELD")
            return (lambda row: get(row) is None) if operator == "=" else (lambda row: get(row) is not None)

        def known(test: Callable[[Any], bool], null: bool) -> Test:
            def run(row: Row) -> bool:
                found = get(row)
                return null if found is None else test(found if exact else fold(found))

            return run

        if exact:
            low = high = value.value
        match operator:
            case "=":
                return known(lambda found: low <= found <= high, null=False)
            case "!=":  # §2.3: also the rows where the field is null
                return known(lambda found: not low <= found <= high, null=True)
            case "<":
                return known(lambda found: found < low, null=False)
            case "<=":
                return known(lambda found: found <= high, null=False)
            case ">":
                return known(lambda found: found > high, null=False)
            case _:
                return known(lambda found: found >= low, null=False)

    def _span(self, query: Query, path: FieldPath, field: Field, value: Value) -> tuple[Any, Any]:
        """A literal as the smallest and greatest value that equals it: a day is a span of a datetime field."""

        def mistyped(kind: str, quotes: str) -> SfError:
            message = f"value of filter criterion for field '{path.parts[-1]}' must be of type {kind} and should {quotes}be enclosed in quotes"
            return at_spot(query.text, path.at, message, "INVALID_FIELD")

        if value.kind == "null":
            return None, None
        if value.kind == "money":
            raise at_spot(
                query.text, path.at, "This sandbox does not serve currency literals; a real org does.", "INVALID_FIELD"
            )
        if field.type in ("id", "reference"):
            if value.kind != "string":
                raise mistyped("ID", "")
            found = canonical(value.value)
            if found is None and value.value:
                raise at_spot(query.text, path.at, f"invalid ID field: {value.value}", "INVALID_QUERY_FILTER_OPERATOR")
            return fold(found), fold(found)
        if field.type in ("date", "datetime"):
            return self._moment(query, path, field, value, mistyped)
        if field.type == "boolean":
            if value.kind != "boolean":
                raise mistyped("boolean", "not ")
            return value.value, value.value
        if field.type in NUMBER or field.type == "int":
            if value.kind != "number":
                raise mistyped("double" if field.type != "int" else "int", "not ")
            return value.value, value.value
        if value.kind != "string":
            raise mistyped("string", "")
        return (None, None) if not value.value else (fold(value.value), fold(value.value))

    def _moment(
        self, query: Query, path: FieldPath, field: Field, value: Value, mistyped: Callable[[str, str], SfError]
    ) -> tuple[str, str]:
        kind = "date" if field.type == "date" else "dateTime"
        if value.kind == "relative" and isinstance(value.value, DateLiteral):
            zone = self._shape.org.zone
            days = dates.span(value.value, self._now.astimezone(zone).date())
            if days is None:
                raise malformed(query.text, path.at, f"unexpected token: '{value.raw}'")
            start, last = days[0], days[1] - timedelta(days=1)
            if field.type == "date":
                return start.isoformat(), last.isoformat()
            before_next = datetime.fromisoformat(f"{days[1].isoformat()}T00:00:00").replace(tzinfo=zone) - timedelta(
                seconds=1
            )
            return fold_stamp(dates.midnight(start, zone)), fold_stamp(stamp(before_next))
        # §2.3: a date field wants a date, a datetime field a datetime.
        if value.kind != kind.lower():
            raise mistyped(kind, "not ")
        found = read_date(value.value) if field.type == "date" else read_instant(value.value)
        if found is None:
            raise malformed(
                query.text, path.at, f"line 1:{path.at} no viable alternative at character '{value.value[0]}'"
            )
        return fold_stamp(found), fold_stamp(found)

    def _semi_join(self, sobject: SObject, query: Query, path: FieldPath, inner: Query, *, negated: bool) -> Test:
        """§2.3: one id or reference column of another object."""
        column, other = self._filterable(sobject, query, path), self._shape.object(inner.source)
        if other is sobject:
            raise malformed(query.text, path.at, "The inner and outer selects should not be on the same object type")
        if len(inner.items) != 1 or not isinstance(inner.items[0], FieldPath) or inner.order or inner.limit is not None:
            raise malformed(
                query.text,
                path.at,
                "semi join sub-selects can only query one id or reference field, without ORDER BY or LIMIT",
            )
        found = self.run(inner)
        chosen = self._column(found.sobject, inner, inner.items[0])
        if chosen.field.type not in ("id", "reference") or column.field.type not in ("id", "reference"):
            raise malformed(
                query.text,
                path.at,
                "semi join sub-selects can only query id fields, cannot use: " + str(inner.items[0]),
            )
        rows = (self._store.get(found.sobject, key) for key in found.ids)
        ids = {chosen.get(row) for row in rows if row is not None} - {None}
        get = column.get
        return lambda row: (get(row) in ids) is not negated

    # -- what is shown -------------------------------------------------------------------------------------------

    def _projection(self, sobject: SObject, query: Query) -> Project:
        leaves: list[tuple[str, Getter]] = []
        parents: dict[str, tuple[Field, list[FieldPath], list[SObject]]] = {}
        order: list[str] = []
        for item in query.items:
            if isinstance(item, Query):
                key, getter = self._children(sobject, query, item)
                leaves.append((key, getter))
                order.append(key)
            elif isinstance(item, Function):
                for key, getter in self._function(sobject, query, item):
                    leaves.append((key, getter))
                    order.append(key)
            elif len(parts := self._plain(query, sobject, item)) > 1:
                hops, targets = self._hops(sobject, query, item, parts[:1])
                key = hops[0].relationship_name or parts[0]
                if key not in parents:
                    parents[key] = (hops[0], [], targets)
                    order.append(key)
                self._column(sobject, query, item)  # the whole path must be known
                parents[key][1].append(FieldPath(parts[1:], item.at))
            else:
                column = self._column(sobject, query, item)
                if column.field.name in order:
                    raise at_spot(
                        query.text, item.at, f"duplicate field selected: {column.field.name}", "INVALID_FIELD"
                    )
                leaves.append((column.field.name, column.get))
                order.append(column.field.name)
        getters = dict(leaves)
        for key, (reference, paths, targets) in parents.items():
            getters[key] = self._nested(query, reference, paths, targets)
        columns = [(key, getters[key]) for key in order]
        kind, url = sobject.name, f"/services/data/v{self._version}/sobjects/{sobject.name}/"

        def project(row: Row) -> dict[str, Any]:
            answer: dict[str, Any] = {"attributes": {"type": kind, "url": url + row["Id"]}}
            for key, get in columns:
                answer[key] = get(row)
            return answer

        return project

    def _nested(self, query: Query, reference: Field, paths: list[FieldPath], targets: list[SObject]) -> Getter:
        """A parent as an object of its own, null where the lookup is empty (§2.1)."""
        projections: dict[str, Project] = {}
        for target in targets:
            known = tuple(
                path
                for path in paths
                if len(path.parts) > 1 or target.field(path.parts[0]) or path.parts[0].lower() == "type"
            )
            missing = [path.parts[0] for path in known if len(path.parts) == 1 and not target.field(path.parts[0])]
            shown = tuple(path for path in known if path.parts[0] not in missing)
            inner = Query(text=query.text, items=shown, source=target.name, source_at=0)
            projections[target.name] = self._projection(target, inner)
        wants_type = next(
            (path.parts[0] for path in paths if path.parts[0].lower() == "type" and len(targets) > 1), None
        )
        names = list(dict.fromkeys(path.parts[0] for path in paths if len(path.parts) == 1))

        def get(row: Row) -> Any:
            parent = self._parent(row, reference)
            if parent is None:
                return None
            target = self._shape.by_prefix[parent["Id"][:3]] if len(targets) > 1 else targets[0]
            shown = projections[target.name](parent)
            if wants_type:
                shown["Type"] = _owner_type(parent)
            if len(targets) > 1:  # fields that this kind of parent lacks are null
                for name in names:
                    field = target.field(name)
                    shown.setdefault(field.name if field else name, None)
            return shown

        return get

    def _children(self, sobject: SObject, query: Query, inner: Query) -> tuple[str, Getter]:
        """A child subquery: an object like the outer result, null without children (§2.1)."""
        for child, reference in self._shape.children.get(sobject.name, ()):
            name = reference.child_relationship_name
            if name and name.lower() == inner.source.lower():
                break
        else:
            message = f"Didn't understand relationship '{inner.source}' in FROM part of query call. " + _HINT.format(
                what="relationship", suffix="r"
            )
            raise at_spot(query.text, inner.source_at, message, "INVALID_TYPE")
        key = canonical("000000000000000") or ""
        relation = name or inner.source

        def under(parent: str) -> Query:
            own = Compare(FieldPath((reference.name,), inner.source_at), "=", Value("string", parent))
            return replace(inner, source=child.name, where=own if inner.where is None else Every((own, inner.where)))

        self.run(under(key))  # mistakes show before the first row does

        def get(row: Row) -> Any:
            found = self.run(under(row["Id"]))
            rows = [shown for child_id in found.ids if (shown := self._store.get(found.sobject, child_id))]
            if not rows:
                return None
            return {"totalSize": len(rows), "done": True, "records": [found.project(shown) for shown in rows]}

        return relation, get

    def _function(self, sobject: SObject, query: Query, item: Function) -> Iterator[tuple[str, Getter]]:
        if item.name == "TOLABEL" and item.path is not None:
            column = self._column(sobject, query, item.path)
            labels = {value.value: value.label for value in column.field.picklist_values}
            get = column.get
            yield item.alias or column.field.name, lambda row: labels.get(value := get(row), value)
            return
        which = str(item.path).upper()
        if which not in ("ALL", "STANDARD", "CUSTOM"):
            raise malformed(query.text, item.at, f"unexpected token: '{which}'")
        if which != "STANDARD" and (query.limit is None or query.limit > FIELDS_LIMIT_MAX):
            raise malformed(
                query.text, item.at, f"The SOQL FIELDS function must have a LIMIT of at most {FIELDS_LIMIT_MAX}"
            )
        for field in sobject.fields.values():
            if which == "ALL" or field.custom is (which == "CUSTOM"):
                yield field.name, _value_of(field)

    # -- aggregates ----------------------------------------------------------------------------------------------

    def _aggregate(self, sobject: SObject, query: Query) -> Found:
        first = query.items[0]
        if len(query.items) == 1 and isinstance(first, Function) and first.name == "COUNT" and first.path is None:
            rows = self._select(sobject, query)
            return Found(sobject=sobject, ids=(), project=_no_rows, finished=(), total=len(rows))
        groups = [(path, self._column(sobject, query, path)) for path in query.group]
        for path, column in groups:
            if not column.field.groupable:
                raise at_spot(
                    query.text,
                    path.at,
                    f"field '{path.parts[-1]}' can not be grouped in a query call",
                    "MALFORMED_QUERY",
                )
        makers: list[tuple[str, Callable[[list[Row]], Any]]] = []
        unnamed = 0
        for item in query.items:
            if isinstance(item, Function):
                makers.append((item.alias or f"expr{unnamed}", self._fold_up(sobject, query, item)))
                unnamed += item.alias is None
            elif isinstance(item, FieldPath):
                column = self._column(sobject, query, item)
                if not any(str(path).lower() == str(item).lower() for path, _ in groups):
                    raise malformed(query.text, item.at, f"Field must be grouped or aggregated: {item}")
                get = column.get
                makers.append(
                    (item.parts[-1] if not column.own else column.field.name, lambda rows, get=get: get(rows[0]))
                )
            else:
                raise malformed(query.text, query.source_at, "a grouped query cannot have child subqueries")
        plain = replace(query, items=(), limit=None, offset=0)
        buckets: dict[tuple[Any, ...], list[Row]] = {}
        rows = self._select(sobject, plain)
        for row in rows:
            buckets.setdefault(tuple(fold(column.get(row)) for _, column in groups), []).append(row)
        if not groups:
            buckets = {(): rows}
        if len(buckets) > GROUPS_MAX:
            raise refuse(
                "EXCEEDED_ID_LIMIT", f"A grouped query may answer at most {GROUPS_MAX} groups; narrow its WHERE."
            )
        finished = [
            {"attributes": {"type": "AggregateResult"}} | {key: make(bucket) for key, make in makers}
            for bucket in buckets.values()
        ]
        finished = finished[query.offset : None if query.limit is None else query.offset + query.limit]
        return Found(sobject=sobject, ids=(), project=_no_rows, finished=tuple(finished), total=len(finished))

    def _fold_up(self, sobject: SObject, query: Query, item: Function) -> Callable[[list[Row]], Any]:
        if item.path is None:
            raise malformed(query.text, item.at, f"{item.name} needs a field")
        get = self._column(sobject, query, item.path).get

        def filled(rows: list[Row]) -> list[Any]:
            return [value for row in rows if (value := get(row)) is not None]

        match item.name:
            case "COUNT":
                return lambda rows: len(filled(rows))
            case "COUNT_DISTINCT":
                return lambda rows: len({fold(value) for value in filled(rows)})
            case "SUM":
                return lambda rows: number(Decimal(sum(values))) if (values := filled(rows)) else None
            case "AVG":
                return lambda rows: number(Decimal(sum(values)) / len(values)) if (values := filled(rows)) else None
            case "MIN":
                return lambda rows: min(values) if (values := filled(rows)) else None
            case "MAX":
                return lambda rows: max(values) if (values := filled(rows)) else None
            case _:
                raise malformed(
                    query.text, item.at, f"This sandbox does not serve the function {item.name}; a real org may."
                )


def fold_stamp(text: str) -> str:
    """Stamps are kept with a capital T; a filter compares folded texts."""
    return text.casefold()


def _value_of(field: Field) -> Getter:
    name = field.name
    return (lambda row: address(row, name)) if field.type == "address" else (lambda row: row.get(name))


def _owner_type(parent: Row) -> str:
    """`Owner.Type`: User, or what kind of group it is."""
    return str(parent.get("Type")) if parent["Id"].startswith("00G") else "User"


def _take(rows: Iterable[Row], count: int | None) -> list[Row]:
    if count is None:
        return list(rows)
    taken: list[Row] = []
    if count:
        for row in rows:
            taken.append(row)
            if len(taken) == count:
                break
    return taken


def _no_rows(row: Row) -> Any:
    raise AssertionError("aggregates are finished, there is no row to show")


def _like(pattern: str) -> re.Pattern[str]:
    """LIKE: % any run, _ any one character, both escapable, case ignored (§2.3)."""
    parts: list[str] = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            parts.append(re.escape(next(chars, "\\")))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
