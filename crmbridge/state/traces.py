"""Where a person stands in the store: records, their partners, what a conversion made of them, and every text that
names them. Nothing is changed here."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, Text, bindparam, exists, func, or_, select, values

from crmbridge.model import ENTITIES, SIDES, Entity, Ref, Side, other
from crmbridge.state import codec
from crmbridge.state.records import chunks
from crmbridge.state.schema import conversion, intent, issue, journal, link, metadata, record, satellite, work

PEOPLE: Final[tuple[Entity, ...]] = ("contact", "lead")
ERASED: Final = "[erased]"

# Columns by which a conversion's lead and contact name each other, without underscores, folded.
_CONVERSION: Final = frozenset(
    {"convertedcontactid", "originatingleadidvalue", "originatingleadid", "contactid", "leadid"}
)
_EMAIL: Final = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[^\s@<>\"']+")
_PHONE: Final = re.compile(r"\+?[\d\s()./-]{7,}")
_PHONE_DIGITS: Final = range(7, 16)
# Written like a phone, and taken for one it would be blotted out of every line of that day.
_DATE: Final = re.compile(r"\d{4}-\d\d?-\d\d?|\d{4}/\d\d?/\d\d?|\d\d?[./-]\d\d?[./-]\d{4}")
_WORD_MIN: Final = 5  # shorter texts stand in too much else
# Not looked through: the mappings' own texts, marks, and what holds no text of a record.
_UNREAD: Final = frozenset({"mapping", "erased", "erasure", "lease", "cursor", "match_key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What `erase` would take out, and what stands in its way."""

    refs: tuple[Ref, ...]
    links: tuple[str, ...]
    words: tuple[str, ...]  # e-mails, phones, whole names, ids: told to nobody, looked for everywhere
    names: tuple[str, ...]  # parts of names; only to keep them out of the reason that is noted
    counts: Mapping[str, int]
    texts: Mapping[str, tuple[tuple[Any, ...], ...]]  # table -> primary keys of other lines that name the person
    alike: tuple[Ref, ...]  # other people with one of the e-mail addresses, not meant
    mentions: Mapping[Ref, tuple[str, ...]]  # other records that name the person in a value of their own: columns
    open_calls: int = 0
    open_conversions: Mapping[str, str] = field(default_factory=dict)  # lead's link -> state in the ledger


def people(connection: Connection, email: str) -> set[Ref]:
    """Leads and contacts (and accounts that are persons) of which any column is this e-mail address."""
    wanted = email.strip().casefold()
    return {ref for ref, body in _bodies_with(connection, [wanted]) if wanted in _folded(body)}


def person_accounts(connection: Connection, refs: Collection[Ref]) -> set[Ref]:
    mine = [ref for ref in refs if ref.entity == "account"]
    return {ref for ref in mine if _is_person(ref.entity, _body(connection, ref))}


def closure(connection: Connection, start: Collection[Ref]) -> set[Ref]:
    """The same person's other records: partners, what was merged, lead and contact of one conversion, and records with
    the same e-mail address and name."""
    found: set[Ref] = set()
    ahead = set(start)
    while ahead:
        ref = ahead.pop()
        if ref in found:
            continue
        found.add(ref)
        ahead |= {one for one in _next_to(connection, ref) if one not in found}
    return found


