"""Calls counted at the control port, one thing at a time: what nothing costs, one action, thousands of rows.

Logins and metadata apart. What is beyond the idle cycle is the action's own.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any

from crmbridge.demo.day import Company
from crmbridge.demo.run import Demo, new_demo
from crmbridge.sandbox.server import Box, running_sandbox

CRMS = ("salesforce", "dynamics")
Calls = Mapping[str, Counter[str]]  # CRM -> "table kind" -> HTTP requests


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one thing cost."""

    name: str
    requests: Calls
    operations: Calls  # inside batches, collections and composites

    def total(self, crm: str) -> int:
        return self.requests[crm].total()

    @property
    def both(self) -> int:
        return sum(self.total(crm) for crm in CRMS)

    def beyond(self, idle: "Cost") -> "Cost":
        more = {crm: self.requests[crm] - idle.requests[crm] for crm in CRMS}
        return Cost(name=self.name, requests=more, operations=self.operations)

    @property
    def inside(self) -> int:
        return sum(self.operations[crm].total() for crm in CRMS)

    def __str__(self) -> str:
        def told(counts: Counter[str]) -> str:
            return ", ".join(f"{n} x {what}" for what, n in sorted(counts.items())) or "-"

        lines = [f"{self.name}: {self.both} calls"]
        for crm in CRMS:
            inside = f"; inside: {told(self.operations[crm])}" if self.operations[crm] else ""
            lines.append(f"  {crm:10} {self.total(crm):3}  {told(self.requests[crm])}{inside}")
        return "\n".join(lines)


@dataclass(kw_only=True)
class Meter:
    """A company in step, and a count of what each thing costs it."""

    box: Box
    demo: Demo
    costs: list[Cost] = field(default_factory=list)

    @property
    def people(self) -> Company:
        return self.demo.company

    def idle(self) -> Cost:
        self.demo.pass_time()
        self.demo.cycle()
        return self._cycle("a cycle with nothing to do")

    def settle(self) -> None:
        self.demo.pass_time()
        self.demo.cycle()
        self.demo.pass_time()
        outcome = self.demo.cycle()
        assert not outcome.counts, f"not in step: {outcome.counts}"

    def cost(self, name: str, act: Callable[[], object], *, expect: str | None = None) -> Cost:
        """Of the cycle that follows an act of people."""
        act()
        return self._cycle(name, expect)

    def _cycle(self, name: str, expect: str | None = None) -> Cost:
        self.demo.pass_time()
        self.box.control.forget_calls()
        outcome = self.demo.cycle()
        calls = self.box.control.raw_calls()
        if expect is not None:
            kinds = [event.kind for event in outcome.events]
            assert expect in kinds, f"{name}: expected {expect}, and there was {kinds}"
        cost = Cost(name=name, requests=_requests(calls), operations=_operations(calls))
        self.costs.append(cost)
        return cost


def _requests(calls: list[dict[str, Any]]) -> Calls:
    data = [call for call in calls if call["category"] == "data"]
    return {crm: Counter(f"{c['table']} {c['kind']}".strip() for c in data if c["crm"] == crm) for crm in CRMS}


def _operations(calls: list[dict[str, Any]]) -> Calls:
    data = [call for call in calls if call["category"] == "data"]
    return {crm: Counter(" ".join(o) for c in data if c["crm"] == crm for o in c["operations"]) for crm in CRMS}


@contextmanager
def meter(directory: Path, seed: str = "demo") -> Iterator[Meter]:
    with running_sandbox(seed) as box:
        yield Meter(box=box, demo=new_demo(directory, box.connect, lambda _: None))


# --- life-cycle actions, one by one -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Act:
    name: str
    done: str  # kind of the event that tells it was carried out
    act: Callable[[Company], object]


def life_cycle() -> Iterator[Act]:
    """Every action of the life cycle, in both directions, on records of the demo's seed and its leads."""
    yield from _from_salesforce()
    yield from _from_dynamics()


