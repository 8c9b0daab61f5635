"""crmbridge.yaml: what is accepted, where values come from, and what is said about the rest."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema_rs
import pytest

from crmbridge import settings
from crmbridge.errors import ConfigError
from crmbridge.settings import ClientSecret, DynamicsConnection, Jwt, Password, SalesforceConnection
from mapping.source import read_file, read_text
from tests.support import reference
from tests.support.coded import sentence

CONFIG = Path(__file__).parents[2] / "config"

GOOD = """\
connections:
  sf:
    system: salesforce
    url: https://acme.my.salesforce.com/
    auth: {flow: jwt, client_id: abc, username: a@b.example, private_key: "${file:key.pem}"}
  crm:
    system: dynamics
    url: https://acme.crm.dynamics.com
    auth: {flow: client_secret, tenant_id: "${env:TENANT}", client_id: app, client_secret: "${env:SECRET}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_text("-----BEGIN-----\nPRIVATE\n-----END-----\n")
    return tmp_path


def load(folder: Path, text: str = GOOD, **env: str) -> settings.Settings:
    file = folder / "crmbridge.yaml"
    file.write_text(text)
    return settings.load(file, {"TENANT": "tenant-1", "SECRET": "s3cret", **env})


def problems(folder: Path, text: str, **env: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **env)
    assert caught.value.exit_code == 2
    return tuple(sentence(line.replace(f"{folder}/", "")) for line in caught.value.problems)


def test_sides_are_in_the_order_of_the_file_and_secrets_are_resolved_late(folder: Path) -> None:
    found = load(folder)
    assert found.names == ("sf", "crm")
    left, right = found.side("left"), found.side("right")
    assert isinstance(left, SalesforceConnection)
    assert isinstance(right, DynamicsConnection)
    assert isinstance(left.auth, Jwt)
    assert isinstance(right.auth, ClientSecret)
    assert left.url == "https://acme.my.salesforce.com"
    assert left.auth.private_key.get_secret_value() == "-----BEGIN-----\nPRIVATE\n-----END-----"
    assert (left.key_field, right.key_field) == ("CrmBridge_Id__c", None)
    assert (left.request_limit_seconds, right.request_limit_seconds) == (600, 120)
    assert (left.login, right.login) == ("https://login.salesforce.com", "https://login.microsoftonline.com")
    assert right.auth.tenant_id == "tenant-1"
    assert right.auth.client_secret.resolve().get_secret_value() == "s3cret"
    assert "s3cret" not in repr(found)
    assert "PRIVATE" not in repr(found)
    assert found.unresolved() == ()


def test_relative_paths_start_at_the_file(folder: Path) -> None:
    found = load(folder)
    assert found.store_url() == f"sqlite:///{folder}/crmbridge.sqlite3"
    assert found.mappings_folder == folder / "mappings"
    assert found.broker_url() is None
    assert load(folder, CRMBRIDGE_STORE__URL="sqlite:////var/x.db").store_url() == "sqlite:////var/x.db"


def test_environment_wins_over_dotenv_and_dotenv_over_the_file(folder: Path) -> None:
    (folder / ".env").write_text(
        "CRMBRIDGE_GUARD__CREATES=7\nCRMBRIDGE_GUARD__CLOSES=8\nSECRET=from-dotenv\nCRMBRIDGE_ONLY__IDS=a, b\n"
        "CRMBRIDGE_CONNECTIONS__CRM__AUTH__CLIENT_ID=other\n"
    )
    found = load(folder, GOOD + "guard: {creates: 1, closes: 2, deletes: 3}\n", CRMBRIDGE_GUARD__CREATES="9")
    assert (found.guard.creates, found.guard.closes, found.guard.deletes) == (9, 8, 3)
    assert found.only.ids == ("a", "b")
    right = found.side("right")
    assert isinstance(right.auth, ClientSecret)
    assert right.auth.client_id == "other"
    assert right.auth.client_secret.get_secret_value() == "s3cret"  # the environment, not .env


def test_a_secret_may_come_from_the_environment_as_it_is(folder: Path) -> None:
    found = load(folder, CRMBRIDGE_CONNECTIONS__CRM__AUTH__CLIENT_SECRET="given")
    auth = found.side("right").auth
    assert isinstance(auth, ClientSecret)
    assert auth.client_secret.get_secret_value() == "given"
    assert "given" not in repr(auth)


def test_passwords_of_store_and_broker(folder: Path) -> None:
    text = GOOD + "store: {url: 'postgresql://crm:${env:PW}@db/crm'}\nbroker: {url: 'redis://:${env:PW}@r/0'}\n"
    found = load(folder, text, PW="p@ss/word")
    assert found.store_url() == "postgresql://crm:p%40ss%2Fword@db/crm"
    assert found.broker_url() == "redis://:p%40ss%2Fword@r/0"
    assert load(folder, GOOD + "store: {url: '${env:DB}'}\n", DB="postgresql://a:b@c/d").store_url().endswith("a:b@c/d")
    with_proxy = GOOD + '    proxy: "http://me:${env:PW}@proxy:3128"\n'
    right = load(folder, with_proxy, PW="hunter2").side("right")
    assert right.proxy == "http://me:hunter2@proxy:3128"
    assert "hunter2" not in repr(right)
    (problem,) = problems(folder, with_proxy.replace("${env:PW}", "hunter2"))
    assert "connections.crm.proxy: a password never stands here" in problem
    (problem,) = problems(folder, GOOD + "store:\n  url: postgresql://crm:hunter2@db/crm\n")
    assert problem.startswith("crmbridge.yaml:11:8: store.url: a password never stands here")
    assert "hunter2" not in problem


def test_everything_wrong_is_told_at_once_with_its_place(folder: Path) -> None:
    text = """\
connections:
  sf:
    system: salesforse
    url: https://acme.my.salesforce.com
    auth: {flow: jwt}
  password:
    system: salesforce
    url: http://acme.my.salesforce.com
    login_ur: https://x.example
    auth:
      flow: password
      usernam: a@b.example
      password: hunter2
      client_id: abc
    ca_file: nowhere.pem
    request_limit_seconds: 0
guard: {creates: many, delete: 3}
stor: {}
lifecycle:
  mirror_since: tomorrow
  convert: {mirror: nevr, opportunity: as source, bare_qualifed: hold, person_accounts: maybe}
  close: {cancel_close_activity: yes}
  owner: {fallback: {sf: x}}
only: {limit: 0}
"""
    found = problems(folder, text)
    assert set(found) == {
        "crmbridge.yaml:3:13: connections.sf.system: must be one of salesforce, dynamics; did you mean 'salesforce'?",
        "crmbridge.yaml:8:10: connections.password.url: must begin with https:// (http is for this machine only)",
        "crmbridge.yaml:9:5: connections.password.login_ur: unknown key; did you mean 'login_url'?",
        "crmbridge.yaml:10:5: connections.password.auth.username: is missing; add it",
        "crmbridge.yaml:12:7: connections.password.auth.usernam: unknown key; did you mean 'username'?",
        "crmbridge.yaml:13:17: connections.password.auth.password: a secret never stands here itself; write "
        "${env:NAME}, ${file:/path} or ${keyring:service/user}",
        "crmbridge.yaml:11:7: connections.password.auth: client_id and client_secret go together; take both out for "
        "the SOAP login, or give both",
        "crmbridge.yaml:15:14: connections.password.ca_file: there is no such file",
        "crmbridge.yaml:16:28: connections.password.request_limit_seconds: must be more than 0",
        "crmbridge.yaml:17:18: guard.creates: must be a whole number",
        "crmbridge.yaml:17:24: guard.delete: unknown key; did you mean 'deletes'?",
        "crmbridge.yaml:18:1: stor: unknown key; did you mean 'store'?",
        "crmbridge.yaml:20:17: lifecycle.mirror_since: must be a day or an instant, such as 2026-11-30 or "
        "2026-11-30T08:00:00Z",
        "crmbridge.yaml:21:21: lifecycle.convert.mirror: must be one of always, never, {when: …}; did you mean "
        "'never'?",
        "crmbridge.yaml:21:51: lifecycle.convert.bare_qualifed: unknown key; did you mean 'bare_qualified'?",
        "crmbridge.yaml:21:89: lifecycle.convert.person_accounts: must be one of off, on",
        "crmbridge.yaml:23:26: lifecycle.owner.fallback.sf: must be the e-mail address of a user there",
        "crmbridge.yaml:24:15: only.limit: must be at least 1",
    }
    assert not any("hunter2" in problem for problem in found)


def test_missing_and_unknown_settings_from_the_environment_name_the_variable(folder: Path) -> None:
    found = problems(folder, GOOD, CRMBRIDGE_GARD__CREATES="1", CRMBRIDGE_GUARD__CREATES="x", CRMBRIDGE_CRASH_AT="3")
    assert found == (
        "environment: CRMBRIDGE_GARD__CREATES: gard.creates: unknown setting; did you mean 'guard'?",
        "environment: CRMBRIDGE_GUARD__CREATES: guard.creates: must be a whole number",
    )


def test_exactly_two_connections_of_a_known_flow(folder: Path) -> None:
    one, _, _ = GOOD.partition("  crm:")
    assert problems(folder, one)[0].endswith("there must be exactly two, the left and the right one; found 1")
    (problem,) = problems(folder, GOOD.replace("flow: client_secret", "flow: jwt"))
    assert problem.endswith("connections.crm.auth.flow: must be one of client_secret, certificate, access_token"), (
        problem
    )
    (problem,) = problems(folder, GOOD.replace("flow: jwt, ", ""))
    assert problem.endswith(
        "auth.flow: is missing; write one of jwt, client_credentials, password, refresh_token, access_token"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            GOOD + "guard: {creates: 1}\nguard: {creates: 2}\n",
            "11:1: guard: duplicate key; the first one is on line 10",
        ),
        ("a: &x [1]\nb: *x\n", "an alias (*x) is not allowed here"),
        ("a: !!python/object:os.system x\n", "a tag ("),
        ("a: [1\n", "not YAML"),
        ("- 1\n", "must be keys and values"),
        ("", "is empty"),
        ("# " + "x" * 600_000, "is larger than"),
    ],
)
def test_yaml_that_is_refused(folder: Path, text: str, said: str) -> None:
    found = problems(folder, text)
    assert any(said in problem for problem in found), found


