"""Record ids: 15 characters that mind their case, or 18 with a suffix that carries the case (salesforce-api §10)."""

import re
from typing import Final

_SUFFIX: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in ASCII order: ids sort by age
_FORM: Final = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")


def id18(short: str) -> str:
    """The 18-character form of a 15-character id."""
    return short + "".join(
        _SUFFIX[sum(1 << bit for bit, char in enumerate(short[start : start + 5]) if "A" <= char <= "Z")]
        for start in (0, 5, 10)
    )


def canonical(text: str) -> str | None:
    """The id as 18 characters, or None where the text is no id; of 18 characters the suffix decides the case."""
    if not _FORM.fullmatch(text):
        return None
    if len(text) == 15:
        return id18(text)
    chars: list[str] = []
    for group, suffix in enumerate(text[15:].upper()):
        bits = _SUFFIX.find(suffix)
        for bit, char in enumerate(text[group * 5 : group * 5 + 5]):
            chars.append(char.upper() if bits >> bit & 1 else char.lower())
    repaired = id18("".join(chars))
    return repaired if repaired[15:] == text[15:].upper() else None


def has_form(text: str) -> bool:
    """Looks like an id, whatever its suffix says."""
    return _FORM.fullmatch(text) is not None


def base62(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


_FIRST: Final = 62**6  # where the counting of an object's ids begins


def counted(key: str) -> int:
    """The how manyth of its object's ids it is; ids that came from elsewhere have a number as well."""
    number = 0
    for char in key[6:15]:
        number = number * 62 + _DIGITS.index(char)
    return (number - _FIRST) % 10**7


class Sequence:
    """New ids of one org: prefix of the object, three characters of the instance, nine that count up."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._last: dict[str, int] = {}

    def next(self, prefix: str) -> str:
        number = self._last.get(prefix, _FIRST) + 1
        self._last[prefix] = number
        return id18(prefix + self.instance + base62(number, 9))
