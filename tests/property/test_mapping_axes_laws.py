"""PutGet over generated stage tables with words per record type and reasons: what the check lets pass is read back as
it was put."""

from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

import mapping
from crmbridge.model import Life, Ref, Row, State
from mapping.translate import CompiledEntity
from tests.support.mapping_bench import facts

HEAD = """\
entity: opportunity
north: {table: opportunity}
south: {table: opportunity}
fields: {name: {north: name, south: name}}
reason: {north: why}
stage:
"""
CONNECTIONS = {"north": "memory", "south": "memory"}
WORDS = ("A", "B", "C", "D")
KINDS = (None, "Renewal", "Upsell")
STATES: tuple[State, ...] = ("open", "won", "lost")
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True)
natives = st.one_of(words, st.fixed_dictionaries({"any": words}, optional={"Renewal": words, "Upsell": words}))
reasons = st.one_of(st.none(), st.lists(st.sampled_from(("x", "y", "z")), min_size=1, max_size=2, unique=True))
rows = st.lists(st.tuples(st.sampled_from(STATES), natives, reasons), min_size=2, max_size=5)


def text_of(table: list[tuple[State, Any, list[str] | None]]) -> str:
    lines = [HEAD]
    for number, (state, native, why) in enumerate([("open", ["Start"], None), *table]):
        # The other side tells everything apart, so that only this one is on trial.
        reason = f", reason: {{north: {why}}}" if why else ""
        shown = native if isinstance(native, list) else "{" + ", ".join(f"{k}: {v}" for k, v in native.items()) + "}"
        lines.append(f"  row{number}: {{state: {state}, north: {shown}, south: s{number}{reason}}}\n")
    return "".join(lines).replace("'", "")


def read_back(one: CompiledEntity, name: str, kind: str | None, before: Life, why: str | None) -> str | None:
    """The row that a record shows after it was put to this one."""

    def row(reason: str | None) -> Row:
        values = mapping.row_struct("R", one.columns("left"))(why=reason)
        ref = Ref(side="left", entity="opportunity", id="1")
        return Row(ref=ref, version="1", created_at=None, modified_at=None, values=values)

    native = one.status_for("left", name, life=before)
    written = one.reason_columns("left", name, row(why))
    after = Life(state=None, status=native, record_type=kind)
    return one.get("left", row(written.get("why", why)), after, facts()).status


@given(rows, st.data())
def test_what_passes_the_check_is_read_as_it_was_put(table: list[tuple[State, Any, Any]], data: st.DataObject) -> None:
    text = text_of(table)
    documents, shape = mapping.load({"o.yaml": text}, connections=CONNECTIONS)
    assert not shape, shape
    found = [one for one in mapping.check(list(documents)) if one.severity == "error"]
    note(text + "\n".join(map(str, found)))
    known = {"loss-undeclared", "states-share-value", "value-twice", "reason-unused"}
    assert {one.code for one in found} <= known
    if found:
        return
    one = mapping.compile(list(documents)).entities["opportunity"]
    for name in one.status_rows():
        for kind in KINDS:
            before = data.draw(st.sampled_from([Life(state=None, status=word, record_type=kind) for word in WORDS]))
            why = data.draw(st.sampled_from([None, "x", "y", "z"]))
            assert read_back(one, name, kind, before, why) == name, (name, kind, before.status, why)
