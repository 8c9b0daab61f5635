"""SOQL in full: groups, functions, literals, joins, TYPEOF, and what is said to each mistake (salesforce-api §2)."""

from datetime import timedelta
from typing import Any

import pytest

from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.soql import parse
from tests.support.salesforce_org import START, Bench, bench

SHAPE: dict[str, Any] = {
    "org": {
        "multi_currency": True,
        "currencies": {"EUR": 0.5},
        "fiscal_year_start_month": 4,
        "time_zone": "Europe/Berlin",
    },
    "objects": {
        "Lead": {
            "fields": {
                "Tags__c": {"type": "multipicklist", "picklistValues": ["A", "B", "C"]},
                "Level__c": {"type": "picklist", "picklistValues": [{"value": "z", "label": "High"}, {"value": "a"}]},
            }
        }
    },
}


@pytest.fixture(scope="module")
def org() -> Bench:
    """Read only; what changes rows has an org of its own."""
    accounts: list[dict[str, Any]] = [{"_ref": "a0", "Name": "A0", "OwnerId": "@mia", "AnnualRevenue": 10.5}]
    accounts[0] |= {"Industry": "Energy", "BillingLatitude": 52.5, "BillingLongitude": 13.4}
    accounts += [{"_ref": f"a{n}", "Name": f"A{n}", "ParentId": f"@a{n - 1}"} for n in range(1, 7)]
    records: dict[str, list[dict[str, Any]]] = {
        "User": [{"_ref": "mia", "Username": "mia@acme.example", "Email": "mia@acme.example", "LastName": "Berg"}],
        "Group": [{"_ref": "queue", "Name": "Inbound", "Type": "Queue", "Email": "inbound@acme.example"}],
        "Account": accounts,
        "Contact": [{"LastName": "Roe", "AccountId": "@a0"}, {"LastName": "Doe", "AccountId": "@a0"}],
        "Opportunity": [
            {"Name": "D1", "StageName": "Prospecting", "CloseDate": "2026-02-01", "Amount": 100.1, "AccountId": "@a0"},
            {"Name": "D2", "StageName": "Closed Won", "CloseDate": "2026-01-30", "Amount": 200.2, "AccountId": "@a0"}
            | {"CurrencyIsoCode": "EUR"},
            {"Name": "D3", "StageName": "Prospecting", "CloseDate": "2025-12-31", "AccountId": "@a1"},
        ],
        "Lead": [
            {"LastName": "One", "Company": "A", "OwnerId": "@queue", "Tags__c": "A;B", "Level__c": "z"},
            {"LastName": "Two", "Company": "a", "Status": "Working - Contacted", "Tags__c": "C", "Level__c": "a"},
            {"LastName": "Gone", "Company": "B", "IsDeleted": True},
        ],
    }
    return bench(shape=SHAPE, records=records)


def bare(value: Any) -> Any:
    """Without attributes; a list of children instead of what is around it."""
    if isinstance(value, dict):
        if "records" in value:
            return [bare(each) for each in value["records"]]
        return {key: bare(each) for key, each in value.items() if key != "attributes"}
    return value


def found(org: Bench, soql: str) -> list[Any]:
    return [bare(row) for row in org.rows(soql)]


# -- groups -----------------------------------------------------------------------------------------------------------


def test_groups_are_filtered_by_having_and_ordered_by_what_they_are(org: Bench) -> None:
    query = "SELECT StageName, COUNT(Id) n FROM Opportunity GROUP BY StageName"
    assert found(org, f"{query} HAVING COUNT(Id) > 1") == [{"StageName": "Prospecting", "n": 2}]
    assert [row["n"] for row in found(org, f"{query} ORDER BY COUNT(Id)")] == [1, 2]
    assert [row["n"] for row in found(org, f"{query} ORDER BY n DESC LIMIT 1")] == [2]
    assert found(org, f"{query} HAVING StageName LIKE 'closed%'") == [{"StageName": "Closed Won", "n": 1}]


