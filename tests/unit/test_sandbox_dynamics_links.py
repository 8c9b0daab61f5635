"""Links between rows in the Dataverse half: deep insert, binds, many-to-many, connections, activities, merges
(dataverse-api §2.6, §4.1, §4.3, §9.4; lifecycle §2, §5).
"""

from typing import Any

import pytest

from tests.support.dataverse import ROOT, Environment, shaped

NOWHERE = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def env() -> Environment:
    return Environment()


@pytest.fixture
def keyed() -> Environment:
    return Environment(shape=shaped(
        columns={"account": {"new_code": {"type": "String", "max": 20}, "new_day": {"type": "DateTime"}}},
        keys={"account": {
            "new_codekey": ["new_code"], "new_mainkey": ["primarycontactid", "accountnumber"],
            "new_laterkey": {"columns": ["sic"], "status": "Pending"}, "new_daykey": ["new_day"],
        }},
    ))  # fmt: skip


# Alternate keys


def test_keys_of_a_lookup_and_of_a_date(keyed: Environment) -> None:
    contact = keyed.post("contacts", {"lastname": "C"}).id
    url = f"accounts(_primarycontactid_value={contact},accountnumber='7')"
    made = keyed.send("PATCH", url, {"name": "By key"})
    row = keyed.row(f"accounts({made.id})")
    assert (row["_primarycontactid_value"], row["accountnumber"]) == (contact, "7")
    assert keyed.send("PATCH", url, {"name": "Again"}).id == made.id
    assert keyed.send("PATCH", "accounts(new_day=2026-01-02T03:04:05Z)", {"name": "D"}).status == 204
    assert keyed.row("accounts(new_day=2026-01-02T03:04:05Z)")["name"] == "D"


def test_key_values_in_the_body_count_on_create_and_not_on_update(keyed: Environment) -> None:
    made = keyed.send("PATCH", "accounts(new_code='A')", {"name": "N", "new_code": "B"})
    assert keyed.row(f"accounts({made.id})")["new_code"] == "B"
    assert keyed.send("PATCH", "accounts(new_code='B')", {"name": "M", "new_code": "C"}).id == made.id
    assert keyed.row(f"accounts({made.id})")["new_code"] == "B"


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("new_code='nobody'", 404, "0x80060891"),
        ("name='A'", 400, "0x80060888"),
        ("sic='A'", 400, "0x80060888"),  # the key is still being built
        ("new_code='A',name='B'", 400, "0x80060888"),
        ("accountnumber='7'", 400, "0x80060888"),
        ("new_code='a:b'", 400, "0x80060888"),
    ],
)
def test_wrong_keys_are_refused(keyed: Environment, key: str, status: int, code: str) -> None:
    found = keyed.get(f"accounts({key})")
    assert (found.status, found.code) == (status, code)
    assert keyed.send("DELETE", f"accounts({key})").status == status


def test_binding_by_key_in_bodies_and_references(keyed: Environment) -> None:
    account = keyed.send("PATCH", "accounts(new_code='A')", {"name": "N"}).id
    bind = {"lastname": "C", "parentcustomerid_account@odata.bind": "/accounts(new_code='A')"}
    contact = keyed.post("contacts", bind).id
    assert keyed.row(f"contacts({contact})")["_parentcustomerid_value"] == account
    lead = keyed.lead()
    link = {"@odata.id": f"{ROOT}/accounts(new_code='A')"}
    assert keyed.send("PUT", f"leads({lead})/parentaccountid/$ref", link).status == 204
    assert keyed.row(f"leads({lead})")["_parentaccountid_value"] == account
    assert (
        keyed.send("PUT", f"leads({lead})/parentaccountid/$ref", {"@odata.id": "accounts(new_code='Z')"}).status == 404
    )
    assert keyed.send("PUT", f"leads({lead})/parentaccountid/$ref", {}).code == "0x80048d19"
    wrong = {"@odata.id": f"leads({lead})"}
    assert keyed.send("PUT", f"leads({lead})/parentaccountid/$ref", wrong).code == "0x80048d19"


# Deep insert


