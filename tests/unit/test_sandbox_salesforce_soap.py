"""The partner API of the sandbox's Salesforce org (salesforce-api §1.3, §6, §8, §9)."""

from typing import Any
from xml.etree import ElementTree

import pytest

from crmbridge.sandbox.salesforce.soap_headers import EFFECTIVE, WITHOUT_EFFECT
from tests.support import partner_wsdl
from tests.support.salesforce_org import PARTNER, Bench, bench

SF = "{urn:sobject.partner.soap.sforce.com}"
FAULT = "{urn:fault.partner.soap.sforce.com}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
KEYED = {"objects": {"Account": {"fields": {"Key__c": {"externalId": True, "unique": True, "length": 20}}}}}
TRUNCATE = "<AllowFieldTruncationHeader><allowFieldTruncation>true</allowFieldTruncation></AllowFieldTruncationHeader>"
TWINS = {"name": "Twins", "object": "Contact", "against": "Lead", "match": {"Email": "Email"}, "action": "alert"}


@pytest.fixture
def org() -> Bench:
    return bench()


def sobject(kind: str, tag: str = "sObjects", **fields: Any) -> str:
    parts = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return f"<{tag}><type>{kind}</type>{parts}</{tag}>"


def text(element: ElementTree.Element, name: str) -> str | None:
    found = element.find(f"{PARTNER}{name}")
    return None if found is None else found.text


def failed(element: ElementTree.Element) -> tuple[str | None, str | None]:
    errors = element.find(f"{PARTNER}errors")
    assert errors is not None
    return text(errors, "statusCode"), text(errors, "message")


def fault(org: Bench, content: str, header: str = "", **more: Any) -> tuple[str | None, str | None]:
    reply = org.soap(content, header=header, **more)
    assert reply.status == 500, reply.body
    root = ElementTree.fromstring(reply.body)
    return next(root.iter("faultcode")).text, next(root.iter("faultstring")).text


# -- rows ------------------------------------------------------------------------------------------------------------


def test_rows_are_made_changed_and_removed_by_the_rules_of_rest(org: Bench) -> None:
    made, refused = org.results(
        f"<create>{sobject('Lead', LastName='A &amp; B', Company='C', IsUnreadByOwner='0')}"
        f"{sobject('Lead', Company='x')}</create>"
    )
    key = text(made, "id") or ""
    assert (text(made, "success"), org.get("Lead", key)["LastName"]) == ("true", "A & B")
    assert failed(refused) == ("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]")
    (changed,) = org.results(f"<update>{sobject('Lead', Id=key, Phone='123', Company='D')}</update>")
    assert (text(changed, "success"), org.get("Lead", key)["Phone"]) == ("true", "123")
    org.results(f"<update>{sobject('Lead', Id=key, fieldsToNull='Phone', Title='CEO')}</update>")
    assert (org.get("Lead", key)["Phone"], org.get("Lead", key)["Title"]) == (None, "CEO")
    (gone,) = org.results(f"<delete><ids>{key}</ids></delete>")
    assert (text(gone, "id"), org.rest("GET", f"sobjects/Lead/{key}").status) == (key, 404)
    (back,) = org.results(f"<undelete><ids>{key}</ids></undelete>")
    assert (text(back, "success"), org.get("Lead", key)["Title"]) == ("true", "CEO")


def test_an_element_that_is_nil_was_not_set(org: Bench) -> None:
    key = org.create("Lead", LastName="A", Company="B", Phone="1")
    org.results(f'<update><sObjects><type>Lead</type><Id>{key}</Id><Phone xsi:nil="true"/></sObjects></update>')
    assert org.get("Lead", key)["Phone"] == "1"
    both = f"<fieldsToNull>Phone</fieldsToNull>{'<Phone>2</Phone>'}"
    code, _ = fault(org, f"<update><sObjects><type>Lead</type><Id>{key}</Id>{both}</sObjects></update>")
    assert code == "sf:INVALID_FIELD"


