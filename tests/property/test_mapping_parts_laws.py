"""The lens laws for values in several columns, and for people with stand-ins.

GetPut: putting back what was read changes nothing. PutGet: what was put is what is read again; of people up to those
whom the target does not have. And a second put has nothing left to do.
"""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmbridge.model import Side, other
from mapping.joints import JOINTS, joint_of
from tests.support.mapping_made import DIRECTORY, Made

LETTERS = st.text(alphabet="abBé ,-.\n\r\tvan de'Jr", max_size=24)
WORDS = st.lists(
    st.sampled_from(["Ann", "Berg", "van", "de", "Jr.", "Lopez", "Garcia,", "von", "O'Hara", "三"]), max_size=6
)
TEXTS = st.one_of(st.none(), LETTERS, WORDS.map(" ".join), st.text(max_size=12).filter(lambda t: "\0" not in t))
SEPARATORS = st.sampled_from([", ", " ", "-", " - ", "; ", "--", "ab", "\n"])
FIELDS = {
    "lines": "x: {salesforce: A, dynamics: [a, b, c], convert: lines}",
    "person_name": "x: {salesforce: [A, B], dynamics: a, convert: person_name, lossy: dynamics}",
    "three": "x: {salesforce: [A, B, C], dynamics: [a, b], convert: person_name}",
}
MADE = {name: Made(line) for name, line in FIELDS.items()} | {
    separator: Made(f'x: {{salesforce: A, dynamics: [a, b, c], join: "{separator}"}}'.replace("\n", "\\n"))
    for separator in [", ", " ", "-", " - ", "; ", "--", "ab", "\n"]
}
SIDES = st.sampled_from(["left", "right"])


@given(LETTERS, SEPARATORS)
def test_a_normal_form_is_normal_and_splits_into_itself(text: str, separator: str) -> None:
    for how in (joint_of(separator), *JOINTS.values()):
        normal = how.normal(text)
        assert how.normal(normal) == normal
        for count in (2, 3):
            parts = how.split(normal, count, None)
            assert len(parts) == count
            assert how.normal(how.separator.join(part for part in parts if part)) == normal


def wire(made: Made, side: Side, values: list[Any]) -> dict[str, Any]:
    names = [column for column in made.entity.columns(side) if column.lower() != "name"]
    return dict(zip(names, values, strict=False))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(MADE)), SIDES, st.lists(TEXTS, min_size=3, max_size=3))
def test_putting_back_what_was_read_changes_nothing(kind: str, side: Side, values: list[Any]) -> None:
    made = MADE[kind]
    now = wire(made, side, values)
    shared = made.get(side, **now)
    assert shared.problems == ()
    put = made.put(side, {"x": shared.fields["x"]}, now=now)
    assert (put.columns, put.problems) == ({}, ())


@settings(max_examples=400, deadline=None)
@example(" ", "left", [None, None, "B\r\r\nB"], None)
@given(
    st.sampled_from(sorted(MADE)),
    SIDES,
    st.lists(TEXTS, min_size=3, max_size=3),
    st.one_of(st.none(), st.lists(TEXTS, min_size=3, max_size=3)),
)
def test_what_was_put_is_read_again(kind: str, side: Side, source: list[Any], target: list[Any] | None) -> None:
    made = MADE[kind]
    value = made.get(other(side), **wire(made, other(side), source)).fields["x"]
    now = wire(made, side, target) if target is not None else None
    put = made.put(side, {"x": value}, now=now)
    assert put.problems == ()
    after = made.after(side, put, now)
    assert made.get(side, **after).fields["x"] == value
    assert made.put(side, {"x": value}, now=after).columns == {}


PEOPLE = [
    Made(
        "owner: {salesforce: OwnerId, dynamics: ownerid, convert: user, values: owners" + more + "}",
        tail="values: {owners: {ann: {salesforce: ann@x.org, dynamics: [ann.b@x.org, off@x.org]}}}\n",
    )
    for more in (
        "",
        ", inactive: leave",
        ", inactive: default, default: {salesforce: desk@x.org, dynamics: desk@x.org}",
    )
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PEOPLE), SIDES, st.data())
def test_people(made: Made, side: Side, data: st.DataObject) -> None:
    def someone(there: Side) -> dict[str, Any]:
        column = "OwnerId" if there == "left" else "_ownerid_value"
        return {column: data.draw(st.sampled_from([None, *DIRECTORY[there].users]))}

    now = someone(side)
    shown = made.get(side, **now).fields["owner"]
    assert made.put(side, {"owner": shown}, now=now).columns == {}
    value = made.get(other(side), **someone(other(side))).fields["owner"]
    put = made.put(side, {"owner": value}, now=now)
    after = made.after(side, put, now)
    again = made.get(side, **after).fields["owner"]
    stand_in = "desk@x.org"
    assert again in (value, shown, stand_in)
    if value in {made.get(side, **dict.fromkeys(now, id)).fields["owner"] for id in DIRECTORY[side].user_ids.values()}:
        assert again == value
    assert made.put(side, {"owner": value}, now=after).columns == {}
