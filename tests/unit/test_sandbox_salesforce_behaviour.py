"""How a Salesforce org behaves: who may what, what a save takes along, what comes back, and what never does."""

import base64
import json
from typing import Any

import pytest

from crmbridge.sandbox.control import ControlApp
from crmbridge.sandbox.core import Request
from crmbridge.sandbox.salesforce.shape import ShapeError, shape_from
from crmbridge.sandbox.sandbox import Sandbox
from tests.support.salesforce_org import PARTNER, Bench, bench

DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-03-31"}
SALES = "sam@acme.example"


def lead(**fields: Any) -> dict[str, Any]:
    return {"LastName": "Roe", "Company": "Acme", **fields}


def rights(**profile: Any) -> dict[str, Any]:
    return {"profiles": {"Sales": profile}, "people": {SALES: {"profile": "Sales"}}}


def as_sales(profile: dict[str, Any], **more: Any) -> tuple[Bench, Bench]:
    org = bench({**rights(**profile), **more})
    return org, org.person(SALES)


# -- rights --------------------------------------------------------------------------------------------------------


def test_a_hidden_field_does_not_exist_for_its_users() -> None:
    org, sam = as_sales({"fields": {"Opportunity": {"Amount": "hidden", "NextStep": "read"}}})
    deal = org.create("Opportunity", **DEAL, Amount=5, NextStep="call")
    assert sam.query("SELECT Amount FROM Opportunity").codes == ["INVALID_FIELD"]
    assert sam.query("SELECT Id FROM Opportunity WHERE Amount > 1").codes == ["INVALID_FIELD"]
    assert "Amount" not in sam.get("Opportunity", deal)
    names = {field["name"]: field for field in sam.rest("GET", "sobjects/Opportunity/describe").body["fields"]}
    assert "Amount" not in names
    assert (names["NextStep"]["updateable"], names["NextStep"]["createable"]) == (False, False)
    assert sam.update("Opportunity", deal, Amount=6).codes == ["INVALID_FIELD"]
    refused = sam.update("Opportunity", deal, NextStep="x")
    assert (refused.codes, refused.body[0]["fields"]) == (["INVALID_FIELD_FOR_INSERT_UPDATE"], ["NextStep"])
    assert sam.update("Opportunity", deal, Name="Ours").status == 204
    row = org.get("Opportunity", deal)
    assert (row["Amount"], row["Name"]) == (5.0, "Ours")


def test_an_object_without_rights_is_not_there_and_one_to_read_cannot_be_written() -> None:
    org, sam = as_sales({"objects": {"Lead": [], "Account": ["read"], "Contact": ["read", "create", "edit"]}})
    account = org.create("Account", Name="Acme")
    contact = sam.create("Contact", LastName="Roe")
    assert sam.rest("GET", "sobjects/Lead/describe").status == 404
    assert sam.query("SELECT Id FROM Lead").codes == ["INVALID_TYPE"]
    for refused in (
        sam.rest("POST", "sobjects/Account", {"Name": "Mine"}),
        sam.update("Account", account, Name="Mine"),
        sam.rest("DELETE", f"sobjects/Account/{account}"),
        sam.rest("DELETE", f"sobjects/Contact/{contact}"),
    ):
        assert refused.codes == ["INSUFFICIENT_ACCESS_OR_READONLY"]
    described = sam.rest("GET", "sobjects/Account/describe").body
    assert (described["createable"], described["updateable"], described["deletable"]) == (False, False, False)
    assert org.update("Account", account, Name="Ours").status == 204


def test_what_a_user_cannot_see_is_used_by_the_platform_all_the_same() -> None:
    rule = {"object": "Opportunity", "name": "big", "formula": "Amount > 100", "message": "Too big."}
    hidden = {"fields": {"Opportunity": {"Amount": "hidden"}}}
    org, sam = as_sales(hidden, rules={"validation": [rule]})
    deal = org.create("Opportunity", **DEAL, Amount=50)
    assert sam.update("Opportunity", deal, StageName="Closed Won").status == 204
    assert org.get("Opportunity", deal)["ExpectedRevenue"] == 50.0


