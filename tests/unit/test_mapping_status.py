"""The life-cycle tables: flags decide the state, labels find the row, the finer native value stays."""

import pytest

import mapping
from crmbridge.model import Life, Side
from mapping.vocabulary import fold
from tests.support.mapping_bench import compiled, facts, row
from tests.support.mapping_boxes import LEAD_PROCESS, OPPORTUNITY_PROCESS, STAGES, out_of_the_box

LEAD, OPPORTUNITY = compiled("lead"), compiled("opportunity")
QUALIFY, DEVELOP, PROPOSE, CLOSE = STAGES[LEAD_PROCESS].values()
BORN = {"process": LEAD_PROCESS, "process_born_from_lead": True}


def lead(side: Side, status: str | int | None, state: str | None = None, hint: str | None = None):
    life = Life(state=state, status=status)  # type: ignore[arg-type]
    shared = LEAD.get(side, row(side, "lead"), life, facts(), hint)
    return shared.state, shared.status, shared.contradiction is not None, [p.cause for p in shared.problems]


@pytest.mark.parametrize(
    ("side", "status", "state", "hint", "expected"),
    [
        ("left", "Open - Not Contacted", None, None, ("open", "new", False, [])),
        ("left", "Open-not Contacted", None, None, ("open", "new", False, [])),
        ("left", "Working – Contacted", None, None, ("open", "contacted", False, [])),
        ("left", "Closed – Not Converted", None, None, ("disqualified", "lost", False, [])),
        ("left", "Closed - Not Converted", None, "canceled", ("disqualified", "canceled", False, [])),
        ("left", "Closed - Not Converted", None, "new", ("disqualified", "lost", False, [])),
        ("left", "Closed – Converted", None, None, ("open", None, True, [])),  # L6
        ("left", "Closed - Converted", "converted", None, ("converted", "converted", False, [])),
        ("left", "Won it", "converted", None, ("converted", "converted", False, [])),
        ("left", "Nurturing", None, None, ("open", None, False, ["unmapped_status"])),
        ("right", 1, "open", None, ("open", "new", False, [])),
        ("right", 5, "disqualified", None, ("disqualified", "cannot_contact", False, [])),
        ("right", 3, "open", None, ("open", None, True, [])),
        ("right", 804240004, "disqualified", None, ("disqualified", None, False, ["unmapped_status"])),
        ("right", None, None, None, (None, None, False, [])),
    ],
)
def test_a_lead_is_read(
    side: Side, status: str | int | None, state: str | None, hint: str | None, expected: tuple[object, ...]
) -> None:
    assert lead(side, status, state, hint) == expected


def test_a_declared_alias_is_found_whatever_its_dash() -> None:
    assert fold("stängd–vunnit") == fold("Stängd - Vunnit") == fold("stängd−vunnit")
    text = """\
entity: opportunity
salesforce: {object: Opportunity}
dynamics: {table: opportunity}
fields: {name: {salesforce: Name, dynamics: name}}
stage:
  open: {state: open, salesforce: Prospecting, dynamics: [Qualify, Develop, Propose, Close]}
  won: {state: won, salesforce: [Closed Won, stängd–vunnit], dynamics: Won}
  lost: {state: lost, salesforce: Closed Lost, dynamics: [Canceled, Out-Sold]}
"""
    documents, problems = mapping.load({"o.yaml": text})
    assert not problems
    found = mapping.compile(documents, descriptions=out_of_the_box()).entities["opportunity"]
    life = Life(state="won", status="Stängd - vunnit")
    assert found.get("left", row("left", "opportunity"), life, facts()).status == "won"
    assert found.status_for("left", "won", life=life) == "Stängd - vunnit"


@pytest.mark.parametrize(
    ("life", "hint", "status"),
    [
        (Life(state="open", status=1), None, "develop"),
        (Life(state="open", status=3), None, "close"),
        (Life(state="won", status=3), None, "won"),
        (Life(state="lost", status=5), None, "out_sold"),
        (Life(state="open", status=PROPOSE, process=LEAD_PROCESS), None, "propose"),
        # The Develop trap: born from a lead, Develop also stands for Qualify, which is on the lead.
        (Life(state="open", status=DEVELOP, **BORN), "qualify", "qualify"),
        (Life(state="open", status=DEVELOP, **BORN), "develop", "develop"),
        (Life(state="open", status=DEVELOP, **BORN), None, "develop"),
        (Life(state="open", status=DEVELOP, **BORN), "propose", "develop"),
        (Life(state="open", status=DEVELOP, process=LEAD_PROCESS), "qualify", "develop"),
        (Life(state="open", status=QUALIFY, **BORN), "develop", "qualify"),
    ],
)
def test_a_stage_is_read_in_its_process(life: Life, hint: str | None, status: str) -> None:
    assert OPPORTUNITY.get("right", row("right", "opportunity"), life, facts(), hint).status == status


def test_statuses_to_write() -> None:
    assert LEAD.status_for("left", "cannot_contact") == "Closed - Not Converted"
    assert LEAD.status_for("right", "cannot_contact") == 5
    assert LEAD.status_for("right", "converted") is None
    assert (LEAD.converted_status("left"), LEAD.converted_status("right")) == ("Closed - Converted", 3)
    assert LEAD.first_open() == "new"
    assert LEAD.state_of("lost") == "disqualified"
    assert LEAD.row_for_state("left", "disqualified") == "lost"
    assert LEAD.row_for_state("left", "disqualified", Life(status="Closed - Not Converted")) == "lost"
    assert compiled("account").status_for("left", "new") is None
    assert list(OPPORTUNITY.status_rows()) == ["qualify", "develop", "propose", "close", "won", "canceled", "out_sold"]


def test_the_finer_stage_stays_and_the_last_open_one_comes_back() -> None:
    finer = Life(state="open", status="Id. Decision Makers")
    assert OPPORTUNITY.status_for("left", "develop", life=finer) == "Id. Decision Makers"
    assert OPPORTUNITY.status_for("left", "propose", life=finer) == "Perception Analysis"
    lost = Life(state="lost", status="Closed Lost")
    assert OPPORTUNITY.status_for("left", "develop", life=lost, last_open="Value Proposition") == "Value Proposition"
    assert OPPORTUNITY.status_for("left", "qualify", life=lost, last_open="Value Proposition") == "Prospecting"
    assert OPPORTUNITY.status_for("right", "develop", life=Life(state="lost", status=4), last_open="1") == 1


def test_a_stage_to_write_is_one_of_the_records_process() -> None:
    own = STAGES[OPPORTUNITY_PROCESS]
    for process, stage in ((None, 2), (LEAD_PROCESS, PROPOSE), (OPPORTUNITY_PROCESS, own["Propose"])):
        assert OPPORTUNITY.status_for("right", "propose", life=Life(state="open", process=process)) == stage
    born = Life(state="open", status=CLOSE, **BORN)
    assert OPPORTUNITY.status_for("right", "qualify", life=born) == DEVELOP
    assert OPPORTUNITY.status_for("right", "qualify", life=Life(state="open", status=DEVELOP, **BORN)) == DEVELOP
    assert OPPORTUNITY.status_for("right", "won", life=born) == 3
    assert OPPORTUNITY.status_for("right", "develop", life=Life(state="open", process="new_process")) == 1
