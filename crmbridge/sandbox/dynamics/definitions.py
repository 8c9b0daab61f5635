"""Requests for metadata: EntityDefinitions and option sets, $select, $filter, $expand, casts (dataverse-api §5)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from odata_query import ast

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context, Segment, answer, arguments, query_options
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query, missing_segment, not_served
from crmbridge.sandbox.dynamics.filters import parse
from crmbridge.sandbox.dynamics.key_index import keys_of
from crmbridge.sandbox.dynamics.keys import change as change_keys
from crmbridge.sandbox.dynamics.metadata import (
    CASTS,
    LANGUAGE,
    OTHER_CASTS,
    PREFIX,
    attribute,
    entity,
    keys,
    many_to_many,
    many_to_one,
    one_to_many,
    option,
    option_set_head,
    relationships,
)
from crmbridge.sandbox.dynamics.metadata_members import Document, metadata_id
from crmbridge.sandbox.dynamics.reading import parse_expand
from crmbridge.sandbox.dynamics.tables import Table

ROOTS = frozenset({"EntityDefinitions", "GlobalOptionSetDefinitions", "RelationshipDefinitions"})
_RELATED: Mapping[str, Callable[[Context, Table], list[Document]]] = {
    "Attributes": lambda _ctx, table: [attribute(table, column) for column in table.columns.values()],
    "Keys": lambda ctx, table: keys(table, keys_of(ctx.store, ctx.now, table)),
    "ManyToOneRelationships": lambda ctx, table: many_to_one(ctx.shape, table),
    "OneToManyRelationships": lambda ctx, table: one_to_many(ctx.shape, table),
    "ManyToManyRelationships": lambda ctx, table: many_to_many(ctx.shape, table),
}
_RELATIONSHIPS = frozenset({"OneToManyRelationshipMetadata", "ManyToManyRelationshipMetadata"})


# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
_LABEL_LANGUAGES = "LabelLanguages"


def definitions(ctx: Context, parts: Sequence[Segment]) -> Reply:
    options, aliases = query_options(ctx.query, frozenset({_LABEL_LANGUAGES}))
    wanted = options.pop(_LABEL_LANGUAGES, None)
    reply = _defined(ctx, parts, options, aliases)
    if wanted is None or LANGUAGE in _languages(wanted):
        return reply
    return answer(_without_labels(msgspec.json.decode(reply.body)))


def _languages(text: str) -> list[int]:
    codes = text.split(",")
    if not all(code.strip().isdecimal() for code in codes):  # text (unverified)
        raise bad_query(f"Invalid value '{text}' for the query parameter {_LABEL_LANGUAGES}.")
    return [int(code) for code in codes]


def _without_labels(value: Any) -> Any:
    """Labels have one language; who asks for others gets none (that the user's label goes as well is (unverified))."""
    match value:
        case {"LocalizedLabels": _}:
            return {**value, "LocalizedLabels": [], "UserLocalizedLabel": None}
        case dict():
            return {name: _without_labels(member) for name, member in value.items()}
        case list():
            return [_without_labels(member) for member in value]
        case _:
            return value


def _defined(ctx: Context, parts: Sequence[Segment], options: Mapping[str, str], aliases: Mapping[str, str]) -> Reply:
    root = parts[0]
    _check_options(parts, options)
    if root.name == "GlobalOptionSetDefinitions":
        return _global_option_sets(ctx, parts, options, aliases)
    if root.name == "RelationshipDefinitions":
        return _relationships(ctx, parts, options, aliases)
    if root.key is None:
        if len(parts) > 1:
            raise missing_segment(parts[1].name)
        tables = {metadata_id(table.name): table for table in ctx.shape.tables.values()}
        found = _filtered([entity(ctx.shape, table) for table in tables.values()], options, aliases)
        return _many(
            ctx, root.name, [_entity_view(ctx, tables[each["MetadataId"]], each, options) for each in found], options
        )
    table = _table(ctx, root.key)
    if len(parts) == 1:
        document = _entity_view(ctx, table, entity(ctx.shape, table), options)
        return answer({"@odata.context": f"{ctx.base}/$metadata#EntityDefinitions/$entity", **document})
    related = _RELATED.get(parts[1].name)
    if related is None:
        raise missing_segment(parts[1].name)
    documents = related(ctx, table)
    path = f"EntityDefinitions('{table.name}')/{parts[1].name}"
    rest = list(parts[2:])
    if parts[1].key is not None:
        wanted = _wanted(parts[1].key)
        documents = [each for each in documents if all(str(each.get(name)) == value for name, value in wanted.items())]
        if not documents:
            raise DataverseError(404, "0x80060888", f"Could not find {parts[1].name} '{parts[1].key}' of {table.name}.")
    cast = None
    if rest and rest[0].name.startswith(PREFIX):
        cast = rest.pop(0).name
        if parts[1].name != "Attributes" or cast.removeprefix(PREFIX) not in {*CASTS.values(), *OTHER_CASTS}:
            raise bad_query(f"The type '{cast}' cannot be used here.")  # abstract ones neither: dataverse-api §5
        documents = [each for each in documents if each["@odata.type"] == f"#{cast}"]
        path = f"{path}/{cast}"
    if rest and parts[1].key is not None and len(rest) == 1 and rest[0].name in {"OptionSet", "GlobalOptionSet"}:
        return _option_set_of(ctx, documents, rest[0].name, options, path)
    if rest:
        raise missing_segment(rest[0].name)
    documents = _filtered(documents, options, aliases)
    shown = [_view(each, options, cast=cast) for each in documents]
    if parts[1].key is None:
        return _many(ctx, path, shown, options)
    if not shown:
        raise DataverseError(404, "0x80060888", f"The attribute is not of the type '{cast}'.")
    return answer({"@odata.context": f"{ctx.base}/$metadata#{path}/$entity", **shown[0]})


def _check_options(parts: Sequence[Segment], options: Mapping[str, str]) -> None:
    """No order and no pages for definitions (unverified); one of them is not filtered or counted."""
    if "$top" in options or "$orderby" in options:
        raise bad_query("The query parameters $top and $orderby are not supported for metadata.")
    last = next((each for each in reversed(parts) if not each.name.startswith(PREFIX)), parts[0])
    known = {"$select"}
    if last.name not in {"OptionSet", "GlobalOptionSet"}:
        known |= {"$expand"} if last.key is not None else {"$expand", "$filter", "$count"}
    if unwanted := sorted(set(options) - known):
        raise bad_query(f"The query parameter {unwanted[0]} is not supported for metadata.")  # text (unverified)


def _table(ctx: Context, key: str) -> Table:
    name = arguments(key).get("LogicalName") if "=" in key else None
    for table in ctx.shape.tables.values():
        if table.name == name or metadata_id(table.name) == key.strip().lower():
            return table
    raise DataverseError(404, "0x80060888", f"Could not find an entity with the key '{key}'.")


def _entity_view(ctx: Context, table: Table, document: Document, options: Mapping[str, str]) -> Document:
    shown = _selected(document, options.get("$select"))
    for expand in parse_expand(options.get("$expand", "")):
        related = _RELATED.get(expand.navigation)
        if related is None:
            raise bad_query(f"Could not find a property named '{expand.navigation}' on type '{PREFIX}EntityMetadata'.")
        documents = _filtered(related(ctx, table), expand.options, {})
        shown[expand.navigation] = [_view(each, expand.options, cast=None) for each in documents]
    return shown


_DERIVED = frozenset({
    "MaxLength", "Format", "FormatName", "DatabaseLength", "MinValue", "MaxValue", "Precision", "PrecisionSource",
    "Targets", "DateTimeBehavior", "CanChangeDateTimeBehavior", "OptionSet", "GlobalOptionSet", "DefaultValue",
    "DefaultFormValue", "IsBaseCurrency", "CalculationOf",
})  # fmt: skip


def _view(document: Document, options: Mapping[str, str], *, cast: str | None) -> Document:
    """A document as asked: option sets only when expanded, members of derived types only behind their cast."""
    select = options.get("$select")
    if cast is None and select and "@odata.type" in document:
        for name in select.split(","):
            if name.strip() in _DERIVED:
                raise bad_query(
                    f"Could not find a property named '{name.strip()}' on type '{PREFIX}AttributeMetadata'."
                )
    sets = {name: document[name] for name in ("OptionSet", "GlobalOptionSet") if name in document}
    shown = _selected({name: value for name, value in document.items() if name not in sets}, select)
    for expand in parse_expand(options.get("$expand", "")):
        if cast is None or expand.navigation not in sets:
            raise bad_query(
                f"Could not find a property named '{expand.navigation}' on type "
                f"'{cast or PREFIX + 'AttributeMetadata'}'."
            )
        whole = sets[expand.navigation]
        shown[expand.navigation] = None if whole is None else _selected(whole, expand.options.get("$select"))
    if cast is not None:
        shown.pop("@odata.type", None)
    return shown


def _selected(document: Document, select: str | None) -> Document:
    """MetadataId is always there: dataverse-api §5."""
    if not select:
        return dict(document)
    names = [name.strip() for name in select.split(",")]
    for name in names:
        if name not in document:
            raise bad_query(f"Could not find a property named '{name}' on the type of this metadata.")
    kept = {name: document[name] for name in ("@odata.type",) if name in document}
    kept |= {name: document[name] for name in names}
    return kept | ({"MetadataId": document["MetadataId"]} if "MetadataId" in document else {})


def _option_set_of(ctx: Context, documents: list[Document], name: str, options: Mapping[str, str], path: str) -> Reply:
    whole = documents[0].get(name) if documents else None
    if whole is None:
        raise missing_segment(name)
    return answer(
        {"@odata.context": f"{ctx.base}/$metadata#{path}/{name}/$entity", **_selected(whole, options.get("$select"))}
    )


def change(ctx: Context, method: str, parts: Sequence[Segment]) -> Reply:
    """Keys can be made and deleted (dataverse-api §4.5); what else an environment is made of is in its shape file."""
    if (
        parts[0].name == "EntityDefinitions"
        and parts[0].key is not None
        and len(parts) == 2
        and parts[1].name == "Keys"
    ):
        wanted = _wanted(parts[1].key) if parts[1].key is not None else None
        return change_keys(ctx, method, _table(ctx, parts[0].key), wanted)
    raise not_served("changes to metadata")


def _wanted(key: str) -> dict[str, str]:
    return arguments(key) if "=" in key else {"MetadataId": key}


def _global_option_sets(
    ctx: Context, parts: Sequence[Segment], options: Mapping[str, str], aliases: Mapping[str, str]
) -> Reply:
    documents = [
        option_set_head(name, "Picklist", is_global=True)
        | {"Options": [option(each, "Picklist", name) for each in values]}
        for name, values in ctx.shape.option_sets.items()
    ]
    return _listed(ctx, parts, documents, options, aliases, casts=frozenset({"OptionSetMetadata"}))


def _relationships(
    ctx: Context, parts: Sequence[Segment], options: Mapping[str, str], aliases: Mapping[str, str]
) -> Reply:
    return _listed(ctx, parts, list(relationships(ctx.shape)), options, aliases, casts=_RELATIONSHIPS)


def _listed(
    ctx: Context,
    parts: Sequence[Segment],
    documents: Sequence[Document],
    options: Mapping[str, str],
    aliases: Mapping[str, str],
    *,
    casts: frozenset[str],
) -> Reply:
    """A list of definitions or one of them, with a cast behind it where one is given (§5)."""
    root, rest = parts[0], list(parts[1:])
    path = root.name
    if root.key is not None:
        wanted = {name: value.lower() for name, value in _wanted(root.key).items()}
        documents = [
            each for each in documents if all(str(each.get(name)).lower() == value for name, value in wanted.items())
        ]
        if not documents:
            raise DataverseError(404, "0x80060888", f"Could not find one of {root.name} with the key '{root.key}'.")
    if rest and rest[0].name.removeprefix(PREFIX) in casts and rest[0].name.startswith(PREFIX):
        cast = rest.pop(0).name
        documents = [each for each in documents if each.get("@odata.type", f"#{cast}") == f"#{cast}"]
        path = f"{path}/{cast}"
    if rest:
        raise missing_segment(rest[0].name)
    if options.get("$expand"):
        raise bad_query(f"Could not find a property named '{options['$expand']}' on the type of this metadata.")
    documents = _filtered(documents, options, aliases)
    shown = [_selected(each, options.get("$select")) for each in documents]
    if root.key is None:
        return _many(ctx, path, shown, options)
    if not shown:  # behind a cast to the other kind
        raise DataverseError(404, "0x80060888", f"The definition with the key '{root.key}' is not of this type.")
    return answer({"@odata.context": f"{ctx.base}/$metadata#{path}/$entity", **shown[0]})


def _many(ctx: Context, path: str, documents: Sequence[Document], options: Mapping[str, str]) -> Reply:
    """Never paged: dataverse-api §5."""
    shape = f"({options['$select']})" if options.get("$select") else ""
    body: Document = {"@odata.context": f"{ctx.base}/$metadata#{path}{shape}"}
    if options.get("$count") == "true":
        body["@odata.count"] = len(documents)
    return answer({**body, "value": documents})


# $filter on metadata

_ENUM = re.compile(r"Microsoft\.Dynamics\.CRM\.\w+('(?:[^']|'')*')")


def _filtered(documents: Sequence[Document], options: Mapping[str, str], aliases: Mapping[str, str]) -> list[Document]:
    text = options.get("$filter")
    if not text:
        return list(documents)
    test = _predicate(parse(_ENUM.sub(r"\1", text), aliases))
    return [each for each in documents if test(each)]


def _predicate(node: Any) -> Callable[[Document], bool]:
    match node:
        case ast.BoolOp():
            left, right = _predicate(node.left), _predicate(node.right)
            if isinstance(node.op, ast.And):
                return lambda document: left(document) and right(document)
            return lambda document: left(document) or right(document)
        case ast.UnaryOp(op=ast.Not()):
            inner = _predicate(node.operand)
            return lambda document: not inner(document)
        case ast.Compare(comparator=ast.Eq() | ast.NotEq()):
            get, value = _member(node.left), _literal(node.right)
            wanted = isinstance(node.comparator, ast.Eq)
            return lambda document: (get(document) == value) is wanted
        case ast.Call(func=ast.Identifier(name="contains" | "startswith" | "endswith" as name)):
            get, value = _member(node.args[0]), str(_literal(node.args[1])).casefold()
            test = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}[name]
            return lambda document: bool(test(str(get(document) or "").casefold(), value))
        case _:
            raise not_served("this $filter on metadata")


def _member(node: Any) -> Callable[[Document], Any]:
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.owner
    if not isinstance(node, ast.Identifier):
        raise not_served("this $filter on metadata")
    path.insert(0, node.name)

    def get(document: Document) -> Any:
        found: Any = document
        for name in path:
            if not isinstance(found, dict) or name not in found:
                raise bad_query(f"Could not find a property named '{name}' on the type of this metadata.")
            found = found[name]
        return found

    return get


def _literal(node: Any) -> Any:
    match node:
        case ast.Null():
            return None
        case ast.Boolean():
            return node.val == "true"
        case ast.Integer():
            return int(node.val)
        case ast.String() | ast.GUID():
            return node.val
        case _:
            raise not_served("this literal in a $filter on metadata")
