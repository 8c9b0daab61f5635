"""The meaning of what stands beside the status or stage table: judged from the document alone."""

from collections.abc import Iterator

from crmbridge.model import SIDES
from mapping.axis import ANY, CONVERSION
from mapping.cel import ExpressionError
from mapping.document import Document
from mapping.field_check import CORRECT_IT
from mapping.problem import Finding, Path, closest
from mapping.record_types import fits
from mapping.vocabulary import fold


def axis_findings(document: Document) -> Iterator[Finding]:
    yield from _kinds(document)
    yield from _reason(document)
    yield from _on_hold(document)
    yield from _gates(document)
    yield from _record_type(document)


def _kinds(document: Document) -> Iterator[Finding]:
    for row in document.status:
        for side in SIDES:
            name = document.names[side]
            by_kind = row.by_kind.get(side)
            if not by_kind:
                continue
            path: Path = (document.axis or "", row.name, name)
            if document.systems[side] == "dynamics" and document.entity == "lead":
                yield document.source.finding(
                    path,
                    f"a lead's status in {name} does not depend on its process; write one value",
                    code="kind-misplaced",
                )
            elif side not in row.natives and row.state != "converted":
                yield document.source.finding(
                    path,
                    f"has a value for {', '.join(by_kind)} only: other records that should come here are held; "
                    f"add `{ANY}: …`, if there is one for them",
                    code="kind-without-any",
                    warning=True,
                )


def _reason(document: Document) -> Iterator[Finding]:
    beside, axis = document.beside, document.axis or ""
    if beside.reason and not document.status:
        yield document.source.finding(
            ("reason",),
            "tells the rows of a status or stage table apart, and there is none here; take it out",
            code="axis-misplaced",
            key=True,
        )
        return
    for side in SIDES:
        name = document.names[side]
        rows = [row for row in document.status if row.reasons.get(side)]
        if side in beside.reason and not rows:
            yield document.source.finding(
                ("reason", name),
                f"no row says which values of {beside.reason[side]} mean it; add `reason: {{{name}: …}}` to the rows",
                code="reason-unused",
            )
        if side not in beside.reason:
            for row in rows:
                yield document.source.finding(
                    (axis, row.name, "reason", name),
                    f"there is no column for it; add `reason: {{{name}: COLUMN}}` at the top level",
                    code="reason-without-column",
                )
        column = beside.reason.get(side)
        if column is not None:
            yield from _taken(document, ("reason", name), side, column)


def _on_hold(document: Document) -> Iterator[Finding]:
    beside = document.beside
    if beside.on_hold and document.entity != "opportunity":
        yield document.source.finding(
            ("on_hold",), "is for opportunities; take it out", code="axis-misplaced", key=True
        )
        return
    for side, holding in beside.on_hold.items():
        name = document.names[side]
        path: Path = ("on_hold", name)
        if document.systems[side] == "dynamics":
            yield document.source.finding(
                path, f"{name} has a state of its own for that, which is used; take this out", code="on-hold-known"
            )
        elif holding.column is not None:
            yield from _taken(document, path, side, holding.column)
        elif holding.stage is not None:
            rows = [
                row.name
                for row in document.status
                for kind in (None, *row.by_kind.get(side, {}))
                if fold(holding.stage) in {fold(word) for word in row.words(side, kind)}
            ]
            if rows:
                yield document.source.finding(
                    (*path, "stage"),
                    f"{holding.stage!r} is a value of the row {rows[0]!r} as well; take it out of that row",
                    code="on-hold-stage-in-row",
                )
    able = [side for side in SIDES if side in beside.on_hold or document.systems[side] == "dynamics"]
    if beside.on_hold and len(able) < len(SIDES):
        lacking = next(document.names[side] for side in SIDES if side not in able)
        yield document.source.finding(
            ("on_hold",),
            f"{lacking} cannot say it, so it stays where it is; name a column or a stage for {lacking} too",
            code="on-hold-one-sided",
            key=True,
            warning=True,
        )


def _taken(document: Document, path: Path, side: str, column: str) -> Iterator[Finding]:
    """A field that writes the same column would fight with it."""
    for doc in document.fields.values():
        for one, choice in doc.columns.items():
            if one == side and column.casefold() in {each.casefold() for each in choice.all()}:
                yield document.source.finding(
                    path,
                    f"{column} belongs to the field {doc.name!r} as well; take it out of one of the two",
                    code="column-twice",
                )


def _gates(document: Document) -> Iterator[Finding]:
    gates = document.beside.gates
    if gates and not document.status:
        yield document.source.finding(
            ("gates",), f"an {document.entity} has no rows to go through; take it out", code="axis-misplaced", key=True
        )
        return
    rows = {row.name: row.state for row in document.status}
    first = next((name for name, state in rows.items() if state == "open"), None)
    for gate in gates:
        path: Path = ("gates", gate.row)
        places = [name for name, state in rows.items() if state != "converted"]
        if document.entity == "lead":
            places.append(CONVERSION)
        broken = gate.row not in rows and (document.axis or "", gate.row) in document.source.keys  # told there
        if gate.row not in places and not broken:
            why = "conversions have a gate of their own, `conversion`" if rows.get(gate.row) == "converted" else ""
            yield document.source.finding(
                path,
                f"there is no row {gate.row!r} to go through; {why or 'it may be ' + ', '.join(places)}",
                code="gate-unknown",
                suggestion=closest(gate.row, places),
                key=True,
            )
        elif gate.row == first:
            yield document.source.finding(
                path,
                "records start at this row, so a gate here would hold nothing; "
                "say `required: true` of the fields that a new record needs",
                code="gate-at-start",
                key=True,
            )
        for n, name in enumerate(gate.needs):
            if name not in document.fields and ("fields", name) not in document.source.keys:
                yield document.source.finding(
                    (*path, "needs", n),
                    f"{name!r} is not a field of this mapping",
                    code="gate-field-unknown",
                    suggestion=closest(name, document.fields),
                )
        if gate.when is not None:
            yield from _expression(document, (*path, "when"), gate.when)


def _record_type(document: Document) -> Iterator[Finding]:
    for side, rule in document.beside.record_type.items():
        name = document.names[side]
        path: Path = ("record_type", name)
        if document.systems[side] == "dynamics":
            yield document.source.finding(
                path, f"{name} has no record types; take it out", code="record-type-misplaced"
            )
        for n, (text, _) in enumerate(rule.choices):
            yield from _expression(document, (*path, "when", n, "if"), text)
        if not rule.names():
            yield document.source.finding(
                path, "names no record type; add `when:` or `else:`", code="record-type-empty"
            )


def _expression(document: Document, path: Path, text: str) -> Iterator[Finding]:
    try:
        fits(document, text)
    except ExpressionError as error:
        yield document.source.finding(
            path, error.message, code="expression-wrong", suggestion=error.suggestion, otherwise=CORRECT_IT
        )
