# ruff: noqa: E501 - tables read best unbroken
"""What a CRM's counts amount to: each with its number, in a sentence; what it refuses stays an open question."""

from typing import Any

import pytest

from connectors.base import Description, Option, RecordType
from connectors.dynamics import survey as dynamics
from connectors.dynamics.processes import Process
from connectors.dynamics.stage_order import Stage
from connectors.dynamics.survey_processes import processed
from connectors.salesforce import survey as salesforce
from connectors.salesforce.protocol import Meaning
from connectors.survey import Unread
from crmbridge.cli.by_type import by_type


@pytest.mark.parametrize(
    ("name", "rows", "number", "words"),
    [
        ("duplicates", [{"SobjectType": "Lead", "n": 2}, {"SobjectType": "Account", "n": 1}], 3,
         "active duplicate rules: Account 1, Lead 2"),
        ("types", [{"SobjectType": "Lead", "n": 3}, {"SobjectType": "Account", "n": 1}], 4, "several record types: Lead 3"),
        ("lead_owners", [{"OwnerId": "00G000000000001", "n": 4}, {"OwnerId": "005000000000001", "n": 9}], 6,
         "4 open leads belong to queues"),
        ("persons", [{"n": 7}], 7, "7 accounts are person accounts"),
        ("companies", [{"n": 1}], 7, "1 open lead has no company"),
        ("products", [{"n": 12}], 9, "12 open opportunities have products, so its amount is calculated"),
        ("converters", [{"LastModifiedById": "a", "n": 3}, {"LastModifiedById": "b", "n": 1}], 11,
         "4 leads were converted in the last 30 days by 2 users"),
        ("flows", [{"TriggerObjectOrEventLabel": "Lead", "n": 2}], 11, "active record-triggered flows: Lead 2"),
        ("triggers", [{"TableEnumOrId": "Opportunity", "n": 1}], 11, "active Apex triggers: Opportunity 1"),
        ("twins lead 0", [{"n": 3}, {"n": 2}], 13, "5 lead records share key 1 of `match:` with another (2 groups)"),
    ],
)  # fmt: skip
def test_salesforce(name: str, rows: list[dict[str, Any]], number: int, words: str) -> None:
    (seen,) = salesforce._judged({name: rows})
    assert (seen.number, seen.what) == (number, words)


@pytest.mark.parametrize(
    ("name", "rows", "number", "words"),
    [
        ("rules", [{"primaryentity": "lead", "n": 2}], 2, "active business rules: lead 2"),
        ("duplicates", [{"baseentityname": "lead", "matchingentityname": "contact"}], 3,
         "published duplicate rules: lead against contact 1"),
        ("teams", [{"n": 1}], 6, "1 open lead belongs to a team"),
        ("persons", [{"n": 2}], 7, "2 open opportunities have a contact as customer and no account"),
        ("flows", [{"primaryentity": "lead", "n": 1}, {"primaryentity": "opportunity", "n": 2}], 8,
         "several active business process flows: lead 1, opportunity 2"),
        ("flows", [{"primaryentity": "lead", "n": 1}], 8, "no active business process flow begins on opportunity records"),
        ("flows", [], 8, "no active business process flow begins on lead or opportunity records"),
        ("products", [{"n": 1}], 9, "1 open opportunity has a calculated amount"),
        ("converters", [{"_modifiedby_value": "a", "n": 2}], 11,
         "2 leads were qualified in the last 30 days, last edited by 1 user"),
        ("workflows", [{"primaryentity": "lead", "n": 1}], 11, "active real-time workflows: lead 1"),
        ("plugins", [{"n": 3}], 11, "3 plug-in steps of others"),
        ("topics", [{"n": 4}], 14, "4 open leads have no topic"),
        ("twins account 1", [{"name": "x", "n": 1}, {"name": "y", "n": 4}], 13,
         "4 account records share key 2 of `match:` with another (1 group)"),
    ],
)  # fmt: skip
def test_dynamics(name: str, rows: list[dict[str, Any]], number: int, words: str) -> None:
    (seen,) = dynamics._judged({name: rows})
    assert (seen.number, seen.what) == (number, words)


DEAL = Process(
    table="new_deal",
    name="Deal",
    set="new_deals",
    tracked=True,
    stages=(
        Stage(id="a", name="A", category=0, table="opportunity"),
        Stage(id="b", name="B", category=1, table="lead"),
    ),
)


