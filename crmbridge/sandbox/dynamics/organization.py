"""Functions about the environment itself: who am I, which organization, which tables (dataverse-api §1.4, §2.8)."""

import json
import re

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


_ACCESS = re.compile(r"(?:Microsoft\.Dynamics\.CRM\.EndpointAccessType)?'?(?:Default|Internet|Intranet)'?")


def retrieve_current_organization(ctx: Context, access: str) -> Reply:
    if _ACCESS.fullmatch(access) is None:  # the other two values of the enumeration are (unverified)
        raise bad_query("RetrieveCurrentOrganization needs AccessType, a value of EndpointAccessType.")
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


def retrieve_total_record_count(ctx: Context, text: str) -> Reply:
    """`RetrieveTotalRecordCount(EntityNames=['lead'])`; ours is exact, the real one a snapshot up to a day old."""
    try:
        names = json.loads(text.replace("'", '"'))
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_query("RetrieveTotalRecordCount needs EntityNames, a list of table names.")
    for name in names:
        if name not in ctx.shape.tables:
            raise missing_segment(name)
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


def retrieve_available_languages(ctx: Context) -> Reply:
    """Labels have one language, that of the organization (dataverse-api §5; the function is (unverified))."""
    context = f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveAvailableLanguagesResponse"
    return answer({"@odata.context": context, "LocaleIds": [ctx.shape.organization.language]})
