"""The identity service, in the manner of Microsoft Entra ID: discovery and tokens (dataverse-api §1.1)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from crmbridge.sandbox.core import Call, Reply, Request, Row, World
from crmbridge.sandbox.dynamics.app import DynamicsApp

ACCESS_TOKEN_SECONDS = 3599  # a shorter one msal may never cache: dataverse-api §1.2
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_PATH = re.compile(r"/+([^/]+)/(.+)")


class Refused(Exception):
    """An AADSTS error; msal hands its body to the caller as a dict."""

    def __init__(self, status: int, error: str, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.code, self.message = status, error, code, message


class IdentityApp:
    """Tokens for the application user of one environment. Token time is `world.clock.real()`."""

    def __init__(self, world: World, dynamics: DynamicsApp) -> None:
        self.world = world
        self.dynamics = dynamics

    def login_as(self, email: str) -> dict[str, str]:
        return self.dynamics.login_as(email)

    def dump(self) -> dict[str, list[Row]]:
        return {}  # the identity service keeps no rows

    def commit(self, request: Request) -> Reply:
        user = ""
        try:
            match = _PATH.fullmatch(request.plain_path.rstrip("/"))
            tenant, rest = (match[1], match[2]) if match else ("", "")
            if rest == "oauth2/v2.0/token" and request.method == "POST":
                user, body = self._token(tenant, request)
            else:
                body = self._document(tenant, rest, request)
            reply = _json(200, body)
        except Refused as refused:
            reply = self._refusal(refused)
        kind = "login" if request.method == "POST" else "discovery"
        self.world.count(Call(crm="dynamics", table="", kind=kind, category="login", user=user, status=reply.status))
        return reply

    # Documents

    def _document(self, tenant: str, rest: str, request: Request) -> dict[str, Any]:
        if request.method == "GET":
            if tenant == "common" and rest == "discovery/instance":
                host = urlsplit(request.origin).netloc
                discovery = f"{request.origin}/{self.dynamics.tenant}/v2.0/.well-known/openid-configuration"
                return {
                    "tenant_discovery_endpoint": discovery,
                    "api-version": "1.1",
                    "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
                }
            if rest in {"v2.0/.well-known/openid-configuration", ".well-known/openid-configuration"}:
                self._check_tenant(tenant)
                return self._openid(f"{request.origin}/{tenant}")
            if rest == "discovery/v2.0/keys":
                return {"keys": [self._jwk()]}
        raise Refused(
            404, "invalid_request", 900561, f"The endpoint does not serve {request.method} {request.plain_path}."
        )

    def _openid(self, authority: str) -> dict[str, Any]:
        """Echoes the host that was asked: msal compares the issuer's host with its authority's (dataverse-api §1.3)."""
        return {
            "issuer": f"{authority}/v2.0",
            "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
            "token_endpoint": f"{authority}/oauth2/v2.0/token",
            "jwks_uri": f"{authority}/discovery/v2.0/keys",
            "device_authorization_endpoint": f"{authority}/oauth2/v2.0/devicecode",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "NA",
        }

    def _jwk(self) -> dict[str, str]:
        """The public key of the application's certificate; access tokens themselves are opaque here."""
        numbers = self._certificate().public_key().public_numbers()

        def encoded(number: int) -> str:
            return urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).decode().rstrip("=")

        return {"kty": "RSA", "use": "sig", "kid": "application", "n": encoded(numbers.n), "e": encoded(numbers.e)}

    def _certificate(self) -> Any:
        from cryptography import x509

        return x509.load_pem_x509_certificate(self.dynamics.credentials["certificate"].encode())

    # Tokens

    def _token(self, tenant: str, request: Request) -> tuple[str, dict[str, Any]]:
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        self._check_tenant(tenant)
        grant = form.get("grant_type")
        if grant != "client_credentials":
            raise Refused(
                400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
            )
        client = form.get("client_id", "")
        if client != self.dynamics.client_id:
            raise Refused(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client}' was not found in the directory.",
            )
        user = self._prove(form, client, request)
        self._check_scope(form.get("scope", ""))
        token = self.dynamics.issue_token(user, timedelta(seconds=ACCESS_TOKEN_SECONDS))
        return user, {
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_SECONDS,
            "ext_expires_in": ACCESS_TOKEN_SECONDS,
            "access_token": token,
        }

    def _check_tenant(self, tenant: str) -> None:
        if tenant.lower() != self.dynamics.tenant:
            raise Refused(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")

    def _check_scope(self, scope: str) -> None:
        """Exactly one scope, `https://org/.default`; any host is ours, for the sandbox has many names."""
        wanted = [each for each in scope.split() if each not in {"openid", "profile", "offline_access"}]
        resource = wanted[0].removesuffix("/.default") if len(wanted) == 1 and wanted[0].endswith("/.default") else ""
        parts = urlsplit(resource)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise Refused(
                400,
                "invalid_scope",
                70011,
                "The provided value for the input parameter 'scope' is not valid: one scope of the form "
                "https://<organization>/.default is expected.",
            )
        if parts.path not in {"", "/"}:
            raise Refused(
                400, "invalid_resource", 500011, f"The resource principal named {resource} was not found in the tenant."
            )

    def _prove(self, form: Mapping[str, str], client: str, request: Request) -> str:
        if "client_assertion" in form:
            self._check_assertion(form, client, request)
            user = self.dynamics.application_of(client, None)
        else:
            user = self.dynamics.application_of(client, form.get("client_secret", ""))
        if user is None:
            raise Refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
        return user

    def _check_assertion(self, form: Mapping[str, str], client: str, request: Request) -> None:
        """A JWT signed by the application's key: PS256 with x5t#S256, or RS256 with x5t (dataverse-api §1.1)."""
        import jwt

        if form.get("client_assertion_type") != _ASSERTION:
            raise Refused(400, "invalid_request", 90014, "The 'client_assertion_type' is not valid.")
        try:
            claims: dict[str, Any] = jwt.decode(
                form["client_assertion"],
                self._certificate().public_key(),
                algorithms=["PS256", "RS256"],
                # token time is the world's, so the times are compared below
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Refused(
                401, "invalid_client", 700027, f"Client assertion failed signature validation: {error}"
            ) from None
        now = self.world.clock.real().timestamp()
        if claims.get("iss") != client or claims.get("sub") != client:
            raise Refused(
                401, "invalid_client", 700021, "Client assertion application identifier doesn't match 'client_id'."
            )
        if urlsplit(str(claims.get("aud", ""))).path.rstrip("/") != request.plain_path.rstrip("/"):
            raise Refused(
                401, "invalid_client", 700023, "Client assertion audience claim does not match this endpoint."
            )
        if not float(claims.get("nbf", 0)) - 300 <= now < float(claims.get("exp", 0)):
            raise Refused(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")

    def _refusal(self, refused: Refused) -> Reply:
        trace, correlation = self.world.guid(), self.world.guid()
        moment = self.world.clock.real().strftime("%Y-%m-%d %H:%M:%SZ")
        return _json(
            refused.status,
            {
                "error": refused.error,
                "error_description": f"AADSTS{refused.code}: {refused.message} Trace ID: {trace} "
                f"Correlation ID: {correlation} Timestamp: {moment}",
                "error_codes": [refused.code],
                "timestamp": moment,
                "trace_id": trace,
                "correlation_id": correlation,
                "error_uri": f"https://login.microsoftonline.com/error?code={refused.code}",
            },
        )


def _json(status: int, body: Mapping[str, Any]) -> Reply:
    headers = (
        ("Content-Type", "application/json; charset=utf-8"),
        ("Cache-Control", "no-store, no-cache"),
        ("Pragma", "no-cache"),
    )
    return Reply(status=status, headers=headers, body=msgspec.json.encode(body))
