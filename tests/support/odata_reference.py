"""Queries made by chance, and what they mean, evaluated the slow and obvious way over the rows as an answer has them.

Nothing here knows how the sandbox looks things up: rows are JSON objects, each query walks all of them.
"""

import json
import random
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import quoteattr

Row = dict[str, Any]
Node = tuple[Any, ...]
TEXTS = ["Alpha", "alpha", "Beta's", "50% off", "a_b", "Gamma [x]", "", "straße", "Zeta, Inc.", "O'Hara", "x"]
PATTERNS = ["a", "A", "%a", "_", "a_b", "[%]", "50[%]", "[^a]", "off", "'", "[a-c]", "e%a", "%%", "ß", ","]
DAYS = ["2026-08-01", "2026-08-13", "2026-08-14", "2026-08-15", "2026-09-30", "2025-12-31", "2027-02-28"]
MOMENTS = [
    "2026-08-14T11:59:59Z",
    "2026-08-14T12:00:00Z",
    "2026-08-13T00:00:00Z",
    "2026-07-01T08:30:00Z",
    "2026-08-20T01:00:00Z",
]
NUMBERS = ["0", "1", "5", "10", "99.5", "100", "-3", "12500.25"]
COLUMNS = {
    "subject": "text", "companyname": "text", "numberofemployees": "number", "estimatedamount": "number",
    "estimatedvalue": "number", "leadsourcecode": "number", "statecode": "number", "donotemail": "flag",
    "estimatedclosedate": "day", "lastonholdtime": "moment", "_parentaccountid_value": "id", "leadid": "id",
}  # fmt: skip
PARENT = {"name": "text", "numberofemployees": "number", "revenue": "number"}
OPERATORS = ["eq", "ne", "gt", "ge", "lt", "le"]
SPANS = [
    "Today",
    "Yesterday",
    "Tomorrow",
    "Last7Days",
    "Next7Days",
    "ThisWeek",
    "LastWeek",
    "NextWeek",
    "ThisMonth",
    "LastMonth",
    "NextMonth",
    "ThisYear",
    "LastYear",
    "NextYear",
    "ThisFiscalPeriod",
    "LastFiscalPeriod",
    "NextFiscalPeriod",
    "ThisFiscalYear",
]
COUNTED = [
    f"{word}X{unit}" for word in ("Last", "Next", "OlderThan") for unit in ("Hours", "Days", "Weeks", "Months", "Years")
]
FETCH_NAMES = {"Last7Days": "last-seven-days", "Next7Days": "next-seven-days"}


@dataclass
class World:
    """What the queries are about."""

    leads: list[Row]
    accounts: dict[str, Row]
    now: datetime
    user: str
    ids: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.ids = [*self.accounts, *(lead["leadid"] for lead in self.leads[:5])]


@dataclass
class Query:
    url: str
    prefer: str = ""
    code: str | None = None  # of the error that is right; None: rows are
    rows: list[Any] | None = None  # what a page by page read gives: ids, or groups
    count: int | None = None


# Meaning


