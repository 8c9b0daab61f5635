"""What can be used and is probably not meant is told before it costs a run."""

import pytest

import mapping
from mapping.doubts import doubts, nevers

LEAD = """\
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
match: [[last_name]]
fields:
  last_name: {salesforce: LastName, dynamics: lastname}
  company: {salesforce: Company, dynamics: companyname}
  country: {salesforce: Country, dynamics: address1_country, convert: country}
  source: {salesforce: LeadSource, dynamics: leadsourcecode, values: source}
  region: {salesforce: Region__c, dynamics: new_region, values: region}
  employees: {salesforce: NumberOfEmployees, dynamics: numberofemployees, convert: integer}
  revenue: {salesforce: AnnualRevenue, dynamics: revenue, convert: money}
  due: {salesforce: Due__c, dynamics: new_due, convert: date}
  seen: {salesforce: Seen__c, dynamics: new_seen, convert: datetime}
  owner: {salesforce: OwnerId, dynamics: ownerid, convert: user, values: owners}
values:
  source:
    web: {salesforce: Web Form, dynamics: 8}
    partner: {salesforce: Partner Referral, dynamics: 4}
  region:
    north: {salesforce: North, dynamics: 1}
    unmapped: pass
  owners:
    ann: {salesforce: ann@acme.example, dynamics: a.berg@acme.example}
    inbound: {salesforce: "queue:Inbound", dynamics: "team:Sales"}
status:
  new: {state: open, salesforce: Open - Not Contacted, dynamics: New}
  converted: {state: converted, salesforce: Closed - Converted, dynamics: Qualified}
  lost: {state: disqualified, salesforce: Closed - Not Converted, dynamics: Lost}
"""


def document() -> mapping.Document:
    documents, problems = mapping.load({"lead.yaml": LEAD})
    assert not problems
    return documents.items[0]


@pytest.mark.parametrize(
    ("expression", "field", "meant"),
    [
        ('source == "Web"', "source", "web"),
        ('source == "Partner referral"', "source", "partner"),  # a label is found by the row that has it
        ('"webb" != source', "source", "web"),
        ('company == "x" && source in ["web", "partners"]', "source", "partner"),
        ('state == "Open"', "state", "open"),
        ('status == "Open – Not Contacted"', "status", "new"),
        ('country == "Germany"', "country", "DE"),
        ('country in ["AT", "Schweiz"]', "country", "CH"),
        ('revenue_currency == "eur"', "revenue_currency", "EUR"),
        ('owner == "Ann@acme.example"', "owner", "ann@acme.example"),
        ('owner == "ann"', "owner", "ann@acme.example"),
        ('owner == "a.berg@acme.example"', "owner", "ann@acme.example"),  # a row is the word of its left side
        ('owner == "team:Sales"', "owner", "queue:inbound"),
        ('owner == "Ann Berg"', "owner", None),
        ('employees == "5"', "employees", None),
        ('due > "31.12.2026"', "due", None),
        ('due == "2026-12"', "due", None),
        ('seen == "2026-12-31"', "seen", None),
    ],
)
def test_a_comparison_that_no_record_decides_is_told(expression: str, field: str, meant: str | None) -> None:
    [never] = nevers(document(), expression)
    assert (never.field, never.instead) == (field, meant)


@pytest.mark.parametrize(
    "expression",
    [
        'source == "web" || source in ["partner"]',
        'state == "disqualified" && status != "lost"',
        'country == "DE" || country == "Nowhereland"',  # what is no country is kept as it was typed
        'region == "South"',  # handed over as it is
        'owner == "ann@acme.example" || owner == "queue:inbound" || owner == "bo@acme.example"',
        'due > "2026" && due == "2026-12-31" && seen < "2026-12-31" && seen == "2026-12-31T08:00:00Z"',
        'employees > 5 && revenue > 1000 && revenue_currency == "EUR"',
        'source.startsWith("Web") || "Web" + source == "x" || source == "We" + "b"',
        'company == "source" || company == "state == \'won\'"',
    ],
)
def test_what_a_record_can_be_is_not_doubted(expression: str) -> None:
    assert list(nevers(document(), expression)) == []


def test_a_doubt_stands_at_the_line_of_its_expression_and_stops_nothing() -> None:
    text = LEAD.replace("match:", "filter: 'country != \"Germany\"'\nmatch:")
    documents, _ = mapping.load({"lead.yaml": text})
    assert mapping.check(documents) == []
    [doubt] = doubts(documents.items[0])
    assert (doubt.severity, str(doubt)) == (
        "warning",
        "lead.yaml:4:9: filter: country is never 'Germany': a country is its two-letter code; "
        "did you mean 'DE'? [value-never]",
    )


def test_an_account_has_no_state_to_ask_for() -> None:
    text = "entity: account\nsalesforce: {object: Account}\ndynamics: {table: account}\nfields:\n"
    documents, problems = mapping.load({"account.yaml": f"{text}  name: {{salesforce: Name, dynamics: name}}\n"})
    assert not problems
    [never] = nevers(documents.items[0], 'state == "open" || name == "x"')
    assert never.message == "state is never 'open': only leads and opportunities have one, no account"
