"""`?sql=`: the SELECT that Microsoft's clients send, carried out as a Fetch (dataverse-api §2.9, §13.1).

Served is what Microsoft's Python client documents: columns and aliases, DISTINCT, TOP, INNER and LEFT joins, WHERE with
its operators, GROUP BY with five aggregates, ORDER BY, OFFSET ... FETCH. The texts and codes of refusals are
(unverified); that these things are refused is documented.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.answering import applied, counts
from crmbridge.sandbox.dynamics.context import Context, answer, link
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query
from crmbridge.sandbox.dynamics.fetching import Query
from crmbridge.sandbox.dynamics.fetchxml import Attribute, Condition, Fetch, Link, Order, Where
from crmbridge.sandbox.dynamics.paging import malformed, outer_cookie, read_outer
from crmbridge.sandbox.dynamics.tables import Table

_TOKENS = re.compile(
    r"""\s+|--[^\n]*|/\*.*?\*/
    |(?P<text>N?'(?:[^']|'')*')
    |(?P<number>-?\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_][\w]*|\[[^\]]+\])
    |(?P<mark><>|!=|<=|>=|[=<>(),.*;])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_OPERATORS = {"=": "eq", "<>": "ne", "!=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"}
_MIRRORED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
_FUNCTIONS = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX"})
_RESERVED = frozenset({
    "SELECT", "DISTINCT", "TOP", "FROM", "AS", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "OUTER", "JOIN", "ON",
    "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "IS", "NULL", "BETWEEN", "GROUP", "BY", "ORDER", "ASC", "DESC", "HAVING",
    "UNION", "WITH", "EXISTS", "OFFSET", "FETCH", "NEXT", "ROWS", "ROW", "ONLY", "CASE",
})  # fmt: skip
_ROWS_MAX = 5000
_DEPTH_MAX = 50
_PAGE = re.compile(r"<cookie pagenumber=\"(\d{1,6})\" ")
Column = tuple[str | None, str]  # (alias of its table, name)


def refused(what: str) -> DataverseError:
    """dataverse-api §2.9, §13.1; text and code are (unverified)"""
    return bad_query(f"The SQL query is not supported: {what}")


@dataclass(slots=True, kw_only=True)
class _Item:
    """One thing that is selected."""

    column: Column | None
    function: str | None
    distinct: bool
    alias: str | None


