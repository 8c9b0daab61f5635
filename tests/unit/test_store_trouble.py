"""When the place where the state lies does not serve: one sentence, what to do, exit code 4, nothing half written."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from crmbridge.errors import ConfigError, OutsideError, TryLater
from crmbridge.model import Link
from crmbridge.state.store import Store
from crmbridge.state.words import Batch
from tests.support import postgres
from tests.support.rows import left


def file(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


def test_disk_full(tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{file(tmp_path)}")) as store:
        lease = store.take_lease("run", 60)
        store.save_page("left", "lead", left.page(left.row("a"), cursor="one"))

        def no_more_room(connection: sqlite3.Connection, *_: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        engine = store._database.engine  # pyright: ignore[reportPrivateUsage]
        engine.dispose()
        event.listen(engine, "connect", no_more_room)
        with pytest.raises(OutsideError, match="the disk is full") as caught:
            store.save_page("left", "lead", left.page(*(left.row(f"{n:06}") for n in range(3000)), cursor="two"))
        assert caught.value.exit_code == 4
        assert "Free some space" in caught.value.fix
        assert store.cursor("left", "lead") == "one"
        assert store.count_records("left", "lead") == 1
        event.remove(engine, "connect", no_more_room)
        engine.dispose()
        store.apply(Batch(links=[Link(id="L", entity="lead", left_id="a", right_id=None)]), lease=lease)  # goes on


def test_read_only(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{file(tmp_path)}").close()
    with (
        closing(Store.open(f"sqlite:///file:{file(tmp_path)}?mode=ro&uri=true")) as store,
        pytest.raises(OutsideError, match="may only be read"),
    ):
        store.set_meta("x", "y")


def test_locked_by_another_process(tmp_path: Path) -> None:
    with (
        closing(Store.open(f"sqlite:///{file(tmp_path)}?timeout=0.05")) as store,
        closing(sqlite3.connect(file(tmp_path), isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TryLater, match="another process keeps it locked") as caught:
            store.set_meta("x", "y")
        assert caught.value.exit_code == 4
        assert store.meta("x") is None  # reading goes on meanwhile
        other.execute("ROLLBACK")
        store.set_meta("x", "y")


@pytest.mark.parametrize(
    ("content", "said"), [(b"not a database, but a letter " * 100, "not a crmbridge store"), (None, "cannot be opened")]
)
def test_no_store_there(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = file(tmp_path)
    if content is None:
        path = tmp_path / "no such folder" / "state.sqlite3"
    else:
        path.write_bytes(content)
    with pytest.raises(OutsideError, match=said):
        Store.open(f"sqlite:///{path}")


def test_postgresql_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="cannot be reached") as caught:
        Store.open(f"postgresql://crm:hunter2@/crm?host={tmp_path}")
    assert caught.value.exit_code == 4
    assert "hunter2" not in str(caught.value)


def test_a_database_that_does_not_exist(postgres_cluster: postgres.Cluster) -> None:
    with pytest.raises(OutsideError, match=r"cannot be reached|does not exist"):
        Store.open(postgres_cluster.url("nowhere"))


def test_postgresql_that_forgets_is_refused(postgres_cluster: postgres.Cluster) -> None:
    url = postgres_cluster.new_database()
    name = url.partition("@/")[2].partition("?")[0]
    postgres_cluster.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(ConfigError, match="synchronous_commit = off") as caught:
        Store.open(url)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "nonsense", "sqlite+nothing:///x", "postgresql://h:port/x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.url") as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)


def test_sqlite_survives_power_loss(tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{file(tmp_path)}")) as store:
        database = store._database  # pyright: ignore[reportPrivateUsage]
        with database.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
