"""Service protection, headers of writes, what is refused by name: the Dataverse half (dataverse-api §4.4, §10.4)."""

from typing import Any

import pytest

from crmbridge.sandbox.accepted import WITHOUT_EFFECT
from tests.support.dataverse import Environment, shaped

NOWHERE = "00000000-0000-4000-8000-000000000001"
LEFT = "x-ms-ratelimit-burst-remaining-xrm-requests"
TIME_LEFT = "x-ms-ratelimit-time-remaining-xrm-requests"


@pytest.fixture
def env() -> Environment:
    return Environment()


def limited(**limits: Any) -> Environment:
    env = Environment()
    env.app.limit(limits)
    return env


def test_the_window_slides_for_each_user_alone() -> None:
    env = limited(requests=3)
    _, token = env.person("other@x.example", "System Administrator")
    for number in range(3):
        assert env.get("WhoAmI").headers[LEFT] == str(2 - number)
        env.move(seconds=60)
    refused = env.get("WhoAmI")
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "0x80072322", "120")
    assert (
        refused.json["error"]["message"]
        == "Number of requests exceeded the limit of 3 over time window of 300 seconds."
    )
    assert env.get("WhoAmI", Authorization=token).status == 200
    env.move(seconds=119)
    assert env.get("WhoAmI").status == 429  # and knocking again keeps the door shut longer
    env.move(seconds=1)
    assert env.get("WhoAmI").headers["Retry-After"] == "120"
    env.move(seconds=300)
    assert env.get("WhoAmI").status == 200


def test_a_refused_request_changes_nothing_and_is_counted_as_a_call() -> None:
    env = limited(requests=1)
    lead = env.lead()
    assert env.patch(f"leads({lead})", {"subject": "x"}).status == 429
    assert env.app.dump()["lead"][0]["subject"] == "Asks for a demo"
    assert [call.status for call in env.world.calls] == [204, 429]


def test_execution_time_adds_up_over_requests_and_operations() -> None:
    env = limited(execution_seconds=2, request_milliseconds=500, operation_milliseconds=100)
    assert env.get("WhoAmI").headers[TIME_LEFT] == "2.00"
    env.move(seconds=10)
    targets = [{"@odata.type": "Microsoft.Dynamics.CRM.lead"}] * 10
    made = env.post("leads/Microsoft.Dynamics.CRM.CreateMultiple", {"Targets": targets})
    assert made.headers[TIME_LEFT] == "1.40"
    refused = env.get("WhoAmI")
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "0x80072321", "290")
    assert refused.headers[TIME_LEFT] == "0.00"
    env.move(seconds=290)
    assert env.get("WhoAmI").status == 200


def test_too_many_requests_at_once_are_refused_at_once(env: Environment) -> None:
    assert env.send("GET", "WhoAmI", concurrent=52).status == 200
    refused = env.send("GET", "WhoAmI", concurrent=53)
    assert (refused.status, refused.code) == (429, "0x80072326")
    assert int(refused.headers["Retry-After"]) < 10


