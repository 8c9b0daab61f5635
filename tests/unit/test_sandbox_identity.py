"""The sandbox's identity service, asked by msal itself through an HTTP client that calls the core directly."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

import msal
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from crmbridge.sandbox.core import MovableClock, Request, World
from crmbridge.sandbox.dynamics.app import DynamicsApp
from crmbridge.sandbox.dynamics.shape import load_shape
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
