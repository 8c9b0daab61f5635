"""Shapes and records are read by libyaml where it can: with it and without, a text means the same."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crmbridge.sandbox import marks
from crmbridge.sandbox.marks import UnreadableFile, read_yaml

SHIPPED = sorted(Path(marks.__file__).with_name("shapes").rglob("*.yaml"))
# What YAML 1.1 and 1.2, and their readers, are known to take differently, and what stands around it.
PIECES = (
    *("a", "b: ", "- ", "- - ", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", ": ", "? ", "&a ", "*a", "<<: "),
    *("no", "yes", "On", "~", "null", "0o17", "017", "0x1F", "0b11", "1_000", "12:30", "12:30:00", "1e3", ".5", ".inf"),
    *("2026-11-23", "2026-11-23T10:00:00Z", "http://a.example/b", "é", "😀", "\t", "\u2028", "\x85", "#c", " #c", "%"),
    *('"x\\n\\/y"', '"\\u263a"', '"a\n b"', "'it''s'", "''", '"!', "a\n b", "|\n  t\n  u\n", ">-\n  v\n\n  w\n"),
    *("! ", "!x ", "!!str ", "!!binary ", "!=", "x!", "[!", "{!", ",!", "--- ", "...", "@", "`", "="),
)


def told(path: Path) -> str:
    try:
        return repr(read_yaml(path))
    except UnreadableFile as problem:
        return str(problem)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join))
@example('"a"\t')
@example("\u2028b: 1")
@example("\x85b: 1")
@example("! ")
@example("{a: ! , b: 1}")
@example("{a: http://a.example/b}")
def test_a_text_means_the_same_however_it_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.yaml"
    path.write_text(f"k: {text}", encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        quickly = told(path)
        patch.setattr(marks, "_COMPILED", False)
        assert told(path) == quickly


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_shipped_is_read_quickly_and_means_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = path.read_text(encoding="utf-8")
    assert not marks._OTHERWISE.search(content)
    quickly = marks.YAML(typ="safe").load(content)
    monkeypatch.setattr(marks, "_COMPILED", False)
    assert read_yaml(path) == quickly


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 100_000 + "x", "{a: " * 50_000 + "}" * 50_000])
def test_a_text_nested_without_end_is_an_error_and_not_the_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableFile, match=r"deep\.yaml"):
        read_yaml(path)
