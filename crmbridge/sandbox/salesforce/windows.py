"""What changed and what was deleted in a window of time (salesforce-api §8.2)."""

from datetime import datetime, timedelta
from typing import Final

from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.values import instant, read_instant, stamp

UPDATED_REACH: Final = timedelta(days=30)
DELETED_REACH: Final = timedelta(days=15)
WINDOW_MIN: Final = timedelta(minutes=1)
IDS_MAX: Final = 600_000


def window(ask: Ask, sobject: SObject, records: Records, now: datetime, *, deleted: bool) -> Answer:
    """`sobjects/X/updated` and `sobjects/X/deleted`; the next start is the answer's latestDateCovered."""
    allow(ask, "GET")
    ask.log.note("deleted" if deleted else "updated", sobject.name)
    start, end = (_minute(ask.options.get(name, "")) for name in ("start", "end"))
    reach = DELETED_REACH if deleted else UPDATED_REACH
    if end - start < WINDOW_MIN or start < now - reach:
        message = f"startDate must be before endDate by more than a minute and not older than {reach.days} days"
        raise refuse("INVALID_REPLICATION_DATE", message)
    covered = stamp(min(end, now.replace(second=0, microsecond=0)))
    rows = records.changed_between(sobject, stamp(start), stamp(end - timedelta(seconds=1)), deleted=deleted)
    if len(rows) > IDS_MAX:
        raise refuse("EXCEEDED_ID_LIMIT", f"The window holds more than {IDS_MAX} records; ask for a shorter one.")
    if not deleted:
        return Answer(body={"ids": sorted(row["Id"] for row in rows), "latestDateCovered": covered})
    gone = [{"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in rows]
    earliest = stamp((now - reach).replace(second=0, microsecond=0))
    return Answer(body={"deletedRecords": gone, "earliestDateAvailable": earliest, "latestDateCovered": covered})


def _minute(text: str) -> datetime:
    """Seconds are cut off; a plus that was not encoded has become a blank on its way."""
    moment = read_instant(text.replace(" ", "+"))
    if moment is None:
        raise refuse(
            "INVALID_REPLICATION_DATE", f"{text or 'an empty date'} is no date such as 2026-01-31T00:00:00+00:00"
        )
    return instant(moment).replace(second=0)
