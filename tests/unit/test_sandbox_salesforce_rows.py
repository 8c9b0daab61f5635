"""Saving records in the sandbox's org: what is stored, what is refused, in which words (salesforce-api §3, §7-§10)."""

from typing import Any

import pytest

from tests.support.salesforce_org import Bench, bench

DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-03-31"}


@pytest.fixture
def org() -> Bench:
    return bench()


def test_a_row_from_its_birth_to_its_end(org: Bench) -> None:
    made = org.rest(
        "POST", "sobjects/Lead/", {"LastName": " Boxer ", "Company": "Farmers", "Email": "", "AnnualRevenue": 10.5}
    )
    key = made.body["id"]
    assert (made.status, made.body) == (201, {"id": key, "success": True, "errors": []})
    assert made.headers["Location"] == f"/services/data/v60.0/sobjects/Lead/{key}"
    row = org.get("Lead", key[:15])
    assert (row["Name"], row["Email"], row["AnnualRevenue"]) == ("Boxer", None, 11.0)
    assert (row["Status"], row["IsUnreadByOwner"], row["IsConverted"]) == ("Open - Not Contacted", True, False)
    assert row["SystemModstamp"] == row["CreatedDate"] == "2026-01-31T09:15:22.000+0000"
    org.wait(seconds=5)
    mia = org.person("mia@acme.example")
    assert mia.update("Lead", key, City="Umeå").status == 204
    assert mia.update("Lead", key).status == 204  # an unchanged save moves the stamp as well
    row = org.get("Lead", key)
    assert row["Address"]["city"] == "Umeå"
    assert (row["SystemModstamp"], row["CreatedDate"]) == (
        "2026-01-31T09:15:27.000+0000",
        "2026-01-31T09:15:22.000+0000",
    )
    assert row["LastModifiedById"] != row["CreatedById"]
    assert org.rest("GET", f"sobjects/Lead/{key}?fields=Id,City").body.keys() == {"attributes", "Id", "City"}
    assert org.rest("DELETE", f"sobjects/Lead/{key}").status == 204
    gone = org.update("Lead", key, City="x")
    assert (gone.status, gone.codes) == (404, ["ENTITY_IS_DELETED"])
    assert org.rest("GET", "sobjects/Lead/00Qxx000000000!").codes == ["MALFORMED_ID"]
    assert (
        org.rest("GET", "sobjects/Lead/00Qxx0000000000").body[0]["message"] == "The requested resource does not exist"
    )


