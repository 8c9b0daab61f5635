"""The sandbox's identity service, asked by msal itself through an HTTP client that calls the core directly."""

import json
import random
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
import msal
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from crmbridge.sandbox.core import MovableClock, Request, World
from crmbridge.sandbox.dynamics.app import DynamicsApp
from crmbridge.sandbox.dynamics.shape_file import load_shape
from crmbridge.sandbox.identity import IdentityApp

ORIGIN = "https://localhost:8443"
SCOPE = "https://contoso.sandbox.test/.default"


class Box:
    def __init__(self) -> None:
        self.clock = MovableClock(source=lambda: datetime.now(UTC))
        self.world = World(clock=self.clock, rng=random.Random(7))
        self.dynamics = DynamicsApp(self.world, load_shape())
        self.identity = IdentityApp(self.world, self.dynamics)

    # msal's http_client protocol

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> Any:
        return self._send("POST", url, urlencode(data or {}).encode())

    def get(self, url: str, params: Any = None, headers: Mapping[str, str] | None = None, **_: Any) -> Any:
        return self._send("GET", url, b"")

    def close(self) -> None:
        pass

    def _send(self, method: str, url: str, body: bytes) -> Any:
        parts = urlsplit(url)
        request = Request(
            method=method, path=parts.path, query=parts.query, body=body, origin=f"{parts.scheme}://{parts.netloc}"
        )
        reply = self.identity.commit(request)

        def raise_for_status() -> None:
            assert reply.status < 400

        return SimpleNamespace(
            status_code=reply.status,
            text=reply.body.decode(),
            headers=dict(reply.headers),
            raise_for_status=raise_for_status,
        )

    def client(self, credential: Any, tenant: str | None = None, **more: Any) -> msal.ConfidentialClientApplication:
        return msal.ConfidentialClientApplication(
            more.pop("client_id", self.dynamics.client_id),
            client_credential=credential,
            authority=f"{ORIGIN}/{tenant or self.dynamics.tenant}",
            instance_discovery=False,
            http_client=self,
            **more,
        )

    def who_am_i(self, token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return self.dynamics.commit(Request(method="GET", path="/api/data/v9.2/WhoAmI", headers=headers)).status


@pytest.fixture
def box() -> Box:
    return Box()


def test_a_secret_buys_a_token_that_opens_the_environment_until_it_expires(box: Box) -> None:
    app = box.client(box.dynamics.credentials["client_secret"])
    found: Any = app.acquire_token_for_client([SCOPE])
    assert found["token_source"] == "identity_provider"
    assert found["expires_in"] >= 3599
    assert app.acquire_token_for_client([SCOPE])["token_source"] == "cache"
    assert box.who_am_i(found["access_token"]) == 200
    box.clock.offset += timedelta(hours=5)  # data time is not token time
    assert box.who_am_i(found["access_token"]) == 200
    box.clock.token_offset += timedelta(hours=2)
    assert box.who_am_i(found["access_token"]) == 401
    assert [call.category for call in box.world.calls[:2]] == ["login", "login"]


def test_a_certificate_does_in_both_forms_that_msal_signs(box: Box) -> None:
    pem = box.dynamics.credentials["certificate"]
    thumbprint = x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA1()).hex()
    certificate = pem[pem.index("-----BEGIN CERTIFICATE") :]
    for credential in (
        {"private_key": pem, "public_certificate": certificate},
        {"private_key": pem, "thumbprint": thumbprint},
    ):
        found = box.client(credential).acquire_token_for_client([SCOPE])
        assert box.who_am_i(found["access_token"]) == 200


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"secret": "wrong"}, "invalid_client", 7000215),
        ({"client_id": "0b1e2d3c-0000-0000-0000-000000000000"}, "unauthorized_client", 700016),
        ({"scope": "https://contoso.sandbox.test/other/.default"}, "invalid_resource", 500011),
    ],
)
def test_what_is_wrong_is_said_in_entra_s_words(box: Box, change: dict[str, str], error: str, code: int) -> None:
    app = box.client(
        change.get("secret", box.dynamics.credentials["client_secret"]),
        client_id=change.get("client_id", box.dynamics.client_id),
    )
    found: Any = app.acquire_token_for_client([change.get("scope", SCOPE)])
    assert (found["error"], found["error_codes"]) == (error, [code])
    assert found["error_description"].startswith(f"AADSTS{code}: ")


def test_an_unknown_tenant_is_refused(box: Box) -> None:
    url = f"{ORIGIN}/nobody/oauth2/v2.0/token"
    answer = box.post(url, data={"grant_type": "client_credentials"})
    assert answer.status_code == 400
    assert '"error_codes":[90002]' in answer.text


def test_oidc_authority_finds_an_issuer_on_its_own_host(box: Box) -> None:
    app = msal.ConfidentialClientApplication(
        box.dynamics.client_id,
        client_credential=box.dynamics.credentials["client_secret"],
        oidc_authority=f"{ORIGIN}/{box.dynamics.tenant}/v2.0",
        http_client=box,
    )
    assert "access_token" in (app.acquire_token_for_client([SCOPE]) or {})


