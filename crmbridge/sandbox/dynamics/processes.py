"""Business process flows: instances, their start by the server, stage moves (dataverse-api §8)."""

from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics.context import Context, answer
from crmbridge.sandbox.dynamics.errors import DataverseError, missing_row
from crmbridge.sandbox.dynamics.shape import Process, Stage
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import EMPTY_GUID, stamp

ACTIVE = 0


def start_first(ctx: Context, table: Table, row: Row) -> None:
    """On create the server starts the first process that the caller has rights for (§8.4), unless `processid` is the
    empty GUID.
    """
    if row.get("processid") == EMPTY_GUID:
        return
    for process in ctx.shape.starting.get(table.name, ()):
        if ctx.access.full or ctx.access.depth(ctx.shape.tables[process.table], "create"):
            start(ctx, process, table, row)
            return


def start(ctx: Context, process: Process, table: Table, row: Row, position: int = 0, moment: str | None = None) -> Row:
    """An instance on the stage at `position`; `moment` other than now where history is loaded."""
    instance_table = ctx.shape.tables[process.table]
    stages = process.stages[: position + 1]
    now = moment or ctx.stamp
    key = ctx.world.guid()
    instance: Row = {
        instance_table.key: key,
        instance_table.primary_name: process.name,
        "processid": process.id,
        "activestageid": stages[-1].id,
        "activestagestartedon": now,
        "traversedpath": ",".join(stage.id for stage in stages),
        "statecode": 0,
        "statuscode": 1,
        "createdon": now,
        "modifiedon": now,
        "createdby": ctx.user,
        "modifiedby": ctx.user,
        lookup_name(instance_table, table.name): row[table.key],
    }
    instance = ctx.store.put(process.table, key, instance)
    if table.name == "opportunity":
        write_salesstage(ctx, instance_table, instance, touch=moment is None)
    return instance


def lookup_name(instance_table: Table, target: str) -> str:
    """The column of an instance that points to a row of `target`."""
    return instance_table.single_lookups[target]


def instances(ctx: Context, table: str, key: str) -> list[tuple[Process, Row]]:
    """The processes on a row, newest `modifiedon` first: the first is the one that the form shows (§8.3)."""
    found: list[tuple[Process, Row]] = []
    for process in ctx.shape.processes.values():
        instance_table = ctx.shape.tables[process.table]
        if not any(stage.table == table for stage in process.stages):
            continue
        rows = ctx.store.rows(process.table)
        found += [
            (process, rows[each]) for each in ctx.store.find(process.table, lookup_name(instance_table, table), key)
        ]
    return sorted(found, key=lambda pair: (pair[1]["modifiedon"], pair[1]["versionnumber"]), reverse=True)


def active_instance(ctx: Context, table: str, key: str) -> tuple[Process, Row] | None:
    return next((pair for pair in instances(ctx, table, key) if pair[1]["statecode"] == ACTIVE), None)


# Writes to instance rows


def check(ctx: Context, table: Table, before: Row | None, row: Row, values: Row) -> None:
    """Complete and check an instance about to be written: stage, path, the rows its stage needs (§8.4)."""
    process = ctx.shape.processes[table.name]
    if before is None:
        row["processid"] = row.get("processid") or process.id
        row[table.primary_name] = row.get(table.primary_name) or process.name
        if "activestageid" not in values:
            row["activestageid"] = process.stages[0].id
            row["traversedpath"] = row.get("traversedpath") or process.stages[0].id
        row["activestagestartedon"] = row.get("activestagestartedon") or stamp(ctx.now)
    moved = before is None or {"activestageid", "traversedpath"} & set(values)
    if not moved:
        return
    if before is not None and before["statecode"] != ACTIVE and row["statecode"] != ACTIVE:
        raise DataverseError(400, "0x80060377", f"The process instance {row[table.key]} is not active.")
    if row.get("activestageid") is None:
        raise DataverseError(400, "0x80060449", "The active stage ID is empty.")
    position = process.position(row["activestageid"])
    if position is None:
        raise DataverseError(
            400, "0x80060452", f"Invalid stage: {row['activestageid']} is not a stage of {process.name}."
        )
    _check_path(process, row, position)
    if before is not None and before["activestageid"] != row["activestageid"]:
        _check_step(process, process.position(before["activestageid"]), position)
        if "activestagestartedon" not in values:
            row["activestagestartedon"] = stamp(ctx.now)
    needed = lookup_name(table, process.stages[position].table)
    if row.get(needed) is None:  # crossing tables needs the related row
        raise DataverseError(
            400, "0x80060462", f"The stage {process.stages[position].name} is on another table: {needed} is not set."
        )


