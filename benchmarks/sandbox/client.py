"""An HTTP client that keeps one connection and does as little as can be: what is measured is the server."""

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit


class Client:
    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._headers = {"Accept": "application/json", **(headers or {})}

    def get(self, url: str) -> bytes:
        return self.send("GET", url)

    def send(self, method: str, url: str, body: bytes | None = None) -> bytes:
        """The body of an answer to a path or to a URL of this server; an error is raised with the server's words."""
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        self._connection.request(method, target, body, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {url}: {answer.status} {data[:500]!r}")
        return data

    def close(self) -> None:
        self._connection.close()
