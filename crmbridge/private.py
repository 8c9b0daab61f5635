"""Files and folders that hold what customers wrote, or what we log in with: for our own user alone, whatever the umask.

What is there already keeps the rights that somebody gave it.
"""

import os
from pathlib import Path
from typing import IO, Final

FILE: Final = 0o600
FOLDER: Final = 0o700


def folder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=FOLDER)
    except FileExistsError:
        return
    path.chmod(FOLDER)


def touch(path: Path) -> None:
    """An empty file, if there is none: SQLite takes the rights of its side files (-wal, -shm) from it."""
    try:
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE)
    except FileExistsError:
        return
    path.chmod(FILE)
    os.close(number)


def opened(path: Path, *, encoding: str = "utf-8", newline: str | None = None) -> IO[str]:
    """For writing, from its beginning."""
    touch(path)
    return path.open("w", encoding=encoding, newline=newline)


def write_text(path: Path, text: str) -> None:
    with opened(path) as file:
        file.write(text)
