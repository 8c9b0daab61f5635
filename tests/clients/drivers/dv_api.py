"""dataverse-api over https, with the session that it wants to be given; tokens by msal."""

from typing import Any

import msal
import requests
from dataverse_api import DataverseClient
from dataverse_api.errors import DataverseAPIError
from steps import SANDBOX, Steps, refused

GIVEN = SANDBOX["dynamics"]
KEY = "crmbridge_ExternalIdKey"
step = Steps()


def client(token: str) -> DataverseClient:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    return DataverseClient(session, GIVEN["https_url"])


def rows(prefix: str, count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"subject": "S", "lastname": f"{prefix}{number}", **more} for number in range(count)]


@step
def login(leads: Any, crm: DataverseClient) -> Any:
    wrong: Any = refused(lambda: client("guess").entity("lead"))
    return {"set": leads.entity_set_name, "keys": leads.alternate_keys, "wrong": type(wrong).__name__}


@step
def create(leads: Any, crm: DataverseClient) -> Any:
    (answer,) = leads.create(rows("Single", 1), mode="individual", return_created=True)
    return {"status": answer.status_code, "name": answer.json()["lastname"]}


@step
def bulk(leads: Any, crm: DataverseClient) -> Any:
    told = [leads.supports_create_multiple, leads.supports_update_multiple]
    answers = leads.create(rows("M", 300, companyname="Many"), mode="multiple", batch_size=100)
    return {"supported": told, "statuses": [each.status_code for each in answers]}


@step
def batch(leads: Any, crm: DataverseClient) -> Any:
    answers = leads.create(rows("B", 50, companyname="Batch"), mode="batch", batch_size=20)
    return {"statuses": [each.status_code for each in answers]}


@step
def read(leads: Any, crm: DataverseClient) -> Any:
    found = leads.read(select=["lastname"], filter="companyname eq 'Many'", page_size=120, order_by="lastname asc")
    definition = crm.get_entity_definition("lead")
    relationship = crm.get_relationship_definition("opportunity_originating_lead")
    return {
        "rows": len({row["leadid"] for row in found}),
        "first": found[0]["lastname"],
        "definition": definition.schema_name,
        "relationship": relationship.schema_name,
        "languages": crm.get_language_codes(),
    }


@step
def update(leads: Any, crm: DataverseClient) -> Any:
    keys = [row["leadid"] for row in leads.read(select=["leadid"], filter="companyname eq 'Batch'", top=2)]
    leads.upsert([{"leadid": key, "jobtitle": "Chief"} for key in keys], mode="individual")
    titled = leads.read(select=["jobtitle"], filter="jobtitle eq 'Chief'")
    leads.delete_columns(ids=keys[:1], columns=["jobtitle"])
    return {"titled": len(titled), "left": len(leads.read(select=["jobtitle"], filter="jobtitle eq 'Chief'"))}


@step
def upsert(leads: Any, crm: DataverseClient) -> Any:
    data = [{**row, "crmbridge_externalid": f"api-{number}"} for number, row in enumerate(rows("U", 3))]
    for mode in ("individual", "batch"):
        leads.upsert([dict(row) for row in data], mode=mode, altkey_name=KEY)
    return {"rows": len(leads.read(select=["lastname"], filter="startswith(crmbridge_externalid,'api-')"))}


@step
def delete(leads: Any, crm: DataverseClient) -> Any:
    leads.create(rows("Gone", 3, companyname="Gone"), mode="multiple")
    keys = [row["leadid"] for row in leads.read(select=["leadid"], filter="companyname eq 'Gone'")]
    leads.delete(ids=keys[:2], mode="batch")
    leads.delete(filter="companyname eq 'Gone'")
    return {"keys": keys}


@step
def error(leads: Any, crm: DataverseClient) -> Any:
    def told(error: Any) -> Any:
        assert isinstance(error, DataverseAPIError)
        return [error.response.status_code, error.response.json()["error"]["code"]]

    (bad,) = leads.create(rows("x", 1, leadsourcecode=4711), mode="individual")
    return {
        "value": [bad.status_code, bad.json()["error"]["code"]],
        "column": told(refused(lambda: leads.read(select=["nothing"]))),
    }


def main() -> None:
    app = msal.ConfidentialClientApplication(
        GIVEN["client_id"], GIVEN["client_secret"], authority=GIVEN["authority"], instance_discovery=False
    )
    answer = app.acquire_token_for_client([f"{GIVEN['https_url']}/.default"])
    crm = client(answer["access_token"])
    step.run(crm.entity("lead"), crm)


main()
