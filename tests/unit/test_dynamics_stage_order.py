"""The order of a process's stages: from its definition, else from a path walked, else by category."""

import json
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.dynamics.processes import PROCESS_TABLES, order_requests, process_requests, processes, with_order
from connectors.dynamics.stage_order import Stage, by_category, categories_tell, declared, in_order, path_ids


def stage(name: str, category: int | None = 0, table: str = "opportunity") -> Stage:
    return Stage(id=name, name=name.upper(), category=category, table=table)


def step(stage_id: str, after: str | None = None, **more: Any) -> dict[str, Any]:
    return {"__class": "StageStep:#x", "stageId": stage_id, "nextStageId": after, "steps": {"list": []}, **more}


def definition(*steps: dict[str, Any]) -> str:
    entity = {"__class": "EntityStep:#x", "steps": {"list": list(steps)}}
    return json.dumps({"__class": "WorkflowStep:#x", "steps": {"list": [entity]}})


def test_a_definition_is_read_along_the_next_stages() -> None:
    assert declared(definition(step("c"), step("a", "b"), step("b", "c"))) == ("a", "b", "c")


def test_a_definition_without_next_stages_is_read_as_it_stands() -> None:
    assert declared(definition(step("c"), step("a"), step("b"))) == ("c", "a", "b")


def test_a_branch_names_stages_that_are_not_its_own_place() -> None:
    branch = {"__class": "SetNextStageStep:#x", "stageId": "d"}
    steps = [step("a", steps={"list": [branch]}), step("b", "d"), step("c", "d"), step("d")]
    assert declared(definition(*steps)) == ("a", "b", "c", "d")


def test_a_ring_of_stages_ends() -> None:
    assert declared(definition(step("a", "b"), step("b", "c"), step("c", "b"))) == ("a", "b", "c")


def test_ids_are_compared_as_the_web_api_writes_them() -> None:
    assert declared(definition(step("{AB}", "CD"), step("cd"))) == ("ab", "cd")
    assert path_ids(" AB,cd, ") == ["ab", "cd"]


def test_what_tells_no_order_is_none() -> None:
    for text in (None, "", "<Activity/>", "[]", "3", '{"steps": null}', '{"__class": "StageStep:#x", "stageId": 3}'):
        assert declared(text) == ()


@given(st.permutations("abcdef"), st.integers(0, 6))
def test_what_is_told_comes_first_and_nothing_is_lost(told: list[str], known: int) -> None:
    stages = [stage(name, category) for category, name in enumerate("abcdef")]
    found = in_order(stages, told[:known])
    assert [each.id for each in found[:known]] == told[:known]
    assert [each.id for each in found[known:]] == sorted(told[known:])


def test_stages_that_are_no_longer_there_are_passed_over() -> None:
    assert [each.id for each in in_order([stage("a"), stage("b")], ["gone", "b", "b", "a"])] == ["b", "a"]


def test_categories_tell_only_where_each_is_one_stage() -> None:
    assert categories_tell([stage("a", 0), stage("b", 2)])
    assert not categories_tell([stage("a", 1), stage("b", 1)])
    assert not categories_tell([stage("a", None), stage("b", 1)])
    assert [each.id for each in by_category([stage("x", None), stage("c", 3), stage("a", 0)])] == ["a", "c", "x"]


# --- which processes --------------------------------------------------------------------------------------------------

ACTIVE, DRAFT = 1, 0
LEAD, DEAL = PROCESS_TABLES


def table(name: str, **lookups: str) -> dict[str, Any]:
    relations = [{"ReferencingAttribute": column, "ReferencedEntity": entity} for entity, column in lookups.items()]
    return {
        "LogicalName": name,
        "EntitySetName": f"{name}s",
        "PrimaryIdAttribute": "businessprocessflowinstanceid",
        "ChangeTrackingEnabled": True,
        "ManyToOneRelationships": [{"ReferencingAttribute": "processid", "ReferencedEntity": "workflow"}, *relations],
    }


def flow_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def answers(*made: tuple[dict[str, Any], int, list[tuple[str, int, str]]]) -> list[bytes]:
    flows = [
        {"workflowid": flow_id(about["LogicalName"]), "uniquename": about["LogicalName"], "statecode": state}
        for about, state, _ in made
    ]
    stages = [
        {
            "processstageid": name,
            "stagename": name,
            "stagecategory": category,
            "primaryentitytypecode": entity,
            "_processid_value": flow_id(about["LogicalName"]),
        }
        for about, _, some in made
        for name, category, entity in some
    ]
    return [json.dumps({"value": each}).encode() for each in ([about for about, *_ in made], flows, stages)]


SHIPPED = [
    (table(LEAD, lead="leadid", opportunity="opportunityid"), ACTIVE, [("q", 0, "lead"), ("d", 1, "opportunity")]),
    (table(DEAL, opportunity="opportunityid"), DRAFT, [("x", 0, "opportunity"), ("y", 1, "opportunity")]),
]


def test_the_products_own_processes_need_no_second_look() -> None:
    found = processes(answers(*SHIPPED))
    assert list(found) == [LEAD, DEAL]  # a draft of the product's is read, too
    assert all(each.ordered for each in found.values())
    assert (found[LEAD].from_lead, found[DEAL].from_lead) == (True, False)
    assert found[LEAD].lookups == {"lead": "leadid", "opportunity": "opportunityid"}
    assert len(process_requests()) == 3


def test_a_companys_own_is_found_if_it_is_active_and_about_opportunities() -> None:
    some = [("a", 1, "opportunity"), ("b", 1, "opportunity")]
    about = table("new_own", opportunity="bpf_opportunityid", lead="bpf_leadid")
    found = processes(
        answers(
            (about, ACTIVE, some),
            (table("new_draft", opportunity="bpf_opportunityid"), DRAFT, some),
            (table("new_case", incident="bpf_incidentid"), ACTIVE, [("c", 4, "incident")]),
            (table("new_lead", lead="bpf_leadid"), ACTIVE, [("l", 0, "lead")]),
            *SHIPPED,
        )
    )
    assert list(found) == [LEAD, DEAL, "new_own"]
    own = found["new_own"]
    assert own.lookups == {"lead": "bpf_leadid", "opportunity": "bpf_opportunityid"}
    assert not own.ordered


def test_a_shipped_one_with_two_stages_in_a_category_is_looked_at_too() -> None:
    edited = (SHIPPED[1][0], ACTIVE, [*SHIPPED[1][2], ("z", 1, "opportunity")])
    found = processes(answers(SHIPPED[0], edited))
    assert [each.table for each in found.values() if not each.ordered] == [DEAL]


def test_the_order_is_the_definitions_else_the_path_walked() -> None:
    some = [("c", 1, "opportunity"), ("b", 1, "opportunity"), ("a", 0, "opportunity")]
    own = processes(answers((table("new_own", opportunity="bpf_opportunityid"), ACTIVE, some)))["new_own"]
    assert len(order_requests([own])) == 2
    flow = {"workflowid": flow_id("new_own"), "uniquename": "new_own"}
    told = json.dumps({"value": [{**flow, "clientdata": definition(step("b", "a"), step("a", "c"), step("c"))}]})
    silent = json.dumps({"value": [{**flow, "clientdata": None}]})
    walked = json.dumps({"value": [{"traversedpath": "a,b"}]}).encode()
    for first, second, order in (
        (told.encode(), walked, "bac"),
        (silent.encode(), walked, "abc"),
        (silent.encode(), b'{"value": []}', "acb"),
        (None, None, "acb"),
    ):
        (ordered,) = with_order([own], [first, second])
        assert "".join(each.id for each in ordered.stages) == order
