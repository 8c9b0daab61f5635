"""Service limits over real HTTP: how many requests are under way is seen there alone (dataverse-api §10.4)."""

import threading
import time
from collections.abc import Iterator

import pytest
import requests

from crmbridge.sandbox.server import Box, running_sandbox

PATIENCE_SECONDS = 20.0


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    with running_sandbox(seed="empty") as running:
        yield running


def ask(box: Box, token: str | None = None) -> requests.Response:
    dynamics = box.connect["dynamics"]
    headers = {"Authorization": f"Bearer {token or dynamics['access_token']}"}
    return requests.get(f"{dynamics['url']}/api/data/v9.2/leads", headers=headers, timeout=PATIENCE_SECONDS)


def limit(box: Box, **wanted: object) -> requests.Response:
    return requests.post(f"{box.connect['control_url']}/limits", json={"crm": "dynamics", **wanted}, timeout=10)


def test_a_second_request_while_the_first_is_under_way_is_one_too_many(box: Box) -> None:
    assert limit(box, concurrent=1).json()["dynamics"]["concurrent"] == 1
    other = box.control.people("dynamics", "other@x.example")["access_token"]
    box.control.add_fault(
        crm="dynamics", table="lead", times=1, action={"name": "slow", "seconds": 3, "when": "after_commit"}
    )
    answers: list[requests.Response] = []
    first = threading.Thread(target=lambda: answers.append(ask(box)))
    first.start()
    until = time.monotonic() + PATIENCE_SECONDS
    while not box.control.raw_calls() and time.monotonic() < until:
        time.sleep(0.02)
    second, somebody_else = ask(box), ask(box, other)
    first.join()
    assert (answers[0].status_code, somebody_else.status_code) == (200, 200)
    assert (second.status_code, second.json()["error"]["code"]) == (429, "0x80072326")
    assert "Retry-After" in second.headers
    assert ask(box).status_code == 200


def test_the_control_port_shows_and_moves_the_limits_and_refuses_in_words(box: Box) -> None:
    shown = requests.get(f"{box.connect['control_url']}/limits", timeout=10).json()
    assert shown["dynamics"]["requests"] == 6000
    assert limit(box, requests=1).status_code == 200
    assert [ask(box).status_code for _ in range(2)] == [200, 429]
    for wrong, words in (({"speed": 1}, "speed: unknown limit"), ({"requests": -1}, "requests: a number")):
        refused = limit(box, **wrong)
        assert (refused.status_code, words in refused.json()["error"]) == (400, True)
    nobody = requests.post(f"{box.connect['control_url']}/limits", json={"crm": "nobody"}, timeout=10)
    assert "crm: one of dynamics" in nobody.json()["error"]
