"""Who is missing in Dynamics, and what proves that it was deleted: single reads, by a user who may read all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import msgspec

from connectors.dynamics.client import Client, Reply
from connectors.dynamics.protocol import Meaning, Request
from connectors.dynamics.rollcall import absent, few
from connectors.rollcall import Absent

DONE, MISSING, FORBIDDEN = (Meaning(kind=kind) for kind in ("done", "missing", "forbidden"))


def ids(count: int) -> list[str]:
    return [str(UUID(int=number + 1)) for number in range(count)]


@dataclass(kw_only=True)
class Environment:
    """Leads as lists show them, and as single reads do."""

    listed: set[str] = field(default_factory=set[str])
    there: set[str] = field(default_factory=set[str])
    out_of_sight: set[str] = field(default_factory=set[str])
    depth: str = "Global"
    calls: int = 0
    asked: Counter[str] = field(default_factory=Counter[str])  # parts of calls, which the day's limit counts

    def read(self, request: Request) -> Reply:
        self.calls += 1
        return self._answer(request)

    def read_all(self, requests: Sequence[Request], *, kind: str = "batch", or_forbidden: bool = False) -> list[Reply]:
        self.calls += 1
        replies = [self._answer(each) for each in requests]
        assert kind == "reconcile"
        assert or_forbidden or all(each.meaning != FORBIDDEN for each in replies)
        return replies

    def _answer(self, request: Request) -> Reply:
        if "RetrieveUserPrivileges" in request.path:
            self.asked["right"] += 1
            return said({"RolePrivileges": [{"PrivilegeName": "prvReadLead", "Depth": self.depth}]})
        if "leads(" not in request.path:
            self.asked["list"] += 1
            return said({"value": [{"leadid": id.upper()} for id in sorted(self.listed) if id in request.path]})
        self.asked["single"] += 1
        id = request.path.partition("(")[2].partition(")")[0]
        if id in self.there:
            return said({"leadid": id})
        return Reply(meaning=FORBIDDEN if id in self.out_of_sight else MISSING, headers={}, body=b"")

    def absent(self, ids: Sequence[str]) -> Absent:
        return absent(cast("Client", self), "user", "lead", ids)


def said(body: Any) -> Reply:
    return Reply(meaning=DONE, headers={}, body=msgspec.json.encode(body))


def test_what_a_single_read_does_not_find_is_gone() -> None:
    some = ids(3)
    crm = Environment(listed={some[0]})
    found = crm.absent(some)
    assert found.gone == set(some[1:])
    assert "every lead" in found.proof
    assert crm.calls == 2
    assert crm.asked == {"list": 1, "right": 1, "single": 2}


def test_what_a_list_leaves_out_and_a_single_read_shows_is_there() -> None:
    first, hidden, gone = ids(3)
    found = Environment(listed={first}, there={hidden}).absent([first, hidden, gone])
    assert found.ids == found.gone == {gone}


def test_what_the_crm_says_we_may_not_read_is_not_gone() -> None:
    first, hidden, gone = ids(3)
    found = Environment(listed={first}, out_of_sight={hidden}).absent([first, hidden, gone])
    assert (found.gone, found.unclear) == ({gone}, {hidden})


def test_a_user_with_less_than_the_right_to_all_proves_nothing_and_hardly_costs_a_call() -> None:
    for number in (few, few + 1, 500):
        crm = Environment(depth="Deep")
        found = crm.absent(ids(number))
        assert (found.gone, len(found.unclear)) == (frozenset(), number)
        assert crm.asked["single"] == (number if number <= few else 0), "of no use without the right"


def test_calls_for_a_thousand_that_are_gone() -> None:
    crm = Environment()
    assert len(crm.absent(ids(1000)).gone) == 1000
    assert crm.calls == 2
    assert crm.asked == {"list": 5, "right": 1, "single": 1000}


def test_all_there_costs_no_more_than_the_list() -> None:
    crm = Environment(listed=set(ids(200)))
    assert crm.absent(ids(200)) == Absent(ids=frozenset())
    assert (crm.calls, crm.asked) == (1, {"list": 1})
