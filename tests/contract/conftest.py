"""A store in each of the two databases: whoever asks for one keeps its promises in both."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crmbridge.state.store import Store
from crmbridge.state.words import Lease
from tests.support.rows import Lead


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.sqlite3"
    return request.getfixturevalue("postgres_cluster").new_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(Store.open(url, row_types={("left", "lead"): Lead, ("right", "lead"): Lead})) as opened:
        yield opened


@pytest.fixture
def lease(store: Store) -> Lease:
    return store.take_lease("run", 60)
