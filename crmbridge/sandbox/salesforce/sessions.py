"""Tokens: what opens the API, in whose name and for how long (salesforce-api §1.2, §1.4)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from crmbridge.sandbox.core import World

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
KEY_ID: Final = "crmbridge-sandbox"


@cache
def signing_key() -> RSAPrivateKey:
    """One key per process: making one takes longer than everything else in a test."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def secret(world: World, length: int) -> str:
    return "".join(world.rng.choice(_LETTERS) for _ in range(length))


@dataclass(slots=True)
class Session:
    user: str
    born: datetime  # this and the next by the token clock
    until: datetime  # every use moves it on (§1.4: idle timeout), but not a JWT's, which carries it
    refresh_token: str = ""  # the one it came from: revoked with it
    is_jwt: bool = False


class Sessions:
    def __init__(self, world: World, org_id: str, seconds: int) -> None:
        self._world = world
        self._org_id = org_id
        self._life = timedelta(seconds=seconds)
        self._open: dict[str, Session] = {}
        self._refresh: dict[str, str] = {}  # refresh token: user

    # -- access tokens -------------------------------------------------------------------------------------------

    def start(self, user: str, *, refresh_token: str = "") -> str:
        now = self._world.clock.real()
        token = f"{self._org_id[:15]}!AQ{secret(self._world, 94)}"
        self._open[token] = Session(user, now, now + self._life, refresh_token)
        return token

    def start_jwt(self, user: str, claims: dict[str, Any], *, refresh_token: str = "") -> str:
        now = self._world.clock.real()
        until = now + self._life
        told = {**claims, "iat": int(now.timestamp()), "nbf": int(now.timestamp()), "exp": int(until.timestamp())}
        told["jti"] = secret(self._world, 32)
        token = jwt.encode(told, signing_key(), algorithm="RS256", headers={"kid": KEY_ID, "tty": "sfdc-core-token"})
        self._open[token] = Session(user, now, until, refresh_token, is_jwt=True)
        return token

    def find(self, token: str) -> Session | None:
        """A session that is still alive; being asked for keeps it so."""
        session = self._open.get(token)
        if session is None:
            return None
        if session.until <= self._world.clock.real():
            del self._open[token]
            return None
        if not session.is_jwt:
            session.until = self._world.clock.real() + self._life
        return session

    def peek(self, token: str) -> Session | None:
        """Looked at without being used: introspection is no activity."""
        session = self._open.get(token)
        return session if session is not None and session.until > self._world.clock.real() else None

    # -- refresh tokens ------------------------------------------------------------------------------------------

    def give_refresh(self, user: str) -> str:
        token = f"5Aep{secret(self._world, 84)}"
        self._refresh[token] = user
        return token

    def refresh_user(self, token: str) -> str | None:
        return self._refresh.get(token)

    def rotate(self, token: str) -> str:
        """§1.2: single use, the old one is dead; what came from it stays alive."""
        user = self._refresh.pop(token)
        fresh = self.give_refresh(user)
        for session in self._open.values():
            if session.refresh_token == token:
                session.refresh_token = fresh
        return fresh

    # -- the end -------------------------------------------------------------------------------------------------

    def revoke(self, token: str) -> bool:
        """A revoked refresh token takes the sessions of its user along."""
        user = self._refresh.pop(token, None)
        if user is not None:
            self._open = {key: session for key, session in self._open.items() if session.user != user}
            return True
        return self._open.pop(token, None) is not None

    def end(self, token: str, *, all_of_user: bool) -> None:
        """Refresh tokens stay: a new session can be had."""
        session = self._open.pop(token, None)
        if session is not None and all_of_user:
            self._open = {key: other for key, other in self._open.items() if other.user != session.user}
