"""Writes of the Dataverse half: conditions, limits, lookups, keys, batches, cascades (dataverse-api §4, §10, §11)."""

from datetime import timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from crmbridge.sandbox.dynamics.shape_file import load_shape
from tests.support.dataverse import ROOT, Environment

NOWHERE = "00000000-0000-4000-8000-000000000001"
CUSTOM = {
    "columns": {
        "account": {
            "new_salesforceid": {"type": "String", "max": 18, "schema": "new_SalesforceId"},
            "new_ownerid": {
                "type": "Lookup",
                "schema": "new_Owner",
                "targets": ["new_region"],
                "on_delete": "Restrict",
            },
        },
        "new_region": {
            "new_regionid": {"type": "Uniqueidentifier"},
            "new_name": {"type": "String", "max": 100},
        },
        "opportunity": {"new_tags": {"type": "MultiSelectPicklist", "options": {1: "Hot", 2: "Late"}}},
    },
    "tables": {"new_region": {"set": "new_regions", "schema": "new_Region", "key": "new_regionid", "name": "new_name"}},
    "keys": {"account": {"new_salesforceidkey": ["new_salesforceid"]}},
    "rules": [
        {
            "table": "opportunity",
            "when": "statecode eq 1 and actualvalue eq null",
            "message": "A won deal needs an amount.",
        }
    ],
    "organization": {"service_protection": {"requests": 40}},
}


@pytest.fixture
def env() -> Environment:
    return Environment()


