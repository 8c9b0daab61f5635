"""The Web API as a whole: who asks, service protection, batches, the ledger of calls (dataverse-api §1, §10)."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from crmbridge.sandbox.core import Call, Reply, Request, Row, World
from crmbridge.sandbox.dynamics import batch, choices, discovery, first_rows, loading, messages, rules
from crmbridge.sandbox.dynamics.bulk_store import BulkStore
from crmbridge.sandbox.dynamics.certificate import client_certificate
from crmbridge.sandbox.dynamics.context import Context, Preferences, query_options, read_preferences, refusal
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_method, bad_query, missing_row, missing_segment
from crmbridge.sandbox.dynamics.headers import check_headers
from crmbridge.sandbox.dynamics.operations import perform
from crmbridge.sandbox.dynamics.protection import Limits, Protection
from crmbridge.sandbox.dynamics.security import Access, check_signed_in, disabled_user
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.store import Store
from crmbridge.sandbox.dynamics.values import guid, plain
from crmbridge.sandbox.identity_keys import refresh_token

_ROOT = re.compile(r"/+api/+data/+v([89]\.[012])(?:/+(.*))?", re.DOTALL)  # older versions answer as 9.2 does
_URL_MAX = 32_768  # and twice that inside a batch: dataverse-api §2.3
_BATCHED_URL_MAX = 65_536
METADATA_TABLES = frozenset({
    "", "systemuser", "team", "businessunit", "transactioncurrency", "organization", "workflow", "processstage",
})  # fmt: skip

Category = Literal["data", "login", "metadata"]


class DynamicsApp:
    """One environment. Pure: time and chance come from the world."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world = world
        self.shape = shape
        self.tenant = world.guid()
        self.client_id = world.guid()
        self._client_secret = "~".join(
            ("sandbox", world.guid(), world.guid())
        )  # long: one client masks secrets in its output
        self._ids = {name: world.guid() for name in ("organization", "businessunit", "systemuser")}
        self._static_token = f"eyJ0eXAiOiJKV1Qi.{world.guid()}.{world.guid()}"
        self.credentials: dict[str, str] = {
            "tenant_id": self.tenant,
            "client_id": self.client_id,
            "client_secret": self._client_secret,
            "certificate": client_certificate(),
            "access_token": self._static_token,  # of the application user; never expires, so that scripts are short
        }
        self.reset()

    @property
    def application_user(self) -> str:
        return self._ids["systemuser"]

    def reset(self) -> None:
        """An empty environment: the organization, its units, currencies, processes and the application user."""
        self.store = Store(self.shape)
        self._names: dict[str, tuple[str, str]] = {}
        self._tokens: dict[str, tuple[str, datetime | None]] = {self._static_token: (self.application_user, None)}
        self.protection = Protection(Limits.of(self.shape.organization))
        unit = self._ids["businessunit"]
        rules.check_declared(self._context())
        with self.store.transaction():
            loading.load_roles(self._context(), unit)
            first = first_rows.who_and_what_with(self.shape, unit, self.application_user, self.client_id)
            loading.load(self._context(), first, self._names)
            base = self.store.find("transactioncurrency", "isocurrencycode", self.shape.organization.base_currency)
            rest = first_rows.definitions(self.shape, self._ids["organization"], base[0] if base else None)
            loading.load(self._context(), {**rest, **messages.rows(self.shape)}, self._names)
            loading.load_duplicate_rules(self._context())
        choices.load(self.store)
        others = {name: rows for name, rows in self.shape.records.items() if name != "transactioncurrency"}
        if others:
            self.load(others)

    def load(self, records: Mapping[str, Sequence[Row]]) -> None:
        """Rows in native columns, see `loading`; all of them or none."""
        records = {
            name: [{"businessunitid": self._ids["businessunit"], **row} for row in rows]
            if name in {"systemuser", "team"}
            else rows
            for name, rows in records.items()
        }
        with self.store.transaction():
            loading.load(self._context(), records, self._names)

    def dump(self) -> dict[str, list[Row]]:
        """Rows as answers have them: `_x_value` for lookups, with the target table of polymorphic ones.

        Deleted rows follow as a delta shows them: `{key, "reason": "deleted"}`.
        """
        return {
            table.name: [
                *(self._dumped(table.name, row) for row in self.store.rows(table.name).values()),
                *({table.key: key, "reason": "deleted"} for key in self.store.all_deleted(table.name)),
            ]
            for table in self.shape.tables.values()
        }

    def _dumped(self, table: str, row: Row) -> Row:
        found: Row = {}
        for column in self.shape.tables[table].columns.values():
            if column.polymorphic and row.get(column.name) is not None:
                found[f"{column.wire}@Microsoft.Dynamics.CRM.lookuplogicalname"] = row.get(column.type_key)
            found[column.wire] = plain(row.get(column.name))
        return found

    # People and tokens

    def login_as(self, email: str) -> dict[str, str]:
        user = self._user_by_email(email)
        return {
            "user_id": user,
            "email": email,
            "access_token": self.issue_token(user, timedelta(hours=8)),
            "refresh_token": refresh_token(self._client_secret, user),  # the identity service takes it
        }

    def _user_by_email(self, email: str) -> str:
        found = self.store.find("systemuser", "internalemailaddress", email)
        if found:
            return found[0]
        first, _, last = email.partition("@")[0].partition(".")
        key = self.world.guid()
        row: Row = {
            "systemuserid": key, "firstname": first.capitalize(), "lastname": last.capitalize() or first.capitalize(),
            "internalemailaddress": email, "domainname": email, "accessmode": 0, "isdisabled": False,
        }  # fmt: skip
        self.load({"systemuser": [row]})
        return key

    def issue_token(self, user: str, lifetime: timedelta, token: str | None = None) -> str:
        """The identity service signs its own; a person's token of the control port is only a word."""
        token = token or f"eyJ0eXAiOiJKV1Qi.{self.world.guid()}.{self.world.guid()}"
        self._tokens[token] = (user, self.world.clock.real() + lifetime)
        return token

    @property
    def tables(self) -> dict[str, str]:
        """The tables of the environment, by their names in lower case."""
        return {name: name for name in self.shape.tables}

    def column_kind(self, table: str, column: str) -> Literal["text", "integer", "number", "boolean"] | None:
        """What a text of a file must be to stand in this column; none where there is no such column."""
        found = self.shape.tables[table].columns.get(column)
        if found is None:
            return None
        if found.kind == "Boolean" or found.is_choice or found.kind in ("Integer", "BigInt"):
            return "boolean" if found.kind == "Boolean" else "integer"
        return "number" if found.kind in ("Money", "Decimal", "Double") else "text"

    def bulk_store(self) -> BulkStore:
        """The way in for many made-up rows."""
        return BulkStore(self.store, self.world, lambda table, row: self.load({table: [row]}))

    def revoke_token(self, token: str, *, all_of_user: bool) -> None:
        """This token is refused from now on, or all of its user's, the static one too; a login gives a new one."""
        user, _ = self._tokens.pop(token, ("", None))
        if all_of_user:
            self._tokens = {key: held for key, held in self._tokens.items() if held[0] != user}

    def expire_tokens(self) -> None:
        """All tokens are refused from now on, except the static one of the connect document."""
        self._tokens = {self._static_token: (self.application_user, None)}

    def application_of(self, client_id: str, secret: str | None) -> str | None:
        """The application user of a client whose secret is right (None: proven by certificate)."""
        if client_id != self.client_id or (
            secret is not None and not secrets.compare_digest(secret.encode(), self._client_secret.encode())
        ):
            return None
        return self.application_user

    def limits(self) -> dict[str, Any]:
        """The service protection in force, for the control port."""
        return asdict(self.protection.limits)

    def limit(self, wanted: dict[str, Any]) -> None:
        self.protection.limits = self.protection.limits.changed(wanted)

    # Requests

    def commit(self, request: Request) -> Reply:
        prefer = read_preferences(request.header("prefer"))
        if (instances := discovery.PATH.fullmatch(request.plain_path)) is not None:
            return self._discover(request, instances[1], prefer)
        match = _ROOT.fullmatch(request.path)
        noted: list[tuple[str, str]] = []
        caller = ""
        is_batch = match is not None and (match[2] or "").rstrip("/") == "$batch"
        before: tuple[int, float] | None = None
        try:
            caller = self._authenticate(request)
            if match is None:
                raise missing_segment(request.plain_path.strip("/"))
            before = self.protection.remaining(caller)
            self.protection.admit(caller, self.world.clock.now(), request.concurrent)
            check_headers(request.headers)
            if len(request.path) + len(request.query) > _URL_MAX:  # status (unverified)
                raise DataverseError(414, "0x80060888", "The length of the URL exceeds the limit of 32768 characters.")
            base = f"{request.origin}/api/data/v{match[1]}"
            user = self._acting_user(request.headers, caller)
            if is_batch:
                reply = self._batch(request, base, caller, prefer, noted)
            else:
                ctx = self._context(
                    base=base, user=user, caller=caller, headers=request.headers, prefer=prefer, query=request.query,
                    body=request.body, noted=noted,
                )  # fmt: skip
                method = "GET" if request.method == "HEAD" else request.method  # the transport leaves the body out
                with self.store.transaction():
                    reply = perform(ctx, method, match[2] or "")
        except DataverseError as error:
            reply = refusal(error, prefer)
            if not noted and not is_batch:  # refused before anybody looked at what was asked
                noted.append(self._asked_for(request.method, match[2] or "" if match else ""))
        left = self.protection.remaining(caller)
        if before is not None and reply.status != 429:
            self.protection.charge(caller, self.world.clock.now(), len(noted))
        self._count(caller, reply.status, noted, is_batch=is_batch)
        known = left if caller else None
        return Reply(status=reply.status, headers=(*reply.headers, *self._service_headers(known)), body=reply.body)

    def _discover(self, request: Request, key: str | None, prefer: Preferences) -> Reply:
        """dataverse-api §1.5"""
        caller = ""
        try:
            caller = self._authenticate(request)
            row = self.store.rows("organization")[self._ids["organization"]]
            reply = discovery.answer(request, key, self.shape.organization, row, self.tenant)
        except DataverseError as error:
            reply = refusal(error, prefer)
        self._count(caller, reply.status, [("organization", "read")], is_batch=False)
        return reply

    def _context(self, **given: Any) -> Context:
        user = self.application_user
        defaults: dict[str, Any] = {"base": "", "user": user, "caller": user, "headers": {}, "prefer": Preferences()}
        return Context(world=self.world, store=self.store, tenant=self.tenant, **{**defaults, **given})

    def _authenticate(self, request: Request) -> str:
        """dataverse-api §1.4: the header names the tenant, so that a client can learn it."""
        scheme, _, token = request.header("authorization").partition(" ")
        user, expires = self._tokens.get(token.strip(), ("", None))
        known = scheme.lower() == "bearer" and user != ""
        if not known or (expires is not None and self.world.clock.real() >= expires):
            challenge = (
                f"Bearer authorization_uri=https://login.microsoftonline.com/{self.tenant}/oauth2/authorize, "
                f"resource_id={request.origin}/"
            )
            raise DataverseError(401, "", "", (("WWW-Authenticate", challenge),))
        check_signed_in(self.store, user)
        return user

    def _acting_user(self, headers: Mapping[str, str], caller: str) -> str:
        """Impersonation: dataverse-api §4.4. The Entra object id is preferred to the user's row id."""
        objects, user = headers.get("callerobjectid"), headers.get("mscrmcallerid")
        named = objects if objects is not None else user
        if named is None:
            return caller
        wanted = guid(named.strip())
        if wanted is None:  # (unverified)
            raise bad_query(f"Invalid value '{named}' for the header that names a user to act for: a GUID is expected.")
        if objects is not None:
            found = self.store.find("systemuser", "azureactivedirectoryobjectid", wanted)
            if not found:  # (unverified)
                raise DataverseError(
                    403, "0x80072560", f"The user with the object id {wanted} is not a member of the organization."
                )
            wanted = found[0]
        if wanted == caller:
            return caller
        if not Access(self.store, caller, caller).has("prvActOnBehalfOfAnotherUser"):  # dataverse-api §10.3
            raise DataverseError(
                403, "0x8004A110", "User does not have the privilege to act on behalf another user."
            )  # status (unverified)
        row = self.store.get("systemuser", wanted)
        if row is None:
            raise missing_row("systemuser", wanted)  # status (unverified)
        if row.get("isdisabled"):
            raise disabled_user(wanted)
        return wanted

    def _service_headers(self, left: tuple[int, float] | None) -> tuple[tuple[str, str], ...]:
        """dataverse-api §1.6, with what is left to the caller of requests and of execution time.

        The thousands comma is real. Strict-Transport-Security is not sent: a browser would hold every port of this
        host to it.
        """
        request_id = self.world.guid()
        limits = () if left is None else (
            ("x-ms-dop-hint", str(self.protection.limits.dop_hint)),
            ("x-ms-ratelimit-burst-remaining-xrm-requests", str(left[0])),
            ("x-ms-ratelimit-time-remaining-xrm-requests", f"{left[1]:,.2f}"),
        )  # fmt: skip
        return (
            ("Cache-Control", "no-cache"),
            ("Expires", "-1"),
            ("Allow", "OPTIONS,GET,HEAD,POST"),
            ("x-ms-service-request-id", request_id),
            ("REQ_ID", request_id),
            ("CRM.ServiceId", "framework"),
            ("AuthActivityId", request_id),
            ("Set-Cookie", f"ARRAffinity={self.tenant.replace('-', '')}; path=/; HttpOnly"),  # there is one web server
            *limits,
        )

    def _asked_for(self, method: str, path: str) -> tuple[str, str]:
        table = self.shape.by_set.get(path.partition("/")[0].partition("(")[0])
        kinds = {"GET": "read", "POST": "create", "PATCH": "update", "DELETE": "delete"}
        return (table.name, kinds.get(method, "other")) if table is not None else ("", "other")

    def _count(self, user: str, status: int, noted: Sequence[tuple[str, str]], *, is_batch: bool) -> None:
        many = is_batch or len(noted) > 1
        table, kind = ("", "batch") if is_batch else noted[0] if noted else ("", "other")
        metadata = all(each in METADATA_TABLES for each, _ in noted) if noted else not is_batch
        category: Category = "metadata" if metadata else "data"
        self.world.count(
            Call(
                crm="dynamics", table=table, kind=kind, category=category, user=user, status=status,
                operations=tuple(noted) if many else (),
            )
        )  # fmt: skip

    # $batch

    def _batch(
        self, request: Request, base: str, caller: str, prefer: Preferences, noted: list[tuple[str, str]]
    ) -> Reply:
        if request.method != "POST":
            raise bad_method(request.method)
        if options := query_options(request.query)[0]:  # dataverse-api §4.6; text (unverified)
            raise bad_query(f"The query parameter {min(options)} is not supported here.")
        items = batch.read_batch(request.header("content-type"), request.body)

        def attempt(part: batch.Part, references: dict[str, str]) -> tuple[Reply, str | None]:
            path, query = self._part_url(part.url, references)
            headers = {**_inherited(request.headers), **part.headers}
            check_headers(part.headers)
            ctx = self._context(
                base=base,
                user=self._acting_user(headers, caller),
                caller=caller,
                headers=headers,
                prefer=read_preferences(part.headers.get("prefer", "")),
                query=query,
                body=part.body,
                batched=True,
                references=references,
                noted=noted,
            )
            return perform(ctx, part.method, path), ctx.entity

        def one(part: batch.Part) -> Reply:
            try:
                with self.store.transaction():
                    return attempt(part, {})[0]
            except DataverseError as error:
                return refusal(error, read_preferences(part.headers.get("prefer", "")))

        def change_set(item: batch.ChangeSet) -> list[Reply] | Reply:
            replies: list[Reply] = []
            references: dict[str, str] = {}
            try:
                with self.store.transaction():
                    for part in item.parts:
                        reply, entity = attempt(part, references)
                        replies.append(reply)
                        if part.content_id is not None and entity is not None:
                            references[part.content_id] = entity
            except DataverseError as error:
                return refusal(error, prefer)
            return replies

        return batch.run_batch(
            items, one=one, change_set=change_set, continue_on_error=prefer.continue_on_error, guid=self.world.guid
        )

    def _part_url(self, url: str, references: Mapping[str, str]) -> tuple[str, str]:
        """(path behind the root, query): the URL is absolute, from the host's root, from the service root, or `$1`."""
        if len(url) > _BATCHED_URL_MAX:
            raise DataverseError(414, "0x80060888", "The length of the URL exceeds the limit of 65536 characters.")
        if url.startswith("$") and not url.startswith("$metadata"):
            name, slash, rest = url[1:].partition("/")
            if name not in references:
                raise DataverseError(
                    400, "0x80060888", f"Content-ID Reference: '${name}' does not exist in the batch context."
                )
            url = references[name] + slash + rest
        parts = urlsplit(url)
        match = _ROOT.fullmatch(parts.path)
        if match is not None:
            return match[2] or "", parts.query
        if parts.scheme or parts.path.startswith("/"):
            raise missing_segment(parts.path.strip("/"))
        return parts.path, parts.query


def _inherited(headers: Mapping[str, str]) -> dict[str, str]:
    """Of the batch's own headers those that mean every part."""
    return {name: value for name, value in headers.items() if name in {"mscrmcallerid", "callerobjectid"}}
