"""What the platform fills in when a row is saved: names, stages, probabilities, fiscal periods (salesforce-api §7)."""

import re
from base64 import b64decode
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.dates import fiscal
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.ids import counted
from crmbridge.sandbox.salesforce.schema import Shape, SObject
from crmbridge.sandbox.salesforce.values import instant, number, stamp

_FIRST_CASE: Final = 1000
Find = Callable[[str, str], Row | None]  # object name and id: the row


def derive(
    shape: Shape, sobject: SObject, row: Row, before: Row | None, given: AbstractSet[str], now: str, find: Find
) -> None:
    """Complete `row` in place; `given` are the fields that the request itself sent."""
    person = sobject.name != "Account" or row.get("IsPersonAccount")  # a business account has a name of its own
    if person and "LastName" in sobject.fields and "Name" in sobject.fields:
        # §10: text "First Last"; the salutation is no part of it.
        row["Name"] = " ".join(part for part in (row.get("FirstName"), row.get("LastName")) if part)
    if sobject.document.custom and "Name" in sobject.fields and not row.get("Name"):
        row["Name"] = row["Id"][:15]  # a recorded org: a row that nobody names goes by its id
    if sobject.name == "Account":
        _account(sobject, row, before)
    if sobject.name == "Opportunity":
        _opportunity(shape, row, before, given, now)
    if sobject.name in ("Task", "Event"):
        _activity(shape, sobject, row, now, find)
    if sobject.name == "Case":
        _case(row, before, now, find)
    if sobject.name == "Attachment":
        row["BodyLength"] = len(_content(row, "Body"))
    if sobject.name == "ContentNote":
        _note(row)
    if sobject.name == "CampaignMember":
        row.setdefault("Status", "Sent")
        row["HasResponded"] = row["Status"] == "Responded"
        if row["HasResponded"]:
            row.setdefault("FirstRespondedDate", now[:10])


def _account(sobject: SObject, row: Row, before: Row | None) -> None:
    """What recorded orgs show of accounts that nobody cleaned yet; of other objects it is not known."""
    if before is None and "CleanStatus" in sobject.fields:
        row.setdefault("CleanStatus", "Pending")
    if "PhotoUrl" in sobject.fields:
        row["PhotoUrl"] = f"/services/images/photo/{row['Id']}"


def _activity(shape: Shape, sobject: SObject, row: Row, now: str, find: Find) -> None:
    """§6.5: an activity hangs on a person and on a thing, and shows the account of one (order (unverified))."""
    what, who = row.get("WhatId"), row.get("WhoId")
    account = what if what and what.startswith("001") else None
    for name, key in (("Opportunity", what), ("Contact", who)):
        account = account or (find(name, key) or {}).get("AccountId") if key else account
    row.pop("AccountId", None)
    if account:
        row["AccountId"] = account
    if sobject.name == "Event":
        _event(row)
        return
    closed = any(status.closed and status.label == row.get("Status") for status in shape.task_statuses)
    row["IsClosed"], row["IsHighPriority"] = closed, row.get("Priority") == "High"
    if closed:
        row.setdefault("CompletedDateTime", now)
    else:
        row.pop("CompletedDateTime", None)


_OF_THE_CONTACT: Final = {
    "Phone": "ContactPhone",
    "MobilePhone": "ContactMobile",
    "Email": "ContactEmail",
    "Fax": "ContactFax",
}


def _case(row: Row, before: Row | None, now: str, find: Find) -> None:
    """Cases, which the sheet does not name: numbered, of the contact's account, closed by their status (unverified)."""
    if before is None:
        row.setdefault("CaseNumber", f"{_FIRST_CASE + counted(row['Id']):08d}")
    contact = find("Contact", row.get("ContactId") or "") or {}
    if contact.get("AccountId"):
        row.setdefault("AccountId", contact["AccountId"])
    for source, target in _OF_THE_CONTACT.items():
        row.pop(target, None)
        if contact.get(source):
            row[target] = contact[source]
    row["IsClosed"] = str(row.get("Status", "")).startswith("Closed")
    if row["IsClosed"]:
        row.setdefault("ClosedDate", now)
    else:
        row.pop("ClosedDate", None)