@pytest.fixture(scope="module")
def custom_shape(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("shape") / "dynamics.shape.yaml"
    YAML(typ="safe", pure=True).dump({"extends": "dynamics", **CUSTOM}, path)
    return load_shape(path)


@pytest.fixture
def custom(custom_shape: Any) -> Environment:
    return Environment(shape=custom_shape)


def test_a_row_gets_what_the_platform_keeps(env: Environment) -> None:
    lead = env.lead(
        firstname="Ada", estimatedamount=12500.005, address1_line1="1 Elm", address1_city="Bath", createdon="2001-01-01"
    )
    row = env.row(f"leads({lead})")
    assert row["fullname"] == "Ada Byron"
    assert (row["estimatedamount"], row["estimatedamount_base"]) == (12500.01, 12500.01)
    assert row["address1_composite"] == "1 Elm\r\nBath"
    assert (row["statecode"], row["statuscode"], row["leadqualitycode"], row["donotemail"]) == (0, 1, 2, False)
    assert row["createdon"] == row["modifiedon"] == "2026-08-14T12:00:00Z"
    assert row["_ownerid_value"] == row["_createdby_value"] == env.app.application_user == row["_owninguser_value"]
    assert row["@odata.etag"] == f'W/"{row["versionnumber"]}"'
    assert row["jobtitle"] is None


def test_representation_tells_create_from_update(env: Environment) -> None:
    made = env.post("leads?$select=subject", {"lastname": "A", "subject": "S"}, Prefer="return=representation")
    assert (made.status, made.json["subject"], "OData-EntityId" in made.headers) == (201, "S", False)
    url = f"leads({made.json['leadid']})"
    assert env.patch(url, {"subject": "T"}, Prefer="return=representation").status == 200
    assert made.headers["Preference-Applied"] == "return=representation"


def test_a_write_tells_the_annotations_that_were_asked_for_and_no_pages(env: Environment) -> None:
    prefer = 'odata.include-annotations="*",odata.maxpagesize=2'
    made = env.post("leads", {"lastname": "A"}, Prefer=prefer)
    assert made.headers["Preference-Applied"] == 'odata.include-annotations="*"'
    changed = env.patch(f"leads({made.id})", {"lastname": "B"}, Prefer=prefer)
    assert changed.headers["Preference-Applied"] == 'odata.include-annotations="*"'
    assert "Preference-Applied" not in env.patch(f"leads({made.id})", {"lastname": "C"}).headers


def test_the_table_of_conditional_headers(env: Environment) -> None:
    lead = env.lead()
    url, nowhere = f"leads({lead})", f"leads({NOWHERE})"
    etag = env.row(url)["@odata.etag"]
    assert env.send("PATCH", url, {"subject": "1"}).status == 204
    assert env.send("PATCH", url, {"subject": "2"}, If_Match=etag).code == "0x80060882"
    assert env.send("PATCH", url, {"subject": "2"}, If_None_Match="*").status == 412
    assert env.send("PATCH", nowhere, {"subject": "3"}, If_Match="*").code == "0x80040217"
    assert env.send("PATCH", nowhere, {"subject": "3"}, If_Match='W/"1"').status == 404
    assert env.send("DELETE", nowhere, If_Match='W/"1"').status == 404
    assert env.send("PATCH", nowhere, {"subject": "3"}, If_None_Match="*").id == NOWHERE
    assert env.row(nowhere)["subject"] == "3"
    assert env.send("DELETE", url, If_Match=etag).status == 412
    assert env.send("DELETE", url, If_Match=env.row(url)["@odata.etag"]).status == 204
    assert env.send("PATCH", url, {"subject": "4"}).id == lead  # without a condition it is made again
    assert env.post("leads", {"leadid": lead}).code == "0x80040237"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"numberofemployees": 1.5}, "Cannot convert the literal '1.5' to the expected type 'Edm.Int32'."),
        ({"numberofemployees": "12"}, "Cannot convert the literal '12' to the expected type 'Edm.Int32'."),
        ({"lastname": 5}, "Cannot convert the literal '5' to the expected type 'Edm.String'."),
        ({"lastname": True}, "Cannot convert the literal 'True' to the expected type 'Edm.String'."),
        ({"lastname": {"a": 1.5}}, "An unexpected 'StartObject' node was found when reading from the JSON reader."),
        ({"lastname": ["a"]}, "An unexpected 'StartArray' node was found when reading from the JSON reader."),
    ],
)
def test_a_value_of_another_type_is_shown_as_it_was_sent(env: Environment, body: dict[str, Any], text: str) -> None:
    assert text in env.patch(f"leads({env.lead()})", body).json["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"nosuch": 1}, "0x80048d19"),
        ({"Subject": "x"}, "0x80048d19"),
        ({"parentAccountId@odata.bind": "/accounts(x)"}, "0x80048d19"),
        ({"customerid@odata.bind": f"/accounts({NOWHERE})"}, "0x80048d19"),
        ({"parentaccountid": NOWHERE}, "0x80048d19"),
        ({"_parentaccountid_value": NOWHERE}, "0x80048d19"),
        ({"parentaccountid@odata.bind": f"/accounts({NOWHERE})"}, "0x80040217"),
        ({"leadqualitycode": "Hot"}, "0x80048d19"),
        ({"leadqualitycode": 9}, "0x8004431A"),
        ({"subject": "x" * 301}, "0x80044331"),
        ({"subject": "bell \x07"}, "0x80040278"),
        ({"estimatedamount": -1}, "0x80044330"),
        ({"estimatedamount": "12"}, "0x80048d19"),
        ({"numberofemployees": 1.5}, "0x80048d19"),
        ({"donotemail": "yes"}, "0x80048d19"),
        ({"estimatedclosedate": "2026-11-30T00:00:00Z"}, "0x80048d19"),
        ({"estimatedclosedate": "1492-10-12"}, "0x80040239"),
        ({"statuscode": 4}, "0x80048408"),
        ({"statecode": 1, "statuscode": 5}, "0x80048408"),
        ({"ownerid@odata.bind": None}, "0x80040203"),
    ],
)
def test_refusals_leave_the_row_as_it_was(env: Environment, body: dict[str, Any], code: str) -> None:
    lead = env.lead()
    before = env.row(f"leads({lead})")
    found = env.patch(f"leads({lead})", body)
    assert found.status in {400, 404}
    assert found.code == code
    assert env.row(f"leads({lead})") == before
    assert env.get("leads/$count").text == "1"


