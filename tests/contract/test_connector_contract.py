"""What the engine relies on, asked of every connector alike: the one in memory, and both CRMs over the sandbox."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from connectors.base import Conversion, Move, Page, Write
from crmbridge.model import (
    ENTITIES,
    Converted,
    Entity,
    NativeRef,
    Refused,
    Row,
    Stale,
    Written,
)
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


def pages(crm: World, source: str, cursor: str | None) -> list[Page]:
    found = list(crm.connector.changes(source, cursor))
    assert found
    assert [page.last for page in found] == [False] * (len(found) - 1) + [True]
    return found


def read(crm: World, source: str, cursor: str | None = None) -> tuple[dict[str, Row], str]:
    found = pages(crm, source, cursor)
    return {row.ref.id: row for page in found for row in page.rows}, found[-1].cursor


def up_to_now(crm: World, source: str) -> str:
    crm.settle()
    return read(crm, source)[1]


def write(crm: World, **words: Any) -> Any:
    return crm.connector.write([Write(**words)])[0]


def create(crm: World, entity: Entity, **fields: Any) -> Written:
    key = str(uuid.uuid4())
    chosen = crm.connector.chosen_id("an-org", key, 1)
    columns = crm.native(entity, **fields) | _needed(crm, entity)
    outcome = write(crm, kind="create", entity=entity, id=chosen, key=key, columns=columns)
    assert isinstance(outcome, Written), outcome
    return outcome


def _needed(crm: World, entity: Entity) -> dict[str, Any]:
    if crm.connector.system == "salesforce" and entity == "opportunity":
        return {"StageName": crm.statuses["open"], "CloseDate": "2026-12-31"}
    return {}


def person_lead(crm: World, **fields: Any) -> str:
    return crm.person.create("lead", last_name=unique("Lead"), company=unique("Company"), **fields)


def row_of(crm: World, entity: Entity, record_id: str) -> Row:
    return crm.connector.fetch(entity, [record_id])[record_id]


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_change_is_shown_once_and_with_a_new_version(crm: World, entity: Entity) -> None:
    field = "name" if entity in ("account", "opportunity") else "last_name"
    record_id = crm.person.create(entity, **{field: unique("First")})
    crm.settle()
    shown, cursor = read(crm, entity)
    first = shown[record_id]
    assert first.ref.entity == entity
    assert not first.deleted
    assert first.created_at is not None
    assert first.created_at.tzinfo is not None
    crm.settle()
    again, cursor = read(crm, entity, cursor)
    assert all(again[each].version == shown[each].version for each in again)  # an overlap shows nothing new
    text = unique("Second")
    crm.person.edit(entity, record_id, **{field: text})
    crm.settle()
    after, cursor = read(crm, entity, cursor)
    assert crm.value(after[record_id], field) == text
    assert after[record_id].version != first.version
    crm.settle()
    assert all(
        row.version == after[record_id].version
        for row in read(crm, entity, cursor)[0].values()
        if row.ref.id == record_id
    )


def test_the_cursor_of_any_page_is_right(crm: World) -> None:
    for _ in range(7):
        crm.person.create("account", name=unique("Page"))
    crm.settle()
    found = pages(crm, "account", None)
    for n, page in enumerate(found[:-1]):
        rest = {row.ref.id for later in found[n + 1 :] for row in later.rows}
        assert rest <= set(read(crm, "account", page.cursor)[0])


def test_a_deletion_is_told_and_the_row_is_not_found_any_more(crm: World) -> None:
    record_id = crm.person.create("contact", last_name=unique("Gone"))
    cursor = up_to_now(crm, "contact")
    crm.person.delete("contact", record_id)
    crm.settle()
    row = read(crm, "contact", cursor)[0][record_id]
    assert (row.deleted, row.values, row.merged_into) == (True, None, None)
    assert crm.connector.fetch("contact", [record_id]) == {}


def test_fetch_answers_what_is_there_and_leaves_out_the_rest(crm: World) -> None:
    record_id = crm.person.create("account", name=unique("There"))
    missing = {"memory": "none", "salesforce": "001000000000001AAA"}.get(crm.connector.system, str(uuid.uuid4()))
    assert set(crm.connector.fetch("account", [record_id, missing])) == {record_id}
    assert crm.connector.fetch("account", []) == {}


def test_rows_of_several_entities_are_those_of_each_alone(crm: World) -> None:
    account = crm.person.create("account", name=unique("Many"))
    contact = crm.person.create("contact", last_name=unique("Many"), account=account)
    deal = crm.person.create("opportunity", name=unique("Many"), account=account)
    wanted: dict[Entity, list[str]] = {"account": [account], "contact": [contact], "opportunity": [deal], "lead": []}
    found = crm.connector.fetch_many(wanted)
    for entity, ids in wanted.items():
        assert found.get(entity, {}) == crm.connector.fetch(entity, ids)
    assert set(found["opportunity"]) == {deal}


def test_a_row_read_back_equals_the_row_that_is_polled(crm: World) -> None:
    account = create(crm, "account", name=unique("Equal"), phone="555 0100")
    crm.settle()
    polled = read(crm, "account")[0][account.id]
    fetched = row_of(crm, "account", account.id)
    assert polled.version == fetched.version
    assert polled.values == fetched.values
    assert account.row is None or replace(account.row, extras={}) == replace(fetched, extras={})


# --- writing ------------------------------------------------------------------------------------------------------


def test_creates_and_updates_answer_by_position_and_one_refusal_stays_alone(crm: World) -> None:
    contact = create(crm, "contact", last_name=unique("Old"))
    keys = [str(uuid.uuid4()) for _ in range(3)]
    names = [unique("New"), None, unique("New")]
    creates = [
        Write(
            kind="create",
            entity="contact",
            id=crm.connector.chosen_id("an-org", key, 1),
            key=key,
            columns=crm.native("contact", last_name=name, email="a@example.com"),
        )
        for key, name in zip(keys, names, strict=True)
    ]
    if crm.connector.system == "dynamics":  # no column of a contact is required by its API
        creates[1] = replace(creates[1], columns={"lastname": "x" * 5000})
    update = Write(kind="update", entity="contact", id=contact.id, columns=crm.native("contact", email="b@example.com"))
    first, refused, third, updated = crm.connector.write([*creates, update])
    assert isinstance(first, Written)
    assert isinstance(refused, Refused)
    assert refused.code
    assert isinstance(third, Written)
    assert isinstance(updated, Written)
    assert updated.id == contact.id
    rows = crm.connector.fetch("contact", [first.id, third.id, contact.id])
    assert [crm.value(rows[first.id], "last_name"), crm.value(rows[third.id], "last_name")] == [names[0], names[2]]
    assert crm.value(rows[contact.id], "email") == "b@example.com"


def test_a_create_that_is_repeated_finds_the_first_ones_row(crm: World) -> None:
    key = str(uuid.uuid4())
    order = Write(
        kind="create",
        entity="account",
        id=crm.connector.chosen_id("an-org", key, 1),
        key=key,
        columns=crm.native("account", name=unique("Once")),
    )
    first, second = crm.connector.write([order])[0], crm.connector.write([order])[0]
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert (second.id, second.adopted, first.adopted) == (first.id, True, False)


def test_an_update_under_an_old_version_is_stale_and_writes_nothing(crm: World) -> None:
    account = create(crm, "account", name=unique("Version"), phone="1")
    version = row_of(crm, "account", account.id).version
    crm.settle()
    crm.person.edit("account", account.id, phone="2")
    columns = crm.native("account", phone="3")
    outcome = write(crm, kind="update", entity="account", id=account.id, version=version, columns=columns)
    assert isinstance(outcome, Stale)
    now = row_of(crm, "account", account.id)
    assert crm.value(now, "phone") == "2"
    outcome = write(crm, kind="update", entity="account", id=account.id, version=now.version, columns=columns)
    assert isinstance(outcome, Written)
    assert crm.value(row_of(crm, "account", account.id), "phone") == "3"


def test_none_clears_and_no_columns_are_no_write(crm: World) -> None:
    account = create(crm, "account", name=unique("Clear"), phone="1")
    assert isinstance(
        write(crm, kind="update", entity="account", id=account.id, columns=crm.native("account", phone=None)), Written
    )
    before = row_of(crm, "account", account.id)
    assert crm.value(before, "phone") is None
    assert isinstance(write(crm, kind="update", entity="account", id=account.id, columns={}), Written)
    assert row_of(crm, "account", account.id).version == before.version


def test_an_update_of_what_is_not_there_is_refused(crm: World) -> None:
    account = create(crm, "account", name=unique("Doomed"))
    crm.person.delete("account", account.id)
    outcome = write(
        crm, kind="update", entity="account", id=account.id, columns=crm.native("account", name=unique("Zombie"))
    )
    assert isinstance(outcome, Refused | Stale)
    assert crm.connector.fetch("account", [account.id]) == {}


def test_lookups_and_money_come_back_as_written(crm: World) -> None:
    account = create(crm, "account", name=unique("Parent"))
    parent = NativeRef("account", account.id)
    contact = create(crm, "contact", last_name=unique("Child"), account=parent)
    other = create(crm, "contact", last_name=unique("Other"), account=parent)
    assert crm.value(row_of(crm, "contact", contact.id), "account") == account.id
    opportunity = create(
        crm,
        "opportunity",
        name=unique("Deal"),
        amount=Decimal("1234567.89"),
        account=parent,
        contact=NativeRef("contact", contact.id),
    )
    row = row_of(crm, "opportunity", opportunity.id)
    assert crm.value(row, "amount") == Decimal("1234567.89")
    assert crm.value(row, "account") == account.id
    assert crm.value(row, "contact") == contact.id
    columns = crm.native("opportunity", contact=NativeRef("contact", other.id))
    outcome = write(crm, kind="update", entity="opportunity", id=opportunity.id, version=row.version, columns=columns)
    assert isinstance(outcome, Written)
    assert outcome.row is None or crm.value(outcome.row, "contact") == other.id
    assert crm.value(row_of(crm, "opportunity", opportunity.id), "contact") == other.id


# --- lives --------------------------------------------------------------------------------------------------------


def test_an_opportunity_is_won_reopened_and_lost(crm: World) -> None:
    deal = create(crm, "opportunity", name=unique("Deal"), amount=Decimal(100))

    def step(kind: Any, status: str, **words: Any) -> Row:
        row = row_of(crm, "opportunity", deal.id)
        order = Move(
            kind=kind,
            entity="opportunity",
            id=deal.id,
            version=row.version,
            status=crm.statuses[status],
            extras=row.extras,
            **words,
        )
        outcome = crm.connector.moves([order])[0]
        assert isinstance(outcome, Written), outcome
        return row_of(crm, "opportunity", deal.id)

    assert crm.connector.life(row_of(crm, "opportunity", deal.id)).state == "open"
    assert crm.connector.life(step("win", "won", actual_value=Decimal(100))).state == "won"
    assert crm.connector.life(step("reopen", "open")).state == "open"
    assert crm.connector.life(step("lose", "lost")).state == "lost"


def test_a_leads_status_moves(crm: World) -> None:
    lead_id = person_lead(crm)
    row = row_of(crm, "lead", lead_id)
    order = Move(kind="status", entity="lead", id=lead_id, version=row.version, status=crm.statuses["contacted"])
    assert isinstance(crm.connector.moves([order])[0], Written)
    assert crm.connector.life(row_of(crm, "lead", lead_id)).status == crm.statuses["contacted"]


def test_many_moves_at_once_each_by_itself(crm: World) -> None:
    deals = [create(crm, "opportunity", name=unique("Deal"), amount=Decimal(10)) for _ in range(3)]
    stale = row_of(crm, "opportunity", deals[1].id)
    crm.settle()
    crm.person.edit("opportunity", deals[1].id, name=unique("Renamed"))
    orders = [
        Move(
            kind="win" if number else "lose",
            entity="opportunity",
            id=deal.id,
            version=stale.version if number == 1 else row_of(crm, "opportunity", deal.id).version,
            status=crm.statuses["won" if number else "lost"],
        )
        for number, deal in enumerate(deals)
    ]
    outcomes = crm.connector.moves(orders)
    assert [type(each) for each in outcomes] == [Written, Stale, Written]
    states = [crm.connector.life(row_of(crm, "opportunity", deal.id)).state for deal in deals]
    assert states == ["lost", "open", "won"]


def convert(crm: World, lead_id: str, **words: Any) -> Converted:
    row = row_of(crm, "lead", lead_id)
    outcome = crm.connector.convert(Conversion(lead_id=lead_id, lead_version=row.version, **words))
    assert isinstance(outcome, Converted), outcome
    return outcome


def test_a_conversion_makes_what_is_new_and_says_what_it_made(crm: World) -> None:
    lead_id = person_lead(crm)
    assert crm.connector.converted(lead_id) is None
    assert crm.connector.left_behind(lead_id) is None
    made = convert(crm, lead_id)
    assert not made.adopted
    assert crm.connector.left_behind(lead_id) is None, "it is converted: nothing was undone"
    assert made.lead_id == lead_id
    assert made.account_id
    assert made.contact_id
    assert made.opportunity_id
    assert crm.connector.converted(lead_id) == replace(made, adopted=True)
    life = crm.connector.life(row_of(crm, "lead", lead_id))
    assert (life.state, life.account_id, life.contact_id, life.opportunity_id) == (
        "converted",
        made.account_id,
        made.contact_id,
        made.opportunity_id,
    )
    contact = row_of(crm, "contact", made.contact_id)
    assert crm.value(contact, "account") == made.account_id
    deal = row_of(crm, "opportunity", made.opportunity_id)
    assert (crm.value(deal, "account"), crm.value(deal, "contact")) == (made.account_id, made.contact_id)
    for entity, record_id in (
        ("account", made.account_id),
        ("contact", made.contact_id),
        ("opportunity", made.opportunity_id),
    ):
        assert crm.connector.born_of(entity, [record_id]) == {record_id: lead_id}


def test_converting_again_adopts_what_was_made(crm: World) -> None:
    lead_id = person_lead(crm)
    made = convert(crm, lead_id)
    assert crm.connector.convert(Conversion(lead_id=lead_id)) == replace(made, adopted=True)


def test_a_conversion_takes_what_exists_and_makes_no_opportunity_unless_wanted(crm: World) -> None:
    account = create(crm, "account", name=unique("Existing"))
    contact = create(crm, "contact", last_name=unique("Existing"), account=NativeRef("account", account.id))
    made = convert(
        crm,
        person_lead(crm),
        account_id=account.id,
        contact_id=contact.id,
        create_account=False,
        create_contact=False,
        create_opportunity=False,
    )
    assert (made.account_id, made.contact_id, made.opportunity_id) == (account.id, contact.id, None)
    assert crm.value(row_of(crm, "account", account.id), "name").startswith("Existing")
    made = convert(crm, person_lead(crm), account_id=account.id, create_account=False)
    assert made.account_id == account.id
    assert made.contact_id != contact.id


def test_a_refused_conversion_leaves_nothing_behind(crm: World) -> None:
    lead_id = person_lead(crm)
    crm.settle()
    before = {entity: read(crm, entity)[0] for entity in ENTITIES}
    nobody = {"memory": "none", "salesforce": "001000000000001AAA"}.get(crm.connector.system, str(uuid.uuid4()))
    outcome = crm.connector.convert(Conversion(lead_id=lead_id, account_id=nobody, create_account=False))
    assert isinstance(outcome, Refused), outcome
    assert outcome.code
    crm.settle()
    assert crm.connector.converted(lead_id) is None
    for entity in ENTITIES:
        after = read(crm, entity)[0]
        assert {each: row.version for each, row in after.items()} == {
            each: row.version for each, row in before[entity].items()
        }


def test_a_stale_conversion_converts_nothing(crm: World) -> None:
    lead_id = person_lead(crm, email="one@example.com")
    version = row_of(crm, "lead", lead_id).version
    crm.settle()
    crm.person.edit("lead", lead_id, email="two@example.com")
    outcome = crm.connector.convert(Conversion(lead_id=lead_id, lead_version=version))
    assert isinstance(outcome, Stale), outcome
    assert crm.connector.converted(lead_id) is None


# --- the system itself --------------------------------------------------------------------------------------------


def test_the_system_describes_itself(crm: World) -> None:
    identity = crm.connector.identity()
    assert identity.org_id
    directory = crm.connector.directory()
    assert identity.user_id in directory.users
    assert len(directory.currency) == 3
    assert all(directory.users[user] == email for email, user in directory.user_ids.items())
    for entity in ENTITIES:
        told = crm.connector.describe(entity)
        assert set(crm.columns[entity].values()) <= set(told.columns)
    states = {option.state for option in crm.connector.describe("opportunity").statuses}
    assert {"open", "won", "lost"} <= states
    assert "converted" in {option.state for option in crm.connector.describe("lead").statuses}


def test_calls_are_counted_by_table_and_kind(crm: World) -> None:
    before = sum(crm.connector.calls.values())
    crm.connector.fetch("account", [crm.person.create("account", name=unique("Counted"))])
    assert sum(crm.connector.calls.values()) == before + 1
