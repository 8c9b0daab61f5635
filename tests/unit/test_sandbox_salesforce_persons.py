"""Person accounts in the sandbox's Salesforce org, where `org.person_accounts` brings them."""

import copy
from typing import Any, Final

import pytest

from crmbridge.sandbox.salesforce.persons import account_column
from crmbridge.sandbox.salesforce.shape import ShapeError, load_shape, shape_from
from tests.support.salesforce_org import PARTNER, Bench, bench

SHAPE: Final[dict[str, Any]] = {
    "org": {"person_accounts": True},
    "objects": {
        "Account": {"recordTypes": [{"developerName": "Business", "default": True}]},
        "Contact": {
            "recordTypes": [{"developerName": "Client"}],
            "fields": {
                "HasOptedOutOfEmail": {"type": "boolean", "label": "Email Opt Out"},
                "DoNotCall": {"type": "boolean"},
                "AccountId": {"deletedWithParent": False},  # a person's contact goes with the account all the same
                "Tier__c": {"type": "picklist", "length": 20, "picklistValues": ["gold", "plain"]},
                "Key__c": {"type": "string", "length": 20, "unique": True, "externalId": True},
                "Mentor__c": {"type": "reference", "referenceTo": ["Contact"]},
                "Short__c": {"type": "string", "length": 40, "formula": "LEFT(FirstName, 1) & LastName"},
            },
        },
    },
}
STAMPS: Final = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
SAME: Final = (*STAMPS, "Name", "FirstName", "LastName", "Salutation", "Phone", "Fax", "Description", "OwnerId")
BAD_NAMES: Final = "INVALID_FIELD_FOR_INSERT_UPDATE"
NO_CONTACT: Final = ["INVALID_PERSON_ACCOUNT_OPERATION", "cannot reference person contact"]


@pytest.fixture
def org() -> Bench:
    return bench(SHAPE)


@pytest.fixture
def jane(org: Bench) -> str:
    return org.create("Account", FirstName="Jane", LastName="Roe", PersonEmail="jane@roe.example")


def kind(org: Bench, name: str) -> str:
    return org.one(f"SELECT Id FROM RecordType WHERE DeveloperName = '{name}'")["Id"]


def contact_of(org: Bench, account: str) -> str:
    return org.get("Account", account)["PersonContactId"]


def both(org: Bench, account: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A person's two rows, which show the same."""
    row = org.get("Account", account)
    contact = org.get("Contact", row["PersonContactId"])
    assert (row["IsPersonAccount"], contact["IsPersonAccount"], contact["AccountId"]) == (True, True, account)
    assert {name: row[name] for name in SAME} == {name: contact[name] for name in SAME}
    shown = {name: shown for name in contact if (shown := account_column(name)) in row}
    assert {shown: row[shown] for shown in shown.values()} == {shown: contact[name] for name, shown in shown.items()}
    return row, contact


def told(answered: Any) -> list[str]:
    (problem,) = answered.body
    return [problem["errorCode"], problem["message"]]


def fields(org: Bench, name: str) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in org.rest("GET", f"sobjects/{name}/describe").body["fields"]}


# -- what the org tells ------------------------------------------------------------------------------------------------


def test_an_org_without_the_feature_knows_nothing_of_it() -> None:
    plain = load_shape()
    assert not [name for item in plain.objects.values() for name in item.fields if "Person" in name]
    assert not plain.objects["Account"].document.record_types
    assert shape_from({"extends": "salesforce", "org": {"person_accounts": False}}).objects == plain.objects
    org, other = bench(), bench({"org": {"person_accounts": False}})
    given = {"Name": "Acme", "CrmBridge_Id__c": "a"}
    assert org.create("Account", **given) == other.create("Account", **given)


