"""`crmbridge status` and `crmbridge runs`: how things stand, from the store alone; no CRM is asked."""

from typing import Any

import rich_click as click

from crmbridge import drift
from crmbridge.cli.alerts import alarms_document, print_alarms
from crmbridge.cli.context import Place, names
from crmbridge.cli.limits import limits, print_limits
from crmbridge.cli.standing import print_standing, standing
from crmbridge.model import ENTITIES, SIDES

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("status")
@_json
@click.pass_obj
def status(place: Place, as_json: bool) -> None:
    """How things stand: who is at work, how far it is behind, what waits, is paused, held or failed. Asks the store
    only."""
    from crmbridge.sync.hands import LEASE_NAME
    from crmbridge.sync.replan import VERSION_META
    from crmbridge.wiring import BROKEN_META
    from workers.broker import away_for

    settings = place.settings()
    connections = names(settings)
    with place.store() as store:
        holder = store.lease_holder(LEASE_NAME)
        document: dict[str, Any] = {
            "store": store.place,
            "at_work": {"host": holder[0], "pid": holder[1], "since": holder[2]} if holder else None,
            "organizations": {connections[side]: store.meta(f"org:{side}") for side in SIDES},
            "last_run": next(iter(run_document(run) for run in store.runs(limit=1)), None),
            "records": {
                entity: {
                    "linked": store.count_links(entity),
                    **{connections[side]: store.count_records(side, entity) for side in SIDES},
                    "first_run_done": store.meta(f"first_run:{entity}") is not None,
                }
                for entity in ENTITIES
            },
            "read_at": {f"{connections[side]} {source}": at for (side, source), at in sorted(store.cursors().items())},
            "open_issues": store.count_issues(),
            "mapping": store.meta(VERSION_META),
            "configuration_broken": (store.meta(BROKEN_META) or "").splitlines(),
            "broker_away_seconds": None if (away := away_for(store)) is None else away.total_seconds(),
            "stopped": drift.told(store.meta(drift.DRIFT_META)),
            "lost_answers": len(store.open_intents()),
            "limits": limits(store, connections),
            **standing(store, settings, connections),
            "alarms": alarms_document(store),
        }
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(document)
    else:
        _print(document, list(connections.values()))


def _print(document: dict[str, Any], connections: list[str]) -> None:
    from crmbridge.cli.output import say, table, word

    say(f"store    {document['store']}")
    for name, pinned in document["organizations"].items():
        say(f"{name:<8} {pinned or 'not met yet'}")
    if document["at_work"]:
        say(f"at work  process {document['at_work']['pid']} on {document['at_work']['host']}")
    last = document["last_run"]
    say(
        f"last run {last['kind']} {last['run']}, {word(last['started_at'])} UTC: {last['outcome'] or 'not ended'}"
        + (f"; {total(last['counts'])} written" if last["kind"] == "sync" else "")
        + (f", {total(last['unwritten'])} sent and not written" if last["unwritten"] else "")
        if last
        else "last run none"
    )
    table(
        ["entity", "linked", *connections, "first run"],
        [
            [entity, one["linked"], *(one[name] for name in connections), "done" if one["first_run_done"] else "to do"]
            for entity, one in document["records"].items()
        ],
        right=["linked", *connections],
    )
    print_limits(document["limits"])
    print_alarms(document["alarms"])
    print_standing(document)
    table(["open issues", "count"], list(document["open_issues"].items()), right=["count"])
    if document["mapping"]:
        say(f"mapping  {document['mapping']}; `crmbridge mapping versions` lists those before it")
    if document["broker_away_seconds"] is not None:
        say(f"The broker does not answer, for {document['broker_away_seconds']:.0f} s by now: workers begin no cycle.")
    if document["configuration_broken"]:
        say("The files are broken; the workers go on by the last good ones:")
        for line in document["configuration_broken"]:
            say(f"  {line}")
        say("Correct them, or go back: crmbridge mapping versions; crmbridge mapping rollback VERSION")
    for entity, sentences in document["stopped"].items():
        say(f"{entity} records are stopped, the others go on:")
        for sentence in (*sentences, drift.fix(entity)):
            say(f"  {sentence}")
    if document["lost_answers"]:
        say(f"{document['lost_answers']} calls whose answer was lost: the next sync looks what came of them.")
    if sum(count for kind, count in document["open_issues"].items() if kind in {"held", "failed"}):
        say("`crmbridge issues` tells what to do about what is held or failed.")


@click.command("runs")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many, newest first.")
@_json
@click.pass_obj
def runs(place: Place, limit: int, as_json: bool) -> None:
    """What was run when, what came of it, and how many requests it took."""
    with place.store() as store:
        documents = [run_document(run) for run in store.runs(limit=limit)]
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"runs": documents})
        return
    from crmbridge.cli.output import say, table

    if not documents:
        say("Nothing was run yet. `crmbridge plan` says what a first run would do.")
    table(
        ["run", "kind", "started (UTC)", "seconds", "outcome", "written", "not written", "requests"],
        [
            [
                one["run"],
                one["kind"],
                one["started_at"],
                one["seconds"],
                one["outcome"] or "not ended",
                total(one["counts"]),
                total(one["unwritten"]),
                sum(sum(calls.values()) for calls in one["calls"].values()),
            ]
            for one in documents
        ],
        right=["seconds", "written", "not written", "requests"],
    )


def total(counts: Any) -> int:
    """Of writes, however deep they stand; how many values were blanked by them is no write more."""
    if isinstance(counts, int):
        return counts
    return sum(total(one) for kind, one in counts.items() if kind != "blank")


def run_document(run: Any) -> dict[str, Any]:
    seconds = round((run.ended_at - run.started_at).total_seconds(), 1) if run.ended_at else None
    return {
        "run": run.id,
        "kind": run.kind,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "seconds": seconds,
        "outcome": run.outcome,
        "counts": dict(run.counts),
        "unwritten": dict(run.unwritten),
        "mapping": run.mapping,
        "calls": dict(run.calls),
    }
