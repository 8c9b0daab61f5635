"""Creates where the CRM enforces no key: what a lost answer is looked up by (reliability §4, "no key field").

The natural key is the first of the mapping's `match:` whose fields the new record fills, without amounts and dates. It
is read before the call, so that nothing is made that is there already, and one record of it is on its way at a time.
After a lost answer the witness is what our user has made since: one that fits is ours, several or one that fits nothing
are for a person, and none proves nothing until the CRM cannot be working on the call any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.base import Connector, Witness
from crmbridge.model import Entity, NativeRef, Ref, Row, Side, attribute_name, other
from crmbridge.state.words import Batch, Intent, Issue
from crmbridge.sync.echo import holds, places_of
from crmbridge.sync.hands import Hands, jsonable

NO_KEY: Final = "no_natural_key"
UNSURE: Final = "unsure_create"
_MARK: Final = "alike:"
# The server's clock is read from an answer before the call; it tells whole seconds, and servers differ a little.
CLOCK_SLACK: Final = timedelta(seconds=5)

Key = Mapping[str, Any]  # wire column -> what is sent


def witness(connector: Connector) -> Witness | None:
    """Who can tell what was made, where neither a key nor a chosen id does."""
    return connector if connector.key_field is None and isinstance(connector, Witness) else None


def natural_key(hands: Hands, side: Side, entity: Entity, columns: Mapping[str, Any]) -> Key | None:
    compiled = hands.compiled.entities[entity]
    ends = compiled.sides[side].at(None).ends
    links = {rule.name for rule in compiled.rules if rule.link is not None}
    for names in compiled.match:
        found: dict[str, Any] = {}
        for name in names:
            end = ends.get(name)
            for column in places_of(end) if end is not None else ():
                value = columns.get(column)
                if isinstance(value, NativeRef if name in links else str) and value:
                    found[column] = value
        filled = {name for name in names if (end := ends.get(name)) and {end.column, *end.parts} & set(found)}
        texts = [value for value in found.values() if isinstance(value, str)]
        if texts and all(name in filled or _is_near(hands, entity, name) for name in names):
            return found
    return None


def _is_near(hands: Hands, entity: Entity, name: str) -> bool:
    """An amount or a date: two of them that meet are not the same text."""
    rule = next((rule for rule in hands.compiled.entities[entity].rules if rule.name == name), None)
    return rule is not None and rule.kind in ("money", "date", "datetime")


def on_their_way(hands: Hands, side: Side, entity: Entity) -> set[frozenset[tuple[str, str]]]:
    """Of creates whose answer is not there yet."""
    return {
        same({column: one.after.get(column) for column in columns_of(one)})
        for one in hands.store.open_intents()
        if is_marked(one) and (one.side, one.entity) == (side, entity)
    }


def same(key: Key) -> frozenset[tuple[str, str]]:
    """To tell two keys apart as the CRM does: without case."""
    return frozenset((column, str(jsonable(value)).casefold()) for column, value in key.items())


def marked(key: Key) -> str:
    """What an intent keeps of it: the columns; their values are in what is sent."""
    return _MARK + "+".join(sorted(key))


def is_marked(intent: Intent) -> bool:
    return intent.kind == "create" and (intent.key or "").startswith(_MARK)


def columns_of(intent: Intent) -> list[str]:
    return (intent.key or "").removeprefix(_MARK).split("+")


def lacks_key(hands: Hands, entity: Entity, side: Side, ref: Ref) -> Issue:
    return hands.issue(
        "held",
        cause=NO_KEY,
        entity=entity,
        ref=ref,
        message=f"{hands.names[side]} has no key field, and the record fills none of the mapping's `match:` keys: if "
        "the answer were lost, nobody could tell whether it was made.",
        fix="Fill the fields of a key, or add the key field: crmbridge setup.",
    )


def there_already(
    hands: Hands, witness: Witness, side: Side, entity: Entity, keys: Sequence[Key]
) -> tuple[set[int], datetime | None]:
    """Positions of keys that a record without a partner has; it is stored, so that the next round pairs the two.
    Beside it the server's time: what is made by the call after this is not older."""
    found, at = witness.alike(entity, keys)
    ids = [row.ref.id for rows in found for row in rows]
    linked = hands.store.links_by_native(side, entity, ids)
    free = [[row for row in rows if row.ref.id not in linked] for rows in found]
    rows = [row for some in free for row in some]
    if rows:
        hands.record(Batch(rows=rows, dirty=[row.ref for row in rows]))
    return {n for n, some in enumerate(free) if some}, at


# --- after a lost answer ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the witness says of one create."""

    row: Row | None = None  # this is it
    doubt: str = ""  # why a person must look
    doubtful: Sequence[Row] = ()


def made(hands: Hands, intent: Intent) -> Found:
    """Empty while nothing is known."""
    connector = hands.connectors[intent.side]
    if not isinstance(connector, Witness) or intent.pre_version is None:
        return Found(doubt="What could be a witness of it is gone.")
    since = datetime.fromisoformat(intent.pre_version) - CLOCK_SLACK
    rows = connector.made_since(intent.entity, hands.identities[intent.side].user_id, since)
    linked = hands.store.links_by_native(intent.side, intent.entity, [row.ref.id for row in rows])
    free = [row for row in rows if row.ref.id not in linked]
    mine = [row for row in free if _fits(row, intent)]
    if len(mine) == 1:
        return Found(row=mine[0])
    if mine:
        return Found(doubt=f"Several new records there fit: {_ids(mine)}.", doubtful=mine)
    open_ones = [one for one in hands.store.open_intents() if is_marked(one) and one.side == intent.side]
    strange = [row for row in free if not any(_fits(row, one) for one in open_ones if one.entity == intent.entity)]
    if strange:
        return Found(doubt=f"Our user made records there that fit nothing we sent: {_ids(strange)}.", doubtful=strange)
    return Found()


def _ids(rows: Sequence[Row]) -> str:
    return ", ".join(row.ref.id for row in rows)


def _fits(row: Row, intent: Intent) -> bool:
    return all(_holds(row, column, intent.after.get(column)) for column in columns_of(intent))


def _holds(row: Row, column: str, sent: Any) -> bool:
    now = getattr(row.values, attribute_name(column), None)
    if isinstance(now, str) and isinstance(sent, str) and now.strip().casefold() == sent.strip().casefold():
        return True  # some fields are kept in lower case
    return holds(row, column, sent)


def give_up(hands: Hands, intent: Intent, why: str, doubtful: Sequence[Row] = ()) -> None:
    """Nothing is repeated: a person says what became of it. No partner is made for what it may have made, either."""
    source = Ref(side=other(intent.side), entity=intent.entity, id=intent.source_id or "")
    stored = hands.store.records(source.side, source.entity, [source.id]).get(source.id)
    issue = hands.issue(
        "held",
        cause=UNSURE,
        entity=intent.entity,
        ref=source,
        message=f"A create on {hands.names[intent.side]} was sent and its answer lost; whether it was carried out "
        f"could not be told. {why}",
        fix="If it is there: crmbridge resolve ISSUE --with ID. If not: crmbridge retry ISSUE sends it again.",
    )
    clean: list[tuple[Ref, str | None]] = [(source, stored.row.version)] if stored is not None else []
    lost = replace(intent, state="lost", reply="never told")
    clean.extend((row.ref, row.version) for row in doubtful)
    hands.record(Batch(rows=doubtful, close_intents=[lost], issues=[issue], clean=clean))