def test_an_account_shows_a_column_for_each_of_its_contacts(org: Bench) -> None:
    account, contact = fields(org, "Account"), fields(org, "Contact")
    for name, of in (
        ("PersonEmail", "Email"),
        ("PersonMobilePhone", "MobilePhone"),
        ("PersonTitle", "Title"),
        ("PersonBirthdate", "Birthdate"),
        ("PersonLeadSource", "LeadSource"),
        ("PersonHasOptedOutOfEmail", "HasOptedOutOfEmail"),
        ("PersonDoNotCall", "DoNotCall"),
        ("PersonMailingStreet", "MailingStreet"),
        ("PersonOtherPhone", "OtherPhone"),
        ("FirstName", "FirstName"),
        ("Salutation", "Salutation"),
        ("Tier__pc", "Tier__c"),
        ("Key__pc", "Key__c"),
    ):
        same = ("type", "label", "length", "custom", "createable", "updateable", "picklistValues")
        assert {key: account[name][key] for key in same} == {key: contact[of][key] for key in same}, name
    assert account["LastName"]["nillable"] is True
    assert account["PersonMailingCity"]["compoundFieldName"] == "PersonMailingAddress"
    assert account["Mentor__pc"]["relationshipName"] == "Mentor__pr"
    assert (account["Short__pc"]["calculated"], account["Short__pc"]["updateable"]) == (True, False)
    for field in (account["IsPersonAccount"], contact["IsPersonAccount"], account["PersonContactId"]):
        assert (field["createable"], field["updateable"]) == (False, False)
    assert (account["PersonContactId"]["referenceTo"], account["PersonContactId"]["relationshipName"]) == (
        ["Contact"],
        "PersonContact",
    )
    assert not {"PersonName", "PersonAccountId", "PersonPhone", "PersonDescription", "PersonOwnerId"} & account.keys()
    assert list(account)[list(account).index("Name") + 1 :][:3] == ["LastName", "FirstName", "Salutation"]
    assert fields(org, "Lead")["Company"]["nillable"] is True


def test_the_record_type_of_persons_comes_with_the_feature(org: Bench) -> None:
    rows = org.rows("SELECT DeveloperName, IsPersonType FROM RecordType WHERE SobjectType = 'Account' ORDER BY Id")
    assert [(row["DeveloperName"], row["IsPersonType"]) for row in rows] == [
        ("Business", False),
        ("PersonAccount", True),
    ]
    infos = org.rest("GET", "sobjects/Account/describe").body["recordTypeInfos"]
    assert [info["developerName"] for info in infos] == ["Business", "PersonAccount", "Master"]


def test_soap_tells_the_same(org: Bench) -> None:
    (info,) = org.results("<getUserInfo/>")
    assert info.findtext(f"{PARTNER}orgHasPersonAccounts") == "true"
    (described,) = org.results("<describeSObject><sObjectType>Account</sObjectType></describeSObject>")
    names = [field.findtext(f"{PARTNER}name") for field in described.iter(f"{PARTNER}fields")]
    assert {"IsPersonAccount", "PersonContactId", "PersonEmail", "Tier__pc"} <= set(names)
    assert sorted(map(str, names)) == sorted(fields(org, "Account"))


def test_a_custom_field_added_to_contacts_is_shown_by_person_accounts(org: Bench, jane: str) -> None:
    field = {"FullName": "Contact.Nick__c", "Metadata": {"type": "Text", "label": "Nick", "length": 20}}
    assert org.rest("POST", "tooling/sobjects/CustomField", field).status == 201
    assert fields(org, "Account")["Nick__pc"]["length"] == 20
    assert org.update("Account", jane, Nick__pc="JR").status == 204
    assert both(org, jane)[1]["Nick__c"] == "JR"


def test_a_person_record_type_is_accounts_alone_and_needs_the_feature() -> None:
    person = {"recordTypes": [{"developerName": "Patient", "person": True}]}
    for document in (
        {"objects": {"Account": person}},
        {"org": {"person_accounts": True}, "objects": {"Lead": person}},
    ):
        with pytest.raises(ShapeError, match="person record types are Account's alone"):
            shape_from({"extends": "salesforce", **document})
    org = bench({"org": {"person_accounts": True}, "objects": {"Account": person}})
    row = org.get("Account", org.create("Account", LastName="Roe"))
    assert row["RecordTypeId"] == org.one("SELECT Id FROM RecordType WHERE IsPersonType = true")["Id"]


# -- a new one ---------------------------------------------------------------------------------------------------------


