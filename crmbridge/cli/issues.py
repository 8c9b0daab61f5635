"""`crmbridge issues`, `retry` and `resolve`: what waits for a person, and the person's answer with who and why."""

import getpass
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.cli.joining import join
from crmbridge.cli.sync import issue_document
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, Entity, Link, Side, other
from crmbridge.oncall import page_of

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store
    from crmbridge.state.words import Issue

CHOICES_META: Final = "choices"  # {"lead.industry": "left"}: what was decided for a whole field

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_by = click.option("--by", default=None, metavar="NAME", help="Who decides; default: the user of this system.")
_why = click.option("--why", default="", metavar="TEXT", help="Kept with the decision.")
_entity = click.option("--entity", type=click.Choice(ENTITIES), help="Only about this kind of record.")
_cause = click.option("--cause", help="All of this cause.")
KINDS = ("held", "failed", "waiting", "report")
_KINDS = click.Choice(KINDS)
_kinds = click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=_KINDS,
    help="Default: held and failed, which need somebody; with CAUSE all. May be given several times.",
)
_kinds_all = click.option("--kind", "kinds", multiple=True, type=_KINDS, help="All of this kind; may be given again.")
RECORDS_SHOWN: Final = 20
_OF_RECORDS: Final = frozenset({"claimed", "left_out"})  # their field is the record that is waited for: each another
FIXES_SHOWN: Final = 3  # of a cause, where it is only summed up


# --- issues -------------------------------------------------------------------------------------------------------


@click.command("issues")
@click.argument("listed", metavar="[CAUSE]", required=False)
@_entity
@click.option("--cause", help="Only of this cause; the same as CAUSE.")
@_kinds
@click.option(
    "--records", type=click.IntRange(0, 10_000), default=None, help="Records shown of each cause; with CAUSE 20."
)
@_json
@click.pass_obj
def issues(
    place: Place,
    listed: str | None,
    entity: Entity | None,
    cause: str | None,
    kinds: tuple[str, ...],
    records: int | None,
    as_json: bool,
) -> int:
    """What is held or failed: by cause, how many, what to do, and the page that explains it; with CAUSE the records.

    Exits 1 while there is some.
    """
    connections = names(place.settings())
    if listed is not None and cause is not None and listed != cause:
        raise click.UsageError("CAUSE and --cause name two causes.")
    cause = listed or cause
    wanted = kinds or (KINDS if cause is not None else ("held", "failed"))
    with place.store() as store:
        found = [one for one in store.open_issues(entity=entity, cause=cause) if one.kind in wanted]
        where = places(store, found, connections)
    groups = by_cause(found)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(
            {
                "ok": not found,
                "count": len(found),
                "causes": [
                    {
                        "cause": name,
                        "kind": some[0].kind,
                        "entity": some[0].entity,
                        "count": len(some),
                        "oldest": min((one.opened_at for one in some if one.opened_at), default=None),
                        "fix": some[0].fix,
                        "page": page_of(name),
                        "issues": [issue_document(one) for one in some],
                    }
                    for (_, name, _), some in groups.items()
                ],
            }
        )
    else:
        shown = records if records is not None else RECORDS_SHOWN if cause is not None else 0
        _print_issues(groups, where, shown)
    return 1 if any(one.kind in {"held", "failed"} for one in found) else 0


def by_cause(found: "Iterable[Issue]") -> "dict[tuple[str, str, str], list[Issue]]":
    groups: dict[tuple[str, str, str], list[Issue]] = defaultdict(list)
    for one in found:
        field = "" if one.cause in _OF_RECORDS else one.field or ""
        groups[(one.entity, one.cause, field)].append(one)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def places(store: "Store", found: "Iterable[Issue]", connections: Mapping[Side, str]) -> dict[int, str]:
    """Where the records of issues are, by the names of the connections."""
    issues = list(found)
    links = store.links(sorted({one.link_id for one in issues if one.link_id}))
    where: dict[int, str] = {}
    for one in issues:
        link = links.get(one.link_id or "")
        ids: Mapping[Side | None, str | None] = link_ids(link) if link else {one.side: one.native_id}
        where[one.id or 0] = ", ".join(f"{connections[side]} {id}" for side, id in ids.items() if side and id)
    return where


def link_ids(link: Link) -> dict[Side | None, str | None]:
    return {"left": link.left_id, "right": link.right_id}


