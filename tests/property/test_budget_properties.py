"""Limits, for any sequence: never more than the rate and the burst, never during a block, shares in their order."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crmbridge.breaker import CLOSED, LOGINS_MAX, TROUBLES_MAX, Event, ask, report, state
from crmbridge.budget import MICROSECONDS, SHARES, Rate, Standing, forecast, left, may, next_look_at, take, used

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
rates = st.builds(Rate, per_second=st.floats(min_value=0.05, max_value=500, allow_nan=False), burst=st.integers(1, 50))
pauses = st.lists(st.integers(0, 3 * MICROSECONDS), min_size=1, max_size=120)


@given(rate=rates, pauses=pauses, wait_max=st.integers(0, 5 * MICROSECONDS))
def test_in_any_window_at_most_rate_times_window_and_the_burst(rate: Rate, pauses: list[int], wait_max: int) -> None:
    full_at, now = 0, 1_700_000_000 * MICROSECONDS
    sent: list[int] = []
    for pause in pauses:
        now += pause
        grant = take(full_at, now, rate, wait_max=wait_max)
        if grant.granted:
            assert grant.wait <= wait_max
            full_at = grant.full_at
            sent.append(now + grant.wait)
        else:
            assert grant.wait > wait_max
    assert sent == sorted(sent), "a later call overtook an earlier one"
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            window = (sent[last] - sent[first]) / MICROSECONDS
            assert last - first + 1 <= rate.per_second * window + rate.burst + 1e-6


@given(rate=rates, pauses=pauses)
def test_who_keeps_the_pace_never_waits(rate: Rate, pauses: list[int]) -> None:
    full_at, now = 0, 1_700_000_000 * MICROSECONDS
    for pause in pauses:
        now += rate.interval + pause
        grant = take(full_at, now, rate, wait_max=0)
        assert grant.granted
        assert grant.wait == 0
        full_at = grant.full_at


standings = st.builds(
    Standing,
    own=st.integers(0, 20_000),
    allowed=st.none() | st.integers(1, 20_000),
    told_used=st.none() | st.integers(0, 20_000),
    told_limit=st.none() | st.integers(1, 20_000),
    told_at=st.none() | st.integers(0, 7200).map(lambda seconds: NOON - timedelta(seconds=seconds)),
)


@given(standing=standings)
def test_bulk_stops_first_and_conversions_last(standing: Standing) -> None:
    allowed = {work: may(work, standing, NOON) for work in SHARES}
    assert allowed["life-cycle"] or not allowed["interactive"]
    assert allowed["interactive"] or not allowed["bulk"]
    pair = used(standing, NOON)
    for work, share in SHARES.items():
        assert allowed[work] == (pair is None or pair[0] < share * pair[1])
        assert (left(work, standing, NOON) == 0) == (not allowed[work])
    assert next_look_at(standing, NOON) > NOON


@given(own=st.integers(0, 20_000), hour=st.integers(1, 23))
def test_the_forecast_is_linear(own: int, hour: int) -> None:
    at = NOON.replace(hour=hour)
    told = forecast(Standing(own=own, allowed=1000), at)
    assert told is not None
    assert abs(told - own * 24 / hour) <= 1


events = st.sampled_from(["served", "trouble", "login served", "login failed"])


@given(steps=st.lists(st.tuples(events, st.integers(0, 400), st.sampled_from(["one", "two"]), st.booleans())))
def test_an_open_breaker_lets_nothing_through_and_a_half_open_one_reader(
    steps: list[tuple[Event, int, str, bool]],
) -> None:
    breaker, at = CLOSED, NOON
    prober: str | None = None
    for event, seconds, who, reads in steps:
        at += timedelta(seconds=seconds)
        before = state(breaker, at)
        breaker, verdict = ask(breaker, at, who=who, reads=reads)
        if before == "open":
            assert not verdict.go
        if before == "half-open" and verdict.go:
            assert reads
            prober = who
            assert breaker.prober == prober
        if verdict.go:
            breaker = report(breaker, at, event, "x")
        assert breaker.troubles < TROUBLES_MAX
        assert breaker.logins < LOGINS_MAX
