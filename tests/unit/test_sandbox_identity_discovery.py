"""Global discovery: which environments there are, told to whoever has a token (dataverse-api §1.5)."""

import json
from typing import Any

import pytest

from crmbridge.sandbox.core import Reply, Request
from tests.support.dataverse import Environment


@pytest.fixture
def env() -> Environment:
    return Environment()


def ask(env: Environment, rest: str = "", origin: str = "https://globaldisco.crm.dynamics.com", **more: Any) -> Reply:
    token = env.app.login_as("mia.berg@contoso.example")["access_token"]
    path, _, query = f"/api/discovery/v2.0/Instances{rest}".partition("?")
    given = {"method": "GET", "headers": {"authorization": f"Bearer {token}"}, **more}
    return env.app.commit(Request(path=path, query=query, origin=origin, **given))


def test_the_environment_is_named_with_both_its_hosts(env: Environment) -> None:
    (found,) = json.loads(ask(env).body)["value"]
    name = env.app.shape.organization.unique_name
    assert (found["UniqueName"], found["State"]) == (name, 0)
    assert (found["Url"], found["ApiUrl"]) == (
        f"https://{name}.crm.dynamics.com",
        f"https://{name}.api.crm.dynamics.com",
    )
    (here,) = json.loads(ask(env, origin="http://127.0.0.1:8103").body)["value"]
    assert here["Url"] == here["ApiUrl"] == "http://127.0.0.1:8103"
    one = json.loads(ask(env, f"(UniqueName='{name}')?$select=Id,Url").body)
    assert one.keys() == {"@odata.context", "Id", "Url"}


@pytest.mark.parametrize(
    ("query", "count"),
    [("State eq 0", 1), ("State ne 0", 0), ("FriendlyName eq 'nobody'", 0), ("Purpose eq null", 1)],
)
def test_one_comparison_filters(env: Environment, query: str, count: int) -> None:
    assert len(json.loads(ask(env, f"?$filter={query}").body)["value"]) == count


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("(UniqueName='nobody')", 404),
        ("(Id=1)", 400),
        ("?$filter=State eq 0 and State eq 0", 400),
        ("?$filter=Nothing eq 0", 400),
        ("?$select=Nothing", 400),
        ("?$top=1", 400),
    ],
)
def test_what_is_not_served_is_refused(env: Environment, rest: str, status: int) -> None:
    assert ask(env, rest).status == status


def test_nobody_asks_without_a_token(env: Environment) -> None:
    reply = ask(env, headers={})
    assert (reply.status, "WWW-Authenticate" in dict(reply.headers)) == (401, True)
    assert ask(env, method="POST").status == 405
