"""What a drafted mapping decides, held against the reference table of standard pairs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

import mapping
from crmbridge.model import ENTITIES, Entity, Side
from mapping import Documents

TESTS: Final = Path(__file__).parents[1]
REFERENCE: Final = TESTS / "mapping" / "reference" / "standard_pairs.yaml"
SHAPES: Final = TESTS / "mapping" / "shapes"
AXES: Final[Mapping[Entity, str]] = {"lead": "status", "opportunity": "stage"}

Pair = tuple[Entity, str, str]  # Salesforce field, Dynamics column


def reference() -> Any:
    return YAML(typ="safe", pure=True).load(REFERENCE.read_text(encoding="utf-8"))


def pairs() -> dict[Pair, str]:
    """Each with its converter: `choice`, `link` and the plain ones."""
    return {(entity, s, d): kind for entity, rows in reference()["fields"].items() for _, s, d, kind in rows}


def loaded(folder: Path) -> Documents:
    documents, findings = mapping.load(folder)
    assert [str(one) for one in findings if one.severity == "error"] == []
    return documents


def drafted_pairs(documents: Documents) -> dict[Pair, str]:
    found: dict[Pair, str] = {}
    for document in documents:
        for doc in document.fields.values():
            if len(doc.columns) == 2:
                kind = f"choice {doc.values}" if doc.values else f"link {doc.link}" if doc.link else doc.convert
                left, right = doc.columns["left"].all()[0], doc.columns["right"].all()[0]
                found[document.entity, left, right] = kind
    return found


def outside(documents: Documents, descriptions: Mapping[tuple[Side, Entity], Any]) -> list[str]:
    """Every decision that the reference table does not know, in words; a flag that both CRMs have decides a state."""
    table = reference()
    known = pairs()
    found = [f"{pair}: {kind}" for pair, kind in drafted_pairs(documents).items() if known.get(pair) != kind]
    for document in documents:
        for values in document.values.values():
            allowed = {(s, d) for s, d, *_ in table["values"].get(values.name, ())}
            found += [
                f"{document.entity} {values.name}: {s!r} and {d!r}"
                for row in values.rows
                for s in row.natives["left"]
                for d in row.natives["right"]
                if (s, d) not in allowed
            ]
        found += _statuses(document, descriptions, table)
    return found


def _statuses(document: Any, descriptions: Mapping[tuple[Side, Entity], Any], table: Any) -> list[str]:
    axis = AXES.get(document.entity)
    if axis is None:
        return []
    told = {side: descriptions[side, document.entity].statuses for side in ("left", "right")}
    allowed = {(state, s, d) for state, s, label, number, _ in table[axis] for d in (label, number)}
    found: list[str] = []
    for row in document.status:
        for s in row.natives["left"]:
            for d in row.natives["right"]:
                flags = [
                    {o.state for o in told[side] if word in (o.value, o.label) and o.state == row.state}
                    for side, word in (("left", s), ("right", d))
                ]
                if (row.state, s, d) not in allowed and flags != [{row.state}, {row.state}]:
                    found.append(f"{document.entity} {row.name}: {s!r} and {d!r}")
    return found


def existing(descriptions: Mapping[tuple[Side, Entity], Any]) -> set[Pair]:
    """The pairs of the table that both systems have."""
    return {
        pair
        for pair in pairs()
        if pair[1] in descriptions["left", pair[0]].columns and pair[2] in descriptions["right", pair[0]].columns
    }


assert set(ENTITIES) == set(reference()["fields"])
