"""The one place where parts are put together: settings -> connectors, store, compiled mapping -> engine."""

import hashlib
import json
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mapping
from connectors.base import Connector, Description, TablePlan
from connectors.gate import Gated
from connectors.registry import connect
from crmbridge import pace, tracing
from crmbridge.budget import Rate
from crmbridge.drift import DRIFT_META, GONE, SHAPE_META, Shape, drifted
from crmbridge.errors import AccessError, ConfigError, CrmBridgeError, LeftAlone, OutsideError, failed_words
from crmbridge.guard import Cap, Caps
from crmbridge.lifecycle.powers import DYNAMICS, SALESFORCE, Powers
from crmbridge.model import ENTITIES, SIDES, Entity, Side
from crmbridge.segments import policies
from crmbridge.settings import Guard, SalesforceConnection, Secret, Settings
from crmbridge.settings.connections import AnyConnection
from crmbridge.state.store import Store
from crmbridge.sync import Engine, Only, Options, Progress
from crmbridge.sync.hands import Quiet
from crmbridge.sync.limits import Allowance, Bucket, Keeper, told_apart
from mapping.key_columns import key_findings
from mapping.problem import path_text
from mapping.renamed import renamed

POWERS: Mapping[str, Powers] = {"salesforce": SALESFORCE, "dynamics": DYNAMICS}
# Added to a request's longest run time before a lost call counts as never executed (reliability §3).
SETTLE_MARGIN_SECONDS = 60.0
SETTLE_MARGIN_LOOPBACK_SECONDS = 1.0
# Dynamics: 6,000 requests in any five minutes (dataverse-api §10.4) = 18 a second, and 600 at once. Salesforce names no
# such limit; the same pace keeps a mistake of ours from eating the day in an hour.
CALLS_PER_SECOND = 18.0
RECONCILE_EVERY = timedelta(days=1)  # reliability §7
BROKEN_META = "configuration_broken"  # what is wrong with files that are not in force; blank: nothing
INSTALLED_META = "installed"  # the day on which this store was first worked with


@contextmanager
def open_engine(
    settings: Settings,
    *,
    only: Only | None = None,
    entities: tuple[Entity, ...] | None = None,
    progress: Progress | None = None,
    texts: Mapping[str, str] | None = None,
    called: str | None = None,
    bucket: Bucket | None = None,
    noted_as: str = "",
) -> Generator[Engine]:
    """Everything a cycle needs, and all of it closed afterwards. `texts`: mapping files to go by instead of the ones
    in the folder, by name; `called` is told as the place where they stand. `noted_as`: the kind of run that is noted,
    with what was the matter, if a login or a CRM lets nothing begin.

    Raises ConfigError for settings or mappings, AccessError or OutsideError for what does not answer."""
    _refuse_test_pace(settings)
    tracing.begin()
    texts = mapping_texts(settings) if texts is None else dict(texts)
    documents = load_mapping(settings, texts, called)
    version = mapping.version_of(texts, documents)
    connectors = open_connectors(settings)
    store: Store | None = None
    keepers: dict[Side, Keeper] = {}
    try:
        store = open_store(settings)
        keepers = keep(settings, store, connectors, bucket)
        with _noted(store, noted_as), told_apart(keepers):
            descriptions = describe(connectors)
        names: dict[Side, str] = dict(zip(SIDES, settings.names, strict=True))
        shapes = _shapes(texts, documents, descriptions)
        stopped = _stopped(store, shapes, names)
        known = {place: one for place, one in descriptions.items() if place[1] not in stopped}
        compiled = mapping.compile(documents, descriptions=known)
        _remember_shapes(store, shapes, stopped)
        row_types = configure(connectors, compiled)
        store.configure(row_types)
        yield Engine(
            store=store,
            connectors=connectors,
            names=names,
            compiled=compiled,
            powers={side: POWERS[connectors[side].system] for side in SIDES},
            options=replace(_options(settings, store, compiled, only, entities), stopped=frozenset(stopped)),
            progress=progress or Quiet(),
            version=version,
            previous=_Previous(settings=settings, store=store, descriptions=descriptions),
            keepers=keepers,
            stamp=_stamp(version, descriptions),
        )
    finally:
        _put_away(store, connectors, keepers)


