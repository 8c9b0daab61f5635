# ruff: noqa: E501 - tables read best unbroken
"""Broken on purpose, by the thousand: mutated mapping files, each loaded and checked in a child of its own.

The child has a limit of address space and an alarm, so that a bomb ends it and not the test. It ends well if the file
was used or its problems were told; anything else (a traceback, no memory, no end) is a failure, with the file kept.
`python -m tests.support.mapping_fuzz --files 100000 --seed 1` runs as many as one likes.
"""

import argparse
import io
import os
import random
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

import mapping
from mapping.cel import compile_expression
from mapping.doubts import doubts
from mapping.explain import life_cycle
from tests.support.mapping_boxes import out_of_the_box

CHECKOUT: Final = Path(__file__).resolve().parents[2]
ADDRESS_SPACE_BYTES: Final = 200 * 1024 * 1024
ALARM_SECONDS: Final = 60
SIZE_MAX_BYTES: Final = 40_000  # of a seed after mutation; bombs are small
FILES_IN_CI: Final = 10_000

BOXES: Final = out_of_the_box()
TOKENS: Final = [
    b"&a", b"*a", b"<<: *a", b"!!python/object/apply:os.system ['true']", b"!!binary aGk=", b"!<tag:x> ", b"%TAG ! x\n",
    b"%YAML 9.9\n", b"---\n", b"...\n", b"\t", b"\0", b"\x07", b"\x1b[31m", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80",
    "\u202e".encode(), "\u2028".encode(), "\u0085".encode(), "e\u0301\u0323".encode(), "\U0001f600".encode(), "ß".encode(),
    "\ufeff".encode(), b"\r\n", b"\r", b"'", b'"', b"{", b"}", b"[", b"]", b",", b":", b": ", b"- ", b"? ", b"| ", b">-\n",
    b"#", b"null", b"~", b"true", b"NO", b"0x1F", b"0o17", b"1e999", b"-.inf", b".nan", b"1_000", b"12:30:45",
    b"2026-01-01", b"9" * 5000, b"-" + b"9" * 400, b"0." + b"1" * 400, b"1e400", b"{field}", b"{{}}", b"${env:HOME}",
    b"lossy: salesforce", b"created + 9999 days", b"unmapped: pass", b"any", b"(((((((((((((((((((((((((((((((((((((((", b"\\",
]  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Result:
    files: int = 0
    used: int = 0  # without an error
    told: int = 0  # with problems told
    codes: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list)  # what happened, and where the file is kept


