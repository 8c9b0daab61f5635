"""Numbers for Prometheus, `/healthz` and `/readyz`, read from the store when they are asked for.

One process serves them for all workers, on whatever machines those are: what a worker did stands in the store, so a
worker that was killed has told everything, and nothing has to be added up across processes. No CRM is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from socketserver import ThreadingMixIn
from typing import Any, Final
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crmbridge import budget
from crmbridge.breaker import state as breaker_state
from crmbridge.errors import ConfigError, CrmBridgeError
from crmbridge.model import ENTITIES, SIDES
from crmbridge.settings import Settings
from crmbridge.state.store import Store
from crmbridge.sync.hands import LEASE_NAME
from crmbridge.sync.reconcile import results as reconciled
from crmbridge.wiring import BROKEN_META
from workers import broker

RUNS_READ: Final = 500
# A worker beats with each tick; without a sign for so long nobody is at work.
SILENT_SECONDS: Final = 60.0

Start = Callable[[str, list[tuple[str, str]]], object]


class StoreCollector(Collector):
    """What the store says, as metrics; read anew for each scrape."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._counted: set[str] = set()  # runs that are in the sums; a counter never goes back
        self._runs: Counter[tuple[str, str]] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._writes: Counter[tuple[str, str, str]] = Counter()
        self._unwritten: Counter[tuple[str, str, str, str]] = Counter()

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask the store."""
        return ()

    def collect(self) -> Iterator[Metric]:
        now = self._store.now()
        yield from self._reading(now)
        yield from self._waiting(now)
        yield from self._reconcile(now)
        yield from self._limits()
        yield from self._work(now)

    def _name(self, side: str) -> str:
        return dict(zip(SIDES, self._settings.names, strict=True))[side]  # type: ignore[index]

    def _reading(self, now: datetime) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "crmbridge_read_age_seconds", "Since a table was last read to its end.", labels=("connection", "table")
        )
        for (side, source), at in sorted(self._store.cursors().items()):
            age.add_metric((self._name(side), source), (now - at).total_seconds())
        yield age
        backlog = GaugeMetricFamily(
            "crmbridge_backlog_records",
            "Records that were read and are not in step yet.",
            labels=("connection", "entity"),
        )
        counts = self._store.backlog()
        for side in SIDES:
            for entity in ENTITIES:
                backlog.add_metric((self._name(side), entity), counts.get((side, entity), 0))
        yield backlog

    def _waiting(self, now: datetime) -> Iterator[Metric]:
        count = GaugeMetricFamily("crmbridge_open_issues", "Open issues by cause.", labels=("kind", "cause", "entity"))
        oldest = GaugeMetricFamily(
            "crmbridge_oldest_issue_seconds", "Age of the oldest open issue of a kind.", labels=("kind",)
        )
        ages: dict[str, float] = {}
        for group in self._store.issue_groups():
            count.add_metric((group.kind, group.cause, group.entity), group.count)
            ages[group.kind] = max(ages.get(group.kind, 0.0), (now - group.oldest).total_seconds())
        for kind, seconds in sorted(ages.items()):
            oldest.add_metric((kind,), seconds)
        yield count
        yield oldest
        lost = self._store.open_intents()
        yield GaugeMetricFamily(
            "crmbridge_unanswered_calls", "Calls that were sent and of which nobody knows yet what came.", len(lost)
        )
        ages_lost = [(now - one.sent_at).total_seconds() for one in lost if one.sent_at is not None]
        yield GaugeMetricFamily(
            "crmbridge_oldest_unanswered_call_seconds", "Age of the oldest of these; 0: there is none.",
            max(ages_lost, default=0.0),
        )  # fmt: skip
        paused = GaugeMetricFamily(
            "crmbridge_paused_writes", "Writes that wait since they are paused.", labels=("connection", "entity")
        )
        for queue in self._store.pause_queues():
            paused.add_metric((queue.connection, queue.entity), queue.count)
        yield paused
        yield GaugeMetricFamily("crmbridge_pauses", "Pauses in force.", len(self._store.pauses()))

    def _reconcile(self, now: datetime) -> Iterator[Metric]:
        labels = ("connection", "entity")
        age = GaugeMetricFamily(
            "crmbridge_reconcile_age_seconds", "Since it was last looked for what no reading had shown.", labels=labels
        )
        rows = GaugeMetricFamily("crmbridge_reconcile_rows", "Records that were looked at then.", labels=labels)
        found = GaugeMetricFamily(
            "crmbridge_reconcile_found", "What no reading had shown, and was taken up then; should be 0.", labels=labels
        )
        unclear = GaugeMetricFamily(
            "crmbridge_reconcile_unclear", "Linked records that were not shown then, and nobody knows why.",
            labels=labels,
        )  # fmt: skip
        for side, results in reconciled(self._store).items():
            for entity, one in sorted(results.items()):
                place = (self._name(side), entity)
                age.add_metric(place, (now - datetime.fromisoformat(one.at)).total_seconds())
                rows.add_metric(place, one.seen + one.roll.asked)
                found.add_metric(place, one.found)
                unclear.add_metric(place, one.roll.unclear)
        yield from (age, rows, found, unclear)

    def _limits(self) -> Iterator[Metric]:
        breaker = GaugeMetricFamily(
            "crmbridge_breaker_open", "1: the CRM is in trouble and is left alone.", labels=("connection",)
        )
        blocked = GaugeMetricFamily(
            "crmbridge_blocked_seconds", "So long the CRM asked us to stay away.", labels=("connection",)
        )
        used = GaugeMetricFamily(
            "crmbridge_day_used_ratio", "Share of the day's calls that is used; absent: no limit is known.",
            labels=("connection",),
        )  # fmt: skip
        forecast = GaugeMetricFamily(
            "crmbridge_day_forecast_ratio", "That share at the day's end, at today's rate.", labels=("connection",)
        )
        calls = GaugeMetricFamily(
            "crmbridge_day_calls", "Calls of ours today (UTC), as the CRM counts them.", labels=("connection", "work")
        )
        for name in self._settings.names:
            limits = self._store.limits(name)
            breaker.add_metric((name,), float(breaker_state(limits.breaker, limits.at) != "closed"))
            wait = max(0.0, (limits.block.until - limits.at).total_seconds()) if limits.block else 0.0
            blocked.add_metric((name,), wait)
            pair = budget.used(limits.standing, limits.at)
            if pair is not None and pair[1] > 0:
                used.add_metric((name,), pair[0] / pair[1])
                ahead = budget.forecast(limits.standing, limits.at)
                if ahead is not None:
                    forecast.add_metric((name,), ahead / pair[1])
            for one in self._store.used_calls(name):
                calls.add_metric((name, one.work), one.operations)
        yield from (breaker, blocked, used, forecast, calls)

    def _work(self, now: datetime) -> Iterator[Metric]:
        runs = self._store.runs(limit=RUNS_READ)
        for run in runs:
            if run.ended_at is None or run.id in self._counted:
                continue
            self._counted.add(run.id)
            self._runs[run.kind, outcome_word(run.outcome)] += 1
            for name, tables in run.calls.items():
                for words, number in tables.items():
                    self._calls[name, words.rpartition(" ")[2]] += number
            for name, entities in run.counts.items():
                for entity, kinds in entities.items():
                    for kind, number in kinds.items():
                        self._writes[name, entity, kind] += number
            for name, entities in run.unwritten.items():
                for entity, kinds in entities.items():
                    for kind, ways in kinds.items():
                        for how, number in ways.items():
                            self._unwritten[name, entity, kind, how] += number
        self._counted &= {run.id for run in runs}  # older ones are never shown again
        yield _counter("crmbridge_runs", "Runs that ended.", ("kind", "outcome"), self._runs)
        yield _counter("crmbridge_calls", "Requests to a CRM.", ("connection", "kind"), self._calls)
        yield _counter("crmbridge_writes", "What was written.", ("connection", "entity", "kind"), self._writes)
        missed = ("connection", "entity", "kind", "how")
        yield _counter("crmbridge_unwritten", "What was sent and not written.", missed, self._unwritten)
        ended = GaugeMetricFamily(
            "crmbridge_last_run_age_seconds", "Since a sync last ended, by what came of it.", labels=("outcome",)
        )
        newest: dict[str, float] = {}
        for run in runs:
            if run.kind == "sync" and run.ended_at is not None:
                newest.setdefault(outcome_word(run.outcome), (now - run.ended_at).total_seconds())
        for outcome, seconds in sorted(newest.items()):
            ended.add_metric((outcome,), seconds)
        yield ended
        at_work = self._store.lease_holder(LEASE_NAME) is not None
        yield GaugeMetricFamily("crmbridge_at_work", "1: a sync is under way.", float(at_work))
        alive = [beat for beat in self._store.beats() if now - beat.at <= timedelta(seconds=SILENT_SECONDS)]
        yield GaugeMetricFamily("crmbridge_workers", "Processes that gave a sign in the last minute.", len(alive))
        yield GaugeMetricFamily(
            "crmbridge_configuration_broken", "1: the files are broken, the last good ones are in force.",
            float(bool(self._store.meta(BROKEN_META))),
        )  # fmt: skip


def outcome_word(outcome: str) -> str:
    """One of few: done, held, stopped, failed, interrupted, planned."""
    first = outcome.partition(":")[0].partition(",")
    if first[0] == "done":
        return "held" if first[1] else "done"
    return first[0].split(" ")[0] or "unknown"


def _counter(name: str, help_text: str, labels: tuple[str, ...], values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for words, number in sorted(values.items()):
        family.add_metric(words, number)
    return family


# --- is all well? -------------------------------------------------------------------------------------------------


def not_ready(store: Store, *, here: str | None = None) -> list[str]:
    """Why nothing is synced just now, in words; nothing: all is well. `here`: by this host's workers alone."""
    now = store.now()
    reasons: list[str] = []
    beats = [beat for beat in store.beats() if here is None or beat.host == here]
    newest = max((beat.at for beat in beats), default=None)
    if newest is None:
        reasons.append("no worker has given a sign yet")
    elif (silent := (now - newest).total_seconds()) > SILENT_SECONDS:
        reasons.append(f"no worker has given a sign for {silent:.0f} s")
    # Starting a container anew does not bring the broker back.
    if here is None and (away := broker.away_for(store)) is not None:
        reasons.append(f"the broker does not answer, for {away.total_seconds():.0f} s by now")
    if store.meta(BROKEN_META):
        reasons.append("the configuration is broken; `crmbridge status` shows it")
    return reasons


