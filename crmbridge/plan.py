"""What to write where, for one pair of records: a three-way merge by field, pure.

Each side is compared with its own view of the base. That tells an edit here from an edit there, and lets our own echo
die by itself: what was read back after a write *is* the base (vdirsyncer's idea, by field instead of by item).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from crmbridge.model import (
    SIDES,
    Axes,
    Base,
    Create,
    Entity,
    FieldRule,
    Fields,
    Hold,
    Link,
    LinkMode,
    Problem,
    Ref,
    Report,
    Row,
    Seen,
    Shared,
    Side,
    Unlinked,
    Update,
    Value,
    Wait,
    other,
)
from crmbridge.policy import DEFAULT, Policy

# Two edits closer than this are the same moment: clocks of two vendors are not compared to the second.
SAME_MOMENT = timedelta(seconds=2)


class _Absent:
    """No value was ever agreed on, or the one there could not be read."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one field of a pair."""

    write: Side | None = None  # the side that gets `value`
    value: Value = None
    settled: bool = True  # False: the base keeps its old views, the matter stays open
    why: str = ""
    hold: Hold | None = None
    wait: Wait | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    updates: tuple[Update, ...] = ()  # at most one a side
    holds: tuple[Hold, ...] = ()
    waits: tuple[Wait, ...] = ()
    unsettled: frozenset[str] = frozenset()
    reports: tuple[Report, ...] = ()
    conflicts: tuple[str, ...] = ()  # fields where both sides had changed, or (first run) differed


def under(rules: Iterable[FieldRule], policy: Policy, entity: Entity) -> tuple[FieldRule, ...]:
    """The mapping's rules as they hold for a record of this policy.

    Who is master decides every field but consent; the owner goes as `owner:` says; consent as `consent:` says (A3)."""
    return tuple(_under(rule, policy, entity) for rule in rules) if policy != DEFAULT else tuple(rules)


def _under(rule: FieldRule, policy: Policy, entity: Entity) -> FieldRule:
    if rule.restrictive:
        return rule if policy.consent == "restrictive" else replace(rule, restrictive=False)
    if rule.owner:
        choice = getattr(policy.owner, entity)
        if choice == "off":
            return replace(rule, sides=frozenset())
        if choice is not None:
            rule = replace(rule, rule=choice)
    if rule.inactive and policy.move.inactive != "both":
        choice = policy.move.inactive
        return replace(rule, sides=frozenset()) if choice == "off" else replace(rule, rule=choice)
    if entity == "opportunity" and rule.link == "contact" and policy.move.contact_roles == "off":
        return replace(rule, sides=frozenset())
    if policy.master is not None and rule.rule != "create only":
        return replace(rule, rule=policy.master)
    return rule


def is_blank(value: Value) -> bool:
    return value is None or value == ""


def newest(left: Row, right: Row, our_users: Mapping[Side, str | None]) -> Side | None:
    """The side that was edited last by somebody else; None: no evidence, or the same moment.

    A time whose last modifier is us says when *we* wrote, not when a person did (reliability §7)."""
    left_at = saved_by_others(left, our_users["left"])
    right_at = saved_by_others(right, our_users["right"])
    if left_at is None or right_at is None:
        return "left" if left_at else "right" if right_at else None
    if abs(left_at - right_at) <= SAME_MOMENT:
        return None
    return "left" if left_at > right_at else "right"


def saved_by_others(row: Row, our_user: str | None) -> datetime | None:
    """When somebody else saved it; None: no evidence."""
    return None if our_user is not None and row.modified_by == our_user else row.modified_at


