"""One operation, alone or in a batch: from its path and method to what is done (dataverse-api §2, §4)."""

from collections.abc import Callable, Mapping

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import (
    actions,
    bulk,
    csdl,
    definitions,
    deleting,
    jobs,
    keys,
    merging,
    organization,
    pricing,
    processes,
    reading,
    rights,
    row_parts,
    sharing,
    tracking,
    writing,
)
from crmbridge.sandbox.dynamics.context import (
    Context,
    RowKey,
    Segment,
    answer,
    arguments,
    key_missing,
    no_content,
    query_options,
    resolve_key,
    segments,
)
from crmbridge.sandbox.dynamics.errors import (
    DataverseError,
    bad_method,
    bad_query,
    missing_row,
    missing_segment,
    not_served,
)
from crmbridge.sandbox.dynamics.headers import detection_asked
from crmbridge.sandbox.dynamics.left_out import LEFT_OUT
from crmbridge.sandbox.dynamics.metadata_changes import retrieve_metadata_changes
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import guid

_PREFIX = "Microsoft.Dynamics.CRM."


def perform(ctx: Context, method: str, path: str) -> Reply:
    """Carry out `method path` (the path behind the service root); the caller owns the transaction."""
    parts = segments(path)
    if method not in _READS:
        _check_write_headers(ctx)
        _check_write_options(ctx, method, parts)
    if not parts:
        ctx.note("", "metadata")
        if method != "GET":
            raise bad_method(method)
        _refuse_options(ctx, frozenset())
        return organization.service_document(ctx)
    first = parts[0]
    table = ctx.shape.by_set.get(first.name)
    if table is None:
        return _unbound(ctx, method, parts)
    if len(parts) > 1 and (parts[-1].name.startswith(_PREFIX) or parts[-1].name in _SHORT):
        return _bound(ctx, method, table, parts)
    if first.key is None:
        return _on_set(ctx, method, table, parts)
    key = resolve_key(ctx, table, first.key)
    return _on_row(ctx, method, table, key) if len(parts) == 1 else _below_row(ctx, method, table, key, parts[1:])


_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def _check_write_headers(ctx: Context) -> None:
    """Headers that steer a write are read before anything is done: a wrong one is refused, not overlooked (§4.4)."""
    detection_asked(ctx.headers)
    _ = ctx.bypasses_logic
    unless = ctx.header("if-none-match").strip()
    if unless not in {"", "*", "null"}:  # a version there means a read: dataverse-api §2.3, §4.2 (unverified)
        raise bad_query("The header If-None-Match of a write must be '*'.")


def _check_write_options(ctx: Context, method: str, parts: list[Segment]) -> None:
    """What a write has no use for is refused, as on reads: the parts of a representation, the row to unlink (§4.1)."""
    if parts and parts[-1].name == "$ref":
        known = frozenset({"$id"})
    elif len(parts) == 1 and parts[0].name in ctx.shape.by_set and method in {"POST", "PATCH"}:
        known = frozenset({"$select", "$expand"})
    else:
        known = frozenset[str]()
    _refuse_options(ctx, known)


def _refuse_options(ctx: Context, known: frozenset[str]) -> None:
    """dataverse-api §10.3"""
    options, _ = query_options(ctx.query)
    if unwanted := sorted(set(options) - known):
        raise bad_query(f"The query parameter {unwanted[0]} is not supported here.")  # text (unverified)


# Functions and actions


_SHORT = frozenset({
    "QualifyLead", "CreateMultiple", "UpdateMultiple", "UpsertMultiple", "DeleteMultiple", "RetrieveUserPrivileges",
})  # fmt: skip


def _access(ctx: Context, user: Row, segment: Segment) -> Reply:
    given = arguments(segment.key, query_options(ctx.query)[1])
    if set(given) != {"Target"}:  # a function is found by its parameters' names too: dataverse-api §10.3 (unverified)
        raise missing_segment(segment.name)
    return rights.principal_access(ctx, user, given["Target"])


_OF_A_USER: Mapping[str, Callable[[Context, Row, Segment], Reply]] = {
    "RetrieveUserPrivileges": lambda ctx, user, _: rights.user_privileges(ctx, user),
    "RetrievePrincipalAccess": _access,
}


def _bound(ctx: Context, method: str, table: Table, parts: list[Segment]) -> Reply:
    name = parts[-1].name
    if not name.startswith(_PREFIX):  # a short name: dataverse-api §6.6
        ctx.note(table.name, name)
        raise bad_query("Request message has unresolved parameters.")
    name = name.removeprefix(_PREFIX)
    if method == "GET" and table.name == "systemuser" and parts[0].key is not None and name in _OF_A_USER:
        ctx.note(table.name, name)
        return _OF_A_USER[name](ctx, _row(ctx, table, resolve_key(ctx, table, parts[0].key), name), parts[-1])
    if method != "POST":
        ctx.note(table.name, name)
        if name not in _SHORT:
            raise _unknown(parts[-1].name)
        raise DataverseError(405, "0x8006088a", f"The action {name} must be called with POST.")
    if name == "QualifyLead" and table.name == "lead" and len(parts) == 2 and parts[0].key is not None:
        return actions.qualify_lead(
            ctx, _row(ctx, table, resolve_key(ctx, table, parts[0].key), "QualifyLead")[table.key]
        )
    if name in bulk.MESSAGES and parts[0].key is None and len(parts) == 2:
        return bulk.perform(ctx, table, name)
    ctx.note(table.name, name)
    raise _unknown(parts[-1].name)  # SetState, Assign and other messages of the older service: §4.2, §10.3


