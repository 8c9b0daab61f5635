"""zeep on a partner WSDL, against the sandbox's Salesforce org without sockets (clients sheet)."""

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
        soap.service.describeTabs(_soapheaders=soap.headers)
    assert refused.value.code == "sf:FUNCTIONALITY_NOT_ENABLED"
