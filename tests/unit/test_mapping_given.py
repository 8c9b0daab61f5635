# ruff: noqa: E501 - tables read best unbroken
"""Values that the mapping gives itself: at creation, always, or computed; people with stand-ins; shared tables."""

import sys
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

import mapping
from crmbridge.cli.records import column_value
from crmbridge.model import SIDES, Money, NativeRef, Problem, Shared
from mapping import explain
from tests.support.mapping_made import Made, columns, described, load, told

TABLES = """\
values:
  rating: {hot: {salesforce: Hot, dynamics: 1}, warm: {salesforce: Warm, dynamics: 2}}
"""


# --- create -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("a: {dynamics: b, create: {dynamics: salesforce}}", "salesforce"),
        ('a: {dynamics: b, create: "{name} (new)"}', "Acme (new)"),
        ("a: {salesforce: A, dynamics: b, values: rating, create: {dynamics: warm}}", 2),
        ("a: {dynamics: b, convert: boolean, create: true}", True),
        ("a: {dynamics: b, convert: number, create: 1.5}", Decimal("1.5")),
        ("a: {dynamics: b, convert: integer, create: 3}", 3),
        ("a: {dynamics: b, convert: date, create: 2026-12-31}", date(2026, 12, 31)),
        ("a: {dynamics: b, convert: date, create: created + 30 days}", date(2026, 3, 31)),
        ("a: {dynamics: b, convert: user, create: bo@x.org}", NativeRef("user", "u-b")),
    ],
)
def test_a_new_record_gets_the_value_where_there_is_none(line: str, written: Any) -> None:
    made = Made(line, tail=TABLES)
    assert made.put("right", {"name": "Acme"}).columns["b"] == written
    assert "b" not in made.put("right", {"name": "Ek"}, now={"name": "Acme"}).columns  # at creation only


def test_an_amount_gets_the_currency_that_is_named_or_the_systems_own() -> None:
    line = "a: {dynamics: b, convert: money, create: AMOUNT}"
    for amount, currency in (("250", "c-eur"), ("250 USD", "c-usd")):
        put = Made(line.replace("AMOUNT", amount)).put("right", {"name": "Acme"})
        assert put.columns["b"] == Decimal(250)
        assert put.columns["transactioncurrencyid"] == NativeRef("currency", currency)


