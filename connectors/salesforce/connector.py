"""One Salesforce org behind the connector's four Protocols; each part is a class of its own."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from requests.adapters import BaseAdapter

from connectors.base import Captured, Conversion, Description, Identity, Known, Move, Page, Removal, TablePlan, Write
from connectors.gate import Gate
from connectors.http import Session, call_deadline_seconds
from connectors.salesforce import limits, record_types, rows
from connectors.salesforce.auth import SalesforceConfig, Tokens
from connectors.salesforce.capture import Capture
from connectors.salesforce.client import Client
from connectors.salesforce.describer import Describer
from connectors.salesforce.lifecycle import LifeCycle
from connectors.salesforce.reader import Reader
from connectors.salesforce.removing import Removing
from connectors.salesforce.rows import CONTACT
from connectors.salesforce.setup import Setup
from connectors.salesforce.survey import Surveyor
from connectors.salesforce.writer import Writer, batch_size
from connectors.setup import Wish
from connectors.survey import Questions, Survey
from crmbridge.model import Converted, Directory, Entity, Life, Native, Outcome, Row, Side


class SalesforceConnector:
    system = "salesforce"
    batch_size = batch_size
    moves_at_once = batch_size
    apart: Mapping[Entity, frozenset[str]] = {"opportunity": frozenset({CONTACT})}

    def __init__(
        self,
        config: SalesforceConfig,
        side: Side,
        *,
        adapter: BaseAdapter | None = None,  # a simulation's transport in place of sockets
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._person_accounts = config.person_accounts

        self._sessions: list[Session] = []

        def session(url: str) -> Session:
            made = Session(
                url,
                name=config.name,
                ca_file=config.ca_file,
                proxy=config.proxy,
                # Longer than the org may work at it, but within the engine's lease (reliability §2).
                deadline_seconds=min(call_deadline_seconds, config.request_limit_seconds + 10),
                adapter=adapter,
                clock=clock,
                sleep=sleep,
                rng=rng,
                told=limits.told,
            )
            self._sessions.append(made)
            return made

        # Client credentials work at the org's own host alone (salesforce-api §1.2).
        login = session(config.url if config.flow == "client_credentials" else config.login_url)
        self._session = session(config.url)
        self._client = Client(self._session, login, Tokens(config, login))
        self._reader = Reader(self._client, config, side)
        self._writer = Writer(self._client, self._reader, config)
        self._describer = Describer(self._client, self._reader, config)
        self._removing = Removing(self._client, self._reader)
        self._life_cycle = LifeCycle(self._client, self._writer, self._describer.converted_status)

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def calls(self) -> Mapping[tuple[str, str], int]:
        """(table, kind) -> HTTP requests, logins apart."""
        return self._session.calls

    @property
    def key_field(self) -> str | None:
        return self._config.key_field

    def close(self) -> None:
        self._client.close()

    def system_columns(self, entity: Entity) -> Mapping[str, type[Any]]:
        return rows.system_columns(entity, key_field=self._config.key_field, person_accounts=self._person_accounts)

    def gated(self, gate: Gate) -> None:
        for each in self._sessions:  # logins too
            each.gate = gate

    def heartbeat(self, beat: Callable[[], None]) -> None:
        self._session.before_call = beat

    def configure(self, tables: Sequence[TablePlan]) -> None:
        self._reader.configure(tables, person_accounts=self._person_accounts)

    # --- Reader ---------------------------------------------------------------------------------------------------

    def side_tables(self, entity: Entity) -> tuple[str, ...]:
        return self._reader.side_tables(entity)

    def changes(self, source: str, cursor: str | None) -> Iterator[Page]:
        return self._reader.changes(source, cursor)

    def fetch(self, entity: Entity, ids: Sequence[str]) -> Mapping[str, Row]:
        return self._reader.fetch(entity, ids)

    def fetch_many(self, wanted: Mapping[Entity, Sequence[str]]) -> Mapping[Entity, Mapping[str, Row]]:
        return self._reader.fetch_many(wanted)

    def fetch_by_key(self, entity: Entity, keys: Sequence[str]) -> Mapping[str, Row]:
        return self._reader.fetch_by_key(entity, keys)

    def born_of(self, entity: Entity, ids: Sequence[str]) -> Mapping[str, str]:
        return self._reader.born_of(entity, ids)

    def alike(self, entity: Entity, wanted: Sequence[Native]) -> tuple[Sequence[Sequence[Row]], datetime | None]:
        found = self._reader.alike(entity, wanted)
        return found, self._session.server_time

    def made_since(self, entity: Entity, user_id: str, since: datetime) -> Sequence[Row]:
        return self._reader.made_since(entity, user_id, since)

    def known_since(self, entity: Entity, since: datetime, settled: timedelta) -> Iterator[Sequence[Known]]:
        return self._reader.known_since(entity, since, settled)

    def complete(self, row: Row) -> Row:
        return rows.with_contact(row)

    def life(self, row: Row) -> Life:
        life = rows.life(row)
        id = getattr(row.values, record_types.COLUMN, None)  # read only where the mapping asks for it
        return replace(life, record_type=self._describer.record_type(row.ref.entity, id)) if id else life

    # --- Writer ---------------------------------------------------------------------------------------------------

    def chosen_id(self, partner_org: str, partner_id: str, generation: int) -> str | None:
        """Salesforce gives its ids itself; what makes a create repeatable is the key field."""
        del partner_org, partner_id, generation
        return None

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return self._writer.write(writes)

    # --- LifeCycle ------------------------------------------------------------------------------------------------

    def convert(self, order: Conversion) -> Outcome:
        return self._life_cycle.convert(order)

    def converted(self, lead_id: str) -> Outcome | None:
        return self._life_cycle.converted(lead_id)

    def left_behind(self, lead_id: str) -> Converted | None:
        del lead_id  # a converted lead is never opened again (salesforce-api §6.5)

    def moves(self, orders: Sequence[Move]) -> list[Outcome]:
        return self._life_cycle.moves(orders)

    def remove(self, order: Removal) -> Outcome:
        return self._removing.remove(order)

    # --- Describer ------------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        return replace(self._describer.identity(), person_accounts=self._person_accounts)

    def directory(self, *, groups: bool = False) -> Directory:
        return self._describer.directory(groups=groups)

    def describe(self, entity: Entity) -> Description:
        found = self._describer.describe(entity)
        self._person_accounts = self._person_accounts or rows.PERSON in found.columns
        return found

    def survey(self, questions: Questions) -> Survey:
        return Surveyor(self._client).survey(questions)

    # --- Installer ------------------------------------------------------------------------------------------------

    def wishes(self) -> Sequence[Wish]:
        return Setup(self._client, self._config.key_field, self._describer.describe).wishes(self.identity().user_id)

    def rights(self, user_id: str) -> Sequence[Wish]:
        return Setup(self._client, self._config.key_field, self._describer.describe).rights(user_id)

    def make(self, wish: Wish) -> Wish:
        return Setup(self._client, self._config.key_field, self._describer.describe).make(wish)

    # --- Capturer -------------------------------------------------------------------------------------------------

    def capture(self, usual: Mapping[str, Any], also: Sequence[str] = ()) -> Captured:
        return Capture(self._client, self._reader, self._config, usual).run(also)
