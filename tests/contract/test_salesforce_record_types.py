"""Record types over HTTP: read by developer name, one call more only where there are any, and what each offers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.base import Conversion, TablePlan, Write
from connectors.salesforce.connector import SalesforceConnector
from crmbridge.model import ENTITIES, Converted, Refused, Row, Written
from crmbridge.sandbox.server import Box, running_sandbox
from mapping.rows import row_struct
from tests.support.worlds import SALESFORCE_TABLES, salesforce_config

SHAPE = """\
salesforce:
  extends: salesforce
  lead_statuses:
    - {label: New, default: true}
    - {label: Done, converted: true}
    - {label: Handed Over, converted: true}
  objects:
    Lead:
      recordTypes:
        - {developerName: Standard, default: true, picklists: {Status: [New, Done]}}
        - {developerName: Partner, name: Our partners, picklists: {Status: [New, Handed Over]}}
        - {developerName: Import, picklists: {Status: [New]}}
"""
COLUMNS = {"account": ("Name",), "contact": ("LastName",), "opportunity": ("Name",)}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    seed: Path = tmp_path_factory.mktemp("types") / "company.yaml"
    seed.write_text(SHAPE, encoding="utf-8")
    with running_sandbox(seed) as made:
        yield made


def connected(box: Box, *columns: str) -> SalesforceConnector:
    crm = SalesforceConnector(salesforce_config(box, key_field=None), "left")
    plans: list[TablePlan] = []
    for entity in ENTITIES:
        mapped = dict.fromkeys(("LastName", "Company", *columns) if entity == "lead" else COLUMNS[entity], str)
        row_type = row_struct(entity.title(), {**crm.system_columns(entity), **mapped})
        plans.append(
            TablePlan(entity=entity, table=SALESFORCE_TABLES[entity], columns=tuple(mapped), row_type=row_type)
        )
    crm.configure(plans)
    return crm


@pytest.fixture
def crm(box: Box) -> Iterator[SalesforceConnector]:
    made = connected(box, "RecordTypeId")
    yield made
    made.close()


def lead(crm: SalesforceConnector, kind: str) -> Row:
    types = {one.name: one.id for one in crm.describe("lead").record_types}
    columns = {"LastName": "Moss", "Company": "Moss AG", "RecordTypeId": types[kind]}
    [outcome] = crm.write([Write(kind="create", entity="lead", columns=columns)])
    assert isinstance(outcome, Written), outcome
    return crm.fetch("lead", [outcome.id])[outcome.id]


def test_a_description_names_them_and_what_they_offer(crm: SalesforceConnector) -> None:
    found = {one.name: one for one in crm.describe("lead").record_types}
    assert set(found) == {"Standard", "Partner", "Import"}
    assert found["Partner"].label == "Our partners"
    assert found["Partner"].offers == {"Status": ("New", "Handed Over")}
    assert crm.describe("account").record_types == ()
    assert crm.calls["Lead", "describe"] == 2  # itself and its layouts
    assert crm.calls["Account", "describe"] == 1


def test_a_row_tells_its_type_also_before_anything_was_described(box: Box, crm: SalesforceConnector) -> None:
    row = lead(crm, "Partner")
    assert crm.life(row).record_type == "Partner"
    fresh = connected(box, "RecordTypeId")
    assert fresh.life(row).record_type == "Partner"
    assert fresh.life(row).record_type == "Partner"
    assert fresh.calls["Lead", "describe"] == 2
    fresh.close()


def test_a_row_does_not_tell_it_where_nobody_asks(box: Box, crm: SalesforceConnector) -> None:
    id = lead(crm, "Partner").ref.id
    plain = connected(box)
    assert plain.life(plain.fetch("lead", [id])[id]).record_type is None
    assert plain.calls["Lead", "describe"] == 0
    plain.close()


@pytest.mark.parametrize(("kind", "status"), [("Standard", "Done"), ("Partner", "Handed Over")])
def test_a_conversion_without_a_status_gets_the_one_of_the_type(
    crm: SalesforceConnector, kind: str, status: str
) -> None:
    row = lead(crm, kind)
    assert isinstance(crm.convert(Conversion(lead_id=row.ref.id, record_type=kind)), Converted)
    assert crm.life(crm.fetch("lead", [row.ref.id])[row.ref.id]).status == status


def test_a_type_without_a_converted_status_is_the_admins(crm: SalesforceConnector) -> None:
    row = lead(crm, "Import")
    outcome = crm.convert(Conversion(lead_id=row.ref.id, record_type="Import"))
    assert isinstance(outcome, Refused)  # of this lead alone: the others go on
    assert "Import" in outcome.message
