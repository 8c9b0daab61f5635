"""A field that is mapped later: rows of before are read again, so that nothing is taken for blank that is not."""

from pathlib import Path

import pytest

from tests.support.project import project

pytestmark = pytest.mark.journey


def test_a_field_that_is_mapped_later_overwrites_nothing(tmp_path: Path) -> None:
    with project(tmp_path) as company:
        company.first_run()
        company.settle()
        # Both CRMs have had values in these columns all the time.
        company.change("  # probability:", "  probability:", "mappings/opportunity.yaml")
        planned = company.run("plan", "--json")
        assert planned.code == 0, planned
        assert planned.json["counts"].get("salesforce", {}).get("opportunity") is None
        filled = planned.json["counts"]["dynamics"]["opportunity"]["update"]
        differing = [one for one in planned.json["held"] if one["fields"] == ["probability"]]
        assert filled > 0
        assert {one["cause"] for one in differing} == {"first_run_conflict"}
