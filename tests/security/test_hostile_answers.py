"""What an answer may do to us: XML entities, size, nesting, zip bombs, endless numbers, parts within parts."""

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from connectors import bounds, http
from connectors.dynamics import batch
from connectors.dynamics.protocol import read
from connectors.http import Session
from connectors.salesforce import soap
from connectors.salesforce.auth import SalesforceConfig, Tokens
from connectors.salesforce.protocol import Meaning
from crmbridge.errors import LostAnswer, OutsideError
from tests.security.test_hostile_urls import Serving

ENVELOPE = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><e:Body>'
)
CONVERTED = (
    f"{ENVELOPE}<convertLeadResponse><result><accountId>{{value}}</accountId><success>true</success></result>"
    "</convertLeadResponse></e:Body></e:Envelope>"
)
LAUGHS = '<!DOCTYPE l [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
) + "]>"  # fmt: skip
XML = {
    "file": ('<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"),
    "network": ('<!DOCTYPE l [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>', "&x;"),
    "external-dtd": ('<!DOCTYPE l SYSTEM "http://127.0.0.1:9/x.dtd">', "1"),
    "parameter": ('<!DOCTYPE l [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]>', "1"),
    "laughs": (LAUGHS, "&a9;"),
    "quadratic": (f'<!DOCTYPE l [<!ENTITY x "{"h" * 50_000}">]>', "&x;" * 5_000),
    "internal": ('<!DOCTYPE l [<!ENTITY x "001canary">]>', "&x;"),
}


def cheaply(work: Callable[[], object]) -> object:
    tracemalloc.start()
    began = time.process_time()
    try:
        return work()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 256 * 2**20
        assert time.process_time() - began < 60


@pytest.mark.parametrize(("declared", "value"), XML.values(), ids=list(XML))
def test_an_answer_of_soap_that_declares_anything_is_no_answer(declared: str, value: str) -> None:
    body = (declared + CONVERTED.format(value=value)).encode()
    said = cheaply(lambda: soap.converted(200, body))
    assert isinstance(said, Meaning)
    assert said.kind == "unknown"  # it was sent, and nobody knows what came of it
    assert "root:" not in repr(said)
    assert soap.user_info(200, body) == soap.user_info(200, b"")
    assert soap.session_refused(500, body) is False


def test_the_same_answer_without_a_declaration_is_read() -> None:
    said = soap.converted(200, CONVERTED.format(value="001000000000001AAA").encode())
    assert isinstance(said, soap.ConvertResult)
    assert said.account_id == "001000000000001AAA"


@pytest.mark.parametrize("body", ["<a>" * 100_000, ENVELOPE + "<a>" * 100_000, CONVERTED[:200], "<html>", ""])
def test_an_answer_of_soap_of_another_shape_is_unknown(body: str) -> None:
    said = cheaply(lambda: soap.converted(200, body.encode()))
    assert isinstance(said, Meaning)
    assert said.kind == "unknown"


LOGIN = (
    f"{ENVELOPE}<loginResponse><result><sessionId>{{value}}</sessionId><serverUrl>https://acme.my.salesforce.com/x"
    "</serverUrl></result></loginResponse></e:Body></e:Envelope>"
)


@pytest.mark.parametrize(("declared", "value"), XML.values(), ids=list(XML))
def test_a_login_that_declares_anything_is_refused(declared: str, value: str) -> None:
    with Serving(declared + LOGIN.format(value=value)) as url:
        tokens = Tokens(
            SalesforceConfig(
                name="sf",
                url="https://acme.my.salesforce.com",
                login_url=url,
                flow="password",
                username="u",
                password="p",
            ),
            Session(url, name="sf"),
        )
        with pytest.raises(OutsideError):
            cheaply(tokens.token)


# --- size and nesting -------------------------------------------------------------------------------------------------


def bomb(kind: str) -> bytes:
    plain = b"0" * (bounds_of_body() + 1)
    return gzip.compress(plain) if kind == "gzip" else zlib.compress(plain) if kind == "deflate" else plain


def bounds_of_body() -> int:
    return http.body_bytes_max


@pytest.mark.parametrize("kind", ["gzip", "deflate", "plain"])
def test_an_answer_too_large_is_cut_off(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "body_bytes_max", 4 * 2**20)
    headers = [] if kind == "plain" else [f"Content-Encoding: {kind}"]
    with Answering(bomb(kind), *headers) as url, pytest.raises(LostAnswer) as caught:
        cheaply(lambda: Session(url, name="crm").send("GET", "/x", kind="query", repeat=True))
    assert caught.value.code == "too_large"


DEEP = {
    "lists": b"[" * 100_000 + b"]" * 100_000,
    "maps": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "open": b"[" * 100_000,
    "hidden-by-texts": b'["]",' * 100_000 + b"1" + b"]" * 100_000,
    "unknown-key": b'{"value":[],"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "error": b'{"error":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
}
NUMBERS = {
    "exponent": b'{"value":[{"amount":1e999999999}]}',
    "exponent-plus": b'{"value":[{"amount":1.5E+0099999}]}',
    "minus": b'{"value":[{"amount": -2E99999 }]}',
    "tiny": b'{"value":[{"amount":1e-999999999}]}',
    "digits": b'{"value":[{"amount":' + b"9" * 100_000 + b"}]}",
}


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
@pytest.mark.parametrize("body", [*DEEP.values(), *NUMBERS.values()], ids=[*DEEP, *NUMBERS])
def test_an_answer_nested_or_counted_without_end_is_thrown_away(body: bytes, status: str) -> None:
    with Answering(body, "Content-Type: application/json", status=status) as url, pytest.raises(LostAnswer) as caught:
        cheaply(lambda: Session(url, name="crm").send("POST", "/x", kind="create", body=b"{}"))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 60 + b"1" + b"}" * 60,
        b'{"amount":123456789012345678901234567890.5,"rate":1.5E+12,"small":2e-300,"text":"1e999999999 [[[["}',
        b'--batchresponse_1e123456\r\nOData-EntityId: https://x/leads(5e123456-1)\r\n\r\n{"id":"1e123456"}',
        b'{"open": "\\"[[[["}',
        b"",
    ],
    ids=["deep-enough", "numbers", "batch", "brackets-in-text", "empty"],
)
def test_what_a_crm_says_passes(body: bytes) -> None:
    assert bounds.beyond("multipart/mixed" if body.startswith(b"--") else "application/json", body) is None


@pytest.mark.slow  # each allocation is counted
def test_parts_within_parts_without_end_are_no_answer() -> None:
    body = b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (level, level + 1) for level in range(3_000)
    )
    request = read("accounts", table="account")
    assert cheaply(lambda: batch.decode([request], "multipart/mixed; boundary=b0", body)) == [None]


class Answering(Serving):
    def __init__(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        super().__init__("", status, *headers)
        head = "\r\n".join(
            [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        )
        self._answer = head.encode() + body
