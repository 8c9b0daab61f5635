"""`crmbridge capture`: an org's shape in one file, and a sandbox that serves the file is that org again."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.material import cdm_options, describe
from tests.support.project import Project, project

pytestmark = [pytest.mark.journey]

STAGES = [{"label": f"Stage {n}", "api_name": f"stage_{n}", "probability": n} for n in range(58)]
CUSTOM = """
salesforce:
  extends: salesforce
  org: {multi_currency: true, currency: EUR, currencies: {USD: 1.1, SEK: 11.25}, state_country_picklists: true}
  lead_statuses:
    - {label: Neu, api_name: New, default: true}
    - {label: Übergeben, api_name: Handed, converted: true}
    - {label: Verworfen, api_name: Dropped}
  objects:
    Lead:
      label: Interessent
      recordTypes:
        - {developerName: Web, name: Web form, default: true, picklists: {LeadSource: [Web, Other]},
           defaults: {LeadSource: Web}}
        - {developerName: Fair}
      fields:
        Region__c: {type: picklist, length: 255, restrictedPicklist: true, picklistValues: [{value: north, label: Nord},
          {value: south, label: Süd, defaultValue: true}, {value: old, active: false}]}
        City__c: {type: picklist, length: 255, controllerName: Region__c, picklistValues: [Kiel, Hof, Ulm],
          dependentValues: {north: [Kiel], south: [Hof, Ulm]}}
        Score__c: {type: double, precision: 6, scale: 2, label: Punkte}
        Code__c: {type: string, length: 30, externalId: true, unique: true, caseSensitive: true}
        Visit__c: {type: reference, referenceTo: [Visit__c], childRelationshipName: Leads}
        Fit__c: {type: percent, formula: "IF(ISBLANK(Company), 0, 1)"}
        On__c: {type: boolean, defaultValue: true}
        Long__c: {type: textarea, length: 5000}
        Fax: absent
        Company: {length: 100}
    Campaign: absent
    CampaignMember: absent
    Visit__c:
      label: Besuch
      keyPrefix: a7x
      deletable: false
      fields:
        Account__c: {type: reference, referenceTo: [Account], childRelationshipName: Visits, deletedWithParent: true}
        Kind__c: {type: multipicklist, length: 4099, picklistValues: [A, 'NO', 'yes']}
        OwnerId: absent
dynamics:
  extends: dynamics
  organization: {base_currency: EUR, fullnameconvention: 0}
  option_sets:
    new_colour: {100000000: Rot, 100000001: Grün}
    need: [{value: 0, label: Muss}, {value: 9, label: Kann}]
  tables:
    lead: {label: Interessent}
    competitor: absent
    new_visit: {set: new_visits, schema: new_Visit, label: Besuch, labels: Besuche, code: 10777, key: new_visitid,
      name: new_name, groups: [system, owned, active]}
    new_process: {set: new_processes, schema: new_Process, key: businessprocessflowinstanceid, name: name,
      ownership: OrganizationOwned, process: true, code: 10778, groups: [process_instance]}
    new_audit: {set: new_audits, key: new_auditid, name: new_auditid, elastic: true, change_tracking: false}
  associations:
    leadcompetitors_association: absent
    opportunitycompetitors_association: absent
    new_visit_contact: {table: new_visitcontact, between: [new_visit, contact]}
  columns:
    opportunityclose: {competitorid: absent}
    lead:
      fax: absent
      new_score: {type: Decimal, min: 0, max: 10, precision: 1, schema: new_Score}
      new_colour: {type: Picklist, option_set: new_colour, default: 100000000}
      new_tags: {type: MultiSelectPicklist, options: {1: A, 2: B}}
      new_visitid: {type: Lookup, targets: [new_visit], schema: new_VisitId, many: new_visit_leads, on_delete: Restrict}
      companyname: {whole: true, type: String, max: 50, required: ApplicationRequired}
      statuscode: {options: [{value: 1, label: Neu, state: 0}, {value: 2, label: Kontaktiert, state: 0},
        {value: 3, label: Qualifiziert, state: 1}, {value: 4, label: Weg, state: 2}, {value: 9, label: Spät, state: 0}]}
    new_visit:
      new_visitid: {type: Uniqueidentifier, required: SystemRequired, update: false}
      new_name: {type: String, max: 200}
      new_who: {type: Customer, targets: [account, contact]}
      new_cost: {type: Money}
      new_day: {type: DateTime, format: DateOnly, behavior: DateOnly}
    new_audit:
      new_auditid: {type: Uniqueidentifier, required: SystemRequired}
    new_process:
      opportunityid: {type: Lookup, targets: [opportunity], schema: opportunityId}
  keys:
    lead: {new_leadkey: [new_score, lastname]}
  processes:
    opportunitysalesprocess: absent
    new_process:
      id: aaaaaaaa-6489-4852-abd0-a63a6ecaac5d
      name: Unser Prozess
      order: 0
      stages:
        - {id: bbbbbbbb-778a-46c1-822b-0da76bedb1e1, name: Erst, category: 0, table: opportunity}
        - {id: bbbbbbbb-778a-46c1-822b-0da76bedb1e2, name: Zweit, category: 0, table: opportunity}
        - {id: abbbbbbb-778a-46c1-822b-0da76bedb1e3, name: Dritt, category: 2, table: opportunity}
