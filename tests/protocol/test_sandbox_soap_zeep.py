"""zeep on the partner WSDL, through every call of the partner API that it offers and the sandbox serves.

zeep knows nothing of Salesforce: whatever it takes out of an answer, the WSDL says so.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from lxml import etree
from zeep.exceptions import Fault

from crmbridge.sandbox.adapter import mount
from crmbridge.sandbox.sandbox import Sandbox
from tests.support.zeep_org import ZeepOrg


@pytest.fixture
def org() -> Iterator[ZeepOrg]:
    with requests.Session() as session:
        given = mount(session, Sandbox("empty"))["salesforce"]
        org = ZeepOrg(session, f"{given['url']}/services/Soap/u/27.0")
        org.login(given["username"], given["password"] + given["security_token"])
        yield org


def value(row: Any, name: str) -> str | None:
    elements = (each for each in row._value_1 if etree.iselement(each))
    return next(each.text for each in elements if etree.QName(each).localname == name)


def test_rows_and_their_lives(org: ZeepOrg) -> None:
    (made, wrong) = org.call("create", [org.row("Account", Name="Acme", Phone="1"), org.row("Account")])
    assert (made.success, wrong.errors[0].statusCode) == (True, "REQUIRED_FIELD_MISSING")
    (saved,) = org.call("update", [org.row("Account", made.id, null=["Phone"], Industry="Energy")])
    assert saved.success
    (shown,) = org.call("retrieve", "Id, Industry, Phone", "Account", [made.id])
    assert (shown.type, shown.Id, value(shown, "Industry"), value(shown, "Phone")) == (
        "Account",
        made.id,
        "Energy",
        None,
    )
    (again,) = org.call("upsert", "Id", [org.row("Account", made.id, Name="Acme 2")])
    assert (again.created, again.id) == (False, made.id)
    strict = org.header("AllOrNoneHeader", allOrNone=True)
    rolled = org.call("create", [org.row("Account", Name="B"), org.row("Account")], headers=[strict])
    assert [each.errors[0].statusCode for each in rolled] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    (gone,) = org.call("delete", [made.id])
    assert gone.success
    assert org.call("query", "SELECT Id FROM Account").size == 0
    assert org.call("queryAll", "SELECT Id FROM Account").size == 1
    (back,) = org.call("undelete", [made.id])
    assert (back.success, org.call("query", "SELECT Id FROM Account").size) == (True, 1)
    org.call("delete", [made.id])
    (emptied,) = org.call("emptyRecycleBin", [made.id])
    assert (emptied.success, org.call("queryAll", "SELECT Id FROM Account").size) == (True, 0)


def test_what_the_org_is_like(org: ZeepOrg) -> None:
    found = org.call("describeGlobal")
    assert {"Lead", "Opportunity"} < {each.name for each in found.sobjects}
    lead = org.call("describeSObject", "Lead")
    status = next(field for field in lead.fields if field.name == "Status")
    assert (lead.keyPrefix, status.type, len(status.picklistValues) > 0) == ("00Q", "picklist", True)
    pair = org.call("describeSObjects", ["Account", "Contact"])
    assert [each.name for each in pair] == ["Account", "Contact"]
    me = org.call("getUserInfo")
    assert me.userId == org.who.userId
    assert isinstance(org.call("getServerTimestamp"), datetime)
    with pytest.raises(Fault) as refused:
        org.call("describeSObject", "Nothing")
    assert refused.value.code == "sf:INVALID_TYPE"


def test_change_tracking_conversion_and_merge(org: ZeepOrg) -> None:
    leads = org.call("create", [org.row("Lead", LastName=name, Company="Acme") for name in "ABC"])
    accounts = org.call("create", [org.row("Account", Name=name) for name in ("One", "Two")])
    org.call("delete", [leads[2].id])
    now = org.call("getServerTimestamp").replace(tzinfo=UTC)
    span = (now - timedelta(hours=1), now + timedelta(minutes=2))
    assert set(org.call("getUpdated", "Lead", *span).ids) == {leads[0].id, leads[1].id}
    assert [each.id for each in org.call("getDeleted", "Lead", *span).deletedRecords] == [leads[2].id]

    ask: dict[str, Any] = {"convertedStatus": "Closed - Converted", "accountId": accounts[0].id}
    flags = {"doNotCreateOpportunity": True, "overwriteLeadSource": False, "sendNotificationEmail": False}
    done, twice = org.call("convertLead", [{**ask, **flags, "leadId": leads[0].id}] * 2)
    assert (done.success, done.accountId, done.opportunityId) == (True, accounts[0].id, None)
    assert twice.errors[0].statusCode == "CANNOT_UPDATE_CONVERTED_LEAD"

    request = {
        "masterRecord": org.row("Account", accounts[1].id, Phone="2"),
        "recordToMergeIds": [accounts[0].id],
    }
    (merged,) = org.call("merge", [request])
    assert (merged.success, merged.mergedRecordIds) == (True, [accounts[0].id])
    assert done.contactId in merged.updatedRelatedIds


def test_children_and_parents_and_sums(org: ZeepOrg) -> None:
    (account,) = org.call("create", [org.row("Account", Name="Acme")])
    org.call("create", [org.row("Contact", LastName=name, AccountId=account.id) for name in "AB"])
    (shown,) = org.call("query", "SELECT Name, (SELECT LastName FROM Contacts ORDER BY LastName) FROM Account").records
    (children,) = (each for each in shown._value_1 if not etree.iselement(each))
    assert [value(child, "LastName") for child in children.records] == ["A", "B"]
    (contact, _) = org.call("query", "SELECT Account.Name FROM Contact").records
    (parent,) = (each for each in contact._value_1 if not etree.iselement(each))
    assert (parent.type, value(parent, "Name")) == ("Account", "Acme")
    (total,) = org.call("query", "SELECT AccountId, COUNT(Id) FROM Contact GROUP BY AccountId").records
    assert total.type == "AggregateResult"
    assert list(total._value_1) == [account.id, 2]  # each tells its type


def test_a_session_ends(org: ZeepOrg) -> None:
    org.call("logout")
    with pytest.raises(Fault) as refused:
        org.call("getUserInfo")
    assert refused.value.code == "sf:INVALID_SESSION_ID"
