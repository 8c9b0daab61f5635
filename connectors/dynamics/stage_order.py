"""In which order a process's stages are passed (dataverse-api §8). Pure.

The table of stages has no order of its own. The product's processes rise by category; in a company's own several
stages may share one category, so there the definition tells the order, else the path that an instance has walked.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    id: str
    name: str
    category: int | None  # 0 Qualify, 1 Develop, 2 Propose, 3 Close, 4 Identify, 5 Research, 6 Resolve, 7 Approval
    table: str  # the entity whose stage it is


def by_category(stages: Iterable[Stage]) -> list[Stage]:
    return sorted(stages, key=lambda each: (each.category is None, each.category or 0))


def categories_tell(stages: Sequence[Stage]) -> bool:
    """Whether no two stages share a category."""
    categories = [each.category for each in stages]
    return None not in categories and len(set(categories)) == len(categories)


def in_order(stages: Sequence[Stage], told: Sequence[str]) -> tuple[Stage, ...]:
    """The stages told of as told; those that are not come after them, by category."""
    known = {each.id: each for each in stages}
    first = [known[each] for each in dict.fromkeys(told) if each in known]
    return (*first, *by_category(each for each in stages if each.id not in set(told)))


def declared(clientdata: str | None) -> tuple[str, ...]:
    """Stage ids in the order that a definition (`workflow.clientdata`) lists them; () if it tells none.

    Its form is documented nowhere (unverified; public tools write it so): steps within steps, of which those of class
    StageStep have a `stageId` and, where the designer wrote it, the `nextStageId`. Nothing else of it is relied on.
    """
    try:
        whole: Any = json.loads(clientdata or "null")
    except ValueError:  # older definitions are XAML alone: another source tells the order then
        return ()
    following: dict[str, str | None] = {}
    for step in _stage_steps(whole):
        following.setdefault(_id(step["stageId"]), _id(step.get("nextStageId")) or None)
    return _chain(following) or tuple(following)


def _stage_steps(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        step = cast("Mapping[str, Any]", node)
        # a SetNextStageStep of a branch names a stage too, which is not its place
        if str(step.get("__class", "")).startswith("StageStep") and isinstance(step.get("stageId"), str):
            yield step
        children: Iterable[Any] = step.values()
    elif isinstance(node, list):
        children = cast("list[Any]", node)
    else:
        return
    for child in children:
        yield from _stage_steps(child)


def _chain(following: Mapping[str, str | None]) -> tuple[str, ...]:
    """From the stage that none leads to along the next ones; () unless all stages hang on one chain."""
    starts = [each for each in following if each not in following.values()]
    if len(starts) != 1:
        return ()
    walked: list[str] = []
    here: str | None = starts[0]
    while here is not None and here in following and here not in walked:
        walked.append(here)
        here = following[here]
    return tuple(walked) if len(walked) == len(following) else ()


def _id(value: Any) -> str:
    """As the Web API writes ids: a definition may write them in capitals or braces."""
    return str(value or "").strip("{} ").lower()


def path_ids(path: str | None) -> list[str]:
    """A `traversedpath`."""
    return [each.strip().lower() for each in (path or "").split(",") if each.strip()]
