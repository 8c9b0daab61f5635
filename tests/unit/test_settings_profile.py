"""Profiles: files laid over files, for settings and mappings, each problem at its place in the right one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import mapping
from crmbridge import settings
from crmbridge.cli.group import cli
from crmbridge.errors import ConfigError
from crmbridge.settings.outline import outline
from mapping.layers import lay_over
from mapping.source import read_text
from tests.support.coded import sentence

GOOD = """\
connections:
  sf:
    system: salesforce
    url: https://acme.my.salesforce.com
    auth: {flow: access_token, access_token: "${env:TOKEN}"}
  crm:
    system: dynamics
    url: https://acme.crm.dynamics.com
    auth: {flow: access_token, access_token: "${env:TOKEN}"}
guard: {creates: 5, updates: 7}
"""
ACCOUNT = """\
entity: account
sf: {object: Account}
crm: {table: account}
fields:
  name: {sf: Name, crm: name, required: true}
  phone: {sf: Phone, crm: telephone1, convert: phone}
"""
TOKEN = {"TOKEN": "t"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    write(tmp_path, "crmbridge.yaml", GOOD)
    write(tmp_path, "mappings/account.yaml", ACCOUNT)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def test_a_map_is_merged_anything_else_replaces_null_takes_away(folder: Path) -> None:
    text = "guard: {creates: 1, updates: null}\nconnections: {sf: {url: https://t.my.salesforce.com}}\n"
    write(folder, "crmbridge.test.yaml", text)
    plain = settings.load(folder / "crmbridge.yaml", TOKEN)
    assert (plain.guard.creates, plain.guard.updates, plain.profile) == (5, 7, None)
    found = settings.load(folder / "crmbridge.yaml", TOKEN, profile="test")
    assert (found.guard.creates, found.guard.updates, found.profile) == (1, 1000, "test")
    assert (found.side("left").url, found.side("right").url) == ("https://t.my.salesforce.com", plain.side("right").url)


def test_the_profile_comes_from_the_environment_or_dotenv(folder: Path) -> None:
    write(folder, "crmbridge.test.yaml", "guard: {creates: 1}\n")
    write(folder, "crmbridge.prod.yaml", "guard: {creates: 2}\n")
    file = folder / "crmbridge.yaml"
    assert settings.load(file, {**TOKEN, "CRMBRIDGE_PROFILE": "test"}).guard.creates == 1
    write(folder, ".env", "CRMBRIDGE_PROFILE=prod\n")
    assert settings.load(file, TOKEN).guard.creates == 2
    assert settings.load(file, {**TOKEN, "CRMBRIDGE_PROFILE": "test"}).guard.creates == 1


def test_problems_are_told_where_the_value_stands(folder: Path) -> None:
    write(folder, "crmbridge.test.yaml", "# for trying out\nguard:\n  creats: 1\n  updates: many\n")
    with pytest.raises(ConfigError) as caught:
        settings.load(folder / "crmbridge.yaml", TOKEN, profile="test")
    assert {sentence(line.replace(f"{folder}/", "")) for line in caught.value.problems} == {
        "crmbridge.test.yaml:3:3: guard.creats: unknown key; did you mean 'creates'?",
        "crmbridge.test.yaml:4:12: guard.updates: must be a whole number",
    }


def test_what_is_not_there_cannot_be_taken_away(folder: Path) -> None:
    write(folder, "crmbridge.test.yaml", "gaurd: null\n")
    with pytest.raises(ConfigError) as caught:
        settings.load(folder / "crmbridge.yaml", TOKEN, profile="test")
    (told,) = caught.value.problems
    assert "crmbridge.test.yaml:1:1: gaurd: there is nothing to take away" in told
    assert "did you mean 'guard'?" in told


@pytest.mark.parametrize(("name", "meant"), [("tset", "did you mean 'test'?"), ("examples", "there is test")])
def test_a_profile_that_no_file_is_for_is_refused(folder: Path, name: str, meant: str) -> None:
    write(folder, "crmbridge.test.yaml", "guard: {creates: 1}\n")
    write(folder, "mappings/account.examples.yaml", "examples: []\n")
    for load in (settings.load, outline):
        with pytest.raises(ConfigError, match=f"is for the profile '{name}'") as caught:
            load(folder / "crmbridge.yaml", TOKEN, profile=name)
        assert meant in str(caught.value)


def test_a_mapping_alone_may_have_the_profile(folder: Path) -> None:
    write(folder, "mappings/account.test.yaml", "fields: {phone: {convert: text}}\n")
    assert settings.load(folder / "crmbridge.yaml", TOKEN, profile="test").profile == "test"


def test_mappings_are_overlaid_and_other_profiles_are_not_read(folder: Path) -> None:
    write(folder, "mappings/account.test.yaml", "fields:\n  phone: null\n  name: {crm: nmae, requird: true}\n")
    write(folder, "mappings/account.prod.yaml", "fields: [nonsense\n")
    plain, problems = mapping.load(folder / "mappings", {"sf": "salesforce", "crm": "dynamics"})
    assert problems == ()
    assert set(plain.items[0].fields) == {"name", "phone"}
    found, problems = mapping.load(folder / "mappings", {"sf": "salesforce", "crm": "dynamics"}, profile="test")
    account = found.items[0]
    assert set(account.fields) == {"name"}
    assert account.fields["name"].columns["right"].column == "nmae"
    assert account.fields["name"].required
    (problem,) = problems
    assert str(problem).startswith(f"{folder}/mappings/account.test.yaml:3:21: fields.name.requird: unknown key")
    assert account.source.place(("fields", "name", "crm")).file.endswith("account.test.yaml")
    assert account.source.place(("fields", "name", "sf")).file.endswith("account.yaml")


def test_an_overlay_that_is_no_map_is_told() -> None:
    made = lay_over(read_text("a: 1\n", file="lead.yaml"), read_text("- 1\n", file="lead.test.yaml"))
    assert [str(f).startswith("lead.test.yaml:1:1: must be keys and values") for f in made.findings] == [True]
    assert made.data == {"a": 1}


def test_check_shows_the_profile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "crmbridge.test.yaml", "guard: {creates: 1}\n")
    monkeypatch.setenv("TOKEN", "t")
    config = str(folder / "crmbridge.yaml")
    told = CliRunner().invoke(cli, ["--config", config, "--profile", "test", "check"])
    assert told.output.splitlines()[0] == "Profile test: crmbridge.test.yaml"
    as_json = CliRunner().invoke(cli, ["--config", config, "check", "--json"], env={"CRMBRIDGE_PROFILE": "test"})
    assert json.loads(as_json.stdout)["profile"] == "test"
