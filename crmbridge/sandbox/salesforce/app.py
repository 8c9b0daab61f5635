"""The Salesforce side of the sandbox: one org, driven by requests, without sockets, threads or a clock of its own.

`commit` finds out what is asked (login, REST, SOAP), has it done in one transaction, and enters the call in the ledger.
"""

import re
from collections.abc import Iterable, Mapping
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from crmbridge.sandbox.core import Call, Reply, Request, Row, World
from crmbridge.sandbox.salesforce import soap
from crmbridge.sandbox.salesforce.ask import VERSION_MAX, VERSION_MIN, Answer, Ask, Log, placed, without_suffix
from crmbridge.sandbox.salesforce.auth import Auth, OAuthError
from crmbridge.sandbox.salesforce.batch import Batch
from crmbridge.sandbox.salesforce.batches import Collections
from crmbridge.sandbox.salesforce.composite import Composite
from crmbridge.sandbox.salesforce.errors import SfError, not_found, refuse
from crmbridge.sandbox.salesforce.graph import Graphs
from crmbridge.sandbox.salesforce.headers import check_acceptable, check_headers
from crmbridge.sandbox.salesforce.ids import Sequence, base62
from crmbridge.sandbox.salesforce.limits import Limits
from crmbridge.sandbox.salesforce.org import Org
from crmbridge.sandbox.salesforce.records import Caller, Records
from crmbridge.sandbox.salesforce.rest import Rest
from crmbridge.sandbox.salesforce.schema import Shape
from crmbridge.sandbox.salesforce.soap_calls import SoapCalls
from crmbridge.sandbox.salesforce.soap_rows import SoapRows
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.tree import Tree
from crmbridge.sandbox.salesforce.values import plain
from crmbridge.sandbox.salesforce.wire import check_size, effective_method, packed, unpacked

LOGIN_VERSION_MAX: Final = 64  # §1.2: SOAP login() is not in API v65 and later
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_JSON: Final = ("Content-Type", "application/json;charset=UTF-8")
_DATA: Final = re.compile(r"/services/data/v(\d+)\.0(?:/(.*))?")
_SOAP: Final = re.compile(r"/services/Soap/u/(\d+)\.0(?:/\w+)?")
_SEASONS: Final = ("Spring", "Summer", "Winter")


