"""SOQL the slow, obvious way: random queries as small trees, and what each must answer over plain lists of rows.

It shares nothing with the sandbox: it never parses a statement (it writes them), it has no index, no closure, no order
but `sorted`. What it knows of Salesforce is written from the fact sheet (salesforce-api §2) a second time.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

Row = dict[str, Any]
NOW = datetime(2026, 1, 31, 9, 15, 22, tzinfo=UTC)
TODAY = NOW.date()

# Of each object the fields that take part: what they are.
FIELDS: dict[str, dict[str, str]] = {
    "Lead": {
        "Id": "id",
        "LastName": "text",
        "Company": "text",
        "Email": "text",
        "Status": "picklist",
        "NumberOfEmployees": "int",
        "AnnualRevenue": "number",
        "IsConverted": "boolean",
        "OwnerId": "reference",
        "Tags__c": "multi",
        "CreatedDate": "datetime",
        "SystemModstamp": "datetime",
    },
    "Account": {"Id": "id", "Name": "text", "Industry": "picklist", "AnnualRevenue": "number", "ParentId": "reference"},
    "Contact": {"Id": "id", "LastName": "text", "AccountId": "reference", "Birthdate": "date", "Email": "text"},
    "Opportunity": {
        "Id": "id",
        "Name": "text",
        "StageName": "picklist",
        "Amount": "number",
        "CloseDate": "date",
        "IsWon": "boolean",
        "AccountId": "reference",
    },
    "User": {"Id": "id", "LastName": "text", "Email": "text"},
    "Group": {"Id": "id", "Name": "text", "Email": "text"},
}
PARENTS = {
    "Lead": {"Owner": ("OwnerId", ("User", "Group"))},
    "Account": {"Parent": ("ParentId", ("Account",))},
    "Contact": {"Account": ("AccountId", ("Account",))},
    "Opportunity": {"Account": ("AccountId", ("Account",))},
}
CHILDREN = {
    "Account": {"Contacts": ("Contact", "AccountId"), "Opportunities": ("Opportunity", "AccountId")},
}
SEMI_JOINS = {
    "Account": [("Id", "Contact", "AccountId"), ("Id", "Opportunity", "AccountId")],
    "Contact": [("AccountId", "Opportunity", "AccountId"), ("AccountId", "Account", "Id")],
    "Opportunity": [("AccountId", "Contact", "AccountId"), ("AccountId", "Account", "Id")],
    "Lead": [("OwnerId", "User", "Id"), ("OwnerId", "Group", "Id")],
}
PICKLISTS = {
    "Status": ["Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"],
    "StageName": ["Prospecting", "Qualification", "Closed Won", "Closed Lost"],
    "Industry": ["Agriculture", "Energy", "Technology"],
}
STAGE_ORDER = (
    "Prospecting|Qualification|Needs Analysis|Value Proposition|Id. Decision Makers|Perception Analysis|"
    "Proposal/Price Quote|Negotiation/Review|Closed Won|Closed Lost"
).split("|")
TEXTS = ["a", "B", "b", "ä", "a'b", "50%", "_x", "\\", "Acme", "acme", "Zz"]
TAGS = ["A", "B", "C"]


@dataclass(frozen=True, kw_only=True)
class World:
    tables: dict[str, list[Row]]  # deleted rows among them

    def rows(self, name: str, *, deleted: bool = False) -> list[Row]:
        return [row for row in self.tables[name] if deleted or not row.get("IsDeleted")]

    def value(self, name: str, row: Row | None, path: str) -> Any:
        """A field, or one of a parent, along the way one by one."""
        *hops, last = path.split(".")
        for hop in hops:
            if row is None:
                return None
            reference, targets = PARENTS[name][hop]
            key, row = row.get(reference), None
            for target in targets:
                for parent in self.tables[target]:
                    if key is not None and parent["Id"] == key:
                        name, row = target, parent
        return None if row is None else row.get(last)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A statement and what it must answer: shown rows (in order, or as they come), a total, or a code."""

    text: str
    records: list[Any] | None = None
    ordered: bool = False
    total: int | None = None
    code: str | None = None
    everything: bool = False


