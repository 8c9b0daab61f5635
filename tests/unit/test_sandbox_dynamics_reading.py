"""Reads of the Dataverse half: queries, pages, annotations, change tracking, refusals (dataverse-api §2, §3)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dataverse import ROOT, Environment

EVERYTHING = 'odata.include-annotations="*"'


@pytest.fixture
def env() -> Environment:
    found = Environment()
    found.app.load(
        {
            "account": [
                {"_ref": "fabrikam", "name": "Fabrikam, Inc.", "revenue": 20000.5, "address1_city": "Lynnwood"},
                {"_ref": "fourth", "name": "Fourth Coffee"},
            ],
            "contact": [
                {"_ref": "ada", "firstname": "Ada", "lastname": "Byron", "parentcustomerid": "@fabrikam"},
                {"_ref": "max", "lastname": "O'Hara", "parentcustomerid": "@ada"},
            ],
            "lead": [
                {
                    "subject": "One",
                    "lastname": "A",
                    "statuscode": 2,
                    "estimatedamount": 100,
                    "parentaccountid": "@fabrikam",
                },
                {"subject": "two", "lastname": "B", "leadsourcecode": 8, "estimatedclosedate": "2026-11-30"},
                {"subject": "Three 50%", "lastname": "C", "statecode": 2, "statuscode": 5, "donotemail": True},
            ],
        }
    )
    return found


@pytest.mark.parametrize(
    ("expression", "subjects"),
    [
        ("statecode eq 0", {"One", "two"}),
        ("statecode eq 0 and not (statuscode eq 2)", {"two"}),
        ("estimatedamount ge 99.50 or leadsourcecode eq 8", {"One", "two"}),
        ("estimatedamount eq null", {"two", "Three 50%"}),
        ("leadsourcecode ne 8", {"One", "Three 50%"}),  # null is not 8
        ("subject eq 'ONE'", {"One"}),  # case does not count
        ("contains(subject,'t')", {"two", "Three 50%"}),
        ("startswith(subject,'t_o')", {"two"}),  # _ is a wildcard
        ("contains(subject,'50[%]')", {"Three 50%"}),
        ("endswith(subject,'e')", {"One"}),
        ("parentaccountid/name eq 'Fabrikam, Inc.'", {"One"}),
        ("estimatedclosedate eq 2026-11-30", {"two"}),
        ("modifiedon ge 2026-08-14T12:00:00Z", {"One", "two", "Three 50%"}),
        ("modifiedon gt 2026-08-14T12:00:00Z", set()),
        ("modifiedon ge 2026-08-14T12:00:00.5Z", set()),
        ("donotemail eq true", {"Three 50%"}),
        ('Microsoft.Dynamics.CRM.In(PropertyName=\'leadsourcecode\',PropertyValues=["8","9"])', {"two"}),
        ('Microsoft.Dynamics.CRM.Between(PropertyName=\'estimatedamount\',PropertyValues=["5","200"])', {"One"}),
        ("Microsoft.Dynamics.CRM.OnOrAfter(PropertyName='estimatedclosedate',PropertyValue='2026-11-30')", {"two"}),
        ("Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=7)", {"One", "two", "Three 50%"}),
        ("Microsoft.Dynamics.CRM.Today(PropertyName='createdon')", {"One", "two", "Three 50%"}),
    ],
)
def test_filters(env: Environment, expression: str, subjects: set[str]) -> None:
    assert {
        row["subject"] for row in env.get(f"leads?$select=subject&$filter={expression.replace('%', '%25')}").rows
    } == subjects


def test_a_doubled_quote_stands_for_one(env: Environment) -> None:
    assert len(env.get("contacts?$filter=lastname eq 'O''Hara'").rows) == 1


def test_lambda_over_a_collection(env: Environment) -> None:
    rows = env.get("accounts?$select=name&$filter=contact_customer_accounts/any(c:c/lastname eq 'byron')").rows
    assert [row["name"] for row in rows] == ["Fabrikam, Inc."]


def test_annotations_come_before_the_value_that_they_describe(env: Environment) -> None:
    found = env.get(
        "leads?$select=statuscode,_parentaccountid_value,estimatedamount&$filter=subject eq 'One'", Prefer=EVERYTHING
    )
    assert found.json["@Microsoft.Dynamics.CRM.totalrecordcount"] == -1
    row = found.rows[0]
    assert list(row)[:8] == [
        "@odata.etag",
        "statuscode@OData.Community.Display.V1.FormattedValue",
        "statuscode",
        "_parentaccountid_value@OData.Community.Display.V1.FormattedValue",
        "_parentaccountid_value@Microsoft.Dynamics.CRM.associatednavigationproperty",
        "_parentaccountid_value@Microsoft.Dynamics.CRM.lookuplogicalname",
        "_parentaccountid_value",
        "estimatedamount@OData.Community.Display.V1.FormattedValue",
    ]
    assert row["estimatedamount@OData.Community.Display.V1.FormattedValue"] == "$100.00"
    assert row["_transactioncurrencyid_value"]  # money brings its currency
    assert row["leadid"]


def test_expands(env: Environment) -> None:
    contact = env.get(
        "contacts?$filter=lastname eq 'Byron'&$expand=parentcustomerid_account($select=name),ownerid"
    ).rows[0]
    assert contact["parentcustomerid_account"]["name"] == "Fabrikam, Inc."
    assert set(contact["ownerid"]) == {"ownerid", "systemuserid"}
    other = env.get("contacts?$filter=lastname eq 'O''Hara'&$expand=parentcustomerid_account").rows[0]
    assert other["parentcustomerid_account"] is None  # its customer is a contact
    account = env.get(
        "accounts?$filter=name eq 'Fabrikam, Inc.'&$expand=contact_customer_accounts($select=fullname;$top=5)"
    ).rows[0]
    assert [row["fullname"] for row in account["contact_customer_accounts"]] == ["Ada Byron"]
    assert account["contact_customer_accounts@odata.nextLink"].startswith(f"{ROOT}/accounts({account['accountid']})/")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("leads?$select=Subject", 400),  # case counts
        ("leads?$select=parentaccountid", 400),  # a navigation property
        ("leads?$Select=subject", 400),
        ("leads?$skip=1", 400),
        ("leads?$top=0", 400),
        ("leads?$filter=modifiedon ge datetime'2026-08-14'", 400),
        ("leads?$filter=statecode eq 'Open'", 400),
        ("leads?$filter=parentaccountid eq 26b1f2a0-1111-4f11-8c0c-000d3a9b1c11", 400),
        ("leads?$filter=subject eq", 400),
        ("leads?$expand=parentAccountId", 400),
        ("leads?$expand=parentaccountid($orderby=name)", 400),
        ("leads(new_externalid='x')", 400),  # no such key
        ("acounts", 404),
        ("leads(00000000-0000-0000-0000-000000000001)", 404),
        ("leads?$apply=aggregate($count)", 400),
        ("leads?fetchXml=x", 400),
    ],
)
def test_strictness(env: Environment, url: str, status: int) -> None:
    found = env.get(url)
    assert found.status == status
    assert found.json["error"]["message"]


def test_pages_follow_the_link_and_hold_each_row_once(env: Environment) -> None:
    for direction in ("asc", "desc"):
        seen: list[str] = []
        url = f"leads?$select=estimatedamount,subject&$orderby=estimatedamount {direction}"
        while url:
            page = env.get(url, Prefer="odata.maxpagesize=1")
            assert page.headers["Preference-Applied"] == "odata.maxpagesize=1"
            seen += [row["subject"] for row in page.rows]
            url = page.json.get("@odata.nextLink", "")
        assert len(seen) == len(set(seen)) == 3
        assert seen.index("One") == (2 if direction == "asc" else 0)  # nulls first when ascending


def test_counts(env: Environment) -> None:
    assert env.get("leads/$count").reply.body == b"\xef\xbb\xbf3"
    assert env.get("leads?$count=true&$top=1").json["@odata.count"] == 3


def test_below_a_row(env: Environment) -> None:
    lead = env.get("leads?$filter=subject eq 'One'").rows[0]
    base = f"leads({lead['leadid']})"
    assert env.row(f"{base}/subject")["value"] == "One"
    assert env.get(f"{base}/jobtitle").status == 204
    account = env.row(f"{base}/parentaccountid?$select=name")
    assert account["name"] == "Fabrikam, Inc."
    assert env.row(f"{base}/parentaccountid/$ref")["@odata.id"] == f"{ROOT}/accounts({account['accountid']})"
    assert env.get(f"{base}/parentcontactid").status == 204
    related = env.get(f"accounts({account['accountid']})/contact_customer_accounts?$select=fullname").rows
    assert [row["fullname"] for row in related] == ["Ada Byron"]


def test_an_unchanged_row_is_not_sent_again(env: Environment) -> None:
    row = env.get("leads?$top=1").rows[0]
    url = f"leads({row['leadid']})"
    assert env.get(url, If_None_Match=row["@odata.etag"]).status == 304
    assert env.get(url, If_None_Match=row["@odata.etag"], Prefer=EVERYTHING).status == 200


def test_every_answer_has_the_service_s_headers(env: Environment) -> None:
    headers = env.get("WhoAmI").headers
    assert headers["x-ms-ratelimit-time-remaining-xrm-requests"] == "1,200.00"
    assert headers["Content-Type"] == "application/json; odata.metadata=minimal"
    refused = env.get("WhoAmI", Authorization="Bearer nothing")
    assert (refused.status, refused.reply.body) == (401, b"")
    assert "authorization_uri=" in refused.headers["WWW-Authenticate"]


# Change tracking


def delta(env: Environment, url: str, **headers: str) -> tuple[list[dict[str, object]], str]:
    rows: list[dict[str, object]] = []
    while True:
        page = env.get(url, **headers)
        assert ("@odata.nextLink" in page.json) != ("@odata.deltaLink" in page.json)
        rows += page.rows
        if "@odata.deltaLink" in page.json:
            return rows, page.json["@odata.deltaLink"]
        url = page.json["@odata.nextLink"]


def test_a_delta_tells_changes_in_full_and_deletions_by_id(env: Environment) -> None:
    rows, link = delta(env, "leads?$select=subject", Prefer="odata.track-changes,odata.maxpagesize=2")
    assert len(rows) == 3
    assert delta(env, link)[0] == []
    first, second = str(rows[0]["leadid"]), str(rows[1]["leadid"])
    env.patch(f"leads({first})", {"subject": "Changed"})
    env.patch(f"leads({first})", {"jobtitle": "Not selected"})
    env.send("DELETE", f"leads({second})")
    short_lived = env.lead(subject="Gone before it was seen")
    env.send("DELETE", f"leads({short_lived})")
    changed, following = delta(env, link, Prefer="odata.maxpagesize=1")
    assert [row.get("subject") or (row["reason"], row["id"]) for row in changed] == [
        "Changed",
        ("deleted", second),
        ("deleted", short_lived),
    ]
    assert str(changed[1]["@odata.context"]).endswith("#leads/$deletedEntity")
    assert env.get(link).json["@odata.context"].endswith("#leads(subject)/$delta")
    assert env.get(link.replace("leads?", "leads/$count?")).text == "3"
    assert delta(env, following)[0] == []


def test_a_row_changed_between_pages_comes_with_the_next_round(env: Environment) -> None:
    page = env.get("leads?$select=subject", Prefer="odata.track-changes,odata.maxpagesize=1")
    last = env.get("leads?$select=subject&$orderby=versionnumber desc").rows[0]["leadid"]
    env.patch(f"leads({last})", {"subject": "Late"})
    rows, link = delta(env, page.json["@odata.nextLink"])
    assert last not in {row["leadid"] for row in rows}
    assert [row["subject"] for row in delta(env, link)[0]] == ["Late"]


def test_deltas_expire_and_take_no_filter(env: Environment) -> None:
    _, link = delta(env, "leads?$select=subject", Prefer="odata.track-changes")
    for option in ("$filter=statecode eq 0", "$orderby=subject", "$expand=parentaccountid", "$top=1"):
        assert env.get(f"leads?{option}", Prefer="odata.track-changes").status == 400
    env.move(days=7, seconds=1)
    assert env.get(link).code == "0x80044352"
    assert env.get("annotations", Prefer="odata.track-changes").code == "0x80072491"


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["create", "update", "delete", "read"]), st.integers(0, 5)), max_size=25),
    size=st.integers(1, 4),
)
def test_whoever_applies_the_deltas_has_the_table(steps: list[tuple[str, int]], size: int) -> None:
    env = Environment()
    copy: dict[str, object] = {}
    link = f"{ROOT}/leads?$select=subject"
    for number, (step, which) in enumerate([*steps, ("read", 0)]):
        ids = [row["leadid"] for row in env.get("leads?$select=leadid").rows]
        if step == "create":
            env.lead(subject=f"New {number}")
        elif step == "update" and ids:
            env.patch(f"leads({ids[which % len(ids)]})", {"subject": f"Edit {number}"})
        elif step == "delete" and ids:
            env.send("DELETE", f"leads({ids[which % len(ids)]})")
        elif step == "read":
            rows, link = delta(env, link, Prefer=f"odata.track-changes,odata.maxpagesize={size}")
            for row in rows:
                if row.get("reason") == "deleted":
                    copy.pop(str(row["id"]), None)
                else:
                    copy[str(row["leadid"])] = row["subject"]
    assert copy == {row["leadid"]: row["subject"] for row in env.get("leads?$select=subject").rows}