"""


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def capture(made: Project) -> tuple[Path, Any]:
    out = made.folder / "shape.yaml"
    ran = made.run_here("capture", "--out", str(out))
    assert ran.code == 0, ran
    return out, read(out)


def findings(made: Project) -> list[tuple[str, str]]:
    """What the check says, without the places that differ between two folders."""
    found = made.run_here("check", "--live", "--json").json["findings"]
    return sorted((each["level"], each["text"]) for each in found if "answers" not in each["text"])


def there_and_back(folder: Path, seed: str | Path) -> Any:
    with project(folder / "first", seed=seed) as first:
        out, told = capture(first)
        said = findings(first)
        with project(folder / "second", seed=out) as second:
            assert capture(second)[1] == told
            assert findings(second) == said
    return told


def shape_file(folder: Path, document: Any) -> Path:
    path = folder / "shape.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(document, file)
    return path


def test_an_org_as_it_is_shipped_is_nothing_but_what_it_extends(tmp_path: Path) -> None:
    told = there_and_back(tmp_path, "empty")
    assert told == {"salesforce": {"extends": "salesforce"}, "dynamics": {"extends": "dynamics"}}


@pytest.mark.slow
def test_a_sandbox_of_a_captured_org_is_that_org(tmp_path: Path) -> None:
    document = YAML(typ="safe", pure=True).load(CUSTOM)
    won = {
        "label": "Gewonnen",
        "api_name": "Won",
        "probability": 100,
        "forecast": "Closed",
        "closed": True,
        "won": True,
    }
    document["salesforce"]["opportunity_stages"] = [*STAGES, won]
    told = there_and_back(tmp_path, shape_file(tmp_path, document))
    assert [each["label"] for each in told["salesforce"]["opportunity_stages"]][-2:] == ["Stage 57", "Gewonnen"]
    assert told["salesforce"]["objects"]["Lead"]["fields"]["Fax"] == "absent"
    assert told["salesforce"]["objects"]["Lead"]["recordTypes"][1]["picklists"] == {"LeadSource": ["Web", "Other"]}
    assert told["dynamics"]["columns"]["lead"]["new_score"]["precision"] == 1
    assert told["dynamics"]["processes"]["new_process"]["stages"][0]["name"] == "Erst"
    assert told["dynamics"]["tables"]["new_visit"]["groups"] == ["system", "owned", "active"]


@pytest.mark.slow
def test_an_org_with_person_accounts_is_that_org_again(tmp_path: Path) -> None:
    kinds = [{"developerName": "Business", "default": True}, {"developerName": "Private", "person": True}]
    account = {"recordTypes": kinds}
    contact = {"fields": {"Tier__c": {"type": "string", "length": 10}}}
    objects = {"Account": account, "Contact": contact}
    document = {"salesforce": {"extends": "salesforce", "org": {"person_accounts": True}, "objects": objects}}
    told = there_and_back(tmp_path, shape_file(tmp_path, document))["salesforce"]
    assert told["org"] == {"person_accounts": True}
    assert told["objects"]["Account"]["recordTypes"] == kinds
    assert "Tier__pc" in told["objects"]["Account"]["fields"]


@pytest.mark.slow
def test_a_real_org_is_that_org_again(tmp_path: Path) -> None:
    """The descriptions of a real org, and the option sets of Microsoft's own schema documents, served as a shape."""
    objects = {
        name: {**describe(name), "recordTypeInfos": None}
        for name in ("Lead", "Account", "Contact", "Opportunity", "OpportunityContactRole")
    }
    shipped = read(Path(__file__).parents[2] / "crmbridge" / "sandbox" / "shapes" / "dynamics.yaml")
    columns: dict[str, Any] = {}
    for name in ("Lead", "Opportunity", "Account", "Contact"):
        table = name.lower()
        for column, options in cdm_options(name).items():
            usual = shipped["columns"][table].get(column)
            if usual is not None and usual["type"] in {"Picklist", "Status"}:
                facts = {key: value for key, value in usual.items() if key != "option_set"}
                facts["options"] = [
                    {"value": value, "label": label} | ({} if state is None else {"state": state})
                    for value, label, state in options
                ]
                columns.setdefault(table, {})[column] = {"whole": True, **facts}
    document = {
        "salesforce": {"extends": "salesforce", "objects": objects},
        "dynamics": {"extends": "dynamics", "columns": columns},
    }
    told = there_and_back(tmp_path, shape_file(tmp_path, document))
    assert set(objects) <= set(told["salesforce"]["objects"])
    assert "statuscode" in told["dynamics"]["columns"]["lead"] or columns["lead"]


