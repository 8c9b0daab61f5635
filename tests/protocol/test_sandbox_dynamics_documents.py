"""Microsoft's HTTP examples and recorded rows, sent to the sandbox: it answers what the document says that it does.

Status, headers and the shape of the body are compared; ids, versions and tokens stand for themselves. Where the two
differ all the same, a rule with a name says why.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.support.dataverse import ORIGIN, Environment, shaped
from tests.support.material import DATA, folder

# What is documented and not held against the sandbox.
RULES: Final[Mapping[str, str]] = {
    "empty code": "older examples print no code; dataverse-api §10.3 knows the code of each of the three",
    "forgotten column": "the example's second answer of change tracking has lost a column that its link selects",
    "forgotten path": "the context of that answer stands below /data, without /api",
    "sub error code": "SubErrorCode is given by the plug-in that raised the error; a declared rule gives none",
    "left out": "the document leaves out the rest of the answer",
}
COMPARED = frozenset(
    {"odata-version", "content-type", "preference-applied", "location", "odata-entityid", "content-id"}
)
_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_VERSION = re.compile(r'W/"\d+"')
_TOKEN = re.compile(r"\$deltatoken=[^\"&]*")
_STATUS = re.compile(r"^HTTP/1\.1 (\d{3}).*\n", re.MULTILINE)
_REQUEST = re.compile(r"^(GET|POST|PATCH|DELETE) (\S+).*\n", re.MULTILINE)


@dataclass(frozen=True)
class Message:
    """A request (status 0) or an answer of a document."""

    status: int
    method: str
    url: str
    headers: Mapping[str, str]
    body: str


def told(name: str) -> str:
    text = (folder("dv-doc-http") / name).read_text(encoding="utf-8")
    return re.sub(r"\[Organization ur[il]\]", ORIGIN, text, flags=re.IGNORECASE)


def messages(name: str) -> list[Message]:
    """Requests and answers in the order of the document, as far as each is written out."""
    text = re.sub(r"^(?:#|###) .*\n|^###\n", "\n", told(name), flags=re.MULTILINE)
    starts = sorted([*_REQUEST.finditer(text), *_STATUS.finditer(text)], key=lambda each: each.start())
    ends = [each.start() for each in starts[1:]] + [len(text)]
    return [_message(start, text[start.end() : end]) for start, end in zip(starts, ends, strict=True)]


def _message(start: re.Match[str], rest: str) -> Message:
    head, _, body = re.sub(r"\n(?=\{)", "\n\n", rest, count=1).partition("\n\n")
    headers = {name.lower(): value.strip() for name, value in re.findall(r"^([\w-]+): *(.*)$", head, re.MULTILINE)}
    if start.re is _STATUS:
        return Message(int(start[1]), "", "", headers, body.strip())
    return Message(0, start[1], start[2], headers, body.strip())


def masked(text: str) -> str:
    return _TOKEN.sub("$deltatoken={token}", _VERSION.sub("{version}", _GUID.sub("{id}", text)))


def shape(value: Any) -> Any:
    """Members and kinds of a body; texts with what differs from org to org taken out."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return masked(value) if isinstance(value, str) else type(value).__name__


def same_head(documented: Message, status: int, headers: Mapping[str, str]) -> None:
    assert status == documented.status
    ours = {name.lower(): masked(value) for name, value in headers.items()}
    expected = {name: masked(value) for name, value in documented.headers.items() if name in COMPARED}
    assert {name: ours.get(name) for name in expected} == expected


def play(env: Environment, asked: Message, **headers: str) -> Any:
    sent = {name: value for name, value in asked.headers.items() if name != "host"} | headers
    return env.send(asked.method, asked.url, asked.body.encode() or None, **sent)


