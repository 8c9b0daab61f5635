"""Whatever text an administrator writes: it is a formula with a value, or a mistake that says so; nothing else."""

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.sandbox.salesforce.formula import FormulaError, Moment, compile_formula
from crmbridge.sandbox.salesforce.shape import load_shape

SHAPE = load_shape()
WORDS = (
    "Amount Name StageName CloseDate IsWon Probability Account.Name Owner.Email $User.Email $RecordType.DeveloperName "
    "AND( OR( NOT( IF( CASE( ISBLANK( ISPICKVAL( TEXT( VALUE( ISCHANGED( PRIORVALUE( ISNEW() TODAY() DATE( LEN( LEFT( "
    "MID( ROUND( MOD( FLOOR( CEILING( MIN( BLANKVALUE( SUBSTITUTE( CONTAINS( YEAR( DATEVALUE( ( ) , , , + - * / ^ & && "
    "|| ! = <> < >= 0 1 -1 2.5 1e 99999999999999999999 'a' \"b\" '' TRUE NULL ."
).split()
ROWS = (
    {"Name": "n", "Amount": Decimal("12.5"), "StageName": "Prospecting", "CloseDate": "2026-01-31", "IsWon": False},
    {"Name": "n" * 120, "Amount": Decimal("-9E15"), "Probability": Decimal(0), "CloseDate": "9999-12-31"},
    {},
)


def judge(text: str) -> None:
    try:
        compiled = compile_formula(SHAPE, SHAPE.objects["Opportunity"], text)
    except FormulaError:
        return
    for row in ROWS:
        for before in (None, ROWS[0]):
            at = Moment(row=row, before=before, today=date(2026, 1, 31), find=lambda _name, _key: None)
            value = compiled.evaluate(at)
            assert value is None or isinstance(value, (str, bool, Decimal, int))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_words_of_the_language_in_any_order(text: str) -> None:
    judge(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    judge(text)


NUMBERS = st.recursive(
    st.sampled_from(["Amount", "Probability", "0", "1.5", "LEN(Name)", "VALUE(Name)", "CloseDate - TODAY()"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "^"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(st.sampled_from(["ABS", "FLOOR", "CEILING"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["ROUND", "MOD", "MIN"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"IF({p[0]} > {p[1]}, {p[1]}, {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"LEN(LEFT(MID(TEXT({p[0]}), {p[1]}, 9), {p[0]}))"),
        inner.map(lambda p: f"YEAR(TODAY() + {p})"),
        inner.map(lambda p: f"DAY(DATE({p}, {p}, {p}))"),
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(NUMBERS)
def test_arithmetic_of_any_depth(text: str) -> None:
    judge(text)
