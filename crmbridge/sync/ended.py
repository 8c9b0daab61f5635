"""Pairs of which one record is gone, merged away, or back again (L8 to L11, L14, A5 to A8, O18, O19).

By default nothing is removed on the other side; `removals` carries out what was chosen instead."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from crmbridge.lifecycle.conversions import plan_orphan_conversion
from crmbridge.lifecycle.removals import plan_deleted, plan_merged
from crmbridge.model import SIDES, Base, Entity, Hold, Link, Ref, Row, Side, other
from crmbridge.policy import Policy
from crmbridge.removal import FIX, Fate
from crmbridge.state.words import Batch, Issue, IssuePlace, Pair, Stored
from crmbridge.sync.again import let_go, make_partners_again
from crmbridge.sync.hands import Event, Hands
from crmbridge.sync.mirroring import made_again, policy_of
from crmbridge.sync.removals import Order, carry_out, fates, was_converted
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import Work, make_work

# Rows of the tables in which a record comes back.
RESTORED: Final[Mapping[Entity, str]] = {"lead": "L9", "opportunity": "O19", "account": "A7", "contact": "A7"}
RECREATE = "convert.recreate_lead"
# What goes along when a CRM deletes one of these: both cascade (A5, A6).
_CHILDREN: Mapping[Entity, tuple[Entity, ...]] = {"account": ("contact", "opportunity"), "contact": ("opportunity",)}


def end_pairs(hands: Hands, view: View, pairs: Iterable[Pair]) -> list[Work]:
    """Tombstones, moved links, revived pairs; returns the pairs that go on."""
    ended = [
        _Ended(hands=hands, view=view, link=pair.link, pair=pair)
        for pair in pairs
        if pair.link is not None and pair.link.id not in hands.removed
    ]
    deleted: list[tuple[Link, Side]] = [(one.link, side) for one in ended if (side := one.deleted_on) is not None]
    fate = fates(hands, view, deleted)
    # Told before they are tombstones: what is dead is not looked at again.
    _report(hands, view, [(link, side) for link, side in deleted if fate[link.id].kind is None], fate)
    orders = [order for one in ended if (order := one.order(fate.get(one.link.id))) is not None]
    carry_out(hands, view, orders)
    ordered = {order.link.id for order in orders}
    return [work for one in ended if one.link.id not in ordered for work in one.settle()]


@dataclass(kw_only=True)
class _Ended:
    hands: Hands
    view: View
    link: Link
    pair: Pair
    stored: dict[Side, Stored] = field(init=False)

    def __post_init__(self) -> None:
        both: dict[Side, Stored | None] = {"left": self.pair.left, "right": self.pair.right}
        self.stored = {side: one for side, one in both.items() if one is not None}

    @property
    def clean(self) -> list[tuple[Ref, str | None]]:
        return [(one.row.ref, one.row.version) for one in self.stored.values()]

    @property
    def gone(self) -> list[Side]:
        return [side for side, one in self.stored.items() if one.row.deleted or one.row.merged_into]

    @property
    def deleted_on(self) -> Side | None:
        """The side where a living pair has just lost its record, other than by a merge."""
        gone = self.gone
        if not self.link.alive or len(gone) != 1 or self.stored[gone[0]].row.merged_into:
            return None
        return gone[0]

    def order(self, fate: Fate | None) -> Order | None:
        """What is to be done with the partner, if anything; it then ends the pair."""
        if fate is None:
            return self._merge_order()
        if fate.kind is None or self.deleted_on is None:
            return None
        row = self.stored[other(self.deleted_on)].row
        return Order(link=self.link, row=row, kind=fate.kind, case=fate.case, reason=fate.reason, clean=self.clean)

    def _merge_order(self) -> Order | None:
        """Both had partners, and these are merged as well, where that is chosen and can be (L10, A8)."""
        hold = self._merge_hold()
        if hold is None or self._why_not_merged(hold) is not None:
            return None
        side = self.gone[0]
        winner = self._winner(side)
        assert winner is not None
        says = self._policy(other(side)).says("remove.merge")
        return Order(
            link=self.link,
            row=self.stored[other(side)].row,
            kind="merge",
            into=winner.id_on(other(side)),
            case=hold.cause,
            reason=f"merged there ({hold.cause}; {says})",
            clean=self.clean,
        )

    def _merge_hold(self) -> Hold | None:
        """The hold of a merge whose records both have partners, or of a converted lead's."""
        gone = self.gone
        if not self.link.alive or len(gone) != 1 or self.stored[gone[0]].row.merged_into is None:
            return None
        return plan_merged(
            self.link.entity,
            winner_linked=self._winner(gone[0]) is not None,
            converted=was_converted(self.link, gone[0]),
        )

    def _winner(self, side: Side) -> Link | None:
        """The pair of the record that it was merged into; that one may have been merged into a third since."""
        native, seen = self.stored[side].row.merged_into, set[str]()
        while native is not None and native not in seen:
            seen.add(native)
            stored = self.hands.store.records(side, self.link.entity, [native]).get(native)
            into = stored.row.merged_into if stored is not None else None
            if into is None:
                link = self.hands.store.links_by_native(side, self.link.entity, [native]).get(native)
                return link if link is not None and link.alive else None
            native = into
        return None

    def _policy(self, side: Side) -> Policy:
        return self.hands.policy(self.view.see(self.stored[side].row, link=self.link))

    def _why_not_merged(self, hold: Hold) -> str | None:
        """None: the partners are merged. Empty: nobody chose that. Else why not, in words."""
        target = other(self.gone[0])
        if hold.cause == "L15" or target not in self.stored or self.stored[target].row.values is None:
            return ""
        policy = self._policy(target)
        if policy.remove.merge != "mirror":
            return ""
        name = self.hands.names[target]
        if policy.master == target:
            return f"{name} is master of it, so nothing is merged there."
        winner = self._winner(self.gone[0])
        id = winner.id_on(target) if winner is not None else None
        stored = self.hands.store.records(target, self.link.entity, [id]).get(id) if id is not None else None
        if winner is None or stored is None or stored.row.values is None or stored.row.deleted:
            return f"On {name} the winner's partner is gone."
        if winner.id in self.hands.untouchable:
            return f"A call about the winner's partner on {name} was not answered yet."
        both = (self.stored[target].row, stored.row)
        if any(self.view.see(row).shared.state == "converted" for row in both):
            return f"On {name} one of the two leads is converted."
        return None

    def settle(self) -> list[Work]:
        gone = self.gone
        if len(gone) == len(SIDES):
            dead = replace(self.link, alive=False)
            self._learn(dead, over=True)
            return []
        if not gone:
            return self._back()
        side = gone[0]
        if not self.link.alive and self.link.id_on(other(side)) is None:  # it never had a partner, nor waits for one
            ref = self.stored[side].row.ref
            self.hands.record(Batch(clean=self.clean, close_issues=[(ref.entity, None, ref.side, ref.id, None)]))
            return []
        if not self.link.alive:
            works, issues = self._orphan_conversion(self.link, other(side))
            issues = issues if works else [*issues, *self._restored_alone(side)]
            self.hands.record(Batch(clean=self.clean, issues=issues))
            return works
        winner = self.stored[side].row.merged_into
        return self._deleted(side) if winner is None else self._merged(side, winner)

    def _back(self) -> list[Work]:
        """Undeleted: the pair lives again and is compared with its base (L9, O19, A7)."""
        whole = len(self.stored) == len(SIDES) and all(one.row.values is not None for one in self.stored.values())
        if self.link.alive or not whole:
            self.hands.record(Batch(clean=self.clean))
            return []
        policy = self._policy("left")
        if policy.remove.undelete == "hold" and not self._released():
            case = RESTORED[self.link.entity]
            issue = self._held(
                case,
                f"The {self.link.entity} was deleted and is there again; the pair stays ended "
                f"({case}; {policy.says('remove.undelete')}).",
                "To sync the two again: crmbridge retry ISSUE. To leave them apart: crmbridge resolve ISSUE.",
            )
            self.hands.record(Batch(clean=self.clean, issues=[issue]))
            return []
        revived = replace(self.link, alive=True)
        self._learn(revived, due=True)
        return [make_work(self.view, revived, {side: one.row for side, one in self.stored.items()})]

    def _restored_alone(self, gone: Side) -> list[Issue]:
        """It is back, and its partner is not, because we deleted that one with it."""
        there = self.stored.get(other(gone))  # an ended pair may have one record alone
        if there is None or there.row.values is None:
            return []
        journal = self.hands.store.journal(link_id=self.link.id, side=gone, native_id=self.link.id_on(gone), limit=5)
        if not any(one.kind == "delete" for one in journal):
            return []
        case, name = RESTORED[self.link.entity], self.hands.names[gone]
        return [
            self._held(
                case,
                f"The {self.link.entity} was deleted on both sides, and is there again on "
                f"{self.hands.names[other(gone)]} alone ({case}).",
                f"Restore it on {name} as well (its recycle bin): the two are then synced again by themselves.",
            )
        ]

    def _released(self) -> bool:
        """Has a person said that the two shall be synced again?"""
        case = RESTORED[self.link.entity]
        return any(one.cause == case and one.released_by for one in self.hands.store.issues_of([self.link.id]))

    def _held(self, cause: str, message: str, fix: str) -> Issue:
        return self.hands.issue("held", cause=cause, entity=self.link.entity, link=self.link, message=message, fix=fix)

    def _deleted(self, side: Side) -> list[Work]:
        dead = replace(self.link, alive=False)
        self._learn(dead)
        works, issues = self._orphan_conversion(dead, other(side))
        self.hands.record(Batch(issues=issues))
        return works

    def _merged(self, side: Side, winner: str) -> list[Work]:
        entity = self.link.entity
        taken = self.hands.store.links_by_native(side, entity, [winner]).get(winner)
        hold = self._merge_hold()
        if hold:
            message = f"{hold.message} {self._why_not_merged(hold) or ''}".strip()
            issue = self.hands.issue(
                "held", cause=hold.cause, entity=entity, link=self.link, message=message, fix=hold.fix
            )
            self._learn(replace(self.link, alive=False), issues=[issue], over=True)
            return []
        # Only the loser was linked: its link moves to the winner, and is compared without a base (L11).
        moved = replace(
            self.link,
            left_id=winner if side == "left" else self.link.left_id,
            right_id=winner if side == "right" else self.link.right_id,
            base=Base(),
            mode="matched",
            how=f"{self.link.how}; moved to the winner of a merge (L11)",
        )
        if taken is not None:  # an ended pair of the winner's own lets it go
            gone = replace(taken, left_id=None) if side == "left" else replace(taken, right_id=None)
            self.hands.record(Batch(links=[replace(gone, base=Base())]))
        self._learn(moved)
        # Its own create may have been refused or held before: it has a partner now.
        self.hands.record(Batch(close_issues=[(entity, None, side, winner, None)]))
        self.hands.tell(_event(moved, None, "link", "moved to the winner of a merge (L11)"))
        here = self.hands.store.records(side, entity, [winner]).get(winner)
        there = self.stored.get(other(side))
        if here is None or there is None or here.row.values is None or there.row.values is None:
            return []
        return [make_work(self.view, moved, {side: here.row, other(side): there.row})]

    def _orphan_conversion(self, link: Link, side: Side) -> tuple[list[Work], list[Issue]]:
        """A lead that was converted while it has no partner any more (C8): with a new one, or with what is told."""
        stored = self.stored.get(side)
        if link.entity != "lead" or link.epoch or stored is None or stored.row.values is None:
            return [], []
        lead = self.view.see(stored.row, link=link)
        if lead.shared.state != "converted":
            return [], []
        hands, view = self.hands, self.view
        policy = policy_of(hands, view, link, lead)
        if made_again(hands, view, link, stored.row):
            why = f"new lead for one that was converted and had lost its partner (C8; {policy.says(RECREATE)})"
            half = let_go(hands, view, link, side, why=why)
            return make_partners_again(hands, view, [(half, stored.row)]), []
        report = plan_orphan_conversion()
        return [], [hands.issue("report", cause=report.cause, entity="lead", link=link, message=report.message)]

    def _learn(self, link: Link, *, issues: Sequence[Issue] = (), over: bool = False, due: bool = False) -> None:
        """`due`: it is compared now, and stays due until that has come to an end."""
        self.view.crosswalk.learn(link)
        ended: list[IssuePlace] = [(link.entity, link.id, None, None, None)] if over else []
        self.hands.record(Batch(links=[link], clean=() if due else self.clean, issues=issues, close_issues=ended))


