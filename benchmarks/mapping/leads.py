"""Made-up leads as people leave them in a CRM, as pages of Salesforce, and the mapping that they go through.

Dirty on purpose: blanks at the ends, empty texts, Windows' line ends, choices in odd case and spacing, choices that the
mapping does not know, instants with parts of seconds or in another zone, letters of many alphabets.
"""

import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec

import mapping
from connectors.base import Column, Description, Option
from crmbridge.model import SIDES, Directory, Entity, Side
from mapping.translate import CompiledEntity

PAGE_ROWS: Final = 2_000  # what Salesforce sends at once
SIDES_OF_FIELDS: Final[dict[str, tuple[str, str, str]]] = {  # field: (Salesforce, Dynamics, rest of its line)
    "first_name": ("FirstName", "firstname", ""),
    "last_name": ("LastName", "lastname", "required: true"),
    "title": ("Title", "jobtitle", ""),
    "company": ("Company", "companyname", ""),
    "email": ("Email", "emailaddress1", ""),
    "city": ("City", "address1_city", ""),
    "postal_code": ("PostalCode", "address1_postalcode", ""),
    "description": ("Description", "description", ""),
    "source": ("LeadSource", "leadsourcecode", "values: source"),
    "industry": ("Industry", "industrycode", "values: industry"),
    "rating": ("Rating", "leadqualitycode", "values: rating"),
    "region": ("Region__c", "new_region", "values: region"),
    "revenue": ("AnnualRevenue", "revenue", "convert: money"),
    "budget": ("Budget__c", "budgetamount", "convert: money"),
    "offer": ("Offer__c", "new_offer", "convert: money"),
    "born_on": ("Birthdate__c", "new_birthdate", "convert: date"),
    "decision_on": ("Decision_Date__c", "new_decisiondate", "convert: date"),
    "follow_up_on": ("Follow_Up_Date__c", "new_followupdate", "convert: date"),
    "contacted_at": ("Last_Contacted__c", "new_lastcontacted", "convert: datetime"),
    "demo_at": ("Demo_At__c", "new_demoat", "convert: datetime"),
    "consent_at": ("Consent_At__c", "new_consentat", "convert: datetime"),
    "no_calls": ("DoNotCall", "donotphone", "convert: boolean"),
    "no_email": ("HasOptedOutOfEmail", "donotemail", "convert: boolean"),
    "newsletter": ("Newsletter__c", "new_newsletter", "convert: boolean"),
    "key_account": ("Key_Account__c", "new_keyaccount", "convert: boolean"),
}
MORE: Final[dict[str, tuple[str, str, str]]] = {
    "phone": ("Phone", "telephone1", "convert: phone"),
    "mobile": ("MobilePhone", "mobilephone", "convert: phone"),
    "country": ("Country", "address1_country", "convert: country"),
}
CHOICES: Final[dict[str, dict[str, tuple[str, int]]]] = {  # table: row: (Salesforce, Dynamics)
    "source": {
        "web": ("Web", 8),
        "partner": ("Partner Referral", 4),
        "phone": ("Phone Inquiry", 11),
        "purchased": ("Purchased List", 12),
        "other": ("Other", 10),
    },
    "industry": {
        name.lower().replace(" & ", "_").replace(" ", "_"): (name, number)
        for number, name in enumerate(
            "Agriculture|Apparel|Banking|Biotechnology|Chemicals|Communications|Construction|Consulting|Education|"
            "Electronics|Energy|Engineering|Finance|Food & Beverage|Government|Healthcare|Insurance|Machinery|"
            "Manufacturing|Media|Retail|Shipping|Technology|Utilities".split("|"),
            start=1,
        )
    },
    "rating": {"hot": ("Hot", 1), "warm": ("Warm", 2), "cold": ("Cold", 3)},
    "region": {
        "north": ("EMEA - North", 100),
        "south": ("EMEA - South", 101),
        "americas": ("Americas", 102),
        "asia": ("Asia – Pacific", 103),
    },
}
STATUSES: Final = {
    "new": ("open", "Open - Not Contacted", "New"),
    "contacted": ("open", "Working - Contacted", "Contacted"),
    "lost": ("disqualified", "Closed - Not Converted", "Lost"),
    "converted": ("converted", "Closed - Converted", "Qualified"),
}
FIRST: Final = "Bertha Åsa José Zoë Łukasz Mikhail 花子 Олена Ngozi Seán Wei Ahmed Ingrid Pál Aoife Jürgen".split()
LAST: Final = "Boxer Lindström García 山田 Шевченко O'Brien Müller Nowak Okafor Sørensen Dvořák Smith Kim Rossi".split()
WORDS: Final = (
    "Farmers Coop Vendor Relations Nordic Building Steel Green Energy Data Systems Logistics Capital Partners Holding "
    "Street Avenue Straße Väg wants to hear about the new plan before summer call back next week asked for a price"
).split()
CITIES: Final = "Tallahassee Göteborg München 東京 Kraków Köln London Paris São_Paulo Zürich Chicago Łódź".split()
COUNTRIES: Final = "USA U.S.A. Germany Deutschland Sverige SE Japan United_Kingdom UK Brasil Schweiz Polen".split()


