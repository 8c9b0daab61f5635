"""Which accounts and contacts cross at all, and which rows belong to a conversion that has not been mirrored yet.

A1: only accounts and contacts reached by an opportunity or a conversion, and matched ones, cross by default: a whole
customer base must not on day one. Claims (lifecycle §1.3): a row that a conversion made waits for that conversion's
mirror; without this every converted account would be doubled.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from crmbridge.model import SIDES, Entity, FieldRule, Link, Ref, Seen, Side, Unlinked, other, results_of
from crmbridge.policy import CANNOT_TELL, When
from crmbridge.state.words import Batch, Issue, IssuePlace, Pair, Stored
from crmbridge.sync.fitting import fits, will_be_made
from crmbridge.sync.hands import Hands
from crmbridge.sync.mirroring import due_among, is_mirrored, made_again
from crmbridge.sync.view import View
from crmbridge.sync.ways import made_by
from crmbridge.sync.work import is_ended, problem_issues

LEFT_OUT: Final = "left_out"
NOT_MASTER: Final = "not_master"


def touch(hands: Hands, view: View) -> None:
    """Bring into scope what pending opportunities and conversions point at, and those rows' own accounts."""
    reached: set[Ref] = set()
    converted: list[tuple[Seen, bool]] = []
    for entity in ("opportunity", "lead"):
        if entity not in hands.options.entities:
            continue
        for pair in hands.store.pending(entity):
            for stored in (pair.left, pair.right):
                if stored is None or stored.row.values is None or stored.row.deleted:
                    continue
                seen = view.see(stored.row, link=pair.link)
                undecided = hands.policy(seen).undecided is not None
                if pair.link is None and (undecided or not fits(hands, seen)):
                    continue  # it takes no part, so nothing follows from what it points at
                if entity == "opportunity":
                    reached |= _links_of(seen)
                elif seen.shared.state == "converted" and "lead" not in hands.first_run:
                    converted.append((seen, _goes_alone(hands, view, pair, stored)))
    reached |= _results_to_sync(hands, view, converted)
    reached |= _chosen(hands, view)
    contacts = [ref for ref in reached if ref.entity == "contact"]
    for side in SIDES:
        ids = [ref.id for ref in contacts if ref.side == side]
        for stored in hands.store.records(side, "contact", ids).values():
            if stored.row.values is not None:
                reached |= {ref for ref in _links_of(view.see(stored.row)) if ref.entity == "account"}
    for pair in hands.store.pending("contact"):  # those that cross take their account along
        for stored in (pair.left, pair.right):
            if stored is None or stored.row.values is None or stored.row.deleted:
                continue
            if stored.touched or pair.link is not None or stored.row.ref in reached:
                reached |= {ref for ref in _links_of(view.see(stored.row)) if ref.entity == "account"}
    hands.touched |= reached
    if reached:
        known = _not_yet_touched(hands, reached)
        if known:
            hands.record(Batch(touched=known, dirty=known))


def _chosen(hands: Hands, view: View) -> set[Ref]:
    """Accounts and contacts that `lifecycle.scope` takes in by themselves: all, or those that an expression fits."""
    chosen: set[Ref] = set()
    policies = hands.options.policies
    issues: list[Issue] = []
    over: list[IssuePlace] = []
    for entity in ("account", "contact"):
        choices = [getattr(policy.scope, entity) for policy in policies.every(entity)]
        if all(choice == "touched" for choice in choices):
            continue
        pending = {stored.row.ref: stored for pair in hands.store.pending(entity) for stored in (pair.left, pair.right)
                   if stored is not None and pair.link is None}  # fmt: skip
        mark = f"scope:{entity}"
        if hands.store.meta(mark) != repr(choices):  # what was looked at before was looked at under another choice
            pending |= {stored.row.ref: stored for side in SIDES for stored in hands.store.unlinked(side, entity)}
            if not hands.dry:
                hands.store.set_meta(mark, repr(choices))
        for ref, stored in pending.items():
            if stored.row.values is None or stored.row.deleted:
                continue
            seen = view.see(stored.row)
            choice = getattr(hands.policy(seen).scope, entity)
            trouble = policies.trouble_with(choice, entity, seen.shared)
            if trouble is not None and not stored.touched:
                issues += problem_issues(hands, entity, [trouble], ref=ref)
            elif isinstance(choice, When):
                over.append((entity, None, ref.side, ref.id, CANNOT_TELL))
            if choice == "all" or policies.true_for(choice, entity, seen.shared):
                chosen.add(ref)
    if issues or over:
        hands.record(Batch(issues=issues, close_issues=over))
    return chosen


