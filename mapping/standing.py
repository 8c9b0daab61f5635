"""Where the record of an example stands in its life, told from its columns as a CRM would show them.

The connectors tell it of real records, from all that they know; here only the columns of an example are known, and a
flag that is left out follows from the status. Flags and codes: salesforce-api §7, dataverse-api §8.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from crmbridge.model import Entity, Life, State
from mapping.described import OptionLike
from mapping.vocabulary import fold, resolve

Word = str | int

_COLUMNS: Final[Mapping[tuple[str, Entity], tuple[str, ...]]] = {
    ("salesforce", "lead"): ("Status", "IsConverted", "RecordType"),
    ("salesforce", "opportunity"): ("StageName", "IsClosed", "IsWon", "RecordType"),
    ("dynamics", "lead"): ("statecode", "statuscode"),
    ("dynamics", "opportunity"): ("statecode", "statuscode", "stage", "process"),
}
_STATES: Final[Mapping[Entity, tuple[tuple[str, State], ...]]] = {
    "lead": (("Open", "open"), ("Qualified", "converted"), ("Disqualified", "disqualified")),
    "opportunity": (("Open", "open"), ("Won", "won"), ("Lost", "lost")),
}
ON_HOLD: Final = 2  # statuscode of an open opportunity


def standing_columns(system: str, entity: Entity) -> tuple[str, ...]:
    """Columns that an example may name beside the mapped ones. A Dynamics stage is a column of its process: `stage`."""
    return _COLUMNS.get((system, entity), ())


def status_written(system: str, entity: Entity, state: State | None) -> str | None:
    """The column that shows the status, or the stage, in that state."""
    match system, entity:
        case "salesforce", "lead":
            return "Status"
        case "salesforce", "opportunity":
            return "StageName"
        case "dynamics", "lead":
            return "statuscode"
        case "dynamics", "opportunity":
            return "stage" if state == "open" else "statuscode"
        case _:
            return None


def standing(
    system: str,
    entity: Entity,
    columns: Mapping[str, Any],
    options: Sequence[OptionLike],
    state_of: Callable[[Word], State | None],
) -> Life:
    """`options`: the statuses that the system told, if it did; `state_of`: the state of the row that reads a word."""
    match system, entity:
        case "salesforce", "lead":
            status = _status(columns.get("Status"), options)
            converted: State | None = "converted" if columns.get("IsConverted") else None
            return Life(state=converted, status=status, record_type=columns.get("RecordType"))
        case "salesforce", "opportunity":
            status = _status(columns.get("StageName"), options)
            state = _salesforce_state(columns, status, options, state_of)
            return Life(state=state, status=status, record_type=columns.get("RecordType"))
        case "dynamics", "lead" | "opportunity":
            return _dynamics(entity, columns, options, state_of)
        case _:
            return Life()


def _status(word: Any, options: Sequence[OptionLike], process: str | None = None) -> Word | None:
    """The stable value that a label means, where the system told its statuses."""
    if word is None:
        return None
    known = [option for option in options if process is None or option.process == process] or options
    hits = resolve(word, known)
    return hits[0].value if hits else word


def _salesforce_state(
    columns: Mapping[str, Any],
    status: Word | None,
    options: Sequence[OptionLike],
    state_of: Callable[[Word], State | None],
) -> State | None:
    if "IsWon" in columns or "IsClosed" in columns:
        return "won" if columns.get("IsWon") else "lost" if columns.get("IsClosed") else "open"
    return _told(status, options) or (state_of(status) if status is not None else None)


def _told(status: Word | None, options: Sequence[OptionLike]) -> State | None:
    """The state that the system's own flag gives a status."""
    told = next((option.state for option in options if option.value == status and option.state), None)
    return next((state for states in _STATES.values() for _, state in states if state == told), None)


def _dynamics(
    entity: Entity, columns: Mapping[str, Any], options: Sequence[OptionLike], state_of: Callable[[Word], State | None]
) -> Life:
    process = columns.get("process")
    named = (o.process for o in options if fold(process) in (fold(o.process), fold(o.process_name)))
    table = next(named, process) if process is not None else None
    status = _status(columns.get("statuscode"), options)
    state = _statecode(entity, columns.get("statecode"))
    if state is None and status is not None:
        state = _told(status, options) or state_of(status)
    stage = columns.get("stage")
    if entity == "opportunity" and stage is not None and state in (None, "open"):
        return Life(
            state="open",
            status=_status(stage, options, table),
            process=table,
            on_hold=status == ON_HOLD or fold(status) == "onhold",
        )
    if entity == "opportunity" and state is None:
        state = "open"
    return Life(state=state, status=status)


def _statecode(entity: Entity, given: Any) -> State | None:
    if given is None:
        return None
    for code, (label, state) in enumerate(_STATES[entity]):
        if given == code or fold(given) == fold(label):
            return state
    return None
