"""`crmbridge mapping diff`: which records a change of the mapping touches, and how, before it is in force."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.cli.mapping.common import ENTITY, json_option, plain_place
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Entity, Link, Row, Side

if TYPE_CHECKING:
    from crmbridge.cli.mapping.which import Which
    from crmbridge.settings import Settings
    from crmbridge.sync.compare import Differs
    from crmbridge.sync.cycle import Engine
    from crmbridge.sync.view import View
    from mapping.difference import Changed

SAMPLE = 200  # where the store does not hold what the new mapping reads
EXAMPLES_MAX = 3
_CHUNK = 200

Both = tuple[Link | None, Mapping[Side, Row], Mapping[Side, Row]]  # the pair, read under the old and the new mapping


@dataclass(kw_only=True)
class Found:
    """What came of it, per kind of record."""

    looked_at: Counter[Entity] = field(default_factory=Counter[Entity])
    touched: Counter[Entity] = field(default_factory=Counter[Entity])
    unread: Counter[Entity] = field(default_factory=Counter[Entity])  # records that the new one cannot read as a whole
    counts: Counter[tuple[Entity, str, Side, str]] = field(default_factory=Counter[tuple[Entity, str, Side, str]])
    examples: dict[tuple[Entity, str, Side, str], list["Differs"]] = field(default_factory=dict)
    sampled: dict[Entity, str] = field(default_factory=dict)  # why not all of them

    def add(self, entity: Entity, differs: "Sequence[Differs]") -> None:
        self.looked_at[entity] += 1
        self.touched[entity] += bool(differs)
        for one in differs:
            key = (one.entity, one.what, one.side, one.name)
            self.counts[key] += 1
            some = self.examples.setdefault(key, [])
            if len(some) < EXAMPLES_MAX:
                some.append(one)
            elif one.unread and not any(each.unread for each in some):
                some[-1] = one  # never hidden behind those that go well
        self.unread[entity] += any(one.unread for one in differs)


@click.command("diff")
@click.argument("old", metavar="[OLD]", required=False)
@click.argument("new", metavar="[NEW]", required=False)
@click.option("--sample", "count", metavar="N", type=click.IntRange(1, 100_000), help="Read N of each kind live.")
@click.option("--entity", type=ENTITY, help="One kind of record only.")
@json_option
@click.pass_obj
def diff(place: Place, old: str | None, new: str | None, count: int | None, entity: str | None, as_json: bool) -> None:
    """Tell which records a change of the mapping touches, and how. Nothing is written.

    OLD and NEW are folders of mapping files, versions as `crmbridge mapping versions` lists them, or git:REV. OLD is
    the version of the last run if it is left out, NEW the files as they are now. All records that the store knows are
    looked at, as last read; with --sample, and where a column was not read before, a sample is read live.
    """
    from crmbridge import wiring
    from crmbridge.sync.replan import VERSION_META

    settings = place.settings()
    with place.store() as store:
        now_used = store.meta(VERSION_META)  # the newest is not the last used one after a rollback
        kept = sorted(store.mappings(), key=lambda row: row.id != now_used)
    before, after = _which(settings, kept, old, new)
    changed = _changed(settings, before, after)
    found = Found()
    if changed:
        wanted: list[Entity] = [one for one in ENTITIES if entity in (None, one) and _matters(one, changed)]
        with (
            wiring.open_engine(settings, texts=after.texts, called=after.called) as now,
            _open_old(settings, before) as then,
        ):
            views = then.look(), now.look()
            for one in wanted:
                why = _why_sample(then, now, one, count, as_read=bool(kept) and kept[0].texts == before.texts)
                if why:
                    found.sampled[one] = why
                _compare(found, (then, now), views, one, (count or SAMPLE) if why else None)
    connections = names(settings)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(_document(before, after, changed, found, connections))
        return
    _print(before, after, changed, found, connections)


def _which(settings: "Settings", kept: Any, old: str | None, new: str | None) -> "tuple[Which, Which]":
    from crmbridge.cli.mapping.which import Which, of_folder, resolve

    folder = settings.mappings_folder
    if old is None:
        if not kept:
            raise ConfigError(
                "No run went by any mapping yet, so there is nothing to compare with.",
                fix="Name two: crmbridge mapping diff OLD NEW, each a folder or git:REV.",
            )
        last = kept[0]
        before = Which(name=f"version {last.id} (last used)", texts=last.texts, called=f"version {last.id}")
    else:
        before = resolve(old, folder, kept)
    return before, of_folder(folder) if new is None else resolve(new, folder, kept)


def _changed(settings: "Settings", before: "Which", after: "Which") -> "list[Changed]":
    """Raises ConfigError where one of the two is not sound."""
    from crmbridge import wiring
    from mapping.difference import changes

    both = (wiring.load_mapping(settings, one.texts, one.called) for one in (before, after))
    return changes(*both)


@contextmanager
def _open_old(settings: "Settings", before: "Which") -> Generator["Engine"]:
    """What the old mapping names may be gone from the CRMs since; then no record can be read by it any more."""
    from crmbridge import wiring

    with ExitStack() as opened:
        try:
            then = opened.enter_context(wiring.open_engine(settings, texts=before.texts, called=before.called))
        except ConfigError as error:
            if error.code != "mapping":
                raise
            raise ConfigError(
                f"{before.name} no longer fits the CRMs, so records cannot be read by it:\n"
                + "\n".join(error.problems),
                problems=error.problems,
                fix="The new one fits: `crmbridge mapping preview` and `crmbridge plan` say what the files do.",
                code="mapping",
            ) from error
        yield then


def _matters(entity: Entity, changed: "Sequence[Changed]") -> bool:
    """A change of accounts' matching touches accounts only; links are read as before."""
    return any(one.entity == entity for one in changed)


