"""What stands beside the status and stage tables, in a running sync: kinds, reasons, on hold, gates, record types."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import Entity, State
from tests.support.engine import MAPPINGS, Bench, bench

STAGES: Mapping[str, State] = {"Review Due": "open", "Renewed": "won", "On Hold": "open", "Sold": "lost"}


@contextmanager
def company(tmp_path: Path, *, stages: Mapping[str, State] = STAGES, **texts: str) -> Iterator[Bench]:
    """Both companies, with lines of their own in place of shipped ones or at the end of a mapping."""
    mappings = {f"{entity}.yaml": text for entity, text in texts.items()}
    with bench(f"sqlite:///{tmp_path / 'state.sqlite3'}", mappings=mappings) as made:
        statuses: dict[Entity, Mapping[str, State]] = dict(made.north.statuses)
        statuses["opportunity"] = {**statuses["opportunity"], **stages}
        made.north.statuses = statuses
        yield made


def with_lines(entity: Entity, *lines: str, **rows: str) -> str:
    """The mapping with some rows of its table in other words, and more at its end."""
    text = MAPPINGS[f"{entity}.yaml"]
    found: list[str] = []
    for line in text.splitlines():
        name = line.strip().partition(":")[0]
        found.append(f"  {name}: {rows[name]}" if name in rows and line.startswith("  ") else line)
    assert len(rows) == sum(line.strip().partition(":")[0] in rows for line in text.splitlines())
    return "\n".join([*found, *lines]) + "\n"


def deal(desk: Bench, **columns: Any) -> tuple[str, str]:
    return desk.deal_pair(**columns)


def north(desk: Bench, id: str) -> dict[str, Any]:
    return desk.north.read("opportunity", id)


def south(desk: Bench, id: str) -> dict[str, Any]:
    return desk.south.read("opportunity", id)


# --- words per record type ----------------------------------------------------------------------------------------

KINDS = with_lines(
    "opportunity",
    qualify="{state: open, north: {any: [Prospecting, Qualification], Renewal: Review Due}, south: qualify}",
    won="{state: won, north: {any: Closed Won, Renewal: Renewed}, south: won}",
)


def test_a_row_has_another_word_for_another_record_type(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=KINDS) as desk:
        plain, _ = deal(desk)
        renewal, there = deal(desk, record_type="Renewal", status="Analysis", state="open")
        assert south(desk, there)["status"] == "develop"
        desk.south.set_status("opportunity", there, "qualify")
        desk.settled()
        assert north(desk, renewal)["status"] == "Review Due"
        assert north(desk, plain)["status"] == "Prospecting"
        desk.south.set_status("opportunity", there, "won")
        desk.settled()
        assert north(desk, renewal)["status"] == "Renewed"
        assert not desk.issues()


def test_the_word_of_a_record_type_is_read_and_stays(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=KINDS) as desk:
        renewal, there = deal(desk, record_type="Renewal", status="Proposal", state="open")
        desk.north.set_status("opportunity", renewal, "Review Due")
        desk.settled()
        assert south(desk, there)["status"] == "qualify"
        assert north(desk, renewal)["status"] == "Review Due"


def test_a_record_type_without_a_word_of_its_own_is_any(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=KINDS) as desk:
        other, there = deal(desk, record_type="Upsell", status="Proposal", state="open")
        desk.south.set_status("opportunity", there, "qualify")
        desk.settled()
        assert north(desk, other)["status"] == "Prospecting"


def test_a_row_that_exists_for_one_record_type_only_is_held_for_the_others(tmp_path: Path) -> None:
    text = with_lines(
        "opportunity",
        propose="{state: open, north: {Renewal: Review Due}, south: propose}",
    )
    with company(tmp_path, opportunity=text) as desk:
        plain, there = deal(desk)
        desk.south.set_status("opportunity", there, "propose")
        desk.sync()
        assert north(desk, plain)["status"] == "Prospecting"
        assert desk.causes() == {"unmapped_status"}


# --- reasons ------------------------------------------------------------------------------------------------------

REASONS = with_lines(
    "opportunity",
    "reason: {north: loss_reason}",
    canceled="{state: lost, north: Closed Lost, reason: {north: Cancelled}, south: canceled}",
    out_sold="{state: lost, north: Closed Lost, reason: {north: [Competitor, Price]}, south: out-sold}",
)


def test_a_reason_is_written_with_the_status_in_one_call(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=REASONS) as desk:
        here, there = deal(desk)
        desk.south.set_status("opportunity", there, "out-sold")
        version = desk.north.tables["opportunity"][here].version
        desk.settled()
        assert (north(desk, here)["status"], north(desk, here)["loss_reason"]) == ("Closed Lost", "Competitor")
        assert desk.north.tables["opportunity"][here].version == version + 1


def test_a_finer_reason_stays_and_another_one_moves_the_other_side(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=REASONS) as desk:
        here, there = deal(desk)
        desk.north.set_status("opportunity", here, "Closed Lost", loss_reason="Price")
        desk.settled()
        assert south(desk, there)["status"] == "out-sold"
        assert north(desk, here)["loss_reason"] == "Price"
        desk.north.edit("opportunity", here, loss_reason="Cancelled")
        desk.settled()
        assert south(desk, there)["status"] == "canceled"
        desk.south.set_status("opportunity", there, "out-sold")
        desk.settled()
        assert north(desk, here)["loss_reason"] == "Competitor"


def test_a_blank_reason_keeps_what_the_other_side_said(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=REASONS) as desk:
        here, there = deal(desk)
        desk.south.set_status("opportunity", there, "out-sold")
        desk.settled()
        desk.north.edit("opportunity", here, loss_reason=None)
        desk.settled()
        assert south(desk, there)["status"] == "out-sold"


def test_a_reason_that_no_row_names_moves_nothing_and_is_told(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=REASONS) as desk:
        here, there = deal(desk)
        desk.north.set_status("opportunity", here, "Closed Lost", loss_reason="Weather")
        desk.sync()
        assert south(desk, there)["state"] == "open"
        assert desk.causes() == {"unmapped_reason"}
        desk.north.edit("opportunity", here, loss_reason="Cancelled")
        desk.settled()
        assert south(desk, there)["status"] == "canceled"
        assert not desk.issues()


def test_a_disqualified_lead_has_a_reason_too(tmp_path: Path) -> None:
    rows = {
        "cannot_contact": "no phone",
        "no_longer_interested": "not now",
        "canceled": "stopped",
    }
    line = "{{state: disqualified, north: Unqualified, reason: {{north: {why}}}, south: {south}}}"
    told = {name: line.format(why=word, south=name.replace("_", " ")) for name, word in rows.items()}
    text = with_lines("lead", "reason: {north: why}", **told)
    with company(tmp_path, lead=text) as desk:
        here, there = desk.lead_pair()
        desk.south.set_status("lead", there, "no longer interested")
        desk.settled()
        lead = desk.north.read("lead", here)
        assert (lead["status"], lead["why"]) == ("Unqualified", "not now")
        desk.south.set_status("lead", there, "lost")  # the row without a reason
        desk.settled()
        assert desk.north.read("lead", here)["why"] is None
        desk.north.edit("lead", here, why="no phone")
        desk.settled()
        assert desk.south.read("lead", there)["status"] == "cannot contact"


# --- on hold ------------------------------------------------------------------------------------------------------

HELD = {
    "column": with_lines("opportunity", "on_hold: {north: paused, south: on_hold}"),
    "stage": with_lines("opportunity", "on_hold: {north: {stage: On Hold}, south: on_hold}"),
}


def paused(desk: Bench, how: str, id: str) -> bool:
    return bool(north(desk, id).get("paused")) if how == "column" else north(desk, id)["status"] == "On Hold"


@pytest.mark.parametrize("how", ["column", "stage"])
def test_on_hold_goes_both_ways_and_the_stage_stays(tmp_path: Path, how: str) -> None:
    with company(tmp_path, opportunity=HELD[how]) as desk:
        here, there = deal(desk)
        desk.north.set_status("opportunity", here, "Qualification")
        desk.settled()
        desk.south.edit("opportunity", there, on_hold=True)
        desk.settled()
        assert paused(desk, how, here)
        assert "O4" in {event.cause for ran in desk.ran for event in ran.events}
        desk.south.edit("opportunity", there, on_hold=False)
        desk.settled()
        assert not paused(desk, how, here)
        assert north(desk, here)["status"] == "Qualification"
        if how == "column":
            desk.north.edit("opportunity", here, paused=True)
        else:
            desk.north.set_status("opportunity", here, "On Hold")
        desk.settled()
        assert south(desk, there)["on_hold"] is True
        assert south(desk, there)["status"] == "qualify"
        assert not desk.issues()


@pytest.mark.parametrize("how", ["column", "stage"])
def test_a_stage_moved_while_on_hold(tmp_path: Path, how: str) -> None:
    with company(tmp_path, opportunity=HELD[how]) as desk:
        here, there = deal(desk)
        desk.south.edit("opportunity", there, on_hold=True)
        desk.settled()
        desk.south.set_status("opportunity", there, "propose")
        desk.settled()
        assert paused(desk, how, here)
        assert south(desk, there)["on_hold"] is True
        desk.south.edit("opportunity", there, on_hold=False)
        desk.settled()
        assert not paused(desk, how, here)
        assert north(desk, here)["status"] == "Proposal"


@pytest.mark.parametrize("how", ["column", "stage"])
def test_put_on_hold_and_moved_at_once(tmp_path: Path, how: str) -> None:
    with company(tmp_path, opportunity=HELD[how]) as desk:
        here, there = deal(desk)
        desk.south.set_status("opportunity", there, "propose", on_hold=True)
        desk.settled()
        assert paused(desk, how, here)
        desk.south.set_status("opportunity", there, "develop", on_hold=False)
        desk.settled()
        assert not paused(desk, how, here)
        assert north(desk, here)["status"] == "Analysis"


@pytest.mark.parametrize("how", ["column", "stage"])
def test_a_record_on_hold_is_won_and_one_is_born_on_hold(tmp_path: Path, how: str) -> None:
    with company(tmp_path, opportunity=HELD[how]) as desk:
        here, there = deal(desk)
        desk.south.edit("opportunity", there, on_hold=True)
        desk.settled()
        desk.south.set_status("opportunity", there, "won", on_hold=False)
        desk.settled()
        assert north(desk, here)["status"] == "Closed Won"
        account = desk.partner("left", "account", north(desk, here)["account_id"])
        born = desk.south.add(
            "opportunity", name="Paused", account_id=account, status="develop", state="open", on_hold=True
        )
        desk.settled()
        assert paused(desk, how, desk.must(born, "opportunity", "right"))


def test_on_hold_that_only_one_side_can_say_stays_there(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=with_lines("opportunity", "on_hold: {north: paused}")) as desk:
        here, there = deal(desk)
        desk.north.edit("opportunity", here, paused=True)
        desk.settled()
        assert not south(desk, there).get("on_hold")
        desk.south.edit("opportunity", there, on_hold=True)
        desk.settled()
        assert north(desk, here)["paused"] is True


# --- gates --------------------------------------------------------------------------------------------------------

GATES = with_lines(
    "opportunity",
    "gates:",
    '  develop: {needs: [amount, close_date], message: "A proposal needs an amount and a date."}',
    "  won: {needs: [description]}",
)


def test_a_gate_holds_the_move_and_lets_the_rest_go_on(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=GATES) as desk:
        here, there = deal(desk)
        desk.north.set_status("opportunity", here, "Proposal", description="Goes on")  # a later row than the gate's
        desk.sync()
        assert south(desk, there)["status"] == "qualify"
        assert south(desk, there)["description"] == "Goes on"
        [issue] = desk.issues("gate")
        assert "develop" in issue.message
        assert "amount, close_date" in issue.message
        assert "A proposal needs an amount and a date." in issue.message
        desk.north.edit("opportunity", here, amount=Decimal(10))
        desk.sync()
        [issue] = desk.issues("gate")
        assert "amount" not in issue.message.partition("A proposal")[0].replace("'", "").split()
        desk.south.edit("opportunity", there, estimated_date="2026-05-01")
        desk.settled()
        assert south(desk, there)["status"] == "propose"
        assert not desk.issues()


def test_a_gate_is_no_way_back_and_closes_have_their_own(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=GATES) as desk:
        here, there = deal(desk, amount=Decimal(5), close_date="2026-05-01")
        desk.north.set_status("opportunity", here, "Proposal")
        desk.settled()
        assert south(desk, there)["status"] == "propose"
        desk.north.set_status("opportunity", here, "Analysis", amount=None)
        desk.settled()
        assert south(desk, there)["status"] == "develop"
        desk.north.set_status("opportunity", here, "Closed Won")
        desk.sync()
        assert south(desk, there)["state"] == "open"
        assert [issue.cause for issue in desk.issues()] == ["gate"]
        desk.north.edit("opportunity", here, description="Signed")
        desk.settled()
        assert south(desk, there)["state"] == "won"


def test_a_new_record_is_made_before_the_gate(tmp_path: Path) -> None:
    with company(tmp_path, opportunity=GATES) as desk:
        account = desk.north.add("account", name="Acme", city="Ulm")
        here = desk.north.add("opportunity", name="Big", account_id=account, status="Proposal", state="open")
        desk.sync()
        there = desk.must(here, "opportunity")
        assert south(desk, there)["status"] == "qualify"
        assert desk.causes() == {"gate"}
        desk.north.edit("opportunity", here, amount=Decimal(10), close_date="2026-05-01")
        desk.settled()
        assert south(desk, there)["status"] == "propose"


def test_a_conversion_has_a_gate(tmp_path: Path) -> None:
    text = with_lines("lead", "gates:", "  conversion: {needs: [phone, city]}")
    with company(tmp_path, lead=text) as desk:
        here, there = desk.lead_pair(phone="123")
        desk.north.convert_lead(here)
        desk.sync()
        assert desk.south.read("lead", there)["state"] == "open"
        [issue] = desk.issues("gate")
        assert "city" in issue.message
        assert "phone" not in issue.message
        # A converted lead is read-only there; what is missing is filled in where it can be.
        desk.south.edit("lead", there, city="Ulm")
        desk.settled()
        assert desk.south.read("lead", there)["state"] == "converted"


@pytest.mark.parametrize("filled_by", ["north", "south"])
def test_a_held_move_goes_through_as_soon_as_the_field_is_filled_though_the_record_does_not_move_again(
    tmp_path: Path, filled_by: str
) -> None:
    with company(tmp_path, opportunity=GATES) as desk:
        here, there = deal(desk, amount=Decimal(5))
        desk.north.set_status("opportunity", here, "Proposal")
        for _ in range(3):  # quiet runs between: the move is not forgotten, and not agreed on either
            desk.sync()
        assert south(desk, there)["status"] == "qualify"
        assert desk.causes() == {"gate"}
        if filled_by == "north":
            desk.north.edit("opportunity", here, close_date="2026-05-01")
        else:
            desk.south.edit("opportunity", there, estimated_date="2026-05-01")
        desk.sync()
        assert south(desk, there)["status"] == "propose"
        assert north(desk, here)["status"] == "Proposal"
        desk.sync()
        assert not desk.issues()


def test_a_held_close_and_a_held_conversion_go_through_in_the_cycle_after_the_field_is_filled(tmp_path: Path) -> None:
    lead = with_lines("lead", "gates:", "  conversion: {needs: [city]}")
    with company(tmp_path, opportunity=GATES, lead=lead) as desk:
        here, there = deal(desk, amount=Decimal(5), close_date="2026-05-01")
        lead_here, lead_there = desk.lead_pair()
        desk.south.set_status("opportunity", there, "won")
        desk.north.convert_lead(lead_here)
        for _ in range(3):
            desk.sync()
        assert north(desk, here)["state"] == "open"
        assert desk.south.read("lead", lead_there)["state"] == "open"
        desk.south.edit("opportunity", there, description="Signed")
        desk.south.edit("lead", lead_there, city="Ulm")
        desk.sync()
        assert north(desk, here)["state"] == "won"
        assert desk.south.read("lead", lead_there)["state"] == "converted"


# --- record types -------------------------------------------------------------------------------------------------


def test_a_new_record_gets_its_record_type(tmp_path: Path) -> None:
    text = with_lines("opportunity", "record_type: {north: Standard}")
    with company(tmp_path, opportunity=text) as desk:
        account = desk.south.add("account", name="Acme", city="Ulm")
        there = desk.south.add("opportunity", name="Big", account_id=account, status="develop", state="open")
        desk.settled()
        here = desk.must(there, "opportunity", "right")
        assert north(desk, here)["record_type"] == "Standard"
        desk.north.edit("opportunity", here, record_type="Partner")  # theirs from then on
        desk.south.edit("opportunity", there, description="More")
        desk.settled()
        assert north(desk, here)["record_type"] == "Partner"


def test_what_a_conversion_makes_gets_its_record_type_in_the_write_that_follows(tmp_path: Path) -> None:
    text = with_lines("opportunity", "record_type: {north: Standard}")
    with company(tmp_path, opportunity=text) as desk:
        here, there = desk.lead_pair()
        made = desk.south.convert_lead(there)
        desk.settled()
        assert desk.north.read("lead", here)["state"] == "converted"
        assert made.opportunity_id
        opportunity = desk.must(made.opportunity_id, "opportunity", "right")
        assert north(desk, opportunity)["record_type"] == "Standard"
