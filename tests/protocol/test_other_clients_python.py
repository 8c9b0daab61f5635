"""simple-salesforce, and zeep on a partner WSDL, over the sandbox's https port: token, paging, create, error, convert.

Nobody who wrote these clients has seen the sandbox; what they accept is other people's judgement of its answers.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import zeep
from lxml import etree
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest
from zeep.exceptions import Fault
from zeep.transports import Transport

from crmbridge.sandbox.server import Box, running_sandbox
from tests.support.material import folder

ROWS = 2300  # more than a page of 2,000
PARTNER, SOBJECT = "urn:partner.soap.sforce.com", "urn:sobject.partner.soap.sforce.com"
STATUS = "Closed - Converted"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with running_sandbox("empty", proxy=True) as running:
        yield running


@pytest.fixture
def session(box: Box) -> Iterator[requests.Session]:
    """Trusts the sandbox's CA, and reaches the fixed login hosts through its proxy (clients sheet)."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = box.connect["ca_path"]
        session.proxies = {"https": box.connect["proxy_url"]}
        yield session


def test_simple_salesforce(box: Box, session: requests.Session) -> None:
    given: dict[str, Any] = box.connect["salesforce"]
    org = Salesforce(**{key: given[key] for key in ("username", "password", "security_token")}, session=session)
    assert org.session_id

    rows = [{"LastName": f"S{number}", "Company": "Simple"} for number in range(ROWS)]
    for start in range(0, ROWS, 200):
        body = {"records": [{"attributes": {"type": "Lead"}, **row} for row in rows[start : start + 200]]}
        made: Any = org.restful("composite/sobjects", method="POST", json=body)
        assert all(each["success"] for each in made)
    first = org.query("SELECT Id FROM Lead WHERE Company = 'Simple'")
    assert (first["totalSize"], first["done"], len(first["records"])) == (ROWS, False, 2000)
    assert len({row["Id"] for row in org.query_all_iter("SELECT Id FROM Lead WHERE Company = 'Simple'")}) == ROWS

    with pytest.raises(SalesforceMalformedRequest) as refused:
        org.Lead.create({"Company": "x"})
    told: Any = refused.value.content
    assert told[0]["errorCode"] == "REQUIRED_FIELD_MISSING"

    created: Any = org.Lead.create({"LastName": "Boxer", "Company": "Farmers"})
    lead = created["id"]
    result = convert(org, lead)
    assert [result.findtext(f"{{{PARTNER}}}{name}") for name in ("success", "leadId")] == ["true", lead]
    shown = org.Lead.get(lead)
    assert (shown["IsConverted"], shown["Status"]) == (True, STATUS)
    assert org.Opportunity.get(shown["ConvertedOpportunityId"])["AccountId"] == shown["ConvertedAccountId"]
    again = convert(org, lead)
    assert again.findtext(f".//{{{PARTNER}}}statusCode") == "CANNOT_UPDATE_CONVERTED_LEAD"


def convert(org: Salesforce, lead: str) -> Any:
    """It has no call for it, as REST has none: SOAP, through its own session."""
    flags = "".join(
        f"<{name}>false</{name}>" for name in ("doNotCreateOpportunity", "overwriteLeadSource", "sendNotificationEmail")
    )
    envelope = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/">'
        f'<e:Header><SessionHeader xmlns="{PARTNER}"><sessionId>{org.session_id}</sessionId></SessionHeader></e:Header>'
        f'<e:Body><convertLead xmlns="{PARTNER}"><leadConverts><convertedStatus>{STATUS}</convertedStatus>'
        f"{flags}<leadId>{lead}</leadId></leadConverts></convertLead></e:Body></e:Envelope>"
    )
    answer = org.session.post(
        f"https://{org.sf_instance}/services/Soap/u/{org.sf_version}",
        data=envelope.encode(),
        headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'},
        timeout=30,
    )
    return etree.fromstring(answer.content).find(f".//{{{PARTNER}}}result")


def test_zeep_on_the_partner_wsdl(box: Box, session: requests.Session) -> None:
    given: dict[str, Any] = box.connect["salesforce"]
    client = zeep.Client(str(folder("sf-wsdl-partner-v27") / "partner.wsdl.xml"), transport=Transport(session=session))
    login = client.create_service(f"{{{PARTNER}}}SoapBinding", f"{given['https_url']}/services/Soap/u/27.0")
    with pytest.raises(Fault) as refused:
        login.login(given["username"], "guess")
    assert refused.value.code == "INVALID_LOGIN"
    who = login.login(given["username"], given["password"] + given["security_token"])
    service = client.create_service(f"{{{PARTNER}}}SoapBinding", who.serverUrl)
    header, options = (client.get_element(f"{{{PARTNER}}}{name}") for name in ("SessionHeader", "QueryOptions"))
    mine = [header(sessionId=who.sessionId)]

    for start in range(0, 500, 100):
        rows = [sobject(client, LastName=f"Z{start + number}", Company="Zeep") for number in range(100)]
        made = service.create(rows, _soapheaders=mine)
        assert all(each.success for each in made.body.result)
    page = service.query(
        "SELECT Id, LastName, Owner.Email FROM Lead WHERE Company = 'Zeep'",
        _soapheaders=[*mine, options(batchSize=200)],
    )
    assert (page.size, page.done, len(page.records)) == (500, False, 200)
    found = list(page.records)
    while not page.done:
        page = service.queryMore(page.queryLocator, _soapheaders=mine)
        found += page.records
    assert len({each.Id for each in found}) == 500
    assert field(found[0], "LastName").text == "Z0"
    (owner,) = (each for each in found[0]._value_1 if not etree.iselement(each))
    assert (owner.type, field(owner, "Email").text) == ("User", who.userInfo.userEmail)

    (refusal,) = service.create([sobject(client, Company="x")], _soapheaders=mine).body.result
    assert (refusal.success, refusal.errors[0].statusCode) == (False, "REQUIRED_FIELD_MISSING")
    with pytest.raises(Fault) as refused:
        service.query("SELECT Nothing FROM Lead", _soapheaders=mine)
    assert refused.value.code == "sf:INVALID_FIELD"

    ask = {"leadId": found[0].Id, "convertedStatus": STATUS, "doNotCreateOpportunity": False,
           "overwriteLeadSource": False, "sendNotificationEmail": False}  # fmt: skip
    done, again = service.convertLead([ask, ask], _soapheaders=mine).body.result
    assert (done.success, done.leadId, done.opportunityId[:3]) == (True, found[0].Id, "006")
    assert (again.success, again.errors[0].statusCode) == (False, "CANNOT_UPDATE_CONVERTED_LEAD")


def sobject(client: Any, **fields: str) -> Any:
    elements = []
    for name, value in fields.items():
        element = etree.Element(f"{{{SOBJECT}}}{name}")
        element.text = value
        elements.append(element)
    return client.get_type(f"{{{SOBJECT}}}sObject")(type="Lead", _value_1=elements)


def field(row: Any, name: str) -> Any:
    elements = (each for each in row._value_1 if etree.iselement(each))  # a parent is an sObject of its own
    return next(each for each in elements if etree.QName(each).localname == name)
