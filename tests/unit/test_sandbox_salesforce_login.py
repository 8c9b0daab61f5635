"""Who may come into the sandbox's Salesforce org, and in whose name (salesforce-api §1)."""

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

import jwt
import pytest

from crmbridge.sandbox.core import Reply, Request
from tests.support.salesforce_org import ORIGIN, PARTNER, Bench, bench

BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token(org: Bench, form: dict[str, str], **headers: str) -> tuple[int, dict[str, Any]]:
    given = {"content-type": "application/x-www-form-urlencoded", "authorization": "", **headers}
    reply = org.send("POST", "/services/oauth2/token", urlencode(form).encode(), given)
    return reply.status, json.loads(reply.body)


def assertion(org: Bench, **changed: Any) -> str:
    given = org.app.credentials
    claims = {"iss": given["client_id"], "sub": given["username"], "aud": "https://login.salesforce.com"}
    claims["exp"] = f"{org.times[0].timestamp() + 180:.0f}"  # simple-salesforce sends a text
    return jwt.encode({**claims, **changed}, given["private_key"], algorithm="RS256")


@pytest.fixture
def org() -> Bench:
    return bench()


def forms(org: Bench) -> dict[str, dict[str, str]]:
    given = org.app.credentials
    client = {"client_id": given["client_id"], "client_secret": given["client_secret"]}
    secret = given["password"] + given["security_token"]
    return {
        "jwt": {"grant_type": BEARER, "assertion": assertion(org)},
        "client": {"grant_type": "client_credentials", **client},
        "password": {"grant_type": "password", **client, "username": given["username"], "password": secret},
        "refresh": {"grant_type": "refresh_token", **client, "refresh_token": given["refresh_token"]},
    }


@pytest.mark.parametrize("flow", ["jwt", "client", "password", "refresh"])
def test_every_flow_gives_a_token_that_works_and_names_its_user(org: Bench, flow: str) -> None:
    status, answer = token(org, forms(org)[flow])
    assert (status, answer["instance_url"], answer["token_type"]) == (200, ORIGIN, "Bearer")
    assert isinstance(answer["issued_at"], str)
    assert "expires_in" not in answer
    user = answer["id"].rpartition("/")[2]
    org.token = answer["access_token"]
    lead = org.create("Lead", LastName="Boxer", Company="Farmers")
    assert org.get("Lead", lead)["LastModifiedById"] == user
    assert org.send("GET", answer["id"].removeprefix(ORIGIN)).status == 200


def test_client_credentials_by_basic_header(org: Bench) -> None:
    given = org.app.credentials
    pair = base64.b64encode(f"{given['client_id']}:{given['client_secret']}".encode()).decode()
    status, _ = token(org, {"grant_type": "client_credentials"}, authorization=f"Basic {pair}")
    assert status == 200


@pytest.mark.parametrize(
    ("flow", "wrong", "error", "description"),
    [
        ("password", {"password": "guess"}, "invalid_grant", "authentication failure"),
        ("client", {"client_secret": "guess"}, "invalid_client", "invalid client credentials"),
        ("client", {"client_id": "guess"}, "invalid_client_id", "client identifier invalid"),
        ("refresh", {"refresh_token": "guess"}, "invalid_grant", "expired access/refresh token"),
        ("jwt", {"assertion": "a.b.c"}, "invalid_grant", "invalid assertion"),
        ("jwt", {"grant_type": "device"}, "unsupported_grant_type", "grant type not supported"),
    ],
)
def test_wrong_secrets_are_refused_in_oauths_own_form(
    org: Bench, flow: str, wrong: dict[str, str], error: str, description: str
) -> None:
    status, answer = token(org, {**forms(org)[flow], **wrong})
    assert status in (400, 401)
    assert answer == {"error": error, "error_description": description}


def test_an_assertion_is_checked_claim_by_claim(org: Bench) -> None:
    def refusal(**changed: Any) -> str:
        return token(org, {"grant_type": BEARER, "assertion": assertion(org, **changed)})[1]["error_description"]

    assert refusal(exp=str(org.times[0].timestamp() - 1)) == "assertion expired"
    assert refusal(aud="https://evil.example") == "audience is invalid"
    assert refusal(sub="nobody@acme.example") == "user hasn't approved this consumer"
    forged = jwt.encode({"iss": "x"}, "s" * 32, algorithm="HS256")
    assert token(org, {"grant_type": BEARER, "assertion": forged})[0] == 400


