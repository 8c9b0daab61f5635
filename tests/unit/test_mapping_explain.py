"""A mapping in words and pictures, and what has changed between two of them."""

from xml.etree import ElementTree

import pytest

import mapping
from mapping.diagram import mermaid, svg
from mapping.difference import changes
from mapping.explain import LifeCycle, fields, life_cycle

LEAD = """\
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
fields:
  last_name: {salesforce: LastName, dynamics: lastname, required: true}
  company: {salesforce: Company, dynamics: companyname, rule: prefer dynamics, filler: {salesforce: "[none]"}}
  topic: {dynamics: subject, create: "{company}"}
  source: {salesforce: LeadSource, dynamics: leadsourcecode, values: lead_source}
values:
  lead_source:
    web: {salesforce: Web, dynamics: 8}
    other: {salesforce: Other, dynamics: [10, 1]}
status:
  new: {state: open, salesforce: ["Open; <new>", 'Fresh "A"'], dynamics: New}
  done: {state: converted, salesforce: Closed - Converted, dynamics: Qualified}
  lost: {state: disqualified, salesforce: Closed, dynamics: Lost}
  gone: {state: disqualified, salesforce: Closed, dynamics: 失注, lossy: salesforce}
"""


def document(text: str = LEAD) -> mapping.Document:
    documents, findings = mapping.load({"lead.yaml": text})
    assert [str(one) for one in findings] == []
    (one,) = documents
    return one


@pytest.fixture
def life() -> LifeCycle:
    found = life_cycle(document())
    assert found is not None
    return found


def test_each_row_is_told_with_its_words_line_and_losses(life: LifeCycle) -> None:
    rows = {row.name: row for row in life.rows}
    assert rows["new"].words == {"left": ("Open; <new>", 'Fresh "A"'), "right": ("New",)}
    assert rows["gone"].notes == ("salesforce cannot tell it from lost",)
    assert rows["done"].notes == ("never written: it is handed to the CRM's own conversion",)
    assert rows["lost"].place.line == 16
    assert life.states == ("open", "converted", "disqualified")


def test_each_field_is_told_in_words() -> None:
    lines = {line.name: line for line in fields(document())}
    assert lines["last_name"].winner == "whoever edited it last"
    assert lines["last_name"].notes == ("needed: without it no record is made",)
    assert lines["company"].winner == "dynamics, unless it is blank there"
    assert lines["company"].notes == ("where blank, salesforce gets [none], which reads as blank",)
    assert lines["topic"].winner == "read only where it is, never written across"
    assert lines["source"].way == "table lead_source"


def test_the_svg_is_xml_and_all_of_it_lies_inside(life: LifeCycle) -> None:
    drawn = ElementTree.fromstring(svg(life))
    name = "{http://www.w3.org/2000/svg}"
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    texts = [one.text or "" for one in drawn.iter(f"{name}text")]
    assert 'salesforce: Open; <new>, Fresh "A"' in texts
    assert "dynamics: 失注" in texts
    assert {"convert, qualify", "disqualify", "reactivate"} <= set(texts)
    boxes = [one for one in drawn.iter(f"{name}rect") if "x" in one.attrib]
    assert len(boxes) == len(life.states) + len(life.rows)
    for box in boxes:
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) <= height


def test_a_control_character_in_a_label_does_not_spoil_the_svg() -> None:
    found = life_cycle(document(LEAD.replace('"Open; <new>"', '"Open\\x07"')))
    assert found is not None
    assert "salesforce: Open, Fresh" in svg(found)
    ElementTree.fromstring(svg(found))


def test_mermaid_has_every_row_once_and_no_label_breaks_out(life: LifeCycle) -> None:
    text = mermaid(life)
    assert text.startswith("stateDiagram-v2\n")
    for row in life.rows:
        assert text.count(f" as {row.state}_{row.name}\n") == 1
    assert "s_open --> s_converted : convert, qualify" in text
    for line in text.splitlines():
        assert line.count('"') in (0, 2)
        assert ";" not in line.replace("#quot;", "").replace("#59;", "").replace("#35;", "")


def test_accounts_have_no_life_cycle() -> None:
    account = LEAD.partition("status:")[0].replace("entity: lead", "entity: account")
    assert life_cycle(document(account)) is None


# --- differences --------------------------------------------------------------------------------------------------


def told(before: str, after: str) -> list[tuple[str, int, bool, bool]]:
    return [
        (one.text, one.place.line, one.before is not None, one.after is not None)
        for one in changes([document(before)], [document(after)])
    ]


def test_what_says_the_same_has_no_difference() -> None:
    other = "# another comment\n" + LEAD.replace(
        "{salesforce: LastName, dynamics: lastname,", "{dynamics: lastname, salesforce: LastName,"
    )
    assert told(LEAD, other + "examples: []\n") == []


def test_changed_added_and_removed_parts_are_told_with_their_lines() -> None:
    after = (
        LEAD.replace("rule: prefer dynamics", "rule: dynamics")
        .replace("  topic: ", "  subject: ")
        .replace("    other: {salesforce: Other, dynamics: [10, 1]}\n", "")
    )
    assert told(LEAD, after) == [
        ("fields.company", 6, True, True),
        ("fields.topic", 4, True, False),
        ("fields.subject", 7, False, True),
        ("values.lead_source.other", 10, True, False),
    ]


def test_the_order_of_rows_counts_and_that_of_fields_does_not() -> None:
    lines = LEAD.splitlines(keepends=True)
    rows = [*lines[:15], lines[16], lines[15], *lines[17:]]
    assert [text for text, *_ in told(LEAD, "".join(rows))] == ["status.(order)"]
    swapped = [*lines[:4], lines[5], lines[4], *lines[6:]]
    assert told(LEAD, "".join(swapped)) == []


def test_tables_of_another_file_count() -> None:
    start, end = LEAD.index("\nvalues:") + 1, LEAD.index("status:")
    text, shared = LEAD[:start] + LEAD[end:], LEAD[start:end]
    before, _ = mapping.load({"lead.yaml": text, "values.yaml": shared})
    after, _ = mapping.load({"lead.yaml": text, "values.yaml": shared.replace("8", "9")})
    (one,) = changes(before, after)
    assert (one.text, one.place.file, one.place.line) == ("values.lead_source.web", "values.yaml", 3)