def document(more: bool) -> str:
    """The mapping as an admin would write it."""
    fields = {**SIDES_OF_FIELDS, **MORE} if more else SIDES_OF_FIELDS
    lines = ["entity: lead", "salesforce: {object: Lead}", "dynamics: {table: lead}", "match: [[email]]", "fields:"]
    for name, (salesforce, dynamics, rest) in fields.items():
        lines.append(f"  {name}: {{salesforce: {salesforce}, dynamics: {dynamics}{', ' if rest else ''}{rest}}}")
    lines.append("status:")
    for row, (state, left, right) in STATUSES.items():
        lines.append(f"  {row}: {{state: {state}, salesforce: {left}, dynamics: {right}}}")
    lines.append("values:")
    for table, rows in CHOICES.items():
        lines.append(f"  {table}:")
        lines += [f"    {row}: {{salesforce: {left}, dynamics: {right}}}" for row, (left, right) in rows.items()]
    return "\n".join(lines) + "\n"


def compiled(more: bool) -> CompiledEntity:
    loaded, findings = mapping.load({"lead.yaml": document(more)})
    assert not findings, findings
    return mapping.compile(loaded, descriptions=_descriptions()).entities["lead"]


DIRECTORIES: Final[dict[Side, Directory]] = {
    "left": Directory(currency="EUR"),
    "right": Directory(currency="EUR", currencies={"c-usd": "USD", "c-eur": "EUR"}),
}


def _descriptions() -> dict[tuple[Side, Entity], Description]:
    kinds = {"money": "money", "date": "date", "datetime": "datetime", "boolean": "boolean"}
    columns: dict[Side, dict[str, Column]] = {"left": {}, "right": {}}
    for left, right, rest in (*SIDES_OF_FIELDS.values(), *MORE.values()):
        kind = kinds.get(rest.removeprefix("convert: "), "text")
        for side, name in zip(SIDES, (left, right), strict=True):
            text = kind == "text" and "values:" not in rest
            columns[side][name] = Column(
                name=name,
                type="integer" if "values:" in rest and side == "right" else kind,
                length=(2_000 if name.lower() == "description" else 255) if text else None,
                scale=2 if kind == "money" else None,
            )
    for table, rows in CHOICES.items():
        left, right, _ = SIDES_OF_FIELDS[table]
        for n, (side, name) in enumerate(zip(SIDES, (left, right), strict=True)):
            options = tuple(Option(value=row[n], label=row[0]) for row in rows.values())
            columns[side][name] = Column(name=name, type="choice", options=options)
    return {
        ("left", "lead"): Description(entity="lead", table="Lead", columns=columns["left"]),
        ("right", "lead"): Description(entity="lead", table="lead", columns=columns["right"]),
    }


def pages(rows: int, *, more: bool, seed: int) -> list[bytes]:
    """Pages as Salesforce sends them: in the order that was asked for, each record with its `attributes`."""
    made = list(_records(rows, more, random.Random(seed)))
    return [
        msgspec.json.encode({"totalSize": rows, "done": start + PAGE_ROWS >= rows, "records": made[start:][:PAGE_ROWS]})
        for start in range(0, rows, PAGE_ROWS)
    ]


