"""One worker as a process: what Celery would call, without a broker between.

python -m benchmarks.scale.worker lead FILE     one cycle; what it took is written to FILE
python -m benchmarks.scale.worker help FILE     helps with what is handed out until FILE is there
"""

import json
import resource
import sys
import time
from pathlib import Path

from crmbridge import settings as settings_module
from workers import cycle, logs, schedule
from workers.desk import Desk

POLL_SECONDS = 0.1


def lead(desk: Desk, told: Path) -> None:
    rhythms = desk.settings.schedules
    while schedule.CYCLE not in schedule.due(desk.store, rhythms.every_seconds, rhythms.rhythms):
        time.sleep(POLL_SECONDS)
    began, cpu = time.monotonic(), _cpu()
    cycle.drain(desk, schedule.CYCLE, lambda workers: None)  # helpers look by themselves
    run = desk.store.runs(limit=1)[0]
    took = {"seconds": time.monotonic() - began, "cpu": _cpu() - cpu, "outcome": run.outcome}
    took |= {"calls": dict(run.calls), "counts": dict(run.counts), "rss_mb": _rss_mb()}
    told.write_text(json.dumps(took), encoding="utf-8")


def help_out(desk: Desk, end: Path) -> None:
    while not end.exists():
        if schedule.LANES in schedule.due(desk.store, 1e9):
            cycle.drain(desk, schedule.LANES)
        time.sleep(POLL_SECONDS)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    logs.configure()
    one = Desk(settings_module.load().path)
    (lead if sys.argv[1] == "lead" else help_out)(one, Path(sys.argv[2]))
    one.close()
