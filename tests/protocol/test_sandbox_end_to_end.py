"""Both CRMs whole, over real ports: other makers' clients log in, read and write, and the ledger says so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msal
import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest

from crmbridge.sandbox import calls
from crmbridge.sandbox.adapter import ORIGINS, core_request, mount
from crmbridge.sandbox.control_client import ControlRefused
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.seed import SeedError
from crmbridge.sandbox.server import Box, running_sandbox

API = "/api/data/v9.2"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with running_sandbox("sample", proxy=True) as running:
        yield running


@pytest.fixture
def session(box: Box) -> Iterator[requests.Session]:
    """Trusts the sandbox's CA, and reaches fixed login hosts through its proxy."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = box.connect["ca_path"]
        session.proxies = {"https": box.connect["proxy_url"]}
        yield session


def login(box: Box, session: requests.Session, flow: str) -> Salesforce:
    # salesforce-api §1.5: which arguments pick which flow
    given: dict[str, Any] = box.connect["salesforce"]
    consumer = {"consumer_key": given["client_id"], "consumer_secret": given["client_secret"]}
    arguments: dict[str, dict[str, Any]] = {
        "token": {"instance_url": given["https_url"], "session_id": given["access_token"]},
        "soap": {key: given[key] for key in ("username", "password", "security_token")},
        "password": {
            "username": given["username"], "password": given["password"] + given["security_token"], **consumer,
        },
        "client_credentials": {**consumer, "domain": "acme.my"},
        "jwt": {
            "username": given["username"], "consumer_key": given["client_id"],
            "privatekey_file": given["private_key_path"],
        },
    }  # fmt: skip
    return Salesforce(**arguments[flow], session=session)


@pytest.mark.parametrize("flow", ["token", "soap", "password", "client_credentials", "jwt"])
def test_simple_salesforce_logs_in_by_every_flow(box: Box, session: requests.Session, flow: str) -> None:
    salesforce = login(box, session, flow)
    found = salesforce.query("SELECT Id, Name, Owner.Email FROM Account WHERE Name LIKE 'Nordwind%'")
    assert [row["Owner"]["Email"] for row in found["records"]] == ["ingrid.solberg@northfield.example"]


def test_simple_salesforce_reads_and_writes(box: Box, session: requests.Session) -> None:
    salesforce = login(box, session, "token")
    assert len(list(salesforce.query_all_iter("SELECT Id FROM Lead"))) == 22
    made = salesforce.Lead.create({"LastName": "Ödegård", "Company": "Fjord & Sons"})
    salesforce.Lead.update(made["id"], {"Status": "Working - Contacted"})
    assert salesforce.Lead.get(made["id"])["LastName"] == "Ödegård"
    with pytest.raises(SalesforceMalformedRequest) as refused:
        salesforce.Lead.create({"LastName": "Nobody"})
    content: Any = refused.value.content
    assert content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert salesforce.Lead.delete(made["id"]) == 204


@pytest.mark.parametrize("credential", ["secret", "certificate"])
def test_msal_gets_a_token_that_the_web_api_takes(box: Box, session: requests.Session, credential: str) -> None:
    given: dict[str, Any] = box.connect["dynamics"]
    pem = Path(given["certificate_path"]).read_text()
    # dataverse-api §1.3: https authority, no instance discovery
    client = msal.ConfidentialClientApplication(
        given["client_id"],
        authority=given["authority"],
        client_credential=given["client_secret"]
        if credential == "secret"
        else {"private_key": pem, "public_certificate": pem},
        instance_discovery=False,
        http_client=session,
    )
    token = client.acquire_token_for_client([f"{given['https_url']}/.default"])
    assert token is not None
    assert "access_token" in token, token.get("error_description")
    answer = session.get(
        f"{given['https_url']}{API}/WhoAmI", headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=10
    )
    assert answer.json()["UserId"]
    assert answer.headers["OData-Version"] == "4.0"


