"""Each broken mapping is answered in full: place, path, cause, what to do, and the code."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

import mapping
from connectors.groups import groups_of
from crmbridge.model import Directory, Side
from mapping.codes import CODES
from mapping.group_live import group_findings, person_findings
from mapping.plugins import offered
from tests.support.broken import BROKEN, cases, codes, findings, lines, made

EXPECTED = {path.stem: path.read_text(encoding="utf-8") for path in sorted(BROKEN.glob("*.txt"))}
MADE = {"file-too-large", "file-unreadable", "no-mapping"}
# What depends on the installation is shown at the end of this file.
INSTALLED = {"converter-broken", "expression-library"}
# What only the CRMs can tell.
ASKED = {"group-unknown", "person-unknown", "fallback-unknown", "bucket-unknown"}
# What an admin is told to do begins with a verb, or names the words that may stand there.
ADVICE = re.compile(
    r"did you mean|\b(add|take|write|give|keep|correct|save|put|name|look|leave|map|use|shorten|move|convert|close|"
    r"change|install|mend|indent|declare|let|remove|choose|say|have|give)\b|`crmbridge init`|here may stand|it may be |"
    r"is not one of|must be |must have|needs a yes/no|has no record types|expected .+, found |a name is lower case|"
    r"one entity is one file|no part of a mapping is|is for `convert|pip install"
)


@pytest.mark.parametrize("name", sorted(cases()))
def test_a_broken_mapping_is_answered_word_by_word(name: str) -> None:
    assert lines(cases()[name]) == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(MADE))
def test_files_that_cannot_be_read_are_answered_too(name: str, tmp_path: Path) -> None:
    path = made(tmp_path)[name]
    assert lines(path).replace(str(tmp_path), "") == EXPECTED[name]


def test_every_file_has_its_expectation_and_every_expectation_its_file() -> None:
    assert set(EXPECTED) == set(cases()) | MADE
    assert all(EXPECTED.values())


def test_every_code_of_the_table_occurs() -> None:
    told = {code for text in EXPECTED.values() for code in codes(text)}
    assert set(CODES) - told == INSTALLED | ASKED
    assert told - set(CODES) == set()
    assert len(told) >= 60


def test_ten_files_have_several_problems() -> None:
    counts = Counter({name: len(codes(text)) for name, text in EXPECTED.items()})
    assert sum(count >= 3 for count in counts.values()) >= 10


def test_every_message_tells_what_to_do() -> None:
    for name, text in EXPECTED.items():
        for line in text.splitlines():
            assert ADVICE.search(line), f"{name}: {line}"


def test_a_file_named_after_a_code_shows_that_code() -> None:
    for name in set(EXPECTED) & set(CODES):
        assert name in codes(EXPECTED[name]), name


def test_every_place_is_a_place_in_the_file() -> None:
    for path in cases().values():
        for finding in findings(path):
            text = Path(finding.place.file).read_bytes().decode("utf-8", "replace").splitlines()
            if finding.path or finding.place.line > 1:
                assert 1 <= finding.place.line <= len(text) + 1
                line = text[finding.place.line - 1] if finding.place.line <= len(text) else ""
                assert 1 <= finding.place.column <= len(line) + 1


def test_a_converter_that_cannot_be_loaded_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "acme_tools-1.0.dist-info"
    packaged.mkdir()
    (packaged / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tools\nVersion: 1.0\n")
    (packaged / "entry_points.txt").write_text("[crmbridge.converters]\nacme_vat = acme_nowhere:VAT\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    offered.cache_clear()
    try:
        broken = tmp_path / "lead.yaml"
        text = (BROKEN / "unknown-word.yaml").read_text(encoding="utf-8")
        broken.write_text(text.replace("mial", "acme_vat").replace("opened", "open"), encoding="utf-8")
        told = lines(broken)
    finally:
        offered.cache_clear()
    assert told.startswith(
        "lead.yaml:8:64: error: fields.email.convert: the converter 'acme_vat' of the package acme-t"
    )
    assert codes(told) == {"converter-broken"}
    assert ADVICE.search(told.replace("Mend", "mend"))


def test_an_expression_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    told = lines(cases()["expression-wrong"])
    assert codes(told) == {"expression-library"}
    assert "pip install 'crmbridge[expr]'" in told


def test_a_queue_or_a_team_that_is_not_there_is_told_at_its_line_once() -> None:
    queues = groups_of("queue", [("00G000000000001AAA", ("Inbound", "Inbound_Q"))])
    teams = groups_of("team", [("t-1", ("Twins",)), ("t-2", ("Twins",))])
    directories: dict[Side, Directory] = {
        "left": Directory(groups=queues[0], group_ids=queues[1]),
        "right": Directory(groups=teams[0], group_ids=teams[1]),
    }
    text = (BROKEN / "group-wrong-kind.yaml").read_text(encoding="utf-8").replace("Ann", "ann@acme.example")
    told = text.replace('"team:Inbound"', '"queue:Inbuond"').replace('"queue:Inbound Sales"', '"team:Twins"')
    documents, problems = mapping.load({"lead.yaml": told})
    assert not problems
    [document] = documents
    found = [str(one) for one in group_findings(document, directories)]
    assert found == [
        "lead.yaml:12:27: values.owners.inbound.salesforce: salesforce has no single queue 'queue:Inbuond' that "
        "may own records; name one that it has, or write queue: and its id; did you mean 'queue:inbound'? "
        "[group-unknown]",
        "lead.yaml:12:54: values.owners.inbound.dynamics: dynamics has no single team 'team:Twins' that may own "
        "records; name one that it has, or write team: and its id; did you mean 'team:t-2'? [group-unknown]",
    ]
    assert {code for line in found for code in codes(line)} == {"group-unknown"}
    right = told.replace("queue:Inbuond", "queue:inbound_q").replace("team:Twins", "team:t-2")
    assert list(group_findings(mapping.load({"lead.yaml": right})[0].items[0], directories)) == []
    assert list(group_findings(document, {})) == []  # what did not answer says nothing


def test_a_person_who_could_not_be_given_a_record_is_told_at_the_line() -> None:
    text = """\
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
fields:
  owner: {salesforce: OwnerId, dynamics: ownerid, convert: user, values: owners, default: {dynamics: dsek@acme.example}}
