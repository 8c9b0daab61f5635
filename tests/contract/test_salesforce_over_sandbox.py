"""What only Salesforce has: its logins, its call counts, collections, contact roles, and answers that get lost."""

import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from connectors.base import Conversion, Write
from connectors.salesforce.auth import Flow
from connectors.salesforce.connector import SalesforceConnector
from crmbridge.errors import AccessError, LostAnswer, OutsideError, TryLater
from crmbridge.model import Converted, Later, NativeRef, Outcome, Refused, Row, Stale, Unknown, Written
from crmbridge.sandbox.server import Box
from tests.support.worlds import (
    SALESFORCE,
    SALESFORCE_TABLES,
    World,
    configured,
    salesforce_config,
    salesforce_world,
    sandbox,
)


class Naps:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture(scope="module")
def shared_box() -> Iterator[Box]:
    with sandbox() as made:
        yield made


@pytest.fixture
def box(shared_box: Box) -> Iterator[Box]:
    yield shared_box
    shared_box.control.clear_faults()


@pytest.fixture
def sf(box: Box) -> Iterator[World]:
    with salesforce_world(box) as made:
        yield made


@pytest.fixture
def crm(sf: World) -> SalesforceConnector:
    assert isinstance(sf.connector, SalesforceConnector)
    sf.connector.fetch_by_key("account", ["none"])  # signed in: counts begin here
    return sf.connector


def connector(box: Box, naps: Naps | None = None, **changes: Any) -> SalesforceConnector:
    made = SalesforceConnector(salesforce_config(box, **changes), "left", sleep=naps or Naps())
    configured(made, SALESFORCE, SALESFORCE_TABLES)
    return made


def accounts(count: int, **columns: Any) -> list[Write]:
    return [
        Write(kind="create", entity="account", key=str(uuid.uuid4()), columns={"Name": f"Account {n}", **columns})
        for n in range(count)
    ]


def ids(outcomes: list[Outcome]) -> list[str]:
    assert all(isinstance(each, Written) for each in outcomes), outcomes
    return [each.id for each in outcomes if isinstance(each, Written)]


def calls_since(box: Box) -> dict[str, Any]:
    return box.control.calls()["salesforce"]["requests"]


def everything(crm: SalesforceConnector, source: str, cursor: str | None = None) -> tuple[dict[str, Row], str]:
    rows: dict[str, Row] = {}
    for page in crm.changes(source, cursor):
        rows |= {row.ref.id: row for row in page.rows}
        cursor = page.cursor
    assert cursor
    return rows, cursor


# --- logins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", ["jwt", "client_credentials", "password", "refresh_token", "access_token"])
def test_every_flow_signs_in(box: Box, flow: Flow) -> None:
    crm = connector(box, flow=flow)
    assert crm.identity().org_id == box.connect["salesforce"]["org_id"]
    crm.close()


@pytest.mark.parametrize(
    ("flow", "wrong"),
    [
        ("client_credentials", {"client_secret": "not-the-secret"}),
        ("password", {"password": "not-the-secret"}),
        ("refresh_token", {"refresh_token": "not-the-secret"}),
        ("jwt", {"username": "not-the-secret@example.com"}),
        ("access_token", {"access_token": "not-the-secret"}),
    ],
)
def test_a_wrong_secret_is_the_operators_and_is_not_repeated(box: Box, flow: Flow, wrong: dict[str, str]) -> None:
    crm = connector(box, flow=flow, **wrong)
    with pytest.raises(AccessError) as caught:
        crm.identity()
    assert "not-the-secret" not in str(caught.value)
    assert caught.value.fix
    crm.close()


