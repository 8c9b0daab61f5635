"""Searches of the sandbox's Salesforce org: SOSL, and the search by parameters."""

import random
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.salesforce_org import Bench, bench


@pytest.fixture
def org() -> Bench:
    made = bench(
        records={
            "Account": [{"Name": "Acme Rockets"}, {"Name": "Acme Anvils"}, {"Name": "Universal"}],
            "Contact": [
                {"LastName": "Boxer", "FirstName": "Bertha", "Email": "bertha.boxer@acme.example", "Phone": "555-0100"},
                {"LastName": "Rockets", "FirstName": "Rolf", "Email": "rolf@uni.example"},
            ],
            "Lead": [{"LastName": "Unger", "Company": "Acme Anvils", "IsDeleted": True}],
        }
    )
    made.create("Lead", LastName="Boxer", Company="Universal Anvils", Description="wants 50% off (really)")
    return made


def found(org: Bench, sosl: str, version: str = "60.0") -> Any:
    return org.rest("GET", f"search/?q={quote(sosl)}", version=version)


def names(org: Bench, sosl: str) -> list[str]:
    answered = found(org, sosl)
    assert answered.status == 200, answered.body
    return [row.get("Name", row["attributes"]["type"]) for row in answered.body["searchRecords"]]


@pytest.mark.parametrize(
    ("sosl", "expected"),
    [
        ("FIND {acme} RETURNING Account(Name ORDER BY Name)", ["Acme Anvils", "Acme Rockets"]),
        ("FIND {ACME AND rockets} RETURNING Account(Name)", ["Acme Rockets"]),
        ("FIND {acme rockets} RETURNING Account(Name)", ["Acme Rockets"]),
        ("FIND {acme AND NOT rockets} RETURNING Account (Id, Name)", ["Acme Anvils"]),
        ("FIND {rockets OR uni*} RETURNING Account(Name ORDER BY Name)", ["Acme Rockets", "Universal"]),
        ("FIND {(rockets OR uni*) AND acme} RETURNING Account(Name)", ["Acme Rockets"]),
        ('FIND {"anvils acme"} RETURNING Account(Name)', []),
        ('FIND {"acme anvils"} RETURNING Account(Name)', ["Acme Anvils"]),
        ("FIND {acm} RETURNING Account(Name)", []),
        ("FIND {acm?} RETURNING Account(Name LIMIT 1)", ["Acme Rockets"]),
        ("FIND {boxer} IN NAME FIELDS RETURNING Contact(Name), Lead(Name)", ["Bertha Boxer", "Boxer"]),
        ("FIND {acme} IN EMAIL FIELDS RETURNING Contact(Name), Account(Name)", ["Bertha Boxer"]),
        ("FIND {bertha.boxer@acme.example} RETURNING Contact(Name)", ["Bertha Boxer"]),
        ("FIND {555-0100} IN PHONE FIELDS RETURNING Contact(Name) , Lead LIMIT 5", ["Bertha Boxer"]),
        ("find {anvils} returning Account(Name where Name != 'x)' ), Lead", ["Acme Anvils", "Lead"]),
        ("FIND {anvils} RETURNING Lead(Name) LIMIT 0", []),
        ("FIND {50 AND really} RETURNING Lead(Name)", ["Boxer"]),
        ("FIND {boxer}", ["Lead", "Contact"]),
        ('FIND {"boxer bertha"} RETURNING Contact', []),
        ("FIND {anvils} RETURNING Account(Name LIMIT 0)", []),
    ],
)
def test_sosl(org: Bench, sosl: str, expected: list[str]) -> None:
    assert names(org, sosl) == expected


def test_rows_are_shown_as_a_query_shows_them_and_older_versions_answer_the_list_alone(org: Bench) -> None:
    sosl = "FIND {bertha} RETURNING Contact(Id, Email, Account.Name)"
    (row,) = found(org, sosl).body["searchRecords"]
    assert list(row) == ["attributes", "Id", "Email", "Account"]
    assert row["attributes"]["url"] == f"/services/data/v60.0/sobjects/Contact/{row['Id']}"
    assert [each["Id"] for each in found(org, sosl, "36.0").body] == [row["Id"]]
    assert org.rest("GET", "").body["search"] == "/services/data/v60.0/search"


