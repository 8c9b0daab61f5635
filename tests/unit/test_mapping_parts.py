# ruff: noqa: E501 - tables read best unbroken
"""One value in several columns: address lines, the parts of a name, texts put together; read, written, refused."""

import pytest

from crmbridge.errors import ConfigError
from tests.support.mapping_made import Made, columns, described, told

STREET = "street: {salesforce: Street, dynamics: [line1, line2, line3], convert: lines}"
NAME = "person: {salesforce: [First, Last], dynamics: full, convert: person_name, lossy: dynamics}"
PLACE = 'place: {salesforce: Place, dynamics: [street, city], join: ", "}'
LINES = described(columns(Street="text 255"), columns(line1="text 20", line2="text 20", line3="text 20"))


def test_lines_are_put_together_and_taken_apart() -> None:
    made = Made(STREET, descriptions=LINES)
    shared = made.get("right", line1=" Hauptstr. 1 ", line2=None, line3="Hof B")
    assert shared.fields["street"] == "Hauptstr. 1\nHof B"
    assert made.put("left", shared.fields).columns["Street"] == "Hauptstr. 1\nHof B"
    put = made.put("right", {"street": "a\nb\nc\nd"})
    assert put.columns == {"line1": "a", "line2": "b", "line3": "c\nd"}
    assert made.get("right", **made.after("right", put)).fields["street"] == "a\nb\nc\nd"


def test_parts_stay_where_they_are_while_they_read_as_the_value() -> None:
    made = Made(STREET, descriptions=LINES)
    now = {"line1": None, "line2": "a", "line3": " b"}
    assert made.put("right", {"street": "a\nb"}, now=now).columns == {}
    assert made.put("right", {"street": "a\nc"}, now=now).columns == {"line1": "a", "line2": "c", "line3": None}
    assert made.put("right", {"street": None}, now=now).columns == {"line2": None, "line3": None}


def test_a_part_that_is_too_long_is_refused_and_nothing_is_cut() -> None:
    made = Made(STREET, descriptions=LINES)
    put = made.put("right", {"street": "short\n" + "x" * 21})
    assert put.columns == {}
    (problem,) = put.problems
    assert problem.cause == "too_long"
    assert "its part for line2: 21 characters, and the target column takes 20" in problem.message


@pytest.mark.parametrize(
    ("whole", "first", "last"),
    [
        ("Ann Berg", "Ann", "Berg"),
        ("Anna Maria Berg", "Anna Maria", "Berg"),
        ("Ludwig van Beethoven", "Ludwig", "van Beethoven"),
        ("Berg, Ann", "Ann", "Berg"),
        ("John Smith, Jr.", "John", "Smith, Jr."),
        ("Cher", None, "Cher"),
    ],
)
def test_a_name_is_taken_apart(whole: str, first: str | None, last: str) -> None:
    made = Made(NAME)
    put = made.put("left", made.get("right", full=whole).fields)
    assert (put.columns.get("First"), put.columns["Last"]) == (first, last)
    assert (
        made.get("left", **made.after("left", put)).fields["person"] == made.get("right", full=whole).fields["person"]
    )


def test_a_name_that_keeps_a_part_is_taken_apart_there() -> None:
    made = Made(NAME)
    now = {"First": "Anna", "Last": "Lopez Garcia"}
    assert made.put("left", {"person": "Anna Lopez Garcia"}, now=now).columns == {}
    assert made.put("left", {"person": "Eva Lopez Garcia"}, now=now).columns == {"First": "Eva"}
    assert made.put("left", {"person": "Anna Perez Ruiz"}, now=now).columns == {"Last": "Perez Ruiz"}


def test_a_needed_part_must_have_something() -> None:
    made = Made(NAME, descriptions=described(columns(First="text 40 !", Last="text 80"), columns(full="text 200")))
    put = made.put("left", {"person": "Cher"})
    assert [(p.cause, p.field) for p in put.problems] == [("required_blank", "person")]
    assert put.blocked


def test_any_separator_and_what_is_over_stays_in_the_last() -> None:
    made = Made(PLACE)
    assert made.get("right", street="Ring 1", city="Wien").fields["place"] == "Ring 1, Wien"
    assert made.put("right", {"place": "Ring 1, Hof, Wien"}).columns == {"street": "Ring 1", "city": "Hof, Wien"}
    assert made.get("left", Place="Ring 1 ,  Wien").fields["place"] == "Ring 1, Wien"
    assert made.put("left", {"place": "Ring 1, Wien"}, now={"Place": "Ring 1 ,  Wien"}).columns == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a: {salesforce: A, dynamics: [b, c]}", "account.yaml:6:3: fields.a: a list of columns needs `convert: lines`"),
        ("a: {salesforce: A, dynamics: [b]}", "6:32: fields.a.dynamics: has 1 entries; write 2 to 8 [list-length]"),
        ('a: {salesforce: A, dynamics: b, join: "-"}', "fields.a.join: is for a list of columns"),
        ('a: {salesforce: A, dynamics: [b, c], convert: lines, join: "-"}', "join: does not go with `convert: lines`"),
        ("a: {salesforce: A, dynamics: [b, b], convert: lines}", "6:36: fields.a.dynamics.2: b stands in this list already"),
        ("a: {salesforce: A, dynamics: [b, c, d, e], convert: person_name}", "a name has two or three columns"),
        ("a: {salesforce: A, dynamics: [b, c], convert: person_name}", "add `lossy: salesforce` to this line"),
        ("a: {salesforce: A, dynamics: [b, c], convert: lines, filler: {salesforce: x}}", "filler: is for one column"),
        ("a: {salesforce: A, dynamics: [b, c], convert: money}", "a list of columns needs"),
        ("a: {salesforce: A, dynamics: [b, name], convert: lines}", "name belongs to 'name' already"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(line: str, message: str) -> None:
    found = told(line)
    assert any(message in one for one in found), found


def test_each_column_of_a_list_is_looked_for_in_the_crm() -> None:
    there = columns(line1="text 20", line2="number", line3="text 20 -")
    found = told(STREET, descriptions=described(columns(Street="text 255"), there))
    assert any("6:50: fields.street.dynamics.2: line2 is a number field in dynamics" in one for one in found), found
    assert any("fields.street.dynamics.3: line3 is read only in dynamics" in one for one in found), found
    found = told(STREET.replace("line3", "lin"), descriptions=described(columns(Street="text 255"), there))
    assert any("fields.street.dynamics.3: dynamics's account has no field 'lin'" in one for one in found), found


def test_without_a_way_to_join_nothing_is_compiled() -> None:
    with pytest.raises(ConfigError, match="a list of columns needs"):
        Made("a: {salesforce: A, dynamics: [b, c]}")