def test_rotation_kills_the_old_refresh_token() -> None:
    org = bench({"org": {"refresh_token_rotation": True}})
    form = forms(org)["refresh"]
    _, answer = token(org, form)
    assert token(org, form)[1]["error"] == "invalid_grant"
    assert token(org, {**form, "refresh_token": answer["refresh_token"]})[0] == 200


def test_a_session_dies_when_idle_by_token_time_alone(org: Bench) -> None:
    org.wait(days=400)  # data time alone
    for _ in range(2):  # used in time, so the idle time starts afresh
        org.idle(minutes=100)
        assert org.rest("GET", "limits").status == 200
    org.idle(minutes=121)
    gone = org.rest("GET", "limits")
    assert (gone.status, gone.body) == (
        401,
        [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}],
    )


def login(org: Bench, password: str, header: str = "", version: str = "59.0") -> Reply:
    name = org.app.credentials["username"]
    body = f"<login><username>{name}</username><password>{password}</password></login>"
    return org.soap(body, header=header, session="", version=version)


def test_soap_login_answers_unprefixed_in_the_order_of_the_wsdl(org: Bench) -> None:
    given = org.app.credentials
    reply = login(org, given["password"] + given["security_token"])
    for tag in ("sessionId", "serverUrl", "userId", "organizationId"):
        assert f"<{tag}>".encode() in reply.body
    (result,) = ElementTree.fromstring(reply.body).iter(f"{PARTNER}result")
    names = [child.tag.removeprefix(PARTNER) for child in result]
    assert names == sorted(names)
    org.token = result.findtext(f"{PARTNER}sessionId") or ""
    assert org.rest("GET", "limits").status == 200


def test_soap_login_wants_the_security_token_unless_from_a_trusted_place(org: Bench) -> None:
    given = org.app.credentials
    bare = login(org, given["password"])
    assert bare.status == 500
    assert b"<faultcode>LOGIN_MUST_USE_SECURITY_TOKEN</faultcode>" in bare.body
    assert b"<sf:exceptionCode>LOGIN_MUST_USE_SECURITY_TOKEN</sf:exceptionCode>" in bare.body
    scope = f"<LoginScopeHeader><organizationId>{given['org_id']}</organizationId></LoginScopeHeader>"
    assert login(org, given["password"], scope).status == 200
    assert b"INVALID_LOGIN" in login(org, "guess").body
    assert login(org, given["password"] + given["security_token"], version="66.0").status == 500


def test_soap_calls_of_a_dead_session_are_a_prefixed_fault(org: Bench) -> None:
    reply = org.soap("<getUserInfo/>", session="dead")
    assert reply.status == 500
    assert b"<faultcode>sf:INVALID_SESSION_ID</faultcode>" in reply.body
    assert org.soap("<describeTabs/>").status == 500


def test_people_get_tokens_of_their_own(org: Bench) -> None:
    first, again = (org.app.login_as("Mia.Berg@acme.example") for _ in range(2))
    assert first["user_id"] == again["user_id"]
    mia = org.person("mia.berg@acme.example")
    lead = mia.create("Lead", LastName="A", Company="B")
    shown = org.one(f"SELECT Owner.Name, LastModifiedById FROM Lead WHERE Id = '{lead}'")
    assert (shown["Owner"]["Name"], shown["LastModifiedById"]) == ("Mia Berg", first["user_id"])
    org.update("User", first["user_id"], IsActive=False)
    assert mia.rest("GET", "limits").status == 401