def test_references_that_lead_nowhere_are_told_without_their_content(folder: Path) -> None:
    (folder / "key.pem").unlink()
    found = load(folder, SECRET="")
    key = (
        "crmbridge.yaml:5:75: connections.sf.auth.private_key: ${file:key.pem}: the file cannot be read: "
        "No such file or directory. Check the path and the rights."
    )
    secret = (
        "crmbridge.yaml:9:92: connections.crm.auth.client_secret: ${env:SECRET}: the environment variable SECRET is "
        "not set. Set it, or write it into .env."
    )
    assert [sentence(line.replace(f"{folder}/", "")) for line in found.unresolved()] == [key, secret]
    tenant = (
        "crmbridge.yaml:9:44: connections.crm.auth.tenant_id: ${env:TENANT}: the environment variable TENANT is "
        "not set. Set it, or write it into .env."
    )
    # What is no secret is needed at once: then all that is missing is told, and all that is wrong besides.
    assert problems(folder, GOOD, TENANT="", SECRET="") == (key, tenant, secret)
    wrong = problems(folder, GOOD + "guard: {creates: many}\n", SECRET="")
    assert wrong == ("crmbridge.yaml:10:18: guard.creates: must be a whole number", key, secret)


def test_without_secrets_only_what_cannot_be_stood_in_for_is_told(folder: Path) -> None:
    (folder / "crmbridge.yaml").write_text(GOOD)
    found = settings.load(folder / "crmbridge.yaml", {}, secrets=False)
    assert [line.split(": ")[1].rpartition(".")[2] for line in found.unresolved()] == ["tenant_id", "client_secret"]
    (folder / "crmbridge.yaml").write_text(GOOD.replace("https://acme.crm.dynamics.com", "${env:URL}"))
    with pytest.raises(ConfigError) as caught:
        settings.load(folder / "crmbridge.yaml", {}, secrets=False)
    (problem,) = caught.value.problems
    assert "8:10: connections.crm.url: ${env:URL}: the environment variable URL is not set." in problem