def test_limits_come_with_the_shape_and_are_moved_while_it_runs() -> None:
    env = Environment(shape=shaped(organization={"service_protection": {"concurrent": 1, "dop_hint": 3}}))
    assert env.get("WhoAmI").headers["x-ms-dop-hint"] == "3"
    assert env.send("GET", "WhoAmI", concurrent=2).status == 429
    env.app.limit({"concurrent": 2})
    assert env.send("GET", "WhoAmI", concurrent=2).status == 200
    for wrong in ({"speed": 1}, {"requests": -1}, {"requests": "many"}, {"requests": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            env.app.limit(wrong)
    assert env.app.limits()["requests"] == 6000


# Headers


def test_a_header_that_claims_to_steer_and_does_not_is_refused(env: Environment) -> None:
    assert env.send("POST", "leads", {}, **{"MSCRM.Nonsense": "1"}).status == 501
    assert env.send("GET", "leads", **{"MSCRM.Nonsense": "1"}).status == 501
    for name, value in (
        ("MSCRM.SuppressDuplicateDetection", "maybe"),
        ("MSCRM.BypassCustomPluginExecution", "maybe"),
        ("If-None-Match", 'W/"1"'),
    ):
        assert env.send("POST", "leads", {}, **{name: value}).status == 400
    assert env.get("leads/$count").text == "0"


def test_headers_without_effect_are_a_closed_list(env: Environment) -> None:
    names = [name for name in WITHOUT_EFFECT["dynamics"] if name.startswith("mscrm") or name in {"clienthost"}]
    assert len(names) > 4
    for name in names:
        assert env.send("POST", "leads", {"lastname": "A"}, **{name: "true"}).status == 204
    hub = {"AutoDisassociate": "true", "MSCRM.ReturnNotifications": "true", "ClientHost": "Browser", "x-ms-app-id": "1"}
    assert env.send("POST", "leads?tag=sync", {"lastname": "A"}, If_None_Match="null", **hub).status == 204


def test_duplicates_by_rules_of_the_shape_on_create_and_update() -> None:
    rule = {"table": "contact", "match": ["emailaddress1"], "against": "lead", "exclude_inactive": True}
    env = Environment(shape=shaped(duplicate_rules=[rule]))
    mail, ask = {"emailaddress1": "a@b.example"}, {"MSCRM.SuppressDuplicateDetection": "false"}
    lead = env.lead(**mail)
    contact = env.post("contacts", {"lastname": "C"}).id
    for answer in (
        env.send("POST", "contacts", {"lastname": "D", **mail}, **ask),
        env.patch(f"contacts({contact})", mail, **ask),
    ):
        assert (answer.status, answer.code) == (412, "0x80040333")
    env.patch(f"leads({lead})", {"statecode": 2})
    assert env.send("POST", "contacts", {"lastname": "D", **mail}, **ask).status == 204
    assert ("contact", "lead") in {
        (row["baseentityname"], row["matchingentityname"])
        for row in env.get("duplicaterules?$filter=statecode eq 1").rows
    }


# Messages of the older service, and what is no operation


@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    [
        ("POST", "SetState", 404, "0x80060888"),
        ("POST", "AssociateEntities", 404, "0x80060888"),
        ("POST", "Assign", 404, "0x80060888"),
        ("POST", "SetProcess", 404, "0x80060888"),
        ("POST", "leads({lead})/Microsoft.Dynamics.CRM.SetState", 404, "0x80060888"),
        ("POST", "leads({lead})/Microsoft.Dynamics.CRM.Nonsense", 404, "0x80060888"),
        ("POST", "accounts({lead})/Microsoft.Dynamics.CRM.QualifyLead", 404, "0x80060888"),
        ("GET", "leads({lead})/Microsoft.Dynamics.CRM.QualifyLead", 405, "0x8006088a"),
        ("GET", "leads({lead})/Microsoft.Dynamics.CRM.NoSuch()", 404, "0x80060888"),
        ("PUT", "leads({lead})", 405, "0x8006088a"),
        ("POST", "leads({lead})", 405, "0x8006088a"),
        ("PATCH", "leads", 405, "0x8006088a"),
        ("DELETE", "leads", 405, "0x8006088a"),
        ("PUT", "leads({lead})/nosuch", 404, "0x80060888"),
        ("PUT", "leads({lead})/parentaccountid", 404, "0x80060888"),
        ("DELETE", "leads({lead})/parentaccountid", 404, "0x80060888"),
        ("PUT", "leads({lead})/subject", 400, "0x80048d19"),
        ("POST", "leads({lead})/parentaccountid/$ref", 405, "0x8006088a"),
        ("POST", "leads({lead})/nosuch/$ref", 404, "0x80060888"),
        ("DELETE", "accounts({lead})/contact_customer_accounts/$ref", 404, "0x80040217"),
        ("POST", "nosuch", 404, "0x80060888"),
    ],
)
def test_refused_by_its_real_error(env: Environment, method: str, url: str, status: int, code: str) -> None:
    lead = env.lead()
    before = env.app.dump()
    refused = env.send(method, url.format(lead=lead), {})
    assert (refused.status, refused.code) == (status, code)
    assert env.app.dump() == before


def test_optimistic_concurrency_can_be_off(env: Environment) -> None:
    off = Environment(shape=shaped(tables={"lead": {"optimistic_concurrency": False}}))
    lead = off.lead()
    assert off.patch(f"leads({lead})", {"subject": "x"}, If_Match='W/"1"').code == "0x8006088D"
    assert off.patch(f"leads({lead})", {"subject": "x"}).status == 204


def test_states_of_the_other_tables_are_pairs(env: Environment) -> None:
    account = f"accounts({env.post('accounts', {'name': 'A'}).id})"
    assert env.patch(account, {"statecode": 1}).status == 204
    assert env.row(account)["statuscode"] == 2
    assert env.patch(account, {"statecode": 0, "statuscode": 2}).code == "0x80048408"
    task = f"tasks({env.post('tasks', {'subject': 'T'}).id})"
    assert env.row(task)["statuscode"] == 2
    assert env.patch(task, {"statecode": 1, "statuscode": 5}).status == 204
    deal = {"name": "D", "statecode": 1, "statuscode": 3}
    assert env.post("opportunities", deal).code == "0x80048408"  # born open
    assert env.post("opportunities", {**deal, "statecode": 0, "statuscode": 2}).status == 204
