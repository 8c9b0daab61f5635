"""What people do in the demo: leads that were there before, then a day at both companies, each event announced.

An announcement says what must have become of the event once both sides are in step; the demo ends 0 only if exactly
that happened, refused and held ones included.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from crmbridge.demo.people import DynamicsPerson, SalesforcePerson

Crm = Literal["salesforce", "dynamics"]
Expected = Literal["converted", "held", "refused", "written", "reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One event of the day, and what is to become of it."""

    what: str  # in words
    crm: Crm  # where it happened
    entity: str
    id: str  # native id there
    expected: Expected
    case: str | None = None  # cause of the hold, or row of the life-cycle tables
    account: Literal["new", "existing"] | None = None
    contact: Literal["new", "existing"] | None = None
    opportunity: bool | None = None
    conversion: bool = False


@dataclass(kw_only=True)
class Company:
    """The people and records of the demo, by name."""

    salesforce: SalesforcePerson
    dynamics: DynamicsPerson
    today: date
    wait: Callable[[float], None]  # lets the sandbox's time go by, in seconds
    # Who a deal of which customer belongs to: linked twins of the sample data.
    leads: dict[str, str] = field(default_factory=dict)  # name -> native id where the lead was typed in
    announced: list[Announced] = field(default_factory=list)

    def announce(self, what: str, crm: Crm, entity: str, id: str, expected: Expected, **more: Any) -> None:
        self.announced.append(Announced(what=what, crm=crm, entity=entity, id=id, expected=expected, **more))


# --- before the first run: leads that both companies are working on -----------------------------------------------

_COMBINATIONS = ("new", "contact", "both")  # what is new; "both": both exist


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeadName:
    key: str
    crm: Crm
    first: str
    last: str
    company: str


def _lead_names() -> tuple[_LeadName, ...]:
    people = iter(
        "Abena Asante|Bjorn Bakke|Carla Conti|Dario Drago|Esra Ekinci|Fumiko Fujita|Goran Gavric|Hanna Hietala|"
        "Ivo Ivanov|Jana Jelinek|Kofi Kuma|Lena Lindqvist|Mira Molnar|Nuno Neves|Olga Orlova|Pavel Prochazka|"
        "Quinn Quigley|Rosa Rinaldi|Sven Sandberg|Tara Tiwari|Uma Unger|Vera Vogel|Wim Wouters".split("|")
    )
    names: list[_LeadName] = []
    for crm in ("salesforce", "dynamics"):
        for new in _COMBINATIONS:
            for deal in ("deal", "no_deal"):
                names.append(_name(f"{crm}_{new}_{deal}", crm, next(people)))
    for key, crm in _SPECIAL:
        names.append(_name(key, crm, next(people)))
    return tuple(names)


_SPECIAL: tuple[tuple[str, Crm], ...] = (
    ("into_existing_deal", "salesforce"),
    ("contact_only", "dynamics"),
    ("bare", "dynamics"),
    ("several_deals", "dynamics"),
    ("partner_disqualified", "salesforce"),
    ("both_converted", "salesforce"),
    ("reactivated", "dynamics"),
    ("refused", "dynamics"),
    ("seen_before_lead", "salesforce"),
    ("disqualified_here", "salesforce"),
    ("disqualified_there", "dynamics"),
)


def _name(key: str, crm: Crm, person: str) -> _LeadName:
    first, last = person.split()
    company = f"{last} Workshops (test)" if key == "refused" else f"{last} Workshops"
    return _LeadName(key=key, crm=crm, first=first, last=last, company=company)


def work_leads(company: Company) -> None:
    """Leads typed in on either side; the first run brings each to the other."""
    for number, lead in enumerate(_lead_names()):
        email = f"{lead.first}.{lead.last}@{lead.last}workshops.example".lower()
        if lead.crm == "salesforce":
            company.leads[lead.key] = company.salesforce.create(
                "Lead",
                FirstName=lead.first,
                LastName=lead.last,
                Company=lead.company,
                Email=email,
                City="Aarhus",
                Country="Denmark",
                Status="Working - Contacted" if number % 2 else "Open - Not Contacted",
                LeadSource="Web",
            )
        else:
            company.leads[lead.key] = company.dynamics.create(
                "leads",
                subject=f"Heat pumps for {lead.company}",
                firstname=lead.first,
                lastname=lead.last,
                companyname=lead.company,
                emailaddress1=email,
                address1_city="Graz",
                address1_country="Austria",
                leadsourcecode=8,
                statuscode=2 if number % 2 else 1,
                statecode=0,
            )


