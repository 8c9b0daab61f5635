"""docs/explanation/security.md and tests/security say the same."""

import re

from tests.support.project import CHECKOUT

PAGE = CHECKOUT / "docs" / "explanation" / "security.md"
TESTS = CHECKOUT / "tests" / "security"


def test_every_test_module_of_the_table_exists_and_every_module_is_in_it() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "test_" in line]
    named = {name for row in rows for name in re.findall(r"`(test_\w+\.py)`", row)}
    assert named == {path.name for path in TESTS.glob("test_*.py")}
    assert all(len(row.split(" | ")) == 3 and row.split(" | ")[2].strip(" |") for row in rows)