def _from_salesforce() -> Iterator[Act]:
    def convert(key: str, **how: Any) -> Callable[[Company], object]:
        def act(people: Company) -> None:
            sf = people.salesforce
            ids: dict[str, Any] = {}
            if how.get("account"):
                ids["account"] = sf.id_of("Account", Name="Nordwind Traders Ltd")
            if how.get("contact"):
                ids["contact"] = sf.id_of("Contact", Email="k.ashby@nordwindtraders.example")
            if how.get("opportunity"):
                ids["opportunity"] = sf.id_of("Opportunity", Name="Nordwind Depot Heat Pumps")
            deal = how.get("deal", True)
            result = sf.convert(
                people.leads[key], with_opportunity=deal, name=f"Deal of {key}" if deal else None, **ids
            )
            if result.opportunity and deal:
                later = (people.today + timedelta(days=40)).isoformat()
                sf.update("Opportunity", result.opportunity, Amount=18_500.25, CloseDate=later)

        return act

    def stage(name: str, stage: str, **more: Any) -> Callable[[Company], object]:
        return lambda p: p.salesforce.update(
            "Opportunity", p.salesforce.id_of("Opportunity", Name=name), StageName=stage, **more
        )

    def status(name: str, status: str) -> Callable[[Company], object]:
        return lambda p: p.salesforce.update("Lead", p.salesforce.id_of("Lead", Name=name), Status=status)

    to = "Salesforce → Dynamics"
    yield Act(name=f"{to}: convert, all new", done="convert", act=convert("salesforce_new_deal"))
    yield Act(name=f"{to}: convert, no opportunity", done="convert", act=convert("salesforce_new_no_deal", deal=False))
    yield Act(
        name=f"{to}: convert, account exists", done="convert", act=convert("salesforce_contact_deal", account=True)
    )
    yield Act(
        name=f"{to}: convert, account and contact exist",
        done="convert",
        act=convert("salesforce_both_deal", account=True, contact=True),
    )
    yield Act(
        name=f"{to}: convert into an existing opportunity",
        done="convert",
        act=convert("into_existing_deal", account=True, opportunity=True, deal=False),
    )
    yield Act(name=f"{to}: convert, partner disqualified", done="convert", act=_over_disqualified)
    yield Act(name=f"{to}: disqualify", done="disqualify", act=status("Vera Vogel", "Closed - Not Converted"))
    yield Act(name=f"{to}: reactivate", done="reactivate", act=status("Vera Vogel", "Working - Contacted"))
    yield Act(name=f"{to}: status", done="status", act=status("Vera Vogel", "Open - Not Contacted"))
    deal = "Nordwind Ferry Terminal Heating"
    yield Act(name=f"{to}: stage", done="stage", act=stage(deal, "Negotiation/Review"))
    yield Act(name=f"{to}: win", done="win", act=stage(deal, "Closed Won", Amount=265_000))
    yield Act(name=f"{to}: reopen", done="reopen", act=stage(deal, "Value Proposition"))
    yield Act(name=f"{to}: lose", done="lose", act=stage(deal, "Closed Lost"))
    yield Act(name=f"{to}: won after it was lost", done="win", act=stage(deal, "Closed Won"))


def _over_disqualified(people: Company) -> None:
    dv = people.dynamics
    dv.update("leads", dv.id_of("leads", "lastname eq 'Quigley'"), statecode=2, statuscode=5)
    people.salesforce.convert(people.leads["partner_disqualified"], name="Second thoughts")


