"""The order of stamps: whatever is added and dropped, it is sorted, and a snapshot stays what it was."""

from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.sandbox.salesforce.listing import Entry, Stamps, Stretch

ENTRIES = st.tuples(st.sampled_from("abcdefgh"), st.integers(10, 99).map(str))
STEPS = st.lists(st.tuples(st.sampled_from(["add", "add", "drop", "look"]), ENTRIES, ENTRIES), max_size=200)


@given(STEPS, st.integers(2, 6))
@settings(max_examples=200, deadline=None)
def test_stamps_are_a_sorted_list_with_snapshots(steps: list[tuple[str, Entry, Entry]], chunk: int) -> None:
    stamps, plain = Stamps(chunk), list[Entry]()
    seen: list[tuple[Stretch, list[str]]] = []
    for kind, entry, other in steps:
        if kind == "add" and entry not in plain:
            stamps.add(entry)
            plain = sorted([*plain, entry])
        elif kind == "drop":
            stamps.drop(entry)
            plain = [each for each in plain if each != entry]
        elif kind == "look":
            wanted = [key for at, key in plain if entry <= (at, key) < other]
            skip, limit = len(seen) % 3, [None, 4][len(seen) % 2]
            seen.append((stamps.between(entry, other, skip=skip, limit=limit), wanted[skip:][:limit]))
    for stretch, wanted in seen:
        assert (len(stretch), list(stretch), stretch.page(1, 3)) == (len(wanted), wanted, wanted[1:3])
