"""`crmbridge plan` and `crmbridge sync`: what would be done, and doing it."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from crmbridge import private
from crmbridge.cli.context import Place
from crmbridge.cli.pause import queue_document
from crmbridge.drift import fix
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Entity, Side
from crmbridge.pauses import PAUSED
from crmbridge.printable import one_line
from crmbridge.reasons import for_people

if TYPE_CHECKING:
    from crmbridge.state.pauses import Queue
    from crmbridge.state.words import Issue
    from crmbridge.sync.cycle import Outcome
    from crmbridge.sync.hands import Event, Only

EXAMPLES_MAX: Final = 20
# What became of a write that was sent and not written, by the state its intent ended in.
UNWRITTEN: Final[Mapping[str, str]] = {
    "refused": "refused; see below",
    "later": "put off by the CRM",
    "lost": "answer lost; the next sync looks",
    "stale": "changed meanwhile; planned again",
}
# Events that are not work done on a record.
_TOLD: Final = frozenset({"held", "failed", "waiting", "report"})

_entity = click.option(
    "--entity",
    "entities",
    multiple=True,
    type=click.Choice(ENTITIES),
    help="Only this kind of record; may be given several times. Default: all four.",
)
_only = click.option(
    "--only",
    "only",
    multiple=True,
    metavar="KEY=VALUE",
    help="Pilot a few records: id=ID (or just ID), owner=E-MAIL, since=DATE, limit=N. May be given several times.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("plan")
@_entity
@_only
@click.option("--examples", type=click.IntRange(0, 1000), default=EXAMPLES_MAX, show_default=True, help="Of each kind.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the held list to a file."
)
@_json
@click.pass_obj
def plan(
    place: Place,
    entities: tuple[Entity, ...],
    only: tuple[str, ...],
    examples: int,
    csv_file: Path | None,
    as_json: bool,
) -> int:
    """Say what a sync would do. Reads both CRMs; nothing is written there."""
    with place.engine(only=parse_only(only), entities=entities or None) as engine:
        outcome = engine.plan()
        shown = Shown(
            outcome=outcome,
            names=engine.names,
            store=engine.store.place,
            examples=examples,
            queues=engine.store.pause_queues(),
        )
    if csv_file is not None:
        write_held(csv_file, shown.held())
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(shown.document())
    else:
        shown.print()
        if csv_file is not None:
            click.echo(f"The held list is in {csv_file}.")
    return outcome.exit_code


@click.command("sync")
@_entity
@_only
@click.option("--approve", metavar="PLAN", help="Id of a plan that you have read and want carried out.")
@click.option("--why", default="", metavar="TEXT", help="Kept with the approval.")
@click.option("--examples", type=click.IntRange(0, 1000), default=EXAMPLES_MAX, show_default=True, help="Of each kind.")
@_json
@click.pass_obj
def sync(
    place: Place,
    entities: tuple[Entity, ...],
    only: tuple[str, ...],
    approve: str | None,
    why: str,
    examples: int,
    as_json: bool,
) -> int:
    """Bring both CRMs in step, once, in this process. A first run needs an approved plan."""
    with place.engine(only=parse_only(only), entities=entities or None, noted_as="sync") as engine:
        outcome = engine.sync(approve=approve, why=why)
        shown = Shown(
            outcome=outcome,
            names=engine.names,
            store=engine.store.place,
            examples=examples,
            queues=engine.store.pause_queues(),
        )
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(shown.document())
    else:
        shown.print()
    return outcome.exit_code


def parse_only(words: Sequence[str]) -> "Only | None":
    """`--only` as a choice of records."""
    if not words:
        return None
    from datetime import UTC, datetime

    from crmbridge.sync.hands import Only

    ids: set[str] = set()
    chosen: dict[str, Any] = {}
    for text in words:
        key, has_value, value = text.partition("=")
        if not has_value:
            ids.add(key)
            continue
        match key:
            case "id":
                ids.add(value)
            case "owner":
                chosen["owner"] = value
            case "since":
                try:
                    moment = datetime.fromisoformat(value)
                except ValueError as error:
                    raise ConfigError(
                        f"--only since={value}: this is no date.", fix="Write 2026-11-20 or 2026-11-20T09:00:00Z."
                    ) from error
                chosen["modified_since"] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            case "limit":
                if not value.isdecimal():
                    raise ConfigError(f"--only limit={value}: a number is expected.", fix="Write --only limit=20.")
                chosen["limit"] = int(value)
            case _:
                raise ConfigError(f"--only {key}=...: unknown; known are id, owner, since, limit.")
    return Only(ids=frozenset(ids), **chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a plan or a sync came to, for scripts and for people."""

    outcome: "Outcome"
    names: Mapping[Side, str]
    store: str
    examples: int = EXAMPLES_MAX
    queues: "Sequence[Queue]" = ()  # of what is paused

    def document(self) -> dict[str, Any]:
        outcome = self.outcome
        return {
            "ok": outcome.exit_code == 0,
            "exit_code": outcome.exit_code,
            "run": outcome.run_id,
            "plan": outcome.plan_id,
            "dry": outcome.dry,
            "go": outcome.ruling.go,
            "stopped_by_guard": list(outcome.ruling.reasons),
            "first_run": sorted(outcome.first_run),
            "organizations": {
                self.names[side]: {"id": one.org_id, "name": one.name, "production": one.production}
                for side, one in outcome.identities.items()
            },
            "counts": nested(outcome.counts),
            "unwritten": [
                {"on": on, "entity": entity, "kind": kind, "how": how, "count": count}
                for (on, entity, kind, how), count in sorted(outcome.unwritten.items())
            ],
            "matched": dict(outcome.by_key),
            "replanned": dict(outcome.replanned),
            "stopped": {entity: list(sentences) for entity, sentences in outcome.stopped.items()},
            "examples": [
                {
                    "on": on,
                    "entity": entity,
                    "kind": kind,
                    "count": len(some),
                    "records": [self._event(one) for one in some[: self.examples]],
                }
                for (on, entity, kind), some in self._done().items()
            ],
            "held": [self._event(one) for one in self.held()]
            if outcome.dry
            else [issue_document(one) for one in outcome.issues],
            "waiting": sum(event.kind == "waiting" for event in outcome.events),
            "paused_writes": {
                "count": sum(event.cause == PAUSED for event in outcome.events),
                "queues": [queue_document(queue) for queue in self.queues],
            },
            "calls": {name: dict(calls) for name, calls in outcome.calls.items()},
        }

    def held(self) -> "list[Event]":
        """What a plan would leave to a person."""
        return [one for one in self.outcome.events if one.kind in {"held", "failed"}]

    def _done(self) -> "dict[tuple[str, str, str], list[Event]]":
        """What was done to records, by connection, entity and kind; of each so many examples."""
        groups: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
        for event in self.outcome.events:
            if event.kind not in _TOLD:
                on = self.names[event.side] if event.side else "both"
                groups[on, event.entity, event.kind].append(event)
        return dict(sorted(groups.items()))

    def _event(self, event: "Event") -> dict[str, Any]:
        return {
            "entity": event.entity,
            "on": self.names[event.side] if event.side else None,
            "kind": event.kind,
            "shared_id": event.link_id,
            "ids": {self.names[side]: real_id(event.ids.get(side)) for side in SIDES},
            "reason": for_people(event.reason, self.names, event.side),
            "cause": event.cause,
            "fix": event.fix,
            "fields": list(event.fields),
        }

    # --- for people ---

    def print(self) -> None:
        from crmbridge.cli.output import head, many, say, table

        outcome = self.outcome
        table(
            ["connection", "organization", "id", "kind"],
            [
                [self.names[side], one.name, one.org_id, "PRODUCTION" if one.production else "sandbox"]
                for side, one in outcome.identities.items()
            ],
        )
        if outcome.counts:
            verb = "would be done" if outcome.dry else "was done" if outcome.ruling.go else "would have been done"
            rows = [[*place, count] for place, count in sorted(outcome.counts.items()) if count]
            table(["on", "entity", "what", "records"], rows, title=f"What {verb}", right=["records"])
        elif outcome.unwritten:
            say("Nothing was written.")
        elif any(event.cause == PAUSED for event in outcome.events):
            say("Nothing to do at present: what there is waits, since it is paused.")
        else:
            say("Nothing to do: both sides agree on all that is linked.")
        table(
            ["on", "entity", "what", "records", "what came of it"],
            [[*place, count, UNWRITTEN[how]] for (*place, how), count in sorted(outcome.unwritten.items())],
            title="What was sent and not written",
            right=["records"],
        )
        if outcome.by_key:
            rows = [[*key.split(": ", 1), count] for key, count in sorted(outcome.by_key.items())]
            table(["entity", "matched by", "pairs"], rows, title="The same record on both sides", right=["pairs"])
        if sum(outcome.replanned.values()):
            told = ", ".join(many(count, f"{entity} record") for entity, count in outcome.replanned.items() if count)
            say(f"The mapping has changed since the last run; it affects {told}, which were looked at again.")
        for entity, sentences in outcome.stopped.items():
            head(f"{entity} records are stopped: nothing of them is read or written")
            for sentence in (*sentences, fix(entity)):
                say(f"  {sentence}")
        self._print_examples()
        self._print_held()
        paused = sum(event.cause == PAUSED for event in outcome.events)
        if paused:
            since = min((queue.oldest for queue in self.queues), default=None)
            told = f", the oldest since {since:%Y-%m-%d %H:%M} UTC" if since else ""
            say(f"{many(paused, 'write')} waiting, since that is paused{told}: crmbridge status, crmbridge resume")
        waiting = sum(event.kind == "waiting" and event.cause != PAUSED for event in outcome.events)
        if waiting:
            say(f"{many(waiting, 'record')} waiting for a parent or a conversion; that is not a failure.")
        calls = ", ".join(f"{name} {sum(by_kind.values())}" for name, by_kind in outcome.calls.items())
        say(f"run {outcome.run_id}, requests: {calls}; store {self.store}")
        if outcome.ruling.reasons:
            head("This needs your yes:" if outcome.dry else "Stopped by the guard; nothing was written:")
            for reason in outcome.ruling.reasons:
                say(f"  {reason}")
        if outcome.plan_id and not outcome.ruling.go:
            say(f"To have exactly this carried out:\n  crmbridge sync --approve {outcome.plan_id}")
        elif outcome.dry and outcome.counts:
            say("To have this carried out:\n  crmbridge sync")

    def _print_examples(self) -> None:
        from crmbridge.cli.output import table

        if not self.examples:
            return
        for (on, entity, kind), events in self._done().items():
            shown = events[: self.examples]
            rest = f", {len(events) - len(shown)} more" if len(events) > len(shown) else ""
            table(
                [*self.names.values(), "case", "fields", "reason"],
                [
                    [
                        *map(self._shown_id, map(one.ids.get, SIDES)),
                        *(one.cause or "", ", ".join(one.fields), for_people(one.reason, self.names, one.side)),
                    ]
                    for one in shown
                ],
                title=f"{kind} {entity} on {on} ({len(events)}{rest})",
            )

    def _shown_id(self, id: str | None) -> str:
        return real_id(id) or ("(new)" if id else "-")

    def _print_held(self) -> None:
        from crmbridge.cli.output import table

        if self.outcome.dry:
            rows: list[list[Any]] = [
                ["", one.entity, one.ids.get("left") or one.ids.get("right"), one.cause, one.reason, one.fix]
                for one in self.held()
            ]
        else:
            rows = [
                [one.id, one.entity, one.link_id or one.native_id, one.cause, one.message, one.fix]
                for one in self.outcome.issues
            ]
        shown = max(self.examples, 1)
        rest = ""
        if len(rows) > shown:
            where = "crmbridge plan --csv FILE" if self.outcome.dry else "crmbridge issues"
            rest = f", {len(rows) - shown} more: {where}"
            if self.outcome.dry:  # of a sync the same stands in `crmbridge issues`, of a plan nowhere else
                counts = Counter((one.cause or "", one.entity, ", ".join(one.fields)) for one in self.held())
                table(
                    ["count", "cause", "entity", "field"],
                    [[count, *of] for of, count in counts.most_common()],
                    title="What would be held",
                    right=["count"],
                )
        table(
            ["issue", "entity", "record", "cause", "what", "what to do"],
            rows[:shown],
            title=f"Held for a person ({len(rows)}{rest})",
        )