def _put_away(store: Store | None, connectors: Mapping[Side, Connector], keepers: Mapping[Side, Keeper]) -> None:
    for keeper in keepers.values():
        keeper.settle()
    for connector in connectors.values():
        connector.close()
    if store is not None:
        store.close()


@contextmanager
def _noted(store: Store, kind: str) -> Generator[None]:
    """A run that a CRM ended before it began. That a CRM is left alone is told by `status` already."""
    try:
        yield
    except (AccessError, OutsideError) as error:
        if kind and not isinstance(error, LeftAlone):
            store.end_run(store.start_run(kind).id, failed_words(error))
        raise


@contextmanager
def open_to_ask(
    settings: Settings, *, needs_store: bool = True, tries: bool = False, owners: bool = True
) -> Generator[dict[Side, Connector]]:
    """Both connectors for what a person asks outside of a run, behind the gate that all other calls pass.

    `needs_store`: False goes on without the gate where the store does not serve. `tries`: the person wants to see
    whether a CRM that was in trouble serves again. `owners`: False tells the connectors no default owner, so that one
    who is not there does not keep them from telling who is."""
    connectors = open_connectors(settings, owners=owners)
    store: Store | None = None
    keepers: dict[Side, Keeper] = {}
    try:
        try:
            store = open_store(settings)
        except CrmBridgeError:
            if needs_store:
                raise
        else:
            keepers = keep(settings, store, connectors, tries=tries)
        with told_apart(keepers):
            yield connectors
    finally:
        _put_away(store, connectors, keepers)


def _refuse_test_pace(settings: Settings) -> None:
    """Leases of a test's length beside a real CRM, which may be at work on a lost call for minutes: never."""
    away = [name for name in settings.names if not _is_loopback(settings.connections[name].url)]
    if pace.NOW != pace.PRODUCTION and away:
        raise ConfigError(
            f"{pace.VARIABLE} is set, which is for tests against the sandbox alone; {away[0]} is not on this machine.",
            fix=f"Start without {pace.VARIABLE}.",
            code="test_pace",
        )


def keep(
    settings: Settings,
    store: Store,
    connectors: Mapping[Side, Connector],
    bucket: Bucket | None = None,
    *,
    tries: bool = False,
) -> dict[Side, Keeper]:
    """Put the gate of limits and breakers before both connectors. `bucket`: who says whose turn it is, if not the
    store."""
    keepers: dict[Side, Keeper] = {}
    for side, connector in connectors.items():
        if isinstance(connector, Gated):
            connection = settings.side(side)
            allowance = Allowance(rate=_rate(connection), daily=connection.daily_calls)
            name = settings.name(side)
            keepers[side] = Keeper(store=store, name=name, allowance=allowance, bucket=bucket, tries=tries)
            connector.gated(keepers[side])
    return keepers


def _rate(connection: AnyConnection) -> Rate | None:
    """As set; else the CRM's own limit, and none for a server on this machine."""
    burst = connection.calls_at_once
    if connection.calls_per_second is not None:
        return Rate(per_second=connection.calls_per_second, burst=burst)
    return None if _is_loopback(connection.url) else Rate(per_second=CALLS_PER_SECOND, burst=burst)


def open_store(settings: Settings) -> Store:
    return Store.open(settings.store_url())


def open_connectors(settings: Settings, *, owners: bool = True) -> dict[Side, Connector]:
    return {side: connect(settings.side(side).system, _config(settings, side, owners=owners), side) for side in SIDES}


