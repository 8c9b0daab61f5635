"""Tokens for the Dataverse Web API: client secret or certificate by msal, or one given from outside.

msal does not raise for a refused login but returns the error as a dict, and it replays an HTTP 400 from memory for
60 s (dataverse-api §1.1, §1.2). Its calls go through our own session, so CA, proxy, deadline and pinned host hold.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, cast
from urllib.parse import urlsplit

import requests

from connectors.http import LibrarySession, Session
from crmbridge.errors import AccessError, ConfigError, CrmBridgeError, LostAnswer, TryLater

Flow = Literal["client_secret", "certificate", "access_token"]
MICROSOFT: Final = "https://login.microsoftonline.com"

# dataverse-api §1.1: the code at the beginning of error_description.
_fixes: Final[Mapping[str, str]] = {
    "AADSTS7000215": "The client secret is wrong: give the secret's value, not its id.",
    "AADSTS7000222": "The client secret has expired: make a new one under App registrations, Certificates & secrets.",
    "AADSTS700016": "The application is not in this tenant: check client_id and tenant_id.",
    "AADSTS700027": "The certificate is not the one registered with the application, or it has expired.",
    "AADSTS500011": "The environment is not known to the tenant: check the connection's url and tenant_id.",
    "AADSTS90002": "The tenant is not known: check tenant_id.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicsConfig:
    """One connection, with its secrets resolved."""

    name: str  # its name in crmbridge.yaml
    url: str  # https://contoso.crm.dynamics.com
    tenant_id: str = ""
    authority: str = MICROSOFT  # host of the login; national clouds and the sandbox have others
    flow: Flow = "client_secret"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)  # certificate: PEM
    certificate: str = field(default="", repr=False)  # certificate: PEM of the public part (PS256), or
    thumbprint: str = ""  # its SHA-1 in hex (RS256)
    access_token: str = field(default="", repr=False)
    ca_file: str | None = None
    proxy: str | None = None
    default_owner: str | None = None  # e-mail of the user who gets what has no owner here
    default_owner_setting: str = ""  # what says so: its key in crmbridge.yaml
    request_limit_seconds: float = 120.0  # a request may run at most so long (dataverse-api §10.4)

    @property
    def scope(self) -> str:
        return re.sub(r"^(https?://[^/]+).*", r"\1", self.url.strip()) + "/.default"  # exactly: dataverse-api §1.1

    @property
    def tenant_authority(self) -> str:
        """The login's address with the tenant in it; some settings bring it along already."""
        authority = self.authority.strip().rstrip("/")
        return authority if urlsplit(authority).path else f"{authority}/{self.tenant_id}"


class Tokens(Protocol):
    def token(self) -> str: ...

    def renew(self) -> bool:
        """Forget the token that was refused; False if there is no other to be had."""
        ...

    def close(self) -> None: ...


class GivenToken:
    """A token from outside; when it ends, a person must bring another."""

    def __init__(self, config: DynamicsConfig) -> None:
        if not config.access_token:
            raise ConfigError(
                f"Connection {config.name} has no access_token.",
                fix=f"Set connections.{config.name}.auth.access_token.",
            )
        self._token = config.access_token

    def token(self) -> str:
        return self._token

    def renew(self) -> bool:
        return False

    def close(self) -> None:
        pass


