"""A night on call, with `crmbridge up` as a real process: an alert comes, the page is found, the command helps, it is
over."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.oncall import CHECKOUT, sections
from tests.support.project import Project, project, stop, wait_until

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(600)]

PAGER = """\
import json, sys
with open({file!r}, "a") as out:
    out.write(json.dumps(json.load(sys.stdin)) + "\\n")
"""


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path, seed="sample") as one:
        yield one


def test_an_alert_comes_its_page_helps_and_it_is_over(company: Project, tmp_path: Path) -> None:
    inbox, script = tmp_path / "inbox.jsonl", tmp_path / "page.py"
    script.write_text(PAGER.format(file=str(inbox)))
    company.add(
        "schedules: {every: 1 second, idle: up to 2 seconds}\n"
        f"alerts:\n  channels:\n    pager: {{command: ['{sys.executable}', '{script}']}}\n"
        "  rules: [{when: guard}, {when: silence, over: 1 hour}]\n"
    )
    assert company.run("alerts", "test").out == "pager: taken\n"

    def alerts() -> list[Any]:
        return [json.loads(line) for line in inbox.read_text().splitlines()]

    log = tmp_path / "up.log"
    with log.open("w") as output:
        up = company.start("up", stdout=output, stderr=output)
        raised = wait_until(
            "the pager rings", lambda: next((one for one in alerts() if one["event"] == "raised"), None)
        )
        assert raised["kind"] == "guard", raised
        file, _, anchor = raised["page"].partition("#")
        page = sections(CHECKOUT / file)[anchor]
        assert "crmbridge sync --approve PLAN" in page

        told = company.run("status", "--json").json
        assert [one["kind"] for one in told["alarms"]] == ["guard"]
        assert any(one["alive"] for one in told["workers"]), told["workers"]
        assert company.run("alerts", "show").code == 1
        planned = company.run("plan", "--json").json
        company.run("sync", "--approve", planned["plan"], "--why", "the first run, read and agreed")
        wait_until("it is over", lambda: any(one["event"] == "over" for one in alerts()))
        assert [one["event"] for one in alerts()] == ["test", "raised", "over"], "each is told once"
        assert company.run("alerts", "show").code == 0
        assert up.poll() is None, log.read_text()
        assert stop(up).code == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()
