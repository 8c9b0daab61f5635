"""A store that was migrated is the store that the schema describes, in both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from crmbridge.errors import ConfigError
from crmbridge.state import schema
from crmbridge.state.database import Database
from crmbridge.state.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two empty databases."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/migrated.sqlite3", f"sqlite:///{tmp_path}/fresh.sqlite3"
    else:
        cluster = request.getfixturevalue("postgres_cluster")
        yield cluster.new_database(), cluster.new_database()


def shape(engine: sa.Engine) -> dict[str, Any]:
    """All that can be told about the tables, as plain values."""
    inspector = sa.inspect(engine)
    tables: dict[str, Any] = {}
    for table in inspector.get_table_names():
        if table == "alembic_version":
            continue
        columns = [
            (one["name"], repr(one["type"]), one["nullable"], one.get("default"))
            for one in inspector.get_columns(table)
        ]
        indexes = [
            (
                one["name"],
                one["column_names"],
                one["unique"],
                sorted((name, str(value)) for name, value in one.get("dialect_options", {}).items()),
            )
            for one in sorted(inspector.get_indexes(table), key=lambda one: str(one["name"]))
        ]
        tables[table] = (columns, inspector.get_pk_constraint(table)["constrained_columns"], indexes)
    return tables


def test_a_migrated_store_is_a_fresh_one(urls: tuple[str, str]) -> None:
    migrated, fresh = Database(urls[0]), Database(urls[1])
    try:
        migrated.migrate()
        schema.metadata.create_all(fresh.engine)
        assert shape(migrated.engine) == shape(fresh.engine)
        with migrated.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    finally:
        migrated.close()
        fresh.close()


def test_the_newest_migration_is_the_one_that_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.REVISION


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/newer.sqlite3"
    Store.open(url).close()
    database = Database(url)
    with database.writing("test") as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(ConfigError, match="newer crmbridge") as caught:
        Store.open(url)
    assert caught.value.exit_code == 2
