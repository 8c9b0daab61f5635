"""Tokens for the application user of one environment: the v2 and v1 token endpoints (dataverse-api §1.1, §1.2).

Token time is `world.clock.real()`. Of the flows the sheets name, and no others: client credentials with a secret or a
certificate, and refresh tokens (clients sheet: one client knows nothing else).
"""

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus

import msgspec

from crmbridge.sandbox import identity_keys as keys
from crmbridge.sandbox.core import Request
from crmbridge.sandbox.dynamics.app import DynamicsApp
from crmbridge.sandbox.identity_documents import ANY_TENANT, is_environment
from crmbridge.sandbox.identity_errors import Refused, missing
from crmbridge.sandbox.urls import split

ACCESS_TOKEN_SECONDS = 3599  # a shorter one msal may never cache: dataverse-api §1.2
REFRESH_DAYS = 90  # idle; the number is (unverified)
CLOCK_SKEW_SECONDS = 300
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALSO_SCOPES: Final = frozenset({"openid", "profile", "offline_access", "email"})


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request to a token endpoint."""

    tenant: str
    form: Mapping[str, str]
    request: Request
    v1: bool

    @property
    def endpoint(self) -> str:
        return self.request.plain_path.rstrip("/")


class Tokens:
    def __init__(self, dynamics: DynamicsApp) -> None:
        self._dynamics = dynamics
        self._world = dynamics.world
        self._born = self._world.clock.real()
        self._issued_refresh: dict[str, tuple[str, datetime]] = {}  # token: whose, and when it was used last

    def answer(self, tenant: str, request: Request, *, v1: bool) -> tuple[str, dict[str, Any]]:
        """The user's id and the answer's body; every refusal is a `Refused`."""
        asked = Asked(tenant=tenant, form=_form(request), request=request, v1=v1)
        grants: dict[str, Callable[[Asked], tuple[str, dict[str, Any]]]] = {
            "client_credentials": self._client_credentials,
            "refresh_token": self._refreshed,
        }
        grant = asked.form.get("grant_type")
        if not grant:
            raise missing("grant_type")
        if grant not in grants:
            raise Refused(
                400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
            )
        return grants[grant](asked)

    # -- flows ---------------------------------------------------------------------------------------------------

    def _client_credentials(self, asked: Asked) -> tuple[str, dict[str, Any]]:
        if asked.tenant in ANY_TENANT:  # an application has no home of its own (unverified)
            raise Refused(
                400,
                "invalid_request",
                50059,
                "No tenant-identifying information found in either the request or implied by any provided credentials.",
            )
        user = self._client(asked)
        resource = self._resource(asked)
        return user, self._issued(user, resource, asked, acr="2" if "client_assertion" in asked.form else "1")

    def _refreshed(self, asked: Asked) -> tuple[str, dict[str, Any]]:
        """The old refresh token goes on working beside the new one (unverified)."""
        self._client(asked)
        token = asked.form.get("refresh_token")
        if not token:
            raise missing("refresh_token")
        now = self._world.clock.real()
        consent = keys.user_of(token, self._dynamics.credentials["client_secret"])
        user, last = self._issued_refresh.get(token, (consent, self._born))
        if user is None or self._dynamics.store.get("systemuser", user) is None:
            raise Refused(400, "invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
        if now - last > timedelta(days=REFRESH_DAYS):
            message = "The refresh token has expired due to inactivity."
            raise Refused(400, "invalid_grant", 700082, message)
        resource = self._resource(asked)
        fresh = f"0.{self._world.guid()}.{self._world.guid()}"
        self._issued_refresh |= {token: (user, now), fresh: (user, now)}
        body = self._issued(user, resource, asked, acr="1")
        wanted = set(asked.form.get("scope", "").split())
        if asked.v1 or not wanted or "offline_access" in wanted:
            body["refresh_token"] = fresh
        if asked.v1 or "openid" in wanted:
            body["id_token"] = self._id_token(user, asked)
        if asked.form.get("client_info") == "1":
            told = {"uid": user, "utid": self._dynamics.tenant}
            body["client_info"] = keys.encoded(msgspec.json.encode(told))
        return user, body

    # -- what is asked for ---------------------------------------------------------------------------------------

    def _resource(self, asked: Asked) -> str:
        """v1 names a resource, v2 exactly one scope of the form https://org/.default (§1.1)."""
        if asked.v1:
            resource = asked.form.get("resource", "")
            if not resource:
                raise missing("resource")
        else:
            if "scope" not in asked.form and asked.form.get("grant_type") == "client_credentials":
                raise missing("scope")
            wanted = [each for each in asked.form.get("scope", "").split() if each not in _ALSO_SCOPES]
            resource = wanted[0] if len(wanted) == 1 else ""
            delegated = asked.form.get("grant_type") == "refresh_token" and resource.endswith("/user_impersonation")
            suffix = "/user_impersonation" if delegated else "/.default"
            resource = resource.removesuffix(suffix) if resource.endswith(suffix) else ""
        parts = split(resource)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            if asked.v1:
                raise self._no_such_resource(resource)
            raise Refused(
                400,
                "invalid_scope",
                70011,
                "The provided value for the input parameter 'scope' is not valid: one scope of the form "
                "https://<organization>/.default is expected.",
            )
        if parts.path not in {"", "/"} or not is_environment(resource, asked.request.origin):
            raise self._no_such_resource(resource)
        return resource

    def _no_such_resource(self, resource: str) -> Refused:
        message = (
            f"The resource principal named {resource} was not found in the tenant named "
            f"{self._dynamics.shape.organization.name}. This can happen if the application has not been installed by "
            "the administrator of the tenant or consented to by any user in the tenant."
        )
        return Refused(400, "invalid_resource", 500011, message)

    # -- who asks ------------------------------------------------------------------------------------------------

    def _client(self, asked: Asked) -> str:
        """The application, by secret or certificate; its user."""
        form = dict(asked.form)
        scheme, _, pair = asked.request.header("authorization").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = b64decode(pair, validate=True).decode().partition(":")
            except (ValueError, UnicodeDecodeError):
                raise Refused(401, "invalid_client", 7000215, "Invalid client secret provided.") from None
            form |= {"client_id": unquote_plus(name), "client_secret": unquote_plus(password)}
        client = form.get("client_id", "")
        if not client:
            raise missing("client_id")
        if client != self._dynamics.client_id:
            raise Refused(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client}' was not found in the directory "
                f"'{self._dynamics.shape.organization.name}'.",
            )
        if "client_assertion" in form:
            self._check_assertion(form, client, asked)
            user = self._dynamics.application_of(client, None)
        elif form.get("client_secret"):
            user = self._dynamics.application_of(client, form["client_secret"])
            self._secret_is_valid()
        else:
            message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            raise Refused(401, "invalid_client", 7000218, message)
        if user is None:
            message = "Invalid client secret provided. Ensure the secret being sent in the request is the client "
            raise Refused(401, "invalid_client", 7000215, f"{message}secret value, not the client secret ID.")
        return user

    def _secret_is_valid(self) -> None:
        until = self._dynamics.shape.organization.client_secret_expires
        if until and self._world.clock.real().isoformat() >= until:
            message = f"The provided client secret keys for app '{self._dynamics.client_id}' are expired."
            raise Refused(401, "invalid_client", 7000222, message)

    def _check_assertion(self, form: Mapping[str, str], client: str, asked: Asked) -> None:
        """A JWT signed by the application's key: PS256 with x5t#S256, or RS256 with x5t (§1.1)."""
        import jwt

        if form.get("client_assertion_type") != _ASSERTION:
            raise Refused(400, "invalid_request", 90014, "The 'client_assertion_type' is not valid.")
        known = keys.certificate(self._dynamics.credentials["certificate"])
        prints = keys.thumbprints(known)
        try:
            head = jwt.get_unverified_header(form["client_assertion"])
            if not any(str(head.get(name, "")).rstrip("=") == value for name, value in prints.items()):
                message = "The certificate with identifier used to sign the client assertion is not registered on "
                raise Refused(401, "invalid_client", 700027, f"{message}application.")
            claims: dict[str, Any] = jwt.decode(
                form["client_assertion"],
                known.public_key(),
                algorithms=["PS256", "RS256"],
                # token time is the world's, so the times are compared below
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise Refused(
                401, "invalid_client", 700027, f"Client assertion failed signature validation: {error}"
            ) from None
        if claims.get("iss") != client or claims.get("sub") != client:
            raise Refused(
                401, "invalid_client", 700021, "Client assertion application identifier doesn't match 'client_id'."
            )
        audience = split(str(claims.get("aud", ""))).path.rstrip("/")
        issuers = {f"/{asked.tenant}/v2.0", f"/{asked.tenant}"}  # the issuer is accepted as well (unverified)
        if audience.lower() not in {asked.endpoint.lower(), *(path.lower() for path in issuers)}:
            raise Refused(
                401, "invalid_client", 700023, "Client assertion audience claim does not match this endpoint."
            )
        now = self._world.clock.real().timestamp()
        if not _number(claims.get("nbf", 0)) - CLOCK_SKEW_SECONDS <= now < _number(claims.get("exp")):
            raise Refused(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")

    # -- tokens --------------------------------------------------------------------------------------------------

    def _issued(self, user: str, resource: str, asked: Asked, *, acr: str) -> dict[str, Any]:
        now = int(self._world.clock.real().timestamp())
        tenant, client = self._dynamics.tenant, self._dynamics.client_id
        row = self._dynamics.store.get("systemuser", user) or {}
        subject = row.get("azureactivedirectoryobjectid") or user
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{tenant}/",
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_TOKEN_SECONDS,
            "appid": client,
            "appidacr": acr,
            "idp": f"https://sts.windows.net/{tenant}/",
            "oid": subject,
            "sub": subject,
            "tid": tenant,
            "jti": self._world.guid(),
            "uti": self._world.guid(),
            "ver": "1.0",
        }
        token = keys.signed(claims)
        self._dynamics.issue_token(user, timedelta(seconds=ACCESS_TOKEN_SECONDS), token)
        if not asked.v1:
            return {
                "token_type": "Bearer",
                "expires_in": ACCESS_TOKEN_SECONDS,
                "ext_expires_in": ACCESS_TOKEN_SECONDS,
                "access_token": token,
            }
        return {  # the older endpoint tells its numbers as texts (unverified)
            "token_type": "Bearer",
            "expires_in": str(ACCESS_TOKEN_SECONDS),
            "ext_expires_in": str(ACCESS_TOKEN_SECONDS),
            "expires_on": str(now + ACCESS_TOKEN_SECONDS),
            "not_before": str(now),
            "resource": resource,
            "access_token": token,
        }

    def _id_token(self, user: str, asked: Asked) -> str:
        now = int(self._world.clock.real().timestamp())
        tenant = self._dynamics.tenant
        row = self._dynamics.store.get("systemuser", user) or {}
        origin = asked.request.origin
        return keys.signed(
            {
                "aud": self._dynamics.client_id,
                "iss": f"https://sts.windows.net/{tenant}/" if asked.v1 else f"{origin}/{tenant}/v2.0",
                "iat": now,
                "nbf": now,
                "exp": now + ACCESS_TOKEN_SECONDS,
                "name": row.get("fullname"),
                "preferred_username": row.get("domainname"),
                "oid": row.get("azureactivedirectoryobjectid") or user,
                "sub": user,
                "tid": tenant,
                "ver": "1.0" if asked.v1 else "2.0",
            }
        )


def _form(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}


def _number(value: Any) -> float:
    """A claim's time; what is none has never been valid."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
