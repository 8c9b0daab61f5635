"""How a shape that `extends` the shipped one is laid over it, the same for both CRMs.

Mappings are merged key by key. Two words say what merging cannot: `whole: true` inside a mapping puts it in the place
of the one below, and the text `absent` in the place of an object, table, field or column says that the org has none.
"""

from collections.abc import Callable
from typing import Any, Final

WHOLE: Final = "whole"
ABSENT: Final = "absent"


def overlay(below: Any, above: Any, lists: Callable[[list[Any], list[Any]], list[Any]] = lambda _, above: above) -> Any:
    """`above` laid over `below`; what becomes of two lists is said by `lists`, anything else is replaced."""
    if isinstance(above, dict):
        base = below if isinstance(below, dict) and above.get(WHOLE) is not True else {}
        merged: dict[Any, Any] = dict(base)
        for key, value in above.items():
            if key == WHOLE and value is True:
                continue
            merged[key] = overlay(base.get(key), value, lists)
        return merged
    if isinstance(below, list) and isinstance(above, list):
        return lists(below, above)
    return above


def without_absent(items: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in items.items() if value != ABSENT}
