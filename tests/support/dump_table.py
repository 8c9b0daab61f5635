"""Which Dynamics column says the same as which Salesforce field, written by hand from the two vendors' field lists.

A second opinion: it imports nothing of the product and reads the sandbox's dumps alone, so that a fault in a mapping,
a converter or a connector cannot excuse itself.
"""

import re
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
Dump = Mapping[str, Mapping[str, Sequence[Row]]]

OBJECTS = {"account": "Account", "contact": "Contact", "lead": "Lead", "opportunity": "Opportunity"}
KEYS = {"account": "accountid", "contact": "contactid", "lead": "leadid", "opportunity": "opportunityid"}

# --- equality of two values, one of each CRM ------------------------------------------------------------------------


def blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def text(value: Any) -> str:
    return str(value).replace("\r\n", "\n").strip()


def folded(value: Any) -> str:
    return text(value).casefold()


def digits(value: Any) -> str:
    """The last nine digits of a telephone number: what spelling and a country's prefix leave alone."""
    return re.sub(r"\D", "", str(value))[-9:]


def website(value: Any) -> str:
    return re.sub(r"^(https?://)?(www\.)?|/$", "", folded(value))


def country(value: Any) -> str:
    names = {"usa": "us", "united states": "us", "united states of america": "us", "uk": "gb", "united kingdom": "gb"}
    return names.get(folded(value), folded(value))


def number(value: Any) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"))


def whole(value: Any) -> Decimal:
    return Decimal(str(value)).quantize(Decimal(1))


INDUSTRIES = """
2 Agriculture; 22 Apparel; 16 Finance Banking; 4 Finance; 7 Consulting; 1 Consulting; 9 Consulting; 21 Consulting;
28 Construction; 5 Construction; 24 Energy; 17 Food & Beverage; 11 Healthcare Biotechnology; 13 Hospitality;
14 Recreation Entertainment; 20 Insurance; 12 Manufacturing Chemicals Electronics Machinery Engineering;
18 Manufacturing; 3 Media Communications Telecommunications; 27 Not For Profit Education Government; 25 Retail;
10 Retail; 32 Retail; 33 Retail; 30 Transportation Shipping; 31 Utilities Environmental; 6 Technology;
8 Other; 15 Other; 19 Other; 23 Other; 26 Other; 29 Other
"""


def options(table: str) -> Mapping[int, str]:
    """Option value -> the words that mean it; one value of Dynamics may be several of Salesforce."""
    return {int(n): words for n, _, words in (entry.strip().partition(" ") for entry in table.split(";"))}


CHOICES: Mapping[str, Mapping[int, str]] = {
    "industry": options(INDUSTRIES),
    "account type": options(
        "8 Prospect; 3 Customer - Direct Customer - Channel; 9 Channel Partner / Reseller; "
        "5 Technology Partner Installation Partner; 12 Other; 1 Other; 2 Other; 4 Other; 6 Other; 7 Other; 10 Other; "
        "11 Other"
    ),
    "ownership": options("1 Public; 2 Private; 3 Subsidiary; 4 Other"),
    "source": options(
        "8 Web; 4 Partner Referral; 10 Other Phone Inquiry Purchased List; 1 Other; 2 Other; 3 Other; 5 Other; "
        "6 Other; 7 Other; 9 Other"
    ),
    "rating": options("1 Hot; 2 Warm; 3 Cold"),
}

PLAIN = {
    "text": text,
    "email": folded,
    "phone": digits,
    "url": website,
    "country": country,
    "number": number,
    "whole": whole,
    "date": text,
}


@dataclass(frozen=True)
class Line:
    salesforce: str
    dynamics: str
    how: str = "text"  # one of PLAIN, a name of CHOICES, or a lookup: "account", "contact", "user"


def lines(table: str) -> list[Line]:
    return [Line(*(part.strip() for part in line.split("|"))) for line in table.strip().splitlines()]


