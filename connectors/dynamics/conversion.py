"""Qualifying a lead: what is known is named on the lead, the rest the CRM makes itself, all in one change set.

The lead is the guard: it is qualified once, and then says what it led to (lifecycle §1.4). Calls in all: one to look,
one to qualify and to read what came of it, at most one to tie an existing opportunity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from connectors.base import Conversion
from connectors.dynamics.client import Client, Reply
from connectors.dynamics.environment import Environment
from connectors.dynamics.instances import active_process
from connectors.dynamics.protocol import (
    Meaning,
    Request,
    action,
    as_outcome,
    decoded,
    key,
    read,
    reference,
    row_path,
    update,
)
from connectors.dynamics.reading import Reading
from connectors.dynamics.rows import TABLES
from crmbridge.errors import OutsideError, RefusedError
from crmbridge.model import Converted, Entity, Outcome, Refused, Stale, Unknown

OPEN, QUALIFIED, DISQUALIFIED = 0, 1, 2  # statecode (dataverse-api §6.4)
_lead_columns: Final = (
    "statecode,statuscode,_parentaccountid_value,_parentcontactid_value,_qualifyingopportunityid_value"
)
_results: Final[tuple[Entity, ...]] = ("account", "contact", "opportunity")


class _Lead(msgspec.Struct):
    leadid: str
    statecode: int
    etag: str = msgspec.field(name="@odata.etag", default="")
    account: str | None = msgspec.field(name="_parentaccountid_value", default=None)
    contact: str | None = msgspec.field(name="_parentcontactid_value", default=None)
    opportunity: str | None = msgspec.field(name="_qualifyingopportunityid_value", default=None)


class _Made(msgspec.Struct):
    accountid: str | None = None
    contactid: str | None = None
    opportunityid: str | None = None


class _MadeRows(msgspec.Struct):
    value: list[_Made]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    lead: _Lead | None
    process: tuple[str, str] | None  # table and id of the lead's active process instance


class LeadConversion:
    def __init__(self, client: Client, environment: Environment, reading: Reading) -> None:
        self._client = client
        self._environment = environment
        self._reading = reading

    def convert(self, order: Conversion) -> Outcome:
        try:
            look = self._look(order.lead_id)
        except RefusedError as error:
            return Refused(code=error.code, message=error.message)
        lead = look.lead
        if lead is None:
            return Refused(code="0x80040217", message=f"There is no lead {order.lead_id} (or our user cannot see it).")
        if lead.statecode == QUALIFIED:
            return self._adopted(order)
        if order.lead_version is not None and lead.etag != order.lead_version:
            return Stale(message="The lead has changed since the conversion was planned.")
        reply, reads = self._qualify(order, look, lead)
        if not reply.done:
            return self._not_done(order, reply.meaning)
        return self._finish(order, reply, reads)

    def converted(self, lead_id: str) -> Outcome | None:
        """What the lead says it led to; where it is silent, the oldest rows that name it as their origin."""
        return _converted(lead_id, self._client.read_all(_result_reads(lead_id), kind="converted"))

    def left_behind(self, lead_id: str) -> Converted | None:
        """Rows made by a qualification stay when the lead is opened again (dataverse-api §6.9)."""
        return _left_behind(lead_id, self._client.read_all(_result_reads(lead_id), kind="converted"))

    # --- steps ----------------------------------------------------------------------------------------------------

    def _look(self, lead_id: str) -> _Look:
        """The lead and its process instance, in one call."""
        requests = [
            read(row_path("leads", lead_id), table="lead", kind="look", select=_lead_columns),
            *self._reading.instance_requests("lead", [lead_id]),
        ]
        lead, *instances = self._client.read_all(requests, kind="look")
        if not lead.done:
            return _Look(lead=None, process=None)
        found = self._reading.instances("lead", [each.body for each in instances])
        on_lead = {name: each for name, each in found.items() if not each["opportunity_id"]}
        active = active_process({"process": on_lead})
        process = (str(active[1]["table"]), active[0]) if active else None
        return _Look(lead=decoded(lead.body, _Lead), process=process)

    def _qualify(self, order: Conversion, look: _Look, lead: _Lead) -> tuple[Reply, list[Reply]]:
        changes = self._changes(order, lead)
        qualify = action(
            f"{row_path('leads', order.lead_id)}/Microsoft.Dynamics.CRM.QualifyLead",
            self._parameters(order, look, lead),
            table="lead",
            kind="QualifyLead",
        )
        then = _result_reads(order.lead_id)
        if not changes:
            return self._client.write_together([qualify], then=then, kind="QualifyLead")
        # In one change set: a late or doubled call dies on the stale version, and a refusal leaves the lead as it was.
        prepare = update("leads", order.lead_id, changes, version=lead.etag or None, table="lead")
        return self._client.write_together([prepare, qualify], then=then, kind="QualifyLead")

    def _changes(self, order: Conversion, lead: _Lead) -> dict[str, Any]:
        """What the lead must show before it is qualified."""
        changes: dict[str, Any] = {}
        if lead.statecode == DISQUALIFIED:  # C7; 1 <-> 2 only through 0
            changes |= {"statecode": OPEN, "statuscode": self._environment.table("lead").default_status(OPEN)}
        if order.account_id and order.account_id != lead.account:
            changes["parentaccountid@odata.bind"] = f"/{row_path('accounts', order.account_id)}"
        if order.contact_id and order.contact_id != lead.contact:
            changes["parentcontactid@odata.bind"] = f"/{row_path('contacts', order.contact_id)}"
        return changes

    def _parameters(self, order: Conversion, look: _Look, lead: _Lead) -> dict[str, Any]:
        """dataverse-api §6.6. What the lead itself names counts as known: to create an account over it would make a
        second one (§6.9), and to take it off would undo somebody's work."""
        account, contact = order.account_id or lead.account, order.contact_id or lead.contact
        create_account = account is None and order.create_account
        create_contact = contact is None and order.create_contact
        create_opportunity = order.opportunity_id is None and order.create_opportunity
        status = order.status if order.status is not None else -1  # -1: the default of Qualified
        body: dict[str, Any] = {
            "CreateAccount": create_account,
            "CreateContact": create_contact,
            "CreateOpportunity": create_opportunity,
            "Status": int(status),
            "SuppressDuplicateDetection": True,  # twins were looked for; nothing is made that has one
        }
        if create_opportunity:
            if account:
                body["OpportunityCustomerId"] = reference("account", "accountid", account)
            elif contact and not create_account:
                body["OpportunityCustomerId"] = reference("contact", "contactid", contact)
            if order.currency_id:
                body["OpportunityCurrencyId"] = reference(
                    "transactioncurrency", "transactioncurrencyid", order.currency_id
                )
            if look.process:
                table, instance = look.process
                process_key = self._environment.processes()[table].key
                body["ProcessInstanceId"] = reference(table, process_key, instance)
        return body

    def _not_done(self, order: Conversion, why: Meaning) -> Outcome:
        if why.kind == "closed":  # somebody was quicker: qualified is what was wanted, disqualified is news
            found = self._adopted(order)
            return Stale(message="The lead was disqualified meanwhile.") if isinstance(found, Stale) else found
        if why.kind == "unknown":  # one look: it may have been carried out, and may still be
            found = self._adopted(order)
            return found if isinstance(found, Converted) else as_outcome(why)
        return as_outcome(why)

    def _adopted(self, order: Conversion) -> Outcome:
        """What an earlier try of ours, or somebody else, made of the lead."""
        try:
            replies = self._client.read_all(_result_reads(order.lead_id), kind="converted")
        except OutsideError as error:
            return Unknown(message=f"What came of the lead was not read: {error.message}")
        lead, found, _ = _led_to(order.lead_id, replies)
        if lead is None or found is None or lead.statecode != QUALIFIED:
            return Stale(message="The lead is open.")
        if order.opportunity_id and _is_as_ordered(order, found):
            return self._tie(lead, order.opportunity_id) or replace(found, opportunity_id=order.opportunity_id)
        return found

    def _finish(self, order: Conversion, reply: Reply, reads: Sequence[Reply]) -> Outcome:
        """Take what the lead says, and tie an existing opportunity."""
        made = _made(reply.body)
        try:
            complete = len(reads) == 1 + len(_results) and all(each.done for each in reads)
            replies = reads if complete else self._client.read_all(_result_reads(order.lead_id), kind="converted")
        except OutsideError as error:
            return Unknown(message=f"The lead is qualified; what came of it was not read: {error.message}")
        lead, found, _ = _led_to(order.lead_id, replies)
        if lead is None or found is None or lead.statecode != QUALIFIED:
            return Stale(message="The lead was qualified, and opened again at once by somebody or by automation.")
        if order.opportunity_id:
            refused = self._tie(lead, order.opportunity_id)
            if refused is not None:
                return refused
        return Converted(
            lead_id=order.lead_id,
            account_id=made.get("account") or order.account_id or found.account_id,
            contact_id=made.get("contact") or order.contact_id or found.contact_id,
            opportunity_id=made.get("opportunity") or order.opportunity_id or found.opportunity_id,
        )

    def _tie(self, qualified: _Lead, opportunity_id: str) -> Outcome | None:
        """An opportunity that was there already: the CRM cannot qualify into it, so both lookups are set (C4). One that
        lands late dies on the lead's version: it has been repeated by then, and people go on from there."""
        lead = update(
            "leads",
            qualified.leadid,
            {"qualifyingopportunityid@odata.bind": f"/{row_path('opportunities', opportunity_id)}"},
            version=qualified.etag or None,
            table="lead",
        )
        opportunity = update(
            "opportunities",
            opportunity_id,
            {"originatingleadid@odata.bind": f"/{row_path('leads', qualified.leadid)}"},
            version=None,
            table="opportunity",
        )
        reply, _ = self._client.write_together([lead, opportunity], kind="update")
        if reply.done:
            return None
        outcome = as_outcome(reply.meaning)
        if isinstance(outcome, Stale):  # the conversion itself is done: it is looked at again
            return Unknown(message="The lead is qualified, and was edited before the opportunity was tied to it.")
        if isinstance(outcome, Refused):
            return replace(
                outcome, message=f"The lead is qualified, but the opportunity was not tied to it: {outcome.message}"
            )
        return outcome


