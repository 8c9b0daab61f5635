"""The identity service, in the manner of Microsoft Entra ID: discovery, keys and tokens (dataverse-api §1.1, §1.3)."""

import re
from typing import Any

from crmbridge.sandbox import identity_keys as keys
from crmbridge.sandbox.core import Call, Reply, Request, Row, World
from crmbridge.sandbox.dynamics.app import DynamicsApp
from crmbridge.sandbox.identity_documents import ANY_TENANT, instance, openid
from crmbridge.sandbox.identity_errors import Refused, document, refusal
from crmbridge.sandbox.identity_tokens import ACCESS_TOKEN_SECONDS, Tokens

__all__ = ["ACCESS_TOKEN_SECONDS", "IdentityApp", "Refused"]

_PATH = re.compile(r"/+([^/]+)/(.+)")
_TOKEN = {"oauth2/v2.0/token": False, "oauth2/token": True}  # is it the older one?
_OPENID = {"v2.0/.well-known/openid-configuration": False, ".well-known/openid-configuration": True}


class IdentityApp:
    """Tokens for the application user of one environment. Token time is `world.clock.real()`."""

    def __init__(self, world: World, dynamics: DynamicsApp) -> None:
        self.world = world
        self.dynamics = dynamics
        self._tokens = Tokens(dynamics)

    def login_as(self, email: str) -> dict[str, str]:
        return self.dynamics.login_as(email)

    def dump(self) -> dict[str, list[Row]]:
        return {}  # the identity service keeps no rows

    def commit(self, request: Request) -> Reply:
        user = ""
        try:
            match = _PATH.fullmatch(request.plain_path.rstrip("/"))
            tenant, rest = (match[1], match[2]) if match else ("", "")
            if rest in _TOKEN:
                if request.method != "POST":
                    message = f"The endpoint only accepts POST requests. Received a {request.method} request."
                    raise Refused(400, "invalid_request", 900561, message)
                self._check_tenant(tenant)
                user, body = self._tokens.answer(tenant, request, v1=_TOKEN[rest])
            else:
                body = self._document(tenant, rest, request)
            reply = document(200, body)
        except Refused as refused:
            reply = refusal(self.world, refused)
        kind = "login" if request.method == "POST" else "discovery"
        self.world.count(Call(crm="dynamics", table="", kind=kind, category="login", user=user, status=reply.status))
        return reply

    def _document(self, tenant: str, rest: str, request: Request) -> dict[str, Any]:
        if request.method == "GET":
            if tenant == "common" and rest == "discovery/instance":
                return instance(request, self.dynamics.tenant)
            if rest in _OPENID:
                self._check_tenant(tenant)
                return openid(f"{request.origin}/{tenant}", tenant, v1=_OPENID[rest])
            if rest in ("discovery/v2.0/keys", "discovery/keys"):
                self._check_tenant(tenant)
                public = keys.certificate(self.dynamics.credentials["certificate"]).public_key()
                signing = keys.jwk(keys.signing_key().public_key(), keys.KEY_ID)
                return {"keys": [signing, keys.jwk(public, "application")]}
        raise Refused(404, "invalid_request", 900561, f"This sandbox does not serve {request.method} {rest}.")

    def _check_tenant(self, tenant: str) -> None:
        """By its id, or by its domain name (§1.1)."""
        domain = f"{self.dynamics.shape.organization.unique_name}.onmicrosoft.com"
        if tenant.lower() not in (self.dynamics.tenant, domain.lower(), *ANY_TENANT):
            message = (
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into "
                "the correct cloud. Check with your subscription administrator, this may happen if there are no active "
                "subscriptions for the tenant."
            )
            raise Refused(400, "invalid_request", 90002, message)
