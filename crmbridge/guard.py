"""The brake: what a run may do without a person's yes. Pure; the caps cover creates and closes, not only deletes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# What is counted, per side and entity, as the plan prints it.
KINDS = ("create", "update", "blank", "convert", "close", "reopen", "disqualify", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    count: int
    percent: float  # of the entity's linked pairs

    def enough(self, wanted: int) -> int:
        """With so many linked pairs this is allowed, however many more there are."""
        if wanted <= self.count or self.percent <= 0:
            return 0
        return int(wanted * 100 / self.percent) + 1

    def allows(self, wanted: int, linked: int) -> bool:
        return wanted <= max(self.count, int(linked * self.percent / 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    creates: Cap = Cap(count=500, percent=10)
    updates: Cap = Cap(count=1000, percent=25)
    conversions: Cap = Cap(count=100, percent=10)
    closes: Cap = Cap(count=100, percent=10)
    deletes: Cap = Cap(count=25, percent=5)  # reliability §8
    blanks: Cap = Cap(count=25, percent=5)

    def cap_for(self, kind: str) -> Cap:
        return {
            "create": self.creates,
            "update": self.updates,
            "blank": self.blanks,
            "convert": self.conversions,
            "close": self.closes,
            "reopen": self.closes,
            "disqualify": self.closes,
            "delete": self.deletes,
        }[kind]


# (side, entity, kind) -> how many
Counts = Mapping[tuple[str, str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    go: bool
    reasons: tuple[str, ...] = ()
    over: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


def judge(
    counts: Counts,
    *,
    caps: Caps,
    linked: Mapping[str, int],
    first_run_of: frozenset[str] = frozenset(),
    approved: Counts | None = None,
) -> Ruling:
    """May this plan be carried out?

    `linked`: linked pairs per entity. `first_run_of`: entities never synced; their writes need an approved plan.
    `approved`: counts a person has said yes to; a plan that wants no more than those passes.
    """
    over: dict[tuple[str, str, str], int] = {}
    reasons: list[str] = []
    for place, wanted in sorted(counts.items()):
        side, entity, kind = place
        if not wanted or (approved is not None and wanted <= approved.get(place, 0)):
            continue
        if entity in first_run_of:
            over[place] = wanted
            reasons.append(f"first run of {entity}: {wanted} x {kind} on {side} needs an approved plan")
        elif not caps.cap_for(kind).allows(wanted, linked.get(entity, 0)):
            over[place] = wanted
            cap = caps.cap_for(kind)
            reasons.append(
                f"{wanted} x {kind} of {entity} on {side} is over the cap of "
                f"max({cap.count}, {cap.percent:g} % of {linked.get(entity, 0)})"
            )
    return Ruling(go=not over, reasons=tuple(reasons), over=over)
