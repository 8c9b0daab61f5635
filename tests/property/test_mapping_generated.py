"""The lens laws over made-up mappings, and over converters with a fault, which they must see each time.

One thousand mappings over made-up metadata: each is accepted by the check, and nothing that it carries is lost but what
it declares. Left undeclared, the same losses are refused.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import mapping
from crmbridge.model import SIDES
from mapping.plugins import offered
from mapping.transforms import CONVERTERS
from tests.support.lens_laws import Spoil, broken_laws
from tests.support.mapping_worlds import KINDS, draft, make_world
from tests.support.mutants import (
    MUTANTS,
    SOUND,
    day_for_month,
    entry_points,
    without_cents,
    without_dash,
    without_zone,
)

WORLDS, ROUNDS = 1000, 6
PARTS = 10
SEEDS = range(7000, 7015)  # of the mutants: caught with each of them
LOSSES = {"decimals-undeclared", "time-undeclared", "loss-undeclared", "name-loss-undeclared"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that offers the converters of `tests.support.mutants`."""
    installed = tmp_path / "mutants-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mutants\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(entry_points())
    monkeypatch.syspath_prepend(str(tmp_path))
    offered.cache_clear()
    yield
    offered.cache_clear()


def test_some_made_up_mappings_keep_the_laws() -> None:
    for seed in range(60):
        assert broken_laws(make_world(seed), ROUNDS) == [], f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_made_up_mappings_keep_the_laws(part: int) -> None:
    for seed in range(part * WORLDS // PARTS, (part + 1) * WORLDS // PARTS):
        world = make_world(seed)
        assert broken_laws(world, ROUNDS) == [], f"seed {seed}\n{world.text}"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_value_keeps_the_laws(kind: str) -> None:
    for seed in range(20):
        world = make_world(seed, kinds=(kind, kind))
        assert broken_laws(world, 20) == [], f"seed {seed}\n{world.text}"


def test_the_kinds_are_all_converters_there_are() -> None:
    context = {"choice", "money", "joined"}  # the others that need more than their column are links and people
    assert set(KINDS) - context == set(CONVERTERS)


def test_a_loss_that_is_not_declared_is_refused() -> None:
    refused = 0
    for seed in range(200):
        declared, _, fields, entity, _ = draft(seed)
        text, descriptions, _, _, _ = draft(seed, declare=False)
        documents, _ = mapping.load({f"{entity}.yaml": text})
        codes = {f.code for f in mapping.check(documents, descriptions) if f.severity == "error"}
        assert bool(codes) == ("lossy" in declared), f"seed {seed}\n{text}"
        assert codes <= LOSSES
        refused += bool(codes)
        assert all(made.columns[side] for made in fields for side in SIDES)
    assert refused > 50


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_converter_with_a_fault_is_caught_each_time(name: str) -> None:
    kind = MUTANTS[name].kind
    for seed in _telling(name):
        world = make_world(seed, kinds=(kind,), extra={kind: f"mutant_{name}"})
        assert broken_laws(world, 150), f"seed {seed}\n{world.text}"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("kind", sorted(SOUND))
def test_the_sound_converter_of_the_same_package_passes(kind: str) -> None:
    for seed in SEEDS:
        world = make_world(seed, kinds=(kind,), extra={kind: f"sound_{kind}"})
        assert broken_laws(world, 60) == [], f"seed {seed}\n{world.text}"


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("money", without_cents),
        ("number", without_cents),
        ("date", day_for_month),
        ("text", without_dash),
        ("phone", lambda value: value[:-1] if isinstance(value, str) else value),
        ("lines", without_dash),
        ("person_name", without_dash),
        ("joined", without_dash),
        ("datetime", without_zone),
        ("boolean", lambda value: not value if isinstance(value, bool) else value),
        ("choice", lambda value: None),
    ],
)
def test_a_value_that_is_spoiled_on_its_way_is_caught_each_time(kind: str, spoil: Spoil) -> None:
    for seed in SEEDS:
        if kind in ("money", "number") and not _has_cents(seed, kind):
            continue  # nothing to lose
        world = make_world(seed, kinds=(kind,))
        assert broken_laws(world, 150, spoil=spoil), f"seed {seed}\n{world.text}"


def test_enough_of_the_seeds_have_cents() -> None:
    assert sum(_has_cents(seed, "money") for seed in SEEDS) >= 5
    assert sum(_has_cents(seed, "number") for seed in SEEDS) >= 5


def _has_cents(seed: int, kind: str) -> bool:
    _, _, fields, _, _ = draft(seed, kinds=(kind,))
    return all((column.scale or 0) > 0 for side in SIDES for column in fields[0].columns[side])


def _telling(name: str) -> list[int]:
    """Seeds whose columns can show the fault: cents where there are decimals, zones where there are instants."""
    found: list[int] = []
    for seed in random.Random(5).sample(range(8000, 9000), 200):
        kind = MUTANTS[name].kind
        _, _, fields, _, _ = draft(seed, kinds=(kind,))
        columns = [column for side in SIDES for column in fields[0].columns[side]]
        if "cents" in name and not all((column.scale or 0) > 0 for column in columns):
            continue
        # East of Greenwich midnight in UTC is still the same day.
        if "zone_of_a_day" in name and fields[0].zone != ("Asia/Tokyo" if "reading" in name else "America/New_York"):
            continue
        if "day_and_month" in name and any(column.type == "datetime" for column in columns):
            continue
        found.append(seed)
    return found[:15]
