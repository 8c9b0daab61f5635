"""`POST /tooling/sobjects/CustomField`: a text field is added to an object, for `crmbridge setup` to be tried.

The fact sheet does not describe the Tooling API (what a text field is: salesforce-api §5), so path, body, answer and
refusals are all (unverified), and nothing else of it is served. A real org hides such a field until a permission set
shows it; here everybody sees it at once.
"""

from typing import Any, Final

from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow
from crmbridge.sandbox.salesforce.errors import not_served, refuse
from crmbridge.sandbox.salesforce.ids import Sequence
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.store import Store

PREFIX: Final = "00N"  # of custom fields' ids
LENGTH_MAX: Final = 255
_METADATA: Final = frozenset(
    "type label description inlineHelpText length externalId unique caseSensitive required defaultValue".split()
)


class Tooling:
    def __init__(self, store: Store, sequence: Sequence) -> None:
        self._store, self._sequence = store, sequence

    def answer(self, ask: Ask) -> Answer:
        if ask.parts != ("tooling", "sobjects", "CustomField"):
            raise not_served(f"/{'/'.join(ask.parts[:3])}")
        allow(ask, "POST")
        ask.log.note("create_field", "CustomField")
        ask.log.category = "metadata"
        body = ask.envelope("FullName", "Metadata")
        sobject, name = self._place(body.get("FullName"))
        self._store.add_field(sobject, _field(name, body.get("Metadata")))
        made = {"id": self._sequence.next(PREFIX), "success": True, "errors": [], "warnings": [], "infos": []}
        return Answer(status=201, body=made)

    def _place(self, given: Any) -> tuple[SObject, str]:
        table, _, name = given.partition(".") if isinstance(given, str) else ("", "", "")
        sobject = self._store.whole.object(table)
        if sobject is None or not name.endswith("__c") or not name.removesuffix("__c").replace("_", "").isalnum():
            raise refuse(  # (unverified)
                "INVALID_FULLNAME", "FullName must be an object and the API name of a custom field.", ["FullName"]
            )
        if sobject.field(name) is not None:
            raise refuse(  # (unverified)
                "DUPLICATE_DEVELOPER_NAME", f"There is already a field named {name} on {sobject.name}.", ["FullName"]
            )
        return sobject, name


def _field(name: str, given: Any) -> Field:
    if not isinstance(given, dict) or given.get("type") != "Text":
        raise not_served("custom fields of other types than Text")
    unknown = sorted(set(given) - _METADATA)
    if unknown or given.get("required") or given.get("defaultValue") is not None:
        raise not_served(f"custom fields with {unknown[0] if unknown else 'a value that is demanded or given'}")
    length = given.get("length")
    if not isinstance(length, int) or not 0 < length <= LENGTH_MAX:
        raise refuse("FIELD_INTEGRITY_EXCEPTION", f"Text length must be between 1 and {LENGTH_MAX}", ["length"])
    external = bool(given.get("externalId"))
    return Field(
        name=name,
        type="string",
        label=str(given.get("label") or name),
        length=length,
        byte_length=3 * length,
        custom=True,
        external_id=external,
        id_lookup=external,
        unique=bool(given.get("unique")),
        case_sensitive=bool(given.get("caseSensitive")),
    )
