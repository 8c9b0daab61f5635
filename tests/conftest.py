"""What more than one folder of tests needs."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import postgres

# How long an example takes is the machine's affair, and no promise of ours.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Whoever starts the tests in the background of a shell ignores Ctrl-C for all of them; journeys send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of the tests' own; skips, with the reason, where there is no binary."""
    try:
        cluster = postgres.start()
    except postgres.NoPostgres as error:
        pytest.skip(str(error))
    yield cluster
    cluster.stop()
