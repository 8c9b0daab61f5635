"""The control port: people, calls, dump, clock, faults, snapshots, reset.

People's edits are ordinary API calls with a token handed out here; there is no second way to write. Every refusal is
JSON `{"error": "a sentence"}`.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, get_args

import msgspec

from crmbridge.sandbox import calls
from crmbridge.sandbox.accepted import WITHOUT_EFFECT
from crmbridge.sandbox.core import Crm, Reply, Request
from crmbridge.sandbox.faults import Armed, BadRule
from crmbridge.sandbox.sandbox import ClockNotOurs, NoSuchSnapshot, Sandbox
from crmbridge.sandbox.seed import SeedError

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
ADVANCE_SECONDS_MAX = 10 * 365 * 86_400.0

encoder = msgspec.json.Encoder(decimal_format="number")


class Refused(Exception):
    """A request that the control port cannot serve."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


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
        try:
            return _fault(self.sandbox.faults.add(_body(request, None)))
        except BadRule as problem:
            raise Refused(HTTPStatus.BAD_REQUEST, str(problem)) from problem

    def _remove_faults(self, request: Request) -> Any:
        wanted = request.options().get("id")
        if wanted is None:
            self.sandbox.faults.clear()
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
