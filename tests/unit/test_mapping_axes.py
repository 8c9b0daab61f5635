"""Words per record type and process, reasons, on hold, gates: what is read, what is written, what is refused."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

import mapping
from connectors.base import Column, Description, Option, RecordType
from crmbridge.errors import ConfigError
from crmbridge.model import Entity, Life, Ref, Row, Side
from mapping.translate import CompiledEntity
from tests.support.mapping_bench import facts
from tests.support.mapping_boxes import LEAD_PROCESS, OPPORTUNITY_PROCESS, STAGES, out_of_the_box

HEAD: Mapping[Entity, str] = {
    "lead": """\
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
fields:
  last_name: {salesforce: LastName, dynamics: lastname}
  company: {salesforce: Company, dynamics: companyname}
  email: {salesforce: Email, dynamics: emailaddress1, convert: email}
""",
    "opportunity": """\
entity: opportunity
salesforce: {object: Opportunity}
dynamics: {table: opportunity}
fields:
  name: {salesforce: Name, dynamics: name}
  close_date: {salesforce: CloseDate, dynamics: estimatedclosedate, convert: date}
  description: {salesforce: Description, dynamics: description}
""",
}
STAGE = """\
stage:
  qualify: {state: open, salesforce: [Prospecting, Qualification], dynamics: Qualify}
  develop: {state: open, salesforce: Needs Analysis, dynamics: Develop}
  propose: {state: open, salesforce: Proposal/Price Quote, dynamics: Propose}
  close: {state: open, salesforce: Negotiation/Review, dynamics: Close}
  won: {state: won, salesforce: Closed Won, dynamics: Won}
  canceled: {state: lost, salesforce: Closed Lost, dynamics: Canceled}
  out_sold: {state: lost, salesforce: Closed Lost, dynamics: Out-Sold, lossy: salesforce}
"""
STATUS = """\
status:
  new: {state: open, salesforce: Open - Not Contacted, dynamics: New}
  contacted: {state: open, salesforce: Working - Contacted, dynamics: Contacted}
  converted: {state: converted, salesforce: Closed - Converted, dynamics: Qualified}
  lost:
    {state: disqualified, salesforce: Closed - Not Converted,
     dynamics: [Lost, Cannot Contact, No Longer Interested, Canceled]}
"""
AXES: Mapping[Entity, str] = {"lead": STATUS, "opportunity": STAGE}


def boxes(**changes: Any) -> dict[tuple[Side, Entity], Description]:
    """Out of the box, but for these parts of Salesforce's description of both kinds."""
    found = dict(out_of_the_box())
    for entity in ("lead", "opportunity"):
        box = found["left", entity]
        columns = {**box.columns, **changes.get("columns", {})}
        more = {name: value for name, value in changes.items() if name != "columns"}
        found["left", entity] = replace(box, columns=columns, **more)
    return found


def told(
    entity: Entity, *changes: tuple[str, str], more: str = "", live: Mapping[Any, Description] | None = None
) -> dict[str, str]:
    """Code -> message of what is found fault with."""
    text = AXES[entity]
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    documents, shape = mapping.load({f"{entity}.yaml": HEAD[entity] + text + more})
    found = [*shape, *mapping.check(list(documents), live)]
    return {one.code: str(one) for one in found}


def compiled(
    entity: Entity, *changes: tuple[str, str], more: str = "", live: Mapping[Any, Description] | None = None
) -> CompiledEntity:
    text = AXES[entity]
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    documents, shape = mapping.load({f"{entity}.yaml": HEAD[entity] + text + more})
    assert not shape, shape
    return mapping.compile(list(documents), descriptions=live).entities[entity]


def row(one: CompiledEntity, side: Side, **columns: Any) -> Row:
    values = mapping.row_struct("R", one.columns(side))(**columns)
    return Row(
        ref=Ref(side=side, entity=one.entity, id="1"), version="1", created_at=None, modified_at=None, values=values
    )


