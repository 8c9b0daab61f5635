"""Logging in: the OAuth token endpoint's flows and SOAP login, under the org's policy (salesforce-api §1)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crmbridge.sandbox.core import Request, Row, World
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.login_policy import Doorkeeper
from crmbridge.sandbox.salesforce.schema import Shape
from crmbridge.sandbox.salesforce.sessions import Session, Sessions, secret, signing_key
from crmbridge.sandbox.salesforce.store import Store, fold
from crmbridge.sandbox.urls import split

LOGIN_HOSTS: Final = ("login.salesforce.com", "test.salesforce.com")
SCOPE: Final = "api id"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS_MAX: Final = 300 + 180  # §1.2: "a few minutes", libraries use 3 to 5; clocks differ
# §1.2: how a refused login reads in OAuth's words; all others are an authentication failure.
_OAUTH: Final = {
    "ORG_LOCKED": ("inactive_org", "organization is locked"),
    "TRIAL_EXPIRED": ("inactive_org", "organization is locked"),
    "LOGIN_RATE_EXCEEDED": ("rate_limit_exceeded", "login rate exceeded"),
}


class OAuthError(Exception):
    """§1.2: an object with error and error_description, not the array of data errors."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


class Auth:
    def __init__(self, world: World, shape: Shape, store: Store, org_id: str) -> None:
        self._world = world
        self._shape = shape
        self._store = store
        self.org_id = org_id
        self.username = "sync@acme.example"
        self.password = secret(world, 24)
        self.security_token = secret(world, 24)
        self.client_id = f"3MVG9{secret(world, 80)}"
        self.client_secret = secret(world, 64)
        self.sync_user = ""
        self._sessions = Sessions(world, org_id, shape.org.session_seconds)
        self._door = Doorkeeper(shape.org.login, shape.org.zone)
        self._expired_password = shape.org.login.password_expired

    def start(self, sync_user: str) -> None:
        """The integration user exists: give it a token and a refresh token."""
        self.sync_user = sync_user
        self.access_token = self.open_session(sync_user)
        self.refresh_token = self._sessions.give_refresh(sync_user)

    @property
    def credentials(self) -> dict[str, str]:
        pem = signing_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
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
        return self._sessions.start(user)

    def user_of(self, token: str) -> str:
        """The user behind an access token of either format, or 401 (§1.4)."""
        return self._alive(self._sessions.find(token)).user

    def session_of(self, token: str) -> str:
        """The same for SOAP, where a token in JWT format is no session id (§1.2)."""
        session = self._sessions.find(token)
        return self._alive(None if session is None or session.is_jwt else session).user

    def peek(self, token: str) -> Session | None:
        return self._sessions.peek(token)

    def _alive(self, session: Session | None) -> Session:
        user = self._store.get(self._shape.objects["User"], session.user) if session else None
        if session is None or user is None or not user.get("IsActive"):  # §1.4
            raise refuse("INVALID_SESSION_ID", "Session expired or invalid")
        return session

    def bearer(self, request: Request) -> str:
        """§1.4: Bearer, or the older OAuth."""
        user = self.user_of(self.bearer_token(request))
        if self._door.policy.password_expired and self.password_expired(user):  # §1.3; the text (unverified)
            raise refuse("INVALID_OPERATION_WITH_EXPIRED_PASSWORD", "The user's password has expired.")
        return user

    def bearer_token(self, request: Request) -> str:
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme.lower() not in ("bearer", "oauth") or not token:  # §1.4, §9.2
            if request.header("authorization"):
                raise refuse("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
            raise refuse("INVALID_SESSION_ID", "Session expired or invalid")
        return token.strip()

    def revoke(self, token: str) -> bool:
        """A revoked refresh token takes the sessions of its user along."""
        return self._sessions.revoke(token)

    def end(self, token: str, *, all_of_user: bool) -> None:
        """A session that an administrator ends, or all of its user's; refresh tokens stay (§1.4)."""
        self._sessions.end(token, all_of_user=all_of_user)

    # -- passwords -----------------------------------------------------------------------------------------------

    def user_named(self, username: str) -> Row | None:
        users = self._shape.objects["User"]
        found = [self._store.rows(users)[key] for key in self._store.find(users, "Username", username)]
        return found[0] if found else None

    def password_expired(self, user: str) -> bool:
        return self._expired_password and user == self.sync_user

    def set_password(self, user: str, password: str) -> None:
        """§1.3: what an expired session may do. The integration user alone has a password here (codes (unverified))."""
        if canonical(user) != self.sync_user:
            raise refuse("INVALID_ID_FIELD", f"invalid id or not a user with a password: {user}")
        if len(password) < 8:
            raise refuse("INVALID_NEW_PASSWORD", "Your password must be at least 8 characters long.")
        self.password, self._expired_password = password, False

    def password_login(self, username: str, password: str, request: Request, *, trusted: bool = False) -> str:
        """The user whose password, followed by the security token unless from a trusted place, this is (§1.3)."""
        user, now = self.user_named(username), self._world.clock.real()
        if user is None or user["Id"] != self.sync_user or not user.get("IsActive"):
            raise refuse("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
        if (locked := self._door.locked_out(user["Id"], now)) is not None:
            raise locked
        trusted = trusted or self._door.trusts(request)
        if password == self.password + self.security_token or (trusted and password == self.password):
            self._door.right(user["Id"])
            self._door.admit(user["Id"], request, now)
            return user["Id"]
        if password == self.password:
            raise refuse(
                "LOGIN_MUST_USE_SECURITY_TOKEN",
                "Invalid username, password, security token; or user locked out. From outside of the trusted "
                "networks the security token must follow the password.",
            )
        self._door.wrong(user["Id"], now)
        raise refuse("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")

    # -- the token endpoint --------------------------------------------------------------------------------------

    def token(self, request: Request) -> dict[str, str]:
        """The token endpoint (§1.2): its answer, or an OAuthError."""
        form = form_of(request)
        grants = {
            _JWT_BEARER: self._jwt_bearer,
            "client_credentials": self._client_credentials,
            "password": self._password,
            "refresh_token": self._refreshed,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        user, extra = grant(request, form)
        answer = self._answer(request, user, extra, form.get("refresh_token", ""))
        if form.get("grant_type") == "password":  # a recorded org names no scope in this flow
            del answer["scope"]
        return answer

    def _admit(self, user: Row | None, request: Request) -> str:
        """Whoever the grant names must be somebody who may come in (§1.2)."""
        if user is None or not user.get("IsActive"):
            raise OAuthError("inactive_user", "user is inactive")
        if not self._door.policy.covers(self._door.policy.admin_approved, user["Username"]):
            raise OAuthError("invalid_app_access", "user is not admin approved to access this app")
        try:
            self._door.admit(user["Id"], request, self._world.clock.real())
        except SfError as error:
            raise _oauth(error) from None
        return user["Id"]

    def _jwt_bearer(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        try:
            claims: dict[str, Any] = jwt.decode(
                form.get("assertion", ""),
                signing_key().public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError):
            raise OAuthError("invalid_grant", "invalid assertion") from None
        if claims.get("iss") != self.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        hosts = {*LOGIN_HOSTS, self._shape.org.my_domain, split(request.origin).netloc}
        audience = claims.get("aud")
        if not isinstance(audience, str) or (split(audience).netloc or audience) not in hosts:
            raise OAuthError("invalid_grant", "audience is invalid")
        try:  # §1.5: simple-salesforce sends exp as a text
            expires = float(claims.get("exp", ""))
        except (TypeError, ValueError):
            raise OAuthError("invalid_grant", "invalid assertion") from None
        now = self._world.clock.real().timestamp()
        if not now < expires:  # not a number neither
            raise OAuthError("invalid_grant", "assertion expired")
        if expires > now + _ASSERTION_SECONDS_MAX:  # §1.2: at most a few minutes ahead (wording (unverified))
            raise OAuthError("invalid_grant", "invalid assertion")
        user = self.user_named(str(claims.get("sub", "")))
        policy = self._door.policy
        if user is None or not policy.covers(policy.approved, user["Username"]):
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return self._admit(user, request), {}

    def _client_credentials(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        if split(request.origin).hostname in LOGIN_HOSTS:  # §1.2: only on the My Domain host
            raise OAuthError("invalid_grant", "request not supported on this domain")
        self.client(request, form)
        name = self._door.policy.run_as
        if name == "none":
            raise OAuthError("invalid_grant", "no client credentials user enabled")
        user = self.user_named(name or self.username)
        if user is None:
            raise OAuthError("invalid_grant", "no client credentials user enabled")
        return self._admit(user, request), {}

    def _password(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        self.client(request, form)
        if not self._door.policy.password_flow:
            raise OAuthError("invalid_grant", "authentication failure")
        try:
            user = self.password_login(form.get("username", ""), form.get("password", ""), request)
        except SfError as error:
            raise _oauth(error) from None
        if not self._door.policy.covers(self._door.policy.admin_approved, self.username):
            raise OAuthError("invalid_app_access", "user is not admin approved to access this app")
        return user, {}

    def _refreshed(self, request: Request, form: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        self.client(request, form, secret_needed=False)
        old = form.get("refresh_token", "")
        user = self._sessions.refresh_user(old)
        if user is None:
            raise OAuthError("invalid_grant", "expired access/refresh token")
        self._admit(self._store.get(self._shape.objects["User"], user), request)
        if not self._shape.org.refresh_token_rotation:
            return user, {}
        fresh = self._sessions.rotate(old)
        if old == self.refresh_token:
            self.refresh_token = fresh
        return user, {"refresh_token": fresh}

    def client(self, request: Request, form: Mapping[str, str], *, secret_needed: bool = True) -> None:
        """The consumer, in the form or by HTTP Basic; its secret is checked wherever it is sent."""
        given = dict(form)
        scheme, _, encoded = request.header("authorization").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (ValueError, UnicodeDecodeError):
                raise OAuthError("invalid_client", "invalid client credentials", 401) from None
            given |= {"client_id": unquote_plus(name), "client_secret": unquote_plus(password)}
        if given.get("client_id") != self.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if (secret_needed or "client_secret" in given) and not hmac.compare_digest(
            given.get("client_secret", "").encode(), self.client_secret.encode()
        ):
            raise OAuthError("invalid_client", "invalid client credentials", 401)

    def _answer(self, request: Request, user: str, extra: Mapping[str, str], refreshed: str) -> dict[str, str]:
        origin = self.instance(request)
        identity = f"{origin}/id/{self.org_id}/{user}"  # §1.2: jsforce parses it
        issued = str(int(self._world.clock.real().timestamp() * 1000))  # milliseconds, as a text
        mark = hmac.new(self.client_secret.encode(), f"{identity}{issued}".encode(), hashlib.sha256).digest()
        return {
            "access_token": self._access_token(origin, user, extra.get("refresh_token", refreshed)),
            "signature": base64.b64encode(mark).decode(),
            "scope": SCOPE,
            "instance_url": origin,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued,
            **extra,
        }

    def _access_token(self, origin: str, user: str, refresh_token: str) -> str:
        if self._door.policy.token_format == "opaque":  # noqa: S105 - a name, not a secret
            return self._sessions.start(user, refresh_token=refresh_token)
        claims = {  # the claims' names are (unverified)
            "scp": SCOPE,
            "aud": [origin],
            "sub": f"uid:{user}",
            "iss": origin,
            "client_id": self.client_id,
        }
        return self._sessions.start_jwt(user, claims, refresh_token=refresh_token)

    def instance(self, request: Request) -> str:
        """Where data calls go: the port that was asked, or the org's own host (clients, point 2)."""
        if split(request.origin).hostname in LOGIN_HOSTS:
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


def form_of(request: Request) -> dict[str, str]:
    """A form in the body or in the URL."""
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)) | request.options()


def _oauth(error: SfError) -> OAuthError:
    return OAuthError(*_OAUTH.get(error.problems[0].code, ("invalid_grant", "authentication failure")))
