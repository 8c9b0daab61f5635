"""Texts that leave the house: without people, hosts, ids and secrets. What is not known to be harmless is taken out."""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlsplit

_EMAIL: Final = re.compile(r"[\w.+%'-]+@[\w-]+(?:\.[\w-]+)+")
_URL: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://[^\s\"'<>)\]}]*", re.IGNORECASE)
_GUID: Final = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
# 15 or 18 letters and digits, at least one of each, as no word is.
_SALESFORCE_ID: Final = re.compile(r"\b(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?\b")
_TOKEN: Final = re.compile(r"\b(?:eyJ[\w-]+(?:\.[\w-]+)*|00D[A-Za-z0-9]{12,15}![\w.]+|[A-Za-z0-9+/_~-]{32,}=*)")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_PHONE: Final = re.compile(r"(?<![\w:.-])\+?\d[\d\s()/.-]{6,}\d(?![\w:-])")
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\d")
_KNOWN_MIN: Final = 4  # shorter words stand everywhere


@dataclass(frozen=True, kw_only=True)
class Masker:
    """Ids become words that are the same within one report, and in no other: the key is made for it alone."""

    key: bytes
    secrets: tuple[str, ...] = ()  # what must not be in there whatever it looks like
    hosts: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)  # what people call something -> what it is called here

    def id(self, text: str) -> str:
        return "id-" + hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()[:10]

    def text(self, text: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        for host in sorted(self.hosts, key=len, reverse=True):
            text = re.sub(re.escape(host), "[host]", text, flags=re.IGNORECASE)
        for name, here in self.names.items():
            text = re.sub(rf"\b{re.escape(name)}\b", here, text)
        text = _URL.sub(lambda hit: f"{hit['scheme'].lower()}://[host]", text)
        text = _BEARER.sub(lambda hit: f"{hit[1]} [token]", text)
        text = _EMAIL.sub("[e-mail]", text)
        text = _GUID.sub(lambda hit: self.id(hit[0].lower()), text)
        text = _SALESFORCE_ID.sub(lambda hit: self.id(hit[0]), text)
        text = _TOKEN.sub("[token]", text)
        return _PHONE.sub(lambda hit: hit[0] if _STAMP.search(hit[0]) else "[number]", text)

    def all(self, value: Any) -> Any:
        """A JSON document with every text in it masked, keys too."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(name)): self.all(inner) for name, inner in value.items()}
            case bool() | int() | float() | None:
                return value
            case datetime() | date():
                return value.isoformat()
            case Iterable():
                return [self.all(inner) for inner in value]
            case _:
                return self.text(str(value))


def masker(
    key: bytes, secrets: Collection[str], urls: Collection[str], names: Mapping[str, str] | None = None
) -> Masker:
    hosts: set[str] = set()
    for url in urls:
        try:
            hosts |= {host} if (host := urlsplit(url).hostname) else set()
        except ValueError:
            continue  # no URL
    known = tuple(sorted({secret for secret in secrets if len(secret) >= _KNOWN_MIN}))
    long = tuple(sorted(host for host in hosts if len(host) >= _KNOWN_MIN))
    return Masker(key=key, secrets=known, hosts=long, names=dict(names or {}))