def read(one: CompiledEntity, side: Side, life: Life, hint: str | None = None, **columns: Any) -> Any:
    return one.get(side, row(one, side, **columns), life, facts(), hint)


# --- kinds --------------------------------------------------------------------------------------------------------

BY_PROCESS = (
    (
        "dynamics: Develop}",
        f"dynamics: {{any: Develop, {OPPORTUNITY_PROCESS}: Propose}}}}",
    ),
    ("dynamics: Propose}", f"dynamics: {{any: Propose, {OPPORTUNITY_PROCESS}: Develop}}}}"),
)


def test_a_stage_means_another_row_in_another_process() -> None:
    one = compiled("opportunity", *BY_PROCESS, live=boxes())
    own, born = STAGES[OPPORTUNITY_PROCESS], STAGES[LEAD_PROCESS]
    for process, stages, names in (
        (OPPORTUNITY_PROCESS, own, ("propose", "develop")),
        (LEAD_PROCESS, born, ("develop", "propose")),
    ):
        for label, name in zip(("Develop", "Propose"), names, strict=True):
            life = Life(state="open", status=stages[label], process=process)
            assert read(one, "right", life).status == name
            assert one.status_for("right", name, life=Life(state="open", process=process)) == stages[label]


def test_a_process_may_be_called_by_the_name_that_people_use() -> None:
    found = boxes()
    box = found["right", "opportunity"]
    statuses = tuple(
        replace(each, process_name="Opportunity Sales Process") if each.process == OPPORTUNITY_PROCESS else each
        for each in box.statuses
    )
    found["right", "opportunity"] = replace(box, statuses=statuses)
    changes = [
        (before, after.replace(OPPORTUNITY_PROCESS, "opportunity sales process")) for before, after in BY_PROCESS
    ]
    one = compiled("opportunity", *changes, live=found)
    life = Life(state="open", process=OPPORTUNITY_PROCESS)
    assert one.status_for("right", "develop", life=life) == STAGES[OPPORTUNITY_PROCESS]["Propose"]
    assert "process-unknown" in told(
        "opportunity", ("dynamics: Develop}", "dynamics: {any: Develop, Sale: Close}}"), live=found
    )


RENEWAL = (
    "salesforce: [Prospecting, Qualification]",
    "salesforce: {any: [Prospecting, Qualification], Renewal: Review}",
)


def test_a_word_of_a_record_type_is_read_by_the_others_too_but_not_written() -> None:
    one = compiled("opportunity", RENEWAL)
    assert "RecordTypeId" in one.columns("left")
    for kind in ("Renewal", "renewal", "Other", None):
        life = Life(state="open", status="Review", record_type=kind)
        assert read(one, "left", life).status == "qualify"
    assert one.status_for("left", "qualify", life=Life(state="open", record_type="Renewal")) == "Review"
    assert one.status_for("left", "qualify", life=Life(state="open", record_type="Other")) == "Prospecting"
    assert "RecordTypeId" not in compiled("opportunity").columns("left")


def test_one_word_for_two_rows_of_a_record_type_is_a_loss_that_must_be_declared() -> None:
    twice = ("salesforce: [Prospecting, Qualification]", "salesforce: {any: Prospecting, Renewal: Needs Analysis}")
    found = told("opportunity", twice)["loss-undeclared"]
    assert "develop" in found
    assert "qualify" in found
    assert "loss-undeclared" not in told(
        "opportunity", twice, ("salesforce: Needs Analysis,", "salesforce: {any: Needs Analysis, Renewal: Other},")
    )


def test_the_converted_status_is_the_record_types() -> None:
    one = compiled(
        "lead", ("salesforce: Closed - Converted", "salesforce: {any: Closed - Converted, Partner: Handed Over}")
    )
    assert one.converted_status("left", Life(record_type="Partner")) == "Handed Over"
    assert one.converted_status("left", Life(record_type="Other")) == "Closed - Converted"
    assert one.converted_status("left") == "Closed - Converted"


