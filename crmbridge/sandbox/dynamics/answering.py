"""What answers to reads have in common: counts at the top, preferences that were honoured, plain text (dataverse-api
§2.2, §2.8).
"""

from typing import Any

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import bad_query

PAGE_ROWS_MAX = 5000
_PREFIX = "Microsoft.Dynamics.CRM."


def read_count(options: dict[str, str]) -> bool:
    """dataverse-api §2.8"""
    text = options.get("$count", "false")
    if text not in {"true", "false"}:
        raise bad_query(f"Invalid value '{text}' for $count query option found. Valid values are 'true', 'false'.")
    return text == "true"


def read_top(text: str) -> int:
    """dataverse-api §2.3"""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= PAGE_ROWS_MAX:
        raise bad_query(
            f"Invalid value '{text}' for $top query option found. It must be between 1 and {PAGE_ROWS_MAX}."
        )
    return int(text)


def counts(ctx: Context, total: int | None) -> dict[str, Any]:
    """The annotations at the top, and the count where it was asked: at most 5000 (dataverse-api §2.2, §2.8)."""
    found: dict[str, Any] = {}
    for name, value in (
        ("totalrecordcount", -1 if total is None else min(total, PAGE_ROWS_MAX)),
        ("totalrecordcountlimitexceeded", total is not None and total > PAGE_ROWS_MAX),
        ("globalmetadataversion", "1000000"),
    ):
        if ctx.prefer.wants(_PREFIX + name):
            found[f"@{_PREFIX}{name}"] = value
    return found


def applied(ctx: Context, *more: str, paged: bool = True) -> list[tuple[str, str]]:
    """The preferences that were honoured; a write has no pages."""
    names = list(more)
    if paged and ctx.prefer.page_size is not None:
        names.append(f"odata.maxpagesize={ctx.prefer.page_size}")
    if ctx.prefer.annotations:
        names.append(f'odata.include-annotations="{",".join(ctx.prefer.annotations)}"')
    return [("Preference-Applied", ",".join(names))] if names else []


def plain_text(text: str) -> Reply:
    return Reply(
        status=200,
        headers=(("Content-Type", "text/plain"), ("OData-Version", "4.0")),
        body=b"\xef\xbb\xbf" + text.encode(),
    )
