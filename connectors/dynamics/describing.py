"""What the checker and the compiler of mappings are told of a table."""

from collections.abc import Mapping, Sequence

from connectors.base import Description, Option
from connectors.dynamics.metadata import STATES, Facts
from connectors.dynamics.processes import Process
from crmbridge.model import Entity


def description(
    entity: Entity, facts: Facts, processes: Mapping[str, Process], notes: Sequence[str] = ()
) -> Description:
    return Description(
        entity=entity,
        table=facts.table,
        columns=facts.columns,
        statuses=_stages(facts, processes) if entity == "opportunity" else _statuses(entity, facts),
        key_field=False,  # the row's own GUID is our key (reliability §4); no column is needed
        notes=(*facts.notes, *notes),
    )


def _statuses(entity: Entity, facts: Facts, *, closed_only: bool = False) -> tuple[Option, ...]:
    states = STATES.get(entity, {})
    return tuple(
        Option(
            value=each.value,
            label=each.label,
            state=states.get(each.state),
            default=facts.default_status(each.state) == each.value,
        )
        for each in facts.statuses
        if each.state or not closed_only
    )


def _stages(facts: Facts, processes: Mapping[str, Process]) -> tuple[Option, ...]:
    """An open opportunity's status is a stage: of its process, else of the plain column; a closed one's its reason."""
    plain = facts.columns.get("salesstage")
    return (
        *(
            Option(value=stage.id, label=stage.name, state="open", process=process.table, process_name=process.name)
            for process in processes.values()
            for stage in process.stages  # the lead's own stage too: an instance may still stand there
        ),
        *(Option(value=each.value, label=each.label, state="open") for each in (plain.options if plain else ())),
        *_statuses("opportunity", facts, closed_only=True),
    )
