"""What an admin chose: scope, owner, consent, and who is master in a segment until the day of its cut-over."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crmbridge.model import Entity, Shared
from crmbridge.policy import Master, Owner, Policies, Policy, Scope, Segment, When
from crmbridge.sync import Options
from tests.support.engine import MAPPINGS, Bench, bench

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
