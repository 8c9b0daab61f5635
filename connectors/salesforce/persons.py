"""A contact that is made as a person account: it is created as an account, by the names that its columns have there.

Object Reference, "Account", "IsPersonAccount Fields". The record type is the running user's default one for persons, as
for any account with a last name and without a name of its own (unverified).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from connectors.salesforce import protocol, soql
from connectors.salesforce.protocol import Call
from crmbridge.model import Native

ACCOUNT: Final = "Account"
_SHARED: Final = frozenset(
    "LastName FirstName Salutation MiddleName Suffix Phone Fax Description OwnerId CurrencyIsoCode".split()
)
# A person has no other account and reports to nobody; the account has a record type and a Data.com state of its own.
_NOT_THERE: Final = frozenset({"AccountId", "ReportsToId", "RecordTypeId", "Jigsaw", "CleanStatus"})


class _Made(msgspec.Struct):
    Id: str
    PersonContactId: str | None = None


def account_column(name: str) -> str:
    """What the account calls a column of its person contact."""
    if name in _SHARED:
        return name
    return f"{name.removesuffix('__c')}__pc" if name.endswith("__c") else f"Person{name}"


def as_account(columns: Native) -> dict[str, Any]:
    return {account_column(name): value for name, value in columns.items() if name not in _NOT_THERE}


def contacts_of(accounts: Sequence[str]) -> Call:
    return protocol.retrieve(ACCOUNT, accounts, ("Id", "PersonContactId"))


def told(body: bytes) -> Mapping[str, str]:
    """Account -> its person contact, by ids of 18 characters."""
    found = msgspec.json.decode(body, type=list[_Made | None])
    return {soql.id18(one.Id): soql.id18(one.PersonContactId) for one in found if one and one.PersonContactId}
