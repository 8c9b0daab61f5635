"""The two companies at work again, under other choices: what is promised holds whatever was chosen for conversions."""

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from crmbridge.model import SIDES, Link
from crmbridge.policy import Close, Convert, CreateBy, Policies, Policy, ReadAs
from crmbridge.sync import Options
from tests.property.test_sync_machine import TwoCompanies, picks

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


@pytest.mark.parametrize("company", [MadeByUs, LeftAsTheyAre, OnTheirOwn])
def test_two_companies_with_other_choices(company: type[Odd]) -> None:
    run_state_machine_as_test(
        company,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
