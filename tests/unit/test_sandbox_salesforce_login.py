"""Who may come into the sandbox's Salesforce org, and in whose name (salesforce-api §1)."""

import base64
import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import jwt
import pytest

from crmbridge.sandbox.core import Reply
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