def look(connection: Connection, refs: Collection[Ref]) -> Traces:
    links = sorted({one for ref in refs for one in _links_of(connection, ref)})
    ids = {ref.id for ref in refs}
    bodies = [_body(connection, ref) for ref in refs] + list(_past(connection, links, ids))
    values = {text for body in bodies for text in _strings(body)}
    emails = {text.strip() for text in values if _EMAIL.fullmatch(text.strip())}
    phones = {text.strip() for text in values if _is_phone(text.strip())}
    names, parts = _names(bodies)
    alike = {ref for email in emails for ref in people(connection, email)} - set(refs)
    others = {value for ref in alike for value in _folded(_body(connection, ref))}
    # What somebody else has as well is theirs, too: it stays where it is about them.
    own = {word for word in (*emails, *phones, *names) if word.casefold() not in others and len(word) >= _WORD_MIN}
    words = tuple(sorted({*own, *ids, *links}))
    mine = _own_lines(connection, refs, links)
    texts, mentions = _naming(connection, words, {*own, *ids}, refs, mine)
    ledger = connection.execute(select(conversion).where(conversion.c.lead_link.in_(links))).all()
    return Traces(
        refs=tuple(sorted(refs, key=str)),
        links=tuple(links),
        words=words,
        names=tuple(sorted({*parts, *names, *emails, *phones})),
        counts={name: len(keys) for name, keys in mine.items()},
        texts=texts,
        alike=tuple(sorted(alike, key=str)),
        mentions={ref: _columns_naming(connection, ref, {*own, *ids}) for ref in sorted(mentions, key=str)},
        open_calls=_count(connection, intent, _about(intent, refs, links), intent.c.state == "sent")
        + _count(connection, work, work.c.link_id.in_(links), work.c.state == "due"),
        open_conversions={line.lead_link: line.state for line in ledger if line.state != "done"},
    )


def _count(connection: Connection, table: Table, *where: Any) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()


# --- who is the same person ---------------------------------------------------------------------------------------


def _next_to(connection: Connection, ref: Ref) -> Iterator[Ref]:
    for line in connection.execute(select(link).where(link.c.entity == ref.entity, _end(ref.side) == ref.id)):
        there = other(ref.side)
        native = line.left_id if there == "left" else line.right_id
        if native is not None:
            yield Ref(side=there, entity=ref.entity, id=native)
    here = (record.c.side == ref.side, record.c.entity == ref.entity)
    for id_ in connection.execute(select(record.c.id).where(*here, record.c.merged_into == ref.id)).scalars():
        yield Ref(side=ref.side, entity=ref.entity, id=id_)
    winner = connection.execute(select(record.c.merged_into).where(*here, record.c.id == ref.id)).scalar()
    if winner is not None:
        yield Ref(side=ref.side, entity=ref.entity, id=winner)
    yield from _by_conversion(connection, ref)
    yield from _by_email_and_name(connection, ref)


def _by_conversion(connection: Connection, ref: Ref) -> Iterator[Ref]:
    if ref.entity not in PEOPLE:
        return
    lines = connection.execute(select(conversion.c.detail).where(conversion.c.detail.contains(ref.id, autoescape=True)))
    for text in lines.scalars():
        ends = codec.load(text).get(ref.side) or {}
        if isinstance(ends, dict) and ends.get(ref.entity) == ref.id:
            for entity in PEOPLE:
                if isinstance(ends.get(entity), str):
                    yield Ref(side=ref.side, entity=entity, id=ends[entity])
    counterpart: Entity = "contact" if ref.entity == "lead" else "lead"
    for name, value in _body(connection, ref).items():
        if _plain(name) in _CONVERSION and isinstance(value, str):
            there = Ref(side=ref.side, entity=counterpart, id=value)
            if value and _body(connection, there):
                yield there
    where = (record.c.side == ref.side, record.c.entity == counterpart, record.c.body.contains(ref.id, autoescape=True))
    for line in connection.execute(select(record.c.id, record.c.body).where(*where)):
        if any(_plain(name) in _CONVERSION and value == ref.id for name, value in codec.load(line.body).items()):
            yield Ref(side=ref.side, entity=counterpart, id=line.id)


def _by_email_and_name(connection: Connection, ref: Ref) -> Iterator[Ref]:
    body = _body(connection, ref)
    name = _name(body)
    if name == ("", ""):
        return
    for email in {text.strip() for text in _strings(body) if _EMAIL.fullmatch(text.strip())}:
        for one in people(connection, email):
            if _name(_body(connection, one)) == name:
                yield one


# --- texts --------------------------------------------------------------------------------------------------------


