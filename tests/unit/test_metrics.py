"""Numbers for Prometheus and answers for health checks: from the store alone, over real HTTP."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crmbridge.errors import ConfigError
from crmbridge.settings import Settings, load
from crmbridge.state.store import Store
from crmbridge.wiring import BROKEN_META
from tests.support.metrics import EVERY_METRIC, SETTINGS, a_full_store
from workers.metrics import address, not_ready, outcome_word, serve


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "crmbridge.yaml").write_text(SETTINGS, encoding="utf-8")
    return load(tmp_path / "crmbridge.yaml")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/store.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def place(store: Store, settings: Settings) -> Iterator[str]:
    with serve(store, settings, "127.0.0.1:0") as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_an_empty_store_has_numbers_too(place: str) -> None:
    status, text = get(f"{place}/metrics")
    assert status == 200
    found = samples(text)
    assert found["crmbridge_workers", ()] == 0
    assert found["crmbridge_unanswered_calls", ()] == 0
    assert found["crmbridge_breaker_open", (("connection", "north"),)] == 0
    assert found["crmbridge_backlog_records", (("connection", "south"), ("entity", "lead"))] == 0


def test_what_the_store_says_is_told(store: Store, place: str) -> None:
    a_full_store(store)
    found = samples(get(f"{place}/metrics")[1])
    assert found["crmbridge_open_issues", (("cause", "no_owner"), ("entity", "lead"), ("kind", "held"))] == 1
    assert found["crmbridge_unanswered_calls", ()] == 1
    assert found["crmbridge_runs_total", (("kind", "sync"), ("outcome", "held"))] == 1
    assert found["crmbridge_calls_total", (("connection", "north"), ("kind", "query"))] == 5
    assert found["crmbridge_writes_total", (("connection", "south"), ("entity", "lead"), ("kind", "update"))] == 2
    refused = (("connection", "south"), ("entity", "lead"), ("how", "refused"), ("kind", "update"))
    assert found["crmbridge_unwritten_total", refused] == 3
    assert found["crmbridge_workers", ()] == 1
    leads = (("connection", "south"), ("entity", "lead"))
    assert 0 <= found["crmbridge_reconcile_age_seconds", leads] < 60
    told = [found[f"crmbridge_reconcile_{name}", leads] for name in ("rows", "found", "unclear")]
    assert told == [47, 4, 2]
    assert found["crmbridge_blocked_seconds", (("connection", "north"),)] > 0


def test_every_metric_is_named_from_the_start(place: str) -> None:
    """Also those that have no value yet: dashboards and alert rules may name them."""
    families = {family.name for family in text_string_to_metric_families(get(f"{place}/metrics")[1])}
    assert families == EVERY_METRIC


def test_counters_only_rise(store: Store, place: str) -> None:
    a_full_store(store)
    first = samples(get(f"{place}/metrics")[1])
    again = samples(get(f"{place}/metrics")[1])
    run = store.start_run("sync")
    store.end_run(run.id, "done", calls={"north": {"lead query": 1}})
    then = samples(get(f"{place}/metrics")[1])
    key = ("crmbridge_calls_total", (("connection", "north"), ("kind", "query")))
    assert (first[key], again[key], then[key]) == (5, 5, 6)


def test_no_value_of_a_record_is_in_a_label(store: Store, place: str) -> None:
    a_full_store(store)
    text = get(f"{place}/metrics")[1]
    assert "Canary" not in text
    assert not re.search(r"00Q\w{12}", text), "ids belong into `issues`, not into label values without end"


def test_health(store: Store, place: str) -> None:
    assert get(f"{place}/healthz") == (200, "ok\n")
    assert get(f"{place}/readyz") == (503, "no worker has given a sign yet\n")
    store.beat("tick")
    assert get(f"{place}/readyz") == (200, "ok\n")
    store.set_meta(BROKEN_META, "crmbridge.yaml:3:1: what is this")
    assert get(f"{place}/readyz") == (503, "the configuration is broken; `crmbridge status` shows it\n")
    assert get(f"{place}/nothing")[0] == 404
    request = urllib.request.Request(f"{place}/metrics", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as refused:
        assert refused.code == 405


def test_a_store_that_is_away_is_told_and_not_thrown(store: Store, place: str, tmp_path: Path) -> None:
    assert get(f"{place}/healthz")[0] == 200
    store.after_fork()  # no connection is kept open to the file that was there
    for file in tmp_path.glob("store.sqlite3*"):
        file.write_bytes(b"restored from something else" * 200)
    for path in ("metrics", "healthz", "readyz"):
        status, body = get(f"{place}/{path}")
        assert status == 503
        assert "did not serve" in body


def test_another_hosts_workers_do_not_count_here(store: Store) -> None:
    store.beat("tick")
    assert not_ready(store) == []
    assert not_ready(store, here="somewhere-else") == ["no worker has given a sign yet"]


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        ("done", "done"),
        ("done, 3 held", "held"),
        ("stopped by the guard", "stopped"),
        ("failed: OutsideError", "failed"),
        ("interrupted", "interrupted"),
        ("", "unknown"),
    ],
)
def test_outcomes_become_few_words(outcome: str, word: str) -> None:
    assert outcome_word(outcome) == word


@pytest.mark.parametrize("text", ["9464", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:9464/metrics", "127.0.0.1:99999"])
def test_a_wrong_address_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        address(text)


def test_a_taken_port_is_told(store: Store, settings: Settings) -> None:
    with serve(store, settings, "127.0.0.1:0") as server, pytest.raises(ConfigError, match="cannot be listened on"):
        serve(store, settings, f"127.0.0.1:{server.server_port}")
