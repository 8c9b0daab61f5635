"""Exchanges that real orgs had with other people's clients, sent again to a sandbox built from the recordings alone.

An exchange is equal when the status, the headers that clients go by, and the body are: the same keys, types, nesting,
texts and numbers, and ids in their places. `ACCEPTED` says what may differ and why. The tables are printed, and
`docs/reference/evidence.md` quotes them as they are printed.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded import RECORDINGS
from tests.support.recorded_org import Recording, recordings
from tests.support.replay_rules import ACCEPTED, Comparison, Names
from tests.support.replayed import Replayed, replay

EVIDENCE = Path(__file__).parents[2] / "docs" / "reference" / "evidence.md"
EQUAL_MIN = 450
# Exchanges that are not equal, each with the reason.
DIFFERENT = {
    "GET /services/data/v/": "a resource list names what is served; the recorded one names twelve resources more",
    "GET /services/data/v/limits/recordCount": "a real org estimates and lags behind; the sandbox counts",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RECORDINGS, reason="the recorded exchanges are not beside the checkout"),
]


@cache
def replayed(folder: str) -> tuple[Replayed, ...]:
    return tuple(each for recording in recordings() if recording.folder == folder for each in replay(recording))


def everything() -> Iterator[Replayed]:
    for path in RECORDINGS:
        yield from replayed(path.parent.name)


@pytest.mark.parametrize("folder", [path.parent.name for path in RECORDINGS])
def test_the_sandbox_answers_as_recorded(folder: str) -> None:
    """All but the kinds that are named."""
    different = [each for each in replayed(folder) if each.differences]
    for each in different:
        print(f"{each.recording} {each.n} {each.what}", *each.differences, sep="\n    ")
    assert [each.what for each in different if each.what not in DIFFERENT] == []


def test_at_least_450_of_487_exchanges_are_equal() -> None:
    rows = ["| recordings | exchanges | equal | different |", "|---|--:|--:|---|"]
    for path in RECORDINGS:
        told = replayed(path.parent.name)
        names = Counter(each.what for each in told if each.differences)
        words = "; ".join(f"{number} `{name}`" for name, number in sorted(names.items())) or "none"
        rows.append(f"| `{path.parent.name}` | {len(told)} | {len(told) - names.total()} | {words} |")
    equal, total = sum(not each.differences for each in everything()), len(list(everything()))
    rows.append(f"| all | {total} | {equal} | {total - equal} |")
    quoted(rows)
    assert total == 487
    assert equal >= EQUAL_MIN


def test_every_accepted_difference_has_its_reason() -> None:
    """And no rule is there that nothing needs."""
    used = Counter[str]()
    for each in everything():
        used.update(each.used.keys())
    assert used.keys() == ACCEPTED.keys()
    quoted(
        [
            "| accepted | exchanges | reason |",
            "|---|--:|---|",
            *(f"| {name} | {used[name]} | {reason} |" for name, reason in ACCEPTED.items()),
        ]
    )


def quoted(table: list[str]) -> None:
    text = "\n".join(table)
    print(f"\n{text}\n")
    assert text in EVIDENCE.read_text(encoding="utf-8"), f"docs/reference/evidence.md does not quote:\n{text}"


# --- the comparison itself --------------------------------------------------------------------------------------------


@cache
def rows_recording() -> Recording:
    return next(each for each in recordings() if each.name.endswith("export-records-additive.js"))


@pytest.mark.parametrize(
    ("recorded", "answered", "place"),
    [
        ({"done": True}, {"done": True, "more": 1}, "body"),
        ({"done": True, "nextRecordsUrl": "/x"}, {"done": True}, "body"),
        ({"records": [{}]}, {"records": []}, "body.records"),
        ({"totalSize": 1}, {"totalSize": 1.5}, "body.totalSize"),
        ({"success": True}, {"success": 1}, "body.success"),
        ({"Name": None}, {"Name": "A"}, "body.Name"),
        ({"Name": "A"}, {"Name": "B"}, "body.Name"),
        ({"Site": "https://a.example/x"}, {"Site": "https://b.example/x"}, "body.Site"),
        ([{"errorCode": "NOT_FOUND"}], [{"errorCode": "NOT_FOUND."}], "body[0].errorCode"),
        ({"Id": "0014S000007NxmlQAC"}, {"Id": "0034S000007NxmlQAC"}, "body.Id"),
        ({"At": "2021-12-03T17:59:20.000+0000"}, {"At": "2021-12-03T17:59:20Z"}, "body.At"),
        ({"state": "Completed"}, {"state": "Failed"}, "body.state"),
        ({"access_token": "a"}, {"access_token": None}, "body.access_token"),
    ],
)
def test_what_differs_is_said(recorded: Any, answered: Any, place: str) -> None:
    comparison = Comparison(names=Names(), declared=frozenset())
    (found,) = comparison.differences("body", recorded, answered)
    assert found.startswith(place)


def test_an_id_stands_for_one_recorded_id_alone() -> None:
    comparison = Comparison(names=Names(), declared=frozenset())
    told = {"a": "0014S000007NxmlQAC", "b": "0014S000007Nx5BQAS", "c": "0014S000007NxmlQAC"}
    ours = {"a": "001LO0000000001AAA", "b": "001LO0000000002AAA", "c": "001LO0000000001AAA"}
    assert list(comparison.differences("body", told, ours)) == []
    assert len(list(comparison.differences("body", told, {**ours, "c": ours["b"]}))) == 1
    assert len(list(comparison.differences("body", told, {**ours, "b": ours["a"]}))) == 1


def test_another_status_or_header_is_a_difference() -> None:
    """A recording that was tampered with is not equal any more."""
    whole = rows_recording()
    for key, value in (("status", 201), ("headers", {"content-type": "text/plain"}), ("body", {"totalSize": 0})):
        exchanges = [{**each, "response": dict(each["response"])} for each in whole.exchanges[:2]]
        exchanges[1]["response"][key] = value
        told = replay(Recording(folder=whole.folder, name=whole.name, exchanges=tuple(exchanges)))
        assert [bool(each.differences) for each in told] == [False, True]