def decide_field(
    rule: FieldRule,
    *,
    mode: LinkMode,
    origin: Side | None,
    base_left: Value | _Absent,
    base_right: Value | _Absent,
    left: Value | _Absent,
    right: Value | _Absent,
    last_edit: Side | None,
    choice: Side | None,
    fills_back: bool,
    saved_there: bool = False,
) -> Verdict:
    """The decision for one field. `choice`: a person's answer to the first run's conflicts of this field.

    `fills_back`: for a pair made by a conversion, what the other CRM filled in flows to the origin where that is blank.
    `saved_there`: the last who saved what the conversion made was not us.
    """
    # A field that one side does not have is read, never written across.
    if len(rule.sides) < len(SIDES):
        return Verdict(why="one side only")
    # A value that could not be read: its problem is an issue of its own; nothing is written on a guess.
    if isinstance(left, _Absent) or isinstance(right, _Absent):
        return Verdict(settled=False, why="unreadable")
    # Consent: the more restrictive wins, always (A3); not asked and not refused are the same.
    if rule.restrictive:
        if bool(left) == bool(right):
            return Verdict(why="equal")
        return _write("right" if left else "left", True, "the more restrictive wins (A3)")
    if rule.same(left, right):
        return Verdict(why="equal")
    # Made by us, and the run died before what it looks like was written down: the record may have been edited since.
    never = isinstance(base_left, _Absent) and isinstance(base_right, _Absent)
    if mode == "fresh" and origin is not None and never:
        if is_blank(left if origin == "left" else right):
            return Verdict(why="as the target shows it")
        return _toward(other(origin), left, right, "from the record it was made from")
    at_origin, at_target = (base_left, base_right) if origin == "left" else (base_right, base_left)
    if mode == "converted" and origin is not None and isinstance(at_origin, _Absent):
        now = right if origin == "left" else left
        if isinstance(at_target, _Absent):
            # The answer was lost, and somebody saved it before we saw how it was made: a blank takes what is there,
            # whoever saved last, for what was typed there is nowhere else.
            fills_back = fills_back or saved_there
            return _after_conversion(origin, left, right, fills_back=fills_back)
        if rule.same(now, at_target):
            return _after_conversion(origin, left, right, fills_back=fills_back)
        # Somebody edited there what the conversion had made, before the two were first compared: no fill, an edit.
        if is_blank(left if origin == "left" else right):
            return _toward(origin, left, right, "changed since the conversion")
        winner = last_edit or origin
        return _toward(other(winner), left, right, "both changed, newest wins" if last_edit else "both changed at once")
    if isinstance(base_left, _Absent) or isinstance(base_right, _Absent):
        return _without_base(rule, left, right, choice)
    left_changed, right_changed = left != base_left, right != base_right
    if not left_changed and not right_changed:
        # An old disagreement: known, shown, written only when somebody chose.
        if choice is not None:
            return _toward(other(choice), left, right, "chosen for the whole field")
        return Verdict(why="known difference", hold=_conflict(rule) if _is_held(rule, mode, left, right) else None)
    match rule.rule:
        case "create only":
            return Verdict(why="create only")
        case "ask":
            return Verdict(
                settled=False,
                why="ask",
                hold=Hold(
                    cause="ask",
                    field=rule.name,
                    message=f"{rule.name} changed and its rule is 'ask'.",
                    fix="Give both sides the value that is right; it is then agreed on.",
                ),
            )
        case "left" | "right":
            return _toward(other(rule.rule), left, right, f"always {rule.rule}")
        case "prefer left" | "prefer right":
            preferred: Side = "left" if rule.rule == "prefer left" else "right"
            winner = other(preferred) if is_blank(left if preferred == "left" else right) else preferred
            return _toward(other(winner), left, right, f"prefer {preferred}")
        case "both":
            pass
    if left_changed != right_changed:
        edited: Side = "left" if left_changed else "right"
        if last_edit == other(edited) and _is_held(rule, mode, base_left, base_right):
            # Typed before the other value, and shown after it: no answer to the question that was asked.
            if choice is not None:
                return _toward(other(choice), left, right, "chosen for the whole field")
            return Verdict(why="known difference, the other value is newer", hold=_conflict(rule))
        return _toward(other(edited), left, right, f"changed on the {edited}")
    winner = last_edit or "left"
    return _toward(other(winner), left, right, "both changed, newest wins" if last_edit else "both changed at once")


def _is_held(rule: FieldRule, mode: LinkMode, left: Value, right: Value) -> bool:
    """Of two values that the base tells: is that a disagreement which people were asked about? What we made ourselves
    shows our values in its own way, and that is the agreement."""
    if mode == "fresh" or is_blank(left) or is_blank(right) or rule.rule == "create only" or rule.kind == "user":
        return False
    return not rule.same(left, right)


def _without_base(rule: FieldRule, left: Value, right: Value, choice: Side | None) -> Verdict:
    """First coupling (lifecycle §8): blanks are filled both ways, a conflict is counted, never overwritten."""
    if is_blank(left) and rule.rule != "left":
        return _toward("left", left, right, "blank is filled")
    if is_blank(right) and rule.rule != "right":
        return _toward("right", left, right, "blank is filled")
    if is_blank(left) or is_blank(right) or rule.rule == "create only":
        return Verdict(why="left as it is")
    if choice is not None:
        return _toward(other(choice), left, right, "chosen for the whole field")
    return Verdict(why="differs, never agreed on", hold=_conflict(rule))