def seeds() -> list[bytes]:
    """Files that are used as they stand, and all others, about as many of each: the first are few, so they stand there
    several times. A file that is broken already hides what lies behind its first problems."""
    folders = ("config/mappings", "config/examples", "tests/mapping/broken")
    files = sorted(file for folder in folders for file in (CHECKOUT / folder).rglob("*.yaml"))
    texts = [file.read_bytes() for file in files if file.is_file()]
    good = [text for text in texts if not any(finding.severity == "error" for finding in _checked(text)[1])]
    return good * (len(texts) // len(good)) + texts


# --- mutations ----------------------------------------------------------------------------------------------------


def mutated(rng: random.Random, known: Sequence[bytes]) -> bytes:
    data = rng.choice(known)
    times = rng.choice((1, 1, 2, 3, 6))
    if rng.random() < 0.5:
        data = rng.choice((_structure, _structure, _unsaid))(rng, data)
        times = rng.choice((0, 0, 0, 1, 3))  # mostly left as valid YAML: the layers behind the reader have their turn
    for _ in range(times):
        data = rng.choice(_MUTATIONS)(rng, data, known)[:SIZE_MAX_BYTES]
    return data


def _at(rng: random.Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def _flip(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    where = _at(rng, data)
    return data[:where] + bytes([rng.randrange(256)]) + data[where + 1 :]


def _cut(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    where = _at(rng, data)
    return data[:where] + data[where + rng.choice((1, 1, 2, 10, 200)) :]


def _insert(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    where = _at(rng, data)
    return data[:where] + rng.choice(TOKENS) + data[where:]


def _end(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    return data[: _at(rng, data)]


def _repeat(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    """The same lines again: duplicate keys, duplicate columns."""
    rows = data.splitlines(keepends=True)
    if not rows:
        return data
    start = rng.randrange(len(rows))
    piece = rows[start : start + rng.choice((1, 1, 3, 20))]
    where = rng.randrange(len(rows) + 1)
    return b"".join([*rows[:where], *piece * rng.choice((1, 2, 30)), *rows[where:]])


def _shuffle(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    rows = data.splitlines(keepends=True)
    rng.shuffle(rows)
    return b"".join(rows)


def _indent(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    rows = data.splitlines(keepends=True) or [b""]
    where = rng.randrange(len(rows))
    rows[where] = rng.choice((b" ", b"  ", b"\t", b"    ", "\u00a0".encode())) + rows[where]
    return b"".join(rows)


def _splice(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    other = rng.choice(known)
    return data[: _at(rng, data)] + other[_at(rng, other) :]


def _swap_words(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    words = data.split(b" ")
    if len(words) > 2:
        a, b = rng.randrange(len(words)), rng.randrange(len(words))
        words[a], words[b] = words[b], words[a]
    return b" ".join(words)


def _bomb(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    depth = rng.choice((13, 100, 1000, 10_000))
    match rng.randrange(7):
        case 0:  # laughs: an alias must never be expanded
            rows = ["a: &a [x,x,x,x,x,x,x,x,x]"]
            rows += [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(9)]
            bomb = "\n".join(rows).encode()
        case 1:
            bomb = b"[" * depth
        case 2:
            bomb = b"{a: " * depth
        case 3:
            bomb = b"- " * depth
        case 4:
            bomb = b"".join(b" " * n + b"k:\n" for n in range(min(depth, 150)))
        case 5:
            bomb = b"&x" + b"y" * depth + b" *x" + b"z" * depth
        case _:
            bomb = b"? " * min(depth, 1000) + b"a"
    where = _at(rng, data)
    return data[:where] + b"\n" + bomb + b"\n" + data[where:]


def _long(rng: random.Random, data: bytes, known: Sequence[bytes]) -> bytes:
    """One word becomes very long: a key, a name, a table."""
    words = data.split(b" ")
    where = rng.randrange(len(words))
    words[where] = (words[where] or b"x") * rng.choice((50, 2000))
    return b" ".join(words)


_MUTATIONS: Final[Sequence[Callable[[random.Random, bytes, Sequence[bytes]], bytes]]] = (
    _flip, _flip, _cut, _cut, _insert, _insert, _insert, _end, _repeat, _shuffle, _indent, _splice, _swap_words, _bomb, _long,
)  # fmt: skip


def _structure(rng: random.Random, data: bytes) -> bytes:
    """Still YAML, but other values in other places: what the shape layer is for."""
    yaml = YAML(typ="safe", pure=True)
    try:
        document: Any = yaml.load(data)
    except Exception:  # noqa: BLE001 - a seed that is no YAML stays as it is
        return data
    for _ in range(rng.choice((1, 2, 5))):
        document = _changed(rng, document, 0)
    stream = io.BytesIO()
    try:
        YAML(typ="safe", pure=True).dump(document, stream)
    except Exception:  # noqa: BLE001 - a value that cannot be dumped: the seed stays as it is
        return data
    return stream.getvalue()


def _unsaid(rng: random.Random, data: bytes) -> bytes:
    """One declaration is left out, with all its braces in order: what the meaning layer is for."""
    said = list(_DECLARATION.finditer(data))
    losses = [one for one in said if b"lossy" in one.group()]
    if not said:
        return data
    one = rng.choice(losses if losses and rng.random() < 0.5 else said)
    return data[: one.start()] + data[one.end() :]


_DECLARATION: Final = re.compile(rb", *(?:lossy|required|rule|convert|values|unmapped|state): *[^,{}\[\]\n]+(?=[,}])")


def _changed(rng: random.Random, value: Any, depth: int) -> Any:
    if depth < 6 and isinstance(value, dict) and value and rng.random() < 0.85:
        made = dict(value)
        key = rng.choice(list(made))
        match rng.randrange(8):
            case 0:
                del made[key]
            case 1:
                made[rng.choice(["x", "", "salesforce", "dynamics", "fields", "any", "é" * 5, 7, True, "a b"])] = made[
                    key
                ]
            case 2:
                made[key] = _anything(rng)
            case _:
                made[key] = _changed(rng, made[key], depth + 1)
        return made
    if depth < 6 and isinstance(value, list) and value and rng.random() < 0.7:
        items = list(value)
        where = rng.randrange(len(items))
        items[where] = _changed(rng, items[where], depth + 1)
        return items * rng.choice((1, 1, 2))
    return _anything(rng)


def _anything(rng: random.Random) -> Any:
    return rng.choice(
        [None, True, False, 0, -1, 10**30, 1.5, "", " ", "x" * 3000, "salesforce", "prefer dynamics", "{x}", "created + 5 days",
         [], {}, [[]], [{}], {"": None}, {"any": []}, {"any": {"any": 1}}, ["a", 1, None], {"column": "a", "won": 3}, "a == 'b'",
         "((((", "x in [1]", {"when": [{"if": "", "use": ""}]}, {"stage": ["x"]}, "queue:X", "Europe/Berlin", "2026-02-30"]
    )  # fmt: skip


# --- runs ---------------------------------------------------------------------------------------------------------


def _checked(data: bytes) -> tuple[mapping.Documents, list[mapping.Finding]]:
    documents, _ = mapping.load({"lead.yaml": data})  # type: ignore[dict-item]  # bytes, as a file has them
    return documents, list(mapping.check(documents))


def tried(data: bytes) -> tuple[bool, list[str]]:
    """What a child does: load, check with and without the CRMs, list losses, notes and doubts, compile where nothing is wrong.

    Whether it is used, and the codes that are told."""
    documents, findings = _checked(data)
    held_to = mapping.check(documents, BOXES) if len(documents) else []
    for finding in (*findings, *held_to):
        str(finding)
    for document in documents:
        mapping.losses(document)
        mapping.notes(document, BOXES)
        doubts(document, BOXES)
        life_cycle(document)
    errors = [finding.code for finding in findings if finding.severity == "error"]
    if not errors and len(documents):
        mapping.compile(documents)
    return not errors, [*errors, *(f.code for f in held_to if f.severity == "error")]


def run(count: int, seed: int, keep: Path, *, say: Callable[[str], None] = lambda text: None) -> Result:
    """Each file in a child of its own; `keep` is where files that failed are left."""
    known, rng, result = seeds(), random.Random(seed), Result()
    compile_expression("a == 'b'", {"a": "text"})  # warmed up: what children need is in memory before they are made
    tried(known[0])
    began = time.monotonic()
    for number in range(count):
        data = mutated(rng, known)
        ended, said = _in_child(data)
        result.files += 1
        if ended == 0:
            words = said.split()
            result.used += words[:1] == ["used"]
            result.told += words[:1] == ["told"]
            result.codes.update(words[1:])
        else:
            kept = keep / f"fuzz-{seed}-{number}.yaml"
            kept.write_bytes(data)
            result.failures.append(f"{kept}: ended with {ended}: {said[-2000:]}")
        if result.files % 5000 == 0:
            say(f"{result.files} files, {len(result.failures)} failures, {time.monotonic() - began:.0f} s")
    return result


def _in_child(data: bytes) -> tuple[int, str]:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(ALARM_SECONDS)
            used, codes = tried(data)
            os.write(writes, " ".join(["used" if used else "told", *dict.fromkeys(codes)]).encode()[:60_000])
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, it is what this test looks for
            os.write(writes, traceback.format_exc().encode("utf-8", "replace")[-8000:])
        finally:
            os._exit(code)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutate mapping files; each is loaded in a child of its own.")
    parser.add_argument("--files", type=int, default=FILES_IN_CI)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path.cwd())
    asked = parser.parse_args()
    began = time.monotonic()
    result = run(asked.files, asked.seed, asked.keep, say=lambda text: print(text, flush=True))
    print(
        f"seed {asked.seed}: {result.files} files in {time.monotonic() - began:.0f} s: {result.used} without an error, "
        f"{result.told} with problems told ({len(result.codes)} codes), {len(result.failures)} failures"
    )
    for failure in result.failures[:20]:
        print(failure)
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
