"""Request headers and URL parameters that are accepted without effect: closed lists, which the control port shows."""

from collections.abc import Mapping
from typing import Final

from crmbridge.sandbox.core import Crm
from crmbridge.sandbox.dynamics import headers as dynamics
from crmbridge.sandbox.salesforce import bulk_endpoint, parameters, soap_headers
from crmbridge.sandbox.salesforce import headers as salesforce

WITHOUT_EFFECT: Final[Mapping[Crm, Mapping[str, str]]] = {
    "salesforce": {
        **salesforce.NO_EFFECT,
        **{f"?{name}= in the URL": why for name, why in parameters.NO_EFFECT.items()},
        "?q= in the URL of a query's further pages": parameters.PAGE_NO_EFFECT,
        **parameters.BODY_NO_EFFECT,
        "other parameters of logins and their documents": parameters.OAUTH_NO_EFFECT,
        **{f"SOAP: {name}": why for name, why in soap_headers.WITHOUT_EFFECT.items()},
        **{f"Bulk API 1.0: {name}": why for name, why in bulk_endpoint.NO_EFFECT.items()},
    },
    "dynamics": {
        **dynamics.NO_EFFECT,
        "the body of a GET or DELETE": parameters.BODY_NO_EFFECT["the body of a GET or DELETE"],
        "annotations in a body, but @odata.type, @odata.bind and @odata.id": "dataverse-api §4.1: they are passed over",
        "other parameters of the identity service": parameters.OAUTH_NO_EFFECT,
    },
}
