"""Formulas: the small, safe language of validation rules and formula fields (lifecycle §6, salesforce-api §5.1).

A text is parsed, checked against the object's fields and compiled to a function of a row, all when the shape is loaded;
whatever is not understood is a mistake of the shape, never of a request. Nothing of Python is reachable from a formula.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from lark import Lark
from lark.exceptions import UnexpectedInput

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.formula_functions import FUNCTIONS
from crmbridge.sandbox.salesforce.formula_values import (
    ARITHMETIC,
    ORDERS,
    Evaluate,
    Expression,
    FormulaError,
    Moment,
    Reach,
    computed,
    days_between,
    kind_of,
    logical,
    same,
    scaled,
    shifted,
    wrong,
)
from crmbridge.sandbox.salesforce.schema import Field, Shape, SObject

__all__ = ["Expression", "FormulaError", "Moment", "Reach", "compile_formula"]

FORMULA_LENGTH_MAX: Final = 3900  # characters, as in Salesforce's own editor (unverified)
HOPS_MAX: Final = 10  # lookups in one path
TEXTS: Final = ("text", "id")


@dataclass(kw_only=True)
class _Compiler:
    shape: Shape
    sobject: SObject
    blank_is_zero: bool
    reads: set[str] = field(default_factory=set[str])
    through: set[Reach] = field(default_factory=set[Reach])
    volatile: bool = False
    of_save: bool = False

    def compile(self, node: Any) -> tuple[str, Evaluate]:
        match node.data:
            case "number":
                value = Decimal(str(node.children[0]))
                return "number", lambda _: value
            case "text":
                text = _unquoted(str(node.children[0]))
                return "text", lambda _: text
            case "path":
                return self._path(node)
            case "call":
                return self._call(node)
            case "any_of" | "all_of":
                return logical([self.of(part, "boolean") for part in node.children], any_of=node.data == "any_of")
            case "negation":
                inner = self.of(node.children[0], "boolean")
                return "boolean", lambda at: not inner(at)
            case "signed":
                inner = self.of(node.children[1], "number")
                return "number", (lambda at: -value if (value := inner(at)) is not None else None) if str(
                    node.children[0]
                ) == "-" else inner
            case "comparison":
                return self._comparison(node)
            case _:
                return self._arithmetic(node)

    def of(self, node: Any, *kinds: str) -> Evaluate:
        """A part that must be of one of these kinds; blank fits everywhere."""
        kind, evaluate = self.compile(node)
        if kind in kinds or kind == "null" or (kind in TEXTS and "text" in kinds):
            return evaluate
        if kind in ("picklist", "multipicklist"):
            raise wrong(node, "picklist fields are only supported in ISPICKVAL, CASE, TEXT, ISBLANK and the like")
        raise wrong(node, f"expected {' or '.join(kinds)}, found {kind}")

    # -- fields --------------------------------------------------------------------------------------------------

    def _path(self, node: Any) -> tuple[str, Evaluate]:
        parts = str(node.children[0]).split(".")
        first = parts[0].upper()
        if len(parts) == 1 and first in ("TRUE", "FALSE"):
            return "boolean", (lambda _: True) if first == "TRUE" else (lambda _: False)
        if len(parts) == 1 and first == "NULL":
            return "null", lambda _: None
        if first.startswith("$"):
            return self._global(node, first, parts)
        found, get = self.field(node)
        return kind_of(found), self._blank(found, get)

    def _blank(self, found: Field, get: Evaluate) -> Evaluate:
        if found.type == "boolean":
            return lambda at: bool(get(at))
        if self.blank_is_zero and kind_of(found) == "number":
            return lambda at: get(at) or Decimal(0)
        return get

    def field(self, node: Any) -> tuple[Field, Evaluate]:
        """The field that a path names, and how its value is reached."""
        if node.data != "path" or str(node.children[0]).startswith("$"):
            raise wrong(node, "a field is expected")
        *hops, last = str(node.children[0]).split(".")
        sobject, lookups, path = self.sobject, list[tuple[str, str]](), list[tuple[str, str]]()
        if len(hops) > HOPS_MAX:
            raise wrong(node, f"a path may follow at most {HOPS_MAX} lookups")
        for hop in hops:
            name, _, wanted = hop.partition(":")
            reference = sobject.relations.get(name.lower())
            targets = reference.reference_to if reference else ()
            chosen = wanted or next((each for each in ("User", *targets) if each in targets), "")
            target = self.shape.object(chosen) if chosen in targets else None
            if reference is None or target is None:
                raise wrong(node, f"field {hop} does not exist on {sobject.name}; check spelling")
            if not lookups:
                self.reads.add(reference.name)
            path.append((sobject.name, reference.name))
            lookups.append((reference.name, target.name))
            sobject = target
        found = sobject.field(last)
        if found is None or found.type in ("address", "base64", "anyType"):
            raise wrong(node, f"field {last} does not exist on {sobject.name} or cannot be used in a formula")
        name = found.name
        if not lookups:
            self.reads.add(name)
            return found, scaled(found, lambda at: at.row.get(name))
        self.through.add(Reach(object=sobject.name, field=name, path=tuple(path)))
        return found, scaled(found, lambda at: _follow(at, lookups).get(name))

    def _global(self, node: Any, first: str, parts: list[str]) -> tuple[str, Evaluate]:
        """`$User.…`, `$Profile.Name`, `$RecordType.DeveloperName`: who saves, and as what."""
        name = {"$USER": "User", "$PROFILE": "Profile", "$RECORDTYPE": "RecordType"}.get(first)
        sobject = self.shape.object(name) if name else None
        found = sobject.field(parts[1]) if sobject and len(parts) == 2 else None
        if found is None or name is None:
            raise wrong(node, f"{'.'.join(parts)} is not known; known are fields of $User, $Profile and $RecordType")
        self.of_save = self.of_save or name != "RecordType"
        self.reads.add("RecordTypeId")
        key = found.name

        def get(at: Moment) -> Any:
            if name == "RecordType":
                return (at.find("RecordType", at.row.get("RecordTypeId") or "") or {}).get(key)
            user = at.find("User", at.user) or {}
            row = user if name == "User" else at.find("Profile", user.get("ProfileId") or "") or {}
            return row.get(key)

        return kind_of(found), self._blank(found, get)

    # -- operators -----------------------------------------------------------------------------------------------

    def _comparison(self, node: Any) -> tuple[str, Evaluate]:
        left, operator, right = node.children
        (kind, one), (other_kind, other) = self.compile(left), self.compile(right)
        for part, each in ((left, kind), (right, other_kind)):
            if each in ("picklist", "multipicklist"):
                raise wrong(part, "picklist fields are only supported in ISPICKVAL, CASE, TEXT, ISBLANK and the like")
        kinds = {"text" if each == "id" else each for each in (kind, other_kind)} - {"null"}
        if len(kinds) > 1:
            raise wrong(node, f"incorrect types for operator '{operator}': {kind} and {other_kind}")
        match str(operator):
            case "=" | "==":
                return "boolean", lambda at: same(one(at), other(at))
            case "<>" | "!=":
                return "boolean", lambda at: not same(one(at), other(at))
            case order:
                if kinds & {"boolean"}:
                    raise wrong(node, f"incorrect types for operator '{order}': {kind} and {other_kind}")
                test = ORDERS[order]

                def ordered(at: Moment) -> bool:  # nothing is smaller or larger than a blank
                    a, b = one(at), other(at)
                    return a is not None and b is not None and test(a, b)

                return "boolean", ordered

    def _arithmetic(self, node: Any) -> tuple[str, Evaluate]:
        left, token, right = node.children
        operator = str(token)
        kind, one = self.compile(left)
        if operator == "&" or (operator == "+" and kind in TEXTS):
            one, other = self.of(left, "text"), self.of(right, "text")
            return "text", lambda at: (one(at) or "") + (other(at) or "")
        if kind == "date" and operator in "+-":
            other_kind, other = self.compile(right)
            if other_kind == "date" and operator == "-":
                return "number", lambda at: days_between(one(at), other(at))
            days = self.of(right, "number")
            sign = 1 if operator == "+" else -1
            return "date", lambda at: shifted(one(at), days(at), sign)
        one, other = self.of(left, "number"), self.of(right, "number")
        apply = ARITHMETIC[operator]
        return "number", lambda at: computed(apply, one(at), other(at))

    # -- functions -----------------------------------------------------------------------------------------------

    def _call(self, node: Any) -> tuple[str, Evaluate]:
        name = str(node.children[0]).upper()
        arguments = [part for part in node.children[1:] if part is not None]
        known = FUNCTIONS.get(name)
        if known is None:
            raise wrong(node, f"function {node.children[0]} is not served here; served are {', '.join(FUNCTIONS)}")
        least, most, make = known
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} or more" if most > 99 else f"{least} to {most}"
            raise wrong(node, f"incorrect number of parameters for {name}: expected {wanted}, found {len(arguments)}")
        return make(self, arguments)


def compile_formula(shape: Shape, sobject: SObject, text: str, *, blank_is_zero: bool = False) -> Expression:
    """The formula as a function of a row; raises `FormulaError` where it makes no sense on this object."""
    if len(text) > FORMULA_LENGTH_MAX:
        raise FormulaError(f"a formula has at most {FORMULA_LENGTH_MAX} characters, this one {len(text)}")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        column = error.pos_in_stream + 1 if error.pos_in_stream is not None else len(text)
        raise FormulaError("syntax error", column) from None
    compiler = _Compiler(shape=shape, sobject=sobject, blank_is_zero=blank_is_zero)
    try:
        kind, evaluate = compiler.compile(tree)
    except RecursionError:
        raise FormulaError("the formula is nested too deeply") from None
    return Expression(
        kind=kind,
        evaluate=evaluate,
        reads=frozenset(compiler.reads),
        through=frozenset(compiler.through),
        volatile=compiler.volatile,
        of_save=compiler.of_save,
    )


@cache
def _parser() -> Lark:
    grammar = (Path(__file__).parent / "formula.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text[1:-1])


def _follow(at: Moment, lookups: list[tuple[str, str]]) -> Mapping[str, Any]:
    row: Row = at.row
    for reference, target in lookups:
        key = row.get(reference)
        parent = at.find(target, key) if key else None
        if parent is None:
            return {}
        row = parent
    return row
