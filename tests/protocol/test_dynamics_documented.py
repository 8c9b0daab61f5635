"""Microsoft's own HTTP examples: each answer deciphered to the right meaning, each request compared with ours."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.base import TablePlan
from connectors.dynamics import batch
from connectors.dynamics.batch import ChangeSet
from connectors.dynamics.lookups import Lookup, Lookups
from connectors.dynamics.protocol import Request, action, as_outcome, bind, meaning, prefer, reference, row_path, update
from connectors.dynamics.rows import TABLES, Rows, life
from crmbridge.model import Later, NativeRef, Refused, Row, Stale, attribute_name

DATA = Path(__file__).parents[2].parent / "shared" / "data"
EXAMPLES, RECORDS = DATA / "dv-doc-http", DATA / "dv-recorded-records"
needs_examples = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="Microsoft's HTTP examples are not beside the checkout"
)
needs_records = pytest.mark.skipif(not RECORDS.is_dir(), reason="the recorded records are not beside the checkout")

ANSWER = re.compile(r"^HTTP(?:/1\.1)? (\d{3})[^\n]*\n", re.MULTILINE)


def example(name: str) -> str:
    return (EXAMPLES / name).read_text(encoding="utf-8")


def answers(text: str) -> Iterator[tuple[int, dict[str, str], bytes]]:
    """(status, headers, body) of each answer in a file of examples."""
    starts = list(ANSWER.finditer(text))
    for start in starts:
        rest = text[start.end() :]
        end = re.search(r"^(?:###|#|HTTP/1\.1 |GET |POST |PATCH |--batch)", rest, re.MULTILINE)
        head, _, body = rest[: end.start() if end else None].partition("\n{")
        headers = dict(re.findall(r"^([\w-]+): *(.*)$", head, re.MULTILINE))
        yield int(start[1]), headers, ("{" + body).encode() if body else b""


def row_type(name: str, columns: dict[str, Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        name,
        [(attribute_name(column), kind | None, None) for column, kind in columns.items()],
        rename={attribute_name(column): column for column in columns},
    )


def rows_of(entity: str, columns: tuple[str, ...], lookups: tuple[Lookup, ...] = ()) -> Rows:
    table = TABLES[entity]  # type: ignore[index]
    kinds = {**dict.fromkeys(columns, str), **table.system}
    plan = TablePlan(entity=table.entity, table=table.name, columns=columns, row_type=row_type(entity, kinds))
    return Rows(plan, Lookups(lookups), "right")


@needs_examples
def test_conditional_requests_mean_missing_exists_and_stale() -> None:
    told = [meaning(*answer).kind for answer in answers(example("conditional.http"))]
    assert told == ["missing", "exists", "stale", "refused"]  # the last: 304, which we never ask for
    outcomes = [as_outcome(meaning(*answer)) for answer in answers(example("conditional.http"))]
    assert isinstance(outcomes[0], Refused)
    assert isinstance(outcomes[2], Stale)


@needs_examples
def test_conditional_requests_are_ours() -> None:
    asked = re.findall(
        r"^PATCH (.+) HTTP/1\.1\n((?:[\w-]+:.*\n)+)(?:\n(\{.*\}))?", example("conditional.http"), re.MULTILINE
    )
    path, headers, body = asked[2]
    ours = update(
        "accounts", "00000000-0000-0000-0000-000000000001", json.loads(body), version='W/"470867"', table="account"
    )
    assert ours.path.split("/")[-1] == path.split("/")[-1]
    assert f"If-Match: {ours.headers['If-Match']}" in headers
    assert json.loads(ours.body) == json.loads(body)
    unconditional = update("accounts", "00000000-0000-0000-0000-000000000001", {}, version=None, table="account")
    assert f"If-Match: {unconditional.headers['If-Match']}" in asked[0][1]  # never creates


@needs_examples
def test_errors_and_limits() -> None:
    text = example("errors-and-limits.http")
    (told,) = [meaning(*answer) for answer in answers(text)]
    assert (told.kind, told.code, told.message) == ("refused", "0x80040265", "Example Error Message.")
    for code, words in re.findall(r"code (0x\w+) \(-\d+\) \"(.*)\"", text):
        body = json.dumps({"error": {"code": code, "message": words}}).encode()
        outcome = as_outcome(meaning(429, {"Retry-After": "37"}, body))
        assert isinstance(outcome, Later)
        assert outcome.after_seconds == 37
        assert code in outcome.message


@needs_examples
def test_delta_link_answers() -> None:
    rows = rows_of("account", ("name", "accountnumber", "telephone1", "fax"))
    first, second = (rows.page(body) for _, _, body in answers(example("delta-link.http")))
    assert [(row.version, row.values.name, row.values.accountnumber) for row in first[0]] == [
        ('W/"915244"', "Monte Orton", None)
    ]
    assert first[1] is None
    assert first[2] is not None
    assert first[2].endswith("$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44")
    changed, deleted = second[0]
    assert (changed.deleted, changed.values.name) == (False, "Monte Orton")
    assert (deleted.deleted, deleted.ref.id, deleted.values) == (True, "2e451703-c686-e711-80e5-00155db19e6d", None)


@needs_examples
def test_delta_request_is_ours() -> None:
    asked = re.search(r"^Prefer: (.*)$", example("delta-link.http"), re.MULTILINE)
    assert asked is not None
    assert asked[1] in prefer(track=True, rows=5000)["Prefer"].split(",")


@needs_examples
def test_win_and_qualify_requests_are_ours() -> None:
    text = example("win-and-qualify.http")
    bodies = [
        json.loads(each.replace("'", '"')) for each in re.findall(r"^\{$.*?^\}$", text, re.MULTILINE | re.DOTALL)[:2]
    ]
    win, qualify = bodies
    opportunity = "b3828ac8-917a-e511-80d2-00155d2a68d2"
    ours = {"subject": "Won Opportunity", "opportunityid@odata.bind": bind("opportunity", opportunity)}
    assert win["OpportunityClose"]["opportunityid@odata.bind"].endswith(ours["opportunityid@odata.bind"])
    assert set(win) == {"Status", "OpportunityClose"}
    assert set(win["OpportunityClose"]) == set(ours)
    assert "/WinOpportunity HTTP/1.1" in text
    assert action("WinOpportunity", {"Status": 3}, table="opportunity", kind="win").path.endswith("/WinOpportunity")
    assert reference("contact", "contactid", "720dd88f-fece-e711-80f3-00155d889a3b") == qualify["OpportunityCustomerId"]
    path = row_path("leads", "f282fa8b-3bcf-e711-80f3-00155d889a3b") + "/Microsoft.Dynamics.CRM.QualifyLead"
    assert action(path, {}, table="lead", kind="QualifyLead").path.split("/v9.2/")[1] in text
    assert [meaning(*answer).kind for answer in answers(text)] == ["done"]


def change_set_of_the_example() -> ChangeSet:
    return ChangeSet(
        tuple(
            Request(method="POST", path=f"/api/data/v9.2/{name}", body=body)
            for name, body in (
                ("leads", b'{"firstname":"first name","lastname":"last name"}'),
                ("contacts", b'{"firstname":"first name"}'),
                ("accounts", b'{"name":"IcM Account"}'),
            )
        )
    )


@needs_examples
def test_batch_with_a_change_set_is_read() -> None:
    _, _, answer = example("batch-changeset.http").partition("### Response\n")
    body = answer.partition("\n\n")[2].encode()
    mark = "batchresponse_3cace264-86ea-40fe-83d3-954b336c0f4a"
    (result,) = batch.decode([change_set_of_the_example()], f"multipart/mixed; boundary={mark}", body)
    assert isinstance(result, tuple)
    assert [each.status for each in result] == [204, 204, 204]
    assert [each.headers["OData-EntityId"].rsplit("/", 1)[1].split("(")[0] for each in result] == [
        "leads",
        "contacts",
        "accounts",
    ]


@needs_examples
def test_batch_with_a_change_set_is_written_as_in_the_example() -> None:
    asked = example("batch-changeset.http").partition("### Response")[0]
    _, body = batch.encode([change_set_of_the_example()])
    ours = body.decode()
    for words in (
        "Content-Transfer-Encoding: binary",
        "Content-ID: 3",
        "POST [Organization URI]/api/data/v9.2/leads HTTP/1.1",
    ):
        assert words in asked
        assert words.replace("[Organization URI]", "") in ours
    assert ours.count("Content-Type: application/http") == asked.count("Content-Type: application/http") == 3


@needs_examples
def test_failed_batches() -> None:
    text = example("batch-errors.http")
    requests = [Request(method="POST", path="/api/data/v9.2/tasks", body=b"{}")] * 3
    found: list[list[batch.Result]] = []
    for mark in re.findall(r"^--(batchresponse_\S+?)$", text, re.MULTILINE):
        if mark.endswith("--"):
            continue
        start = text.index(f"--{mark}")
        end = re.search(r"^# ", text[start:], re.MULTILINE)
        body = text[start : start + end.start() if end else None].encode()
        found.append(batch.decode(requests, f"multipart/mixed; boundary={mark}", body))
    stopped, went_on = found[0], found[1]
    assert [each.status if isinstance(each, batch.Response) else None for each in stopped] == [400, None, None]
    assert [each.status if isinstance(each, batch.Response) else None for each in went_on] == [400, 204, None]
    error = stopped[0]
    assert isinstance(error, batch.Response)
    told = meaning(error.status, error.headers, error.body)
    assert (told.kind, told.code, told.fields) == ("refused", "0x80044331", ("subject",))


@needs_records
def test_recorded_lead_and_contact() -> None:
    recorded = json.loads((RECORDS / "lead-and-contact.json").read_text(encoding="utf-8"))
    lead = one(
        rows_of(
            "lead",
            ("lastname", "subject", "ownerid"),
            (Lookup(column="ownerid", navigation="ownerid", targets=("systemuser", "team")),),
        ),
        recorded["lead"],
    )
    assert (lead.version, lead.values.subject, lead.merged_into) == ('W/"4788911"', "asd", None)
    assert lead.values.ownerid == "29c3a361-4b9c-ee11-be36-000d3abf077e"
    place = life(lead)
    assert (place.state, place.status) == ("open", 1)
    assert (place.account_id, place.contact_id) == (None, "80ac35a0-01af-ea11-a812-000d3a8b3ec6")
    contact = one(rows_of("contact", ("lastname",)), recorded["contact"])
    assert contact.ref.entity == "contact"
    assert contact.modified_at is not None


def one(rows: Rows, document: dict[str, Any]) -> Row:
    if "value" in document:
        (row,) = rows.page(json.dumps(document).encode())[0]
        return row
    return rows.one(json.dumps(document).encode())


def test_a_bound_lookup_is_written_as_the_documents_do() -> None:
    lookups = Lookups([Lookup(column="originatingleadid", navigation="originatingleadid", targets=("lead",))])
    body = lookups.body({"originatingleadid": NativeRef("lead", "425195A4-7a75-e911-a97a-000d3a34a1bd"), "name": "IcM"})
    assert body == {"originatingleadid@odata.bind": "/leads(425195a4-7a75-e911-a97a-000d3a34a1bd)", "name": "IcM"}
