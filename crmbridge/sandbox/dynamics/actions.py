"""The life-cycle actions: QualifyLead, WinOpportunity, LoseOpportunity (dataverse-api §6.6-6.9, §7.3)."""

from collections.abc import Mapping
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import processes
from crmbridge.sandbox.dynamics.computed import base_currency
from crmbridge.sandbox.dynamics.context import Context, answer, no_content
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload, missing_row
from crmbridge.sandbox.dynamics.headers import detection_asked
from crmbridge.sandbox.dynamics.payload import check_parameters, entity_reference, read_changes
from crmbridge.sandbox.dynamics.rules import refuse_by_rule
from crmbridge.sandbox.dynamics.security import NONE
from crmbridge.sandbox.dynamics.states import OPEN, not_of_state
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.writing import create, demand_for_new, update

QUALIFIED, WON, LOST = 1, 1, 2
_QUALIFY = frozenset({
    "CreateAccount", "CreateContact", "CreateOpportunity", "Status", "OpportunityCurrencyId", "OpportunityCustomerId",
    "SourceCampaignId", "ProcessInstanceId", "SuppressDuplicateDetection", "entity",
})  # fmt: skip


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):  # required: dataverse-api §6.6; text (unverified)
        raise bad_payload("", f"The parameter '{name}' of 'QualifyLead' is required and must be a Boolean.")
    return value


