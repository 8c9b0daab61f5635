"""Paging cookies: where a page ended, so that the next one can begin there (dataverse-api §2.8, §2.9).

The cookie holds the first and the last row's values in the columns of the order, and their keys. Clients pass it on
as it came; it is text of their own making all the same, so that nothing in it is believed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape, unescape
from typing import Any
from urllib.parse import quote, unquote

from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.errors import bad_query
from crmbridge.sandbox.dynamics.values import guid

_NUMBERS = frozenset({"Integer", "BigInt", "Money", "Decimal", "Picklist", "State", "Status"})
_ELEMENT = re.compile(r"<([\w./-]+)((?:\s+\w+=\"[^\"]*\")*)\s*/>")
_ATTRIBUTE = re.compile(r"(\w+)=\"([^\"]*)\"")
_COOKIE = re.compile(r"<cookie page=\"(\d{1,9})\"[^>]*>(.*)</cookie>", re.DOTALL)
_OUTER = re.compile(r"<cookie pagenumber=\"(\d{1,9})\" pagingcookie=\"([^\"]*)\" istracking=\"False\" />")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The end of a page."""

    page: int  # the page that ended here
    values: tuple[Any, ...]  # of its last row, in the columns of the order
    key: str


def malformed() -> Exception:
    """dataverse-api §2.8; the text is (unverified)"""
    return bad_query("Malformed XML in the Paging Cookie")


def inner_cookie(
    page: int, columns: Sequence[tuple[str, Column]], key_name: str, first: Sequence[Any], last: Sequence[Any]
) -> str:
    """`<cookie page="1"><modifiedon last="…" first="…" /><leadid last="{…}" first="{…}" /></cookie>`; the key is the
    last of the values.
    """
    parts = [f'<cookie page="{page}">']
    for (name, _), end, start in zip(columns, last, first, strict=False):
        parts.append(f"<{name}{_attribute('last', end)}{_attribute('first', start)} />")
    parts.append(f'<{key_name} last="{{{last[-1].upper()}}}" first="{{{first[-1].upper()}}}" />')
    return "".join([*parts, "</cookie>"])


def _attribute(name: str, value: Any) -> str:
    if value is None:
        return f' {name}null="1"'
    text = ("1" if value else "0") if isinstance(value, bool) else str(value)
    return f' {name}="{escape(text)}"'


def read_inner(text: str, columns: Sequence[tuple[str, Column]], key_name: str) -> Place:
    match = _COOKIE.fullmatch(text.strip())
    if match is None:
        raise malformed()
    elements = _ELEMENT.findall(match[2])
    if [name for name, _ in elements] != [*(name for name, _ in columns), key_name]:
        raise malformed()
    found = [dict(_ATTRIBUTE.findall(attributes)) for _, attributes in elements]
    key = guid(found[-1].get("last", "").strip("{}"))
    if key is None:
        raise malformed()
    values = tuple(_read(column, each) for (_, column), each in zip(columns, found, strict=False))
    return Place(page=int(match[1]), values=values, key=key)


def _read(column: Column, attributes: Mapping[str, str]) -> Any:
    if "last" not in attributes:
        if attributes.get("lastnull") == "1":
            return None
        raise malformed()
    text = unescape(attributes["last"])
    try:
        if column.kind == "Double":
            return float(text)
        if column.kind in _NUMBERS:
            number = Decimal(text)
            if not number.is_finite():
                raise malformed()
            return number
    except (ValueError, ArithmeticError):
        raise malformed() from None
    return text == "1" if column.kind == "Boolean" else text


def outer_cookie(page: int, inner: str) -> str:
    """As `$skiptoken` has it: encoded once in here, and once more as part of the URL (dataverse-api §2.8)."""
    return f'<cookie pagenumber="{page}" pagingcookie="{_encoded(inner)}" istracking="False" />'


def annotation_cookie(page: int, inner: str) -> str:
    """As FetchXML's annotation has it: encoded twice (dataverse-api §2.9)."""
    return f'<cookie pagenumber="{page}" pagingcookie="{_encoded(_encoded(inner))}" istracking="False" />'


def _encoded(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quote(text, safe=""))


def read_outer(token: str) -> str:
    """The inner cookie of a `$skiptoken`; one that was encoded once more on its way is taken too."""
    match = _OUTER.fullmatch(token.strip())
    if match is None:
        raise malformed()
    inner = unquote(match[2])
    return inner if inner.startswith("<") else unquote(inner)
