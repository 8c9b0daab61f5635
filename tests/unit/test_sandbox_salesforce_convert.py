"""convertLead in the sandbox: every effect, every refusal, all or nothing (salesforce-api §6, lifecycle §1 and §9)."""

from typing import Any

import pytest

from tests.support.salesforce_org import Bench, bench

LEAD: dict[str, Any] = {
    "FirstName": "Bertha",
    "LastName": "Boxer",
    "Salutation": "Ms.",
    "Company": "Farmers Coop.",
    "Title": "Director",
    "Email": "bertha@fcof.example",
    "Phone": "850 644 4200",
    "MobilePhone": "850 644 4201",
    "Street": "321 Westcott",
    "City": "Tallahassee",
    "Country": "USA",
    "LeadSource": "Web",
    "Industry": "Agriculture",
    "AnnualRevenue": 900750000,
    "NumberOfEmployees": 500,
    "Rating": "Hot",
    "Website": "https://fcof.example",
    "Description": "Generators",
}
RESULTS = ("accountId", "contactId", "opportunityId")
TABLES = ("Account", "Contact", "Opportunity", "OpportunityContactRole")


@pytest.fixture
def org() -> Bench:
    return bench()


@pytest.fixture
def lead(org: Bench) -> str:
    return org.create("Lead", **LEAD)


def counts(org: Bench) -> list[int]:
    return [len(org.rows(f"SELECT Id FROM {name}")) for name in TABLES]


def test_a_lead_becomes_account_contact_and_opportunity(org: Bench, lead: str) -> None:
    mia = org.app.login_as("mia@acme.example")["user_id"]
    org.wait(seconds=10)
    done = org.convert(lead, ownerId=mia)
    assert done["success"] == "true"
    account, contact, deal = (org.get(name, str(done[key])) for name, key in zip(TABLES, RESULTS, strict=False))
    assert {account["OwnerId"], contact["OwnerId"], deal["OwnerId"]} == {mia}
    expected = {
        "Name": "Farmers Coop.",
        "BillingCity": "Tallahassee",
        "Industry": "Agriculture",
        "NumberOfEmployees": 500,
    }
    assert {key: account[key] for key in expected} == expected
    assert (account["AnnualRevenue"], account["AccountSource"], account["Description"]) == (900750000.0, None, None)
    expected = {"Name": "Bertha Boxer", "Title": "Director", "MailingStreet": "321 Westcott", "LeadSource": "Web"}
    assert {key: contact[key] for key in expected} == expected
    assert (contact["AccountId"], contact["Description"]) == (account["Id"], "Generators")
    expected = {"Name": "Farmers Coop.", "StageName": "Prospecting", "CloseDate": "2026-03-31", "Amount": None}
    assert {key: deal[key] for key in expected} == expected
    assert (deal["Probability"], deal["LeadSource"], deal["AccountId"]) == (10.0, "Web", account["Id"])
    role = org.one("SELECT OpportunityId, ContactId, IsPrimary, Role FROM OpportunityContactRole")
    assert (role["OpportunityId"], role["ContactId"], role["IsPrimary"], role["Role"]) == (
        deal["Id"],
        contact["Id"],
        True,
        None,
    )
    row = org.get("Lead", lead)
    assert (row["IsConverted"], row["ConvertedDate"], row["Status"]) == (True, "2026-01-31", "Closed - Converted")
    assert [row[f"Converted{name}Id"] for name in TABLES[:3]] == [account["Id"], contact["Id"], deal["Id"]]
    assert (row["SystemModstamp"], row["IsUnreadByOwner"]) == ("2026-01-31T09:15:32.000+0000", False)
    (call,) = (call for call in org.world.calls if call.kind == "convertLead")
    assert (call.table, call.category, call.operations) == ("Lead", "data", (("Lead", "convertLead"),))


def test_a_second_call_changes_nothing_and_the_lead_is_read_only(org: Bench, lead: str) -> None:
    org.convert(lead)
    before = counts(org)
    again = org.convert(lead)
    assert (again["success"], again["statusCode"]) == ("false", "CANNOT_UPDATE_CONVERTED_LEAD")
    assert again["message"] == "cannot reference converted lead"
    assert counts(org) == before
    edited = org.update("Lead", lead, City="x")
    assert edited.body == [
        {"message": "cannot reference converted lead", "errorCode": "CANNOT_UPDATE_CONVERTED_LEAD", "fields": []}
    ]
    account = org.get("Lead", lead)["ConvertedAccountId"]
    assert org.rest("DELETE", f"sobjects/Lead/{lead}").status == 204  # but it may go, its results stay
    assert org.get("Account", account)["Id"] == account


