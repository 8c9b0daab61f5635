"""salesforce-bulk over https: Bulk API 1.0 and nothing else."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client

CLIENT = Client(
    name="salesforce-bulk",
    package="salesforce-bulk",
    side="Salesforce",
    settings="`host` is the sandbox's https address; logins go to the real host, through `HTTPS_PROXY`.",
    cannot={
        "changes": "a query job names its own span of time; nothing tracks changes",
        "convert": "Bulk jobs cannot convert",
    },
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_python(box, "salesforce", "sf_bulk1.py", tmp_path_factory.mktemp("bulk1"), proxy=True)


@CLIENT.does("login", "SOAP login with password and security token")
def test_salesforce_bulk_login(seen: Seen) -> None:
    assert seen["login"]["session"]
    assert seen["login"]["endpoint"].endswith(".my.salesforce.com/services/async/40.0")


@CLIENT.does("read", "a query job and its results")
def test_salesforce_bulk_read(seen: Seen) -> None:
    assert seen["read"] == {"head": '"Id","LastName"', "rows": 30}


@CLIENT.does("create", "an insert job")
@CLIENT.does("batch", "batches of a job, each with its results")
@CLIENT.does("bulk", "jobs with CSV batches, polled and closed")
def test_salesforce_bulk_create(box: Running, seen: Seen) -> None:
    assert seen["create"]["good"] == 30
    assert seen["create"]["bad"].startswith("REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]")
    assert set(seen["create"]["ids"]) <= {row["Id"] for row in box.rows("salesforce", "Lead")}


@CLIENT.does("update", "an update job")
def test_salesforce_bulk_update(box: Running, seen: Seen) -> None:
    assert seen["change"]["updated"] == 3
    assert sum(row["Title"] == "Chief" for row in box.rows("salesforce", "Lead")) == 2  # one of them is deleted since


@CLIENT.does("upsert", "an upsert job by an external id")
def test_salesforce_bulk_upsert(box: Running, seen: Seen) -> None:
    assert seen["change"]["upserted"] == ["true", "true"]
    assert {"one/0", "one/1"} <= {row["CrmBridge_Id__c"] for row in box.rows("salesforce", "Lead")}


@CLIENT.does("delete", "a delete job")
def test_salesforce_bulk_delete(box: Running, seen: Seen) -> None:
    assert seen["change"]["deleted"] == ["true"]
    assert seen["change"]["gone"] in {row["Id"] for row in box.deleted("salesforce", "Lead")}


@CLIENT.does("error", "a strange session and an unknown object, refused when the job is made")
def test_salesforce_bulk_error(seen: Seen) -> None:
    assert "InvalidSessionId" in seen["error"]["session"][1]
    assert "InvalidEntity" in seen["error"]["object"][1]
