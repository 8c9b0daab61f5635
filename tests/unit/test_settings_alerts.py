"""What may stand under `alerts:`."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge.alerts import DEFAULT, Rule
from crmbridge.errors import ConfigError
from crmbridge.settings import load
from tests.unit.test_settings_schedules import CONNECTIONS

CHANNELS = """\
  channels:
    ops: {webhook: https://hooks.x.example/alerts, secret: "${env:S}"}
    mail: {email: [a@x.example], sender: b@x.example, server: smtp.x.example:587, user: u, password: "${env:S}"}
    page: {command: [/usr/local/bin/page, --team, crm]}
"""


def alerts(tmp_path: Path, text: str) -> Any:
    (tmp_path / "crmbridge.yaml").write_text(CONNECTIONS + "alerts:\n" + text)
    return load(tmp_path / "crmbridge.yaml", env={"SECRET": "x"}).alerts


def test_without_rules_all_kinds_are_told_to_all_channels(tmp_path: Path) -> None:
    found = alerts(tmp_path, CHANNELS)
    assert found.in_force == DEFAULT
    assert found.repeats_after == timedelta(hours=4)
    assert list(found.heard_by(())) == ["ops", "mail", "page"]
    assert list(found.heard_by(("page",))) == ["page"]


def test_rules_have_bounds_in_words(tmp_path: Path) -> None:
    rules = "  rules:\n    - {when: lag, over: 10 minutes, to: [page]}\n    - {when: errors, over: 2.5 %}\n"
    found = alerts(tmp_path, f"  repeat: 30 minutes\n{CHANNELS}{rules}")
    assert found.in_force == (
        Rule(kind="lag", span=timedelta(minutes=10), to=("page",)),
        Rule(kind="errors", share=0.025),
    )
    assert found.repeats_after == timedelta(minutes=30)


def test_no_rules_tell_nothing(tmp_path: Path) -> None:
    assert alerts(tmp_path, "  rules: []\n").in_force == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  channels: {ops: {webhook: http://hooks.x.example}}", "must begin with https://"),
        ("  channels: {ops: {webhook: https://h.example, secret: plain}}", "a secret never stands here itself"),
        ("  channels: {ops: {webhook: https://h.example, command: [x]}}", "just one of webhook, email and command"),
        ("  channels: {ops: {}}", "just one of webhook, email and command"),
        ("  channels: {mail: {email: [a@x.example]}}", "needs sender and server as well"),
        ("  channels: {mail: {email: [nobody], sender: a@x.example, server: 'h:25'}}", "must be an e-mail address"),
        ("  channels: {mail: {email: [a@x.example], sender: a@x.example, server: h}}", "must be host and port"),
        (
            "  channels: {mail: {email: [a@x.example], sender: a@x.example, server: 'h.example:25', encryption: none}}",
            "for a server on this machine only",
        ),
        ("  channels: {ops: {comand: [x]}}", "did you mean 'command'?"),
        ("  rules: [{when: lag, over: 10}]", "must be text"),
        ("  rules: [{when: lag, over: 10 %}]", "must be a time with its unit"),
        ("  rules: [{when: errors, over: 10 minutes}]", "must be a part such as 10 %"),
        ("  rules: [{when: guard, over: 10 minutes}]", "has no meaning with guard"),
        ("  rules: [{when: guard, to: [ops]}]", "there is no channel ops"),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        alerts(tmp_path, text + "\n")
    told = "\n".join(caught.value.problems)
    assert said in told
    assert "crmbridge.yaml:11:" in told
    assert "plain" not in told
