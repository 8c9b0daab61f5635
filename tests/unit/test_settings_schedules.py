"""What may stand under `schedules:`, and what each kind of record's rhythm is by it."""

from datetime import timedelta
from pathlib import Path

import pytest

from crmbridge.errors import ConfigError
from crmbridge.model import Entity
from crmbridge.schedule import Rhythm
from crmbridge.settings import load

CONNECTIONS = """\
connections:
  salesforce:
    system: salesforce
    url: https://x.my.salesforce.com
    auth: {flow: client_credentials, client_id: a, client_secret: "${env:SECRET}"}
  dynamics:
    system: dynamics
    url: https://x.crm.dynamics.com
    auth: {flow: client_secret, tenant_id: a, client_id: b, client_secret: "${env:SECRET}"}
"""


def rhythms(tmp_path: Path, text: str, **env: str) -> dict[Entity, Rhythm]:
    (tmp_path / "crmbridge.yaml").write_text(CONNECTIONS + text)
    return dict(load(tmp_path / "crmbridge.yaml", env=env).schedules.rhythms)


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        rhythms(tmp_path, text)
    return "\n".join(caught.value.problems)


def test_without_a_word_all_are_due_a_minute_after_the_last_cycle(tmp_path: Path) -> None:
    found = rhythms(tmp_path, "")
    assert set(found) == {"account", "contact", "lead", "opportunity"}
    assert set(found.values()) == {Rhythm(every=timedelta(seconds=60))}


def test_the_number_of_earlier_versions_still_counts(tmp_path: Path) -> None:
    assert rhythms(tmp_path, "schedules: {every_seconds: 5}\n")["lead"] == Rhythm(every=timedelta(seconds=5))
    assert rhythms(tmp_path, "", CRMBRIDGE_SCHEDULES__EVERY_SECONDS="7")["lead"].every == timedelta(seconds=7)


def test_each_kind_of_record_has_its_own_over_the_one_for_all(tmp_path: Path) -> None:
    found = rhythms(
        tmp_path,
        """
schedules:
  every: 5 minutes
  idle: up to 30 minutes
  hours: mon-fri 7:00-20:00 Europe/Berlin
  lead: {every: 30 seconds}
  account: {cron: 0 */2 * * * Europe/Berlin}
""",
    )
    assert found["contact"].every == timedelta(minutes=5)
    assert found["contact"].idle == timedelta(minutes=30)
    assert found["lead"].every == timedelta(seconds=30)
    assert found["lead"].hours == found["account"].hours == found["contact"].hours
    assert found["account"].cron is not None
    assert found["account"].idle is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schedules: {every: 5}", "schedules.every: needs its unit; write 5 seconds, or 5 minutes"),
        ("schedules: {every: 5 min}", "schedules.every: must be a time with its unit"),
        (
            "schedules: {every: 5 minutes, every_seconds: 60}",
            "schedules: every_seconds says the same as every",
        ),
        ("schedules: {lead: {every: 5 minutes, cron: '* * * * *'}}", "schedules.lead: every and cron are two ways"),
        ("schedules: {lead: {cron: '* * * * * Mars/Phobos'}}", "schedules.lead.cron: names a zone that is not known"),
        ("schedules: {hours: 8-18}", "schedules.hours: must be days, times and a zone"),
        ("schedules: {cron: 0 3 * * *, idle: 1 hour}", "idle slows down what is given by every"),
        ("schedules: {cron: 0 3 * * *, hours: mon-fri 8:00-18:00 UTC}", "none of cron's times is within the hours"),
        ("schedules: {cron: 0 3 * * *, lead: {hours: mon-fri 8:00-18:00 UTC}}", "lead: none of cron's times"),
        ("schedules: {leads: {every: 5 minutes}}", "did you mean 'lead'?"),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    told = problems(tmp_path, text + "\n")
    assert said in told
    assert "crmbridge.yaml:10:" in told
