"""Functions that are written out when a mapping is compiled: as true as field by field, safe, and readable."""

import linecache
import traceback
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mapping import byhand, leads
from benchmarks.mapping.ours import Ours
from crmbridge.model import SIDES, Life, Money, Row, Shared, Side, Value
from mapping.end import End, Facts, Ignored
from mapping.getting import weave_reader
from mapping.putting import weave_creator
from mapping.status import Standing
from mapping.transforms import Refusal
from mapping.weaving import SHARED_KEYS_MAX, Woven
from tests.support.mapping_bench import DIRECTORY, SHIPPED, STRUCTS, facts

HOSTILE = [
    '"); raise SystemExit("woven")',
    "x\n    raise SystemExit('woven')",
    "'''\"\"\"\\",
    "__class__",
    "__dict__",
    "class",
    "kept",
    "c0",
    "f1",
    "ünï",
    "",
]


def end(name: str, column: str, **changes: Any) -> End:
    """An end that takes the place of a compiled one, with names that no mapping file could have."""
    plain = SHIPPED.entities["lead"].sides["left"].plan.ends["title"]
    given: dict[str, Any] = {each: getattr(plain, each) for each in End.__slots__}
    return End(**{**given, "name": name, "column": column, **changes})


def test_names_never_become_source() -> None:
    before = {file for file in linecache.cache if file.startswith("<mapping")}

    class Values:
        Title = " CEO "

    ends = [end(name, name) for name in HOSTILE]
    shared = weave_reader(ends)(Values(), facts(), Standing(), (), None)
    assert shared.fields == dict.fromkeys(HOSTILE, "CEO")
    columns, left, _ = weave_creator(ends, HOSTILE)(shared.fields, None, facts())
    assert (columns, left) == (dict.fromkeys(HOSTILE, "CEO"), [])
    sources = ["".join(linecache.getlines(file)) for file in linecache.cache if file.startswith("<mapping")]
    assert len(sources) >= len(before) + 2
    assert not any("SystemExit" in source or "Title" in source for source in sources)


@pytest.mark.parametrize("count", [1, SHARED_KEYS_MAX, SHARED_KEYS_MAX + 1, 200])
def test_any_number_of_fields(count: int) -> None:
    class Values:
        Title = "CEO"

    names = [f"n{n}" for n in range(count)]
    ends = [end(name, name) for name in names]
    first, second = (weave_reader(ends)(Values(), facts(), Standing(), (), None).fields for _ in range(2))
    assert first == second == dict.fromkeys(names, "CEO")
    assert first is not second
    assert list(first) == names
    assert weave_creator(ends, ["more"])(first, None, facts())[0] == first


def test_a_traceback_shows_the_line() -> None:
    def broken(values: Any, facts: Facts) -> Value:
        raise ZeroDivisionError

    read = weave_reader([end("a", "A", plain=None, read=broken)])
    with pytest.raises(ZeroDivisionError) as caught:
        read(object(), facts(), Standing(), (), None)
    text = "".join(traceback.format_exception(caught.value))
    assert "<mapping, reader" in text
    assert "read0(values, facts)" in text


def test_a_field_that_cannot_be_read_is_not_there_and_records_do_not_touch_each_other() -> None:
    def unknown(values: Any, facts: Facts) -> Value:
        if values == "odd":
            raise Refusal("odd", "is odd", "mend it")
        if values == "left":
            raise Ignored
        return values

    read = weave_reader([end("a", "A", plain=None, read=unknown), end("b", "B", plain=None, read=lambda v, f: "b")])
    odd, good, left = (read(value, facts(), Standing(), (), None) for value in ("odd", "good", "left"))
    assert (odd.fields, [p.cause for p in odd.problems]) == ({"b": "b"}, ["odd"])
    assert (left.fields, left.problems) == ({"b": "b"}, ())
    assert good.fields == {"a": "good", "b": "b"}
    assert "a" not in odd.fields


def test_an_attribute_of_any_spelling_is_only_looked_up() -> None:
    woven = Woven("def woven(values):", {})
    woven.attribute("c0", "__import__('os')")
    woven.add("    return values.c0\n")
    with pytest.raises(AttributeError, match="__import__"):
        woven.made("test")(object())


# --- as field by field --------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(
    ["", "  ", "a", " a ", "a\r\nb", "a\rb", "a\r\r\nb", "\r\n", "\u00a0x\u2003", "Web", "web", "Webinar", "Åsa"]
)
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])).filter(
    lambda moment: 1900 < moment.year < 2100
)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    Decimal: st.decimals(-10_000, 10_000, places=3),
    date: st.dates(date(2000, 1, 1), date(2030, 1, 1)),
    datetime: MOMENTS,
    bool: st.booleans(),
    int: st.integers(0, 12),
    int | str: st.one_of(st.integers(0, 12), TEXTS),
}


