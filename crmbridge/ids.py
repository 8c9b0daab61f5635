"""Ids that are ours and made by chance: of links, intents, runs. One source, so that a simulation can put in its own.

What a CRM must recognise when it comes twice is never made here: such keys follow from the record (reliability §4).
"""

from collections.abc import Callable
from uuid import UUID, uuid4

_source: Callable[[], UUID] = uuid4


def new_id() -> str:
    return str(_source())


def short_id(length: int) -> str:
    """Hexadecimal digits of one, for what people read and type."""
    return _source().hex[:length]


def install(source: Callable[[], UUID] | None) -> None:
    """For a simulation: its own chance; None for the system's."""
    global _source  # noqa: PLW0603 - one process has one source; passing it through every layer would be noise
    _source = source or uuid4
