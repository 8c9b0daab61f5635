"""$batch: what is put in comes out, and what is cut off is never taken for done."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dynamics import batch
from connectors.dynamics.batch import ChangeSet, Response
from connectors.dynamics.protocol import Request

READ = Request(method="GET", path="/api/data/v9.2/leads?$select=subject")
WRITE = Request(method="PATCH", path="/api/data/v9.2/leads(1)", body=b"{}", headers={"If-Match": "*"})
ANSWER_TYPE = "multipart/mixed; boundary=batchresponse_1"


def part(status: int, body: object = None, boundary: str = "batchresponse_1") -> bytes:
    text = "" if body is None else json.dumps(body, ensure_ascii=False)
    kind = "Content-Type: application/json; odata.metadata=minimal\r\n" if text else ""
    return (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"HTTP/1.1 {status} Words\r\n{kind}OData-Version: 4.0\r\n\r\n{text}\r\n"
    ).encode()


def change_set(*parts: bytes) -> bytes:
    head = b"--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n"
    return head + b"".join(parts) + b"--changesetresponse_2--\r\n"


END = b"--batchresponse_1--\r\n"


def statuses(results: list[batch.Result]) -> list[object]:
    return [
        each.status if isinstance(each, Response) else None if each is None else tuple(one.status for one in each)
        for each in results
    ]


def test_what_is_sent() -> None:
    content_type, body = batch.encode([READ, ChangeSet((WRITE, WRITE))])
    assert batch.encode([READ, ChangeSet((WRITE, WRITE))]) == (content_type, body)  # a repeat is the same request
    boundary = content_type.partition("boundary=")[2]
    assert body.startswith(f"--{boundary}\r\nContent-Type: application/http\r\n".encode())
    assert b"\r\n\r\nGET /api/data/v9.2/leads?$select=subject HTTP/1.1\r\nAccept: application/json\r\n\r\n" in body
    assert body.count(b"Content-ID: ") == 2  # of the change set's requests alone
    assert body.count(b"If-Match: *") == 2
    assert body.endswith(f"--{boundary}--\r\n".encode())
    assert b"\n" not in body.replace(b"\r\n", b"")


def test_results_by_position() -> None:
    inside = [part(204, boundary="changesetresponse_2"), part(200, {"a": "ö"}, boundary="changesetresponse_2")]
    body = part(404, {"error": {}}) + change_set(*inside) + part(200, {"value": []}) + END
    results = batch.decode([READ, ChangeSet((WRITE, WRITE)), READ], ANSWER_TYPE, body)
    assert statuses(results) == [404, (204, 200), 200]
    assert isinstance(results[1], tuple)
    assert json.loads(results[1][1].body) == {"a": "ö"}
    assert results[1][1].headers["OData-Version"] == "4.0"


@pytest.mark.parametrize("nested", [False, True])
def test_a_failed_change_set_is_one_error(nested: bool) -> None:
    error = part(412, {"error": {}}, boundary="changesetresponse_2" if nested else "batchresponse_1")
    body = (change_set(error) if nested else error) + part(200, {}) + END
    assert statuses(batch.decode([ChangeSet((WRITE, WRITE)), READ], ANSWER_TYPE, body)) == [412, 200]


def test_a_change_set_with_a_part_missing_is_unknown() -> None:
    body = change_set(part(204, boundary="changesetresponse_2")) + END
    assert batch.decode([ChangeSet((WRITE, WRITE))], ANSWER_TYPE, body) == [None]


ROWS = [{"value": [{"name": "Ünïcode\n", "n": number}]} for number in range(3)]
WHOLE = b"".join(part(200, row) for row in ROWS) + change_set(part(204, boundary="changesetresponse_2")) + END


@given(st.integers(0, len(WHOLE)))
def test_a_cut_answer_is_never_read_as_something_else(length: int) -> None:
    items = [READ, READ, READ, ChangeSet((WRITE,))]
    results = batch.decode(items, ANSWER_TYPE, WHOLE[:length])
    assert len(results) == len(items)
    for result, row in zip(results, ROWS, strict=False):
        assert result is None or (isinstance(result, Response) and json.loads(result.body) == row)
    assert statuses(results[3:]) in ([None], [(204,)])


def test_an_answer_that_is_no_batch() -> None:
    assert batch.decode([READ], "text/html", b"<html>") == [None]
    assert batch.decode([READ], ANSWER_TYPE, b"") == [None]
