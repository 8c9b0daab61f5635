"""Every problem that a mapping can have is explained, and nothing is explained that cannot happen."""

import re

from mapping.codes import CODES
from tests.support.mapping_problems import PAGE, page, told


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.mapping_problems"


def test_every_code_that_is_told_is_in_the_table_and_the_other_way_round() -> None:
    assert {code: where for code, where in told().items() if code not in CODES} == {}
    assert set(CODES) - set(told()) == set()


def test_codes_are_words_and_every_row_says_what_to_do() -> None:
    for code, row in CODES.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code), code
        for cell in (row.cause, row.example, row.fix):
            assert cell, code
            assert "\n" not in cell, code