def test_every_aggregate_and_names_for_those_without_one(org: Bench) -> None:
    query = "SELECT COUNT(Amount), COUNT_DISTINCT(StageName), MIN(CloseDate), MAX(Name) m, SUM(Probability) "
    query += "FROM Opportunity"
    assert found(org, query) == [{"expr0": 2, "expr1": 2, "expr2": "2025-12-31", "m": "D3", "expr3": 120.0}]
    assert found(org, "SELECT AVG(Amount), SUM(Amount) FROM Opportunity WHERE Name = 'none'") == [
        {"expr0": None, "expr1": None}
    ]


def test_rollup_and_cube_add_subtotals_that_grouping_tells_apart(org: Bench) -> None:
    query = "SELECT StageName s, Account.Name a, GROUPING(Account.Name) g, COUNT(Id) n FROM Opportunity GROUP BY "
    rows = [tuple(row.values()) for row in found(org, f"{query}ROLLUP(StageName, Account.Name)")]
    assert rows[3:] == [("Prospecting", None, 1, 2), ("Closed Won", None, 1, 1), (None, None, 1, 3)]
    cube = [tuple(row.values()) for row in found(org, f"{query}CUBE(StageName, Account.Name)")]
    assert len(cube) == 3 + 2 + 2 + 1
    assert (None, "A0", 0, 2) in cube


def test_groups_by_date_functions(org: Bench) -> None:
    query = "SELECT CALENDAR_YEAR(CloseDate) y, FISCAL_QUARTER(CloseDate) q, COUNT(Id) n FROM Opportunity "
    rows = found(
        org, f"{query}GROUP BY CALENDAR_YEAR(CloseDate), FISCAL_QUARTER(CloseDate) ORDER BY CALENDAR_YEAR(CloseDate)"
    )
    assert rows == [{"y": 2025, "q": 3, "n": 1}, {"y": 2026, "q": 4, "n": 2}]
    by_day = found(org, "SELECT CALENDAR_MONTH(CloseDate) m FROM Opportunity GROUP BY CloseDate ORDER BY CloseDate")
    assert [row["m"] for row in by_day] == [12, 1, 2]


def test_more_groups_than_a_page_holds_are_refused() -> None:
    crowd = bench(records={"Lead": [{"LastName": f"L{n}", "Company": "C"} for n in range(2001)]})
    refused = crowd.query("SELECT LastName, COUNT(Id) FROM Lead GROUP BY LastName")
    assert refused.codes == ["EXCEEDED_ID_LIMIT"]
    assert "does not support queryMore()" in refused.body[0]["message"]
    assert len(crowd.rows("SELECT LastName, COUNT(Id) FROM Lead GROUP BY LastName LIMIT 2000")) == 2000


# -- functions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "number"),
    [
        ("CALENDAR_YEAR", 2026),
        ("CALENDAR_QUARTER", 1),
        ("CALENDAR_MONTH", 1),
        ("FISCAL_YEAR", 2026),
        ("FISCAL_QUARTER", 4),
        ("FISCAL_MONTH", 10),
        ("DAY_IN_WEEK", 6),
        ("DAY_IN_MONTH", 30),
        ("DAY_IN_YEAR", 30),
        ("WEEK_IN_MONTH", 5),
        ("WEEK_IN_YEAR", 5),
    ],
)
def test_date_functions_of_friday_30_january_2026(org: Bench, function: str, number: int) -> None:
    where = f"Name = 'D2' AND {function}(CloseDate) = {number}"
    assert len(org.rows(f"SELECT Id FROM Opportunity WHERE {where}")) == 1
    grouped = found(org, f"SELECT {function}(CloseDate) FROM Opportunity WHERE {where} GROUP BY {function}(CloseDate)")
    assert grouped == [{"expr0": number}]


