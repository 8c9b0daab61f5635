"""What the identity service tells anybody: endpoints, and which hosts are authorities (dataverse-api §1.1, §1.3)."""

from typing import Any, Final
from urllib.parse import parse_qs

from crmbridge.sandbox import tls
from crmbridge.sandbox.core import Request
from crmbridge.sandbox.identity_errors import Refused
from crmbridge.sandbox.urls import split

ANY_TENANT: Final = ("common", "organizations")


def openid(authority: str, tenant: str, *, v1: bool) -> dict[str, Any]:
    """Echoes the host that was asked: msal compares the issuer's host with its authority's (§1.3)."""
    path = "oauth2" if v1 else "oauth2/v2.0"
    issuer = "{tenantid}" if tenant in ANY_TENANT else tenant  # of no tenant in particular, the template is shown
    host = authority.removesuffix(f"/{tenant}")
    return {
        "issuer": f"https://sts.windows.net/{issuer}/" if v1 else f"{host}/{issuer}/v2.0",
        "authorization_endpoint": f"{authority}/{path}/authorize",
        "token_endpoint": f"{authority}/{path}/token",
        "jwks_uri": f"{authority}/discovery/keys" if v1 else f"{authority}/discovery/v2.0/keys",
        "device_authorization_endpoint": f"{authority}/{path}/devicecode",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code", "token"],
        "scopes_supported": ["openid", "profile", "offline_access"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
    }


def instance(request: Request, tenant: str) -> dict[str, Any]:
    """§1.3: msal asks here whether an authority is one; of others the answer is AADSTS50049 (unverified)."""
    host = split(request.origin).netloc
    asked = parse_qs(request.query).get("authorization_endpoint", [""])[-1]
    named = split(asked).netloc.lower()
    if asked and named != host.lower() and split(asked).hostname not in (*tls.IDENTITY_HOSTS, *tls.LOOPBACK):
        raise Refused(400, "invalid_instance", 50049, "Unknown or invalid instance.")
    return {
        "tenant_discovery_endpoint": f"{request.origin}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }


def is_environment(resource: str, asked: str) -> bool:
    """Whether a resource may be this environment, which answers to many names: Dynamics' own hosts, the host that was
    asked, and names that are nobody's on the Internet. Any other is a resource of somebody else's (§1.1)."""
    host = (split(resource).hostname or "").lower()
    private = "." not in host or host.endswith((".test", ".example", ".localhost", ".local", ".internal", ".invalid"))
    dynamics = host.endswith(".dynamics.com") and ".crm" in host
    return private or dynamics or host.replace(".", "").isdecimal() or host == split(asked).hostname
