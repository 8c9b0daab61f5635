"""Whatever a client sends, the Dataverse half answers; and what it refuses has changed nothing."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmbridge.sandbox.core import Request
from tests.support.dataverse import Environment

NOWHERE = "00000000-0000-4000-8000-000000000001"
SEGMENTS = [
    "leads",
    f"leads({NOWHERE})",
    "leads(KEY)",
    "accounts",
    "contacts(lastname='x')",
    "opportunities",
    "$batch",
    "$metadata",
    "$count",
    "$ref",
    "subject",
    "parentaccountid",
    "contact_customer_accounts",
    "WhoAmI",
    "WhoAmI()",
    "WinOpportunity",
    "Merge",
    "Microsoft.Dynamics.CRM.QualifyLead",
    "Microsoft.Dynamics.CRM.CreateMultiple",
    "EntityDefinitions",
    "EntityDefinitions(LogicalName='lead')",
    "Attributes",
    "Microsoft.Dynamics.CRM.StateAttributeMetadata",
    "Keys",
    "RetrieveProcessInstances(EntityId=@a,EntityLogicalName='lead')",
    "RetrieveActivePath(ProcessInstanceId=x)",
    "GlobalOptionSetDefinitions",
    "leadtoopportunitysalesprocesses",
    "leads(",
    "leads('%27)",
    "()",
    "é",
    "RetrieveTotalRecordCount(EntityNames=['lead'])",
    "businessunits",
]
OPTIONS = [
    "$select=subject",
    "$select=",
    "$select=,",
    "$filter=statecode eq 0",
    "$filter=",
    "$filter=(",
    "$filter=subject eq null",
    "$filter=Microsoft.Dynamics.CRM.In(PropertyName='leadid',PropertyValues=[1])",
    "$filter=a/b/c eq 1",
    "$top=x",
    "$top=3",
    "$filter=contains(subject,'[')",
    "$filter=Microsoft.Dynamics.CRM.Today()",
    "$filter=1 eq 1",
    "$filter=subject",
    "$filter=modifiedon ge 9999-12-31T23:59:59Z",
    "$orderby=subject desc",
    "$orderby=,,",
    "$expand=ownerid",
    "$expand=x(",
    "$expand=parentaccountid($select=name;$filter=name eq 'a')",
    "$expand=parentaccountid/$ref",
    "$skiptoken=x",
    "$count=true",
    "$skiptoken=%3Ccookie%20pagenumber=%221%22%20pagingcookie=%22%22%20/%3E",
    "$deltatoken=1",
    "$deltatoken=1!99/99/9999 00:00:00",
    "@a=1",
    "$filter=@a",
    "$filter=leadid in (1)",
    "$apply=x",
    "nonsense",
    "$filter=accountid/any(a:a eq 1)",
    "$id=x",
    "$filter=opportunity_originating_lead/any(o:o/name eq 'x')",
    "$filter=revenue mul 2 eq 4",
    "$filter=subject eq 'x' add 1",
    "$filter=LogicalName eq 'lead'",
    "$filter=now() gt modifiedon",
    "$filter=duration'P1D' eq 1",
]
HEADERS = [
    ("prefer", "odata.track-changes"),
    ("prefer", 'odata.include-annotations="*",odata.maxpagesize=1'),
    ("prefer", "=;,"),
    ("prefer", "return=representation"),
    ("if-match", "*"),
    ("if-match", 'W/"1"'),
    ("if-match", "x"),
    ("if-none-match", "*"),
    ("content-type", "multipart/mixed; boundary=b"),
    ("mscrmcallerid", "x"),
    ("callerobjectid", NOWHERE),
    ("authorization", "x"),
    ("mscrm.suppressduplicatedetection", "false"),
]
USUAL = [
    ["leads"],
    ["leads(KEY)"],
    ["leads(KEY)", "Microsoft.Dynamics.CRM.QualifyLead"],
    ["WinOpportunity"],
    ["Merge"],
    ["accounts", "Microsoft.Dynamics.CRM.UpsertMultiple"],
    ["leads(KEY)", "parentaccountid", "$ref"],
    ["opportunities"],
    ["leadtoopportunitysalesprocesses"],
    ["EntityDefinitions"],
    ["EntityDefinitions(LogicalName='lead')", "Attributes"],
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([NOWHERE, f"/accounts({NOWHERE})"]),
)
names = st.sampled_from(
    [
        "subject",
        "statecode",
        "statuscode",
        "estimatedamount",
        "parentaccountid",
        "parentaccountid@odata.bind",
        "ownerid",
        "ownerid@odata.bind",
        "customerid_account",
        "contact_customer_accounts",
        "leadid",
        "transactioncurrencyid@odata.bind",
        "Status",
        "OpportunityClose",
        "CreateAccount",
        "CreateContact",
        "CreateOpportunity",
        "Target",
        "Subordinate",
        "ProcessInstanceId",
        "Targets",
        "value",
        "@odata.id",
        "@odata.type",
        "estimatedclosedate",
        "overriddencreatedon",
        "x",
    ]
)
bodies = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=6)),
    max_leaves=12,
)
raw = st.one_of(
    bodies.map(lambda body: json.dumps(body).encode()),
    st.sampled_from(
        [
            b"",
            b"{",
            b"\xff",
            b"--b\r\n\r\n--b--",
            b"--b\nContent-Type: application/http\n\nGET leads HTTP/1.1\n\n--b--\n",
            b"--b\nContent-Type: application/http\n\nGET\n\n--b--\n",
            b"--b\nContent-Type: multipart/mixed\n\n--b--\n",
        ]
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]),
    path=st.one_of(st.sampled_from(USUAL), st.lists(st.sampled_from(SEGMENTS), max_size=3)),
    query=st.lists(st.sampled_from(OPTIONS), max_size=3),
    headers=st.lists(st.sampled_from(HEADERS), max_size=3),
    body=raw,
)
def test_every_request_has_an_answer(
    method: str, path: list[str], query: list[str], headers: list[Any], body: bytes
) -> None:
    env = ENVIRONMENT
    env.app.reset()
    key = env.lead(companyname="C")
    before = env.app.dump()
    request = Request(
        method=method,
        path="/api/data/v9.2/" + "/".join(path).replace("KEY", key),
        query="&".join(query).replace(" ", "%20"),
        headers={"authorization": f"Bearer {env.token}", **dict(headers)},
        body=body,
    )
    reply = env.app.commit(request)
    assert 200 <= reply.status < 600
    if reply.status >= 400:
        assert env.app.dump() == before
        assert reply.status == 401 or b'"message"' in reply.body or b"--batchresponse" in reply.body


ENVIRONMENT = Environment()  # made once: a reset is cheaper than a new one
