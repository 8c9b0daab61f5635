"""Recognising twins: normal forms by example, and what one key, two candidates and two states come to."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from crmbridge.match import Candidate, Matches, company, domain, match, normal_form, plain
from crmbridge.model import Entity, FieldRule, Money, State, Unlinked

KINDS = {"email": "email", "phone": "phone", "mobile": "phone", "amount": "money", "close_date": "date"}


def find(
    entity: Entity,
    keys: Sequence[Sequence[str]],
    left: Mapping[str, Mapping[str, Any]],
    right: Mapping[str, Mapping[str, Any]],
    states: Mapping[str, State] | None = None,
) -> Matches:
    rules = {name: FieldRule(name=name, kind=kind) for name, kind in KINDS.items()}

    def candidates(rows: Mapping[str, Mapping[str, Any]]) -> list[Candidate]:
        return [Candidate(id=id, fields=fields, state=(states or {}).get(id)) for id, fields in rows.items()]

    return match(entity, keys, rules, candidates(left), candidates(right))


def pairs(matches: Matches) -> set[tuple[str, str]]:
    return {(left, right) for left, right, _ in matches.pairs}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Nordwind Ltd", "NORDWIND"),
        ("The Nordwind Company", "Nordwind"),
        ("Müller & Söhne GmbH", "Muller and Sohne"),
        ("Coffee-Lab, Inc.", "coffee lab"),
        ("Maersk A/S", "MAERSK"),
        ("Fiat S.p.A.", "Fiat"),
        ("Blue Yonder Airlines (sample)", "Blue Yonder Airlines"),
        ("Ｆｕｌｌ Width", "full width"),
    ],
)
def test_the_same_company(a: str, b: str) -> None:
    assert company(a) == company(b)


@pytest.mark.parametrize(("a", "b"), [("Nordwind North", "Nordwind South"), ("AB", "SA")])
def test_not_the_same_company(a: str, b: str) -> None:
    assert company(a) != company(b)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://www.Nordwind.example/about?x=1", "nordwind.example"),
        ("nordwind.example", "nordwind.example"),
        ("shop.nordwind.co.uk", "nordwind.co.uk"),
        ("http://bücher.example", "xn--bcher-kva.example"),
        ("gmail.com", None),
        ("facebook.com/nordwind", None),
        ("localhost", None),
        ("[not a url", None),
        ("", None),
    ],
)
def test_domain(value: str, expected: str | None) -> None:
    assert domain(value) == expected


@pytest.mark.parametrize(
    ("name", "kind", "a", "b"),
    [
        ("email", "email", " B@X.org ", "b@x.org"),
        ("phone", "phone", "+49 (89) 1234-5678", "+498912345678"),
        ("postal_code", "text", "sw1a 1aa", "SW1A1AA"),
        ("postal_code", "text", "98052-6399", "98052"),
        ("last_name", "text", "Ångström", "angstrom"),
    ],
)
def test_the_same_value(name: str, kind: str, a: str, b: str) -> None:
    form = normal_form(name, kind)
    assert form(a) == form(b) is not None


def test_an_address_of_a_role_is_no_evidence() -> None:
    assert normal_form("email", "email")("info@nordwind.example") is None
    assert normal_form("email", "email")("no address") is None


def test_the_first_key_that_decides_wins() -> None:
    left = {"l": {"email": "b@x.org", "last_name": "Boxer", "company": "Acme"}}
    right = {
        "r1": {"email": "b@x.org", "last_name": "Boxer", "company": "Other"},
        "r2": {"last_name": "Boxer", "company": "Acme"},
    }
    found = find("lead", [["email", "last_name"], ["last_name", "company"]], left, right)
    assert (pairs(found), found.by_key) == ({("l", "r1")}, {"email + last_name": 1})


def test_two_candidates_stop_and_do_not_fall_to_a_weaker_key() -> None:
    left = {"l": {"email": "b@x.org", "last_name": "Boxer", "phone": "5551234567"}}
    right = {
        "r1": {"email": "b@x.org", "last_name": "Boxer", "phone": "5551234567"},
        "r2": {"email": "b@x.org", "last_name": "Boxer"},
    }
    found = find("lead", [["email", "last_name"], ["last_name", "phone"]], left, right)
    assert found.pairs == ()
    assert [(cluster.left, cluster.right) for cluster in found.held] == [(("l",), ("r1", "r2"))]


def test_a_blank_part_is_no_key() -> None:
    rows = {"email": None, "last_name": "Boxer"}
    assert find("lead", [["email", "last_name"]], {"l": rows}, {"r": rows}).pairs == ()


def test_same_mailbox_other_person() -> None:
    left, right = {"email": "b@x.org", "last_name": "Boxer"}, {"email": "b@x.org", "last_name": "Cole"}
    assert find("contact", [["email", "last_name"]], {"l": left}, {"r": right}).pairs == ()


def test_won_with_won_and_open_with_open() -> None:
    deal = {"account": "A", "name": "Depot", "amount": Money(Decimal(100), "USD")}
    keys = [["account", "name", "amount"]]
    assert find("opportunity", keys, {"l": deal}, {"r": deal}, {"l": "won", "r": "open"}).pairs == ()
    assert pairs(find("opportunity", keys, {"l": deal}, {"r": deal}, {"l": "won", "r": "won"})) == {("l", "r")}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Money(Decimal("100.99"), "USD"), True),
        (Money(Decimal("102"), "USD"), False),
        (Money(Decimal(100), "EUR"), False),
        (None, False),
    ],
    ids=["within a percent", "two percent off", "another currency", "blank"],
)
def test_amounts_meet_within_a_percent(other: Money | None, same: bool) -> None:
    deal = {"account": "A", "name": "Depot", "amount": Money(Decimal(100), "USD")}
    found = find("opportunity", [["account", "name", "amount"]], {"l": deal}, {"r": {**deal, "amount": other}})
    assert bool(found.pairs) == same


@pytest.mark.parametrize(("day", "same"), [(date(2026, 2, 1), True), (date(2026, 2, 2), False)])
def test_dates_meet_within_a_month(day: date, same: bool) -> None:
    deal = {"account": "A", "name": "Depot", "close_date": date(2026, 1, 1)}
    found = find("opportunity", [["account", "name", "close_date"]], {"l": deal}, {"r": {**deal, "close_date": day}})
    assert bool(found.pairs) == same


def test_an_unlinked_account_is_no_key() -> None:
    deal = {"account": Unlinked("account", "a"), "name": "Depot", "close_date": date(2026, 1, 1)}
    assert find("opportunity", [["account", "name", "close_date"]], {"l": deal}, {"r": deal}).pairs == ()


def test_one_website_and_several_companies_need_a_common_word() -> None:
    left = {
        "l1": {"website": "group.example", "name": "Group Steel"},
        "l2": {"website": "group.example", "name": "Wood"},
    }
    right = {"r": {"website": "www.group.example", "name": "Steel Ltd"}}
    assert pairs(find("account", [["website", "name"]], left, right)) == {("l1", "r")}


def test_plain_keeps_letters_and_digits_alone() -> None:
    assert plain("  Ünïcode—Dash_and (Brackets) №5 ") == "unicode dash and brackets no5"