def test_annotations_and_read_only_columns_are_ignored(env: Environment) -> None:
    body = {
        "fullname": "X",
        "merged": True,
        "ownerid@OData.Community.Display.V1.FormattedValue": "Y",
        "@odata.type": "#z",
    }
    lead = env.lead(**body)
    assert env.row(f"leads({lead})")["fullname"] == "Byron"


def test_empty_text_is_null_and_null_clears(env: Environment) -> None:
    lead = env.lead(jobtitle="CEO", companyname="")
    assert env.row(f"leads({lead})")["companyname"] is None
    env.patch(f"leads({lead})", {"jobtitle": None})
    assert env.row(f"leads({lead})")["jobtitle"] is None
    assert env.send("PUT", f"leads({lead})/jobtitle", {"value": "CTO"}).status == 204
    assert env.row(f"leads({lead})/jobtitle")["value"] == "CTO"
    assert env.send("DELETE", f"leads({lead})/jobtitle").status == 204


def test_created_on_can_be_told_once(env: Environment) -> None:
    lead = env.lead(overriddencreatedon="2020-01-02T03:04:05Z")
    row = env.row(f"leads({lead})")
    assert (row["createdon"], row["overriddencreatedon"]) == ("2020-01-02T03:04:05Z", "2026-08-14T12:00:00Z")