def test_converting_leads_needs_its_permission_and_rights_on_what_comes_of_it() -> None:
    org, sam = as_sales({"permissions": ["view_all_data", "modify_all_data"]})
    key = org.create("Lead", **lead())
    assert sam.convert(key)["statusCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    org, sam = as_sales({"objects": {"Opportunity": ["read"]}})
    key = org.create("Lead", **lead())
    assert sam.convert(key)["statusCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    assert sam.convert(key, doNotCreateOpportunity=True)["success"] == "true"


def test_a_user_is_told_their_own_permissions() -> None:
    org, sam = as_sales({"permissions": ["view_all_data", "set_audit_fields"]})
    asked = (
        "SELECT PermissionsApiEnabled, PermissionsConvertLeads, PermissionsViewAllData, PermissionsModifyAllData, "
        "PermissionsCreateAuditFields FROM UserPermissionAccess"
    )
    for who, told in ((org, [True, True, True, True, False]), (sam, [True, False, True, False, True])) * 2:
        (row,) = who.rows(asked)
        assert [value for name, value in row.items() if name != "attributes"] == told
    assert sam.rows("SELECT Id FROM UserPermissionAccess WHERE PermissionsConvertLeads = true") == []
    assert org.query("SELECT COUNT() FROM UserPermissionAccess").body["totalSize"] == 1


def test_a_user_is_told_their_rights_on_each_object() -> None:
    org, sam = as_sales(
        {
            "permissions": ["convert_leads"],
            "objects": {"Lead": ["read", "view_all"], "Contact": ["read"], "Account": []},
        }
    )

    def told(who: Bench) -> dict[str, tuple[bool, bool]]:
        me = who.rest("GET", "/services/oauth2/userinfo").body["user_id"]
        rows = who.rows(
            "SELECT SobjectType, PermissionsViewAllRecords, PermissionsModifyAllRecords FROM ObjectPermissions WHERE "
            "ParentId IN (SELECT PermissionSetId FROM PermissionSetAssignment WHERE "
            f"AssigneeId = '{me}') AND SobjectType IN ('Lead', 'Contact', 'Account')"
        )
        return {
            row["SobjectType"]: (row["PermissionsViewAllRecords"], row["PermissionsModifyAllRecords"]) for row in rows
        }

    assert told(sam) == {"Lead": (True, False), "Contact": (False, False)}
    assert told(org) == dict.fromkeys(("Lead", "Contact", "Account"), (True, True))


def test_audit_fields_and_converted_leads_are_for_those_with_the_permission() -> None:
    org, sam = as_sales(
        {"permissions": ["convert_leads", "modify_all_data", "set_audit_fields", "edit_converted_leads"]}
    )
    old = {"CreatedDate": "2020-01-01T00:00:00Z", "LastModifiedDate": "2020-02-01T00:00:00Z"}
    assert org.rest("POST", "sobjects/Lead", lead(**old)).codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert org.rest("POST", "sobjects/Lead", lead(IsConverted=True)).codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    key = sam.create("Lead", **lead(**old))
    assert sam.get("Lead", key)["CreatedDate"] == "2020-01-01T00:00:00.000+0000"
    assert sam.update("Lead", key, CreatedDate="2021-01-01T00:00:00Z").codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert sam.convert(key)["success"] == "true"
    assert org.update("Lead", key, City="x").codes == ["CANNOT_UPDATE_CONVERTED_LEAD"]
    assert sam.update("Lead", key, City="x").status == 204
    assert org.rest("DELETE", f"sobjects/Lead/{key}").status == 204  # deleting never touches what came of it
    assert len(org.rows("SELECT Id FROM Account")) == 1


def test_a_status_that_says_converted_converts_nothing() -> None:
    org = bench()
    key = org.create("Lead", **lead())
    assert org.update("Lead", key, Status="Closed - Converted").status == 204
    row = org.get("Lead", key)
    assert (row["IsConverted"], row["ConvertedDate"]) == (False, None)
    assert org.update("Lead", key, IsConverted=True).codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert org.convert(key)["success"] == "true"


def test_a_profile_offers_some_record_types_alone() -> None:
    types = {"objects": {"Lead": {"recordTypes": [{"developerName": "A", "default": True}, {"developerName": "B"}]}}}
    org, sam = as_sales({"record_types": {"Lead": {"available": ["B"], "default": "B"}}}, **types)
    ids = {row["DeveloperName"]: row["Id"] for row in org.rows("SELECT Id, DeveloperName FROM RecordType")}
    assert org.get("Lead", org.create("Lead", **lead()))["RecordTypeId"] == ids["A"]
    assert org.get("Lead", sam.create("Lead", **lead()))["RecordTypeId"] == ids["B"]
    assert sam.rest("POST", "sobjects/Lead", lead(RecordTypeId=ids["A"])).codes == ["INVALID_CROSS_REFERENCE_KEY"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (rights(objects={"Nope": ["read"]}), "unknown object Nope"),
        (rights(fields={"Lead": {"Nope": "read"}}), "Lead has no field Nope"),
        (rights(fields={"Lead": {"LastName": "hidden"}}), "shows everybody the field LastName"),
        (rights(record_types={"Lead": {"available": ["Nope"]}}), "no record type Nope"),
        ({"people": {SALES: {"profile": "Nope"}}}, "no profile Nope"),
        ({"sharing": {"Nope": "private"}}, "unknown object Nope"),
    ],
)
def test_mistakes_in_profiles(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        shape_from({"extends": "salesforce", **document})


def test_what_a_conversion_makes_has_the_record_type_of_its_owner() -> None:
    types = {"objects": {"Account": {"recordTypes": [{"developerName": "A", "default": True}, {"developerName": "B"}]}}}
    org, sam = as_sales({"record_types": {"Account": {"available": ["B"], "default": "B"}}}, **types)
    ids = {row["DeveloperName"]: row["Id"] for row in org.rows("SELECT Id, DeveloperName FROM RecordType")}
    user = org.one(f"SELECT Id FROM User WHERE Email = '{SALES}'")["Id"]
    made = [org.convert(org.create("Lead", **lead()), **owner) for owner in ({}, {"ownerId": user})]
    kinds = [org.get("Account", str(each["accountId"]))["RecordTypeId"] for each in made]
    assert kinds == [ids["A"], ids["B"]]
    assert sam.get("Account", str(made[1]["accountId"]))["OwnerId"] == user


# -- sharing -------------------------------------------------------------------------------------------------------

SHARED = {"sharing": {"Account": "private", "Contact": "controlled_by_parent", "Lead": "read"}}


def test_private_rows_are_their_owners() -> None:
    org, sam = as_sales({"permissions": ["convert_leads"]}, **SHARED)
    theirs, mine = org.create("Account", Name="Theirs"), sam.create("Account", Name="Mine")
    below = org.create("Contact", LastName="Roe", AccountId=theirs)
    assert [row["Name"] for row in sam.rows("SELECT Name FROM Account")] == ["Mine"]
    assert sam.query("SELECT COUNT() FROM Contact").body["totalSize"] == 0
    assert sam.rest("GET", f"sobjects/Account/{theirs}").status == 404
    assert sam.update("Contact", below, LastName="x").status == 404
    refused = sam.rest("POST", "sobjects/Contact", {"LastName": "a", "AccountId": theirs})
    assert (refused.codes, refused.body[0]["message"]) == (
        ["INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"],
        f"insufficient access rights on cross-reference id: {theirs[:15]}",
    )
    assert sam.update("Account", mine, Site="x").status == 204
    assert len(org.rows("SELECT Id FROM Account")) == 2


def test_rows_to_read_are_not_rows_to_write() -> None:
    org, sam = as_sales({"permissions": ["convert_leads"]}, **SHARED)
    key = org.create("Lead", **lead())
    assert sam.get("Lead", key)["LastName"] == "Roe"
    assert sam.update("Lead", key, City="x").codes == ["INSUFFICIENT_ACCESS_OR_READONLY"]
    assert sam.rest("DELETE", f"sobjects/Lead/{key}").codes == ["INSUFFICIENT_ACCESS_OR_READONLY"]
    assert sam.convert(key)["statusCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"


def test_an_account_with_others_deals_is_not_deleted() -> None:
    org, sam = as_sales({"permissions": []}, sharing={"Account": "private", "Opportunity": "read"})
    account = sam.create("Account", Name="Mine")
    org.create("Opportunity", **DEAL, AccountId=account)
    refused = sam.rest("DELETE", f"sobjects/Account/{account}")
    assert refused.codes == ["DELETE_FAILED"]
    assert "owned by other users.: Deal" in refused.body[0]["message"]
    assert org.rest("DELETE", f"sobjects/Account/{account}").status == 204


def test_a_queues_rows_are_its_members() -> None:
    org, sam = as_sales({"permissions": []}, sharing={"Lead": "private"})
    queue = org.create("Group", Name="Web", Type="Queue")
    key = org.create("Lead", **lead(OwnerId=queue))
    assert sam.rest("GET", f"sobjects/Lead/{key}").status == 404
    user = org.one(f"SELECT Id FROM User WHERE Email = '{SALES}'")["Id"]
    org.create("GroupMember", GroupId=queue, UserOrGroupId=user)
    assert sam.get("Lead", key)["OwnerId"] == queue


# -- owners --------------------------------------------------------------------------------------------------------


def test_who_may_own() -> None:
    org = bench()
    gone = org.app.login_as("gone@acme.example")["user_id"]
    key = org.create("Lead", **lead(OwnerId=gone))
    org.update("User", gone, IsActive=False)
    assert org.rest("POST", "sobjects/Lead", lead(OwnerId=gone)).codes == ["INACTIVE_OWNER_OR_USER"]
    assert org.update("Lead", key, City="x").status == 204  # the owner it has may stay
    queue, group = (org.create("Group", Name=kind, Type=kind) for kind in ("Queue", "Regular"))
    assert org.update("Lead", key, OwnerId=queue).status == 204
    assert org.update("Lead", key, OwnerId=group).codes == ["FIELD_INTEGRITY_EXCEPTION"]
    assert org.rest("POST", "sobjects/Account", {"Name": "a", "OwnerId": queue}).codes == ["FIELD_INTEGRITY_EXCEPTION"]
    org.create("QueueSobject", QueueId=queue, SobjectType="Task")
    other = org.create("Lead", **lead())
    assert org.update("Lead", other, OwnerId=queue).codes == ["INVALID_CROSS_REFERENCE_KEY"]
    assert org.create("Task", Subject="Call", OwnerId=queue)


# -- deleting and coming back --------------------------------------------------------------------------------------


def test_an_account_takes_its_children_along_and_brings_them_back() -> None:
    org = bench()
    account = org.create("Account", Name="Acme")
    child = org.create("Account", Name="Sub", ParentId=account)
    contact = org.create("Contact", LastName="Roe", AccountId=account)
    deal = org.create("Opportunity", **DEAL, AccountId=account, ContactId=contact)
    task = org.create("Task", Subject="Call", WhatId=deal)
    assert org.rest("DELETE", f"sobjects/Account/{account}").status == 204
    for name in ("Contact", "Opportunity", "OpportunityContactRole", "Task"):
        assert org.rows(f"SELECT Id FROM {name}") == []
        assert all(row["IsDeleted"] for row in org.rows(f"SELECT IsDeleted FROM {name}", everything=True))
    assert org.get("Account", child)["ParentId"] is None  # a plain lookup is emptied
    (result,) = org.results(f"<undelete><ids>{account}</ids></undelete>")
    assert result.findtext(f"{PARTNER}success") == "true"
    assert org.get("Opportunity", deal)["ContactId"] == contact
    assert org.get("Task", task)["WhatId"] == deal
    assert org.get("Account", child)["ParentId"] == account


def test_a_deal_that_went_with_its_account_comes_back_alone_with_its_roles() -> None:
    """What it shows of a contact is its primary role, in the bin too."""
    org = bench()
    account, contact = org.create("Account", Name="Acme"), org.create("Contact", LastName="Roe")
    deal = org.create("Opportunity", **DEAL, AccountId=account, ContactId=contact)
    assert org.rest("DELETE", f"sobjects/Account/{account}").status == 204
    (gone,) = org.rows("SELECT ContactId FROM Opportunity", everything=True)
    assert gone["ContactId"] is None
    (result,) = org.results(f"<undelete><ids>{deal}</ids></undelete>")
    assert result.findtext(f"{PARTNER}success") == "true"
    assert [row["ContactId"] for row in org.rows("SELECT ContactId FROM OpportunityContactRole")] == [contact]
    assert org.get("Opportunity", deal)["ContactId"] == contact


def test_closed_won_deals_hold_their_account() -> None:
    org = bench()
    account = org.create("Account", Name="Acme")
    org.create("Opportunity", **{**DEAL, "StageName": "Closed Won", "Name": "Won"}, AccountId=account)
    refused = org.rest("DELETE", f"sobjects/Account/{account}")
    assert (refused.status, refused.codes) == (400, ["DELETE_FAILED"])
    assert "closed won opportunities.: Won" in refused.body[0]["message"]


def test_a_row_that_insists_on_its_parent_forbids_the_delete() -> None:
    fields = {"Lead__c": {"type": "reference", "referenceTo": ["Lead"], "restrictedDelete": True}}
    org = bench({"objects": {"Visit__c": {"keyPrefix": "a01", "labelPlural": "Visits", "fields": fields}}})
    key = org.create("Lead", **lead())
    visit = org.create("Visit__c", Name="First", Lead__c=key)
    refused = org.rest("DELETE", f"sobjects/Lead/{key}")
    assert (refused.codes, "visits.: First" in refused.body[0]["message"]) == (["DELETE_FAILED"], True)
    assert org.rest("DELETE", f"sobjects/Visit__c/{visit}").status == 204
    assert org.rest("DELETE", f"sobjects/Lead/{key}").status == 204


def test_deleted_and_gone_are_two_things() -> None:
    org = bench()
    one, other = (org.create("Lead", **lead(LastName=name)) for name in ("One", "Other"))
    for key in (one, other):
        org.rest("DELETE", f"sobjects/Lead/{key}")
    (result,) = org.results(f"<emptyRecycleBin><ids>{one}</ids></emptyRecycleBin>")
    assert result.findtext(f"{PARTNER}success") == "true"
    assert [row["LastName"] for row in org.rows("SELECT LastName FROM Lead", everything=True)] == ["Other"]
    assert org.update("Lead", one, City="x").codes == ["NOT_FOUND"]
    assert org.update("Lead", other, City="x").codes == ["ENTITY_IS_DELETED"]
    (result,) = org.results(f"<undelete><ids>{one}</ids></undelete>")
    assert result.findtext(f"{PARTNER}errors/{PARTNER}statusCode") == "UNDELETE_FAILED"
    org.wait(days=16)
    assert org.rows("SELECT Id FROM Lead", everything=True) == []
    assert org.update("Lead", other, City="x").codes == ["NOT_FOUND"]


def test_a_merge_moves_the_children_and_names_the_master() -> None:
    org = bench()
    master, loser = (org.create("Contact", LastName=name) for name in ("Master", "Loser"))
    task = org.create("Task", Subject="Call", WhoId=loser)
    reports = org.create("Contact", LastName="Below", ReportsToId=loser)
    (result,) = org.results(
        "<merge><request><masterRecord><type>Contact</type>"
        f"<Id>{master}</Id></masterRecord><recordToMergeIds>{loser}</recordToMergeIds></request></merge>"
    )
    assert result.findtext(f"{PARTNER}success") == "true"
    assert org.get("Task", task)["WhoId"] == org.get("Contact", reports)["ReportsToId"] == master
    gone = next(
        row for row in org.rows("SELECT Id, MasterRecordId FROM Contact", everything=True) if row["Id"] == loser
    )
    assert gone["MasterRecordId"] == master
    org.results(f"<undelete><ids>{loser}</ids></undelete>")
    assert org.get("Contact", loser)["MasterRecordId"] is None
    assert org.get("Task", task)["WhoId"] == master  # an undelete does not move children back


# -- activities and notes ------------------------------------------------------------------------------------------


def test_tasks_and_events_tell_what_they_know() -> None:
    org = bench()
    account = org.create("Account", Name="Acme")
    deal = org.create("Opportunity", **DEAL, AccountId=account)
    task = org.get("Task", org.create("Task", Subject="Call", WhatId=deal, Priority="High"))
    assert (task["Status"], task["IsClosed"], task["IsHighPriority"]) == ("Not Started", False, True)
    assert task["AccountId"] == account
    assert org.update("Task", task["Id"], Status="Completed").status == 204
    assert org.get("Task", task["Id"])["CompletedDateTime"] == "2026-01-31T09:15:22.000+0000"
    event = org.get(
        "Event", org.create("Event", Subject="Meeting", StartDateTime="2026-02-01T10:00:00Z", DurationInMinutes=90)
    )
    assert (event["EndDateTime"], event["ActivityDate"]) == ("2026-02-01T11:30:00.000+0000", "2026-02-01")
    wrong = {"Subject": "x", "StartDateTime": "2026-02-01T10:00:00Z"}
    assert org.rest("POST", "sobjects/Event", wrong).codes == ["REQUIRED_FIELD_MISSING"]
    backwards = {**wrong, "EndDateTime": "2026-02-01T09:00:00Z"}
    assert org.rest("POST", "sobjects/Event", backwards).codes == ["FIELD_INTEGRITY_EXCEPTION"]
    assert org.rest("POST", "sobjects/Task", {"WhoId": account}).codes == ["FIELD_INTEGRITY_EXCEPTION"]


def test_a_case_is_numbered_belongs_to_its_contact_and_closes_by_its_status() -> None:
    org = bench()
    account = org.create("Account", Name="Acme")
    person = org.create("Contact", LastName="Doe", Phone="12", AccountId=account)
    first, second = (org.create("Case", Subject=name, ContactId=person) for name in ("a", "b"))
    row = org.get("Case", first)
    assert (row["Status"], row["Priority"], row["IsClosed"], row["ContactPhone"]) == ("New", "Medium", False, "12")
    assert row["AccountId"] == account
    assert [org.get("Case", key)["CaseNumber"] for key in (first, second)] == ["00001001", "00001002"]
    assert org.update("Case", first, Status="Closed").status == 204
    assert (org.get("Case", first)["IsClosed"], bool(org.get("Case", first)["ClosedDate"])) == (True, True)
    assert org.update("Case", first, Status="Working").status == 204
    assert (org.get("Case", first)["IsClosed"], org.get("Case", first)["ClosedDate"]) == (False, None)
    assert [row["Id"] for row in org.one("SELECT (SELECT Id FROM Cases) FROM Account")["Cases"]["records"]] == [
        first,
        second,
    ]
    assert org.rest("PATCH", f"sobjects/Case/{first}", {"CaseNumber": "7"}).codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert org.rest("DELETE", f"sobjects/Account/{account}").codes == ["DELETE_FAILED"]


def test_an_address_of_mail_is_kept_in_lower_case() -> None:
    org = bench()
    key = org.create("Contact", LastName="Doe", Email="Jane.Doe@Example.com")
    assert org.get("Contact", key)["Email"] == "jane.doe@example.com"
    again = org.rest("PATCH", "sobjects/Contact/Email/JANE.doe@example.com", {"FirstName": "Jane"})
    assert (again.status, again.body["id"]) == (200, key)


def test_the_organization_tells_how_its_rows_are_shared() -> None:
    asked = "SELECT DefaultAccountAccess, DefaultContactAccess, DefaultLeadAccess, Street, Address FROM Organization"
    known = {"DefaultContactAccess": "ControlledByParent", "Street": None, "Address": None}
    row = bench().one(asked)
    assert row == row | known | {"DefaultAccountAccess": "Edit", "DefaultLeadAccess": "ReadEditTransfer"}
    row = bench({"sharing": {"Account": "private", "Lead": "read"}}).one(asked)
    assert row == row | known | {"DefaultAccountAccess": "None", "DefaultLeadAccess": "Read"}


def test_an_attachment_is_read_at_the_address_that_its_row_names() -> None:
    org = bench()
    lead_id = org.create("Lead", **lead())
    body = base64.b64encode(b"\x00 hello").decode()
    key = org.create("Attachment", ParentId=lead_id, Name="hello.bin", Body=body, ContentType="image/png")
    address = f"/services/data/v60.0/sobjects/Attachment/{key}/Body"
    row = org.get("Attachment", key)
    assert (row["Body"], row["BodyLength"], row["ContentType"]) == (address, 7, "image/png")
    assert org.one("SELECT Body FROM Attachment")["Body"] == address
    (shown,) = org.one("SELECT (SELECT Name, Body FROM Attachments) FROM Lead")["Attachments"]["records"]
    assert shown["Body"] == address
    reply = org.send("GET", address.lower().replace(key.lower(), key))
    assert (reply.status, reply.body) == (200, b"\x00 hello")
    assert dict(reply.headers)["Content-Type"] == "application/octet-stream"
    assert org.send("GET", address.replace(key, "00PLO0001000009YAA")).status == 404
    assert org.rest("POST", f"sobjects/Attachment/{key}/Body", {}).codes == ["METHOD_NOT_ALLOWED"]
    part = {"method": "GET", "url": f"/services/data/v60.0/sobjects/Attachment/{key}/Body", "referenceId": "a"}
    (inside,) = org.rest("POST", "composite", {"compositeRequest": [part]}).body["compositeResponse"]
    assert inside["httpStatusCode"] == 400
    assert org.rest("POST", "sobjects/Attachment", {"ParentId": lead_id, "Name": "x"}).codes == [
        "REQUIRED_FIELD_MISSING"
    ]
    contact = org.convert(lead_id)["contactId"]
    assert org.get("Attachment", key)["ParentId"] == contact
    assert org.rest("DELETE", f"sobjects/Contact/{contact}").status == 204
    assert org.rows("SELECT Id FROM Attachment") == []


def test_a_blob_is_whole_over_soap() -> None:
    org = bench()
    content = base64.b64encode(b"<p>Hello</p>").decode()
    org.create("ContentNote", Title="First", Content=content)
    assert (
        content.encode() in org.soap("<query><queryString>SELECT Content FROM ContentNote</queryString></query>").body
    )


def test_a_note_is_a_document_linked_to_a_record() -> None:
    org = bench()
    key = org.create("Lead", **lead())
    content = base64.b64encode(b"<p>Hello <b>there</b></p>").decode()
    note = org.create("ContentNote", Title="First", Content=content)
    assert org.get("ContentNote", note)["TextPreview"] == "Hello there"
    link = org.create("ContentDocumentLink", ContentDocumentId=note, LinkedEntityId=key, ShareType="V")
    row = org.one("SELECT ContentDocument.Title, ContentDocument.FileType FROM ContentDocumentLink")
    assert (row["ContentDocument"]["Title"], row["ContentDocument"]["FileType"]) == ("First", "SNOTE")
    assert org.rest("POST", "sobjects/ContentNote", {"Title": "x", "Content": "%"}).status == 400
    converted = org.convert(key)
    assert org.get("ContentDocumentLink", link)["LinkedEntityId"] == converted["contactId"]
    assert org.rest("DELETE", f"sobjects/ContentNote/{note}").status == 204
    assert org.rows("SELECT Id FROM ContentDocument") == []
    assert org.rows("SELECT Id FROM ContentDocumentLink") == []
    org.results(f"<undelete><ids>{note}</ids></undelete>")
    assert org.one("SELECT ContentDocument.Title FROM ContentDocumentLink")["ContentDocument"]["Title"] == "First"


def test_a_conversion_takes_activities_along() -> None:
    org = bench()
    nora = org.app.login_as("nora@acme.example")["user_id"]
    key = org.create("Lead", **lead())
    task = org.create("Task", Subject="Call", WhoId=key)
    done = org.create("Task", Subject="Old", WhoId=key, Status="Completed")
    before = org.get("Task", done)["OwnerId"]
    converted = org.convert(key, ownerId=nora)
    row = org.get("Task", task)
    assert (row["WhoId"], row["WhatId"], row["AccountId"], row["OwnerId"]) == (
        converted["contactId"],
        converted["opportunityId"],
        converted["accountId"],
        nora,
    )
    assert org.get("Task", done)["OwnerId"] == before


def test_an_opportunitys_history_is_written_by_itself() -> None:
    org = bench()
    deal = org.create("Opportunity", **DEAL)
    org.update("Opportunity", deal, NextStep="x")
    org.wait(seconds=3)
    org.update("Opportunity", deal, StageName="Closed Won", Amount=5)
    rows = org.rows("SELECT StageName, Amount, Probability FROM OpportunityHistory ORDER BY CreatedDate")
    assert [(row["StageName"], row["Amount"], row["Probability"]) for row in rows] == [
        ("Prospecting", None, 10.0),
        ("Closed Won", 5.0, 100.0),
    ]
    assert org.rest("POST", "sobjects/OpportunityHistory", {"OpportunityId": deal}).codes == [
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    ]


def test_field_histories_are_not_there_without_tracking() -> None:
    org = bench()
    for name in ("LeadHistory", "OpportunityFieldHistory"):
        assert org.query(f"SELECT Id FROM {name}").codes == ["INVALID_TYPE"]


def test_a_deal_with_products_keeps_its_price_book_and_its_amount() -> None:
    row = {**DEAL, "HasOpportunityLineItem": True, "Pricebook2Id": "01s000000000001", "Amount": 10}
    org = bench(records={"Opportunity": [row]})
    key = org.one("SELECT Id FROM Opportunity")["Id"]
    assert org.update("Opportunity", key, Pricebook2Id="01s000000000002").codes == ["FIELD_INTEGRITY_EXCEPTION"]
    assert org.update("Opportunity", key, Amount=99, NextStep="x").status == 204
    assert (org.get("Opportunity", key)["Amount"], org.get("Opportunity", key)["NextStep"]) == (10.0, "x")


# -- money and places ----------------------------------------------------------------------------------------------


def test_one_currency_has_no_currency_fields_and_many_have() -> None:
    org = bench()
    assert org.query("SELECT CurrencyIsoCode FROM Opportunity").codes == ["INVALID_FIELD"]
    assert org.query("SELECT Id FROM CurrencyType").codes == ["INVALID_TYPE"]
    assert org.rest("POST", "sobjects/Lead", lead(CurrencyIsoCode="USD")).codes == ["INVALID_FIELD"]
    money = {"org": {"multi_currency": True, "currencies": {"EUR": 0.9}}}
    org = bench({**money, "objects": {"Thing__c": {"keyPrefix": "a02", "fields": {}}}})
    deal = org.get("Opportunity", org.create("Opportunity", **DEAL, Amount=10))
    assert deal["CurrencyIsoCode"] == "USD"
    assert org.update("Opportunity", deal["Id"], CurrencyIsoCode="EUR").status == 204
    assert org.update("Opportunity", deal["Id"], CurrencyIsoCode="XXX").codes == [
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    ]
    rates = {
        row["IsoCode"]: row["ConversionRate"] for row in org.rows("SELECT IsoCode, ConversionRate FROM CurrencyType")
    }
    assert rates == {"USD": 1.0, "EUR": 0.9}
    me = org.app.login_as("eva@acme.example")["user_id"]
    assert org.update("User", me, DefaultCurrencyIsoCode="EUR").status == 204
    eva = org.person("eva@acme.example")
    assert eva.get("Thing__c", eva.create("Thing__c", Name="x"))["CurrencyIsoCode"] == "EUR"


@pytest.fixture
def placed() -> Bench:
    return bench({"org": {"state_country_picklists": True}})


def test_places_have_codes_and_texts_of_one_mind(placed: Bench) -> None:
    key = placed.create("Lead", **lead(Country="united states", State="florida", City="Tallahassee"))
    row = placed.get("Lead", key)
    assert (row["CountryCode"], row["Country"], row["StateCode"], row["State"]) == (
        "US",
        "United States",
        "FL",
        "Florida",
    )
    assert (row["Address"]["countryCode"], row["Address"]["stateCode"]) == ("US", "FL")
    assert placed.update("Lead", key, StateCode="CA").status == 204
    assert placed.get("Lead", key)["State"] == "California"
    assert placed.update("Lead", key, CountryCode="DE", StateCode=None).status == 204
    assert placed.get("Lead", key)["Country"] == "Germany"
    converted = placed.convert(key)
    account = placed.get("Account", str(converted["accountId"]))
    assert (account["BillingCountryCode"], account["BillingCountry"]) == ("DE", "Germany")
    names = {field["name"] for field in placed.rest("GET", "sobjects/Contact/describe").body["fields"]}
    assert {"MailingCountryCode", "MailingStateCode", "OtherCountryCode", "OtherStateCode"} <= names


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"Country": "Atlantis"}, "FIELD_INTEGRITY_EXCEPTION", "problem with this country"),
        ({"Country": "US", "State": "Bavaria"}, "FIELD_INTEGRITY_EXCEPTION", "problem with this state"),
        ({"State": "Florida"}, "FIELD_INTEGRITY_EXCEPTION", "must be specified before"),
        ({"CountryCode": "US", "Country": "Germany"}, "FIELD_INTEGRITY_EXCEPTION", "problem with this country"),
        ({"CountryCode": "DE", "StateCode": "FL"}, "FIELD_INTEGRITY_EXCEPTION", "problem with this state"),
        ({"CountryCode": "XX"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "restricted picklist"),
    ],
)
def test_places_that_the_org_does_not_know(placed: Bench, fields: dict[str, str], code: str, words: str) -> None:
    refused = placed.rest("POST", "sobjects/Lead", lead(**fields))
    assert (refused.status, refused.codes) == (400, [code])
    assert words in refused.body[0]["message"]


