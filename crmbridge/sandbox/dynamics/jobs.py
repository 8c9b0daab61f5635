"""BulkDelete: rows found by a query are deleted by a job, one by one (dataverse-api §4.7).

The job is done by the time its answer is given (a real one runs later); its row tells how it went.
"""

from collections.abc import Callable, Mapping
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import deleting
from crmbridge.sandbox.dynamics.context import Context, answer
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload
from crmbridge.sandbox.dynamics.payload import check_parameters
from crmbridge.sandbox.dynamics.store import fold
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import guid

JOB = "asyncoperation"
_PARAMETERS = frozenset({
    "QuerySet", "JobName", "SendEmailNotification", "ToRecipients", "CCRecipients", "RecurrencePattern",
    "StartDateTime", "SourceImportId", "RunNow",
})  # fmt: skip
_COMPLETED, _SUCCEEDED = 3, 30
_BULK_DELETE = 13
Test = Callable[[Row], bool]


def bulk_delete(ctx: Context) -> Reply:
    body = ctx.json()
    ctx.note(JOB, "BulkDelete")
    check_parameters(body, "BulkDelete", _PARAMETERS)
    ctx.access.demand_named("prvBulkDelete")
    if body.get("RecurrencePattern"):  # nothing would ever run it again
        raise DataverseError(501, "0x8006088a", "This sandbox does not serve recurring bulk deletions (§4.7).")
    name, queries = body.get("JobName"), body.get("QuerySet")
    if not isinstance(name, str) or not isinstance(queries, list) or not queries:  # text (unverified)
        raise bad_payload("", "The parameters 'QuerySet' and 'JobName' of 'BulkDelete' are required.")
    gone = failed = 0
    for query in queries:
        table, keys = _found(ctx, query)
        for key in keys:
            try:
                with ctx.store.transaction():
                    ctx.note(table.name, "delete")
                    deleting.delete(ctx, table, key)
                gone += 1
            except DataverseError:
                failed += 1
    job = ctx.world.guid()
    row: Row = {
        "asyncoperationid": job, "name": name, "operationtype": _BULK_DELETE, "statecode": _COMPLETED,
        "statuscode": _SUCCEEDED, "createdon": ctx.stamp, "modifiedon": ctx.stamp, "startedon": ctx.stamp,
        "completedon": ctx.stamp, "createdby": ctx.user, "modifiedby": ctx.user, "ownerid": ctx.user,
        "_ownerid_type": "systemuser", "message": f"{gone} rows were deleted, {failed} were not.",
    }  # fmt: skip
    if JOB in ctx.shape.tables:
        ctx.store.put(JOB, job, row)
    return answer({"@odata.context": f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.BulkDeleteResponse", "JobId": job})


# QueryExpression, as far as a list of rows to delete needs it


def _found(ctx: Context, query: Any) -> tuple[Table, list[str]]:
    if not isinstance(query, dict) or query.get("EntityName") not in ctx.shape.tables:
        raise bad_payload("", "Each query of 'QuerySet' must name its table in 'EntityName'.")  # text (unverified)
    table = ctx.shape.tables[query["EntityName"]]
    test = _filter(table, query.get("Criteria"))
    visible = ctx.access.visible(table)
    rows = ctx.store.rows(table.name)
    return table, [key for key, row in rows.items() if test(row) and (visible is None or visible(row))]


def _filter(table: Table, criteria: Any) -> Test:
    if criteria is None or criteria == {}:
        return lambda row: True
    if not isinstance(criteria, dict):
        raise bad_payload("", "'Criteria' must be an object.")  # text (unverified)
    parts = [_condition(table, each) for each in _list(criteria, "Conditions")]
    parts += [_filter(table, each) for each in _list(criteria, "Filters")]
    either = str(criteria.get("FilterOperator", "And")).lower() in {"or", "1"}
    joined = any if either and parts else all
    return lambda row: joined(part(row) for part in parts)


def _list(criteria: Mapping[str, Any], name: str) -> list[Any]:
    found = criteria.get(name) or []
    if not isinstance(found, list):
        raise bad_payload("", f"'{name}' must be a collection.")  # text (unverified)
    return found


def _condition(table: Table, condition: Any) -> Test:
    if not isinstance(condition, dict):
        raise bad_payload("", "A condition must be an object.")  # text (unverified)
    name, operator = str(condition.get("AttributeName")), str(condition.get("Operator"))
    if name not in table.columns:
        raise DataverseError(  # dataverse-api §10.3
            400, "0x80041103", f"'{table.name}' entity doesn't contain attribute with Name = '{name}'."
        )
    wanted = [_value(each) for each in _list(condition, "Values")]
    match operator:
        case "Equal" | "In":
            return lambda row: fold(row.get(name)) in wanted
        case "NotEqual" | "NotIn":
            return lambda row: fold(row.get(name)) not in wanted
        case "Null":
            return lambda row: row.get(name) is None
        case "NotNull":
            return lambda row: row.get(name) is not None
        case _:
            raise DataverseError(
                501,
                "0x8006088a",
                f"This sandbox does not serve the condition operator {operator} of BulkDelete (§4.7).",
            )


def _value(value: Any) -> Any:
    """A plain value, or `{"Value": …, "Type": …}` as Microsoft's clients send it."""
    plain = value.get("Value") if isinstance(value, dict) else value
    return guid(plain) or fold(plain) if isinstance(plain, str) else plain
