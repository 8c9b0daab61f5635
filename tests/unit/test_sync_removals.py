"""`lifecycle.remove` carried out between two whole companies: deletions, merges, what comes back, and lost answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crmbridge.guard import Cap, Caps
from crmbridge.model import SIDES, Entity, Side, other
from crmbridge.policy import Master, Policies, Policy, Remove, Segment
from crmbridge.sync import Options
from tests.support.engine import Bench, Fell, Lie, bench, wanted


@contextmanager
def desk(tmp_path: Path, caps: Caps | None = None, **choices: Any) -> Iterator[Bench]:
    options = Options(policies=Policies(base=Policy(remove=Remove(**choices))), caps=caps or Caps())
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", options=options) as made:
        yield made


both_ways = pytest.mark.parametrize("side", SIDES, ids=["north to south", "south to north"])


def on(side: Side, pair: tuple[str, str]) -> tuple[str, str]:
    """(id here, id there)"""
    return pair if side == "left" else (pair[1], pair[0])


def gone(one: Bench, side: Side, entity: Entity, id: str) -> bool:
    return one.crm(side).tables[entity][id].deleted


# --- deleted ------------------------------------------------------------------------------------------------------


@both_ways
def test_a_deleted_lead_is_deleted_there(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="delete") as one:
        here, there = on(side, one.lead_pair())
        one.crm(side).delete("lead", here)
        planned = one.engine.plan()
        assert wanted(planned) == {(one.engine.names[other(side)], "lead", "delete"): 1}
        assert not gone(one, other(side), "lead", there)
        ran = one.sync()
        assert gone(one, other(side), "lead", there)
        assert [event.kind for event in ran.events if event.cause == "L8"] == ["delete"]
        one.settled()
        assert not one.issues()
        link = one.link(side, "lead", here)
        assert link is not None
        assert not link.alive
        assert next(row.kind for row in one.store.journal(link_id=link.id)) == "delete"


@both_ways
def test_a_deleted_lead_is_asked_about(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="ask") as one:
        here, there = on(side, one.lead_pair())
        one.crm(side).delete("lead", here)
        one.settled()
        [issue] = one.issues("L8")
        assert issue.kind == "held"
        assert "for a person" in issue.message
        assert not gone(one, other(side), "lead", there)
        one.crm(other(side)).delete("lead", there)  # the answer
        one.settled()
        assert not one.issues()


@both_ways
def test_what_was_edited_there_since_is_asked_about(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="delete") as one:
        here, there = on(side, one.lead_pair())
        one.crm(side).delete("lead", here)
        one.crm(other(side)).edit("lead", there, phone="7")
        one.settled()
        [issue] = one.issues("L8")
        assert (issue.kind, "edited" in issue.message) == ("held", True)
        assert not gone(one, other(side), "lead", there)


@both_ways
def test_a_deleted_lead_is_disqualified_there(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="disqualify") as one:
        here, there = on(side, one.lead_pair())
        one.crm(side).delete("lead", here)
        assert wanted(one.engine.plan()) == {(one.engine.names[other(side)], "lead", "disqualify"): 1}
        one.settled()
        status = one.crm(other(side)).read("lead", there)["status"]
        assert status == {"left": "Unqualified", "right": "lost"}[other(side)]
        assert one.partner(side, "lead", here) is None
        assert not one.issues()


@both_ways
def test_a_deleted_deal_is_lost_there(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="lose") as one:
        here, there = on(side, one.deal_pair())
        one.crm(side).delete("opportunity", here)
        assert wanted(one.engine.plan()) == {(one.engine.names[other(side)], "opportunity", "close"): 1}
        one.settled()
        columns = one.crm(other(side)).read("opportunity", there)
        assert columns["status"] == {"left": "Closed Lost", "right": "canceled"}[other(side)]
        assert one.partner(side, "opportunity", here) is None
        assert not one.issues()


@pytest.mark.parametrize("choice", ["delete", "lose"])
def test_a_closed_deal_is_asked_about(tmp_path: Path, choice: str) -> None:
    with desk(tmp_path, delete=choice) as one:
        here, there = one.deal_pair()
        one.north.set_status("opportunity", here, "Closed Won")
        one.settled()
        one.north.delete("opportunity", here)
        one.settled()
        [issue] = one.issues("O18")
        assert (issue.kind, "won" in issue.message) == ("held", True)
        assert one.south.read("opportunity", there)["state"] == "won"
        assert not gone(one, "right", "opportunity", there)


@both_ways
def test_a_deleted_account_is_inactive_where_there_is_such_a_state(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="deactivate") as one:
        deal = one.deal_pair()
        account = one.north.read("opportunity", deal[0])["account_id"]
        here, there = on(side, (account, one.must(account, "account")))
        one.crm(side).delete("account", here)
        one.settled()
        assert not gone(one, other(side), "account", there)
        inactive = one.crm(other(side)).read("account", there).get("statecode")
        assert inactive == (1 if side == "left" else None)
        assert [(issue.cause, "no inactive records" in issue.message) for issue in one.issues()] == (
            [] if side == "left" else [("A5", True)]
        )


@both_ways
def test_a_converted_lead_is_deleted_there_and_its_results_stay(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete_converted="delete") as one:
        here, there = on(side, one.lead_pair())
        made = one.crm(side).convert_lead(here)
        one.settled()
        one.crm(side).delete("lead", here)
        one.settled()
        assert gone(one, other(side), "lead", there)
        assert made.account_id is not None
        assert made.opportunity_id is not None
        assert one.partner(side, "account", made.account_id) is not None
        assert one.partner(side, "opportunity", made.opportunity_id) is not None
        assert not one.issues()


def customer(one: Bench) -> dict[Entity, tuple[str, str]]:
    account = one.north.add("account", name="Nordwind", city="Kiel")
    contact = one.north.add("contact", last_name="Berg", email="b@nordwind.example", account_id=account)
    deal = one.north.add("opportunity", name="Quay", account_id=account, contact_id=contact)
    one.settled()
    mine: dict[Entity, str] = {"account": account, "contact": contact, "opportunity": deal}
    return {entity: (id, one.must(id, entity)) for entity, id in mine.items()}


@both_ways
def test_an_account_goes_with_all_that_went_with_it(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="delete") as one:
        known = customer(one)
        for entity, pair in known.items():
            one.crm(side).delete(entity, on(side, pair)[0])
        planned = wanted(one.engine.plan())
        assert {place[1]: count for place, count in planned.items()} == dict.fromkeys(known, 1)
        one.settled()
        assert all(gone(one, other(side), entity, on(side, pair)[1]) for entity, pair in known.items())
        assert not one.issues()


@both_ways
def test_an_account_with_records_that_stay_is_asked_about(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="delete") as one:
        known = customer(one)
        one.crm(side).delete("account", on(side, known["account"])[0])
        one.settled()
        there = one.crm(other(side))
        assert [len(there.live(entity)) for entity in known] == [1, 1, 1]
        [issue] = one.issues("A5")
        assert issue.kind == "held"
        assert "1 contact and 1 opportunity would go with it" in issue.message


def test_nothing_is_deleted_on_the_master(tmp_path: Path) -> None:
    kiel = Segment(name="kiel", fits=lambda entity, shared: True, master=Master(first="right"))
    policies = Policies(base=Policy(remove=Remove(delete="delete")), segments=(kiel,))
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", options=Options(policies=policies)) as one:
        there = one.south.add("lead", last_name="Berg", company="Berg AB")
        one.settled()
        one.north.delete("lead", one.must(there, "lead", "right"))
        one.settled()
        assert not gone(one, "right", "lead", there)
        [issue] = one.issues("L8")
        assert (issue.kind, "south is master" in issue.message) == ("report", True)


def test_the_guard_counts_deletions(tmp_path: Path) -> None:
    with desk(tmp_path, caps=Caps(deletes=Cap(count=1, percent=0)), delete="delete") as one:
        pairs = [one.lead_pair(), one.lead_pair()]
        for here, _ in pairs:
            one.north.delete("lead", here)
        ran = one.sync(approve_all=False)
        assert not ran.ruling.go
        assert "2 x delete of lead on south" in ran.ruling.reasons[0]
        assert not any(gone(one, "right", "lead", there) for _, there in pairs)


# --- merged -------------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("entity", ["lead", "account"])
def test_two_that_were_merged_are_merged_there(tmp_path: Path, side: Side, entity: Entity) -> None:
    with desk(tmp_path, merge="mirror") as one:
        pairs = [one.lead_pair() for _ in range(2)]
        if entity == "account":
            deals = [one.deal_pair()[0] for _ in range(2)]
            accounts = [one.north.read("opportunity", deal)["account_id"] for deal in deals]
            pairs = [(account, one.must(account, "account")) for account in accounts]
        loser, winner = (on(side, pair) for pair in pairs)
        one.crm(side).merge(entity, loser[0], winner[0])
        assert wanted(one.engine.plan())[one.engine.names[other(side)], entity, "delete"] == 1
        one.settled()
        assert one.crm(other(side)).tables[entity][loser[1]].merged_into == winner[1]
        assert one.partner(side, entity, winner[0]) == winner[1]
        assert one.partner(side, entity, loser[0]) is None
        assert not [issue for issue in one.issues() if issue.cause in ("L10", "A8")]


def test_a_merge_into_a_converted_lead_is_for_a_person(tmp_path: Path) -> None:
    with desk(tmp_path, merge="mirror") as one:
        loser, winner = one.lead_pair(), one.lead_pair()
        one.south.convert_lead(winner[1])
        one.settled()
        one.south.merge("lead", loser[1], winner[1])
        one.settled()
        [issue] = one.issues("L10")
        assert (issue.kind, "is converted" in issue.message) == ("held", True)
        assert not gone(one, "left", "lead", loser[0])


# --- back again ---------------------------------------------------------------------------------------------------


@both_ways
def test_what_is_restored_waits_for_a_word(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, undelete="hold") as one:
        here, there = on(side, one.lead_pair())
        one.crm(side).delete("lead", here)
        one.settled()
        one.crm(side).restore("lead", here)
        one.crm(other(side)).edit("lead", there, phone="4")
        one.settled()
        [issue] = one.issues("L9")
        assert issue.kind == "held"
        assert one.partner(side, "lead", here) is None
        assert issue.id is not None
        one.store.release_issues([issue.id], "ada", "it was a slip")
        one.settled()
        assert one.partner(side, "lead", here) == there
        assert one.crm(side).read("lead", here)["phone"] == "4"
        assert not one.issues()


@both_ways
def test_what_is_restored_after_its_partner_was_deleted_tells_what_to_do(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, delete="delete") as one:
        here, there = on(side, one.lead_pair())
        one.crm(side).delete("lead", here)
        one.settled()
        one.crm(side).restore("lead", here)
        one.settled()
        [issue] = one.issues("L9")
        assert (issue.kind, "recycle bin" in issue.fix) == ("held", True)
        one.crm(other(side)).restore("lead", there)
        one.settled()
        assert one.partner(side, "lead", here) == there
        assert not one.issues()


# --- trouble ------------------------------------------------------------------------------------------------------

LIES: tuple[Lie, ...] = ("refuse", "lose", "drop", "later", "stale", "fall before", "fall after")


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", ["delete", "merge", "disqualify"])
def test_once_and_written_down_once(tmp_path: Path, kind: str, lie: Lie) -> None:
    side = SIDES[LIES.index(lie) % 2]
    choices = {"merge": {"merge": "mirror"}}.get(kind, {"delete": kind})
    with desk(tmp_path, **choices) as one:
        (here, there), (winner, _) = on(side, one.lead_pair()), on(side, one.lead_pair())
        if kind == "merge":
            one.crm(side).merge("lead", here, winner)
        else:
            one.crm(side).delete("lead", here)
        call = "status" if kind == "disqualify" else kind
        crm, told = one.crm(other(side)), list[str]()

        def lies(made: str, entity: Entity, id: str | None) -> Lie | None:
            if made == call and id == there and not told:
                told.append(made)
                return lie
            return None

        def done() -> bool:
            record = crm.tables["lead"][there]
            return record.deleted if kind != "disqualify" else record.columns["state"] == "disqualified"

        crm.lies = lies
        try:
            one.sync()
        except Fell:
            assert lie.startswith("fall")
        assert told, "the call was made"
        if lie == "refuse":
            [issue] = [each for each in one.issues() if each.kind == "failed"]
            assert "a rule of ours does not allow it" in issue.message
            assert one.partner(side, "lead", here) == there, "the pair lives"
            assert not wanted(one.engine.plan()), "not sent again"
            assert not done()
            one.store.release_issues(None, "ada", "the rule is gone")
        one.settled()
        assert done()
        assert one.partner(side, "lead", here) is None
        assert not one.store.open_intents()
        assert not one.issues()
        link = one.link(side, "lead", here)
        assert link is not None
        assert [row.kind for row in one.store.journal(link_id=link.id, side=other(side))].count(call) == 1
        assert [ours[0] for ours in crm.ours if ours[2] == there].count(call) == 1


def test_a_record_whose_merge_was_taken_back_is_told_and_does_not_end_the_cycle(tmp_path: Path) -> None:
    """Its key stands on the record that has gone to the winner (L11): that one gets no second partner."""
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as desk:
        loser = desk.south.add("lead", last_name="Loser", company="Works")
        desk.settled()
        left = desk.must(loser, "lead", "right")
        winner = desk.south.add("lead", last_name="Winner", company="Works")
        desk.south.merge("lead", loser, winner)
        desk.settled()
        assert desk.must(left, "lead", "left") == winner
        desk.south.tables["lead"][loser].merged_into = None
        desk.south.restore("lead", loser)
        desk.settled()
        assert [one.kind for one in desk.issues("key_taken")] == ["failed"]
        assert desk.must(left, "lead", "left") == winner
        assert [one.id for one in desk.north.live("lead")] == [left]
