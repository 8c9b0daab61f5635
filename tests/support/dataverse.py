"""A Dataverse environment under test: the sandbox's core asked directly, without sockets."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

from ruamel.yaml import YAML

from crmbridge.sandbox.core import MovableClock, Reply, Request, World
from crmbridge.sandbox.dynamics.app import DynamicsApp
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.shape_file import SHIPPED, build, load_shape, overlay

NOON = datetime(2026, 8, 14, 12, 0, 0, tzinfo=UTC)
ORIGIN = "http://contoso.test:8103"
ROOT = f"{ORIGIN}/api/data/v9.2"


@cache
def _shipped() -> Any:
    return YAML(typ="safe", pure=True).load(SHIPPED.read_text(encoding="utf-8"))


def shaped(**document: Any) -> Shape:
    """The shipped shape with a document laid over it, as a file with `extends: dynamics` would have it."""
    return build(overlay(_shipped(), document))


@dataclass(frozen=True)
class Answer:
    reply: Reply

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.reply.headers)

    @property
    def json(self) -> Any:
        return json.loads(self.reply.body)

    @property
    def text(self) -> str:
        return self.reply.body.decode("utf-8-sig")

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.text
        return self.json["value"]

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def id(self) -> str:
        assert self.status == 204, self.text
        return self.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


@dataclass
class Environment:
    shape: Shape = field(default_factory=load_shape)
    clock: MovableClock = field(default_factory=lambda: MovableClock(source=lambda: NOON))

    def __post_init__(self) -> None:
        self.world = World(clock=self.clock, rng=random.Random(11))
        self.app = DynamicsApp(self.world, self.shape)
        self.token = self.app.credentials["access_token"]

    def send(self, method: str, url: str, body: Any = None, *, concurrent: int = 1, **headers: str) -> Answer:
        """`url` is relative to the service root or absolute; header names are written with underscores."""
        path, _, query = url.removeprefix(ORIGIN).partition("?")
        path = path if path.startswith("/") else f"/api/data/v9.2/{path}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        request = Request(
            method=method,
            path=quote(path, safe="/$(),='@!%"),
            query=query.replace(" ", "%20").replace("#", "%23"),
            headers={"authorization": f"Bearer {self.token}", **given},
            body=data,
            origin=ORIGIN,
            concurrent=concurrent,
        )
        return Answer(self.app.commit(request))

    def person(self, email: str, *roles: str) -> tuple[str, str]:
        """(id, Authorization header) of a person with these security roles."""
        self.app.load({"systemuser": [{
            "lastname": email.partition("@")[0], "firstname": "P", "internalemailaddress": email, "domainname": email,
            "_roles": list(roles),
        }]})  # fmt: skip
        found = self.app.login_as(email)
        return found["user_id"], f"Bearer {found['access_token']}"

    def get(self, url: str, **headers: str) -> Answer:
        return self.send("GET", url, **headers)

    def post(self, url: str, body: Any = None, **headers: str) -> Answer:
        return self.send("POST", url, body or {}, **headers)

    def patch(self, url: str, body: Any, **headers: str) -> Answer:
        return self.send("PATCH", url, body, **{"If_Match": "*", **headers})

    def row(self, url: str) -> dict[str, Any]:
        found = self.get(url)
        assert found.status == 200, found.text
        return found.json

    def move(self, **by: float) -> None:
        self.clock.offset += timedelta(**by)

    def lead(self, **values: Any) -> str:
        return self.post("leads", {"subject": "Asks for a demo", "lastname": "Byron", **values}).id

    def qualify(self, lead: str, **parameters: Any) -> Answer:
        body = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": 3, **parameters}
        return self.post(f"leads({lead})/Microsoft.Dynamics.CRM.QualifyLead", body)
