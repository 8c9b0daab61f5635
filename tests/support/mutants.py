"""Converters with one fault each, as a package would offer them: what the laws must see.

Each stands beside the sound one that it was made from, which must pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from mapping.transforms import CONVERTERS, Converter


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    kind: str  # of the converter that it was made from
    converter: Converter


def _getting(kind: str, spoil: Callable[[Any], Any]) -> Mutant:
    sound = CONVERTERS[kind]

    def get(column: Any, zone: str | None) -> Any:
        inner = sound.get(column, zone)
        return lambda raw: spoil(inner(raw))

    return Mutant(kind=kind, converter=replace(sound, name=f"mutant_{kind}", get=get))


def _putting(kind: str, spoil: Callable[[Any], Any]) -> Mutant:
    sound = CONVERTERS[kind]

    def put(column: Any, zone: str | None) -> Any:
        inner = sound.put(column, zone)
        return lambda value: spoil(inner(value))

    return Mutant(kind=kind, converter=replace(sound, name=f"mutant_{kind}", put=put))


def without_cents(value: Any) -> Any:
    return value.quantize(Decimal(1), rounding=ROUND_DOWN) if isinstance(value, Decimal) else value


def day_for_month(value: Any) -> Any:
    """As a date in the wrong notation is read: the fifth of March is the third of May, where that is a date."""
    if isinstance(value, date) and value.day <= 12:
        return value.replace(month=value.day, day=value.month)
    return value


def without_dash(value: Any) -> Any:
    return value.replace("-", "", 1) if isinstance(value, str) else value


def without_zone(value: Any) -> Any:
    """The clock is kept, the place is lost."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).replace(hour=(value.hour + 2) % 24)
    return value


def _forgetful_date() -> Mutant:
    """The field's zone is not looked at: a day becomes midnight in UTC."""
    sound = CONVERTERS["date"]

    def put(column: Any, zone: str | None) -> Any:
        if column is None or column.type != "datetime":
            return sound.put(column, zone)
        return lambda value: datetime.combine(value, time(), tzinfo=UTC)

    return Mutant(kind="date", converter=replace(sound, name="mutant_date", put=put))


def _short_sighted_date() -> Mutant:
    """The day of an instant is the one that UTC has."""
    sound = CONVERTERS["date"]

    def get(column: Any, zone: str | None) -> Any:
        return lambda raw: raw.astimezone(UTC).date() if isinstance(raw, datetime) else raw

    return Mutant(kind="date", converter=replace(sound, name="mutant_date", get=get))


def _naive_get(kind: str) -> Mutant:
    sound = CONVERTERS[kind]
    return Mutant(
        kind=kind,
        converter=replace(
            sound, name=f"mutant_{kind}", get=lambda column, zone: lambda raw: raw.replace(tzinfo=UTC, microsecond=0)
        ),
    )


MUTANTS: Final[Mapping[str, Mutant]] = {
    "drops_cents_reading": _getting("number", without_cents),
    "drops_cents_writing": _putting("number", without_cents),
    "swaps_day_and_month_reading": _getting("date", day_for_month),
    "swaps_day_and_month_writing": _putting("date", day_for_month),
    "eats_a_dash_reading": _getting("text", without_dash),
    "eats_a_dash_writing": _putting("text", without_dash),
    "loses_the_offset_reading": _naive_get("datetime"),
    "loses_the_zone_writing": _putting("datetime", without_zone),
    "forgets_the_zone_of_a_day_writing": _forgetful_date(),
    "forgets_the_zone_of_a_day_reading": _short_sighted_date(),
    "answers_no_for_yes": _putting("boolean", lambda value: False),
    "one_off": _putting("integer", lambda value: value + 1),
}
# What an entry point names: `mutant_NAME = tests.support.mutants:NAME`.
globals().update({name: mutant.converter for name, mutant in MUTANTS.items()})
SOUND: Final[Mapping[str, Converter]] = {
    kind: replace(CONVERTERS[kind], name=f"sound_{kind}") for kind in {mutant.kind for mutant in MUTANTS.values()}
}
globals().update({f"sound_{kind}": converter for kind, converter in SOUND.items()})


def entry_points() -> str:
    lines = [f"mutant_{name} = tests.support.mutants:{name}" for name in MUTANTS]
    lines += [f"sound_{kind} = tests.support.mutants:sound_{kind}" for kind in SOUND]
    return "[crmbridge.converters]\n" + "\n".join(lines) + "\n"