FIELDS: Mapping[str, Sequence[Line]] = {
    "account": lines(
        """
        Name|name
        AccountNumber|accountnumber
        Phone|telephone1|phone
        Fax|fax|phone
        Website|websiteurl|url
        BillingStreet|address1_line1
        BillingCity|address1_city
        BillingState|address1_stateorprovince
        BillingPostalCode|address1_postalcode
        BillingCountry|address1_country|country
        Industry|industrycode|industry
        Type|customertypecode|account type
        Ownership|ownershipcode|ownership
        AnnualRevenue|revenue|whole
        NumberOfEmployees|numberofemployees|number
        Sic|sic
        TickerSymbol|tickersymbol
        Description|description
        ParentId|_parentaccountid_value|account
        """
    ),
    "contact": lines(
        """
        FirstName|firstname
        LastName|lastname
        Salutation|salutation
        Title|jobtitle
        Department|department
        AccountId|_parentcustomerid_value|account
        Email|emailaddress1|email
        Phone|telephone1|phone
        MobilePhone|mobilephone|phone
        HomePhone|telephone2|phone
        OtherPhone|telephone3|phone
        Fax|fax|phone
        MailingStreet|address1_line1
        MailingCity|address1_city
        MailingState|address1_stateorprovince
        MailingPostalCode|address1_postalcode
        MailingCountry|address1_country|country
        Birthdate|birthdate|date
        Description|description
        """
    ),
    "lead": lines(
        """
        FirstName|firstname
        LastName|lastname
        Salutation|salutation
        Title|jobtitle
        Company|companyname
        Email|emailaddress1|email
        Phone|telephone1|phone
        MobilePhone|mobilephone|phone
        Fax|fax|phone
        Website|websiteurl|url
        Street|address1_line1
        City|address1_city
        State|address1_stateorprovince
        PostalCode|address1_postalcode
        Country|address1_country|country
        LeadSource|leadsourcecode|source
        Industry|industrycode|industry
        Rating|leadqualitycode|rating
        AnnualRevenue|revenue|whole
        NumberOfEmployees|numberofemployees|number
        Description|description
        OwnerId|_ownerid_value|user
        """
    ),
    "opportunity": lines(
        """
        Name|name
        AccountId|_parentaccountid_value|account
        ContactId|_parentcontactid_value|contact
        Amount|amount|number
        CloseDate|close date|date
        Description|description
        OwnerId|_ownerid_value|user
        """
    ),
}

LEAD_STATES = {0: "open", 1: "converted", 2: "disqualified"}
OPEN_LEADS = {1: "Open - Not Contacted", 2: "Working - Contacted"}
STAGES = {
    "Qualify": ("Prospecting", "Qualification"),
    "Develop": ("Needs Analysis", "Value Proposition", "Id. Decision Makers"),
    "Propose": ("Perception Analysis", "Proposal/Price Quote"),
    "Close": ("Negotiation/Review",),
}
FILLED_COMPANY = "[not provided]"  # written where Salesforce wants a company and there is none
FILLED_CLOSE_DAYS = 90  # and a close date

# --- the dumps ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    entity: str
    salesforce: Row
    dynamics: Row

    @property
    def ids(self) -> tuple[str, str]:
        return self.salesforce["Id"], self.dynamics[KEYS[self.entity]]


@dataclass(frozen=True)
class Difference:
    entity: str
    ids: tuple[str, str]
    field: str
    salesforce: Any
    dynamics: Any


@dataclass
class Both:
    """Both dumps, and the pairs found in them."""

    dump: Dump
    conversions: Sequence[Mapping[str, Any]] = ()  # of the demo's document: ids on both sides
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    partner: dict[str, str] = field(default_factory=dict)  # Salesforce id -> Dynamics id

    def __post_init__(self) -> None:
        for entity in ("account", "contact", "lead", "opportunity"):
            self.pairs[entity] = self._pair_up(entity)

    def salesforce(self, entity: str) -> dict[str, Row]:
        return {row["Id"]: row for row in self.dump["salesforce"][OBJECTS[entity]] if not row["IsDeleted"]}

    def dynamics(self, entity: str) -> dict[str, Row]:
        return {row[KEYS[entity]]: row for row in self.dump["dynamics"][entity]}

    # Pairs, by the strongest evidence first: what the demo says of its conversions, our key, the id that we chose, and
    # then what a person would call the same record, if there is exactly one of it on each side.

    def _pair_up(self, entity: str) -> list[Pair]:
        left, right = self.salesforce(entity), self.dynamics(entity)
        org = self.dump["salesforce"]["Organization"][0]["Id"]
        found: dict[str, str] = {}
        for conversion in self.conversions:
            a, b = conversion["salesforce"][entity], conversion["dynamics"][entity]
            if a and b:
                assert found.setdefault(a, b) == b, f"two partners for {a}"
        for id, row in left.items():
            chosen = chosen_id(org, id)
            partner = row["CrmBridge_Id__c"] or (chosen if chosen in right else None)
            if partner:
                assert found.setdefault(id, partner) == partner, f"two partners for {id}"
        rest = {id: row for id, row in left.items() if id not in found}
        other = {id: row for id, row in right.items() if id not in set(found.values())}
        for key in NATURAL[entity]:
            mine, theirs = _by(key, "salesforce", rest), _by(key, "dynamics", other)
            for name in mine.keys() & theirs.keys():
                if len(mine[name]) == len(theirs[name]) == 1:
                    found[mine[name][0]] = theirs[name][0]
                    rest.pop(mine[name][0])
                    other.pop(theirs[name][0])
        assert len(set(found.values())) == len(found), "one Dynamics row is the partner of two"
        self.partner |= found
        return [Pair(entity, left[a], right[b]) for a, b in sorted(found.items()) if a in left and b in right]

    def process_stage(self, opportunity: str) -> tuple[str, bool] | None:
        """Name of the stage its process is in, and whether that process began with a lead; None without a process."""
        names = {row["processstageid"]: row["stagename"] for row in self.dump["dynamics"]["processstage"]}
        for table, born in (("leadtoopportunitysalesprocess", True), ("opportunitysalesprocess", False)):
            for row in self.dump["dynamics"][table]:
                if row["_opportunityid_value"] == opportunity and row["statecode"] == 0:
                    return names[row["_activestageid_value"]], born
        return None

    def users(self) -> tuple[dict[str, str], dict[str, str], set[str]]:
        """Id -> e-mail on either side, and the e-mails of people who may own records on both."""
        left = {row["Id"]: folded(row["Email"]) for row in self.dump["salesforce"]["User"] if row["Email"]}
        rows = [row for row in self.dump["dynamics"]["systemuser"] if row["internalemailaddress"]]
        right = {row["systemuserid"]: folded(row["internalemailaddress"]) for row in rows}
        active = {folded(row["Email"]) for row in self.dump["salesforce"]["User"] if row["Email"] and row["IsActive"]}
        return left, right, active & {folded(r["internalemailaddress"]) for r in rows if not r["isdisabled"]}


