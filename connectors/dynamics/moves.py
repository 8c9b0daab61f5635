"""Life-cycle steps other than a conversion: status, win, lose, reopen, stage (dataverse-api §6.4, §7.3, §8.4).

Each looks first, acts in one change set together with the values that go along, and reads back in the same call. What
already is as ordered is adopted: every close writes an OpportunityClose activity, so nothing is ever closed twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from connectors.base import Move
from connectors.dynamics.client import Client, Reply
from connectors.dynamics.environment import Environment
from connectors.dynamics.processes import Process, Stage, active_process
from connectors.dynamics.protocol import Request, action, as_outcome, decoded, key, read, row_path, update
from connectors.dynamics.reading import Reading
from connectors.dynamics.rows import TABLES, life
from crmbridge.errors import OutsideError, RefusedError
from crmbridge.model import Outcome, Refused, Row, Stale, Written

OPEN, WON, LOST = 0, 1, 2
_close_canceled: Final[Mapping[str, int]] = {"statecode": 2, "statuscode": 3}  # opportunityclose (dataverse-api §7.3)
_states: Final[Mapping[str, int]] = {"win": WON, "lose": LOST}


class _Close(msgspec.Struct):
    activityid: str


class _Closes(msgspec.Struct):
    value: list[_Close]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    row: Row
    last_close: str | None = None  # id of the newest completed OpportunityClose


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStep:
    stage_id: str
    path: str  # stage ids, the active one last


def stage_steps(process: Process, active: str | None, path: str | None, target: Stage) -> list[StageStep]:
    """One step per stage, forward or back, along the process (dataverse-api §8.4). Pure."""
    order = [each.id for each in process.stages]
    if active == target.id:
        return []
    goal = order.index(target.id)
    if active not in order:  # a stage that was taken out of the process: straight to where it shall be
        return [StageStep(stage_id=target.id, path=",".join(order[: goal + 1]))]
    here = order.index(active)
    walked = [each for each in (path or "").split(",") if each]
    if not walked or walked[-1] != active:
        walked = order[: here + 1]
    steps: list[StageStep] = []
    for position in range(here + 1, goal + 1) if goal > here else range(here - 1, goal - 1, -1):
        stage = order[position]
        if goal > here:
            walked = [*walked, stage]
        else:
            walked = walked[: walked.index(stage) + 1] if stage in walked else order[: position + 1]
        steps.append(StageStep(stage_id=stage, path=",".join(walked)))
    return steps


class Moves:
    def __init__(
        self, client: Client, environment: Environment, reading: Reading, *, cancel_close_activity: bool
    ) -> None:
        self._client = client
        self._environment = environment
        self._reading = reading
        self._cancel_close_activity = cancel_close_activity

    def move(self, order: Move) -> Outcome:
        try:
            look = self._look(order)
            if look is None:
                return Refused(
                    code="0x80040217", message=f"There is no {order.entity} {order.id} (or our user cannot see it)."
                )
            if self._is_there(order, look.row) and not order.columns:
                return Written(id=order.id, row=look.row, adopted=True)
            if order.version is not None and look.row.version != order.version:
                return Stale(message=f"The {order.entity} has changed since the step was planned.")
            wrong = self._impossible(order, look.row)
            return wrong or self._carry_out(order, look)
        except RefusedError as error:  # nothing was sent: the order itself cannot be carried out
            return Refused(code=error.code, message=error.message)

    # --- before ---------------------------------------------------------------------------------------------------

    def _look(self, order: Move) -> _Look | None:
        """The row as it is, its process instances, and what a reopen must cancel: one call."""
        requests = self._reading.row_requests(order.entity, [order.id])
        closes = order.kind == "reopen" and order.entity == "opportunity" and self._cancel_close_activity
        if closes:
            requests.append(
                read(
                    "opportunitycloses",
                    table="opportunityclose",
                    kind="look",
                    select="activityid",
                    filter=f"_opportunityid_value eq {key(order.id)} and statecode eq 1",
                    orderby="createdon desc",
                    top="1",
                )
            )
        bodies = [each.body for each in self._client.read_all(requests, kind="look")]
        last = decoded(bodies.pop(), _Closes).value if closes else []
        row = self._reading.rows_of(order.entity, bodies).get(order.id.lower())
        return _Look(row=row, last_close=last[0].activityid if last else None) if row else None

    def _is_there(self, order: Move, row: Row) -> bool:
        """Whether the row already is as ordered."""
        now = life(row)
        match order.kind:
            case "win":
                return now.state == "won"
            case "lose":
                return now.state == "lost"
            case "reopen":
                return now.state == "open" and (order.status is None or now.status == order.status)
            case "stage":
                return now.state == "open" and now.status == order.status
            case "status":
                return row.values.statuscode == order.status

    def _impossible(self, order: Move, row: Row) -> Outcome | None:
        """A close over another close is not ours to decide: won <-> lost goes through open (lifecycle §2)."""
        state = life(row).state
        if order.kind in ("win", "lose", "stage") and state != "open":
            return Stale(message=f"The opportunity is {state} already.")
        return None

    # --- the step -------------------------------------------------------------------------------------------------

    def _carry_out(self, order: Move, look: _Look) -> Outcome:
        requests = self._requests(order, look)
        then = self._reading.row_requests(order.entity, [order.id])
        reply, reads = self._client.write_together(requests, then=then, kind=_kinds[order.kind])
        if reply.done:
            return Written(id=order.id, row=self._row(order, reads))
        if reply.meaning.kind in ("closed", "unknown"):
            return self._after_all(order, reply)
        return as_outcome(reply.meaning)

    def _requests(self, order: Move, look: _Look) -> list[Request]:
        match order.kind:
            case "status":
                return [self._update(order, look, self._status(order))]
            case "win" | "lose":
                along = [self._update(order, look, {})] if order.columns else []
                return [*along, self._close(order)]
            case "reopen":
                return self._reopen(order, look)
            case "stage":
                return self._stage(order, look, {})

    def _update(self, order: Move, look: _Look, changes: Mapping[str, Any]) -> Request:
        body = {**self._environment.table(order.entity).lookups.body(order.columns), **changes}
        return update(TABLES[order.entity].set, order.id, body, version=look.row.version or None, table=order.entity)

    def _status(self, order: Move) -> dict[str, Any]:
        """State and status together (dataverse-api §4.2)."""
        facts = self._environment.table(order.entity)
        state = facts.state_of(int(order.status)) if order.status is not None else None
        if state is None:
            raise RefusedError(
                f"{order.status} is no status reason of {order.entity}.", code="0x80048408", fields=("statuscode",)
            )
        return {"statecode": state, "statuscode": int(order.status or 0)}

    def _close(self, order: Move) -> Request:
        state = _states[order.kind]
        status = (
            order.status if order.status is not None else self._environment.table("opportunity").default_status(state)
        )
        close: dict[str, Any] = {
            "subject": order.subject or ("Opportunity won" if state == WON else "Opportunity lost"),
            "opportunityid@odata.bind": f"/{row_path('opportunities', order.id)}",
        }
        if order.actual_value is not None:
            close["actualrevenue"] = order.actual_value
        if order.actual_date is not None:
            close["actualend"] = order.actual_date
        name = "WinOpportunity" if state == WON else "LoseOpportunity"
        return action(name, {"Status": int(status or -1), "OpportunityClose": close}, table="opportunity", kind=name)

    def _reopen(self, order: Move, look: _Look) -> list[Request]:
        facts = self._environment.table(order.entity)
        if order.entity != "opportunity":
            chosen = order.status if order.status is not None else facts.default_status(OPEN)
            return [self._update(order, look, {"statecode": OPEN, "statuscode": chosen})]
        opened = {"statecode": OPEN, "statuscode": facts.default_status(OPEN)}
        requests = [self._update(order, look, opened)] if order.status is None else self._stage(order, look, opened)
        if look.last_close:  # the form cancels it, a reopen over the API does not (lifecycle O9)
            requests.append(
                update("opportunitycloses", look.last_close, _close_canceled, version=None, table="opportunityclose")
            )
        return requests

    def _stage(self, order: Move, look: _Look, changes: Mapping[str, Any]) -> list[Request]:
        """Steps of the process that the row is in; without one, the plain column."""
        found = active_process(look.row.extras)
        if found is None:
            changes = {**changes, "salesstage": self._salesstage(order.status)}
            return [self._update(order, look, changes)]
        instance_id, instance = found
        process = self._environment.processes()[instance["table"]]
        target = self._target(process, order.status)
        steps = stage_steps(process, instance.get("stage_id"), instance.get("path"), target)
        along = [self._update(order, look, changes)] if order.columns or changes else []
        return [
            *along,
            *(
                update(
                    process.set,
                    instance_id,
                    {
                        "activestageid@odata.bind": f"/{row_path('processstages', step.stage_id)}",
                        "traversedpath": step.path,
                    },
                    version=None if number else instance.get("etag"),
                    table=process.table,
                )
                for number, step in enumerate(steps)
            ),
        ]

    def _target(self, process: Process, status: str | int | None) -> Stage:
        by_category = isinstance(status, int)  # a value of the plain column: the stage of that category
        stage = process.of_category(status, "opportunity") if by_category else process.stage(str(status))
        if stage is None:
            raise RefusedError(
                f"The opportunity runs in the process {process.table}, which has no stage {status}.", code="0x80060452"
            )
        if stage.table != "opportunity":
            raise RefusedError(
                f"The stage {stage.name} is on the {stage.table}; an opportunity cannot go there.", code="0x80100002"
            )
        return stage

    def _salesstage(self, status: str | int | None) -> int:
        if isinstance(status, int):
            return status
        for process in self._environment.processes().values():
            stage = process.stage(str(status))
            if stage is not None and stage.category is not None:
                return stage.category  # 0 Qualify ... 3 Close in both (dataverse-api §7.1, §8.1)
        raise RefusedError(f"The opportunity runs in no process, and {status} is no sales stage.", code="0x80060452")

    # --- after ----------------------------------------------------------------------------------------------------

    def _row(self, order: Move, reads: Sequence[Reply]) -> Row | None:
        if not reads or not all(each.done for each in reads):
            return None
        return self._reading.rows_of(order.entity, [each.body for each in reads]).get(order.id.lower())

    def _after_all(self, order: Move, reply: Reply) -> Outcome:
        """Closed by somebody, or the answer was lost: one look tells whether it is as ordered."""
        try:
            look = self._look(order)
        except OutsideError:
            look = None
        if look is not None and self._is_there(order, look.row):
            return Written(id=order.id, row=look.row, adopted=True)
        if reply.meaning.kind == "closed":
            return Stale(message="It was closed meanwhile, in another way.")
        return as_outcome(reply.meaning)


_kinds: Final[Mapping[str, str]] = {
    "status": "status",
    "win": "WinOpportunity",
    "lose": "LoseOpportunity",
    "reopen": "reopen",
    "stage": "stage",
}
