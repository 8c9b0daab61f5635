"""Settings for commands that ask the store alone: nothing listens where the connections lead."""

from typing import Final

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
