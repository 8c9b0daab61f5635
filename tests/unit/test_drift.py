"""Which changes of a CRM's schema stop a kind of record, and what waits meanwhile."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from crmbridge.drift import GONE, Shape, drifted
from crmbridge.model import Side
from tests.support.engine import bench

NAMES: Mapping[Side, str] = {"left": "salesforce", "right": "dynamics"}


def shape(terms: str = "t", **left: str) -> Shape:
    return Shape(terms=terms, types={"left": left, "right": {"name": "text"}})


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, shape(Phone=GONE), None),  # never gone by: the mapping's mistake, and told as that
        (shape(Phone="text"), shape(Phone="text"), None),
        (shape(Phone="text"), shape(Phone="text", Fax=GONE), None),  # newly mapped
        (shape(Phone="text"), shape(), None),  # not mapped any more
        (shape(Phone="text"), shape(Phone=GONE), "no field Phone any more"),
        (shape(Phone="text"), shape("changed", Phone=GONE), "no field Phone any more"),
        (shape(Phone="text"), shape(Phone="number"), "was text, and is number now"),
        (shape(Phone="text"), shape("changed", Phone="number"), None),  # who changed the mapping has looked at it
    ],
)
def test_what_stops(before: Shape | None, now: Shape, told: str | None) -> None:
    found = drifted(before, now, NAMES, "contact")
    assert (told is None) == (found == ())
    assert told is None or (told in found[0] and "salesforce" in found[0])


def test_a_conversion_waits_for_what_is_stopped_and_is_carried_out_afterwards(tmp_path: Path) -> None:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as world:
        left, right = world.lead_pair()
        usual = world.engine.options
        world.engine.options = replace(usual, stopped=frozenset({"contact"}))
        world.north.convert_lead(left)
        world.north.add("account", name="Other", city="Bonn")
        for _ in range(2):
            world.sync()
        assert world.south.read("lead", right).get("state") != "converted"
        assert "schema_drift" in world.causes()
        assert not world.south.live("contact")
        world.engine.options = usual
        world.settled()
        assert world.south.read("lead", right)["state"] == "converted"
        assert len(world.south.live("contact")) == 1
        assert "schema_drift" not in world.causes()