def test_rows_are_made_and_existing_ones_linked_in_one_body(env: Environment) -> None:
    existing = env.post("contacts", {"lastname": "Old"}).id
    body = {
        "name": "Deep",
        "contact_customer_accounts": [{"lastname": "New", "Contact_Tasks": [{"subject": "Call"}]}],
        "contact_customer_accounts@odata.bind": [f"/contacts({existing})"],
        "opportunity_parent_account": [{"name": "Deal", "originatingleadid": {"lastname": "L", "subject": "S"}}],
        "accountleads_association": [{"lastname": "Linked", "subject": "S"}],
    }
    account = env.post("accounts", body).id
    contacts = env.get(f"contacts?$filter=_parentcustomerid_value eq {account}").rows
    assert sorted(row["lastname"] for row in contacts) == ["New", "Old"]
    deal = env.get("opportunities").rows[0]
    assert deal["_customerid_value"] == account
    assert deal["_originatingleadid_value"] is not None
    assert (env.get("leads/$count").text, env.get("tasks/$count").text) == ("2", "1")
    assert [row["accountid"] for row in env.get("accountleadscollection").rows] == [account]


@pytest.mark.parametrize(
    "body",
    [
        {"contact_customer_accounts": ["no URL"]},
        {"contact_customer_accounts": [7]},
        {"contact_customer_accounts": [{"nosuch": 1}]},
        {"contact_customer_accounts@odata.bind": [f"/contacts({NOWHERE})"]},
        {"primarycontactid": [1]},
        {"primarycontactid": {"lastname": "x" * 51}},
        {"opportunity_parent_account": [{"name": "Deal", "originatingleadid": {"nosuch": 1}}]},
    ],
)
def test_a_fault_deep_inside_leaves_nothing(env: Environment, body: dict[str, Any]) -> None:
    before = env.app.dump()
    assert env.post("accounts", {"name": "A", **body}).status in {400, 404}
    assert env.app.dump() == before
    account = env.post("accounts", {"name": "A"}).id
    assert env.patch(f"accounts({account})", {"primarycontactid": {"lastname": "C"}}).code == "0x80060888"


# Many-to-many


def test_leads_are_linked_to_contacts_once_and_unlinked(env: Environment) -> None:
    lead, contact = env.lead(), env.post("contacts", {"lastname": "C"}).id
    link = {"@odata.id": f"{ROOT}/contacts({contact})"}
    url = f"leads({lead})/contactleads_association"
    assert env.post(f"{url}/$ref", link).status == 204
    assert env.post(f"{url}/$ref", link).code == "0x80040237"
    assert env.post(f"{url}/$ref", {"@odata.id": f"leads({lead})"}).code == "0x80048d19"
    assert env.send("PUT", f"{url}/$ref", link).status == 405
    assert len(env.get("contactleadscollection").rows) == 1
    assert env.send("DELETE", f"contacts({contact})/contactleads_association({lead})/$ref").status == 204
    assert env.send("DELETE", f"{url}/$ref?$id={ROOT}/contacts({contact})").status == 404
    env.post(f"{url}/$ref", link)
    assert env.send("DELETE", f"{url}/$ref?$id={ROOT}/contacts({contact})").status == 204
    env.post(f"{url}/$ref", link)
    env.send("DELETE", f"contacts({contact})")
    assert env.get("contactleadscollection").rows == []


# Connections and activities


def test_a_connection_has_a_twin_on_the_other_side(env: Environment) -> None:
    deal, contact = env.post("opportunities", {"name": "O"}).id, env.post("contacts", {"lastname": "C"}).id
    roles = [env.post("connectionroles", {"name": name, "category": 1000}).id for name in ("Buyer", "Deal")]
    key = env.post("connections", {
        "record1id_opportunity@odata.bind": f"/opportunities({deal})",
        "record2id_contact@odata.bind": f"/contacts({contact})",
        "record2roleid@odata.bind": f"/connectionroles({roles[0]})",
        "record1roleid@odata.bind": f"/connectionroles({roles[1]})",
    }).id  # fmt: skip
    row = env.row(f"connections({key})")
    twin = env.row(f"connections({row['_relatedconnectionid_value']})")
    assert (row["ismaster"], row["record1objecttypecode"], row["record2objecttypecode"], row["name"]) == (
        True,
        3,
        2,
        "C",
    )
    assert (twin["ismaster"], twin["_record1id_value"], twin["_record2id_value"]) == (False, contact, deal)
    assert (twin["_record1roleid_value"], twin["_relatedconnectionid_value"], twin["name"]) == (roles[0], key, "O")
    env.patch(f"connections({key})", {"description": "Met at the fair"})
    assert env.row(f"connections({twin['connectionid']})")["description"] == "Met at the fair"
    assert env.get("connections/$count").text == "2"
    assert env.send("DELETE", f"connections({twin['connectionid']})").status == 204
    assert env.get("connections/$count").text == "0"
    assert env.post("connections", {"record1id_contact@odata.bind": f"/contacts({contact})"}).code == "0x80040203"


