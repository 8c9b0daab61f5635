"""Who somebody is, for login and getUserInfo, in the order of the WSDL of that version (salesforce-api §1.3)."""

from collections.abc import Mapping
from typing import Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import soap
from crmbridge.sandbox.salesforce.schema import Org

# The partner WSDL of v27 has not got these yet; an answer of v42 has. When each came is (unverified).
_NEWER: Final = ("chatterExternal", "orgAttachmentFileSizeLimit", "orgDefaultCurrencyLocale", "sessionSecondsValid")
_WITHOUT_NEWER: Final = 27


def user_info(org: Org, org_id: str, user: Row, version: int) -> str:
    """A strict client refuses an element it does not know."""
    info: dict[str, object] = {
        "accessibilityMode": False,
        "chatterExternal": False,
        "currencySymbol": "$" if org.currency == "USD" else org.currency,
        "orgAttachmentFileSizeLimit": 26214400,  # as a recorded org has it
        "orgDefaultCurrencyIsoCode": org.currency,
        "orgDefaultCurrencyLocale": "en_US",
        "orgDisallowHtmlAttachments": False,
        "orgHasPersonAccounts": org.person_accounts,
        "organizationId": org_id,
        "organizationMultiCurrency": org.multi_currency,
        "organizationName": org.name,
        "profileId": user.get("ProfileId"),
        "roleId": user.get("UserRoleId"),
        "sessionSecondsValid": org.session_seconds,
        "userDefaultCurrencyIsoCode": user.get("DefaultCurrencyIsoCode") if org.multi_currency else None,
        "userEmail": user["Email"],
        "userFullName": user["Name"],
        "userId": user["Id"],
        "userLanguage": user.get("LanguageLocaleKey") or "en_US",
        "userLocale": user.get("LocaleSidKey") or "en_US",
        "userName": user["Username"],
        "userTimeZone": user.get("TimeZoneSidKey") or org.time_zone,
        "userType": user["UserType"],
        "userUiSkin": "Theme3",
    }
    return soap.many({name: value for name, value in info.items() if version > _WITHOUT_NEWER or name not in _NEWER})


def login_result(
    org: Org, org_id: str, user: Row, token: str, urls: Mapping[str, str], version: int, *, password_expired: bool
) -> str:
    """`urls` are those of the metadata API, and of the API that was logged in at."""
    return (
        "<result>"
        + soap.text("metadataServerUrl", urls["metadata"])
        + soap.text("passwordExpired", password_expired)
        + soap.text("sandbox", org.is_sandbox)
        + soap.text("serverUrl", urls["server"])
        + soap.text("sessionId", token)
        + soap.text("userId", user["Id"])
        + f"<userInfo>{user_info(org, org_id, user, version)}</userInfo></result>"
    )