# --- what goes along with an account or a contact -----------------------------------------------------------------


def _report(hands: Hands, view: View, deleted: Sequence[tuple[Link, Side]], fate: Mapping[str, Fate]) -> None:
    """One report for each matter: what went along with its account or contact is told there."""
    matters: dict[str, tuple[Link, Side]] = {}
    for link, side in deleted:
        parent = _deleted_parent(hands, link, side)
        if parent is not None:
            hands.tell(_event(link, side, "report", f"deleted along with its {parent.entity}"))
        matters[(parent or link).id] = (parent or link, side)
    along = _gone_along(hands, list(matters.values()))
    parents = [matter for id, matter in matters.items() if id not in fate]
    known = {**fates(hands, view, parents), **fate} if parents else fate
    issues: list[Issue] = []
    for link, _ in matters.values():
        report = plan_deleted(link.entity, converted=link.epoch > 0, along=along[link.id])
        own = known[link.id]
        message = f"{report.message} {own.note}".strip()
        issues.append(
            hands.issue(
                "held" if own.asks else "report",
                cause=report.cause,
                entity=link.entity,
                link=link,
                message=message,
                fix=FIX if own.asks else "",
            )
        )
    # Whatever else was open about them is over.
    over: list[IssuePlace] = [(link.entity, link.id, None, None, None) for link, _ in deleted]
    hands.record(Batch(issues=issues, close_issues=over))


