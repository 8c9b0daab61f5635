"""Life-cycle steps other than a conversion: status, win, lose, reopen, stage (dataverse-api §6.4, §7.3, §8.4).

One look at all rows, then one $batch: a change set for each, with the values that go along, and what is read back of
all. What already is as ordered is adopted: every close writes an OpportunityClose, so nothing is ever closed twice.
A lead's status needs no look: it is a plain update, and the version that it was planned from guards it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from connectors.base import Move
from connectors.dynamics.client import Client, Reply
from connectors.dynamics.environment import Environment
from connectors.dynamics.instances import active_process
from connectors.dynamics.processes import Process, path_order, path_request
from connectors.dynamics.protocol import Request, action, any_of, as_outcome, decoded, read, row_path, update
from connectors.dynamics.reading import Reading
from connectors.dynamics.rows import TABLES, life
from connectors.dynamics.stage_order import Stage, in_order, path_ids
from crmbridge.errors import OutsideError, RefusedError
from crmbridge.model import Entity, Outcome, Refused, Row, Stale, Unknown, Written

moves_per_batch: Final = 200
operations_per_batch: Final = 1000  # dataverse-api §4.6; a reopen through three stages is five of them
OPEN, WON, LOST = 0, 1, 2
_close_canceled: Final[Mapping[str, int]] = {"statecode": 2, "statuscode": 3}  # opportunityclose (dataverse-api §7.3)
_states: Final[Mapping[str, int]] = {"win": WON, "lose": LOST}


class _Close(msgspec.Struct):
    activityid: str
    opportunity: str = msgspec.field(name="_opportunityid_value")


class _Closes(msgspec.Struct):
    value: list[_Close]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    row: Row
    last_close: str | None = None  # id of the newest completed OpportunityClose
    path: tuple[str, ...] = ()  # stages that the row can pass, where its process's categories do not tell them


@dataclass(kw_only=True)
class _Job:
    """Orders on their way; what is known of each so far, by position."""

    orders: Sequence[Move]
    outcomes: dict[int, Outcome] = field(default_factory=dict[int, Outcome])
    requests: dict[int, Sequence[Request]] = field(default_factory=dict[int, Sequence[Request]])

    def of(self, entity: Entity, positions: Iterable[int]) -> list[int]:
        return [at for at in positions if self.orders[at].entity == entity]


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
    walked = path_ids(path)
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
    def __init__(self, client: Client, environment: Environment, reading: Reading) -> None:
        self._client = client
        self._environment = environment
        self._reading = reading

    def moves(self, orders: Sequence[Move]) -> list[Outcome]:
        assert len(orders) <= moves_per_batch, f"{len(orders)} moves at once"
        job = _Job(orders=orders)
        unguarded = [at for at, order in enumerate(orders) if order.kind != "status" or order.version is None]
        looks = self._with_paths(job, self._looks(job, unguarded)) if unguarded else {}
        for at, order in enumerate(orders):
            look = looks.get(at)
            told = None
            if at in unguarded:
                told = _missing(order) if look is None else self._without_a_call(order, look.row)
            try:
                requests = self._requests(order, look) if told is None else ()
                if requests:
                    job.requests[at] = requests
                else:  # nothing to do, or nothing to be done
                    row = look.row if look is not None else None
                    job.outcomes[at] = told or Written(id=order.id, row=row, adopted=True)
            except RefusedError as error:  # nothing was sent: the order itself cannot be carried out
                job.outcomes[at] = Refused(code=error.code, message=error.message)
        for positions in self._batches(job):
            self._carry_out(job, positions)
        return [job.outcomes.get(at, Unknown(message="no outcome")) for at in range(len(orders))]

    # --- before ---------------------------------------------------------------------------------------------------

    def _looks(self, job: _Job, positions: Iterable[int]) -> dict[int, _Look]:
        """The rows as they are, their process instances, and what a reopen must cancel: one call."""
        positions = list(positions)
        plan = self._reads(job, positions)
        requests = [each for some in plan.values() for each in some]
        reopened = [at for at in positions if self._cancels(job.orders[at])]
        if reopened:
            requests.append(
                read(
                    "opportunitycloses",
                    table="opportunityclose",
                    kind="look",
                    select="activityid,_opportunityid_value",
                    filter=f"{any_of('opportunityid', [job.orders[at].id for at in reopened])} and statecode eq 1",
                    orderby="createdon asc",
                )
            )
        bodies = [each.body for each in self._client.read_all(requests, kind="look")]
        closes = decoded(bodies.pop(), _Closes).value if reopened else []
        last = {each.opportunity.lower(): each.activityid for each in closes}  # the newest comes last
        rows = self._rows(job, positions, plan, bodies)
        return {at: _Look(row=row, last_close=last.get(row.ref.id)) for at, row in rows.items()}

    def _with_paths(self, job: _Job, looks: dict[int, _Look]) -> dict[int, _Look]:
        """With the stages that each row can pass, one more call, where categories do not tell them."""
        asked: dict[int, Request] = {}
        for at, look in looks.items():
            order, found = job.orders[at], active_process(look.row.extras)
            if order.entity != "opportunity" or order.kind not in ("stage", "reopen") or order.status is None:
                continue
            if found is not None and not self._environment.processes()[found[1]["table"]].ordered:
                asked[at] = path_request(found[0])
        if not asked:
            return looks
        replies = self._client.read_all(list(asked.values()), kind="look", or_forbidden=True)
        paths = {at: path_order(each.body) for at, each in zip(asked, replies, strict=True) if each.done}
        return {at: replace(look, path=paths.get(at, ())) for at, look in looks.items()}

    def _reads(self, job: _Job, positions: Sequence[int]) -> dict[Entity, list[Request]]:
        ids: dict[Entity, list[str]] = {}
        for at in positions:
            ids.setdefault(job.orders[at].entity, []).append(job.orders[at].id)
        return {entity: self._reading.row_requests(entity, some) for entity, some in ids.items()}

    def _rows(
        self, job: _Job, positions: Sequence[int], plan: Mapping[Entity, Sequence[Request]], bodies: Sequence[bytes]
    ) -> dict[int, Row]:
        """The answers to `_reads`, by position of the order."""
        answers, found = iter(bodies), dict[int, Row]()
        for entity, requests in plan.items():
            rows = self._reading.rows_of(entity, [next(answers) for _ in requests])
            for at in job.of(entity, positions):
                row = rows.get(job.orders[at].id.lower())
                if row is not None:
                    found[at] = row
        return found

    def _cancels(self, order: Move) -> bool:
        return order.kind == "reopen" and order.entity == "opportunity" and order.cancel_close

    def _without_a_call(self, order: Move, row: Row) -> Outcome | None:
        if self._is_there(order, row) and not order.columns:
            return Written(id=order.id, row=row, adopted=True)
        if order.version is not None and row.version != order.version:
            return Stale(message=f"The {order.entity} has changed since the step was planned.")
        return self._impossible(order, row)

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

    def _batches(self, job: _Job) -> list[list[int]]:
        """As many as a batch takes, together with the reads of what came of them."""
        batches: list[list[int]] = []
        room = 0
        reads_max = 4 + len(self._environment.processes())  # rows, and process instances of opportunities
        for at, requests in job.requests.items():
            if len(requests) > room:
                batches.append([])
                room = operations_per_batch - reads_max
            batches[-1].append(at)
            room -= len(requests)
        return batches

    def _carry_out(self, job: _Job, positions: Sequence[int]) -> None:
        plan = self._reads(job, positions)
        then = [each for some in plan.values() for each in some]
        kinds = {job.orders[at].kind for at in positions}
        kind = _kinds[kinds.pop()] if len(kinds) == 1 else "moves"
        replies, reads = self._client.write_groups([job.requests[at] for at in positions], then=then, kind=kind)
        whole = len(reads) == len(then) and all(each.done for each in reads)
        rows = self._rows(job, positions, plan, [each.body for each in reads]) if whole else {}
        doubtful: dict[int, Reply] = {}
        for at, reply in zip(positions, replies, strict=True):
            if reply.done:
                job.outcomes[at] = Written(id=job.orders[at].id, row=rows.get(at))
            elif reply.meaning.kind in ("closed", "unknown"):
                doubtful[at] = reply
            else:
                job.outcomes[at] = as_outcome(reply.meaning)
        if doubtful:
            self._look_again(job, doubtful)

    def _requests(self, order: Move, look: _Look | None) -> list[Request]:
        """`look` is there for all but a status with a version."""
        if look is None or order.kind == "status":
            return [self._update(order, look, self._status(order))]
        match order.kind:
            case "win" | "lose":
                along = [self._update(order, look, {})] if order.columns else []
                return [*along, self._close(order)]
            case "reopen":
                return self._reopen(order, look)
            case "stage":
                return self._stage(order, look, {})

    def _update(self, order: Move, look: _Look | None, changes: Mapping[str, Any]) -> Request:
        body = {**self._environment.table(order.entity).lookups.body(order.columns), **changes}
        version = look.row.version or None if look is not None else order.version
        return update(TABLES[order.entity].set, order.id, body, version=version, table=order.entity)

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
        process = self._passed(self._environment.processes()[instance["table"]], look.path)
        target = self._target(process, instance.get("stage_id"), order.status)
        if look.path and target.id not in look.path:
            raise RefusedError(
                f"The stage {target.name} is not on the path that this opportunity takes through {process.name}.",
                code="0x80092003",
            )
        steps = stage_steps(process, instance.get("stage_id"), instance.get("path"), target)
        for step in steps:
            self._on_opportunity(process.stage(step.stage_id))
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

    def _passed(self, process: Process, path: Sequence[str]) -> Process:
        """The process as this row goes through it."""
        return replace(process, stages=in_order(process.stages, path)) if path else process

    def _target(self, process: Process, active: str | None, status: str | int | None) -> Stage:
        if isinstance(status, int):  # a value of the plain column: the stage of that category
            here = process.stage(active or "")
            stays = here is not None and here.category == status
            stage = here if stays else process.of_category(status, "opportunity")
        else:
            stage = process.stage(str(status))
        if stage is None:
            raise RefusedError(
                f"The opportunity runs in the process {process.table}, which has no stage {status}.", code="0x80060452"
            )
        self._on_opportunity(stage)
        return stage

    def _on_opportunity(self, stage: Stage | None) -> None:
        if stage is not None and stage.table != "opportunity":
            raise RefusedError(
                f"The stage {stage.name} is on the {stage.table}; an opportunity cannot go there.", code="0x80100002"
            )

    def _salesstage(self, status: str | int | None) -> int:
        if isinstance(status, int):
            return status
        for process in self._environment.processes().values():
            stage = process.stage(str(status))
            if stage is not None and stage.category is not None and stage.category <= _last_sales_stage:
                return stage.category  # 0 Qualify ... 3 Close in both (dataverse-api §7.1, §8.1)
        raise RefusedError(f"The opportunity runs in no process, and {status} is no sales stage.", code="0x80060452")

    # --- after ----------------------------------------------------------------------------------------------------

    def _look_again(self, job: _Job, doubtful: Mapping[int, Reply]) -> None:
        """Closed by somebody, or the answer was lost: one look tells whether it is as ordered."""
        try:
            looks = self._looks(job, doubtful)
        except OutsideError:
            looks = {}
        for at, reply in doubtful.items():
            order, look = job.orders[at], looks.get(at)
            if look is not None and self._is_there(order, look.row):
                job.outcomes[at] = Written(id=order.id, row=look.row, adopted=True)
            elif reply.meaning.kind == "closed":
                job.outcomes[at] = Stale(message="It was closed meanwhile, in another way.")
            else:
                job.outcomes[at] = as_outcome(reply.meaning)


def _missing(order: Move) -> Refused:
    return Refused(code="0x80040217", message=f"There is no {order.entity} {order.id} (or our user cannot see it).")


_last_sales_stage: Final = 3  # a company's own process may have stages of the categories 4 to 7
_kinds: Final[Mapping[str, str]] = {
    "status": "status",
    "win": "WinOpportunity",
    "lose": "LoseOpportunity",
    "reopen": "reopen",
    "stage": "stage",
}
