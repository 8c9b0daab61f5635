"""What an answer of the Dataverse Web API means, and what a request looks like."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dynamics import protocol
from connectors.dynamics.protocol import any_of, as_error, as_outcome, encode, key, meaning, prefer, text_literal, url
from crmbridge.errors import AccessError, OutsideError, RefusedError, TryLater
from crmbridge.model import Later, Refused, Stale, Unknown

GUID = "7c0e6e2b-0d5f-ef11-8c0c-000d3a9b1c11"


def said(code: str, message: str = "words") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (204, b"", "done"),
        (201, b"{}", "done"),
        (401, b"", "login"),
        (429, b"", "later"),
        (429, b"<html>", "later"),
        (429, said("0x80072322"), "later"),
        (500, said("0x80044150", "Generic SQL error: deadlock"), "later"),
        (400, said("0x80071154"), "later"),
        (503, said("0x0", "maintenance"), "later"),
        (500, said("0x80044151"), "unknown"),
        (502, b"<html>bad gateway</html>", "unknown"),
        (503, b"", "unknown"),
        (504, b"{", "unknown"),
        (408, b"", "unknown"),
        (412, said("0x80060882"), "stale"),
        (412, said("0x80040237"), "exists"),
        (412, said("0x80060892"), "exists"),
        (412, said("", "A record with matching key values already exists."), "exists"),
        (412, said("0x80040333", "a duplicate of the current record already exists"), "refused"),
        (404, said("0x80040217"), "missing"),
        (404, said("0x80060888", "Resource not found for the segment 'acounts'."), "refused"),
        (400, said("0x80044331"), "refused"),
        (400, said("0x80040265", "our rule says no"), "refused"),
        (500, said("0x80040224", "plug-in crashed"), "refused"),
        (403, said("0x80040220"), "forbidden"),
        (403, said("0x80072560"), "access"),
        (403, b"", "access"),
        (400, said("0x80040519"), "closed"),
        (400, said("0x80040515"), "closed"),
        (400, said("0x80044352"), "expired"),
        (400, said("0x80072491"), "untracked"),
        (413, b"", "refused"),
        (302, b"", "refused"),
    ],
)
def test_meaning(status: int, body: bytes, kind: str) -> None:
    assert meaning(status, {}, body).kind == kind


def test_a_write_is_told_whether_it_was_carried_out() -> None:
    assert isinstance(as_outcome(meaning(412, {}, said("0x80060882"))), Stale)
    assert isinstance(as_outcome(meaning(503, {}, b"")), Unknown)
    later = as_outcome(meaning(429, {"retry-after": "17"}, b""))
    assert isinstance(later, Later)
    assert later.after_seconds == 17
    long = as_outcome(
        meaning(400, {}, said("0x80044331", "The length of the 'subject' attribute of the 'lead' entity"))
    )
    assert isinstance(long, Refused)
    assert (long.code, long.fields) == ("0x80044331", ("subject",))
    with pytest.raises(AccessError, match="application user"):
        as_outcome(meaning(403, {}, said("0x80072560", "not a member")))


def test_what_is_refused_for_its_values_is_told_apart_from_what_may_pass() -> None:
    def lasting(code: str, status: int = 400) -> bool:
        refused = as_outcome(meaning(status, {}, said(code, "no")))
        assert isinstance(refused, Refused)
        return refused.lasting

    assert all(lasting(code) for code in ("0x80044331", "0x80044330", "0x8004431A", "0x80040239", "0x80048408"))
    assert not lasting("0x80048306", 403), "a right may be given"
    assert not lasting("0x80040265"), "an org's own code may look at anything"
    assert not lasting("0x80040333", 412), "a duplicate may be merged away"


def test_a_read_is_told_who_acts() -> None:
    assert isinstance(as_error(meaning(429, {}, b""), "x"), TryLater)
    assert isinstance(as_error(meaning(502, {}, b""), "x"), TryLater)
    assert isinstance(as_error(meaning(401, {}, b""), "x"), AccessError)
    assert isinstance(as_error(meaning(403, {}, said("0x80040220")), "x"), AccessError)
    assert isinstance(as_error(meaning(400, {}, said("0x80060888")), "x"), OutsideError)


def test_a_private_value_is_not_repeated() -> None:
    text = "Cannot convert the literal 'ada@private.example' to the expected type 'Edm.Int32'."
    told = meaning(400, {}, said("0x80048d19", text))
    assert "ada@private.example" not in told.message
    assert "Edm.Int32" in told.message


@given(st.integers(300, 599), st.binary(max_size=200))
def test_every_answer_has_a_meaning(status: int, body: bytes) -> None:
    told = meaning(status, {}, body)
    assert told.kind != "done"
    if status >= 500 and told.kind == "refused":
        assert b"error" in body  # only the CRM's own words prove that a 5xx was not carried out


@pytest.mark.parametrize("text", ["", "x", f"{GUID})/leads(", f"{GUID}'", "00Q000000000001", f"{{{GUID}}}"])
def test_only_ids_get_into_urls(text: str) -> None:
    with pytest.raises(RefusedError):
        key(text)


def test_urls_are_encoded_once() -> None:
    found = url("leads", select="a,_b_value", filter=f"lastname eq {text_literal(chr(39) + '& +#')}")
    assert found == "/api/data/v9.2/leads?$select=a,_b_value&$filter=lastname%20eq%20%27%27%27%26%20%2B%23%27"
    assert any_of("leadid", [GUID.upper()]) == (
        f"Microsoft.Dynamics.CRM.In(PropertyName='leadid',PropertyValues=[\"{GUID}\"])"
    )


def test_two_hundred_ids_make_a_url_that_is_allowed() -> None:
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(protocol.ids_per_filter)]
    assert len(url("leads", filter=any_of("leadid", ids))) < 32_768  # dataverse-api §2.3


def test_preferences_are_one_header() -> None:
    assert prefer() == {}
    assert prefer(track=True, rows=5000, types=True)["Prefer"] == (
        'odata.track-changes,odata.maxpagesize=5000,odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'
    )


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (Decimal("12500.00"), b"12500.00"),
        (Decimal("1E+3"), b"1000"),
        (date(2026, 11, 30), b'"2026-11-30"'),
        (datetime(2026, 11, 30, 12, 0, 0, 999_999, tzinfo=UTC), b'"2026-11-30T12:00:00Z"'),
        (datetime(2026, 11, 30, 1, tzinfo=timezone(timedelta(hours=2))), b'"2026-11-29T23:00:00Z"'),
        (None, b"null"),
        (True, b"true"),
        (3, b"3"),
        ("Ä", '"Ä"'.encode()),
    ],
)
def test_values_on_the_wire(value: object, wire: bytes) -> None:
    assert encode({"x": value}) == b'{"x":' + wire + b"}"


@pytest.mark.parametrize("version", ['W/"1"', None])
def test_no_patch_without_a_condition(version: str | None) -> None:
    made = protocol.create("leads", GUID, {}, view=None, table="lead")
    assert made.headers == {"If-None-Match": "*"}
    changed = protocol.update("leads", GUID, {}, version=version, table="lead")
    assert changed.headers == {"If-Match": version or "*"}