# --- the day ------------------------------------------------------------------------------------------------------


def morning(company: Company) -> None:
    """A lead is converted; its rows are seen by a pull that does not read leads yet (claimed, not doubled)."""
    lead = company.leads["seen_before_lead"]
    company.salesforce.convert(lead, with_opportunity=True, name="Workshop heating, seen early")
    _conversion(company, "account seen before its lead: claimed, not doubled", "salesforce", lead, "new", "new", True)


def a_day(company: Company) -> None:
    for event in (_salesforce_conversions, _dynamics_conversions, _special_conversions, _deals, _leads, _edits):
        event(company)


def _conversion(
    company: Company,
    what: str,
    crm: Crm,
    lead: str,
    account: Literal["new", "existing"],
    contact: Literal["new", "existing"],
    opportunity: bool,
    case: str | None = None,
) -> None:
    company.announce(
        what,
        crm,
        "lead",
        lead,
        "converted",
        account=account,
        contact=contact,
        opportunity=opportunity,
        conversion=True,
        case=case,
    )


def _shape(new: str) -> tuple[Literal["new", "existing"], Literal["new", "existing"]]:
    return ("new" if new == "new" else "existing", "existing" if new == "both" else "new")


def _salesforce_conversions(company: Company) -> None:
    sf = company.salesforce
    account = sf.id_of("Account", Name="Nordwind Traders Ltd")
    contact = sf.id_of("Contact", Email="k.ashby@nordwindtraders.example")
    for new in _COMBINATIONS:
        for deal in (True, False):
            lead = company.leads[f"salesforce_{new}_{'deal' if deal else 'no_deal'}"]
            result = sf.convert(
                lead,
                account=None if new == "new" else account,
                contact=contact if new == "both" else None,
                with_opportunity=deal,
                name=f"Heat pumps for {new}" if deal else None,
            )
            if result.opportunity:
                sf.update(
                    "Opportunity",
                    result.opportunity,
                    Amount=18_500.25,
                    CloseDate=(company.today + timedelta(days=40)).isoformat(),
                )
            of_account, of_contact = _shape(new)
            text = f"converted on Salesforce: account {of_account}, contact {of_contact}, {_deal(deal)}"
            _conversion(company, text, "salesforce", lead, of_account, of_contact, deal)


def _dynamics_conversions(company: Company) -> None:
    dv = company.dynamics
    account = dv.id_of("accounts", "contains(websiteurl,'harbourvine')")
    contact = dv.id_of("contacts", "emailaddress1 eq 'elena.delacroix@harbourvine.example'")
    for new in _COMBINATIONS:
        for deal in (True, False):
            lead = company.leads[f"dynamics_{new}_{'deal' if deal else 'no_deal'}"]
            result = dv.qualify(
                lead,
                account=None if new == "new" else account,
                contact=contact if new == "both" else None,
                with_opportunity=deal,
            )
            if result.opportunity:
                dv.update(
                    "opportunities",
                    result.opportunity,
                    estimatedvalue=32_000.5,
                    estimatedclosedate=(company.today + timedelta(days=50)).isoformat(),
                )
            of_account, of_contact = _shape(new)
            text = f"qualified on Dynamics: account {of_account}, contact {of_contact}, {_deal(deal)}"
            _conversion(company, text, "dynamics", lead, of_account, of_contact, deal)


def _deal(deal: bool) -> str:
    return "with opportunity" if deal else "without opportunity"


