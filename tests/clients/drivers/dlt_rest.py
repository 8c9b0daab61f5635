"""dlt's rest_api source on one CRM (first argument), loaded into files: everything, and from then on what is newer."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source
from steps import SANDBOX

SIDE, SECRET = sys.argv[1], sys.argv[2]


def salesforce() -> Any:
    given = SANDBOX["salesforce"]
    newer = "SystemModstamp > {incremental.start_value} ORDER BY SystemModstamp"
    soql = f"SELECT Id, LastName, SystemModstamp FROM Lead WHERE {newer}"
    return {
        "client": {
            "base_url": f"{given['https_url']}/services/data/v62.0/",
            "auth": {
                "type": "oauth2_client_credentials",
                "access_token_url": f"{given['https_url']}/services/oauth2/token",
                "client_id": given["client_id"],
                "client_secret": secret(given),
            },
            "paginator": {"type": "json_link", "next_url_path": "nextRecordsUrl"},
        },
        "resources": [
            {
                "name": "leads",
                "primary_key": "Id",
                "write_disposition": "append",
                "endpoint": {
                    "path": "query",
                    "params": {"q": soql},
                    "data_selector": "records",
                    "incremental": {
                        "cursor_path": "SystemModstamp",
                        "initial_value": "2020-01-01T00:00:00.000+0000",
                        "convert": lambda moment: moment.replace("+0000", "Z"),
                    },
                },
            }
        ],
    }


def dynamics() -> Any:
    given = SANDBOX["dynamics"]
    return {
        "client": {
            "base_url": f"{given['https_url']}/api/data/v9.2/",
            "headers": {"Prefer": "odata.maxpagesize=500"},
            "auth": {
                "type": "oauth2_client_credentials",
                "access_token_url": f"{given['authority']}/oauth2/v2.0/token",
                "client_id": given["client_id"],
                "client_secret": secret(given),
                "access_token_request_data": {"scope": f"{given['https_url']}/.default"},
            },
            "paginator": {"type": "json_link", "next_url_path": "'@odata.nextLink'"},
        },
        "resources": [
            {
                "name": "leads",
                "primary_key": "leadid",
                "write_disposition": "append",
                "endpoint": {
                    "path": "leads",
                    "data_selector": "value",
                    "params": {
                        "$select": "leadid,lastname,modifiedon",
                        "$filter": "modifiedon ge {incremental.start_value}",
                    },
                    "incremental": {"cursor_path": "modifiedon", "initial_value": "2020-01-01T00:00:00Z"},
                },
            }
        ],
    }


def secret(given: Any) -> str:
    return given["client_secret"] if SECRET == "right" else SECRET


def loaded() -> list[str]:
    names = []
    for path in sorted(Path("out").rglob("leads/*.jsonl*")):
        text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
        rows = [json.loads(line) for line in text.splitlines()]
        names += [row.get("last_name") or row.get("lastname") for row in rows]
    return names


def main() -> Any:
    pipeline = dlt.pipeline(
        "crm", destination=dlt.destinations.filesystem("out"), dataset_name=SIDE, pipelines_dir="pipelines"
    )
    before = len(loaded())
    try:
        pipeline.run(rest_api_source(salesforce() if SIDE == "salesforce" else dynamics()), loader_file_format="jsonl")
    except Exception as error:  # noqa: BLE001 - told to the test
        cause: Any = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return {
            "error": [type(cause).__name__, getattr(getattr(cause, "response", None), "status_code", None), str(cause)]
        }
    return {"before": before, "names": loaded()[before:]}


print(json.dumps(main()))
