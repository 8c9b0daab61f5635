"""One entity's turn in a cycle: ended pairs, twins, creates, then what differs in linked pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from crmbridge.budget import doing
from crmbridge.chosen import held_after_close, problems_to_tell
from crmbridge.drift import CAUSE as DRIFT
from crmbridge.drift import needed_for_conversions
from crmbridge.lifecycle.cases import edit_case
from crmbridge.lifecycle.plan import LifePlan
from crmbridge.model import SIDES, Entity, Hold, Link, Money, Problem, Ref, Row, Side, Step, Update, other
from crmbridge.plan import plan_fields
from crmbridge.state.words import STOPPED, Issue, Pair, Stored, seen_as
from crmbridge.sync import convert
from crmbridge.sync.again import is_half, make_partners_again, new_lead
from crmbridge.sync.ended import end_pairs
from crmbridge.sync.hands import Hands
from crmbridge.sync.here import convert_here
from crmbridge.sync.late import carry_consent, pass_on
from crmbridge.sync.living import plan_life
from crmbridge.sync.pairing import pair_up
from crmbridge.sync.persons import rules_of
from crmbridge.sync.scope import has_ended, left_out, will_link
from crmbridge.sync.settle import settle
from crmbridge.sync.steps import push_steps
from crmbridge.sync.suspects import name_of, names_of, noting
from crmbridge.sync.swings import hold_swings
from crmbridge.sync.updates import missing_key, push_updates, record_type
from crmbridge.sync.view import View
from crmbridge.sync.work import Work, is_ended, make_work, problem_issues

# A record that moved while it was being planned is planned again, so often; then the next cycle has it.
ROUNDS_MAX = 3


def run_phase(hands: Hands, view: View, entity: Entity) -> None:
    for _ in range(ROUNDS_MAX):
        works, singles = _gather(hands, view, entity)
        works += pair_up(hands, view, entity, singles)
        sync_pairs(hands, view, entity, works)
        hands.at_hand()
        if hands.dry or not any(work.moved for work in works):
            return


# --- what is due --------------------------------------------------------------------------------------------------


def _gather(hands: Hands, view: View, entity: Entity) -> tuple[list[Work], list[Stored]]:
    works: list[Work] = []
    singles: list[Stored] = []
    ended: list[Pair] = []
    halves: list[tuple[Link, Row]] = []
    for pair in due_pairs(hands, entity):
        if not is_selected(hands, view, pair):
            continue
        if pair.link is None:
            stored = pair.left or pair.right
            known = stored is None or view.crosswalk.planned(stored.row.ref) is not None
            if stored is not None and not known and str(stored.row.ref) not in hands.untouchable:
                singles.append(stored)
        elif pair.link.id in hands.untouchable:
            continue
        elif is_ended(pair):
            ended.append(pair)
        elif is_half(pair):
            halves.extend((pair.link, one.row) for one in (pair.left, pair.right) if one and one.row.values is not None)
        elif pair.left and pair.right and pair.left.row.values is not None and pair.right.row.values is not None:
            works.append(make_work(view, pair.link, {"left": pair.left.row, "right": pair.right.row}))
    works.extend(end_pairs(hands, view, ended))
    works.extend(make_partners_again(hands, view, halves))
    if hands.dry:
        singles.extend(_brought_in(hands, view, entity, {stored.row.ref for stored in singles}))
    return works, singles


def due_pairs(hands: Hands, entity: Entity) -> Iterator[Pair]:
    """This portion's, each noted before it is looked at."""
    mine = (pair for pair in hands.store.pending(entity) if hands.portion.takes(names_of(pair)))
    return noting(hands.at_hand, mine, names_of)


def _brought_in(hands: Hands, view: View, entity: Entity, known: set[Ref]) -> list[Stored]:
    """Records that this run brought into scope: the store would say they are due, but a dry run stores nothing."""
    found: list[Stored] = []
    for side in SIDES:
        ids = [ref.id for ref in hands.touched if (ref.side, ref.entity) == (side, entity) and ref not in known]
        linked = hands.store.links_by_native(side, entity, ids)
        for id, stored in hands.store.records(side, entity, ids).items():
            if id not in linked and view.crosswalk.planned(stored.row.ref) is None:
                found.append(stored)
    return found


def is_selected(hands: Hands, view: View, pair: Pair) -> bool:
    """`only:` pilots a few records and leaves the others alone."""
    only = hands.options.only
    if not only.ids and only.owner is None and only.modified_since is None:
        return True
    rows = [stored.row for stored in (pair.left, pair.right) if stored is not None]
    if (
        only.ids
        and not any(row.ref.id in only.ids for row in rows)
        and (pair.link is None or pair.link.id not in only.ids)
    ):
        return False
    if only.modified_since and not any(row.modified_at and row.modified_at >= only.modified_since for row in rows):
        return False
    if only.owner:
        owners = {view.see(row, link=pair.link).shared.fields.get("owner") for row in rows if row.values is not None}
        return only.owner.casefold() in owners
    return True


