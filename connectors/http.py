"""The one socket to a CRM: a `requests` session that keeps to one host, one deadline and one set of rules.

Every call has a total deadline, goes to the connection's own origin (never where a link in an answer points), follows
no redirect, keeps no cookie and reads no proxy, CA or netrc from the process environment. It answers an `Answer`
whatever the status, or raises `NotSent` (the request did not go out) or `LostAnswer` (it did, and no complete answer
came back). Only reads, and logins that are asked for a moment's patience or whose answer was lost, are ever repeated
here; what a status means is decided in each connector's `protocol.py`.
"""

import io
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from connectors import bounds
from connectors.deadline import DeadlineAdapter, Exchange, exchange_of_now
from connectors.gate import SERVED, Gate, OpenGate, Passage, Told
from connectors.origin import Origin
from crmbridge import crashpoint, pace, tracing
from crmbridge.errors import ConfigError, LostAnswer, TryLater

call_deadline_seconds: Final = pace.NOW.call  # 120
login_deadline_seconds: Final = 30.0
connect_seconds_max: Final = 10.0
body_bytes_max: Final = 64 * 1024 * 1024  # a page of 5,000 wide rows is about 10 MB
read_attempts_max: Final = 4
wait_seconds_max: Final = 60.0  # a longer Retry-After is the engine's affair
backoff_seconds_first: Final = 0.5
backoff_seconds_max: Final = 8.0
_chunk_bytes: Final = 64 * 1024

# salesforce-api §9.3 (420: edge maintenance; 406: airbyte), dataverse-api (429 with Retry-After): worth a second read.
_passing: Final = frozenset({406, 408, 420, 429, 500, 502, 503, 504})

_declares: Final = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)

log = logging.getLogger(__name__)
# Its debug lines hold whole URLs, and with them queries and ids.
logging.getLogger("urllib3").setLevel(logging.INFO)


class NotSent(TryLater):
    """The request did not go out: the CRM knows nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes
    date: datetime | None  # the server's clock, from its Date header

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks us to stay away."""
        text = self.headers.get("Retry-After", "").strip()
        if re.fullmatch(r"\d{1,6}(\.\d+)?", text):
            return float(text)
        until = _http_date(text)
        return max(0.0, (until - self.date).total_seconds()) if until and self.date else None


# --- the session --------------------------------------------------------------------------------------------------


@cache
def _user_agent() -> str:
    return f"crmbridge/{version('crmbridge')}"  # read from the installed files: not for each session


