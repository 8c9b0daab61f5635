"""A store that was put back from a backup, and a second installation: nothing is doubled, and people are told."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crmbridge.errors import GuardError
from crmbridge.model import ENTITIES, SIDES
from crmbridge.sync.foreign import CAUSE
from crmbridge.sync.relink import LOST_PARTNER, Relinked
from tests.support.engine import US, Bench, bench, wanted
from tests.support.postgres import Cluster


class Sqlite:
    """A store in a file; a backup is a copy of it."""

    def __init__(self, file: Path) -> None:
        self.url, self._file = f"sqlite:///{file}", file

    def new(self) -> str:
        return f"sqlite:///{self._file.with_name('second.sqlite3')}"

    def back_up(self) -> None:
        with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(self._copy)) as target:
            source.backup(target)

    def put_back(self) -> None:
        for old in self._file.parent.glob(f"{self._file.name}*"):
            old.unlink()
        self._file.write_bytes(self._copy.read_bytes())

    @property
    def _copy(self) -> Path:
        return self._file.with_suffix(".backup")


class PostgreSQL:
    """A store in a database; a backup is a dump, and here a database made from it as a template."""

    def __init__(self, cluster: Cluster) -> None:
        self.url, self._cluster = cluster.new_database(), cluster
        self._name = urlsplit(self.url).path.removeprefix("/")

    def new(self) -> str:
        return self._cluster.new_database()

    def back_up(self) -> None:
        self._copy(self._name, f"{self._name}_backup")

    def put_back(self) -> None:
        self._cluster.run(f"DROP DATABASE {self._name} WITH (FORCE)")
        self._copy(f"{self._name}_backup", self._name)

    def _copy(self, name: str, to: str) -> None:
        self._cluster.run(f"CREATE DATABASE {to} TEMPLATE {name}")


Kept = Sqlite | PostgreSQL


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "sqlite":
        return Sqlite(tmp_path / "state.sqlite3")
    return PostgreSQL(request.getfixturevalue("postgres_cluster"))


@pytest.fixture
def desk(kept: Kept) -> Iterator[Bench]:
    with bench(kept.url) as made:
        yield made
        made.store.close()  # it may be another one by now


def back_up(desk: Bench, kept: Kept) -> None:
    desk.store.close()  # a database is copied while nobody is connected
    kept.back_up()
    _open(desk, kept)


def put_back(desk: Bench, kept: Kept) -> None:
    desk.store.close()
    kept.put_back()
    _open(desk, kept)


def _open(desk: Bench, kept: Kept) -> None:
    desk.store = desk.engine.store = desk.open_store(kept.url)


def living(desk: Bench) -> Counter[tuple[str, str]]:
    return Counter({(side, entity): len(desk.crm(side).live(entity)) for side in SIDES for entity in ENTITIES})


def relinked(desk: Bench) -> Relinked:
    return desk.engine.relink(by="ada", why="restored")


def test_after_a_restore_nothing_is_written_until_what_was_made_is_found_again(desk: Bench, kept: Kept) -> None:
    desk.lead_pair()
    desk.deal_pair()
    left, _ = desk.lead_pair(last_name="Converted", company="Later Ltd", email="c@later.example")
    back_up(desk, kept)

    new_left = desk.north.add("lead", last_name="New", company="North Ltd", email="new@north.example")
    new_right = desk.south.add("lead", last_name="New", company="South Ltd", email="new@south.example")
    account = desk.north.add("account", name="Fresh Customer", city="Ulm")
    deal = desk.north.add("opportunity", name="Fresh deal", account_id=account)
    desk.north.convert_lead(left)
    desk.settled()
    before, written = living(desk), [len(desk.crm(side).ours) for side in SIDES]
    partners = desk.must(new_left, "lead"), desk.must(new_right, "lead", "right"), desk.must(deal, "opportunity")

    put_back(desk, kept)
    with pytest.raises(GuardError) as told:
        desk.sync()
    assert told.value.code == CAUSE
    assert "relink" in told.value.fix
    with pytest.raises(GuardError):  # nor the next time: what was seen is remembered
        desk.sync()
    assert [len(desk.crm(side).ours) for side in SIDES] == written

    done = relinked(desk)
    assert done.held == []
    assert done.released
    assert (
        desk.must(new_left, "lead"),
        desk.must(new_right, "lead", "right"),
        desk.must(deal, "opportunity"),
    ) == partners
    desk.settled()
    assert living(desk) == before, "something was made a second time"
    assert [len(desk.crm(side).ours) for side in SIDES] == written, "what was in step was written to again"
    assert not wanted(desk.engine.plan())
    assert desk.issues(CAUSE) == []


def test_what_was_deleted_since_the_backup_is_not_made_again(desk: Bench, kept: Kept) -> None:
    desk.lead_pair()
    back_up(desk, kept)
    left = desk.north.add("lead", last_name="Gone", company="Gone Ltd", email="gone@example.com")
    other = desk.north.add("lead", last_name="Stays", company="Stays Ltd", email="stays@example.com")
    desk.settled()
    desk.south.delete("lead", desk.must(left, "lead"))
    desk.settled()
    before = living(desk)

    put_back(desk, kept)
    with pytest.raises(GuardError):
        desk.sync()
    relinked(desk)
    desk.settled()
    assert living(desk) == before
    assert desk.partner("left", "lead", left) is None
    assert desk.must(other, "lead")


def test_a_restore_without_writes_since_the_backup_needs_nothing(desk: Bench, kept: Kept) -> None:
    left, right = desk.lead_pair()
    back_up(desk, kept)
    desk.north.edit("lead", left, city="Bonn")
    put_back(desk, kept)
    desk.settled()
    assert desk.south.read("lead", right)["city"] == "Bonn"


def test_what_our_user_made_and_has_no_partner_waits_for_a_person(desk: Bench) -> None:
    desk.lead_pair()
    alone = desk.north.add("lead", by=US, last_name="Alone", company="Alone Ltd", email="alone@example.com")
    with pytest.raises(GuardError):
        desk.sync()
    done = relinked(desk)
    assert [(issue.cause, issue.native_id) for issue in done.held] == [(LOST_PARTNER, alone)]
    desk.settled()
    assert desk.partner("left", "lead", alone) is None
    (issue,) = desk.issues(LOST_PARTNER)
    assert issue.id is not None
    desk.store.release_issues([issue.id], "ada", "it is a real lead")
    desk.settled()
    assert desk.must(alone, "lead")


def test_a_second_installation_is_noticed_and_writing_stops(desk: Bench, kept: Kept) -> None:
    left, right = desk.lead_pair()
    second = desk.open_store(kept.new())
    try:
        rival = replace(desk.engine, store=second)
        rival.sync(approve_all=True)
        desk.north.add("lead", last_name="Rival", company="Rival Ltd", email="r@rival.example")
        rival.sync(approve_all=True)  # makes the partner before we look
        written = len(desk.south.ours)
        with pytest.raises(GuardError, match="this store knows nothing of it"):
            desk.sync()
        assert len(desk.south.ours) == written
        assert {issue.side for issue in desk.issues(CAUSE)} == {"right"}
        assert desk.engine.plan().dry  # looking is allowed
    finally:
        second.close()
    for issue in desk.issues(CAUSE):
        assert issue.id is not None
        desk.store.close_issue(issue.id, "ada", "the other one is stopped")
    desk.settled()
    assert len(desk.south.live("lead")) == 2
    assert desk.must(left, "lead") == right


def test_an_edit_of_a_second_installation_is_noticed(desk: Bench) -> None:
    _, right = desk.lead_pair()
    _days_later(desk)
    desk.south.edit("lead", right, by=US, city="Rome")
    with pytest.raises(GuardError):
        desk.sync()


def test_on_the_day_of_the_first_run_it_is_known_by_what_it_writes(desk: Bench) -> None:
    """Both have the same store, and each has just written to everything there is."""
    left, right = desk.lead_pair()
    desk.north.edit("lead", left, city="Bonn")
    desk.settled()
    assert desk.south.read("lead", right)["city"] == "Bonn"
    desk.north.edit("lead", left, rating="hot")
    desk.south.edit("lead", right, by=US, rating="hot")  # the other one was quicker
    with pytest.raises(GuardError):
        desk.sync()
    assert [(issue.side, issue.native_id) for issue in desk.issues(CAUSE)] == [("right", right)]


def test_so_it_is_where_it_writes_to_what_is_read_first(desk: Bench) -> None:
    left, right = desk.lead_pair()
    desk.south.edit("lead", right, city="Bonn")
    desk.settled()
    desk.south.edit("lead", right, rating="hot")
    desk.north.edit("lead", left, by=US, rating="hot")
    with pytest.raises(GuardError):
        desk.sync()


def test_so_it_is_below_a_record_that_we_wrote_to(desk: Bench) -> None:
    """The deal itself was never written to; its account was."""
    desk.deal_pair()
    (deal,) = desk.south.live("opportunity")
    (account,) = desk.north.live("account")
    (mine,) = desk.north.live("opportunity")
    _days_later(desk)
    desk.north.edit("account", account.id, city="Bonn")
    desk.settled()
    desk.north.edit("opportunity", mine.id, description="big")
    desk.south.edit("opportunity", deal.id, by=US, description="big")
    with pytest.raises(GuardError):
        desk.sync()
    assert [(issue.side, issue.native_id) for issue in desk.issues(CAUSE)] == [("right", deal.id)]


@pytest.mark.parametrize(
    "case", ["an automation in our write's moment", "its own value", "before the partner", "what we sent before"]
)
def test_what_may_have_another_reason_raises_no_alarm(desk: Bench, case: str) -> None:
    """Two automations alike, one on each side: theirs may come to the same value before we have seen either."""
    left, right = desk.lead_pair()
    desk.north.edit("lead", left, city="Bonn")
    desk.settled()
    (row,) = [one for one in desk.south.live("lead") if one.id == right]
    if case == "an automation in our write's moment":
        at = row.modified_at + timedelta(minutes=2)
        desk.south.edit("lead", right, by=US, rating="hot")
        desk.north.edit("lead", left, rating="hot")
        row.modified_at = at
        desk.north.tables["lead"][left].modified_at = at - timedelta(seconds=1)
    elif case == "its own value":
        desk.north.edit("lead", left, rating="hot")
        desk.south.edit("lead", right, by=US, rating="warm")
    elif case == "before the partner":
        desk.south.edit("lead", right, by=US, rating="hot")
        desk.north.edit("lead", left, rating="hot")
    else:  # the same value again, as a write of ours had it that lands late
        desk.north.edit("lead", left, city="Rome")
        desk.settled()
        desk.north.edit("lead", left, city="Bonn")
        desk.south.edit("lead", right, by=US, city="Bonn")
    desk.sync()
    assert desk.issues(CAUSE) == []


def test_people_and_automations_raise_no_alarm(desk: Bench) -> None:
    left, right = desk.lead_pair()
    desk.north.edit("lead", left, city="Bonn")
    desk.settled()
    desk.south.edit("lead", right, by=US, rating="hot")  # a flow that our own write set off
    desk.south.edit("lead", right, by=US)  # nothing that is mapped
    desk.settled()
    assert desk.issues(CAUSE) == []
    assert desk.north.read("lead", left)["rating"] == "hot"


def test_what_a_deletion_empties_elsewhere_raises_no_alarm(desk: Bench) -> None:
    """The CRM empties what named the record, and leaves the stamp of whoever saved the row last: ours."""
    left, right = desk.lead_pair()
    desk.north.convert_lead(left)
    desk.settled()
    (account,) = desk.south.live("account")
    (contact,) = desk.south.live("contact")
    assert account.modified_by == contact.modified_by == US
    desk.south.delete("lead", right)
    desk.south.edit("account", account.id, by=US, lead_id=None)
    desk.south.edit("contact", contact.id, by=US, lead_id=None)
    desk.settled()
    assert desk.issues(CAUSE) == []

    _days_later(desk)
    desk.south.delete("account", account.id)
    desk.south.edit("contact", contact.id, by=US, account_id=None)
    desk.settled()
    assert desk.issues(CAUSE) == []


def test_a_link_that_leads_elsewhere_is_a_change(desk: Bench) -> None:
    desk.deal_pair()
    (deal,) = desk.south.live("opportunity")
    other = desk.south.add("account", name="Other Customer", city="Bonn")
    desk.settled()
    _days_later(desk)
    desk.south.edit("opportunity", deal.id, by=US, account_id=other)
    with pytest.raises(GuardError):
        desk.sync()


def _days_later(desk: Bench) -> None:
    with desk.store._database.writing("test") as connection:  # pyright: ignore[reportPrivateUsage] - as if days had passed
        connection.exec_driver_sql("UPDATE intent SET sent_at = '2020-01-01T00:00:00.000000+00:00'")
