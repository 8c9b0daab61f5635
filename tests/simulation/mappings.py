"""The mapping of the simulation: few columns, every kind of them."""

from typing import Final

MAPPINGS: Final = {
    "account.yaml": """
entity: account
salesforce: {object: Account}
dynamics: {table: account}
match: [[name, postal_code]]
fields:
  name: {salesforce: Name, dynamics: name, required: true}
  street: {salesforce: BillingStreet, dynamics: address1_line1}
  postal_code: {salesforce: BillingPostalCode, dynamics: address1_postalcode}
  description: {salesforce: Description, dynamics: description}
  parent: {salesforce: ParentId, dynamics: parentaccountid, link: account}
""",
    "contact.yaml": """
entity: contact
salesforce: {object: Contact}
dynamics: {table: contact}
match: [[email, last_name]]
fields:
  first_name: {salesforce: FirstName, dynamics: firstname}
  last_name: {salesforce: LastName, dynamics: lastname, required: true}
  title: {salesforce: Title, dynamics: jobtitle}
  email: {salesforce: Email, dynamics: emailaddress1, convert: email}
  street: {salesforce: MailingStreet, dynamics: address1_line1}
  account: {salesforce: AccountId, dynamics: parentcustomerid_account, link: account}
""",
    "lead.yaml": """
entity: lead
salesforce: {object: Lead}
dynamics: {table: lead}
match: [[email, last_name]]
fields:
  topic: {dynamics: subject, create: "{company} - {last_name}"}
  first_name: {salesforce: FirstName, dynamics: firstname}
  last_name: {salesforce: LastName, dynamics: lastname, required: true}
  title: {salesforce: Title, dynamics: jobtitle}
  company: {salesforce: Company, dynamics: companyname, filler: {salesforce: "[not provided]"}}
  email: {salesforce: Email, dynamics: emailaddress1, convert: email}
  street: {salesforce: Street, dynamics: address1_line1}
  description: {salesforce: Description, dynamics: description}
status:
  new: {state: open, salesforce: Open - Not Contacted, dynamics: New}
  contacted: {state: open, salesforce: Working - Contacted, dynamics: Contacted}
  converted: {state: converted, salesforce: Closed - Converted, dynamics: Qualified}
  lost: {state: disqualified, salesforce: Closed - Not Converted, dynamics: Lost}
  cannot_contact: {state: disqualified, salesforce: Closed - Not Converted, dynamics: Cannot Contact, lossy: salesforce}
  no_longer_interested:
    {state: disqualified, salesforce: Closed - Not Converted, dynamics: No Longer Interested, lossy: salesforce}
  canceled: {state: disqualified, salesforce: Closed - Not Converted, dynamics: Canceled, lossy: salesforce}
""",
    "opportunity.yaml": """
entity: opportunity
salesforce: {object: Opportunity}
dynamics: {table: opportunity}
match: [[account, name, amount]]
fields:
  name: {salesforce: Name, dynamics: name, required: true}
  account: {salesforce: AccountId, dynamics: parentaccountid, link: account}
  contact: {salesforce: ContactId, dynamics: parentcontactid, link: contact}
  amount: {salesforce: Amount, dynamics: {column: estimatedvalue, won: actualvalue}, convert: money}
  close_date:
    salesforce: CloseDate
    dynamics: {column: estimatedclosedate, won: actualclosedate}
    convert: date
    filler: {salesforce: created + 90 days}
  description: {salesforce: Description, dynamics: description}
stage:
  qualify: {state: open, salesforce: [Prospecting, Qualification], dynamics: Qualify}
  develop: {state: open, salesforce: [Needs Analysis, Value Proposition, Id. Decision Makers], dynamics: Develop}
  propose: {state: open, salesforce: [Perception Analysis, Proposal/Price Quote], dynamics: Propose}
  close: {state: open, salesforce: Negotiation/Review, dynamics: Close}
  won: {state: won, salesforce: Closed Won, dynamics: Won}
  canceled: {state: lost, salesforce: Closed Lost, dynamics: Canceled}
  out_sold: {state: lost, salesforce: Closed Lost, dynamics: Out-Sold, lossy: salesforce}
""",
}

# Fields that people edit: text columns by side. Nobody writes the same text twice.
TEXTS: Final = {
    "account": {"street": ("BillingStreet", "address1_line1"), "description": ("Description", "description")},
    "contact": {"title": ("Title", "jobtitle"), "street": ("MailingStreet", "address1_line1")},
    "lead": {
        "title": ("Title", "jobtitle"),
        "street": ("Street", "address1_line1"),
        "description": ("Description", "description"),
    },
    "opportunity": {"description": ("Description", "description")},
}
# What no mapping names: nobody but people may change it (I17).
UNMAPPED: Final = {
    "account": ("Sic", "sic"),
    "contact": ("Department", "department"),
    "lead": ("Website", "websiteurl"),
    "opportunity": ("NextStep", "customerneed"),
}
# What a record is called: never changed, never given twice by people on one side.
TAG: Final = {
    "account": ("Name", "name"),
    "contact": ("LastName", "lastname"),
    "lead": ("LastName", "lastname"),
    "opportunity": ("Name", "name"),
}