def test_upsert_tells_whether_it_created() -> None:
    org = bench(KEYED)
    account = sobject("Account", Key__c="a-1", Name="Acme")
    call = f"<upsert><externalIDFieldName>Key__c</externalIDFieldName>{account}</upsert>"
    first, again = org.results(call) + org.results(call)
    assert [text(result, "created") for result in (first, again)] == ["true", "false"]
    assert text(first, "id") == text(again, "id")
    twice = org.results(f"<upsert><externalIDFieldName>Key__c</externalIDFieldName>{account}{account}</upsert>")
    assert {failed(result)[0] for result in twice} == {"DUPLICATE_EXTERNAL_ID"}
    wrong = f"<upsert><externalIDFieldName>Phone</externalIDFieldName>{account}</upsert>"
    assert fault(org, wrong)[0] == "sf:INVALID_FIELD"


def test_a_parent_is_named_by_its_external_id() -> None:
    org = bench(KEYED)
    account = org.create("Account", Name="Acme", Key__c="a-1")
    parent = '<Account xsi:type="sObject"><type>Account</type><Key__c>{}</Key__c></Account>'
    known, unknown = org.results(
        f"<create><sObjects><type>Contact</type><LastName>A</LastName>{parent.format('a-1')}</sObjects>"
        f"<sObjects><type>Contact</type><LastName>B</LastName>{parent.format('a-2')}</sObjects></create>"
    )
    assert org.get("Contact", text(known, "id") or "")["AccountId"] == account
    code, message = failed(unknown)
    assert code == "INVALID_FIELD"
    assert "Foreign key external ID: a-2" in (message or "")


def test_ids_may_be_called_id(org: Bench) -> None:
    key = org.create("Lead", LastName="A", Company="B")
    (result,) = org.results(f"<delete><id>{key}</id></delete>")
    assert (text(result, "id"), text(result, "success")) == (key, "true")
    assert org.rows("SELECT Id FROM Lead") == []


def test_all_or_none_takes_the_good_ones_back(org: Bench) -> None:
    header = "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    call = f"<create>{sobject('Lead', LastName='A', Company='B')}{sobject('Lead', Company='x')}</create>"
    good, bad = org.results(call, header)
    assert [failed(good)[0], failed(bad)[0]] == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert org.rows("SELECT Id FROM Lead") == []
    key = org.create("Lead", LastName="A", Company="B")
    org.rest("DELETE", f"sobjects/Lead/{key}")
    good, bad = org.results(f"<undelete><ids>{key}</ids><ids>00Q000000000000AAA</ids></undelete>", header)
    assert failed(good)[0] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert org.rows("SELECT Id FROM Lead") == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("<create><sObjects><type>Nothing</type></sObjects></create>", "sf:INVALID_TYPE"),
        ("<create><sObjects><type>Lead</type><Nothing>1</Nothing></sObjects></create>", "sf:INVALID_FIELD"),
        ("<query><queryString>SELECT Nothing FROM Lead</queryString></query>", "sf:INVALID_FIELD"),
        ("<query><queryString>SELECT Id FROM Nothing</queryString></query>", "sf:INVALID_TYPE"),
        ("<query><queryString>SELEKT Id</queryString></query>", "sf:MALFORMED_QUERY"),
        ("<queryMore><queryLocator>0r8000000000000-200</queryLocator></queryMore>", "sf:INVALID_QUERY_LOCATOR"),
        ("<describeSObject><sObjectType>Nothing</sObjectType></describeSObject>", "sf:INVALID_TYPE"),
        ("<process/>", "sf:FUNCTIONALITY_NOT_ENABLED"),
        ("<search><searchString>FIND {x}</searchString></search>", "sf:MALFORMED_SEARCH"),
        ("<create>" + "<sObjects><type>Lead</type></sObjects>" * 201 + "</create>", "sf:EXCEEDED_ID_LIMIT"),
        ("<setPassword><userId>005000000000000AAA</userId></setPassword>", "sf:INVALID_ID_FIELD"),
    ],
)
def test_what_fails_the_call_is_a_fault_of_the_wsdls_kind(org: Bench, content: str, code: str) -> None:
    assert fault(org, content)[0] == code
    assert partner_wsdl.problems(org.soap(content).body) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("<dance/>", "No operation available for request {urn:partner.soap.sforce.com}dance"),
        (
            "<create><sObjects><type>Opportunity</type><CloseDate>soon</CloseDate></sObjects></create>",
            "'soon' is not a valid value for the type xsd:date",
        ),
        (
            "<convertLead><leadConverts><leadId/><dance/></leadConverts></convertLead>",
            "Element {urn:partner.soap.sforce.com}dance invalid at this location",
        ),
    ],
)
def test_what_cannot_be_read_is_the_clients_fault(org: Bench, content: str, told: str) -> None:
    code, message = fault(org, content)
    assert code == "soapenv:Client"
    assert told in (message or "")


