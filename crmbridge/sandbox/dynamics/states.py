"""State and status of rows, and what the Sales tables tie to them (dataverse-api §6.4, §7.2; lifecycle §2, §9)."""

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.tables import Table

OPEN = 0


def settle_state(table: Table, before: Row | None, values: Row, *, by_message: bool = False) -> None:
    """Complete `statecode`/`statuscode` in `values`, or refuse. `by_message`: Win, Lose, Qualify, Merge may close."""
    if table.state is None:
        return
    for name in ("statecode", "statuscode"):
        if name in values and values[name] is None:
            if name == "statecode":
                raise DataverseError(
                    400, "0x80040203", f"The column '{name}' of {table.name} cannot be null."
                )  # (unverified)
            del values[name]
    current: int = table.state.options[0].value if before is None else before["statecode"]
    wanted: int = values.get("statecode", current)
    if before is None and wanted != current and not by_message:  # (unverified)
        raise not_of_state(table, values.get("statuscode", wanted), current)
    if wanted != current and not by_message:
        _check_transition(table, before or {}, wanted)
    status = values.get("statuscode")
    if status is None:
        if before is not None and wanted == current:
            return
        option = table.state.option(wanted)
        status = option.default if option else None  # DefaultStatus: dataverse-api §5
    chosen = table.columns["statuscode"].option(status)
    if chosen is None or chosen.state != wanted:  # only statuscode given: give both (dataverse-api §4.2)
        raise not_of_state(table, status, wanted)
    values["statecode"], values["statuscode"] = wanted, status


def not_of_state(table: Table, status: int | None, state: int) -> DataverseError:
    option = table.state.option(state) if table.state else None
    label = option.label if option else state
    return DataverseError(
        400,
        "0x80048408",
        f"{status} is not a valid status code for state code {table.schema}State.{label} on {table.name}.",
    )


def _check_transition(table: Table, before: Row, wanted: int) -> None:
    current = before["statecode"]
    if before.get("merged"):  # nothing comes of it any more: lifecycle §2; code and text (unverified)
        raise DataverseError(400, "0x80040203", f"A merged {table.name} cannot be activated again.")
    if table.name == "lead" and OPEN not in (current, wanted):  # 1 <-> 2 only through 0; code (unverified)
        raise DataverseError(400, "0x80040519", "The lead is already closed.")
    if table.name == "opportunity" and wanted != OPEN:  # dataverse-api §7.3
        option = table.state.option(wanted) if table.state else None
        label = option.label if option else wanted
        raise DataverseError(
            400,
            "0x80100005",
            f"This message can not be used to set the state of opportunity to {label}. In order to set state of "
            "opportunity "
            f"to {label}, use the {label} message instead.",
        )


def follow_customer(table: Table, before: Row, row: Row, values: Row) -> None:
    """`customerid` and the two parents are kept in step; the account wins (lifecycle §4 O13, O14)."""
    if not {"customerid", "parentaccountid", "parentcontactid"} <= set(table.columns):
        return
    account, contact = "parentaccountid", "parentcontactid"
    if account in values or contact in values:
        if row.get(account) is None and row.get(contact) is None and values.get("customerid") is not None:
            _adopt(row)
        elif row.get(account) is not None:
            row["customerid"], row["_customerid_type"] = row[account], "account"
        elif row.get(contact) is not None:
            row["customerid"], row["_customerid_type"] = row[contact], "contact"
        elif before.get(account) is not None or before.get(contact) is not None:
            row["customerid"] = row["_customerid_type"] = None
    elif "customerid" in values:
        _adopt(row)


def _adopt(row: Row) -> None:
    """The parents follow a customer that was written itself; (unverified) for clearing the other parent."""
    customer, kind = row.get("customerid"), row.get("_customerid_type")
    if kind == "contact":
        row["parentaccountid"], row["parentcontactid"] = None, customer
    else:
        row["parentaccountid"] = customer


def forecast(row: Row, state: int) -> None:
    """Forecast category goes with the close, and back with a reopen ((unverified) for the reopen)."""
    if "msdyn_forecastcategory" in row:
        row["msdyn_forecastcategory"] = {OPEN: 100000001, 1: 100000005}.get(state, 100000006)