def _special_conversions(company: Company) -> None:
    sf, dv, leads = company.salesforce, company.dynamics, company.leads
    later = (company.today + timedelta(days=60)).isoformat()

    account = sf.id_of("Account", Name="Nordwind Traders Ltd")
    deal = sf.id_of("Opportunity", Name="Nordwind Depot Heat Pumps")
    sf.convert(leads["into_existing_deal"], account=account, opportunity=deal)
    text = "converted on Salesforce into an opportunity that was there already"
    _conversion(company, text, "salesforce", leads["into_existing_deal"], "existing", "new", True, "C4")

    dv.qualify(leads["contact_only"], with_account=False, with_opportunity=False)
    text = "qualified on Dynamics into a contact only; Salesforce makes the account it needs, from the company"
    _conversion(company, text, "dynamics", leads["contact_only"], "new", "new", False, "C5")

    dv.update("leads", leads["bare"], statecode=1, statuscode=3)
    text = "set to Qualified on Dynamics without making anything"
    company.announce(text, "dynamics", "lead", leads["bare"], "held", case="C6", conversion=True)

    result = dv.qualify(leads["several_deals"])
    second = dv.create(
        "opportunities",
        **{
            "name": "Second hall, from the same lead",
            "estimatedvalue": 9_000,
            "estimatedclosedate": later,
            "originatingleadid@odata.bind": f"/leads({leads['several_deals']})",
            "parentaccountid@odata.bind": f"/accounts({result.account})",
            "parentcontactid@odata.bind": f"/contacts({result.contact})",
        },
    )
    text = "qualified on Dynamics, and a second opportunity made from the same lead"
    _conversion(company, text, "dynamics", leads["several_deals"], "new", "new", True)
    company.announce("the second opportunity of that lead", "dynamics", "opportunity", second, "written")

    partner = dv.id_of("leads", f"emailaddress1 eq '{_email_of('partner_disqualified')}'")
    dv.update("leads", partner, statecode=2, statuscode=5)
    sf.convert(leads["partner_disqualified"], with_opportunity=True, name="Second thoughts")
    text = "converted on Salesforce, while its partner was disqualified on Dynamics"
    _conversion(company, text, "salesforce", leads["partner_disqualified"], "new", "new", True, "C7")

    partner = dv.id_of("leads", f"emailaddress1 eq '{_email_of('both_converted')}'")
    sf.convert(leads["both_converted"], with_opportunity=True, name="Both were quick")
    dv.qualify(partner)
    text = "converted on both sides on the same day"
    _conversion(company, text, "salesforce", leads["both_converted"], "existing", "existing", True, "C9")

    dv.update("leads", leads["refused"], description="Somebody typed a company that the other CRM does not take.")
    dv.qualify(leads["refused"])
    text = "qualified on Dynamics, but Salesforce's rules refuse the account; nothing may be left behind there"
    wanted: dict[str, Any] = {"account": "new", "contact": "new", "opportunity": True}
    company.announce(text, "dynamics", "lead", leads["refused"], "refused", case="C10", conversion=True, **wanted)


def reactivate(company: Company) -> None:
    """Opened again after its conversion was mirrored: Salesforce cannot follow (C11)."""
    lead = company.leads["reactivated"]
    company.dynamics.update("leads", lead, statecode=0, statuscode=1)
    text = "opened again on Dynamics after its conversion had been mirrored"
    made: dict[str, Any] = {"account": "new", "contact": "new", "opportunity": True}
    company.announce(text, "dynamics", "lead", lead, "held", case="C11", conversion=True, **made)


def qualify_early(company: Company) -> None:
    """The day before: qualified, and mirrored by the evening's run."""
    company.dynamics.qualify(company.leads["reactivated"])


def _email_of(key: str) -> str:
    lead = next(one for one in _lead_names() if one.key == key)
    return f"{lead.first}.{lead.last}@{lead.last}workshops.example".lower()