def _print_issues(groups: "Mapping[tuple[str, str, str], list[Issue]]", where: Mapping[int, str], records: int) -> None:
    from crmbridge.cli.output import head, many, say, table

    if not groups:
        say("No open issues.")
        return
    table(
        ["count", "cause", "kind", "entity", "field", "oldest (UTC)"],
        [
            [
                len(some),
                cause,
                some[0].kind,
                entity,
                field,
                min((one.opened_at for one in some if one.opened_at), default=None),
            ]
            for (entity, cause, field), some in groups.items()
        ],
        right=["count"],
    )
    for cause, some in _by_name(groups).items():
        head(f"{cause}: {many(len(some), 'record')}")
        fixes = list(dict.fromkeys(one.fix for one in some if one.fix))
        for fix in fixes if records else fixes[:FIXES_SHOWN]:
            say(f"  What to do: {fix}")
        if not records and len(fixes) > FIXES_SHOWN:
            say(f"  ... and {len(fixes) - FIXES_SHOWN} more like it, one for each field or choice")
        say(f"  More: {page_of(cause)}")
        if not records:
            say(f"  Records: crmbridge issues {cause}")
            continue
        table(
            ["issue", "kind", "entity", "record", "field", "what", "tries", "next try (UTC)"],
            [
                [
                    one.id,
                    one.kind,
                    one.entity,
                    where[one.id or 0],
                    one.field,
                    one.message,
                    one.attempts,
                    one.next_try_at,
                ]
                for one in some[:records]
            ],
        )
        if len(some) > records:
            say(f"  {len(some) - records} more: crmbridge issues {cause} --records {len(some)}")


def _by_name(groups: "Mapping[tuple[str, str, str], list[Issue]]") -> "dict[str, list[Issue]]":
    """A cause is explained once, whatever it is about."""
    causes: dict[str, list[Issue]] = defaultdict(list)
    for (_, cause, _), some in groups.items():
        causes[cause].extend(some)
    return causes


# --- which ones ---------------------------------------------------------------------------------------------------


def _chosen(
    store: "Store", *, ids: tuple[int, ...], cause: str | None, entity: Entity | None, kinds: tuple[str, ...]
) -> list[int]:
    """Open issues by number, or by what they have in common."""
    if ids:
        return list(ids)
    found = store.open_issues(cause=cause, entity=entity)
    return [one.id for one in found if one.id is not None and (not kinds or one.kind in kinds)]


def _say_why(why: str, *, several: bool) -> None:
    if several and not why.strip():
        raise click.UsageError("Several at once need --why: it is kept with each of them.")


# --- retry --------------------------------------------------------------------------------------------------------


@click.command("retry")
@click.argument("issue_ids", metavar="[ISSUE]...", nargs=-1, type=int)
@click.option("--all", "every", is_flag=True, help="All that is open.")
@_cause
@_entity
@_kinds_all
@_by
@_why
@_json
@click.pass_obj
def retry(
    place: Place,
    issue_ids: tuple[int, ...],
    every: bool,
    cause: str | None,
    entity: Entity | None,
    kinds: tuple[str, ...],
    by: str | None,
    why: str,
    as_json: bool,
) -> None:
    """Try held or failed records again in the next sync, though nothing about them has changed: by number, by cause,
    kind of record or kind of issue, or all. Several at once need --why."""
    by_filter = bool(cause or entity or kinds)
    if bool(issue_ids) + every + by_filter != 1:
        raise click.UsageError("Give either the numbers of issues, or --cause, --entity, --kind, or --all.")
    _say_why(why, several=len(issue_ids) != 1)
    with place.store() as store:
        chosen = None if every else _chosen(store, ids=issue_ids, cause=cause, entity=entity, kinds=kinds)
        count = store.release_issues(chosen, by or getpass.getuser(), why)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": True, "released": count})
    else:
        from crmbridge.cli.output import many

        click.echo(f"{many(count, 'issue')} will be tried again in the next sync.")


# --- resolve ------------------------------------------------------------------------------------------------------


@click.command("resolve")
@click.argument("issue_id", metavar="[ISSUE]", required=False, type=int)
@click.option("--with", "partner", metavar="NATIVE_ID", help="The record on the other side that it is the same as.")
@click.option("--into", metavar="RECORD", help="The record there that a held conversion takes.")
@click.option(
    "--without-conversion",
    is_flag=True,
    help="Give up a refused conversion: what the lead became crosses as ordinary records.",
)
@click.option("--field", metavar="ENTITY.FIELD", help="Decide the conflicts of a whole field, e.g. lead.industry.")
@click.option("--prefer", metavar="CONNECTION", help="With --field: whose value counts.")
@_cause
@_entity
@_kinds_all
@_by
@_why
@_json
@click.pass_obj
def resolve(
    place: Place,
    issue_id: int | None,
    partner: str | None,
    into: str | None,
    without_conversion: bool,
    field: str | None,
    prefer: str | None,
    cause: str | None,
    entity: Entity | None,
    kinds: tuple[str, ...],
    by: str | None,
    why: str,
    as_json: bool,
) -> None:
    """Decide what was held: close an issue or all of a cause, name the right partner, say what becomes of a conversion,
    or choose a side for a whole field. Several at once, by --cause, --entity or --kind, need --why."""
    several = bool(cause or entity or kinds)
    if (issue_id is not None) + (field is not None) + several != 1:
        raise click.UsageError("Give either the number of an issue, or --field with --prefer, or --cause.")
    _say_why(why, several=several)
    if (prefer is not None and field is None) or (partner is not None and issue_id is None):
        raise click.UsageError("--with goes with the number of an issue, --prefer with --field.")
    if (into is not None or without_conversion) and issue_id is None:
        raise click.UsageError("--into and --without-conversion go with the number of an issue.")
    if (partner is not None) + (into is not None) + without_conversion > 1:
        raise click.UsageError("Give one of --with, --into and --without-conversion.")
    who = by or getpass.getuser()
    settings = place.settings()
    connections = names(settings)
    with place.store() as store:
        if several:
            told = _close_all(store, cause, entity, kinds, who, why)
        elif field is not None:
            told = _choose(place, store, field, prefer, connections, who, why)
        elif into is not None or without_conversion:
            assert issue_id is not None
            told = _conversion(store, settings, issue_id, into, connections, who, why)
        else:
            assert issue_id is not None
            told = _decide(store, issue_id, partner, connections, who, why)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": True, **told})
    else:
        click.echo(told["message"])