# --- reasons, on hold ---------------------------------------------------------------------------------------------

REASON = (
    (
        "salesforce: Closed Lost, dynamics: Canceled",
        "salesforce: Closed Lost, reason: {salesforce: Gone}, dynamics: Canceled",
    ),
    (
        "salesforce: Closed Lost, dynamics: Out-Sold, lossy: salesforce",
        "salesforce: Closed Lost, reason: {salesforce: [Rival, Price]}, dynamics: Out-Sold",
    ),
)
COLUMN = "reason: {salesforce: Why__c}\n"


@pytest.mark.parametrize(
    ("reason", "hint", "status"),
    [
        ("Price", None, "out_sold"),
        ("rival", "canceled", "out_sold"),
        ("Gone", None, "canceled"),
        (None, None, "canceled"),
        (None, "out_sold", "out_sold"),
        ("  ", "out_sold", "out_sold"),
        ("Rain", "out_sold", None),
    ],
)
def test_a_reason_tells_rows_apart(reason: str | None, hint: str | None, status: str | None) -> None:
    one = compiled("opportunity", *REASON, more=COLUMN)
    found = read(one, "left", Life(state="lost", status="Closed Lost"), hint, Why__c=reason)
    assert found.status == status
    assert found.state == "lost"
    assert [problem.cause for problem in found.problems] == ([] if status else ["unmapped_reason"])
    assert reason is None or all(reason not in problem.message for problem in found.problems)


def test_what_is_written_as_a_reason() -> None:
    one = compiled("opportunity", *REASON, more=COLUMN)
    for status, now, written in (
        ("out_sold", None, {"Why__c": "Rival"}),
        ("out_sold", "Price", {}),
        ("out_sold", "Gone", {"Why__c": "Rival"}),
        ("won", "Gone", {"Why__c": None}),
        ("won", "Rain", {}),
        ("won", None, {}),
    ):
        assert one.reason_columns("left", status, row(one, "left", Why__c=now)) == written
    assert one.reason_columns("right", "out_sold", None) == {}


def test_reasons_are_the_loss_declared_no_more() -> None:
    assert "loss-undeclared" not in told("opportunity", *REASON, more=COLUMN)
    same = (REASON[0], (REASON[1][0], REASON[1][1].replace("[Rival, Price]", "Gone")))
    assert "loss-undeclared" in told("opportunity", *same, more=COLUMN)
    assert "reason-without-column" in told("opportunity", *REASON)
    assert "reason-unused" in told("opportunity", more=COLUMN)
    assert "column-twice" in told("opportunity", *REASON, more="reason: {salesforce: Description}\n")


def test_a_stage_for_on_hold_stands_where_the_record_stood() -> None:
    more = "on_hold: {salesforce: {stage: On Hold}}\n"
    one = compiled("opportunity", more=more)
    life = Life(state="open", status="on hold")
    assert (read(one, "left", life, "propose").status, read(one, "left", life, "propose").on_hold) == ("propose", True)
    assert read(one, "left", life, "won").status == "qualify"
    assert read(one, "left", life).status == "qualify"
    assert "on-hold-stage-in-row" in told("opportunity", ("Prospecting", "On Hold"), more=more)
    assert "on-hold-known" in told("opportunity", more="on_hold: {dynamics: new_hold}\n")
    assert "axis-misplaced" in told("lead", more="on_hold: {salesforce: On_Hold__c}\n")