def _status(ctx: Context, table: Table, value: Any, state: int) -> int:
    """A statuscode of the state; -1 = the default one (dataverse-api §6.6)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_payload("", "The parameter 'Status' is required and must be an Int32.")
    if value == -1 and table.state is not None and (option := table.state.option(state)) is not None:
        return option.default or 0
    chosen = table.columns["statuscode"].option(value)
    if chosen is None or chosen.state != state:
        raise not_of_state(table, value, state)
    return value


# QualifyLead


def qualify_lead(ctx: Context, key: str) -> Reply:
    ctx.note("lead", "QualifyLead")
    table = ctx.shape.tables["lead"]
    lead = ctx.store.get("lead", key)
    if lead is None:
        raise missing_row("lead", key)
    body = ctx.json()
    check_parameters(body, "QualifyLead", _QUALIFY)
    if (repeated := entity_reference(ctx, body.get("entity"), ("lead",))) is not None and repeated[1] != key:
        raise bad_payload("", "The parameter 'entity' is not the lead of the URL.")  # text (unverified)
    _demand_rights(ctx, table, lead, body)
    if lead["statecode"] != OPEN:  # dataverse-api §6.9; status (unverified)
        raise DataverseError(400, "0x80040519", "The lead is already closed.")
    qualification = _Qualification(ctx, table, lead, body)
    return answer(
        {
            "@odata.context": f"{ctx.base}/$metadata#Collection(Microsoft.Dynamics.CRM.crmbaseentity)",
            "value": qualification.carry_out(),
        }
    )


_MAPS = ("prvReadAttributeMap", "prvReadEntityMap", "prvReadEntity", "prvReadCustomization")


def _demand_rights(ctx: Context, table: Table, lead: Row, body: Mapping[str, Any]) -> None:
    """Write on the lead, read on what maps are made of, create on what is created: §6.9, lifecycle §6."""
    if ctx.access.full:
        return
    ctx.access.demand_row(table, lead, "write")
    for privilege in _MAPS:
        ctx.access.demand_named(privilege)
    for name in ("account", "contact", "opportunity"):
        if body.get(f"Create{name.capitalize()}") is True:
            other = ctx.shape.tables[name]
            if ctx.access.depth(other, "create") == NONE:
                raise DataverseError(
                    403, "0x80081018", f"You do not have the privilege to create a {name} from the lead."
                )  # status and text (unverified)
            ctx.access.demand(other, "append")
            ctx.access.demand(other, "appendto")


class _Qualification:
    """One lead's qualification: rows are created from the lead by the attribute maps, existing ones stay untouched."""

    def __init__(self, ctx: Context, table: Table, lead: Row, body: Mapping[str, Any]) -> None:
        self.ctx = ctx
        self.table = table
        self.lead = lead
        self.wants = {name: _flag(body, f"Create{name.capitalize()}") for name in ("account", "contact", "opportunity")}
        self.status = _status(ctx, table, body.get("Status"), QUALIFIED)
        self.currency = entity_reference(ctx, body.get("OpportunityCurrencyId"), ("transactioncurrency",))
        self.customer = entity_reference(ctx, body.get("OpportunityCustomerId"), ("account", "contact"))
        self.campaign = entity_reference(ctx, body.get("SourceCampaignId"), ("campaign",))
        self.instance = self._instance(body.get("ProcessInstanceId"))
        given = "SuppressDuplicateDetection" in body
        self.detect = not _flag(body, "SuppressDuplicateDetection") if given else detection_asked(ctx.headers)
        self.made: dict[str, str] = {}

    def carry_out(self) -> list[dict[str, Any]]:
        if self.wants["account"]:
            self.made["account"] = self._create("account", {})
        account = self.made.get("account", self.lead.get("parentaccountid"))
        if self.wants["contact"]:
            self.made["contact"] = self._create("contact", _customer("parentcustomerid", "account", account))
        contact = self.made.get("contact", self.lead.get("parentcontactid"))
        if "account" in self.made and "contact" in self.made:
            self._set("account", {"primarycontactid": contact})
        if self.wants["opportunity"]:
            self._create_opportunity(account, contact)
        self._close_lead()
        return [
            {"@odata.type": f"#Microsoft.Dynamics.CRM.{name}", self.ctx.shape.tables[name].key: key}
            for name, key in self.made.items()
        ]

    def _create(self, name: str, values: Row, *, start: bool = True) -> str:
        table = self.ctx.shape.tables[name]
        copied: Row = {}
        for source, target in self.ctx.shape.attribute_maps.get(name, {}).items():
            if (value := self.lead.get(source)) is not None and target in table.columns:
                copied[target] = value
                if table.columns[target].polymorphic:
                    copied[table.columns[target].type_key] = self.lead.get(table.columns[target].type_key)
        copied |= {"originatingleadid": self.lead[self.table.key], **values}
        if self.ctx.shape.organization.owner_of_qualified_rows == "lead":
            copied |= {"ownerid": self.lead["ownerid"], "_ownerid_type": self.lead["_ownerid_type"]}
        row = create(self.ctx, table, copied, detect_duplicates=self.detect, start=start)
        return row[table.key]

    def _set(self, name: str, values: Row) -> None:
        update(self.ctx, self.ctx.shape.tables[name], self.made[name], values)

    def _create_opportunity(self, account: str | None, contact: str | None) -> None:
        if (
            self.customer is not None
        ):  # OpportunityCustomerId, else the account, else the contact: dataverse-api §6.8(3)
            kind, key = self.customer
            account, contact = (key, contact) if kind == "account" else (None, key)
        currency = self.currency[1] if self.currency else self.lead.get("transactioncurrencyid")
        values: Row = {
            "parentaccountid": account,
            "parentcontactid": contact,
            "transactioncurrencyid": currency or base_currency(self.ctx.store),
        }
        if self.campaign is not None:
            values["campaignid"] = self.campaign[1]
        # the lead's process goes on; without one the opportunity starts its own
        key = self._create("opportunity", values, start=self.instance is None)
        self.made["opportunity"] = key
        if self.instance is not None:
            processes.advance_to_opportunity(self.ctx, *self.instance, key)

    def _instance(self, value: Any) -> tuple[processes.Process, Row] | None:
        """Without ProcessInstanceId the platform takes the lead's active instance (lifecycle §9)."""
        lead_key = self.lead[self.table.key]
        if value is None or value == {}:
            found = processes.active_instance(self.ctx, "lead", lead_key)
            return found if found and self._on_lead_stage(*found) else None
        key = value.get("businessprocessflowinstanceid") if isinstance(value, dict) else None
        for process, row in processes.instances(self.ctx, "lead", lead_key):
            if row[self.ctx.shape.tables[process.table].key] == str(key).lower():
                return process, row
        raise missing_row("businessprocessflowinstance", str(key))

    def _on_lead_stage(self, process: processes.Process, row: Row) -> bool:
        stage = processes.stage_of(process, row)
        return stage is not None and stage.table == "lead"

    def _close_lead(self) -> None:
        values: Row = {"statecode": QUALIFIED, "statuscode": self.status}
        for name, column in (
            ("account", "parentaccountid"),
            ("contact", "parentcontactid"),
            ("opportunity", "qualifyingopportunityid"),
        ):
            if name in self.made:
                values[column] = self.made[name]
        row = update(self.ctx, self.table, self.lead[self.table.key], values, by_message=True)
        refuse_by_rule(self.ctx, self.table, row, "qualify")