def _event(row: Row) -> None:
    """An event's start, end and length tell the same; the code and words of a contradiction are (unverified) (§9.2)."""
    start = row.get("StartDateTime") or row.get("ActivityDateTime")
    if start is None and row.get("ActivityDate"):
        start = f"{row['ActivityDate']}T00:00:00.000+0000"
    if start is None:
        raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [StartDateTime]", ["StartDateTime"])
    begins, ends = instant(start), row.get("EndDateTime")
    minutes = row.get("DurationInMinutes")
    if ends is None and minutes is None:
        names = ["DurationInMinutes", "EndDateTime"]
        raise refuse("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", names)
    last = instant(ends) if ends is not None else begins + timedelta(minutes=minutes or 0)
    if last < begins:
        raise refuse("FIELD_INTEGRITY_EXCEPTION", "The event duration can't be negative.", ["DurationInMinutes"])
    row.update(StartDateTime=start, ActivityDateTime=start, ActivityDate=start[:10], EndDateTime=stamp(last))
    row["DurationInMinutes"] = int((last - begins).total_seconds() // 60)


def _note(row: Row) -> None:
    """A note's size and beginning; its content is base64 of HTML."""
    text = _content(row, "Content")
    shown = re.sub(r"<[^>]*>", " ", text.decode("utf-8", "replace"))
    row.update(ContentSize=len(text), FileExtension="snote", FileType="SNOTE")
    row["TextPreview"] = " ".join(shown.split())[:255]


def _content(row: Row, name: str) -> bytes:
    try:
        return b64decode(row.get(name) or "", validate=True)
    except ValueError:
        raise refuse("JSON_PARSER_ERROR", f"{name}: base64 text is expected", [name]) from None  # §9.2


def _opportunity(shape: Shape, row: Row, before: Row | None, given: AbstractSet[str], now: str) -> None:
    was = before or {}
    labels = shape.forecast_labels
    if row.get("StageName") != was.get("StageName"):
        stage = shape.stages.get(row.get("StageName", ""))
        # §7: an unknown stage is stored as open, its probability stays or is 0 (unverified).
        row["IsClosed"], row["IsWon"] = (stage.closed, stage.won) if stage else (False, False)
        if "Probability" not in given:
            row["Probability"] = number(Decimal(stage.probability)) if stage else row.get("Probability", Decimal("0.0"))
        if "ForecastCategoryName" not in given:
            row["ForecastCategory"] = stage.forecast if stage else row.get("ForecastCategory", "Pipeline")
            row["ForecastCategoryName"] = labels.get(row["ForecastCategory"], row["ForecastCategory"])
        if before is not None:
            row["LastStageChangeDate"] = now
    if "ForecastCategoryName" in given:
        values = {label: value for value, label in labels.items()}
        chosen = str(row.get("ForecastCategoryName"))
        row["ForecastCategory"] = values.get(chosen, str(row.get("ForecastCategory", "Pipeline")))
        row["ForecastCategoryName"] = labels.get(row["ForecastCategory"], row["ForecastCategory"])
    amount, probability = row.get("Amount"), row.get("Probability")
    if amount is None:  # §7: no amount, no expected revenue
        row.pop("ExpectedRevenue", None)
    else:
        row["ExpectedRevenue"] = number((amount * (probability or 0) / 100).quantize(Decimal("0.01")))
    if row.get("CloseDate"):
        year, quarter = fiscal(date.fromisoformat(row["CloseDate"]), shape.org.fiscal_year_start_month)
        row.update(FiscalYear=year, FiscalQuarter=quarter, Fiscal=f"{year} {quarter}")
