"""Conversion and the other steps of a life. Conversion is SOAP convertLead, one lead a call (salesforce-api §6).

All other steps are a write of Status or StageName: Salesforce derives closed and won from the stage (§7).
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from connectors.base import Conversion, Move, Write
from connectors.http import NotSent
from connectors.salesforce import protocol, soap, soql
from connectors.salesforce.client import Client
from connectors.salesforce.protocol import Meaning, as_outcome
from connectors.salesforce.rows import instant_of, version_of
from connectors.salesforce.writer import Writer
from crmbridge.errors import LostAnswer, OutsideError, TryLater
from crmbridge.model import Converted, Later, Outcome, Refused, Stale, Unknown, Written

_lead_columns: Final = (
    "Id",
    "IsDeleted",
    "LastModifiedDate",
    "IsConverted",
    "ConvertedAccountId",
    "ConvertedContactId",
    "ConvertedOpportunityId",
)


class LeadFacts(msgspec.Struct):
    Id: str
    IsDeleted: bool
    LastModifiedDate: str
    IsConverted: bool
    Company: str | None = None
    ConvertedAccountId: str | None = None
    ConvertedContactId: str | None = None
    ConvertedOpportunityId: str | None = None


class _LeadPage(msgspec.Struct):
    records: list[LeadFacts]


class LifeCycle:
    def __init__(self, client: Client, writer: Writer, default_status: Callable[[str | None], str | None]) -> None:
        self._client, self._writer = client, writer
        self._default_status = default_status

    def convert(self, order: Conversion) -> Outcome:
        if not soql.is_id(order.lead_id):
            return Refused(code="MALFORMED_ID", message="This is not the id of a Salesforce lead.")
        impossible = _impossible(order)
        if impossible:
            return Refused(code="NOT_POSSIBLE", message=impossible)
        also = ("Company",) if order.as_person else ()
        lead = self._lead(order.lead_id, also) if order.lead_version is not None or also else None
        if lead is not None and order.lead_version is not None:  # convertLead itself knows no precondition
            if lead.IsConverted:
                return _converted(lead)
            if version_of(instant_of(lead.LastModifiedDate)) != order.lead_version:
                return Stale(message="the lead was changed by somebody else")
        status = str(order.status) if order.status is not None else self._default_status(order.record_type)
        if status is None:
            return Refused(
                code="INVALID_STATUS",
                message=f"The record type {order.record_type} offers no converted status; have one added to it.",
                fields=("Status",),
            )
        if order.as_person and lead is not None and lead.Company:
            blanked = self._without_company(order)
            if not isinstance(blanked, Written):
                return blanked
        try:
            answer = self._client.run(soap.convert_lead(order, status))
        except (NotSent, TryLater) as error:
            return Later(message=error.message, after_seconds=error.after_seconds)
        except LostAnswer as error:
            return Unknown(message=error.message)
        result = soap.converted(answer.status, answer.body)
        if order.as_person and not isinstance(result, Meaning) and result.contact_id is None:
            # (unverified) whether the answer names a person account's contact; the lead does
            return Unknown(message="converted, and the answer does not tell into which contact")
        if not isinstance(result, Meaning):
            return Converted(
                lead_id=soql.id18(order.lead_id),
                account_id=result.account_id,
                contact_id=result.contact_id,
                opportunity_id=result.opportunity_id,
            )
        if result.code == "CANNOT_UPDATE_CONVERTED_LEAD":  # somebody, perhaps we, came first (§6.6)
            try:
                return self.converted(order.lead_id) or as_outcome(result)
            except OutsideError as error:
                return Unknown(message=f"It is converted already, but could not be read: {error.message}")
        if result.kind in ("access", "session"):
            raise self._client.error(soap.convert_lead(order, status), result)
        return as_outcome(result)

    def _without_company(self, order: Conversion) -> Outcome:
        """The name of a person account is the person's; with a company the conversion makes an ordinary account (§6.5).
        Doing it twice does no harm, so an answer that is lost is no matter: the conversion comes later."""
        write = Write(
            kind="update", entity="lead", id=order.lead_id, version=order.lead_version, columns={"Company": None}
        )
        [outcome] = self._writer.write([write])
        return Later(message=outcome.message) if isinstance(outcome, Unknown) else outcome

    def converted(self, lead_id: str) -> Outcome | None:
        lead = self._lead(lead_id)
        return _converted(lead) if lead is not None and lead.IsConverted else None

    def _lead(self, lead_id: str, also: Sequence[str] = ()) -> LeadFacts | None:
        """By id, the recycle bin included: a converted lead that was deleted still names what it made."""
        if not soql.is_id(lead_id):
            return None
        statement = soql.select((*_lead_columns, *also), "Lead", soql.any_of("Id", (soql.id18(lead_id),)))
        answer = self._client.read(protocol.query(statement, "Lead", deleted=True))
        records = msgspec.json.decode(answer.body, type=_LeadPage).records
        return records[0] if records else None

    def moves(self, orders: Sequence[Move]) -> list[Outcome]:
        return self._writer.write([_write(order) for order in orders])


def _write(order: Move) -> Write:
    columns = dict(order.columns)
    if order.status is not None:
        columns["Status" if order.entity == "lead" else "StageName"] = order.status
    if order.kind == "win":  # §7: closing changes neither by itself (lifecycle O6)
        if order.actual_value is not None:
            columns.setdefault("Amount", order.actual_value)
        if order.actual_date is not None:
            columns.setdefault("CloseDate", order.actual_date.date())
    return Write(kind="update", entity=order.entity, id=order.id, version=order.version, columns=columns)


def _impossible(order: Conversion) -> str:
    if order.account_id is None and not order.create_account:
        return "Salesforce converts a lead into an account only: name one, or let one be made."
    if order.contact_id is not None and order.account_id is None:
        return "A contact can be given only together with its account."  # §6.2
    if order.contact_id is None and not order.create_contact and order.account_id is None:
        return "A conversion without a contact needs a person account that exists."
    return ""


def _converted(lead: LeadFacts) -> Converted:
    return Converted(
        lead_id=soql.id18(lead.Id),
        account_id=lead.ConvertedAccountId,
        contact_id=lead.ConvertedContactId,
        opportunity_id=lead.ConvertedOpportunityId,
        adopted=True,
    )
