"""Pages that go wrong: half of one, a shorter one, the one before once more (salesforce-api §2.1, dataverse-api §2.8).

The page before is remembered only while a rule asks for it, by the link that leads on from it.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from crmbridge.sandbox.core import Reply, Request

REMEMBERED_MAX: Final = 64
SALESFORCE_ROWS: Final = 2000  # of a page where the client names no number (salesforce-api §2.1)
SALESFORCE_ROWS_MIN: Final = 200
DYNAMICS_ROWS: Final = 5000  # dataverse-api §2.8
_BATCH_SIZE: Final = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)
_PAGE_SIZE: Final = re.compile(r"odata\.maxpagesize\s*=\s*(\d+)", re.IGNORECASE)


class _Page(msgspec.Struct):
    salesforce: str = msgspec.field(name="nextRecordsUrl", default="")
    dynamics: str = msgspec.field(name="@odata.nextLink", default="")


@dataclass(slots=True)
class Pages:
    """Answers by the link to what comes behind them; the newest ones only."""

    _by_link: OrderedDict[tuple[str, str], Reply] = field(default_factory=OrderedDict[tuple[str, str], Reply])

    def remember(self, service: str, reply: Reply) -> None:
        if b"nextRecordsUrl" not in reply.body and b"@odata.nextLink" not in reply.body:
            return
        try:
            page = msgspec.json.decode(reply.body, type=_Page)
        except msgspec.DecodeError:
            return  # a text that only speaks of such links
        link = page.salesforce or page.dynamics
        if link:
            self._by_link[service, _target(link)] = reply
            while len(self._by_link) > REMEMBERED_MAX:
                self._by_link.popitem(last=False)

    def before(self, service: str, request: Request) -> Reply | None:
        """The page whose link this request follows."""
        target = f"{request.path}?{request.query}" if request.query else request.path
        return self._by_link.get((service, _target(target)))


def _target(link: str) -> str:
    parts = urlsplit(link)
    return unquote(f"{parts.path}?{parts.query}")


def half_of(reply: Reply) -> Reply:
    """As a proxy cuts it that has lost the rest; the length of what is left is told as if it were all."""
    headers = tuple((name, value) for name, value in reply.headers if name.lower() != "content-length")
    return replace(reply, headers=headers, body=reply.body[: len(reply.body) // 2])


def halved(service: str, request: Request) -> Request:
    """The same request with half the page size; of Salesforce's least page there is no half."""
    if service == "salesforce":
        given = request.header("sforce-query-options")
        found = _BATCH_SIZE.search(given)
        rows = max(SALESFORCE_ROWS_MIN, int(found[1] if found else SALESFORCE_ROWS) // 2)
        return replace(request, headers={**request.headers, "sforce-query-options": f"batchSize={rows}"})
    given = request.header("prefer")
    found = _PAGE_SIZE.search(given)
    rows = max(1, int(found[1] if found else DYNAMICS_ROWS) // 2)
    rest = _PAGE_SIZE.sub("", given).strip(", ")
    prefer = ", ".join(filter(None, (rest, f"odata.maxpagesize={rows}")))
    return replace(request, headers={**request.headers, "prefer": prefer})
