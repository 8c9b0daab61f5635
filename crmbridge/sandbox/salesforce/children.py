"""Child subqueries: `(SELECT LastName FROM Contacts)`, compiled once, looked up for each parent (salesforce-api §2)."""

from typing import TYPE_CHECKING, Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import aggregates
from crmbridge.sandbox.salesforce.columns import HINT, Getter, Scope
from crmbridge.sandbox.salesforce.functions import resolve
from crmbridge.sandbox.salesforce.projection import Projection
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.semi_joins import check_places
from crmbridge.sandbox.salesforce.soql import at_spot, malformed
from crmbridge.sandbox.salesforce.soql_tree import Query

if TYPE_CHECKING:
    from crmbridge.sandbox.salesforce.query import Engine

SUBQUERIES_MAX: Final = 20  # §2.3
LEVELS_MAX: Final = 4  # subqueries below the root; how deep each version goes is (unverified)


class Children:
    def __init__(self, engine: "Engine", level: int) -> None:
        self._engine = engine
        self._level = level

    def column(self, inner: Query, outer: Scope) -> tuple[str, Getter]:
        """An object like the outer result, null without children (§2.1)."""
        text = inner.text
        if sum(isinstance(item, Query) for item in outer.query.items) > SUBQUERIES_MAX:  # the words are (unverified)
            raise malformed(text, inner.source_at, f"A query may have at most {SUBQUERIES_MAX} subqueries")
        if self._level >= LEVELS_MAX:
            raise malformed(text, inner.source_at, f"Subqueries may go {LEVELS_MAX} levels down")
        if aggregates.aggregated(inner):
            raise malformed(text, inner.source_at, "only root queries support aggregate expressions")
        if inner.views or inner.all_rows or inner.using or len(inner.sources) > 1:
            raise malformed(text, inner.source_at, "unexpected token: in a subquery this clause has no place")
        child, reference = self.relationship(inner, outer)
        engine, store = self._engine, outer.store
        scope = engine.child_scope(inner, child, outer)
        query = scope.query
        check_places(query, query.where)
        project = Projection(scope, Children(engine, self._level + 1).column).compile()
        test = engine.filters(scope).test(query.where) if query.where is not None else None
        sort = engine.sort(scope, query.order, lambda each: resolve(scope, each))
        whole = store.whole.objects.get(child.name, child)

        def get(row: Row) -> Any:
            under = store.referring(whole, reference.name, row["Id"])
            shown = [project(each) for each in engine.chosen(query, under, test, sort, in_order=False)]
            return {"totalSize": len(shown), "done": True, "records": shown} if shown else None

        return reference.child_relationship_name or inner.source, get

    def relationship(self, inner: Query, outer: Scope) -> tuple[SObject, Field]:
        """§2.4: by its name at the parent, which may be written before it."""
        *before, wanted = inner.sources[0].parts
        known = {outer.sobject.name.lower(), (outer.query.alias or outer.sobject.name).lower()}
        pairs = outer.store.shape.children.get(outer.sobject.name, ())
        named = [pair for pair in pairs if (pair[1].child_relationship_name or "").lower() == wanted.lower()]
        if not named or len(before) > 1 or (before and before[0].lower() not in known):
            message = f"Didn't understand relationship '{wanted}' in FROM part of query call. "
            hint = HINT.format(what="relationship", suffix="r")
            raise at_spot(inner.text, inner.source_at, message + hint, "INVALID_TYPE")
        return named[0]
