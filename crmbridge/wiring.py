"""The one place where parts are put together: settings -> connectors, store, compiled mapping -> engine."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import mapping
from connectors.base import Connector, Description, TablePlan
from connectors.registry import connect
from crmbridge.errors import ConfigError
from crmbridge.guard import Cap, Caps
from crmbridge.lifecycle import DYNAMICS, SALESFORCE, Powers
from crmbridge.model import ENTITIES, SIDES, Entity, Side
from crmbridge.settings import Settings
from crmbridge.state.store import Store
from crmbridge.sync import Engine, Only, Options, Progress
from crmbridge.sync.hands import Quiet

POWERS: Mapping[str, Powers] = {"salesforce": SALESFORCE, "dynamics": DYNAMICS}
# Added to a request's longest run time before a lost call counts as never executed (reliability §3).
SETTLE_MARGIN_SECONDS = 60.0
SETTLE_MARGIN_LOOPBACK_SECONDS = 1.0


@contextmanager
def open_engine(
    settings: Settings,
    *,
    only: Only | None = None,
    entities: tuple[Entity, ...] | None = None,
    progress: Progress | None = None,
) -> Generator[Engine]:
    """Everything a cycle needs, and all of it closed afterwards.

    Raises ConfigError for settings or mappings, AccessError or OutsideError for what does not answer."""
    documents = load_mapping(settings)
    connectors = open_connectors(settings)
    store: Store | None = None
    try:
        store = open_store(settings)
        compiled = mapping.compile(documents, descriptions=describe(connectors))
        row_types = configure(connectors, compiled)
        store.configure(row_types)
        names: dict[Side, str] = dict(zip(SIDES, settings.names, strict=True))
        yield Engine(
            store=store,
            connectors=connectors,
            names=names,
            compiled=compiled,
            powers={side: POWERS[connectors[side].system] for side in SIDES},
            options=_options(settings, store, only, entities),
            progress=progress or Quiet(),
        )
    finally:
        for connector in connectors.values():
            connector.close()
        if store is not None:
            store.close()


def open_store(settings: Settings) -> Store:
    return Store.open(settings.store.url)


def open_connectors(settings: Settings) -> dict[Side, Connector]:
    return {side: connect(settings.connector(side), side) for side in SIDES}


def load_mapping(settings: Settings) -> "mapping.Documents":
    documents, findings = mapping.load(settings.mappings, connections=connections(settings))
    errors = tuple(str(finding) for finding in findings if finding.severity == "error")
    if errors:
        count = f"{len(errors)} problem{'s' if len(errors) > 1 else ''}"
        raise ConfigError(
            f"The mapping has {count}:\n" + "\n".join(errors),
            problems=errors,
            fix="Correct the lines named and run `crmbridge check` again.",
            code="mapping",
        )
    return documents


def connections(settings: Settings) -> dict[str, str]:
    """Connection name -> system, left first."""
    return {name: settings.connections[name].system for name in settings.names}


def describe(connectors: Mapping[Side, Connector]) -> dict[tuple[Side, Entity], Description]:
    return {(side, entity): connectors[side].describe(entity) for side in SIDES for entity in ENTITIES}


def configure(connectors: Mapping[Side, Connector], compiled: "mapping.Compiled") -> dict[tuple[Side, Entity], type]:
    """Tell each connector what to read; returns the row types that the store decodes with."""
    row_types: dict[tuple[Side, Entity], type[Any]] = {}
    for side in SIDES:
        tables: list[TablePlan] = []
        for entity, one in compiled.entities.items():
            columns = one.columns(side)
            wire = {**connectors[side].system_columns(entity), **columns}
            row_type = mapping.row_struct(f"{side.title()}{entity.title()}", wire)
            row_types[side, entity] = row_type
            tables.append(
                TablePlan(entity=entity, table=one.table(side), columns=tuple(columns), row_type=row_type)
            )
        connectors[side].configure(tables)
    return row_types


def _options(settings: Settings, store: Store, only: Only | None, entities: tuple[Entity, ...] | None) -> Options:
    guard = settings.guard
    percent = guard.percent
    caps = Caps(
        creates=Cap(count=guard.creates, percent=percent),
        updates=Cap(count=guard.updates, percent=percent),
        conversions=Cap(count=guard.conversions, percent=percent),
        closes=Cap(count=guard.closes, percent=percent),
        deletes=Cap(count=guard.deletes, percent=percent),
        blanks=Cap(count=guard.blanks, percent=percent),
    )
    return Options(
        caps=caps,
        choices=json.loads(store.meta("choices") or "{}"),
        mirror_since=settings.lifecycle.mirror_since,
        entities=entities or ENTITIES,
        only=only or _only(settings),
        settle_seconds={side: _settle_seconds(settings, side) for side in SIDES},
    )


def _only(settings: Settings) -> Only:
    only = settings.only
    return Only(ids=frozenset(only.ids), owner=only.owner, modified_since=only.modified_since, limit=only.limit)


def _settle_seconds(settings: Settings, side: Side) -> float:
    connection = settings.side(side)
    margin = SETTLE_MARGIN_LOOPBACK_SECONDS if connection.is_loopback else SETTLE_MARGIN_SECONDS
    return connection.request_limit_seconds + margin