class Statement:
    """A SELECT, read; `fetch` is what it means, `hidden` are groups that are not selected."""

    def __init__(self, text: str, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._tokens = list(_tokens(text))
        self._position = 0
        self._depth = 0
        self.hidden: set[str] = set()
        self._links: dict[str, Link] = {}
        self._grouped: dict[tuple[str, str], str] = {}
        self.entity = Link(name="")
        self.fetch = self._select()

    # Tokens

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position]

    def _next(self) -> tuple[str, str]:
        found = self._tokens[self._position]
        if found[0] != "end":
            self._position += 1
        return found

    def _word(self, *words: str) -> bool:
        """Take these words, if they are next."""
        for offset, word in enumerate(words):
            at = self._position + offset
            if at >= len(self._tokens) or self._tokens[at] != ("word", word):
                return False
        self._position += len(words)
        return True

    def _mark(self, mark: str) -> bool:
        if self._peek() != ("mark", mark):
            return False
        self._position += 1
        return True

    def _demand(self, taken: bool, wanted: str) -> None:
        """dataverse-api §2.9"""
        if not taken:
            raise refused(f"{wanted} was expected near '{self._peek()[1]}'.")

    def _name(self, *, as_written: bool = False) -> str:
        """Names of tables and columns are lower case; what an answer's member is called stays as it is written."""
        self._demand(self._peek()[0] == "name", "a name")
        text = self._next()[1]
        return text if as_written else text.lower()

    def _number(self, low: int, high: int) -> int:
        """dataverse-api §13.1"""
        kind, text = self._next()
        if kind != "number" or not text.isdigit() or not low <= int(text[:9]) <= high:
            raise refused(f"a whole number from {low} to {high} was expected, not '{text}'.")
        return int(text)

    def _column(self) -> Column:
        first = self._name()
        if self._mark("."):
            return first, self._name()
        return None, first

    # Statement

    def _select(self) -> Fetch:
        """dataverse-api §13.1"""
        self._demand(self._word("SELECT"), "SELECT")
        distinct = self._word("DISTINCT")
        top = self._number(0, _ROWS_MAX) if self._word("TOP") else None
        items = [self._item()]
        while self._mark(","):
            items.append(self._item())
        self._demand(self._word("FROM"), "FROM")
        entity = self._table("inner")
        self.entity = entity
        while (kind := self._join_kind()) is not None:
            self._join(kind)
        if self._word("WHERE"):
            self._where(entity)
        groups = self._columns() if self._word("GROUP", "BY") else []
        if self._word("HAVING"):
            raise refused("HAVING; filter with WHERE before the groups are made.")
        fetch = Fetch(entity=entity, top=top, distinct=distinct)
        orders = self._orders() if self._word("ORDER", "BY") else []
        self._offset(fetch)
        self._mark(";")
        if self._peek()[0] != "end":
            raise refused(f"'{self._peek()[1]}'.")
        fetch.aggregate = bool(groups) or any(each.function for each in items)
        if fetch.aggregate:
            self._aggregate(items, groups)
        else:
            self._plain(items)
        self._order(fetch, items, orders)
        return fetch

    def _item(self) -> _Item:
        """dataverse-api §13.1"""
        if self._mark("*"):
            raise refused("SELECT *; name the columns.")
        column, function, distinct = None, None, False
        if (
            self._peek()[0] == "name"
            and self._peek()[1].upper() in _FUNCTIONS
            and self._tokens[self._position + 1][1] == "("
        ):
            function = self._next()[1].upper()
            self._next()
            distinct = self._word("DISTINCT")
            if not (function == "COUNT" and self._mark("*")):
                column = self._column()
            self._demand(self._mark(")"), "')'")
        else:
            column = self._column()
            if self._peek() == ("mark", "("):
                raise refused(f"the function '{column[1]}'.")
        alias = None
        if self._word("AS") or self._peek()[0] == "name":
            alias = self._name(as_written=True)
        return _Item(column=column, function=function, distinct=distinct, alias=alias)

    def _table(self, kind: str) -> Link:
        """dataverse-api §2.9, §10.3"""
        name = self._name()
        if self._peek() == ("mark", ","):
            raise refused("several tables in FROM; use JOIN.")
        alias = self._name() if self._word("AS") or self._peek()[0] == "name" else name
        if alias in self._links:
            raise refused(f"the alias '{alias}' is used twice.")
        if self._peek() == ("mark", ","):
            raise refused("several tables in FROM; use JOIN.")
        made = Link(name=name, kind=kind, alias=alias)
        self._links[alias] = made
        return made

    def _join_kind(self) -> str | None:
        """dataverse-api §13.1"""
        if self._word("INNER", "JOIN") or self._word("JOIN"):
            return "inner"
        if self._word("LEFT", "OUTER", "JOIN") or self._word("LEFT", "JOIN"):
            return "outer"
        if self._peek()[1] in {"RIGHT", "FULL", "CROSS"} and self._peek()[0] == "word":
            raise refused(f"{self._peek()[1]} JOIN; INNER and LEFT joins are served.")
        return None

    def _join(self, kind: str) -> None:
        """dataverse-api §13.1: one equality, of a column of the new table and one of a table before it."""
        known = dict(self._links)
        made = self._table(kind)
        self._demand(self._word("ON"), "ON")
        bracket = self._mark("(")
        left = self._column()
        self._demand(self._mark("="), "'='")
        right = self._column()
        if bracket:
            self._demand(self._mark(")"), "')'")
        own = next((each for each in (left, right) if each[0] == made.alias), None)
        other = right if own is left else left
        if own is None or other[0] not in known:
            raise refused(
                f"the condition of the join of '{made.alias}' needs a column of it and one of a table before."
            )
        made.child, made.parent = own[1], other[1]
        known[other[0]].links.append(made)

    def _columns(self) -> list[Column]:
        found = [self._column()]
        while self._mark(","):
            found.append(self._column())
        return found

    def _orders(self) -> list[tuple[Column, bool]]:
        found: list[tuple[Column, bool]] = []
        while True:
            column = self._column()
            if self._peek() == ("mark", "("):
                raise refused("ORDER BY an expression.")
            descending = self._word("DESC")
            if not descending:
                self._word("ASC")
            found.append((column, descending))
            if not self._mark(","):
                return found

    def _offset(self, fetch: Fetch) -> None:
        """`OFFSET n ROWS FETCH NEXT m ROWS ONLY`: dataverse-api §13.1"""
        if not self._word("OFFSET"):
            return
        if fetch.top is not None:
            raise refused("TOP together with OFFSET.")
        fetch.offset = self._number(0, 50_000)
        self._demand(self._word("ROWS") or self._word("ROW"), "ROWS")
        if self._word("FETCH"):
            self._demand(self._word("NEXT"), "NEXT")
            fetch.top = self._number(1, _ROWS_MAX)
            self._demand(self._word("ROWS") or self._word("ROW"), "ROWS")
            self._demand(self._word("ONLY"), "ONLY")

    # WHERE

    def _where(self, entity: Link) -> None:
        """Parts that are all to hold stand for themselves, so that those of one table can be looked up first."""
        whole = self._either()
        parts = whole.parts if isinstance(whole, Where) and not whole.any_of else (whole,)
        entity.where += [Where(any_of=False, parts=(each,)) for each in parts]

    def _either(self) -> Where | Condition | Link:
        """dataverse-api §13.1"""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise refused("it is nested too deeply.")
        parts = [self._both()]
        while self._word("OR"):
            parts.append(self._both())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Where(any_of=True, parts=tuple(parts))

    def _both(self) -> Where | Condition | Link:
        parts = [self._leaf()]
        while self._word("AND"):
            parts.append(self._leaf())
        return parts[0] if len(parts) == 1 else Where(any_of=False, parts=tuple(parts))

    def _leaf(self) -> Where | Condition | Link:
        """dataverse-api §13.1"""
        if self._mark("("):
            if self._peek() == ("word", "SELECT"):
                raise refused("subqueries.")
            found = self._either()
            self._demand(self._mark(")"), "')'")
            return found
        if self._peek() in {("word", "NOT"), ("word", "EXISTS"), ("word", "CASE")}:
            raise refused(f"{self._peek()[1]} at the beginning of a condition.")
        if self._peek()[0] in {"text", "number"}:  # 5 < column
            value = self._literal()
            operator = self._comparison()
            if self._peek()[0] in {"text", "number"}:
                raise refused("a comparison of two literals.")
            return self._condition(self._column(), _MIRRORED.get(operator, operator), (value,))
        column = self._column()
        if self._peek() == ("mark", "("):
            raise refused(f"the function '{column[1]}' in WHERE.")
        if self._word("IS"):
            negative = self._word("NOT")
            self._demand(self._word("NULL"), "NULL")
            return self._condition(column, "not-null" if negative else "null", ())
        negative = self._word("NOT")
        prefix = "not-" if negative else ""
        if self._word("LIKE"):
            return self._condition(column, f"{prefix}like", (self._literal(),))
        if self._word("IN"):
            return self._condition(column, f"{prefix}in", self._list())
        if self._word("BETWEEN"):
            low = self._literal()
            self._demand(self._word("AND"), "AND")
            return self._condition(column, f"{prefix}between", (low, self._literal()))
        self._demand(not negative, "LIKE, IN or BETWEEN")
        operator = self._comparison()
        if self._peek()[0] == "name":
            raise refused("a comparison of two columns in WHERE.")
        return self._condition(column, operator, (self._literal(),))

    def _comparison(self) -> str:
        """dataverse-api §13.1"""
        kind, text = self._next()
        if kind != "mark" or text not in _OPERATORS:
            raise refused(f"the operator '{text}'.")
        return _OPERATORS[text]

    def _literal(self) -> str:
        """dataverse-api §13.1"""
        kind, text = self._next()
        if kind == "text":
            return text.removeprefix("N")[1:-1].replace("''", "'")
        if kind != "number":
            raise refused(f"a literal was expected, not '{text}'; NULL is asked for by IS NULL.")
        return text

    def _list(self) -> tuple[str, ...]:
        """dataverse-api §13.1"""
        self._demand(self._mark("("), "'('")
        if self._peek() == ("word", "SELECT"):
            raise refused("subqueries.")
        values = [self._literal()]
        while self._mark(","):
            values.append(self._literal())
        self._demand(self._mark(")"), "')'")
        return tuple(values)

    def _condition(self, column: Column, operator: str, values: tuple[str, ...]) -> Condition:
        alias = self._owner(column)
        entity = None if self._links[alias] is self.entity else alias
        return Condition(attribute=column[1], operator=operator, values=values, entity=entity)

    def _owner(self, column: Column) -> str:
        """The alias of the table that a column is of: dataverse-api §2.9."""
        alias, name = column
        if alias is not None:
            if alias not in self._links:
                raise refused(f"the table '{alias}' of '{alias}.{name}' is not in FROM.")
            return alias
        first = next(iter(self._links))
        owners = [
            each
            for each, made in self._links.items()
            if made.name in self._tables and name in self._tables[made.name].columns
        ]
        if len(owners) > 1:
            raise refused(f"the column '{name}' is ambiguous.")
        return owners[0] if owners else first

    # What is selected

    def _plain(self, items: list[_Item]) -> None:
        for item in items:
            if item.column is not None:
                made = self._links[self._owner(item.column)]
                made.attributes.append(Attribute(name=item.column[1], alias=item.alias))

    def _aggregate(self, items: list[_Item], groups: list[Column]) -> None:
        """dataverse-api §13.1"""
        grouped: dict[tuple[str, str], str] = {}
        for number, item in enumerate(items):
            if item.function is None and item.column is not None:
                owner = self._owner(item.column)
                if (owner, item.column[1]) not in {(self._owner(each), each[1]) for each in groups}:
                    raise refused(f"the column '{item.column[1]}' is neither aggregated nor in GROUP BY.")
                grouped[owner, item.column[1]] = item.alias = item.alias or self._member(owner, item.column[1])
                self._links[owner].attributes.append(Attribute(name=item.column[1], alias=item.alias, group=True))
                continue
            item.alias = item.alias or f"{(item.function or '').lower()}{number or ''}"
            self._measure(item)
        for each in groups:
            owner = self._owner(each)
            if (owner, each[1]) not in grouped:
                alias = grouped[owner, each[1]] = f"_hidden{len(self.hidden)}"
                self.hidden.add(alias)
                self._links[owner].attributes.append(Attribute(name=each[1], alias=alias, group=True))
        self._grouped = grouped

    def _measure(self, item: _Item) -> None:
        function = (
            "countcolumn" if item.function == "COUNT" and item.column is not None else (item.function or "").lower()
        )
        if item.column is None:
            key = self._tables[self.entity.name].key if self.entity.name in self._tables else ""
            self.entity.attributes.append(Attribute(name=key, alias=item.alias, aggregate="count"))
            return
        made = self._links[self._owner(item.column)]
        made.attributes.append(
            Attribute(name=item.column[1], alias=item.alias, aggregate=function, distinct=item.distinct)
        )

    def _member(self, owner: str, name: str) -> str:
        if self._links[owner] is not self.entity:
            return f"{owner}.{name}"
        table = self._tables.get(self.entity.name)
        column = table.columns.get(name) if table is not None else None
        return column.wire if column is not None else name

    def _order(self, fetch: Fetch, items: list[_Item], orders: list[tuple[Column, bool]]) -> None:
        """By a column, or by what one is called in SELECT (dataverse-api §13.1)."""
        aliases = {(each.alias or "").lower(): each for each in items if each.alias}
        for column, descending in orders:
            if column[0] is None and column[1] in aliases:
                alias = aliases[column[1]].alias
                self.entity.orders.append(Order(attribute=None, alias=alias, entity=None, descending=descending))
                continue
            owner = self._owner(column)
            if fetch.aggregate:
                if (owner, column[1]) not in self._grouped:
                    raise refused(f"ORDER BY '{column[1]}', which is not in GROUP BY.")
                alias = self._grouped[owner, column[1]]
                self.entity.orders.append(Order(attribute=None, alias=alias, entity=None, descending=descending))
                continue
            entity = None if self._links[owner] is self.entity else owner
            self.entity.orders.append(Order(attribute=column[1], alias=None, entity=entity, descending=descending))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """dataverse-api §2.9"""
    position = 0
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            raise refused(f"the character '{text[position]}' at position {position}.")
        position = match.end()
        kind = match.lastgroup
        if kind == "name":
            word = match[0].upper()
            yield ("word", word) if word in _RESERVED else ("name", match[0].strip("[]"))
        elif kind is not None:
            yield kind, match[0]
    yield "end", ""


