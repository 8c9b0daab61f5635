"""What requests of Bulk API 1.0 hold: a jobInfo, records, how a query is cut (salesforce-api §9.1, §12)."""

import re
from decimal import Decimal
from typing import Final

import msgspec

from crmbridge.sandbox.core import Request
from crmbridge.sandbox.salesforce import bulk_xml
from crmbridge.sandbox.salesforce.bulk_csv import JobFailure
from crmbridge.sandbox.salesforce.bulk_jobs import BATCH
from crmbridge.sandbox.salesforce.bulk_rows import Item

CHUNK_DEFAULT, CHUNK_MAX = 100_000, 250_000
MEDIA: Final = {"CSV": "text/csv", "XML": "application/xml", "JSON": "application/json"}
QUERIES: Final = ("query", "queryAll")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class ClassicError(Exception):
    """§9.1: one exceptionCode and one message, HTTP 400."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status
        super().__init__(f"{code} : {message}")


def is_json(request: Request) -> bool:
    return request.header("content-type").partition(";")[0].strip().lower() == MEDIA["JSON"]


def document(request: Request, known: frozenset[str]) -> dict[str, str]:
    """A jobInfo, in XML or JSON; every value is a text."""
    if is_json(request):
        try:
            given = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClassicError("InvalidJob", f"Unable to parse Job: {error}") from None
        if not isinstance(given, dict):
            raise ClassicError("InvalidJob", "Unable to parse Job: it is no object")
        values = {str(name): str(value) for name, value in given.items() if value is not None}
    else:
        try:
            root = bulk_xml.parsed(request.body)
        except bulk_xml.BadXml as error:
            raise ClassicError("InvalidXML", f"Unable to parse Job: {error}") from None
        if bulk_xml.name_of(root) != "jobInfo":
            raise ClassicError("InvalidXML", f"Unable to parse Job: {bulk_xml.name_of(root)} is no jobInfo")
        values = bulk_xml.fields(root)
    strange = [name for name in values if name not in known]
    if strange:
        raise ClassicError("InvalidJob", f"Unable to parse Job: {strange[0]} is unknown here")
    return values


def items(content_type: str, body: bytes) -> tuple[Item, ...]:
    try:
        given = _DECODER.decode(body) if content_type == "JSON" else bulk_xml.records(bulk_xml.parsed(body))
    except (msgspec.DecodeError, UnicodeDecodeError, bulk_xml.BadXml) as error:
        raise JobFailure("InvalidBatch", f"Unable to parse the batch: {error}") from None
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise JobFailure("InvalidBatch", "The batch is no list of records")
    items: list[Item] = given
    if len(items) > BATCH:
        raise JobFailure("InvalidBatch", f"The batch has {len(items)} records, at most {BATCH} are allowed")
    return tuple(items)


def chunk_size(request: Request, operation: str) -> int:
    """`Sforce-Enable-PKChunking: true; chunkSize=50000; parent=Account`."""
    header = request.header("sforce-enable-pkchunking")
    words = [word.strip() for word in re.split(r"[;,]", header) if word.strip()]
    if not words or operation not in QUERIES or words[0].lower() == "false":
        return 0
    size = CHUNK_DEFAULT
    for word in words:
        name, _, value = word.partition("=")
        if name.lower() == "chunksize" and value.isdecimal() and 1 <= int(value) <= CHUNK_MAX:
            size = int(value)
        elif word.lower() != "true":
            raise ClassicError("InvalidJob", f"Sforce-Enable-PKChunking: {word} is not served")
    return size
