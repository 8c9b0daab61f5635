# ruff: noqa: E501 - tables read best unbroken
"""Both CRMs out of the box as descriptions, typed from their field references: what shipped mappings must fit."""

from connectors.base import Column, Description, Option
from crmbridge.model import Entity, Side

SALESFORCE_PICKS = {
    "LeadSource": "Web|Phone Inquiry|Partner Referral|Purchased List|Other",
    "Rating": "Hot|Warm|Cold",
    "Salutation": "Mr.|Ms.|Mrs.|Dr.|Prof.|Mx.",
    "Type": "Prospect|Customer - Direct|Customer - Channel|Channel Partner / Reseller|Installation Partner|"
    "Technology Partner|Other",
    "Ownership": "Public|Private|Subsidiary|Other",
    "Industry": "Agriculture|Apparel|Banking|Biotechnology|Chemicals|Communications|Construction|Consulting|Education|"
    "Electronics|Energy|Engineering|Entertainment|Environmental|Finance|Food & Beverage|Government|Healthcare|"
    "Hospitality|Insurance|Machinery|Manufacturing|Media|Not For Profit|Recreation|Retail|Shipping|Technology|"
    "Telecommunications|Transportation|Utilities|Other",
}
DYNAMICS_PICKS = {
    "leadsourcecode": "Advertisement|Employee Referral|External Referral|Partner|Public Relations|Seminar|Trade Show|Web|"
    "Word of Mouth|Other",
    "leadqualitycode": "Hot|Warm|Cold",
    "customertypecode": "Competitor|Consultant|Customer|Investor|Partner|Influencer|Press|Prospect|Reseller|Supplier|"
    "Vendor|Other",
    "ownershipcode": "Public|Private|Subsidiary|Other",
    "industrycode": "Accounting|Agriculture and Non-petrol Natural Resource Extraction|"
    "Broadcasting Printing and Publishing|Brokers|Building Supply Retail|Business Services|Consulting|Consumer Services|"
    "Design, Direction and Creative Management|Distributors, Dispatchers and Processors|Doctor's Offices and Clinics|"
    "Durable Manufacturing|Eating and Drinking Places|Entertainment Retail|Equipment Rental and Leasing|Financial|"
    "Food and Tobacco Processing|Inbound Capital Intensive Processing|Inbound Repair and Services|Insurance|"
    "Legal Services|Non-Durable Merchandise Retail|Outbound Consumer Service|Petrochemical Extraction and Distribution|"
    "Service Retail|SIG Affiliations|Social Services|Special Outbound Trade Contractors|Specialty Realty|Transportation|"
    "Utility Creation and Distribution|Vehicle Retail|Wholesale",
}
# name, then: a length; `!` required; $SCALE money; `int`; `date`; >target lookup; `pick`
SALESFORCE = {
    "account": "Name 255 !, AccountNumber 40, Phone 40, Fax 40, Website 255, BillingStreet 255, BillingCity 40, "
    "BillingState 80, BillingPostalCode 20, BillingCountry 80, Industry pick, Type pick, Ownership pick, "
    "AnnualRevenue $0, NumberOfEmployees int, Sic 20, TickerSymbol 20, Description 32000, ParentId >Account, OwnerId >User",
    "contact": "LastName 80 !, FirstName 40, Salutation pick, Title 128, Department 80, AccountId >Account, Email 80, "
    "Phone 40, MobilePhone 40, HomePhone 40, OtherPhone 40, Fax 40, MailingStreet 255, MailingCity 40, MailingState 80, "
    "MailingPostalCode 20, MailingCountry 80, Birthdate date, Description 32000, OwnerId >User, DoNotCall bool, "
    "LastModifiedDate datetime",
    "lead": "LastName 80 !, Company 255 !, FirstName 40, Salutation pick, Title 128, Email 80, Phone 40, MobilePhone 40, "
    "Fax 40, Website 255, Street 255, City 40, State 80, PostalCode 20, Country 80, LeadSource pick, Industry pick, "
    "Rating pick, AnnualRevenue $0, NumberOfEmployees int, Description 32000, OwnerId >User, Status pick !",
    "opportunity": "Name 120 !, StageName pick !, CloseDate date !, AccountId >Account, ContactId >Contact, Amount $2, "
    "Description 32000, OwnerId >User",
}
DYNAMICS = {
    "account": "name 160, accountnumber 20, telephone1 50, fax 50, websiteurl 200, address1_line1 250, address1_city 80, "
    "address1_stateorprovince 50, address1_postalcode 20, address1_country 80, industrycode pick, customertypecode pick, "
    "ownershipcode pick, revenue $2, numberofemployees int, sic 20, tickersymbol 10, description 2000, "
    "parentaccountid >account, ownerid >systemuser !, transactioncurrencyid >transactioncurrency",
    "contact": "lastname 50, firstname 50, salutation 100, jobtitle 100, department 100, emailaddress1 100, telephone1 50, "
    "telephone2 50, telephone3 50, mobilephone 50, fax 50, address1_line1 250, address1_city 80, "
    "address1_stateorprovince 50, address1_postalcode 20, address1_country 80, birthdate date, description 2000, "
    "parentcustomerid_account >account, parentcustomerid_contact >contact, ownerid >systemuser !, donotphone bool, "
    "lastusedincampaign datetime",
    "lead": "subject 300, lastname 50, firstname 50, salutation 100, jobtitle 100, companyname 100, emailaddress1 100, "
    "telephone1 50, mobilephone 20, fax 50, websiteurl 200, address1_line1 250, address1_city 80, "
    "address1_stateorprovince 50, address1_postalcode 20, address1_country 80, leadsourcecode pick, industrycode pick, "
    "leadqualitycode pick, revenue $2, numberofemployees int, description 2000, ownerid >systemuser !, "
    "transactioncurrencyid >transactioncurrency",
    "opportunity": "name 300, parentaccountid >account, parentcontactid >contact, estimatedvalue $2, actualvalue $2, "
    "estimatedclosedate date, actualclosedate date, description 2000, ownerid >systemuser !, "
    "transactioncurrencyid >transactioncurrency",
}
LEAD_PROCESS = "leadtoopportunitysalesprocess"
OPPORTUNITY_PROCESS = "opportunitysalesprocess"
STAGES = {
    LEAD_PROCESS: {
        "Qualify": "f99b4d48-7aad-456e-864a-8e7d543f7495",
        "Develop": "bfc9108c-8389-406b-9166-2c3298a2e41f",
        "Propose": "3a275c22-fc45-4e89-97fc-41e5ec578743",
        "Close": "7f5247fe-cfc3-42bc-aa77-b1d836d9b7c0",
    },
    OPPORTUNITY_PROCESS: {
        "Qualify": "6b9ce798-221a-4260-90b2-2a95ed51a5bc",
        "Develop": "650e06b4-789b-46c1-822b-0da76bedb1ed",
        "Propose": "d3ca8878-8d7b-47b9-852d-fcd838790cfd",
        "Close": "bb7e830a-61bd-441b-b1fd-6bb104ffa027",
    },
}


