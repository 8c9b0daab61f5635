"""Functions about the environment itself: who am I, which organization, which tables (dataverse-api §1.4, §2.8)."""

import json
import re
from collections.abc import Mapping

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics.context import Context, answer
from crmbridge.sandbox.dynamics.errors import bad_query, missing_segment


def organization_row(ctx: Context) -> Row:
    return next(iter(ctx.store.rows("organization").values()))


def service_document(ctx: Context) -> Reply:
    sets = sorted(ctx.shape.by_set)
    value = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
    return answer({"@odata.context": f"{ctx.base}/$metadata", "value": value})


def who_am_i(ctx: Context) -> Reply:
    user = ctx.store.rows("systemuser")[ctx.user]
    return answer(
        {
            "@odata.context": f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": user.get("businessunitid"),
            "UserId": ctx.user,
            "OrganizationId": organization_row(ctx)["organizationid"],
        }
    )


def retrieve_version(ctx: Context) -> Reply:
    context = f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveVersionResponse"
    return answer({"@odata.context": context, "Version": ctx.shape.organization.version})


def retrieve_current_organization(ctx: Context) -> Reply:
    facts, row = ctx.shape.organization, organization_row(ctx)
    origin = ctx.base.partition("/api/")[0]
    return answer(
        {
            "@odata.context": f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveCurrentOrganizationResponse",
            "Detail": {
                "OrganizationId": row["organizationid"],
                "FriendlyName": facts.name,
                "OrganizationVersion": facts.version,
                "EnvironmentId": row["organizationid"],
                "DatacenterId": "00000000-0000-0000-0000-000000000000",
                "Geo": "NA",
                "TenantId": ctx.tenant,
                "UrlName": facts.unique_name,
                "UniqueName": facts.unique_name,
                "State": "Enabled",
                "Endpoints": {
                    "Count": 2,
                    "IsReadOnly": False,
                    "Keys": ["WebApplication", "OrganizationDataService"],
                    "Values": [f"{origin}/", f"{origin}/XRMServices/2011/OrganizationData.svc/"],
                },
            },
        }
    )


def retrieve_total_record_count(ctx: Context, text: str, aliases: Mapping[str, str]) -> Reply:
    """`RetrieveTotalRecordCount(EntityNames=['lead'])`; ours is exact, the real one a snapshot up to a day old."""
    match = re.fullmatch(r"\s*EntityNames\s*=\s*(.+)", text)
    raw = aliases.get(match[1].strip(), match[1]) if match else ""
    try:
        names = json.loads(raw.replace("'", '"'))
    except ValueError:
        names = None
    if not isinstance(names, list):
        raise bad_query("RetrieveTotalRecordCount needs EntityNames, a list of table names.")
    for name in names:
        if name not in ctx.shape.tables:
            raise missing_segment(str(name))
    return answer(
        {
            "@odata.context": f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveTotalRecordCountResponse",
            "EntityRecordCountCollection": {
                "Count": len(names),
                "IsReadOnly": False,
                "Keys": names,
                "Values": [len(ctx.store.rows(name)) for name in names],
            },
        }
    )