@settings(deadline=None)
@given(st.data())
def test_a_row_reads_as_its_fields_one_by_one(data: st.DataObject) -> None:
    entity = data.draw(st.sampled_from(sorted(SHIPPED.entities)))
    side: Side = data.draw(st.sampled_from(["left", "right"]))
    compiled, struct = SHIPPED.entities[entity], STRUCTS[side, entity]
    known = compiled.columns(side)
    values = struct(*(data.draw(st.none() | BY_TYPE[known[column]]) for column in known))
    state = data.draw(st.sampled_from([None, "open", "won", "lost"]))
    plan = compiled.sides[side].at(state)
    expected: dict[str, Value] = {}
    causes: list[tuple[str, str]] = []
    for each in plan.ends.values():
        try:
            expected[each.name] = each.read(values, facts())
        except Refusal as refusal:
            causes.append((each.name, refusal.cause))
        except Ignored:
            pass
    shared = plan.read(values, facts(), Standing(state=state), (), None)
    assert shared.fields == expected
    assert [(problem.field, problem.cause) for problem in shared.problems] == causes
    assert [type(value) for value in shared.fields.values()] == [type(expected[name]) for name in shared.fields]


@settings(deadline=None)
@given(st.data())
def test_a_new_record_is_written_as_its_fields_one_by_one(data: st.DataObject) -> None:
    lead = SHIPPED.entities["lead"]
    plan = lead.sides["right"].plan
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "revenue": st.builds(Money, st.decimals(0, 100, places=3), st.sampled_from(["USD", "EUR", "SEK"])),
        "source": st.sampled_from(["web", "phone", "strange"]),
        "employees": st.integers(0, 10),
    }
    fields = {
        name: data.draw(st.none() | kinds.get(name, st.sampled_from(["a", "a" * 60, "b@x.org"])))
        for name in data.draw(st.lists(st.sampled_from(sorted(plan.ends)), unique=True))
    }
    columns, left, currency = plan.create(fields, fields, facts())
    written = {**columns, **currency}
    for each in plan.ends.values():
        value = fields.get(each.name)
        if each in left or value is None:
            continue
        for column, native in each.write(value, facts(), None).items():
            assert written.pop(column) == native
    assert all(value is None for value in written.values())


def test_a_value_that_is_none_of_its_kind_is_left_to_the_ends() -> None:
    lead = SHIPPED.entities["lead"]
    for odd in ({"title": 5}, {"revenue": "5"}, {"source": 7}, {"title": Decimal(5), "revenue": 3}):
        fields: dict[str, Any] = {"last_name": "Ek", "company": "A", **odd}
        put = lead.put("right", fields, facts=facts(), current=None, life=None, state=None)
        assert (put.columns["lastname"], put.columns["companyname"]) == ("Ek", "A")
        assert put.columns.get("jobtitle") == (str(odd["title"]) if "title" in odd else None)
        assert [problem.cause for problem in put.problems] == (
            ["not_money"] if "revenue" in odd else ["unmapped_value"] if "source" in odd else []
        )


def test_amounts_in_two_currencies_of_which_one_is_not_there() -> None:
    known = {
        name: each for name, each in SHIPPED.entities["lead"].sides["right"].plan.ends.items() if name == "revenue"
    }
    revenue = known["revenue"]
    ends = [
        End(**{**{each: getattr(revenue, each) for each in End.__slots__}, "name": name, "column": name})
        for name in "abc"
    ]
    usd, sek = Money(Decimal("1.005"), "USD"), Money(Decimal(2), "SEK")
    columns, left, currency = weave_creator(ends, ())({"a": usd, "b": sek, "c": usd}, None, facts())
    assert columns == {"a": Decimal("1.01"), "c": Decimal("1.01")}
    assert [each.name for each in left] == ["b"]
    assert currency["transactioncurrencyid"].id == "c-usd"
    assert DIRECTORY["right"].currencies["c-usd"] == "USD"


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Life,
            state=st.sampled_from([None, "open", "converted", "disqualified"]),
            status=st.sampled_from([None, 1, 2, 4, "New", "Open - Not Contacted", "strange"]),
            process=st.sampled_from([None, "p"]),
            record_type=st.sampled_from([None, "P"]),
            process_born_from_lead=st.booleans(),
            on_hold=st.booleans(),
        ),
        max_size=8,
    ),
    st.sampled_from([None, "new", "lost", "contacted"]),
)
def test_places_in_life_that_are_alike_are_looked_up_once_and_never_mixed_up(
    lives: list[Life], hint: str | None
) -> None:
    table = SHIPPED.entities["lead"].status
    assert table is not None
    for side in SIDES:
        for life in lives:
            assert table.read(side, life, hint) == table._look(side, life, hint, None)


# --- the benchmark's two ways -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [False, True])
def test_dirty_leads_read_and_are_written_as_by_hand(more: bool) -> None:
    ours = Ours(more=more)
    (page,) = leads.pages(600, more=more, seed=5)
    mine, theirs = ours.read(page), byhand.read(page, more=more)
    assert mine == theirs
    assert sum(len(record.problems) for record in mine) > 10
    if not more:
        assert ours.write(mine) == byhand.write(theirs)


def test_a_row_that_is_gone_has_no_fields() -> None:
    lead = SHIPPED.entities["lead"]
    gone = Row(ref=None, version="", created_at=None, modified_at=None)
    assert lead.get("left", gone, Life(), facts()) == Shared(fields={})
