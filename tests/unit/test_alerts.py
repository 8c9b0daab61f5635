"""What is told and when: once when it begins, again after a while, once when it is over."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crmbridge import alerts
from crmbridge.alerts import DEFAULT, KINDS, Alarm, Away, Facts, Finding, Rule, decide, judge

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

# One state of affairs for each kind, and what is told of it.
OUT_OF_ORDER: dict[str, tuple[dict[str, Any], str]] = {
    "lag": ({"lag": {"salesforce lead": HOUR}}, "salesforce lead was last read 60 minutes after it was due"),
    "silence": ({"silence": 3 * HOUR}, "no cycle has come to its end for 3 hours"),
    "errors": ({"writes": 100, "refused": 11}, "11 records were refused in the last hour, of 100 writes"),
    "budget": ({"budget": {"dynamics": 0.81}}, "81% of the day's calls to dynamics are used"),
    "guard": ({"guard": ["600 x create of lead"]}, "600 x create of lead"),
    "breaker": ({"breakers": {"dynamics": HOUR}}, "dynamics is in trouble and is left alone, for 60 minutes"),
    "blocked": (
        {"blocked": {"dynamics": Away(span=20 * MINUTE, left=15 * MINUTE, why="0x80072322")}},
        "dynamics asks to be left alone (0x80072322), for 20 minutes by now, and for 15 minutes more",
    ),
    "store": ({"store": 7 * MINUTE}, "the store does not serve, for 7 minutes by now"),
    "broker": ({"broker": 7 * MINUTE}, "the broker does not answer, for 7 minutes by now"),
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


# --- one outage is one alert ----------------------------------------------------------------------------------------

TABLES = [f"{crm} {entity}" for crm in ("salesforce", "dynamics") for entity in ("account", "contact", "lead", "deal")]
AWAY = Away(span=5 * HOUR, left=15 * MINUTE, why="REQUEST_LIMIT_EXCEEDED")
# What is the matter -> the alarm that tells it.
OUTAGES: dict[str, dict[str, Any]] = {
    "breaker:dynamics": {"breakers": {"dynamics": 5 * HOUR}},
    "blocked:salesforce": {"blocked": {"salesforce": AWAY}},
    "budget:salesforce": {"budget": {"salesforce": 0.99}, "blocked": {"salesforce": AWAY}},
    "broker": {"broker": 5 * HOUR},
    "other_writer": {"other_writer": 3},
    "silence": {},  # nobody is there, or cycles fail
}


def told(found: list[Finding]) -> list[str]:
    return [change.alarm.key for change in decide(found, [], NOON, HOUR) if change.event]


@pytest.mark.parametrize("key", OUTAGES)
def test_an_outage_is_one_alert_that_names_what_follows_from_it(key: str) -> None:
    held_up = {"lag": dict.fromkeys(TABLES, 5 * HOUR), "silence": 5 * HOUR}
    found = judge(DEFAULT, Facts(now=NOON, **held_up, **OUTAGES[key]))
    assert told(found) == [key]
    (cause,) = (one for one in found if not one.under)
    assert "8 tables were not read for 5 hours" in cause.message
    assert "no cycle has come to its end for 5 hours" in cause.message


def test_from_its_beginning_to_its_end_an_outage_is_told_once_and_so_is_its_end() -> None:
    """Minute by minute: five hours of trouble, then the cycle that catches up takes another ten minutes."""
    known: dict[str, Alarm] = {}
    heard: list[tuple[int, str, str]] = []
    over_at: int | None = None
    for minute in range(360):
        now = NOON + minute * MINUTE
        trouble, behind = minute < 300, minute < 310
        facts = Facts(
            now=now,
            breakers={"dynamics": minute * MINUTE} if trouble else {},
            lag=dict.fromkeys(TABLES, minute * MINUTE) if behind else {},
            silence=minute * MINUTE if behind else None,
            calm=None if over_at is None else (minute - over_at) * MINUTE,
        )
        for change in decide(judge(DEFAULT, facts), list(known.values()), now, repeat=24 * HOUR):
            known[change.alarm.key] = change.alarm
            if change.event:
                heard.append((minute, change.event, change.alarm.key))
            if change.alarm.over_at is not None:
                del known[change.alarm.key]
                over_at = minute
    assert heard == [(6, "raised", "breaker:dynamics"), (300, "over", "breaker:dynamics")]


def test_two_crms_in_trouble_are_two_alerts() -> None:
    facts = Facts(
        now=NOON, breakers={"dynamics": HOUR, "salesforce": HOUR}, lag=dict.fromkeys(TABLES, HOUR), silence=2 * HOUR
    )
    assert told(judge(DEFAULT, facts)) == ["breaker:dynamics", "breaker:salesforce"]


def test_a_consequence_is_told_to_whom_its_cause_is_not() -> None:
    rules = [Rule(kind="breaker", to=("ops",)), Rule(kind="silence", to=("ops", "boss")), Rule(kind="lag", to=("ops",))]
    facts = Facts(now=NOON, breakers={"dynamics": HOUR}, lag=dict.fromkeys(TABLES, HOUR), silence=2 * HOUR)
    assert told(judge(rules, facts)) == ["breaker:dynamics", "silence"]
    assert told(judge(rules[1:], facts)) == ["silence"], "nobody is told of the breaker by these rules"


def test_what_was_told_before_its_cause_came_up_ends_when_it_ends() -> None:
    rules = [Rule(kind="lag", span=MINUTE), Rule(kind="breaker", span=HOUR)]
    late = Facts(now=NOON, lag={"dynamics lead": HOUR})
    (first,) = decide(judge(rules, late), [], NOON, HOUR)
    both = Facts(now=NOON, lag={"dynamics lead": 2 * HOUR}, breakers={"dynamics": 2 * HOUR})
    second = decide(judge(rules, both), [first.alarm], NOON + 2 * HOUR, HOUR)
    assert {change.alarm.key: change.event for change in second} == {
        "lag:dynamics lead": None,
        "breaker:dynamics": "raised",
    }
    third = decide([], [change.alarm for change in second], NOON + 3 * HOUR, HOUR)
    assert {change.alarm.key: change.event for change in third} == {
        "lag:dynamics lead": "over",
        "breaker:dynamics": "over",
    }


def test_trouble_that_goes_on_after_an_outage_is_told_after_the_usual_time() -> None:
    facts = Facts(now=NOON, lag={"dynamics lead": 9 * HOUR}, silence=9 * HOUR, calm=31 * MINUTE)
    assert told(judge(DEFAULT, facts)) == ["lag:dynamics lead"]


def test_a_table_that_is_late_by_itself_is_told_by_its_name() -> None:
    facts = Facts(now=NOON, lag={"dynamics lead": HOUR, "dynamics deal": HOUR}, silence=MINUTE)
    assert told(judge(DEFAULT, facts)) == ["lag:dynamics lead", "lag:dynamics deal"]


def test_few_calls_left_explain_late_tables_only_once_bulk_work_has_stopped() -> None:
    rules = [Rule(kind="budget", share=0.5), Rule(kind="lag", span=MINUTE)]
    early = Facts(now=NOON, budget={"dynamics": 0.6}, lag={"dynamics lead": HOUR})
    assert told(judge(rules, early)) == ["budget:dynamics", "lag:dynamics lead"]
    late = Facts(now=NOON, budget={"dynamics": 0.85}, lag={"dynamics lead": HOUR})
    assert told(judge(rules, late)) == ["budget:dynamics"]