def _links_of(seen: Seen) -> set[Ref]:
    side = seen.row.ref.side
    return {
        Ref(side=side, entity=value.entity, id=value.id)
        for value in seen.shared.fields.values()
        if isinstance(value, Unlinked)
    }


def _goes_alone(hands: Hands, view: View, pair: Pair, stored: Stored) -> bool:
    """Is this a lead whose conversion, if there is one, nobody will mirror?"""
    if pair.link is not None and is_ended(pair):
        return not made_again(hands, view, pair.link, stored.row)
    return not is_mirrored(hands, view, pair.link, stored.row)


def _results_to_sync(hands: Hands, view: View, leads: Sequence[tuple[Seen, bool]]) -> set[Ref]:
    """Records that a conversion took, but did not make: they are synced the ordinary way first.

    With each converted lead goes whether nothing will mirror its conversion: then all of them are (C8)."""
    named: dict[tuple[Side, Entity], list[tuple[str, Seen, bool]]] = {}
    for lead, orphan in leads:
        for entity, native in results_of(lead.life).items():
            if native is not None:
                named.setdefault((lead.row.ref.side, entity), []).append((native, lead, orphan))
    reached: set[Ref] = set()
    for (side, entity), results in named.items():
        view.crosswalk.look_up(side, entity, [native for native, _, _ in results])
        free = [one for one in results if view.crosswalk.shared_id(side, entity, one[0]) is None]
        known = hands.store.records(side, entity, sorted({native for native, _, _ in free}))
        for native, lead, orphan in free:
            stored = known.get(native)
            if stored and stored.row.values is not None and (orphan or not made_by(lead, view.see(stored.row))):
                reached.add(Ref(side=side, entity=entity, id=native))
    return reached


def _not_yet_touched(hands: Hands, refs: Iterable[Ref]) -> list[Ref]:
    fresh: list[Ref] = []
    by_place: dict[tuple[Side, Entity], list[str]] = {}
    for ref in refs:
        by_place.setdefault((ref.side, ref.entity), []).append(ref.id)
    for (side, entity), ids in by_place.items():
        for native, stored in hands.store.records(side, entity, ids).items():
            if not stored.touched:
                fresh.append(Ref(side=side, entity=entity, id=native))
    return fresh


def in_scope(hands: Hands, ref: Ref, *, touched: bool) -> bool:
    if ref.entity == "account" and hands.is_bucket(ref.id):
        return False  # it stands in for those that have none, and is nobody's own
    return ref.entity in {"lead", "opportunity"} or touched or ref in hands.touched


def will_link(hands: Hands, view: View, ref: Ref) -> bool:
    """Is it worth waiting for this parent: does it exist, is it in scope, was its pair not ended?"""
    stored = hands.store.records(ref.side, ref.entity, [ref.id]).get(ref.id)
    if stored is None or stored.row.values is None or stored.row.deleted:
        return False
    link = hands.store.links_by_native(ref.side, ref.entity, [ref.id]).get(ref.id)
    if link is not None and not link.alive:
        return False
    return in_scope(hands, ref, touched=stored.touched) and (
        link is not None or will_be_made(hands, view.see(stored.row))
    )


def has_ended(hands: Hands, ref: Ref) -> bool:
    """Is this the record of a pair that has ended: its partner, or it itself, was deleted?"""
    link = hands.store.links_by_native(ref.side, ref.entity, [ref.id]).get(ref.id)
    if link is None:
        return bool(hands.store.erased([ref]))  # taken out of the store: its pair is no more
    return not link.alive


# --- claims -------------------------------------------------------------------------------------------------------


