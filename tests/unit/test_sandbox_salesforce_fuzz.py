"""Whatever a client sends below /services/data, the org answers; and what it refuses has changed nothing."""

import json
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.salesforce_org import Bench, bench

SEGMENTS = (
    "sobjects Lead Account Contact Opportunity User Organization RecordType Nothing__c describe layouts updated "
    "deleted KEY 00Qxx0000000000 x Id Email CrmBridge_Id__c Name query queryAll limits recordCount recent composite "
    "graph batch tree jobs search process approvals quickActions é %00 %2F . .. .json x.xml Lead.json 0r8x-2000"
).split()
USUAL = (
    "sobjects/Lead sobjects/Lead/KEY sobjects/Lead/Id/KEY sobjects/Lead/CrmBridge_Id__c/k sobjects/Lead/updated "
    "sobjects/Lead/deleted sobjects/Lead/describe sobjects/Lead/describe/layouts/KEY recent limits/recordCount query "
    "composite/sobjects composite/sobjects/Lead composite/sobjects/Lead/CrmBridge_Id__c composite composite/graph "
    "composite/batch composite/tree/Lead composite/tree/Account"
).split()
OPTIONS = (
    "fields= fields=Id,City fields=Foo fields=, ids=KEY ids=,, ids=x,y allOrNone=true allOrNone=x limit=1 limit=-1 "
    "limit=9999999999999999999999 updateOnly=true updateOnly=? start=2026-01-01T00:00:00Z end=2026-01-31T00:00:00Z "
    "start=0001-01-01T00:00:00%2B23:59 end=9999-12-31T23:59:59-23:59 start=x q= q=SELECT q=SELECT+Id+FROM+Lead "
    "_HttpMethod=PATCH _HttpMethod=DELETE _HttpMethod=x sObjects=Lead,x explain=x columns=true"
).split()
HEADERS = [
    ("if-modified-since", "Sat, 31 Jan 2026 09:15:22 GMT"),
    ("if-unmodified-since", "Sat, 31 Jan 0001 09:15:22 GMT"),
    ("if-unmodified-since", "Mon, 1 Jan 9999 00:00:00 +9999"),
    ("if-modified-since", "x"),
    ("if-match", '"'),
    ("if-none-match", "*"),
    ("sforce-query-options", "batchSize=x"),
    ("sforce-query-options", "batchSize=99999999999999999999"),
    ("sforce-auto-assign", "é"),
    ("sforce-mru", "updateMru=true"),
    ("sforce-unheard-of", ""),
    ("sforce-call-options", "client=x"),
    ("sforce-duplicate-rule-header", "allowSave=true; includeRecordDetails=true"),
    ("accept", ","),
    ("accept", "application/xml"),
    ("accept-encoding", "gzip"),
    ("content-encoding", "gzip"),
    ("content-encoding", "br"),
    ("content-type", "text/plain"),
    ("content-type", ";"),
    ("x-prettyprint", "1"),
    ("x-http-method-override", "DELETE"),
]
URLS = [
    "/services/data/v60.0/sobjects/Lead",
    "/services/data/v60.0/sobjects/Lead/@{a.id}",
    "/services/data/v60.0/sobjects/Lead/KEY",
    "/services/data/v60.0/query?q=SELECT Id FROM Lead WHERE Name = '@{a.x[0]}'",
    "/services/data/v60.0/composite/sobjects",
    "/services/data/v60.0",
    "v60.0/sobjects/Lead",
    "v60.0/limits",
    "//[",
    "@{a}",
]
KEYS = (
    "LastName Company Email City Status AnnualRevenue NumberOfEmployees OwnerId ConvertedDate IsConverted Latitude "
    "Id id attributes type referenceId records allOrNone ids fields CrmBridge_Id__c Account Contacts Opportunities "
    "compositeRequest collateSubrequests graphs graphId batchRequests haltOnError method url richInput body "
    "httpHeaders binaryPartName Name CloseDate StageName Amount CreatedDate Birthdate"
).split()
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([*URLS, "KEY", "Lead", "Account", "a", "POST", "GET", "PATCH", "1e999999999", "-0", "NaN", "\x00"]),
)
bodies: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=15,
)  # fmt: skip
records = st.lists(
    st.builds(
        lambda kind, rest: {**rest, "attributes": {"type": kind, "referenceId": "r"}},
        st.sampled_from(["Lead", "Account", "x"]),
        st.dictionaries(st.sampled_from(KEYS), bodies, max_size=3),
    ),
    max_size=3,
)
subs = st.lists(
    st.builds(
        lambda method, url, name, body: {"method": method, "url": url, "referenceId": name, "body": body},
        st.sampled_from(["GET", "POST", "PATCH", "DELETE", "x"]),
        st.sampled_from(URLS),
        st.sampled_from(["a", "b", "c"]),
        bodies,
    ),
    max_size=3,
)
whole = st.one_of(
    bodies,
    records.map(lambda given: {"records": given}),
    subs.map(lambda given: {"compositeRequest": given}),
    subs.map(lambda given: {"graphs": [{"graphId": "g", "compositeRequest": given}]}),
    subs.map(lambda given: {"batchRequests": [{"method": sub["method"], "url": sub["url"]} for sub in given]}),
)
raw = st.one_of(
    whole.map(lambda body: json.dumps(body).encode()),
    st.sampled_from([b"", b"{", b"\xff", b"1e999999999", b'{"NumberOfEmployees": 1e999999}', b"[" * 5000, b"\x1f\x8b"]),
)


@cache
def org() -> Bench:
    return bench()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "get", "é"]),
    path=st.one_of(st.sampled_from(USUAL), st.lists(st.sampled_from(SEGMENTS), max_size=4).map("/".join)),
    query=st.lists(st.sampled_from(OPTIONS), max_size=3).map("&".join),
    headers=st.lists(st.sampled_from(HEADERS), max_size=3),
    body=raw,
    version=st.sampled_from([20, 45, 60, 67]),
)
def test_every_request_has_an_answer(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, version: int
) -> None:
    box = org()
    box.app.reset()
    box.token = box.app.credentials["access_token"]
    key = box.create("Lead", LastName="a", Company="b", CrmBridge_Id__c="k")
    before = box.app.dump()
    whole_path = f"/services/data/v{version}.0/{path}?{query}".replace("KEY", key)
    reply = box.send(method, whole_path, body.replace(b"KEY", key.encode()), dict(headers))
    assert 200 <= reply.status < 500 or reply.status == 501
    if reply.status >= 400:
        assert box.app.dump() == before
        if "Content-Encoding" not in dict(reply.headers):
            told = json.loads(reply.body)
            problems = told["results"] if isinstance(told, dict) else told
            assert all("message" in each or "errors" in each for each in problems)