def test_without_the_feature_places_are_plain_texts() -> None:
    org = bench()
    assert org.get("Lead", org.create("Lead", **lead(Country="Atlantis", State="?")))["Country"] == "Atlantis"
    assert org.rest("POST", "sobjects/Lead", lead(CountryCode="US")).codes == ["INVALID_FIELD"]
    assert "countryCode" not in org.get("Lead", org.create("Lead", **lead(Country="Atlantis")))["Address"]


def test_person_accounts_are_refused_in_the_words_of_an_org_without_them() -> None:
    org = bench()
    assert org.rest("POST", "sobjects/Account", {"LastName": "Roe"}).body[0] == {
        "message": "No such column 'LastName' on sobject of type Account",
        "errorCode": "INVALID_FIELD",
    }
    assert org.query("SELECT IsPersonAccount FROM Account").codes == ["INVALID_FIELD"]
    assert org.rest("POST", "sobjects/Lead", {"LastName": "Roe"}).codes == ["REQUIRED_FIELD_MISSING"]


# -- other people's transactions -----------------------------------------------------------------------------------


def test_a_row_lock_refuses_whatever_needs_the_row() -> None:
    org = bench()
    account = org.create("Account", Name="Acme")
    contact = org.create("Contact", LastName="Roe", AccountId=account)
    org.app.hold([account[:15]], 30)
    text = f"unable to obtain exclusive access to this record or 1 records: {account}"
    for refused in (
        org.update("Account", account, Site="x"),
        org.update("Contact", contact, Title="x"),
        org.rest("POST", "sobjects/Opportunity", {**DEAL, "AccountId": account}),
        org.rest("DELETE", f"sobjects/Account/{account}"),
    ):
        assert (refused.status, refused.codes, refused.body[0]["message"]) == (400, ["UNABLE_TO_LOCK_ROW"], text)
    key = org.create("Lead", **lead())
    assert org.convert(key, accountId=account, contactId=contact)["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert org.get("Lead", key)["IsConverted"] is False
    org.wait(seconds=31)
    assert org.update("Account", account, Site="x").status == 204


def test_a_late_commit_shows_a_row_with_an_earlier_stamp() -> None:
    org = bench()
    org.wait(minutes=5)
    before = org.create("Lead", **lead(LastName="Before"))
    org.app.delay("lead", 60, 1)
    late = org.create("Lead", **lead(LastName="Late"))
    after = org.create("Lead", **lead(LastName="After"))
    stamps = {key: org.get("Lead", key)["SystemModstamp"] for key in (before, late, after)}
    assert stamps[late] == "2026-01-31T09:19:22.000+0000" < stamps[before] == stamps[after]
    missed = org.rows(f"SELECT Id FROM Lead WHERE SystemModstamp > {stamps[before].replace('+0000', 'Z')}")
    assert missed == []  # whoever read up to the first row never finds the late one without an overlap


def test_locks_and_late_commits_are_asked_for_at_the_control_port() -> None:
    sandbox = Sandbox("empty")
    control = ControlApp(sandbox)

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        reply = control.commit(Request(method=method, path=path, body=raw))
        return reply.status, json.loads(reply.body)

    assert ask("POST", "/locks", {"crm": "salesforce", "ids": ["001000000000001"], "seconds": 5})[0] == 200
    assert ask("DELETE", "/locks") == (200, {"held": []})
    assert ask("POST", "/late-commits", {"table": "Lead", "seconds": 30, "times": 2})[1]["times"] == 2
    assert ask("POST", "/locks", {"ids": "x"})[0] == 400
    assert ask("POST", "/late-commits", {"times": 0})[0] == 400


def test_what_fails_leaves_nothing_behind() -> None:
    rule = {"object": "Contact", "name": "no", "formula": "LastName = 'No'", "message": "No."}
    org = bench({"rules": {"validation": [rule]}})
    before = org.app.dump()
    records = [
        {"attributes": {"type": "Account"}, "Name": "Acme"},
        {"attributes": {"type": "Contact"}, "LastName": "No"},
    ]
    answered = org.rest("POST", "composite/sobjects", {"allOrNone": True, "records": records})
    assert [each["success"] for each in answered.body] == [False, False]
    assert org.app.dump() == before
    answered = org.rest("POST", "composite/sobjects", {"allOrNone": False, "records": records})
    assert [each["success"] for each in answered.body] == [True, False]
