"""The Dynamics connector over HTTPS against the sandbox: cursors, faults, life-cycle calls, logins."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Conversion, Move, Page, TablePlan, Write
from connectors.dynamics import reading
from connectors.dynamics.auth import DynamicsConfig
from connectors.dynamics.client import Client, Reply
from connectors.dynamics.connector import DynamicsConnector
from connectors.dynamics.protocol import Request, update
from crmbridge.errors import AccessError, ConfigError, TryLater
from crmbridge.model import (
    ENTITIES,
    Converted,
    Entity,
    Later,
    Life,
    NativeRef,
    Outcome,
    Refused,
    Row,
    Stale,
    Unknown,
    Written,
)
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.server import Box, running_sandbox
from mapping.rows import row_struct

COLUMNS: dict[Entity, Sequence[str]] = {
    "account": ("name", "telephone1"),
    "contact": ("lastname", "parentcustomerid_account", "ownerid"),
    "lead": ("subject", "lastname", "companyname", "estimatedamount"),
    "opportunity": (
        *("name", "estimatedvalue", "actualvalue", "actualclosedate"),
        *("parentaccountid", "customerid_account", "customerid_contact"),
    ),
}
TYPES: dict[str, Any] = {
    "estimatedamount": Decimal,
    "estimatedvalue": Decimal,
    "actualvalue": Decimal,
    "actualclosedate": date,
}
SIDE_TABLES = ("leadtoopportunitysalesprocesses", "opportunitysalesprocesses")
LEAD_PROCESS, DEAL_PROCESS = "leadtoopportunitysalesprocess", "opportunitysalesprocess"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with running_sandbox("empty") as made:
        yield made


@pytest.fixture(scope="module")
def shared(box: Box) -> Iterator[DynamicsConnector]:
    crm = connector(box)
    create(crm, "account", name="before this one is written, what is read once is read")
    yield crm
    crm.close()


@pytest.fixture
def crm(box: Box, shared: DynamicsConnector) -> Iterator[DynamicsConnector]:
    yield shared
    box.control.clear_faults()


def config(box: Box, **changes: Any) -> DynamicsConfig:
    told = box.connect["dynamics"]
    settings: dict[str, Any] = {
        "name": "dynamics",
        "url": told["https_url"],
        "authority": told["authority"].rpartition("/")[0],
        "tenant_id": told["tenant_id"],
        "client_id": told["client_id"],
        "client_secret": told["client_secret"],
        "access_token": told["access_token"],
        "ca_file": box.connect["ca_path"],
    }
    return DynamicsConfig(**{**settings, **changes})


def connector(box: Box, **changes: Any) -> DynamicsConnector:
    made = DynamicsConnector(config(box, **changes), "right", sleep=lambda _: None)
    configure(made, COLUMNS)
    return made


def configure(crm: DynamicsConnector, columns: Mapping[Entity, Sequence[str]]) -> None:
    plans: list[TablePlan] = []
    for entity in ENTITIES:
        mapped = {column: TYPES.get(column, str) for column in columns[entity]}
        row_type = row_struct(entity.title(), {**crm.system_columns(entity), **mapped})
        plans.append(TablePlan(entity=entity, table=entity, columns=tuple(mapped), row_type=row_type))
    crm.configure(plans)


def new_id() -> str:
    return str(uuid.uuid4())


def create(crm: DynamicsConnector, entity: Entity, **columns: Any) -> str:
    (outcome,) = crm.write([Write(kind="create", entity=entity, id=new_id(), columns=columns)])
    assert isinstance(outcome, Written), outcome
    return outcome.id


def lead(crm: DynamicsConnector, **columns: Any) -> str:
    return create(crm, "lead", **{"subject": "Demo", "lastname": "Byron", "companyname": "Engines", **columns})


def row(crm: DynamicsConnector, entity: Entity, row_id: str) -> Row:
    return crm.fetch(entity, [row_id])[row_id]


def life(crm: DynamicsConnector, entity: Entity, row_id: str) -> Life:
    return crm.life(row(crm, entity, row_id))


def poll(crm: DynamicsConnector, source: str, cursor: str | None) -> tuple[list[Page], str]:
    pages = list(crm.changes(source, cursor))
    return pages, pages[-1].cursor


def data_calls(box: Box) -> list[dict[str, Any]]:
    return [call for call in box.control.raw_calls() if call["crm"] == "dynamics" and call["category"] == "data"]


def fault(box: Box, action: Any, **where: Any) -> None:
    box.control.add_fault(crm="dynamics", action=action, **where)


# --- reading ------------------------------------------------------------------------------------------------------


def test_an_idle_table_costs_one_call(box: Box, crm: DynamicsConnector) -> None:
    sources = (*ENTITIES, *crm.side_tables("opportunity"))
    assert crm.side_tables("opportunity") == SIDE_TABLES
    assert crm.side_tables("lead") == crm.side_tables("account") == ()
    cursors = {source: poll(crm, source, None)[1] for source in sources}
    box.control.forget_calls()
    for source in sources:
        (page,), _ = poll(crm, source, cursors[source])
        assert not page.rows
        assert not page.satellites
        assert (page.full, page.last) == (False, True)
    assert len(data_calls(box)) == len(sources)


def test_pages_are_followed_and_any_cursor_may_be_gone_on_from(
    crm: DynamicsConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "page_rows_max", 2)
    made = {create(crm, "account", name=f"Page {number}") for number in range(5)}
    pages, _ = poll(crm, "account", None)
    assert len(pages) > 2
    assert [page.last for page in pages] == [*[False] * (len(pages) - 1), True]
    assert made <= {each.ref.id for page in pages for each in page.rows}
    later, _ = poll(crm, "account", pages[0].cursor)
    assert [each.ref.id for page in later for each in page.rows] == [
        each.ref.id for page in pages[1:] for each in page.rows
    ]


def test_an_old_cursor_is_followed_by_a_full_read(box: Box, crm: DynamicsConnector) -> None:
    kept = create(crm, "account", name="Kept")
    _, cursor = poll(crm, "account", None)
    box.control.advance(timedelta(days=8))
    pages, cursor = poll(crm, "account", cursor)
    assert [page.full for page in pages] == [True] + [False] * (len(pages) - 1)
    assert kept in {each.ref.id for page in pages for each in page.rows}
    (page,), _ = poll(crm, "account", cursor)
    assert (page.full, page.rows) == (False, [])


def test_other_columns_need_another_full_read(box: Box, crm: DynamicsConnector) -> None:
    kept = create(crm, "account", name="Kept")
    _, cursor = poll(crm, "account", None)
    other = connector(box)
    configure(other, {**COLUMNS, "account": ("name",)})
    pages, _ = poll(other, "account", cursor)
    assert pages[0].full
    assert kept in {each.ref.id for page in pages for each in page.rows}
    other.close()


def test_without_change_tracking_rows_are_polled_by_their_stamp(tmp_path: Path) -> None:
    shape = tmp_path / "shape.yaml"
    shape.write_text("extends: dynamics\ntables:\n  account: {change_tracking: false}\n", encoding="utf-8")
    with running_sandbox(sandbox=Sandbox("empty", shapes={"dynamics": shape})) as box:
        crm = connector(box, request_limit_seconds=5.0)
        assert "polled by modifiedon" in crm.describe("account").notes[0]
        first = create(crm, "account", name="First")
        _, cursor = poll(crm, "account", None)
        box.control.advance(600)
        (page,), cursor = poll(crm, "account", cursor)
        assert {each.ref.id for each in page.rows} == {first}  # the overlap shows it again, the version is the same
        second = create(crm, "account", name="Second")
        (page,), cursor = poll(crm, "account", cursor)
        assert [each.ref.id for each in page.rows] == [first, second]  # oldest first
        box.control.advance(600)
        (page,), _ = poll(crm, "account", cursor)
        assert [each.ref.id for each in page.rows] == [second]
        assert not page.full
        crm.close()


def test_a_process_is_told_beside_its_record(crm: DynamicsConnector) -> None:
    cursors = {source: poll(crm, source, None)[1] for source in SIDE_TABLES}
    lead_id, deal_id = lead(crm), create(crm, "opportunity", name="Deal")
    (page,), cursor = poll(crm, SIDE_TABLES[0], cursors[SIDE_TABLES[0]])
    (satellite,) = page.satellites
    assert (satellite.kind, satellite.parent.entity, satellite.parent.id) == ("process", "lead", lead_id)
    assert (satellite.values["table"], satellite.values["status"]) == (LEAD_PROCESS, 1)
    (page,), _ = poll(crm, SIDE_TABLES[1], cursors[SIDE_TABLES[1]])
    (own,) = page.satellites
    assert (own.parent.entity, own.parent.id, own.values["table"]) == ("opportunity", deal_id, DEAL_PROCESS)
    made = crm.convert(Conversion(lead_id=lead_id))
    assert isinstance(made, Converted)
    (page,), _ = poll(crm, SIDE_TABLES[0], cursor)
    (moved,) = page.satellites
    assert (moved.id, moved.parent.id) == (satellite.id, made.opportunity_id)
    born = life(crm, "opportunity", str(made.opportunity_id))
    assert (born.process, born.process_born_from_lead, born.origin_lead_id) == (LEAD_PROCESS, True, lead_id)


def test_many_rows_are_fetched_two_hundred_a_call(box: Box, crm: DynamicsConnector) -> None:
    ids = [create(crm, "opportunity", name="Deal"), *(new_id() for _ in range(399))]
    box.control.forget_calls()
    assert set(crm.fetch("opportunity", ids)) == {ids[0]}
    assert len(data_calls(box)) == 2  # with their processes


def test_a_polymorphic_customer_is_read_under_the_right_name(crm: DynamicsConnector) -> None:
    account, contact = create(crm, "account", name="A"), create(crm, "contact", lastname="C")
    deal = create(crm, "opportunity", name="Deal", customerid_contact=NativeRef("contact", contact))
    shown = row(crm, "opportunity", deal)
    assert (shown.values.customerid_account, shown.values.customerid_contact) == (None, contact)
    assert crm.life(shown).customer_is_contact
    columns = {"customerid_contact": None, "customerid_account": NativeRef("account", account)}
    (outcome,) = crm.write(
        [Write(kind="update", entity="opportunity", id=deal, version=shown.version, columns=columns)]
    )
    assert isinstance(outcome, Written)
    assert outcome.row is not None
    assert (outcome.row.values.customerid_account, outcome.row.values.customerid_contact) == (account, None)
    assert outcome.row.extras["process"]  # where it stands comes back with it


# --- writing ------------------------------------------------------------------------------------------------------


def accounts(number: int) -> list[Write]:
    return [
        Write(kind="create", entity="account", id=new_id(), columns={"name": f"Account {index}"})
        for index in range(number)
    ]


def test_two_hundred_writes_are_one_call_and_come_back_as_rows(box: Box, crm: DynamicsConnector) -> None:
    writes = accounts(crm.batch_size)
    box.control.forget_calls()
    outcomes = crm.write(writes)
    assert all(isinstance(each, Written) and each.created and each.row is not None for each in outcomes)
    assert [each.id for each in outcomes if isinstance(each, Written)] == [each.id for each in writes]
    (call,) = data_calls(box)
    assert len(call["operations"]) == crm.batch_size


@pytest.mark.parametrize("action", ["drop_after_commit", "drop_before_commit", "truncate"])
def test_a_lost_answer_is_unknown_and_the_repeat_finds_what_was_made(
    box: Box, crm: DynamicsConnector, action: str
) -> None:
    writes = accounts(3)
    fault(box, action, path_regex=r"\$batch")
    assert {type(each) for each in crm.write(writes)} == {Unknown}
    again = crm.write(writes)
    assert [each.adopted for each in again if isinstance(each, Written)] == [action != "drop_before_commit"] * 3
    assert all(isinstance(each, Written) and each.row is not None for each in again)


@pytest.mark.parametrize(
    ("action", "outcome", "after"),
    [
        ({"name": "status", "status": 429, "retry_after": 17}, Later, 17),
        ({"name": "html", "status": 502}, Unknown, None),
        ({"name": "html", "status": 503}, Unknown, None),
        ({"name": "status", "status": 500, "code": "0x80044150", "message": "deadlock"}, Later, None),
        ({"name": "status", "status": 500, "code": "0x80044151", "message": "SQL timeout"}, Unknown, None),
    ],
)
def test_a_write_is_sent_once(
    box: Box, crm: DynamicsConnector, action: dict[str, Any], outcome: type[Outcome], after: float | None
) -> None:
    fault(box, action, path_regex=r"\$batch")
    box.control.forget_calls()
    told = crm.write(accounts(2))
    assert [type(each) for each in told] == [outcome] * 2
    assert [each.after_seconds for each in told if isinstance(each, Later)] in ([], [after, after])
    assert len(data_calls(box)) == 1


def test_a_read_waits_and_is_repeated(box: Box, crm: DynamicsConnector) -> None:
    account = create(crm, "account", name="There")
    fault(box, {"name": "status", "status": 429, "retry_after": 1}, times=2)
    fault(box, {"name": "html", "status": 503})
    assert set(crm.fetch("account", [account])) == {account}
    fault(box, {"name": "status", "status": 429, "retry_after": 3600}, times=None)
    with pytest.raises(TryLater) as told:
        crm.fetch("account", [account])
    assert told.value.after_seconds == 3600


def test_a_token_that_is_refused_is_renewed_once(box: Box) -> None:
    crm = connector(box)
    account = create(crm, "account", name="There")
    fault(box, {"name": "status", "status": 401})
    assert set(crm.fetch("account", [account])) == {account}
    fault(box, {"name": "status", "status": 401})
    assert isinstance(crm.write(accounts(1))[0], Written)
    fault(box, {"name": "status", "status": 401}, times=None)
    for call in (lambda: crm.fetch("account", [account]), lambda: crm.write(accounts(1))):
        with pytest.raises(AccessError, match="access token is not accepted"):
            call()
    box.control.clear_faults()
    crm.close()


def test_a_login_that_does_not_serve_passes_by_itself(box: Box) -> None:
    crm = connector(box)
    box.control.add_fault(crm="identity", method="POST", action={"name": "html", "status": 503})
    with pytest.raises(TryLater) as told:
        crm.describe("account")
    assert told.value.after_seconds == 5  # msal remembers the refusal as long
    crm.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_login_that_asks_for_patience_is_no_unknown_tenant(box: Box, method: str, status: int) -> None:
    crm = connector(box)
    box.control.add_fault(crm="identity", method=method, fault="status", status=status, retry_after=120)
    with pytest.raises(TryLater) as told:
        crm.describe("account")
    assert (told.value.code, told.value.after_seconds) == ("blocked", 120)
    assert "Check" not in str(told.value)
    crm.describe("account")  # msal has not remembered it: when to ask again is for the gate to say
    crm.close()


def test_a_lost_login_is_no_lost_write_and_one_token_serves_them_all(box: Box) -> None:
    crm = connector(box)
    writes = accounts(1)
    box.control.add_fault(crm="identity", method="POST", times=2, action="drop_after_commit")
    with pytest.raises(TryLater):  # it was asked for once more, and that answer was lost as well
        crm.describe("account")
    box.control.forget_calls()
    crm.describe("account")
    crm.write(writes)
    crm.fetch("account", [str(writes[0].id)])
    logins = [call for call in box.control.raw_calls() if call["category"] == "login"]
    assert len(logins) <= 2  # discovery and one token
    box.control.clear_faults()
    crm.close()


# --- converting ---------------------------------------------------------------------------------------------------


def converted(crm: DynamicsConnector, **order: Any) -> Converted:
    outcome = crm.convert(Conversion(**order))
    assert isinstance(outcome, Converted), outcome
    return outcome


@pytest.mark.parametrize("state", ["open", "disqualified"])
@pytest.mark.parametrize("opportunity", [True, False])
@pytest.mark.parametrize("known", ["nothing", "account", "both"])
def test_conversions(box: Box, crm: DynamicsConnector, known: str, opportunity: bool, state: str) -> None:
    lead_id = lead(crm, estimatedamount=Decimal("1200.50"))
    account = create(crm, "account", name="Known") if known != "nothing" else None
    contact = (
        create(crm, "contact", lastname="Known", parentcustomerid_account=NativeRef("account", account))
        if known == "both" and account
        else None
    )
    if state == "disqualified":
        crm.moves([Move(kind="status", entity="lead", id=lead_id, status=5)])[0]
    box.control.forget_calls()
    made = converted(
        crm, lead_id=lead_id, account_id=account, contact_id=contact, create_opportunity=opportunity, status=3
    )
    assert len(data_calls(box)) <= 8
    assert made.account_id
    assert made.contact_id
    assert (made.account_id == account, made.contact_id == contact) == (known != "nothing", known == "both")
    assert (made.opportunity_id is not None) == opportunity
    told = life(crm, "lead", lead_id)
    assert (told.state, told.account_id, told.contact_id, told.opportunity_id) == (
        "converted",
        made.account_id,
        made.contact_id,
        made.opportunity_id,
    )
    if made.opportunity_id:
        deal = row(crm, "opportunity", made.opportunity_id)
        assert deal.values.customerid_account == made.account_id
        assert deal.values.estimatedvalue == Decimal("1200.50")


def test_a_contact_alone_becomes_the_customer(crm: DynamicsConnector) -> None:
    contact = create(crm, "contact", lastname="Alone")
    made = converted(crm, lead_id=lead(crm), contact_id=contact, create_account=False)
    assert (made.account_id, made.contact_id) == (None, contact)
    assert row(crm, "opportunity", str(made.opportunity_id)).values.customerid_contact == contact


def test_an_account_on_the_lead_is_not_doubled(crm: DynamicsConnector) -> None:
    account = create(crm, "account", name="On the lead")
    made = converted(crm, lead_id=lead(crm, parentaccountid=NativeRef("account", account)))
    assert made.account_id == account


def test_an_existing_opportunity_is_tied_to_the_lead(box: Box, crm: DynamicsConnector) -> None:
    account = create(crm, "account", name="Known")
    deal = create(crm, "opportunity", name="Deal", parentaccountid=NativeRef("account", account))
    lead_id = lead(crm)
    box.control.forget_calls()
    made = converted(crm, lead_id=lead_id, account_id=account, opportunity_id=deal)
    assert len(data_calls(box)) <= 8
    assert made.opportunity_id == deal
    assert life(crm, "lead", lead_id).opportunity_id == deal
    assert life(crm, "opportunity", deal).origin_lead_id == lead_id


def test_what_was_left_untied_is_tied_by_the_repeat(box: Box, crm: DynamicsConnector) -> None:
    deal = create(crm, "opportunity", name="Deal")
    lead_id = lead(crm)
    fault(box, "drop_before_commit", body_regex="qualifyingopportunityid@odata.bind")
    order = Conversion(lead_id=lead_id, opportunity_id=deal)
    assert isinstance(crm.convert(order), Unknown)
    again = crm.convert(order)
    assert isinstance(again, Converted)
    assert (again.adopted, again.opportunity_id) == (True, deal)
    assert life(crm, "opportunity", deal).origin_lead_id == lead_id


@pytest.fixture
def ties(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Reply]]:
    """The same requests once more, of each call that tied an opportunity."""
    sent, write = list[Callable[[], Reply]](), Client.write_together

    def noted(self: Client, requests: Sequence[Request], *, kind: str, **more: Any) -> Any:
        if kind == "update":
            sent.append(lambda: write(self, requests, kind=kind)[0])
        return write(self, requests, kind=kind, **more)

    monkeypatch.setattr(Client, "write_together", noted)
    return sent


def test_a_tie_that_lands_late_changes_nothing_any_more(
    box: Box, crm: DynamicsConnector, ties: list[Callable[[], Reply]]
) -> None:
    """Its answer was lost and it was repeated; people go on from there."""
    deal, other = create(crm, "opportunity", name="Deal"), lead(crm)
    lead_id = lead(crm)
    fault(box, "drop_before_commit", body_regex="qualifyingopportunityid@odata.bind")
    order = Conversion(lead_id=lead_id, opportunity_id=deal)
    assert isinstance(crm.convert(order), Unknown)
    assert isinstance(crm.convert(order), Converted)
    crm.write(
        [Write(kind="update", entity="opportunity", id=deal, columns={"originatingleadid": NativeRef("lead", other)})]
    )
    assert life(crm, "opportunity", deal).origin_lead_id == other
    assert not ties[0]().done
    assert life(crm, "opportunity", deal).origin_lead_id == other


def test_a_lead_that_is_edited_before_the_tie_is_looked_at_again(
    crm: DynamicsConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal, lead_id = create(crm, "opportunity", name="Deal"), lead(crm)
    write, edits = Client.write_together, ["meanwhile"]

    def edited_before(self: Client, requests: Sequence[Request], *, kind: str, **more: Any) -> Any:
        if kind == "update" and edits:
            changes = {"subject": edits.pop()}
            write(self, [update("leads", lead_id, changes, version=None, table="lead")], kind="edit")
        return write(self, requests, kind=kind, **more)

    monkeypatch.setattr(Client, "write_together", edited_before)
    order = Conversion(lead_id=lead_id, opportunity_id=deal)
    assert isinstance(crm.convert(order), Unknown)
    assert life(crm, "opportunity", deal).origin_lead_id is None
    assert converted(crm, lead_id=lead_id, opportunity_id=deal).opportunity_id == deal
    assert life(crm, "opportunity", deal).origin_lead_id == lead_id


@pytest.mark.parametrize("given", ["account", "contact"])
def test_a_lead_that_somebody_qualified_into_another_customer_is_tied_to_nothing_of_this_one(
    box: Box, crm: DynamicsConnector, given: str
) -> None:
    account = create(crm, "account", name="Known")
    contact = create(crm, "contact", lastname="Known")
    deal = create(crm, "opportunity", name="Deal", parentaccountid=NativeRef("account", account))
    lead_id = lead(crm)
    theirs = converted(crm, lead_id=lead_id, create_opportunity=False)
    ours = Conversion(lead_id=lead_id, opportunity_id=deal)
    ours = replace(ours, account_id=account) if given == "account" else replace(ours, contact_id=contact)
    assert crm.convert(ours) == replace(theirs, adopted=True)
    assert life(crm, "opportunity", deal).origin_lead_id is None


@pytest.mark.parametrize("action", ["drop_after_commit", "truncate", {"name": "slow", "seconds": 0}])
def test_a_lost_answer_to_a_conversion_is_looked_up(box: Box, crm: DynamicsConnector, action: Any) -> None:
    account = create(crm, "account", name="Known")
    lead_id = lead(crm)
    fault(box, action, body_regex="QualifyLead")
    made = converted(crm, lead_id=lead_id, account_id=account)
    assert made.adopted == (action != {"name": "slow", "seconds": 0})
    assert made.opportunity_id
    assert crm.born_of("opportunity", [made.opportunity_id]) == {made.opportunity_id: lead_id}


def test_a_lead_that_was_opened_again_still_shows_what_its_conversion_made(box: Box, crm: DynamicsConnector) -> None:
    made = converted(crm, lead_id=lead(crm))
    assert isinstance(crm.moves([Move(kind="status", entity="lead", id=made.lead_id, status=1)])[0], Written)
    assert crm.converted(made.lead_id) is None
    assert crm.left_behind(made.lead_id) == replace(made, adopted=True)


def test_a_conversion_that_was_not_carried_out_stays_unknown(box: Box, crm: DynamicsConnector) -> None:
    account = create(crm, "account", name="Known")
    lead_id = lead(crm)
    fault(box, "drop_before_commit", body_regex="QualifyLead")
    assert isinstance(crm.convert(Conversion(lead_id=lead_id, account_id=account)), Unknown)
    assert crm.converted(lead_id) is None


def test_a_refused_conversion_leaves_a_disqualified_lead_as_it_was(box: Box, crm: DynamicsConnector) -> None:
    lead_id = lead(crm)
    crm.moves([Move(kind="status", entity="lead", id=lead_id, status=5)])[0]
    outcome = crm.convert(Conversion(lead_id=lead_id, account_id=new_id()))
    assert isinstance(outcome, Refused), outcome
    assert life(crm, "lead", lead_id).status == 5


def test_a_server_that_takes_no_action_in_a_change_set_gets_two_calls(box: Box) -> None:
    crm = connector(box)
    account = create(crm, "account", name="Known")
    refusal = {"name": "status", "status": 400, "code": "0x80060888", "message": "Actions are not supported here."}
    for calls in (5, 4):  # the second time it is known
        fault(box, refusal, body_regex="(?s)changeset.*QualifyLead", times=None)
        lead_id = lead(crm)
        box.control.forget_calls()
        assert converted(crm, lead_id=lead_id, account_id=account).account_id == account
        assert len(data_calls(box)) == calls
    box.control.clear_faults()
    crm.close()


def test_a_lead_that_is_not_there(crm: DynamicsConnector) -> None:
    outcome = crm.convert(Conversion(lead_id=new_id()))
    assert isinstance(outcome, Refused)
    assert outcome.code == "0x80040217"
    assert crm.converted(new_id()) is None


# --- moving -------------------------------------------------------------------------------------------------------


def stage_ids(crm: DynamicsConnector, process: str) -> list[Any]:
    return [each.value for each in crm.describe("opportunity").statuses if each.process == process]


def moved(crm: DynamicsConnector, **order: Any) -> Row:
    outcome = crm.moves([Move(entity="opportunity", **order)])[0]
    assert isinstance(outcome, Written), outcome
    assert outcome.row is not None
    return outcome.row


def test_stages_forward_and_back_with_values_that_go_along(box: Box, crm: DynamicsConnector) -> None:
    deal, stages = create(crm, "opportunity", name="Deal"), stage_ids(crm, DEAL_PROCESS)
    box.control.forget_calls()
    shown = moved(crm, kind="stage", id=deal, status=stages[3], columns={"estimatedvalue": Decimal("7.50")})
    assert (crm.life(shown).status, shown.values.estimatedvalue) == (stages[3], Decimal("7.50"))
    assert len(data_calls(box)) == 2
    version = shown.version
    shown = moved(crm, kind="stage", id=deal, status=stages[1], version=version)
    assert crm.life(shown).status == stages[1]
    assert isinstance(
        crm.moves([Move(kind="stage", entity="opportunity", id=deal, status=stages[2], version='W/"1"')])[0], Stale
    )
    again = crm.moves([Move(kind="stage", entity="opportunity", id=deal, status=stages[1])])[0]
    assert isinstance(again, Written)
    assert again.adopted


def test_an_opportunity_cannot_go_to_the_leads_stage(crm: DynamicsConnector) -> None:
    made = converted(crm, lead_id=lead(crm))
    qualify, develop, *_, close = stage_ids(crm, LEAD_PROCESS)
    deal = str(made.opportunity_id)
    assert life(crm, "opportunity", deal).status == develop
    outcome = crm.moves([Move(kind="stage", entity="opportunity", id=deal, status=qualify)])[0]
    assert isinstance(outcome, Refused)
    assert outcome.code == "0x80100002"
    assert crm.life(moved(crm, kind="stage", id=deal, status=close)).status == close


def test_win_reopen_lose(box: Box, crm: DynamicsConnector) -> None:
    deal, stages = create(crm, "opportunity", name="Deal"), stage_ids(crm, DEAL_PROCESS)
    noon = datetime(2026, 3, 31, 12, tzinfo=UTC)
    box.control.forget_calls()
    shown = moved(crm, kind="win", id=deal, status=3, actual_value=Decimal("12000.00"), actual_date=noon, subject="Won")
    assert (crm.life(shown).state, shown.values.actualvalue) == ("won", Decimal("12000.00"))
    assert shown.values.actualclosedate == date(2026, 3, 31)
    assert isinstance(crm.moves([Move(kind="lose", entity="opportunity", id=deal, status=4)])[0], Stale)
    shown = moved(crm, kind="reopen", id=deal, status=stages[1])
    assert (crm.life(shown).state, crm.life(shown).status) == ("open", stages[1])
    shown = moved(crm, kind="lose", id=deal, status=5)
    assert (crm.life(shown).state, crm.life(shown).status) == ("lost", 5)
    assert len(data_calls(box)) == 7
    closes = [
        each for each in box.control.dump()["dynamics"]["opportunityclose"] if each["_opportunityid_value"] == deal
    ]
    assert [each["statuscode"] for each in closes] == [3, 2]  # the first one canceled, as the form does it
    assert closes[0]["subject"] == "Won"


def test_many_moves_are_two_calls_and_a_lost_answer_is_looked_up_together(box: Box, crm: DynamicsConnector) -> None:
    deals, stages = [create(crm, "opportunity", name="Deal") for _ in range(5)], stage_ids(crm, DEAL_PROCESS)
    lead_id = lead(crm)
    orders = [
        *(Move(kind="win", entity="opportunity", id=deal, status=3, actual_value=Decimal(7)) for deal in deals[:2]),
        Move(kind="stage", entity="opportunity", id=deals[2], status=stages[2]),
        Move(kind="lose", entity="opportunity", id=deals[3], status=77),  # no such reason
        Move(kind="lose", entity="opportunity", id=deals[4], status=5, columns={"name": "Lost deal"}),
        Move(kind="status", entity="lead", id=lead_id, status=5),
        Move(kind="win", entity="opportunity", id=new_id(), status=3),
    ]
    box.control.forget_calls()
    outcomes = crm.moves(orders)
    assert [type(each) for each in outcomes] == [Written, Written, Written, Refused, Written, Written, Refused]
    assert len(data_calls(box)) == 2
    shown = [crm.life(each.row) for each in outcomes if isinstance(each, Written) and each.row is not None]
    assert [each.state for each in shown] == ["won", "won", "open", "lost", "disqualified"]
    assert life(crm, "opportunity", deals[3]).state == "open"
    reopen = [Move(kind="reopen", entity="opportunity", id=deal, status=stages[1]) for deal in deals[:2]]
    fault(box, "drop_after_commit", body_regex="PATCH")
    box.control.forget_calls()
    outcomes = crm.moves(reopen)
    assert all(isinstance(each, Written) and each.adopted for each in outcomes)
    assert len(data_calls(box)) == 3
    closes = box.control.dump()["dynamics"]["opportunityclose"]
    mine = [each["statuscode"] for each in closes if each["_opportunityid_value"] in deals[:2]]
    assert mine == [3, 3]  # each deal's own was canceled


@pytest.mark.parametrize("action", ["drop_after_commit", "drop_before_commit"])
def test_a_close_is_never_made_twice(box: Box, crm: DynamicsConnector, action: str) -> None:
    deal = create(crm, "opportunity", name="Deal")
    order = Move(kind="win", entity="opportunity", id=deal, status=3, actual_value=Decimal(5))
    fault(box, action, body_regex="WinOpportunity")
    first = crm.moves([order])[0]
    assert isinstance(first, Written if action == "drop_after_commit" else Unknown)
    again = crm.moves([order])[0]
    assert isinstance(again, Written)
    assert again.adopted == (action == "drop_after_commit")
    closes = [
        each for each in box.control.dump()["dynamics"]["opportunityclose"] if each["_opportunityid_value"] == deal
    ]
    assert len(closes) == 1


def test_a_status_takes_its_state_along(crm: DynamicsConnector) -> None:
    lead_id = lead(crm)
    for status, state in ((5, "disqualified"), (2, "open")):
        outcome = crm.moves([Move(kind="status", entity="lead", id=lead_id, status=status)])[0]
        assert isinstance(outcome, Written)
        told = life(crm, "lead", lead_id)
        assert (told.state, told.status) == (state, status)
    unknown = crm.moves([Move(kind="status", entity="lead", id=lead_id, status=77)])[0]
    assert isinstance(unknown, Refused)
    deal = create(crm, "opportunity", name="Deal")
    assert crm.life(moved(crm, kind="status", id=deal, status=2)).on_hold


# --- who is there -------------------------------------------------------------------------------------------------


def test_columns_are_described_as_the_environment_has_them(crm: DynamicsConnector) -> None:
    columns = crm.describe("lead").columns
    assert (columns["subject"].type, columns["subject"].length) == ("text", 300)
    assert columns["estimatedclosedate"].type == "date"
    assert columns["createdon"].type == "datetime"  # by its behaviour, whatever its format says
    assert (columns["estimatedamount"].type, columns["estimatedamount"].scale) == ("money", 2)
    assert not columns["fullname"].createable
    assert columns["leadqualitycode"].restricted
    assert [each.label for each in columns["leadqualitycode"].options] == ["Hot", "Warm", "Cold"]
    assert columns["customerid_contact"].targets == ("contact",)
    assert columns["ownerid"].targets == ("systemuser", "team")
    assert columns["ownerid"].required
    assert not columns["lastname"].required  # forms only
    defaults = {each.state: each.value for each in crm.describe("lead").statuses if each.default}
    assert defaults == {"open": 1, "converted": 3, "disqualified": 4}


def test_users_and_currencies(box: Box) -> None:
    ada = box.control.people("dynamics", "Ada@Example.com")["user_id"]
    crm = connector(box, default_owner="ada@example.COM ")
    told = crm.directory()
    assert told.user_ids["ada@example.com"] == told.default_owner == ada
    assert told.currency == "USD"
    assert told.multi_currency
    assert {"USD", "EUR"} <= set(told.currencies.values())
    crm.close()
    nobody = connector(box, default_owner="nobody@example.com")
    with pytest.raises(ConfigError, match=r"nobody@example\.com"):
        nobody.directory()
    nobody.close()


def test_the_certificate_logs_in(box: Box) -> None:
    pem = Path(box.connect["dynamics"]["certificate_path"]).read_text(encoding="utf-8")
    parts = re.findall(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n", pem, re.DOTALL)
    key = next(part for part in parts if "PRIVATE KEY" in part)
    certificate = next(part for part in parts if "CERTIFICATE" in part)
    crm = connector(box, flow="certificate", private_key=key, certificate=certificate)
    assert crm.identity().name == "Contoso Sandbox"
    crm.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_secret": "wrong"}, "AADSTS7000215.*secret's value"),
        ({"client_id": "somebody"}, "AADSTS700016.*check client_id"),
        ({"tenant_id": "nowhere"}, "does not know the tenant"),
        ({"flow": "access_token", "access_token": "stale"}, "access token is not accepted"),
    ],
)
def test_a_refused_login_says_what_to_do(box: Box, changes: dict[str, Any], words: str) -> None:
    crm = connector(box, **changes)
    with pytest.raises(AccessError, match=words) as told:
        crm.identity()
    assert "wrong" not in str(told.value).replace("is wrong", "")
    crm.close()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"url": "https://localhost:1", "flow": "access_token"}, TryLater),
        ({"ca_file": None}, TryLater),
        ({"client_secret": ""}, ConfigError),
        ({"flow": "certificate"}, ConfigError),
        ({"flow": "certificate", "private_key": "no key", "thumbprint": "ab"}, ConfigError),
        ({"flow": "access_token", "access_token": ""}, ConfigError),
    ],
)
def test_what_cannot_work_is_said(box: Box, changes: dict[str, Any], error: type[Exception]) -> None:
    def ask() -> None:
        crm = connector(box, **changes)
        try:
            crm.identity()
        finally:
            crm.close()

    with pytest.raises(error) as told:
        ask()
    assert box.connect["dynamics"]["client_secret"] not in str(told.value)
