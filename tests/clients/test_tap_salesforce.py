"""tap-salesforce (Singer): leads by REST and by Bulk API 1.0, then what is newer than the state."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.harness import Running, drive_python, fails, running
from tests.clients.table import Client

CLIENT = Client(
    name="tap-salesforce",
    package="tap-salesforce",
    side="Salesforce",
    settings="Its login host is fixed and reached through `HTTPS_PROXY`; the catalog goes in by `--properties`.",
    cannot=dict.fromkeys(("create", "update", "upsert", "delete", "batch", "convert"), "it is a tap: it only reads"),
)
ROWS = 2100
HOUR = 3600


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    with running() as box:
        box.control.advance(-48 * HOUR)  # it reads up to this moment of the real clock
        box.fill_salesforce("Lead", [{"LastName": f"L{number}", "Company": "Tap"} for number in range(ROWS - 1)])
        box.control.advance(HOUR)
        box.fill_salesforce("Lead", [{"LastName": "Last", "Company": "Tap"}])
        yield box


def tap(box: Running, home: Path, api: str, *state: str, **config: str) -> Any:
    given = box.connect["salesforce"]
    told = {key: given[key] for key in ("client_id", "client_secret", "refresh_token")}
    told |= {"start_date": "2026-01-01T00:00:00Z", "api_type": api, "select_fields_by_default": "true", **config}
    (home / "config.json").write_text(json.dumps(told), encoding="utf-8")
    words = ("tap-salesforce", "config.json", "Lead", *state)
    return drive_python(box, "tap-salesforce", "singer.py", home, *words, proxy=True)


@CLIENT.does("login", "a refresh token")
@CLIENT.does("read", "`api_type: REST`: `queryAll`, page after page")
def test_tap_salesforce_read(box: Running, tmp_path: Path) -> None:
    told = tap(box, tmp_path, "REST")
    assert {"Account", "Contact", "Lead", "Opportunity"} <= set(told["streams"])
    assert len({row["Id"] for row in told["records"]}) == ROWS


@CLIENT.does("bulk", "`api_type: BULK`: a Bulk API 1.0 query job")
def test_tap_salesforce_bulk(box: Running, tmp_path: Path) -> None:
    told = tap(box, tmp_path, "BULK")
    assert len({row["Id"] for row in told["records"]}) == ROWS


@CLIENT.does("changes", "again from the state: the row on the border, one that was edited and one that was deleted")
def test_tap_salesforce_changes(box: Running, tmp_path: Path) -> None:
    first = tap(box, tmp_path, "REST")
    ids = {row["LastName"]: row["Id"] for row in first["records"]}
    box.control.advance(HOUR)
    box.salesforce("PATCH", f"sobjects/Lead/{ids['L7']}", {"Title": "Chief"})
    box.salesforce("DELETE", f"sobjects/Lead/{ids['L8']}")
    again = tap(box, tmp_path, "REST", "state.json")
    assert {row["LastName"]: row["IsDeleted"] for row in again["records"]} == {"Last": False, "L7": False, "L8": True}


@CLIENT.does("error", "a wrong secret ends it, and it says why")
def test_tap_salesforce_error(box: Running, tmp_path: Path) -> None:
    said = fails(lambda: tap(box, tmp_path, "REST", client_secret="guess" * 9))
    assert "invalid_client" in said or "400" in said
