"""Who is refused at the door by hand leaves a line, with the cause, where those on call look."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project, project

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

WRONG = "not-the-secret-at-all"
SECRETS = {"salesforce": "SALESFORCE_SECRET", "dynamics": "DYNAMICS_SECRET"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("refused"), seed="sample") as one:
        yield one


@pytest.mark.parametrize("crm", SECRETS)
def test_a_refused_login_is_a_run_with_its_cause(company: Project, crm: str) -> None:
    secrets: Path = company.folder / ".env"
    right = secrets.read_text(encoding="utf-8")
    lines = [line for line in right.splitlines() if not line.startswith(SECRETS[crm])]
    secrets.write_text("\n".join([*lines, f"{SECRETS[crm]}={WRONG}", ""]), encoding="utf-8")
    before = len(company.run_here("runs", "--json").json["runs"])
    try:
        refused = company.run_here("sync")
        checked = company.run_here("check", "--live")
    finally:
        secrets.write_text(right, encoding="utf-8")
    assert refused.code == 4, refused
    assert checked.code == 4, checked
    assert checked.out.splitlines()[-1].endswith("; not all could be checked, since something did not answer."), checked
    if crm == "salesforce":  # Microsoft's own text names the secret
        assert "Check connections.salesforce.auth.client_secret." in refused.err, refused
    runs = company.run_here("runs", "--json").json["runs"]
    assert len(runs) == before + 1, "one line for one try"
    assert runs[0]["kind"] == "sync"
    assert runs[0]["outcome"].startswith("failed: AccessError: "), runs[0]
    assert crm in runs[0]["outcome"], runs[0]
    assert runs[0]["ended_at"] is not None
    status = company.run_here("status", "--json").json
    assert status["last_failed_run"]["run"] == runs[0]["run"]
    shown = company.run_here("status").out
    assert "failed: AccessError: " in shown, shown
    assert WRONG not in shown + str(runs)


def test_a_crm_that_is_not_there_is_one_too(company: Project) -> None:
    company.box.control.add_fault(crm="salesforce", fault="unavailable", times=None)
    before = len(company.run_here("runs", "--json").json["runs"])
    try:
        assert company.run_here("sync").code == 4
    finally:
        company.box.control.clear_faults()
    runs = company.run_here("runs", "--json").json["runs"]
    assert len(runs) == before + 1
    assert runs[0]["outcome"].startswith(("failed: ", "waits: ")), runs[0]


def test_what_is_wrong_with_the_files_is_told_on_the_terminal_alone(company: Project) -> None:
    before = len(company.run_here("runs", "--json").json["runs"])
    company.change("account", "acount", "mappings/account.yaml")
    try:
        assert company.run_here("sync").code == 2
    finally:
        company.change("acount", "account", "mappings/account.yaml")
    assert len(company.run_here("runs", "--json").json["runs"]) == before
