"""`resolve --into` and `--without-conversion`: what a person says of a conversion that goes no further."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from crmbridge.cli.error_handler import run
from crmbridge.model import Link, Ref
from crmbridge.settings import load
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Issue
from crmbridge.sync.hands import LET_GO_META
from tests.support.rows import plain_row
from tests.support.settings import away

LEAD, THERE = "00Q3S0001000001UAA", "739d7e6d-ce44-4247-b263-c5a55e5c95e5"
ACCOUNT, CONTACT, DEAL = "0013S0001000001UAA", "0033S0001000001UAA", "0063S0001000001UAA"
ACCOUNT_THERE = "11111111-1111-4111-8111-111111111111"
CONTACT_THERE = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A lead that Salesforce has converted and Dynamics refuses to; an open pair of leads beside it."""
    away(tmp_path, monkeypatch)
    one = Store.open(load(tmp_path / "crmbridge.yaml").store_url())
    lease = one.take_lease("cycle", 60)
    known: Any = {"kind": "failed", "side": "right", "fix": "", "message": "refused"}
    results: Mapping[str, Any] = {
        "ConvertedAccountId": ACCOUNT,
        "ConvertedContactId": CONTACT,
        "ConvertedOpportunityId": DEAL,
    }
    one.apply(
        Batch(
            rows=[
                plain_row("left", "lead", LEAD, LastName="B", IsConverted=True, **results),
                plain_row("right", "lead", THERE, lastname="B", statecode=0),
                plain_row("left", "account", ACCOUNT, Name="Acme"),
                plain_row("left", "contact", CONTACT, LastName="B"),
                plain_row("left", "opportunity", DEAL, Name="Deal"),
                plain_row("right", "account", ACCOUNT_THERE, name="Acme Ltd"),
                plain_row("right", "contact", CONTACT_THERE, lastname="B"),
                plain_row("left", "lead", "00Q-open", LastName="C", IsConverted=False),
                plain_row("right", "lead", "lead-open", lastname="C", statecode=0),
            ],
            links=[
                Link(id="half", entity="lead", left_id=LEAD, right_id=THERE),
                Link(id="open", entity="lead", left_id="00Q-open", right_id="lead-open"),
            ],
            issues=[
                Issue(**known, cause="0x80040265", entity="lead", link_id="half", native_id=THERE, fingerprint="f"),
                Issue(**known, cause="too_long", entity="lead", link_id="open", native_id="lead-open"),
                Issue(**known, cause="ambiguous_match", entity="account", link_id=None, native_id=ACCOUNT_THERE),
            ],
        ),
        lease=lease,
    )
    one.release(lease)
    yield one
    one.close()


def number(store: Store, cause: str) -> str:
    return str(next(one.id for one in store.open_issues(cause=cause)))


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run(["resolve", *words, "--json"]) == code
    printed = capsys.readouterr()
    return json.loads(printed.out) if code == 0 else printed.err


def test_a_conversion_takes_the_record_that_a_person_names(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    issue = number(store, "0x80040265")
    answer = told(capsys, issue, "--into", ACCOUNT_THERE, "--by", "ada", "--why", "the head office")
    assert answer["ids"] == {"salesforce": ACCOUNT, "dynamics": ACCOUNT_THERE}
    link = store.links_by_native("left", "account", [ACCOUNT])[ACCOUNT]
    assert (link.right_id, link.mode, link.how) == (ACCOUNT_THERE, "matched", "chosen by ada: the head office")
    [open_one] = store.open_issues(cause="0x80040265")
    assert (open_one.released_by, open_one.released_why) == ("ada", "the head office")
    assert store.open_issues(cause="ambiguous_match") == []  # asked about the same record
    assert {pair.link.id for pair in store.pending("lead") if pair.link} >= {"half"}
    again = told(capsys, issue, "--into", CONTACT_THERE)
    assert again["ids"] == {"salesforce": CONTACT, "dynamics": CONTACT_THERE}
    assert "has a partner already" in told(capsys, issue, "--into", ACCOUNT_THERE, code=2)


def test_a_refused_conversion_is_given_up_and_what_it_made_is_due(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = told(capsys, number(store, "0x80040265"), "--without-conversion", "--by", "ada", "--why", "the rule stays")
    assert f"account {ACCOUNT}, contact {CONTACT}, opportunity {DEAL}" in answer["message"]
    assert json.loads(store.meta(LET_GO_META) or "") == {"half": "ada: the rule stays"}
    assert store.open_issues(cause="0x80040265") == []
    for entity, id in (("account", ACCOUNT), ("contact", CONTACT), ("opportunity", DEAL)):
        stored = store.record(Ref(side="left", entity=entity, id=id))  # pyright: ignore[reportArgumentType]
        assert stored is not None
        assert stored.touched


@pytest.mark.parametrize(
    ("cause", "words", "message"),
    [
        ("too_long", ["--without-conversion"], "are not converted on just one side"),
        ("too_long", ["--into", ACCOUNT_THERE], "are not converted on just one side"),
        ("ambiguous_match", ["--without-conversion"], "is not about a pair of leads"),
        ("0x80040265", ["--into", "nowhere"], "dynamics has shown no account, contact or opportunity 'nowhere'"),
        ("0x80040265", ["--into", ACCOUNT], "dynamics has shown no account"),  # of the wrong side
        ("0x80040265", ["--into", ACCOUNT_THERE, "--without-conversion"], "Give one of --with, --into"),
        ("0x80040265", ["--into", ACCOUNT_THERE, "--with", "x"], "Give one of --with, --into"),
    ],
)
def test_what_has_no_meaning_is_refused_and_changes_nothing(
    store: Store, capsys: pytest.CaptureFixture[str], cause: str, words: list[str], message: str
) -> None:
    before = len(store.open_issues())
    assert message in " ".join(told(capsys, number(store, cause), *words, code=2).split())
    assert store.meta(LET_GO_META) is None
    assert len(store.open_issues()) == before
    assert store.links_by_native("right", "account", [ACCOUNT_THERE]) == {}


def test_both_go_with_the_number_of_an_issue(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "go with the number of an issue" in told(
        capsys, "--cause", "too_long", "--why", "x", "--without-conversion", code=2
    )
    assert "There is no open issue 99" in told(capsys, "99", "--without-conversion", code=2)
