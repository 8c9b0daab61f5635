"""airbyte-source-salesforce by its command line: Salesforce read as a data pipeline does it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.harness import Running, drive_python, running
from tests.clients.table import Client

CLIENT = Client(
    name="airbyte-source-salesforce",
    package="airbyte-source-salesforce",
    side="Salesforce",
    settings="Its login host is fixed and reached through `HTTPS_PROXY`; `instance_url` is what the token answer says.",
    cannot={
        **dict.fromkeys(("create", "update", "upsert", "delete", "batch"), "it is a source: it only reads"),
        "convert": "it is a source: it only reads",
    },
)
ROWS = 2100
DAY = 86_400


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    with running() as box:
        box.control.advance(-2 * DAY)
        rows = [{"LastName": f"L{number}", "Company": "Air"} for number in range(ROWS)]
        ids = box.fill_salesforce("Lead", rows)
        box.salesforce("DELETE", f"sobjects/Lead/{ids[0]}")
        box.control.advance(2 * DAY)  # its own clock says what is newer than its last look
        yield box


@pytest.fixture(scope="module")
def home(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("airbyte-salesforce")
    given = box.connect["salesforce"]
    config = {key: given[key] for key in ("client_id", "client_secret", "refresh_token")}
    config |= {"start_date": "2026-01-01T00:00:00Z", "stream_slice_step": "P3650D", "lookback_window": "PT10S"}
    config |= {"force_use_bulk_api": True}  # else it takes objects with compound fields by REST
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "wrong.json").write_text(json.dumps(config | {"client_secret": "guess" * 9}), encoding="utf-8")
    return folder


def source(box: Running, home: Path, *words: str) -> Any:
    return drive_python(
        box, "airbyte-salesforce", "airbyte.py", home, "source-salesforce", *words, proxy=True, MPLCONFIGDIR=str(home)
    )


@pytest.fixture(scope="module")
def first(box: Running, home: Path) -> Any:
    return source(box, home, "config.json", "read", "Lead", "incremental")


@CLIENT.does("login", "`check` with a refresh token")
def test_airbyte_salesforce_login(box: Running, home: Path) -> None:
    assert source(box, home, "config.json", "check")["status"] == "SUCCEEDED"


@CLIENT.does("error", "`check` with a wrong secret")
def test_airbyte_salesforce_error(box: Running, home: Path) -> None:
    told = source(box, home, "wrong.json", "check")
    assert told["status"] != "SUCCEEDED"
    assert told["message"] or told["trace"]


@CLIENT.does("read", "`discover`, then `read` of all leads, the deleted ones among them")
@CLIENT.does("bulk", "`read` takes leads by a Bulk 2.0 query job")
def test_airbyte_salesforce_read(box: Running, first: Any) -> None:
    assert {"Account", "Contact", "Lead", "Opportunity"} <= set(first["streams"])
    assert first["properties"]["LastName"]["type"] == ["string", "null"]
    assert len({row["Id"] for row in first["records"]}) == ROWS
    assert sum(row["IsDeleted"] for row in first["records"]) == 1
    assert {"bulk_create", "bulk_results"} <= {call["kind"] for call in box.control.raw_calls()}


@CLIENT.does("changes", "`read` again from the state: what was edited and deleted since")
def test_airbyte_salesforce_changes(box: Running, home: Path, first: Any) -> None:
    edited, gone = (row["Id"] for row in first["records"] if not row["IsDeleted"] and row["LastName"] in {"L7", "L8"})
    box.salesforce("PATCH", f"sobjects/Lead/{edited}", {"Title": "Chief"})
    box.salesforce("DELETE", f"sobjects/Lead/{gone}")
    again = source(box, home, "config.json", "read", "Lead", "incremental", "state.json")
    assert {row["Id"]: row["IsDeleted"] for row in again["records"]} == {edited: False, gone: True}
