"""Files that hold what customers wrote, or what we log in with, are for our own user alone, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge import private
from crmbridge.cli.sync import write_held
from crmbridge.demo.run import write_project
from crmbridge.state.store import Store
from workers import own_broker


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=["umask-000", "umask-022", "umask-777"])
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder, and what whoever started us left for new files."""
    before = os.umask(request.param)
    try:
        yield tmp_path
    finally:
        os.umask(before)


def rights(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):03o}"


def test_the_store_and_its_side_files(umask: Path) -> None:
    store = Store.open(f"sqlite:///{umask / 'crmbridge.sqlite3'}")
    try:
        store.set_meta("a", "b")
        assert {path.name: rights(path) for path in umask.iterdir()} == {
            "crmbridge.sqlite3": "600",
            "crmbridge.sqlite3-wal": "600",
            "crmbridge.sqlite3-shm": "600",
        }
    finally:
        store.close()


def test_a_store_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    file = tmp_path / "crmbridge.sqlite3"
    Store.open(f"sqlite:///{file}").close()
    file.chmod(0o640)  # somebody lets a group read it, for the backup
    Store.open(f"sqlite:///{file}").close()
    assert rights(file) == "640"


def test_the_broker_and_its_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = tmp_path / "state" / "broker"
        with own_broker.embedded(folder):
            assert rights(folder) == "700"
            assert rights(folder / "broker.sock") == "700"
            inside = [path for path in folder.rglob("*") if path.is_file()]
            assert inside  # whatever they are, nobody gets past the folder
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["text", "stream", "held list"])
def test_what_a_command_writes_about_records(umask: Path, name: str) -> None:
    file = umask / "out"
    if name == "text":
        private.write_text(file, "a customer")
    elif name == "stream":
        with private.opened(file) as stream:
            stream.write("a customer")
    else:
        write_held(file, [])
    assert rights(file) == "600"


def test_a_folder(umask: Path) -> None:
    private.folder(umask / "ours")
    assert rights(umask / "ours") == "700"
    private.folder(umask / "ours")  # it is there already


def test_the_demo_keeps_its_secrets(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        crm = {
            "https_url": "https://localhost:1",
            "url": "http://localhost:1",
            "client_id": "c",
            "client_secret": "s",
            "tenant_id": "t",
        }
        box = {"salesforce": crm, "dynamics": {**crm, "authority": "http://localhost:1/t"}, "ca_path": "x"}
        write_project(tmp_path, box)
    finally:
        os.umask(before)
    assert rights(tmp_path / ".env") == "600"


def test_a_captured_shape_is_written_privately() -> None:
    """`capture` needs two systems; that it writes through `private` is what is held here."""
    import inspect

    from crmbridge.cli import capture

    source = inspect.getsource(capture)
    assert "private.write_text(draft, text)" in source
    assert ".write_text(" not in source.replace("private.write_text(", "")


def test_no_token_is_written_to_a_disk() -> None:
    """Tokens live in memory: nothing in the connectors opens a file for writing, and no cache of a library is kept."""
    import re

    import connectors

    root = Path(connectors.__file__).parent
    writers = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"write_text|write_bytes|SerializableTokenCache|\.open\(\"[wax]", path.read_text(encoding="utf-8"))
    ]
    assert writers == []
