"""The figures that a test with real processes may lower: together, and only against a CRM on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crmbridge import pace
from crmbridge.sync import hands
from workers.config import celery_settings

ELSEWHERE = """\
connections:
  salesforce:
    system: salesforce
    url: https://northfield.my.salesforce.com
    auth: {flow: client_credentials, client_id: x, client_secret: "${env:S}"}
  dynamics:
    system: dynamics
    url: https://northfield.crm4.dynamics.com
    auth: {flow: client_secret, tenant_id: t, client_id: x, client_secret: "${env:S}"}
"""


def test_production_is_what_holds_without_the_variable() -> None:
    assert pace.from_environment({}) == pace.Pace(lease=150, renew=15, call=120, tick=5)
    assert pace.NOW == pace.PRODUCTION
    assert (hands.LEASE_SECONDS, hands.RENEW_SECONDS) == (150, 15)


def test_all_are_lowered_together() -> None:
    assert pace.parse("lease=12 renew=1 call=6 tick=1") == pace.Pace(lease=12, renew=1, call=6, tick=1)


@pytest.mark.parametrize("text", ["lease=12", "lease", "leas=12", "lease=5 renew=1 call=6", "tick=0", "tick=1 tick=2"])
def test_a_lease_that_could_end_during_a_call_and_other_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=pace.VARIABLE):
        pace.parse(text)


def test_beside_a_crm_that_is_not_on_this_machine_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "crmbridge.yaml").write_text(ELSEWHERE, encoding="utf-8")
    env = os.environ | {pace.VARIABLE: "lease=12 renew=1 call=6 tick=1", "S": "x"}
    ran = subprocess.run(
        [sys.executable, "-m", "crmbridge", "sync"],
        cwd=tmp_path,
        env=env | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 2, ran.stderr
    assert pace.VARIABLE in ran.stderr
    assert "is not on this machine" in ran.stderr


def test_acknowledgements_are_late_unless_a_test_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crmbridge.settings import load

    (tmp_path / "crmbridge.yaml").write_text(ELSEWHERE, encoding="utf-8")
    settings = load(tmp_path / "crmbridge.yaml", env={"S": "x"})
    conf = celery_settings(settings, "redis://h/0")
    assert conf["task_acks_late"]
    assert conf["task_reject_on_worker_lost"]
    monkeypatch.setenv("CRMBRIDGE_TEST_ACKS", "early")
    conf = celery_settings(settings, "redis://h/0")
    assert not conf["task_acks_late"]
    assert not conf["task_reject_on_worker_lost"]
