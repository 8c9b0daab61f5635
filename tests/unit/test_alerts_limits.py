"""A CRM that stays away for long is told; a person may lift it; a store that is away is told by those who miss it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from crmbridge import budget
from crmbridge.errors import OutsideError
from crmbridge.state import schema
from crmbridge.state.store import Store
from tests.unit.test_alerting import SECRET, Hook, hook, settings, store, with_hook
from workers import alerting, outage, own_broker

__all__ = ["hook", "store"]  # fixtures

QUARTER = 900.0
WHY = "REQUEST_LIMIT_EXCEEDED"


def events(hook: Hook) -> list[tuple[str, str]]:
    return [(body["event"], body["alarm"]) for body in (json.loads(content) for _, content in hook.taken)]


def look(store: Store, given: Any) -> None:
    alerting.look(store, given)
    alerting.send_due(store, given)


def earlier(store: Store, name: str, by: timedelta) -> None:
    """As if its block had been asked for so much earlier."""
    since = store.blocked_since(name)
    assert since is not None
    until = store.limits(name).blocked_until
    assert until is not None
    store.set_meta(f"blocked_since:{name}", (since - by).isoformat())
    with store._database.writing("test") as connection:
        connection.execute(
            update(schema.budget).where(schema.budget.c.connection == name).values(blocked_until=until - by)
        )


# --- blocked for long -----------------------------------------------------------------------------------------------


def test_blocks_that_follow_each_other_are_one_alert_and_a_cycle_ends_it(
    tmp_path: Path, store: Store, hook: Hook
) -> None:
    given = with_hook(tmp_path, hook)
    store.block_calls("salesforce", QUARTER, WHY)
    look(store, given)
    assert events(hook) == [], "a quarter of an hour is nothing to wake somebody for"
    for _ in range(3):  # it ends, the next call is told the same
        earlier(store, "salesforce", timedelta(minutes=16))
        look(store, given)
        store.block_calls("salesforce", QUARTER, WHY)
        look(store, given)
    assert events(hook) == [("raised", "blocked:salesforce")]
    body = json.loads(hook.taken[0][1])
    assert WHY in body["message"]
    assert body["page"] == "docs/howto/on-call/alerts.md#blocked"
    assert body["what_to_do"] == "crmbridge limits"
    earlier(store, "salesforce", timedelta(minutes=16))
    look(store, given)
    assert events(hook) == [("raised", "blocked:salesforce")], "nobody has called yet, so it is not over"
    run = store.start_run("sync")
    store.end_run(run.id, "done")
    look(store, given)
    assert events(hook)[1:] == [("over", "blocked:salesforce")]
    store.block_calls("salesforce", QUARTER, WHY)
    look(store, given)
    assert len(events(hook)) == 2, "that is a new one, and short as yet"


def test_a_long_retry_after_is_told_at_once(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook)
    store.block_calls("dynamics", 7200, "0x80072322")
    look(store, given)
    assert events(hook) == [("raised", "blocked:dynamics")]
    assert "for 119 minutes more" in json.loads(hook.taken[0][1])["message"]


def test_the_bound_can_be_set(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook, "  rules: [{when: blocked, over: 5 minutes}]\n")
    store.block_calls("salesforce", QUARTER, WHY)
    look(store, given)
    assert events(hook) == [("raised", "blocked:salesforce")]


# --- a person lifts it ----------------------------------------------------------------------------------------------


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    from crmbridge.cli.error_handler import run

    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("SECRET", "x")
    settings(tmp_path, "")

    def say(*words: str, code: int = 0) -> str:
        assert run(["--config", str(tmp_path / "crmbridge.yaml"), *words]) == code
        told = capsys.readouterr()
        return told.out + told.err

    return say


def stores(tmp_path: Path) -> Store:
    from crmbridge.settings import load

    return Store.open(load(tmp_path / "crmbridge.yaml").store_url())


def test_a_person_lifts_a_block_with_who_and_why(tmp_path: Path, said: Any) -> None:
    one = stores(tmp_path)
    one.block_calls("dynamics", 7200, "0x80072322")
    for _ in range(5):
        one.report_breaker("dynamics", "trouble", "503")
    assert one.limits("dynamics").breaker.until is not None
    shown = said("limits")
    assert "dynamics asked to be left alone (0x80072322)" in shown
    done = said("limits", "--lift", "dynamics", "--by", "anna", "--why", "the partner's import was stopped")
    assert "it asked to be left alone (0x80072322)" in done
    assert "it was in trouble (503)" in done
    after = one.limits("dynamics")
    assert after.block is None
    assert after.breaker.until is None
    assert one.blocked_since("dynamics") is None
    (run,) = one.runs()
    assert run.kind == "lift"
    assert run.outcome == "lifted the block and breaker of dynamics, by anna: the partner's import was stopped"
    assert run.outcome in said("runs")
    document = json.loads(said("limits", "--lift", "dynamics", "--why", "again", "--json"))
    assert document["lifted"] == []
    assert len(one.runs()) == 1, "nothing was lifted, so nothing is kept"
    one.close()


def test_calls_that_were_bought_are_seen_after_lifting(tmp_path: Path, said: Any) -> None:
    one = stores(tmp_path)
    one.note_told_usage("salesforce", 9_700, 10_000)
    one.set_daily_calls("salesforce", 50_000)
    assert not budget.may("life-cycle", one.limits("salesforce").standing, one.now())
    done = said("limits", "--lift", "salesforce", "--why", "calls were bought")
    assert "9700 of the day's 10000 calls are used, and is asked anew" in done
    after = one.limits("salesforce")
    assert budget.may("bulk", after.standing, after.at)
    assert after.standing.allowed == 50_000, "what we may use by the settings stands"
    one.close()


def test_lifting_one_side_leaves_the_other_as_it_is(tmp_path: Path, said: Any) -> None:
    one = stores(tmp_path)
    one.block_calls("dynamics", 7200, "x")
    one.block_calls("salesforce", 7200, "y")
    said("limits", "--lift", "dynamics", "--why", "z")
    assert one.limits("salesforce").block is not None
    one.close()


def test_lifting_needs_a_connection_and_a_reason(said: Any) -> None:
    assert "there are salesforce and dynamics" in said("limits", "--lift", "left", "--why", "x", code=2)
    assert "--why is empty" in said("limits", "--lift", "dynamics", code=2)
    assert "--why and --by go with --lift" in said("limits", "--why", "x", code=2)


def test_what_was_lifted_is_over_as_an_alert(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook)
    store.block_calls("dynamics", 7200, "0x80072322")
    look(store, given)
    store.lift("dynamics", by="anna", why="x")
    look(store, given)
    assert events(hook) == [("raised", "blocked:dynamics"), ("over", "blocked:dynamics")]


# --- the store is away ----------------------------------------------------------------------------------------------

AWAY = OutsideError("The store did not serve.", code="store")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As another process begins: it knows nothing by itself."""

    def forget() -> None:
        monkeypatch.setattr(outage, "_memory", outage._Memory())

    forget()
    return forget


