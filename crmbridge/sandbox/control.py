"""The control port: people, calls, dump, clock, faults, snapshots, reset.

People's edits are ordinary API calls with a token handed out here; there is no second way to write. Every refusal is
JSON `{"error": "a sentence"}`.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Protocol, get_args, runtime_checkable

import msgspec

from crmbridge.sandbox import calls
from crmbridge.sandbox.accepted import WITHOUT_EFFECT
from crmbridge.sandbox.core import Crm, Reply, Request
from crmbridge.sandbox.faults import Armed, BadRule
from crmbridge.sandbox.sandbox import ClockNotOurs, NoSuchSnapshot, Sandbox
from crmbridge.sandbox.scenario import KEYS, ScenarioError, parse_scenario
from crmbridge.sandbox.seed import SeedError

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
ADVANCE_SECONDS_MAX = 10 * 365 * 86_400.0

encoder = msgspec.json.Encoder(decimal_format="number")


class Refused(Exception):
    """A request that the control port cannot serve."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@runtime_checkable
class Limited(Protocol):
    """A CRM whose limits can be moved while it runs."""

    def limits(self) -> dict[str, Any]: ...

    def limit(self, wanted: dict[str, Any]) -> None: ...


@runtime_checkable
class Contended(Protocol):
    """A CRM in which somebody else's transactions can be in the way."""

    def hold(self, keys: Iterable[str], seconds: float) -> None: ...

    def delay(self, table: str, seconds: float, times: int) -> None: ...

    def release(self) -> None: ...


