"""Addresses as clients write them: what is none has no parts, instead of raising."""

from urllib.parse import SplitResult, urlsplit

_NOTHING = urlsplit("")


def split(text: str) -> SplitResult:
    """As `urlsplit`; a bracket that is not closed or a port that is no number is an address of nothing."""
    try:
        found = urlsplit(text)
        _ = found.hostname, found.port
    except ValueError:
        return _NOTHING
    return found
