"""What Bulk API 1.0 answers, in XML or JSON (salesforce-api §9.1, §12)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.salesforce import bulk_xml
from crmbridge.sandbox.salesforce.bulk_classic_body import MEDIA, ClassicError, is_json
from crmbridge.sandbox.salesforce.bulk_rows import Outcome
from crmbridge.sandbox.salesforce.values import stamp

ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def refusal(error: ClassicError, request: Request) -> Reply:
    """In the form of the request's body: JSON for JSON, else XML."""
    values = {"exceptionCode": error.code, "exceptionMessage": error.message}
    if is_json(request):
        return reply(error.status, MEDIA["JSON"], ENCODER.encode(values))
    return reply(error.status, MEDIA["XML"], bulk_xml.document("error", values))


def document_reply(status: int, root: str, info: dict[str, Any], media: str) -> Reply:
    if media == "JSON":
        return reply(status, MEDIA["JSON"], ENCODER.encode(as_json(info)))
    return reply(status, MEDIA["XML"], bulk_xml.document(root, as_xml(info)))


def as_json(info: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stamp(value) if isinstance(value, datetime) else value for name, value in info.items()}


def as_xml(info: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: stamp(value).replace("+0000", "Z") if isinstance(value, datetime) else value
        for name, value in info.items()
    }


def reply(status: int, media: str, body: bytes) -> Reply:
    """The bare type: one client compares it whole."""
    return Reply(status=status, headers=(("Content-Type", media),), body=body)


def outcome_of(outcome: Outcome) -> dict[str, Any]:
    errors = [
        {
            "fields": list(each.fields or ()),
            "message": each.message,
            "statusCode": each.code,
            "extendedErrorDetails": None,
        }
        for each in outcome.problems
    ]
    return {"success": not errors, "created": outcome.created, "id": outcome.id or None, "errors": errors}
