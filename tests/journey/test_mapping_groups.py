"""Leads that belong to a queue and to a team: from YAML alone, over HTTP, from the check to the owner written."""

from collections.abc import Iterator

import pytest
import requests

from tests.support.project import INGRID, Project, project

pytestmark = [pytest.mark.journey, pytest.mark.slow]

OWNERS = """\
values:
  owners:
    inbound: {salesforce: "queue:Inbound_Leads", dynamics: "team:Inbound Sales"}
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("company")) as made:
        yield made


def test_a_queue_and_a_team_are_named_checked_and_given_records(company: Project) -> None:
    admin = company.salesforce()
    queue = admin.create("Group", Name="Inbound", DeveloperName="Inbound_Leads", Type="Queue")
    unit = company.box.control.dump()["dynamics"]["businessunit"][0]["businessunitid"]
    people = company.dynamics()
    more = {"businessunitid@odata.bind": f"/businessunits({unit})"}
    team = people.create("teams", name="Inbound Sales", **more)
    people.create("teams", name="Looks only", teamtype=1, **more)
    role = company.box.control.dump()["dynamics"]["role"][0]["roleid"]  # without a role a team may own nothing
    root = f"{company.box.connect['dynamics']['url']}/api/data/v9.2"
    requests.post(
        f"{root}/teams({team})/teamroles_association/$ref",
        json={"@odata.id": f"{root}/roles({role})"},
        headers={"Authorization": f"Bearer {people.token}"},
        timeout=30,
    ).raise_for_status()
    company.change("convert: user}", "convert: user, values: owners}", "mappings/lead.yaml")
    shared = company.folder / "mappings" / "values.yaml"
    shared.write_text(OWNERS.replace("Inbound Sales", "Looks only"), encoding="utf-8")
    checked = company.run_here("check", "--live")
    assert checked.code == 2
    assert "values.owners.inbound.dynamics: dynamics has no single team 'team:Looks only'" in checked.out
    assert "[group-unknown]" in checked.out
    shared.write_text(OWNERS, encoding="utf-8")
    assert "group-unknown" not in company.run_here("check", "--live").out
    company.first_run()
    company.settle()

    made = admin.create("Lead", LastName="Queued", Company="Fresh Ltd", Email="queued@fresh.example", OwnerId=queue)
    company.settle()
    [there] = people.find("leads", "lastname eq 'Queued'")
    assert there["_ownerid_value"] == team

    admin.update("Lead", made, OwnerId=_user(company))
    company.settle()
    assert people.read("leads", there["leadid"])["_ownerid_value"] != team
    people.update("leads", there["leadid"], **{"ownerid@odata.bind": f"/teams({team})"})
    company.settle()
    here = next(one for one in company.box.control.dump()["salesforce"]["Lead"] if one["Id"] == made)
    assert here["OwnerId"] == queue
    told = company.run_here("why", made, "owner", "--json").json
    assert {source["reads_as"] for source in told["sources"].values()} == {"queue:inbound_leads"}


def _user(company: Project) -> str:
    return company.box.control.people("salesforce", INGRID)["user_id"]
