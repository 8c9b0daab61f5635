"""Examples of a mapping: what they say, how they are tried, and what is told where one fails."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import mapping
from mapping.examples import Example, beside, examples_of
from mapping.given import Reader
from mapping.source import read_file, read_text
from mapping.trial import Trial, run
from tests.support.mapping_boxes import out_of_the_box
from tests.support.project import CHECKOUT

LEAD = """\
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
filter: 'source != "other"'
fields:
  last_name: {salesforce: LastName, dynamics: lastname, required: true}
  street: {salesforce: Street, dynamics: [address1_line1, address1_line2], convert: lines}
  revenue: {salesforce: AnnualRevenue, dynamics: revenue, convert: money, lossy: salesforce}
  source: {salesforce: LeadSource, dynamics: leadsourcecode, values: lead_source}
  owner: {salesforce: OwnerId, dynamics: ownerid, convert: user}
  managed: {dynamics: new_managed, constant: {dynamics: crmbridge}}
values:
  lead_source:
    web: {salesforce: Web, dynamics: 8}
    other: {salesforce: Other, dynamics: [10, 1]}
status:
  new: {state: open, salesforce: Open, dynamics: New}
  won: {state: converted, salesforce: Closed - Converted, dynamics: Qualified}
  lost: {state: disqualified, salesforce: Closed, dynamics: Lost}
