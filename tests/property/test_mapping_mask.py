"""Made-up values keep the shape of the real ones and nothing else; an example is added without touching the rest."""

import re
import unicodedata
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mapping.fmt import comments
from mapping.mask import Masker
from mapping.source import read_text
from mapping.yaml_lines import NotAppended, append, flow

KEY, OTHER_KEY = b"1" * 32, b"2" * 32
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=30)


def shape(text: str) -> str:
    """Letters by case, digits, and all else as it is."""
    return "".join(
        "9" if c.isdigit() else "a" if c.isalpha() and unicodedata.category(c) == "Ll" else "A" if c.isalpha() else c
        for c in text
    )


@given(texts)
def test_a_text_keeps_its_shape_and_no_letter_of_its_words(text: str) -> None:
    whole = unicodedata.normalize("NFC", text)
    masked = Masker(key=KEY).text(text)
    assert len(masked) == len(whole)
    plain = [(a, b) for a, b in zip(whole, masked, strict=True) if a.isascii()]
    assert shape("".join(b for _, b in plain)) == shape("".join(a for a, _ in plain))
    assert all(a != b for a, b in plain if a.isalpha() or a in "123456789")
    assert Masker(key=KEY).text(text) == masked


@given(st.text("abcdefghij ABC", min_size=8, max_size=20))
def test_the_same_word_is_the_same_wherever_it_stands_and_another_key_makes_another(text: str) -> None:
    assume(len(set(text.casefold()) - {" "}) > 3)
    masker = Masker(key=KEY)
    assert masker.text(f"{text} and {text.upper()}").startswith(masker.text(text))
    assert masker.text(text.upper()).casefold() == masker.text(text).casefold()
    words = text.split()
    assert [masker.text(word) for word in words] == masker.text(text).split()
    assert Masker(key=OTHER_KEY).text(text * 3) != masker.text(text * 3)


def test_each_kind() -> None:
    masker = Masker(key=KEY)
    assert re.fullmatch(r"[a-z]{4}\.[a-z]{4}@[a-z]{4}\.example", masker.email("anna.berg@acme.com"))
    assert masker.email("anna.berg@acme.com").partition("@")[0] == masker.text("anna.berg")
    assert re.fullmatch(r"https://www\.[a-z]{4}\.example/[a-z]{5}", masker.url("https://www.acme.com/about"))
    assert re.fullmatch(r"\+46 \d-\d{3} \d{2} \d{2}", masker.phone("+46 8-123 45 67"))
    assert re.fullmatch(r"\(\d{3}\) \d{3}-\d{4}", masker.phone("(850) 555-0142"))
    assert masker.phone("+46 8-123 45 67")[4:] != "8-123 45 67"
    assert re.fullmatch(r"-\d{3}\.\d{2}", str(masker.number(Decimal("-123.45"))))
    assert masker.number(0) == 0
    assert str(masker.number(Decimal("7.00"))).endswith(".00")
    assert (masker.link("account", "a"), masker.link("account", "b"), masker.link("account", "a")) == (
        "account-1", "account-2", "account-1",
    )  # fmt: skip


@given(st.dates(min_value=date(1990, 1, 1)), st.dates(min_value=date(1990, 1, 1)))
def test_days_keep_their_weekday_and_their_distance(one: date, two: date) -> None:
    masker = Masker(key=KEY)
    assert masker.day(one) < one
    assert masker.day(one).weekday() == one.weekday()
    assert masker.day(two) - masker.day(one) == two - one


values = st.recursive(
    st.one_of(texts, st.integers(-(10**9), 10**9), st.booleans(), st.none()),
    lambda inner: st.dictionaries(st.from_regex(r"[A-Za-z_][\w@ ]{0,8}", fullmatch=True), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["name", "given", "expect"]), values, min_size=1), min_size=1, max_size=2)
)
def test_what_is_added_is_read_again_and_what_was_there_stays(entries: list[dict[str, object]]) -> None:
    for before in (
        "",
        "# ours\nexamples:\n  - name: one   # why\n    given: {a:  1}\n",
        "examples:\n- name: one",
        "examples:\r\n    - {name: one}\r\n",
    ):
        after = append(before, "examples", entries, file="it.yaml")
        assert after.startswith(before)
        read = read_text(after, file="it.yaml")
        assert read.findings == []
        known = read_text(before, file="it.yaml").data["examples"] if before else []
        assert read.data["examples"] == [*known, *entries]
        assert comments(after) == (comments(before) if before else [])


@pytest.mark.parametrize(
    "text",
    [
        "examples: [{name: one}]\n",
        "examples:\n  - name: one\nmore: 1\n",
        "other: 1\n",
        "examples:\n",
        "a: 1\na: 2\n",
        "- 1\n",
    ],
)
def test_a_file_of_another_form_is_left_alone(text: str) -> None:
    with pytest.raises(NotAppended):
        append(text, "examples", [{"name": "two"}], file="it.yaml")


@given(values)
def test_a_value_on_one_line_is_read_again(value: object) -> None:
    assert read_text(f"a: {flow(value)}\n", file="it.yaml").data == {"a": value}
