"""What the store promises, the same for SQLite and PostgreSQL."""

import os
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from crmbridge import crashpoint
from crmbridge.errors import ConfigError, LeaseTaken, StaleError
from crmbridge.model import Axes, Base, Entity, Link, Money, Satellite, Unlinked
from crmbridge.state import issues as issue_rules
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, ConversionRow, Intent, Issue, IssuePlace, Lease
from tests.support.rows import DAY, Lead, left, right


def link(id_: str, left_id: str | None, right_id: str | None, **more: Any) -> Link:
    return Link(id=id_, entity="lead", left_id=left_id, right_id=right_id, **more)


def keys(store: Store, **more: Any) -> list[str]:
    return [pair.key for pair in store.pending("lead", **more)]


# --- the store itself ---------------------------------------------------------------------------------------------


def test_a_store_keeps_its_identity(url: str) -> None:
    with closing(Store.open(url)) as first:
        identity = first.installation_id()
        first.set_meta("org", "00D1")
        first.set_meta("org", "00D2")
    with closing(Store.open(url)) as second:
        assert second.installation_id() == identity
        assert second.meta("org") == "00D2"
        assert second.meta("nothing") is None
        assert abs(second.now() - datetime.now(UTC)) < timedelta(minutes=5)


def test_two_processes_may_open_a_new_store_at_once(url: str) -> None:
    code = f"from crmbridge.state.store import Store; s = Store.open({url!r}); print(s.installation_id())"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=60)[0].strip() for process in running]
    assert len(set(told)) == 1
    assert told[0]


# --- pages --------------------------------------------------------------------------------------------------------


def test_a_page_comes_back_as_it_was(store: Store) -> None:
    values = Lead(last_name="Åsa \x00 \U0001f600", amount=Decimal("10.50"), seen=DAY, etag='W/"1"')
    row = left.row("a", values=values, modified_by="005", merged_into="b", key="k")
    assert store.save_page("left", "lead", left.page(row, cursor="one")) == 1
    stored = store.record(row.ref)
    assert stored is not None
    assert stored.row == row
    assert stored.dirty
    assert not stored.touched
    assert store.cursor("left", "lead") == "one"
    assert store.cursor("right", "lead") is None
    assert store.record(replace(row.ref, side="right")) is None


def test_reading_the_same_again_changes_nothing(store: Store, lease: Lease) -> None:
    rows = [left.row(f"{n:04}") for n in range(1201)]
    assert store.save_page("left", "lead", left.page(*rows)) == 1201
    store.apply(Batch(clean=[(row.ref, row.version) for row in rows]), lease=lease)
    again = list(rows)
    again[7] = left.row("0007", "2")
    again[8] = left.row("0008", values=Lead(last_name="edited twice within the version's second"))
    assert store.save_page("left", "lead", left.page(*again, cursor="two")) == 2
    assert keys(store) == ["left:0007", "left:0008"]
    assert store.records("left", "lead", ["0006"])["0006"].row.values.last_name == "name 0006"
    assert store.cursor("left", "lead") == "two"
    assert store.count_records("left", "lead") == 1201
    assert [one.row.ref.id for one in store.all_records("left", "lead")] == [row.ref.id for row in rows]


