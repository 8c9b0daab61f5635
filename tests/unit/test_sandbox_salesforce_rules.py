"""What administrators declare in a Salesforce org: validation, duplicates, picklists, record types, assignment."""

import base64
from typing import Any

import pytest

from crmbridge.sandbox.salesforce.shape import ShapeError, shape_from
from tests.support.salesforce_org import Bench, bench

DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-03-31"}


def lead(**fields: Any) -> dict[str, Any]:
    return {"LastName": "Roe", "Company": "Acme", **fields}


# -- validation rules ----------------------------------------------------------------------------------------------


def test_a_formula_refuses_with_the_field_or_for_the_whole_record() -> None:
    rules = [
        {
            "object": "Opportunity",
            "name": "won needs amount",
            "formula": "AND(ISPICKVAL(StageName, 'Closed Won'), ISBLANK(Amount))",
            "message": "A won deal needs its amount.",
            "field": "Amount",
        },
        {
            "object": "Opportunity",
            "name": "closed is locked",
            "formula": "PRIORVALUE(IsClosed) && NOT(ISNEW())",
            "message": "Closed deals are locked.",
        },
        {"object": "Opportunity", "name": "asleep", "formula": "TRUE", "message": "no", "active": False},
    ]
    org = bench({"rules": {"validation": rules}})
    deal = org.create("Opportunity", **DEAL)
    refused = org.update("Opportunity", deal, StageName="Closed Won")
    assert (refused.status, refused.body) == (
        400,
        [
            {
                "message": "A won deal needs its amount.",
                "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                "fields": ["Amount"],
            }
        ],
    )
    assert org.update("Opportunity", deal, StageName="Closed Won", Amount=1).status == 204
    refused = org.update("Opportunity", deal, NextStep="x")
    assert (refused.body[0]["message"], refused.body[0]["fields"]) == ("Closed deals are locked.", [])


def test_a_formula_knows_who_saves() -> None:
    rule = {
        "object": "Lead",
        "name": "only mia rates",
        "formula": "NOT(ISBLANK(TEXT(Rating))) && $User.Email <> 'mia@acme.example'",
        "message": "Only Mia rates.",
    }
    org = bench({"rules": {"validation": [rule]}})
    assert org.rest("POST", "sobjects/Lead", lead(Rating="Hot")).codes == ["FIELD_CUSTOM_VALIDATION_EXCEPTION"]
    assert org.person("mia@acme.example").rest("POST", "sobjects/Lead", lead(Rating="Hot")).status == 201


def test_conversion_asks_the_rules_of_its_targets_unless_the_org_says_no() -> None:
    rule = {"object": "Contact", "name": "phone", "formula": "ISBLANK(Phone)", "message": "A contact needs a phone."}
    org = bench({"rules": {"validation": [rule]}})
    refused = org.convert(org.create("Lead", **lead()))
    assert (refused["statusCode"], refused["message"]) == (
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "A contact needs a phone.",
    )
    assert org.rows("SELECT Id FROM Account") == []  # nothing stays of what was begun
    org = bench({"rules": {"validation": [rule]}, "conversion": {"require_validation": False}})
    assert org.convert(org.create("Lead", **lead()))["success"] == "true"


# -- duplicates ----------------------------------------------------------------------------------------------------

MATCHING = {
    "matching": [
        {
            "name": "Same_Company",
            "items": [{"field": "Company", "method": "company"}, {"field": "Phone", "method": "phone"}],
        }
    ],
    "duplicates": [
        {
            "name": "Lead_Duplicates",
            "object": "Lead",
            "against": "Lead",
            "matching": "Same_Company",
            "on_create": "alert",
            "on_update": "block",
            "message": "There is one already.",
        }
    ],
}


def test_matching_rules_find_the_alike_and_say_so() -> None:
    org = bench({"rules": MATCHING})
    first = org.create("Lead", **lead(Company="The Acme & Sons, Inc.", Phone="+1 (555) 010-0123"))
    twin = lead(Company="ACME and sons", Phone="555 0100123")
    found = org.rest("POST", "sobjects/Lead", twin)
    assert (found.status, found.codes, found.body[0]["message"]) == (
        400,
        ["DUPLICATES_DETECTED"],
        "There is one already.",
    )
    result = found.body[0]["duplicateResut"]
    assert (result["allowSave"], result["duplicateRule"], result["duplicateRuleEntityType"]) == (
        True,
        "Lead_Duplicates",
        "Lead",
    )
    (matched,) = result["matchResults"]
    assert (matched["matchEngine"], matched["rule"], matched["size"]) == ("FuzzyMatchEngine", "Same_Company", 1)
    assert matched["matchRecords"][0]["record"] == {
        "attributes": {"type": "Lead", "url": f"/services/data/v60.0/sobjects/Lead/{first}"},
        "Id": first,
    }
    header = {"sforce-duplicate-rule-header": "allowSave=false; includeRecordDetails=true"}
    detailed = org.rest("POST", "sobjects/Lead", twin, header).body[0]["duplicateResut"]["matchResults"][0]
    assert detailed["matchRecords"][0]["record"]["Company"] == "The Acme & Sons, Inc."
    assert org.rest("POST", "sobjects/Lead", twin, {"sforce-duplicate-rule-header": "allowSave=true"}).status == 201
    assert org.rest("POST", "sobjects/Lead", lead(Phone=None, Company="ACME and sons")).status == 201


