"""The REST API below /services/data/vNN.0: rows, queries, describe, windows, limits (salesforce-api §2, §3, §5, §8).

A top-level request and a composite's subrequest are the same `Ask`; many records or requests in one call live in
`batches.py`, `composite.py`, `graph.py`, `batch.py` and `tree.py`.
"""

from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import describe, interface, layouts
from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow, flag, since
from crmbridge.sandbox.salesforce.conditions import (
    metadata_unread,
    metadata_validators,
    tag_of,
    unchanged,
    unread,
    validators,
)
from crmbridge.sandbox.salesforce.errors import SfError, no_external_id, not_found, not_served, refuse
from crmbridge.sandbox.salesforce.ids import Sequence as IdSequence
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.limits import Limits
from crmbridge.sandbox.salesforce.queries import Queries
from crmbridge.sandbox.salesforce.recent import ITEMS_MAX, Recent
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.searching import Searching
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import address
from crmbridge.sandbox.salesforce.windows import window

UPSERT_BODY_SINCE: Final = 46  # §3.1: before, an update answers 204, and nobody says `created`
INSERT_BY_ID_SINCE: Final = 37
UPDATE_ONLY_SINCE: Final = 53  # (unverified)
RELATIONSHIPS_SINCE: Final = 36
PARENTS_MAX: Final = 5
_ID_LENGTHS: Final = (15, 18)
# The resources that are served, and since which version they are named (§3.3, §4.1).
_RESOURCES: Final = {
    "sobjects": 20,
    "query": 20,
    "queryAll": 20,
    "limits": 20,
    "composite": 38,
    "recent": 20,
    "search": 20,
    "parameterizedSearch": 36,
    "tabs": 31,
    "theme": 29,
    "quickActions": 28,
    "process": 30,
    "actions": 32,
    "jobs": 41,
}
# What a real org has below the version and this sandbox has not.
_NOT_HERE: Final = frozenset(
    "actions analytics appMenu async-queries chatter commerce connect consent dedupe domino emailConnect eventSchemas "
    "folders graphql identity iot jobs knowledgeManagement licensing localizedvalue payments "
    "process quickActions search sfdc_edge support tooling ui-api wave".split()
)
# What a real org has below an object, and below a row of it.
_BELOW_OBJECTS: Final = {"compactLayouts": 29, "approvalLayouts": 30, "quickActions": 28, "listviews": 32}  # since
_NOT_BELOW_OBJECTS: Final = frozenset("describe listviews quickActions defaultValues".split())
_NOT_BELOW_ROWS: Final = frozenset("Body VersionData Document richTextImageFields password".split())