def test_lookups_of_several_tables(env: Environment) -> None:
    account, contact = env.post("accounts", {"name": "A"}).id, env.post("contacts", {"lastname": "C"}).id
    child = env.post("contacts", {"lastname": "D", "parentcustomerid_contact@odata.bind": f"/contacts({contact})"}).id
    env.patch(f"contacts({child})", {"parentcustomerid_account@odata.bind": f"{ROOT}/accounts({account})"})
    row = env.get(f"contacts({child})", Prefer='odata.include-annotations="*"').json
    assert row["_parentcustomerid_value"] == account
    assert row["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "account"
    assert env.send("DELETE", f"contacts({child})/parentcustomerid_account/$ref").status == 204
    assert env.send(
        "POST", f"accounts({account})/contact_customer_accounts/$ref", {"@odata.id": f"{ROOT}/contacts({child})"}
    ).status == 204  # fmt: skip
    assert len(env.get(f"accounts({account})/contact_customer_accounts").rows) == 1
    assert env.send("DELETE", f"accounts({account})/contact_customer_accounts({child})/$ref").status == 204
    assert env.row(f"contacts({child})")["_parentcustomerid_value"] is None


def test_deep_insert_is_one_transaction(env: Environment) -> None:
    body = {
        "name": "Deep",
        "primarycontactid": {"lastname": "First"},
        "contact_customer_accounts": [{"lastname": "Second"}],
    }
    account = env.post(
        "accounts?$select=name&$expand=primarycontactid($select=lastname)", body, Prefer="return=representation"
    )
    assert account.json["primarycontactid"]["lastname"] == "First"
    assert len(env.get(f"accounts({account.json['accountid']})/contact_customer_accounts").rows) == 1
    body["contact_customer_accounts"] = [{"lastname": "x" * 51}]
    assert env.post("accounts", body).code == "0x80044331"
    assert (env.get("accounts/$count").text, env.get("contacts/$count").text) == ("1", "2")


# A shape of one's own


def test_custom_columns_keys_and_rules_come_with_the_shape(custom: Environment) -> None:
    made = custom.send("PATCH", "accounts(new_salesforceid='001A')", {"name": "Keyed"})
    assert made.status == 204
    again = custom.send(
        "PATCH", "accounts(new_salesforceid='001A')", {"name": "Renamed", "new_salesforceid": "ignored"}
    )
    assert again.id == made.id
    row = custom.row("accounts(new_salesforceid='001A')?$select=name,new_salesforceid")
    assert (row["name"], row["new_salesforceid"]) == ("Renamed", "001A")
    assert custom.post("accounts", {"name": "B", "new_salesforceid": "001a"}).code == "0x80060892"
    assert custom.get("accounts(new_salesforceid='nobody')").code == "0x80060891"
    assert custom.patch("accounts(new_salesforceid='nobody')", {}).code == "0x80060891"
    region = custom.post("new_regions", {"new_name": "North"}).id
    custom.patch(f"accounts({made.id})", {"new_Owner@odata.bind": f"/new_regions({region})"})
    assert custom.send("DELETE", f"new_regions({region})").status == 405
    opportunity = custom.post("opportunities", {"name": "O", "new_tags": "2,1"}).id
    assert custom.row(f"opportunities({opportunity})")["new_tags"] == "1,2"
    closing = {"Status": 3, "OpportunityClose": {"opportunityid@odata.bind": f"/opportunities({opportunity})"}}
    refused = custom.post("WinOpportunity", closing)
    assert (refused.code, refused.json["error"]["message"]) == ("0x80040265", "A won deal needs an amount.")
    assert custom.get("opportunitycloses/$count").text == "0"
    keys = custom.get(
        "EntityDefinitions(LogicalName='account')/Keys?$select=SchemaName,KeyAttributes,EntityKeyIndexStatus"
    ).rows
    assert (keys[0]["KeyAttributes"], keys[0]["EntityKeyIndexStatus"]) == (["new_salesforceid"], "Active")


def test_service_protection_counts_in_a_sliding_window(custom: Environment) -> None:
    statuses = [custom.get("WhoAmI").status for _ in range(41)]
    assert statuses == [200] * 40 + [429]
    refused = custom.get("WhoAmI")
    assert (refused.code, refused.headers["Retry-After"]) == ("0x80072322", "300")
    custom.move(seconds=300)
    assert custom.get("WhoAmI").headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "39"


def test_the_shipped_shape_has_no_key_of_ours() -> None:
    shape = load_shape()
    assert not any(table.keys for table in shape.tables.values())
    assert not any(name.startswith("new_") for table in shape.tables.values() for name in table.columns)


def test_duplicates_are_looked_for_only_when_asked(env: Environment) -> None:
    env.lead(emailaddress1="a@b.example")
    env.lead(emailaddress1="A@B.example")
    headers = {"MSCRM.SuppressDuplicateDetection": "false"}
    found = env.send("POST", "leads", {"lastname": "X", "emailaddress1": "a@b.example"}, **headers)
    assert (found.status, found.code) == (412, "0x80040333")


def test_people_write_in_their_own_name(env: Environment) -> None:
    person = env.app.login_as("ingrid.solberg@northfield.example")
    assert env.app.login_as("ingrid.solberg@northfield.example")["user_id"] == person["user_id"]
    lead = env.post("leads", {"lastname": "A"}, Authorization=f"Bearer {person['access_token']}").id
    assert env.row(f"leads({lead})")["_createdby_value"] == person["user_id"]
    behalf = env.send("POST", "leads", {"lastname": "B"}, MSCRMCallerID=person["user_id"]).id
    row = env.row(f"leads({behalf})")
    assert (row["_createdby_value"], row["_createdonbehalfby_value"]) == (person["user_id"], env.app.application_user)
    env.patch(f"systemusers({person['user_id']})", {"isdisabled": True})
    assert env.get("WhoAmI", Authorization=f"Bearer {person['access_token']}").status == 403
    bind = {"ownerid@odata.bind": f"/systemusers({person['user_id']})"}
    assert env.patch(f"leads({lead})", bind).code == "0x80040225"


# $batch


def batch(*parts: str, eol: str = "\r\n") -> bytes:
    return eol.join([*(line for part in parts for line in ("--b", *part.split("\n"))), "--b--", ""]).encode()


def single(request: str, body: str = "", **headers: str) -> str:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\n".join(
        ["Content-Type: application/http", "Content-Transfer-Encoding: binary", "", f"{request} HTTP/1.1", *lines]
    )
    return f"{head}\n\n{body}"


