"""What a drafted mapping may decide by itself: the standard fields, values and statuses that mean the same.

Both makers' objects as they are out of the box (salesforce-api §5, dataverse-api §6 to §9). What an org has besides,
and what it calls otherwise, is asked of a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from crmbridge.model import Entity, State

System = str  # salesforce, dynamics
Nearness = Literal["same", "near"]  # near: the one counterpart that a value has, though the words differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """One meaning, and the column that has it in each system."""

    name: str
    columns: Mapping[System, str]
    convert: str = "text"
    values: str | None = None
    link: Entity | None = None
    required: bool = False
    restrictive: bool = False
    rule: str = "both"
    by_state: Mapping[System, Mapping[str, str]] = field(default_factory=dict)  # another column once it is won
    filler: Mapping[System, str] = field(default_factory=dict)
    create: str = ""  # a text for the system that wants a value and whose partner has none
    ask: str = ""  # why this pair is asked for though its meaning is plain


def _line(name: str, salesforce: str, dynamics: str, kind: str = "text", **more: object) -> Standard:
    converts, _, what = kind.partition(" ")
    named: dict[str, object] = {"convert": converts}
    if converts == "choice":
        named["values"] = what
    elif converts == "link":
        named["link"] = what
    columns = {system: column for system, column in (("salesforce", salesforce), ("dynamics", dynamics)) if column}
    return Standard(name=name, columns=columns, **named, **more)  # pyright: ignore[reportArgumentType]


def _address(prefix: str, salesforce: str, dynamics: str) -> tuple[Standard, ...]:
    return (
        _line(f"{prefix}street", f"{salesforce}Street", f"{dynamics}_line1"),
        _line(f"{prefix}city", f"{salesforce}City", f"{dynamics}_city"),
        _line(f"{prefix}region", f"{salesforce}State", f"{dynamics}_stateorprovince"),
        _line(f"{prefix}postal_code", f"{salesforce}PostalCode", f"{dynamics}_postalcode"),
        _line(f"{prefix}country", f"{salesforce}Country", f"{dynamics}_country", "country"),
    )


_CONSENT: Final = (
    _line("no_calls", "DoNotCall", "donotphone", "boolean", restrictive=True),
    _line("no_email", "HasOptedOutOfEmail", "donotemail", "boolean", restrictive=True),
    _line("no_fax", "HasOptedOutOfFax", "donotfax", "boolean", restrictive=True),
)

STANDARD: Final[Mapping[Entity, tuple[Standard, ...]]] = {
    "lead": (
        _line("topic", "", "subject", create="{company} - {last_name}"),
        _line("first_name", "FirstName", "firstname"),
        _line("middle_name", "MiddleName", "middlename"),
        _line("last_name", "LastName", "lastname", required=True),
        _line("salutation", "Salutation", "salutation"),
        _line("title", "Title", "jobtitle"),
        _line("company", "Company", "companyname", filler={"salesforce": "[not provided]"}),
        _line("email", "Email", "emailaddress1", "email"),
        _line("phone", "Phone", "telephone1", "phone"),
        _line("mobile", "MobilePhone", "mobilephone", "phone"),
        _line("fax", "Fax", "fax", "phone"),
        _line("website", "Website", "websiteurl", "url"),
        *_address("", "", "address1"),
        _line("source", "LeadSource", "leadsourcecode", "choice lead_source"),
        _line("industry", "Industry", "industrycode", "choice industry"),
        _line("rating", "Rating", "leadqualitycode", "choice rating"),
        _line("revenue", "AnnualRevenue", "revenue", "money"),
        _line("employees", "NumberOfEmployees", "numberofemployees", "integer"),
        _line("description", "Description", "description"),
        _line("owner", "OwnerId", "ownerid", "user"),
        *_CONSENT,
    ),
    "account": (
        _line("name", "Name", "name", required=True),
        _line("number", "AccountNumber", "accountnumber"),
        _line("phone", "Phone", "telephone1", "phone"),
        _line("fax", "Fax", "fax", "phone"),
        _line("website", "Website", "websiteurl", "url"),
        *_address("", "Billing", "address1"),
        *_address("shipping_", "Shipping", "address2"),
        _line("industry", "Industry", "industrycode", "choice industry"),
        _line("type", "Type", "customertypecode", "choice account_type"),
        _line("ownership", "Ownership", "ownershipcode", "choice ownership"),
        _line("revenue", "AnnualRevenue", "revenue", "money"),
        _line("employees", "NumberOfEmployees", "numberofemployees", "integer"),
        _line("sic", "Sic", "sic"),
        _line("ticker", "TickerSymbol", "tickersymbol"),
        _line("description", "Description", "description"),
        _line("parent", "ParentId", "parentaccountid", "link account"),
        _line("owner", "OwnerId", "ownerid", "user", rule="create only"),
    ),
    "contact": (
        _line("first_name", "FirstName", "firstname"),
        _line("middle_name", "MiddleName", "middlename"),
        _line("last_name", "LastName", "lastname", required=True),
        _line("suffix", "Suffix", "suffix"),
        _line("salutation", "Salutation", "salutation"),
        _line("title", "Title", "jobtitle"),
        _line("department", "Department", "department"),
        _line("account", "AccountId", "parentcustomerid_account", "link account"),
        _line("email", "Email", "emailaddress1", "email"),
        _line("phone", "Phone", "telephone1", "phone"),
        _line("mobile", "MobilePhone", "mobilephone", "phone"),
        _line("home_phone", "HomePhone", "telephone2", "phone"),
        _line("other_phone", "OtherPhone", "telephone3", "phone"),
        _line("fax", "Fax", "fax", "phone"),
        _line("assistant", "AssistantName", "assistantname"),
        _line("assistant_phone", "AssistantPhone", "assistantphone", "phone"),
        *_address("", "Mailing", "address1"),
        *_address("other_", "Other", "address2"),
        _line("birthday", "Birthdate", "birthdate", "date"),
        _line("description", "Description", "description"),
        _line("owner", "OwnerId", "ownerid", "user", rule="create only"),
        *_CONSENT,
    ),
    "opportunity": (
        _line("name", "Name", "name", required=True),
        _line("account", "AccountId", "parentaccountid", "link account"),
        _line("contact", "ContactId", "parentcontactid", "link contact"),
        _line("amount", "Amount", "estimatedvalue", "money", by_state={"dynamics": {"won": "actualvalue"}}),
        _line(
            "close_date",
            "CloseDate",
            "estimatedclosedate",
            "date",
            by_state={"dynamics": {"won": "actualclosedate"}},
            filler={"salesforce": "created + 90 days"},
        ),
        _line(
            "probability",
            "Probability",
            "closeprobability",
            "integer",
            ask="Salesforce sets it from the stage, Dynamics does not: take it in if people keep it by hand",
        ),
        _line("description", "Description", "description"),
        _line("owner", "OwnerId", "ownerid", "user"),
    ),
}

# How twins are recognised in a first run, in order; keys of fields that are not drafted are left out.
MATCH: Final[Mapping[Entity, tuple[tuple[str, ...], ...]]] = {
    "lead": (("email", "last_name"), ("last_name", "company", "postal_code"), ("last_name", "company", "phone")),
    "account": (
        ("website", "country", "name"),
        ("name", "postal_code"),
        ("name", "city", "country"),
        ("name", "phone"),
    ),
    "contact": (
        ("email", "last_name"),
        ("first_name", "last_name", "account"),
        ("first_name", "last_name", "mobile"),
    ),
    "opportunity": (("account", "name", "amount"), ("account", "name", "close_date")),
}


# --- values -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One value of each system. The first pair of a Salesforce value is the one that is written."""

    salesforce: str
    dynamics: int
    label: str  # of the Dynamics value, out of the box
    near: Nearness = "near"


