"""Labels of choices as rows of `stringmap`: one for each value of each choice column (dataverse-api §5).

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/stringmap
"""

from collections.abc import Iterator
from typing import Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.metadata_members import metadata_id
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.store import Store

STRING_MAP: Final = "stringmap"


def load(store: Store) -> None:
    """Ids are made from names, so that they are the same in every environment and cost no chance."""
    shape = store.shape
    if STRING_MAP in shape.tables:
        store.fill(STRING_MAP, {row["stringmapid"]: row for row in _rows(shape)})


def _rows(shape: Shape) -> Iterator[Row]:
    for table in shape.tables.values():
        for column in table.columns.values():
            for order, option in enumerate(column.options, 1):
                yield {
                    "stringmapid": metadata_id(STRING_MAP, table.name, column.name, str(option.value)),
                    "objecttypecode": table.name,
                    "attributename": column.name,
                    "attributevalue": option.value,
                    "value": option.label,
                    "displayorder": order,
                    "langid": shape.organization.language,
                }
