"""Accounts that are put out of use in Dynamics, and the choice of Salesforce that says so, over HTTP (A4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.people import DynamicsPerson, SalesforcePerson
from crmbridge.state.store import Store
from tests.support.project import Project, partner_of, project

pytestmark = pytest.mark.journey

INACTIVE = "inactive: {salesforce: {column: Rating, active: Warm, inactive: Cold}}\nfields:\n"


@dataclass
class Desk:
    made: Project
    salesforce: SalesforcePerson
    dynamics: DynamicsPerson
    store: Store

    def partner(self, id: str) -> str:
        return partner_of(self.store, id)

    def rating(self, id: str) -> Any:
        return self.salesforce.read("Account", id)["Rating"]

    def state(self, id: str) -> tuple[int, int]:
        row = self.dynamics.read("accounts", id)
        return row["statecode"], row["statuscode"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("inactive")
    with project(folder, seed="empty") as made:
        made.change("fields:\n", INACTIVE, "mappings/account.yaml")
        made.add("segments: {all: {lifecycle: {scope: {account: all}}}}\n")
        checked = made.run("check", "--live")
        assert checked.code == 0, checked
        made.first_run()
        store = Store.open(f"sqlite:///{made.store}")
        yield Desk(made, made.salesforce(), made.dynamics(), store)
        store.close()


def test_what_dynamics_puts_out_of_use_says_so_in_salesforce_and_back(desk: Desk) -> None:
    there = desk.dynamics.create("accounts", name="Berg AB", address1_city="Ulm")
    desk.made.settle()
    here = desk.partner(there)
    assert desk.rating(here) in {None, "Warm"}
    desk.dynamics.update("accounts", there, statecode=1, statuscode=2)
    desk.made.settle()
    assert desk.rating(here) == "Cold"
    desk.dynamics.update("accounts", there, statecode=0, statuscode=1, telephone1="+4973112345")
    desk.made.settle()
    assert desk.rating(here) == "Warm"
    assert desk.salesforce.read("Account", here)["Phone"] == "+4973112345"


def test_what_salesforce_puts_out_of_use_is_deactivated_in_dynamics_and_back(desk: Desk) -> None:
    here = desk.salesforce.create("Account", Name="Tal AB", BillingCity="Ulm", Rating="Hot")
    desk.made.settle()
    there = desk.partner(here)
    assert desk.state(there) == (0, 1)
    desk.salesforce.update("Account", here, Rating="Cold", Phone="+4973154321")
    desk.made.settle()
    assert desk.state(there) == (1, 2), "the state goes with its usual status"
    assert desk.dynamics.read("accounts", there)["telephone1"] == "+4973154321"
    desk.salesforce.update("Account", here, Rating="Hot")
    desk.made.settle()
    assert desk.state(there) == (0, 1)
    assert desk.rating(here) == "Hot", "the finer word stays"


def test_a_new_account_that_is_out_of_use_is_made_and_then_deactivated(desk: Desk) -> None:
    here = desk.salesforce.create("Account", Name="Alt AB", BillingCity="Ulm", Rating="Cold")
    desk.made.settle()
    assert desk.state(desk.partner(here)) == (1, 2)
    assert desk.rating(here) == "Cold"
    old = desk.dynamics.create("accounts", name="Aelter AB", address1_city="Ulm")
    desk.dynamics.update("accounts", old, statecode=1, statuscode=2)
    desk.made.settle()
    assert desk.rating(desk.partner(old)) == "Cold"
    assert desk.state(old) == (1, 2)
    assert desk.made.verify()["differences"] == []


def test_explain_shows_where_both_sides_say_it(desk: Desk) -> None:
    told = desk.made.run("mapping", "explain", "account")
    assert told.code == 0, told
    [line] = [line for line in told.out.splitlines() if line.strip().startswith("inactive")]
    assert "Rating" in line
    assert "statecode" in line
