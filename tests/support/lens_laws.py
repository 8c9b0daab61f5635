"""The laws that a translation keeps, as functions that say where it does not.

GetPut: putting back what was read writes nothing. PutGet: what was put is read again, up to the declared losses.
PutPut: a second put has nothing left to do. Faithful: what one CRM holds arrives as the same in the other one, judged
by the columns themselves and not by the converter, so that a converter that reads and writes wrongly is seen as well.
"""

import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crmbridge.model import SIDES, Life, Row, Side, Unlinked, attribute_name, other
from mapping.translate import Put
from tests.support.mapping_worlds import Made, World, facts_of

# What is put between the translation and the laws: nothing, or something that spoils values (a mutant).
Spoil = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    law: str
    field: str
    detail: str


def broken_laws(world: World, rounds: int, *, spoil: Spoil | None = None) -> list[Broken]:
    found: list[Broken] = []
    for _ in range(rounds):
        side: Side = world.rng.choice(SIDES)
        source = world.drawn(other(side))
        current = world.drawn(side) if world.rng.random() < 0.6 else None
        life = world.life(side)
        if current is not None:
            found += _get_put(world, side, current, life)
        found += _put_get(world, side, source, current, life, spoil)
        found += _status(world, side)
    return found


def _get_put(world: World, side: Side, current: Row, life: Life) -> list[Broken]:
    facts = facts_of()
    shared = world.compiled.get(side, current, life, facts)
    wanted = {name: value for name, value in shared.fields.items() if not isinstance(value, Unlinked)}
    put = world.compiled.put(side, wanted, facts=facts, current=current, life=life, state=shared.state, whole=shared)
    return [Broken(law="GetPut", field=column, detail=repr(value)) for column, value in put.columns.items()]


def _put_get(
    world: World, side: Side, source: Row, current: Row | None, life: Life, spoil: Spoil | None
) -> list[Broken]:
    found: list[Broken] = []
    compiled = world.compiled
    facts = facts_of()
    shared = compiled.get(other(side), source, Life(state=life.state), facts)

    def put(there: Row | None, fields: Mapping[str, Any], known: Any) -> Put:
        return compiled.put(side, fields, facts=known, current=there, life=life, state=life.state, whole=shared)

    first = put(current, shared.fields, facts)
    columns = {name: spoil(value) for name, value in first.columns.items()} if spoil else first.columns
    after = world.stored(side, current, columns)
    known = facts_of(fillers={side: first.fillers})
    again = compiled.get(side, after, life, known)
    refused = {problem.field for problem in first.problems}
    for rule in compiled.rules:
        if rule.name in refused or rule.name not in shared.fields:
            continue
        value = shared.fields[rule.name]
        if rule.name not in again.fields:
            if not (rule.kind == "choice" and value is None):
                found.append(Broken(law="PutGet", field=rule.name, detail=f"{value!r} is not read again"))
        elif not rule.same(again.fields[rule.name], value):
            found.append(Broken(law="PutGet", field=rule.name, detail=f"{value!r} is {again.fields[rule.name]!r}"))
    wanted = {name: value for name, value in shared.fields.items() if name not in refused}
    second = put(after, wanted, known)
    found += [Broken(law="PutPut", field=column, detail=repr(value)) for column, value in second.columns.items()]
    for made in world.fields:
        if made.name in shared.fields and made.name not in refused:
            words = _unfaithful(made, source, after, side, known)
            if words:
                found.append(Broken(law="Faithful", field=made.name, detail=words))
    return found


def _status(world: World, side: Side) -> list[Broken]:
    """Any place on one side, put on the other and read back, there and here again: one step, and it holds still."""
    table = world.compiled.status
    if table is None:
        return []
    here, there = world.life(side), world.life(other(side))
    row = table.read(side, here, None).status
    if row is None or table.rows[row] == "converted":
        return []
    native = table.native(other(side), row, life=there, last_open=None)
    option = next(o for o in world.descriptions[other(side), world.entity].statuses if o.value == native)
    after = Life(state=option.state, status=native)  # type: ignore[arg-type]
    again = table.read(other(side), after, row).status
    back = table.native(side, row, life=here, last_open=None)
    if again != row or back != here.status or table.native(other(side), row, life=after, last_open=None) != native:
        return [Broken(law="PingPong", field=row, detail=f"{here.status!r} {native!r} {again} {back!r}")]
    return []


# --- what both columns hold, compared without the converter -------------------------------------------------------


def _unfaithful(made: Made, source: Row, after: Row, side: Side, facts: Any) -> str:
    there = other(side)
    if len(made.columns[side]) > 1 or len(made.columns[there]) > 1 or made.kind == "choice":
        return _parts(made, source, after, side) if made.kind != "choice" else ""
    mine, theirs = made.columns[side][0], made.columns[there][0]
    got = getattr(after.values, attribute_name(mine.name))
    had = getattr(source.values, attribute_name(theirs.name))
    match made.kind:
        case "number" | "money" | "integer":
            scale = (
                min(each.scale for each in (mine, theirs) if each.scale is not None) if mine.scale is not None else None
            )
            alike = _number(got, scale) == _number(had, scale)
        case "date":
            alike = _day(got, made.zone) == _day(had, made.zone)
        case "datetime":
            alike = _second(got) == _second(had)
        case "boolean":
            alike = bool(got) == bool(had)
        case "country":
            alike = bool(_plain(got)) == bool(_plain(had))  # spelled as the target spells it
        case "phone":
            alike = _digits(got) == _digits(had)
        case _:
            alike = (
                _plain(got) == _plain(had) if made.kind == "text" else _plain(got).casefold() == _plain(had).casefold()
            )
            if made.kind == "url":
                alike = _bare(got) == _bare(had)
    return "" if alike else f"{had!r} arrives as {got!r}"


def _parts(made: Made, source: Row, after: Row, side: Side) -> str:
    """The words are all there, in whatever column."""

    def words(row: Row, where: Side) -> list[str]:
        texts = [str(getattr(row.values, attribute_name(c.name)) or "") for c in made.columns[where]]
        return sorted(" ".join(texts).replace(",", " ").split())

    had, got = words(source, other(side)), words(after, side)
    return "" if had == got else f"{had} arrives as {got}"


def _number(value: Any, scale: int | None) -> Decimal | None:
    if value is None:
        return None
    amount = Decimal(str(value))
    return amount if scale is None else amount.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)


def _day(value: Any, zone: str | None) -> date | None:
    if isinstance(value, datetime):
        return value.astimezone(zoneinfo.ZoneInfo(zone or "UTC")).date()
    return value


def _second(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC).replace(microsecond=0) if value is not None else None


def _plain(value: Any) -> str:
    return str(value or "").replace("\r\n", "\n").strip()


def _digits(value: Any) -> str:
    return "".join(c for c in str(value or "") if c.isdigit())[-7:]


def _bare(value: Any) -> str:
    text = _plain(value).casefold().removeprefix("https://").removeprefix("http://").removeprefix("www.")
    return text.removesuffix("/")