# --- gates and record types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("gates: {proposal: {needs: [description]}}\n", "gate-unknown"),
        ("gates: {conversion: {needs: [description]}}\n", "gate-unknown"),
        ("gates: {qualify: {needs: [description]}}\n", "gate-at-start"),
        ("gates: {propose: {needs: [describtion]}}\n", "gate-field-unknown"),
        ("gates: {propose: {needs: []}}\n", "list-empty"),
        ("gates: {propose: {message: Do it}}\n", "key-missing"),
        ("gates: {propose: {needs: [name], when: 'nmae == \"x\"'}}\n", "expression-wrong"),
        ("record_type: {dynamics: Standard}\n", "record-type-misplaced"),
        ("record_type: {salesforce: {}}\n", "record-type-empty"),
        ("record_type: {salesforce: {when: [{if: 'nmae == \"x\"', use: A}]}}\n", "expression-wrong"),
    ],
)
def test_gates_and_record_types_that_cannot_be(more: str, code: str) -> None:
    assert code in told("opportunity", more=more)


def test_a_record_type_is_chosen_by_the_record_and_written_by_its_id() -> None:
    more = "record_type: {salesforce: {when: [{if: 'name == \"big\"', use: Key}], else: Standard}}\n"
    types = (RecordType(id="012K", name="Key"), RecordType(id="012S", name="Standard"))
    live = boxes(record_types=types, columns={"RecordTypeId": Column(name="RecordTypeId", type="lookup")})
    one = compiled("opportunity", more=more, live=live)
    for name, id in (("big", "012K"), ("small", "012S"), (None, "012S")):
        whole = read(one, "right", Life(state="open", status=0), name=name)
        put = one.put("left", whole.fields, facts=facts(), current=None, life=None, state="open", whole=whole)
        assert put.columns["RecordTypeId"] == id
        assert one.record_type_of("left", whole, row(one, "left", RecordTypeId="012S")) == (
            {} if id == "012S" else {"RecordTypeId": id}
        )


# --- what the CRMs really have ------------------------------------------------------------------------------------


def test_live_names_record_types_that_are_not_there_or_lack_a_status() -> None:
    types = (
        RecordType(id="1", name="Renewal", offers={"StageName": ("Review", "Closed Won", "Closed Lost")}),
        RecordType(id="2", name="Old", active=False),
    )
    review = Option(value="Review", label="Review", state="open")
    box = boxes()["left", "opportunity"]
    live = boxes(record_types=types, columns={"RecordTypeId": Column(name="RecordTypeId", type="lookup")})
    live["left", "opportunity"] = replace(live["left", "opportunity"], statuses=(*box.statuses, review))
    found = told("opportunity", RENEWAL, live=live)
    assert (
        "'Needs Analysis'" in found["record-type-lacks-status"] or "'Negotiation" in found["record-type-lacks-status"]
    )
    assert "record-type-unknown" not in found
    wrong = (RENEWAL[0], RENEWAL[1].replace("Renewal", "Renewals"))
    assert "did you mean 'Renewal'" in told("opportunity", wrong, live=live)["record-type-unknown"]
    assert (
        "switched off"
        in told("opportunity", more="record_type: {salesforce: Old}\n", live=live)["record-type-unavailable"]
    )


def test_live_names_open_and_missing_converted_statuses() -> None:
    second = Option(value="Handed Over", label="Handed Over", state="converted")
    statuses = (*boxes()["left", "lead"].statuses, second)
    unsaid = ("salesforce: Closed - Converted, ", "")
    assert "several converted statuses" in told("lead", unsaid, live=boxes(statuses=statuses))["converted-status-open"]
    assert "converted-status-open" not in told("lead", live=boxes(statuses=statuses))
    open_ones = ("Open - Not Contacted", "Working - Contacted", "Closed - Not Converted")
    types = (
        RecordType(id="1", name="None", offers={"Status": open_ones}),
        RecordType(id="2", name="Partner", offers={"Status": (*open_ones, "Handed Over")}),
    )
    found = told("lead", live=boxes(statuses=statuses, record_types=types))
    assert "None has no converted status" in found["converted-status-none"]
    assert "Partner does not offer 'Closed - Converted'" in found["converted-status-not-offered"]
    by_type = ("salesforce: Closed - Converted", "salesforce: {any: Closed - Converted, Partner: Handed Over}")
    assert "converted-status-not-offered" not in told(
        "lead", by_type, live=boxes(statuses=statuses, record_types=types)
    )