@pytest.mark.parametrize(
    ("sosl", "code", "told"),
    [
        ("SELECT Id FROM Lead", "MALFORMED_SEARCH", "No search term found."),
        ("FIND {x} RETURNING Lead", "MALFORMED_SEARCH", "search term must be longer than one character: x"),
        ("FIND {acme} IN SOME FIELDS", "MALFORMED_SEARCH", "unexpected token: SOME"),
        ("FIND {acme} RETURNING Lead(Id", "MALFORMED_SEARCH", "unexpected token: <EOF>"),
        ("FIND {acme} RETURNING", "MALFORMED_SEARCH", "unexpected token"),
        ("FIND {(acme} RETURNING Account", "MALFORMED_SEARCH", "unexpected token: <EOF>"),
        ('FIND {"acme} RETURNING Account', "MALFORMED_SEARCH", 'unexpected token: "'),
        ("FIND {" + "(" * 4000 + "acme} RETURNING Account", "MALFORMED_SEARCH", "nested too deep"),
        ("FIND {acme OR} RETURNING Account", "MALFORMED_SEARCH", "unexpected token: <EOF>"),
        ("FIND {acme} RETURNING Account(COUNT())", "MALFORMED_SEARCH", "rows"),
        ("FIND {acme} RETURNING Nothing", "INVALID_TYPE", "Nothing"),
        ("FIND {acme} RETURNING Account(Nothing)", "INVALID_FIELD", "Nothing"),
        ("FIND {acme} RETURNING Account WITH SNIPPET", "NOT_SERVED_BY_SANDBOX", "WITH"),
    ],
)
def test_what_cannot_be_searched_is_told(org: Bench, sosl: str, code: str, told: str) -> None:
    answered = found(org, sosl)
    assert answered.codes == [code]
    assert told in answered.body[0]["message"]


def test_a_search_by_parameters_in_the_url_and_in_a_body(org: Bench) -> None:
    url = "parameterizedSearch/?q=acme&sobject=Account,Contact&Account.fields=Name&Account.limit=1&fields=Id,Email"
    rows = org.rest("GET", url).body["searchRecords"]
    assert [list(row)[1:] for row in rows] == [["Name"], ["Id", "Email"]]
    body: dict[str, Any] = {"q": "boxer", "in": "NAME", "fields": ["Id", "Name"], "overallLimit": 5}
    body["sobjects"] = [{"name": "Contact", "where": "Email != null"}, {"name": "Lead", "orderBy": "Name"}]
    rows = org.rest("POST", "parameterizedSearch", body).body["searchRecords"]
    assert [row["Name"] for row in rows] == ["Bertha Boxer", "Boxer"]
    assert {
        row["attributes"]["type"] for row in org.rest("GET", "parameterizedSearch?q=boxer").body["searchRecords"]
    } == {
        "Contact",
        "Lead",
    }
    assert org.rest("GET", "parameterizedSearch").codes == ["MALFORMED_SEARCH"]
    assert org.rest("POST", "parameterizedSearch", body | {"netscape": True}).codes == ["NOT_SERVED_BY_SANDBOX"]
    assert org.rest("POST", "parameterizedSearch", body | {"overallLimit": "many"}).codes == ["INVALID_INPUT"]
    assert org.rest("GET", "parameterizedSearch?q=boxer", version="35.0").status == 404


def test_a_search_shows_what_its_user_may_see() -> None:
    org = bench({"sharing": {"Lead": "private"}, "profiles": {"Sales": {"permissions": []}},
                 "people": {"sam@acme.example": {"profile": "Sales"}}})  # fmt: skip
    org.create("Lead", LastName="Hidden", Company="Acme")
    assert names(org, "FIND {hidden} RETURNING Lead(Name)") == ["Hidden"]
    assert names(org.person("sam@acme.example"), "FIND {hidden} RETURNING Lead(Name)") == []


def test_whatever_is_looked_for_is_found_or_refused(org: Bench) -> None:
    seed = 20261122
    print(f"seed {seed}")
    rng = random.Random(seed)
    words = ["FIND", "{", "}", "acme", "*", "?", "\\", '"', "(", ")", "AND", "OR", "NOT", " IN ", "ALL", " FIELDS "]
    words += [" RETURNING ", "Account", "Id", "Name", ",", " WHERE ", " LIMIT ", "3", "'", "[", "]", "!", "é", "=", " "]
    for turn in range(400):
        text = "".join(rng.choice(words) for _ in range(rng.randint(1, 14)))
        answered = found(org, f"FIND {{{text}}} RETURNING Account" if turn % 2 else text)
        assert answered.status in (200, 400), text
