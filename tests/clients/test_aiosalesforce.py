"""aiosalesforce at the real hosts' names, through the sandbox's proxy."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client

CLIENT = Client(
    name="aiosalesforce",
    package="aiosalesforce",
    side="Salesforce",
    settings="`base_url` is `https://<domain>.my.salesforce.com`, reached through `HTTPS_PROXY`.",
    cannot={
        "changes": "it has no call for `updated`, `deleted` or streams",
        "convert": "it has no SOAP call but the login",
    },
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_python(box, "salesforce", "sf_aio.py", tmp_path_factory.mktemp("aio"), proxy=True)


@CLIENT.does("login", "client credentials, a signed JWT, SOAP")
def test_aiosalesforce_login(seen: Seen) -> None:
    assert seen["login"] == {"ways": 3, "wrong": ["AuthenticationError", "invalid_client"]}


@CLIENT.does("read", "`query`, page after page")
def test_aiosalesforce_read(seen: Seen) -> None:
    assert seen["read"] == {"rows": 2300}


@CLIENT.does("create", "`sobject.create`")
def test_aiosalesforce_create(box: Running, seen: Seen) -> None:
    assert seen["create"]["id"] in {row["Id"] for row in box.rows("salesforce", "Lead")}


@CLIENT.does("update", "`sobject.update`")
def test_aiosalesforce_update(seen: Seen) -> None:
    assert seen["update"] == {"name": "New"}


@CLIENT.does("upsert", "`sobject.upsert` by an external id")
def test_aiosalesforce_upsert(seen: Seen) -> None:
    assert seen["upsert"] == {"created": [True, False], "same": True}


@CLIENT.does("delete", "`sobject.delete`")
def test_aiosalesforce_delete(box: Running, seen: Seen) -> None:
    assert seen["delete"]["after"][0] == "NotFoundError"
    assert seen["delete"]["id"] in {row["Id"] for row in box.deleted("salesforce", "Lead")}


@CLIENT.does("batch", "`composite.batch`, and `composite` with references, all or nothing")
def test_aiosalesforce_batch(box: Running, seen: Seen) -> None:
    told = seen["batch"]
    assert (told["batch"], told["composite"], told["undone"]) == ([1, 201, 400], [201, 201], False)
    accounts = {row["Id"]: row["Name"] for row in box.rows("salesforce", "Account")}
    (contact,) = [row for row in box.rows("salesforce", "Contact") if row["Id"] == told["contact"]]
    assert accounts == {contact["AccountId"]: "Ref"}


@CLIENT.does("bulk", "`bulk_v2.insert` with good and bad rows, and all three results")
def test_aiosalesforce_bulk(seen: Seen) -> None:
    told = seen["bulk"]
    assert (told["good"], told["left"], told["job"]) == (2300, 0, ["JobComplete", "Lead"])
    assert [each.partition(":")[0] for each in told["bad"]] == ["REQUIRED_FIELD_MISSING"]


@CLIENT.does("error", "exceptions with the code")
def test_aiosalesforce_error(seen: Seen) -> None:
    assert seen["error"]["missing"] == ["SalesforceError", "REQUIRED_FIELD_MISSING"]
    assert seen["error"]["unknown"] == ["NotFoundError", "NOT_FOUND"]
