"""Work drawn elsewhere, done by Microsoft's PowerPlatform-Dataverse-Client: many rows a call. Prints how many steps."""

import json
import sys
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.models import UpsertItem
from steps import SANDBOX

GIVEN = SANDBOX["dynamics"]
EXTERNAL = "crmbridge_externalid"


class Credential:
    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(GIVEN["access_token"], 2**33)


def carry_out(crm: DataverseClient, verb: str, table: str, rows: list[dict[str, Any]]) -> None:
    key = f"{table}id"
    match verb:
        case "create":
            crm.records.create(table, rows)
        case "update":
            changes = [{name: value for name, value in row.items() if name != key} for row in rows]
            crm.records.update(table, [row[key] for row in rows], changes)
        case "upsert":
            crm.records.upsert(
                table, [UpsertItem(alternate_key={EXTERNAL: row.pop(EXTERNAL)}, record=row) for row in rows]
            )
        case _:
            for row in rows:
                crm.records.delete(table, row[key])


with DataverseClient(GIVEN["https_url"], Credential()) as client:
    work = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for each in work:
        carry_out(client, *each)
    print(len(work))
