"""What crmbridge wants to find in a system: fields, keys, rights. What an API lets us make, a connector makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

# missing: the API may make it. by hand: it may not, and a person must. unread: nobody could look.
OUR_USER: Final = "our user"  # where a right is that belongs to no object
State = Literal["there", "made", "missing", "by hand", "too much", "unread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    where: str  # object, table, user
    what: str
    state: State
    how: str = ""  # what a person does: the clicks, the names
    optional: bool = False
    name: str = ""  # for the connector that is asked to make it


@runtime_checkable
class Installer(Protocol):
    """A connector that knows what it needs in its system; not every system has one."""

    def wishes(self) -> Sequence[Wish]:
        """What is wanted, and how it stands; nothing is written. Raises TryLater, AccessError, OutsideError."""
        ...

    def rights(self, user_id: str) -> Sequence[Wish]:
        """Of these only what our user, of that id, may and may not do."""
        ...

    def make(self, wish: Wish) -> Wish:
        """Make one that is missing. What the system refuses comes back as something to do by hand, with its words."""
        ...
