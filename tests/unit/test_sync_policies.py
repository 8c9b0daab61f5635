"""What an admin chose: scope, owner, consent, and who is master in a segment until the day of its cut-over."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from crmbridge.model import Entity, Shared
from crmbridge.policy import Close, Fits, Master, Move, Owner, Policies, Policy, Scope, Segment, Way, When
from crmbridge.sync import Options
from tests.support.engine import MAPPINGS, Bench, bench, wanted

KIEL = Policies(
    base=Policy(scope=Scope(account=When(when="in Kiel"))),
    expressions={"in Kiel": lambda entity, shared: shared.fields.get("city") == "Kiel"},
)


@contextmanager
def desk(tmp_path: Path, policies: Policies, **changes: str) -> Iterator[Bench]:
    mappings = {**MAPPINGS, **{f"{name}.yaml": text for name, text in changes.items()}}
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", mappings=mappings, options=Options(policies=policies)) as made:
        yield made


def test_all_accounts_and_contacts_cross_where_that_is_chosen(tmp_path: Path) -> None:
    with desk(tmp_path, Policies(base=Policy(scope=Scope(account="all", contact="all")))) as one:
        account = one.north.add("account", name="Nobody's", city="Bonn")
        contact = one.south.add("contact", last_name="Lonely", email="l@example.com")
        one.settled()
        assert one.partner("left", "account", account)
        assert one.partner("right", "contact", contact)


def test_accounts_that_an_expression_fits_cross(tmp_path: Path) -> None:
    with desk(tmp_path, KIEL) as one:
        here = one.north.add("account", name="Nordwind", city="Kiel")
        there = one.north.add("account", name="Suedwind", city="Bonn")
        one.settled()
        assert one.partner("left", "account", here)
        assert one.partner("left", "account", there) is None
        one.north.edit("account", there, city="Kiel")
        one.settled()
        assert one.partner("left", "account", there)


def test_a_scope_that_is_widened_takes_in_what_was_left_alone_before(tmp_path: Path) -> None:
    with desk(tmp_path, Policies()) as one:
        account = one.north.add("account", name="Nobody's", city="Bonn")
        one.settled()
        assert one.partner("left", "account", account) is None
        one.engine.options = Options(policies=Policies(base=Policy(scope=Scope(account="all"))))
        one.settled()
        assert one.partner("left", "account", account)


@pytest.mark.parametrize(
    ("choice", "made_with", "followed"), [(None, True, True), ("create only", True, False), ("off", False, False)]
)
def test_the_owner_crosses_as_chosen(tmp_path: Path, choice: str | None, made_with: bool, followed: bool) -> None:
    policy = Policy(owner=Owner(lead=choice))  # pyright: ignore[reportArgumentType]
    with desk(tmp_path, Policies(base=policy)) as one:
        lead = one.north.add("lead", last_name="Berg", company="Berg AB", owner_id="user-person")
        one.settled()
        partner = one.must(lead, "lead")
        assert (one.south.read("lead", partner).get("owner_id") == "user-person") is made_with
        one.north.edit("lead", lead, owner_id="user-ada")
        one.settled()
        assert (one.south.read("lead", partner).get("owner_id") == "user-ada") is followed


@pytest.mark.parametrize("consent", ["restrictive", "source"])
def test_consent_is_restrictive_unless_the_source_was_chosen(tmp_path: Path, consent: str) -> None:
    policy = Policy(consent=consent)  # pyright: ignore[reportArgumentType]
    with desk(tmp_path, Policies(base=policy)) as one:
        here, there = one.lead_pair(no_calls=True)
        one.south.edit("lead", there, no_calls=False)
        one.settled()
        refused = consent == "restrictive"
        assert one.north.read("lead", here)["no_calls"] is refused
        assert one.south.read("lead", there)["no_calls"] is refused


# --- who is master ------------------------------------------------------------------------------------------------


def _in_kiel(entity: Entity, shared: Shared) -> bool:
    return shared.fields.get("city") == "Kiel"


def until(day: datetime | None) -> Policies:
    master = Master(first="left", cut_over=day, then="right" if day else None)
    return Policies(segments=(Segment(name="kiel", fits=_in_kiel, master=master),))


def test_the_masters_values_win_in_its_segment_and_nowhere_else(tmp_path: Path) -> None:
    with desk(tmp_path, until(None)) as one:
        kiel, bonn = one.lead_pair(city="Kiel", phone="1"), one.lead_pair(last_name="Ober", city="Bonn", phone="1")
        for pair in (kiel, bonn):
            one.south.edit("lead", pair[1], phone="2")
        one.settled()
        assert [one.south.read("lead", pair[1])["phone"] for pair in (kiel, bonn)] == ["1", "2"]
        assert [one.north.read("lead", pair[0])["phone"] for pair in (kiel, bonn)] == ["1", "2"]


def test_only_the_masters_new_records_and_moves_cross(tmp_path: Path) -> None:
    with desk(tmp_path, until(None)) as one:
        new = one.south.add("lead", last_name="Neu", company="Neu AG", city="Kiel")
        here, there = one.lead_pair(city="Kiel")
        one.south.edit("lead", there, status="contacted")
        one.settled()
        assert one.partner("right", "lead", new) is None
        assert one.north.read("lead", here)["status"] == "New"
        assert {issue.kind for issue in one.issues("not_master")} == {"waiting", "held"}
        one.north.edit("lead", here, status="Unqualified")  # the master's own move is followed, and ends the matter
        one.settled()
        assert one.south.read("lead", there)["status"] == "lost"
        assert [issue.kind for issue in one.issues("not_master")] == ["waiting"]


def test_a_conversion_crosses_only_from_the_master(tmp_path: Path) -> None:
    with desk(tmp_path, until(None)) as one:
        here, there = one.lead_pair(city="Kiel")
        one.south.convert_lead(there)
        one.settled()
        assert one.north.read("lead", here)["status"] == "New"
        assert [issue.kind for issue in one.issues("not_master")] == ["held"]


def test_from_the_day_of_the_cut_over_the_other_side_is_master(tmp_path: Path) -> None:
    with desk(tmp_path, until(datetime.now(UTC) + timedelta(days=10))) as one:
        new = one.south.add("lead", last_name="Neu", company="Neu AG", city="Kiel")
        here, there = one.lead_pair(city="Kiel", phone="1")
        one.settled()
        assert one.partner("right", "lead", new) is None
        one.engine.options = Options(policies=until(datetime.now(UTC) - timedelta(days=1)))
        one.settled()
        assert one.partner("right", "lead", new)
        one.south.edit("lead", there, phone="2")
        one.settled()
        assert one.north.read("lead", here)["phone"] == "2"
        one.north.edit("lead", here, phone="3")
        one.settled()
        assert one.north.read("lead", here)["phone"] == "2"


# --- moves and closes ---------------------------------------------------------------------------------------------


def chosen(**groups: Close | Move) -> Policies:
    return Policies(base=Policy(**groups))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("way", "from_north", "from_south"),
    [("both", True, True), ("left", True, False), ("right", False, True), ("off", False, False)],
)
def test_open_statuses_and_stages_go_the_way_that_was_chosen(
    tmp_path: Path, way: Way, from_north: bool, from_south: bool
) -> None:
    with desk(tmp_path, chosen(move=Move(status=way, stage=way))) as one:
        leads = [one.lead_pair(), one.lead_pair()]
        deals = [one.deal_pair(stage="Prospecting"), one.deal_pair(stage="Prospecting")]
        one.north.set_status("lead", leads[0][0], "Working")
        one.south.set_status("lead", leads[1][1], "contacted")
        one.north.set_status("opportunity", deals[0][0], "Proposal")
        one.south.set_status("opportunity", deals[1][1], "propose")
        one.settled()
        assert (one.south.read("lead", leads[0][1])["status"] == "contacted") is from_north
        assert (one.north.read("lead", leads[1][0])["status"] == "Working") is from_south
        assert (one.south.read("opportunity", deals[0][1])["status"] == "propose") is from_north
        assert (one.north.read("opportunity", deals[1][0])["status"] == "Proposal") is from_south
        assert one.issues() == []
        assert wanted(one.sync()) == {}
        # A close is no open status: it crosses whatever was chosen for those.
        one.north.set_status("lead", leads[0][0], "Unqualified")
        one.settled()
        assert one.south.read("lead", leads[0][1])["status"] == "lost"


def test_disqualifying_and_opening_again_are_held_where_that_was_chosen(tmp_path: Path) -> None:
    with desk(tmp_path, chosen(move=Move(disqualify="hold", reopen="hold"))) as one:
        here, there = one.lead_pair()
        one.north.set_status("lead", here, "Unqualified")
        one.settled()
        assert one.south.read("lead", there)["status"] == "new"
        assert [issue.kind for issue in one.issues("L4")] == ["held"]
        assert "lifecycle.move.disqualify: hold" in one.issues("L4")[0].message
        one.south.set_status("lead", there, "lost")  # as the issue says
        one.settled()
        assert one.issues() == []
        one.north.set_status("lead", here, "New")
        one.settled()
        assert one.south.read("lead", there)["status"] == "lost"
        assert {issue.cause for issue in one.issues()} == {"L5"}


def test_new_records_are_matched_only_or_ignored_where_that_was_chosen(tmp_path: Path) -> None:
    with desk(tmp_path, chosen(move=Move(new="match only"))) as one:
        lead = one.north.add("lead", last_name="Berg", company="Berg AB", email="b@berg.example")
        one.settled()
        assert one.partner("left", "lead", lead) is None
        twin = one.south.add("lead", last_name="Berg", company="Berg AB", email="b@berg.example")
        one.settled()
        assert one.partner("left", "lead", lead) == twin
    with desk(tmp_path, chosen(move=Move(new="ignore"))) as one:
        left = one.north.add("lead", last_name="Berg", company="Berg AB", email="b@berg.example")
        one.south.add("lead", last_name="Berg", company="Berg AB", email="b@berg.example")
        one.settled()
        assert one.partner("left", "lead", left) is None
        assert one.issues() == []


def test_opening_a_deal_again_is_held_where_that_was_chosen(tmp_path: Path) -> None:
    with desk(tmp_path, chosen(close=Close(reopen="hold"))) as one:
        here, there = one.deal_pair(stage="Prospecting")
        one.north.set_status("opportunity", here, "Closed Lost")
        one.settled()
        assert one.south.read("opportunity", there)["state"] == "lost"
        one.north.set_status("opportunity", here, "Prospecting")
        one.settled()
        assert one.south.read("opportunity", there)["state"] == "lost"
        assert {issue.cause for issue in one.issues()} == {"O9"}


def test_edits_after_the_close_are_held_where_that_was_chosen(tmp_path: Path) -> None:
    with desk(tmp_path, chosen(close=Close(after_close="hold"))) as one:
        here, there = one.deal_pair(stage="Prospecting", description="before")
        one.north.set_status("opportunity", here, "Closed Lost")
        one.settled()
        one.north.edit("opportunity", here, description="after")
        one.settled()
        assert one.south.read("opportunity", there)["description"] == "before"
        assert {issue.cause for issue in one.issues()} == {"O11"}
        one.south.edit("opportunity", there, description="after")
        one.settled()
        assert one.issues() == []


def test_a_deal_without_a_customer_is_held_where_that_was_chosen(tmp_path: Path) -> None:
    with desk(tmp_path, chosen(close=Close(no_customer="hold"))) as one:
        deal = one.north.add("opportunity", name="Alone")
        one.settled()
        assert one.partner("left", "opportunity", deal) is None
        assert {issue.cause for issue in one.issues()} == {"O15"}
        one.north.edit("opportunity", deal, account_id=one.north.add("account", name="Nordwind", city="Kiel"))
        one.settled()
        assert one.partner("left", "opportunity", deal)
        assert one.issues() == []


def test_the_contact_of_a_deal_stays_where_it_is_where_that_was_chosen(tmp_path: Path) -> None:
    with desk(tmp_path, chosen(move=Move(contact_roles="off"))) as one:
        account = one.north.add("account", name="Nordwind", city="Kiel")
        contact = one.north.add("contact", last_name="Ashby", email="a@n.example", account_id=account)
        _, there = one.deal_pair(account_id=account, contact_id=contact)
        assert one.south.read("opportunity", there).get("contact_id") is None


def by_estimate(fits: Fits) -> Policies:
    one = Segment(name="expected", fits=fits, overlay={"close": {"won_amount": "estimate"}})
    return Policies(segments=[one])


def won(one: Bench, **fields: object) -> tuple[str, str]:
    """Won on north with 120, after 100 were expected."""
    here, there = one.deal_pair(stage="Prospecting", amount=Decimal(100), **fields)
    one.north.edit("opportunity", here, amount=Decimal(120))
    one.north.set_status("opportunity", here, "Closed Won")
    one.settled()
    return here, there


@pytest.mark.parametrize(
    ("segment", "counts", "other"), [("by estimate", "estimated", "actual"), ("as is", "actual", "estimated")]
)
def test_which_amount_of_a_won_deal_counts_may_be_a_segments_affair(
    tmp_path: Path, segment: str, counts: str, other: str
) -> None:
    policies = by_estimate(lambda entity, shared: shared.fields.get("description") == "by estimate")
    with desk(tmp_path, policies) as one:
        here, there = won(one, description=segment)
        assert one.south.read("opportunity", there)[counts] == Decimal(120)
        one.south.edit("opportunity", there, **{other: Decimal(99)})
        one.settled()
        assert one.north.read("opportunity", here)["amount"] == Decimal(120), "which is that CRM's own affair"
        one.south.edit("opportunity", there, **{counts: Decimal(130)})
        one.settled()
        assert one.north.read("opportunity", here)["amount"] == Decimal(130)
        one.north.edit("opportunity", here, amount=Decimal(140))
        one.settled()
        row = one.south.read("opportunity", there)
        assert (row[counts], row[other]) == (Decimal(140), Decimal(99))
        assert one.issues() == []


def test_a_segment_that_the_left_side_alone_shows_decides_for_both(tmp_path: Path) -> None:
    text = MAPPINGS["opportunity.yaml"].replace("  description:", "  kind: {north: kind}\n  description:")
    policies = by_estimate(lambda entity, shared: shared.fields.get("kind") == "licence")
    with desk(tmp_path, policies, opportunity=text) as one:
        here, there = won(one, kind="licence")
        assert one.south.read("opportunity", there)["estimated"] == Decimal(120)
        one.south.edit("opportunity", there, actual=Decimal(99))
        one.settled()
        assert one.north.read("opportunity", here)["amount"] == Decimal(120)


def test_a_won_deal_that_comes_into_such_a_segment_shows_its_other_amount(tmp_path: Path) -> None:
    policies = by_estimate(lambda entity, shared: shared.fields.get("description") == "by estimate")
    with desk(tmp_path, policies) as one:
        here, there = won(one)
        one.south.edit("opportunity", there, estimated=Decimal(110))
        one.settled()
        assert one.north.read("opportunity", here)["amount"] == Decimal(120)
        one.north.edit("opportunity", here, description="by estimate")
        one.settled()
        assert one.north.read("opportunity", here)["amount"] == Decimal(110), "as if somebody had typed it there"
        row = one.south.read("opportunity", there)
        assert (row["estimated"], row["actual"]) == (Decimal(110), Decimal(120))
        assert one.issues() == []
