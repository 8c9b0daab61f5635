"""Rows that the platform keeps itself: nobody makes, changes or deletes them through the API, since nothing here would
follow (dataverse-api §10.2; which tables refuse which method is (unverified)).
"""

from typing import Literal

from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.tables import Table

Method = Literal["Create", "Update", "Delete"]
_DEFINITIONS = frozenset({
    "workflow", "processstage", "sdkmessage", "sdkmessagefilter", "duplicaterule", "stringmap", "activitypointer",
    "principalobjectaccess", "usersettings",
})  # fmt: skip
_REFUSED: dict[Method, frozenset[str]] = {
    "Create": _DEFINITIONS | {"organization", "asyncoperation"},
    "Update": _DEFINITIONS | {"asyncoperation"},
    "Delete": _DEFINITIONS | {"organization", "systemuser", "businessunit", "transactioncurrency"},
}


def check(shape: Shape, table: Table, method: Method) -> None:
    """Links of many-to-many relationships are made and cut by `$ref` alone (dataverse-api §4.3)."""
    if table.name in _REFUSED[method] or table.name in shape.intersects:
        raise DataverseError(  # (unverified)
            405, "0x80040800", f"The '{method}' method does not support entities of type '{table.name}'."
        )
