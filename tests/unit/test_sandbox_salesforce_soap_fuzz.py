"""Whatever is sent to the SOAP port and the identity services is answered, by chance: no exception, no odd status.

The seed is in the test's name; a refusal leaves the org as it was.
"""

import json
import random
from urllib.parse import urlencode

import pytest
from lxml import etree

from crmbridge.sandbox.adapter import ORIGINS
from crmbridge.sandbox.core import Request
from crmbridge.sandbox.sandbox import Sandbox

CALLS = (
    "login logout invalidateSessions setPassword query queryAll queryMore retrieve create update upsert delete "
    "undelete emptyRecycleBin convertLead merge getUpdated getDeleted describeGlobal describeSObject describeSObjects "
    "getUserInfo getServerTimestamp search dance".split()
)
NAMES = (
    "username password sessionIds userId queryString queryLocator fieldList sObjectType ids externalIDFieldName "
    "sObjects leadConverts leadId convertedStatus accountId ownerId opportunityName doNotCreateOpportunity request "
    "masterRecord recordToMergeIds startDate endDate type Id fieldsToNull LastName Company Name Amount CloseDate "
    "IsConverted Account OwnerId Email nothing".split()
)
HEADERS = (
    "CallOptions QueryOptions AllOrNoneHeader AssignmentRuleHeader DuplicateRuleHeader MruHeader EmailHeader Dance "
    "AllowFieldTruncationHeader OwnerChangeOptions LocaleOptions".split()
)
TEXTS = (
    "", " ", "Lead", "Account", "Id", "Id, Name", "true", "1", "x" * 300, "00Q000000000000AAA", "001", "-5", "1e999",
    "NaN", "2026-01-01", "2026-01-31T00:00:00Z", "9999-12-31T23:59:59Z", "SELECT Id FROM Lead", "SELECT Name FROM",
    "SELECT COUNT() FROM Lead",
    "Closed - Converted", "Ümläut & <b>", "\u0085", "'; --", "0r8000000000000-1", "a,b", "005", "%00",
)  # fmt: skip


def envelope(rng: random.Random, session: str, known: list[str]) -> bytes:
    root = etree.Element("Envelope")
    header = etree.SubElement(root, "Header")
    etree.SubElement(etree.SubElement(header, "SessionHeader"), "sessionId").text = rng.choice([session] * 9 + ["x"])
    for name in rng.sample(HEADERS, rng.randint(0, 2)):
        grow(rng, etree.SubElement(header, name), known, 1)
    operation = etree.SubElement(etree.SubElement(root, "Body"), rng.choice(CALLS))
    grow(rng, operation, known, 3)
    body = etree.tostring(root)
    if rng.random() < 0.1:
        at = rng.randrange(len(body))
        body = body[:at] + rng.choice([b"", b"<", b"&", b"\x00", b"\xff", b"</a>"]) + body[at + rng.randint(0, 9) :]
    return body


def grow(rng: random.Random, element: etree._Element, known: list[str], depth: int) -> None:
    for _ in range(rng.randint(0, 4)):
        child = etree.SubElement(element, rng.choice(NAMES))
        if depth and rng.random() < 0.4:
            grow(rng, child, known, depth - 1)
        elif rng.random() < 0.1:
            child.set("{http://www.w3.org/2001/XMLSchema-instance}nil", "true")
        else:
            child.text = rng.choice([*TEXTS, *known])