@pytest.mark.parametrize(
    ("letter", "namespace", "named"),
    [
        ("u", "urn:enterprise.soap.sforce.com", "{urn:enterprise.soap.sforce.com}login"),
        ("c", "urn:partner.soap.sforce.com", "{urn:partner.soap.sforce.com}login"),
        ("u", "urn:enterprise.soap.sforce.com/2005/09/outbound", "{urn:enterprise.soap.sforce.com/2005/09/outbound}"),
        ("u", "", "login"),
    ],
)
def test_each_address_knows_the_calls_of_its_own_namespace_alone(
    org: Bench, letter: str, namespace: str, named: str
) -> None:
    given = org.app.credentials
    password = given["password"] + given["security_token"]
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        f'<login xmlns="{namespace}"><username>{given["username"]}</username><password>{password}</password></login>'
        "</e:Body></e:Envelope>"
    )
    reply = org.send("POST", f"/services/Soap/{letter}/60.0", body.encode(), {"soapaction": "login"})
    assert (reply.status, b"soapenv:Client" in reply.body) == (500, True)
    assert f"No operation available for request {named}".encode() in reply.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<a/>",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Envelope><Body><login>&b;</login></Body></Envelope>',
        b"<a>" * 20_000,
        b"<a>" * 200 + b"</a>" * 200,
        b'<?xml version="1.0" encoding="klingon"?><a/>',
    ],
)
def test_no_body_gets_through_and_no_entity_is_resolved(org: Bench, body: bytes) -> None:
    reply = org.send("POST", "/services/Soap/u/60.0", body, {"soapaction": ""})
    assert (reply.status, b"soapenv:Client" in reply.body) == (500, True)
    assert b"root:" not in reply.body


def test_a_search_answers_each_row_in_an_element_of_its_own(org: Bench) -> None:
    org.create("Account", Name="Acme Rockets")
    call = "<search><searchString>FIND {acme} RETURNING Account(Id, Name)</searchString></search>"
    (result,) = org.results(call)
    (found,) = result.findall(f"{PARTNER}searchRecords")
    record = found.find(f"{PARTNER}record")
    assert record is not None
    assert (record.findtext(f"{SF}type"), record.findtext(f"{SF}Name")) == ("Account", "Acme Rockets")
    assert partner_wsdl.problems(org.soap(call, version="27.0").body) == []


# -- the enterprise API ----------------------------------------------------------------------------------------------


