"""Converters of one's own: found by the entry point group `crmbridge.converters`, imported when one is first used."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final, TypeVar

from crmbridge.errors import ConfigError

GROUP: Final = "crmbridge.converters"

Kind = TypeVar("Kind")


class WithPlugins(Mapping[str, Kind]):
    """The built-in ones and those that installed packages offer. A built-in name cannot be taken by a package."""

    def __init__(self, built_in: Mapping[str, Kind], kind: type[Kind]) -> None:
        self._built_in = built_in
        self._kind = kind
        self._loaded: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        known = self._built_in.get(name) or self._loaded.get(name)
        if known is not None:
            return known
        point = offered().get(name)
        if point is None:
            raise KeyError(name)
        return self._loaded.setdefault(name, self._load(point))

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from (name for name in offered() if name not in self._built_in)

    def __len__(self) -> int:
        return len(set(self._built_in) | set(offered()))

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in offered()

    def built_in(self, name: str) -> bool:
        return name in self._built_in

    def forget(self) -> None:
        """Packages are looked at anew."""
        self._loaded.clear()

    def _load(self, point: EntryPoint) -> Kind:
        package = point.dist.name if point.dist else "?"
        fix = "Mend or remove that package; the guide is docs/howto/write-a-converter.md."
        try:
            made = point.load()
        except Exception as error:  # whatever a stranger's module raises while it is imported
            raise ConfigError(
                f"the converter {point.name!r} of the package {package} ({point.value}) cannot be loaded: "
                f"{type(error).__name__}: {error}",
                fix=fix,
                code="converter",
            ) from error
        if not isinstance(made, self._kind):
            raise ConfigError(
                f"the converter {point.name!r} of the package {package} ({point.value}) is a "
                f"{type(made).__name__}, not a {self._kind.__name__}",
                fix=fix,
                code="converter",
            )
        return made


@cache
def offered() -> Mapping[str, EntryPoint]:
    """By name; of two packages that offer one name, the first in the order of their names."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.dist.name if p.dist else "")):
        found.setdefault(point.name, point)
    return found
