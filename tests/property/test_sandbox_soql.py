"""SOQL against a plain reading of it: whatever index or order of work the sandbox chooses, the rows are the same."""

import string
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.sandbox.salesforce.ids import canonical, id18
from tests.support.salesforce_org import START, Bench, bench

LETTERS = ["a", "B", "b", "ä", "a'b", "%", "_", "\\"]
ROWS = 60

Condition = tuple[str, Callable[[dict[str, Any]], bool]]


def literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def seconds(number: int) -> str:
    return (START - timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


@cache
def org() -> Bench:
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        row: dict[str, Any] = {"LastName": LETTERS[number % 8], "Company": LETTERS[number % 5]}
        row |= {"LastModifiedDate": seconds(number % 7), "NumberOfEmployees": number % 4 or None}
        row |= {"Email": f"{'ab'[number % 2]}{number % 9}@x.example" if number % 3 else None}
        rows.append(row)
    return bench(records={"Lead": rows})


@cache
def everything() -> list[dict[str, Any]]:
    return org().rows("SELECT Id, LastName, Company, Email, NumberOfEmployees, SystemModstamp FROM Lead ORDER BY Id")


@st.composite
def simple(draw: st.DrawFn) -> Condition:
    kind = draw(st.sampled_from(["text", "email", "in", "number", "null", "stamp", "id"]))
    if kind == "text":
        name, value, same = (
            draw(st.sampled_from(["LastName", "Company"])),
            draw(st.sampled_from(LETTERS)),
            draw(st.booleans()),
        )
        return (
            f"{name} {'=' if same else '!='} {literal(value)}",
            lambda r: (r[name].casefold() == value.casefold()) is same,
        )
    if kind == "email":
        value = f"{draw(st.sampled_from('abAB'))}{draw(st.integers(0, 9))}@x.example"
        return f"Email = '{value}'", lambda r: (r["Email"] or "").casefold() == value.casefold()
    if kind == "in":
        values, inside = draw(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4)), draw(st.booleans())
        folded = {value.casefold() for value in values}
        text = f"Company {'IN' if inside else 'NOT IN'} ({', '.join(map(literal, values))})"
        return text, lambda r: (r["Company"].casefold() in folded) is inside
    if kind == "number":
        bound = draw(st.integers(-1, 5))
        return (
            f"NumberOfEmployees >= {bound}",
            lambda r: r["NumberOfEmployees"] is not None and r["NumberOfEmployees"] >= bound,
        )
    if kind == "null":
        return "Email != null", lambda r: r["Email"] is not None
    if kind == "id":
        keys = draw(st.lists(st.sampled_from([row["Id"] for row in everything()]), min_size=1, max_size=5))
        return f"Id IN ({', '.join(literal(key[:15]) for key in keys)})", lambda r: r["Id"] in keys
    bound, operator = seconds(draw(st.integers(-1, 8))), draw(st.sampled_from(["<", "<=", ">", ">=", "="]))
    compare: dict[str, Callable[[str], bool]] = {
        "<": lambda s: s < bound, "<=": lambda s: s <= bound, ">": lambda s: s > bound,
        ">=": lambda s: s >= bound, "=": lambda s: s == bound,
    }  # fmt: skip
    return f"SystemModstamp {operator} {bound.replace('+0000', 'Z')}", lambda r: compare[operator](r["SystemModstamp"])


def joined(word: str, test: Callable[[list[bool]], bool]) -> Callable[[list[Condition]], Condition]:
    def build(parts: list[Condition]) -> Condition:
        text = f" {word} ".join(f"({text})" for text, _ in parts)
        return text, lambda r: test([check(r) for _, check in parts])

    return build


CONDITIONS = st.recursive(
    simple(),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(joined("AND", all))
        | st.lists(inner, min_size=2, max_size=3).map(joined("OR", any))
        | inner.map(lambda one: (f"NOT ({one[0]})", lambda r: not one[1](r)))
    ),
    max_leaves=6,
)


@given(CONDITIONS)
@settings(max_examples=200, deadline=None)
def test_where_selects_what_it_says(condition: Condition) -> None:
    text, holds = condition
    expected = [row["Id"] for row in everything() if holds(row)]
    assert [row["Id"] for row in org().rows(f"SELECT Id FROM Lead WHERE {text} ORDER BY Id")] == expected


@given(CONDITIONS, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_keyset_pages_by_stamp_and_id_lose_and_repeat_nothing(condition: Condition, size: int) -> None:
    text, holds = condition
    order = sorted((row["SystemModstamp"], row["Id"]) for row in everything() if holds(row))
    seen: list[tuple[str, str]] = []
    after = ""
    while True:
        tail = f" AND {after}" if after else ""
        query = f"SELECT Id, SystemModstamp FROM Lead WHERE ({text}){tail} ORDER BY SystemModstamp, Id LIMIT {size}"
        page = [(row["SystemModstamp"], row["Id"]) for row in org().rows(query)]
        seen += page
        if len(page) < size:
            break
        stamp = page[-1][0].replace("+0000", "Z")
        after = f"((SystemModstamp = {stamp} AND Id > '{page[-1][1]}') OR SystemModstamp > {stamp})"
    assert seen == order


STEPS = st.lists(st.tuples(st.sampled_from(["create", "update", "delete", "doomed"]), st.integers(0, 9)), max_size=25)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_indexes_survive_whatever_was_rolled_back(steps: list[tuple[str, int]]) -> None:
    bench_ = bench()
    for kind, number in steps:
        keys = [row["Id"] for row in bench_.rows("SELECT Id FROM Contact")]
        some = keys[number % len(keys)] if keys else None
        fields = {"LastName": "x", "Email": f"{'aB'[number % 2]}{number % 3}@x.example"}
        if kind == "create" or some is None:
            bench_.create("Contact", **fields)
        elif kind == "update":
            bench_.update("Contact", some, **fields)
        elif kind == "delete":
            bench_.rest("DELETE", f"sobjects/Contact/{some}")
        else:  # all of it is undone, for the last record of it is refused
            typed = {"attributes": {"type": "Contact"}}
            records = [{**typed, "Id": some, **fields}, {**typed, "Id": some, "LastName": None}]
            bench_.rest("PATCH", "composite/sobjects", {"allOrNone": True, "records": records})
        bench_.wait(seconds=number % 2)
    names = "SELECT Id, Email, SystemModstamp FROM Contact"
    rows = bench_.rows(f"{names} ORDER BY Id")
    for email in {row["Email"] for row in rows}:
        same = [row for row in rows if row["Email"].casefold() == email.casefold()]
        assert bench_.rows(f"{names} WHERE Email = '{email}' ORDER BY Id") == same
    by_stamp = sorted(rows, key=lambda row: (row["SystemModstamp"], row["Id"]))
    assert bench_.rows(f"{names} WHERE SystemModstamp > 2020-01-01T00:00:00Z ORDER BY SystemModstamp, Id") == by_stamp


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_text_breaks_the_parser(text: str) -> None:
    for soql in (text, f"SELECT Id FROM Lead WHERE {text}", f"SELECT Id FROM Lead WHERE LastName = {literal(text)}"):
        reply = org().send("GET", f"/services/data/v60.0/query?q={quote(soql)}")
        assert reply.status in (200, 400)


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=15, max_size=15))
def test_an_ids_suffix_restores_its_case(short: str) -> None:
    whole = id18(short)
    assert canonical(short) == canonical(whole) == canonical(whole.lower()) == canonical(whole.upper()) == whole