def test_an_account_with_a_last_name_is_a_person_and_comes_with_its_contact(org: Bench) -> None:
    key = org.create(
        "Account",
        FirstName="Jane",
        LastName="Roe",
        Salutation="Dr.",
        PersonMailingCity="Oslo",
        Tier__pc="gold",
        Phone="1",
    )
    account, contact = both(org, key)
    assert account["Name"] == "Jane Roe"
    assert account["RecordTypeId"] == kind(org, "PersonAccount")
    assert account["PersonMailingAddress"]["city"] == contact["MailingAddress"]["city"] == "Oslo"
    assert (contact["Tier__c"], contact["Phone"], contact["Short__c"], account["Short__pc"]) == (
        "gold",
        "1",
        "JRoe",
        "JRoe",
    )
    (found,) = org.rows("SELECT Name, PersonContact.Email, (SELECT Id FROM Contacts) FROM Account")
    assert [row["Id"] for row in found["Contacts"]["records"]] == [contact["Id"]]


@pytest.mark.parametrize(
    ("given", "person"),
    [
        ({"LastName": "Roe"}, True),
        ({"LastName": "Roe", "RecordTypeId": "PersonAccount"}, True),
        ({"Name": "Acme"}, False),
        ({"Name": "Acme", "RecordTypeId": "Business"}, False),
    ],
)
def test_what_a_new_account_is(org: Bench, given: dict[str, str], person: bool) -> None:
    if name := given.get("RecordTypeId"):
        given = {**given, "RecordTypeId": kind(org, name)}
    row = org.get("Account", org.create("Account", **given))
    assert (row["IsPersonAccount"], bool(row["PersonContactId"])) == (person, person)
    assert row["RecordTypeId"] == kind(org, "PersonAccount" if person else "Business")
    assert len(org.rows("SELECT Id FROM Contact")) == person


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (
            {"LastName": "Roe", "Name": "Jane Roe", "RecordTypeId": "PersonAccount"},
            BAD_NAMES,
            "Account: bad field names on insert/update call: Name",
        ),
        (
            {"Name": "Acme", "LastName": "Roe", "Tier__pc": "gold", "PersonEmail": "a@b.example"},
            BAD_NAMES,
            "Account: bad field names on insert/update call: LastName, Tier__pc, PersonEmail",
        ),
        (
            {"LastName": "Roe", "RecordTypeId": "Business"},
            BAD_NAMES,
            "Account: bad field names on insert/update call: LastName",
        ),
        (
            {"FirstName": "Jane", "RecordTypeId": "PersonAccount"},
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName]",
        ),
        ({"FirstName": "Jane"}, BAD_NAMES, "Account: bad field names on insert/update call: FirstName"),
        ({"Site": "x"}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"),
        ({"LastName": "Roe", "IsPersonAccount": True}, BAD_NAMES, "Unable to create/update fields: IsPersonAccount."),
    ],
)
def test_an_account_that_is_half_of_each_is_refused(org: Bench, given: dict[str, Any], code: str, message: str) -> None:
    if name := given.get("RecordTypeId"):
        given = {**given, "RecordTypeId": kind(org, name)}
    refused = org.rest("POST", "sobjects/Account", given)
    assert (refused.status, told(refused)[0]) == (400, code)
    assert told(refused)[1].startswith(message)
    assert org.rows("SELECT Id FROM Account") == org.rows("SELECT Id FROM Contact") == []


def test_both_rows_bear_the_stamps_of_one_save_also_of_a_late_one(org: Bench) -> None:
    org.wait(minutes=5)
    org.app.delay("", 60, 1)
    account, _ = both(org, org.create("Account", LastName="Roe"))
    assert account["SystemModstamp"] == "2026-01-31T09:19:22.000+0000"


def test_persons_are_loaded_like_other_rows_and_their_contact_with_them() -> None:
    org = bench(SHAPE, {"Account": [{"LastName": "Roe", "PersonEmail": "roe@x.example"}, {"Name": "Acme"}]})
    person = org.one("SELECT Id FROM Account WHERE IsPersonAccount = true")["Id"]
    account, contact = both(org, person)
    assert (account["Name"], contact["Email"], contact["Short__c"]) == ("Roe", "roe@x.example", "Roe")
    assert len(org.rows("SELECT Id FROM Contact")) == 1