def change_set(*parts: str) -> str:
    lines = ["Content-Type: multipart/mixed; boundary=c", ""]
    for number, part in enumerate(parts, 1):
        lines += ["--c", f"Content-ID: {number}", part]
    return "\n".join([*lines, "--c--"])


def send_batch(env: Environment, body: bytes, **headers: str) -> Any:
    return env.send("POST", "$batch", body, Content_Type='multipart/mixed; boundary="b"', **headers)


@pytest.mark.parametrize("eol", ["\r\n", "\n"])
def test_a_change_set_with_references_then_a_read(env: Environment, eol: str) -> None:
    body = batch(
        change_set(
            single("POST /api/data/v9.2/accounts", '{"name": "A"}', Prefer="return=representation"),
            single(f"POST {ROOT}/contacts", '{"lastname": "B", "parentcustomerid_account@odata.bind": "$1"}'),
            single("PATCH $2", '{"firstname": "Ada"}', If_Match="*"),
        ),
        single("GET contacts?$select=fullname&$expand=parentcustomerid_account($select=name)"),
        eol=eol,
    )
    found = send_batch(env, body)
    assert found.status == 200
    assert found.text.count("HTTP/1.1 201 Created") == 1
    assert found.text.count("HTTP/1.1 204 No Content") == 2
    assert '"fullname":"Ada B"' in found.text
    assert '"parentcustomerid_account":{"name":"A"' in found.text
    assert "odata.streaming=true" in found.text
    call = env.world.calls[-1]
    assert (call.kind, call.operations) == (
        "batch",
        (("account", "create"), ("contact", "create"), ("contact", "update"), ("contact", "read")),
    )


def test_a_failed_change_set_is_one_part_and_leaves_nothing(env: Environment) -> None:
    failing = change_set(
        single("POST leads", '{"lastname": "A"}'), single("POST leads", '{"lastname": "%s"}' % ("x" * 51))
    )
    good = change_set(single("POST leads", '{"lastname": "C"}'))
    stopped = send_batch(env, batch(failing, good))
    assert stopped.status == 400
    assert stopped.text.count("HTTP/1.1 ") == 1
    assert env.get("leads/$count").text == "0"
    carried_on = send_batch(env, batch(failing, good), Prefer="odata.continue-on-error")
    assert carried_on.status == 200
    assert carried_on.text.count("HTTP/1.1 ") == 2
    assert env.get("leads/$count").text == "1"


@pytest.mark.parametrize(
    "part",
    [
        change_set(single("GET leads")),
        single("POST $batch"),
        change_set(*[single("POST leads", "{}")] * 1001),
    ],
)
def test_batches_that_are_none(env: Environment, part: str) -> None:
    assert send_batch(env, batch(part)).status == 400


def test_a_reference_must_come_later_than_its_row(env: Environment) -> None:
    body = batch(change_set(single("POST contacts", '{"lastname": "B", "parentcustomerid_account@odata.bind": "$2"}')))
    assert "Content-ID Reference: '$2' does not exist in the batch context." in send_batch(env, body).text


def test_an_action_inside_a_change_set_falls_with_it(env: Environment) -> None:
    lead = env.lead(companyname="C")
    etag = env.row(f"leads({lead})")["@odata.etag"]
    qualify = '{"CreateAccount": true, "CreateContact": true, "CreateOpportunity": true, "Status": 3}'
    parts = [
        single(f"PATCH leads({lead})", '{"jobtitle": "CEO"}', If_Match=etag),
        single(f"POST leads({lead})/Microsoft.Dynamics.CRM.QualifyLead", qualify),
    ]
    assert send_batch(env, batch(change_set(*parts))).status == 200
    assert env.get("accounts/$count").text == "1"
    late = send_batch(env, batch(change_set(*parts)))  # the same again dies on the stale version
    assert "HTTP/1.1 412 Precondition Failed" in late.text
    assert env.get("accounts/$count").text == "1"


