"""The simulation bites: a few of the mutants, those that are caught soonest. All of them, with the number of seeds each
takes: python -m tests.simulation.mutants."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, search

SEEDS = 5
NAMES = 20  # reliability's list of mutants


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.quick], ids=lambda mutant: mutant.words)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    found = search(mutant, seeds=SEEDS)
    assert found is not None, f"python -m tests.simulation.mutants --only '{mutant.name}'"
    print(f"seed {found.seed}: {found.by}")


def test_each_mutant_that_is_masked_is_run_with_that_guard_off() -> None:
    shown = {one.name for one in MUTANTS if not one.masked_by}
    assert shown == {one.name for one in MUTANTS}
    assert len(shown) == NAMES
    assert all(
        one.without
        for one in MUTANTS
        if one.name in {one.name for one in MUTANTS if one.masked_by} and not one.masked_by
    )
