"""The settings as a whole, typed: what stands in `crmbridge.yaml`, and what holds where nothing stands."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Discriminator, Field, PrivateAttr, Tag, model_validator

from crmbridge import schedule
from crmbridge.model import ENTITIES, SIDES, Entity, Side
from crmbridge.settings.alerts import Alerts
from crmbridge.settings.connections import AnyConnection, DynamicsConnection, SalesforceConnection, system_tag
from crmbridge.settings.kinds import BusinessHours, CronTime, Idle, Instant, Section, Span, Text, UrlWithSecret, Words
from crmbridge.settings.options import Options, SegmentSection
from crmbridge.settings.retention import Retention
from crmbridge.settings.secret import Address, Secret, Surroundings

FILE_NAME: Final = "crmbridge.yaml"


class StoreSection(Section):
    url: UrlWithSecret = Field(default_factory=lambda: Address(Surroundings(), "sqlite:///crmbridge.sqlite3"))


class BrokerSection(Section):
    url: UrlWithSecret | None = None  # None: `crmbridge up` brings its own


Count = Annotated[int, Field(ge=0)]


class Guard(Section):
    """How many of a kind one run may do without a person's yes, or `percent` of the linked pairs if that is more."""

    creates: Count = 500
    updates: Count = 1000
    conversions: Count = 100
    closes: Count = 100
    deletes: Count = 25
    blanks: Count = 25
    percent: Annotated[float, Field(ge=0, le=100)] | None = None  # None: 10; updates 25; deletes and blanks 5


class Schedule(Section):
    """How often one kind of record is synced; what is not said is as for all."""

    every: Span | None = None
    cron: CronTime | None = None
    hours: BusinessHours | None = None
    idle: Idle | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.every is not None and self.cron is not None:
            raise ValueError("every and cron are two ways to say when; keep one of them")
        if self.cron is not None and self.idle is not None:
            raise ValueError("idle slows down what is given by every; cron's times stay as they are")
        if self.cron is not None and not schedule.ever_open(self.cron, self.hours):
            raise ValueError("none of cron's times is within the hours")
        return self


class Schedules(Schedule):
    every_seconds: Annotated[float, Field(ge=1, le=86400)] = 60  # from the end of one cycle to the next
    account: Schedule | None = None
    contact: Schedule | None = None
    lead: Schedule | None = None
    opportunity: Schedule | None = None

    @model_validator(mode="after")
    def _once(self) -> Self:
        if "every_seconds" in self.model_fields_set and (self.every is not None or self.cron is not None):
            raise ValueError("every_seconds says the same as every and cron; take it out")
        for entity in ENTITIES:
            self.rhythm(entity)
        return self

    def rhythm(self, entity: Entity) -> schedule.Rhythm:
        """Its own, laid over the one for all."""
        own: Schedule = getattr(self, entity) or Schedule()
        cron = own.cron if own.cron or own.every else self.cron
        every = own.every or self.every or timedelta(seconds=self.every_seconds)
        hours = own.hours or self.hours
        if cron is not None and not schedule.ever_open(cron, hours):
            raise ValueError(f"{entity}: none of cron's times is within the hours")
        return schedule.Rhythm(
            every=every, cron=cron, hours=hours, idle=None if cron is not None else own.idle or self.idle
        )

    @property
    def rhythms(self) -> dict[Entity, schedule.Rhythm]:
        return {entity: self.rhythm(entity) for entity in ENTITIES}


class Lifecycle(Section):
    """Conversions dated before `mirror_since` are linked or held, never carried out (default: the installation).

    Its other keys are read as `Settings.options`."""

    mirror_since: Instant = None


class Only(Section):
    """A pilot: everything else is read and left alone."""

    ids: Words = ()
    owner: Text | None = None  # e-mail
    modified_since: Instant = None
    limit: Annotated[int, Field(ge=1)] | None = None


class Settings(Section):
    connections: dict[
        str,
        Annotated[
            Annotated[SalesforceConnection, Tag("<salesforce>")] | Annotated[DynamicsConnection, Tag("<dynamics>")],
            Discriminator(system_tag),
        ],
    ]
    store: StoreSection = StoreSection()
    broker: BrokerSection = BrokerSection()
    mappings: Text = "mappings"
    guard: Guard = Guard()
    schedules: Schedules = Schedules()
    alerts: Alerts = Alerts()
    retention: Retention = Retention()
    lifecycle: Lifecycle = Lifecycle()
    only: Only = Only()

    _path: Path = PrivateAttr(default=Path(FILE_NAME))
    _options: Options = PrivateAttr(default=Options())
    _segments: tuple[SegmentSection, ...] = PrivateAttr(default=())
    _profile: str | None = PrivateAttr(default=None)
    _unresolved: Callable[[], tuple[str, ...]] = PrivateAttr(default=tuple)

    @property
    def path(self) -> Path:
        """The file that was read."""
        return self._path

    @property
    def profile(self) -> str | None:
        """Whose files were laid over these and over the mappings."""
        return self._profile

    @property
    def options(self) -> Options:
        """What was chosen under `lifecycle:`."""
        return self._options

    @property
    def segments(self) -> tuple[SegmentSection, ...]:
        return self._segments

    @property
    def folder(self) -> Path:
        """Relative paths start here, wherever the process was started."""
        return self._path.parent

    @property
    def names(self) -> tuple[str, str]:
        left, right = self.connections
        return left, right

    def name(self, side: Side) -> str:
        return self.names[SIDES.index(side)]

    def side(self, side: Side) -> AnyConnection:
        return self.connections[self.name(side)]

    def default_owner(self, side: Side) -> tuple[tuple[str, ...], str] | None:
        """Who gets what has no owner on this side, an e-mail address, and the setting that says so."""
        name = self.name(side)
        if side in self._options.fallback:
            return ("lifecycle", "owner", "fallback", name), self._options.fallback[side]
        email = self.connections[name].default_owner
        return (("connections", name, "default_owner"), email) if email is not None else None

    @property
    def mappings_folder(self) -> Path:
        return self.folder / Path(self.mappings).expanduser()

    def store_url(self) -> str:
        """With its password: for the store alone. A relative SQLite file lies beside the settings."""
        url = self.store.url.get_secret_value()
        start, file = url[:10], url[10:]
        if start != "sqlite:///" or file.startswith((":memory:", "file:", "?")) or not file:
            return url
        return start + str(self.folder / file)

    def broker_url(self) -> str | None:
        return self.broker.url.get_secret_value() if self.broker.url else None

    def unresolved(self) -> tuple[str, ...]:
        """References that lead nowhere at the moment, each with its place: `file:line:column: path: why [code]`."""
        return self._unresolved()


def secrets_of(section: Any, way: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Secret]]:
    if isinstance(section, Secret):
        yield way, section
    elif isinstance(section, dict):
        for name, inner in section.items():
            yield from secrets_of(inner, (*way, name))
    elif isinstance(section, Section):
        for name in type(section).model_fields:
            yield from secrets_of(getattr(section, name), (*way, name))
