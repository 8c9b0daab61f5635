"""What the Dataverse half would have to ignore, it refuses: options, parameters, members, methods, media types."""

import json
from typing import Any

import pytest

from crmbridge.sandbox.dynamics.left_out import LEFT_OUT
from tests.support.dataverse import Environment

NOWHERE = "00000000-0000-4000-8000-000000000001"
STALE = 'W/"1"'


@pytest.fixture(scope="module")
def env() -> Environment:
    return Environment()


def refused(env: Environment, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """(status, code), and nothing has changed."""
    before = env.app.dump()
    answer = env.send(method, url, body, **headers)
    assert env.app.dump() == before
    return answer.status, answer.code if answer.text else ""


def test_what_a_real_environment_could_do_is_said_to_be_not_served(env: Environment) -> None:
    """Whichever way it is called; what does not exist there either is a segment that is not found."""
    for name in sorted(LEFT_OUT):
        called = [("POST", name), ("GET", f"{name}()"), ("POST", f"leads/Microsoft.Dynamics.CRM.{name}")]
        answers = [env.send(method, url, {} if method == "POST" else None) for method, url in called]
        assert [each.status for each in answers] == [501] * 3, name
        assert all(f"does not serve the action or function {name}" in each.text for each in answers)
    assert refused(env, "POST", "DanceWithLead", {}) == (404, "0x80060888")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("url", ["", "$metadata"])
def test_documents_are_read_alone(env: Environment, method: str, url: str) -> None:
    assert refused(env, method, url) == (405, "0x8006088a")


@pytest.mark.parametrize(
    "url", ["leads?$select=subject", "WhoAmI", "", "$metadata", "EntityDefinitions?$select=LogicalName"]
)
def test_head_is_a_get_whose_body_the_transport_leaves_out(env: Environment, url: str) -> None:
    assert env.send("HEAD", url).reply.body == env.get(url).reply.body


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "leads?$top=1", {"subject": "a"}),
        ("POST", "leads?colour=red", {"subject": "a"}),
        ("PATCH", "leads(ID)?$filter=x", {"subject": "a"}),
        ("PATCH", "leads(ID)?colour=red", {"subject": "a"}),
        ("PUT", "leads(ID)/subject?$select=subject", {"value": "a"}),
        ("DELETE", "leads(ID)?$select=subject", None),
        ("DELETE", "leads(ID)/subject?colour=red", None),
        ("DELETE", "leads(ID)/parentaccountid/$ref?$select=name", None),
        ("POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple?colour=red", {"Targets": []}),
        ("POST", "leads(ID)/Microsoft.Dynamics.CRM.QualifyLead?$select=x", {}),
        ("POST", "WinOpportunity?colour=red", {}),
        ("POST", "$batch?colour=red", None),
        ("GET", "?$top=1", None),
        ("GET", "?colour=red", None),
        ("GET", "WhoAmI?$select=UserId", None),
        ("GET", "leads(ID)/ownerid/$ref?$select=name", None),
        ("GET", "EntityDefinitions?$skiptoken=x", None),
        ("GET", "EntityDefinitions?fetchXml=x", None),
        ("GET", "EntityDefinitions(LogicalName='lead')?$filter=LogicalName eq 'x'", None),
        ("GET", "EntityDefinitions(LogicalName='lead')?$count=true", None),
        ("GET", "EntityDefinitions(LogicalName='lead')/Attributes(LogicalName='subject')?$count=true", None),
        ("GET", "RelationshipDefinitions?$deltatoken=x", None),
        ("GET", "leads?$orderby=subject,", None),
        ("GET", "leads?$expand=ownerid($select=fullname)", None),
        ("GET", "leads?$expand=ownerid($filter=ownerid eq null)", None),
        ("GET", "RetrieveCurrentOrganization", None),
        ("GET", "RetrieveCurrentOrganization(AccessType='Extranet')", None),
        ("GET", "RetrieveActivePath", None),
        ("GET", "RetrieveTotalRecordCount(EntityNames=[5])", None),
    ],
)
def test_options_without_a_meaning_are_refused(env: Environment, method: str, url: str, body: Any) -> None:
    url = url.replace("ID", env.lead())
    assert refused(env, method, url, body) == (400, "0x80060888")


def test_plug_ins_tags_stay_without_effect(env: Environment) -> None:
    assert env.post("leads?tag=sync", {"subject": "a"}).status == 204


@pytest.mark.parametrize(
    "url",
    ["WhoAmI(x=1)", "RetrieveVersion(x=1)", f"RetrieveActivePath(ProcessInstanceId={NOWHERE},x=1)", "$metadata/x"],
)
def test_functions_and_documents_are_found_by_all_of_their_name(env: Environment, url: str) -> None:
    assert refused(env, "GET", url) == (404, "0x80060888")


