"""Parameters in the URL that mean something to a resource (salesforce-api §2, §3, §4.1, §5.2, §8.2).

The sheet does not say what a real org does with any other; it is believed to pass over them (unverified). Here one is
refused, unless it stands in the closed list below, so that nobody believes it was heeded.
"""

from collections.abc import Mapping
from typing import Final

from crmbridge.sandbox.salesforce.ask import Ask
from crmbridge.sandbox.salesforce.errors import not_served

# Accepted, no effect: the parameter, and why nothing here can depend on it.
NO_EFFECT: Final[Mapping[str, str]] = {
    "_": "changes with every call, to pass by caches; there are none",
    "_dc": "changes with every call, to pass by caches; there are none",
}
PAGE_NO_EFFECT: Final = "the cursor knows its query; one client sends the first page's parameters along with each page"
OAUTH_NO_EFFECT: Final = "what RFC 6749 does not name, a server passes over by that standard (its §3.1, §3.2)"
BODY_NO_EFFECT: Final[Mapping[str, str]] = {
    "the body of a GET or DELETE": "HTTP gives it no meaning (RFC 9110, its §9.3)",
    "attributes of a record, but type and referenceId": "a record that was read goes back with its url among them",
}

_METHOD: Final = frozenset({"_HttpMethod"})  # heeded where the request is read
_JOBS: Final = frozenset({"ispkchunkingenabled", "jobtype", "concurrencymode", "querylocator"})  # in any case
_UPDATE_ONLY_SINCE: Final = 53  # (unverified)


def check_parameters(ask: Ask) -> None:
    known = _known(ask)
    for name in ask.options:
        if name not in known and name not in _METHOD and name not in NO_EFFECT:
            raise not_served(f"the URL parameter {name} of {ask.method} /{'/'.join(ask.parts)}")


def _known(ask: Ask) -> frozenset[str]:
    reads = ask.method in ("GET", "HEAD")
    names: tuple[str, ...] = ()
    match ask.parts:
        case ("query" | "queryAll",) | ("query" | "queryAll", _):
            names = ("q", "explain", "columns")
        case ("search",):
            names = ("q",)
        case ("search", "layout"):
            names = ("q",)
        case ("parameterizedSearch",):  # which settings there are is told where they are read
            return frozenset(ask.options)
        case ("recent",):
            names = ("limit",)
        case ("limits", "recordCount"):
            names = ("sObjects",)
        case ("sobjects", _, "updated" | "deleted"):
            names = ("start", "end")
        case ("sobjects", _, "describe" | "listviews" | "quickActions", *_):
            pass
        case ("sobjects", _, _, *_) if reads:
            names = ("fields",)
        case ("sobjects", _, _, _, *_) if ask.method == "PATCH" and ask.release >= _UPDATE_ONLY_SINCE:
            names = ("updateOnly",)
        case ("composite", "sobjects") if ask.method == "DELETE":
            names = ("ids", "allOrNone")
        case ("composite", "sobjects", _) if reads:
            names = ("ids", "fields")
        case ("jobs", "ingest" | "query") if reads:
            return frozenset(name for name in ask.options if name.lower() in _JOBS)
        case ("jobs", "query", _, what) if reads and what.lower() in ("results", "resultpages"):
            names = ("locator", "maxRecords")
        case ("sobjects", *_) | ("composite", *_) | ("jobs", *_) | () | ("limits",) | ("tabs",) | ("theme",):
            pass
        case ("quickActions",) | ("process", *_) | ("actions", *_) | ("search", "scopeOrder"):
            pass
        case _:  # nothing is there: that is what has to be said
            return frozenset(ask.options)
    return frozenset(names)
