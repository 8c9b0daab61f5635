"""Choices about closed deals, over HTTP: which amount counts once one is won, and what becomes of close activities."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.people import DynamicsPerson, SalesforcePerson
from crmbridge.state.store import Store
from tests.support.project import Project, project

pytestmark = pytest.mark.journey

CHOICES = """\
  close: {won_amount: estimate, cancel_close_activity: no}
segments:
  tidy:
    entities: [opportunity]
    when: 'name == "Tidy"'
    lifecycle: {close: {cancel_close_activity: yes}}
"""
COMPLETED, CANCELED = 1, 2  # of an activity


class Desk:
    def __init__(self, made: Project, store: Store) -> None:
        self.made, self.store = made, store
        self.salesforce: SalesforcePerson = made.salesforce()
        self.dynamics: DynamicsPerson = made.dynamics()

    def deal(self, name: str, **fields: Any) -> tuple[str, str]:
        account = self.salesforce.create("Account", Name=f"{name} Ltd", BillingCity="Ulm")
        here = self.salesforce.create(
            "Opportunity", Name=name, AccountId=account, StageName="Prospecting", CloseDate="2027-03-01", **fields
        )
        self.made.settle()
        [(_, link, _)] = self.store.find_record(here)
        assert link is not None
        assert link.right_id is not None
        return here, link.right_id

    def closes(self, deal: str) -> list[int]:
        found = self.dynamics.find("opportunitycloses", f"_opportunityid_value eq {deal}")
        return [one["statecode"] for one in found]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("closes")
    with project(folder, seed="empty") as made:
        made.add(CHOICES)
        made.first_run()
        store = Store.open(f"sqlite:///{made.store}")
        yield Desk(made, store)
        store.close()


def test_the_expected_amount_counts_once_a_deal_is_won(desk: Desk) -> None:
    here, there = desk.deal("Kiln", Amount=100)
    desk.salesforce.update("Opportunity", here, StageName="Closed Won", Amount=120)
    desk.made.settle()
    row = desk.dynamics.read("opportunities", there)
    assert (row["statecode"], row["estimatedvalue"]) == (1, 120)
    # What Dynamics books as the actual amount is its own affair.
    desk.dynamics.update("opportunities", there, actualvalue=99)
    desk.made.settle()
    assert desk.salesforce.read("Opportunity", here)["Amount"] == 120
    desk.dynamics.update("opportunities", there, estimatedvalue=130)
    desk.made.settle()
    assert desk.salesforce.read("Opportunity", here)["Amount"] == 130


@pytest.mark.parametrize(("name", "state"), [("Left", COMPLETED), ("Tidy", CANCELED)])
def test_the_close_activity_of_a_deal_that_is_opened_again(desk: Desk, name: str, state: int) -> None:
    here, there = desk.deal(name, Amount=50)
    desk.salesforce.update("Opportunity", here, StageName="Closed Lost")
    desk.made.settle()
    assert desk.closes(there) == [COMPLETED]
    desk.salesforce.update("Opportunity", here, StageName="Prospecting")
    desk.made.settle()
    assert desk.dynamics.read("opportunities", there)["statecode"] == 0
    assert desk.closes(there) == [state]
