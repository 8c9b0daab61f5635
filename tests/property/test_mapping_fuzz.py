"""A mutated mapping file gives problems or is used; it never ends in a traceback, without memory or without end."""

from pathlib import Path

import pytest

from tests.support.mapping_fuzz import FILES_IN_CI, mutated, run, seeds, tried

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="each file is tried in a forked child")
SEED = 20261122
PARTS = 10


def test_some_hundred_mutated_files(tmp_path: Path) -> None:
    result = run(300, SEED, tmp_path)
    print(f"seed {SEED}: {result}")
    assert result.failures == []
    assert result.used + result.told == 300


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_mutated_files(part: int, tmp_path: Path) -> None:
    seed = SEED + 1 + part
    result = run(FILES_IN_CI // PARTS, seed, tmp_path)
    print(f"seed {seed}: {result}")
    assert result.failures == []
    assert result.files == FILES_IN_CI // PARTS
    # A fuzz that only breaks the YAML would look at one layer: all of them must have had something to tell.
    assert result.used > 0
    assert len(result.codes) >= 40
    layers = {"duplicate-key", "too-deep", "alias-used", "anchor-used", "unknown-key", "wrong-kind", "loss-undeclared"}
    assert layers <= set(result.codes)


def test_the_same_seed_makes_the_same_files() -> None:
    import random

    known = seeds()
    first, second = random.Random(7), random.Random(7)
    assert [mutated(first, known) for _ in range(50)] == [mutated(second, known) for _ in range(50)]


def test_a_child_that_fails_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The net itself: a traceback and a child that eats its memory are both seen."""

    def greedy(data: bytes) -> tuple[bool, list[str]]:
        return bool(bytearray(400 * 1024 * 1024)), []

    def broken(data: bytes) -> tuple[bool, list[str]]:
        raise RecursionError(f"{len(data)} bytes")

    for made, word in ((greedy, "MemoryError"), (broken, "RecursionError")):
        calls = iter([tried, made, made])
        monkeypatch.setattr("tests.support.mapping_fuzz.tried", lambda data, calls=calls: next(calls)(data))
        result = run(1, SEED, tmp_path)
        assert len(result.failures) == 1
        assert word in result.failures[0]
