"""Names in a query: which field a path means, and how its value is reached from a row (salesforce-api §2.3, §2.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.schema import TEXT, Field, SObject
from crmbridge.sandbox.salesforce.soql import FieldPath, Query, at_spot
from crmbridge.sandbox.salesforce.store import Store, fold
from crmbridge.sandbox.salesforce.values import address

Getter = Callable[[Row], Any]

HINT: Final = (
    "If you are attempting to use a custom {what}, be sure to append the '__{suffix}' after the custom {what} name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A resolved path: the field, how to reach its value, and whether it is the queried object's own."""

    field: Field
    get: Getter
    own: bool  # so that an index may serve

    @property
    def key(self) -> Getter:
        """What is compared: texts without case (§2.3), unless they mind it; ids, numbers and dates as they are."""
        if self.field.type not in TEXT or self.field.case_sensitive:
            return self.get
        get = self.get
        return lambda row: fold(get(row))


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The object a query reads, and the query for its texts."""

    store: Store
    sobject: SObject
    query: Query

    def plain(self, path: FieldPath) -> tuple[str, ...]:
        """The path without the query's alias or the object's own name in front."""
        first = path.parts[0].lower()
        own = {self.sobject.name.lower(), (self.query.alias or self.sobject.name).lower()}
        return (
            path.parts[1:]
            if len(path.parts) > 1 and first in own and first not in self.sobject.relations
            else path.parts
        )

    def column(self, path: FieldPath) -> Column:
        parts = self.plain(path)
        hops, targets = self.hops(path, parts[:-1])
        field = next((found for target in targets if (found := target.field(parts[-1]))), None)
        if field is None:
            entity = targets[0].name if len(targets) == 1 else "Name"  # what a polymorphic parent is called
            message = f"No such column '{parts[-1]}' on entity '{entity}'. " + HINT.format(what="field", suffix="c")
            raise at_spot(self.query.text, path.at, message, "INVALID_FIELD")
        name, last = field.name, value_of(field)
        if not hops:
            return Column(field=field, get=last, own=True)

        def get(row: Row) -> Any:
            parent: Row | None = row
            for reference in hops:
                parent = self.parent(parent, reference)
                if parent is None:
                    return None
            return owner_type(parent) if name == "Type" and len(targets) > 1 else last(parent)

        return Column(field=field, get=get, own=False)

    def hops(self, path: FieldPath, parts: Sequence[str]) -> tuple[list[Field], list[SObject]]:
        targets, hops = [self.sobject], list[Field]()
        for part in parts:
            reference = next((found for target in targets if (found := target.relations.get(part.lower()))), None)
            targets = [
                found
                for name in (reference.reference_to if reference else ())
                if (found := self.store.shape.object(name))
            ]
            if reference is None or not targets:
                message = f"Didn't understand relationship '{part}' in field path. " + HINT.format(
                    what="relationship", suffix="r"
                )
                raise at_spot(self.query.text, path.at, message, "INVALID_FIELD")
            hops.append(reference)
        return hops, targets

    def parent(self, row: Row, reference: Field) -> Row | None:
        key = row.get(reference.name)
        if key is None:
            return None
        found = (
            self.store.get(target, key) for name in reference.reference_to if (target := self.store.shape.object(name))
        )
        return next((parent for parent in found if parent is not None), None)


def value_of(field: Field) -> Getter:
    name = field.name
    return (lambda row: address(row, name)) if field.type == "address" else (lambda row: row.get(name))


def owner_type(parent: Row) -> str:
    """`Owner.Type`: User, or what kind of group it is."""
    return str(parent.get("Type")) if parent["Id"].startswith("00G") else "User"
