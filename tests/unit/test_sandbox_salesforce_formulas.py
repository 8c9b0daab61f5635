"""Formulas of a Salesforce shape: what they mean, what they are refused for, and the fields they keep true."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crmbridge.sandbox.salesforce.formula import FormulaError, Moment, compile_formula
from crmbridge.sandbox.salesforce.shape import ShapeError, load_shape, shape_from
from tests.support.salesforce_org import Bench, bench

SHAPE = load_shape()
OPPORTUNITY = SHAPE.objects["Opportunity"]
ROW = {
    "Name": "Big deal",
    "Amount": Decimal("1000.5"),
    "Probability": Decimal("50.0"),
    "StageName": "Closed Won",
    "CloseDate": "2026-03-31",
    "AccountId": "001",
    "IsWon": True,
}
PARENTS: Mapping[str, dict[str, Any]] = {
    "Account": {"Name": "Acme", "Industry": "Energy", "ParentId": "002"},
    "User": {"Email": "mia@acme.example", "ProfileId": "00e1"},
    "Profile": {"Name": "Sales"},
}


def value(text: str, before: dict[str, Any] | None = None) -> Any:
    moment = Moment(row=ROW, before=before, today=date(2026, 1, 31), find=lambda name, _: PARENTS.get(name), user="005")
    return compile_formula(SHAPE, OPPORTUNITY, text).evaluate(moment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Amount * 2 + 1", Decimal("2002.0")),
        ("-2 ^ 2", Decimal(4)),
        ("(1 + 2) * 3 - 4 / 8", Decimal("8.5")),
        ("Amount * Probability", Decimal("500.25")),  # a percentage counts as a fraction
        ("1 / 0", None),
        ("10 ^ 99999", None),
        ("Name & ' of ' & Account.Name", "Big deal of Acme"),
        ("TEXT(Account.Industry) + '!'", "Energy!"),
        ("Account.Parent.Name", "Acme"),
        ("AND(ISPICKVAL(StageName, 'Closed Won'), NOT(ISBLANK(Amount)))", True),
        ("IsWon && Amount > 1000 || FALSE", True),
        ("ISBLANK(NextStep) && ISBLANK(Account.Phone)", True),
        ("Amount <> 1000.5", False),
        ("NextStep = ''", True),  # blank text is no text
        ("TotalOpportunityQuantity > 0", False),  # nothing is larger than a blank
        ("IF(CONTAINS(Name, 'deal'), 'yes', 'no')", "yes"),
        ("CASE(StageName, 'Closed Lost', 1, 'Closed Won', 2, 3)", Decimal(2)),
        ("CASE(Type, 'New Customer', 1, 3)", Decimal(3)),
        ("BLANKVALUE(NextStep, 'none')", "none"),
        ("LEN(Name)", Decimal(8)),
        ("LEFT(Name, 3) & RIGHT(Name, 4) & MID(Name, 5, 1)", "Bigdeald"),
        ("UPPER(SUBSTITUTE(TRIM(' a-b '), '-', '+'))", "A+B"),
        ("BEGINS(LOWER(Name), 'big')", True),
        ("ROUND(Amount, 0)", Decimal(1001)),
        ("FLOOR(-1.5) + CEILING(1.2) + MOD(7, 4) + ABS(-1)", Decimal(4)),
        ("MIN(3, 1, 2) + MAX(3, 1, 2)", Decimal(4)),
        ("VALUE('12.5') * 2", Decimal("25.0")),
        ("TODAY()", "2026-01-31"),
        ("CloseDate - TODAY()", Decimal(59)),
        ("TODAY() + 30", "2026-03-02"),
        ("YEAR(CloseDate) * 100 + MONTH(CloseDate)", Decimal(202603)),
        ("DATE(2026, 2, 30)", None),
        ("CloseDate > DATE(2026, 1, 1)", True),
        ("$User.Email", "mia@acme.example"),
        ("$Profile.Name = 'Sales'", True),
        ("ISNEW()", True),
        ("ISCHANGED(Amount)", False),
        ('Name = "Big deal" /* as it was */', True),
    ],
)
def test_what_a_formula_means(text: str, expected: Any) -> None:
    assert value(text) == expected


def test_a_formula_knows_what_a_save_changes() -> None:
    before = {**ROW, "Amount": Decimal(5)}
    assert value("ISCHANGED(Amount) && PRIORVALUE(Amount) = 5 && NOT(ISNEW())", before) is True
    assert value("ISCHANGED(Name)", before) is False
    assert value("PRIORVALUE(Probability)", before) == Decimal("0.5")


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("Amount +", "syntax error", 8),
        ("((1)", "syntax error", 4),
        ("Foo = 1", "field Foo does not exist on Opportunity", 1),
        ("1 = Account.Foo", "field Foo does not exist on Account", 5),
        ("NOW()", "function NOW is not served here", 1),
        ("AND(TRUE, VLOOKUP(1))", "function VLOOKUP is not served here", 11),
        ("LEFT(Name)", "incorrect number of parameters for LEFT: expected 2, found 1", 1),
        ("StageName = 'x'", "picklist fields are only supported in ISPICKVAL", 1),
        ("ISPICKVAL(Name, 'x')", "needs a picklist field", 11),
        ("Amount = 'a'", "incorrect types for operator '='", 1),
        ("AND(1)", "expected boolean, found number", 5),
        ("IF(TRUE, 1, 'a')", "incorrect parameter type for IF", 13),
        ("ISCHANGED(Account.Name)", "a field of the record itself", 11),
        ("$Setup.X", "is not known", 1),
        ("__import__('os')", "is not served here", 1),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(text: str, message: str, column: int) -> None:
    with pytest.raises(FormulaError, match=message.replace("(", r"\(").replace("$", r"\$")) as found:
        compile_formula(SHAPE, OPPORTUNITY, text)
    assert found.value.column == column


def test_a_mistake_in_a_shape_file_has_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "salesforce.shape.yaml"
    path.write_text(
        "extends: salesforce\nrules:\n  validation:\n    - object: Lead\n      name: n\n      message: m\n"
        '      formula: "AND(ISBLANK(Email), NOPE(1))"\n'
    )
    with pytest.raises(ShapeError, match=r"salesforce\.shape\.yaml:7:37: rule 'n': function NOPE is not served here"):
        load_shape(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"X__c": {"type": "string", "formula": "Amount"}}, "gives number, the field is string"),
        ({"X__c": {"type": "boolean", "formula": "ISNEW()"}}, "cannot ask who saves or what a save changes"),
        ({"X__c": {"type": "string", "formula": "X__c & 'a'"}}, "refers to itself"),
        ({"X__c": {"type": "double", "summary": {"object": "Contact", "by": "OwnerId"}}}, "is no lookup to"),
        (
            {
                "X__c": {
                    "type": "double",
                    "summary": {"object": "OpportunityContactRole", "by": "OpportunityId", "of": "Role"},
                }
            },
            "a count has no field",
        ),
    ],
)
def test_mistakes_in_computed_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        shape_from({"extends": "salesforce", "objects": {"Opportunity": {"fields": fields}}})


COMPUTED = {
    "objects": {
        "Account": {
            "fields": {
                "Open_Deals__c": {
                    "type": "double",
                    "precision": 18,
                    "summary": {
                        "object": "Opportunity",
                        "by": "AccountId",
                        "when": "NOT(IsClosed)",
                    },
                },
                "Won__c": {
                    "type": "currency",
                    "precision": 18,
                    "scale": 2,
                    "summary": {
                        "object": "Opportunity",
                        "by": "AccountId",
                        "operation": "sum",
                        "of": "Amount",
                        "when": "IsWon",
                    },
                },
                "First_Close__c": {
                    "type": "date",
                    "summary": {"object": "Opportunity", "by": "AccountId", "operation": "min", "of": "CloseDate"},
                },
                "Tier__c": {"type": "string", "length": 10, "formula": "IF(Won__c >= 100, 'gold', 'plain')"},
            }
        },
        "Opportunity": {
            "fields": {
                "Weighted__c": {"type": "currency", "precision": 18, "scale": 2, "formula": "Amount * Probability"},
                "Customer_Tier__c": {"type": "string", "length": 10, "formula": "Account.Tier__c"},
                "Overdue__c": {"type": "boolean", "formula": "NOT(IsClosed) && CloseDate < TODAY()"},
            }
        },
    },
    "rules": {
        "validation": [
            {"object": "Account", "name": "cap", "formula": "Won__c > 1000", "message": "Nobody buys so much."},
        ]
    },
}


@pytest.fixture
def org() -> Bench:
    return bench(COMPUTED)


def deal(org: Bench, account: str, **fields: Any) -> str:
    given = {"Name": "d", "StageName": "Prospecting", "CloseDate": "2026-02-02", "AccountId": account, **fields}
    return org.create("Opportunity", **given)


def test_formula_fields_are_read_only_and_true(org: Bench) -> None:
    account = org.create("Account", Name="Acme")
    key = deal(org, account, Amount=200)
    assert org.get("Opportunity", key)["Weighted__c"] == 20.0
    assert org.update("Opportunity", key, Weighted__c=1).codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert org.update("Opportunity", key, Probability=50).status == 204
    assert org.one("SELECT Id FROM Opportunity WHERE Weighted__c = 100")["Id"] == key
    described = org.rest("GET", "sobjects/Opportunity/describe").body["fields"]
    field = next(each for each in described if each["name"] == "Weighted__c")
    assert (field["calculated"], field["calculatedFormula"], field["createable"]) == (
        True,
        "Amount * Probability",
        False,
    )
    assert not {"formula", "summary", "dependentValues"} & field.keys()


def test_roll_ups_follow_their_children_and_formulas_their_parents(org: Bench) -> None:
    one, other = (org.create("Account", Name=name) for name in ("One", "Other"))
    first, second = deal(org, one, Amount=60), deal(org, one, Amount=60, CloseDate="2026-02-01")
    row = org.get("Account", one)
    assert (row["Open_Deals__c"], row["Won__c"], row["First_Close__c"]) == (2.0, 0.0, "2026-02-01")
    org.wait(seconds=5)
    for key in (first, second):
        assert org.update("Opportunity", key, StageName="Closed Won").status == 204
    row = org.get("Account", one)
    assert (row["Open_Deals__c"], row["Won__c"], row["Tier__c"]) == (0.0, 120.0, "gold")
    assert row["SystemModstamp"] > row["LastModifiedDate"]  # the stamp moves, nobody has edited it
    assert org.get("Opportunity", first)["Customer_Tier__c"] == "gold"
    assert org.update("Opportunity", first, AccountId=other).status == 204
    assert [org.get("Account", key)["Won__c"] for key in (one, other)] == [60.0, 60.0]
    assert org.get("Opportunity", second)["Customer_Tier__c"] == "plain"
    org.rest("DELETE", f"sobjects/Opportunity/{first}")
    assert org.get("Account", other)["Won__c"] == 0.0
    org.results(f"<undelete><ids>{first}</ids></undelete>")
    assert org.get("Account", other)["Won__c"] == 60.0


def test_a_parent_that_its_rules_refuse_takes_the_child_back(org: Bench) -> None:
    account = org.create("Account", Name="Acme")
    key = deal(org, account, Amount=2000)
    refused = org.update("Opportunity", key, StageName="Closed Won")
    assert (refused.codes, refused.body[0]["message"]) == (
        ["FIELD_CUSTOM_VALIDATION_EXCEPTION"],
        "Nobody buys so much.",
    )
    assert org.get("Opportunity", key)["IsWon"] is False
    assert org.get("Account", account)["Won__c"] == 0.0


def test_a_formula_that_looks_at_the_day_is_true_tomorrow_without_a_save(org: Bench) -> None:
    account = org.create("Account", Name="Acme")
    key = deal(org, account, CloseDate="2026-02-02")
    before = org.get("Opportunity", key)
    org.wait(days=3)
    assert org.one("SELECT Id FROM Opportunity WHERE Overdue__c = true")["Id"] == key
    assert (before["Overdue__c"], org.get("Opportunity", key)["SystemModstamp"]) == (False, before["SystemModstamp"])


def test_loaded_records_are_computed_too() -> None:
    rows = {
        "Account": [{"_ref": "a", "Name": "Acme"}],
        "Opportunity": [
            {"Name": "d", "StageName": "Closed Won", "CloseDate": "2026-01-01", "Amount": 150, "AccountId": "@a"}
        ],
    }
    org = bench(COMPUTED, rows)
    row = org.one("SELECT Won__c, Tier__c, (SELECT Customer_Tier__c FROM Opportunities) FROM Account")
    assert (row["Won__c"], row["Tier__c"]) == (150.0, "gold")
    assert row["Opportunities"]["records"][0]["Customer_Tier__c"] == "gold"
