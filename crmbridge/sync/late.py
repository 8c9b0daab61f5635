"""What was edited on a converted lead lives on in what the lead became (L12, L13), and so does consent (A3).

Nothing is written to the converted lead. Its partner's contact, account or opportunity gets the value, as the CRMs' own
conversion would have carried it, if it still holds the old one; from there it spreads the ordinary way.
"""

from collections.abc import Iterable, Mapping

from crmbridge.lifecycle.conversions import late_places
from crmbridge.model import SIDES, Entity, FieldRule, Hold, Link, Row, Side, Update, Value, other, results_of
from crmbridge.plan import is_blank
from crmbridge.state.words import Batch
from crmbridge.sync.hands import Hands
from crmbridge.sync.updates import push_updates
from crmbridge.sync.view import View
from crmbridge.sync.work import Work, make_work


def pass_on(hands: Hands, view: View, work: Work) -> list[Hold]:
    """What becomes of a converted lead's late edits, as `late_edit` says."""
    names = sorted({name for update in work.late for name in update.fields})
    policy = hands.policy(work.seen["left"])
    if not names:
        return []
    if policy.convert.late_edit == "redirect":
        return _redirect(hands, view, work, work.late)
    if policy.convert.late_edit == "ignore":
        work.unsettled -= set(names)  # as it is now it is agreed on
        return []
    return [
        Hold(
            cause="L12",
            message=f"A converted lead was edited ({', '.join(names)}), and nothing of it was passed on "
            f"(L12; {policy.says('convert.late_edit')}).",
            fix="Make the edit on the contact, account or opportunity it became, or take it back.",
        )
    ]


def _redirect(hands: Hands, view: View, work: Work, updates: Iterable[Update]) -> list[Hold]:
    """Passed on to what the lead became, or held with the reason."""
    holds: list[Hold] = []
    for update in updates:
        heirs = _heirs(hands, view, work, update.side)
        wanted: dict[Entity, dict[str, Value]] = {}
        lost: dict[str, str] = {}
        for name, value in update.fields.items():
            old = work.link.base.view(update.side).get(name)
            found, why = _placed(hands, heirs, update.side, name, value, old)
            if why:
                lost[name] = why
            for entity, place in found:
                wanted.setdefault(entity, {})[place] = value
        reason = "edited on the converted lead, so written to what it became (L12)"
        written = _write(hands, view, heirs, update.side, wanted, reason)
        failed = {name for name in update.fields if name not in lost} if not written else set[str]()
        work.unsettled |= failed | set(lost)
        work.open = work.open or bool(failed)
        if lost:
            told = "; ".join(f"{name}: {why}" for name, why in sorted(lost.items()))
            holds.append(
                Hold(
                    cause="L12",
                    message=f"A converted lead was edited, and there is nowhere to pass it on ({told}) (L12).",
                    fix="Make the edit on the contact, account or opportunity it became.",
                )
            )
    return holds


def carry_consent(hands: Hands, view: View, work: Work, side: Side) -> None:
    """A conversion into an existing contact leaves the lead's opt-outs behind (lifecycle §1.1): here they are not."""
    there = _rules(hands, "contact")
    refused = [
        rule.name
        for rule in hands.compiled.entities["lead"].rules
        if rule.restrictive
        and rule.name in there
        and side in there[rule.name].sides
        and any(seen.shared.fields.get(rule.name) for seen in work.seen.values())
    ]
    if not refused:
        return
    heirs = _heirs(hands, view, work, side)
    if "contact" not in heirs:
        return
    has = heirs["contact"].seen[side].shared.fields
    wanted: dict[str, Value] = {name: True for name in refused if not has.get(name)}
    if wanted:
        _write(hands, view, heirs, side, {"contact": wanted}, "refused on the lead, so refused on the contact (A3)")


def _placed(
    hands: Hands, heirs: Mapping[Entity, Work], side: Side, name: str, value: Value, old: Value
) -> tuple[list[tuple[Entity, str]], str]:
    """Places to write, or why there is none."""
    found: list[tuple[Entity, str]] = []
    places = late_places(name, lambda entity, field: _takes(hands, heirs, entity, field, side))
    for entity, place in places:
        rule = _rules(hands, entity)[place]
        there = heirs[entity].seen[side].shared.fields.get(place)
        if rule.same(there, value):
            continue
        if not rule.same(there, old) and not (is_blank(there) and is_blank(old)):
            return [], f"the {entity} has another value by now"
        found.append((entity, place))
    return found, "" if places else "no field of what it became takes it"


def _takes(hands: Hands, heirs: Mapping[Entity, Work], entity: Entity, field: str, side: Side) -> bool:
    rule = _rules(hands, entity).get(field)
    return entity in heirs and rule is not None and side in rule.sides and rule.rule != "create only"


def _rules(hands: Hands, entity: Entity) -> Mapping[str, FieldRule]:
    one = hands.compiled.entities.get(entity)
    return {rule.name: rule for rule in one.rules} if one is not None else {}


def _heirs(hands: Hands, view: View, work: Work, side: Side) -> dict[Entity, Work]:
    """The linked pairs of what the lead became on that side."""
    heirs: dict[Entity, Work] = {}
    for entity, native in results_of(work.seen[side].life).items():
        link = hands.store.links_by_native(side, entity, [native]).get(native) if native else None
        if link is None or not link.alive:
            continue
        made = _pair(hands, view, link)
        if made is not None:
            heirs[entity] = made
    return heirs


def _pair(hands: Hands, view: View, link: Link) -> Work | None:
    rows: dict[Side, Row] = {}
    for side in SIDES:
        native = link.id_on(side)
        stored = hands.store.records(side, link.entity, [native]).get(native) if native else None
        if stored is None or stored.row.values is None or stored.row.deleted:
            return None
        rows[side] = stored.row
    return make_work(view, link, rows)


def _write(
    hands: Hands,
    view: View,
    heirs: Mapping[Entity, Work],
    side: Side,
    wanted: Mapping[Entity, Mapping[str, Value]],
    reason: str,
) -> bool:
    """Written now; the pair is due, so that the value spreads to its other side: before the call, for a run may end
    with it."""
    due = [
        (heirs[entity], Update(side=side, fields=fields, reason=reason, why=dict.fromkeys(fields, reason)))
        for entity, fields in wanted.items()
    ]
    if not due:
        return True
    works = [work for work, _ in due]
    hands.record(Batch(dirty=[work.rows[one].ref for work in works for one in (side, other(side))]))
    push_updates(hands, view, due)
    hands.record(Batch(issues=[issue for work in works for issue in work.issues]))
    return all(not work.open and not work.moved for work in works)
