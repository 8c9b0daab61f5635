"""A record that is refused: when it is tried again, when not any more, and what releases it (reliability §8)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from crmbridge.errors import LeftAlone
from crmbridge.state.issues import BACKOFF_SECONDS, backoff
from crmbridge.state.schema import issue
from crmbridge.state.words import Issue
from crmbridge.sync.limits import Keeper
from tests.support.engine import Bench, Fell, Lie, bench


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        made.engine.stamp = "first"
        yield made


class Refusing:
    """South refuses every update of a lead, and counts them."""

    def __init__(self, desk: Bench, lie: Lie = "refuse", cause: str = "RULE") -> None:
        self.desk, self.times, self.cause = desk, 0, cause
        self.lie: Lie | None = lie
        self.lead = desk.lead_pair(phone="1")[0]
        desk.south.lies = lambda kind, entity, native: self._lie(kind, entity)
        desk.north.edit("lead", self.lead, phone="2")

    def _lie(self, kind: str, entity: str) -> Lie | None:
        if (kind, entity) == ("update", "lead"):
            self.times += 1
            return self.lie
        return None

    def tries(self, syncs: int = 2) -> int:
        before = self.times
        for _ in range(syncs):
            self.desk.sync()
        return self.times - before

    def issue(self) -> Issue:
        [one] = self.desk.issues(self.cause)
        return one

    def is_due(self) -> None:
        self.put(next_try_at=self.desk.store.now() - timedelta(seconds=1))

    def put(self, **values: object) -> None:
        with self.desk.store._database.writing("test") as connection:
            connection.execute(update(issue).where(issue.c.id == self.issue().id).values(**values))


def test_waits_grow_and_differ_by_record_yet_are_the_same_each_time() -> None:
    for attempt, seconds in enumerate(BACKOFF_SECONDS, 1):
        waits = {backoff(attempt, f"record {n}") for n in range(50)}
        assert len(waits) > 40
        assert all(wait is not None and 0.8 * seconds <= wait.total_seconds() <= 1.2 * seconds for wait in waits)
    assert backoff(7, "record") is None
    assert backoff(3, "record") == backoff(3, "record")


def test_seven_refusals_and_then_a_person_is_needed(desk: Bench) -> None:
    record = Refusing(desk)
    assert record.tries() == 1
    for attempt in range(2, 8):
        assert record.issue().kind == "failed"
        record.is_due()
        assert record.tries() == 1, "each time once"
        assert record.issue().attempts == attempt
    assert (record.issue().kind, record.issue().next_try_at) == ("held", None)
    assert record.tries(4) == 0, "held, and sent again unchanged"


def held(desk: Bench) -> Refusing:
    record = Refusing(desk)
    record.tries(1)
    record.put(kind="held", attempts=7, next_try_at=None)
    assert record.tries() == 0
    return record


def test_a_person_releases_it(desk: Bench) -> None:
    record = held(desk)
    desk.store.release_issues(None, "ada", "the rule is gone")
    assert record.tries() == 1


def test_a_newer_edit_releases_it(desk: Bench) -> None:
    record = held(desk)
    desk.north.edit("lead", record.lead, phone="3")
    assert record.tries() == 1
    assert record.issue().attempts == 1, "something else was refused: the count starts again"


def test_another_mapping_or_other_columns_release_it(desk: Bench) -> None:
    record = held(desk)
    desk.engine.stamp = "second"
    assert record.tries() == 1
    assert record.issue().attempts == 1


# --- values that are not taken --------------------------------------------------------------------------------------


def values_refused(desk: Bench) -> Refusing:
    record = Refusing(desk, "refuse values", "VALUES")
    assert record.tries() == 1
    return record


def test_values_that_are_not_taken_are_sent_once(desk: Bench) -> None:
    """However often it is looked at: one call, and no time at which it is due; what may pass takes seven."""
    record = values_refused(desk)
    assert (record.issue().kind, record.issue().attempts, record.issue().next_try_at) == ("failed", 1, None)
    assert "sent again by itself" in record.issue().fix
    assert record.tries(8) == 0
    assert desk.store.open_issues(due=True) == []
    assert record.issue().attempts == 1


def test_other_values_are_sent_at_once(desk: Bench) -> None:
    record = values_refused(desk)
    desk.north.edit("lead", record.lead, phone="3")
    assert record.tries(4) == 1
    assert record.issue().attempts == 1
    record.lie = None
    desk.north.edit("lead", record.lead, phone="4")
    desk.settled()
    assert desk.south.read("lead", desk.must(record.lead, "lead"))["phone"] == "4"
    assert desk.issues() == []


def test_values_are_sent_again_once_the_record_that_refused_them_was_edited(desk: Bench) -> None:
    """A rule may want a field there that is not among what is sent."""
    record = values_refused(desk)
    desk.south.edit("lead", desk.must(record.lead, "lead"))
    assert record.tries(4) == 1


def test_values_are_sent_again_under_another_mapping_or_with_other_columns_there(desk: Bench) -> None:
    record = values_refused(desk)
    desk.engine.stamp = "second"
    assert record.tries(4) == 1


def test_values_are_sent_again_at_a_persons_word_once(desk: Bench) -> None:
    """As after a rule was changed, which no reading tells."""
    record = values_refused(desk)
    for _ in range(3):
        desk.store.release_issues(None, "ada", "the rule was changed")
        assert record.tries(4) == 1
    record.lie = None
    desk.store.release_issues(None, "ada", "the rule is gone")
    desk.settled()
    assert desk.south.read("lead", desk.must(record.lead, "lead"))["phone"] == "2"
    assert desk.issues() == []


def test_a_create_and_a_conversion_whose_values_are_not_taken_are_sent_once(desk: Bench) -> None:
    converted = desk.lead_pair()[0]
    times: list[str] = []

    def refusing(kind: str, entity: str, native: str | None) -> Lie | None:
        times.append(f"{kind} {entity}")
        return "refuse values"

    desk.south.lies = refusing
    desk.north.add("lead", last_name="New", company="New Ltd", email="new@example.com")
    desk.north.convert_lead(converted)
    for _ in range(6):
        desk.sync()
    assert sorted(times) == ["convert lead", "create lead"]
    assert [(one.entity, one.next_try_at) for one in desk.issues("VALUES")] == [("lead", None)] * 2


def test_a_crm_that_is_left_alone_costs_no_record_a_try(desk: Bench) -> None:
    lead = desk.lead_pair(phone="1")[0]
    desk.engine.keepers = {side: Keeper(store=desk.store, name=name) for side, name in desk.engine.names.items()}
    desk.north.edit("lead", lead, phone="2")
    desk.south.lies = lambda kind, entity, native: "later" if kind == "update" else None
    desk.sync()
    assert desk.issues() == []
    desk.store.block_calls("south", 600, "429")
    with pytest.raises(LeftAlone):
        desk.sync()
    assert desk.issues() == []
    assert desk.store.open_intents() == []


def test_what_was_refused_is_not_told_as_done(desk: Bench) -> None:
    """Of two updates of one batch one is refused: what was written and what was not are told apart, by the run and
    in the list of runs."""
    record = Refusing(desk)
    other = desk.lead_pair(email="b@b.example", last_name="Other")[0]
    refusing = desk.south.lies
    theirs = desk.must(record.lead, "lead")
    desk.south.lies = lambda kind, entity, native: refusing(kind, entity, native) if native == theirs else None
    desk.store.release_issues(None, "ada", "both at once")
    desk.north.edit("lead", other, phone="3", city=None)
    ran = desk.sync()
    assert ran.counts == {("south", "lead", "update"): 1}
    assert ran.unwritten == {("south", "lead", "update", "refused"): 1}
    newest = desk.store.runs(limit=1)[0]
    assert newest.counts == {"south": {"lead": {"update": 1}}}
    assert newest.unwritten == {"south": {"lead": {"update": {"refused": 1}}}}


def test_a_plan_has_written_nothing_and_a_failed_run_what_it_wrote(desk: Bench) -> None:
    leads = [desk.lead_pair(email=f"{n}@b.example", last_name=f"No {n}")[0] for n in range(2)]
    for number, lead in enumerate(leads):
        desk.north.edit("lead", lead, phone=str(number))
    assert desk.engine.plan().counts == {("south", "lead", "update"): 2}
    assert desk.store.runs(limit=1)[0].counts == {}
    desk.south.batch_size = 1
    lies: list[Lie | None] = [None, "fall before"]
    falls = iter(lies)
    desk.south.lies = lambda kind, entity, native: next(falls, None) if kind == "update" else None
    with pytest.raises(Fell):
        desk.sync()
    assert desk.store.runs(limit=1)[0].counts == {"south": {"lead": {"update": 1}}}
