"""zeep on a partner WSDL: the SOAP port in somebody else's eyes. The WSDL lies beside some checkouts only."""

import pytest

from tests.clients.harness import Running, Seen, drive_python
from tests.clients.table import Client
from tests.support.material import folder

CLIENT = Client(
    name="zeep on a partner WSDL",
    package="zeep",
    side="Salesforce",
    settings="The service's address is the sandbox's https address.",
    cannot={"bulk": "SOAP has no jobs; 200 rows in a call are its most"},
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    wsdl = folder("sf-wsdl-partner-v27") / "partner.wsdl.xml"
    return drive_python(box, "salesforce", "sf_zeep.py", tmp_path_factory.mktemp("zeep"), str(wsdl))


@CLIENT.does("login", "`login`, `getUserInfo`, `logout`; a wrong password is a fault")
def test_zeep_login(seen: Seen) -> None:
    assert seen["login"] == {"wrong": "INVALID_LOGIN", "user": True, "organization": True}


@CLIENT.does("read", "`query` and `queryMore` with a batch size and a parent's field; `describeSObjects`")
def test_zeep_read(box: Running, seen: Seen) -> None:
    owners = {row["Email"] for row in box.rows("salesforce", "User")}
    assert seen["read"]["owner"] in owners
    assert {key: value for key, value in seen["read"].items() if key != "owner"} == {
        "head": [500, False, 200], "rows": 500, "described": ["Lead", "Account"], "fields": True,
    }  # fmt: skip


@CLIENT.does("create", "`create`, a hundred rows at a time")
def test_zeep_create(box: Running, seen: Seen) -> None:
    assert seen["create"] == {"made": 500}
    assert sum(row["Company"] == "Zeep" for row in box.rows("salesforce", "Lead")) == 500


@CLIENT.does("update", "`update` with `fieldsToNull`")
def test_zeep_update(box: Running, seen: Seen) -> None:
    (row,) = [row for row in box.rows("salesforce", "Lead") if row["Id"] == seen["update"]["id"]]
    assert (row["LastName"], row["Title"]) == ("New", None)


@CLIENT.does("upsert", "`upsert` by an external id")
def test_zeep_upsert(seen: Seen) -> None:
    assert seen["upsert"] == {"created": [True, False], "same": True}


@CLIENT.does("delete", "`delete` and `undelete`")
def test_zeep_delete(box: Running, seen: Seen) -> None:
    gone, back = seen["delete"]["ids"]
    assert (seen["delete"]["deleted"], seen["delete"]["undeleted"]) == ([True, True], True)
    assert gone in {row["Id"] for row in box.deleted("salesforce", "Lead")}
    assert back in {row["Id"] for row in box.rows("salesforce", "Lead")}


@CLIENT.does("batch", "good and bad rows in one call, each for itself and with `AllOrNoneHeader`")
def test_zeep_batch(seen: Seen) -> None:
    assert seen["batch"] == {"each": [True, False], "code": "REQUIRED_FIELD_MISSING", "whole": [False, False]}


@CLIENT.does("error", "codes of a refused row, and faults of a query and a session")
def test_zeep_error(seen: Seen) -> None:
    assert seen["error"] == {
        "row": "REQUIRED_FIELD_MISSING", "query": "sf:INVALID_FIELD", "session": "sf:INVALID_SESSION_ID",
    }  # fmt: skip


@CLIENT.does("changes", "`getUpdated` and `getDeleted`")
def test_zeep_changes(seen: Seen) -> None:
    assert seen["changes"] == {"updated": True, "deleted": [seen["delete"]["ids"][0]]}


@CLIENT.does("convert", "`convertLead` and `merge`")
def test_zeep_convert(seen: Seen) -> None:
    told = seen["convert"]
    assert (told["done"], told["again"]) == ([True, True, "006"], "CANNOT_UPDATE_CONVERTED_LEAD")
    assert told["merged"]
