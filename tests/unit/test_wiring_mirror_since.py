"""Which conversions are old: those before the day of installation, unless the settings say another day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crmbridge.state.store import Store
from crmbridge.wiring import INSTALLED_META, mirror_since


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    yield store
    store.close()


def _settings(chosen: datetime | None) -> Any:
    return SimpleNamespace(lifecycle=SimpleNamespace(mirror_since=chosen))


def test_from_the_day_of_installation_on_and_it_stays(store: Store) -> None:
    first = mirror_since(_settings(None), store)
    assert timedelta(days=1) <= store.now() - first < timedelta(days=2)
    assert mirror_since(_settings(None), store) == first
    store.set_meta(INSTALLED_META, "2026-03-01")  # years later it is still that day
    assert mirror_since(_settings(None), store) == datetime(2026, 2, 28, tzinfo=UTC)


def test_the_settings_say_another_day(store: Store) -> None:
    chosen = datetime(2020, 1, 1, tzinfo=UTC)
    assert mirror_since(_settings(chosen), store) == chosen
