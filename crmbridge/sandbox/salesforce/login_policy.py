"""Who may log in, when and from where: an org's login policy, as data of its shape (salesforce-api §1.2, §1.3)."""

from collections import deque
from datetime import datetime, timedelta, tzinfo
from ipaddress import ip_address, ip_network
from typing import Final, Literal

import msgspec

from crmbridge.sandbox.core import Request
from crmbridge.sandbox.salesforce.errors import SfError, refuse

HOUR: Final = timedelta(hours=1)
# §1.3: what keeps everybody out, with the text of each (texts (unverified)).
STATES: Final = {
    "API_DISABLED_FOR_ORG": "API is not enabled for this Organization or Partner",
    "API_CURRENTLY_DISABLED": "API is currently disabled for this Organization",
    "ORG_LOCKED": "This organization is locked",
    "TRIAL_EXPIRED": "The trial of this organization has expired",
    "INVALID_SSO_GATEWAY_URL": "The single sign-on gateway's URL is not valid",
    "SERVER_UNAVAILABLE": "Server unavailable, please retry later",
}


class Login(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`org.login` of a shape; the defaults let everybody in who has the right secret."""

    state: Literal[
        "", "API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "ORG_LOCKED", "TRIAL_EXPIRED", "INVALID_SSO_GATEWAY_URL",
        "SERVER_UNAVAILABLE",
    ] = ""  # fmt: skip
    hours: tuple[int, int] = (0, 24)  # of the org's day, the second one excluded
    networks: tuple[str, ...] = ()  # where logins may come from; none: everywhere
    trusted_networks: tuple[str, ...] = ()  # from here the password needs no security token
    per_hour: int = 3600  # logins of one user; the number is (unverified)
    wrong_passwords: int = 10  # in a row, then the user is locked out for lockout_minutes (numbers (unverified))
    lockout_minutes: int = 15
    password_expired: bool = False
    password_flow: bool = True  # new orgs have username-password OAuth blocked by default (unverified)
    run_as: str = ""  # username behind client credentials; empty: the integration user; "none": nobody
    approved: tuple[str, ...] = ("*",)  # usernames the connected app is pre-authorised for
    admin_approved: tuple[str, ...] = ("*",)  # those whose profile or permission set has the app
    token_format: Literal["opaque", "jwt"] = "opaque"  # noqa: S105 - of OAuth access tokens; SOAP refuses the second (§1.2)

    def covers(self, names: tuple[str, ...], username: str) -> bool:
        return "*" in names or username.casefold() in {name.casefold() for name in names}


def address(request: Request) -> str:
    """Where a request comes from: the loopback, unless it says that it was passed on."""
    return request.header("x-forwarded-for").partition(",")[0].strip() or "127.0.0.1"


def within(place: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ip_address(place)
    except ValueError:
        return False
    return any(found in ip_network(network, strict=False) for network in networks)


class Doorkeeper:
    """The policy, and what it has to remember of each user: wrong passwords and logins of the last hour."""

    def __init__(self, policy: Login, zone: tzinfo) -> None:
        self.policy = policy
        self._zone = zone
        self._wrong: dict[str, tuple[int, datetime]] = {}
        self._logins: dict[str, deque[datetime]] = {}

    def admit(self, user: str, request: Request, now: datetime) -> None:
        """The refusals of §1.3 that do not depend on the secret (texts (unverified))."""
        policy = self.policy
        if policy.state:
            raise refuse(policy.state, STATES[policy.state])
        if not policy.hours[0] <= now.astimezone(self._zone).hour < policy.hours[1]:
            raise refuse("LOGIN_DURING_RESTRICTED_TIME", "Login attempted during restricted hours")
        if policy.networks and not within(address(request), policy.networks):
            raise refuse("LOGIN_DURING_RESTRICTED_DOMAIN", "Login attempted from a restricted domain")
        logins = self._logins.setdefault(user, deque())
        while logins and logins[0] <= now - HOUR:
            logins.popleft()
        if len(logins) >= policy.per_hour:  # over SOAP the code is (unverified)
            raise refuse("LOGIN_RATE_EXCEEDED", "login rate exceeded")
        logins.append(now)

    def trusts(self, request: Request) -> bool:
        return within(address(request), self.policy.trusted_networks)

    def locked_out(self, user: str, now: datetime) -> SfError | None:
        count, last = self._wrong.get(user, (0, now))
        if count < self.policy.wrong_passwords:
            return None
        if now - last >= timedelta(minutes=self.policy.lockout_minutes):
            del self._wrong[user]
            return None
        return refuse("PASSWORD_LOCKOUT", "Invalid username, password, security token; or user locked out.")  # §1.3

    def wrong(self, user: str, now: datetime) -> None:
        self._wrong[user] = (self._wrong.get(user, (0, now))[0] + 1, now)

    def right(self, user: str) -> None:
        self._wrong.pop(user, None)
