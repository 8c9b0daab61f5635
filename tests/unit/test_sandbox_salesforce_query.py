"""SOQL in the sandbox: what it selects, how it pages, what it says to mistakes (salesforce-api §2)."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.salesforce_org import START, Bench, bench


def at(seconds: int) -> str:
    return (START - timedelta(seconds=seconds)).isoformat()


@pytest.fixture(scope="module")
def org() -> Bench:
    """Read only: what changes rows has an org of its own."""
    people = [
        {
            "_ref": "mia",
            "Username": "mia@acme.example",
            "Email": "mia@acme.example",
            "LastName": "Berg",
            "FirstName": "Mia",
        }
    ]
    queue = [{"_ref": "queue", "Name": "Inbound", "Type": "Queue", "Email": "inbound@acme.example"}]
    accounts = [
        {"_ref": "acme", "Name": "Acme", "OwnerId": "@mia", "AnnualRevenue": 10.5, "Industry": "Energy"},
        {"_ref": "bolt", "Name": "Bolt & Söner", "BillingCity": "Umeå", "Description": "long"},
        {"_ref": "cove", "Name": "cove", "ParentId": "@acme", "AnnualRevenue": 2},
    ]
    contacts = [
        {"LastName": "Roe", "AccountId": "@acme"},
        {"LastName": "Doe", "AccountId": "@acme"},
        {"LastName": "Solo"},
    ]
    leads = [
        {"LastName": "One", "Company": "A", "Email": "one@x.example", "OwnerId": "@queue", "LastModifiedDate": at(30)},
        {"LastName": "Two", "Company": "a", "Status": "Working - Contacted", "LastModifiedDate": at(20)},
        {"LastName": "T'hree", "Company": "B%", "LastModifiedDate": at(20), "CreatedDate": at(86400 * 3)},
        {"LastName": "Gone", "Company": "B", "IsDeleted": True, "LastModifiedDate": at(10)},
    ]
    deals = [
        {"Name": "D1", "StageName": "Prospecting", "CloseDate": "2026-02-01", "Amount": 100.1, "AccountId": "@acme"},
        {"Name": "D2", "StageName": "Closed Won", "CloseDate": "2026-01-30", "Amount": 200.2, "AccountId": "@acme"},
        {"Name": "D3", "StageName": "Prospecting", "CloseDate": "2025-12-31", "AccountId": "@bolt"},
    ]
    records = {
        "User": people,
        "Group": queue,
        "Account": accounts,
        "Contact": contacts,
        "Lead": leads,
        "Opportunity": deals,
    }
    return bench(records=records)


def names(org: Bench, soql: str) -> list[Any]:
    return [row.get("LastName") or row["Name"] for row in org.rows(soql)]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Company = 'a'", ["One", "Two"]),  # texts compare without case
        ("Company != 'A'", ["T'hree"]),
        ("Email != 'one@x.example'", ["Two", "T'hree"]),  # null is unequal too
        ("Email = null", ["Two", "T'hree"]),
        ("Email = ''", ["Two", "T'hree"]),
        ("Email IN ('ONE@x.example', 'zwei@x.example')", ["One"]),
        ("Company NOT IN ('A', 'b')", ["T'hree"]),
        ("LastName LIKE 't%'", ["Two", "T'hree"]),
        ("LastName LIKE '_wo'", ["Two"]),
        ("Company LIKE 'B\\%'", ["T'hree"]),
        ("LastName = 'T\\'hree'", ["T'hree"]),
        ("NOT Company = 'a'", ["T'hree"]),
        ("(Company = 'A' AND Email = null) OR LastName LIKE 'T\\'%'", ["Two", "T'hree"]),
        ("IsConverted = false AND IsDeleted = false", ["One", "Two", "T'hree"]),
        ("IsDeleted = true", []),
        ("SystemModstamp >= 2026-01-31T09:15:02Z", ["Two", "T'hree"]),
        ("SystemModstamp > 2026-01-31T10:15:02+01:00", []),
        ("SystemModstamp < 2026-01-31T09:15:02.000Z", ["One"]),
        ("CreatedDate < TODAY", ["T'hree"]),
        ("CreatedDate = LAST_N_DAYS:3", ["One", "Two", "T'hree"]),
        ("CreatedDate = N_DAYS_AGO:3", ["T'hree"]),
        ("Owner.Name = 'Inbound'", ["One"]),
        ("Lead.Owner.Type = 'User'", ["Two", "T'hree"]),
    ],
)
def test_where(org: Bench, where: str, found: list[str]) -> None:
    assert names(org, f"SELECT LastName FROM Lead WHERE {where} ORDER BY Id") == found


def test_ids_are_found_in_either_length_and_lists_of_ids_by_semi_join(org: Bench) -> None:
    key = org.one("SELECT Id FROM Account WHERE Name = 'Acme'")["Id"]
    for text in (key, key[:15], key[:15].swapcase() if key[:15].isdigit() else key.lower()[:15] + key[15:]):
        assert names(org, f"SELECT Name FROM Account WHERE Id = '{text}'") == ["Acme"]
    with_contacts = "SELECT Name FROM Account WHERE Id IN (SELECT AccountId FROM Contact)"
    assert names(org, with_contacts) == ["Acme"]
    assert names(org, with_contacts.replace(" IN ", " NOT IN ")) == ["Bolt & Söner", "cove"]


def test_order_limit_offset_and_nulls(org: Bench) -> None:
    base = "SELECT Name FROM Account ORDER BY AnnualRevenue"
    assert names(org, base) == ["Bolt & Söner", "cove", "Acme"]  # nulls first, in both directions
    assert names(org, f"{base} DESC") == ["Bolt & Söner", "Acme", "cove"]
    assert names(org, f"{base} DESC NULLS LAST") == ["Acme", "cove", "Bolt & Söner"]
    assert names(org, f"{base} LIMIT 1 OFFSET 1") == ["cove"]
    assert names(org, "SELECT Name FROM Account a ORDER BY a.Owner.Name, Name DESC") == ["Acme", "cove", "Bolt & Söner"]


def test_parents_nest_and_children_are_null_when_there_are_none(org: Bench) -> None:
    rows = org.rows(
        "SELECT Name, Owner.Name, Parent.Owner.Email, (SELECT LastName FROM Contacts ORDER BY LastName) FROM Account "
        "ORDER BY Name"
    )
    assert [list(row) for row in rows] == [["attributes", "Name", "Owner", "Parent", "Contacts"]] * 3
    acme, bolt, cove = rows
    assert acme["attributes"]["url"].startswith("/services/data/v60.0/sobjects/Account/001")
    assert (acme["Owner"]["Name"], acme["Parent"], bolt["Contacts"]) == ("Mia Berg", None, None)
    assert cove["Parent"]["Owner"]["Email"] == "mia@acme.example"
    assert [row["LastName"] for row in acme["Contacts"]["records"]] == ["Doe", "Roe"]
    kinds = {
        row["LastName"]: row["Owner"]["attributes"]["type"]
        for row in org.rows("SELECT LastName, Owner.Email FROM Lead")
    }
    assert kinds == {"One": "Group", "Two": "User", "T'hree": "User"}


def test_counting_and_grouping(org: Bench) -> None:
    assert org.query("SELECT COUNT() FROM Lead").body == {"totalSize": 3, "done": True, "records": []}
    grouped = org.rows("SELECT StageName, COUNT(Id) n, SUM(Amount) FROM Opportunity GROUP BY StageName")
    assert grouped == [
        {"attributes": {"type": "AggregateResult"}, "StageName": "Prospecting", "n": 2, "expr0": 100.1},
        {"attributes": {"type": "AggregateResult"}, "StageName": "Closed Won", "n": 1, "expr0": 200.2},
    ]


def test_money_and_dates_come_as_salesforce_writes_them(org: Bench) -> None:
    reply = org.send("GET", "/services/data/v60.0/query?q=SELECT+Amount,CloseDate,Probability+FROM+Opportunity+LIMIT+1")
    assert b'"Amount":100.1,"CloseDate":"2026-02-01","Probability":10.0' in reply.body


def test_query_all_shows_what_is_in_the_recycle_bin() -> None:
    org = bench()
    kept, gone = (org.create("Lead", LastName=name, Company="C") for name in ("Kept", "Gone"))
    org.rest("DELETE", f"sobjects/Lead/{gone}")
    assert [row["Id"] for row in org.rows("SELECT Id FROM Lead")] == [kept]
    assert [row["IsDeleted"] for row in org.rows("SELECT Id, IsDeleted FROM Lead", everything=True)] == [False, True]
    org.wait(days=16)  # the bin is emptied
    assert [row["Id"] for row in org.rows("SELECT Id FROM Lead", everything=True)] == [kept]


def test_pages_are_a_snapshot_of_ids() -> None:
    org = bench(records={"Lead": [{"LastName": f"L{number}", "Company": "C"} for number in range(450)]})
    first = org.query("SELECT Id, Company FROM Lead ORDER BY Id", batch=1).body  # below 200 is 200
    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
    locator = first["nextRecordsUrl"]
    assert locator.startswith("/services/data/v60.0/query/0r8")
    assert locator.endswith("-200")
    assert len(locator.rpartition("/")[2]) == 18 + 4
    keys = [row["Id"] for row in org.rows("SELECT Id FROM Lead ORDER BY Id")]
    org.update("Lead", keys[200], Company="Changed")
    org.rest("DELETE", f"sobjects/Lead/{keys[201]}")
    org.create("Lead", LastName="New", Company="C")
    second = org.rest("GET", locator).body
    assert (second["records"][0]["Company"], len(second["records"])) == ("Changed", 199)
    last = org.rest("GET", second["nextRecordsUrl"]).body
    assert (last["done"], "nextRecordsUrl" in last, len(last["records"])) == (True, False, 50)
    org.wait(days=2, seconds=1)
    dead = org.rest("GET", locator)
    assert (dead.status, dead.codes) == (400, ["INVALID_QUERY_LOCATOR"])


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        ("SELECT Id, Foo FROM Lead", "INVALID_FIELD", "No such column 'Foo' on entity 'Lead'."),
        ("SELECT Id FROM Lead WHERE Owner.Foo = 'x'", "INVALID_FIELD", "No such column 'Foo' on entity 'Name'."),
        ("SELECT Bad.Name FROM Lead", "INVALID_FIELD", "Didn't understand relationship 'Bad' in field path."),
        ("SELECT Id FROM Xyzzy", "INVALID_TYPE", "sObject type 'Xyzzy' is not supported."),
        ("SELECT CurrencyIsoCode FROM Lead", "INVALID_FIELD", "No such column 'CurrencyIsoCode'"),
        ("SELECT Id, FROM Lead", "MALFORMED_QUERY", "unexpected token: 'FROM'"),
        ("SELECT Id FROM Lead WHERE a = 1 AND b = 2 OR c = 3", "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Id FROM Lead WHERE Name = 'a\\q'", "MALFORMED_QUERY", "Illegal string escape"),
        ("SELECT Id FROM Lead WHERE Name = 'abc", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Lead WHERE Description = 'x'", "INVALID_FIELD", "field 'Description' can not be filtered"),
        ("SELECT Id FROM Lead ORDER BY Description", "INVALID_FIELD", "field 'Description' can not be sorted"),
        (
            "SELECT Id FROM Lead WHERE Name = 1",
            "INVALID_FIELD",
            "must be of type string and should be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Opportunity WHERE CloseDate > 2026-01-01T00:00:00Z",
            "INVALID_FIELD",
            "of type date and should not",
        ),
        ("SELECT Id FROM Lead WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "of type dateTime and should not"),
        ("SELECT Id FROM Lead WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        ("SELECT Id, Id FROM Lead", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset"),
        ("SELECT FIELDS(ALL) FROM Lead", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("SELECT Status FROM Lead GROUP BY Rating", "MALFORMED_QUERY", "Field must be grouped or aggregated: Status"),
        ("", "MALFORMED_QUERY", "A query string has to be specified"),
    ],
)
def test_mistakes_in_salesforces_words(org: Bench, soql: str, code: str, message: str) -> None:
    answered = org.query(soql)
    assert answered.status == 400
    assert answered.codes == [code]
    assert message in answered.body[0]["message"]


def test_the_caret_stands_under_the_mistake(org: Bench) -> None:
    (problem,) = org.query("SELECT Id, Foo FROM Lead").body
    assert problem["message"].startswith(
        "\nSELECT Id, Foo FROM Lead\n           ^\nERROR at Row:1:Column:12\nNo such column"
    )


def test_setup_rows(org: Bench) -> None:
    statuses = org.rows("SELECT ApiName, IsConverted, IsDefault FROM LeadStatus ORDER BY SortOrder")
    assert [(row["ApiName"], row["IsConverted"]) for row in statuses][2] == ("Closed - Converted", True)
    stages = org.rows("SELECT ApiName, IsClosed, IsWon FROM OpportunityStage WHERE IsActive = true ORDER BY SortOrder")
    assert [(row["ApiName"], row["IsClosed"], row["IsWon"]) for row in stages][-2:] == [
        ("Closed Won", True, True),
        ("Closed Lost", True, False),
    ]
    assert org.rows("SELECT Id FROM RecordType") == []
    assert org.one("SELECT Name, IsSandbox, InstanceName FROM Organization")["IsSandbox"] is False


def test_fields_and_labels(org: Bench) -> None:
    row = org.rows("SELECT FIELDS(ALL) FROM Account WHERE BillingCity = 'Umeå' LIMIT 200")[0]
    assert row["BillingAddress"]["city"] == "Umeå"
    assert row["ShippingAddress"] is None
    assert org.rows("SELECT toLabel(ForecastCategory) FROM Opportunity LIMIT 1")[0]["ForecastCategory"] == "Pipeline"
