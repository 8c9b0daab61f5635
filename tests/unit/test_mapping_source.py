"""Reading a mapping's YAML: plain data with places, and all that is refused, in one pass."""

import pytest

from mapping.source import DEPTH_MAX, SIZE_MAX_BYTES, Source, read_file, read_text


def read(text: str | bytes) -> Source:
    return read_text(text, file="lead.yaml")


def test_yaml_1_2_words_and_places() -> None:
    source = read("a: NO\nb: 0123\nc: [1, -2, 'x', yes, 2026-01-01]\nd: {e: ~, f: true}\n")
    assert source.data == {"a": "NO", "b": "0123", "c": [1, -2, "x", "yes", "2026-01-01"], "d": {"e": None, "f": True}}
    assert not source.findings
    assert str(source.place(("d", "f"))) == "lead.yaml:4:14"
    assert str(source.place(("d", "f"), key=True)) == "lead.yaml:4:11"
    assert str(source.place(("c", 2))) == "lead.yaml:3:12"
    assert str(source.place(("d", "gone", "deeper"))) == "lead.yaml:4:1"


def test_a_number_of_thousands_of_digits_is_a_text() -> None:
    assert read(f"a: {'9' * 5000}\n").data == {"a": "9" * 5000}
    assert read(f"a: {'9' * 40}\n").data == {"a": int("9" * 40)}


def test_everything_refused_is_told_at_once() -> None:
    source = read("a: 1\nb: &x {k: 1, k: 2}\na: 3\nc: *x\nd: !!str 5\na: 4\n")
    assert [str(f) for f in source.findings] == [
        "lead.yaml:2:4: b: an anchor (&x) is not allowed here; write the value out [anchor-used]",
        "lead.yaml:2:14: b.k: duplicate key; the first one is on line 2; keep one of them [duplicate-key]",
        "lead.yaml:3:1: a: duplicate key; the first one is on line 1; keep one of them [duplicate-key]",
        "lead.yaml:4:4: c: an alias (*x) is not allowed here; write the value out [alias-used]",
        "lead.yaml:5:4: d: a tag (tag:yaml.org,2002:str) is not allowed here; write the plain value [tag-used]",
        "lead.yaml:6:1: a: duplicate key; the first one is on line 1; keep one of them [duplicate-key]",
    ]
    assert source.data["a"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a: [1\nb: 2\n", "not YAML: expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "a second document; one entity is one file"),
        ("? [1, 2]\n: 3\n", "a key must be plain text"),
        ("[" * (DEPTH_MAX + 2) + "]" * (DEPTH_MAX + 2), f"is nested deeper than {DEPTH_MAX} levels"),
        ("a: " + "x" * SIZE_MAX_BYTES, "is larger than 512 kB; a mapping is a few kB"),
        (b"a: \xff\n", "is not UTF-8 text (byte 3); save it as UTF-8"),
    ],
)
def test_what_cannot_be_read(text: str | bytes, message: str) -> None:
    (finding,) = read(text).findings
    assert message in str(finding)


def test_a_missing_file(tmp_path: object) -> None:
    source = read_file(__import__("pathlib").Path(str(tmp_path)) / "gone.yaml")
    assert "cannot be read (No such file or directory)" in str(source.findings[0])
