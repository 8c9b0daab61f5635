"""`check --live` against real option sets: each status reason and stage that no row of the mapping reads is named.

Both orgs are shapes made here from the material beside the checkout, with the words that companies add.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.project import Project, project
from tests.support.vocabularies import (
    OWN_REASONS,
    OWN_STAGE,
    OWN_STAGES,
    OWN_STATUSES,
    dynamics_shape,
    salesforce_shape,
)

pytestmark = [pytest.mark.journey]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("options")
    seed = folder / "seed"
    seed.mkdir()
    for crm, shape in (("salesforce", salesforce_shape()), ("dynamics", dynamics_shape())):
        with (seed / f"{crm}.shape.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(shape, file)
    with project(folder, seed=seed) as made:
        yield made


UNMAPPED = re.compile(
    r"(?P<axis>status|stage): (?P<side>\w+)'s '(?P<label>[^']+)'(?: \((?P<value>[^)]+)\))?"
    r"(?: of process (?P<process>\w+))? is not mapped: records that have it are held;"
    r" add it to a row of `(?P=axis):`, or paste `(?P<row>[^`]+)` at its end"
)


def unmapped(company: Project) -> dict[str, list[dict[str, str]]]:
    checked = company.run("check", "--live", "--json")
    assert checked.code == 0, str(checked)
    found: dict[str, list[dict[str, str]]] = {"lead": [], "opportunity": []}
    for one in checked.json["findings"]:
        told = UNMAPPED.match(one["text"])
        if told:
            assert one["level"] == "warning"
            found[Path(one["where"].split(":")[0]).stem].append(told.groupdict())
    return found


def test_every_unmapped_reason_and_stage_is_named_with_the_row_to_paste(company: Project) -> None:
    """The shipped mapping knows all that is out of the box, so just the company's own words are named; once the rows
    that the check offers are pasted, it has nothing more to say about them."""
    named = unmapped(company)
    assert {(each["side"], each["label"], each["value"]) for each in named["lead"]} == {
        *(("salesforce", label, None) for label, _ in OWN_STATUSES),
        *(("dynamics", label, str(value)) for value, label, _ in OWN_REASONS["lead"]),
    }
    assert {(each["side"], each["label"], each["value"]) for each in named["opportunity"]} == {
        *(("salesforce", label, None) for label, *_ in OWN_STAGES),
        *(("dynamics", label, str(value)) for value, label, _ in OWN_REASONS["opportunity"]),
        ("dynamics", OWN_STAGE["name"], OWN_STAGE["id"]),
    }
    states = {"Duplicate": "disqualified", "Recycled": "open", "Converted by Partner": "converted",
              "No Budget": "lost", "Verbal Commitment": "open", "Legal Review": "open"}  # fmt: skip
    for each in (*named["lead"], *named["opportunity"]):
        assert f"state: {states.get(each['label'], '')}" in each["row"]
        paste(company, each["axis"], each["row"])
    assert unmapped(company) == {"lead": [], "opportunity": []}


def paste(company: Project, axis: str, row: str) -> None:
    file = {"status": "lead", "stage": "opportunity"}[axis]
    path = company.folder / "mappings" / f"{file}.yaml"
    text = path.read_text(encoding="utf-8")
    if f"\n  {row}\n" not in text:  # a value of the same name on both sides is one row
        before, table, rest = text.partition(f"\n{axis}:\n")
        rows = re.match(r"(?: .*\n|#.*\n)*", rest)
        assert rows is not None
        path.write_text(f"{before}{table}{rows[0]}  {row}\n{rest[rows.end() :]}", encoding="utf-8")