class Rest:
    def __init__(
        self, store: Store, records: Records, sequence: IdSequence, now: Callable[[], datetime], limits: Limits
    ) -> None:
        self.store = store
        self.records = records
        self.now = now
        self.limits = limits
        self.recent = Recent(store)
        self._born = now()
        self.queries = Queries(store, sequence, now, self.recent)
        self._searching = Searching(store, now)

    def answer(self, ask: Ask) -> Answer:
        """Everything but collections and composite."""
        match ask.parts:
            case ():
                return self._resources(ask)
            case ("query" | "queryAll",):
                return self.queries.first(ask, deleted=ask.parts[0] == "queryAll")
            case ("query" | "queryAll", locator):
                return self.queries.more(ask, locator)
            case ("search",):
                return self._searching.search(ask)
            case ("parameterizedSearch",):
                return self._searching.parameterized(ask)
            case ("tabs",):
                since(ask, _RESOURCES["tabs"])
                return self._metadata(ask, "", lambda: interface.tabs(self.store.shape))
            case ("theme",):
                since(ask, _RESOURCES["theme"])
                return self._metadata(ask, "", lambda: interface.theme(self.store.shape))
            case ("quickActions",):
                since(ask, _RESOURCES["quickActions"])
                return self._metadata(ask, "", list)
            case ("process", "rules" | "approvals" as which) if ask.method != "POST":
                since(ask, _RESOURCES["process"])
                return self._metadata(ask, "", lambda: interface.processes(which))
            case ("actions", *path) if path[:1] != ["standard"]:
                since(ask, _RESOURCES["actions"])
                return self._metadata(ask, "", lambda: interface.actions(ask.version, tuple(path)))
            case ("search", "scopeOrder"):
                return self._metadata(ask, "", lambda: interface.scope_order(self.store.shape, ask.version))
            case ("search", "layout"):
                return self._metadata(ask, "", lambda: interface.search_layouts(self.store.shape, ask.options))
            case ("limits",):
                return self._limits(ask)
            case ("limits", "recordCount"):
                return self._counts(ask)
            case ("recent",):
                return self._recent(ask)
            case ("sobjects",):
                return self._metadata(ask, "", lambda: describe.everything(self.store.shape, ask.version))
            case ("sobjects", name, *rest):
                return self._sobject(ask, self.sobject(name), rest)
            case (("actions"), "standard", "convertLead"):  # §6.1: there is no such thing, whatever others' mocks say
                raise not_found()
            case (first, *_) if first in _NOT_HERE:
                raise not_served(f"/{'/'.join(ask.parts[:2])}")
            case _:
                raise not_found()

    def sobject(self, name: str) -> SObject:
        found = self.store.shape.object(name)
        if found is None:
            raise not_found()  # §9.2: INVALID_TYPE on object URLs is 404
        return found

    # -- rows ----------------------------------------------------------------------------------------------------

    def _sobject(self, ask: Ask, sobject: SObject, rest: Sequence[str]) -> Answer:
        if sobject.document.setup:
            ask.log.category = "metadata"
        match rest:
            case []:
                allow(ask, "GET", "POST")
                return self._create(ask, sobject) if ask.method == "POST" else self._about(ask, sobject)
            case ["describe"]:
                return self._metadata(ask, sobject.name, lambda: describe.description(self.store, sobject, ask.version))
            case ["describe", "layouts", *which] if len(which) < 2:
                return self._metadata(
                    ask, sobject.name, lambda: layouts.layouts(self.store, sobject, which[0] if which else "")
                )
            case ["describe", "compactLayouts"]:
                since(ask, _BELOW_OBJECTS["compactLayouts"])
                return self._metadata(ask, sobject.name, lambda: interface.compact_layouts(sobject, ask.version))
            case ["describe", "approvalLayouts"]:
                since(ask, _BELOW_OBJECTS["approvalLayouts"])
                return self._metadata(ask, sobject.name, lambda: {"approvalLayouts": list[Any]()})
            case ["quickActions"]:
                since(ask, _BELOW_OBJECTS["quickActions"])
                return self._metadata(ask, sobject.name, list)
            case ["listviews"]:
                since(ask, _BELOW_OBJECTS["listviews"])
                return self._metadata(ask, sobject.name, lambda: interface.list_views(sobject))
            case ["updated" | "deleted"]:
                return window(ask, sobject, self.records, self.now(), deleted=rest[0] == "deleted")
            case [name, *_] if name in _NOT_BELOW_OBJECTS:
                raise not_served(f"/sobjects/{sobject.name}/{'/'.join(rest)}")
            case ["Id" | "id"]:
                allow(ask, "POST")  # §3.1: insert through the upsert resource
                since(ask, INSERT_BY_ID_SINCE)
                return self._create(ask, sobject)
            case [key]:
                allow(ask, "GET", "PATCH", "DELETE")
                return self._row(ask, sobject, key)
            case [name, *value]:
                if canonical(name) and sobject.field(name) is None:
                    return self._along(ask, sobject, name, value)
                allow(ask, "GET", "PATCH", "DELETE")
                return self._by_external_id(ask, sobject, name, "/".join(value))
            case _:
                raise not_found()

    def _about(self, ask: Ask, sobject: SObject) -> Answer:
        ask.log.note("describe", sobject.name)
        ask.log.category = "metadata"
        recent = self.recent.items(ask.user, ask.version, only=sobject)
        return Answer(body={"objectDescribe": describe.summary(sobject, ask.version), "recentItems": recent})

    def _recent(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("recent")
        text = ask.options.get("limit", str(ITEMS_MAX))
        if not text.isdecimal():  # §9.2; the code (unverified)
            raise refuse("INVALID_INPUT", f"limit: {text} is no number")
        return Answer(body=self.recent.items(ask.user, ask.version, min(int(text[:9]), ITEMS_MAX)))

    def _create(self, ask: Ask, sobject: SObject) -> Answer:
        ask.log.note("create", sobject.name)
        key = self.records.create(sobject, ask.document(), ask.caller)
        self.recent.touch(ask, sobject, key)
        body = {"id": key, "success": True, "errors": []}
        return Answer(status=201, body=body, headers=_location(ask, sobject, key))

    def _row(self, ask: Ask, sobject: SObject, key: str) -> Answer:
        if len(key) not in _ID_LENGTHS:  # what cannot be an id is taken for the name of an external id
            raise no_external_id(key)
        if ask.method in ("GET", "HEAD"):
            ask.log.note("retrieve", sobject.name)
            return self._show(ask, sobject, self._readable(sobject, key))
        if ask.method == "DELETE":
            ask.log.note("delete", sobject.name)
            self.records.delete(sobject, self.records.fetch(sobject, key), ask.caller)
            return Answer(status=204, empty=True)
        ask.log.note("update", sobject.name)
        given = ask.document()
        row = self.records.fetch(sobject, key)
        unchanged(ask, sobject, row)
        self.records.update(sobject, row, given, ask.caller)
        self.recent.touch(ask, sobject, row["Id"])
        return Answer(status=204, empty=True)

    def _readable(self, sobject: SObject, key: str) -> Row:
        """A recorded org answers NOT_FOUND to a read of a deleted row, where a write hears ENTITY_IS_DELETED (§3.1)."""
        try:
            return self.records.fetch(sobject, key)
        except SfError as error:
            raise not_found() if error.problems[0].code == "ENTITY_IS_DELETED" else error from None

    def _along(self, ask: Ask, sobject: SObject, key: str, names: Sequence[str]) -> Answer:
        """What relationships lead to, by their names: parents up to five levels, or one level of children.

        https://developer.salesforce.com/docs/platform/api-rest/guide/dome-relationship-traversal.html
        """
        field = sobject.field(names[0])
        if (
            field is not None and field.type == "base64"
        ):  # what is no JSON has no place in a composite; code (unverified)
            raise refuse("INVALID_INPUT", f"{field.name} is binary data, which only a request of its own can get.")
        if names[0] in _NOT_BELOW_ROWS:
            raise not_served(f"/sobjects/{sobject.name}/{{id}}/{names[0]}")
        since(ask, RELATIONSHIPS_SINCE)
        if len(names) > PARENTS_MAX:  # the code (unverified)
            raise not_found()
        ask.log.note("retrieve", sobject.name)
        row = self._readable(sobject, key)
        for place, name in enumerate(names, start=1):
            reference = sobject.relations.get(name.lower())
            if reference is None:
                if place < len(names) or place > 1:
                    raise not_found()
                return self._children(ask, sobject, row, name)
            above: str = row.get(reference.name) or ""
            parent = self.store.shape.by_prefix.get(above[:3])
            if parent is None:
                raise not_found()
            sobject, row = parent, self._readable(parent, above)
        allow(ask, "GET", "PATCH", "DELETE")
        return self._row(ask, sobject, row["Id"])

    def blob(self, ask: Ask, name: str, key: str, field: str) -> Answer | None:
        """The content of a blob as it is, where this path names one.

        https://developer.salesforce.com/docs/platform/api-rest/guide/resources-sobject-blob-retrieve (its media type
        is (unverified))
        """
        sobject = self.store.shape.object(name)
        found = sobject.field(field) if sobject and canonical(key) else None
        if sobject is None or found is None or found.type != "base64":
            return None
        allow(ask, "GET")
        ask.log.note("retrieve", sobject.name)
        content: str | None = self._readable(sobject, key).get(found.name)
        if content is None:
            raise not_found()
        return Answer(raw=b64decode(content), headers=(("Content-Type", "application/octet-stream"),))

    def _children(self, ask: Ask, sobject: SObject, row: Row, name: str) -> Answer:
        """A page of them as a query has it, with all fields or those asked for."""
        pairs = self.store.shape.children.get(sobject.name, ())
        named = [pair for pair in pairs if (pair[1].child_relationship_name or "").lower() == name.lower()]
        if not named:
            raise not_found()
        child, reference = named[0]
        fields = ", ".join(field.name for field in _chosen(child, _named(ask)))
        query = f"SELECT {fields} FROM {child.name} WHERE {reference.name} = '{row['Id']}'"  # noqa: S608 - the org's names
        return self.queries.first(replace(ask, options={"q": query}), deleted=False)

    def _by_external_id(self, ask: Ask, sobject: SObject, name: str, value: str) -> Answer:
        ask.log.note(
            {"GET": "retrieve", "HEAD": "retrieve", "DELETE": "delete"}.get(ask.method, "upsert"), sobject.name
        )
        external = self.records.external_field(sobject, name)
        rows = self.records.by_external_id(sobject, external, value)
        if len(rows) > 1:  # §3.1: the records' paths, nothing written
            return Answer(
                status=300, body=[f"/services/data/v{ask.version}/sobjects/{sobject.name}/{row['Id']}" for row in rows]
            )
        if ask.method == "PATCH":
            return self._upsert(ask, sobject, external.name, value, rows[0] if rows else None)
        if not rows:
            raise not_found()
        return self._row(ask, sobject, rows[0]["Id"])

    def _upsert(self, ask: Ask, sobject: SObject, name: str, value: str, row: Row | None) -> Answer:
        given = ask.document()
        if any(key.lower() == name.lower() for key in given):
            message = f"The {name} field should not be specified in the sobject data."
            raise refuse("INVALID_FIELD", message, [name])
        told = ask.release >= UPSERT_BODY_SINCE
        if row is not None:
            unchanged(ask, sobject, row)
            self.records.update(sobject, row, given, ask.caller)
            self.recent.touch(ask, sobject, row["Id"])
            if not told:
                return Answer(status=204, empty=True)
            return Answer(body={"id": row["Id"], "success": True, "errors": [], "created": False})
        if name == "Id" or (ask.release >= UPDATE_ONLY_SINCE and flag(ask.options, "updateOnly")):
            raise not_found()
        key = self.records.create(sobject, {**given, name: value}, ask.caller)
        self.recent.touch(ask, sobject, key)
        body = {"id": key, "success": True, "errors": []} | ({"created": True} if told else {})
        return Answer(status=201, body=body, headers=_location(ask, sobject, key))

    def show(self, ask: Ask, sobject: SObject, row: Row, names: Sequence[str] | None) -> dict[str, Any]:
        """A row with the fields asked for, nulls included; all of them without a list (§3.1)."""
        url = f"/services/data/v{ask.version}/sobjects/{sobject.name}/{row['Id']}"
        shown: dict[str, Any] = {"attributes": {"type": sobject.name, "url": url}}
        for item in _chosen(sobject, names):
            value = address(row, item.name) if item.type == "address" else row.get(item.name)
            blob = item.type == "base64" and ask.blob_links and value is not None
            shown[item.name] = f"{url}/{item.name}" if blob else value
        return shown

    def _show(self, ask: Ask, sobject: SObject, row: Row) -> Answer:
        shown = self.show(ask, sobject, row, _named(ask))
        self.recent.touch(ask, sobject, row["Id"])
        return unread(ask, sobject, row) or Answer(body=shown, headers=validators(sobject, row))

    # -- metadata and limits -------------------------------------------------------------------------------------

    def _resources(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("versions")
        ask.log.category = "metadata"
        root = f"/services/data/v{ask.version}"
        names = [name for name, first in _RESOURCES.items() if ask.release >= first]
        return Answer(body={name: f"{root}/{name}" for name in names} | {"identity": self._identity(ask)})

    def _identity(self, ask: Ask) -> str:
        """§1.2: the page about the caller, by its whole address; a real org names the login host there."""
        organization = self.store.shape.objects.get("Organization")
        (own, *_) = self.store.rows(organization) if organization and self.store.rows(organization) else ("",)
        return f"{ask.origin}/id/{own}/{ask.user}" if own else f"{ask.origin}/services/oauth2/userinfo"

    def _metadata(self, ask: Ask, table: str, make: Callable[[], Any]) -> Answer:
        """What the org's shape says; it stays as it is while the sandbox runs (§5.1)."""
        allow(ask, "GET")
        ask.log.note("describe", table)
        ask.log.category = "metadata"
        tag = tag_of(f"{'/'.join(ask.parts)} {ask.version} {self._born.isoformat()}")
        known = metadata_unread(ask, tag, self._born)
        return known or Answer(body=make(), headers=metadata_validators(tag, self._born))

    def _limits(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("limits")
        ask.log.category = "metadata"
        rows = sum(len(self.store.rows(item)) for item in self.store.shape.objects.values() if not item.document.setup)
        return Answer(body=self.limits.document(rows))

    def _counts(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("limits")
        ask.log.category = "metadata"
        names = [name for name in ask.options.get("sObjects", "").split(",") if name] or list(self.store.shape.objects)
        known = [found for name in names if (found := self.store.shape.object(name))]
        live = {item.name: sum(not row.get("IsDeleted") for row in self.store.rows(item).values()) for item in known}
        return Answer(body={"sObjects": [{"count": count, "name": name} for name, count in live.items()]})


def _named(ask: Ask) -> list[str] | None:
    names = ask.options.get("fields")
    return [name.strip() for name in names.split(",")] if names else None


def _chosen(sobject: SObject, names: Sequence[str] | None) -> list[Field]:
    """The fields of those names, or all of them."""
    if names is None:
        return list(sobject.fields.values())
    found: list[Field] = []
    for name in names:
        field = sobject.field(name)
        if field is None:
            raise refuse("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
        found.append(field)
    return found


def _location(ask: Ask, sobject: SObject, key: str) -> tuple[tuple[str, str], ...]:
    return (("Location", f"/services/data/v{ask.version}/sobjects/{sobject.name}/{key}"),)
