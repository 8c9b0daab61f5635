"""What the system on each side can do in a life cycle."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Powers:
    """What the system on one side can do in a life cycle; from the connector's system, not from configuration."""

    reactivates_leads: bool  # Dynamics: a qualified lead can be opened again; Salesforce: never
    converts_bare: bool  # Dynamics: a lead can be "qualified" without making anything
    needs_account: bool  # Salesforce: a conversion needs an account
    takes_opportunity: bool  # Salesforce: convertLead takes an existing opportunity
    closes_through_open: bool  # Dynamics: won <-> lost only through open
    deactivates: bool  # Dynamics: an account or a contact can be inactive; Salesforce has no such state
    rows_tell_origin: bool  # Dynamics: a row names the lead it was made from; Salesforce: only the lead names its rows
    # Salesforce, in an org that has them: a lead without a company becomes a person account (salesforce-api §6.5).
    makes_persons: bool = False


SALESFORCE = Powers(
    reactivates_leads=False,
    converts_bare=False,
    needs_account=True,
    takes_opportunity=True,
    closes_through_open=False,
    deactivates=False,
    rows_tell_origin=False,
)


DYNAMICS = Powers(
    reactivates_leads=True,
    converts_bare=True,
    needs_account=False,
    takes_opportunity=False,
    closes_through_open=True,
    deactivates=True,
    rows_tell_origin=True,
)
