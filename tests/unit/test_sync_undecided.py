"""A record that an expression of the settings fails on: nobody knows what was chosen for it, so it is held, and the
others go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crmbridge.model import SIDES, Entity, Problem, Shared, Side, other
from crmbridge.policy import CANNOT_TELL, Convert, Policies, Policy, Remove, Scope, Segment, When
from crmbridge.sync import Options
from tests.support.engine import Bench, bench, wanted


def in_kiel(entity: Entity, shared: Shared) -> bool | Problem:
    city = shared.fields.get("city")
    if city is None:
        return Problem(cause=CANNOT_TELL, field="segments.kiel.when", message="fails where city is blank", fix="say it")
    return city == "Kiel"


KIEL = Segment(name="kiel", fits=in_kiel, overlay={"move": {"new": "ignore"}})


@contextmanager
def desk(tmp_path: Path, policies: Policies) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", options=Options(policies=policies)) as made:
        yield made


@pytest.fixture
def kiel(tmp_path: Path) -> Iterator[Bench]:
    with desk(tmp_path, Policies(segments=[KIEL])) as made:
        yield made


@pytest.mark.parametrize("side", SIDES)
def test_a_new_record_is_held_and_the_others_cross(kiel: Bench, side: Side) -> None:
    lead = kiel.crm(side).add("lead", last_name="Boxer")
    ulm = kiel.crm(side).add("lead", last_name="Cutter", city="Ulm")
    kiel.sync()
    assert kiel.partner(side, "lead", ulm)
    assert kiel.partner(side, "lead", lead) is None
    (issue,) = kiel.issues(CANNOT_TELL)
    assert (issue.kind, issue.native_id, issue.field) == ("held", lead, "segments.kiel.when")
    kiel.crm(side).edit("lead", lead, city="Bonn")
    kiel.settled()
    assert kiel.partner(side, "lead", lead)
    assert kiel.issues() == []


def test_to_correct_the_expression_is_enough(kiel: Bench) -> None:
    lead = kiel.north.add("lead", last_name="Boxer")
    kiel.sync()
    assert kiel.partner("left", "lead", lead) is None
    kiel.engine.options = Options(policies=Policies())
    kiel.settled()
    assert kiel.partner("left", "lead", lead)
    assert kiel.issues() == []


@pytest.mark.parametrize("side", SIDES)
def test_of_a_pair_nothing_is_written_and_nothing_is_lost(kiel: Bench, side: Side) -> None:
    here, there = kiel.lead_pair(city="Ulm", phone="1")
    ids: dict[Side, str] = {"left": here, "right": there}
    kiel.crm("left").edit("lead", here, city=None)
    kiel.crm(side).edit("lead", ids[side], phone="7")
    kiel.sync()
    assert kiel.crm(other(side)).read("lead", ids[other(side)])["phone"] == "1"
    assert kiel.causes() == {CANNOT_TELL}
    assert not wanted(kiel.engine.plan())
    kiel.crm("left").edit("lead", here, city="Ulm")
    kiel.settled()
    assert kiel.crm(other(side)).read("lead", ids[other(side)])["phone"] == "7"
    assert kiel.issues() == []


def test_twins_find_each_other_all_the_same(kiel: Bench) -> None:
    """Else the one that can be told would get a second partner."""
    twin = {"last_name": "Boxer", "email": "b@acme.example"}
    here = kiel.north.add("lead", city="Ulm", **twin)
    there = kiel.south.add("lead", **twin)
    kiel.settled()
    assert kiel.partner("left", "lead", here) == there
    assert kiel.south.read("lead", there)["city"] == "Ulm"


def test_a_partner_is_not_removed_meanwhile(tmp_path: Path) -> None:
    gone = Policy(remove=Remove(delete="delete"))
    with desk(tmp_path, Policies(base=gone, segments=[KIEL])) as one:
        here, there = one.lead_pair(city="Ulm")
        one.south.edit("lead", there, city=None)
        one.north.delete("lead", here)
        one.sync()
        assert [lead.id for lead in one.south.live("lead")] == [there]


def test_a_conversion_waits_with_what_it_made(tmp_path: Path) -> None:
    """The expression of `convert.mirror` is asked once the lead is converted, and fails."""
    when = When(when="city == 'Kiel'")
    policies = Policies(base=Policy(convert=Convert(mirror=when)), expressions={when.when: in_kiel})
    with desk(tmp_path, policies) as one:
        here, there = one.lead_pair(phone="1")
        one.north.edit("lead", here, phone="7")
        one.settled()
        assert one.south.read("lead", there)["phone"] == "7"  # still open: nobody asks
        one.north.convert_lead(here)
        one.sync()
        assert CANNOT_TELL in one.causes()
        assert one.south.live("account") == one.south.live("contact") == []
        one.engine.options = Options(policies=Policies())
        one.settled()
        assert one.issues() == []
        assert len(one.south.live("account")) == len(one.south.live("contact")) == 1


def test_what_the_scope_cannot_tell_stays_out_of_it(tmp_path: Path) -> None:
    when = When(when="city == 'Kiel'")
    policies = Policies(base=Policy(scope=Scope(account=when)), expressions={when.when: in_kiel})
    with desk(tmp_path, policies) as one:
        account = one.north.add("account", name="Nordwind")
        kiel = one.north.add("account", name="Suedwind", city="Kiel")
        one.sync()
        assert one.partner("left", "account", kiel)
        assert one.partner("left", "account", account) is None
        (issue,) = one.issues(CANNOT_TELL)
        assert issue.native_id == account
        one.north.edit("account", account, city="Ulm")
        one.settled()
        assert one.issues() == []
        assert one.partner("left", "account", account) is None
