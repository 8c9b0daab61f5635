"""Names in a query: which field a path means, and how its value is reached from a row (salesforce-api §2.3, §2.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.schema import TEXT, Field, SObject
from crmbridge.sandbox.salesforce.soql import at_spot
from crmbridge.sandbox.salesforce.soql_tree import FieldPath, Query
from crmbridge.sandbox.salesforce.store import Store, fold
from crmbridge.sandbox.salesforce.values import address

Getter = Callable[[Row], Any]

DEPTH_MAX: Final = 5  # parents of parents (§2.1)
HINT: Final = (
    "If you are attempting to use a custom {what}, be sure to append the '__{suffix}' after the custom {what} name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Who asks, when, and in which version of the API."""

    now: datetime
    version: str = "59.0"
    user: str = ""
    blob_links: bool = False  # REST names the address of a blob; SOAP holds it


@dataclass(frozen=True, kw_only=True)
class Column:
    """A resolved path or call: its field, how to reach its value, and whether it is the queried object's own."""

    field: Field
    get: Getter
    own: bool = False  # so that an index may serve
    holder: Callable[[Row], Row | None] = lambda row: row  # the row in which the value stands

    @property
    def key(self) -> Getter:
        """What is compared: texts without case (§2.3), unless they mind it; ids, numbers and dates as they are."""
        get = self.get
        if self.field.type == "multipicklist":  # §10: the order of the chosen values means nothing
            return lambda row: chosen(get(row))
        if self.field.type not in TEXT or self.field.case_sensitive:
            return get
        return lambda row: fold(get(row))

    @property
    def rank(self) -> Getter:
        """What is sorted by: a picklist comes in the order of its setup, values that are not of it behind."""
        key = self.key
        if self.field.type != "picklist" or not self.field.picklist_values:
            return key
        places = {fold(item.value): place for place, item in enumerate(self.field.picklist_values)}
        last = len(places)
        return lambda row: None if (value := key(row)) is None else (places.get(value, last), value)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The object a query reads, the query for its texts, and who asks."""

    store: Store
    sobject: SObject
    query: Query
    asking: Asking

    def plain(self, path: FieldPath) -> tuple[str, ...]:
        """The path without the query's alias or the object's own name in front; `FROM Lead l, l.Owner o` is known."""
        parts, first = path.parts, path.parts[0].lower()
        if len(parts) == 1:
            return parts
        for source in self.query.sources[1:]:
            if source.alias and first == source.alias.lower():
                return self.plain(FieldPath((*source.parts, *parts[1:]), path.at))
        own = {self.sobject.name.lower(), (self.query.alias or self.sobject.name).lower()}
        return parts[1:] if first in own and first not in self.sobject.relations else parts

    def column(self, path: FieldPath) -> Column:
        parts = self.plain(path)
        hops, targets = self.hops(path, parts[:-1])
        field = next((found for target in targets if (found := target.field(parts[-1]))), None)
        if field is None:
            if len(targets) > 1 and parts[-1].lower() == "type":
                return self._kind(hops)
            raise self.no_such_column(path, parts[-1], targets)
        last = value_of(field)
        if not hops:
            return Column(field=field, get=last, own=True)

        def holder(row: Row) -> Row | None:
            parent: Row | None = row
            for reference in hops:
                parent = self.parent(parent, reference)
                if parent is None:
                    return None
            return parent

        if field.name == "Type" and len(targets) > 1:
            return self._kind(hops)
        return Column(
            field=field,
            get=lambda row: None if (parent := holder(row)) is None else last(parent),
            holder=holder,
        )

    def _kind(self, hops: Sequence[Field]) -> Column:
        """`Owner.Type`, `What.Type`: what kind of parent it is."""

        def get(row: Row) -> Any:
            parent: Row | None = row
            for reference in hops:
                parent = self.parent(parent, reference)
                if parent is None:
                    return None
            return self.kind_of(parent)

        return Column(field=derived("Type", "string"), get=get)

    def kind_of(self, parent: Row) -> str:
        """The object of a parent; of a group what kind of group it is."""
        if parent["Id"].startswith("00G"):
            return str(parent.get("Type"))
        found = self.store.shape.by_prefix.get(parent["Id"][:3])
        return found.name if found else ""

    def no_such_column(self, path: FieldPath, name: str, targets: Sequence[SObject]) -> SfError:
        """§2.4; `Name` is what a parent of several kinds is called."""
        entity = targets[0].name if len(targets) == 1 else "Name"
        message = f"No such column '{name}' on entity '{entity}'. " + HINT.format(what="field", suffix="c")
        return at_spot(self.query.text, path.at, message, "INVALID_FIELD")

    def hops(self, path: FieldPath, parts: Sequence[str]) -> tuple[list[Field], list[SObject]]:
        """The references that a path goes along, and what objects it may end at."""
        targets, hops = [self.sobject], list[Field]()
        if len(parts) > DEPTH_MAX:  # §2.1: five levels; the words are (unverified)
            message = f"Relationship paths may go {DEPTH_MAX} levels up, not {len(parts)}: {path}"
            raise at_spot(self.query.text, path.at, message, "MALFORMED_QUERY")
        for part in parts:
            reference = next((found for target in targets if (found := target.relations.get(part.lower()))), None)
            targets = self.targets(reference) if reference else []
            if reference is None or not targets:  # §2.4
                message = f"Didn't understand relationship '{part}' in field path. " + HINT.format(
                    what="relationship", suffix="r"
                )
                raise at_spot(self.query.text, path.at, message, "INVALID_FIELD")
            hops.append(reference)
        return hops, targets

    def targets(self, reference: Field) -> list[SObject]:
        shape = self.store.shape
        return [found for name in reference.reference_to if (found := shape.object(name))]

    def parent(self, row: Row, reference: Field) -> Row | None:
        key = row.get(reference.name)
        if key is None:
            return None
        for name in reference.reference_to:
            target = self.store.shape.object(name)
            found = self.store.get(target, key) if target else None
            if found is not None:
                return found
        return None


def stored(field: Field) -> bool:
    """Whether a row holds the value under the field's own name, so that it can be taken as it stands."""
    return field.type != "address"


def value_of(field: Field) -> Getter:
    name = field.name
    return (lambda row: row.get(name)) if stored(field) else (lambda row: address(row, name))


def derived(name: str, kind: str, label: str = "") -> Field:
    """The field that a call's result has."""
    return Field(name=name, type=kind, label=label or name)


def chosen(value: str | None) -> tuple[str, ...] | None:
    """A multi-select picklist's values, told apart from their order."""
    return None if value is None else tuple(sorted({part.casefold() for part in value.split(";")}))
