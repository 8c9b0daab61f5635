"""Whatever the program may tell those on call has a section that says what happened, how bad it is and what to do."""

import re

import pytest

from crmbridge.alerts import KINDS, PAGE
from crmbridge.oncall import PAGES, is_known, page_of
from crmbridge.sandbox.fault_words import WORDS
from tests.support import oncall
from tests.support.oncall import CHECKOUT, FOLDER, INDEX, PARTS
from tests.support.reference import DOCS

SECTIONS = {(page, section) for page, some in PAGES.items() for section in some} | {("alerts", kind) for kind in KINDS}


@pytest.mark.parametrize("word", sorted(oncall.words()))
def test_every_cause_and_code_has_a_section(word: str) -> None:
    assert is_known(word), f"{word} ({oncall.words()[word]}) has no place in crmbridge/oncall.py"


def test_every_cause_of_the_reference_has_a_section() -> None:
    errors = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    ours = errors.partition("## Causes: what the CRMs say")[0]
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", ours, re.MULTILINE)
    words = {word for row in rows for word in re.findall(r"`([^`]+)`", row)} - {"held", "failed", "waiting", "report"}
    assert words
    assert not {word for word in words if not is_known(word)}


@pytest.mark.parametrize(("page", "section"), sorted(SECTIONS))
def test_a_section_says_what_how_bad_and_what_to_do_with_a_command(page: str, section: str) -> None:
    text = oncall.sections(FOLDER / f"{page}.md").get(section)
    assert text is not None, f"{page}.md has no section {section}"
    for part in PARTS:
        assert part in text, part
    assert re.search(r"^```sh\ncrmbridge ", text, re.MULTILINE)
    for cause in PAGES.get(page, {}).get(section, ()):
        assert f"`{cause}`" in text, cause


def test_no_section_is_left_over() -> None:
    written = {(page.stem, name) for page in FOLDER.glob("*.md") if page != INDEX for name in oncall.sections(page)}
    assert written == SECTIONS


def test_no_cause_has_two_sections() -> None:
    causes = [cause for some in PAGES.values() for causes in some.values() for cause in causes]
    assert len(causes) == len(set(causes))


def test_the_index_is_the_programs_own() -> None:
    text = INDEX.read_text(encoding="utf-8")
    assert text == oncall.with_index(text), "run: python -m tests.support.oncall"


def test_what_the_program_prints_is_there() -> None:
    for place in (page_of("gate"), page_of("SOME_CRM_CODE"), *(f"{PAGE}#{kind}" for kind in KINDS)):
        file, _, anchor = place.partition("#")
        assert anchor in oncall.sections(CHECKOUT / file), place


def test_every_failure_that_the_sandbox_can_play_leads_to_a_page() -> None:
    table = INDEX.read_text(encoding="utf-8").partition("## What a CRM or a network may do")[2].partition("## Index")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \| \[[^|]+\) \|$", table, re.MULTILINE)
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} == set(WORDS)
