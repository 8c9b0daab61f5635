"""What more than one folder of tests needs."""

from collections.abc import Iterator

import pytest

from tests.support import postgres


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of the tests' own; skips, with the reason, where there is no binary."""
    try:
        cluster = postgres.start()
    except postgres.NoPostgres as error:
        pytest.skip(str(error))
    yield cluster
    cluster.stop()
