"""One entity's turn in a cycle: ended pairs, twins, creates, then what differs in linked pairs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from crmbridge.lifecycle import LifePlan, create_case, edit_case, plan_lead, plan_opportunity
from crmbridge.match import Candidate, Cluster, Matches, match
from crmbridge.model import SIDES, Entity, Hold, Link, Money, Ref, Seen, Side, Step, Update, Wait, other
from crmbridge.plan import newest, plan_create, plan_fields
from crmbridge.state.words import Batch, Issue, IssuePlace, Pair, Stored
from crmbridge.sync import convert
from crmbridge.sync.creates import NewRecord, push_creates
from crmbridge.sync.ended import end_pairs, is_ended
from crmbridge.sync.hands import Event, Hands
from crmbridge.sync.late import carry_consent, redirect
from crmbridge.sync.scope import claimed_by, has_ended, in_scope, left_out, will_link
from crmbridge.sync.settle import settle
from crmbridge.sync.steps import push_steps
from crmbridge.sync.updates import push_updates
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import Work, make_work, problem_issues

# A record that moved while it was being planned is planned again, so often; then the next cycle has it.
ROUNDS_MAX = 3


def run_phase(hands: Hands, view: View, entity: Entity) -> None:
    for _ in range(ROUNDS_MAX):
        works, singles = _gather(hands, view, entity)
        works += _pair_up(hands, view, entity, singles)
        _sync_pairs(hands, view, entity, works)
        if hands.dry or not any(work.moved for work in works):
            return


# --- what is due --------------------------------------------------------------------------------------------------


def _gather(hands: Hands, view: View, entity: Entity) -> tuple[list[Work], list[Stored]]:
    works: list[Work] = []
    singles: list[Stored] = []
    ended: list[Pair] = []
    for pair in hands.store.pending(entity):
        if not _selected(hands, view, pair):
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
        elif pair.left and pair.right and pair.left.row.values is not None and pair.right.row.values is not None:
            works.append(make_work(view, pair.link, {"left": pair.left.row, "right": pair.right.row}))
    works.extend(end_pairs(hands, view, ended))
    if hands.dry:
        singles.extend(_brought_in(hands, view, entity, {stored.row.ref for stored in singles}))
    return works, singles


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


def _selected(hands: Hands, view: View, pair: Pair) -> bool:
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


# --- twins and creates --------------------------------------------------------------------------------------------


def _pair_up(hands: Hands, view: View, entity: Entity, singles: Sequence[Stored]) -> list[Work]:
    """Records without a partner: find it, or make it, or say why not."""
    gone = [stored for stored in singles if stored.row.deleted or stored.row.merged_into or stored.row.values is None]
    if gone:
        over: list[IssuePlace] = [(entity, None, one.row.ref.side, one.row.ref.id, None) for one in gone]
        hands.record(Batch(clean=[(one.row.ref, one.row.version) for one in gone], close_issues=over))
    # A merge's winner may have got the loser's partner a moment ago (L11).
    alive = [
        stored
        for stored in singles
        if stored not in gone and view.crosswalk.shared_id(stored.row.ref.side, entity, stored.row.ref.id) is None
    ]
    if not alive:
        return []
    touched = {stored.row.ref for stored in alive if stored.touched}
    due = {stored.row.ref.id: view.see(stored.row) for stored in alive}
    pool: dict[Side, dict[str, Seen]] = {side: {} for side in SIDES}
    for side in SIDES:
        for seen in view.see_all(hands.store.unlinked(side, entity)):
            if view.crosswalk.planned(seen.row.ref) is None and str(seen.row.ref) not in hands.untouchable:
                pool[side][seen.row.ref.id] = seen
    works, rest = _join_twins(hands, view, entity, due, pool)
    return works + _make_partners(hands, view, entity, rest, touched)


def _join_twins(
    hands: Hands, view: View, entity: Entity, due: dict[str, Seen], pool: dict[Side, dict[str, Seen]]
) -> tuple[list[Work], list[Seen]]:
    compiled = hands.compiled.entities[entity]
    rules = {rule.name: rule for rule in compiled.rules}
    found = _by_our_key(pool)
    keyed = {id for pair in found for id in pair[:2]}
    free: dict[Side, list[Seen]] = {
        side: [seen for seen in pool[side].values() if seen.row.ref.id not in keyed] for side in SIDES
    }
    matches: Matches = match(entity, compiled.match, rules, *(map(_candidate, free[side]) for side in SIDES))
    pairs = [pair for pair in (*found, *matches.pairs) if pair[0] in due or pair[1] in due]
    taken = {id for pair in pairs for id in pair[:2]} | {
        id for cluster in matches.held for id in (*cluster.left, *cluster.right)
    }
    # The same keys, whatever the state: the same record in two states is for a person (lifecycle §8).
    left_over: dict[Side, list[Seen]] = {
        side: [seen for seen in free[side] if seen.row.ref.id not in taken] for side in SIDES
    }
    apart = match(entity, compiled.match, rules, *(map(_stateless, left_over[side]) for side in SIDES))
    clusters = [*matches.held]
    clusters += [
        Cluster(left=(left,), right=(right,), key=key, cause="state_differs") for left, right, key in apart.pairs
    ]
    clusters += [replace(cluster, cause="state_differs") for cluster in apart.held]
    works: list[Work] = []
    links: list[Link] = []
    for left, right, key in pairs:
        link = Link(id=_new_id(), entity=entity, left_id=left, right_id=right, mode="matched", how=f"matched by {key}")
        links.append(link)
        view.crosswalk.learn(link)
        hands.by_key[f"{entity}: {key}"] += 1
        hands.tell(_event(link, None, "link", f"the same {entity} on both sides, by {key}"))
        works.append(make_work(view, link, {"left": pool["left"][left].row, "right": pool["right"][right].row}))
    hands.record(
        Batch(
            links=links,
            close_issues=[
                (entity, None, side, id, None)
                for link in links
                for side, id in link_ids(link).items()
                if id is not None
            ],
        )
    )
    held = _hold_clusters(hands, entity, clusters, due)
    taken = {id for pair in pairs for id in pair[:2]} | held
    return works, [seen for id, seen in due.items() if id not in taken]


def _by_our_key(pool: dict[Side, dict[str, Seen]]) -> list[tuple[str, str, str]]:
    """Rows that carry our key: the partner's native id, written at creation (key 0)."""
    found: list[tuple[str, str, str]] = []
    for side in SIDES:
        for id, seen in pool[side].items():
            partner = seen.row.key
            if partner and partner in pool[other(side)]:
                found.append((id, partner, "our key") if side == "left" else (partner, id, "our key"))
    return found


