"""What is told of deletions and merges (L8, L10, L11, L14, L15, O18, A5, A6, A8)."""

from collections.abc import Mapping

from crmbridge.model import Entity, Hold, Report

_DELETED_CASE: Mapping[Entity, str] = {"account": "A5", "contact": "A6", "lead": "L8", "opportunity": "O18"}


def plan_deleted(entity: Entity, *, converted: bool = False, along: Mapping[Entity, int] | None = None) -> Report:
    """Deletions are unlinked and reported, not propagated (default `delete: keep`).

    `along`: how many linked records went with it; they are one matter, not many (A5, A6)."""
    case = deleted_case(entity, converted=converted)
    kept = "the records made of it stay linked; " if converted else ""
    gone = told_count(along or {})
    group = f", and {gone} with it" if gone else ""
    stay = "what was linked to them on the other side stays" if gone else "the one on the other side stays"
    return Report(cause=case, message=f"The {entity} was deleted on one side{group}; {kept}{stay} ({case}).")


def deleted_case(entity: Entity, *, converted: bool) -> str:
    return "L14" if entity == "lead" and converted else _DELETED_CASE[entity]


def told_count(counts: Mapping[Entity, int]) -> str:
    return " and ".join(f"{count} {_plural(entity, count)}" for entity, count in counts.items() if count)


def _plural(entity: Entity, count: int) -> str:
    return entity if count == 1 else "opportunities" if entity == "opportunity" else f"{entity}s"


def plan_merged(entity: Entity, *, winner_linked: bool, converted: bool = False) -> Hold | None:
    """Only the loser linked: its link moves to the winner (L11). Both linked: a person decides (L10, A8)."""
    if entity == "lead" and converted:
        return Hold(
            cause="L15",
            message="A converted lead was merged into another one; its partner stays converted, and so do the records "
            "made of it (L15).",
            fix="Nothing is undone by itself: correct the partner there by hand, then: crmbridge resolve ISSUE.",
            whole=True,
        )
    if not winner_linked:
        return None
    case = "L10" if entity == "lead" else "A8"
    return Hold(
        cause=case,
        message=f"Two {entity}s were merged on one side; both have a partner on the other side ({case}).",
        fix="Merge the two partners there as well; children then follow by themselves.",
        whole=True,
    )
