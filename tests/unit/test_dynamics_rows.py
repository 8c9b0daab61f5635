"""Rows, lookups, cursors' marks and stages of Dynamics: the pure parts."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import TablePlan
from connectors.dynamics.lookups import Lookup, Lookups
from connectors.dynamics.moves import stage_steps
from connectors.dynamics.processes import LEAD_PROCESS, Process
from connectors.dynamics.rows import LOOKUP_TYPE, TABLES, Rows, life, with_processes
from connectors.dynamics.stage_order import Stage
from connectors.dynamics.writing import chosen_id
from crmbridge.model import Entity, NativeRef, Row, attribute_name

ONE, TWO, THREE = (f"{number}c0e6e2b-0d5f-ef11-8c0c-000d3a9b1c11" for number in (1, 2, 3))
LOOKUPS = Lookups(
    [
        Lookup(column="ownerid", navigation="ownerid", targets=("systemuser", "team")),
        Lookup(column="parentaccountid", navigation="parentaccountid", targets=("account",)),
        Lookup(column="customerid", navigation="customerid_account", targets=("account",)),
        Lookup(column="customerid", navigation="customerid_contact", targets=("contact",)),
        Lookup(column="leadid", navigation="leadId", targets=("lead",)),
    ]
)


def rows_of(entity: Entity, columns: dict[str, Any]) -> Rows:
    table = TABLES[entity]
    kinds = {**columns, **table.system}
    row_type = msgspec.defstruct(
        entity.title(),
        [(attribute_name(column), kind | None, None) for column, kind in kinds.items()],
        rename={attribute_name(column): column for column in kinds},
    )
    return Rows(TablePlan(entity=entity, table=entity, columns=tuple(columns), row_type=row_type), LOOKUPS, "left")


def page(*rows: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"@odata.context": "…", "value": list(rows), **more}).encode()


def opportunity(**values: Any) -> Row:
    rows = rows_of("opportunity", {"name": str})
    (row,) = rows.page(page({"@odata.etag": 'W/"1"', "opportunityid": ONE, **values}))[0]
    return row


# --- lookups --------------------------------------------------------------------------------------------------------


def test_lookups_are_bound_under_their_navigation_names() -> None:
    body = LOOKUPS.body(
        {
            "name": "X",
            "ownerid": NativeRef("team", ONE),
            "customerid_contact": NativeRef("contact", TWO),
            "customerid_account": None,  # the other target is cleared by setting this one
            "parentaccountid": None,
            "leadId": NativeRef("lead", THREE),
        }
    )
    assert body == {
        "name": "X",
        "ownerid@odata.bind": f"/teams({ONE})",
        "customerid_contact@odata.bind": f"/contacts({TWO})",
        "parentaccountid@odata.bind": None,
        "leadId@odata.bind": f"/leads({THREE})",
    }


@pytest.mark.parametrize("name", ["customerid", "_customerid_value", "customerid_account", "customerid_contact"])
def test_a_target_finds_its_navigation(name: str) -> None:
    assert LOOKUPS.body({name: NativeRef("contact", ONE)}) == {"customerid_contact@odata.bind": f"/contacts({ONE})"}
    assert LOOKUPS.wire(name) == "_customerid_value"
    assert name in LOOKUPS


def test_an_unknown_column_is_left_to_the_server() -> None:
    assert LOOKUPS.body({"new_x": NativeRef("account", ONE), "new_y": None}) == {
        "new_x@odata.bind": f"/accounts({ONE})",
        "new_y": None,
    }


# --- rows -----------------------------------------------------------------------------------------------------------


def test_a_page_is_decoded_into_the_mappings_own_struct() -> None:
    columns = {
        "name": str,
        "estimatedvalue": Decimal,
        "ownerid": str,
        "customerid_account": str,
        "customerid_contact": str,
    }
    rows = rows_of("opportunity", columns)
    assert "customerid_account" not in rows.view.select
    assert rows.view.select.split(",").count("_customerid_value") == 1
    assert rows.view.types
    (row, gone), next_link, delta_link = rows.page(
        page(
            {
                "@odata.etag": 'W/"7"',
                "opportunityid": ONE,
                "name": "Ünï",
                "estimatedvalue": 20000.00,
                "_ownerid_value": TWO,
                f"_customerid_value{LOOKUP_TYPE}": "contact",
                "_customerid_value": THREE,
                "modifiedon": "2026-08-14T16:05:11Z",
                "_transactioncurrencyid_value": "the server adds it",
            },
            {"@odata.context": "…/$deletedEntity", "id": TWO, "reason": "deleted"},
            **{"@odata.nextLink": "n", "@odata.deltaLink": "d"},
        )
    )
    assert (next_link, delta_link) == ("n", "d")
    values = row.values
    assert type(values).__name__ == "Opportunity"
    assert (values.name, values.estimatedvalue, values.ownerid) == ("Ünï", Decimal("20000.0"), TWO)
    assert (values.customerid_account, values.customerid_contact) == (None, THREE)
    assert (row.version, row.modified_at) == ('W/"7"', datetime(2026, 8, 14, 16, 5, 11, tzinfo=UTC))
    assert (gone.deleted, gone.ref.id, gone.values, gone.modified_at) == (True, TWO, None, None)


def test_wire_names_are_decoded_as_they_are() -> None:
    types = f"_parentcustomerid_value{LOOKUP_TYPE}"
    rows = rows_of("contact", {"lastname": str, "_parentcustomerid_value": str, types: str})
    assert rows.view.types
    assert types not in rows.view.select
    (row, gone) = rows.page(
        page(
            {"contactid": ONE, "lastname": "B", types: "account", "_parentcustomerid_value": TWO},
            {"id": TWO, "reason": "deleted"},
        )
    )[0]
    assert getattr(row.values, attribute_name("_parentcustomerid_value")) == TWO
    assert getattr(row.values, attribute_name(types)) == "account"
    assert gone.deleted


def test_a_merges_loser_was_not_disqualified() -> None:
    rows = rows_of("lead", {"subject": str})
    (row,) = rows.page(page({"leadid": ONE, "statecode": 2, "statuscode": 4, "merged": True, "_masterid_value": TWO}))[
        0
    ]
    assert row.merged_into == TWO
    assert (life(row).state, life(row).status) == (None, None)


@pytest.mark.parametrize(("statecode", "state"), [(0, "open"), (1, "converted"), (2, "disqualified")])
def test_a_leads_life(statecode: int, state: str) -> None:
    rows = rows_of("lead", {"subject": str, "parentaccountid": str})
    found = {"leadid": ONE, "statecode": statecode, "statuscode": 9, "_parentaccountid_value": TWO, "merged": False}
    (row,) = rows.page(page({**found, "_qualifyingopportunityid_value": THREE}))[0]
    assert row.values.parentaccountid == TWO  # the system's column and the mapping's share a wire name
    place = life(row)
    assert (place.state, place.status, place.account_id, place.contact_id, place.opportunity_id) == (
        state, 9, TWO, None, THREE,
    )  # fmt: skip


def instance(table: str, stage: str, at: str, status: int = 1) -> dict[str, Any]:
    return {"table": table, "stage_id": stage, "modified_at": at, "status": status}


def test_an_open_opportunity_stands_where_its_newest_active_process_says() -> None:
    row = with_processes(
        opportunity(statecode=0, statuscode=2, salesstage=0),
        {
            "a": instance("opportunitysalesprocess", "older", "2026-01-01T00:00:00Z"),
            "b": instance(LEAD_PROCESS, "develop", "2026-02-01T00:00:00Z"),
            "c": instance("opportunitysalesprocess", "aborted", "2026-03-01T00:00:00Z", status=3),
        },
    )
    place = life(row)
    assert (place.state, place.status, place.process, place.process_born_from_lead, place.on_hold) == (
        "open", "develop", LEAD_PROCESS, True, True,
    )  # fmt: skip


def test_without_a_process_the_plain_column_and_closed_the_reason() -> None:
    plain = life(opportunity(statecode=0, statuscode=1, salesstage=2))
    assert (plain.status, plain.process, plain.on_hold) == (2, None, False)
    lost = life(opportunity(statecode=2, statuscode=5, salesstage=2, isrevenuesystemcalculated=True))
    assert (lost.state, lost.status, lost.process, lost.amount_calculated) == ("lost", 5, None, True)
    contact = life(opportunity(statecode=0, _customerid_value=TWO, **{f"_customerid_value{LOOKUP_TYPE}": "contact"}))
    assert contact.customer_is_contact


def test_a_chosen_id_is_a_function_of_the_partner() -> None:
    assert chosen_id("org", "00Q", 1) == chosen_id("org", "00Q", 1)
    assert len({chosen_id("org", "00Q", 1), chosen_id("org", "00Q", 2), chosen_id("org2", "00Q", 1)}) == 3
    assert chosen_id("00D", "00Q", 1) == "0aa5f886-7db7-52c7-8b54-11f0995a2dbb"  # for ever


# --- stages ---------------------------------------------------------------------------------------------------------

STAGES = tuple(Stage(id=f"s{number}", name=f"S{number}", category=number, table="opportunity") for number in range(6))
PROCESS = Process(table="p", set="ps", tracked=True, stages=STAGES)


@given(st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_stages_are_moved_one_by_one(here: int, goal: int, knows_path: bool) -> None:
    path = ",".join(f"s{number}" for number in range(here + 1)) if knows_path else None
    steps = stage_steps(PROCESS, f"s{here}", path, STAGES[goal])
    assert len(steps) == abs(goal - here)
    position = here
    for step in steps:
        position += 1 if goal > here else -1
        assert step.stage_id == f"s{position}"
        assert step.path == ",".join(f"s{number}" for number in range(position + 1))


def test_a_stage_that_the_process_has_lost() -> None:
    (step,) = stage_steps(PROCESS, "gone", "s0,gone", STAGES[2])
    assert (step.stage_id, step.path) == ("s2", "s0,s1,s2")