def test_hours_and_days_of_moments_are_utc_unless_converted(org: Bench) -> None:
    for expression, value in (
        ("HOUR_IN_DAY(CreatedDate)", 9),
        ("HOUR_IN_DAY(convertTimezone(CreatedDate))", 10),
        ("DAY_ONLY(convertTimezone(CreatedDate))", "2026-01-31"),
    ):
        rows = found(org, f"SELECT {expression} v FROM Lead GROUP BY {expression}")
        assert rows == [{"v": value}]
    assert len(org.rows("SELECT Id FROM Lead WHERE DAY_ONLY(CreatedDate) = 2026-01-31")) == 2


def test_labels_currencies_and_formats(org: Bench) -> None:
    assert found(org, "SELECT LastName, toLabel(Level__c) FROM Lead ORDER BY LastName") == [
        {"LastName": "One", "Level__c": "High"},
        {"LastName": "Two", "Level__c": "a"},
    ]
    assert len(org.rows("SELECT Id FROM Lead WHERE toLabel(Level__c) = 'high'")) == 1
    query = "SELECT convertCurrency(Amount), FORMAT(Amount) f, FORMAT(convertCurrency(Amount)) c, FORMAT(CloseDate) d"
    assert found(org, f"{query} FROM Opportunity WHERE Name = 'D2'") == [
        {"Amount": 400.4, "f": "EUR 200.20", "c": "USD 400.40", "d": "1/30/2026"}
    ]
    assert found(org, "SELECT FORMAT(MIN(CloseDate)) d, FORMAT(SUM(Amount)) s FROM Opportunity") == [
        {"d": "12/31/2025", "s": "USD 500.50"}
    ]
    assert found(org, "SELECT FORMAT(CreatedDate) d FROM Lead LIMIT 1") == [{"d": "1/31/2026, 10:15 AM"}]
    assert found(org, "SELECT toLabel(Account.Industry) FROM Contact LIMIT 1") == [{"Account": {"Industry": "Energy"}}]


def test_filters_in_a_currency_compare_in_the_companys(org: Bench) -> None:
    def names(where: str) -> list[str]:
        return [row["Name"] for row in org.rows(f"SELECT Name FROM Opportunity WHERE {where} ORDER BY Name")]

    assert names("Amount > USD150") == ["D2"]
    assert names("Amount < EUR60") == ["D1"]
    assert names("Amount > USD-1") == ["D1", "D2"]
    assert org.query("SELECT Id FROM Opportunity WHERE Amount > XXX1").codes == ["INVALID_CURRENCY_ISO"]


def test_distances(org: Bench) -> None:
    close = "DISTANCE(BillingAddress, GEOLOCATION(52.52, 13.4), 'km') < 3"
    assert found(org, f"SELECT Name FROM Account WHERE {close}") == [{"Name": "A0"}]
    assert org.rows(f"SELECT Name FROM Account WHERE {close.replace('52.52', '-52.52')}") == []


def test_fields_stand_for_all_standard_or_custom_ones(org: Bench) -> None:
    assert "Tags__c" not in org.rows("SELECT FIELDS(STANDARD) FROM Lead")[0]
    custom = found(org, "SELECT FIELDS(CUSTOM) FROM Lead ORDER BY LastName LIMIT 1")[0]
    assert custom == {"Tags__c": "A;B", "Level__c": "z", "CrmBridge_Id__c": None}
    assert len(org.rows("SELECT FIELDS(ALL) FROM Lead LIMIT 200")) == 2
    inner = org.rows("SELECT Name, (SELECT FIELDS(ALL) FROM Account.Contacts LIMIT 200) FROM Account LIMIT 1")[0]
    assert inner["Contacts"]["records"][0]["LastName"] == "Roe"


# -- parents, children, other objects ---------------------------------------------------------------------------------


def test_parents_five_deep_and_no_deeper(org: Bench) -> None:
    path = "Parent." * 5
    assert found(org, f"SELECT Name FROM Account WHERE {path}Name = 'A1'") == [{"Name": "A6"}]
    refused = org.query(f"SELECT {path}Parent.Name FROM Account")
    assert refused.codes == ["MALFORMED_QUERY"]
    assert "5 levels" in refused.body[0]["message"]


