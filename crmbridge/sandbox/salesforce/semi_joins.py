"""Semi- and anti-joins: `Id IN (SELECT AccountId FROM Contact)`, and where they may not stand (salesforce-api §2.3)."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from crmbridge.sandbox.salesforce.columns import Column, Scope
from crmbridge.sandbox.salesforce.schema import Field
from crmbridge.sandbox.salesforce.soql import malformed
from crmbridge.sandbox.salesforce.soql_tree import (
    Condition,
    Every,
    Expression,
    FieldPath,
    Query,
    Selected,
    SemiJoin,
    Some,
    walk,
)

SEMI_JOINS_MAX: Final = 2

Column_ = Callable[[Query, FieldPath], Column]
Values = Callable[[Query, FieldPath], AbstractSet[Any]]


class SemiJoins:
    """What the queries inside select; `column` and `values` are the engine's."""

    def __init__(self, column: Column_, values: Values) -> None:
        self._column = column
        self._values = values

    def ids(self, scope: Scope, path: Expression, left: Field, inner: Query) -> AbstractSet[Any]:
        """§2.3: one id or reference column of another object, not ordered and not limited."""
        text, shape = scope.query.text, scope.store.shape
        if shape.object(inner.source) is scope.sobject:
            raise malformed(text, path.at, "The inner and outer selects should not be on the same object type")
        item = inner.items[0]
        if (
            inner.order
            or inner.limit is not None
            or inner.offset
            or inner.group
            or inner.having
            or len(inner.items) != 1
        ):
            raise malformed(text, path.at, "semi join sub-selects select one field, without ORDER BY or LIMIT")
        if not isinstance(item, Selected) or not isinstance(item.expression, FieldPath):
            raise malformed(text, path.at, "semi join sub-selects select one field, no function and no subquery")
        right = self._column(inner, item.expression)
        if right.field.type not in ("id", "reference"):
            shown = f"semi join sub-selects can only query id fields, cannot use: '{item.expression}'"
            raise malformed(text, item.at, shown)
        if left.type not in ("id", "reference"):  # the words are (unverified)
            shown = "The left operand field in the where expression for outer query should be an id field"
            raise malformed(text, path.at, f"{shown}, cannot use: '{path}'")
        if _disjoint(scope.sobject.name, left, shape.object(inner.source), right):
            shown = (
                f"The selected field '{item.expression}' in the subquery and the left operand field in the where "
                f"expression in the outer query '{path}' should point to the same object type"
            )
            raise malformed(text, path.at, shown)
        return self._values(inner, item.expression)


def _disjoint(outer: str, left: Field, inner: Any, right: Column) -> bool:
    """Whether the two can never hold the same id; a path through a parent is not judged."""
    if not right.own or inner is None:
        return False
    lefts = {outer} if left.name == "Id" else set(left.reference_to)
    rights = {inner.name} if right.field.name == "Id" else set(right.field.reference_to)
    return bool(lefts and rights) and not lefts & rights


def check_places(query: Query, where: Condition | None) -> None:
    """§2.3: at most two, at the top level, never under OR, none within another."""
    text, seen = query.text, 0
    for part, around in walk(where):
        if not isinstance(part, SemiJoin):
            continue
        seen += 1
        if seen > SEMI_JOINS_MAX:
            raise malformed(text, part.path.at, f"Maximum {SEMI_JOINS_MAX} semi join sub-selects are allowed")
        if len(around) == 1 and isinstance(around[0], Some):
            raise malformed(text, part.path.at, "Semi join sub-selects are not allowed with the 'OR' operator")
        if any(not isinstance(each, Every) for each in around) or len(around) > 1:
            message = "Semi join sub-selects are only allowed at the top level WHERE expressions"
            raise malformed(text, part.path.at, f"{message} and not in nested WHERE expressions")
        if any(isinstance(each, SemiJoin) for each, _ in walk(part.query.where)):
            raise malformed(text, part.path.at, "Nesting of semi join sub-selects is not supported")
