"""Schedules keep their promises at any time of any year, on the days on which clocks are moved above all."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge import schedule
from crmbridge.model import ENTITIES
from crmbridge.schedule import DAYS, Rhythm, Turn, is_open, next_due, next_open

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata"]
# Around the days on which these clocks are moved, and any day.
MOVED = [datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1))]
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)

moments = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from(MOVED) | st.integers(0, 2200).map(lambda days: EPOCH + timedelta(days=days)),
    st.integers(-2000, 2000),
)
hours = st.builds(
    lambda days, begin, end, zone: schedule.Hours(days=frozenset(days), begin=begin, end=end, zone=zone),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.sampled_from(ZONES),
)
rhythms = st.builds(
    lambda every, idle, open_: Rhythm(
        every=timedelta(seconds=every), idle=None if idle is None else timedelta(seconds=idle), hours=open_
    ),
    st.integers(1, 86400),
    st.none() | st.integers(1, 86400),
    st.none() | hours,
)


@given(hours, moments)
@settings(max_examples=300, deadline=None)
def test_the_next_time_within_the_hours_is_the_first_one(open_: schedule.Hours, at: datetime) -> None:
    found = next_open(open_, at)
    assert found >= at
    assert is_open(open_, found)
    minute, end = at, min(found, at + timedelta(days=3))
    while minute < end:
        assert not is_open(open_, minute), f"{minute} is within the hours and was passed over"
        minute += timedelta(minutes=1)


@given(rhythms, moments, st.integers(0, 100))
@settings(deadline=None)
def test_it_is_due_after_the_pause_and_within_the_hours(rhythm: Rhythm, at: datetime, quiet: int) -> None:
    due = next_due(rhythm, Turn(at=at, quiet=quiet), at)
    assert due >= at + rhythm.every
    assert is_open(rhythm.hours, due)
    if rhythm.hours is None:
        assert due <= at + max(rhythm.every, rhythm.idle or rhythm.every)


@given(rhythms, moments)
def test_the_pause_grows_while_nothing_happens_and_is_short_again_afterwards(rhythm: Rhythm, at: datetime) -> None:
    pauses = [schedule.pause_after(rhythm, quiet) for quiet in range(40)]
    assert pauses == sorted(pauses)
    assert pauses[0] == rhythm.every
    assert pauses[-1] == max(rhythm.every, rhythm.idle or rhythm.every)


@given(st.sampled_from(ZONES), moments, st.integers(0, 23), st.integers(0, 59))
@settings(deadline=None)
def test_a_daily_time_comes_once_on_every_day(zone: str, at: datetime, hour: int, minute: int) -> None:
    rhythm = Rhythm(cron=schedule.read_cron(f"{minute} {hour} * * * {zone}"))
    days, turn = [], Turn(at=at)
    for _ in range(5):
        due = next_due(rhythm, turn, at)
        assert due > turn.at
        days.append(due.astimezone(ZoneInfo(zone)).date())
        turn = Turn(at=due)
    assert [days[0] + timedelta(days=n) for n in range(5)] == days


@given(st.sets(st.sampled_from(ENTITIES)), moments)
def test_parents_come_along_and_nothing_else_does(wanted: set[str], at: datetime) -> None:
    rhythm = Rhythm(every=timedelta(hours=1))
    turns = {entity: Turn(at=at - timedelta(hours=2 if entity in wanted else 0)) for entity in ENTITIES}
    found = schedule.batch(dict.fromkeys(ENTITIES, rhythm), turns, at)
    assert set(wanted) <= set(found.sync)
    assert found.sync == found.read
    extra = set(found.sync) - wanted
    assert all(any(one in schedule.PARENTS[child] for child in wanted) for one in extra)


# --- examples -------------------------------------------------------------------------------------------------------


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))


def test_a_parent_outside_its_hours_is_read_and_not_written() -> None:
    night = datetime(2026, 3, 2, 2, tzinfo=UTC)
    rhythms = {
        "account": Rhythm(hours=schedule.read_hours("mon-fri 8:00-18:00 UTC")),
        "contact": Rhythm(every=timedelta(hours=1)),
        "opportunity": Rhythm(),
    }
    turns = {entity: Turn(at=night - timedelta(minutes=5)) for entity in ENTITIES}
    found = schedule.batch(rhythms, turns, night)
    assert found.sync == ("contact", "opportunity")
    assert found.read == ("account", "contact", "opportunity")
    assert schedule.batch({"account": rhythms["account"]}, {}, night).sync == (), "it is due, and not now"


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = schedule.read_hours("fri 22:00-6:00 Europe/Berlin")
    assert is_open(night, berlin("2026-01-09T23:00"))
    assert is_open(night, berlin("2026-01-10T05:59"))
    assert not is_open(night, berlin("2026-01-10T06:00"))
    assert not is_open(night, berlin("2026-01-09T05:00"))


def test_an_hour_that_the_clock_skips_begins_when_it_has_jumped() -> None:
    early = schedule.read_hours("mon-sun 2:30-4:00 Europe/Berlin")
    assert next_open(early, berlin("2026-03-29T00:00")) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    never = schedule.read_hours("mon-sun 2:10-2:50 Europe/Berlin")
    assert next_open(never, berlin("2026-03-29T00:00")) == berlin("2026-03-30T02:10")
    cron = Rhythm(cron=schedule.read_cron("30 2 * * * Europe/Berlin"))
    assert next_due(cron, Turn(at=berlin("2026-03-29T00:00")), berlin("2026-03-29T00:00")) <= berlin("2026-03-29T03:30")


def test_what_was_missed_is_made_up_once() -> None:
    cron, long_ago = Rhythm(cron=schedule.read_cron("0 * * * *")), datetime(2026, 3, 1, tzinfo=UTC)
    now = long_ago + timedelta(days=3, minutes=5)
    assert next_due(cron, Turn(at=long_ago), now) <= now
    assert next_due(cron, Turn(at=now), now) == long_ago + timedelta(days=3, hours=1)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (schedule.read_span, "5", "30 seconds, 5 minutes"),
        (schedule.read_span, "0 minutes", "its unit"),
        (schedule.read_hours, "8-18", "mon-fri 8:00-18:00"),
        (schedule.read_hours, "mon-fri 8:00-25:00 UTC", "no clock shows"),
        (schedule.read_hours, "mon-fry 8:00-9:00 UTC", "is none of mon, tue"),
        (schedule.read_hours, "mon-fri 8:00-18:00 Europe/Berlinn", "zone that is not known"),
        (schedule.read_cron, "every day", "five fields"),
        (schedule.read_cron, "61 * * * *", "bad minute"),
        (schedule.read_cron, "0 0 30 2 *", "day-of-month"),
    ],
)
def test_a_mistake_says_how_it_is_written(read: object, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(text)  # type: ignore[operator]


def test_days_may_go_over_the_weekend() -> None:
    assert schedule.read_hours("fri-mon 0:00-24:00 UTC").days == {4, 5, 6, 0}
    assert len(DAYS) == 7
