"""Connected systems with a person in them, for the contract suite: memory, and both CRMs of the sandbox."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import requests

from connectors.base import Connector, TablePlan
from connectors.memory import MemoryConnector
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.connector import SalesforceConnector
from crmbridge.model import ENTITIES, Entity, attribute_name
from crmbridge.sandbox.server import Box, running_sandbox
from mapping.rows import row_struct

# Fields that the suite uses, by entity; each world says what they are called there.
FIELDS: Mapping[Entity, tuple[str, ...]] = {
    "account": ("name", "phone"),
    "contact": ("last_name", "email", "account"),
    "lead": ("last_name", "company", "email"),
    "opportunity": ("name", "amount", "account", "contact"),
}


class Person(Protocol):
    """Somebody who works in the CRM by its own means; fields by the suite's names, lookups by native id."""

    def create(self, entity: Entity, **fields: Any) -> str: ...
    def edit(self, entity: Entity, record_id: str, **fields: Any) -> None: ...
    def delete(self, entity: Entity, record_id: str) -> None: ...


@dataclass(kw_only=True)
class World:
    connector: Connector
    person: Person
    columns: Mapping[Entity, Mapping[str, str]]  # field -> wire column
    settle: Callable[[], None]  # let time pass, until what happened may be read
    statuses: Mapping[str, Any]  # contacted, open stage, won, lost: native values
    keyed: bool = True  # a create repeated with the same key finds the first one's row
    plans: list[TablePlan] = field(default_factory=list)

    def value(self, row: Any, name: str) -> Any:
        row = self.connector.complete(row)
        return getattr(row.values, attribute_name(self.columns[row.ref.entity][name]))

    def native(self, entity: Entity, **fields: Any) -> dict[str, Any]:
        return {self.columns[entity][name]: value for name, value in fields.items()}


def configured(connector: Connector, columns: Mapping[Entity, Mapping[str, str]], tables: Mapping[Entity, str]) -> None:
    plans: list[TablePlan] = []
    for entity in ENTITIES:
        mapped = {column: Decimal if name == "amount" else str for name, column in columns[entity].items()}
        row_type = row_struct(entity.title(), {**connector.system_columns(entity), **mapped})
        plans.append(TablePlan(entity=entity, table=tables[entity], columns=tuple(mapped), row_type=row_type))
    connector.configure(plans)


# --- memory -------------------------------------------------------------------------------------------------------

MEMORY = {
    "account": {"name": "name", "phone": "phone"},
    "contact": {"last_name": "last_name", "email": "email", "account": "account_id"},
    "lead": {"last_name": "last_name", "company": "company", "email": "email"},
    "opportunity": {"name": "name", "amount": "amount", "account": "account_id", "contact": "contact_id"},
}


@dataclass
class MemoryPerson:
    crm: MemoryConnector

    def create(self, entity: Entity, **fields: Any) -> str:
        return self.crm.add(entity, **{MEMORY[entity][name]: value for name, value in fields.items()})

    def edit(self, entity: Entity, record_id: str, **fields: Any) -> None:
        self.crm.edit(entity, record_id, **{MEMORY[entity][name]: value for name, value in fields.items()})

    def delete(self, entity: Entity, record_id: str) -> None:
        self.crm.delete(entity, record_id)


@contextmanager
def memory_world() -> Iterator[World]:
    crm = MemoryConnector("memory", "right", page_rows=3)
    configured(crm, MEMORY, {entity: entity for entity in ENTITIES})
    yield World(
        connector=crm,
        person=MemoryPerson(crm),
        columns=MEMORY,
        settle=lambda: None,
        statuses={"contacted": "contacted", "open": "develop", "won": "won", "lost": "lost"},
    )


# --- the sandbox --------------------------------------------------------------------------------------------------


