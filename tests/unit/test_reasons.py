"""A reason is told with the connections' names, and without the codes of our own tables."""

import pytest

from crmbridge.model import Side
from crmbridge.reasons import case_of, for_people

NAMES: dict[Side, str] = {"left": "salesforce", "right": "dynamics"}


@pytest.mark.parametrize(
    ("reason", "side", "told"),
    [
        ("changed on the left (L2)", "right", "changed on salesforce"),
        (
            "city: changed on the right; fax: blank is filled (L2)",
            "left",
            "city: changed on dynamics; fax: blank is filled",
        ),
        ("always right", "left", "always dynamics"),
        ("prefer left", "right", "prefer salesforce"),
        ("won there (O6)", "right", "won on salesforce"),
        ("won there (O6)", None, "won there"),
        ("converted there; disqualified here (C7)", "left", "converted on dynamics; disqualified on salesforce"),
        ("left as it is", None, "left as it is"),
        ("stands in for one that there is none of (O15)", "left", "stands in for one that there is none of"),
    ],
)
def test_a_reason_names_the_connection(reason: str, side: Side | None, told: str) -> None:
    assert for_people(reason, NAMES, side) == told


def test_the_row_of_the_tables_is_found() -> None:
    assert (case_of("changed on the left (L2)"), case_of("put back")) == ("L2", None)
