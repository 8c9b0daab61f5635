"""An account named like the person, for a lead without a company (`contact_only`, lifecycle §1.5).

The other CRM names the account that a conversion makes by the lead's company, and the lead there has none, or what
stands in for one. So it is given the person's name first, in a write of its own. The name counts as a filler of ours:
it reads as none, so it never comes back, and a company that is filled in later goes over it.
"""

from dataclasses import replace
from typing import Final

from crmbridge.model import Side, Update
from crmbridge.state.words import Batch
from crmbridge.sync.hands import Hands
from crmbridge.sync.updates import push_updates
from crmbridge.sync.view import View
from crmbridge.sync.work import Work

COMPANY: Final = "company"


def give_name(hands: Hands, view: View, work: Work, target: Side, name: str, option: str) -> bool:
    """True once the lead there is called so; otherwise the work tells why not. `option`: the choice, in words."""
    fillers = {**work.link.fillers, target: {**work.link.fillers.get(target, {}), COMPANY: name}}
    was_open = COMPANY in work.unsettled
    work.unsettled.discard(COMPANY)
    if fillers != work.link.fillers:  # kept before it is written: where the answer is lost it reads as none as well
        work.link = replace(work.link, fillers=fillers)
        hands.record(Batch(links=[work.link]))
    reason = f"has no company, so its account is to be named like the person (C5; {option})"
    update = Update(side=target, fields={COMPANY: name}, reason=reason, why={COMPANY: "the person's name"})
    push_updates(hands, view, [(work, update)])
    done = COMPANY not in work.unsettled and not work.moved
    if was_open:
        work.unsettled.add(COMPANY)
    if not done:
        work.axes_settled = False
    return done
