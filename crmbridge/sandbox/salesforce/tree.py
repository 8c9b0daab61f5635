"""sObject Tree: records with their children, all or none (salesforce-api §3.4)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow, since
from crmbridge.sandbox.salesforce.errors import Problem, SfError, Undo, refuse
from crmbridge.sandbox.salesforce.recent import Recent
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.store import Store

SINCE: Final = 34  # (unverified)
RECORDS_MAX: Final = 200
LEVELS_MAX: Final = 5
_AS_QUERIED: Final = ("totalSize", "done")  # exported trees are sent back as they came


@dataclass(frozen=True, kw_only=True)
class Node:
    """One record of the request."""

    name: str  # its referenceId
    sobject: SObject
    values: Mapping[str, Any]  # without attributes and children
    parent: str | None = None  # the parent's referenceId
    reference: Field | None = None  # the lookup that names the parent


class Tree:
    def __init__(self, store: Store, records: Records, recent: Recent) -> None:
        self._store = store
        self._records = records
        self._recent = recent

    def answer(self, ask: Ask, sobject: SObject) -> Answer:
        """A level is saved before the next; the refusals of one level are told together, the rest is not tried."""
        since(ask, SINCE)
        allow(ask, "POST")
        ask.log.note("composite_tree", sobject.name)
        try:
            nodes = self._nodes(sobject, ask.envelope("records", *_AS_QUERIED).get("records"))
        except _Misshapen as error:
            return _refused([({} if error.name is None else {"referenceId": error.name}, [error.problem])])
        ask.log.operations += [(node.sobject.name, "create") for level in nodes for node in level]
        made: dict[str, str] = {}
        refused: list[tuple[dict[str, Any], Sequence[Problem]]] = []
        try:
            with self._store.tables.transaction():
                for level in nodes:
                    for node in level:
                        try:
                            made[node.name] = self._create(ask, node, made)
                        except SfError as error:
                            refused.append(({"referenceId": node.name}, error.problems))
                    if refused:
                        raise Undo
        except Undo:
            return _refused(refused)
        results = [{"referenceId": name, "id": key} for name, key in made.items()]
        return Answer(status=201, body={"hasErrors": False, "results": results})

    def _create(self, ask: Ask, node: Node, made: Mapping[str, str]) -> str:
        values = dict(node.values)
        if node.reference is not None and node.parent is not None:
            values[node.reference.name] = made[node.parent]
        with self._store.tables.transaction():
            key = self._records.create(node.sobject, values, ask.caller)
        self._recent.touch(ask, node.sobject, key)
        return key

    # -- reading the request -------------------------------------------------------------------------------------

    def _nodes(self, root: SObject, records: Any) -> list[list[Node]]:
        """The records level by level; each is checked for what makes a tree of them (wording (unverified))."""
        levels: list[list[Node]] = []
        todo: list[tuple[Any, SObject, str | None, Field | None]]
        todo = [(item, root, None, None) for item in _list(records)]
        seen: set[str] = set()
        while todo:
            if len(levels) == LEVELS_MAX:
                raise _misshapen(None, f"A tree has up to {LEVELS_MAX} levels.")
            below: list[tuple[Any, SObject, str | None, Field | None]] = []
            level: list[Node] = []
            for item, sobject, parent, reference in todo:
                name = _name(item, sobject)
                if name in seen:
                    raise _misshapen(name, "Duplicate ReferenceId provided in the request.")
                seen.add(name)
                children = list(self._children(item, sobject))
                keys = {"attributes", *(key for key, _, _ in children)}
                values = {key: value for key, value in item.items() if key not in keys}
                level.append(Node(name=name, sobject=sobject, values=values, parent=parent, reference=reference))
                for key, child, lookup in children:
                    below += [(each, child, name, lookup) for each in _list(item[key].get("records"))]
            levels.append(level)
            if len(seen) > RECORDS_MAX:
                raise _misshapen(None, f"A tree holds up to {RECORDS_MAX} records.")
            todo = below
        if not levels:
            raise _misshapen(None, "A tree holds at least one record.")
        return levels

    def _children(self, item: Mapping[str, Any], sobject: SObject) -> Iterator[tuple[str, SObject, Field]]:
        """Keys of the record that hold children: the name of a child relationship over `{"records": [...]}`."""
        pairs = {
            (reference.child_relationship_name or "").lower(): (child, reference)
            for child, reference in self._store.shape.children.get(sobject.name, ())
        }
        for key, value in item.items():
            if isinstance(value, dict) and "records" in value and sobject.field(key) is None:
                if key.lower() not in pairs:
                    message = f"No such column '{key}' on sobject of type {sobject.name}"
                    raise _Misshapen(_name(item, sobject), Problem(code="INVALID_FIELD", message=message))
                child, reference = pairs[key.lower()]
                yield key, child, reference


class _Misshapen(Exception):
    """The records are no tree; nothing is tried."""

    def __init__(self, name: str | None, problem: Problem) -> None:
        super().__init__(problem.message)
        self.name = name
        self.problem = problem


def _misshapen(name: str | None, message: str) -> _Misshapen:
    return _Misshapen(name, Problem(code="INVALID_INPUT", message=message))  # §3.4; the code (unverified)


def _list(records: Any) -> list[dict[str, Any]]:
    if not isinstance(records, list) or not all(isinstance(item, dict) for item in records):
        raise refuse("JSON_PARSER_ERROR", "records must be a list of objects at [line:1, column:1]")  # §9.2
    return records


def _name(item: Mapping[str, Any], sobject: SObject) -> str:
    """The record's referenceId; its type is the one of its place (§3.4; the codes are (unverified))."""
    attributes = item.get("attributes")
    given: dict[str, Any] = attributes if isinstance(attributes, dict) else {}
    name = given.get("referenceId")
    if not isinstance(name, str) or not name:
        raise _misshapen(None, "Include a reference ID with each record in the request.")
    kind = given.get("type")
    if not isinstance(kind, str) or kind.lower() != sobject.name.lower():
        raise _misshapen(name, f"The record's type is {kind}, where {sobject.name} is expected.")
    return name


def _refused(results: Sequence[tuple[dict[str, Any], Sequence[Problem]]]) -> Answer:
    """Only the records that failed are told, with their errors."""
    listed = [{**who, "errors": [problem.listed() for problem in problems]} for who, problems in results]
    return Answer(status=400, body={"hasErrors": True, "results": listed})
