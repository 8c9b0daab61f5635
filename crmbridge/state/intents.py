"""What was about to be sent, what came of it (the journal), and the ledger of mirrored conversions (reliability §3)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from crmbridge.errors import StaleError
from crmbridge.model import Side
from crmbridge.state import codec
from crmbridge.state.database import Upsert, array, insert, lookup
from crmbridge.state.records import chunks
from crmbridge.state.schema import IS_SENT, conversion, intent, journal
from crmbridge.state.words import ConversionRow, Intent, JournalRow, Lease

_INTENT = tuple(column for column in intent.c if column.name not in ("payload_hash", "closed_at"))


def clear(text: str) -> str:
    """A CRM's words, storable: PostgreSQL refuses NUL."""
    return text.replace("\x00", "")


def _payload(one: Intent) -> dict[str, Any]:
    return {
        "run_id": one.run_id,
        "side": one.side,
        "entity": one.entity,
        "kind": one.kind,
        "link_id": one.link_id,
        "native_id": one.native_id,
        "source_id": one.source_id,
        "reason": clear(one.reason),
        "before": codec.dump(one.before),
        "after": codec.dump(one.after),
    }


def _load(values: Sequence[Any]) -> Intent:
    known = {column.name: value for column, value in zip(_INTENT, values, strict=True)}
    return Intent(**known | {name: codec.load(known[name]) for name in ("before", "after")})


# --- intents ------------------------------------------------------------------------------------------------------


def open_(connection: Connection, given: Iterable[Intent], held: Lease, at: datetime) -> None:
    lines: list[dict[str, Any]] = [
        {"id": one.id, "key": one.key, "pre_version": one.pre_version, "sent_at": at}
        | {"source_at": one.source_at}
        | {"fence": held.fence, "lease": held.name}
        | {"state": "sent", "reply": "", "closed_at": None, "payload_hash": _hash(payload)}
        | payload
        for one, payload in sorted(((one, _payload(one)) for one in given), key=lambda pair: pair[0].id)
    ]
    if not lines:
        return
    dialect = connection.dialect.name
    hashes = {line["id"]: line["payload_hash"] for line in lines}
    for some in chunks(sorted(hashes)):
        for known in connection.execute(_hashes(dialect), {"ids": array(dialect, some)}):
            if known.payload_hash != hashes[known.id]:  # reliability §3.7: our bug
                raise AssertionError(f"intent {known.id} was written before, with another payload")
    connection.execute(_open(dialect), lines)


def _hash(payload: dict[str, Any]) -> str:
    names = ("side", "entity", "kind", "link_id", "native_id", "after")
    return codec.digest(*(payload[name] for name in names))


@cache
def _hashes(dialect: str) -> Any:
    return lookup(dialect, intent, intent.c.id)


@cache
def _open(dialect: str) -> Upsert:
    return insert(dialect, intent).on_conflict_do_nothing(index_elements=[intent.c.id])


def close(connection: Connection, given: Iterable[Intent], at: datetime) -> None:
    intents = sorted(given, key=lambda one: one.id)
    if not intents:
        return
    lines = [
        {"at_id": one.id, "state": one.state, "reply": clear(one.reply), "native_id": one.native_id, "closed_at": at}
        for one in intents
    ]
    if connection.execute(_CLOSE, lines).rowcount != len(lines):
        raise AssertionError("an intent was closed that nobody opened")
    done = [
        _payload(one) | {"id": one.id, "reply": clear(one.reply), "at": at} for one in intents if one.state == "done"
    ]
    if done:
        connection.execute(_write_journal(connection.dialect.name), done)


_CLOSE = (
    update(intent)
    .where(intent.c.id == bindparam("at_id"))
    .values({name: bindparam(name) for name in ("state", "reply", "native_id", "closed_at")})
)


@cache
def _write_journal(dialect: str) -> Upsert:
    return insert(dialect, journal).on_conflict_do_nothing(index_elements=[journal.c.id])


def still_open(connection: Connection) -> list[Intent]:
    statement = select(*_INTENT).where(IS_SENT).order_by(intent.c.sent_at, intent.c.id)
    return [_load(line) for line in connection.execute(statement)]


def named(connection: Connection, side: Side, names: Sequence[str], since: datetime) -> set[str]:
    """Which of these native ids and keys an intent on this side is about, whatever came of it."""
    found: set[str] = set()
    for column in (intent.c.native_id, intent.c.key):
        statement = _named(connection.dialect.name, column.name)
        for some in chunks(sorted(set(names))):
            given = {"ids": array(connection.dialect.name, some), "of_side": side, "since": since}
            found |= {getattr(line, column.name) for line in connection.execute(statement, given)}
    return found


@cache
def _named(dialect: str, column: str) -> Any:
    since = bindparam("since", type_=intent.c.sent_at.type)
    return lookup(dialect, intent, intent.c[column], intent.c.side == bindparam("of_side"), intent.c.sent_at >= since)


