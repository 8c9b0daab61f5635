"""SIGKILL at the places where a crash matters, and the next `crmbridge sync` brings both sides where they would be.

The places are every send, every receive and every commit of the demo's second cycle, numbered by the product's own
hook. Fifty of them are chosen by a printed seed, each kind of life-cycle call before and after the server's commit
among them; CRMBRIDGE_KILL_SEED chooses others.
"""

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.kill import (
    KILLED,
    Picture,
    Place,
    Stage,
    compare,
    conversions_in_journal,
    evening,
    ledger,
    left_open,
    places,
)

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

SEED = int(os.environ.get("CRMBRIDGE_KILL_SEED", "20"))
POINTS = 50
QUICK = 3  # of them, in the default suite

# Every kind of call that changes something: those of a record's life first (with how many of each are tried), then
# creates and updates.
LIFE = {
    "POST Lead convertLead": 3,
    "POST QualifyLead": 3,
    "POST update": 1,  # an opportunity that was there is tied to its lead
    "POST moves": 1,  # won, lost, opened again, one stage on: on Dynamics all in one batch
    "POST lead status": 1,  # disqualified and opened again, on Dynamics
    "POST Lead update": 1,  # the same on Salesforce
    "POST Opportunity update": 2,  # Salesforce: won, lost, opened again and moved on are all a stage; and amounts
}
WRITES = {"POST Opportunity create": 1, "POST account write": 1, "POST contact write": 1, "POST Account update": 1}
COUNTED = ("convertLead", "QualifyLead", "WinOpportunity", "LoseOpportunity")


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    places: list[Place]
    picture: Picture
    operations: Mapping[str, int]
    ledger: list[tuple[object, ...]]
    conversions: int


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with evening(tmp_path_factory.mktemp("kill")) as one:
        yield one


@pytest.fixture(scope="module")
def undisturbed(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder, log = stage.set_up(), tmp_path_factory.mktemp("log") / "places"
    assert stage.sync(folder, log=log).code == 1  # done, with records held
    stage.sync_until_done(folder)
    assert left_open(folder) == []
    return Undisturbed(
        places=places(log),
        picture=stage.picture(),
        operations={kind: stage.operations(kind) for kind in COUNTED},
        ledger=ledger(folder),
        conversions=len(conversions_in_journal(folder)),
    )


def choose(found: list[Place]) -> list[Place]:
    """The kinds of calls first, each before and after the server's commit; the rest by chance."""
    chance = random.Random(SEED)
    chosen: list[Place] = []
    for call, times in (LIFE | WRITES).items():
        for nth in chance.sample(range(1, 1 + sum(place.label == f"send {call}" for place in found)), times):
            for moment in ("send", "received"):
                chosen += [place for place in found if (place.label, place.nth) == (f"{moment} {call}", nth)]
    rest = [place for place in found if place not in chosen]
    commits = [place for place in rest if place.label.startswith("commit")]
    chosen += chance.sample(commits, POINTS // 5)
    return chosen + chance.sample([place for place in rest if place not in chosen], POINTS - len(chosen))


def test_the_hook_sees_every_kind_of_call(undisturbed: Undisturbed) -> None:
    labels = {place.label for place in undisturbed.places}
    print(f"seed {SEED}: {len(undisturbed.places)} places of {len(labels)} kinds")
    assert {f"{moment} {call}" for moment in ("send", "received") for call in (*LIFE, *WRITES)} <= labels
    for place in undisturbed.places:  # a send that arrives, a commit that ends: in pairs
        assert place.label.split()[0] in ("send", "received", "commit", "committed")
    for before, after in (("send", "received"), ("commit", "committed")):
        counts = [sum(place.label.split()[0] == word for place in undisturbed.places) for word in (before, after)]
        assert counts[0] == counts[1]
    assert len(set(choose(undisturbed.places))) == POINTS


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[] if n < QUICK else [pytest.mark.slow]) for n in range(POINTS)]
)
def test_killed_and_started_again(stage: Stage, undisturbed: Undisturbed, tmp_path: Path, number: int) -> None:
    place = choose(undisturbed.places)[_spread(number)]
    print(f"seed {SEED}, killed at {place}")
    folder, log = stage.set_up(), tmp_path / "places"
    killed = stage.sync(folder, kill_at=place, log=log)
    assert killed.code == KILLED, killed.err
    assert places(log)[-1].label == place.label
    stage.sync_until_done(folder)
    _is_as_undisturbed(stage, undisturbed, folder)


def _spread(number: int) -> int:
    """The quick ones: conversions, steps in one batch, commits; each kind once before and once after."""
    calls = 2 * sum((LIFE | WRITES).values())
    names = [name for name, times in (LIFE | WRITES).items() for _ in range(times)]
    order = [2 * names.index(name) for name in LIFE]
    first = [order[0], order[1] + 1, order[3] + 1, order[6], calls, calls + 1]
    return (first + [n for n in range(POINTS) if n not in first])[number]


def _is_as_undisturbed(stage: Stage, undisturbed: Undisturbed, folder: Path) -> None:
    assert compare(undisturbed.picture, stage.picture()) == []
    assert left_open(folder) == []
    assert ledger(folder) == undisturbed.ledger
    journal = conversions_in_journal(folder)
    assert [times for _, times in journal] == [1] * undisturbed.conversions, "a conversion was journaled twice"
    found = {kind: stage.operations(kind) for kind in COUNTED}
    # A conversion that was refused changed nothing; if that answer was lost with the process, it is asked once more.
    assert found["convertLead"] - undisturbed.operations["convertLead"] in (0, 1)
    assert found | {"convertLead": 0} == {**undisturbed.operations, "convertLead": 0}


# The same calls as the server sees them: alone, or inside a batch.
LOST: Mapping[str, Mapping[str, str]] = {
    "POST Lead convertLead": {"kind": "convertLead"},
    "POST QualifyLead": {"body_regex": "QualifyLead"},
    "POST moves": {"body_regex": "WinOpportunity"},
    "POST lead status": {"body_regex": '"statecode":2'},
    "POST Lead update": {"path_regex": "composite", "body_regex": "PATCH.*sobjects/Lead|sobjects/Lead.*PATCH"},
    "POST Opportunity create": {"table": "Opportunity", "kind": "collections_create"},
}


@pytest.mark.slow
@pytest.mark.parametrize("call", LOST)
def test_the_answer_is_lost_and_then_the_process(
    stage: Stage, undisturbed: Undisturbed, tmp_path: Path, call: str
) -> None:
    """The server has done it and its answer never arrives; and the same once more, with a process that dies before it
    can look."""
    folder, log = stage.set_up(), tmp_path / "places"
    stage.box.control.add_fault(**LOST[call], times=1, action="drop_after_commit")
    assert stage.sync(folder, log=log).code == 1
    assert stage.box.control.faults()[0]["fired"] == 1
    stage.sync_until_done(folder)
    _is_as_undisturbed(stage, undisturbed, folder)

    seen = places(log)
    lost = next(
        at for at, (sent, after) in enumerate(pairwise(seen))
        if sent.label == f"send {call}" and not after.label.startswith("received")
    )  # fmt: skip
    folder = stage.set_up()
    stage.box.control.add_fault(**LOST[call], times=1, action="drop_after_commit")
    assert stage.sync(folder, kill_at=seen[lost + 1]).code == KILLED
    assert stage.box.control.faults()[0]["fired"] == 1
    stage.box.control.clear_faults()
    stage.sync_until_done(folder)
    _is_as_undisturbed(stage, undisturbed, folder)