def chosen_id(org: str, id: str) -> str:
    """The id of a Dynamics row that was made for a Salesforce record: documented, and the same for ever."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/crmbridge/crmbridge")
    return str(uuid.uuid5(namespace, f"{org}:{id}:1"))


def plain_name(value: Any) -> str:
    """A company's name as people compare it: no accents, no punctuation, no legal form."""
    bare = unicodedata.normalize("NFKD", folded(value)).encode("ascii", "ignore").decode().replace("&", " and ")
    words = [
        word for word in re.findall(r"[a-z0-9]+", bare) if word not in {"the", "inc", "ltd", "gmbh", "plc", "corp"}
    ]
    return " ".join(words)


# What tells a record of one CRM from its like, for people: columns of either side, tried in this order.
NATURAL: Mapping[str, Sequence[Mapping[str, Sequence[tuple[str, Any]]]]] = {
    "account": [
        {"salesforce": [("Website", website)], "dynamics": [("websiteurl", website)]},
        {"salesforce": [("Name", plain_name)], "dynamics": [("name", plain_name)]},
    ],
    "contact": [
        {
            "salesforce": [("Email", folded), ("LastName", folded)],
            "dynamics": [("emailaddress1", folded), ("lastname", folded)],
        }
    ],
    "lead": [
        {
            "salesforce": [("Email", folded), ("LastName", folded)],
            "dynamics": [("emailaddress1", folded), ("lastname", folded)],
        }
    ],
    "opportunity": [
        {
            "salesforce": [("Name", folded), ("CloseDate", text)],
            "dynamics": [("name", folded), ("estimatedclosedate", text)],
        }
    ],
}


