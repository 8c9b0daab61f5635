"""Who may come in: users' tokens, the OAuth token endpoint and SOAP login (salesforce-api §1)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crmbridge.sandbox.core import Request, Row, World
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.schema import Shape
from crmbridge.sandbox.salesforce.store import Store, fold

_LOGIN_HOSTS: Final = ("login.salesforce.com", "test.salesforce.com")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def _key() -> RSAPrivateKey:
    """One key per process: making one takes longer than everything else in a test."""
    return generate_private_key(public_exponent=65537, key_size=2048)


class OAuthError(Exception):
    """§1.2: an object with error and error_description, not the array of data errors."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


@dataclass(slots=True)
class _Session:
    user: str
    until: datetime  # by the token clock; every use moves it on (§1.4: idle timeout)


class Auth:
    def __init__(self, world: World, shape: Shape, store: Store, org_id: str) -> None:
        self._world = world
        self._shape = shape
        self._store = store
        self.org_id = org_id
        self.username = "sync@acme.example"
        self.password = self._secret(24)
        self.security_token = self._secret(24)
        self.client_id = f"3MVG9{self._secret(80)}"
        self.client_secret = self._secret(64)
        self.sync_user = ""
        self._sessions: dict[str, _Session] = {}
        self._refresh: dict[str, str] = {}

    def start(self, sync_user: str) -> None:
        """The integration user exists: give it a token and a refresh token."""
        self.sync_user = sync_user
        self.access_token = self.open_session(sync_user)
        self.refresh_token = f"5Aep{self._secret(84)}"
        self._refresh[self.refresh_token] = sync_user

    @property
    def credentials(self) -> dict[str, str]:
        pem = _key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "org_id": self.org_id,
            "username": self.username,
            "password": self.password,
            "security_token": self.security_token,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "private_key": pem,
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
        }

    # -- sessions ------------------------------------------------------------------------------------------------

    def open_session(self, user: str) -> str:
        token = f"{self.org_id[:15]}!AQ{self._secret(94)}"
        self._sessions[token] = _Session(user, self._until())
        return token

    def user_of(self, token: str) -> str:
        """The session's user, or 401 (§1.4)."""
        session = self._sessions.get(token)
        if session is None or session.until <= self._world.clock.real():
            self._sessions.pop(token, None)
            raise refuse("INVALID_SESSION_ID", "Session expired or invalid")
        user = self._store.get(self._shape.objects["User"], session.user)
        if user is None or not user.get("IsActive"):
            raise refuse("INVALID_SESSION_ID", "Session expired or invalid")
        session.until = self._until()
        return session.user

    def bearer(self, request: Request) -> str:
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme.lower() not in ("bearer", "oauth") or not token:
            if request.header("authorization"):
                raise refuse("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
            raise refuse("INVALID_SESSION_ID", "Session expired or invalid")
        return self.user_of(token.strip())

    def revoke(self, token: str) -> bool:
        """A revoked refresh token takes the sessions of its user along."""
        user = self._refresh.pop(token, None)
        if user is not None:
            self._sessions = {key: session for key, session in self._sessions.items() if session.user != user}
            return True
        return self._sessions.pop(token, None) is not None

    def _until(self) -> datetime:
        return self._world.clock.real() + timedelta(seconds=self._shape.org.session_seconds)

    def _secret(self, length: int) -> str:
        return "".join(self._world.rng.choice(_LETTERS) for _ in range(length))

    # -- logins --------------------------------------------------------------------------------------------------

    def user_named(self, username: str) -> Row | None:
        users = self._shape.objects["User"]
        found = [self._store.rows(users)[key] for key in self._store.find(users, "Username", username)]
        return found[0] if found else None

    def password_login(self, username: str, password: str, *, trusted: bool = False) -> str:
        """The user whose password, followed by the security token unless from a trusted place, this is."""
        user = self.user_named(username)
        if user is not None and user["Id"] == self.sync_user and user.get("IsActive"):
            if password == self.password + self.security_token or (trusted and password == self.password):
                return user["Id"]
            if password == self.password:
                raise refuse(
                    "LOGIN_MUST_USE_SECURITY_TOKEN",
                    "Invalid username, password, security token; or user locked out. From outside of the trusted "
                    "networks the security token must follow the password.",
                )
        raise refuse("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")

    def token(self, request: Request) -> dict[str, str]:
        """The token endpoint (§1.2): its answer, or an OAuthError."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)) | {
            key: value for key, value in request.options().items() if key != "format"
        }
        grants = {
            _JWT_BEARER: self._jwt_bearer,
            "client_credentials": self._client_credentials,
            "password": self._password,
            "refresh_token": self._refreshed,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        return self._answer(request, *grant(request, form))

    def _jwt_bearer(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        try:
            claims: dict[str, Any] = jwt.decode(
                form.get("assertion", ""),
                _key().public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.PyJWTError:
            raise OAuthError("invalid_grant", "invalid assertion") from None
        if claims.get("iss") != self.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        hosts = {*_LOGIN_HOSTS, self._shape.org.my_domain, urlsplit(request.origin).netloc}
        audience = claims.get("aud")
        if not isinstance(audience, str) or (urlsplit(audience).netloc or audience) not in hosts:
            raise OAuthError("invalid_grant", "audience is invalid")
        try:  # §1.5: simple-salesforce sends exp as a text
            expires = float(claims.get("exp", ""))
        except (TypeError, ValueError):
            raise OAuthError("invalid_grant", "invalid assertion") from None
        if expires <= self._world.clock.real().timestamp():
            raise OAuthError("invalid_grant", "assertion expired")
        user = self.user_named(str(claims.get("sub", "")))
        if user is None:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        if not user.get("IsActive"):
            raise OAuthError("inactive_user", "user is inactive")
        return user["Id"], {}

    def _client_credentials(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        if urlsplit(request.origin).hostname in _LOGIN_HOSTS:  # §1.2: only on the My Domain host
            raise OAuthError("invalid_grant", "request not supported on this domain")
        given = dict(form)
        scheme, _, encoded = request.header("authorization").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (ValueError, UnicodeDecodeError):
                raise OAuthError("invalid_client", "invalid client credentials", 401) from None
            given |= {"client_id": unquote_plus(name), "client_secret": unquote_plus(secret)}
        self._client(given)
        return self.sync_user, {}

    def _password(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        self._client(form)
        try:
            return self.password_login(form.get("username", ""), form.get("password", "")), {}
        except SfError:
            raise OAuthError("invalid_grant", "authentication failure") from None

    def _refreshed(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        self._client(form, secret_needed="client_secret" in form)
        user = self._refresh.get(form.get("refresh_token", ""))
        if user is None:
            raise OAuthError("invalid_grant", "expired access/refresh token")
        if not self._shape.org.refresh_token_rotation:
            return user, {}
        del self._refresh[form["refresh_token"]]  # §1.2: single use, the old one is dead
        self.refresh_token = f"5Aep{self._secret(84)}"
        self._refresh[self.refresh_token] = user
        return user, {"refresh_token": self.refresh_token}

    def _client(self, form: Mapping[str, str], *, secret_needed: bool = True) -> None:
        if form.get("client_id") != self.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if secret_needed and not hmac.compare_digest(
            form.get("client_secret", "").encode(), self.client_secret.encode()
        ):
            raise OAuthError("invalid_client", "invalid client credentials", 401)

    def _answer(self, request: Request, user: str, extra: Mapping[str, str]) -> dict[str, str]:
        origin = self.instance(request)
        identity = f"{origin}/id/{self.org_id}/{user}"  # §1.2: jsforce parses it
        issued = str(int(self._world.clock.real().timestamp() * 1000))  # milliseconds, as a text
        mark = hmac.new(self.client_secret.encode(), f"{identity}{issued}".encode(), hashlib.sha256).digest()
        return {
            "access_token": self.open_session(user),
            "signature": base64.b64encode(mark).decode(),
            "scope": "api id",
            "instance_url": origin,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued,
            **extra,
        }

    def instance(self, request: Request) -> str:
        """Where data calls go: the port that was asked, or the org's own host (clients, point 2)."""
        if urlsplit(request.origin).hostname in _LOGIN_HOSTS:
            return f"https://{self._shape.org.my_domain}"
        return request.origin

    def person(self, email: str) -> Row | None:
        """An active user by username or e-mail."""
        wanted = fold(email)
        users = self._shape.objects["User"]
        keys = dict.fromkeys([*self._store.find(users, "Username", email), *self._store.find(users, "Email", email)])
        rows = [self._store.rows(users)[key] for key in keys]
        return next(
            (row for row in rows if row.get("IsActive") and wanted in (fold(row["Username"]), fold(row["Email"]))), None
        )