values:
  owners:
    ann: {salesforce: Ann@acme.example, dynamics: [a.berg@acme.example, ann.old@acme.example]}
    bo: {salesforce: bo@acme.example, dynamics: "team:Sales"}
status:
  new: {state: open, salesforce: New, dynamics: New}
"""
    directories: dict[Side, Directory] = {
        "left": Directory(users={"1": "ann@acme.example", "2": "bo@acme.example"}, user_ids={"ann@acme.example": "1"}),
        "right": Directory(users={"3": "desk@acme.example"}, user_ids={"desk@acme.example": "3"}),
    }
    documents, problems = mapping.load({"lead.yaml": text})
    assert not problems
    found = [str(one) for one in person_findings(documents.items[0], directories)]
    assert found == [
        "lead.yaml:5:102: fields.owner.default.dynamics: dynamics has no user 'dsek@acme.example'; "
        "did you mean 'desk@acme.example'? [person-unknown]",
        "lead.yaml:8:51: values.owners.ann.dynamics: dynamics has no user 'a.berg@acme.example'; "
        "write the address of one who is active there; until then nobody is given a record by it [person-unknown]",
        "lead.yaml:9:22: values.owners.bo.salesforce: salesforce has no single active user 'bo@acme.example', only one "
        "who is switched off, or several; write the address of one who is active there; until then nobody is given a "
        "record by it [person-unknown]",
    ]
    assert list(person_findings(documents.items[0], {})) == []
