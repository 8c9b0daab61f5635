"""The conformance table says what is served, with a proof that exists, and the page shows the table as it is."""

import re

import pytest

from tests.support import conformance
from tests.support.material import DATA

ROWS = conformance.rows()


def test_each_row_is_of_a_known_sheet_and_standing() -> None:
    for row in ROWS:
        assert row.sheet in conformance.SHEETS, row.place
        assert row.standing in conformance.STANDINGS, row.place
        assert row.evidence, f"{row.place}: a row without evidence says nothing"


def test_each_test_that_a_row_names_exists() -> None:
    missing = {f"{row.place}: {test}" for row in ROWS for test in row.tests if not conformance.exists(test)}
    assert not missing, "\n".join(sorted(missing))


def test_nothing_is_listed_twice() -> None:
    seen: dict[tuple[str, str], str] = {}
    for row in ROWS:
        key = (row.sheet, " ".join(row.item.casefold().split()))
        assert key not in seen, f"{row.place} and {seen[key]}: {row.item}"
        seen[key] = row.place


def test_each_section_stands_in_its_sheet() -> None:
    sheets = DATA.parent / "facts"
    if not sheets.is_dir():
        pytest.skip("the fact sheets are not here")
    for sheet in conformance.SHEETS:
        text = (sheets / f"{sheet}.md").read_text(encoding="utf-8")
        sections = set(re.findall(r"^#+ (\d+(?:\.\d+)?)", text, re.MULTILINE))
        wrong = [f"{row.place}: §{row.section}" for row in ROWS if row.sheet == sheet and row.section not in sections]
        assert not wrong, wrong


def test_each_row_is_of_a_part_that_has_a_name() -> None:
    nameless = [row.place for row in ROWS if int(row.section.partition(".")[0]) not in conformance.PARTS[row.sheet]]
    assert not nameless, "add the part to PARTS"


def test_the_page_shows_the_table_as_it_is() -> None:
    page = conformance.PAGE.read_text(encoding="utf-8")
    assert page == conformance.with_table(page), "run: python -m tests.support.conformance"


def test_the_sandboxs_page_sums_the_table_up() -> None:
    page = conformance.OVERVIEW.read_text(encoding="utf-8")
    assert page == conformance.with_summary(page), "run: python -m tests.support.conformance"
    counted = [int(part) for line in page.splitlines() for part in re.findall(r"§\d+: [^|]*\| (\d+)", line)]
    assert sum(counted) == sum(row.standing == "served" for row in ROWS)
