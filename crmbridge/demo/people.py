"""People at work in both CRMs, through the same APIs and with tokens of their own; nothing here knows crmbridge."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import requests
from lxml import etree

TIMEOUT_SECONDS = 60.0
SALESFORCE_VERSION = "v60.0"


class PersonRefused(RuntimeError):
    """The CRM's own answer to something a person did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a conversion or a qualification points at now."""

    lead: str
    account: str | None
    contact: str | None
    opportunity: str | None


def _session(token: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {token}"
    return session


@dataclass(kw_only=True)
class SalesforcePerson:
    url: str
    token: str
    _http: requests.Session = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._http = _session(self.token)

    def create(self, sobject: str, **fields: Any) -> str:
        return self._call("POST", f"sobjects/{sobject}", fields)["id"]

    def update(self, sobject: str, id: str, **fields: Any) -> None:
        self._call("PATCH", f"sobjects/{sobject}/{id}", fields)

    def delete(self, sobject: str, id: str) -> None:
        self._call("DELETE", f"sobjects/{sobject}/{id}")

    def read(self, sobject: str, id: str) -> dict[str, Any]:
        return self._call("GET", f"sobjects/{sobject}/{id}")

    def query(self, soql: str) -> list[dict[str, Any]]:
        return self._call("GET", f"query?q={quote(soql)}")["records"]

    def id_of(self, sobject: str, **fields: str) -> str:
        """The one record with these values."""
        text = " AND ".join(f"{name} = '{_quoted(value)}'" for name, value in fields.items())
        found = self.query(f"SELECT Id FROM {sobject} WHERE {text}")  # noqa: S608 - SOQL; values are quoted
        if len(found) != 1:
            raise PersonRefused(f"{len(found)} records of {sobject} with {sorted(fields)}")
        return found[0]["Id"]

    def convert(
        self,
        lead: str,
        *,
        account: str | None = None,
        contact: str | None = None,
        opportunity: str | None = None,
        with_opportunity: bool = True,
        name: str | None = None,
        status: str = "Closed - Converted",
    ) -> Results:
        """SOAP convertLead, elements in the WSDL's order."""
        parts = [
            _element("accountId", account),
            _element("contactId", contact),
            _element("convertedStatus", status),
            _element("doNotCreateOpportunity", "false" if with_opportunity or opportunity else "true"),
            _element("leadId", lead),
            _element("opportunityId", opportunity),
            _element("opportunityName", name if with_opportunity and not opportunity else None),
            _element("overwriteLeadSource", "false"),
            _element("sendNotificationEmail", "false"),
        ]
        body = (
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:urn="urn:partner.soap.sforce.com"><soapenv:Header><urn:SessionHeader>'
            f"<urn:sessionId>{escape(self.token)}</urn:sessionId></urn:SessionHeader></soapenv:Header>"
            f"<soapenv:Body><urn:convertLead><urn:leadConverts>{''.join(parts)}</urn:leadConverts></urn:convertLead>"
            "</soapenv:Body></soapenv:Envelope>"
        )
        answer = self._http.post(
            f"{self.url}/services/Soap/u/{SALESFORCE_VERSION[1:]}",
            data=body.encode(),
            headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
            timeout=TIMEOUT_SECONDS,
        )
        tree = etree.fromstring(answer.content, etree.XMLParser(resolve_entities=False, no_network=True))
        found = {str(node.tag).rpartition("}")[2]: node.text for node in tree.iter() if node.text}
        if found.get("success") != "true":
            raise PersonRefused(found.get("message") or found.get("faultstring") or answer.text[:300])
        return Results(
            lead=lead,
            account=found.get("accountId"),
            contact=found.get("contactId"),
            opportunity=found.get("opportunityId"),
        )

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(
            method, f"{self.url}/services/data/{SALESFORCE_VERSION}/{path}", json=body, timeout=TIMEOUT_SECONDS
        )
        if not answer.ok:
            raise PersonRefused(f"{method} {path}: {answer.text[:300]}")
        return answer.json() if answer.content else None


@dataclass(kw_only=True)
class DynamicsPerson:
    url: str
    token: str
    _http: requests.Session = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._http = _session(self.token)
        self._http.headers.update({"OData-Version": "4.0", "OData-MaxVersion": "4.0", "Accept": "application/json"})

    def create(self, table: str, **columns: Any) -> str:
        answer = self._call("POST", table, columns)
        return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")

    def update(self, table: str, id: str, **columns: Any) -> None:
        self._call("PATCH", f"{table}({id})", columns, {"If-Match": "*"})

    def delete(self, table: str, id: str) -> None:
        self._call("DELETE", f"{table}({id})")

    def read(self, table: str, id: str) -> dict[str, Any]:
        return self._call("GET", f"{table}({id})").json()

    def find(self, table: str, where: str) -> list[dict[str, Any]]:
        return self._call("GET", f"{table}?$filter={quote(where)}").json()["value"]

    def id_of(self, table: str, where: str) -> str:
        found = self.find(table, where)
        if len(found) != 1:
            raise PersonRefused(f"{len(found)} rows of {table} with {where}")
        return found[0][_KEYS[table]]

    def qualify(
        self,
        lead: str,
        *,
        account: str | None = None,
        contact: str | None = None,
        with_account: bool = True,
        with_contact: bool = True,
        with_opportunity: bool = True,
    ) -> Results:
        """Existing parents are put on the lead first, as the form does; then QualifyLead (dataverse-api §6.9)."""
        parents: dict[str, Any] = {}
        if account:
            parents["parentaccountid@odata.bind"] = f"/accounts({account})"
        if contact:
            parents["parentcontactid@odata.bind"] = f"/contacts({contact})"
        if parents:
            self.update("leads", lead, **parents)
        self._call(
            "POST",
            f"leads({lead})/Microsoft.Dynamics.CRM.QualifyLead",
            {
                "CreateAccount": with_account and account is None,
                "CreateContact": with_contact and contact is None,
                "CreateOpportunity": with_opportunity,
                "Status": 3,
            },
        )
        row = self.read("leads", lead)
        return Results(
            lead=lead,
            account=row["_parentaccountid_value"],
            contact=row["_parentcontactid_value"],
            opportunity=row["_qualifyingopportunityid_value"],
        )

    def next_stage(self, opportunity: str) -> None:
        """One step on in the opportunity's own process, as the bar on the form does it (dataverse-api §8.4)."""
        [instance] = self.find("opportunitysalesprocesses", f"_opportunityid_value eq {opportunity}")
        stages = self.find("processstages", f"_processid_value eq {instance['_processid_value']}")
        now = next(each for each in stages if each["processstageid"] == instance["_activestageid_value"])
        following = next(each for each in stages if each["stagecategory"] == now["stagecategory"] + 1)
        self.update(
            "opportunitysalesprocesses",
            instance["businessprocessflowinstanceid"],
            **{
                "activestageid@odata.bind": f"/processstages({following['processstageid']})",
                "traversedpath": f"{instance['traversedpath']},{following['processstageid']}",
            },
        )

    def win(self, opportunity: str, *, revenue: float, date: str) -> None:
        self._close("WinOpportunity", opportunity, 3, revenue, date)

    def lose(self, opportunity: str, *, date: str, status: int = 4) -> None:
        self._close("LoseOpportunity", opportunity, status, 0, date)

    def _close(self, action: str, opportunity: str, status: int, revenue: float, date: str) -> None:
        close = {
            "subject": "Closed by its owner",
            "actualrevenue": revenue,
            "actualend": f"{date}T12:00:00Z",
            "opportunityid@odata.bind": f"/opportunities({opportunity})",
        }
        self._call("POST", action, {"Status": status, "OpportunityClose": close})

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        answer = self._http.request(
            method, f"{self.url}/api/data/v9.2/{path}", json=body, headers=headers, timeout=TIMEOUT_SECONDS
        )
        if not answer.ok:
            raise PersonRefused(f"{method} {path}: {answer.text[:300]}")
        return answer


_KEYS = {"accounts": "accountid", "contacts": "contactid", "leads": "leadid", "opportunities": "opportunityid"}


def _element(name: str, value: str | None) -> str:
    return "" if value is None else f"<urn:{name}>{escape(value)}</urn:{name}>"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