def test_a_rule_may_alert_on_create_and_block_on_edit() -> None:
    org = bench({"rules": MATCHING})
    org.create("Lead", **lead(Phone="5550100"))
    other = org.create("Lead", **lead(Phone="5550199"))
    header = {"sforce-duplicate-rule-header": "allowSave=true"}
    blocked = org.rest("PATCH", f"sobjects/Lead/{other}", {"Phone": "555-0100"}, header)
    assert (blocked.codes, blocked.body[0]["duplicateResut"]["allowSave"]) == (["DUPLICATES_DETECTED"], False)
    assert org.update("Lead", other, City="Oslo").status == 204  # what does not match by is free


# -- record types --------------------------------------------------------------------------------------------------

TYPED = {
    "objects": {
        "Lead": {
            "recordTypes": [
                {
                    "developerName": "Web",
                    "name": "Web lead",
                    "default": True,
                    "picklists": {"Size__c": ["S", "M"], "Status": ["Open - Not Contacted", "Done"]},
                    "defaults": {"Rating": "Cold", "Size__c": "S"},
                },
                {"developerName": "Fair", "picklists": {"Size__c": ["L"]}, "defaults": {"LeadSource": "Other"}},
                {"developerName": "Old", "active": False},
            ],
            "fields": {
                "Size__c": {
                    "type": "picklist",
                    "length": 255,
                    "restrictedPicklist": True,
                    "picklistValues": ["S", "M", "L"],
                }
            },
        }
    },
    "lead_statuses": [
        {"label": "Open - Not Contacted", "default": True},
        {"label": "Done", "converted": True},
        {"label": "Sold", "converted": True},
    ],
}


@pytest.fixture
def typed() -> Bench:
    return bench(TYPED)


def kind(org: Bench, name: str) -> str:
    return org.one(f"SELECT Id FROM RecordType WHERE SobjectType = 'Lead' AND DeveloperName = '{name}'")["Id"]


def test_a_record_type_has_its_own_values_and_defaults(typed: Bench) -> None:
    web, fair = kind(typed, "Web"), kind(typed, "Fair")
    row = typed.get("Lead", typed.create("Lead", **lead()))
    assert (row["RecordTypeId"], row["Rating"], row["Size__c"]) == (web, "Cold", "S")
    row = typed.get("Lead", typed.create("Lead", **lead(RecordTypeId=fair)))
    assert (row["LeadSource"], row["Rating"], row["Size__c"]) == ("Other", None, None)
    refused = typed.rest("POST", "sobjects/Lead", lead(RecordTypeId=fair, Size__c="S"))
    assert (refused.codes, refused.body[0]["message"]) == (
        ["INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"],
        "Size: bad value for restricted picklist field: S",
    )
    assert typed.rest("POST", "sobjects/Lead", lead(Status="Sold")).status == 201  # Status is an open picklist
    infos = typed.rest("GET", "sobjects/Lead/describe").body["recordTypeInfos"]
    assert [info["developerName"] for info in infos if info["defaultRecordTypeMapping"]] == ["Web"]


@pytest.mark.parametrize("name", ["Old", None])
def test_only_a_living_record_type_of_the_object_is_taken(typed: Bench, name: str | None) -> None:
    key = kind(typed, name) if name else "012000000000001AAA"
    assert typed.rest("POST", "sobjects/Lead", lead(RecordTypeId=key)).codes == ["INVALID_CROSS_REFERENCE_KEY"]


def test_the_converted_status_must_belong_to_the_record_type(typed: Bench) -> None:
    key = typed.create("Lead", **lead())
    assert typed.convert(key, convertedStatus="Sold")["statusCode"] == "INVALID_STATUS"
    assert typed.convert(key, convertedStatus="Done")["success"] == "true"


# -- picklists -----------------------------------------------------------------------------------------------------

DEPENDENT = {
    "objects": {
        "Lead": {
            "fields": {
                "Region__c": {"type": "picklist", "length": 255, "picklistValues": ["North", "South"]},
                "Town__c": {
                    "type": "picklist",
                    "length": 255,
                    "restrictedPicklist": True,
                    "picklistValues": ["Oslo", "Rome", "Paris"],
                    "controllerName": "Region__c",
                    "dependentValues": {"North": ["Oslo"], "South": ["Rome", "Paris"]},
                },
                "Interests__c": {
                    "type": "multipicklist",
                    "length": 255,
                    "restrictedPicklist": True,
                    "picklistValues": ["A", "B"],
                },
            }
        }
    }
}


