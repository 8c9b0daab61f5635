"""What `crmbridge limits` says in words of a CRM that is not called at the moment."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from crmbridge.cli.limits import limits, print_limits
from crmbridge.model import Side
from crmbridge.state.schema import breaker
from crmbridge.state.store import Store

NAMES: dict[Side, str] = {"left": "salesforce", "right": "dynamics"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/store.sqlite3")
    yield opened
    opened.close()


def test_while_the_breaker_is_open_nothing_is_sent_and_afterwards_one_read_tries(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        store.report_breaker("dynamics", "trouble", "HTTP 503")
    until = store.limits("dynamics").breaker.until
    assert until is not None
    print_limits(limits(store, NAMES))
    assert (
        f"dynamics is in trouble (HTTP 503): nothing is sent to it until {until:%Y-%m-%d %H:%M:%S} UTC; "
        "then one read tries it." in _said(capsys)
    )
    with store._database.writing("test") as connection:
        connection.execute(update(breaker).values(until=store.now() - timedelta(seconds=1)))
    print_limits(limits(store, NAMES))
    said = _said(capsys)
    assert "dynamics was in trouble (HTTP 503): one read tries it before anything else is sent." in said
    assert "nothing is sent to it" not in said


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())
