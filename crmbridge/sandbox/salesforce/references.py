"""References between subrequests: `@{name.path}` stands for what an earlier one answered (salesforce-api §3.3)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from crmbridge.sandbox.salesforce.errors import refuse

_REFERENCE: Final = re.compile(r"@\{([A-Za-z]\w*)((?:\.\w+|\[\d+\])*)\}")

Known = Mapping[str, Any]  # the answered bodies by reference id


def filled(text: str, known: Known) -> str:
    return _REFERENCE.sub(lambda found: _written(_look_up(found, known)), text)


def filled_url(text: str, known: Known) -> str:
    """What is filled in is a value, never a part of the URL's own structure."""
    return _REFERENCE.sub(lambda found: quote(_written(_look_up(found, known)), safe=""), text)


def filled_in(value: Any, known: Known) -> Any:
    """References in a body; one that is the whole text keeps the type of what it names."""
    if isinstance(value, dict):
        return {key: filled_in(part, known) for key, part in value.items()}
    if isinstance(value, list):
        return [filled_in(part, known) for part in value]
    if isinstance(value, str):
        alone = _REFERENCE.fullmatch(value)
        return _look_up(alone, known) if alone else filled(value, known)
    return value


def names_in(value: Any) -> Iterator[str]:
    """The reference ids that a url or a body uses."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from names_in(part)
    elif isinstance(value, str):
        yield from (found.group(1) for found in _REFERENCE.finditer(value))


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _look_up(found: re.Match[str], known: Known) -> Any:
    """A reference to a failed subrequest halts the one that needs it."""
    name = found.group(1)
    value: Any = known.get(name)
    for step in re.findall(r"\w+", found.group(2)):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        else:
            value = None
    if value is None:
        whole = f"{name}{found.group(2)}"
        raise refuse("PROCESSING_HALTED", f"Invalid reference specified. No value for {whole} found in {name}")
    return value
