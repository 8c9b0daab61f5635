"""What becomes of the partner of a record that was deleted, as an admin chose (`lifecycle.remove`). Pure.

Nothing is removed that somebody works with: what is closed, was edited since, is master, or has records of its own
that stay, is for a person. Cases L8, L14, O18, A5 and A6 of docs/reference/lifecycle.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from crmbridge.lifecycle.removals import deleted_case, told_count
from crmbridge.model import Entity, Seen
from crmbridge.policy import ONLY_FOR, Policy

Kind = Literal["delete", "merge", "deactivate", "disqualify", "lose"]

CLOSED: Final = frozenset({"won", "lost"})
FIX: Final = "Remove it there by hand, or let it stay: crmbridge resolve ISSUE."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Of the record that is left."""

    kind: Kind | None = None  # what to do with it; None: it stays
    asks: bool = False  # ... and a person decides
    note: str = ""  # why it stays though something else was chosen
    reason: str = ""
    case: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is to be known about the record that is left."""

    seen: Seen
    converted: bool  # a lead whose pair was converted
    name: str  # of its connection, for people
    deactivates: bool  # there is such a state there
    edited: bool  # since the two were last agreed
    staying: Callable[[], Mapping[Entity, int]]  # records that would go with it, and are not gone on the other side


def fate_of(left: Left, policy: Policy) -> Fate:
    entity, state = left.seen.row.ref.entity, left.seen.shared.state
    case = deleted_case(entity, converted=left.converted)
    option = "remove.delete_converted" if entity == "lead" and left.converted else "remove.delete"
    choice = policy.remove.delete_converted if entity == "lead" and left.converted else policy.remove.delete
    says = policy.says(option)

    def stays(note: str) -> Fate:
        return Fate(case=case, note=f"{note} ({says}).")

    def asked(why: str) -> Fate:
        return Fate(case=case, asks=True, note=f"{why} ({says}).")

    if choice == "keep":
        return Fate(case=case)
    if policy.master == left.seen.row.ref.side:
        return stays(f"{left.name} is master of it, so nothing is removed there")
    if choice == "ask":
        return asked("Whether it goes on the other side as well is for a person")
    if entity not in ONLY_FOR.get(choice, {entity}):
        return stays(f"That is not for {entity} records")
    if choice == "deactivate" and not left.deactivates:
        return stays(f"{left.name} has no inactive records")
    if (choice, state) in {("disqualify", "disqualified"), ("lose", "lost")}:
        return Fate(case=case)  # it is there already
    if state in CLOSED:
        return asked(f"It is {state} on {left.name}; what is closed is not removed by itself")
    if choice == "disqualify" and state != "open":
        return stays(f"It is not open on {left.name}")
    if choice == "disqualify" and left.seen.life.opportunity_id:
        return asked(f"On {left.name} an opportunity hangs on it")
    if left.edited:
        return asked(f"It was edited on {left.name} since")
    if choice == "delete" and (staying := left.staying()):
        return asked(f"On {left.name} {told_count(staying)} would go with it, and did not go here or are closed")
    return Fate(kind=choice, case=case, reason=f"deleted there ({case}; {says})")