def test_an_empty_file_is_told_what_belongs_there(folder: Path) -> None:
    said = "is empty; write its `connections:` (`crmbridge init DIR` makes one to begin with)"
    assert problems(folder, "# all of it is a remark\n") == (f"crmbridge.yaml:1:1: {said}",)
    (folder / "crmbridge.test.yaml").write_text("")
    assert problems(folder, GOOD, CRMBRIDGE_PROFILE="test") == (f"crmbridge.test.yaml:1:1: {said}",)


def test_found_by_argument_environment_and_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(folder)
    other = folder / "other.yaml"
    other.write_text(GOOD.replace("sf:", "west:"))
    env = {"TENANT": "t"}
    monkeypatch.chdir(folder)
    assert settings.load(None, env).names == ("sf", "crm")
    assert settings.load(None, env).path == folder / "crmbridge.yaml"
    assert settings.load(None, env | {"CRMBRIDGE_CONFIG": str(other)}).names == ("west", "crm")
    assert settings.load(other, env).names == ("west", "crm")
    with pytest.raises(ConfigError, match=r"There is no nowhere\.yaml") as caught:
        settings.load("nowhere.yaml", env)
    assert "crmbridge init" in caught.value.fix


def test_loopback_hosts_may_use_http_and_a_day_is_an_instant(folder: Path) -> None:
    text = GOOD.replace("https://acme.my.salesforce.com/", "http://127.0.0.1:8100") + (
        "lifecycle:\n  mirror_since: 2026-03-01\n  scope: {account: touched}\n"
        "only: {ids: [a], modified_since: 2026-03-01T12:00:00+02:00}\nbroker:\n"
    )
    found = load(folder, text)
    assert found.side("left").url == "http://127.0.0.1:8100"
    assert load(folder, GOOD + "only: {modified_since: 2026-03-01 12:00:00}\n").only.modified_since == datetime(
        2026, 3, 1, 12, tzinfo=UTC
    )
    assert found.lifecycle.mirror_since == datetime(2026, 3, 1, tzinfo=UTC)
    assert found.only.modified_since == datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_the_shipped_schema_is_the_generated_one_and_takes_what_is_accepted(folder: Path) -> None:
    shipped = json.loads((CONFIG / "crmbridge.schema.json").read_text())
    assert shipped == reference.explained_schema(), "run: python -m tests.support.reference"
    known = jsonschema_rs.validator_for(shipped)
    for file in (CONFIG / "crmbridge.yaml", CONFIG / "examples" / "two-salesforce-orgs" / "crmbridge.yaml"):
        known.validate(read_file(file).data)
    more = "schedules: {every: 5 minutes}\nlifecycle: {mirror_since: 2026-11-01}\nonly: {ids: [a]}\nguard:\n"
    load(folder, GOOD + more)
    known.validate(read_file(folder / "crmbridge.yaml").data)
    for wrong in ("gaurd: {creates: 5}\n", "guard: {creates: many}\n", "guard: {crates: 5}\n"):
        assert not known.is_valid(read_text(GOOD + wrong, file="crmbridge.yaml").data), wrong
    assert not known.is_valid(read_text(GOOD.replace("flow: jwt", "flow: jtw"), file="crmbridge.yaml").data)


