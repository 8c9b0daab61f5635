"""What becomes of an expression where fields are blank, found by walking it: no record need be there.

Each walk asks for what it must know and nothing else (is `amount` blank? is `source == "web"`?), takes one answer and
remembers it, so that the same question has the same answer throughout; the next walk takes another one, until all
answers that matter were taken. So what stands behind `&&`, `||` or `? :` is seen, and a guard (`x != null && …`) holds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mapping.cel_tree import Node

# Parts looked at for one expression. What is more tangled is looked at in part; such a record is held when it comes.
PARTS_MAX: Final = 200_000


@dataclass(frozen=True, slots=True)
class Blank:
    name: str  # of the field; "" for the word null


@dataclass(frozen=True, slots=True)
class Failed:
    name: str  # of the field whose blank it does not take; "" where it is none's


@dataclass(frozen=True, slots=True)
class Known:
    """What stands in the expression, or what a field was found to be equal to."""

    value: Any


@dataclass(frozen=True, slots=True)
class Some:
    """A value that is not blank; which one, nobody knows. The same origin has the same value."""

    origin: Any


# `tuple`: a list; a map is the list of its values.
Value = Blank | Failed | Known | Some | bool | tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    value: Value
    blank: frozenset[str]  # the fields that were blank


def outcomes(
    root: Node, field_of: Callable[[str], str | None], filled: frozenset[str] = frozenset()
) -> Iterator[Outcome]:
    """`field_of`: whose blank makes this name blank (a currency is its amount's); None: of a name that never is.
    `filled`: fields that are not blank."""
    script: list[int] = []
    left = PARTS_MAX
    while left > 0:
        walk = _Walk(field_of=field_of, filled=filled, script=script)
        value = walk.value(root)
        yield Outcome(value=value, blank=frozenset(walk.blank))
        left -= walk.parts
        taken = walk.taken
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        script = [*(answer for answer, _ in taken[:-1]), taken[-1][0] + 1]


@dataclass(slots=True, kw_only=True)
class _Walk:
    field_of: Callable[[str], str | None]
    filled: frozenset[str]
    script: list[int]  # the answers to begin with
    taken: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # each answer, of how many
    known: dict[Any, int] = field(default_factory=dict[Any, int])
    equals: dict[Any, Any] = field(default_factory=dict[Any, Any])  # origin -> what it was found to be equal to
    bound: dict[str, Value] = field(default_factory=dict[str, Value])  # variables of loops
    blank: set[str] = field(default_factory=set[str])
    parts: int = 0

    def ask(self, question: Any, answers: int = 2) -> int:
        if question not in self.known:
            at = len(self.taken)
            answer = self.script[at] if at < len(self.script) else 0
            self.taken.append((answer, answers))
            self.known[question] = answer
        return self.known[question]

    def value(self, node: Node) -> Value:
        self.parts += 1
        if self.parts > PARTS_MAX:
            return Some("too much to look at")
        match node.kind:
            case "constant":
                if node.word is None:
                    return Blank("")
                return node.word if isinstance(node.word, bool) else Known(node.word)
            case "name":
                return self.bound[node.word] if node.word in self.bound else self.name(node.word)
            case "select":
                return self.strict(node.word, [self.value(node.parts[0])])
            case "call":
                return self.call(node)
            case "list":
                elements = tuple(self.value(part) for part in node.parts)
                return _failed(elements) or elements
            case "map":
                keys = [self.value(part) for part in node.parts[::2]]
                values = tuple(self.value(part) for part in node.parts[1::2])
                return _not_taken(keys) or _failed(values) or values
            case "loop":
                return self.loop(node)

    def name(self, name: str) -> Value:
        whose = self.field_of(name)
        if whose is None:
            return Some(("name", name))
        if whose not in self.filled and self.ask(("blank", whose)):
            self.blank.add(whose)
            return Blank(name)
        origin = ("name", name)
        return Known(self.equals[origin]) if origin in self.equals else Some(origin)

    def call(self, node: Node) -> Value:
        match node.word:
            case "_&&_" | "_||_":
                return self.either(node.parts, decides=node.word == "_||_")
            case "_?_:_":
                condition = self.truth(self.value(node.parts[0]))
                return condition if isinstance(condition, Failed) else self.value(node.parts[1 if condition else 2])
            case "!_":
                condition = self.truth(self.value(node.parts[0]))
                return condition if isinstance(condition, Failed) else not condition
            case "@not_strictly_false":  # of a loop: does it go on?
                return self.truth(self.value(node.parts[0])) is not False
            case _:
                return self.function(node, [self.value(part) for part in node.parts])

    def function(self, node: Node, arguments: list[Value]) -> Value:
        failed = _failed(arguments)
        if failed is not None:
            return failed
        match node.word, arguments:
            case "dyn", [value]:
                return value
            case "type", [Blank()]:
                return Some(("name", "null_type"))
            case "type", [value]:
                return Some(("type", value))
            case "_==_", [one, other]:
                return self.equal(one, other)
            case "_!=_", [one, other]:
                return not self.equal(one, other)
            case "@in", [one, tuple(elements)] if node.parts[1].kind != "map":
                return any(self.equal(one, element) for element in elements)
            case "_+_", [tuple(one), tuple(other)]:
                return (*one, *other)
            case "_[_]", [tuple(elements), index] if elements and not isinstance(index, Blank):
                return elements[self.ask(("index", elements, index), len(elements))]
            case _:
                return self.strict(node.word, arguments)

    def strict(self, function: Any, arguments: list[Value]) -> Value:
        """What takes no blank. What it makes of all others nobody knows."""
        return _not_taken(arguments) or Some((function, *arguments))

    def either(self, parts: tuple[Node, ...], *, decides: bool) -> Value:
        """One that decides makes good for others that fail, before it or behind."""
        failed: Failed | None = None
        for part in parts:
            truth = self.truth(self.value(part))
            if truth is decides:
                return decides
            failed = failed or (truth if isinstance(truth, Failed) else None)
        return failed or (not decides)

    def truth(self, value: Value) -> bool | Failed:
        if isinstance(value, bool | Failed):
            return value
        if isinstance(value, Some):
            return bool(self.ask(("true", value.origin)))
        return Failed(value.name if isinstance(value, Blank) else "")

    def equal(self, one: Value, other: Value) -> bool:
        if isinstance(one, Blank) or isinstance(other, Blank):
            return isinstance(one, Blank) and isinstance(other, Blank)
        if isinstance(one, tuple) and isinstance(other, tuple):
            return len(one) == len(other) and all(self.equal(*pair) for pair in zip(one, other, strict=True))
        if isinstance(other, Some) and not isinstance(one, Some):
            one, other = other, one
        if not isinstance(one, Some):
            return one == other
        if isinstance(other, Known):
            if one.origin in self.equals:
                return self.equals[one.origin] == other.value
            if not self.ask(("equal", one.origin, other.value)):
                return False
            self.equals[one.origin] = other.value
            return True
        if isinstance(other, bool):
            return bool(self.ask(("true", one.origin))) is other
        return one == other or bool(self.ask(("same", frozenset({one, other}))))

    def loop(self, node: Node) -> Value:
        each, second, gathered = node.word
        over, beginning, condition, step, result = node.parts
        elements = self.value(over)
        failed = _not_taken([elements])
        if failed is not None:
            return failed
        if not isinstance(elements, tuple):  # any number of them, of which none and one tell all
            elements = (Some(("element", elements)),) if self.ask(("elements", elements)) else ()
        before = dict(self.bound)
        self.bound[gathered] = self.value(beginning)
        for element in elements:
            self.bound |= {each: element, second: Some(("second", element))}
            if self.truth(self.value(condition)) is False:
                break
            self.bound[gathered] = self.value(step)
        value = self.value(result)
        self.bound = before
        return value


def _failed(values: list[Value] | tuple[Value, ...]) -> Failed | None:
    return next((value for value in values if isinstance(value, Failed)), None)


def _not_taken(values: list[Value]) -> Failed | None:
    """Of a function that takes no blank."""
    blank = next((value for value in values if isinstance(value, Blank)), None)
    return _failed(values) or (Failed(blank.name) if blank is not None else None)
