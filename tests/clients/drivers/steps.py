"""One document of what a client saw: a key for each step; a step that fails tells how, and the others go on."""

import asyncio
import inspect
import json
import os
import traceback
from collections.abc import Callable
from typing import Any

SANDBOX: dict[str, Any] = json.loads(os.environ["SANDBOX"])


class Steps:
    def __init__(self) -> None:
        self._steps: list[Callable[..., Any]] = []

    def __call__(self, step: Callable[..., Any]) -> Callable[..., Any]:
        self._steps.append(step)
        return step

    def run(self, *given: Any) -> None:
        print(json.dumps({step.__name__: _outcome(step, given) for step in self._steps}, default=str))

    async def run_async(self, *given: Any) -> None:
        seen: dict[str, Any] = {}
        for step in self._steps:
            try:
                seen[step.__name__] = await step(*given)
            except Exception:  # noqa: BLE001 - told to the test
                seen[step.__name__] = {"raised": traceback.format_exc()}
        print(json.dumps(seen, default=str))


def _outcome(step: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    try:
        found = step(*given)
        return asyncio.run(found) if inspect.iscoroutine(found) else found
    except Exception:  # noqa: BLE001 - told to the test
        return {"raised": traceback.format_exc()}


def refused(action: Callable[[], Any]) -> Exception:
    """What the client raises where it must."""
    try:
        answer = action()
    except Exception as error:  # noqa: BLE001 - whatever class the client has for it
        return error
    raise AssertionError(f"not refused: {answer!r}")
