"""The new base of each pair, once everything that was due has been pushed."""

from collections.abc import Iterable
from dataclasses import replace

from crmbridge.model import (
    Base,
    Link,
    Ref,
    Seen,
    Side,
)
from crmbridge.plan import settled_base
from crmbridge.state.words import Batch, Issue, IssuePlace
from crmbridge.sync.hands import Hands
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
        for work in chunk:
            links.append(_settled_link(view, work))
            if not work.skipped:
                over.append((work.entity, work.link.id, None, None, None))
            issues.extend(work.issues)
            if not work.open:
                clean.extend((row.ref, row.version) for row in work.rows.values())
        hands.record(Batch(links=links, clean=clean, issues=issues, close_issues=over))


def _settled_link(view: View, work: Work) -> Link:
    left, right = work.rows.get("left"), work.rows.get("right")
    if left is None or right is None:
        return work.link
    seen_left, seen_right = view.see_pair(work.link, left, right, source=work.source or work.link.origin)
    base: Base = settled_base(
        work.link.base, seen_left.shared, seen_right.shared, frozenset(work.unsettled), axes_settled=work.axes_settled
    )
    last_open: dict[Side, str] = dict(work.link.last_open)
    now: dict[Side, Seen] = {"left": seen_left, "right": seen_right}
    for side, seen in now.items():
        if seen.shared.state == "open" and seen.life.status is not None:
            last_open[side] = str(seen.life.status)
    mode = work.link.mode if work.open and work.link.mode != "steady" else "steady"
    return replace(work.link, base=base, mode=mode, last_open=last_open)