def _sample(active: str, *path: tuple[str, str]) -> tuple[Process, dict[str, Any], list[dict[str, Any]]]:
    stages = [{"processstageid": id, "primaryentitytypecode": table} for id, table in path]
    return DEAL, {"_activestageid_value": active}, stages


def test_opportunities_are_counted_by_the_process_they_run_in() -> None:
    unread: list[Unread] = []
    (seen,) = processed({"Deal": 3, "Other": 0}, 5, [_sample("a", ("a", "opportunity"))], unread)
    assert seen.what == "business processes of 5 open opportunities: 3 in Deal, at least 2 in none"
    assert (seen.number, seen.level, unread) == (8, "note", [])
    *_, more = processed({"Deal": 3}, 2, [], unread)
    assert more.what == "1 process instance more than open opportunities: some run in several, or are closed"
    assert more.level == "warning"


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (_sample("a", ("a", "opportunity")), None),
        (_sample("x", ("a", "opportunity")), "1 stand at a stage that is not on their path"),
        (
            _sample("a", ("a", "opportunity"), ("new", "opportunity")),
            "1 have stages on their path that the process does",
        ),
        (_sample("b", ("b", "lead")), "1 have no stage of the opportunity on their path"),
    ],
)
def test_what_a_sampled_path_shows_of_an_edited_process(sample: Any, words: str | None) -> None:
    seen = processed({}, None, [sample], [])
    assert [one.what.startswith(f"of 1 sampled opportunity in a process {words}") for one in seen] == [True][
        : bool(words)
    ]


def test_a_refused_path_stays_open() -> None:
    unread: list[Unread] = []
    assert processed({}, None, [(DEAL, {}, "no (0x80040220)"), _sample("a", ("a", "opportunity"))], unread) == []
    [one] = unread
    assert (one.number, one.why) == (8, "no (0x80040220)")
    assert one.what == "which stages 1 of 2 sampled opportunities can pass in their process"


def test_records_are_counted_by_type_and_held_to_what_it_offers() -> None:
    types = (
        RecordType(id="1", name="Web", offers={"Status": ("New", "Done")}),
        RecordType(id="2", name="Fair", offers={"Status": ("New",)}, available=False),
        RecordType(id="3", name="Old"),
    )
    done = (Option(value="New", label="New"), Option(value="Done", label="Done", state="converted"))
    described = Description(entity="lead", table="Lead", columns={}, statuses=done, record_types=types)
    counts = {("1", "New"): 4, ("1", "Odd"): 2, ("2", "New"): 3, ("3", "Odd"): 1, (None, "New"): 5}
    told = by_type("lead", counts, described)
    assert told.each == {"Web": 6, "Fair": 3, "Old": 1, "none": 5}
    assert told.closed_to_us == {"Fair": 3}
    assert told.no_converted == {"Fair": 3}
    assert told.astray == {"Web": 2}


def test_nothing_to_say_is_said_by_nothing() -> None:
    assert (
        salesforce._judged({"persons": [{"n": 0}], "types": [{"SobjectType": "Lead", "n": 1}], "twins lead 0": []})
        == []
    )
    assert dynamics._judged({"teams": [{"n": 0}], "twins lead 0": [{"n": 1}]}) == []


def test_a_refused_question_stays_open_in_words_without_data() -> None:
    what = Meaning(kind="refused", code="INVALID_TYPE", message="SELECT x ... ERROR at Row:1 sObject type 'X' ...")
    assert salesforce._records("FlowDefinitionView", what, b"") == (
        "this org has no FlowDefinitionView, or our user may not see it (INVALID_TYPE)"
    )
    assert salesforce._records("Lead", Meaning(kind="done"), b"<html>") == "the answer was not understood"


def test_a_key_is_grouped_without_reading_what_its_records_share() -> None:
    ask = salesforce._twins("lead", 0, ("Email", "LastName"))
    assert ask.statement == (
        "SELECT COUNT(Id) n FROM Lead WHERE Email != null AND LastName != null AND IsConverted = false "
        "GROUP BY Email, LastName HAVING COUNT(Id) > 1 ORDER BY COUNT(Id) DESC LIMIT 2000"
    )
    with pytest.raises(ValueError, match="Email"):
        salesforce._twins("lead", 0, ("Email) FROM User--",))
