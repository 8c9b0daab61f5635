"""dynamics-web-api (npm) over plain http, through everything it offers."""

import pytest

from tests.clients.harness import Running, Seen, drive_node
from tests.clients.table import Client

CLIENT = Client(
    name="dynamics-web-api",
    package="dynamics-web-api",
    side="Dynamics",
    settings="`serverUrl` is the sandbox's http address; `onTokenRefresh` asks the identity service for a token.",
    cannot={},
)


@pytest.fixture(scope="module")
def seen(box: Running, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return drive_node(box, "dynamics-web-api.cjs", tmp_path_factory.mktemp("dynamics-web-api"))


@CLIENT.does("login", "`onTokenRefresh` with a client secret, `WhoAmI`; a wrong token is a 401")
def test_dynamics_web_api_login(seen: Seen) -> None:
    assert seen["login"] == {"user": True, "logins": True, "wrong": 401}


@CLIENT.does(
    "read",
    "`retrieveMultiple` page by page, `retrieveAll`, `retrieve` with expand and annotations, `count`, `countAll`",
)
def test_dynamics_web_api_read(seen: Seen) -> None:
    assert seen["read"] == {
        "page": [300, 50, True], "next": 50, "all": 300, "owner": True, "counted": [300, 300], "annotated": True,
    }  # fmt: skip


@CLIENT.does("read", "`fetch` with FetchXML")
def test_dynamics_web_api_fetch(seen: Seen) -> None:
    assert seen["fetch"] == {"fetched": 300, "pages": [100, 100, 100]}


@CLIENT.does(
    "read", "metadata: `retrieveEntity`, `retrieveAttributes` with a cast, `retrieveRelationships`, `$metadata`"
)
def test_dynamics_web_api_metadata(seen: Seen) -> None:
    entity = seen["metadata"].pop("entity")
    assert entity == ["leads", 4]
    assert seen["metadata"] == dict.fromkeys(("options", "relationships", "optionSets", "optionSet", "csdl"), True)


@CLIENT.does("create", "`create` with and without representation, with a row inside (deep insert)")
def test_dynamics_web_api_create(box: Running, seen: Seen) -> None:
    assert seen["create"]["row"] == ["Row", 0]
    assert seen["create"]["key"] in {row["leadid"] for row in box.rows("dynamics", "lead")}
    (within,) = [row for row in box.rows("dynamics", "contact") if row["lastname"] == "Within"]
    assert within["_parentcustomerid_value"] == seen["create"]["deep"]


@CLIENT.does("update", "`update`, `updateSingleProperty`, ETags: a stale `ifmatch` is a 412, an unchanged row a 304")
def test_dynamics_web_api_update(seen: Seen) -> None:
    assert seen["update"] == {"row": ["New", "Chief"], "stale": 412, "unchanged": True}


@CLIENT.does("upsert", "`upsert` by an alternate key, and only where there is none yet")
def test_dynamics_web_api_upsert(box: Running, seen: Seen) -> None:
    assert seen["upsert"] == {"names": ["K", "L"], "same": True, "kept": None}
    assert [row["lastname"] for row in box.rows("dynamics", "lead") if row["crmbridge_externalid"] == "dwa-1"] == ["L"]


@CLIENT.does("delete", "`deleteRecord`, `associate`, `disassociateSingleValued`")
def test_dynamics_web_api_delete(box: Running, seen: Seen) -> None:
    assert (seen["remove"]["linked"], seen["remove"]["free"]) == (True, None)
    assert seen["remove"]["key"] in {row["leadid"] for row in box.deleted("dynamics", "lead")}


@CLIENT.does("batch", "`executeBatch`: reads, writes in a change set, `$1` references, all or nothing")
def test_dynamics_web_api_batch(box: Running, seen: Seen) -> None:
    contact, account = seen["batch"]["linked"]
    assert seen["batch"] == {"made": 20, "linked": [contact, account], "read": 20, "me": True, "undone": True}
    (row,) = [row for row in box.rows("dynamics", "account") if row["accountid"] == account]
    assert row["_primarycontactid_value"] == contact
    assert "Undone" not in {row["lastname"] for row in box.rows("dynamics", "lead")}


@CLIENT.does("bulk", "`callAction` with `CreateMultiple`, `UpdateMultiple`, `UpsertMultiple`")
def test_dynamics_web_api_bulk(box: Running, seen: Seen) -> None:
    assert seen["bulk"] == {"made": 300, "upserted": [True, False]}
    assert sum(row["companyname"] == "Nodes" for row in box.rows("dynamics", "lead")) == 300
    assert sum(row["jobtitle"] == "Many" for row in box.rows("dynamics", "lead")) == 5


@CLIENT.does("error", "status, code and text of a refused create, read and query")
def test_dynamics_web_api_error(seen: Seen) -> None:
    codes = {name: told[:2] for name, told in seen["error"].items()}
    assert codes == {"value": [400, "0x8004431A"], "missing": [404, "0x80040217"], "column": [400, "0x80060888"]}


@CLIENT.does("changes", "`trackChanges`, then the delta link, with rows new and deleted")
def test_dynamics_web_api_changes(seen: Seen) -> None:
    assert seen["changes"] == {"first": True, "fresh": True, "deleted": [True], "again": True}


@CLIENT.does("convert", "`callAction` with `QualifyLead`, `WinOpportunity`, `LoseOpportunity`")
def test_dynamics_web_api_convert(seen: Seen) -> None:
    types = [f"#Microsoft.Dynamics.CRM.{name}" for name in ("account", "contact", "opportunity")]
    assert seen["convert"] == {"types": types, "again": [400, "0x80040519"], "won": [1, 3], "lost": 2, "lead": 1}
