"""The row that the check offers for a status or stage that no row reads is one that the check takes."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import mapping
from connectors.base import Option
from crmbridge.model import Entity
from mapping.described import Descriptions
from tests.support.mapping_boxes import out_of_the_box

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "mappings"
OFFERED = re.compile(r"or paste `([^`]+)` at its end")


def told(entity: str, text: str, boxes: Descriptions) -> tuple[list[str], list[str]]:
    """Errors of the status rows, and the rows that are offered."""
    documents, _ = mapping.load({f"{entity}.yaml": text})
    found = [one for one in mapping.check(documents, boxes) if one.path.startswith(("status", "stage"))]
    return [str(f) for f in found if f.severity == "error"], [r for f in found for r in OFFERED.findall(f.message)]


def without(entity: str, state: str) -> str:
    """The shipped mapping without its rows of a state; the table of rows is its last part."""
    text = (SHIPPED / f"{entity}.yaml").read_text(encoding="utf-8")
    return re.sub(rf"^  \w+:\s+\{{state: {state},[^}}]*\}}\n", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("entity", "state"),
    [("opportunity", "won"), ("opportunity", "lost"), ("lead", "disqualified"), ("lead", "converted")],
)
def test_each_row_offered_for_a_state_without_rows_passes_the_check(entity: str, state: str) -> None:
    text, boxes = without(entity, state), out_of_the_box()
    _, offered = told(entity, text, boxes)
    assert offered
    for row in offered:
        assert ": 0" not in row
        errors, left = told(entity, f"{text}\n  {row}\n", boxes)
        assert errors == []
        assert row not in left
    while offered:  # one after the other, until nothing is left to say
        text = f"{text}\n  {offered[0]}\n"
        errors, offered = told(entity, text, boxes)
        assert errors == []


def test_the_first_value_of_each_side_makes_one_row_and_the_others_share_it() -> None:
    boxes, key = out_of_the_box(), ("left", "opportunity")
    own = replace(boxes[key], statuses=(*boxes[key].statuses, Option(value="Upsold", label="Upsold", state="won")))
    _, offered = told("opportunity", without("opportunity", "won"), {**boxes, key: own})
    assert [row for row in offered if "won" in row] == [
        "closed_won: {state: won, salesforce: Closed Won, dynamics: 3}",
        "upsold: {state: won, salesforce: Upsold, dynamics: 3, lossy: dynamics}",
        "won: {state: won, salesforce: Closed Won, dynamics: 3}",
    ]


def test_no_row_is_offered_where_nothing_is_known_of_the_other_side() -> None:
    entity: Entity = "opportunity"
    boxes = {("left", entity): out_of_the_box()["left", entity]}
    _, offered = told(entity, without(entity, "won"), boxes)
    assert not any("won" in row for row in offered)