class AppTokens:
    """Client credentials through msal, which keeps the token until five minutes before its end."""

    def __init__(self, config: DynamicsConfig, login: Session) -> None:
        self._config = config
        self._login = login
        self._app: Any = None

    def token(self) -> str:
        answer = self._ask()
        token = answer.get("access_token")
        if isinstance(token, str):
            return token
        raise refusal(self._config, answer)

    def renew(self) -> bool:
        if self._app is not None:
            self._app.remove_tokens_for_client()
        return True

    def close(self) -> None:
        self._login.close()

    def _ask(self) -> dict[str, Any]:
        import msal  # 0.2 s: only where a login is needed
        from jwt import PyJWTError  # what msal signs with, and lets through
        from msal.exceptions import MsalServiceError

        try:
            if self._app is None:
                self._app = msal.ConfidentialClientApplication(
                    self._config.client_id,
                    client_credential=_credential(self._config),
                    authority=self._config.tenant_authority,
                    # The authority is the operator's choice; asking login.microsoftonline.com about it would leave
                    # the pinned host, and fails where there is no Internet (dataverse-api §1.3).
                    instance_discovery=False,
                    http_client=LibrarySession(self._login),
                )
            answer = self._app.acquire_token_for_client([self._config.scope])
        except LostAnswer as error:  # of the login; the call that needed the token was not sent
            raise TryLater(error.message, fix="It is tried again.", code=error.code) from error
        except (MsalServiceError, requests.HTTPError, RuntimeError) as error:
            raise TryLater(
                f"The login of connection {self._config.name} does not serve at the moment.",
                after_seconds=5.0,  # msal answers from memory as long (dataverse-api §1.2)
                code="login_down",
            ) from error
        except (ValueError, PyJWTError) as error:
            raise self._unusable(error) from error
        return cast("dict[str, Any]", answer or {})

    def _unusable(self, error: Exception) -> CrmBridgeError:
        """msal raises ValueError for an authority it cannot use and for a key it cannot read."""
        name = self._config.name
        if "discovery" in str(error).lower() or "authority" in str(error).lower():
            return AccessError(
                f"Connection {name}: {self._config.authority} does not know the tenant or is no login.",
                fix=f"Check connections.{name}.auth.tenant_id and login_url (https is needed).",
                code="tenant",
            )
        return ConfigError(
            f"Connection {name}: the login cannot be prepared; the certificate or its key cannot be read.",
            fix="Give the private key as PEM, without a passphrase, and the certificate as PEM or its thumbprint.",
        )


def _credential(config: DynamicsConfig) -> Any:
    if config.flow == "client_secret":
        return config.client_secret
    if config.certificate:
        return {"private_key": config.private_key, "public_certificate": config.certificate}
    return {"private_key": config.private_key, "thumbprint": config.thumbprint.replace(":", "")}


def refusal(config: DynamicsConfig, answer: Mapping[str, Any]) -> CrmBridgeError:
    """Our error for msal's error dict; its text carries ids and times, never a secret."""
    told = str(answer.get("error_description") or answer.get("error") or "no reason given")
    first_line = re.split(r"[\r\n]| Trace ID:", told)[0]
    found = re.match(r"AADSTS\d+", first_line)
    code = found[0] if found else str(answer.get("error", "login"))
    if answer.get("error") == "temporarily_unavailable":
        return TryLater(f"The login of connection {config.name} asks for patience: {first_line}", code=code)
    return AccessError(
        f"The login of connection {config.name} was refused: {first_line}",
        fix=_fixes.get(code, "Check client_id, tenant_id and the secret or certificate.")
        + " The login library repeats a refusal for up to a minute in the same process.",
        code=code,
    )


def tokens(config: DynamicsConfig, session: Callable[[str], Session]) -> Tokens:
    """`session` makes one for an address, under the connection's own rules."""
    if config.flow == "access_token":
        return GivenToken(config)
    missing = [name for name in ("client_id", *_needed(config)) if not getattr(config, name)]
    if missing:
        raise ConfigError(
            f"Connection {config.name} lacks {', '.join(missing)} for the flow {config.flow}.",
            fix=f"Set it under connections.{config.name}.auth.",
        )
    return AppTokens(config, session(config.authority))


def _needed(config: DynamicsConfig) -> tuple[str, ...]:
    tenant = () if urlsplit(config.authority).path.strip("/") else ("tenant_id",)
    if config.flow == "client_secret":
        return (*tenant, "client_secret")
    return (*tenant, "private_key") if config.certificate else (*tenant, "private_key", "thumbprint")
