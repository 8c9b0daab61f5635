"""Two companies at work, partners that lie, and the real engine between them: what is promised once all is quiet.

After a day of creates, edits, conversions, closes, deletions and merges on both sides, with calls refused, answers
lost, rows gone stale and whole runs broken off: faults off, some cycles, and then nothing is left to do, each
conversion has happened once, nothing was made twice, linked pairs agree or are in an open issue, and the journal knows
every write.
"""

import os
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from connectors.memory import Record
from crmbridge.model import ENTITIES, SIDES, Entity, Link, Seen, Side, Unlinked, other
from crmbridge.plan import is_blank
from crmbridge.sync import Options
from tests.support.engine import Bench, Crm, Fell, Lie, bench, wanted

sides = st.sampled_from(SIDES)
picks = st.integers(min_value=0, max_value=11)
texts = st.sampled_from(["red", "green", "blue", "", None])
amounts = st.sampled_from([None, Decimal(10), Decimal(20), Decimal("30.50")])
Statuses = Mapping[Side, Sequence[str]]
LIES: tuple[Lie, ...] = ("refuse", "lose", "drop", "later", "stale", "fall before", "fall after", "meddle")
OPEN_LEAD: Statuses = {"left": ("New", "Working", "Nurturing"), "right": ("new", "contacted")}
LOST_LEAD: Statuses = {"left": ("Unqualified",), "right": ("lost", "cannot contact", "canceled")}
OPEN_DEAL: Statuses = {"left": ("Prospecting", "Analysis", "Proposal"), "right": ("qualify", "develop", "propose")}
CLOSED_DEAL: Statuses = {"left": ("Closed Won", "Closed Lost"), "right": ("won", "canceled", "out-sold")}
FIELDS: dict[Entity, tuple[str, ...]] = {
    "account": ("phone", "city"),
    "contact": ("phone", "city", "first_name"),
    "lead": ("phone", "city", "rating", "first_name"),
    "opportunity": ("description",),
}
# What people never change, and never type twice on one side.
TAG: dict[Entity, str] = {"account": "name", "contact": "last_name", "lead": "last_name", "opportunity": "name"}
ROUNDS_MAX = 10


