"""Work that is handed out: who gets it, how often it was tried, what a second worker may not do; in both databases."""

import os
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from crmbridge.errors import CrmBridgeError, LeaseTaken
from crmbridge.model import Link
from crmbridge.state.store import Store
from crmbridge.state.words import STOPPED, Batch, Intent, Lease
from crmbridge.state.work import ATTEMPTS_MAX
from tests.support.rows import left, right


@pytest.fixture
def lead(store: Store) -> Lease:
    return store.take_lease("cycle", 60)


def hand_out(store: Store, lead: Lease, lanes: dict[str, list[str]], run: str = "r1", mapping: str = "m") -> None:
    store.hand_out(lead, run, mapping, lanes)


def test_each_lane_is_worked_in_by_one(store: Store, lead: Lease) -> None:
    hand_out(store, lead, {"a": ["p1", "p2"], "b": ["p3"]})
    first, second = store.claim_work("m", 60), store.claim_work("m", 60)
    assert first is not None
    assert second is not None
    assert [(lease.name, row.link_id, row.attempts) for lease, row in (first, second)] == [
        ("lane:a", "p1", 1),
        ("lane:b", "p3", 1),
    ]
    assert store.claim_work("m", 60) is None, "p2 is in a lane that somebody works in"
    assert (store.waiting_work().lanes, store.waiting_work().busy) == (0, 2)
    following = store.finish_work(first[0], first[1].id, {"counts": []}, more=True)
    assert following is not None
    assert following.link_id == "p2"
    assert store.finish_work(first[0], following.id, {"moved": True}, more=True) is None
    assert store.finish_work(second[0], second[1].id, {}) is None
    assert store.count_work("r1") == 0
    assert store.work_told("r1", ["p1", "p2", "p3"]) == {"p1": {"counts": []}, "p2": {"moved": True}, "p3": {}}


def test_what_was_planned_by_another_mapping_or_for_another_run_is_left(store: Store, lead: Lease) -> None:
    hand_out(store, lead, {"a": ["p1"]})
    assert store.claim_work("another", 60) is None
    assert store.claim_work("m", 60, run_id="r2") is None
    assert store.claim_work("m", 60, run_id="r1") is not None


def test_only_the_holder_of_the_cycle_hands_out(store: Store) -> None:
    frozen = store.take_lease("cycle", 0.0)
    lead = store.take_lease("cycle", 60)
    with pytest.raises(LeaseTaken):
        hand_out(store, frozen, {"a": ["p1"]})
    hand_out(store, lead, {"a": ["p1"]})
    with pytest.raises(LeaseTaken):
        store.take_over_work(frozen)
    assert store.count_work("r1") == 1


def test_who_froze_past_its_lease_records_nothing_more(store: Store, lead: Lease) -> None:
    hand_out(store, lead, {"a": ["p1"]})
    frozen = store.claim_work("m", 0.0)
    assert frozen is not None
    owner = store.claim_work("m", 60)
    assert owner is not None
    assert owner[0].fence > frozen[0].fence
    assert owner[1].attempts == 2
    for deed in (
        lambda: store.finish_work(frozen[0], frozen[1].id, {}),
        lambda: store.give_up_work(frozen[0], frozen[1].id, counted=True),
        lambda: store.renew(frozen[0], 60),
        lambda: store.apply(Batch(links=[_link("p1")]), lease=frozen[0]),
    ):
        with pytest.raises(LeaseTaken):
            deed()
    assert store.finish_work(owner[0], owner[1].id, {}) is None
    with pytest.raises(LeaseTaken):
        store.renew(frozen[0], 60)  # the lane is over, and so is its lease


def test_five_claims_without_an_end_are_for_a_person(store: Store, lead: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("L1")))
    store.save_page("right", "lead", right.page(right.row("R1")))
    store.apply(Batch(links=[_link("p1")]), lease=lead)
    hand_out(store, lead, {"a": ["p1", "p2"], "b": ["p3"]})
    for attempt in range(1, ATTEMPTS_MAX + 1):
        claimed = store.claim_work("m", 0.0)  # and is gone
        assert claimed is not None
        assert (claimed[1].link_id, claimed[1].attempts) == ("p1", attempt)
    others = [store.claim_work("m", 60), store.claim_work("m", 60)]
    assert [one and one[1].link_id for one in others] == ["p2", "p3"], "the others go on"
    [issue] = store.open_issues(cause=STOPPED)
    assert (issue.kind, issue.link_id) == ("held", "p1")
    assert "stopped the worker 5 times" in issue.message
    for one in others:
        assert one is not None
        store.finish_work(one[0], one[1].id, {})
    assert store.count_work("r1") == 0
    hand_out(store, lead, {"c": ["p1"]}, run="r2")  # somebody has looked
    again = store.claim_work("m", 60)
    assert again is not None
    assert again[1].attempts == 1


