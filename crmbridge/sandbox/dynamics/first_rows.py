"""Rows that an environment has before anybody writes one: its unit, currencies and application user, then the
organization and its processes (dataverse-api §1.4, §8.1, §9.3).
"""

import json
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.shape import Process, Shape

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
                "clientdata": _definition(process),
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


def _definition(process: Process) -> str:
    """`clientdata`: the steps of the process in order, one EntityStep for each run of stages of a table. The form is
    that of public tools which write definitions (unverified: Microsoft documents none).
    """
    following = [*(stage.id for stage in process.stages[1:]), None]
    stages = [
        (
            stage.table,
            {
                "__class": "StageStep:#Microsoft.Crm.Workflow.ObjectModel",
                "description": stage.name,
                "stageId": stage.id,
                "nextStageId": after,
                "stageCategory": str(stage.category),
                "steps": {"list": []},
            },
        )
        for stage, after in zip(process.stages, following, strict=True)
    ]
    tables = [
        {
            "__class": "EntityStep:#Microsoft.Crm.Workflow.ObjectModel",
            "description": table,
            "steps": {"list": [step for _, step in some]},
        }
        for table, some in groupby(stages, key=itemgetter(0))
    ]
    return json.dumps(
        {
            "__class": "WorkflowStep:#Microsoft.Crm.Workflow.ObjectModel",
            "description": process.name,
            "category": 4,
            "steps": {"list": tables},
        }
    )
