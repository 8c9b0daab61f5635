"""The functions and actions of $metadata, with the types of their answers (dataverse-api §1.4, §5, §6.6, §7, §8.3).

Not all that is served is told: what takes or gives types of the older service's queries has no place in here.
"""

from collections.abc import Iterator
from typing import Final

_ANY: Final = "mscrm.crmbaseentity"
_MANY: Final = f"Collection({_ANY})"

# By the type's name its properties, each with its type; an exclamation mark says that it is never null.
_TYPES: Final = {
    "WhoAmIResponse": {"BusinessUnitId": "Edm.Guid!", "UserId": "Edm.Guid!", "OrganizationId": "Edm.Guid!"},
    "RetrieveVersionResponse": {"Version": "Edm.String"},
    "RetrieveAvailableLanguagesResponse": {"LocaleIds": "Collection(Edm.Int32)!"},
    "EntityRecordCountCollection": {
        "Count": "Edm.Int32", "IsReadOnly": "Edm.Boolean", "Keys": "Collection(Edm.String)!",
        "Values": "Collection(Edm.Int64)!",
    },
    "RetrieveTotalRecordCountResponse": {"EntityRecordCountCollection": "mscrm.EntityRecordCountCollection"},
}  # fmt: skip
# By the name the parameters, and what comes back.
_FUNCTIONS: Final[dict[str, tuple[dict[str, str], str]]] = {
    "WhoAmI": ({}, "mscrm.WhoAmIResponse!"),
    "RetrieveVersion": ({}, "mscrm.RetrieveVersionResponse!"),
    "RetrieveAvailableLanguages": ({}, "mscrm.RetrieveAvailableLanguagesResponse!"),
    "RetrieveTotalRecordCount": (
        {"EntityNames": "Collection(Edm.String)!"}, "mscrm.RetrieveTotalRecordCountResponse!"
    ),
    "RetrieveProcessInstances": ({"EntityId": "Edm.Guid!", "EntityLogicalName": "Edm.String!"}, f"{_MANY}!"),
    "RetrieveActivePath": ({"ProcessInstanceId": "Edm.Guid!"}, "Collection(mscrm.processstage)!"),
}  # fmt: skip
_CLOSING: Final = {"OpportunityClose": "mscrm.opportunityclose!", "Status": "Edm.Int32!"}
_ACTIONS: Final[dict[str, dict[str, str]]] = {
    "WinOpportunity": _CLOSING,
    "LoseOpportunity": _CLOSING,
    "Merge": {
        "Target": f"{_ANY}!", "Subordinate": f"{_ANY}!", "UpdateContent": _ANY,
        "PerformParentingChecks": "Edm.Boolean!",
    },
    "CalculatePrice": {"Target": f"{_ANY}!", "ParentId": "Edm.Guid"},
}  # fmt: skip
_QUALIFY: Final = {
    "entity": "mscrm.lead!", "CreateAccount": "Edm.Boolean!", "CreateContact": "Edm.Boolean!",
    "CreateOpportunity": "Edm.Boolean!", "OpportunityCurrencyId": "mscrm.transactioncurrency",
    "OpportunityCustomerId": _ANY, "SourceCampaignId": "mscrm.campaign", "Status": "Edm.Int32!",
    "ProcessInstanceId": _ANY,
}  # fmt: skip


def operations() -> Iterator[str]:
    for name, properties in _TYPES.items():
        inner = "".join(f'<Property Name="{each}" {_typed(kind)} />' for each, kind in properties.items())
        yield f'<ComplexType Name="{name}">{inner}</ComplexType>'
    for name, (parameters, answer) in _FUNCTIONS.items():
        yield f'<Function Name="{name}">{_parameters(parameters)}<ReturnType {_typed(answer)} /></Function>'
    for name, parameters in _ACTIONS.items():
        yield f'<Action Name="{name}">{_parameters(parameters)}</Action>'
    answer = f"<ReturnType {_typed(f'{_MANY}!')} />"
    yield f'<Action Name="QualifyLead" IsBound="true">{_parameters(_QUALIFY)}{answer}</Action>'


def imports() -> Iterator[str]:
    """What can be called without a row."""
    for name in _FUNCTIONS:
        yield f'<FunctionImport Name="{name}" Function="Microsoft.Dynamics.CRM.{name}" />'
    for name in _ACTIONS:
        yield f'<ActionImport Name="{name}" Action="Microsoft.Dynamics.CRM.{name}" />'


def _parameters(given: dict[str, str]) -> str:
    return "".join(f'<Parameter Name="{name}" {_typed(kind)} />' for name, kind in given.items())


def _typed(kind: str) -> str:
    return f'Type="{kind.removesuffix("!")}"' + (' Nullable="false"' if kind.endswith("!") else "")
