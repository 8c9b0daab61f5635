"""The Salesforce CLI over plain http, with Node 22 of its own."""

import pytest

from tests.clients.harness import Running, Seen, drive_cli
from tests.clients.table import Client

CLIENT = Client(
    name="Salesforce CLI",
    package="@salesforce/cli",
    side="Salesforce",
    settings="`sf org login access-token --instance-url` the sandbox's http address, the token in `SF_ACCESS_TOKEN`.",
    cannot={
        "changes": "no command asks for changes",
        "convert": "no command converts",
    },
)
pytestmark = pytest.mark.timeout(600)  # each of its commands takes seconds to start


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    quiet = (
        "SF_DISABLE_TELEMETRY",
        "SF_AUTOUPDATE_DISABLE",
        "SF_SKIP_NEW_VERSION_CHECK",
        "SF_USE_GENERIC_UNIX_KEYCHAIN",
    )
    return drive_cli(box, "sf_cli.py", tmp_path_factory.mktemp("cli"), **dict.fromkeys(quiet, "true"))


@CLIENT.does("login", "`org login access-token`, `org display`")
def test_salesforce_cli_login(box: Running, seen: Seen) -> None:
    given = box.connect["salesforce"]
    assert seen["login"] == {
        "username": given["username"], "org": given["org_id"], "connected": "Connected", "shown": given["org_id"],
    }  # fmt: skip


@CLIENT.does("read", "`data query` of more than a page, with the columns' types; `sobject describe`, `sobject list`")
def test_salesforce_cli_read(seen: Seen) -> None:
    assert seen["read"] == {"total": 2290, "rows": 2290, "done": True, "fields": True, "objects": True}


@CLIENT.does("create", "`data create record`")
def test_salesforce_cli_create(box: Running, seen: Seen) -> None:
    assert seen["create"]["id"] in {row["Id"] for row in box.rows("salesforce", "Lead")}


@CLIENT.does("update", "`data update record`, `data get record`")
def test_salesforce_cli_update(seen: Seen) -> None:
    assert seen["change"]["row"] == ["New Name", "Chief"]


@CLIENT.does("upsert", "`data upsert bulk` by an external id")
def test_salesforce_cli_upsert(box: Running, seen: Seen) -> None:
    assert seen["upsert"] == [[3, 0], [3, 0]]
    keys = [row["CrmBridge_Id__c"] for row in box.rows("salesforce", "Lead") if row["CrmBridge_Id__c"]]
    assert sorted(keys) == ["cli/0", "cli/1", "cli/2"]


@CLIENT.does("delete", "`data delete record`")
def test_salesforce_cli_delete(box: Running, seen: Seen) -> None:
    assert seen["change"]["id"] in {row["Id"] for row in box.deleted("salesforce", "Lead")}


@CLIENT.does("batch", "`data import tree`")
def test_salesforce_cli_batch(box: Running, seen: Seen) -> None:
    assert seen["batch"] == {"made": 3}
    assert sum(row["Company"] == "Tree" for row in box.rows("salesforce", "Lead")) == 3


@CLIENT.does("bulk", "`data import bulk`, `data export bulk`, `data delete bulk`")
def test_salesforce_cli_bulk(seen: Seen) -> None:
    assert (seen["bulk"]["made"], seen["bulk"]["rows"]) == ([2300, 0], 2300)
    assert seen["bulk"]["gone"] == [10, 0]


@CLIENT.does("error", "name and text of a refused create, query and read")
def test_salesforce_cli_error(seen: Seen) -> None:
    assert seen["error"]["missing"] == ["REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"]
    assert seen["error"]["query"][0] == "INVALID_FIELD"
    assert seen["error"]["unknown"][0] == "NOT_FOUND"
