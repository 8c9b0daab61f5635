"""What a run needs around its workers: a folder, both CRMs, PostgreSQL, Redis."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import world
from tests.chaos.plan import Plan
from tests.chaos.services import Redis
from tests.support import postgres
from tests.support.project import Project


@dataclass(frozen=True, kw_only=True)
class Stage:
    folder: Path
    project: Project
    redis: Redis
    cluster: postgres.Cluster


@contextlib.contextmanager
def stage(plan: Plan, folder: Path | None) -> Iterator[Stage]:
    """In `folder`, or where the plan keeps it, or in a folder that is gone afterwards. Raises NoPostgres."""
    with contextlib.ExitStack() as stack:
        place = (
            folder
            or (Path(plan.keep) if plan.keep else None)
            or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmbridge-chaos-")))
        )
        place.mkdir(parents=True, exist_ok=True)
        cluster = stack.enter_context(postgres.cluster())
        project = stack.enter_context(world.world(place, plan))
        redis = Redis(place / "redis")
        stack.callback(redis.stop)
        yield Stage(folder=place, project=project, redis=redis, cluster=cluster)