def test_a_value_that_is_there_is_not_replaced_at_creation() -> None:
    made = Made("a: {salesforce: A, dynamics: b, convert: number, create: 1}")
    assert made.put("right", {"a": Decimal(7)}).columns["b"] == Decimal(7)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a: {dynamics: b, convert: boolean, create: maybe}", "6:46: fields.a.create: must be true or false"),
        ("a: {salesforce: A, dynamics: b, values: rating, create: wram}", "'wram' is no row of 'rating'; name one of them; did you mean 'warm'"),
        ("a: {dynamics: b, convert: integer, create: 1.5}", "1.5 is not a whole number"),
        ("a: {dynamics: b, convert: date, create: tomorrow}", "write it as 2026-12-31"),
        ("a: {dynamics: b, convert: money, create: much}", "'much' is no amount"),
        ("a: {dynamics: b, convert: user, create: Bo}", "'Bo' is neither an e-mail address nor a row"),
        ("a: {dynamics: b, convert: email, create: nobody}", "6:44: fields.a.create: 'nobody' is not an e-mail address; correct it here [create-misfit]"),
        ("a: {dynamics: b, convert: email, filler: {dynamics: nobody}, salesforce: B, create: true}", "true does not fit a field that is 'email'"),
        ("a: {salesforce: A, dynamics: b, convert: email, filler: {salesforce: nobody}}", "'nobody' is no e-mail address, and salesforce takes nothing else there"),
        ("a: {dynamics: b, create: true}", "true does not fit a field that is 'text'"),
        ("a: {dynamics: b, link: account, create: x}", "a link to another record cannot be given"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_at_its_line(line: str, message: str) -> None:
    found = told(line, tail=TABLES)
    assert any(message in one for one in found), found


# --- constants and computed fields --------------------------------------------------------------------------------


def derived(made: Made, name: str, fields: dict[str, Any]) -> Any:
    (rule,) = (rule for rule in made.entity.rules if rule.name == name)
    assert rule.sides == frozenset()  # it never crosses
    return rule.derived["right"](fields)


def test_a_constant_is_always_the_same_and_no_field_of_the_other_side() -> None:
    made = Made("managed: {dynamics: by, constant: {dynamics: crmbridge}}")
    assert derived(made, "managed", {}) == "crmbridge"
    assert made.put("right", {"managed": "crmbridge"}, now={"by": "somebody"}).columns == {"by": "crmbridge"}
    assert made.put("right", {"managed": "crmbridge"}, now={"by": "crmbridge"}).columns == {}
    made = Made("fee: {dynamics: fee, convert: money, constant: 10 EUR}")
    assert derived(made, "fee", {}) == Money(Decimal(10), "EUR")


COMPUTED = """\
street: {salesforce: Street, dynamics: street}
city: {salesforce: City, dynamics: city}
staff: {salesforce: Staff, dynamics: staff, convert: integer}
"""


@pytest.mark.parametrize(
    ("line", "fields", "value"),
    [
        ("""x: {dynamics: x, compute: 'street + ", " + city'}""", {"street": "Ring 1", "city": "Wien"}, "Ring 1, Wien"),
        ("""x: {dynamics: x, compute: 'street + ", " + city'}""", {"street": "Ring 1", "city": None}, None),
        ("""x: {dynamics: x, compute: 'city == null ? "?" : city'}""", {"city": None}, "?"),
        ("x: {dynamics: x, convert: boolean, compute: staff > 100}", {"staff": 120}, True),
        ("x: {dynamics: x, convert: integer, compute: staff * 2}", {"staff": 120}, 240),
        ("x: {dynamics: x, convert: number, compute: double(staff) / 8.0}", {"staff": 12}, Decimal("1.5")),
        ("""x: {dynamics: x, values: rating, compute: 'staff > 9 ? "hot" : "warm"'}""", {"staff": 9}, "warm"),
        ("""x: {dynamics: x, convert: date, compute: 'city == "Wien" ? "2026-12-01" : ""'}""", {"city": "Wien"}, date(2026, 12, 1)),
    ],
)  # fmt: skip
def test_a_field_is_computed(line: str, fields: dict[str, Any], value: Any) -> None:
    assert derived(Made(COMPUTED + line, tail=TABLES), "x", fields) == value


AMOUNTS = COMPUTED + "amount: {salesforce: Amount, dynamics: amount, convert: money}\n"


@pytest.mark.parametrize(
    ("line", "fields", "value"),
    [
        ("compute: double(staff) * 0.1, currency: EUR", {"staff": Decimal(3)}, Money(Decimal("0.3"), "EUR")),
        ("compute: amount / 3.0, currency: EUR", {"amount": Money(Decimal(10), "EUR")}, Money(Decimal("3.3333"), "EUR")),
        ("compute: amount * 1.2, currency: amount", {"amount": Money(Decimal(100), "USD")}, Money(Decimal(120), "USD")),
        ("compute: amount * 1.2, currency: EUR", {"amount": None}, None),
        ('compute: "5.0", currency: amount', {"amount": None}, None),
        ('compute: "amount_currency == \\"EUR\\" ? 1.0 : 2.0", currency: amount', {"amount": Money(Decimal(1), "EUR")}, Money(Decimal(1), "EUR")),
    ],
)  # fmt: skip
def test_an_amount_is_computed_in_its_currency(line: str, fields: dict[str, Any], value: Any) -> None:
    made = Made(AMOUNTS + f"x: {{dynamics: x, convert: money, {line}}}")
    assert derived(made, "x", fields) == value


def test_a_computed_amount_never_brings_another_currency_into_a_record() -> None:
    made = Made(AMOUNTS + "x: {dynamics: x, convert: money, compute: amount * 1.2, currency: EUR}")
    problem = derived(made, "x", {"amount": Money(Decimal(100), "USD")})
    assert isinstance(problem, Problem)
    assert problem.cause == "compute_error"
    assert "the record is in USD, and amounts are never converted to EUR" in problem.message
    # What it made itself is no amount of the record's.
    own = {"amount": Money(Decimal(100), "EUR"), "x": Money(Decimal(1), "USD")}
    assert derived(made, "x", own) == Money(Decimal(120), "EUR")
    put = made.put(
        "right", {"x": Money(Decimal(120), "EUR")}, now={"x": Decimal(1), "_transactioncurrencyid_value": "c-eur"}
    )
    assert put.columns == {"x": Decimal(120)}


def test_what_cannot_be_computed_is_the_fields_problem() -> None:
    made = Made(COMPUTED + "x: {dynamics: x, convert: integer, compute: 10 / staff}")
    problem = derived(made, "x", {"staff": 0})
    assert isinstance(problem, Problem)
    assert (problem.cause, problem.field) == ("compute_error", "x")
    assert "divides by zero" in problem.message
    assert "account.yaml:9:" in problem.fix
    made = Made(COMPUTED + "x: {dynamics: x, values: rating, compute: city}", tail=TABLES)
    assert "no row of 'rating'" in derived(made, "x", {"city": "Wien"}).message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x: {dynamics: x, compute: 'street + stret'}", "character 10: there is no field 'stret' here that an expression can use; did you mean 'street'? [expression-wrong]"),
        ("x: {dynamics: x, compute: 'street +'}", "fields.x.compute: character 9: the expression ends too early"),
        ("x: {dynamics: x, compute: 'staff > 3'}", "gives yes/no, which does not fit a field that is 'text'"),
        ("x: {dynamics: x, convert: number, compute: city}", "gives text, which does not fit"),
        ("x: {dynamics: x, convert: money, compute: staff * 2}", "account.yaml:9:45: fields.x.compute: a computed amount needs its currency; add `currency:` with its code, such as EUR [currency-missing]"),
        ("x: {dynamics: x, convert: money, compute: city, currency: EUR}", "gives text, which does not fit a field that is 'money'"),
        ("x: {dynamics: x, convert: money, compute: staff * 2, currency: eur}", "'eur' is no field with an amount; write a code such as EUR [currency-unknown]"),
        ("x: {dynamics: x, convert: money, compute: staff * 2, currency: Euro}", "currency"),
        ("a: {salesforce: A, dynamics: a, convert: money}\nx: {dynamics: x, convert: money, compute: a, currency: b}", "or the name of the field whose currency it has: a"),
        ("x: {dynamics: x, convert: money, compute: staff, currency: EUR}\ny: {dynamics: y, convert: money, compute: staff, currency: USD}", "another line computes an amount in USD; keep one [currency-several]"),
        ("x: {dynamics: x, convert: number, compute: staff, currency: EUR}", "is for a computed amount (`convert: money` with `compute:`); take it out [currency-misplaced]"),
        ("x: {dynamics: x, compute: upper(city)}", "there is no function 'upper'"),
        ("x: {dynamics: x, compute: city, constant: a}", "is computed or constant, not both"),
        ("x: {dynamics: x, compute: city, rule: both}", "rule: means nothing for a field that is made here"),
        ("x: {salesforce: X, dynamics: x, constant: {dynamics: a}}", "nothing says what is written to salesforce"),
        ("x: {dynamics: x, constant: {salesforce: a}}", "the field has no column there"),
        ("x: {dynamics: x, constant: 5, convert: money}", "a constant amount needs its currency"),
        ("x: {dynamics: x, constant: a}\ny: {dynamics: y, compute: x}", "there is no field 'x' here"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_made_field_is_said(line: str, message: str) -> None:
    found = told(COMPUTED + line)
    assert any(message in one for one in found), found


def test_a_made_field_recognises_nobody_and_needs_a_column_to_write() -> None:
    found = told("x: {dynamics: x, constant: a}", tail="match: [[x]]\n")
    assert any("match.1.1: 'x' is made here, so it recognises nobody" in one for one in found)
    there = described({}, columns(x="text 40 -"))
    found = told("x: {dynamics: x, constant: a}", descriptions=there)
    assert any("x is read only in dynamics; take it out" in one for one in found), found


def test_people_are_told_that_the_mapping_makes_it() -> None:
    documents, _ = load("x: {dynamics: x, constant: a}\ny: {dynamics: [y, z], compute: name, convert: lines}")
    told_of = {line.name: line for line in explain.fields(documents.items[0])}
    assert told_of["x"].winner == "always the constant, never read across"
    assert told_of["y"].winner == "computed from the other fields, never read across"
    assert told_of["y"].columns["right"] == "y + z"
    made = Made("y: {salesforce: Y, dynamics: [y, z], convert: lines}")
    field = load("y: {salesforce: Y, dynamics: [y, z], convert: lines}")[0].items[0].fields["y"]
    assert str(field.columns["right"]) == "y, z"
    assert column_value(made.row("right", z="b"), field, "right") == ["", "b"]
    assert column_value(made.row("right"), field, "right") is None


# --- filter -------------------------------------------------------------------------------------------------------


def fits(expression: str, **fields: Any) -> bool | Problem:
    made = Made(COMPUTED + "revenue: {salesforce: R, dynamics: r, convert: money}", tail=f"filter: {expression!r}\n")
    assert made.entity.filter is not None
    return made.entity.filter(Shared(fields=fields))


def test_a_filter_says_who_takes_part() -> None:
    assert fits('city != "Wien"', city="Graz") is True
    assert fits('city != "Wien"', city="Wien") is False
    assert fits('city in ["Wien", "Graz"]', city=None) is False
    assert fits('revenue > 1000 && revenue_currency == "EUR"', revenue=Money(Decimal("1000.50"), "EUR")) is True
    assert fits("staff != null && staff > 10", staff=None) is False
    held = fits("staff > 10", staff=None)
    assert isinstance(held, Problem)
    assert held.cause == "filter_error"
    assert "null" in held.message


def test_a_filter_that_needs_what_could_not_be_read_holds() -> None:
    made = Made(COMPUTED, tail="filter: city == 'Wien'\n")
    assert made.entity.filter is not None
    unread = Problem(cause="unmapped_value", field="city", message="", fix="")
    verdict = made.entity.filter(Shared(fields={"street": "x"}, problems=(unread,)))
    assert isinstance(verdict, Problem)
    assert "needs city, which could not be read" in verdict.message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'city + street'", "account.yaml:12:9: filter: gives text, not yes or no; compare it with something"),
        ("'cty == null'", "there is no field 'cty' here that an expression can use; did you mean 'city'?"),
        ("'staff > 10'", "filter: fails where staff is blank, and such a record is held; say what a blank means"),
        ("'city > 3'", "character 6: `>` does not go with text and a whole number"),
        ("'staff == null ? null : staff > 1'", "yes/no and null and yes/no; write dyn(null) for the null"),
        ("'city.matches(\"(\")'", "has a regular expression that is wrong"),
        ('\'city == "x" && staff > "3"\'', "`>` does not go with a whole number and text"),
        ("'city == \"x\" ? dyn(null) : true'", "may give null, which is neither yes nor no; write true or false"),
        ("''", "is empty"),
        (
            "'city != null && type == \"x\"'",
            "filter: character 17: 'type' is a word of the expressions themselves, so a field of that name",
        ),
        ("'package != null'", "filter: character 1: 'package' is a word of the expressions themselves"),
        (f"'{'a' * 2001}'", "is longer than 2000 characters"),
    ],
)
def test_what_is_wrong_with_a_filter_is_said(expression: str, message: str) -> None:
    found = told("city: {salesforce: City, dynamics: city}\nstreet: {salesforce: S, dynamics: s}\n"
                 "type: {salesforce: T, dynamics: t}\ndyn: {salesforce: D, dynamics: d}\npackage: {salesforce: P, dynamics: p}\n"
                 "staff: {salesforce: N, dynamics: n, convert: integer}", tail=f"filter: {expression}\n")  # fmt: skip
    assert any(message in one for one in found), found


