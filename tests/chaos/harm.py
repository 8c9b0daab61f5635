"""What is done to the processes, by seed; most of it to whoever holds a lease, in the middle of a cycle."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.plan import Harm
from tests.chaos.services import Crew, Redis, Worker
from tests.support.postgres import Cluster


class Harmer:
    """`holders`: processes that are at work now; `tend` is called while waiting."""

    def __init__(
        self,
        crew: Crew,
        redis: Redis,
        cluster: Cluster,
        holders: Callable[[], set[int]],
        tend: Callable[[], None],
        lease: float,
        look: float = 20.0,
        forgetful: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._crew = crew
        self._redis = redis
        self._cluster = cluster
        self._holders = holders
        self._tend = tend
        self._lease = lease
        self._forgetful = forgetful  # what Redis has lost nobody does any more: then an idle worker will do
        self._look = look  # for somebody at work; a worker that was killed needs some time to come back

    def do(self, harm: Harm) -> None:
        match harm.kind:
            case "kill":
                self._kill(harm)
            case "stop":
                self._stop(harm)
            case "redis":
                self._redis.kill()
            case "postgres":
                self._cluster.restart()
        if harm.kind in ("redis", "postgres"):
            self.counts[harm.kind] += 1

    def _kill(self, harm: Harm) -> None:
        while True:
            found = self._at_work(self._look) if harm.at_work else None
            if found is not None:
                self._wait(harm.into)
                if found[1] not in self._holders():  # it was quicker
                    found = self._at_work(self._look)
            worker, pid = found or self._anybody(harm.pick)
            try:
                if harm.victim == "group":
                    os.killpg(worker.pid, signal.SIGKILL)
                else:
                    os.kill(pid if harm.victim == "child" else worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself just now
            self.counts[f"kill {harm.victim}"] += 1
            self.counts["kill at work"] += found is not None
            return

    def _anybody(self, pick: float) -> tuple[Worker, int]:
        ready = self._ready()
        worker = ready[int(pick * len(ready))]
        pids = worker.children()
        return worker, pids[int(pick * len(pids))] if pids else worker.pid

    def _stop(self, harm: Harm) -> None:
        """A holder of a lease, until that lease is over."""
        while True:
            found = self._at_work(6 * self._look)
            assert found is not None or self._forgetful, "nobody works any more"
            worker, pid = found or self._anybody(harm.pick)
            self._wait(min(0.5, harm.into))
            self._crew.freeze(worker, self._lease + 2.0 + harm.pick * 3.0)
            if found is None or pid in self._holders():
                break
            self._crew.thaw(worker)
        self.counts["stop"] += 1

    def _ready(self) -> list[Worker]:
        while True:
            ready = [one for one in self._crew.workers if one.alive and one.frozen_until is None]
            if ready:
                return ready
            self._wait(0.2)

    def _at_work(self, seconds: float) -> tuple[Worker, int] | None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            holders = self._holders()
            for worker in self._ready():
                for pid in holders & worker.pids():
                    return worker, pid
            self._wait(0.05)
        return None

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            self._tend()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.05, left))
