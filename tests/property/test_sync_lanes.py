"""Lanes: two pairs of different lanes share nothing, and nothing is kept apart that need not be."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from crmbridge.sync.lanes import lanes_of

THINGS = st.sampled_from([f"thing {n}" for n in range(12)])
SHARES = st.lists(st.frozensets(THINGS, max_size=4), max_size=14).map(
    lambda sets: {f"pair {n}": things for n, things in enumerate(sets)}
)


@given(SHARES)
def test_pairs_of_different_lanes_share_nothing(shares: dict[str, frozenset[str]]) -> None:
    lanes = lanes_of(shares)
    assert sorted(one for lane in lanes for one in lane) == sorted(shares)
    for one, other in combinations(lanes, 2):
        assert not {thing for pair in one for thing in shares[pair]} & {
            thing for pair in other for thing in shares[pair]
        }


@given(SHARES)
def test_a_lane_hangs_together(shares: dict[str, frozenset[str]]) -> None:
    """From its first pair all others are reached over shared things: no lane is longer than it must be."""
    for lane in lanes_of(shares):
        reached, ahead = {lane[0]}, [lane[0]]
        while ahead:
            one = ahead.pop()
            near = {pair for pair in lane if pair not in reached and shares[pair] & shares[one]}
            reached |= near
            ahead.extend(near)
        assert reached == set(lane)


@given(SHARES)
def test_the_given_order_is_kept(shares: dict[str, frozenset[str]]) -> None:
    place = {pair: number for number, pair in enumerate(shares)}
    lanes = lanes_of(shares)
    assert all(lane == sorted(lane, key=place.__getitem__) for lane in lanes)
    assert [lane[0] for lane in lanes] == sorted((lane[0] for lane in lanes), key=place.__getitem__)
