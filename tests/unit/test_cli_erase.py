"""`crmbridge erase` as people use it: shown first, done with a yes and a reason, refused while something is open."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmbridge.cli.error_handler import run
from crmbridge.model import Base, Link, Ref
from crmbridge.state import schema
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, ConversionRow, Intent, Issue
from crmbridge.sync.hands import LEASE_NAME
from tests.support.rows import plain_row
from tests.support.settings import away

LEAD = "00Q3S0001000001UAA"
GUID = "739d7e6d-ce44-4247-b263-c5a55e5c95e5"
AT = datetime(2026, 1, 1, tzinfo=UTC)
LINK = Link(id="shared-lead", entity="lead", left_id=LEAD, right_id=GUID, base=Base(left={"email": "ada@x.example"}))


def intent(**more: object) -> Intent:
    known = Intent(
        id="i1", run_id="r", side="right", entity="lead", kind="update", link_id=LINK.id, native_id=GUID,
        source_id=LEAD, before={"emailaddress1": "old@x.example"}, after={"emailaddress1": "ada@x.example"},
    )  # fmt: skip
    return replace(known, **more)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    away(tmp_path, monkeypatch)
    opened = Store.open(f"sqlite:///{tmp_path}/crmbridge.sqlite3")
    lease = opened.take_lease(LEASE_NAME, 60)
    ada = {"firstname": "Ada", "lastname": "Lovelace", "emailaddress1": "ada@x.example"}
    rows = [
        plain_row("left", "lead", LEAD, FirstName="Ada", LastName="Lovelace", Email="ada@x.example"),
        plain_row("right", "lead", GUID, **ada),
        plain_row("right", "contact", "c-2", **ada),
        plain_row("right", "contact", "c-3", firstname="Bob", lastname="Lovelace", emailaddress1="ada@x.example"),
        plain_row("right", "opportunity", "o-1", name="Ada Lovelace wants ten"),
        plain_row("right", "opportunity", "o-2", name="Another deal", parentcontactid="c-2"),
    ]
    issue = Issue(
        kind="held", cause="twins", entity="account", link_id=None, side="left", native_id="001", message=f"see {LEAD}"
    )
    batch = Batch(rows=rows, links=[LINK], open_intents=[intent()], issues=[issue])
    opened.apply(batch, lease=lease)
    opened.apply(Batch(close_intents=[intent(state="done", reply="written")]), lease=lease)
    opened.release(lease)
    yield opened
    opened.close()


def apply(store: Store, batch: Batch) -> None:
    lease = store.take_lease(LEASE_NAME, 60)
    store.apply(batch, lease=lease)
    store.release(lease)


def test_it_is_shown_first_and_nothing_is_done(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["erase", LEAD, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["done"]
    assert {one["id"] for one in told["records"]} == {LEAD, GUID, "c-2"}  # the contact has the name and the address
    assert [one["id"] for one in told["left"]["same_email"]] == ["c-3"]
    assert [(one["id"], one["fields"]) for one in told["left"]["named_in"]] == [
        ("o-1", ["name"]),
        ("o-2", ["parentcontactid"]),
    ]
    assert store.record(Ref(side="left", entity="lead", id=LEAD)) is not None
    assert run(["erase", LEAD]) == 0
    assert "--yes" in capsys.readouterr().out


def test_it_is_done_with_a_yes_and_a_reason(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["erase", LEAD, "--yes", "--json", "--by", "dpo", "--why", "request 12"]) == 0
    assert json.loads(capsys.readouterr().out)["clean"]
    gone = Ref(side="left", entity="lead", id=LEAD)
    assert store.record(gone) is None
    assert store.erased([gone]) == {gone}
    assert store.links([LINK.id]) == {}
    (line,) = store.journal()  # that a write happened stays true
    assert (line.native_id, line.after, line.kind) == (None, {}, "update")
    assert LEAD not in next(iter(store.open_issues())).message
    assert run(["erase", LEAD, "--yes", "--why", "again"]) == 2
    assert "erased before" in capsys.readouterr().err
    assert run(["erase", LEAD, "--allow-again"]) == 0
    assert store.erased([gone]) == set()


def test_by_the_address_all_who_have_it_are_meant(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["erase", "ADA@x.example", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["id"] for one in told["records"]} == {LEAD, GUID, "c-2", "c-3"}


def test_one_pair_alone(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["erase", LEAD, "--only", "--json"]) == 0
    assert {one["id"] for one in json.loads(capsys.readouterr().out)["records"]} == {LEAD, GUID}


@pytest.mark.parametrize("why", ["Ada Lovelace asked", "mail from ada@x.example", "lovelace"])
def test_a_reason_that_names_the_person_is_refused(store: Store, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["erase", LEAD, "--yes", "--why", why]) == 2
    assert "names the person" in capsys.readouterr().err
    assert store.record(Ref(side="left", entity="lead", id=LEAD)) is not None


def test_a_yes_without_a_reason_is_refused(store: Store) -> None:
    assert run(["erase", LEAD, "--yes"]) == 2
    assert store.record(Ref(side="left", entity="lead", id=LEAD)) is not None


def test_while_a_call_is_open_it_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    apply(store, Batch(open_intents=[intent(id="i2", after={"emailaddress1": "new@x.example"})]))
    assert run(["erase", LEAD, "--yes", "--why", "request 12"]) == 2
    assert "crmbridge sync" in capsys.readouterr().err
    assert store.record(Ref(side="left", entity="lead", id=LEAD)) is not None


@pytest.mark.parametrize(("state", "after_all"), [("called", 2), ("held", 0)])
def test_while_a_conversion_is_not_finished_it_is_refused(
    store: Store, state: str, after_all: int, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(
        store, Batch(conversions=[ConversionRow(lead_link=LINK.id, epoch=0, case="C1", from_side="left", state=state)])
    )
    assert run(["erase", LEAD, "--yes", "--why", "request 12"]) == 2
    assert "conversion" in capsys.readouterr().err
    assert run(["erase", LEAD, "--yes", "--why", "request 12", "--abandon"]) == after_all


def test_a_run_at_work_keeps_it_off(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    lease = store.take_lease(LEASE_NAME, 60)
    assert run(["erase", LEAD, "--yes", "--why", "request 12"]) == 4
    store.release(lease)
    assert "Another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize(("who", "says"), [("o-1", "is no person"), ("nobody@x.example", "No lead or contact")])
def test_who_is_meant_must_be_a_person_that_is_known(
    store: Store, who: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["erase", who]) == 2
    assert says in capsys.readouterr().err


def test_a_file_of_ours_that_names_the_person_is_told(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("mappings/lead.examples.yaml")
    text = file.read_text()
    file.write_text(text + "# ada@X.example wrote this\n")
    assert run(["erase", LEAD, "--json"]) == 0
    # The address is somebody else's as well, so it is the name alone that is looked for, and the ids.
    assert json.loads(capsys.readouterr().out)["left"]["files"] == []
    file.write_text(text + "# Ada Lovelace wrote this\n")
    assert run(["erase", LEAD, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["left"]["files"]
    assert "lead.examples.yaml" in told


@pytest.mark.parametrize(("state", "code"), [("due", 2), ("done", 0)])
def test_what_was_handed_out_to_a_worker_comes_first(store: Store, state: str, code: int) -> None:
    lines = [{"link_id": LINK.id, "told": json.dumps({"lead": LEAD})}, {"link_id": "other", "told": "{}"}]
    more = {"run_id": "r", "mapping": "", "lane": "a", "state": state, "attempts": 0, "due_at": AT, "changed_at": AT}
    with store._database.writing("test") as connection:
        connection.execute(schema.work.insert(), [line | more for line in lines])
    assert run(["erase", LEAD, "--yes", "--why", "request 12"]) == code
    with store._database.reading() as connection:
        left = set(connection.execute(schema.work.select()).mappings().all()[0].values())
        count = len(connection.execute(schema.work.select()).all())
    assert count == (2 if code else 1)
    assert code or LINK.id not in left
