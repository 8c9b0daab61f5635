"""What a query shows of a row: its fields, its parents, its children (salesforce-api §2.1)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.columns import Getter, Scope, stored, value_of
from crmbridge.sandbox.salesforce.functions import DATE_FUNCTIONS, SHOWING, about, innermost, resolve
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.soql import at_spot, malformed
from crmbridge.sandbox.salesforce.soql_tree import Expression, FieldPath, Function, Query, Selected, Typeof
from crmbridge.sandbox.shaping import MADE, Around, Typed, shaper

FIELDS_LIMIT_MAX: Final = 200  # FIELDS(ALL) and FIELDS(CUSTOM)

Project = Callable[[Row], dict[str, Any]]
Children = Callable[[Query, Scope], tuple[str, Getter]]  # the key and the value of a child subquery


class Projection:
    def __init__(self, scope: Scope, children: Children) -> None:
        self._scope = scope
        self._children = children
        # In the order asked for: a text is a stored field, shown as it stands; the rest has a getter.
        self._shown: dict[str, str | Getter] = {}
        self._parents: dict[str, tuple[Field, list[Selected]]] = {}

    def compile(self) -> "Shown":
        """A function of a row; the fields come in the order asked for, nulls included."""
        for item in self._scope.query.items:
            match item:
                case Query():
                    key, get = self._children(item, self._scope)
                    self._show(item.source, key, get, item.source_at)
                case Typeof():
                    self._show(str(item.path), *self._typeof(item), item.at)
                case Selected():
                    self._selected(item)
        for key, (reference, items) in self._parents.items():
            self._shown[key] = self._parent(reference, items)
        return _projector(self._scope, self._shown)

    def _show(self, asked: str, key: str, what: str | Getter, at: int) -> None:
        if key in self._shown:  # §2.1
            raise at_spot(self._scope.query.text, at, f"duplicate field selected: {asked}", "INVALID_FIELD")
        self._shown[key] = what

    def _selected(self, item: Selected) -> None:
        scope, expression = self._scope, item.expression
        if isinstance(expression, Function):
            if expression.name == "FIELDS":
                return self._fields(expression)
            if expression.name in DATE_FUNCTIONS:  # §2.3: only what a query groups by
                raise malformed(scope.query.text, item.at, f"Field must be grouped or aggregated: {expression}")
            if item.alias:
                return self._show(item.alias, item.alias, resolve(scope, expression).get, item.at)
            if expression.name not in SHOWING:
                return self._show(str(expression), "expr0", resolve(scope, expression).get, item.at)
        elif item.alias:
            raise malformed(scope.query.text, item.at, "only aggregate expressions use field aliasing")
        path = innermost(expression)
        assert path is not None, "what shows a field is about one"
        column = resolve(scope, expression)  # the whole path must be known
        parts = scope.plain(path)
        if len(parts) == 1:
            plain = isinstance(expression, FieldPath) and stored(column.field)
            what = self._address_of(column.field) or (column.field.name if plain else column.get)
            return self._show(parts[0], column.field.name, what, item.at)
        (reference,), _ = scope.hops(path, parts[:1])
        key = reference.relationship_name or parts[0]
        if key not in self._parents:
            self._show(str(path), key, key, item.at)  # holds the parent's place
        inner = about(expression, lambda _: FieldPath(parts[1:], path.at))
        self._parents.setdefault(key, (reference, []))[1].append(Selected(inner, None))
        return None

    def _address_of(self, field: Field) -> Getter | None:
        """Where a blob can be had: https://developer.salesforce.com/docs/platform/api-rest/guide/resources-sobject-blob-retrieve"""
        asking, name = self._scope.asking, field.name
        if field.type != "base64" or not asking.blob_links:
            return None
        root = f"/services/data/v{asking.version}/sobjects/{self._scope.sobject.name}"
        return lambda row: f"{root}/{row['Id']}/{name}" if row.get(name) else None

    # -- parents -------------------------------------------------------------------------------------------------

    def _parent(self, reference: Field, items: Sequence[Selected]) -> Getter:
        """A parent is an object of its own, null where the lookup is empty; Owner may be a user or a group."""
        targets = self._scope.targets(reference)
        several = len(targets) > 1
        projections = {target.name: self._nested(target, items, several=several) for target in targets}
        return self._through(reference, projections)

    def _through(self, reference: Field, projections: dict[str, Project]) -> Getter:
        """The parent shown as its object is; null where none of them is it."""
        get, by_prefix = self._scope.parent, self._scope.store.shape.by_prefix
        only = next(iter(projections.values())) if len(reference.reference_to) == 1 and projections else None

        def show(row: Row) -> Any:
            parent = get(row, reference)
            if parent is None:
                return None
            if only is not None:
                return only(parent)
            target = by_prefix.get(parent["Id"][:3])
            project = projections.get(target.name) if target else None
            return None if project is None else project(parent)

        return show

    def _nested(self, target: SObject, items: Sequence[Selected], *, several: bool) -> Project:
        """Of several kinds of parent each shows null for the fields that it lacks; `Type` says which it is."""
        scope = self._scope
        first = {item: path.parts[0] for item in items if (path := innermost(item.expression))}
        own = [item for item in items if target.field(first[item]) or first[item].lower() in target.relations]
        project = self._project_parent(target, own)
        lacking = [first[item] for item in items if item not in own]
        typed = several and any(name.lower() == "type" for name in first.values())
        if not lacking and not typed:
            return project

        def show(row: Row) -> dict[str, Any]:
            shown = project(row) | dict.fromkeys(lacking)
            if typed:
                shown["Type"] = scope.kind_of(row)
            return shown

        return show

    def _project_parent(self, target: SObject, items: Sequence[Selected]) -> Project:
        source = replace(self._scope.query.sources[0], parts=(target.name,), alias=None)
        query = replace(self._scope.query, items=tuple(items), sources=(source,))
        return Projection(replace(self._scope, sobject=target, query=query), self._children).compile()

    def _typeof(self, item: Typeof) -> tuple[str, Getter]:
        """§2.3: what is shown of a parent of several kinds depends on which it is; else null."""
        scope, parts = self._scope, self._scope.plain(item.path)
        (reference, *_), targets = scope.hops(item.path, parts)
        if len(parts) != 1 or len(reference.reference_to) < 2:  # the words are (unverified)
            message = f"TYPEOF is only supported on a polymorphic relationship, not on '{item.path}'"
            raise at_spot(scope.query.text, item.at, message, "INVALID_FIELD")
        known = {target.name.lower(): target for target in targets}
        wanted: dict[str, tuple[FieldPath, ...]] = {}
        for name, fields in item.whens:
            target = known.get(name.lower())
            if target is None:  # the words are (unverified)
                message = f"'{name}' is no type of the relationship '{item.path}'"
                raise at_spot(scope.query.text, item.at, message, "INVALID_TYPE")
            wanted[target.name] = fields
        if item.otherwise is not None:
            wanted = {target.name: wanted.get(target.name, item.otherwise) for target in targets}
        projections = {
            name: self._project_parent(known[name.lower()], [Selected(path, None) for path in fields])
            for name, fields in wanted.items()
        }
        return reference.relationship_name or parts[0], self._through(reference, projections)

    # -- FIELDS() ------------------------------------------------------------------------------------------------

    def _fields(self, item: Function) -> None:
        """§2.1: standard ones are bounded, the others need a LIMIT."""
        query = self._scope.query
        which = str(item.inner).upper()
        if which not in ("ALL", "STANDARD", "CUSTOM"):
            raise malformed(query.text, item.at, f"unexpected token: '{item.inner or ')'}'")
        if which != "STANDARD" and (query.limit is None or query.limit > FIELDS_LIMIT_MAX):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {FIELDS_LIMIT_MAX}"
            raise malformed(query.text, item.at, message)
        for field in self._scope.sobject.fields.values():
            if which == "ALL" or field.custom is (which == "CUSTOM"):
                shown = self._address_of(field) or (field.name if stored(field) else value_of(field))
                self._show(field.name, field.name, shown, item.at)