def _deals(company: Company) -> None:
    """Opportunities won, lost and opened again, on both sides."""
    sf, dv, today = company.salesforce, company.dynamics, company.today
    won = sf.id_of("Opportunity", Name="Nordwind Ferry Terminal Heating")
    sf.update("Opportunity", won, StageName="Closed Won", Amount=265_000, CloseDate=today.isoformat())
    company.announce("won on Salesforce", "salesforce", "opportunity", won, "written", case="O6")

    lost = sf.id_of("Opportunity", Name="Bluefin Service Contract")
    sf.update("Opportunity", lost, StageName="Closed Lost", CloseDate=today.isoformat())
    company.announce("lost on Salesforce", "salesforce", "opportunity", lost, "written", case="O7")

    opened = sf.id_of("Opportunity", Name="Tanner Valley Service Contract")
    sf.update("Opportunity", opened, StageName="Negotiation/Review")
    company.announce("opened again on Salesforce", "salesforce", "opportunity", opened, "written", case="O9")

    moved = sf.id_of("Opportunity", Name="Larkspur Lab Climate Units")
    sf.update("Opportunity", moved, StageName="Proposal/Price Quote")
    company.announce("one stage on, on Salesforce", "salesforce", "opportunity", moved, "written", case="O2")

    deal = dv.id_of("opportunities", "startswith(name,'Very likely will order 18')")
    dv.next_stage(deal)
    company.announce("one stage on, on Dynamics", "dynamics", "opportunity", deal, "written", case="O2")

    deal = dv.id_of("opportunities", "name eq 'Spa heat recovery'")
    dv.lose(deal, date=today.isoformat(), status=5)
    company.announce("lost on Dynamics", "dynamics", "opportunity", deal, "written", case="O7")

    deal = dv.id_of("opportunities", "startswith(name,'6 heat pumps of type')")
    dv.win(deal, revenue=24_400.75, date=today.isoformat())
    company.announce("won on Dynamics", "dynamics", "opportunity", deal, "written", case="O6")

    deal = dv.id_of("opportunities", "startswith(name,'Roastery cooling')")
    dv.update("opportunities", deal, statecode=0, statuscode=1)
    company.announce("opened again on Dynamics", "dynamics", "opportunity", deal, "written", case="O9")

    deal = dv.id_of("opportunities", "startswith(name,'Will be ordering about 110')")
    dv.win(deal, revenue=1_200_000, date=today.isoformat())
    text = "won on Dynamics for more than Salesforce's rules allow"
    company.announce(text, "dynamics", "opportunity", deal, "refused", case="FIELD_CUSTOM_VALIDATION_EXCEPTION")


def _leads(company: Company) -> None:
    """Leads that are given up, and leads that come back."""
    sf, dv = company.salesforce, company.dynamics
    lead = company.leads["disqualified_here"]
    sf.update("Lead", lead, Status="Closed - Not Converted")
    company.announce("disqualified on Salesforce", "salesforce", "lead", lead, "written", case="L4")

    lead = company.leads["disqualified_there"]
    dv.update("leads", lead, statecode=2, statuscode=6)
    company.announce("disqualified on Dynamics: no longer interested", "dynamics", "lead", lead, "written", case="L4")

    lead = sf.id_of("Lead", Name="Pamela Owens")
    sf.update("Lead", lead, Status="Working - Contacted")
    company.announce("a disqualified lead opened again on Salesforce", "salesforce", "lead", lead, "written", case="L5")

    lead = dv.id_of("leads", "lastname eq 'Quist (sample)'")
    dv.update("leads", lead, statecode=0, statuscode=2)
    company.announce("a disqualified lead opened again on Dynamics", "dynamics", "lead", lead, "written", case="L5")

    lead = sf.id_of("Lead", Name="Jeff Glass")
    sf.update("Lead", lead, Status="Working - Contacted")
    company.announce("a new lead contacted, on Salesforce", "salesforce", "lead", lead, "written", case="L3")


def _edits(company: Company) -> None:
    """Plain edits on both sides, and one field that both changed."""
    sf, dv = company.salesforce, company.dynamics
    contact = sf.id_of("Contact", Email="s.oyelaran@nordwindtraders.example")
    sf.update("Contact", contact, Title="Head of Facilities")
    company.announce("new title on Salesforce", "salesforce", "contact", contact, "written")

    contact = dv.id_of("contacts", "emailaddress1 eq 'joerg.brandt@kuestenlicht.example'")
    dv.update("contacts", contact, telephone1="+49 30 23125 200")
    company.announce("new phone number on Dynamics", "dynamics", "contact", contact, "written")

    account = sf.id_of("Account", Name="Küstenlicht Energie GmbH")
    sf.update("Account", account, NumberOfEmployees=655)
    company.wait(120)
    partner = dv.id_of("accounts", "contains(websiteurl,'kuestenlicht')")
    dv.update("accounts", partner, numberofemployees=660)
    company.announce("both changed the number of employees; the newer wins", "dynamics", "account", partner, "written")
