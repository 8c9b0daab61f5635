"""Records of one's own from files, and made-up ones in any number."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge.sandbox.core import MovableClock, Request
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.seed import SeedError


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        crm, _, file = name.partition("__")
        path = folder / crm / file.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def rows(box: Sandbox, crm: Any, table: str) -> list[dict[str, Any]]:
    return box.dump()[crm][table]


def test_files_of_both_crms_become_rows_with_their_relations(tmp_path: Path) -> None:
    write(
        tmp_path,
        salesforce__Account__csv="_ref,Name,AnnualRevenue,NumberOfEmployees\nacme,Acme,12500,7\n",
        salesforce__Contact__csv="LastName,AccountId,IsEmailBounced\nSmith,@acme,true\n",
        salesforce__Lead__json=json.dumps([{"Id": "00QAA0000000001", "LastName": "Ny", "Company": "Kettle"}]),
        dynamics__account__csv='_ref,name,creditonhold\nacme,"Acme, Inc.",false\n',
        dynamics__contact__json='[\n {"lastname": "Smith", "parentcustomerid": "@acme"}\n]',
        dynamics__lead__csv="leadid,lastname,subject,leadsourcecode,estimatedamount\n"
        "11111111-2222-4333-8444-555555555555,Ny,Kettle,1,99.5\n",
    )
    box = Sandbox("empty", load=tmp_path)
    account = rows(box, "salesforce", "Account")[0]
    assert (float(account["AnnualRevenue"]), account["NumberOfEmployees"]) == (12500, 7)
    contact = rows(box, "salesforce", "Contact")[0]
    assert (contact["AccountId"], contact["IsEmailBounced"]) == (account["Id"], True)
    assert rows(box, "salesforce", "Lead")[0]["Id"].startswith("00QAA0000000001")
    company = rows(box, "dynamics", "account")[0]
    assert company["name"] == "Acme, Inc."
    assert rows(box, "dynamics", "contact")[0]["_parentcustomerid_value"] == company["accountid"]
    lead = rows(box, "dynamics", "lead")[0]
    assert lead["leadid"] == "11111111-2222-4333-8444-555555555555"
    assert (lead["leadsourcecode"], float(lead["estimatedamount"])) == (1, 99.5)
    box.reset()
    assert len(rows(box, "salesforce", "Account")) == 1


def test_loaded_rows_were_made_by_people_and_not_by_who_logs_in(tmp_path: Path) -> None:
    """A sync takes what its own user made, and it does not know of, for another installation's doing."""
    write(
        tmp_path,
        salesforce__User__csv="_ref,LastName,Username,Email,Alias,IsActive\n"
        "gone,Gone,gone@x.example,gone@x.example,gone,false\n",
        salesforce__Lead__csv="LastName,Company,OwnerId,CreatedById\nOf nobody,A,,\nOf one who left,B,@gone,\n"
        "Given,C,@ingrid,@marcus\n",
        dynamics__lead__csv="lastname,subject,ownerid,createdby\nOf nobody,A,,\nOf Priya,B,@priya,\n"
        "Given,C,@priya,@marcus\n",
    )
    box = Sandbox("empty", load=tmp_path)
    users = {row["Id"]: row["LastName"] for row in rows(box, "salesforce", "User")}
    left = {row["LastName"]: row for row in rows(box, "salesforce", "Lead")}
    made = {name: (users[row["CreatedById"]], users[row["LastModifiedById"]]) for name, row in left.items()}
    assert made == {
        "Of nobody": ("Solberg", "Solberg"),  # the first active person
        "Of one who left": ("Gone", "Gone"),
        "Given": ("Adeyemi", "Adeyemi"),
    }
    users = {row["systemuserid"]: row["lastname"] for row in rows(box, "dynamics", "systemuser")}
    right = {row["lastname"]: row for row in rows(box, "dynamics", "lead")}
    made = {name: (users[row["_createdby_value"]], users[row["_modifiedby_value"]]) for name, row in right.items()}
    assert made == {
        "Of nobody": ("Solberg", "Solberg"),
        "Of Priya": ("Raman", "Raman"),
        "Given": ("Adeyemi", "Adeyemi"),
    }


