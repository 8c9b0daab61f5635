"""What becomes of the partner of a deleted record: the decision alone, one case each."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from crmbridge.model import Entity, Life, Ref, Row, Seen, Shared, State
from crmbridge.policy import Policy, Remove
from crmbridge.removal import Fate, Left, fate_of

NOBODY: Mapping[Entity, int] = {}


def left(entity: Entity = "lead", state: State | None = "open", **changes: object) -> Left:
    row = Row(ref=Ref(side="right", entity=entity, id="1"), version="1", created_at=None, modified_at=None)
    seen = Seen(row=row, life=Life(), shared=Shared(fields={}, state=state))
    one = Left(seen=seen, converted=False, name="south", deactivates=True, edited=False, staying=lambda: NOBODY)
    return replace(one, **changes)  # pyright: ignore[reportArgumentType]


def chosen(delete: str, **more: object) -> Policy:
    return Policy(remove=Remove(delete=delete), **more)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("entity", ["account", "contact", "lead", "opportunity"])
def test_kept_without_a_word_by_default(entity: Entity) -> None:
    fate = fate_of(left(entity), Policy())
    assert (fate.kind, fate.asks, fate.note) == (None, False, "")


@pytest.mark.parametrize(
    ("choice", "entity", "case"),
    [
        ("delete", "lead", "L8"),
        ("delete", "opportunity", "O18"),
        ("delete", "account", "A5"),
        ("delete", "contact", "A6"),
        ("disqualify", "lead", "L8"),
        ("lose", "opportunity", "O18"),
        ("deactivate", "account", "A5"),
        ("deactivate", "contact", "A6"),
    ],
)
def test_carried_out_where_it_is_meant(choice: str, entity: Entity, case: str) -> None:
    fate = fate_of(left(entity), chosen(choice))
    assert (fate.kind, fate.case) == (choice, case)
    assert fate.reason == f"deleted there ({case}; lifecycle.remove.delete: {choice})"


@pytest.mark.parametrize(
    ("choice", "one", "told"),
    [
        ("disqualify", left("account"), "That is not for account records"),
        ("lose", left("lead"), "That is not for lead records"),
        ("deactivate", left("opportunity"), "That is not for opportunity records"),
        ("deactivate", left("account", deactivates=False), "south has no inactive records"),
        ("disqualify", left("lead", None), "It is not open on south"),
    ],
)
def test_kept_and_said_where_it_cannot_be(choice: str, one: Left, told: str) -> None:
    fate = fate_of(one, chosen(choice))
    assert (fate.kind, fate.asks) == (None, False)
    assert fate.note == f"{told} (lifecycle.remove.delete: {choice})."


@pytest.mark.parametrize(
    ("choice", "entity", "state"), [("disqualify", "lead", "disqualified"), ("lose", "opportunity", "lost")]
)
def test_what_is_there_already_is_not_done_again(choice: str, entity: Entity, state: State) -> None:
    assert fate_of(left(entity, state), chosen(choice)) == Fate(case="L8" if entity == "lead" else "O18")


@pytest.mark.parametrize(
    ("choice", "one", "told"),
    [
        ("ask", left(), "is for a person"),
        ("delete", left("opportunity", "won"), "It is won on south"),
        ("delete", left("opportunity", "lost"), "It is lost on south"),
        ("lose", left("opportunity", "won"), "It is won on south"),
        ("delete", left(edited=True), "It was edited on south since"),
        ("delete", left("account", staying=lambda: {"contact": 2, "opportunity": 1}), "2 contacts and 1 opportunity"),
    ],
)
def test_a_person_decides(choice: str, one: Left, told: str) -> None:
    fate = fate_of(one, chosen(choice))
    assert (fate.kind, fate.asks) == (None, True)
    assert told in fate.note


def test_a_lead_on_which_an_opportunity_hangs_is_not_disqualified() -> None:
    one = left()
    one = replace(one, seen=replace(one.seen, life=Life(opportunity_id="7")))
    assert fate_of(one, chosen("disqualify")).asks


@pytest.mark.parametrize("choice", ["ask", "delete", "disqualify"])
def test_nothing_is_removed_on_the_master(choice: str) -> None:
    fate = fate_of(left(), chosen(choice, master="right"))
    assert (fate.kind, fate.asks) == (None, False)
    assert "south is master of it" in fate.note
    assert fate_of(left(), chosen("delete", master="left")).kind == "delete"


def test_a_converted_lead_has_a_choice_of_its_own() -> None:
    """L14"""
    one = left("lead", "converted", converted=True)
    assert fate_of(one, chosen("delete")).kind is None
    fate = fate_of(one, Policy(remove=Remove(delete_converted="delete")))
    assert (fate.kind, fate.case) == ("delete", "L14")
    assert fate_of(left(), Policy(remove=Remove(delete_converted="delete"))).kind is None
