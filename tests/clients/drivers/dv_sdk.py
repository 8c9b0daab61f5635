"""Microsoft's PowerPlatform-Dataverse-Client over TLS; tokens by msal from the sandbox's identity service."""

import time
from typing import Any

import msal
from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models import UpsertItem
from steps import SANDBOX, Steps, refused

GIVEN = SANDBOX["dynamics"]
KEY = "crmbridge_externalid"
step = Steps()


class Credential:
    """What azure-identity would be: an object with get_token (dataverse-api §13.1)."""

    def __init__(self, secret: str) -> None:
        self.app = msal.ConfidentialClientApplication(
            GIVEN["client_id"], secret, authority=GIVEN["authority"], instance_discovery=False
        )

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        answer = self.app.acquire_token_for_client(list(scopes))
        if "access_token" not in answer:
            raise PermissionError(answer["error_description"])
        return AccessToken(answer["access_token"], 2**33)


def lead(name: str, **more: Any) -> dict[str, Any]:
    return {"subject": "S", "lastname": name, "companyname": "One", **more}


@step
def login(crm: DataverseClient) -> Any:
    bad = DataverseClient(GIVEN["https_url"], Credential("guess"))
    wrong = refused(lambda: bad.records.list("lead", top=1))
    plain = refused(lambda: DataverseClient(GIVEN["url"], Credential(GIVEN["client_secret"])))
    return {
        "rows": len(crm.records.list("systemuser", select=["fullname"], top=1)),
        "wrong": str(wrong)[:60],
        "plain": type(plain).__name__,
    }


@step
def create(crm: DataverseClient) -> Any:
    key = crm.records.create("lead", lead("Single", leadsourcecode="Web"))  # the label is looked up by the client
    return {"key": key}


@step
def bulk(crm: DataverseClient) -> Any:
    keys = crm.records.create("lead", [lead(f"M{number}", companyname="Many") for number in range(300)])
    crm.records.update("lead", keys[:10], {"jobtitle": "Chief"})
    crm.records.update("lead", keys[10:12], [{"jobtitle": "First"}, {"jobtitle": "Second"}])
    keyed = [UpsertItem(alternate_key={KEY: f"sdk-{number}"}, record=lead(f"U{number}")) for number in range(3)]
    crm.records.upsert("lead", keyed)
    return {"keys": len(set(keys))}


@step
def read(crm: DataverseClient) -> Any:
    pages = [
        len(page)
        for page in crm.records.list_pages(
            "lead", filter="companyname eq 'Many'", select=["lastname"], orderby=["lastname asc"], page_size=120
        )
    ]
    rows = crm.records.list(
        "lead", filter="companyname eq 'Many' and jobtitle eq 'Chief'", select=["lastname"], include_annotations="*"
    )
    return {"pages": pages, "chiefs": len(rows)}


@step
def metadata(crm: DataverseClient) -> Any:
    columns = {each["LogicalName"] for each in crm.tables.list_columns("lead")}
    typed = {each["LogicalName"]: each for each in crm.tables.list_columns("lead", typed=True)}
    relationships = crm.tables.list_table_relationships("lead")
    name = next(each["SchemaName"] for each in relationships if each["ReferencingAttribute"] == "originatingleadid")
    return {
        "set": crm.tables.get("lead")["entity_set_name"],
        "columns": {"lastname", "subject"} <= columns,
        "typed": [typed["subject"]["MaxLength"], typed["numberofemployees"]["MinValue"]],
        "tables": any(each["LogicalName"] == "lead" for each in crm.tables.list()),
        "relationships": len(relationships) > 3,
        "relationship": crm.tables.get_relationship(name).referencing_entity in {"account", "contact", "opportunity"},
        "expands": any(each["nav_property"] == "owninguser" for each in crm.query.odata_expands("lead")),
    }


