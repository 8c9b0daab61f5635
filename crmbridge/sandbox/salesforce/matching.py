"""Matching methods of matching rules: what two values must have in common to be alike (salesforce-api §9.1).

Salesforce's fuzzy engine is not published; here a fuzzy method compares normal forms, so it finds less (unverified).
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final

from crmbridge.sandbox.salesforce.schema import Method

_LEGAL_FORMS: Final = frozenset(
    "ag as bv co company corp corporation gmbh inc incorporated kg limited llc llp ltd oy plc sa sas spa srl".split()
)
_PHONE_DIGITS: Final = 9  # the end of a number, without country and trunk prefix


def key(method: Method, value: Any) -> Any:
    """What is compared; None where there is nothing to compare."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return value
    return _KEYS[method](value) or None


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(re.findall(r"\w+", "".join(char for char in folded if not unicodedata.combining(char))))


def _company(text: str) -> str:
    words = [word for word in _plain(text.replace("&", " and ").replace(".", "")).split() if word != "the"]
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return " ".join(words)


_KEYS: Final[dict[Method, Callable[[str], str]]] = {
    "exact": lambda text: text.casefold(),
    "name": _plain,
    "company": _company,
    "phone": lambda text: re.sub(r"\D", "", text)[-_PHONE_DIGITS:],
    "email": lambda text: text.strip().casefold(),
    "street": _plain,
    "zip": lambda text: re.sub(r"\W", "", text).casefold(),
    "domain": lambda text: re.sub(r"^(?:https?://)?(?:www\.)?([^/:?#]+).*$", r"\1", text.strip().casefold()),
}