def test_a_persons_edit_is_an_ordinary_call_counted_as_theirs(box: Box, session: requests.Session) -> None:
    box.control.forget_calls()
    url, static = box.connect["dynamics"]["url"], box.connect["dynamics"]["access_token"]
    person = box.control.people("dynamics", "marcus.adeyemi@northfield.example")
    leads = f"{url}{API}/leads?$select=leadid&$filter=lastname eq 'Coates'"
    [lead] = session.get(leads, headers={"Authorization": f"Bearer {static}"}, timeout=10).json()["value"]
    edited = session.patch(
        f"{url}{API}/leads({lead['leadid']})",
        json={"jobtitle": "CEO"},
        headers={"Authorization": f"Bearer {person['access_token']}", "If-Match": "*"},
        timeout=10,
    )
    assert edited.status_code == 204
    [row] = [row for row in box.control.dump()["dynamics"]["lead"] if row["leadid"] == lead["leadid"]]
    assert (row["jobtitle"], row["_modifiedby_value"]) == ("CEO", person["user_id"])
    assert box.control.calls(user=person["user_id"])["dynamics"]["requests"]["data"] == {"lead": {"update": 1}}
    same = box.control.people("salesforce", "marcus.adeyemi@northfield.example")
    assert same["user_id"].startswith("005")


def test_a_reset_is_a_fresh_start_for_the_same_credentials(box: Box, session: requests.Session) -> None:
    salesforce = login(box, session, "token")
    before = box.control.dump()
    salesforce.Account.create({"Name": "Passing"})
    box.control.reset()
    after = box.control.dump()
    assert len(after["salesforce"]["Account"]) == 12
    assert salesforce.query("SELECT COUNT() FROM Account")["totalSize"] == 12
    ids = {row["Id"] for row in before["salesforce"]["Account"]}
    assert {row["Id"] for row in after["salesforce"]["Account"]} <= ids
    with running_sandbox("empty") as other:
        for crm in ("salesforce", "dynamics"):
            kept = {key for key in box.connect[crm] if not key.endswith(("url", "_path", "authority"))}
            assert {key: other.connect[crm][key] for key in kept} == {key: box.connect[crm][key] for key in kept}


def test_a_snapshot_is_gone_back_to_and_goes_on_as_it_would_have(box: Box, session: requests.Session) -> None:
    salesforce = login(box, session, "token")
    box.control.advance(600)
    box.control.snapshot("noon")
    at_noon, first = box.control.dump(), salesforce.Account.create({"Name": "Passing"})["id"]
    for _ in range(2):
        box.control.add_fault(crm="salesforce", action="drop_before_commit")
        box.control.restore("noon")
        assert box.control.dump() == at_noon
        assert box.control.faults() == []
        assert salesforce.Account.create({"Name": "Passing again"})["id"] == first  # chance is restored too
    with pytest.raises(ControlRefused, match="no snapshot 'dawn'"):
        box.control.restore("dawn")


