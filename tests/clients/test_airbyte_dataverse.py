"""airbyte-source-microsoft-dataverse by its command line: change tracking as a data pipeline does it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.harness import Running, drive_python, running
from tests.clients.table import Client

CLIENT = Client(
    name="airbyte-source-microsoft-dataverse",
    package="airbyte-source-microsoft-dataverse",
    side="Dynamics",
    settings="`url` is the sandbox's http address; its login host is fixed and reached through `HTTPS_PROXY`.",
    cannot={
        **dict.fromkeys(("create", "update", "upsert", "delete", "bulk"), "it is a source: it only reads"),
        "convert": "it is a source: it only reads",
    },
)
ROWS = 1200


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    with running() as box:
        box.fill_dynamics("lead", "leads", [{"subject": "S", "lastname": f"L{number}"} for number in range(ROWS)])
        yield box


@pytest.fixture(scope="module")
def home(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("airbyte-dataverse")
    given = box.connect["dynamics"]
    config = {key: given[key] for key in ("url", "tenant_id", "client_id")}
    config |= {"client_secret_value": given["client_secret"], "odata_maxpagesize": 500}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "wrong.json").write_text(json.dumps(config | {"client_secret_value": "guess" * 9}), encoding="utf-8")
    return folder


def source(box: Running, home: Path, *words: str) -> Any:
    return drive_python(box, "airbyte-dataverse", "airbyte.py", home, "source-microsoft-dataverse", *words, proxy=True)


@pytest.fixture(scope="module")
def first(box: Running, home: Path) -> Any:
    return source(box, home, "config.json", "read", "lead", "incremental")


@CLIENT.does("login", "`check` with a client secret")
def test_airbyte_dataverse_login(box: Running, home: Path) -> None:
    assert source(box, home, "config.json", "check")["status"] == "SUCCEEDED"


@CLIENT.does("error", "`check` with a wrong secret")
def test_airbyte_dataverse_error(box: Running, home: Path) -> None:
    told = source(box, home, "wrong.json", "check")
    assert told["status"] == "FAILED"
    assert "401" in told["message"]


@CLIENT.does("batch", "`discover`: one batch asks each table for the behaviour of its dates")
def test_airbyte_dataverse_discover(first: Any) -> None:
    assert {"account", "contact", "lead", "opportunity"} <= set(first["streams"])
    assert first["modes"] == ["full_refresh", "incremental"]
    properties = first["properties"]
    assert properties["estimatedclosedate"]["format"] == "date"
    assert properties["createdon"]["format"] == "date-time"


@CLIENT.does("read", "`read`, 500 rows a page")
def test_airbyte_dataverse_read(first: Any) -> None:
    assert len({row["leadid"] for row in first["records"]}) == ROWS
    assert all(row["_ab_cdc_updated_at"] for row in first["records"])


@CLIENT.does("changes", "tracked changes: `read` again from the delta token, with rows edited, new and deleted")
def test_airbyte_dataverse_changes(box: Running, home: Path, first: Any) -> None:
    edited, gone = (row["leadid"] for row in first["records"] if row["lastname"] in {"L7", "L8"})
    box.dynamics("PATCH", f"leads({edited})", {"jobtitle": "Chief"})
    box.dynamics("DELETE", f"leads({gone})")
    (new,) = box.fill_dynamics("lead", "leads", [{"subject": "S", "lastname": "New"}])
    again = source(box, home, "config.json", "read", "lead", "incremental", "state.json")
    assert {row["leadid"]: bool(row.get("_ab_cdc_deleted_at")) for row in again["records"]} == {
        edited: False, new: False, gone: True,
    }  # fmt: skip
