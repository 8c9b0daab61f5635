"""Queries of the Dataverse half: functions, expands, $apply, FetchXML, SQL, refusals (dataverse-api §2)."""

import json
import xml.etree.ElementTree as ElementTree
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

import pytest
from ruamel.yaml import YAML

from crmbridge.sandbox.dynamics.shape_file import SHIPPED, build, overlay
from tests.support.dataverse import ROOT, Answer, Environment

EVERYTHING = 'odata.include-annotations="*"'
FORMATTED = "OData.Community.Display.V1.FormattedValue"
NOWHERE = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def env() -> Environment:
    found = Environment()
    found.app.load(
        {
            "account": [
                {"_ref": "top", "name": "Fabrikam, Inc.", "revenue": 20000.5, "numberofemployees": 10},
                {"_ref": "middle", "name": "Fourth Coffee", "parentaccountid": "@top", "numberofemployees": 5},
                {"_ref": "low", "name": "Litware", "parentaccountid": "@middle"},
            ],
            "contact": [
                {"_ref": "ada", "firstname": "Ada", "lastname": "Byron", "parentcustomerid": "@top"},
                {"firstname": "Max", "lastname": "O'Hara", "parentcustomerid": "@top"},
                {"firstname": "Zoe", "lastname": "Zed", "parentcustomerid": "@middle"},
            ],
            "lead": [
                {"subject": "One", "lastname": "A", "statuscode": 2, "estimatedamount": 100, "parentaccountid": "@top"},
                {"subject": "two", "lastname": "B", "leadsourcecode": 8, "estimatedclosedate": "2026-11-30"},
                {"subject": "Three", "lastname": "C", "statecode": 2, "statuscode": 5, "estimatedamount": 51},
            ],
        }
    )
    return found


def fetch(env: Environment, name: str, xml: str, **headers: str) -> Answer:
    return env.get(f"{name}?fetchXml={quote(xml, safe='')}", **headers)


def sql(env: Environment, name: str, text: str, **headers: str) -> Answer:
    return env.get(f"{name}?sql={quote(text, safe='')}", **headers)


def account(env: Environment, name: str) -> str:
    return env.get(f"accounts?$select=accountid&$filter=name eq '{name}'").rows[0]["accountid"]


