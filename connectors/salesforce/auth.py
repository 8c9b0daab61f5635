"""Logging in to Salesforce: five flows, one token kept in memory, always for the org that the connection names.

simple-salesforce does the wire of three flows (salesforce-api §1.5), with our session in place of its own: the hosts it
has built in are replaced by the connection's, and its calls keep our deadline, proxy and CA. It is imported late: it
costs half a second (libraries.md).
"""

import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit
from xml.parsers.expat import ExpatError

import msgspec

from connectors.http import LibrarySession, NotSent, Session
from connectors.origin import Origin
from connectors.salesforce.protocol import API
from crmbridge.errors import AccessError, ConfigError, CrmBridgeError, LostAnswer, OutsideError, TryLater

Flow = Literal["jwt", "client_credentials", "password", "refresh_token", "access_token"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesforceConfig:
    """One connection, with its secrets resolved."""

    name: str  # its name in crmbridge.yaml
    url: str  # the org's My Domain: https://acme.my.salesforce.com
    login_url: str = "https://login.salesforce.com"  # https://test.salesforce.com for a sandbox org
    flow: Flow = "jwt"
    client_id: str = ""  # consumer key
    client_secret: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    security_token: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)  # PEM
    refresh_token: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    # Called with the new refresh token where the org rotates them: the old one is dead at once (§1.2).
    save_refresh_token: Callable[[str], None] | None = field(default=None, repr=False)
    ca_file: str | None = None
    proxy: str | None = None
    key_field: str | None = "CrmBridge_Id__c"  # Text 36, External ID, Unique; None where an admin cannot add it
    default_owner: str | None = None  # e-mail of the user who gets what has no owner here
    default_owner_setting: str = ""  # what says so: its key in crmbridge.yaml
    request_limit_seconds: float = 600.0  # the org may work at a request so long (reliability §3)
    person_accounts: bool = False
    currency: str | None = None  # ISO code of a single-currency org, where the SOAP API may not be asked for it
    horizon_seconds: float = 60.0  # younger changes are left for the next read (reliability §7)
    overlap_seconds: float = 660.0  # a long transaction commits late with an early stamp (reliability §7)


# What each flow cannot do without.
_needs: Final[dict[Flow, tuple[str, ...]]] = {
    "jwt": ("client_id", "username", "private_key"),
    "client_credentials": ("client_id", "client_secret"),
    "password": ("username", "password"),
    "refresh_token": ("client_id", "refresh_token"),
    "access_token": ("access_token",),
}

# salesforce-api §1.2, §1.3: what to do about a refused login.
_fixes: Final = {
    "user hasn't approved this consumer": "Pre-authorise the user for the app (Manage, Permitted Users, a permission "
    "set or profile).",
    "expired access/refresh token": "Log in again and store the new refresh token.",
    "authentication failure": "Check user name, password, security token and login IP ranges.",
    "invalid_app_access": "Give the user's profile or permission set access to the app.",
    "invalid_client_id": "Check auth.client_id (the app's consumer key).",
    "invalid_client": "Check auth.client_secret.",
    "INVALID_LOGIN": "Check user name, password and security token; the user may be locked out.",
    "LOGIN_MUST_USE_SECURITY_TOKEN": "Set auth.security_token, or add this machine's address to the trusted IP ranges.",
    "PASSWORD_LOCKOUT": "The user is locked out: an administrator can unlock it.",
}


class _Token(msgspec.Struct):
    access_token: str = ""
    instance_url: str = ""
    refresh_token: str | None = None
    error: str = ""
    error_description: str = ""


