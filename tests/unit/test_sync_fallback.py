"""Who gets a record whose owner has no user on its side, where a part of the records has a choice of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from crmbridge.errors import ConfigError
from crmbridge.model import Entity, Shared, Side, other
from crmbridge.policy import Convert, Policies, Policy, Segment
from crmbridge.sync import Options
from tests.support.engine import MAPPINGS, PERSON, US, Bench, bench

OWNER: Mapping[Side, str] = {"left": "OwnerId", "right": "ownerid"}
ADA: Mapping[str, str] = {"left": "ada@example.com", "right": "ada@example.com"}
both_sides = pytest.mark.parametrize("side", ["left", "right"], ids=["from north", "from south"])


def _in_kiel(entity: Entity, shared: Shared) -> bool:
    return shared.fields.get("city") == "Kiel"


KIEL = Segment(name="kiel", fits=_in_kiel, overlay={"owner": {"fallback": ADA}})


@contextmanager
def desk(tmp_path: Path, policies: Policies) -> Iterator[Bench]:
    """The usual seller has a user on one side alone: who it is depends on the test."""
    named = {
        name: MAPPINGS[name].replace("north: owner_id, south: owner_id", "north: OwnerId, south: ownerid")
        for name in ("lead.yaml", "opportunity.yaml")
    }
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", mappings=named, options=Options(policies=policies)) as made:
        yield made


def without_seller(one: Bench, side: Side) -> None:
    one.crm(side)._users.pop(PERSON)  # pyright: ignore[reportPrivateUsage] -- leaves the company
    one.engine.connectors[side].directory()
    one.engine._directories.clear()  # pyright: ignore[reportPrivateUsage] -- as a new process would begin
    one.engine._identities.clear()  # pyright: ignore[reportPrivateUsage]


def add(one: Bench, side: Side, city: str) -> str:
    return one.crm(side).add("lead", last_name=f"Berg {city}", company="Berg AB", city=city, **{OWNER[side]: PERSON})


@both_sides
def test_a_segment_has_a_fallback_owner_of_its_own(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, Policies(segments=[KIEL])) as one:
        there = other(side)
        without_seller(one, there)
        leads = {city: add(one, side, city) for city in ("Kiel", "Ulm")}
        one.settled()
        made = {city: one.crm(there).read("lead", one.must(id, "lead", side)) for city, id in leads.items()}
        owners = {city: columns[OWNER[there]] for city, columns in made.items()}
        assert owners == {"Kiel": "user-ada", "Ulm": US}
        assert {one.crm(side).read("lead", id)[OWNER[side]] for id in leads.values()} == {PERSON}, "it never goes back"


def test_one_kind_of_records_has_one_of_its_own(tmp_path: Path) -> None:
    with desk(tmp_path, Policies(by_entity={"lead": {"owner": {"fallback": {"right": ADA["right"]}}}})) as one:
        without_seller(one, "right")
        lead = add(one, "left", "Kiel")
        deal = one.north.add("opportunity", name="Project", OwnerId=PERSON)
        one.settled()
        assert one.south.read("lead", one.must(lead, "lead"))["ownerid"] == "user-ada"
        assert one.south.read("opportunity", one.must(deal, "opportunity"))["ownerid"] == US


@both_sides
def test_a_conversion_takes_the_fallback_of_the_leads_segment(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, Policies(base=Policy(convert=Convert()), segments=[KIEL])) as one:
        there = other(side)
        without_seller(one, there)
        here = add(one, side, "Kiel")
        one.settled()
        orders: list[str | None] = []
        convert = one.crm(there)._convert  # pyright: ignore[reportPrivateUsage]
        one.crm(there)._convert = lambda order, *, by: orders.append(order.owner_id) or convert(order, by=by)  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]
        one.crm(side).convert_lead(here)
        one.settled()
        assert orders == ["user-ada"]


def test_somebody_who_is_no_user_there_is_told_before_anything_is_written(tmp_path: Path) -> None:
    nobody = Segment(name="kiel", fits=_in_kiel, overlay={"owner": {"fallback": {"right": "gone@example.com"}}})
    with desk(tmp_path, Policies()) as one:
        one.engine.options = Options(policies=Policies(segments=[nobody]))
        add(one, "left", "Ulm")
        with pytest.raises(ConfigError, match=r"gone@example\.com is not one active user of south"):
            one.sync()
        assert one.south.live("lead") == []