# --- people -------------------------------------------------------------------------------------------------------

OWNERS = "values: {owners: {ann: {salesforce: ann@x.org, dynamics: [Ann.B@x.org, old@x.org]}}}\n"
OWNER = "owner: {salesforce: OwnerId, dynamics: ownerid, convert: user, values: owners"


def test_a_table_names_one_person_on_both_sides() -> None:
    made = Made(OWNER + "}", tail=OWNERS)
    assert made.get("right", _ownerid_value="u-a").fields["owner"] == "ann@x.org"
    assert made.put("right", {"owner": "ann@x.org"}, now={"_ownerid_value": "u-a"}).columns == {}
    assert made.put("right", {"owner": "ann@x.org"}, now={"_ownerid_value": "u-b"}).columns == {
        "ownerid": NativeRef("user", "u-a")
    }
    assert made.put("left", {"owner": "bo@x.org"}, now={}).columns == {"OwnerId": NativeRef("user", "005B")}


@pytest.mark.parametrize(
    ("more", "person", "written", "problems"),
    [
        ("", "off@x.org", None, ["no_such_user"]),
        (", inactive: leave", "off@x.org", None, []),
        (", inactive: default", "off@x.org", "u-app", []),
        (", inactive: default, default: {dynamics: desk@x.org}", "off@x.org", "u-d", []),
        (", inactive: leave, default: {dynamics: desk@x.org}", "off@x.org", None, []),
        (", default: {dynamics: desk@x.org}", "nobody@x.org", "u-d", []),
        (", inactive: leave", "nobody@x.org", None, ["no_such_user"]),
        (", default: {dynamics: gone@x.org}", "nobody@x.org", None, ["no_such_user"]),
    ],
)
def test_who_is_not_there_or_switched_off(more: str, person: str, written: str | None, problems: list[str]) -> None:
    made = Made(OWNER + more + "}", tail=OWNERS)
    now = {"_ownerid_value": "u-b"}
    put = made.put("right", {"owner": person}, now=now)
    assert [p.cause for p in put.problems] == problems
    assert put.columns == ({} if written is None else {"ownerid": NativeRef("user", written)})
    if written is not None:  # the stand-in stays, and is written once
        assert made.put("right", {"owner": person}, now=made.after("right", put, now)).columns == {}


