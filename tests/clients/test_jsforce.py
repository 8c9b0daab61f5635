"""jsforce (npm) over plain http, through everything it offers."""

import pytest

from tests.clients.harness import Running, Seen, drive_node
from tests.clients.table import Client

CLIENT = Client(
    name="jsforce",
    package="jsforce",
    side="Salesforce",
    settings="`loginUrl` and `instanceUrl` are the sandbox's http address.",
    cannot={},
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_node(box, "jsforce.cjs", tmp_path_factory.mktemp("jsforce"))


@CLIENT.does("login", "SOAP login, OAuth with a password, a refresh token after a 401, identity")
def test_jsforce_login(box: Running, seen: Seen) -> None:
    username = box.connect["salesforce"]["username"]
    assert seen["login"] == {"same": True, "username": username, "refreshed": 1, "wrong": seen["login"]["wrong"]}
    assert "INVALID_LOGIN" in seen["login"]["wrong"]


@CLIENT.does("read", "`query`, `queryMore`, `autoFetch` with a smaller batch size, `find`, `describe`")
def test_jsforce_read(seen: Seen) -> None:
    assert seen["read"] == {
        "page": [2290, False, 2000], "more": [True, 290], "all": 2290, "found": 1, "described": True,
    }  # fmt: skip


@CLIENT.does("create", "`create` of one row")
def test_jsforce_create(box: Running, seen: Seen) -> None:
    assert seen["create"]["success"]
    (row,) = [row for row in box.rows("salesforce", "Lead") if row["Id"] == seen["create"]["id"]]
    assert (row["LastName"], row["Company"]) == ("Single", "One")


@CLIENT.does("update", "`update` of one row")
def test_jsforce_update(seen: Seen) -> None:
    assert seen["update"] == {"success": True, "phone": "+47 22 00 00 00"}


@CLIENT.does("upsert", "`upsert` by an external id, of one row and of many")
def test_jsforce_upsert(box: Running, seen: Seen) -> None:
    assert seen["upsert"] == {"created": [True, False, False, True, True], "same": True}
    names = {row["CrmBridge_Id__c"]: row["LastName"] for row in box.rows("salesforce", "Lead")}
    assert [names[f"js/{number}"] for number in (1, 2, 3)] == ["M1", "M2", "M3"]


@CLIENT.does("delete", "`destroy` of one row")
def test_jsforce_delete(box: Running, seen: Seen) -> None:
    assert seen["remove"]["success"]
    assert seen["remove"]["id"] in {row["Id"] for row in box.deleted("salesforce", "Lead")}


@CLIENT.does("batch", "arrays of rows: Collections, 200 at a time")
def test_jsforce_batch(box: Running, seen: Seen) -> None:
    assert seen["batch"] == {"created": 2300, "updated": 201, "titles": ["Chief"] * 3, "deleted": 10}
    assert sum(row.get("Title") == "Chief" for row in box.rows("salesforce", "Lead")) == 201


@CLIENT.does("bulk", "`bulk2`: load with good and bad rows, query, update")
def test_jsforce_bulk(box: Running, seen: Seen) -> None:
    assert {key: value for key, value in seen["bulk"].items() if key != "bad"} == {
        "good": 50, "unprocessed": 0, "read": 50, "changed": 50,
    }  # fmt: skip
    (bad,) = seen["bulk"]["bad"]
    assert bad.startswith("REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]")
    assert sum(row["Company"] == "Bulky" and row["Title"] == "Bulk" for row in box.rows("salesforce", "Lead")) == 50


@CLIENT.does("error", "codes and texts of a refused create, read, query and session")
def test_jsforce_error(seen: Seen) -> None:
    assert (seen["error"]["missing"], seen["error"]["unknown"]) == ("REQUIRED_FIELD_MISSING", "NOT_FOUND")
    code, text = seen["error"]["query"]
    assert code == "INVALID_FIELD"
    assert "No such column 'Nothing' on entity 'Lead'." in text
    assert seen["error"]["stranger"] == "INVALID_SESSION_ID"


@CLIENT.does("changes", "`updated` and `deleted` of a span of time")
def test_jsforce_changes(seen: Seen) -> None:
    assert seen["changes"] == {"updated": True, "covered": True, "deleted": 11}


@CLIENT.does("convert", "`soap.convertLead`")
def test_jsforce_convert(box: Running, seen: Seen) -> None:
    assert seen["convert"] == {"deal": "Deal", "converted": True, "again": "CANNOT_UPDATE_CONVERTED_LEAD"}
    assert [row["Name"] for row in box.rows("salesforce", "Opportunity")] == ["Deal"]
