"""Who may do what in the Dataverse half: roles, depths, secured columns, acting for others (dataverse-api §4.4, §9.3,
§10.3).
"""

import json
from typing import Any

import pytest

from tests.support.dataverse import Environment, shaped

NOWHERE = "00000000-0000-4000-8000-000000000001"
SALES, READER, NOBODY, ADMIN = "Salesperson", "Read-only user", "No access", "System Administrator"


@pytest.fixture
def env() -> Environment:
    return Environment()


def error(answer: Any) -> tuple[int, str]:
    return answer.status, answer.code


def test_a_missing_privilege_is_told_by_its_name(env: Environment) -> None:
    user, token = env.person("reader@x.example", READER)
    refused = env.post("leads", {"lastname": "A"}, Authorization=token)
    assert error(refused) == (403, "0x80040220")
    assert f"Id={user}" in refused.json["error"]["message"]
    assert "is missing prvCreateLead privilege" in refused.json["error"]["message"]
    lead = env.lead()
    assert env.get(f"leads({lead})", Authorization=token).status == 200
    for answer in (
        env.patch(f"leads({lead})", {"subject": "x"}, Authorization=token),
        env.send("DELETE", f"leads({lead})", Authorization=token),
        env.send("PUT", f"leads({lead})/subject", {"value": "x"}, Authorization=token),
        env.send("DELETE", f"leads({lead})/parentaccountid/$ref", Authorization=token),
    ):
        assert error(answer) == (403, "0x80040220")
    assert env.get("leads/$count").text == "1"


def test_rows_of_others_are_out_of_reach_below_the_organization(env: Environment) -> None:
    user, token = env.person("seller@x.example", SALES)
    theirs, own = env.lead(), env.post("leads", {"lastname": "Own"}, Authorization=token).id
    refused = env.patch(f"leads({theirs})", {"subject": "x"}, Authorization=token)
    assert error(refused) == (403, "0x80048306")
    assert f"record with id {theirs}" in refused.json["error"]["message"]
    assert env.patch(f"leads({own})", {"subject": "x"}, Authorization=token).status == 204
    assert (
        env.patch(f"leads({own})", {"ownerid@odata.bind": f"/systemusers({user})"}, Authorization=token).status == 204
    )
    assert error(env.send("DELETE", f"leads({theirs})", Authorization=token)) == (403, "0x80048306")
    assert len(env.get("leads", Authorization=token).rows) == 2  # read reaches the organization


def test_reading_below_the_organization_sees_own_rows_and_no_changes() -> None:
    env = Environment(shape=shaped(roles={"Own": {"tables": {"lead": {"read": "user", "create": "user"}}}}))
    _, token = env.person("own@x.example", "Own")
    other = env.lead()
    own = env.post("leads", {"lastname": "Own"}, Authorization=token).id
    assert [row["leadid"] for row in env.get("leads", Authorization=token).rows] == [own]
    assert error(env.get(f"leads({other})", Authorization=token)) == (403, "0x80048306")
    tracked = env.get("leads?$select=subject", Authorization=token, Prefer="odata.track-changes")
    assert error(tracked) == (403, "0x80040220")  # change tracking wants organization-level read: §3.1
    assert error(env.get("accounts", Authorization=token)) == (403, "0x80040220")


def test_depths_follow_business_units_and_teams() -> None:
    roles = {"Unit": {"tables": {"lead": {"read": "businessunit"}}}, "Deep": {"tables": {"lead": {"read": "deep"}}}}
    env = Environment(shape=shaped(roles=roles))
    root = env.get("businessunits").rows[0]["businessunitid"]
    env.app.load({
        "businessunit": [{"_ref": "south", "name": "South", "parentbusinessunitid": root}],
        "systemuser": [
            {"lastname": "S", "firstname": "S", "internalemailaddress": "s@x.example", "domainname": "s",
             "businessunitid": "@south", "_ref": "s"},
        ],
        "lead": [{"lastname": "In the south", "ownerid": "@s"}, {"lastname": "In the root"}],
    })  # fmt: skip

    def seen(role: str) -> list[str]:
        _, token = env.person(f"{role}@x.example", role)
        return sorted(row["lastname"] for row in env.get("leads", Authorization=token).rows)

    assert seen("Unit") == ["In the root"]
    assert seen("Deep") == ["In the root", "In the south"]
    _, token = env.person("member@x.example", NOBODY)
    user = env.app.login_as("member@x.example")["user_id"]
    env.app.load({"team": [{"_ref": "t", "name": "Readers", "_roles": ["Unit"]}]})
    team = env.get("teams?$filter=name eq 'Readers'").rows[0]["teamid"]
    assert env.get("leads", Authorization=token).status == 403
    assert (
        env.post(f"teams({team})/teammembership_association/$ref", {"@odata.id": f"systemusers({user})"}).status == 204
    )
    assert len(env.get("leads", Authorization=token).rows) == 1  # the team's roles are the member's too


