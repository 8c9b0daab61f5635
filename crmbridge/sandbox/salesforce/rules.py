"""What administrators add: validation rules, duplicate rules, assignment rules; all of it is data of the shape."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.errors import Problem, SfError
from crmbridge.sandbox.salesforce.filters import Test
from crmbridge.sandbox.salesforce.query import Engine
from crmbridge.sandbox.salesforce.schema import DuplicateRule, SObject
from crmbridge.sandbox.salesforce.soql import parse_condition
from crmbridge.sandbox.salesforce.store import Store, fold


class Rulebook:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._tests: dict[tuple[str, str, str], Test] = {}

    def validate(self, sobject: SObject, row: Row, before: Row | None, now: datetime) -> None:
        """Every validation rule that refuses the row as it would be saved, with its own text (salesforce-api §9.2)."""
        problems: list[Problem] = []
        for rule in self._store.shape.rules.validation:
            if not rule.active or rule.object != sobject.name or (rule.was and before is None):
                continue
            if rule.was and before is not None and not self._test(sobject, rule.was, now)(before):
                continue
            if self._test(sobject, rule.refuse_when, now)(row):
                fields = (rule.field,) if rule.field else ()
                problems.append(Problem(code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message=rule.message, fields=fields))
        if problems:
            raise SfError(problems)

    def duplicates(
        self,
        sobject: SObject,
        row: Row,
        changed: Iterable[str],
        now: datetime,
        *,
        allow: bool,
        version: str,
        apart: str = "",
    ) -> None:
        """§9.1: a rule that alerts can be passed by header, one that blocks cannot; `apart` is a row not to find."""
        changes = set(changed)
        for rule in self._store.shape.rules.duplicates:
            if not rule.active or rule.object != sobject.name or not changes & rule.match.keys():
                continue
            if allow and rule.action == "alert":
                continue
            matches = [found for found in self._matches(rule, row, now) if found["Id"] not in (row["Id"], apart)]
            if matches:
                raise SfError([_detected(rule, matches, version)])

    def assigned_owner(self, sobject: SObject) -> str | None:
        """The owner that the active assignment rule gives (§3.5)."""
        rule = self._store.shape.rules.assignment.get(sobject.name)
        if rule is None:
            return None
        wanted = rule.owner.casefold()
        for target, names in (("User", ("Username", "Email")), ("Group", ("DeveloperName", "Name"))):
            for row in self._store.rows(self._store.shape.objects[target]).values():
                if row["Id"] == rule.owner or any(fold(row.get(name)) == wanted for name in names):
                    return row["Id"]
        return None

    def _test(self, sobject: SObject, text: str, now: datetime) -> Test:
        key = (sobject.name, text, now.date().isoformat())  # date literals mean another span tomorrow
        if key not in self._tests:
            self._tests[key] = Engine(self._store, now).test(sobject, parse_condition(text), text)
        return self._tests[key]

    def _matches(self, rule: DuplicateRule, row: Row, now: datetime) -> list[Row]:
        other = self._store.shape.objects[rule.against]
        wanted = {theirs: fold(row.get(ours)) for ours, theirs in rule.match.items()}
        if any(value is None for value in wanted.values()):
            return []
        test = self._test(other, rule.where, now) if rule.where else None
        indexed = next((name for name in wanted if other.fields[name].indexed), None)
        rows = self._store.rows(other)
        pool = [rows[key] for key in self._store.find(other, indexed, wanted[indexed])] if indexed else rows.values()
        return [
            found
            for found in pool
            if not found.get("IsDeleted")
            and all(fold(found.get(name)) == value for name, value in wanted.items())
            and (test is None or test(found))
        ]


def _detected(rule: DuplicateRule, matches: list[Row], version: str) -> Problem:
    """§9.1, with the misspelt key of real answers."""
    records: list[Mapping[str, Any]] = [
        {
            "additionalInformation": [],
            "fieldDiffs": [],
            "matchConfidence": 100.0,
            "record": {
                "attributes": {
                    "type": rule.against,
                    "url": f"/services/data/v{version}/sobjects/{rule.against}/{row['Id']}",
                },
                "Id": row["Id"],
            },
        }
        for row in matches
    ]
    result = {"entityType": rule.against, "errors": [], "matchEngine": "ExactMatchEngine", "matchRecords": records}
    detail = {
        "allowSave": rule.action == "alert",
        "duplicateRule": rule.name,
        "duplicateRuleEntityType": rule.object,
        "errorMessage": rule.message,
        "matchResults": [{**result, "rule": rule.name, "size": len(matches), "success": True}],
    }
    return Problem(code="DUPLICATES_DETECTED", message=rule.message, extra={"duplicateResut": detail})