def test_conditional_requests() -> None:
    """Rule: empty code."""
    env = Environment()
    exchanges = messages("conditional.http")
    pairs = list(zip(exchanges[::2], exchanges[1::2], strict=True))
    assert [answer.status for _, answer in pairs] == [404, 412, 412, 304]
    for number, (asked, documented) in enumerate(pairs):
        if number == 1:  # the row is missing in the first, there in the others
            assert env.send("PATCH", asked.url, {"name": "A"}).status == 204
        known = {"if-none-match": env.row(asked.url.partition("?")[0])["@odata.etag"]} if number == 3 else {}
        answer = play(env, asked, **known)
        same_head(documented, answer.status, answer.headers)
        if documented.body:
            theirs, ours = json.loads(documented.body), answer.json
            assert theirs["error"]["code"] == ""
            assert ours["error"].pop("code")
            del theirs["error"]["code"]
            assert shape(ours) == shape(theirs)
        else:
            assert answer.text == ""


def test_changes_and_deletions() -> None:
    """Rules: forgotten column, forgotten path."""
    env = Environment()
    first, answered, second, later = messages("delta-link.http")
    kept = json.loads(answered.body)["value"][0]["accountid"]
    gone = json.loads(later.body)["value"][1]["id"]
    columns = {"name": "Monte Orton", "telephone1": "555000", "fax": "10101"}
    assert env.send("PATCH", f"accounts({kept})", columns).status == 204
    answer = play(env, first)
    same_head(answered, answer.status, answer.headers)
    assert shape(answer.json) == shape(json.loads(answered.body))
    link = answer.json["@odata.deltaLink"]
    assert masked(link) == masked(second.url)
    assert env.patch(f"accounts({kept})", {"fax": "10101"}).status == 204
    assert env.send("PATCH", f"accounts({gone})", {"name": "Gone"}).status == 204
    assert env.send("DELETE", f"accounts({gone})").status == 204
    answer = env.get(link)
    same_head(later, answer.status, answer.headers)
    ours, theirs = shape(answer.json), shape(json.loads(later.body))
    ours["value"][0].pop("accountnumber")
    for member in ("@odata.context", "@odata.deltaLink"):
        ours[member] = ours[member].replace("accountnumber,", "")
    theirs["@odata.context"] = theirs["@odata.context"].replace("/data/", "/api/data/")
    assert ours == theirs


def test_a_change_set() -> None:
    asked, _, answered = told("batch-changeset.http").partition("### Response")
    body = asked[asked.index("\n--batch") + 1 :].encode()
    content_type = re.search(r"^Content-Type: *(multipart.*)$", asked, re.MULTILINE)
    assert content_type is not None
    answer = Environment().send("POST", "$batch", body, Content_Type=content_type[1])
    theirs = answered.partition("\n\n")[2]
    ours = answer.text.replace("\r\n", "\n")
    assert answer.status == 200
    assert [masked(line) for line in ours.split("\n") if line] == [masked(line) for line in theirs.split("\n") if line]


@pytest.mark.parametrize("continues", [False, True])
def test_a_batch_whose_first_part_fails(continues: bool) -> None:
    """Rule: left out (the document goes on with 204 for the rest)."""
    env = Environment()
    stopped, went_on = (
        re.split(r"^# ", part, flags=re.MULTILINE)[0]
        for part in re.split(r"^HTTP/1\.1 (?:400 BadRequest|200 OK)\n", told("batch-errors.http"), flags=re.MULTILINE)[
            1:
        ]
    )
    theirs = [line for line in (went_on if continues else stopped).split("\n") if line][1:]  # without OData-Version
    parts = [
        ["--b", "Content-Type: application/http", "", "POST tasks HTTP/1.1", "", json.dumps({"subject": subject})]
        for subject in ("a" * 201, "second", "third")
    ]
    body = "\r\n".join([*(line for part in parts for line in part), "--b--", ""]).encode()
    prefer = {"Prefer": "odata.continue-on-error"} if continues else {}
    answer = env.send("POST", "$batch", body, Content_Type="multipart/mixed; boundary=b", **prefer)
    assert answer.status == (200 if continues else 400)
    ours = [line for line in answer.text.replace("\r\n", "\n").split("\n") if line]
    assert [masked(line) for line in ours[: len(theirs)]] == [masked(line) for line in theirs]
    assert len(env.get("tasks?$select=subject").rows) == (2 if continues else 0)
    assert ours.count("HTTP/1.1 204 No Content") == (2 if continues else 0)


