"""The commands of the page about backups, as they stand there, while a sync is writing; what is put back is a store."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crmbridge.cli.error_handler import run
from crmbridge.cli.start import copy_shipped, shipped_config
from crmbridge.model import ENTITIES, Ref, Side
from crmbridge.state.store import Store
from tests.support import postgres
from tests.support.engine import Bench, bench
from tests.support.settings import AWAY

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "back-up.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def block(word: str) -> str:
    (found,) = [one for one in BLOCKS if word in one]
    return found


def shell(script: str, folder: Path, **env: str) -> None:
    ran = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{script}\n{ran.stdout}{ran.stderr}"


@contextmanager
def at_work(world: Bench) -> Iterator[None]:
    """Somebody types leads, and a sync follows the other, until the block is over."""
    over = threading.Event()
    trouble: list[Exception] = []

    def type_on() -> None:
        number = 0
        try:
            while not over.is_set():
                number += 1
                for side in ("left", "right"):
                    email = f"{number}@{side}.example"
                    world.crm(side).add("lead", last_name=f"Busy{number}{side}", company="Works", email=email)
                world.sync()
        except Exception as error:  # noqa: BLE001 - the thread's trouble is the test's
            trouble.append(error)

    typist = threading.Thread(target=type_on)
    typist.start()
    try:
        yield
    finally:
        over.set()
        typist.join()
    assert not trouble


def shows_itself(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`crmbridge status` reads it, and each pair has both of its ends: no transaction is in it by half."""
    copy_shipped(shipped_config(), folder)
    (folder / "crmbridge.yaml").write_text(AWAY)
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("CRMBRIDGE_STORE__URL", url)
    assert run(["--config", str(folder / "crmbridge.yaml"), "status"]) == 0
    assert "lead" in capsys.readouterr().out
    store = Store.open(url)
    try:
        links = [link for entity in ENTITIES for link in store.all_links(entity)]
        assert links
        for link in links:
            known = {row.native_id for row in store.journal(link_id=link.id) if row.kind == "create"}
            assert known <= {link.left_id, link.right_id}
            ends: tuple[tuple[Side, str | None], ...] = (("left", link.left_id), ("right", link.right_id))
            for side, id in ends:
                assert id is None or store.record(Ref(side=side, entity=link.entity, id=id)) is not None
    finally:
        store.close()


@pytest.mark.parametrize("way", ["sqlite3 crmbridge.sqlite3", "python3 -c"])
def test_sqlite_is_backed_up_while_a_sync_writes(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if way.startswith("sqlite3") and shutil.which("sqlite3") is None:
        pytest.skip("there is no program sqlite3")
    with bench(f"sqlite:///{tmp_path}/crmbridge.sqlite3") as world:
        world.lead_pair()
        with at_work(world):
            for _ in range(3):
                shell(block(way), tmp_path)
    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(tmp_path / "backup" / "crmbridge.sqlite3", restored / "store.sqlite3")
    shows_itself(restored, f"sqlite:///{restored}/store.sqlite3", monkeypatch, capsys)


def test_postgresql_is_backed_up_while_a_sync_writes(
    tmp_path: Path,
    postgres_cluster: postgres.Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    binaries = next(postgres._binaries())
    tools = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    if any(shutil.which(name, path=tools["PATH"]) is None for name in ("pg_dump", "pg_restore")):
        pytest.skip("this PostgreSQL came without pg_dump")
    url, empty = postgres_cluster.new_database(), postgres_cluster.new_database()
    with bench(url) as world:
        world.lead_pair()
        with at_work(world):
            shell(block("pg_dump"), tmp_path, STORE=url, **tools)
    shell(block("pg_restore"), tmp_path, EMPTY=empty, **tools)
    restored = tmp_path / "restored"
    restored.mkdir()
    shows_itself(restored, empty, monkeypatch, capsys)
