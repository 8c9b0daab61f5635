"""Life-cycle decisions as tables: what each row of L1-L15, C1-C14, O1-O21, A1-A10 decides where that is pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmbridge.lifecycle.cases import create_case, edit_case
from crmbridge.lifecycle.conversions import late_places, plan_orphan_conversion
from crmbridge.lifecycle.leads import plan_lead
from crmbridge.lifecycle.opportunities import plan_opportunity
from crmbridge.lifecycle.plan import LifePlan
from crmbridge.lifecycle.powers import DYNAMICS, SALESFORCE, Powers
from crmbridge.lifecycle.removals import plan_deleted, plan_merged
from crmbridge.model import (
    Axes,
    Base,
    Entity,
    Fields,
    Life,
    Link,
    LinkMode,
    Ref,
    Row,
    Seen,
    Shared,
    Side,
    State,
)

POWERS: Mapping[Side, Powers] = {"left": SALESFORCE, "right": DYNAMICS}
ROWS = [f"{letter}{n}" for letter, last in (("L", 15), ("C", 14), ("O", 21), ("A", 10)) for n in range(1, last + 1)]
Place = tuple[State, str]  # state and row of the status or stage table


def seen(side: Side, entity: Entity, at: Place, fields: Fields | None = None, **life: Any) -> Seen:
    state, status = at
    contradiction = life.pop("contradiction", None)
    ref = Ref(side=side, entity=entity, id=f"{side}-1")
    return Seen(
        row=Row(ref=ref, version="1", created_at=None, modified_at=None),
        life=Life(state=state, status=status, **life),
        shared=Shared(fields=fields or {"company": "Acme"}, state=state, status=status, contradiction=contradiction),
    )


def linked(
    entity: Entity, was_left: Place | None, was_right: Place | None, *, mode: LinkMode = "steady", **more: Any
) -> Link:
    def axes(at: Place | None) -> Axes:
        return Axes(state=at[0], status=at[1]) if at else Axes()

    base = Base(left_axes=axes(was_left), right_axes=axes(was_right))
    return Link(id="1", entity=entity, left_id="left-1", right_id="right-1", base=base, mode=mode, **more)


def told(plan: LifePlan) -> list[str]:
    """What a plan does, in a few words: `L4 disqualify right lost`, `hold C6`, `report L6`."""
    steps = [" ".join(filter(None, (step.case, step.kind, step.side, step.status))) for step in plan.steps]
    return [
        *steps,
        *(f"hold {hold.cause}" for hold in plan.holds),
        *(f"report {report.cause}" for report in plan.reports),
    ]


NEW: Place = ("open", "new")
CONTACTED: Place = ("open", "contacted")
LOST: Place = ("disqualified", "lost")
CANCELED: Place = ("disqualified", "canceled")
CONVERTED: Place = ("converted", "converted")


@pytest.mark.parametrize(
    ("was", "left", "right", "decided"),
    [
        pytest.param((NEW, NEW), NEW, NEW, [], id="L2 nothing of its state"),
        pytest.param((NEW, NEW), CONTACTED, NEW, ["L3 status right contacted"], id="L3 left"),
        pytest.param((NEW, NEW), NEW, CONTACTED, ["L3 status left contacted"], id="L3 right"),
        pytest.param((NEW, NEW), CONTACTED, CONTACTED, [], id="L3 the same on both"),
        pytest.param((NEW, NEW), LOST, NEW, ["L4 disqualify right lost"], id="L4 left"),
        pytest.param((NEW, NEW), NEW, CANCELED, ["L4 disqualify left canceled"], id="L4 right, its reason"),
        pytest.param((LOST, LOST), CONTACTED, LOST, ["L5 reactivate right contacted"], id="L5 left"),
        pytest.param((LOST, LOST), LOST, NEW, ["L5 reactivate left new"], id="L5 right"),
        pytest.param((NEW, CONTACTED), NEW, CONTACTED, ["hold first_run_conflict"], id="L3 known to differ"),
    ],
)
def test_open_and_disqualified_leads(was: tuple[Place, Place], left: Place, right: Place, decided: list[str]) -> None:
    plan = plan_lead(
        linked("lead", *was), seen("left", "lead", left), seen("right", "lead", right), powers=POWERS, last_edit=None
    )
    assert told(plan) == decided
    assert all(f"({step.case})" in step.reason for step in plan.steps)


@pytest.mark.parametrize(
    ("last_edit", "decided"),
    [
        ("left", ["L4 disqualify right lost"]),
        ("right", ["L5 reactivate left contacted"]),
        (None, ["L4 disqualify right lost"]),
    ],
    ids=["L4 newer", "L5 newer", "L4 the configured side"],
)
def test_both_moved_a_lead_and_the_newer_wins(last_edit: Side | None, decided: list[str]) -> None:
    plan = plan_lead(
        linked("lead", NEW, NEW),
        seen("left", "lead", LOST),
        seen("right", "lead", CONTACTED),
        powers=POWERS,
        last_edit=last_edit,
    )
    assert told(plan) == decided


def test_l4_is_held_where_an_opportunity_hangs_on_it() -> None:
    right = seen("right", "lead", NEW, opportunity_id="o")
    plan = plan_lead(linked("lead", NEW, NEW), seen("left", "lead", LOST), right, powers=POWERS, last_edit=None)
    assert (told(plan), plan.axes_settled) == (["hold L4"], False)


@pytest.mark.parametrize("contradicted", ["left", "right"], ids=["L6 left", "L6 right"])
def test_l6_a_contradiction_is_reported_and_moves_nothing(contradicted: Side) -> None:
    sides = {
        side: seen(side, "lead", NEW, contradiction="It says so." if side == contradicted else None)
        for side in ("left", "right")
    }
    plan = plan_lead(linked("lead", CONTACTED, CONTACTED), sides["left"], sides["right"], powers=POWERS, last_edit=None)
    assert "report L6" in told(plan)
    assert [step for step in plan.steps if step.side != contradicted] == []
    assert ". Nothing of it is written to the other side (L6)." in plan.reports[0].message


MADE = {"account_id": "a", "contact_id": "c", "opportunity_id": "o"}


@pytest.mark.parametrize(
    ("side", "life", "there", "decided"),
    [
        pytest.param("left", MADE, NEW, "C1 convert right", id="C1 left"),
        pytest.param("right", MADE, NEW, "C1 convert left", id="C1 right"),
        pytest.param("left", {**MADE, "opportunity_id": None}, NEW, "C2 convert right", id="C2 left"),
        pytest.param("right", {**MADE, "opportunity_id": None}, NEW, "C2 convert left", id="C2 right"),
        pytest.param("right", {"contact_id": "c"}, NEW, "C2 convert left", id="C5 contact only, with a company"),
        pytest.param("right", {}, NEW, "hold C6", id="C6"),
        pytest.param("left", MADE, LOST, "C7 convert right", id="C7 left"),
        pytest.param("right", MADE, LOST, "C7 convert left", id="C7 right"),
    ],
)
def test_one_side_converted(side: Side, life: Mapping[str, Any], there: Place, decided: str) -> None:
    here = seen(side, "lead", CONVERTED, **life)
    partner = seen("right" if side == "left" else "left", "lead", there)
    left, right = (here, partner) if side == "left" else (partner, here)
    plan = plan_lead(linked("lead", NEW, NEW), left, right, powers=POWERS, last_edit=None)
    assert told(plan) == [decided]


def test_c5_contact_only_without_a_company_is_held() -> None:
    here = seen("right", "lead", CONVERTED, {"company": None}, contact_id="c")
    plan = plan_lead(linked("lead", NEW, NEW), seen("left", "lead", NEW), here, powers=POWERS, last_edit=None)
    assert told(plan) == ["hold C5"]


def test_a_conversion_from_before_mirroring_is_held() -> None:
    then, since = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    here = seen("left", "lead", CONVERTED, converted_at=then, **MADE)
    plan = plan_lead(
        linked("lead", NEW, NEW),
        here,
        seen("right", "lead", NEW),
        powers=POWERS,
        last_edit=None,
        mirror_since=since,
    )
    assert told(plan) == ["hold before_mirror_since"]


@pytest.mark.parametrize(
    ("was", "epoch", "right", "decided"),
    [
        pytest.param((NEW, NEW), 0, CONVERTED, ["C9 adopt left converted"], id="C9 both at once"),
        pytest.param((CONVERTED, NEW), 0, CONVERTED, ["C9 adopt right converted"], id="C9 one after the other"),
        pytest.param((CONVERTED, CONVERTED), 1, CONVERTED, [], id="C1 done"),
        pytest.param((CONVERTED, CONVERTED), 1, CONTACTED, ["hold C11"], id="C11"),
        pytest.param((CONVERTED, CONTACTED), 1, CONTACTED, ["hold C11"], id="C11 still"),
        pytest.param((CONVERTED, CONTACTED), 1, CONVERTED, ["C12 adopt right"], id="C12"),
        pytest.param((CONVERTED, CONTACTED), 1, LOST, ["report C13"], id="C13"),
    ],
)
def test_both_were_converted(was: tuple[Place, Place], epoch: int, right: Place, decided: list[str]) -> None:
    plan = plan_lead(
        linked("lead", *was, epoch=epoch),
        seen("left", "lead", CONVERTED, **MADE),
        seen("right", "lead", right, **MADE),
        powers=POWERS,
        last_edit=None,
    )
    assert told(plan) == decided
    assert plan.axes_settled


# --- opportunities ------------------------------------------------------------------------------------------------

QUALIFY: Place = ("open", "qualify")
DEVELOP: Place = ("open", "develop")
WON: Place = ("won", "won")
DEAL_LOST: Place = ("lost", "canceled")
OUT_SOLD: Place = ("lost", "out_sold")


@pytest.mark.parametrize(
    ("was", "left", "right", "decided"),
    [
        pytest.param(QUALIFY, DEVELOP, QUALIFY, ["O2 stage right develop"], id="O2 left"),
        pytest.param(DEVELOP, DEVELOP, QUALIFY, ["O2 stage left qualify"], id="O2 right, back"),
        pytest.param(QUALIFY, WON, QUALIFY, ["O6 win right won"], id="O6 left"),
        pytest.param(QUALIFY, QUALIFY, WON, ["O6 win left won"], id="O6 right"),
        pytest.param(QUALIFY, DEAL_LOST, QUALIFY, ["O7 lose right canceled"], id="O7 left"),
        pytest.param(QUALIFY, QUALIFY, OUT_SOLD, ["O7 lose left out_sold"], id="O7 right, its reason"),
        pytest.param(WON, DEAL_LOST, WON, ["O8 reopen right", "O7 lose right canceled"], id="O8 left, in two steps"),
        pytest.param(WON, WON, DEAL_LOST, ["O7 lose left canceled"], id="O8 right, in one"),
        pytest.param(DEAL_LOST, WON, DEAL_LOST, ["O8 reopen right", "O6 win right won"], id="O8 left, won after all"),
        pytest.param(WON, QUALIFY, WON, ["O9 reopen right qualify"], id="O9 left"),
        pytest.param(DEAL_LOST, DEAL_LOST, DEVELOP, ["O9 reopen left develop"], id="O9 right"),
        pytest.param(DEAL_LOST, OUT_SOLD, DEAL_LOST, ["O11 status right out_sold"], id="O11 another reason"),
        pytest.param(QUALIFY, WON, DEVELOP, ["O6 win right won"], id="O20 state beats stage"),
        pytest.param(QUALIFY, DEVELOP, DEAL_LOST, ["O7 lose left canceled"], id="O20 state beats stage, right"),
        pytest.param(QUALIFY, WON, DEAL_LOST, ["hold O20"], id="O20 closed differently"),
        pytest.param(QUALIFY, WON, WON, [], id="O6 on both"),
    ],
)
def test_opportunities(was: Place, left: Place, right: Place, decided: list[str]) -> None:
    plan = plan_opportunity(
        linked("opportunity", was, was),
        seen("left", "opportunity", left),
        seen("right", "opportunity", right),
        powers=POWERS,
        last_edit="right",
    )
    assert told(plan) == decided
    assert all(f"({step.case})" in step.reason for step in plan.steps)


def test_o3_an_unmapped_stage_moves_nothing_and_is_seen_again() -> None:
    left = seen("left", "opportunity", ("open", ""))
    left = Seen(row=left.row, life=left.life, shared=Shared(fields={}, state="open", status=None))
    right = seen("right", "opportunity", QUALIFY)
    plan = plan_opportunity(linked("opportunity", DEVELOP, QUALIFY), left, right, powers=POWERS, last_edit=None)
    assert (told(plan), plan.axes_settled) == ([], False)


def test_o4_on_hold_alone_moves_nothing() -> None:
    right = seen("right", "opportunity", QUALIFY, on_hold=True)
    right = Seen(row=right.row, life=right.life, shared=Shared(fields={}, state="open", status="qualify", on_hold=True))
    left = seen("left", "opportunity", QUALIFY)
    plan = plan_opportunity(linked("opportunity", QUALIFY, QUALIFY), left, right, powers=POWERS, last_edit=None)
    assert (told(plan), plan.axes_settled) == ([], True)


@pytest.mark.parametrize(
    ("left", "right", "carried"),
    [
        pytest.param(WON, QUALIFY, {"amount", "close_date"}, id="O6 amount and date go with it"),
        pytest.param(DEAL_LOST, QUALIFY, set[str](), id="O7 the amount does not"),
    ],
)
def test_what_a_close_takes_along(left: Place, right: Place, carried: set[str]) -> None:
    plan = plan_opportunity(
        linked("opportunity", QUALIFY, QUALIFY),
        seen("left", "opportunity", left),
        seen("right", "opportunity", right),
        powers=POWERS,
        last_edit=None,
    )
    assert plan.carried.get("right", frozenset()) == carried


def test_o21_the_label_is_reported_and_the_flag_decides() -> None:
    right = seen("right", "opportunity", QUALIFY, contradiction="It says won.")
    left = seen("left", "opportunity", QUALIFY)
    plan = plan_opportunity(linked("opportunity", QUALIFY, QUALIFY), left, right, powers=POWERS, last_edit=None)
    assert told(plan) == ["report O21"]


@pytest.mark.parametrize("entity", ["lead", "opportunity"])
def test_a_first_coupling_changes_no_state(entity: Entity) -> None:
    """Lifecycle §8: nothing is closed or opened, converted or disqualified because two records were found alike."""
    closed: Place = LOST if entity == "lead" else WON
    plan_of: Any = plan_lead if entity == "lead" else plan_opportunity
    link = linked(entity, None, None, mode="matched")
    there = seen("right", entity, closed)
    plan = plan_of(
        link, seen("left", entity, NEW if entity == "lead" else QUALIFY), there, powers=POWERS, last_edit="right"
    )
    assert (told(plan), plan.axes_settled) == (["hold state_differs"], False)


# --- deletions, merges, late edits, names of cases ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "converted", "case"),
    [
        pytest.param("lead", False, "L8", id="L8"),
        pytest.param("lead", True, "L14", id="L14"),
        pytest.param("opportunity", False, "O18", id="O18"),
        pytest.param("account", False, "A5", id="A5"),
        pytest.param("contact", False, "A6", id="A6"),
    ],
)
def test_deletions_are_reported_and_kept(entity: Entity, converted: bool, case: str) -> None:
    report = plan_deleted(entity, converted=converted)
    assert report.cause == case
    assert f"({case})" in report.message
    assert "stays" in report.message


def test_a5_what_went_along_is_counted_in_words() -> None:
    message = plan_deleted("account", along={"contact": 2, "opportunity": 1}).message
    assert "2 contacts and 1 opportunity" in message
    assert "0" not in plan_deleted("account", along={"contact": 0, "opportunity": 0}).message


@pytest.mark.parametrize(
    ("entity", "winner_linked", "converted", "case"),
    [
        pytest.param("lead", True, False, "L10", id="L10"),
        pytest.param("lead", False, False, None, id="L11"),
        pytest.param("lead", False, True, "L15", id="L15"),
        pytest.param("account", True, False, "A8", id="A8"),
        pytest.param("contact", True, False, "A8", id="A8 contact"),
    ],
)
def test_merges(entity: Entity, winner_linked: bool, converted: bool, case: str | None) -> None:
    hold = plan_merged(entity, winner_linked=winner_linked, converted=converted)
    assert (hold.cause if hold else None) == case
    assert hold is None or f"({case})" in hold.message


def test_c8_is_told() -> None:
    assert plan_orphan_conversion().cause == "C8"
    assert "(C8)" in plan_orphan_conversion().message


@pytest.mark.parametrize(
    ("name", "places"),
    [
        pytest.param("company", [("account", "name")], id="L12 company"),
        pytest.param("email", [("contact", "email")], id="L12 a person's field"),
        pytest.param("city", [("contact", "city"), ("account", "city")], id="L12 an address, to both"),
        pytest.param("website", [("account", "website")], id="L12 only an account has it"),
        pytest.param("description", [("contact", "description")], id="L12 the contact comes first"),
        pytest.param("rating", [], id="L12 nowhere"),
    ],
)
def test_where_a_late_edit_goes(name: str, places: list[tuple[str, str]]) -> None:
    known: dict[str, set[str]] = {
        "account": {"name", "city", "website", "description"},
        "contact": {"email", "city", "description"},
        "opportunity": {"description"},
    }
    assert list(late_places(name, lambda entity, field: field in known[entity])) == places


@pytest.mark.parametrize(
    ("entity", "fields", "life", "case"),
    [
        pytest.param("lead", {}, {}, "L1", id="L1"),
        pytest.param("opportunity", {"account": "1"}, {}, "O1", id="O1"),
        pytest.param("opportunity", {"contact": "1"}, {"customer_is_contact": True}, "O14", id="O14"),
        pytest.param("opportunity", {}, {}, "O15", id="O15"),
        pytest.param("account", {}, {}, "A1", id="A1"),
        pytest.param("contact", {"account": "1"}, {}, "A1", id="A1 contact"),
        pytest.param("contact", {}, {}, "A9", id="A9"),
    ],
)
def test_names_of_creates(entity: Entity, fields: Fields, life: Mapping[str, Any], case: str) -> None:
    assert create_case(seen("left", entity, NEW, fields or {"x": None}, **life)) == case


@pytest.mark.parametrize(
    ("entity", "names", "more", "case"),
    [
        pytest.param("lead", {"phone"}, {}, "L2", id="L2"),
        pytest.param("lead", {"owner"}, {}, "L7", id="L7"),
        pytest.param("opportunity", {"description"}, {}, "O5", id="O5"),
        pytest.param("opportunity", {"amount"}, {"closed": True}, "O10", id="O10"),
        pytest.param("opportunity", {"description"}, {"closed": True}, "O11", id="O11"),
        pytest.param("opportunity", {"owner"}, {}, "O12", id="O12"),
        pytest.param("opportunity", {"account", "name"}, {}, "O13", id="O13"),
        pytest.param("opportunity", {"contact"}, {}, "O16", id="O16"),
        pytest.param("opportunity", {"amount"}, {"currency": True}, "O17", id="O17"),
        pytest.param("account", {"phone"}, {}, "A2", id="A2"),
        pytest.param("contact", {"account"}, {}, "A10", id="A10"),
    ],
)
def test_names_of_edits(entity: Entity, names: set[str], more: Mapping[str, bool], case: str) -> None:
    assert edit_case(entity, names, closed=more.get("closed", False), currency=more.get("currency", False)) == case


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_named_in_the_code_and_in_a_test(row: str) -> None:
    here = Path(__file__).parent
    code = [
        *sorted((here.parents[1] / "crmbridge" / "lifecycle").glob("*.py")),
        *sorted((here.parents[1] / "crmbridge" / "sync").glob("*.py")),
    ]
    code += [here.parents[1] / "crmbridge" / "plan.py"]
    tests = [Path(__file__), *sorted(here.glob("test_sync_*.py"))]
    for place in (code, tests):
        text = "\n".join(path.read_text(encoding="utf-8") for path in place)
        named = {f"{letter}{number}" for letter, number in re.findall(r"\b([LCOA])(\d{1,2})\b", text)}
        assert row in named, f"{row} is named nowhere in {place[0].parent.name}"