def test_a_deal_is_won_and_a_lead_qualified() -> None:
    """Rule: left out (the rows that qualification made)."""
    env = Environment()
    win, won, qualify = messages("win-and-qualify.http")
    opportunity, lead = _GUID.search(win.body), _GUID.search(qualify.url)
    assert opportunity is not None
    assert lead is not None
    assert env.send("PATCH", f"opportunities({opportunity[0]})", {"name": "Deal"}).status == 204
    answer = play(env, win)
    same_head(won, answer.status, answer.headers)
    assert answer.text == ""
    assert env.send("PATCH", f"leads({lead[0]})", {"subject": "S", "lastname": "L", "companyname": "C"}).status == 204
    asked = re.findall(r"CRM\.(\w+)','\w+':'([0-9a-f-]{36})", qualify.body)
    for table, key in asked:
        needed = {"isocurrencycode": "DKK", "currencyname": "Krone", "currencysymbol": "kr", "exchangerate": 7}
        name = env.shape.tables[table].set_name
        assert env.send("PATCH", f"{name}({key})", needed if table == "transactioncurrency" else {}).status == 204
    body, _, documented = qualify.body.partition("\n\n{")
    answer = env.send("POST", qualify.url, body.encode(), **qualify.headers)
    assert answer.status == 200
    assert list(answer.json) == ["@odata.context", "value"]
    context = re.search(r'"@odata\.context": "(.*)"', documented)
    assert context is not None
    assert answer.json["@odata.context"] == context[1]
    assert {row["@odata.type"] for row in answer.json["value"]} == {
        f"#Microsoft.Dynamics.CRM.{name}" for name in ("account", "contact", "opportunity")
    }


def test_an_error_with_its_annotations() -> None:
    """Rule: sub error code."""
    env = Environment(
        shape=shaped(rules=[
            {"table": "account", "on": ["create"], "when": "name eq 'x'", "code": "0x80040265",
             "message": "Example Error Message."},
        ])
    )  # fmt: skip
    (documented,) = messages("errors-and-limits.http")
    answer = env.post("accounts", {"name": "x"}, Prefer='odata.include-annotations="*"')
    theirs = json.loads(documented.body)
    del theirs["error"]["@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode"]
    same_head(documented, answer.status, answer.headers)
    assert answer.json == theirs


def test_the_limits_in_their_words() -> None:
    text = told("errors-and-limits.http")
    env = Environment()
    for limit, name in ((0, "requests"), (1, "time")):
        code, words = re.findall(r'code (0x\w+) \(-\d+\) "(.*)"', text)[limit]
        env.app.reset()
        env.app.limit({"requests": 1} if name == "requests" else {"execution_seconds": 0.01})
        answers = [env.get("WhoAmI") for _ in range(40)]
        refused = next(each for each in answers if each.status == 429)
        assert refused.code == code
        assert int(refused.headers["Retry-After"]) > 0
        ours, theirs = (re.sub(r"[\d,]+", "N", each) for each in (refused.json["error"]["message"], words))
        assert ours.startswith(theirs.rstrip(". "))


@pytest.mark.skipif(not DATA.is_dir(), reason="the material is not beside this checkout")
@pytest.mark.parametrize("table", ["lead", "contact"])
def test_a_recorded_row_written_back_reads_the_same(table: str) -> None:
    env = Environment()
    recorded = json.loads((folder("dv-recorded-records") / "lead-and-contact.json").read_text(encoding="utf-8"))[table]
    (theirs,) = recorded["value"]
    kept = env.shape.tables[table]
    body = {
        name: value
        for name, value in theirs.items()
        if name in kept.columns and not kept.columns[name].is_lookup and value is not None
    }
    answer = env.post(kept.set_name, body, Prefer="return=representation")
    assert answer.status == 201, answer.text
    written = {name: column for name, column in kept.columns.items() if column.create and not column.is_lookup}
    ours = {name: answer.json[name] for name in body if name in written}
    assert ours == {name: theirs[name] for name in ours}
    assert len(ours) > 20