def test_dependent_picklists_take_what_goes_with_the_controlling_value() -> None:
    org = bench(DEPENDENT)
    key = org.create("Lead", **lead(Region__c="North", Town__c="Oslo"))
    assert org.update("Lead", key, Town__c="Rome").codes == ["INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"]
    assert org.update("Lead", key, Town__c="Rome", Region__c="South").status == 204
    assert org.update("Lead", key, City="x").status == 204
    described = org.rest("GET", "sobjects/Lead/describe").body["fields"]
    town = next(field for field in described if field["name"] == "Town__c")
    assert (town["dependentPicklist"], town["controllerName"]) == (True, "Region__c")
    bits = {value["value"]: base64.b64decode(value["validFor"])[0] for value in town["picklistValues"]}
    assert bits == {"Oslo": 0b10000000, "Rome": 0b01000000, "Paris": 0b01000000}


def test_bitmaps_of_a_describe_mean_the_same_as_declared_values() -> None:
    declared = bench(DEPENDENT).rest("GET", "sobjects/Lead/describe").body["fields"]
    pasted = {each["name"]: each for each in declared if each["name"] in ("Region__c", "Town__c")}
    org = bench({"objects": {"Lead": {"fields": pasted}}})
    refused = org.rest("POST", "sobjects/Lead", lead(Region__c="North", Town__c="Rome"))
    assert refused.codes == ["INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"]


def test_open_picklists_take_any_text_and_restricted_ones_none_but_theirs() -> None:
    org = bench(DEPENDENT)
    key = org.create("Lead", **lead(Status="Made up", Industry="Space", Interests__c="B;A"))
    assert org.get("Lead", key)["Status"] == "Made up"
    for field, value in (("CleanStatus", "Dirty"), ("Interests__c", "A;C")):
        refused = org.update("Lead", key, **{field: value})
        assert refused.codes == ["INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"]
        assert refused.body[0]["fields"] == [field]


# -- assignment ----------------------------------------------------------------------------------------------------


def test_the_first_fitting_entry_of_the_assignment_rule_owns() -> None:
    rules = {
        "assignment": {
            "Lead": {
                "entries": [
                    {"when": "Country = 'Norway'", "owner": "nora@acme.example"},
                    {"when": "ISPICKVAL(LeadSource, 'Web')", "owner": "Web_Queue"},
                ],
                "owner": "otto@acme.example",
            }
        }
    }
    org = bench({"rules": rules})
    people = {name: org.app.login_as(f"{name}@acme.example")["user_id"] for name in ("nora", "otto")}
    queue = org.create("Group", Name="Web", DeveloperName="Web_Queue", Type="Queue")

    def owner(**fields: Any) -> str:
        return org.get("Lead", org.create("Lead", **lead(**fields)))["OwnerId"]

    assert owner(Country="Norway", LeadSource="Web") == people["nora"]
    assert owner(LeadSource="Web") == queue
    assert owner() == people["otto"]
    kept = org.rest("POST", "sobjects/Lead", lead(), {"sforce-auto-assign": "FALSE"}).body["id"]
    assert org.get("Lead", kept)["OwnerId"] not in (*people.values(), queue)
    rule = org.one("SELECT Id, Active FROM AssignmentRule WHERE SobjectType = 'Lead'")
    assert rule["Active"] is True
    named = org.rest("POST", "sobjects/Lead", lead(), {"sforce-auto-assign": rule["Id"]}).body["id"]
    assert org.get("Lead", named)["OwnerId"] == people["otto"]
    nobody = org.rest("POST", "sobjects/Lead", lead(), {"sforce-auto-assign": "01Q000000000001"})
    assert nobody.codes == ["INVALID_CROSS_REFERENCE_KEY"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"validation": [{"object": "Lead", "name": "n", "message": "m"}]}, "give either formula or refuse_when"),
        ({"validation": [{"object": "Lead", "name": "n", "message": "m", "formula": "1"}]}, "gives number"),
        ({"duplicates": [{"object": "Lead", "against": "Lead", "name": "d", "matching": "X"}]}, "no matching rule X"),
        ({"duplicates": [{"object": "Lead", "against": "Lead", "name": "d"}]}, "matches nothing"),
        ({"assignment": {"Nope": {"owner": "x"}}}, "unknown object Nope"),
        ({"assignment": {"Lead": {"entries": [{"when": "Foo", "owner": "x"}]}}}, "field Foo does not exist"),
    ],
)
def test_mistakes_in_rules(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        shape_from({"extends": "salesforce", "rules": rules})