def test_what_the_user_may_not_see_is_a_note(tmp_path: Path) -> None:
    with project(tmp_path, seed="empty") as made:
        refused = {"name": "refuse", "code": "INSUFFICIENT_ACCESS"}
        made.box.control.add_fault(crm="salesforce", path_regex="sobjects/Task/describe", times=None, action=refused)
        ran = made.run_here("capture", "--out", "-")
    assert ran.code == 0, ran
    assert "Task could not be described" in ran.err
    assert "#   note: Task could not be described" in ran.out
    assert "localhost" in ran.out
    for secret in made.environment().values():
        assert len(secret) < 20 or secret not in ran.out


def test_a_side_that_does_not_answer_is_an_error_and_the_file_stays(tmp_path: Path) -> None:
    with project(tmp_path, seed="empty") as made:
        out = made.folder / "shape.yaml"
        out.write_text("mine", encoding="utf-8")
        there = made.run_here("capture", "--out", str(out))
        assert there.code == 2
        assert "--force" in there.err
        made.change(f"url: {made.box.connect['dynamics']['url']}", "url: http://127.0.0.1:9")
        ran = made.run_here("capture", "--out", str(out), "--force")
    assert ran.code == 4, ran
    assert out.read_text(encoding="utf-8") == "mine"


def test_a_standard_object_is_taken_in_by_its_name(tmp_path: Path) -> None:
    document = {
        "extends": "salesforce",
        "objects": {"Solution": {"keyPrefix": "501", "fields": {"SolutionName": {"length": 255}}}},
    }
    with project(tmp_path, seed=shape_file(tmp_path, document)) as made:
        plain = made.run_here("capture", "--out", "-")
        taken = made.run_here("capture", "--out", "-", "--also", "Solution", "--also", "Nothing")
    assert "1 standard objects are left out" in plain.err
    assert "Solution" not in plain.out.replace("Solution,", "")
    assert YAML(typ="safe", pure=True).load(taken.out)["salesforce"]["objects"]["Solution"]["keyPrefix"] == "501"
    assert "the org shows no such object" in taken.err
