"""Mappings in an editor: what VS Code's YAML support makes of our schemas, and what a strict validator says of them."""

import shutil
from pathlib import Path

import pytest

from crmbridge.cli.error_handler import run as run_program
from tests.clients.harness import Running, Seen, drive_node
from tests.support.project import CHECKOUT


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("editor")
    shutil.copytree(CHECKOUT / "config" / "mappings", folder / "mappings")
    for name in ("mapping.schema.json", "values.schema.json", "examples.schema.json", "crmbridge.schema.json"):
        shutil.copy(CHECKOUT / "config" / name, folder)
    shutil.copy(CHECKOUT / "config" / "crmbridge.yaml", folder)
    (folder / "shape.yaml").write_text("salesforce: {extends: salesforce}\ndynamics: {extends: dynamics}\n")
    words = ["mapping", "schema", "--shape", str(folder / "shape.yaml"), "--out", str(folder)]
    assert run_program(words) == 0
    lead = folder / "mappings" / "lead.yaml"
    lead.write_text(lead.read_text().replace("../mapping.schema.json", "../lead.schema.json"))
    return drive_node(box, "editor.cjs", Path(tmp_path_factory.mktemp("home")), str(folder))


def test_the_shipped_mapping_is_clean_and_what_is_wrong_is_underlined(seen: Seen) -> None:
    assert seen["clean"] == []
    told = "\n".join(seen["broken"])
    assert "emial" in told or "Valid values" in told
    assert len(seen["broken"]) >= 2


def test_keys_are_explained(seen: Seen) -> None:
    assert "how the value is read and written" in seen["hover"]


def test_words_are_completed_with_this_orgs_own(seen: Seen) -> None:
    assert {"email", "money", "phone", "text"} <= set(seen["kinds"])
    assert {"LastName", "Company", "LeadSource"} <= set(seen["columns"])
    assert {"New", "Contacted", "Qualified"} <= set(seen["statuses"])


def test_the_choices_of_the_settings_are_completed_and_checked(seen: Seen) -> None:
    assert {"mirror", "person_accounts", "late_edit"} <= set(seen["options"])
    assert {"account if company", "person_account", "hold"} <= set(seen["choices"])
    assert "is a conversion carried out on the other side" in seen["mirror"]
    assert "its lead there stays as it is" in seen["mirror"]
    assert "new records" in seen["creates"]
    assert seen["schedules"] == []
    assert seen["never"] == []
    assert len(seen["nevr"]) == 1


def test_the_schemas_are_sound_in_strict_mode(seen: Seen) -> None:
    assert set(seen["schemas"].values()) == {"sound"}
    made = {"lead.schema.json", "opportunity.schema.json"}
    shipped = {f"{name}.schema.json" for name in ("mapping", "values", "examples", "crmbridge")}
    assert made | shipped <= set(seen["schemas"])
