"""Writing: collections with results by position, preconditions, adoption by key, and a read-back of what was written.

HTTP 200 is not success here: every record has a result of its own. Nothing is sent twice: what is not known is
`Unknown`, and the engine looks (reliability §3). Only a call that was refused as a whole is sent again, in halves, to
find the record that spoils it.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from connectors.base import Write
from connectors.http import NotSent
from connectors.salesforce import persons, protocol, soql
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.client import Client
from connectors.salesforce.protocol import Call, Meaning, Record, SaveResult, as_outcome
from connectors.salesforce.reader import Reader, chunks
from connectors.salesforce.rows import CONTACT, ROLES, Role, instant_of, version_of
from crmbridge.errors import AccessError, LostAnswer, OutsideError, TryLater
from crmbridge.model import Entity, Later, Native, Outcome, Refused, Row, Stale, Unknown, Written

# Ten collections, and one read-back for all of them: a call per 200 records and one per 2,000.
batch_size: Final = protocol.ids_per_retrieve
halvings_max: Final = 16


@dataclass(kw_only=True)
class _Job:
    """One `write`: what is known so far, by position."""

    writes: Sequence[Write]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)  # read back in the very call that wrote them
    before: dict[str, Row] = field(default_factory=dict)  # right before they were written
    sent: bool = False  # something may have been carried out: from here on nothing is raised

    def open(self, kind: str) -> list[int]:
        return [n for n, write in enumerate(self.writes) if write.kind == kind and n not in self.outcomes]

    def done(self) -> list[int]:
        return [n for n, outcome in self.outcomes.items() if isinstance(outcome, Written)]


class Writer:
    def __init__(self, client: Client, reader: Reader, config: SalesforceConfig) -> None:
        self._client, self._reader, self._config = client, reader, config

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        job = _Job(writes=writes)
        untouched: set[int] = set()
        for n, write in enumerate(writes):
            if write.kind == "update" and not write.columns and not (self._config.key_field and write.key):
                job.outcomes[n] = Written(id=write.id or "")
                untouched.add(n)
            elif write.kind == "update" and not soql.is_id(write.id or ""):
                job.outcomes[n] = Refused(code="MALFORMED_ID", message="This is not the id of a Salesforce record.")
        self._creates(job)
        self._updates(job)
        self._set_contacts(job)
        self._read_back(job, [n for n in job.done() if n not in untouched])
        return [job.outcomes[n] for n in range(len(writes))]

    # --- creates --------------------------------------------------------------------------------------------------

    def _creates(self, job: _Job) -> None:
        records: dict[int, Record] = {}
        for n in job.open("create"):
            write = job.writes[n]
            table, columns = self._table(write.entity), self._columns(write)
            if write.as_person:
                table, columns = persons.ACCOUNT, persons.as_account(columns)
            records[n] = Record(table=table, columns=columns)
        results = self._send(job, records, protocol.create, protocol.records_per_call, _saved)
        twins: list[int] = []
        made = {n: soql.id18(result.id or "") for n, result in results.items() if isinstance(result, SaveResult)}
        contacts = self._contacts_of([id for n, id in made.items() if job.writes[n].as_person])
        for n, result in results.items():
            if n in made:
                id = contacts.get(made[n]) if job.writes[n].as_person else made[n]
                untold = Unknown(message="The person account was made, but its contact could not be read.")
                job.outcomes[n] = Written(id=id, created=True) if id else untold
            elif isinstance(result, Meaning) and self._made_before(result):
                job.outcomes[n] = as_outcome(result)
                twins.append(n)
            else:
                job.outcomes[n] = _outcome(result)
        self._adopt(job, twins)

    def _made_before(self, what: Meaning) -> bool:
        """The key is taken: by an earlier try of ours (salesforce-api §9.2, reliability §2)."""
        key_field = self._config.key_field
        if key_field is None or what.code != "DUPLICATE_VALUE":
            return False
        names = (key_field, persons.account_column(key_field))  # a person's by either (unverified)
        return any(name in what.fields or re.search(rf"\b{re.escape(name)}\b", what.message) for name in names)

    def _contacts_of(self, accounts: Sequence[str]) -> Mapping[str, str]:
        """Of person accounts made just now; without those that could not be read: recovery finds them by our key."""
        try:
            return persons.told(self._client.read(persons.contacts_of(accounts)).body) if accounts else {}
        except (OutsideError, AccessError):
            return {}

    def _adopt(self, job: _Job, positions: Sequence[int]) -> None:
        by_entity: dict[Entity, list[int]] = {}
        for n in positions:
            by_entity.setdefault(job.writes[n].entity, []).append(n)
        for entity, some in by_entity.items():
            try:
                found = self._reader.fetch_by_key(entity, [job.writes[n].key or "" for n in some])
            except OutsideError as error:
                for n in some:
                    job.outcomes[n] = Unknown(message=f"It exists already, but could not be read: {error.message}")
                continue
            for n in some:
                row = found.get(job.writes[n].key or "")
                if row is not None:  # else another record's, perhaps a deleted one's: it stays refused
                    job.outcomes[n] = Written(id=row.ref.id, row=row, adopted=True)

    # --- updates --------------------------------------------------------------------------------------------------

    def _updates(self, job: _Job) -> None:
        records: dict[int, Record] = {}
        for n in job.open("update"):
            write = job.writes[n]
            columns = self._columns(write)
            if not columns:  # the contact alone
                continue
            assert not any(self._is_contact(write, name) for name in write.columns), "a contact goes apart"
            records[n] = Record(
                table=self._table(write.entity),
                id=soql.id18(write.id or ""),
                columns=columns,
                unchanged_since=instant_of(write.version),
            )
        few = protocol.composite_max - 2 * len({record.table for record in records.values()})
        results: dict[int, SaveResult | Meaning | Outcome] = {}
        if len(records) <= few:
            for some in _by_tables(records):
                results |= self._send(job, some, self._update_few, few, partial(self._updated_few, job))
        else:
            self._drop_stale(job, records)
            results = self._send(job, records, protocol.update, protocol.records_per_call, _saved)
        for n, result in results.items():
            done = isinstance(result, SaveResult) or (isinstance(result, Meaning) and result.kind == "done")
            id = soql.id18(job.writes[n].id or "")
            written = Written(id=id, before=job.before.get(id), columns=tuple(records[n].columns)) if done else None
            job.outcomes[n] = written or _outcome(result)

    def _columns(self, write: Write) -> Native:
        """As they go over the wire, our key among them; a known opportunity's contact goes another way."""
        apart = write.kind == "update"
        columns = {n: value for n, value in write.columns.items() if not (apart and self._is_contact(write, n))}
        if self._config.key_field and write.key:
            columns[self._config.key_field] = write.key
        return columns

    def _update_few(self, records: Sequence[Record]) -> Call:
        """One call: its parts are carried out one after another, so that between the look before and the update there
        is no time for anybody but by the merest chance; the update's own precondition tells seconds alone (§3.5)."""
        reads = self._reads(records)
        return protocol.composite_update(records, first=reads, then=reads)

    def _updated_few(self, job: _Job, body: bytes, records: Sequence[Record]) -> "Sequence[Meaning]":
        reads = self._reads(records)
        updated = len(reads) + len(records)
        answers = protocol.composite_bodies(body, updated + len(reads))
        for into, some in ((job.before, answers[: len(reads)]), (job.rows, answers[updated:])):
            for read, (what, found) in zip(reads, some, strict=True):
                if what.kind == "done":
                    rows = self._reader.rows_of(read.table).found(found)
                    into |= {row.ref.id: row for row in rows if not row.deleted}
        return [what for what, _ in answers[len(reads) : updated]]

    def _reads(self, records: Sequence[Record]) -> list[Call]:
        """Reads of these very rows, one a table."""
        tables = dict.fromkeys(record.table for record in records)
        return [
            protocol.retrieve(
                table,
                [record.id or "" for record in records if record.table == table],
                self._reader.rows_of(table).columns,
            )
            for table in tables
        ]

    def _drop_stale(self, job: _Job, records: dict[int, Record]) -> None:
        """Collections know no precondition (§3.5): one look at all rows right before, and the moved ones stay."""
        by_table: dict[str, list[int]] = {}
        for n, record in records.items():
            if record.unchanged_since is not None:
                by_table.setdefault(record.table, []).append(n)
        for table, positions in by_table.items():
            rows = self._reader.rows_of(table)
            for some in chunks(positions, protocol.ids_per_retrieve):
                ids = [records[n].id or "" for n in some]
                try:
                    answer = self._client.read(protocol.retrieve(table, ids, rows.columns))
                    now = {row.ref.id: row for row in rows.found(answer.body)}
                except (OutsideError, AccessError) as error:
                    if isinstance(error, AccessError) and not job.sent:
                        raise
                    for n in some:
                        job.outcomes[n] = Later(message=f"Not sent: {error.message}")
                        del records[n]
                    continue
                job.before |= {id: row for id, row in now.items() if not row.deleted}
                for n in some:
                    row = now.get(records[n].id or "")
                    if row is not None and row.version != version_of(records[n].unchanged_since):
                        job.outcomes[n] = Stale(message="the record was changed by somebody else")
                        del records[n]

    # --- an opportunity's contact ---------------------------------------------------------------------------------

    def _is_contact(self, write: Write, column: str) -> bool:
        return write.entity == "opportunity" and column == CONTACT

    def _set_contacts(self, job: _Job) -> None:
        """ContactId is the contact of the primary role; a new one takes the flag from the old (§7)."""
        contacts = job.open("update")
        if not contacts:
            return
        updates = {n: told for n, told in job.outcomes.items() if job.writes[n].kind == "update"}
        others = {soql.id18(job.writes[n].id or ""): told for n, told in updates.items()}
        for n in contacts:
            before = _not_written(others.get(soql.id18(job.writes[n].id or "")))
            if before is not None:
                job.outcomes[n] = before
        present = self._look_at_roles(job)
        adds: dict[int, Record] = {}
        changes: dict[int, Record] = {}
        for n in job.open("update"):
            write, opportunity = job.writes[n], soql.id18(job.writes[n].id or "")
            roles, contact = present.get(opportunity, ()), _contact_id(write.columns)
            primary = _primary(roles)
            now = primary.ContactId if primary is not None else None
            if CONTACT in write.expected and now not in (_contact_id(write.expected), contact):
                job.outcomes[n] = Stale(message="another contact was named meanwhile")
                continue
            step = _role_step(opportunity, contact, roles)
            if step is None:
                job.outcomes[n] = Written(id=opportunity, unchanged=True)
                continue
            (changes if step.id else adds)[n] = step
        results = self._send(job, adds, protocol.create, protocol.records_per_call, _saved)
        results |= self._send(job, changes, protocol.update, protocol.records_per_call, _saved)
        for n, result in results.items():
            if isinstance(result, SaveResult):
                job.outcomes[n] = Written(id=soql.id18(job.writes[n].id or ""))
            else:
                job.outcomes[n] = _with_field(_outcome(result), CONTACT)

    def _look_at_roles(self, job: _Job) -> Mapping[str, Sequence[Role]]:
        """Of the opportunities whose contact is to be set, right before that."""
        positions = job.open("update")
        if not positions:
            return {}
        try:
            return self._reader.roles_of(soql.id18(job.writes[n].id or "") for n in positions)
        except (OutsideError, AccessError) as error:
            if isinstance(error, AccessError) and not job.sent:
                raise
            job.outcomes |= dict.fromkeys(positions, Later(message=f"Not sent: {error.message}"))
            return {}

    # --- read-back ------------------------------------------------------------------------------------------------

    def _read_back(self, job: _Job, positions: Sequence[int]) -> None:
        """What the record is like now: the CRM's triggers had their say (reliability §3.5)."""
        by_entity: dict[Entity, list[int]] = {}
        for n in positions:
            outcome = job.outcomes[n]
            if isinstance(outcome, Written) and outcome.row is None:
                by_entity.setdefault(job.writes[n].entity, []).append(n)
        for entity, some in by_entity.items():
            # What stands beside an opportunity is read only where it was written.
            beside = any(CONTACT in job.writes[n].columns for n in some)
            ids = [_id(job.outcomes[n]) for n in some]
            try:
                known = {} if beside else {id: job.rows[id] for id in ids if id in job.rows}
                missing = [id for id in ids if id not in known]
                rows = known | (self._reader.fetch(entity, missing, beside=beside) if missing else {})
            except (OutsideError, AccessError):
                continue  # written all the same: the engine reads it when it can
            for n in some:
                outcome = job.outcomes[n]
                assert isinstance(outcome, Written)
                job.outcomes[n] = replace(outcome, row=rows.get(outcome.id))

    # --- sending --------------------------------------------------------------------------------------------------

    def _send(
        self,
        job: _Job,
        records: Mapping[int, Record],
        build: Callable[[Sequence[Record]], Call],
        size: int,
        decipher: Callable[[bytes, Sequence[Record]], "Sequence[SaveResult | Meaning]"],
    ) -> "dict[int, SaveResult | Meaning | Outcome]":
        """Results by position. After a call that was not served the rest is not sent."""
        results: dict[int, SaveResult | Meaning | Outcome] = {}
        order = sorted(records, key=lambda n: records[n].table)  # at most ten changes of type in a call (§3.2)
        queue = deque(chunks(order, size))
        halvings = 0
        while queue:
            some = queue.popleft()
            sent = [records[n] for n in some]
            whole = self._call(job, build(sent))
            if isinstance(whole, bytes):
                results |= dict(zip(some, decipher(whole, sent), strict=True))
                continue
            if isinstance(whole, Refused) and len(some) > 1 and halvings < halvings_max:
                halvings += 1
                middle = len(some) // 2
                queue.extendleft((some[middle:], some[:middle]))
                continue
            results |= dict.fromkeys(some, whole)
            if isinstance(whole, Later | Unknown):
                rest = Later(message="Not sent, because the call before it was not served.")
                results |= {n: rest for left in queue for n in left}
                break
        return results

    def _call(self, job: _Job, call: Call) -> bytes | Outcome:
        """The body to decipher, or what is true of all of the call's records."""
        try:
            answer = self._client.run(call)
        except (NotSent, TryLater) as error:
            return Later(message=error.message, after_seconds=error.after_seconds)
        except LostAnswer as error:
            job.sent = True
            return Unknown(message=error.message)
        except AccessError as error:
            if not job.sent:
                raise  # nothing was carried out: say it aloud
            return Later(message=error.message)
        what = self._client.meaning(answer)
        if what.kind == "done":
            job.sent = True
            return answer.body
        if what.kind in ("access", "session") and not job.sent:
            raise self._client.error(call, what)
        if what.kind == "unknown":
            job.sent = True
        return as_outcome(what)

    def _table(self, entity: Entity) -> str:
        return self._reader.rows(entity).table