def _close_all(
    store: "Store", cause: str | None, entity: Entity | None, kinds: tuple[str, ...], by: str, why: str
) -> dict[str, Any]:
    from crmbridge.cli.output import many

    closed = store.close_issues(_chosen(store, ids=(), cause=cause, entity=entity, kinds=kinds), by, why)
    told = f"{many(closed, 'issue')} {'is' if closed == 1 else 'are'} closed."
    return {"closed": closed, "message": f"{told} Each opens again if its cause is found there again."}


def _choose(
    place: Place, store: "Store", field: str, prefer: str | None, connections: Mapping[Side, str], by: str, why: str
) -> dict[str, Any]:
    """One choice for a whole field (lifecycle §8); its held conflicts are tried again."""
    from crmbridge import wiring
    from crmbridge.cli.output import many

    if prefer is None:
        raise click.UsageError(f"--field wants --prefer: {' or '.join(connections.values())}.")
    side = next((side for side, name in connections.items() if name == prefer), None)
    if side is None:
        raise ConfigError(
            f"--prefer {prefer}: there is no such connection; there are {', '.join(connections.values())}."
        )
    entity, _, name = field.partition(".")
    document = next((one for one in wiring.load_mapping(place.settings()) if one.entity == entity), None)
    if document is None or name not in document.fields:
        from mapping.problem import closest

        near = closest(name, document.fields) if document else None
        hint = f" Did you mean {entity}.{near}?" if near else ""
        raise ConfigError(f"--field {field}: the mappings have no such field.{hint}", fix="Write it as lead.industry.")
    choices: dict[str, str] = json.loads(store.meta(CHOICES_META) or "{}")
    choices[field] = side
    store.set_meta(CHOICES_META, json.dumps(choices, sort_keys=True))
    held = [one for one in store.open_issues(entity=document.entity) if one.field == name and one.id is not None]
    released = store.release_issues([one.id for one in held if one.id is not None], by, why or f"prefer {prefer}")
    return {
        "field": field,
        "prefer": prefer,
        "released": released,
        "message": f"{field}: where it differs and was never agreed on, {prefer}'s value counts from now on. "
        f"{many(released, 'held record')} will be tried again in the next sync.",
    }


def _open_issue(store: "Store", issue_id: int) -> "Issue":
    issue = store.issue(issue_id)
    if issue is None or issue.closed_at is not None:
        raise ConfigError(f"There is no open issue {issue_id}.", fix="`crmbridge issues` lists those that are open.")
    return issue


def _conversion(
    store: "Store",
    settings: "Settings",
    issue_id: int,
    into: str | None,
    connections: Mapping[Side, str],
    by: str,
    why: str,
) -> dict[str, Any]:
    from crmbridge.cli import conversions

    issue = _open_issue(store, issue_id)
    if into is not None:
        return conversions.into(store, settings, issue, into, connections, by, why)
    return conversions.without(store, settings, issue, connections, by, why)


def _decide(
    store: "Store", issue_id: int, partner: str | None, connections: Mapping[Side, str], by: str, why: str
) -> dict[str, Any]:
    issue = _open_issue(store, issue_id)
    if partner is None:
        store.close_issue(issue_id, by, why)
        return {
            "issue": issue_id,
            "message": f"Issue {issue_id} is closed. It opens again if its cause is found there again.",
        }
    link = _join(store, issue, partner, connections, by, why)
    store.close_issue(issue_id, by, why)
    return {
        "issue": issue_id,
        "shared_id": link.id,
        "ids": {connections["left"]: link.left_id, connections["right"]: link.right_id},
        "message": f"Linked as {link.id}; the next sync compares the two and fills what is blank.",
    }


def _join(store: "Store", issue: "Issue", partner: str, connections: Mapping[Side, str], by: str, why: str) -> Link:
    """Say that two records are the same one."""
    if issue.side is None or issue.native_id is None or issue.link_id is not None:
        raise ConfigError(
            f"Issue {issue.id} is not about a record without partner, so --with has no meaning there.",
            fix=f"`crmbridge resolve {issue.id}` closes it; `crmbridge retry {issue.id}` tries again.",
        )
    ids: dict[Side, str] = {issue.side: issue.native_id, other(issue.side): partner}
    return join(store, issue.entity, ids, connections, by, why, about=issue.id)
