"""How values become JSON texts in the store and come back the same: Decimal, dates, money and generated row structs."""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from crmbridge.model import Axes, Base, Entity, Fields, Money, Side, Unlinked, Value, attribute_name

RowTypes = Mapping[tuple[Side, Entity], type[Any]]


def dump(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def load(text: str) -> Any:
    return msgspec.json.decode(text)


def digest(*texts: str | None) -> str:
    return hashlib.sha256("\x1f".join(text or "" for text in texts).encode()).hexdigest()[:32]


# --- neutral values: what JSON cannot tell apart carries its kind -------------------------------------------------


def _tagged(value: Value) -> Any:
    match value:
        case None | str() | bool() | int():
            return value
        case Decimal():
            return {"decimal": str(value)}
        case datetime():  # before date: a datetime is one
            return {"instant": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case Money():
            return {"money": [str(value.amount), value.currency]}
        case Unlinked():
            return {"unlinked": [value.entity, value.id]}


def _untagged(value: Any) -> Value:
    match value:
        case {"decimal": str(text)}:
            return Decimal(text)
        case {"instant": str(text)}:
            return datetime.fromisoformat(text)
        case {"date": str(text)}:
            return date.fromisoformat(text)
        case {"money": [str(amount), str(currency)]}:
            return Money(Decimal(amount), currency)
        case {"unlinked": [entity, str(id_)]}:
            return Unlinked(entity, id_)
        case _:
            return value


def _view(fields: Fields) -> dict[str, Any]:
    return {name: _tagged(value) for name, value in fields.items()}


def dump_base(base: Base) -> str:
    return dump(
        {
            "left": _view(base.left),
            "right": _view(base.right),
            "left_axes": [base.left_axes.state, base.left_axes.status, base.left_axes.on_hold],
            "right_axes": [base.right_axes.state, base.right_axes.status, base.right_axes.on_hold],
        }
    )


def load_base(text: str) -> Base:
    raw = load(text)
    views = {side: {name: _untagged(value) for name, value in raw[side].items()} for side in ("left", "right")}
    axes = {
        side: Axes(**dict(zip(("state", "status", "on_hold"), raw[f"{side}_axes"], strict=True)))
        for side in ("left", "right")
    }
    return Base(left=views["left"], right=views["right"], left_axes=axes["left"], right_axes=axes["right"])


# --- rows ---------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, SimpleNamespace):  # a row that was read before its type was known
        return vars(value)
    raise NotImplementedError(f"a {type(value).__name__} in a row's values cannot be stored")


class RowCodec:
    """Row structs by (side, entity). The mapping may have changed since a row was stored: then it is read leniently."""

    def __init__(self, types: RowTypes | None = None) -> None:
        self._decoders: dict[tuple[str, str], msgspec.json.Decoder[Any]] = {}
        self._encode = msgspec.json.Encoder(enc_hook=_plain).encode
        self.configure(types or {})

    def configure(self, types: RowTypes) -> None:
        self._decoders = {place: msgspec.json.Decoder(type_) for place, type_ in types.items()}

    def dump(self, values: Any) -> str | None:
        return None if values is None else self._encode(values).decode()

    def load(self, side: str, entity: str, text: str | None) -> Any:
        if text is None:
            return None
        decoder = self._decoders.get((side, entity))
        if decoder is None:
            raw = cast("dict[str, Any]", load(text))
            return SimpleNamespace(**{attribute_name(name): value for name, value in raw.items()})
        try:
            return decoder.decode(text)
        except msgspec.ValidationError:
            return _lenient(decoder.type, cast("dict[str, Any]", load(text)))


def _lenient(type_: type[Any], raw: Mapping[str, Any]) -> Any:
    """What still fits; None for the rest. The next observation of the record brings the whole."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(type_):
        try:
            values[field.name] = msgspec.convert(raw[field.encode_name], field.type, strict=False)
        except (KeyError, msgspec.ValidationError):
            values[field.name] = None
    return type_(**values)
