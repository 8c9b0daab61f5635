"""The Salesforce side of the sandbox: one org, driven by requests, without sockets, threads or a clock of its own.

`commit` finds out what is asked (login, REST, SOAP), has it done in one transaction, and enters the call in the ledger.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email.utils import format_datetime
from typing import Any, Final, Literal
from urllib.parse import unquote

import msgspec

from crmbridge.sandbox.core import Call, Reply, Request, Row, World
from crmbridge.sandbox.salesforce.ask import VERSION_MAX, VERSION_MIN, Answer, Ask, Log, placed, without_suffix
from crmbridge.sandbox.salesforce.auth import Auth
from crmbridge.sandbox.salesforce.batch import Batch
from crmbridge.sandbox.salesforce.batches import Collections
from crmbridge.sandbox.salesforce.bulk import Bulk
from crmbridge.sandbox.salesforce.bulk_endpoint import BulkEndpoint
from crmbridge.sandbox.salesforce.bulk_jobs import Jobs
from crmbridge.sandbox.salesforce.bulk_store import BulkStore
from crmbridge.sandbox.salesforce.composite import Composite
from crmbridge.sandbox.salesforce.errors import SfError, not_found, not_served, refuse
from crmbridge.sandbox.salesforce.graph import Graphs
from crmbridge.sandbox.salesforce.headers import check_acceptable, check_headers
from crmbridge.sandbox.salesforce.ids import Sequence, base62, canonical
from crmbridge.sandbox.salesforce.limits import Limits
from crmbridge.sandbox.salesforce.oauth import PREFIXES, IdentityPages
from crmbridge.sandbox.salesforce.org import Org
from crmbridge.sandbox.salesforce.parameters import check_parameters
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.rest import Rest
from crmbridge.sandbox.salesforce.schema import NUMBER, Shape, SObject
from crmbridge.sandbox.salesforce.soap_calls import SoapCalls
from crmbridge.sandbox.salesforce.soap_endpoint import SoapEndpoint
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.tooling import Tooling
from crmbridge.sandbox.salesforce.tree import Tree
from crmbridge.sandbox.salesforce.values import plain
from crmbridge.sandbox.salesforce.wire import check_size, effective_method, packed, unpacked

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_JSON: Final = ("Content-Type", "application/json;charset=UTF-8")
_DATA: Final = re.compile(r"/services/data/v(\d+)\.0(?:/(.*))?")
_SEASONS: Final = ("Spring", "Summer", "Winter")


class SalesforceApp:
    """One org; `core.App`, and `load` for its first records."""

    def __init__(self, world: World, shape: Shape) -> None:
        self._world = world
        self._given = shape
        self.reset()

    # -- the org -------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """An empty org with its integration user; ids, tokens and secrets are new ones."""
        # Its own objects, as fields may be added to them; the shape serves other orgs as well.
        own = {
            name: SObject(name=each.name, document=each.document, fields=dict(each.fields))
            for name, each in self._given.objects.items()
        }
        self._shape = replace(self._given, objects=own)
        self._sequence = Sequence(base62(self._world.rng.randrange(62**2), 2) + "0")
        self._store = Store(self._shape)
        self._records = Records(self._store, self._sequence, self._world.clock.now)
        self._limits = Limits(self._shape.org.daily_api_requests, self._world.clock.now)
        self._rest = Rest(self._store, self._records, self._sequence, self._world.clock.now, self._limits)
        self._collections = Collections(self._rest)
        self._composite = Composite(self._store, self._serve)
        self._graphs = Graphs(self._composite)
        self._batch = Batch(self._store, self._limits, self._serve)
        self._tooling = Tooling(self._store, self._sequence)
        self._tree = Tree(self._store, self._records, self._rest.recent)
        self._jobs = Jobs(self._store, self._records, self._sequence, self._world.clock.now, self._limits)
        self._bulk = Bulk(self._jobs)
        self._org = Org(self._store, self._records, self._sequence, self._world.clock.now)
        self._auth = Auth(self._world, self._shape, self._store, self._org.id)
        self._identity = IdentityPages(self._store, self._auth)
        calls = SoapCalls(self._store, self._records, self._auth, self._world.clock.now)
        versions = range(VERSION_MIN, VERSION_MAX + 1)
        self._soap = SoapEndpoint(self._store, self._auth, calls, self._limits, self._answer, versions)
        self._classic = BulkEndpoint(self._jobs, self._auth, self._limits, versions)
        self._auth.start(self._org.found(self._auth.username))

    @property
    def credentials(self) -> dict[str, str]:
        return self._auth.credentials

    def login_as(self, email: str) -> dict[str, str]:
        """A person of this org, made when missing, with a token of their own."""
        row = self._auth.person(email)
        if row is None:
            first, _, last = email.partition("@")[0].replace("_", ".").title().partition(".")
            row = self._org.person(email, first if last else "", last.replace(".", " ") or first)
        return {"user_id": row["Id"], "email": row["Email"], "access_token": self._auth.open_session(row["Id"])}

    def load(self, records: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """First records, native field names; see `Org.load`."""
        self._org.load(records)

    @property
    def tables(self) -> dict[str, str]:
        """The objects of the org, by their names in lower case."""
        return {name.lower(): name for name in self._shape.objects}

    def column_kind(self, table: str, column: str) -> Literal["text", "integer", "number", "boolean"] | None:
        """What a text of a file must be to stand in this field; none where there is no such field."""
        field = self._shape.objects[table].field(column)
        if field is None:
            return None
        if field.type in ("boolean", "int"):
            return "boolean" if field.type == "boolean" else "integer"
        return "number" if field.type in NUMBER else "text"

    def bulk_store(self) -> BulkStore:
        """The way in for many made-up rows."""
        return BulkStore(self._store, self._org, self._sequence)

    def revoke_token(self, token: str, *, all_of_user: bool) -> None:
        """Somebody ends this session, or all of its user's; refresh tokens stay (§1.4)."""
        self._auth.end(token, all_of_user=all_of_user)

    def hold(self, keys: Iterable[str], seconds: float) -> None:
        """Somebody else's transaction holds these rows for so long: saves that need them are refused (§9.2)."""
        self._records.contention.hold((canonical(key) or key for key in keys), seconds)

    def delay(self, table: str, seconds: float, times: int) -> None:
        """The next saves began so long ago: their rows appear with an earlier stamp (§8.1)."""
        sobject = self._shape.object(table) if table else None
        self._records.contention.delay(sobject.name if sobject else table, seconds, times)

    def release(self) -> None:
        self._records.contention.release()

    def dump(self) -> dict[str, list[Row]]:
        return {
            sobject.name: [
                {name: plain(row.get(name)) for name, field in sobject.fields.items() if field.type != "address"}
                for row in self._store.rows(sobject).values()
            ]
            for sobject in self._shape.objects.values()
        }

    # -- requests ------------------------------------------------------------------------------------------------

    def commit(self, request: Request) -> Reply:
        log, user = Log(), ""
        path = re.sub(r"//+", "/", request.path).rstrip("/") or "/"  # clients, point 3
        plain_path = unquote(path)
        self._records.derived.refresh()
        self._jobs.advance(log)
        try:
            if plain_path.startswith("/services/Soap/"):
                user, reply = self._soap.answer(request, plain_path, log)
            elif plain_path.startswith("/services/async/"):
                user, reply = self._classic.answer(request, plain_path, log)
            elif plain_path.startswith(PREFIXES):
                user, reply = self._identity.answer(request, plain_path, log)
            elif path == "/services/data":
                log.note("versions")
                log.category = "metadata"
                if request.method not in ("GET", "HEAD"):  # §9.2
                    message = f"HTTP Method '{request.method}' not allowed. Allowed are GET"
                    raise refuse("METHOD_NOT_ALLOWED", message)
                if request.query:
                    raise not_served(f"URL parameters of {path}")
                reply = self._json(Answer(body=_versions()))
            elif plain_path.startswith("/services/apexrest/"):
                user = self._auth.bearer(request)
                raise refuse("NOT_FOUND", "Could not find a match for URL")  # no Apex class runs here
            elif found := _DATA.fullmatch(path):
                user, reply = self._data(request, found.group(1), found.group(2) or "", log)
            elif plain_path.startswith("/cometd/"):  # the Streaming API
                raise not_served(path)
            else:
                reply = self._refused(not_found())
        except SfError as error:
            reply = self._refused(error)
        self._jobs.advance(log)  # what this request handed in, after its answer
        category = "login" if log.category == "login" else "metadata" if log.category == "metadata" else "data"
        self._world.count(
            Call(
                crm="salesforce",
                table=log.table,
                kind=log.kind,
                category=category,
                user=user,
                status=reply.status,
                operations=tuple(log.operations),
            )
        )
        return self._dated(reply)

    def _data(self, request: Request, version: str, rest: str, log: Log) -> tuple[str, Reply]:
        if not VERSION_MIN <= int(version) <= VERSION_MAX:
            raise not_found()
        user = self._auth.bearer(request)
        try:
            self._limits.spend()
            check_size(request)
            check_headers(request.headers)
            if not rest.startswith("jobs/"):  # results of jobs are CSV
                check_acceptable(request.headers)
            request = unpacked(request)
            ask = Ask(
                method=effective_method(request),
                parts=without_suffix(tuple(unquote(part) for part in rest.split("/")) if rest else ()),
                options=request.options(),
                headers=request.headers,
                user=user,
                version=f"{version}.0",
                origin=self._auth.instance(request),
                raw=request.body,
                log=log,
            )
            with self._store.acting_as(user), self._store.tables.transaction():
                answer = self._answer(ask)
            reply = self._json(answer)
        except SfError as error:
            reply = self._refused(placed(error, request.body))
        reply = packed(reply, request.headers)
        return user, Reply(status=reply.status, headers=(*reply.headers, self._limits.header), body=reply.body)

    def _answer(self, ask: Ask) -> Answer:
        check_parameters(ask)
        match ask.parts:
            case ("jobs", *_):
                return self._bulk.answer(ask)
            case ("composite",):
                return self._composite.answer(ask)
            case ("composite", "graph"):
                return self._graphs.answer(ask)
            case ("composite", "batch"):
                return self._batch.answer(ask)
            case ("tooling", "sobjects", *_):
                return self._tooling.answer(ask)
            case ("sobjects", name, key, field) if (content := self._rest.blob(ask, name, key, field)) is not None:
                return content
            case ("composite", "tree", name):
                return self._tree.answer(ask, self._rest.sobject(name))
            case _:
                return self._serve(ask)

    def _serve(self, ask: Ask) -> Answer:
        """What may also be asked for inside a composite or a batch."""
        return self._collections.answer(ask) if ask.parts[:2] == ("composite", "sobjects") else self._rest.answer(ask)

    # -- answers -------------------------------------------------------------------------------------------------

    def _json(self, answer: Answer) -> Reply:
        if answer.empty:
            return Reply(status=answer.status, headers=answer.headers)
        if answer.raw is not None:
            return Reply(status=answer.status, headers=answer.headers, body=answer.raw)
        return Reply(status=answer.status, headers=(_JSON, *answer.headers), body=_ENCODER.encode(answer.body))

    def _refused(self, error: SfError) -> Reply:
        return self._json(Answer(status=error.status, body=[problem.single() for problem in error.problems]))

    def _dated(self, reply: Reply) -> Reply:
        """Clients take "now" from this header (§8.1), so it is the data clock's."""
        date = ("Date", format_datetime(self._world.clock.now().replace(microsecond=0), usegmt=True))
        return Reply(status=reply.status, headers=(*reply.headers, date), body=reply.body)


def _versions() -> list[dict[str, str]]:
    """§1.1: oldest first. Three releases a year, Spring '24 being 60.0; older labels are counted back from it."""
    found: list[dict[str, str]] = []
    for number in range(VERSION_MIN, VERSION_MAX + 1):
        years, season = divmod(number - 60, 3)
        year = 24 + years + (1 if season == 2 else 0)  # the winter release carries the next year's number
        label = f"{_SEASONS[season]} '{year:02d}"
        found.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return found
