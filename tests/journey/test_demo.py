"""The demo, judged from outside: its own JSON is held against the sandbox's dumps and its ledger of calls.

What belongs to what, and whether both sides say the same, is worked out anew by `dump_table`, which knows nothing of
the product.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.run import INGRID, go_through, new_demo
from crmbridge.sandbox.server import running_sandbox
from tests.support.dump_table import KEYS, OBJECTS, Both, Difference, Dump, chosen_id, differences, doubled

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("demo")]

ENTITIES = ("account", "contact", "opportunity")
CRMS = ("salesforce", "dynamics")


@dataclass(frozen=True, kw_only=True)
class Told:
    """The demo's document, and what the control port knows."""

    document: Mapping[str, Any]
    dump: Dump
    by_people: Mapping[str, set[str]]  # CRM -> ids of rows that were there before, or that a person typed in
    ours: Mapping[str, str]  # CRM -> id of our user
    calls: list[Mapping[str, Any]]

    def rows(self, crm: str, entity: str) -> dict[str, Mapping[str, Any]]:
        table, key = (OBJECTS[entity], "Id") if crm == "salesforce" else (entity, KEYS[entity])
        return {row[key]: row for row in self.dump[crm][table]}

    def row(self, crm: str, entity: str, id: str) -> Mapping[str, Any]:
        return self.rows(crm, entity)[id]

    def conversion(self, words: str) -> Mapping[str, Any]:
        """The one that is told with these words."""
        [found] = [one for one in self.document["conversions"] if words in one["what"]]
        return found

    def both(self) -> Both:
        return Both(self.dump, self.document["conversions"])

    def operations(self, crm: str, kind: str) -> int:
        """How often our user asked for it, inside batches too."""
        mine = [call for call in self.calls if call["crm"] == crm and call["user"] == self.ours[crm]]
        inside = [operation for call in mine for operation in call["operations"]]
        plain = [(call["table"], call["kind"]) for call in mine if not call["operations"]]
        return sum(kind == what for _, what in (*inside, *plain))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with running_sandbox("demo") as box:
        seed = box.control.dump()
        demo = new_demo(tmp_path_factory.mktemp("demo") / "company", box.connect, lambda _: None)
        ingrid = {crm: box.control.people(crm, INGRID)["user_id"] for crm in CRMS}
        document = go_through(demo)
        dump = box.control.dump()
        by_people = {crm: _ids(seed[crm]) | _ids(dump[crm], made_by=ingrid[crm]) for crm in CRMS}
        calls = box.control.raw_calls()
        users = {crm: Counter(c["user"] for c in calls if c["crm"] == crm and c["user"]) for crm in CRMS}
        ours = {crm: next(user for user in users[crm] if user != ingrid[crm]) for crm in CRMS}
        assert all(len(found) == len(CRMS) for found in users.values()), "somebody else was at work"
        yield Told(document=document, dump=dump, by_people=by_people, ours=ours, calls=calls)


def _ids(tables: Mapping[str, Sequence[Mapping[str, Any]]], made_by: str | None = None) -> set[str]:
    """Ids of accounts, contacts, leads and opportunities, all or one person's."""
    return {
        row["Id"] if table in OBJECTS.values() else row[KEYS[table]]
        for table in (*OBJECTS.values(), *OBJECTS)
        for row in tables.get(table, ())
        if made_by in (None, row.get("CreatedById"), row.get("_createdby_value"))
    }


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_one_document_and_ends_0() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "crmbridge", "demo", "--json"], capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    document = json.loads(ran.stdout)  # one document, and nothing besides
    assert document["ok"] is True
    assert set(document) >= {"ok", "conversions", "differences", "held", "calls", "idle_calls"}
    for one in document["conversions"]:
        assert set(one) >= {"from", "account", "contact", "opportunity", *CRMS}
        assert one["from"] in CRMS
        assert one["outcome"] in ("converted", "held", "refused")
        assert {one["account"], one["contact"]} <= {"new", "existing", None}
        assert one["opportunity"] in (True, False, None)
        for crm in CRMS:
            assert list(one[crm]) == ["lead", *ENTITIES]
    for one in document["held"]:
        assert one["record"]
        assert one["cause"]
        assert one["fix"], f"{one['record']} is held, and nobody is told what to do"
    assert document["differences"] == []
    assert all(isinstance(n, int) for tables in document["calls"].values() for t in tables.values() for n in t.values())
    assert all(isinstance(n, int) for tables in document["idle_calls"].values() for n in tables.values())


