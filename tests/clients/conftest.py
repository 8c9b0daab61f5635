"""All of these are other people's clients: a command of their own runs them, `make clients`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.harness import Running, running

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("clients")


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    """A sandbox of its own for each client; some ask for another one."""
    with running() as box:
        yield box
