"""crmbridge.yaml and mappings may come from anybody: nothing in them runs, grows, or is shown again."""

import time
import tracemalloc
from pathlib import Path

import pytest

from crmbridge import settings
from crmbridge.errors import ConfigError
from mapping.source import DEPTH_MAX, SIZE_MAX_BYTES, read_text

GOOD = """\
connections:
  sf:
    system: salesforce
    url: https://acme.my.salesforce.com/
    auth: {flow: client_credentials, client_id: abc, client_secret: "${env:SECRET}"}
  crm:
    system: dynamics
    url: https://acme.crm.dynamics.com
    auth: {flow: client_secret, tenant_id: t, client_id: app, client_secret: "${env:SECRET}"}
"""
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
HOSTILE = {
    "laughs": (LAUGHS, "alias"),
    "self": ("a: &a [*a]\n", "alias"),
    "merge": ("a: &a {b: 1}\nc:\n  <<: *a\n", "alias"),
    "python-object": ("a: !!python/object/apply:os.system ['touch /tmp/x']\n", "a tag ("),
    "python-name": ("a: !!python/name:os.system\n", "a tag ("),
    "binary": ("a: !!binary aGVsbG8=\n", "a tag ("),
    "own-tag": ("a: !secret x\n", "a tag ("),
    "tagged-key": ("!!str a: 1\n", "a key must be plain text"),
    "duplicate": ("a: 1\na: 2\n", "duplicate key"),
    "second-document": ("a: 1\n--- \nb: 2\n", "a second document"),
    "deep-list": ("a: " + "[" * 5000 + "]" * 5000, f"deeper than {DEPTH_MAX}"),
    "deep-map": ("".join(" " * n + "a:\n" for n in range(400)), f"deeper than {DEPTH_MAX}"),
    "too-large": ("# " + "x" * SIZE_MAX_BYTES + "\n", "larger than"),
    "null-byte": ("a: \x00\n", "control character"),
    "escape": ("a: \x1b[2J\n", "control character"),
    "not-utf8": ("a: \udcff\n", ""),
}


@pytest.mark.parametrize(("text", "said"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_mapping_refuses_it(text: str, said: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    found = read_text(text.encode("utf-8", "surrogateescape"), file="lead.yaml").findings
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found
    assert said in " ".join(map(str, found))
    assert "\x1b" not in " ".join(map(str, found))
    assert peak < 64 * 2**20
    assert seconds < 60  # it ends; 9^10 leaves would not


@pytest.mark.parametrize(("text", "said"), HOSTILE.values(), ids=list(HOSTILE))
def test_the_settings_refuse_it(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "crmbridge.yaml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        settings.load(file, {})
    assert caught.value.exit_code == 2
    assert said in " ".join(caught.value.problems)


SECRET = "canary-hunter2-secret"
LITERALS = {
    "client_secret": GOOD.replace("client_secret: app", "").replace('"${env:SECRET}"', SECRET, 1),
    "private_key": GOOD.replace(
        'flow: client_credentials, client_id: abc, client_secret: "${env:SECRET}"',
        f"flow: jwt, client_id: abc, username: a@b.example, private_key: {SECRET}",
    ),
    "password": GOOD.replace(
        'flow: client_credentials, client_id: abc, client_secret: "${env:SECRET}"',
        f"flow: password, username: a@b.example, password: {SECRET}",
    ),
    "refresh_token": GOOD.replace(
        'flow: client_credentials, client_id: abc, client_secret: "${env:SECRET}"',
        f"flow: refresh_token, client_id: abc, refresh_token: {SECRET}",
    ),
    "access_token": GOOD.replace(
        'flow: client_credentials, client_id: abc, client_secret: "${env:SECRET}"',
        f"flow: access_token, access_token: {SECRET}",
    ),
    "store": GOOD + f"store: {{url: 'postgresql://crm:{SECRET}@db/crm'}}\n",
    "broker": GOOD + f"broker: {{url: 'redis://:{SECRET}@r/0'}}\n",
    "proxy": GOOD + f"    proxy: 'http://me:{SECRET}@proxy:3128'\n",
    "url": GOOD.replace("https://acme.crm", f"https://me:{SECRET}@acme.crm"),
}


@pytest.mark.parametrize("text", LITERALS.values(), ids=list(LITERALS))
def test_a_secret_in_the_file_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    assert SECRET in text
    file = tmp_path / "crmbridge.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        settings.load(file, {"SECRET": "x"})
    error = caught.value
    assert SECRET not in " ".join([str(error), error.fix, *error.problems, repr(error), repr(error.__cause__)])
    assert error.exit_code == 2


@pytest.mark.parametrize("shown", [repr, str], ids=["repr", "str"])
def test_settings_do_not_show_what_they_resolved(shown: object, tmp_path: Path) -> None:
    file = tmp_path / "crmbridge.yaml"
    file.write_text(GOOD)
    found = settings.load(file, {"SECRET": SECRET})
    assert callable(shown)
    assert SECRET not in str(shown(found))
    assert SECRET not in str(shown(found.side("left")))


BROKERS = {
    "cluster": "redis://a:6379,b:6379/0",
    "cluster-scheme": "redis+cluster://a:6379/0",
    "sentinel": "sentinel://a:26379",
    "amqp": "amqp://guest@rabbit//",
    "memory": "memory://",
    "sql": "sqla+sqlite:///x",
    "filesystem": "filesystem:///tmp",
}


@pytest.mark.parametrize("url", BROKERS.values(), ids=list(BROKERS))
def test_another_broker_than_one_redis_is_refused(url: str) -> None:
    from workers.config import kombu_url

    with pytest.raises(ConfigError) as caught:
        kombu_url(url)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["pickle", "yaml", "msgpack"])
def test_the_broker_may_bring_json_alone(kind: str, tmp_path: Path) -> None:
    from kombu.exceptions import ContentDisallowed
    from kombu.serialization import loads, prepare_accept_content

    from workers.config import celery_settings

    file = tmp_path / "crmbridge.yaml"
    file.write_text(GOOD + "broker: {url: 'redis://r/0'}\n")
    made = celery_settings(settings.load(file, {"SECRET": "x"}))
    assert (made["accept_content"], made["task_serializer"], made["result_backend"]) == (["json"], "json", None)
    accepted = prepare_accept_content(made["accept_content"])
    with pytest.raises(ContentDisallowed):
        loads(
            b"cos\nsystem\n(S'true'\ntR.",
            f"application/x-{'python-serialize' if kind == 'pickle' else kind}",
            "binary",
            accept=accepted,
        )
