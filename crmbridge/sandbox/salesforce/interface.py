"""The resources `tabs` and `theme`: which objects the user interface has a place for (the sheet does not name them).

There is no user interface here, so that a tab has its name and address alone, and the theme has no colors and no icons;
which other members a real org's answer has is (unverified).
"""

from typing import Any

from crmbridge.sandbox.salesforce.schema import Shape, SObject


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


def _shown(shape: Shape) -> list[SObject]:
    return [each for each in shape.objects.values() if each.document.searchable and not each.document.setup]
