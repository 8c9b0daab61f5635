"""Every system that can be connected: one line each, to be read and added to (docs: how to write a connector).

The factories import late: a run needs the libraries of its own two systems alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from connectors.base import Connector
from crmbridge.errors import ConfigError
from crmbridge.model import Side

# Called with the system's own configuration (`SalesforceConfig`, `DynamicsConfig`) and the side it is on.
Factory = Callable[[Any, Side], Connector]


def _salesforce(config: Any, side: Side) -> Connector:
    from connectors.salesforce.connector import SalesforceConnector

    return SalesforceConnector(config, side)


def _dynamics(config: Any, side: Side) -> Connector:
    from connectors.dynamics.connector import DynamicsConnector

    return DynamicsConnector(config, side)


def _memory(config: Any, side: Side) -> Connector:
    from connectors.memory import MemoryConnector

    return MemoryConnector(config, side)


SYSTEMS: Final[Mapping[str, Factory]] = {
    "salesforce": _salesforce,
    "dynamics": _dynamics,
    "memory": _memory,  # config: its name; for tests and for trying a mapping
}


def connect(system: str, config: Any, side: Side) -> Connector:
    if system not in SYSTEMS:
        raise ConfigError(
            f"There is no connector for {system!r}.", fix=f"Known systems: {', '.join(SYSTEMS)}.", code="system"
        )
    return SYSTEMS[system](config, side)
