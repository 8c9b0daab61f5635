"""What a person gives the sandbox and is wrong is told with the file, the line and what to write instead (exit 2)."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crmbridge.cli.sandbox import sandbox_command
from crmbridge.sandbox.dynamics import shape_file
from crmbridge.sandbox.dynamics.shape import ShapeError as DynamicsShapeError
from crmbridge.sandbox.marks import UnreadableFile, read_yaml, spot_of
from crmbridge.sandbox.salesforce import shape as salesforce_shape
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.seed import SeedError

YAML_FILES = [
    (b"a: [1\n", ":2:1: cannot be read: expected ',' or ']'"),
    (b"a: 1\na: 2\n", ":2:1: cannot be read: found duplicate key"),
    (b"\xff\xfe", " cannot be read: byte 1 is not UTF-8"),
    (b"a: \x07\n", ""),
    (b"a: 2026-02-31\n", ""),
]
SHAPES = [
    ("a text", "does not say which CRM it shapes"),
    ("- 1\n", "does not say which CRM it shapes"),
    ("", "does not say which CRM it shapes"),
    ("salesforce: 5\n", "does not say which CRM it shapes"),
    ("extends: salesforce\nobjects: 7\n", ":2:10: objects must be a mapping"),
    ("salesforce:\n  objects: {Lead: {fields: {X__c: {type: [a]}}}}\n", "objects.Lead.fields.X__c.type: a text is"),
    (
        "extends: salesforce\nobjects:\n  Lead:\n    fields:\n      X__c: {type: picklist, picklistValues: 5}\n",
        ":5:46: objects.Lead.fields.X__c.picklistValues: a list is expected, not 5",
    ),
    ("extends: salesforce\nlead_statuses: [{api_name: a}]\n", "lead_statuses.0: label is missing"),
    ("extends: salesforce\nobjects: {User: absent}\n", ":2:10: objects: User is missing"),
    ("extends: dynamics\ntables:\n  lead: 5\n", ":3:3: tables.lead: a mapping is expected, not 5"),
    ("extends: dynamics\ntabels: {}\n", "unknown key 'tabels'"),
    ("dynamics: {columns: {}}\n", ": organization is missing"),
    (
        "dynamics:\n  extends: dynamics\n  columns:\n    lead:\n      new_x: {type: Sting}\n",
        ":5:15: columns.lead.new_x.type: one of String,",
    ),
    ("extends: dynamics\ncolumns: {leed: {a: {type: String}}}\n", ":2:11: columns.leed: there is no table 'leed'"),
    ("extends: dynamics\ncolumns: {lead: {a: {type: Lookup}}}\n", "columns.lead.a: targets is missing"),
    (
        "extends: dynamics\ncolumns: {lead: {a: {type: Lookup, targets: [nope]}}}\n",
        "columns.lead.a: target table 'nope' is not defined",
    ),
    ("extends: dynamics\ncolumns: {lead: {a: {type: String, max: many}}}\n", "columns.lead.a.max: a number is"),
    ("extends: dynamics\norganization: {language: english}\n", "organization.language: a whole number is expected"),
    ("extends: dynamics\nrules: [{table: leed, when: 'a', message: m}]\n", ":2:9: rules.0: there is no table 'leed'"),
    (
        "extends: dynamics\nrules: [{table: lead, when: nope eq 1, message: m}]\n",
        "rules.0.when: 'nope eq 1' is no condition: Could not find a property named 'nope'",
    ),
    (
        "extends: dynamics\nduplicate_rules: [{table: lead, match: [nope]}]\n",
        "lead has no column 'nope'",
    ),
    ("extends: dynamics\nrecords: {lead: [{nope: 1}]}\n", "the shape has no such column"),
    ("extends: dynamics\nkeys: {lead: {k: [nope]}}\n", "tables.lead: column 'nope' is not defined"),
]


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(sandbox_command, ["--port", "0", *arguments])
    assert isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize(("content", "message"), YAML_FILES)
@pytest.mark.parametrize("option", ["--seed", "--faults"])
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, option: str, content: bytes, message: str) -> None:
    path = tmp_path / "given.yaml"
    path.write_bytes(content)
    code, told = _run(option, str(path))
    assert code == 2
    assert told.startswith(f"{option}: {path}{message}")


@pytest.mark.parametrize("option", ["--seed", "--load", "--faults"])
def test_what_is_not_there_is_told(tmp_path: Path, option: str) -> None:
    code, told = _run(option, str(tmp_path / "nowhere"))
    assert code == 2
    assert told.startswith(f"{option}: ")
    assert str(tmp_path / "nowhere") in told


@pytest.mark.parametrize(("content", "message"), SHAPES)
def test_a_shape_that_does_not_fit_is_told_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "shape.yaml"
    path.write_text(content)
    code, told = _run("--seed", str(path))
    assert code == 2
    assert message in told
    assert str(path) in told or "records" in told


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("salesforce/Lead.csv", "LastName,Company,Colour\na,b,c\n", "Lead.csv:1: column Colour: Lead has no such"),
        ("salesforce/Lead.csv", "LastName,Company\na,b,c\n", "Lead.csv:2: 3 cells for 2 columns"),
        ("salesforce/Lead.json", '{"a":', "Lead.json:1: "),
        ("salesforce/Ledd.csv", "LastName\na\n", "the shape has no object or table 'Ledd'"),
        ("dynamics/lead.csv", "subject,numberofemployees\na,many\n", "lead.csv:2: column numberofemployees"),
        ("readme", "", "holds neither a folder salesforce nor a folder dynamics"),
    ],
)
def test_records_that_do_not_fit_are_told_with_their_line(
    tmp_path: Path, file: str, content: str, message: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    code, told = _run("--load", str(tmp_path))
    assert code == 2
    assert message in told


def test_a_place_is_found_in_a_file() -> None:
    content = "a:\n  - b: 1\n  - {c: 2}\n"
    spot = spot_of(content, ("a", 1, "c"))
    assert spot is not None
    assert (spot.mark, spot.whole) == ((3, 6), True)
    partly = spot_of(content, ("a", 1, "d", "e"))
    assert partly is not None
    assert (partly.mark, partly.whole) == ((3, 5), False)
    assert spot_of("", ("a",)) is None


def test_a_file_that_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be read: "):
        read_yaml(tmp_path)


# --- whatever stands in a shape, it is told or served ----------------------------------------------------------------

WRONG: tuple[Any, ...] = (
    None, 5, -1, 1.5, "text", "", True, [], {}, [1], {"a": 1}, ["a"], {"whole": True}, {1: 2}, [[]], [{}], "absent",
    "9" * 400,
)  # fmt: skip


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*place, step)
        yield from _places(inner, (*place, step))


def _spoiled(document: Any, rng: random.Random, places: list[tuple[Any, ...]]) -> Any:
    """The document with one thing wrong, missing or unheard of."""
    made, place, wrong = copy.deepcopy(document), rng.choice(places), copy.deepcopy(rng.choice(WRONG))
    inner = made
    for step in place[:-1]:
        inner = inner[step]
    chance = rng.random()
    if chance < 0.15:
        del inner[place[-1]]
    elif chance < 0.3 and isinstance(inner, dict):
        inner["bogus"] = wrong
    else:
        inner[place[-1]] = wrong
    return made


@pytest.mark.slow
@pytest.mark.parametrize("crm", ["salesforce", "dynamics"])
def test_a_shape_with_something_wrong_is_served_or_refused_in_words(
    crm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    if crm == "dynamics":
        document = shape_file.shipped_document()
        monkeypatch.setattr(shape_file, "load_shape", lambda path: shape_file.build(current))  # pyright: ignore[reportUnknownLambdaType]
    else:
        document = read_yaml(salesforce_shape.SHIPPED)
        monkeypatch.setattr(salesforce_shape, "load_shape", lambda path: salesforce_shape.shape_from(current))  # pyright: ignore[reportUnknownLambdaType]
    places = list(_places(document))
    places = [*places, *[place for place in places if len(place) <= 3] * (len(places) // 200)]
    outcomes = {True: 0, False: 0}
    for _ in range(120):
        current = _spoiled(document, rng, places)
        try:
            Sandbox("empty")
            outcomes[True] += 1
        except SeedError as problem:
            outcomes[False] += bool(str(problem))
    assert all(outcomes.values()), outcomes


def test_both_kinds_of_shape_error_lead_to_their_place() -> None:
    with pytest.raises(DynamicsShapeError) as told:
        shape_file.build({"organization": {}, "tables": {}})
    assert told.value.place == ("organization",)
    with pytest.raises(salesforce_shape.ShapeError) as also:
        salesforce_shape.shape_from({"objects": 5})
    assert also.value.place == ("objects",)