def test_lists_of_names_are_read_in_place_and_by_alias(env: Environment) -> None:
    inline = env.get("RetrieveTotalRecordCount(EntityNames=['lead','account'])").json["EntityRecordCountCollection"]
    alias = env.get("RetrieveTotalRecordCount(EntityNames=@n)?@n=['lead','account']").json[
        "EntityRecordCountCollection"
    ]
    assert inline == alias
    assert inline["Keys"] == ["lead", "account"]


def test_what_is_known_and_not_served_says_so(env: Environment) -> None:
    url = "RetrieveProcessControlData(Target=@t,ProcessId=@p)?@t={'@odata.id':'leads(x)'}&@p=null"
    assert refused(env, "GET", url) == (501, "0x8006088a")


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "leads", b""),
        ("PATCH", "leads(ID)", b""),
        ("PUT", "leads(ID)/subject", b""),
        ("PUT", "leads(ID)/subject", {"value": "a", "colour": "red"}),
        (
            "POST",
            "accounts(ACCOUNT)/contact_customer_accounts/$ref",
            {"@odata.id": "contacts(CONTACT)", "colour": "red"},
        ),
        ("POST", "CalculatePrice", {"Target": {}, "colour": "red"}),
        ("POST", "accounts/Microsoft.Dynamics.CRM.CreateMultiple", {"Targets": [{"@odata.type": "x.account"}]}),
        ("POST", "leads(ID)/Microsoft.Dynamics.CRM.QualifyLead", {"SuppressDuplicateDetection": "no"}),
        ("POST", "leads(ID)/Microsoft.Dynamics.CRM.QualifyLead", {"entity": {"leadid": "OTHER"}}),
        ("PATCH", "leads(ID)", {"lastusedincampaign": "2026-W10-1"}),
        ("PATCH", "leads(ID)", {"lastusedincampaign": "20261130"}),
        ("PATCH", "leads(ID)", {"lastusedincampaign": "2026-11-30 10:00"}),
    ],
)
def test_bodies_hold_what_is_documented(env: Environment, method: str, url: str, body: Any) -> None:
    ids = {"ID": env.lead(), "OTHER": env.lead(), "ACCOUNT": env.post("accounts", {"name": "A"}).id}
    ids["CONTACT"] = env.post("contacts", {"lastname": "C"}).id
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    for name, key in ids.items():
        url, text = url.replace(name, key), text.replace(name.encode(), key.encode())
    if "QualifyLead" in url:
        flags = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": 3}
        text = json.dumps({**flags, **json.loads(text)}).encode()
    assert refused(env, method, url, text) == (400, "0x80048d19")


@pytest.mark.parametrize("text", [b'{"subject":"a","subject":"b"}', b'{"subject" : "a", "subject" :"b"}'])
def test_a_name_stands_once_in_a_body(env: Environment, text: bytes) -> None:
    assert refused(env, "POST", "leads", text) == (400, "0x80048d19")


def test_a_text_may_look_like_a_name() -> None:
    env = Environment()
    subject = '"subject": "subject": twice'
    assert env.row(f"leads({env.lead(subject=subject)})?$select=subject")["subject"] == subject


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_bodies_are_json(env: Environment, kind: str) -> None:
    assert refused(env, "POST", "leads", b'{"subject":"a"}', content_type=kind) == (415, "0x8006088a")


@pytest.mark.parametrize("kind", ["application/json", "application/json; type=entry", "Application/JSON;charset=utf-8"])
def test_json_has_many_names(env: Environment, kind: str) -> None:
    assert env.send("POST", "leads", b'{"subject":"a"}', content_type=kind).status == 204


def test_text_is_measured_in_utf_16(env: Environment) -> None:
    lead = env.lead(subject="\U0001f600" * 150)
    assert refused(env, "PATCH", f"leads({lead})", {"subject": "\U0001f600" * 151}) == (400, "0x80044331")
    assert env.patch(f"leads({lead})", {"subject": "ü" * 300}).status == 204


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("PUT", "subject", {"value": "a"}),
        ("DELETE", "subject", None),
        ("PUT", "parentaccountid/$ref", {"@odata.id": f"accounts({NOWHERE})"}),
        ("DELETE", "parentaccountid/$ref", None),
    ],
)
def test_a_version_holds_for_a_part_of_the_row_too(env: Environment, method: str, below: str, body: Any) -> None:
    assert refused(env, method, f"leads({env.lead()})/{below}", body, If_Match=STALE) == (412, "0x80060882")