def _is_as_ordered(order: Conversion, found: Converted) -> bool:
    """Only the opportunity is missing. A lead that was qualified into another customer is not tied to one of this."""
    return (
        found.opportunity_id is None
        and order.account_id in (None, found.account_id)
        and order.contact_id in (None, found.contact_id)
    )


def _result_reads(lead_id: str) -> list[Request]:
    """The lead, and the rows that name it as their origin."""
    return [
        read(row_path("leads", lead_id), table="lead", kind="converted", select=_lead_columns),
        *(
            read(
                TABLES[entity].set,
                table=entity,
                kind="converted",
                select="createdon",
                filter=f"_originatingleadid_value eq {key(lead_id)}",
                orderby="createdon asc",
            )
            for entity in _results
        ),
    ]


def _converted(lead_id: str, replies: Sequence[Reply]) -> Converted | None:
    lead, led_to, _ = _led_to(lead_id, replies)
    return led_to if lead is not None and lead.statecode == QUALIFIED else None


def _left_behind(lead_id: str, replies: Sequence[Reply]) -> Converted | None:
    lead, led_to, made = _led_to(lead_id, replies)
    if lead is None or lead.statecode == QUALIFIED:
        return None
    # Lookups stay when the lead is opened again (unverified); one parent alone is often filled in before.
    return led_to if made or lead.opportunity or (lead.account and lead.contact) else None


def _led_to(lead_id: str, replies: Sequence[Reply]) -> tuple[_Lead | None, Converted | None, bool]:
    """The lead; what it points at or, where it is silent, the oldest row that names it; does any row name it?"""
    lead_reply, *origins = replies
    if not lead_reply.done:
        return None, None, False
    lead = decoded(lead_reply.body, _Lead)
    account, contact, opportunity = (
        next((getattr(each, f"{entity}id") for each in decoded(reply.body, _MadeRows).value), None)
        for entity, reply in zip(_results, origins, strict=True)
    )
    led_to = Converted(
        lead_id=lead_id,
        account_id=lead.account or account,
        contact_id=lead.contact or contact,
        opportunity_id=lead.opportunity or opportunity,
        adopted=True,
    )
    return lead, led_to, any((account, contact, opportunity))


def _made(body: bytes) -> Mapping[str, str]:
    """Ids of the rows that the action created; told apart by their key, not by place (dataverse-api §6.7)."""
    try:
        rows: Sequence[_Made] = decoded(body, _MadeRows).value
    except OutsideError:
        return {}  # the lead itself says it, too
    return {entity: found for entity in _results for row in rows if (found := getattr(row, f"{entity}id"))}