# Steps that go one at a time, each to a function of its own.
_ALONE = {"convert": convert.mirror, "adopt": convert.adopt, "convert_here": convert_here, "new_lead": new_lead}


# --- linked pairs -------------------------------------------------------------------------------------------------


def sync_pairs(hands: Hands, view: View, entity: Entity, works: Sequence[Work]) -> None:
    lives: dict[str, LifePlan] = {}
    due: list[tuple[Work, Update]] = []
    for work in noting(hands.at_hand, works, lambda work: (name_of(work.link),)):
        if len(work.rows) < len(SIDES):
            continue  # a dry run's new record: nothing to compare yet
        undecided = hands.policy(work.seen["left"]).undecided
        if undecided is not None:
            _leave_open(hands, work, undecided)
            continue
        life = plan_life(hands, work)
        lives[work.link.id] = life
        work.axes_settled = life.axes_settled
        for hold in life.holds:
            work.issues.append(_hold(hands, work, hold))
        for report in life.reports:
            work.issues.append(
                hands.issue("report", cause=report.cause, entity=entity, link=work.link, message=report.message)
            )
        work.issues.extend(_unread(hands, work))
        due.extend(_field_updates(hands, view, work, life))
    due, swinging = hold_swings(hands, works, due, lives)
    push_updates(hands, view, due)
    able: list[tuple[Work, LifePlan]] = []
    handed: list[Work] = []
    stopped = _stopped(hands, works, lives)
    for work in works:
        life = lives.get(work.link.id)
        if life is None or work.moved:
            continue
        if work.link.id in swinging:  # held; its fields were written all the same
            work.unsettled |= {name for names in life.carried.values() for name in names}
            continue
        if work.link.id in hands.untouchable:  # its update's answer was lost a moment ago
            work.axes_settled = work.axes_settled and not life.steps
            work.unsettled |= {name for names in life.carried.values() for name in names}
            continue
        others = hands.crew is not None and work.link.id in hands.converting and _converts(life)
        if others or work.link.id in stopped:  # not here, or not at all; what was found out so far is kept
            work.axes_settled, work.open, work.skipped = False, True, True
            work.unsettled |= {name for names in life.carried.values() for name in names}
            handed += [work] if others and work.link.id not in stopped else []
            continue
        able.append((work, life))
    with doing("life-cycle"):
        _take_steps(hands, view, able)
    settle(hands, view, [work for work in works if len(work.rows) == len(SIDES)])
    if handed and hands.crew is not None:
        hands.at_hand()  # whose death it is there, each lane knows by itself
        with doing("life-cycle"):
            hands.crew.work_off(hands, view, handed)


def _leave_open(hands: Hands, work: Work, problem: Problem) -> None:
    """Nothing is done about the pair, and nothing is agreed on."""
    work.issues += problem_issues(hands, work.entity, [problem], link=work.link, ref=work.rows["left"].ref)
    work.unsettled |= {rule.name for rule in hands.compiled.entities[work.entity].rules}
    work.axes_settled, work.open, work.skipped = False, True, True


def _unread(hands: Hands, work: Work) -> list[Issue]:
    """What of the two could not be read."""
    issues: list[Issue] = []
    for side in SIDES:
        here, there = work.seen[side].shared, work.seen[other(side)].shared
        if here.problems:
            problems = problems_to_tell(here, there, hands.policy(work.seen["left"]))
            issues += problem_issues(hands, work.entity, problems, link=work.link, ref=work.rows[side].ref)
    return issues


def _converts(life: LifePlan) -> bool:
    return any(_is_conversion(step) for step in life.steps)


def _stopped(hands: Hands, works: Sequence[Work], lives: Mapping[str, LifePlan]) -> set[str]:
    """Conversions that stopped their worker too often, and nobody has touched the pair or asked for another try."""
    rows = {work.link.id: work.rows for work in works if (life := lives.get(work.link.id)) and _converts(life)}
    issues = hands.store.issues_of(rows) if rows else []
    return {
        issue.link_id
        for issue in issues
        if issue.cause == STOPPED
        and issue.link_id in rows
        and issue.fingerprint == seen_as(*(rows[issue.link_id][side].version for side in SIDES))
    }