def _same(*pairs: tuple[str, int, str]) -> tuple[Pair, ...]:
    return tuple(Pair(salesforce=s, dynamics=d, label=label, near="same") for s, d, label in pairs)


def _near(*pairs: tuple[str, int, str]) -> tuple[Pair, ...]:
    return tuple(Pair(salesforce=s, dynamics=d, label=label) for s, d, label in pairs)


VALUES: Final[Mapping[str, tuple[Pair, ...]]] = {
    "lead_source": (
        *_same(("Web", 8, "Web"), ("Partner Referral", 4, "Partner"), ("Other", 10, "Other")),
        *_near(
            ("Phone Inquiry", 10, "Other"),
            ("Purchased List", 10, "Other"),
            ("Other", 1, "Advertisement"),
            ("Other", 2, "Employee Referral"),
            ("Other", 3, "External Referral"),
            ("Other", 5, "Public Relations"),
            ("Other", 6, "Seminar"),
            ("Other", 7, "Trade Show"),
            ("Other", 9, "Word of Mouth"),
        ),
    ),
    "rating": _same(("Hot", 1, "Hot"), ("Warm", 2, "Warm"), ("Cold", 3, "Cold")),
    "account_type": (
        *_same(
            ("Prospect", 8, "Prospect"),
            ("Customer - Direct", 3, "Customer"),
            ("Channel Partner / Reseller", 9, "Reseller"),
            ("Technology Partner", 5, "Partner"),
            ("Other", 12, "Other"),
        ),
        *_near(
            ("Customer - Channel", 3, "Customer"),
            ("Installation Partner", 5, "Partner"),
            ("Other", 1, "Competitor"),
            ("Other", 2, "Consultant"),
            ("Other", 4, "Investor"),
            ("Other", 6, "Influencer"),
            ("Other", 7, "Press"),
            ("Other", 10, "Supplier"),
            ("Other", 11, "Vendor"),
        ),
    ),
    "ownership": _same(
        ("Public", 1, "Public"), ("Private", 2, "Private"), ("Subsidiary", 3, "Subsidiary"), ("Other", 4, "Other")
    ),
    # Salesforce's 32 industries and Dynamics' 33 overlap little: each has one counterpart to be written as.
    "industry": (
        *_same(
            ("Consulting", 7, "Consulting"),
            ("Finance", 16, "Financial"),
            ("Insurance", 20, "Insurance"),
            ("Transportation", 30, "Transportation"),
            ("Agriculture", 2, "Agriculture and Non-petrol Natural Resource Extraction"),
            ("Utilities", 31, "Utility Creation and Distribution"),
        ),
        *_near(
            ("Food & Beverage", 17, "Food and Tobacco Processing"),
            ("Manufacturing", 12, "Durable Manufacturing"),
            ("Media", 3, "Broadcasting Printing and Publishing"),
            ("Healthcare", 11, "Doctor's Offices and Clinics"),
            ("Hospitality", 13, "Eating and Drinking Places"),
            ("Energy", 24, "Petrochemical Extraction and Distribution"),
            ("Retail", 25, "Service Retail"),
            ("Recreation", 14, "Entertainment Retail"),
            ("Construction", 28, "Special Outbound Trade Contractors"),
            ("Apparel", 22, "Non-Durable Merchandise Retail"),
            ("Not For Profit", 27, "Social Services"),
            ("Technology", 6, "Business Services"),
            ("Other", 8, "Consumer Services"),
            ("Banking", 16, "Financial"),
            ("Biotechnology", 11, "Doctor's Offices and Clinics"),
            ("Entertainment", 14, "Entertainment Retail"),
            ("Chemicals", 12, "Durable Manufacturing"),
            ("Electronics", 12, "Durable Manufacturing"),
            ("Machinery", 12, "Durable Manufacturing"),
            ("Engineering", 12, "Durable Manufacturing"),
            ("Communications", 3, "Broadcasting Printing and Publishing"),
            ("Telecommunications", 3, "Broadcasting Printing and Publishing"),
            ("Education", 27, "Social Services"),
            ("Government", 27, "Social Services"),
            ("Shipping", 30, "Transportation"),
            ("Environmental", 31, "Utility Creation and Distribution"),
            ("Finance", 4, "Brokers"),
            ("Consulting", 1, "Accounting"),
            ("Consulting", 9, "Design, Direction and Creative Management"),
            ("Consulting", 21, "Legal Services"),
            ("Construction", 5, "Building Supply Retail"),
            ("Manufacturing", 18, "Inbound Capital Intensive Processing"),
            ("Retail", 10, "Distributors, Dispatchers and Processors"),
            ("Retail", 32, "Vehicle Retail"),
            ("Retail", 33, "Wholesale"),
            ("Other", 15, "Equipment Rental and Leasing"),
            ("Other", 19, "Inbound Repair and Services"),
            ("Other", 23, "Outbound Consumer Service"),
            ("Other", 26, "SIG Affiliations"),
            ("Other", 29, "Specialty Realty"),
        ),
    ),
}  # fmt: skip


