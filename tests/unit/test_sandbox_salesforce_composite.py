"""Many records or requests in one call: Composite, Graph, Batch, Tree (salesforce-api §3.2-§3.4)."""

from typing import Any

import pytest

from tests.support.salesforce_org import Bench, bench

LEAD = {"LastName": "a", "Company": "b"}


@pytest.fixture
def org() -> Bench:
    return bench()


def sub(method: str, path: str, name: str, body: Any = None, **headers: str) -> dict[str, Any]:
    given = {"method": method, "url": f"/services/data/v60.0/{path}", "referenceId": name, "httpHeaders": headers}
    return given if body is None else {**given, "body": body}


def graph(name: str, *subs: dict[str, Any]) -> dict[str, Any]:
    return {"graphId": name, "compositeRequest": [{k: v for k, v in each.items() if v != {}} for each in subs]}


def count(org: Bench, name: str) -> int:
    return org.query(f"SELECT COUNT() FROM {name}").body["totalSize"]


# --- Collections ---------------------------------------------------------------------------------------------------


def test_collections_know_their_limits(org: Bench) -> None:
    row = {"attributes": {"type": "Lead"}, **LEAD}
    mixed = [{"attributes": {"type": name}, **LEAD, "Name": "x"} for name in ("Lead", "Account") * 6]
    assert org.rest("POST", "composite/sobjects", {"records": mixed}).codes == ["LIMIT_EXCEEDED"]
    assert org.rest("POST", "composite/sobjects", {"records": [row] * 200}).status == 200
    assert org.rest("PATCH", "composite/sobjects/Lead/Email", {"records": [row] * 201}).codes == ["EXCEEDED_ID_LIMIT"]
    ids = ",".join(found["Id"] for found in org.rows("SELECT Id FROM Lead"))
    assert org.rest("DELETE", f"composite/sobjects?ids={ids},{ids[:18]}").codes == ["EXCEEDED_ID_LIMIT"]
    assert org.rest("POST", "composite/sobjects/Lead", {"ids": ["x"] * 2001, "fields": ["Id"]}).status == 400
    assert count(org, "Lead") == 200


def test_collections_read_by_get_and_by_post(org: Bench) -> None:
    first, second = (org.create("Lead", **LEAD, City=city) for city in ("Oslo", "Bergen"))
    org.rest("DELETE", f"sobjects/Lead/{second}")
    path = f"composite/sobjects/Lead?ids={first},{second}&fields=Id,City"
    got = org.rest("GET", path)
    posted = org.rest("POST", "composite/sobjects/Lead", {"ids": [first, second], "fields": ["Id", "City"]})
    assert got.body == posted.body
    url = f"/services/data/v60.0/sobjects/Lead/{first}"
    assert got.body == [{"attributes": {"type": "Lead", "url": url}, "Id": first, "City": "Oslo"}, None]
    refused = org.rest("POST", "composite/sobjects/Lead", {"ids": [first], "fields": ["Nothing"]})
    assert (refused.status, refused.codes) == (400, ["INVALID_FIELD"])


def test_collections_delete_all_or_none(org: Bench) -> None:
    key = org.create("Lead", **LEAD)
    removed = org.rest("DELETE", f"composite/sobjects?ids={key},00Qxx0000000000&allOrNone=true").body
    assert [item["errors"][0]["statusCode"] for item in removed] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "INVALID_CROSS_REFERENCE_KEY",
    ]
    assert count(org, "Lead") == 1


@pytest.mark.parametrize(
    "body",
    [
        {"records": [], "allOrNun": True},
        {"records": [], "allOrNone": "perhaps"},
        {"records": {}},
        {"records": [None]},
        {},
    ],
)
def test_an_envelope_that_is_not_understood_is_refused_as_a_whole(org: Bench, body: Any) -> None:
    answered = org.rest("POST", "composite/sobjects", body)
    assert (answered.status, answered.codes) == (400, ["JSON_PARSER_ERROR"])


# --- Composite -----------------------------------------------------------------------------------------------------


