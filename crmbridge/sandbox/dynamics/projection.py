"""Rows to JSON: $select, annotations and $expand, compiled once per request and table (dataverse-api §2.2, §2.7)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics import associations
from crmbridge.sandbox.dynamics.answering import PAGE_ROWS_MAX, read_top
from crmbridge.sandbox.dynamics.columns import Column, Target
from crmbridge.sandbox.dynamics.context import Context, link
from crmbridge.sandbox.dynamics.errors import bad_query, missing_property
from crmbridge.sandbox.dynamics.selection import Selection, split_top
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import display, has_annotation
from crmbridge.sandbox.shaping import NOTHING, Around, Layout, shaper

EXPANDS_MAX = 15
FORMATTED = "OData.Community.Display.V1.FormattedValue"
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
LOOKUP_NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"
_ETAG = "@odata.etag"
_EXPAND_DEPTH_MAX = 15  # each level is an expand of its own

Found = dict[str, Any]
Writer = Callable[[Found, Row], None]


# $select


def selected(table: Table, text: str | None) -> list[Column] | None:
    """The columns that an answer holds, those the server adds included; None = all."""
    if text is None or text.strip() in {"", "*"}:
        return None
    found: dict[str, Column] = {}
    for name in _named(text):
        column = table.by_wire.get(name)
        if column is None:
            if name in table.navigations:  # dataverse-api §2.3
                raise bad_query(
                    f"The property '{name}' on type 'Microsoft.Dynamics.CRM.{table.name}' is a navigation property and "
                    "can not be used in $select."
                )
            raise missing_property(name, table.name)
        found[name] = column
        extra = companion(table, column)
        if extra is not None:
            found.setdefault(extra.wire, extra)
    found.setdefault(table.key, table.columns[table.key])
    return list(found.values())


def _named(text: str) -> list[str]:
    """The names in a `$select`; a comma behind the last one is passed over, as Microsoft's samples write it."""
    names = [piece.strip() for piece in text.split(",")]
    return names[:-1] if len(names) > 1 and not names[-1] else names


def companion(table: Table, column: Column) -> Column | None:
    """Money brings its currency along, a part of an address the whole: dataverse-api §2.2."""
    if column.kind == "Money":
        return table.columns.get("transactioncurrencyid")
    for prefix in ("address1_", "address2_"):
        if column.name.startswith(prefix):
            return table.columns.get(f"{prefix}composite")
    return None


# $expand


@dataclass(frozen=True, slots=True, kw_only=True)
class Expand:
    navigation: str
    reference: bool  # nav/$ref
    options: Mapping[str, str]
    expands: tuple["Expand", ...] = ()


def parse_expand(text: str, depth: int = 1) -> tuple[Expand, ...]:
    """dataverse-api §2.7"""
    found: list[Expand] = []
    if depth > _EXPAND_DEPTH_MAX:
        raise _too_many()
    for piece in split_top(text, ","):
        name, bracket, rest = piece.partition("(")
        if bracket and not rest.endswith(")"):
            raise bad_query(f"Syntax error in $expand: '{piece}'.")
        options: dict[str, str] = {}
        for option in split_top(rest.removesuffix(")"), ";"):
            key, _, value = option.partition("=")
            key = key.strip()
            if key not in {"$select", "$filter", "$orderby", "$top", "$expand"} or key in options:
                raise bad_query(f"The option '{key}' inside $expand is not supported.")
            options[key] = value
        name, slash, suffix = name.strip().partition("/")
        if (slash and suffix != "$ref") or not name:
            raise bad_query(f"Syntax error in $expand: '{piece}'.")
        inner = parse_expand(options["$expand"], depth + 1) if "$expand" in options else ()
        found.append(Expand(navigation=name, reference=bool(slash), options=options, expands=inner))
    return tuple(found)


def _count(expands: Sequence[Expand]) -> int:
    return sum(1 + _count(each.expands) for each in expands)


def _too_many() -> Exception:
    """dataverse-api §2.7; the text is (unverified)"""
    return bad_query(f"The number of $expand options exceeds the maximum of {EXPANDS_MAX}.")


def _only_select_and_filter() -> Exception:
    """dataverse-api §2.7"""
    return bad_query(
        "Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested "
        "one-to-many relationship."
    )


