"""aio-sf over https: queries, Collections, Bulk 2.0 queries."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client

CLIENT = Client(
    name="aio-sf",
    package="aio-sf",
    side="Salesforce",
    settings="`instance_url` of each way to log in is the sandbox's https address, its authority in `SSL_CERT_FILE`.",
    cannot={
        "changes": "it has no call for `updated`, `deleted` or streams",
        "convert": "it speaks no SOAP",
    },
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_python(box, "salesforce", "sf_aiosf.py", tmp_path_factory.mktemp("aiosf"))


@CLIENT.does("login", "client credentials and a refresh token, each with introspection; a given token")
def test_aio_sf_login(seen: Seen) -> None:
    assert seen["login"]["rows"] == [1, 1]
    assert "401" in seen["login"]["wrong"] or "400" in seen["login"]["wrong"]


@CLIENT.does("read", "`query.soql`, page after page; `describe.sobject`")
def test_aio_sf_read(seen: Seen) -> None:
    assert seen["read"] == {"total": 2300, "rows": 2300, "fields": True}


@CLIENT.does("create", "`collections.insert` of one row")
def test_aio_sf_create(box: Running, seen: Seen) -> None:
    assert seen["create"]["id"] in {row["Id"] for row in box.rows("salesforce", "Lead")}


@CLIENT.does("update", "`collections.update`")
def test_aio_sf_update(box: Running, seen: Seen) -> None:
    assert seen["update"] == {"updated": 201}
    assert sum(row["Title"] == "Chief" for row in box.rows("salesforce", "Lead")) == 201


@CLIENT.does("upsert", "`collections.upsert` by an external id")
def test_aio_sf_upsert(seen: Seen) -> None:
    assert seen["upsert"] == {"created": [True, False, True]}


@CLIENT.does("delete", "`collections.delete`")
def test_aio_sf_delete(box: Running, seen: Seen) -> None:
    assert seen["delete"]["success"] == [True]
    assert seen["delete"]["id"] in {row["Id"] for row in box.deleted("salesforce", "Lead")}


@CLIENT.does("batch", "`collections.insert`, 200 rows at a time and several requests at once, good and bad rows")
def test_aio_sf_batch(seen: Seen) -> None:
    assert seen["batch"] == {"made": 2300, "mixed": [True, False], "code": "REQUIRED_FIELD_MISSING"}


@CLIENT.does("bulk", "`bulk_v2.execute_query` and its pages of results")
def test_aio_sf_bulk(seen: Seen) -> None:
    assert seen["bulk"] == {"pages": [1000, 1000, 300]}


@CLIENT.does("error", "the status and the body of a refused query")
def test_aio_sf_error(seen: Seen) -> None:
    assert seen["error"] == {"field": [400, "INVALID_FIELD"], "object": [400, "INVALID_TYPE"]}