def test_nothing_is_a_batch_because_it_speaks_of_one(env: Environment) -> None:
    env.post("accounts", {"name": "$batch"})
    lines = [
        "--b",
        "Content-Type: application/http",
        "",
        "GET accounts?$filter=name eq '$batch' HTTP/1.1",
        "",
        "--b--",
        "",
    ]
    answer = env.send("POST", "$batch", "\r\n".join(lines).encode(), content_type="multipart/mixed; boundary=b")
    assert answer.status == 200
    assert '"name":"$batch"' in answer.text


def test_a_content_id_names_one_row(env: Environment) -> None:
    part = ["--c", "Content-Type: application/http", "Content-ID: 1", "", "POST accounts HTTP/1.1", "", '{"name":"A"}']
    lines = ["--b", "Content-Type: multipart/mixed; boundary=c", "", *part, *part, "--c--", "--b--", ""]
    sent = "\r\n".join(lines).encode()
    assert refused(env, "POST", "$batch", sent, content_type="multipart/mixed; boundary=b") == (400, "0x80060888")


@pytest.mark.parametrize("text", ["subject eq 'x' and", 'subject eq "x"', "subject has 'x'", "createdon gt 2020-13-01"])
def test_syntax_errors_tell_where_in_the_service_s_words(env: Environment, text: str) -> None:
    answer = env.get(f"leads?$filter={text}")
    assert (answer.status, answer.code) == (400, "0x80060888")
    assert "Token" not in answer.text
    assert " at position " in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "name",
    ["organizations", "workflows", "processstages", "duplicaterules", "asyncoperations", "contactleadscollection"],
)
def test_rows_of_the_platform_are_not_made_by_anybody(env: Environment, name: str) -> None:
    assert refused(env, "POST", name, {}) == (405, "0x80040800")


def test_rules_and_processes_are_not_changed_where_nothing_would_follow(env: Environment) -> None:
    for name, key in (("workflows", "workflowid"), ("duplicaterules", "duplicateruleid")):
        url = f"{name}({env.get(name).rows[0][key]})"
        assert refused(env, "PATCH", url, {"name": "Mine"}) == (405, "0x80040800")
        assert refused(env, "DELETE", url) == (405, "0x80040800")


def test_the_order_of_names_can_be_set() -> None:
    env = Environment()
    organization = env.get("organizations").rows[0]["organizationid"]
    assert env.patch(f"organizations({organization})", {"fullnameconventioncode": 0}).status == 204
    assert env.row(f"leads({env.lead(firstname='Ada')})?$select=fullname")["fullname"] == "Byron, Ada"


def test_a_close_cannot_be_backdated_without_the_right_to() -> None:
    env = Environment()
    _, token = env.person("ada@contoso.example", "Salesperson")
    deal = env.send("POST", "opportunities", {"name": "Deal"}, Authorization=token).id
    close = {"opportunityid@odata.bind": f"opportunities({deal})", "overriddencreatedon": "2001-01-01T00:00:00Z"}
    answer = env.send("POST", "WinOpportunity", {"Status": 3, "OpportunityClose": close}, Authorization=token)
    assert (answer.status, answer.code) == (403, "0x80040220")


def test_a_read_can_be_bound_to_a_version(env: Environment) -> None:
    url = f"leads({env.lead()})"
    assert refused(env, "GET", url, If_Match=STALE) == (412, "0x80060882")
    assert env.get(url, If_Match=env.row(url)["@odata.etag"]).status == 200


@pytest.mark.parametrize("table", ["lead", "account", "contact"])
def test_what_was_merged_away_stays_so(env: Environment, table: str) -> None:
    name = env.shape.tables[table].set_name
    winner, loser = (env.post(name, {"lastname" if table != "account" else "name": "M"}).id for _ in range(2))
    rows = [{"@odata.type": f"Microsoft.Dynamics.CRM.{table}", f"{table}id": key} for key in (winner, loser)]
    merge = {"Target": rows[0], "Subordinate": rows[1], "PerformParentingChecks": False}
    assert env.post("Merge", merge).status == 204
    assert refused(env, "PATCH", f"{name}({loser})", {"statecode": 0, "statuscode": 1}) == (400, "0x80040203")


def test_a_stranger_is_told_nothing_of_limits(env: Environment) -> None:
    stranger, friend = env.get("WhoAmI", Authorization="Bearer guess"), env.get("WhoAmI")
    limits = {name for name in friend.headers if name.startswith("x-ms-ratelimit")}
    assert len(limits) == 2
    assert not limits & set(stranger.headers)
    assert friend.headers["Set-Cookie"].startswith("ARRAffinity=")
