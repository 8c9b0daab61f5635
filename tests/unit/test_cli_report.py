"""`crmbridge report`: what helps is in it, and no canary: no secret, token, e-mail, name, phone, host or id."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from crmbridge.cli.error_handler import run
from crmbridge.cli.start import copy_shipped, shipped_config
from crmbridge.model import Link, Ref, Row
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Intent, Issue
from crmbridge.sync.hands import LEASE_NAME
from crmbridge.unnamed import masker

SECRET = "canary-S3cr3t-of-the-client"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJl"
SETTINGS = """\
connections:
  canary_left:
    system: salesforce
    url: https://canary-host.my.salesforce.example
    default_owner: canary.owner@canary.example
    auth: {flow: client_credentials, client_id: canary-client, client_secret: "${env:SECRET}"}
  canary_right:
    system: dynamics
    url: https://canary-org.crm4.dynamics.example
    auth: {flow: client_secret, tenant_id: canary-tenant, client_id: canary-app, client_secret: "${env:SECRET}"}
only: {owner: canary.boss@canary.example}
"""
LEAD = "00Q3S0001000001UAA"
GUID = "739d7e6d-ce44-4247-b263-c5a55e5c95e5"
CANARIES = (
    *(SECRET, TOKEN, LEAD, GUID, "canary", "Lovelace", "+49 711 4711815", "0711/4711815", "4711815"),
    *("@canary", "@mapping.example", "bridge-user"),
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    copy_shipped(shipped_config(), tmp_path)
    for file in (tmp_path / "mappings").glob("*.yaml"):
        text = file.read_text().replace("salesforce:", "canary_left:").replace("dynamics:", "canary_right:")
        file.write_text(
            f"{text}\n# ask Ada Lovelace, +49 711 4711815, lovelace@mapping.example, https://canary-host/x\n"
        )
    (tmp_path / "crmbridge.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRMBRIDGE_CONFIG", raising=False)
    monkeypatch.setenv("SECRET", SECRET)
    opened = Store.open(f"sqlite:///{tmp_path}/crmbridge.sqlite3")
    lease = opened.take_lease(LEASE_NAME, 60)
    struct = msgspec.defstruct("Values", [("LastName", str), ("Email", str), ("Phone", str)])
    values = struct("Lovelace", "ada@canary.example", "+49 711 4711815")
    row = Row(
        ref=Ref(side="left", entity="lead", id=LEAD), version="1", created_at=None, modified_at=None, values=values
    )
    intent = Intent(
        id="i", run_id="r", side="right", entity="lead", kind="update", link_id="l", native_id=GUID,
        after={"emailaddress1": "ada@canary.example"},
    )  # fmt: skip
    said = f"DUPLICATE: ada@canary.example of Lovelace ({LEAD}), call 0711/4711815, Bearer {TOKEN}"
    issues = [
        Issue(kind="held", cause="rejected", entity="lead", link_id=None, side="left", native_id=LEAD, message=said),
        Issue(
            kind="waiting", cause="claimed", entity="contact", link_id=None, side="right", native_id=GUID, field=LEAD
        ),
    ]
    link = Link(id="shared", entity="lead", left_id=LEAD, right_id=GUID)
    opened.apply(Batch(rows=[row], open_intents=[intent], issues=issues, links=[link]), lease=lease)
    opened.release(lease)
    done = opened.start_run("sync")
    counts = {"canary_left": {"lead": {"update": 3}}}
    opened.end_run(done.id, f"waits: {said}", counts=counts, calls={"canary_left": {"Lead query": 7}})
    failed = opened.start_run("sync")
    opened.end_run(failed.id, "failed: TryLater")
    yield opened
    opened.close()


def read(file: Path) -> dict[str, str]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_no_canary_is_in_it(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    line = {"event": "Lovelace ada@canary.example", "action": "cycle_failed", "code": "store", "record": LEAD}
    log.write_text(f"{json.dumps(line)}\nTraceback: ada@canary.example {SECRET}\n")
    assert run(["report", "out.zip", "--log", str(log)]) == 0
    parts = read(Path("out.zip"))
    found = [
        (name, canary) for name, text in parts.items() for canary in CANARIES if canary.casefold() in text.casefold()
    ]
    # `Lovelace` in lower case is nobody's word; the connections' names are the company's own.
    assert not found
    assert json.loads(parts["log.json"]) == {
        "lines": [{"action": "cycle_failed", "code": "store"}],
        "left_out": 1,
    }


def test_what_helps_is_in_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "out.zip", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    parts = read(Path("out.zip"))
    assert set(parts) == {*told["holds"], "README.txt"}
    assert json.loads(parts["versions.json"])["packages"]["sqlalchemy"]
    settings = json.loads(parts["settings.json"])
    assert settings["guard"]["creates"] == 500
    assert settings["connections"]["connections 1"]["system"] == "salesforce"
    assert settings["connections"]["connections 1"]["auth"]["client_secret"] == "[set]"
    kept = json.loads(parts["store.json"])
    assert kept["schema"] == "0005"
    assert kept["records"]["lead"]["linked"] == 1
    assert kept["calls_without_answer"] == {"right lead update": 1}
    runs = json.loads(parts["runs.json"])
    assert {one["outcome"] for one in runs} == {"waits", "failed: TryLater"}
    assert [{"lead": {"update": 3}}] in [one["counts"] for one in runs]
    issues = {one["cause"]: one for one in json.loads(parts["issues.json"])}
    assert issues["rejected"]["count"] == 1
    assert issues["claimed"]["records"][0].startswith("id-")
    assert "last_name" in parts["mappings/lead.yaml"]
    assert not [name for name in parts if "examples" in name]


def test_a_file_that_is_there_is_kept(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.zip").write_text("mine")
    assert run(["report", "out.zip"]) == 2
    assert Path("out.zip").read_text() == "mine"
    assert run(["report", "out.zip", "--force"]) == 0
    out = capsys.readouterr().out
    assert "issues.json" in out
    assert Path("out.zip").stat().st_mode & 0o077 == 0


def test_ids_are_the_same_within_one_report_and_in_no_other() -> None:
    one, other = (masker(key, ["topsecret"], ["https://crm.example"]) for key in (b"1" * 16, b"2" * 16))
    assert one.text(LEAD) == one.text(LEAD) != other.text(LEAD)
    said = f"topsecret at CRM.example for {GUID}, +49 711 4711815 on 2026-11-22 10:11:12"
    assert one.text(said) == f"[secret] at [host] for {one.id(GUID)}, [number] on 2026-11-22 10:11:12"
