"""Vocabularies that companies made their own: what a mapping does not know is named, and values outlive their names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import Project
from tests.support.shapes import company, put_mappings, shape, standard_drafts

pytestmark = [pytest.mark.journey]

SHAPES = ("relabelled", "swedish", "japanese", "sixty_stages", "two_converted", "lost_flagged_won")


@pytest.fixture(scope="module", params=SHAPES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Project]]:
    with company(tmp_path_factory.mktemp(request.param), request.param) as made:
        yield request.param, made


def findings(made: Project) -> list[Any]:
    """Errors and warnings about the mapping files; a note asks for nothing."""
    checked = made.run("check", "--live", "--json")
    assert checked.code in (0, 2), str(checked)
    return [one for one in checked.json["findings"] if one["file"] is not None and one["level"] != "note"]


def of(found: list[Any], code: str) -> list[str]:
    return [one["text"] for one in found if one["code"] == code]


# --- the shipped mapping: everything that it does not know is named ---------------------------------------------------


def test_each_unmapped_status_and_stage_is_named_by_its_value(served: tuple[str, Project]) -> None:
    name, made = served
    told = of(findings(made), "status-unmapped")
    expected = unknown(name)
    assert len(told) == len(expected), (told, expected)
    for side, label, value in expected:
        shown = f"{side}'s {label!r}" if value in (label, None) else f"{side}'s {label!r} ({value})"
        assert sum(f"{shown} is not mapped" in text or f"{shown} of process" in text for text in told) == 1, shown


def unknown(name: str) -> list[tuple[str, str, Any]]:
    """What the shape has and the shipped mapping does not: connection, label, value. Its words are the standard's."""
    mine = shape(name)
    words = {row["label"] for row in OUT_OF_THE_BOX["lead_statuses"] + OUT_OF_THE_BOX["opportunity_stages"]}
    found: list[tuple[str, str, Any]] = []
    for key in ("lead_statuses", "opportunity_stages"):
        for row in mine["salesforce"].get(key, ()):
            value = row.get("api_name") or row["label"]
            wrong = any(row["label"] == label and bool(row.get("won")) != won for label, won in CLOSED.items())
            if value not in words or wrong:
                found.append(("salesforce", row["label"], value))
    columns = mine["dynamics"].get("columns", {})
    for table in ("lead", "opportunity"):
        for value, option in columns.get(table, {}).get("statuscode", {}).get("options", {}).items():
            if option["label"] not in DYNAMICS_WORDS and (table == "lead" or option["state"] != 0):
                found.append(("dynamics", option["label"], value))
    for value, label in columns.get("opportunity", {}).get("salesstage", {}).get("options", {}).items():
        found.append(("dynamics", label, value))
    for process in mine["dynamics"].get("processes", {}).values():
        found += [("dynamics", stage["name"], stage["id"]) for stage in process["stages"]]
    return found


CLOSED = {"Closed Won": True, "Closed Lost": False}
DYNAMICS_WORDS = {
    *("New", "Contacted", "Qualified", "Lost", "Cannot Contact", "No Longer Interested", "Canceled"),
    *("Won", "Out-Sold"),
}
OUT_OF_THE_BOX: Any = {
    "lead_statuses": [
        {"label": label}
        for label in ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")
    ],
    "opportunity_stages": [
        {"label": label}
        for label in (
            *("Prospecting", "Qualification", "Needs Analysis", "Value Proposition", "Id. Decision Makers"),
            *("Perception Analysis", "Proposal/Price Quote", "Negotiation/Review", "Closed Won", "Closed Lost"),
        )
    ],
}


def test_a_flag_that_contradicts_its_name_is_an_error_with_the_value(tmp_path: Path) -> None:
    with company(tmp_path, "lost_flagged_won") as made:
        told = of(findings(made), "status-against-flag")
    assert sorted(text.partition(",")[0] for text in told) == [
        "stage.canceled.salesforce: the row says lost",
        "stage.out_sold.salesforce: the row says lost",
        "stage.won.salesforce: the row says won",
    ]
    assert sum("makes 'Closed Lost' won" in text for text in told) == 2
    assert sum("makes 'Closed Won' lost" in text for text in told) == 1


def test_a_status_that_only_sounds_converted_is_told(tmp_path: Path) -> None:
    with company(tmp_path, "two_converted") as made:
        told = [one["text"] for one in made.run("check", "--live", "--json").json["findings"]]
    assert sum("'Converted by hand' is called converted, but its flag says it is not" in text for text in told) == 1


# --- by value and by label --------------------------------------------------------------------------------------------


def test_a_mapping_by_value_outlives_new_labels_and_one_by_label_fails_loudly(tmp_path: Path) -> None:
    texts = standard_drafts(tmp_path, by_value=True)
    results: list[Any] = []
    by_label: list[Any] = []
    for name in (None, "relabelled"):
        folder = tmp_path / str(name)
        folder.mkdir()
        with company(folder, name) as made:
            if name:
                by_label = findings(made)
            put_mappings(made, texts)
            assert findings(made) == []
            made.first_run()
            made.settle()
            assert made.verify()["differences"] == []
            results.append(carried(made))
    assert results[0] == results[1], "the same mapping makes the same of the same records, whatever they are called"
    missing = {text.partition("has no status ")[2].partition(";")[0] for text in of(by_label, "status-unknown")}
    assert missing >= {
        *("'New'", "'Contacted'", "'Qualified'", "'Lost'", "'Cannot Contact'", "'No Longer Interested'", "'Canceled'"),
        *("'Qualify'", "'Develop'", "'Propose'", "'Close'", "'Won'", "'Out-Sold'"),
    }


def carried(made: Project) -> dict[str, list[Any]]:
    """Statuses, stages and choices of all rows, by what people call the record."""
    dump = made.box.control.dump()
    wanted = {
        ("salesforce", "Lead"): ("LastName", "Company", "Status", "LeadSource", "Rating", "Industry"),
        ("salesforce", "Opportunity"): ("Name", "StageName", "IsWon", "IsClosed"),
        ("dynamics", "lead"): ("lastname", "companyname", "statuscode", "leadsourcecode", "leadqualitycode"),
        ("dynamics", "opportunity"): ("name", "statecode", "statuscode", "salesstage"),
    }
    return {
        f"{crm} {table}": sorted(str([row.get(column) for column in columns]) for row in dump[crm][table])
        for (crm, table), columns in wanted.items()
    }


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_draft_asks_the_check_tells_again(name: str, tmp_path: Path) -> None:
    """A draft has no other errors than the one a person must decide: which statuses are open, where none is known."""
    with company(tmp_path, name) as made:
        drafted = made.run_here("mapping", "init", "--force", "--by-value", "--json")
        assert drafted.code == 0, drafted
        found = findings(made)
    errors = [one["code"] for one in found if one["level"] == "error"]
    assert errors == (["no-open-row"] * 2 if name in ("swedish", "japanese") else [])
    asked = {one["file"]: one["question"] for one in drafted.json["files"]}
    named = {one["code"] for one in found} - {"no-open-row"}
    assert named <= {
        *("status-unmapped", "value-unmapped", "converted-status-open", "column-required-unfed"),
        *("won-not-flagged", "converted-not-flagged", "lost-flagged-won", "state-without-row"),
    }
    if name == "relabelled":
        assert found == []
    else:
        assert asked["lead.yaml"] + asked["opportunity.yaml"] > 0
