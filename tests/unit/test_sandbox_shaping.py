"""Pages are made and kept in bulk; what they say is what the rows say."""

import copy
from decimal import Decimal

import msgspec

from crmbridge.sandbox.shaping import MADE, NOTHING, Around, Kept, Layout, Typed, plain, shaper

LAYOUT: Layout = (
    ("attributes", Typed("Lead", Around("/leads/", "Id"))),
    ("@odata.etag", Around('W/"', "Version", '"')),
    ("Id", "Id"),
    ("City", "City"),
    ("Amount", "Amount"),
    ("Hidden", NOTHING),
)
ROWS = [
    {"Id": "1", "Version": 7, "City": 'Kraków "A"', "Amount": Decimal("12.50"), "Hidden": "x"},
    {"Id": "2", "Version": 8, "Amount": Decimal("50000.0")},
    {"Id": "3", "Version": 9, "City": "Oslo"},
]
IDS = [str(row["Id"]) for row in ROWS]
SHOWN = [
    {
        "attributes": {"type": "Lead", "url": f"/leads/{row['Id']}"},
        "@odata.etag": f'W/"{row["Version"]}"',
        "Id": row["Id"],
        "City": row.get("City"),
        "Amount": row.get("Amount"),
        "Hidden": None,
    }
    for row in ROWS
]


def test_records_say_what_the_rows_say_in_the_order_of_the_layout() -> None:
    assert plain(shaper(LAYOUT)(ROWS)) == SHOWN
    assert list(plain(shaper(LAYOUT)(ROWS))[0]) == [name for name, _ in LAYOUT]


def test_a_column_that_rows_lack_is_null_whenever_that_is_found_out() -> None:
    layout = (("City", "City"), ("Id", "Id"))
    assert plain(shaper(layout)(ROWS[2:])) == [{"City": "Oslo", "Id": "3"}]
    assert plain(shaper(layout)(ROWS)) == [{"City": row.get("City"), "Id": row["Id"]} for row in ROWS]


def test_values_that_the_caller_made_stand_in_their_places() -> None:
    layout = (("a", MADE), ("Id", "Id"), ("b", MADE))
    found = plain(shaper(layout)(ROWS, (f"a{n}" for n in range(3)), [{"of": n} for n in range(3)]))
    assert found == [{"a": f"a{n}", "Id": str(n + 1), "b": {"of": n}} for n in range(3)]


def test_a_kept_page_is_what_its_rows_are_now() -> None:
    kept = Kept()
    assert plain(kept.page(LAYOUT, IDS, ROWS)) == SHOWN
    edited = [ROWS[0], {**ROWS[1], "City": "Austin"}, ROWS[2]]
    for _ in range(2):
        assert [row["City"] for row in plain(kept.page(LAYOUT, IDS, edited))] == ['Kraków "A"', "Austin", "Oslo"]
    assert plain(kept.page(LAYOUT, IDS, ROWS)) == SHOWN  # as after a rollback: the row from before
    assert plain(kept.page(LAYOUT, [], [])) == []


def test_layouts_are_kept_apart_and_not_for_ever() -> None:
    kept = Kept()
    for name in ("City", "Amount", "Version", "Id", "Hidden", "City"):
        found = plain(kept.page(((name, name),), IDS, ROWS))
        assert found == [{name: row.get(name)} for row in ROWS]


def test_a_copy_of_the_world_keeps_nothing_of_the_first_one() -> None:
    kept = Kept()
    kept.page(LAYOUT, IDS, ROWS)
    other = copy.deepcopy(kept)
    assert plain(other.page(LAYOUT, IDS, [{**row, "City": "Lund"} for row in ROWS]))[0]["City"] == "Lund"


def test_an_answer_is_the_same_bytes_whether_kept_or_not() -> None:
    encoder = msgspec.json.Encoder(decimal_format="number")
    kept = Kept()
    first, again = (encoder.encode(kept.page(LAYOUT, IDS, ROWS)) for _ in range(2))
    assert first == again == encoder.encode(shaper(LAYOUT)(ROWS))