def test_a_user_without_roles_or_disabled_or_unknown_does_not_get_in(env: Environment) -> None:
    user, token = env.person("new@x.example", SALES)
    roles = env.get(f"systemusers({user})/systemuserroles_association").rows
    assert [row["name"] for row in roles] == [SALES]
    key = roles[0]["roleid"]
    assert env.send("DELETE", f"systemusers({user})/systemuserroles_association({key})/$ref").status == 204
    assert error(env.get("WhoAmI", Authorization=token)) == (403, "0x80042F09")
    env.patch(f"systemusers({user})", {"isdisabled": True})
    assert error(env.get("WhoAmI", Authorization=token)) == (403, "0x80040225")


# Owners


def test_an_owner_is_enabled_and_may_read_the_table(env: Environment) -> None:
    lead = env.lead()
    blind, _ = env.person("blind@x.example", NOBODY)
    bind = {"ownerid@odata.bind": f"/systemusers({blind})"}
    assert error(env.patch(f"leads({lead})", bind)) == (403, "0x80040220")
    env.app.load({"team": [
        {"name": "Owners", "_ref": "o"},
        {"name": "Access only", "teamtype": 1, "_ref": "a"},
        {"name": "Blind", "_roles": [NOBODY], "_ref": "b"},
    ]})  # fmt: skip
    teams = {row["name"]: row["teamid"] for row in env.get("teams").rows}
    assert env.patch(f"leads({lead})", {"ownerid@odata.bind": f"/teams({teams['Owners']})"}).status == 204
    row = env.row(f"leads({lead})")
    assert (row["_owningteam_value"], row["_owninguser_value"]) == (teams["Owners"], None)
    assert env.patch(f"leads({lead})", {"ownerid@odata.bind": f"/teams({teams['Access only']})"}).code == "0x80040203"
    assert env.patch(f"leads({lead})", {"ownerid@odata.bind": f"/teams({teams['Blind']})"}).code == "0x80040220"
    assert env.row(f"leads({lead})")["_ownerid_value"] == teams["Owners"]


def test_assigning_needs_its_own_right(env: Environment) -> None:
    env = Environment(
        shape=shaped(roles={"Writer": {"tables": {"lead": {"read": "organization", "write": "organization"}}}})
    )
    _, token = env.person("writer@x.example", "Writer")
    other, _ = env.person("other@x.example", ADMIN)
    lead = env.lead()
    assert env.patch(f"leads({lead})", {"subject": "x"}, Authorization=token).status == 204
    bind = {"ownerid@odata.bind": f"/systemusers({other})"}
    refused = env.patch(f"leads({lead})", bind, Authorization=token)
    assert "prvAssignLead" in refused.json["error"]["message"]
    account = env.post("accounts", {"name": "A"}).id
    bind = {"parentaccountid@odata.bind": f"/accounts({account})"}
    assert "prvAppendLead" in env.patch(f"leads({lead})", bind, Authorization=token).json["error"]["message"]


# Secured columns


