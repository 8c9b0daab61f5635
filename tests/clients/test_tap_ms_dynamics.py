"""tap-ms-dynamics (Singer): leads by `modifiedon`, described by `$metadata`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.harness import PERSON, Running, drive_python, fails, running
from tests.clients.table import Client

CLIENT = Client(
    name="tap-ms-dynamics",
    package="tap-ms-dynamics",
    side="Dynamics",
    settings="`organization_uri` is the sandbox's http address; its login host is fixed: through `HTTPS_PROXY`.",
    cannot=dict.fromkeys(
        ("create", "update", "upsert", "delete", "batch", "bulk", "convert"), "it is a tap: it only reads"
    ),
)
ROWS = 1200
HOUR = 3600


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    with running() as box:
        box.fill_dynamics("lead", "leads", [{"subject": "S", "lastname": f"L{number}"} for number in range(ROWS - 1)])
        box.control.advance(HOUR)
        box.fill_dynamics("lead", "leads", [{"subject": "S", "lastname": "Last", "estimatedamount": 12.5}])
        yield box


def tap(box: Running, home: Path, *state: str, **config: str) -> Any:
    given = box.connect["dynamics"]
    told = {key: given[key] for key in ("client_id", "client_secret")}
    told |= {
        "refresh_token": box.control.people("dynamics", PERSON)["refresh_token"],
        "start_date": "2020-01-01T00:00:00Z", "organization_uri": given["url"], "user_agent": "tap",
        "redirect_uri": "https://localhost", "max_pagesize": 500, **config,
    }  # fmt: skip
    (home / "config.json").write_text(json.dumps(told), encoding="utf-8")
    words = ("tap-ms-dynamics", "config.json", "lead", *state)
    return drive_python(box, "tap-ms-dynamics", "singer.py", home, *words, proxy=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tap-ms-dynamics")


@pytest.fixture(scope="module")
def first(box: Running, home: Path) -> Any:
    return tap(box, home)


@CLIENT.does("login", "the older token endpoint with a person's refresh token, which is renewed")
@CLIENT.does("read", "tables and columns of `$metadata` and EntityDefinitions, then rows, 500 a page")
def test_tap_ms_dynamics_read(first: Any) -> None:
    assert {"account", "contact", "lead", "opportunity"} <= set(first["streams"])
    properties = first["properties"]
    assert properties["modifiedon"]["format"] == "date-time"
    assert "number" in properties["estimatedamount"]["type"]
    assert "integer" in properties["leadsourcecode"]["type"]
    assert len({row["leadid"] for row in first["records"]}) == ROWS
    assert next(row["estimatedamount"] for row in first["records"] if row["lastname"] == "Last") == 12.5


@CLIENT.does("changes", "again from the state: `modifiedon ge` the last one")
def test_tap_ms_dynamics_changes(box: Running, home: Path, first: Any) -> None:
    box.control.advance(HOUR)
    edited = next(row["leadid"] for row in first["records"] if row["lastname"] == "L7")
    box.dynamics("PATCH", f"leads({edited})", {"jobtitle": "Chief"})
    again = tap(box, home, "state.json")
    assert [row["lastname"] for row in again["records"]] == ["Last", "L7"]


@CLIENT.does("error", "a wrong refresh token ends it, and it says why")
def test_tap_ms_dynamics_error(box: Running, tmp_path: Path) -> None:
    said = fails(lambda: tap(box, tmp_path, refresh_token="guess" * 9))
    assert "Non-200 response fetching Dynamics access token" in said