def test_aliases_of_the_object_and_of_its_parents(org: Bench) -> None:
    query = "SELECT l.LastName, o.Name FROM Lead l, l.Owner o WHERE o.Name = 'Inbound' ORDER BY l.LastName"
    assert found(org, query) == [{"LastName": "One", "Owner": {"Name": "Inbound"}}]
    assert found(org, "SELECT a.Name FROM Account AS a WHERE a.Owner.LastName = 'Berg'") == [{"Name": "A0"}]


def test_children_of_children_each_with_filter_order_and_limit(org: Bench) -> None:
    query = (
        "SELECT Name, (SELECT LastName FROM Contacts WHERE LastName != 'x' ORDER BY LastName LIMIT 1), "
        "(SELECT Name, (SELECT Name FROM ChildAccounts) FROM ChildAccounts) FROM Account WHERE Name = 'A0'"
    )
    assert found(org, query) == [
        {
            "Name": "A0",
            "Contacts": [{"LastName": "Doe"}],
            "ChildAccounts": [{"Name": "A1", "ChildAccounts": [{"Name": "A2"}]}],
        }
    ]
    (row,) = org.rows("SELECT (SELECT Id FROM Contacts WHERE LastName = 'none') FROM Account WHERE Name = 'A0'")
    assert row["Contacts"] is None


def test_typeof_shows_each_kind_of_owner_as_it_asks(org: Bench) -> None:
    query = "SELECT LastName, TYPEOF Owner WHEN User THEN Email, Username WHEN Group THEN Name, Type END FROM Lead"
    rows = org.rows(f"{query} ORDER BY LastName")
    assert [row["Owner"]["attributes"]["type"] for row in rows] == ["Group", "User"]
    assert bare(rows[0]["Owner"]) == {"Name": "Inbound", "Type": "Queue"}
    assert bare(rows[1]["Owner"]) == {"Email": "sync@acme.example", "Username": "sync@acme.example"}
    without = found(org, "SELECT TYPEOF Owner WHEN User THEN Email END FROM Lead ORDER BY LastName")
    assert without[0] == {"Owner": None}
    otherwise = found(org, "SELECT TYPEOF Owner WHEN User THEN Email ELSE Id, Name END FROM Lead ORDER BY LastName")
    assert list(otherwise[0]["Owner"]) == ["Id", "Name"]


def test_semi_and_anti_joins(org: Bench) -> None:
    inside = "SELECT Name FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE LastName = 'Roe')"
    assert found(org, inside) == [{"Name": "A0"}]
    both = f"{inside} AND Id NOT IN (SELECT AccountId FROM Opportunity WHERE StageName = 'Closed Won')"
    assert found(org, both) == []


# -- literals and clauses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "days"),
    [
        ("TODAY", [0]),
        ("YESTERDAY", [-1]),
        ("TOMORROW", [1]),
        ("LAST_WEEK", [-13, -7]),
        ("THIS_WEEK", [-6, 0]),
        ("NEXT_WEEK", [1, 7]),
        ("LAST_MONTH", [-61, -31]),
        ("THIS_MONTH", [-30, 0]),
        ("NEXT_MONTH", [1, 28]),
        ("LAST_90_DAYS", [-90, 0]),
        ("NEXT_90_DAYS", [1, 90]),
        ("LAST_N_DAYS:3", [-3, 0]),
        ("NEXT_N_DAYS:3", [1, 3]),
        ("N_DAYS_AGO:3", [-3]),
        ("LAST_N_WEEKS:1", [-13, -7]),
        ("NEXT_N_WEEKS:1", [1, 7]),
        ("N_WEEKS_AGO:1", [-13, -7]),
        ("LAST_N_MONTHS:1", [-61, -31]),
        ("N_MONTHS_AGO:1", [-61, -31]),
        ("THIS_QUARTER", [-30, 59]),
        ("LAST_QUARTER", [-122, -31]),
        ("NEXT_N_QUARTERS:1", [60, 150]),
        ("THIS_YEAR", [-30, 334]),
        ("N_YEARS_AGO:1", [-395, -31]),
        ("THIS_FISCAL_QUARTER", [-30, 59]),
        ("THIS_FISCAL_YEAR", [-305, 59]),
        ("LAST_FISCAL_YEAR", [-670, -306]),
        ("NEXT_N_FISCAL_YEARS:1", [60, 424]),
        ("N_FISCAL_QUARTERS_AGO:1", [-122, -31]),
    ],
)
def test_date_literals_on_saturday_31_january_2026(org: Bench, literal: str, days: list[int]) -> None:
    """The fiscal year of this org starts in April; the first and the last day belong, their neighbours do not."""
    made = org.person("sync@acme.example")
    today = START.date()
    first, last = today + timedelta(days=days[0]), today + timedelta(days=days[-1])
    key = made.one("SELECT Id FROM Opportunity WHERE Name = 'D3'")["Id"]
    seen = []
    for day in (first - timedelta(days=1), first, last, last + timedelta(days=1)):
        made.update("Opportunity", key, CloseDate=day.isoformat())
        seen.append(len(made.rows(f"SELECT Id FROM Opportunity WHERE Name = 'D3' AND CloseDate = {literal}")))
    made.update("Opportunity", key, CloseDate="2025-12-31")
    assert seen == [0, 1, 1, 0]


