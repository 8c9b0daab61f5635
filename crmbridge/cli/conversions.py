"""`resolve ISSUE --into RECORD` and `--without-conversion`: a person's word on a conversion that the other CRM refuses,
or that crmbridge cannot decide (C3, C10)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from crmbridge.cli.joining import LEASE_SECONDS, join
from crmbridge.errors import ConfigError
from crmbridge.model import SIDES, Entity, Ref, Row, Side, attribute_name, other

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store
    from crmbridge.state.words import Issue

# What a lead names of what its conversion made (salesforce-api §6.5, dataverse-api §6.9).
_RESULTS: Final[Mapping[str, Mapping[Entity, str]]] = {
    "salesforce": {
        "account": "ConvertedAccountId",
        "contact": "ConvertedContactId",
        "opportunity": "ConvertedOpportunityId",
    },
    "dynamics": {
        "account": "_parentaccountid_value",
        "contact": "_parentcontactid_value",
        "opportunity": "_qualifyingopportunityid_value",
    },
}
_QUALIFIED: Final = 1  # statecode


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """A pair of leads of which one is converted and the other is not."""

    link_id: str
    source: Side  # where it is converted
    results: Mapping[Entity, str]
    refs: tuple[Ref, ...]  # of the two leads


def into(
    store: "Store",
    settings: "Settings",
    issue: "Issue",
    record: str,
    connections: Mapping[Side, str],
    by: str,
    why: str,
) -> dict[str, Any]:
    """The conversion takes this record: it is linked with what the converted lead became, and tried again."""
    from crmbridge.cli.find import candidates

    half = half_converted(store, settings, issue)
    there = other(half.source)
    found = {
        (entity, ref.id)
        for candidate in candidates(record)
        for entity, _, ref in store.find_record(candidate)
        if ref is not None and ref.side == there and entity != "lead"
    }
    if len(found) != 1:
        raise ConfigError(
            f"{connections[there]} has shown no account, contact or opportunity {record!r}.",
            fix="Give the id of the record there; one that was made a moment ago is known after the next plan or sync.",
        )
    [(entity, native)] = found
    mine = half.results.get(cast("Entity", entity))
    if mine is None:
        raise ConfigError(
            f"The lead became no {entity} on {connections[half.source]}, so its conversion cannot take {native}.",
            fix=f"It became: {', '.join(f'{kind} {id}' for kind, id in half.results.items()) or 'nothing'}.",
        )
    ids: dict[Side, str] = {half.source: mine, there: native}
    link = join(store, cast("Entity", entity), ids, connections, by, why, about=issue.id)
    _due(store, half, [])
    assert issue.id is not None
    store.release_issues([issue.id], by, why or f"into {native}")
    return {
        "issue": issue.id,
        "shared_id": link.id,
        "ids": {connections[side]: id for side, id in ids.items()},
        "message": f"The two are linked as {link.id}; the next sync converts the lead into {native}.",
    }


def without(
    store: "Store",
    settings: "Settings",
    issue: "Issue",
    connections: Mapping[Side, str],
    by: str,
    why: str,
) -> dict[str, Any]:
    """The deal is not lost: what the lead became crosses as ordinary records, and the lead there stays as it is."""
    from crmbridge.sync.hands import LET_GO_META

    half = half_converted(store, settings, issue)
    if not half.results:
        raise ConfigError(
            f"The lead became nothing on {connections[half.source]}, so there is nothing to make without a conversion.",
            fix=f"`crmbridge resolve {issue.id}` closes the issue.",
        )
    known: dict[str, str] = json.loads(store.meta(LET_GO_META) or "{}")
    known[half.link_id] = f"{by}{f': {why}' if why else ''}"
    store.set_meta(LET_GO_META, json.dumps(known, sort_keys=True))
    made = [Ref(side=half.source, entity=entity, id=id) for entity, id in half.results.items()]
    _due(store, half, made)
    assert issue.id is not None
    store.close_issue(issue.id, by, why or "without conversion")
    listed = ", ".join(f"{entity} {id}" for entity, id in half.results.items())
    return {
        "issue": issue.id,
        "without_conversion": half.link_id,
        "message": f"The next sync takes over {listed} as ordinary records; the lead on "
        f"{connections[other(half.source)]} is not converted by crmbridge any more.",
    }


def half_converted(store: "Store", settings: "Settings", issue: "Issue") -> Half:
    """The leads that the issue is about. Raises ConfigError if it is about no conversion that is still to be made."""
    fix = "These options are for a lead that is converted on one side only; `crmbridge issues` lists them."
    link = store.links([issue.link_id]).get(issue.link_id) if issue.link_id else None
    if issue.entity != "lead" or link is None or not link.alive or link.left_id is None or link.right_id is None:
        raise ConfigError(f"Issue {issue.id} is not about a pair of leads.", fix=fix)
    if link.epoch:
        raise ConfigError(f"The conversion of issue {issue.id} was mirrored already.", fix=fix)
    rows: dict[Side, Row | None] = {}
    for side in SIDES:
        stored = store.record(Ref(side=side, entity="lead", id=link.id_on(side) or ""))
        rows[side] = stored.row if stored is not None and stored.row.values is not None else None
    converted: list[Side] = [side for side in SIDES if _converted(rows[side], settings.side(side).system)]
    if len(converted) != 1:
        raise ConfigError(f"The leads of issue {issue.id} are not converted on just one side.", fix=fix)
    source, row = converted[0], rows[converted[0]]
    columns = _RESULTS[settings.side(source).system]
    named: dict[Entity, Any] = {
        entity: getattr(row.values, attribute_name(name), None) for entity, name in columns.items() if row
    }
    return Half(
        link_id=link.id,
        source=source,
        results={entity: str(id) for entity, id in named.items() if id},
        refs=tuple(Ref(side=side, entity="lead", id=link.id_on(side) or "") for side in SIDES),
    )


def _converted(row: Row | None, system: str) -> bool:
    if row is None:
        return False
    if system == "salesforce":
        return bool(getattr(row.values, "IsConverted", False))
    return getattr(row.values, "statecode", None) == _QUALIFIED


def _due(store: "Store", half: Half, made: list[Ref]) -> None:
    """The leads, and what they became, are looked at by the next sync."""
    from crmbridge.state.words import Batch
    from crmbridge.sync.hands import LEASE_NAME

    lease = store.take_lease(LEASE_NAME, LEASE_SECONDS)
    try:
        store.apply(Batch(dirty=[*half.refs, *made], touched=made), lease=lease)
    finally:
        store.release(lease)