def _hold_clusters(hands: Hands, entity: Entity, clusters: Iterable[Cluster], due: dict[str, Seen]) -> set[str]:
    issues: list[Issue] = []
    clean: list[tuple[Ref, str | None]] = []
    held: set[str] = set()
    for cluster in clusters:
        mine: dict[Side, tuple[str, ...]] = {"left": cluster.left, "right": cluster.right}
        if not any(id in due for ids in mine.values() for id in ids):
            continue
        for side in SIDES:
            for id in mine[side]:
                if id not in due:
                    continue
                seen = due[id]
                held.add(id)
                clean.append((seen.row.ref, seen.row.version))
                partners = ", ".join(mine[other(side)])
                if cluster.cause == "state_differs":
                    message = (
                        f"Its twin by {cluster.key} on {hands.names[other(side)]} ({partners}) is in another state."
                    )
                    fix = "Bring one of them to the other's state; a first coupling closes and reopens nothing."
                else:
                    message = f"Several candidates by {cluster.key} on {hands.names[other(side)]}: {partners}."
                    fix = "Choose the right one: crmbridge resolve ISSUE --with ID."
                issues.append(
                    hands.issue("held", cause=cluster.cause, entity=entity, ref=seen.row.ref, message=message, fix=fix)
                )
    hands.record(Batch(issues=issues, clean=clean))
    return held