def _gone_along(hands: Hands, matters: Sequence[tuple[Link, Side]]) -> dict[str, Counter[Entity]]:
    """Linked records that belonged to these when they were last agreed on, and are gone as well.

    Such deletions are rare and many at once, so one walk over the links serves them all."""
    found: dict[str, Counter[Entity]] = {link.id: Counter() for link, _ in matters}
    for entity in ("contact", "opportunity"):
        parents = {link.id: (link, side) for link, side in matters if entity in _CHILDREN.get(link.entity, ())}
        children: dict[Side, dict[str, list[str]]] = {side: {} for side in SIDES}  # native id -> its parents' links
        for child in hands.store.all_links(entity) if parents else ():
            for side in SIDES:
                native = child.id_on(side)
                for name in _CHILDREN:
                    parent = child.base.view(side).get(name)
                    if native is not None and isinstance(parent, str) and parents.get(parent, (None, None))[1] == side:
                        children[side].setdefault(native, []).append(parent)
        for side in SIDES:
            for native, one in hands.store.records(side, entity, list(children[side])).items():
                for parent in children[side][native] if one.row.deleted else ():
                    found[parent][entity] += 1
    return found


def _deleted_parent(hands: Hands, link: Link, side: Side) -> Link | None:
    for entity, children in _CHILDREN.items():
        if link.entity not in children:
            continue
        parent_id = link.base.view(side).get(entity)
        parent = hands.store.links([parent_id]).get(parent_id) if isinstance(parent_id, str) else None
        native = parent.id_on(side) if parent is not None else None
        if parent is None or native is None:
            continue
        row: Row | None = one.row if (one := hands.store.records(side, entity, [native]).get(native)) else None
        if row is not None and row.deleted and not row.merged_into:
            return parent
    return None


def _event(link: Link, side: Side | None, kind: str, reason: str) -> Event:
    return Event(entity=link.entity, side=side, kind=kind, link_id=link.id, ids=link_ids(link), reason=reason)
