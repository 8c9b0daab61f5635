"""The control: conversions mirrored as one would first write it, by Celery tasks that are repeated until they succeed.

`celery -A tests.chaos.naive worker`. With late acknowledgements and every error repeated no task is given up; but there
is no intent, no key and no look before a repetition, so whatever was done and not heard of is done again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from celery import Celery

from crmbridge.demo.people import DynamicsPerson, SalesforcePerson

VARIABLE: Final = "CRMBRIDGE_TEST_NAIVE"  # a JSON document: Access
TASK: Final = "naive.mirror"


class Access(msgspec.Struct, frozen=True):
    broker: str
    salesforce: str
    salesforce_token: str
    dynamics: str
    dynamics_token: str
    at_work: str  # a folder: the processes that have a task in hand


@cache
def access() -> Access:
    return msgspec.json.decode(os.environ[VARIABLE], type=Access)


def make_app(broker: str) -> Celery:
    made = Celery("naive", broker=broker)
    made.conf.update(
        task_acks_late=os.environ.get("CRMBRIDGE_TEST_ACKS") != "early",
        task_reject_on_worker_lost=os.environ.get("CRMBRIDGE_TEST_ACKS") != "early",
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=2,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # So that what a killed worker had in hand comes back within the run; the default is an hour.
        broker_transport_options={"visibility_timeout": 20, "unacked_restore_interval": 2, "socket_timeout": 30},
    )
    return made


app = make_app(access().broker) if VARIABLE in os.environ else Celery("naive")
_task: Any = app.task  # Celery's decorator has no types


@_task(name=TASK, autoretry_for=(Exception,), max_retries=None, default_retry_delay=1)
def mirror(home: str, last_name: str, email: str, account: str, deal: str | None, *, known: bool) -> None:
    """`known`: it was converted into an account that was there."""
    with _at_work():
        (_to_dynamics if home == "salesforce" else _to_salesforce)(last_name, email, account, deal, known=known)


def _to_dynamics(last_name: str, email: str, account: str, deal: str | None, *, known: bool) -> None:
    crm = DynamicsPerson(url=access().dynamics, token=access().dynamics_token)
    if known:
        customer: str = crm.find("accounts", f"name eq '{account}'")[0]["accountid"]
    else:
        customer = crm.create("accounts", name=account)
    bind = {"parentcustomerid_account@odata.bind": f"/accounts({customer})"}
    contact = crm.create("contacts", firstname="Ch", lastname=last_name, emailaddress1=email, **bind)
    if deal is not None:
        parents = {
            "parentaccountid@odata.bind": f"/accounts({customer})",
            "parentcontactid@odata.bind": f"/contacts({contact})",
        }
        crm.create("opportunities", name=deal, **parents)


def _to_salesforce(last_name: str, email: str, account: str, deal: str | None, *, known: bool) -> None:
    crm = SalesforcePerson(url=access().salesforce, token=access().salesforce_token)
    if known:
        customer: str = crm.query(f"SELECT Id FROM Account WHERE Name = '{account}'")[0]["Id"]
    else:
        customer = crm.create("Account", Name=account)
    crm.create("Contact", FirstName="Ch", LastName=last_name, Email=email, AccountId=customer)
    if deal is not None:
        crm.create("Opportunity", Name=deal, AccountId=customer, StageName="Prospecting", CloseDate="2027-03-31")


@contextmanager
def _at_work() -> Iterator[None]:
    mark = Path(access().at_work) / str(os.getpid())
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
