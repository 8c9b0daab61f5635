"""Drafts of mappings, from descriptions made here: what is decided, what is asked, and that every draft can be read."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping
from connectors.base import Column, Description, Option
from crmbridge.model import ENTITIES, Entity, Side
from mapping.draft import draft
from mapping.draft_ends import folded

CONNECTIONS = {"salesforce": "salesforce", "dynamics": "dynamics"}
STAGES = (Option(value="Prospecting", label="Prospecting", state="open"),)
TABLES = {"salesforce": {e: e.title() for e in ENTITIES}, "dynamics": {e: e for e in ENTITIES}}


def described(
    entity: Entity,
    left: Sequence[Column],
    right: Sequence[Column],
    left_statuses: Sequence[Option] = (),
    right_statuses: Sequence[Option] = (),
) -> dict[tuple[Side, Entity], Any]:
    """Two systems that have these columns of one entity, and no other entity's."""
    found: dict[tuple[Side, Entity], Any] = {}
    for one in ENTITIES:
        here = one == entity
        found["left", one] = Description(
            entity=one,
            table=TABLES["salesforce"][one],
            columns={c.name: c for c in left} if here else {},
            statuses=tuple(left_statuses) if here else (),
        )
        found["right", one] = Description(
            entity=one,
            table=one,
            columns={c.name: c for c in right} if here else {},
            statuses=tuple(right_statuses) if here else (),
        )
    return found


def text(entity: Entity, left: Sequence[Column], right: Sequence[Column], **statuses: Sequence[Option]) -> str:
    files = draft(CONNECTIONS, described(entity, left, right, **statuses))
    return next(one.text for one in files if one.file == f"{entity}.yaml")


def column(name: str, kind: str = "text", **more: Any) -> Column:
    return Column(name=name, type=kind, **more)


def test_a_column_that_we_may_not_write_is_only_read_from_there() -> None:
    read_only = column("Phone", createable=False, updateable=False)
    lines = text("account", [read_only], [column("telephone1")])
    assert "  # likely: our user may not write it in salesforce\n  phone: {" in lines
    assert "phone: {salesforce: Phone, dynamics: telephone1, convert: phone, rule: salesforce}\n" in lines


def test_a_pair_that_nobody_may_write_is_asked() -> None:
    fixed = {"createable": False, "updateable": False}
    lines = text("account", [column("Phone", **fixed)], [column("telephone1", **fixed)])
    assert "# QUESTION: our user may write neither Phone nor telephone1\n  # phone: {" in lines


def test_a_standard_column_of_another_kind_is_asked() -> None:
    lines = text("account", [column("Fax", "lookup")], [column("fax")])
    assert "# QUESTION: Fax is a lookup field in salesforce, which 'phone' cannot hold" in lines
    assert "\n  fax:" not in lines


def test_what_is_lost_is_declared() -> None:
    lines = text("account", [column("AnnualRevenue", "money", scale=0)], [column("revenue", "money", scale=4)])
    assert "convert: money, lossy: salesforce}" in lines
    assert "salesforce keeps 0 decimals of 4" in lines


def test_a_value_whose_partner_is_gone_is_not_written_as_another_one() -> None:
    """Without Dynamics' 10 (Other), Salesforce's Other is not written as the next best."""
    left = column(
        "LeadSource", "choice", options=(Option(value="Web", label="Web"), Option(value="Other", label="Other"))
    )
    right = column("leadsourcecode", "choice", options=(Option(value=8, label="Web"), Option(value=6, label="Seminar")))
    lines = text("lead", [left], [right])
    assert "    web: {salesforce: Web, dynamics: 8}  # sure: Web\n" in lines
    assert "\n    other:" not in lines
    assert "'Other' of salesforce is in no row" in lines
    assert "'Seminar' (6) of dynamics is in no row" in lines


def test_a_value_that_was_switched_off_is_not_written() -> None:
    left = column("Rating", "choice", options=(Option(value="Hot", label="Hot"), Option(value="Cold", label="Cold")))
    right = column(
        "leadqualitycode", "choice", options=(Option(value=1, label="Hot", active=False), Option(value=3, label="Cold"))
    )
    lines = text("lead", [left], [right])
    assert "\n    cold:" in lines
    assert "\n    hot:" not in lines


def test_stages_of_several_processes_are_one_row_by_name_or_by_value() -> None:
    first, second = "f99b4d48-7aad-456e-864a-8e7d543f7495", "6b9ce798-221a-4260-90b2-2a95ed51a5bc"
    stages = (
        Option(value=first, label="Qualify", state="open", process="a"),
        Option(value=second, label="Check", state="open", process="b"),
        Option(value=0, label="Qualify", state="open"),
    )
    descriptions = described("opportunity", [], [], STAGES, stages)
    by_name, by_value = (
        next(one.text for one in draft(CONNECTIONS, descriptions, by_value=values) if one.file == "opportunity.yaml")
        for values in (False, True)
    )
    assert "dynamics: [Qualify, Check]}" in by_name
    assert f'dynamics: [{first}, "{second}", 0]' in by_value


def test_our_own_key_field_is_nobodys_partner() -> None:
    lines = text("account", [column("CrmBridge_Id__c")], [column("new_crmbridge_id")])
    assert "CrmBridge_Id__c" not in lines


# --- a draft can always be read, and says nothing more than it decides ------------------------------------------------

LABELS = st.text(
    alphabet=st.one_of(
        st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), st.sampled_from("\n\t:#'\"{}[],&*")
    ),
    min_size=1,
    max_size=24,
)


@settings(max_examples=60, deadline=None)
@given(
    left=st.lists(LABELS, max_size=4, unique=True),
    right=st.lists(LABELS, max_size=4, unique=True),
    stages=st.lists(LABELS, max_size=4, unique=True),
)
def test_whatever_people_call_their_values_a_draft_is_a_mapping(
    left: list[str], right: list[str], stages: list[str]
) -> None:
    ratings = tuple(Option(value=each, label=each) for each in left)
    codes = tuple(Option(value=100 + n, label=each) for n, each in enumerate(right))
    standard = [Option(value="Hot", label="Hot"), Option(value=1, label="Hot")]
    files = draft(
        CONNECTIONS,
        described(
            "lead",
            [column("LastName"), column("Rating", "choice", label="\n".join(left), options=(standard[0], *ratings))],
            [column("lastname"), column("leadqualitycode", "choice", options=(standard[1], *codes))],
            [Option(value="Open - Not Contacted", label=" ".join(stages) or "Open"), *ratings],
            [Option(value=1, label="New", state="open"), *codes],
        ),
    )
    documents, findings = mapping.load({one.file: one.text for one in files}, connections=CONNECTIONS)
    shape = [str(one) for one in findings if one.code not in ("value-missing", "key-missing", "axis-missing")]
    assert shape == []
    (lead,) = (one for one in documents if one.entity == "lead")
    assert set(lead.fields) == {"last_name", "rating"}
    assert {row.name for row in lead.values["rating"].rows} == {"hot"}
    assert [row.name for row in lead.status] == ["new"]


@pytest.mark.parametrize("width", [20, 60, 200])
def test_a_line_that_is_too_long_is_the_same_on_several(width: int) -> None:
    line = 'name: {a: [x, y], b: "c, d: \\"e\\"", c: {d: 1, e: 2}}'
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    assert yaml.load("\n".join(folded(line, width))) == yaml.load(line)
