"""Which records take part at all: what a mapping's `filter:` says of those that have no partner.

A record that does not fit is neither matched nor created across; a pair that exists goes on.
"""

from collections.abc import Iterable

from crmbridge.model import Problem, Ref, Seen
from crmbridge.state.words import Batch, Issue, IssuePlace
from crmbridge.sync.hands import Hands
from crmbridge.sync.key_index import entries, places
from crmbridge.sync.persons import left_alone
from crmbridge.sync.view import View


def fits(hands: Hands, seen: Seen) -> bool:
    """Where that cannot be told it does not: the record is held meanwhile."""
    compiled = hands.compiled.entities.get(seen.row.ref.entity)
    if hands.policy(seen).move.new == "ignore":
        return False
    return compiled is None or compiled.filter is None or compiled.filter(seen.shared) is True


def record_fits(hands: Hands, view: View, ref: Ref) -> bool:
    """The same for a record that the store knows; one that has not been read yet gets the benefit of the doubt."""
    stored = hands.store.records(ref.side, ref.entity, [ref.id]).get(ref.id)
    return stored is None or stored.row.values is None or fits(hands, view.see(stored.row))


def will_be_made(hands: Hands, seen: Seen) -> bool:
    """May it get a partner other than a twin that is there already?"""
    policy = hands.policy(seen)
    chosen = policy.undecided is None and policy.move.new == "create"
    return chosen and not left_alone(hands, seen) and fits(hands, seen)


def leave_out(hands: Hands, due: Iterable[Seen]) -> list[Seen]:
    """Those that take part. The others are done with until they change; held is what the filter fails on."""
    kept: list[Seen] = []
    out: list[Seen] = []
    issues: list[Issue] = []
    over: list[IssuePlace] = []
    for seen in due:
        ref = seen.row.ref
        check = hands.compiled.entities[ref.entity].filter
        verdict = check(seen.shared) if check is not None else True
        if hands.policy(seen).move.new == "ignore":
            verdict = False
        if verdict is True:
            kept.append(seen)
            continue
        out.append(seen)
        if isinstance(verdict, Problem):
            issues.append(
                hands.issue(
                    "held",
                    cause=verdict.cause,
                    entity=ref.entity,
                    ref=ref,
                    field=verdict.field,
                    message=verdict.message,
                    fix=verdict.fix,
                )
            )
        else:
            over.append((ref.entity, None, ref.side, ref.id, None))
    if out:
        hands.record(Batch(clean=places(out), keyed=entries(hands, out), issues=issues, close_issues=over))
    return kept
