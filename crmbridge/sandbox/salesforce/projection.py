"""What a query shows of a row: its fields, its parents, its children (salesforce-api §2.1)."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.columns import HINT, Getter, Scope, owner_type, value_of
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.soql import Compare, Every, FieldPath, Function, Query, Value, at_spot, malformed

FIELDS_LIMIT_MAX: Final = 200  # FIELDS(ALL) and FIELDS(CUSTOM)
_NOBODY: Final = "000000000000000AAA"  # a well-formed id that no row has

Project = Callable[[Row], dict[str, Any]]
Children = Callable[[Query], list[dict[str, Any]]]  # the shown rows of a child query


class Projection:
    def __init__(self, scope: Scope, version: str, children: Children) -> None:
        self._scope = scope
        self._version = version
        self._children = children

    def compile(self) -> Project:
        """A function of a row; the fields come in the order asked for, nulls included."""
        scope = self._scope
        getters: dict[str, Getter] = {}
        parents: dict[str, tuple[Field, list[FieldPath]]] = {}
        for item in scope.query.items:
            if isinstance(item, Query):
                key, get = self._child(item)
                getters[key] = get
            elif isinstance(item, Function):
                getters |= dict(self._function(item))
            elif len(parts := scope.plain(item)) > 1:
                scope.column(item)  # the whole path must be known
                (reference,), _ = scope.hops(item, parts[:1])
                key = reference.relationship_name or parts[0]
                getters.setdefault(key, lambda row: row)  # holds the parent's place
                parents.setdefault(key, (reference, []))[1].append(FieldPath(parts[1:], item.at))
            else:
                column = scope.column(item)
                if column.field.name in getters:
                    message = f"duplicate field selected: {column.field.name}"
                    raise at_spot(scope.query.text, item.at, message, "INVALID_FIELD")
                getters[column.field.name] = column.get
        getters |= {key: self._parent(reference, paths) for key, (reference, paths) in parents.items()}
        columns, name = list(getters.items()), scope.sobject.name
        url = f"/services/data/v{self._version}/sobjects/{name}/"

        def project(row: Row) -> dict[str, Any]:
            answer: dict[str, Any] = {"attributes": {"type": name, "url": url + row["Id"]}}
            for key, get in columns:
                answer[key] = get(row)
            return answer

        return project

    def _parent(self, reference: Field, paths: list[FieldPath]) -> Getter:
        """A parent is an object of its own, null where the lookup is empty; Owner may be a user or a group."""
        shape = self._scope.store.shape
        targets = [target for name in reference.reference_to if (target := shape.object(name))]
        projections = {target.name: self._nested(target, paths, many=len(targets) > 1) for target in targets}

        def get(row: Row) -> Any:
            parent = self._scope.parent(row, reference)
            if parent is None:
                return None
            return projections[targets[0].name if len(targets) == 1 else shape.by_prefix[parent["Id"][:3]].name](parent)

        return get

    def _nested(self, target: SObject, paths: list[FieldPath], *, many: bool) -> Project:
        """Of several kinds of parent each shows null for the fields that it lacks."""
        own = [path for path in paths if target.field(path.parts[0]) or path.parts[0].lower() in target.relations]
        query = replace(self._scope.query, items=tuple(own), source=target.name, alias=None)
        project = Projection(replace(self._scope, sobject=target, query=query), self._version, self._children).compile()
        lacking = [path.parts[0] for path in paths if path not in own]
        typed = many and any(path.parts[0].lower() == "type" for path in paths)

        def show(row: Row) -> dict[str, Any]:
            shown = project(row) | dict.fromkeys(lacking)
            if typed:
                shown["Type"] = owner_type(row)
            return shown

        return show

    def _child(self, inner: Query) -> tuple[str, Getter]:
        """A child subquery: an object like the outer result, null without children."""
        scope = self._scope
        wanted = inner.source.lower()
        pairs = scope.store.shape.children.get(scope.sobject.name, ())
        named = [pair for pair in pairs if (pair[1].child_relationship_name or "").lower() == wanted]
        if not named:
            message = f"Didn't understand relationship '{inner.source}' in FROM part of query call. "
            raise at_spot(
                inner.text, inner.source_at, message + HINT.format(what="relationship", suffix="r"), "INVALID_TYPE"
            )

        child, reference = named[0]

        def under(parent: str) -> Query:
            own = Compare(FieldPath((reference.name,), inner.source_at), "=", Value("string", parent))
            return replace(inner, source=child.name, where=own if inner.where is None else Every((own, inner.where)))

        self._children(under(_NOBODY))  # mistakes show before the first row does

        def get(row: Row) -> Any:
            rows = self._children(under(row["Id"]))
            return {"totalSize": len(rows), "done": True, "records": rows} if rows else None

        return reference.child_relationship_name or inner.source, get

    def _function(self, item: Function) -> Iterator[tuple[str, Getter]]:
        query = self._scope.query
        if item.name == "TOLABEL" and item.path is not None:
            column = self._scope.column(item.path)
            labels = {value.value: value.label for value in column.field.picklist_values}
            get = column.get
            yield item.alias or column.field.name, lambda row: labels.get(value := get(row), value)
            return
        which = str(item.path).upper()
        if which not in ("ALL", "STANDARD", "CUSTOM"):
            raise malformed(query.text, item.at, f"unexpected token: '{which}'")
        if which != "STANDARD" and (query.limit is None or query.limit > FIELDS_LIMIT_MAX):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {FIELDS_LIMIT_MAX}"
            raise malformed(query.text, item.at, message)
        for field in self._scope.sobject.fields.values():
            if which == "ALL" or field.custom is (which == "CUSTOM"):
                yield field.name, value_of(field)
