"""A CRM asked to be left alone for long; what a test has to see of that is seen, and the time may end."""

from datetime import timedelta

from sqlalchemy import update

from crmbridge.state.schema import budget
from crmbridge.state.store import Store

ENDS_IN_SECONDS = 2


def soon_over(url: str, crm: str) -> None:
    """It ends in a moment, by the clock."""
    store = Store.open(url)
    try:
        with store._database.writing("test") as connection:
            soon = store.now() + timedelta(seconds=ENDS_IN_SECONDS)
            connection.execute(update(budget).where(budget.c.connection == crm).values(blocked_until=soon))
    finally:
        store.close()