def test_the_enterprise_api_logs_in_and_saves_objects_that_are_types_of_its_own(org: Bench) -> None:
    namespace = "{urn:enterprise.soap.sforce.com}"
    given = org.app.credentials
    password = f"{given['password']}{given['security_token']}"
    login = f"<login><username>{given['username']}</username><password>{password}</password></login>"
    answer = ElementTree.fromstring(org.soap(login, api="enterprise").body)
    assert next(answer.iter(f"{namespace}sessionId")).text
    assert "/services/Soap/c/60.0/" in (next(answer.iter(f"{namespace}serverUrl")).text or "")

    row = "<sObjects xsi:type='q:Lead' xmlns:q='urn:sobject.enterprise.soap.sforce.com'>{}</sObjects>"
    made = f"<create>{row.format('<LastName>Roe</LastName><Company>Acme</Company>')}{row.format('')}</create>"
    good, bad = ElementTree.fromstring(org.soap(made, api="enterprise").body).iter(f"{namespace}result")
    assert (good.findtext(f"{namespace}success"), bad.findtext(f"{namespace}success")) == ("true", "false")
    key = good.findtext(f"{namespace}id") or ""
    org.soap(f"<update>{row.format(f'<Id>{key}</Id><Title>CEO</Title>')}</update>", api="enterprise")
    assert org.one("SELECT Title FROM Lead")["Title"] == "CEO"
    org.soap(f"<delete><ids>{key}</ids></delete>", api="enterprise")
    assert org.rows("SELECT Id FROM Lead") == []


def test_rows_of_the_enterprise_api_are_refused_by_name(org: Bench) -> None:
    code, message = fault(org, "<query><queryString>SELECT Id FROM Lead</queryString></query>", api="enterprise")
    assert code == "sf:FUNCTIONALITY_NOT_ENABLED"
    assert "query of the enterprise API" in (message or "")
    untyped = fault(org, "<create><sObjects><type>Lead</type></sObjects></create>", api="enterprise")
    assert untyped[0] == "sf:INVALID_TYPE"


# -- queries ---------------------------------------------------------------------------------------------------------


def query(org: Bench, soql: str, *, kind: str = "query", header: str = "") -> ElementTree.Element:
    (result,) = org.results(f"<{kind}><queryString>{soql}</queryString></{kind}>", header)[:1]
    return result


def test_a_row_shows_parents_children_and_instants_as_the_partner_api_does(org: Bench) -> None:
    account = org.create("Account", Name="Acme", BillingCity="Bonn")
    org.create("Contact", LastName="Roe", AccountId=account)
    shown = query(
        org,
        "SELECT Name, Id, Owner.Email, Parent.Name, BillingAddress, CreatedDate, (SELECT LastName FROM Contacts), "
        "(SELECT Name FROM Opportunities) FROM Account",
    )
    (record,) = shown.findall(f"{PARTNER}records")
    names = [child.tag.removeprefix(SF) for child in record]
    assert names[:4] == ["type", "Id", "Name", "Id"]  # the id stands first and once more where it was asked for
    owner = record.find(f"{SF}Owner")
    assert owner is not None
    assert owner.findtext(f"{SF}type") == "User"
    nils = [record.find(f"{SF}{name}") for name in ("Parent", "Opportunities")]
    assert [found.get(f"{XSI}nil") for found in nils if found is not None] == ["true", "true"]
    children = record.find(f"{SF}Contacts")
    assert children is not None
    assert (children.get(f"{XSI}type"), text(children, "size"), text(children, "done")) == ("QueryResult", "1", "true")
    assert record.findtext(f"{SF}BillingAddress/{PARTNER}city") == "Bonn"
    assert (record.findtext(f"{SF}CreatedDate") or "").endswith(".000Z")


def test_aggregates_and_counts(org: Bench) -> None:
    for number in range(3):
        org.create("Lead", LastName=f"L{number}", Company="B")
    count = query(org, "SELECT COUNT() FROM Lead")
    assert (text(count, "size"), count.findall(f"{PARTNER}records")) == ("3", [])
    (group,) = query(org, "SELECT Company, COUNT(Id) n FROM Lead GROUP BY Company").findall(f"{PARTNER}records")
    assert (group.findtext(f"{SF}type"), group.findtext(f"{SF}Company")) == ("AggregateResult", "B")
    counted = group.find(f"{SF}n")
    assert counted is not None
    assert (counted.text, counted.get(f"{XSI}type")) == ("3", "xsd:int")


