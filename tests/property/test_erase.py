"""I20: after `erase` no trace of the person is in the store, in either database, nor in SQLite's files."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crmbridge.model import Ref, Side
from crmbridge.state.schema import metadata
from crmbridge.sync.hands import LEASE_NAME
from tests.support.engine import Bench, bench, wanted


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.sqlite3"
    else:
        yield request.getfixturevalue("postgres_cluster").new_database()


class Person:
    """Every value of theirs is theirs alone, so that one that is left is found."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.first, self.last = self._word(), self._word()
        self.email = f"{self.first}.{self.last}@{self._word()}.example"
        self.values = {self.first, self.last, self.email}

    def _word(self) -> str:
        # Umlauts, quotes and the wild cards of LIKE are people's, too.
        return "".join(self._chance.choice("abcdefghijklmnopqrstuvwxyzäß'_") for _ in range(11)).title()

    def columns(self, *, city: str | None = None) -> dict[str, Any]:
        phone = "+49 " + "".join(self._chance.choice("123456789") for _ in range(11))
        self.values.add(phone)
        if city is None:
            city = self._word()
            self.values.add(city)
        return {"first_name": self.first, "last_name": self.last, "email": self.email, "phone": phone, "city": city}


def dumped(world: Bench, url: str) -> str:
    """All of the database as text, and all bytes of SQLite's files."""
    lines: list[str] = []
    engine: sa.Engine = world.store._database.engine
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            lines += [" ".join(map(str, line)) for line in connection.execute(sa.select(table))]
    text = "\n".join(lines)
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        for part in file.parent.glob(f"{file.name}*"):
            text += part.read_bytes().decode("utf-8", errors="ignore")
    return text.casefold()


def erase(world: Bench, refs: set[Ref]) -> None:
    found = world.store.traces(refs)
    assert not found.open_calls
    lease = world.store.take_lease(LEASE_NAME, 60)
    world.store.erase(found, "dpo", "request 7", lease=lease)
    world.store.release(lease)
    assert world.store.scour()


def live_a_little(world: Bench, chance: random.Random, person: Person, side: Side) -> Ref:
    """A life with all that leaves traces: edits, refusals, twins, a conversion, a merge."""
    crm = world.crm(side)
    crm.add("lead", last_name="Bystander", company="Else", email="else@else.example")
    columns = person.columns(city="Ulm")  # a conversion gives the town to the account, where it stays
    lead = crm.add("lead", company="Known Works", **columns)
    ref = Ref(side=side, entity="lead", id=lead)
    if chance.random() < 0.5:
        other = world.south if side == "left" else world.north
        other.lies = lambda kind, entity, id: "refuse" if chance.random() < 0.3 else None
    world.sync()
    for _ in range(chance.randint(0, 3)):
        crm.edit("lead", lead, **person.columns(city="Ulm"))
        world.sync()
    world.north.lies = world.south.lies = lambda kind, entity, id: None
    for issue in world.issues():
        world.store.release_issues([issue.id or 0], "me", "again")
    world.settled()
    if chance.random() < 0.7:
        before = set(crm.tables["contact"])
        crm.convert_lead(lead)
        world.settled()
        for account in crm.live("account"):  # the conversion gave it the person's number, and somebody corrects that
            crm.edit("account", account.id, phone="0800 4711")
        world.settled()
        made = [id for id in crm.tables["contact"] if id not in before]
        for contact in made:
            crm.edit("contact", contact, **person.columns())
        world.settled()
        if made and chance.random() < 0.5:
            ref = Ref(side=side, entity="contact", id=made[0])
    return ref


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 12))])
@pytest.mark.timeout(120)
def test_after_an_erasure_nothing_of_the_person_is_left(url: str, seed: int) -> None:
    chance = random.Random(seed)
    person = Person(chance)
    with bench(url) as world:
        ref = live_a_little(world, chance, person, chance.choice(["left", "right"]))
        before = dumped(world, url)
        assert person.email.casefold() in before, f"seed {seed}: nothing to erase"
        ids = {one.id for one in world.store.traces({ref}).refs}
        calls = (len(world.north.ours), len(world.south.ours))

        erase(world, {ref})

        left = {value for value in person.values if value.casefold() in dumped(world, url)}
        assert not left, f"seed {seed}: {left}"
        # Whoever still has them in a CRM may go on as before: they are not made again, and nothing is written.
        for side in ("left", "right"):
            for entity in ("lead", "contact"):
                for id in ids & set(world.crm(side).tables[entity]):
                    if world.crm(side).read(entity, id).get("state") != "converted":
                        world.crm(side).edit(entity, id, phone="0049 30 99887766")
        world.sync()
        world.sync()
        assert not wanted(world.engine.plan()), f"seed {seed}: {wanted(world.engine.plan())}"
        assert (len(world.north.ours), len(world.south.ours)) == calls, f"seed {seed}: a CRM was written to"
        left = {value for value in (*person.values, "99887766") if value.casefold() in dumped(world, url)}
        assert not left, f"seed {seed}: came back: {left}"


def test_a_person_with_many_records_is_erased(url: str) -> None:
    """Somebody typed them in again and again: all of them go, however many words there are to look for."""
    with bench(url) as world:
        for number in range(16):
            columns = {
                "first_name": "Nn",
                "last_name": "Often",
                "email": "often@nn.example",
                "phone": f"+49 30 55{number:05}",
            }
            world.north.add("lead", company="Works", **columns)
        world.sync()
        refs = world.store.people("often@nn.example")
        assert len(refs) >= 16
        erase(world, refs)
        assert "often@nn.example" not in dumped(world, url)


@pytest.mark.parametrize("day", ["2026-01-05", "05.01.2026", "1/5/2026"])
def test_a_day_in_a_record_is_no_telephone_number(url: str, day: str) -> None:
    """A lead tells when it was converted, a contact when it was born. That day is in others' lines as well, and in what
    the engine notes for itself."""
    with bench(url) as world:
        world.store.set_meta("installed", day)
        other = world.north.add("lead", last_name="Bystander", company="Else", city="Ulm")
        lead = world.north.add("lead", last_name="Gone", company="Works", email="gone@works.example", city=day)
        world.settled()
        world.north.edit("lead", other, city=day)
        world.settled()
        erase(world, {Ref(side="left", entity="lead", id=lead)})
        assert world.store.meta("installed") == day
        (line,) = [one for one in world.store.journal() if one.native_id and one.after.get("city") == day]
        assert line.before["city"] == "Ulm"
        world.sync()
        assert "gone@works.example" not in dumped(world, url)
