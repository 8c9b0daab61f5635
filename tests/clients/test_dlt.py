"""dlt's rest_api source, on both CRMs over https: everything, and from then on what is newer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.harness import Running, drive_python, running
from tests.clients.table import Client

CLIENT = Client(
    name="dlt (rest_api)",
    package="dlt",
    side="both",
    settings="`base_url` and the token's address are the sandbox's https addresses; paging by `json_link` on "
    "`nextRecordsUrl` and `'@odata.nextLink'`.",
    cannot={
        **dict.fromkeys(("create", "update", "upsert", "delete", "batch"), "it is a source: it only reads"),
        "bulk": "it knows pages of JSON, no jobs",
        "convert": "it is a source: it only reads",
    },
)
ROWS = 2100
HOUR = 3600


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    with running() as box:
        box.fill_salesforce("Lead", [{"LastName": f"L{number}", "Company": "Dlt"} for number in range(ROWS)])
        box.fill_dynamics("lead", "leads", [{"subject": "S", "lastname": f"L{number}"} for number in range(ROWS)])
        yield box


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dlt")


def load(box: Running, home: Path, side: str, secret: str = "right") -> Any:
    more = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__REQUEST_MAX_ATTEMPTS": "1"}
    return drive_python(box, "dlt", "dlt_rest.py", home, side, secret, **more)


@CLIENT.does("login", "client credentials, on Salesforce and on Dynamics")
@CLIENT.does("read", "SOQL and OData, page after page, into files")
@CLIENT.does("changes", "an incremental cursor on `SystemModstamp` and `modifiedon`")
@pytest.mark.parametrize("side", ["salesforce", "dynamics"])
def test_dlt_read(box: Running, home: Path, side: str) -> None:
    names = load(box, home, side)["names"]
    assert len(set(names)) == len(names) == ROWS
    box.control.advance(HOUR)
    if side == "salesforce":
        box.fill_salesforce("Lead", [{"LastName": "New", "Company": "Dlt"}])
    else:
        box.fill_dynamics("lead", "leads", [{"subject": "S", "lastname": "New"}])
    assert load(box, home, side)["names"] == ["New"]


@CLIENT.does("error", "a wrong secret: the token's address answers 400 or 401, and dlt says so")
@pytest.mark.parametrize("side", ["salesforce", "dynamics"])
def test_dlt_error(box: Running, home: Path, side: str) -> None:
    kind, status, _ = load(box, home, side, "guess" * 9)["error"]
    assert (kind, status) in {("HTTPError", 400), ("HTTPError", 401)}
