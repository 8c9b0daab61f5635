# ruff: noqa: E501 - tables read best unbroken
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
        "lead.yaml:2:4: b: an anchor (&x) is not allowed here; take it away, or put quotes around a text that begins "
        "with & [anchor-used]",
        "lead.yaml:2:14: b.k: duplicate key; the first one is on line 2; keep one of them [duplicate-key]",
        "lead.yaml:3:1: a: duplicate key; the first one is on line 1; keep one of them [duplicate-key]",
        "lead.yaml:4:4: c: an alias (*x) is not allowed here; write the value out, or put quotes around a text that "
        "begins with * [alias-used]",
        "lead.yaml:5:4: d: a tag (tag:yaml.org,2002:str) is not allowed here; write the plain value, or put quotes "
        "around a text that begins with ! [tag-used]",
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


FIELDS = "fields:\n  one: {a: b}\n  two: {a: b}\n  three: {a: b}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FIELDS.replace("  two", "two"), "3:1: not YAML: this line is indented unlike those that it belongs to; indent it as line 2 and line 4"),
        (FIELDS.replace("  one", "    one"), "2:5: not YAML: this line is indented unlike those that it belongs to; indent it as line 3 and line 4"),
        (FIELDS.replace("  two", "   two"), "3:4: not YAML: expected <block end>"),
        (FIELDS.replace("{a: b}\n  two", "b\n    two"), "3:5: not YAML: this line is indented unlike those that it belongs to; indent it as line 2"),
        (FIELDS.replace("  two", "# a remark\n\ntwo"), "5:1: not YAML: this line is indented unlike those that it belongs to; indent it as line 2 and line 6"),
        ("fields\n  one: b\n", "2:6: not YAML: mapping values are not allowed here; put quotes around a text with a colon in it, or write the"),
    ],
)  # fmt: skip
def test_an_ill_indented_line_is_the_one_that_is_named(text: str, told: str) -> None:
    assert str(read(text).findings[0]).startswith(f"lead.yaml:{told}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {b: c}}\n", "1:10: not YAML: expected <block end>, but found '}'; take this bracket away: nothing opens it"),
        ("a: [b]\n]\nc: d\n", "2:1: not YAML: expected <block end>, but found ']'; take this bracket away: nothing opens it"),
        ("a: }\n", "1:4: not YAML: expected the node content, but found '}'; take this bracket away: nothing opens it"),
        ("a: b\nc: & Sons\n", "2:4: not YAML: expected alphabetic or numeric character, but found ' '; put quotes around a text"),
        ("a: {b: *}\n", "1:8: not YAML: expected alphabetic or numeric character, but found '}'; put quotes around a text"),
        ("a: &Sons\n", "1:4: a: an anchor (&Sons) is not allowed here; take it away, or put quotes around a text that begins with &"),
        ("a: *new*\n", "1:4: a: an alias (*new*) is not allowed here; write the value out, or put quotes around a text that begins with *"),
        (b"a: b\r\nb\xc3\xa4: \xe4\n", "2:5: is not UTF-8 text (byte 11); save it as UTF-8"),
        (b"\xef\xbb\xbfa: \xe4\n", "1:4: is not UTF-8 text (byte 3); save it as UTF-8"),
        (b"\xff\xfea\x00", "1:1: is UTF-16, not UTF-8 text; save it as UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_stands(text: str | bytes, told: str) -> None:
    assert str(read(text).findings[0]).startswith(f"lead.yaml:{told}")


def test_a_missing_file(tmp_path: object) -> None:
    source = read_file(__import__("pathlib").Path(str(tmp_path)) / "gone.yaml")
    assert "cannot be read (No such file or directory)" in str(source.findings[0])
