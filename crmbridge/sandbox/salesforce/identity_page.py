"""Who a caller is, as the identity page and as OpenID's userinfo tell it (salesforce-api §1.2).

The identity page has the keys that a recorded org answers with; userinfo has the claims that Salesforce's own schema of
it requires ("Query for User Information"), and none of the page's names for the same things.
"""

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crmbridge.sandbox.core import Row


def identity(row: Row, origin: str, org_id: str, zone: str) -> dict[str, Any]:
    """`/id/{org}/{user}`."""
    return {
        "id": f"{origin}/id/{org_id}/{row['Id']}",
        "asserted_user": True,
        "user_id": row["Id"],
        "organization_id": org_id,
        "username": row["Username"],
        "nick_name": row.get("CommunityNickname"),
        "display_name": row["Name"],
        "email": row["Email"],
        "email_verified": True,
        "first_name": row.get("FirstName"),
        "last_name": row.get("LastName"),
        "timezone": row.get("TimeZoneSidKey") or zone,
        "photos": {"picture": f"{origin}/profilephoto/005/F", "thumbnail": f"{origin}/profilephoto/005/T"},
        "addr_street": row.get("Street"),
        "addr_city": row.get("City"),
        "addr_state": row.get("State"),
        "addr_country": row.get("Country"),
        "addr_zip": row.get("PostalCode"),
        "mobile_phone": row.get("MobilePhone"),
        "mobile_phone_verified": False,
        "status": {"created_date": None, "body": None},
        "urls": _urls(origin, org_id, row["Id"]),
        "active": row["IsActive"],
        "user_type": row["UserType"].upper(),
        "language": row.get("LanguageLocaleKey") or "en_US",
        "locale": row.get("LocaleSidKey") or "en_US",
        "utcOffset": utc_offset(row.get("TimeZoneSidKey") or zone),
        "last_modified_date": row["LastModifiedDate"],
        "is_app_installed": True,
    }


def userinfo(row: Row, origin: str, org_id: str, zone: str) -> dict[str, Any]:
    """`/services/oauth2/userinfo`; that an unknown part of the address is left out is (unverified)."""
    page = identity(row, origin, org_id, zone)
    same = "user_id organization_id email email_verified photos active user_type language locale utcOffset"
    parts = {
        "street_address": page["addr_street"],
        "locality": page["addr_city"],
        "region": page["addr_state"],
        "postal_code": page["addr_zip"],
        "country": page["addr_country"],
    }
    data = f"{origin}/services/data/v{{version}}"
    return {
        **{name: page[name] for name in same.split()},
        "sub": page["id"],
        "preferred_username": page["username"],
        "nickname": page["nick_name"],
        "name": page["display_name"],
        "given_name": page["first_name"],
        "family_name": page["last_name"],
        "zoneinfo": page["timezone"],
        "profile": page["urls"]["profile"],
        "picture": page["photos"]["picture"],
        "address": {name: part for name, part in parts.items() if part},
        "is_salesforce_integration_user": False,  # the user of that kind is Salesforce's own, not a caller of ours
        "urls": {
            **page["urls"],
            "tooling_soap": f"{origin}/services/Soap/T/{{version}}/{org_id[:15]}",
            "tooling_rest": f"{data}/tooling/",
            "feed_elements": f"{data}/chatter/feed-elements",
        },
        "updated_at": f"{row['LastModifiedDate'][:19]}Z",
        "is_app_installed": True,
    }


def utc_offset(zone: str) -> int:
    """Milliseconds that standard time is ahead of UTC; summer time is not counted, as a recorded org shows."""
    try:
        known: tzinfo = UTC if zone in ("GMT", "UTC") else ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return 0
    offset = datetime(2026, 1, 15, tzinfo=known).utcoffset()
    summer = datetime(2026, 1, 15, tzinfo=known).dst()
    return int(((offset.total_seconds() if offset else 0) - (summer.total_seconds() if summer else 0)) * 1000)


def _urls(origin: str, org_id: str, user: str) -> dict[str, str]:
    """With a placeholder where the caller puts the version."""
    data, short = f"{origin}/services/data/v{{version}}", org_id[:15]
    return {
        **{
            kind: f"{origin}/services/Soap/{letter}/{{version}}/{short}"
            for kind, letter in (("enterprise", "c"), ("metadata", "m"), ("partner", "u"))
        },
        "rest": f"{data}/",
        **{name: f"{data}/{name}/" for name in ("sobjects", "search", "query", "recent")},
        "profile": f"{origin}/{user}",
        **{name: f"{data}/chatter/{name.replace('_', '-')}" for name in ("feeds", "groups", "users", "feed_items")},
        "custom_domain": origin,
    }
