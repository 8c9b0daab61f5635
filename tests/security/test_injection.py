"""A record's values are attacker's text: they stay values in SOQL, OData, SOAP, batches, spreadsheets and terminals."""

import csv
import json
import re
from pathlib import Path

import pytest
from lxml import etree

from connectors.base import Conversion
from connectors.dynamics import batch, protocol
from connectors.dynamics.batch import ChangeSet
from connectors.salesforce import soap, soql
from crmbridge.cli import error_handler, output
from crmbridge.cli.sync import write_held
from crmbridge.errors import ConfigError, RefusedError
from crmbridge.printable import json_text, one_line, printable
from crmbridge.sync.hands import Event

TEXTS = {
    "quote": "x' OR Name != '",
    "backslash-quote": "x\\' OR Name != \\'",
    "backslash": "x\\",
    "two-quotes": "x'' or 1 eq 1 or ''",
    "double-quote": 'x" OR "a"="a',
    "line-end": "x\r\n' OR Id != '\n",
    "comment": "x' -- /* */ //",
    "percent": "x%27 or 1 eq 1 or %27",
    "ampersand": "x&$filter=1 eq 1&$top=1#",
    "null": "x\x00' OR '",
    "unicode-quote": "x\u2019 \uff07 \u02bc",
    "escape": "x\x1b[2J",
    "braces": "{0} %s ${env:SECRET} {{7*7}}",
    "markup": "<b>&amp;]]></urn:ownerId><urn:ownerId>005EVIL</urn:ownerId>",
    "boundary": "x\r\n--batch_0\r\nContent-Type: application/http\r\n\r\nDELETE /api/data/v9.2/leads(1) HTTP/1.1\r\n",
    "astral": "x\U0001f600\ufffe\uffff",
}
each = pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))


# --- Salesforce -------------------------------------------------------------------------------------------------------


def _soql_end(statement: str, start: int) -> int:
    """Where the literal that begins at `start` ends, by SOQL's own rule: a backslash takes the next character along."""
    at = start + 1
    while statement[at] != "'":
        at += 2 if statement[at] == "\\" else 1
    return at


@each
def test_soql_keeps_a_value_one_literal(text: str) -> None:
    for statement in (soql.select(["Id"], "Lead", soql.any_of("Name", [text])), soql.text(text)):
        start = statement.index("'")
        end = _soql_end(statement, start)
        assert statement[end + 1 :] in ("", ")")
        assert not re.search(r"[\x00-\x1f]", statement)