class ControlApp:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "/"): self._overview,
            ("POST", "/people"): self._people,
            ("GET", "/calls"): self._calls,
            ("DELETE", "/calls"): self._forget_calls,
            ("GET", "/dump"): self._dump,
            ("GET", "/clock"): self._clock,
            ("POST", "/clock"): self._move_clock,
            ("GET", "/faults"): self._faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._remove_faults,
            ("POST", "/snapshot"): self._snapshot,
            ("POST", "/restore"): self._restore,
            ("POST", "/reset"): self._reset,
            ("POST", "/locks"): self._lock_rows,
            ("DELETE", "/locks"): self._release,
            ("POST", "/late-commits"): self._commit_late,
            ("GET", "/limits"): self._limits,
            ("POST", "/limits"): self._change_limits,
        }

    def commit(self, request: Request) -> Reply:
        path = request.plain_path.rstrip("/") or "/"
        try:
            handler = self._routes.get((request.method, path))
            if handler is None:
                raise self._no_route(request.method, path)
            with self.sandbox.lock:
                return _json(HTTPStatus.OK, handler(request))
        except Refused as refusal:
            return _json(refusal.status, {"error": str(refusal)})

    def _no_route(self, method: str, path: str) -> Refused:
        methods = sorted(known for known, place in self._routes if place == path)
        if methods:
            return Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} serves {', '.join(methods)}, not {method}")
        places = ", ".join(sorted({place for _, place in self._routes}))
        return Refused(HTTPStatus.NOT_FOUND, f"nothing is served at {path}; there are: {places}")

    # --- what is served ------------------------------------------------------------------------------------------

    def _overview(self, request: Request) -> Any:
        serves = sorted(f"{method} {path}" for method, path in self._routes)
        return {"seed": self.sandbox.seed.name, "serves": serves, "accepted_without_effect": WITHOUT_EFFECT}

    def _people(self, request: Request) -> Any:
        body = _body(request, {"crm", "email"})
        email: Any = body.get("email")
        crm: Any = body.get("crm")
        if crm not in get_args(Crm):
            raise Refused(HTTPStatus.BAD_REQUEST, f"crm: one of {', '.join(get_args(Crm))} is expected")
        if not isinstance(email, str) or not EMAIL.fullmatch(email):
            raise Refused(HTTPStatus.BAD_REQUEST, "email: an e-mail address is expected")
        return self.sandbox.crms[crm].login_as(email)

    def _calls(self, request: Request) -> Any:
        options = request.options()
        ledger = self.sandbox.world.calls
        if options.get("user") is not None:
            ledger = [call for call in ledger if call.user == options["user"]]
        return ledger if options.get("raw") in ("1", "true") else calls.summary(ledger)

    def _forget_calls(self, request: Request) -> Any:
        forgotten = len(self.sandbox.world.calls)
        self.sandbox.world.calls.clear()
        return {"forgotten": forgotten}

    def _dump(self, request: Request) -> Any:
        return self.sandbox.dump()

    def _clock(self, request: Request) -> Any:
        clock = self.sandbox.world.clock
        return {"now": clock.now().isoformat(), "tokens": clock.real().isoformat()}

    def _move_clock(self, request: Request) -> Any:
        body = _body(request, {"advance_seconds", "set", "tokens"})
        tokens = body.get("tokens", False)
        if not isinstance(tokens, bool):
            raise Refused(HTTPStatus.BAD_REQUEST, "tokens: true or false is expected")
        if ("advance_seconds" in body) == ("set" in body):
            raise Refused(HTTPStatus.BAD_REQUEST, "give either advance_seconds or set")
        try:
            if "set" in body:
                self.sandbox.move_clock(to=_instant(body["set"]), tokens=tokens)
            else:
                self.sandbox.move_clock(by=_seconds(body["advance_seconds"]), tokens=tokens)
        except ClockNotOurs as problem:
            raise Refused(HTTPStatus.CONFLICT, str(problem)) from problem
        return self._clock(request)

    def _faults(self, request: Request) -> Any:
        return [_fault(entry) for entry in self.sandbox.faults.armed]

    def _add_fault(self, request: Request) -> Any:
        """One rule; or a scenario, as a file has it: `{"seed": 7, "skew": {...}, "faults": [...]}`."""
        body = _body(request, None)
        try:
            if body and set(body) <= set(KEYS):
                self.sandbox.arm(parse_scenario(body))
                return {"faults": self._faults(request), "skew": self.sandbox.skew}
            return _fault(self.sandbox.faults.add(body))
        except (BadRule, ScenarioError) as problem:
            raise Refused(HTTPStatus.BAD_REQUEST, str(problem)) from problem

    def _remove_faults(self, request: Request) -> Any:
        wanted = request.options().get("id")
        if wanted is None:
            self.sandbox.disarm()
        elif not wanted.isdecimal() or not self.sandbox.faults.remove(int(wanted)):
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no fault with id {wanted}")
        return self._faults(request)

    def _snapshot(self, request: Request) -> Any:
        name = _name(request)
        self.sandbox.snapshot(name)
        return {"snapshot": name}

    def _restore(self, request: Request) -> Any:
        name = _name(request)
        try:
            self.sandbox.restore(name)
        except NoSuchSnapshot as problem:
            raise Refused(
                HTTPStatus.NOT_FOUND, f"there is no snapshot {name!r}; make one at POST /snapshot"
            ) from problem
        return {"restored": name}

    def _limits(self, request: Request) -> Any:
        return {name: app.limits() for name, app in self._limited()}

    def _change_limits(self, request: Request) -> Any:
        """Service protection (dataverse-api §10.4): `{"crm": "dynamics", "requests": 40}`; the windows go on."""
        body = _body(request, None)
        crm = body.pop("crm", None)
        app = dict(self._limited()).get(str(crm))
        if app is None:
            raise Refused(
                HTTPStatus.BAD_REQUEST, f"crm: one of {', '.join(name for name, _ in self._limited())} is expected"
            )
        try:
            app.limit(body)
        except ValueError as problem:
            raise Refused(HTTPStatus.BAD_REQUEST, str(problem)) from problem
        return self._limits(request)

    def _limited(self) -> list[tuple[str, Limited]]:
        return [(name, app) for name, app in self.sandbox.crms.items() if isinstance(app, Limited)]

    def _lock_rows(self, request: Request) -> Any:
        """`{"crm": "salesforce", "ids": [...], "seconds": 30}`: saves that need these rows meet a row lock."""
        body = _body(request, {"crm", "ids", "seconds"})
        keys: Any = body.get("ids")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Refused(HTTPStatus.BAD_REQUEST, "ids: a list of record ids is expected")
        seconds = _seconds(body.get("seconds", 60))
        self._contended(body.get("crm", "salesforce")).hold(keys, seconds.total_seconds())
        return {"held": keys, "seconds": seconds.total_seconds()}

    def _commit_late(self, request: Request) -> Any:
        """`{"crm": "salesforce", "table": "Lead", "seconds": 30, "times": 1}`: rows appear with an earlier stamp."""
        body = _body(request, {"crm", "table", "seconds", "times"})
        table, times = body.get("table", ""), body.get("times", 1)
        if not isinstance(table, str):
            raise Refused(HTTPStatus.BAD_REQUEST, "table: an object's name is expected")
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            raise Refused(HTTPStatus.BAD_REQUEST, "times: a whole number from 1 on is expected")
        seconds = _seconds(body.get("seconds", 30)).total_seconds()
        self._contended(body.get("crm", "salesforce")).delay(table, seconds, times)
        return {"table": table, "seconds": seconds, "times": times}

    def _release(self, request: Request) -> Any:
        for app in self.sandbox.crms.values():
            if isinstance(app, Contended):
                app.release()
        return {"held": []}

    def _contended(self, crm: object) -> Contended:
        app = dict(self.sandbox.crms.items()).get(crm)  # pyright: ignore[reportArgumentType, reportCallIssue]
        if not isinstance(app, Contended):
            names = [name for name, each in self.sandbox.crms.items() if isinstance(each, Contended)]
            raise Refused(HTTPStatus.BAD_REQUEST, f"crm: one of {', '.join(names)} is expected")
        return app

    def _reset(self, request: Request) -> Any:
        seed = _body(request, {"seed"}).get("seed")
        if seed is not None and not isinstance(seed, str):
            raise Refused(HTTPStatus.BAD_REQUEST, "seed: a text is expected")
        try:
            self.sandbox.reset(seed)
        except SeedError as problem:
            raise Refused(HTTPStatus.BAD_REQUEST, str(problem)) from problem
        return {"seed": self.sandbox.seed.name}


