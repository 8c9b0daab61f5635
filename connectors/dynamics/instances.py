"""Rows of process tables: where a lead or an opportunity stands in its business process (dataverse-api §8.1)."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from connectors.dynamics.processes import Process
from connectors.dynamics.protocol import View, decoded_by, page_decoder

ACTIVE: Final = 1  # statuscode alone tells (dataverse-api §8.1)


class Instance(msgspec.Struct, kw_only=True):
    """What every process table has; its key and its lookups are called as its definition says."""

    etag: str | None = msgspec.field(name="@odata.etag", default=None)
    process_id: str | None = msgspec.field(name="_processid_value", default=None)
    stage_id: str | None = msgspec.field(name="_activestageid_value", default=None)
    traversedpath: str | None = None
    statuscode: int | None = None
    modifiedon: str | None = None
    # a delta's deletion has these two alone
    id: str | None = None
    reason: str | None = None

    @property
    def instance_id(self) -> str:
        return getattr(self, "key", None) or ""

    @property
    def lead_id(self) -> str | None:
        return getattr(self, "lead", None)

    @property
    def opportunity_id(self) -> str | None:
        return getattr(self, "opportunity", None)

    def values(self, process: Process) -> dict[str, Any]:
        return {
            "table": process.table,
            "process_id": self.process_id,
            "stage_id": self.stage_id,
            "path": self.traversedpath,
            "status": self.statuscode,
            "lead_id": self.lead_id,
            "opportunity_id": self.opportunity_id,
            "from_lead": process.from_lead,
            "etag": self.etag,
            "modified_at": self.modifiedon,
        }


@cache
def _struct(key: str, lead: str | None, opportunity: str) -> type[Instance]:
    names = {"key": key, "opportunity": _wire(opportunity), **({"lead": _wire(lead)} if lead else {})}
    fields = [(each, str | None, None) for each in names]
    struct = msgspec.defstruct("ProcessInstance", fields, bases=(Instance,), rename=names, kw_only=True)
    assert issubclass(struct, Instance)
    return struct


@cache
def _decoder(key: str, lead: str | None, opportunity: str) -> msgspec.json.Decoder[Any]:
    return page_decoder(_struct(key, lead, opportunity))


def _wire(lookup: str) -> str:
    return f"_{lookup}_value"


def instance_page(process: Process, body: bytes) -> Any:
    """Its `value` are instances; `next_link` and `delta_link` as in any page."""
    decoder = _decoder(process.key, process.lookups.get("lead"), process.lookups["opportunity"])
    return decoded_by(decoder, body, "process instances")


def instance_view(process: Process) -> View:
    struct = _struct(process.key, process.lookups.get("lead"), process.lookups["opportunity"])
    names = [each.encode_name for each in msgspec.structs.fields(struct)]
    return View(select=",".join(each for each in names if "@" not in each and each not in ("id", "reason")))


def active_process(extras: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> tuple[str, Mapping[str, Any]] | None:
    """The newest active process instance among a record's satellites: what the form shows (dataverse-api §8.3)."""
    active = [(key, each) for key, each in extras.get("process", {}).items() if each.get("status") == ACTIVE]
    return max(active, key=lambda each: (str(each[1].get("modified_at") or ""), each[0]), default=None)
