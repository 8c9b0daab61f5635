"""A soak in several sittings is one: nothing is done twice, nothing is left out, and other code is not mixed in."""

from pathlib import Path
from unittest.mock import patch

import pytest

from tests.simulation import soak
from tests.simulation.runner import Sum
from tests.simulation.soak import FIRST, PART, Soak


def told_of(first: int) -> str:
    return Sum(seeds=PART, events=7 * PART, failed={first: "I1"} if first == FIRST else {}).told()


def test_the_next_sitting_goes_on(tmp_path: Path) -> None:
    ledger, sitting = tmp_path / "soak.json", Soak("abc", 7, 5 * PART)
    sitting.add(FIRST + 3 * PART, told_of(FIRST + 3 * PART))
    sitting.add(FIRST, told_of(FIRST))
    sitting.write(ledger)
    later = Soak("abc", 7, 5 * PART)
    later.read(ledger)
    assert list(later.left()) == [FIRST + PART, FIRST + 2 * PART, FIRST + 4 * PART]
    assert list(later.left(FIRST + 2 * PART)) == [FIRST + 2 * PART, FIRST + 4 * PART, FIRST + PART]
    for first in later.left():
        later.add(first, told_of(first))
    assert list(later.left()) == []
    assert (later.total.seeds, later.total.events, later.total.failed) == (5 * PART, 35 * PART, {FIRST: "I1"})


@pytest.mark.parametrize(("code", "events"), [("abd", 7), ("abc", 8)])
def test_another_code_or_other_stories_are_not_added(tmp_path: Path, code: str, events: int) -> None:
    ledger = tmp_path / "soak.json"
    Soak("abc", 7, PART).write(ledger)
    with pytest.raises(SystemExit, match="begin anew"):
        Soak(code, events, PART).read(ledger)


def test_two_processes_do_it_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--seeds", "4", "--events", "5", "--ledger", str(tmp_path / "soak.json")]
    with patch.object(soak, "code", lambda: ["tests/simulation/runner.py"]), patch.object(soak, "PART", 2):
        assert soak.main(given) == 0
        assert "seeds 4, violated 0" in capsys.readouterr().out
        with patch.object(soak, "part", side_effect=AssertionError("all of it was done")):
            assert soak.main(given) == 0


def test_other_code_is_known_by_its_digest() -> None:
    names = soak.code()
    tried = {"crmbridge/plan.py", "connectors/salesforce/soql.py", "mapping/translate.py", "workers/cycle.py"}
    assert tried | {"crmbridge/sync/recover.py", "crmbridge/state/store.py", "tests/simulation/people.py"} <= {*names}
    assert not [name for name in names if name.startswith(("crmbridge/sandbox/", "crmbridge/cli/"))]
    assert soak.digest(names) != soak.digest(names[1:])
