"""Made-up values in place of real ones, of the same shape and length: for examples that are shown to others.

The same value becomes the same made-up one, word by word, as long as the key is the same; the key is thrown away, so
that nobody can try values until one fits. What is a word of the system and of nobody (choices, countries, yes and no)
stays: without it an example would show nothing.
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import phonenumbers

Day = TypeVar("Day", date, datetime)

_VOWELS: Final = "aeiouy"
_CONSONANTS: Final = "bcdfghjklmnpqrstvwxz"
_URL: Final = re.compile(r"((?:\w+://)?(?:www\.)?)([^/?#]*)(.*)", re.DOTALL)
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_NEIGHBOURS: Final = 64  # letters of other scripts become one of those around them
_WEEKS: Final = 150


@dataclass(kw_only=True)
class Masker:
    key: bytes
    _links: dict[tuple[str, str], str] = field(default_factory=dict)

    def text(self, value: str) -> str:
        return _WORD.sub(lambda found: self._word(found[0]), unicodedata.normalize("NFC", value))

    def email(self, value: str) -> str:
        """In a domain that nobody can own."""
        local, at, domain = value.rpartition("@")
        return f"{self.text(local)}{at}{self._host(domain)}" if at else self.text(value)

    def url(self, value: str) -> str:
        found = _URL.fullmatch(value.strip())
        assert found is not None, "it fits any text"
        scheme, host, rest = found.groups()
        return f"{scheme}{self._host(host)}{self.text(rest)}"

    def phone(self, value: str) -> str:
        """The code of the country stays: it decides how the number is read."""
        keep = 0
        if value.strip().startswith("+"):
            try:
                keep = len(str(phonenumbers.parse(value).country_code))
            except phonenumbers.NumberParseException:
                keep = 0
        digits = self._word("".join(c for c in value if c.isdigit())[keep:])
        made = iter(digits)
        seen = 0
        parts: list[str] = []
        for c in value:
            seen += c.isdigit()
            parts.append(next(made) if c.isdigit() and seen > keep else c if not c.isalpha() else self._word(c))
        return "".join(parts)

    def number(self, value: Any) -> Any:
        """As many digits, the same sign, as many decimals."""
        sign, digits = ("-", str(value)[1:]) if str(value).startswith("-") else ("", str(value))
        whole, dot, rest = digits.partition(".")
        made = f"{sign}{self._word(whole)}{dot}{rest if not rest.strip('0') else self._word(rest)}"
        return int(made) if isinstance(value, int) else Decimal(made)

    def day(self, value: Day) -> Day:
        """The same weekday, some weeks earlier; the distance between two days stays."""
        weeks = 1 + self._stream("days")[0] % _WEEKS
        return value - timedelta(weeks=weeks)

    def link(self, entity: str, id: str) -> str:
        known = sum(kind == entity for kind, _ in self._links)
        return self._links.setdefault((entity, id), f"{entity}-{known + 1}")

    # --- words ----------------------------------------------------------------------------------------------------

    def _host(self, host: str) -> str:
        labels = host.split(".")
        return (
            ".".join([*(self.text(label) for label in labels[:-1]), "example"]) if len(labels) > 1 else self.text(host)
        )

    def _word(self, word: str) -> str:
        stream = iter(self._bytes(word.casefold()))
        return "".join(_letter(c, next(stream), first=n == 0) for n, c in enumerate(word))

    def _bytes(self, text: str) -> Iterator[int]:
        number = 0
        while True:
            yield from self._stream(f"{number}:{text}")
            number += 1

    def _stream(self, text: str) -> bytes:
        return hmac.new(self.key, text.encode(), hashlib.sha256).digest()


def _letter(c: str, chance: int, *, first: bool) -> str:
    """Another letter of its kind, never itself; a zero that stands alone or leads stays one."""
    if c.isdigit():
        if not c.isascii() or (first and c == "0"):
            return c
        others = [d for d in "123456789" if d != c] if first else [d for d in "0123456789" if d != c]
        return others[chance % len(others)]
    if not c.isalpha():
        return c
    base, marks = unicodedata.normalize("NFD", c)[0], unicodedata.normalize("NFD", c)[1:]
    lower = base.lower()
    pool = _VOWELS if lower in _VOWELS else _CONSONANTS if lower in _CONSONANTS else ""
    if not pool:
        start = ord(c) - ord(c) % _NEIGHBOURS
        near = [chr(n) for n in range(start, start + _NEIGHBOURS)]
        others = [d for d in near if d != c and unicodedata.category(d) == unicodedata.category(c)]
        return others[chance % len(others)] if others else c
    others = [d for d in pool if d != lower]
    made = others[chance % len(others)]
    whole = unicodedata.normalize("NFC", (made.upper() if base.isupper() else made) + marks)
    return whole if len(whole) == 1 else whole[0]
