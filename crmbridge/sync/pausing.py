"""Writes that a person has paused: they are planned, told as waiting, and not sent. The record stays due, so that
whatever both sides show at the time of `resume` is written then.

Asked again before each batch of writes: a pause counts from the next batch on, not from the next cycle."""

from crmbridge.model import SIDES, Entity, Link, Ref, Side
from crmbridge.pauses import PAUSED, Pause, is_read, paused
from crmbridge.state.words import Issue
from crmbridge.sync.hands import Hands
from crmbridge.sync.work import Work


def pause_of(hands: Hands, side: Side, *entities: Entity) -> Pause | None:
    """What keeps one of these from being written there, now."""
    pauses = hands.store.pauses()
    found = (paused(pauses, side, entity) for entity in entities) if pauses else ()
    return next((pause for pause in found if pause is not None), None)


def waits(
    hands: Hands, pause: Pause, side: Side, entity: Entity, *, link: Link | None = None, ref: Ref | None = None
) -> Issue:
    what = " and ".join(word for word in (pause.entity, hands.names[pause.side] if pause.side else None) if word)
    issue = hands.issue(
        "waiting",
        cause=PAUSED,
        entity=entity,
        link=link,
        ref=ref,
        field=hands.names[side],
        message=f"A write to {hands.names[side]} waits: {what or 'everything'} is paused since "
        f"{pause.since:%Y-%m-%d %H:%M} UTC by {pause.by}.",
        fix="It is planned anew and written once a person says: crmbridge resume",
    )
    hands.put_aside.append(issue)
    return issue


def hold_back(hands: Hands, work: Work, pause: Pause, side: Side) -> None:
    """A write of a linked pair: the pair stays due."""
    work.open = True
    work.issues.append(waits(hands, pause, side, work.entity, link=work.link))


def unread(hands: Hands) -> frozenset[tuple[Side, Entity]]:
    """Tables that are not even read."""
    pauses = hands.store.pauses()
    return frozenset(
        (side, entity) for side in SIDES for entity in hands.options.reads if not is_read(pauses, side, entity)
    )
