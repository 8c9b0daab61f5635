"""A Salesforce org of the sandbox on a bench: a clock that moves when told, requests without a network."""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote
from xml.etree import ElementTree

from crmbridge.sandbox.core import MovableClock, Reply, Request, World
from crmbridge.sandbox.salesforce.app import SalesforceApp
from crmbridge.sandbox.salesforce.shape import load_shape, shape_from

VERSION = "60.0"
ORIGIN = "https://localhost:8101"
PARTNER = "{urn:partner.soap.sforce.com}"
START = datetime(2026, 1, 31, 9, 15, 22, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def codes(self) -> list[str]:
        return [problem["errorCode"] for problem in self.body]


@dataclass(kw_only=True)
class Bench:
    app: SalesforceApp
    world: World
    times: list[datetime] = field(default_factory=lambda: [START])
    token: str = ""

    def wait(self, **delta: float) -> None:
        """Data time passes; tokens stay as young as they are."""
        clock = self.world.clock
        assert isinstance(clock, MovableClock)
        clock.offset += timedelta(**delta)

    def idle(self, **delta: float) -> None:
        """All time passes."""
        self.times[0] += timedelta(**delta)

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        path, _, query = path.partition("?")
        given = {"content-type": "application/json", "authorization": f"Bearer {self.token}", **(headers or {})}
        request = Request(method=method, path=path, query=query, headers=given, body=body, origin=ORIGIN)
        return self.app.commit(request)

    def rest(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, version: str = VERSION
    ) -> Answered:
        raw = b"" if body is None else json.dumps(body).encode()
        whole = path if path.startswith("/services") else f"/services/data/v{version}/{path}"
        reply = self.send(method, whole, raw, headers)
        return Answered(
            status=reply.status, headers=dict(reply.headers), body=json.loads(reply.body) if reply.body else None
        )

    def query(self, soql: str, *, everything: bool = False, batch: int = 2000) -> Answered:
        path = f"{'queryAll' if everything else 'query'}?q={quote(soql)}"
        return self.rest("GET", path, headers={"sforce-query-options": f"batchSize={batch}"})

    def rows(self, soql: str, *, everything: bool = False) -> list[dict[str, Any]]:
        answered = self.query(soql, everything=everything)
        assert answered.status == 200, answered.body
        return answered.body["records"]

    def one(self, soql: str) -> dict[str, Any]:
        (row,) = self.rows(soql)
        return row

    def create(self, name: str, **fields: Any) -> str:
        answered = self.rest("POST", f"sobjects/{name}", fields)
        assert answered.status == 201, answered.body
        return answered.body["id"]

    def update(self, name: str, key: str, **fields: Any) -> Answered:
        return self.rest("PATCH", f"sobjects/{name}/{key}", fields)

    def get(self, name: str, key: str) -> dict[str, Any]:
        return self.rest("GET", f"sobjects/{name}/{key}").body

    def soap(
        self,
        content: str,
        *,
        header: str = "",
        session: str | None = None,
        version: str = "60.0",
        api: Literal["partner", "enterprise"] = "partner",
    ) -> Reply:
        token = self.token if session is None else session
        envelope = (
            f'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:{api}.soap.sforce.com" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f"<e:Header><SessionHeader><sessionId>{token}</sessionId></SessionHeader>{header}</e:Header>"
            f"<e:Body>{content}</e:Body></e:Envelope>"
        )
        kind = "u" if api == "partner" else "c"
        return self.send("POST", f"/services/Soap/{kind}/{version}", envelope.encode(), {"soapaction": '""'})

    def results(self, content: str, header: str = "") -> list[ElementTree.Element]:
        reply = self.soap(content, header=header)
        assert reply.status == 200, reply.body
        return list(ElementTree.fromstring(reply.body).iter(f"{PARTNER}result"))

    def convert(self, lead: str, *, header: str = "", **fields: Any) -> dict[str, str | None]:
        """One convertLead; elements of the result by name, `statusCode` and `message` of its first error."""
        given = {"leadId": lead, "convertedStatus": "Closed - Converted", **fields}
        parts = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in given.items())
        (result,) = self.results(f"<convertLead><leadConverts>{parts}</leadConverts></convertLead>", header)
        return {element.tag.removeprefix(PARTNER): element.text for element in result.iter()}

    def person(self, email: str) -> "Bench":
        """The same org through somebody else's token."""
        token = self.app.login_as(email)["access_token"]
        return Bench(app=self.app, world=self.world, times=self.times, token=token)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def bench(
    shape: Mapping[str, Any] | None = None, records: Mapping[str, Iterable[Mapping[str, Any]]] | None = None
) -> Bench:
    """The shipped org, or what `shape` makes different in it."""
    times = [START]
    world = World(clock=MovableClock(source=lambda: times[0]), rng=random.Random(7))
    found = load_shape() if shape is None else shape_from({"extends": "salesforce", **shape})
    app = SalesforceApp(world, found)
    app.load(records or {})
    return Bench(app=app, world=world, times=times, token=app.credentials["access_token"])