def test_a_deletion_without_a_version_is_news_once(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a", key="k")))
    store.apply(Batch(clean=[(left.ref("a"), None)]), lease=lease)
    assert store.save_page("left", "lead", left.page(left.gone("a"))) == 1
    stored = store.record(left.ref("a"))
    assert stored is not None
    assert (stored.row.deleted, stored.row.values, stored.row.key, stored.row.version) == (True, None, "k", "1")
    assert stored.row.created_at == DAY
    assert stored.dirty
    assert store.save_page("left", "lead", left.page(left.gone("a"))) == 0
    assert store.count_records("left", "lead") == 0
    assert store.save_page("left", "lead", left.page(left.row("a"))) == 1  # restored
    assert store.count_records("left", "lead") == 1


def test_a_mapping_that_changed_reads_what_still_fits(store: Store) -> None:
    store.save_page("left", "lead", left.page(left.row("a", values=Lead(last_name="Ek", amount=Decimal(1)))))

    class New(msgspec.Struct):
        last_name: str
        amount: int  # was a text that holds a decimal
        seen: bool  # was nothing
        city: str

    store.configure({("left", "lead"): New})
    stored = store.record(left.ref("a"))
    assert stored is not None
    assert stored.row.values == New("Ek", 1, None, None)  # type: ignore[arg-type]
    store.configure({})
    stored = store.record(left.ref("a"))
    assert stored is not None
    assert stored.row.values == SimpleNamespace(last_name="Ek", amount="1", seen=None, odata_etag=None)
    store.save_page("left", "lead", left.page(replace(stored.row, version="2")))  # read before its type was known


def not_shown(store: Store, entity: Entity = "lead") -> list[str]:
    """What is to be asked for by its id after a reading from the start."""
    return [id_ for one in store.unseen() if one.entity == entity for id_ in store.unseen_ids(one, 10)]


def test_a_full_compare_tells_what_was_not_shown_and_takes_nothing_as_gone(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(*(left.row(id_) for id_ in "abcde")))
    store.save_page("right", "lead", right.page(right.row("x")))
    store.apply(Batch(clean=[(left.ref(id_), None) for id_ in "abcde"]), lease=lease)
    store.save_page("left", "lead", left.page(left.row("a"), full=True, last=False, cursor="half"))
    # The process dies here; the next one goes on from the cursor. Meanwhile we create one.
    store.apply(Batch(rows=[left.row("ours")]), lease=lease)
    assert keys(store) == ["right:x"]
    assert not_shown(store) == []
    assert store.save_page("left", "lead", left.page(left.row("b", "2"), left.gone("c"), cursor="end")) == 2
    assert keys(store) == ["left:b", "left:c", "right:x"]
    found = {one.row.ref.id: one.row.deleted for one in store.all_records("left", "lead")}
    assert found == {"a": False, "b": False, "c": True, "d": False, "e": False, "ours": False}
    assert not_shown(store) == ["d", "e"]
    assert store.save_page("left", "lead", left.page(left.row("a"), cursor="later")) == 0  # no compare any more


def test_a_new_full_compare_begins_anew(store: Store) -> None:
    store.save_page("left", "lead", left.page(*(left.row(id_) for id_ in "abc")))
    store.save_page("left", "lead", left.page(left.row("a"), left.row("b"), full=True, last=False))
    store.save_page("left", "lead", left.page(left.row("a"), full=True, last=True))
    assert not_shown(store) == ["b", "c"]


def test_who_was_not_shown_is_asked_for_in_shares_and_what_is_shown_meanwhile_is_left_out(
    store: Store, lease: Lease
) -> None:
    store.save_page("left", "lead", left.page(*(left.row(id_) for id_ in "abcdef")))
    store.save_page("left", "lead", left.page(left.row("f"), full=True))
    (unseen,) = store.unseen()
    assert (unseen.side, unseen.entity) == ("left", "lead")
    assert store.unseen_ids(unseen, 2) == ["a", "b"]
    store.apply(Batch(rows=[left.gone("a")], meta=unseen.behind("b").note), lease=lease)
    (unseen,) = store.unseen()
    store.save_page("left", "lead", left.page(left.row("d", "2")))  # its change came with the ordinary reading
    assert store.unseen_ids(unseen, 2) == ["c", "e"]
    store.apply(Batch(meta=unseen.over), lease=lease)
    assert store.unseen() == []
    store.save_page("left", "lead", left.page(*(left.row(id_) for id_ in "bcdef"), full=True))
    assert store.unseen() == [], "a deletion that is known is not asked for"


def test_a_run_that_lost_its_lease_saves_no_page(store: Store, lease: Lease) -> None:
    store.release(lease)
    store.take_lease("run", 60)
    with pytest.raises(LeaseTaken):
        store.save_page("left", "lead", left.page(left.row("a")), lease=lease)
    assert store.cursor("left", "lead") is None


# --- rows beside records ------------------------------------------------------------------------------------------


def stage(id_: str, parent: str, name: str, **more: Any) -> Satellite:
    values = {"stage": name}
    return Satellite(parent=left.ref(parent), kind="process", id=id_, version="1", values=values, **more)


def test_satellites_join_their_parent(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a"), left.row("b")))
    store.apply(Batch(clean=[(left.ref(id_), None) for id_ in "ab"]), lease=lease)

    def beside(*satellites: Satellite, **more: Any) -> int:
        return store.save_page("left", "processes", left.page(satellites=satellites, **more))

    def extras(id_: str) -> Any:
        stored = store.record(left.ref(id_))
        return stored.row.extras if stored else None

    assert beside(stage("p1", "a", "Qualify"), stage("p2", "later", "Qualify")) == 2
    assert extras("a") == {"process": {"p1": {"stage": "Qualify"}}}
    assert keys(store) == ["left:a"]  # `later` was only named
    assert store.record(left.ref("later")) is None
    assert [one.row.ref.id for one in store.unlinked("left", "lead")] == ["a", "b"]
    store.apply(Batch(clean=[(left.ref("a"), None)]), lease=lease)
    assert beside(stage("p1", "a", "Qualify")) == 0
    assert keys(store) == []
    store.save_page("left", "lead", left.page(left.row("later")))
    assert extras("later") == {"process": {"p2": {"stage": "Qualify"}}}
    assert beside(stage("p2", "b", "Develop")) == 1  # another parent
    assert (extras("later"), extras("b")) == ({}, {"process": {"p2": {"stage": "Develop"}}})
    unnamed = Satellite(parent=left.ref(""), kind="process", id="p1", version="", deleted=True)
    assert beside(unnamed) == 1  # a deletion names only itself
    assert extras("a") == {}
    assert beside(unnamed) == 0
    assert keys(store) == ["left:a", "left:b", "left:later"]
    assert beside(full=True) == 1  # a full compare that shows none
    assert extras("b") == {}


def test_extras_that_came_with_their_record_replace_their_kinds(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a")))
    store.save_page("left", "processes", left.page(satellites=(stage("p1", "a", "Qualify"),)))
    role = Satellite(parent=left.ref("a"), kind="role", id="r1", version="1", values={"primary": True})
    store.save_page("left", "roles", left.page(satellites=(role,)))
    read_back = left.row("a", "2", extras={"process": {"p2": {"stage": "Develop"}}})
    store.apply(Batch(rows=[read_back], clean=[(left.ref("a"), "2")]), lease=lease)
    stored = store.record(left.ref("a"))
    assert stored is not None
    assert stored.row.extras == {"process": {"p2": {"stage": "Develop"}}, "role": {"r1": {"primary": True}}}
    assert not stored.dirty
    echo = stage("p2", "a", "Develop")
    assert store.save_page("left", "processes", left.page(satellites=(echo,))) == 0
    assert keys(store) == []


# --- work ---------------------------------------------------------------------------------------------------------


def test_pending_shows_each_unit_of_work_once_in_a_fixed_order(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(*(left.row(id_) for id_ in "abcdefg")))
    store.save_page("right", "lead", right.page(*(right.row(id_) for id_ in "pqrstu")))
    links = [
        link("L1", "a", "p"),  # both dirty
        link("L2", "b", "q"),  # right dirty
        link("L3", "c", "r"),  # clean
        link("L4", "d", "s", mode="fresh"),  # clean, not steady
        link("L5", "e", "t", alive=False, mode="fresh"),  # dead and clean
        link("L6", "f", "u", alive=False),  # dead, left dirty
        link("L7", "never seen", None, mode="matched"),
    ]
    clean = [left.ref(id_) for id_ in "bcde"] + [right.ref(id_) for id_ in "rstu"]
    store.apply(Batch(links=links, clean=[(ref, "1") for ref in clean]), lease=lease)
    assert keys(store) == ["left:a", "left:f", "left:g", "right:q", "link:L4", "link:L7"]
    pairs = {pair.key: pair for pair in store.pending("lead")}
    assert pairs["left:a"].link == links[0]
    assert pairs["left:g"].link is None
    assert pairs["right:q"].left == store.record(left.ref("b"))
    assert pairs["link:L7"].left is None
    assert list(store.pending("account")) == []
    assert keys(store, limit=3) == ["left:a", "left:f", "left:g"]
    assert keys(store, after="left:f") == ["left:g", "right:q", "link:L4", "link:L7"]
    assert keys(store, after="link:L4", limit=5) == ["link:L7"]
    assert [one.row.ref.id for one in store.unlinked("left", "lead")] == ["g"]


def test_settling_while_walking_shows_nothing_twice(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(*(left.row(f"{n:04}") for n in range(1100))))
    seen: list[str] = []
    for pair in store.pending("lead"):
        assert pair.left is not None
        seen.append(pair.key)
        if len(seen) % 100 == 0:
            store.apply(Batch(clean=[(left.ref(key[5:]), "1") for key in seen[-100:]]), lease=lease)
    assert len(seen) == len(set(seen)) == 1100
    assert keys(store) == []


def test_flags_follow_the_version_that_was_settled(store: Store, lease: Lease) -> None:
    a, b = left.ref("a"), left.ref("b")
    store.save_page("left", "lead", left.page(left.row("a", "1"), left.row("b", "1")))
    store.save_page("left", "lead", left.page(left.row("a", "2")))
    store.apply(Batch(clean=[(a, "1"), (b, "1")]), lease=lease)
    assert keys(store) == ["left:a"]  # edited meanwhile
    store.apply(Batch(rows=[left.row("a", "3"), left.row("new", "1")]), lease=lease)
    assert keys(store) == ["left:a"]  # a read-back leaves the flag alone, a new row is clean
    store.apply(Batch(rows=[left.row("a", "4")], clean=[(a, "4")], dirty=[b, left.ref("unknown")]), lease=lease)
    assert keys(store) == ["left:b"]
    store.apply(Batch(clean=[(b, "1")], touched=[b]), lease=lease)
    assert keys(store) == []
    store.apply(Batch(touched=[a, b]), lease=lease)
    assert keys(store) == ["left:a"]  # came into scope just now
    touched = {one.row.ref.id for one in store.all_records("left", "lead") if one.touched}
    assert touched == {"a", "b"}


# --- links --------------------------------------------------------------------------------------------------------


def test_a_link_comes_back_as_it_was(store: Store, lease: Lease) -> None:
    base = Base(
        left={"a": "x", "b": None, "c": True, "d": 3, "e": Decimal("1.50"), "f": date(2026, 1, 2), "g": DAY},
        right={"h": Money(Decimal("10.00"), "EUR"), "i": Unlinked("account", "001")},
        left_axes=Axes(state="open", status="new", on_hold=True),
    )
    one = link(
        "L",
        "a",
        None,
        base=base,
        mode="converted",
        origin="left",
        generation=2,
        last_open={"left": "New"},
        fillers={"right": {"company": "-"}},
        epoch=1,
        how="by email",
    )
    store.apply(Batch(links=[one]), lease=lease)
    assert store.links(["L", "M"]) == {"L": one}
    assert store.links_by_native("left", "lead", ["a", "b"]) == {"a": one}
    assert store.links_by_native("right", "lead", ["a"]) == {}
    changed = replace(one, right_id="p", alive=False)
    store.apply(Batch(links=[changed]), lease=lease)
    assert store.links_by_native("right", "lead", ["p"]) == {"p": changed}
    assert list(store.all_links("lead")) == [changed]
    assert list(store.all_links("account")) == []
    assert store.count_links("lead") == 0


def test_a_record_has_one_link(store: Store, lease: Lease) -> None:
    store.apply(Batch(links=[link("L1", "a", "p"), link("L2", "b", "q")]), lease=lease)
    with pytest.raises(StaleError, match="another link"):
        store.apply(Batch(links=[link("L3", "a", None)], dirty=[left.ref("z")]), lease=lease)
    assert store.links(["L3"]) == {}
    store.apply(Batch(links=[link("L1", "a", "q"), link("L2", "b", "p")]), lease=lease)  # partners change places
    assert {one.id: one.right_id for one in store.all_links()} == {"L1": "q", "L2": "p"}


def test_records_are_found_by_shared_or_native_id(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a"), left.row("b")))
    one = link("L", "a", "p")
    store.apply(Batch(links=[one]), lease=lease)
    assert store.find_record("L") == [("lead", one, None)]
    assert store.find_record("p") == [("lead", one, right.ref("p"))]
    assert store.find_record("a") == [("lead", one, left.ref("a"))]
    assert store.find_record("b") == [("lead", None, left.ref("b"))]
    assert store.find_record("c") == []


# --- leases -------------------------------------------------------------------------------------------------------


def test_one_holds_a_lease_and_the_fence_rises(store: Store) -> None:
    first = store.take_lease("run", 60)
    with pytest.raises(LeaseTaken, match=rf"process {os.getpid()} on .+ since ") as caught:
        store.take_lease("run", 60)
    assert caught.value.exit_code == 4
    assert store.take_lease("other", 60).fence == 1
    held = store.lease_holder("run")
    assert held is not None
    assert held[1] == os.getpid()
    store.renew(first, 60)
    store.release(first)
    assert store.lease_holder("run") is None
    second = store.take_lease("run", 60, owner="me")
    assert (second.owner, second.fence) == ("me", first.fence + 1)
    store.release(first)  # not ours any more: nothing happens
    with pytest.raises(LeaseTaken):
        store.take_lease("run", 60)
    with pytest.raises(LeaseTaken, match="took over"):
        store.renew(first, 60)


def test_a_lease_ends_by_the_databases_clock(store: Store) -> None:
    first = store.take_lease("run", -1)
    second = store.take_lease("run", 60)
    assert second.fence == first.fence + 1


def test_a_dead_process_holds_nothing(store: Store, url: str) -> None:
    code = (
        "import os, signal; from crmbridge.state.store import Store\n"
        f"Store.open({url!r}).take_lease('run', 3600); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -9
    assert store.lease_holder("run") is None
    assert store.take_lease("run", 60).fence == 2


def test_only_one_of_many_takes_a_lease(url: str) -> None:
    won: list[Lease] = []
    with closing(Store.open(url)) as store:

        def take() -> None:
            with suppress(LeaseTaken):
                won.append(store.take_lease("run", 60))

        threads = [threading.Thread(target=take) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [one.fence for one in won] == [1]


# --- apply --------------------------------------------------------------------------------------------------------


def intent(id_: str, **more: Any) -> Intent:
    known: dict[str, Any] = {"run_id": "run", "side": "right", "entity": "lead", "kind": "create", "link_id": "L"}
    return Intent(id=id_, native_id=None, **known | more)


def test_intents_become_journal_rows_once(store: Store, lease: Lease) -> None:
    sent = [intent("i1", after={"n": 1}, key="k", reason="new"), intent("i2"), intent("i3")]
    store.apply(Batch(open_intents=sent), lease=lease)
    found = store.open_intents()
    assert [one.id for one in found] == ["i1", "i2", "i3"]
    assert found[0] == replace(sent[0], fence=lease.fence, sent_at=found[0].sent_at, lease=lease.name)
    assert found[0].sent_at is not None
    done = [replace(found[0], state="done", native_id="00Q1", reply="created"), replace(found[1], state="refused")]
    store.apply(Batch(close_intents=done), lease=lease)
    store.apply(Batch(close_intents=done), lease=lease)  # after a commit that was in doubt
    assert [one.id for one in store.open_intents()] == ["i3"]
    (row,) = store.journal()
    assert (row.id, row.native_id, row.after, row.reply, row.reason) == ("i1", "00Q1", {"n": 1}, "created", "new")
    assert store.journal(link_id="L", run_id="run", side="right", native_id="00Q1") == [row]
    assert store.journal(link_id="M") == []


def test_one_intent_has_one_payload(store: Store, lease: Lease) -> None:
    store.apply(Batch(open_intents=[intent("i", after={"n": 1})]), lease=lease)
    store.apply(Batch(open_intents=[intent("i", after={"n": 1})]), lease=lease)
    with pytest.raises(AssertionError, match="another payload"):
        store.apply(Batch(open_intents=[intent("i", after={"n": 2})], links=[link("L", "a", None)]), lease=lease)
    with pytest.raises(AssertionError, match="nobody opened"):
        store.apply(Batch(close_intents=[intent("j", state="done")], links=[link("L", "a", None)]), lease=lease)
    assert store.links(["L"]) == {}


def test_a_conversion_is_mirrored_once(store: Store, lease: Lease) -> None:
    planned = ConversionRow(lead_link="L", epoch=0, case="C1", from_side="left", state="planned")
    store.apply(Batch(conversions=[planned]), lease=lease)
    done = replace(planned, state="done", detail={"opportunity": None})
    store.apply(Batch(conversions=[done, replace(done, epoch=1)]), lease=lease)
    assert store.conversion("L", 0) == done
    assert store.conversions(["L", "M"]) == store.conversions() == [done, replace(done, epoch=1)]
    for other in (replace(planned, case="C3"), replace(planned, from_side="right")):
        with pytest.raises(StaleError, match="in the ledger already"):
            store.apply(Batch(conversions=[other], links=[link("L", "a", None)]), lease=lease)
    assert store.conversion("L", 0) == done
    assert store.links(["L"]) == {}
    assert store.conversion("M", 0) is None


def test_a_conversion_that_was_not_carried_out_may_become_another_case(store: Store, lease: Lease) -> None:
    for state in ("planned", "held"):
        tried = ConversionRow(lead_link=state, epoch=0, case="C2", from_side="left", state=state)
        store.apply(Batch(conversions=[tried]), lease=lease)
        now = replace(tried, case="C7", state="called")
        store.apply(Batch(conversions=[now]), lease=lease)
        assert store.conversion(state, 0) == now


def test_an_old_fence_writes_nothing(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a")))
    store.release(lease)
    store.take_lease("run", 60)
    batch = Batch(
        rows=[left.row("a", "2")],
        links=[link("L", "a", None)],
        clean=[(left.ref("a"), None)],
        open_intents=[intent("i")],
        issues=[Issue(kind="held", cause="x", entity="lead", link_id="L", side=None, native_id=None)],
    )
    with pytest.raises(LeaseTaken, match="took over"):
        store.apply(batch, lease=lease)
    assert keys(store) == ["left:a"]
    assert (store.links(["L"]), store.open_intents(), store.open_issues()) == ({}, [], [])


def test_commits_are_places_where_a_crash_matters(store: Store, lease: Lease) -> None:
    places: list[str] = []
    crashpoint.install(places.append)
    try:
        store.apply(Batch(links=[link("L", "a", None)]), lease=lease)
        store.save_page("left", "lead", left.page(left.row("a")))
        store.records("left", "lead", ["a"])
        store.renew(lease, 60)
    finally:
        crashpoint.install(None)
    assert places == [f"{when} {name}" for name in ("apply", "page", "renew lease") for when in ("commit", "committed")]


@pytest.mark.parametrize("place", [1, 2])
def test_a_kill_at_the_commit_leaves_all_or_nothing(store: Store, url: str, place: int) -> None:
    store.save_page("left", "lead", left.page(left.row("a")))
    code = f"""
from crmbridge import crashpoint
from crmbridge.model import Link, Ref
from crmbridge.state.store import Store
from crmbridge.state.words import Batch
store = Store.open({url!r})
lease = store.take_lease("run", 3600)
crashpoint.install(crashpoint._from_environment())
a = Ref(side="left", entity="lead", id="a")
store.apply(Batch(links=[Link(id="L", entity="lead", left_id="a", right_id=None)], clean=[(a, "1")]), lease=lease)
"""
    env = os.environ | {"CRMBRIDGE_CRASH_AT": str(place)}
    code = code.replace("store = Store.open", "crashpoint.install(None)\nstore = Store.open", 1)
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False, timeout=60).returncode == -9
    assert (len(store.links(["L"])), keys(store)) == ((0, ["left:a"]) if place == 1 else (1, []))
    assert store.take_lease("run", 60).fence == 2  # the dead one's lease


# --- issues -------------------------------------------------------------------------------------------------------


def issue(cause: str = "refused", kind: Any = "failed", **more: Any) -> Issue:
    known: dict[str, Any] = {"link_id": None, "side": "left", "native_id": "a", "message": "m", "fix": "f"}
    return Issue(kind=kind, cause=cause, entity="lead", **known | more)


def test_a_failure_is_tried_less_and_less_often_then_held(store: Store, lease: Lease) -> None:
    kinds: list[str] = []
    waits: list[float] = []
    for _ in range(8):
        store.apply(Batch(issues=[issue()]), lease=lease)
        (found,) = store.open_issues()
        kinds.append(found.kind)
        assert found.opened_at is not None
        assert found.attempts == len(kinds)
        if found.next_try_at:
            waits.append((found.next_try_at - store.now()).total_seconds())
    assert kinds == ["failed"] * 6 + ["held"] * 2
    for wait, planned in zip(waits, issue_rules.BACKOFF_SECONDS, strict=True):
        assert planned * 0.8 - 30 < wait <= planned * 1.2
    assert store.open_issues(due=True) == []


def test_an_issue_is_one_while_it_is_open(store: Store, lease: Lease) -> None:
    store.apply(Batch(issues=[issue(fingerprint="x"), issue(), issue(field="email"), issue("locked")]), lease=lease)
    assert {(one.cause, one.field) for one in store.open_issues()} == {
        ("locked", None),
        ("refused", None),
        ("refused", "email"),
    }
    assert store.count_issues() == {"failed": 3}
    (first,) = store.open_issues(cause="locked")
    # The record has a link now: still the same issue.
    store.apply(Batch(issues=[issue("locked", link_id="L", message="\x00again")]), lease=lease)
    (again,) = store.open_issues(cause="locked")
    assert (again.id, again.attempts, again.link_id, again.message) == (first.id, 2, "L", "again")
    # Something else was refused: the count starts again.
    for mark, attempts in (("y", 3), ("y", 4), ("z", 1)):
        store.apply(Batch(issues=[issue("locked", link_id="L", fingerprint=mark)]), lease=lease)
        assert store.open_issues(cause="locked")[0].attempts == attempts
    assert store.issues_of(["L"], [left.ref("a")]) == store.open_issues()
    assert store.count_issues() == {"failed": 3}


def test_what_is_over_is_closed_and_what_was_found_again_is_not(store: Store, lease: Lease) -> None:
    store.apply(Batch(issues=[issue("one"), issue("two"), issue("three", native_id="b")]), lease=lease)
    over: IssuePlace = ("lead", None, "left", "a", None)
    store.apply(Batch(issues=[issue("two"), issue("new")], close_issues=[over]), lease=lease)
    found = [(one.cause, one.attempts) for one in store.open_issues()]
    assert found == [("two", 2), ("three", 1), ("new", 1)]
    store.apply(Batch(close_issues=[("lead", None, "left", "a", "new")]), lease=lease)
    store.apply(Batch(close_issues=[("lead", None, "left", "b", "other")]), lease=lease)
    store.apply(Batch(close_issues=[("account", None, "left", "b", None)]), lease=lease)
    assert len(store.open_issues()) == 2
    store.apply(Batch(close_issues=[("lead", "L", "left", "b", "three")]), lease=lease)
    assert [one.cause for one in store.open_issues()] == ["two"]
    closed = store.issue(1)
    assert closed is not None
    assert (closed.closed_by, closed.closed_why) == ("crmbridge", "no longer found")
    store.apply(Batch(issues=[issue("one")]), lease=lease)  # comes back: another issue
    assert store.open_issues(cause="one")[0].attempts == 1


def test_people_release_and_close_issues(store: Store, lease: Lease) -> None:
    rows = [left.row(id_) for id_ in "abc"]
    store.save_page("left", "lead", left.page(*rows))
    store.save_page("right", "lead", right.page(right.row("p")))
    store.apply(
        Batch(
            links=[link("L", "b", "p")],
            clean=[(row.ref, None) for row in rows] + [(right.ref("p"), None)],
            issues=[
                issue(fingerprint="x"),
                issue("held", "held", link_id="L", side=None, native_id=None),
                issue("waits", "waiting", native_id="c"),
            ],
        ),
        lease=lease,
    )
    failed, held, waiting = (one.id for one in store.open_issues())
    assert failed
    assert held
    assert waiting
    assert store.release_issues([failed, held], "ann", "role was fixed") == 2
    assert keys(store) == ["left:a", "left:b"]
    assert store.record(right.ref("p")).dirty  # type: ignore[union-attr]
    due = store.open_issues(due=True)
    assert [(one.id, one.attempts, one.fingerprint) for one in due] == [(failed, 1, ""), (held, 0, "")]
    assert (due[0].released_by, due[0].released_why) == ("ann", "role was fixed")
    assert store.release_issues(None, "ann", "all") == 3
    store.close_issue(waiting, "ann", "not wanted")
    assert [one.id for one in store.open_issues()] == [failed, held]
    closed = store.issue(waiting)
    assert closed is not None
    assert (closed.closed_by, closed.closed_why) == ("ann", "not wanted")
    with pytest.raises(ConfigError, match="no open issue"):
        store.close_issue(waiting, "ann", "again")
    with pytest.raises(ConfigError, match="no open issue"):
        store.release_issues([failed, 999], "ann", "again")


# --- runs and plans -----------------------------------------------------------------------------------------------


def test_runs(store: Store) -> None:
    first = store.take_lease("run", 60)
    died = store.start_run("sync", lease=first)
    store.release(first)
    plain = store.start_run("plan")
    second = store.start_run("sync", lease=store.take_lease("run", 60))
    store.end_run(second.id, "done", counts={"create": 1}, calls={"left": {"read": 2}})
    found = {one.id: one for one in store.runs()}
    assert [one.id for one in store.runs(1)] == [second.id]
    assert (found[died.id].outcome, found[plain.id].outcome, found[plain.id].ended_at) == ("interrupted", "", None)
    assert (found[second.id].counts, found[second.id].calls) == ({"create": 1}, {"left": {"read": 2}})
    assert found[second.id].ended_at is not None


def test_plans(store: Store) -> None:
    saved = store.save_plan({"left": {"lead": {"create": 3}}}, first_run=True)
    assert store.plan(saved.id) == saved
    assert store.plan("nope") is None
    approved = store.approve_plan(saved.id, "ann", "looked at it")
    assert store.plan(saved.id) == approved
    assert store.approve_plan(saved.id, "bob", "me too") == approved
    assert (approved.approved_by, approved.why) == ("ann", "looked at it")
    assert store.plans() == [approved]
    with pytest.raises(ConfigError, match="no plan nope"):
        store.approve_plan("nope", "ann", "x")