def test_counts_beyond_all_calendars_are_no_trouble(org: Bench) -> None:
    for unit in ("DAYS", "WEEKS", "MONTHS", "FISCAL_YEARS"):
        assert len(org.rows(f"SELECT Id FROM Lead WHERE CreatedDate >= LAST_N_{unit}:99999999999999")) == 2


def test_multi_select_picklists(org: Bench) -> None:
    def names(where: str) -> list[str]:
        return [row["LastName"] for row in org.rows(f"SELECT LastName FROM Lead WHERE {where}")]

    assert names("Tags__c INCLUDES ('B;A', 'X')") == ["One"]
    assert names("Tags__c EXCLUDES ('B', 'X')") == ["Two"]
    assert names("Tags__c = 'B;A'") == ["One"]


def test_picklists_sort_in_the_order_of_their_setup(org: Bench) -> None:
    assert [row["Level__c"] for row in org.rows("SELECT Level__c FROM Lead ORDER BY Level__c")] == ["z", "a"]


def test_all_rows_and_scopes(org: Bench) -> None:
    assert len(org.rows("SELECT Id FROM Lead ALL ROWS")) == 3
    assert len(org.rows("SELECT Id FROM Lead USING SCOPE everything")) == 2
    assert [row["LastName"] for row in org.rows("SELECT LastName FROM Lead USING SCOPE mine")] == ["Two"]
    assert org.query("SELECT Id FROM Lead USING SCOPE team").codes == ["INVALID_QUERY_SCOPE"]


def test_for_view_and_for_reference_move_their_moment_and_no_other() -> None:
    made = bench(records={"Lead": [{"LastName": "A", "Company": "C"}, {"LastName": "B", "Company": "C"}]})
    before = made.one("SELECT SystemModstamp FROM Lead WHERE LastName = 'A'")
    made.wait(hours=1)
    made.rows("SELECT Id FROM Lead WHERE LastName = 'A' FOR VIEW")
    made.rows("SELECT Id FROM Lead WHERE LastName = 'B' FOR REFERENCE")
    a, b = made.rows("SELECT LastViewedDate, LastReferencedDate, SystemModstamp FROM Lead ORDER BY LastName")
    assert (a["LastViewedDate"], a["LastReferencedDate"]) == ("2026-01-31T10:15:22.000+0000", None)
    assert (b["LastViewedDate"], b["LastReferencedDate"]) == (None, "2026-01-31T10:15:22.000+0000")
    assert a["SystemModstamp"] == before["SystemModstamp"]
    assert [row["Name"] for row in made.rest("GET", "recent").body] == ["B", "A"]
    assert [row["Name"] for row in made.rest("GET", "sobjects/Lead").body["recentItems"]] == ["B", "A"]


# -- pages ------------------------------------------------------------------------------------------------------------


