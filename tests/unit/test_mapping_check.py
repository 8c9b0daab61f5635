# ruff: noqa: E501 - tables read best unbroken
"""What an admin is told: every mistake in its layer, with place, path, and what was probably meant."""

from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest

import mapping
from connectors.base import Column, Description, Option
from crmbridge.errors import ConfigError
from mapping.problem import closest
from mapping.schema import prune
from mapping.source import read_text
from tests.support.mapping_boxes import out_of_the_box

LEAD = """\
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
match: [[email, last_name]]
fields:
  last_name: {salesforce: LastName, dynamics: lastname, required: true}
  email: {salesforce: Email, dynamics: emailaddress1, convert: email}
  rating: {salesforce: Rating, dynamics: leadqualitycode, values: rating}
  revenue: {salesforce: AnnualRevenue, dynamics: revenue, convert: money, lossy: salesforce}
values:
  rating:
    hot: {salesforce: Hot, dynamics: 1}
    warm: {salesforce: Warm, dynamics: 2}
    cold: {salesforce: Cold, dynamics: 3}
status:
  new: {state: open, salesforce: Open - Not Contacted, dynamics: New}
  contacted: {state: open, salesforce: Working - Contacted, dynamics: Contacted}
  converted: {state: converted, salesforce: Closed - Converted, dynamics: Qualified}
  lost: {state: disqualified, salesforce: Closed - Not Converted, dynamics: [Lost, Cannot Contact, 6, Canceled]}
"""


def findings(text: str, *, live: bool = False) -> list[str]:
    documents, _ = mapping.load({"lead.yaml": text})
    return [str(f) for f in mapping.check(documents, out_of_the_box() if live else None)]


def edited(*edits: tuple[str, str]) -> str:
    text = LEAD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_the_example_is_right() -> None:
    assert findings(LEAD) == []
    assert [f for f in findings(LEAD, live=True) if "Company" not in f] == []


