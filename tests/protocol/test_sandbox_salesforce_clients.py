"""Other makers' SOAP and JavaScript clients on the sandbox's Salesforce org (clients sheet)."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
from zeep.exceptions import Fault
from zeep.transports import Transport

from crmbridge.sandbox.adapter import ORIGINS, mount
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.server import running_sandbox

WSDL = Path(__file__).parents[2].parent / "shared" / "data" / "sf-wsdl-partner-v27" / "partner.wsdl.xml"
BINDING = "{urn:partner.soap.sforce.com}SoapBinding"
LEAD = {"LastName": "Boxer", "Company": "Farmers"}


class Soap:
    """zeep on a partner WSDL, every call with the session that login gave."""

    def __init__(self, session: requests.Session, given: dict[str, Any]) -> None:
        self.session = session
        self.client = zeep.Client(str(WSDL), transport=Transport(session=session))
        service = self.client.create_service(BINDING, f"{ORIGINS['salesforce']}/services/Soap/u/27.0")
        self.login = service.login(given["username"], given["password"] + given["security_token"])
        self.service = self.client.create_service(BINDING, self.login.serverUrl)
        header = self.client.get_element("{urn:partner.soap.sforce.com}SessionHeader")
        self.headers = [header(sessionId=self.login.sessionId)]

    def create(self, name: str, fields: dict[str, Any]) -> str:
        url = f"{ORIGINS['salesforce']}/services/data/v60.0/sobjects/{name}"
        made = self.session.post(url, json=fields, headers={"Authorization": f"Bearer {self.login.sessionId}"})
        return made.json()["id"]


@pytest.fixture
def soap() -> Iterator[Soap]:
    if not WSDL.exists():
        pytest.skip("the partner WSDL is not beside this checkout")
    with requests.Session() as session:
        yield Soap(session, mount(session, Sandbox("empty"))["salesforce"])


def conversion(lead: str) -> dict[str, Any]:
    flags = ("doNotCreateOpportunity", "overwriteLeadSource", "sendNotificationEmail")
    return {"leadId": lead, "convertedStatus": "Closed - Converted", **dict.fromkeys(flags, False)}


def test_zeep_converts_a_lead_once(soap: Soap) -> None:
    lead = soap.create("Lead", LEAD)
    results = soap.service.convertLead([conversion(lead), conversion(lead)], _soapheaders=soap.headers).body.result
    assert [result.success for result in results] == [True, False]
    assert (results[0].leadId, results[0].opportunityId[:3]) == (lead, "006")
    assert results[1].errors[0].statusCode == "CANNOT_UPDATE_CONVERTED_LEAD"


def test_zeep_merges_and_undeletes(soap: Soap) -> None:
    master, loser = (soap.create("Account", {"Name": name}) for name in ("Acme", "ACME"))
    make: Any = soap.client.get_type("{urn:sobject.partner.soap.sforce.com}sObject")
    record = make(type="Account", Id=master)
    request = {"masterRecord": record, "recordToMergeIds": [loser]}
    (merged,) = soap.service.merge([request], _soapheaders=soap.headers).body.result
    assert (merged.success, merged.mergedRecordIds) == (True, [loser])
    (restored,) = soap.service.undelete([loser], _soapheaders=soap.headers).body.result
    assert (restored.success, restored.id) == (True, loser)


def test_zeep_reads_faults(soap: Soap) -> None:
    with pytest.raises(Fault) as refused:
        soap.service.login("nobody@acme.example", "guess")
    assert refused.value.code == "INVALID_LOGIN"
    with pytest.raises(Fault) as refused:
        soap.service.query("SELECT Id FROM Lead", _soapheaders=soap.headers)
    assert refused.value.code == "sf:FUNCTIONALITY_NOT_ENABLED"


SCRIPT = """
const jsforce = require('jsforce');
const given = JSON.parse(process.env.CONNECT).salesforce;
(async () => {
  const seen = {};
  const soap = new jsforce.Connection({loginUrl: given.url});
  const user = await soap.login(given.username, given.password + given.security_token);
  const oauth2 = {loginUrl: given.url, clientId: given.client_id, clientSecret: given.client_secret};
  const conn = new jsforce.Connection({oauth2});
  seen.sameUser = (await conn.login(given.username, given.password + given.security_token)).id === user.id;
  seen.identity = (await conn.identity()).username === given.username;
  const rows = Array.from({length: 250}, (_, i) => ({LastName: 'L' + i, Company: 'Script'}));
  const made = await conn.sobject('Lead').create(rows, {allowRecursive: true});
  seen.created = made.filter(result => result.success).length;
  const options = {autoFetch: true, maxFetch: 1000, headers: {'Sforce-Query-Options': 'batchSize=200'}};
  seen.paged = (await conn.query("SELECT Id FROM Lead WHERE Company = 'Script'", options)).records.length;
  seen.error = await conn.sobject('Lead').create({Company: 'x'}).then(() => null, error => error.errorCode);
  const keyed = {LastName: 'K', Company: 'b', CrmBridge_Id__c: 'js/1'};
  seen.upserted = (await conn.sobject('Lead').upsert(keyed, 'CrmBridge_Id__c')).created;
  const ask = {leadId: made[0].id, convertedStatus: 'Closed - Converted', opportunityName: 'Deal'};
  const done = await conn.soap.convertLead(ask);
  seen.deal = (await conn.sobject('Opportunity').retrieve(done.opportunityId)).Name;
  seen.again = (await conn.soap.convertLead(ask)).errors[0].statusCode;
  console.log(JSON.stringify(seen));
})().catch(error => { console.error(error); process.exit(1); });
"""


@pytest.mark.node
def test_jsforce_does_the_same() -> None:
    if shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    if subprocess.run(["node", "-e", "require('jsforce')"], env=environment, capture_output=True).returncode:
        pytest.skip("node finds no jsforce; `npm install jsforce@3.10.14` and point NODE_PATH at its node_modules")
    with running_sandbox("empty") as box:
        environment["CONNECT"] = json.dumps(box.connect)
        done = subprocess.run(["node", "-e", SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "sameUser": True,
        "identity": True,
        "created": 250,
        "paged": 250,
        "error": "REQUIRED_FIELD_MISSING",
        "upserted": True,
        "deal": "Deal",
        "again": "CANNOT_UPDATE_CONVERTED_LEAD",
    }
