"""Checks that no mutant of mutants.py is for: each sees what it is there to see."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import false

from connectors.gate import Passage, Told
from connectors.http import Answer, Session
from crmbridge import plan as plans
from crmbridge.state import erase
from crmbridge.state.words import Intent
from crmbridge.sync import updates
from crmbridge.sync.limits import Keeper
from tests.simulation import faults
from tests.simulation.runner import simulate
from tests.simulation.simulation import Violation
from workers import schedule

LONG: Any = {"429": ({"fault": "throttled", "retry_after": 900},)}  # so that the next cycle comes within it


@pytest.mark.slow
def test_a_call_while_retry_after_runs_is_seen() -> None:
    with (
        patch.dict(faults.RULES, LONG),
        patch.object(Keeper, "_block_left", lambda self, limits: 0.0),
        patch.object(schedule, "resumes_at", lambda every: None),
        pytest.raises(Violation, match="I14"),
    ):
        simulate_some()


@pytest.mark.slow
def test_a_retry_after_at_a_login_that_nobody_heeds_is_seen() -> None:
    def unheeded(session: Session, answer: Answer, passage: Passage) -> Told:
        served = Told(trouble=f"HTTP {answer.status}" if answer.status >= 400 else "")
        return served if passage.login else said(session, answer, passage)

    said = Session._said
    with (
        patch.dict(faults.RULES, LONG),
        patch.object(Session, "_said", unheeded),
        pytest.raises(Violation, match="I14"),
    ):
        simulate_some()


def simulate_some() -> None:
    for seed in range(1, 9):
        simulate(seed, events=600, faults=("429",))


def test_a_plan_that_favours_a_side_is_seen() -> None:
    def left_first(*given: Any, **more: Any) -> plans.Verdict:
        verdict = decide(*given, **more)
        return replace(verdict, write=None) if verdict.write == "left" else verdict

    decide = plans.decide_field
    with patch.object(plans, "decide_field", left_first), pytest.raises(Violation, match="I15"):
        simulate(1, events=300, faults=())


@pytest.mark.parametrize("column", ["before", "after"])
def test_a_journal_that_tells_another_story_is_seen(column: str) -> None:
    def other_words(*given: Any, **more: Any) -> Intent:
        intent = noted(*given, **more)
        words = getattr(intent, column)
        return replace(intent, **{column: dict.fromkeys(words, "another")}) if intent.kind == "update" else intent

    noted = updates.new_intent
    with patch.object(updates, "new_intent", other_words), pytest.raises(Violation, match="I9"):
        simulate(1, events=300, faults=())


def test_a_person_who_is_half_erased_is_seen() -> None:
    def nothing(*given: Sequence[Any]) -> None:
        del given

    with (
        patch.object(erase, "_blot", nothing),
        patch.object(erase, "_own", lambda *given: false()),
        pytest.raises(Violation, match="I20"),
    ):
        simulate(1, events=100, faults=())
