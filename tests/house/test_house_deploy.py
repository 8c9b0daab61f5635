"""The files in deploy/ are sound, and name nothing that does not exist: settings, commands, metrics."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import promql_parser
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from crmbridge.cli.group import COMMANDS
from crmbridge.settings import Settings
from tests.support.metrics import EVERY_METRIC

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
TEXTS = [file for file in sorted(DEPLOY.rglob("*")) if file.is_file() and file.suffix != ".json"]
RULES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(DEPLOY / "prometheus" / "alerts.yaml")["groups"][0][
    "rules"
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "crmbridge.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def program(name: str) -> str:
    """Beside this Python; the tools come with the development packages."""
    return str(Path(sys.executable).parent / name)


def run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr or f"exit {ran.returncode}"


# --- containers -----------------------------------------------------------------------------------------------------


def test_the_dockerfile_is_clean() -> None:
    assert run(program("hadolint"), str(DEPLOY / "Dockerfile")) == ""


def test_the_image_is_slim_and_not_roots() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:3.13-slim"] * 2
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001"]
    assert "HEALTHCHECK" in text


def test_all_that_the_image_is_built_from_is_let_in() -> None:
    root = DEPLOY.parent
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    wanted = {name for line in copied for name in line.split()}
    let_in = {line[1:] for line in (root / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    assert wanted == let_in
    assert all((root / name).exists() for name in wanted)


def test_compose_is_what_its_schema_says() -> None:
    file = str(DEPLOY / "compose.yaml")
    assert run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file) == ""


def test_compose_has_two_workers_one_beat_and_both_services() -> None:
    services = YAML(typ="safe", pure=True).load(DEPLOY / "compose.yaml")["services"]
    assert set(services) == {"worker", "beat", "metrics", "redis", "postgres"}
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["worker"]["stop_grace_period"] == "180s"
    command = " ".join(services["redis"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes --appendfsync everysec" in command


# --- units ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_units_are_what_systemd_takes(unit: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on this machine")
    said = run(analyze, "verify", "--man=no", str(unit))
    # The programs are not installed where they will be; all else that it says counts.
    assert [line for line in said.splitlines() if "is not executable" not in line] == []


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_units_shut_in_what_they_start(unit: Path) -> None:
    lines = unit.read_text("utf-8").splitlines()
    for line in (
        "User=crmbridge",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "UMask=0077",
    ):
        assert line in lines
    assert "Restart=always" in lines


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_units_leave_the_store_to_the_settings(unit: Path) -> None:
    """The environment wins over crmbridge.yaml: metrics beside workers on PostgreSQL would tell of an empty file."""
    set_here = re.findall(r"^Environment=(\w+)=", unit.read_text("utf-8"), re.MULTILINE)
    assert set_here == ["CRMBRIDGE_CONFIG"]


# --- what they name -------------------------------------------------------------------------------------------------


def exists(name: str) -> bool:
    """Does CRMBRIDGE_STORE__URL, say, set something?"""
    if name in ("CRMBRIDGE_CONFIG", "CRMBRIDGE_PROFILE"):
        return True
    here: Any = Settings
    for part in name.removeprefix("CRMBRIDGE_").lower().split("__"):
        sections = [one for one in (here, *get_args(here)) if isinstance(one, type) and issubclass(one, BaseModel)]
        fields = {key: field.annotation for section in sections for key, field in section.model_fields.items()}
        if part not in fields:
            return False
        here = fields[part]
    return True


def test_every_setting_that_they_name_exists() -> None:
    named = {name for file in TEXTS for name in re.findall(r"\bCRMBRIDGE_[A-Z_]+\b", file.read_text("utf-8"))}
    assert {"CRMBRIDGE_CONFIG", "CRMBRIDGE_STORE__URL", "CRMBRIDGE_BROKER__URL"} <= named
    assert [name for name in sorted(named) if not exists(name)] == []
    assert not exists("CRMBRIDGE_STORE__URI")


def test_every_command_that_they_name_exists() -> None:
    found = [
        word
        for file in TEXTS
        for word in re.findall(r"(?:`|bin/|\[|&& )crmbridge[\", ]+([a-z]+)", file.read_text("utf-8"))
    ]
    assert {"metrics", "healthy", "up", "status"} <= set(found)
    assert [word for word in found if word not in COMMANDS] == []


# --- numbers --------------------------------------------------------------------------------------------------------


def metrics_of(query: str) -> set[str]:
    """Names that a query asks for, counters without `_total`. Raises ValueError for what is no PromQL."""
    promql_parser.parse(query)
    return {name.removesuffix("_total") for name in re.findall(r"\bcrmbridge_[a-z_]+\b", query)}


def queries() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_queries_ask_for_what_there_is(where: str, query: str) -> None:
    assert metrics_of(query) <= EVERY_METRIC, where


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    asked = {name for _, query in queries() for name in metrics_of(query)}
    assert EVERY_METRIC - asked == {"crmbridge_at_work"}  # of use in one's own queries


def test_rules_say_what_is_the_matter_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "warn"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_the_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


# --- the broker as compose starts it --------------------------------------------------------------------------------


def test_the_brokers_user_may_do_what_workers_do_and_no_more(tmp_path: Path) -> None:
    """The very words of compose.yaml, given to a real server; then what Celery and `check --live` ask of it."""
    import redis
    from celery import Celery
    from redis.exceptions import AuthenticationError, NoPermissionError

    from workers.broker import ping
    from workers.own_broker import find_server

    script: str = YAML(typ="safe", pure=True).load(DEPLOY / "compose.yaml")["services"]["redis"]["command"][2]
    script = script.replace("$$", "$").replace("/run/secrets/broker", str(tmp_path / "broker"))
    (tmp_path / "broker").write_text("secret-of-the-broker", "utf-8")
    path = tmp_path / "s"
    with tempfile.TemporaryDirectory(prefix="crmbridge-") as short:
        path = Path(short) / "s"
        script = script.replace("exec redis-server", f"exec {find_server()} --port 0 --unixsocket {path} --dir {short}")
        server = subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.DEVNULL)
        try:
            url = f"unix://crmbridge:secret-of-the-broker@{path}?db=0"
            for _ in range(200):
                if path.exists():
                    break
                time.sleep(0.05)
            assert ping(url) == "noeviction"
            app = Celery(broker=url.replace("unix://", "redis+socket://").replace("?db=0", "?virtual_host=0"))
            app.conf.broker_transport_options = {"global_keyprefix": "crmbridge:"}
            with app.connection_for_write() as connection:
                queue = connection.SimpleQueue("crmbridge")
                queue.put({"hint": 1})
                assert queue.get(timeout=10).payload == {"hint": 1}
                queue.close()
            with redis.Redis.from_url(url) as client, pytest.raises(NoPermissionError):
                client.flushall()
            with redis.Redis.from_url(f"unix://{path}") as nobody, pytest.raises(AuthenticationError):
                nobody.ping()
        finally:
            server.terminate()
            server.wait(20)
