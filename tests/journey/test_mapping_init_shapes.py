"""Drafts for orgs that are not as they came out of the box: what is known is decided, what is not is asked."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import mapping
from crmbridge.cli.shape import describe_shape
from mapping.draft import draft
from tests.support.drafts import SHAPES, drafted_pairs, existing, loaded, outside, pairs
from tests.support.project import CHECKOUT
from tests.support.vocabularies import (
    OWN_REASONS,
    OWN_STAGE,
    OWN_STAGES,
    OWN_STATUSES,
    dynamics_shape,
    salesforce_shape,
)

pytestmark = [pytest.mark.journey]


def made(shape: str, folder: Path, **more: Any) -> tuple[Any, Any, dict[str, str]]:
    connections, descriptions = describe_shape(SHAPES / f"{shape}.yaml")
    texts = {one.file: one.text for one in draft(connections, descriptions, **more)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return loaded(folder), descriptions, texts


def test_nine_of_ten_standard_pairs_are_mapped_on_a_customised_org_and_nothing_is_invented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents, descriptions, texts = made("customised", tmp_path)
    there, decided = existing(descriptions), drafted_pairs(documents)
    mapped = there & set(decided)
    share = len(mapped) / len(there)
    with capsys.disabled():
        print(f"\ndrafted on a customised org: {len(mapped)} of {len(there)} standard pairs ({share:.1%})")
    assert len(there) < len(pairs()), "the shape hides some"
    assert share >= 0.9, sorted(there - mapped)
    assert outside(documents, descriptions) == []
    assert all(decided[pair] == pairs()[pair] for pair in mapped)
    # What a company has of its own is asked: in a line that is ready but decides nothing.
    lead = texts["lead.yaml"]
    assert "  # segment: {salesforce: Segment__c, dynamics: new_segment, values: segment}\n" in lead
    assert "  # fax: {salesforce: Fax__c, dynamics: fax, convert: phone}\n" in lead
    assert "  # nurturing: {state: open, salesforce: Nurturing, dynamics: 804240001}\n" in lead
    assert "have no counterpart: new_score" in lead


@pytest.mark.parametrize(
    "shape", ["relabelled", "swedish", "japanese", "sixty_stages", "two_converted", "lost_flagged_won"]
)
def test_no_draft_of_a_foreign_vocabulary_decides_what_nobody_knows(shape: str, tmp_path: Path) -> None:
    documents, descriptions, _ = made(shape, tmp_path)
    assert outside(documents, descriptions) == []
    assert existing(descriptions) - set(drafted_pairs(documents)) <= {
        ("opportunity", "Probability", "closeprobability"),
        ("lead", "Rating", "leadqualitycode"),  # Swedish and Japanese ratings
    }


def test_a_name_that_its_flag_contradicts_is_asked(tmp_path: Path) -> None:
    documents, _, texts = made("lost_flagged_won", tmp_path)
    (deals,) = (one for one in documents if one.entity == "opportunity")
    assert {row.state for row in deals.status} == {"open"}
    asked = " ".join(line.strip("# ") for line in texts["opportunity.yaml"].splitlines())
    assert "'Closed Lost' of salesforce is called lost, but its flag says won" in asked
    assert "'Closed Won' of salesforce is called won, but its flag says lost" in asked


def test_a_question_becomes_a_line_by_taking_its_sign_away(tmp_path: Path) -> None:
    _, _, texts = made("customised", tmp_path)
    asked = "  # nurturing: {state: open"
    (tmp_path / "lead.yaml").write_text(texts["lead.yaml"].replace(asked, asked.replace("# ", "")), encoding="utf-8")
    (lead,) = (one for one in loaded(tmp_path) if one.entity == "lead")
    assert [row.name for row in lead.status][-1] == "nurturing"


TWO_ORGS = """
europe:
  system: salesforce
  extends: salesforce
  lead_statuses:
    - {label: Neu, api_name: Open - Not Contacted, default: true}
    - {label: Working - Contacted}
    - {label: Nurturing}
    - {label: Closed - Converted, converted: true}
    - {label: Closed - Not Converted}
  objects:
    Lead:
      fields:
        Segment__c: {type: picklist, length: 255, picklistValues: [Dairy, Bakery, Brewery]}
