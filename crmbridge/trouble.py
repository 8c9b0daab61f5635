"""Where an error happened, for reports and logs that others read.

An exception's text may hold a customer's value or a token, and so may the variables around it, so types and places
are told.
"""

import traceback


def where(error: BaseException) -> list[str]:
    """Types and frames, the cause of each below it."""
    lines: list[str] = []
    link: BaseException | None = error
    while link is not None:
        lines.append(f"{type(link).__module__}.{type(link).__qualname__}")
        for frame in traceback.extract_tb(link.__traceback__):
            lines.append(f"  {_short(frame.filename)}:{frame.lineno} in {frame.name}")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return lines


def _short(path: str) -> str:
    """A path without the part that tells about the machine it is on."""
    parts = path.replace("\\", "/").split("/")
    for root in ("site-packages", "crmbridge", "connectors", "mapping", "workers"):
        if root in parts:
            place = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[place + (root == "site-packages") :])
    return parts[-1]
