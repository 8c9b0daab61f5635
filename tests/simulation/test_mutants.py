"""The simulation bites: a few of the mutants, those that are caught soonest. All of them, with the number of seeds each
takes: python -m tests.simulation.mutants."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, broken, search

SEEDS = 5
NAMES = 20  # reliability's list of mutants


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.quick], ids=lambda mutant: mutant.words)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    found = search(mutant, seeds=SEEDS)
    assert found is not None, f"python -m tests.simulation.mutants --only '{mutant.name}'"
    print(f"seed {found.seed}: {found.by}")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.words)
def test_a_mutant_can_be_put_in(mutant: Mutant) -> None:
    """What it replaces is still there under that name."""
    with broken(mutant.off, mutant.install):
        pass


def test_each_masked_mutant_is_run_with_its_guard_off_as_well() -> None:
    masked = {one.name for one in MUTANTS if one.masked_by}
    assert masked <= {one.name for one in MUTANTS if one.without and not one.masked_by}
    assert len({one.name for one in MUTANTS}) == NAMES
