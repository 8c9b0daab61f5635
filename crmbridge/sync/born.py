"""How a mirrored conversion made a record, which is the base of its pair on that side: what differs from it later is
somebody's edit, and not what the CRM filled in.
"""

from collections.abc import Sequence
from dataclasses import replace

from crmbridge.lifecycle.conversions import late_places
from crmbridge.model import Entity, FieldRule, Fields, Link, Row, Seen, Unlinked, Value
from crmbridge.plan import is_blank
from crmbridge.sync.echo import touched
from crmbridge.sync.hands import Hands
from crmbridge.sync.view import View


def as_made(
    hands: Hands, view: View, link: Link, row: Row | None, *, lead: Seen | None, origin: Row | None = None
) -> Link:
    """The link with that base. `row`: the first look at it; `lead`: what it was made of, None if it was there before;
    `origin`: its partner on the converted side, as last read.

    Where somebody has saved the record already (our answer was lost, or he was quick), the look does not tell; what
    came from the lead is known all the same, and what is blank is: who fills it later has edited it. What the origin
    has not is then blank in its view: it was typed there, or is as good as that, and is filled in (a write of ours
    would hide who saved it last)."""
    if row is None or row.values is None or link.mode != "converted":
        return link
    made = view.see(row, link=link).shared.fields
    there: Fields = {}
    if touched(hands, row):
        blank = {name: value for name, value in made.items() if is_blank(value)}
        now = made
        made = {**blank, **(_from_lead(hands, link.entity, lead.shared.fields, made) if lead is not None else {})}
        if origin is not None and origin.values is not None:
            theirs = view.see(origin, link=link).shared.fields
            there = {name: None for name in now.keys() - made.keys() if name in theirs and is_blank(theirs[name])}
    left, right = (made, there) if row.ref.side == "left" else (there, made)
    return replace(link, base=replace(link.base, left=left, right=right))


def _from_lead(hands: Hands, entity: Entity, lead: Fields, now: Fields) -> dict[str, Value]:
    """What the CRM's own conversion carried over. A blank may be one that it does not carry: left out."""
    compiled = hands.compiled.entities

    def takes(of: Entity, name: str) -> bool:
        return of in compiled and any(rule.name == name for rule in compiled[of].rules)

    carried = {place: value for name, value in lead.items() for of, place in late_places(name, takes) if of == entity}
    known = {
        place: value
        for place, value in carried.items()
        if not isinstance(value, Unlinked) and not is_blank(value) and not is_blank(now.get(place))
    }
    return {**dict.fromkeys(_typed(compiled[entity].rules, lead, now)), **known}


def _typed(rules: Sequence[FieldRule], lead: Fields, now: Fields) -> set[str]:
    """Texts that no conversion has put there: the lead has nowhere the like, so they were blank. Numbers and choices
    may be the CRM's own; texts are somebody's."""
    from_lead = {value for value in lead.values() if isinstance(value, str)}
    texts = {rule.name for rule in rules if rule.kind == "text" and rule.link is None and not rule.derived}
    return {
        name
        for name, value in now.items()
        if name in texts and isinstance(value, str) and not is_blank(value) and value not in from_lead
    }