@pytest.mark.parametrize("flow", ["jwt", "client_credentials", "password", "refresh_token"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_login_that_asks_for_patience_is_no_refusal(box: Box, flow: Flow, status: int) -> None:
    crm = connector(box, flow=flow)
    login = "/services/Soap" if flow == "password" else "/oauth2/token"
    box.control.add_fault(crm="salesforce", path_regex=login, fault="status", status=status, retry_after=120)
    with pytest.raises(TryLater) as caught:
        crm.identity()
    assert (caught.value.code, caught.value.after_seconds) == ("blocked", 120)
    assert "Check" not in str(caught.value)
    assert crm.identity().org_id == box.connect["salesforce"]["org_id"]
    crm.close()


def test_a_token_for_another_host_is_never_used(box: Box) -> None:
    url = box.connect["salesforce"]["https_url"]
    assert "127.0.0.1" in url or "localhost" in url
    other = url.replace("127.0.0.1", "localhost") if "127.0.0.1" in url else url.replace("localhost", "127.0.0.1")
    crm = connector(box, url=other, flow="password")
    with pytest.raises(AccessError, match="another org host"):
        crm.identity()
    crm.close()


def test_an_expired_session_signs_in_once_more(box: Box, crm: SalesforceConnector) -> None:
    box.control.add_fault(crm="salesforce", kind="queryAll", action={"name": "refuse", "code": "INVALID_SESSION_ID"})
    box.control.forget_calls()
    everything(crm, "account")
    assert sum(calls_since(box)["login"].get("", {}).values()) == 1


def test_a_session_that_stays_refused_ends_after_one_more_login(box: Box, crm: SalesforceConnector) -> None:
    box.control.add_fault(
        crm="salesforce", kind="queryAll", times=None, action={"name": "refuse", "code": "INVALID_SESSION_ID"}
    )
    box.control.forget_calls()
    with pytest.raises(AccessError, match="right after a new login"):
        everything(crm, "account")
    assert calls_since(box)["data"]["Account"]["queryAll"] == 2


def test_an_expired_session_in_a_conversion_signs_in_once_more(box: Box, sf: World, crm: SalesforceConnector) -> None:
    lead = sf.person.create("lead", last_name="Expired", company="Expired Ltd")
    box.control.add_fault(crm="salesforce", kind="convertLead", action={"name": "status", "status": 401})
    assert isinstance(crm.convert(Conversion(lead_id=lead)), Converted)


# --- calls --------------------------------------------------------------------------------------------------------


def test_reading_and_writing_many_rows_takes_few_calls_and_idling_one_a_table(
    box: Box, sf: World, crm: SalesforceConnector
) -> None:
    count = 2300
    sf.settle()
    before, _ = everything(crm, "account")
    box.control.forget_calls()
    written = ids(crm.write(accounts(1300)) + crm.write(accounts(count - 1300)))
    pages = -(-count // 2000)
    used = calls_since(box)["data"]["Account"]
    assert sum(used.values()) <= 2 * pages + -(-count // 200) + 10, used
    sf.settle()
    box.control.forget_calls()
    rows, cursor = everything(crm, "account")
    assert set(rows) - set(before) == set(written)
    assert calls_since(box)["data"]["Account"] == {"queryAll": -(-len(rows) // 2000)}
    sources = [*SALESFORCE_TABLES, *crm.side_tables("opportunity")]
    cursors = {source: everything(crm, source)[1] for source in sources}
    box.control.advance(720)
    # The overlap shows it all once more, in as many pages; from then on there is nothing.
    cursors["account"] = everything(crm, "account", cursor)[1]
    sf.settle()
    box.control.forget_calls()
    for source in sources:
        assert [list(page.rows) for page in crm.changes(source, cursors[source])] == [[]]
    assert calls_since(box)["data"] == {
        table: {"queryAll": 1} for table in (*SALESFORCE_TABLES.values(), "OpportunityContactRole")
    }


def test_a_page_whose_cursor_died_is_read_on_from_its_last_row(box: Box, sf: World, crm: SalesforceConnector) -> None:
    if len(everything(crm, "account")[0]) < 2001:
        crm.write(accounts(2001))
    sf.settle()
    box.control.add_fault(
        crm="salesforce", path_regex="queryAll/|query/0r8", action={"name": "refuse", "code": "INVALID_QUERY_LOCATOR"}
    )
    rows, _ = everything(crm, "account")
    assert box.control.faults()[0]["fired"] == 1
    box.control.clear_faults()
    assert set(rows) == set(everything(crm, "account")[0])


def test_a_read_that_broke_off_goes_on_from_its_pages_cursor(sf: World, crm: SalesforceConnector) -> None:
    if len(everything(crm, "account")[0]) < 2001:
        crm.write(accounts(2001))
    sf.settle()
    first = next(iter(crm.changes("account", None)))
    assert not first.last
    late = sf.person.create("account", name="Meanwhile")
    sf.settle()
    rest, cursor = everything(crm, "account", first.cursor)
    assert {row.ref.id for row in first.rows}.isdisjoint(rest)
    assert late not in rest  # younger than the horizon of the read that broke off
    assert late in everything(crm, "account", cursor)[0]


# --- writes that go wrong -----------------------------------------------------------------------------------------


def test_many_updates_leave_the_moved_records_alone(box: Box, sf: World, crm: SalesforceConnector) -> None:
    written = ids(crm.write(accounts(60)))
    rows = crm.fetch("account", written)
    sf.settle()
    for record_id in written[10:13]:
        sf.person.edit("account", record_id, phone="a person's")
    writes = [
        Write(kind="update", entity="account", id=each, version=rows[each].version, columns={"Phone": "ours"})
        for each in written
    ]
    outcomes = crm.write(writes)
    assert [n for n, each in enumerate(outcomes) if isinstance(each, Stale)] == [10, 11, 12]
    now = crm.fetch("account", written)
    phones = [now[each].values.Phone for each in written]
    assert phones == ["ours"] * 10 + ["a person's"] * 3 + ["ours"] * 47
    assert all(each.row == now[each.id] for each in outcomes if isinstance(each, Written))


@pytest.mark.parametrize("count", [1, 60])
def test_an_edit_in_the_second_of_the_version_is_shown_though_no_precondition_tells_it(
    sf: World, crm: SalesforceConnector, count: int
) -> None:
    """Salesforce's precondition is a date, to the second: the write passes, and tells what it found."""
    rows: Mapping[str, Row] = {}
    for _ in range(20):  # until both fell into one second
        written = ids(crm.write(accounts(count, Phone="at first")))
        rows = crm.fetch("account", written)
        sf.person.edit("account", written[0], phone="a person's")
        if crm.fetch("account", written[:1])[written[0]].version == rows[written[0]].version:
            break
    else:
        pytest.fail("no two saves within a second")
    outcomes = crm.write(
        [
            Write(kind="update", entity="account", id=each, version=row.version, columns={"Phone": "ours"})
            for each, row in rows.items()
        ]
    )
    for outcome in outcomes:
        assert isinstance(outcome, Written)
        assert outcome.columns == ("Phone",)
        assert outcome.before is not None
        assert outcome.row is not None
        by_person = outcome.id == next(iter(rows))
        assert outcome.before.values.Phone == ("a person's" if by_person else "at first")
        assert (outcome.before.modified_by == outcome.row.modified_by) is not by_person
        assert outcome.row.values.Phone == "ours"


def data_calls(box: Box) -> int:
    return sum(sum(kinds.values()) for kinds in calls_since(box)["data"].values())


def test_what_was_there_is_read_in_the_call_that_writes(box: Box, sf: World, crm: SalesforceConnector) -> None:
    """Also of three tables, which are more reads than a call may hold: then it is two."""
    account = sf.person.create("account", name="One")
    contact = sf.person.create("contact", last_name="One", account=account)
    lead = sf.person.create("lead", last_name="One")
    columns = {"account": {"Phone": "ours"}, "contact": {"Email": "o@one.example"}, "lead": {"Email": "o@one.example"}}
    writes = [
        Write(kind="update", entity=entity, id=id, columns=columns[entity])
        for entity, id in (("account", account), ("contact", contact), ("lead", lead))
    ]
    for some, calls in ((writes[:1], 1), (writes[:2], 1), (writes, 2)):
        before = data_calls(box)
        outcomes = crm.write(some)
        assert all(isinstance(one, Written) and one.before is not None and one.row is not None for one in outcomes)
        assert data_calls(box) - before == calls


def test_a_lost_answer_is_unknown_and_the_repeat_finds_what_was_made(box: Box, crm: SalesforceConnector) -> None:
    writes = accounts(3)
    box.control.add_fault(crm="salesforce", kind="collections_create", action="drop_after_commit")
    assert all(isinstance(each, Unknown) for each in crm.write(writes))
    again = crm.write(writes)
    assert all(isinstance(each, Written) and each.adopted and each.row for each in again)
    assert len(crm.fetch_by_key("account", [each.key or "" for each in writes])) == 3


def test_after_an_unserved_call_the_rest_is_not_sent(box: Box, crm: SalesforceConnector) -> None:
    box.control.add_fault(
        crm="salesforce", kind="collections_create", skip=1, times=None, action={"name": "html", "status": 503}
    )
    box.control.forget_calls()
    outcomes = crm.write(accounts(650))
    kinds = [type(each) for each in outcomes]
    assert kinds == [Written] * 200 + [Unknown] * 200 + [Later] * 250
    assert calls_since(box)["data"]["Account"]["collections_create"] == 2


def test_a_record_that_spoils_the_whole_call_is_found_and_the_others_are_written(
    box: Box, crm: SalesforceConnector
) -> None:
    writes = accounts(20)
    writes[7] = Write(kind="create", entity="account", key=str(uuid.uuid4()), columns={"Name": "Poison"})
    box.control.add_fault(
        crm="salesforce",
        kind="collections_create",
        body_regex="Poison",
        times=None,
        action={"name": "refuse", "code": "JSON_PARSER_ERROR", "status": 400},
    )
    outcomes = crm.write(writes)
    assert [n for n, each in enumerate(outcomes) if isinstance(each, Refused)] == [7]
    assert sum(isinstance(each, Written) for each in outcomes) == 19


def test_a_limit_is_later_for_writes_and_waited_for_by_reads(box: Box) -> None:
    naps = Naps()
    crm = connector(box, naps)
    box.control.add_fault(
        crm="salesforce", kind="collections_create", action={"name": "status", "status": 429, "retry_after": 5}
    )
    (outcome,) = crm.write(accounts(1))
    assert outcome == Later(message=outcome.message, after_seconds=5.0) if isinstance(outcome, Later) else False
    box.control.add_fault(
        crm="salesforce", kind="queryAll", times=2, action={"name": "status", "status": 429, "retry_after": 7}
    )
    everything(crm, "lead")
    assert naps.seconds == [7.0, 7.0]
    box.control.add_fault(
        crm="salesforce", kind="queryAll", times=None, action={"name": "refuse", "code": "REQUEST_LIMIT_EXCEEDED"}
    )
    with pytest.raises(TryLater) as caught:
        everything(crm, "lead")
    assert caught.value.after_seconds
    crm.close()


def test_a_read_that_is_cut_off_again_and_again_says_so(box: Box) -> None:
    crm = connector(box)
    box.control.add_fault(crm="salesforce", kind="queryAll", times=None, action="truncate")
    with pytest.raises(LostAnswer):
        everything(crm, "lead")
    box.control.clear_faults()
    box.control.add_fault(crm="salesforce", kind="queryAll", times=2, action="truncate")
    everything(crm, "lead")
    crm.close()


# --- conversions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["drop_before_commit", "drop_after_commit"])
def test_a_conversion_whose_answer_was_lost_is_told_by_the_lead(
    box: Box, sf: World, crm: SalesforceConnector, when: str
) -> None:
    lead = sf.person.create("lead", last_name="Lost", company=f"Lost {when}")
    box.control.add_fault(crm="salesforce", kind="convertLead", action=when)
    assert isinstance(crm.convert(Conversion(lead_id=lead)), Unknown)
    found = crm.converted(lead)
    assert (found is None) == (when == "drop_before_commit")
    again = crm.convert(Conversion(lead_id=lead))
    assert isinstance(again, Converted)
    assert again.adopted == (when == "drop_after_commit")
    assert crm.converted(lead) == Converted(
        lead_id=lead,
        account_id=again.account_id,
        contact_id=again.contact_id,
        opportunity_id=again.opportunity_id,
        adopted=True,
    )


def test_a_conversion_into_an_existing_opportunity_keeps_its_stage(sf: World, crm: SalesforceConnector) -> None:
    account = sf.person.create("account", name="Existing")
    deal = sf.person.create("opportunity", name="Existing deal", account=account)
    lead = sf.person.create("lead", last_name="Into", company="Into Ltd")
    outcome = crm.convert(Conversion(lead_id=lead, account_id=account, opportunity_id=deal, create_account=False))
    assert isinstance(outcome, Converted)
    assert outcome.opportunity_id == deal
    assert crm.life(crm.fetch("opportunity", [deal])[deal]).status == "Qualification"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"status": "Working - Contacted"}, "INVALID_STATUS"),
        ({"create_account": False}, "NOT_POSSIBLE"),
        ({"contact_id": "003000000000001AAA"}, "NOT_POSSIBLE"),
    ],
)
def test_a_conversion_that_cannot_be_is_refused(
    sf: World, crm: SalesforceConnector, order: dict[str, Any], code: str
) -> None:
    lead = sf.person.create("lead", last_name="Refused", company="Refused Ltd")
    outcome = crm.convert(Conversion(lead_id=lead, **order))
    assert isinstance(outcome, Refused)
    assert outcome.code == code
    assert outcome.message


# --- contact roles ------------------------------------------------------------------------------------------------


def test_a_role_that_a_person_adds_is_the_opportunitys_contact(box: Box, sf: World, crm: SalesforceConnector) -> None:
    account = sf.person.create("account", name="Roles")
    first = sf.person.create("contact", last_name="First", account=account)
    deal = sf.person.create("opportunity", name="Roles", account=account)
    sf.settle()
    cursors = {source: everything(crm, source)[1] for source in ("opportunity", "OpportunityContactRole")}
    web: Any = sf.person
    role = web.web.call(
        "POST",
        "/services/data/v62.0/sobjects/OpportunityContactRole",
        {"OpportunityId": deal, "ContactId": first, "IsPrimary": True},
    ).json()["id"]
    sf.settle()
    (page,) = crm.changes("OpportunityContactRole", cursors["OpportunityContactRole"])
    satellite = next(each for each in page.satellites if each.id == role)
    assert (satellite.parent.entity, satellite.parent.id, satellite.kind) == ("opportunity", deal, "role")
    assert satellite.values == {"contact_id": first, "is_primary": True, "deleted": False}
    row = crm.fetch("opportunity", [deal])[deal]
    assert row.extras["role"] == {role: satellite.values}
    assert crm.complete(row).values.ContactId == first
    write = Write(kind="update", entity="opportunity", id=deal, version=row.version)
    both = ({"NextStep": "call"}, {"ContactId": None})
    _, outcome = crm.write([replace(write, columns=columns) for columns in both])
    assert isinstance(outcome, Written)
    assert outcome.row is not None
    assert crm.complete(outcome.row).values.ContactId is None


def test_a_contact_that_is_set_becomes_the_primary_one_and_no_role_is_doubled(
    sf: World, crm: SalesforceConnector
) -> None:
    account = sf.person.create("account", name="Roles")
    first, second = (sf.person.create("contact", last_name=each, account=account) for each in ("First", "Second"))
    deal = sf.person.create("opportunity", name="Roles", account=account)
    for contact in (first, second, first, first):
        columns = {"ContactId": NativeRef("contact", contact)}
        (outcome,) = crm.write([Write(kind="update", entity="opportunity", id=deal, columns=columns)])
        assert isinstance(outcome, Written)
        assert outcome.row is not None
        assert crm.complete(outcome.row).values.ContactId == contact
    roles = crm.fetch("opportunity", [deal])[deal].extras["role"]
    assert sorted((each["contact_id"], each["is_primary"]) for each in roles.values()) == [
        (first, True),
        (second, False),
    ]


def contact_of(deal: str, contact: str | None, **more: Any) -> Write:
    columns = {"ContactId": NativeRef("contact", contact) if contact else None}
    return Write(kind="update", entity="opportunity", id=deal, columns=columns, **more)


def test_a_contact_and_the_other_columns_of_an_opportunity_have_each_their_outcome(
    sf: World, crm: SalesforceConnector
) -> None:
    assert crm.apart == {"opportunity": {"ContactId"}}
    account = sf.person.create("account", name="Roles")
    gone, here = (sf.person.create("contact", last_name=each, account=account) for each in ("Gone", "Here"))
    deal = sf.person.create("opportunity", name="Roles", account=account)
    sf.person.delete("contact", gone)
    names = [
        Write(kind="update", entity="opportunity", id=deal, columns={"Name": name})
        for name in ("renamed", "x" * 200, "again")
    ]
    written, refused = crm.write([names[0], contact_of(deal, gone)])
    assert isinstance(written, Written)
    assert isinstance(refused, Refused)
    assert refused.fields == ("ContactId",)
    refused, written = crm.write([names[1], contact_of(deal, here)])
    assert isinstance(refused, Refused)
    assert isinstance(written, Written)
    old = crm.fetch("opportunity", [deal])[deal].version
    sf.settle()
    sf.settle()
    sf.person.edit("opportunity", deal, name="by hand")
    stale, left = crm.write([replace(names[2], version=old), contact_of(deal, None)])
    assert isinstance(stale, Stale)
    assert isinstance(left, Stale)
    found = crm.complete(crm.fetch("opportunity", [deal])[deal]).values
    assert (found.Name, found.ContactId) == ("by hand", here)


def test_a_contact_is_written_over_the_one_that_was_expected_alone(
    sf: World, crm: SalesforceConnector, box: Box
) -> None:
    """It has no precondition of the CRM's own: what stands there is looked at right before."""
    account = sf.person.create("account", name="Roles")
    first, second = (sf.person.create("contact", last_name=each, account=account) for each in ("First", "Second"))
    deal = sf.person.create("opportunity", name="Roles", account=account)
    (written,) = crm.write([contact_of(deal, first, expected={"ContactId": None})])
    assert isinstance(written, Written)
    assert not written.unchanged
    (stale,) = crm.write([contact_of(deal, second, expected={"ContactId": None})])
    assert isinstance(stale, Stale)
    box.control.forget_calls()
    (same,) = crm.write([contact_of(deal, first, expected={"ContactId": None})])
    assert isinstance(same, Written)
    assert same.unchanged
    assert {kind for of in calls_since(box)["data"].values() for kind in of} == {"composite", "query"}, "reads alone"
    (written,) = crm.write([contact_of(deal, second, expected={"ContactId": first})])
    assert isinstance(written, Written)
    assert crm.complete(crm.fetch("opportunity", [deal])[deal]).values.ContactId == second


# --- the rest -----------------------------------------------------------------------------------------------------


def test_a_merges_loser_names_its_winner(sf: World, crm: SalesforceConnector) -> None:
    winner, loser = (sf.person.create("account", name=each) for each in ("Winner", "Loser"))
    sf.settle()
    _, cursor = everything(crm, "account")
    web: Any = sf.person
    token = web.web._session.headers["Authorization"].removeprefix("Bearer ")
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com">'
        f"<e:Header><SessionHeader><sessionId>{token}</sessionId></SessionHeader></e:Header><e:Body><merge><request>"
        f"<masterRecord><type>Account</type><Id>{winner}</Id></masterRecord>"
        f"<recordToMergeIds>{loser}</recordToMergeIds></request></merge></e:Body></e:Envelope>"
    )
    answer = web.web._session.post(
        f"{web.web._url}/services/Soap/u/62.0", data=body, headers={"Content-Type": "text/xml", "SOAPAction": '""'}
    )
    assert answer.ok, answer.text
    sf.settle()
    rows, _ = everything(crm, "account", cursor)
    assert (rows[loser].deleted, rows[loser].merged_into) == (True, winner)
    assert not rows[winner].deleted


def test_the_key_field_is_found_or_missed_by_name(box: Box) -> None:
    with_key, without = connector(box), connector(box, key_field="Not_There__c")
    assert with_key.describe("lead").key_field
    told = without.describe("lead")
    assert not told.key_field
    assert "Not_There__c" in told.notes[0]
    with_key.close()
    without.close()


def test_a_column_that_is_not_there_is_named(box: Box) -> None:
    crm = connector(box, key_field="Not_There__c")
    with pytest.raises(Exception, match="Not_There__c") as caught:
        everything(crm, "lead")
    assert not isinstance(caught.value, OutsideError)
    crm.close()


def test_no_token_and_no_value_reaches_a_log(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        crm = connector(box, flow="password")
        crm.write(accounts(1, Phone="+1 555 canary"))
        everything(crm, "account")
        crm.fetch_by_key("account", ["canary-key"])
        crm.close()
    told = box.connect["salesforce"]
    ours = [record for record in caplog.records if not record.name.startswith(("crmbridge.sandbox", "uvicorn"))]
    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    for secret in ("canary", told["password"], told["access_token"], "Bearer"):
        assert secret not in text
    assert "http_call" in text