def test_a_word_that_is_only_a_little_alike_is_not_proposed() -> None:
    assert closest("phone", ["owner"]) is None
    assert closest("phne", ["owner", "phone"]) == "phone"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # shape
        ("dynamics: lastname", "dynamic: lastname", "6:37: fields.last_name.dynamic: unknown key; did you mean 'dynamics'?"),
        ("entity: lead", "entity: leads", "1:9: entity: 'leads' is not one of account, contact, lead, opportunity; did you"),
        ("convert: email", "convert: mail", "fields.email.convert: 'mail' is not one of"),
        ("required: true", "required: yes", "fields.last_name.required: expected true or false, found text"),
        ("dynamics: {table: lead}", "dynamics: lead", "3:11: dynamics: expected keys with values, found text"),
        ("object: Lead", "table: Lead", "2:14: salesforce.table: unknown key"),
        ("state: open", "state: opened", "status.new.state: 'opened' is not one of open, converted, disqualified; did you"),
        ("dynamics: 1", "dynamics: 1.5", "values.rating.hot.dynamics: expected text or a whole number or true or false"),
        ("lossy: salesforce", "lossy: sf", "fields.revenue.lossy: 'sf' is not one of salesforce, dynamics"),
        ("  rating: {sales", "  Rating: {sales", "fields.Rating: a name is lower case letters, digits and _"),
        ("[[email, last_name]]", "[email, last_name]", "4:8: match: is a list of lists: write `[[email, last_name]]` if all of them must agree, "
         "`[[email], [last_name]]` if one is enough [list-flat]"),
        ("[[email, last_name]]", "email", "4:8: match: is a list of lists: write `[[email]]` [list-flat]"),
        ("state: open, ", "", "16:3: status.new: 'state' is missing"),
        # meaning
        ("[[email, last_name]]", "[[emial, last_name]]", "4:10: match.1.1: 'emial' is not a field of this mapping; did you"),
        (", dynamics: lastname", "", "match.1.2: 'last_name' has no column in dynamics, so twins cannot share it"),
        ("values: rating}", "values: ratings}", "there is no table 'ratings' under `values:`; did you mean 'rating'?"),
        ("email: {sales", "status: {sales", "fields.status: this name is taken; give the field another one"),
        ("salesforce: Email,", "salesforce: LastName,", "LastName belongs to 'last_name' already (line 6); two fields"),
        ("salesforce: Email,", "salesforce: Status,", "Status cannot be mapped as a field: it is read by the status rows"),
        ("convert: email}", "convert: email, restrictive: true}", "restrictive: is for yes/no fields"),
        ("convert: email}", "convert: email, filler: {salesforce: created + 3 days}}", "needs `convert: date`"),
        ("convert: email}", 'create: "{lastname}"}', "create: {lastname} is not a field of this mapping; did you mean 'las"),
        ("required: true}", "link: account}", "fields.last_name.link: there is no mapping for account"),
        ("required: true}", "convert: choice}", "a choice needs `values:`, the name of a table"),
        ("required: true}", "zone: Mars}", "fields.last_name.zone: is for `convert: date`"),
        ("dynamics: 2}", "dynamics: 1}", "13:40: values.rating.warm.dynamics: dynamics cannot tell 'warm' from 'hot': both are "
         "written as 1; if that loss is meant, add `lossy: dynamics` to this line"),
        ("dynamics: 2}", "dynamics: [2, 1]}", "1 is read as 'hot' already, so it never reads as 'warm'; name it once"),
        (", dynamics: 2}", "}", "values.rating.warm: has no value for dynamics, so it cannot cross"),
        ("dynamics: New}", "dynamics: contacted}", "dynamics cannot tell 'contacted' from 'new'"),
        (", dynamics: New}", "}", "status.new: has no value for dynamics, so nothing can be written there"),
        ("Working - Contacted", "closed – not converted", "has no flag to tell them apart"),
        ("status:", "stage:", "15:1: stage: not for the entity lead: its rows stand under `status:`"),
    ],
)  # fmt: skip
def test_one_mistake_one_message(old: str, new: str, message: str) -> None:
    found = findings(edited((old, new)))
    assert any(message in f for f in found), found
    assert all(f.startswith("lead.yaml:") for f in found)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("salesforce: Email,", "salesforce: EMail,", "7:23: fields.email.salesforce: salesforce's Lead has no field 'EMail'; "
         "did you mean 'Email'?"),
        ("dynamics: emailaddress1", "dynamics: leadqualitycode2", "has no field 'leadqualitycode2'; did you mean 'leadq"),
        (", values: rating", "", "leadqualitycode is a choice of numbers in dynamics; 'text' cannot hold it; use `values: TABLE`"),
        (", convert: money", "", "revenue is a money field in dynamics; 'text' cannot hold it; use `convert: money`"),
        (", lossy: salesforce", "", "9:3: fields.revenue: AnnualRevenue in salesforce keeps 0 decimals of 2; if that loss is "
         "meant, add `lossy: salesforce` to this line"),
        ("salesforce: Hot", "salesforce: Hott", "salesforce has no value 'Hott'; did you mean 'Hot'?"),
        ("    cold: {salesforce: Cold, dynamics: 3}\n", "", "dynamics's 'Cold' (3) is not mapped: records that have it are held"),
        ("6, Canceled", "6", "15:1: status: dynamics's 'Canceled' (7) is not mapped"),
        ("dynamics: Contacted", "dynamics: Qualified", "the row says open, but dynamics's own flag makes 'Qualified' converted"),
        ("Closed - Converted", "Working-Contacted", "the row says converted, but salesforce's own flag makes"),
        ("dynamics: Contacted", "dynamics: Contactd", "dynamics has no status 'Contactd'; did you mean 'Contacted'?"),
    ],
)  # fmt: skip
def test_what_the_crms_really_have(old: str, new: str, message: str) -> None:
    found = findings(edited((old, new)), live=True)
    assert any(message in f for f in found), found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # the nearest of names and labels, and what is to be written
        ("dynamics: emailaddress1", "dynamics: Work E-mail", "has no field 'Work E-mail'; did you mean 'emailaddress1'?"),
        ("salesforce: Hot", "salesforce: zeer-heet", "salesforce has no value 'zeer-heet'; did you mean 'zeer_heet'?"),
        ("salesforce: Hot", "salesforce: Bloedheit", "salesforce has no value 'Bloedheit'; did you mean 'Bloedheet'?"),
        ("salesforce: Hot", "salesforce: true", "salesforce has no value true; write a label or value that it has"),
        # every type of column, of both CRMs, is held to what the mapping reads there
        ("salesforce: Email", "salesforce: Staff", "Staff is an integer field in salesforce; 'email' cannot hold it; use `convert: integer`"),
        ("dynamics: revenue", "dynamics: processid", "processid is an id field in dynamics; 'money' cannot hold it; use `convert: text`"),
        ("salesforce: LastName", "salesforce: OwnerId", "OwnerId is a lookup field in salesforce; 'text' cannot hold it; use `convert: user`"),
        ("salesforce: LastName", "salesforce: Campaign", "'text' cannot hold it; records of Campaign are not synced, so take the field out"),
        ("salesforce: LastName", "salesforce: Partner", "'text' cannot hold it; use `link: account`"),
        ("salesforce: Email, dynamics: emailaddress1, convert: email", "salesforce: Partner, convert: user",
         "Partner points at Account, not at users; name the column that does"),
    ],
)  # fmt: skip
def test_what_an_org_of_ones_own_has(old: str, new: str, message: str) -> None:
    boxes = out_of_the_box()
    left, right = boxes["left", "lead"], boxes["right", "lead"]
    own = (
        Column(name="Staff", type="integer"),
        Column(name="OwnerId", type="lookup", targets=("Group", "User")),
        Column(name="Campaign", type="lookup", targets=("Campaign",)),
        Column(name="Partner", type="lookup", targets=("Account",)),
        replace(left.columns["Rating"], options=(Option(value="zeer_heet", label="Bloedheet"),)),
    )
    theirs = (Column(name="processid", type="id"), replace(right.columns["emailaddress1"], label="Work E-Mail"))
    boxes["left", "lead"] = replace(left, columns={**left.columns, **{one.name: one for one in own}})
    boxes["right", "lead"] = replace(right, columns={**right.columns, **{one.name: one for one in theirs}})
    documents, _ = mapping.load({"lead.yaml": edited((old, new))})
    found = [str(f) for f in mapping.check(documents, boxes)]
    assert any(message in f for f in found), found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convert: date, filler: {salesforce: created + 90}", "'created + 90' is no number of days after the creation; did you mean 'created + 90 days'?"),
        ("convert: date, filler: {salesforce: Created+90 Days}", "did you mean 'created + 90 days'?"),
        ("convert: date, filler: {salesforce: 2026-12-31}", "'2026-12-31' is no number of days after the creation; write such as `created + 90 days`"),
        ("convert: date, filler: {salesforce: created + 90 days}", None),
        ("convert: lines, filler: {salesforce: none}", None),
    ],
)  # fmt: skip
def test_a_filler_that_is_legal_stays_and_one_that_is_nearly_so_is_corrected(line: str, message: str | None) -> None:
    found = [f for f in findings(edited(("convert: email", line))) if "filler" in f]
    assert found == [] if message is None else message in found[0], found


