"""The breaker: what opens it, how long it stays open, who may look."""

from datetime import UTC, datetime, timedelta

import pytest

from crmbridge.breaker import CLOSED, PAUSES, PROBE_SECONDS, Breaker, Event, ask, report, state

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def happened(*events: Event, at: datetime = START, breaker: Breaker = CLOSED) -> Breaker:
    for event in events:
        breaker = report(breaker, at, event, "HTTP 503")
    return breaker


def test_five_troubles_in_a_row_open_it_and_four_do_not() -> None:
    assert state(happened(*["trouble"] * 4), START) == "closed"
    five = happened(*["trouble"] * 5)
    assert state(five, START) == "open"
    assert five.until == after(30)
    assert five.cause == "HTTP 503"


def test_an_answer_in_between_starts_the_count_again() -> None:
    assert state(happened(*["trouble"] * 4, "served", *["trouble"] * 4), START) == "closed"


def test_three_failed_logins_open_it() -> None:
    assert state(happened("login failed", "login failed"), START) == "closed"
    assert state(happened("login failed", "login failed", "login failed"), START) == "open"
    assert state(happened("login failed", "login failed", "login served", "login failed"), START) == "closed"


def test_open_nobody_calls_and_afterwards_one_reads() -> None:
    breaker = happened(*["trouble"] * 5)
    same, verdict = ask(breaker, after(29), who="one", reads=True)
    assert (same, verdict.go, verdict.until) == (breaker, False, after(30))
    _, write = ask(breaker, after(30), who="one", reads=False)
    assert not write.go
    looking, first = ask(breaker, after(30), who="one", reads=True)
    assert first.go
    _, second = ask(looking, after(31), who="two", reads=True)
    assert not second.go
    _, late = ask(looking, after(30 + PROBE_SECONDS), who="two", reads=True)  # the first one died over it
    assert late.go


def test_the_read_that_serves_closes_it_and_the_one_that_fails_opens_it_for_longer() -> None:
    breaker, at = happened(*["trouble"] * 5), START
    for pause in [*PAUSES[1:], PAUSES[-1]]:
        assert breaker.until is not None
        at = breaker.until
        looking, verdict = ask(breaker, at, who="one", reads=True)
        assert verdict.go
        assert report(looking, at, "served") == CLOSED
        breaker = report(looking, at, "trouble", "HTTP 503")
        assert breaker.until == at + timedelta(seconds=pause)
    served = report(breaker, breaker.until, "served")
    again = happened(*["trouble"] * 5, at=at, breaker=served)
    assert again.until == at + timedelta(seconds=PAUSES[0])


@pytest.mark.parametrize("event", ["served", "trouble", "login failed", "login served"])
def test_what_was_on_its_way_when_it_opened_changes_nothing(event: Event) -> None:
    breaker = happened(*["trouble"] * 5)
    assert report(breaker, after(1), event) == breaker
