"""Many operations in one request: bulk messages, BulkDelete, $batch in its corners (dataverse-api §4.6, §4.7)."""

import json
from typing import Any

import pytest

from tests.support.dataverse import ROOT, Environment, shaped

NOWHERE = "00000000-0000-4000-8000-000000000001"
LEAD = "Microsoft.Dynamics.CRM.lead"


@pytest.fixture
def env() -> Environment:
    return Environment()


def message(env: Environment, verb: str, *targets: Any, table: str = "lead", **more: Any) -> Any:
    kind = f"Microsoft.Dynamics.CRM.{table}"
    rows = [{"@odata.type": kind, **each} if isinstance(each, dict) else each for each in targets]
    url = f"{env.shape.tables[table].set_name}/Microsoft.Dynamics.CRM.{verb}Multiple"
    return env.post(url, {"Targets": rows, **more})


# Bulk messages


def test_ids_come_in_the_order_of_the_rows(env: Environment) -> None:
    made = message(env, "Create", *({"lastname": str(number)} for number in range(250)))
    assert made.json["@odata.context"].endswith("#Microsoft.Dynamics.CRM.CreateMultipleResponse")
    names = {row["leadid"]: row["lastname"] for row in env.get("leads?$select=lastname").rows}
    assert [names[key] for key in made.json["Ids"]] == [str(number) for number in range(250)]
    assert env.world.calls[0].operations.count(("lead", "create")) == 250


def test_rows_are_updated_and_upserted_by_id_and_by_key() -> None:
    env = Environment(shape=shaped(
        columns={"account": {"new_code": {"type": "String", "max": 20}}}, keys={"account": {"k": ["new_code"]}}
    ))  # fmt: skip
    targets = [{"@odata.id": f"accounts(new_code='{code}')", "name": code} for code in "AB"]
    assert message(env, "Upsert", *targets, table="account").status == 204
    more = ({**targets[0], "name": "A2"}, {"accountid": NOWHERE, "name": "C"})
    assert message(env, "Upsert", *more, table="account").status == 204
    assert {row["name"]: row["new_code"] for row in env.get("accounts").rows} == {"A2": "A", "B": "B", "C": None}
    key = env.get("accounts(new_code='B')?$select=name").json["accountid"]
    rows = ({"accountid": key, "name": "B2"}, {"@odata.id": "accounts(new_code='A')", "name": "A3"})
    assert message(env, "Update", *rows, table="account").status == 204
    assert {row["name"] for row in env.get("accounts").rows} == {"A3", "B2", "C"}
    missing = {"@odata.id": "accounts(new_code='Z')", "name": "Z"}
    assert message(env, "Update", rows[0] | {"name": "B3"}, missing, table="account").code == "0x80060891"
    assert "B3" not in env.get("accounts").text