def _from_dynamics() -> Iterator[Act]:
    def qualify(key: str, **how: Any) -> Callable[[Company], object]:
        def act(people: Company) -> None:
            dv = people.dynamics
            ids: dict[str, Any] = {}
            if how.get("account"):
                ids["account"] = dv.id_of("accounts", "contains(websiteurl,'harbourvine')")
            if how.get("contact"):
                ids["contact"] = dv.id_of("contacts", "emailaddress1 eq 'elena.delacroix@harbourvine.example'")
            plain = {name: value for name, value in how.items() if name.startswith("with_")}
            result = dv.qualify(people.leads[key], **ids, **plain)
            if result.opportunity:
                later = (people.today + timedelta(days=50)).isoformat()
                dv.update("opportunities", result.opportunity, estimatedvalue=32_000.5, estimatedclosedate=later)

        return act

    def lead(last_name: str, state: int, status: int) -> Callable[[Company], object]:
        return lambda p: p.dynamics.update(
            "leads", p.dynamics.id_of("leads", f"lastname eq '{last_name}'"), statecode=state, statuscode=status
        )

    def deal(act: Callable[[Company, str], object]) -> Callable[[Company], object]:
        return lambda p: act(p, p.dynamics.id_of("opportunities", "startswith(name,'Very likely will order 18')"))

    to = "Dynamics → Salesforce"
    yield Act(name=f"{to}: qualify, all new", done="convert", act=qualify("dynamics_new_deal"))
    yield Act(
        name=f"{to}: qualify, no opportunity",
        done="convert",
        act=qualify("dynamics_new_no_deal", with_opportunity=False),
    )
    yield Act(name=f"{to}: qualify, account exists", done="convert", act=qualify("dynamics_contact_deal", account=True))
    yield Act(
        name=f"{to}: qualify, account and contact exist",
        done="convert",
        act=qualify("dynamics_both_deal", account=True, contact=True),
    )
    yield Act(
        name=f"{to}: qualify, contact only",
        done="convert",
        act=qualify("contact_only", with_account=False, with_opportunity=False),
    )
    yield Act(name="both sides converted on their own", done="adopt", act=_both)
    yield Act(name=f"{to}: disqualify", done="disqualify", act=lead("Wouters", 2, 6))
    yield Act(name=f"{to}: reactivate", done="reactivate", act=lead("Wouters", 0, 2))
    yield Act(name=f"{to}: status", done="status", act=lead("Wouters", 0, 1))
    yield Act(name=f"{to}: stage", done="stage", act=deal(lambda p, id: p.dynamics.next_stage(id)))
    yield Act(
        name=f"{to}: win",
        done="win",
        act=deal(lambda p, id: p.dynamics.win(id, revenue=24_400.75, date=p.today.isoformat())),
    )
    yield Act(
        name=f"{to}: reopen",
        done="reopen",
        act=deal(lambda p, id: p.dynamics.update("opportunities", id, statecode=0, statuscode=1)),
    )
    yield Act(
        name=f"{to}: lose",
        done="lose",
        act=deal(lambda p, id: p.dynamics.lose(id, date=p.today.isoformat(), status=5)),
    )


def _both(people: Company) -> None:
    dv = people.dynamics
    people.salesforce.convert(people.leads["both_converted"], name="Both were quick")
    dv.qualify(dv.id_of("leads", "lastname eq 'Rinaldi'"))


# --- many rows --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bulk:
    """One step with many rows: what people do, how many rows it is about, and what was it allowed to cost."""

    name: str
    rows: int
    act: Callable[[Company], object]

    def allowed(self, crm: str) -> int:
        writes = ceil(self.rows / 200) + 10
        return 2 * ceil(self.rows / 2000) + writes if crm == "salesforce" else ceil(self.rows / 5000) + writes