def test_pages_follow_the_locator(org: Bench) -> None:
    for start in range(0, 450, 150):
        rows = "".join(sobject("Lead", LastName=f"L{start + number}", Company="B") for number in range(150))
        org.results(f"<create>{rows}</create>")
    header = "<QueryOptions><batchSize>200</batchSize></QueryOptions>"
    page = query(org, "SELECT Id FROM Lead", header=header)
    seen: list[str | None] = []
    while True:
        seen += [row.findtext(f"{SF}Id") for row in page.findall(f"{PARTNER}records")]
        if text(page, "done") == "true":
            break
        (page,) = org.results(f"<queryMore><queryLocator>{text(page, 'queryLocator')}</queryLocator></queryMore>")
    assert (len(seen), len(set(seen)), text(page, "size")) == (450, 450, "450")
    assert "xsd:int" in (fault(org, "<query/>", "<QueryOptions><batchSize>x</batchSize></QueryOptions>")[1] or "")


def test_query_all_sees_the_recycle_bin_until_it_is_emptied(org: Bench) -> None:
    account = org.create("Account", Name="Acme")
    contact = org.create("Contact", LastName="Roe", AccountId=account)
    (alive,) = org.results(f"<emptyRecycleBin><ids>{account}</ids></emptyRecycleBin>")
    assert text(alive, "success") == "false"
    org.results(f"<delete><ids>{account}</ids></delete>")
    assert text(query(org, "SELECT Id FROM Contact", kind="queryAll"), "size") == "1"
    (done,) = org.results(f"<emptyRecycleBin><ids>{account}</ids></emptyRecycleBin>")
    assert text(done, "id") == account
    assert text(query(org, "SELECT Id FROM Contact", kind="queryAll"), "size") == "0"
    for key in (account, contact):
        (lost,) = org.results(f"<undelete><ids>{key}</ids></undelete>")
        assert text(lost, "success") == "false"


def test_retrieve_answers_nil_for_what_is_not_there(org: Bench) -> None:
    lead = org.create("Lead", LastName="A", Company="B")
    ask = f"<fieldList>Id, LastName</fieldList><sObjectType>Lead</sObjectType><ids>{lead}</ids>"
    found, lost = org.results(f"<retrieve>{ask}<ids>00Q000000000000AAA</ids></retrieve>")
    assert (found.findtext(f"{SF}LastName"), lost.get(f"{XSI}nil")) == ("A", "true")
    assert fault(org, "<retrieve><sObjectType>Lead</sObjectType></retrieve>")[0] == "sf:MISSING_ARGUMENT"


def test_windows_tell_what_changed_and_what_is_gone(org: Bench) -> None:
    kept, gone = (org.create("Lead", LastName=name, Company="B") for name in "AB")
    org.results(f"<delete><ids>{gone}</ids></delete>")
    org.wait(minutes=5)
    span = "<startDate>2026-01-31T09:00:00Z</startDate><endDate>2026-01-31T09:18:00.000Z</endDate>"
    (updated,) = org.results(f"<getUpdated><sObjectType>Lead</sObjectType>{span}</getUpdated>")
    assert [found.text for found in updated.findall(f"{PARTNER}ids")] == [kept]
    assert (text(updated, "latestDateCovered") or "").endswith("Z")
    (deleted,) = org.results(f"<getDeleted><sObjectType>Lead</sObjectType>{span}</getDeleted>")
    (record,) = deleted.findall(f"{PARTNER}deletedRecords")
    assert text(record, "id") == gone
    old = span.replace("2026-01-31", "2025-01-31")
    assert fault(org, f"<getUpdated><sObjectType>Lead</sObjectType>{old}</getUpdated>")[0] == (
        "sf:INVALID_REPLICATION_DATE"
    )


# -- convert and merge -----------------------------------------------------------------------------------------------