def composite(org: Bench, *subs: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answered = org.rest("POST", "composite", {"compositeRequest": list(subs), **more})
    assert answered.status == 200, answered.body
    return answered.body["compositeResponse"]


def test_a_reference_may_stand_in_urls_bodies_and_lists(org: Bench) -> None:
    answers = composite(
        org,
        sub("POST", "sobjects/Account", "acc", {"Name": "Smith & Sons?"}),
        sub("GET", "sobjects/Account/@{acc.id}", "read"),
        sub("GET", "query?q=SELECT+Id+FROM+Account+WHERE+Name='@{read.Name}'", "found"),
        sub("PATCH", "sobjects/Account/@{found.records[0].Id}", "edit", {"Site": "at @{read.Name}"}),
        sub("GET", "sobjects/Account/@{acc.id}?fields=Site", "again"),
    )
    assert [answer["httpStatusCode"] for answer in answers] == [201, 200, 200, 204, 200]
    assert answers[4]["body"]["Site"] == "at Smith & Sons?"
    assert answers[0]["httpHeaders"]["Location"].endswith(answers[0]["body"]["id"])
    assert "ETag" in answers[1]["httpHeaders"]
    assert (answers[3]["body"], answers[3]["httpHeaders"]) == (None, {})


def test_a_subrequest_has_conditions_of_its_own(org: Bench) -> None:
    key = org.create("Lead", **LEAD)
    since = {"If-Modified-Since": "Sat, 31 Jan 2026 10:00:00 GMT"}
    (answer,) = composite(org, sub("GET", f"sobjects/Lead/{key}", "r", **since))
    assert (answer["body"], answer["httpStatusCode"]) == (None, 304)
    assert answer["httpHeaders"]["Last-Modified"] == "Sat, 31 Jan 2026 09:15:22 GMT"


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        (sub("GET", "composite", "r"), 400, "INVALID_INPUT"),
        (sub("GET", "limits", "r", Authorization="x"), 400, "INVALID_INPUT"),
        (sub("GET", "limits", "r", **{"Sforce-Unheard-Of": "x"}), 501, "NOT_SERVED_BY_SANDBOX"),
        ({"method": "GET", "url": "/elsewhere", "referenceId": "r"}, 400, "INVALID_INPUT"),
        ({"method": "GET", "url": "/services/data/v99.0/limits", "referenceId": "r"}, 404, "NOT_FOUND"),
        ({"method": "GET", "url": "/services/data/v60.0/sobjects/Nothing", "referenceId": "r"}, 404, "NOT_FOUND"),
        ({"method": "SING", "url": "/services/data/v60.0/limits", "referenceId": "r"}, 405, "METHOD_NOT_ALLOWED"),
        ({"method": "POST", "url": "/services/data/v60.0/sobjects/Lead", "referenceId": "r"}, 400, "JSON_PARSER_ERROR"),
    ],
)
def test_a_subrequest_that_cannot_be_served_says_so_in_its_place(
    org: Bench, wrong: dict[str, Any], status: int, code: str
) -> None:
    fine = sub("GET", "limits", "fine")
    answers = composite(org, wrong, fine)
    assert (answers[0]["httpStatusCode"], answers[0]["body"][0]["errorCode"]) == (status, code)
    assert answers[1]["httpStatusCode"] == 200


def test_composite_knows_its_limits(org: Bench) -> None:
    def refused(*subs: dict[str, Any], **more: Any) -> list[str]:
        answered = org.rest("POST", "composite", {"compositeRequest": list(subs), **more})
        assert answered.status == 400
        return answered.codes

    many = [sub("GET", "limits", f"r{number}") for number in range(26)]
    assert refused(*many) == refused() == ["LIMIT_EXCEEDED"]
    assert len(composite(org, *many[:25])) == 25
    queries = [sub("GET", "query?q=SELECT+Id+FROM+Lead", f"r{number}") for number in range(6)]
    assert refused(*queries) == ["LIMIT_EXCEEDED"]
    assert len(composite(org, *queries[:5], collateSubrequests=False)) == 5
    assert refused(sub("GET", "limits", "a"), sub("GET", "limits", "a")) == ["INVALID_INPUT"]
    for name in ("_a", "a b", "a:b", "", "ä"):
        assert refused(sub("GET", "limits", name)) == ["INVALID_INPUT"]
    assert [answer["referenceId"] for answer in composite(org, sub("GET", "limits", "00Qa"))] == ["00Qa"]
    assert refused(sub("GET", "limits", "a"), allOrNothing=True) == ["JSON_PARSER_ERROR"]
    assert refused({**sub("GET", "limits", "a"), "headers": {}}) == ["JSON_PARSER_ERROR"]
    assert org.rest("GET", "composite").body["tree"] == "/services/data/v60.0/composite/tree"
    assert org.rest("POST", "composite", {}, version="37.0").status == 404


