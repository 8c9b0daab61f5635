"""What the store promises of match keys: whoever is clean and has no partner is on file, by its values or as unread."""

from dataclasses import replace

import pytest

from crmbridge.errors import LeaseTaken
from crmbridge.model import Link, Ref
from crmbridge.state.match_keys import UNREAD
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Keyed, Lease
from tests.support.rows import left, right


def link(id: str, left_id: str | None, right_id: str | None, *, alive: bool = True) -> Link:
    return Link(id=id, entity="lead", left_id=left_id, right_id=right_id, alive=alive)


def keyed(ref: Ref, *parts: str) -> Keyed:
    return Keyed(ref=ref, parts=parts)


def unread(store: Store) -> list[str]:
    return sorted(store.key_holders("left", "lead", [UNREAD]).get(UNREAD, []))


def done_with(*ids: str) -> list[tuple[Ref, str | None]]:
    return [(left.ref(id), None) for id in ids]


def test_records_are_found_by_a_part_of_their_kind_and_side(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a"), left.row("b")))
    both = [keyed(left.ref("a"), "x", "y", "x"), keyed(left.ref("b"), "x"), keyed(right.ref("c"), "x")]
    store.apply(Batch(clean=done_with("a", "b"), keyed=both), lease=lease)
    found = store.key_holders("left", "lead", ["x", "y", "z"])
    assert {part: sorted(ids) for part, ids in found.items()} == {"x": ["a", "b"], "y": ["a"]}
    assert store.key_holders("right", "lead", ["x"]) == {"x": ["c"]}
    assert store.key_holders("left", "contact", ["x"]) == {}
    assert (store.has_keys("left", "lead"), store.has_keys("left", "contact")) == (True, False)
    store.apply(Batch(keyed=[keyed(left.ref("a"), "z")]), lease=lease)
    assert store.key_holders("left", "lead", ["x", "y", "z"]) == {"x": ["b"], "z": ["a"]}
    many = [f"part {n:04}" for n in range(1300)]
    store.apply(Batch(keyed=[keyed(left.ref("a"), *many)]), lease=lease)
    assert sorted(store.key_holders("left", "lead", many)) == many


def test_whoever_is_done_with_and_has_no_parts_on_file_is_unread(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(*(left.row(id) for id in "abcd")))
    store.apply(Batch(clean=done_with("a", "b"), keyed=[keyed(left.ref("a"), "x")]), lease=lease)
    assert unread(store) == ["b"]  # c and d are due, and found as such
    store.apply(Batch(keyed=[keyed(left.ref("b"), "y")]), lease=lease)
    assert unread(store) == []
    store.save_page("left", "lead", left.page(left.row("b", "2")))
    store.apply(Batch(clean=[(left.ref("b"), "1"), *done_with("d")]), lease=lease)
    assert unread(store) == ["d"]  # b has a newer version, and is due


def test_a_row_that_is_stored_beside_the_pages_is_unread(store: Store, lease: Lease) -> None:
    store.apply(Batch(rows=[left.row("a"), left.row("b")], dirty=[left.ref("b")]), lease=lease)
    assert unread(store) == ["a"]
    store.apply(Batch(keyed=[keyed(left.ref("a"), "x")]), lease=lease)
    store.apply(Batch(rows=[left.row("a", "2"), left.row("l")], links=[link("1", "l", None)]), lease=lease)
    assert unread(store) == ["a"]


def test_a_partner_takes_a_record_off_the_file_and_losing_it_puts_it_back(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(*(left.row(id) for id in "abc")))
    parts = [keyed(left.ref(id), "x") for id in "abc"]
    store.apply(Batch(clean=done_with("a", "b", "c"), keyed=parts), lease=lease)
    tombstone = link("2", "b", None, alive=False)
    both = [link("1", "a", "r"), tombstone]
    store.apply(Batch(links=both, clean=done_with("b"), keyed=[keyed(left.ref("b"), "y")]), lease=lease)
    assert store.key_holders("left", "lead", ["x", "y", UNREAD]) == {"x": ["c"]}
    store.apply(Batch(links=[link("1", "a", "r"), tombstone], clean=done_with("a", "b")), lease=lease)
    assert unread(store) == []
    store.apply(Batch(links=[replace(both[0], left_id="c")]), lease=lease)
    assert store.key_holders("left", "lead", ["x", UNREAD]) == {UNREAD: ["a"]}


def test_what_is_gone_is_not_unread(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a"), left.row("b")))
    store.apply(Batch(clean=done_with("a"), keyed=[keyed(left.ref("a"), "x")]), lease=lease)
    store.save_page("left", "lead", left.page(left.gone("a"), left.gone("b")))
    store.apply(Batch(clean=done_with("a", "b"), keyed=[keyed(left.ref("a"))]), lease=lease)
    assert not store.has_keys("left", "lead")


def test_unlinked_records_by_id_and_by_whether_they_are_due(store: Store, lease: Lease) -> None:
    rows = [left.row(id) for id in "abcd"]
    store.save_page("left", "lead", left.page(*rows, left.gone("e")))
    store.apply(Batch(links=[link("1", "a", None)], clean=done_with("a", "b")), lease=lease)
    assert list(store.unlinked_among("left", "lead", ["a", "b", "c", "e", "nobody"])) == ["b", "c"]
    assert [one.row.ref.id for one in store.unlinked("left", "lead", due=True)] == ["c", "d"]
    assert [one.row.ref.id for one in store.unlinked("left", "lead", due=False)] == ["b"]
    assert [one.row.ref.id for one in store.unlinked("left", "lead")] == ["b", "c", "d"]


def test_keys_and_facts_are_written_under_the_fence(store: Store) -> None:
    old = store.take_lease("run", -1)
    new = store.take_lease("run", 60)
    with pytest.raises(LeaseTaken):
        store.apply(Batch(keyed=[keyed(left.ref("a"), "x")], meta={"made by": "old"}), lease=old)
    assert not store.has_keys("left", "lead")
    store.apply(Batch(meta={"made by": "new"}), lease=new)
    assert store.meta("made by") == "new"


def test_an_erasure_takes_the_keys_along(store: Store, lease: Lease) -> None:
    store.save_page("left", "lead", left.page(left.row("a"), left.row("b")))
    parts = [keyed(left.ref(id), "x") for id in "ab"]
    store.apply(Batch(clean=done_with("a", "b"), keyed=parts), lease=lease)
    store.erase(store.traces([left.ref("a")], alone=True), "dpo", "asked", lease=lease)
    assert store.key_holders("left", "lead", ["x", UNREAD]) == {"x": ["b"]}