def test_a_profile_says_which_record_type_its_users_persons_have() -> None:
    types = [{"developerName": name, "person": True} for name in ("Patient", "Donor")]
    shape = {
        "org": {"person_accounts": True},
        "objects": {"Account": {"recordTypes": types}},
        "profiles": {"Giving": {"record_types": {"Account": {"available": ["Donor"]}}}},
        "people": {"dee@acme.example": {"profile": "Giving"}},
    }
    org = bench(shape)
    dee = org.person("dee@acme.example")
    assert dee.get("Account", dee.create("Account", LastName="Roe"))["RecordTypeId"] == kind(org, "Donor")
    assert org.get("Account", org.create("Account", LastName="Roe"))["RecordTypeId"] == kind(org, "Patient")


# -- two rows, one person ----------------------------------------------------------------------------------------------


def test_what_is_written_to_either_row_stands_in_both(org: Bench, jane: str) -> None:
    contact = contact_of(org, jane)
    other = org.person("sam@acme.example").app.login_as("sam@acme.example")["user_id"]
    for table, key, change in (
        ("Account", jane, {"PersonEmail": "new@roe.example", "PersonBirthdate": "1990-01-02", "Tier__pc": "gold"}),
        ("Contact", contact, {"FirstName": "June", "MailingCity": "Rome", "DoNotCall": True, "Tier__c": None}),
        ("Contact", contact, {"Phone": "7", "Description": "shared", "OwnerId": other}),
        ("Account", jane, {"Phone": None, "Fax": "8", "LastName": "Doe", "PersonHasOptedOutOfEmail": True}),
        ("Account", jane, {"Industry": "Energy"}),
    ):
        org.wait(seconds=5)
        before = org.get("Account", jane)["SystemModstamp"]
        assert org.update(table, key, **change).status == 204
        assert org.get(table, key) | change == org.get(table, key)
        assert both(org, jane)[0]["SystemModstamp"] > before
    account, person = both(org, jane)
    assert (account["Name"], person["Short__c"], account["PersonMailingAddress"]["city"]) == (
        "June Doe",
        "JDoe",
        "Rome",
    )


def test_places_of_a_person_have_codes_where_the_org_has_them() -> None:
    org = bench({**SHAPE, "org": {"person_accounts": True, "state_country_picklists": True}})
    key = org.create("Account", LastName="Roe", PersonMailingCountryCode="US", PersonMailingState="Florida")
    assert both(org, key)[1]["MailingStateCode"] == "FL"
    assert org.update("Contact", contact_of(org, key), MailingStateCode="CA").status == 204
    assert both(org, key)[0]["PersonMailingState"] == "California"


def test_what_one_row_could_not_hold_is_refused_to_the_other(org: Bench, jane: str) -> None:
    org.create("Contact", LastName="Other", Key__c="k-1")
    assert told(org.update("Account", jane, Key__pc="K-1"))[0] == "DUPLICATE_VALUE"
    assert told(org.rest("POST", "sobjects/Account", {"LastName": "Roe", "Key__pc": "k-1"}))[0] == "DUPLICATE_VALUE"
    assert told(org.update("Account", jane, LastName=None)) == [
        "REQUIRED_FIELD_MISSING",
        "Required fields are missing: [LastName]",
    ]
    assert both(org, jane)[0]["Key__pc"] is None
    assert len(org.rows("SELECT Id FROM Account")) == 1
    strict = bench({**SHAPE, "rules": {"required": {"Contact": ["Email"], "Account": ["PersonTitle"]}}})
    assert strict.create("Account", Name="Acme")  # what persons must have, a business account need not
    key = strict.create("Account", LastName="Roe", PersonEmail="a@b.example", PersonTitle="Dean")
    for table, row, change, name in (
        ("Account", key, {"PersonEmail": None}, "PersonEmail"),
        ("Contact", contact_of(strict, key), {"Title": None}, "Title"),
    ):
        assert told(strict.update(table, row, **change))[1] == f"Required fields are missing: [{name}]"