def nested(counts: Mapping[tuple[str, str, str], int]) -> dict[str, dict[str, dict[str, int]]]:
    by_side: dict[str, dict[str, dict[str, int]]] = {}
    for (side, entity, kind), count in sorted(counts.items()):
        by_side.setdefault(side, {}).setdefault(entity, {})[kind] = count
    return by_side


def real_id(id: str | None) -> str | None:
    """A record that a dry run only thinks of has no id yet."""
    return None if id is None or id.startswith("planned:") else id


def issue_document(issue: "Issue") -> dict[str, Any]:
    return {
        "issue": issue.id,
        "kind": issue.kind,
        "cause": issue.cause,
        "record": {
            "entity": issue.entity,
            "shared_id": issue.link_id,
            "side": issue.side,
            "native_id": issue.native_id,
            "field": issue.field,
        },
        "message": issue.message,
        "fix": issue.fix,
        "attempts": issue.attempts,
        "next_try_at": issue.next_try_at,
        "opened_at": issue.opened_at,
    }


def write_held(file: Path, events: Iterable["Event"]) -> None:
    """The held list for a spreadsheet: the last two columns are for the person who decides."""
    with private.opened(file, newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream)
        writer.writerow(["entity", "left id", "right id", "field", "cause", "what", "what to do", "decision", "remark"])
        for event in events:
            ids = [event.ids.get("left") or "", event.ids.get("right") or ""]
            cells = [event.entity, *ids, ", ".join(event.fields), event.cause or "", event.reason, event.fix]
            writer.writerow([*map(_cell, cells), "", ""])


# How a formula begins, in full width too; DDE begins with any of them.
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _cell(text: str) -> str:
    """A text that a spreadsheet would take for a formula is shown as text; some drop blanks before they look."""
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