def _by(key: Mapping[str, Sequence[tuple[str, Any]]], crm: str, rows: Mapping[str, Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id, row in rows.items():
        parts = [None if blank(row[column]) else form(row[column]) for column, form in key[crm]]
        if None not in parts:
            found.setdefault("|".join(parts), []).append(id)  # pyright: ignore[reportArgumentType]
    return found


# --- what differs ---------------------------------------------------------------------------------------------------


def differences(both: Both, *, born: Mapping[str, str]) -> list[Difference]:
    """Everything that is not the same on both sides, in every pair. `born`: Dynamics id of a record that a conversion
    made -> the CRM where that happened first; what is blank there may have been filled in on the other side."""
    return [difference for pairs in both.pairs.values() for pair in pairs for difference in compare(both, pair, born)]


def compare(both: Both, pair: Pair, born: Mapping[str, str]) -> Iterator[Difference]:
    origin = born.get(pair.ids[1])
    for line in FIELDS[pair.entity]:
        left, right = pair.salesforce[line.salesforce], _dynamics_value(pair, line)
        if pair.entity == "lead" and line.salesforce == "Company" and left == FILLED_COMPANY:
            left = None
        if line.salesforce == "CloseDate" and right is None and _filled_date(pair):
            left = None
        if blank(left) and blank(right):
            continue
        if (blank(left) and origin == "salesforce") or (blank(right) and origin == "dynamics"):
            continue  # filled in by the other CRM's own conversion, which never flows back
        if not same(both, line, left, right):
            yield Difference(pair.entity, pair.ids, line.salesforce, left, right)
    if pair.entity in ("lead", "opportunity"):
        here, there = (lead_states if pair.entity == "lead" else deal_states)(both, pair)
        if here != there:
            yield Difference(pair.entity, pair.ids, "state", here, there)


def same(both: Both, line: Line, left: Any, right: Any) -> bool:
    if line.how in ("account", "contact"):
        return both.partner.get(left) == right
    if line.how == "user":
        mine, theirs, shared = both.users()
        # Somebody whom only one side knows: there it is the fallback owner.
        return mine[left] == theirs.get(right) or mine[left] not in shared or theirs.get(right) not in shared
    if line.how in CHOICES:
        return not blank(left) and not blank(right) and str(left) in CHOICES[line.how].get(int(right), "")
    form = PLAIN[line.how]
    return not blank(left) and not blank(right) and form(left) == form(right)


def _dynamics_value(pair: Pair, line: Line) -> Any:
    """What was expected and what was won are two columns; a contact's customer may be another contact."""
    row = pair.dynamics
    if line.dynamics == "amount":
        return row["actualvalue" if row["statecode"] == 1 else "estimatedvalue"]
    if line.dynamics == "close date":
        return row["actualclosedate" if row["statecode"] == 1 else "estimatedclosedate"]
    if line.dynamics == "_parentcustomerid_value":
        kind = row.get("_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname")
        return row[line.dynamics] if kind == "account" else None
    return row[line.dynamics]


def _filled_date(pair: Pair) -> bool:
    created = date.fromisoformat(pair.dynamics["createdon"][:10])
    day = date.fromisoformat(pair.salesforce["CloseDate"])
    return abs((day - created - timedelta(days=FILLED_CLOSE_DAYS)).days) <= 1


def lead_states(both: Both, pair: Pair) -> tuple[str, str]:
    left, right = pair.salesforce, pair.dynamics
    there = LEAD_STATES[right["statecode"]]
    if left["IsConverted"]:
        return "converted", there
    if left["Status"] == "Closed - Not Converted":
        return "disqualified", there
    if left["Status"] == "Closed - Converted":
        return there, there  # its label says what its flag denies: nothing follows from it
    return f"open {left['Status']}", f"{there} {OPEN_LEADS.get(right['statuscode'])}"


def deal_states(both: Both, pair: Pair) -> tuple[str, str]:
    left, right = pair.salesforce, pair.dynamics
    here = "won" if left["IsWon"] else "lost" if left["IsClosed"] else "open"
    there = {0: "open", 1: "won", 2: "lost"}[right["statecode"]]
    stage = both.process_stage(pair.ids[1])
    if here != "open" or there != "open" or stage is None:
        return here, there
    name, from_lead = stage
    allowed = STAGES[name] + (STAGES["Qualify"] if from_lead and name == "Develop" else ())
    return here, there if left["StageName"] in allowed else f"open, in {name} while there it is {left['StageName']}"


# --- doubles --------------------------------------------------------------------------------------------------------

COUNTED = {
    "account": {"salesforce": ["Name"], "dynamics": ["name"]},
    "contact": {
        "salesforce": ["Email", "FirstName", "LastName"],
        "dynamics": ["emailaddress1", "firstname", "lastname"],
    },
    "lead": {"salesforce": ["Email", "LastName", "Company"], "dynamics": ["emailaddress1", "lastname", "companyname"]},
    "opportunity": {"salesforce": ["Name"], "dynamics": ["name"]},
}


def doubled(dump: Dump, by_people: Mapping[str, Iterable[str]]) -> list[str]:
    """Names that a side has more often than people entered them on the side where there are more of them.

    `by_people`: CRM -> ids of the rows that people made."""
    found: list[str] = []
    for entity, columns in COUNTED.items():
        rows: dict[str, dict[str, Row]] = {
            "salesforce": {row["Id"]: row for row in dump["salesforce"][OBJECTS[entity]] if not row["IsDeleted"]},
            "dynamics": {row[KEYS[entity]]: row for row in dump["dynamics"][entity]},
        }
        real: dict[str, Counter[str]] = {}
        now: dict[str, Counter[str]] = {}
        for crm, some in rows.items():
            names = {id: "|".join(folded(row[name] or "") for name in columns[crm]) for id, row in some.items()}
            people = set(by_people[crm])
            real[crm] = Counter(name for id, name in names.items() if id in people)
            now[crm] = Counter(names.values())
        for crm, counts in now.items():
            for name, n in counts.items():
                if n > max(1, real["salesforce"][name], real["dynamics"][name]):
                    found.append(f"{crm} {entity} {name}: {n} times")
    return found
