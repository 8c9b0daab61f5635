"""What is told and when: once when it begins, again after a while, once when it is over."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crmbridge import alerts
from crmbridge.alerts import DEFAULT, KINDS, Alarm, Facts, Rule, decide, judge

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

# One state of affairs for each kind, and what is told of it.
OUT_OF_ORDER: dict[str, tuple[dict[str, Any], str]] = {
    "lag": ({"lag": {"salesforce lead": HOUR}}, "salesforce lead was last read 60 minutes after it was due"),
    "silence": ({"silence": 3 * HOUR}, "no cycle has come to its end for 3 hours"),
    "errors": ({"writes": 100, "refused": 11}, "11 records were refused in the last hour, of 100 writes"),
    "budget": ({"budget": {"dynamics": 0.81}}, "81% of the day's calls to dynamics are used"),
    "guard": ({"guard": ["600 x create of lead"]}, "600 x create of lead"),
    "breaker": ({"breakers": {"dynamics": HOUR}}, "dynamics is in trouble and is left alone, for 60 minutes"),
    "other_writer": ({"other_writer": 3}, "3 records changed under crmbridge's own user"),
    "configuration": ({"configuration": 2}, "the files have 2 problems"),
    "paused": ({"paused": {"writes of lead": 49 * HOUR}}, "writes of lead is paused for 2 days"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_by_the_usual_rules_and_nothing_else_is(kind: str) -> None:
    facts, said = OUT_OF_ORDER[kind]
    (found,) = judge(DEFAULT, Facts(now=NOON, **facts))
    assert found.kind == kind
    assert said in found.message


def test_in_order_nothing_is_found() -> None:
    fine = Facts(
        now=NOON, lag={"x lead": timedelta(minutes=1)}, silence=timedelta(minutes=1), writes=1000, refused=3,
        budget={"x": 0.5}, breakers={"x": timedelta(seconds=30)}, paused={"writes of lead": HOUR},
    )  # fmt: skip
    assert judge(DEFAULT, fine) == []
    assert judge(DEFAULT, Facts(now=NOON, writes=5, refused=5)) == [], "a few writes say nothing about a share"


def test_a_rule_has_its_own_bound_and_its_own_channels() -> None:
    rules = [
        Rule(kind="lag", span=timedelta(minutes=10), to=("pager",)),
        Rule(kind="lag", span=timedelta(minutes=5), to=("mail",)),
    ]
    late = Facts(now=NOON, lag={"x lead": timedelta(minutes=7)})
    assert [one.to for one in judge(rules, late)] == [("mail",)]
    later = Facts(now=NOON, lag={"x lead": timedelta(minutes=11), "y lead": timedelta(minutes=6)})
    assert {one.key: one.to for one in judge(rules, later)} == {
        "lag:x lead": ("pager", "mail"),
        "lag:y lead": ("mail",),
    }


def test_it_is_told_once_again_after_a_while_and_when_it_is_over() -> None:
    facts = Facts(now=NOON, silence=3 * HOUR)
    known: list[Alarm] = []
    told: list[tuple[int, str]] = []
    for minute in range(0, 360, 20):
        now = NOON + timedelta(minutes=minute)
        found = judge(DEFAULT, facts) if minute <= 300 else []
        changes = decide(found, known, now, repeat=4 * HOUR)
        told += [(minute, change.event) for change in changes if change.event]
        known = [change.alarm for change in changes if change.alarm.over_at is None]
    assert told == [(0, "raised"), (240, "again"), (320, "over")]


def test_what_comes_back_is_told_anew() -> None:
    facts = Facts(now=NOON, silence=3 * HOUR)
    raised = decide(judge(DEFAULT, facts), [], NOON, repeat=4 * HOUR)
    over = decide([], [raised[0].alarm], NOON + HOUR, repeat=4 * HOUR)
    assert over[0].alarm.over_at == NOON + HOUR
    again = decide(judge(DEFAULT, facts), [], NOON + 2 * HOUR, repeat=4 * HOUR)
    assert again[0].event == "raised"


def test_what_is_sent_names_the_page_and_what_to_do() -> None:
    (change,) = decide(judge(DEFAULT, Facts(now=NOON, guard=["600 x create of lead"])), [], NOON, HOUR)
    body = alerts.body(change, NOON, "inst")
    assert body["page"] == "docs/howto/on-call/alerts.md#guard"
    assert body["what_to_do"] == "crmbridge plan"
    assert body["event"] == "raised"
