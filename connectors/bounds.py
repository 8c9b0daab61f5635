"""How deep an answer may be nested and how long a number in it may be; beyond that no CRM speaks (reliability §11).

A JSON reader calls itself for each level, and gives up in the middle of our work; a number of ten characters may stand
for one of a billion digits. So both are looked for before anything reads the answer.
"""

import re
from typing import Final

NESTING_MAX: Final = 64
DIGITS_MAX: Final = 400  # a double has 309 before its point

_string: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# Where a value may stand, so that neither an id in a header nor a boundary is taken for one.
_number: Final = re.compile(rb"(?:^|[:,\[\s])-?(?:\d{%d}|[\d.]+[eE][+-]?0*\d{4,}(?:[\s,\]}]|$))" % DIGITS_MAX)
_all_but_brackets: Final = bytes(set(range(256)) - set(b"[]{}"))


def beyond(content_type: str, body: bytes) -> str | None:
    """What is wrong with an answer in JSON, or in parts of JSON; None where nothing is."""
    if not ("json" in content_type or "multipart" in content_type or body.lstrip()[:1] in (b"{", b"[")):
        return None
    bare = _string.sub(b"", body)
    if _number.search(bare):
        return f"holds a number of more than {DIGITS_MAX} digits"
    brackets = bare.translate(None, _all_but_brackets)
    for _ in range(NESTING_MAX):  # each round takes the innermost level away
        inner = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(inner) == len(brackets):
            break  # nothing is left; or what is left is never closed, and a reader goes as deep before it sees that
        brackets = inner
    return f"is nested deeper than {NESTING_MAX} levels" if len(brackets) > NESTING_MAX else None
