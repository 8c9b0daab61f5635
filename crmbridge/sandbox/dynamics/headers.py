"""Request headers that mean something to the service: each has its effect, or stands in the list of those that have
none here (dataverse-api §4.4).

Headers outside these names (User-Agent, Host, tracing) are the transport's; a header that claims to steer the service
(`MSCRM…`) and is in neither list is refused, so that nobody believes it was heeded.
"""

from collections.abc import Mapping
from typing import Final

from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query
from crmbridge.sandbox.dynamics.security import Access

SUPPRESS_DUPLICATES = "mscrm.suppressduplicatedetection"
BYPASS_LOGIC = "mscrm.bypassbusinesslogicexecution"
BYPASS_PLUGINS = "mscrm.bypasscustompluginexecution"

EFFECTIVE = frozenset({
    "authorization", "prefer", "if-match", "if-none-match", "content-type", "mscrmcallerid", "callerobjectid",
    SUPPRESS_DUPLICATES, BYPASS_LOGIC, BYPASS_PLUGINS,
})  # fmt: skip

# Accepted, no effect: dataverse-api §2.1, §4.4. There are no flows, notifications, caches or solutions here.
NO_EFFECT: Final[Mapping[str, str]] = {
    "accept": "answers are JSON, $metadata is XML",
    "odata-version": "there is only 4.0",
    "odata-maxversion": "there is only 4.0",
    "consistency": "there are no caches that could be stale",
    "clienthost": "says that a browser asks",
    "autodisassociate": "sent by the Sales Hub client, documented nowhere",
    "mscrm.suppresscallbackregistrationexpanderjob": "there are no flows to keep from starting",
    "mscrm.returnnotifications": "there are no notifications",
    "mscrm.solutionuniquename": "there are no solutions",
    "mscrm.mergelabels": "labels have one language, that of the shape",
    "x-ms-*": "ids for tracing",
    "prefer: other preferences": "the standard lets a service ignore them; Preference-Applied names those heeded",
    "if-match, if-none-match on POST, actions and functions": "conditions are for one row",
    "?tag= and ?api-version= in the URL": "a tag is for plug-ins",
}
NO_EFFECT_OPTIONS: Final = frozenset({"tag", "api-version"})


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what claims to steer the service and does not (see above)."""
    for name in headers:
        if name.startswith("mscrm") and name not in EFFECTIVE and name not in NO_EFFECT:
            raise DataverseError(501, "0x8006088a", f"This sandbox does not serve the request header {name}.")


def detection_asked(headers: Mapping[str, str]) -> bool:
    """Only an explicit `false` runs duplicate rules: dataverse-api §4.4"""
    return _flag(headers, SUPPRESS_DUPLICATES, default=True) is False


def bypasses_logic(headers: Mapping[str, str], access: Access) -> bool:
    """Custom logic (the shape's `rules`) is left out for who may do so: dataverse-api §4.4."""
    wanted = headers.get(BYPASS_LOGIC)
    if wanted is not None:
        names = {name.strip().lower() for name in wanted.split(",") if name.strip()}
        if not names or not names <= {"customsync", "customasync"}:  # (unverified)
            raise bad_query(f"Invalid value '{wanted}' for the header MSCRM.BypassBusinessLogicExecution.")
        access.demand_named("prvBypassCustomBusinessLogic")
        if "customsync" in names:
            return True
    if _flag(headers, BYPASS_PLUGINS, default=False):
        access.demand_named("prvBypassCustomPlugins")
        return True
    return False


def _flag(headers: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = headers.get(name, "").strip().lower()
    if value in {"true", "false"}:
        return value == "true"
    if value:  # (unverified): dataverse-api §4.4 knows the two values only
        raise bad_query(f"Invalid value '{value}' for the header {name}: true or false is expected.")
    return default
