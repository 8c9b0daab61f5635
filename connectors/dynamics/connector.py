"""Dynamics 365 Sales as a connector: the parts put together behind the four Protocols of `connectors.base`."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from requests.adapters import BaseAdapter

from connectors.base import (
    Captured,
    Conversion,
    Cursor,
    Description,
    Identity,
    Known,
    Move,
    Page,
    Removal,
    TablePlan,
    Write,
)
from connectors.dynamics import limits, rows, writing
from connectors.dynamics.auth import DynamicsConfig, tokens
from connectors.dynamics.capture import Capture
from connectors.dynamics.client import Client
from connectors.dynamics.conversion import LeadConversion
from connectors.dynamics.describing import description
from connectors.dynamics.environment import Environment
from connectors.dynamics.moves import Moves, moves_per_batch
from connectors.dynamics.reading import Reading, overlap_slack_seconds
from connectors.dynamics.removing import Removing
from connectors.dynamics.rollcall import absent
from connectors.dynamics.rows import TABLES, Rows
from connectors.dynamics.setup import Setup
from connectors.dynamics.survey import Surveyor
from connectors.dynamics.writing import Writing
from connectors.gate import Gate
from connectors.http import Session, call_deadline_seconds
from connectors.rollcall import Absent
from connectors.setup import Wish
from connectors.survey import Questions, Survey
from crmbridge.model import Converted, Directory, Entity, Life, Outcome, Row, Side

__all__ = ["DynamicsConfig", "DynamicsConnector"]


class DynamicsConnector:
    system = "dynamics"
    batch_size = writing.writes_per_batch
    moves_at_once = moves_per_batch
    apart: Mapping[Entity, frozenset[str]] = {}

    def __init__(
        self,
        config: DynamicsConfig,
        side: Side,
        *,
        adapter: BaseAdapter | None = None,  # a simulation's transport in place of sockets
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._side: Side = side
        self._plans: dict[Entity, TablePlan] = {}
        self._rows: dict[Entity, Rows] = {}

        self._sessions: list[Session] = []

        def session(url: str) -> Session:
            made = Session(
                url,
                name=config.name,
                ca_file=config.ca_file,
                proxy=config.proxy,
                # Not shorter than the environment may work at it, but within the engine's lease (reliability §2).
                deadline_seconds=min(call_deadline_seconds, config.request_limit_seconds + 10),
                adapter=adapter,
                clock=clock,
                sleep=sleep,
                rng=rng,
                told=limits.told,
            )
            self._sessions.append(made)
            return made

        self._session = session(config.url)
        client = Client(self._session, tokens(config, session))
        self._client = client
        self._environment = Environment(
            client, default_owner=config.default_owner, owner_setting=config.default_owner_setting
        )
        self._reading = Reading(
            client,
            self._environment,
            self._rows_of,
            side=side,
            overlap=timedelta(seconds=config.request_limit_seconds + overlap_slack_seconds),
        )
        self._writing = Writing(client, self._environment, self._reading, self._rows_of)
        self._conversion = LeadConversion(client, self._environment, self._reading)
        self._moves = Moves(client, self._environment, self._reading)
        self._removing = Removing(client, self._environment, self._reading)

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def calls(self) -> Mapping[tuple[str, str], int]:
        """(table, kind) -> HTTP requests, logins apart."""
        return self._session.calls

    def system_columns(self, entity: Entity) -> Mapping[str, type[Any]]:
        return TABLES[entity].system

    def gated(self, gate: Gate) -> None:
        for each in self._sessions:  # logins too
            each.gate = gate

    def heartbeat(self, beat: Callable[[], None]) -> None:
        self._session.before_call = beat

    def configure(self, tables: Sequence[TablePlan]) -> None:
        self._plans = {each.entity: each for each in tables}
        self._rows = {}

    @property
    def key_field(self) -> str | None:
        return None  # the row's own GUID is the key

    def close(self) -> None:
        self._client.close()

    # --- Reader ---------------------------------------------------------------------------------------------------

    def side_tables(self, entity: Entity) -> tuple[str, ...]:
        return self._reading.side_tables(entity)

    def changes(self, source: str, cursor: Cursor | None) -> Iterator[Page]:
        return self._reading.changes(source, cursor)

    def known_since(self, entity: Entity, since: datetime, settled: timedelta) -> Iterator[Sequence[Known]]:
        return self._reading.known_since(entity, since, settled)

    def absent(self, entity: Entity, ids: Sequence[str]) -> Absent:
        return absent(self._client, self.identity().user_id, entity, ids)

    def fetch(self, entity: Entity, ids: Sequence[str]) -> Mapping[str, Row]:
        return self._reading.fetch(entity, ids)

    def fetch_many(self, wanted: Mapping[Entity, Sequence[str]]) -> Mapping[Entity, Mapping[str, Row]]:
        return self._reading.fetch_many(wanted)

    def fetch_by_key(self, entity: Entity, keys: Sequence[str]) -> Mapping[str, Row]:
        """Our key is the row's own id here."""
        del entity, keys
        return {}

    def born_of(self, entity: Entity, ids: Sequence[str]) -> Mapping[str, str]:
        return self._reading.born_of(entity, ids)

    def complete(self, row: Row) -> Row:
        return row

    def life(self, row: Row) -> Life:
        return rows.life(row)

    # --- Writer and LifeCycle -----------------------------------------------------------------------------------

    def chosen_id(self, partner_org: str, partner_id: str, generation: int) -> str | None:
        return writing.chosen_id(partner_org, partner_id, generation)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return self._writing.write(writes)

    def convert(self, order: Conversion) -> Outcome:
        return self._conversion.convert(order)

    def converted(self, lead_id: str) -> Outcome | None:
        return self._conversion.converted(lead_id)

    def left_behind(self, lead_id: str) -> Converted | None:
        return self._conversion.left_behind(lead_id)

    def moves(self, orders: Sequence[Move]) -> list[Outcome]:
        return self._moves.moves(orders)

    def remove(self, order: Removal) -> Outcome:
        return self._removing.remove(order)

    # --- Describer ------------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        return self._environment.identity()

    def directory(self, *, groups: bool = False) -> Directory:
        return self._environment.directory(groups=groups)

    def describe(self, entity: Entity) -> Description:
        facts = self._environment.table(entity)
        if entity != "opportunity":
            return description(entity, facts, {})
        return description(entity, facts, self._environment.processes(), self._environment.process_notes())

    def survey(self, questions: Questions) -> Survey:
        return Surveyor(self._client, datetime.now(UTC), [*self._environment.processes().values()]).survey(questions)

    # --- Installer ------------------------------------------------------------------------------------------------

    def wishes(self) -> Sequence[Wish]:
        return Setup(self._client, self._environment, self.identity().user_id).wishes()

    def rights(self, user_id: str) -> Sequence[Wish]:
        return Setup(self._client, self._environment, user_id).rights()

    def make(self, wish: Wish) -> Wish:
        return wish  # nothing is made here by us

    # --- Capturer -------------------------------------------------------------------------------------------------

    def capture(self, usual: Mapping[str, Any], also: Sequence[str] = ()) -> Captured:
        return Capture(self._client, usual).run(also)

    def _rows_of(self, entity: Entity) -> Rows:
        if entity not in self._rows:
            plan = self._plans.get(entity)
            assert plan is not None, f"{entity} was not configured"
            self._rows[entity] = Rows(plan, self._environment.table(entity).lookups, self._side)
        return self._rows[entity]