def test_activities_take_both_names_of_regarding_and_go_with_their_row(env: Environment) -> None:
    lead = env.lead()
    for table, name in (("tasks", "regardingobjectid_lead"), ("phonecalls", "regardingobjectid_lead_phonecall")):
        key = env.post(table, {"subject": "S", f"{name}@odata.bind": f"/leads({lead})"}).id
        row = env.row(f"{table}({key})")
        assert (row["_regardingobjectid_value"], row["activitytypecode"]) == (lead, table.removesuffix("s"))
    day = env.post("appointments", {
        "subject": "Visit",
        "scheduledstart": "2026-11-30T09:00:00Z",
        "regardingobjectid_lead@odata.bind": f"/leads({lead})",
        "appointment_activity_parties": [
            {"partyid_systemuser@odata.bind": f"/systemusers({env.app.application_user})", "participationtypemask": 5},
        ],
    }).id  # fmt: skip
    assert env.patch(f"appointments({day})", {"statecode": 1, "statuscode": 3}).status == 204
    note = env.post("annotations", {"subject": "N", "notetext": "T", "objectid_lead@odata.bind": f"/leads({lead})"}).id
    assert env.row(f"annotations({note})")["_objectid_value"] == lead
    env.send("DELETE", f"leads({lead})")
    counts = [
        env.get(f"{name}/$count").text
        for name in ("tasks", "phonecalls", "appointments", "annotations", "activityparties")
    ]
    assert counts == ["0"] * 5


# Merge


def target(table: str, key: str) -> dict[str, str]:
    return {"@odata.type": f"Microsoft.Dynamics.CRM.{table}", f"{table}id": key}


def merge(env: Environment, table: str, winner: str, loser: str, **more: Any) -> Any:
    body = {"Target": target(table, winner), "Subordinate": target(table, loser), "PerformParentingChecks": False}
    return env.post("Merge", body | more)


def test_an_activity_of_any_kind_has_a_row_in_the_common_table(env: Environment) -> None:
    account = env.send("POST", "accounts", {"name": "Acme"}).id
    kinds = ("tasks", "phonecalls", "appointments", "letters", "emails", "faxes")
    made = {
        env.send(
            "POST", name, {"subject": name, "regardingobjectid_account@odata.bind": f"/accounts({account})"}
        ).id: name
        for name in kinds
    }
    shown = env.get(f"accounts({account})/Account_ActivityPointers?$select=subject,activitytypecode").rows
    assert {row["activityid"]: row["subject"] for row in shown} == made
    assert {row["activitytypecode"] for row in shown} == {
        "task", "phonecall", "appointment", "letter", "email", "fax",
    }  # fmt: skip
    letter = next(key for key, name in made.items() if name == "letters")
    assert env.send("PATCH", f"letters({letter})", {"subject": "sent", "statecode": 1}).status == 204
    pointer = env.row(f"activitypointers({letter})?$select=subject,statecode,statuscode,_regardingobjectid_value")
    assert (pointer["subject"], pointer["statecode"], pointer["statuscode"]) == ("sent", 1, 2)
    assert pointer["_regardingobjectid_value"] == account
    for method, url in (("POST", "activitypointers"), ("PATCH", f"activitypointers({letter})")):
        assert env.send(method, url, {"subject": "x"}).code == "0x80040800"
    assert env.send("DELETE", f"letters({letter})").status == 204
    assert env.get(f"activitypointers({letter})").status == 404
    assert env.send("DELETE", f"accounts({account})").status == 204
    assert env.get("activitypointers").rows == []


def test_the_close_of_a_deal_is_an_activity_of_the_deal(env: Environment) -> None:
    deal = env.send("POST", "opportunities", {"name": "Deal"}).id
    close = {"subject": "won", "opportunityid@odata.bind": f"/opportunities({deal})"}
    assert env.send("POST", "WinOpportunity", {"Status": 3, "OpportunityClose": close}).status == 204
    (pointer,) = env.get("activitypointers?$filter=activitytypecode eq 'opportunityclose'").rows
    assert (pointer["_regardingobjectid_value"], pointer["statecode"]) == (deal, 1)


