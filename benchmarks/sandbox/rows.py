"""Made-up leads, in native columns, as many as wanted: the same ones each time."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from crmbridge.sandbox.core import Crm

SALESFORCE_COLUMNS = (
    "Id", "FirstName", "LastName", "Salutation", "Title", "Company", "Email", "Phone", "MobilePhone", "Website",
    "Street", "City", "State", "PostalCode", "Country", "Status", "LeadSource", "Industry", "Rating", "AnnualRevenue",
    "NumberOfEmployees", "Description", "OwnerId", "IsConverted", "CreatedDate", "SystemModstamp",
)  # fmt: skip
DYNAMICS_COLUMNS = (
    "leadid", "firstname", "lastname", "salutation", "jobtitle", "companyname", "emailaddress1", "telephone1",
    "mobilephone", "websiteurl", "address1_line1", "address1_city", "address1_stateorprovince", "address1_postalcode",
    "address1_country", "subject", "leadsourcecode", "industrycode", "leadqualitycode", "numberofemployees",
    "description", "_ownerid_value", "statecode", "statuscode", "createdon", "modifiedon",
)  # fmt: skip
TABLES: dict[Crm, str] = {"salesforce": "Lead", "dynamics": "lead"}

_FIRST = (
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Eva",
    "Farid",
    "Grace",
    "Hiro",
    "Ines",
    "Jan",
    "Kofi",
    "Łucja",
    "Mei",
    "Noor",
)
_LAST = (
    "Almeida",
    "Berg",
    "Castro",
    "Dąbrowski",
    "Eze",
    "Fischer",
    "Grant",
    "Haddad",
    "Ito",
    "Jensen",
    "Kim",
    "O'Neil",
)
_COMPANY = ("Harbour", "Meadow", "Granite", "Willow", "Copper", "Larch", "Signal", "Beacon", "Delta", "Orchard")
_CITY = (("Oslo", "", "0150", "Norway"), ("Austin", "TX", "73301", "USA"), ("Kraków", "", "30-001", "Poland"))
_START = datetime(2026, 1, 1, tzinfo=UTC)


def leads(crm: Crm, count: int, seed: int = 20) -> Iterator[dict[str, Any]]:
    """One every ten seconds since the new year."""
    rng = random.Random(seed)
    choose = rng.choice
    for number in range(count):
        first, last = choose(_FIRST), choose(_LAST)
        firm = f"{choose(_COMPANY)} {choose(_COMPANY)} {number % 997}"
        city, state, code, country = choose(_CITY)
        moment = (_START + timedelta(seconds=10 * number)).isoformat()[:19]
        email, phone = f"lead.{number}@{firm.replace(' ', '').lower()}.example", f"+1 555 {number:07}"
        people = rng.randrange(1, 5000)
        if crm == "salesforce":
            yield {
                "FirstName": first, "LastName": last, "Title": "Buyer", "Company": firm, "Email": email, "Phone": phone,
                "Street": f"{people} High Street", "City": city, "State": state or None, "PostalCode": code,
                "Country": country, "Status": "Open - Not Contacted", "LeadSource": "Web", "Rating": "Warm",
                "NumberOfEmployees": people, "AnnualRevenue": people * 1000,
                "CreatedDate": f"{moment}.000+0000", "SystemModstamp": f"{moment}.000+0000",
            }  # fmt: skip
        else:
            key = uuid.UUID(int=number << 90 | rng.getrandbits(90), version=4)  # ascending, as sequential GUIDs are
            yield {
                "leadid": str(key), "firstname": first, "lastname": last, "jobtitle": "Buyer", "companyname": firm,
                "emailaddress1": email, "telephone1": phone, "subject": f"Inquiry {number}",
                "address1_line1": f"{people} High Street", "address1_city": city,
                "address1_stateorprovince": state or None, "address1_postalcode": code, "address1_country": country,
                "leadsourcecode": 8, "leadqualitycode": 2, "numberofemployees": people,
                "createdon": f"{moment}Z", "modifiedon": f"{moment}Z", "_stage": None,
            }  # fmt: skip