class Web:
    """Plain calls with a person's token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        response = self._session.request(method, self._url + path, json=body, headers=headers, timeout=30)
        assert response.ok, response.text
        return response

    def close(self) -> None:
        self._session.close()


SALESFORCE = {
    "account": {"name": "Name", "phone": "Phone"},
    "contact": {"last_name": "LastName", "email": "Email", "account": "AccountId"},
    "lead": {"last_name": "LastName", "company": "Company", "email": "Email"},
    "opportunity": {"name": "Name", "amount": "Amount", "account": "AccountId", "contact": "ContactId"},
}
SALESFORCE_TABLES: Mapping[Entity, str] = {
    "account": "Account",
    "contact": "Contact",
    "lead": "Lead",
    "opportunity": "Opportunity",
}


@dataclass
class SalesforcePerson:
    web: Web
    base: str = "/services/data/v62.0/sobjects"

    def create(self, entity: Entity, **fields: Any) -> str:
        columns = {SALESFORCE[entity][name]: value for name, value in fields.items()}
        if entity == "opportunity":
            columns = {"StageName": "Qualification", "CloseDate": "2026-12-31", **columns}
        elif entity == "lead":
            columns = {"Company": "Kettle Works", **columns}
        return self.web.call("POST", f"{self.base}/{SALESFORCE_TABLES[entity]}", columns).json()["id"]

    def edit(self, entity: Entity, record_id: str, **fields: Any) -> None:
        columns = {SALESFORCE[entity][name]: value for name, value in fields.items()}
        self.web.call("PATCH", f"{self.base}/{SALESFORCE_TABLES[entity]}/{record_id}", columns)

    def delete(self, entity: Entity, record_id: str) -> None:
        self.web.call("DELETE", f"{self.base}/{SALESFORCE_TABLES[entity]}/{record_id}")


def salesforce_config(box: Box, **changes: Any) -> SalesforceConfig:
    told = box.connect["salesforce"]
    settings: dict[str, Any] = {
        "name": "salesforce",
        "url": told["https_url"],
        "login_url": told["https_url"],
        "ca_file": box.connect["ca_path"],
        "flow": "client_credentials",
        "client_id": told["client_id"],
        "client_secret": told["client_secret"],
        "username": told["username"],
        "password": told["password"],
        "security_token": told["security_token"],
        "refresh_token": told["refresh_token"],
        "access_token": told["access_token"],
        "private_key": Path(told["private_key_path"]).read_text(encoding="utf-8"),
        "request_limit_seconds": 5.0,
    }
    return SalesforceConfig(**{**settings, **changes})


@contextmanager
def salesforce_world(box: Box) -> Iterator[World]:
    crm = SalesforceConnector(salesforce_config(box), "left")
    configured(crm, SALESFORCE, SALESFORCE_TABLES)
    person = box.control.people("salesforce", "ada@example.com")
    web = Web(box.connect["salesforce"]["url"], person["access_token"])
    try:
        yield World(
            connector=crm,
            person=SalesforcePerson(web),
            columns=SALESFORCE,
            settle=lambda: _pass_time(box),
            statuses={
                "contacted": "Working - Contacted",
                "open": "Qualification",
                "won": "Closed Won",
                "lost": "Closed Lost",
            },
        )
    finally:
        web.close()
        crm.close()


def _pass_time(box: Box) -> None:
    box.control.advance(61)  # past the horizon


DYNAMICS = {
    "account": {"name": "name", "phone": "telephone1"},
    "contact": {"last_name": "lastname", "email": "emailaddress1", "account": "parentcustomerid_account"},
    "lead": {"last_name": "lastname", "company": "companyname", "email": "emailaddress1"},
    "opportunity": {
        "name": "name",
        "amount": "estimatedvalue",
        "account": "parentaccountid",
        "contact": "parentcontactid",
    },
}
_sets: Mapping[Entity, str] = {
    "account": "accounts",
    "contact": "contacts",
    "lead": "leads",
    "opportunity": "opportunities",
}


@dataclass
class DynamicsPerson:
    web: Web
    base: str = "/api/data/v9.2"

    def create(self, entity: Entity, **fields: Any) -> str:
        if entity == "lead":
            fields = {"company": "Kettle Works", **fields}
        answer = self.web.call("POST", f"{self.base}/{_sets[entity]}", self._body(entity, fields))
        return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")

    def edit(self, entity: Entity, record_id: str, **fields: Any) -> None:
        body = self._body(entity, fields)
        self.web.call("PATCH", f"{self.base}/{_sets[entity]}({record_id})", body, **{"If-Match": "*"})

    def delete(self, entity: Entity, record_id: str) -> None:
        self.web.call("DELETE", f"{self.base}/{_sets[entity]}({record_id})")

    def _body(self, entity: Entity, fields: Mapping[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for name, value in fields.items():
            column = DYNAMICS[entity][name]
            if name in ("account", "contact"):
                body[f"{column}@odata.bind"] = f"/{name}s({value})"
            else:
                body[column] = value
        return body


@contextmanager
def dynamics_world(box: Box) -> Iterator[World]:
    from connectors.dynamics.auth import DynamicsConfig
    from connectors.dynamics.connector import DynamicsConnector

    told = box.connect["dynamics"]
    config = DynamicsConfig(
        name="dynamics",
        url=told["https_url"],
        tenant_id=told["tenant_id"],
        authority=told["authority"].rpartition("/")[0],
        client_id=told["client_id"],
        client_secret=told["client_secret"],
        ca_file=box.connect["ca_path"],
        request_limit_seconds=5.0,
    )
    crm = DynamicsConnector(config, "right")
    configured(crm, DYNAMICS, {entity: entity for entity in ENTITIES})
    person = box.control.people("dynamics", "ada@example.com")
    web = Web(told["url"], person["access_token"])
    try:
        yield World(
            connector=crm,
            person=DynamicsPerson(web),
            columns=DYNAMICS,
            settle=lambda: _pass_time(box),
            statuses={"contacted": 2, "open": None, "won": 3, "lost": 4},
        )
    finally:
        web.close()
        crm.close()


WORLDS: Sequence[str] = ("memory", "salesforce", "dynamics")


@contextmanager
def sandbox() -> Iterator[Box]:
    with running_sandbox("empty") as box:
        yield box


@contextmanager
def world(name: str, box: Box | None) -> Iterator[World]:
    if name == "memory":
        with memory_world() as made:
            yield made
        return
    assert box is not None
    with (salesforce_world if name == "salesforce" else dynamics_world)(box) as made:
        yield made