def test_a_business_account_keeps_what_is_a_persons_empty(org: Bench, jane: str) -> None:
    key = org.create("Account", Name="Acme")
    refused = org.update("Account", key, Site="x", PersonEmail="a@b.example", Tier__pc="gold")
    assert told(refused) == [BAD_NAMES, "Account: bad field names on insert/update call: PersonEmail, Tier__pc"]
    assert refused.body[0]["fields"] == ["PersonEmail", "Tier__pc"]
    row = org.get("Account", key)
    assert (row["Name"], row["LastName"], row["PersonEmail"], row["PersonDoNotCall"]) == ("Acme", None, None, False)
    assert told(org.update("Account", jane, Name="x")) == [
        BAD_NAMES,
        "Account: bad field names on insert/update call: Name",
    ]


def test_a_validation_rule_of_accounts_knows_the_person() -> None:
    rule = {
        "object": "Account",
        "name": "mail",
        "formula": "AND(IsPersonAccount, ISBLANK(PersonEmail))",
        "message": "No!",
    }
    org = bench({**SHAPE, "rules": {"validation": [rule]}})
    assert told(org.rest("POST", "sobjects/Account", {"LastName": "Roe"}))[1] == "No!"
    assert org.create("Account", Name="Acme")
    assert org.create("Account", LastName="Roe", PersonEmail="a@b.example")


def test_a_formula_of_the_contact_that_looks_at_the_account_is_shown_by_the_account() -> None:
    formula = {"type": "string", "length": 40, "formula": "TEXT(Account.Industry) & '!'"}
    org = bench({"org": {"person_accounts": True}, "objects": {"Contact": {"fields": {"Line__c": formula}}}})
    key = org.create("Account", LastName="Roe", Industry="Energy")
    assert both(org, key)[0]["Line__pc"] == "Energy!"
    assert org.update("Account", key, Industry="Banking").status == 204
    assert both(org, key)[0]["Line__pc"] == "Banking!"


def test_a_copy_of_the_org_keeps_its_persons_to_itself(org: Bench, jane: str) -> None:
    copied = copy.deepcopy(org)
    assert copied.update("Contact", contact_of(copied, jane), LastName="Doe").status == 204
    assert (both(copied, jane)[0]["LastName"], both(org, jane)[0]["LastName"]) == ("Doe", "Roe")


def test_who_holds_the_contact_holds_the_account(org: Bench, jane: str) -> None:
    org.app.hold([contact_of(org, jane)], 30)
    assert told(org.update("Account", jane, Site="x"))[0] == "UNABLE_TO_LOCK_ROW"


# -- the person contact is nobody else's -------------------------------------------------------------------------------


def test_a_person_contact_is_neither_moved_nor_deleted_on_its_own(org: Bench, jane: str) -> None:
    contact, acme = contact_of(org, jane), org.create("Account", Name="Acme")
    for given in ({"AccountId": acme}, {"AccountId": None}, {"AccountId": jane}):
        assert told(org.update("Contact", contact, **given)) == [
            BAD_NAMES,
            "Contact: bad field names on insert/update call: AccountId",
        ]
    assert told(org.update("Contact", contact, RecordTypeId=kind(org, "Client"))) == [
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "insufficient access rights on object id",
    ]
    assert told(org.rest("DELETE", f"sobjects/Contact/{contact}")) == NO_CONTACT
    assert told(org.update("Contact", contact, IsPersonAccount=False))[0] == BAD_NAMES
    both(org, jane)


def test_no_other_contact_has_a_person_account(org: Bench, jane: str) -> None:
    code = "INVALID_PERSON_ACCOUNT_OPERATION"
    assert told(org.rest("POST", "sobjects/Contact", {"LastName": "Kid", "AccountId": jane}))[0] == code
    kid = org.create("Contact", LastName="Kid", AccountId=org.create("Account", Name="Acme"))
    assert told(org.update("Contact", kid, AccountId=jane))[0] == code
    assert org.update("Contact", kid, ReportsToId=contact_of(org, jane)).status == 204


