"""Formatting changes nothing of what a mapping says, loses no comment, and has nothing left to do the second time."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapping.fmt import NotFormatted, changed_lines, comments, formatted
from mapping.source import read_file, read_text

NAMES = ("salesforce", "dynamics")
CONFIG = Path(__file__).resolve().parents[2] / "config"

blanks = st.text(" ", max_size=3)
words = st.one_of(
    st.text("abcXYZ059åß日 .&/-_", min_size=1, max_size=8)
    .map(str.strip)
    .filter(lambda t: t.strip(" .&/-") != "" and t[:1].isalpha()),
    st.integers(0, 999).map(str),
    st.text('ab# ,:{}[]\\"\t', max_size=8).map(lambda t: '"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"'),
    st.text("ab# ,:{}'", max_size=8).map(lambda t: "'" + t.replace("'", "''") + "'"),
)
keys = st.sampled_from(
    ["salesforce", "dynamics", "convert", "rule", "lossy", "zone", "state", "other", "filler", "reason"]
)
remarks = st.text("ab #:{}'\"é", max_size=10).map(lambda t: "" if not t else f" #{t}")


@st.composite
def spaced(draw: st.DrawFn, depth: int = 2) -> str:
    """A value on one line, with blanks wherever YAML allows them."""
    kind = draw(st.sampled_from(["word", "word", "map", "list"])) if depth else "word"
    if kind == "word":
        return draw(words)
    if kind == "list":
        items = draw(st.lists(spaced(depth - 1), max_size=3))
        return "[" + ",".join(f"{draw(blanks)}{item}{draw(blanks)}" for item in items) + "]"
    names = draw(st.lists(keys, max_size=4, unique=True))
    cells = [f"{draw(blanks)}{name}:{draw(blanks)} {draw(spaced(depth - 1))}{draw(blanks)}" for name in names]
    return "{" + ",".join(cells) + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Sections as a mapping has them, some values over several lines, comments, blanks and line ends of all kinds."""
    lines: list[str] = []
    for section in draw(
        st.lists(st.sampled_from(["fields", "values", "status", "stage", "x"]), unique=True, min_size=1)
    ):
        lines.append(f"{section}:{draw(blanks)}{draw(remarks)}")
        for number in range(draw(st.integers(1, 3))):
            lines += [f"{draw(blanks)}{remark}" for remark in draw(st.lists(remarks, max_size=2))]
            form = draw(st.sampled_from(["line", "line", "block", "folded", "quoted", "deep"]))
            name = f"  n{number}:"
            text = draw(
                st.lists(st.text("ab #:{", min_size=1, max_size=6).map(lambda t: f"a{t}"), min_size=1, max_size=3)
            )
            if form == "line":
                lines.append(f"{name}{draw(blanks)} {draw(spaced())}{draw(blanks)}{draw(remarks)}")
            elif form == "deep":
                lines += [name, f"    inner:{draw(blanks)} {draw(spaced())}{draw(remarks)}"]
            elif form == "quoted":
                body = "\n    ".join(text).replace("#", "h")
                lines += f'{name} "{body}"'.split("\n")
            else:
                lines += [f"{name} {'|' if form == 'block' else '>'}", *(f"    {one}" for one in text)]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(lines) + draw(st.sampled_from(["", end, end * 3, f"{end}  {end}"]))


@settings(max_examples=60, deadline=None)
@given(documents())
def test_what_is_said_stays_and_the_second_time_nothing_is_left_to_do(text: str) -> None:
    before = read_text(text, file="it.yaml")
    if before.findings:
        with pytest.raises(NotFormatted):
            formatted(text, file="it.yaml", names=NAMES)
        return
    tidy = formatted(text, file="it.yaml", names=NAMES)
    after = read_text(tidy, file="it.yaml")
    assert after.findings == []
    assert after.data == before.data
    assert comments(tidy) == comments(text)
    assert formatted(tidy, file="it.yaml", names=NAMES) == tidy
    assert bool(changed_lines(text, tidy)) == (text != tidy)


def test_what_we_ship_is_formatted() -> None:
    files = sorted(CONFIG.rglob("*.yaml"))
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert formatted(text, file=str(file), names=_connections(file)) == text


def _connections(file: Path) -> list[str]:
    """Of the folder that the file belongs to."""
    settings = next(one / "crmbridge.yaml" for one in file.parents if (one / "crmbridge.yaml").is_file())
    return list(read_file(settings).data["connections"])


def test_each_thing_that_is_done() -> None:
    before = (
        "fields:   # all of them  \n"
        "  b: { rule: both,dynamics:  lastname ,salesforce: LastName }   # why\n"
        "values:\n"
        "  t:\n"
        "    r: {lossy: dynamics, dynamics: [ 1,2 ], salesforce: 'a , b'}\n"
        "status:\n"
        "  text: |\n"
        "    stays   \n"
        "  new: {dynamics: New, salesforce: Open, state: open}\n"
        "\n"
        "\n"
    )
    after = (
        "fields:   # all of them\n"
        "  b: {salesforce: LastName, dynamics: lastname, rule: both}   # why\n"
        "values:\n"
        "  t:\n"
        "    r: {salesforce: 'a , b', dynamics: [1, 2], lossy: dynamics}\n"
        "status:\n"
        "  text: |\n"
        "    stays   \n"
        "  new: {state: open, salesforce: Open, dynamics: New}\n"
    )
    assert formatted(before, file="it.yaml", names=NAMES) == after
    assert changed_lines(before, after) == [1, 2, 5, 9, 10, 11]


def test_what_goes_over_several_lines_or_says_nothing_is_left_alone() -> None:
    text = "fields:\n  a: {rule: both,\n    salesforce:  A}\n  b: {salesforce: , dynamics:  b}\n"
    assert formatted(text, file="it.yaml", names=NAMES) == text


def test_what_cannot_be_read_is_not_touched() -> None:
    with pytest.raises(NotFormatted, match=r"it\.yaml:2:1: a: duplicate key"):
        formatted("a: 1\na: 2\n", file="it.yaml", names=NAMES)
