"""A compiled expression as a tree, read from what the library serializes: a `cel.expr.CheckedExpr`.

https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto names its messages and the numbers of their
fields. Macros (`has`, `exists`) are unfolded in it already. The library bounds its depth.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["constant", "name", "select", "call", "list", "map", "loop"]
_EXPRESSION: Final = 4  # of a CheckedExpr
_KINDS: Final[dict[int, Kind]] = {
    3: "constant", 4: "name", 5: "select", 6: "call", 7: "list", 8: "map", 9: "loop",
}  # fmt: skip
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """`word` and `parts` by kind: constant: its value | name: it | select: (field, is it `has`?), of one part |
    call: the function, its target and arguments | list: elements | map: keys and values by turns | loop: the names of
    its two variables and of what it gathers; then range, beginning, condition, step and result."""

    kind: Kind
    word: Any = None
    parts: tuple["Node", ...] = ()
    raw: bytes = b""  # an Expr of its own


def tree(serialized: bytes) -> Node:
    return _node(_one(_checked(serialized), _EXPRESSION))


def part(serialized: bytes, node: Node) -> bytes:
    """A part of an expression as one that the library takes; no variable of a loop may stand in it unbound."""
    url = _one(serialized, 1)
    rest = b"".join(raw for number, _, raw in _fields(_checked(serialized)) if number != _EXPRESSION)
    return _packed(1, url) + _packed(2, rest + _packed(_EXPRESSION, node.raw))


def _checked(serialized: bytes) -> bytes:
    return _one(serialized, 2)  # it comes in a google.protobuf.Any


def _node(raw: bytes) -> Node:
    found = next(((number, value) for number, value, _ in _fields(raw) if number in _KINDS), None)
    assert found is not None, raw
    number, body = found
    kind = _KINDS[number]
    if kind == "constant":
        return Node(kind=kind, word=_constant(body), raw=raw)
    if kind == "name":
        return Node(kind=kind, word=_text(body, 1), raw=raw)
    if kind == "select":
        word = (_text(body, 2), any(number == 3 for number, *_ in _fields(body)))
        return Node(kind=kind, word=word, parts=(_node(_one(body, 1)),), raw=raw)
    if kind == "call":
        return Node(kind=kind, word=_text(body, 2), parts=(*_nodes(body, 1), *_nodes(body, 3)), raw=raw)
    if kind == "list":
        return Node(kind=kind, parts=tuple(_nodes(body, 1)), raw=raw)
    if kind == "map":
        entries = [value for number, value, _ in _fields(body) if number == 2]
        parts = (node for entry in entries for number in (3, 4) for node in _nodes(entry, number))
        return Node(kind=kind, parts=tuple(parts), raw=raw)
    names = tuple(_text(body, number) for number in (1, 8, 3))
    return Node(kind=kind, word=names, parts=tuple(_node(_one(body, number)) for number in (2, 4, 5, 6, 7)), raw=raw)


def _constant(body: bytes) -> object:
    number, value, _ = next(_fields(body))
    if number == 1:
        return None
    if number == 2:
        return bool(value)
    if number == 3:
        return value - (1 << 64) if value >= 1 << 63 else value
    if number == 5:
        return struct.unpack("<d", value)[0]
    return value.decode() if number == 6 else value


def _nodes(body: bytes, wanted: int) -> Iterator[Node]:
    return (_node(value) for number, value, _ in _fields(body) if number == wanted)


def _one(body: bytes, wanted: int) -> bytes:
    return next(value for number, value, _ in _fields(body) if number == wanted)


def _text(body: bytes, wanted: int) -> str:
    return next((value.decode() for number, value, _ in _fields(body) if number == wanted), "")


# --- https://protobuf.dev/programming-guides/encoding ---------------------------------------------------------------


def _fields(data: bytes) -> Iterator[tuple[int, Any, bytes]]:
    """Number, value and bytes of each field of a message."""
    at = 0
    while at < len(data):
        begin = at
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: Any
        if wire == _VARINT:
            value, at = _varint(data, at)
        else:
            size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(wire)
            if wire == _BYTES:
                size, at = _varint(data, at)
            assert size is not None, wire
            value, at = data[at : at + size], at + size
        yield number, value, data[begin:at]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _packed(number: int, value: bytes) -> bytes:
    size, length = len(value), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | _BYTES, *length, size]) + value