class Session:
    """Calls to one origin. Not shared by threads, and made anew after a fork."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        ca_file: str | None = None,
        proxy: str | None = None,
        deadline_seconds: float = call_deadline_seconds,
        adapter: BaseAdapter | None = None,  # a simulation's transport in place of a socket
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        told: "Callable[[Answer], Told]" = lambda answer: SERVED,  # what an answer says about limits and trouble
    ) -> None:
        self.origin = Origin.of(url, what=f"The address of connection {name}")
        self.name = name
        self.calls: Counter[tuple[str, str]] = Counter()  # (table, kind) -> HTTP requests
        self.server_time: datetime | None = None  # Date of the latest answer
        self.before_call: Callable[[], None] = lambda: None  # the engine's heartbeat: renews its lease
        self.gate: Gate = OpenGate()  # every request passes it
        self._told = told
        self._deadline_seconds = deadline_seconds
        self._clock, self._sleep = clock, sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        if ca_file and not Path(ca_file).is_file():
            raise ConfigError(
                f"The CA file of connection {name} does not exist.",
                fix=f"Check connections.{name}.ca_file.",
                code="ca_file",
            )
        self._own_sockets = adapter is None
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = ca_file or True
        self._http.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._http.headers = CaseInsensitiveDict(
            {
                "User-Agent": _user_agent(),
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "Connection": "keep-alive",
            }
        )
        self._http.mount(f"{self.origin.scheme}://", adapter or DeadlineAdapter(max_retries=0))

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        target: str,
        *,
        kind: str,
        table: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeat: bool = False,
        again_if_lost: bool = False,
        deadline_seconds: float | None = None,
        operations: int = 1,
    ) -> Answer:
        """One call. `target` is a path with query, or a link from an answer; `repeat` is for reads alone.
        `again_if_lost`: a request that changes nothing goes once more where its answer was lost, or asked for a
        moment's patience, and only there.
        `operations`: what the CRM counts it as, where a call holds several.

        The deadline covers everything: connecting, waiting, repeating, reading the body. Raises LeftAlone where the CRM
        is left alone at the moment: then nothing was sent."""
        ends_at = self._clock() + (deadline_seconds or self._deadline_seconds)
        target = self.origin.target(target)
        attempts = read_attempts_max if repeat else 2 if again_if_lost else 1
        passage = Passage(kind=kind, reads=repeat or method == "GET", operations=operations)
        for attempt in range(1, attempts + 1):
            answer, failure = None, None
            try:
                asked = self._clock()
                self.gate.enter(passage, self._sleep)
                ends_at += self._clock() - asked  # waiting for our turn is not the CRM's time
                with tracing.span("call", connection=self.name, table=table, kind=kind, method=method) as told:
                    answer = self._once(method, target, kind, table, headers or {}, body, ends_at)
                    told["status"] = answer.status
                self.gate.leave(passage, self._said(answer, passage))
            except (NotSent, LostAnswer) as error:
                failure = error
                if error.code != "too_large":
                    self.gate.lost(passage, error.code)
            passes = isinstance(failure, LostAnswer) if answer is None else answer.retry_after is not None
            again = repeat or (again_if_lost and passes)
            if answer is not None and (not again or answer.status not in _passing or attempt == attempts):
                return answer
            wait = self._wait(answer, attempt)
            patience = min(wait_seconds_max, ends_at - self._clock())
            if answer is not None and answer.retry_after is not None:
                patience = min(patience, self.gate.patience_seconds)
            if attempt == attempts or wait > patience or not again or _hopeless(failure):
                if answer is not None:
                    return answer
                assert failure is not None
                raise failure
            log.info(
                "%s: %s %s is repeated in %.1f s",
                *(self.name, table or "-", kind, wait),
                extra={"action": "http_repeat", "connection": self.name, "kind": kind, "attempt": attempt},
            )
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def log_in(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        repeat: bool = False,
        again_if_lost: bool = False,
    ) -> Answer:
        """A call that asks for a token, or where to get one; as `send`.

        Raises TryLater for an answer that asks us to stay away. So no library hears of it: msal would take it for an
        unknown tenant and go on giving it as the answer, simple-salesforce for a refusal (dataverse-api §1.2)."""
        answer = self.send(
            method,
            target,
            kind="login",
            headers=headers,
            body=body,
            repeat=repeat,
            again_if_lost=again_if_lost,
            deadline_seconds=login_deadline_seconds,
        )
        told = self._told(answer)
        if told.blocked_seconds is not None:
            raise TryLater(
                f"The login of connection {self.name} asks for patience, for {told.blocked_seconds:g} s ({told.why}).",
                after_seconds=told.blocked_seconds,
                fix="Nothing to do: it is asked again once that time is over.",
                code="blocked",
            )
        return answer

    def _said(self, answer: Answer, passage: Passage) -> Told:
        told = self._told(answer)
        if not passage.login:
            return told
        refused = answer.status >= 400 and told.blocked_seconds is None  # who is asked to wait was not refused
        return replace(told, trouble=f"HTTP {answer.status}" if refused else "")

    def _wait(self, answer: Answer | None, attempt: int) -> float:
        asked = answer.retry_after if answer is not None else None
        if asked is not None:
            return asked
        longest = min(backoff_seconds_max, backoff_seconds_first * 2 ** (attempt - 1))
        return longest * (0.5 + self._rng.random() / 2)

    def _once(
        self,
        method: str,
        target: str,
        kind: str,
        table: str,
        headers: Mapping[str, str],
        body: bytes | None,
        ends_at: float,
    ) -> Answer:
        self.before_call()
        crashpoint.reached(f"send {method} {table} {kind}".replace("  ", " "))
        self.calls[table, kind] += 1
        started = self._clock()
        exchange = Exchange(self._clock, ends_at)
        token = exchange_of_now.set(exchange)
        try:
            left = exchange.left()
            response = self._http.request(
                method,
                self.origin.url + target,
                headers=dict(headers),
                data=body,
                timeout=(min(connect_seconds_max, left), left),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = self._read(response, exchange)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._failure(error, exchange, kind) from error
        finally:
            exchange_of_now.reset(token)
        wrong = bounds.beyond(response.headers.get("Content-Type", ""), content)
        if wrong is not None:
            raise LostAnswer(f"{self.name}: an answer {wrong}; it was thrown away.", code="too_large")
        if response.ok and "json" in response.headers.get("Content-Type", "") and not _is_whole(content):
            raise LostAnswer(
                f"{self.name}: the answer to {kind} came cut off.",
                fix="It is looked up before anything is sent again.",
                code="cut_off",
            )
        answer = Answer(
            status=response.status_code,
            headers=response.headers,
            body=content,
            date=_http_date(response.headers.get("Date", "")),
        )
        self.server_time = answer.date or self.server_time
        crashpoint.reached(f"received {method} {table} {kind}".replace("  ", " "))
        # An allow-list: nothing of the URL, the headers or the body ever reaches a log.
        log.debug(
            "%s: %s %s %s -> %d",
            *(self.name, method, table or "-", kind, answer.status),
            extra={
                "action": "http_call",
                "connection": self.name,
                "method": method,
                "table": table,
                "kind": kind,
                "status": answer.status,
                "bytes": len(content),
                "milliseconds": round((self._clock() - started) * 1000),
            },
        )
        return answer

    def _read(self, response: requests.Response, exchange: Exchange) -> bytes:
        parts: list[bytes] = []
        size = 0
        for chunk in response.iter_content(_chunk_bytes):  # unzipped: the cap holds against zip bombs too
            exchange.left()
            size += len(chunk)
            if size > body_bytes_max:
                raise LostAnswer(
                    f"{self.name}: an answer of more than {body_bytes_max // 2**20} MB was cut off.", code="too_large"
                )
            parts.append(chunk)
        return b"".join(parts)

    def _failure(self, error: Exception, exchange: Exchange, kind: str) -> NotSent | LostAnswer:
        """Never with the library's own text: it holds the whole URL."""
        if self._own_sockets:
            sent = bool(exchange.sent)
        else:  # the error's own class must tell
            sent = not _caused(error, requests.ConnectTimeout) and not _caused(error, NewConnectionError)
        where = f"{self.name} ({self.origin.host}:{self.origin.port})"
        if sent:
            return LostAnswer(
                f"{where}: {kind} was sent, and its answer did not arrive ({_reason(error)}).",
                fix="It is looked up before anything is sent again.",
                code="lost_answer",
            )
        tls = isinstance(error, requests.exceptions.SSLError) or _caused(error, requests.exceptions.SSLError)
        return NotSent(
            f"{where} could not be reached: {_reason(error)}.",
            fix=f"Check connections.{self.name}.{'ca_file' if tls else 'url and proxy'}, and the network.",
            code="tls" if tls else "unreachable",
        )