class SalesforceApp:
    """One org; `core.App`, and `load` for its first records."""

    def __init__(self, world: World, shape: Shape) -> None:
        self._world = world
        self._shape = shape
        self.reset()

    # -- the org -------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """An empty org with its integration user; ids, tokens and secrets are new ones."""
        self._sequence = Sequence(base62(self._world.rng.randrange(62**2), 2) + "0")
        self._store = Store(self._shape)
        self._records = Records(self._store, self._sequence, self._world.clock.now)
        self._limits = Limits(self._shape.org.daily_api_requests, self._world.clock.now)
        self._rest = Rest(self._store, self._records, self._sequence, self._world.clock.now, self._limits)
        self._collections = Collections(self._rest)
        self._composite = Composite(self._store, self._serve)
        self._graphs = Graphs(self._composite)
        self._batch = Batch(self._store, self._limits, self._serve)
        self._tree = Tree(self._store, self._records, self._rest.recent)
        self._org = Org(self._store, self._records, self._sequence, self._world.clock.now)
        rows = SoapRows(self._store, self._records, self._sequence, self._world.clock.now)
        self._soap_calls = SoapCalls(self._store, self._records, rows, self._org.id, self._world.clock.now)
        self._auth = Auth(self._world, self._shape, self._store, self._org.id)
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
        try:
            if plain_path.startswith("/services/Soap/"):
                user, reply = self._soap(request, plain_path, log)
            elif plain_path.startswith(("/services/oauth2/", "/id/")):
                user, reply = self._identity(request, plain_path, log)
            elif path == "/services/data":
                log.note("versions")
                log.category = "metadata"
                reply = self._json(Answer(body=_versions()))
            elif found := _DATA.fullmatch(path):
                user, reply = self._data(request, found.group(1), found.group(2) or "", log)
            else:
                reply = self._refused(not_found())
        except SfError as error:
            reply = self._refused(error)
        except OAuthError as error:
            reply = self._json(Answer(status=error.status, body=error.body))
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
                raw=request.body,
                log=log,
            )
            with self._store.tables.transaction():
                answer = self._answer(ask)
            reply = self._json(answer)
        except SfError as error:
            reply = self._refused(placed(error, request.body))
        reply = packed(reply, request.headers)
        return user, Reply(status=reply.status, headers=(*reply.headers, self._limits.header), body=reply.body)

    def _answer(self, ask: Ask) -> Answer:
        match ask.parts:
            case ("composite",):
                return self._composite.answer(ask)
            case ("composite", "graph"):
                return self._graphs.answer(ask)
            case ("composite", "batch"):
                return self._batch.answer(ask)
            case ("composite", "tree", name):
                return self._tree.answer(ask, self._rest.sobject(name))
            case _:
                return self._serve(ask)

    def _serve(self, ask: Ask) -> Answer:
        """What may also be asked for inside a composite or a batch."""
        return self._collections.answer(ask) if ask.parts[:2] == ("composite", "sobjects") else self._rest.answer(ask)

    # -- identity ------------------------------------------------------------------------------------------------

    def _identity(self, request: Request, path: str, log: Log) -> tuple[str, Reply]:
        log.category = "login"
        if path == "/services/oauth2/token":
            log.note("token")
            if request.method != "POST":
                raise refuse(  # §9.3
                    "METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed. Allowed are POST"
                )
            answer = self._auth.token(request)
            return answer["id"].rpartition("/")[2], self._json(Answer(body=answer))
        if path == "/services/oauth2/revoke":
            log.note("revoke")
            form = _form(request)
            if not self._auth.revoke(form.get("token", "")):
                raise OAuthError("unsupported_token_type", "this token type is not supported")
            return "", self._json(Answer(body={}))
        log.note("identity")
        token = request.options().get("oauth_token") or request.options().get("access_token")  # jsforce passes it so
        user = self._auth.user_of(token) if token else self._auth.bearer(request)
        asked = re.fullmatch(r"/id/(\w+)/(\w+)", path)
        if path != "/services/oauth2/userinfo" and (asked is None or asked.groups() != (self._auth.org_id, user)):
            raise not_found()
        return user, self._json(Answer(body=self._identity_of(request, user)))

    def _identity_of(self, request: Request, user: str) -> dict[str, Any]:
        row, origin = self._store.rows(self._shape.objects["User"])[user], self._auth.instance(request)
        data = f"{origin}/services/data/v{{version}}"
        soap_url = f"{origin}/services/Soap/u/{{version}}/{self._auth.org_id[:15]}"
        return {
            "id": f"{origin}/id/{self._auth.org_id}/{user}",
            "sub": f"{origin}/id/{self._auth.org_id}/{user}",
            "user_id": user,
            "organization_id": self._auth.org_id,
            "preferred_username": row["Username"],
            "username": row["Username"],
            "nick_name": row.get("CommunityNickname"),
            "display_name": row["Name"],
            "name": row["Name"],
            "email": row["Email"],
            "email_verified": True,
            "user_type": row["UserType"],
            "active": row["IsActive"],
            "urls": {
                "rest": f"{data}/",
                "query": f"{data}/query/",
                "sobjects": f"{data}/sobjects/",
                "partner": soap_url,
            },
        }

    # -- SOAP ----------------------------------------------------------------------------------------------------

    def _soap(self, request: Request, path: str, log: Log) -> tuple[str, Reply]:
        found = _SOAP.fullmatch(path)
        user = ""
        try:
            if found is None:
                raise refuse(
                    "FUNCTIONALITY_NOT_ENABLED",
                    f"This sandbox serves the partner API at /services/Soap/u/NN.0, not {path}",
                )
            # §6.2: any value, but it must be there; the code (unverified)
            if request.method != "POST" or "soapaction" not in request.headers:
                raise refuse("INVALID_REQUEST", "A SOAP call is a POST with the header SOAPAction.")
            call = soap.parse(request.body)
            name = call.operation.name
            if name == "login":
                log.note("login")
                log.category = "login"
                return self._soap_login(request, call, int(found.group(1)))
            log.note(name)
            user = self._soap_user(call)
            self._limits.spend()
            with self._store.tables.transaction():
                content = self._soap_calls.answer(call, self._soap_caller(call, user, f"{found.group(1)}.0"), log)
            return user, soap.reply(name, content, (self._limits.used(), self._limits.most()))
        except SfError as error:
            return user, soap.fault(error)

    def _soap_user(self, call: soap.Call) -> str:
        try:
            return self._auth.user_of(call.session)
        except SfError:  # §6.4, wording (unverified)
            message = (
                "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing session key"
            )
            raise refuse("INVALID_SESSION_ID", message) from None

    def _soap_caller(self, call: soap.Call, user: str, version: str) -> Caller:
        """§6.2: SOAP takes no assignment header here; the duplicate header passes alerts."""
        allow = call.header_flag("DuplicateRuleHeader", "allowSave")
        return Caller(user=user, version=version, auto_assign=False, allow_duplicates=allow)

    def _soap_login(self, request: Request, call: soap.Call, version: int) -> tuple[str, Reply]:
        if version > LOGIN_VERSION_MAX:  # §1.3; the fault's code is (unverified)
            raise refuse("UNSUPPORTED_API_VERSION", f"login() is not available in API version {version}.0; use OAuth.")
        scope = call.headers.first("LoginScopeHeader")
        trusted = scope is not None and scope.value("organizationId")[:15] == self._auth.org_id[:15]
        password = call.operation.first("password")
        user = self._auth.password_login(
            call.operation.value("username"), (password.text or "") if password else "", trusted=trusted
        )
        row = self._store.rows(self._shape.objects["User"])[user]
        token, origin = self._auth.open_session(user), self._auth.instance(request)
        content = soap.login_result(self._shape.org, self._auth.org_id, row, token, origin, version)
        return user, soap.reply("login", content)

    # -- answers -------------------------------------------------------------------------------------------------

    def _json(self, answer: Answer) -> Reply:
        if answer.empty:
            return Reply(status=answer.status, headers=answer.headers)
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


def _form(request: Request) -> dict[str, str]:
    """A form in the body or in the URL."""
    return Request(method="GET", path="/", query=request.body.decode("utf-8", "replace")).options() | request.options()