def _check_path(process: Process, row: Row, position: int) -> None:
    path = [part.strip().lower() for part in (row.get("traversedpath") or "").split(",") if part.strip()]
    if not path or path[-1] != row["activestageid"]:
        raise DataverseError(400, "0x80060455", "The active stage is not the last stage of the traversed path.")
    if path[0] != process.stages[0].id:
        raise DataverseError(
            400, "0x80060456", "The first stage of the traversed path is not the first stage of the process."
        )
    if path != [stage.id for stage in process.stages[: position + 1]]:
        raise DataverseError(400, "0x80092003", "The traversed path does not follow the active path of the process.")
    row["traversedpath"] = ",".join(path)


def _check_step(process: Process, current: int | None, wanted: int) -> None:
    if current is None:
        return
    if wanted < current and process.stages[wanted].table != process.stages[current].table:
        # The Develop trap: an opportunity born from a lead cannot go back to the lead's stage (lifecycle §2)
        raise DataverseError(400, "0x80100002", "The process cannot be moved back to a stage of another table.")
    if abs(wanted - current) != 1:  # one step at a time; code (unverified)
        raise DataverseError(400, "0x80092003", "A process moves one stage at a time, forward or back.")


def advance_to_opportunity(ctx: Context, process: Process, instance: Row, opportunity: str) -> None:
    """What QualifyLead does to the lead's process: on to the first stage of the opportunity (§6.8)."""
    table = ctx.shape.tables[process.table]
    position = process.position(instance["activestageid"])
    following = process.stages[position + 1] if position is not None and position + 1 < len(process.stages) else None
    if (
        position is None
        or process.stages[position].table != "lead"
        or following is None
        or following.table != "opportunity"
    ):
        raise DataverseError(
            400, "0x80100002", f"The process instance {instance[table.key]} is not on the stage of the lead."
        )
    now = stamp(ctx.now)
    row = ctx.store.put(
        process.table,
        instance[table.key],
        {
            **instance,
            lookup_name(table, "opportunity"): opportunity,
            "activestageid": following.id,
            "activestagestartedon": now,
            "traversedpath": f"{instance['traversedpath']},{following.id}",
            "modifiedon": now,
            "modifiedby": ctx.user,
        },
    )
    write_salesstage(ctx, table, row)


def write_salesstage(ctx: Context, table: Table, instance: Row, *, touch: bool = True) -> None:
    """`opportunity.salesstage` follows the stage's category, where the shape says so (§7.1, unverified)."""
    process = ctx.shape.processes[table.name]
    opportunity_table = ctx.shape.tables.get("opportunity")
    if (
        not process.writes_salesstage
        or opportunity_table is None
        or not any(s.table == "opportunity" for s in process.stages)
    ):
        return
    key = instance.get(lookup_name(table, "opportunity"))
    row = ctx.store.get("opportunity", key) if key is not None else None
    stage = stage_of(process, instance)
    column = opportunity_table.columns.get("salesstage")
    if row is None or stage is None or column is None or column.option(stage.category) is None:
        return
    if row.get("salesstage") != stage.category:
        stamps: Row = {"modifiedon": stamp(ctx.now), "modifiedby": ctx.user} if touch else {}
        ctx.store.put("opportunity", row[opportunity_table.key], {**row, "salesstage": stage.category, **stamps})


def stage_of(process: Process, instance: Row) -> Stage | None:
    position = process.position(instance.get("activestageid"))
    return None if position is None else process.stages[position]


# Functions


def retrieve_process_instances(ctx: Context, table: str, key: str) -> Reply:
    """`RetrieveProcessInstances(…)`: the active stage is in `processstageid` there (§8.3)."""
    found: list[dict[str, Any]] = []
    row = ctx.store.get(table, key)
    if row is not None:
        ctx.access.demand_row(ctx.shape.tables[table], row, "read")
    for process, row in instances(ctx, table, key):
        found.append(
            {
                "@odata.type": "#Microsoft.Dynamics.CRM.businessprocessflowinstance",
                "businessprocessflowinstanceid": row[ctx.shape.tables[process.table].key],
                "name": row.get(ctx.shape.tables[process.table].primary_name),
                "processid": process.id,
                "processstageid": row.get("activestageid"),
                "traversedpath": row.get("traversedpath"),
                "statecode": row.get("statecode"),
                "statuscode": row.get("statuscode"),
                "modifiedon": row.get("modifiedon"),
            }
        )
    context = f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveProcessInstancesResponse"
    return answer({"@odata.context": context, "Processes": found})


def retrieve_active_path(ctx: Context, key: str) -> Reply:
    """`RetrieveActivePath(ProcessInstanceId=…)`: the stages that the row can pass, in order."""
    for process in ctx.shape.processes.values():
        if ctx.store.get(process.table, key) is not None:
            stages = [
                {
                    "processstageid": stage.id,
                    "stagename": stage.name,
                    "stagecategory": stage.category,
                    "_processid_value": process.id,
                    "primaryentitytypecode": stage.table,
                }
                for stage in process.stages
            ]
            return answer({"@odata.context": f"{ctx.base}/$metadata#processstages", "value": stages})
    raise missing_row("businessprocessflowinstance", key)