def test_two_labels_of_one_option_are_one_value() -> None:
    found = findings(edited(("dynamics: Contacted", "dynamics: 1")), live=True)
    assert any("dynamics cannot tell 'contacted' from 'new'" in f for f in found), found


def test_read_only_and_required_columns() -> None:
    boxes = out_of_the_box()
    lead = boxes["right", "lead"]
    columns = {
        **lead.columns,
        "emailaddress1": Column(name="emailaddress1", type="text", createable=False, updateable=False),
        "firstname": Column(name="firstname", type="multichoice"),
        "new_score": Column(name="new_score", type="text", required=True),
    }
    boxes["right", "lead"] = replace(lead, columns=columns)
    documents, _ = mapping.load({"lead.yaml": LEAD})
    found = {str(f): f.severity for f in mapping.check(documents, boxes)}
    read_only = next(f for f in found if "emailaddress1 is read only in dynamics; add `rule: dynamics`" in f)
    unfed = next(f for f in found if "dynamics needs new_score for a new lead, and no field feeds it" in f)
    assert (found[read_only], found[unfed]) == ("error", "warning")
    several, _ = mapping.load({"lead.yaml": edited(("dynamics: lastname", "dynamics: firstname"))})
    assert any("firstname holds several choices at once in dynamics" in str(f) for f in mapping.check(several, boxes))
    ruled, _ = mapping.load({"lead.yaml": edited(("convert: email", "convert: email, rule: dynamics"))})
    assert not any("read only" in str(f) for f in mapping.check(ruled, boxes))


def test_all_problems_at_once_in_the_order_of_the_lines() -> None:
    text = edited(("dynamics: lastname", "dynamic: lastname"), ("emailaddress1", "lastname2"), ("[[email", "[[mail"))
    documents, _ = mapping.load({"lead.yaml": text})
    with pytest.raises(ConfigError) as raised:
        mapping.compile(documents, descriptions=out_of_the_box())
    lines = [problem.split(":")[1] for problem in raised.value.problems]
    assert lines == ["4", "6", "7"]
    assert raised.value.exit_code == 2
    assert "the mapping has 3 problems" in str(raised.value)