def test_the_store_is_away_is_told_by_one_of_all_and_once_when_it_is_over(
    tmp_path: Path, store: Store, hook: Hook, fresh: Any
) -> None:
    with own_broker.embedded(tmp_path / "redis") as url:
        given = with_hook(tmp_path, hook, f"broker: {{url: '{url}'}}\n")
        begun = store.now().timestamp() - 5 * 3600
        for minute in range(300):
            fresh()  # each time another process
            outage.noticed(given, AWAY, at=begun + 60 * minute)
        assert events(hook) == [("raised", "store")], "four hours have not passed, by the broker's clock"
        body = json.loads(hook.taken[0][1])
        assert body["message"] == "the store does not serve, for 6 minutes by now: nothing is synced"
        assert body["page"] == "docs/howto/on-call/alerts.md#store"
        run = store.start_run("sync")
        store.end_run(run.id, "failed: OutsideError")
        with store._database.writing("test") as connection:  # all is five hours late
            long_ago = store.now() - timedelta(hours=5)
            connection.execute(schema.run.update().values(started_at=long_ago))
            entities = ("account", "contact", "lead", "opportunity")
            connection.execute(schema.turn.insert(), [{"entity": one, "at": long_ago, "quiet": 0} for one in entities])
        for _ in range(3):
            fresh()
            outage.over(store, given)
            look(store, given)
        assert events(hook) == [("raised", "store"), ("over", "store")], "what it held up is not told besides"
        assert "after 5 hours" in json.loads(hook.taken[1][1])["message"] or "299 minutes" in hook.taken[1][1].decode()


def test_a_store_that_is_away_for_a_moment_is_told_to_nobody(
    tmp_path: Path, store: Store, hook: Hook, fresh: Any
) -> None:
    given = with_hook(tmp_path, hook)
    at = store.now().timestamp()
    outage.noticed(given, AWAY, at=at)
    outage.noticed(given, AWAY, at=at + 120)
    outage.over(store, given)
    outage.noticed(given, AWAY, at=at + 400)  # a new one, not six minutes of the first
    look(store, given)
    assert events(hook) == []


def test_without_a_broker_a_process_goes_by_what_it_knows(tmp_path: Path, store: Store, hook: Hook, fresh: Any) -> None:
    given = with_hook(tmp_path, hook, f"broker: {{url: 'redis+socket://{tmp_path}/nobody?virtual_host=0'}}\n")
    at = store.now().timestamp() - 3600
    for minute in range(60):
        outage.noticed(given, AWAY, at=at + 60 * minute)
    outage.over(store, given)
    outage.over(store, given)
    look(store, given)
    assert events(hook) == [("raised", "store"), ("over", "store")]


def test_a_channel_that_did_not_take_it_is_asked_again(tmp_path: Path, store: Store, hook: Hook, fresh: Any) -> None:
    with own_broker.embedded(tmp_path / "redis") as url:
        given = with_hook(tmp_path, hook, f"broker: {{url: '{url}'}}\n")
        at = store.now().timestamp() - 3600
        outage.noticed(given, AWAY, at=at)
        hook.status = 503
        outage.noticed(given, AWAY, at=at + 400)
        hook.status = 200
        outage.noticed(given, AWAY, at=at + 415)
        outage.noticed(given, AWAY, at=at + 430)
        assert events(hook) == [("raised", "store")] * 2, "one that was not taken, and one that was"


def test_other_trouble_is_not_the_stores(tmp_path: Path, store: Store, hook: Hook, fresh: Any) -> None:
    given = with_hook(tmp_path, hook)
    for minute in range(60):
        outage.noticed(given, OutsideError("A CRM.", code="unreachable"), at=60.0 * minute)
    assert events(hook) == []
