"""Seeds, the ledger of calls, and the proxy's list of hosts."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmbridge.sandbox import calls
from crmbridge.sandbox.core import Call
from crmbridge.sandbox.proxy import target_port
from crmbridge.sandbox.seed import SeedError, find_seed

START = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def sample() -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
    seed = find_seed("sample")
    return seed.records("salesforce", START), seed.records("dynamics", START)


def test_the_sample_has_the_announced_size_and_proportions() -> None:
    salesforce, dynamics = sample()
    sizes = {table: len(rows) for table, rows in (salesforce | dynamics).items()}
    assert sizes == {
        "User": 5, "Account": 12, "Contact": 20, "Lead": 22, "Opportunity": 31, "OpportunityContactRole": 4,
        "systemuser": 4, "account": 10, "contact": 14, "lead": 10, "opportunity": 12,
    }  # fmt: skip
    assert Counter(row["Status"] for row in salesforce["Lead"]) == {
        "Open - Not Contacted": 3, "Working - Contacted": 12, "Closed - Not Converted": 4, "Closed - Converted": 3,
    }  # fmt: skip
    assert not any("IsConverted" in row for row in salesforce["Lead"])
    assert Counter(row["StageName"] for row in salesforce["Opportunity"])["Closed Won"] == 18
    assert Counter(row["statecode"] for row in dynamics["opportunity"]) == {0: 7, 1: 3, 2: 2}
    assert max(Counter(row["Name"] for row in salesforce["Opportunity"]).values()) == 3


@pytest.mark.parametrize("side", [0, 1])
def test_every_reference_of_the_sample_leads_somewhere(side: int) -> None:
    rows = [row for table in sample()[side].values() for row in table]
    refs = [row["_ref"] for row in rows if "_ref" in row]
    assert len(refs) == len(set(refs))
    pointed = {value[1:] for row in rows for value in row.values() if isinstance(value, str) and value.startswith("@")}
    assert pointed <= set(refs)


def test_the_twins_of_the_sample_meet_the_keys_they_are_meant_for() -> None:
    salesforce, dynamics = sample()

    def domain(text: str) -> str:
        return text.removeprefix("https://").removeprefix("http://").removeprefix("www.")

    websites = Counter(domain(row["Website"]) for row in salesforce["Account"] if "Website" in row)
    shared = {domain(row["websiteurl"]) for row in dynamics["account"]} & set(websites)
    assert {site: websites[site] for site in shared} == {
        "nordwindtraders.example": 1, "kuestenlicht.example": 1, "harbourvine.example": 1, "meridianpaper.example": 2,
    }  # fmt: skip
    people = {(row["Email"].lower(), row["LastName"]) for row in salesforce["Contact"] if "Email" in row}
    assert len(people & {(row["emailaddress1"].lower(), row["lastname"]) for row in dynamics["contact"]}) == 4
    leads = {(row["Email"], row["LastName"]) for row in salesforce["Lead"]}
    assert len(leads & {(row["emailaddress1"], row["lastname"]) for row in dynamics["lead"]}) == 2
    deals = {(row["Name"], row["Amount"], row["CloseDate"]) for row in salesforce["Opportunity"]}
    both = deals & {(row["name"], row["estimatedvalue"], row["estimatedclosedate"]) for row in dynamics["opportunity"]}
    assert both == {("Nordwind Depot Heat Pumps", 125000, "2026-12-11")}
    users = {row["Email"]: row["IsActive"] for row in salesforce["User"]}
    assert {row["internalemailaddress"] for row in dynamics["systemuser"]} == set(users) - {
        "dana.whitlock@northfield.example"
    }
    assert [email for email, active in users.items() if not active] == ["tomas.keller@northfield.example"]


def test_dates_are_relative_and_stamps_lie_before_the_start() -> None:
    for tables, created in zip(sample(), ("CreatedDate", "createdon"), strict=True):
        stamps = [row[created] for rows in tables.values() for row in rows]
        assert len(stamps) == len(set(stamps))
        assert max(stamps) < "2026-11-20"
    closes = [date.fromisoformat(row["CloseDate"]) for row in sample()[0]["Opportunity"]]
    assert min(closes) < START.date() < max(closes)


def test_a_seed_of_ones_own_is_a_folder_or_a_shape_file(tmp_path: Path) -> None:
    (tmp_path / "salesforce.records.json").write_text(json.dumps({"Lead": [{"LastName": "Ek", "Day": "{today-1}"}]}))
    (tmp_path / "dynamics.shape.yaml").write_text("extends: dynamics\n")
    seed = find_seed(tmp_path)
    assert seed.records("salesforce", START)["Lead"][0]["Day"] == "2026-11-19"
    assert seed.records("dynamics", START) == {}
    assert dict(seed.shapes) == {"dynamics": tmp_path / "dynamics.shape.yaml"}
    single = find_seed(tmp_path / "dynamics.shape.yaml")
    assert single.shapes.keys() == {"dynamics"}
    assert len(single.records("salesforce", START)["User"]) == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.yaml", "fields: {}", "does not say which CRM"),
        ("x.yaml", "a: [", "cannot be read"),
        ("salesforce.records.yaml", "- 1", "a mapping of tables"),
        ("salesforce.records.yaml", "Lead: {}", "Lead: a list of rows"),
        ("salesforce.records.json", "{", "cannot be read"),
        ("notes.txt", "", "holds no seed"),
    ],
)
def test_a_seed_that_cannot_be_read_is_refused_in_words(tmp_path: Path, name: str, content: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SeedError, match=words):
        find_seed(path if name.startswith("x") else tmp_path).records("salesforce", START)


def test_calls_are_summed_by_category_table_kind_user_and_operation() -> None:
    ledger = [
        Call(crm="dynamics", table="lead", kind="query", category="data", user="a", status=200),
        Call(crm="dynamics", table="lead", kind="query", category="data", user="b", status=429),
        Call(
            crm="dynamics", table="", kind="batch", category="data", user="a", status=200,
            operations=(("lead", "update"), ("lead", "QualifyLead")),
        ),
        Call(crm="dynamics", table="", kind="login", category="login", user="", status=200),
    ]  # fmt: skip
    sums = calls.summary(ledger)
    assert sums["dynamics"] == {
        "requests": {"data": {"": {"batch": 1}, "lead": {"query": 2}}, "login": {"": {"login": 1}}, "metadata": {}},
        "operations": {"lead": {"QualifyLead": 1, "update": 1}},
        "users": {"": {"login": 1}, "a": {"data": 2}, "b": {"data": 1}},
        "totals": {"requests": 4, "operations": 2},
    }
    assert sums["salesforce"]["totals"] == {"requests": 0, "operations": 0}


@pytest.mark.parametrize(
    ("authority", "port"),
    [
        ("login.salesforce.com:443", 1),
        ("ACME.my.salesforce.com:443", 1),
        ("contoso.crm.dynamics.com:443", 2),
        ("login.microsoftonline.com:443", 3),
        ("localhost:4", 4),
        ("localhost:22", None),
        ("pypi.org:443", None),
        ("salesforce.com.evil.example:443", None),
        ("no port", None),
    ],
)
def test_the_proxy_knows_the_crms_hosts_and_our_own_ports_only(authority: str, port: int | None) -> None:
    assert target_port(authority, {"salesforce": 1, "dynamics": 2, "identity": 3}, frozenset({1, 2, 3, 4})) == port