def _config(settings: Settings, side: Side, *, owners: bool) -> Any:
    """A connection's settings with its secrets resolved, as its connector takes them. Keys of a login flow are called
    the same in both."""
    name, connection = settings.name(side), settings.side(side)
    auth = {key: _plain(value) for key, value in connection.auth if value is not None}
    owner = settings.default_owner(side) if owners else None
    common: dict[str, Any] = {
        "name": name,
        "url": connection.url,
        "ca_file": connection.ca_file,
        "proxy": connection.proxy,
        "default_owner": owner[1] if owner is not None else None,
        "default_owner_setting": path_text(owner[0]) if owner is not None else "",
        "request_limit_seconds": connection.request_limit_seconds,
        **auth,
    }
    if isinstance(connection, SalesforceConnection):
        from connectors.salesforce.auth import SalesforceConfig  # late: each brings its own libraries

        return SalesforceConfig(login_url=connection.login, key_field=connection.key_field, **common)
    from connectors.dynamics.auth import DynamicsConfig

    return DynamicsConfig(authority=connection.login, **common)


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, Secret) else value


def mapping_texts(settings: Settings) -> dict[str, str]:
    """The mapping files as they are now, by name. Raises ConfigError for one that cannot be read."""
    try:
        return mapping.read_texts(settings.mappings_folder)
    except (OSError, UnicodeDecodeError):
        load_mapping(settings)  # says which, and why
        raise


def key_fields(settings: Settings) -> dict[Side, str | None]:
    return {side: getattr(settings.side(side), "key_field", None) for side in SIDES}


def load_mapping(
    settings: Settings, texts: Mapping[str, str] | None = None, called: str | None = None
) -> "mapping.Documents":
    """From the folder, or from texts by file name, which are told as if they stood there, or in the place `called`."""
    folder = settings.mappings_folder
    there = folder if called is None else Path(called)
    where = folder if not texts else {str(there / name): text for name, text in texts.items()}
    documents, found = mapping.load(where, connections=connections(settings), profile=settings.profile)
    findings = renamed(found, settings.names)
    findings += [one for document in documents for one in key_findings(document, key_fields(settings))]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Previous:
    """An earlier version of the mapping, compiled for what the two systems are now."""

    settings: Settings
    store: Store
    descriptions: Mapping[tuple[Side, Entity], Description]

    def __call__(self, version: str) -> "mapping.Compiled | None":
        kept = next((one for one in self.store.mappings() if one.id == version), None)
        if kept is None:
            return None
        try:
            return mapping.compile(load_mapping(self.settings, kept.texts), descriptions=self.descriptions)
        except ConfigError:
            return None  # what it named is gone: then nobody can say what it affected, and all is looked at


def connections(settings: Settings) -> dict[str, str]:
    """Connection name -> system, left first."""
    return {name: settings.connections[name].system for name in settings.names}


def _shapes(
    texts: Mapping[str, str], documents: "mapping.Documents", descriptions: Mapping[tuple[Side, Entity], Description]
) -> dict[Entity, Shape]:
    """What the mapped fields are now, by kind of record."""
    shapes: dict[Entity, Shape] = {}
    for document in documents:
        own = [f"{name}\n{text}" for name, text in sorted(texts.items()) if name.partition(".")[0] == document.entity]
        types: dict[Side, dict[str, str]] = {side: {} for side in SIDES}
        for field in document.fields.values():
            for side, choice in field.columns.items():
                columns = descriptions[side, document.entity].columns
                types[side] |= {name: columns[name].type if name in columns else GONE for name in choice.all()}
        shapes[document.entity] = Shape(terms=hashlib.sha256("\n".join(own).encode()).hexdigest()[:16], types=types)
    return shapes


def _stopped(store: Store, shapes: Mapping[Entity, Shape], names: Mapping[Side, str]) -> dict[Entity, tuple[str, ...]]:
    """Kinds of records whose fields changed under us, and how; kept for `crmbridge status`."""
    stopped: dict[Entity, tuple[str, ...]] = {}
    for entity, now in shapes.items():
        kept = store.meta(SHAPE_META + entity)
        before = Shape(**json.loads(kept)) if kept else None
        told = drifted(before, now, names, entity)
        if told:
            stopped[entity] = told
    text = json.dumps(stopped, sort_keys=True)
    if (store.meta(DRIFT_META) or "{}") != text:
        store.set_meta(DRIFT_META, text)
    return stopped