@pytest.mark.slow
@pytest.mark.parametrize("seen", ["Starting a sandbox", "== First run"])
def test_ctrl_c_ends_it_with_one_line_and_leaves_nothing_behind(tmp_path: Path, seen: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "crmbridge", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # as a terminal's job: all its processes are told
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith(seen) for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "\nInterrupted. Nothing is lost: the next sync goes on where this one stopped.\n"
    assert list(tmp_path.iterdir()) == []


# --- conversions ----------------------------------------------------------------------------------------------------


def test_what_it_announced_has_happened(told: Told) -> None:
    assert told.document["failures"] == []
    assert told.document["ok"] is True


@pytest.mark.parametrize(("origin", "new", "deal"), list(product(CRMS, ("both", "contact", "none"), (True, False))))
def test_the_twelve_combinations_are_converted_on_both_sides(told: Told, origin: str, new: str, deal: bool) -> None:
    account, contact = ("new" if new == "both" else "existing"), ("existing" if new == "none" else "new")
    deals = "with" if deal else "without"
    one = told.conversion(f"ed on {origin.title()}: account {account}, contact {contact}, {deals} opportunity")
    assert (one["from"], one["account"], one["contact"], one["opportunity"]) == (origin, account, contact, deal)
    _is_converted(told, one)
    _says_new_or_existing(told, one)


def _is_converted(told: Told, one: Mapping[str, Any]) -> None:
    """The lead says so itself on both sides, and what it names is what the document says."""
    left = told.row("salesforce", "lead", one["salesforce"]["lead"])
    right = told.row("dynamics", "lead", one["dynamics"]["lead"])
    assert left["IsConverted"] is True
    assert {entity: left[f"Converted{entity.title()}Id"] for entity in ENTITIES} == _results(one, "salesforce")
    assert right["statecode"] == 1
    assert right["_parentaccountid_value"] == one["dynamics"]["account"]
    assert right["_parentcontactid_value"] == one["dynamics"]["contact"]
    assert right["_qualifyingopportunityid_value"] == one["dynamics"]["opportunity"]
    for crm, entity in product(CRMS, ENTITIES):
        id = one[crm][entity]
        assert id is None or id in told.rows(crm, entity), f"{crm} has no {entity} {id}"


def _results(one: Mapping[str, Any], crm: str) -> dict[str, Any]:
    return {entity: one[crm][entity] for entity in ENTITIES}


def _says_new_or_existing(told: Told, one: Mapping[str, Any]) -> None:
    """New: the conversion here made the one here, the mirror made the one there; existing: both were there before."""
    origin, partner = one["from"], other(one["from"])
    for entity in ("account", "contact"):
        id = one[partner][entity]
        assert (id in told.by_people[partner]) == (one[entity] == "existing"), f"{entity} {id} of {partner}"
        assert one[origin][entity] in told.by_people[origin]
    if one["opportunity"]:
        assert one[origin]["opportunity"]
        assert one[partner]["opportunity"]
    else:
        assert one[origin]["opportunity"] is None
        assert one[partner]["opportunity"] is None


def other(crm: str) -> str:
    return "dynamics" if crm == "salesforce" else "salesforce"


def test_into_an_opportunity_that_was_there(told: Told) -> None:
    one = told.conversion("into an opportunity that was there")
    _is_converted(told, one)
    for crm in CRMS:
        assert one[crm]["opportunity"] in told.by_people[crm]
    deal = told.row("dynamics", "opportunity", one["dynamics"]["opportunity"])
    assert deal["_originatingleadid_value"] == one["dynamics"]["lead"]
    assert told.row("salesforce", "opportunity", one["salesforce"]["opportunity"])["Name"] == deal["name"]


def test_contact_only(told: Told) -> None:
    """Salesforce cannot do without an account: made from the company, ours alone, and never pushed to Dynamics."""
    one = told.conversion("into a contact only")
    _is_converted(told, one)
    assert one["dynamics"]["account"] is None
    assert one["dynamics"]["opportunity"] is None
    assert one["salesforce"]["opportunity"] is None
    account = told.row("salesforce", "account", one["salesforce"]["account"])
    company = told.row("dynamics", "lead", one["dynamics"]["lead"])["companyname"]
    assert account["Name"] == company
    assert company not in {row["name"] for row in told.rows("dynamics", "account").values()}


def test_bare_qualified_is_held(told: Told) -> None:
    one = told.conversion("without making anything")
    assert one["outcome"] == "held"
    assert told.row("dynamics", "lead", one["dynamics"]["lead"])["statecode"] == 1
    assert told.row("salesforce", "lead", one["salesforce"]["lead"])["IsConverted"] is False
    assert {**_results(one, "salesforce"), **_results(one, "dynamics")} == dict.fromkeys(ENTITIES)
    assert _cause_of(told, one) == "C6"


def test_several_opportunities_from_one_lead(told: Told) -> None:
    one = told.conversion("a second opportunity made from the same lead")
    _is_converted(told, one)
    made = [
        row
        for row in told.rows("dynamics", "opportunity").values()
        if row["_originatingleadid_value"] == one["dynamics"]["lead"]
    ]
    assert len(made) == 2
    both = told.both()
    partners = {pair.ids[1]: pair.salesforce for pair in both.pairs["opportunity"]}
    for row in made:
        assert partners[row["opportunityid"]]["AccountId"] == one["salesforce"]["account"]
    assert len({partners[row["opportunityid"]]["Id"] for row in made}) == 2
    qualifying = told.row("dynamics", "lead", one["dynamics"]["lead"])["_qualifyingopportunityid_value"]
    assert partners[qualifying]["Id"] == one["salesforce"]["opportunity"]


def test_a_disqualified_partner_is_reactivated_and_qualified(told: Told) -> None:
    one = told.conversion("while its partner was disqualified")
    assert one["case"] == "C7"
    _is_converted(told, one)


def test_both_converted_independently_are_linked_pairwise(told: Told) -> None:
    one = told.conversion("converted on both sides")
    assert one["case"] == "C9"
    _is_converted(told, one)
    for crm, entity in product(CRMS, ENTITIES):
        assert one[crm][entity] in told.by_people[crm], f"we made a {entity} on {crm} though there was one"


def test_reactivated_after_qualification_is_held(told: Told) -> None:
    one = told.conversion("opened again on Dynamics after its conversion")
    assert one["outcome"] == "held"
    assert told.row("dynamics", "lead", one["dynamics"]["lead"])["statecode"] == 0
    left = told.row("salesforce", "lead", one["salesforce"]["lead"])
    assert left["IsConverted"] is True
    assert {entity: left[f"Converted{entity.title()}Id"] for entity in ENTITIES} == _results(one, "salesforce")
    assert None not in one["salesforce"].values()
    assert None not in one["dynamics"].values()
    assert _cause_of(told, one) == "C11"


def test_a_refused_conversion_leaves_nothing_behind(told: Told) -> None:
    one = told.conversion("rules refuse the account")
    assert one["outcome"] == "refused"
    lead = told.row("salesforce", "lead", one["salesforce"]["lead"])
    assert lead["IsConverted"] is False
    assert _results(one, "salesforce") == dict.fromkeys(ENTITIES)
    assert told.row("dynamics", "lead", one["dynamics"]["lead"])["statecode"] == 1
    for entity, column, name in (
        ("account", "Name", lead["Company"]),
        ("contact", "Email", lead["Email"]),
        ("opportunity", "Name", told.row("dynamics", "opportunity", one["dynamics"]["opportunity"])["name"]),
    ):
        assert name not in {row[column] for row in told.rows("salesforce", entity).values()}, f"a {entity} was left"
    assert _cause_of(told, one) == "FIELD_CUSTOM_VALIDATION_EXCEPTION"


def test_an_account_seen_before_its_lead_is_claimed_not_doubled(told: Told) -> None:
    one = told.conversion("claimed, not doubled")
    _is_converted(told, one)
    account = told.row("dynamics", "account", one["dynamics"]["account"])
    names = [row["name"] for row in told.rows("dynamics", "account").values()]
    assert names.count(account["name"]) == 1
    # Dynamics' own conversion made it: an ordinary create would have given it the id that we choose.
    org = told.dump["salesforce"]["Organization"][0]["Id"]
    assert account["accountid"] != chosen_id(org, one["salesforce"]["account"])


def _cause_of(told: Told, one: Mapping[str, Any]) -> str:
    ids = {crm: one[crm]["lead"] for crm in CRMS}
    [cause] = [held["cause"] for held in told.document["held"] if held["ids"] == ids]
    return cause


def test_each_conversion_was_carried_out_once(told: Told) -> None:
    mirrored = [c for c in told.document["conversions"] if c["outcome"] == "converted" and c["case"] != "C9"]
    to_dynamics = sum(one["from"] == "salesforce" for one in mirrored)
    to_salesforce = sum(one["from"] == "dynamics" for one in mirrored)
    assert (to_dynamics, to_salesforce) == (6 + 3, 6 + 2)
    assert told.operations("dynamics", "QualifyLead") == to_dynamics
    # One was mirrored the evening before (and opened again since), one was refused.
    assert told.operations("salesforce", "convertLead") == to_salesforce + 1 + 1


def test_nothing_is_doubled(told: Told) -> None:
    assert doubled(told.dump, told.by_people) == []


# --- agreement ------------------------------------------------------------------------------------------------------


def test_both_sides_agree_but_for_what_is_held(told: Told) -> None:
    both = told.both()
    found = differences(both, born=_born(told.document))
    held = {id for one in told.document["held"] for id in one["ids"].values()}
    assert told.document["differences"] == []
    assert [one for one in found if not held & set(one.ids)] == []
    # The second opinion sees what is wrong with the held ones; it is not blind.
    assert {(one.entity, one.field) for one in found} == {
        ("lead", "state"),
        ("opportunity", "state"),
        ("opportunity", "Amount"),
        ("opportunity", "CloseDate"),
        ("opportunity", "Name"),
    }
    assert sum(len(pairs) for pairs in both.pairs.values()) == told.document["pairs"]


def _born(document: Mapping[str, Any]) -> dict[str, str]:
    """Dynamics ids of what conversions made, and where each was made first."""
    return {
        one["dynamics"][entity]: one["from"]
        for one in document["conversions"]
        if one["outcome"] != "refused" and one["case"] not in ("C4", "C9")
        for entity in ENTITIES
        if one["dynamics"][entity] and (entity == "opportunity" or one[entity] == "new")
    }


def test_the_second_opinion_bites(told: Told) -> None:
    """One value changed in one dump, and it is told."""
    both = told.both()
    pair = next(pair for pair in both.pairs["contact"] if pair.salesforce["Title"])
    row = next(r for r in told.dump["dynamics"]["contact"] if r["contactid"] == pair.ids[1])
    changed = {
        **told.dump,
        "dynamics": {
            **told.dump["dynamics"],
            "contact": [
                {**r, "jobtitle": "Somebody else"} if r is row else r for r in told.dump["dynamics"]["contact"]
            ],
        },
    }
    found = differences(Both(changed, told.document["conversions"]), born={})
    assert Difference("contact", pair.ids, "Title", pair.salesforce["Title"], "Somebody else") in found


def test_every_record_of_both_sides_is_paired_or_told_why_not(told: Told) -> None:
    both = told.both()
    held = {id for one in told.document["held"] for id in one["ids"].values()}
    paired = {id for pairs in both.pairs.values() for pair in pairs for id in pair.ids}
    refused = told.conversion("rules refuse the account")
    waiting = set(_results(refused, "dynamics").values())  # belong to a conversion that is held
    for crm in CRMS:
        for entity in ("lead", "opportunity"):
            left_over = set(told.rows(crm, entity)) - paired - held - waiting
            assert not left_over, f"{crm} {entity}: {left_over}"
    # Accounts and contacts cross only when a conversion or an opportunity reaches them (or they were matched).
    deals = told.rows("salesforce", "opportunity").values()
    reached = {row[column] for row in deals for column in ("AccountId", "ContactId")}
    for entity in ("account", "contact"):
        lonely = set(told.rows("salesforce", entity)) - paired - held
        assert not lonely & reached


def test_held_records_say_what_to_do(told: Told) -> None:
    assert Counter(one["cause"] for one in told.document["held"]) == Counter(
        {"ambiguous_match": 3, "C11": 1, "C6": 1, "first_run_conflict": 1, "FIELD_CUSTOM_VALIDATION_EXCEPTION": 2}
    )
    assert all(one["fix"] for one in told.document["held"])


def test_what_is_left_to_do_costs_one_call_a_table(told: Told) -> None:
    for tables in told.document["idle_calls"].values():
        assert set(tables.values()) == {1}