def test_pages_are_a_snapshot_in_the_order_of_stamps_though_rows_are_edited() -> None:
    made = bench(records={"Lead": [{"LastName": f"L{n:03d}", "Company": "C"} for n in range(450)]})
    made.wait(minutes=1)
    for order in ("", " ORDER BY Id", " ORDER BY SystemModstamp", " ORDER BY SystemModstamp, Id"):
        expected = [row["Id"] for row in made.rows(f"SELECT Id FROM Lead{order}")]
        first = made.query(f"SELECT Id, Company FROM Lead{order}", batch=200).body
        seen = [row["Id"] for row in first["records"]]
        made.wait(seconds=1)
        for key in (expected[0], expected[201], expected[449]):
            made.update("Lead", key, Company=f"Edited{order}")
        made.rest("DELETE", f"sobjects/Lead/{expected[300]}")
        made.create("Lead", LastName="New", Company="C")
        body = first
        while not body["done"]:
            body = made.rest("GET", body["nextRecordsUrl"]).body
            seen += [row["Id"] for row in body["records"]]
        assert seen == expected[:300] + expected[301:]
        assert body["totalSize"] == len(expected)


def test_a_page_may_be_asked_for_again_and_out_of_turn() -> None:
    made = bench(records={"Lead": [{"LastName": f"L{n}", "Company": "C", "IsDeleted": n == 5} for n in range(701)]})
    first = made.query("SELECT Id FROM Lead", batch=200).body
    last = first["nextRecordsUrl"].replace("-200", "-600")
    expected = [row["Id"] for row in made.rows("SELECT Id FROM Lead")]
    assert [row["Id"] for row in made.rest("GET", last).body["records"]] == expected[600:]
    assert [row["Id"] for row in made.rest("GET", first["nextRecordsUrl"]).body["records"]] == expected[200:400]
    for wrong in ("0r8000000000000AAA-200", "nonsense", first["nextRecordsUrl"].rpartition("/")[2] + "x"):
        assert made.rest("GET", f"query/{wrong}").codes == ["INVALID_QUERY_LOCATOR"]


@pytest.mark.parametrize(
    ("asked", "size"), [(None, 2000), ("batchSize=500", 500), ("batchSize=1", 200), ("9999", 2000)]
)
def test_the_size_of_a_page_is_asked_for_in_a_header(asked: str | None, size: int) -> None:
    made = bench(records={"Lead": [{"LastName": f"L{n}", "Company": "C"} for n in range(2100)]})
    headers = {} if asked is None else {"sforce-query-options": asked}
    assert len(made.rest("GET", "query?q=SELECT+Id+FROM+Lead", headers=headers).body["records"]) == size


# -- about a query ----------------------------------------------------------------------------------------------------


def test_columns_tell_what_a_query_shows(org: Bench) -> None:
    query = "SELECT Id, Owner.Name, Owner.Email, (SELECT LastName FROM Contacts) FROM Account"
    body = org.rest("GET", f"query?columns=true&q={query.replace(' ', '+')}").body
    names = [
        (each["columnName"], [inner["columnName"] for inner in each["joinColumns"]]) for each in body["columnMetadata"]
    ]
    assert names == [("Id", []), ("Owner", ["Name", "Email"]), ("Contacts", ["LastName"])]
    assert body["columnMetadata"][0] == {
        "aggregate": False,
        "apexType": "Id",
        "booleanType": False,
        "columnName": "Id",
        "custom": False,
        "displayName": "Id",
        "foreignKeyName": None,
        "insertable": False,
        "joinColumns": [],
        "numberType": False,
        "textType": False,
        "updatable": False,
    }
    assert (body["entityName"], body["groupBy"], body["idSelected"], body["keyPrefix"]) == (
        "Account",
        False,
        True,
        "001",
    )
    grouped = "SELECT Company, COUNT(Id) n, MAX(Name) FROM Lead GROUP BY Company".replace(" ", "+")
    columns = org.rest("GET", f"query?columns=true&q={grouped}").body["columnMetadata"]
    assert [(each["columnName"], each["displayName"], each["aggregate"]) for each in columns] == [
        ("Company", "Company", False),
        ("n", "COUNT(Id)", True),
        ("expr0", "MAX(Name)", True),
    ]
    assert org.rest("GET", "query?columns=true&q=SELECT+Nothing+FROM+Lead").codes == ["INVALID_FIELD"]


