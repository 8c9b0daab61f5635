"""Business process flows that opportunities run in: their instance tables and stages (dataverse-api §8).

One call finds them, the product's own two and a company's. A second one is made only where categories do not tell the
order of the stages: for a company's own processes, and for a shipped one with two stages in one category.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from connectors.dynamics.protocol import Request, any_of, decoded, key, read
from connectors.dynamics.stage_order import Stage, by_category, categories_tell, declared, in_order, path_ids

# Those of the product; they are read whether or not they are switched on, a company's own only while active.
LEAD_PROCESS: Final = "leadtoopportunitysalesprocess"
PROCESS_TABLES: Final = (LEAD_PROCESS, "opportunitysalesprocess")
ACTIVATED: Final = 1  # workflow.statecode


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    table: str  # instance table's logical name; also the process's name for us
    name: str = ""  # what people call it
    set: str
    key: str = "businessprocessflowinstanceid"
    tracked: bool
    ids: frozenset[str] = frozenset()  # definitions that keep their instances here
    stages: tuple[Stage, ...] = ()  # in the order in which they are passed
    # entity -> column of the instance's lookup to it
    lookups: Mapping[str, str] = field(default_factory=lambda: {"opportunity": "opportunityid"})
    ordered: bool = True  # categories tell the order; else an instance is asked for its path before it is moved
    position: int = 0  # processorder: the server starts the first that it may

    @property
    def from_lead(self) -> bool:
        """Whether it begins on the lead: an opportunity in it can never be in its first stages."""
        return any(each.table == "lead" for each in self.stages)

    def stage(self, stage_id: str) -> Stage | None:
        return next((each for each in self.stages if each.id == stage_id), None)

    def of_category(self, category: int, table: str) -> Stage | None:
        return next((each for each in self.stages if each.category == category and each.table == table), None)


class _Workflow(msgspec.Struct):
    workflowid: str
    uniquename: str | None = None
    name: str | None = None
    statecode: int | None = None
    processorder: int | None = None
    clientdata: str | None = None


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


class _Lookup(msgspec.Struct):
    ReferencingAttribute: str
    ReferencedEntity: str


class _Table(msgspec.Struct):
    LogicalName: str
    EntitySetName: str
    PrimaryIdAttribute: str
    ChangeTrackingEnabled: bool | None = None
    ManyToOneRelationships: list[_Lookup] = []

    def lookup(self, entity: str) -> str | None:
        """The product's tables call it `opportunityid`, a company's own `bpf_opportunityid`; should there be others
        that lead to the same table, they are not the process's."""
        columns = [each.ReferencingAttribute for each in self.ManyToOneRelationships if each.ReferencedEntity == entity]
        usual = (f"{entity}id", f"bpf_{entity}id")
        return next((each for each in usual if each in columns), columns[0] if columns else None)


class _Tables(msgspec.Struct):
    value: list[_Table]


def process_requests() -> list[Request]:
    return [
        read(
            "EntityDefinitions",
            table="",
            kind="metadata",
            select="LogicalName,EntitySetName,PrimaryIdAttribute,ChangeTrackingEnabled",
            filter="IsBPFEntity eq true",
            expand="ManyToOneRelationships($select=ReferencingAttribute,ReferencedEntity)",
        ),
        read(
            "workflows",
            table="",
            kind="metadata",
            select="workflowid,uniquename,name,statecode,processorder",
            filter="category eq 4",
        ),
        read(
            "processstages",
            table="",
            kind="metadata",
            select="stagename,stagecategory,primaryentitytypecode,_processid_value",
        ),
    ]