def _option(value: str | int, label: str, state: str | None = None, process: str | None = None) -> Option:
    return Option(value=value, label=label, state=state, process=process)


STATUSES: dict[tuple[Side, Entity], tuple[Option, ...]] = {
    ("left", "lead"): (
        _option("Open - Not Contacted", "Open - Not Contacted"),
        _option("Working - Contacted", "Working - Contacted"),
        _option("Closed - Converted", "Closed - Converted", "converted"),
        _option("Closed - Not Converted", "Closed - Not Converted"),
    ),
    ("right", "lead"): (
        _option(1, "New", "open"),
        _option(2, "Contacted", "open"),
        _option(3, "Qualified", "converted"),
        _option(4, "Lost", "disqualified"),
        _option(5, "Cannot Contact", "disqualified"),
        _option(6, "No Longer Interested", "disqualified"),
        _option(7, "Canceled", "disqualified"),
    ),
    ("left", "opportunity"): (
        *(
            _option(label, label, "open")
            for label in "Prospecting|Qualification|Needs Analysis|Value Proposition|Id. Decision Makers|"
            "Perception Analysis|Proposal/Price Quote|Negotiation/Review".split("|")
        ),
        _option("Closed Won", "Closed Won", "won"),
        _option("Closed Lost", "Closed Lost", "lost"),
    ),
    ("right", "opportunity"): (
        *(_option(i, label, "open", process) for process, stages in STAGES.items() for label, i in stages.items()),
        *(_option(n, label, "open") for n, label in enumerate(("Qualify", "Develop", "Propose", "Close"))),
        _option(3, "Won", "won"),
        _option(4, "Canceled", "lost"),
        _option(5, "Out-Sold", "lost"),
    ),
}


def _columns(spec: str, picks: dict[str, str], *, numbered: bool) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for part in spec.split(","):
        name, kind, *flags = part.split()
        required = "!" in flags
        if kind == "pick":
            labels = picks.get(name, "").split("|") if name in picks else []
            options = tuple(_option(n if numbered else label, label) for n, label in enumerate(labels, 1))
            columns[name] = Column(name=name, type="choice", required=required, options=options, restricted=numbered)
        elif kind.startswith("$"):
            columns[name] = Column(name=name, type="money", scale=int(kind[1:]), required=required)
        elif kind.startswith(">"):
            columns[name] = Column(name=name, type="lookup", targets=(kind[1:],), required=required)
        elif kind.isdigit():
            columns[name] = Column(name=name, type="text", length=int(kind), required=required)
        else:
            word = {"int": "integer", "bool": "boolean"}.get(kind, kind)
            columns[name] = Column(name=name, type=word, required=required)
    return columns


def out_of_the_box() -> dict[tuple[Side, Entity], Description]:
    boxes: dict[tuple[Side, Entity], Description] = {}
    for entity in ("account", "contact", "lead", "opportunity"):
        boxes["left", entity] = Description(
            entity=entity,
            table=entity.title(),
            columns=_columns(SALESFORCE[entity], SALESFORCE_PICKS, numbered=False),
            statuses=STATUSES.get(("left", entity), ()),
        )
        boxes["right", entity] = Description(
            entity=entity,
            table=entity,
            columns=_columns(DYNAMICS[entity], DYNAMICS_PICKS, numbered=True),
            statuses=STATUSES.get(("right", entity), ()),
        )
    return boxes