# --- statuses and stages ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusStandard:
    """One row of the shared table, and the native words that are in it out of the box; the first is written."""

    name: str
    state: State
    words: Mapping[System, tuple[str, ...]]
    # Dynamics' own numbers and stage ids, which stay when somebody renames them (dataverse-api §6.4, §7.2, §8.2).
    values: tuple[str | int, ...] = ()
    near: bool = False  # Salesforce has one word for several of these rows


def _row(
    name: str, state: State, salesforce: tuple[str, ...], dynamics: str, *values: str | int, near: bool = False
) -> StatusStandard:
    words = {"salesforce": salesforce, "dynamics": (dynamics,)}
    return StatusStandard(name=name, state=state, words=words, values=values, near=near)


_NOT_CONVERTED: Final = ("Closed - Not Converted",)
_LOST: Final = ("Closed Lost",)

STATUSES: Final[Mapping[Entity, tuple[StatusStandard, ...]]] = {
    "lead": (
        _row("new", "open", ("Open - Not Contacted",), "New", 1),
        _row("contacted", "open", ("Working - Contacted",), "Contacted", 2),
        _row("converted", "converted", ("Closed - Converted",), "Qualified", 3),
        _row("lost", "disqualified", _NOT_CONVERTED, "Lost", 4),
        _row("cannot_contact", "disqualified", _NOT_CONVERTED, "Cannot Contact", 5, near=True),
        _row("no_longer_interested", "disqualified", _NOT_CONVERTED, "No Longer Interested", 6, near=True),
        _row("canceled", "disqualified", _NOT_CONVERTED, "Canceled", 7, near=True),
    ),
    # A stage's values: of the plain column, then of the two processes that every environment is born with.
    "opportunity": (
        _row(
            "qualify", "open", ("Prospecting", "Qualification"), "Qualify",
            0, "f99b4d48-7aad-456e-864a-8e7d543f7495", "6b9ce798-221a-4260-90b2-2a95ed51a5bc",
        ),
        _row(
            "develop", "open", ("Needs Analysis", "Value Proposition", "Id. Decision Makers"), "Develop",
            1, "bfc9108c-8389-406b-9166-2c3298a2e41f", "650e06b4-789b-46c1-822b-0da76bedb1ed",
        ),
        _row(
            "propose", "open", ("Perception Analysis", "Proposal/Price Quote"), "Propose",
            2, "3a275c22-fc45-4e89-97fc-41e5ec578743", "d3ca8878-8d7b-47b9-852d-fcd838790cfd",
        ),
        _row(
            "close", "open", ("Negotiation/Review",), "Close",
            3, "7f5247fe-cfc3-42bc-aa77-b1d836d9b7c0", "bb7e830a-61bd-441b-b1fd-6bb104ffa027",
        ),
        _row("won", "won", ("Closed Won",), "Won", 3),
        _row("canceled", "lost", _LOST, "Canceled", 4),
        _row("out_sold", "lost", _LOST, "Out-Sold", 5, near=True),
    ),
}  # fmt: skip