def test_what_init_writes_is_accepted(folder: Path) -> None:
    text = (CONFIG / "crmbridge.yaml").read_text()
    wanted = ("SALESFORCE_CLIENT_ID", "DYNAMICS_TENANT_ID", "DYNAMICS_CLIENT_ID", "DYNAMICS_CLIENT_SECRET")
    example = (CONFIG / ".env.example").read_text()
    assert all(f"\n{name}=" in example for name in wanted)
    found = load(folder, text, **dict.fromkeys(wanted, "x"))
    assert found.names == ("salesforce", "dynamics")
    # Every setting that is commented out is accepted too, once the comment signs are gone.
    optional = "\n".join(
        line.removeprefix("# ")
        for line in text.partition("# Where crmbridge remembers")[2].splitlines()[1:]
        if line.startswith(
            (
                "# store",
                "# broker",
                "# mappings:",
                "# guard",
                "# schedules",
                "# retention",
                "# alerts",
                "# only",
                "#   ",
            )
        )
        and "sqlite" not in line
    )
    full = load(folder, text.partition("# Where crmbridge remembers")[0] + optional, **dict.fromkeys(wanted, "x"))
    assert full.only.limit == 10
    assert full.guard.percent == 10


def test_password_flow_with_and_without_oauth(folder: Path) -> None:
    line = 'auth: {flow: password, username: u, password: "${env:PW}", security_token: "${env:TOKEN}"}'
    text = GOOD.replace(GOOD.splitlines()[4].strip(), line)
    auth = load(folder, text, PW="p", TOKEN="t").side("left").auth
    assert isinstance(auth, Password)
    assert auth.client_id is None
    assert auth.security_token is not None
    assert auth.security_token.get_secret_value() == "t"


def test_a_keyring_entry(folder: Path) -> None:
    keyring = pytest.importorskip("keyring", reason="the extra `keyring` is not installed")
    from keyring.backends.fail import Keyring as NoKeyring

    class Entries(keyring.backend.KeyringBackend):
        priority = 1.0

        def get_password(self, service: str, username: str) -> str | None:
            return "from-keyring" if (service, username) == ("crm", "app") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

    before = keyring.get_keyring()
    try:
        auth = load(folder, GOOD.replace("${env:SECRET}", "${keyring:crm/app}")).side("right").auth
        assert isinstance(auth, ClientSecret)
        keyring.set_keyring(Entries())
        assert auth.client_secret.get_secret_value() == "from-keyring"
        keyring.set_keyring(NoKeyring())
        with pytest.raises(ConfigError, match="keyring does not serve"):
            auth.client_secret.get_secret_value()
    finally:
        keyring.set_keyring(before)