def _records(rows: int, more: bool, rng: random.Random) -> Iterator[dict[str, Any]]:
    for n in range(rows):
        id = f"00Q{n:012d}AAA"
        first, last, company = rng.choice(FIRST), rng.choice(LAST), _words(rng, 1, 3)
        yield {
            "attributes": {"type": "Lead", "url": f"/services/data/v66.0/sobjects/Lead/{id}"},
            "Id": id,
            "CreatedDate": _instant(rng, dirty=False),
            "Status": rng.choice(list(STATUSES.values())[:3])[1],
            "FirstName": _text(rng, first, 0.05),
            "LastName": _text(rng, last, 0.0),
            "Title": _text(rng, _words(rng, 1, 3), 0.3),
            "Company": _text(rng, company, 0.02),
            "Email": _text(rng, f"{first}.{last}{n}@{company.split()[0]}.example", 0.1),
            "City": _text(rng, rng.choice(CITIES).replace("_", " "), 0.2),
            "PostalCode": _text(rng, str(rng.randint(10_000, 99_999)), 0.3),
            "Description": _text(rng, _words(rng, 3, 25), 0.5),
            **{SIDES_OF_FIELDS[table][0]: _choice(rng, table) for table in CHOICES},
            "AnnualRevenue": None if rng.random() < 0.4 else float(rng.randint(1, 9_000) * 10 ** rng.randint(2, 6)),
            "Budget__c": None if rng.random() < 0.3 else round(rng.uniform(100, 500_000), 2),
            "Offer__c": None if rng.random() < 0.5 else round(rng.uniform(100, 500_000), 2),
            "Birthdate__c": None if rng.random() < 0.4 else _day(rng),
            "Decision_Date__c": None if rng.random() < 0.3 else _day(rng),
            "Follow_Up_Date__c": None if rng.random() < 0.3 else _day(rng),
            "Last_Contacted__c": None if rng.random() < 0.2 else _instant(rng),
            "Demo_At__c": None if rng.random() < 0.5 else _instant(rng),
            "Consent_At__c": None if rng.random() < 0.3 else _instant(rng),
            "DoNotCall": rng.random() < 0.1,
            "HasOptedOutOfEmail": rng.random() < 0.2,
            "Newsletter__c": rng.random() < 0.3,
            "Key_Account__c": None if rng.random() < 0.01 else rng.random() < 0.05,
            **(_more(rng) if more else {}),
        }


def _more(rng: random.Random) -> dict[str, Any]:
    return {
        "Phone": _text(rng, f"({rng.randint(200, 899)}) {rng.randint(200, 899)}-{rng.randint(1_000, 9_999)}", 0.2),
        "MobilePhone": _text(rng, f"+46 70 {rng.randint(100, 999)} {rng.randint(10, 99)} {rng.randint(10, 99)}", 0.4),
        "Country": _text(rng, rng.choice(COUNTRIES).replace("_", " "), 0.1),
    }


def _words(rng: random.Random, least: int, most: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))


def _text(rng: random.Random, clean: str, blank: float) -> str | None:
    kind = rng.random()
    if kind < blank:
        return None if kind < blank * 0.9 else rng.choice(["", " ", "\u00a0\t"])
    match rng.randrange(50):
        case 0:
            return f"  {clean}"
        case 1:
            return f"{clean} \n"
        case 2:
            return clean.replace(" ", "\r\n")
        case 3:
            return clean.upper()
        case _:
            return clean


def _choice(rng: random.Random, table: str) -> str | None:
    clean = rng.choice(list(CHOICES[table].values()))[0]
    match rng.randrange(100):
        case n if n < 20:
            return None
        case 20 | 21:
            return clean.upper()
        case 22:
            return clean.replace("-", " – ").replace(" ", "  ")
        case 23:
            return rng.choice(["Webinar", "n/a", "???", "Sonstige"])  # no row of the table: a problem
        case 24:
            return " "
        case _:
            return clean


def _day(rng: random.Random) -> str:
    return f"{rng.randint(2019, 2027)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def _instant(rng: random.Random, *, dirty: bool = True) -> str:
    odd = rng.randrange(50) if dirty else 9
    part = "123" if odd == 0 else "000"
    zone = "+0200" if odd == 1 else "+0000"
    return f"{_day(rng)}T{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}.{part}{zone}"
