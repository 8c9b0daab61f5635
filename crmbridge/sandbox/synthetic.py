"""Made-up records by the million: leads with accounts, contacts and opportunities on both sides, repeatable by a seed.

As real data is: picklists are skewed, some people are in both CRMs and some twice in one, and a part of everything is
dirty (spaces, case, broken e-mails, phones in every form), in several scripts. Nobody in here exists: domains end in
`.example`, numbers are of ranges that belong to nobody.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final, Protocol

from crmbridge.sandbox.core import Crm, Row

CHUNK: Final = 10_000
SHARE_ACCOUNTS, SHARE_CONTACTS, SHARE_OPPORTUNITIES = 20, 10, 20  # one of so many leads
SHARE_ACROSS: Final = 0.3  # of the people: in both CRMs
SHARE_WITHIN: Final = 0.02  # twice in one
SHARE_DIRTY: Final = 0.06
OLDEST: Final = timedelta(days=60)  # rows came in over so long
NEWEST: Final = timedelta(minutes=2)  # and were there before the start, longer than readers wait for late commits
TEXT_MAX: Final = 200
SAME_MOMENT: Final = 20  # so many at a time
STAMPS: Final = ("CreatedDate", "LastModifiedDate", "SystemModstamp", "createdon", "modifiedon")

FIRST: Final = (
    "Anna", "Erik", "María José", "Jürgen", "Zoë", "Łukasz", "Søren", "Chloé", "O'Brien", "Nguyễn", "Ольга", "明",
    "Yūki", "عمر", "Priya", "Ana-Lucía", "Björn", "İrem", "Ama", "Tom", "Grace", "Noah", "Ines", "Pál", "Siobhán",
)  # fmt: skip
LAST: Final = (
    "Lindqvist", "Müller", "García Márquez", "de la Cruz", "Østergård", "Kowalski", "Nováková", "O'Neill", "Ivanov",
    "Петрова", "田中", "Nguyen", "van den Berg", "Sato", "Smith", "Smith-Jones", "Şahin", "Papadopoulou", "Dupont",
    "Silva", "Okafor", "Haddad", "Jensen", "Virtanen", "Weiß", "MacLeod", "Rossi", "Kim", "Das", "Ng",
)  # fmt: skip
TRADE: Final = ("Freight", "Foods", "Timber", "Steel", "Optics", "Paper", "Energi", "Bau", "Télécom", "Systems")
PLACE: Final = ("North", "Älv", "Harbour", "Río", "Blue", "Alpen", "Lake", "Côte", "Fjord", "Sunny", "Grand", "Old")
FORM: Final = ("AB", "GmbH", "Ltd", "S.A.", "Inc.", "& Söhne", "Oy", "B.V.", "ApS", "株式会社")
CITY: Final = (
    ("Göteborg", "Sweden"), ("Hamburg", "Germany"), ("London", "United Kingdom"), ("Bogotá", "Colombia"),
    ("Austin", "United States"), ("Reykjavík", "Iceland"), ("東京", "Japan"), ("Lyon", "France"), ("Kraków", "Poland"),
)  # fmt: skip
TITLE: Final = ("Buyer", "Head of Purchasing", "CEO", "Engineer", "Directrice", "Einkäufer")


class Store(Protocol):
    """What a CRM offers for this: its columns, one complete row, and a way in for many."""

    def offered(self, table: str, column: str) -> Sequence[Any] | None:
        """The choices of a column; empty where it has none, None where there is no such column."""
        ...

    def room(self, table: str, column: str) -> int:
        """How many characters a text may have; 0 where the shape does not say."""
        ...

    def model(self, table: str, values: Row) -> Row:
        """One row, loaded as any other, as it is kept."""
        ...

    def new_id(self, table: str) -> str: ...

    def fill(self, table: str, rows: list[Row]) -> None:
        """Many complete rows at once."""
        ...

    def finish(self) -> None:
        """All rows are in: what is computed from them can be."""
        ...


@dataclass(frozen=True, slots=True)
class Person:
    first: str
    last: str
    company: str
    email: str
    phone: str
    city: str
    country: str
    title: str


def people(rng: random.Random) -> Iterator[Person]:
    """One after the other, without end."""
    draw = rng.random
    number = 0
    while True:
        number += 1
        first, last = FIRST[int(draw() ** 1.5 * len(FIRST))], LAST[int(draw() ** 1.5 * len(LAST))]
        trade, place = TRADE[int(draw() * len(TRADE))], PLACE[int(draw() * len(PLACE))]
        form = FORM[int(draw() ** 2 * len(FORM))]
        city, country = CITY[int(draw() ** 2 * len(CITY))]
        name = f"{_plain(first)}.{_plain(last)}"
        yield Person(
            first,
            last,
            f"{place} {trade} {number % 9973} {form}",
            f"{name}.{number}@{_plain(place)}-{_plain(trade)}.example",
            f"+46 31 390 {number % 100:02d} {number // 100 % 100:02d}",
            city,
            country,
            TITLE[int(draw() ** 2 * len(TITLE))],
        )


_plain_texts: dict[str, str] = {}


def _plain(text: str) -> str:
    found = _plain_texts.get(text)
    if found is None:
        ascii_only = "".join(char for char in text.lower() if char.isascii() and char.isalnum())
        found = _plain_texts[text] = ascii_only or "x"
    return found


def dirty(person: Person, rng: random.Random) -> Person:
    """The same person, as somebody else typed it."""
    kind = int(rng.random() * 8)
    first, last, company, email, phone = person.first, person.last, person.company, person.email, person.phone
    match kind:
        case 0:
            first, last = f" {first}", f"{last} "
        case 1:
            last, company = last.upper(), company.lower()
        case 2:
            email = email.replace("@", "(at)")[:80]
        case 3:
            email = email.upper()
        case 4:
            phone = phone.replace(" ", "").replace("+", "00")
        case 5:
            phone = f"call {phone[-5:]} ext. 7"
        case 6:
            company = "  ".join(company.split(" "))
        case _:
            first = ""
    return Person(first, last, company, email, phone, person.city, person.country, person.title)


# --- what each CRM calls it ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One table: its columns of a person, its choices drawn at random, its lookups to the accounts made before."""

    table: str
    texts: dict[str, str]  # column: attribute of the person
    choices: tuple[str, ...]
    name: tuple[str, ...] = ()  # the platform's own full name: first and last together
    account: str | None = None
    fixed: Row | None = None


