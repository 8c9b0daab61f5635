"""What `query?explain=` answers: how the query would be carried out (salesforce-api §2.1); its form is that of the REST
guide, its costs are of our own making (unverified).
"""

from typing import Any

from crmbridge.sandbox.salesforce.query import Engine
from crmbridge.sandbox.salesforce.soql_tree import Query


def plan(engine: Engine, query: Query) -> dict[str, Any]:
    """The way that is taken first, a scan of the table last; a query that could not run is refused as if it had."""
    found = engine.run(query)
    rows, candidates, fields = engine.estimate(query)
    name = found.sobject.name
    note = {
        "description": "Not considering filter for optimization because unindexed",
        "fields": list(engine.filtered_by(query)),
        "tableEnumOrId": name,
    }
    scan = {
        "cardinality": rows,
        "fields": [],
        "leadingOperationType": "TableScan",
        "notes": [note] if note["fields"] and not fields else [],
        "relativeCost": 1.5,
        "sobjectCardinality": rows,
        "sobjectType": name,
    }
    if not fields:
        return {"plans": [scan], "sourceQuery": query.text}
    cost = round(candidates / rows, 3) if rows else 0.0
    index = {**scan, "cardinality": candidates, "fields": list(fields), "leadingOperationType": "Index"}
    return {"plans": [{**index, "notes": [], "relativeCost": cost}, scan], "sourceQuery": query.text}