# $filter


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("Under(PropertyName='accountid',PropertyValue='TOP')", {"Fourth Coffee", "Litware"}),
        ("UnderOrEqual(PropertyName='accountid',PropertyValue='TOP')", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("NotUnder(PropertyName='accountid',PropertyValue='TOP')", {"Fabrikam, Inc."}),
        ("Above(PropertyName='accountid',PropertyValue='LOW')", {"Fabrikam, Inc.", "Fourth Coffee"}),
        ("AboveOrEqual(PropertyName='accountid',PropertyValue='LOW')", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("EqualUserId(PropertyName='ownerid')", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("NotEqualUserId(PropertyName='ownerid')", set()),
        ("EqualUserOrUserTeams(PropertyName='ownerid')", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("InFiscalYear(PropertyName='createdon',PropertyValue=2026)", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("InFiscalPeriodAndYear(PropertyName='createdon',PropertyValue1=2,PropertyValue2=2026)", set()),
        ("ThisFiscalPeriod(PropertyName='createdon')", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("LastXMonths(PropertyName='createdon',PropertyValue=2)", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("LastXMonths(PropertyName='createdon',PropertyValue='2')", {"Fabrikam, Inc.", "Fourth Coffee", "Litware"}),
        ("OlderThanXDays(PropertyName='createdon',PropertyValue=1)", set()),
        ("NotIn(PropertyName='name',PropertyValues=[\"Litware\"])", {"Fabrikam, Inc.", "Fourth Coffee"}),
        ('NotBetween(PropertyName=\'numberofemployees\',PropertyValues=["1","6"])', {"Fabrikam, Inc."}),
    ],
)
def test_query_functions(env: Environment, expression: str, names: set[str]) -> None:
    text = expression.replace("TOP", account(env, "Fabrikam, Inc.")).replace("LOW", account(env, "Litware"))
    rows = env.get(f"accounts?$select=name&$filter=Microsoft.Dynamics.CRM.{text}").rows
    assert {row["name"] for row in rows} == names


def test_parameter_aliases_stand_for_values_and_lists(env: Environment) -> None:
    url = (
        "contacts?$select=lastname&$filter=Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)"
        '&@p1=\'lastname\'&@p2=["O\'Hara","Zed"]'
    )
    assert {row["lastname"] for row in env.get(url).rows} == {"O'Hara", "Zed"}
    assert env.get("contacts?$filter=lastname eq @p1").code == "0x80060888"


def test_parameter_aliases_stand_for_columns_beside_a_direction(env: Environment) -> None:
    url = "contacts?$select=lastname&$filter=contains(@p1,'a')&$orderby=@p2 asc,@p1 desc&@p1=fullname&@p2=company"
    assert [row["lastname"] for row in env.get(url).rows] == ["O'Hara", "Byron"]
    hours = "Microsoft.Dynamics.CRM.LastXHours(PropertyName=@p1,PropertyValue=@p2)&@p1='createdon'&@p2="
    assert len(env.get(f"contacts?$filter={hours}'1'").rows) == 3
    assert env.get(f"contacts?$filter={hours}'x'").code == "0x80060888"


def test_what_microsofts_samples_leave_out_or_add_is_read_as_they_mean_it(env: Environment) -> None:
    close = "contains(lastname,'(and)')or (lastname eq 'Byron')and firstname eq 'Ada'"
    answer = env.get(f"contacts?$select=lastname,&$filter={close}")
    assert [row["lastname"] for row in answer.rows] == ["Byron"]
    assert answer.json["@odata.context"].endswith("#contacts(lastname)")
    assert env.get("contacts?$select=,lastname").code == "0x80060888"
    assert env.get("contacts?$filter=(lastname eq 'Byron')andfirstname eq 'Ada'").code == "0x80060888"


def test_a_contact_repeats_its_customer_by_kind(env: Environment) -> None:
    key = account(env, "Fabrikam, Inc.")
    assert {row["lastname"] for row in env.get(f"contacts?$filter=_accountid_value eq {key}").rows} == {
        "Byron",
        "O'Hara",
    }
    ada = env.get("contacts?$select=_accountid_value,_parentcontactid_value&$filter=lastname eq 'Byron'").rows[0]
    path = f"contacts({ada['contactid']})"
    assert (ada["_accountid_value"], ada["_parentcontactid_value"]) == (key, None)
    max_ = env.get("contacts?$select=contactid&$filter=lastname eq 'O''Hara'").rows[0]["contactid"]
    assert env.patch(path, {"parentcustomerid_contact@odata.bind": f"/contacts({max_})"}).status == 204
    shown = env.get(f"{path}?$select=_accountid_value,_parentcontactid_value").json
    assert (shown["_accountid_value"], shown["_parentcontactid_value"]) == (None, max_)
    assert env.send("DELETE", f"{path}/parentcustomerid_contact/$ref").status == 204
    assert env.get(f"{path}?$select=_parentcontactid_value").json["_parentcontactid_value"] is None


@pytest.mark.parametrize("quoted", ["{}", "'{}'"])
def test_guids_are_taken_with_and_without_quotes(env: Environment, quoted: str) -> None:
    key = account(env, "Fabrikam, Inc.")
    assert len(env.get(f"contacts?$filter=_parentcustomerid_value eq {quoted.format(key.upper())}").rows) == 2


def test_nested_lambdas(env: Environment) -> None:
    below = "account_parent_account/any(b:b/name eq 'Litware')"
    url = f"accounts?$select=name&$filter=account_parent_account/any(a:a/{below})"
    assert [row["name"] for row in env.get(url).rows] == ["Fabrikam, Inc."]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "leads?$filter=nosuch eq 1",
            "Could not find a property named 'nosuch' on type 'Microsoft.Dynamics.CRM.lead'.",
        ),
        ("leads?$filter=lastname eq 'O'Bryan'", "There is an unterminated literal at position 20 in"),
        ("leads?$filter=leadid eq guid'x'", "Unrecognized 'Edm.String' literal"),
        ("leads?$skip=1", "Skip Clause is not supported in CRM"),
        ("leads?$apply=groupby((statecode),aggregate($count as n))&$orderby=n", "SingleValueOpenPropertyAccess"),
        ("leads?$expand=lead_parent_account/$ref", "Could not find a property named"),
        ("accounts?$expand=lead_parent_account/$ref", "Expand with $ref is only supported on lookup type"),
        ("accounts?$expand=lead_parent_account($top=1;$expand=createdby)", "Only $select and $filter clause"),
        ("leads?$filter=year(createdon) eq 2026", "The query node SingleValueFunctionCall is not supported."),
        ("leads?$select=subject&$select=subject", "more than once"),
        (
            "leads?$filter=not Microsoft.Dynamics.CRM.EqualUserId(PropertyName=@p1)&@p1='ownerid'",
            "Not operator along with the Custom Named Condition operators is not allowed",
        ),
        (
            "leads?$filter=not (donotemail and not Microsoft.Dynamics.CRM.Today(PropertyName='createdon'))",
            "Not operator",
        ),
        ("leads?$filter=" + "not " * 300 + "donotemail", "node count limit"),
        ("leads?$expand=" + ",".join(f"createdby($select=x{n})" for n in range(16)), "exceeds the maximum of 15"),
    ],
)
def test_refusals_say_what_is_wrong(env: Environment, url: str, text: str) -> None:
    answer = env.get(url)
    assert (answer.status, answer.code) == (400, "0x80060888")
    assert text in answer.json["error"]["message"]


def test_views_are_carried_out(env: Environment) -> None:
    view = env.get("savedqueries?$select=savedqueryid,returnedtypecode&$filter=name eq 'Active Accounts'").rows[0]
    assert view["returnedtypecode"] == "account"
    found = env.get(f"accounts?savedQuery={view['savedqueryid']}", prefer="odata.maxpagesize=2").rows
    assert [row["name"] for row in found] == ["Fabrikam, Inc.", "Fourth Coffee"]
    assert env.get(f"leads?savedQuery={view['savedqueryid']}").status == 400
    own = {
        "name": "Mine",
        "returnedtypecode": "contact",
        "querytype": 0,
        "fetchxml": "<fetch><entity name='contact'><attribute name='lastname' /><filter>"
        "<condition attribute='firstname' operator='like' value='%a%' /></filter></entity></fetch>",
    }
    made = env.post("userqueries", own)
    assert made.status == 204
    assert {row["lastname"] for row in env.get(f"contacts?userQuery={made.id}").rows} == {"Byron", "O'Hara"}
    assert env.get(f"contacts?userQuery={made.id}&$filter=lastname eq 'Byron'").code == "0x80060888"
    empty = env.post("userqueries", {"name": "None", "returnedtypecode": "contact"})
    assert env.get(f"contacts?userQuery={empty.id}").status == 400


@pytest.mark.parametrize("name", ["account", "contact", "lead", "opportunity"])
def test_every_view_out_of_the_box_can_be_carried_out(env: Environment, name: str) -> None:
    views = env.get(f"savedqueries?$select=savedqueryid&$filter=returnedtypecode eq '{name}'").rows
    set_name = env.app.shape.tables[name].set_name
    assert views
    assert {env.get(f"{set_name}?savedQuery={view['savedqueryid']}").status for view in views} == {200}


def test_stored_queries_that_are_not_there(env: Environment) -> None:
    answer = env.get(f"leads?savedQuery={NOWHERE}")
    assert (answer.status, answer.code) == (404, "0x80040217")
    assert env.get("leads?userQuery=x").status == 400


# Annotations


def test_annotations_can_be_named_one_by_one(env: Environment) -> None:
    url = "leads?$select=statuscode,_parentaccountid_value&$filter=subject eq 'One'"
    plain = env.get(url).rows[0]
    assert not any("@" in name for name in plain if name != "@odata.etag")
    some = env.get(url, Prefer='odata.include-annotations="OData.Community.Display.V1.*"').rows[0]
    assert some[f"_parentaccountid_value@{FORMATTED}"] == "Fabrikam, Inc."
    assert not any("lookuplogicalname" in name for name in some)
    less = env.get(url, Prefer=f'odata.include-annotations="*,-{FORMATTED}"').rows[0]
    assert not any(FORMATTED in name for name in less)
    assert less["_parentaccountid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "account"


# $expand


def test_single_level_collections_come_whole_with_a_link_without_paging(env: Environment) -> None:
    url = "accounts?$select=name&$filter=name eq 'Fabrikam, Inc.'&$expand=contact_customer_accounts($select=fullname)"
    page = env.get(url, Prefer="odata.maxpagesize=1")
    row = page.rows[0]
    assert len(row["contact_customer_accounts"]) == 2
    assert "skiptoken" not in row["contact_customer_accounts@odata.nextLink"]
    assert page.json["@odata.context"].endswith("#accounts(name,contact_customer_accounts(fullname))")
    again = env.get(row["contact_customer_accounts@odata.nextLink"]).rows
    assert [each["fullname"] for each in again] == [each["fullname"] for each in row["contact_customer_accounts"]]


def test_a_nested_expand_pages_the_expanded_rows(env: Environment) -> None:
    url = (
        "accounts?$select=name&$filter=name eq 'Fabrikam, Inc.'"
        "&$expand=contact_customer_accounts($select=fullname;$expand=createdby($select=fullname))"
    )
    row = env.get(url, Prefer="odata.maxpagesize=1").rows[0]
    seen = [each["fullname"] for each in row["contact_customer_accounts"]]
    assert row["contact_customer_accounts"][0]["createdby"]["fullname"]
    rest = env.get(row["contact_customer_accounts@odata.nextLink"], Prefer="odata.maxpagesize=1").rows
    assert sorted([*seen, *(each["fullname"] for each in rest)]) == ["Ada Byron", "Max O'Hara"]


def test_references_of_lookups(env: Environment) -> None:
    row = env.get("leads?$select=subject&$filter=subject eq 'One'&$expand=parentaccountid/$ref").rows[0]
    key = account(env, "Fabrikam, Inc.")
    assert row["parentaccountid"] == {"@odata.id": f"{ROOT}/accounts({key})"}
    assert row["_parentaccountid_value"] == key


# Below a row


def test_values_and_paths_below_a_row(env: Environment) -> None:
    lead = env.get("leads?$select=leadid&$filter=subject eq 'One'").rows[0]["leadid"]
    raw = env.get(f"leads({lead})/subject/$value")
    assert (raw.text, raw.headers["Content-Type"]) == ("One", "text/plain")
    assert env.row(f"leads({lead})/parentaccountid/name")["value"] == "Fabrikam, Inc."
    top = account(env, "Fabrikam, Inc.")
    contact = env.get("contacts?$filter=lastname eq 'Byron'").rows[0]["contactid"]
    assert env.row(f"accounts({top})/contact_customer_accounts({contact})")["fullname"] == "Ada Byron"
    assert env.get(f"accounts({top})/contact_customer_accounts({NOWHERE})").status == 404
    assert env.get(f"accounts({top})/contact_customer_accounts/$count").text == "2"
    assert env.get(f"leads({lead})/nosuch").status == 404


# Counting


def test_counts_stop_at_five_thousand(env: Environment) -> None:
    for number in range(5001):
        key = f"00000000-0000-4000-9000-{number:012}"
        env.app.store.put("campaign", key, {"campaignid": key, "name": f"C{number}"})
    assert env.get("campaigns/$count").text == "5000"
    page = env.get("campaigns?$select=name&$count=true", Prefer=EVERYTHING)
    assert (page.json["@odata.count"], len(page.rows)) == (5000, 5000)
    assert page.json["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is True
    assert len(env.get(page.json["@odata.nextLink"]).rows) == 1
    total = env.row("RetrieveTotalRecordCount(EntityNames=['campaign'])")
    assert total["EntityRecordCountCollection"]["Values"] == [5001]


def test_pages_begin_where_the_last_one_ended_whatever_is_written_meanwhile(env: Environment) -> None:
    for number in range(30):
        env.lead(subject=f"S{number % 4}", companyname="Pages")
    url = "leads?$select=subject&$filter=companyname eq 'Pages'&$orderby=subject desc"
    seen: list[str] = []
    while url:
        page = env.get(url, Prefer="odata.maxpagesize=4")
        seen += [row["leadid"] for row in page.rows]
        env.lead(subject="S9", companyname="Pages")  # before every page that is still to come
        env.patch(f"leads({page.rows[-1]['leadid']})", {"jobtitle": "edited"})
        url = page.json.get("@odata.nextLink", "")
    assert len(seen) == len(set(seen)) == 30


# $apply


def test_groups_and_what_they_amount_to(env: Environment) -> None:
    url = "leads?$apply=groupby((statecode),aggregate($count as n,estimatedamount with sum as total))"
    assert env.get(url, Prefer=f'odata.include-annotations="{FORMATTED}"').rows == [
        {
            f"statecode@{FORMATTED}": "Open", "statecode": 0, f"n@{FORMATTED}": "2", "n": 2,
            f"total@{FORMATTED}": "$100.00", "total": 100.0,
        },
        {
            f"statecode@{FORMATTED}": "Disqualified", "statecode": 2, f"n@{FORMATTED}": "1", "n": 1,
            f"total@{FORMATTED}": "$51.00", "total": 51.0,
        },
    ]  # fmt: skip
    assert env.get("leads?$apply=filter(estimatedamount gt 1)/aggregate(estimatedamount with average as a)").rows == [
        {"a": 75.5}
    ]
    assert env.get("leads?$apply=aggregate(leadsourcecode with countdistinct as d)").rows == [{"d": 1}]


def test_groups_of_the_rows_of_another_row(env: Environment) -> None:
    below = f"accounts({account(env, 'Fabrikam, Inc.')})/contact_customer_accounts"
    assert env.get(f"{below}?$apply=aggregate($count as n)").rows == [{"n": 2}]
    rows = env.get(f"{below}?$apply=filter(lastname ne 'Byron')/groupby((firstname),aggregate($count as n))").rows
    assert rows == [{"firstname": "Max", "n": 1}]
    assert env.get(f"{below}?fetchXml=x").code == "0x80060888"


def test_a_group_behind_a_lookup_is_named_after_its_table_and_null_is_left_out(env: Environment) -> None:
    rows = env.get("leads?$apply=groupby((parentaccountid/name),aggregate($count as n))").rows
    assert rows == [{"n": 2}, {"n": 1, "account_name": "Fabrikam, Inc."}]


def test_more_than_fifty_thousand_rows_are_not_aggregated(env: Environment) -> None:
    for number in range(50_001):
        key = f"00000000-0000-4000-9000-{number:012}"
        env.app.store.put("campaign", key, {"campaignid": key, "name": "C"})
    assert env.get("campaigns?$apply=aggregate($count as n)").code == "0x8004E023"
    xml = (
        "<fetch aggregate='true'><entity name='campaign'><attribute name='name' alias='n' aggregate='count'/>"
        "</entity></fetch>"
    )
    assert fetch(env, "campaigns", xml).code == "0x8004E023"


# FetchXML


def test_fetchxml_leaves_nulls_out_and_names_linked_columns_by_alias(env: Environment) -> None:
    found = fetch(
        env,
        "contacts",
        "<fetch><entity name='contact'><attribute name='fullname'/><attribute name='jobtitle'/>"
        "<order attribute='fullname'/><link-entity name='account' from='accountid' to='parentcustomerid' alias='acct'>"
        "<attribute name='name'/><attribute name='primarycontactid'/></link-entity></entity></fetch>",
    )
    row = found.rows[0]
    assert set(row) == {"@odata.etag", "fullname", "contactid", "acct.name"}
    assert row["acct.name"] == "Fabrikam, Inc."


def test_filters_nest_and_reach_across_links(env: Environment) -> None:
    found = fetch(
        env,
        "contacts",
        "<fetch><entity name='contact'><attribute name='lastname'/><filter type='or'>"
        "<condition attribute='lastname' operator='like' value='%y%'/>"
        "<filter><condition entityname='a' attribute='name' operator='begins-with' value='Fourth'/>"
        "<condition attribute='firstname' operator='not-null'/></filter></filter>"
        "<link-entity name='account' from='accountid' to='parentcustomerid' link-type='outer' alias='a'/>"
        "</entity></fetch>",
    )
    assert {row["lastname"] for row in found.rows} == {"Byron", "Zed"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("any", {"Fabrikam, Inc."}), ("not any", {"Fourth Coffee", "Litware"}),
        ("all", {"Fourth Coffee"}), ("not all", {"Fabrikam, Inc."}),
    ],
)  # fmt: skip
def test_links_inside_of_filters(env: Environment, kind: str, names: set[str]) -> None:
    xml = (
        "<fetch><entity name='account'><attribute name='name'/><filter>"
        f"<link-entity name='contact' from='parentcustomerid' to='accountid' link-type='{kind}'><filter>"
        "<condition attribute='lastname' operator='eq' value='Byron'/></filter></link-entity></filter></entity></fetch>"
    )
    assert {row["name"] for row in fetch(env, "accounts", xml).rows} == names


def test_aggregates_group_by_parts_of_a_date(env: Environment) -> None:
    xml = (
        "<fetch aggregate='true'><entity name='account'><attribute name='numberofemployees' alias='s' aggregate='sum'/>"
        "<attribute name='numberofemployees' alias='a' aggregate='avg'/>"
        "<attribute name='numberofemployees' alias='c' aggregate='countcolumn'/>"
        "<attribute name='accountid' alias='n' aggregate='count'/>"
        "<attribute name='createdon' alias='week' groupby='true' dategrouping='week'/>"
        "<attribute name='createdon' alias='period' groupby='true' dategrouping='fiscal-period'/></entity></fetch>"
    )
    assert fetch(env, "accounts", xml).rows == [
        {"week": 33, "period": "Quarter 3 FY2026", "s": 15, "a": 7, "c": 2, "n": 3}
    ]


def test_distinct_children_and_totals(env: Environment) -> None:
    xml = "<fetch distinct='true'><entity name='lead'><attribute name='statecode'/></entity></fetch>"
    assert sorted(row["statecode"] for row in fetch(env, "leads", xml).rows) == [0, 2]
    xml = (
        "<fetch><entity name='account'><attribute name='accountid' alias='children' rowaggregate='CountChildren'/>"
        "</entity></fetch>"
    )
    assert sorted(row["children"] for row in fetch(env, "accounts", xml).rows) == [0, 1, 1]
    xml = "<fetch returntotalrecordcount='true' count='1'><entity name='lead'/></fetch>"
    assert fetch(env, "leads", xml, Prefer=EVERYTHING).json["@Microsoft.Dynamics.CRM.totalrecordcount"] == 3


def test_the_paging_cookie_leads_through_all_rows_and_is_absent_at_the_end(env: Environment) -> None:
    seen: list[str] = []
    cookie, page = "", 1
    while True:
        more = f" paging-cookie={quoteattr(cookie)}" if cookie else ""
        xml = (
            f"<fetch count='2' page='{page}'{more}><entity name='contact'><attribute name='fullname'/>"
            "<order attribute='fullname' descending='true'/></entity></fetch>"
        )
        answer = fetch(env, "contacts", xml, Prefer=EVERYTHING)
        seen += [row["fullname"] for row in answer.rows]
        if "@Microsoft.Dynamics.CRM.morerecords" not in answer.json:
            assert "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie" not in answer.json
            break
        element = ElementTree.fromstring(answer.json["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"])
        page, cookie = int(element.attrib["pagenumber"]), unquote(unquote(element.attrib["pagingcookie"]))
        assert cookie.startswith(f'<cookie page="{page - 1}"><fullname last=')
    assert seen == ["Zoe Zed", "Max O'Hara", "Ada Byron"]


def test_high_pages_need_a_cookie_and_links_are_limited(env: Environment) -> None:
    assert fetch(env, "leads", "<fetch count='5000' page='12'><entity name='lead'/></fetch>").code == "0x80040203"
    links = "<link-entity name='account' from='accountid' to='parentaccountid' link-type='outer'/>" * 16
    assert fetch(env, "leads", f"<fetch><entity name='lead'>{links}</entity></fetch>").code == "0x8004430D"


def test_entities_in_xml_are_not_expanded(env: Environment) -> None:
    bomb = "<!DOCTYPE f [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><fetch><entity name='lead'>&b;</entity></fetch>"
    assert fetch(env, "leads", bomb).code == "0x80040201"
    outside = "<!DOCTYPE f SYSTEM 'file:///etc/hostname'><fetch><entity name='lead'/></fetch>"
    assert fetch(env, "leads", outside).code == "0x80040201"


# SQL


def test_sql_as_microsofts_client_documents_it(env: Environment) -> None:
    rows = sql(
        env,
        "accounts",
        "SELECT TOP 2 name AS N, numberofemployees FROM account WHERE name LIKE 'F%' ORDER BY name DESC",
    ).rows
    assert [(row["N"], row["numberofemployees"]) for row in rows] == [("Fourth Coffee", 5), ("Fabrikam, Inc.", 10)]
    rows = sql(
        env,
        "accounts",
        "SELECT a.name, COUNT(c.contactid) as cnt FROM account a JOIN contact c ON a.accountid = c.parentcustomerid "
        "GROUP BY a.name ORDER BY cnt DESC",
    ).rows
    assert rows == [{"name": "Fabrikam, Inc.", "cnt": 2}, {"name": "Fourth Coffee", "cnt": 1}]
    rows = sql(
        env,
        "accounts",
        "SELECT a.name, c.fullname FROM account AS a LEFT JOIN contact AS c ON a.accountid = c.parentcustomerid",
    ).rows
    assert len(rows) == 4
    assert {row.get("c.fullname") for row in rows} == {"Ada Byron", "Max O'Hara", "Zoe Zed", None}
    rows = sql(
        env,
        "contacts",
        "SELECT lastname FROM contact WHERE (lastname IN ('Byron','O''Hara') OR lastname BETWEEN 'Y' AND 'Zz') "
        "AND firstname IS NOT NULL ORDER BY lastname OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY",
    ).rows
    assert [row["lastname"] for row in rows] == ["O'Hara"]
    assert sql(env, "leads", "SELECT DISTINCT statecode FROM lead ORDER BY statecode").rows == [
        {"statecode": 0}, {"statecode": 2},
    ]  # fmt: skip
    total = sql(
        env, "accounts", "SELECT COUNT(*) AS n, SUM(numberofemployees) AS s, AVG(numberofemployees) AS a FROM account"
    ).rows
    assert total == [{"n": 3, "s": 15, "a": 7}]


def test_sql_pages_by_its_next_link(env: Environment) -> None:
    seen: list[str] = []
    url = f"leads?sql={quote('SELECT subject FROM lead ORDER BY subject')}"
    while url:
        page = env.get(url, Prefer="odata.maxpagesize=1")
        seen += [row["subject"] for row in page.rows]
        url = page.json.get("@odata.nextLink", "")
    assert seen == ["One", "Three", "two"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM lead",
        "DELETE FROM lead",
        "SELECT subject FROM lead; SELECT subject FROM lead",
        "SELECT subject FROM lead HAVING 1 = 1",
        "SELECT subject FROM lead RIGHT JOIN account ON accountid = parentaccountid",
        "SELECT subject FROM lead, account",
        "SELECT subject FROM lead WHERE subject = NULL",
        "SELECT LEN(subject) FROM lead",
        "SELECT subject FROM lead WHERE leadid IN (SELECT leadid FROM lead)",
        "SELECT subject FROM lead WHERE 1 = 1",
        "SELECT subject FROM lead UNION SELECT name FROM account",
        "SELECT subject FROM lead WHERE EXISTS (SELECT 1)",
        "SELECT subject, COUNT(*) FROM lead",
        "WITH x AS (SELECT 1) SELECT 1",
        "SELECT",
        "SELECT nosuch FROM lead",
        "SELECT a.subject FROM lead",
        "SELECT name FROM account",
        "SELECT subject FROM nosuch",
        "SELECT subject FROM lead WHERE '",
    ],
)
def test_sql_refuses_the_rest(env: Environment, text: str) -> None:
    assert sql(env, "leads", text).status == 400


# Change tracking


def test_changes_are_of_one_table_and_take_select_alone(env: Environment) -> None:
    for option in ("$count=true", "$apply=aggregate($count as n)", "fetchXml=x"):
        assert env.get(f"leads?{option}", Prefer="odata.track-changes").code == "0x80060888"
    for wrong in ("1", "x!01/01/2026 00:00:00", "1!99/99/9999 00:00:00"):
        assert env.get(f"leads?$deltatoken={quote(wrong)}").status == 400


def test_the_answers_are_json_of_any_value(env: Environment) -> None:
    key = env.lead(subject="ä\U0001f600 </b> \\ \" '", description="line\r\nbreak\ttab")
    row = json.loads(env.get(f"leads({key})").reply.body)
    assert row["subject"] == "ä\U0001f600 </b> \\ \" '"
    order: Any = env.get("leads?$select=description&$orderby=description desc,subject", Prefer="odata.maxpagesize=1")
    assert order.json["value"][0]["description"] == "line\r\nbreak\ttab"
    assert env.get(order.json["@odata.nextLink"]).status == 200


# Choices of several values, many-to-many, keys, limits


def shaped() -> Environment:
    document = {
        "columns": {
            "account": {
                "new_tags": {"type": "MultiSelectPicklist", "options": {1: "Hot", 2: "Late", 13: "Far"}},
                "new_externalid": {"type": "String", "max": 18},
            }
        },
        "keys": {"account": {"new_externalidkey": ["new_externalid"]}},
    }
    shipped = YAML(typ="safe", pure=True).load(SHIPPED.read_text(encoding="utf-8"))
    return Environment(shape=build(overlay(shipped, document)))


def test_choices_of_several_values() -> None:
    env = shaped()
    env.app.load({"account": [{"name": "A", "new_tags": "1,13"}, {"name": "B", "new_tags": "2"}, {"name": "C"}]})

    def names(expression: str) -> set[str]:
        return {row["name"] for row in env.get(f"accounts?$filter=Microsoft.Dynamics.CRM.{expression}").rows}

    assert names('ContainValues(PropertyName=\'new_tags\',PropertyValues=["1","2"])') == {"A", "B"}
    assert names("ContainValues(PropertyName='new_tags',PropertyValues=[\"3\"])") == set()
    assert names("DoesNotContainValues(PropertyName='new_tags',PropertyValues=[\"1\"])") == {"B", "C"}
    assert (
        env.get(
            "accounts?$filter=Microsoft.Dynamics.CRM.ContainValues(PropertyName='name',PropertyValues=[\"1\"])"
        ).status
        == 400
    )
    row = env.get("accounts?$select=new_tags&$filter=name eq 'A'", Prefer=EVERYTHING).rows[0]
    assert (row["new_tags"], row[f"new_tags@{FORMATTED}"]) == ("1,13", "Hot; Far")


def test_a_row_is_read_by_its_alternate_key() -> None:
    env = shaped()
    env.app.load({"account": [{"name": "A", "new_externalid": "SF-001"}]})
    assert env.row("accounts(new_externalid='SF-001')?$select=name")["name"] == "A"
    assert env.get("accounts(new_externalid='SF-002')").code == "0x80060891"
    assert env.get("accounts(name='A')").status == 400


def test_many_to_many_expands_stand_alone(env: Environment) -> None:
    lead = env.get("leads?$filter=subject eq 'One'").rows[0]["leadid"]
    contact = env.get("contacts?$filter=lastname eq 'Byron'").rows[0]["contactid"]
    link = {"@odata.id": f"{ROOT}/contacts({contact})"}
    assert env.post(f"leads({lead})/contactleads_association/$ref", link).status == 204
    row = env.row(f"leads({lead})?$select=subject&$expand=contactleads_association($select=fullname)")
    assert [each["fullname"] for each in row["contactleads_association"]] == ["Ada Byron"]
    assert len(env.get(f"leads({lead})/contactleads_association").rows) == 1
    below = "leads?$select=subject&$filter=contactleads_association/any(c:c/lastname eq 'Byron')"
    assert [each["subject"] for each in env.get(below).rows] == ["One"]
    assert env.get("leads?$expand=contactleads_association,accountleads_association").code == "0x80060888"
    assert env.get("leads?$expand=contactleads_association($expand=createdby)").code == "0x80060888"


def test_urls_have_a_limit_and_a_batch_has_twice_that(env: Environment) -> None:
    def filter_of(length: int) -> str:
        return f"leads?$filter=subject eq '{'x' * length}'"

    assert env.get(filter_of(32_000)).status == 200
    assert env.get(filter_of(33_000)).status == 414
    part = f"GET /api/data/v9.2/{filter_of(40_000).replace(' ', '%20')} HTTP/1.1"
    body = f"--b\r\nContent-Type: application/http\r\n\r\n{part}\r\n\r\n\r\n--b--\r\n".encode()
    answer = env.send("POST", "$batch", body, Content_Type="multipart/mixed; boundary=b")
    assert "HTTP/1.1 200" in answer.text


def test_the_service_document_lists_the_sets(env: Environment) -> None:
    found = env.row("")
    assert found["@odata.context"] == f"{ROOT}/$metadata"
    assert {"name": "leads", "kind": "EntitySet", "url": "leads"} in found["value"]


def test_audits_are_not_kept(env: Environment) -> None:
    assert (env.get("audits").status, env.get("audits").code) == (404, "0x80060888")
    assert env.get("RetrieveRecordChangeHistory(Target=@t)?@t={'@odata.id':'leads(x)'}").status == 501