class Tokens:
    """The current access token; asks for another only when the one in use was refused."""

    def __init__(self, config: SalesforceConfig, login: Session) -> None:
        missing = [name for name in _needs[config.flow] if not getattr(config, name)]
        if missing:
            raise ConfigError(
                f"Connection {config.name}: flow {config.flow} needs {', '.join(missing)}.",
                fix=f"Set them under connections.{config.name}.auth; secrets by reference, e.g. ${{env:NAME}}.",
                code="auth",
            )
        self._config, self._login = config, login
        self._refresh_token = config.refresh_token
        self._token = config.access_token if config.flow == "access_token" else ""

    def token(self) -> str:
        if not self._token:
            self._token = self._log_in()
        return self._token

    def renew(self) -> bool:
        """After a refusal: log in anew at the next call. False if there is nothing to log in with."""
        if self._config.flow == "access_token":
            return False
        self._token = ""
        return True

    def _log_in(self) -> str:
        try:
            if self._config.flow == "refresh_token":
                return self._by_refresh_token()
            token, host = self._by_library()
        except NotSent:
            raise
        except LostAnswer as error:
            raise TryLater(error.message, fix="The login is tried again.", code="login") from error
        self._check_host(host)
        return token

    def _by_library(self) -> tuple[str, str]:
        from simple_salesforce.exceptions import SalesforceAuthenticationFailed
        from simple_salesforce.login import SalesforceLogin

        config = self._config
        arguments: dict[str, Any] = {"session": LibrarySession(self._login, rehost=True), "sf_version": API}
        match config.flow:
            case "jwt":
                # The audience must be one of the two login hosts (§1.2).
                domain = "test" if "//test.salesforce.com" in config.login_url else "login"
                arguments |= {"username": config.username, "consumer_key": config.client_id, "domain": domain}
                arguments["privatekey"] = config.private_key
            case (
                "client_credentials"
            ):  # any domain but login and test picks the flow (§1.5); our session picks the host
                arguments |= {"consumer_key": config.client_id, "consumer_secret": config.client_secret, "domain": "my"}
            case _:
                arguments |= {"username": config.username, "password": config.password}
                arguments["security_token"] = config.security_token  # "" too: it picks the SOAP login
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns and raises the same thing, with a link that is not ours
                return SalesforceLogin(**arguments)
        except SalesforceAuthenticationFailed as error:
            raise self._refused(str(error.code), str(error.message)) from None
        except CrmBridgeError:
            raise
        except ValueError as error:  # the private key cannot be read
            raise ConfigError(
                f"Connection {config.name}: the private key cannot be used ({type(error).__name__}).",
                fix=f"Give connections.{config.name}.auth.private_key an RSA key in PEM form, without a passphrase.",
                code="private_key",
            ) from None
        except (AttributeError, TypeError, KeyError, ExpatError, RecursionError):  # an answer of another shape
            raise self._strange() from None

    def _by_refresh_token(self) -> str:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh_token,
            "client_id": self._config.client_id,
        }
        if self._config.client_secret:
            form["client_secret"] = self._config.client_secret
        answer = self._login.log_in(
            "POST",
            "/services/oauth2/token",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        try:
            said = msgspec.json.decode(answer.body, type=_Token)
        except msgspec.DecodeError:
            raise self._refused(str(answer.status), "") from None
        if said.error or answer.status != 200:
            raise self._refused(said.error or str(answer.status), said.error_description)
        if not said.access_token or not said.instance_url:
            raise self._strange()
        if said.refresh_token and said.refresh_token != self._refresh_token:
            self._refresh_token = said.refresh_token
            if self._config.save_refresh_token is not None:
                self._config.save_refresh_token(said.refresh_token)  # before the access token is used (§1.2)
            else:
                log.warning(
                    "%s: the org rotates refresh tokens, and the new one is kept only until this process ends. "
                    "Use another flow, or turn Refresh Token Rotation off.",
                    self._config.name,
                    extra={"action": "refresh_token_rotated", "connection": self._config.name},
                )
        self._check_host(said.instance_url)
        return said.access_token

    def _check_host(self, instance: str) -> None:
        """The token may go to the connection's host alone; an answer never picks the host (reliability §11)."""
        ours = Origin.of(self._config.url, what="url")
        host = re.sub(r"^https?://", "", instance).rstrip("/")
        parts = urlsplit(f"{ours.scheme}://{host}")
        try:
            same = (parts.hostname or "", parts.port or (443 if ours.scheme == "https" else 80)) == (
                ours.host,
                ours.port,
            )
        except ValueError:
            same = False
        if not same:
            raise AccessError(
                f"{self._config.name}: the login is for another org host than {ours.host}.",
                fix=f"Set connections.{self._config.name}.url to the org's own address (Setup, My Domain).",
                code="other_host",
            )

    def _refused(self, code: str, text: str) -> CrmBridgeError:
        if code == "SERVER_UNAVAILABLE" or (code.isdigit() and int(code) >= 500):
            return TryLater(f"{self._config.name}: the login did not serve ({code}).", code=code)
        fix = (_fixes.get(text.strip()) or _fixes.get(code, "")).replace(
            "auth.", f"connections.{self._config.name}.auth."
        )
        said = text if re.fullmatch(r"[\w\s.,;:'/()-]{1,200}", text) and not code.isdigit() else ""
        return AccessError(
            f"{self._config.name}: Salesforce refused the login ({code}{': ' + said if said else ''}).",
            fix=fix or f"Check connections.{self._config.name}.auth and login_url.",
            code=code,
        )

    def _strange(self) -> OutsideError:
        return OutsideError(
            f"{self._config.name}: the login's answer is not one of Salesforce.",
            fix=f"Check connections.{self._config.name}.login_url.",
            code="login",
        )
