"""Navigation names of lookups: under which one a lookup is read, and under which it is written (dataverse-api §2.6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.dynamics.protocol import TABLES as NATIVE_TABLES
from connectors.dynamics.protocol import bind
from crmbridge.model import Native, NativeRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    column: str  # customerid
    navigation: str  # customerid_account
    targets: tuple[str, ...]  # account


class Lookups:
    """Navigation names of one table: the only names under which a lookup is written (dataverse-api §2.6)."""

    def __init__(self, lookups: Sequence[Lookup]) -> None:
        self.all = tuple(lookups)
        self._by_navigation = {each.navigation: each for each in lookups}
        self._by_column: dict[str, list[Lookup]] = {}
        for each in lookups:
            self._by_column.setdefault(each.column, []).append(each)

    def __contains__(self, name: str) -> bool:
        return self._column(name) is not None

    def wire(self, name: str) -> str:
        """The name that a value is read under."""
        column = self._column(name)
        return f"_{column}_value" if column else name

    def target(self, name: str) -> str | None:
        """The table that this navigation leads to, where its column may lead to others as well."""
        found = self._by_navigation.get(name)
        return found.targets[0] if found and len(self._by_column[found.column]) > 1 else None

    def body(self, columns: Native) -> dict[str, Any]:
        """What a write sends: lookups as bindings under their navigation names, the rest as it is."""
        body: dict[str, Any] = {}
        bound = {self._column(name) for name, value in columns.items() if isinstance(value, NativeRef)}
        for name, value in columns.items():
            column = self._column(name)
            if isinstance(value, NativeRef):
                body[f"{self._navigation(name, value)}@odata.bind"] = bind(value.entity, value.id)
            elif column is None:
                body[name] = value
            elif column not in bound:  # setting one target clears the other by itself
                assert value is None, f"{name} is a lookup: a NativeRef or None"
                body[f"{self._any_navigation(name)}@odata.bind"] = None
        return body

    def _column(self, name: str) -> str | None:
        found = self._by_navigation.get(name)
        if found:
            return found.column
        plain = name.removeprefix("_").removesuffix("_value")
        return plain if plain in self._by_column else None

    def _any_navigation(self, name: str) -> str:
        return name if name in self._by_navigation else self._by_column[self._column(name) or name][0].navigation

    def _navigation(self, name: str, ref: NativeRef) -> str:
        table = NATIVE_TABLES.get(ref.entity, ref.entity)
        column = self._column(name)
        fitting = [each for each in self._by_column.get(column or "", ()) if table in each.targets]
        if not fitting:
            return name  # the server names what it does not know
        return name if any(each.navigation == name for each in fitting) else fitting[0].navigation
