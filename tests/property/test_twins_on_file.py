"""Two companies live the same day twice, once with twins found by the keys on file and once by looking at everybody:
what becomes of each record is the same."""

import tempfile
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmbridge.model import ENTITIES, SIDES, Entity, Side
from crmbridge.sync.key_index import KeyIndex
from tests.support.engine import Bench, bench

# Few words, so that records meet under more than one key, several at once.
sides = st.sampled_from(SIDES)
picks = st.integers(0, 5)
names = st.sampled_from(["Kiel Water", "Kiel Water Ltd", "Ulm Light", None])
sites = st.sampled_from(["kiel.example", "https://www.kiel.example/", "ulm.example", None])
cities = st.sampled_from(["Kiel", "Ulm", None])
people = st.sampled_from(["Ashby", "Boxer"])
mails = st.sampled_from(["a@kiel.example", "A@kiel.example", "b@ulm.example", None])

Action = tuple[Any, ...]
ACCOUNT = st.tuples(st.just("account"), sides, names, sites, cities)
CONTACT = st.tuples(st.just("contact"), sides, people, mails, st.none() | picks)
DEAL = st.tuples(st.just("deal"), sides, people, picks, st.sampled_from([100, 101, 500]))
LEAD = st.tuples(st.just("lead"), sides, people, mails, names)
EDIT = st.tuples(st.just("edit"), sides, st.sampled_from(ENTITIES), picks, people, mails, cities)
MOVE = st.tuples(st.just("move"), sides, picks, picks)
GONE = st.tuples(st.just("gone"), sides, st.sampled_from(ENTITIES), picks)
MERGE = st.tuples(st.just("merge"), sides, picks, picks)
CONVERT = st.tuples(st.just("convert"), sides, picks, st.booleans())
action = st.one_of(ACCOUNT, ACCOUNT, CONTACT, CONTACT, DEAL, LEAD, EDIT, EDIT, MOVE, GONE, MERGE, CONVERT)
weeks = st.lists(st.lists(action, min_size=3, max_size=9), min_size=2, max_size=3)


def act(desk: Bench, action: Action) -> None:
    kind, side, *words = action
    crm = desk.crm(side)
    match kind:
        case "account":
            name, site, city = words
            crm.add("account", name=name or "Nameless", website=site, city=city)
        case "contact":
            name, mail, account = words
            crm.add(
                "contact", first_name="Kim", last_name=name, email=mail, account_id=nth(desk, side, "account", account)
            )
        case "deal":
            name, account, amount = words
            dated = {"amount": amount} if side == "left" else {"estimated": amount}
            crm.add("opportunity", name=name, account_id=nth(desk, side, "account", account), **dated)
        case "lead":
            name, mail, company = words
            crm.add("lead", last_name=name, email=mail, company=company or "Nameless")
        case "edit":
            entity, number, name, mail, city = words
            id = nth(desk, side, entity, number)
            if id is not None and not (entity == "lead" and crm.read("lead", id)["state"] == "converted"):
                named = {"name": name} if entity in ("account", "opportunity") else {"last_name": name, "email": mail}
                crm.edit(entity, id, **named, **({} if entity == "opportunity" else {"city": city}))
        case "move":
            id = nth(desk, side, "contact", words[0])
            if id is not None:
                crm.edit("contact", id, account_id=nth(desk, side, "account", words[1]))
        case "gone":
            id = nth(desk, side, *words)
            if id is not None:
                crm.delete(words[0], id)
        case "merge":
            loser, winner = (nth(desk, side, "account", number) for number in words)
            if loser is not None and winner is not None and loser != winner:
                crm.merge("account", loser, winner)
        case _:
            id = nth(desk, side, "lead", words[0])
            if id is not None and crm.read("lead", id)["state"] == "open":
                crm.convert_lead(id, create_opportunity=words[1])


def nth(desk: Bench, side: Side, entity: Entity, number: int | None) -> str | None:
    live = sorted(one.id for one in desk.crm(side).live(entity))
    return live[number % len(live)] if live and number is not None else None


def told(desk: Bench) -> tuple[object, ...]:
    """Who is whose partner by which key, and what is held over whom."""
    links = sorted(
        (one.entity, one.left_id or "", one.right_id or "", one.alive, one.how) for one in desk.store.all_links()
    )
    issues = sorted(
        (one.entity, one.cause, one.side or "", one.native_id or "", one.message)
        for one in desk.store.open_issues()
        if one.link_id is None
    )
    return links, issues


def live(days: Sequence[Sequence[Action]]) -> list[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder, bench(f"sqlite:///{folder}/state.sqlite3") as desk:
        found: list[tuple[object, ...]] = []
        for day in days:
            for action in day:
                act(desk, action)
            desk.sync()
            found.append(told(desk))
        return found


def check(days: Sequence[Sequence[Action]]) -> None:
    by_keys = live(days)
    with patch.object(KeyIndex, "is_good", new=False):
        by_looking = live(days)
    assert by_keys == by_looking


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(weeks)
def test_keys_on_file_find_whom_a_look_at_everybody_finds(days: Sequence[Sequence[Action]]) -> None:
    check(days)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(weeks)
def test_keys_on_file_find_whom_a_look_at_everybody_finds_through_many_weeks(days: Sequence[Sequence[Action]]) -> None:
    check(days)
