"""The Salesforce CLI over plain http, one command after the other (`sf ... --json`); our own Python runs this."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from steps import SANDBOX, Steps

GIVEN = SANDBOX["salesforce"]
ORG = ["--target-org", "sandbox"]
COMPANY = "Cli"
step = Steps()
NODE, CLI = os.environ["NODE"], os.environ["CLI"]
os.environ["SF_ACCESS_TOKEN"] = GIVEN["access_token"]  # where `org login access-token` looks for it


def sf(*words: str, fails: bool = False) -> Any:
    done = subprocess.run([NODE, CLI, *words, "--json"], capture_output=True, text=True, check=False, timeout=200)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"sf {' '.join(words)}: {done.stdout[-2000:]} {done.stderr[-2000:]}") from None
    told = [answer.get(name) for name in ("name", "message", "data")]
    assert bool(answer["status"]) == fails, f"sf {' '.join(words)}: {told if answer['status'] else answer}"
    return answer if fails else answer["result"]


def jobs(told: Any) -> list[int]:
    return [told["jobInfo"]["numberRecordsProcessed"], told["jobInfo"]["numberRecordsFailed"]]


@step
def login() -> Any:
    done = sf("org", "login", "access-token", "--instance-url", GIVEN["url"], "--alias", "sandbox", "--no-prompt")
    shown = sf("org", "display", *ORG)
    return {
        "username": done["username"],
        "org": done["orgId"],
        "connected": shown["connectedStatus"],
        "shown": shown["id"],
    }


@step
def create() -> Any:
    return sf("data", "create", "record", *ORG, "--sobject", "Lead", "--values", "LastName=Single Company=One")


@step
def bulk() -> Any:
    with Path("leads.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["LastName", "Company"], *[[f"C{n}", COMPANY] for n in range(2300)]]
        )
    made = sf(
        "data", "import", "bulk", *ORG, "--sobject", "Lead", "--file", "leads.csv", "--line-ending", "LF", "--wait", "3"
    )
    soql = f"SELECT Id, LastName FROM Lead WHERE Company = '{COMPANY}'"
    sf(
        "data",
        "export",
        "bulk",
        *ORG,
        "--query",
        soql,
        "--output-file",
        "out.csv",
        "--result-format",
        "csv",
        "--wait",
        "3",
    )
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with Path("gone.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["Id"], *[[row["Id"]] for row in rows[:10]]])
    gone = sf(
        "data", "delete", "bulk", *ORG, "--sobject", "Lead", "--file", "gone.csv", "--line-ending", "LF", "--wait", "3"
    )
    return {"made": [made["processedRecords"], made["failedRecords"]], "rows": len(rows), "gone": jobs(gone)}


@step
def read() -> Any:
    found = sf(
        "data", "query", *ORG, "--query", f"SELECT Id, LastName, Owner.Name FROM Lead WHERE Company = '{COMPANY}'"
    )
    described = sf("sobject", "describe", *ORG, "--sobject", "Lead")
    return {
        "total": found["totalSize"],
        "rows": len({row["Id"] for row in found["records"]}),
        "done": found["done"],
        "fields": len(described["fields"]) > 20,
        "objects": "Lead" in sf("sobject", "list", *ORG, "--sobject", "standard"),
    }


@step
def change() -> Any:
    key = create()["id"]
    sf(
        "data",
        "update",
        "record",
        *ORG,
        "--sobject",
        "Lead",
        "--record-id",
        key,
        "--values",
        "LastName='New Name' Title=Chief",
    )
    row = sf("data", "get", "record", *ORG, "--sobject", "Lead", "--record-id", key)
    sf("data", "delete", "record", *ORG, "--sobject", "Lead", "--record-id", key)
    return {"row": [row["LastName"], row["Title"]], "id": key}


@step
def upsert() -> Any:
    with Path("upsert.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["CrmBridge_Id__c", "LastName", "Company"], *[[f"cli/{n}", f"U{n}", "One"] for n in range(3)]]
        )
    words = (
        "data",
        "upsert",
        "bulk",
        *ORG,
        "--sobject",
        "Lead",
        "--file",
        "upsert.csv",
        "--external-id",
        "CrmBridge_Id__c",
        "--line-ending",
        "LF",
        "--wait",
        "3",
    )
    return [jobs(sf(*words)), jobs(sf(*words))]


@step
def batch() -> Any:
    records = [
        {"attributes": {"type": "Lead", "referenceId": f"L{n}"}, "LastName": f"T{n}", "Company": "Tree"}
        for n in range(3)
    ]
    Path("tree.json").write_text(json.dumps({"records": records}), encoding="utf-8")
    return {"made": len(sf("data", "import", "tree", *ORG, "--files", "tree.json"))}


@step
def error() -> Any:
    missing = sf("data", "create", "record", *ORG, "--sobject", "Lead", "--values", "Company=x", fails=True)
    query = sf("data", "query", *ORG, "--query", "SELECT Nothing FROM Lead", fails=True)
    unknown = sf("data", "get", "record", *ORG, "--sobject", "Lead", "--record-id", "00Q000000000000AAA", fails=True)
    return {
        "missing": [missing["name"], missing["message"]],
        "query": [query["name"], query["message"]],
        "unknown": [unknown["name"], unknown["message"]],
    }


step.run()
