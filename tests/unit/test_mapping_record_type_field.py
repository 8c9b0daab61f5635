"""A field that shows a record's type, for segments and other expressions to ask."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

import mapping
from connectors.base import Column, Description, RecordType
from crmbridge import settings
from crmbridge.model import Directory, Life, Ref, Row, Shared, attribute_name
from crmbridge.segments import policies
from mapping.translate import CompiledEntity

LEAD = """\
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
match: [[last_name]]
fields:
  last_name: {salesforce: LastName, dynamics: lastname, required: true}
  kind: {salesforce: RecordTypeId, convert: record_type}
status:
  new: {state: open, salesforce: New, dynamics: New}
  gone: {state: disqualified, salesforce: Gone, dynamics: Lost}
  done: {state: converted, salesforce: Done, dynamics: Qualified}
"""
ENTERPRISE = "012000000000001AAA"
TYPES = (RecordType(id=ENTERPRISE, name="Enterprise", label="Large customers"),)
DESCRIPTION = Description(
    entity="lead",
    table="Lead",
    columns={
        "LastName": Column(name="LastName", type="text"),
        "RecordTypeId": Column(name="RecordTypeId", type="lookup", targets=("RecordType",)),
    },
    record_types=TYPES,
)


def compiled(descriptions: Sequence[Description] = (DESCRIPTION,)) -> CompiledEntity:
    loaded, findings = mapping.load({"lead.yaml": LEAD})
    assert not findings, findings
    return mapping.compile(loaded, descriptions={("left", one.entity): one for one in descriptions}).entities["lead"]


def shown(lead: CompiledEntity, type_id: str | None) -> object:
    row_type = mapping.row_struct("Lead", dict(lead.columns("left")))
    values = row_type(**{attribute_name("LastName"): "Boxer", attribute_name("RecordTypeId"): type_id})
    row = Row(
        ref=Ref(side="left", entity="lead", id="1"), version="1", created_at=datetime(2026, 1, 1, tzinfo=UTC),
        modified_at=None, values=values,
    )  # fmt: skip
    facts = mapping.Facts(directory={"left": Directory(), "right": Directory()})
    return lead.get("left", row, Life(status="New"), facts).fields["kind"]


def test_it_is_the_developer_name() -> None:
    assert shown(compiled(), ENTERPRISE) == "Enterprise"
    assert shown(compiled(), None) is None


def test_a_type_that_the_description_does_not_tell_is_its_id() -> None:
    assert shown(compiled(), "012000000000009AAA") == "012000000000009AAA"
    assert shown(compiled(()), ENTERPRISE) == ENTERPRISE


def test_it_never_crosses() -> None:
    [rule] = [rule for rule in compiled().rules if rule.name == "kind"]
    assert rule.sides == {"left"}


def test_the_column_is_taken_for_what_it_is() -> None:
    documents, _ = mapping.load({"lead.yaml": LEAD})
    found = mapping.check(documents, {("left", "lead"): DESCRIPTION})
    assert [one for one in found if "fields.kind" in str(one)] == []


@pytest.mark.parametrize(
    "line",
    [
        "kind: {salesforce: RecordTypeId, dynamics: new_type, convert: record_type}",
        "kind: {salesforce: Type__c, convert: record_type}",
        "kind: {dynamics: new_type, convert: record_type}",
    ],
)
def test_it_stands_on_salesforces_side_alone(line: str) -> None:
    text = LEAD.replace("kind: {salesforce: RecordTypeId, convert: record_type}", line)
    documents, _ = mapping.load({"lead.yaml": text})
    assert "record-type-misplaced" in {one.code for one in mapping.check(documents)}


SEGMENT = """\
connections:
  salesforce: {system: salesforce, url: https://a.my.salesforce.com,
    auth: {flow: access_token, access_token: "${env:T}"}}
  dynamics: {system: dynamics, url: https://a.crm.dynamics.com, auth: {flow: client_secret, tenant_id: t, client_id: c,
    client_secret: "${env:T}"}}
segments:
  large:
    entities: [lead]
    when: 'kind == "Enterprise"'
    master: {first: salesforce, cut_over: 2026-12-01, then: dynamics}
"""


def test_a_segment_may_be_cut_over_by_record_type(tmp_path: Path) -> None:
    (tmp_path / "crmbridge.yaml").write_text(SEGMENT)
    documents, _ = mapping.load({"lead.yaml": LEAD})
    found = policies(settings.load(tmp_path / "crmbridge.yaml", {"T": "x"}), mapping.compile(documents))

    def master(kind: str | None, day: datetime) -> str | None:
        lead = Shared(fields={"last_name": "Boxer", "kind": kind}, state="open", status="new")
        return found.of("lead", lead, now=day).master

    before, after = datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert (master("Enterprise", before), master("Enterprise", after)) == ("left", "right")
    assert master("Small", before) is None
    assert master(None, before) is None
