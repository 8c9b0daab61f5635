"""The mappings we ship: free of problems against both CRMs out of the box, and against recorded describes."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest

import mapping
from connectors.base import Column, Option
from mapping.editor import editor_examples_schema, editor_schema, editor_values_schema
from mapping.examples import SUFFIX, beside, examples_of
from mapping.examples_schema import examples_file_schema
from mapping.given import Reader
from mapping.source import read_file
from mapping.trial import run
from tests.support.mapping_bench import MAPPINGS
from tests.support.mapping_boxes import out_of_the_box

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "sf-describe"
TYPES = {
    "picklist": "choice", "currency": "money", "reference": "lookup", "int": "integer", "double": "number",
    "percent": "number", "date": "date", "datetime": "datetime", "boolean": "boolean", "id": "id",
}  # fmt: skip


def test_no_problem_and_no_warning_out_of_the_box() -> None:
    documents, problems = mapping.load(MAPPINGS)
    assert problems == ()
    assert mapping.check(documents) == []
    assert [str(f) for f in mapping.check(documents, out_of_the_box())] == []
    assert set(mapping.compile(documents, descriptions=out_of_the_box()).entities) == {
        "account", "contact", "lead", "opportunity",
    }  # fmt: skip


def test_the_commented_lines_are_right_too() -> None:
    """What an admin uncomments must load: each example line in a comment is shape-clean."""
    for file in _entity_files():
        lines = file.read_text().splitlines()
        text = "\n".join(
            line.replace("  # ", "  ", 1) if line.startswith("  # ") and ": {salesforce: " in line else line
            for line in lines
        )
        _, problems = mapping.load({file.name: text})
        assert [str(p) for p in problems] == []


def test_the_shipped_schema_is_the_generated_one_and_the_mappings_fit_it() -> None:
    shipped = json.loads((MAPPINGS.parent / "mapping.schema.json").read_text())
    assert shipped == editor_schema(), "write mapping.editor.editor_schema() to config/mapping.schema.json"
    validator = jsonschema_rs.validator_for(shipped)
    for file in _entity_files():
        validator.validate(read_file(file).data)


def test_the_schemas_of_values_and_examples_are_the_generated_ones_and_know_their_files() -> None:
    config = MAPPINGS.parent
    values, examples = (json.loads((config / f"{name}.schema.json").read_text()) for name in ("values", "examples"))
    assert values == editor_values_schema(), "write mapping.editor.editor_values_schema() to config/values.schema.json"
    assert examples == editor_examples_schema(), "write editor_examples_schema() to config/examples.schema.json"
    jsonschema_rs.validator_for(examples).validate(read_file(MAPPINGS / "lead.examples.yaml").data)
    known = jsonschema_rs.validator_for(values)
    known.validate({"values": {"rating": {"hot": {"salesforce": "Hot", "dynamics": 1}, "unmapped": "pass"}}})
    assert not known.is_valid({"values": {"rating": {"hot": {"salesforce": "Hot", "dynamic": 1}}}})
    assert not jsonschema_rs.validator_for(examples).is_valid({"examples": [{"name": "a", "given": {}, "expects": {}}]})
    other = editor_values_schema({"emea": "salesforce", "apac": "salesforce"})
    jsonschema_rs.validator_for(other).validate({"values": {"rating": {"hot": {"emea": "Hot", "apac": "Hot"}}}})


def test_the_shipped_examples_fit_their_shape_and_come_out_as_they_say() -> None:
    documents, _ = mapping.load(MAPPINGS)
    validator = jsonschema_rs.validator_for(examples_file_schema(documents.connections))
    boxes = out_of_the_box()
    files = sorted(MAPPINGS.glob("*.examples.yaml"))
    assert files
    for described in ({}, boxes):
        compiled = mapping.compile(documents, descriptions=described or None)
        for file in files:
            validator.validate(read_file(file).data)
            document = next(one for one in documents if beside(one.source.file) == file)
            examples, findings = examples_of(document, read_file(file))
            assert findings == []
            mine = {side: one for (side, entity), one in described.items() if entity == document.entity}
            reader = Reader(document=document, compiled=compiled.entities[document.entity], descriptions=mine)
            assert [(one.name, run(reader, one).misses) for one in examples] == [(one.name, ()) for one in examples]


def _entity_files() -> list[Path]:
    return [file for file in sorted(MAPPINGS.glob("*.yaml")) if not file.name.endswith(SUFFIX)]


def test_every_out_of_the_box_value_has_its_row() -> None:
    """Every industry, source, status reason and stage of both sides is read by some row: no warning names one."""
    documents, _ = mapping.load(MAPPINGS)
    boxes = out_of_the_box()
    lead = boxes["right", "lead"]
    more = (*lead.statuses, Option(value=804240004, label="Duplicate", state="disqualified"))
    boxes["right", "lead"] = replace(lead, statuses=more)
    (warning,) = mapping.check(documents, boxes)
    assert warning.severity == "warning"
    assert "dynamics's 'Duplicate' (804240004) is not mapped: records that have it are held" in str(warning)


@pytest.mark.skipif(not RECORDED.exists(), reason="recorded describes are not beside the checkout")
@pytest.mark.parametrize("entity", ["account", "contact", "lead", "opportunity"])
def test_against_recorded_describes(entity: str) -> None:
    described = json.loads(gzip.decompress((RECORDED / f"{entity.title()}_describe.json.gz").read_bytes()))
    columns = {
        f["name"]: Column(
            name=f["name"],
            type=TYPES.get(f["type"], "text"),
            length=f["length"] or None,
            scale=f["scale"] if f["type"] in ("currency", "double", "percent") else None,
            required=f["createable"] and not f["nillable"] and not f["defaultedOnCreate"],
            createable=f["createable"],
            updateable=f["updateable"],
            restricted=f["restrictedPicklist"],
            options=tuple(
                Option(value=v["value"], label=v["label"], active=v["active"])
                for v in f["picklistValues"]
                if v["active"]
            ),
            targets=tuple(f["referenceTo"]),
        )
        for f in described["fields"]
    }
    boxes = out_of_the_box()
    boxes["left", entity] = replace(boxes["left", entity], columns=columns)  # type: ignore[index]
    documents, _ = mapping.load(MAPPINGS)
    errors = [str(f) for f in mapping.check(documents, boxes) if f.severity == "error"]
    assert errors == []
