"""The connect document: where each service is and what to log in with. Its keys are a promise to scripts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crmbridge.sandbox.faults import Service

SALESFORCE_KEYS = (
    "org_id", "username", "password", "security_token", "client_id", "client_secret", "access_token", "refresh_token",
)  # fmt: skip
DYNAMICS_KEYS = ("tenant_id", "client_id", "client_secret", "access_token")


def connection(
    salesforce: Mapping[str, str],
    dynamics: Mapping[str, str],
    origins: Mapping[Service, tuple[str, str]],
    state_dir: Path | None,
) -> dict[str, Any]:
    """`origins` are (http, https) of each service; private keys are written to `state_dir`, if there is one."""
    key_path = certificate_path = None
    if state_dir is not None:
        key_path = write_secret(state_dir / "salesforce-jwt.key", salesforce["private_key"].encode())
        certificate_path = write_secret(state_dir / "dynamics-client.pem", dynamics["certificate"].encode())
    return {
        "salesforce": {
            "url": origins["salesforce"][0],
            "https_url": origins["salesforce"][1],
            **{key: salesforce[key] for key in SALESFORCE_KEYS},
            "private_key_path": key_path and str(key_path),
        },
        "dynamics": {
            "url": origins["dynamics"][0],
            "https_url": origins["dynamics"][1],
            # msal takes https authorities only (dataverse-api §1.3)
            "authority": f"{origins['identity'][1]}/{dynamics['tenant_id']}",
            **{key: dynamics[key] for key in DYNAMICS_KEYS},
            "certificate_path": certificate_path and str(certificate_path),
        },
    }


def write_secret(path: Path, content: bytes) -> Path:
    """Readable by its owner alone, from the first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path
