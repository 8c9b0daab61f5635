"""Rows that an environment has before anybody writes one: its unit, currencies and application user, then the
organization and its processes (dataverse-api §1.4, §8.1, §9.3).
"""

from collections.abc import Sequence

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.shape import Shape

APPLICATION = "crmbridge-application"  # the name of the application user's row

Rows = dict[str, Sequence[Row]]


def who_and_what_with(shape: Shape, unit: str, application_user: str, client_id: str) -> Rows:
    """The business unit, the application user in it, and the currencies."""
    facts = shape.organization
    name = f"{client_id}@{facts.unique_name}.example"
    return {
        "businessunit": [{"businessunitid": unit, "name": facts.name}],
        "systemuser": [
            {
                "systemuserid": application_user,
                "_ref": APPLICATION,
                "_roles": list(shape.default_roles["application"]),
                "firstname": "#",
                "lastname": "crmbridge",
                "domainname": name,
                "internalemailaddress": name,
                "applicationid": client_id,
                "accessmode": 4,
                "businessunitid": unit,
            }
        ],
        "transactioncurrency": list(shape.records.get("transactioncurrency", ())),
    }


def definitions(shape: Shape, organization: str, base_currency: str | None) -> Rows:
    """The organization, and its processes with their stages."""
    facts = shape.organization
    return {
        "organization": [
            {
                "organizationid": organization,
                "name": facts.name,
                "basecurrencyid": base_currency,
                "languagecode": facts.language,
                "pricingdecimalprecision": facts.pricingdecimalprecision,
                "expirechangetrackingindays": facts.expirechangetrackingindays,
                "fullnameconventioncode": facts.fullnameconvention,
            }
        ],
        "workflow": [
            {
                "workflowid": process.id,
                "name": process.name,
                "uniquename": process.table,
                "category": 4,
                "primaryentity": process.stages[0].table,
                "processorder": process.order,
                "statecode": 1,
                "statuscode": 2,
            }
            for process in shape.processes.values()
        ],
        "processstage": [
            {
                "processstageid": stage.id,
                "stagename": stage.name,
                "stagecategory": stage.category,
                "processid": process.id,
                "primaryentitytypecode": stage.table,
            }
            for process in shape.processes.values()
            for stage in process.stages
        ],
    }
