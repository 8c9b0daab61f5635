"""What a worker's log says of single records: a line for each that is held or refused and for each step of the life
cycle; for what is merely written or waits only where DEBUG is on, since a million of those help nobody.

Ids, codes and names of fields; never a value, a reason or a sentence of a CRM (reliability §11). It is said after the
transaction that stored it, so a line tells what is so. docs/reference/log.md lists them.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from crmbridge.model import SIDES, Side, other
from crmbridge.reasons import case_of
from crmbridge.state.store import Store
from crmbridge.state.words import Intent, Issue

_log = logging.getLogger("crmbridge.records")

# Intents of plain writes; all others are steps of the life cycle.
_PLAIN: Final = frozenset({"create", "update"})
SAID: Final = {
    "held": (logging.INFO, "record_held", "is held for a person"),
    "failed": (logging.INFO, "record_refused", "was refused"),
    "waiting": (logging.DEBUG, "record_waits", "waits"),
    "report": (logging.DEBUG, "record_reported", "is reported"),
}


def writes(names: Mapping[Side, str], closed: Iterable[Intent]) -> None:
    """Of calls whose outcome was stored."""
    debug = _log.isEnabledFor(logging.DEBUG)
    if not debug and not _log.isEnabledFor(logging.INFO):
        return
    for one in closed:
        step = one.state == "done" and one.kind not in _PLAIN
        if not step and not debug:
            continue
        about = {
            "intent": one.id,
            "entity": one.entity,
            "kind": one.kind,
            "pair": one.link_id,
            "ids": {names[one.side]: one.native_id, names[other(one.side)]: one.source_id},
            "cause": case_of(one.reason),
        }
        where = names[one.side]
        if step:
            _log.info("%s: %s on %s", one.entity, one.kind, where, extra={"action": "step_done", **about})
        elif one.state == "done":
            _log.debug("%s: %s on %s", one.entity, one.kind, where, extra={"action": "record_written", **about})
        else:
            more = {"action": "record_not_written", "state": one.state, **about}
            _log.debug("%s: %s on %s was not written: %s", one.entity, one.kind, where, one.state, extra=more)


def issues(names: Mapping[Side, str], store: Store, news: Iterable[Issue]) -> None:
    """Of what was opened, or refused once more; not of what is merely found again in each cycle."""
    said = [one for one in news if _log.isEnabledFor(SAID[one.kind][0])]
    if not said:
        return
    links = store.links(_linked(said))
    for one in said:
        level, action, words = SAID[one.kind]
        link = links.get(one.link_id) if one.link_id is not None else None
        ids: dict[str, str | None] = {names[side]: link.id_on(side) for side in SIDES} if link is not None else {}
        if one.side is not None:
            ids[names[one.side]] = one.native_id
        about = {
            "entity": one.entity,
            "cause": one.cause,
            "field": one.field,
            "pair": one.link_id,
            "ids": ids,
            "attempts": one.attempts,
            "next_try": one.next_try_at.isoformat() if one.next_try_at is not None else None,
        }
        _log.log(level, "%s %s: %s", one.entity, words, one.cause, extra={"action": action, **about})


def _linked(some: Sequence[Issue]) -> list[str]:
    return sorted({one.link_id for one in some if one.link_id is not None})