def test_attempts_count_over_runs_until_one_comes_to_an_end(store: Store, lead: Lease) -> None:
    for run in ("r1", "r2"):
        store.take_over_work(lead)
        hand_out(store, lead, {run: ["p1"]}, run=run)
        claimed = store.claim_work("m", 0.0)
        assert claimed is not None
    assert claimed[1].attempts == 2
    store.take_over_work(lead)
    hand_out(store, lead, {"r3": ["p1"]}, run="r3")
    claimed = store.claim_work("m", 60)
    assert claimed is not None
    store.give_up_work(claimed[0], claimed[1].id, counted=False)  # a CRM was away: no attempt is burned
    claimed = store.claim_work("m", 60)
    assert claimed is not None
    assert claimed[1].attempts == 3
    store.finish_work(claimed[0], claimed[1].id, {})
    hand_out(store, lead, {"r4": ["p1"]}, run="r4")
    claimed = store.claim_work("m", 60)
    assert claimed is not None
    assert claimed[1].attempts == 1


def test_the_next_cycle_takes_over_what_nobody_works_at(store: Store, lead: Lease) -> None:
    assert store.take_over_work(lead) == {}
    hand_out(store, lead, {"a": ["p1", "p2"], "b": ["p3"], "c": ["p4"]})
    alive, dead = store.claim_work("m", 60), store.claim_work("m", 0.0)
    assert alive is not None
    assert dead is not None
    assert store.take_over_work(lead) == {"lane:a": frozenset({"p1", "p2"})}
    assert store.claim_work("m", 60) is None, "the rest is planned anew"
    assert store.finish_work(alive[0], alive[1].id, {}, more=True) is not None, "who works goes on"
    with pytest.raises(LeaseTaken):
        store.finish_work(dead[0], dead[1].id, {})


def test_a_cycle_that_breaks_off_leaves_what_nobody_began(store: Store, lead: Lease) -> None:
    hand_out(store, lead, {"a": ["p1"], "b": ["p2"]})
    assert store.claim_work("m", 60) is not None
    store.leave_work("r1")
    assert store.claim_work("m", 60) is None
    assert store.count_work("r1") == 1


def test_many_at_once_get_each_pair_once(store: Store, lead: Lease) -> None:
    hand_out(store, lead, {f"lane {n // 2}": [f"p{n}", f"p{n + 1}"] for n in range(0, 60, 2)})
    got: list[str] = []
    lock = threading.Lock()
    failed: list[CrmBridgeError] = []

    def work() -> None:
        try:
            while (claimed := store.claim_work("m", 60)) is not None:
                lease, row = claimed
                with lock:
                    got.append(row.link_id)
                following = store.finish_work(lease, row.id, {}, more=True)
                if following is not None:
                    with lock:
                        got.append(following.link_id)
                    store.finish_work(lease, following.id, {})
        except CrmBridgeError as error:  # told by the assertion below, not lost with its thread
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(got) == sorted(f"p{n}" for n in range(60))


def test_a_dead_process_loses_its_lane_at_once(store: Store, lead: Lease, url: str) -> None:
    hand_out(store, lead, {"a": ["p1"]})
    program = f"from crmbridge.state.store import Store; assert Store.open({url!r}).claim_work('m', 600)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=dict(os.environ))
    assert store.waiting_work().busy == 0
    claimed = store.claim_work("m", 60)
    assert claimed is not None
    assert claimed[1].attempts == 2


def test_an_intent_tells_under_which_lease_it_was_sent(store: Store, lead: Lease) -> None:
    hand_out(store, lead, {"a": ["p1"]})
    claimed = store.claim_work("m", 60)
    assert claimed is not None
    one = Intent(id="i1", run_id="r1", side="left", entity="lead", kind="convert", link_id="p1", native_id="L1")
    store.apply(Batch(open_intents=[one]), lease=claimed[0])
    assert [intent.lease for intent in store.open_intents()] == ["lane:a"]


def test_what_is_done_does_not_pile_up(store: Store, lead: Lease, url: str) -> None:
    for run in range(5):
        hand_out(store, lead, {f"{run} {n}": [f"p{run} {n}"] for n in range(10)}, run=str(run))
        while (claimed := store.claim_work("m", 60)) is not None:
            store.finish_work(claimed[0], claimed[1].id, {})
        store.take_over_work(lead)
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM work")).scalar() == 0
        assert connection.execute(sa.text("SELECT count(*) FROM lease WHERE name LIKE 'lane:%'")).scalar() == 0
    engine.dispose()


def _link(id_: str) -> Link:
    return Link(id=id_, entity="lead", left_id="L1", right_id="R1")