@pytest.mark.parametrize("seed", range(3))
def test_the_soap_port_answers_whatever_is_sent(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(seed)
    sandbox = Sandbox("sample")
    session = sandbox.apps.salesforce.credentials["access_token"]
    dump = sandbox.dump()["salesforce"]
    known = [row["Id"] for name in ("Lead", "Account", "Contact", "User") for row in dump[name]][:40]
    for _ in range(400):
        body = envelope(rng, session, known)
        before = sandbox.dump()["salesforce"] if rng.random() < 0.05 else None
        path = f"/services/Soap/u/{rng.choice(['20.0', '27.0', '59.0', '65.0', '9.0', 'x'])}"
        headers = {"soapaction": "", "content-type": "text/xml"}
        request = Request(method="POST", path=path, headers=headers, body=body, origin=ORIGINS["salesforce"])
        reply = sandbox.commit("salesforce", request)
        assert reply.status in (200, 500), body
        assert reply.headers[0] == ("Content-Type", "text/xml; charset=utf-8"), body
        etree.fromstring(reply.body)  # well-formed, whatever came in
        if reply.status == 500 and before is not None:
            assert sandbox.dump()["salesforce"] == before, body
        if sandbox.commit("salesforce", me(session)).status == 401:  # it has logged itself out
            session = sandbox.crms["salesforce"].login_as("sync@acme.example")["access_token"]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def me(session: str) -> Request:
    return Request(method="GET", path="/services/oauth2/userinfo", headers={"authorization": f"Bearer {session}"})


FORM = (
    "grant_type client_id client_secret username password refresh_token assertion scope resource client_assertion "
    "client_assertion_type token format client_info".split()
)
GRANTS = (
    "client_credentials", "password", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "authorization_code",
)  # fmt: skip
PATHS = {
    "salesforce": (
        "/services/oauth2/token", "/services/oauth2/revoke", "/services/oauth2/introspect", "/services/oauth2/userinfo",
        "/services/oauth2/authorize", "/id/a/b", "/id/keys", "/.well-known/openid-configuration", "/services/oauth2/x",
    ),
    "identity": (
        "/{t}/oauth2/v2.0/token", "/{t}/oauth2/token", "/common/oauth2/token", "/common/discovery/instance",
        "/{t}/v2.0/.well-known/openid-configuration", "/{t}/discovery/v2.0/keys", "/x/oauth2/token", "/", "/{t}/x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("service", ["salesforce", "identity"])
@pytest.mark.parametrize("seed", range(3))
def test_the_identity_services_answer_whatever_is_sent(
    service: str, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(seed)
    sandbox = Sandbox("empty")
    side = "salesforce" if service == "salesforce" else "dynamics"
    given = dict(sandbox.crms[side].credentials)
    words = [
        *GRANTS,
        *given.values(),
        "",
        "x",
        "https://[/.default",
        "https://a.crm.dynamics.com/.default",
        "a.b.c",
        "json",
        "xml",
        "é" * 9,
    ]
    for _ in range(400):
        form = {name: rng.choice(words) for name in rng.sample(FORM, rng.randint(0, 8))}
        form |= {"grant_type": rng.choice(GRANTS)} if rng.random() < 0.7 else {}
        form |= {name: given[name] for name in ("client_id", "client_secret") if rng.random() < 0.6}
        raw = urlencode(form).encode() if rng.random() < 0.9 else rng.randbytes(40)
        path = rng.choice(PATHS[service]).format(t=given.get("tenant_id", ""))
        words_of_header = ["", "Bearer x", "Basic x", "Basic eA==", "Bearer", "é", f"Bearer {given['access_token']}"]
        headers = {"authorization": rng.choice(words_of_header)}
        request = Request(
            method=rng.choice(["POST", "POST", "POST", "GET", "PUT"]),
            path=path,
            query=rng.choice(
                ["", "format=xml", "oauth_token=x", "authorization_endpoint=https%3A%2F%2F%5B", "%ff", "token=x"]
            ),
            headers=headers,
            body=raw,
            origin=rng.choice(["https://login.salesforce.com", "https://localhost:1"]),
        )
        reply = sandbox.commit("salesforce" if service == "salesforce" else "identity", request)
        assert reply.status in (200, 400, 401, 403, 404, 405, 501), (path, form)
        if dict(reply.headers).get("Content-Type", "").startswith("application/json"):
            json.loads(reply.body)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
