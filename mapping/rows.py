"""Row structs: a page's bytes are decoded straight into one of these (attributes by `model.attribute_name`)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from crmbridge.model import attribute_name


def row_struct(name: str, columns: Mapping[str, Any]) -> type[msgspec.Struct]:
    """A struct with one optional attribute per wire column; columns that a page has besides are skipped."""
    attributes: dict[str, str] = {}
    for column in columns:
        attribute = attribute_name(column)
        if attribute in attributes:
            raise ValueError(
                f"columns {attributes[attribute]!r} and {column!r} would share the attribute {attribute!r}"
            )
        attributes[attribute] = column
    return msgspec.defstruct(
        name,
        [(attribute, columns[column] | None, None) for attribute, column in attributes.items()],
        rename=attributes,
        gc=False,  # flat rows of plain values hold no cycles
    )
