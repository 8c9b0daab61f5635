"""Functions written out as text when a mapping is compiled: a record is translated without a loop over its fields.

The text is ours alone. Columns and fields are called `c0`, `f0` in it; after compiling, the code's own table of names
is changed to the real ones. So nothing that stands in a YAML file ever becomes source text, whatever its spelling. The
text is kept with `linecache`, so that a traceback shows its lines.
"""

import itertools
import linecache
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any, Final

# Values are collected as attributes of an empty object, whose `__dict__` is then taken: such dicts share one table of
# keys, so they are made in a quarter of the time and a third of the memory. CPython shares at most 30 keys; above that
# the way would be slower than a plain dict.
SHARED_KEYS_MAX: Final = 30

_numbers: Final = itertools.count(1)


class Woven:
    """Lines of one function and what they refer to."""

    def __init__(self, head: str, names: Mapping[str, Any]) -> None:
        self._lines = [f"{head}\n"]
        self._space: dict[str, Any] = dict(names)
        self._renamed: dict[str, str] = {}

    def add(self, lines: str, **names: Any) -> None:
        self._lines.append(lines)
        self._space.update(names)

    def attribute(self, placeholder: str, name: str) -> None:
        """What an attribute is really called."""
        self._renamed[placeholder] = name

    def collect(self, names: Sequence[str], also: Iterable[str] = ()) -> "Target":
        """Where the values go: the shared kind of dict if these names, and those that come later, allow it."""
        keys = dict.fromkeys([*names, *also])
        if len(keys) > SHARED_KEYS_MAX or not all(is_attribute(name) for name in keys):
            self.add("    kept = {}\n")
            return Target(self, shared=False)
        kept = type("Kept", (), {})
        first = kept()
        for name in keys:  # so that the table of keys is known in their order, and needs no other for what comes later
            setattr(first, name, None)
        self.add("    kept = Kept()\n", Kept=kept)
        return Target(self, shared=True)

    def made(self, title: str) -> Callable[..., Any]:
        source = "".join(self._lines)
        file = f"<mapping, {title} {next(_numbers)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(_renamed(compile(source, file, "exec"), self._renamed), self._space)  # noqa: S102 - no text of others in it
        return self._space["woven"]


class Target:
    def __init__(self, woven: Woven, *, shared: bool) -> None:
        self._woven, self._shared = woven, shared
        self.fields = "kept.__dict__" if shared else "kept"

    def place(self, n: int, name: str) -> str:
        """The left side of an assignment to a name."""
        if self._shared:
            self._woven.attribute(f"f{n}", name)
            return f"kept.f{n}"
        self._woven.add("", **{f"key{n}": name})
        return f"kept[key{n}]"


def is_attribute(name: str) -> bool:
    """Not so for `__class__` and its like, which mean something to Python itself."""
    return not name.startswith("__")


def _renamed(code: CodeType, names: Mapping[str, str]) -> CodeType:
    return code.replace(
        co_names=tuple(names.get(name, name) for name in code.co_names),
        co_consts=tuple(_renamed(c, names) if isinstance(c, CodeType) else c for c in code.co_consts),
    )
