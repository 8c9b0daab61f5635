"""Rows of a bulk job on their way into the org, each saved alone and by the rules of every save (salesforce-api §4).

A CSV row and a JSON or XML record become the same thing here, a mapping for `Records`; what refuses it is that row's
affair.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.bulk_csv import NULL, JobFailure
from crmbridge.sandbox.salesforce.errors import Problem, SfError, refuse
from crmbridge.sandbox.salesforce.records import Caller, Records
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import read

CHUNK: Final = 200  # rows that are saved together: two of them may not share an external id (§9.2)
LOCKED_MAX: Final = 100  # locked rows in one try of a batch; more put the batch back (unverified)
_LEDGER: Final = {"insert": "create", "hardDelete": "delete"}  # words of the ledger, where they differ
_XSD: Final = {"1": "true", "0": "false"}  # what a boolean may be beside true and false (unverified)

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row; without problems it was saved."""

    id: str
    created: bool
    problems: tuple[Problem, ...] = ()

    @property
    def error(self) -> str:
        """§4.2: `CODE:message:field list--`, one after the other."""
        return "".join(f"{each.code}:{each.message}:{_named(each)}--" for each in self.problems)


def _named(problem: Problem) -> str:
    return f"{','.join(problem.fields)} " if problem.fields else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a job asks to be done with each row."""

    operation: str  # insert, update, upsert, delete, hardDelete
    sobject: SObject
    external: Field | None  # of an upsert
    caller: Caller

    @property
    def ledger(self) -> tuple[str, str]:
        return self.sobject.name, _LEDGER.get(self.operation, self.operation)


@dataclass(kw_only=True)
class Progress:
    """How far the rows of one upload have come; None where a row waits for a lock."""

    outcomes: list[Outcome | None] = field(default_factory=list)
    waiting: list[tuple[int, Item]] = field(default_factory=list)
    tries: int = 0

    @property
    def processed(self) -> int:
        return len(self.outcomes) - len(self.waiting)

    @property
    def failed(self) -> int:
        return sum(1 for each in self.outcomes if each and each.problems)


class Columns:
    """What the header's names mean (§4.2), or the one reason why no row can be read."""

    def __init__(self, names: Sequence[str], order: Order, store: Store) -> None:
        self._makers: list[Callable[[Item, str], None] | None] = []
        seen: set[str] = set()
        for name in names:
            if not name or name.lower() in seen:  # (unverified)
                raise JobFailure("InvalidBatch", f"Duplicate field name found : {name}" if name else "Empty field name")
            seen.add(name.lower())
            if order.operation in ("delete", "hardDelete") and name.lower() != "id":  # (unverified)
                raise JobFailure("InvalidBatch", f"Invalid field for a {order.operation} : {name}; only Id is allowed")
            self._makers.append(self._maker(name, order.sobject, store))
        needed = order.external.name if order.external else "Id"
        if order.operation != "insert" and needed.lower() not in seen:
            raise _unknown(needed)

    def item(self, cells: Sequence[str]) -> Item:
        """An empty cell is ignored, #N/A clears the field (§4.2)."""
        item: Item = {}
        for maker, cell in zip(self._makers, cells, strict=True):
            if cell and maker is not None:
                maker(item, cell)
        return item

    def _maker(self, name: str, sobject: SObject, store: Store) -> Callable[[Item, str], None]:
        head, dot, key = name.partition(".")
        if not dot:
            found = sobject.field(name)
            if found is None or found.type == "address":
                raise _unknown(name)
            return _boolean(found.name) if found.type == "boolean" else _plain(found.name)
        kind, _, relation = head.rpartition(":")
        reference = sobject.relations.get(relation.lower())
        targets = [store.shape.object(each) for each in reference.reference_to] if reference else []
        wanted = [each for each in targets if each and (not kind or each.name.lower() == kind.lower())]
        target = next((each for each in wanted if each.field(key)), None)
        if reference is None or target is None:
            raise _unknown(name)
        column = target.field(key)
        if column is None or not (column.external_id or column.id_lookup):
            raise _unknown(name)
        # §4.2: `Lead:Who.Email` says which kind of parent is meant
        said = {"attributes": {"type": target.name}} if kind else {}
        return _nested(reference.relationship_name or relation, column.name, said)


def _unknown(name: str) -> JobFailure:
    return JobFailure("InvalidBatch", f"Field name not found : {name}")


def _plain(name: str) -> Callable[[Item, str], None]:
    def put(item: Item, cell: str) -> None:
        item[name] = None if cell == NULL else cell

    return put


def _boolean(name: str) -> Callable[[Item, str], None]:
    def put(item: Item, cell: str) -> None:
        item[name] = None if cell == NULL else _XSD.get(cell, cell)

    return put


def _nested(relation: str, key: str, said: Mapping[str, Any]) -> Callable[[Item, str], None]:
    def put(item: Item, cell: str) -> None:
        item[relation] = None if cell == NULL else {**said, key: cell}

    return put


