"""Other makers' clients log in: every flow of simple-salesforce through the proxy, msal and azure's way over TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from crmbridge.sandbox.server import Box, running_sandbox


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with running_sandbox("empty", proxy=True) as running:
        yield running


@pytest.fixture
def session(box: Box) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = box.connect["ca_path"]
        session.proxies = {"https": box.connect["proxy_url"]}
        yield session


def flows(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    consumer = {"consumer_key": given["client_id"], "consumer_secret": given["client_secret"]}
    secret = given["password"] + given["security_token"]
    return {
        "soap": {key: given[key] for key in ("username", "password", "security_token")},
        "soap, trusted": {
            "username": given["username"],
            "password": given["password"],
            "organizationId": given["org_id"],
        },
        "password": {"username": given["username"], "password": secret, **consumer},
        "jwt": {
            "username": given["username"],
            "consumer_key": given["client_id"],
            "privatekey_file": given["private_key_path"],
        },
        "client credentials": {**consumer, "domain": "acme.my"},
    }


CODES = {
    "soap": "INVALID_LOGIN",
    "soap, trusted": "LOGIN_MUST_USE_SECURITY_TOKEN",
    "password": "invalid_client",
    "jwt": "invalid_client_id",
    "client credentials": "invalid_client",
}
FLOWS = ["soap", "soap, trusted", "password", "jwt", "client credentials"]


@pytest.mark.parametrize("flow", FLOWS)
def test_simple_salesforce_logs_in(box: Box, session: requests.Session, flow: str) -> None:
    org = Salesforce(**flows(box.connect["salesforce"])[flow], session=session)
    found: Any = org.query("SELECT Id FROM User")
    assert found["totalSize"] >= 1


@pytest.mark.parametrize("flow", FLOWS)
def test_simple_salesforce_understands_a_refusal(box: Box, session: requests.Session, flow: str) -> None:
    wrong = dict(flows(box.connect["salesforce"])[flow])
    for key in ("password", "consumer_secret"):
        wrong |= {key: "guess"} if key in wrong else {}
    if flow == "jwt":
        wrong["consumer_key"] = "guess"
    if flow == "soap, trusted":
        wrong |= {"organizationId": "00D000000000000AAA", "password": box.connect["salesforce"]["password"]}
    with pytest.raises(SalesforceAuthenticationFailed) as refused:
        Salesforce(**wrong, session=session)
    assert refused.value.code == CODES[flow]


def credential(box: Box, kind: str) -> Any:
    given = box.connect["dynamics"]
    if kind == "secret":
        return given["client_secret"]
    pem = Path(given["certificate_path"]).read_text()
    if kind == "certificate":
        return {"private_key": pem, "public_certificate": pem[pem.index("-----BEGIN CERTIFICATE") :]}
    print_ = x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA1()).hex()
    return {"private_key": pem, "thumbprint": print_}


@pytest.mark.parametrize("kind", ["secret", "certificate", "thumbprint"])
def test_msal_over_tls(box: Box, kind: str) -> None:
    given = box.connect["dynamics"]
    with requests.Session() as plain:
        plain.trust_env = False
        plain.verify = box.connect["ca_path"]
        app = msal.ConfidentialClientApplication(
            given["client_id"],
            client_credential=credential(box, kind),
            authority=given["authority"],
            instance_discovery=False,
            http_client=plain,
        )
        found: Any = app.acquire_token_for_client([f"{given['https_url']}/.default"])
        headers = {"Authorization": f"Bearer {found['access_token']}"}
        who = plain.get(f"{given['https_url']}/api/data/v9.2/WhoAmI", headers=headers, timeout=30)
    assert (found["token_source"], who.status_code) == ("identity_provider", 200)


def test_msal_at_its_own_authority_through_the_proxy(box: Box, session: requests.Session) -> None:
    """The public host needs no instance discovery, and a national one asks for it there."""
    given = box.connect["dynamics"]
    app = msal.ConfidentialClientApplication(
        given["client_id"],
        client_credential=given["client_secret"],
        authority=f"https://login.microsoftonline.com/{given['tenant_id']}",
        http_client=session,
    )
    found: Any = app.acquire_token_for_client(["https://contoso.crm4.dynamics.com/.default"])
    headers = {"Authorization": f"Bearer {found['access_token']}"}
    url = "https://contoso.crm4.dynamics.com/api/data/v9.2/WhoAmI"
    assert session.get(url, headers=headers, timeout=30).status_code == 200
    wrong: Any = app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert (wrong["error"], wrong["error_codes"]) == ("invalid_resource", [500011])


def test_a_refresh_token_of_the_older_endpoint_as_one_client_asks(box: Box, session: requests.Session) -> None:
    given = box.connect["dynamics"]
    person = box.control.people("dynamics", "mia.berg@contoso.example")
    form = {
        "client_id": given["client_id"],
        "client_secret": given["client_secret"],
        "refresh_token": person["refresh_token"],
        "grant_type": "refresh_token",
        "resource": given["url"],
    }
    answer = session.post("https://login.microsoftonline.com/common/oauth2/token", data=form, timeout=30)
    body = answer.json()
    assert (answer.status_code, {"access_token", "refresh_token", "expires_in"} <= body.keys()) == (200, True)
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    who = session.get(f"{given['https_url']}/api/data/v9.2/WhoAmI", headers=headers, timeout=30)
    assert who.json()["UserId"] == person["user_id"]