def _saved(body: bytes, records: Sequence[Record]) -> "Sequence[SaveResult | Meaning]":
    return protocol.saved(body, len(records))


def _outcome(result: "SaveResult | Meaning | Outcome") -> Outcome:
    if isinstance(result, Meaning):
        return as_outcome(result)
    assert not isinstance(result, SaveResult)
    return result


def _with_field(outcome: Outcome, name: str) -> Outcome:
    return replace(outcome, fields=(name,)) if isinstance(outcome, Refused) else outcome


def _id(outcome: Outcome) -> str:
    assert isinstance(outcome, Written)
    return outcome.id


def _role_step(opportunity: str, contact: str | None, present: Sequence[Role]) -> Record | None:
    """ "Ensure present": what is missing for this contact to be the primary one (reliability §4, side rows)."""
    if contact is None:
        primary = _primary(present)
        return Record(table=ROLES, id=primary.Id, columns={"IsPrimary": False}) if primary else None
    own = [role for role in present if role.ContactId == contact]
    if any(role.IsPrimary for role in own):
        return None
    if own:
        return Record(table=ROLES, id=own[0].Id, columns={"IsPrimary": True})
    return Record(table=ROLES, columns={"OpportunityId": opportunity, CONTACT: contact, "IsPrimary": True})


def _contact_id(columns: Native) -> str | None:
    id = protocol.wire({CONTACT: columns[CONTACT]})[CONTACT]
    return soql.id18(id) if id else None


def _not_written(others: Outcome | None) -> Outcome | None:
    """What comes of a contact if the record's other columns may not have been written. One of these that was refused is
    no matter of the contact's."""
    if isinstance(others, Unknown):
        return Later(message="Not sent, because nobody knows what came of the record's other columns.")
    return others if isinstance(others, Stale | Later) else None


def _primary(roles: Sequence[Role]) -> Role | None:
    return next((role for role in roles if role.IsPrimary), None)


def _by_tables(records: Mapping[int, Record]) -> list[dict[int, Record]]:
    """As many tables together as a call may read twice: all of them, but for what three kinds of record are due."""
    tables = sorted({record.table for record in records.values()})
    return [
        {n: record for n, record in records.items() if record.table in some}
        for some in chunks(tables, protocol.composite_reads_max // 2)
    ]
