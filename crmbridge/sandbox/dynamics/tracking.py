"""Change tracking: `Prefer: odata.track-changes`, delta links, deletions and their expiry (dataverse-api §3)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context, answer, query_options
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query
from crmbridge.sandbox.dynamics.reading import PAGE_ROWS_MAX, Projection, applied
from crmbridge.sandbox.dynamics.tables import Table

_TIME = "%m/%d/%Y %H:%M:%S"
_DELTA_TOKEN = re.compile(r"(\d+)!(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)")
_PAGE_TOKEN = re.compile(
    r'<cookie pagenumber="(\d+)" pagingcookie="(\d+),(\d+),(\d+),(\d),([^"]*)" istracking="True" />'
)
_PAGE = '<cookie pagenumber="{}" pagingcookie="{},{},{},{:d},{}" istracking="True" />'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One read through the changes: everything after `since` up to `until`, whatever happens meanwhile.

    A row that changes while pages are read has a later version: it is left to the next round.
    """

    since: int  # 0 = the initial read of the whole table
    until: int
    position: int  # versions up to this one were already sent
    deletions: bool = False  # rows are through, deletions follow
    page: int = 1
    started: str = ""


def is_tracked(ctx: Context, options: dict[str, str]) -> bool:
    return (
        ctx.prefer.track_changes
        or "$deltatoken" in options
        or bool(_PAGE_TOKEN.fullmatch(options.get("$skiptoken", "")))
    )


def read_changes(ctx: Context, table: Table, url: str) -> Reply:
    options, _ = query_options(ctx.query)
    if not table.change_tracking:  # status (unverified)
        raise DataverseError(400, "0x80072491", f"Change tracking is not enabled for entity {table.name}.")
    if unwanted := sorted(set(options) - {"$select", "$skiptoken", "$deltatoken"}):  # status (unverified)
        raise bad_query(f'The "{unwanted[0]}" query parameter isn\'t supported when Change Tracking is enabled.')
    current = _round(ctx, options)
    projection = Projection(ctx, table, options)
    size = ctx.prefer.page_size or PAGE_ROWS_MAX
    found: list[dict[str, Any]] = []
    position, deletions = current.position, current.deletions
    rows = ctx.store.rows(table.name)
    if not deletions:
        for version, key in islice(ctx.store.changed(table.name, position, current.until), size + 1):
            if len(found) == size:
                break
            found.append(projection(rows[key]))
            position = version
        else:
            deletions, position = True, current.since
    # the first read reports no deletions: dataverse-api §3.2
    finished = deletions and current.since == 0
    if deletions and not finished:
        for version, key in islice(ctx.store.deleted(table.name, position, current.until), size - len(found) + 1):
            if len(found) == size:
                break
            found.append(
                {
                    "@odata.context": f"{ctx.base}/$metadata#{table.set_name}/$deletedEntity",
                    "id": key,
                    "reason": "deleted",
                }
            )
            position = version
        else:
            finished = True
    suffix = "/$delta" if current.since else ""
    body: dict[str, Any] = {"@odata.context": f"{ctx.base}/$metadata#{table.set_name}{projection.context}{suffix}"}
    select = f"$select={options['$select']}&" if "$select" in options else ""
    if finished:
        token = f"{current.until}!{current.started}"
        body["@odata.deltaLink"] = f"{url}?{select}$deltatoken={_lower_quoted(token)}"
    else:
        cookie = _PAGE.format(current.page + 1, current.since, current.until, position, deletions, current.started)
        body["@odata.nextLink"] = f"{url}?{select}$skiptoken={quote(cookie, safe='')}"
    body["value"] = found
    return answer(body, headers=applied(ctx, *(["odata.track-changes"] if ctx.prefer.track_changes else [])))


def count_changes(ctx: Context, table: Table) -> Reply:
    """`leads/$count?$deltatoken=…`"""
    options, _ = query_options(ctx.query)
    current = _round(ctx, options)
    total = sum(1 for _ in ctx.store.changed(table.name, current.since, current.until))
    total += sum(1 for _ in ctx.store.deleted(table.name, current.since, current.until))
    return Reply(
        status=200,
        headers=(("Content-Type", "text/plain"), ("OData-Version", "4.0")),
        body=b"\xef\xbb\xbf" + str(total).encode(),
    )


def _lower_quoted(token: str) -> str:
    """As the real link has it: `919042%2108%2f22%2f2026%2008%3a10%3a44`."""
    return re.sub("%..", lambda match: match[0].lower(), quote(token, safe="").replace("!", "%21"))


def _round(ctx: Context, options: dict[str, str]) -> _Round:
    now = ctx.now.astimezone(UTC).strftime(_TIME)
    if "$skiptoken" in options:
        match = _PAGE_TOKEN.fullmatch(options["$skiptoken"])
        if match is None:
            raise bad_query("Malformed XML in the Paging Cookie")
        page, since, until, position, deletions, started = match.groups()
        return _Round(
            since=int(since),
            until=int(until),
            position=int(position),
            deletions=deletions == "1",
            page=int(page),
            started=started,
        )
    if "$deltatoken" not in options:
        return _Round(since=0, until=ctx.store.version, position=0, started=now)
    version, taken = _read_delta_token(options["$deltatoken"])
    days = _kept_days(ctx)
    if ctx.now - taken > timedelta(days=days):  # dataverse-api §3.3; status (unverified)
        raise DataverseError(
            400,
            "0x80044352",
            "Version stamp associated with the client has expired. Please perform a full sync.",
        )
    return _Round(since=version, until=max(version, ctx.store.version), position=version, started=now)


def _read_delta_token(token: str) -> tuple[int, datetime]:
    match = _DELTA_TOKEN.fullmatch(token)
    try:
        if match is not None:
            return int(match[1]), datetime.strptime(match[2], _TIME).replace(tzinfo=UTC)
    except ValueError:
        pass  # a day that the calendar lacks
    raise bad_query(f"The delta token '{token}' is not valid.")  # code (unverified)


def _kept_days(ctx: Context) -> int:
    """organization.expirechangetrackingindays can be set by an administrator."""
    organization = next(iter(ctx.store.rows("organization").values()), {})
    return organization.get("expirechangetrackingindays", ctx.shape.organization.expirechangetrackingindays)