def test_the_ledger_knows_what_was_asked_and_by_whom(org: Bench) -> None:
    org.query("SELECT Id FROM Lead")
    org.query("SELECT ApiName FROM LeadStatus")
    org.rest("GET", "sobjects/Lead/describe")
    org.send("GET", "/services/data")
    token(org, forms(org)["client"])
    seen = [(call.kind, call.table, call.category, call.status) for call in org.world.calls]
    assert seen == [
        ("query", "Lead", "data", 200),
        ("query", "LeadStatus", "metadata", 200),
        ("describe", "Lead", "metadata", 200),
        ("versions", "", "metadata", 200),
        ("token", "", "login", 200),
    ]
    assert org.world.calls[0].user == org.world.calls[-1].user != ""


# -- the org's policy ------------------------------------------------------------------------------------------------


def policy(**login: Any) -> Bench:
    return bench({"org": {"login": login}})


def refusals(org: Bench, flow: str, **headers: str) -> tuple[str, str]:
    """What SOAP and OAuth say to the same right secret."""
    given = org.app.credentials
    reply = login(org, given["password"] + given["security_token"])
    code = ElementTree.fromstring(reply.body).findtext(".//faultcode") or ""
    return code, token(org, forms(org)[flow], **headers)[1].get("error", "")


@pytest.mark.parametrize(
    ("setting", "code", "error"),
    [
        ({"state": "ORG_LOCKED"}, "ORG_LOCKED", "inactive_org"),
        ({"state": "TRIAL_EXPIRED"}, "TRIAL_EXPIRED", "inactive_org"),
        ({"state": "API_DISABLED_FOR_ORG"}, "API_DISABLED_FOR_ORG", "invalid_grant"),
        ({"state": "API_CURRENTLY_DISABLED"}, "API_CURRENTLY_DISABLED", "invalid_grant"),
        ({"state": "INVALID_SSO_GATEWAY_URL"}, "INVALID_SSO_GATEWAY_URL", "invalid_grant"),
        ({"state": "SERVER_UNAVAILABLE"}, "SERVER_UNAVAILABLE", "invalid_grant"),
        ({"hours": [10, 18]}, "LOGIN_DURING_RESTRICTED_TIME", "invalid_grant"),
        ({"networks": ["10.0.0.0/8"]}, "LOGIN_DURING_RESTRICTED_DOMAIN", "invalid_grant"),
        ({"per_hour": 0}, "LOGIN_RATE_EXCEEDED", "rate_limit_exceeded"),
    ],
)
def test_a_login_is_refused_when_the_org_says_so(setting: dict[str, Any], code: str, error: str) -> None:
    org = policy(**setting)
    for flow in ("password", "jwt", "client", "refresh"):
        assert refusals(org, flow) == (code, error)


def test_networks_and_hours_let_the_others_in() -> None:
    org = policy(networks=["10.0.0.0/8"], trusted_networks=["10.1.0.0/16"], hours=[9, 10])
    form = forms(org)["password"]
    assert token(org, form, **{"x-forwarded-for": "10.2.3.4"})[0] == 200
    bare = {**form, "password": org.app.credentials["password"]}
    assert token(org, bare, **{"x-forwarded-for": "10.2.3.4"})[1]["error"] == "invalid_grant"
    assert token(org, bare, **{"x-forwarded-for": "10.1.3.4, 10.2.2.2"})[0] == 200
    org.idle(hours=1)
    assert token(org, form, **{"x-forwarded-for": "10.2.3.4"})[0] == 400


def test_wrong_passwords_lock_a_user_out_for_a_while() -> None:
    org = policy(wrong_passwords=3, lockout_minutes=15)
    right = org.app.credentials["password"] + org.app.credentials["security_token"]
    for _ in range(3):
        assert b"INVALID_LOGIN" in login(org, "guess").body
    assert b"<faultcode>PASSWORD_LOCKOUT</faultcode>" in login(org, right).body
    org.idle(minutes=16)
    assert login(org, right).status == 200


def test_logins_of_an_hour_are_counted() -> None:
    org = policy(per_hour=2)
    form = forms(org)["client"]
    assert [token(org, form)[0] for _ in range(3)] == [200, 200, 400]
    org.idle(minutes=61)
    assert token(org, form)[0] == 200


