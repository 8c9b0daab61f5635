"""The sandbox's own certificate authority, kept in its state directory so that clients trust one file for good."""

import ssl
from pathlib import Path

import trustme

from crmbridge.sandbox.connection import write_secret

# Hosts the certificate is good for: loopback, and the login hosts that other makers' clients have built in and reach
# through the CONNECT proxy (clients.md; salesforce-api §1.1; dataverse-api §1.1).
SALESFORCE_HOSTS = (
    "login.salesforce.com",
    "test.salesforce.com",
    "*.my.salesforce.com",
    "*.sandbox.my.salesforce.com",
    "*.develop.my.salesforce.com",
    "*.scratch.my.salesforce.com",
)
_REGIONS = ("", *(str(number) for number in range(2, 23)))  # crm, crm2 ... of the regions' data centres
DYNAMICS_HOSTS = tuple(f"*.{api}crm{region}.dynamics.com" for region in _REGIONS for api in ("", "api."))
# The public cloud and the national ones that msal knows (dataverse-api §1.1).
IDENTITY_HOSTS = (
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
)
LOOPBACK = ("localhost", "127.0.0.1")

CA_FILE, CA_KEY_FILE = "ca.pem", "ca.key"


def server_context(state_dir: Path) -> tuple[ssl.SSLContext, Path]:
    """A TLS context for all our https ports, and the file that clients need to trust it."""
    ca_path, key_path = state_dir / CA_FILE, state_dir / CA_KEY_FILE
    if ca_path.exists() and key_path.exists():
        authority = trustme.CA.from_pem(ca_path.read_bytes(), key_path.read_bytes())
    else:
        authority = trustme.CA(organization_name="crmbridge sandbox")
        write_secret(key_path, authority.private_key_pem.bytes())
        ca_path.write_bytes(authority.cert_pem.bytes())
    certificate = authority.issue_cert(*LOOPBACK, *SALESFORCE_HOSTS, *DYNAMICS_HOSTS, *IDENTITY_HOSTS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate.configure_cert(context)
    return context, ca_path