def _conflict(rule: FieldRule) -> Hold:
    return Hold(
        cause="first_run_conflict",
        field=rule.name,
        message=f"{rule.name} differs and there is no earlier agreement; neither value was overwritten.",
        fix=f"Choose once for the whole field: crmbridge resolve --field ENTITY.{rule.name} --prefer CONNECTION.",
    )


def _after_conversion(origin: Side, left: Value, right: Value, *, fills_back: bool) -> Verdict:
    """The origin's values win for what is mapped, "create only" too: these rows were made a moment ago. The other CRM's
    own fill stays where the origin is blank (§1.4)."""
    at_origin = left if origin == "left" else right
    if not is_blank(at_origin):
        return _toward(other(origin), left, right, "from the converted side")
    if fills_back:
        return _toward(origin, left, right, "filled in by the conversion")
    return Verdict(why="filled in by the conversion, stays there")


def _toward(side: Side, left: Value, right: Value, why: str) -> Verdict:
    return _write(side, right if side == "left" else left, why)


def _write(side: Side, value: Value, why: str) -> Verdict:
    if isinstance(value, Unlinked):
        ref = Ref(side=other(side), entity=value.entity, id=value.id)
        return Verdict(settled=False, why="waits", wait=Wait(waits_for=f"its {value.entity}", ref=ref))
    return Verdict(write=side, value=value, why=why)


def plan_fields(
    entity: Entity,
    rules: Sequence[FieldRule],
    link: Link,
    left: Seen,
    right: Seen,
    *,
    our_users: Mapping[Side, str | None],
    choices: Mapping[str, Side] | None = None,
    with_step: Mapping[Side, frozenset[str]] | None = None,
    ended: Callable[[Ref], bool] = lambda ref: False,
) -> PairPlan:
    """Updates of one linked pair. `with_step`: fields that a life-cycle step writes on that side, from the other.

    `ended`: is that record one of a pair that has ended, so that nothing follows from pointing at it."""
    last_edit = newest(left.row, right.row, our_users)
    seen: Mapping[Side, Seen] = {"left": left, "right": right}
    writes: dict[Side, dict[str, Value]] = {"left": {}, "right": {}}
    whys: dict[Side, dict[str, str]] = {"left": {}, "right": {}}
    holds: list[Hold] = []
    waits: list[Wait] = []
    unsettled: set[str] = set()
    reports: list[Report] = []
    conflicts: list[str] = []
    # A blank name or person that an origin lacks is filled from the conversion's result; an opportunity's synthetic
    # stage, close date and probability never flow back (lifecycle §1.4).
    fills_back = entity in {"account", "contact"}
    made_by_us = seen[other(link.origin or "left")]
    saved_there = saved_by_others(made_by_us.row, our_users[made_by_us.row.ref.side]) is not None
    carried = {name for names in (with_step or {}).values() for name in names}
    for rule in rules:
        if rule.name in carried:
            continue
        if rule.link is not None and _points_at_ended(rule, left, right, ended):
            unsettled.add(rule.name)
            continue
        verdict = decide_field(
            rule,
            mode=link.mode,
            origin=link.origin,
            base_left=link.base.left.get(rule.name, ABSENT),
            base_right=link.base.right.get(rule.name, ABSENT),
            left=left.shared.fields.get(rule.name, ABSENT),
            right=right.shared.fields.get(rule.name, ABSENT),
            last_edit=last_edit,
            choice=(choices or {}).get(f"{entity}.{rule.name}"),
            fills_back=fills_back,
            saved_there=saved_there,
        )
        if verdict.write is not None and rule.kind == "money" and seen[verdict.write].life.amount_calculated:
            # Salesforce ignores it, Dynamics recalculates it (O5): the products there decide.
            reports.append(
                Report(
                    cause="O5", message=f"{rule.name} is calculated there from its products; it was not written (O5)."
                )
            )
            unsettled.add(rule.name)
            continue
        if verdict.write is not None:
            writes[verdict.write][rule.name] = verdict.value
            whys[verdict.write][rule.name] = verdict.why
        if not verdict.settled:
            unsettled.add(rule.name)
        if verdict.hold:
            holds.append(replace(verdict.hold, fix=verdict.hold.fix.replace("ENTITY", entity)))
        if verdict.wait:
            waits.append(verdict.wait)
        if verdict.why.startswith(("both changed", "differs")):
            conflicts.append(rule.name)
    for rule in rules:
        for side in rule.derived:
            made = _made(rule, side, seen, writes[side])
            if isinstance(made, Hold):
                holds.append(made)
            elif made is not None:
                writes[side][rule.name] = made.value
                whys[side][rule.name] = made.why
    updates = tuple(
        Update(side=side, fields=writes[side], why=whys[side], reason=_summary(whys[side]))
        for side in SIDES
        if writes[side]
    )
    return PairPlan(
        updates=updates,
        holds=tuple(holds),
        waits=tuple(waits),
        unsettled=frozenset(unsettled),
        reports=tuple(reports),
        conflicts=tuple(conflicts),
    )


