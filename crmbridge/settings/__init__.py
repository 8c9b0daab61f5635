"""What the operator writes: `crmbridge.yaml`, overridden by the environment (`CRMBRIDGE_STORE__URL`) and by `.env`."""

from crmbridge.settings.connections import (
    AccessToken,
    AnyConnection,
    Certificate,
    ClientCredentials,
    ClientSecret,
    DynamicsConnection,
    Jwt,
    Password,
    RefreshToken,
    SalesforceConnection,
)
from crmbridge.settings.document import Guard, Lifecycle, Only, Settings
from crmbridge.settings.loading import SettingsError, Sketch, load
from crmbridge.settings.secret import Address, Secret

__all__ = [
    "AccessToken",
    "Address",
    "AnyConnection",
    "Certificate",
    "ClientCredentials",
    "ClientSecret",
    "DynamicsConnection",
    "Guard",
    "Jwt",
    "Lifecycle",
    "Only",
    "Password",
    "RefreshToken",
    "SalesforceConnection",
    "Secret",
    "Settings",
    "SettingsError",
    "Sketch",
    "load",
]