def test_up_to_a_hundred_leads_are_converted_each_for_itself(org: Bench) -> None:
    leads = [org.create("Lead", LastName=f"L{number}", Company=f"C{number}") for number in range(3)]
    parts = "".join(
        f"<leadConverts><leadId>{lead}</leadId><convertedStatus>{status}</convertedStatus></leadConverts>"
        for lead, status in zip(leads, ["Closed - Converted", "Wrong", "Closed - Converted"], strict=True)
    )
    first, wrong, last = org.results(f"<convertLead>{parts}</convertLead>")
    assert [text(each, "success") for each in (first, wrong, last)] == ["true", "false", "true"]
    assert failed(wrong) == ("INVALID_STATUS", "invalid convertedStatus: Wrong")
    many = "<leadConverts><leadId/></leadConverts>" * 101
    assert fault(org, f"<convertLead>{many}</convertLead>")[0] == "sf:EXCEEDED_LEAD_CONVERT_LIMIT"


def test_what_is_for_internal_use_or_persons_is_refused(org: Bench) -> None:
    lead = org.create("Lead", LastName="A", Company="B")
    inside = f"<leadId>{lead}</leadId><accountRecord><type>Account</type></accountRecord>"
    assert fault(org, f"<convertLead><leadConverts>{inside}</leadConverts></convertLead>")[0] == "sf:INVALID_FIELD"
    assert org.convert(lead, relatedPersonAccountId="001000000000000AAA")["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"


def test_conversion_passes_alerts_and_cuts_long_texts_when_asked() -> None:
    org = bench({"rules": {"duplicates": [TWINS]}})
    org.create("Lead", LastName="Twin", Company="B", Email="twin@acme.example")
    lead = org.create("Lead", LastName="Twin", Company="C" * 10, Email="twin@acme.example")
    assert org.convert(lead)["statusCode"] == "DUPLICATES_DETECTED"
    assert (
        org.convert(lead, bypassContactDedupeCheck=True, opportunityName="o" * 121)["statusCode"] == "STRING_TOO_LONG"
    )
    done = org.convert(lead, header=TRUNCATE, bypassContactDedupeCheck=True, opportunityName="o" * 121)
    assert done["success"] == "true"
    assert org.get("Opportunity", done["opportunityId"] or "")["Name"] == "o" * 120


def test_a_merge_moves_children_and_fills_the_master(org: Bench) -> None:
    master, loser = (org.create("Account", Name=name) for name in ("Acme", "Acme Inc"))
    contact = org.create("Contact", LastName="Roe", AccountId=loser)
    given = sobject("Account", tag="masterRecord", Id=master, Phone="123")
    call = f"<merge><request>{given}<recordToMergeIds>{loser}</recordToMergeIds></request></merge>"
    (result,) = org.results(call)
    assert [text(result, name) for name in ("id", "mergedRecordIds", "success", "updatedRelatedIds")] == [
        master,
        loser,
        "true",
        contact,
    ]
    assert (org.get("Contact", contact)["AccountId"], org.get("Account", master)["Phone"]) == (master, "123")
    (again,) = org.results(call)
    assert failed(again)[0] == "ENTITY_IS_DELETED"


# -- headers ---------------------------------------------------------------------------------------------------------


def test_headers_either_do_something_or_are_in_the_closed_list(org: Bench) -> None:
    assert EFFECTIVE.isdisjoint(WITHOUT_EFFECT)
    for name in WITHOUT_EFFECT:
        assert org.soap("<getServerTimestamp/>", header=f"<{name}/>").status == 200
    code, message = fault(org, "<getServerTimestamp/>", "<Dance/>")
    assert (code, "Dance" in (message or "")) == ("sf:INVALID_SOAP_HEADER", True)
    moved = "<OwnerChangeOptions><options><type>TransferOpenActivities</type><execute>true</execute></options>"
    assert fault(org, "<getUserInfo/>", f"{moved}</OwnerChangeOptions>")[0] == "sf:FUNCTIONALITY_NOT_ENABLED"


def test_assignment_rules_run_only_when_asked() -> None:
    org = bench(
        {"rules": {"assignment": {"Lead": {"owner": "Hot_Leads"}}}},
        {"Group": [{"Name": "Hot Leads", "DeveloperName": "Hot_Leads", "Type": "Queue"}]},
    )
    call = f"<create>{sobject('Lead', LastName='A', Company='B')}</create>"
    asked = "<AssignmentRuleHeader><useDefaultRule>true</useDefaultRule></AssignmentRuleHeader>"
    (plain,), (assigned,) = org.results(call), org.results(call, asked)
    owners = [org.get("Lead", text(made, "id") or "")["OwnerId"][:3] for made in (plain, assigned)]
    assert owners == ["005", "00G"]


def test_a_save_is_recently_viewed_only_when_asked(org: Bench) -> None:
    call = f"<create>{sobject('Lead', LastName='A', Company='B')}</create>"
    org.results(call)
    assert org.rest("GET", "recent").body == []
    (made,) = org.results(call, "<MruHeader><updateMru>true</updateMru></MruHeader>")
    assert [row["Id"] for row in org.rest("GET", "recent").body] == [text(made, "id")]


def test_alerts_of_duplicate_rules_are_passed_by_header_and_told_in_full() -> None:
    org = bench({"rules": {"duplicates": [TWINS]}})
    org.create("Lead", LastName="Twin", Company="B", Email="twin@acme.example")
    call = f"<create>{sobject('Contact', LastName='Twin', Email='twin@acme.example')}</create>"
    (refused,) = org.results(call)
    assert failed(refused)[0] == "DUPLICATES_DETECTED"
    error = refused.find(f"{PARTNER}errors")
    assert error is not None
    assert error.get(f"{XSI}type") == "DuplicateError"
    assert error.findtext(f".//{PARTNER}record/{SF}type") == "Lead"
    header = "<DuplicateRuleHeader><allowSave>true</allowSave></DuplicateRuleHeader>"
    assert text(org.results(call, header)[0], "success") == "true"


def test_truncation_cuts_texts_but_no_picklists(org: Bench) -> None:
    call = f"<create>{sobject('Lead', LastName='L' * 90, Company='B')}</create>"
    assert failed(org.results(call)[0])[0] == "STRING_TOO_LONG"
    (made,) = org.results(call, TRUNCATE)
    assert org.get("Lead", text(made, "id") or "")["LastName"] == "L" * 80


# -- sessions --------------------------------------------------------------------------------------------------------


def test_logout_and_invalidated_sessions_are_over(org: Bench) -> None:
    other = org.person("mia@acme.example")
    (ended, unknown) = org.results(
        f"<invalidateSessions><sessionIds>{other.token}</sessionIds><sessionIds>x</sessionIds></invalidateSessions>"
    )
    assert (text(ended, "success"), failed(unknown)[0]) == ("true", "INVALID_SESSION_ID")
    assert fault(other, "<getUserInfo/>")[0] == "sf:INVALID_SESSION_ID"
    assert org.soap("<logout/>").status == 200
    assert org.rest("GET", "limits").status == 401


@pytest.mark.parametrize("version", ["19.0", "68.0", "999.0"])
def test_versions_that_never_were_are_refused(org: Bench, version: str) -> None:
    assert fault(org, "<getUserInfo/>", version=version)[0] == "UNSUPPORTED_API_VERSION"


def test_every_call_counts_and_the_quota_is_a_fault() -> None:
    org = bench({"org": {"daily_api_requests": 2}})
    reply = org.soap("<getServerTimestamp/>")
    assert b"<current>1</current><limit>2</limit><type>API REQUESTS</type>" in reply.body
    org.soap("<getServerTimestamp/>")
    assert fault(org, "<getServerTimestamp/>") == (
        "sf:REQUEST_LIMIT_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.",
    )


# -- the WSDL --------------------------------------------------------------------------------------------------------


def calls(org: Bench) -> dict[str, str]:
    account = org.create("Account", Name="Acme")
    twin = org.create("Account", Name="Acme 2")
    org.create("Contact", LastName="Roe", AccountId=account)
    lead = org.create("Lead", LastName="A", Company="B", AnnualRevenue=5.5)
    old = org.create("Lead", LastName="Z", Company="B")
    org.rest("DELETE", f"sobjects/Lead/{old}")
    org.wait(minutes=2)
    span = "<startDate>2026-01-31T09:00:00Z</startDate><endDate>2026-01-31T09:17:00Z</endDate>"
    convert = (
        f"<leadConverts><leadId>{lead}</leadId><convertedStatus>Closed - Converted</convertedStatus></leadConverts>"
    )
    contacts = "SELECT Id, Owner.Name, (SELECT Id, Name FROM Contacts) FROM Account"
    return {
        "create": f"<create>{sobject('Lead', LastName='B', Company='C')}{sobject('Lead')}</create>",
        "update": f"<update>{sobject('Lead', Id=lead, Title='CEO')}</update>",
        "upsert": f"<upsert><externalIDFieldName>Id</externalIDFieldName>{sobject('Lead', Id=lead)}</upsert>",
        "query": f"<query><queryString>{contacts}</queryString></query>",
        "aggregate": "<query><queryString>SELECT Status, COUNT(Id) FROM Lead GROUP BY Status</queryString></query>",
        "queryAll": "<queryAll><queryString>SELECT Name FROM Lead</queryString></queryAll>",
        "retrieve": f"<retrieve><fieldList>Name</fieldList><sObjectType>Lead</sObjectType><ids>{lead}</ids></retrieve>",
        "getUpdated": f"<getUpdated><sObjectType>Lead</sObjectType>{span}</getUpdated>",
        "getDeleted": f"<getDeleted><sObjectType>Lead</sObjectType>{span}</getDeleted>",
        "describeGlobal": "<describeGlobal/>",
        "describeSObject": "<describeSObject><sObjectType>Lead</sObjectType></describeSObject>",
        "describeSObjects": "".join(
            ["<describeSObjects>", *(f"<sObjectType>{name}</sObjectType>" for name in NAMES), "</describeSObjects>"]
        ),
        "getServerTimestamp": "<getServerTimestamp/>",
        "getUserInfo": "<getUserInfo/>",
        "convertLead": f"<convertLead>{convert}{convert}</convertLead>",
        "merge": f"<merge><request>{sobject('Account', tag='masterRecord', Id=account)}"
        f"<recordToMergeIds>{twin}</recordToMergeIds></request></merge>",
        "delete": f"<delete><ids>{lead}</ids><ids>00Q000000000000AAA</ids></delete>",
        "undelete": f"<undelete><ids>{lead}</ids></undelete>",
        "emptyRecycleBin": f"<emptyRecycleBin><ids>{old}</ids></emptyRecycleBin>",
        "invalidateSessions": "<invalidateSessions><sessionIds>x</sessionIds></invalidateSessions>",
        "logout": "<logout/>",
    }


NAMES = ("Account", "Contact", "Opportunity", "User", "Task", "Campaign", "CampaignMember")


def test_every_answer_of_v27_is_valid_against_its_wsdl(org: Bench) -> None:
    wrong: dict[str, list[str]] = {}
    for name, content in calls(org).items():
        reply = org.soap(content, version="27.0")
        assert reply.status == 200, (name, reply.body)
        if found := partner_wsdl.problems(reply.body):
            wrong[name] = found[:3]
    assert wrong == {}


def test_newer_versions_describe_more_and_the_oldest_no_less(org: Bench) -> None:
    def names(version: str) -> set[str]:
        reply = org.soap("<describeSObject><sObjectType>Lead</sObjectType></describeSObject>", version=version)
        result = next(ElementTree.fromstring(reply.body).iter(f"{PARTNER}result"))
        found = [child.tag.removeprefix(PARTNER) for child in result]
        assert found == sorted(found)
        return set(found)

    assert names("20.0") == names("27.0") < names("65.0")


def test_a_login_of_v27_is_valid_against_its_wsdl(org: Bench) -> None:
    given = org.app.credentials
    secret = given["password"] + given["security_token"]
    reply = org.soap(
        f"<login><username>{given['username']}</username><password>{secret}</password></login>", version="27.0"
    )
    assert (reply.status, partner_wsdl.problems(reply.body)) == (200, [])