def many(rows: int) -> Iterator[Bulk]:
    """Leads by the thousand: typed in, changed and given up, on either side; and opportunities with their customer."""
    some = rows // 3
    steps: list[tuple[int, str, Callable[[Company], object]]] = [
        (rows, "leads created on Salesforce", lambda p: _type_in_salesforce(p, rows)),
        (rows, "leads changed on Salesforce", lambda p: _change_salesforce(p, City="Aarhus", Title="CEO")),
        (rows, "leads changed on Dynamics", lambda p: _change_dynamics(p, jobtitle="Director")),
        (
            some,
            "leads disqualified on Salesforce",
            lambda p: _change_salesforce(p, some, Status="Closed - Not Converted"),
        ),
        (rows, "leads created on Dynamics", lambda p: _type_in_dynamics(p, rows)),
        (some, "opportunities created on Salesforce", lambda p: _deals_salesforce(p, some)),
        (some, "opportunities won on Salesforce", lambda p: _win_salesforce(p)),
    ]
    for count, name, act in steps:
        yield Bulk(name=f"{count:,} {name}", rows=count, act=act)


def _type_in_salesforce(people: Company, rows: int) -> None:
    names = [f"Left {n}" for n in range(rows)]
    records = [{"LastName": name, "Company": f"Firm of {name}", "Email": _email(name)} for name in names]
    _save_salesforce(people, "POST", "Lead", records)


def _change_salesforce(people: Company, rows: int | None = None, **fields: Any) -> None:
    found = _ids_salesforce(people, "SELECT+Id+FROM+Lead+WHERE+LastName+LIKE+'Left%25'+ORDER+BY+Id")
    _save_salesforce(people, "PATCH", "Lead", [{"id": id, **fields} for id in found[:rows]])


def _win_salesforce(people: Company) -> None:
    found = _ids_salesforce(people, "SELECT+Id+FROM+Opportunity")
    _save_salesforce(people, "PATCH", "Opportunity", [{"id": id, "StageName": "Closed Won"} for id in found])


def _ids_salesforce(people: Company, statement: str) -> list[str]:
    page = people.salesforce._call("GET", f"query?q={statement}")
    found = [row["Id"] for row in page["records"]]
    while not page["done"]:
        page = people.salesforce._call("GET", page["nextRecordsUrl"].partition(".0/")[2])
        found += [row["Id"] for row in page["records"]]
    return found


def _save_salesforce(people: Company, method: str, sobject: str, records: list[dict[str, Any]]) -> None:
    for start in range(0, len(records), 200):
        some = [{"attributes": {"type": sobject}, **record} for record in records[start : start + 200]]
        results = people.salesforce._call(method, "composite/sobjects", {"allOrNone": True, "records": some})
        assert all(result["success"] for result in results), results[0]


def _type_in_dynamics(people: Company, rows: int) -> None:
    names = [f"Right {n}" for n in range(rows)]
    records = [
        {
            "subject": f"Wish of {name}",
            "lastname": name,
            "companyname": f"Firm of {name}",
            "emailaddress1": _email(name),
        }
        for name in names
    ]
    _save_dynamics(people, "CreateMultiple", records)


def _change_dynamics(people: Company, **columns: Any) -> None:
    found = people.dynamics.find("leads", "startswith(lastname,'Left ')")
    _save_dynamics(people, "UpdateMultiple", [{"leadid": row["leadid"], **columns} for row in found])


def _save_dynamics(people: Company, action: str, records: list[dict[str, Any]]) -> None:
    for start in range(0, len(records), 500):
        targets = [{"@odata.type": "Microsoft.Dynamics.CRM.lead", **record} for record in records[start : start + 500]]
        people.dynamics._call("POST", f"leads/Microsoft.Dynamics.CRM.{action}", {"Targets": targets})


def _email(name: str) -> str:
    return f"{name.replace(' ', '').lower()}@many.example"


def _deals_salesforce(people: Company, rows: int) -> None:
    account = people.salesforce.create("Account", Name="The one customer", BillingCity="Graz")
    day = (people.today + timedelta(days=30)).isoformat()
    records = [
        {"Name": f"Deal {n}", "AccountId": account, "StageName": "Qualification", "CloseDate": day, "Amount": 100 + n}
        for n in range(rows)
    ]
    _save_salesforce(people, "POST", "Opportunity", records)