class Loader:
    """Saves the rows of one order."""

    def __init__(self, order: Order, store: Store, records: Records, names: Sequence[str] = ()) -> None:
        self._order = order
        self._store = store
        self._records = records
        self._places = {name.lower(): at for at, name in enumerate(names)}  # columns of a CSV header
        self._save = {
            "insert": self._insert,
            "update": self._update,
            "upsert": self._upsert,
            "delete": self._delete,
            "hardDelete": self._hard_delete,
        }[order.operation]

    def load(self, progress: Progress, items: Sequence[Item | SfError]) -> bool:
        """Save a batch; False when so many rows were locked that it has to be tried again."""
        first = len(progress.outcomes)
        progress.outcomes += [None] * len(items)
        good = [(first + at, item) for at, item in enumerate(items) if not isinstance(item, SfError)]
        for at, item in enumerate(items):
            if isinstance(item, SfError):
                progress.outcomes[first + at] = Outcome("", False, item.problems)
        return self._try(progress, good)

    def again(self, progress: Progress) -> bool:
        """The rows that were locked the last time."""
        waiting, progress.waiting = progress.waiting, []
        return self._try(progress, waiting)

    def _try(self, progress: Progress, items: list[tuple[int, Item]]) -> bool:
        locked: list[tuple[int, Item, Outcome]] = []
        for start in range(0, len(items), CHUNK):
            chunk = items[start : start + CHUNK]
            twice = self._twice([item for _, item in chunk])
            for at, item in chunk:
                outcome = self._one(item, twice)
                if outcome.problems and outcome.problems[0].code == "UNABLE_TO_LOCK_ROW":
                    locked.append((at, item, outcome))
                progress.outcomes[at] = outcome
        if len(locked) <= LOCKED_MAX:
            return True  # few locked rows fail, each with its own words
        progress.tries += 1
        for at, item, _ in locked:
            progress.outcomes[at] = None
            progress.waiting.append((at, item))
        return False

    def _twice(self, items: Sequence[Item]) -> frozenset[str]:
        if self._order.external is None:
            return frozenset()
        counts = Counter(str(_get(item, self._order.external.name)) for item in items)
        return frozenset(value for value, count in counts.items() if count > 1)

    def _one(self, item: Item, twice: frozenset[str]) -> Outcome:
        external = self._order.external
        given = item if self._order.operation == "insert" else dict(item)
        key = "" if self._order.operation == "insert" else str(_pop(given, "Id") or "")
        try:
            if external is not None and external.name != "Id" and key:
                given["Id"] = key  # an upsert by another field writes no id; Records says so
            if twice and external is not None:
                value = str(key if external.name == "Id" else _get(item, external.name))
                if value in twice and value not in ("None", ""):
                    message = f"Duplicate external id specified: {value}"
                    raise refuse("DUPLICATE_EXTERNAL_ID", message, [external.name])  # §9.2
            return self._save(given, key)
        except SfError as error:
            return Outcome(key, False, self._readable(error, item))

    # -- operations (§4.1) ---------------------------------------------------------------------------------------

    def _insert(self, item: Item, key: str) -> Outcome:
        return Outcome(self._records.create(self._order.sobject, item, self._order.caller), True)

    def _update(self, item: Item, key: str) -> Outcome:
        row = self._row(key, "update")
        return Outcome(self._records.update(self._order.sobject, row, item, self._order.caller), False)

    def _upsert(self, item: Item, key: str) -> Outcome:
        order, external = self._order, self._order.external
        assert external is not None, "an upsert without a field to match by is refused when the job is made"
        if external.name == "Id":
            return self._update(item, key) if key else self._insert(item, "")
        value = _get(item, external.name)
        if value is None:  # (unverified)
            raise refuse("MISSING_ARGUMENT", f"{external.name} not specified", [])
        rows = self._records.by_external_id(order.sobject, external, value)
        if len(rows) > 1:  # §3.1: 300 where one record is saved
            message = f"More than one record found for external id field: [{', '.join(row['Id'] for row in rows)}]"
            raise refuse("DUPLICATE_EXTERNAL_ID", message, [external.name])
        if not rows:
            return self._insert(item, "")
        _pop(item, external.name)
        return Outcome(self._records.update(order.sobject, rows[0], item, order.caller), False)

    def _delete(self, item: Item, key: str) -> Outcome:
        row = self._row(key, "delete")
        self._records.delete(self._order.sobject, row, self._order.caller)
        return Outcome(row["Id"], False)

    def _hard_delete(self, item: Item, key: str) -> Outcome:
        """Past the recycle bin: queryAll does not show the row either (§4.1, §8.3)."""
        row = self._row(key, "delete")
        with self._store.tables.transaction():
            self._records.delete(self._order.sobject, row, self._order.caller)
            self._records.empty_bin(row["Id"])
        return Outcome(row["Id"], False)

    def _row(self, key: str, verb: str) -> Row:
        if not key:
            raise refuse("MISSING_ARGUMENT", f"Id not specified in an {verb} call", [])  # §3.2; (unverified)
        return self._records.named(self._order.sobject, key)

    def _readable(self, error: SfError, item: Mapping[str, Any]) -> tuple[Problem, ...]:
        """A cell that is no value of its field's type, in the words of the CSV reader (unverified)."""
        if error.problems[0].code != "JSON_PARSER_ERROR":
            return error.problems
        for at, (name, value) in enumerate(item.items()):
            found = self._order.sobject.field(name)
            if found is not None and not _reads(found, value):
                shown = NULL if value is None else value
                message = (
                    f"Failed to deserialize field at col {self._places.get(name.lower(), at)}. "
                    f"Due to, '{shown}' is not a valid value for the type {found.soap_type}"
                )
                return (Problem(code="INVALID_FIELD", message=message, fields=(found.name,)),)  # §4.4 (unverified)
        return tuple(
            Problem(code="INVALID_FIELD", message=each.message, fields=each.fields)  # §4.4 (unverified)
            for each in error.problems
        )


def _get(item: Mapping[str, Any], name: str) -> Any:
    found = item.get(name)
    if found is None:
        found = next((value for key, value in item.items() if key.lower() == name.lower()), None)
    return found


def _pop(item: Item, name: str) -> Any:
    if name in item:
        return item.pop(name)
    found = next((key for key in item if key.lower() == name.lower()), None)
    return item.pop(found) if found else None


def _reads(field: Field, value: Any) -> bool:
    try:
        read(field, value)
    except SfError as error:
        return error.problems[0].code != "JSON_PARSER_ERROR"
    return True
