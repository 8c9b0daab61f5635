"""`check --live` against real option sets: each status reason and stage that no row of the mapping reads is named.

Both orgs are shapes made here from the material beside the checkout, with the words that companies add.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.material import cdm_options, describe
from tests.support.project import CHECKOUT, Project, project

pytestmark = [pytest.mark.journey]

SHIPPED = CHECKOUT / "crmbridge" / "sandbox" / "shapes"
TABLES = ("Lead", "Opportunity", "Account", "Contact")
# Value, label, state: reasons as companies add them.
OWN_REASONS = {
    "lead": [(804240001, "Nurturing", 0), (804240003, "Qualified by Partner", 1), (804240004, "Duplicate", 2)],
    "opportunity": [(804240010, "Renewed", 1), (804240011, "Lost to Competitor", 2), (804240012, "No Budget", 2)],
}
OWN_STAGE = {"id": "7b1f3c52-5d43-4c55-9a09-6c1f1f7f1a01", "name": "Legal Review", "category": 3,
             "table": "opportunity"}  # fmt: skip
OWN_STATUSES = [("Nurturing", False), ("Recycled", False), ("Converted by Partner", True)]
OWN_STAGES = [("Verbal Commitment", False, False), ("Renewed", True, True), ("Lost to Competitor", True, False)]


def dynamics_shape() -> dict[str, Any]:
    """The shipped environment with each choice's options as the schema documents have them."""
    shape: dict[str, Any] = YAML(typ="safe").load((SHIPPED / "dynamics.yaml").read_text(encoding="utf-8"))
    for name in TABLES:
        table = name.lower()
        for column, options in cdm_options(name).items():
            facts = shape["columns"][table].get(column)
            if facts is None or facts["type"] not in {"Picklist", "Status"}:
                continue  # the states themselves carry the default status, which the documents do not tell
            own = OWN_REASONS.get(table, []) if facts["type"] == "Status" else []
            facts.pop("option_set", None)
            facts["options"] = {
                value: label if state is None else {"label": label, "state": state}
                for value, label, state in [*options, *own]
            }
    shape["processes"]["opportunitysalesprocess"]["stages"].append(OWN_STAGE)
    return shape


def salesforce_shape() -> dict[str, Any]:
    """The shipped org with the picklists of a real one."""
    objects: dict[str, Any] = {}
    for name in TABLES:
        picklists = {each["name"]: each for each in describe(name)["fields"] if each["type"] == "picklist"}
        objects[name] = {"fields": {key: {"picklistValues": values(each)} for key, each in picklists.items()}}
    statuses = objects["Lead"]["fields"].pop("Status")["picklistValues"]
    stages = objects["Opportunity"]["fields"].pop("StageName")["picklistValues"]
    return {
        "extends": "salesforce",
        "objects": objects,
        "lead_statuses": [
            *({"label": each["label"], "converted": each["label"] == "Closed - Converted"} for each in statuses),
            *({"label": label, "converted": converted} for label, converted in OWN_STATUSES),
        ],
        "opportunity_stages": [
            *({"label": each["label"], "closed": each["label"].startswith("Closed"),
               "won": each["label"] == "Closed Won", "probability": 10} for each in stages),
            *({"label": label, "closed": closed, "won": won, "probability": 10} for label, closed, won in OWN_STAGES),
        ],
    }  # fmt: skip


def values(field: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {key: each[key] for key in ("value", "label", "active", "defaultValue")} for each in field["picklistValues"]
    ]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("options")
    seed = folder / "seed"
    seed.mkdir()
    for crm, shape in (("salesforce", salesforce_shape()), ("dynamics", dynamics_shape())):
        with (seed / f"{crm}.shape.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(shape, file)
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
