"""The host a connection may talk to. URLs in answers are hostile until they were rebuilt on it (reliability §11)."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from crmbridge.errors import ConfigError, OutsideError


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of one connection; every URL is rebuilt on it (reliability §11)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str, *, what: str) -> "Origin":
        try:
            parts = urlsplit(url)
            scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
            port = parts.port or (443 if scheme == "https" else 80)
        except ValueError:
            scheme, host, port = "", "", 0
        if scheme not in ("http", "https") or not host or "@" in url:
            raise ConfigError(f"{what} is not an address like https://host.", fix="Write scheme and host.", code="url")
        if scheme == "http" and not is_loopback(host):
            raise ConfigError(
                f"{what}: {host} must be reached by https; plain http is allowed on this machine only.",
                fix="Write https:// in front of the host.",
                code="url",
            )
        return cls(scheme, host, port)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def target(self, link: str) -> str:
        """Path and query of a link from an answer, or an error if it leads anywhere else."""
        if re.search(r"[\x00-\x20\x7f\\]|^//", link):
            raise _hostile()
        try:
            parts = urlsplit(link)
            port = parts.port
        except ValueError:
            raise _hostile() from None
        if parts.scheme or parts.netloc:
            scheme = parts.scheme.lower()
            same = (scheme, (parts.hostname or "").lower(), port or (443 if scheme == "https" else 80))
            if same != (self.scheme, self.host, self.port) or "@" in parts.netloc:
                raise _hostile()
        if not parts.path.startswith("/") or parts.path.startswith("//"):
            raise _hostile()
        return parts.path + (f"?{parts.query}" if parts.query else "")


def _hostile() -> OutsideError:
    return OutsideError(
        "An answer held a link to another host; it was not followed.",
        fix="Check the connection's url, and what stands between us and the CRM (a proxy may rewrite answers).",
        code="foreign_link",
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