def test_secured_columns_read_as_null_and_refuse_writes() -> None:
    env = Environment(shape=shaped(
        columns={"lead": {"revenue": {"secured": True}}},
        roles={
            "Blind": {"tables": {"*": "organization"}},
            "Seeing": {"tables": {"*": "organization"}, "columns": {"lead.revenue": ["read", "create"]}},
        },
    ))  # fmt: skip
    _, blind = env.person("blind@x.example", "Blind")
    _, seeing = env.person("seeing@x.example", "Seeing")
    lead = env.lead(revenue=5)
    assert env.get(f"leads({lead})?$select=revenue", Authorization=blind).json["revenue"] is None
    assert env.get(f"leads({lead})?$select=revenue", Authorization=seeing).json["revenue"] == 5
    assert error(env.post("leads", {"revenue": 1}, Authorization=blind)) == (403, "0x8004F502")
    assert env.post("leads", {"revenue": 1}, Authorization=seeing).status == 204
    assert error(env.patch(f"leads({lead})", {"revenue": 1}, Authorization=seeing)) == (403, "0x8004F507")
    assert env.row(f"leads({lead})")["revenue"] == 5


# Acting for somebody else, and privileges of their own


def test_who_acts_for_others_needs_the_right_and_has_what_both_have(env: Environment) -> None:
    seller, token = env.person("seller@x.example", SALES)
    reader, _ = env.person("reader@x.example", READER)
    assert error(env.get("leads", Authorization=token, MSCRMCallerID=reader)) == (403, "0x8004A110")
    assert env.get("leads", Authorization=token, MSCRMCallerID=seller).status == 200  # oneself is nobody else
    assert error(env.post("leads", {"lastname": "A"}, MSCRMCallerID=reader)) == (403, "0x80040220")
    assert env.post("leads", {"lastname": "A"}, MSCRMCallerID=seller).status == 204
    assert env.get("WhoAmI", MSCRMCallerID=seller).json["UserId"] == seller
    assert error(env.get("WhoAmI", MSCRMCallerID=NOWHERE)) == (404, "0x80040217")
    assert env.get("WhoAmI", MSCRMCallerID="Ingrid").status == 400
    assert error(env.get("WhoAmI", CallerObjectId=NOWHERE)) == (403, "0x80072560")
    env.patch(f"systemusers({seller})", {"azureactivedirectoryobjectid": NOWHERE})
    assert env.get("WhoAmI", CallerObjectId=NOWHERE, MSCRMCallerID=reader).json["UserId"] == seller
    env.patch(f"systemusers({seller})", {"isdisabled": True})
    assert error(env.get("WhoAmI", MSCRMCallerID=seller)) == (403, "0x80040225")


def test_backdating_and_bypassing_need_their_privileges() -> None:
    rule = {"table": "lead", "when": "companyname eq 'Closed shop'", "message": "Not them."}
    env = Environment(shape=shaped(rules=[rule]))
    _, token = env.person("seller@x.example", SALES)
    old = {"lastname": "A", "overriddencreatedon": "2020-01-02T03:04:05Z"}
    refused = env.post("leads", old, Authorization=token)
    assert (refused.code, "prvOverrideCreatedOnCreatedBy" in refused.text) == ("0x80040220", True)
    assert env.post("leads", old).status == 204
    body = {"lastname": "A", "companyname": "Closed shop"}
    assert env.post("leads", body).json["error"] == {"code": "0x80040265", "message": "Not them."}
    for header, value, privilege in (
        ("MSCRM.BypassBusinessLogicExecution", "CustomSync,CustomAsync", "prvBypassCustomBusinessLogic"),
        ("MSCRM.BypassCustomPluginExecution", "true", "prvBypassCustomPlugins"),
    ):
        assert env.send("POST", "leads", body, **{header: value}).status == 204
        assert privilege in env.send("POST", "leads", body, Authorization=token, **{header: value}).text
    assert env.send("POST", "leads", body, **{"MSCRM.BypassBusinessLogicExecution": "CustomAsync"}).code == "0x80040265"
    assert env.send("POST", "leads", body, **{"MSCRM.BypassBusinessLogicExecution": "All"}).status == 400


