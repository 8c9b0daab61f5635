"""A small cycle over few and over very many links: what PostgreSQL says it read for it.

Both companies are in memory and hold only the pairs that change; the store holds the others as well, made from a real
pair by the database itself.
"""

import resource
import time
from dataclasses import dataclass

from sqlalchemy import text

from crmbridge.state.database import Database
from tests.support import postgres
from tests.support.engine import Bench, bench

CHANGES = 100
# Tables that grow with the companies; the others have a handful of rows, which a scan reads fastest.
BIG = ("link", "record", "match_key", "satellite", "intent", "journal", "issue", "conversion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    links: int
    seconds: float
    rows: int  # of those tables, through indexes and by scans
    by_table: dict[str, int]
    scans: dict[str, int]  # sequential ones
    rss_mb: float  # of this process, at its highest until then


def measure(cluster: postgres.Cluster, links: int) -> Read:
    url = cluster.new_database()
    with bench(url) as at:
        database = Database(url)
        try:
            for n in range(CHANGES // 4):
                account = at.north.add("account", name=f"Firm {n}", city="Ulm")
                contact = at.north.add("contact", last_name=f"P {n}", email=f"p{n}@x.example", account_id=account)
                at.north.add("opportunity", name=f"Deal {n}", account_id=account, contact_id=contact)
                at.north.add("lead", last_name=f"L {n}", company=f"C {n}", email=f"l{n}@x.example")
            at.settled()
            _multiply(database, links)
            at.sync()  # one as any other, so that nothing is measured that happens once
            _edit(at)
            before = _figures(at, database)
            began = time.monotonic()
            ran = at.sync()
            seconds = time.monotonic() - began
            after = _figures(at, database)
            assert sum(ran.counts.values()) == CHANGES, ran.counts
        finally:
            database.close()
    rows = {table: after[table][0] - before[table][0] for table in BIG}
    scans = {table: n for table in BIG if (n := after[table][1] - before[table][1])}
    return Read(
        links=links,
        seconds=seconds,
        rows=sum(rows.values()),
        by_table={table: n for table, n in rows.items() if n},
        scans=scans,
        rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _edit(at: Bench) -> None:
    changed = {"account": "city", "contact": "phone", "opportunity": "description", "lead": "phone"}
    for entity, column in changed.items():
        for one in at.north.live(entity):  # pyright: ignore[reportArgumentType]
            at.north.edit(entity, one.id, **{column: "changed"})  # pyright: ignore[reportArgumentType]


def _multiply(database: Database, links: int) -> None:
    """A quarter of each kind; ids of both sides and the pair's are the original's with a number behind."""
    with database.writing("benchmark") as connection:
        for entity in ("account", "contact", "lead", "opportunity"):
            one = connection.execute(
                text("SELECT id, left_id, right_id FROM link WHERE entity = :entity AND alive ORDER BY id LIMIT 1"),
                {"entity": entity},
            ).one()
            copies = links // 4 - CHANGES // 4
            connection.execute(
                text(
                    _copy(
                        "link",
                        {
                            "id": "id || '-copy-' || n",
                            "left_id": "left_id || '-copy-' || n",
                            "right_id": "right_id || '-copy-' || n",
                        },
                    )
                    + " WHERE id = :id"
                ),
                {"copies": copies, "id": one.id},
            )
            for side, id_ in (("left", one.left_id), ("right", one.right_id)):
                connection.execute(
                    text(
                        _copy("record", {"id": "id || '-copy-' || n"})
                        + " WHERE side = :side AND entity = :entity AND id = :id"
                    ),
                    {"copies": copies, "side": side, "entity": entity, "id": id_},
                )
        # Each pair was made and changed once, and one in ten had a matter that is over.
        number = {"number": "nextval(pg_get_serial_sequence('journal', 'number'))"}
        other = {name: f"{name} || '-copy-' || n" for name in ("id", "run_id", "link_id", "native_id", "source_id")}
        one = connection.execute(text("SELECT id FROM journal ORDER BY number LIMIT 1")).scalar_one()
        copied = text(_copy("journal", number | other) + " WHERE id = :id")
        connection.execute(copied, {"copies": 2 * links, "id": one})
        connection.execute(
            text(
                "INSERT INTO issue (kind, cause, entity, subject, link_id, field, message, fix, attempts, fingerprint, "
                "opened_at, seen_at, closed_at) SELECT 'held', 'C3', 'lead', 'over-' || n, 'over-' || n, '', '', '', "
                "1, '', now(), now(), now() FROM generate_series(1, :copies) AS n"
            ),
            {"copies": links // 10},
        )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _copy(table: str, changed: dict[str, str]) -> str:
    from crmbridge.state.schema import metadata

    columns = [column.name for column in metadata.tables[table].c]
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(changed.get(name, f'"{name}"') for name in columns)
    source = f"{table}, generate_series(1, :copies) AS n"
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {source}"


def _figures(at: Bench, database: Database) -> dict[str, tuple[int, int]]:
    """Rows read and sequential scans, by table, once every connection has told its part: at its end."""
    at.store.close()  # it goes on with new ones
    time.sleep(1)
    with database.engine.connect() as connection:
        lines = connection.exec_driver_sql(
            "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0), seq_scan FROM pg_stat_user_tables"
        )
        return {name: (int(rows), int(scans)) for name, rows, scans in lines}
