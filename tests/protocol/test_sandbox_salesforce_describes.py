"""The sandbox's descriptions against those that a real org gave: every flag of every field (salesforce-api §5)."""

from typing import Any

import pytest

from tests.support.material import document, folder
from tests.support.salesforce_org import Bench, bench

OBJECTS = ("Lead", "Account", "Contact", "Opportunity", "OpportunityContactRole")
# What that one org has of its own, and what differs for a reason.
ITS_OWN = {"History__c", "Primary_Contact__c", "RecordTypeId", "ns__Description__c", "ns__LinkedAccount__c"}
DIFFERS = {
    ("Lead", "IsUnreadByOwner", "defaultValue"),  # the sheet: defaulted to true
    ("Account", "Name", "compoundFieldName"),  # of person accounts, which there are none of
}


@pytest.fixture(scope="module")
def org() -> Bench:
    return bench()


@pytest.fixture(params=OBJECTS)
def pair(request: pytest.FixtureRequest, org: Bench) -> tuple[str, dict[str, Any], dict[str, Any]]:
    recorded = document(folder("sf-describe") / f"{request.param}_describe.json.gz")
    while "fields" not in recorded:
        recorded = next(iter(recorded.values())) if isinstance(recorded, dict) else recorded[0]
    return request.param, recorded, org.rest("GET", f"sobjects/{request.param}/describe", version="59.0").body


def test_every_field_is_described_as_a_real_org_does(pair: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    name, recorded, ours = pair
    known = {field["name"]: field for field in ours["fields"]}
    wrong = [
        f"{field['name']}.{key}: {value!r}, not {known[field['name']].get(key)!r}"
        for field in recorded["fields"]
        if field["name"] not in ITS_OWN
        for key, value in field.items()
        if key != "picklistValues" and known.get(field["name"], {}).get(key) != value
        and (name, field["name"], key) not in DIFFERS
    ]  # fmt: skip
    assert wrong == []


def test_every_object_is_described_as_a_real_org_does(pair: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    _, recorded, ours = pair
    flags = {key: value for key, value in recorded.items() if isinstance(value, bool)}
    assert flags == {key: ours.get(key) for key in flags}