def test_where_nobody_else_is_loaded_rows_were_made_by_who_logs_in(tmp_path: Path) -> None:
    (tmp_path / "salesforce.records.yaml").write_text("Lead: [{LastName: A, Company: B}]\n")
    (tmp_path / "dynamics.records.yaml").write_text("lead: [{lastname: A, subject: B}]\n")
    box = Sandbox(tmp_path)
    [left], [right] = rows(box, "salesforce", "Lead"), rows(box, "dynamics", "lead")
    assert left["CreatedById"] == left["LastModifiedById"] == left["OwnerId"]
    assert right["_createdby_value"] == right["_modifiedby_value"] == right["_ownerid_value"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"salesforce__Leed__csv": "LastName\nA\n"}, "salesforce/Leed.csv: the shape has no object or table 'Leed'"),
        ({"salesforce__Lead__csv": "LastName,Nose\nA,B\n"}, "salesforce/Lead.csv:1: column Nose: Lead has no such"),
        ({"salesforce__Lead__csv": "LastName,LastName\nA,B\n"}, "salesforce/Lead.csv:1: column LastName: it is named"),
        ({"salesforce__Lead__csv": "LastName\nA\nB,C\n"}, "salesforce/Lead.csv:3: 2 cells for 1 columns"),
        ({"salesforce__Lead__csv": 'LastName\n"A\n'}, "salesforce/Lead.csv:2: no CSV"),
        ({"salesforce__Lead__csv": ""}, "salesforce/Lead.csv:1: the first line names the columns"),
        (
            {"salesforce__Lead__csv": 'LastName,NumberOfEmployees\n"A\nB",1\nC,many\n'},
            "salesforce/Lead.csv:4: column NumberOfEmployees: 'many' is no integer",
        ),
        (
            {"salesforce__Contact__csv": "LastName,AccountId\nA,\nB,@none\n"},
            "salesforce/Contact.csv:3: column AccountId: no row before this one has _ref 'none'",
        ),
        (
            {"salesforce__Lead__csv": "LastName,ConvertedDate\nA,2026-99-99\n"},
            "salesforce/Lead.csv:2: column ConvertedDate:",
        ),
        (
            {"dynamics__lead__csv": "lastname,leadsourcecode\nA,1\nB,77\n"},
            "dynamics/lead.csv:3: column leadsourcecode:",
        ),
        ({"dynamics__lead__csv": "leadid\nx\n"}, "dynamics/lead.csv:2: column leadid: 'x' is no GUID"),
        (
            {"dynamics__contact__csv": "lastname,parentcustomerid\nA,@none\n"},
            "dynamics/contact.csv:2: column parentcustomerid:",
        ),
        ({"dynamics__lead__csv": "lastname,donotemail\nA,perhaps\n"}, "lead.csv:2: column donotemail: 'perhaps' is no"),
        ({"dynamics__lead__json": '[\n{"lastname": "A"},\n{"nose": 1}]'}, "lead.json:3: column nose: lead has no such"),
        ({"dynamics__lead__json": '[\n{"lastname": "A"}\n{}]'}, "lead.json:3: no JSON: a comma"),
        ({"dynamics__lead__json": '[\n{"lastname": }]'}, "lead.json:2:14: no JSON"),
        ({"dynamics__lead__json": "[1]"}, "lead.json:1: an object is expected"),
        ({"dynamics__lead__json": "{}"}, "lead.json:1: a list of objects"),
        ({"dynamics__readme__md": "x"}, "dynamics holds no rows"),
        ({"mars__lead__csv": "x"}, "holds neither a folder salesforce nor a folder dynamics"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_column(tmp_path: Path, files: dict[str, str], words: str) -> None:
    write(tmp_path, **files)
    with pytest.raises(SeedError) as problem:
        Sandbox("empty", load=tmp_path)
    assert words in str(problem.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="is no folder"):
        Sandbox("empty", load=tmp_path / "none")


def test_a_capture_of_two_orgs_of_one_kind_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "shape.yaml"
    path.write_text("old: {system: salesforce, extends: salesforce}\nnew: {system: salesforce}\n", encoding="utf-8")
    with pytest.raises(SeedError, match="by the names of their connections"):
        Sandbox(path)


# --- made-up rows ----------------------------------------------------------------------


def test_made_up_rows_come_again_from_their_seed_and_differ_with_another() -> None:
    def leads(seed: int) -> list[tuple[Any, ...]]:
        box = Sandbox("empty", size=300, random_seed=seed)
        left = [(row["LastName"], row["Email"], row["Status"]) for row in rows(box, "salesforce", "Lead")]
        right = [(row["lastname"], row["emailaddress1"], row["statuscode"]) for row in rows(box, "dynamics", "lead")]
        assert len(left) == len(right) == 300
        return [*left, *right]

    assert leads(1) == leads(1)
    assert leads(1) != leads(2)


def test_made_up_rows_are_as_real_ones_are() -> None:
    """Skewed choices, people on both sides and twice on one, dirt, several scripts, and relations that hold."""
    box = Sandbox("empty", size=4000)
    left, right = rows(box, "salesforce", "Lead"), rows(box, "dynamics", "lead")
    sources = Counter(row["LeadSource"] for row in left).most_common()
    assert sources[0][1] > 2 * sources[2][1]
    mails = [{str(row.get(key)).lower() for row in side} for side, key in ((left, "Email"), (right, "emailaddress1"))]
    assert 0.15 < len(mails[0] & mails[1]) / 4000 < 0.45
    assert len(mails[0]) < 4000
    assert any("(at)" in mail for mail in mails[0])
    assert any(row["LastName"].isupper() for row in left)
    assert any(not row["LastName"].isascii() for row in left)
    assert {row["Status"] for row in left} & {"Closed - Converted"} == set()
    accounts = {row["Id"] for row in rows(box, "salesforce", "Account")}
    assert {row["AccountId"] for row in rows(box, "salesforce", "Contact")} <= accounts
    companies = {row["accountid"] for row in rows(box, "dynamics", "account")}
    assert {row["_parentcustomerid_value"] for row in rows(box, "dynamics", "contact")} <= companies
    assert {row["_customerid_value"] for row in rows(box, "dynamics", "opportunity")} <= companies
    assert len({row["SystemModstamp"] for row in left}) > 100


@pytest.mark.parametrize("size", [1, 150, 4000])
def test_made_up_rows_are_older_than_the_overlap_of_a_reader(size: int) -> None:
    """A first plan reads them all, however soon it comes."""
    start = datetime(2026, 3, 1, 9, tzinfo=UTC)
    box = Sandbox("empty", size=size, clock=MovableClock(source=lambda: start))
    tables = (("salesforce", "SystemModstamp", ("Account", "Contact", "Opportunity", "Lead")),
              ("dynamics", "modifiedon", ("account", "contact", "opportunity", "lead")))  # fmt: skip
    for crm, column, names in tables:
        stamps = [datetime.fromisoformat(row[column]) for name in names for row in rows(box, crm, name)]
        assert start - timedelta(days=61) < min(stamps)
        assert max(stamps) <= start - timedelta(minutes=2)


def test_reads_of_made_up_rows_are_those_of_loaded_ones() -> None:
    """Filled in one way, found in every other: by id, by a lookup, in the order of stamps, by change tracking."""
    box = Sandbox("empty", size=1500)
    token = box.crms["salesforce"].login_as("ada@example.com")["access_token"]
    headers = {"authorization": f"Bearer {token}"}

    def soql(statement: str) -> dict[str, Any]:
        query = f"q={statement.replace(' ', '+')}"
        asked = Request(method="GET", path="/services/data/v62.0/query", query=query, headers=headers)
        return json.loads(box.commit("salesforce", asked).body)

    assert soql("SELECT COUNT() FROM Lead")["totalSize"] == 1500
    ordered = soql("SELECT Id,SystemModstamp FROM Lead ORDER BY SystemModstamp,Id LIMIT 1500")["records"]
    assert ordered == sorted(ordered, key=lambda row: (row["SystemModstamp"], row["Id"]))
    account = soql("SELECT Id FROM Account LIMIT 1")["records"][0]["Id"]
    assert soql(f"SELECT Id FROM Contact WHERE AccountId='{account}'")["totalSize"] == sum(
        row["AccountId"] == account for row in rows(box, "salesforce", "Contact")
    )
    web = {
        "authorization": f"Bearer {box.crms['dynamics'].login_as('ada@example.com')['access_token']}",
        "prefer": "odata.track-changes,odata.maxpagesize=5000",
    }
    asked = Request(method="GET", path="/api/data/v9.2/leads", query="$select=fullname", headers=web)
    answer = json.loads(box.commit("dynamics", asked).body)
    assert len(answer["value"]) == 1500
    assert "@odata.deltaLink" in answer


def test_made_up_rows_fit_a_shape_of_ones_own(tmp_path: Path) -> None:
    """Short fields, fields that are not there, and address codes that take no text but their own."""
    path = tmp_path / "shape.yaml"
    path.write_text(
        "salesforce:\n"
        "  extends: salesforce\n"
        "  org: {state_country_picklists: true}\n"
        "  objects: {Lead: {fields: {Company: {length: 12}, Title: absent}}}\n"
        "dynamics:\n"
        "  extends: dynamics\n"
        "  columns: {lead: {jobtitle: absent, companyname: {whole: true, type: String, max: 12}}}\n",
        encoding="utf-8",
    )
    box = Sandbox(path, size=200)
    assert max(len(row["Company"]) for row in rows(box, "salesforce", "Lead")) == 12
    assert max(len(row["companyname"]) for row in rows(box, "dynamics", "lead")) == 12
    assert all("Title" not in row for row in rows(box, "salesforce", "Lead"))
