"""Exported sample data of real orgs goes through sObject Tree as the Salesforce CLI sends it (salesforce-api §3.4)."""

import json
import re
from typing import Any

import pytest

from tests.support.material import folder
from tests.support.salesforce_org import bench

OBJECTS = ("Account", "Contact", "Lead", "Opportunity")


@pytest.mark.parametrize("name", ["developer-edition", "la-dev-group"])
def test_exported_trees_are_imported(name: str) -> None:
    texts = {each: (folder("sf-sample-data-tree") / name / f"{each}.json").read_text("utf-8") for each in OBJECTS}
    org = bench({"objects": {each: {"fields": custom(text)} for each, text in texts.items()}})
    known: dict[str, str] = {}
    for each, text in texts.items():
        # The CLI itself fills in the ids of files sent before; users of that org are not here.
        filled = re.sub(r'"@(\w+)"', lambda found, known=known: json.dumps(known.get(found[1])), text)
        document = json.loads(filled)
        answered = org.rest("POST", f"composite/tree/{each}", document)
        assert answered.status == 201, answered.body
        results = answered.body["results"]
        given = [record["attributes"]["referenceId"] for record in document["records"]]
        assert [result["referenceId"] for result in results] == given
        known |= {result["referenceId"]: result["id"] for result in results}
        rows = {row["Id"]: row for row in org.rows(f"SELECT FIELDS(ALL) FROM {each} LIMIT 200")}
        for record, result in zip(document["records"], results, strict=True):
            row = rows[result["id"]]
            sent = {key: stored(value) for key, value in record.items() if not isinstance(value, (dict, int, float))}
            assert {key: row[key] for key in sent} == sent


def stored(value: Any) -> Any:
    """Texts lose the blanks around them, an empty one is none (§10)."""
    return (value.strip() or None) if isinstance(value, str) else value


def custom(text: str) -> dict[str, Any]:
    """The org's own fields, as texts wide enough for what the file holds."""
    return {name: {"type": "string", "length": 255} for name in set(re.findall(r'"(\w+__c)"', text))}