def test_existing_rows_are_filled_only_where_they_are_empty() -> None:
    flag = {"DoNotCall": {"type": "boolean"}}
    org = bench({"objects": {"Lead": {"fields": flag}, "Contact": {"fields": flag}}})
    lead = org.create("Lead", **LEAD, DoNotCall=True)
    account = org.create("Account", Name="Farmers", Industry="Energy")
    contact = org.create("Contact", LastName="Boxer", AccountId=account, LeadSource="Partner Referral", Title="CEO")
    done = org.convert(lead, accountId=account, contactId=contact, doNotCreateOpportunity=True)
    assert [done[key] for key in RESULTS] == [account, contact, None]
    row = org.get("Account", account)
    assert (row["Name"], row["Industry"], row["BillingCity"]) == ("Farmers", "Energy", "Tallahassee")
    row = org.get("Contact", contact)
    assert (row["Title"], row["LeadSource"], row["Email"]) == ("CEO", "Partner Referral", "bertha@fcof.example")
    assert row["DoNotCall"] is False  # a checkbox is never empty
    assert counts(org)[2:] == [0, 0]
    other = org.create("Lead", **LEAD, DoNotCall=True)
    done = org.convert(other, accountId=account, contactId=contact, overwriteLeadSource=True)
    assert org.get("Contact", contact)["LeadSource"] == "Web"
    third = org.convert(org.create("Lead", **LEAD, DoNotCall=True), accountId=account)
    assert org.get("Contact", str(third["contactId"]))["DoNotCall"] is True


def test_an_existing_opportunity_keeps_its_own(org: Bench, lead: str) -> None:
    account = org.create("Account", Name="Farmers")
    deal = org.create("Opportunity", Name="Mine", StageName="Needs Analysis", CloseDate="2027-01-01", AccountId=account)
    done = org.convert(lead, accountId=account, opportunityId=deal)
    assert done["opportunityId"] == deal
    row = org.get("Opportunity", deal)
    assert (row["Name"], row["StageName"], row["CloseDate"]) == ("Mine", "Needs Analysis", "2027-01-01")
    assert row["ContactId"] == done["contactId"]
    assert org.get("Lead", lead)["ConvertedOpportunityId"] == deal
    assert counts(org) == [1, 1, 1, 1]


def test_nobody_knows_whether_an_existing_opportunity_gets_the_role_so_a_shape_may_say_no() -> None:
    org = bench({"conversion": {"contact_role_on_existing_opportunity": False}})
    account = org.create("Account", Name="Farmers")
    deal = org.create("Opportunity", Name="Mine", StageName="Needs Analysis", CloseDate="2027-01-01", AccountId=account)
    org.convert(org.create("Lead", **LEAD), accountId=account, opportunityId=deal)
    assert counts(org) == [1, 1, 1, 0]


