"""What a terminal would obey is shown as text (reliability §11): a lead's name is written by strangers.

Escape sequences move the cursor, set titles, and on some terminals type for the user; a carriage return paints over
what was said before; marks that turn the direction of writing make one host look like another.
"""

import re
from typing import Final

# C0 but tab and line end, DEL and C1 (0x9b is an escape sequence by itself), separators that some take for line ends,
# marks of direction, and half surrogates, which no stream can encode.
_OBEYED: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_LINE_ENDS: Final = re.compile("[\t\n]")


def printable(text: str) -> str:
    """For our own texts, which may have several lines."""
    return _OBEYED.sub(_escape, text)


def one_line(text: str) -> str:
    """For a value that must not look like another line, or another column, of ours."""
    return _LINE_ENDS.sub(_escape, printable(text))


def json_text(document: str) -> str:
    """JSON as it was, with what a terminal obeys written as JSON writes a character below a blank."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    short = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(found[0])
    return short or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")
