"""Metadata of the Dataverse half, and its shape compared with Microsoft's own schema and HTTP examples."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.support.dataverse import ORIGIN, Environment

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SCHEMA, EXAMPLES, RECORDS = DATA / "dv-cdm-sales-schema", DATA / "dv-doc-http", DATA / "dv-recorded-records"
needs_schema = pytest.mark.skipif(not SCHEMA.is_dir(), reason="Microsoft's schema is not beside the checkout")
needs_examples = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="Microsoft's HTTP examples are not beside the checkout"
)
needs_records = pytest.mark.skipif(not RECORDS.is_dir(), reason="the recorded rows are not beside the checkout")
CAST = "Microsoft.Dynamics.CRM"


@pytest.fixture(scope="module")
def env() -> Environment:
    return Environment()


def test_definitions_by_filter_and_by_key(env: Environment) -> None:
    (lead,) = env.get(
        "EntityDefinitions?%24select=LogicalName,EntitySetName,PrimaryIdAttribute&%24filter=LogicalName+eq+%27lead%27"
    ).rows
    assert (lead["EntitySetName"], lead["PrimaryIdAttribute"]) == ("leads", "leadid")
    assert env.row(f"EntityDefinitions({lead['MetadataId']})")["ObjectTypeCode"] == 4
    assert env.row("EntityDefinitions(LogicalName='opportunity')?$select=ChangeTrackingEnabled")[
        "ChangeTrackingEnabled"
    ]
    processes = env.get("EntityDefinitions?$select=LogicalName&$filter=IsBPFEntity eq true").rows
    assert {row["LogicalName"] for row in processes} == {"leadtoopportunitysalesprocess", "opportunitysalesprocess"}
    expanded = env.get(
        "EntityDefinitions?$select=LogicalName,CanChangeTrackingBeEnabled&$expand=Attributes($select=LogicalName,AttributeType)"
    ).rows
    assert len(expanded[0]["Attributes"]) > 50
    assert env.get("EntityDefinitions(LogicalName='nothing')").status == 404
    assert env.get("EntityDefinitions?$select=logicalname").status == 400


def test_status_options_name_their_states(env: Environment) -> None:
    url = f"EntityDefinitions(LogicalName='lead')/Attributes/{CAST}.StatusAttributeMetadata"
    (status,) = env.get(
        f"{url}?$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"
    ).rows
    assert status["GlobalOptionSet"] is None
    assert {each["Value"]: each["State"] for each in status["OptionSet"]["Options"]} == {
        1: 0,
        2: 0,
        3: 1,
        4: 2,
        5: 2,
        6: 2,
        7: 2,
    }
    one = env.row(
        f"EntityDefinitions(LogicalName='lead')/Attributes(LogicalName='statecode')/{CAST}.StateAttributeMetadata"
        "?$select=LogicalName&$expand=OptionSet"
    )
    assert [each["DefaultStatus"] for each in one["OptionSet"]["Options"]] == [1, 3, 4]
    boolean = env.get(
        f"EntityDefinitions(LogicalName='lead')/Attributes/{CAST}.BooleanAttributeMetadata?$select=LogicalName&$expand=OptionSet"
    ).rows[0]
    assert boolean["OptionSet"]["TrueOption"]["Value"] == 1


@pytest.mark.parametrize(
    ("cast", "column", "members"),
    [
        ("String", "subject", {"MaxLength": 300}),
        ("Memo", "description", {"MaxLength": 2000}),
        ("Money", "estimatedamount", {"PrecisionSource": 2, "MinValue": 0, "MaxValue": 1000000000000}),
        ("Integer", "numberofemployees", {"MaxValue": 1000000}),
        ("Decimal", "exchangerate", {"Precision": 10}),
        ("DateTime", "estimatedclosedate", {"DateTimeBehavior": {"Value": "DateOnly"}, "Format": "DateOnly"}),
        ("Lookup", "customerid", {"Targets": ["account", "contact"]}),
    ],
)
def test_casts_bring_the_members_of_the_type(env: Environment, cast: str, column: str, members: dict[str, Any]) -> None:
    select = ",".join(["LogicalName", *members])
    base = "EntityDefinitions(LogicalName='lead')/Attributes"
    rows = env.get(f"{base}/{CAST}.{cast}AttributeMetadata?$select={select}&$filter=LogicalName eq '{column}'").rows
    assert {name: rows[0][name] for name in members} == members
    assert env.get(f"{base}?$select={select}").status == 400  # not without the cast
    assert env.get(f"{base}/{CAST}.EnumAttributeMetadata").status == 400  # nor to an abstract type


def test_attribute_filters_take_enum_literals(env: Environment) -> None:
    rows = env.get(
        "EntityDefinitions(LogicalName='lead')/Attributes?$select=LogicalName&$filter="
        f"RequiredLevel/Value eq {CAST}.AttributeRequiredLevel'ApplicationRequired' and "
        f"AttributeType eq {CAST}.AttributeTypeCode'String'"
    ).rows
    assert {row["LogicalName"] for row in rows} == {"subject", "lastname"}


def test_definitions_have_the_members_that_clients_filter_by(env: Environment) -> None:
    kinds = env.get(
        "EntityDefinitions(LogicalName='lead')/Attributes?$select=LogicalName&$filter="
        "IsValidForAdvancedFind/Value eq true and IsValidODataAttribute eq true and ColumnNumber eq 1"
    ).rows
    assert [row["LogicalName"] for row in kinds] == [next(iter(env.shape.tables["lead"].columns))]
    lead = env.row("EntityDefinitions(LogicalName='lead')?$select=Privileges,IsAvailableOffline,HasEmailAddresses")
    assert {each["PrivilegeType"] for each in lead["Privileges"]} >= {"Create", "Assign", "AppendTo"}
    assert lead["Privileges"][0]["Name"] == "prvCreateLead"
    currency = env.row("EntityDefinitions(LogicalName='transactioncurrency')?$select=Privileges")
    assert "prvAssignTransactionCurrency" not in {each["Name"] for each in currency["Privileges"]}


@pytest.mark.parametrize("kind", ["Image", "File", "EntityName", "ManagedProperty"])
def test_types_without_columns_have_none(env: Environment, kind: str) -> None:
    assert env.get(f"EntityDefinitions(LogicalName='lead')/Attributes/{CAST}.{kind}AttributeMetadata").rows == []


def test_labels_are_asked_for_in_languages(env: Environment) -> None:
    url = "EntityDefinitions(LogicalName='lead')?$select=DisplayName"
    assert env.row(f"{url}&LabelLanguages=1033") == env.row(url)
    assert env.row(f"{url}&LabelLanguages=1031,1033") == env.row(url)
    named = env.row(f"{url}&LabelLanguages=1031")["DisplayName"]
    assert named == {"LocalizedLabels": [], "UserLocalizedLabel": None}
    attributes = f"EntityDefinitions(LogicalName='lead')/Attributes/{CAST}.StateAttributeMetadata?$expand=OptionSet"
    (state,) = env.get(f"{attributes}&LabelLanguages=2052").rows
    assert [each["Label"]["LocalizedLabels"] for each in state["OptionSet"]["Options"]] == [[], [], []]
    assert env.get(f"{url}&LabelLanguages=English").status == 400
    assert env.get("leads?LabelLanguages=1033").status == 400


def test_labels_of_choices_are_rows(env: Environment) -> None:
    asked = "stringmaps?$filter=objecttypecode eq 'lead' and attributename eq 'leadqualitycode'&$orderby=displayorder"
    assert [(row["attributevalue"], row["value"]) for row in env.get(asked).rows] == [
        (1, "Hot"),
        (2, "Warm"),
        (3, "Cold"),
    ]
    assert {row["langid"] for row in env.get(asked).rows} == {1033}
    assert env.send("POST", "stringmaps", {"value": "x"}).code == "0x80040800"


def test_relations_tell_navigation_names_in_their_case(env: Environment) -> None:
    rows = env.get("EntityDefinitions(LogicalName='leadtoopportunitysalesprocess')/ManyToOneRelationships").rows
    names = {row["ReferencingAttribute"]: row["ReferencingEntityNavigationPropertyName"] for row in rows}
    assert (names["leadid"], names["opportunityid"], names["createdby"]) == ("leadId", "opportunityId", "createdbyname")
    assert (
        env.row("GlobalOptionSetDefinitions(Name='budgetstatus')")["Options"][1]["Label"]["UserLocalizedLabel"]["Label"]
        == "May Buy"
    )


def test_the_csdl_is_well_formed_and_names_every_set(env: Environment) -> None:
    document = etree.fromstring(env.get("$metadata").reply.body)
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    sets = {each.get("Name") for each in document.iter(f"{edm}EntitySet")}
    assert sets == {row["name"] for row in env.get("").rows}
    types = {each.get("Name"): each for each in document.iter(f"{edm}EntityType")}
    properties = {each.get("Name"): each.get("Type") for each in types["lead"].iter(f"{edm}Property")}
    assert properties["estimatedclosedate"] == "Edm.Date"
    assert properties["_parentaccountid_value"] == "Edm.Guid"


def test_the_csdl_tells_partners_bindings_and_alternate_keys_as_a_real_one_does() -> None:
    env = Environment()
    key = {"SchemaName": "sample_number", "KeyAttributes": ["accountnumber", "parentaccountid"]}
    label = {"LocalizedLabels": [{"Label": "Number", "LanguageCode": 1033}]}
    made = env.send("POST", "EntityDefinitions(LogicalName='account')/Keys", {**key, "DisplayName": label})
    assert made.status == 204
    env.move(hours=1)  # its index is built
    env.get("EntityDefinitions(LogicalName='account')/Keys")
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    document = etree.fromstring(env.get("$metadata").reply.body)
    types = {each.get("Name"): each for each in document.iter(f"{edm}EntityType")}
    partners = {
        (name, each.get("Name")): each.get("Partner")
        for name in ("account", "contact")
        for each in types[name].iter(f"{edm}NavigationProperty")
    }
    assert partners["account", "contact_customer_accounts"] == "parentcustomerid_account"
    assert partners["contact", "parentcustomerid_account"] == "contact_customer_accounts"
    (accounts,) = (each for each in document.iter(f"{edm}EntitySet") if each.get("Name") == "accounts")
    bound = {each.get("Path"): each.get("Target") for each in accounts.iter(f"{edm}NavigationPropertyBinding")}
    assert (bound["contact_customer_accounts"], bound["primarycontactid"]) == ("contacts", "contacts")
    (term,) = types["account"].findall(f"{edm}Annotation")
    assert term.get("Term") == "OData.Community.Keys.V1.AlternateKeys"
    paths = [each.get("PropertyPath") for each in term.iter(f"{edm}PropertyValue") if each.get("Property") == "Name"]
    assert paths == ["accountnumber", "_parentaccountid_value"]


def test_an_owner_is_a_principal_as_a_user_and_a_team_are(env: Environment) -> None:
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    document = etree.fromstring(env.get("$metadata").reply.body)
    types = {each.get("Name"): each for each in document.iter(f"{edm}EntityType")}
    assert types["principal"].get("Abstract") == "true"
    for name in ("systemuser", "team"):
        assert types[name].get("BaseType") == "mscrm.principal"
        assert [each.get("Name") for each in types[name].iter(f"{edm}PropertyRef")] == ["ownerid"]
    (owner,) = (each for each in types["lead"].iter(f"{edm}NavigationProperty") if each.get("Name") == "ownerid")
    assert owner.get("Type") == "mscrm.principal"
    (constraint,) = owner
    assert constraint.attrib == {"Property": "_ownerid_value", "ReferencedProperty": "ownerid"}


def test_the_csdl_tells_functions_as_they_answer(env: Environment) -> None:
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    document = etree.fromstring(env.get("$metadata").reply.body)
    types = {
        each.get("Name"): {part.get("Name") for part in each.iter(f"{edm}Property")}
        for each in document.iter(f"{edm}ComplexType")
    }
    declared = {each.get("Name"): each for each in document.iter(f"{edm}Function")}
    imported = {each.get("Name") for each in document.iter(f"{edm}FunctionImport")}
    assert imported == declared.keys() >= {"WhoAmI", "RetrieveVersion", "RetrieveActivePath"}
    calls = {
        "WhoAmI": "WhoAmI()",
        "RetrieveVersion": "RetrieveVersion()",
        "RetrieveAvailableLanguages": "RetrieveAvailableLanguages()",
        "RetrieveTotalRecordCount": "RetrieveTotalRecordCount(EntityNames=['lead'])",
    }
    for name, url in calls.items():
        (answer,) = declared[name].iter(f"{edm}ReturnType")
        members = {each for each in env.get(url).json if "@" not in each}
        assert members == types[str(answer.get("Type")).removeprefix("mscrm.")], name


def test_who_am_i_and_the_organization(env: Environment) -> None:
    me = env.row("WhoAmI()")
    assert me["UserId"] == env.app.application_user
    detail = env.row(
        "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'"
    )["Detail"]
    assert (detail["OrganizationId"], detail["TenantId"]) == (me["OrganizationId"], env.app.tenant)
    assert env.row("RetrieveVersion")["Version"].startswith("9.2.")
    assert env.row("organizations")["value"][0]["_basecurrencyid_value"]
    assert env.row("RetrieveTotalRecordCount(EntityNames=['lead'])")["EntityRecordCountCollection"]["Values"] == [0]
    for version in ("8.0", "8.1", "8.2", "9.0", "9.1"):
        assert (
            env.get(f"/api/data/v{version}/WhoAmI").json["@odata.context"].startswith(f"{ORIGIN}/api/data/v{version}/")
        )


# Beside Microsoft's material


def schema_columns(name: str) -> dict[str, dict[str, Any]]:
    document = json.loads(gzip.decompress((SCHEMA / f"{name}.cdm.json.gz").read_bytes()))
    (entity,) = [each for each in document["definitions"] if each.get("entityName") == name]
    found: dict[str, dict[str, Any]] = {}

    def walk(members: list[Any]) -> None:
        for member in members:
            if isinstance(member, dict) and "attributeGroupReference" in member:
                walk(member["attributeGroupReference"]["members"])
            elif isinstance(member, dict) and member.get("sourceName"):
                found[member["sourceName"].lower()] = member

    walk(entity["hasAttributes"])
    return found


def schema_options(column: dict[str, Any]) -> set[tuple[str, str]]:
    kind = column.get("dataType")
    traits = kind.get("appliedTraits", []) if isinstance(kind, dict) else []
    return {
        (row[2], row[1].strip())
        for trait in traits
        if isinstance(trait, dict) and trait["traitReference"] == "does.haveDefault"
        for row in trait["arguments"][0]["entityReference"]["constantValues"]
        if row[0] == "en"
    }


@needs_schema
@pytest.mark.parametrize("name", ["Lead", "Opportunity", "Account", "Contact"])
def test_lengths_and_options_are_microsoft_s(env: Environment, name: str) -> None:
    table = env.shape.tables[name.lower()]
    compared = 0
    for column_name, theirs in schema_columns(name).items():
        ours = table.columns.get(column_name)
        if ours is None:
            continue
        if theirs.get("maximumLength") and ours.kind in {"String", "Memo"}:
            assert ours.max_length == theirs["maximumLength"], column_name
            compared += 1
        options = schema_options(theirs)
        if options and ours.kind in {"Picklist", "State", "Status"} and column_name != "pricingerrorcode":
            assert {(str(each.value), each.label) for each in ours.options} == options, column_name
            compared += 1
    assert compared > 15


@needs_records
@pytest.mark.parametrize(("table", "name"), [("leads", "lead"), ("contacts", "contact")])
def test_our_rows_have_no_member_that_a_real_row_lacks(env: Environment, table: str, name: str) -> None:
    recorded = json.loads((RECORDS / "lead-and-contact.json").read_text(encoding="utf-8"))[name]["value"][0]
    key = env.post(table, {"lastname": "X"}).id
    ours = env.row(f"{table}({key})")
    assert set(ours) - {"@odata.context"} <= set(recorded)
    for member, value in ours.items():
        theirs = recorded.get(member)
        if value is not None and theirs is not None and not isinstance(value, bool):
            assert isinstance(value, int | float) == isinstance(theirs, int | float), member


@needs_examples
def test_microsoft_s_batch_is_carried_out_as_it_is() -> None:
    env = Environment()
    text = (EXAMPLES / "batch-changeset.http").read_text(encoding="utf-8").replace("[Organization URI]", ORIGIN)
    asked, _, answered = text.partition("### Response")
    body = asked[asked.index("\n--batch") + 1 :].encode()
    found = env.send("POST", "$batch", body, Content_Type="multipart/mixed;boundary=batch_AAA123")
    assert found.status == 200
    told = re.compile(r"^HTTP/1\.1 .*$|^Content-ID: .*$", re.MULTILINE)
    assert told.findall(found.text.replace("\r", "")) == told.findall(answered)[1:]  # the first is the outer status
    (account,) = env.get("accounts?$select=name&$expand=originatingleadid($select=fullname),primarycontactid").rows
    assert account["originatingleadid"]["fullname"] == "first name last name"
    assert account["primarycontactid"]["firstname"] == "first name"


@needs_examples
def test_microsoft_s_qualify_request_is_understood() -> None:
    env = Environment()
    text = (EXAMPLES / "win-and-qualify.http").read_text(encoding="utf-8")
    body = re.search(r"QualifyLead HTTP/1\.1\n.*?\n\n(\{.*?\n\})", text, re.DOTALL)
    assert body is not None
    ids = {
        "874ca79f-b2ce-e711-80ee-00155d889a3b": ("transactioncurrencies", {
            "isocurrencycode": "DKK", "currencyname": "Krone", "currencysymbol": "kr", "exchangerate": 7,
        }),
        "720dd88f-fece-e711-80f3-00155d889a3b": ("contacts", {"lastname": "C"}),
        "260dd88f-fece-e711-80f3-00155d889a3b": ("campaigns", {"name": "Fair"}),
    }  # fmt: skip
    for key, (table, values) in ids.items():
        assert env.send("PATCH", f"{table}({key})", values).status == 204
    lead = env.lead()
    url = f"leads({lead})/Microsoft.Dynamics.CRM.QualifyLead"
    answer = env.send("POST", url, body[1].encode(), Prefer="return=representation")  # in single quotes, as documented
    assert answer.status == 200, answer.text
    assert len(answer.json["value"]) == 3


@needs_examples
def test_texts_of_refusals_are_microsoft_s() -> None:
    env = Environment()
    documented = "".join(
        (EXAMPLES / name).read_text(encoding="utf-8") for name in ("conditional.http", "delta-link.http")
    )
    key = env.post("accounts", {"name": "A"}).id
    nowhere = "00000000-0000-0000-0000-000000000001"
    told = [
        env.patch(f"accounts({nowhere})", {"name": "B"}),
        env.send("PATCH", f"accounts({key})", {"name": "B"}, If_None_Match="*"),
        env.patch(f"accounts({key})", {"name": "B"}, If_Match='W/"470867"'),
    ]
    for answer in told:
        assert answer.json["error"]["message"] in documented
    refused = env.get("accounts?$top=1", Prefer="odata.track-changes").json["error"]["message"]
    assert refused.endswith("query parameter isn't supported when Change Tracking is enabled.")