def _take_steps(hands: Hands, view: View, lives: Sequence[tuple[Work, LifePlan]]) -> None:
    """Every pair's first step before any pair's second, so that moves go many to a call."""
    on_their_way = list(lives)
    for number in range(max((len(life.steps) for _, life in lives), default=0)):
        due = [(work, life.steps[number]) for work, life in on_their_way if number < len(life.steps)]
        done = {work.link.id for work in push_steps(hands, view, [one for one in due if not _is_conversion(one[1])])}
        for work, step in due:
            if not _is_conversion(step):
                continue
            hands.at_hand([name_of(work.link)])
            converted = _convert(hands, view, work, step)
            if converted:
                done.add(work.link.id)
            if hands.dry and (converted or work.orders):
                hands.converting.add(work.link.id)
        for work, life in on_their_way:
            if number < len(life.steps) and work.link.id not in done:
                work.unsettled |= {name for names in life.carried.values() for name in names}
        on_their_way = [one for one in on_their_way if number >= len(one[1].steps) or one[0].link.id in done]
    for work, life in on_their_way:
        _pass_on(hands, view, work, life)


def _is_conversion(step: Step) -> bool:
    return step.kind in _ALONE


def _convert(hands: Hands, view: View, work: Work, step: Step) -> bool:
    missing = needed_for_conversions(hands.options.stopped)
    if missing:
        kinds = ", ".join(sorted(missing))
        work.axes_settled, work.open = False, True
        text = f"Its conversion waits: {kinds} records are stopped, since their fields changed in a CRM."
        work.issues.append(hands.issue("waiting", cause=DRIFT, entity=work.entity, link=work.link, message=text))
        return False
    return _ALONE[step.kind](hands, view, work, step)


def _field_updates(hands: Hands, view: View, work: Work, life: LifePlan) -> list[tuple[Work, Update]]:
    rules = rules_of(hands, work.seen)
    plan = plan_fields(
        work.entity,
        rules,
        work.link,
        work.seen["left"],
        work.seen["right"],
        our_users=hands.our_users,
        choices=hands.options.choices,
        with_step=life.carried,
        ended=lambda ref: has_ended(hands, ref),
    )
    work.unsettled |= plan.unsettled
    work.issues.extend(left_out(hands, view, work.link, work.seen, rules))
    for report in plan.reports:
        work.issues.append(
            hands.issue("report", cause=report.cause, entity=work.entity, link=work.link, message=report.message)
        )
    for wait in plan.waits:
        if wait.ref is not None and will_link(hands, view, wait.ref):
            work.open = True
            text = f"Waits for {wait.waits_for} to be linked."
            work.issues.append(
                hands.issue("waiting", cause="waiting", entity=work.entity, link=work.link, message=text)
            )
    converted: set[Side] = {side for side in SIDES if work.seen[side].shared.state == "converted"}
    if work.entity == "lead" and converted:
        # A converted lead is not written to any more; its values live on in what it became (L12, L13).
        work.late = tuple(update for update in plan.updates if update.side in converted)
        work.unsettled |= {name for update in work.late for name in update.fields}
        if len(converted) == len(SIDES):
            return []
    for hold in plan.holds:
        work.issues.append(_hold(hands, work, hold))
    updates = [
        (work, _with_case(work, update))
        for update in plan.updates
        if update not in work.late and not _after_close(hands, work, update)
    ]
    for side in SIDES:
        own = missing_key(hands, work, side) is not None or record_type(hands, work, side)
        if own and not any(update.side == side for _, update in updates):
            updates.append((work, Update(side=side, fields={}, reason="key of a record made by a conversion")))
    return updates


def _after_close(hands: Hands, work: Work, update: Update) -> bool:
    """Is it an edit that waits for a person, since the deal is closed?"""
    hold = held_after_close(update, work.seen, hands.policy(work.seen["left"]))
    if hold is None:
        return False
    work.unsettled |= set(update.fields)
    work.issues.append(_hold(hands, work, hold))
    return True


def _with_case(work: Work, update: Update) -> Update:
    there = work.seen[update.side].shared
    now = {value.currency for value in update.fields.values() if isinstance(value, Money)}
    old = {value.currency for name in update.fields if isinstance(value := there.fields.get(name), Money)}
    case = edit_case(
        work.entity, update.fields.keys(), closed=there.state in {"won", "lost"}, currency=bool(now and old - now)
    )
    return replace(update, reason=f"{update.reason} ({case})")


def _pass_on(hands: Hands, view: View, work: Work, life: LifePlan) -> None:
    """What a lead that is converted on both sides, or is left to one, leaves to what it became."""
    both = all(work.seen[side].shared.state == "converted" for side in SIDES)
    if work.entity != "lead" or not (both or life.heirs):
        return  # a dry run's conversion has not happened: its heirs are not there yet
    for hold in pass_on(hands, view, work):
        work.issues.append(_hold(hands, work, hold))
    for step in life.steps:
        carry_consent(hands, view, work, step.side)


def _hold(hands: Hands, work: Work, hold: Hold) -> Issue:
    return hands.issue(
        "held",
        cause=hold.cause,
        entity=work.entity,
        link=work.link,
        field=hold.field,
        message=hold.message,
        fix=hold.fix,
    )