def _fault(entry: Armed) -> dict[str, Any]:
    return {"id": entry.id, **entry.source, "seen": entry.seen, "fired": entry.fired}


def _body(request: Request, allowed: set[str] | None) -> dict[str, Any]:
    """The JSON object of a request; no body is an empty one."""
    try:
        body: Any = msgspec.json.decode(request.body) if request.body.strip() else {}
    except msgspec.DecodeError as problem:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {problem}") from problem
    if not isinstance(body, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    unknown = sorted(set(body) - allowed) if allowed is not None else []
    if unknown:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{unknown[0]}: unknown key; known: {', '.join(sorted(allowed or ()))}")
    return body


def _name(request: Request) -> str:
    name: Any = _body(request, {"name"}).get("name", "snapshot")
    if not isinstance(name, str) or not name:
        raise Refused(HTTPStatus.BAD_REQUEST, "name: a text is expected")
    return name


def _instant(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as problem:
        raise Refused(HTTPStatus.BAD_REQUEST, "set: an instant such as 2026-11-20T09:00:00Z is expected") from problem
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(value: Any) -> timedelta:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > ADVANCE_SECONDS_MAX:
        raise Refused(HTTPStatus.BAD_REQUEST, f"advance_seconds: a number up to {ADVANCE_SECONDS_MAX:g} is expected")
    return timedelta(seconds=value)


def _json(status: int, body: Any) -> Reply:
    headers = (("Content-Type", "application/json; charset=utf-8"),)
    return Reply(status=status, headers=headers, body=encoder.encode(body))