def test_a_file_is_linked_to_the_account_of_a_person(org: Bench, jane: str) -> None:
    note = org.create("ContentNote", Title="n", Content="PHA+aGk8L3A+")
    link = {"ContentDocumentId": note, "LinkedEntityId": contact_of(org, jane), "ShareType": "V"}
    assert told(org.rest("POST", "sobjects/ContentDocumentLink", link)) == NO_CONTACT
    assert org.create("ContentDocumentLink", **{**link, "LinkedEntityId": jane})


def test_a_deleted_person_takes_the_contact_along_and_brings_it_back(org: Bench, jane: str) -> None:
    contact = contact_of(org, jane)
    org.wait(minutes=5)
    assert org.rest("DELETE", f"sobjects/Account/{jane}").status == 204
    window = "start=2026-01-31T09:00:00Z&end=2026-01-31T10:00:00Z"
    for table, key in (("Account", jane), ("Contact", contact)):
        (gone,) = org.rest("GET", f"sobjects/{table}/deleted?{window}").body["deletedRecords"]
        assert gone == {"id": key, "deletedDate": "2026-01-31T09:20:22.000+0000"}
        (row,) = org.rows(f"SELECT Id, IsDeleted, SystemModstamp FROM {table}", everything=True)
        assert (row["Id"], row["IsDeleted"], row["SystemModstamp"]) == (key, True, gone["deletedDate"])
        assert org.rows(f"SELECT Id FROM {table}") == []
    (refused,) = org.results(f"<undelete><ids>{contact}</ids></undelete>")
    assert refused.findtext(f".//{PARTNER}message") == NO_CONTACT[1]
    org.wait(minutes=5)
    (back,) = org.results(f"<undelete><ids>{jane}</ids></undelete>")
    assert back.findtext(f"{PARTNER}success") == "true"
    assert both(org, jane)[1]["Id"] == contact


def test_an_emptied_bin_has_neither_row(org: Bench, jane: str) -> None:
    contact = contact_of(org, jane)
    org.rest("DELETE", f"sobjects/Account/{jane}")
    (refused,) = org.results(f"<emptyRecycleBin><ids>{contact}</ids></emptyRecycleBin>")
    assert refused.findtext(f"{PARTNER}success") == "false"
    assert org.results(f"<emptyRecycleBin><ids>{jane}</ids></emptyRecycleBin>")
    assert org.rows("SELECT Id FROM Contact", everything=True) == []


def test_a_change_between_business_and_person_and_merges_of_persons_are_refused_by_name(org: Bench, jane: str) -> None:
    acme = org.create("Account", Name="Acme")
    for key, name, words in (
        (jane, "Business", "a person account into a business account"),
        (acme, "PersonAccount", "a business account into a person account"),
    ):
        refused = org.update("Account", key, RecordTypeId=kind(org, name))
        assert refused.codes == ["NOT_SERVED_BY_SANDBOX"]
        assert words in refused.body[0]["message"]
        assert told(org.update("Account", key, RecordTypeId=kind(org, name), Site="x")) == [
            BAD_NAMES,
            "Cannot specify any additional fields when marrying or separating a Person-Account",
        ]
    assert org.update("Account", jane, RecordTypeId=kind(org, "PersonAccount"), Site="x").status == 204
    john = org.create("Account", LastName="Doe")
    for table, master, loser, words in (
        ("Account", jane, john, "the merging of person accounts"),
        ("Account", acme, jane, "the merging of person accounts"),
        ("Contact", contact_of(org, jane), contact_of(org, john), NO_CONTACT[1]),
    ):
        row = f"<masterRecord><type>{table}</type><Id>{master}</Id></masterRecord>"
        request = f"<merge><request>{row}<recordToMergeIds>{loser}</recordToMergeIds></request></merge>"
        (result,) = org.results(request)
        assert words in (result.findtext(f".//{PARTNER}message") or "")
    both(org, jane)
    both(org, john)


# -- conversion --------------------------------------------------------------------------------------------------------

LEAD: Final = {
    "FirstName": "Lee",
    "LastName": "Moe",
    "Email": "lee@moe.example",
    "City": "Rome",
    "Phone": "7",
    "Title": "Dean",
    "LeadSource": "Web",
    "Industry": "Energy",
}