@dataclass(frozen=True)
class Shown:
    """How an object's rows are shown: one as a dict, a page as JSON."""

    name: str  # the object's
    url: str
    parts: dict[str, str | Getter]

    def __call__(self, row: Row) -> dict[str, Any]:
        answer: dict[str, Any] = {"attributes": {"type": self.name, "url": self.url + row["Id"]}}
        for key, what in self.parts.items():
            answer[key] = row.get(what) if isinstance(what, str) else what(row)
        return answer

    def page(self, rows: Sequence[Row]) -> Any:
        columns = ((key, what if isinstance(what, str) else MADE) for key, what in self.parts.items())
        layout = (("attributes", Typed(self.name, Around(self.url, "Id"))), *columns)
        made = [map(what, rows) for what in self.parts.values() if not isinstance(what, str)]
        return shaper(layout).page(rows, *made)


def _projector(scope: Scope, shown: dict[str, str | Getter]) -> Shown:
    name = scope.sobject.name
    return Shown(name, f"/services/data/v{scope.asking.version}/sobjects/{name}/", shown)


def flat(scope: Scope) -> Iterator[tuple[str, Field | None, Getter]]:
    """The columns of a query as one table: `Owner.Name` by that name, with the field where it is one (§4.3)."""
    for item in scope.query.items:
        if not isinstance(item, Selected):
            continue
        expression = item.expression
        if isinstance(expression, Function) and expression.name == "FIELDS":
            which = str(expression.inner).upper()
            for field in scope.sobject.fields.values():
                if which == "ALL" or field.custom is (which == "CUSTOM"):
                    yield field.name, field, value_of(field)
            continue
        column = resolve(scope, expression)
        yield item.alias or column_name(scope, expression), column.field, column.get


def column_name(scope: Scope, expression: Expression) -> str:
    """A path as the org spells it."""
    path = innermost(expression)
    if path is None:
        return str(expression)
    parts = scope.plain(path)
    hops, _ = scope.hops(path, parts[:-1])
    names = [hop.relationship_name or part for hop, part in zip(hops, parts, strict=False)]
    return ".".join([*names, scope.column(path).field.name])
