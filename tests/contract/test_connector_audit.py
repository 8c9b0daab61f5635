"""What both CRMs tell by id and version, and what a Salesforce org without a key field tells of a lost create."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from connectors.base import Auditor, Witness, Write
from connectors.rollcall import Absent, RollCaller
from connectors.salesforce.connector import SalesforceConnector
from crmbridge.model import Unknown, Written
from crmbridge.sandbox.server import Box
from tests.support.worlds import SALESFORCE, SALESFORCE_TABLES, configured, salesforce_config, sandbox, world

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
AT_ONCE = timedelta(0)


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with sandbox() as made:
        yield made


@pytest.fixture
def keyless(box: Box) -> Iterator[SalesforceConnector]:
    crm = SalesforceConnector(salesforce_config(box, key_field=None), "left")
    configured(crm, SALESFORCE, SALESFORCE_TABLES)
    yield crm
    box.control.clear_faults()
    crm.close()


@pytest.mark.parametrize("name", ["salesforce", "dynamics"])
def test_what_changed_is_told_by_id_and_version_in_one_call(box: Box, name: str) -> None:
    with world(name, box) as made:
        crm = made.connector
        assert isinstance(crm, Auditor)
        kept, gone = (made.person.create("account", name=f"{name} {each}") for each in ("kept", "gone"))
        made.person.delete("account", gone)
        made.settle()
        crm.fetch("account", [kept])  # signed in: counts begin here
        before = sum(crm.calls.values())
        known = {one.id: one for page in crm.known_since("account", LONG_AGO, AT_ONCE) for one in page}
        assert sum(crm.calls.values()) - before == 1
        assert known[kept].version == crm.fetch("account", [kept])[kept].version
        assert not known[kept].deleted
        if name == "salesforce":  # there change tracking alone tells deletions
            assert known[gone].deleted


def test_who_is_missing_is_told_and_why_it_must_be_gone(box: Box) -> None:
    with world("dynamics", box) as made:
        crm = made.connector
        assert isinstance(crm, RollCaller)
        kept, gone = (made.person.create("account", name=f"roll {each}") for each in ("kept", "gone"))
        made.person.delete("account", gone)
        many = [kept, gone.upper(), *(str(uuid4()) for _ in range(250))]
        before = sum(crm.calls.values())
        found = crm.absent("account", many)
        assert found.ids == found.gone == frozenset(many) - {kept}, "as they were given, in whatever letters"
        assert "every account" in found.proof
        assert sum(crm.calls.values()) - before <= 3, "the rows in one call; who we are, and what we may"
        assert crm.absent("account", [kept]) == Absent(ids=frozenset())
        before = sum(crm.calls.values())
        assert crm.absent("account", [kept, gone]).gone == {gone}
        assert sum(crm.calls.values()) - before <= 3, "the list; the right and the single read; who we are"


@pytest.mark.parametrize("name", ["salesforce", "dynamics"])
def test_what_is_young_is_left_to_the_cursors(box: Box, name: str) -> None:
    with world(name, box) as made:
        assert isinstance(made.connector, Auditor)
        young = made.person.create("account", name=f"{name} young")
        pages = made.connector.known_since("account", LONG_AGO, timedelta(minutes=15))
        assert young not in {one.id for page in pages for one in page}


def test_a_natural_key_is_compared_without_case(box: Box, keyless: SalesforceConnector) -> None:
    assert isinstance(keyless, Witness)
    with world("salesforce", box) as made:
        lead = made.person.create("lead", last_name="O'Hara", company="Tara", email="scarlett@tara.example")
    wanted = [{"LastName": "o'hara", "Email": "SCARLETT@tara.example"}, {"LastName": "Butler", "Company": "Tara"}]
    found, at = keyless.alike("lead", wanted)
    assert [[row.ref.id for row in rows] for rows in found] == [[lead], []]
    assert at is not None


def test_a_create_whose_answer_was_lost_is_among_what_our_user_made(box: Box, keyless: SalesforceConnector) -> None:
    us = keyless.identity().user_id
    _, at = keyless.alike("lead", [{"LastName": "Lost"}])
    assert at is not None
    since = at - timedelta(seconds=5)
    write = Write(kind="create", entity="lead", columns={"LastName": "Lost", "Company": "Lost Ltd"})
    box.control.add_fault(crm="salesforce", kind="collections_create", action="drop_after_commit")
    assert isinstance(keyless.write([write])[0], Unknown)
    made = [row for row in keyless.made_since("lead", us, since) if row.values.LastName == "Lost"]
    assert len(made) == 1
    (twin,) = keyless.write([write])  # nothing keeps a repeat from doubling: that is why it is looked for first
    assert isinstance(twin, Written)
    assert twin.id != made[0].ref.id
