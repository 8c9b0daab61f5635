"""What the platform fills in when a row is saved: names, stages, probabilities, fiscal periods (salesforce-api §7)."""

from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.dates import fiscal
from crmbridge.sandbox.salesforce.schema import Shape, SObject
from crmbridge.sandbox.salesforce.values import number


def derive(shape: Shape, sobject: SObject, row: Row, before: Row | None, given: AbstractSet[str], now: str) -> None:
    """Complete `row` in place; `given` are the fields that the request itself sent."""
    if "LastName" in sobject.fields and "Name" in sobject.fields:
        # §10: text "First Last"; the salutation is no part of it.
        row["Name"] = " ".join(part for part in (row.get("FirstName"), row.get("LastName")) if part)
    if sobject.name == "Opportunity":
        _opportunity(shape, row, before, given, now)
    if sobject.name == "CampaignMember":
        row.setdefault("Status", "Sent")
        row["HasResponded"] = row["Status"] == "Responded"
        if row["HasResponded"]:
            row.setdefault("FirstRespondedDate", now[:10])


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
