"""Twins, whatever the data: one-to-one, the same from both sides and in any order, never a pair that was not alone."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.match import Candidate, Matches, company, domain, match, normal_form, plain
from crmbridge.model import Entity, FieldRule, Money

KEYS = [
    ["email", "last_name"],
    ["last_name", "company"],
    ["account", "name", "amount"],
    ["account", "name", "close_date"],
]
RULES = {
    name: FieldRule(name=name, kind=kind)
    for name, kind in {"email": "email", "amount": "money", "close_date": "date", "name": "text"}.items()
}
few = st.sampled_from
fields = st.fixed_dictionaries(
    {},
    optional={
        "email": few(["a@x.org", "A@x.org ", "b@x.org", "info@x.org", None]),
        "last_name": few(["Boxer", "boxer", "Cole", None]),
        "company": few(["Acme", "ACME Ltd", "Other", None]),
        "account": few(["1", "2", None]),
        "name": few(["Depot", "Pier"]),
        "amount": few([None, *(Money(Decimal(n), "USD") for n in (100, 101, 200))]),
        "close_date": few([None, *(date(2026, 1, 1) + timedelta(days=n) for n in (0, 20, 40, 60))]),
    },
)
rows = st.lists(st.tuples(fields, few([None, "open", "won"])), max_size=7)
sides = st.tuples(rows, rows)


def candidates(side: str, given: Sequence[Any]) -> list[Candidate]:
    return [Candidate(id=f"{side}{n}", fields=one, state=state) for n, (one, state) in enumerate(given)]


def find(left: Sequence[Candidate], right: Sequence[Candidate], entity: Entity = "opportunity") -> Matches:
    return match(entity, KEYS, RULES, left, right)


def told(matches: Matches) -> tuple[set[Any], set[Any]]:
    return set(matches.pairs), {(cluster.left, cluster.right, cluster.key) for cluster in matches.held}


@given(sides)
def test_one_to_one_and_nobody_twice(both: Any) -> None:
    found = find(candidates("l", both[0]), candidates("r", both[1]))
    left = [pair[0] for pair in found.pairs] + [id for cluster in found.held for id in cluster.left]
    right = [pair[1] for pair in found.pairs] + [id for cluster in found.held for id in cluster.right]
    assert len(left) == len(set(left))
    assert len(right) == len(set(right))
    assert sum(found.by_key.values()) == len(found.pairs)


@given(sides)
def test_the_same_seen_from_the_other_side(both: Any) -> None:
    left, right = candidates("l", both[0]), candidates("r", both[1])
    pairs, held = told(find(left, right))
    swapped_pairs, swapped_held = told(find(right, left))
    assert pairs == {(b, a, key) for a, b, key in swapped_pairs}
    assert held == {(b, a, key) for a, b, key in swapped_held}


@given(sides, st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(both: Any, rng: Any) -> None:
    left, right = candidates("l", both[0]), candidates("r", both[1])
    before = told(find(left, right))
    rng.shuffle(left)
    rng.shuffle(right)
    assert told(find(left, right)) == before


@given(sides)
def test_a_pair_was_alone_under_its_key(both: Any) -> None:
    """Among those that stronger keys left over, nobody else fits either of the two by the key that paired them."""
    left, right = candidates("l", both[0]), candidates("r", both[1])
    found = find(left, right)
    names = [" + ".join(key) for key in KEYS]
    for mine, yours, key in found.pairs:
        place = names.index(key)
        stronger = {id for a, b, k in found.pairs if names.index(k) < place for id in (a, b)}
        stronger |= {id for one in found.held if names.index(one.key) < place for id in (*one.left, *one.right)}
        for one in (*left, *right):
            if one.id in stronger or one.id in (mine, yours):
                continue
            pool_left = [each for each in left if each.id == mine or each.id == one.id]
            pool_right = [each for each in right if each.id == yours or each.id == one.id]
            alone = match("opportunity", [KEYS[place]], RULES, pool_left, pool_right)
            assert (mine, yours, key) in alone.pairs, f"{one.id} fits as well"


texts = st.text(max_size=40)


@given(texts)
@settings(max_examples=300)
def test_normal_forms_are_idempotent(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    for name, kind in (("email", "email"), ("phone", "phone"), ("postal_code", "text"), ("city", "text")):
        form = normal_form(name, kind)
        once = form(text)
        assert once is None or form(once) == once, name
    once = domain(text)
    assert once is None or domain(once) == once


@given(st.lists(few(["the", "Acme", "&", "Söhne", "GmbH", "Ltd", "(sample)", "A/S", "S.p.A.", "Co", "99"]), max_size=6))
def test_a_company_keeps_a_name_and_case_does_not_matter(words: list[str]) -> None:
    text = " ".join(words)
    assert bool(company(text)) == bool(plain(text.removesuffix("(sample)")))
    assert company(text.upper()) == company(text.lower())