# --- records ------------------------------------------------------------------------------------------------------


def _compare(
    found: Found, engines: "tuple[Engine, Engine]", views: "tuple[View, View]", entity: Entity, count: int | None
) -> None:
    from crmbridge.sync.compare import differences, single_differences
    from crmbridge.sync.preview import preview_pairs

    then, now = engines
    source = _stored(then, now, entity) if count is None else _live(then, now, entity, count)
    for some in _chunks(source):
        pairs = [(link, old, new) for link, old, new in some if link is not None]
        before = preview_pairs(views[0], entity, [(link, old) for link, old, _ in pairs])
        after = preview_pairs(views[1], entity, [(link, new) for link, _, new in pairs])
        for one, two in zip(before, after, strict=True):
            found.add(entity, differences(one, two))
        for link, old, new in some:
            if link is None:
                (side,) = old
                found.add(entity, single_differences(*views, old[side], new[side]))


def _why_sample(then: "Engine", now: "Engine", entity: Entity, count: int | None, *, as_read: bool) -> str:
    """Why the store does not do; blank if it does. `as_read`: what it holds was read by the old mapping."""
    if any(entity not in one.compiled.entities for one in (then, now)):
        raise ConfigError(f"One of the two has no mapping of {entity}, so they cannot be compared record by record.")
    if count is not None:
        return f"--sample {count}"
    if not as_read:
        return "no run went by the old mapping last"
    columns = [
        column
        for side in SIDES
        for column in now.compiled.entities[entity].columns(side)
        if column not in then.compiled.entities[entity].columns(side)
    ]
    return f"not read before: {', '.join(columns)}" if columns else ""


def _stored(then: "Engine", now: "Engine", entity: Entity) -> Iterator[Both]:
    """All that the store knows, as last read, decoded for each of the two."""
    for links in _chunks(link for link in now.store.all_links(entity) if link.alive):
        rows: list[dict[Side, dict[str, Row]]] = []
        for engine in (then, now):
            mine: dict[Side, dict[str, Row]] = {}
            for side in SIDES:
                ids = [id for link in links if (id := link.id_on(side)) is not None]
                stored = engine.store.records(side, entity, ids)
                mine[side] = {id: one.row for id, one in stored.items() if _shows(one.row)}
            rows.append(mine)
        for link in links:
            both: list[dict[Side, Row]] = [
                {side: one for side in SIDES if (one := mine[side].get(link.id_on(side) or "")) is not None}
                for mine in rows
            ]
            old, new = both
            if len(old) == len(new) == len(SIDES):
                yield link, old, new
    for side in SIDES:
        for one, two in zip(then.store.unlinked(side, entity), now.store.unlinked(side, entity), strict=True):
            if _shows(one.row) and _shows(two.row):
                yield None, {side: one.row}, {side: two.row}