def test_a_composite_is_one_call(org: Bench) -> None:
    before = org.rest("GET", "limits").body["DailyApiRequests"]["Remaining"]
    composite(org, *[sub("GET", "limits", f"r{number}") for number in range(9)])
    assert before - org.rest("GET", "limits").body["DailyApiRequests"]["Remaining"] == 2


# --- Graph ---------------------------------------------------------------------------------------------------------


def test_a_graph_is_all_or_nothing_and_graphs_are_independent(org: Bench) -> None:
    good = graph(
        "good",
        sub("POST", "sobjects/Account", "acc", {"Name": "Acme"}),
        sub("POST", "sobjects/Contact", "con", {"LastName": "Roe", "AccountId": "@{acc.id}"}),
        sub("PATCH", "sobjects/Contact/@{con.id}", "edit", {"Title": "Boss"}),
        sub("PATCH", "sobjects/Lead/CrmBridge_Id__c/k-1", "up", LEAD),
        sub("GET", "sobjects/Contact/@{con.id}", "read"),
        sub("DELETE", "sobjects/Lead/@{up.id}", "gone"),
    )
    bad = graph(
        "bad",
        sub("POST", "sobjects/Account", "acc", {"Name": "Lost"}),
        sub("POST", "sobjects/Contact", "con", {"AccountId": "@{acc.id}"}),
        sub("POST", "sobjects/Contact", "more", {"LastName": "x"}),
    )
    answered = org.rest("POST", "composite/graph", {"graphs": [bad, good]})
    assert answered.status == 200
    failed, fine = answered.body["graphs"]
    assert (failed["graphId"], failed["isSuccessful"]) == ("bad", False)
    codes = [item["body"][0]["errorCode"] for item in failed["graphResponse"]["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED"]
    assert (fine["graphId"], fine["isSuccessful"]) == ("good", True)
    statuses = [item["httpStatusCode"] for item in fine["graphResponse"]["compositeResponse"]]
    assert statuses == [201, 201, 204, 201, 200, 204]
    assert [row["Name"] for row in org.rows("SELECT Name FROM Account")] == ["Acme"]
    assert org.one("SELECT Title, Account.Name FROM Contact")["Title"] == "Boss"
    assert org.world.calls[-3].kind == "composite_graph"


def test_graphs_know_their_limits(org: Bench) -> None:
    def refused(*graphs: dict[str, Any]) -> list[str]:
        answered = org.rest("POST", "composite/graph", {"graphs": list(graphs)})
        assert answered.status == 400
        return answered.codes

    node = sub("POST", "sobjects/Account", "a", {"Name": "x"})
    nodes = [{**node, "referenceId": f"a{number}"} for number in range(501)]
    assert refused(graph("g", *nodes)) == ["LIMIT_EXCEEDED"]
    assert refused(*[graph(f"g{number}", node) for number in range(76)]) == ["LIMIT_EXCEEDED"]
    chain = [sub("POST", "sobjects/Account", "a0", {"Name": "x"})]
    chain += [
        sub("POST", "sobjects/Account", f"a{n}", {"Name": "x", "ParentId": f"@{{a{n - 1}.id}}"}) for n in range(1, 16)
    ]
    assert refused(graph("g", *chain)) == ["LIMIT_EXCEEDED"]
    kinds = [sub("GET", f"sobjects/X{number}__c/a", f"k{number}") for number in range(16)]
    assert refused(graph("g", *kinds)) == ["LIMIT_EXCEEDED"]
    for wrong in (
        sub("GET", "query?q=SELECT+Id+FROM+Lead", "q"),
        sub("GET", "sobjects/Lead", "q"),
        sub("PUT", "sobjects/Lead/x", "q"),
        sub("POST", "composite/sobjects", "q"),
    ):
        assert refused(graph("g", wrong)) == ["INVALID_INPUT"]
    assert refused(graph("g", node), graph("g", node)) == ["INVALID_INPUT"]
    assert count(org, "Account") == 0
    assert org.rest("POST", "composite/graph", {"graphs": [graph("g", *chain[:15])]}).status == 200
    assert org.rest("POST", "composite/graph", {}, version="49.0").status == 404


def test_after_many_failures_the_other_graphs_are_not_tried(org: Bench) -> None:
    bad = [graph(f"bad{n}", sub("POST", "sobjects/Account", "a", {})) for n in range(15)]
    good = graph("good", sub("POST", "sobjects/Account", "a", {"Name": "x"}))
    answered = org.rest("POST", "composite/graph", {"graphs": [*bad[:14], good, bad[14], {**good, "graphId": "late"}]})
    assert [item["graphId"] for item in answered.body["graphs"] if item["isSuccessful"]] == ["good"]
    late = answered.body["graphs"][-1]["graphResponse"]["compositeResponse"][0]
    assert (late["httpStatusCode"], late["body"][0]["errorCode"]) == (400, "PROCESSING_HALTED")


# --- Batch ---------------------------------------------------------------------------------------------------------


def test_a_batch_carries_out_each_request_by_itself(org: Bench) -> None:
    key = org.create("Lead", **LEAD)
    requests = [
        {"method": "PATCH", "url": f"v60.0/sobjects/Lead/{key}", "richInput": {"City": "Oslo"}},
        {"method": "POST", "url": "v60.0/sobjects/Lead", "richInput": {}},
        {"method": "GET", "url": f"v45.0/sobjects/Lead/{key}?fields=City"},
        {"method": "GET", "url": "v60.0/query?q=SELECT+Id+FROM+Lead"},
    ]
    before = org.rest("GET", "limits").body["DailyApiRequests"]["Remaining"]
    answered = org.rest("POST", "composite/batch", {"batchRequests": requests})
    assert (answered.status, answered.body["hasErrors"]) == (200, True)
    results = answered.body["results"]
    assert [item["statusCode"] for item in results] == [204, 400, 200, 200]
    assert results[0]["result"] is None
    assert results[1]["result"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert results[2]["result"]["attributes"]["url"] == f"/services/data/v45.0/sobjects/Lead/{key}"
    assert before - org.rest("GET", "limits").body["DailyApiRequests"]["Remaining"] == len(requests) + 1
    call = org.world.calls[-2]
    assert call.operations == (("Lead", "update"), ("Lead", "create"), ("Lead", "retrieve"), ("Lead", "query"))


def test_a_batch_can_halt(org: Bench) -> None:
    make = {"method": "POST", "url": "v60.0/sobjects/Lead", "richInput": LEAD}
    requests = [make, {**make, "richInput": {}}, make]
    answered = org.rest("POST", "composite/batch", {"batchRequests": requests, "haltOnError": True})
    assert [item["statusCode"] for item in answered.body["results"]] == [201, 400, 412]
    assert answered.body["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert count(org, "Lead") == 1  # what came before stays


def test_a_batch_knows_its_limits() -> None:
    org = bench({"org": {"daily_api_requests": 5}})
    make = {"method": "POST", "url": "v60.0/sobjects/Lead", "richInput": LEAD}
    assert org.rest("POST", "composite/batch", {"batchRequests": [make] * 26}).codes == ["LIMIT_EXCEEDED"]
    nested = {"method": "POST", "url": "v60.0/composite", "richInput": {}}
    absolute = {"method": "GET", "url": "/services/data/v60.0/limits"}
    binary = {**make, "binaryPartName": "x"}
    answered = org.rest("POST", "composite/batch", {"batchRequests": [nested, absolute, binary]})
    assert [item["statusCode"] for item in answered.body["results"]] == [400, 200, 501]
    answered = org.rest("POST", "composite/batch", {"batchRequests": [make] * 2})
    assert [item["statusCode"] for item in answered.body["results"]] == [201, 403]


# --- Tree ----------------------------------------------------------------------------------------------------------


def node(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    children = {key: {"records": value} for key, value in fields.items() if isinstance(value, list)}
    return {"attributes": {"type": kind, "referenceId": name}, **fields, **children}


def test_a_tree_is_created_with_its_children(org: Bench) -> None:
    deal = {"StageName": "Prospecting", "CloseDate": "2026-03-31"}
    records = [
        node(
            "Account",
            "a1",
            Name="Acme",
            Contacts=[node("Contact", "c1", LastName="Roe"), node("Contact", "c2", LastName="Doe")],
            Opportunities=[node("Opportunity", "o1", Name="Deal", **deal)],
        ),
        node("Account", "a2", Name="Other"),
    ]
    answered = org.rest("POST", "composite/tree/Account/", {"records": records})
    assert (answered.status, answered.body["hasErrors"]) == (201, False)
    assert [item["referenceId"] for item in answered.body["results"]] == ["a1", "a2", "c1", "c2", "o1"]
    acme = answered.body["results"][0]["id"]
    assert {row["AccountId"] for row in org.rows("SELECT AccountId FROM Contact")} == {acme}
    assert org.one("SELECT AccountId FROM Opportunity")["AccountId"] == acme


def test_a_tree_is_all_or_none(org: Bench) -> None:
    contacts = [
        node("Contact", "c1", LastName="Roe", Email="123"),
        node("Contact", "c2"),
        node("Contact", "c3", LastName="x"),
    ]
    answered = org.rest(
        "POST", "composite/tree/Account", {"records": [node("Account", "a1", Name="A", Contacts=contacts)]}
    )
    assert (answered.status, answered.body["hasErrors"]) == (400, True)
    told = {item["referenceId"]: item["errors"][0]["statusCode"] for item in answered.body["results"]}
    assert told == {"c1": "INVALID_EMAIL_ADDRESS", "c2": "REQUIRED_FIELD_MISSING"}
    assert "id" not in answered.body["results"][0]
    assert count(org, "Account") == count(org, "Contact") == 0


def test_what_is_no_tree(org: Bench) -> None:
    def refused(*records: Any, **more: Any) -> tuple[Any, str]:
        answered = org.rest("POST", "composite/tree/Account", {"records": list(records), **more})
        assert answered.status == 400
        result = answered.body["results"][0]
        return result.get("referenceId"), result["errors"][0]["statusCode"]

    plain = node("Account", "a", Name="x")
    assert refused({"attributes": {"type": "Account"}, "Name": "x"}) == (None, "INVALID_INPUT")
    assert refused(plain, plain) == ("a", "INVALID_INPUT")
    assert refused(node("Lead", "a", **LEAD)) == ("a", "INVALID_INPUT")
    assert refused(node("Account", "a", Name="x", Pets=[])) == ("a", "INVALID_FIELD")
    assert refused() == (None, "INVALID_INPUT")
    assert refused(*[node("Account", f"a{n}", Name="x") for n in range(201)]) == (None, "INVALID_INPUT")
    deep: dict[str, Any] = node("Account", "deepest", Name="x")
    for level in range(5):
        deep = node("Account", f"a{level}", Name="x", ChildAccounts=[deep])
    assert refused(deep) == (None, "INVALID_INPUT")
    assert count(org, "Account") == 0
    for records in ({}, [None], "x"):
        assert org.rest("POST", "composite/tree/Account", {"records": records}).codes == ["JSON_PARSER_ERROR"]
    assert org.rest("POST", "composite/tree/Nothing", {"records": []}).status == 404
    assert org.rest("GET", "composite/tree/Account").status == 405
    assert org.rest("GET", "composite/forest").status == 404
