"""Two records that a person says are the same one: linked, and compared by the next sync as if a key had matched."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from crmbridge.errors import ConfigError
from crmbridge.model import Entity, Link, Ref, Side

if TYPE_CHECKING:
    from crmbridge.state.store import Store

LEASE_SECONDS: Final = 30


def join(
    store: "Store",
    entity: Entity,
    ids: Mapping[Side, str],
    connections: Mapping[Side, str],
    by: str,
    why: str,
    *,
    about: int | None,
) -> Link:
    """`about`: the issue that asked for it; what else was asked about these two is closed."""
    from crmbridge.state.words import Batch
    from crmbridge.sync.hands import LEASE_NAME

    for side, id in ids.items():
        free(store, side, entity, id, connections)
    link = Link(
        id=str(uuid.uuid4()),
        entity=entity,
        left_id=ids["left"],
        right_id=ids["right"],
        mode="matched",
        how=f"chosen by {by}{f': {why}' if why else ''}",
    )
    refs = [Ref(side=side, entity=entity, id=id) for side, id in ids.items()]
    lease = store.take_lease(LEASE_NAME, LEASE_SECONDS)  # no sync may link one of them meanwhile
    try:
        store.apply(Batch(links=[link], dirty=refs, touched=refs), lease=lease)
        for one in store.issues_of(refs=refs):  # the twin's own issue about the same question, too
            if one.id is not None and one.id != about:
                store.close_issue(one.id, by, f"issue {about}: {why}" if why else f"issue {about}")
    finally:
        store.release(lease)
    return link


def free(store: "Store", side: Side, entity: Entity, id: str, connections: Mapping[Side, str]) -> None:
    """Raises ConfigError unless the record is known, alive and without a partner."""
    stored = store.record(Ref(side=side, entity=entity, id=id))
    if stored is None or stored.row.deleted or stored.row.values is None:
        raise ConfigError(
            f"{connections[side]} has shown no live {entity} {id}.",
            fix="Check the id; a record that was made a moment ago is known after the next plan or sync.",
        )
    link = store.links_by_native(side, entity, [id]).get(id)
    if link is not None and link.alive:
        raise ConfigError(
            f"The {entity} {id} on {connections[side]} has a partner already ({link.id}).",
            fix=f"`crmbridge show {id}` tells which.",
        )
    if link is not None:
        raise ConfigError(
            f"The {entity} {id} on {connections[side]} had a partner whose pair has ended ({link.id}); "
            "an ended pair is not matched again."
        )