# -- endpoints, keys, tokens -----------------------------------------------------------------------------------------

TOKEN = "{tenant}/oauth2/v2.0/token"
OLD_TOKEN = "{tenant}/oauth2/token"


def ask(box: Box, path: str = TOKEN, tenant: str = "", **form: str | None) -> tuple[int, dict[str, Any]]:
    """The right request for a token, but for what is changed in it; None leaves a parameter out."""
    right = {
        "grant_type": "client_credentials",
        "client_id": box.dynamics.client_id,
        "client_secret": box.dynamics.credentials["client_secret"],
        "scope": SCOPE,
    }
    given = {name: value for name, value in {**right, **form}.items() if value is not None}
    answer = box.post(f"{ORIGIN}/{path.format(tenant=tenant or box.dynamics.tenant)}", data=given)
    return answer.status_code, json.loads(answer.text)


def document(box: Box, path: str) -> tuple[int, dict[str, Any]]:
    answer = box.get(f"{ORIGIN}/{path}")
    return answer.status_code, json.loads(answer.text)


def keys(box: Box) -> dict[str, Any]:
    found = document(box, f"{box.dynamics.tenant}/discovery/v2.0/keys")[1]["keys"]
    return {key["kid"]: jwt.PyJWK({**key, "alg": "RS256"}).key for key in found}


def claims_of(box: Box, token: str) -> dict[str, Any]:
    key = keys(box)[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})


def test_a_token_can_be_checked_with_the_keys_that_discovery_names(box: Box) -> None:
    claims = claims_of(box, ask(box)[1]["access_token"])
    assert (claims["aud"], claims["appid"]) == ("https://contoso.sandbox.test", box.dynamics.client_id)
    assert (claims["tid"], claims["exp"] - claims["iat"]) == (box.dynamics.tenant, 3599)


@pytest.mark.parametrize(
    ("form", "status", "error", "code"),
    [
        ({"grant_type": None}, 400, "invalid_request", 900144),
        ({"client_id": None}, 400, "invalid_request", 900144),
        ({"scope": None}, 400, "invalid_request", 900144),
        ({"client_secret": None}, 401, "invalid_client", 7000218),
        ({"client_secret": "guess"}, 401, "invalid_client", 7000215),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"grant_type": "refresh_token"}, 400, "invalid_request", 900144),
        ({"grant_type": "refresh_token", "refresh_token": "guess"}, 400, "invalid_grant", 9002313),
        ({"scope": "https://contoso.sandbox.test/user_impersonation"}, 400, "invalid_scope", 70011),
        ({"scope": "https://a.test/.default https://b.test/.default"}, 400, "invalid_scope", 70011),
        ({"scope": "https://graph.microsoft.com/.default"}, 400, "invalid_resource", 500011),
        ({"client_assertion": "x", "client_secret": None}, 400, "invalid_request", 90014),
    ],
)
def test_each_mistake_has_its_code(box: Box, form: dict[str, str | None], status: int, error: str, code: int) -> None:
    answered, body = ask(box, **form)
    assert (answered, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} < body.keys()


@pytest.mark.parametrize(
    "resource",
    ["https://org.crm.dynamics.com", "https://org.api.crm4.dynamics.com", "http://127.0.0.1:8101", "https://sandbox"],
)
def test_an_environment_has_many_names(box: Box, resource: str) -> None:
    assert ask(box, scope=f"{resource}/.default")[0] == 200


def test_tenants_go_by_id_or_domain(box: Box) -> None:
    domain = f"{box.dynamics.shape.organization.unique_name}.onmicrosoft.com"
    assert ask(box, tenant=domain)[0] == 200
    assert ask(box, tenant="common")[1]["error_codes"] == [50059]
    assert document(box, "nobody/v2.0/.well-known/openid-configuration")[1]["error_codes"] == [90002]
    assert document(box, "common/v2.0/.well-known/openid-configuration")[1]["issuer"] == f"{ORIGIN}/{{tenantid}}/v2.0"
    old = document(box, f"{box.dynamics.tenant}/.well-known/openid-configuration")[1]
    assert old["token_endpoint"] == f"{ORIGIN}/{box.dynamics.tenant}/oauth2/token"
    assert document(box, TOKEN.format(tenant=box.dynamics.tenant))[1]["error_codes"] == [900561]
    assert document(box, "common/oauth2/v2.0/authorize")[0] == 404


def test_instance_discovery_knows_its_own_host_alone(box: Box) -> None:
    path = "common/discovery/instance?api-version=1.1&authorization_endpoint="
    status, found = document(box, f"{path}{ORIGIN}/x/oauth2/v2.0/authorize")
    assert status == 200
    discovery = urlsplit(found["tenant_discovery_endpoint"]).path.lstrip("/")
    assert document(box, discovery)[0] == 200
    assert document(box, f"{path}https://evil.example/x/authorize")[1]["error_codes"] == [50049]