def test_qualifying_needs_rights_on_what_it_makes(env: Environment) -> None:
    maps = ["prvReadAttributeMap", "prvReadEntityMap", "prvReadEntity", "prvReadCustomization"]
    env = Environment(shape=shaped(roles={
        "No accounts": {"tables": {"*": "organization", "account": {"read": "organization"}}, "privileges": maps},
        "No maps": {"tables": {"*": "organization"}},
    }))  # fmt: skip
    lead = env.lead(companyname="C")
    create = {"CreateAccount": True, "CreateContact": False, "CreateOpportunity": False, "Status": 3}
    url = f"leads({lead})/Microsoft.Dynamics.CRM.QualifyLead"
    _, token = env.person("a@x.example", "No accounts")
    assert error(env.post(url, create, Authorization=token)) == (403, "0x80081018")
    assert env.post(url, {**create, "CreateAccount": False}, Authorization=token).status == 200
    _, token = env.person("b@x.example", "No maps")
    assert (
        "prvReadAttributeMap"
        in env.post(f"leads({env.lead()})/Microsoft.Dynamics.CRM.QualifyLead", create, Authorization=token).text
    )


def test_the_process_started_is_one_that_the_caller_may_start() -> None:
    env = Environment(shape=shaped(roles={"Leads": {"tables": {"lead": "user"}}}))
    _, token = env.person("l@x.example", "Leads")
    assert env.post("leads", {"lastname": "A"}, Authorization=token).status == 204
    assert env.get("leadtoopportunitysalesprocesses/$count").text == "0"


def test_every_user_has_settings(env: Environment) -> None:
    user, _ = env.person("seller@x.example", SALES)
    settings = env.row(f"usersettingscollection({user})?$select=timezonecode,uilanguageid,dateformatstring")
    assert (settings["timezonecode"], settings["uilanguageid"], settings["dateformatstring"]) == (92, 1033, "M/d/yyyy")
    assert env.get(f"usersettingscollection({env.app.application_user})").status == 200
    changed = env.send("PATCH", f"usersettingscollection({user})", {"uilanguageid": 1031})
    assert error(changed) == (405, "0x80040800")  # nothing would go by it


def test_privileges_of_a_user_are_told(env: Environment) -> None:
    user, _ = env.person("seller@x.example", SALES)
    found = env.get(f"systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges").json["RolePrivileges"]
    depths = {each["PrivilegeName"]: each["Depth"] for each in found}
    assert (depths["prvCreateLead"], depths["prvReadLead"], depths["prvReadEntityMap"]) == ("Basic", "Global", "Global")
    assert "prvActOnBehalfOfAnotherUser" not in depths


def test_the_rights_of_a_user_on_a_row_are_told(env: Environment) -> None:
    def rights(user: str, lead: str, target: str = "{{'@odata.id':'leads({})'}}") -> Any:
        path = f"systemusers({user})/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)"
        return env.get(f"{path}?@t={target.format(lead)}")

    seller, token = env.person("seller@x.example", SALES)
    nobody, _ = env.person("nobody@x.example", NOBODY)
    theirs, own = env.lead(), env.post("leads", {"lastname": "Own"}, Authorization=token).id
    everything = (
        "ReadAccess, WriteAccess, AppendAccess, AppendToAccess, CreateAccess, DeleteAccess, ShareAccess, AssignAccess"
    )
    assert rights(env.app.application_user, theirs).json["AccessRights"] == everything
    assert "WriteAccess" in rights(seller, own).json["AccessRights"].split(", ")
    assert rights(seller, theirs).json["AccessRights"].split(", ")[0] == "ReadAccess"
    assert "WriteAccess" not in rights(seller, theirs).json["AccessRights"]
    assert rights(nobody, own).json["AccessRights"] == "None"
    assert rights(seller, own, target='{{"@odata.id":"/leads({})"}}').status == 200
    assert error(rights(seller, NOWHERE)) == (404, "0x80040217")
    assert error(rights(seller, own, target="{{}}")) == (400, "0x80060888")
    assert error(env.get(f"systemusers({seller})/Microsoft.Dynamics.CRM.RetrievePrincipalAccess()")) == (
        404,
        "0x80060888",
    )


