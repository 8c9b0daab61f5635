"""Settings for commands that ask the store alone: nothing listens where the connections lead."""

from pathlib import Path
from typing import Final

import pytest

from crmbridge.cli.start import copy_shipped, shipped_config

AWAY: Final = """\
connections:
  salesforce:
    system: salesforce
    url: http://127.0.0.1:9
    auth: {flow: client_credentials, client_id: a, client_secret: "${env:SECRET}"}
  dynamics:
    system: dynamics
    url: http://127.0.0.1:9
    login_url: https://127.0.0.1:9
    auth: {flow: client_secret, tenant_id: a, client_id: b, client_secret: "${env:SECRET}"}
"""


def away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `crmbridge init` makes it, with these settings, as the working directory."""
    copy_shipped(shipped_config(), folder)
    (folder / "crmbridge.yaml").write_text(AWAY)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CRMBRIDGE_CONFIG", raising=False)
    monkeypatch.setenv("SECRET", "s")
    return folder
