"""What SOAP calls answer for each record, in the order of the partner WSDL (salesforce-api §3.2, §6.3, §9.1)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from crmbridge.sandbox.salesforce import soap
from crmbridge.sandbox.salesforce.convert import Converted
from crmbridge.sandbox.salesforce.errors import SfError

DUPLICATE_ERRORS_SINCE: Final = 33  # §9.1; the version that brought them is (unverified)
_REPEATED: Final = ("matchResults", "matchRecords", "errors", "additionalInformation", "fieldDiffs")


def errors(problems: Sequence[Mapping[str, Any]], version: int) -> str:
    """Problems as a collection spells them: fields, message, statusCode."""
    return "".join(_error(problem, version) for problem in problems)


def _error(problem: Mapping[str, Any], version: int) -> str:
    content = "".join(soap.text("fields", name) for name in problem.get("fields") or ())
    content += soap.text("message", problem["message"]) + soap.text("statusCode", problem["statusCode"])
    detail = problem.get("duplicateResut") or problem.get("duplicateResult")
    if detail is None or version < DUPLICATE_ERRORS_SINCE:
        return f"<errors>{content}</errors>"
    return f'<errors xsi:type="DuplicateError">{content}<duplicateResult>{_ordered(detail)}</duplicateResult></errors>'


def _ordered(values: Mapping[str, Any]) -> str:
    """§9.1's JSON as elements, which the WSDL has in alphabetical order."""
    parts: list[str] = []
    for name, value in sorted(values.items()):
        if name in _REPEATED:
            parts += [f"<{name}>{_ordered(item)}</{name}>" for item in value]
        elif name == "record":
            fields = {f"sf:{key}": part for key, part in value.items() if key != "attributes"}
            kind = {"sf:type": value["attributes"]["type"]}
            parts.append(f'<record xsi:type="sf:sObject">{soap.many(kind | fields)}</record>')
        else:
            parts.append(soap.text(name, value))
    return "".join(parts)


def saved(result: Mapping[str, Any], version: int, *, upsert: bool = False) -> str:
    """A collection's result as a SaveResult, DeleteResult, UndeleteResult or UpsertResult."""
    created = soap.text("created", bool(result.get("created"))) if upsert else ""
    key, success = (soap.text(name, result.get(name)) for name in ("id", "success"))
    return f"<result>{created}{errors(result['errors'], version)}{key}{success}</result>"


def lead_converted(done: Converted) -> str:
    ids = {"accountId": done.account, "contactId": done.contact, "leadId": done.lead, "opportunityId": done.opportunity}
    return f"<result>{soap.many(ids)}{soap.text('success', True)}</result>"


def lead_refused(lead: str, failure: SfError, version: int) -> str:
    parts = soap.many({"accountId": None, "contactId": None}) + errors(told(failure), version)
    return f"<result>{parts}{soap.many({'leadId': lead or None, 'opportunityId': None, 'success': False})}</result>"


def merged(key: str | None, losers: Sequence[str], moved: Sequence[str], failure: SfError | None, version: int) -> str:
    parts = (errors(told(failure), version) if failure else "") + soap.text("id", key)
    parts += "".join(soap.text("mergedRecordIds", item) for item in losers) + soap.text("success", failure is None)
    return f"<result>{parts}{''.join(soap.text('updatedRelatedIds', item) for item in moved)}</result>"


def told(failure: SfError) -> list[dict[str, Any]]:
    return [problem.listed() for problem in failure.problems]
