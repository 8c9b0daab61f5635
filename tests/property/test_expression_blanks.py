"""What the checker lets pass never fails on a blank, and what is guarded is let pass.

Expressions are made of comparisons, functions, `&&`, `||`, `!` and `? :`; each is held to the library itself, over
records of which any field may be blank.
"""

from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crmbridge.model import Money
from mapping.cel import ExpressionError, blank_troubles, compile_expression, predicate

KINDS: Final = {"city": "text", "source": "choice", "staff": "integer", "amount": "money", "vip": "boolean"}
VALUES: Final[dict[str, list[Any]]] = {
    "city": ["", "x", "web", "xxxxx"],
    "source": ["web", "x"],
    "staff": [0, 1, 5],
    "amount": [Money(Decimal(amount), currency) for amount in ("0.5", "1", "5") for currency in ("EUR", "USD")],
}
RECORDS = st.fixed_dictionaries(
    {**{name: st.sampled_from([None, *values]) for name, values in VALUES.items()}, "vip": st.booleans()}
)
# What takes no blank, of each field.
BARE: Final = {
    "city": ["city.size() > 1", 'city.startsWith("x")', 'city > "m"', "[city].exists(x, x.size() > 1)"],
    "source": ['source.contains("w")', "source.size() == 1"],
    "staff": ["staff > 1", "staff - 1 < 2", "[1, 5].exists(x, x == staff + 4)"],
    "amount": ["amount > 1.0", "-amount < -1.0", 'amount_currency.startsWith("E")'],
}
TOLERANT: Final = [
    "vip", "city == null", "city != null", 'city == "web"', '"x" == source', 'source in ["web", "x"]', "source == city",
    "staff == null", "staff != null", "staff == 1", "null == amount", "amount != null", 'amount_currency == "EUR"',
    "dyn(city) == null", "type(staff) == null_type", "[city, source].exists(x, x == null)", "true",
    "[city, source].exists(x, x != null && x.size() > 1)", "[amount].filter(x, x != null).all(x, x > 1.0)",
]  # fmt: skip
GUARDS: Final = [
    "({0} != null && {1})", "({1} && {0} != null)", "({0} == null || {1})", "(!({0} == null) && {1})",
    "({0} == null ? vip : {1})", "({0} != null ? {1} : false)", "!({0} == null || !({1}))", "({0} in [null] || {1})",
]  # fmt: skip

BARES = st.sampled_from([text for texts in BARE.values() for text in texts])
SAFE = st.one_of(
    st.sampled_from(TOLERANT),
    st.sampled_from([guard.format(name, text) for name, texts in BARE.items() for text in texts for guard in GUARDS]),
)


def grown(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda of: f"({of[0]} {of[1]} {of[2]})"),
            inner.map(lambda one: f"!({one})"),
            st.tuples(inner, inner, inner).map(lambda of: f"({of[0]} ? {of[1]} : {of[2]})"),
        ),
        max_leaves=8,
    )


@settings(max_examples=400, deadline=None)
@given(grown(st.one_of(BARES, SAFE)), st.lists(RECORDS, min_size=1, max_size=12))
def test_what_passes_never_fails_on_a_blank(text: str, records: list[dict[str, Any]]) -> None:
    try:
        expression = compile_expression(text, KINDS)
    except ExpressionError:
        assume(False)  # nested too deep
        raise
    assume(not blank_troubles(expression, KINDS))
    holds = predicate(text, KINDS)
    for record in records:
        assert holds(record) in (True, False)


@settings(max_examples=300, deadline=None)
@given(grown(SAFE))
def test_what_is_guarded_passes(text: str) -> None:
    try:
        expression = compile_expression(text, KINDS)
    except ExpressionError:
        assume(False)
        raise
    assert blank_troubles(expression, KINDS) == []


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        # Behind what is not true of every record.
        ('source == "web" && amount > 1000.0', ["amount"]),
        ('vip && source == "web" && staff > 3', ["staff"]),
        ('source == "web" ? city.startsWith("S") : true', ["city"]),
        ('source == "web" || city.size() > 3', ["city"]),
        ('(source == "web" ? amount : 1.0) > 3.0', ["amount"]),
        # Only where two are blank.
        ("staff == null ? amount > 1.0 : true", ["amount"]),
        # All at once.
        ("staff > 3 && amount > 1.0 && city.size() > 3", ["staff", "amount", "city"]),
        ("staff", ["staff"]),  # blank is neither yes nor no
        ("staff == null ? dyn(null) : staff > 3", ["staff"]),
        ('amount_currency.startsWith("E")', ["amount_currency"]),
        # The same question has the same answer.
        ('(source != "web" || amount != null) && (source != "web" || amount > 1.0)', []),
        ('source == "web" && amount != null || source == "x" && staff != null'
         ' ? (source == "web" ? amount > 1.0 : staff > 1) : true', []),
        ('city in ["a", "b"] && city.size() > 3', []),
        ('city == "web" && city.size() > 3', []),
        ('amount != null && amount_currency.startsWith("E")', []),
    ],
)  # fmt: skip
def test_fields_whose_blank_it_does_not_take_are_named(text: str, fields: list[str]) -> None:
    assert blank_troubles(compile_expression(text, KINDS), KINDS) == fields


def test_a_long_expression_is_looked_at_in_bounded_time() -> None:
    kinds = {f"f{n}": "text" for n in range(30)}
    guarded = " && ".join(f'(f{n} != null ? f{n}.size() > 3 : f{(n + 1) % 30} == "x")' for n in range(30))
    assert blank_troubles(compile_expression(guarded, kinds), kinds) == []
    tangled = " && ".join(f"((f{n} == null) == (f{(n + 1) % 30} == null))" for n in range(30))
    assert blank_troubles(compile_expression(f"({tangled}) || f0.size() > 3", kinds), kinds) == ["f0"]
