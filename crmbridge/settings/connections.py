"""One connected system: where it is, how crmbridge logs in. Which keys may stand there depends on `system`, `flow`."""

import re
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator

from crmbridge.settings.kinds import ExistingFile, ProxyUrl, SecretValue, Section, Text, WebUrl


class Jwt(Section):
    """Salesforce, for servers: a certificate that is uploaded to the app, and a user who is pre-authorised for it."""

    flow: Literal["jwt"]
    client_id: Text
    username: Text
    private_key: SecretValue  # PEM


class ClientCredentials(Section):
    flow: Literal["client_credentials"]
    client_id: Text
    client_secret: SecretValue


class Password(Section):
    flow: Literal["password"]
    username: Text
    password: SecretValue
    security_token: SecretValue | None = None
    client_id: Text | None = None  # both or none: without them it is the SOAP login
    client_secret: SecretValue | None = None


class RefreshToken(Section):
    flow: Literal["refresh_token"]
    client_id: Text
    client_secret: SecretValue | None = None
    refresh_token: SecretValue


class AccessToken(Section):
    """A token from outside, for a trial: when it ends, a person must bring another."""

    flow: Literal["access_token"]
    access_token: SecretValue


class ClientSecret(Section):
    flow: Literal["client_secret"]
    tenant_id: Text
    client_id: Text
    client_secret: SecretValue


class Certificate(Section):
    """Dynamics: the certificate (its public part, PEM) or its thumbprint, as it is registered with the application."""

    flow: Literal["certificate"]
    tenant_id: Text
    client_id: Text
    private_key: SecretValue  # PEM
    certificate: SecretValue | None = None
    thumbprint: Text | None = None

    @field_validator("thumbprint")
    @classmethod
    def _hex(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F:]{40,59}", value):
            raise ValueError("must be the certificate's SHA-1 thumbprint, 40 hexadecimal digits")
        return value


def _tag(*known: type[Section]) -> Discriminator:
    """Picks a model by the value of `flow`. Tags stand in brackets, so that they are no keys of anybody's."""

    def choose(value: Any) -> str | None:
        flow = value.get("flow") if isinstance(value, dict) else getattr(value, "flow", None)
        return f"<{flow}>" if isinstance(flow, str) and any(flow == flow_of(one) for one in known) else None

    return Discriminator(choose)


def flow_of(model: type[Section]) -> str:
    return get_args(model.model_fields["flow"].annotation)[0]


class Connection(Section):
    url: WebUrl
    login_url: WebUrl | None = None
    ca_file: ExistingFile | None = None
    proxy: ProxyUrl | None = Field(default=None, repr=False)
    key_field: Text | None = None
    default_owner: Text | None = None  # e-mail of the user who gets what has no owner on this side
    request_limit_seconds: Annotated[float, Field(gt=0, le=3600)] = 600
    calls_per_second: Annotated[float, Field(gt=0, le=1000)] | None = None  # None: 18; no limit on this machine
    calls_at_once: Annotated[int, Field(ge=1, le=100_000)] = 600  # after a pause
    daily_calls: Annotated[int, Field(ge=1)] | None = None  # None: as many as the CRM says


SALESFORCE_FLOWS: Final = (Jwt, ClientCredentials, Password, RefreshToken, AccessToken)
DYNAMICS_FLOWS: Final = (ClientSecret, Certificate, AccessToken)


class SalesforceConnection(Connection):
    system: Literal["salesforce"]
    auth: Annotated[
        Annotated[Jwt, Tag("<jwt>")]
        | Annotated[ClientCredentials, Tag("<client_credentials>")]
        | Annotated[Password, Tag("<password>")]
        | Annotated[RefreshToken, Tag("<refresh_token>")]
        | Annotated[AccessToken, Tag("<access_token>")],
        _tag(*SALESFORCE_FLOWS),
    ]
    key_field: Text | None = "CrmBridge_Id__c"  # Text 36, External ID, Unique; null or none where it cannot be added
    # Without a key field: what becomes of a create whose answer was lost, once it cannot be under way any more.
    on_unknown: Literal["wait", "hold"] = "wait"  # sent again if nothing like it is there, or left to a person
    request_limit_seconds: Annotated[float, Field(gt=0, le=3600)] = 600  # reliability §3

    @field_validator("key_field")
    @classmethod
    def _none(cls, value: str | None) -> str | None:
        return None if value is not None and value.casefold() == "none" else value

    @property
    def login(self) -> str:
        if self.login_url:
            return self.login_url
        if isinstance(self.auth, ClientCredentials):
            return self.url  # salesforce-api §1.2: on the org's own host only
        host = urlsplit(self.url).hostname or ""
        return "https://test.salesforce.com" if ".sandbox." in host else "https://login.salesforce.com"


class DynamicsConnection(Connection):
    system: Literal["dynamics"]
    auth: Annotated[
        Annotated[ClientSecret, Tag("<client_secret>")]
        | Annotated[Certificate, Tag("<certificate>")]
        | Annotated[AccessToken, Tag("<access_token>")],
        _tag(*DYNAMICS_FLOWS),
    ]
    request_limit_seconds: Annotated[float, Field(gt=0, le=3600)] = 120  # dataverse-api §10.4

    @property
    def login(self) -> str:
        """The authority; national clouds and the sandbox have others."""
        return self.login_url or "https://login.microsoftonline.com"


AnyConnection = SalesforceConnection | DynamicsConnection
SYSTEMS: Final = {"salesforce": SalesforceConnection, "dynamics": DynamicsConnection}


def system_tag(value: Any) -> str | None:
    system = value.get("system") if isinstance(value, dict) else getattr(value, "system", None)
    return f"<{system}>" if system in SYSTEMS else None
