"""One bucket, three places: the pure decision, a row in SQL, a script in Redis. All grant the same, call by call; and
several processes that share one get together what one alone would get."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from crmbridge.budget import MICROSECONDS, Grant, Rate, take
from crmbridge.errors import ConfigError
from crmbridge.state.store import Store
from workers import own_broker
from workers.bucket import RedisBucket

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
Take = Callable[[Rate, int, int], Grant]  # rate, longest wait, microseconds since the start


def at(microseconds: int) -> datetime:
    return START + timedelta(microseconds=microseconds)


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Take]:
    with ExitStack() as stack:
        if request.param == "redis":
            bucket = RedisBucket(_redis(stack, tmp_path), "test:")
            stack.callback(bucket.close)
            epoch = round(START.timestamp()) * MICROSECONDS

            def by_redis(rate: Rate, wait_max: int, now: int) -> Grant:
                grant = bucket.take("crm", rate, wait_max=wait_max, at=epoch + now)
                assert grant is not None
                return grant

            yield by_redis
            return
        url = f"sqlite:///{tmp_path}/store.sqlite3"
        if request.param == "postgresql":
            url = request.getfixturevalue("postgres_cluster").new_database()
        store = Store.open(url)
        stack.callback(store.close)
        yield lambda rate, wait_max, now: store.take_turn("crm", rate, wait_max=wait_max, at=at(now))


def _redis(stack: ExitStack, folder: Path) -> str:
    try:
        return stack.enter_context(own_broker.embedded(folder / "redis"))
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("seed", range(4))
def test_all_three_grant_the_same(kept: Take, seed: int) -> None:
    rng = Random(seed)
    rate = Rate(per_second=rng.choice([0.3, 3, 18, 333.3]), burst=rng.choice([1, 7, 40]))
    full_at, now = 0, 0
    for number in range(150):
        now += rng.choice([0, 0, 1, rng.randrange(rate.interval), rng.randrange(5 * rate.interval)])
        wait_max = rng.choice([0, rate.interval, 10 * MICROSECONDS])
        wanted = take(full_at, round(START.timestamp()) * MICROSECONDS + now, rate, wait_max=wait_max)
        got = kept(rate, wait_max, now)
        assert (got.granted, got.wait) == (wanted.granted, wanted.wait), f"seed {seed}, call {number}"
        if wanted.granted:
            full_at = wanted.full_at
            assert got.full_at == full_at


def grab(place: str, results: "multiprocessing.Queue[int]") -> None:
    """As many as there are; nobody waits."""
    rate, granted = Rate(per_second=0.001, burst=60), 0
    if place.startswith("redis"):
        bucket = RedisBucket(place, "test:")
        for _ in range(100):
            grant = bucket.take("crm", rate, wait_max=0)
            assert grant is not None
            granted += grant.granted
        bucket.close()
    else:
        store = Store.open(place)
        for _ in range(100):
            granted += store.take_turn("crm", rate, wait_max=0).granted
        store.close()
    results.put(granted)


@pytest.mark.parametrize("place", ["sqlite", "postgresql", "redis"])
def test_processes_share_one_bucket(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if place == "redis":
            url = _redis(stack, tmp_path)
        elif place == "postgresql":
            url = request.getfixturevalue("postgres_cluster").new_database()
            Store.open(url).close()
        else:
            url = f"sqlite:///{tmp_path}/store.sqlite3"
            Store.open(url).close()
        spawn = multiprocessing.get_context("spawn")
        results: multiprocessing.Queue[int] = spawn.Queue()
        processes = [spawn.Process(target=grab, args=(url, results)) for _ in range(3)]
        for process in processes:
            process.start()
        granted = [results.get(timeout=120) for _ in processes]
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
    print(granted)
    assert sum(granted) == 60


def count(url: str, number: int, results: "multiprocessing.Queue[int]") -> None:
    store, done = Store.open(url), 0
    for _ in range(number):
        done += store.reserve_calls("crm", "bulk", requests=1, operations=1) is not None
    store.close()
    results.put(done)


def test_processes_share_one_day(tmp_path: Path) -> None:
    """100 calls a day are set: plain work gets 80 of them, whoever asks."""
    url = f"sqlite:///{tmp_path}/store.sqlite3"
    store = Store.open(url)
    store.set_daily_calls("crm", 100)
    spawn = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = spawn.Queue()
    processes = [spawn.Process(target=count, args=(url, 50, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sum(results.get(timeout=120) for _ in processes) == 80
    for process in processes:
        process.join(60)
    assert store.limits("crm").standing.own == 80
    assert store.reserve_calls("crm", "interactive", requests=1, operations=1) is not None
    store.close()


def test_a_redis_that_is_away_says_nothing(tmp_path: Path) -> None:
    bucket = RedisBucket(f"redis+socket://{tmp_path}/nobody.sock", "test:")
    assert bucket.take("crm", Rate(per_second=1, burst=1), wait_max=0) is None
    assert bucket.take("crm", Rate(per_second=1, burst=1), wait_max=0) is None
    bucket.close()