def test_a_folder_of_ones_own_brings_rules_and_records(tmp_path: Path) -> None:
    rule = "{object: Account, name: telephone, refuse_when: Phone = null, message: An account needs a phone.}"
    (tmp_path / "salesforce.shape.yaml").write_text(f"extends: salesforce\nrules:\n  validation:\n    - {rule}\n")
    (tmp_path / "dynamics.records.json").write_text(
        json.dumps(
            {"account": [{"_ref": "a", "name": "Own"}], "contact": [{"lastname": "Ek", "parentcustomerid": "@a"}]}
        )
    )
    sandbox = Sandbox(tmp_path)
    with requests.Session() as session:
        connect = mount(session, sandbox)
        session.headers["Authorization"] = f"Bearer {connect['salesforce']['access_token']}"
        made = session.post(f"{ORIGINS['salesforce']}/services/data/v66.0/sobjects/Account", json={"Name": "Silent"})
        assert made.json()[0]["errorCode"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert [row["name"] for row in sandbox.dump()["dynamics"]["account"]] == ["Own"]
    (tmp_path / "dynamics.records.json").write_text('{"account": [{"nome": "Own"}]}')
    with pytest.raises(SeedError, match=r"does not fit dynamics: .*nome"):
        sandbox.reset(tmp_path)
    assert len(sandbox.dump()["dynamics"]["contact"]) == 1  # what was there stays


SOAP = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:u="urn:partner.soap.sforce.com"><e:Header>'
    "<u:SessionHeader><u:sessionId>TOKEN</u:sessionId></u:SessionHeader></e:Header><e:Body><u:convertLead>"
    "<u:leadConverts><u:convertedStatus>Closed - Converted</u:convertedStatus><u:leadId>00Qxx</u:leadId>"
    "</u:leadConverts></u:convertLead></e:Body></e:Envelope>"
)
BATCH = "--b\r\nContent-Type: application/http\r\n\r\nGET leads?$top=1 HTTP/1.1\r\n\r\n\r\n--b--\r\n"
SALESFORCE_CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/services/data/v66.0/query?q=SELECT+Id+FROM+Lead+LIMIT+1", None),
    ("GET", "/services/data/v66.0/queryAll/?q=SELECT+Id+FROM+Contact+LIMIT+1", None),
    ("GET", "/services/data/v66.0/query?q=SELECT+ApiName+FROM+LeadStatus", None),
    ("GET", "/services/data/v66.0/sobjects/Lead/describe", None),
    ("GET", "/services/data/v66.0/limits", None),
    ("POST", "/services/data/v66.0/sobjects/Account", {"Name": "Placed"}),
    ("PATCH", "/services/data/v66.0/sobjects/Account/CrmBridge_Id__c/k1", {"Name": "Placed too"}),
    (
        "POST",
        "/services/data/v66.0/composite/sobjects",
        {"records": [{"attributes": {"type": "Account"}, "Name": "Placed 3"}]},
    ),
    ("POST", "/services/data/v66.0/composite/sobjects/Account", {"ids": ["001000000000001AAA"], "fields": ["Name"]}),
    ("POST", "/services/data/v66.0/composite", {"compositeRequest": []}),
    ("POST", "/services/Soap/u/66.0", SOAP),
    ("POST", "/services/oauth2/token", {}),
    ("GET", "/services/oauth2/userinfo", None),
]
DYNAMICS_CALLS: list[tuple[str, str, Any, dict[str, str]]] = [
    ("GET", f"{API}/leads?$top=1", None, {}),
    ("GET", f"{API}/leads?$select=subject", None, {"Prefer": "odata.track-changes"}),
    ("GET", f"{API}/systemusers?$top=1", None, {}),
    ("GET", f"{API}/WhoAmI", None, {}),
    ("GET", f"{API}/EntityDefinitions?$select=LogicalName", None, {}),
    ("POST", f"{API}/accounts", {"name": "Placed"}, {}),
    ("PATCH", f"{API}/accounts(0b6f7a52-0000-4000-8000-000000000001)", {"name": "Placed"}, {}),
    ("PATCH", f"{API}/accounts(0b6f7a52-0000-4000-8000-000000000001)", {"name": "Moved"}, {"If-Match": "*"}),
    ("DELETE", f"{API}/accounts(0b6f7a52-0000-4000-8000-000000000001)", None, {}),
    ("POST", f"{API}/leads(0b6f7a52-0000-4000-8000-000000000002)/Microsoft.Dynamics.CRM.QualifyLead", {}, {}),
    ("POST", f"{API}/WinOpportunity", {"Status": 3}, {}),
    ("POST", f"{API}/$batch", BATCH, {"Content-Type": "multipart/mixed; boundary=b"}),
]


def test_fault_rules_and_ledger_use_the_same_words() -> None:
    """`calls.place` guesses before the commit what the CRMs count after it."""
    sandbox = Sandbox("empty")
    with requests.Session() as session:
        connect = mount(session, sandbox)
        assert connect["salesforce"]["private_key_path"] is None
        for service, wanted in (
            ("salesforce", [(*call, {}) for call in SALESFORCE_CALLS]),
            ("dynamics", DYNAMICS_CALLS),
            ("identity", [("POST", f"/{connect['dynamics']['tenant_id']}/oauth2/v2.0/token", {}, {})]),
        ):
            token = connect["salesforce" if service == "salesforce" else "dynamics"]["access_token"]
            for method, target, body, extra in wanted:
                headers = {"Authorization": f"Bearer {token}", "SOAPAction": '""', **extra}
                if isinstance(body, str):
                    text = body.replace("TOKEN", token)
                else:
                    text = None if body is None else json.dumps(body)
                    headers.setdefault("Content-Type", "application/json")
                request = requests.Request(method, ORIGINS[service] + target, data=text, headers=headers)
                prepared = session.prepare_request(request)
                place = calls.place(service, core_request(prepared), sandbox.apps.tables_by_set)
                session.send(prepared)
                counted = sandbox.world.calls[-1]
                assert (place.table, place.kind, place.category) == (
                    counted.table, counted.kind, counted.category,
                ), (method, target)  # fmt: skip
