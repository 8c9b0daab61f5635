"""Business process flows: the instance tables that exist here, and the stages of their processes (dataverse-api §8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from connectors.dynamics.metadata import Definition, definition
from connectors.dynamics.protocol import Request, View, decoded, decoded_by, page_decoder, read, text_literal

# The processes that an opportunity of the product's own can run in; a customer's own process tables are not read.
LEAD_PROCESS: Final = "leadtoopportunitysalesprocess"
PROCESS_TABLES: Final = (LEAD_PROCESS, "opportunitysalesprocess")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    id: str
    name: str
    category: int | None  # 0 Qualify, 1 Develop, 2 Propose, 3 Close
    table: str  # the entity whose stage it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    table: str  # instance table's logical name; also the process's name for us
    name: str = ""  # what people call it
    set: str
    tracked: bool
    ids: frozenset[str] = frozenset()  # definitions that keep their instances here
    stages: tuple[Stage, ...] = ()

    def stage(self, stage_id: str) -> Stage | None:
        return next((each for each in self.stages if each.id == stage_id), None)

    def of_category(self, category: int, table: str) -> Stage | None:
        return next((each for each in self.stages if each.category == category and each.table == table), None)


class _Workflow(msgspec.Struct):
    workflowid: str
    uniquename: str | None = None
    name: str | None = None


class _Workflows(msgspec.Struct):
    value: list[_Workflow]


class _Stage(msgspec.Struct):
    processstageid: str
    stagename: str | None = None
    stagecategory: int | None = None
    primaryentitytypecode: str | None = None
    process_id: str | None = msgspec.field(name="_processid_value", default=None)


class _Stages(msgspec.Struct):
    value: list[_Stage]


def process_requests() -> list[Request]:
    names = " or ".join(f"uniquename eq {text_literal(each)}" for each in PROCESS_TABLES)
    return [
        *(definition(table) for table in PROCESS_TABLES),
        read(
            "workflows",
            table="",
            kind="metadata",
            select="workflowid,uniquename,name",
            filter=f"category eq 4 and ({names})",
        ),
        read(
            "processstages",
            table="",
            kind="metadata",
            select="stagename,stagecategory,primaryentitytypecode,_processid_value",
        ),
    ]


def processes(bodies: Sequence[bytes | None]) -> dict[str, Process]:
    """The process tables that exist, from the answers to `process_requests`; None where there is none."""
    definitions, (workflows, stages) = bodies[:-2], bodies[-2:]
    flows = decoded(workflows, _Workflows).value if workflows else []
    all_stages = decoded(stages, _Stages).value if stages else []
    found: dict[str, Process] = {}
    for body in definitions:
        if body is None:
            continue
        about = decoded(body, Definition)
        ids = frozenset(each.workflowid for each in flows if each.uniquename == about.LogicalName)
        mine = [each for each in all_stages if each.process_id in ids]
        # The table of stages has no order of its own; the categories rise along the product's processes (§8.2).
        mine.sort(key=lambda each: (each.stagecategory is None, each.stagecategory or 0))
        found[about.LogicalName] = Process(
            table=about.LogicalName,
            name=next((each.name for each in flows if each.workflowid in ids and each.name), about.LogicalName),
            set=about.EntitySetName,
            tracked=bool(about.ChangeTrackingEnabled),
            ids=ids,
            stages=tuple(
                Stage(
                    id=each.processstageid,
                    name=each.stagename or "",
                    category=each.stagecategory,
                    table=each.primaryentitytypecode or "",
                )
                for each in mine
            ),
        )
    return found


# --- instances ----------------------------------------------------------------------------------------------------

_deletion: Final = ("id", "reason")  # a delta's deletion has these two alone


_instance_names: Final = {
    "instance_id": "businessprocessflowinstanceid",
    "etag": "@odata.etag",
    "process_id": "_processid_value",
    "stage_id": "_activestageid_value",
    "lead_id": "_leadid_value",
    "opportunity_id": "_opportunityid_value",
}


class Instance(msgspec.Struct, kw_only=True, rename=_instance_names):
    """A row of a process table (dataverse-api §8.1)."""

    instance_id: str | None = None
    etag: str | None = None
    process_id: str | None = None
    stage_id: str | None = None
    traversedpath: str | None = None
    statuscode: int | None = None
    modifiedon: str | None = None
    lead_id: str | None = None
    opportunity_id: str | None = None
    id: str | None = None
    reason: str | None = None

    def values(self, table: str) -> dict[str, Any]:
        return {
            "table": table,
            "process_id": self.process_id,
            "stage_id": self.stage_id,
            "path": self.traversedpath,
            "status": self.statuscode,
            "lead_id": self.lead_id,
            "opportunity_id": self.opportunity_id,
            "etag": self.etag,
            "modified_at": self.modifiedon,
        }


_instance_page: Final = page_decoder(Instance)


def instance_page(body: bytes) -> Any:
    """Its `value` are instances; `next_link` and `delta_link` as in any page."""
    return decoded_by(_instance_page, body, "process instances")


def instance_view(table: str) -> View:
    """The opportunity's own process has no lead (dataverse-api §8.1)."""
    absent = _deletion if table == LEAD_PROCESS else (*_deletion, "_leadid_value")
    names = [_instance_names.get(each, each) for each in Instance.__struct_fields__]
    return View(select=",".join(each for each in names if "@" not in each and each not in absent))


ACTIVE: Final = 1  # statuscode alone tells (dataverse-api §8.1)


def active_process(extras: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> tuple[str, Mapping[str, Any]] | None:
    """The newest active process instance among a record's satellites: what the form shows (dataverse-api §8.3)."""
    active = [(key, each) for key, each in extras.get("process", {}).items() if each.get("status") == ACTIVE]
    return max(active, key=lambda each: (str(each[1].get("modified_at") or ""), each[0]), default=None)