SIXTY = tuple(f"Step {number}" for number in range(1, 58))


def sixty() -> dict[tuple[Side, Entity], Description]:
    """57 open stages, a won one, a lost one, and a lost one that is flagged won."""
    stages = (
        *(Option(value=name, label=name, state="open") for name in SIXTY),
        Option(value="Closed Won", label="Closed Won", state="won"),
        Option(value="Closed Lost", label="Closed Lost", state="lost"),
        Option(value="Lost to Ourselves", label="Lost to Ourselves", state="won"),
    )
    return boxes(statuses=stages)


def many(*names: str) -> str:
    return f"salesforce: [{', '.join(names)}]"


SIXTY_TO_FOUR = (
    ("salesforce: [Prospecting, Qualification]", many(*SIXTY[:10])),
    ("salesforce: Needs Analysis", many(*SIXTY[10:30])),
    ("salesforce: Proposal/Price Quote", many(*SIXTY[30:50])),
    ("salesforce: Negotiation/Review", many(*SIXTY[50:])),
)


def test_sixty_stages_are_four_and_each_stays_where_it_is() -> None:
    one = compiled("opportunity", *SIXTY_TO_FOUR, live=sixty())
    rows = ["qualify"] * 10 + ["develop"] * 20 + ["propose"] * 20 + ["close"] * 7
    firsts = {"qualify": SIXTY[0], "develop": SIXTY[10], "propose": SIXTY[30], "close": SIXTY[50]}
    for stage, name in zip(SIXTY, rows, strict=True):
        life = Life(state="open", status=stage)
        assert read(one, "left", life).status == name
        for wanted, first in firsts.items():
            assert one.status_for("left", wanted, life=life) == (stage if wanted == name else first)
        # Reopened, it comes back to the stage it had, while that still belongs to the row.
        closed = Life(state="lost", status="Closed Lost")
        assert one.status_for("left", name, life=closed, last_open=stage) == stage


def test_a_lost_stage_flagged_won_is_won_and_the_check_says_so() -> None:
    live = sixty()
    with pytest.raises(ConfigError, match="own flag makes 'Lost to Ourselves' won"):
        compiled(
            "opportunity",
            *SIXTY_TO_FOUR,
            ("Closed Lost, dynamics: Canceled", "[Closed Lost, Lost to Ourselves], dynamics: Canceled"),
            live=live,
        )
    one = compiled("opportunity", *SIXTY_TO_FOUR, ("Closed Won,", "[Closed Won, Lost to Ourselves],"), live=live)
    found = read(one, "left", Life(state="won", status="Lost to Ourselves"))
    assert (found.state, found.status, found.contradiction) == ("won", "won", None)
    assert (
        "'Lost to Ourselves' is called lost, but its flag says won"
        in told("opportunity", live=live)["lost-flagged-won"]
    )


@pytest.mark.parametrize("label", ["Closed Won Abroad", "Gewonnen", "Stängd – Vunnen", "受注"])
def test_a_stage_called_won_and_not_flagged_so_is_told(label: str) -> None:
    stages = (*boxes()["left", "opportunity"].statuses, Option(value="X", label=label, state="lost"))
    assert label in told("opportunity", live=boxes(statuses=stages))["won-not-flagged"]


@pytest.mark.parametrize("label", ["Not Won", "Wonderful", "Win-Back Candidate"])
def test_other_stages_are_not(label: str) -> None:
    stages = (*boxes()["left", "opportunity"].statuses, Option(value="X", label=label, state="open"))
    assert "won-not-flagged" not in told("opportunity", live=boxes(statuses=stages))


def test_out_of_the_box_nothing_of_this_is_told() -> None:
    assert not {"won-not-flagged", "lost-flagged-won"} & set(told("opportunity", live=boxes()))
    assert not {"converted-status-open", "converted-status-none"} & set(told("lead", live=boxes()))
