"""Request headers that are accepted and have no effect, by CRM: closed lists, which the control port shows."""

from collections.abc import Mapping
from typing import Final

from crmbridge.sandbox.core import Crm
from crmbridge.sandbox.dynamics import headers as dynamics
from crmbridge.sandbox.salesforce import bulk_endpoint, soap_headers
from crmbridge.sandbox.salesforce import headers as salesforce

WITHOUT_EFFECT: Final[Mapping[Crm, Mapping[str, str]]] = {
    "salesforce": {
        **salesforce.NO_EFFECT,
        **{f"SOAP: {name}": why for name, why in soap_headers.WITHOUT_EFFECT.items()},
        **{f"Bulk API 1.0: {name}": why for name, why in bulk_endpoint.NO_EFFECT.items()},
    },
    "dynamics": dynamics.NO_EFFECT,
}