def _unknown(segment: str) -> DataverseError:
    name = segment.removeprefix(_PREFIX)
    return not_served(f"the action or function {name}") if name in LEFT_OUT else missing_segment(segment)


def _unbound(ctx: Context, method: str, parts: list[Segment]) -> Reply:
    name = parts[0].name
    if name in definitions.ROOTS:
        ctx.note("", "metadata")
        return definitions.definitions(ctx, parts) if method == "GET" else definitions.change(ctx, method, parts)
    if name == "$metadata" and len(parts) == 1 and parts[0].key is None:
        ctx.note("", "metadata")
        if method != "GET":
            raise bad_method(method)
        return csdl.csdl(ctx)
    if method == "POST" and len(parts) == 1 and parts[0].key is None:
        if name in {"WinOpportunity", "LoseOpportunity"}:
            return actions.close_opportunity(ctx, name)
        if name == "Merge":
            return merging.merge(ctx)
        if name == "CalculatePrice":
            return pricing.calculate_price(ctx)
        if name in sharing.ACTIONS:
            return sharing.perform(ctx, name)
        if name == "BulkDelete":
            return jobs.bulk_delete(ctx)
        if name == "ReactivateEntityKey":
            ctx.note("", "metadata")
            return keys.reactivate(ctx)
    if method == "GET" and len(parts) == 1:
        return _function(ctx, parts[0])
    ctx.note("", "other")
    raise _unknown(name)


_PARAMETERS = {
    "WhoAmI": frozenset[str](),
    "RetrieveVersion": frozenset[str](),
    "RetrieveAvailableLanguages": frozenset[str](),
    "RetrieveCurrentOrganization": frozenset({"AccessType"}),
    "RetrieveMetadataChanges": frozenset({"Query", "ClientVersionStamp", "DeletedMetadataFilters"}),
    "RetrieveTotalRecordCount": frozenset({"EntityNames"}),
    "RetrieveProcessInstances": frozenset({"EntityId", "EntityLogicalName"}),
    "RetrieveActivePath": frozenset({"ProcessInstanceId"}),
    "RetrieveSharedPrincipalsAndAccess": frozenset({"Target"}),
}  # of functions: dataverse-api §1.4, §2.8, §5, §8.3


def _function(ctx: Context, segment: Segment) -> Reply:
    known = _PARAMETERS.get(segment.name)
    if known is None:
        ctx.note("", "other")
        raise _unknown(segment.name)
    _refuse_options(ctx, frozenset())
    _, aliases = query_options(ctx.query)
    given = arguments(segment.key, aliases)
    if not set(given) <= known:  # a function is found by its parameters' names too: dataverse-api §10.3 (unverified)
        ctx.note("", "other")
        raise missing_segment(segment.name)
    match segment.name:
        case "WhoAmI":
            ctx.note("", "WhoAmI")
            return organization.who_am_i(ctx)
        case "RetrieveCurrentOrganization":
            ctx.note("", "metadata")
            return organization.retrieve_current_organization(ctx, given.get("AccessType", ""))
        case "RetrieveVersion":
            ctx.note("", "metadata")
            return organization.retrieve_version(ctx)
        case "RetrieveAvailableLanguages":
            ctx.note("", "metadata")
            return organization.retrieve_available_languages(ctx)
        case "RetrieveMetadataChanges":
            ctx.note("", "metadata")
            return retrieve_metadata_changes(ctx, given)
        case "RetrieveTotalRecordCount":
            ctx.note("", "read")
            return organization.retrieve_total_record_count(ctx, given.get("EntityNames", ""))
        case "RetrieveProcessInstances":
            table, key = given.get("EntityLogicalName", ""), guid(given.get("EntityId"))
            ctx.note(table, "RetrieveProcessInstances")
            if table not in ctx.shape.tables or key is None:
                raise bad_query("RetrieveProcessInstances needs EntityId and EntityLogicalName.")
            return processes.retrieve_process_instances(ctx, table, key)
        case "RetrieveActivePath":
            ctx.note("processstage", "RetrieveActivePath")
            if (instance := guid(given.get("ProcessInstanceId"))) is None:
                raise bad_query("RetrieveActivePath needs ProcessInstanceId.")
            return processes.retrieve_active_path(ctx, instance)
        case "RetrieveSharedPrincipalsAndAccess":
            return sharing.principals_of(ctx, given.get("Target", ""))
        case _:
            raise AssertionError(f"{segment.name} has parameters but is not carried out")


# Sets