def test_what_is_shared_is_within_reach_as_far_as_it_was_shared(env: Environment) -> None:
    reader, token = env.person("reader@x.example", SALES)
    lead, other = env.lead(), env.lead()
    target = {"@odata.type": "Microsoft.Dynamics.CRM.lead", "leadid": lead}
    who = {"@odata.type": "Microsoft.Dynamics.CRM.systemuser", "systemuserid": reader}

    def change(key: str = lead) -> int:
        return env.send("PATCH", f"leads({key})", {"firstname": "x"}, Authorization=token).status

    def share(action: str, mask: str) -> Any:
        return env.post(action, {"Target": target, "PrincipalAccess": {"Principal": who, "AccessMask": mask}})

    asked = f"RetrieveSharedPrincipalsAndAccess(Target=@t)?@t={{'@odata.id':'leads({lead})'}}"
    assert change() == 403
    assert share("GrantAccess", "ReadAccess").status == 204
    assert change() == 403
    assert share("GrantAccess", "WriteAccess").status == 204
    assert (change(), change(other)) == (204, 403)
    (told,) = env.get(asked).json["PrincipalAccesses"]
    assert (told["AccessMask"], told["Principal"]["systemuserid"]) == ("ReadAccess, WriteAccess", reader)
    rights = f"systemusers({reader})/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)"
    assert "WriteAccess" in env.get(f"{rights}?@t={{'@odata.id':'leads({lead})'}}").json["AccessRights"]
    assert share("ModifyAccess", "ReadAccess").status == 204  # takes the place of what there was
    assert change() == 403
    assert share("ModifyAccess", "ReadAccess,WriteAccess").status == 204
    assert env.post("RevokeAccess", {"Target": target, "Revokee": who}).status == 204
    assert (change(), env.get(asked).json["PrincipalAccesses"]) == (403, [])


def test_what_is_shared_with_a_team_is_shared_with_its_members_and_goes_with_the_row() -> None:
    env = Environment(shape=shaped(roles={SALES: {"tables": {"lead": {"read": "user", "write": "user"}}}}))
    member, token = env.person("member@x.example", SALES)
    team = env.post(
        "teams", {"name": "Desk", "businessunitid@odata.bind": f"/businessunits({env.row('WhoAmI')['BusinessUnitId']})"}
    ).id
    env.post(f"teams({team})/teammembership_association/$ref", {"@odata.id": f"systemusers({member})"})
    lead = env.lead()
    assert env.send("GET", f"leads({lead})", Authorization=token).status == 403
    body = {"Target": {"leadid": lead}, "PrincipalAccess": {"Principal": {"teamid": team}, "AccessMask": "ReadAccess"}}
    assert env.post("GrantAccess", body).status == 204
    assert env.send("GET", f"leads({lead})", Authorization=token).status == 200
    assert [row["leadid"] for row in env.send("GET", "leads", Authorization=token).rows] == [lead]
    assert [row["accessrightsmask"] for row in env.get("principalobjectaccessset").rows] == [1]
    assert env.send("DELETE", f"leads({lead})").status == 204
    assert env.get("principalobjectaccessset").rows == []


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("GrantAccess", {}),
        ("GrantAccess", {"Target": {"leadid": NOWHERE}}),
        ("GrantAccess", {"Target": {"leadid": "LEAD"}}),
        (
            "GrantAccess",
            {"Target": {"leadid": "LEAD"}, "PrincipalAccess": {"Principal": {}, "AccessMask": "ReadAccess"}},
        ),
        ("GrantAccess", {"Target": {"leadid": "LEAD"}, "PrincipalAccess": {"Principal": {"systemuserid": "ME"}}}),
        (
            "ModifyAccess",
            {
                "Target": {"leadid": "LEAD"},
                "PrincipalAccess": {"Principal": {"systemuserid": "ME"}, "AccessMask": "Read"},
            },
        ),
        ("RevokeAccess", {"Target": {"leadid": "LEAD"}}),
        ("RevokeAccess", {"Target": {"leadid": "LEAD"}, "PrincipalAccess": {}}),
    ],
)
def test_shares_that_are_none(env: Environment, action: str, body: dict[str, Any]) -> None:
    text = json.dumps(body).replace("LEAD", env.lead()).replace("ME", env.app.application_user)
    assert env.post(action, json.loads(text)).status in {400, 404}
    assert env.get("principalobjectaccessset").rows == []