class TwoCompanies(RuleBasedStateMachine):
    options: ClassVar[Options | None] = None  # the defaults

    def __init__(self) -> None:
        super().__init__()
        self._opened = bench("sqlite://", options=self.options)
        self.desk: Bench = self._opened.__enter__()
        self.number = 0
        self.doubled: set[str | None] = set()  # names that people themselves may double
        self.again: set[str] = set()  # south's leads that were qualified more than once

    @initialize(lead=st.booleans(), deal=st.booleans())
    def yesterday(self, lead: bool, deal: bool) -> None:
        """Mostly something is there already, and in step."""
        for side in SIDES:
            if lead:
                self.desk.crm(side).add("lead", **self._person(True), phone="red")
            if deal:
                self.types_a_customer(side)
                self.types_a_deal(side, 0, Decimal(10), True)
        self.desk.sync()

    # --- people ---------------------------------------------------------------------------------------------------

    @rule(side=sides, with_email=st.booleans(), phone=texts)
    def types_a_lead(self, side: Side, with_email: bool, phone: str | None) -> None:
        self.desk.crm(side).add("lead", **self._person(with_email), phone=phone)

    @rule(phone=texts)
    def both_type_the_same_lead(self, phone: str | None) -> None:
        person = self._person(True)
        self.desk.north.add("lead", **person, phone=phone)
        self.desk.south.add("lead", **person, rating="hot")

    @rule(side=sides, pick=picks, amount=amounts, to_contact=st.booleans())
    def types_a_deal(self, side: Side, pick: int, amount: Decimal | None, to_contact: bool) -> None:
        crm = self.desk.crm(side)
        account = self._pick(crm.live("account"), pick)
        contact = self._pick(crm.live("contact"), pick) if to_contact else None
        self.number += 1
        columns = {
            "name": f"Deal{self.number}",
            "account_id": account.id if account else None,
            "contact_id": contact.id if contact else None,
            "amount" if side == "left" else "estimated": amount,
        }
        crm.add("opportunity", **columns)

    @rule(side=sides)
    def types_a_customer(self, side: Side) -> None:
        self.number += 1
        crm = self.desk.crm(side)
        account = crm.add("account", name=f"Customer{self.number}", city="Kiel")
        crm.add("contact", last_name=f"Friend{self.number}", email=f"f{self.number}@example.com", account_id=account)

    @rule(side=sides, entity=st.sampled_from(ENTITIES), pick=picks, which=picks, text=texts)
    def edits(self, side: Side, entity: Entity, pick: int, which: int, text: str | None) -> None:
        record = self._pick(self.desk.crm(side).live(entity), pick)
        if record is not None:
            names = FIELDS[entity]
            self.desk.crm(side).edit(entity, record.id, **{names[which % len(names)]: text})

    @rule(side=sides, pick=picks, amount=amounts)
    def changes_an_amount(self, side: Side, pick: int, amount: Decimal | None) -> None:
        record = self._pick(self.desk.crm(side).live("opportunity"), pick)
        if record is not None:
            closed = record.columns["state"] == "won" and side == "right"
            name = "amount" if side == "left" else "actual" if closed else "estimated"
            self.desk.crm(side).edit("opportunity", record.id, **{name: amount})

    @rule(side=sides, pick=picks, to=picks, refuses=st.booleans())
    def moves_a_contact(self, side: Side, pick: int, to: int, refuses: bool) -> None:
        crm = self.desk.crm(side)
        contact, account = self._pick(crm.live("contact"), pick), self._pick(crm.live("account"), to)
        if contact is not None and account is not None:
            crm.edit("contact", contact.id, account_id=account.id, no_calls=refuses)

    @rule(side=sides, pick=picks, existing=st.booleans(), which=picks, deal=st.booleans())
    def converts(self, side: Side, pick: int, existing: bool, which: int, deal: bool) -> None:
        crm = self.desk.crm(side)
        lead = self._pick(self._in(crm, "lead", "open", "disqualified"), pick)
        if lead is None or not lead.columns.get("company"):
            return
        account = self._pick(crm.live("account"), which) if existing else None
        account_id, contact_id = (account.id if account else None), None
        if lead.columns.get("account_id"):  # it was qualified before: into the same customer again
            account_id, contact_id = lead.columns["account_id"], lead.columns["contact_id"]
            self.again.add(lead.id)
            self.doubled.add(lead.columns["company"])  # a second deal of that name
        if any(
            id and crm.tables[entity][id].deleted for entity, id in (("account", account_id), ("contact", contact_id))
        ):
            return
        crm.convert_lead(lead.id, account_id=account_id, contact_id=contact_id, create_opportunity=deal)
        twin = self._named(other(side), lead.columns["last_name"])
        # Its partner was converted by a person, too: it may be deleted, or opened again, before we look.
        if twin is not None and (twin.columns["state"] == "converted" or twin.columns.get("account_id")):
            self.doubled |= {lead.columns["company"], lead.columns["last_name"]}

    @rule(side=sides, pick=picks, which=picks)
    def disqualifies(self, side: Side, pick: int, which: int) -> None:
        self._set("lead", side, ("open",), LOST_LEAD, pick, which)

    @rule(side=sides, pick=picks, which=picks)
    def works_a_lead(self, side: Side, pick: int, which: int) -> None:
        self._set("lead", side, ("open", "disqualified"), OPEN_LEAD, pick, which)

    @rule(pick=picks)
    def reactivates(self, pick: int) -> None:
        self._set("lead", "right", ("converted",), OPEN_LEAD, pick, 0)

    @rule(side=sides, pick=picks, which=picks)
    def moves_a_deal(self, side: Side, pick: int, which: int) -> None:
        self._set("opportunity", side, ("open", "won", "lost"), OPEN_DEAL, pick, which)

    @rule(side=sides, pick=picks, which=picks)
    def closes_a_deal(self, side: Side, pick: int, which: int) -> None:
        id = self._set("opportunity", side, ("open",), CLOSED_DEAL, pick, which)
        if id is not None and side == "right":  # the form proposes what was expected
            deal = self.desk.south.read("opportunity", id)
            if deal["state"] == "won":
                self.desk.south.edit("opportunity", id, actual=deal.get("estimated"))

    @rule(side=sides, entity=st.sampled_from(ENTITIES), pick=picks)
    def deletes(self, side: Side, entity: Entity, pick: int) -> None:
        record = self._pick(self.desk.crm(side).live(entity), pick)
        if record is not None:
            self.desk.crm(side).delete(entity, record.id)

    @rule(side=sides, entity=st.sampled_from(ENTITIES), pick=picks)
    def restores(self, side: Side, entity: Entity, pick: int) -> None:
        gone = [one for one in self.desk.crm(side).tables[entity].values() if one.deleted and not one.merged_into]
        record = self._pick(gone, pick)
        if record is not None:
            name = record.columns.get(TAG[entity])
            if any(one.columns.get(TAG[entity]) == name for one in self.desk.crm(side).live(entity)):
                self.doubled.add(name)  # its partner was copied back meanwhile: now there are two, as if typed twice
            self.desk.crm(side).restore(entity, record.id)

    @rule(side=sides, entity=st.sampled_from(("lead", "contact", "account")), pick=picks, which=picks)
    def merges(self, side: Side, entity: Entity, pick: int, which: int) -> None:
        crm = self.desk.crm(side)
        loser, winner = self._pick(crm.live(entity), pick), self._pick(crm.live(entity), which)
        if loser is None or winner is None or loser is winner or winner.columns.get("state") == "converted":
            return  # lifecycle §2: the master of a merge is never a converted lead
        for child in ("contact", "opportunity"):
            for record in crm.live(child):
                if record.columns.get(f"{entity}_id") == loser.id:
                    crm.edit(child, record.id, **{f"{entity}_id": winner.id})
        crm.merge(entity, loser.id, winner.id)
        # A winner may get the loser's partner though it has a twin of its own there (A8).
        self.doubled |= {one.columns.get(TAG[entity]) for one in (loser, winner)}

    # --- partners and us ------------------------------------------------------------------------------------------

    @rule(
        seed=st.integers(min_value=0, max_value=2**16),
        percent=st.sampled_from([10, 30, 60]),
        kinds=st.sets(st.sampled_from(LIES), min_size=1),
    )
    def partners_begin_to_lie(self, seed: int, percent: int, kinds: set[Lie]) -> None:
        rng, known = random.Random(seed), sorted(kinds)
        for side in SIDES:
            self.desk.crm(side).lies = lambda kind, entity, id: (
                rng.choice(known) if rng.randrange(100) < percent else None
            )

    @rule()
    def partners_are_honest(self) -> None:
        self._honest()

    @rule()
    def a_cycle(self) -> None:
        """The most frequent rule, so it has three names."""
        try:
            self.desk.sync()
        except Fell as fell:
            note(f"broken off: {fell}")

    @rule()
    def another_cycle(self) -> None:
        self.a_cycle()

    @rule()
    def yet_another_cycle(self) -> None:
        self.a_cycle()

    # --- when all is quiet ----------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self._honest()
            rounds = 0
            while True:
                self.desk.store.release_issues(None, "a person", "the cause is gone")
                self.desk.sync()
                left = wanted(self.desk.engine.plan())
                if not left:
                    break
                rounds += 1
                assert rounds < ROUNDS_MAX, f"still busy: {left}, {self.desk.engine.plan().events}"
            self._nothing_is_open()
            self._conversions_happened_once()
            self._nothing_was_made_twice()
            self._pairs_agree()
            self._the_journal_is_whole()
        finally:
            self._opened.__exit__(None, None, None)

    def _nothing_is_open(self) -> None:
        assert self.desk.store.open_intents() == []
        failed = [issue for issue in self.desk.issues() if issue.kind == "failed"]
        assert failed == [], failed

    def _conversions_happened_once(self) -> None:
        for side in SIDES:
            done = Counter(id for kind, _, id in self.desk.crm(side).ours if kind == "convert")
            assert all(count == 1 for count in done.values()), f"converted more than once: {done}"
        ledger = Counter((row.lead_link, row.epoch) for row in self.desk.store.conversions())
        assert all(count == 1 for count in ledger.values())
        for link in self._links("lead"):
            states = {side: self.desk.crm(side).read("lead", self._id(link, side)).get("state") for side in SIDES}
            if "converted" in states.values() and set(states.values()) != {"converted"}:
                known = self._troubled(link) or self._as_chosen(link)
                assert known, f"converted on one side only, and nobody knows: {link} {states}"
            if set(states.values()) == {"converted"} and not self._troubled(link):
                assert link.epoch > 0
                self._results_are_linked(link)

    def _results_are_linked(self, lead: Link) -> None:
        left = self.desk.north.read("lead", self._id(lead, "left"))
        right = self.desk.south.read("lead", self._id(lead, "right"))
        for entity in ("account", "contact", "opportunity"):
            ids = left.get(f"{entity}_id"), right.get(f"{entity}_id")
            if None in ids or lead.right_id in self.again:
                continue  # made on one side only (C9, C12): an ordinary row of that side
            if any(self.desk.crm(s).tables[entity][i].deleted for s, i in zip(SIDES, ids, strict=True)):
                continue  # ended, or moved to the winner of a merge (L11)
            link = self.desk.link("left", entity, ids[0])
            assert link is not None, f"{entity} {ids} of {lead.id} is not linked"
            there = self.desk.link("right", entity, ids[1])
            ended = not link.alive or (there is not None and not there.alive)  # lost its partner before
            assert ended or link.right_id == ids[1], f"{entity} {ids} of {lead.id}: {link}"

    def _nothing_was_made_twice(self) -> None:
        for side in SIDES:
            crm = self.desk.crm(side)
            for entity in ENTITIES:
                keys = Counter(one.key for one in crm.live(entity) if one.key)
                assert all(count == 1 for count in keys.values()), f"{side} {entity}: {keys}"
                made = Counter(one.columns.get(TAG[entity]) for one in crm.live(entity))
                ours = {
                    self.desk.crm(side).tables[entity][id].columns.get(TAG[entity])
                    for k, e, id in crm.ours
                    if e == entity and k == "create"
                }
                twice = {name for name, count in made.items() if count > 1 and name in ours - self.doubled}
                assert not twice, f"{side} {entity} made twice: {twice}"

    def _pairs_agree(self) -> None:
        view = self.desk.engine.look()
        for entity in ENTITIES:
            for link in self._links(entity):
                rows = {
                    side: view.hands.store.records(side, entity, [self._id(link, side)])[self._id(link, side)].row
                    for side in SIDES
                }
                left, right = view.see_pair(link, rows["left"], rows["right"])
                found = list(self._differences(entity, left, right))
                assert not found or self._troubled(link) or self._as_chosen(link), (
                    f"{entity} {link}: {found} {self.desk.store.issues_of([link.id])}"
                )

    def _differences(self, entity: Entity, left: Seen, right: Seen) -> Iterable[tuple[str, Any, Any]]:
        both_converted = left.shared.state == right.shared.state == "converted"
        for field in self.desk.engine.compiled.entities[entity].rules:
            here, there = left.shared.fields.get(field.name), right.shared.fields.get(field.name)
            if (entity == "lead" and both_converted) or isinstance(here, Unlinked) or isinstance(there, Unlinked):
                continue  # a converted lead is history; what points at an ended pair stays as it is
            if not field.same(here, there) and not (is_blank(here) and is_blank(there)):
                yield field.name, here, there
        if left.shared.state != right.shared.state:
            yield "state", left.shared.state, right.shared.state
        elif left.shared.status != right.shared.status:
            yield "status", left.shared.status, right.shared.status

    def _the_journal_is_whole(self) -> None:
        """Each change of ours has exactly one row; where an answer never came and a person changed the record, or
        deleted what we had made, before anybody looked, nobody can tell whose change it was."""
        written = Counter((row.side, row.entity, row.native_id) for row in self.desk.store.journal())
        for side in SIDES:
            crm = self.desk.crm(side)
            done = Counter((side, entity, id) for _, entity, id in crm.ours)
            for place, count in done.items():
                doubt = crm.doubtful[place[1], place[2]]
                doubt += place[1:] in crm.unheard and crm.tables[place[1]][place[2]].deleted
                assert abs(written[place] - count) <= doubt, f"{place}: {count} writes, {written[place]} journal rows"

    # --- small helpers --------------------------------------------------------------------------------------------

    def _person(self, with_email: bool) -> dict[str, Any]:
        self.number += 1
        n = self.number
        email = {"email": f"p{n}@example.com"} if with_email else {}
        return {"last_name": f"Person{n}", "company": f"Company{n}", "city": "Ulm", **email}

    def _pick(self, records: list[Record], pick: int) -> Record | None:
        return records[pick % len(records)] if records else None

    def _in(self, crm: Crm, entity: Entity, *states: str) -> list[Record]:
        return [record for record in crm.live(entity) if record.columns["state"] in states]

    def _set(
        self, entity: Entity, side: Side, states: Sequence[str], to: Statuses, pick: int, which: int
    ) -> str | None:
        crm = self.desk.crm(side)
        record = self._pick(self._in(crm, entity, *states), pick)
        if record is None:
            return None
        crm.set_status(entity, record.id, to[side][which % len(to[side])])
        return record.id

    def _named(self, side: Side, last_name: str) -> Record | None:
        leads = self.desk.crm(side).tables["lead"].values()
        return next((one for one in leads if one.columns.get("last_name") == last_name), None)

    def _honest(self) -> None:
        for side in SIDES:
            self.desk.crm(side).lies = lambda kind, entity, id: None

    def _links(self, entity: Entity) -> list[Link]:
        return [link for link in self.desk.store.all_links(entity) if link.alive and link.left_id and link.right_id]

    def _id(self, link: Link, side: Side) -> str:
        id = link.id_on(side)
        assert id is not None
        return id

    def _as_chosen(self, link: Link) -> bool:
        """Is one side left as it is, because that was chosen?"""
        del link
        return False

    def _troubled(self, link: Link) -> bool:
        return bool(self.desk.store.issues_of([link.id]))


def test_two_companies() -> None:
    run_state_machine_as_test(
        TwoCompanies,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_companies_for_a_long_time() -> None:
    """Other examples each time, but for continuous integration; a failing one prints how to play it again."""
    run_state_machine_as_test(
        TwoCompanies,
        settings=settings(
            max_examples=600,
            stateful_step_count=40,
            derandomize="CI" in os.environ,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