# --- over HTTP ----------------------------------------------------------------------------------------------------


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 30  # of a socket: who connects and says nothing does not stay for ever

    def log_message(self, format: str, *args: Any) -> None:
        """A line for each scrape would be noise."""


def application(store: Store, settings: Settings) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StoreCollector(store, settings))

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        status, kind, body = "404 Not Found", "text/plain; charset=utf-8", b"/metrics, /healthz, /readyz\n"
        try:
            if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
                status, body = "405 Method Not Allowed", b"GET only\n"
            elif path == "/metrics":
                encode, kind = choose_encoder(environ.get("HTTP_ACCEPT", ""))
                status, body = "200 OK", encode(registry)
            elif path == "/healthz":
                store.now()
                status, body = "200 OK", b"ok\n"
            elif path == "/readyz":
                reasons = not_ready(store)
                status = "503 Service Unavailable" if reasons else "200 OK"
                body = ("\n".join(reasons or ["ok"]) + "\n").encode()
        except CrmBridgeError as error:
            status, kind, body = "503 Service Unavailable", "text/plain; charset=utf-8", f"{error}\n".encode()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]

    return answer


def serve(store: Store, settings: Settings, listen: str) -> WSGIServer:
    """A server that is bound and not yet running; `serve_forever` runs it."""
    host, port = address(listen)
    try:
        return make_server(host, port, application(store, settings), server_class=_Server, handler_class=_Quiet)  # type: ignore[arg-type]
    except OSError as error:
        raise ConfigError(
            f"{listen} cannot be listened on: {error.strerror or error}.",
            fix="Take another port, or stop what listens there.",
            code="listen",
        ) from error


def address(listen: str) -> tuple[str, int]:
    parts = urlsplit(f"//{listen}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.path:
        raise ConfigError(f"'{listen}' is no address to listen on.", fix="Write HOST:PORT, such as 127.0.0.1:9464.")
    return host, port
