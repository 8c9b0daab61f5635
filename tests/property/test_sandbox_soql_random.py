"""Random SOQL against a reference that reads it the slow, obvious way: the same rows, or the right error."""

import random
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from tests.support.salesforce_org import START, Answered, Bench, bench
from tests.support.soql_reference import PICKLISTS, TAGS, TEXTS, Case, Queries, World

SHAPE = {
    "org": {"fiscal_year_start_month": 4},
    "objects": {"Lead": {"fields": {"Tags__c": {"type": "multipicklist", "picklistValues": TAGS}}}},
}


def at(rng: random.Random) -> str:
    seconds = rng.choice([0, 1, 1, 5, 60, 86400, 86400 * 2, 86400 * 40, 86400 * 300])
    return (START - timedelta(seconds=seconds)).isoformat()


@cache
def org() -> tuple[Bench, World]:
    rng = random.Random(3)
    day = START.date()

    def sometimes(value: Any) -> Any:
        return value if rng.random() < 0.75 else None

    people = [{"_ref": f"u{n}", "Username": f"u{n}@a.example", "LastName": f"U{n}"} for n in range(3)]
    for person in people:
        person["Email"] = person["Username"]
    owners = ["@u0", "@u1", "@u2", "@q"]
    accounts = [
        {"_ref": f"a{n}", "Name": rng.choice(TEXTS), "Industry": sometimes(rng.choice(PICKLISTS["Industry"]))}
        | {
            "AnnualRevenue": sometimes(rng.choice([0, 2, 5, 100])),
            "ParentId": f"@a{rng.randrange(n)}" if n > 3 else None,
        }
        for n in range(14)
    ]
    contacts = [
        {"LastName": rng.choice(TEXTS), "AccountId": sometimes(f"@a{rng.randrange(14)}")}
        | {"Birthdate": sometimes((day - timedelta(days=rng.randint(0, 900))).isoformat())}
        | {"Email": sometimes(f"{rng.choice('abAB')}@x.example"), "IsDeleted": rng.random() < 0.1}
        for _ in range(30)
    ]
    leads = [
        {
            "LastName": rng.choice(TEXTS),
            "Company": rng.choice(TEXTS),
            "Email": sometimes(f"{rng.choice('abC')}@x.example"),
        }
        | {"Status": rng.choice(PICKLISTS["Status"]), "NumberOfEmployees": sometimes(rng.randrange(6))}
        | {"AnnualRevenue": sometimes(rng.choice([0, 1, 2, 5, 100])), "OwnerId": rng.choice(owners)}
        | {"Tags__c": sometimes(";".join(rng.sample(TAGS, rng.randint(1, 3)))), "IsDeleted": rng.random() < 0.1}
        | {"LastModifiedDate": at(rng), "CreatedDate": at(rng)}
        for _ in range(60)
    ]
    deals = [
        {"Name": rng.choice(TEXTS), "StageName": rng.choice(PICKLISTS["StageName"])}
        | {"CloseDate": (day + timedelta(days=rng.randint(-700, 400))).isoformat()}
        | {"Amount": sometimes(rng.choice([0, 2.5, 10.25, 100])), "AccountId": sometimes(f"@a{rng.randrange(14)}")}
        for _ in range(30)
    ]
    queue = [{"_ref": "q", "Name": "Inbound", "Type": "Queue", "Email": "a@x.example"}]
    records = {"User": people, "Group": queue, "Account": accounts, "Contact": contacts, "Lead": leads}
    made = bench(shape=SHAPE, records={**records, "Opportunity": deals})
    kept = {name: [_plain(row) for row in rows] for name, rows in made.app.dump().items()}
    return made, World(
        tables={name: kept[name] for name in ("Lead", "Account", "Contact", "Opportunity", "User", "Group")}
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row with numbers as JSON tells them."""
    return {key: float(value) if type(value).__name__ == "Decimal" else value for key, value in row.items()}


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """A record as the reference shows it: no attributes, of children the ids."""
    bare: dict[str, Any] = {}
    for key, value in record.items():
        if key == "attributes":
            continue
        if isinstance(value, dict) and "records" in value:
            value = [each["Id"] for each in value["records"]]
        elif isinstance(value, dict):
            value = {name: each for name, each in value.items() if name != "attributes"}
        bare[key] = value
    return bare


def alike(records: list[Any], *, grouped: bool) -> list[Any]:
    """Comparable: of groups texts without case (which of the equal ones is shown is not said), sums rounded."""

    def one(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 6)
        return value.lower() if grouped and isinstance(value, str) else value

    return [{key: one(value) for key, value in record.items()} for record in records]


def check(case: Case, answered: Answered) -> None:
    if case.code is not None:
        assert answered.status == 400, answered.body
        assert answered.codes == [case.code], answered.body
        return
    assert answered.status == 200, answered.body
    assert case.records is not None
    assert answered.body["totalSize"] == case.total
    found = answered.body["records"]
    grouped = bool(found) and found[0]["attributes"]["type"] == "AggregateResult"
    got, wanted = alike([shown(each) for each in found], grouped=grouped), alike(case.records, grouped=grouped)
    assert got == wanted if case.ordered else sorted(map(repr, got)) == sorted(map(repr, wanted))


def run(seed: int, count: int) -> None:
    made, world = org()
    queries = Queries(world=world, rng=random.Random(seed))
    for number in range(count):
        case = queries.case()
        answered = made.query(case.text, everything=case.everything)
        print(f"seed {seed}, query {number}: {case.text}")
        check(case, answered)
    assert set(queries.seen) == {"plain", "count", "grouped", "illegal"}


@pytest.mark.parametrize("seed", range(3))
def test_a_few_random_queries_give_what_a_plain_reading_gives(seed: int) -> None:
    run(seed, 200)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_thousand_random_queries_give_what_a_plain_reading_gives(seed: int) -> None:
    run(seed, 1000)


@pytest.mark.parametrize("seed", range(2))
def test_a_statement_with_letters_knocked_about_is_answered_one_way_or_the_other(seed: int) -> None:
    made, world = org()
    rng = random.Random(seed)
    queries = Queries(world=world, rng=rng)
    for number in range(150):
        text = list(queries.case().text)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(text))
            text[place] = rng.choice(["", " ", "(", ")", "'", "\\", ",", ".", "%", "1", "x", text[place] * 2, ":", "-"])
        print(f"seed {seed}, query {number}: {''.join(text)}")
        answered = made.query("".join(text))
        assert answered.status in (200, 400)
        if answered.status == 400:
            assert answered.codes[0] != "UNKNOWN_EXCEPTION"
