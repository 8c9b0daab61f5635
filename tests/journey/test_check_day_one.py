# ruff: noqa: E501 - tables read best unbroken
"""`check --live` counts what breaks on the first day, says what to do about each, and what it could not look at."""

import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import pytest

from connectors.base import Surveyor
from connectors.survey import Questions
from crmbridge import wiring
from crmbridge.cli.breakers import BREAKERS, first_few
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.server import running_sandbox
from crmbridge.settings import load
from tests.support.project import Project, make_project

pytestmark = [pytest.mark.journey]

LEADS = """\
LastName,FirstName,Company,Email,Status,MobilePhone,PostalCode
Berg,Ann,Acme,ann@acme.example,Open - Not Contacted,,1
Berg,Ann,Acme,ann@acme.example,Working - Contacted,,2
Berg,A.,Acme AB,ann@acme.example,Open - Not Contacted,,3
Long,Lo,Longfield,lo@long.example,Open - Not Contacted,+46 8 123 45 67 ext. 123456789,4
Called,Ca,Callers,ca@call.example,Closed - Converted,,5
Own,Ow,Owners,ow@own.example,Recycled,,6
"""
THERE = """\
lastname,companyname,emailaddress1,subject
Nobody,,no@one.example,
Nobody,,no@one.example,Topic
Berg,Acme,not an address,Topic
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("day-one")
    for name, text in {"salesforce/Lead.csv": LEADS, "dynamics/lead.csv": THERE}.items():
        path = folder / "records" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    box = Sandbox("sample", load=folder / "records")
    with running_sandbox(sandbox=box, state_dir=folder / "state") as served:
        yield make_project(folder / "project", served)


@pytest.fixture(scope="module")
def told(made: Project) -> str:
    made.pass_time()  # what is loaded just now is younger than what a sample looks at
    ran = made.run_here("check", "--live")
    assert ran.code == 0, ran
    return ran.out


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("twins", "salesforce: warning: 3 lead records share key 1 of `match:` with another (1 group); merge them"),
        ("twins", "dynamics: warning: 2 lead records share key 1 of `match:` with another (1 group); merge them"),
        ("converted-by-label", "salesforce: warning: 4 leads have a converted status and were never converted; convert"),
        ("persons", "dynamics: warning: 2 open leads have no company; choose what becomes of them by `lifecycle:"),
        ("data-misfit", "mobile too_long 1"),
        ("data-misfit", "email invalid_email 1"),
        ("data-misfit", "dynamics: 1 open lead has no topic"),
        ("owners", "salesforce: warning: 1 open lead belongs to users who are not active: 005"),
        ("owners", "salesforce: warning: 1 open lead belongs to users without a partner on dynamics: 005"),
        ("own-words", "salesforce: warning: 1 lead has 'Recycled', in no row; add them to a row"),
        ("duplicate-rules", "dynamics: warning: published duplicate rules: account against account 2"),
        ("validation-rules", "salesforce: could not be checked: which validation rules are active"),
        ("needed-at-conversion", "could not be checked: which lead fields feed required fields"),
    ],
)  # fmt: skip
def test_each_is_told_in_a_count_with_its_way_out(code: str, words: str, told: str) -> None:
    lines = [line for line in told.splitlines() if words in line]
    assert len(lines) == 1, told
    assert lines[0].endswith(f"[{code}]")


def test_rights_that_are_too_much_are_told_and_those_that_are_there_are_no_line(told: str) -> None:
    """The sandbox's users are administrators; what a user of fewer rights is told: tests/journey/test_setup.py."""
    assert "our user lacks" not in told
    assert (
        "salesforce: warning: our user has rights that are too much for it: Modify All Data, Author Apex, Manage Users. Take"
        in told
    )
    assert "dynamics: warning: our user has rights that are too much for it: Write on Security Role" in told
    assert not [line for line in told.splitlines() if "could not be checked" in line and "[rights]" in line]


def test_owners_without_a_partner_are_listed_by_their_ids(made: Project) -> None:
    dump = made.box.control.dump()
    there = {row["internalemailaddress"] for row in dump["dynamics"]["systemuser"]}
    users = {row["Id"]: row["Email"] for row in dump["salesforce"]["User"] if row["IsActive"]}
    found = made.run_here("check", "--live", "--json").json["findings"]
    [line] = [one for one in found if one["where"] == "salesforce" and "active users have no partner" in one["text"]]
    assert line["ids"] == [id for id, email in users.items() if email not in there and not email.startswith("sync@")]
    assert line["ids"][0] in line["text"]
    owned = [one for one in found if one["code"] == "owners" and "without a partner" in one["text"]]
    assert {id for one in owned for id in one["ids"]} <= set(line["ids"])
    assert owned


def test_a_long_list_is_cut_in_the_text() -> None:
    names = [f"u{n}" for n in range(12)]
    assert first_few(names[:10]) == "u0, u1, u2, u3, u4, u5, u6, u7, u8, u9"
    assert first_few(names) == "u0, u1, u2, u3, u4, u5, u6, u7, u8, u9 and 2 more (--json lists all)"


def test_nobodys_data_is_shown(told: str) -> None:
    for private in ("Berg", "ann@acme", "Longfield", "no@one", "123456789", "Callers"):
        assert private not in told


def test_the_calls_are_few_and_counted(made: Project) -> None:
    settings = load(made.settings)
    connectors = wiring.open_connectors(settings)
    try:
        for connector in connectors.values():
            connector.describe("opportunity")  # asked anyway, and with it which processes there are
            before = sum(connector.calls.values())
            assert isinstance(connector, Surveyor)
            key = ("Email", "LastName") if connector.system == "salesforce" else ("emailaddress1", "lastname")
            survey = connector.survey(Questions(keys={"lead": (key, key)}))
            calls = sum(connector.calls.values()) - before
            # Five aggregates in a composite call, and the Tooling API apart. Dynamics takes them in one batch, instances
            # of processes in a second one, and the paths of a few in a third.
            assert calls == (ceil((15 + 2) / 5) + 1 if connector.system == "salesforce" else 3)
            assert survey.statuses["lead"]
    finally:
        for connector in connectors.values():
            connector.close()


def test_every_breaker_is_documented_and_every_fix_is_a_sentence_to_act_on() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "check.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", page, re.MULTILINE)
    assert rows == [(str(number), one.code) for number, one in BREAKERS.items()]
    assert list(BREAKERS) == list(range(1, 16))
    for one in BREAKERS.values():
        assert re.match(r"(feed|look|let|give|convert|set|choose|activate|merge|correct|add)\b", one.fix)