_plans: Final[dict[Crm, tuple[Plan, ...]]] = {
    "salesforce": (
        Plan(table="Account", texts={"Name": "company", "Phone": "phone", "BillingCity": "city",
             "BillingCountry": "country"}, choices=("Industry", "Type", "Rating")),
        Plan(table="Contact", texts={"FirstName": "first", "LastName": "last", "Email": "email", "Phone": "phone",
             "Title": "title", "MailingCity": "city", "MailingCountry": "country"}, choices=("LeadSource",),
             name=("Name",), account="AccountId"),
        Plan(table="Opportunity", texts={"Name": "company"}, choices=("LeadSource", "Type"), account="AccountId",
             fixed={"CloseDate": "2027-06-30"}),
        Plan(table="Lead", texts={"FirstName": "first", "LastName": "last", "Company": "company", "Email": "email",
             "Phone": "phone", "Title": "title", "City": "city", "Country": "country"},
             choices=("LeadSource", "Industry", "Rating", "Status"), name=("Name",)),
    ),
    "dynamics": (
        Plan(table="account", texts={"name": "company", "telephone1": "phone", "address1_city": "city",
             "address1_country": "country"}, choices=("industrycode",)),
        Plan(table="contact", texts={"firstname": "first", "lastname": "last", "emailaddress1": "email",
             "telephone1": "phone", "jobtitle": "title", "address1_city": "city", "address1_country": "country"},
             choices=("preferredcontactmethodcode",), name=("fullname",), account="parentcustomerid"),
        Plan(table="opportunity", texts={"name": "company"}, choices=("opportunityratingcode",),
             account="parentaccountid", fixed={"estimatedclosedate": "2027-06-30"}),
        Plan(table="lead", texts={"subject": "company", "firstname": "first", "lastname": "last",
             "companyname": "company", "emailaddress1": "email", "telephone1": "phone", "jobtitle": "title",
             "address1_city": "city", "address1_country": "country"},
             choices=("leadsourcecode", "industrycode", "leadqualitycode"), name=("fullname",)),
    ),
}  # fmt: skip
_keys: Final[dict[Crm, str]] = {"salesforce": "Id", "dynamics": "{table}id"}
_composite: Final = "address1_composite"


