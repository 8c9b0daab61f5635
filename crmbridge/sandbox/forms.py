"""The form of a document: what stands where, and of what kind; a mistake is told with its place.

A form is a function that raises where a value is not of it. What the values mean to each other is not its affair.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Place = tuple[str | int, ...]
Form = Callable[[Any, Place], None]


class FormError(ValueError):
    """A value that does not fit; `place` leads to it from the document's top."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(f"{'.'.join(map(str, place))}: {message}" if place else message)
        self.place = place


def told(value: Any) -> str:
    """A value in a message: as short as a line can bear."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    shown = repr(value)  # pyright: ignore[reportUnknownArgumentType]
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _expected(what: str, value: Any, place: Place) -> FormError:
    return FormError(f"{what} is expected, not {told(value)}", place)


def anything(_value: Any, _place: Place) -> None:
    pass


def text(value: Any, place: Place) -> None:
    if not isinstance(value, str) or not value:
        raise _expected("a text", value, place)


def plain_text(value: Any, place: Place) -> None:
    """A text, which may look like a number or a day."""
    if value is None or isinstance(value, Mapping | list):
        raise _expected("a text", value, place)


def whole(value: Any, place: Place) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _expected("a whole number", value, place)


def count(value: Any, place: Place) -> None:
    whole(value, place)
    if value < 0:
        raise _expected("a number from zero on", value, place)


def number(value: Any, place: Place) -> None:
    try:
        fits = not isinstance(value, bool | Mapping | list) and Decimal(str(value)).is_finite()
    except InvalidOperation:
        fits = False
    if not fits:
        raise _expected("a number", value, place)


def flag(value: Any, place: Place) -> None:
    if not isinstance(value, bool):
        raise _expected("true or false", value, place)


def one_of(*words: str) -> Form:
    def check(value: Any, place: Place) -> None:
        if value not in words:
            raise _expected(f"one of {', '.join(words)}", value, place)

    return check


def none_or(form: Form) -> Form:
    def check(value: Any, place: Place) -> None:
        if value is not None:
            form(value, place)

    return check


def list_of(form: Form, *, least: int = 0, most: int | None = None) -> Form:
    def check(value: Any, place: Place) -> None:
        if not isinstance(value, list):
            raise _expected("a list", value, place)
        if len(value) < least or (most is not None and len(value) > most):  # pyright: ignore[reportUnknownArgumentType]
            raise FormError(f"{least} entries are expected" if most == least else f"at least {least}", place)
        for at, each in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            form(each, (*place, at))

    return check


def mapping_of(form: Form, *, key: Form = text) -> Form:
    def check(value: Any, place: Place) -> None:
        if not isinstance(value, Mapping):
            raise _expected("a mapping", value, place)
        for name, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            key(name, place)
            form(each, (*place, name))  # pyright: ignore[reportUnknownArgumentType]

    return check


def facts(known: Mapping[str, Form], *, needed: Iterable[str] = (), others: bool = False) -> Form:
    """A mapping with these keys, and no others unless somebody else looks at those."""
    must = tuple(needed)

    def check(value: Any, place: Place) -> None:
        if not isinstance(value, Mapping):
            raise _expected("a mapping", value, place)
        for name, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            if name not in known:
                if others:
                    continue
                raise FormError(f"unknown key {told(name)}; there are: {', '.join(known)}", place)
            known[name](each, (*place, name))  # pyright: ignore[reportUnknownArgumentType]
        for name in must:
            if name not in value:
                raise FormError(f"{name} is missing", place)

    return check


def by_kind(*, mapping: Form, sequence: Form | None = None, other: Form | None = None) -> Form:
    """What may be written in several ways: as a mapping, a list, or a single value."""

    def check(value: Any, place: Place) -> None:
        chosen = mapping if isinstance(value, Mapping) else sequence if isinstance(value, list) else other
        if chosen is None:
            ways = [name for name, form in (("a mapping", mapping), ("a list", sequence), ("a value", other)) if form]
            raise _expected(" or ".join(ways), value, place)
        chosen(value, place)

    return check
