"""A changed mapping makes due what it affects, and nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mapping
from crmbridge.guard import Cap, Caps
from crmbridge.model import Entity
from crmbridge.sync import Options
from tests.support.engine import MAPPINGS, Bench, bench


@contextmanager
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        made.engine.version = mapping.Version(id="first")
        made.sync()
        yield made


def change(one: Bench, **texts: tuple[str, str]) -> Mapping[Entity, int]:
    """A run by a mapping in which, per file, one text stands for another; how many records it looked at again."""
    changed = dict(MAPPINGS)
    for name, (old, new) in texts.items():
        assert old in changed[f"{name}.yaml"]
        changed[f"{name}.yaml"] = changed[f"{name}.yaml"].replace(old, new)
    connections = {"north": "memory", "south": "memory"}
    documents, findings = mapping.load(changed, connections=connections)
    assert not findings, findings
    before = one.engine.compiled
    one.engine.compiled = mapping.compile(documents)
    one.engine.version = mapping.Version(id="second")
    one.engine.previous = lambda version: before if version == "first" else None
    return one.sync().replanned


def test_what_reads_as_before_is_left_alone(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        one.lead_pair(city="Kiel")
        assert change(one, lead=("fields:", "fields:  # a comment")) == {}
        assert change(one) == {}


def test_a_new_row_frees_what_was_held_for_want_of_it_and_nothing_else(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        held, there = one.lead_pair()
        one.lead_pair()
        one.north.edit("lead", held, status="Parked")
        one.settled()
        assert {issue.cause for issue in one.issues()} == {"unmapped_status"}
        looked = change(one, lead=("north: [Working, Nurturing]", "north: [Working, Nurturing, Parked]"))
        assert looked == {"lead": 1}
        assert one.south.read("lead", there)["status"] == "contacted"
        assert one.issues() == []


def test_a_rule_that_changed_looks_at_pairs_that_are_apart(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        one.lead_pair(phone="1")
        here, there = one.lead_pair(phone="1")
        one.engine.compiled = _with(
            ("phone: {north: phone, south: phone}", "phone: {north: phone, south: phone, rule: create only}")
        )
        one.engine.version = mapping.Version(id="first")
        one.north.edit("lead", here, phone="2")
        one.settled()
        assert one.south.read("lead", there)["phone"] == "1"
        assert change(
            one, lead=("phone: {north: phone, south: phone}", "phone: {north: phone, south: phone, rule: north}")
        ) == {"lead": 1}


def test_a_gate_that_was_taken_away_frees_what_it_held_and_nothing_else(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        held, there = one.deal_pair()
        one.deal_pair()
        gate = "gates: {develop: {needs: [description]}}\n"
        texts = {**MAPPINGS, "opportunity.yaml": MAPPINGS["opportunity.yaml"] + gate}
        connections = {"north": "memory", "south": "memory"}
        one.engine.compiled = mapping.compile(mapping.load(texts, connections=connections)[0])
        one.north.set_status("opportunity", held, "Proposal")
        one.settled()
        assert one.causes() == {"gate"}
        assert change(one, opportunity=("entity:", "entity:")) == {"opportunity": 1}
        assert one.south.read("opportunity", there)["status"] == "propose"
        assert one.issues() == []


def _with(pair: tuple[str, str]) -> mapping.Compiled:
    texts = {**MAPPINGS, "lead.yaml": MAPPINGS["lead.yaml"].replace(*pair)}
    return mapping.compile(mapping.load(texts, connections={"north": "memory", "south": "memory"})[0])


def test_without_the_old_mapping_everything_is_looked_at(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        one.lead_pair()
        one.lead_pair()
        one.engine.version = mapping.Version(id="third")
        assert one.sync().replanned == {"lead": 2}
        assert one.sync().replanned == {}


def test_what_it_writes_goes_through_the_guard(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        pairs = [one.lead_pair(city="Kiel") for _ in range(3)]
        one.engine.options = Options(caps=Caps(updates=Cap(count=2, percent=0)))
        for here, _ in pairs:
            one.north.edit("lead", here, status="Parked")
        one.settled()
        texts = {
            **MAPPINGS,
            "lead.yaml": MAPPINGS["lead.yaml"].replace("[Working, Nurturing]", "[Working, Nurturing, Parked]"),
        }
        before = one.engine.compiled
        one.engine.compiled = mapping.compile(
            mapping.load(texts, connections={"north": "memory", "south": "memory"})[0]
        )
        one.engine.version, one.engine.previous = mapping.Version(id="second"), lambda version: before
        stopped = one.sync(approve_all=False)
        assert not stopped.ruling.go
        assert stopped.replanned == {"lead": 3}
        assert {one.south.read("lead", there)["status"] for _, there in pairs} == {"new"}
        # What the run made due stays due: a person's yes carries it out.
        one.sync()
        assert {one.south.read("lead", there)["status"] for _, there in pairs} == {"contacted"}
