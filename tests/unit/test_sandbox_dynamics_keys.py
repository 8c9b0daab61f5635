"""Alternate keys made at run time, relationships and changed metadata of the Dataverse half (§4.5, §5)."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from lxml import etree

from tests.support.dataverse import Environment

KEYS = "EntityDefinitions(LogicalName='account')/Keys"
KEY = {"SchemaName": "crmbridge_NumberKey", "KeyAttributes": ["accountnumber"]}
MILLISECONDS_TO_BUILD = 1000


@pytest.fixture
def env() -> Environment:
    return Environment()


def status(env: Environment, name: str = "crmbridge_NumberKey") -> str:
    return next(row["EntityKeyIndexStatus"] for row in env.get(KEYS).rows if row["SchemaName"] == name)


def test_a_key_is_made_indexed_used_and_deleted(env: Environment) -> None:
    made = env.post(KEYS, {**KEY, "DisplayName": {"LocalizedLabels": [{"Label": "Number", "LanguageCode": 1033}]}})
    (key,) = env.get(KEYS).rows
    assert made.id == key["MetadataId"]
    assert key["DisplayName"]["UserLocalizedLabel"]["Label"] == "Number"
    assert status(env) == "Pending"
    assert env.patch("accounts(accountnumber='A1')", {"name": "Too early"}, If_Match="").code == "0x80060888"
    env.move(milliseconds=600)
    assert status(env) == "InProgress"
    env.move(milliseconds=600)
    assert status(env) == "Active"

    upsert = env.send("PATCH", "accounts(accountnumber='A1')", {"name": "Acme"})
    assert upsert.status == 204
    assert env.row("accounts(accountnumber='A1')?$select=name")["name"] == "Acme"
    assert env.post("accounts", {"name": "Twin", "accountnumber": "A1"}).code == "0x80060892"
    assert env.get("accounts?$select=name&$filter=accountnumber eq 'A1'").rows[0]["name"] == "Acme"

    assert env.send("DELETE", f"{KEYS}({key['MetadataId']})").status == 204
    assert env.get(KEYS).rows == []
    assert env.get("accounts(accountnumber='A1')").status == 400
    assert env.send("DELETE", f"{KEYS}({key['MetadataId']})").status == 404


def test_an_index_over_rows_with_the_same_value_fails_until_they_differ(env: Environment) -> None:
    first, _ = (env.post("accounts", {"name": name, "accountnumber": "A1"}).id for name in ("One", "Two"))
    env.post(KEYS, KEY)
    env.move(milliseconds=MILLISECONDS_TO_BUILD)
    assert status(env) == "Failed"
    again = {"EntityLogicalName": "account", "EntityKeyLogicalName": "crmbridge_numberkey"}
    env.patch(f"accounts({first})", {"accountnumber": "A2"})
    assert status(env) == "Failed"
    assert env.post("ReactivateEntityKey", again).status == 204
    assert status(env) == "Pending"
    env.move(milliseconds=MILLISECONDS_TO_BUILD)
    assert status(env) == "Active"
    assert env.post("ReactivateEntityKey", {**again, "EntityKeyLogicalName": "x"}).status == 400
    assert env.post("ReactivateEntityKey", {**again, "EntityLogicalName": "x"}).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"SchemaName": "k"},
        {"SchemaName": "k", "KeyAttributes": "accountnumber"},
        {"SchemaName": "k", "KeyAttributes": ["nothing"]},
        {"SchemaName": "k", "KeyAttributes": ["description"]},  # a memo
        {"SchemaName": "k", "KeyAttributes": ["accountnumber", "accountnumber"]},
        {"SchemaName": "k", "KeyAttributes": ["websiteurl", "name", "emailaddress1", "address1_line1"]},  # 900 bytes
        {"SchemaName": "k", "KeyAttributes": ["accountnumber"], "DisplayName": "k"},
        {"SchemaName": "k", "KeyAttributes": ["accountnumber"], "IsUnique": True},
    ],
)
def test_keys_that_cannot_be_are_refused(env: Environment, body: dict[str, Any]) -> None:
    assert env.post(KEYS, body).status == 400
    assert env.get(KEYS).rows == []


def test_a_table_has_ten_keys_at_most_and_each_name_once(env: Environment) -> None:
    for number in range(10):
        assert env.post(KEYS, {**KEY, "SchemaName": f"k{number}"}).status == 204
        assert env.post(KEYS, {**KEY, "SchemaName": f"K{number}"}).status == 400
    assert env.post(KEYS, {**KEY, "SchemaName": "k10"}).status == 400


def test_other_changes_of_metadata_are_refused_by_name(env: Environment) -> None:
    for method, url in [
        ("POST", "EntityDefinitions"),
        ("PUT", "EntityDefinitions(LogicalName='lead')"),
        ("POST", "EntityDefinitions(LogicalName='lead')/Attributes"),
        ("PATCH", f"{KEYS}(LogicalName='k')"),
        ("DELETE", "RelationshipDefinitions(SchemaName='x')"),
        ("POST", "GlobalOptionSetDefinitions"),
    ]:
        answer = env.send(method, url, {})
        assert (answer.status, answer.code) == (501, "0x8006088a")


def test_relationships_are_listed_found_and_cast(env: Environment) -> None:
    rows = env.get("RelationshipDefinitions?$filter=SchemaName eq 'opportunity_originating_lead'").rows
    (one,) = rows
    assert (one["ReferencedEntity"], one["ReferencingEntity"]) == ("lead", "opportunity")
    assert one["ReferencingEntityNavigationPropertyName"] == "originatingleadid"
    for key in (one["MetadataId"], "SchemaName='opportunity_originating_lead'"):
        assert env.row(f"RelationshipDefinitions({key})")["ReferencingAttribute"] == "originatingleadid"
    cast = "RelationshipDefinitions/Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata"
    every = env.get("RelationshipDefinitions?$select=SchemaName").rows
    ones = env.get(f"{cast}?$select=SchemaName").rows
    manys = env.get(f"{cast.replace('OneTo', 'ManyTo')}?$select=SchemaName,IntersectEntityName").rows
    assert len(every) == len(ones) + len(manys)
    assert len({row["MetadataId"] for row in every}) == len(every)
    for row in manys:
        assert row["IntersectEntityName"]
    assert env.get("RelationshipDefinitions(SchemaName='nothing')").status == 404
    assert env.get("RelationshipDefinitions/Nothing").status == 404
    assert env.get("RelationshipDefinitions?$expand=Entity").status == 400
    assert env.get("RelationshipDefinitions?$select=Nothing").status == 400


def test_global_option_sets_by_name_by_id_and_behind_their_cast(env: Environment) -> None:
    sets = env.get("GlobalOptionSetDefinitions?$select=Name&$filter=Name eq 'need'").rows
    assert [row["Name"] for row in sets] == ["need"]
    cast = "Microsoft.Dynamics.CRM.OptionSetMetadata"
    for url in (
        f"GlobalOptionSetDefinitions({sets[0]['MetadataId']})",
        f"GlobalOptionSetDefinitions(Name='need')/{cast}",
    ):
        assert [each["Value"] for each in env.row(f"{url}?$select=Options")["Options"]] == [0, 1, 2, 3]
    assert env.get("GlobalOptionSetDefinitions(Name='nothing')").status == 404


def changes(env: Environment, query: dict[str, Any], stamp: str | None = None) -> Any:
    given = "Query=@p1" + (",ClientVersionStamp=@p2" if stamp is not None else "")
    url = f"RetrieveMetadataChanges({given})?@p1={quote(json.dumps(query))}"
    return env.get(url + (f"&@p2='{stamp}'" if stamp is not None else ""))


def condition(name: str, value: Any, operator: str = "Equals") -> dict[str, Any]:
    return {"PropertyName": name, "ConditionOperator": operator, "Value": {"Type": "System.String", "Value": value}}


def test_metadata_changes_answer_what_is_asked_and_nothing_twice(env: Environment) -> None:
    query = {
        "Properties": {"PropertyNames": ["LogicalName", "EntitySetName", "Attributes", "Keys"]},
        "Criteria": {"FilterOperator": "Or", "Conditions": [condition("LogicalName", "lead")]},
        "AttributeQuery": {
            "Properties": {"PropertyNames": ["LogicalName", "MaxLength", "MinValue"]},
            "Criteria": {"Conditions": [condition("LogicalName", ["subject", "revenue"], "In")]},
        },
    }
    answer = changes(env, query).json
    (lead,) = answer["EntityMetadata"]
    assert lead["EntitySetName"] == "leads"
    assert {each["LogicalName"]: each.get("MaxLength") for each in lead["Attributes"]} == {
        "subject": 300,
        "revenue": None,
    }
    stamp = answer["ServerVersionStamp"]
    assert changes(env, query, stamp).json["EntityMetadata"] == []
    env.post(KEYS.replace("account", "lead"), {"SchemaName": "k", "KeyAttributes": ["subject"]})
    again = changes(env, query, stamp).json
    assert [each["SchemaName"] for each in again["EntityMetadata"][0]["Keys"]] == ["k"]
    assert again["ServerVersionStamp"] != stamp


def test_metadata_changes_name_what_was_deleted_since_a_stamp(env: Environment) -> None:
    stamp = changes(env, {}).json["ServerVersionStamp"]
    url = "RetrieveMetadataChanges(Query=@p1,ClientVersionStamp=@p2,DeletedMetadataFilters=@p3)?@p1={}&@p2='%s'&@p3=%s"
    kind = "Microsoft.Dynamics.CRM.DeletedMetadataFilters'Attribute'"
    assert env.get(url % (stamp, kind)).json["DeletedMetadata"] == {
        "Count": 0,
        "IsReadOnly": False,
        "Keys": [],
        "Values": [],
    }
    assert changes(env, {}, stamp).json["DeletedMetadata"] is None
    assert env.get(url % (stamp, "Nothing")).code == "0x80060888"


def test_metadata_changes_refuse_what_they_would_ignore(env: Environment) -> None:
    assert changes(env, {"Properties": {"AllProperties": True}}).status == 200
    assert changes(env, {"Sort": "x"}).status == 501
    assert changes(env, {"LabelQuery": {"FilterLanguages": [1031]}}).status == 501
    assert changes(env, {"Criteria": {"Conditions": [condition("LogicalName", "a", "GreaterThan")]}}).status == 501
    assert changes(env, {"Criteria": {"Conditions": [condition("Nothing", "a")]}}).status == 400
    assert changes(env, {"Criteria": []}).status == 400
    assert changes(env, {}, "12!somewhere else").code == "0x80044352"
    assert env.get("RetrieveMetadataChanges(Query=@p1)?@p1=x").status == 400
    assert env.get("RetrieveMetadataChanges").status == 400


def test_the_csdl_tells_what_is_read_only_and_tracked_where_asked(env: Environment) -> None:
    plain, annotated = (env.get(url).reply.body for url in ("$metadata", "$metadata?annotations=true"))
    assert b'Term="Org.OData' not in plain
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    document = etree.fromstring(annotated)
    lead = next(each for each in document.iter(f"{edm}EntityType") if each.get("Name") == "lead")
    fixed = {each.get("Name") for each in lead.iter(f"{edm}Property") if len(each)}
    assert "createdby" not in fixed
    assert {"_createdby_value", "fullname"} <= fixed
    assert "lastname" not in fixed
    leads = next(each for each in document.iter(f"{edm}EntitySet") if each.get("Name") == "leads")
    assert leads.find(f"{edm}Annotation") is not None
    assert env.get("$metadata?$format=json").status == 400


def test_all_types_that_the_csdl_names_are_in_it(env: Environment) -> None:
    document = etree.fromstring(env.get("$metadata").reply.body)
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    known = {each.get("Name") for kind in ("EntityType", "ComplexType") for each in document.iter(f"{edm}{kind}")}
    used = {each.get("Type") for each in document.iter() if each.get("Type")}
    names = {str(name).removeprefix("Collection(").removesuffix(")") for name in used}
    missing = {name for name in names if not name.startswith("Edm.") and name.rpartition(".")[2] not in known}
    assert missing == set()


def test_clients_can_look_up_which_tables_take_bulk_messages(env: Environment) -> None:
    """The query is Microsoft's own, from its page on bulk messages (§4.7)."""
    wanted = "(sdkmessageid/name eq 'CreateMultiple' or sdkmessageid/name eq 'DeleteMultiple')"
    rows = env.get(
        "sdkmessagefilters?$select=sdkmessagefilterid&$expand=sdkmessageid($select=name)"
        f"&$filter={wanted} and primaryobjecttypecode eq 'lead'"
    ).rows
    assert [row["sdkmessageid"]["name"] for row in rows] == ["CreateMultiple"]  # lead is no elastic table
    assert env.send("DELETE", f"sdkmessagefilters({rows[0]['sdkmessagefilterid']})").status == 405
    assert env.row("RetrieveAvailableLanguages")["LocaleIds"] == [1033]
