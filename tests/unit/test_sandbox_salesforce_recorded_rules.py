"""What recorded orgs showed and no sheet says: promised here without the recordings, which lie beside the checkout."""

from typing import Any
from urllib.parse import urlencode

import pytest

from crmbridge.sandbox.salesforce.identity_page import utc_offset
from tests.support.salesforce_org import ORIGIN, Bench, bench

CASTLE = {"Castle__c": {"keyPrefix": "a0c", "fields": {"Rooms__c": {"type": "double", "precision": 4}}}}


@pytest.fixture
def org() -> Bench:
    return bench({"objects": CASTLE})


def test_whoever_saves_a_row_has_seen_it(org: Bench) -> None:
    key = org.create("Account", Name="A")
    made = org.get("Account", key)
    assert made["LastViewedDate"] == made["LastReferencedDate"] == made["CreatedDate"]
    org.wait(hours=1)
    assert org.get("Account", key)["LastViewedDate"] == made["CreatedDate"]
    org.update("Account", key, Name="B")
    changed = org.get("Account", key)
    assert changed["LastViewedDate"] == changed["LastModifiedDate"] != made["CreatedDate"]


def test_an_account_begins_with_a_photo_and_uncleaned(org: Bench) -> None:
    key = org.create("Account", Name="A")
    row = org.get("Account", key)
    assert (row["PhotoUrl"], row["CleanStatus"]) == (f"/services/images/photo/{key}", "Pending")
    assert org.update("Account", key, CleanStatus="Skipped").status == 204
    assert org.get("Account", key)["CleanStatus"] == "Skipped"


def test_a_custom_row_that_nobody_names_goes_by_its_id(org: Bench) -> None:
    key = org.create("Castle__c", Rooms__c=3)
    assert org.get("Castle__c", key)["Name"] == key[:15]
    assert org.get("Castle__c", org.create("Castle__c", Name="Glamis"))["Name"] == "Glamis"


def test_an_id_with_a_wrong_suffix_is_nobodys(org: Bench) -> None:
    org.create("Account", Name="A")
    assert org.rows("SELECT Id FROM Account WHERE Id = '001000000000001ZZZ'") == []
    assert org.rows("SELECT Id FROM Account WHERE Id IN ('001000000000001ZZZ')") == []
    assert org.query("SELECT Id FROM Account WHERE Id = 'x'").codes == ["INVALID_QUERY_FILTER_OPERATOR"]


@pytest.mark.parametrize(
    ("version", "without"),
    [
        ("29.0", {"aggregatable", "compoundFieldName", "aiPredictionField", "queryByDistance"}),
        ("42.0", {"aiPredictionField", "formulaTreatNullNumberAsZero"}),
        ("60.0", set[str]()),
    ],
)
def test_descriptions_of_old_versions_lack_younger_keys(org: Bench, version: str, without: set[str]) -> None:
    latest = org.rest("GET", "sobjects/Account/describe", version="60.0").body
    told = org.rest("GET", "sobjects/Account/describe", version=version).body
    missing = latest["fields"][0].keys() - told["fields"][0].keys()
    assert without <= missing
    assert bool(missing) is bool(without)
    assert ("isInterface" in told, "developerName" in told["recordTypeInfos"][0]) == (version == "60.0",) * 2
    assert ("associateEntityType" in told) is (version == "60.0")
    assert ("isSubtype" in told) is (version != "29.0")


def test_descriptions_name_their_addresses(org: Bench) -> None:
    told = org.rest("GET", "sobjects/Account/describe", version="52.0").body
    assert told["urls"]["layouts"] == "/services/data/v52.0/sobjects/Account/describe/layouts"
    assert told["urls"]["uiNewRecord"] == "https://acme.my.salesforce.com/001/e"
    (listed,) = [each for each in org.rest("GET", "sobjects").body["sobjects"] if each["name"] == "Account"]
    assert "uiNewRecord" not in listed["urls"]
    assert not any(each["field"] == "MasterRecordId" for each in told["childRelationships"])


def test_a_pasted_description_keeps_what_it_tells() -> None:
    """Keys that the sandbox cannot work out; addresses move with the version that is asked for."""
    pasted: dict[str, Any] = {
        "keyPrefix": None,
        "feedEnabled": True,
        "layoutable": False,
        "supportedScopes": [{"label": "All castles", "name": "everything"}],
        "urls": {
            "sobject": "/services/data/v48.0/sobjects/Castle__History",
            "eventSchema": "/services/data/v48.0/sobjects/Castle__History/eventSchema",
            "uiDetailTemplate": "https://elsewhere.example/{ID}",
        },
    }
    org = bench({"objects": {"Castle__History": pasted}})
    told = org.rest("GET", "sobjects/Castle__History/describe").body
    assert (told["keyPrefix"], told["feedEnabled"], told["layoutable"]) == (None, True, False)
    assert told["supportedScopes"] == pasted["supportedScopes"]
    assert told["urls"]["eventSchema"] == "/services/data/v60.0/sobjects/Castle__History/eventSchema"
    assert told["urls"]["uiDetailTemplate"] == "https://acme.my.salesforce.com/{ID}"


def test_a_login_by_password_names_no_scope(org: Bench) -> None:
    known = org.app.credentials
    form = {key: known[key] for key in ("client_id", "client_secret", "username")}
    form |= {"grant_type": "password", "password": known["password"] + known["security_token"]}
    kind = {"content-type": "application/x-www-form-urlencoded"}
    reply = org.send("POST", "/services/oauth2/token", urlencode(form).encode(), kind)
    assert reply.status == 200
    assert b'"scope"' not in reply.body
    assert b'"signature"' in reply.body


def test_the_identity_page_is_not_userinfo(org: Bench) -> None:
    page = org.rest("GET", "").body["identity"]
    assert page.startswith(f"{ORIGIN}/id/")
    identity = org.send("GET", page.removeprefix(ORIGIN))
    assert identity.status == 200
    userinfo = org.rest("GET", "/services/oauth2/userinfo").body
    claims = """sub user_id organization_id preferred_username nickname name email email_verified given_name
        family_name zoneinfo photos profile picture address is_salesforce_integration_user urls active user_type
        language locale utcOffset updated_at is_app_installed"""
    assert userinfo.keys() == set(claims.split())
    assert (userinfo["sub"], userinfo["picture"]) == (page, userinfo["photos"]["picture"])
    assert {"tooling_rest", "tooling_soap", "feed_elements", "custom_domain"} <= userinfo["urls"].keys()
    assert b'"sub"' not in identity.body
    assert b'"utcOffset":0' in identity.body
    assert f"{ORIGIN}/services/data/v{{version}}/chatter/feed-items".encode() in identity.body


def test_the_offset_of_a_zone_is_that_of_its_standard_time() -> None:
    """Wherever summer is."""
    zones = {"America/Los_Angeles": -8, "Europe/Berlin": 1, "Australia/Sydney": 10, "GMT": 0, "Nowhere/At_All": 0}
    assert {zone: utc_offset(zone) // 3_600_000 for zone in zones} == zones


def test_the_resource_list_names_what_is_served_in_that_version(org: Bench) -> None:
    assert "composite" not in org.rest("GET", "", version="29.0").body
    assert {"composite", "jobs", "limits"} <= org.rest("GET", "", version="60.0").body.keys()