def read_sql(ctx: Context, table: Table, url: str, options: dict[str, str]) -> Reply:
    """`GET leads?sql=SELECT ...`: dataverse-api §2.9"""
    if unwanted := sorted(set(options) - {"sql", "$skiptoken"}):
        raise bad_query(f"The query parameter {unwanted[0]} is not supported together with sql.")
    statement = Statement(options["sql"], ctx.shape.tables)
    fetch = statement.fetch
    if "$skiptoken" in options:
        _continue(fetch, options["$skiptoken"])
    query = Query(ctx, fetch)
    if query.table is not table:
        raise refused(f"the table '{query.table.name}' is not that of the set '{table.set_name}'.")
    found = query.page(counted=False)
    for row in found.rows:
        for name in [each for each in row if each.partition("@")[0] in statement.hidden]:
            del row[name]
    body: dict[str, Any] = {"@odata.context": f"{ctx.base}/$metadata#{table.set_name}{found.context}"}
    body |= counts(ctx, None)
    body["value"] = found.rows
    if found.more:
        token = outer_cookie(fetch.page + 1, found.cookie or "")
        body["@odata.nextLink"] = link(url, {**options, "$skiptoken": token})
    return answer(body, headers=applied(ctx))


def _continue(fetch: Fetch, token: str) -> None:
    """The page that a `$skiptoken` names, at the row where the last one ended if it says so (dataverse-api §2.8)."""
    match = _PAGE.match(token)
    if match is None or int(match[1]) < 2:
        raise malformed()
    fetch.page = int(match[1])
    fetch.cookie = read_outer(token) or None