def _make_partners(hands: Hands, view: View, entity: Entity, rest: Sequence[Seen], touched: set[Ref]) -> list[Work]:
    clean: list[tuple[Ref, str | None]] = []
    tombstones: list[Link] = []
    candidates: list[Seen] = []
    for seen in rest:
        ref = seen.row.ref
        if not in_scope(hands, ref, touched=ref in touched):
            clean.append((ref, seen.row.version))  # it comes back when something reaches it
        elif entity == "lead" and seen.shared.state == "converted" and "lead" in hands.first_run:
            # Converted before mirroring began: linked by its results only (lifecycle §8), never converted again.
            tombstones.append(
                Link(
                    id=_new_id(),
                    entity="lead",
                    left_id=ref.id if ref.side == "left" else None,
                    right_id=ref.id if ref.side == "right" else None,
                    alive=False,
                    how="converted before mirroring began",
                )
            )
            clean.append((ref, seen.row.version))
        else:
            candidates.append(seen)
    issues: list[Issue] = []
    claims: dict[str, str] = {}
    for side in SIDES:
        claims |= claimed_by(hands, view, side, entity, [seen for seen in candidates if seen.row.ref.side == side])
    records: list[NewRecord] = []
    waiting: dict[Ref, tuple[Wait, ...]] = {}
    limit = hands.options.only.limit
    for seen in candidates:
        ref = seen.row.ref
        if ref.id in claims:
            issues.append(_claimed(hands, entity, ref, claims[ref.id]))
            clean.append((ref, seen.row.version))
            continue
        hold = _customer_hold(hands, seen)
        if hold is not None:
            issues.append(
                hands.issue("held", cause=hold.cause, entity=entity, ref=ref, message=hold.message, fix=hold.fix)
            )
            clean.append((ref, seen.row.version))
            continue
        reason = f"new {entity} on the other side ({create_case(seen)})"
        plan = plan_create(
            hands.compiled.entities[entity].rules, seen, reason=reason, will_link=lambda r: will_link(hands, r)
        )
        if plan.create is None:
            waiting[ref] = plan.waits
        elif limit is None or len(records) < limit:
            records.append(NewRecord(create=plan.create, source=seen))
    issues.extend(_waiting(hands, waiting))
    hands.record(Batch(links=tombstones, clean=clean, issues=issues))
    return push_creates(hands, view, entity, records)


def _customer_hold(hands: Hands, seen: Seen) -> Hold | None:
    """Its customer is a contact, and nothing tells which account it is for where one is needed (O14)."""
    needs_account = hands.powers[other(seen.row.ref.side)].needs_account
    if not (needs_account and seen.life.customer_is_contact) or seen.shared.fields.get("account") is not None:
        return None
    return Hold(
        cause="O14",
        message="The customer of this opportunity is a contact without an account (O14).",
        fix="Give the contact, or the opportunity, an account; it is then synced by itself.",
    )


def _waiting(hands: Hands, waiting: Mapping[Ref, tuple[Wait, ...]]) -> list[Issue]:
    """Parents first; records that are each other's parents would wait for ever (A2)."""
    issues: list[Issue] = []
    for ref, waits in waiting.items():
        seen: set[Ref] = set()
        ahead = [wait.ref for wait in waits]
        while ahead:
            parent = ahead.pop()
            if parent is not None and parent not in seen:
                seen.add(parent)
                ahead.extend(wait.ref for wait in waiting.get(parent, ()))
        if ref in seen:
            message = f"Its parents lead back to this {ref.entity} itself, so none of them can be made first (A2)."
            fix = "Take one of them out of the circle."
            issues.append(hands.issue("held", cause="A2", entity=ref.entity, ref=ref, message=message, fix=fix))
            continue
        told = ", ".join(sorted({wait.waits_for for wait in waits}))
        message = f"Waits for {told} to be linked."
        issues.append(hands.issue("waiting", cause="waiting", entity=ref.entity, ref=ref, message=message))
    return issues


def _claimed(hands: Hands, entity: Entity, ref: Ref, lead_id: str) -> Issue:
    return hands.issue(
        "waiting",
        cause="claimed",
        entity=entity,
        ref=ref,
        field=lead_id,
        message=f"Belongs to the conversion of lead {lead_id} and waits for its mirror.",
    )


# --- linked pairs -------------------------------------------------------------------------------------------------


def _sync_pairs(hands: Hands, view: View, entity: Entity, works: Sequence[Work]) -> None:
    lives: dict[str, LifePlan] = {}
    due: list[tuple[Work, Update]] = []
    for work in works:
        if len(work.rows) < len(SIDES):
            continue  # a dry run's new record: nothing to compare yet
        life = _plan_life(hands, work)
        lives[work.link.id] = life
        work.axes_settled = life.axes_settled
        for hold in life.holds:
            work.issues.append(_hold(hands, work, hold))
        for report in life.reports:
            work.issues.append(
                hands.issue("report", cause=report.cause, entity=entity, link=work.link, message=report.message)
            )
        for side in SIDES:
            work.issues.extend(
                problem_issues(
                    hands,
                    entity,
                    work.seen[side].shared.problems,
                    link=work.link,
                    ref=work.rows[side].ref,
                )
            )
        due.extend(_field_updates(hands, work, life))
    push_updates(hands, view, due)
    able: list[tuple[Work, LifePlan]] = []
    for work in works:
        life = lives.get(work.link.id)
        if life is None or work.moved:
            continue
        if work.link.id in hands.untouchable:  # its update's answer was lost a moment ago
            work.axes_settled = work.axes_settled and not life.steps
            work.unsettled |= {name for names in life.carried.values() for name in names}
            continue
        able.append((work, life))
    _take_steps(hands, view, able)
    settle(hands, view, [work for work in works if len(work.rows) == len(SIDES)])