def test_bulk_messages_are_all_or_nothing(env: Environment) -> None:
    kind = "Microsoft.Dynamics.CRM.account"
    made = env.post(f"accounts/{'Microsoft.Dynamics.CRM.CreateMultiple'}", {
        "Targets": [{"@odata.type": kind, "name": "A"}, {"@odata.type": kind, "name": "B"}],
    })  # fmt: skip
    ids = made.json["Ids"]
    assert len(ids) == 2
    bad = {
        "Targets": [
            {"@odata.type": kind, "accountid": ids[0], "name": "A2"},
            {"@odata.type": kind, "accountid": NOWHERE},
        ]
    }
    assert env.post("accounts/Microsoft.Dynamics.CRM.UpdateMultiple", bad).status == 404
    assert env.row(f"accounts({ids[0]})")["name"] == "A"
    upsert = {
        "Targets": [{"@odata.type": kind, "@odata.id": f"accounts({each})", "name": "U"} for each in (ids[0], NOWHERE)]
    }
    assert env.post("accounts/Microsoft.Dynamics.CRM.UpsertMultiple", upsert).status == 204
    assert {row["name"] for row in env.get("accounts").rows} == {"U", "B"}


# Deletes


def test_an_account_takes_its_opportunities_and_contacts_along(env: Environment) -> None:
    account = env.post("accounts", {"name": "A"}).id
    contact = env.post("contacts", {"lastname": "C", "parentcustomerid_account@odata.bind": f"/accounts({account})"}).id
    opportunity = env.post("opportunities", {"name": "O", "parentaccountid@odata.bind": f"/accounts({account})"}).id
    lead = env.lead(**{"parentaccountid@odata.bind": f"/accounts({account})"})
    assert env.send("DELETE", f"accounts({account})").status == 204
    assert env.get(f"opportunities({opportunity})").status == env.get(f"contacts({contact})").status == 404
    row = env.row(f"leads({lead})")
    assert row["_parentaccountid_value"] is row["_customerid_value"] is None
    assert env.send("DELETE", f"accounts({account})").code == "0x80040217"


def test_a_lead_takes_its_process_along_an_opportunity_does_not(env: Environment) -> None:
    lead = env.lead()
    opportunity = env.post("opportunities", {"name": "O"}).id
    env.send("DELETE", f"leads({lead})")
    env.send("DELETE", f"opportunities({opportunity})")
    assert env.get("leadtoopportunitysalesprocesses/$count").text == "0"
    assert [row["_opportunityid_value"] for row in env.get("opportunitysalesprocesses").rows] == [None]


def test_calls_are_counted_with_table_kind_and_category(env: Environment) -> None:
    env.get("WhoAmI")
    env.get("systemusers?$select=fullname")
    env.get("EntityDefinitions?$select=LogicalName")
    lead = env.lead()
    env.get("leads", Prefer="odata.track-changes")
    env.get("nothing")
    env.patch(f"leads({lead})", {"nosuch": 1})
    assert [(c.table, c.kind, c.category, c.status) for c in env.world.calls] == [
        ("", "WhoAmI", "metadata", 200),
        ("systemuser", "read", "metadata", 200),
        ("", "metadata", "metadata", 200),
        ("lead", "create", "data", 204),
        ("lead", "delta", "data", 200),
        ("", "other", "metadata", 404),
        ("lead", "update", "data", 400),
    ]


def test_dump_and_reset(env: Environment) -> None:
    kept, gone = env.lead(estimatedamount=1.5), env.lead()
    env.send("DELETE", f"leads({gone})")
    rows = env.app.dump()["lead"]
    assert [row["leadid"] for row in rows] == [kept, gone]
    assert (rows[0]["estimatedamount"], rows[1]["reason"]) == (1.5, "deleted")
    token = env.app.issue_token(env.app.application_user, timedelta(hours=1))
    env.app.reset()
    assert env.app.dump()["lead"] == []
    assert env.get("WhoAmI").status == 200
    assert env.get("WhoAmI", Authorization=f"Bearer {token}").status == 401
