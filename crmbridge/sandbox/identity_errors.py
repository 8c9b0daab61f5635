"""Refusals of the identity service: an AADSTS code in a JSON object (dataverse-api §1.1)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from crmbridge.sandbox.core import Reply, World


class Refused(Exception):
    """An AADSTS error; msal hands its body to the caller as a dict."""

    def __init__(self, status: int, error: str, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.code, self.message = status, error, code, message


def missing(name: str) -> Refused:
    return Refused(400, "invalid_request", 900144, f"The request body must contain the following parameter: '{name}'.")


def refusal(world: World, refused: Refused) -> Reply:
    trace, correlation = world.guid(), world.guid()
    moment = world.clock.real().strftime("%Y-%m-%d %H:%M:%SZ")
    body = {
        "error": refused.error,
        "error_description": f"AADSTS{refused.code}: {refused.message} Trace ID: {trace} "
        f"Correlation ID: {correlation} Timestamp: {moment}",
        "error_codes": [refused.code],
        "timestamp": moment,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={refused.code}",
    }
    return document(refused.status, body)


def document(status: int, body: Mapping[str, Any]) -> Reply:
    headers = (
        ("Content-Type", "application/json; charset=utf-8"),
        ("Cache-Control", "no-store, no-cache"),
        ("Pragma", "no-cache"),
    )
    return Reply(status=status, headers=headers, body=msgspec.json.encode(body))
