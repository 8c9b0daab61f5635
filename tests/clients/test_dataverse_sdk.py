"""Microsoft's PowerPlatform-Dataverse-Client over TLS, with tokens by msal."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client

CLIENT = Client(
    name="PowerPlatform-Dataverse-Client",
    package="PowerPlatform-Dataverse-Client",
    side="Dynamics",
    settings="`base_url` is the sandbox's https address, its authority in `REQUESTS_CA_BUNDLE`; msal with the "
    "sandbox's `authority` and `instance_discovery=False`.",
    cannot={
        "changes": "it cannot ask for tracked changes or follow a delta link",
        "convert": "it has no call for actions and functions",
    },
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_python(box, "dataverse", "dv_sdk.py", tmp_path_factory.mktemp("sdk"))


@CLIENT.does("login", "msal with a client secret; a wrong one is an AADSTS error, plain http is refused by the client")
def test_dataverse_sdk_login(seen: Seen) -> None:
    assert (seen["login"]["rows"], seen["login"]["plain"]) == (1, "ValueError")
    assert seen["login"]["wrong"].startswith("AADSTS7000215")


@CLIENT.does("read", "`records.list_pages`, `records.list` with annotations")
def test_dataverse_sdk_read(seen: Seen) -> None:
    assert seen["read"] == {"pages": [120, 120, 60], "chiefs": 10}


@CLIENT.does(
    "read",
    "metadata: `tables.get`, `list`, `list_columns` with their types, relationships, `odata_expands`",
)
def test_dataverse_sdk_metadata(seen: Seen) -> None:
    assert seen["metadata"] == {
        "set": "leads", "typed": [300, 0], "columns": True, "tables": True, "relationships": True, "relationship": True,
        "expands": True,
    }  # fmt: skip


@CLIENT.does("upsert", "an alternate key made, indexed, used and dropped by the client itself")
def test_dataverse_sdk_keys(seen: Seen) -> None:
    assert seen["keys"] == {
        "made": ["crmbridge_AccountNumberKey", ["accountnumber"]], "status": "Active", "names": ["L"], "left": [],
        "dropped": [400, True],
    }  # fmt: skip


@CLIENT.does("read", "`query.fetchxml`, page after page; `query.sql`")
def test_dataverse_sdk_fetch(seen: Seen) -> None:
    assert seen["fetch"] == {"pages": [100, 100, 100], "sql": ["M0", "M1", "M10", "M100", "M101"]}


@CLIENT.does("create", "`records.create`; a choice by its label, which the client looks up")
def test_dataverse_sdk_create(box: Running, seen: Seen) -> None:
    (row,) = [row for row in box.rows("dynamics", "lead") if row["leadid"] == seen["create"]["key"]]
    assert (row["lastname"], row["leadsourcecode"]) == ("Single", 8)


@CLIENT.does("update", "`records.update`")
def test_dataverse_sdk_update(seen: Seen) -> None:
    assert seen["update"] == {"name": "New"}


@CLIENT.does("upsert", "`records.upsert` by an alternate key, one and many")
def test_dataverse_sdk_upsert(box: Running, seen: Seen) -> None:
    assert seen["upsert"] == {"names": ["L"]}
    assert {"sdk-0", "sdk-1", "sdk-2"} <= {row["crmbridge_externalid"] for row in box.rows("dynamics", "lead")}


@CLIENT.does("delete", "`records.delete` of one, of many, and as a bulk delete job")
def test_dataverse_sdk_delete(box: Running, seen: Seen) -> None:
    assert seen["delete"]["after"] is None
    assert set(seen["delete"]["keys"]) <= {row["leadid"] for row in box.deleted("dynamics", "lead")}
    assert seen["delete"]["job"]


@CLIENT.does("batch", "`batch` with a change set, a reference in it, a read, and a bad row with continue-on-error")
def test_dataverse_sdk_batch(box: Running, seen: Seen) -> None:
    assert seen["batch"] == {"statuses": [204, 204, 204, 200, 400], "ids": 3, "codes": ["0x8004431A"], "read": 5}
    (contact,) = [row for row in box.rows("dynamics", "contact") if row["lastname"] == "Ref"]
    (account,) = [row for row in box.rows("dynamics", "account") if row["name"] == "Ref"]
    assert account["_primarycontactid_value"] == contact["contactid"]


@CLIENT.does("bulk", "`CreateMultiple`, `UpdateMultiple`, `UpsertMultiple`")
def test_dataverse_sdk_bulk(box: Running, seen: Seen) -> None:
    assert seen["bulk"] == {"keys": 300}
    titles = [
        row["jobtitle"] for row in box.rows("dynamics", "lead") if row["companyname"] == "Many" and row["jobtitle"]
    ]
    assert sorted(titles) == [*["Chief"] * 10, "First", "Second"]


@CLIENT.does("error", "`HttpError` with status and code; a missing row is None")
def test_dataverse_sdk_error(seen: Seen) -> None:
    assert seen["error"] == {"value": [400, "0x8004431A"], "column": [400, "0x80060888"], "missing": None}
