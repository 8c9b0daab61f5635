"""People at work on both sides, and what must stand on both sides because of them.

Each field of a record is edited by one side's people alone, so that its last value is what both sides must end with,
whatever was killed in between. What the CRM does not answer people do as they do: look whether it was done, else do it
again.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

import requests
from lxml import etree

from crmbridge.demo.people import DynamicsPerson, PersonRefused, Results, SalesforcePerson
from tests.support.project import Project

Home = Literal["salesforce", "dynamics"]
T = TypeVar("T")

TRIES: Final = 60
_TROUBLE: Final = (PersonRefused, requests.RequestException, etree.XMLSyntaxError, KeyError, ValueError)
_OPEN_LEADS: Final = 10
_AFTERWARDS: Final = 40  # of the latest conversions are still worked on


@dataclass(kw_only=True)
class Journey:
    """One person of flesh and blood: a lead, converted on the side where it came in, and what is worked on after."""

    number: int
    home: Home
    with_opportunity: bool
    lead: str = ""
    into: "Journey | None" = None  # whose account it was converted into
    results: Results | None = None
    won: Home | None = None
    wanted: dict[str, object] = field(default_factory=dict)  # "contact department" -> last value

    @property
    def email(self) -> str:
        return f"c{self.number}@chaos.example"

    @property
    def last_name(self) -> str:
        return f"Chaos{self.number}"

    @property
    def company(self) -> str:
        return f"Chaos {self.number} Ltd"

    @property
    def deal(self) -> str:
        return f"Deal {self.number}"

    @property
    def account(self) -> str:
        """The name of the account it ends with."""
        return self.into.account if self.into else self.company


class People(threading.Thread):
    """`allowed()`: how many conversions there may be by now."""

    def __init__(
        self,
        project: Project,
        rng: random.Random,
        allowed: Callable[[], int],
        *,
        converted: Callable[[Journey], None] = lambda journey: None,
        pause: float = 0.15,
    ) -> None:
        super().__init__(name="people", daemon=True)
        self._project = project
        self._rng = rng
        self._allowed = allowed
        self._converted = converted
        self._pause = pause
        self._stopped = threading.Event()
        self.problem: BaseException | None = None
        self.journeys: list[Journey] = []
        self.open: list[Journey] = []
        self.done: list[Journey] = []  # converted
        self.deeds: Counter[str] = Counter()
        self.diary: list[tuple[float, str, str, object]] = []  # when, whose, what, to which value
        self.repeated = 0
        self._value = 0
        self._log_in()

    def _log_in(self) -> None:
        self.left: SalesforcePerson = self._project.salesforce()
        self.right: DynamicsPerson = self._project.dynamics()

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                self.step()
                time.sleep(self._pause)
        except BaseException as problem:  # noqa: BLE001 - told by finish()
            self.problem = problem

    def halt(self) -> None:
        self._stopped.set()

    def finish(self) -> None:
        self.halt()
        self.join(120)
        if self.problem is not None:
            raise self.problem
        assert not self.is_alive(), "people are still at work"

    # --- what they do -----------------------------------------------------------------------------------------------

    def step(self) -> None:
        if len(self.open) < _OPEN_LEADS:
            return self._new_lead()
        if len(self.done) < self._allowed() and self._rng.random() < 0.5:
            return self._convert()
        deed = self._rng.choice(
            [self._edit_lead, self._edit_lead, self._edit_contact, self._edit_account, self._edit_deal, self._win]
        )
        deed()
        return None

    def _next(self) -> str:
        self._value += 1
        return f"v{self._value}"

    def _note(self, one: Journey, field: str, value: object) -> None:
        one.wanted[field] = value
        self.diary.append((time.time(), one.email, field, value))
        self._count("edit")

    def _count(self, what: str) -> None:
        self.deeds[what] += 1

    def _new_lead(self) -> None:
        number = len(self.journeys) + 1
        home: Home = self._rng.choice(["salesforce", "dynamics"])
        one = Journey(number=number, home=home, with_opportunity=self._rng.random() < 0.8)
        self.journeys.append(one)
        if home == "salesforce":
            columns = {"FirstName": "Ch", "LastName": one.last_name, "Company": one.company, "Email": one.email}
            one.lead = self._surely(
                lambda: self.left.create("Lead", **columns), lambda: self._sf_id("Lead", "Email", one.email)
            )
        else:
            values = {"firstname": "Ch", "lastname": one.last_name, "companyname": one.company, "subject": one.deal}
            one.lead = self._surely(
                lambda: self.right.create("leads", emailaddress1=one.email, **values),
                lambda: self._dv_id("leads", "leadid", f"emailaddress1 eq '{one.email}'"),
            )
        self.open.append(one)
        self._count("new lead")

    def _edit_lead(self) -> None:
        one = self._rng.choice(self.open)
        value = self._next()
        if one.home == "salesforce":
            self._surely(lambda: self.left.update("Lead", one.lead, Title=value))
        else:
            self._surely(lambda: self.right.update("leads", one.lead, jobtitle=value))
        self._note(one, "title", value)

    def _convert(self) -> None:
        one = self._rng.choice(self.open)
        earlier = [each for each in self.done[-_AFTERWARDS:] if each.home == one.home and each.into is None]
        if earlier and self._rng.random() < 0.2:
            one.into = self._rng.choice(earlier)
        account = one.into.results.account if one.into and one.into.results else None
        if one.home == "salesforce":
            one.results = self._surely(
                lambda: self.left.convert(
                    one.lead,
                    account=account,
                    with_opportunity=one.with_opportunity,
                    name=one.deal if one.with_opportunity else None,
                ),
                lambda: self._sf_converted(one),
            )
        else:
            one.results = self._surely(
                lambda: self.right.qualify(one.lead, account=account, with_opportunity=one.with_opportunity),
                lambda: self._dv_converted(one),
            )
        self.open.remove(one)
        self.done.append(one)
        self.diary.append((time.time(), one.email, "converted", one.home))
        self._count(f"conversion on {one.home}")
        self._converted(one)

    def _later(self) -> Journey | None:
        return self._rng.choice(self.done[-_AFTERWARDS:]) if self.done else None

    def _edit_contact(self) -> None:
        """The department by the people of Salesforce, the description by those of Dynamics."""
        if (one := self._later()) is None:
            return
        value = self._next()
        if self._rng.random() < 0.5:
            id = self._surely(lambda: self._sf_id("Contact", "Email", one.email) or "none")
            if id == "none":  # not there yet
                return
            self._surely(lambda: self.left.update("Contact", id, Department=value))
            self._note(one, "department", value)
        else:
            id = self._surely(lambda: self._dv_id("contacts", "contactid", f"emailaddress1 eq '{one.email}'") or "none")
            if id == "none":
                return
            self._surely(lambda: self.right.update("contacts", id, description=value))
            self._note(one, "description", value)

    def _edit_account(self) -> None:
        """The number by the people of Salesforce, the city by those of Dynamics."""
        if (one := self._later()) is None:
            return
        one = one.into or one
        value = self._next()
        if self._rng.random() < 0.5:
            id = self._surely(lambda: self._sf_id("Account", "Name", one.account) or "none")
            if id == "none":
                return
            self._surely(lambda: self.left.update("Account", id, AccountNumber=value))
            self._note(one, "number", value)
        else:
            id = self._surely(lambda: self._dv_id("accounts", "accountid", f"name eq '{one.account}'") or "none")
            if id == "none":
                return
            self._surely(lambda: self.right.update("accounts", id, address1_city=value))
            self._note(one, "city", value)

    def _edit_deal(self) -> None:
        """The description by the people of Salesforce, the amount by those of Dynamics."""
        if (one := self._later()) is None or not one.with_opportunity or one.won:
            return
        if self._rng.random() < 0.5:
            id = self._surely(lambda: self._sf_id("Opportunity", "Name", one.deal) or "none")
            if id == "none":
                return
            value = self._next()
            self._surely(lambda: self.left.update("Opportunity", id, Description=value))
            self._note(one, "deal description", value)
        else:
            id = self._deal_in_dynamics(one)
            if id == "none":
                return
            amount = self._rng.randrange(1_000, 90_000)
            self._surely(lambda: self.right.update("opportunities", id, estimatedvalue=amount))
            self._note(one, "amount", amount)

    def _win(self) -> None:
        """By Salesforce's people only where those of Dynamics never touched the amount."""
        if self._rng.random() < 0.5 or (one := self._later()) is None or not one.with_opportunity or one.won:
            return
        if self._rng.random() < 0.5 and "amount" not in one.wanted:
            id = self._surely(lambda: self._sf_id("Opportunity", "Name", one.deal) or "none")
            if id == "none":
                return
            self._surely(lambda: self.left.update("Opportunity", id, StageName="Closed Won"))
            one.won = "salesforce"
        else:
            id = self._deal_in_dynamics(one)
            if id == "none":
                return
            amount = int(str(one.wanted.setdefault("amount", 7_000)))
            self._surely(
                lambda: self.right.win(id, revenue=amount, date="2026-11-30") or True,
                lambda: self.right.read("opportunities", id)["statecode"] == 1,
            )
            one.won = "dynamics"
        self.diary.append((time.time(), one.email, "won", one.won))
        self._count("won")

    def _deal_in_dynamics(self, one: Journey) -> str:
        return self._surely(lambda: self._dv_id("opportunities", "opportunityid", f"name eq '{one.deal}'") or "none")

    # --- until it is done -------------------------------------------------------------------------------------------

    def _surely(self, do: Callable[[], T], found: Callable[[], T | None] | None = None) -> T:
        last: Exception | None = None
        for attempt in range(TRIES):
            try:
                if attempt and found is not None and (there := found()):
                    return there
                return do()
            except _TROUBLE as trouble:
                last = trouble
                self.repeated += 1
                time.sleep(0.2)
                if attempt % 5 == 4:
                    self._log_in()
        raise AssertionError(f"people got no further after {TRIES} tries") from last

    def _sf_id(self, sobject: str, name: str, value: str) -> str | None:
        found = self.left.query(f"SELECT Id FROM {sobject} WHERE {name} = '{value}'")
        return found[0]["Id"] if found else None

    def _dv_id(self, table: str, key: str, where: str) -> str | None:
        found = self.right.find(table, where)
        return found[0][key] if found else None

    def _sf_converted(self, one: Journey) -> Results | None:
        row = self.left.read("Lead", one.lead)
        if not row["IsConverted"]:
            return None
        return Results(
            lead=one.lead,
            account=row["ConvertedAccountId"],
            contact=row["ConvertedContactId"],
            opportunity=row["ConvertedOpportunityId"],
        )

    def _dv_converted(self, one: Journey) -> Results | None:
        row = self.right.read("leads", one.lead)
        if row["statecode"] != 1:
            return None
        return Results(
            lead=one.lead,
            account=row["_parentaccountid_value"],
            contact=row["_parentcontactid_value"],
            opportunity=row["_qualifyingopportunityid_value"],
        )
