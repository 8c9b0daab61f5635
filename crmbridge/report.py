"""What somebody needs who is to help from outside, and nothing about the people in the CRMs.

Each part is chosen, not filtered: settings by their kind, issues by cause and without their messages, lines of a log by
known keys. All of it then goes through the mask as well."""

import json
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from crmbridge.drift import DRIFT_META, told
from crmbridge.model import ENTITIES, SIDES
from crmbridge.unnamed import Masker

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store

RUNS: Final = 100
SAMPLES: Final = 5  # ids of each cause
LOG_LINES: Final = 1000
_PACKAGES: Final = re.compile(r"^[A-Za-z0-9_.-]+")
# Texts in the settings that are words of ours; all others only tell that they are set.
_OPEN_TEXTS: Final = frozenset({"system", "flow", "mirror", "opportunity", "no_customer", "contact_customer", "new"})
_LOG_KEYS: Final = frozenset(
    {"timestamp", "level", "logger", "action", "code", "run", "writes", "held", "calls", "plan", "exception"}
    | {"entity", "kind", "cause", "attempts", "state"}  # of a line about a record, without its ids
)
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]*")


def versions() -> dict[str, Any]:
    named: dict[str, str] = {}
    requires = next((one.requires for one in distributions(name="crmbridge")), None)
    for line in requires or ():
        found = _PACKAGES.match(line)
        if found is not None:
            try:
                named[found[0].lower()] = version(found[0])
            except PackageNotFoundError:
                named[found[0].lower()] = "not installed"
    return {
        "crmbridge": version("crmbridge"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": dict(sorted(named.items())),
    }


def settings_told(value: Any, key: str = "") -> Any:
    """Numbers, switches and words of ours as they are; of everything else that it is set."""
    match value:
        case BaseModel():
            fields = {name: settings_told(getattr(value, name), name) for name in type(value).model_fields}
            return {name: inner for name, inner in fields.items() if inner not in ({}, None)}
        case Mapping():
            # Names of connections are people's own, like all names.
            names = enumerate(value.items(), 1)
            return {f"{key or 'name'} {number}": settings_told(inner, name) for number, (name, inner) in names}
        case bool() | int() | float() | None:
            return value
        case timedelta() | datetime():
            return str(value)
        case str() if key in _OPEN_TEXTS:
            return value
        case list() | tuple() | frozenset() | set():
            return f"[{len(value)} set]" if value else None
        case _:
            return "[set]"


def store_told(store: "Store") -> dict[str, Any]:
    now = store.now()
    return {
        **store.facts(),
        "records": {
            entity: {"linked": store.count_links(entity), **{side: store.count_records(side, entity) for side in SIDES}}
            for entity in ENTITIES
        },
        "read": {f"{side} {source}": str(now - at) for (side, source), at in sorted(store.cursors().items())},
        "calls_without_answer": Counter(f"{one.side} {one.entity} {one.kind}" for one in store.open_intents()),
        "first_run": [entity for entity in ENTITIES if store.meta(f"first_run:{entity}")],
        "stopped": {entity: list(sentences) for entity, sentences in told(store.meta(DRIFT_META)).items()},
        "mappings": [{"id": one.id, "first_used_at": one.first_used_at} for one in store.mappings()],
    }


def runs_told(store: "Store") -> list[dict[str, Any]]:
    return [
        {
            "run": run.id,
            "kind": run.kind,
            "started_at": run.started_at,
            "seconds": (run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
            "outcome": _ended(run.outcome),
            "counts": _by_side(run.counts),
            "unwritten": _by_side(run.unwritten),
            "requests": [sum(calls.values()) for calls in run.calls.values()],
            "mapping": run.mapping,
        }
        for run in store.runs(limit=RUNS)
    ]


def _ended(outcome: str) -> str:
    """`failed: TryLater` as it is; behind any other colon somebody else may speak."""
    kind, _, rest = outcome.partition(":")
    what = rest.partition(":")[0].strip()
    return f"{kind}: {what}" if kind == "failed" and what.isidentifier() else kind


def _by_side(counts: Mapping[str, Any]) -> list[Any]:
    """Without the connections' names, which are people's own."""
    return list(counts.values())


def issues_told(store: "Store", mask: Masker) -> list[dict[str, Any]]:
    """By cause, without a word of what a CRM said: it may name somebody."""
    groups: dict[tuple[str, str, str, str], list[Any]] = {}
    for one in store.open_issues():
        field = one.field or ""
        field = field if _FIELD.fullmatch(field) and not any(c.isdigit() for c in field) else mask.id(field)
        groups.setdefault((one.kind, one.cause, one.entity, field if one.field else ""), []).append(one)
    return [
        {
            "kind": kind,
            "cause": cause,
            "entity": entity,
            "field": field or None,
            "count": len(some),
            "attempts": max(one.attempts for one in some),
            "oldest": min(one.opened_at for one in some if one.opened_at),
            "records": [mask.id(one.link_id or one.native_id or "") for one in some[:SAMPLES]],
        }
        for (kind, cause, entity, field), some in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def log_told(lines: Iterable[str]) -> tuple[list[dict[str, Any]], int]:
    """Structured lines by known keys; how many others were left out."""
    kept: list[dict[str, Any]] = []
    dropped = 0
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError:
            dropped += bool(line.strip())
            continue
        if isinstance(document, dict):
            kept.append({name: value for name, value in document.items() if name in _LOG_KEYS})
        else:
            dropped += 1
    return kept[-LOG_LINES:], dropped


def mapping_told(texts: Mapping[str, str]) -> dict[str, str]:
    """Mappings with their comments taken out: those are for colleagues. Examples stay here."""
    return {
        name: "".join(f"{line}\n" for line in (_uncommented(one) for one in text.splitlines()) if line.strip())
        for name, text in texts.items()
        if ".examples." not in name
    }


def _uncommented(line: str) -> str:
    quote = ""
    for number, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and (number == 0 or line[number - 1] in " \t"):
            return line[:number].rstrip()
    return line


def parts(
    settings: "Settings", store: "Store", texts: Mapping[str, str], log: Iterable[str], mask: Masker
) -> dict[str, str]:
    """Name of a file in the bundle -> its text, masked."""
    lines, dropped = log_told(log)
    documents: dict[str, Any] = {
        "versions.json": versions(),
        "settings.json": settings_told(settings),
        "store.json": store_told(store),
        "runs.json": runs_told(store),
        "issues.json": issues_told(store, mask),
        "log.json": {"lines": lines, "left_out": dropped},
    }
    found = {name: json.dumps(_versioned(name, one, mask), indent=1, default=str) for name, one in documents.items()}
    return found | {f"mappings/{name}": mask.text(text) for name, text in mapping_told(texts).items()}


def _versioned(name: str, document: Any, mask: Masker) -> Any:
    """Numbers of versions look like telephone numbers."""
    return document if name == "versions.json" else mask.all(document)