"""


def lead(examples: str, text: str = LEAD) -> tuple[Reader, list[Example]]:
    documents, findings = mapping.load({"lead.yaml": text})
    assert [str(one) for one in findings] == []
    (document,) = documents
    compiled = mapping.compile(documents.items).entities["lead"]
    found, problems = examples_of(document, read_text(examples, file="lead.examples.yaml"))
    assert [str(one) for one in problems] == []
    return Reader(document=document, compiled=compiled), found


def trial(given: str, expect: str, more: str = "") -> Trial:
    reader, (example,) = lead(f"examples:\n  - name: it\n    given: {given}\n    expect: {expect}\n{more}")
    return run(reader, example)


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        (
            "{salesforce: {LastName: Berg, LeadSource: web, Status: Open, Street: 'Main 1', OwnerId: ann@a.example}}",
            "{shared: {source: web, state: open, status: new, owner: ann@a.example, revenue: null}, "
            "dynamics: {lastname: Berg, leadsourcecode: 8, address1_line1: Main 1, address1_line2: null, "
            "ownerid: ann@a.example, new_managed: crmbridge, statuscode: New}}",
        ),
        (
            "{dynamics: {lastname: Berg, leadsourcecode: 1, revenue: 10.5, statuscode: Lost}}",
            "{shared: {source: other, revenue: 10.50, state: disqualified}, crosses: false, "
            "salesforce: {LeadSource: Other, AnnualRevenue: 10.5, Status: Closed}}",
        ),
        (
            "{dynamics: {lastname: Berg, statecode: Qualified, statuscode: Qualified}}",
            "{shared: {state: converted, status: won}, salesforce: {Status: Closed - Converted}}",
        ),
        (
            "{shared: {last_name: Berg, source: web, status: new, revenue: 7 EUR}}",
            "{salesforce: {LastName: Berg, LeadSource: Web, Status: Open}, dynamics: {revenue: 7, statuscode: New, "
            "transactioncurrencyid: EUR}, crosses: true}",
        ),
        ("{salesforce: {LastName: Berg, LeadSource: Fax}}", "{held: {source: unmapped_value}}"),
    ],
)
def test_an_example_that_holds(given: str, expect: str) -> None:
    currency = "    currency: EUR\n" if "EUR" in given else ""
    assert trial(given, expect, currency).misses == ()


def test_a_finer_value_that_is_there_is_not_written_over() -> None:
    more = "    there: {dynamics: {lastname: Berg, leadsourcecode: 1, statuscode: New, new_managed: crmbridge}}\n"
    tried = trial("{salesforce: {LastName: Berg, LeadSource: Other, Status: Open}}", "{shared: {source: other}}", more)
    assert tried.misses == ()
    assert tried.natives == {"right": {"statuscode": "New"}}


def told(tried: Trial) -> list[tuple[int, str, Any, Any, int | None]]:
    return [
        (miss.at.line, miss.what, miss.expected, miss.found, miss.rule.line if miss.rule else None)
        for miss in tried.misses
    ]


def test_a_miss_names_its_line_and_the_line_of_the_mapping_that_made_it_so() -> None:
    given = "{salesforce: {LastName: Berg, LeadSource: Web, Status: Open}}"
    expect = "\n      shared: {last_name: Bergh}\n      dynamics:\n        leadsourcecode: 10\n        statuscode: Lost"
    row = LEAD.splitlines().index("    web: {salesforce: Web, dynamics: 8}") + 1
    status = LEAD.splitlines().index("  new: {state: open, salesforce: Open, dynamics: New}") + 1
    assert told(trial(given, expect)) == [
        (5, "shared.last_name", "Bergh", "Berg", 6),
        (7, "dynamics.leadsourcecode", 10, 8, row),
        (8, "dynamics.statuscode", "Lost", "New", status),
    ]


@pytest.mark.parametrize(
    ("given", "expect", "said"),
    [
        (
            "{salesforce: {LastNam: Berg}}",
            "{shared: {last_name: Berg}}",
            "no column 'LastNam' in salesforce; did you mean",
        ),
        ("{salesforce: {LastName: Berg}}", "{shared: {lastname: Berg}}", "no such field; did you mean 'last_name'?"),
        ("{salesforce: {LastName: Berg}}", "{dynamics: {lastnam: Berg}}", "no such column; did you mean 'lastname'?"),
        ("{salesforce: {LastName: Berg}}", "{salesforce: {LastName: Berg}}", "this side is given"),
        ("{salesforce: {LastName: Berg}}", "{}", "`expect` is empty"),
        ("{salesforce: {LastName: B}, dynamics: {lastname: B}}", "{crosses: true}", "`given` holds one record"),
        ("{dynamics: {leadsourcecode: Web}}", "{shared: {source: web}}", "--shape"),
        ("{dynamics: {revenue: many}}", "{crosses: true}", "'many' is no Decimal"),
        ("{shared: {status: nwe}}", "{crosses: true}", "no row 'nwe'; did you mean 'new'?"),
        ("{salesforce: {LeadSource: Fax}}", "{shared: {last_name: null}}", "does not know"),
        ("{salesforce: {LeadSource: Web}}", "{held: {source: unmapped_value}}", "it is not held"),
    ],
)
def test_what_cannot_be_tried_or_is_lost_is_told(given: str, expect: str, said: str) -> None:
    assert [miss.note for miss in trial(given, expect).misses if said in miss.note], trial(given, expect).misses


def test_examples_may_stand_in_the_mapping_itself() -> None:
    text = LEAD + "examples:\n  - {name: it, given: {salesforce: {LastName: B}}, expect: {shared: {last_name: C}}}\n"
    reader, none = lead("examples: []\n", text)
    assert none == []
    examples, findings = examples_of(reader.document)
    assert findings == []
    assert told(run(reader, examples[0])) == [(len(text.splitlines()), "shared.last_name", "C", "B", 6)]


def test_with_descriptions_labels_are_known() -> None:
    text = "".join(
        line for line in LEAD.splitlines(keepends=True) if "  managed:" not in line and "  street:" not in line
    )
    for label, whole in (("Open,", "Open - Not Contacted,"), ("Closed,", "Closed - Not Converted,")):
        text = text.replace(f"salesforce: {label}", f"salesforce: {whole}")
    documents, _ = mapping.load({"lead.yaml": text})
    boxes = out_of_the_box()
    compiled = mapping.compile(documents.items, descriptions=boxes).entities["lead"]
    source = read_text(
        "examples:\n  - name: it\n    given: {dynamics: {lastname: Berg, leadsourcecode: Web, statuscode: Lost}}\n"
        "    expect: {shared: {source: web, state: disqualified}, salesforce: {Status: Closed - Not Converted}}\n",
        file="lead.examples.yaml",
    )
    (document,) = documents
    (example,), _ = examples_of(document, source)
    described = {"left": boxes["left", "lead"], "right": boxes["right", "lead"]}
    assert run(Reader(document=document, compiled=compiled, descriptions=described), example).misses == ()


def test_the_shape_of_examples_is_checked_with_its_place() -> None:
    documents, _ = mapping.load({"lead.yaml": LEAD})
    source = read_text("examples:\n  - name: it\n    gven: {}\n    expect: {}\n", file="lead.examples.yaml")
    examples, findings = examples_of(next(iter(documents)), source)
    assert examples == []
    assert [str(one).split(" [")[0] for one in findings] == [
        "lead.examples.yaml:3:5: examples.1.gven: unknown key; did you mean 'given'?",
        "lead.examples.yaml:2:5: examples.1: 'given' is missing; add it",
    ]


@pytest.mark.parametrize(
    "name", [one.parent.parent.name for one in sorted(CHECKOUT.glob("config/examples/*/mappings/lead.*.yaml"))]
)
def test_a_company_s_own_way_has_examples_that_hold_once_it_is_copied(name: str, tmp_path: Path) -> None:
    """As config/examples/README.md says: the folder's files over those that `crmbridge init` writes."""
    for folder in ("config/mappings", f"config/examples/{name}/mappings"):
        for file in CHECKOUT.joinpath(folder).iterdir():
            shutil.copy(file, tmp_path)
    documents, problems = mapping.load(tmp_path, profile=name)
    assert [str(one) for one in problems] == []
    compiled = mapping.compile(documents)
    document = documents.of("lead")
    assert document is not None
    found, wrong = examples_of(document, read_file(beside(document.source.file)))
    assert found
    assert wrong == []
    reader = Reader(document=document, compiled=compiled.entities["lead"])
    assert [(one.name, miss) for one in found for miss in run(reader, one).misses] == []
