"""What the user interface has a place for: tabs, theme, layouts, searches, and lists of what people set up for it.

There is no user interface here, so that a tab has its name and address alone, and the theme has no colors and no icons.
Of list views, quick actions, processes and flows there are none: their lists are empty, as in an org in which nobody
made one. The sheet does not name these resources; which other members a real org's answers have is (unverified).
"""

from collections.abc import Mapping
from typing import Any, Final

from crmbridge.sandbox.salesforce.errors import not_found
from crmbridge.sandbox.salesforce.layouts import MASTER
from crmbridge.sandbox.salesforce.schema import Shape, SObject

_SEARCH_ROWS: Final = 25
_CUSTOM_ACTIONS: Final = ("apex", "emailAlert", "flow", "quickAction", "sendNotification")


def tabs(shape: Shape) -> list[dict[str, Any]]:
    return [
        {
            "colors": [],
            "custom": sobject.document.custom,
            "icons": [],
            "label": sobject.document.label_plural,
            "name": sobject.name if sobject.document.custom else f"standard-{sobject.name}",
            "sobjectName": sobject.name,
            "url": f"https://{shape.org.my_domain}/{sobject.document.key_prefix}/o",
        }
        for sobject in _shown(shape)
    ]


def theme(shape: Shape) -> dict[str, Any]:
    return {"themeItems": [{"colors": None, "icons": None, "name": sobject.name} for sobject in _shown(shape)]}


def compact_layouts(sobject: SObject, version: str) -> dict[str, Any]:
    """The one that every object has before somebody makes another: its name."""
    url = f"/services/data/v{version}/sobjects/{sobject.name}/describe/compactLayouts"
    names = [field for field in sobject.fields.values() if field.name_field]
    items = [
        {
            "editable": False,
            "label": field.label,
            "layoutComponents": [
                {"components": [], "displayLines": 1, "tabOrder": 1, "type": "Field", "value": field.name}
            ],
            "placeholder": False,
            "required": False,
        }
        for field in names
    ]
    system = {"actions": [], "fieldItems": items, "id": None, "imageItems": [], "label": "System Default"}
    mapping = {"available": True, "compactLayoutId": None, "compactLayoutName": "SYSTEM", "recordTypeId": MASTER}
    return {
        "compactLayouts": [{**system, "name": "SYSTEM", "objectType": sobject.name}],
        "defaultCompactLayoutId": None,
        "recordTypeCompactLayoutMappings": [
            {**mapping, "recordTypeName": "Master", "urls": {"compactLayout": f"{url}/{MASTER}"}}
        ],
        "urls": {"primary": f"{url}/primary"},
    }


def list_views(sobject: SObject) -> dict[str, Any]:
    return {"done": True, "listviews": [], "nextRecordsUrl": None, "size": 0, "sobjectType": sobject.name}


def processes(which: str) -> dict[str, Any]:
    """`process/rules`, `process/approvals`: by object; no object has one."""
    return {which: {}}


def actions(version: str, path: tuple[str, ...]) -> dict[str, Any]:
    """`actions`, and the custom ones by kind."""
    root = f"/services/data/v{version}/actions"
    match path:
        case ():
            return {"standard": f"{root}/standard", "custom": f"{root}/custom"}
        case ("custom",):
            return {kind: f"{root}/custom/{kind}" for kind in _CUSTOM_ACTIONS}
        case ("custom", kind) if kind in _CUSTOM_ACTIONS:
            return {"actions": []}
        case _:
            raise not_found()


def scope_order(shape: Shape, version: str) -> list[dict[str, str]]:
    return [
        {"type": each.name, "url": f"/services/data/v{version}/sobjects/{each.name}/describe"} for each in _shown(shape)
    ]


def search_layouts(shape: Shape, options: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a result shows of each object asked for: the name that its rows go by."""
    found: list[dict[str, Any]] = []
    for name in options.get("q", "").split(","):
        sobject = shape.object(name.strip())
        if sobject is None:
            raise not_found()
        columns = [
            {"field": f"{sobject.name}.{field.name}", "format": None, "label": field.label, "name": field.name}
            for field in sobject.fields.values()
            if field.name_field
        ]
        found.append(
            {"errorMessages": None, "label": "Search Results", "limitRows": _SEARCH_ROWS, "objectType": sobject.name}
            | {"searchColumns": columns}
        )
    return found


def _shown(shape: Shape) -> list[SObject]:
    return [each for each in shape.objects.values() if each.document.searchable and not each.document.setup]