@each
def test_soql_names_are_names(text: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        soql.name(text)


@each
def test_soap_keeps_a_value_one_text(text: str) -> None:
    order = Conversion(
        lead_id="00Q000000000001AAA",
        account_id=None,
        contact_id=None,
        opportunity_id=None,
        create_account=True,
        create_contact=True,
        create_opportunity=True,
        opportunity_name=text,
        owner_id=text,
    )
    call = soap.convert_lead(order, text)
    assert call.soap is not None
    root = etree.fromstring(call.soap("canary-token"))
    names = [str(child.tag).rpartition("}")[2] for child in root.iterfind(".//{*}leadConverts/*")]
    assert len(names) == len(set(names))
    assert len(root.findall(".//{*}ownerId")) == 1
    kept = "".join(c for c in text if (c >= " " and c not in "\ufffe\uffff") or c in "\t\n\r")
    assert root.findtext(".//{*}ownerId") == kept


# --- Dynamics ---------------------------------------------------------------------------------------------------------


@each
def test_odata_keeps_a_value_one_literal(text: str) -> None:
    literal = protocol.text_literal(text)
    assert literal[0] == literal[-1] == "'"
    assert "'" not in literal[1:-1].replace("''", "")
    path = protocol.url("leads", filter=f"subject eq {literal}")
    assert path.count("?") == 1
    assert path.count("$") == 1
    assert not re.search(r"[&#\s]", path)
    assert "%2527" not in path or "%27" in text


@each
def test_an_id_of_dynamics_is_a_guid(text: str) -> None:
    for make in (
        protocol.key,
        lambda one: protocol.row_path("leads", one),
        lambda one: protocol.any_of("leadid", [one]),
    ):
        with pytest.raises(RefusedError):
            make(text)


@each
def test_a_batch_stays_as_many_requests(text: str) -> None:
    row = "11111111-2222-3333-4444-555555555555"
    one = protocol.create("leads", row, {"subject": text}, view=None, table="lead")
    two = protocol.update("leads", row, {"subject": text}, version='W/"1"', table="lead")
    content_type, body = batch.encode([one, ChangeSet((two, two)), protocol.read("leads", table="lead")])
    boundary = content_type.partition("boundary=")[2].encode()
    parts = [part for part in body.split(b"--" + boundary) if part.strip() not in (b"", b"--")]
    assert len(parts) == 3
    assert len(re.findall(rb"(?m)^(?:GET|POST|PATCH|PUT|DELETE) \S+ HTTP/1\.1", body)) == 4
    sent = parts[0].rpartition(b"\r\n\r\n")[2].strip()
    assert json.loads(sent)["subject"] == text


# --- spreadsheets -----------------------------------------------------------------------------------------------------

FORMULAS = {
    "equals": '=HYPERLINK("http://evil.example","x")',
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "at": "@SUM(1+1)",
    "tab": "\t=1+1",
    "return": "\r=1+1",
    "line-end": "\n=1+1",
    "blank": "  =1+1",
    "no-break": "\u00a0=1+1",
    "full-width": "\uff1d1+1",
    "quote": '",=1+1,"',
}


@pytest.mark.parametrize("text", FORMULAS.values(), ids=list(FORMULAS))
def test_a_cell_of_the_held_list_is_no_formula(text: str, tmp_path: Path) -> None:
    file = tmp_path / "held.csv"
    event = Event(
        entity="lead",
        side="left",
        kind="held",
        link_id="1",
        ids={"left": text, "right": text},
        reason=text,
        cause=text,
        fix=text,
        fields=(text,),
    )
    write_held(file, [event])
    with file.open(newline="", encoding="utf-8-sig") as stream:
        head, row = csv.reader(stream)
    assert len(row) == len(head)
    assert not [cell for cell in row if cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d"))]
    assert not [cell for cell in row if re.search(r"[\t\r\n]", cell)]


# --- terminals --------------------------------------------------------------------------------------------------------

OBEYED = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x1b[H",
    "answerback": "\x05\x1bZ",
    "paste": "\x1b[200~rm -rf ~\n",
    "c1-csi": "\x9b2J",
    "c1-osc": "\x9d0;owned\x9c",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "return": "all is well\rlost",
    "backspace": "safe\x08\x08\x08\x08evil",
    "delete": "a\x7f",
    "right-to-left": "gpj.\u202eexe",
    "isolate": "\u2066admin\u2069",
    "line-separator": "a\u2028b\u2029c\x85d",
    "surrogate": "\ud800",
    "null": "a\x00b",
}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
obeyed = pytest.mark.parametrize("text", OBEYED.values(), ids=list(OBEYED))


@obeyed
def test_what_a_terminal_would_obey_is_shown_as_text(text: str) -> None:
    assert not _CONTROL.search(printable(text))
    assert not re.search(r"[\n\t]", one_line(text + "\n\t"))
    assert json.loads(json_text(json.dumps({"a": text}, ensure_ascii=False))) == {"a": text}


@obeyed
def test_no_command_prints_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.console.cache_clear()
    try:
        output.say(f"What to do: {text}")
        output.head(text)
        output.table(["name"], [[text], [f"{text}\nissue 7  done"]])
        output.print_json({"name": text})
    finally:
        output.console.cache_clear()
    said = capsys.readouterr().out
    assert not _CONTROL.search(said)
    assert not re.search(r"(?m)^\s*issue 7", said)
    document = said[said.index("{\n") :]
    assert json.loads(document) == {"name": text}


@obeyed
@pytest.mark.parametrize("words", [[], ["--json"]], ids=["text", "json"])
def test_no_error_prints_it(text: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError(f"The lead {text} is strange.", fix=text, problems=(text,))
    error_handler._tell(error, as_json=bool(words))
    said = capsys.readouterr()
    assert not _CONTROL.search(said.out)
    assert not _CONTROL.search(said.err)


@obeyed
def test_markup_in_a_record_is_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.console.cache_clear()
    output.say(f"[red]{text}[/red] [link=http://evil.example]x[/link]")
    said = capsys.readouterr().out
    output.console.cache_clear()
    assert "[red]" in said
    assert "[link=http://evil.example]" in said


def test_nothing_but_the_output_module_prints_to_a_terminal() -> None:
    """What prints past `output` and `error_handler` prints our own sentences, numbers and file names alone."""
    root = Path(output.__file__).parent
    prints = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(
            r"(?<![\w.])(?<!def )print\(|sys\.stdout\.write|console\(\)\.print", path.read_text(encoding="utf-8")
        )
    }
    assert prints <= {"output.py"}
