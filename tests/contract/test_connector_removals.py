"""Deleting, merging and deactivating a record, asked of every connector alike."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors.base import Conversion, Removal
from crmbridge.model import Converted, Entity, Refused, Row, Stale, Written
from crmbridge.sandbox.server import Box
from tests.support.worlds import WORLDS, World, sandbox, world


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with sandbox() as made:
        yield made


@pytest.fixture(scope="module", params=WORLDS)
def crm(request: pytest.FixtureRequest) -> Iterator[World]:
    name: str = request.param
    with world(name, None if name == "memory" else request.getfixturevalue("box")) as made:
        yield made


def unique(word: str) -> str:
    return f"{word} {uuid.uuid4().hex[:8]}"


def row_of(crm: World, entity: Entity, record_id: str) -> Row:
    return crm.connector.fetch(entity, [record_id])[record_id]


def made(crm: World, entity: Entity, **fields: str) -> Row:
    field = "name" if entity in ("account", "opportunity") else "last_name"
    return row_of(crm, entity, crm.person.create(entity, **{field: unique("Removed"), **fields}))


def delete(row: Row) -> Removal:
    return Removal(kind="delete", entity=row.ref.entity, id=row.ref.id, version=row.version)


@pytest.mark.parametrize("entity", ["account", "contact", "lead", "opportunity"])
def test_a_record_is_deleted_once(crm: World, entity: Entity) -> None:
    row = made(crm, entity)
    order = delete(row)
    assert crm.connector.remove(order) == Written(id=row.ref.id)
    assert crm.connector.fetch(entity, [row.ref.id]) == {}
    assert crm.connector.remove(order) == Written(id=row.ref.id, adopted=True)


def test_what_somebody_changed_since_is_not_deleted(crm: World) -> None:
    row = made(crm, "account")
    crm.settle()
    crm.person.edit("account", row.ref.id, phone="2")
    assert isinstance(crm.connector.remove(delete(row)), Stale)
    assert crm.value(row_of(crm, "account", row.ref.id), "phone") == "2"


def test_what_is_no_id_is_refused(crm: World) -> None:
    if crm.connector.system == "memory":
        pytest.skip("any text may be an id there")
    assert isinstance(crm.connector.remove(Removal(kind="delete", entity="lead", id="x') or 1")), Refused)


def merge(loser: Row, winner: Row) -> Removal:
    return Removal(kind="merge", entity=loser.ref.entity, id=loser.ref.id, version=loser.version, into=winner.ref.id)


@pytest.mark.parametrize("entity", ["account", "contact", "lead"])
def test_two_records_are_merged_once_and_the_winner_keeps_its_values(crm: World, entity: Entity) -> None:
    field = "name" if entity == "account" else "last_name"
    loser, winner = made(crm, entity), made(crm, entity)
    order = merge(loser, winner)
    assert crm.connector.remove(order) == Written(id=loser.ref.id)
    left = crm.connector.fetch(entity, [loser.ref.id]).get(loser.ref.id)
    assert left is None or left.merged_into == winner.ref.id
    assert crm.value(row_of(crm, entity, winner.ref.id), field) == crm.value(winner, field)
    assert crm.connector.remove(order) == Written(id=loser.ref.id, adopted=True)


def test_what_hung_on_the_loser_hangs_on_the_winner(crm: World) -> None:
    loser, winner = made(crm, "account"), made(crm, "account")
    contact = made(crm, "contact", account=loser.ref.id)
    assert isinstance(crm.connector.remove(merge(loser, winner)), Written)
    assert winner.ref.id in str(crm.value(row_of(crm, "contact", contact.ref.id), "account"))


def test_a_merge_that_cannot_be_leaves_both_alone(crm: World) -> None:
    loser, winner = made(crm, "account"), made(crm, "account")
    crm.settle()
    crm.person.edit("account", loser.ref.id, phone="3")
    assert isinstance(crm.connector.remove(merge(loser, winner)), Stale)
    crm.person.delete("account", winner.ref.id)
    loser = row_of(crm, "account", loser.ref.id)
    assert isinstance(crm.connector.remove(merge(loser, winner)), Refused)
    assert crm.value(row_of(crm, "account", loser.ref.id), "phone") == "3"


def test_a_converted_lead_is_never_the_master(crm: World) -> None:
    if crm.connector.system == "dynamics":
        pytest.skip("nothing is known of such a rule there")
    loser, winner = made(crm, "lead"), made(crm, "lead", company="Kettle Works")
    outcome = crm.connector.convert(Conversion(lead_id=winner.ref.id, create_opportunity=False))
    assert isinstance(outcome, Converted)
    assert isinstance(crm.connector.remove(merge(loser, winner)), Refused)
    assert row_of(crm, "lead", loser.ref.id).version == loser.version


def test_an_account_is_deactivated_where_there_is_such_a_thing(crm: World) -> None:
    row = made(crm, "account")
    order = Removal(kind="deactivate", entity="account", id=row.ref.id, version=row.version)
    if crm.connector.system == "salesforce":
        assert isinstance(crm.connector.remove(order), Refused)
        return
    assert isinstance(crm.connector.remove(order), Written)
    assert row_of(crm, "account", row.ref.id).version != row.version
    assert isinstance(crm.connector.remove(order), Stale)
    again = replace(order, version=row_of(crm, "account", row.ref.id).version)
    assert isinstance(crm.connector.remove(again), Written)
