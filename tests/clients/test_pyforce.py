"""pyforce, of the beatbox family: the SOAP port as clients without a WSDL use it."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client

CLIENT = Client(
    name="pyforce",
    package="pyforce",
    side="Salesforce",
    settings="`serverUrl` is the address of SOAP login at the sandbox's https address; requests are packed with gzip.",
    cannot={"bulk": "SOAP has no jobs; 200 rows in a call are its most"},
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_python(box, "salesforce", "sf_pyforce.py", tmp_path_factory.mktemp("pyforce"))


@CLIENT.does("login", "`login`, `getUserInfo`, `logout`; a wrong password and a session that is over are faults")
def test_pyforce_login(seen: Seen) -> None:
    assert seen["login"] == {"wrong": "INVALID_LOGIN", "user": True, "after": "INVALID_SESSION_ID"}


@CLIENT.does(
    "read", "`query` and `queryMore` with types by describe and a parent's field; `retrieve`, `describeGlobal`"
)
def test_pyforce_read(box: Running, seen: Seen) -> None:
    told = dict(seen["read"])
    assert told.pop("owner") in {row["Email"] for row in box.rows("salesforce", "User")}
    assert told == {
        "head": [600, False, 500], "rows": 600, "types": ["datetime", False], "retrieved": True, "status": "picklist",
        "objects": True,
    }  # fmt: skip


@CLIENT.does("create", "`create`, two hundred rows at a time")
def test_pyforce_create(box: Running, seen: Seen) -> None:
    assert seen["create"] == {"made": 600}
    assert sum(row["Company"] == "Pyforce" for row in box.rows("salesforce", "Lead")) == 600


@CLIENT.does("update", "`update`; a None becomes `fieldsToNull`")
def test_pyforce_update(box: Running, seen: Seen) -> None:
    assert seen["update"]["success"]
    (row,) = [row for row in box.rows("salesforce", "Lead") if row["Id"] == seen["update"]["id"]]
    assert (row["LastName"], row["Title"]) == ("New", None)


@CLIENT.does("upsert", "`upsert` by an external id")
def test_pyforce_upsert(seen: Seen) -> None:
    assert seen["upsert"] == {"created": [True, False], "same": True}


@CLIENT.does("delete", "`delete`, which calls the ids `id`; what is deleted already is an error of the row")
def test_pyforce_delete(box: Running, seen: Seen) -> None:
    assert (seen["delete"]["success"], seen["delete"]["again"]) == (True, "ENTITY_IS_DELETED")
    assert seen["delete"]["id"] in {row["Id"] for row in box.deleted("salesforce", "Lead")}


@CLIENT.does("batch", "good and bad rows in one call, each for itself")
def test_pyforce_batch(seen: Seen) -> None:
    assert seen["batch"] == {"each": [True, False], "code": "REQUIRED_FIELD_MISSING"}


@CLIENT.does("error", "faults with the API's codes")
def test_pyforce_error(seen: Seen) -> None:
    assert seen["error"] == {"query": "INVALID_FIELD", "type": "INVALID_TYPE"}


@CLIENT.does("changes", "`getUpdated` and `getDeleted`")
def test_pyforce_changes(seen: Seen) -> None:
    assert seen["changes"] == {"updated": True, "deleted": [seen["delete"]["id"]]}


@CLIENT.does("convert", "`convertLead`; the contact that came of it is found by `search`")
def test_pyforce_convert(seen: Seen) -> None:
    assert seen["convert"] == {"success": True, "opportunity": "006", "found": 1}