america:
  system: salesforce
  extends: salesforce
  objects:
    Lead:
      fields:
        Segment__c: {type: picklist, length: 255, picklistValues: [Dairy, Bakery, Brewery]}
"""
TWO_ENVIRONMENTS = """
production: {system: dynamics, extends: dynamics}
subsidiary:
  system: dynamics
  extends: dynamics
  columns: {lead: {statuscode: {options: {804240001: {label: Nurturing, state: 0}}}}}
"""


@pytest.mark.parametrize(("shapes", "system"), [(TWO_ORGS, "salesforce"), (TWO_ENVIRONMENTS, "dynamics")])
def test_two_systems_of_one_kind_are_drafted_by_what_is_the_same_in_both(
    shapes: str, system: str, tmp_path: Path
) -> None:
    (tmp_path / "shape.yaml").write_text(shapes, encoding="utf-8")
    connections, descriptions = describe_shape(tmp_path / "shape.yaml")
    assert set(connections.values()) == {system}
    files = draft(connections, descriptions)
    texts = {one.file: one.text for one in files}
    documents, problems = mapping.load(texts, connections=connections)
    assert [str(one) for one in problems] == []
    for document in documents:
        for doc in document.fields.values():
            assert doc.columns["left"] == doc.columns["right"], "standard fields have one name everywhere"
    found = [str(one) for one in mapping.check(documents, descriptions) if one.severity != "note"]
    assert [one for one in found if "Nurturing" not in one] == []
    assert len(found) == 1, "only one of the two has that status"
    lead = texts["lead.yaml"]
    assert "'Nurturing'" in lead
    if system == "salesforce":
        assert "  # segment: {europe: Segment__c, america: Segment__c, values: segment}\n" in lead
        assert "likely: 'Neu' (Open - Not Contacted) here" in lead


def test_the_how_to_shows_what_is_drafted(tmp_path: Path) -> None:
    _, _, texts = made("customised", tmp_path)
    page = (CHECKOUT / "docs" / "howto" / "start-a-mapping.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(shown.splitlines()) > 10
    for line in shown.splitlines():
        assert line in texts["lead.yaml"].splitlines(), line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  # newsletter: {", "  newsletter: {"),
        ("dynamics: jobtitle", "dynamics: salutation"),
        ("salesforce: Web, dynamics: 8", "salesforce: Web, dynamics: 9"),
        ("salesforce: Working - Contacted, dynamics: 2", "salesforce: Working - Contacted, dynamics: 4"),
    ],
)
def test_an_invention_would_be_found(before: str, after: str, tmp_path: Path) -> None:
    _, descriptions, texts = made("customised", tmp_path)
    assert before in texts["lead.yaml"]
    (tmp_path / "lead.yaml").write_text(texts["lead.yaml"].replace(before, after), encoding="utf-8")
    assert len(outside(loaded(tmp_path), descriptions)) == 1


def test_a_draft_for_real_vocabularies_decides_the_standard_and_asks_the_companys_own(tmp_path: Path) -> None:
    """Picklists of a real org, option sets of the schema documents, and the words that a company added."""
    path = tmp_path / "shape.yaml"
    with path.open("w", encoding="utf-8") as file:
        for crm, shape in (("salesforce", salesforce_shape()), ("dynamics", dynamics_shape())):
            YAML(typ="safe", pure=True).dump({crm: shape}, file)
    connections, descriptions = describe_shape(path)
    files = draft(connections, descriptions)
    for one in files:
        (tmp_path / one.file).write_text(one.text, encoding="utf-8")
    path.unlink()
    documents = loaded(tmp_path)
    assert outside(documents, descriptions) == []
    assert existing(descriptions) - set(drafted_pairs(documents)) == {
        ("opportunity", "Probability", "closeprobability")
    }
    asked = {" ".join(line.comment for line in one.statuses if not line.active) for one in files if one.statuses}
    own = [label for label, *_ in (*OWN_STATUSES, *OWN_STAGES)]
    own += [label for reasons in OWN_REASONS.values() for _, label, _ in reasons]
    for label in (*own, OWN_STAGE["name"]):
        assert any(f"'{label}'" in text for text in asked), label
    warned = [one for one in mapping.check(documents, descriptions) if one.severity != "note"]
    assert {one.code for one in warned} == {"status-unmapped"}
    assert {one.severity for one in warned} == {"warning"}
