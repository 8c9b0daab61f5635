"""A custom field that is added through the Tooling API, as `crmbridge setup --apply` does it."""

from typing import Any

import pytest

from tests.support.salesforce_org import Bench, bench

NAME = "Bridge_Key__c"


@pytest.fixture
def org() -> Bench:
    return bench()


def field(table: str = "Lead", **changes: Any) -> dict[str, Any]:
    metadata = {
        "type": "Text",
        "label": "Key",
        "length": 36,
        "externalId": True,
        "unique": True,
        "caseSensitive": False,
    }
    return {"FullName": f"{table}.{NAME}", "Metadata": {**metadata, **changes}}


def add(org: Bench, **changes: Any) -> Any:
    return org.rest("POST", "tooling/sobjects/CustomField", field(**changes))


def test_an_added_field_is_described_kept_unique_and_found_by(org: Bench) -> None:
    old = org.create("Lead", LastName="Old", Company="Old Ltd")
    answered = add(org)
    assert (answered.status, answered.body["success"], answered.body["id"][:3]) == (201, True, "00N")
    described = org.rest("GET", "sobjects/Lead/describe").body["fields"]
    (one,) = [each for each in described if each["name"] == NAME]
    assert (one["type"], one["length"], one["externalId"], one["unique"], one["custom"]) == (
        "string",
        36,
        True,
        True,
        True,
    )
    assert org.one(f"SELECT {NAME} FROM Lead WHERE Id = '{old}'")[NAME] is None
    made = org.create("Lead", LastName="New", Company="New Ltd", **{NAME: "abc"})
    twin = org.rest("POST", "sobjects/Lead", {"LastName": "Twin", "Company": "Twin Ltd", NAME: "ABC"})
    assert (twin.status, twin.codes) == (400, ["DUPLICATE_VALUE"])
    assert org.rest("GET", f"sobjects/Lead/{NAME}/abc").body["Id"] == made


def test_a_field_is_added_once_and_to_this_org_alone(org: Bench) -> None:
    assert add(org).status == 201
    again = add(org)
    assert (again.status, again.codes) == (400, ["DUPLICATE_DEVELOPER_NAME"])
    assert add(bench()).status == 201
    org.app.reset()
    other = bench()
    assert NAME not in {each["name"] for each in other.rest("GET", "sobjects/Lead/describe").body["fields"]}


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"type": "Number"}, 501), ({"length": 300}, 400), ({"required": True}, 501), ({"table": "Nothing"}, 400)],
)
def test_what_is_not_plain_text_is_refused(org: Bench, changes: dict[str, Any], status: int) -> None:
    assert add(org, **changes).status == status
