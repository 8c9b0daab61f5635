"""Whatever the program may tell those on call has a section that says what happened, how bad it is and what to do."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from crmbridge.alerts import KINDS, PAGE
from crmbridge.oncall import PAGES, is_known, page_of
from crmbridge.sandbox.fault_words import WORDS
from tests.support import oncall
from tests.support.oncall import CHECKOUT, FOLDER, INDEX, PARTS
from tests.support.reference import DOCS

RUNBOOKS = "https://github.com/crmbridge/crmbridge/tree/main/docs/howto/on-call/"
RULES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(CHECKOUT / "deploy" / "prometheus" / "alerts.yaml")[
    "groups"
][0]["rules"]
RUNBOOK_OF = {rule["alert"]: rule["annotations"].get("runbook_url", "") for rule in RULES}


def _place(url: str) -> tuple[str, str]:
    page, _, section = url.removeprefix(RUNBOOKS).partition(".md#")
    return page, section


SECTIONS = (
    {(page, section) for page, some in PAGES.items() for section in some}
    | {("alerts", kind) for kind in KINDS}
    | {_place(url) for url in RUNBOOK_OF.values() if url}
)
# All that the specification's simulation does to the engine (reliability, section 10), in the words of the table.
FAULTS = {
    "killed in the middle of its work",
    "worker frozen past its lease",
    "store commit unknown",
    "disk full",
    "hint lost",
    "hint doubled",
    "all hints lost",
    "clock skew",
    "429",
    "403 limit",
    "503, 504",
    "reset or timeout before the commit",
    "reset or timeout after the commit",
    "slow commit past our deadline",
    "truncated body",
    "token expired or revoked",
    "row lock",
    "partial batch",
    "late commit with an old stamp",
    "equal stamps at a page's border",
    "delta expired",
    "edited between our reading and our writing",
    "edited in the same second",
    "converted, deleted, merged, restored or reopened meanwhile",
    "automation rewrites our value",
    "validation rule or required field appears",
    "picklist changed",
}


@pytest.mark.parametrize("alert", sorted(RUNBOOK_OF))
def test_every_alert_of_prometheus_leads_to_a_section(alert: str) -> None:
    assert RUNBOOK_OF[alert].startswith(RUNBOOKS)
    page, section = _place(RUNBOOK_OF[alert])
    text = oncall.sections(FOLDER / f"{page}.md").get(section, "")
    assert all(part in text for part in PARTS)
    assert re.search(r"^```sh\ncrmbridge ", text, re.MULTILINE)


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


def test_every_fault_that_is_tried_is_in_the_table_with_what_one_sees_a_page_and_a_command() -> None:
    table = INDEX.read_text(encoding="utf-8").partition("## What may go wrong")[2].partition("## Index")[0]
    lines = re.findall(r"^\| .+ \|$", table, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]
    assert {row[0] for row in rows} == FAULTS
    for _, seen, pages, command in rows:
        assert seen
        for page, section in re.findall(r"\]\((\w+)\.md#([\w-]+)\)", pages) or [("", "")]:
            assert section in oncall.sections(FOLDER / f"{page}.md")
        assert re.fullmatch(r"`crmbridge .+`", command)