def test_a_lead_without_a_company_becomes_a_person_account(org: Bench) -> None:
    lead = org.create("Lead", **LEAD)
    done = org.convert(lead, opportunityName="")
    account, contact = both(org, str(done["accountId"]))
    assert (done["success"], done["contactId"]) == ("true", contact["Id"])
    assert (account["Name"], account["PersonEmail"], account["PersonTitle"]) == ("Lee Moe", "lee@moe.example", "Dean")
    assert (account["Industry"], account["Phone"], account["PersonLeadSource"]) == ("Energy", "7", "Web")
    assert (account["BillingCity"], contact["MailingCity"]) == ("Rome", "Rome")
    assert account["RecordTypeId"] == kind(org, "PersonAccount")
    row = org.get("Lead", lead)
    assert (row["ConvertedAccountId"], row["ConvertedContactId"]) == (account["Id"], contact["Id"])
    deal = org.get("Opportunity", str(done["opportunityId"]))
    assert (deal["Name"], deal["AccountId"]) == ("Lee Moe", account["Id"])
    role = org.one("SELECT ContactId, IsPrimary FROM OpportunityContactRole")
    assert (role["ContactId"], role["IsPrimary"]) == (contact["Id"], True)


def test_a_lead_with_a_company_becomes_an_account_and_a_contact_as_ever(org: Bench) -> None:
    done = org.convert(org.create("Lead", **LEAD, Company="Acme"))
    account = org.get("Account", str(done["accountId"]))
    assert (account["Name"], account["IsPersonAccount"], account["PersonEmail"]) == ("Acme", False, None)
    assert org.get("Contact", str(done["contactId"]))["IsPersonAccount"] is False


def test_a_lead_goes_into_a_person_account_that_is_there_and_fills_what_is_empty(org: Bench, jane: str) -> None:
    done = org.convert(org.create("Lead", **LEAD), accountId=jane, doNotCreateOpportunity=True)
    assert (done["accountId"], done["contactId"], done["opportunityId"]) == (jane, contact_of(org, jane), None)
    account, contact = both(org, jane)
    assert (account["Name"], account["PersonEmail"]) == ("Jane Roe", "jane@roe.example")
    assert (account["PersonTitle"], contact["Title"], contact["MailingCity"]) == ("Dean", "Dean", "Rome")


def test_a_contact_beside_a_person_account_is_refused_and_nothing_is_made(org: Bench, jane: str) -> None:
    lead = org.create("Lead", **LEAD)
    refused = org.convert(lead, accountId=jane, contactId=contact_of(org, jane))
    assert (refused["success"], refused["message"]) == ("false", NO_CONTACT[1])
    assert org.get("Lead", lead)["IsConverted"] is False
    assert org.convert(lead, relatedPersonAccountId=jane)["success"] == "false"


def test_a_lead_without_a_company_goes_into_a_business_account_as_a_contact(org: Bench) -> None:
    acme = org.create("Account", Name="Acme")
    done = org.convert(org.create("Lead", **LEAD), accountId=acme)
    contact = org.get("Contact", str(done["contactId"]))
    assert (contact["AccountId"], contact["IsPersonAccount"], contact["Email"]) == (acme, False, "lee@moe.example")


def test_the_files_of_a_lead_go_to_the_account_of_the_person(org: Bench) -> None:
    lead = org.create("Lead", **LEAD)
    note = org.create("ContentNote", Title="n", Content="PHA+aGk8L3A+")
    link = org.create("ContentDocumentLink", ContentDocumentId=note, LinkedEntityId=lead, ShareType="V")
    task = org.create("Task", WhoId=lead, Subject="Call", Status="Not Started")
    done = org.convert(lead)
    assert org.get("ContentDocumentLink", link)["LinkedEntityId"] == done["accountId"]
    assert org.get("Task", task)["WhoId"] == done["contactId"]


def test_an_opportunity_may_be_a_persons(org: Bench, jane: str) -> None:
    deal = org.create("Opportunity", Name="d", AccountId=jane, StageName="Prospecting", CloseDate="2026-02-01")
    assert org.one(f"SELECT Account.PersonEmail FROM Opportunity WHERE Id = '{deal}'")["Account"] | {
        "attributes": 0
    } == {
        "attributes": 0,
        "PersonEmail": "jane@roe.example",
    }