def about(connection: Connection, side: Side, names: Sequence[str], since: datetime) -> list[Intent]:
    """The intents themselves, of those that `named` looks for."""
    found: dict[str, Intent] = {}
    for column in ("native_id", "key"):
        statement = _named(connection.dialect.name, column)
        for some in chunks(sorted(set(names))):
            given = {"ids": array(connection.dialect.name, some), "of_side": side, "since": since}
            for line in connection.execute(statement, given):
                one = _load([getattr(line, known.name) for known in _INTENT])
                found[one.id] = one
    return sorted(found.values(), key=lambda one: one.id)


# --- journal ------------------------------------------------------------------------------------------------------


def read_journal(
    connection: Connection,
    *,
    link_id: str | None,
    run_id: str | None,
    side: Side | None,
    native_id: str | None,
    limit: int | None,
) -> list[JournalRow]:
    wanted = {
        journal.c.link_id: link_id,
        journal.c.run_id: run_id,
        journal.c.side: side,
        journal.c.native_id: native_id,
    }
    where = [column == value for column, value in wanted.items() if value is not None]
    statement = select(journal).where(*where).order_by(journal.c.number.desc()).limit(limit)
    return _journal(connection.execute(statement).mappings())


def _journal(lines: Iterable[Any]) -> list[JournalRow]:
    return [JournalRow(**dict(line) | {name: codec.load(line[name]) for name in ("before", "after")}) for line in lines]


def written_lately(
    connection: Connection, link_ids: Sequence[str], since: datetime, at_least: int
) -> dict[str, list[JournalRow]]:
    """By pair, what was written since, oldest first; only of pairs that were written to so often."""
    dialect = connection.dialect.name
    statement = lookup(dialect, journal, journal.c.link_id, journal.c.at >= bindparam("since"))
    numbers = statement.with_only_columns(statement.selected_columns.link_id, statement.selected_columns.number)
    by_link: dict[str, list[int]] = defaultdict(list)
    for some in chunks(sorted(set(link_ids))):
        for line in connection.execute(numbers, {"ids": array(dialect, some), "since": since}):
            by_link[line.link_id].append(line.number)
    often = sorted(number for found in by_link.values() if len(found) >= at_least for number in found)
    rows: dict[str, list[JournalRow]] = defaultdict(list)
    for some in chunks(often):
        where = journal.c.number.in_(some)
        for row in _journal(connection.execute(select(journal).where(where).order_by(journal.c.number)).mappings()):
            rows[row.link_id or ""].append(row)
    return dict(rows)


# --- ledger of conversions ----------------------------------------------------------------------------------------


def save_conversions(connection: Connection, given: Iterable[ConversionRow], at: datetime) -> None:
    for one in sorted(given, key=lambda one: (one.lead_link, one.epoch)):
        line = {"lead_link": one.lead_link, "epoch": one.epoch, "case": one.case, "from_side": one.from_side}
        line |= {"state": one.state, "detail": codec.dump(one.detail), "changed_at": at}
        statement = _save_conversion(connection.dialect.name)
        if connection.execute(statement, line, execution_options={"preserve_rowcount": True}).rowcount == 0:
            raise StaleError(
                f"Conversion {one.epoch} of lead {one.lead_link} is in the ledger already, as another case than "
                f"{one.case} or from the other side.",
                fix="It is planned again from what is stored.",
                code="conversion_exists",
            )


@cache
def _save_conversion(dialect: str) -> Upsert:
    statement = insert(dialect, conversion)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(conversion.primary_key),
        set_={name: new[name] for name in ("case", "from_side", "state", "detail", "changed_at")},
        # What was not carried out (planned again, or held) may become another case: the other lead was disqualified
        # or converted meanwhile. What was called or done keeps its case.
        where=((conversion.c.case == new.case) & (conversion.c.from_side == new.from_side))
        | conversion.c.state.in_(("planned", "held")),
    )


def conversions(
    connection: Connection, lead_links: Sequence[str] | None = None, epoch: int | None = None
) -> list[ConversionRow]:
    if lead_links is None:
        lines = list(connection.execute(select(conversion)))
    else:
        dialect = connection.dialect.name
        statement = lookup(dialect, conversion, conversion.c.lead_link)
        batches = chunks(sorted(set(lead_links)))
        lines = [line for some in batches for line in connection.execute(statement, {"ids": array(dialect, some)})]
    found = [
        ConversionRow(
            lead_link=line.lead_link,
            epoch=line.epoch,
            case=line.case,
            from_side=line.from_side,
            state=line.state,
            detail=codec.load(line.detail),
        )
        for line in lines
        if epoch in (None, line.epoch)
    ]
    return sorted(found, key=lambda one: (one.lead_link, one.epoch))
