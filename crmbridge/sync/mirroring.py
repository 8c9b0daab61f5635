"""Will a lead's conversion be carried out on the other side? What it made waits for that, or crosses by itself.

Nothing is carried out where `convert.mirror` says so, where the lead has no partner any more (C8, unless a lead is made
again for it), and where it happened already.
"""

from collections.abc import Iterable

from crmbridge.lifecycle.conversions import mirrors, recreates
from crmbridge.model import Link, Ref, Row, Seen, Side, other
from crmbridge.policy import Policy
from crmbridge.state.words import Stored
from crmbridge.sync.fitting import record_fits
from crmbridge.sync.hands import Hands
from crmbridge.sync.view import View


def due_among(hands: Hands, view: View, side: Side, lead_ids: Iterable[str]) -> frozenset[str]:
    """Those of these leads whose conversion is still to be mirrored, as far as they are known to be converted. The
    store is asked once for all of them."""
    ids = sorted(set(lead_ids))
    links = hands.store.links_by_native(side, "lead", ids)
    known = hands.store.records(side, "lead", ids)
    return frozenset(id for id in ids if _is_due(hands, view, side, id, links.get(id), known.get(id)))


def _is_due(hands: Hands, view: View, side: Side, lead_id: str, link: Link | None, stored: Stored | None) -> bool:
    if link is not None and not link.alive:
        return stored is not None and made_again(hands, view, link, stored.row)
    if link is not None:
        return link.epoch == 0 and (stored is None or is_mirrored(hands, view, link, stored.row))
    # Not read yet: it converted a moment ago and comes with the next page; deleted: nobody will mirror it (C8).
    if stored is None:
        return not hands.store.erased([Ref(side=side, entity="lead", id=lead_id)])
    # One that takes no part is mirrored by nobody either.
    return (
        not stored.row.deleted
        and record_fits(hands, view, stored.row.ref)
        and is_mirrored(hands, view, None, stored.row)
    )


def is_mirrored(hands: Hands, view: View, link: Link | None, row: Row) -> bool:
    """Does `convert.mirror` let this lead's conversion cross, and has nobody given it up? One that is not converted is
    not in the way."""
    if link is not None and link.id in hands.let_go:
        return False
    if row.values is None or all(one.convert.mirror == "always" for one in hands.options.policies.every("lead")):
        return True
    lead = view.see(row, link=link)
    return lead.shared.state != "converted" or mirrors(policy_of(hands, view, link, lead), lead, hands.true_for)


def made_again(hands: Hands, view: View, link: Link, row: Row) -> bool:
    """Was the lead converted after its pair had ended, and gets a new partner to be converted (C8)?"""
    side = row.ref.side
    if link.entity != "lead" or link.epoch or row.values is None or row.deleted or link.id_on(other(side)) is None:
        return False
    if all(one.convert.recreate_lead == "no" for one in hands.options.policies.every("lead")):
        return False
    lead = view.see(row, link=link)
    if lead.shared.state != "converted" or not is_mirrored(hands, view, link, row):
        return False
    return recreates(lead, policy_of(hands, view, link, lead), hands.options.mirror_since)


def policy_of(hands: Hands, view: View, link: Link | None, seen: Seen) -> Policy:
    """What was chosen for a pair of which one record is at hand: the left side's record is asked, while it is there."""
    left = link.left_id if link is not None and seen.row.ref.side == "right" else None
    stored = hands.store.records("left", seen.row.ref.entity, [left]).get(left) if left is not None else None
    if stored is None or stored.row.values is None or stored.row.deleted:
        return hands.policy(seen)
    return hands.policy(view.see(stored.row, link=link))
