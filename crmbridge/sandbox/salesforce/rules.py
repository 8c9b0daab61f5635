"""What administrators add: validation rules, duplicate rules, assignment rules; all of it is data of the shape."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import matching
from crmbridge.sandbox.salesforce.derived import Derived, Plan
from crmbridge.sandbox.salesforce.errors import Problem, SfError, refuse
from crmbridge.sandbox.salesforce.filters import Test
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.query import Engine
from crmbridge.sandbox.salesforce.schema import DuplicateRule, MatchItem, SObject
from crmbridge.sandbox.salesforce.soql import parse_condition
from crmbridge.sandbox.salesforce.store import Store, fold


class Rulebook:
    def __init__(self, store: Store, plan: Plan, derived: Derived) -> None:
        self._store = store
        self._plan = plan
        self._derived = derived
        self._tests: dict[tuple[str, str, str], Test] = {}
        matchings = {rule.name: rule.items for rule in store.whole.rules.matching}
        self._duplicates: dict[str, list[tuple[DuplicateRule, tuple[MatchItem, ...]]]] = {}
        for rule in store.whole.rules.duplicates:
            own = tuple(MatchItem(field=ours, against=theirs) for ours, theirs in rule.match.items())
            items = matchings[rule.matching] if rule.matching else own
            if rule.active:
                self._duplicates.setdefault(rule.object, []).append((rule, items))

    def __getstate__(self) -> dict[str, Any]:
        """A copy of the org (a snapshot) asks its own rows: compiled conditions know the store they were made for."""
        return {**self.__dict__, "_tests": {}}

    def validate(self, sobject: SObject, row: Row, before: Row | None, now: datetime, user: str) -> None:
        """Every validation rule that refuses the row as it would be saved, with its own text (salesforce-api §9.2)."""
        rules = self._plan.validation.get(sobject.name)
        if not rules:
            return
        problems: list[Problem] = []
        with self._store.platform():
            at = self._derived.moment(row, before, user)
            for rule, formula in rules:
                if not rule.active or (rule.was and before is None):
                    continue
                if rule.was and before is not None and not self._test(sobject, rule.was, now)(before):
                    continue
                text = rule.refuse_when
                refused = formula.evaluate(at) if formula else self._test(sobject, text or "", now)(row)
                if refused:
                    fields = (rule.field,) if rule.field else ()
                    problem = Problem(code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message=rule.message, fields=fields)
                    problems.append(problem)
        if problems:
            raise SfError(problems)

    def duplicates(
        self,
        sobject: SObject,
        row: Row,
        changed: Iterable[str],
        now: datetime,
        *,
        creating: bool,
        allow: bool,
        version: str,
        apart: str = "",
        details: bool = False,
    ) -> None:
        """§9.1: a rule that alerts can be passed by header, one that blocks cannot; `apart` is a row not to find."""
        rules = self._duplicates.get(sobject.name)
        if not rules:
            return
        changes = set(changed)
        with self._store.platform():
            for rule, items in rules:
                action = rule.action_for(creating=creating)
                if not changes & {item.field for item in items} or action == "allow":
                    continue
                if allow and action == "alert":
                    continue
                found = self._matches(rule, items, row, now)
                matches = [each for each in found if each["Id"] not in (row["Id"], apart)]
                if matches:
                    raise SfError([_detected(rule, items, matches, version, alert=action == "alert", details=details)])

    def assigned_owner(self, sobject: SObject, row: Row, asked: str = "") -> str | None:
        """The owner that the assignment rule gives (§3.5): the active one, or that which the header asks for."""
        rule = self._store.whole.rules.assignment.get(sobject.name)
        if asked:
            found = self._store.tables.get("AssignmentRule", canonical(asked) or "")
            if found is None or found.get("SobjectType") not in self._store.whole.rules.assignment:
                # §3.5; the code of a rule that is not there is (unverified)
                raise refuse("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {asked}", [])
        if rule is None or not (rule.active or asked):
            return None
        at = self._derived.moment(row, None)
        for when, owner in self._plan.assignment[sobject.name]:
            if when is None or when.evaluate(at):
                return self._owner(owner)
        return None

    def _owner(self, given: str) -> str | None:
        wanted = given.casefold()
        for target, names in (("User", ("Username", "Email")), ("Group", ("DeveloperName", "Name"))):
            for row in self._store.rows(self._store.whole.objects[target]).values():
                if row["Id"] == given or any(fold(row.get(name)) == wanted for name in names):
                    return row["Id"]
        return None

    def _test(self, sobject: SObject, text: str, now: datetime) -> Test:
        key = (sobject.name, text, now.date().isoformat())  # date literals mean another span tomorrow
        if key not in self._tests:
            self._tests[key] = Engine(self._store, now).test(sobject, parse_condition(text), text)
        return self._tests[key]

    def _matches(self, rule: DuplicateRule, items: tuple[MatchItem, ...], row: Row, now: datetime) -> list[Row]:
        other = self._store.whole.objects[rule.against]
        wanted = [(item, item.against or item.field, matching.key(item.method, row.get(item.field))) for item in items]
        if any(value is None and not item.blank for item, _, value in wanted):
            return []
        test = self._test(other, rule.where, now) if rule.where else None
        exact = (pair for pair in wanted if pair[0].method == "exact" and pair[2] is not None)
        indexed = next(((name, value) for _, name, value in exact if other.fields[name].indexed), None)
        rows = self._store.rows(other)
        pool = [rows[key] for key in self._store.find(other, *indexed)] if indexed else rows.values()
        return [
            found
            for found in pool
            if not found.get("IsDeleted")
            and all(matching.key(item.method, found.get(name)) == value for item, name, value in wanted)
            and (test is None or test(found))
        ]


def _detected(
    rule: DuplicateRule,
    items: tuple[MatchItem, ...],
    matches: list[Row],
    version: str,
    *,
    alert: bool,
    details: bool,
) -> Problem:
    """§9.1, with the misspelt key of real answers; `details` is the header's includeRecordDetails (§3.5)."""
    shown = ["Name", *(item.against or item.field for item in items)]
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
            }
            | ({name: row.get(name) for name in dict.fromkeys(shown)} if details else {}),
        }
        for row in matches
    ]
    exact = all(item.method == "exact" for item in items)
    engine = "ExactMatchEngine" if exact else "FuzzyMatchEngine"
    result = {"entityType": rule.against, "errors": [], "matchEngine": engine, "matchRecords": records}
    detail = {
        "allowSave": alert,
        "duplicateRule": rule.name,
        "duplicateRuleEntityType": rule.object,
        "errorMessage": rule.message,
        "matchResults": [{**result, "rule": rule.matching or rule.name, "size": len(matches), "success": True}],
    }
    return Problem(code="DUPLICATES_DETECTED", message=rule.message, extra={"duplicateResut": detail})