def _on_set(ctx: Context, method: str, table: Table, parts: list[Segment]) -> Reply:
    names = [part.name for part in parts[1:]]
    if method == "GET":
        ctx.access.demand(table, "read")
    if method == "GET" and names == ["$count"]:
        options, _ = query_options(ctx.query)
        ctx.note(table.name, "delta" if "$deltatoken" in options else "read")
        return tracking.count_changes(ctx, table) if "$deltatoken" in options else reading.count_rows(ctx, table)
    if names:
        ctx.note(table.name, "other")
        raise missing_segment(names[0])
    if method == "GET":
        ctx.note(table.name, "read")
        options, _ = query_options(ctx.query)
        url = f"{ctx.base}/{table.set_name}"
        if tracking.is_tracked(ctx, options):
            ctx.noted[-1] = (table.name, "delta")
            ctx.access.demand_organization_read(table)
            return tracking.read_changes(ctx, table, url)
        return reading.read_collection(ctx, table, url)
    if method == "POST":
        ctx.note(table.name, "create")
        return _written(ctx, table, writing.create_from(ctx, table, ctx.json(needed=True)), created=True)
    ctx.note(table.name, "other")
    raise bad_method(method)


# Rows


def _row(ctx: Context, table: Table, key: RowKey, kind: str) -> Row:
    if key.id is None:
        ctx.note(table.name, kind)
        raise key_missing(table)
    row = ctx.store.get(table.name, key.id)
    if row is None:
        ctx.note(table.name, kind)
        raise missing_row(table.name, key.id)
    return row


def _on_row(ctx: Context, method: str, table: Table, key: RowKey) -> Reply:
    match method:
        case "GET":
            row = _row(ctx, table, key, "read")
            ctx.note(table.name, "read")
            ctx.access.demand_row(table, row, "read")
            _check_version(ctx, table, row)
            return reading.read_row(ctx, table, row)
        case "PATCH":
            return _patch(ctx, table, key)
        case "DELETE":
            row = _row(ctx, table, key, "delete")
            ctx.note(table.name, "delete")
            _check_version(ctx, table, row)
            deleting.delete(ctx, table, row[table.key])
            return no_content()
        case _:
            ctx.note(table.name, "other")
            raise bad_method(method)


def _patch(ctx: Context, table: Table, key: RowKey) -> Reply:
    """The table of conditional headers in dataverse-api §4.2."""
    ctx.note(table.name, "update" if ctx.header("if-match") else "upsert")
    row = ctx.store.get(table.name, key.id) if key.id is not None else None
    if row is None:
        if ctx.header("if-match"):
            raise key_missing(table) if key.id is None else missing_row(table.name, key.id)
        forced: Row = {} if key.id is None else {table.key: key.id}
        made = writing.create_from(ctx, table, ctx.json(needed=True), forced, by_key=dict(key.alternate))
        return _written(ctx, table, made, created=True)
    if ctx.header("if-none-match") == "*":
        raise DataverseError(412, "0x80060892", "A record with matching key values already exists.")
    _check_version(ctx, table, row)
    row = writing.update_from(ctx, table, row[table.key], ctx.json(needed=True), key.alternate)
    return _written(ctx, table, row, created=False)


def _check_version(ctx: Context, table: Table, row: Row) -> None:
    wanted = ctx.header("if-match").strip()
    if wanted in {"", "*"}:
        return
    if not table.optimistic_concurrency:
        raise DataverseError(400, "0x8006088D", f"Optimistic concurrency isn't enabled for entity type {table.name}.")
    if wanted != f'W/"{row["versionnumber"]}"':
        raise DataverseError(
            412, "0x80060882", "The version of the existing record doesn't match the RowVersion property provided."
        )


def _written(ctx: Context, table: Table, row: Row, *, created: bool) -> Reply:
    url = ctx.entity = ctx.url(table, row[table.key])
    if ctx.prefer.representation:  # 201 tells create from update: dataverse-api §4.1, §4.2
        options, _ = query_options(ctx.query)
        if not created:
            options.pop("$expand", None)
        body = reading.represent(ctx, table, row, options)
        return answer(body, 201 if created else 200, reading.applied(ctx, "return=representation", paged=False))
    # a part of a batch has both headers, an answer by itself one: dataverse-api §4.1
    location = (("Location", url),) if created and ctx.batched else ()
    return no_content((*location, ("OData-EntityId", url), *reading.applied(ctx, paged=False)))


# Properties, navigations and references of a row


def _below_row(ctx: Context, method: str, table: Table, key: RowKey, rest: list[Segment]) -> Reply:
    names = [part.name for part in rest]
    row = _row(ctx, table, key, "read" if method == "GET" else "update")
    if method == "GET":
        ctx.note(table.name, "read")
        return reading.read_below(ctx, table, row, rest)
    ctx.note(table.name, "update")
    if method != "POST":  # conditions are for what changes the row itself: dataverse-api §4.2
        _check_version(ctx, table, row)
    if names[1:] == ["$ref"]:
        return row_parts.change_reference(ctx, method, table, row, rest[0])
    if len(names) == 1 and method in {"PUT", "DELETE"}:
        return row_parts.change_property(ctx, method, table, row, names[0])
    raise not_served(f"{method} on the path {'/'.join(names)} below a row")
