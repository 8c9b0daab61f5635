"""I15: the same pair seen in a mirror gives the mirrored plan. Asked of pairs as the stories bring them about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from crmbridge import plan as plans
from crmbridge.model import SIDES, Base, Entity, FieldRule, Link, Ref, RuleName, Seen, Side, other

EVERY: Final = 5  # one of so many plans is looked at in the mirror
_RULES: Final[Mapping[str, RuleName]] = {
    "left": "right",
    "right": "left",
    "prefer left": "prefer right",
    "prefer right": "prefer left",
}


class Mirror:
    """Stands where the engine asks for a plan."""

    def __init__(self, note: Callable[[str], None], looked: Callable[[], None]) -> None:
        self._note, self._looked = note, looked
        self._asked = 0

    def plan_fields(
        self, entity: Entity, rules: Sequence[FieldRule], link: Link, left: Seen, right: Seen, **more: Any
    ) -> plans.PairPlan:
        done = plans.plan_fields(entity, rules, link, left, right, **more)
        self._asked += 1
        if self._asked % EVERY == 0:
            tie = plans.newest(left.row, right.row, more["our_users"]) is None
            back = plans.plan_fields(
                entity, [_rule(one) for one in rules], _link(link), _seen(right), _seen(left), **_rest(more)
            )
            # A tie goes to the configured side; where that one's value has to wait, only the other one tells of it, and
            # where both have to, each tells of its own.
            if not (tie and (done.conflicts or back.conflicts or (done.waits and back.waits))):
                self._looked()
                if _told(done) != _told(back, swapped=True):
                    self._note(f"I15: {entity} {link.id}: {_told(done)} is {_told(back, swapped=True)} in the mirror")
        return done


def _rule(one: FieldRule) -> FieldRule:
    same = one.same
    return replace(
        one,
        rule=_RULES.get(one.rule, one.rule),
        sides=frozenset(other(side) for side in one.sides),
        derived={other(side): make for side, make in one.derived.items()},
        same=lambda a, b: same(b, a),
    )


def _link(one: Link) -> Link:
    base = Base(left=one.base.right, right=one.base.left, left_axes=one.base.right_axes, right_axes=one.base.left_axes)
    origin = other(one.origin) if one.origin is not None else None
    return replace(one, left_id=one.right_id, right_id=one.left_id, base=base, origin=origin)


def _seen(one: Seen) -> Seen:
    return replace(one, row=replace(one.row, ref=_ref(one.row.ref)))


def _ref(one: Ref) -> Ref:
    return replace(one, side=other(one.side))


def _rest(more: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(more)
    for name in ("our_users", "with_step"):
        if rest.get(name):
            rest[name] = {other(side): rest[name][side] for side in SIDES if side in rest[name]}
    if rest.get("choices"):
        rest["choices"] = {name: other(side) for name, side in rest["choices"].items()}
    if "ended" in rest:
        ended = rest["ended"]
        rest["ended"] = lambda ref: ended(_ref(ref))
    return rest


def _told(one: plans.PairPlan, *, swapped: bool = False) -> Any:
    def side_of(side: Side) -> Side:
        return other(side) if swapped else side

    return (
        {side_of(update.side): dict(update.fields) for update in one.updates},
        [(hold.cause, hold.field) for hold in one.holds],
        [(side_of(wait.ref.side), wait.ref.id) if wait.ref else wait.waits_for for wait in one.waits],
        one.unsettled,
        [report.cause for report in one.reports],
        one.conflicts,
    )
