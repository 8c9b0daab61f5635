"""What is put on the other side is read back as what it was; what a mapping loses is listed."""

import mapping
from crmbridge.model import Entity
from mapping.cycles import cycle_findings
from tests.support.mapping_bench import MAPPINGS
from tests.support.mapping_boxes import out_of_the_box

HEAD = """\
entity: opportunity
salesforce: {object: Opportunity}
dynamics: {table: opportunity}
fields:
  name: {salesforce: Name, dynamics: name}
stage:
"""


def played(rows: str) -> list[str]:
    documents, problems = mapping.load({"opportunity.yaml": HEAD + rows})
    assert not problems
    return [str(f) for document in documents for f in cycle_findings(document, {})]


def test_the_shipped_tables_hold_still_with_and_without_options() -> None:
    documents, _ = mapping.load(MAPPINGS)
    boxes = out_of_the_box()
    for document in documents:
        options = {side: boxes[side, document.entity].statuses for side in ("left", "right")}
        assert list(cycle_findings(document, {})) == []
        assert list(cycle_findings(document, options)) == []  # type: ignore[arg-type]


def test_several_stages_of_one_row_hold_still() -> None:
    assert played(
        "  work: {state: open, salesforce: [A, B, C], dynamics: [One, Two]}\n"
        "  won: {state: won, salesforce: Won, dynamics: Won}\n"
        "  lost: {state: lost, salesforce: [Lost, Gone], dynamics: Lost}\n"
        "  spoiled: {state: lost, salesforce: Lost, dynamics: Spoiled, lossy: salesforce}\n"
    ) == []  # fmt: skip


def test_a_row_that_comes_back_as_another_is_told_once_at_its_line() -> None:
    found = played(
        "  work: {state: open, salesforce: A, dynamics: {any: One, Renewals: Two}}\n"
        "  more: {state: open, salesforce: B, dynamics: {any: Three, Renewals: One}}\n"
        "  won: {state: won, salesforce: Won, dynamics: Won}\n"
        "  lost: {state: lost, salesforce: Lost, dynamics: Lost}\n"
    )
    assert found == []  # a word may mean one row in a process and another elsewhere
    found = played(
        "  work: {state: open, salesforce: A, dynamics: One}\n  won: {state: won, salesforce: Won, dynamics: Won}\n"
    )
    assert len(found) == 1
    assert found[0].startswith("opportunity.yaml:6:1: stage: no row has `state: lost`: an opportunity that is lost")


def test_every_declared_loss_of_the_shipped_mappings_is_listed_with_its_line() -> None:
    documents, _ = mapping.load(MAPPINGS)
    listed: dict[Entity, list[str]] = {d.entity: [str(loss) for loss in mapping.losses(d)] for d in documents}
    declared = {d.entity: d.source.data for d in documents}
    for document in documents:
        text = (MAPPINGS / f"{document.entity}.yaml").read_text(encoding="utf-8")
        written = [line for line in text.splitlines() if "lossy:" in line.partition("#")[0]]
        assert len(listed[document.entity]) == len(written), declared[document.entity]
    lead = "\n".join(listed["lead"])
    assert "fields.revenue: salesforce: keeps fewer decimals" in lead
    assert "values.industry.banking: dynamics: writes 16, which is read as 'finance'" in lead
    assert "status.canceled: salesforce: writes 'Closed - Not Converted', which is read as 'lost' unless the" in lead
