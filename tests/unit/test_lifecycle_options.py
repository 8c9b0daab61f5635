"""What each value of `lifecycle.convert` decides, where that is pure; the defaults are the tables' own tests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from crmbridge.chosen import as_chosen
from crmbridge.lifecycle.conversions import is_bare, mirrors, recreates
from crmbridge.lifecycle.leads import plan_lead
from crmbridge.lifecycle.plan import LifePlan
from crmbridge.lifecycle.powers import DYNAMICS, SALESFORCE, Powers
from crmbridge.model import Axes, Base, Fields, Life, Link, Ref, Row, Seen, Shared, Side, State
from crmbridge.policy import Bucket, Close, Convert, Policies, Policy, Segment, When

POWERS: Mapping[Side, Powers] = {"left": SALESFORCE, "right": DYNAMICS}
MADE = {"account_id": "a", "contact_id": "c", "opportunity_id": "o"}
CONTACT_ONLY = {"contact_id": "c"}
Place = tuple[State, str]
NEW: Place = ("open", "new")
LOST: Place = ("disqualified", "lost")
CONVERTED: Place = ("converted", "converted")


def seen(side: Side, at: Place, *, contradiction: str | None = None, fields: Fields | None = None, **life: Any) -> Seen:
    state, status = at
    return Seen(
        row=Row(ref=Ref(side=side, entity="lead", id=side), version="1", created_at=None, modified_at=None),
        life=Life(state=state, status=status, **life),
        shared=Shared(fields=fields or {"company": "Acme"}, state=state, status=status, contradiction=contradiction),
    )


def linked(was: Place = NEW, *, epoch: int = 0) -> Link:
    axes = Axes(state=was[0], status=was[1])
    return Link(
        id="1", entity="lead", left_id="l", right_id="r", base=Base(left_axes=axes, right_axes=axes), epoch=epoch
    )


def decided(
    left: Seen, right: Seen, *, link: Link | None = None, close: Close | None = None, **convert: Any
) -> tuple[list[str], LifePlan]:
    policy = Policy(convert=Convert(**convert), close=close or Close())
    plan = plan_lead(
        link or linked(),
        left,
        right,
        powers=POWERS,
        last_edit=None,
        policy=policy,
        true_for=lambda choice, lead: isinstance(choice, When) and choice.when == lead.shared.fields.get("company"),
    )
    words = [f"{step.case} {step.kind} {step.side}" for step in plan.steps]
    words += [f"hold {hold.cause}" for hold in plan.holds]
    words += [f"report {report.cause}" for report in plan.reports]
    return words, plan


def said(plan: LifePlan) -> str:
    return " ".join([*(one.reason for one in plan.steps), *(one.message for one in (*plan.holds, *plan.reports))])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("mirror", "crosses"),
    [("always", True), ("never", False), (When(when="Acme"), True), (When(when="Umbrella"), False)],
    ids=["always", "never", "when it fits", "when it does not"],
)
def test_mirror(side: Side, mirror: Any, crosses: bool) -> None:
    there: Side = "right" if side == "left" else "left"
    one = {side: seen(side, CONVERTED, **MADE), there: seen(there, NEW)}
    words, plan = decided(one["left"], one["right"], mirror=mirror)
    assert words == ([f"C1 convert {there}"] if crosses else ["report not_mirrored"])
    assert plan.axes_settled
    assert plan.heirs == (not crosses), "edits for the converted lead go to what it became"
    assert (f"lifecycle.convert.mirror: {mirror}" in said(plan)) == (not crosses)


@pytest.mark.parametrize(
    ("choice", "deal", "expected"),
    [("as source", "o", "C1"), ("as source", None, "C2"), ("always", None, "C1"), ("never", "o", "C2")],
)
def test_opportunity(choice: str, deal: str | None, expected: str) -> None:
    words, plan = decided(
        seen("left", CONVERTED, **{**MADE, "opportunity_id": deal}), seen("right", NEW), opportunity=choice
    )
    assert words == [f"{expected} convert right"]
    assert (f"lifecycle.convert.opportunity: {choice}" in said(plan)) == (choice != "as source")


@pytest.mark.parametrize(
    ("choice", "company", "expected"),
    [
        ("account if company", "Acme", ["C2 convert left"]),
        ("account if company", None, ["hold C5"]),
        ("account named like the person", None, ["hold C5"]),  # nor has it a name
        ("account named like the person", "Acme", ["C2 convert left"]),
        ("hold", "Acme", ["hold C5"]),
        (Bucket(bucket="001"), None, ["C2 convert left"]),
        (Bucket(bucket="001"), "Acme", ["C2 convert left"]),
    ],
)
def test_contact_only(choice: Any, company: str | None, expected: list[str]) -> None:
    here = seen("right", CONVERTED, fields={"company": company}, **CONTACT_ONLY)
    words, _ = decided(seen("left", NEW), here, contact_only=choice)
    assert words == expected


@pytest.mark.parametrize(
    ("choice", "expected"), [("hold", ["hold C6"]), ("convert", ["C6 convert left"]), ("ignore", [])]
)
def test_qualified_bare(choice: str, expected: list[str]) -> None:
    words, plan = decided(seen("left", NEW), seen("right", CONVERTED), bare_qualified=choice)
    assert words == expected
    assert plan.axes_settled == (choice != "hold")
    if choice == "convert":
        assert "lifecycle.convert.bare_qualified: convert" in said(plan)


def test_only_dynamics_qualifies_bare() -> None:
    assert is_bare(seen("right", CONVERTED), DYNAMICS)
    assert not is_bare(seen("right", CONVERTED, **CONTACT_ONLY), DYNAMICS)
    assert not is_bare(seen("left", CONVERTED), SALESFORCE)


@pytest.mark.parametrize(
    ("choice", "there", "expected"),
    [
        ("hold", NEW, ["hold C11"]),
        ("leave", NEW, ["report C11"]),
        ("new_lead", NEW, ["C11 new_lead left"]),
        ("hold", LOST, ["report C13"]),
        ("leave", LOST, ["report C13"]),
        ("new_lead", LOST, ["report C13"]),
    ],
)
def test_reactivated(choice: str, there: Place, expected: list[str]) -> None:
    link = linked(CONVERTED, epoch=1)
    words, plan = decided(seen("left", CONVERTED, **MADE), seen("right", there, **MADE), link=link, reactivated=choice)
    assert words == expected
    if there == NEW and choice != "hold":
        assert f"lifecycle.convert.reactivated: {choice}" in said(plan)
    assert plan.heirs == (choice == "leave" and there == NEW)


def test_a_second_conversion_is_no_question_of_mirroring() -> None:
    """A lead that was mirrored once and opened again is C11, whatever `mirror` says by now."""
    words, _ = decided(
        seen("left", CONVERTED, **MADE), seen("right", NEW), link=linked(CONVERTED, epoch=1), mirror="never"
    )
    assert words == ["hold C11"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_contradiction_convert_here(side: Side) -> None:
    one: dict[Side, Seen] = {
        each: seen(each, NEW, contradiction="It says so." if each == side else None) for each in ("left", "right")
    }
    words, plan = decided(one["left"], one["right"], contradiction="convert_here")
    assert words == [f"L6 convert_here {side}"]
    assert not plan.axes_settled
    assert "lifecycle.convert.contradiction: convert_here" in said(plan)
    # Its own master is no reason against it; mirroring it is another step.
    assert as_chosen(plan, Policy(master=side), {"left": "north", "right": "south"}).steps == plan.steps


def test_contradiction_at_first_sight_is_only_told() -> None:
    link = Link(id="1", entity="lead", left_id="l", right_id="r", mode="matched")
    words, _ = decided(
        seen("left", NEW, contradiction="It says so."), seen("right", NEW), link=link, contradiction="convert_here"
    )
    assert words == ["report L6"]


@pytest.mark.parametrize(("choice", "expected"), [("link", ["C9 adopt left"]), ("hold", ["hold C9"])])
def test_both(choice: str, expected: list[str]) -> None:
    words, plan = decided(seen("left", CONVERTED, **MADE), seen("right", CONVERTED, **MADE), both=choice)
    assert words == expected
    assert plan.axes_settled == (choice == "link")


@pytest.mark.parametrize(("choice", "expected"), [("convert", ["C7 convert right"]), ("hold", ["hold C7"])])
def test_over_disqualified(choice: Any, expected: list[str]) -> None:
    words, _ = decided(seen("left", CONVERTED, **MADE), seen("right", LOST), close=Close(over_disqualified=choice))
    assert words == expected


@pytest.mark.parametrize(
    ("choice", "day", "expected"), [("no", 10, False), ("yes", 10, True), ("yes", 1, False), ("yes", None, True)]
)
def test_recreate_lead(choice: Any, day: int | None, expected: bool) -> None:
    at = datetime(2026, 1, day, tzinfo=UTC) if day else None
    lead = seen("left", CONVERTED, converted_at=at, **MADE)
    policy = Policy(convert=Convert(recreate_lead=choice))
    assert recreates(lead, policy, datetime(2026, 1, 5, tzinfo=UTC)) is expected


def test_a_choice_is_said_with_its_segment() -> None:
    segment = Segment(name="dach", overlay={"convert": {"mirror": When(when="x"), "create_by": {"account": "us"}}})
    policy = Policies(segments=(segment,)).of("lead", Shared(fields={}))
    assert policy.says("convert.mirror") == "lifecycle.convert.mirror: {when: x}, segment dach"
    assert policy.says("convert.create_by.account") == "lifecycle.convert.create_by.account: us, segment dach"
    assert Policy(convert=Convert(contact_only=Bucket(bucket="7"))).says("convert.contact_only") == (
        "lifecycle.convert.contact_only: {bucket: 7}"
    )


def test_mirrors_asks_the_expression_only_where_there_is_one() -> None:
    lead = seen("left", CONVERTED)
    assert mirrors(Policy(), lead, lambda choice, lead: False)
    assert not mirrors(Policy(convert=Convert(mirror="never")), lead, lambda choice, lead: isinstance(choice, When))