@step
def keys(crm: DataverseClient) -> Any:
    made = crm.tables.create_alternate_key("account", "crmbridge_AccountNumberKey", ["accountnumber"])
    for _ in range(50):  # the index is built in the background
        (key,) = crm.tables.get_alternate_keys("account")
        if key.status == "Active":
            break
        time.sleep(0.2)
    item = {"alternate_key": {"accountnumber": "A-1"}}
    for name in ("K", "L"):
        crm.records.upsert("account", [UpsertItem(**item, record={"name": name})])
    names = [row["name"] for row in crm.records.list("account", filter="accountnumber eq 'A-1'")]
    crm.tables.delete_alternate_key("account", key.metadata_id)
    dropped: Any = refused(lambda: crm.records.upsert("account", [UpsertItem(**item, record={"name": "M"})]))
    return {
        "made": [made.schema_name, made.key_attributes],
        "status": key.status,
        "names": names,
        "left": [each.schema_name for each in crm.tables.get_alternate_keys("account")],
        "dropped": [dropped.status_code, "is not valid" in str(dropped)],
    }


@step
def fetch(crm: DataverseClient) -> Any:
    xml = (
        '<fetch count="100"><entity name="lead"><attribute name="lastname"/><order attribute="lastname"/>'
        '<filter><condition attribute="companyname" operator="eq" value="Many"/></filter></entity></fetch>'
    )
    pages = [len(page) for page in crm.query.fetchxml(xml).execute_pages()]
    rows = crm.query.sql("SELECT TOP 5 lastname FROM lead WHERE companyname = 'Many' ORDER BY lastname")
    return {"pages": pages, "sql": [row["lastname"] for row in rows]}


@step
def update(crm: DataverseClient) -> Any:
    key = crm.records.create("lead", lead("Old"))
    crm.records.update("lead", key, {"lastname": "New"})
    return {"name": crm.records.retrieve("lead", key, select=["lastname"])["lastname"]}


@step
def upsert(crm: DataverseClient) -> Any:
    for name in ("K", "L"):
        crm.records.upsert("lead", [UpsertItem(alternate_key={KEY: "sdk-one"}, record=lead(name))])
    return {"names": [row["lastname"] for row in crm.records.list("lead", filter=f"{KEY} eq 'sdk-one'")]}


@step
def delete(crm: DataverseClient) -> Any:
    keys = [crm.records.create("lead", lead(name)) for name in ("Gone", "Gone2", "Gone3")]
    crm.records.delete("lead", keys[0])
    crm.records.delete("lead", keys[1:], use_bulk_delete=False)
    bulk = [crm.records.create("lead", lead("Job"))]
    job = crm.records.delete("lead", bulk)
    return {"job": job, "keys": keys, "after": crm.records.retrieve("lead", keys[0])}


@step
def batch(crm: DataverseClient) -> Any:
    work = crm.batch.new()
    work.records.create("lead", lead("Loose"))
    with work.changeset() as whole:
        contact = whole.records.create("contact", {"lastname": "Ref"})
        whole.records.create("account", {"name": "Ref", "primarycontactid@odata.bind": contact})
    work.records.list("lead", filter="companyname eq 'Many'", select=["lastname"], top=5)
    work.records.create("lead", lead("Bad", leadsourcecode=4711))
    done = work.execute(continue_on_error=True)
    return {
        "statuses": [each.status_code for each in done.responses],
        "ids": len(done.entity_ids),
        "codes": [each.error_code for each in done.failed],
        "read": len(done.responses[3].data["value"]),
    }


@step
def error(crm: DataverseClient) -> Any:
    def told(error: Any) -> Any:
        assert isinstance(error, HttpError)
        return [error.status_code, error.details.get("service_error_code")]

    return {
        "value": told(refused(lambda: crm.records.create("lead", lead("x", leadsourcecode=4711)))),
        "column": told(refused(lambda: crm.records.list("lead", select=["nothing"]))),
        "missing": crm.records.retrieve("lead", "00000000-0000-0000-0000-00000000dead"),
    }


with DataverseClient(GIVEN["https_url"], Credential(GIVEN["client_secret"])) as client:
    step.run(client)
