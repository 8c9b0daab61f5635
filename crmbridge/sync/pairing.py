"""Records without a partner: find the twin, make a new one, or say why not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from crmbridge.ids import new_id
from crmbridge.lifecycle.cases import create_case
from crmbridge.lifecycle.conversions import NOT_MIRRORED, not_mirrored
from crmbridge.match import Candidate, Cluster, Matches, match
from crmbridge.model import SIDES, Entity, Link, Ref, Seen, Side, Wait, other
from crmbridge.plan import plan_create
from crmbridge.state.words import Batch, Issue, IssuePlace, Keyed, Stored
from crmbridge.sync.candidates import candidates
from crmbridge.sync.creates import NewRecord, push_creates
from crmbridge.sync.customer import because, customer_hold
from crmbridge.sync.fitting import leave_out
from crmbridge.sync.hands import Event, Hands
from crmbridge.sync.key_index import entries, places
from crmbridge.sync.mirroring import is_mirrored
from crmbridge.sync.person_holds import twin_hold
from crmbridge.sync.persons import left_alone, takes_part
from crmbridge.sync.scope import NOT_MASTER, claimed_by, in_scope, will_link
from crmbridge.sync.suspects import noting
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import Work, make_work, problem_issues


def pair_up(hands: Hands, view: View, entity: Entity, singles: Sequence[Stored]) -> list[Work]:
    """Records without a partner: find it, or make it, or say why not."""
    gone = [stored for stored in singles if stored.row.deleted or stored.row.merged_into or stored.row.values is None]
    if gone:
        over: list[IssuePlace] = [(entity, None, one.row.ref.side, one.row.ref.id, None) for one in gone]
        clean = [(one.row.ref, one.row.version) for one in gone]
        hands.record(Batch(clean=clean, keyed=[Keyed(ref=ref, parts=()) for ref, _ in clean], close_issues=over))
    # A merge's winner may have got the loser's partner a moment ago (L11).
    for side in SIDES:
        ids = [stored.row.ref.id for stored in singles if stored.row.ref.side == side and stored not in gone]
        view.crosswalk.look_up(side, entity, ids)
    alive = [
        stored
        for stored in singles
        if stored not in gone and view.crosswalk.shared_id(stored.row.ref.side, entity, stored.row.ref.id) is None
    ]
    if not alive:
        return []
    touched = {stored.row.ref for stored in alive if stored.touched}
    seen = [view.see(one.row) for one in noting(hands.at_hand, alive, lambda one: (str(one.row.ref),))]
    due = {one.row.ref.id: one for one in leave_out(hands, seen)}
    if not due:
        return []
    pool = candidates(hands, view, entity, [seen.row.ref for seen in due.values()])
    hands.at_hand()  # the others have been looked at, no more
    works, rest = _join_twins(hands, view, entity, due, pool)
    return works + make_partners(hands, view, entity, rest, touched)


def _join_twins(
    hands: Hands, view: View, entity: Entity, due: dict[str, Seen], pool: dict[Side, dict[str, Seen]]
) -> tuple[list[Work], list[Seen]]:
    compiled = hands.compiled.entities[entity]
    rules = {rule.name: rule for rule in compiled.rules}
    pool = {side: {id: seen for id, seen in pool[side].items() if not _is_half(hands, seen)} for side in SIDES}
    found = _by_our_key(pool)
    keyed = {id for pair in found for id in pair[:2]}
    free: dict[Side, list[Seen]] = {
        side: [seen for seen in pool[side].values() if seen.row.ref.id not in keyed] for side in SIDES
    }
    matches: Matches = match(entity, compiled.match, rules, *(map(_candidate, free[side]) for side in SIDES))
    pairs = [pair for pair in (*found, *matches.pairs) if pair[0] in due or pair[1] in due]
    persons = [pair for pair in pairs if any(left_alone(hands, pool[side][pair[n]]) for n, side in enumerate(SIDES))]
    pairs = [pair for pair in pairs if pair not in persons]
    taken = {id for pair in (*pairs, *persons) for id in pair[:2]} | {
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
        link = Link(id=new_id(), entity=entity, left_id=left, right_id=right, mode="matched", how=f"matched by {key}")
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
    held = _hold_clusters(hands, entity, clusters, due) | _hold_persons(hands, entity, persons, pool, due)
    taken = {id for pair in pairs for id in pair[:2]} | held
    return works, [seen for id, seen in due.items() if id not in taken]


def _is_half(hands: Hands, seen: Seen) -> bool:
    """The account of a person account whose contact is synced: nobody's twin."""
    return seen.row.ref.entity == "account" and seen.life.person_account and takes_part(hands, seen)


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
    done: list[Seen] = []
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
                done.append(seen)
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
    hands.record(Batch(issues=issues, clean=places(done), keyed=entries(hands, done)))
    return held


