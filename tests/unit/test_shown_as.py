"""What a row shows of a column, under whatever name it is read: after a lost answer this alone tells what arrived."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from crmbridge.model import Ref, Row, shown_as
from crmbridge.sync.echo import holds

CONTACT = msgspec.defstruct(
    "Contact",
    [
        ("jobtitle", str | None, None),
        ("_ownerid_value", str | None, None),
        ("_parentcustomerid_value", str | None, None),
        ("parentcustomerid_value_Microsoft_Dynamics_CRM_lookuplogicalname", str | None, None),
    ],
)


def contact(parent: str | None, kind: str | None) -> Any:
    return CONTACT("Buyer", "u1", parent, kind)


@pytest.mark.parametrize(
    ("parent", "kind", "account", "person"),
    [("a1", "account", "a1", None), ("p1", "contact", None, "p1"), (None, None, None, None), ("a1", None, "a1", "a1")],
)
def test_a_lookup_to_several_tables_is_read_under_one_name(
    parent: str | None, kind: str | None, account: str | None, person: str | None
) -> None:
    values = contact(parent, kind)
    assert shown_as(values, "parentcustomerid_account", "not read") == account
    assert shown_as(values, "parentcustomerid_contact", "not read") == person


def test_other_columns_are_read_as_they_are_called_or_as_a_lookup() -> None:
    values = contact("a1", "account")
    assert (shown_as(values, "jobtitle"), shown_as(values, "OwnerId")) == ("Buyer", "u1")
    assert shown_as(values, "new_account", "not read") == shown_as(values, "city", "not read") == "not read"


@pytest.mark.parametrize(
    ("sent", "held"), [("account:a1", True), ("account:a2", False), ("a1", True), (None, False), ("contact:a2", False)]
)
def test_a_lookup_that_was_sent_and_lost_is_not_taken_for_done(sent: str | None, held: bool) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    row = Row(
        ref=Ref(side="right", entity="contact", id="c1"),
        version="1",
        created_at=now,
        modified_at=now,
        values=contact("a1", "account"),
    )
    assert holds(row, "parentcustomerid_account", sent) is held
    assert holds(row, "city", sent), "not among what is read"
