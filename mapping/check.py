"""Everything that is wrong with some mappings, at once: their shape, their meaning, and what the CRMs really have.

The shape is complained about when the files are loaded. Here come the other two layers: `meaning` needs the documents
alone, `live` (in `mapping.live`) the CRMs' descriptions. What the shape layer cut out of a file is not judged again.
"""

import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final

from crmbridge.model import SIDES, Entity
from mapping.axis_check import axis_findings
from mapping.axis_live import axis_live
from mapping.conflicts import conflict_findings
from mapping.cycles import cycle_findings
from mapping.described import Descriptions
from mapping.document import Document, Documents, FieldDoc
from mapping.field_check import document_findings, field_findings
from mapping.laws import lossy_hint
from mapping.literals import is_textual
from mapping.live import live, statuses
from mapping.out_of_use import inactive_findings, inactive_live
from mapping.problem import Finding, Path, closest, path_text
from mapping.record_types import column_of
from mapping.transforms import CONVERTERS, is_email, loads

# Names that mean something else in a record's journal and reports.
RESERVED_NAMES: Final = frozenset({"state", "status", "stage", "on_hold", "reason", "id", "unmapped"})
# Columns that a part of crmbridge owns; a field that wrote them would fight with it.
OWNED_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "salesforce": {
        **dict.fromkeys(("Status", "StageName", "IsConverted", "IsClosed", "IsWon"), "it is read by the status rows"),
        **dict.fromkeys(("Id", "IsDeleted", "MasterRecordId"), "it is the record's own identity"),
        "CurrencyIsoCode": "it travels with the amounts (`convert: money`)",
    },
    "dynamics": {
        **dict.fromkeys(("statecode", "statuscode", "salesstage", "stepname"), "it is read by the status rows"),
        **dict.fromkeys(("merged", "masterid"), "it is the record's own identity"),
        "transactioncurrencyid": "it travels with the amounts (`convert: money`)",
    },
}
_AXIS: Final[Mapping[Entity, str]] = {"lead": "status", "opportunity": "stage"}
NAME_ONE: Final = "write one of its names"
NO_COLUMN: Final = "the field has no column there; give it one, or take this out"
# A table with one of these is not played through: it would only say the same again.
_UNPLAYABLE: Final = frozenset({"states-share-value", "status-ambiguous", "status-against-flag", "status-unknown"})
# Days after the creation, as they are meant and not written.
_COUNTED: Final = re.compile(r"\s*creat\w*\W*\d", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d{1,4}")
_SLOT: Final = re.compile(r"\{([^{}]*)\}")


def check(documents: Documents | Iterable[Document], descriptions: Descriptions | None = None) -> list[Finding]:
    """All findings in the order of the files' lines; only those of severity error stop a mapping from being used."""
    items = list(documents)
    findings: list[Finding] = list(documents.findings) if isinstance(documents, Documents) else []
    whole = isinstance(documents, Documents)
    for document in items:
        about = _About(document, findings, items if whole else None)
        findings += about.meaning()
        findings += live(document, descriptions or {}, about.spoiled)
        findings += axis_live(document, descriptions or {})
        findings += inactive_live(document, descriptions or {})
        if not about.spoiled((document.axis or "",)) and not any(f.code in _UNPLAYABLE for f in findings):
            findings += cycle_findings(document, statuses(document, descriptions or {}))
    unique = {str(f): f for f in findings}
    return sorted(unique.values(), key=lambda f: (f.place.file, f.place.line, f.place.column))


class _About:
    """The meaning of one document."""

    def __init__(self, document: Document, shape: Iterable[Finding], others: list[Document] | None) -> None:
        self._document = document
        self._others = others
        files = document.source.files
        self._cut = [f.path for f in shape if f.place.file in files and f.severity == "error"]

    def spoiled(self, path: Path) -> bool:
        """Whether the shape layer has complained about this part already."""
        text = path_text(path)
        return any(cut == text or cut.startswith(f"{text}.") for cut in self._cut)

    def meaning(self) -> Iterator[Finding]:
        yield from self._axis()
        for doc in self._document.fields.values():
            if not doc.out_of_use and not self.spoiled(("fields", doc.name)):
                yield from self._field(doc)
        yield from self._shared_columns()
        yield from self._match()
        for name in self._document.values:
            yield from self._values(name)
        yield from document_findings(self._document)
        yield from axis_findings(self._document)
        yield from inactive_findings(self._document)

    def _say(
        self,
        code: str,
        path: Path,
        message: str,
        *,
        meant: str | None = None,
        otherwise: str = "",
        key: bool = False,
        warning: bool = False,
    ) -> Finding:
        return self._document.source.finding(
            path, message, code=code, suggestion=meant, otherwise=otherwise, key=key, warning=warning
        )

    # --- status -----------------------------------------------------------------------------------------------------

    def _axis(self) -> Iterator[Finding]:
        document, wanted = self._document, _AXIS.get(self._document.entity)
        data = document.source.data
        for axis in ("status", "stage"):
            if axis in data and axis != wanted:
                instead = f"its rows stand under `{wanted}:`" if wanted else f"an {document.entity} has none"
                yield self._say(
                    "axis-misplaced", (axis,), f"not for the entity {document.entity}: {instead}; move it", key=True
                )
        if wanted is None:
            return
        if wanted not in data:
            if any(axis in data for axis in ("status", "stage")):
                return  # under the other's name: said above
            yield self._say(
                "axis-missing", (), f"{wanted!r} is missing: add it; it says how the place in its life is read"
            )
            return
        broken = self.spoiled((wanted,))
        if not broken and not any(row.state == "open" for row in document.status):
            yield self._say(
                "no-open-row", (wanted,), "no row has `state: open`; add one: a new record needs it", key=True
            )
        for row in document.status:
            if row.state == "converted" or self.spoiled((wanted, row.name)):
                continue  # never written: the CRM's own conversion sets it; or told already
            for side in SIDES:
                if side not in row.natives and not row.by_kind.get(side):
                    name = document.names[side]
                    yield self._say(
                        "status-one-sided",
                        (wanted, row.name),
                        f"has no value for {name}, so nothing can be written there; give it one "
                        f"(it may share another row's, then add `{lossy_hint(row.lossy, name, document.names)}`)",
                        key=True,
                    )

    # --- fields -----------------------------------------------------------------------------------------------------

    def _field(self, doc: FieldDoc) -> Iterator[Finding]:
        path: Path = ("fields", doc.name)
        document = self._document
        if doc.name in RESERVED_NAMES:
            yield self._say("name-taken", path, "this name is taken; give the field another one", key=True)
        if not doc.columns:
            yield self._say(
                "field-without-column",
                path,
                f"names no field; give it {' or '.join(document.names.values())}",
                key=True,
            )
        for side, choice in doc.columns.items():
            here: Path = (*path, document.names[side])
            for column in choice.all():
                why = OWNED_COLUMNS.get(document.systems[side], {}).get(column)
                if why:
                    yield self._say("column-owned", here, f"{column} cannot be mapped as a field: {why}; take it out")
            if choice.by_state and document.entity != "opportunity":
                yield self._say("variant-misplaced", here, "`won` and `lost` are for opportunities; name one column")
        yield from self._kind(doc, path)
        yield from conflict_findings(self._document, doc)
        yield from self._extras(doc, path)
        yield from field_findings(document, doc)

    def _kind(self, doc: FieldDoc, path: Path) -> Iterator[Finding]:
        document = self._document
        if doc.values is not None:
            if doc.values not in document.values and not self.spoiled(("values", doc.values)):
                yield self._say(
                    "table-unknown",
                    (*path, "values"),
                    f"there is no table {doc.values!r} under `values:`",
                    meant=closest(doc.values, document.values),
                    otherwise="add it, or name another",
                )
            if doc.convert not in ("choice", "user"):
                yield self._say(
                    "values-and-convert",
                    (*path, "convert"),
                    f"a field with `values` cannot be {doc.convert!r}; leave it out",
                )
        elif doc.convert == "choice":
            yield self._say(
                "choice-without-values",
                (*path, "convert"),
                "a choice needs `values:`, the name of a table",
                meant=closest(doc.name, document.values),
            )
        if doc.link is not None:
            if "convert" in self._body(doc) or doc.values is not None:
                yield self._say(
                    "link-and-convert", (*path, "link"), "a link is read by itself; leave `convert` and `values` out"
                )
            if self._others is not None and all(d.entity != doc.link for d in self._others):
                yield self._say(
                    "link-without-mapping",
                    (*path, "link"),
                    f"there is no mapping for {doc.link}, so it can never be linked; add {doc.link}.yaml",
                )

    def _extras(self, doc: FieldDoc, path: Path) -> Iterator[Finding]:
        document = self._document
        if doc.convert == "record_type" and not _shows_record_type(document, doc):
            yield self._say(
                "record-type-misplaced",
                (*path, "convert"),
                "shows a record's type and is never written, so the field is on Salesforce's side alone: "
                f"`{doc.name}: {{salesforce: RecordTypeId, convert: record_type}}`",
            )
        if doc.restrictive and doc.convert != "boolean":
            yield self._say(
                "restrictive-not-boolean", (*path, "restrictive"), "is for yes/no fields; add `convert: boolean`"
            )
        if doc.zone is not None:
            if not _is_dated(doc.convert):
                yield self._say(
                    "zone-not-date", (*path, "zone"), "is for `convert: date`; take it out, or convert to a date"
                )
            elif not _is_zone(doc.zone):
                meant = closest(doc.zone, zoneinfo.available_timezones())
                yield self._say(
                    "zone-unknown",
                    (*path, "zone"),
                    f"{doc.zone!r} is no time zone",
                    meant=meant,
                    otherwise="write one such as Europe/Berlin",
                )
        for side, filler in doc.fillers.items():
            here: Path = (*path, "filler", document.names[side])
            if side not in doc.columns:
                yield self._say("filler-without-column", here, NO_COLUMN)
            elif filler.text is None and not _is_dated(doc.convert):
                yield self._say(
                    "filler-not-date", here, "a filler counted from the creation needs `convert: date`; or write a text"
                )
            elif filler.text is not None and _is_dated(doc.convert):
                number = _NUMBER.search(filler.text)
                yield self._say(
                    "filler-malformed",
                    here,
                    f"{filler.text!r} is no number of days after the creation",
                    meant=f"created + {number[0]} days" if number and _COUNTED.match(filler.text) else None,
                    otherwise="write such as `created + 90 days`",
                )
            elif filler.text is not None and not is_textual(doc.convert):
                yield self._say(
                    "filler-not-text", here, f"a text cannot fill a field that is {doc.convert!r}; take the filler out"
                )
            elif doc.convert == "email" and document.systems[side] == "salesforce" and not is_email(filler.text or ""):
                yield self._say(
                    "filler-not-email",
                    here,
                    f"{filler.text!r} is no e-mail address, and {document.names[side]} takes nothing else there; "
                    "write one, or take the filler out",
                )
        for side, template in doc.create.items():
            by_side = isinstance(self._body(doc).get("create"), Mapping)
            here = (*path, "create", document.names[side]) if by_side else (*path, "create")
            if side not in doc.columns:
                yield self._say("create-without-column", here, NO_COLUMN)
            for slot in _SLOT.findall(str(template)) if is_textual(doc.convert) else ():
                if slot not in self._known():
                    meant = closest(slot, self._known())
                    message = f"{{{slot}}} is not a field of this mapping"
                    yield self._say("slot-unknown", here, message, meant=meant, otherwise=NAME_ONE)

    def _body(self, doc: FieldDoc) -> Mapping[str, object]:
        return self._document.source.data["fields"][doc.name]

    def _known(self) -> Mapping[str, object]:
        """Names under `fields:`, also of those that the shape layer found fault with."""
        fields = self._document.source.data.get("fields")
        return fields if isinstance(fields, Mapping) else {}

    def _meant(self) -> set[str | None]:
        """Tables that a field names with a typing error, which is said where it stands."""
        return {
            closest(doc.values, self._document.values)
            for doc in self._document.fields.values()
            if doc.values is not None and doc.values not in self._document.values
        }

    def _shared_columns(self) -> Iterator[Finding]:
        for side in SIDES:
            name = self._document.names[side]
            first: dict[str, str] = {}
            for doc in self._document.fields.values():
                if side not in doc.columns or doc.out_of_use:
                    continue
                for column in dict.fromkeys(doc.columns[side].all()):
                    owner = first.setdefault(column.casefold(), doc.name)
                    if owner != doc.name:
                        line = self._document.source.place(("fields", owner), key=True).line
                        yield self._say(
                            "column-twice",
                            ("fields", doc.name, name),
                            f"{column} belongs to {owner!r} already (line {line}); two fields cannot write one column; "
                            "take one of them out",
                        )

    def _match(self) -> Iterator[Finding]:
        document = self._document
        if self.spoiled(("match",)):
            return
        for n, key in enumerate(document.match):
            for m, name in enumerate(key):
                path: Path = ("match", n, m)
                if name not in self._known():
                    meant = closest(name, self._known())
                    message = f"{name!r} is not a field of this mapping"
                    yield self._say("match-unknown-field", path, message, meant=meant, otherwise=NAME_ONE)
                elif name in document.fields and not self._is_silent(name):
                    missing = [document.names[s] for s in SIDES if s not in document.fields[name].columns]
                    if missing:
                        message = (
                            f"{name!r} has no column in {missing[0]}, so twins cannot share it; take it out of the key"
                        )
                        yield self._say("match-one-sided", path, message)

    def _is_silent(self, name: str) -> bool:
        """Whether what is to say of a field is said elsewhere."""
        return self.spoiled(("fields", name)) or self._document.fields[name].is_derived

    # --- tables of values -------------------------------------------------------------------------------------------

    def _values(self, name: str) -> Iterator[Finding]:
        document, path = self._document, ("values", name)
        table = document.values[name]
        if all(doc.values != name for doc in document.fields.values()) and name not in self._meant():
            yield self._say(
                "table-unused",
                path,
                "no field uses this table; name it in a field, or take it out",
                key=True,
                warning=True,
            )
        if not table.rows and not self.spoiled(path):
            yield self._say("table-empty", path, "has no rows; give it one", key=True)
        for row in table.rows:
            missing = [document.names[s] for s in SIDES if s not in row.natives]
            if missing and table.unmapped != "ignore" and not self.spoiled((*path, row.name)):
                yield self._say(
                    "value-one-sided",
                    (*path, row.name),
                    f"has no value for {' and '.join(missing)}, so it cannot cross; give it one, "
                    "or let the table say `unmapped: ignore`",
                    key=True,
                )


def _shows_record_type(document: Document, doc: FieldDoc) -> bool:
    systems = {document.systems[side]: str(choice) for side, choice in doc.columns.items()}
    return len(systems) == 1 and all(column == column_of(system) for system, column in systems.items())


def _is_dated(kind: str) -> bool:
    """A day, or what a package's converter reads from one."""
    return kind in CONVERTERS and loads(kind) and CONVERTERS[kind].wire is date


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
