"""Which tables take which bulk message, as rows of sdkmessagefilter: clients look there first (dataverse-api §4.7)."""

from collections.abc import Sequence

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.bulk import MESSAGES
from crmbridge.sandbox.dynamics.metadata_members import metadata_id
from crmbridge.sandbox.dynamics.shape import Shape

MESSAGE, FILTER = "sdkmessage", "sdkmessagefilter"


def rows(shape: Shape) -> dict[str, Sequence[Row]]:
    """Ids are made from names, so that they are the same in every environment and cost no chance."""
    if MESSAGE not in shape.tables or FILTER not in shape.tables:
        return {}
    names = sorted(MESSAGES)
    return {
        MESSAGE: [{"sdkmessageid": metadata_id(MESSAGE, name), "name": name} for name in names],
        FILTER: [
            {
                "sdkmessagefilterid": metadata_id(FILTER, name, table),
                "sdkmessageid": metadata_id(MESSAGE, name),
                "primaryobjecttypecode": table,
            }
            for table in shape.tables
            if table not in (MESSAGE, FILTER)
            for name in names
            if name != "DeleteMultiple" or shape.tables[table].elastic
        ],
    }