def test_a_secret_by_basic_header(box: Box) -> None:
    pair = f"{box.dynamics.client_id}:{box.dynamics.credentials['client_secret']}"
    headers = {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    body = urlencode({"grant_type": "client_credentials", "scope": SCOPE}).encode()
    request = Request(
        method="POST", path=f"/{box.dynamics.tenant}/oauth2/v2.0/token", body=body, headers=headers, origin=ORIGIN
    )
    assert box.identity.commit(request).status == 200
    odd = replace(request, headers={"authorization": "Basic \u00e9"})
    assert box.identity.commit(odd).status == 401


def test_an_expired_secret_is_named_so(box: Box) -> None:
    facts = replace(box.dynamics.shape.organization, client_secret_expires="2020-01-01")
    box.dynamics.shape = replace(box.dynamics.shape, organization=facts)
    assert ask(box)[1]["error_codes"] == [7000222]
    assert ask(box, client_secret=None, **assertion(box))[0] == 200  # the certificate is another credential


# -- certificates ----------------------------------------------------------------------------------------------------


def assertion(box: Box, *, key: Any = None, head: dict[str, str] | None = None, **changed: Any) -> dict[str, str]:
    pem = box.dynamics.credentials["certificate"]
    print_ = b64encode(x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA1())).decode()
    now = int(box.clock.real().timestamp())
    claims = {
        "aud": f"{ORIGIN}/{box.dynamics.tenant}/oauth2/v2.0/token",
        "iss": box.dynamics.client_id,
        "sub": box.dynamics.client_id,
        "jti": "1",
        "nbf": now,
        "exp": now + 600,
    }
    headers = {"x5t": print_.replace("+", "-").replace("/", "_")} if head is None else head
    token = jwt.encode({**claims, **changed}, key or pem, algorithm="RS256", headers=headers)
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"client_assertion": token, "client_assertion_type": kind}


def test_an_assertion_is_checked_claim_by_claim(box: Box) -> None:
    def code(**changed: Any) -> int:
        return ask(box, client_secret=None, **assertion(box, **changed))[1].get("error_codes", [0])[0]

    now = box.clock.real().timestamp()
    assert code() == 0
    assert code(aud=f"{ORIGIN}/{box.dynamics.tenant}/v2.0") == 0
    assert code(aud="https://login.microsoftonline.com/other/oauth2/v2.0/token") == 700023
    assert code(iss="other") == code(sub="other") == 700021
    assert code(exp=now - 1) == code(nbf=now + 900) == code(exp="soon") == 700024
    assert code(head={}) == code(head={"x5t": "AAAA"}) == 700027
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert code(key=other) == 700027


# -- refresh tokens --------------------------------------------------------------------------------------------------


def test_the_older_endpoint_takes_a_refresh_token_and_a_resource(box: Box) -> None:
    person = box.identity.login_as("mia.berg@contoso.example")
    form: dict[str, str | None] = {"grant_type": "refresh_token", "scope": None}
    form |= {"refresh_token": person["refresh_token"], "resource": "https://contoso.crm.dynamics.com"}
    status, body = ask(box, OLD_TOKEN, "common", **form)
    assert (status, body["expires_in"], body["resource"]) == (200, "3599", form["resource"])
    reply = box.dynamics.commit(
        Request(method="GET", path="/api/data/v9.2/WhoAmI", headers={"authorization": f"Bearer {body['access_token']}"})
    )
    assert json.loads(reply.body)["UserId"] == person["user_id"]
    assert ask(box, OLD_TOKEN, "common", **{**form, "refresh_token": body["refresh_token"]})[0] == 200
    for wrong in (None, "nothing", "https://graph.microsoft.com"):
        assert ask(box, OLD_TOKEN, "common", **{**form, "resource": wrong})[0] == 400
    assert ask(box, OLD_TOKEN, **{**form, "grant_type": "client_credentials"})[0] == 200


def test_msal_refreshes_for_a_person(box: Box) -> None:
    person = box.identity.login_as("mia.berg@contoso.example")
    app = box.client(box.dynamics.credentials["client_secret"])
    found: Any = app.acquire_token_by_refresh_token(person["refresh_token"], [SCOPE])
    assert box.who_am_i(found["access_token"]) == 200
    assert found["id_token_claims"]["tid"] == box.dynamics.tenant
    (account,) = app.get_accounts()
    assert app.acquire_token_silent([SCOPE], account=account)["access_token"] == found["access_token"]


def test_a_refresh_token_dies_of_disuse(box: Box) -> None:
    person = box.identity.login_as("mia.berg@contoso.example")
    form: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": person["refresh_token"]}
    for _ in range(2):
        box.clock.token_offset += timedelta(days=60)
        assert ask(box, **form)[0] == 200
    box.clock.token_offset += timedelta(days=91)
    assert ask(box, **form)[1]["error_codes"] == [700082]