def _shows(row: Row) -> bool:
    return row.values is not None and not row.deleted


def _live(then: "Engine", now: "Engine", entity: Entity, count: int) -> Iterator[Both]:
    """The same records, read by each of the two."""
    from crmbridge.cli.mapping.choose import again, sample

    chosen = sample(now, count, [entity])
    fresh = again(then, entity, chosen)
    for one in chosen:
        rows: dict[Side, Row] = {
            side: old for side, row in one.rows.items() if (old := fresh[side].get(row.ref.id)) is not None
        }
        if rows and len(rows) == len(one.rows) and (one.link is None or one.whole):
            yield one.link, rows, one.rows


def _chunks(items: "Iterable[Any]") -> Iterator[list[Any]]:
    some: list[Any] = []
    for item in items:
        some.append(item)
        if len(some) >= _CHUNK:
            yield some
            some = []
    if some:
        yield some


# --- telling ------------------------------------------------------------------------------------------------------


def _document(
    before: "Which", after: "Which", changed: "Sequence[Changed]", found: Found, connections: Mapping[Side, str]
) -> dict[str, Any]:
    return {
        "old": before.name,
        "new": after.name,
        "changes": [
            {
                "entity": one.entity,
                "at": plain_place(one.place),
                "path": one.text,
                "before": one.before,
                "after": one.after,
            }
            for one in changed
        ],
        "looked_at": dict(found.looked_at),
        "touched": dict(found.touched),
        "held": {entity: count for entity, count in found.unread.items() if count},
        "sampled": dict(found.sampled),
        "differences": [
            {
                "entity": entity,
                "what": what,
                "on": connections[side],
                "name": name,
                "count": number,
                "examples": [
                    {
                        "ids": {connections[each]: id for each, id in one.ids.items()},
                        "before": one.before,
                        "after": one.after,
                    }
                    for one in found.examples[entity, what, side, name]
                ],
            }
            for (entity, what, side, name), number in found.counts.items()
        ],
    }


def _print(
    before: "Which", after: "Which", changed: "Sequence[Changed]", found: Found, connections: Mapping[Side, str]
) -> None:
    from crmbridge.cli.output import head, many, say, seen_from_here, table

    head(f"{seen_from_here(before.name)}  ->  {seen_from_here(after.name)}")
    if not changed:
        say("They say the same: no record is touched.")
        return
    table(
        ["what is said", "before", "after", "line"],
        [[f"{one.entity} {one.text}", _cell(one.before), _cell(one.after), plain_place(one.place)] for one in changed],
    )
    table(
        ["kind", "what", "on", "field or column", "records", "record", "before", "after"],
        [
            [
                entity if first else "",
                what if first else "",
                connections[side] if first else "",
                name if first else "",
                number if first else "",
                " = ".join(one.ids.values()),
                one.before,
                one.after,
            ]
            for (entity, what, side, name), number in found.counts.items()
            for first, one in _with_first(found.examples[entity, what, side, name])
        ],
        title="What comes of it",
        right=["records"],
    )
    for entity, number in found.looked_at.items():
        why = f" (a sample, read now: {found.sampled[entity]})" if entity in found.sampled else ""
        say(f"{entity}: {found.touched[entity]} of {many(number, 'record')} touched{why}.")
        if found.unread[entity]:
            held = many(found.unread[entity], "record")
            say(f"{entity}: {held} would be held: a value that the new mapping does not read.")
    if not found.looked_at:
        say("There is no record to look at.")
    say("Nothing was written. `crmbridge plan` says what the next sync would do.")


def _with_first(items: "Sequence[Any]") -> Iterator[tuple[bool, Any]]:
    return ((number == 0, item) for number, item in enumerate(items))


def _cell(value: Any) -> str:
    """As YAML writes it on one line."""
    match value:
        case None:
            return "-"
        case dict():
            return "{" + ", ".join(f"{key}: {_cell(one)}" for key, one in value.items()) + "}"
        case list():
            return f"[{', '.join(_cell(one) for one in value)}]"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
