"""Accounts and contacts that are put out of use, and back (A4): where both sides can say it, and as it was chosen."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import Entity, Shared, Side, other
from crmbridge.policy import Move, Policies, Policy, Scope, Segment, Way
from crmbridge.sync import Options
from tests.support.engine import MAPPINGS, Bench, bench

ALL = Scope(account="all", contact="all")
BOX = "inactive: {north: gone, south: {column: statecode, active: 0, inactive: 1}}\n"
CHOICE = "inactive: {north: {column: rating, active: [Hot, Cold], inactive: Closed}, south: gone}\n"
WORDS: dict[Side, tuple[Any, Any]] = {"left": (False, True), "right": (0, 1)}
COLUMN: dict[Side, str] = {"left": "gone", "right": "statecode"}
both_sides = pytest.mark.parametrize("side", ["left", "right"], ids=["on north", "on south"])
both_kinds = pytest.mark.parametrize("entity", ["account", "contact"])


@contextmanager
def desk(tmp_path: Path, policies: Policies | None = None, beside: str = BOX) -> Iterator[Bench]:
    mappings = {f"{entity}.yaml": MAPPINGS[f"{entity}.yaml"] + beside for entity in ("account", "contact")}
    options = Options(policies=policies or Policies(base=Policy(scope=ALL)))
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", mappings=mappings, options=options) as made:
        yield made


def add(one: Bench, side: Side, entity: Entity, **more: Any) -> str:
    fields = (
        {"name": "Berg AB", "city": "Ulm"} if entity == "account" else {"last_name": "Berg", "email": "b@acme.test"}
    )
    # As the CRMs make them: a yes/no column is no, and a state is active.
    start = {COLUMN[side]: WORDS[side][0]}
    return one.crm(side).add(entity, **{**fields, **start, **more})


def pair(one: Bench, entity: Entity) -> dict[Side, str]:
    here = add(one, "left", entity)
    one.settled()
    return {"left": here, "right": one.must(here, entity)}


def told(one: Bench, side: Side, entity: Entity, id: str) -> bool:
    return one.crm(side).read(entity, id).get(COLUMN[side]) == WORDS[side][1]


@both_kinds
@both_sides
def test_what_is_put_out_of_use_and_back_is_so_on_the_other_side(tmp_path: Path, side: Side, entity: Entity) -> None:
    with desk(tmp_path) as one:
        ids = pair(one, entity)
        for n in (1, 0):
            one.crm(side).edit(entity, ids[side], **{COLUMN[side]: WORDS[side][n]})
            ran = one.sync()
            assert any("(A4)" in event.reason for event in ran.events)
            one.settled()
            assert told(one, other(side), entity, ids[other(side)]) is bool(n)
            assert one.link(side, entity, ids[side]), "it stays linked"
        assert one.causes() == set()


@both_sides
def test_other_edits_go_on_while_it_is_out_of_use(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path) as one:
        ids = pair(one, "account")
        one.crm(side).edit("account", ids[side], **{COLUMN[side]: WORDS[side][1], "phone": "1"})
        one.settled()
        there = one.crm(other(side)).read("account", ids[other(side)])
        assert (there["phone"], told(one, other(side), "account", ids[other(side)])) == ("1", True)
        one.crm(other(side)).edit("account", ids[other(side)], phone="2")
        one.settled()
        assert one.crm(side).read("account", ids[side])["phone"] == "2"
        assert told(one, side, "account", ids[side])


@both_sides
def test_a_new_one_that_is_out_of_use_is_so_there_too(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path) as one:
        here = add(one, side, "account", **{COLUMN[side]: WORDS[side][1]})
        one.settled()
        assert told(one, other(side), "account", one.must(here, "account", side))
        assert told(one, side, "account", here)


def test_nothing_crosses_where_the_mapping_names_no_column(tmp_path: Path) -> None:
    with desk(tmp_path, beside="") as one:
        ids = pair(one, "account")
        one.south.edit("account", ids["right"], statecode=1)
        one.settled()
        assert not told(one, "left", "account", ids["left"])
        assert one.link("left", "account", ids["left"])
        assert one.causes() == set()


@pytest.mark.parametrize(
    ("way", "from_north", "from_south"),
    [("both", True, True), ("off", False, False), ("left", True, False), ("right", False, True)],
)
def test_the_way_it_goes_may_be_chosen(tmp_path: Path, way: Way, from_north: bool, from_south: bool) -> None:
    with desk(tmp_path, Policies(base=Policy(scope=ALL, move=Move(inactive=way)))) as one:
        north, south = pair(one, "account"), None
        one.north.edit("account", north["left"], gone=True)
        one.settled()
        assert told(one, "right", "account", north["right"]) is from_north
        here = add(one, "right", "account", name="Tal AB")
        one.settled()
        south = one.must(here, "account", "right")
        one.south.edit("account", here, statecode=1)
        one.settled()
        assert told(one, "left", "account", south) is from_south
        # Who decides alone has it put back there.
        assert told(one, "right", "account", here) is (way != "left")


def test_a_segment_has_a_choice_of_its_own(tmp_path: Path) -> None:
    def in_kiel(entity: Entity, shared: Shared) -> bool:
        return shared.fields.get("city") == "Kiel"

    kiel = Segment(name="kiel", fits=in_kiel, overlay={"move": {"inactive": "off"}})
    with desk(tmp_path, Policies(base=Policy(scope=ALL), segments=[kiel])) as one:
        ids = {city: add(one, "right", "account", name=f"Berg {city}", city=city) for city in ("Kiel", "Ulm")}
        one.settled()
        for id in ids.values():
            one.south.edit("account", id, statecode=1)
        one.settled()
        there = {city: told(one, "left", "account", one.must(id, "account", "right")) for city, id in ids.items()}
        assert there == {"Kiel": False, "Ulm": True}


def test_of_a_choice_only_the_words_for_out_of_use_count(tmp_path: Path) -> None:
    with desk(tmp_path, beside=CHOICE) as one:
        here = one.north.add("account", name="Berg AB", city="Ulm", rating="Warm")
        one.settled()
        there = one.must(here, "account")
        one.south.edit("account", there, phone="1")
        one.settled()
        assert one.north.read("account", here)["rating"] == "Warm", "in use is in use, whatever it says"
        one.south.edit("account", there, gone=True)
        one.settled()
        assert one.north.read("account", here)["rating"] == "Closed"
        one.south.edit("account", there, gone=False)
        one.settled()
        assert one.north.read("account", here)["rating"] == "Hot"
        one.north.edit("account", here, rating="closed ")
        one.settled()
        assert one.south.read("account", there)["gone"] is True