class Maker:
    """The rows of one CRM, table by table."""

    def __init__(self, crm: Crm, store: Store, rng: random.Random, now: datetime, total: int) -> None:
        self.crm: Crm = crm
        self._store, self._rng = store, rng
        self._models: dict[str, Row] = {}
        self._newest = now.replace(microsecond=0) - NEWEST
        self._moment, self._step = self._newest - OLDEST, OLDEST * SAME_MOMENT / max(total, SAME_MOMENT)
        self.accounts: list[str] = []

    def make(self, plan: Plan, persons: Sequence[Person]) -> int:
        """Rows of these people; a table's first one is loaded as any other, the rest are made after its likeness."""
        key = _keys[self.crm].format(table=plan.table)
        if not persons or self._store.offered(plan.table, key) is None:
            return 0
        draws = [(column, _skewed(choices)) for column in plan.choices if (choices := self._offered(plan, column))]
        texts = [
            (column, part, self._store.room(plan.table, column) or TEXT_MAX)
            for column, part in plan.texts.items()
            if self._offered(plan, column) is not None
        ]
        rest = persons
        if plan.table not in self._models:
            self._models[plan.table] = self._model(plan, persons[0])
            rest = persons[1:]
            if plan.table.lower() == "account":
                self.accounts.append(self._models[plan.table][key])
        model = self._models[plan.table]
        linked = [
            column for column, value in model.items() if self.accounts and value == self.accounts[0] and column != key
        ]
        names = [column for column in plan.name if column in model]
        composite = _composite if _composite in model else ""
        draw, choose, accounts = self._rng.random, self._draw, self.accounts
        rows: list[Row] = []
        stamps: Row = {}
        stamped = [column for column in STAMPS if column in model]
        for number, person in enumerate(rest):
            if number % SAME_MOMENT == 0:
                moment = self._stamps()
                stamps = {column: moment[column] for column in stamped}
            row = {**model, **stamps, key: self._store.new_id(plan.table)}
            for column, part, room in texts:
                if value := getattr(person, part):
                    row[column] = value if len(value) <= room else value[:room]
                else:
                    row.pop(column, None)
            for column in names:
                row[column] = f"{person.first} {person.last}" if person.first else person.last
            for column, choice in draws:
                row[column] = choose(*choice)
            if linked:
                account = accounts[int(draw() ** 2 * len(accounts))]
                for column in linked:
                    row[column] = account
            if composite:
                row[composite] = f"{person.city}\n{person.country}"
            rows.append(row)
        self._store.fill(plan.table, rows)
        if plan.table.lower() == "account":
            self.accounts += [row[key] for row in rows]
        return len(persons)

    def _model(self, plan: Plan, person: Person) -> Row:
        values: Row = {
            column: getattr(person, part)[: self._store.room(plan.table, column) or TEXT_MAX]
            for column, part in plan.texts.items()
            if self._offered(plan, column) is not None
        }
        values |= {column: choices[0] for column in plan.choices if (choices := self._offered(plan, column))}
        values |= plan.fixed or {}
        if plan.account and self.accounts:
            values[plan.account] = self.accounts[0]
        values |= self._stamps()
        return self._store.model(
            plan.table, {key: value for key, value in values.items() if self._offered(plan, key) is not None}
        )

    def _stamps(self) -> Row:
        """The next moment; the last tables end at the newest, whatever their shares were rounded to."""
        self._moment = min(self._moment + self._step, self._newest)
        text = self._moment.strftime("%Y-%m-%dT%H:%M:%S" + (".000+0000" if self.crm == "salesforce" else "Z"))
        return dict.fromkeys(STAMPS, text)

    def _offered(self, plan: Plan, column: str) -> Sequence[Any] | None:
        return self._store.offered(plan.table, column)

    def _draw(self, values: Sequence[Any], weights: Sequence[float]) -> Any:
        point = self._rng.random()
        for value, weight in zip(values, weights, strict=True):
            if point < weight:
                return value
        return values[-1]


def _skewed(values: Sequence[Any]) -> tuple[Sequence[Any], Sequence[float]]:
    """The first choice half of the time, the second a quarter ..., the last ones next to never."""
    raw = [0.5 ** (at + 1) for at in range(len(values))]
    total = sum(raw)
    return values, list(accumulate(each / total for each in raw))


def fill(stores: Mapping[Crm, Store], size: int, seed: int, now: datetime) -> dict[Crm, dict[str, int]]:
    """So many leads on each side, and fewer of the others; how many rows of each table were made."""
    rng = random.Random(seed)  # noqa: S311 - made-up people, which must come again
    counts: dict[Crm, dict[str, int]] = {crm: {} for crm in stores}
    shares = {"account": SHARE_ACCOUNTS, "contact": SHARE_CONTACTS, "opportunity": SHARE_OPPORTUNITIES, "lead": 1}
    total = sum(size // share for share in shares.values())
    makers: dict[Crm, Maker] = {crm: Maker(crm, store, rng, now, total) for crm, store in stores.items()}
    source = people(rng)
    for at in range(len(_plans["salesforce"])):
        kind = _plans["salesforce"][at].table.lower()
        wanted = max(1, size // shares[kind])
        for start in range(0, wanted, CHUNK):
            sides = both(source, min(CHUNK, wanted - start), rng)
            for crm, maker in makers.items():
                plan = _plans[crm][at]
                made = maker.make(plan, sides[crm])
                counts[crm][plan.table] = counts[crm].get(plan.table, 0) + made
    for store in stores.values():
        store.finish()
    return counts


def both(source: Iterator[Person], count: int, rng: random.Random) -> dict[Crm, list[Person]]:
    """So many people for each side: some on both, some twice on one, some dirty."""
    draw = rng.random
    left: list[Person] = []
    right: list[Person] = []
    for _ in range(count):
        person = next(source)
        other = person if draw() < SHARE_ACROSS else next(source)
        for side, one in ((left, person), (right, other)):
            chosen = side[int(draw() * len(side))] if side and draw() < SHARE_WITHIN else one
            side.append(dirty(chosen, rng) if side and draw() < SHARE_DIRTY else chosen)
    return {"salesforce": left, "dynamics": right}