@pytest.mark.parametrize(
    ("verb", "targets", "code"),
    [
        ("Create", [], "0x80048d19"),
        ("Create", ["text"], "0x80048d19"),
        ("Create", [{"lastname": "A"}, {"lastname": "x" * 51}], "0x80044331"),
        ("Create", [{"lastname": "A", "leadqualitycode": 9}], "0x8004431A"),
        ("Create", [{"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "A"}], "0x80048d19"),
        ("Create", [{"@odata.type": None, "lastname": "A"}], "0x80048d19"),
        ("Create", [{"leadid": NOWHERE}, {"leadid": NOWHERE}], "0x80040237"),
        ("Update", [{"lastname": "A"}], "0x80040217"),
        ("Upsert", [{"@odata.id": f"accounts({NOWHERE})", "lastname": "A"}], "0x80048d19"),
        ("Delete", [{"leadid": NOWHERE}], "0x80040216"),
    ],
)
def test_one_bad_row_fails_them_all(env: Environment, verb: str, targets: list[Any], code: str) -> None:
    before = env.app.dump()
    refused = message(env, verb, *targets)
    assert refused.code == code
    assert env.app.dump() == before


def test_messages_are_called_by_their_full_name_with_their_parameters(env: Environment) -> None:
    assert message(env, "Create", {"lastname": "A"}, Nonsense=1).code == "0x80048d19"
    assert env.post("leads/CreateMultiple", {"Targets": []}).status == 400
    assert env.get("leads/Microsoft.Dynamics.CRM.CreateMultiple").status == 405
    assert env.post(f"leads({NOWHERE})/Microsoft.Dynamics.CRM.CreateMultiple", {"Targets": []}).status == 404
    assert env.get("leads/$count").text == "0"


def test_elastic_tables_take_what_they_can() -> None:
    facts = {"set": "new_logs", "schema": "new_Log", "key": "new_logid", "name": "new_name", "elastic": True}
    env = Environment(shape=shaped(
        tables={"new_log": facts},
        columns={"new_log": {"new_logid": {"type": "Uniqueidentifier"}, "new_name": {"type": "String", "max": 5}}},
    ))  # fmt: skip
    assert message(env, "Create", *[{"new_name": "x"}] * 101, table="new_log").status == 400
    partly = message(env, "Create", *({"new_name": name} for name in ("one", "too long", "three")), table="new_log")
    assert (partly.status, partly.code) == (400, "0x80044331")
    details = json.loads(partly.json["error"]["@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"])
    assert [each["RequestIndex"] for each in details] == [1]
    rows = env.get("new_logs").rows
    assert [row["new_name"] for row in rows] == ["one", "three"]
    keys = [{"new_logid": row["new_logid"]} for row in rows]
    assert message(env, "Delete", {**keys[0], "new_name": "one"}, table="new_log").status == 400
    assert message(env, "Delete", *keys, table="new_log").status == 204
    assert env.get("new_logs").rows == []


def test_a_bulk_delete_job_tells_how_it_went(env: Environment) -> None:
    keep, *gone = (env.lead(lastname=name) for name in "ABC")
    condition = {"AttributeName": "leadid", "Operator": "In",
                 "Values": [{"Value": key.upper(), "Type": "System.Guid"} for key in gone]}  # fmt: skip
    query = {
        "@odata.type": "Microsoft.Dynamics.CRM.QueryExpression",
        "EntityName": "lead",
        "Criteria": {"FilterOperator": "And", "Conditions": [condition]},
    }
    body = {"QuerySet": [query], "JobName": "Clean", "SendEmailNotification": False, "ToRecipients": [],
            "CCRecipients": [], "RecurrencePattern": "", "StartDateTime": "2026-08-14T12:00:00Z"}  # fmt: skip
    job = env.post("BulkDelete", body)
    assert job.status == 200
    row = env.row(f"asyncoperations({job.json['JobId']})")
    assert (row["name"], row["statuscode"], row["message"]) == ("Clean", 30, "2 rows were deleted, 0 were not.")
    assert [each["leadid"] for each in env.get("leads").rows] == [keep]
    assert env.post("BulkDelete", {**body, "RecurrencePattern": "FREQ=DAILY"}).status == 501
    assert env.post("BulkDelete", {**body, "QuerySet": [{"EntityName": "nosuch"}]}).code == "0x80048d19"
    condition["AttributeName"] = "nosuch"
    assert env.post("BulkDelete", body).code == "0x80041103"
    condition |= {"AttributeName": "lastname", "Operator": "Like"}
    assert env.post("BulkDelete", body).status == 501


# $batch


def part(request: str, body: Any = None, **headers: str) -> str:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = ["Content-Type: application/http", "Content-Transfer-Encoding: binary", "", f"{request} HTTP/1.1", *lines]
    return "\r\n".join([*head, "", json.dumps(body) if body is not None else ""])


def change_set(*parts: str) -> str:
    lines = ["Content-Type: multipart/mixed; boundary=c", ""]
    for number, each in enumerate(parts, 1):
        lines += ["--c", f"Content-ID: {number}", each]
    return "\r\n".join([*lines, "--c--"])


def send(env: Environment, *parts: str, boundary: str = "b", raw: bytes | None = None, **headers: str) -> Any:
    body = "\r\n".join([*(line for each in parts for line in ("--b", each)), "--b--", ""]).encode()
    given = {"Content_Type": f"multipart/mixed; boundary={boundary}", **headers}
    return env.send("POST", "$batch", body if raw is None else raw, **given)


def test_references_name_rows_in_urls_binds_and_links(env: Environment) -> None:
    found = send(env, change_set(
        part("POST leads", {"lastname": "L"}),
        part("POST accounts", {"name": "A", "originatingleadid@odata.bind": "$1"}),
        part("PUT $1/parentaccountid/$ref", {"@odata.id": "$2"}),
        part("POST $2/accountleads_association/$ref", {"@odata.id": "$1"}),
        part("PATCH $2", {"telephone1": "1"}, If_Match="*"),
    ))  # fmt: skip
    assert found.status == 200
    lead, account = env.get("leads").rows[0], env.get("accounts").rows[0]
    assert (lead["_parentaccountid_value"], account["_originatingleadid_value"]) == (
        account["accountid"],
        lead["leadid"],
    )
    assert account["telephone1"] == "1"
    assert len(env.get("accountleadscollection").rows) == 1


def test_references_end_with_their_change_set(env: Environment) -> None:
    first, second = change_set(part("POST leads", {"lastname": "L"})), change_set(part("PATCH $1", {"lastname": "M"}))
    found = send(env, first, second)
    assert "Content-ID Reference: '$1' does not exist in the batch context." in found.text
    assert env.get("leads").rows[0]["lastname"] == "L"


def test_operations_outside_change_sets_stand_for_themselves(env: Environment) -> None:
    parts = [part("POST leads", {"lastname": "A"}), part("POST leads", {"lastname": "x" * 51}), part("POST leads", {})]
    stopped = send(env, *parts)
    assert (stopped.status, stopped.text.count("HTTP/1.1 ")) == (400, 2)
    assert env.get("leads/$count").text == "1"
    on = send(env, *parts, Prefer="odata.continue-on-error")
    assert (on.status, on.text.count("204 No Content"), on.text.count("400 Bad Request")) == (200, 2, 1)
    assert env.get("leads/$count").text == "3"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"--b\r\n",
        b"--b\r\nContent-Type: text/plain\r\n\r\nGET leads HTTP/1.1\r\n\r\n--b--",
        b"--b\r\nContent-Type: application/http\r\n\r\nGET\r\n\r\n--b--",
        b"--b\r\nContent-Type: application/http\r\n\r\nPOST $batch HTTP/1.1\r\n\r\n--b--",
        b"--b\r\nContent-Type: multipart/mixed\r\n\r\n--c--\r\n--b--",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\nno parts\r\n--b--",
        b"\xff\xfe\x00--b",
    ],
)
def test_malformed_batches_are_refused_whole(env: Environment, raw: bytes) -> None:
    refused = send(env, raw=raw)
    assert (refused.status, refused.code) == (400, "0x80060888")


def test_a_batch_needs_its_content_type_and_post(env: Environment) -> None:
    assert env.send("POST", "$batch", b"--b--", Content_Type="application/json").status == 400
    assert env.send("POST", "$batch", b"--b--", Content_Type="multipart/mixed").status == 400
    assert env.get("$batch").status == 405


def test_a_thousand_operations_pass_and_one_more_does_not(env: Environment) -> None:
    assert send(env, *[part("GET WhoAmI")] * 1000).status == 200
    assert send(env, *[part("GET WhoAmI")] * 1001).status == 400
    call = env.world.calls[0]
    assert (call.kind, len(call.operations)) == ("batch", 1000)


def test_errors_in_parts_are_their_own(env: Environment) -> None:
    found = send(
        env,
        part("GET nosuch"),
        part(f"GET leads({NOWHERE})"),
        part(f"GET {ROOT}/leads?$skip=1"),
        part("GET /elsewhere/leads"),
        part("PATCH leads", {}),
        part("POST leads", {"lastname": "A"}, **{"MSCRM.Nonsense": "1"}),
        Prefer="odata.continue-on-error",
    )
    statuses = [line.split(" ")[1] for line in found.text.splitlines() if line.startswith("HTTP/1.1 ")]
    assert statuses == ["404", "404", "400", "404", "405", "501"]