def _take_steps(hands: Hands, view: View, lives: Sequence[tuple[Work, LifePlan]]) -> None:
    """Every pair's first step before any pair's second, so that moves go many to a call."""
    on_their_way = list(lives)
    for number in range(max((len(life.steps) for _, life in lives), default=0)):
        due = [(work, life.steps[number]) for work, life in on_their_way if number < len(life.steps)]
        done = {work.link.id for work in push_steps(hands, view, [one for one in due if not _is_conversion(one[1])])}
        for work, step in due:
            if _is_conversion(step) and _convert(hands, view, work, step):
                done.add(work.link.id)
        for work, life in on_their_way:
            if number < len(life.steps) and work.link.id not in done:
                work.unsettled |= {name for names in life.carried.values() for name in names}
        on_their_way = [one for one in on_their_way if number >= len(one[1].steps) or one[0].link.id in done]
    for work, life in on_their_way:
        _pass_on(hands, view, work, life)


def _is_conversion(step: Step) -> bool:
    return step.kind in {"convert", "adopt"}


def _convert(hands: Hands, view: View, work: Work, step: Step) -> bool:
    return (convert.mirror if step.kind == "convert" else convert.adopt)(hands, view, work, step)


def _plan_life(hands: Hands, work: Work) -> LifePlan:
    left, right = work.seen["left"], work.seen["right"]
    last_edit = newest(left.row, right.row, hands.our_users)
    if work.entity == "lead":
        return plan_lead(
            work.link,
            left,
            right,
            powers=hands.powers,
            last_edit=last_edit,
            mirror_since=hands.options.mirror_since,
        )
    if work.entity == "opportunity":
        return plan_opportunity(work.link, left, right, powers=hands.powers, last_edit=last_edit)
    return LifePlan()


def _field_updates(hands: Hands, work: Work, life: LifePlan) -> list[tuple[Work, Update]]:
    plan = plan_fields(
        work.entity,
        hands.compiled.entities[work.entity].rules,
        work.link,
        work.seen["left"],
        work.seen["right"],
        our_users=hands.our_users,
        choices=hands.options.choices,
        with_step=life.carried,
        ended=lambda ref: has_ended(hands, ref),
    )
    work.unsettled |= plan.unsettled
    work.issues.extend(left_out(hands, work.link, work.seen, hands.compiled.entities[work.entity].rules))
    for report in plan.reports:
        work.issues.append(
            hands.issue("report", cause=report.cause, entity=work.entity, link=work.link, message=report.message)
        )
    for wait in plan.waits:
        if wait.ref is not None and will_link(hands, wait.ref):
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
    updates = [(work, _with_case(work, update)) for update in plan.updates if update not in work.late]
    if not updates and work.link.mode == "converted" and work.link.origin is not None:
        side = other(work.link.origin)  # our key is still to be written there
        updates.append((work, Update(side=side, fields={}, reason="key of a record made by a conversion")))
    return updates


def _with_case(work: Work, update: Update) -> Update:
    there = work.seen[update.side].shared
    now = {value.currency for value in update.fields.values() if isinstance(value, Money)}
    old = {value.currency for name in update.fields if isinstance(value := there.fields.get(name), Money)}
    case = edit_case(
        work.entity, update.fields.keys(), closed=there.state in {"won", "lost"}, currency=bool(now and old - now)
    )
    return replace(update, reason=f"{update.reason} ({case})")


def _pass_on(hands: Hands, view: View, work: Work, life: LifePlan) -> None:
    """What a lead that is converted on both sides leaves to what it became."""
    if work.entity != "lead" or any(work.seen[side].shared.state != "converted" for side in SIDES):
        return  # a dry run's conversion has not happened: its heirs are not there yet
    for hold in redirect(hands, view, work, work.late):
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


def _candidate(seen: Seen) -> Candidate:
    return Candidate(id=seen.row.ref.id, fields=seen.shared.fields, state=seen.shared.state)


def _stateless(seen: Seen) -> Candidate:
    return Candidate(id=seen.row.ref.id, fields=seen.shared.fields)


def _event(link: Link, side: Side | None, kind: str, reason: str) -> Event:
    return Event(entity=link.entity, side=side, kind=kind, link_id=link.id, ids=link_ids(link), reason=reason)


def _new_id() -> str:
    import uuid

    return str(uuid.uuid4())
