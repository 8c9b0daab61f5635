"""Conditional requests: who asked not to be told again, or not to overwrite others' work (salesforce-api §3.5).

Times are whole seconds, so two writes in the same second pass. Tags are there for Account rows alone, and for
descriptions. On DELETE and on anything else the headers have no effect (`sandbox/headers.py` lists them).
"""

import hashlib
import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.ask import Answer, Ask
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.records import overdue
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.values import instant

ETAG_OBJECTS: Final = ("Account",)

Headers = tuple[tuple[str, str], ...]


def validators(sobject: SObject, row: Row) -> Headers:
    """What a client may send back next time."""
    changed = format_datetime(instant(row["LastModifiedDate"]), usegmt=True)
    return (("Last-Modified", changed), *([("ETag", etag(row))] if sobject.name in ETAG_OBJECTS else []))


def unread(ask: Ask, sobject: SObject, row: Row) -> Answer | None:
    """For a read: 412 where the row is not the one meant, 304 where the client has it already, else None."""
    _as_meant(ask, sobject, row)
    headers = validators(sobject, row)
    if _tagged(ask, "if-none-match", sobject, row):
        return Answer(status=304, headers=headers, empty=True)
    moment = header_date(ask, "if-modified-since")
    if moment is not None and not overdue(row, moment):
        return Answer(status=304, headers=headers, empty=True)
    return None


def unchanged(ask: Ask, sobject: SObject, row: Row) -> None:
    """For a write: 412 when somebody saved the row meanwhile, or where a condition of a read does not hold."""
    _as_meant(ask, sobject, row)
    moment = header_date(ask, "if-modified-since")
    if _tagged(ask, "if-none-match", sobject, row) or (moment is not None and not overdue(row, moment)):
        raise _failed()


def metadata_unread(ask: Ask, tag: str, changed: datetime) -> Answer | None:
    """§5.1: a description that did not change since is not sent again."""
    headers = metadata_validators(tag, changed)
    moment, tags = header_date(ask, "if-modified-since"), ask.headers.get("if-none-match")
    known = moment is not None and changed.replace(microsecond=0) <= moment
    if known or (tags is not None and _matches(tags, tag)):
        return Answer(status=304, headers=headers, empty=True)
    return None


def metadata_validators(tag: str, changed: datetime) -> Headers:
    return (("Last-Modified", format_datetime(changed.replace(microsecond=0), usegmt=True)), ("ETag", tag))


def etag(row: Row) -> str:
    return tag_of(f"{row['Id']}{row['SystemModstamp']}")


def tag_of(text: str) -> str:
    return f'"{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"'


def header_date(ask: Ask, name: str) -> datetime | None:
    text = ask.headers.get(name)
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # §3.5: a bad date is 400; the code is (unverified)
        raise refuse(
            "INVALID_HEADER_VALUE", f"{name}: {text} is no HTTP date such as Sat, 31 Jan 2026 09:15:22 GMT"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _as_meant(ask: Ask, sobject: SObject, row: Row) -> None:
    moment = header_date(ask, "if-unmodified-since")
    tags = ask.headers.get("if-match") if sobject.name in ETAG_OBJECTS else None
    if (moment is not None and overdue(row, moment)) or (tags is not None and not _matches(tags, etag(row))):
        raise _failed()


def _failed() -> SfError:
    """The body of a 412 is (unverified)."""
    return refuse("PRECONDITION_FAILED", "The record was modified after the time given in the request.")


def _tagged(ask: Ask, name: str, sobject: SObject, row: Row) -> bool:
    tags = ask.headers.get(name) if sobject.name in ETAG_OBJECTS else None
    return tags is not None and _matches(tags, etag(row))


def _matches(tags: str, tag: str) -> bool:
    """A list of tags, weak ones and those of a zipped answer too, or a star."""
    wanted = tag.strip('"')
    return tags.strip() == "*" or wanted in {found.removesuffix("-gzip") for found in re.findall(r'"([^"]*)"', tags)}
