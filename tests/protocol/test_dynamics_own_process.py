"""A company's own business process over HTTPS: found, polled and stepped through; the shape is an example's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from connectors.base import Conversion, Move, Write
from connectors.dynamics.connector import DynamicsConnector
from crmbridge.demo.people import DynamicsPerson
from crmbridge.model import Converted, Refused, Row, Written
from crmbridge.sandbox.server import Box, running_sandbox
from tests.protocol.test_dynamics_sandbox import connector, create, lead, life, poll, row
from tests.support.project import CHECKOUT

SHAPE = CHECKOUT / "config" / "examples" / "five-phases" / "shape.yaml"
TABLE, SET = "new_dealprocess", "new_dealprocesses"
NEW = "5f1f2a7e-6f0e-4c46-9d53-0d8f0a5b7c99"
PHASES = ["Discover", "Fit", "Proof", "Contract", "Handover"]


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with running_sandbox(SHAPE) as made:
        yield made


@pytest.fixture(scope="module")
def crm(box: Box) -> Iterator[DynamicsConnector]:
    made = connector(box)
    yield made
    made.close()


def stages(crm: DynamicsConnector, table: str = TABLE) -> dict[str, Any]:
    """Their ids by name, in the order in which the connector has them."""
    return {each.label: each.value for each in crm.describe("opportunity").statuses if each.process == table}


def step(crm: DynamicsConnector, deal: str, stage: Any) -> Row:
    (outcome,) = crm.moves([Move(entity="opportunity", kind="stage", id=deal, status=stage)])
    assert isinstance(outcome, Written), outcome
    assert outcome.row is not None
    return outcome.row


def path(row: Row) -> list[str]:
    (instance,) = row.extras["process"].values()
    return instance["path"].split(",")


def calls(box: Box) -> int:
    """All but logins: what a path or a definition is read from, too."""
    return sum(call["crm"] == "dynamics" and call["category"] != "login" for call in box.control.raw_calls())


def shape_with(folder: Path, **parts: Any) -> Path:
    shape = YAML(typ="safe", pure=True).load(SHAPE.read_text(encoding="utf-8"))
    shape["dynamics"] |= parts
    file = folder / "shape.yaml"
    with file.open("w", encoding="utf-8") as out:
        YAML(typ="safe", pure=True).dump(shape, out)
    return file


def test_it_is_known_with_its_stages_in_the_order_of_its_definition(crm: DynamicsConnector) -> None:
    assert list(stages(crm)) == PHASES
    names = {each.process_name for each in crm.describe("opportunity").statuses if each.process == TABLE}
    assert names == {"Deal Process"}
    assert SET in crm.side_tables("opportunity")


def test_it_is_found_with_one_more_call_and_the_products_own_with_none(box: Box, tmp_path: Path) -> None:
    costs: list[int] = []
    with running_sandbox("empty", state_dir=tmp_path) as plain:
        for each in (plain, box):
            made = connector(each)
            made.side_tables("opportunity")  # logs in and finds the processes
            each.control.forget_calls()
            made.side_tables("opportunity")
            assert calls(each) == 0  # remembered
            made.close()
            made = connector(each)
            each.control.forget_calls()
            made.side_tables("opportunity")
            costs.append(calls(each))
            made.close()
    assert costs == [1, 2]


def test_what_the_server_started_is_polled_and_followed_both_ways(box: Box, crm: DynamicsConnector) -> None:
    ids, cursor = stages(crm), poll(crm, SET, None)[1]
    order = list(ids.values())
    deal = create(crm, "opportunity", name="Deal")
    (page,), cursor = poll(crm, SET, cursor)
    (satellite,) = page.satellites
    assert (satellite.parent.entity, satellite.parent.id, satellite.values["table"]) == ("opportunity", deal, TABLE)
    place = life(crm, "opportunity", deal)
    assert (place.status, place.process, place.process_born_from_lead) == (ids["Discover"], TABLE, False)
    box.control.forget_calls()
    for goal in ("Handover", "Fit", "Proof", "Discover"):
        shown = step(crm, deal, ids[goal])
        assert crm.life(shown).status == ids[goal]
        assert path(shown) == order[: order.index(ids[goal]) + 1]
    assert calls(box) == 4 * 3  # a look, the path, the steps
    (page,), _ = poll(crm, SET, cursor)
    assert [each.id for each in page.satellites] == [satellite.id]


def test_many_are_stepped_in_the_same_three_calls(box: Box, crm: DynamicsConnector) -> None:
    ids, deals = stages(crm), [create(crm, "opportunity", name=f"Deal {n}") for n in range(4)]
    box.control.forget_calls()
    outcomes = crm.moves([Move(entity="opportunity", kind="stage", id=deal, status=ids["Proof"]) for deal in deals])
    assert all(isinstance(each, Written) for each in outcomes), outcomes
    assert calls(box) == 3
    assert {life(crm, "opportunity", deal).status for deal in deals} == {ids["Proof"]}


def test_a_reopened_one_is_stepped_on_in_it(crm: DynamicsConnector) -> None:
    ids, deal = stages(crm), create(crm, "opportunity", name="Deal")
    assert isinstance(crm.moves([Move(entity="opportunity", kind="lose", id=deal, status=4)])[0], Written)
    (outcome,) = crm.moves([Move(entity="opportunity", kind="reopen", id=deal, status=ids["Contract"])])
    assert isinstance(outcome, Written)
    assert life(crm, "opportunity", deal).status == ids["Contract"]


def test_a_stage_of_another_process_is_refused(crm: DynamicsConnector) -> None:
    deal, other = create(crm, "opportunity", name="Deal"), stages(crm, "opportunitysalesprocess")
    (outcome,) = crm.moves([Move(entity="opportunity", kind="stage", id=deal, status=other["Close"])])
    assert isinstance(outcome, Refused)
    assert (outcome.code, "new_dealprocess" in outcome.message) == ("0x80060452", True)


def test_a_sales_stage_that_two_phases_share_moves_nothing_between_them(crm: DynamicsConnector) -> None:
    ids, deal = stages(crm), create(crm, "opportunity", name="Deal")
    step(crm, deal, ids["Proof"])
    assert crm.life(step(crm, deal, 1)).status == ids["Proof"]


def test_where_no_process_runs_none_is_made(box: Box, crm: DynamicsConnector) -> None:
    ids = stages(crm)
    nothing = "00000000-0000-0000-0000-000000000000"
    token = box.control.people("dynamics", "ingrid.solberg@northfield.example")["access_token"]
    deal = DynamicsPerson(url=box.connect["dynamics"]["url"], token=token).create(
        "opportunities", name="Bare", processid=nothing
    )
    shown = step(crm, deal, ids["Contract"])
    assert (crm.life(shown).status, crm.life(shown).process) == (3, None)  # the stage's category
    assert not row(crm, "opportunity", deal).extras["process"]


def test_a_table_that_we_may_not_read_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    roles = {"System Administrator": {"tables": {TABLE: {"create": "organization", "read": "none"}}}}
    shape = shape_with(tmp_path, roles=roles)
    with running_sandbox(shape, state_dir=tmp_path / "box") as blind:
        made = connector(blind)
        assert SET not in made.side_tables("opportunity")
        (note,) = [each for each in made.describe("opportunity").notes if TABLE in each]
        assert "no right" in note
        (outcome,) = made.write([Write(kind="create", entity="opportunity", id=NEW, columns={"name": "Deal"})])
        assert isinstance(outcome, Written)
        made.close()


def test_one_that_begins_on_the_lead_goes_on_to_the_opportunity(tmp_path: Path) -> None:
    lookups = {
        "name": "absent",
        "bpf_name": {"type": "String", "max": 200},
        "bpf_leadid": {"type": "Lookup", "targets": ["lead"], "many": "bpf_lead_new_dealprocess"},
        "bpf_opportunityid": {"type": "Lookup", "targets": ["opportunity"], "many": "bpf_opportunity_new_dealprocess"},
    }
    process = YAML(typ="safe", pure=True).load(SHAPE.read_text(encoding="utf-8"))["dynamics"]["processes"][TABLE]
    process["stages"][0]["table"] = "lead"
    shape = shape_with(tmp_path, columns={TABLE: lookups}, processes={TABLE: process})
    with running_sandbox(shape, state_dir=tmp_path / "box") as box:
        made = connector(box)
        ids, lead_id = stages(made), lead(made)
        (page,), _ = poll(made, SET, None)
        assert [(each.parent.entity, each.parent.id) for each in page.satellites] == [("lead", lead_id)]
        done = made.convert(Conversion(lead_id=lead_id))
        assert isinstance(done, Converted)
        deal = str(done.opportunity_id)
        place = life(made, "opportunity", deal)
        assert (place.status, place.process, place.process_born_from_lead) == (ids["Fit"], TABLE, True)
        (outcome,) = made.moves([Move(entity="opportunity", kind="stage", id=deal, status=ids["Discover"])])
        assert isinstance(outcome, Refused)
        assert outcome.code == "0x80100002"
        assert made.life(step(made, deal, ids["Handover"])).status == ids["Handover"]
        made.close()