def _hold_persons(
    hands: Hands,
    entity: Entity,
    pairs: Iterable[tuple[str, str, str]],
    pool: dict[Side, dict[str, Seen]],
    due: dict[str, Seen],
) -> set[str]:
    """Twins of which one is a person account stay apart, and nothing is made for either."""
    issues: list[Issue] = []
    done: list[Seen] = []
    for left, right, key in pairs:
        both = pool["left"][left], pool["right"][right]
        for seen, twin in (both, both[::-1]):
            if seen.row.ref.id not in due:
                continue
            done.append(seen)
            hold = twin_hold(hands, seen, twin, key)
            issues.append(
                hands.issue(
                    "held", cause=hold.cause, entity=entity, ref=seen.row.ref, message=hold.message, fix=hold.fix
                )
            )
    hands.record(Batch(issues=issues, clean=places(done), keyed=entries(hands, done)))
    return {seen.row.ref.id for seen in done}


def make_partners(hands: Hands, view: View, entity: Entity, rest: Sequence[Seen], touched: set[Ref]) -> list[Work]:
    done: list[Seen] = []
    tombstones: list[Link] = []
    making: list[Seen] = []
    unmirrored: list[tuple[Ref, str]] = []
    for seen in rest:
        ref = seen.row.ref
        if left_alone(hands, seen) or not in_scope(hands, ref, touched=ref in touched):
            done.append(seen)  # it comes back when something reaches it
        elif entity == "lead" and seen.shared.state == "converted" and "lead" in hands.first_run:
            # Converted before mirroring began: linked by its results only (lifecycle §8), never converted again.
            tombstones.append(alone(ref, "converted before mirroring began"))
            done.append(seen)
        elif entity == "lead" and not is_mirrored(hands, view, None, seen.row):
            # Converted before it was seen: nobody is to work on a lead there that is long converted here.
            tombstones.append(alone(ref, "converted, and its conversion is not mirrored"))
            unmirrored.append((ref, not_mirrored(hands.policy(seen)).message))
            done.append(seen)
        else:
            making.append(seen)
    issues = [
        hands.issue("report", cause=NOT_MIRRORED, entity=entity, ref=ref, message=message)
        for ref, message in unmirrored
    ]
    claims: dict[str, str] = {}
    for side in SIDES:
        claims |= claimed_by(hands, view, side, entity, [seen for seen in making if seen.row.ref.side == side])
    records: list[NewRecord] = []
    waiting: dict[Ref, tuple[Wait, ...]] = {}
    limit = hands.options.only.limit
    for seen in making:
        ref = seen.row.ref
        if ref.id in claims:
            issues.append(_claimed(hands, entity, ref, claims[ref.id]))
            done.append(seen)
            continue
        policy = hands.policy(seen)
        if policy.undecided is not None:
            issues += problem_issues(hands, entity, [policy.undecided], ref=ref)
            continue  # it stays due: to correct the settings is enough
        if policy.move.new == "match only":
            done.append(seen)  # its twin may come yet, and then finds it
            continue
        if policy.master is not None and policy.master != ref.side:
            issues.append(_not_master(hands, ref, policy.segment or "", hands.names[policy.master]))
            done.append(seen)
            continue
        hold = customer_hold(hands, view, seen)
        if hold is not None:
            issues.append(
                hands.issue("held", cause=hold.cause, entity=entity, ref=ref, message=hold.message, fix=hold.fix)
            )
            done.append(seen)
            continue
        reason = f"new {entity} on the other side ({create_case(seen)}{because(hands, seen)})"
        plan = plan_create(hands.rules(seen), seen, reason=reason, will_link=lambda r: will_link(hands, view, r))
        if plan.create is None:
            waiting[ref] = plan.waits
        elif limit is None or len(records) < limit:
            records.append(NewRecord(create=plan.create, source=seen))
    issues.extend(_waiting(hands, waiting))
    hands.record(Batch(links=tombstones, clean=places(done), keyed=entries(hands, done), issues=issues))
    return push_creates(hands, view, entity, records)


def alone(ref: Ref, how: str) -> Link:
    """An ended pair of one record: it never gets a partner."""
    left, right = (ref.id, None) if ref.side == "left" else (None, ref.id)
    return Link(id=new_id(), entity=ref.entity, left_id=left, right_id=right, alive=False, how=how)


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


def _not_master(hands: Hands, ref: Ref, segment: str, master: str) -> Issue:
    return hands.issue(
        "waiting",
        cause=NOT_MASTER,
        entity=ref.entity,
        ref=ref,
        field=segment,
        message=f"Segment {segment}: {master} is master, so a new record of {hands.names[ref.side]} does not cross.",
    )


def _candidate(seen: Seen) -> Candidate:
    return Candidate(id=seen.row.ref.id, fields=seen.shared.fields, state=seen.shared.state)


def _stateless(seen: Seen) -> Candidate:
    return Candidate(id=seen.row.ref.id, fields=seen.shared.fields)


def _event(link: Link, side: Side | None, kind: str, reason: str) -> Event:
    return Event(entity=link.entity, side=side, kind=kind, link_id=link.id, ids=link_ids(link), reason=reason)