def low(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def like(text: str, pattern: str) -> bool:
    """SQL's LIKE, letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    if not text:
        return False
    if pattern[0] == "[" and "]" in pattern and pattern.index("]") > 1:
        end = pattern.index("]")
        inner = pattern[1:end]
        wrong = inner.startswith("^")
        inner = inner.removeprefix("^")
        inside = text[0] in inner or (len(inner) == 3 and inner[1] == "-" and inner[0] <= text[0] <= inner[2])
        return inside is not wrong and like(text[1:], pattern[end + 1 :])
    return pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


def compare(operator: str, left: Any, right: Any) -> bool:
    if operator == "ne":
        return not compare("eq", left, right)
    if left is None or right is None:
        return False
    left, right = low(left), low(right)
    return {"eq": left == right, "gt": left > right, "ge": left >= right, "lt": left < right, "le": left <= right}[
        operator
    ]


def at(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def later(moment: datetime, months: int) -> datetime:
    while months:
        step = 1 if months > 0 else -1
        months -= step
        year, month = (moment.year, moment.month + step)
        if month in (0, 13):
            year, month = year + step, 12 if month == 0 else 1
        moment = moment.replace(year=year, month=month, day=min(moment.day, monthrange(year, month)[1]))
    return moment


def months_from(start: datetime, months: int) -> datetime:
    """At once, so that the last day of a month is not lost on the way."""
    there = later(start.replace(day=1), months)
    return there.replace(day=min(start.day, monthrange(there.year, there.month)[1]))


def span(name: str, number: int, now: datetime) -> tuple[datetime | None, datetime | None]:
    today = now.replace(hour=0, minute=0, second=0)
    day, second = timedelta(days=1), timedelta(seconds=1)
    for unit, move in (
        ("XHours", lambda m, n: m + n * timedelta(hours=1)),
        ("XDays", lambda m, n: m + n * day),
        ("XWeeks", lambda m, n: m + n * 7 * day),
        ("XMonths", months_from),
        ("XYears", lambda m, n: months_from(m, 12 * n)),
    ):  # fmt: skip
        if not name.endswith(unit):
            continue
        if name.startswith("Older"):
            return None, move(now, -number)
        if unit == "XHours":
            return (now, move(now, number)) if name.startswith("Next") else (move(now, -number), now + second)
        return (now, move(today + day, number)) if name.startswith("Next") else (move(today, -number), now + second)
    if name == "Last7Days":
        return today - 7 * day, now + second
    if name == "Next7Days":
        return now, today + 8 * day
    if name in ("Today", "Yesterday", "Tomorrow"):
        start = today + {"Today": 0, "Yesterday": -1, "Tomorrow": 1}[name] * day
        return start, start + day
    step = {"This": 0, "Last": -1, "Next": 1}[name[:4]]
    if name.endswith("Week"):
        start = today
        while start.weekday() != 6:
            start -= day
        return start + 7 * step * day, start + 7 * (step + 1) * day
    months = {"Month": 1, "FiscalPeriod": 3}.get(name[4:], 12)
    start = today.replace(day=1)
    while (start.month - 1) % months:
        start = later(start, -1)
    return later(start, months * step), later(start, months * (step + 1))


def inside(value: str | None, bounds: tuple[datetime | None, datetime | None]) -> bool:
    if value is None:
        return False
    start, end = bounds
    if len(value) == 10:  # a day counts when any of it lies in the span
        first = at(value)
        return (end is None or first < end) and (start is None or first + timedelta(days=1) > start)
    moment = at(value)
    return (start is None or moment >= start) and (end is None or moment < end)


def holds(node: Node, row: Row, world: World) -> bool:
    kind, *rest = node
    match kind:
        case "and":
            return all(holds(each, row, world) for each in rest)
        case "or":
            return any(holds(each, row, world) for each in rest)
        case "not":
            return not holds(rest[0], row, world)
        case "cmp":
            column, operator, value = rest
            return compare(operator, row[column], value)
        case "null":
            return (row[rest[0]] is None) is rest[1]
        case "columns":
            left, operator, right = row[rest[0]], rest[1], row[rest[2]]
            if left is None and right is None:
                return False
            return compare(operator, left, right)
        case "parent":
            column, operator, value = rest
            account = world.accounts.get(row["_parentaccountid_value"] or "")
            return compare(operator, account[column] if account else None, value)
        case "text":
            column, function, pattern = rest
            text = row[column]
            before, after = {"contains": ("%", "%"), "startswith": ("", "%"), "endswith": ("%", ""), "like": ("", "")}[
                function
            ]
            return text is not None and like(low(text), before + low(pattern) + after)
        case "in":
            return any(compare("eq", row[rest[0]], value) for value in rest[1])
        case "between":
            return compare("ge", row[rest[0]], rest[1]) and compare("le", row[rest[0]], rest[2])
        case "not-between":
            return row[rest[0]] is not None and not holds(("between", *rest), row, world)
        case "span":
            return inside(row[rest[0]], span(rest[1], rest[2], world.now))
        case "on":
            day = at(rest[2])
            start = None if rest[1] == "OnOrBefore" else day
            return inside(row[rest[0]], (start, None if rest[1] == "OnOrAfter" else day + timedelta(days=1)))
        case "siblings":  # leads of the same account, through the account's collection
            quantifier, inner = rest
            mine = [each for each in world.leads if each["_parentaccountid_value"] == row["accountid"]]
            results = [holds(inner, each, world) for each in mine]
            return any(results) if quantifier == "any" else all(results)
        case _:
            raise AssertionError(kind)


def ordered(rows: Sequence[Row], orders: Sequence[tuple[str, bool]], key: str) -> list[Row]:
    found = sorted(rows, key=lambda row: row[key])
    for column, descending in reversed(orders):
        found.sort(
            key=lambda row: (row[column] is not None, low(row[column]) if row[column] is not None else 0),
            reverse=descending,
        )
    return found


# Chance


class Maker:
    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng

    def value(self, kind: str) -> Any:
        pick = self.rng.choice
        match kind:
            case "text":
                return pick(TEXTS)
            case "number":
                return Decimal(pick(NUMBERS))
            case "flag":
                return pick([True, False])
            case "day":
                return pick(DAYS)
            case "moment":
                return pick(MOMENTS)
            case _:
                return pick(self.world.ids)

    def node(self, depth: int = 0, *, fetch: bool = False) -> Node:
        pick = self.rng.choice
        if depth < 3 and self.rng.random() < 0.45:
            kind = pick(["and", "or"] if fetch else ["and", "or", "not"])
            if kind == "not":
                return "not", self.node(depth + 1)
            return (kind, *(self.node(depth + 1, fetch=fetch) for _ in range(self.rng.randint(1 if fetch else 2, 3))))
        kind = pick(
            ["cmp"] * 4
            + ["null", "columns", "text", "in", "between", "span", "on"]
            + [] * fetch
            + ["parent"] * (not fetch)
        )
        if kind == "null":
            return "null", pick(list(COLUMNS)), pick([True, False])
        if kind == "columns":
            return pick(
                [
                    ("columns", "subject", pick(OPERATORS), "companyname"),
                    ("columns", "numberofemployees", pick(OPERATORS), "leadsourcecode"),
                ]
            )
        if kind == "text":
            functions = ["like", "startswith", "endswith"] if fetch else ["contains", "startswith", "endswith"]
            return "text", pick(["subject", "companyname"]), pick(functions), pick(PATTERNS)
        if kind == "span":
            name = pick(SPANS + COUNTED)
            return (
                "span",
                pick(["estimatedclosedate", "lastonholdtime"]),
                name,
                pick([1, 2, 7, 30]) if "X" in name else 0,
            )
        if kind == "on":
            return (
                "on",
                pick(["estimatedclosedate", "lastonholdtime"]),
                pick(["On", "OnOrAfter", "OnOrBefore"]),
                pick(DAYS),
            )
        columns = PARENT if kind == "parent" else COLUMNS
        column = pick([name for name, type_ in columns.items() if kind in ("cmp", "parent") or type_ != "flag"])
        type_ = columns[column]
        if kind == "in":
            return "in", column, [self.value(type_) for _ in range(self.rng.randint(1, 3))]
        if kind == "between":
            return pick(["between", "not-between"]), column, self.value(type_), self.value(type_)
        operators = ["eq", "ne"] if type_ in ("flag", "id") else OPERATORS
        return kind, column, pick(operators), self.value(type_)


# OData


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def bare(column: str, value: Any) -> str:
    kind = {**PARENT, **COLUMNS}[column]
    return literal(value) if kind == "text" or isinstance(value, bool) else str(value)


def odata(node: Node, prefix: str = "") -> str:
    kind, *rest = node
    call = "Microsoft.Dynamics.CRM."
    match kind:
        case "and" | "or":
            return "(" + f" {kind} ".join(odata(each, prefix) for each in rest) + ")"
        case "not":
            return f"not ({odata(rest[0], prefix)})"
        case "cmp":
            return f"{prefix}{rest[0]} {rest[1]} {bare(rest[0], rest[2])}"
        case "parent":
            return f"{prefix}parentaccountid/{rest[0]} {rest[1]} {bare(rest[0], rest[2])}"
        case "null":
            return f"{prefix}{rest[0]} {'eq' if rest[1] else 'ne'} null"
        case "columns":
            return f"{prefix}{rest[0]} {rest[1]} {prefix}{rest[2]}"
        case "text":
            return f"{rest[1]}({prefix}{rest[0]},{literal(rest[2])})"
        case "in" | "between" | "not-between":
            values = rest[1] if kind == "in" else rest[1:]
            name = {"in": "In", "between": "Between", "not-between": "NotBetween"}[kind]
            texts = json.dumps([str(value) for value in values], ensure_ascii=False)
            return f"{call}{name}(PropertyName='{rest[0]}',PropertyValues={texts})"
        case "span":
            number = f",PropertyValue={rest[2]}" if rest[2] else ""
            return f"{call}{rest[1]}(PropertyName='{rest[0]}'{number})"
        case "on":
            return f"{call}{rest[1]}(PropertyName='{rest[0]}',PropertyValue='{rest[2]}')"
        case _:
            return f"lead_parent_account/{rest[0]}(o:{odata(rest[1], 'o/')})"


FUNCTIONS = {"in", "between", "not-between", "span", "on"}
ILLEGAL_ODATA = [
    "$filter=nosuch eq 1",
    "$filter=subject eq 1",
    "$filter=statecode eq 'Open'",
    "$filter=subject eq",
    "$filter=(subject eq 'a'",
    "$filter=contains(statecode,'1')",
    "$filter=year(createdon) eq 2026",
    "$filter=numberofemployees add 1 eq 2",
    "$filter=subject eq 'a' eq 'b'",
    "$filter=parentaccountid eq 1",
    "$filter=nosuch/name eq 'a'",
    "$filter=lastname eq 'O'Hara'",
    "$filter=Microsoft.Dynamics.CRM.NoSuch(PropertyName='subject')",
    "$filter=Microsoft.Dynamics.CRM.Today(PropertyName='subject')",
    "$filter=Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue='x')",
    "$filter=Microsoft.Dynamics.CRM.In(PropertyName='statecode',PropertyValues=[1])",
    "$filter=Microsoft.Dynamics.CRM.Between(PropertyName='statecode',PropertyValues=[\"1\"])",
    "$filter=leadid eq guid'x'",
    "$filter=lastonholdtime gt datetime'2026-01-01'",
    "$filter=@p1",
    "$filter=statecode in (1,2)",
    "$orderby=nosuch",
    "$orderby=subject up",
    "$select=nosuch",
    "$select=parentaccountid",
    "$skip=1",
    "$top=0",
    "$top=5001",
    "$top=x",
    "$search=a",
    "$format=json",
    "$Filter=statecode eq 0",
    "$count=yes",
    "$expand=nosuch",
    "$expand=parentaccountid($top=1)",
    "$skiptoken=x",
    "$expand=parentaccountid($count=true)",
    "$apply=nosuch",
    "$apply=groupby((createdon))",
    "$apply=aggregate(subject with sum as s)",
    "$apply=aggregate(nosuch with sum as s)",
    "$apply=groupby((statecode),aggregate($count as n))&$orderby=n",
    "$apply=aggregate($count as n)&$filter=statecode eq 0",
    "savedQuery=x",
    "$filter=donotemail gt true",
    "$filter=subject",
    "$filter=lead_parent_account/any(o:o/subject eq 'a')",
]


def odata_query(world: World, rng: random.Random) -> Query:
    if rng.random() < 0.12:
        return Query(url=f"leads?{rng.choice(ILLEGAL_ODATA)}", code="0x80060888")
    maker = Maker(world, rng)
    if rng.random() < 0.15:
        return _grouped(maker)
    if rng.random() < 0.1:
        node = ("siblings", rng.choice(["any", "all"]), _inside(maker))
        rows = [row for row in world.accounts.values() if holds(node, row, world)]
        return Query(url=f"accounts?$select=name&$filter={odata(node)}", rows=sorted(row["accountid"] for row in rows))
    node = maker.node() if rng.random() < 0.9 else None
    if node is not None and _negates(node):
        return Query(url=f"leads?$filter={odata(node)}", code="0x80060888")
    rows = [row for row in world.leads if node is None or holds(node, row, world)]
    orders = [(name, rng.random() < 0.5) for name in rng.sample(list(COLUMNS)[:10], rng.choice([0, 0, 1, 1, 2]))]
    rows = ordered(rows, orders, "leadid")
    options = ["$select=" + ",".join(rng.sample(list(COLUMNS), rng.randint(1, 4)))]
    query = Query(url="", rows=[row["leadid"] for row in rows])
    if node is not None:
        options.append(f"$filter={odata(node)}")
    if orders:
        options.append("$orderby=" + ",".join(f"{name}{' desc' if down else ''}" for name, down in orders))
    if rng.random() < 0.3:
        options.append("$count=true")
        query.count = len(rows)
    if rng.random() < 0.4:
        query.prefer = f"odata.maxpagesize={rng.randint(3, 20)}"
    elif rng.random() < 0.4:
        top = rng.randint(1, 20)
        options.append(f"$top={top}")
        query.rows = (query.rows or [])[:top]
    if rng.random() < 0.2:
        query.prefer += ("," if query.prefer else "") + 'odata.include-annotations="*"'
    query.url = "leads?" + "&".join(options)
    return query


def _inside(maker: Maker) -> Node:
    while True:  # query functions name no range variable, so that they are left out inside of a lambda
        node = maker.node(depth=2)
        if not _has(node, FUNCTIONS):
            return node


def _negates(node: Node) -> bool:
    """Query functions may not stand below `not`."""
    if node[0] == "not":
        return _has(node, FUNCTIONS)
    return any(_negates(each) for each in node[1:] if isinstance(each, tuple))


def _has(node: Node, kinds: set[str]) -> bool:
    return node[0] in kinds or any(_has(each, kinds) for each in node[1:] if isinstance(each, tuple))


def grouped(rows: Sequence[Row], groups: Sequence[str], column: str) -> list[dict[str, Any]]:
    """Count, sum, smallest and greatest of a column, by the values of others."""
    kinds: list[tuple[Any, ...]] = []
    for row in rows:
        key = tuple(low(row[name]) for name in groups)
        if key not in kinds:
            kinds.append(key)
    found: list[dict[str, Any]] = []
    for key in kinds:
        mine = [row for row in rows if tuple(low(row[name]) for name in groups) == key]
        values = [row[column] for row in mine if row[column] is not None]
        line = {name: mine[0][name] for name in groups if mine[0][name] is not None}
        line |= {"n": len(mine), "s": sum(values), "d": len(set(values))}
        line |= {"lo": min(values), "hi": max(values)} if values else {}
        found.append({name: low(value) for name, value in line.items()})
    return found


def _grouped(maker: Maker) -> Query:
    rng = maker.rng
    node = maker.node()
    rows = [row for row in maker.world.leads if holds(node, row, maker.world)]
    groups = rng.sample(["statecode", "leadsourcecode", "donotemail", "companyname"], rng.randint(1, 2))
    column = rng.choice(["numberofemployees", "estimatedamount"])
    methods = {"s": "sum", "d": "countdistinct", "lo": "min", "hi": "max"}
    measures = ",".join(["$count as n", *(f"{column} with {method} as {name}" for name, method in methods.items())])
    url = f"leads?$apply=filter({odata(node)})/groupby(({','.join(groups)}),aggregate({measures}))"
    if _negates(node):
        return Query(url=url, code="0x80060888")
    return Query(url=url, rows=grouped(rows, groups, column))


# FetchXML


def dashed(name: str) -> str:
    if name in FETCH_NAMES:
        return FETCH_NAMES[name]
    text = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
    return text.replace("older-than", "olderthan")


def fetch_xml(node: Node) -> str:
    kind, *rest = node
    if kind in ("and", "or"):
        return f"<filter type='{kind}'>{''.join(map(fetch_xml, rest))}</filter>"
    column = rest[0].removeprefix("_").removesuffix("_value") if rest[0].startswith("_") else rest[0]

    def one(operator: str, *values: Any) -> str:
        texts = ["1" if value is True else "0" if value is False else str(value) for value in values]
        head = f"<condition attribute='{column}' operator='{operator}'"
        if len(texts) == 1 and operator not in ("in", "between"):
            return f"{head} value={quoteattr(texts[0])}/>"
        inner = "".join(f"<value>{text.replace('&', '&amp;').replace('<', '&lt;')}</value>" for text in texts)
        return f"{head}>{inner}</condition>" if texts else f"{head}/>"

    match kind:
        case "cmp":
            return one(rest[1], rest[2])
        case "null":
            return one("null" if rest[1] else "not-null")
        case "columns":
            return f"<condition attribute='{column}' operator='{rest[1]}' valueof='{rest[2]}'/>"
        case "text":
            return one({"like": "like", "startswith": "begins-with", "endswith": "ends-with"}[rest[1]], rest[2])
        case "in":
            return one("in", *rest[1])
        case "between" | "not-between":
            return one(kind, *rest[1:])
        case "span":
            return one(dashed(rest[1]), *([rest[2]] if rest[2] else []))
        case _:
            return one(dashed(rest[1]), rest[2])


def of_leads(inner: str, attributes: str = "") -> str:
    return f"<fetch{attributes}><entity name='lead'>{inner}</entity></fetch>"


def filtered(condition: str) -> str:
    return of_leads(f"<filter><condition {condition}/></filter>")


ILLEGAL_FETCH = [
    ("<fetch><entity name='lead'>", "0x80040201"),
    ("", "0x80040201"),
    ("<!DOCTYPE x [<!ENTITY a 'b'>]><fetch><entity name='lead'/></fetch>", "0x80040201"),
    ("<query/>", "0x80040203"),
    ("<fetch/>", "0x80040203"),
    ("<fetch top='1' page='1'><entity name='lead'/></fetch>", "0x80040203"),
    ("<fetch top='x'><entity name='lead'/></fetch>", "0x80040203"),
    ("<fetch nosuch='1'><entity name='lead'/></fetch>", "0x80040203"),
    ("<fetch><entity name='nosuch'/></fetch>", "0x80041102"),
    (of_leads("<attribute name='nosuch'/>"), "0x80041103"),
    (of_leads("<order attribute='nosuch'/>"), "0x80041103"),
    (filtered("attribute='nosuch' operator='null'"), "0x80041103"),
    (filtered("attribute='subject' operator='nosuch'"), "0x80040203"),
    (filtered("attribute='subject' operator='eq'"), "0x80040203"),
    (filtered("attribute='statecode' operator='eq' value='x'"), "0x80040203"),
    (filtered("attribute='subject' operator='today'"), "0x80040203"),
    (of_leads("<link-entity name='nosuch' from='a' to='b'/>"), "0x80041102"),
    (of_leads("<link-entity name='account' from='nosuch' to='parentaccountid'/>"), "0x80041103"),
    (of_leads("<link-entity name='account' from='accountid' to='leadid' link-type='no'/>"), "0x80040203"),
    (of_leads("<attribute name='subject'/>", " aggregate='true'"), "0x80040203"),
    (of_leads("<attribute name='subject' aggregate='sum' alias='s'/>", " aggregate='true'"), "0x80040203"),
    (of_leads("<attribute name='createdon' groupby='true' alias='s'/>", " aggregate='true'"), "0x80040203"),
    (
        of_leads("<attribute name='leadid' aggregate='count' alias='s'/>", " aggregate='true' aggregatelimit='1'"),
        "0x8004E023",
    ),
]


@dataclass
class FetchQuery:
    xml: Callable[[int, str], str]  # page, cookie -> FetchXML
    code: str | None = None
    rows: list[Any] | None = None
    groups: bool = False


def fetch_query(world: World, rng: random.Random) -> FetchQuery:
    if rng.random() < 0.12:
        text, code = rng.choice(ILLEGAL_FETCH)
        return FetchQuery(xml=lambda _page, _cookie: text, code=code)
    maker = Maker(world, rng)
    node: Node = ("and", maker.node(fetch=True))
    rows = [row for row in world.leads if holds(node, row, world)]
    if rng.random() < 0.2:
        return _fetch_groups(node, rows, rng)
    orders = [
        (name, rng.random() < 0.5)
        for name in rng.sample(
            ["subject", "numberofemployees", "statecode", "estimatedclosedate"], rng.choice([0, 1, 2])
        )
    ]
    rows = ordered(rows, orders, "leadid")
    link = ""
    kind = rng.choice([None, None, "inner", "outer", "any", "exists"])
    if kind is not None:
        name = rng.choice(TEXTS)
        condition = f"<filter><condition attribute='name' operator='ne' value={quoteattr(name)}/></filter>"
        ends = f"from='accountid' to='parentaccountid' link-type='{kind}' alias='a'"
        link = f"<link-entity name='account' {ends}>{condition}</link-entity>"

        def linked(row: Row) -> bool:
            account = world.accounts.get(row["_parentaccountid_value"] or "")
            return account is not None and low(account["name"]) != low(name)

        rows = rows if kind == "outer" else [row for row in rows if linked(row)]
    if kind == "any":
        link = f"<filter>{link.replace(' alias=' + chr(39) + 'a' + chr(39), '')}</filter>"
    count = rng.randint(4, 25)
    sorts = "".join(f"<order attribute='{name}' descending='{str(down).lower()}'/>" for name, down in orders)

    def xml(page: int, cookie: str) -> str:
        more = f" paging-cookie={quoteattr(cookie)}" if cookie else ""
        return (
            f"<fetch count='{count}' page='{page}'{more}><entity name='lead'><attribute name='subject'/>"
            f"{fetch_xml(node)}{sorts}{link}</entity></fetch>"
        )

    return FetchQuery(xml=xml, rows=[row["leadid"] for row in rows])


def _fetch_groups(node: Node, rows: Sequence[Row], rng: random.Random) -> FetchQuery:
    groups = rng.sample(["statecode", "leadsourcecode", "companyname"], rng.randint(1, 2))
    column = rng.choice(["numberofemployees", "estimatedamount"])
    attributes = "".join(f"<attribute name='{name}' alias='{name}' groupby='true'/>" for name in groups)
    measures = (
        "<attribute name='leadid' alias='n' aggregate='count'/>"
        f"<attribute name='{column}' alias='s' aggregate='sum'/><attribute name='{column}' alias='lo' aggregate='min'/>"
        f"<attribute name='{column}' alias='hi' aggregate='max'/>"
        f"<attribute name='{column}' alias='d' aggregate='countcolumn' distinct='true'/>"
    )
    text = f"<fetch aggregate='true'><entity name='lead'>{attributes}{measures}{fetch_xml(node)}</entity></fetch>"
    return FetchQuery(xml=lambda _page, _cookie: text, rows=grouped(rows, groups, column), groups=True)


def canonical(lines: Sequence[dict[str, Any]]) -> list[tuple[tuple[str, Any], ...]]:
    """Groups without regard to their order; letters without regard to case."""
    return sorted((tuple(sorted((name, low(value)) for name, value in line.items())) for line in lines), key=str)