@pytest.mark.parametrize(
    ("line", "tail", "message"),
    [
        (OWNER + "}", OWNERS.replace("ann@x.org", '"team:Inbound"'), "in salesforce records belong to users and queues; write `queue:Inbound`"),
        (OWNER + "}", OWNERS.replace("old@x.org", '"Queue: Inbound"'), "in dynamics records belong to users and teams; write `team:Inbound`"),
        (OWNER + "}", OWNERS.replace("ann@x.org", '"queue: "'), "values.owners.ann.salesforce: 'queue: ' names none; write its name"),
        (OWNER + ', default: {dynamics: "queue:Desk"}}', OWNERS, "default.dynamics: 'queue:Desk': in dynamics records belong to users and teams"),
        (OWNER + "}", OWNERS.replace("ann@x.org", "Ann"), "values.owners.ann.salesforce: 'Ann' is no e-mail address"),
        (OWNER + ", default: {dynamics: Desk}}", OWNERS, "default.dynamics: 'Desk' is no e-mail address"),
        ("a: {salesforce: A, dynamics: a, inactive: leave}", "", "inactive: is for people; add `convert: user`"),
        (OWNER.replace("salesforce: OwnerId, ", "") + ", default: {salesforce: a@x.org}}", OWNERS, "has no column there"),
        (OWNER + "}", "", "there is no table 'owners' under `values:`"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_people_is_said(line: str, tail: str, message: str) -> None:
    found = told(line, tail=tail)
    assert any(message in one for one in found), found


# --- queues and teams ---------------------------------------------------------------------------------------------

GROUPS = """\
values:
  owners:
    inbound: {salesforce: "queue:Inbound", dynamics: "team:Inbound Sales"}
    spare: {salesforce: "queue:00G000000000002", dynamics: bo@x.org}
    doubled: {salesforce: ann@x.org, dynamics: "team:Twins"}
"""
TEAM = NativeRef("team", "t-1")


def test_a_table_names_a_queue_and_a_team_by_name_or_id() -> None:
    made = Made(OWNER + "}", tail=GROUPS)
    assert made.get("left", OwnerId="00G000000000001AAA").fields["owner"] == "queue:inbound"
    assert made.get("right", _ownerid_value="t-1").fields["owner"] == "queue:inbound"
    assert made.put("right", {"owner": "queue:inbound"}, now={"_ownerid_value": "u-b"}).columns == {"ownerid": TEAM}
    assert made.put("right", {"owner": "queue:inbound"}, now={"_ownerid_value": "t-1"}).columns == {}
    spare = made.get("left", OwnerId="00G000000000002AAA").fields["owner"]
    assert made.put("right", {"owner": spare}, now={}).columns == {"ownerid": NativeRef("user", "u-b")}


def test_a_queue_or_a_team_that_cannot_be_the_owner_is_told_and_who_is_there_stays() -> None:
    made = Made(OWNER + "}", tail=GROUPS)  # of accounts, which no queue owns
    put = made.put("left", {"owner": "queue:inbound"}, now={"OwnerId": "005B"})
    assert put.columns == {}
    assert [(p.cause, p.field) for p in put.problems] == [("no_such_user", "owner")]
    assert "owns leads alone" in put.problems[0].message
    twins = made.put("right", {"owner": "ann@x.org"}, now={"_ownerid_value": "u-b"})
    assert twins.columns == {}
    assert "more than one of that name" in twins.problems[0].message


def test_a_queue_in_no_row_goes_to_the_default_and_without_one_it_is_told() -> None:
    shared = Made(OWNER + "}", tail=OWNERS).get("left", OwnerId="00G000000000001AAA")
    assert "owner" not in shared.fields
    assert [p.cause for p in shared.problems] == ["owner_not_user"]
    assert "queue:inbound" in shared.problems[0].message
    made = Made(OWNER + ", default: {dynamics: desk@x.org}}", tail=OWNERS)
    for native in ("00G000000000001AAA", "00G-not-known"):
        read = made.get("left", OwnerId=native)
        assert read.problems == ()
        now = {"_ownerid_value": "u-b"}
        put = made.put("right", {"owner": read.fields["owner"]}, now=now)
        assert put.columns == {"ownerid": NativeRef("user", "u-d")}
        assert made.put("right", {"owner": read.fields["owner"]}, now=made.after("right", put, now)).columns == {}
    group = Made(OWNER + ', default: {dynamics: "team:Inbound Sales"}}', tail=OWNERS)
    assert group.put("right", {"owner": "nobody@x.org"}, now={"_ownerid_value": "u-b"}).columns == {"ownerid": TEAM}


def test_only_a_mapping_that_names_a_queue_asks_for_queues() -> None:
    named = {side: mapping.compile(load(OWNER + "}", tail=GROUPS)[0]).names_groups(side) for side in SIDES}
    assert named == {"left": True, "right": True}
    assert not any(mapping.compile(load(OWNER + "}", tail=OWNERS)[0]).names_groups(side) for side in SIDES)
    default = load(OWNER + ', default: {dynamics: "team:Desk"}}', tail=OWNERS)[0]
    assert {side: mapping.compile(default).names_groups(side) for side in SIDES} == {"left": False, "right": True}


# --- shared tables ------------------------------------------------------------------------------------------------


def test_a_shared_table_serves_all_mappings_and_an_own_one_wins() -> None:
    line = "a: {salesforce: A, dynamics: a, values: rating}"
    assert told(line, shared=TABLES) == []
    assert Made(line, shared=TABLES).get("left", A="Warm").fields["a"] == "warm"
    own = "values: {rating: {cool: {salesforce: Warm, dynamics: 2}}}\n"
    (warning,) = told(line, shared=TABLES, tail=own)
    assert warning.startswith("account.yaml:7:10: values.rating: a table of this name stands in values.yaml as well")
    assert Made(line, shared=TABLES, tail=own).get("left", A="Warm").fields["a"] == "cool"


def test_problems_of_a_shared_table_are_told_once_and_there() -> None:
    line = "a: {salesforce: A, dynamics: a, values: rating}"
    found = told(
        line,
        shared="values:\n  rating:\n    hot: {salesforce: Hot, dynamics: 1}\n    warm: {salesforce: Warm, dynamics: 1}\n",
    )
    assert [one.split(": dynamics cannot")[0] for one in found] == ["values.yaml:4:40: values.rating.warm.dynamics"]
    found = told(line, shared="values:\n  rating:\n    hot: {salesforce: Hot, dynamic: 1}\n")
    assert [one.split(";")[0] for one in found] == ["values.yaml:3:28: values.rating.hot.dynamic: unknown key"]
    found = told("b: {salesforce: B, dynamics: b}", shared=TABLES)
    assert [one.split(";")[0] for one in found] == [
        "values.yaml:2:3: values.rating: no field of any mapping uses this table"
    ]
    found = told(line, shared=TABLES.replace("values:", "valeus:"))
    assert any("values.yaml:1:1: valeus: unknown key; did you mean 'values'?" in one for one in found), found


def test_a_value_that_the_shared_table_lacks_names_that_file() -> None:
    made = Made("a: {salesforce: A, dynamics: a, values: rating}", shared=TABLES)
    (problem,) = made.get("left", A="Cold").problems
    assert "add it to values.rating in values.yaml" in problem.fix


def test_the_version_is_kept() -> None:
    documents, problems = mapping.load({"account.yaml": 'version: "2026-11"\n' + """\
entity: account
salesforce: {object: Account}
dynamics: {table: account}
fields: {name: {salesforce: Name, dynamics: name}}
"""})  # fmt: skip
    assert problems == ()
    assert documents.items[0].version == "2026-11"


def test_without_the_library_each_expression_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("cel_expr_python")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    found = told("x: {dynamics: x, compute: name}", tail='filter: name == "a"\n')
    assert [one.split(": expressions")[0] for one in found] == [
        "account.yaml:6:29: fields.x.compute",
        "account.yaml:7:9: filter",
    ]
    assert all("pip install 'crmbridge[expr]'" in one and "[expression-library]" in one for one in found)
    assert told("a: {salesforce: A, dynamics: b}") == []
