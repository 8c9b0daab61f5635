"""The identity pages of an org: tokens, revocation, introspection, who somebody is, discovery (salesforce-api §1.2)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import msgspec

from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.salesforce.ask import Log
from crmbridge.sandbox.salesforce.auth import SCOPE, Auth, OAuthError, form_of
from crmbridge.sandbox.salesforce.errors import not_found, not_served, refuse
from crmbridge.sandbox.salesforce.identity_page import identity, userinfo
from crmbridge.sandbox.salesforce.schema import Shape
from crmbridge.sandbox.salesforce.sessions import KEY_ID, signing_key
from crmbridge.sandbox.salesforce.store import Store

_JSON: Final = ("Content-Type", "application/json;charset=UTF-8")
_PLAIN: Final = ("Content-Type", "text/plain;charset=UTF-8")
_IDENTITY: Final = re.compile(r"/id/(\w+)/(\w+)")
# §1.2 names no flow that goes through a browser or another device.
_NOT_HERE: Final = ("/services/oauth2/authorize", "/services/oauth2/device", "/services/oauth2/singleaccess")
PREFIXES: Final = ("/services/oauth2/", "/id/", "/.well-known/")


class IdentityPages:
    def __init__(self, store: Store, auth: Auth) -> None:
        self._store = store
        self._shape: Shape = store.shape
        self._auth = auth

    def answer(self, request: Request, path: str, log: Log) -> tuple[str, Reply]:
        """The user's id, where the request proves one, and the reply."""
        log.category = "login"
        try:
            return self._answer(request, path, log)
        except OAuthError as error:
            return "", _json(error.body, error.status)

    def _answer(self, request: Request, path: str, log: Log) -> tuple[str, Reply]:
        match path:
            case "/services/oauth2/token":
                log.note("token")
                if request.method != "POST":  # §9.3
                    message = f"HTTP Method '{request.method}' not allowed. Allowed are POST"
                    raise refuse("METHOD_NOT_ALLOWED", message)
                answer = self._auth.token(request)
                return answer["id"].rpartition("/")[2], _formatted(answer, form_of(request).get("format", "json"))
            case "/services/oauth2/revoke":
                log.note("revoke")
                if not self._auth.revoke(form_of(request).get("token", "")):  # §1.2; the error (unverified)
                    raise OAuthError("unsupported_token_type", "this token type is not supported")
                return "", _json({})
            case "/services/oauth2/introspect":
                log.note("introspect")
                return "", _json(self._introspected(request))
            case "/.well-known/openid-configuration":
                log.note("discovery")
                return "", _json(_discovery(self._auth.instance(request)))
            case "/id/keys":
                log.note("discovery")
                return "", _json({"keys": [_jwk()]})
            case _ if path.startswith(_NOT_HERE):
                raise not_served(path)  # §1.2
            case _ if path == "/services/oauth2/userinfo" or _IDENTITY.fullmatch(path):
                return self._identity(request, path, log)
            case _:
                raise not_found()  # §1.1

    # -- who somebody is -----------------------------------------------------------------------------------------

    def _identity(self, request: Request, path: str, log: Log) -> tuple[str, Reply]:
        """§1.2, and 401 for a bad token as §1.4 has it; what another's page answers is (unverified)."""
        log.note("identity")
        options = request.options()
        token = options.get("oauth_token") or options.get("access_token")  # jsforce passes it so
        user = self._auth.user_of(token) if token else self._auth.bearer(request)
        asked = _IDENTITY.fullmatch(path)
        if asked is not None and asked[1][:15] != self._auth.org_id[:15]:
            return user, Reply(status=403, headers=(_PLAIN,), body=b"Wrong_Org")
        if asked is not None and asked[2][:15] != user[:15]:
            return user, Reply(status=404, headers=(_PLAIN,), body=b"Bad_Id")
        body = self._identity_of(request, user, openid=asked is None)
        return user, _formatted(body, "xml" if options.get("format") == "xml" else "json", root="user")

    def _identity_of(self, request: Request, user: str, *, openid: bool) -> dict[str, Any]:
        row, origin = self._store.rows(self._shape.objects["User"])[user], self._auth.instance(request)
        tell = userinfo if openid else identity
        return tell(row, origin, self._auth.org_id, self._shape.org.time_zone)

    # -- tokens looked at ----------------------------------------------------------------------------------------

    def _introspected(self, request: Request) -> dict[str, Any]:
        """RFC 7662, for the consumer that a token was issued to (§1.2 does not name it (unverified))."""
        if request.method != "POST":
            raise OAuthError("invalid_request", "token introspection takes a POST", 405)
        form = form_of(request)
        self._auth.client(request, form)
        session = self._auth.peek(form.get("token", ""))
        if session is None:
            return {"active": False}
        row = self._store.rows(self._shape.objects["User"])[session.user]
        born = int(session.born.timestamp())
        return {
            "active": True,
            "scope": SCOPE,
            "client_id": self._auth.client_id,
            "username": row["Username"],
            "sub": f"{self._auth.instance(request)}/id/{self._auth.org_id}/{session.user}",
            "token_type": "access_token",
            "exp": int(session.until.timestamp()),
            "iat": born,
            "nbf": born,
        }


def _discovery(origin: str) -> dict[str, Any]:
    """What serves here, and nothing that does not (keys of OpenID discovery)."""
    oauth = f"{origin}/services/oauth2"
    return {
        "issuer": origin,
        "authorization_endpoint": f"{oauth}/authorize",
        "token_endpoint": f"{oauth}/token",
        "revocation_endpoint": f"{oauth}/revoke",
        "introspection_endpoint": f"{oauth}/introspect",
        "userinfo_endpoint": f"{oauth}/userinfo",
        "jwks_uri": f"{origin}/id/keys",
        "scopes_supported": SCOPE.split(),
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
    }


def _jwk() -> dict[str, str]:
    numbers = signing_key().public_key().public_numbers()

    def encoded(number: int) -> str:
        return urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).decode().rstrip("=")

    found = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID}
    return {**found, "n": encoded(numbers.n), "e": encoded(numbers.e)}


def _formatted(body: Mapping[str, Any], wanted: str, root: str = "OAuth") -> Reply:
    """§1.2: `format` is json, urlencoded or xml."""
    if wanted == "urlencoded":
        kind = ("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
        return Reply(status=200, headers=(kind,), body=urlencode(body).encode())
    if wanted == "xml":
        kind = ("Content-Type", "application/xml;charset=UTF-8")
        text = f'<?xml version="1.0" encoding="UTF-8"?><{root}>{_elements(body)}</{root}>'
        return Reply(status=200, headers=(kind,), body=text.encode())
    return _json(body)


def _elements(body: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for name, value in body.items():
        shown = _elements(value) if isinstance(value, Mapping) else "" if value is None else escape(_shown(value))
        parts.append(f"<{name}>{shown}</{name}>")
    return "".join(parts)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(body: Any, status: int = 200) -> Reply:
    return Reply(status=status, headers=(_JSON,), body=msgspec.json.encode(body))