def test_a_pointer_of_work_that_is_taken_back_does_not_stay(env: Environment) -> None:
    body = {"subject": "a", "regardingobjectid_account@odata.bind": "/accounts(00000000-0000-0000-0000-000000000001)"}
    assert env.send("POST", "tasks", body).status == 404
    account = {"name": "A", "Account_Tasks": [{"subject": "a"}, {"subject": "b", "nothing": 1}]}
    assert env.send("POST", "accounts", account).status == 400
    assert env.get("activitypointers").rows == []


def test_merging_moves_links_and_parents_and_ends_the_loser(env: Environment) -> None:
    winner, loser = env.post("accounts", {"name": "W"}).id, env.post("accounts", {"name": "L"}).id
    lead = env.lead()
    for account in (winner, loser):
        env.post(f"accounts({account})/accountleads_association/$ref", {"@odata.id": f"leads({lead})"})
    env.patch(f"accounts({winner})", {"parentaccountid@odata.bind": f"/accounts({loser})"})
    child = env.post("accounts", {"name": "C", "parentaccountid@odata.bind": f"/accounts({loser})"}).id
    deal = env.post("opportunities", {"name": "O", "parentaccountid@odata.bind": f"/accounts({loser})"}).id
    task = env.post("tasks", {"subject": "T", "regardingobjectid_account@odata.bind": f"/accounts({loser})"}).id
    contact = env.post("contacts", {"lastname": "P"}).id
    content = {"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": winner, "telephone1": "1",
               "primarycontactid@odata.bind": f"/contacts({contact})"}  # fmt: skip
    assert merge(env, "account", winner, loser, UpdateContent=content).status == 204
    won, lost = env.row(f"accounts({winner})"), env.row(f"accounts({loser})")
    assert (won["telephone1"], won["_primarycontactid_value"], won["_parentaccountid_value"]) == ("1", contact, None)
    assert (lost["merged"], lost["_masterid_value"], lost["statecode"]) == (True, winner, 1)
    assert env.row(f"accounts({child})")["_parentaccountid_value"] == winner
    row = env.row(f"opportunities({deal})")
    assert (row["_customerid_value"], row["_parentaccountid_value"]) == (winner, winner)
    assert env.row(f"tasks({task})")["_regardingobjectid_value"] == winner
    assert [row["accountid"] for row in env.get("accountleadscollection").rows] == [winner]
    assert merge(env, "account", winner, loser).code == "0x80040203"  # merged before


def test_merged_leads_are_disqualified_and_named(env: Environment) -> None:
    winner, loser = env.lead(), env.lead()
    assert merge(env, "lead", winner, loser).status == 204
    row = env.row(f"leads({loser})")
    assert (row["merged"], row["_masterid_value"], row["statecode"]) == (True, winner, 2)
    assert (env.row(f"leads({winner})")["merged"], env.row(f"leads({winner})")["statecode"]) == (False, 0)


def test_merges_that_are_none(env: Environment) -> None:
    one, other = env.post("accounts", {"name": "1"}).id, env.post("accounts", {"name": "2"}).id
    lead = env.lead()
    before = env.app.dump()
    assert merge(env, "account", one, one).code == "0x80040203"
    assert merge(env, "account", one, NOWHERE).code == "0x80040217"
    assert merge(env, "account", one, other, Subordinate=target("lead", lead)).code == "0x80040203"
    assert merge(env, "account", one, other, UpdateContent={"nosuch": 1}).code == "0x80048d19"
    assert merge(env, "account", one, other, Nonsense=1).code == "0x80048d19"
    assert merge(env, "account", one, other, PerformParentingChecks="yes").code == "0x80048d19"
    assert env.post("Merge", {"Target": 7}).status == 400
    assert env.app.dump() == before
    for parent, child in ((lead, one), (env.lead(), other)):
        env.patch(f"accounts({child})", {"originatingleadid@odata.bind": f"/leads({parent})"})
    parents = [env.post("accounts", {"name": "P"}).id for _ in range(2)]
    for parent, child in zip(parents, (one, other), strict=True):
        env.patch(f"accounts({child})", {"parentaccountid@odata.bind": f"/accounts({parent})"})
    assert merge(env, "account", one, other, PerformParentingChecks=True).code == "0x80040203"
    assert merge(env, "account", one, other).status == 204