@dataclass(frozen=True, kw_only=True)
class Condition:
    text: str
    holds: Callable[[World, str, Row], bool]
    atom: bool = True
    joins: bool = False


@dataclass(kw_only=True)
class Queries:
    """Random statements with their answers."""

    world: World
    rng: random.Random
    seen: dict[str, int] = field(default_factory=dict)  # how many of each kind

    def case(self) -> Case:
        kind = self.rng.choices(["plain", "count", "grouped", "illegal"], [60, 6, 20, 14])[0]
        self.seen[kind] = self.seen.get(kind, 0) + 1
        name = self.rng.choice(["Lead", "Account", "Contact", "Opportunity"])
        return {"plain": self._plain, "count": self._count, "grouped": self._grouped, "illegal": self._illegal}[kind](
            name
        )

    # -- conditions ----------------------------------------------------------------------------------------------

    def path(self, name: str, kinds: tuple[str, ...] = ()) -> tuple[str, str]:
        """A field of the object or of a parent, and what it is."""
        prefix, target = "", name
        while self.rng.random() < 0.25 and target in PARENTS and prefix.count(".") < 4:
            hop = self.rng.choice(list(PARENTS[target]))
            prefix, target = f"{prefix}{hop}.", PARENTS[target][hop][1][0]
            if prefix.endswith("Owner."):
                break
        fields = {key: kind for key, kind in FIELDS[target].items() if not kinds or kind in kinds}
        if prefix.endswith("Owner."):
            fields = {key: kind for key, kind in fields.items() if key == "Email"}
        if not fields:
            fields, prefix = {key: kind for key, kind in FIELDS[name].items() if not kinds or kind in kinds}, ""
        if not fields:
            return "Id", "id"
        key = self.rng.choice(list(fields))
        return prefix + key, fields[key]

    def where(self, name: str, depth: int = 2) -> Condition:
        """A tree of conditions; a mixture of AND and OR has its parentheses."""
        if depth == 0 or self.rng.random() < 0.4:
            return self._negated(self.leaf(name))
        word = self.rng.choice(["AND", "OR"])
        parts = [self.where(name, depth - 1) for _ in range(self.rng.randint(2, 3))]
        if word == "AND" and depth == 2 and self.rng.random() < 0.3:
            parts.append(self.semi_join(name))
        text = f" {word} ".join(part.text if part.atom else f"({part.text})" for part in parts)
        every = word == "AND"

        def holds(world: World, at: str, row: Row) -> bool:
            each = [part.holds(world, at, row) for part in parts]
            return all(each) if every else any(each)

        return Condition(text=text, holds=holds, atom=False)

    def _negated(self, inner: Condition) -> Condition:
        if self.rng.random() > 0.15:
            return inner
        return Condition(text=f"NOT ({inner.text})", holds=lambda w, n, r: not inner.holds(w, n, r))

    def semi_join(self, name: str) -> Condition:
        left, other, right = self.rng.choice(SEMI_JOINS[name])
        inner, negated = self.leaf(other), self.rng.random() < 0.4

        def holds(world: World, _: str, row: Row) -> bool:
            ids = [each.get(right) for each in world.rows(other) if inner.holds(world, other, each)]
            return (row.get(left) is not None and row.get(left) in ids) is not negated

        word = "NOT IN" if negated else "IN"
        return Condition(
            text=f"{left} {word} (SELECT {right} FROM {other} WHERE {inner.text})", holds=holds, joins=True
        )

    def leaf(self, name: str) -> Condition:
        if self.rng.random() < 0.1:
            return self._date_function(name)
        path, kind = self.path(name)
        if self.rng.random() < 0.12:
            same = self.rng.random() < 0.5
            return self._about(path, f"{path} {'=' if same else '!='} null", lambda value: (value is None) is same)
        if kind == "multi":
            return self._multi(path)
        if kind in ("date", "datetime") and self.rng.random() < 0.6:
            return self._relative(path, kind)
        if kind in ("text", "picklist", "id", "reference", "int", "number") and self.rng.random() < 0.3:
            return self._in_list(path, kind)
        if kind in ("text", "picklist") and self.rng.random() < 0.3:
            return self._like(path)
        literal, wanted = self.literal(path, kind)
        operators = ["=", "!="] if kind == "boolean" else ["=", "!=", "<", "<=", ">", ">="]
        operator = self.rng.choice(operators)
        return self._about(path, f"{path} {operator} {literal}", lambda value: compared(value, operator, wanted, kind))

    def _about(self, path: str, text: str, test: Callable[[Any], bool]) -> Condition:
        return Condition(text=text, holds=lambda world, name, row: test(world.value(name, row, path)))

    def literal(self, path: str, kind: str) -> tuple[str, Any]:
        rng = self.rng
        match kind:
            case "int" | "number":
                number = rng.choice([0, 1, 2, 3, 5, -1, 2.5, 10.25, 100])
                return str(number), number
            case "boolean":
                return rng.choice([("true", True), ("FALSE", False)])
            case "id" | "reference":
                rows = [row["Id"] for table in self.world.tables.values() for row in table]
                key = rng.choice(rows)
                return quoted(rng.choice([key, key[:15]])), key
            case "date":
                day = TODAY + timedelta(days=rng.randint(-500, 60))
                return day.isoformat(), day.isoformat()
            case "datetime":
                moment = NOW - timedelta(seconds=rng.choice([0, 1, 5, 60, 86400, 86400 * 40]))
                form = rng.choice(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%dT%H:%M:%S+00:00"])
                return moment.strftime(form), moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
            case "picklist":
                value = rng.choice(PICKLISTS[path.rpartition(".")[2]])
                return quoted(rng.choice([value, value.upper()])), value
            case _:
                value = rng.choice(TEXTS)
                return quoted(value), value

    def _in_list(self, path: str, kind: str) -> Condition:
        pairs = [self.literal(path, kind) for _ in range(self.rng.randint(1, 4))]
        negated = self.rng.random() < 0.4
        text = f"{path} {'NOT IN' if negated else 'IN'} ({', '.join(literal for literal, _ in pairs)})"
        return self._about(
            path, text, lambda value: any(compared(value, "=", wanted, kind) for _, wanted in pairs) is not negated
        )

    def _like(self, path: str) -> Condition:
        pieces = [self.rng.choice(["%", "_", "\\%", "\\_", *"abBCx'5 "]) for _ in range(self.rng.randint(1, 5))]
        text = "".join("\\'" if piece == "'" else piece for piece in pieces)
        return self._about(path, f"{path} LIKE '{text}'", lambda value: value is not None and liked(value, pieces))

    def _multi(self, path: str) -> Condition:
        wanted = [self.rng.sample(TAGS, self.rng.randint(1, 2)) for _ in range(self.rng.randint(1, 2))]
        negated = self.rng.random() < 0.4
        text = (
            f"{path} {'EXCLUDES' if negated else 'INCLUDES'} ({', '.join(quoted(';'.join(each)) for each in wanted)})"
        )

        def test(value: Any) -> bool:
            there = (value or "").split(";")
            return any(all(tag in there for tag in each) for each in wanted) is not negated

        return self._about(path, text, test)

    def _relative(self, path: str, kind: str) -> Condition:
        unit = self.rng.choice(["DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "FISCAL_QUARTER", "FISCAL_YEAR"])
        count = self.rng.choice([0, 1, 2, 3, 7, 30, 400])
        plain = {"LAST": (-1, -1), "THIS": (0, 0), "NEXT": (1, 1)}
        counted = {"LAST_N": (-count, -1), "NEXT_N": (1, count)}
        choice = self.rng.choice(["plain", "counted", "ago"])
        if choice == "plain":
            word = self.rng.choice(list(plain))
            literal, (low, high) = f"{word}_{unit}", plain[word]
            if unit == "DAY":
                literal = {"LAST": "YESTERDAY", "THIS": "TODAY", "NEXT": "TOMORROW"}[word]
        elif choice == "counted":
            word = self.rng.choice(list(counted))
            literal, (low, high) = f"{word}_{unit}S:{count}", counted[word]
            if literal.startswith("LAST_N_DAYS"):
                high = 0  # counts back n days and includes today
        else:
            literal, low, high = f"N_{unit}S_AGO:{count}", -count, -count
        operator = self.rng.choice(["=", "!=", "<", "<=", ">", ">="])

        def test(value: Any) -> bool:
            if value is None:
                return operator == "!="
            far = number_of(unit, date.fromisoformat(value[:10])) - number_of(unit, TODAY)
            inside = low <= far <= high
            return {
                "=": inside,
                "!=": not inside,
                "<": far < low,
                "<=": far <= high,
                ">": far > high,
                ">=": far >= low,
            }[operator]

        return self._about(path, f"{path} {operator} {literal}", test)

    def _date_function(self, name: str) -> Condition:
        path, kind = self.path(name, ("date", "datetime"))
        if kind not in ("date", "datetime"):
            return self.leaf(name)
        function = self.rng.choice(list(DAY_NUMBERS))
        wanted, operator = self.rng.choice([1, 2, 4, 5, 12, 31, 2025, 2026]), self.rng.choice(["=", "!=", "<", ">="])

        def test(value: Any) -> bool:
            found = None if value is None else DAY_NUMBERS[function](date.fromisoformat(value[:10]))
            return compared(found, operator, wanted, "int")

        return self._about(path, f"{function}({path}) {operator} {wanted}", test)

    # -- whole statements ----------------------------------------------------------------------------------------

    def _plain(self, name: str) -> Case:
        rng, world = self.rng, self.world
        deleted = rng.random() < 0.15
        own = rng.sample(list(FIELDS[name]), rng.randint(1, 4))
        wanted: list[tuple[str, Callable[[Row], tuple[str, Any]]]] = [
            (rng.choice([key, key.lower(), f"{name}.{key}"]), lambda row, key=key: (key, row.get(key))) for key in own
        ]
        for hop in PARENTS.get(name, {}):
            if rng.random() < 0.3:
                wanted.append((f"{hop}.Id", lambda row, hop=hop: (hop, nested(world, name, row, hop))))
        for relation in CHILDREN.get(name, {}):
            if rng.random() < 0.2:
                wanted.append(self._child(name, relation, deleted=deleted))
        text = f"SELECT {', '.join(each for each, _ in wanted)} FROM {name}"
        rows = world.rows(name, deleted=deleted)
        if rng.random() < 0.8:
            condition = self.where(name)
            text += f" WHERE {condition.text}"
            rows = [row for row in rows if condition.holds(world, name, row)]
        ordered = rng.random() < 0.6
        if ordered:
            order, rows = self._order(name, rows)
            text += order
            limit, offset = rng.choice([None, 0, 1, 3, 500]), rng.choice([0, 0, 1, 4])
            if limit is not None:
                text += f" LIMIT {limit}"
            if offset:
                text += f" OFFSET {offset}"
            rows = rows[offset : None if limit is None else offset + limit]
        shown = [dict(get(row) for _, get in wanted) for row in rows]
        if deleted and rng.random() < 0.5:
            return Case(text=f"{text} ALL ROWS", records=shown, ordered=ordered, total=len(shown))
        return Case(text=text, records=shown, ordered=ordered, total=len(shown), everything=deleted)

    def _child(self, name: str, relation: str, *, deleted: bool) -> tuple[str, Callable[[Row], tuple[str, Any]]]:
        world, (child, reference) = self.world, CHILDREN[name][relation]
        condition = self.leaf(child) if self.rng.random() < 0.5 else None
        limit = self.rng.choice([None, None, 1])

        def get(row: Row) -> tuple[str, Any]:
            found = [each for each in world.rows(child, deleted=deleted) if each.get(reference) == row["Id"]]
            found = [each for each in found if condition is None or condition.holds(world, child, each)]
            keys = sorted(each["Id"] for each in found)[:limit]
            return relation, keys or None

        text = f"(SELECT Id FROM {relation}{f' WHERE {condition.text}' if condition else ''} ORDER BY Id"
        return f"{text}{f' LIMIT {limit}' if limit else ''})", get

    def _order(self, name: str, rows: list[Row]) -> tuple[str, list[Row]]:
        """By up to two fields and the id, one stable sorting after the other."""
        parts: list[str] = ["Id"]
        rows = sorted(rows, key=lambda row: row["Id"])
        used: set[str] = set()
        for _ in range(self.rng.randint(0, 2)):
            path, kind = self.path(name)
            if kind == "multi" or path in used or path == "Id":
                continue
            used.add(path)
            down, last = self.rng.random() < 0.5, self.rng.random() < 0.3
            values = {row["Id"]: self.world.value(name, row, path) for row in rows}
            empty = [row for row in rows if values[row["Id"]] is None]
            filled = [row for row in rows if values[row["Id"]] is not None]
            filled.sort(key=lambda row, v=values, k=kind, p=path: rank(v[row["Id"]], k, p), reverse=down)
            rows = filled + empty if last else empty + filled
            parts.insert(0, f"{path}{' DESC' if down else ''}{' NULLS LAST' if last else ''}")
        return f" ORDER BY {', '.join(parts)}", rows

    def _count(self, name: str) -> Case:
        condition = self.where(name)
        rows = [row for row in self.world.rows(name) if condition.holds(self.world, name, row)]
        return Case(text=f"SELECT count() FROM {name} WHERE {condition.text}", records=[], total=len(rows))

    def _grouped(self, name: str) -> Case:
        rng, world = self.rng, self.world
        keys = [self.path(name, ("text", "picklist", "reference", "boolean", "date")) for _ in range(rng.randint(0, 2))]
        keys = list({path.rpartition(".")[2]: (path, kind) for path, kind in keys}.values())
        folds: list[tuple[str, Callable[[list[Row]], Any]]] = []
        for _ in range(rng.randint(1, 3)):
            function = rng.choice(["COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"])
            kinds = ("int", "number") if function in ("SUM", "AVG") else ("text", "int", "number", "date", "datetime")
            path, kind = self.path(name, kinds)
            if kind not in kinds:
                function, path, kind = "COUNT", "Id", "id"
            folds.append((f"{function}({path})", self._fold(name, function, path, kind)))
        condition = self.where(name) if rng.random() < 0.6 else None
        rows = [row for row in world.rows(name) if condition is None or condition.holds(world, name, row)]

        def key_of(row: Row) -> list[str]:
            return [repr(folded(world.value(name, row, path))) for path, _ in keys]

        groups = [list(each) for _, each in groupby(sorted(rows, key=key_of), key=key_of)] if keys else [rows]
        selected = [path for path, _ in keys] + [text for text, _ in folds]
        text = f"SELECT {', '.join(selected)} FROM {name}"
        text += f" WHERE {condition.text}" if condition else ""
        text += f" GROUP BY {', '.join(path for path, _ in keys)}" if keys else ""
        if keys and rng.random() < 0.4:
            least = rng.choice([0, 1, 2, 3])
            text += f" HAVING COUNT(Id) > {least}"
            groups = [group for group in groups if len(group) > least]
        shown = [
            {path.rpartition(".")[2]: folded(world.value(name, group[0], path)) for path, _ in keys}
            | {f"expr{place}": fold(group) for place, (_, fold) in enumerate(folds)}
            for group in groups
        ]
        return Case(text=text, records=shown, total=len(shown))

    def _fold(self, name: str, function: str, path: str, kind: str) -> Callable[[list[Row]], Any]:
        world = self.world

        def fold(rows: list[Row]) -> Any:
            values = [value for row in rows if (value := world.value(name, row, path)) is not None]
            match function:
                case "COUNT":
                    return len(values)
                case "COUNT_DISTINCT":
                    return len({folded(value) for value in values})
                case "SUM":
                    return float(sum(values)) if values else None
                case "AVG":
                    return float(sum(values)) / len(values) if values else None
                case "MIN":
                    return min((folded(value) for value in values), default=None)
                case _:
                    return max((folded(value) for value in values), default=None)

        return fold

    def _illegal(self, name: str) -> Case:
        """A mistake of one kind in an otherwise random statement."""
        good = self.leaf(name).text
        text, code = self.rng.choice(list(mistakes(name, good, self.path(name, ("text", "id"))[0])))
        return Case(text=text, code=code)


def mistakes(name: str, good: str, path: str) -> Iterator[tuple[str, str]]:
    """Statements that must be refused, each with its code."""
    number = "NumberOfEmployees" if name == "Lead" else "AnnualRevenue"
    yield f"SELECT Id, Nothing FROM {name} WHERE {good}", "INVALID_FIELD"
    yield f"SELECT Id FROM {name} WHERE {good} AND Nowhere.Name = 'x'", "INVALID_FIELD"
    yield f"SELECT Id FROM {name} WHERE Nothing__c = 1", "INVALID_FIELD"
    yield f"SELECT Id FROM {name} ORDER BY Nothing", "INVALID_FIELD"
    yield f"SELECT Id, id FROM {name}", "INVALID_FIELD"
    yield f"SELECT Id FROM {name}x WHERE {good}", "INVALID_TYPE"
    yield f"SELECT Id, (SELECT Id FROM Nothings) FROM {name}", "INVALID_TYPE"
    yield f"SELECT Id FROM {name} WHERE {good} OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"
    yield f"SELECT Id FROM {name} WHERE Id = 'nonsense'", "INVALID_QUERY_FILTER_OPERATOR"
    yield f"SELECT Id FROM {name} WHERE Id LIKE '0%'", "INVALID_QUERY_FILTER_OPERATOR"
    yield f"SELECT Id FROM {name} WHERE CreatedDate > 2026-01-31", "INVALID_FIELD"
    yield f"SELECT Id FROM {name} WHERE CreatedDate = 'yesterday'", "INVALID_FIELD"
    yield f"SELECT Id FROM {name} WHERE {path} = 5", "INVALID_FIELD"
    yield f"SELECT Id FROM {name} WHERE IsDeleted = 'false'", "INVALID_FIELD"
    yield "SELECT Id FROM Lead WHERE Description = 'x'", "INVALID_FIELD"
    yield "SELECT Id FROM Account ORDER BY Description", "INVALID_FIELD"
    if name in ("Lead", "Account"):
        yield f"SELECT Id FROM {name} WHERE {number} = '5'", "INVALID_FIELD"
    for text in (
        f"SELECT Id FROM {name} WHERE {good} AND Id != null OR Id = null",
        f"SELECT Id FROM {name} WHERE ({good}",
        f"SELECT Id FROM {name} WHERE {good})",
        f"SELECT Id FROM {name} WHERE {good} LIMIT -1",
        f"SELECT Id FROM {name} WHERE {path} = 'a\\q'",
        f"SELECT Id FROM {name} WHERE {path} = 'open",
        f'SELECT Id FROM {name} WHERE {path} = "a"',
        f"SELECT Id FROM {name} WHERE {path} IN ()",
        f"SELECT Id FROM {name} WHERE {path} = :bound",
        f"SELECT Id FROM {name} WHERE CreatedDate = SOME_DAY",
        f"SELECT Id FROM {name} WHERE CreatedDate > 2026-02-30T00:00:00Z",
        f"SELECT Id FROM {name} LIMIT 5 WHERE {good}",
        f"SELECT Id FROM {name} WHERE {good} FOR UPDATE",
        f"SELECT Id FROM {name} WHERE {good} WITH SECURITY_ENFORCED",
        f"SELECT Id i FROM {name} WHERE {good}",
        f"SELECT {path}, COUNT(Id) FROM {name}",
        f"SELECT COUNT(Id) FROM {name} LIMIT 5",
        f"SELECT COUNT(), Id FROM {name}",
        f"SELECT SUM(CreatedDate) FROM {name}",
        f"SELECT Id FROM {name} WHERE COUNT(Id) > 1",
        f"SELECT CALENDAR_YEAR(CreatedDate) FROM {name}",
        f"SELECT FIELDS(ALL) FROM {name}",
        f"SELECT FIELDS(CUSTOM) FROM {name} LIMIT 201",
        f"SELECT nothing(Id) FROM {name}",
        f"SELECT * FROM {name}",
        "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact) OR Name = 'a'",
        "SELECT Id FROM Account WHERE Id IN (SELECT Id FROM Account)",
        "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact LIMIT 1)",
        "SELECT Id FROM Account WHERE Id IN (SELECT LastName FROM Contact)",
        "SELECT Id, (SELECT COUNT(Id) FROM Contacts) FROM Account",
    ):
        yield text, "MALFORMED_QUERY"


# -- how values compare, once more ------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def compared(value: Any, operator: str, wanted: Any, kind: str) -> bool:
    if value is None:
        return operator == "!="
    if kind in ("text", "picklist"):
        value, wanted = folded(value), folded(wanted)
    return {
        "=": value == wanted,
        "!=": value != wanted,
        "<": value < wanted,
        "<=": value <= wanted,
        ">": value > wanted,
        ">=": value >= wanted,
    }[operator]


def liked(text: str, pieces: list[str]) -> bool:
    """Whether the text is what the pattern's pieces say, tried in every way."""
    if not pieces:
        return not text
    first, rest = pieces[0], pieces[1:]
    if first == "%":
        return any(liked(text[at:], rest) for at in range(len(text) + 1))
    wanted = first[-1] if first.startswith("\\") else first
    return bool(text) and (first == "_" or text[0].lower() == wanted.lower()) and liked(text[1:], rest)


def rank(value: Any, kind: str, path: str) -> Any:
    """Picklists sort in the order of their setup."""
    if kind == "picklist":
        name = path.rpartition(".")[2]
        return (STAGE_ORDER if name == "StageName" else PICKLISTS[name]).index(value)
    return folded(value)


def nested(world: World, name: str, row: Row, hop: str) -> Any:
    key = world.value(name, row, f"{hop}.Id")
    return None if key is None else {"Id": key}


def number_of(unit: str, day: date) -> int:
    """Days, weeks, months ... counted from some beginning; the fiscal year starts in April."""
    months = day.year * 12 + day.month - 1
    match unit:
        case "DAY":
            return day.toordinal()
        case "WEEK":  # Sunday comes first
            return day.toordinal() // 7
        case "MONTH":
            return months
        case "QUARTER":
            return months // 3
        case "YEAR":
            return day.year
        case "FISCAL_QUARTER":
            return (months - 3) // 3
        case _:
            return (months - 3) // 12


DAY_NUMBERS: dict[str, Callable[[date], int]] = {
    "CALENDAR_YEAR": lambda day: day.year,
    "CALENDAR_QUARTER": lambda day: (day.month + 2) // 3,
    "CALENDAR_MONTH": lambda day: day.month,
    "FISCAL_YEAR": lambda day: day.year + (day.month >= 4),
    "FISCAL_QUARTER": lambda day: {1: 4, 2: 1, 3: 2, 4: 3}[(day.month + 2) // 3],
    "FISCAL_MONTH": lambda day: (day.month + 8) % 12 + 1,
    "DAY_IN_MONTH": lambda day: day.day,
    "DAY_IN_WEEK": lambda day: day.isoweekday() % 7 + 1,
    "DAY_IN_YEAR": lambda day: (day - date(day.year, 1, 1)).days + 1,
    "WEEK_IN_MONTH": lambda day: (day.day + 6) // 7,
    "WEEK_IN_YEAR": lambda day: ((day - date(day.year, 1, 1)).days + 7) // 7,
}