@pytest.mark.parametrize(
    ("name", "fields", "code", "message", "named"),
    [
        (
            "Lead",
            {},
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName, Company]",
            ["LastName", "Company"],
        ),
        ("Opportunity", {"Name": "x"}, "REQUIRED_FIELD_MISSING", "[StageName, CloseDate]", ["StageName", "CloseDate"]),
        ("Lead", {"Foo": 1}, "INVALID_FIELD", "No such column 'Foo' on sobject of type Lead", None),
        (
            "Lead",
            {"ConvertedDate": None},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: ConvertedDate.",
            ["ConvertedDate"],
        ),
        ("Lead", {"Id": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "fields: Id.", ["Id"]),
        ("Lead", {"IsConverted": True}, "INVALID_FIELD_FOR_INSERT_UPDATE", "fields: IsConverted.", ["IsConverted"]),
        (
            "Lead",
            {"CreatedDate": "2020-01-01T00:00:00Z"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "CreatedDate",
            ["CreatedDate"],
        ),
        (
            "Contact",
            {"LastName": "x" * 81},
            "STRING_TOO_LONG",
            f"Last Name: data value too large: {'x' * 81} (max length=80)",
            ["LastName"],
        ),
        ("Lead", {"Email": "x"}, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: x", ["Email"]),
        (
            "Lead",
            {"CleanStatus": "Odd"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Clean Status: bad value for restricted picklist field: Odd",
            ["CleanStatus"],
        ),
        (
            "Opportunity",
            {"Amount": 10**16},
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Amount: value outside of valid range",
            ["Amount"],
        ),
        ("Contact", {"AccountId": "x"}, "MALFORMED_ID", "Account ID: id value of incorrect type: x", ["AccountId"]),
        (
            "Contact",
            {"AccountId": "003xx0000000000"},
            "FIELD_INTEGRITY_EXCEPTION",
            "Account ID: id value of incorrect type: 003xx",
            ["AccountId"],
        ),
        ("Contact", {"AccountId": "001xx0000000000"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []),
        (
            "Opportunity",
            {"CloseDate": "2026-13-01"},
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of date from VALUE_STRING value 2026-13-01",
            None,
        ),
        ("Opportunity", {"IsPrivate": None}, "JSON_PARSER_ERROR", "Cannot deserialize instance of boolean", None),
    ],
)
def test_refusals(
    org: Bench, name: str, fields: dict[str, Any], code: str, message: str, named: list[str] | None
) -> None:
    whole = {"Lead": {"LastName": "a", "Company": "b"}, "Opportunity": DEAL, "Contact": {"LastName": "c"}}[name]
    answered = org.rest("POST", f"sobjects/{name}", fields if code.startswith("REQUIRED") else {**whole, **fields})
    assert (answered.status, answered.codes) == (400, [code])
    assert message in answered.body[0]["message"]
    assert answered.body[0].get("fields") == named
    assert org.rows(f"SELECT Id FROM {name}") == []


def test_several_mistakes_are_told_at_once(org: Bench) -> None:
    answered = org.rest("POST", "sobjects/Lead", {"LastName": "x" * 99, "Company": "b", "Email": "x"})
    assert answered.codes == ["STRING_TOO_LONG", "INVALID_EMAIL_ADDRESS"]


def test_free_picklists_take_any_value_even_a_stage_that_does_not_exist(org: Bench) -> None:
    row = org.get(
        "Opportunity", org.create("Opportunity", **{**DEAL, "StageName": "In Progress", "LeadSource": "Pigeon"})
    )
    assert (row["StageName"], row["IsClosed"], row["Probability"], row["LeadSource"]) == (
        "In Progress",
        False,
        0.0,
        "Pigeon",
    )


def test_the_stage_drives_an_opportunity(org: Bench) -> None:
    key = org.create("Opportunity", **DEAL, Amount=1000.5)

    def shown(*names: str) -> list[Any]:
        row = org.get("Opportunity", key)
        return [row[name] for name in names]

    state = ("IsClosed", "IsWon", "Probability", "ForecastCategoryName", "ExpectedRevenue")
    assert shown(*state) == [False, False, 10.0, "Pipeline", 100.05]
    assert shown("FiscalYear", "FiscalQuarter", "Fiscal") == [2026, 1, "2026 1"]
    org.update("Opportunity", key, StageName="Closed Won")
    assert shown(*state) == [True, True, 100.0, "Closed", 1000.5]
    assert shown("CloseDate") == ["2026-03-31"]  # closing and reopening leave the date alone
    org.update("Opportunity", key, StageName="Closed Lost")
    assert shown(*state) == [True, False, 0.0, "Omitted", 0.0]
    org.update("Opportunity", key, StageName="Negotiation/Review", Probability=42, ForecastCategoryName="Commit")
    assert shown(*state, "ForecastCategory") == [False, False, 42.0, "Commit", 420.21, "Forecast"]
    org.update("Opportunity", key, Probability=7)
    assert shown("StageName", "Probability") == ["Negotiation/Review", 7.0]
    assert org.update("Opportunity", key, IsWon=True).codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert org.update("Opportunity", key, StageName=None).codes == ["REQUIRED_FIELD_MISSING"]


def test_an_amount_made_of_products_ignores_what_is_written() -> None:
    org = bench(records={"Opportunity": [{**DEAL, "Amount": 5, "HasOpportunityLineItem": True}]})
    key = org.one("SELECT Id FROM Opportunity")["Id"]
    assert org.update("Opportunity", key, Amount=9, NextStep="Call").status == 204
    row = org.get("Opportunity", key)
    assert (row["Amount"], row["NextStep"]) == (5.0, "Call")


def test_one_primary_contact_role(org: Bench) -> None:
    account = org.create("Account", Name="Acme")
    first, second = (org.create("Contact", LastName=name, AccountId=account) for name in ("One", "Two"))
    deal = org.create("Opportunity", **DEAL, AccountId=account, ContactId=first)
    born = org.get("Opportunity", deal)["SystemModstamp"]
    org.wait(seconds=3)
    org.create("OpportunityContactRole", OpportunityId=deal, ContactId=second, IsPrimary=True, Role="Evaluator")
    roles = org.rows("SELECT ContactId, IsPrimary FROM OpportunityContactRole ORDER BY Id")
    assert [(row["ContactId"], row["IsPrimary"]) for row in roles] == [(first, False), (second, True)]
    row = org.get("Opportunity", deal)
    assert (row["ContactId"], row["SystemModstamp"]) == (second, born)
    assert org.update("Opportunity", deal, ContactId=first).codes == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    primary = org.one("SELECT Id FROM OpportunityContactRole WHERE IsPrimary = true")["Id"]
    org.rest("DELETE", f"sobjects/OpportunityContactRole/{primary}")
    assert org.get("Opportunity", deal)["ContactId"] is None


def test_owners_must_be_able_to_own(org: Bench) -> None:
    idle = org.app.login_as("idle@acme.example")["user_id"]
    org.update("User", idle, IsActive=False)
    queue, group = (org.create("Group", Name=kind, Type=kind) for kind in ("Queue", "Regular"))
    lead = org.create("Lead", LastName="a", Company="b", OwnerId=queue)
    assert org.update("Lead", lead, OwnerId=idle).codes == ["INACTIVE_OWNER_OR_USER"]
    assert org.update("Lead", lead, OwnerId=group).codes == ["FIELD_INTEGRITY_EXCEPTION"]
    assert org.rest("POST", "sobjects/Account", {"Name": "a", "OwnerId": queue}).codes == ["FIELD_INTEGRITY_EXCEPTION"]


def test_an_assignment_rule_runs_unless_told_not_to() -> None:
    org = bench(
        {"rules": {"assignment": {"Lead": {"owner": "Inbound"}}}}, {"Group": [{"Name": "Inbound", "Type": "Queue"}]}
    )
    queue = org.one("SELECT Id FROM Group")["Id"]
    body = {"LastName": "a", "Company": "b"}
    ruled, kept = (
        org.rest("POST", "sobjects/Lead", body, {"sforce-auto-assign": flag}).body["id"] for flag in ("TRUE", "false")
    )
    assert org.get("Lead", ruled)["OwnerId"] == queue
    assert org.get("Lead", kept)["OwnerId"] != queue


def test_upsert_by_external_id(org: Bench) -> None:
    path, body = "sobjects/Lead/CrmBridge_Id__c/a%2F1%20b", {"LastName": "a", "Company": "b"}
    made = org.rest("PATCH", path, body)
    assert (made.status, made.body["created"]) == (201, True)
    again = org.rest("PATCH", path.replace("a%2F", "A%2F"), {"City": "Oslo"})  # the key minds no case
    assert (again.status, again.body["created"], again.body["id"]) == (200, False, made.body["id"])
    assert org.rest("PATCH", path, {"City": "Bergen"}, version="45.0").status == 204
    assert org.rest("GET", path).body["City"] == "Bergen"
    assert org.rest("PATCH", path, {"CrmBridge_Id__c": "x"}).codes == ["INVALID_FIELD"]
    unknown = org.rest("PATCH", "sobjects/Lead/City/Oslo", body)
    assert (unknown.status, unknown.codes) == (404, ["NOT_FOUND"])
    twice = org.rest("POST", "sobjects/Lead", {**body, "CrmBridge_Id__c": "a/1 b"})
    assert twice.codes == ["DUPLICATE_VALUE"]
    text = f"duplicate value found: CrmBridge_Id__c duplicates value on record with id: {made.body['id'][:15]}"
    assert twice.body[0]["message"] == text
    for _ in range(2):
        org.create("Lead", **body, Email="same@x.example")
    many = org.rest("PATCH", "sobjects/Lead/Email/same@x.example", {"City": "x"})
    assert (many.status, len(many.body)) == (300, 2)
    assert many.body[0].startswith("/services/data/v60.0/sobjects/Lead/00Q")
    assert org.rest("DELETE", path).status == 204
    assert org.rest("GET", path).status == 404


def test_a_parent_by_its_external_id(org: Bench) -> None:
    account = org.create("Account", Name="Acme", CrmBridge_Id__c="acc-1")
    contact = org.create("Contact", LastName="Roe", Account={"CrmBridge_Id__c": "acc-1"})
    assert org.get("Contact", contact)["AccountId"] == account
    refused = org.rest("POST", "sobjects/Contact", {"LastName": "Roe", "Account": {"CrmBridge_Id__c": "acc-2"}})
    assert refused.codes == ["INVALID_FIELD"]


def test_preconditions_know_whole_seconds(org: Bench) -> None:
    key = org.create("Lead", LastName="a", Company="b")
    same_second = {"if-unmodified-since": "Sat, 31 Jan 2026 09:15:22 GMT"}
    path = f"sobjects/Lead/{key}"
    assert org.rest("PATCH", path, {"City": "x"}, same_second).status == 204
    assert org.rest("GET", path, headers={"if-modified-since": same_second["if-unmodified-since"]}).status == 304
    org.wait(seconds=1)
    assert org.rest("PATCH", path, {"City": "y"}).status == 204
    assert org.rest("PATCH", path, {"City": "z"}, same_second).status == 412
    assert org.get("Lead", key)["City"] == "y"
    assert org.rest("GET", path, headers={"if-modified-since": same_second["if-unmodified-since"]}).status == 200
    assert org.rest("PATCH", path, {"City": "z"}, {"if-unmodified-since": "yesterday"}).status == 400
    account = org.create("Account", Name="a")
    etag = org.rest("GET", f"sobjects/Account/{account}").headers["ETag"]
    assert org.rest("GET", f"sobjects/Account/{account}", headers={"if-none-match": etag}).status == 304
    assert org.rest("PATCH", f"sobjects/Account/{account}", {"Site": "x"}, {"if-match": '"old"'}).status == 412


def test_deleting_an_account_takes_contacts_and_deals_along_and_undelete_brings_them_back(org: Bench) -> None:
    account = org.create("Account", Name="Acme")
    contact = org.create("Contact", LastName="Roe", AccountId=account)
    deal = org.create("Opportunity", **DEAL, AccountId=account, ContactId=contact)
    org.update("Opportunity", deal, StageName="Closed Won")
    refused = org.rest("DELETE", f"sobjects/Account/{account}")
    assert (refused.status, refused.codes) == (400, ["DELETE_FAILED"])
    org.update("Opportunity", deal, StageName="Prospecting")
    assert org.rest("DELETE", f"sobjects/Account/{account}").status == 204
    tables = ("Account", "Contact", "Opportunity", "OpportunityContactRole")
    assert [org.rows(f"SELECT Id FROM {name}") for name in tables] == [[]] * 4
    assert all(
        row["IsDeleted"] for name in tables for row in org.rows(f"SELECT IsDeleted FROM {name}", everything=True)
    )
    (result,) = org.results(f"<undelete><ids>{account}</ids></undelete>")
    assert result.findtext("{urn:partner.soap.sforce.com}success") == "true"
    assert [len(org.rows(f"SELECT Id FROM {name}")) for name in tables] == [1] * 4
    assert org.get("Contact", contact)["AccountId"] == account
    (result,) = org.results(f"<undelete><ids>{account}</ids></undelete>")
    assert result.findtext("{urn:partner.soap.sforce.com}success") == "false"


def test_a_merge_names_its_master_and_moves_the_children(org: Bench) -> None:
    master, loser = (org.create("Account", Name=name) for name in ("Acme", "ACME Inc."))
    contact = org.create("Contact", LastName="Roe", AccountId=loser)
    org.wait(seconds=2)
    content = (
        f"<merge><request><masterRecord><type>Account</type><Id>{master}</Id><Site>HQ</Site></masterRecord>"
        f"<recordToMergeIds>{loser}</recordToMergeIds></request></merge>"
    )
    (result,) = org.results(content)
    assert result.findtext("{urn:partner.soap.sforce.com}mergedRecordIds") == loser
    (gone,) = org.rows(f"SELECT IsDeleted, MasterRecordId FROM Account WHERE Id = '{loser}'", everything=True)
    assert (gone["IsDeleted"], gone["MasterRecordId"]) == (True, master)
    winner = org.get("Account", master)
    assert (winner["Site"], winner["SystemModstamp"]) == ("HQ", "2026-01-31T09:15:24.000+0000")
    assert org.get("Contact", contact)["AccountId"] == master


def test_updated_and_deleted_windows(org: Bench) -> None:
    kept, gone = (org.create("Lead", LastName=name, Company="c") for name in ("Kept", "Gone"))
    org.wait(minutes=5)
    org.rest("DELETE", f"sobjects/Lead/{gone}")
    window = "start=2026-01-31T09:15:00%2B00:00&end=2026-01-31T09:30:00%2B00:00"
    assert org.rest("GET", f"sobjects/Lead/updated/?{window}").body == {
        "ids": [kept],
        "latestDateCovered": "2026-01-31T09:20:00.000+0000",
    }
    assert org.rest("GET", f"sobjects/Lead/deleted?{window}").body["deletedRecords"] == [
        {"id": gone, "deletedDate": "2026-01-31T09:20:22.000+0000"}
    ]
    assert org.rest("GET", "sobjects/Lead/updated?start=2025-01-01T00:00:00Z&end=2026-01-01T00:00:00Z").codes == [
        "INVALID_REPLICATION_DATE"
    ]


RULES = {
    "validation": [
        {
            "object": "Opportunity",
            "name": "won needs amount",
            "refuse_when": "IsWon = true AND Amount = null",
            "message": "A won deal needs its amount.",
            "field": "Amount",
        },
        {
            "object": "Opportunity",
            "name": "closed is locked",
            "was": "IsClosed = true",
            "refuse_when": "IsClosed = true",
            "message": "Closed deals are locked.",
        },
    ],
    "required": {"Contact": ["Email"]},
    "duplicates": [
        {
            "name": "Contact_vs_Lead",
            "object": "Contact",
            "against": "Lead",
            "match": {"Email": "Email"},
            "where": "IsConverted = false",
            "action": "alert",
        },
        {"name": "One_Account", "object": "Account", "against": "Account", "match": {"Name": "Name"}},
    ],
}


def test_the_rules_of_an_org() -> None:
    org = bench({"rules": RULES})
    deal = org.create("Opportunity", **DEAL)
    refused = org.update("Opportunity", deal, StageName="Closed Won")
    assert refused.body == [
        {
            "message": "A won deal needs its amount.",
            "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "fields": ["Amount"],
        }
    ]
    assert org.update("Opportunity", deal, StageName="Closed Won", Amount=1).status == 204
    assert org.update("Opportunity", deal, NextStep="x").body[0]["message"] == "Closed deals are locked."
    assert org.rest("POST", "sobjects/Contact", {"LastName": "a"}).codes == ["REQUIRED_FIELD_MISSING"]
    lead = org.create("Lead", LastName="a", Company="b", Email="a@x.example")
    contact = {"LastName": "a", "Email": "A@x.example"}
    alerted = org.rest("POST", "sobjects/Contact", contact)
    assert (alerted.status, alerted.codes) == (400, ["DUPLICATES_DETECTED"])
    result = alerted.body[0]["duplicateResut"]  # so misspelt in real answers
    assert result["matchResults"][0]["matchRecords"][0]["record"]["Id"] == lead
    header = {"sforce-duplicate-rule-header": "allowSave=true; includeRecordDetails=false"}
    assert org.rest("POST", "sobjects/Contact", contact, header).status == 201
    org.create("Account", Name="Acme")
    assert org.rest("POST", "sobjects/Account", {"Name": "ACME"}, header).codes == ["DUPLICATES_DETECTED"]


def test_set_up_of_other_orgs() -> None:
    plain = bench()
    assert plain.rest("POST", "sobjects/Lead", {"LastName": "a", "Company": "b", "CurrencyIsoCode": "EUR"}).codes == [
        "INVALID_FIELD"
    ]
    shape = {
        "org": {"multi_currency": True, "currencies": {"EUR": 0.9}, "set_audit_fields": True},
        "objects": {
            "Lead": {
                "fields": {"Deal_Size__c": {"type": "currency", "precision": 16, "scale": 2}},
                "recordTypes": [{"developerName": "Partner"}, {"developerName": "Direct", "default": True}],
            },
            "Project__c": {"fields": {"Lead__c": {"type": "reference", "referenceTo": ["Lead"]}}},
        },
    }
    org = bench(shape)
    lead = org.create(
        "Lead", LastName="a", Company="b", Deal_Size__c=12.345, CreatedDate="2020-05-01T10:00:00Z", IsConverted=True
    )
    row = org.get("Lead", lead)
    assert (row["Deal_Size__c"], row["CurrencyIsoCode"], row["CreatedDate"]) == (
        12.35,
        "USD",
        "2020-05-01T10:00:00.000+0000",
    )
    assert (row["IsConverted"], row["SystemModstamp"]) == (True, "2026-01-31T09:15:22.000+0000")
    assert org.rest("POST", "sobjects/Account", {"Name": "a", "CurrencyIsoCode": "XXX"}).codes == [
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    ]
    assert (
        org.one(f"SELECT RecordType.DeveloperName FROM Lead WHERE Id = '{lead}'")["RecordType"]["DeveloperName"]
        == "Direct"
    )
    assert [row["IsoCode"] for row in org.rows("SELECT IsoCode FROM CurrencyType ORDER BY IsoCode")] == ["EUR", "USD"]
    project = org.create("Project__c", Name="P", Lead__c=lead)
    assert org.one("SELECT Lead__r.Name, Owner.Name FROM Project__c")["Lead__r"]["Name"] == "a"
    assert org.get("Project__c", project)["attributes"]["type"] == "Project__c"


def test_collections_answer_by_position(org: Bench) -> None:
    lead = {"attributes": {"type": "Lead"}, "LastName": "a", "Company": "b"}
    bad = {"attributes": {"type": "Lead"}, "LastName": "a"}
    made = org.rest(
        "POST", "composite/sobjects", {"records": [lead, bad, {"attributes": {"type": "Account"}, "Name": "c"}]}
    )
    assert (made.status, [item["success"] for item in made.body]) == (200, [True, False, True])
    assert made.body[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Company]",
                "fields": ["Company"],
            }
        ],
    }
    assert org.world.calls[-1].operations == (("Lead", "create"), ("Lead", "create"), ("Account", "create"))
    key, account = made.body[0]["id"], made.body[2]["id"]
    rolled = org.rest("POST", "composite/sobjects", {"allOrNone": True, "records": [lead, bad]})
    codes = [item["errors"][0]["statusCode"] for item in rolled.body]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert len(org.rows("SELECT Id FROM Lead")) == 1
    changes = [
        {"attributes": {"type": "Lead"}, "id": key, "City": "Oslo"},
        {"attributes": {"type": "Lead"}, "Id": account},
    ]
    changed = org.rest("PATCH", "composite/sobjects", {"records": changes})
    assert [item["success"] for item in changed.body] == [True, False]
    keyed = [{**lead, "CrmBridge_Id__c": value} for value in ("k1", "k2", "k2")]
    upserted = org.rest("PATCH", "composite/sobjects/Lead/CrmBridge_Id__c", {"records": keyed}).body
    assert (upserted[0]["created"], upserted[1]["errors"][0]["statusCode"]) == (True, "DUPLICATE_EXTERNAL_ID")
    again = org.rest("PATCH", "composite/sobjects/Lead/CrmBridge_Id__c", {"records": keyed[:1]}).body
    assert (again[0]["created"], again[0]["id"]) == (False, upserted[0]["id"])
    read = org.rest("POST", "composite/sobjects/Lead", {"ids": [key, account, "x"], "fields": ["City"]}).body
    assert [row and row["City"] for row in read] == ["Oslo", None, None]
    removed = org.rest("DELETE", f"composite/sobjects?ids={key},{key}").body
    assert [item["success"] for item in removed] == [True, False]
    assert org.rest("POST", "composite/sobjects", {"records": [lead] * 201}).codes == ["EXCEEDED_ID_LIMIT"]
    assert org.rest("POST", "composite/sobjects", {"records": [{"LastName": "a"}]}).status == 400


def sub(method: str, path: str, name: str, body: Any = None, **headers: str) -> dict[str, Any]:
    given = {"method": method, "url": f"/services/data/v60.0/{path}", "referenceId": name, "httpHeaders": headers}
    return given if body is None else {**given, "body": body}


def composite(org: Bench, *subs: dict[str, Any], whole: bool = False) -> list[dict[str, Any]]:
    answered = org.rest("POST", "composite", {"allOrNone": whole, "compositeRequest": list(subs)})
    assert answered.status == 200
    return answered.body["compositeResponse"]


def test_composite_refers_to_earlier_results(org: Bench) -> None:
    earlier = "Sat, 31 Jan 2026 09:00:00 GMT"
    answers = composite(
        org,
        sub("POST", "sobjects/Account", "acc", {"Name": "Acme"}),
        sub("POST", "sobjects/Contact", "con", {"LastName": "Roe", "AccountId": "@{acc.id}"}),
        sub("GET", "query?q=SELECT+Account.Name+FROM+Contact+WHERE+Id='@{con.id}'", "q"),
        sub("PATCH", "sobjects/Contact/@{con.id}", "late", {"Title": "x"}, **{"If-Unmodified-Since": earlier}),
    )
    assert [answer["httpStatusCode"] for answer in answers] == [201, 201, 200, 412]
    assert answers[2]["body"]["records"][0]["Account"]["Name"] == "Acme"
    call = org.world.calls[-1]
    assert (call.kind, call.operations) == (
        "composite",
        (("Account", "create"), ("Contact", "create"), ("Contact", "query"), ("Contact", "update")),
    )


def test_composite_failures(org: Bench) -> None:
    bad, good = sub("POST", "sobjects/Account", "bad", {}), sub("POST", "sobjects/Account", "good", {"Name": "a"})
    child = sub("POST", "sobjects/Contact", "child", {"LastName": "x", "AccountId": "@{bad.id}"})
    answers = composite(org, good, bad, child)
    assert [answer["httpStatusCode"] for answer in answers] == [201, 400, 400]
    assert answers[2]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert len(org.rows("SELECT Id FROM Account")) == 1
    answers = composite(org, good, bad, child, whole=True)
    codes = [answer["body"][0]["errorCode"] for answer in answers]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED"]
    assert len(org.rows("SELECT Id FROM Account")) == 1
    twenty_six = [sub("GET", "sobjects/Account/x", f"r{number}") for number in range(26)]
    assert org.rest("POST", "composite", {"compositeRequest": twenty_six}).status == 400


def test_paths_versions_and_methods(org: Bench) -> None:
    assert org.send("GET", "//services/data/v60.0//sobjects/").status == 200
    assert org.rest("GET", "/services/data").body[0]["version"] == "20.0"
    assert {"label": "Spring '24", "url": "/services/data/v60.0", "version": "60.0"} in org.rest(
        "GET", "/services/data"
    ).body
    assert org.rest("GET", "/services/data/v60.0").body["sobjects"] == "/services/data/v60.0/sobjects"
    assert [org.rest("GET", "limits", version=version).status for version in ("19.0", "20.0", "67.0", "99.0")] == [
        404,
        200,
        200,
        404,
    ]
    put = org.rest("PUT", "sobjects/Lead", {})
    assert (put.status, put.body[0]["message"]) == (405, "HTTP Method 'PUT' not allowed. Allowed are GET,POST")
    assert org.rest("POST", "sobjects/Lead", {}, {"content-type": "text/plain"}).status == 415
    with_blob = org.rest("POST", "sobjects/Attachment", {}, {"content-type": "multipart/form-data; boundary=x"})
    assert with_blob.body[0]["errorCode"] == "NOT_SERVED_BY_SANDBOX"
    assert org.send("POST", "/cometd/62.0/handshake", b"[]").status == 501
    assert org.rest("POST", "sobjects/Nothing", {}).status == 404
    convert = org.rest("POST", "actions/standard/convertLead", {"inputs": []})
    assert (convert.status, convert.codes) == (404, ["NOT_FOUND"])
    missing = org.rest("POST", "chatter/feeds", {})
    assert (missing.status, missing.codes) == (501, ["NOT_SERVED_BY_SANDBOX"])
    assert org.send("POST", "/services/data/v60.0/sobjects/Lead", b"{bad").status == 400


def test_the_daily_limit_is_counted() -> None:
    org = bench({"org": {"daily_api_requests": 3}})
    assert org.query("SELECT Id FROM Lead").headers["Sforce-Limit-Info"] == "api-usage=1/3"
    assert org.rest("GET", "limits").body["DailyApiRequests"] == {"Max": 3, "Remaining": 1}
    org.query("SELECT Id FROM Lead")
    spent = org.query("SELECT Id FROM Lead")
    assert (spent.status, spent.body[0]["message"]) == (403, "TotalRequests Limit exceeded.")
    org.wait(hours=24)
    assert org.query("SELECT Id FROM Lead").status == 200
    assert org.query("SELECT Id FROM Lead").headers["Date"] == "Sun, 01 Feb 2026 09:15:22 GMT"


def test_a_username_exists_once(org: Bench) -> None:
    person = {"LastName": "Doe", "Username": "doe@acme.example", "Email": "doe@acme.example", "Alias": "doe"}
    first = org.create("User", **person)
    again = org.rest("POST", "sobjects/User", {**person, "Username": "DOE@acme.example"})
    assert (again.status, again.codes) == (400, ["DUPLICATE_USERNAME"])
    assert org.update("User", first, Username="doe@acme.example").status == 204


def test_somebody_is_a_member_of_a_campaign_once(org: Bench) -> None:
    lead, campaign = org.create("Lead", LastName="a", Company="b"), org.create("Campaign", Name="c")
    member = org.create("CampaignMember", CampaignId=campaign, LeadId=lead)
    again = org.rest("POST", "sobjects/CampaignMember", {"CampaignId": campaign, "LeadId": lead})
    assert (again.status, again.codes) == (400, ["DUPLICATE_VALUE"])
    org.rest("DELETE", f"sobjects/CampaignMember/{member}")
    org.create("CampaignMember", CampaignId=campaign, LeadId=lead)


def test_an_opportunity_names_the_history_of_its_last_change_of_amount_and_close_date(org: Bench) -> None:
    key = org.create("Opportunity", **DEAL, Amount=1)
    names = ("LastAmountChangedHistoryId", "LastCloseDateChangedHistoryId")
    assert [org.get("Opportunity", key)[name] for name in names] == [None, None]
    org.update("Opportunity", key, Amount=2)
    amount, close = (org.get("Opportunity", key)[name] for name in names)
    assert close is None
    assert org.one(f"SELECT Amount FROM OpportunityHistory WHERE Id = '{amount}'")["Amount"] == 2
    org.update("Opportunity", key, StageName="Qualification", CloseDate="2026-05-01")
    after = org.get("Opportunity", key)
    assert (after[names[0]], after[names[1]] is None) == (amount, False)


def test_fields_of_what_nobody_makes_are_not_said_to_be_writable(org: Bench) -> None:
    described = org.rest("GET", "sobjects/LeadStatus/describe").body
    assert {(field["createable"], field["updateable"]) for field in described["fields"]} == {(False, False)}