def claimed_by(hands: Hands, view: View, side: Side, entity: Entity, rows: Sequence[Seen]) -> dict[str, str]:
    """Native id -> id of the lead whose conversion made it and is not mirrored yet. One call per 200 rows.

    What a conversion only took is not claimed: the conversion itself waits for it."""
    if not rows or entity == "lead" or entity in hands.first_run or "lead" not in hands.compiled.entities:
        return {}
    if hands.powers[side].rows_tell_origin:
        leads = {seen.row.ref.id: seen.life.origin_lead_id for seen in rows if seen.life.origin_lead_id}
    else:
        leads = _named_by_leads(hands, view, side, entity)
        unknown = [seen.row.ref.id for seen in rows if seen.row.ref.id not in leads]
        leads |= hands.born_of(side, entity, unknown)
    still = due_among(hands, view, side, leads.values())
    due = {native: lead for native, lead in leads.items() if lead in still}
    known = hands.store.records(side, "lead", sorted(set(due.values())))
    seen = {id: view.see(stored.row) for id, stored in known.items() if stored.row.values is not None}
    # A lead that was open when it was last read has converted since: what it only took is seen when it is read again.
    seen = {id: lead for id, lead in seen.items() if lead.shared.state == "converted"}
    return {
        row.row.ref.id: lead
        for row in rows
        if (lead := due.get(row.row.ref.id)) is not None and (lead not in seen or made_by(seen[lead], row))
    }


def _named_by_leads(hands: Hands, view: View, side: Side, entity: Entity) -> dict[str, str]:
    """What pending leads say themselves of what they were converted into: nobody need be asked about these rows."""
    named: dict[str, str] = {}
    for pair in hands.store.pending("lead"):
        stored = pair.left if side == "left" else pair.right
        if stored is None or stored.row.values is None or stored.row.deleted:
            continue
        native = results_of(hands.connectors[side].life(stored.row)).get(entity)
        if native is not None:
            named.setdefault(native, stored.row.ref.id)
    return named


def release_claims(hands: Hands, view: View) -> None:
    """Rows whose conversion is over, or will never come, go the ordinary way again; look-ups that were left out follow
    once what they point at has a partner."""
    released: list[Ref] = []
    over: list[IssuePlace] = []
    claimed = [
        (issue, Ref(side=issue.side, entity=issue.entity, id=issue.native_id), issue.field)
        for issue in hands.store.open_issues(cause="claimed")
        if issue.side is not None and issue.native_id is not None and issue.field is not None
    ]
    due = {side: due_among(hands, view, side, [lead for _, at, lead in claimed if at.side == side]) for side in SIDES}
    for issue, ref, lead in claimed:
        if lead not in due[ref.side]:
            released.append(ref)
            over.append((ref.entity, issue.link_id, ref.side, ref.id, "claimed"))
    for issue in hands.store.open_issues(cause=LEFT_OUT):
        if issue.side is None or issue.native_id is None or issue.field is None:
            continue
        entity, _, parent = issue.field.partition(":")
        link = hands.store.links_by_native(issue.side, cast("Entity", entity), [parent]).get(parent)
        if link is not None and link.alive:
            released.append(Ref(side=issue.side, entity=issue.entity, id=issue.native_id))
            over.append((issue.entity, issue.link_id, issue.side, issue.native_id, LEFT_OUT))
    for issue in hands.store.open_issues(cause=NOT_MASTER):  # the day of the cut-over may have come
        if issue.kind != "waiting" or issue.side is None or issue.native_id is None or issue.field is None:
            continue
        if hands.options.policies.due(issue.field, issue.side, hands.run.started_at):
            released.append(Ref(side=issue.side, entity=issue.entity, id=issue.native_id))
            over.append((issue.entity, issue.link_id, issue.side, issue.native_id, NOT_MASTER))
    if released:
        hands.record(Batch(dirty=released, close_issues=over))


def left_out(
    hands: Hands, view: View, link: Link, seen: Mapping[Side, Seen], rules: Sequence[FieldRule]
) -> list[Issue]:
    """Look-ups that do not cross, since what they point at has no partner: noted, so that they follow once it has."""
    issues: list[Issue] = []
    for rule in rules:
        for side in SIDES if rule.link is not None and len(rule.sides) == len(SIDES) else ():
            value, there = (seen[one].shared.fields.get(rule.name) for one in (side, other(side)))
            if not isinstance(value, Unlinked) or isinstance(there, Unlinked):
                continue
            stays = "it is left out there" if there is None else "what stands there stays"
            if will_link(hands, view, Ref(side=side, entity=value.entity, id=value.id)):
                continue
            issues.append(
                hands.issue(
                    "report",
                    cause=LEFT_OUT,
                    entity=link.entity,
                    link=link,
                    ref=seen[side].row.ref,
                    field=f"{value.entity}:{value.id}",
                    message=f"Its {rule.name} has no partner on the other side, so {stays}.",
                )
            )
    return issues