def test_an_expired_password_may_only_be_changed() -> None:
    org = policy(password_expired=True)
    given = org.app.credentials
    reply = login(org, given["password"] + given["security_token"])
    assert b"<passwordExpired>true</passwordExpired>" in reply.body
    root = ElementTree.fromstring(reply.body)
    session, user = (root.findtext(f".//{PARTNER}{name}") or "" for name in ("sessionId", "userId"))
    reply = org.soap("<query><queryString>SELECT Id FROM Lead</queryString></query>", session=session)
    assert b"sf:INVALID_OPERATION_WITH_EXPIRED_PASSWORD" in reply.body
    org.token = session
    assert org.rest("GET", "limits").codes == ["INVALID_OPERATION_WITH_EXPIRED_PASSWORD"]
    change = "<setPassword><userId>{}</userId><password>{}</password></setPassword>"
    assert b"sf:INVALID_NEW_PASSWORD" in org.soap(change.format(user, "short"), session=session).body
    assert org.soap(change.format(user, "long enough"), session=session).status == 200
    assert org.rest("GET", "limits").status == 200
    assert login(org, "long enough" + given["security_token"]).status == 200


def test_the_connected_app_has_conditions_of_its_own() -> None:
    assert token(org := policy(approved=["other@acme.example"]), forms(org)["jwt"])[1] == {
        "error": "invalid_grant",
        "error_description": "user hasn't approved this consumer",
    }
    org = policy(admin_approved=[])
    for flow in ("jwt", "client", "password", "refresh"):
        assert token(org, forms(org)[flow])[1]["error"] == "invalid_app_access"
    assert token(org := policy(run_as="none"), forms(org)["client"])[1] == {
        "error": "invalid_grant",
        "error_description": "no client credentials user enabled",
    }
    assert token(org := policy(password_flow=False), forms(org)["password"])[1]["error"] == "invalid_grant"


def test_client_credentials_run_as_the_user_the_app_names() -> None:
    org = bench({"org": {"login": {"run_as": "mia@acme.example"}}})
    assert token(org, forms(org)["client"])[1]["error_description"] == "no client credentials user enabled"
    mia = org.app.login_as("mia@acme.example")["user_id"]
    assert token(org, forms(org)["client"])[1]["id"].endswith(mia)
    org.update("User", mia, IsActive=False)
    assert token(org, forms(org)["client"])[1]["error"] == "inactive_user"


def test_client_credentials_work_on_my_domain_alone(org: Bench) -> None:
    body = urlencode(forms(org)["client"]).encode()
    request = Request(
        method="POST", path="/services/oauth2/token", body=body, origin="https://login.salesforce.com", headers={}
    )
    answer = json.loads(org.app.commit(request).body)
    assert answer == {"error": "invalid_grant", "error_description": "request not supported on this domain"}
    other = urlencode(forms(org)["password"]).encode()
    answer = json.loads(org.app.commit(replace(request, body=other)).body)
    assert answer["instance_url"] == "https://acme.my.salesforce.com"


def test_an_assertion_lives_for_minutes(org: Bench) -> None:
    far = str(org.times[0].timestamp() + 86_400)
    assert token(org, {"grant_type": BEARER, "assertion": assertion(org, exp=far)})[1]["error"] == "invalid_grant"
    for odd in ("nan", "soon", None, [1]):
        assert token(org, {"grant_type": BEARER, "assertion": assertion(org, exp=odd)})[0] == 400
    wrong = token(org, {"grant_type": BEARER, "assertion": assertion(org, iss="other")})[1]
    assert wrong["error"] == "invalid_client_id"


# -- tokens in JWT format --------------------------------------------------------------------------------------------


def test_a_token_in_jwt_format_opens_rest_and_no_soap() -> None:
    org = policy(token_format="jwt")
    answer = token(org, forms(org)["client"])[1]
    keys = json.loads(org.send("GET", "/id/keys").body)["keys"]
    key = jwt.PyJWK(keys[0]).key
    claims = jwt.decode(answer["access_token"], key, algorithms=["RS256"], options=NO_TIMES)
    assert (claims["aud"], claims["client_id"]) == ([ORIGIN], org.app.credentials["client_id"])
    org.token = answer["access_token"]
    assert org.rest("GET", "limits").status == 200
    assert b"sf:INVALID_SESSION_ID" in org.soap("<getUserInfo/>").body
    org.idle(minutes=100)
    assert org.rest("GET", "limits").status == 200
    org.idle(minutes=30)  # its end is written in it: use does not put it off
    assert org.rest("GET", "limits").status == 401