def _customer(name: str, kind: str, key: str | None) -> Row:
    return {} if key is None else {name: key, f"_{name}_type": kind}


# WinOpportunity, LoseOpportunity


def close_opportunity(ctx: Context, action: str) -> Reply:
    state = WON if action == "WinOpportunity" else LOST
    ctx.note("opportunity", action)
    table, close_table = ctx.shape.tables["opportunity"], ctx.shape.tables["opportunityclose"]
    body = ctx.json()
    check_parameters(body, action, frozenset({"Status", "OpportunityClose"}))
    closing = body.get("OpportunityClose")
    if not isinstance(closing, dict):
        raise bad_payload("", f"The parameter 'OpportunityClose' of '{action}' is required.")
    changes = read_changes(ctx, close_table, closing)
    if changes.nested:  # rows to make along with a close: nobody documents that (unverified)
        raise bad_payload("", "The parameter 'OpportunityClose' cannot hold related rows.")
    values = changes.values
    key = values.get("opportunityid")
    if key is None:
        raise DataverseError(400, "0x80040203", f"'{action}' does not name the opportunity to close.")
    opportunity = ctx.store.get("opportunity", key)
    if opportunity is None:
        raise missing_row("opportunity", key)
    ctx.access.demand_row(table, opportunity, "write")
    if opportunity["statecode"] != OPEN:
        raise DataverseError(400, "0x80040515", "The opportunity has already been closed.")  # text (unverified)
    if action == "WinOpportunity":
        _check_quotes(ctx, key)
    status = _status(ctx, table, body.get("Status"), state)
    demand_for_new(ctx, close_table, values)
    values |= {"statecode": 1, "statuscode": 2}  # Completed
    values.setdefault("transactioncurrencyid", opportunity.get("transactioncurrencyid"))
    values["actualend"] = values.get("actualend") or ctx.stamp
    create(ctx, close_table, values, by_message=True)
    ended: str = values["actualend"]
    update(
        ctx,
        table,
        key,
        {
            "statecode": state,
            "statuscode": status,
            "actualvalue": values.get("actualrevenue"),
            "actualclosedate": ended[:10],
        },
        by_message=True,
    )
    return no_content()


_OPEN_QUOTES = (0, 1)  # Draft, Active


def _check_quotes(ctx: Context, key: str) -> None:
    """Open quotes are closed first: dataverse-api §7.3 (that only winning is refused is (unverified))."""
    rows = ctx.store.rows("quote") if "quote" in ctx.shape.tables else {}
    if rows and any(
        rows[each].get("statecode") in _OPEN_QUOTES for each in ctx.store.find("quote", "opportunityid", key)
    ):
        raise DataverseError(
            400, "0x80040516", "The opportunity cannot be closed: it has quotes that are open or active."
        )  # text (unverified)
