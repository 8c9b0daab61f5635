"""Pages are written in bulk; what they say is what the rows say."""

from decimal import Decimal

import msgspec

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.shaping import MADE, NEAR, NOTHING, VARIANTS_MAX, Around, Layout, Typed, plain, rows_of, shaper

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
    found = plain(shaper(LAYOUT).page(ROWS))
    assert found == SHOWN
    assert list(found[0]) == [name for name, _ in LAYOUT]
    assert shaper(LAYOUT).page([]) == msgspec.Raw(b"[]")


def test_a_page_is_what_its_rows_are_now() -> None:
    page = shaper(LAYOUT).page
    page(ROWS)
    edited = [ROWS[0], {**ROWS[1], "City": "Austin"}, ROWS[2]]
    assert [row["City"] for row in plain(page(edited))] == ['Kraków "A"', "Austin", "Oslo"]
    assert plain(page(ROWS)) == SHOWN


def test_a_column_that_rows_lack_is_null_whenever_that_is_found_out() -> None:
    layout = (("City", "City"), ("Id", "Id"))
    assert plain(shaper(layout).page(ROWS[2:])) == [{"City": "Oslo", "Id": "3"}]
    assert plain(shaper(layout).page(ROWS)) == [{"City": row.get("City"), "Id": row["Id"]} for row in ROWS]
    for lacking in (0, NEAR - 1, NEAR, 3 * NEAR + 1):  # in whichever stretch of a page
        rows = [{"Id": str(number)} | ({} if number == lacking else {"City": "Oslo"}) for number in range(4 * NEAR - 3)]
        found = plain(shaper(layout).page(rows))
        assert found == [{"City": row.get("City"), "Id": row["Id"]} for row in rows]


def test_a_layout_remembers_no_end_of_what_rows_lacked() -> None:
    names = [f"c{number}" for number in range(VARIANTS_MAX + 5)]
    page = shaper(tuple((name, name) for name in names)).page
    for name in names:
        assert plain(page([dict.fromkeys(names, 1) | {name: 2}, {name: 1}]))[1] == {**dict.fromkeys(names), name: 1}


def test_values_that_the_caller_made_stand_in_their_places() -> None:
    layout = (("a", MADE), ("Id", "Id"), ("b", MADE))
    rows = [{"Id": str(number)} for number in range(2 * NEAR + 1)]
    found = plain(shaper(layout).page(rows, (f"a{n}" for n in range(len(rows))), [{"of": n} for n in range(len(rows))]))
    assert found == [{"a": f"a{n}", "Id": str(n), "b": {"of": n}} for n in range(len(rows))]


def test_money_goes_out_as_it_was_kept() -> None:
    encoded = msgspec.json.encode({"value": shaper((("Amount", "Amount"),)).page(ROWS)})
    assert encoded == b'{"value":[{"Amount":12.50},{"Amount":50000.0},{"Amount":null}]}'


def test_rows_come_in_the_order_of_their_keys_without_those_that_are_gone() -> None:
    table: dict[str, Row] = {key: {"Id": key} for key in "abc"}
    for keys in ([], ["b"], ["x"], ["c", "a"], ["c", "x", "a"]):
        assert [row["Id"] for row in rows_of(table, keys)] == [key for key in keys if key in table]