def test_a_plan_tells_which_index_serves(org: Bench) -> None:
    scan = org.rest("GET", "query?explain=SELECT+Id+FROM+Lead+WHERE+Company='a'").body
    assert [each["leadingOperationType"] for each in scan["plans"]] == ["TableScan"]
    assert scan["plans"][0]["notes"][0]["fields"] == ["Company"]
    index = org.rest("GET", "query?explain=SELECT+Id+FROM+Lead+WHERE+Email='a@x.example'").body
    assert [(each["leadingOperationType"], each["fields"]) for each in index["plans"]] == [
        ("Index", ["Email"]),
        ("TableScan", []),
    ]
    assert org.rest("GET", "query?explain=SELECT+Id+FROM+Nothing").codes == ["INVALID_TYPE"]


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        ("SELECT Id FROM Lead FOR UPDATE", "MALFORMED_QUERY", "FOR UPDATE not allowed in this context"),
        ("SELECT Id FROM Lead UPDATE TRACKING", "MALFORMED_QUERY", "UPDATE TRACKING not allowed"),
        (
            "SELECT Id FROM Lead WITH SECURITY_ENFORCED",
            "MALFORMED_QUERY",
            "SECURITY_ENFORCED not allowed in this context",
        ),
        ("SELECT Id FROM Lead WITH USER_MODE", "MALFORMED_QUERY", "USER_MODE not allowed in this context"),
        ("SELECT Id FROM Lead WHERE Name = :name", "MALFORMED_QUERY", "Bind variables only allowed in Apex code"),
        ("SELECT Name n FROM Lead", "MALFORMED_QUERY", "only aggregate expressions use field aliasing"),
        ("SELECT SUM(Name) FROM Lead", "MALFORMED_QUERY", "field Name does not support aggregate operator SUM"),
        ("SELECT COUNT(IsConverted) FROM Lead", "MALFORMED_QUERY", "does not support aggregate operator COUNT"),
        ("SELECT Company c, COUNT(Id) c FROM Lead GROUP BY Company", "MALFORMED_QUERY", "duplicate alias: c"),
        ("SELECT Description FROM Lead GROUP BY Description", "MALFORMED_QUERY", "can not be grouped in a query call"),
        ("SELECT COUNT(Id) FROM Lead LIMIT 1", "MALFORMED_QUERY", "cannot also use LIMIT"),
        ("SELECT COUNT(), Id FROM Lead", "MALFORMED_QUERY", "COUNT() stands alone"),
        ("SELECT CALENDAR_YEAR(CreatedDate) FROM Lead", "MALFORMED_QUERY", "Field must be grouped or aggregated"),
        ("SELECT Id, (SELECT COUNT(Id) FROM Contacts) FROM Account", "MALFORMED_QUERY", "only root queries support"),
        ("SELECT Id, (SELECT Id FROM Leads) FROM Account", "INVALID_TYPE", "Didn't understand relationship 'Leads'"),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact) OR Name = 'x'",
            "MALFORMED_QUERY",
            "Semi join sub-selects are not allowed with the 'OR' operator",
        ),
        (
            "SELECT Id FROM Account WHERE Name = 'y' AND (Name = 'x' OR Id IN (SELECT AccountId FROM Contact))",
            "MALFORMED_QUERY",
            "only allowed at the top level WHERE expressions",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact) AND Id IN (SELECT AccountId FROM "
            "Opportunity) AND Id NOT IN (SELECT ContactId FROM OpportunityContactRole)",
            "MALFORMED_QUERY",
            "Maximum 2 semi join sub-selects are allowed",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE AccountId IN (SELECT Id "
            "FROM Account))",
            "MALFORMED_QUERY",
            "Nesting of semi join sub-selects is not supported",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT LastName FROM Contact)",
            "MALFORMED_QUERY",
            "semi join sub-selects can only query id fields, cannot use: 'LastName'",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT Id FROM Contact)",
            "MALFORMED_QUERY",
            "should point to the same object type",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT Id FROM Account)",
            "MALFORMED_QUERY",
            "The inner and outer selects should not be on the same object type",
        ),
        ("SELECT Id FROM Lead WHERE Id LIKE 'a%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on id field"),
        ("SELECT Id FROM Lead WHERE Tags__c LIKE 'a%'", "INVALID_QUERY_FILTER_OPERATOR", "multipicklist field"),
        ("SELECT Id FROM Lead WHERE IsConverted > false", "INVALID_QUERY_FILTER_OPERATOR", "boolean field"),
        ("SELECT Id FROM Lead WHERE Company INCLUDES ('a')", "INVALID_QUERY_FILTER_OPERATOR", "string field"),
        (
            "SELECT Id FROM Lead WHERE CreatedDate > 2026-02-30T00:00:00Z",
            "MALFORMED_QUERY",
            "Invalid datetime: 2026-02-30",
        ),
        ("SELECT Id FROM Lead WHERE CreatedDate = SOMEDAY", "MALFORMED_QUERY", "unexpected token: 'SOMEDAY'"),
        ("SELECT Id FROM Lead ORDER BY Tags__c", "INVALID_FIELD", "field 'Tags__c' can not be sorted in a query call"),
        ("SELECT Id, FIELDS(STANDARD) FROM Lead", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT FIELDS(CUSTOM) FROM Lead LIMIT 201", "MALFORMED_QUERY", "must have a LIMIT of at most 200"),
        ("SELECT TYPEOF Account WHEN Account THEN Name END FROM Contact", "INVALID_FIELD", "polymorphic relationship"),
        ("SELECT TYPEOF Owner WHEN Lead THEN Name END FROM Lead", "INVALID_TYPE", "'Lead' is no type of"),
        ("SELECT nothing(Id) FROM Lead", "MALFORMED_QUERY", "unexpected token: '('"),
        ("SELECT Id FROM Lead WHERE Name = 'x' LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'"),
        ("SELECT Id FROM Lead WHERE Name IN ()", "MALFORMED_QUERY", "unexpected token: ')'"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        (f"SELECT Id FROM Lead WHERE Name = '{'x' * 4001}'", "MALFORMED_QUERY", "4,000 characters"),
        (f"SELECT Id FROM Lead WHERE {'NOT ' * 200} Name = 'x'", "QUERY_TOO_COMPLICATED", "too complicated"),
        (f"SELECT Id FROM Lead ORDER BY {', '.join(['Name'] * 33)}", "MALFORMED_QUERY", "at most 32 fields"),
        (
            f"SELECT Id, {', '.join(['(SELECT Id FROM Contacts)'] * 21)} FROM Account",
            "MALFORMED_QUERY",
            "at most 20 subqueries",
        ),
    ],
)
def test_what_is_said_to_each_mistake(org: Bench, soql: str, code: str, message: str) -> None:
    answered = org.query(soql)
    assert (answered.status, answered.codes) == (400, [code])
    assert message in answered.body[0]["message"]


def test_with_one_currency_there_is_nothing_to_convert() -> None:
    plain = bench()
    for soql in ("SELECT convertCurrency(Amount) FROM Opportunity", "SELECT Id FROM Opportunity WHERE Amount > USD5"):
        assert plain.query(soql).codes == ["MALFORMED_QUERY"]


def test_a_thousand_parentheses_are_only_parentheses(org: Bench) -> None:
    assert len(org.rows(f"SELECT Id FROM Lead WHERE {'(' * 1000}LastName = 'One'{')' * 1000}")) == 1


def test_a_statement_has_its_length() -> None:
    with pytest.raises(SfError, match="SOQL statements cannot be longer than 100000 characters"):
        parse(f"SELECT Id FROM Lead WHERE Name = 'x' {' ' * 100_000}")
