"""dataverse-api over https: rows one by one, in batches and by bulk messages, and what it asks of metadata first."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client

CLIENT = Client(
    name="dataverse-api",
    package="dataverse-api",
    side="Dynamics",
    settings="`environment_url` is the sandbox's https address; the session that it is given carries a token by msal.",
    cannot={
        "changes": "it cannot ask for tracked changes or follow a delta link",
        "convert": "it has no call for actions",
    },
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_python(box, "dataverse", "dv_api.py", tmp_path_factory.mktemp("api"))


@CLIENT.does("login", "a token by msal; a wrong one is a 401; set, keys and bulk messages of a table are asked first")
def test_dataverse_api_login(seen: Seen) -> None:
    keys = {"crmbridge_ExternalIdKey": ["crmbridge_externalid"]}
    assert seen["login"] == {
        "set": "leads",
        "keys": keys,
        "wrong": "JSONDecodeError",
    }  # it takes for granted that a 401 has a body


@CLIENT.does("read", "`read` in pages; definitions of a table and a relationship, languages")
def test_dataverse_api_read(seen: Seen) -> None:
    assert seen["read"] == {
        "rows": 300, "first": "M0", "definition": "Lead", "relationship": "opportunity_originating_lead",
        "languages": [1033],
    }  # fmt: skip


@CLIENT.does("create", "`create` with the row as answer")
def test_dataverse_api_create(seen: Seen) -> None:
    assert seen["create"] == {"status": 201, "name": "Single0"}


@CLIENT.does("update", "`upsert` by primary key, `delete_columns`")
def test_dataverse_api_update(seen: Seen) -> None:
    assert seen["update"] == {"titled": 2, "left": 1}


@CLIENT.does("upsert", "`upsert` by an alternate key, one by one and in a batch")
def test_dataverse_api_upsert(box: Running, seen: Seen) -> None:
    assert seen["upsert"] == {"rows": 3}
    keys = [row["crmbridge_externalid"] for row in box.rows("dynamics", "lead") if row["crmbridge_externalid"]]
    assert sorted(keys) == ["api-0", "api-1", "api-2"]


@CLIENT.does("delete", "`delete` in a batch, and of what a filter finds")
def test_dataverse_api_delete(box: Running, seen: Seen) -> None:
    assert set(seen["delete"]["keys"]) <= {row["leadid"] for row in box.deleted("dynamics", "lead")}


@CLIENT.does("batch", "`create` in batches of twenty")
def test_dataverse_api_batch(box: Running, seen: Seen) -> None:
    assert seen["batch"] == {"statuses": [200, 200, 200]}
    assert sum(row["companyname"] == "Batch" for row in box.rows("dynamics", "lead")) == 50


@CLIENT.does("bulk", "`CreateMultiple`, where the table is said to take it")
def test_dataverse_api_bulk(box: Running, seen: Seen) -> None:
    assert seen["bulk"] == {"supported": [True, True], "statuses": [200, 200, 200]}
    assert sum(row["companyname"] == "Many" for row in box.rows("dynamics", "lead")) == 300


@CLIENT.does("error", "an exception with the answer")
def test_dataverse_api_error(seen: Seen) -> None:
    assert seen["error"] == {"value": [400, "0x8004431A"], "column": [400, "0x80060888"]}