def test_a_field_cut_by_the_shape_is_not_complained_about_twice() -> None:
    assert len(findings(edited(("salesforce: Email,", "salesforce: 5,")))) == 1


def test_two_files_of_one_entity_and_an_empty_folder(tmp_path: object) -> None:
    _, found = mapping.load({"a.yaml": LEAD, "b.yaml": LEAD})
    assert [str(f) for f in found] == [
        "b.yaml:1:9: entity: lead is mapped in a.yaml already; put both into one file [entity-twice]"
    ]
    _, found = mapping.load(str(tmp_path))
    assert "there is no mapping here" in str(found[0])


def test_what_other_programs_lay_beside_a_mapping_is_none_and_values_is_found_however_it_is_written(
    tmp_path: Path,
) -> None:
    (tmp_path / "lead.YAML").write_text(LEAD.replace("values:\n  rating:", "values:\n  own:"), encoding="utf-8")
    for name in ("._lead.yaml", "~$lead.yaml", ".#lead.yaml"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    table = "values: {rating: {hot: {salesforce: Hot, dynamics: 1}}}\n"
    (tmp_path / "Values.yaml").write_text(table, encoding="utf-8")
    documents, found = mapping.load(tmp_path)
    assert [str(one) for one in found] == []
    assert [document.entity for document in documents] == ["lead"]
    assert set(documents.items[0].values) == {"own", "rating"}
    assert set(mapping.read_texts(tmp_path)) == {"lead.YAML", "Values.yaml"}


def test_other_connections_need_configuration_only() -> None:
    text = LEAD.replace("salesforce", "emea").replace("dynamics: {table: lead}", "apac: {object: Lead}")
    text = text.replace("dynamics", "apac")
    documents, found = mapping.load({"lead.yaml": text}, connections={"emea": "salesforce", "apac": "salesforce"})
    assert not found
    assert mapping.compile(documents).entities["lead"].table("right") == "Lead"


def test_inactive_and_ambiguous_options() -> None:
    boxes = out_of_the_box()
    lead = boxes["right", "lead"]
    options = (Option(value=1, label="Hot"), Option(value=2, label="Warm", active=False), Option(value=3, label="Cold"),
               Option(value=9, label="cold"))  # fmt: skip
    rating = replace(lead.columns["leadqualitycode"], options=options)
    boxes["right", "lead"] = Description(
        entity="lead", table="lead", columns={**lead.columns, "leadqualitycode": rating}, statuses=lead.statuses
    )
    documents, _ = mapping.load({"lead.yaml": edited(("dynamics: 3", "dynamics: COLD"))})
    found = [str(f) for f in mapping.check(documents, boxes)]
    assert any("'COLD' means several values of dynamics (3, 9); give the value itself" in f for f in found)
    assert any("2 is switched off in dynamics" in f for f in found)


@pytest.mark.parametrize(
    "bad", ["entity: lead\n", "entity: 5\nfields: []\n", LEAD.replace("values: rating", "values: 5"), LEAD]
)
def test_the_walker_agrees_with_a_real_schema_validator(bad: str) -> None:
    rules = mapping.schema()
    source = read_text(bad, file="lead.yaml")
    prune(source, rules)
    assert jsonschema_rs.is_valid(rules, source.data) == (not source.findings)


def test_a_loss_of_the_column_that_counts_once_it_is_won_is_told_too() -> None:
    text = """\
entity: opportunity
salesforce: {object: Opportunity}
dynamics: {table: opportunity}
fields:
  amount: {salesforce: Amount, dynamics: {column: estimatedvalue, won: actualvalue}, convert: money}
stage:
  work: {state: open, salesforce: Prospecting, dynamics: Qualify}
  won: {state: won, salesforce: Closed Won, dynamics: Won}
  lost: {state: lost, salesforce: Closed Lost, dynamics: Canceled}
"""
    boxes = out_of_the_box()
    sales = boxes["right", "opportunity"]
    whole = replace(sales.columns["actualvalue"], scale=0)
    boxes["right", "opportunity"] = replace(sales, columns={**sales.columns, "actualvalue": whole})
    documents, _ = mapping.load({"opportunity.yaml": text})
    told = [str(f) for f in mapping.check(documents, boxes) if f.code == "decimals-undeclared"]
    assert told == [
        "opportunity.yaml:5:3: fields.amount: actualvalue in dynamics keeps 0 decimals of 2; if that loss is meant, add "
        "`lossy: dynamics` to this line [decimals-undeclared]"
    ]