def _made(rule: FieldRule, side: Side, seen: Mapping[Side, Seen], written: Fields) -> Verdict | Hold | None:
    """A field that the mapping makes, from the values that the record there will have; None: it is right as it is."""
    there = seen[side].shared
    if there.state == "converted" or rule.name not in there.fields:
        return None  # not written to any more; or unreadable, which is an issue of its own
    value = rule.derived[side]({**seen[other(side)].shared.fields, **there.fields, **written})
    if isinstance(value, Problem):
        return Hold(cause=value.cause, field=rule.name, message=value.message, fix=value.fix)
    return None if rule.same(there.fields[rule.name], value) else Verdict(write=side, value=value, why="made here")


def _points_at_ended(rule: FieldRule, left: Seen, right: Seen, ended: Callable[[Ref], bool]) -> bool:
    """One side points at a record whose pair has ended, the other nowhere: the deletion's own echo, no edit (A5)."""
    dead = blank = 0
    for seen in (left, right):
        value = seen.shared.fields.get(rule.name)
        if isinstance(value, Unlinked):
            dead += ended(Ref(side=seen.row.ref.side, entity=value.entity, id=value.id))
        blank += is_blank(value)
    return dead == len(SIDES) or (dead == 1 and blank == 1)


def _summary(whys: Mapping[str, str]) -> str:
    by_reason: dict[str, list[str]] = {}
    for name, why in whys.items():
        by_reason.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePlan:
    create: Create | None = None
    waits: tuple[Wait, ...] = ()
    left_out: frozenset[str] = field(default_factory=frozenset)  # links to records that do not cross


def plan_create(
    rules: Sequence[FieldRule],
    source: Seen,
    *,
    reason: str,
    will_link: Callable[[Ref], bool],
) -> CreatePlan:
    """A record that the other side lacks. `will_link`: is that parent in scope, so that waiting for it makes sense."""
    side, values, waits, left_out = source.row.ref.side, {}, list[Wait](), set[str]()
    for rule in rules:
        if len(rule.sides) < len(SIDES) or rule.name not in source.shared.fields:
            continue
        value = source.shared.fields[rule.name]
        if isinstance(value, Unlinked):
            parent = Ref(side=side, entity=value.entity, id=value.id)
            if will_link(parent):
                waits.append(Wait(waits_for=f"its {value.entity}", ref=parent))
            else:
                left_out.add(rule.name)
            continue
        if not is_blank(value):
            values[rule.name] = value
    if waits:
        return CreatePlan(waits=tuple(waits), left_out=frozenset(left_out))
    for rule in rules:
        if other(side) in rule.derived:
            made = rule.derived[other(side)](source.shared.fields)
            if not isinstance(made, Problem) and not is_blank(made):  # a problem is told once the pair is there
                values[rule.name] = made
    create = Create(side=other(side), source=source.row.ref, fields=values, reason=reason)
    return CreatePlan(create=create, left_out=frozenset(left_out))


def settled_base(
    old: Base,
    left: Shared,
    right: Shared,
    unsettled: frozenset[str],
    *,
    axes_settled: bool = True,
) -> Base:
    """The base after a pair was pushed: each side's own view as it is now, but for what stays open."""

    def view(now: Fields, before: Fields) -> dict[str, Value]:
        kept = {name: value for name, value in before.items() if name in unsettled}
        fresh = {
            name: value for name, value in now.items() if name not in unsettled and not isinstance(value, Unlinked)
        }
        return {**fresh, **kept}

    def axes(now: Shared, before: Axes) -> Axes:
        if not axes_settled:
            return before
        return Axes(state=now.state, status=now.status, on_hold=now.on_hold)

    return Base(
        left=view(left.fields, old.left),
        right=view(right.fields, old.right),
        left_axes=axes(left, old.left_axes),
        right_axes=axes(right, old.right_axes),
    )
