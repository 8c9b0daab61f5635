"""Commands in this process, on a store of their own and without any CRM."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crmbridge.cli.error_handler import run
from crmbridge.cli.find import candidates, whole_id
from crmbridge.cli.sync import parse_only, real_id, write_held
from crmbridge.errors import ConfigError
from crmbridge.model import Base, Link, Ref
from crmbridge.settings import load
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Intent, Issue
from crmbridge.sync.hands import Event
from tests.support.rows import plain_row
from tests.support.settings import away
from workers.broker import AWAY_META

LEAD = "00Q3S0001000001UAA"
GUID = "739d7e6d-ce44-4247-b263-c5a55e5c95e5"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return away(tmp_path, monkeypatch)


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    """A linked lead that was written once and has a conflict; two accounts that may be one."""
    one = Store.open(load(folder / "crmbridge.yaml").store_url())
    lease = one.take_lease("cycle", 60)
    link = Link(id="shared-1", entity="lead", left_id=LEAD, right_id=GUID, how="matched by email + last_name")
    link = replace(link, base=Base(left={"title": "CFO"}, right={"title": "CFO"}))
    intent = Intent(
        id="i1", run_id="r1", side="right", entity="lead", kind="update", link_id="shared-1", native_id=GUID,
        before={"jobtitle": "CEO"}, after={"jobtitle": "CFO"}, reason="title: changed on the left", fence=lease.fence,
    )  # fmt: skip
    known: Any = {"kind": "held", "link_id": None, "native_id": None, "side": None, "fix": "Choose."}
    one.apply(
        Batch(
            rows=[
                plain_row("left", "lead", LEAD, Email="kari@x.example", Title="CFO"),
                plain_row("right", "lead", GUID, emailaddress1="kari@x.example", jobtitle="CFO"),
                plain_row("left", "account", "001A"),
                plain_row("right", "account", "acc-1"),
            ],
            links=[link],
            open_intents=[intent],
            issues=[
                Issue(
                    **known | {"cause": "first_run_conflict", "entity": "lead", "link_id": "shared-1", "field": "title"}
                ),
                Issue(**known | {"cause": "ambiguous_match", "entity": "account", "side": "left", "native_id": "001A"}),
            ],
        ),
        lease=lease,
    )
    one.apply(Batch(close_intents=[replace(intent, state="done", reply="written")]), lease=lease)
    one.release(lease)
    yield one
    one.close()


def document(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


# --- init -----------------------------------------------------------------------------------------------------------


def test_init_makes_what_an_admin_edits_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = document(capsys, "init", str(tmp_path / "new"))
    assert {"crmbridge.yaml", ".env.example", "mapping.schema.json", "mappings/lead.yaml"} <= set(made["made"])
    (tmp_path / "new" / "crmbridge.yaml").write_text("mine")
    again = document(capsys, "init", str(tmp_path / "new"))
    assert again["made"] == []
    assert (tmp_path / "new" / "crmbridge.yaml").read_text() == "mine"


def test_check_of_what_init_made_names_the_secrets_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["init", str(tmp_path)])
    found = document(capsys, "--config", str(tmp_path / "crmbridge.yaml"), "check", code=2)
    text = json.dumps(found)
    assert "SALESFORCE_CLIENT_ID" in text


# --- finding a record -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        LEAD,
        LEAD[:15],
        f"https://x.lightning.force.com/lightning/r/Lead/{LEAD}/view",
        f"https://x.my.salesforce.com/{LEAD[:15]}",
        GUID,
        GUID.upper(),
        f"https://x.crm.dynamics.com/main.aspx?appid=0f38309a-1de4-4b6d-8da4-32e1c33378c1&etn=lead&id={{{GUID}}}",
        f"https://x.crm.dynamics.com/api/data/v9.2/leads({GUID})",
        "shared-1",
        "lead:Kari@X.example",
    ],
)
def test_a_record_is_found_by_whatever_people_have_at_hand(
    store: Store, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert document(capsys, "show", text)["shared_id"] == "shared-1"


def test_ids_in_texts() -> None:
    assert whole_id("001D000000IqhSL") == "001D000000IqhSLIAZ"
    assert whole_id(LEAD[:15]) == LEAD
    assert candidates("shared-1") == ["shared-1"]


def test_what_is_not_known_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "00Q000000000009AAA"]) == 2
    assert "No record is known" in capsys.readouterr().err
    assert run(["show", "account:x@y.example"]) == 2


# --- looking --------------------------------------------------------------------------------------------------------


def test_show_tells_values_agreement_issues_and_writes(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "show", "shared-1")
    assert shown["sides"]["salesforce"]["values"]["title"] == "CFO"
    assert shown["agreed"]["dynamics"]["title"] == "CFO"
    assert [one["cause"] for one in shown["issues"]] == ["first_run_conflict"]
    (write,) = shown["writes"]
    assert (write["on"], write["before"], write["after"]) == ("dynamics", {"jobtitle": "CEO"}, {"jobtitle": "CFO"})
    assert run(["show", "shared-1"]) == 0
    assert "matched by email + last_name" in capsys.readouterr().out


def test_why_says_what_it_can_when_no_crm_answers(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    # Nothing listens at the addresses of the settings above.
    told = document(capsys, "why", "shared-1", "title")
    assert told["rule"]["rule"] == "both"
    assert "lead.yaml:" in told["rule"]["at"]
    assert told["sources"]["dynamics"]["column"] == "jobtitle"
    assert told["merge"]["decided"] is False
    assert "could not be asked" in told["merge"]["why"]
    assert [one["reason"] for one in told["writes"]] == ["title: changed on salesforce"]
    assert run(["why", "shared-1", "titel"]) == 2
    assert "Did you mean 'title'?" in capsys.readouterr().err


def test_why_of_a_field_on_one_side_names_what_a_new_record_gets(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = document(capsys, "why", "shared-1", "topic")["rule"]
    assert rule["rule"] == "on dynamics only, never written across"
    assert rule["create"] == {"dynamics": "{company} - {last_name}"}
    assert run(["why", "shared-1", "topic"]) == 0
    assert "create     dynamics: a new record gets '{company} - {last_name}' where" in capsys.readouterr().out


def test_why_of_a_place_in_life_says_what_it_can_when_no_crm_answers(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    told = document(capsys, "why", "shared-1", "status")
    assert told["field"] == "status"
    assert "lead.yaml:" in told["rule"]["at"]
    assert set(told["sources"]) == {"salesforce", "dynamics"}
    assert told["merge"]["decided"] is False
    assert "could not be asked" in told["merge"]["why"]
    assert run(["why", "001A", "status"]) == 2
    assert "An account has no status of its own" in capsys.readouterr().err
    assert run(["why", "shared-1", "statsu"]) == 2
    assert "Did you mean 'status'?" in capsys.readouterr().err


def test_status_and_runs_ask_the_store_alone(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_row = store.start_run("sync")
    store.end_run(run_row.id, "done", calls={"salesforce": {"Lead query": 2}})
    told = document(capsys, "status")
    assert told["records"]["lead"]["linked"] == 1
    assert told["open_issues"] == {"held": 2}
    assert told["at_work"] is None
    assert told["last_run"]["outcome"] == "done"
    assert document(capsys, "runs")["runs"][0]["calls"] == {"salesforce": {"Lead query": 2}}
    assert run(["status"]) == run(["runs"]) == 0
    assert told["broker_away_seconds"] is None
    store.set_meta(AWAY_META, store.now().isoformat())
    assert document(capsys, "status")["broker_away_seconds"] < 60
    assert run(["status"]) == 0
    assert "The broker does not answer" in capsys.readouterr().out


# --- deciding -------------------------------------------------------------------------------------------------------


def test_issues_are_grouped_by_cause_with_the_fix_and_exit_1(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "issues", code=1)
    assert {cause["cause"]: cause["count"] for cause in told["causes"]} == {
        "first_run_conflict": 1,
        "ambiguous_match": 1,
    }
    assert document(capsys, "issues", "--entity", "contact")["count"] == 0
    assert run(["issues"]) == 1
    assert "What to do: Choose." in capsys.readouterr().out


def test_records_that_wait_for_others_are_one_line_of_the_summary(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    known: Any = {"kind": "report", "cause": "left_out", "entity": "contact", "link_id": None, "side": "left"}
    waiting = [Issue(**known, native_id=f"003{n}", field=f"account:001{n}") for n in range(30)]
    lease = store.take_lease("cycle", 60)
    store.apply(Batch(issues=waiting), lease=lease)
    store.release(lease)
    [told] = document(capsys, "issues", "left_out", code=0)["causes"]
    assert (told["cause"], told["count"]) == ("left_out", 30)
    assert len({one["record"]["native_id"] for one in told["issues"]}) == 30


def test_retry_records_who_and_why(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "retry", "1", "--by", "kari", "--why", "mended")["released"] == 1
    issue = store.issue(1)
    assert issue is not None
    assert (issue.released_by, issue.released_why) == ("kari", "mended")
    assert run(["retry"]) == run(["retry", "1", "--all"]) == run(["retry", "99"]) == 2


def test_a_choice_for_a_whole_field_is_kept_for_the_engine(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "resolve", "--field", "lead.title", "--prefer", "dynamics", "--why", "newer")
    assert told["released"] == 1
    assert json.loads(store.meta("choices") or "") == {"lead.title": "right"}
    for words in (
        ["--field", "lead.titel", "--prefer", "dynamics"],
        ["--field", "lead.title", "--prefer", "nobody"],
        ["--field", "lead.title"],
        [],
    ):
        assert run(["resolve", *words]) == 2


def test_naming_the_right_partner_links_the_two_and_closes_the_question(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["resolve", "2", "--with", "nobody"]) == 2
    told = document(capsys, "resolve", "2", "--with", "acc-1", "--by", "kari", "--why", "same tax number")
    assert told["ids"] == {"salesforce": "001A", "dynamics": "acc-1"}
    link = store.links_by_native("left", "account", ["001A"])["001A"]
    assert (link.right_id, link.mode, link.how) == ("acc-1", "matched", "chosen by kari: same tax number")
    stored = store.record(Ref(side="right", entity="account", id="acc-1"))
    assert stored is not None
    assert stored.dirty
    issue = store.issue(2)
    assert issue is not None
    assert (issue.closed_by, issue.closed_why) == ("kari", "same tax number")
    assert run(["resolve", "2"]) == 2, "it is closed"
    assert run(["resolve", "1", "--with", "acc-1"]) == 2, "it is about a pair"
    assert run(["resolve", "1", "--why", "fine as it is"]) == 0


# --- plan and sync --------------------------------------------------------------------------------------------------


def test_only() -> None:
    only = parse_only(["id=1", "2", "owner=kari@x.example", "since=2026-11-20", "limit=5"])
    assert only is not None
    assert (only.ids, only.owner, only.limit) == (frozenset({"1", "2"}), "kari@x.example", 5)
    assert str(only.modified_since) == "2026-11-20 00:00:00+00:00"
    assert parse_only([]) is None
    for bad in ("since=soon", "limit=-1", "colour=red"):
        with pytest.raises(ConfigError):
            parse_only([bad])


def test_the_held_list_opens_in_a_spreadsheet_and_runs_no_formula(tmp_path: Path) -> None:
    event = Event(
        entity="lead", side="left", kind="held", link_id=None, ids={"left": LEAD}, reason="=cmd()", cause="x", fix="Do."
    )
    write_held(tmp_path / "held.csv", [event])
    with (tmp_path / "held.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["left id"] == LEAD
    assert lines[0]["what"] == "'=cmd()"
    assert lines[0]["decision"] == ""


def test_a_record_that_is_only_planned_has_no_id_yet() -> None:
    assert real_id("planned:1") is None
    assert real_id("001") == "001"
