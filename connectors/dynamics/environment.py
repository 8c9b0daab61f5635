"""What we asked the environment once and remember: its tables and processes, and who is in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from connectors.base import Identity
from connectors.dynamics import metadata, processes
from connectors.dynamics.client import Client
from connectors.dynamics.metadata import Facts
from connectors.dynamics.processes import Process
from connectors.dynamics.protocol import decoded, page_rows_max, read
from connectors.groups import groups_of
from crmbridge.errors import AccessError, ConfigError
from crmbridge.model import Directory, Entity


class Environment:
    def __init__(self, client: Client, *, default_owner: str | None = None, owner_setting: str = "") -> None:
        self._client = client
        self._default_owner = fold(default_owner) if default_owner else None
        self._owner_setting = owner_setting or "default_owner"
        self._tables: dict[Entity, Facts] = {}
        self._processes: Mapping[str, Process] | None = None
        self._unread: tuple[str, ...] = ()

    def table(self, entity: Entity) -> Facts:
        if entity not in self._tables:
            replies = self._client.read_all(metadata.table_requests(entity), kind="metadata")
            if replies[0].meaning.kind == "missing":
                raise AccessError(
                    f"{self._client.name}: the environment has no table {entity}.",
                    fix="Dynamics 365 Sales must be installed in it, and the application user needs read rights.",
                    code=replies[0].meaning.code,
                )
            self._tables[entity] = metadata.table_facts([each.body for each in replies])
        return self._tables[entity]

    def processes(self) -> Mapping[str, Process]:
        """The process tables of opportunities that exist here, by their name."""
        if self._processes is None:
            replies = self._client.read_all(processes.process_requests(), kind="metadata")
            found = processes.processes([each.body if each.done else None for each in replies])
            self._processes = found | self._in_order([each for each in found.values() if not each.ordered])
            for unread in self._unread:
                del self._processes[unread]
        return self._processes

    def _in_order(self, some: Sequence[Process]) -> dict[str, Process]:
        if not some:
            return {}
        replies = self._client.read_all(processes.order_requests(some), kind="metadata", or_forbidden=True)
        # Each process table has rights of its own; one that we may not read is left out, and said to be (`notes`).
        self._unread = tuple(
            each.table
            for each, reply in zip(some, replies[1:], strict=True)
            if not reply.done and each.table not in processes.PROCESS_TABLES
        )
        ordered = processes.with_order(some, [each.body if each.done else None for each in replies])
        return {each.table: each for each in ordered}

    def process_notes(self) -> tuple[str, ...]:
        """What the operator should know of the processes."""
        self.processes()
        return tuple(
            f"The business process {each} is not read: our user has no right to its table. Give the application user "
            f"Read and Write on it if opportunities run in it."
            for each in self._unread
        )

    def identity(self) -> Identity:
        # dataverse-api §1.4; also the .NET client's first two calls
        me, here = self._client.read_all(
            [
                read("WhoAmI", table="", kind="metadata"),
                read(
                    "RetrieveCurrentOrganization(AccessType=@p1)"
                    "?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'",
                    table="",
                    kind="metadata",
                ),
            ],
            kind="metadata",
        )
        who = decoded(me.body, _WhoAmI)
        detail = decoded(here.body, _Organization).Detail if here.done else {}
        kind = detail.get("OrganizationType")
        return Identity(
            org_id=who.OrganizationId,
            user_id=who.UserId,
            # The detail's type is not always told; what is not known to be a sandbox is treated as production,
            # the careful side (names of the types are (unverified)).
            production=str(kind) not in _not_production,
            name=str(detail.get("FriendlyName") or self._client.name),
        )

    def directory(self, *, groups: bool = False) -> Directory:
        first = read(
            "systemusers",
            table="systemuser",
            kind="metadata",
            select="internalemailaddress,isdisabled,accessmode",
            rows=page_rows_max,
        )
        users, currencies, organizations = self._client.read_all(
            [
                first,
                read("transactioncurrencies", table="transactioncurrency", kind="metadata", select="isocurrencycode"),
                read("organizations", table="organization", kind="metadata", select="_basecurrencyid_value"),
            ],
            kind="metadata",
        )
        page = decoded(users.body, _Users)
        people = list(page.value)
        while page.next_link:
            more = self._client.read(replace(first, path=self._client.session.origin.target(page.next_link)))
            page = decoded(more.body, _Users)
            people += page.value
        codes = {
            each.transactioncurrencyid: each.isocurrencycode or ""
            for each in decoded(currencies.body, _Currencies).value
        }
        base = decoded(organizations.body, _Organizations).value
        emails = {each.systemuserid: fold(each.internalemailaddress) for each in people if each.internalemailaddress}
        user_ids = _unique(
            (emails[each.systemuserid], each.systemuserid)
            for each in people
            if each.systemuserid in emails and each.may_own
        )
        named, by_word = (
            groups_of("team", ((each.teamid, (each.name,)) for each in self._teams() if each.may_own))
            if groups
            else ({}, {})
        )
        return Directory(
            users=emails,
            user_ids=user_ids,
            groups=named,
            group_ids=by_word,
            default_owner=self._owner(user_ids),
            currency=codes.get(base[0].currency_id or "", "USD") if base else "USD",
            multi_currency=True,
            currencies=codes,
        )

    def _teams(self) -> list["_Team"]:
        first = read("teams", table="team", kind="metadata", select="name,teamtype", rows=page_rows_max)
        page = decoded(self._client.read(first).body, _Teams)
        found = list(page.value)
        while page.next_link:
            more = self._client.read(replace(first, path=self._client.session.origin.target(page.next_link)))
            page = decoded(more.body, _Teams)
            found += page.value
        return found

    def _owner(self, user_ids: Mapping[str, str]) -> str | None:
        if self._default_owner is None:
            return None
        if self._default_owner not in user_ids:
            raise ConfigError(
                f"{self._owner_setting}: {self._client.name} has no single active user {self._default_owner!r}.",
                fix="Write the e-mail address of one who is active there.",
                code="default_owner",
            )
        return user_ids[self._default_owner]


def fold(email: str) -> str:
    return email.strip().lower().removesuffix(".invalid")


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    doubled: set[str] = set()
    for email, user_id in pairs:
        if email in found:
            doubled.add(email)
        found[email] = user_id
    return {email: user_id for email, user_id in found.items() if email not in doubled}


class _WhoAmI(msgspec.Struct):
    UserId: str
    OrganizationId: str


class _Organization(msgspec.Struct):
    Detail: dict[str, Any]


# Names and numbers of OrganizationType that are no customer's production (unverified)
_not_production: Final = frozenset(
    {
        *("Support", "CustomerTest", "CustomerFreeTest", "CustomerPreview", "TestDrive", "EmailTrial"),
        *("Developer", "Trial", "2", "5", "6", "7", "9", "11", "13", "14"),
    }
)


class _User(msgspec.Struct):
    systemuserid: str
    internalemailaddress: str | None = None
    isdisabled: bool | None = None
    accessmode: int | None = None

    @property
    def may_own(self) -> bool:
        """Enabled, and read-write or non-interactive (dataverse-api §9.3)."""
        return not self.isdisabled and self.accessmode in (0, 4)


class _Team(msgspec.Struct):
    teamid: str
    name: str | None = None
    teamtype: int | None = None

    @property
    def may_own(self) -> bool:
        """An access team (1) is shared with and owns nothing; owner teams and those of a directory's groups do."""
        return self.teamtype != 1


class _Teams(msgspec.Struct):
    value: list[_Team]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)


class _Users(msgspec.Struct):
    value: list[_User]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)


class _Currency(msgspec.Struct):
    transactioncurrencyid: str
    isocurrencycode: str | None = None


class _Currencies(msgspec.Struct):
    value: list[_Currency]


class _OrganizationRow(msgspec.Struct):
    currency_id: str | None = msgspec.field(name="_basecurrencyid_value", default=None)


class _Organizations(msgspec.Struct):
    value: list[_OrganizationRow]