def processes(bodies: Sequence[bytes | None]) -> dict[str, Process]:
    """The processes of opportunities, from the answers to `process_requests`; None where there is no answer."""
    tables, workflows, stages = bodies
    flows = decoded(workflows, _Workflows).value if workflows else []
    all_stages = decoded(stages, _Stages).value if stages else []
    found = [_process(each, flows, all_stages) for each in (decoded(tables, _Tables).value if tables else [])]
    shipped = {name: number for number, name in enumerate(PROCESS_TABLES)}
    own = len(shipped)
    there = [each for each in found if each is not None]
    there.sort(key=lambda each: (shipped.get(each.table, own), each.position, each.table))
    return {each.table: each for each in there}


def _process(about: _Table, flows: Sequence[_Workflow], stages: Sequence[_Stage]) -> Process | None:
    shipped = about.LogicalName in PROCESS_TABLES
    mine = [each for each in flows if each.uniquename == about.LogicalName]
    ids = frozenset(each.workflowid for each in mine)  # an activation is a copy, without stages of its own
    known = [
        Stage(
            id=each.processstageid,
            name=each.stagename or "",
            category=each.stagecategory,
            table=each.primaryentitytypecode or "",
        )
        for each in stages
        if each.process_id in ids
    ]
    lookups = {entity: name for entity in ("lead", "opportunity") if (name := about.lookup(entity))}
    if shipped:
        lookups.setdefault("opportunity", "opportunityid")
    elif "opportunity" not in lookups or not any(each.table == "opportunity" for each in known):
        return None  # about something else
    elif not any(each.statecode == ACTIVATED for each in mine):
        return None
    return Process(
        table=about.LogicalName,
        name=next((each.name for each in mine if each.name), about.LogicalName),
        set=about.EntitySetName,
        key=about.PrimaryIdAttribute,
        tracked=bool(about.ChangeTrackingEnabled),
        ids=ids,
        stages=tuple(by_category(known)),
        lookups=lookups,
        # A company's own may use the categories in any order (§8.1: eight of them, no sense in their numbers).
        ordered=shipped and categories_tell(known),
        position=min((each.processorder or 0 for each in mine), default=0),
    )


# --- the order of their stages ------------------------------------------------------------------------------------


class _Walked(msgspec.Struct):
    traversedpath: str | None = None


class _WalkedPaths(msgspec.Struct):
    value: list[_Walked]


def order_requests(found: Sequence[Process]) -> list[Request]:
    """For processes whose categories do not tell the order: their definitions, and an instance of each."""
    ids = sorted(each for process in found for each in process.ids)
    return [
        read(
            "workflows",
            table="",
            kind="metadata",
            select="workflowid,uniquename,clientdata",
            filter=any_of("workflowid", ids),
        ),
        *(
            read(
                process.set,
                table=process.table,
                kind="metadata",
                select="traversedpath",
                orderby="modifiedon desc",
                top="1",
            )
            for process in found
        ),
    ]


def with_order(found: Sequence[Process], bodies: Sequence[bytes | None]) -> list[Process]:
    """The same with their stages in order; None: that answer was refused us, or is not there."""
    definitions, *walked = bodies
    told: dict[str, tuple[str, ...]] = {}
    for flow in decoded(definitions, _Workflows).value if definitions else []:
        order = declared(flow.clientdata)
        if flow.uniquename and len(order) > len(told.get(flow.uniquename, ())):
            told[flow.uniquename] = order
    ordered: list[Process] = []
    for process, body in zip(found, walked, strict=True):
        paths = decoded(body, _WalkedPaths).value if body else []
        order = told.get(process.table) or path_ids(paths[0].traversedpath if paths else None)
        ordered.append(replace(process, stages=in_order(process.stages, order)))
    return ordered


# --- the path of one instance -------------------------------------------------------------------------------------


def path_request(instance_id: str) -> Request:
    """The stages that this row can pass, in order (dataverse-api §8.3): with branches, those of its own branch."""
    return read(f"RetrieveActivePath(ProcessInstanceId={key(instance_id)})", table="", kind="look")


def path_order(body: bytes) -> tuple[str, ...]:
    return tuple(each.processstageid for each in decoded(body, _Stages).value)
