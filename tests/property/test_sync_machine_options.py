"""The two companies at work again, under other choices: what is promised holds whatever was chosen for conversions."""

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from crmbridge.model import SIDES, Entity, Link, Side
from crmbridge.policy import Close, Convert, CreateBy, Policies, Policy, ReadAs
from crmbridge.sync import Options
from crmbridge.sync.placeholder import NAME
from tests.property.test_sync_machine import TwoCompanies, picks, sides

BY_US = Convert(
    create_by=CreateBy(account="us", contact="us", opportunity="us"),
    bare_qualified="convert",
    reactivated="new_lead",
    recreate_lead="yes",
    contradiction="convert_here",
)
AS_THEY_ARE = Convert(
    opportunity="always",
    bare_qualified="ignore",
    reactivated="leave",
    late_edit="ignore",
    contradiction=ReadAs(row="contacted"),
)

ON_THEIR_OWN = Convert(mirror="never", opportunity="never", both="hold", late_edit="hold", contact_only="hold")


def _options(convert: Convert, close: Close | None = None) -> Options:
    return Options(policies=Policies(base=Policy(convert=convert, close=close or Close())))


class Odd(TwoCompanies):
    """People also set statuses that say more than has happened."""

    @rule(pick=picks)
    def qualifies_bare(self, pick: int) -> None:
        record = self._pick(self._in(self.desk.south, "lead", "open"), pick)
        if record is not None and not record.columns.get("account_id"):
            self.desk.south.set_status("lead", record.id, "qualified")

    @rule(pick=picks)
    def mislabels(self, pick: int) -> None:
        record = self._pick(self._in(self.desk.north, "lead", "open", "disqualified"), pick)
        if record is not None and record.columns.get("company"):
            self.desk.north.edit("lead", record.id, status="Converted", state="open")


class MadeByUs(Odd):
    options: ClassVar[Options | None] = _options(BY_US)

    def _nothing_was_made_twice(self) -> None:
        """But for leads that were made again, and what people then made of them."""
        for link in self.desk.store.all_links("lead"):
            if not link.alive and "lifecycle.convert.re" in link.how:
                for side in SIDES:
                    if (id := link.id_on(side)) is not None:
                        columns = self.desk.crm(side).read("lead", id)
                        self.doubled |= {columns["last_name"], columns.get("company")}
        super()._nothing_was_made_twice()


class LeftAsTheyAre(Odd):
    options: ClassVar[Options | None] = _options(AS_THEY_ARE)

    def _as_chosen(self, link: Link) -> bool:
        """Qualified bare: its status says so, and that is all."""
        if link.entity != "lead":
            return False
        lead = self.desk.south.read("lead", self._id(link, "right"))
        return lead["state"] == "converted" and not any(
            lead.get(f"{entity}_id") for entity in ("account", "contact", "opportunity")
        )


class OnTheirOwn(Odd):
    options: ClassVar[Options | None] = _options(ON_THEIR_OWN, Close(over_disqualified="hold"))


class Nobodys(TwoCompanies):
    """Deals have no customer, lose one and get one again, while one account on each side stands in."""

    options: ClassVar[Options | None] = _options(Convert(), Close(no_customer="placeholder"))

    @rule(side=sides)
    def types_a_deal_of_nobody(self, side: Side) -> None:
        self.number += 1
        self.desk.crm(side).add("opportunity", name=f"Deal{self.number}")

    @rule(side=sides, pick=picks, account=st.booleans(), contact=st.booleans())
    def takes_the_customer_away(self, side: Side, pick: int, account: bool, contact: bool) -> None:
        crm = self.desk.crm(side)
        deal = self._pick(self._in(crm, "opportunity", "open"), pick)
        # What the other CRM's conversion fills in stays where the one that it mirrors has a blank (lifecycle §1.4).
        if deal is not None and all(lead.columns.get("opportunity_id") != deal.id for lead in crm.live("lead")):
            gone = {name: None for name, goes in (("account_id", account), ("contact_id", contact)) if goes}
            crm.edit("opportunity", deal.id, **gone)

    @rule(side=sides, pick=picks, which=picks, entity=st.sampled_from(("account", "contact")))
    def names_a_customer(self, side: Side, pick: int, which: int, entity: Entity) -> None:
        crm = self.desk.crm(side)
        deal = self._pick(self._in(crm, "opportunity", "open"), pick)
        customer = self._pick(crm.live(entity), which)
        if deal is not None and customer is not None:
            crm.edit("opportunity", deal.id, **{f"{entity}_id": customer.id})

    def _nothing_was_made_twice(self) -> None:
        """But for one that people took away, brought back or merged."""
        for side in SIDES:
            made = [one for one in self.desk.crm(side).tables["account"].values() if one.columns.get("name") == NAME]
            if any(one.deleted or one.merged_into for one in made):
                self.doubled.add(NAME)
            for one in made:
                link = self.desk.link(side, "account", one.id)
                assert link is None or not link.alive or NAME in self.doubled, f"{one.id} has crossed: {link}"
        super()._nothing_was_made_twice()


@pytest.mark.parametrize("examples", [10, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("company", [MadeByUs, LeftAsTheyAre, OnTheirOwn, Nobodys])
def test_two_companies_with_other_choices(company: type[TwoCompanies], examples: int) -> None:
    run_state_machine_as_test(
        company,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
