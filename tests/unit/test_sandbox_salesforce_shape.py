"""The shape of an org: what is shipped agrees with a real org's describe answers, and mistakes are told (§5)."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from crmbridge.sandbox.salesforce.shape import ShapeError, load_shape, shape_from
from tests.support.salesforce_org import Bench, bench

RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "sf-describe"
DESCRIBED = ("Lead", "Account", "Contact", "Opportunity", "OpportunityContactRole")


def recorded(name: str) -> dict[str, Any]:
    path = RECORDED / f"{name}_describe.json.gz"
    if not path.exists():
        pytest.skip("the recorded describe answers are not beside this checkout")
    with gzip.open(path) as file:
        return json.load(file)


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_shipped_fields_are_those_of_a_real_org(name: str) -> None:
    real = {field["name"]: field for field in recorded(name)["fields"]}
    facts = ("type", "length", "precision", "scale", "digits", "createable", "updateable", "nillable", "filterable")
    facts += ("sortable", "defaultedOnCreate", "idLookup", "restrictedPicklist", "referenceTo", "soapType", "groupable")
    answered = bench().rest("GET", f"sobjects/{name}/describe").body
    for field in answered["fields"]:
        if not field["custom"]:
            assert {key: field[key] for key in facts} == {key: real[field["name"]][key] for key in facts}, field["name"]
            assert field.keys() == real[field["name"]].keys()


def test_a_describe_answer_can_be_served_as_a_shape() -> None:
    shape = shape_from({"extends": "salesforce", "objects": {name: recorded(name) for name in DESCRIBED}})
    assert shape.objects["Account"].fields["ns__LinkedAccount__c"].reference_to == ("Account",)


def test_describe(org: Bench) -> None:
    everything = org.rest("GET", "sobjects").body
    lead = next(item for item in everything["sobjects"] if item["name"] == "Lead")
    assert (lead["keyPrefix"], lead["mergeable"], lead["undeletable"]) == ("00Q", True, True)
    answered = org.rest("GET", "sobjects/lead/describe")
    key = next(field for field in answered.body["fields"] if field["name"] == "CrmBridge_Id__c")
    expected = {
        "type": "string",
        "length": 36,
        "externalId": True,
        "unique": True,
        "caseSensitive": False,
        "custom": True,
    }
    assert {name: key[name] for name in expected} == expected
    status = next(field for field in answered.body["fields"] if field["name"] == "Status")
    assert [(value["value"], value["defaultValue"]) for value in status["picklistValues"]][:2] == [
        ("Open - Not Contacted", True),
        ("Working - Contacted", False),
    ]
    assert [kind["developerName"] for kind in answered.body["recordTypeInfos"]] == ["Master"]
    again = org.rest("GET", "sobjects/Lead/describe", headers={"if-modified-since": answered.headers["Last-Modified"]})
    assert again.status == 304


@pytest.fixture
def org() -> Bench:
    return bench()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"objects": {"Lead": {"fields": {"X__c": {"type": "string", "lenght": 3}}}}}, "lenght"),
        ({"objects": {"Lead": {"fields": {"X__c": {"length": "long"}}}}}, "Expected `int`, got `str`"),
        ({"objects": {"Lead": ["LastName"]}}, "objects.Lead must be a mapping"),
        ({"rules": {"required": {"Lead": ["Nope__c"]}}}, "Lead has no field Nope__c"),
        ({"rules": {"validation": [{"object": "Nope", "name": "n", "refuse_when": "a = 1", "message": "m"}]}}, "Nope"),
        ({"colour": "blue"}, "colour"),
        ({"org": {"time_zone": "Mars/Olympus"}}, "Mars/Olympus is no known time zone"),
        (
            {"rules": {"validation": [{"object": "Lead", "name": "n", "refuse_when": "a =", "message": "m"}]}},
            "rule 'n': 'a =' is no condition",
        ),
        (
            {
                "rules": {
                    "duplicates": [{"object": "Lead", "name": "d", "against": "Contact", "match": {"Email": "Mail"}}]
                }
            },
            "rule 'd' matches by unknown fields: Mail",
        ),
    ],
)
def test_mistakes_in_a_shape(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        shape_from({"extends": "salesforce", **document})


def test_a_shape_must_be_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "shape.yaml"
    path.write_text("- a list\n")
    with pytest.raises(ShapeError, match="no mapping"):
        load_shape(path)


def test_records_are_loaded_as_they_stand_but_not_with_the_wrong_types(org: Bench) -> None:
    org.app.load({"Account": [{"_ref": "acme", "Name": "Acme", "SystemModstamp": "2020-01-01T00:00:00Z"}]})
    org.app.load({"Contact": [{"LastName": "Roe", "AccountId": "@acme"}], "Lead": [{"LastName": "No company"}]})
    assert (
        org.one("SELECT Account.SystemModstamp FROM Contact")["Account"]["SystemModstamp"]
        == "2020-01-01T00:00:00.000+0000"
    )
    assert org.rows("SELECT Company FROM Lead")[0]["Company"] is None
    for rows, message in (
        ({"Nope": [{}]}, "no object Nope"),
        ({"Lead": [{"Nope": 1}]}, "no field Nope"),
        ({"Lead": [{"LastName": "x" * 99}]}, "too large"),
        ({"Contact": [{"LastName": "a"}, {"AccountId": "@nobody"}]}, "_ref 'nobody'"),
    ):
        with pytest.raises(ValueError, match=message):
            org.app.load(rows)
    assert len(org.rows("SELECT Id FROM Contact")) == 1  # a load is whole or not at all
    dump = org.app.dump()
    json.dumps(dump)
    assert dump["Contact"][0]["LastName"] == "Roe"
    org.app.reset()
    assert org.app.dump()["Contact"] == []