NOBODY = "001xx0000000000"


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"convertedStatus": "Working - Contacted"}, "INVALID_STATUS", "invalid convertedStatus: Working - Contacted"),
        ({"convertedStatus": "Nonsense"}, "INVALID_STATUS", "invalid convertedStatus: Nonsense"),
        ({"leadId": "00Qxx0000000000"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        ({"leadId": "x"}, "INVALID_ID_FIELD", "invalid cross reference id"),
        ({"accountId": NOBODY}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        ({"accountId": "$other", "contactId": "$contact"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        (
            {"accountId": "$other", "opportunityId": "$deal"},
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
        ),
        ({"contactId": "$contact"}, "REQUIRED_FIELD_MISSING", "accountId"),
        (
            {"accountId": "$account", "opportunityId": "$deal", "opportunityName": "x"},
            "INVALID_FIELD",
            "opportunityName",
        ),
        (
            {"accountId": "$account", "opportunityId": "$deal", "doNotCreateOpportunity": True},
            "INVALID_FIELD",
            "opportunityId",
        ),
        ({"overwriteLeadSource": True}, "INVALID_FIELD", "overwriteLeadSource"),
        ({"opportunityName": "x" * 121}, "STRING_TOO_LONG", "(max length=120)"),
        ({"ownerId": "$idle"}, "INACTIVE_OWNER_OR_USER", "inactive user"),
        ({"ownerId": "$queue"}, "UNKNOWN_EXCEPTION", "Converted objects can only be owned by users."),
        ({"accountId": "$gone"}, "ENTITY_IS_DELETED", "entity is deleted"),
    ],
)
def test_refusals_leave_nothing_behind(org: Bench, lead: str, fields: dict[str, Any], code: str, message: str) -> None:
    account, other, gone = (org.create("Account", Name=name) for name in ("Farmers", "Other", "Gone"))
    named = {"account": account, "other": other, "gone": gone, "idle": org.app.login_as("idle@acme.example")["user_id"]}
    named["contact"] = org.create("Contact", LastName="Boxer", AccountId=account)
    named["deal"] = org.create("Opportunity", Name="D", StageName="x", CloseDate="2026-02-01", AccountId=account)
    named["queue"] = org.create("Group", Name="Q", Type="Queue")
    org.rest("DELETE", f"sobjects/Account/{gone}")
    org.update("User", named["idle"], IsActive=False)
    before, row = counts(org), org.get("Lead", lead)
    given = {key: named[value[1:]] if str(value).startswith("$") else value for key, value in fields.items()}
    done = org.convert(lead, **given)
    assert (done["success"], done["statusCode"]) == ("false", code)
    assert message in str(done["message"])
    assert [done[key] for key in RESULTS] == [None] * 3
    assert counts(org) == before
    assert org.get("Lead", lead) == row


def test_a_queues_lead_needs_an_owner(org: Bench) -> None:
    queue = org.create("Group", Name="Q", Type="Queue")
    lead = org.create("Lead", **LEAD, OwnerId=queue)
    assert org.convert(lead)["statusCode"] == "UNKNOWN_EXCEPTION"
    mia = org.app.login_as("mia@acme.example")["user_id"]
    done = org.convert(lead, ownerId=mia)
    assert org.get("Account", str(done["accountId"]))["OwnerId"] == mia


RULES = {
    "validation": [
        {"object": "Contact", "name": "phone", "refuse_when": "Phone = null", "message": "A contact needs a phone."}
    ],
    "required": {"Opportunity": ["Region__c"]},
    "duplicates": [
        {
            "name": "Contact_vs_Lead",
            "object": "Contact",
            "against": "Lead",
            "match": {"Email": "Email"},
            "where": "IsConverted = false",
            "action": "alert",
        }
    ],
}
FIELDS = {name: {"fields": {"Region__c": {"type": "string", "length": 20}}} for name in ("Lead", "Opportunity")}
MAPPED = {"mapping": {"Opportunity": {"Region__c": "Region__c"}}}


def test_rules_at_a_conversion() -> None:
    org = bench({"rules": RULES, "objects": FIELDS})
    lead = org.create("Lead", **{**LEAD, "Phone": None}, Region__c="South")
    refused = org.convert(lead)
    assert (refused["statusCode"], refused["message"]) == (
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "A contact needs a phone.",
    )
    org.update("Lead", lead, Phone="1")
    unmapped = org.convert(lead)  # Region__c of the lead is dropped silently, so the deal lacks it
    assert (unmapped["statusCode"], unmapped["fields"]) == ("REQUIRED_FIELD_MISSING", "Region__c")
    assert counts(org) == [0, 0, 0, 0]
    org = bench({"rules": RULES, "objects": FIELDS, "conversion": MAPPED})
    lead = org.create("Lead", **LEAD, Region__c="South")
    twin = org.create("Lead", **LEAD)
    assert org.convert(lead)["statusCode"] == "DUPLICATES_DETECTED"  # the twin is open; the lead itself does not count
    allowed = org.convert(lead, header="<DuplicateRuleHeader><allowSave>true</allowSave></DuplicateRuleHeader>")
    assert org.get("Opportunity", str(allowed["opportunityId"]))["Region__c"] == "South"
    org.rest("DELETE", f"sobjects/Lead/{twin}")
    last = org.create("Lead", **LEAD, Region__c="North")
    assert org.convert(last)["success"] == "true"
    lax = bench({"rules": RULES, "objects": FIELDS, "conversion": {**MAPPED, "require_validation": False}})
    for region in ("South", "North"):
        lead = lax.create("Lead", **{**LEAD, "Phone": None}, Region__c=region)
    assert lax.convert(lead)["success"] == "true"


def test_campaigns_follow_the_lead(org: Bench, lead: str) -> None:
    for name in ("Old", "New"):
        campaign = org.create("Campaign", Name=name)
        org.create("CampaignMember", CampaignId=campaign, LeadId=lead, Status="Responded")
        org.wait(seconds=1)
    done = org.convert(lead)
    assert org.get("Opportunity", str(done["opportunityId"]))["CampaignId"] == campaign
    members = org.rows("SELECT LeadId, ContactId, HasResponded FROM CampaignMember")
    assert [(row["LeadId"], row["ContactId"], row["HasResponded"]) for row in members] == [
        (lead, done["contactId"], True)
    ] * 2


def test_several_leads_succeed_or_fail_alone_whatever_the_prefix(org: Bench) -> None:
    first, second = (org.create("Lead", **LEAD) for _ in range(2))
    items = "".join(
        f"<q:leadConverts><q:leadId>{key}</q:leadId><q:convertedStatus>{status}</q:convertedStatus>"
        '<q:accountId xsi:nil="true"/></q:leadConverts>'
        for key, status in ((first, "Closed - Converted"), (second, "Open"), (first, "Closed - Converted"))
    )
    results = org.results(f'<q:convertLead xmlns:q="urn:partner.soap.sforce.com">{items}</q:convertLead>')
    assert [result.findtext("{urn:partner.soap.sforce.com}success") for result in results] == ["true", "false", "false"]
    too_many = org.soap(f"<convertLead>{'<leadConverts><leadId>x</leadId></leadConverts>' * 101}</convertLead>")
    assert (too_many.status, b"EXCEEDED_LEAD_CONVERT_LIMIT" in too_many.body) == (500, True)