NO_TIMES: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}


# -- the pages around the token --------------------------------------------------------------------------------------


def introspect(org: Bench, what: str) -> dict[str, Any]:
    given = org.app.credentials
    form = {"token": what, "client_id": given["client_id"], "client_secret": given["client_secret"]}
    return json.loads(org.send("POST", "/services/oauth2/introspect", urlencode(form).encode()).body)


def test_introspection_tells_and_is_no_use_of_the_session(org: Bench) -> None:
    found = introspect(org, org.token)
    assert (found["active"], found["username"]) == (True, org.app.credentials["username"])
    org.idle(minutes=100)
    assert introspect(org, org.token)["exp"] == found["exp"]
    org.idle(minutes=21)
    assert introspect(org, org.token) == {"active": False}
    refused = json.loads(org.send("POST", "/services/oauth2/introspect", b"token=x").body)
    assert refused["error"] == "invalid_client_id"


def test_revoked_tokens_are_dead_with_those_that_came_from_them(org: Bench) -> None:
    fresh = token(org, forms(org)["refresh"])[1]["access_token"]
    form = urlencode({"token": org.app.credentials["refresh_token"]}).encode()
    assert org.send("POST", "/services/oauth2/revoke", form).status == 200
    org.token = fresh
    assert org.rest("GET", "limits").status == 401
    assert token(org, forms(org)["refresh"])[1]["error_description"] == "expired access/refresh token"
    assert org.send("GET", "/services/oauth2/revoke?token=x").status == 400


def test_discovery_names_what_is_there(org: Bench) -> None:
    found = json.loads(org.send("GET", "/.well-known/openid-configuration").body)
    assert found["token_endpoint"] == f"{ORIGIN}/services/oauth2/token"
    for name in ("jwks_uri", "userinfo_endpoint"):
        assert org.send("GET", found[name].removeprefix(ORIGIN)).status == 200


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/services/oauth2/userinfo", 401, b"INVALID_SESSION_ID"),
        ("/id/{org}/{user}", 401, b"INVALID_SESSION_ID"),
        ("/services/oauth2/authorize", 501, b"NOT_SERVED_BY_SANDBOX"),
        ("/services/oauth2/token", 405, b"METHOD_NOT_ALLOWED"),
        ("/services/oauth2/dance", 404, b"NOT_FOUND"),
    ],
)
def test_the_identity_pages_refuse_in_their_own_words(org: Bench, path: str, status: int, body: bytes) -> None:
    path = path.format(org=org.app.credentials["org_id"], user="x")
    reply = org.send("GET", path, headers={"authorization": "Bearer dead"})
    assert (reply.status, body in reply.body) == (status, True)


def test_an_identity_is_ones_own(org: Bench) -> None:
    given = org.app.credentials
    me = json.loads(org.send("GET", "/services/oauth2/userinfo").body)
    assert org.send("GET", f"/id/{given['org_id']}/{me['user_id']}").status == 200
    assert org.send("GET", f"/id/00D000000000000AAA/{me['user_id']}").body == b"Wrong_Org"
    assert org.send("GET", f"/id/{given['org_id']}/005000000000000AAA").body == b"Bad_Id"
    asked = org.send("GET", f"/id/{given['org_id']}/{me['user_id']}?oauth_token={org.token}&format=xml")
    assert b"<user_id>" in asked.body


def test_the_token_answer_has_three_formats(org: Bench) -> None:
    def asked(wanted: str) -> Reply:
        form = urlencode({**forms(org)["refresh"], "format": wanted}).encode()
        return org.send("POST", "/services/oauth2/token", form)

    assert dict(parse_qsl(asked("urlencoded").body.decode()))["token_type"] == "Bearer"
    assert ElementTree.fromstring(asked("xml").body).findtext("token_type") == "Bearer"
    assert json.loads(asked("json").body)["token_type"] == "Bearer"
