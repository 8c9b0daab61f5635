"""Both CRMs with vocabularies of real ones: option sets that lie beside the checkout, and a company's own words."""

from typing import Any

from ruamel.yaml import YAML

from tests.support.material import cdm_options, describe
from tests.support.project import CHECKOUT

SHIPPED = CHECKOUT / "crmbridge" / "sandbox" / "shapes"
TABLES = ("Lead", "Opportunity", "Account", "Contact")
# Value, label, state: reasons as companies add them.
OWN_REASONS = {
    "lead": [(804240001, "Nurturing", 0), (804240003, "Qualified by Partner", 1), (804240004, "Duplicate", 2)],
    "opportunity": [(804240010, "Renewed", 1), (804240011, "Lost to Competitor", 2), (804240012, "No Budget", 2)],
}
OWN_STAGE = {"id": "7b1f3c52-5d43-4c55-9a09-6c1f1f7f1a01", "name": "Legal Review", "category": 3,
             "table": "opportunity"}  # fmt: skip
OWN_STATUSES = [("Nurturing", False), ("Recycled", False), ("Converted by Partner", True)]
OWN_STAGES = [("Verbal Commitment", False, False), ("Renewed", True, True), ("Lost to Competitor", True, False)]


def dynamics_shape() -> dict[str, Any]:
    """The shipped environment with each choice's options as the schema documents have them."""
    shape: dict[str, Any] = YAML(typ="safe", pure=True).load((SHIPPED / "dynamics.yaml").read_text(encoding="utf-8"))
    for name in TABLES:
        table = name.lower()
        for column, options in cdm_options(name).items():
            facts = shape["columns"][table].get(column)
            if facts is None or facts["type"] not in {"Picklist", "Status"}:
                continue  # the states themselves carry the default status, which the documents do not tell
            own = OWN_REASONS.get(table, []) if facts["type"] == "Status" else []
            facts.pop("option_set", None)
            facts["options"] = {
                value: label if state is None else {"label": label, "state": state}
                for value, label, state in [*options, *own]
            }
    shape["processes"]["opportunitysalesprocess"]["stages"].append(OWN_STAGE)
    return shape


def salesforce_shape() -> dict[str, Any]:
    """The shipped org with the picklists of a real one."""
    objects: dict[str, Any] = {}
    for name in TABLES:
        picklists = {each["name"]: each for each in describe(name)["fields"] if each["type"] == "picklist"}
        objects[name] = {"fields": {key: {"picklistValues": values(each)} for key, each in picklists.items()}}
    statuses = objects["Lead"]["fields"].pop("Status")["picklistValues"]
    stages = objects["Opportunity"]["fields"].pop("StageName")["picklistValues"]
    return {
        "extends": "salesforce",
        "objects": objects,
        "lead_statuses": [
            *({"label": each["label"], "converted": each["label"] == "Closed - Converted"} for each in statuses),
            *({"label": label, "converted": converted} for label, converted in OWN_STATUSES),
        ],
        "opportunity_stages": [
            *({"label": each["label"], "closed": each["label"].startswith("Closed"),
               "won": each["label"] == "Closed Won", "probability": 10} for each in stages),
            *({"label": label, "closed": closed, "won": won, "probability": 10} for label, closed, won in OWN_STAGES),
        ],
    }  # fmt: skip


def values(field: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {key: each[key] for key in ("value", "label", "active", "defaultValue")} for each in field["picklistValues"]
    ]
