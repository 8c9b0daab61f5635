"""Where a command works: which settings file, and the engine or the store that goes with it."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crmbridge.model import Entity, Side
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store
    from crmbridge.sync.cycle import Engine
    from crmbridge.sync.hands import Only


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder that the command line works in; settings are read when a command asks for them."""

    config: str | None = None
    profile: str | None = None

    def settings(self, *, secrets: bool = True) -> "Settings":
        from crmbridge import settings

        return settings.load(self.config, profile=self.profile, secrets=secrets)

    @contextmanager
    def engine(
        self, *, only: "Only | None" = None, entities: "tuple[Entity, ...] | None" = None, noted_as: str = ""
    ) -> "Generator[Engine]":
        """`noted_as`: the kind of run that stands in the list of runs, with its cause, if a CRM lets nothing begin."""
        from crmbridge import wiring
        from crmbridge.cli.progress import progress

        with (
            progress() as bar,
            wiring.open_engine(self.settings(), only=only, entities=entities, progress=bar, noted_as=noted_as) as one,
        ):
            yield one

    @contextmanager
    def store(self) -> "Generator[Store]":
        from crmbridge import wiring

        store = wiring.open_store(self.settings())
        try:
            yield store
        finally:
            store.close()


def names(settings: "Settings") -> "dict[Side, str]":
    """left and right, by the names of the connections."""
    left, right = settings.names
    return {"left": left, "right": right}