def row_target(column: Column, row: Row) -> Target:
    """The target that a lookup's value belongs to."""
    if not column.polymorphic:
        return column.targets[0]
    kind = row.get(column.type_key)
    return next((each for each in column.targets if each.table == kind), column.targets[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """A collection of a row: the table it holds, and its rows by the key of the row it belongs to."""

    table: Table
    rows: Callable[[str], list[Row]]
    lookup: Column | None = None  # of one-to-many: the column that points back
    many_to_many: bool = False


def related_rows(ctx: Context, table: Table, navigation: str) -> Related | None:
    """One-to-many and many-to-many collections: dataverse-api §2.3, §4.3."""
    referrer = ctx.shape.collection(table.name, navigation)
    if referrer is not None:
        stored, name = ctx.store.rows(referrer.table), referrer.column.name
        column, target = referrer.column, referrer.target.table

        def pointing(key: str) -> list[Row]:
            rows = map(stored.__getitem__, ctx.store.find(referrer.table, name, key))
            return [row for row in rows if row_target(column, row).table == target]

        return Related(table=ctx.shape.tables[referrer.table], rows=pointing, lookup=column)
    association = ctx.shape.association(table.name, navigation)
    if association is None:
        return None
    other = association.sides(table.name)[1][0]
    others = ctx.store.rows(other)

    def linked(key: str) -> list[Row]:
        ids = associations.related(ctx.store, association, table.name, key)
        return [others[each] for each in dict.fromkeys(ids) if each in others]

    return Related(table=ctx.shape.tables[other], rows=linked, many_to_many=True)


def _check_principal(expand: Expand) -> None:
    """An owner is expanded as a principal, which has no columns but `ownerid`: dataverse-api §2.6, §9.3."""
    if "$filter" in expand.options:  # text (unverified)
        raise bad_query("The option '$filter' inside $expand is not supported on an owner.")
    wanted = [name.strip() for name in expand.options.get("$select", "ownerid").split(",")]
    for name in (*wanted, *(each.navigation for each in expand.expands)):
        if name != "ownerid":
            raise missing_property(name, "principal")


class Projection:
    """Compiled once per request, applied to each row."""

    def __init__(self, ctx: Context, table: Table, options: Mapping[str, str], *, etag: bool = True) -> None:
        expands = parse_expand(options["$expand"]) if "$expand" in options else ()
        if _count(expands) > EXPANDS_MAX:
            raise _too_many()
        nested = any(each.expands for each in expands)
        self._compile(ctx, table, options, expands, etag=etag, top=True, nested=nested)

    @classmethod
    def _inner(
        cls, ctx: Context, table: Table, expand: Expand, *, etag: bool, nested: bool, extra: Column | None = None
    ) -> "Projection":
        made = cls.__new__(cls)
        made._compile(ctx, table, expand.options, expand.expands, etag=etag, top=False, nested=nested, extra=extra)
        return made

    def _compile(
        self,
        ctx: Context,
        table: Table,
        options: Mapping[str, str],
        expands: Sequence[Expand],
        *,
        etag: bool,
        top: bool,
        nested: bool,
        extra: Column | None = None,
    ) -> None:
        """dataverse-api §2.2, §2.7"""
        ctx.access.demand(table, "read")
        self.ctx, self.table, self.nested, self.top = ctx, table, nested, top
        chosen = selected(table, options.get("$select"))
        columns = list(table.columns.values()) if chosen is None else chosen
        single = table.navigations
        along = [single[each.navigation][0] for each in expands if each.reference and each.navigation in single]
        columns += [each for each in dict.fromkeys((*along, *filter(None, [extra]))) if each not in columns]
        self.columns = columns
        writers = column_writers(ctx, table, [(column.wire, column) for column in columns])
        # a systemuser's key is inherited from principal: dataverse-api §9.3
        key = table.key if not top and table.name in {"systemuser", "team"} else None
        self._layout: Layout | None = None  # of pages that are columns and nothing else
        if writers is None:
            hidden = ctx.access.hidden(table)
            self._row = _rows_plain(columns, hidden, etag=etag, key=key)
            if not expands and key is None:
                self._layout = _layout(columns, hidden, etag=etag)
        else:
            self._row = _rows_annotated(writers, etag=etag, key=key)
        many = [each for each in expands if each.navigation not in table.navigations]
        if len(many) > 1 and any(ctx.shape.association(table.name, each.navigation) for each in many):
            raise bad_query(  # dataverse-api §2.7; text (unverified)
                "Many-to-many relationships cannot be combined with other collections in $expand."
            )
        compiled = [self._expander(each) for each in expands]
        self._expands = [apply for apply, _ in compiled]
        names = [] if chosen is None else _named(options["$select"])
        inner = ",".join([*names, *(text for _, text in compiled)])
        self.context = f"({inner})" if inner or not top else ""

    def __call__(self, row: Row) -> Found:
        found = self._row(row)
        for expand in self._expands:
            expand(found, row)
        return found

    def page(self, rows: Sequence[Row]) -> Any:
        """Many rows, for an encoder alone."""
        if self._layout is None:
            return list(map(self, rows))
        return shaper(self._layout).page(rows)

    # $expand: dataverse-api §2.7

    def _expander(self, expand: Expand) -> tuple[Writer, str]:
        """dataverse-api §2.7"""
        name = expand.navigation
        alone = self.top and not self.nested and name not in self.table.navigations
        if {"$orderby", "$top"} & set(expand.options) and not alone:
            raise _only_select_and_filter()
        if name in self.table.navigations:
            return self._single(expand)
        related = related_rows(self.ctx, self.table, name)
        if related is None:
            raise missing_property(name, self.table.name)
        if expand.reference:
            raise bad_query("Expand with $ref is only supported on lookup type navigation property.")
        if related.many_to_many and (self.nested or not self.top):
            raise bad_query("Nested $expand is not supported on many-to-many relationships.")  # text (unverified)
        return self._many(expand, related)

    def _single(self, expand: Expand) -> tuple[Writer, str]:
        column, targets = self.table.navigations[expand.navigation]
        ctx, name = self.ctx, expand.navigation
        store, tables = ctx.store, ctx.shape.tables
        if expand.reference:
            if expand.options or expand.expands:
                raise bad_query(f"Syntax error in $expand: '{name}/$ref' takes no options.")  # dataverse-api §2.7

            def refer(found: Found, row: Row) -> None:
                key = row.get(column.name)
                target = row_target(column, row)
                if key is not None and target in targets:
                    found[name] = {"@odata.id": ctx.url(tables[target.table], key)}
                else:
                    found[name] = None

            return refer, f"{name},{name}/$ref()"
        if column.kind == "Owner":
            _check_principal(expand)
        shown: dict[str, tuple[Projection, Callable[[Row], bool] | None]] = {}
        for target in targets:
            options = expand.options
            if column.kind == "Owner":  # the navigation's type is principal, which has ownerid alone
                options = {**options, "$select": tables[target.table].key}
            inner = Expand(navigation=name, reference=False, options=options, expands=expand.expands)
            projection = Projection._inner(ctx, tables[target.table], inner, etag=False, nested=self.nested)
            shown[target.table] = projection, Selection(ctx, tables[target.table], options).accepts

        def apply(found: Found, row: Row) -> None:
            key = row.get(column.name)
            target = row_target(column, row).table if key is not None else ""
            other = store.get(target, key) if key is not None and target in shown else None
            if other is not None:
                projection, accepts = shown[target]
                found[name] = projection(other) if accepts is None or accepts(other) else None
            else:
                found[name] = None

        return apply, f"{name}{next(iter(shown.values()))[0].context}"

    def _many(self, expand: Expand, related: Related) -> tuple[Writer, str]:
        """Without a nested $expand all rows come along, up to 5,000; with one they are paged (dataverse-api §2.7)."""
        ctx, name, key = self.ctx, expand.navigation, self.table.key
        selection = Selection(ctx, related.table, expand.options)
        nested = self.nested or not self.top
        projection = Projection._inner(
            ctx, related.table, expand, etag=not nested, nested=self.nested, extra=None if nested else related.lookup
        )
        top = read_top(expand.options["$top"]) if "$top" in expand.options else PAGE_ROWS_MAX
        size = ctx.prefer.page_size or PAGE_ROWS_MAX if nested else top
        options = expand.options

        def apply(found: Found, row: Row) -> None:
            rows = list(islice(selection.walk(None, related.rows(row[key])), size))
            found[name] = [projection(each) for each in rows]
            url = f"{ctx.url(self.table, row[key])}/{name}"
            query = dict(options)
            if nested and len(rows) == size:
                query["$skiptoken"] = selection.token(1, rows[0], rows[-1])
            found[f"{name}@odata.nextLink"] = link(url, query) if query else url

        return apply, f"{name}{projection.context}"


# Rows


def _rows_plain(
    columns: Sequence[Column], hidden: frozenset[str], *, etag: bool, key: str | None
) -> Callable[[Row], Found]:
    """Without annotations a row is its columns' names beside their values."""
    heads = [_ETAG] * etag + ["ownerid"] * (key is not None)
    wires = (*heads, *(column.wire for column in columns))
    names = (*heads, *("" if column.name in hidden else column.name for column in columns))

    def apply(row: Row) -> Found:
        found: Found = dict(zip(wires, map(row.get, names), strict=True))
        if etag:
            found[_ETAG] = f'W/"{row["versionnumber"]}"'
        if key is not None:
            found["ownerid"] = row[key]
        return found

    return apply


def _layout(columns: Sequence[Column], hidden: frozenset[str], *, etag: bool) -> Layout:
    """As `_rows_plain` has it."""
    shown = ((column.wire, NOTHING if column.name in hidden else column.name) for column in columns)
    return ((_ETAG, Around('W/"', "versionnumber", '"')), *shown) if etag else tuple(shown)


def _rows_annotated(writers: Sequence[Writer], *, etag: bool, key: str | None) -> Callable[[Row], Found]:
    def apply(row: Row) -> Found:
        found: Found = {_ETAG: f'W/"{row["versionnumber"]}"'} if etag else {}
        if key is not None:
            found["ownerid"] = row[key]
        for write in writers:
            write(found, row)
        return found

    return apply


def column_writers(
    ctx: Context, table: Table, columns: Sequence[tuple[str, Column]], *, nulls: bool = True
) -> list[Writer] | None:
    """Writers of columns under given names, annotations before the value that they describe (dataverse-api §2.2).

    None where no annotation of rows was asked and nulls are wanted: then a row needs no writers.
    """
    formatted = ctx.prefer.wants(FORMATTED)
    kinds = (ctx.prefer.wants(LOOKUP_NAVIGATION), ctx.prefer.wants(LOOKUP_TABLE))
    if nulls and not (formatted or any(kinds)):
        return None
    hidden = ctx.access.hidden(table)
    names = Names(ctx)
    return [
        _null_writer(wire)
        if column.name in hidden
        else _writer(names, wire, column, formatted=formatted, kinds=kinds, nulls=nulls)
        for wire, column in columns
        if nulls or column.name not in hidden
    ]


def _null_writer(wire: str) -> Writer:
    def write(found: Found, _row: Row) -> None:
        found[wire] = None

    return write


class Names:
    """Display names of rows and symbols of currencies, looked up once per request."""

    def __init__(self, ctx: Context) -> None:
        self.store = ctx.store
        self.primary = {name: table.primary_name for name, table in ctx.shape.tables.items()}
        self._symbols: dict[str | None, str] = {}

    def of(self, table: str, key: str) -> str | None:
        other = self.store.get(table, key)
        return other.get(self.primary[table]) if other is not None else None

    def symbol(self, currency: str | None) -> str:
        found = self._symbols.get(currency)
        if found is None:
            row = self.store.get("transactioncurrency", currency) if currency is not None else None
            found = self._symbols[currency] = row["currencysymbol"] if row else "$"
        return found


def _writer(
    names: Names, wire: str, column: Column, *, formatted: bool, kinds: tuple[bool, bool], nulls: bool
) -> Writer:
    name = column.name
    label = f"{wire}@{FORMATTED}"
    if column.is_lookup:
        return _lookup_writer(names, wire, column, formatted=formatted, kinds=kinds, nulls=nulls)
    if not formatted or not has_annotation(column):
        if nulls:

            def plain(found: Found, row: Row) -> None:
                found[wire] = row.get(name)

            return plain

        def present(found: Found, row: Row) -> None:
            if (value := row.get(name)) is not None:
                found[wire] = value

        return present
    show = _display(column)

    def write(found: Found, row: Row) -> None:
        value = row.get(name)
        if value is not None:
            found[label] = (
                show(value)
                if show is not None
                else display(column, value, names.symbol(row.get("transactioncurrencyid")))
            )
            found[wire] = value
        elif nulls:
            found[wire] = None

    return write


def _display(column: Column) -> Callable[[Any], str] | None:
    """What a value is shown as; None where that depends on the row's currency."""
    if column.kind == "Money":
        return None
    if column.is_choice:
        labels = {option.value: option.label for option in column.options}
        return lambda value: labels.get(value) or str(value)
    return lambda value: display(column, value)


def _lookup_writer(
    names: Names, wire: str, column: Column, *, formatted: bool, kinds: tuple[bool, bool], nulls: bool
) -> Writer:
    name = column.name
    label, navigation, logical = f"{wire}@{FORMATTED}", f"{wire}@{LOOKUP_NAVIGATION}", f"{wire}@{LOOKUP_TABLE}"

    def write(found: Found, row: Row) -> None:
        key = row.get(name)
        if key is not None:
            target = row_target(column, row)
            if formatted and (shown := names.of(target.table, key)) is not None:
                found[label] = shown
            if kinds[0]:
                found[navigation] = target.navigation
            if kinds[1]:
                found[logical] = target.table
            found[wire] = key
        elif nulls:
            found[wire] = None

    return write
