"""Drafts for orgs that are not as they came out of the box: what is known is decided, what is not is asked."""

from pathlib import Path
from typing import Any

import pytest

from crmbridge.cli.shape import describe_shape
from mapping.draft import draft
from tests.support.drafts import SHAPES, drafted_pairs, existing, loaded, outside, pairs

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
