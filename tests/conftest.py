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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a module makes once for all of its tests is made once where two run side by side as well: they go together.
    The slow ones are spread, since there it counts for more that both have enough to do."""
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("xdist_group"):
            continue
        fixtures = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009 - pytest's own, and untyped
        if any(one.scope == "module" for found in fixtures for one in found):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of the tests' own; skips, with the reason, where there is no binary."""
    try:
        cluster = postgres.start()
    except postgres.NoPostgres as error:
        pytest.skip(str(error))
    yield cluster
    cluster.stop()
