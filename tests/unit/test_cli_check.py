"""`crmbridge check` on files alone: doubts beside errors, one problem for one cause, places seen from here."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from crmbridge import settings, wiring
from crmbridge.cli.check import Findings, check
from crmbridge.cli.context import Place
from crmbridge.cli.live import look_around
from crmbridge.cli.mapping.fmt import fmt
from crmbridge.cli.mapping.init import init as mapping_init
from crmbridge.cli.mapping.schema import schema
from crmbridge.errors import ConfigError
from tests.support.project import CHECKOUT
from workers import broker, own_broker

SETTINGS = """\
connections:
  salesforce:
    system: salesforce
    url: https://acme.my.salesforce.com
    auth: {flow: client_credentials, client_id: x, client_secret: "${env:SECRET}"}
  dynamics:
    system: dynamics
    url: https://acme.crm.dynamics.com
    auth: {flow: client_secret, tenant_id: t, client_id: c, client_secret: "${env:SECRET}"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(CHECKOUT / "config" / "mappings", tmp_path / "mappings")
    tmp_path.joinpath("crmbridge.yaml").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(folder: Path, *words: str) -> str:
    place = Place(config=str(folder / "crmbridge.yaml"))
    return CliRunner().invoke(check, ["--files-only", *words], obj=place, standalone_mode=False).output


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_shipped_files_are_not_doubted(folder: Path) -> None:
    assert said(folder).startswith("Nothing is wrong.")


def test_doubts_stand_at_their_lines_as_seen_from_here(folder: Path) -> None:
    edit(folder / "mappings" / "lead.yaml", "\nmatch:", '\nfilter: source == "Web"\nmatch:')
    edit(folder / "mappings" / "lead.yaml", "fields:\n", "fields:\n  key: {salesforce: CrmBridge_Id__c}\n")
    edit(folder / "crmbridge.yaml", "connections:", 'segments:\n  de: {when: country == "DE"}\nconnections:')
    told = said(folder).splitlines()
    [doubt] = [line for line in told if "[value-never]" in line]
    assert doubt.startswith("mappings/lead.yaml:")
    assert doubt.endswith("did you mean 'web'? [value-never]")
    assert any("[key-field-mapped]" in line and ": error: " in line for line in told)
    edit(folder / "mappings" / "lead.yaml", "  key: {salesforce: CrmBridge_Id__c}\n", "")
    found = json.loads(said(folder, "--json"))
    assert found["exit_code"] == 0
    assert [(one["code"], one["line"], one["level"]) for one in found["findings"] if one["path"].startswith("seg")] == [
        ("segment-kinds", 2, "warning")
    ]


def test_a_connection_with_another_name_is_one_problem_of_each_file(folder: Path) -> None:
    edit(folder / "crmbridge.yaml", "  dynamics:\n", "  d365:\n")
    told = said(folder).splitlines()
    assert [line for line in told if line.startswith("mappings/")] == [
        line for line in told if line.endswith("[connection-renamed]")
    ]
    assert told[-1] == "4 errors, 0 warnings."


def test_what_is_wrong_everywhere_is_told_in_one_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET", raising=False)
    edit(folder / "crmbridge.yaml", "client_id: x", 'client_id: "${env:CLIENT}"')
    edit(folder / "mappings" / "lead.yaml", "convert: email", "convert: mail")
    edit(folder / "mappings" / "lead.examples.yaml", "    expect:", "    expects:")
    place = Place(config=str(folder / "crmbridge.yaml"))
    told = CliRunner().invoke(check, obj=place, standalone_mode=False).output.splitlines()
    unset = [line.split(": ")[:4] for line in told if line.endswith("[reference-unset]")]
    assert unset == [
        ["crmbridge.yaml:5:49", "error", "connections.salesforce.auth.client_id", "${env:CLIENT}"],
        ["crmbridge.yaml:5:81", "error", "connections.salesforce.auth.client_secret", "${env:SECRET}"],
        ["crmbridge.yaml:9:76", "error", "connections.dynamics.auth.client_secret", "${env:SECRET}"],
    ]
    assert any("fields.email.convert: 'mail' is not one of" in line for line in told)
    example = "mappings/lead.examples.yaml:"
    assert any(line.startswith(example) and "did you mean 'expect'? [unknown-key]" in line for line in told), told


def test_a_key_field_or_a_connections_old_name_stops_what_writes_as_well(folder: Path) -> None:
    """`plan` and `sync` read the mapping by this; what check alone saw would have been written."""
    env = {"SECRET": "s"}
    own = "  key: {salesforce: crmbridge_id__c, dynamics: new_key}\n"
    edit(folder / "mappings" / "lead.yaml", "fields:\n", f"fields:\n{own}")
    with pytest.raises(ConfigError) as caught:
        wiring.load_mapping(settings.load(folder / "crmbridge.yaml", env))
    (problem,) = caught.value.problems
    assert "CrmBridge_Id__c is the key field of salesforce" in problem
    edit(folder / "mappings" / "lead.yaml", own, "")
    edit(folder / "crmbridge.yaml", "  dynamics:\n", "  d365:\n")
    with pytest.raises(ConfigError) as caught:
        wiring.load_mapping(settings.load(folder / "crmbridge.yaml", env))
    assert [problem.endswith("[connection-renamed]") for problem in caught.value.problems] == [True] * 4


def test_a_schema_from_a_shape_needs_no_secret(folder: Path) -> None:
    edit(folder / "crmbridge.yaml", "client_id: x", 'client_id: "${env:NOWHERE}"')
    shape = folder / "shape.yaml"
    shape.write_text("salesforce: {extends: salesforce}\ndynamics: {extends: dynamics}\n", encoding="utf-8")
    place = Place(config=str(folder / "crmbridge.yaml"))
    CliRunner().invoke(schema, ["--shape", str(shape)], obj=place, standalone_mode=False, catch_exceptions=False)
    assert {file.name for file in folder.glob("*.schema.json")} == {
        f"{name}.schema.json" for name in ("account", "contact", "lead", "opportunity", "values", "examples")
    }


def test_drafts_in_an_empty_folder_name_schemas_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRMBRIDGE_CONFIG", raising=False)
    Path("shape.yaml").write_text("salesforce: {extends: salesforce}\ndynamics: {extends: dynamics}\n")

    def draft(*words: str) -> str:
        words = ("drafts", "--shape", "shape.yaml", *words)
        return (
            CliRunner().invoke(mapping_init, words, obj=Place(), standalone_mode=False, catch_exceptions=False).output
        )

    assert "Made mapping.schema.json" in draft()
    named = {file.read_text().splitlines()[0].partition("$schema=")[2] for file in Path("drafts").glob("*.yaml")}
    assert named == {"../mapping.schema.json", "../values.schema.json"}
    assert all((Path("drafts") / name).is_file() for name in named)
    shipped = json.loads((CHECKOUT / "config" / "mapping.schema.json").read_text())
    assert json.loads(Path("mapping.schema.json").read_text()) == shipped
    Path("mapping.schema.json").write_text("{}")  # of this org, from `mapping schema`
    assert "Made" not in draft("--force")
    assert Path("mapping.schema.json").read_text() == "{}"


@pytest.mark.parametrize("name", ["lead.yaml", "lead.examples.yaml"])
def test_a_named_file_is_tidied_without_settings_as_with_them(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(folder / "mappings", alone)
    wrong = "  city: { dynamics: address1_city,salesforce: City }\n"
    for one in (folder / "mappings", alone):
        file = one / "lead.yaml"
        file.write_text("".join(wrong if "City" in line else line for line in file.read_text().splitlines(True)))
        with (one / name).open("a") as text:
            text.write("# blanks   \n")
    monkeypatch.chdir(alone)
    monkeypatch.delenv("CRMBRIDGE_CONFIG", raising=False)

    def tidy(place: Place, file: Path) -> None:
        CliRunner().invoke(fmt, [str(file)], obj=place, standalone_mode=False, catch_exceptions=False)

    tidy(Place(config=str(folder / "crmbridge.yaml")), folder / "mappings" / name)
    tidy(Place(), Path(name))
    assert (alone / name).read_text() == (folder / "mappings" / name).read_text()
    if name == "lead.yaml":
        assert "  city: {salesforce: City, dynamics: address1_city}\n" in (alone / name).read_text()
    with pytest.raises(ConfigError, match="There is no"):  # which folder, only the settings say
        CliRunner().invoke(fmt, [], obj=Place(), standalone_mode=False, catch_exceptions=False)


def test_a_character_that_only_looks_right_is_named(folder: Path) -> None:
    edit(folder / "mappings" / "lead.yaml", "  last_name: {", "  last_name:\u00a0{")
    told = said(folder)
    assert "[colon-stray]" in told
    assert "a no-break space, which YAML takes for a letter; write a blank in its place [character-lookalike]" in told


def test_a_broker_that_answers_is_told_without_its_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s")
    with tempfile.TemporaryDirectory(prefix="crmbridge-") as short, own_broker.embedded(Path(short)) as url:
        monkeypatch.setenv("CRMBRIDGE_BROKER__URL", url)
        found = Findings()
        look_around(found, settings.load(folder / "crmbridge.yaml"))
    assert [(line.level, line.where) for line in found.lines[:2]] == [("note", "store"), ("note", "broker")]
    assert found.lines[1].text == f"{broker.without_password(url)} answers"
    assert broker.without_password("rediss://me:secret@host:1/0") == "rediss://host:1/0"


def test_broken_settings_do_not_hide_what_is_wrong_with_the_mappings(folder: Path) -> None:
    edit(folder / "crmbridge.yaml", "connections:", "lifecycle: {convert: {mirror: sometime}}\nconnections:")
    edit(folder / "mappings" / "lead.yaml", "email: {salesforce: Email", "email: {salesfroce: Email")
    choice, key, count = said(folder).splitlines()
    assert choice.startswith(
        "crmbridge.yaml:1:31: error: lifecycle.convert.mirror: must be one of always, never, {when"
    )
    assert key.startswith("mappings/lead.yaml:23:11: error: fields.email.salesfroce: unknown key; did you mean")
    assert count == "2 errors, 0 warnings."
    document = json.loads(said(folder, "--json"))
    assert (document["ok"], document["exit_code"]) == (False, 2)
    assert [(one["code"], Path(one["file"]).name, one["line"], one["column"]) for one in document["findings"]] == [
        ("choice-unknown", "crmbridge.yaml", 1, 31),
        ("unknown-key", "lead.yaml", 23, 11),
    ]


def test_settings_that_name_no_two_systems_are_told_alone(folder: Path) -> None:
    edit(folder / "mappings" / "lead.yaml", "email: {salesforce: Email", "email: {salesfroce: Email")
    edit(folder / "crmbridge.yaml", "system: dynamics", "system: sugar")
    assert all(line.startswith("crmbridge.yaml:") for line in said(folder).splitlines()[:-1])
    (folder / "crmbridge.yaml").write_text("x", encoding="utf-8")
    assert said(folder).splitlines()[0].startswith("crmbridge.yaml:1:1: error: must be keys and values")


def test_broken_mappings_do_not_hide_what_is_wrong_with_the_expressions(folder: Path) -> None:
    whens = "lifecycle: {convert: {mirror: {when: 'surce == \"web\"'}}, scope: {account: {when: 'fax == null'}}}\n"
    edit(folder / "crmbridge.yaml", "connections:", f"{whens}connections:")
    edit(folder / "mappings" / "lead.yaml", "email: {salesforce: Email", "email: {salesfroce: Email")
    edit(folder / "mappings" / "account.yaml", "  fax: {salesforce", "  fax: {salesfroce")
    codes = [line.rpartition("[")[2] for line in said(folder).splitlines()[:-1]]
    assert sorted(codes) == ["segment-expression]", "unknown-key]", "unknown-key]"]
    assert "there is no field 'surce' here that an expression can use; did you mean 'source'?" in said(folder)
