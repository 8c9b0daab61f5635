"""The new base of each pair, once everything that was due has been pushed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from crmbridge.model import (
    SIDES,
    Base,
    Fields,
    Link,
    Ref,
    Row,
    Seen,
    Shared,
    Side,
    Unlinked,
    Value,
    other,
)
from crmbridge.plan import settled_base
from crmbridge.state.words import Batch, Issue, IssuePlace
from crmbridge.sync.echo import shown_as_ours, touched
from crmbridge.sync.hands import Hands
from crmbridge.sync.suspects import name_of
from crmbridge.sync.view import View
from crmbridge.sync.work import Work, chunks


def settle(hands: Hands, view: View, works: Iterable[Work]) -> None:
    """New bases, in one transaction per batch; what is left open stays due."""
    if hands.dry:
        return
    todo = [work for work in works if not work.moved]
    for chunk in chunks(todo, 200):
        links: list[Link] = []
        clean: list[tuple[Ref, str | None]] = []
        issues: list[Issue] = []
        over: list[IssuePlace] = []
        hands.at_hand(name_of(work.link) for work in chunk)
        for work in chunk:
            links.append(_settled_link(hands, view, work))
            if not work.skipped:
                over.append((work.entity, work.link.id, None, None, None))
            issues.extend(work.issues)
            if not work.open and not _moved_on(hands, work):
                clean.extend((row.ref, row.version) for row in work.rows.values())
        hands.record(Batch(links=links, clean=clean, issues=issues, close_issues=over))


def _settled_link(hands: Hands, view: View, work: Work) -> Link:
    left, right = work.rows.get("left"), work.rows.get("right")
    if left is None or right is None:
        return work.link
    seen_left, seen_right = view.see_pair(work.link, left, right, source=work.source or work.link.origin)
    base: Base = settled_base(
        work.link.base,
        _agreed(hands, "left", work, seen_left),
        _agreed(hands, "right", work, seen_right),
        frozenset(work.unsettled),
        axes_settled=work.axes_settled,
    )
    last_open: dict[Side, str] = dict(work.link.last_open)
    now: dict[Side, Seen] = {"left": seen_left, "right": seen_right}
    work.now = now
    for side, seen in now.items():
        sticky = hands.compiled.entities[work.entity].sticky(side, seen.shared, seen.life)
        if sticky is not None:
            last_open[side] = sticky
    mode = work.link.mode if work.open and work.link.mode != "steady" else "steady"
    return replace(work.link, base=base, mode=mode, last_open=last_open)


def just_written(hands: Hands, view: View, work: Work, side: Side, written: Fields, sent: Mapping[str, Any]) -> Link:
    """The link, with what was written just now as agreed on: it belongs into the transaction that closes the intent
    (reliability §3.5). A run that ends before the pair is settled would else leave a value of ours on one side that
    the next run takes for somebody's edit. `sent`: the columns it went as, as the journal keeps them."""
    now = view.see_pair(work.link, work.rows["left"], work.rows["right"], source=work.source or work.link.origin)
    here = now[0 if side == "left" else 1]
    work.shown[side] |= shown_as_ours(hands, here, written, sent)
    planned = work.planned.get(other(side))
    if planned is None:
        return work.link
    there = planned.shared.fields
    shown: Fields = {**here.shared.fields, **work.shown[side]}
    # A late edit of a converted lead comes from the lead, not from the partner, who is to get it yet.
    copied = [name for name, value in written.items() if name in there and there[name] == value]
    views: dict[Side, Fields] = {side: shown, other(side): there}
    for end, fields in views.items():
        mine = {name: fields[name] for name in copied if name in fields and not isinstance(fields[name], Unlinked)}
        views[end] = {**work.link.base.view(end), **mine}
    return replace(work.link, base=replace(work.link.base, left=views["left"], right=views["right"]))


def agreed_by_now(hands: Hands, view: View, link: Link, left: Row, right: Row) -> Link:
    """After a lost answer: what both sides show alike is agreed on, whoever wrote it."""
    now = view.see_pair(link, left, right, source=link.origin)
    views: dict[Side, dict[str, Value]] = {"left": dict(link.base.left), "right": dict(link.base.right)}
    for rule in hands.compiled.entities[link.entity].rules:
        if len(rule.sides) < len(SIDES) or any(rule.name not in one.shared.fields for one in now):
            continue
        here, there = (one.shared.fields[rule.name] for one in now)
        if not isinstance(here, Unlinked) and not isinstance(there, Unlinked) and rule.same(here, there):
            views["left"][rule.name], views["right"][rule.name] = here, there
    return replace(link, base=replace(link.base, left=views["left"], right=views["right"]))


def _agreed(hands: Hands, side: Side, work: Work, now: Seen) -> Shared:
    """What may count as agreed on: what we wrote, as the CRM shows it, and else what the plan was made from.

    A read-back may show somebody else's edit as well (a process instance has a version of its own; Salesforce's is
    coarse), and that edit nobody has looked at yet."""
    planned = work.planned.get(side)
    if planned is None:
        return now.shared
    known: Fields = {**planned.shared.fields, **work.shown[side]}
    fields = {name: known.get(name, value) for name, value in now.shared.fields.items()}
    shared = msgspec.structs.replace(now.shared, fields=fields)
    if not _moved_by_others(hands, side, work, now):
        return shared
    if side in work.stepped:
        state, status = work.stepped[side]
        return msgspec.structs.replace(shared, state=state, status=status)
    axes = planned.shared
    return msgspec.structs.replace(shared, state=axes.state, status=axes.status, on_hold=axes.on_hold)


def _moved_on(hands: Hands, work: Work) -> bool:
    """Does a read-back show an edit that was not planned with? Then the pair stays due."""
    for side, planned in work.planned.items():
        row, now = work.rows.get(side), work.now.get(side)
        if row is None or row == planned.row or now is None:
            continue
        if _moved_by_others(hands, side, work, now):
            return True
        known: Fields = {**planned.shared.fields, **work.shown[side]}
        if any(name in known and known[name] != value for name, value in now.shared.fields.items()):
            return True
    return False


def _moved_by_others(hands: Hands, side: Side, work: Work, now: Seen) -> bool:
    if side in work.stepped:
        theirs = side in work.put_back or touched(hands, now.row)
        return theirs and work.stepped[side] != (now.shared.state, now.shared.status)
    return _place(work.planned[side]) != _place(now)


def _place(seen: Seen) -> tuple[object, ...]:
    return (seen.life.state, seen.life.status, seen.life.on_hold)
