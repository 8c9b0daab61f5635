"""The control port for tests and demos, as plain calls."""

from datetime import datetime, timedelta
from typing import Any

import requests

TIMEOUT_SECONDS = 60.0


class ControlRefused(RuntimeError):
    """The control port's own sentence."""


class Control:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # loopback: a proxy of the environment must not see it

    def people(self, crm: str, email: str) -> dict[str, str]:
        """{user_id, email, access_token} of that person, made when missing."""
        return self._ask("POST", "/people", {"crm": crm, "email": email})

    def calls(self, *, user: str | None = None) -> dict[str, Any]:
        return self._ask("GET", "/calls", params={"user": user} if user is not None else None)

    def raw_calls(self) -> list[dict[str, Any]]:
        return self._ask("GET", "/calls", params={"raw": "1"})

    def forget_calls(self) -> None:
        self._ask("DELETE", "/calls")

    def dump(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        return self._ask("GET", "/dump")

    def clock(self) -> dict[str, str]:
        return self._ask("GET", "/clock")

    def advance(self, step: timedelta | float, *, tokens: bool = False) -> dict[str, str]:
        seconds = step.total_seconds() if isinstance(step, timedelta) else step
        return self._ask("POST", "/clock", {"advance_seconds": seconds, "tokens": tokens})

    def set_clock(self, moment: datetime, *, tokens: bool = False) -> dict[str, str]:
        return self._ask("POST", "/clock", {"set": moment.isoformat(), "tokens": tokens})

    def add_fault(self, **rule: Any) -> int:
        """A fault rule as `faults.py` reads it; returns its id."""
        return self._ask("POST", "/faults", rule)["id"]

    def faults(self) -> list[dict[str, Any]]:
        return self._ask("GET", "/faults")

    def clear_faults(self) -> None:
        self._ask("DELETE", "/faults")

    def snapshot(self, name: str = "snapshot") -> None:
        self._ask("POST", "/snapshot", {"name": name})

    def restore(self, name: str = "snapshot") -> None:
        """Both CRMs as they were at that snapshot; armed faults are gone."""
        self._ask("POST", "/restore", {"name": name})

    def reset(self, seed: str | None = None) -> None:
        self._ask("POST", "/reset", {"seed": seed} if seed is not None else {})

    def close(self) -> None:
        self._session.close()

    def _ask(self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None) -> Any:
        response = self._session.request(method, self.url + path, json=body, params=params, timeout=TIMEOUT_SECONDS)
        if not response.ok:
            raise ControlRefused(response.json()["error"])
        return response.json()