def strings_in(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from strings_in(inner)
        case list():
            for inner in value:
                yield from strings_in(inner)
        case _:
            return


_strings = strings_in


def _folded(body: Mapping[str, Any]) -> set[str]:
    return {text.strip().casefold() for text in _strings(dict(body))}


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def _is_phone(text: str) -> bool:
    if _DATE.fullmatch(text):
        return False
    return bool(_PHONE.fullmatch(text)) and sum(c.isdigit() for c in text) in _PHONE_DIGITS


def _name(body: Mapping[str, Any]) -> tuple[str, str]:
    """First and last name, folded, by the columns' names in both CRMs."""
    found = {_plain(name): value for name, value in body.items() if isinstance(value, str)}
    return found.get("firstname", "").strip().casefold(), found.get("lastname", "").strip().casefold()


def _names(bodies: Iterable[Mapping[str, Any]]) -> tuple[set[str], set[str]]:
    """Whole names in the usual orders, and their parts."""
    whole: set[str] = set()
    parts: set[str] = set()
    for body in bodies:
        found = {_plain(name): value.strip() for name, value in body.items() if isinstance(value, str)}
        first, last = found.get("firstname", ""), found.get("lastname", "")
        parts |= {part for part in (first, last) if part}
        whole |= {found["fullname"]} if found.get("fullname") else set()
        if first and last:
            whole |= {f"{first} {last}", f"{last}, {first}", f"{last} {first}"}
    return whole, parts


def _is_person(entity: str, body: Mapping[str, Any]) -> bool:
    return entity in PEOPLE or any(_plain(name) == "ispersonaccount" and value is True for name, value in body.items())


# --- lines --------------------------------------------------------------------------------------------------------


def _end(side: Side) -> Any:
    return link.c.left_id if side == "left" else link.c.right_id


def _links_of(connection: Connection, ref: Ref) -> list[str]:
    return list(
        connection.execute(select(link.c.id).where(link.c.entity == ref.entity, _end(ref.side) == ref.id)).scalars()
    )


def _body(connection: Connection, ref: Ref) -> dict[str, Any]:
    place = {"of_side": ref.side, "of_entity": ref.entity, "of_id": ref.id}
    text = connection.execute(_BODY, place).scalar()
    return codec.load(text) if text else {}


_BODY = select(record.c.body).where(
    record.c.side == bindparam("of_side"),
    record.c.entity == bindparam("of_entity"),
    record.c.id == bindparam("of_id"),
)


def _bodies_with(connection: Connection, texts: Collection[str]) -> Iterator[tuple[Ref, dict[str, Any]]]:
    """Bodies of people."""
    columns = (record.c.side, record.c.entity, record.c.id, record.c.body)
    for line in connection.execute(select(*columns).where(_holds([record.c.body], texts))):
        body = codec.load(line.body)
        if _is_person(line.entity, body):
            yield Ref(side=line.side, entity=line.entity, id=line.id), body


def _past(connection: Connection, links: Collection[str], ids: Collection[str]) -> Iterator[dict[str, Any]]:
    """Earlier values: what was agreed on, and what was written before and after."""
    for text in connection.execute(select(link.c.base).where(link.c.id.in_(links))).scalars():
        base = codec.load(text)
        yield from (base[side] for side in SIDES)
    for table in (journal, intent):
        where = or_(table.c.link_id.in_(links), table.c.native_id.in_(ids))
        for line in connection.execute(select(table.c.before, table.c.after).where(where)):
            yield codec.load(line.before)
            yield codec.load(line.after)


def _about(table: Table, refs: Collection[Ref], links: Collection[str]) -> Any:
    """Lines of the person's own, in `intent`, `journal` or `issue`."""
    names: list[tuple[Side, Entity, list[str]]] = [
        (side, entity, [ref.id for ref in refs if (ref.side, ref.entity) == (side, entity)])
        for side in SIDES
        for entity in ENTITIES
    ]
    at = [
        (table.c.side == side) & (table.c.entity == entity) & table.c.native_id.in_(ids)
        for side, entity, ids in names
        if ids
    ]
    if "source_id" in table.c:
        at += [
            (table.c.side == other(side)) & (table.c.entity == entity) & table.c.source_id.in_(ids)
            for side, entity, ids in names
            if ids
        ]
    return or_(table.c.link_id.in_(links), *at)


def _own_lines(connection: Connection, refs: Collection[Ref], links: Collection[str]) -> dict[str, list[Any]]:
    own: dict[str, list[Any]] = {}
    for table in (intent, journal, issue):
        lines = connection.execute(select(*table.primary_key).where(_about(table, refs, links)))
        own[table.name] = [tuple(line) for line in lines]
    handed = select(work.c.id).where(work.c.link_id.in_(links))
    own["work"] = [tuple(line) for line in connection.execute(handed)]
    own["link"] = [(one,) for one in links]
    own["record"] = [(ref.side, ref.entity, ref.id) for ref in refs if _known(connection, ref)]
    own["satellite"] = [
        tuple(line)
        for ref in refs
        for line in connection.execute(
            select(*satellite.primary_key).where(
                satellite.c.side == ref.side, satellite.c.entity == ref.entity, satellite.c.parent_id == ref.id
            )
        )
    ]
    own["conversion"] = [
        tuple(line)
        for line in connection.execute(select(*conversion.primary_key).where(conversion.c.lead_link.in_(links)))
    ]
    return own


def _columns_naming(connection: Connection, ref: Ref, words: Collection[str]) -> tuple[str, ...]:
    """Empty: it is a row beside the record that does."""
    wanted = [word.casefold() for word in words]
    return tuple(
        sorted(
            name
            for name, value in _body(connection, ref).items()
            if any(word in text.casefold() for text in _strings(value) for word in wanted)
        )
    )


def _known(connection: Connection, ref: Ref) -> bool:
    where = (record.c.side == ref.side, record.c.entity == ref.entity, record.c.id == ref.id)
    return connection.execute(select(record.c.id).where(*where)).first() is not None


def text_columns(table: Table) -> list[Any]:
    return [column for column in table.c if isinstance(column.type, Text)]


_WORDS_MAX: Final = 300  # in one statement, each in three forms: old SQLite takes 999 parameters


def _holds(columns: Iterable[Any], words: Collection[str]) -> Any:
    """Is one of the words in one of the columns? Roughly: folded by the database, which may not fold umlauts."""
    forms = {form for word in words for form in (word, word.lower(), codec.dump(word)[1:-1].lower())}
    wanted = (
        values(Column("word", Text), name="wanted").data([(_escaped(form),) for form in sorted(forms)]).cte("wanted")
    )
    held = [text.contains(wanted.c.word, escape="/") for column in columns for text in (func.lower(column), column)]
    return exists(select(1).select_from(wanted).where(or_(*held)))


def _escaped(text: str) -> str:
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _naming(
    connection: Connection,
    words: Collection[str],
    own: Collection[str],
    refs: Collection[Ref],
    mine: Mapping[str, list[Any]],
) -> tuple[dict[str, tuple[tuple[Any, ...], ...]], set[Ref]]:
    """Lines of others that name the person: history that can be blotted out, and live values that cannot."""
    texts: dict[str, tuple[tuple[Any, ...], ...]] = {}
    mentions: set[Ref] = set()
    known = {name: set(keys) for name, keys in mine.items()}
    for table in metadata.sorted_tables:
        columns = text_columns(table)
        if table.name in _UNREAD or not columns or not words:
            continue
        live = table.name in {"record", "satellite", "link"}
        if live and not own:
            continue
        wanted = sorted(own if live else words)
        found = dict.fromkeys(
            tuple(line)
            for some in chunks(wanted, _WORDS_MAX)
            for line in connection.execute(select(*table.primary_key).where(_holds(columns, some)))
        )
        lines = [key for key in found if key not in known.get(table.name, ())]
        if not live:
            texts[table.name] = tuple(lines)
        elif table.name == "record":
            mentions |= {Ref(side=side, entity=entity, id=id_) for side, entity, id_ in lines}
    return {name: keys for name, keys in texts.items() if keys}, mentions - set(refs)