def _hopeless(failure: NotSent | LostAnswer | None) -> bool:
    return failure is not None and failure.code in ("tls", "too_large")


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it; requests and urllib3 also hide causes in `args` and `reason`."""
    seen: list[BaseException] = []
    todo: list[Any] = [error]
    while todo:
        each = todo.pop()
        if isinstance(each, BaseException) and all(each is not old for old in seen):
            seen.append(each)
            todo += [*each.args, getattr(each, "reason", None), each.__cause__]
    return seen


def _caused(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(each, kind) for each in _chain(error))


def _reason(error: BaseException) -> str:
    for kind, words in (
        (NameResolutionError, "the host name is not known"),
        (ConnectionRefusedError, "the connection was refused"),
        (requests.exceptions.ProxyError, "the proxy did not serve"),
        (requests.exceptions.SSLError, "TLS failed; the certificate is not trusted or not this host's"),
        (TimeoutError, "time ran out"),
        (requests.Timeout, "time ran out"),
        (ConnectionResetError, "the connection was reset"),
    ):
        if _caused(error, kind):
            return words
    return "the connection broke"


def _is_whole(body: bytes) -> bool:
    """A proxy may cut a body and still say that this was all of it (reliability §2: then the outcome is unknown)."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError:
        return not body.strip()
    return True


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


# --- for libraries that want a requests session ---------------------------------------------------------------------


class LibrarySession:
    """What simple-salesforce and msal take for a session: their login calls, on our origin and under our rules.

    `rehost`: the library has a fixed host built in (simple-salesforce: https://{domain}.salesforce.com, libraries.md);
    only the path of its URLs counts. Without it a URL of another host is an error.
    """

    def __init__(self, session: Session, *, rehost: bool = False) -> None:
        self._session, self._rehost = session, rehost

    def post(self, url: str, data: Any = None, **options: Any) -> requests.Response:
        return self.request("POST", url, data=data, **options)

    def get(self, url: str, **options: Any) -> requests.Response:
        return self.request("GET", url, **options)

    def close(self) -> None:
        """The session is closed by its owner."""

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        if self._rehost:
            parts = urlsplit(url)
            url = parts.path + (f"?{parts.query}" if parts.query else "")
        if options.get("params"):
            url += ("&" if "?" in url else "?") + urlencode(options["params"])
        data, headers = options.get("data"), dict(options.get("headers") or {})
        if isinstance(data, Mapping):
            data = urlencode(data)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        answer = self._session.log_in(
            method,
            url,
            headers=headers,
            body=data.encode() if isinstance(data, str) else data,
            repeat=method == "GET",
            # A token that nobody received does no harm. (Where a login uses up what it is made with, it does not come
            # this way: a refresh token that is rotated.)
            again_if_lost=method == "POST",
        )
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.headers.pop("Content-Encoding", None)  # the body is plain already
        response.encoding = "utf-8"
        # The library's reader of XML expands entities: what declares any is an answer without a word.
        response.raw = io.BytesIO(b"" if _declares.search(answer.body) else answer.body)
        response.url = url
        return response
