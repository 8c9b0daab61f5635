"""simple-salesforce over https, its fixed login hosts through the sandbox's proxy."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client

CLIENT = Client(
    name="simple-salesforce",
    package="simple-salesforce",
    side="Salesforce",
    settings="`instance_url` is the sandbox's https address; logins go to the real hosts, through `HTTPS_PROXY`.",
    cannot={"convert": "it has no call for `convertLead`"},
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_python(box, "salesforce", "sf_simple.py", tmp_path_factory.mktemp("simple"), proxy=True)


@CLIENT.does("login", "SOAP, OAuth with a password, a signed JWT, client credentials")
def test_simple_salesforce_login(seen: Seen) -> None:
    assert seen["login"] == {"same": True, "ways": 4, "wrong": [True, "INVALID_LOGIN"]}


@CLIENT.does("read", "`query`, `query_more`, `query_all_iter`, `describe`, `limits`")
def test_simple_salesforce_read(seen: Seen) -> None:
    assert seen["read"] == {
        "first": [2200, False, 2000], "more": 200, "all": 2200, "sobjects": True, "fields": True, "limits": True,
    }  # fmt: skip


@CLIENT.does("create", "`Lead.create`")
def test_simple_salesforce_create(box: Running, seen: Seen) -> None:
    (row,) = [row for row in box.rows("salesforce", "Lead") if row["Id"] == seen["create"]["id"]]
    assert (row["LastName"], row["NumberOfEmployees"]) == ("Single", 7)


@CLIENT.does("update", "`Lead.update`")
def test_simple_salesforce_update(seen: Seen) -> None:
    assert seen["update"] == {"status": 204, "name": "New"}


@CLIENT.does("upsert", "`Lead.upsert` by an external id")
def test_simple_salesforce_upsert(seen: Seen) -> None:
    assert seen["upsert"] == {"statuses": [201, 200], "name": "K"}


@CLIENT.does("delete", "`Lead.delete`")
def test_simple_salesforce_delete(box: Running, seen: Seen) -> None:
    assert seen["delete"]["status"] == 204
    assert seen["delete"]["id"] in {row["Id"] for row in box.deleted("salesforce", "Lead")}


@CLIENT.does("batch", "`restful` with Collections and Composite")
def test_simple_salesforce_batch(box: Running, seen: Seen) -> None:
    assert seen["batch"] == {"made": 200, "composite": [201, 201]}
    (account,) = [row for row in box.rows("salesforce", "Account") if row["Name"] == "Ref"]
    assert [row["AccountId"] for row in box.rows("salesforce", "Contact")] == [account["Id"]]


@CLIENT.does("bulk", "`bulk2`: insert from a file with good and bad rows, results, query in pages, delete")
def test_simple_salesforce_bulk2(seen: Seen) -> None:
    told = seen["bulk"]
    assert (told["loaded"], told["good"], told["deleted"]) == ([2301, 1], 2300, 100)
    assert "REQUIRED_FIELD_MISSING" in told["bad"]
    assert (told["pages"], told["ids"]) == (3, 2300)


@CLIENT.does("bulk", "`bulk` (Bulk API 1.0): insert, update, query")
def test_simple_salesforce_bulk(seen: Seen) -> None:
    assert seen["bulk1"] == {"made": [True, True], "updated": [True, True], "read": 2}


@CLIENT.does("error", "an exception of its own class for each status, with the code")
def test_simple_salesforce_error(seen: Seen) -> None:
    assert seen["error"] == {
        "missing": ["SalesforceMalformedRequest", 400, "REQUIRED_FIELD_MISSING"],
        "unknown": ["SalesforceResourceNotFound", 404, "NOT_FOUND"],
        "query": ["SalesforceMalformedRequest", 400, "INVALID_FIELD"],
        "session": ["SalesforceExpiredSession", 401, "INVALID_SESSION_ID"],
    }


@CLIENT.does("changes", "`Lead.updated` and `Lead.deleted` of a span of time")
def test_simple_salesforce_changes(seen: Seen) -> None:
    assert seen["changes"] == {"updated": True, "deleted": 101}