def _remember_shapes(store: Store, shapes: Mapping[Entity, Shape], stopped: Collection[Entity]) -> None:
    for entity, now in shapes.items():
        text = json.dumps({"terms": now.terms, "types": now.types}, sort_keys=True)
        if entity not in stopped and store.meta(SHAPE_META + entity) != text:
            store.set_meta(SHAPE_META + entity, text)


def _stamp(version: "mapping.Version", descriptions: Mapping[tuple[Side, Entity], Description]) -> str:
    """What was refused may be taken once this has changed."""
    lines = sorted(
        f"{side} {entity} {one.name} {one.type} {one.length} {one.scale} {one.required} {one.createable} "
        f"{one.updateable} {one.restricted} {sorted(str(option.value) for option in one.options if option.active)}"
        for (side, entity), description in descriptions.items()
        for one in description.columns.values()
    )
    return hashlib.sha256("\n".join([version.id, *lines]).encode()).hexdigest()[:12]


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
            tables.append(TablePlan(entity=entity, table=one.table(side), columns=tuple(columns), row_type=row_type))
        connectors[side].configure(tables)
    return row_types


def _options(
    settings: Settings,
    store: Store,
    compiled: "mapping.Compiled",
    only: Only | None,
    entities: tuple[Entity, ...] | None,
) -> Options:
    return Options(
        caps=_caps(settings.guard),
        choices=json.loads(store.meta("choices") or "{}"),
        mirror_since=mirror_since(settings, store),
        policies=policies(settings, compiled),
        entities=entities or ENTITIES,
        only=only or _only(settings),
        retention=settings.retention.ages(),
        reconcile_every=RECONCILE_EVERY,
        on_unknown={
            side: connection.on_unknown
            for side in SIDES
            if isinstance(connection := settings.side(side), SalesforceConnection)
        },
        settle_seconds={side: _settle_seconds(settings, side) for side in SIDES},
    )


def mirror_since(settings: Settings, store: Store) -> datetime:
    """Conversions dated before are not carried out: as configured, else from the day of installation on.

    A day of slack, because Salesforce dates a conversion without time, in the zone of its organization."""
    if settings.lifecycle.mirror_since is not None:
        return settings.lifecycle.mirror_since
    installed = store.meta(INSTALLED_META)
    if installed is None:
        installed = store.now().date().isoformat()
        store.set_meta(INSTALLED_META, installed)
    return datetime.combine(date.fromisoformat(installed), time(), UTC) - timedelta(days=1)


def _caps(guard: Guard) -> Caps:
    """The guard's defaults differ per kind in their share; one `percent` in the settings holds for all."""
    known = Caps()

    def cap(count: int, usual: Cap) -> Cap:
        return Cap(count=count, percent=usual.percent if guard.percent is None else guard.percent)

    return Caps(
        creates=cap(guard.creates, known.creates),
        updates=cap(guard.updates, known.updates),
        conversions=cap(guard.conversions, known.conversions),
        closes=cap(guard.closes, known.closes),
        deletes=cap(guard.deletes, known.deletes),
        blanks=cap(guard.blanks, known.blanks),
    )


def _only(settings: Settings) -> Only:
    only = settings.only
    return Only(ids=frozenset(only.ids), owner=only.owner, modified_since=only.modified_since, limit=only.limit)


def _settle_seconds(settings: Settings, side: Side) -> float:
    connection = settings.side(side)
    margin = SETTLE_MARGIN_LOOPBACK_SECONDS if _is_loopback(connection.url) else SETTLE_MARGIN_SECONDS
    return connection.request_limit_seconds + margin


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in {"localhost", "127.0.0.1", "::1"}
